//! `trilu`
use super::mover::{self, Move, Unit};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::{ANY, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::expand::{Expanded, operand};
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::elementwise::arithmetic::Add;
use crate::ops::elementwise::compare::{Greater, Less};
use crate::ops::elementwise::select::Where;
use crate::ops::elementwise::variadic::{Max, Min};
use crate::ops::movement::reshape::Reshape;
use crate::ops::movement::unsqueeze::Unsqueeze;
use crate::ops::shape::range::Range;
use crate::ops::shape::shape::Shape;
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

/// Farther from the diagonal than any element.
const FAR: i64 = 1 << 48;

/// A comparison of row and column numbers chooses between the elements and zero.
fn masked(op: &Trilu, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
    let x = operand(inputs, 0)?;
    let numbers = |b: &mut Builder<'_>, axis: i64| -> Result<ValueId, Diag> {
        let end = (axis != -1).then_some(axis + 1);
        let size = b.shape(Shape { start: axis, end }, x)?;
        let scalar = b.ints(&[]);
        let size = b.reshape(Reshape::default(), size, scalar)?;
        let (start, step) = (b.scalar(0i64), b.scalar(1i64));
        b.range(Range::default(), start, size, step)
    };
    let (rows, columns) = (numbers(b, -2)?, numbers(b, -1)?);
    let last = b.ints(&[1]);
    let mut diagonal = b.unsqueeze(Unsqueeze {}, rows, last)?;
    if let Some(k) = inputs.get(1).copied().flatten() {
        let scalar = b.ints(&[]);
        let k = b.reshape(Reshape::default(), k, scalar)?;
        // Cut to what no matrix reaches, so that the sum stays in range.
        let (low, high) = (b.scalar(-FAR), b.scalar(FAR));
        let k = b.max(Max {}, &[k, low])?;
        let k = b.min(Min {}, &[k, high])?;
        diagonal = b.plus(Add {}, diagonal, k)?;
    }
    let gone = if op.upper {
        b.less(Less {}, columns, diagonal)?
    } else {
        b.greater(Greater {}, columns, diagonal)?
    };
    let zero = b.scalar_like(0.0, x)?;
    Ok(Some(vec![b.r#where(Where {}, gone, zero, x)?]))
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
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], outputs: usize) -> Expanded {
        masked(self, b, inputs, outputs)
    }
}
