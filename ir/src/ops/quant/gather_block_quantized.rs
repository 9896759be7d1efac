//! `gather_block_quantized`
use super::packed::{check_bits, value};
use crate::builder::Builder;
use crate::dim::{Dim, SymInt};
use crate::dtype::{DType, DTypeSet, INDEX};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{Compute, count, zeros};
use crate::tensor::{Tensor, strides};
use crate::types::{TensorType, Type};
use rayon::prelude::*;
use std::borrow::Cow;

const FLOAT_DATA: DTypeSet =
    DTypeSet::of(&[DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ, DType::F4E2M1]);
const DATA: DTypeSet = FLOAT_DATA.or(DTypeSet::of(&[DType::I4, DType::U4, DType::U8]));
const REALS: DTypeSet = DTypeSet::of(&[DType::F32, DType::F16, DType::BF16]);

crate::op! {
    /// `gather` of dequantized data: elements `(data - zero_points) * scales`, computed in `f32` and rounded once. Scales and zero points are
    /// one per block of `block_size` positions of `quantize_axis`, for each other position. Data of bytes holds values `bits` wide, packed
    /// along the last axis, low bits first, as do its zero points; these default to half the range for bytes and to 0 else. Float data has
    /// none, its blocks may span the whole axis (`block_size` 0), and its scales may have size 1 along other axes. Unlike `gather`, an index out
    /// of range gives zeros.
    gather_block_quantized GatherBlockQuantized(
        data: One<T1>, indices: One<I>, scales: One<T2>, zero_points: Opt<T1>,
    ) -> (output: One<T2>) {
        /// Width of the values in data of bytes: 2, 4 or 8.
        bits: i64 = 4,
        /// Positions that share a scale: a power of 2, 16 or larger.
        block_size: i64 = 128,
        /// Axis that is picked from; negative counts from the end. 0 for data of bytes.
        gather_axis: i64 = 0,
        /// Axis along which blocks lie; negative counts from the end.
        quantize_axis: i64 = 1,
    } where T1: DATA, T2: REALS, I: INDEX;
}

/// Axes and widths for data of a rank and type.
pub(super) struct Layout {
    /// Axis that is picked from.
    pub gather: usize,
    /// Axis along which blocks lie.
    pub quantize: usize,
    /// Positions of a block; none for the whole axis.
    pub block: Option<usize>,
    /// Values per element along the last axis.
    pub per: usize,
}

impl GatherBlockQuantized {
    /// Axes and widths for data of `rank` axes.
    pub(super) fn layout(&self, dtype: DType, rank: usize) -> Result<Layout, OpError> {
        let (gather, quantize) =
            (resolve_axis(self.gather_axis, rank)?, resolve_axis(self.quantize_axis, rank)?);
        let whole = self.block_size == 0 && FLOAT_DATA.contains(dtype);
        let block = if whole { None } else { Some(super::packed::check_block(self.block_size)?) };
        let per = if dtype == DType::U8 { 8 / check_bits(self.bits)? } else { 1 };
        if dtype == DType::U8 && (gather != 0 || per > 1 && quantize == gather) {
            return Err(OpError::attr("packed data is gathered along axis 0 and quantized along another"));
        }
        Ok(Layout { gather, quantize, block, per })
    }
}

/// Data with what dequantizes it.
struct Source<'a> {
    data: Cow<'a, [u8]>,
    /// Values of data that is not packed in bytes.
    values: Option<Cow<'a, [f32]>>,
    scales: Cow<'a, [f32]>,
    points: Option<Cow<'a, [f32]>>,
    default: f32,
    bits: usize,
    /// Sizes of the data in values.
    shape: Vec<usize>,
    /// Distance of scales by axis.
    steps: Vec<usize>,
    quantize: usize,
    block: usize,
}

impl Source<'_> {
    fn at(&self, i: usize) -> f32 {
        let (mut rest, mut scale) = (i, 0);
        for (axis, (size, step)) in self.shape.iter().zip(&self.steps).enumerate().rev() {
            let position = rest % size;
            rest /= size;
            scale += step * if axis == self.quantize { position / self.block } else { position };
        }
        let q = match &self.values {
            Some(v) => v[i],
            None => f32::from(value(&self.data, self.bits, i)),
        };
        let point = self.points.as_ref().map_or(self.default, |p| p[scale]);
        (q - point) * self.scales[scale]
    }
}

