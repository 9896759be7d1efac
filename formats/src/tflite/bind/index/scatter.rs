//! Putting elements at computed places.
//!
//! `SCATTER_ND` adds what falls on one place, onto zeros. So elements are put by picking: the largest number of an update for each place
//! (`UNSORTED_SEGMENT_MAX`) says where its element comes from, and a place without one keeps its own. What is combined goes through `UNSORTED_SEGMENT_SUM`,
//! _PROD, _MAX and _MIN with the data as the first of the updates.
use super::gather::from_front;
use crate::tflite::bind::movement::GATHERED;
use crate::tflite::build::{Arith, target_sizes, volume};
use crate::tflite::lower::{Cx, R};
use crate::tflite::program::T;
use crate::tflite::schema::Builtin;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::dtype::DType;
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::index::scatter::Reduction;
use hoist_ir::ops::index::tensor_scatter::WriteMode;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Shape;

/// `x` with the axes before `at` joined to one, and the others to another.
pub fn matrix(cx: &mut Cx<'_>, x: T, at: usize) -> R<T> {
    let rank = cx.dims(x)?.len();
    cx.grouped(x, &[at, rank - at])
}

/// Makes `x`, under the sizes of `like`, the result.
fn finish_like(cx: &mut Cx<'_>, x: T, like: T) -> R<()> {
    let dims = cx.dims(like)?;
    let list = match target_sizes(&dims) {
        Some(sizes) => cx.ints32(&sizes)?,
        None => cx.shape_of(like)?,
    };
    cx.emit_moved(Builtin::Reshape, None, &[x, list])
}

/// Rows of data, and updates of rows with the number of the row that each is for.
struct Rows {
    data: T,
    at: T,
    updates: T,
}

fn joined_rows(cx: &mut Cx<'_>, parts: &[T]) -> R<T> {
    let mut dims = cx.dims(parts[0])?;
    for t in &parts[1..] {
        dims[0] = dims[0].combine(&cx.dims(*t)?[0], SymInt::add);
    }
    let dtype = cx.def(parts[0]).ty.dtype;
    let options = Builtin::Concatenation.options().map(|o| o.with("axis", 0));
    cx.compute(Builtin::Concatenation, options, parts, dtype, dims)
}

impl Rows {
    /// Numbers of the rows of `of`, and their count.
    fn numbers(cx: &mut Cx<'_>, of: T) -> R<(T, T)> {
        let count = cx.size_of(of, 0)?;
        let count = cx.as_scalar(count)?;
        let dim = cx.dims(of)?[0].clone();
        Ok((cx.iota(count, &dim)?, count))
    }
    /// The last update of each row replaces it.
    fn replaced(&self, cx: &mut Cx<'_>) -> R<T> {
        let (own, rows) = Self::numbers(cx, self.data)?;
        let (each, count) = Self::numbers(cx, self.at)?;
        let dim = cx.dims(self.data)?[0].clone();
        let last = cx.compute(
            Builtin::UnsortedSegmentMax,
            None,
            &[each, self.at, rows],
            DType::I32,
            vec![dim.clone()],
        )?;
        let zero = cx.int32(0)?;
        let updated = cx.compare(Builtin::GreaterEqual, last, zero)?;
        let own = cx.arith(Arith::Add, own, count)?;
        let from = cx.select(updated, last, own)?;
        let all = joined_rows(cx, &[self.updates, self.data])?;
        let (dtype, dims) = (cx.def(self.data).ty.dtype, cx.dims(self.data)?);
        cx.compute(Builtin::Gather, None, &[all, from], dtype, dims)
    }
    /// Each row combined with its updates, of `f32` or `i32`.
    fn combined(&self, cx: &mut Cx<'_>, builtin: Builtin) -> R<T> {
        let (own, rows) = Self::numbers(cx, self.data)?;
        let all = joined_rows(cx, &[self.data, self.updates])?;
        let at = joined_rows(cx, &[own, self.at])?;
        let (dtype, dims) = (cx.def(self.data).ty.dtype, cx.dims(self.data)?);
        cx.compute(builtin, None, &[all, at, rows], dtype, dims)
    }
    fn cast(&self, cx: &mut Cx<'_>, dtype: DType) -> R<Self> {
        let one = |cx: &mut Cx<'_>, t: T| if cx.def(t).ty.dtype == dtype { Ok(t) } else { cx.cast(t, dtype) };
        Ok(Self { data: one(cx, self.data)?, at: self.at, updates: one(cx, self.updates)? })
    }
    /// Sums of 64-bit integers, which `SCATTER_ND` computes.
    fn added(&self, cx: &mut Cx<'_>) -> R<T> {
        let dims = cx.dims(self.data)?;
        let at = cx.reshaped(self.at, &[cx.dims(self.at)?[0].clone(), Dim::Known(1)])?;
        let sizes = cx.shape_of(self.data)?;
        let dtype = cx.def(self.data).ty.dtype;
        let sum = cx.compute(Builtin::ScatterNd, None, &[at, self.updates, sizes], dtype, dims)?;
        cx.arith(Arith::Add, self.data, sum)
    }
    /// Rows with their updates, as `reduction` says, in the element type of the data.
    fn merged(&self, cx: &mut Cx<'_>, reduction: Reduction) -> R<T> {
        let own = cx.def(self.data).ty.dtype;
        let builtin = match (reduction, own) {
            (Reduction::Replace, _) => return self.replaced(cx),
            (Reduction::Add, DType::I64) => return self.added(cx),
            // Of truth values, the sum is whether one holds, the product whether all do.
            (Reduction::Add, DType::Bool) | (Reduction::Max, _) => Builtin::UnsortedSegmentMax,
            (Reduction::Mul, DType::Bool) | (Reduction::Min, _) => Builtin::UnsortedSegmentMin,
            (Reduction::Add, _) => Builtin::UnsortedSegmentSum,
            (Reduction::Mul, _) => Builtin::UnsortedSegmentProd,
        };
        let ordered = matches!(builtin, Builtin::UnsortedSegmentMax | Builtin::UnsortedSegmentMin);
        let y = match own {
            DType::F32 if ordered => return self.ordered(cx, builtin),
            DType::F16 | DType::BF16 if ordered => self.cast(cx, DType::F32)?.ordered(cx, builtin)?,
            DType::F32 | DType::I32 => return self.combined(cx, builtin),
            DType::F16 | DType::BF16 => self.cast(cx, DType::F32)?.combined(cx, builtin)?,
            DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::Bool => {
                self.cast(cx, DType::I32)?.combined(cx, builtin)?
            }
            d => return Err(format!("element type {d}")),
        };
        cx.cast(y, own)
    }
    /// The largest or smallest of floating-point numbers, compared as integers of the same order: the kernels start from the largest finite number
    /// and lose NaN.
    fn ordered(&self, cx: &mut Cx<'_>, builtin: Builtin) -> R<T> {
        let nan = if builtin == Builtin::UnsortedSegmentMax { f32::NAN } else { -f32::NAN };
        let nan = cx.konst(Tensor::scalar(nan));
        let mut keys = vec![];
        for t in [self.data, self.updates] {
            let is_nan = cx.compare(Builtin::NotEqual, t, t)?;
            let t = cx.select(is_nan, nan, t)?;
            let t = cx.bits(t, DType::I32)?;
            keys.push(flipped(cx, t)?);
        }
        let y = Self { data: keys[0], at: self.at, updates: keys[1] }.combined(cx, builtin)?;
        let y = flipped(cx, y)?;
        cx.bits(y, DType::F32)
    }
}

