//! `center_crop_pad`
use crate::dim::{Dim, SymInt};
use crate::dtype::{ANY, INDEX};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::movement::lists::{list_len, resolve_axes, sym_list, tensor_list};
use crate::ops::movement::mover::{check_size, empty};
use crate::ops::movement::tables::{NONE, copy_by_tables};
use crate::tensor::strides;
use crate::types::{TensorType, Type};

crate::op! {
    /// Cuts the middle out of each of `axes`, or adds zeros (false, empty texts) on both sides of it, so that it has the size that
    /// `shape` lists. Of an odd number of positions, one more is cut or added at the end.
    center_crop_pad CenterCropPad(input_data: One<T>, shape: One<I>) -> (output_data: One<T>) {
        /// Axes that `shape` is about, negative ones from the end; all when absent.
        axes: Option<Vec<i64>> = None,
    } where T: ANY, I: INDEX;
}

impl CenterCropPad {
    fn axes(&self, rank: usize) -> Result<Vec<usize>, OpError> {
        self.axes.as_ref().map_or_else(|| Ok((0..rank).collect()), |a| resolve_axes(a, rank))
    }
}

fn check_count(axes: usize, sizes: usize) -> Result<(), OpError> {
    if axes == sizes {
        return Ok(());
    }
    Err(OpError::shape(format!("{sizes} sizes are listed for {axes} axes")))
}

/// Source position of each of `n` positions of an axis of size `d`.
fn positions(d: usize, n: usize) -> Vec<usize> {
    let (cut, border) = (d.saturating_sub(n) / 2, n.saturating_sub(d) / 2);
    let at = |i: usize| i.checked_sub(border).map(|p| p + cut).filter(|p| *p < d).unwrap_or(NONE);
    (0..n).map(at).collect()
}

impl Semantics for CenterCropPad {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        let (count, list) = (list_len(cx, 1)?, sym_list(cx, 1)?);
        if list.iter().flatten().flatten().filter_map(SymInt::as_const).any(|v| v < 0) {
            return Err(OpError::shape("a size to cut or fill to is negative"));
        }
        let Some(shape) = &x.shape else { return Ok(vec![TensorType::unranked(x.dtype).into()]) };
        let axes = self.axes(shape.len())?;
        if let Some(n) = count {
            check_count(axes.len(), n)?;
        }
        let mut out = shape.clone();
        for (i, a) in axes.into_iter().enumerate() {
            out[a] = Dim::from_sym(list.as_ref().and_then(|l| l.get(i)?.clone()));
        }
        Ok(vec![TensorType::new(x.dtype, out).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let (axes, list) = (self.axes(x.rank())?, tensor_list(cx.tensor(1)?)?);
        check_count(axes.len(), list.len())?;
        let mut shape = x.shape().to_vec();
        for (a, n) in axes.into_iter().zip(list) {
            shape[a] = usize::try_from(n).map_err(|_| OpError::shape(format!("{n} is no size")))?;
        }
        if shape.contains(&0) {
            return one(empty(x.dtype(), &shape)?);
        }
        check_size(x.dtype(), &shape)?;
        let own = strides(x.shape());
        let table = |(i, n): (usize, &usize)| {
            let scaled = |p: usize| if p == NONE { NONE } else { p * own[i] };
            positions(x.shape()[i], *n).into_iter().map(scaled).collect::<Vec<_>>()
        };
        let tables: Vec<Vec<usize>> = shape.iter().enumerate().map(table).collect();
        one(copy_by_tables(x, &tables, None)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, infer_with, shapes};
    use crate::tensor::Tensor;

    #[test]
    fn odd_rests_go_to_the_end() {
        assert_eq!(positions(5, 2), [1, 2]);
        assert_eq!(positions(4, 1), [1]);
        assert_eq!(positions(2, 5), [NONE, 0, 1, NONE, NONE]);
        assert_eq!(positions(0, 2), [NONE, NONE]);
    }

    #[test]
    fn texts_and_axes() {
        let x = Tensor::from_strings(&[1, 3], ["a", "b", "c"].map(str::to_owned).to_vec());
        let op = CenterCropPad { axes: Some(vec![-1, 0]) };
        let y = eval(&op, &[Some(&x), Some(&Tensor::from_ints(&[1, 2]))]).expect("fits");
        assert_eq!(y[0], Tensor::from_strings(&[2, 1], vec!["b".to_owned(), String::new()]));
        for sizes in [&[-1, 1][..], &[1], &[i64::MAX, i64::MAX]] {
            assert!(eval(&op, &[Some(&x), Some(&Tensor::from_ints(sizes))]).is_err());
        }
    }

    #[test]
    fn types() {
        let op = CenterCropPad { axes: Some(vec![1]) };
        let n = Tensor::from_vec(&[1], vec![7i32]);
        let t = infer_with(&op, &shapes(&["bool[N, 3]", "i32[1]"]), &[(1, &n)]).expect("fits");
        assert_eq!(t[0].to_string(), "bool[N, 7]");
        assert!(infer_with(&op, &shapes(&["bool[N]", "i32[1]"]), &[(1, &n)]).is_err());
    }
}
