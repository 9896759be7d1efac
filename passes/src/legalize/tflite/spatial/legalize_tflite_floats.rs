//! `legalize-tflite-floats`
//!
//! ```text
//! %y: f16 = conv(%x, %w)   ->   %a = cast(%x) {to=f32}
//!                               %b = cast(%w) {to=f32}
//!                               %c = conv(%a, %b)
//!                               %y = cast(%c) {to=f16}
//! ```
//! - An operator on images or signals, or a normalization, whose first operand is `f16` or `bf16`.
use super::nodes::{cast, dtype};
use crate::fault::planted;
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId};

/// The pass.
pub struct LegalizeTfliteFloats;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-floats",
    doc: "Computes operators on images of 16-bit floats with 32-bit ones, rounded once at the end.",
};

const OPS: &[&str] = &[
    "affine_grid",
    "average_pool",
    "batch_normalization",
    "conv",
    "conv_transpose",
    "deform_conv",
    "depth_to_space",
    "global_average_pool",
    "global_lp_pool",
    "global_max_pool",
    "grid_sample",
    "instance_normalization",
    "lp_normalization",
    "lp_pool",
    "lrn",
    "max_pool",
    "max_roi_pool",
    "max_unpool",
    "mean_variance_normalization",
    "resize",
    "roi_align",
    "space_to_depth",
];

impl Pass for LegalizeTfliteFloats {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, OPS, |g, n, _, _| widen(g, n)))
    }
}

fn is_half(d: Option<DType>) -> bool {
    matches!(d, Some(DType::F16 | DType::BF16)) || planted("legalize-tflite-floats") && d == Some(DType::F64)
}

fn widen(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    if !is_half(node.input(0).and_then(|x| dtype(g, x))) {
        return Outcome::miss("the data are no 16-bit floats");
    }
    let (op, inputs) = (node.op().clone(), node.inputs().to_vec());
    let results: Vec<Option<DType>> = node.outputs().iter().map(|v| dtype(g, *v)).collect();
    Outcome::of(g.rewrite(n, &[], |b| {
        let mut wide = vec![];
        for (i, v) in inputs.into_iter().enumerate() {
            // The scales of `resize` are of a type of their own.
            wide.push(match v {
                Some(v) if is_half(dtype(b.graph(), v)) && !(op.name() == "resize" && i > 1) => {
                    Some(cast(b, v, DType::F32)?)
                }
                other => other,
            });
        }
        let made = b.add_n(op, &wide, results.len())?;
        let narrow = |(v, d)| if let Some(d) = d { cast(b, v, d) } else { Ok(v) };
        made.into_iter().zip(results).map(narrow).collect()
    }))
}
