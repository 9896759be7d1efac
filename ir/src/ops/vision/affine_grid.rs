//! `affine_grid`
use crate::dim::Dim;
use crate::dtype::{DType, FLOATS, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{Compute, count, zeros};
use crate::ops::movement::lists::{list_len, sym_list, tensor_list};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// Places for `grid_sample` to read, evenly spaced over -1 to 1 along each of `size = [N, C, (D,) H, W]` and moved by the affine
    /// matrices `theta`, `[N, r, r + 1]`. Coordinates are those of the last axis first. An axis of one position that aligns with
    /// corners has it at -1.
    affine_grid AffineGrid(theta: One<T1>, size: One<T2>) -> (grid: One<T1>) {
        /// Whether -1 and 1 are the centres of the outermost positions, not their outer edges.
        align_corners: bool = false,
    } where T1: FLOATS, T2: I64_ONLY;
}

/// Refuses a `size` that does not list batch, channels and two or three axes.
fn check_axes(listed: usize) -> Result<usize, OpError> {
    match listed {
        4 | 5 => Ok(listed - 2),
        _ => Err(OpError::shape(format!("a grid of {listed} sizes: 4 (plane) or 5 (space) are listed"))),
    }
}

impl AffineGrid {
    /// Position `i` of `n` between -1 and 1.
    fn position(&self, i: usize, n: usize) -> f64 {
        let (i, n) = (i as f64, n as f64);
        if !self.align_corners {
            (2.0 * i + 1.0) / n - 1.0
        } else if n == 1.0 {
            -1.0
        } else {
            2.0 * i / (n - 1.0) - 1.0
        }
    }
    fn compute<T: Compute>(&self, theta: &Tensor, size: &[usize]) -> Result<Tensor, OpError> {
        let r = check_axes(size.len())?;
        if theta.shape() != [size[0], r, r + 1] {
            return Err(OpError::shape(format!("theta {} does not fit size {size:?}", theta.ty())));
        }
        let axes = &size[2..];
        let shape = [&size[..1], axes, &[r]].concat();
        let mut out = zeros::<T>(count(&shape)?)?;
        if out.is_empty() {
            return Ok(T::tensor(theta.dtype(), &shape, out)?);
        }
        let points = count(axes)?;
        let lists: Vec<Vec<f64>> =
            axes.iter().map(|n| (0..*n).map(|i| self.position(i, *n)).collect()).collect();
        let mut at = vec![0.0; r];
        for (m, out) in theta.to_f64s()?.chunks_exact(r * (r + 1)).zip(out.chunks_mut((points * r).max(1))) {
            for (p, place) in out.chunks_exact_mut(r).enumerate() {
                let mut rest = p;
                for (k, list) in lists.iter().rev().enumerate() {
                    at[k] = list[rest % list.len()];
                    rest /= list.len();
                }
                for (row, o) in m.chunks_exact(r + 1).zip(place) {
                    *o = T::from_f64(row.iter().zip(&at).map(|(a, b)| a * b).sum::<f64>() + row[r]);
                }
            }
        }
        Ok(T::tensor(theta.dtype(), &shape, out)?)
    }
}

impl Semantics for AffineGrid {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let theta = cx.tensor(0)?;
        let axes = list_len(cx, 1)?.map(check_axes).transpose()?;
        let mut batch = Dim::Unknown;
        if let Some(s) = &theta.shape {
            let fits =
                |r: usize| !s[1].surely_differs(&Dim::from(r)) && !s[2].surely_differs(&Dim::from(r + 1));
            if s.len() != 3 || ![2, 3].into_iter().any(|r| axes.is_none_or(|a| a == r) && fits(r)) {
                return Err(OpError::shape(format!("{theta} is no batch of affine matrices")));
            }
            batch = s[0].clone();
        }
        let known = theta.shape.as_ref().and_then(|s| s[1].known()).and_then(|n| usize::try_from(n).ok());
        let Some(r) = axes.or(known) else { return Ok(vec![TensorType::unranked(theta.dtype).into()]) };
        let mut shape = vec![batch];
        match sym_list(cx, 1)? {
            Some(list) => {
                let dims: Vec<Dim> = list.into_iter().map(Dim::from_sym).collect();
                let Some(batch) = dims[0].meet(&shape[0]) else {
                    return Err(OpError::shape(format!("a grid for {} samples of {theta}", dims[0])));
                };
                shape[0] = batch;
                shape.extend_from_slice(&dims[2..]);
            }
            None => shape.extend(vec![Dim::Unknown; r]),
        }
        shape.push(Dim::from(r));
        Ok(vec![TensorType::new(theta.dtype, shape).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let size = |v: i64| usize::try_from(v).map_err(|_| OpError::shape(format!("{v} is no size")));
        let sizes = tensor_list(cx.tensor(1)?)?.into_iter().map(size).collect::<Result<Vec<_>, _>>()?;
        let theta = cx.tensor(0)?;
        one(if theta.dtype() == DType::F64 {
            self.compute::<f64>(theta, &sizes)?
        } else {
            self.compute::<f32>(theta, &sizes)?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, f32s, infer, infer_with, shapes};

    #[test]
    fn positions_are_moved() {
        let theta = f32s(&[1, 2, 3], &[1.0, 0.0, 0.5, 0.0, 2.0, 0.0]);
        let size = Tensor::from_ints(&[1, 1, 1, 3]);
        let run = |op: AffineGrid| eval(&op, &[Some(&theta), Some(&size)]).expect("fits").remove(0);
        let centres = run(AffineGrid { align_corners: false });
        assert_near(&centres, &[1, 1, 3, 2], &[-1. / 6., 0., 0.5, 0., 7. / 6., 0.]);
        let corners = run(AffineGrid { align_corners: true });
        assert_near(&corners, &[1, 1, 3, 2], &[-0.5, -2., 0.5, -2., 1.5, -2.]);
        assert!(
            eval(&AffineGrid::default(), &[Some(&theta), Some(&Tensor::from_ints(&[2, 1, 1, 3]))]).is_err()
        );
    }

    #[test]
    fn nothing_is_computed_for_no_sample() {
        let size = Tensor::from_ints(&[0, 1, i64::MAX, i64::MAX]);
        let y = eval(&AffineGrid::default(), &[Some(&f32s(&[0, 2, 3], &[])), Some(&size)]).expect("fits");
        assert!(y[0].is_empty());
    }

    #[test]
    fn types() {
        let op = AffineGrid::default();
        let size = Tensor::from_ints(&[2, 3, 4, 5, 6]);
        let t = infer_with(&op, &shapes(&["f16[N, 3, 4]", "i64[5]"]), &[(1, &size)]).expect("fits");
        assert_eq!(t[0].to_string(), "f16[2, 4, 5, 6, 3]");
        let t = infer(&op, &shapes(&["f32[N, 2, 3]", "i64[?]"])).expect("fits");
        assert_eq!(t[0].to_string(), "f32[N, ?, ?, 2]");
        assert!(infer(&op, &shapes(&["f32[N, 2, 3]", "i64[5]"])).is_err());
        assert!(infer(&op, &shapes(&["f32[N, 2, 3]", "i64[3]"])).is_err());
        assert!(infer(&op, &shapes(&["f32[2]", "i64[4]"])).is_err());
    }
}
