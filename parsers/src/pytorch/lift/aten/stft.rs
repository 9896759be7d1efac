//! Short-time Fourier transforms.
use super::fourier::{MAX_MATRIX, MAX_MATRIX_ODD, Norm, Transform, circle};
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use crate::pytorch::lift::pairs::{Parts, part_type};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: super::Table = OWN;
/// These hold for real and complex operands.
pub(super) const OWN: super::Table = &[("stft", stft), ("istft", istft)];

/// Longest window, and most frames in a row whose overlap is known at conversion time.
const MAX_LINE: i64 = 1 << 22;
/// Most frames that may cover one sample.
const MAX_OVERLAP: i64 = 256;

/// What both directions share.
struct Frames {
    /// Length of a frame and of its transform.
    n: i64,
    /// Distance of frames.
    hop: i64,
    /// Weights of a frame's samples, `[n]`; none where all are 1.
    window: Option<V>,
    /// Whether spectra are scaled by the root of the length.
    normalized: bool,
}

/// The arguments; the window, of the type of `like`, is filled up with zeros on both sides.
fn frames(cx: &mut Cx, like: DType) -> R<Frames> {
    let n = cx.int("n_fft")?;
    let hop = if cx.has("hop_length") { cx.int("hop_length")? } else { n / 4 };
    let length = if cx.has("win_length") { cx.int("win_length")? } else { n };
    if !(1..=MAX_LINE).contains(&n) || !(1..=MAX_LINE).contains(&hop) || !(1..=n).contains(&length) {
        return Err(malformed(format!("frames of {n} samples, {hop} apart, with a window of {length}")));
    }
    let window = match cx.opt_t("window")? {
        Some(w) => Some(padded_window(cx, w, like, length, n)?),
        None if length < n => {
            let ones = Tensor::from_vec(&[length as usize], vec![1.0; length as usize]);
            let ones = cx.constant(ones);
            Some(padded_window(cx, ones, like, length, n)?)
        }
        None => None,
    };
    Ok(Frames { n, hop, window, normalized: cx.bool_or("normalized", false)? })
}
/// A window of `length` values between zeros, `n` together; a constant stays one.
fn padded_window(cx: &mut Cx, w: V, like: DType, length: i64, n: i64) -> R<V> {
    if cx.is_complex(w) {
        return Err(unsupported("a complex window"));
    }
    if cx.known_sizes(w).is_some_and(|s| s != [length]) {
        return Err(malformed(format!("the window has other than {length} values")));
    }
    let left = (n - length) / 2;
    let Some(t) = cx.graph.constant(w) else {
        let w = cx.cast(w, like)?;
        return pad_last(cx, w, left, n - length - left);
    };
    let bad = |e: hoist_ir::tensor::TensorError| malformed(e.to_string());
    let mut all = vec![0.0; n as usize];
    for (to, from) in all.iter_mut().skip(left as usize).zip(t.to_f64s().map_err(bad)?) {
        *to = from;
    }
    let t = Tensor::from_vec(&[all.len()], all).cast(like, false).map_err(bad)?;
    Ok(cx.constant(t))
}
/// Zeros before and after the last axis.
fn pad_last(cx: &mut Cx, x: V, before: i64, after: i64) -> R<V> {
    if before == 0 && after == 0 {
        return Ok(x);
    }
    let zero = cx.num(x, 0.0)?;
    pad_with(cx, x, before, after, "constant", Some(zero))
}
fn pad_with(cx: &mut Cx, x: V, before: i64, after: i64, mode: &str, value: Option<V>) -> R<V> {
    let rank = cx.rank(x)?;
    let mut pads = vec![0; 2 * rank];
    pads[rank - 1] = before;
    pads[2 * rank - 1] = after;
    let pads = cx.int_list(&pads);
    let operands: Vec<V> = [x, pads].into_iter().chain(value).collect();
    cx.with("pad", &operands, &[("mode", Attr::Str(mode.into()))])
}

fn stft(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let dtype = cx.dtype(x)?;
    if !matches!(part_type(dtype), DType::F32 | DType::F64) {
        return Err(unsupported(format!("a Fourier transform of {dtype}")));
    }
    let frames = frames(cx, part_type(dtype))?;
    let complex = cx.is_complex(x);
    let onesided = cx.bool_or("onesided", !complex)?;
    let pairs = !cx.bool_or("return_complex", complex)?;
    let bare = cx.rank(x)? == 1;
    let mut x = if bare { cx.unsqueeze(x, &[0])? } else { x };
    // Only an overload that is not called from Python pads by itself.
    let centered = cx.names("center") || cx.names("pad_mode");
    if cx.bool_or("center", centered)? {
        let mode = match cx.str_or("pad_mode", "reflect")? {
            "constant" => "constant",
            "reflect" => "reflect",
            "replicate" => "edge",
            other => return Err(unsupported(format!("a border of kind `{other}`"))),
        };
        let half = frames.n / 2;
        x = pad_with(cx, x, half, half, mode, None)?;
    } else if cx.bool_or("align_to_window", false)? {
        return Err(unsupported("frames aligned to the window"));
    }
    let y = frames.spectra(cx, x, onesided)?;
    let y = if bare { cx.squeeze(y, &[0])? } else { y };
    Ok(Out::Fresh(if pairs { cx.as_pairs(y)? } else { y }))
}

