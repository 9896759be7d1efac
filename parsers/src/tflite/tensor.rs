//! Tensors of a file: types, quantization, constants.
use super::file::{File, bad};
use hoist_formats::tflite::dtype::from_code;
use hoist_formats::tflite::lift::Declared;
use hoist_formats::tflite::program::Quant;
use hoist_formats::tflite::table::Record;
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{Shape, TensorType};

/// What the file says about a tensor.
pub(super) fn declared(record: &Record) -> Result<Declared, Diag> {
    let name = record.text("name").to_owned();
    let code = record.int("type");
    let dtype = from_code(code).ok_or_else(|| bad(format!("tensor `{name}` has element type {code}")))?;
    Ok(Declared { ty: TensorType { dtype, shape: shape(record)? }, quant: quant(record), name })
}

/// Shape; sizes that `shape_signature` leaves open are unknown.
fn shape(record: &Record) -> Result<Option<Shape>, Diag> {
    let (sizes, signature) = (record.ints("shape"), record.ints("shape_signature"));
    if record.get("shape").is_none() && !record.bool("has_rank") {
        return Ok(None);
    }
    let open = |i: usize| signature.len() == sizes.len() && signature[i] == -1;
    let dim = |(i, n): (usize, &i64)| match u64::try_from(*n) {
        _ if open(i) => Ok(Dim::Unknown),
        Ok(n) => Ok(Dim::Known(n)),
        Err(_) if *n == -1 => Ok(Dim::Unknown),
        Err(_) => Err(bad(format!("tensor `{}` has size {n}", record.text("name")))),
    };
    Ok(Some(sizes.iter().enumerate().map(dim).collect::<Result<_, _>>()?))
}

fn quant(record: &Record) -> Option<Quant> {
    let q = record.record("quantization")?;
    let scale: Vec<f32> = q.floats("scale").iter().map(|v| *v as f32).collect();
    if scale.is_empty() {
        return None;
    }
    let mut zero_point = q.ints("zero_point").to_vec();
    zero_point.resize(scale.len(), 0);
    Some(Quant { scale, zero_point, axis: usize::try_from(q.int("quantized_dimension")).unwrap_or(0) })
}

/// The elements of a constant tensor.
pub(super) fn constant(file: &File, record: &Record, ty: &TensorType) -> Result<Option<Tensor>, Diag> {
    let Some((bytes, span)) = file.buffer(record.int("buffer"))? else { return Ok(None) };
    let name = record.text("name");
    let sizes = ty.sizes().ok_or_else(|| bad(format!("constant `{name}` has no fixed shape")))?;
    if ty.dtype == DType::String {
        return Ok(Some(
            strings(&bytes, &sizes).ok_or_else(|| bad(format!("constant `{name}` holds no texts")))?,
        ));
    }
    let tensor = Tensor::from_bytes(ty.dtype, &sizes, bytes, Some(span));
    Ok(Some(tensor.map_err(|e| bad(format!("constant `{name}`: {e}")))?))
}

/// Texts: their number, the position of each and of the end, then their bytes.
fn strings(bytes: &[u8], sizes: &[usize]) -> Option<Tensor> {
    let at = |i: usize| {
        let word = bytes.get(4 * i..4 * i + 4)?;
        usize::try_from(i32::from_le_bytes(word.try_into().ok()?)).ok()
    };
    let count = at(0)?;
    if hoist_ir::tensor::element_count(sizes) != Some(count) {
        return None;
    }
    let one = |i: usize| Some(String::from_utf8_lossy(bytes.get(at(i + 1)?..at(i + 2)?)?).into_owned());
    Some(Tensor::from_strings(sizes, (0..count).map(one).collect::<Option<_>>()?))
}
