//! Choosing: distinct elements, boxes, triangles, unit matrices.
use super::scatter::flipped;
use crate::tflite::bind::movement::GATHERED;
use crate::tflite::build::{Arith, carrier};
use crate::tflite::lower::{Cx, R};
use crate::tflite::program::T;
use crate::tflite::schema::Builtin;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{Shape, TensorType};

/// Largest constant that stands for a pattern of positions.
const MAX_PATTERN: usize = 1 << 24;

/// Numbers from 0 on along an axis of `x`.
fn numbers(cx: &mut Cx<'_>, x: T, axis: usize) -> R<T> {
    let dims = cx.dims(x)?;
    let count = cx.size_of(x, axis)?;
    let count = cx.as_scalar(count)?;
    cx.iota(count, &dims[axis])
}

/// `column - row` of the last two axes of `x`.
fn offsets(cx: &mut Cx<'_>, x: T) -> R<T> {
    let dims = cx.dims(x)?;
    let rank = dims.len();
    let (rows, columns) = (numbers(cx, x, rank - 2)?, numbers(cx, x, rank - 1)?);
    let rows = cx.reshaped(rows, &[dims[rank - 2].clone(), Dim::Known(1)])?;
    cx.arith(Arith::Sub, columns, rows)
}

/// Ones on a diagonal: a constant where the sizes are known.
pub fn eye_like(cx: &mut Cx<'_>) -> R<()> {
    let Op::EyeLike(op) = cx.op() else { return Err("no eye_like".into()) };
    let dtype = cx.out_ty(0)?.dtype;
    if let Some([rows, columns]) = cx.sizes(0).as_deref()
        && rows.checked_mul(*columns).is_some_and(|n| n <= MAX_PATTERN)
    {
        let one = |i: usize| (i % columns) as i64 - (i / columns) as i64 == op.k;
        let eye = Tensor::from_bools(&[*rows, *columns], (0..rows * columns).map(one).collect());
        let eye = eye.cast(dtype, false).map_err(|e| e.to_string())?;
        let t = cx.konst(eye);
        return cx.finish(t);
    }
    let x = cx.arg(0)?;
    let at = offsets(cx, x)?;
    // Farther than any column there is nothing.
    let k = cx.int32(op.k.clamp(i32::MIN.into(), i32::MAX.into()))?;
    let on = cx.compare(Builtin::Equal, at, k)?;
    match dtype {
        DType::Bool => cx.alias(0, on),
        // Nothing is cast to this type.
        DType::U64 => {
            let on = cx.cast(on, DType::I64)?;
            cx.finish(on)
        }
        _ => cx.emit_cast(on, dtype),
    }
}

/// A triangle with a constant border, of matrices of known sizes; others are expanded before.
pub fn trilu(cx: &mut Cx<'_>) -> R<()> {
    let Op::Trilu(op) = cx.op() else { return Err("no trilu".into()) };
    let k = match cx.value(1) {
        None => Some(0),
        Some(_) => cx.ints(1).and_then(|l| l.first().copied()),
    };
    let dims = cx.shape(0).cloned().ok_or("an operand of unknown rank")?;
    let [.., rows, columns] = dims.as_slice() else { return Err("no matrices".into()) };
    let (Some(k), Some(rows), Some(columns)) = (k, rows.known(), columns.known()) else {
        return Err("a computed border".into());
    };
    let (rows, columns) = (rows as usize, columns as usize);
    if rows.checked_mul(columns).is_none_or(|n| n > MAX_PATTERN) {
        return Err("a pattern that is too large for a constant".into());
    }
    let kept = |i: usize| {
        let at = (i % columns) as i128 - (i / columns) as i128;
        if op.upper { at >= i128::from(k) } else { at <= i128::from(k) }
    };
    let kept = Tensor::from_bools(&[rows, columns], (0..rows * columns).map(kept).collect());
    let kept = cx.konst(kept);
    let x = cx.moved(0, GATHERED)?;
    let zero = Tensor::scalar(0i64).cast(cx.def(x).ty.dtype, false).map_err(|e| e.to_string())?;
    let zero = cx.konst(zero);
    cx.emit_moved_as(Builtin::SelectV2, None, &[kept, x, zero], cx.def(x).ty.dtype)
}

