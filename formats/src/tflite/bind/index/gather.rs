//! Picking elements: GATHER, `GATHER_ND`, WHERE, `ONE_HOT`.
use crate::tflite::bind::movement::GATHERED;
use crate::tflite::bind::movement::slice::cut;
use crate::tflite::build::{Arith, carrier};
use crate::tflite::lower::{Cx, R};
use crate::tflite::program::T;
use crate::tflite::schema::Builtin;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Shape;

/// How far back a proof goes.
const MAX_DEPTH: usize = 16;

/// Whether all elements of `v` are known not to be negative.
pub fn never_negative(g: &Graph, v: ValueId) -> bool {
    proven(g, v, MAX_DEPTH)
}

fn proven(g: &Graph, v: ValueId, depth: usize) -> bool {
    let Some(ty) = g.ty(v).as_tensor() else { return false };
    if matches!(ty.dtype, DType::U8 | DType::U16 | DType::U32 | DType::Bool) {
        return true;
    }
    if let Some(t) = g.constant(v) {
        return t.dtype().is_int() && t.to_i64s().is_ok_and(|l| l.iter().all(|n| *n >= 0));
    }
    if let Some(content) = g.value(v).content()
        && content.iter().all(|e| e.as_ref().is_some_and(hoist_ir::dim::SymInt::is_non_negative))
    {
        return true;
    }
    let Some(node) = g.producer(v).map(|n| g.node(n)).filter(|_| depth > 0) else { return false };
    let of = |i: usize| node.input(i).is_some_and(|v| proven(g, v, depth - 1));
    match node.op() {
        Op::ArgMax(_) | Op::ArgMin(_) | Op::NonZero(_) | Op::Shape(_) | Op::Size(_) | Op::Unique(_) => {
            node.outputs().first() != Some(&v) || !matches!(node.op(), Op::Unique(_))
        }
        Op::TopK(_) => node.outputs().get(1) == Some(&v),
        // A step away from zero; the end of a range towards it is not looked at.
        Op::Range(_) => of(0) && of(2),
        Op::Cast(_) => {
            let from = node.input(0).and_then(|x| g.ty(x).as_tensor()).map(|t| t.dtype);
            from.is_some_and(|f| {
                f.is_int() && f.bits() < ty.dtype.bits() || f == ty.dtype || f == DType::Bool
            }) && of(0)
        }
        Op::Identity(_)
        | Op::Reshape(_)
        | Op::Flatten(_)
        | Op::Squeeze(_)
        | Op::Unsqueeze(_)
        | Op::Transpose(_)
        | Op::Expand(_)
        | Op::Tile(_)
        | Op::Slice(_)
        | Op::Split(_)
        | Op::Gather(_)
        | Op::GatherElements(_)
        | Op::GatherNd(_) => of(0),
        Op::Concat(_) | Op::Min(_) => (0..node.inputs().len()).all(of),
        Op::Max(_) => (0..node.inputs().len()).any(of),
        Op::Where(_) => of(1) && of(2),
        Op::Clip(_) => (of(0) || of(1)) && (node.input(2).is_none() || of(2)),
        _ => false,
    }
}

/// Indices in operand `i`, 32 or 64 bits wide, counted from the front of axes whose sizes `sizes` holds (32-bit, broadcast against them).
pub fn from_front(cx: &mut Cx<'_>, i: usize, sizes: T) -> R<T> {
    let v = cx.value(i).ok_or("indices left out")?;
    let mut at = cx.arg(i)?;
    if never_negative(cx.g, v) {
        return Ok(at);
    }
    let dtype = cx.dtype(i)?;
    if let (Some(list), Some(n)) = (cx.ints(i), cx.known(sizes))
        && let Some(n) = n.first().filter(|f| n.iter().all(|x| x == *f))
    {
        let wrapped: Vec<i64> = list.iter().map(|v| if *v < 0 { v + n } else { *v }).collect();
        let shape = cx.constant(i).map_or(vec![], |t| t.shape().to_vec());
        let t = Tensor::from_vec(&shape, wrapped).cast(dtype, false).map_err(|e| e.to_string())?;
        return Ok(cx.konst(t));
    }
    if !matches!(dtype, DType::I32 | DType::I64) {
        at = cx.cast(at, DType::I32)?;
    }
    let like = cx.def(at).ty.dtype;
    let sizes = match cx.known(sizes).filter(|_| like != DType::I32) {
        Some(known) => cx.konst(Tensor::from_ints(&known)),
        None if like == DType::I32 => sizes,
        None => cx.cast(sizes, like)?,
    };
    let sizes = if cx.dims(sizes)? == [Dim::Known(1)] { cx.as_scalar(sizes)? } else { sizes };
    let zero = cx.int_like(0, at)?;
    let behind = cx.compare(Builtin::Less, at, zero)?;
    let wrapped = cx.arith(Arith::Add, at, sizes)?;
    cx.select(behind, wrapped, at)
}

