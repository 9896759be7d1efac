//! Activation functions.
use super::unary::{clip, expm1, formula};
use crate::pytorch::lift::cx::{Cx, Out, R, V, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[
    ("relu", relu),
    ("relu6", |cx| bounded(cx, 0.0, 6.0)),
    ("hardtanh", |cx| {
        let (low, high) = (cx.float_or("min_val", -1.0)?, cx.float_or("max_val", 1.0)?);
        bounded(cx, low, high)
    }),
    ("gelu", gelu),
    ("silu", |cx| {
        formula(cx, |cx, x| {
            let s = cx.u("sigmoid", x)?;
            cx.b("mul", x, s)
        })
    }),
    ("hardswish", |cx| plain(cx, "hard_swish", &[])),
    ("hardsigmoid", |cx| {
        plain(cx, "hard_sigmoid", &[("alpha", Attr::Float(1.0 / 6.0)), ("beta", Attr::Float(0.5))])
    }),
    ("mish", |cx| {
        formula(cx, |cx, x| {
            let s = softplus_of(cx, x)?;
            let t = cx.u("tanh", s)?;
            cx.b("mul", x, t)
        })
    }),
    ("softplus", softplus),
    ("softsign", |cx| plain(cx, "softsign", &[])),
    ("elu", elu),
    ("selu", |cx| plain(cx, "selu", &[])),
    ("celu", |cx| {
        let alpha = cx.float_or("alpha", 1.0)?;
        sloped(cx, "celu", alpha)
    }),
    ("leaky_relu", |cx| {
        let slope = cx.float_or("negative_slope", 0.01)?;
        sloped(cx, "leaky_relu", slope)
    }),
    ("prelu", prelu),
    ("_prelu_kernel", prelu),
    ("threshold", threshold),
    ("hardshrink", hardshrink),
    ("softshrink", softshrink),
    ("log_sigmoid", |cx| formula(cx, log_sigmoid)),
    ("log_sigmoid_forward", |cx| {
        let y = formula(cx, log_sigmoid)?;
        // Space for the gradient only.
        let x = cx.t("self")?;
        let zero = cx.num(x, 0.0)?;
        Ok(Out::Many(vec![y, Out::Fresh(cx.full(&[0.into()], zero)?)]))
    }),
    ("glu", glu),
    ("_softmax_backward_data", softmax_backward),
];

/// An operator with the parameter `alpha`, which it holds in single precision.
pub(super) fn sloped(cx: &mut Cx, op: &str, alpha: f64) -> R<Out> {
    let x = cx.t("self")?;
    if cx.dtype(x)? == DType::F64 {
        return Ok(Out::Fresh(super::special::activation(cx, op, &[x], alpha)?));
    }
    plain(cx, op, &[("alpha", Attr::Float(alpha as f32))])
}
fn plain(cx: &mut Cx, op: &str, attrs: &[(&str, Attr)]) -> R<Out> {
    let x = cx.t("self")?;
    Ok(Out::Fresh(cx.with(op, &[x], attrs)?))
}
fn relu(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    if !cx.dtype(x)?.is_float() {
        return Ok(Out::Fresh(cx.bn("max", x, 0.0)?));
    }
    plain(cx, "relu", &[])
}
fn bounded(cx: &mut Cx, low: f64, high: f64) -> R<Out> {
    let x = cx.t("self")?;
    Ok(Out::Fresh(clip(cx, x, Some(low), Some(high))?))
}
/// `x Phi(x)`; with `tanh`, Hendrycks and Gimpel's approximation.
fn gelu(cx: &mut Cx) -> R<Out> {
    let approximate = cx.str_or("approximate", "none")?.to_owned();
    let x = cx.t("self")?;
    if cx.dtype(x)? == DType::F32 && matches!(approximate.as_str(), "none" | "tanh") {
        return Ok(Out::Fresh(cx.with("gelu", &[x], &[("approximate", Attr::Str(approximate))])?));
    }
    match approximate.as_str() {
        "none" => formula(cx, |cx, x| {
            let z = cx.bn("div", x, std::f64::consts::SQRT_2)?;
            let e = super::special::erf(cx, z)?;
            let e = cx.bn("add", e, 1.0)?;
            let y = cx.b("mul", x, e)?;
            cx.bn("mul", y, 0.5)
        }),
        "tanh" => formula(cx, |cx, x| {
            let square = cx.b("mul", x, x)?;
            let cube = cx.b("mul", square, x)?;
            let cube = cx.bn("mul", cube, 0.044715)?;
            let inner = cx.b("add", x, cube)?;
            let inner = cx.bn("mul", inner, (2.0 / std::f64::consts::PI).sqrt())?;
            let t = cx.u("tanh", inner)?;
            let t = cx.bn("add", t, 1.0)?;
            let half = cx.bn("mul", x, 0.5)?;
            cx.b("mul", half, t)
        }),
        other => Err(malformed(format!("gelu approximation `{other}` is unknown"))),
    }
}
/// `log(1 + exp(x))`.
pub(super) fn softplus_of(cx: &mut Cx, x: V) -> R<V> {
    cx.u("softplus", x)
}
fn softplus(cx: &mut Cx) -> R<Out> {
    let (beta, threshold) = (cx.float_or("beta", 1.0)?, cx.float_or("threshold", 20.0)?);
    formula(cx, |cx, x| {
        let z = if beta == 1.0 { x } else { cx.bn("mul", x, beta)? };
        let y = softplus_of(cx, z)?;
        let y = if beta == 1.0 { y } else { cx.bn("div", y, beta)? };
        let linear = cx.bn("greater", z, threshold)?;
        cx.choose(linear, x, y)
    })
}
fn elu(cx: &mut Cx) -> R<Out> {
    let (alpha, scale, input_scale) =
        (cx.float_or("alpha", 1.0)?, cx.float_or("scale", 1.0)?, cx.float_or("input_scale", 1.0)?);
    if scale == 1.0 && input_scale == 1.0 {
        return sloped(cx, "elu", alpha);
    }
    formula(cx, |cx, x| {
        let z = cx.bn("mul", x, input_scale)?;
        let e = expm1(cx, z)?;
        let low = cx.bn("mul", e, alpha * scale)?;
        let high = cx.bn("mul", x, scale)?;
        let up = cx.bn("greater", x, 0.0)?;
        cx.choose(up, high, low)
    })
}
fn prelu(cx: &mut Cx) -> R<Out> {
    let (x, w) = (cx.t("self")?, cx.t("weight")?);
    let (rank, w_rank) = (cx.rank(x)?, cx.rank(w)?);
    // One slope per channel, axis 1.
    let w = if w_rank == 1 && rank > 2 {
        let mut sizes = vec![1; rank - 1];
        sizes[0] = -1;
        cx.reshape_to(w, &sizes)?
    } else {
        w
    };
    Ok(Out::Fresh(cx.b("p_relu", x, w)?))
}
fn threshold(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let (at, value) = (cx.float("threshold")?, cx.float("value")?);
    let low = cx.bn("less_or_equal", x, at)?;
    let value = cx.num(x, value)?;
    Ok(Out::Fresh(cx.choose(low, value, x)?))
}
fn hardshrink(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let bound = cx.float_or("lambd", 0.5)?;
    let size = cx.u("abs", x)?;
    let small = cx.bn("less_or_equal", size, bound)?;
    let zero = cx.num(x, 0.0)?;
    Ok(Out::Fresh(cx.choose(small, zero, x)?))
}
fn softshrink(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let bound = cx.float_or("lambd", 0.5)?;
    let (above, below) = (cx.bn("greater", x, bound)?, cx.bn("less", x, -bound)?);
    let (high, low) = (cx.bn("sub", x, bound)?, cx.bn("add", x, bound)?);
    // Not zero where x is not a number.
    let zero = cx.bn("mul", x, 0.0)?;
    let y = cx.choose(below, low, zero)?;
    Ok(Out::Fresh(cx.choose(above, high, y)?))
}
/// `-softplus(-x)`.
pub(super) fn log_sigmoid(cx: &mut Cx, x: V) -> R<V> {
    let minus = cx.u("neg", x)?;
    let y = softplus_of(cx, minus)?;
    cx.u("neg", y)
}
fn glu(cx: &mut Cx) -> R<Out> {
    let axis = cx.int_or("dim", -1)?;
    formula(cx, |cx, x| {
        let axis = wrap(axis, cx.rank(x)?)?;
        let n = cx.known(x, axis).ok_or_else(|| unsupported("glu over an axis of dynamic size"))?;
        let (a, b) = (cx.slice_known(x, axis, 0, n / 2)?, cx.slice_known(x, axis, n / 2, n)?);
        let b = cx.u("sigmoid", b)?;
        cx.b("mul", a, b)
    })
}
/// `(grad - sum(grad * y)) * y` along the axis of the softmax.
fn softmax_backward(cx: &mut Cx) -> R<Out> {
    let (g, y) = (cx.t("grad_output")?, cx.t("output")?);
    let to = cx.opt_dtype("input_dtype")?.unwrap_or(cx.dtype(g)?);
    let axis = wrap(cx.int("dim")?, cx.rank(g)?)?;
    let p = cx.b("mul", g, y)?;
    let axes: &[usize] = if cx.rank(g)? == 0 { &[] } else { &[axis] };
    let s = cx.reduce("reduce_sum", p, axes, true)?;
    let d = cx.b("sub", g, s)?;
    let r = cx.b("mul", d, y)?;
    Ok(Out::Fresh(cx.cast(r, to)?))
}
