//! `max_roi_pool`
use crate::dim::Dim;
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{Compute, count, zeros};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// Largest element in each cell of a grid of `pooled_shape` over each region of a feature map `[N, C, H, W]`. Rows of `rois`
    /// are `[sample, x1, y1, x2, y2]`, ends included, rounded to whole positions after scaling; a cell without positions gives 0.
    max_roi_pool MaxRoiPool(x: One<T>, rois: One<T>) -> (y: One<T>) {
        /// Height and width of the grid.
        pooled_shape: Vec<i64> = vec![],
        /// Factor from coordinates of regions to positions of the map.
        spatial_scale: f32 = 1.0,
    } where T: FLOATS;
}

/// Positions of one axis that each cell covers.
fn cells(start: f64, end: f64, scale: f64, cells: usize, size: usize) -> Vec<std::ops::Range<usize>> {
    // Rounding is away from zero at halves, and the size of a cell is rounded to `f32`, as in ONNX Runtime.
    let (start, end) = ((start * scale).round(), (end * scale).round());
    let extent = (end - start + 1.0).max(1.0) as f32 / cells as f32;
    let clip = |v: f64| v.clamp(0.0, size as f64) as usize;
    let cell = |i: usize| {
        let low = f64::from((i as f32 * extent).floor()) + start;
        let high = f64::from(((i + 1) as f32 * extent).ceil()) + start;
        clip(low)..clip(high)
    };
    (0..cells).map(cell).collect()
}

impl MaxRoiPool {
    fn grid(&self) -> Result<(usize, usize), OpError> {
        let bad =
            || OpError::attr(format!("pooled_shape {:?} is not a height and a width", self.pooled_shape));
        let size = |v: i64| usize::try_from(v).ok().filter(|v| *v > 0).ok_or_else(bad);
        match self.pooled_shape.as_slice() {
            &[h, w] => Ok((size(h)?, size(w)?)),
            _ => Err(bad()),
        }
    }
    fn compute<T: Compute>(&self, x: &Tensor, rois: &Tensor) -> Result<Tensor, OpError> {
        let (rows, columns) = self.grid()?;
        let (&[batch, channels, height, width], &[regions, 5]) = (x.shape(), rois.shape()) else {
            return Err(OpError::shape("max_roi_pool needs [N, C, H, W] and [regions, 5]"));
        };
        let shape = [regions, channels, rows, columns];
        let mut out = zeros::<T>(count(&shape)?)?;
        if out.is_empty() || x.is_empty() {
            return Ok(T::tensor(x.dtype(), &shape, out)?);
        }
        let (data, plane) = (T::read(x)?, height * width);
        let scale = f64::from(self.spatial_scale);
        let region = channels * rows * columns;
        for (roi, out) in rois.to_f64s()?.chunks_exact(5).zip(out.chunks_mut(region)) {
            let outside = || OpError::eval(format!("a region names sample {}, there are {batch}", roi[0]));
            let sample =
                Some(roi[0]).filter(|v| (0.0..batch as f64).contains(v)).ok_or_else(outside)? as usize;
            let xs = cells(roi[1], roi[3], scale, columns, width);
            let ys = cells(roi[2], roi[4], scale, rows, height);
            for (c, out) in out.chunks_exact_mut(rows * columns).enumerate() {
                let map = &data[(sample * channels + c) * plane..][..plane];
                for (i, o) in out.iter_mut().enumerate() {
                    let (ys, xs) = (ys[i / columns].clone(), xs[i % columns].clone());
                    if ys.is_empty() || xs.is_empty() {
                        continue;
                    }
                    let values = ys.flat_map(|y| &map[y * width + xs.start..y * width + xs.end]);
                    let lowest = T::from_f64(f64::NEG_INFINITY);
                    *o = values.fold(lowest, |m, v| if *v > m { *v } else { m });
                }
            }
        }
        Ok(T::tensor(x.dtype(), &shape, out)?)
    }
}

/// Type of what is taken from regions of a map: `[regions, C, rows, columns]`.
pub(super) fn region_type(
    cx: &InferCx<'_>,
    regions: Dim,
    (rows, columns): (usize, usize),
) -> Result<Vec<Type>, OpError> {
    let x = cx.tensor(0)?;
    let channels = match x.shape.as_deref() {
        None => Dim::Unknown,
        Some([_, c, _, _]) => c.clone(),
        Some(_) => return Err(OpError::shape(format!("a feature map is [N, C, H, W], got {x}"))),
    };
    let shape = vec![regions, channels, Dim::from(rows), Dim::from(columns)];
    Ok(vec![TensorType::new(x.dtype, shape).into()])
}

/// Number of regions operand 1 lists, `fields` numbers each.
pub(super) fn region_count(cx: &InferCx<'_>, fields: u64) -> Result<Dim, OpError> {
    match cx.shape(1)?.map(Vec::as_slice) {
        None => Ok(Dim::Unknown),
        Some([n, f]) if !f.surely_differs(&Dim::Known(fields)) => Ok(n.clone()),
        Some(_) => {
            Err(OpError::shape(format!("regions are rows of {fields} numbers, got {}", cx.tensor(1)?)))
        }
    }
}

impl Semantics for MaxRoiPool {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        region_type(cx, region_count(cx, 5)?, self.grid()?)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, rois) = (cx.tensor(0)?, cx.tensor(1)?);
        one(if x.dtype() == DType::F64 {
            self.compute::<f64>(x, rois)?
        } else {
            self.compute::<f32>(x, rois)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, f32s, infer, iota, shapes};

    #[test]
    fn cells_cover_regions() {
        assert_eq!(cells(0.0, 3.0, 1.0, 2, 4), [0..2, 2..4]);
        assert_eq!(cells(1.0, 3.0, 1.0, 2, 4), [1..3, 2..4]);
        assert_eq!(cells(9.0, 2.0, 1.0, 2, 4), [4..4, 4..4]);
        assert_eq!(cells(f64::NEG_INFINITY, f64::INFINITY, 1.0, 1, 4).len(), 1);
    }

    #[test]
    fn hostile_regions_are_harmless() {
        let op = MaxRoiPool { pooled_shape: vec![2, 2], ..MaxRoiPool::default() };
        for bad in [f32::NAN, f32::INFINITY, -1e30, 1e30] {
            let rois = f32s(&[1, 5], &[0., bad, 0., 1., bad]);
            assert!(eval(&op, &[Some(&iota(&[1, 1, 2, 3])), Some(&rois)]).is_ok());
            let rois = f32s(&[1, 5], &[bad, 0., 0., 1., 1.]);
            assert!(eval(&op, &[Some(&iota(&[1, 1, 2, 3])), Some(&rois)]).is_err());
        }
    }

    #[test]
    fn types() {
        let op = MaxRoiPool { pooled_shape: vec![2, 3], ..MaxRoiPool::default() };
        let t = infer(&op, &shapes(&["f16[N, C, H, W]", "f16[R, 5]"])).expect("fits");
        assert_eq!(t[0].to_string(), "f16[R, C, 2, 3]");
        assert!(infer(&op, &shapes(&["f32[N, C, H, W]", "f32[R, 4]"])).is_err());
        assert!(infer(&MaxRoiPool::default(), &shapes(&["f32[N, C, H, W]", "f32[R, 5]"])).is_err());
    }
}
