//! `c_dist`
use super::meaning::operand;
use crate::attr::Word;
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::{DType, DTypeSet};
use crate::graph::ValueId;
use crate::ops::elementwise::activation::Relu;
use crate::ops::elementwise::arithmetic::{Add, Sub};
use crate::ops::elementwise::unary::Sqrt;
use crate::ops::linear::gemm::Gemm;
use crate::ops::movement::transpose::Transpose;
use crate::ops::reduce::reductions::ReduceSumSquare;

/// How far two rows are apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Metric {
    /// Sum of squared differences.
    #[default]
    SquaredEuclidean,
    /// Its root.
    Euclidean,
}

impl Word for Metric {
    const KIND: &'static str = "metric";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::SquaredEuclidean, "sqeuclidean"), (Self::Euclidean, "euclidean")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// Distances of each row of `a` from each row of `b`: `|a|^2 + |b|^2 - 2 a b`, at least 0.
    c_dist CDist(a: One<T>, b: One<T>) -> (c: One<T>) {
        /// The distance.
        metric: Metric = Metric::SquaredEuclidean,
    } where T: DTypeSet::of(&[DType::F32, DType::F64]);
    infer = crate::expand::infer, eval = crate::expand::eval, expand = expand;
}

fn expand(
    op: &CDist,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let (x, y) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let axis = b.ints(&[1]);
    let square = ReduceSumSquare { keepdims: true, noop_with_empty_axes: false };
    let rows = b.reduce_sum_square(square.clone(), x, Some(axis))?;
    let columns = b.reduce_sum_square(square, y, Some(axis))?;
    let columns = b.transpose(Transpose { perm: vec![1, 0] }, columns)?;
    let product = b.gemm(Gemm { alpha: 2.0, trans_b: true, ..Gemm::default() }, x, y, None)?;
    let sums = b.plus(Add {}, rows, columns)?;
    let squares = b.sub(Sub {}, sums, product)?;
    let squares = b.relu(Relu {}, squares)?;
    Ok(Some(vec![match op.metric {
        Metric::SquaredEuclidean => squares,
        Metric::Euclidean => b.sqrt(Sqrt {}, squares)?,
    }]))
}