/// GATHER. It refuses negative indices, so that those that may be are counted from the front.
pub fn gather(cx: &mut Cx<'_>) -> R<()> {
    let Op::Gather(op) = cx.op() else { return Err("no gather".into()) };
    let axis = resolve_axis(op.axis, cx.rank(0)?).map_err(|e| e.message)?;
    let x = cx.moved(0, GATHERED)?;
    let size = cx.size_of(x, axis)?;
    let at = from_front(cx, 1, size)?;
    let options = Builtin::Gather.options().map(|o| o.with("axis", axis));
    cx.emit_moved(Builtin::Gather, options, &[x, at])
}

/// GATHER along the last axis of the features.
pub fn array_feature_extractor(cx: &mut Cx<'_>) -> R<()> {
    let rank = cx.rank(0)?;
    let x = cx.moved(0, GATHERED)?;
    let size = cx.size_of(x, rank.checked_sub(1).ok_or("no axes")?)?;
    let at = from_front(cx, 1, size)?;
    let at = cx.reshaped(at, &[Dim::Unknown])?;
    let own = cx.out_ty(0)?.shape.clone().ok_or("a result of unknown rank")?;
    // A list of features becomes one row.
    let x = if rank == 1 { cx.reshaped(x, &[Dim::Known(1), cx.dims(x)?[0].clone()])? } else { x };
    let options = Builtin::Gather.options().map(|o| o.with("axis", own.len() - 1));
    cx.emit_moved(Builtin::Gather, options, &[x, at])
}

/// GATHER of the positions that WHERE finds.
pub fn compress(cx: &mut Cx<'_>) -> R<()> {
    let Op::Compress(op) = cx.op() else { return Err("no compress".into()) };
    let mut x = cx.moved(0, GATHERED)?;
    let axis = if let Some(a) = op.axis {
        resolve_axis(a, cx.rank(0)?).map_err(|e| e.message)?
    } else {
        x = cx.reshaped(x, &[Dim::Unknown])?;
        0
    };
    let kept = cx.arg(1)?;
    let kept = cx.compute(Builtin::Where, None, &[kept], DType::I64, vec![Dim::Unknown, Dim::Known(1)])?;
    let kept = cx.reshaped(kept, &[Dim::Unknown])?;
    let options = Builtin::Gather.options().map(|o| o.with("axis", axis));
    cx.emit_moved(Builtin::Gather, options, &[x, kept])
}

/// GATHER with all other axes as a batch, the axis as the last one.
pub fn gather_elements(cx: &mut Cx<'_>) -> R<()> {
    let Op::GatherElements(op) = cx.op() else { return Err("no gather_elements".into()) };
    let rank = cx.rank(0)?;
    let axis = resolve_axis(op.axis, rank).map_err(|e| e.message)?;
    let mut x = cx.moved(0, GATHERED)?;
    let size = cx.size_of(x, axis)?;
    let mut at = from_front(cx, 1, size)?;
    let (have, want) = (cx.dims(x)?, cx.dims(at)?);
    let agree = (0..rank).all(|a| a == axis || have[a].surely_equals(&want[a]));
    if !agree {
        let begin = cx.ints32(&vec![0; rank])?;
        let mut end = vec![];
        for a in 0..rank {
            end.push(if a == axis { size } else { cx.size_of(at, a)? });
        }
        let end = cx.joined(&end)?;
        let mut shape = want.clone();
        shape[axis].clone_from(&have[axis]);
        x = cut(cx, x, begin, end, shape)?;
    }
    let mut perm: Vec<usize> = (0..rank).filter(|a| *a != axis).collect();
    perm.push(axis);
    (x, at) = (cx.permuted(x, &perm)?, cx.permuted(at, &perm)?);
    let options = Builtin::Gather.options().map(|o| o.with("axis", rank - 1).with("batch_dims", rank - 1));
    if axis + 1 == rank {
        return cx.emit_moved(Builtin::Gather, options, &[x, at]);
    }
    let (dtype, dims) = (cx.def(x).ty.dtype, cx.dims(at)?);
    let y = cx.compute(Builtin::Gather, options, &[x, at], dtype, dims)?;
    let back: Vec<usize> = (0..rank).map(|a| perm.iter().position(|p| *p == a).unwrap_or(0)).collect();
    let y = cx.permuted(y, &back)?;
    cx.finish(y)
}