impl Frames {
    fn factor(&self) -> f64 {
        if self.normalized { Norm::ByRoot.factor(self.n) } else { 1.0 }
    }
    /// Spectra `[batch, bins, frames]` of signals `[batch, length]`.
    fn spectra(&self, cx: &mut Cx, x: V, onesided: bool) -> R<V> {
        let bins = if onesided { self.n / 2 + 1 } else { self.n };
        let weights = match self.window {
            None => Some(vec![1.0; self.n as usize]),
            Some(w) => self.known_window(cx, w)?,
        };
        let short = self.n <= 1024 || self.n.count_ones() > 1;
        let most = if self.n.count_ones() == 1 { MAX_MATRIX } else { MAX_MATRIX_ODD };
        match weights {
            Some(w)
                if !cx.is_complex(x) && cx.dtype(x)? == DType::F32 && short && 2 * bins * self.n <= most =>
            {
                self.convolved(cx, x, bins, &w)
            }
            _ => self.operator(cx, x, onesided),
        }
    }
    /// The weights, if the window is a constant.
    fn known_window(&self, cx: &Cx, w: V) -> R<Option<Vec<f64>>> {
        let Some(t) = cx.graph.constant(w) else { return Ok(None) };
        let w = t.to_f64s().map_err(|e| malformed(e.to_string()))?;
        if w.len() as i64 != self.n {
            return Err(malformed(format!("a window of {} values for frames of {}", w.len(), self.n)));
        }
        Ok(Some(w))
    }
    /// Spectra as a convolution with waves under the window.
    fn convolved(&self, cx: &mut Cx, x: V, bins: i64, weights: &[f64]) -> R<V> {
        let n = weights.len();
        let factor = self.factor();
        let mut waves = Vec::with_capacity(2 * bins as usize * n);
        for part in 0..2 {
            for k in 0..bins {
                waves.extend(weights.iter().enumerate().map(|(i, w)| {
                    let (c, s) = circle((i as i128 * i128::from(k) % n as i128) as i64, self.n);
                    factor * w * if part == 0 { c } else { -s }
                }));
            }
        }
        let waves = Tensor::from_vec(&[2 * bins as usize, 1, n], waves).cast(DType::F32, false);
        let waves = cx.constant(waves.map_err(|e| malformed(e.to_string()))?);
        let x = cx.unsqueeze(x, &[1])?;
        let attrs = [("strides", Attr::Ints(vec![self.hop]))];
        let y = cx.with("conv", &[x, waves], &attrs)?;
        let (re, im) = (cx.slice_known(y, 1, 0, bins)?, cx.slice_known(y, 1, bins, 2 * bins)?);
        cx.complex(re, im)
    }
    /// Spectra by the operator: in double precision where the length is no power of two.
    fn operator(&self, cx: &mut Cx, x: V, onesided: bool) -> R<V> {
        let part = part_type(cx.dtype(x)?);
        let wide = if self.n.count_ones() == 1 { part } else { DType::F64 };
        let signal = if cx.is_complex(x) { cx.as_pairs(x)? } else { cx.unsqueeze(x, &[2])? };
        let signal = cx.cast(signal, wide)?;
        let window = if let Some(w) = self.window {
            w
        } else {
            let one = cx.num_of(wide, 1.0)?;
            cx.full(&[Size::Known(self.n)], one)?
        };
        let window = cx.cast(window, wide)?;
        let hop = cx.constant(Tensor::scalar(self.hop));
        let y = cx.with("stft", &[signal, hop, window], &[("onesided", Attr::Bool(onesided))])?;
        let y = cx.cast(y, part)?;
        let y = if self.normalized { cx.bn("mul", y, self.factor())? } else { y };
        let y = cx.permute(y, &[0, 2, 1, 3])?;
        Ok(cx.mark(y, Parts::Joined))
    }
    /// Adds up frames `[batch, frames, n]` where they overlap: `[batch, length]`.
    fn overlapped(&self, cx: &mut Cx, x: V) -> R<V> {
        let pieces = (self.n + self.hop - 1) / self.hop;
        if pieces > MAX_OVERLAP {
            return Err(unsupported(format!("frames of {} samples only {} apart", self.n, self.hop)));
        }
        let x = pad_last(cx, x, 0, pieces * self.hop - self.n)?;
        let mut sum = None;
        for i in 0..pieces {
            let piece = cx.slice_known(x, 2, i * self.hop, (i + 1) * self.hop)?;
            let (batch, count) = (cx.dim(piece, 0)?, cx.dim(piece, 1)?);
            let length = cx.size_mul(&count, &Size::Known(self.hop))?;
            let piece = cx.reshape(piece, &[batch, length])?;
            let piece = pad_last(cx, piece, i * self.hop, (pieces - 1 - i) * self.hop)?;
            sum = Some(match sum {
                None => piece,
                Some(s) => cx.b("add", s, piece)?,
            });
        }
        let sum = sum.ok_or_else(|| malformed("frames without samples"))?;
        let surplus = pieces * self.hop - self.n;
        if surplus == 0 {
            return Ok(sum);
        }
        cx.slice(sum, 1, &Size::Known(0), &Size::Known(-surplus), 1)
    }
    /// The sum of squared windows where `count` frames overlap, `[1, length]`.
    fn envelope(&self, cx: &mut Cx, count: &Size, dtype: DType) -> R<V> {
        let known = match self.window {
            None => Some(vec![1.0; self.n as usize]),
            Some(w) => self.known_window(cx, w)?,
        };
        if let (Some(w), Size::Known(count)) = (known, count)
            && let Some(length) = count.checked_sub(1).and_then(|c| c.checked_mul(self.hop))
            && (0..=MAX_LINE).contains(&length)
            && count.saturating_mul(self.n) <= MAX_LINE * 16
        {
            let mut sum = vec![0.0; (length + self.n) as usize];
            for start in (0..=length as usize).step_by(self.hop as usize) {
                for (s, w) in sum[start..].iter_mut().zip(&w) {
                    *s += w * w;
                }
            }
            let t = Tensor::from_vec(&[1, sum.len()], sum).cast(dtype, false);
            return Ok(cx.constant(t.map_err(|e| malformed(e.to_string()))?));
        }
        let w = if let Some(w) = self.window {
            cx.b("mul", w, w)?
        } else {
            let one = cx.num_of(dtype, 1.0)?;
            cx.full(&[Size::Known(self.n)], one)?
        };
        let w = cx.unsqueeze(w, &[0, 1])?;
        let all = cx.expand(w, &[Size::Known(1), count.clone(), Size::Known(self.n)])?;
        self.overlapped(cx, all)
    }
}

