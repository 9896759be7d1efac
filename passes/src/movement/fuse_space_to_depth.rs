//! `fuse-space-to-depth`
//!
//! ```text
//! %a = slice(%x, [0, 0], [max, max], [2, 3], [2, 2])
//! %b = slice(%x, [1, 0], ..)                             %s = space_to_depth(%x) {blocksize=2}
//! %c = slice(%x, [0, 1], ..)                        ->   %y = gather(%s, [0, 1, 2, 6, 7, 8, 3, ..]) {axis=1}
//! %d = slice(%x, [1, 1], ..)
//! %y = concat(%a, %b, %c, %d) {axis=1}
//! ```
//! - The slices take each place of a block once, to the border; nothing else uses them. That they join says that blocks divide the image.
//! - Where their order is that of `space_to_depth` there is no `gather`; else the number of channels is known.
//! - Elements are `f32` or `f64`, which every runtime has.
use crate::cuts::{BORDER, dims, size, sliced};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::spatial::depth_space::SpaceToDepth;

/// The pass.
pub struct FuseSpaceToDepth;

const INFO: PassInfo = PassInfo {
    name: "fuse-space-to-depth",
    doc: "Makes space_to_depth of strided slices of an image that are joined as channels.",
};

/// Largest side of a block.
const MOST: i64 = 8;

impl Pass for FuseSpaceToDepth {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["concat"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, fuse))
    }
}

/// The value that `v` is a strided slice of, the side of the block, and the place in it.
fn place(g: &Graph, v: ValueId) -> Option<(ValueId, i64, (i64, i64))> {
    let s = sliced(g, g.producer(v)?)?;
    let [rows, columns] = s.cuts.as_slice() else { return None };
    let sizes = dims(g, s.x)?;
    let whole = |cut: &crate::cuts::Cut| match size(sizes, cut.axis) {
        Some(n) => cut.end == n && n % cut.step == 0,
        None => cut.end == BORDER,
    };
    let block = rows.step;
    let fits = sizes.len() == 4
        && (rows.axis, columns.axis) == (2, 3)
        && columns.step == block
        && (2..=MOST).contains(&block)
        && [rows, columns].iter().all(|c| whole(c) && (0..block).contains(&c.start))
        && g.single_user(v).is_some();
    fits.then_some((s.x, block, (rows.start, columns.start)))
}

fn fuse(g: &mut Graph, n: NodeId) -> Outcome {
    let Op::Concat(op) = g.node(n).op() else { return Outcome::Skip };
    let operands: Vec<ValueId> = g.node(n).inputs().iter().flatten().copied().collect();
    let Some((x, block, _)) = operands.first().and_then(|v| place(g, *v)) else { return Outcome::Skip };
    if resolve_axis(op.axis, 4) != Ok(1) || operands.len() as i64 != block * block {
        return Outcome::miss(
            "the slices are not joined as channels, or are not as many as a block has places",
        );
    }
    let mut places = vec![];
    for v in &operands {
        match place(g, *v) {
            Some((y, b, (i, j))) if y == x && b == block => places.push(i * block + j),
            _ => return Outcome::miss("an operand is no such slice of the same value"),
        }
    }
    let mut sorted = places.clone();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() != places.len() {
        return Outcome::miss("a place is taken twice");
    }
    let Some(ty) = g.ty(x).as_tensor().filter(|t| matches!(t.dtype, DType::F32 | DType::F64)) else {
        return Outcome::miss("elements that not every runtime gathers in blocks");
    };
    let channels = ty.shape.as_deref().and_then(|s| size(s, 1));
    if !places.is_sorted() && channels.is_none() {
        return Outcome::miss("the number of channels is not known");
    }
    let also: Vec<NodeId> = operands.iter().filter_map(|v| g.producer(*v)).collect();
    Outcome::of(g.rewrite(n, &also, |b| {
        let moved = b.space_to_depth(SpaceToDepth { blocksize: block, ..SpaceToDepth::default() }, x)?;
        let Some(channels) = channels.filter(|_| !places.is_sorted() && !planted("fuse-space-to-depth"))
        else {
            return Ok(vec![moved]);
        };
        let at: Vec<i64> = places.iter().flat_map(|p| p * channels..(p + 1) * channels).collect();
        let at = b.ints(&at);
        Ok(vec![b.gather(Gather { axis: 1 }, moved, at)?])
    }))
}
