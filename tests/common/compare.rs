//! Comparison of run-time values.
use hoist_ir::eval::Value;
use hoist_ir::tensor::Tensor;
use hoist_ir::tensor::convert::Wide;

/// Checks that `actual` is `expected`: same kind, element type and sizes; floats within `relative * |expected| + absolute`, NaN equal
/// to NaN; everything else exactly.
pub fn compare(expected: &Value, actual: &Value, tolerance: (f64, f64)) -> Result<(), String> {
    match (expected, actual) {
        (Value::Tensor(e), Value::Tensor(a)) => tensors(e, a, tolerance),
        (Value::Sequence(e), Value::Sequence(a)) if e.len() == a.len() => {
            let one = |(i, (e, a))| compare(e, a, tolerance).map_err(|m| format!("element {i}: {m}"));
            e.iter().zip(a).enumerate().try_for_each(one)
        }
        (Value::Sequence(e), Value::Sequence(a)) => {
            Err(format!("{} elements expected, got {}", e.len(), a.len()))
        }
        (Value::Optional(None), Value::Optional(None)) => Ok(()),
        (Value::Optional(Some(e)), Value::Optional(Some(a))) => compare(e, a, tolerance),
        _ => Err(format!("{} expected, got {}", expected.ty(), actual.ty())),
    }
}

fn tensors(expected: &Tensor, actual: &Tensor, tolerance: (f64, f64)) -> Result<(), String> {
    if expected.ty() != actual.ty() {
        return Err(format!("{} expected, got {}", expected.ty(), actual.ty()));
    }
    let wide = |t: &Tensor| t.widen().map_err(|e| e.to_string());
    let close = |e: f64, a: f64| {
        e == a
            || (e.is_nan() && a.is_nan())
            || e.is_finite() && (e - a).abs() <= tolerance.0 * e.abs() + tolerance.1
    };
    let differs = match (wide(expected)?, wide(actual)?) {
        (Wide::F32(e), Wide::F32(a)) => first(&e, &a, |e, a| close(f64::from(*e), f64::from(*a))),
        (Wide::F64(e), Wide::F64(a)) => first(&e, &a, |e, a| close(*e, *a)),
        (Wide::C128(e), Wide::C128(a)) => first(&e, &a, |e, a| close(e.re, a.re) && close(e.im, a.im)),
        (Wide::I64(e), Wide::I64(a)) => first(&e, &a, |e, a| e == a),
        (Wide::U64(e), Wide::U64(a)) => first(&e, &a, |e, a| e == a),
        (Wide::Str(e), Wide::Str(a)) => first(&e, &a, |e, a| e == a),
        _ => Some("different kinds of elements".to_owned()),
    };
    differs.map_or(Ok(()), Err)
}

/// The first pair that is not the same, and how many there are.
fn first<T: std::fmt::Debug>(expected: &[T], actual: &[T], same: impl Fn(&T, &T) -> bool) -> Option<String> {
    let wrong = |(_, (e, a)): &(usize, (&T, &T))| !same(e, a);
    let all = || expected.iter().zip(actual).enumerate().filter(wrong);
    let (i, (e, a)) = all().next()?;
    Some(format!("element {i}: {e:?} expected, got {a:?} ({} of {} differ)", all().count(), expected.len()))
}
