//! `merge-casts`
//!
//! ```text
//! %a = cast(%x: A) {to=B}
//! %b = cast(%a) {to=C}     ->  %b = cast(%x) {to=C}      or %x, where C is A
//! ```
//! - Every number of type `A` is a number of type `B`, so that the first cast loses nothing.
//! - The second cast keeps its attributes.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::is_exact_cast;
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};

/// The pass.
pub struct MergeCasts;

const INFO: PassInfo =
    PassInfo { name: "merge-casts", doc: "Merges a cast of a cast into one where the first loses nothing." };

impl Pass for MergeCasts {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, merge))
    }
}

/// Operand, its element type and the type it is converted to, when `n` is a cast.
fn parts(g: &Graph, n: NodeId) -> Option<(ValueId, DType, DType)> {
    let node = g.node(n);
    if node.op().name() != "cast" {
        return None;
    }
    let x = node.input(0)?;
    let from = g.ty(x).as_tensor()?.dtype;
    match node.op().def().attr("to") {
        Some(Attr::DType(to)) => Some((x, from, to)),
        _ => None,
    }
}

fn merge(g: &mut Graph, n: NodeId) -> Outcome {
    let Some((x, _, last)) = parts(g, n) else { return Outcome::Skip };
    let Some((producer, (source, first, middle))) = g.producer(x).and_then(|p| Some((p, parts(g, p)?)))
    else {
        return Outcome::miss("the operand is not the result of a cast");
    };
    if !is_exact_cast(first, middle) && !planted("merge-casts") {
        return Outcome::miss("the first cast may lose something");
    }
    let op = g.node(n).op().clone();
    Outcome::of(g.rewrite(n, &[producer], |b| {
        if first == last { Ok(vec![source]) } else { b.add(op, &[Some(source)]) }
    }))
}
