//! `legalize-split`
//!
//! ```text
//! %a, %b = split(%x) {num_outputs=2}   ->   %a, %b = split(%x, [3, 2])
//! %a, %b = split(%x, %sizes)           ->   %a = slice(%x, 0, %end0)
//!                                           %b = slice(%x, %end0, %end1)
//! ```
//! - The operator set has no splits into uneven parts (before 18), or no computed sizes (before 13).
//! - Parts that `num_outputs` asks for are as large as the size divided by the number, rounded up; the last has the rest.
//! - Where the size is known, so are those of the parts. Elsewhere each part is a slice.
use super::where_lacking;
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::elementwise::arithmetic::{Add, Div, Mul};
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::split::Split;
use hoist_ir::ops::shape::shape::Shape;

/// The pass.
pub struct LegalizeSplit;

const INFO: PassInfo =
    PassInfo { name: "legalize-split", doc: "Gives splits the form that older operator sets have." };

impl Pass for LegalizeSplit {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["split"], |g, n, _, _| split(g, n)))
    }
}

fn split(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Some(x), sizes, parts) = (node.input(0), node.input(1), node.outputs().len()) else {
        return Outcome::Skip;
    };
    let Some(Attr::Int(axis)) = node.op().def().attr("axis") else { return Outcome::Skip };
    if g.const_ints(sizes).is_some() || parts == 0 {
        return Outcome::miss("it lacks something else");
    }
    let Some(sizes) = sizes else {
        if let Some(sizes) = chunks(g, x, axis, parts) {
            return Outcome::of(g.rewrite(n, &[], |b| {
                let sizes = b.ints(&sizes);
                b.add_n(Split { axis, num_outputs: None }, &[Some(x), Some(sizes)], parts)
            }));
        }
        return Outcome::of(g.rewrite(n, &[], |b| {
            let size = b.shape(Shape { start: axis, end: (axis != -1).then_some(axis + 1) }, x)?;
            let (more, count) = (b.ints(&[parts as i64 - 1]), b.ints(&[parts as i64]));
            let raised = b.plus(Add {}, size, more)?;
            let each = b.div(Div {}, raised, count)?;
            let bounds = (0..=parts as i64).map(|i| {
                let i = b.ints(&[i]);
                b.mul(Mul {}, each, i)
            });
            let bounds = bounds.collect::<Result<Vec<_>, _>>()?;
            slices(b, x, axis, &bounds)
        }));
    };
    Outcome::of(g.rewrite(n, &[], |b| {
        let mut bounds = vec![b.ints(&[i64::from(planted("legalize-split"))])];
        for i in 0..parts as i64 {
            let i = b.ints(&[i]);
            let size = b.gather(Gather { axis: 0 }, sizes, i)?;
            let end = b.plus(Add {}, bounds[bounds.len() - 1], size)?;
            bounds.push(end);
        }
        slices(b, x, axis, &bounds)
    }))
}

/// Sizes of the parts of a known size.
fn chunks(g: &Graph, x: ValueId, axis: i64, parts: usize) -> Option<Vec<i64>> {
    let shape = g.ty(x).as_tensor()?.shape.as_ref()?;
    let size = i64::try_from(shape[resolve_axis(axis, shape.len()).ok()?].known()?).ok()?;
    let parts = i64::try_from(parts).ok()?;
    let each = size.checked_add(parts - 1)? / parts;
    let rest = size - each.checked_mul(parts - 1)?;
    (rest >= 0).then(|| (0..parts).map(|i| if i + 1 < parts { each } else { rest }).collect())
}

fn slices(b: &mut Builder<'_>, x: ValueId, axis: i64, bounds: &[ValueId]) -> Result<Vec<ValueId>, Diag> {
    let axes = b.ints(&[axis]);
    bounds.windows(2).map(|w| b.slice(Slice {}, x, w[0], w[1], Some(axes), None)).collect()
}