/// `GATHER_ND`; axes that correspond are one axis, whose positions come before each tuple.
pub fn gather_nd(cx: &mut Cx<'_>) -> R<()> {
    let Op::GatherNd(op) = cx.op() else { return Err("no gather_nd".into()) };
    let batch = usize::try_from(op.batch_dims).map_err(|_| "a negative number of batch axes")?;
    let x = cx.moved(0, GATHERED)?;
    let dims = cx.dims(x)?;
    let lead = cx.shape(1).cloned().ok_or("indices of unknown rank")?;
    let tuple = lead.last().and_then(Dim::known).ok_or("tuples of unknown length")? as usize;
    let sizes = cx.shape_of(x)?;
    let sizes = cx.part(sizes, batch, tuple)?;
    let at = from_front(cx, 1, sizes)?;
    if batch == 0 {
        return cx.emit_moved(Builtin::GatherNd, None, &[x, at]);
    }
    let counts = |rank: usize| -> Vec<usize> {
        std::iter::once(batch).chain(std::iter::repeat_n(1, rank - batch)).collect()
    };
    let sizes = cx.shape_of(x)?;
    let (x, at) = (cx.grouped(x, &counts(dims.len()))?, cx.grouped(at, &counts(lead.len()))?);
    let (joined, rows) = (cx.dims(x)?, cx.dims(at)?);
    let at = cx.cast(at, DType::I32)?;
    let numbers = batch_numbers(cx, at, &rows)?;
    let mut longer = rows.clone();
    *longer.last_mut().ok_or("no tuples")? = Dim::from(tuple + 1);
    let options = Builtin::Concatenation.options().map(|o| o.with("axis", rows.len() - 1));
    let at = cx.compute(Builtin::Concatenation, options, &[numbers, at], DType::I32, longer)?;
    if batch == 1 {
        return cx.emit_moved(Builtin::GatherNd, None, &[x, at]);
    }
    let shape: Shape = rows[..rows.len() - 1].iter().chain(&joined[1 + tuple..]).cloned().collect();
    let dtype = cx.def(x).ty.dtype;
    let y = cx.compute(Builtin::GatherNd, None, &[x, at], dtype, shape)?;
    // The sizes of the batch, of the tuples' places, and of the blocks.
    let places = cx.arg(1)?;
    let places = cx.shape_of(places)?;
    let head = cx.part(places, 0, lead.len() - 1)?;
    let end = batch + tuple;
    let list = if end == dims.len() {
        head
    } else {
        let tail = cx.part(sizes, end, dims.len() - end)?;
        cx.joined(&[head, tail])?
    };
    cx.emit_moved(Builtin::Reshape, None, &[y, list])
}

/// Position along the first axis, in the shape of `rows` with tuples of one.
fn batch_numbers(cx: &mut Cx<'_>, at: T, rows: &[Dim]) -> R<T> {
    let count = cx.size_of(at, 0)?;
    let count = cx.as_scalar(count)?;
    let numbers = cx.iota(count, &rows[0])?;
    let mut column = vec![Dim::Known(1); rows.len()];
    column[0].clone_from(&rows[0]);
    let numbers = cx.reshaped(numbers, &column)?;
    let (sizes, one) = (cx.shape_of(at)?, cx.ints32(&[1])?);
    let sizes = cx.part(sizes, 0, rows.len() - 1)?;
    let list = cx.joined(&[sizes, one])?;
    let mut shape = rows.to_vec();
    *shape.last_mut().ok_or("no tuples")? = Dim::Known(1);
    cx.compute(Builtin::BroadcastTo, None, &[numbers, list], DType::I32, shape)
}

