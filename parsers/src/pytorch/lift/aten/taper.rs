//! Window functions of signals: constants, as their lengths are fixed.
use super::create::declared;
use crate::pytorch::lift::cx::{Cx, Out, R, malformed};
use crate::pytorch::lift::promote::DEFAULT_FLOAT;
use hoist_ir::tensor::Tensor;
use std::f64::consts::PI;

pub(super) const TABLE: super::Table = &[
    ("hann_window", |cx| cosines(cx, &[0.5, 0.5])),
    ("hamming_window", |cx| {
        let (alpha, beta) = (cx.float_or("alpha", 0.54)?, cx.float_or("beta", 0.46)?);
        cosines(cx, &[alpha, beta])
    }),
    ("blackman_window", |cx| cosines(cx, &[0.42, 0.5, 0.08])),
    ("bartlett_window", |cx| window(cx, |u| 1.0 - (2.0 * u - 1.0).abs())),
    ("kaiser_window", |cx| {
        let beta = cx.float_or("beta", 12.0)?;
        let whole = bessel_i0(beta);
        window(cx, |u| bessel_i0(beta * (1.0 - (2.0 * u - 1.0).powi(2)).max(0.0).sqrt()) / whole)
    }),
];

/// `a0 - a1 cos(2 pi u) + a2 cos(4 pi u) - ..`
fn cosines(cx: &mut Cx, terms: &[f64]) -> R<Out> {
    window(cx, |u| {
        let term = |(k, a): (usize, &f64)| {
            let sign = if k % 2 == 0 { 1.0 } else { -1.0 };
            sign * a * (2.0 * PI * k as f64 * u).cos()
        };
        terms.iter().enumerate().map(term).sum()
    })
}
/// `f` at equally spaced places from 0 to 1; the last one is left out where the window is periodic.
fn window(cx: &mut Cx, f: impl Fn(f64) -> f64) -> R<Out> {
    let n = cx.int("window_length")?;
    let periodic = cx.bool_or("periodic", true)?;
    let dtype = declared(cx, DEFAULT_FLOAT)?;
    if !(0..=1 << 24).contains(&n) {
        return Err(malformed(format!("a window of {n} positions")));
    }
    let last = if periodic { n } else { n - 1 };
    let line: Vec<f64> = if n == 1 { vec![1.0] } else { (0..n).map(|i| f(i as f64 / last as f64)).collect() };
    let t = Tensor::from_vec(&[line.len()], line).cast(dtype, false).map_err(|e| malformed(e.to_string()))?;
    Ok(Out::Fresh(cx.constant(t)))
}
/// The modified Bessel function of order 0, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..1000 {
        term *= quarter / f64::from(k * k);
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::bessel_i0;

    #[test]
    fn bessel_function_of_order_zero() {
        assert!((bessel_i0(1.0) - 1.266_065_877_752_008_4).abs() < 1e-15);
        assert!((bessel_i0(12.0) / 18_948.925_349_296_31 - 1.0).abs() < 1e-14);
    }
}
