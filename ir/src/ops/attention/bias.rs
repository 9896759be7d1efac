//! Which keys each query sees, as numbers that are added to the scores.
use super::steps::{Built, Size, Steps};
use crate::diag::Diag;
use crate::dtype::DType;
use crate::graph::ValueId;
use crate::ops::elementwise::compare::{Equal, LessOrEqual};
use crate::ops::elementwise::logic::And;
use crate::ops::elementwise::select::Where;
use crate::ops::movement::reshape::Reshape;
use crate::ops::reduce::reductions::ReduceMax;
use crate::tensor::Tensor;

/// Windows beyond this many positions are unbounded.
const UNBOUNDED: i64 = 1 << 40;

/// Number of keys before the first query.
#[derive(Clone, Copy)]
pub(crate) enum Offset {
    /// The same in all batches.
    All(Size),
    /// One for each batch: `[B]`, of type `i64`.
    Each(ValueId),
}

/// Limits on the keys `j` that query `i` sees. Its position is `p = offset + i`.
pub(crate) struct Sight {
    /// Number of queries.
    pub queries: Size,
    /// Number of keys.
    pub keys: Size,
    /// Keys before the first query.
    pub offset: Offset,
    /// Keys that are no padding, of each batch: `[B]`.
    pub valid: Option<ValueId>,
    /// `j <= p`.
    pub causal: bool,
    /// `p - left <= j`, when not negative.
    pub left: i64,
    /// `j <= p + right`, when not negative.
    pub right: i64,
}

impl Sight {
    /// Positions of the queries: `[S, 1]`, or `[B, 1, S, 1]`.
    fn positions(&self, s: &mut Steps<'_, '_>) -> Built {
        let rows = s.positions(self.queries)?;
        let rows = s.unsqueeze(rows, &[1])?;
        let offset = match self.offset {
            Offset::All(Size::Known(0)) => return Ok(rows),
            Offset::All(past) => s.size_list(past)?,
            Offset::Each(offsets) => per_batch(s, offsets)?,
        };
        s.plus(rows, offset)
    }
    /// Whether the key is seen, broadcastable to `[B, H, S, T]`; `None` when every query sees every key.
    pub fn allowed(&self, s: &mut Steps<'_, '_>) -> Result<Option<ValueId>, Diag> {
        let right = if self.causal { 0 } else { self.right };
        let bounded = self.left >= 0 || right >= 0;
        if !bounded && self.valid.is_none() {
            return Ok(None);
        }
        let keys = s.positions(self.keys)?;
        let mut all = vec![];
        if bounded {
            let positions = self.positions(s)?;
            if right >= 0 {
                let last = shifted(s, positions, right.min(UNBOUNDED))?;
                all.push(s.op(LessOrEqual {}, &[keys, last])?);
            }
            if self.left >= 0 {
                let first = shifted(s, positions, -self.left.min(UNBOUNDED))?;
                all.push(s.op(LessOrEqual {}, &[first, keys])?);
            }
        }
        if let Some(valid) = self.valid {
            let valid = per_batch(s, valid)?;
            all.push(s.less(keys, valid)?);
        }
        let mut all = all.into_iter();
        let Some(mut both) = all.next() else { return Ok(None) };
        for next in all {
            both = s.op(And {}, &[both, next])?;
        }
        Ok(Some(both))
    }
}

fn per_batch(s: &mut Steps<'_, '_>, v: ValueId) -> Built {
    let shape = s.b.ints(&[-1, 1, 1, 1]);
    s.op(Reshape::default(), &[v, shape])
}

fn shifted(s: &mut Steps<'_, '_>, v: ValueId, by: i64) -> Built {
    if by == 0 {
        return Ok(v);
    }
    let by = s.b.scalar(by);
    s.plus(v, by)
}

/// The mask as numbers to add, of type `dtype`, and where a limit forbids a key minus infinity: `None` when nothing is added. A mask that
/// is shorter than `keys` forbids those beyond.
pub(crate) fn bias(
    s: &mut Steps<'_, '_>,
    mask: Option<ValueId>,
    allowed: Option<ValueId>,
    keys: Size,
    dtype: DType,
) -> Result<Option<ValueId>, Diag> {
    let Some(mask) = mask else {
        return allowed.map(|a| s.bias_of(a, f64::NEG_INFINITY, dtype)).transpose();
    };
    let short = match (s.rank(mask), s.dims(mask)) {
        (Some(0) | None, _) | (_, None) => false,
        (Some(rank), Some(dims)) => match keys {
            Size::Known(n) => dims[rank - 1].known() != u64::try_from(n).ok(),
            Size::Axis(v, axis) => {
                let full = s.dims(v).and_then(|d| d.get(axis as usize).cloned());
                !full.is_some_and(|f| f.surely_equals(&dims[rank - 1]))
            }
        },
    };
    if s.dtype(mask) == DType::Bool {
        let filler = s.b.constant(Tensor::from_bools(&[], vec![false]));
        let mask = if short { s.pad_last(mask, keys, filler)? } else { mask };
        let both = match allowed {
            Some(a) => s.op(And {}, &[mask, a])?,
            None => mask,
        };
        return s.bias_of(both, f64::NEG_INFINITY, dtype).map(Some);
    }
    let mask = s.cast(mask, dtype)?;
    let never = s.b.scalar_like(f64::NEG_INFINITY, mask)?;
    let mask = if short { s.pad_last(mask, keys, never)? } else { mask };
    match allowed {
        Some(a) => s.op(Where {}, &[a, mask, never]).map(Some),
        None => Ok(Some(mask)),
    }
}

/// Whether `bias` forbids a query every key: `[.., S, 1]`.
pub(super) fn blind(s: &mut Steps<'_, '_>, bias: ValueId) -> Built {
    let axes = s.b.ints(&[-1]);
    let top = s.op(ReduceMax { keepdims: true, ..ReduceMax::default() }, &[bias, axes])?;
    let never = s.b.scalar_like(f64::NEG_INFINITY, bias)?;
    s.op(Equal {}, &[top, never])
}
