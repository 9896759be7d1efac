//! `SparseTensorProto` to dense tensors.
use super::tensor::{Loader, shorten, sizes};
use hoist_formats::onnx::generated::SparseTensorProto;
use hoist_ir::diag::Diag;
use hoist_ir::tensor::{Tensor, byte_count, strides};

/// Most bytes that the sparse tensors of a model may take when written out.
pub(super) const MAX_DENSE: usize = 1 << 30;

/// The dense tensor of `proto`: `values` at `indices`, zero elsewhere. Indices are flat positions `[n]` or coordinates `[n, rank]`.
pub(super) fn read(proto: &SparseTensorProto, loader: &mut Loader) -> Result<Tensor, Diag> {
    let name = proto.values.as_ref().map(|v| v.name().to_owned()).unwrap_or_default();
    let bad = |m: String| Diag::error("E0203", format!("sparse tensor `{}`: {m}", shorten(&name)));
    let (Some(values), Some(indices)) = (&proto.values, &proto.indices) else {
        return Err(bad("values or indices are missing".to_owned()));
    };
    let (values, indices) = (loader.read(values)?, loader.read(indices)?);
    let shape = sizes(&proto.dims).map_err(bad)?;
    let bytes = byte_count(values.dtype(), &shape).map_err(|e| bad(e.to_string()))?;
    loader.dense = match loader.dense.checked_sub(bytes) {
        Some(left) if !values.dtype().is_packed() => left,
        _ => return Err(bad("it cannot be written out densely".to_owned())),
    };
    let n = values.len();
    let flat = indices.to_i64s().map_err(|e| bad(e.to_string()))?;
    let steps: Vec<usize> = match indices.shape() {
        [k] if *k == n => vec![1],
        [k, r] if *k == n && *r == shape.len() => strides(&shape).to_vec(),
        other => return Err(bad(format!("indices of shape {other:?} do not fit {n} values"))),
    };
    let coordinates = indices.rank() == 2;
    let (width, source) =
        (values.dtype().bits() as usize / 8, values.bytes().map_err(|e| bad(e.to_string()))?);
    let mut dense = vec![0u8; bytes];
    for (i, at) in flat.chunks(steps.len().max(1)).enumerate() {
        let mut position = 0usize;
        for (axis, (c, step)) in at.iter().zip(&steps).enumerate() {
            let limit = if coordinates { shape[axis] } else { bytes / width };
            let c = usize::try_from(*c).ok().filter(|c| *c < limit);
            position += c.ok_or_else(|| bad(format!("index {at:?} lies outside shape {shape:?}")))? * step;
        }
        dense[position * width..(position + 1) * width].copy_from_slice(&source[i * width..(i + 1) * width]);
    }
    Tensor::from_bytes(values.dtype(), &shape, dense.into(), None).map_err(|e| bad(e.to_string()))
}
