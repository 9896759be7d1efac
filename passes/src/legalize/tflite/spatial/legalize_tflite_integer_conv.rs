//! `legalize-tflite-integer-conv`
//!
//! ```text
//! %y = conv_integer(%x, %w, %zx, %zw)   ->   %a = cast(%x) {to=f32} - cast(%zx)
//!                                            %b = cast(%w) {to=f32} - cast(%zw)
//!                                            %c = conv(%a, %b)
//!                                            %y = cast(%c) {to=i32}
//! ```
//! - The window and the channels of a group have at most 258 elements together: sums of products of bytes are whole numbers that `f32` holds.
use super::math::Math;
use super::nodes::{cast, rank};
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::Op;
use hoist_ir::ops::spatial::conv::Conv;

/// The pass.
pub struct LegalizeTfliteIntegerConv;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-integer-conv",
    doc: "Computes convolutions of bytes with floats where those are exact.",
};

/// Products of two bytes, zero points taken off, are at most 255 * 255, and `f32` holds whole numbers up to 2^24.
const MOST: u64 = (1 << 24) / (255 * 255);

impl Pass for LegalizeTfliteIntegerConv {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["conv_integer"], |g, n, _, _| widen(g, n)))
    }
}

fn widen(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Op::ConvInteger(op), Some(x), Some(w)) = (node.op(), node.input(0), node.input(1)) else {
        return Outcome::Skip;
    };
    let sizes = g.ty(w).as_tensor().and_then(hoist_ir::types::TensorType::sizes);
    let terms = sizes.and_then(|s| s.get(1..)?.iter().try_fold(1u64, |n, d| n.checked_mul(*d as u64)));
    if terms.is_none_or(|t| t > MOST) {
        return Outcome::miss("the sums may exceed what f32 holds");
    }
    let Ok(axes) = rank(g, w) else { return Outcome::Skip };
    let conv = Conv {
        auto_pad: op.auto_pad,
        dilations: op.dilations.clone(),
        group: op.group,
        kernel_shape: op.kernel_shape.clone(),
        pads: op.pads.clone(),
        strides: op.strides.clone(),
        layout: op.layout,
    };
    let zeros = (node.input(2), node.input(3));
    Outcome::of(g.rewrite(n, &[], |b| {
        let m = &mut Math { b };
        let (mut x, mut w) = (m.float(x)?, m.float(w)?);
        if let Some(z) = zeros.0 {
            let z = m.float(z)?;
            x = m.sub(x, z)?;
        }
        if let Some(z) = zeros.1 {
            let mut z = m.float(z)?;
            if rank(m.b.graph(), z)? == 1 {
                z = m.unsqueeze(z, &(1..axes as i64).collect::<Vec<_>>())?;
            }
            w = m.sub(w, z)?;
        }
        let y = m.b.conv(conv, x, w, None)?;
        Ok(vec![cast(m.b, y, DType::I32)?])
    }))
}
