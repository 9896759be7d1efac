//! Which operands and results of a node change their element type together.
use hoist_formats::onnx::bind::write_rows;
use hoist_formats::onnx::versions::{Signature, signature};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;

use crate::pass::{Ctx, Target};

/// Operands that stay in `f32` although their operator has them in other types: coordinates, sizes and rates.
const KEPT: &[(&str, &str)] =
    &[("resize", "roi"), ("dropout", "ratio"), ("roi_align", "rois"), ("max_roi_pool", "rois")];

/// Operands and results of a node that are `f32` and would be 16-bit floats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    /// Positions of operands.
    pub operands: Vec<usize>,
    /// Positions of results.
    pub results: Vec<usize>,
}

impl Slots {
    /// Whether there are any.
    pub fn any(&self) -> bool {
        !self.operands.is_empty() || !self.results.is_empty()
    }
}

/// Whether `v` is an `f32` tensor.
pub fn is_f32(g: &Graph, v: ValueId) -> bool {
    g.ty(v).as_tensor().is_some_and(|t| t.dtype == DType::F32)
}

/// Element types that the operator has in the operator set to write; `None` where that does not say.
fn limits(cx: &Ctx, op: &Op) -> Option<Signature> {
    let Some(Target::Onnx(target)) = &cx.target else { return None };
    let row = write_rows(op.name()).iter().find(|r| r.domain.is_empty() && r.covers(target.opset))?;
    signature(row.foreign, target.opset)
}

/// What would change if node `n` computed in `to`; why nothing can, where it has operands or results in `f32`.
pub fn of(g: &Graph, n: NodeId, cx: &Ctx, to: DType) -> Result<Slots, String> {
    let node = g.node(n);
    let (op, schema) = (node.op(), node.op().schema());
    let touches = |v: &ValueId| is_f32(g, *v);
    if !node.inputs().iter().flatten().any(touches) && !node.outputs().iter().any(touches) {
        return Ok(Slots::default());
    }
    if matches!(op, Op::Custom(_)) {
        return Err("its operator is not known".to_owned());
    }
    if !node.bodies().is_empty() {
        return Err("its bodies stay as they are".to_owned());
    }
    let has = |var: &str| schema.allowed(var).is_none_or(|s| s.contains(to) && s.contains(DType::F32));
    let kept = |i: usize| {
        KEPT.iter().any(|(o, name)| *o == op.name() && schema.input(i).is_some_and(|s| s.name == *name))
    };
    let operands = (0..node.inputs().len())
        .filter(|i| node.input(*i).is_some_and(|v| is_f32(g, v)) && !kept(*i))
        .filter(|i| schema.input(*i).is_some_and(|s| has(s.var)))
        .collect::<Vec<_>>();
    let result = |i: usize| schema.outputs.get(i).or(schema.outputs.last());
    let results = (0..node.outputs().len())
        .filter(|i| is_f32(g, node.outputs()[*i]) && result(*i).is_some_and(|s| has(s.var)))
        .filter(|_| op.name() != "cast" || casts_to_f32(op))
        .collect::<Vec<_>>();
    let slots = Slots { operands, results };
    if !slots.any() {
        return Err(format!("`{}` has no form in {to}", op.name()));
    }
    if let Some(signature) = limits(cx, op)
        && slots.operands.iter().any(|i| !signature.allows(*i, to))
    {
        return Err(format!("the operator set to write has no `{}` of {to}", op.name()));
    }
    Ok(slots)
}

/// Whether a cast gives `f32`.
pub fn casts_to_f32(op: &Op) -> bool {
    op.def().attr("to") == Some(Attr::DType(DType::F32))
}
