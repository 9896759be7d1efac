//! Functions of the representation of numbers, by exact arithmetic.
use super::super::reduce::axes;
use crate::pytorch::lift::cx::{Cx, Out, R, V, malformed, unsupported};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use std::f64::consts::LN_2;

pub(in super::super) const TABLE: super::super::Table = &[
    ("frexp", |cx| {
        let x = cx.t("self")?;
        let dtype = cx.dtype(x)?;
        let wide = cx.wide(x)?;
        let (m, e) = parts(cx, wide)?;
        let (m, e) = (cx.cast(m, dtype)?, cx.cast(e, DType::I32)?);
        Ok(Out::Many(vec![Out::Fresh(m), Out::Fresh(e)]))
    }),
    ("nextafter", nextafter),
    ("hash_tensor", hash_tensor),
];

/// Powers of two that a table holds, on both sides of 0.
const POWERS: i64 = 560;

/// `2^e` for whole numbers between -560 and 560, exactly (infinite or 0 beyond what the type holds).
fn power_of_two(cx: &mut Cx, e: V, dtype: DType) -> R<V> {
    let line: Vec<f64> = (-POWERS..=POWERS).map(|k| 2f64.powi(k as i32)).collect();
    let t = Tensor::from_vec(&[line.len()], line).cast(dtype, false).map_err(|e| malformed(e.to_string()))?;
    let table = cx.constant(t);
    let at = cx.bn("add", e, POWERS as f64)?;
    cx.gather(table, at, 0)
}
/// `x 2^e`, in two steps so that neither factor leaves the range.
fn scaled(cx: &mut Cx, x: V, e: V) -> R<V> {
    let dtype = cx.dtype(x)?;
    let half = cx.bn("div", e, 2.0)?;
    let rest = cx.b("sub", e, half)?;
    let (a, b) = (power_of_two(cx, half, dtype)?, power_of_two(cx, rest, dtype)?);
    let y = cx.b("mul", x, a)?;
    cx.b("mul", y, b)
}
/// `x = m 2^e` with `|m|` in 0.5 to 1 and `e` an `i64`; 0, infinities and NaN are their own mantissa, of exponent 0.
fn parts(cx: &mut Cx, x: V) -> R<(V, V)> {
    if !matches!(cx.dtype(x)?, DType::F32 | DType::F64) {
        return Err(unsupported("mantissa and exponent of this type"));
    }
    let size = cx.u("abs", x)?;
    let (zero, inf, nan) = (cx.bn("equal", x, 0.0)?, cx.u("is_inf", x)?, cx.u("is_nan", x)?);
    let plain = cx.b("or", zero, inf)?;
    let plain = cx.b("or", plain, nan)?;
    let size = cx.put(plain, 1.0, size)?;
    // An estimate, at most one off.
    let l = cx.u("log", size)?;
    let l = cx.bn("div", l, LN_2)?;
    let l = cx.u("floor", l)?;
    let e = cx.cast(l, DType::I64)?;
    let e = cx.bn("add", e, 1.0)?;
    let down = cx.u("neg", e)?;
    let m = scaled(cx, size, down)?;
    let (small, large) = (cx.bn("less", m, 0.5)?, cx.bn("greater_or_equal", m, 1.0)?);
    let (twice, half) = (cx.bn("mul", m, 2.0)?, cx.bn("mul", m, 0.5)?);
    let m = cx.choose(small, twice, m)?;
    let m = cx.choose(large, half, m)?;
    let (small, large) = (cx.cast(small, DType::I64)?, cx.cast(large, DType::I64)?);
    let e = cx.b("sub", e, small)?;
    let e = cx.b("add", e, large)?;
    let minus = cx.u("neg", m)?;
    let below = cx.bn("less", x, 0.0)?;
    let m = cx.choose(below, minus, m)?;
    let m = cx.choose(plain, x, m)?;
    Ok((m, cx.put(plain, 0.0, e)?))
}
/// The neighbour of `self` towards `other`: one unit of the last place away, half of that below a power of two.
fn nextafter(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.float_pair("self", "other")?;
    let (digits, least, lowest) = match cx.dtype(a)? {
        DType::F32 => (24.0, -149.0, f64::from(f32::from_bits(1))),
        DType::F64 => (53.0, -1074.0, f64::from_bits(1)),
        other => return Err(unsupported(format!("neighbours of {other}"))),
    };
    let (m, e) = parts(cx, a)?;
    let m = cx.u("abs", m)?;
    let size_a = cx.u("abs", a)?;
    let (up, below) = (cx.b("greater", b, a)?, cx.bn("less", a, 0.0)?);
    let outward = cx.b("xor", up, below)?;
    let power = cx.bn("equal", m, 0.5)?;
    let inward = cx.u("not", outward)?;
    let half = cx.b("and", power, inward)?;
    let half = cx.cast(half, DType::I64)?;
    let place = cx.bn("sub", e, digits)?;
    let place = cx.b("sub", place, half)?;
    let place = cx.bn("max", place, least)?;
    let one = cx.num(a, 1.0)?;
    let unit = scaled(cx, one, place)?;
    let (more, less) = (cx.b("add", a, unit)?, cx.b("sub", a, unit)?);
    let y = cx.choose(up, more, less)?;
    let zero = cx.bn("equal", a, 0.0)?;
    let (plus, minus) = (cx.num(a, lowest)?, cx.num(a, -lowest)?);
    let first = cx.choose(up, plus, minus)?;
    let y = cx.choose(zero, first, y)?;
    // From infinity to the largest number.
    let inf = cx.u("is_inf", size_a)?;
    let top = super::super::unary::largest(cx.dtype(a)?)?;
    let (plus, minus) = (cx.num(a, top)?, cx.num(a, -top)?);
    let edge = cx.choose(below, minus, plus)?;
    let y = cx.choose(inf, edge, y)?;
    let same = cx.b("equal", a, b)?;
    let y = cx.choose(same, b, y)?;
    let sum = cx.b("add", a, b)?;
    let (a_nan, b_nan) = (cx.u("is_nan", a)?, cx.u("is_nan", b)?);
    let none = cx.b("or", a_nan, b_nan)?;
    Ok(Out::Fresh(cx.choose(none, sum, y)?))
}
/// The bits of `x` in double precision, as `u64`.
fn double_bits(cx: &mut Cx, x: V) -> R<V> {
    let x = cx.cast(x, DType::F64)?;
    let size = cx.u("abs", x)?;
    let (m, e) = parts(cx, size)?;
    let twice = cx.bn("mul", m, 2.0)?;
    let fraction = cx.bn("sub", twice, 1.0)?;
    let fraction = cx.bn("mul", fraction, (1u64 << 52) as f64)?;
    let fraction = cx.cast(fraction, DType::I64)?;
    let biased = cx.bn("add", e, 1022.0)?;
    let shift = cx.int_of(DType::I64, 1 << 52)?;
    let biased = cx.b("mul", biased, shift)?;
    let bits = cx.b("add", biased, fraction)?;
    // Below the smallest normal number the value counts units.
    let tiny = cx.bn("less", size, f64::MIN_POSITIVE)?;
    let safe = cx.put(tiny, 0.0, size)?;
    let low = cx.b("sub", size, safe)?;
    let units = cx.constant(Tensor::scalar(1074i64));
    let units = scaled(cx, low, units)?;
    let units = cx.cast(units, DType::I64)?;
    let bits = cx.choose(tiny, units, bits)?;
    let (inf, nan) = (cx.u("is_inf", x)?, cx.u("is_nan", x)?);
    let (infinite, quiet) = (cx.int_of(DType::I64, 0x7ff0 << 48)?, cx.int_of(DType::I64, 0x7ff8 << 48)?);
    let bits = cx.choose(inf, infinite, bits)?;
    let bits = cx.choose(nan, quiet, bits)?;
    // The sign, of zeros too.
    let inverse = cx.u("reciprocal", x)?;
    let (zero, below) = (cx.bn("equal", x, 0.0)?, cx.bn("less", x, 0.0)?);
    let inverse = cx.bn("less", inverse, 0.0)?;
    let negative = cx.choose(zero, inverse, below)?;
    let sign = cx.int_of(DType::I64, i64::MIN)?;
    let signed = cx.b("add", bits, sign)?;
    let bits = cx.choose(negative, signed, bits)?;
    cx.cast(bits, DType::U64)
}
/// The exclusive disjunction of the bits of all elements, floats in double precision and integers in 64 bits.
fn hash_tensor(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    if cx.int_or("mode", 0)? != 0 {
        return Err(unsupported("a hash of this mode"));
    }
    let (along, keep) = (axes(cx, "dim", x)?, cx.bool_or("keepdim", false)?);
    let dtype = cx.dtype(x)?;
    let bits = if dtype.is_float() {
        double_bits(cx, x)?
    } else {
        let x = cx.cast(x, DType::I64)?;
        cx.cast(x, DType::U64)?
    };
    // Each bit by itself: whether an odd number of elements has it.
    let last = cx.rank(bits)? as i64;
    let wide = cx.unsqueeze(bits, &[last])?;
    let places = cx.iota(&64.into())?;
    let places = cx.cast(places, DType::U64)?;
    let each = cx.with("bit_shift", &[wide, places], &[("direction", Attr::Str("RIGHT".into()))])?;
    let each = cx.cast(each, DType::I64)?;
    let one = cx.int_of(DType::I64, 1)?;
    let each = cx.b("bitwise_and", each, one)?;
    let sums = if along.is_empty() { each } else { cx.reduce("reduce_sum", each, &along, keep)? };
    let odd = cx.b("bitwise_and", sums, one)?;
    // By halves: sums of integers may be taken in double precision.
    let end = cx.rank(odd)? - 1;
    let powers: Vec<i64> = (0..32).map(|k| 1 << k).collect();
    let powers = cx.int_list(&powers);
    let mut halves = vec![];
    for from in [0, 32] {
        let half = cx.slice_known(odd, end, from, from + 32)?;
        let placed = cx.b("mul", half, powers)?;
        halves.push(cx.reduce("reduce_sum", placed, &[end], false)?);
    }
    let scale = cx.int_of(DType::I64, 1 << 32)?;
    let high = cx.b("mul", halves[1], scale)?;
    let y = cx.b("add", halves[0], high)?;
    Ok(Out::Fresh(cx.cast(y, DType::U64)?))
}
