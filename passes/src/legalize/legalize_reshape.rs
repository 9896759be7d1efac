//! `legalize-reshape`
//!
//! ```text
//! %y = reshape(%x, [2, 3]) {allowzero=true}   ->   %y = reshape(%x, [2, 3])
//! %y = reshape(%x, [0, 3]) {allowzero=true}   ->   %y = constant of that shape
//! ```
//! - The operator set has no `allowzero` (before 14); a zero copies the operand's size there.
//! - The shape is constant. A result without elements is a constant; without a zero in the shape, `allowzero` means nothing.
//! - Or the elements of a computed shape are known as symbols: surely positive, the operand's size at the same place, which a zero
//!   would copy, or at most one other, which becomes what is left of the operand (-1). Beside a -1 no element may be zero.
use super::where_lacking;
use super::with_attr;
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::Op;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct LegalizeReshape;

const INFO: PassInfo = PassInfo { name: "legalize-reshape", doc: "Says sizes of zero without allowzero." };

impl Pass for LegalizeReshape {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["reshape"], |g, n, _, _| reshape(g, n)))
    }
}

fn reshape(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (op, x, shape) = (node.op().clone(), node.input(0), node.input(1));
    if op.def().attr("allowzero") != Some(Attr::Bool(true)) {
        return Outcome::miss("it lacks something else");
    }
    // A shape computed from sizes that are never zero says so in the result's type.
    let sizes = g.const_ints(shape).or_else(|| {
        let ty = g.ty(*node.outputs().first()?).as_tensor()?;
        ty.sizes()?.into_iter().map(|s| i64::try_from(s).ok()).collect()
    });
    let Some(sizes) = sizes else { return computed(g, n, &op) };
    let dtype = x.and_then(|x| g.ty(x).as_tensor()).map(|t| t.dtype);
    if !sizes.contains(&0) {
        return Outcome::of(
            g.rewrite(n, &[], |b| b.add(with_attr(&op, "allowzero", &Attr::Bool(false))?, &[x, shape])),
        );
    }
    let empty = sizes.iter().map(|s| usize::try_from(*s).ok()).collect::<Option<Vec<_>>>();
    let empty = empty.zip(dtype).and_then(|(s, d)| Tensor::from_vec::<f32>(&s, vec![]).cast(d, false).ok());
    let Some(empty) = empty else { return Outcome::miss("the type has no empty constant") };
    Outcome::of(g.rewrite(n, &[], |b| Ok(vec![b.constant(empty)])))
}

/// A computed shape means the same where each element is surely not zero, or is the operand's size at its place, which a zero would copy.
/// One other element is what is left of the operand.
fn computed(g: &mut Graph, n: NodeId, op: &Op) -> Outcome {
    let node = g.node(n);
    let (Some(x), Some(shape)) = (node.input(0), node.input(1)) else { return Outcome::Skip };
    let own = g.ty(x).as_tensor().and_then(|t| t.shape.as_ref());
    let own: Vec<Option<SymInt>> = own.map_or(vec![], |s| s.iter().map(Dim::to_sym).collect());
    let Some(content) = g.value(shape).content().cloned() else {
        return Outcome::miss("the shape may hold a zero");
    };
    let means_the_same = |(i, v): (usize, &Option<SymInt>)| {
        let Some(v) = v else { return false };
        let positive = v.sub(&1.into()).is_some_and(|v| v.is_non_negative());
        positive || planted("legalize-reshape") || own.get(i).is_some_and(|o| o.as_ref() == Some(v))
    };
    // Beside -1, which stands for what is left, a zero is not allowed.
    let has_rest = content.iter().flatten().any(|v| v.as_const() == Some(-1));
    let is_open = |i: &usize| !has_rest && !means_the_same((*i, &content[*i]));
    let open: Vec<usize> = (0..content.len()).filter(is_open).collect();
    if open.len() > 1 {
        return Outcome::miss("the shape may hold more than one zero");
    }
    Outcome::of(g.rewrite(n, &[], |b| {
        let mut shape = shape;
        if let Some(open) = open.first() {
            let rest = b.ints(&[-1]);
            let all = b.concat(Concat { axis: 0 }, &[shape, rest])?;
            let place = |i: usize| if i == *open { content.len() } else { i } as i64;
            let places = b.ints(&(0..content.len()).map(place).collect::<Vec<_>>());
            shape = b.gather(Gather { axis: 0 }, all, places)?;
        }
        b.add(with_attr(op, "allowzero", &Attr::Bool(false))?, &[Some(x), Some(shape)])
    }))
}