/// The bits of floating-point numbers as integers of the same order, or back.
pub fn flipped(cx: &mut Cx<'_>, bits: T) -> R<T> {
    let (zero, all) = (cx.int32(0)?, cx.int32(i64::from(i32::MAX))?);
    let negative = cx.compare(Builtin::Less, bits, zero)?;
    let dims = cx.dims(bits)?;
    let turned = cx.compute(Builtin::BitwiseXor, None, &[bits, all], DType::I32, dims)?;
    cx.select(negative, turned, bits)
}

/// How far apart neighbours along each of the first `count` axes are, in blocks of the rest: lists of one.
fn strides(cx: &mut Cx<'_>, x: T, count: usize) -> R<Vec<T>> {
    let mut out = vec![cx.ints32(&[1])?];
    for axis in (1..count).rev() {
        let size = cx.size_of(x, axis)?;
        let before = out[out.len() - 1];
        out.push(cx.arith(Arith::Mul, before, size)?);
    }
    out.reverse();
    out.truncate(count);
    Ok(out)
}

/// Data and updates as the reduction needs them: moved only, in a type that stands for theirs.
fn operands(cx: &mut Cx<'_>, data: usize, updates: usize, reduction: Reduction) -> R<(T, T)> {
    if reduction == Reduction::Replace {
        return Ok((cx.moved(data, GATHERED)?, cx.moved(updates, GATHERED)?));
    }
    Ok((cx.arg(data)?, cx.arg(updates)?))
}

/// Tuples of positions as numbers of blocks.
pub fn scatter_nd(cx: &mut Cx<'_>) -> R<()> {
    let Op::ScatterNd(op) = cx.op() else { return Err("no scatter_nd".into()) };
    let (data, updates) = operands(cx, 0, 2, op.reduction)?;
    let lead = cx.shape(1).cloned().ok_or("indices of unknown rank")?;
    let tuple = lead.last().and_then(Dim::known).ok_or("tuples of unknown length")? as usize;
    if tuple == 0 || cx.rank(0)? == 0 {
        return Err("tuples without positions".into());
    }
    let sizes = cx.shape_of(data)?;
    let sizes = cx.part(sizes, 0, tuple)?;
    let at = from_front(cx, 1, sizes)?;
    let at = narrow(cx, at)?;
    let steps = strides(cx, data, tuple)?;
    let steps = cx.joined(&steps)?;
    let at = cx.arith(Arith::Mul, at, steps)?;
    let axes = cx.ints32(&[lead.len() as i64 - 1])?;
    let places = lead[..lead.len() - 1].to_vec();
    let at = cx.compute(Builtin::Sum, None, &[at, axes], DType::I32, places.clone())?;
    let at = cx.reshaped(at, &[volume(&places)])?;
    let rows = Rows { data: matrix(cx, data, tuple)?, at, updates: matrix(cx, updates, places.len())? };
    let y = rows.merged(cx, op.reduction)?;
    finish_like(cx, y, data)
}

