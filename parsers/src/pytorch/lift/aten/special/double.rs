//! Elementary functions in double precision, for which runtimes have kernels in single precision only.
use super::super::unary::{expm1, log1p};
use super::erf::erf;
use super::tables as fits;
use crate::pytorch::lift::cx::{Cx, R, V, unsupported};
use hoist_ir::attr::Attr;
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, LN_2};

/// Constants of SELU (Klambauer and others, 2017).
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

/// Operators that [`composed`] knows.
pub const COMPOSED: &[&str] = &[
    "erf",
    "tan",
    "sinh",
    "cosh",
    "asin",
    "acos",
    "atan",
    "asinh",
    "acosh",
    "atanh",
    "softplus",
    "elu",
    "leaky_relu",
    "p_relu",
    "selu",
    "celu",
    "hard_sigmoid",
    "hard_swish",
];

/// Operator `name` on double-precision operands in terms of others.
pub(in crate::pytorch::lift) fn composed(
    cx: &mut Cx,
    name: &str,
    inputs: &[V],
    attrs: &[(&str, Attr)],
) -> R<V> {
    let alpha = |otherwise: f64| {
        attrs
            .iter()
            .find_map(|(k, v)| match v {
                Attr::Float(a) if *k == "alpha" => Some(f64::from(*a)),
                _ => None,
            })
            .unwrap_or(otherwise)
    };
    let [x, ..] = inputs else { return Err(unsupported("an operator without operands")) };
    let x = *x;
    match name {
        "erf" => erf(cx, x),
        "tan" => {
            let (s, c) = (cx.u("sin", x)?, cx.u("cos", x)?);
            cx.b("div", s, c)
        }
        "sinh" => sinh(cx, x),
        "cosh" => {
            let size = cx.u("abs", x)?;
            let half = cx.bn("sub", size, LN_2)?;
            let (e, minus) = (cx.u("exp", half)?, cx.u("neg", size)?);
            let f = cx.u("exp", minus)?;
            let f = cx.bn("mul", f, 0.5)?;
            cx.b("add", e, f)
        }
        "atan" => atan(cx, x),
        "asin" => {
            let root = complement(cx, x)?;
            let q = cx.b("div", x, root)?;
            atan(cx, q)
        }
        "acos" => {
            let (a, b) = (cx.nb("sub", 1.0, x)?, cx.bn("add", x, 1.0)?);
            let q = cx.b("div", a, b)?;
            let q = cx.u("sqrt", q)?;
            let y = atan(cx, q)?;
            cx.bn("mul", y, 2.0)
        }
        "asinh" => asinh(cx, x),
        "acosh" => acosh(cx, x),
        "atanh" => {
            let size = cx.u("abs", x)?;
            let (twice, left) = (cx.b("add", size, size)?, cx.nb("sub", 1.0, size)?);
            let q = cx.b("div", twice, left)?;
            let l = log1p(cx, q)?;
            let y = cx.bn("mul", l, 0.5)?;
            signed(cx, x, y)
        }
        "elu" | "celu" => activation(cx, name, inputs, alpha(1.0)),
        _ => activation(cx, name, inputs, alpha(0.01)),
    }
}
/// Activation `name` on double-precision operands, where `alpha` is its parameter if it has one.
pub(in super::super) fn activation(cx: &mut Cx, name: &str, inputs: &[V], alpha: f64) -> R<V> {
    let [x, rest @ ..] = inputs else { return Err(unsupported("an operator without operands")) };
    let x = *x;
    match (name, rest) {
        ("softplus", _) => {
            let size = cx.u("abs", x)?;
            let minus = cx.u("neg", size)?;
            let e = cx.u("exp", minus)?;
            let l = log1p(cx, e)?;
            let high = cx.bn("max", x, 0.0)?;
            cx.b("add", high, l)
        }
        ("elu", _) => {
            let e = expm1(cx, x)?;
            let low = cx.bn("mul", e, alpha)?;
            let up = cx.bn("greater", x, 0.0)?;
            cx.choose(up, x, low)
        }
        ("selu", _) => {
            let e = expm1(cx, x)?;
            let low = cx.bn("mul", e, SELU_ALPHA)?;
            let up = cx.bn("greater", x, 0.0)?;
            let y = cx.choose(up, x, low)?;
            cx.bn("mul", y, SELU_SCALE)
        }
        ("celu", _) => {
            let q = cx.bn("div", x, alpha)?;
            let e = expm1(cx, q)?;
            let low = cx.bn("mul", e, alpha)?;
            let up = cx.bn("greater", x, 0.0)?;
            cx.choose(up, x, low)
        }
        // PyTorch's slope is 1/6, which the attribute holds in single precision only.
        ("hard_sigmoid", _) => sixth(cx, x),
        ("hard_swish", _) => {
            let y = sixth(cx, x)?;
            cx.b("mul", x, y)
        }
        ("leaky_relu", _) => {
            let low = cx.bn("mul", x, alpha)?;
            let down = cx.bn("less", x, 0.0)?;
            cx.choose(down, low, x)
        }
        ("p_relu", [slope, ..]) => {
            let low = cx.b("mul", x, *slope)?;
            let down = cx.bn("less", x, 0.0)?;
            cx.choose(down, low, x)
        }
        _ => Err(unsupported(format!("`{name}` in double precision"))),
    }
}
/// `min(max(x + 3, 0), 6) / 6`.
fn sixth(cx: &mut Cx, x: V) -> R<V> {
    let y = cx.bn("add", x, 3.0)?;
    let y = cx.bn("max", y, 0.0)?;
    let y = cx.bn("min", y, 6.0)?;
    cx.bn("div", y, 6.0)
}
/// `y` with the sign of `x`, zeros included.
fn signed(cx: &mut Cx, x: V, y: V) -> R<V> {
    let (zero, below) = (cx.bn("equal", x, 0.0)?, cx.bn("less", x, 0.0)?);
    let minus = cx.u("neg", y)?;
    let y = cx.choose(below, minus, y)?;
    cx.choose(zero, x, y)
}
/// `sqrt((1 - x) (1 + x))`.
fn complement(cx: &mut Cx, x: V) -> R<V> {
    let (a, b) = (cx.nb("sub", 1.0, x)?, cx.bn("add", x, 1.0)?);
    let p = cx.b("mul", a, b)?;
    cx.u("sqrt", p)
}
/// `(e + e / (e + 1)) / 2` with `e = exp(|x|) - 1`; half of the exponential far out.
fn sinh(cx: &mut Cx, x: V) -> R<V> {
    let size = cx.u("abs", x)?;
    let near = cx.bn("min", size, 30.0)?;
    let e = expm1(cx, near)?;
    let next = cx.bn("add", e, 1.0)?;
    let q = cx.b("div", e, next)?;
    let s = cx.b("add", e, q)?;
    let near = cx.bn("mul", s, 0.5)?;
    let half = cx.bn("sub", size, LN_2)?;
    let far = cx.u("exp", half)?;
    let beyond = cx.bn("greater", size, 30.0)?;
    let y = cx.choose(beyond, far, near)?;
    let y = signed(cx, x, y)?;
    let nan = cx.u("is_nan", x)?;
    cx.choose(nan, x, y)
}
/// Through the inverse above 1, and turned by 45 degrees above `tan(pi / 8)`.
fn atan(cx: &mut Cx, x: V) -> R<V> {
    let size = cx.u("abs", x)?;
    let large = cx.bn("greater", size, 1.0)?;
    let inverse = cx.u("reciprocal", size)?;
    let t = cx.choose(large, inverse, size)?;
    let steep = cx.bn("greater", t, 0.414_213_562_373_095)?;
    let (a, b) = (cx.bn("sub", t, 1.0)?, cx.bn("add", t, 1.0)?);
    let turned = cx.b("div", a, b)?;
    let u = cx.choose(steep, turned, t)?;
    let z = cx.b("mul", u, u)?;
    let y = cx.fit(z, &fits::ATAN)?;
    let y = cx.b("mul", y, u)?;
    let added = cx.bn("add", y, FRAC_PI_4)?;
    let y = cx.choose(steep, added, y)?;
    let rest = cx.nb("sub", FRAC_PI_2, y)?;
    let y = cx.choose(large, rest, y)?;
    signed(cx, x, y)
}
/// `log1p(s + s^2 / (1 + sqrt(1 + s^2)))` of the size `s`; `log(2 s)` far out.
fn asinh(cx: &mut Cx, x: V) -> R<V> {
    let size = cx.u("abs", x)?;
    let near = cx.bn("min", size, 1e9)?;
    let square = cx.b("mul", near, near)?;
    let root = cx.bn("add", square, 1.0)?;
    let root = cx.u("sqrt", root)?;
    let root = cx.bn("add", root, 1.0)?;
    let q = cx.b("div", square, root)?;
    let q = cx.b("add", q, near)?;
    let near = log1p(cx, q)?;
    let l = cx.u("log", size)?;
    let far = cx.bn("add", l, LN_2)?;
    let beyond = cx.bn("greater", size, 1e9)?;
    let y = cx.choose(beyond, far, near)?;
    let y = signed(cx, x, y)?;
    let nan = cx.u("is_nan", x)?;
    cx.choose(nan, x, y)
}
/// `log1p(t + sqrt(2 t + t^2))` with `t = x - 1`; `log(2 x)` far out.
fn acosh(cx: &mut Cx, x: V) -> R<V> {
    let t = cx.bn("sub", x, 1.0)?;
    let near = cx.bn("min", t, 1e9)?;
    let (square, twice) = (cx.b("mul", near, near)?, cx.b("add", near, near)?);
    let root = cx.b("add", square, twice)?;
    let root = cx.u("sqrt", root)?;
    let s = cx.b("add", near, root)?;
    let near = log1p(cx, s)?;
    let l = cx.u("log", x)?;
    let far = cx.bn("add", l, LN_2)?;
    let beyond = cx.bn("greater", t, 1e9)?;
    cx.choose(beyond, far, near)
}