/// Element types of conditions of WHERE.
const CONDITIONS: &[DType] =
    &[DType::Bool, DType::F32, DType::I8, DType::U8, DType::I32, DType::U32, DType::I64];

/// WHERE, whose rows are the columns of the result.
pub fn non_zero(cx: &mut Cx<'_>) -> R<()> {
    let (rank, dtype) = (cx.rank(0)?, cx.dtype(0)?);
    if rank == 0 {
        return Err("no axes".into());
    }
    let mut x = cx.arg(0)?;
    if !CONDITIONS.contains(&dtype) {
        x = match dtype {
            DType::F16 | DType::BF16 | DType::F64 | DType::I16 | DType::U16 => cx.cast(x, DType::Bool)?,
            DType::U64 => cx.bits(x, DType::I64)?,
            _ => return Err(format!("element type {dtype}")),
        };
    }
    let rows = cx.compute(Builtin::Where, None, &[x], DType::I64, vec![Dim::Unknown, Dim::from(rank)])?;
    let perm = cx.ints32(&[1, 0])?;
    cx.emit(Builtin::Transpose, None, &[rows, perm])
}

/// Element types of values of `ONE_HOT`.
const HOT: &[DType] = &[DType::F32, DType::I32, DType::I64, DType::I8, DType::U8, DType::Bool];

/// `ONE_HOT`, which sets nothing for negative indices: they are counted from the front before.
pub fn one_hot(cx: &mut Cx<'_>) -> R<()> {
    let Op::OneHot(op) = cx.op() else { return Err("no one_hot".into()) };
    let axis = resolve_axis(op.axis, cx.rank(0)? + 1).map_err(|e| e.message)?;
    let dtype = cx.dtype(2)?;
    // 16-bit values: any type of that width fails, so that the choice is made of their positions.
    let carried = carrier(dtype, HOT)?;
    let depth = cx.arg(1)?;
    let depth = match cx.constant(1).and_then(Tensor::as_f64) {
        Some(d) => cx.int32(d as i64)?,
        None if cx.dtype(1)? == DType::I32 => cx.as_scalar(depth)?,
        None => {
            let d = cx.cast(depth, DType::I32)?;
            cx.as_scalar(d)?
        }
    };
    let mut at = cx.arg(0)?;
    if !matches!(cx.dtype(0)?, DType::I32 | DType::I64) {
        at = cx.cast(at, DType::I64)?;
    }
    if !cx.value(0).is_some_and(|v| never_negative(cx.g, v)) {
        let zero = cx.int_like(0, at)?;
        let behind = cx.compare(Builtin::Less, at, zero)?;
        let n = if cx.def(at).ty.dtype == DType::I32 { depth } else { wide(cx, depth)? };
        let wrapped = cx.arith(Arith::Add, at, n)?;
        at = cx.select(behind, wrapped, at)?;
    }
    let mut ends = vec![];
    for k in 0..2 {
        ends.push(value_at(cx, k, carried)?);
    }
    let last = cx.rank(0)? == axis;
    let options = Builtin::OneHot.options().map(|o| o.with("axis", if last { -1 } else { axis as i64 }));
    cx.emit_moved_as(Builtin::OneHot, options, &[at, depth, ends[1], ends[0]], carried)
}

fn wide(cx: &mut Cx<'_>, t: T) -> R<T> {
    match cx.known(t).as_deref() {
        Some([n]) => Ok(cx.konst(Tensor::scalar(*n))),
        _ => cx.cast(t, DType::I64),
    }
}

/// Entry `k` of the values, 0-d, in the type that carries it.
fn value_at(cx: &mut Cx<'_>, k: usize, carried: DType) -> R<T> {
    let values = cx.arg(2)?;
    let values = cx.bits(values, carried)?;
    if let Some(t) = cx.def(values).data.as_ref().and_then(|t| t.slice(&[k], &[1]).ok()) {
        let t = t.reshape(&[]).map_err(|e| e.to_string())?;
        return Ok(cx.konst(t));
    }
    let (begin, size) = (cx.ints32(&[k as i64])?, cx.ints32(&[1])?);
    let one = cx.compute(Builtin::Slice, None, &[values, begin, size], carried, vec![Dim::Known(1)])?;
    cx.as_scalar(one)
}
