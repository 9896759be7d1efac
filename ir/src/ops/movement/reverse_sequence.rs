//! `reverse_sequence`
use super::pick::pick_blocks;
use crate::dim::Dim;
use crate::dtype::{ANY, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::element_count;
use crate::types::Type;

crate::op! {
    /// Reverses the first `sequence_lens[b]` positions of the time axis for each position `b` of the batch axis.
    reverse_sequence ReverseSequence(input: One<T>, sequence_lens: One<S>) -> (y: One<T>) {
        /// Axis of the sequences: 0 or 1.
        batch_axis: i64 = 1,
        /// Axis of the time: the other one.
        time_axis: i64 = 0,
    } where T: ANY, S: I64_ONLY;
}

impl ReverseSequence {
    fn check(&self) -> Result<(), OpError> {
        match (self.batch_axis, self.time_axis) {
            (0, 1) | (1, 0) => Ok(()),
            (b, t) => Err(OpError::attr(format!("batch axis {b} and time axis {t} must be 0 and 1"))),
        }
    }
}

impl Semantics for ReverseSequence {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        self.check()?;
        if cx.shape(0)?.is_some_and(|s| s.len() < 2) {
            return Err(OpError::shape(format!("a batch of sequences has two axes, got {}", cx.tensor(0)?)));
        }
        if let (Some(x), Some(lens)) = (cx.shape(0)?, cx.shape(1)?) {
            let batch = &x[self.batch_axis as usize];
            if lens.len() != 1 || lens[0].surely_differs(batch) {
                return Err(OpError::shape(format!(
                    "{} sequence lengths for a batch of {batch}",
                    cx.tensor(1)?
                )));
            }
        }
        Ok(vec![cx.ty(0)?.clone()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        self.check()?;
        let x = cx.tensor(0)?;
        let [rows, columns, inner @ ..] = x.shape() else {
            return Err(OpError::shape("a batch of sequences has two axes"));
        };
        let (rows, columns) = (*rows, *columns);
        if x.is_empty() {
            return one(x.clone());
        }
        let (time, batch) = if self.time_axis == 0 { (rows, columns) } else { (columns, rows) };
        let lens = cx.tensor(1)?.to_i64s()?;
        let len = |b: usize| lens.get(b).and_then(|n| usize::try_from(*n).ok()).filter(|n| *n <= time);
        let lens: Option<Vec<usize>> = (0..batch).map(len).collect();
        let lens = lens.ok_or_else(|| OpError::shape("a sequence is longer than the time axis"))?;
        let from = |i: usize| {
            let (row, column) = (i / columns, i % columns);
            let (t, b) = if self.time_axis == 0 { (row, column) } else { (column, row) };
            let t = if t < lens[b] { lens[b] - 1 - t } else { t };
            if self.time_axis == 0 { t * columns + b } else { b * columns + t }
        };
        let order: Vec<usize> = (0..rows * columns).map(from).collect();
        let block = element_count(inner).unwrap_or(0);
        debug_assert_eq!(Dim::from(order.len() * block), Dim::from(x.len()));
        one(pick_blocks(x, &order, block, x.shape())?)
    }
}
