//! Random numbers. Those of a seed that is an operand are the same in each run, by a generator that no other runtime has: they are not read.
use super::Row;
use super::bridge::Arg;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::random::fill::RandomUniformLike;
use hoist_ir::ops::random::multinomial::Multinomial;
use hoist_ir::ops::reduce::top_k::TopK;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("RandomUniform", "", uniform),
    ("RandomUniformInt", "", uniform_int),
    ("RandomStandardNormal", "", normal),
    ("TruncatedNormal", "", truncated_normal),
    ("ParameterizedTruncatedNormal", "", parameterized),
    ("Multinomial", "", multinomial),
    ("RandomShuffle", "", shuffle),
];

fn dtype(cx: &Cx<'_, '_, '_>) -> R<DType> {
    cx.attrs.dtype("dtype")
}

/// As many numbers as `sizes` say, each as likely, from 0 to below 1.
fn drawn(cx: &mut Cx<'_, '_, '_>, sizes: V, dtype: DType) -> R<V> {
    let zero = Tensor::scalar(0.0f32).cast(dtype, false).map_err(|e| cx.bad(e))?;
    let zero = cx.konst(zero);
    let like = cx.expand(zero, sizes)?;
    cx.op(RandomUniformLike { dtype: Some(dtype), ..RandomUniformLike::default() }, &[like])
}

fn uniform(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (sizes, dtype) = (cx.wide(0)?, dtype(cx)?);
    Ok(vec![drawn(cx, sizes, dtype)?.into()])
}

/// Integers from the second operand to before the third.
fn uniform_int(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (sizes, low, high) = (cx.wide(0)?, cx.arg(1)?, cx.arg(2)?);
    let out = cx.dtype(low)?;
    let unit = drawn(cx, sizes, DType::F64)?;
    let (low, high) = (cx.cast(low, DType::F64)?, cx.cast(high, DType::F64)?);
    let width = cx.named("sub", &[high, low])?;
    let along = cx.named("mul", &[unit, width])?;
    let along = cx.named("floor", &[along])?;
    let y = cx.named("add", &[along, low])?;
    Ok(vec![cx.cast(y, out)?.into()])
}

/// Where the normal distribution has the probability `p`.
fn quantile(cx: &mut Cx<'_, '_, '_>, p: V) -> R<V> {
    cx.aten("special_ndtri", &[("self", Arg::T(p))])
}

fn normal(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (sizes, dtype) = (cx.wide(0)?, dtype(cx)?);
    let zero = Tensor::scalar(0.0f32).cast(dtype, false).map_err(|e| cx.bad(e))?;
    let zero = cx.konst(zero);
    let like = cx.expand(zero, sizes)?;
    let y = cx.aten("randn_like", &[("self", Arg::T(like))])?;
    Ok(vec![cx.cast(y, dtype)?.into()])
}

/// The probability of less than -2.
const BELOW_MINUS_TWO: f64 = 0.022_750_131_948_179_21;

/// Normal numbers within two deviations.
fn truncated_normal(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (sizes, dtype) = (cx.wide(0)?, dtype(cx)?);
    let unit = drawn(cx, sizes, DType::F64)?;
    let width = cx.number(1.0 - 2.0 * BELOW_MINUS_TWO, unit)?;
    let least = cx.number(BELOW_MINUS_TWO, unit)?;
    let p = cx.named("mul", &[unit, width])?;
    let p = cx.named("add", &[p, least])?;
    let y = quantile(cx, p)?;
    Ok(vec![cx.cast(y, dtype)?.into()])
}

/// Normal numbers between two bounds, of any mean and deviation: shape, means, deviations, least and largest numbers.
fn parameterized(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (sizes, dtype) = (cx.wide(0)?, dtype(cx)?);
    let mut numbers = vec![];
    for i in 1..5 {
        let v = cx.arg(i)?;
        if cx.known_rank(v) != Some(0) {
            return Err(cx.unsupported("parameters for each batch"));
        }
        numbers.push(cx.cast(v, DType::F64)?);
    }
    let [mean, deviation, low, high] = numbers[..] else { return Err(cx.bad("too few operands")) };
    let mut ends = vec![];
    for end in [low, high] {
        let off = cx.named("sub", &[end, mean])?;
        let off = cx.named("div", &[off, deviation])?;
        ends.push(cx.aten("special_ndtr", &[("self", Arg::T(off))])?);
    }
    let unit = drawn(cx, sizes, DType::F64)?;
    let width = cx.named("sub", &[ends[1], ends[0]])?;
    let p = cx.named("mul", &[unit, width])?;
    let p = cx.named("add", &[p, ends[0]])?;
    let y = quantile(cx, p)?;
    let y = cx.named("mul", &[y, deviation])?;
    let y = cx.named("add", &[y, mean])?;
    Ok(vec![cx.cast(y, dtype)?.into()])
}

/// Classes drawn with the probabilities that logits say.
fn multinomial(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let sample_size = cx.int(1, "a number of samples")?;
    let to = if cx.attrs.has("output_dtype") { cx.attrs.dtype("output_dtype")? } else { DType::I64 };
    let y = cx.op(Multinomial { dtype: DType::I32, sample_size, seed: None }, &[x])?;
    Ok(vec![cx.cast(y, to)?.into()])
}

/// Rows in any order.
fn shuffle(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let n = cx.size_of(x, 0)?;
    let keys = drawn(cx, n, DType::F32)?;
    let found = cx.op_n(TopK { axis: -1, largest: true, sorted: true }, &[Some(keys), Some(n)], 2)?;
    Ok(vec![cx.gather(x, found[1], 0)?.into()])
}