/// The next number above `t`, which is not negative: the next larger pattern of bits.
fn above(cx: &mut Cx<'_>, t: T) -> R<T> {
    if let Some(v) = cx.def(t).data.as_ref().and_then(Tensor::as_f64) {
        let v = v as f32;
        return Ok(cx.konst(Tensor::scalar(if v >= 0.0 { v.next_up() } else { f32::MIN_POSITIVE })));
    }
    let zero = cx.konst(Tensor::scalar(0f32));
    let t = cx.arith(Arith::Max, t, zero)?;
    let bits = cx.bits(t, DType::I32)?;
    let one = cx.int32(1)?;
    let next = cx.arith(Arith::Add, bits, one)?;
    cx.bits(next, DType::F32)
}

/// One `NON_MAX_SUPPRESSION_V4` for each class of each sample. It suppresses boxes from the threshold on, the operator those above it; it
/// takes boxes of equal scores in any order, so it is given ranks for scores; it chooses boxes without an area again and again, so
/// it is given others for them.
pub fn non_max_suppression(cx: &mut Cx<'_>) -> R<()> {
    let Op::NonMaxSuppression(op) = cx.op() else { return Err("no non_max_suppression".into()) };
    let (boxes, scores) = (cx.arg(0)?, cx.arg(1)?);
    let dims = cx.dims(scores)?;
    let [samples, classes, _] = dims.as_slice() else { return Err("scores that are not of rank 3".into()) };
    let (Some(samples), Some(classes)) = (samples.known(), classes.known()) else {
        return Err("an unknown number of samples or classes".into());
    };
    if samples * classes == 0 || samples.saturating_mul(classes) > 1 << 12 {
        return Err(format!("{samples} samples of {classes} classes"));
    }
    let boxes = if op.center_point_box { corners(cx, boxes)? } else { boxes };
    let most = most_boxes(cx, scores)?;
    let scalar = |cx: &mut Cx<'_>, i: usize, or: f32| match cx.opt(i)? {
        Some(t) => cx.as_scalar(t),
        None => Ok(cx.konst(Tensor::scalar(or))),
    };
    let overlap = scalar(cx, 3, 0.0)?;
    let overlap = above(cx, overlap)?;
    let least = cx.value(4).is_some().then(|| scalar(cx, 4, 0.0)).transpose()?;
    let total = cx.size_of(scores, 2)?;
    let total = cx.as_scalar(total)?;
    let numbers = cx.iota(total, &dims[2])?;
    let ranks = cx.arith(Arith::Sub, total, numbers)?;
    let ranks = cx.cast(ranks, DType::F32)?;
    let places = cx.reshaped(numbers, &[dims[2].clone(), Dim::Known(1)])?;
    let places = cx.cast(places, DType::F32)?;
    let limits = Limits { most, overlap, least, total, ranks };
    let mut rows = vec![];
    for sample in 0..samples {
        let boxes = nth(cx, boxes, &[sample], 2)?;
        let boxes = with_area(cx, boxes, places)?;
        for class in 0..classes {
            let scores = nth(cx, scores, &[sample, class], 1)?;
            rows.push(chosen(cx, (boxes, scores), &limits, (sample, class))?);
        }
    }
    if let [one] = rows.as_slice() {
        return cx.alias(0, *one);
    }
    let options = Builtin::Concatenation.options().map(|o| o.with("axis", 0));
    cx.emit(Builtin::Concatenation, options, &rows)
}

/// The part of `x` at the first positions `at`, with `rank` axes left.
fn nth(cx: &mut Cx<'_>, x: T, at: &[u64], rank: usize) -> R<T> {
    let dims = cx.dims(x)?;
    let (mut begin, mut end) = (vec![0; dims.len()], vec![i64::from(i32::MAX); dims.len()]);
    for (i, n) in at.iter().enumerate() {
        (begin[i], end[i]) = (*n as i64, *n as i64 + 1);
    }
    let (begin, end) = (cx.ints32(&begin)?, cx.ints32(&end)?);
    let rest: Shape = dims[dims.len() - rank..].to_vec();
    let part = std::iter::repeat_n(Dim::Known(1), at.len()).chain(rest.iter().cloned()).collect();
    let part = crate::tflite::bind::movement::slice::cut(cx, x, begin, end, part)?;
    cx.reshaped(part, &rest)
}