/// Zero points of packed data, one per scale: rows of the last axis start at byte boundaries.
pub(super) fn unpacked(t: &Tensor, bits: usize, scales: &[usize]) -> Result<Vec<f32>, OpError> {
    let last = scales.last().copied().unwrap_or(1);
    let stride = last.checked_mul(bits).map_or(usize::MAX, |b| b.div_ceil(8));
    let rows = count(&scales[..scales.len().saturating_sub(1)])?;
    let bytes = t.view::<u8>()?;
    if rows.checked_mul(stride) != Some(bytes.len()) {
        return Err(OpError::shape(format!("zero points {:?} do not fit scales {scales:?}", t.shape())));
    }
    let row = |row| (0..last).map(move |i| f32::from(value(row, bits, i)));
    Ok(bytes.chunks(stride.max(1)).flat_map(row).collect())
}

fn source<'a>(op: &GatherBlockQuantized, layout: &Layout, cx: &'a EvalCx<'_>) -> Result<Source<'a>, OpError> {
    let (data, scales) = (cx.tensor(0)?, cx.tensor(2)?);
    let mut shape = data.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = last
            .checked_mul(layout.per)
            .ok_or_else(|| OpError::shape("the data exceeds the address space"))?;
    }
    let block = layout.block.unwrap_or(shape[layout.quantize].max(1));
    let bytes = data.dtype() == DType::U8;
    let stretch = FLOAT_DATA.contains(data.dtype());
    let fits = |(axis, (n, s)): (usize, (&usize, &usize))| {
        let blocks = if axis == layout.quantize { n.div_ceil(block) } else { *n };
        *s == blocks || (stretch && axis != layout.quantize && *s == 1)
    };
    if scales.rank() != shape.len() || !shape.iter().zip(scales.shape()).enumerate().all(fits) {
        return Err(OpError::shape(format!("scales {:?} do not fit data {shape:?}", scales.shape())));
    }
    let step = |(n, step): (&usize, &usize)| if *n == 1 { 0 } else { *step };
    let steps = scales.shape().iter().zip(strides(scales.shape()).iter()).map(step).collect();
    let points = match cx.opt(3)? {
        Some(z) if bytes => Some(Cow::Owned(unpacked(z, op.bits as usize, scales.shape())?)),
        Some(z) if z.shape() == scales.shape() && !stretch => Some(z.to_f32s()?),
        Some(_) => return Err(OpError::shape("zero points do not fit the scales")),
        None => None,
    };
    Ok(Source {
        data: if bytes { data.view::<u8>()? } else { Cow::Borrowed(&[]) },
        values: if bytes { None } else { Some(data.to_f32s()?) },
        scales: scales.to_f32s()?,
        points,
        default: if bytes { f32::from(1u8 << (op.bits - 1)) } else { 0.0 },
        bits: 8 / layout.per,
        shape,
        steps,
        quantize: layout.quantize,
        block,
    })
}

impl Semantics for GatherBlockQuantized {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let (data, dtype) = (cx.tensor(0)?, cx.dtype(2)?);
        if cx.has(3) && FLOAT_DATA.contains(data.dtype) {
            return Err(OpError::operand("float data has no zero points"));
        }
        let (Some(shape), Some(indices)) = (&data.shape, cx.shape(1)?) else {
            return Ok(vec![TensorType::unranked(dtype).into()]);
        };
        let layout = self.layout(data.dtype, shape.len())?;
        let mut dims = shape.clone();
        if let Some(last) = dims.last_mut() {
            *last = last.combine(&Dim::from(layout.per), SymInt::mul);
        }
        let out = [&dims[..layout.gather], indices, &dims[layout.gather + 1..]];
        Ok(vec![TensorType::new(dtype, out.into_iter().flatten().cloned().collect::<Vec<_>>()).into()])
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::block_expansions::gather_block_quantized(self, b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (data, indices, dtype) = (cx.tensor(0)?, cx.tensor(1)?, cx.tensor(2)?.dtype());
        let layout = self.layout(data.dtype(), data.rank())?;
        let source = source(self, &layout, &cx)?;
        let shape: Vec<usize> =
            [&source.shape[..layout.gather], indices.shape(), &source.shape[layout.gather + 1..]].concat();
        let inner = count(&source.shape[layout.gather + 1..])?;
        let size = source.shape[layout.gather];
        let at = indices.to_i64s()?;
        let mut out = zeros::<f32>(count(&shape)?)?;
        if out.is_empty() {
            return one(<f32 as Compute>::tensor(dtype, &shape, out)?);
        }
        out.par_chunks_mut(inner).enumerate().for_each(|(i, part)| {
            let (outer, index) = (i / at.len(), at[i % at.len()]);
            if let Ok(row) = crate::ops::index::gather::position(index, size) {
                let first = (outer * size + row) * inner;
                part.iter_mut().enumerate().for_each(|(j, o)| *o = source.at(first + j));
            }
        });
        one(<f32 as Compute>::tensor(dtype, &shape, out)?)
    }
}
