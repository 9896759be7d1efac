//! Normalizations over channels.
use super::{AXES, COMPOSED, needs_f32};
use crate::tflite::lower::{Cx, R};
use crate::tflite::schema::Builtin;
use hoist_ir::ops::Op;

/// `LOCAL_RESPONSE_NORMALIZATION`, which does not divide `alpha` by the number of channels.
pub(super) fn lrn(cx: &mut Cx<'_>) -> R<()> {
    let Op::Lrn(op) = cx.op() else { return Err("no normalization".to_owned()) };
    needs_f32(cx)?;
    if cx.rank(0)? != 4 {
        return Err(AXES.to_owned());
    }
    if op.size % 2 == 0 {
        return Err("an even number of channels".to_owned());
    }
    cx.channels_last(op.layout)?;
    let options = Builtin::LocalResponseNormalization.options().map(|o| {
        o.with("radius", (op.size - 1) / 2)
            .with("bias", op.bias)
            .with("alpha", op.alpha / op.size as f32)
            .with("beta", op.beta)
    });
    let x = cx.arg(0)?;
    cx.emit(Builtin::LocalResponseNormalization, options, &[x])
}

/// Has its groups of channels in the last axis before it is taken apart.
pub(super) fn group_normalization(cx: &mut Cx<'_>) -> R<()> {
    let Op::GroupNormalization(op) = cx.op() else { return Err("no normalization".to_owned()) };
    if cx.rank(0)? >= 3 {
        cx.channels_last(op.layout)?;
    }
    composed(cx)
}

/// An operator that has no builtin form, whatever its operands.
pub(super) fn composed(_: &mut Cx<'_>) -> R<()> {
    Err(COMPOSED.to_owned())
}
