//! Random numbers. The distribution is PyTorch's; the numbers are those of the runtime that draws them.
use super::create::declared;
use crate::pytorch::lift::cx::{Cx, Out, R, Scalar, Size, V, malformed, unsupported};
use crate::pytorch::lift::promote::DEFAULT_FLOAT;
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[
    ("rand", |cx| created(cx, Draw::Uniform)),
    ("randn", |cx| created(cx, Draw::Normal)),
    ("rand_like", |cx| like(cx, Draw::Uniform)),
    ("randn_like", |cx| like(cx, Draw::Normal)),
    ("randint", randint),
    ("randint_like", randint),
    ("randperm", randperm),
    ("uniform", uniform),
    ("normal", normal),
    ("normal_functional", normal),
    ("bernoulli", bernoulli),
    ("exponential", exponential),
    ("log_normal", |cx| {
        let (mean, std) = (cx.float_or("mean", 1.0)?, cx.float_or("std", 2.0)?);
        of_own_sizes(cx, Draw::Normal, |cx, z| {
            let y = cx.bn("mul", z, std)?;
            let y = cx.bn("add", y, mean)?;
            cx.u("exp", y)
        })
    }),
    ("cauchy", |cx| {
        let (median, sigma) = (cx.float_or("median", 0.0)?, cx.float_or("sigma", 1.0)?);
        of_own_sizes(cx, Draw::Uniform, |cx, u| {
            let a = cx.bn("sub", u, 0.5)?;
            let a = cx.bn("mul", a, std::f64::consts::PI)?;
            let (s, c) = (cx.u("sin", a)?, cx.u("cos", a)?);
            let y = cx.b("div", s, c)?;
            let y = cx.bn("mul", y, sigma)?;
            cx.bn("add", y, median)
        })
    }),
    ("geometric", |cx| {
        let p = cx.float("p")?;
        of_own_sizes(cx, Draw::Uniform, |cx, u| {
            let v = cx.nb("sub", 1.0, u)?;
            let l = cx.u("log", v)?;
            let y = cx.bn("div", l, (1.0 - p).ln())?;
            let y = cx.u("ceil", y)?;
            cx.bn("max", y, 1.0)
        })
    }),
    ("multinomial", multinomial),
    ("dropout", |cx| dropout(cx, false)),
    ("feature_dropout", |cx| dropout(cx, true)),
    ("alpha_dropout", |cx| alpha_dropout(cx, false)),
    ("feature_alpha_dropout", |cx| alpha_dropout(cx, true)),
    ("native_dropout", native_dropout),
    ("native_dropout_backward", native_dropout_backward),
    ("rrelu", rrelu),
];

/// What numbers are drawn from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Draw {
    /// Evenly from 0 to 1.
    Uniform,
    /// The standard normal distribution.
    Normal,
}

