//! `infer-loop-types`
//!
//! ```text
//! %y = loop(%n, _, %x: f32[2])               %y = loop(%n, _, %x: f32[2])
//!   body (%i, %c, %v: f32[*]) {          ->    body (%i, %c, %v: f32[2]) {
//!     return %c, exp(%v) }                       return %c, exp(%v) }
//! ```
//! - What a loop carries may change its shape from iteration to iteration. Where the body gives a value of the initial one's type whenever
//!   it gets one, all are of that type.
//! - Values that a body captures are of the types that the node captures.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::surely_same;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::types::Type;

/// The pass.
pub struct InferLoopTypes;

const INFO: PassInfo = PassInfo {
    name: "infer-loop-types",
    doc: "Finds out what stays the same about the types of values that loops carry and bodies capture.",
};

impl Pass for InferLoopTypes {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, refine))
    }
}

fn refine(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    // Operands before those that the body takes, and inputs of the body before those.
    let (skip, first) = match node.op().name() {
        "loop" => (2, 2),
        "if" => (1, 0),
        _ => return Outcome::Skip,
    };
    let Some(types) =
        node.inputs().get(skip..).map(|v| v.iter().map(|v| v.map(|v| g.ty(v).clone())).collect::<Vec<_>>())
    else {
        return Outcome::Skip;
    };
    let carried = types.len().saturating_sub(node.captures());
    let mut outcome = Outcome::Skip;
    for i in 0..node.bodies().len() {
        let better = refined(&g.node(n).bodies()[i], &types, first, carried);
        let Some(better) = better else { continue };
        match g.rewrite_body(n, i, |body| {
            *body = better;
            Ok(true)
        }) {
            Ok(_) => outcome = Outcome::Edit,
            Err(d) => return Outcome::Miss(d.message.into()),
        }
    }
    outcome
}

/// `body` with more precise inputs, when there are any: those from `first` on have `types`, of which the first `carried` must come back.
fn refined(body: &Graph, types: &[Option<Type>], first: usize, carried: usize) -> Option<Graph> {
    let mut wanted: Vec<Option<Type>> = vec![];
    for (v, ty) in body.inputs().get(first..)?.iter().zip(types) {
        let met = ty.as_ref().and_then(|t| t.meet(body.ty(*v)));
        wanted.push(met.filter(|t| t != body.ty(*v)));
    }
    loop {
        if wanted.iter().all(Option::is_none) {
            return None;
        }
        let mut trial = body.clone();
        for (v, ty) in body.inputs()[first..].iter().zip(&wanted) {
            if let Some(ty) = ty {
                trial.set_input_type(*v, ty.clone()).ok()?;
            }
        }
        trial.reinfer().ok()?;
        let mut holds = true;
        for (k, ty) in wanted.iter_mut().enumerate().take(carried) {
            let back = trial.outputs().get(1 + k).map(|o| trial.ty(o.value));
            let same = match (ty.as_ref(), back) {
                (None, _) => true,
                (Some(Type::Tensor(a)), Some(Type::Tensor(b))) => {
                    surely_same(a, b) || planted("infer-loop-types")
                }
                _ => false,
            };
            if !same {
                (*ty, holds) = (None, false);
            }
        }
        if holds {
            return Some(trial);
        }
    }
}
