//! `legalize-tflite-integer-conv`
//!
//! ```text
//! %y = conv_integer(%x, %w, %zx, %zw)   ->   %a = cast(%x) {to=f32} - cast(%zx)
//!                                            %b = cast(%w) {to=f32} - cast(%zw)
//!                                            %c = conv(%a, %b)
//!                                            %y = cast(%c) {to=i32}
//! ```
//! - Sums of products of bytes are whole numbers that `f32` holds, as the number of terms or constant weights tell.
//! - Constant weights stay bytes, dequantized in steps of 1.
use super::math::Math;
use super::nodes::{cast, rank};
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::quant::dequantize_linear::DequantizeLinear;
use hoist_ir::ops::spatial::conv::Conv;
use hoist_ir::ops::spatial::conv_integer::sums_fit_f32;
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct LegalizeTfliteIntegerConv;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-integer-conv",
    doc: "Computes convolutions of bytes with floats where those are exact.",
};

impl Pass for LegalizeTfliteIntegerConv {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["conv_integer"], |g, n, _, _| widen(g, n)))
    }
}

/// Weights less their zero points.
fn centred(m: &mut Math<'_, '_>, w: ValueId, zero: Option<ValueId>, axes: usize) -> Result<ValueId, Diag> {
    let w = m.float(w)?;
    let Some(zero) = zero else { return Ok(w) };
    let mut z = m.float(zero)?;
    if rank(m.b.graph(), z)? == 1 {
        z = m.unsqueeze(z, &(1..axes as i64).collect::<Vec<_>>())?;
    }
    m.sub(w, z)
}

/// Constant weights less their zero points: in steps of 1, so that they are stored as they are.
fn dequantized(b: &mut Builder<'_>, w: ValueId, zero: Option<ValueId>) -> Result<ValueId, Diag> {
    let shape = zero.and_then(|z| b.graph().constant(z)).map_or(vec![], |z| z.shape().to_vec());
    let scale = b.constant(Tensor::from_vec(&shape, vec![1f32; shape.iter().product()]));
    b.dequantize_linear(DequantizeLinear { axis: 0, ..DequantizeLinear::default() }, w, scale, zero)
}

fn widen(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Op::ConvInteger(op), Some(x), Some(w)) = (node.op(), node.input(0), node.input(1)) else {
        return Outcome::Skip;
    };
    let zeros = (node.input(2), node.input(3));
    if !sums_fit_f32(g, (x, zeros.0), (w, zeros.1)) {
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
    let stored = [Some(w), zeros.1].into_iter().flatten().all(|v| g.constant(v).is_some());
    Outcome::of(g.rewrite(n, &[], |b| {
        let m = &mut Math { b };
        let mut x = m.float(x)?;
        if let Some(z) = zeros.0 {
            let z = m.float(z)?;
            x = m.sub(x, z)?;
        }
        let w = if stored { dequantized(m.b, w, zeros.1)? } else { centred(m, w, zeros.1, axes)? };
        let y = m.b.conv(conv, x, w, None)?;
        Ok(vec![cast(m.b, y, DType::I32)?])
    }))
}
