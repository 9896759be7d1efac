//! Fourier transforms and complex numbers.
use super::Row;
use super::bridge::Arg;
use super::cx::{Cx, R};
use super::val::Val;

pub(super) const TABLE: &[Row] = &[
    ("FFT", "", |cx| plain(cx, "fft_fftn", 1)),
    ("FFT2D", "", |cx| plain(cx, "fft_fftn", 2)),
    ("FFT3D", "", |cx| plain(cx, "fft_fftn", 3)),
    ("IFFT", "", |cx| plain(cx, "fft_ifftn", 1)),
    ("IFFT2D", "", |cx| plain(cx, "fft_ifftn", 2)),
    ("IFFT3D", "", |cx| plain(cx, "fft_ifftn", 3)),
    ("RFFT", "", |cx| sized(cx, "fft_rfftn", 1)),
    ("RFFT2D", "", |cx| sized(cx, "fft_rfftn", 2)),
    ("RFFT3D", "", |cx| sized(cx, "fft_rfftn", 3)),
    ("IRFFT", "", |cx| sized(cx, "fft_irfftn", 1)),
    ("IRFFT2D", "", |cx| sized(cx, "fft_irfftn", 2)),
    ("IRFFT3D", "", |cx| sized(cx, "fft_irfftn", 3)),
    ("Complex", "", complex),
    ("Real", "", |cx| part(cx, 0)),
    ("Imag", "", |cx| part(cx, 1)),
    ("Conj", "", conj),
    ("ComplexAbs", "", |cx| of_complex(cx, "abs")),
    ("Angle", "", |cx| of_complex(cx, "angle")),
];

/// Operand `i` as one of PyTorch.
fn operand(cx: &Cx<'_, '_, '_>, i: usize) -> R<Arg> {
    Ok(match cx.val(i)? {
        Val::Complex(v) => Arg::C(*v),
        _ => Arg::T(cx.arg(i)?),
    })
}

/// The last `n` axes.
fn last(n: i64) -> Vec<i64> {
    (-n..0).collect()
}

fn plain(cx: &mut Cx<'_, '_, '_>, name: &str, n: i64) -> R<Vec<Val>> {
    let x = operand(cx, 0)?;
    let out = cx.aten_all(name, &[("self", x), ("dim", Arg::Is(last(n)))])?;
    Ok(out.into_iter().map(Val::from).collect())
}

/// A transform of as many elements along the last axes as operand 1 says: the data is cut or filled with zeros.
fn sized(cx: &mut Cx<'_, '_, '_>, name: &str, n: i64) -> R<Vec<Val>> {
    let (x, sizes) = (operand(cx, 0)?, cx.ints(1, "lengths")?);
    if sizes.len() as i64 != n || sizes.iter().any(|s| !(1..1 << 24).contains(s)) {
        return Err(cx.unsupported(format!("lengths {sizes:?}")));
    }
    let out = cx.aten_all(name, &[("self", x), ("s", Arg::Is(sizes)), ("dim", Arg::Is(last(n)))])?;
    Ok(out.into_iter().map(Val::from).collect())
}

fn complex(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (re, im) = (cx.arg(0)?, cx.arg(1)?);
    let (re, im) = if cx.shape(re).is_some() && cx.shape(re) == cx.shape(im) {
        (re, im)
    } else {
        // Operands broadcast: one that holds the sizes of both.
        let both = cx.named("mul", &[re, im])?;
        let shape = cx.shape_of(both)?;
        (cx.expand(re, shape)?, cx.expand(im, shape)?)
    };
    let (re, im) = (cx.unsqueeze(re, &[-1])?, cx.unsqueeze(im, &[-1])?);
    Ok(vec![Val::Complex(cx.concat(&[re, im], -1)?)])
}

/// The real (0) or the imaginary (1) part; that of a real number is itself, or zero.
fn part(cx: &mut Cx<'_, '_, '_>, which: i64) -> R<Vec<Val>> {
    let Val::Complex(v) = *cx.val(0)? else {
        let x = cx.arg(0)?;
        if which == 0 {
            return Ok(vec![x.into()]);
        }
        let (zero, shape) = (cx.number(0.0, x)?, cx.shape_of(x)?);
        return Ok(vec![cx.expand(zero, shape)?.into()]);
    };
    let one = cx.slice(v, -1, which, which + 1)?;
    Ok(vec![cx.squeeze(one, &[-1])?.into()])
}

fn conj(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let Val::Complex(v) = *cx.val(0)? else { return Ok(vec![cx.arg(0)?.into()]) };
    let out = cx.aten_all("_conj_physical", &[("self", Arg::C(v))])?;
    Ok(out.into_iter().map(Val::from).collect())
}

fn of_complex(cx: &mut Cx<'_, '_, '_>, name: &str) -> R<Vec<Val>> {
    let x = operand(cx, 0)?;
    let out = cx.aten_all(name, &[("self", x)])?;
    Ok(out.into_iter().map(Val::from).collect())
}
