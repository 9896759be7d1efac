//! Tensors of attributes.
use hoist_formats::tensorflow::dtype::of_code;
use hoist_formats::tensorflow::generated::{TensorProto, TensorShapeProto};
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::{Tensor, element_count};
use hoist_ir::types::Shape;

/// Most elements that a tensor of repeated texts may have.
const MOST_TEXTS: usize = 1 << 22;

/// The error for a file that contradicts itself.
pub(crate) fn bad(what: impl Into<String>) -> Diag {
    Diag::error("E0202", what)
}

/// Sizes; `None` for an unknown rank. Sizes that are not known are -1 in the file.
///
/// # Errors
/// For other negative sizes.
pub(crate) fn shape(proto: &TensorShapeProto) -> Result<Option<Shape>, Diag> {
    if proto.unknown_rank {
        return Ok(None);
    }
    let dim = |size: i64| match u64::try_from(size) {
        Ok(n) => Ok(Dim::Known(n)),
        Err(_) if size == -1 => Ok(Dim::Unknown),
        Err(_) => Err(bad(format!("a size of {size}"))),
    };
    proto.dim.iter().map(|d| dim(d.size)).collect::<Result<_, _>>().map(Some)
}

/// A constant. Its bytes stay where they lie.
///
/// # Errors
/// When elements and shape do not fit, and for element types that are no numbers or texts.
pub(super) fn tensor(proto: &TensorProto) -> Result<Tensor, Diag> {
    let dtype =
        of_code(proto.dtype).ok_or_else(|| bad(format!("a constant of type number {}", proto.dtype)))?;
    let sizes = match &proto.tensor_shape {
        None => vec![],
        Some(s) => {
            let known = shape(s)?.ok_or_else(|| bad("a constant of unknown rank"))?;
            let sizes: Option<Vec<usize>> =
                known.iter().map(|d| d.known().and_then(|n| usize::try_from(n).ok())).collect();
            sizes.ok_or_else(|| bad("a constant of unknown size"))?
        }
    };
    let count = element_count(&sizes).ok_or_else(|| bad("a constant of too many elements"))?;
    if dtype == DType::String {
        return texts(proto, &sizes, count);
    }
    let wrong = |e: hoist_ir::tensor::TensorError| bad(e.to_string());
    if !proto.tensor_content.is_empty() || (count == 0 && !any(proto)) {
        return Tensor::from_bytes(dtype, &sizes, proto.tensor_content.clone(), None).map_err(wrong);
    }
    let listed = listed(proto, dtype)?;
    let n = listed.len();
    if n == count {
        return listed.reshape(&sizes).map_err(wrong);
    }
    if n > count {
        return Err(bad(format!("a constant of {count} elements that lists {n}")));
    }
    if n <= 1 {
        // Elements that are not listed are those of the last one; where none is listed, zero.
        let value = if n == 1 { listed } else { zero(dtype).map_err(wrong)? };
        return Tensor::splat(&value.reshape(&[]).map_err(wrong)?, &sizes).map_err(wrong);
    }
    let bytes = listed.bytes().map_err(wrong)?;
    let width = bytes.len() / n;
    let total = count.checked_mul(width).filter(|t| *t <= MOST_TEXTS << 6);
    let total = total.ok_or_else(|| bad("a constant that repeats its last element too often"))?;
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(&bytes);
    let last = bytes[bytes.len() - width..].to_vec();
    while out.len() < total {
        out.extend_from_slice(&last);
    }
    Tensor::from_bytes(dtype, &sizes, out.into(), None).map_err(wrong)
}

fn zero(dtype: DType) -> Result<Tensor, hoist_ir::tensor::TensorError> {
    let width = dtype.bits().div_ceil(8) as usize;
    Tensor::from_bytes(dtype, &[], vec![0; width].into(), None)
}

/// Whether some element is listed.
fn any(p: &TensorProto) -> bool {
    !(p.float_val.is_empty()
        && p.double_val.is_empty()
        && p.int_val.is_empty()
        && p.int64_val.is_empty()
        && p.bool_val.is_empty()
        && p.half_val.is_empty()
        && p.scomplex_val.is_empty()
        && p.dcomplex_val.is_empty()
        && p.uint32_val.is_empty()
        && p.uint64_val.is_empty()
        && p.float8_val.is_empty())
}

/// The elements that are listed one by one, as a tensor of one axis.
fn listed(p: &TensorProto, dtype: DType) -> Result<Tensor, Diag> {
    let of = |n: usize, bytes: Vec<u8>| {
        Tensor::from_bytes(dtype, &[n], bytes.into(), None).map_err(|e| bad(e.to_string()))
    };
    let narrow = |width: usize| {
        let bytes = p.int_val.iter().flat_map(|v| v.to_le_bytes()[..width].to_vec()).collect();
        of(p.int_val.len(), bytes)
    };
    match dtype {
        DType::F32 => Ok(Tensor::from_vec(&[p.float_val.len()], p.float_val.clone())),
        DType::F64 => Ok(Tensor::from_vec(&[p.double_val.len()], p.double_val.clone())),
        DType::I32 => Ok(Tensor::from_vec(&[p.int_val.len()], p.int_val.clone())),
        DType::I64 => Ok(Tensor::from_vec(&[p.int64_val.len()], p.int64_val.clone())),
        DType::U32 => Ok(Tensor::from_vec(&[p.uint32_val.len()], p.uint32_val.clone())),
        DType::U64 => Ok(Tensor::from_vec(&[p.uint64_val.len()], p.uint64_val.clone())),
        DType::Bool => Ok(Tensor::from_bools(&[p.bool_val.len()], p.bool_val.clone())),
        DType::I8 | DType::U8 => narrow(1),
        DType::I16 | DType::U16 => narrow(2),
        DType::F16 | DType::BF16 => {
            let bytes = p.half_val.iter().flat_map(|v| v.to_le_bytes()[..2].to_vec()).collect();
            of(p.half_val.len(), bytes)
        }
        DType::F8E4M3FN | DType::F8E5M2 => of(p.float8_val.len(), p.float8_val.to_vec()),
        DType::C64 => {
            let bytes: Vec<u8> = p.scomplex_val.iter().flat_map(|v| v.to_le_bytes()).collect();
            of(p.scomplex_val.len() / 2, bytes)
        }
        DType::C128 => {
            let bytes: Vec<u8> = p.dcomplex_val.iter().flat_map(|v| v.to_le_bytes()).collect();
            of(p.dcomplex_val.len() / 2, bytes)
        }
        _ => Err(bad(format!("a constant of {dtype} without bytes"))),
    }
}

fn texts(p: &TensorProto, sizes: &[usize], count: usize) -> Result<Tensor, Diag> {
    if count > MOST_TEXTS || p.string_val.len() > count {
        return Err(bad(format!("a constant of {count} texts that lists {}", p.string_val.len())));
    }
    let text = |b: &bytes::Bytes| {
        String::from_utf8(b.to_vec())
            .map_err(|_| bad("a constant text that is not UTF-8, which ONNX cannot hold"))
    };
    let mut all: Vec<String> = p.string_val.iter().map(text).collect::<Result<_, _>>()?;
    let last = all.last().cloned().unwrap_or_default();
    all.resize(count, last);
    Ok(Tensor::from_strings(sizes, all))
}
