//! `merge-transposes`
//!
//! ```text
//! %a = transpose(%x) {perm=p}
//! %b = transpose(%a) {perm=q}  ->  %b = transpose(%x) {perm=p[q]}
//! ```
//! Where `p[q]` moves nothing, uses of `%b` read `%x`. `%a` stays while something else uses it; no node is added.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::transpose::Transpose;

/// The pass.
pub struct MergeTransposes;

const INFO: PassInfo =
    PassInfo { name: "merge-transposes", doc: "Merges a transpose of a transpose into one, or into none." };

impl Pass for MergeTransposes {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, merge))
    }
}

/// Operand and permutation of `n`, when it is a transpose.
fn parts(g: &Graph, n: NodeId) -> Option<(ValueId, &[i64])> {
    let node = g.node(n);
    let Op::Transpose(t) = node.op() else { return None };
    Some((node.input(0)?, &t.perm))
}

fn merge(g: &mut Graph, n: NodeId) -> Outcome {
    let Some((x, outer)) = parts(g, n) else { return Outcome::Skip };
    let Some((producer, (source, inner))) = g.producer(x).and_then(|p| Some((p, parts(g, p)?))) else {
        return Outcome::miss("the operand is not the result of a transpose");
    };
    let at = |q: &i64| usize::try_from(*q).ok().and_then(|q| inner.get(q).copied());
    let Some(perm) = outer.iter().map(at).collect::<Option<Vec<i64>>>() else {
        return Outcome::miss("the permutations do not fit each other");
    };
    Outcome::of(g.rewrite(n, &[producer], |b| {
        if perm.iter().enumerate().all(|(i, p)| i as i64 == *p) {
            return Ok(vec![source]);
        }
        let perm = if planted("merge-transposes") { perm.into_iter().rev().collect() } else { perm };
        Ok(vec![b.transpose(Transpose { perm }, source)?])
    }))
}