/// Boxes `[n, 4]`, with others in place of those without an area: they lie beyond all boxes and apart from each other, by `places`, their numbers `[n, 1]`.
fn with_area(cx: &mut Cx<'_>, boxes: T, places: T) -> R<T> {
    let dims = cx.dims(boxes)?;
    let count = dims.first().cloned().ok_or("no boxes")?;
    let end = i64::from(i32::MAX);
    let half = |cx: &mut Cx<'_>, from: i64| {
        let (begin, end) = (cx.ints32(&[0, from])?, cx.ints32(&[end, from + 2])?);
        crate::tflite::bind::movement::slice::cut(cx, boxes, begin, end, vec![count.clone(), Dim::Known(2)])
    };
    let (a, b) = (half(cx, 0)?, half(cx, 2)?);
    let sides = cx.arith(Arith::Sub, b, a)?;
    let sides = cx.temp_like(Builtin::Abs, &[sides], sides)?;
    let keep = |b: Builtin| b.options().map(|o| o.with("keep_dims", true));
    let (second, both, zero) = (cx.ints32(&[1])?, cx.ints32(&[0, 1])?, cx.konst(Tensor::scalar(0f32)));
    let column = vec![count, Dim::Known(1)];
    let area =
        cx.compute(Builtin::ReduceProd, keep(Builtin::ReduceProd), &[sides, second], DType::F32, column)?;
    let whole = cx.compare(Builtin::Greater, area, zero)?;
    let extent = cx.temp_like(Builtin::Abs, &[boxes], boxes)?;
    let one = cx.konst(Tensor::scalar(1f32));
    let shape = vec![Dim::Known(1); 2];
    let extent =
        cx.compute(Builtin::ReduceMax, keep(Builtin::ReduceMax), &[extent, both], DType::F32, shape)?;
    let extent = cx.arith(Arith::Max, extent, one)?;
    let (step, first) = (
        Tensor::from_vec(&[4], vec![2f32, 0.0, 2.0, 0.0]),
        Tensor::from_vec(&[4], vec![2f32, 0.0, 3.0, 1.0]),
    );
    let (step, first) = (cx.konst(step), cx.konst(first));
    let far = cx.arith(Arith::Mul, places, step)?;
    let far = cx.arith(Arith::Add, far, first)?;
    let far = cx.arith(Arith::Mul, far, extent)?;
    cx.select(whole, boxes, far)
}

/// Most boxes of a class: no more than there are.
fn most_boxes(cx: &mut Cx<'_>, scores: T) -> R<T> {
    if cx.value(2).is_none() {
        return cx.int32(0);
    }
    let most = cx.positions32(2)?;
    let most = cx.as_scalar(most)?;
    let count = cx.size_of(scores, 2)?;
    let (count, zero) = (cx.as_scalar(count)?, cx.int32(0)?);
    let most = cx.arith(Arith::Min, most, count)?;
    cx.arith(Arith::Max, most, zero)
}

/// What holds for every class.
struct Limits {
    /// Most boxes of a class.
    most: T,
    /// Overlap from which on a box is suppressed.
    overlap: T,
    /// Score that a box must be above.
    least: Option<T>,
    /// Number of boxes.
    total: T,
    /// A number for each place in the order of scores: the higher, the better, down to 1.
    ranks: T,
}

impl Limits {
    /// What ranks must be above, when `scores` are in descending order.
    fn above(&self, cx: &mut Cx<'_>, scores: T) -> R<T> {
        let Some(least) = self.least else { return Ok(cx.konst(Tensor::scalar(0f32))) };
        let better = cx.compare(Builtin::Greater, scores, least)?;
        let better = cx.cast(better, DType::I32)?;
        let axis = cx.ints32(&[0])?;
        let count = cx.compute(Builtin::Sum, None, &[better, axis], DType::I32, vec![])?;
        let others = cx.arith(Arith::Sub, self.total, count)?;
        cx.cast(others, DType::F32)
    }
}

