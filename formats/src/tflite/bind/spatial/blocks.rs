//! `DEPTH_TO_SPACE` and `SPACE_TO_DEPTH`.
use super::{AXES, COMPOSED};
use crate::tflite::lower::{Cx, R};
use crate::tflite::schema::Builtin;
use hoist_ir::dtype::DType;
use hoist_ir::ops::Op;
use hoist_ir::ops::spatial::depth_space::BlockOrder;
use hoist_ir::ops::words::Layout;

const MOVED: &[DType] = &[DType::F32, DType::I8, DType::U8, DType::I32, DType::I64];

pub(super) fn depth_to_space(cx: &mut Cx<'_>) -> R<()> {
    let Op::DepthToSpace(op) = cx.op() else { return Err("no blocks".to_owned()) };
    blocks(cx, Builtin::DepthToSpace, (op.blocksize, op.mode, op.layout))
}

pub(super) fn space_to_depth(cx: &mut Cx<'_>) -> R<()> {
    let Op::SpaceToDepth(op) = cx.op() else { return Err("no blocks".to_owned()) };
    blocks(cx, Builtin::SpaceToDepth, (op.blocksize, op.mode, op.layout))
}

fn blocks(cx: &mut Cx<'_>, builtin: Builtin, (size, order, layout): (i64, BlockOrder, Layout)) -> R<()> {
    if cx.rank(0)? != 4 {
        return Err(AXES.to_owned());
    }
    if !MOVED.contains(&cx.dtype(0)?) {
        return Err(format!("element type {}", cx.dtype(0)?));
    }
    if order != BlockOrder::Dcr {
        return Err(COMPOSED.to_owned());
    }
    cx.channels_last(layout)?;
    let x = cx.arg(0)?;
    cx.emit(builtin, builtin.options().map(|o| o.with("block_size", size)), &[x])
}