/// Says that results are random.
pub(super) fn warn(cx: &mut Cx) {
    let name = cx.target().split('.').nth(1).unwrap_or_default().to_owned();
    let d = Diag::warning("E0302", format!("`{name}` draws random numbers: results differ from run to run"))
        .hint("if that is not meant, call .eval() before the model is exported");
    if !cx.warnings.iter().any(|w| w.message == d.message) {
        cx.warnings.push(d);
    }
}
/// Random numbers of the type `dtype` (16-bit ones are rounded) in these sizes.
pub(super) fn draw(cx: &mut Cx, sizes: &[Size], dtype: DType, from: Draw) -> R<V> {
    warn(cx);
    let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let known: Option<Vec<i64>> =
        sizes.iter().map(|s| if let Size::Known(n) = s { Some(*n) } else { None }).collect();
    let y = if let Some(shape) = known {
        let name = if from == Draw::Uniform { "random_uniform" } else { "random_normal" };
        cx.node1(name, &[], &[("shape", Attr::Ints(shape)), ("dtype", Attr::DType(wide))])?
    } else {
        let name = if from == Draw::Uniform { "random_uniform_like" } else { "random_normal_like" };
        let zero = cx.num_of(wide, 0.0)?;
        let shape = cx.shape_value(sizes)?;
        let v = cx.b("expand", zero, shape)?;
        cx.with(name, &[v], &[("dtype", Attr::DType(wide))])?
    };
    cx.cast(y, dtype)
}
fn created(cx: &mut Cx, from: Draw) -> R<Out> {
    let (sizes, dtype) = (cx.sizes("size")?, declared(cx, DEFAULT_FLOAT)?);
    Ok(Out::Fresh(draw(cx, &sizes, dtype, from)?))
}
fn like(cx: &mut Cx, from: Draw) -> R<Out> {
    let x = cx.t("self")?;
    let (sizes, dtype) = (cx.shape_of(x)?, declared(cx, cx.dtype(x)?)?);
    Ok(Out::Fresh(draw(cx, &sizes, dtype, from)?))
}
fn randint(cx: &mut Cx) -> R<Out> {
    let (sizes, own) = match cx.opt_t("self")? {
        Some(x) => (cx.shape_of(x)?, cx.dtype(x)?),
        None => (cx.sizes("size")?, DType::I64),
    };
    let dtype = declared(cx, own)?;
    let (low, high) = (cx.int_or("low", 0)?, cx.int("high")?);
    let width = high.checked_sub(low).filter(|w| *w > 0).ok_or_else(|| malformed("an empty range"))?;
    let u = draw(cx, &sizes, DType::F64, Draw::Uniform)?;
    let v = cx.bn("mul", u, width as f64)?;
    let v = cx.u("floor", v)?;
    let v = cx.bn("min", v, (width - 1) as f64)?;
    let v = cx.cast(v, DType::I64)?;
    let low = cx.int_of(DType::I64, low)?;
    let v = cx.b("add", v, low)?;
    Ok(Out::Fresh(cx.cast(v, dtype)?))
}
/// The order of random numbers.
fn randperm(cx: &mut Cx) -> R<Out> {
    let (n, dtype) = (cx.size("n")?, declared(cx, DType::I64)?);
    let u = draw(cx, std::slice::from_ref(&n), DType::F32, Draw::Uniform)?;
    let (_, at) = super::order::sorted(cx, u, 0, false)?;
    Ok(Out::Fresh(cx.cast(at, dtype)?))
}
/// `from + (to - from) u` in the sizes of `self`.
fn uniform(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let (low, high) = (cx.float_or("from", 0.0)?, cx.float_or("to", 1.0)?);
    let (sizes, dtype) = (cx.shape_of(x)?, cx.dtype(x)?);
    let u = draw(cx, &sizes, dtype, Draw::Uniform)?;
    let y = cx.bn("mul", u, high - low)?;
    Ok(Out::Fresh(cx.bn("add", y, low)?))
}
/// `mean + std z` in the sizes of `self`, of `size`, or of the means and deviations.
fn normal(cx: &mut Cx) -> R<Out> {
    let number = |cx: &mut Cx, name: &str, d: f64| -> R<crate::pytorch::lift::cx::Operand> {
        if cx.has(name) {
            cx.operand(name)
        } else {
            Ok(crate::pytorch::lift::cx::Operand::Scalar(Scalar::Float(d)))
        }
    };
    let (mean, std) = (number(cx, "mean", 0.0)?, number(cx, "std", 1.0)?);
    let (sizes, dtype) = if let Some(x) = cx.opt_t("self")? {
        (Some(cx.shape_of(x)?), cx.dtype(x)?)
    } else if cx.has("size") {
        (Some(cx.sizes("size")?), declared(cx, DEFAULT_FLOAT)?)
    } else {
        let common = cx.common(&[&mean, &std])?;
        (None, common)
    };
    let (mean, std) = (cx.value_of(&mean, dtype)?, cx.value_of(&std, dtype)?);
    let sizes = if let Some(s) = sizes {
        s
    } else {
        let both = cx.b("add", mean, std)?;
        cx.shape_of(both)?
    };
    let z = draw(cx, &sizes, dtype, Draw::Normal)?;
    let y = cx.b("mul", z, std)?;
    Ok(Out::Fresh(cx.b("add", y, mean)?))
}
/// 1 with the probability that the elements, or `p`, give.
fn bernoulli(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let (sizes, dtype) = (cx.shape_of(x)?, cx.dtype(x)?);
    let wide = if dtype.is_float() { cx.wide(x)? } else { x };
    let u_type = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let u = draw(cx, &sizes, u_type, Draw::Uniform)?;
    let p = if cx.is_tensor("p") {
        let p = cx.t("p")?;
        cx.cast(p, u_type)?
    } else if cx.has("p") {
        let p = cx.float("p")?;
        cx.num_of(u_type, p)?
    } else {
        cx.cast(wide, u_type)?
    };
    let y = cx.b("less", u, p)?;
    Ok(Out::Fresh(cx.cast(y, dtype)?))
}
/// `-log(1 - u) / lambd` in the sizes of `self`.
fn exponential(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let rate = cx.float_or("lambd", 1.0)?;
    let (sizes, dtype) = (cx.shape_of(x)?, cx.dtype(x)?);
    let e = standard_exponential(cx, &sizes, dtype)?;
    Ok(Out::Fresh(cx.bn("div", e, rate)?))
}
/// A function of random numbers in the sizes of `self`; integers are computed as floats.
fn of_own_sizes(cx: &mut Cx, from: Draw, f: impl FnOnce(&mut Cx, V) -> R<V>) -> R<Out> {
    let x = cx.t("self")?;
    let (sizes, dtype) = (cx.shape_of(x)?, cx.dtype(x)?);
    let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let u = draw(cx, &sizes, wide, from)?;
    let y = f(cx, u)?;
    Ok(Out::Fresh(cx.cast(y, dtype)?))
}
fn standard_exponential(cx: &mut Cx, sizes: &[Size], dtype: DType) -> R<V> {
    let u = draw(cx, sizes, dtype, Draw::Uniform)?;
    let v = cx.nb("sub", 1.0, u)?;
    let l = cx.u("log", v)?;
    cx.u("neg", l)
}
/// Outcomes by weights along the last axis. Without replacement: those with the largest weight over an exponential number each, which
/// is the same distribution.
fn multinomial(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let (n, replacement) = (cx.int("num_samples")?, cx.bool_or("replacement", false)?);
    let line = cx.rank(x)? == 1;
    let p = cx.wide(x)?;
    let p = if line { cx.unsqueeze(p, &[0])? } else { p };
    if replacement {
        warn(cx);
        let p = cx.cast(p, DType::F32)?;
        let l = cx.u("log", p)?;
        let attrs = [("sample_size", Attr::Int(n)), ("dtype", Attr::DType(DType::I64))];
        let y = cx.with("multinomial", &[l], &attrs)?;
        return Ok(Out::Fresh(if line { cx.squeeze(y, &[0])? } else { y }));
    }
    let sizes = cx.shape_of(p)?;
    let dtype = cx.dtype(p)?;
    let e = standard_exponential(cx, &sizes, dtype)?;
    let q = cx.b("div", p, e)?;
    let k = cx.int_list(&[n]);
    let out = cx.node_n("top_k", &[Some(q), Some(k)], &[("axis", Attr::Int(1))], 2)?;
    Ok(Out::Fresh(if line { cx.squeeze(out[1], &[0])? } else { out[1] }))
}
/// Which elements are kept, `p` of them dropped; whole channels with `feature`.
fn kept(cx: &mut Cx, x: V, p: f64, feature: bool) -> R<V> {
    let mut sizes = cx.shape_of(x)?;
    if feature {
        sizes.iter_mut().skip(2).for_each(|s| *s = Size::Known(1));
    }
    let u = draw(cx, &sizes, DType::F32, Draw::Uniform)?;
    cx.bn("greater_or_equal", u, p)
}
/// `x / (1 - p)` where it is kept, else 0.
pub(super) fn dropped(cx: &mut Cx, x: V, p: f64, feature: bool) -> R<(V, V)> {
    let mask = kept(cx, x, p, feature)?;
    let dtype = cx.dtype(x)?;
    let k = cx.cast(mask, dtype)?;
    let y = cx.b("mul", x, k)?;
    Ok((cx.bn("mul", y, 1.0 / (1.0 - p))?, mask))
}
fn rate(cx: &Cx) -> R<f64> {
    let p = cx.float_or("p", 0.5)?;
    if (0.0..=1.0).contains(&p) { Ok(p) } else { Err(malformed(format!("a probability of {p}"))) }
}
/// Nothing at inference.
fn dropout(cx: &mut Cx, feature: bool) -> R<Out> {
    let x = if cx.has("input") { "input" } else { "self" };
    let (p, train) = (rate(cx)?, cx.bool_or("train", false)?);
    if !train || p == 0.0 {
        return Ok(Out::Same(cx.tensor_id(x)?));
    }
    let x = cx.t(x)?;
    if p == 1.0 {
        // Everything is dropped, which is not random.
        return Ok(Out::Fresh(cx.bn("mul", x, 0.0)?));
    }
    Ok(Out::Fresh(dropped(cx, x, p, feature)?.0))
}
/// Dropped elements become the value that SELU saturates at; then mean and variance are restored.
fn alpha_dropout(cx: &mut Cx, feature: bool) -> R<Out> {
    const ALPHA: f64 = 1.758_099_340_847_376_5;
    let x = if cx.has("input") { "input" } else { "self" };
    let (p, train) = (rate(cx)?, cx.bool_or("train", false)?);
    if !train || p == 0.0 {
        return Ok(Out::Same(cx.tensor_id(x)?));
    }
    let x = cx.t(x)?;
    if p == 1.0 {
        return Ok(Out::Fresh(cx.bn("mul", x, 0.0)?));
    }
    let mask = kept(cx, x, p, feature)?;
    let low = cx.num(x, -ALPHA)?;
    let y = cx.choose(mask, x, low)?;
    let a = 1.0 / ((ALPHA * ALPHA * p + 1.0) * (1.0 - p)).sqrt();
    let y = cx.bn("mul", y, a)?;
    Ok(Out::Fresh(cx.bn("add", y, a * ALPHA * p)?))
}
/// The result and which elements were kept.
fn native_dropout(cx: &mut Cx) -> R<Out> {
    let (p, train) = (rate(cx)?, cx.bool_or("train", true)?);
    let x = cx.t("input")?;
    if train && p > 0.0 && p < 1.0 {
        let (y, mask) = dropped(cx, x, p, false)?;
        return Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(mask)]));
    }
    let all = !(train && p == 1.0);
    let sizes = cx.shape_of(x)?;
    let one = cx.int_of(DType::Bool, i64::from(all))?;
    let mask = cx.full(&sizes, one)?;
    let y = if all { cx.u("identity", x)? } else { cx.bn("mul", x, 0.0)? };
    Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(mask)]))
}
/// `grad * mask * scale`.
fn native_dropout_backward(cx: &mut Cx) -> R<Out> {
    let (g, mask, scale) = (cx.t("grad_output")?, cx.t("mask")?, cx.float("scale")?);
    let dtype = cx.dtype(g)?;
    let mask = cx.cast(mask, dtype)?;
    let y = cx.b("mul", g, mask)?;
    Ok(Out::Fresh(cx.bn("mul", y, scale)?))
}
/// A slope below 0 that is drawn while training, and the mean of its bounds otherwise.
fn rrelu(cx: &mut Cx) -> R<Out> {
    let (low, high) = (cx.float_or("lower", 0.125)?, cx.float_or("upper", 1.0 / 3.0)?);
    let x = cx.t("self")?;
    if !cx.dtype(x)?.is_float() {
        return Err(unsupported("rrelu of integers"));
    }
    let slope = f64::midpoint(low, high);
    if !cx.bool_or("training", false)? || low == high {
        return super::activation::sloped(cx, "leaky_relu", slope);
    }
    let (sizes, dtype) = (cx.shape_of(x)?, cx.dtype(x)?);
    let u = draw(cx, &sizes, dtype, Draw::Uniform)?;
    let u = cx.bn("mul", u, high - low)?;
    let slope = cx.bn("add", u, low)?;
    let y = cx.b("mul", x, slope)?;
    let down = cx.bn("less_or_equal", x, 0.0)?;
    Ok(Out::Fresh(cx.choose(down, y, x)?))
}