/// Rows `[sample, class, box]` of the boxes that are chosen.
fn chosen(cx: &mut Cx<'_>, (boxes, scores): (T, T), limits: &Limits, (sample, class): (u64, u64)) -> R<T> {
    let ty = |dtype: DType, shape: Shape| hoist_ir::types::TensorType::new(dtype, shape);
    let dims = cx.dims(scores)?;
    let (sorted, order) = (cx.fresh(ty(DType::F32, dims.clone()))?, cx.fresh(ty(DType::I32, dims))?);
    cx.push(Builtin::TopkV2, None, &[Some(scores), Some(limits.total)], vec![sorted, order])?;
    let options = Builtin::Gather.options().map(|o| o.with("axis", 0));
    let shape = cx.dims(boxes)?;
    let boxes = cx.compute(Builtin::Gather, options.clone(), &[boxes, order], DType::F32, shape)?;
    let least = limits.above(cx, sorted)?;
    let all = cx.fresh(ty(DType::I32, vec![Dim::Unknown]))?;
    let count = cx.fresh(ty(DType::I32, vec![]))?;
    let inputs = [boxes, limits.ranks, limits.most, limits.overlap, least].map(Some);
    cx.push(Builtin::NonMaxSuppressionV4, None, &inputs, vec![all, count])?;
    let (begin, count) = (cx.ints32(&[0])?, cx.as_list(count)?);
    let found = cx.compute(Builtin::Slice, None, &[all, begin, count], DType::I32, vec![Dim::Unknown])?;
    let found = cx.compute(Builtin::Gather, options, &[order, found], DType::I32, vec![Dim::Unknown])?;
    let found = cx.cast(found, DType::I64)?;
    let found = cx.reshaped(found, &[Dim::Unknown, Dim::Known(1)])?;
    let two = cx.ints32(&[2])?;
    let sizes = cx.joined(&[count, two])?;
    let head = cx.konst(Tensor::from_vec(&[1, 2], vec![sample as i64, class as i64]));
    let wide = vec![Dim::Unknown, Dim::Known(2)];
    let head = cx.compute(Builtin::BroadcastTo, None, &[head, sizes], DType::I64, wide)?;
    let options = Builtin::Concatenation.options().map(|o| o.with("axis", 1));
    let rows = vec![Dim::Unknown, Dim::Known(3)];
    cx.compute(Builtin::Concatenation, options, &[head, found], DType::I64, rows)
}

/// Boxes by their corners, from centre and size `[x, y, width, height]`.
fn corners(cx: &mut Cx<'_>, boxes: T) -> R<T> {
    let dims = cx.dims(boxes)?;
    let mut half: Shape = dims.clone();
    *half.last_mut().ok_or("no boxes")? = Dim::Known(2);
    let ends = |i: i64| vec![0, 0, i];
    let part = |cx: &mut Cx<'_>, from: i64| {
        let begin = cx.ints32(&ends(from))?;
        let last = i64::from(i32::MAX);
        let end = cx.ints32(&[last, last, from + 2])?;
        crate::tflite::bind::movement::slice::cut(cx, boxes, begin, end, half.clone())
    };
    let (centre, size) = (part(cx, 0)?, part(cx, 2)?);
    let two = cx.konst(Tensor::scalar(2f32));
    let size = cx.compute(Builtin::Div, None, &[size, two], DType::F32, half.clone())?;
    let (low, high) = (cx.arith(Arith::Sub, centre, size)?, cx.arith(Arith::Add, centre, size)?);
    let options = Builtin::Concatenation.options().map(|o| o.with("axis", 2));
    let both = cx.compute(Builtin::Concatenation, options, &[low, high], DType::F32, dims.clone())?;
    // From x, y to y, x.
    let order = cx.ints32(&[1, 0, 3, 2])?;
    let options = Builtin::Gather.options().map(|o| o.with("axis", 2));
    cx.compute(Builtin::Gather, options, &[both, order], DType::F32, dims)
}

/// UNIQUE, which keeps the order of occurrence, on 32- and 64-bit keys: numbers as they are, floating-point ones as integers of the same order. Slices
/// are compared each with each.
pub fn unique(cx: &mut Cx<'_>) -> R<()> {
    let Op::Unique(op) = cx.op() else { return Err("no unique".into()) };
    let x = cx.arg(0)?;
    let rank = cx.rank(0)?;
    let axis = op.axis.map(|a| resolve_axis(a, rank).map_err(|e| e.message)).transpose()?;
    let (x, axis) = match axis {
        Some(axis) => (x, axis),
        None => (cx.reshaped(x, &[Dim::Unknown])?, 0),
    };
    let keys = keys(cx, x)?;
    let groups = if op.axis.is_none() || rank == 1 {
        single(cx, keys, op.sorted)?
    } else {
        slices(cx, keys, axis, op.sorted)?
    };
    described(cx, x, axis, &groups)
}

