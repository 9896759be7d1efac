//! `torch.fft` and the transforms that core `ATen` has instead.
use super::fourier::{Norm, Transform};
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;
use crate::pytorch::lift::promote::{DEFAULT_FLOAT, to_float};
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: super::Table = OWN;

/// These hold for real and complex operands.
pub(super) const OWN: super::Table = &[
    ("fft_fft", |cx| one(cx, Form::Forward)),
    ("fft_ifft", |cx| one(cx, Form::Inverse)),
    ("fft_rfft", |cx| one(cx, Form::RealForward)),
    ("fft_irfft", |cx| one(cx, Form::RealInverse)),
    ("fft_hfft", |cx| one(cx, Form::HermitianForward)),
    ("fft_ihfft", |cx| one(cx, Form::HermitianInverse)),
    ("fft_fft2", |cx| many(cx, Form::Forward)),
    ("fft_ifft2", |cx| many(cx, Form::Inverse)),
    ("fft_rfft2", |cx| many(cx, Form::RealForward)),
    ("fft_irfft2", |cx| many(cx, Form::RealInverse)),
    ("fft_hfft2", |cx| many(cx, Form::HermitianForward)),
    ("fft_ihfft2", |cx| many(cx, Form::HermitianInverse)),
    ("fft_fftn", |cx| many(cx, Form::Forward)),
    ("fft_ifftn", |cx| many(cx, Form::Inverse)),
    ("fft_rfftn", |cx| many(cx, Form::RealForward)),
    ("fft_irfftn", |cx| many(cx, Form::RealInverse)),
    ("fft_hfftn", |cx| many(cx, Form::HermitianForward)),
    ("fft_ihfftn", |cx| many(cx, Form::HermitianInverse)),
    ("_fft_c2c", core_c2c),
    ("_fft_r2c", core_r2c),
    ("_fft_c2r", core_c2r),
    ("fft_fftshift", |cx| shift(cx, false)),
    ("fft_ifftshift", |cx| shift(cx, true)),
    ("fft_fftfreq", |cx| frequencies(cx, false)),
    ("fft_rfftfreq", |cx| frequencies(cx, true)),
];

/// The transforms of `torch.fft`.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Forward,
    Inverse,
    RealForward,
    RealInverse,
    HermitianForward,
    HermitianInverse,
}

impl Form {
    /// Whether the exponent is positive.
    fn inverse(self) -> bool {
        matches!(self, Self::Inverse | Self::RealInverse | Self::HermitianInverse)
    }
    /// Whether the last axis holds half a spectrum and becomes real.
    fn to_real(self) -> bool {
        matches!(self, Self::RealInverse | Self::HermitianForward)
    }
    /// Whether the last axis is real and becomes half a spectrum.
    fn of_real(self) -> bool {
        matches!(self, Self::RealForward | Self::HermitianInverse)
    }
    /// The transform of the axis where real and complex meet, or of the only one.
    fn apply(self, cx: &mut Cx, x: V, axis: usize, n: Option<Size>, norm: Norm) -> R<V> {
        let n = match n {
            Some(n) => n,
            None if self.to_real() => {
                let size = cx.dim(x, axis)?;
                let less = cx.size_add(&size, &Size::Known(-1))?;
                cx.size_mul(&less, &Size::Known(2))?
            }
            None => cx.dim(x, axis)?,
        };
        let t = Transform { axis, n, inverse: self.inverse(), norm };
        if self.to_real() {
            t.back(cx, x)
        } else if self.of_real() {
            t.half(cx, x)
        } else {
            t.whole(cx, x)
        }
    }
}

/// The operand as floats.
fn operand(cx: &mut Cx) -> R<V> {
    let x = cx.t("self")?;
    let dtype = to_float(cx.dtype(x)?);
    if matches!(dtype, DType::F16 | DType::BF16) {
        return Err(unsupported(format!("a Fourier transform of {dtype}")));
    }
    cx.cast(x, dtype)
}
fn norm(cx: &Cx, inverse: bool) -> R<Norm> {
    match (cx.str_or("norm", "backward")?, inverse) {
        ("backward", false) | ("forward", true) => Ok(Norm::None),
        ("backward", true) | ("forward", false) => Ok(Norm::ByLength),
        ("ortho", _) => Ok(Norm::ByRoot),
        (other, _) => Err(malformed(format!("normalization `{other}` is unknown"))),
    }
}
fn one(cx: &mut Cx, form: Form) -> R<Out> {
    let x = operand(cx)?;
    let axis = wrap(cx.int_or("dim", -1)?, cx.rank(x)?)?;
    let (n, norm) = (cx.opt_size("n")?, norm(cx, form.inverse())?);
    Ok(Out::Fresh(form.apply(cx, x, axis, n, norm)?))
}
/// The axes of an n-dimensional transform with the lengths asked for.
fn plan(cx: &Cx, x: V) -> R<Vec<(usize, Option<Size>)>> {
    let rank = cx.rank(x)?;
    let sizes = if cx.has("s") { Some(cx.sizes("s")?) } else { None };
    let two = cx.target().contains("fft2");
    let axes: Vec<usize> = match (cx.has("dim"), two) {
        (true, _) => cx.ints("dim")?.into_iter().map(|d| wrap(d, rank)).collect::<R<_>>()?,
        (false, true) => vec![wrap(-2, rank)?, wrap(-1, rank)?],
        (false, false) => {
            let n = sizes.as_ref().map_or(rank, Vec::len);
            let first = rank.checked_sub(n).ok_or_else(|| malformed("more sizes than dimensions"))?;
            (first..rank).collect()
        }
    };
    let Some(sizes) = sizes else { return Ok(axes.into_iter().map(|a| (a, None)).collect()) };
    if sizes.len() != axes.len() {
        return Err(malformed(format!("{} sizes for {} dimensions", sizes.len(), axes.len())));
    }
    Ok(axes.into_iter().zip(sizes).map(|(a, s)| (a, Some(s).filter(|s| *s != Size::Known(-1)))).collect())
}
fn many(cx: &mut Cx, form: Form) -> R<Out> {
    let x = operand(cx)?;
    let norm = norm(cx, form.inverse())?;
    let mut axes = plan(cx, x)?;
    let plain = if form.inverse() { Form::Inverse } else { Form::Forward };
    let last = if form.to_real() || form.of_real() { axes.pop() } else { None };
    let mut y = x;
    let step =
        |cx: &mut Cx, y: V, form: Form, a: &(usize, Option<Size>)| form.apply(cx, y, a.0, a.1.clone(), norm);
    if let (Some(last), true) = (&last, form.of_real()) {
        y = step(cx, y, form, last)?;
    }
    for axis in axes.iter().rev() {
        y = step(cx, y, plain, axis)?;
    }
    if let (Some(last), true) = (&last, form.to_real()) {
        y = step(cx, y, form, last)?;
    }
    if axes.is_empty() && last.is_none() && !cx.is_complex(y) {
        y = cx.complex_of_real(y)?;
    }
    Ok(Out::Fresh(y))
}