fn narrow(cx: &mut Cx<'_>, at: T) -> R<T> {
    if cx.def(at).ty.dtype == DType::I32 {
        return Ok(at);
    }
    if let Some(known) = cx.known(at) {
        let sizes = cx.dims(at)?.iter().map(|d| d.known().map(|n| n as i64)).collect::<Option<Vec<_>>>();
        let list = cx.ints32(&known)?;
        return cx.resized(list, &sizes.unwrap_or_default(), &cx.dims(at)?);
    }
    cx.cast(at, DType::I32)
}

/// Positions along one axis, with the update's own along the others, as numbers of elements.
pub fn scatter_elements(cx: &mut Cx<'_>) -> R<()> {
    let Op::ScatterElements(op) = cx.op() else { return Err("no scatter_elements".into()) };
    let rank = cx.rank(0)?;
    let axis = resolve_axis(op.axis, rank).map_err(|e| e.message)?;
    let (data, updates) = operands(cx, 0, 2, op.reduction)?;
    let size = cx.size_of(data, axis)?;
    let at = from_front(cx, 1, size)?;
    let indices = narrow(cx, at)?;
    let want = cx.dims(indices)?;
    let steps = strides(cx, data, rank)?;
    let mut at = cx.arith(Arith::Mul, indices, steps[axis])?;
    for other in (0..rank).filter(|a| *a != axis) {
        let numbers = along(cx, indices, other, steps[other])?;
        at = cx.arith(Arith::Add, at, numbers)?;
    }
    let at = cx.reshaped(at, &[volume(&want)])?;
    let rows = Rows { data: matrix(cx, data, rank)?, at, updates: matrix(cx, updates, rank)? };
    let y = rows.merged(cx, op.reduction)?;
    finish_like(cx, y, data)
}

/// Positions along `axis` of `x`, times `step`, with sizes of 1 along the other axes.
fn along(cx: &mut Cx<'_>, x: T, axis: usize, step: T) -> R<T> {
    let dims = cx.dims(x)?;
    let count = cx.size_of(x, axis)?;
    let count = cx.as_scalar(count)?;
    let numbers = cx.iota(count, &dims[axis])?;
    let numbers = cx.arith(Arith::Mul, numbers, step)?;
    let mut shape: Shape = vec![Dim::Known(1); dims.len()];
    shape[axis].clone_from(&dims[axis]);
    cx.reshaped(numbers, &shape)
}

/// Writes into a cache, as rows of what follows the axis.
pub fn tensor_scatter(cx: &mut Cx<'_>) -> R<()> {
    let Op::TensorScatter(op) = cx.op() else { return Err("no tensor_scatter".into()) };
    let rank = cx.rank(0)?;
    let axis = resolve_axis(op.axis, rank).map_err(|e| e.message)?;
    if axis == 0 {
        return Err("the batch as the axis".into());
    }
    let (data, updates) = operands(cx, 0, 1, Reduction::Replace)?;
    let length = cx.size_of(updates, axis)?;
    let dims = cx.dims(updates)?;
    let count = cx.as_scalar(length)?;
    let place = cx.iota(count, &dims[axis])?;
    let column = |axis: usize, d: &Dim| -> Shape {
        let mut s = vec![Dim::Known(1); axis + 1];
        s[0].clone_from(d);
        s
    };
    // Axes up to that one; the batch gives where each begins.
    let mut last = vec![Dim::Known(1); axis + 1];
    last[axis].clone_from(&dims[axis]);
    let mut at = cx.reshaped(place, &last)?;
    if cx.value(2).is_some() {
        let first = cx.sizes32(2)?;
        let first = cx.reshaped(first, &column(axis, &dims[0]))?;
        at = cx.arith(Arith::Add, at, first)?;
    }
    let size = cx.size_of(data, axis)?;
    if op.mode == WriteMode::Circular {
        let shape = cx.dims(at)?;
        at = cx.compute(Builtin::FloorMod, None, &[at, size], DType::I32, shape)?;
    }
    let steps = strides(cx, data, axis + 1)?;
    for other in 0..axis {
        let count = cx.size_of(updates, other)?;
        let count = cx.as_scalar(count)?;
        let numbers = cx.iota(count, &dims[other])?;
        let numbers = cx.arith(Arith::Mul, numbers, steps[other])?;
        let mut shape = vec![Dim::Known(1); axis + 1];
        shape[other].clone_from(&dims[other]);
        let numbers = cx.reshaped(numbers, &shape)?;
        at = cx.arith(Arith::Add, at, numbers)?;
    }
    let at = cx.reshaped(at, &[volume(&dims[..=axis])])?;
    let rows = Rows { data: matrix(cx, data, axis + 1)?, at, updates: matrix(cx, updates, axis + 1)? };
    let y = rows.replaced(cx)?;
    finish_like(cx, y, data)
}