/// Which of the distinct elements each one is, and how many distinct ones there are.
struct Groups {
    group: T,
    count: T,
    /// Number of elements or slices, a list of one, and as it is known.
    all: (T, Dim),
}

fn single(cx: &mut Cx<'_>, keys: T, sorted: bool) -> R<Groups> {
    let (open, dtype) = (vec![Dim::Unknown], cx.def(keys).ty.dtype);
    let (found, mut group) =
        (cx.fresh(TensorType::new(dtype, open.clone()))?, cx.fresh(TensorType::new(DType::I32, open))?);
    let code = crate::tflite::dtype::to_code(DType::I32).unwrap_or(0);
    let options = Builtin::Unique.options().map(|o| o.with("idx_out_type", code));
    cx.push(Builtin::Unique, options, &[Some(keys)], vec![found, group])?;
    let count = cx.size_of(found, 0)?;
    let count = cx.as_scalar(count)?;
    if sorted {
        group = sorted_groups(cx, found, group, count)?;
    }
    Ok(Groups { group, count, all: (cx.size_of(keys, 0)?, cx.dims(keys)?[0].clone()) })
}

/// The slices along `axis` as rows of `keys`, compared with each other from their first element on.
fn slices(cx: &mut Cx<'_>, keys: T, axis: usize, sorted: bool) -> R<Groups> {
    let rank = cx.dims(keys)?.len();
    let mut perm: Vec<usize> = (0..rank).collect();
    perm[..=axis].rotate_right(1);
    let x = cx.permuted(keys, &perm)?;
    let rows = super::scatter::matrix(cx, x, 1)?;
    let dims = cx.dims(rows)?;
    let (n, m) = (dims[0].clone(), dims[1].clone());
    let below = cx.reshaped_by(rows, &[1], &[n.clone(), Dim::Known(1), m.clone()])?;
    let beside = cx.reshaped_by(rows, &[0], &[Dim::Known(1), n.clone(), m])?;
    let last = cx.ints32(&[2])?;
    let square = vec![n.clone(), n.clone()];
    let differ = cx.compare(Builtin::NotEqual, below, beside)?;
    let any = cx.compute(Builtin::ReduceAny, None, &[differ, last], DType::Bool, square.clone())?;
    let numbers = numbers(cx, rows, 0)?;
    let size = cx.size_of(rows, 0)?;
    // The first of the equal rows.
    let twin = cx.select(any, size, numbers)?;
    let one_axis = cx.ints32(&[1])?;
    let first = cx.compute(Builtin::ReduceMin, None, &[twin, one_axis], DType::I32, vec![n.clone()])?;
    let leads = cx.compare(Builtin::Equal, first, numbers)?;
    let leads = cx.cast(leads, DType::I32)?;
    let before = if sorted {
        // Whether the row beside is smaller: it is at the first element that differs.
        let steps = cx.cast(differ, DType::I32)?;
        let (dims, axis) = (cx.dims(steps)?, cx.int32(2)?);
        let options = Builtin::Cumsum.options().map(|o| o.with("exclusive", true));
        let earlier = cx.compute(Builtin::Cumsum, options, &[steps, axis], DType::I32, dims.clone())?;
        let zero = cx.int32(0)?;
        let decisive = cx.compare(Builtin::Equal, earlier, zero)?;
        let smaller = cx.compare(Builtin::Less, beside, below)?;
        let both = cx.compute(Builtin::LogicalAnd, None, &[smaller, decisive], DType::Bool, dims)?;
        cx.compute(Builtin::ReduceAny, None, &[both, last], DType::Bool, square.clone())?
    } else {
        let first = cx.reshaped_by(first, &[1], &[n.clone(), Dim::Known(1)])?;
        cx.compare(Builtin::Less, numbers, first)?
    };
    let before = cx.cast(before, DType::I32)?;
    let before = cx.compute(Builtin::Mul, None, &[before, leads], DType::I32, square)?;
    let group = cx.compute(Builtin::Sum, None, &[before, one_axis], DType::I32, vec![n.clone()])?;
    let zero = cx.ints32(&[0])?;
    let count = cx.compute(Builtin::Sum, None, &[leads, zero], DType::I32, vec![])?;
    Ok(Groups { group, count, all: (size, n) })
}

