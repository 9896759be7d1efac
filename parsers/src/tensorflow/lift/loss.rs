//! Losses, and decoders of what they train.
use super::Row;
use super::cx::{Cx, R};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::index::compress::Compress;
use hoist_ir::ops::reduce::arg::ArgMax;
use hoist_ir::ops::reduce::cumulative::CumSum;
use hoist_ir::ops::reduce::reductions::{ReduceMax, ReduceSum};
use hoist_ir::ops::reduce::softmax::LogSoftmax;
use hoist_ir::ops::shape::non_zero::NonZero;
use hoist_ir::ops::shape::one_hot::OneHot;
use hoist_ir::ops::shape::range::Range;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("SoftmaxCrossEntropyWithLogits", "loss backprop", cross_entropy),
    ("SparseSoftmaxCrossEntropyWithLogits", "loss backprop", sparse_cross_entropy),
    ("CTCGreedyDecoder", "decoded_indices decoded_values decoded_shape log_probability", greedy_decoder),
];

/// The cross entropy of each row with the softmax of the logits, and what changes it.
fn cross_entropy(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, labels) = (cx.arg(0)?, cx.arg(1)?);
    let logs = cx.op(LogSoftmax { axis: -1 }, &[x])?;
    let product = cx.named("mul", &[labels, logs])?;
    let last = cx.int_list(&[-1]);
    let sum = cx.op(ReduceSum { keepdims: false, noop_with_empty_axes: false }, &[product, last])?;
    let loss = cx.named("neg", &[sum])?;
    let softmax = cx.named("exp", &[logs])?;
    let back = cx.named("sub", &[softmax, labels])?;
    Ok(vec![loss.into(), back.into()])
}

/// The same for labels that are numbers of classes.
fn sparse_cross_entropy(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, labels) = (cx.arg(0)?, cx.wide(1)?);
    let depth = cx.size_of(x, 1)?;
    let (off, on) = (cx.number(0.0, x)?, cx.number(1.0, x)?);
    let (off, on) = (cx.reshape(off, &[1])?, cx.reshape(on, &[1])?);
    let values = cx.concat(&[off, on], 0)?;
    let hot = cx.op(OneHot { axis: -1 }, &[labels, depth, values])?;
    cx.inputs = vec![x.into(), hot.into()];
    cross_entropy(cx)
}

/// The class of each step without blanks, and without repetitions if so asked; logits are `[steps, batch, classes]`.
fn greedy_decoder(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, lens) = (cx.arg(0)?, cx.wide(1)?);
    let blank = cx.attrs.int("blank_index").unwrap_or(-1);
    let best = cx.op(ArgMax { axis: 2, keepdims: false, select_last_index: false }, &[x])?;
    let best = cx.transpose(best, &[1, 0])?;
    let (start, step) = (cx.konst(Tensor::scalar(0i64)), cx.konst(Tensor::scalar(1i64)));
    let steps = cx.size_of(x, 0)?;
    let steps = cx.reshape(steps, &[])?;
    let time = cx.op(Range::default(), &[start, steps, step])?;
    let lens_column = cx.unsqueeze(lens, &[1])?;
    let inside = cx.named("less", &[time, lens_column])?;
    let classes = cx.size_of(x, 2)?;
    let number = cx.int_list(&[blank]);
    let blank = if blank < 0 { cx.named("add", &[classes, number])? } else { number };
    let blanks = cx.named("equal", &[best, blank])?;
    let sounds = cx.named("not", &[blanks])?;
    let mut kept = cx.named("and", &[inside, sounds])?;
    if cx.attrs.flag("merge_repeated") {
        // The first step has no class ahead of it.
        let (ahead, rest) = (cx.slice(best, 1, 0, -1)?, cx.slice(best, 1, 1, i64::MAX)?);
        let same = cx.named("equal", &[ahead, rest])?;
        let first = cx.slice(sounds, 1, 0, 1)?;
        let never = cx.named("xor", &[first, first])?;
        let same = cx.concat(&[never, same], 1)?;
        let other = cx.named("not", &[same])?;
        kept = cx.named("and", &[kept, other])?;
    }
    let count = cx.cast(kept, DType::I64)?;
    let axis = cx.konst(Tensor::scalar(1i64));
    let place = cx.op(CumSum { exclusive: true, reverse: false }, &[count, axis])?;
    let flags = cx.reshape(kept, &[-1])?;
    let mut picked = vec![];
    for v in [best, place] {
        let flat = cx.reshape(v, &[-1])?;
        picked.push(cx.op(Compress { axis: Some(0) }, &[flat, flags])?);
    }
    let at = cx.op(NonZero {}, &[kept])?;
    let row = cx.slice(at, 0, 0, 1)?;
    let row = cx.reshape(row, &[-1, 1])?;
    let column = cx.unsqueeze(picked[1], &[1])?;
    let indices = cx.concat(&[row, column], 1)?;
    let one = cx.int_list(&[1]);
    let lengths = cx.op(ReduceSum { keepdims: false, noop_with_empty_axes: false }, &[count, one])?;
    let longest = cx.op(ReduceMax { keepdims: true, noop_with_empty_axes: false }, &[lengths])?;
    let batch = cx.size_of(x, 1)?;
    let shape = cx.concat(&[batch, longest], 0)?;
    // The sum of the largest logit of each step, with the other sign.
    let two = cx.int_list(&[2]);
    let most = cx.op(ReduceMax { keepdims: false, noop_with_empty_axes: false }, &[x, two])?;
    let most = cx.transpose(most, &[1, 0])?;
    let zero = cx.number(0.0, most)?;
    let most = cx.named("where", &[inside, most, zero])?;
    let sum = cx.op(ReduceSum { keepdims: true, noop_with_empty_axes: false }, &[most, one])?;
    let probability = cx.named("neg", &[sum])?;
    Ok(vec![indices.into(), picked[0].into(), shape.into(), probability.into()])
}
