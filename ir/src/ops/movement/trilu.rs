//! `trilu`
use super::mover::{self, Move, Unit};
use crate::dtype::{ANY, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::types::Type;

crate::op! {
    /// The upper or lower triangle of matrices (the last two axes), the rest zero. `k` moves the border: positive to the right.
    trilu Trilu(input: One<T>, k: Opt<S>) -> (output: One<T>) {
        /// Whether the part on and above the diagonal is kept, else the part on and below.
        upper: bool = true,
    } where T: ANY, S: I64_ONLY;
}

struct Triangle {
    rows: usize,
    columns: usize,
    k: i64,
    upper: bool,
}

impl Move for Triangle {
    fn run<T: Unit>(&self, xs: &[&[T]]) -> Vec<T> {
        let mut out = xs[0].to_vec();
        for (i, row) in out.chunks_exact_mut(self.columns).enumerate() {
            // Position of the diagonal in this row, cut to the row.
            let diagonal = (i % self.rows) as i128 + i128::from(self.k) + i128::from(!self.upper);
            let at = diagonal.clamp(0, self.columns as i128) as usize;
            let gone = if self.upper { &mut row[..at] } else { &mut row[at..] };
            gone.fill(T::default());
        }
        out
    }
}

impl Semantics for Trilu {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        if cx.shape(0)?.is_some_and(|s| s.len() < 2) {
            return Err(OpError::shape(format!("a triangle is taken of matrices, got {}", cx.tensor(0)?)));
        }
        Ok(vec![cx.ty(0)?.clone()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let k = match cx.opt(1)? {
            Some(k) => k.as_int().ok_or_else(|| OpError::operand("`k` must be one integer"))?,
            None => 0,
        };
        let [.., rows, columns] = *x.shape() else {
            return Err(OpError::shape("a triangle is taken of matrices"));
        };
        one(mover::apply(&Triangle { rows, columns, k, upper: self.upper }, &[x], x.shape())?)
    }
}
