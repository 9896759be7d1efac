//! Singular values of triangular matrices of two rows.
use crate::pytorch::lift::cx::{Cx, R, V};

/// `|x|` with the sign of `s`; that of 0 is positive.
fn signed(cx: &mut Cx, x: V, s: V) -> R<V> {
    let size = cx.u("abs", x)?;
    let opposite = cx.u("neg", size)?;
    let negative = cx.bn("less", s, 0.0)?;
    cx.choose(negative, opposite, size)
}
/// The sign of `x`, 1 or -1.
fn sign(cx: &mut Cx, x: V) -> R<V> {
    let one = cx.num(x, 1.0)?;
    signed(cx, one, x)
}
/// `sqrt(a² + b²)`.
fn length(cx: &mut Cx, a: V, b: V) -> R<V> {
    let (p, q) = (cx.b("mul", a, a)?, cx.b("mul", b, b)?);
    let sum = cx.b("add", p, q)?;
    cx.u("sqrt", sum)
}

/// The smaller singular value of `[f g; 0 h]`: the determinant over the larger one, which is half the sum of the lengths of
/// `(f ± h, g)`.
pub(super) fn smaller_value(cx: &mut Cx, f: V, g: V, h: V) -> R<V> {
    let (f, h) = (cx.u("abs", f)?, cx.u("abs", h)?);
    let (sum, gap) = (cx.b("add", f, h)?, cx.b("sub", f, h)?);
    let (p, q) = (length(cx, sum, g)?, length(cx, gap, g)?);
    let twice = cx.b("add", p, q)?;
    let larger = cx.bn("mul", twice, 0.5)?;
    let none = cx.bn("equal", larger, 0.0)?;
    let one = cx.num(larger, 1.0)?;
    let larger = cx.choose(none, one, larger)?;
    let ratio = cx.b("div", f, larger)?;
    cx.b("mul", ratio, h)
}
/// Decomposition of `[f g; 0 h]` with the signs of LAPACK's `lasv2`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    /// Larger and smaller singular value, with signs.
    pub large: V,
    pub small: V,
    /// Cosine and sine of the rotation of columns.
    pub right: (V, V),
    /// Cosine and sine of the rotation of rows.
    pub left: (V, V),
}
/// Decomposes; `g` is not 0.
pub(super) fn decompose(cx: &mut Cx, f: V, g: V, h: V) -> R<Pair> {
    let (size_f, size_g, size_h) = (cx.u("abs", f)?, cx.u("abs", g)?, cx.u("abs", h)?);
    let swap = cx.b("greater", size_h, size_f)?;
    let (ft, ht) = (cx.choose(swap, h, f)?, cx.choose(swap, f, h)?);
    let (fa, ha) = (cx.choose(swap, size_h, size_f)?, cx.choose(swap, size_f, size_h)?);
    let steep = cx.b("greater", size_g, fa)?;
    // l = (|f| - |h|) / |f|, m = g / f, t = 2 - l.
    let d = cx.b("sub", fa, ha)?;
    let (l, m) = (cx.b("div", d, fa)?, cx.b("div", g, ft)?);
    let t = cx.nb("sub", 2.0, l)?;
    let (s, r) = (length(cx, t, m)?, length(cx, l, m)?);
    let sum = cx.b("add", s, r)?;
    let a = cx.bn("mul", sum, 0.5)?;
    let (small, large) = (cx.b("div", ha, a)?, cx.b("mul", fa, a)?);
    let (st, rl) = (cx.b("add", s, t)?, cx.b("add", r, l)?);
    let (p, q) = (cx.b("div", m, st)?, cx.b("div", m, rl)?);
    let both = cx.b("add", p, q)?;
    let more = cx.bn("add", a, 1.0)?;
    let t = cx.b("mul", both, more)?;
    let two = cx.num(t, 2.0)?;
    let l = length(cx, t, two)?;
    let (cosine, sine) = (cx.b("div", two, l)?, cx.b("div", t, l)?);
    let sm = cx.b("mul", sine, m)?;
    let left = cx.b("add", cosine, sm)?;
    let left_cosine = cx.b("div", left, a)?;
    let ratio = cx.b("div", ht, ft)?;
    let left = cx.b("mul", ratio, sine)?;
    let left_sine = cx.b("div", left, a)?;

    let csl = cx.choose(swap, sine, left_cosine)?;
    let snl = cx.choose(swap, cosine, left_sine)?;
    let csr = cx.choose(swap, left_sine, cosine)?;
    let snr = cx.choose(swap, left_cosine, sine)?;
    // The sign follows the largest element.
    let (sf, sg, sh) = (sign(cx, f)?, sign(cx, g)?, sign(cx, h)?);
    let (scl, ssl, scr, ssr) = (sign(cx, csl)?, sign(cx, snl)?, sign(cx, csr)?, sign(cx, snr)?);
    let by_f = cx.b("mul", scr, scl)?;
    let by_f = cx.b("mul", by_f, sf)?;
    let by_g = cx.b("mul", ssr, scl)?;
    let by_g = cx.b("mul", by_g, sg)?;
    let by_h = cx.b("mul", ssr, ssl)?;
    let by_h = cx.b("mul", by_h, sh)?;
    let whole = cx.choose(swap, by_h, by_f)?;
    let whole = cx.choose(steep, by_g, whole)?;
    let large = signed(cx, large, whole)?;
    let of_small = cx.b("mul", whole, sf)?;
    let of_small = cx.b("mul", of_small, sh)?;
    Ok(Pair { large, small: signed(cx, small, of_small)?, right: (csr, snr), left: (csl, snl) })
}
