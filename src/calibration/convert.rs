//! Elements of calibration data in the type of the input.
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

/// Whether numbers of type `have` may be given for an input of type `want`, whatever their values.
///
/// # Errors
/// Why not, and what helps.
pub fn allowed(have: DType, want: DType) -> Result<(), String> {
    let same = |f: fn(DType) -> bool| f(have) && f(want);
    if have == want || same(DType::is_float) || same(DType::is_int) || same(DType::is_complex) {
        return Ok(());
    }
    let m = format!("its elements are {have}, the input's are {want}");
    Err(match (have.is_int(), want.is_float()) {
        (true, true) => format!("{m}: scale them as the model expects (--preprocess scale=1/255 does)"),
        _ => format!("{m}: convert them first"),
    })
}

/// Whether the conversion may round.
pub fn rounds(have: DType, want: DType) -> bool {
    have != want && have.is_float() && want.is_float() && want.bits() < have.bits()
}

/// The elements as `want`. Floats are rounded; integers stay what they are.
///
/// # Errors
/// When a number does not exist in `want`.
pub fn convert(tensor: &Tensor, want: DType) -> Result<Tensor, String> {
    let have = tensor.dtype();
    if have == want {
        return Ok(tensor.clone());
    }
    allowed(have, want)?;
    let out = tensor.cast(want, false).map_err(|e| e.to_string())?;
    let kept = if have.is_int() {
        out.cast(have, false).is_ok_and(|back| back.same_bits(tensor))
    } else {
        finite(&out) == finite(tensor)
    };
    if kept { Ok(out) } else { Err(format!("it has numbers that {want}, the input's type, cannot hold")) }
}

/// Number of finite elements of a tensor of floats.
fn finite(tensor: &Tensor) -> Option<usize> {
    Some(tensor.to_f64s().ok()?.iter().filter(|v| v.is_finite()).count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_what_they_are() {
        let ints = |v: Vec<i64>| Tensor::from_vec(&[v.len()], v);
        assert_eq!(convert(&ints(vec![1, -7]), DType::I32), Ok(Tensor::from_vec(&[2], vec![1i32, -7])));
        assert!(convert(&ints(vec![1 << 40]), DType::I32).is_err());
        assert!(convert(&ints(vec![-1]), DType::U8).is_err());
        let wide = |v: f64| Tensor::from_vec(&[1], vec![v]);
        assert_eq!(convert(&wide(0.5), DType::F32), Ok(Tensor::from_vec(&[1], vec![0.5f32])));
        assert!(convert(&wide(1e300), DType::F32).is_err());
        assert!(convert(&wide(f64::INFINITY), DType::F32).is_ok());
        assert!(rounds(DType::F64, DType::F32) && !rounds(DType::F16, DType::F32));
    }

    #[test]
    fn pictures_are_no_floats() {
        let said = convert(&Tensor::from_vec(&[1], vec![7u8]), DType::F32).expect_err("not scaled");
        assert!(said.contains("--preprocess"), "{said}");
        assert!(convert(&Tensor::from_bools(&[1], vec![true]), DType::I64).is_err());
    }
}
