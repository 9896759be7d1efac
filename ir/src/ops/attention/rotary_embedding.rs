//! `rotary_embedding`
use super::steps::{Built, Part, Steps};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet, I64_ONLY};
use crate::expand;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::elementwise::arithmetic::{Mul, Sub};
use crate::ops::index::gather::Gather;
use crate::types::{Shape, Type};

/// Floats but `f64`.
pub(crate) const SINGLE: DTypeSet = DTypeSet::of(&[DType::F16, DType::BF16, DType::F32]);

crate::op! {
    /// Turns pairs of features by angles that grow with the position of the token: `[B, heads, S, D]`, or `[B, S, heads * D]` with
    /// `num_heads`. The cosines and sines are `[B, S, R / 2]`, or with `position_ids` `[B, S]` a table `[positions, R / 2]` for them.
    rotary_embedding RotaryEmbedding(x: One<T>, cos_cache: One<T>, sin_cache: One<T>, position_ids: Opt<M>) -> (y: One<T>) {
        /// Whether a pair is two neighbours instead of the same place in both halves.
        interleaved: bool = false,
        /// Heads of data of rank 3.
        num_heads: Option<i64> = None,
        /// How many features of each head are turned, counted from the first; 0 is all.
        rotary_embedding_dim: i64 = 0,
    } where T: SINGLE, M: I64_ONLY;
    infer = infer, eval = expand::eval, expand = expand;
}

/// What is turned: sizes of data as far as they are known.
pub(crate) struct Turned<'a> {
    /// Shape of the data.
    pub x: &'a Shape,
    /// Heads of data of rank 3.
    pub heads: Option<i64>,
    /// Features turned; 0 is all.
    pub rotary: i64,
}

impl Turned<'_> {
    /// Features of a head, and how many are turned. Unknown ones are `None`.
    ///
    /// # Errors
    /// When the sizes do not fit.
    pub fn features(&self) -> Result<(Option<i64>, Option<i64>), OpError> {
        let last = self.x.last().and_then(Dim::known).and_then(|n| i64::try_from(n).ok());
        let head = match (self.x.len(), self.heads) {
            (4, _) => last,
            (3, Some(n)) if n > 0 => match last {
                Some(d) if d % n != 0 => {
                    return Err(OpError::shape(format!("{d} features are no multiple of {n} heads")));
                }
                d => d.map(|d| d / n),
            },
            (3, _) => {
                return Err(OpError::attr("data of rank 3 needs `num_heads` of at least 1"));
            }
            (rank, _) => return Err(OpError::shape(format!("data has rank 3 or 4, not {rank}"))),
        };
        let rotary = if self.rotary == 0 { head } else { Some(self.rotary) };
        if rotary.is_some_and(|r| r < 0 || r % 2 != 0 || head.is_some_and(|h| r > h)) {
            let m = format!("`rotary_embedding_dim` must be even and at most a head's features {head:?}");
            return Err(OpError::attr(m));
        }
        Ok((head, rotary))
    }
}

/// Refuses a table of cosines or sines whose shape is not `rank` axes with `rotary / 2` columns.
pub(crate) fn check_table(table: Option<&Shape>, rank: usize, rotary: Option<i64>) -> Result<(), OpError> {
    let Some(t) = table else { return Ok(()) };
    let columns = t.last().and_then(Dim::known).and_then(|n| i64::try_from(n).ok());
    if t.len() != rank || matches!((columns, rotary), (Some(c), Some(r)) if c != r / 2) {
        let text: Vec<String> = t.iter().map(ToString::to_string).collect();
        let m = format!("a table [{}] does not fit {rank} axes with {rotary:?} / 2 columns", text.join(", "));
        return Err(OpError::shape(m));
    }
    Ok(())
}

fn infer(op: &RotaryEmbedding, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let x = cx.tensor(0)?;
    if let Some(shape) = &x.shape {
        let turned = Turned { x: shape, heads: op.num_heads, rotary: op.rotary_embedding_dim };
        let (_, rotary) = turned.features()?;
        let rank = if cx.has(3) { 2 } else { 3 };
        check_table(cx.shape(1)?, rank, rotary)?;
        check_table(cx.shape(2)?, rank, rotary)?;
        if cx.has(3) && cx.shape(3)?.is_some_and(|p| p.len() != 2) {
            return Err(OpError::shape("`position_ids` has rank 2"));
        }
    }
    Ok(vec![x.clone().into()])
}

/// Turns the first `rotary` of the last axis of `x`, of rank 4, by `cos` and `sin` that broadcast to half of them.
pub(crate) fn turn(
    s: &mut Steps<'_, '_>,
    x: ValueId,
    (cos, sin): (ValueId, ValueId),
    (rotary, head): (i64, i64),
    interleaved: bool,
) -> Built {
    let half = rotary / 2;
    let (first, second) = if interleaved {
        (s.slice(x, 3, (0, rotary, 2))?, s.slice(x, 3, (1, rotary, 2))?)
    } else {
        (s.slice(x, 3, (0, half, 1))?, s.slice(x, 3, (half, rotary, 1))?)
    };
    let (a, b) = (s.op(Mul {}, &[cos, first])?, s.op(Mul {}, &[sin, second])?);
    let real = s.op(Sub {}, &[a, b])?;
    let (a, b) = (s.op(Mul {}, &[sin, first])?, s.op(Mul {}, &[cos, second])?);
    let imaginary = s.plus(a, b)?;
    let mut parts = vec![real, imaginary];
    if interleaved {
        let (real, imaginary) = (s.unsqueeze(real, &[4])?, s.unsqueeze(imaginary, &[4])?);
        let pairs = s.concat(&[real, imaginary], 4)?;
        parts = vec![s.reshape(pairs, &[Part::Keep, Part::Keep, Part::Keep, Part::Of(rotary)])?];
    }
    if rotary < head {
        parts.push(s.slice(x, 3, (rotary, head, 1))?);
    }
    if let [whole] = parts[..] { Ok(whole) } else { s.concat(&parts, 3) }
}

fn expand(
    op: &RotaryEmbedding,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _outputs: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let [Some(x), Some(cos), Some(sin), ref rest @ ..] = *inputs else { return Ok(None) };
    let mut s = Steps { b };
    let Some(shape) = s.dims(x) else { return Ok(None) };
    let turned = Turned { x: &shape, heads: op.num_heads, rotary: op.rotary_embedding_dim };
    let sizes = turned.features().map_err(|e| Diag::error(e.code, e.message))?;
    let (Some(head), Some(rotary)) = sizes else { return Ok(None) };
    // The axis of heads: data of rank 3 is split into `[B, S, heads, D]`.
    let heads_at = if shape.len() == 3 { 2 } else { 1 };
    let table = |s: &mut Steps<'_, '_>, t: ValueId| {
        let rows = match rest.first().copied().flatten() {
            Some(ids) => s.op(Gather { axis: 0 }, &[t, ids])?,
            None => t,
        };
        s.unsqueeze(rows, &[heads_at])
    };
    let tables = (table(&mut s, cos)?, table(&mut s, sin)?);
    if shape.len() == 4 {
        return Ok(Some(vec![turn(&mut s, x, tables, (rotary, head), op.interleaved)?]));
    }
    let heads = op.num_heads.unwrap_or(1);
    let split = s.split_last(x, heads)?;
    let y = turn(&mut s, split, tables, (rotary, head), op.interleaved)?;
    let last = head.checked_mul(heads).map_or(Part::Rest, Part::Of);
    Ok(Some(vec![s.reshape(y, &[Part::Keep, Part::Keep, last])?]))
}