fn istft(cx: &mut Cx) -> R<Out> {
    let z = cx.t("self")?;
    if !cx.is_complex(z) {
        return Err(malformed("istft is for complex spectra"));
    }
    let part = part_type(cx.dtype(z)?);
    let frames = frames(cx, part)?;
    let bare = cx.rank(z)? == 2;
    let z = if bare { cx.unsqueeze(z, &[0])? } else { z };
    let bins = cx.known(z, 1).ok_or_else(|| unsupported("a dynamic number of frequencies"))?;
    let onesided = cx.bool_or("onesided", bins != frames.n)?;
    let complex = cx.bool_or("return_complex", false)?;
    let norm = if frames.normalized { Norm::ByRoot } else { Norm::ByLength };
    let t = Transform { axis: 2, n: Size::Known(frames.n), inverse: true, norm };
    let z = cx.permute(z, &[0, 2, 1])?;
    let y = match (complex, onesided) {
        (true, true) => return Err(malformed("a one-sided spectrum has a real signal")),
        (true, false) => t.whole(cx, z)?,
        (false, _) => t.back(cx, z)?,
    };
    let count = cx.dim(z, 1)?;
    let y = match frames.window {
        Some(w) => cx.each_part(y, &mut |cx, p| cx.b("mul", p, w))?,
        None => y,
    };
    let y = cx.each_part(y, &mut |cx, p| frames.overlapped(cx, p))?;
    let envelope = frames.envelope(cx, &count, part)?;
    let (start, end) = ends(cx, &frames)?;
    let cut = |cx: &mut Cx, v: V| cx.slice(v, 1, &Size::Known(start), &end, 1);
    let envelope = cut(cx, envelope)?;
    let y = cx.each_part(y, &mut |cx, p| {
        let p = cut(cx, p)?;
        cx.b("div", p, envelope)
    })?;
    let y = match cx.opt_size("length")? {
        Some(length) => lengthened(cx, y, &length)?,
        None => y,
    };
    Ok(Out::Fresh(if bare { cx.squeeze(y, &[0])? } else { y }))
}
/// The part of the signal that is kept.
fn ends(cx: &mut Cx, frames: &Frames) -> R<(i64, Size)> {
    let half = frames.n / 2;
    let center = cx.bool_or("center", true)?;
    let start = if center { half } else { 0 };
    let end = match cx.opt_size("length")? {
        Some(length) => cx.size_add(&length, &Size::Known(start))?,
        None if center && half > 0 => Size::Known(-half),
        None => Size::Known(i64::MAX),
    };
    Ok((start, end))
}
/// Zeros behind a signal shorter than `length`.
fn lengthened(cx: &mut Cx, y: V, length: &Size) -> R<V> {
    match (length, cx.known(y, 1)) {
        (Size::Known(l), Some(n)) if n >= *l => return Ok(y),
        (Size::Known(l), Some(n)) => return cx.each_part(y, &mut |cx, p| pad_last(cx, p, 0, l - n)),
        _ => {}
    }
    let batch = cx.dim(y, 0)?;
    cx.each_part(y, &mut |cx, p| {
        let zero = cx.num(p, 0.0)?;
        let zeros = cx.full(&[batch.clone(), length.clone()], zero)?;
        let all = cx.concat(&[p, zeros], 1)?;
        cx.slice(all, 1, &Size::Known(0), length, 1)
    })
}
