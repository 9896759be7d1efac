//! `simplify-lists`
//!
//! ```text
//! %y = expand(%x: f32[N, 1], %s)           ->  %y = expand(%x, [1, 4])        where %s is [N, 4]
//! %y = slice(%x: f32[N, 4], [1], %e, [0])  ->  %y = slice(%x, [1], [max])     where %e is [N]
//! ```
//! - The list is computed, and each size that it names is a number, that of the same axis of the operand, or, of a slice that goes forwards, the
//!   end of the axis or beyond.
use crate::fault::planted;
use crate::known_sizes::{Size, elements, size_of};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;

/// The pass.
pub struct SimplifyLists;

const INFO: PassInfo = PassInfo {
    name: "simplify-lists",
    doc: "Makes sizes of expansions and ends of slices constant where they are those of the operand.",
};

impl Pass for SimplifyLists {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["expand", "slice"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, simplify))
    }
}

fn simplify(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (slot, list) = match node.op() {
        Op::Expand(_) => (1, expanded(g, n)),
        Op::Slice(_) => (2, ends(g, n)),
        _ => return Outcome::Skip,
    };
    let Some(old) = node.input(slot).filter(|v| g.constant(*v).is_none()) else { return Outcome::Skip };
    let Some(list) = list else { return Outcome::miss("a size is neither a number nor that of the axis") };
    let is_i32 = g.ty(old).as_tensor().is_some_and(|t| t.dtype == hoist_ir::dtype::DType::I32);
    let (op, mut inputs) = (node.op().clone(), node.inputs().to_vec());
    Outcome::of(g.rewrite(n, &[], |b| {
        let list: Vec<i64> =
            if is_i32 { list.iter().map(|v| (*v).min(i32::MAX.into())).collect() } else { list };
        let made = b.ints(&list);
        let made = if is_i32 { cast_i32(b, made)? } else { made };
        if let Some(slot) = inputs.get_mut(slot) {
            *slot = Some(made);
        }
        b.add(op, &inputs)
    }))
}

/// A constant list as 32-bit integers.
fn cast_i32(b: &mut hoist_ir::builder::Builder<'_>, v: ValueId) -> Result<ValueId, Diag> {
    let cast = b.graph().constant(v).and_then(|t| t.cast(hoist_ir::dtype::DType::I32, false).ok());
    let cast = cast.ok_or_else(|| Diag::error("E0403", "a position does not fit into 32 bits"))?;
    Ok(b.constant(cast))
}

/// What an expand may list: 1 leaves an axis as it is.
fn expanded(g: &Graph, n: NodeId) -> Option<Vec<i64>> {
    let (x, list) = (g.node(n).input(0)?, g.node(n).input(1)?);
    let rank = g.ty(x).as_tensor()?.rank()?;
    let all = elements(g, list)?;
    let one = |(i, size): (usize, Option<Size>)| match size? {
        Size::Known(v) => Some(v),
        size => {
            let axis = (i + rank).checked_sub(all.len())?;
            (size_of(g, x, axis)? == size || planted("simplify-lists")).then_some(1)
        }
    };
    all.iter().cloned().enumerate().map(one).collect()
}

/// What a slice may list as ends, steps being positive.
fn ends(g: &Graph, n: NodeId) -> Option<Vec<i64>> {
    let node = g.node(n);
    let (x, list) = (node.input(0)?, node.input(2)?);
    let rank = g.ty(x).as_tensor()?.rank()?;
    let all = elements(g, list)?;
    let axes = match node.input(3) {
        Some(v) => g.const_ints(Some(v))?,
        None => (0..all.len() as i64).collect(),
    };
    let steps = match node.input(4) {
        Some(v) => g.const_ints(Some(v))?,
        None => vec![1; all.len()],
    };
    if axes.len() != all.len() || steps.len() != all.len() || steps.iter().any(|s| *s < 1) {
        return None;
    }
    let one = |(end, axis): (Option<Size>, i64)| {
        let axis = resolve_axis(axis, rank).ok()?;
        match (end?, size_of(g, x, axis)?) {
            (Size::Known(v), _) => Some(v),
            (Size::Symbolic(e), Size::Symbolic(d)) => e.sub(&d)?.is_non_negative().then_some(i64::MAX),
            (Size::Symbolic(e), Size::Known(d)) => e.sub(&d.into())?.is_non_negative().then_some(i64::MAX),
            (end, size) => (end == size).then_some(i64::MAX),
        }
    };
    all.into_iter().zip(axes).map(one).collect()
}
