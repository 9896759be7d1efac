//! `legalize-types`
//!
//! ```text
//! %y: bf16 = sin(%x)   ->   %w: f32 = cast(%x)
//!                           %v: f32 = sin(%w)
//!                           %y: bf16 = cast(%v)
//! ```
//! - The operator set has the operator, without the element type of an operand.
//! - 16-bit floats go through `f32`, in which operators on them are computed anyway: the result is rounded once.
//! - Integers go through wider integers, for operators whose result modulo the range is that of wider ones, or that compare.
//! - Truth values go through integers for the largest and smallest.
use super::where_lacking;
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, Target};
use hoist_formats::onnx::bind::write_rows;
use hoist_formats::onnx::versions::signature;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::elementwise::cast::Cast;

/// The pass.
pub struct LegalizeTypes;

const INFO: PassInfo = PassInfo {
    name: "legalize-types",
    doc: "Casts operands to wider types where the operator set lacks theirs and the result is the same.",
};

impl Pass for LegalizeTypes {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &[], |g, n, target, _| widen(g, n, target)))
    }
}

/// Operators on which a detour through wider integers has no effect.
const WRAPPING: &[&str] = &[
    "add",
    "sub",
    "mul",
    "div",
    "max",
    "min",
    "clip",
    "reduce_max",
    "reduce_min",
    "reduce_sum",
    "cum_sum",
    "neg",
    "abs",
];
/// Operators on 16-bit floats that are no function of their values alone, or that name types themselves.
const NOT_FLOATS: &[&str] = &[
    "cast",
    "cast_like",
    "quantize_linear",
    "dequantize_linear",
    "dropout",
    "bernoulli",
    "multinomial",
    "random_normal_like",
    "random_uniform_like",
];

/// Types that hold all numbers of `dtype`, narrow ones first.
fn wider(op: &str, dtype: DType) -> &'static [DType] {
    use DType::{I16, I32, I64, U32, U64};
    let wraps = WRAPPING.contains(&op);
    match dtype {
        DType::F16 | DType::BF16 if !NOT_FLOATS.contains(&op) => &[DType::F32],
        DType::Bool if matches!(op, "reduce_max" | "reduce_min") => &[DType::U8, I32],
        DType::I8 | DType::U8 if wraps => &[I16, I32, I64],
        DType::I16 if wraps => &[I32, I64],
        DType::U16 if wraps => &[I32, U32, I64],
        DType::U32 if wraps => &[I64, U64],
        DType::I32 if wraps => &[I64],
        _ => &[],
    }
}

fn widen(g: &mut Graph, n: NodeId, target: &Target) -> Outcome {
    let Some(target) = target.onnx() else { return Outcome::Skip };
    let node = g.node(n);
    let op = node.op().clone();
    if !node.bodies().is_empty() {
        return Outcome::Skip;
    }
    let row = write_rows(op.name()).iter().find(|r| r.domain.is_empty() && r.covers(target.opset));
    let Some(signature) = row.and_then(|r| signature(r.foreign, target.opset)) else { return Outcome::Skip };
    let dtype = |i: usize| node.input(i).and_then(|v| g.ty(v).as_tensor()).map(|t| t.dtype);
    let lacks = |i: &usize| dtype(*i).is_some_and(|d| !signature.allows(*i, d));
    let Some((slot, narrow)) = (0..node.inputs().len()).find(lacks).and_then(|i| Some((i, dtype(i)?))) else {
        return Outcome::Skip;
    };
    let schema = op.schema();
    let var = |i: usize| schema.input(i).map(|o| o.var);
    // All operands that must have one type go together.
    let together: Vec<usize> = (0..node.inputs().len())
        .filter(|i| dtype(*i) == Some(narrow) && (*i == slot || var(*i) == var(slot) || lacks(i)))
        .collect();
    let fits = |w: &&DType| together.iter().all(|i| signature.allows(*i, **w));
    let cast = hoist_formats::onnx::versions::signature("Cast", target.opset);
    let known = cast.is_some_and(|c| c.allows(0, narrow));
    let Some(wide) = wider(op.name(), narrow).iter().find(fits).filter(|_| known).copied() else {
        return Outcome::Miss(format!("no wider type serves {narrow}").into());
    };
    let results: Vec<bool> = node
        .outputs()
        .iter()
        .enumerate()
        .map(|(i, v)| {
            let like = schema.outputs.get(i).or(schema.outputs.last()).map(|o| o.var);
            like == var(slot) && g.ty(*v).as_tensor().is_some_and(|t| t.dtype == narrow)
        })
        .collect();
    let (inputs, outputs) = (node.inputs().to_vec(), node.outputs().len());
    let to = |to: DType| Cast { to, ..Cast::default() };
    Outcome::of(g.rewrite(n, &[], |b| {
        let mut inputs = inputs;
        for i in &together {
            if let Some(v) = inputs[*i] {
                inputs[*i] = Some(b.cast(to(wide), v)?);
            }
        }
        let mut values = b.add_n(op, &inputs, outputs)?;
        for (v, back) in values.iter_mut().zip(results) {
            if back && !planted("legalize-types") {
                *v = b.cast(to(narrow), *v)?;
            }
        }
        Ok(values)
    }))
}
