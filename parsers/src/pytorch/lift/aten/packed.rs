//! Packed sequences: the steps of sequences of falling length one after the other, without the padding. `batch_sizes` counts for each step
//! the sequences that have it.
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table =
    &[("_pack_padded_sequence", pack_padded), ("_pad_packed_sequence", pad_packed)];

/// A packed sequence and what its layout follows from.
pub(super) struct Packed {
    data: V,
    /// Sequences per step, `i64`.
    sizes: V,
    /// Steps per sequence, `i64`.
    lengths: V,
    /// Steps per sequence, as the recurrent operators take them.
    pub lengths_i32: V,
    /// `[steps, batch]`: whether the sequence has the step.
    has: V,
}

impl Packed {
    /// The packed sequence in these two arguments.
    pub fn of(cx: &mut Cx, data: &str, sizes: &str) -> R<Self> {
        let (data, sizes) = (cx.t(data)?, cx.t(sizes)?);
        let sizes = cx.cast(sizes, DType::I64)?;
        // All sequences have the first step.
        let batch = cx.slice_known(sizes, 0, 0, 1)?;
        let each = cx.iota(&Size::Value(batch))?;
        let column = cx.unsqueeze(sizes, &[1])?;
        let has = cx.b("greater", column, each)?;
        let counts = cx.cast(has, DType::I64)?;
        let lengths = cx.reduce("reduce_sum", counts, &[0], false)?;
        let lengths_i32 = cx.cast(lengths, DType::I32)?;
        Ok(Self { data, sizes, lengths, lengths_i32, has })
    }
    /// The sequences side by side: `[steps, batch, features..]`. What lies beyond a sequence's end repeats some element of another one.
    pub fn padded(&self, cx: &mut Cx) -> R<V> {
        // Where each step begins in the data.
        let axis = cx.constant(hoist_ir::tensor::Tensor::scalar(0i64));
        let start = cx.with("cum_sum", &[self.sizes, axis], &[("exclusive", Attr::Bool(true))])?;
        let start = cx.unsqueeze(start, &[1])?;
        let batch = cx.dim(self.lengths, 0)?;
        let each = cx.iota(&batch)?;
        let at = cx.b("add", start, each)?;
        let zero = cx.num(at, 0.0)?;
        let at = cx.choose(self.has, at, zero)?;
        cx.gather(self.data, at, 0)
    }
    /// `[steps, batch, features..]` packed.
    pub fn pack(&self, cx: &mut Cx, x: V) -> R<V> {
        packed(cx, x, self.has)
    }
}

/// The rows of `[steps, batch, features..]` for which `has` (`[steps, batch]`) holds, in their order.
fn packed(cx: &mut Cx, x: V, has: V) -> R<V> {
    let at = cx.u("non_zero", has)?;
    let at = cx.permute(at, &[1, 0])?;
    cx.op("gather_nd", &[x, at])
}

/// `(data, batch_sizes)` of padded sequences with falling `lengths`.
fn pack_padded(cx: &mut Cx) -> R<Out> {
    let (mut x, lengths) = (cx.t("input")?, cx.t("lengths")?);
    if cx.bool_or("batch_first", false)? {
        x = cx.swap(x, 0, 1)?;
    }
    let lengths = cx.cast(lengths, DType::I64)?;
    let axes = cx.int_list(&[0]);
    let longest = cx.with("reduce_max", &[lengths, axes], &[("keepdims", Attr::Bool(true))])?;
    let steps = cx.iota(&Size::Value(longest))?;
    let steps = cx.unsqueeze(steps, &[1])?;
    let has = cx.b("less", steps, lengths)?;
    let counts = cx.cast(has, DType::I64)?;
    let sizes = cx.reduce("reduce_sum", counts, &[1], false)?;
    let data = packed(cx, x, has)?;
    Ok(Out::Many(vec![Out::Fresh(data), Out::Fresh(sizes)]))
}
/// `(padded, lengths)`; steps beyond a sequence's end hold `padding_value`, and there are at least `total_length` steps.
fn pad_packed(cx: &mut Cx) -> R<Out> {
    let p = Packed::of(cx, "data", "batch_sizes")?;
    let x = p.padded(cx)?;
    let value = cx.operand("padding_value")?;
    let dtype = cx.dtype(x)?;
    let value = cx.value_of(&value, dtype)?;
    let extra: Vec<i64> = (2..cx.rank(x)? as i64).collect();
    let has = cx.unsqueeze(p.has, &extra)?;
    let mut y = cx.choose(has, x, value)?;
    let total = cx.opt_size("total_length")?.filter(|t| *t != Size::Known(-1) && *t != Size::Known(0));
    if let Some(total) = total {
        let steps = cx.dim(y, 0)?;
        let more = cx.size_op("sub", &total, &steps, i64::checked_sub)?;
        let (more, none) = (cx.size_value(&more), cx.int_list(&[0]));
        let ends = cx.concat(&[none, more], 0)?;
        let axes = cx.int_list(&[0]);
        y = cx.node1("pad", &[Some(y), Some(ends), Some(value), Some(axes)], &[])?;
    }
    if cx.bool_or("batch_first", false)? {
        y = cx.swap(y, 0, 1)?;
    }
    Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(p.lengths)]))
}
