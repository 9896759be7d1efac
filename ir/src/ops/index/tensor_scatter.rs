//! `tensor_scatter`
use crate::attr::Word;
use crate::dim::Dim;
use crate::dtype::{ANY, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::movement::pick::scatter_blocks;
use crate::types::Type;

/// What follows the last place along the axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WriteMode {
    /// Nothing: updates must fit.
    #[default]
    Linear,
    /// The first place.
    Circular,
}

impl Word for WriteMode {
    const KIND: &'static str = "write_mode";
    const WORDS: &'static [(Self, &'static str)] = &[(Self::Linear, "linear"), (Self::Circular, "circular")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// `past_cache` with `update` written along `axis`, beginning at the place that `write_indices` (0, when absent) gives for each
    /// sample: an update of a cache of keys or values. `update` has the sizes of the cache but along `axis`.
    tensor_scatter TensorScatter(past_cache: One<T>, update: One<T>, write_indices: Opt<I>) -> (present_cache: One<T>) {
        /// Axis that is written along; not the first.
        axis: i64 = -2,
        /// What follows the last place.
        mode: WriteMode = WriteMode::Linear,
    } where T: ANY, I: I64_ONLY;
}

impl TensorScatter {
    fn axis(&self, rank: usize) -> Result<usize, OpError> {
        match resolve_axis(self.axis, rank)? {
            0 => Err(OpError::attr("a cache is not written along its batch axis")),
            axis => Ok(axis),
        }
    }
    /// Place along an axis of size `n` for element `i` of an update that begins at `first`.
    fn place(&self, first: i64, i: usize, n: usize) -> Result<usize, OpError> {
        let at = i128::from(first) + i as i128;
        let at = if self.mode == WriteMode::Circular { at.rem_euclid(n.max(1) as i128) } else { at };
        let outside = || OpError::eval(format!("place {at} is outside a cache of {n}"));
        usize::try_from(at).ok().filter(|at| *at < n).ok_or_else(outside)
    }
}

impl Semantics for TensorScatter {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let (cache, update) = (cx.tensor(0)?, cx.tensor(1)?);
        let batch = cache.shape.as_ref().or(update.shape.as_ref()).and_then(|s| s.first());
        let each = if cx.has(2) { cx.shape(2)? } else { None };
        if each.is_some_and(|s| s.len() != 1 || batch.is_some_and(|b| b.surely_differs(&s[0]))) {
            return Err(OpError::shape(format!(
                "write_indices {} are not one for each sample",
                cx.tensor(2)?
            )));
        }
        if let (Some(a), Some(b)) = (&cache.shape, &update.shape) {
            let axis = self.axis(a.len())?;
            let bad = |(i, (a, b)): (usize, (&Dim, &Dim))| {
                let longer = matches!((a.known(), b.known()), (Some(a), Some(b)) if b > a);
                if i == axis { longer } else { a.surely_differs(b) }
            };
            if a.len() != b.len() || a.iter().zip(b).enumerate().any(bad) {
                return Err(OpError::shape(format!("an update {update} does not fit a cache {cache}")));
            }
        }
        Ok(vec![cache.clone().into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (cache, update) = (cx.tensor(0)?, cx.tensor(1)?);
        let (shape, axis) = (cache.shape(), self.axis(cache.rank())?);
        if update.is_empty() || cache.is_empty() {
            return one(cache.clone());
        }
        let (n, length) = (shape[axis], update.shape()[axis]);
        let outer: usize = shape[..axis].iter().product();
        let first = cx.ints(2)?.unwrap_or_else(|| vec![0; shape[0]]);
        if first.len() != shape[0] {
            return Err(OpError::shape(format!("{} write indices for {} samples", first.len(), shape[0])));
        }
        let mut to = Vec::with_capacity(outer * length);
        for row in 0..outer {
            for i in 0..length {
                to.push(row * n + self.place(first[row / (outer / shape[0])], i, n)?);
            }
        }
        one(scatter_blocks(cache, &to, update, shape[axis + 1..].iter().product())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, infer, shapes};
    use crate::tensor::Tensor;

    #[test]
    fn both_modes() {
        let cache = Tensor::from_vec(&[2, 3], vec![0u8, 1, 2, 3, 4, 5]);
        let (update, at) = (Tensor::from_vec(&[2, 2], vec![9u8, 8, 7, 6]), Tensor::from_ints(&[1, 2]));
        let op = TensorScatter { axis: 1, mode: WriteMode::Circular };
        let y = eval(&op, &[Some(&cache), Some(&update), Some(&at)]).expect("fits");
        assert_eq!(y[0], Tensor::from_vec(&[2, 3], vec![0u8, 9, 8, 6, 4, 7]));
        let linear = TensorScatter { mode: WriteMode::Linear, ..op };
        assert!(eval(&linear, &[Some(&cache), Some(&update), Some(&at)]).is_err());
        for hostile in [-1, i64::MAX, i64::MIN] {
            let at = Tensor::from_ints(&[0, hostile]);
            assert!(eval(&linear, &[Some(&cache), Some(&update), Some(&at)]).is_err());
        }
    }

    #[test]
    fn types() {
        let op = TensorScatter::default();
        assert!(infer(&op, &shapes(&["f32[N, 4, 8]", "f32[N, 2, 8]", "i64[N]"])).is_ok());
        assert!(infer(&op, &shapes(&["f32[N, 4, 8]", "f32[N, 5, 8]"])).is_err());
        assert!(infer(&op, &shapes(&["f32[2, 4, 8]", "f32[2, 4, 8]", "i64[3]"])).is_err());
        assert!(infer(&op, &shapes(&["f32[4, 8]", "f32[2, 8]"])).is_err());
    }
}
