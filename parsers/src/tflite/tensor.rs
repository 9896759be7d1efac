//! Tensors of a file: types, quantization, constants.
use super::file::{File, bad};
use super::sparse::densify;
use hoist_formats::tflite::dtype::{RESOURCE, VARIANT, from_code};
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
    let dtype = from_code(code).ok_or_else(|| match code {
        RESOURCE | VARIANT => {
            Diag::error("E0301", format!("tensor `{name}` is a handle, which has no elements"))
        }
        _ => bad(format!("tensor `{name}` has element type {code}")),
    })?;
    let ty = TensorType { dtype, shape: shape(record)? };
    let quant = quant(record, &ty).map_err(|m| bad(format!("tensor `{name}` {m}")))?;
    Ok(Declared { ty, quant, name })
}

/// Whether the tensor is a handle of a variable or table.
pub(super) fn is_handle(record: &Record) -> bool {
    record.int("type") == RESOURCE
}

/// Shape; sizes that `shape_signature` leaves open are unknown.
fn shape(record: &Record) -> Result<Option<Shape>, Diag> {
    let (sizes, signature) = (record.ints("shape"), record.ints("shape_signature"));
    if sizes.is_empty() && !record.bool("has_rank") {
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

/// Scales and zero points; errors are phrases.
fn quant(record: &Record, ty: &TensorType) -> Result<Option<Quant>, String> {
    let Some(q) = record.record("quantization") else { return Ok(None) };
    let scale: Vec<f32> = q.floats("scale").iter().map(|v| *v as f32).collect();
    if !ty.dtype.is_int() || scale.iter().all(|s| *s == 0.0) {
        return Ok(None);
    }
    if let Some(s) = scale.iter().find(|s| !s.is_finite() || **s <= 0.0) {
        return Err(format!("has the scale {s}"));
    }
    let mut zero_point = q.ints("zero_point").to_vec();
    if zero_point.len() <= 1 {
        zero_point.resize(scale.len(), zero_point.first().copied().unwrap_or(0));
    }
    if zero_point.len() != scale.len() {
        return Err(format!("has {} scales and {} zero points", scale.len(), zero_point.len()));
    }
    let (low, high) = ty.dtype.int_range().unwrap_or_default();
    if let Some(z) = zero_point.iter().find(|z| !(low..=high).contains(&i128::from(**z))) {
        return Err(format!("has the zero point {z}, beyond {}", ty.dtype));
    }
    let axis =
        usize::try_from(q.int("quantized_dimension")).map_err(|_| "is quantized along a negative axis")?;
    if let Some(shape) = ty.shape.as_ref().filter(|_| scale.len() > 1) {
        let size =
            shape.get(axis).ok_or_else(|| format!("is quantized along axis {axis} of {}", shape.len()))?;
        if size.known().is_some_and(|n| n != scale.len() as u64) {
            return Err(format!("has {} scales for {size} slices", scale.len()));
        }
    }
    Ok(Some(Quant { scale, zero_point, axis }))
}

/// The elements of a constant tensor; none for one that is computed.
pub(super) fn constant(file: &File, record: &Record, ty: &TensorType) -> Result<Option<Tensor>, Diag> {
    let name = record.text("name");
    if record.int("external_buffer") != 0 {
        let m = format!("the elements of `{name}` lie in another file, which is not read");
        return Err(Diag::error("E0301", m).hint("write the model into one file"));
    }
    let Some((bytes, span)) = file.buffer(record.int("buffer"))? else { return Ok(None) };
    let sizes = match ty.sizes() {
        Some(sizes) => sizes,
        // Files of old writers leave the shape of a single number out.
        None if ty.shape.is_none() => vec![],
        None => return Err(bad(format!("constant `{name}` has no fixed shape"))),
    };
    if let Some(sparsity) = record.record("sparsity") {
        let dense = densify(sparsity, (ty.dtype, &sizes), &bytes, file.bytes());
        return dense.map(Some).map_err(|d| bad(format!("constant `{name}`: {}", d.message)));
    }
    if ty.dtype == DType::String {
        let wrong = || bad(format!("constant `{name}` holds no {} texts", sizes.iter().product::<usize>()));
        return Ok(Some(strings(&bytes, &sizes).ok_or_else(wrong)?));
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
    if hoist_ir::tensor::element_count(sizes) != Some(count) || count > bytes.len() / 4 {
        return None;
    }
    // Texts that overlap could stand for more than the file holds.
    let ordered = (1..=count).all(|i| at(i) <= at(i + 1));
    let one = |i: usize| Some(String::from_utf8_lossy(bytes.get(at(i + 1)?..at(i + 2)?)?).into_owned());
    let all: Option<Vec<String>> = (0..count).map(one).collect();
    Some(Tensor::from_strings(sizes, all.filter(|_| ordered)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_formats::tflite::schema;

    fn record(sizes: &[i64], signature: &[i64]) -> Record {
        Record::new(&schema::TENSOR).with("shape", sizes.to_vec()).with("shape_signature", signature.to_vec())
    }
    fn quantized(scale: &[f64], zero_point: &[i64], axis: i64) -> Record {
        let q = Record::new(&schema::QUANTIZATION_PARAMETERS)
            .with("scale", scale.to_vec())
            .with("zero_point", zero_point.to_vec())
            .with("quantized_dimension", axis);
        record(&[2, 3], &[]).with("type", 9).with("quantization", q)
    }

    #[test]
    fn shapes() {
        let shape = |r: &Record| declared(r).map(|d| d.ty.to_string());
        assert_eq!(shape(&record(&[1, 3], &[-1, 3])).expect("ok"), "f32[?, 3]");
        assert_eq!(
            shape(&record(&[1, 3], &[-1])).expect("a signature of another rank is ignored"),
            "f32[1, 3]"
        );
        assert_eq!(shape(&record(&[], &[])).expect("ok"), "f32[*]");
        assert_eq!(shape(&record(&[], &[]).with("has_rank", true)).expect("ok"), "f32[]");
        assert!(shape(&record(&[i64::from(i32::MIN)], &[])).is_err());
    }

    #[test]
    fn parameters_are_checked() {
        let read = |r: Record| declared(&r).map(|d| d.quant);
        let q = read(quantized(&[0.5, 1.0, 2.0], &[], 1)).expect("ok").expect("quantized");
        assert_eq!((q.zero_point, q.axis), (vec![0, 0, 0], 1));
        assert_eq!(read(quantized(&[0.0], &[0], 0)).expect("ok"), None);
        for (wrong, why) in [
            (quantized(&[f64::NAN], &[0], 0), "scale"),
            (quantized(&[0.5, -1.0, 1.0], &[0, 0, 0], 1), "scale"),
            (quantized(&[0.5, 1.0, 1.0], &[0, 0], 1), "2 zero points"),
            (quantized(&[0.5, 1.0, 1.0], &[0], 9), "axis 9"),
            (quantized(&[0.5, 1.0, 1.0], &[0], 0), "3 scales for 2"),
            (quantized(&[0.5], &[300], 0), "300"),
        ] {
            let e = read(wrong).expect_err("refused");
            assert!(e.message.contains(why), "{e}");
        }
    }

    #[test]
    fn texts_lie_within_their_buffer() {
        let packed = |at: &[i32], text: &str| -> Vec<u8> {
            at.iter().flat_map(|v| v.to_le_bytes()).chain(text.bytes()).collect()
        };
        let t = strings(&packed(&[2, 16, 17, 19], "abc"), &[2]).expect("well-formed");
        assert_eq!(t.strings().expect("texts"), ["a", "bc"]);
        assert!(strings(&packed(&[2, 16, 17, 99], "abc"), &[2]).is_none());
        assert!(strings(&packed(&[2, 17, 16, 19], "abc"), &[2]).is_none());
        assert!(strings(&packed(&[i32::MAX, 16], ""), &[1]).is_none());
    }
}
