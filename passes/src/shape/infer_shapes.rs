//! `infer-shapes`
//!
//! ```text
//! %a: f32[?, 4] = exp(%x: f32[2, 4])   ->   %a: f32[2, 4] = exp(%x: f32[2, 4])
//! ```
//! - Types and symbolic contents of all results are computed again from those of the operands. They only become more precise.
//! - An input of a body that a captured operand feeds gets the operand's type, unless the body does not fit it: such a branch is
//!   never taken. Other inputs of bodies may change from one round of a loop to the next and keep theirs.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::control::bodies::own_inputs;
use hoist_ir::types::Type;

/// The pass.
pub struct InferShapes;

const INFO: PassInfo = PassInfo {
    name: "infer-shapes",
    doc: "Computes the types of all values again from the operands, inside bodies too.",
};

impl Pass for InferShapes {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        infer(g, cx)
    }
    fn enters_bodies(&self) -> bool {
        false
    }
    fn infers_types(&self) -> bool {
        true
    }
}

fn infer(g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
    let mut changed = Changed::default();
    for n in g.order_list() {
        for i in 0..g.node(n).bodies().len() {
            let inner = infer_body(g, n, i, cx)?;
            changed.0 = changed.0.saturating_add(inner.0);
        }
        if !planted("infer-shapes") && g.reinfer_node(n)? {
            changed.add();
        }
    }
    Ok(changed)
}

fn infer_body(g: &mut Graph, n: NodeId, i: usize, cx: &Ctx) -> Result<Changed, Diag> {
    let given = given_types(g, n);
    if !finer_inputs(&g.node(n).bodies()[i], &given).is_empty() {
        let refined = g.edit_body(n, i, |body| {
            let finer = finer_inputs(body, &given);
            let count = finer.len() as u32;
            for (v, ty) in finer {
                body.set_input_type(v, ty)?;
            }
            Ok(Changed(count.saturating_add(infer(body, cx)?.0)))
        });
        match refined {
            Ok(changed) => return Ok(changed),
            // A branch that is never taken with these shapes need not fit them.
            Err(d) => cx.miss(g, n, format_args!("body {i} does not fit what it is given: {}", d.message)),
        }
    }
    let mut changed = Changed::default();
    g.rewrite_body(n, i, |body| {
        changed = infer(body, cx)?;
        Ok(changed.any())
    })?;
    Ok(changed)
}

/// Types of what the bodies of `n` are given, as far as the operands tell.
fn given_types(g: &Graph, n: NodeId) -> Vec<Type> {
    let node = g.node(n);
    let first = node.inputs().len().saturating_sub(node.captures());
    let (own, captured) = node.inputs().split_at(first);
    let own: Vec<Option<&Type>> = own.iter().map(|v| v.map(|v| g.ty(v))).collect();
    let mut all = own_inputs(node.op(), &own);
    all.extend(captured.iter().map(|v| v.map_or(Type::Unknown, |v| g.ty(v).clone())));
    all
}

/// The last inputs of `body` of which `types` know more, with what both know together.
fn finer_inputs(body: &Graph, types: &[Type]) -> Vec<(ValueId, Type)> {
    let first = body.inputs().len().saturating_sub(types.len());
    let finer = |(v, ty): (&ValueId, &Type)| {
        let met = body.ty(*v).meet(ty)?;
        (met != *body.ty(*v)).then_some((*v, met))
    };
    body.inputs()[first..].iter().zip(types).filter_map(finer).collect()
}
