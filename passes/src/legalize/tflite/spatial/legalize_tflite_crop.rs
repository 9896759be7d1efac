//! `legalize-tflite-crop`
//!
//! ```text
//! %y = center_crop_pad(%x, [4]) {axes=[1]}   ->   %c = slice(%x, [cut], [cut + min(size, 4)], [1])
//!                                                 %y = pad(%c, ...)
//! ```
//! - The rank is known and no list of one size for all axes is missing; sizes may be computed.
use super::math::Math;
use super::nodes::{rank, size};
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;

/// The pass.
pub struct LegalizeTfliteCrop;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-crop",
    doc: "Gives cutting and filling around the middle as a slice and a border.",
};

impl Pass for LegalizeTfliteCrop {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["center_crop_pad"], |g, n, _, _| crop(g, n)))
    }
}

fn crop(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Op::CenterCropPad(op), Some(x), Some(wanted)) = (node.op(), node.input(0), node.input(1)) else {
        return Outcome::Skip;
    };
    let Ok(rank) = rank(g, x) else { return Outcome::miss("the rank is not known") };
    let all = (0..rank as i64).collect();
    let axes: Result<Vec<usize>, _> =
        op.axes.clone().unwrap_or(all).iter().map(|a| resolve_axis(*a, rank)).collect();
    let Ok(axes) = axes else { return Outcome::miss("an axis is out of range") };
    if size(g, wanted, 0) != Some(axes.len() as i64) {
        return Outcome::miss("the number of sizes is not known");
    }
    Outcome::of(g.rewrite(n, &[], |b| {
        let m = &mut Math { b };
        let wanted = m.int(wanted)?;
        let zero = m.b.ints(&[0]);
        let (mut starts, mut ends): (Vec<ValueId>, Vec<ValueId>) = (vec![], vec![]);
        let (mut before, mut behind) = (vec![zero; rank], vec![zero; rank]);
        for (i, axis) in axes.iter().enumerate() {
            let (own, out) = (m.size(x, *axis)?, m.entry(wanted, i)?);
            let kept = m.op("min", &[own, out])?;
            let surplus = m.sub(own, kept)?;
            let cut = m.quotient(surplus, 2)?;
            let lack = m.sub(out, kept)?;
            before[*axis] = m.quotient(lack, 2)?;
            behind[*axis] = m.sub(lack, before[*axis])?;
            starts.push(cut);
            ends.push(m.add(cut, kept)?);
        }
        let (starts, ends) = (m.list(&starts)?, m.list(&ends)?);
        let listed = m.b.ints(&axes.iter().map(|a| *a as i64).collect::<Vec<_>>());
        let cut = m.op("slice", &[x, starts, ends, listed])?;
        let pads = m.list(&[before, behind].concat())?;
        Ok(vec![m.op("pad", &[cut, pads])?])
    }))
}
