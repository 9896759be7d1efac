//! SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND whose blocks or borders are computed: shapes are computed too.
use crate::tflite::lift::{Cx, Lifted};
use hoist_ir::diag::Diag;
use hoist_ir::graph::ValueId;
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::{Div, Mul, Sub};
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::transpose::Transpose;

fn named(cx: &mut Cx<'_, '_>, name: &str, inputs: &[ValueId]) -> Result<ValueId, Diag> {
    let op = Op::by_name(name).ok_or_else(|| cx.bad(format!("no {name}")))?;
    cx.op(op, inputs)
}

/// Lists one after another.
fn joined(cx: &mut Cx<'_, '_>, parts: &[ValueId]) -> Result<ValueId, Diag> {
    cx.op(hoist_ir::ops::movement::concat::Concat { axis: 0 }, parts)
}

fn part(cx: &mut Cx<'_, '_>, list: ValueId, from: usize, to: usize) -> Result<ValueId, Diag> {
    let ends = [from, to].map(|n| cx.b.ints(&[n as i64]));
    cx.op(Slice {}, &[list, ends[0], ends[1]])
}

/// Sizes of the blocks, the first and the second column of the borders, and the number of axes they are for.
fn lists(cx: &mut Cx<'_, '_>, x: ValueId) -> Result<([ValueId; 3], usize), Diag> {
    let (sizes, rows) = (cx.wide(1)?, cx.wide(2)?);
    let known = cx.shape(sizes).and_then(|s| s.first()).and_then(|d| d.known());
    let known = known.or_else(|| cx.shape(rows).and_then(|s| s.first()).and_then(|d| d.known()));
    // LiteRT's kernels take one or two axes between the first and the last.
    let m = known
        .and_then(|m| usize::try_from(m).ok())
        .map_or_else(|| cx.rank(x).map(|r| r.saturating_sub(2)), Ok)?;
    if m == 0 || cx.rank(x)? < m + 1 {
        return Err(cx.bad("blocks and borders do not fit the data"));
    }
    let columns = [0i64, 1].map(|c| cx.b.scalar(c));
    let before = cx.op(Gather { axis: 1 }, &[rows, columns[0]])?;
    let after = cx.op(Gather { axis: 1 }, &[rows, columns[1]])?;
    Ok(([sizes, before, after], m))
}

fn reshaped(cx: &mut Cx<'_, '_>, x: ValueId, shape: ValueId) -> Result<ValueId, Diag> {
    cx.op(Reshape { allowzero: true }, &[x, shape])
}

fn transposed(cx: &mut Cx<'_, '_>, x: ValueId, perm: impl Iterator<Item = usize>) -> Result<ValueId, Diag> {
    cx.op(Transpose { perm: perm.map(|p| p as i64).collect() }, &[x])
}

/// Product of a list, as a list of one.
fn product(cx: &mut Cx<'_, '_>, list: ValueId, m: usize) -> Result<ValueId, Diag> {
    let mut all = part(cx, list, 0, 1)?;
    for i in 1..m {
        let next = part(cx, list, i, i + 1)?;
        all = cx.op(Mul {}, &[all, next])?;
    }
    Ok(all)
}

pub(super) fn space_to_batch(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let ([sizes, before, after], m) = lists(cx, x)?;
    let rank = cx.rank(x)?;
    let (first, rest) = (cx.b.ints(&[0]), cx.b.ints(&vec![0; rank - m - 1]));
    let pads = joined(cx, &[first, before, rest, first, after, rest])?;
    let x = named(cx, "pad", &[x, pads])?;
    let shape = named(cx, "shape", &[x])?;
    let (batch, space) = (part(cx, shape, 0, 1)?, part(cx, shape, 1, m + 1)?);
    let rest = part(cx, shape, m + 1, rank)?;
    let counts = cx.op(Div {}, &[space, sizes])?;
    let mut split = vec![batch];
    for i in 0..m {
        split.extend([part(cx, counts, i, i + 1)?, part(cx, sizes, i, i + 1)?]);
    }
    split.push(rest);
    let split = joined(cx, &split)?;
    let x = reshaped(cx, x, split)?;
    let (blocks, places) = ((0..m).map(|i| 2 * i + 2), (0..m).map(|i| 2 * i + 1));
    let x = transposed(cx, x, blocks.chain([0]).chain(places).chain(2 * m + 1..rank + m))?;
    let blocks = product(cx, sizes, m)?;
    let batch = cx.op(Mul {}, &[batch, blocks])?;
    let shape = joined(cx, &[batch, counts, rest])?;
    Ok(vec![reshaped(cx, x, shape)?])
}

pub(super) fn batch_to_space(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let ([sizes, before, after], m) = lists(cx, x)?;
    let rank = cx.rank(x)?;
    let shape = named(cx, "shape", &[x])?;
    let (batch, counts) = (part(cx, shape, 0, 1)?, part(cx, shape, 1, m + 1)?);
    let rest = part(cx, shape, m + 1, rank)?;
    let blocks = product(cx, sizes, m)?;
    let batch = cx.op(Div {}, &[batch, blocks])?;
    let split = joined(cx, &[sizes, batch, counts, rest])?;
    let x = reshaped(cx, x, split)?;
    // [b1, b2, ..., batch, n1, n2, ..., rest] to [batch, n1, b1, n2, b2, ..., rest]
    let pairs = (0..m).flat_map(|i| [m + 1 + i, i]);
    let x = transposed(cx, x, std::iter::once(m).chain(pairs).chain(2 * m + 1..rank + m))?;
    let space = cx.op(Mul {}, &[counts, sizes])?;
    let shape = joined(cx, &[batch, space, rest])?;
    let x = reshaped(cx, x, shape)?;
    let ends = cx.op(Sub {}, &[space, after])?;
    let axes = cx.b.ints(&(1..=m as i64).collect::<Vec<_>>());
    Ok(vec![cx.op(Slice {}, &[x, before, ends, axes])?])
}