/// Normalization of core `ATen` by number.
fn numbered(cx: &Cx) -> R<Norm> {
    match cx.int("normalization")? {
        0 => Ok(Norm::None),
        1 => Ok(Norm::ByRoot),
        2 => Ok(Norm::ByLength),
        other => Err(malformed(format!("normalization {other} is unknown"))),
    }
}
fn core_axes(cx: &Cx, x: V) -> R<Vec<usize>> {
    let rank = cx.rank(x)?;
    cx.ints("dim")?.into_iter().map(|d| wrap(d, rank)).collect()
}
fn core_c2c(cx: &mut Cx) -> R<Out> {
    let x = operand(cx)?;
    let form = if cx.bool_or("forward", true)? { Form::Forward } else { Form::Inverse };
    let norm = numbered(cx)?;
    let axes = core_axes(cx, x)?;
    let y = axes.iter().rev().try_fold(x, |y, axis| form.apply(cx, y, *axis, None, norm))?;
    Ok(Out::Fresh(y))
}
fn core_r2c(cx: &mut Cx) -> R<Out> {
    let x = operand(cx)?;
    let first = if cx.bool_or("onesided", true)? { Form::RealForward } else { Form::Forward };
    let norm = numbered(cx)?;
    let axes = core_axes(cx, x)?;
    let mut y = x;
    for (i, axis) in axes.iter().rev().enumerate() {
        y = if i == 0 { first } else { Form::Forward }.apply(cx, y, *axis, None, norm)?;
    }
    Ok(Out::Fresh(y))
}
fn core_c2r(cx: &mut Cx) -> R<Out> {
    let x = operand(cx)?;
    let norm = numbered(cx)?;
    let n = cx.size("last_dim_size")?;
    let axes = core_axes(cx, x)?;
    let (last, rest) = axes.split_last().ok_or_else(|| malformed("no dimension to transform"))?;
    let y = rest.iter().rev().try_fold(x, |y, axis| Form::Inverse.apply(cx, y, *axis, None, norm))?;
    Ok(Out::Fresh(Form::RealInverse.apply(cx, y, *last, Some(n), norm)?))
}

/// Moves the zero frequency to the middle, or back.
fn shift(cx: &mut Cx, back: bool) -> R<Out> {
    let mut x = cx.t("self")?;
    let rank = cx.rank(x)?;
    let axes: Vec<usize> = if cx.has("dim") {
        cx.ints("dim")?.into_iter().map(|d| wrap(d, rank)).collect::<R<_>>()?
    } else {
        (0..rank).collect()
    };
    for axis in axes {
        let n = cx.dim(x, axis)?;
        let up = if back { n.clone() } else { cx.size_add(&n, &Size::Known(1))? };
        // The first element of the result.
        let first = cx.size_op("div", &up, &Size::Known(2), i64::checked_div)?;
        if matches!((&n, &first), (Size::Known(n), Size::Known(f)) if n == f || *f == 0) {
            continue;
        }
        let head = cx.slice(x, axis, &first, &Size::Known(i64::MAX), 1)?;
        let tail = cx.slice(x, axis, &Size::Known(0), &first, 1)?;
        x = cx.concat(&[head, tail], axis)?;
    }
    Ok(Out::Fresh(x))
}
/// Longest list of frequencies that becomes a constant.
const MAX_LINE: i64 = 1 << 24;

/// `k / (n d)` for the frequencies of a transform of length `n`.
fn frequencies(cx: &mut Cx, half: bool) -> R<Out> {
    let (n, d) = (cx.int("n")?, cx.float_or("d", 1.0)?);
    let dtype = match cx.opt_dtype("dtype")? {
        Some(dtype) => dtype,
        None => cx.declared_dtype(0)?.unwrap_or(DEFAULT_FLOAT),
    };
    if !(1..=MAX_LINE).contains(&n) {
        return Err(malformed(format!("{n} frequencies")));
    }
    let count = if half { n / 2 + 1 } else { n };
    let scale = 1.0 / (n as f64 * d);
    let at = |k: i64| if half || k < (n + 1) / 2 { k } else { k - n };
    let line: Vec<f64> = (0..count).map(|k| at(k) as f64 * scale).collect();
    let t = Tensor::from_vec(&[line.len()], line)
        .cast(if dtype.is_complex() { DType::F64 } else { dtype }, false);
    let v = cx.constant(t.map_err(|e| malformed(e.to_string()))?);
    Ok(Out::Fresh(cx.cast(v, dtype)?))
}