/// The results: distinct elements of `x` along `axis`, where each is first, which of them each one is, how often each occurs.
fn described(cx: &mut Cx<'_>, x: T, axis: usize, groups: &Groups) -> R<()> {
    let Groups { group, count, all: (all, dim) } = groups;
    let open = vec![Dim::Unknown];
    let total = cx.as_scalar(*all)?;
    let numbers = cx.iota(total, dim)?;
    let first =
        cx.compute(Builtin::UnsortedSegmentMin, None, &[numbers, *group, *count], DType::I32, open.clone())?;
    let dtype = carrier(cx.def(x).ty.dtype, GATHERED)?;
    let x = cx.bits(x, dtype)?;
    let mut dims = cx.dims(x)?;
    dims[axis] = Dim::Unknown;
    let options = Builtin::Gather.options().map(|o| o.with("axis", axis));
    let y = cx.compute(Builtin::Gather, options, &[x, first], dtype, dims)?;
    let own = cx.out_ty(0)?.dtype;
    let y = cx.bits(y, own)?;
    cx.alias(0, y)?;
    for (k, t) in [(1, first), (2, *group)] {
        if cx.outputs() > k {
            let wide = cx.cast(t, DType::I64)?;
            cx.alias(k, wide)?;
        }
    }
    if cx.outputs() > 3 {
        let one = cx.int32(1)?;
        let ones = cx.compute(Builtin::Fill, None, &[*all, one], DType::I32, vec![dim.clone()])?;
        let counts =
            cx.compute(Builtin::UnsortedSegmentSum, None, &[ones, *group, *count], DType::I32, open)?;
        let wide = cx.cast(counts, DType::I64)?;
        cx.alias(3, wide)?;
    }
    Ok(())
}

/// Integers that are equal where the elements are, and of the same order; NaN is one number, the largest.
fn keys(cx: &mut Cx<'_>, x: T) -> R<T> {
    match cx.def(x).ty.dtype {
        DType::I32 | DType::I64 => Ok(x),
        DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::Bool => cx.cast(x, DType::I32),
        DType::U32 => cx.cast(x, DType::I64),
        DType::F32 | DType::F16 | DType::BF16 => {
            let x = if cx.def(x).ty.dtype == DType::F32 { x } else { cx.cast(x, DType::F32)? };
            let (nan, zero) = (cx.konst(Tensor::scalar(f32::NAN)), cx.konst(Tensor::scalar(0f32)));
            let is_nan = cx.compare(Builtin::NotEqual, x, x)?;
            let x = cx.select(is_nan, nan, x)?;
            // Both zeros are one.
            let is_zero = cx.compare(Builtin::Equal, x, zero)?;
            let x = cx.select(is_zero, zero, x)?;
            let bits = cx.bits(x, DType::I32)?;
            flipped(cx, bits)
        }
        d => Err(format!("element type {d}")),
    }
}

/// Groups numbered by the order of their keys.
fn sorted_groups(cx: &mut Cx<'_>, found: T, group: T, count: T) -> R<T> {
    let open = vec![Dim::Unknown];
    let dtype = cx.def(found).ty.dtype;
    let (values, order) = (
        cx.fresh(TensorType::new(dtype, open.clone()))?,
        cx.fresh(TensorType::new(DType::I32, open.clone()))?,
    );
    cx.push(Builtin::TopkV2, None, &[Some(found), Some(count)], vec![values, order])?;
    // The largest comes first: place `i` from the front is place `count - 1 - i`.
    let numbers = cx.iota(count, &Dim::Unknown)?;
    let one = cx.int32(1)?;
    let last = cx.arith(Arith::Sub, count, one)?;
    let places = cx.arith(Arith::Sub, last, numbers)?;
    let place =
        cx.compute(Builtin::UnsortedSegmentMax, None, &[places, order, count], DType::I32, open.clone())?;
    let dims = cx.dims(group)?;
    cx.compute(Builtin::Gather, None, &[place, group], DType::I32, dims)
}
