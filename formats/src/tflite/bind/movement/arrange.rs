//! Order and repetition: TRANSPOSE, CONCATENATION, TILE, `BROADCAST_TO`, `REVERSE_SEQUENCE`, BITCAST.
use super::COPIED;
use crate::tflite::lower::{Cx, R};
use crate::tflite::schema::Builtin;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::dtype::DType;
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::types::Shape;

/// Most axes of TRANSPOSE and `BROADCAST_TO`.
const MAX_RANK: usize = 8;

/// Groups of axes that stay neighbours under `perm`, by their order in the operand, and the permutation of these.
fn neighbours(perm: &[usize]) -> (Vec<Vec<usize>>, Vec<usize>) {
    let mut runs: Vec<Vec<usize>> = vec![];
    for p in perm {
        match runs.last_mut() {
            Some(run) if run.last().is_some_and(|l| l + 1 == *p) => run.push(*p),
            _ => runs.push(vec![*p]),
        }
    }
    let mut groups = runs.clone();
    groups.sort();
    let order = runs.iter().map(|r| groups.iter().position(|g| g == r).unwrap_or(0)).collect();
    (groups, order)
}

/// TRANSPOSE; more axes than it takes are joined where they stay neighbours.
pub fn transpose(cx: &mut Cx<'_>) -> R<()> {
    let Op::Transpose(op) = cx.op() else { return Err("no transpose".into()) };
    let perm: Vec<usize> = op.perm.iter().filter_map(|p| usize::try_from(*p).ok()).collect();
    let x = cx.moved(0, COPIED)?;
    if perm.iter().enumerate().all(|(i, p)| i == *p) {
        return cx.finish(x);
    }
    if perm.len() <= MAX_RANK {
        let list = cx.ints32(&op.perm)?;
        return cx.emit_moved(Builtin::Transpose, None, &[x, list]);
    }
    // Axes of one position are nowhere.
    let all = cx.dims(x)?;
    let long: Vec<usize> = (0..all.len()).filter(|a| all[*a] != Dim::Known(1)).collect();
    let dims: Shape = long.iter().map(|a| all[*a].clone()).collect();
    let perm: Vec<usize> = perm.iter().filter_map(|p| long.iter().position(|a| a == p)).collect();
    let (groups, order) = neighbours(&perm);
    let own = cx.out_ty(0)?.shape.clone();
    if groups.len() > MAX_RANK {
        return Err(format!("{} axes", all.len()));
    }
    let join = |g: &Vec<usize>| g.iter().fold(Dim::Known(1), |p, a| p.combine(&dims[*a], SymInt::mul));
    let joined: Shape = groups.iter().map(join).collect();
    let x = cx.reshaped(x, &joined)?;
    let x = cx.permuted(x, &order)?;
    let y = cx.reshaped(x, &own.ok_or("a result of unknown rank")?)?;
    cx.finish(y)
}

/// Element types of CONCATENATION.
pub const JOINED: &[DType] = &[
    DType::F32,
    DType::F16,
    DType::BF16,
    DType::I32,
    DType::I64,
    DType::I16,
    DType::I8,
    DType::U8,
    DType::U32,
    DType::Bool,
];

/// CONCATENATION.
pub fn concat(cx: &mut Cx<'_>) -> R<()> {
    let Op::Concat(op) = cx.op() else { return Err("no concat".into()) };
    let rank = cx.out_ty(0)?.rank().ok_or("a result of unknown rank")?;
    let axis = resolve_axis(op.axis, rank).map_err(|e| e.message)?;
    let parts = (0..cx.len()).map(|i| cx.moved(i, JOINED)).collect::<R<Vec<_>>>()?;
    if let [x] = parts.as_slice() {
        return cx.finish(*x);
    }
    let options = Builtin::Concatenation.options().map(|o| o.with("axis", axis));
    cx.emit_moved(Builtin::Concatenation, options, &parts)
}

/// TILE.
pub fn tile(cx: &mut Cx<'_>) -> R<()> {
    let x = cx.moved(0, COPIED)?;
    if cx.rank(0)? == 0 {
        return cx.finish(x);
    }
    let times = cx.sizes32(1)?;
    cx.emit_moved(Builtin::Tile, None, &[x, times])
}

/// `BROADCAST_TO`; both sides may be stretched, so that sizes that are not known meet in `BROADCAST_ARGS`.
pub fn expand(cx: &mut Cx<'_>) -> R<()> {
    let own = cx.out_ty(0)?.clone();
    let rank = own.rank().ok_or("a result of unknown rank")?;
    if rank > MAX_RANK {
        return Err(format!("{rank} axes"));
    }
    let x = cx.moved(0, COPIED)?;
    if let Some(sizes) = own.sizes().filter(|_| cx.is_followed(1)) {
        let list = cx.ints32(&sizes.iter().map(|n| *n as i64).collect::<Vec<_>>())?;
        return cx.emit_moved(Builtin::BroadcastTo, None, &[x, list]);
    }
    let (sizes, given) = (cx.shape_of(x)?, cx.sizes32(1)?);
    let dims = vec![Dim::from(rank)];
    let list = if cx.rank(0)? == 0 {
        given
    } else {
        cx.compute(Builtin::BroadcastArgs, None, &[sizes, given], DType::I32, dims)?
    };
    cx.emit_moved(Builtin::BroadcastTo, None, &[x, list])
}

/// Element types of `REVERSE_SEQUENCE`.
const REVERSED: &[DType] = &[DType::F32, DType::I32, DType::I64, DType::I16, DType::U8];

/// `REVERSE_SEQUENCE`.
pub fn reverse_sequence(cx: &mut Cx<'_>) -> R<()> {
    let Op::ReverseSequence(op) = cx.op() else { return Err("no reverse_sequence".into()) };
    let x = cx.moved(0, REVERSED)?;
    let lens = cx.arg(1)?;
    let options = Builtin::ReverseSequence.options();
    let options = options.map(|o| o.with("seq_dim", op.time_axis).with("batch_dim", op.batch_axis));
    cx.emit_moved(Builtin::ReverseSequence, options, &[x, lens])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_axes_join() {
        let (groups, order) = neighbours(&[2, 3, 0, 1, 4]);
        assert_eq!((groups, order), (vec![vec![0, 1], vec![2, 3], vec![4]], vec![1, 0, 2]));
        let (groups, order) = neighbours(&[1, 0]);
        assert_eq!((groups, order), (vec![vec![0], vec![1]], vec![1, 0]));
    }
}
