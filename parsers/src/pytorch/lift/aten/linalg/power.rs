//! Powers and the exponential of square matrices.
use super::loops::repeat;
use super::matrix::{eyes, greatest, outer, size, square, sum};
use super::solve::inverse;
use crate::pytorch::lift::aten::linear::matmul;
use crate::pytorch::lift::cx::{Cx, Out, R, Size, malformed};
use hoist_ir::dtype::DType;

/// Terms of the power series: for norms up to 1 the rest is below the precision of 64 bits.
const TERMS: i64 = 20;
/// Most halvings before the series; a norm beyond has an exponential that overflows.
const MAX_HALVINGS: f64 = 1100.0;

/// The exponential by scaling and squaring: the power series of a matrix halved until its 1-norm is at most 1, squared as often.
pub(super) fn matrix_exp(cx: &mut Cx) -> R<Out> {
    let a = square(cx, "self")?;
    if cx.known_len(a.v) == Some(0) {
        return Ok(Out::Fresh(cx.cast(a.v, a.dtype)?));
    }
    let (n, stack) = (size(cx, a.v, 1)?, outer(cx, a.v, 2)?);
    let sizes = cx.u("abs", a.v)?;
    let columns = sum(cx, sizes, 2)?;
    let norm = greatest(cx, columns, 1)?;
    let log = cx.u("log", norm)?;
    let log = cx.bn("div", log, std::f64::consts::LN_2)?;
    let halvings = cx.u("ceil", log)?;
    let (zero, most) = (cx.num(halvings, 0.0)?, cx.num(halvings, MAX_HALVINGS)?);
    // Comparisons, so that NaN becomes 0 as well.
    let some = cx.b("greater", halvings, zero)?;
    let halvings = cx.choose(some, halvings, zero)?;
    let halvings = cx.op("min", &[halvings, most])?;
    let two = cx.num(halvings, 2.0)?;
    let scale = cx.b("pow", two, halvings)?;
    let x = cx.b("div", a.v, scale)?;

    let one = eyes(cx, &stack, &n, &n)?;
    let [y] = repeat(cx, &Size::Known(TERMS), [one], [x, one], |cx, i, [y], [x, one]| {
        let i = cx.cast(i, DType::F64)?;
        let k = cx.nb("sub", TERMS as f64, i)?;
        let next = cx.b("mat_mul", x, y)?;
        let next = cx.b("div", next, k)?;
        Ok([cx.b("add", next, one)?])
    })?;
    let all = cx.reshape_to(halvings, &[-1])?;
    let trips = cx.reduce("reduce_max", all, &[0], true)?;
    let trips = cx.cast(trips, DType::I64)?;
    let [y] = repeat(cx, &Size::Value(trips), [y], [halvings], |cx, i, [y], [halvings]| {
        let i = cx.cast(i, DType::F64)?;
        let open = cx.b("less", i, halvings)?;
        let squared = cx.b("mat_mul", y, y)?;
        Ok([cx.choose(open, squared, y)?])
    })?;
    Ok(Out::Fresh(cx.cast(y, a.dtype)?))
}
/// `n` factors, of the inverse when negative; matrices of integers too.
pub(super) fn matrix_power(cx: &mut Cx) -> R<Out> {
    let (x, power) = (cx.t("self")?, cx.int("n")?);
    if cx.rank(x)? < 2 {
        return Err(malformed("argument `self` holds no matrix"));
    }
    let dtype = cx.dtype(x)?;
    if power == 0 {
        let (n, stack) = (size(cx, x, 1)?, outer(cx, x, 2)?);
        let one = eyes(cx, &stack, &n, &n)?;
        return Ok(Out::Fresh(cx.cast(one, dtype)?));
    }
    let (mut base, mut left) = (x, power.unsigned_abs());
    if dtype.is_float() {
        base = square(cx, "self")?.v;
    }
    if power < 0 {
        base = inverse(cx, base)?.0;
    }
    let mut y = None;
    loop {
        if left & 1 == 1 {
            y = Some(match y {
                Some(y) => matmul(cx, y, base)?,
                None => base,
            });
        }
        left >>= 1;
        if left == 0 {
            break;
        }
        base = matmul(cx, base, base)?;
    }
    let y = y.unwrap_or(base);
    Ok(Out::Fresh(cx.cast(y, dtype)?))
}
