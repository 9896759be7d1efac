//! Keys and values of a cache whose batches hold different numbers of tokens.
use crate::diag::Diag;
use crate::dtype::DType;
use crate::graph::ValueId;
use crate::ops::attention::steps::{Built, Part, Size, Steps};
use crate::ops::elementwise::arithmetic::Sub;
use crate::ops::elementwise::select::Where;
use crate::ops::elementwise::variadic::{Max, Min};
use crate::ops::index::gather_nd::GatherNd;
use crate::ops::movement::pad::Pad;
use crate::ops::movement::reshape::Reshape;

/// How many tokens there are, before and with the new ones.
pub(super) struct Tokens {
    /// New tokens.
    pub fresh: Size,
    /// Tokens with the new ones, of each batch: `[B]`, of type `i64`.
    pub total: ValueId,
    /// Tokens before the new ones, of each batch.
    pub past: ValueId,
    /// The same, when it is one known number for all.
    pub same: Option<i64>,
    /// Largest number of tokens with the new ones, when known.
    pub most: Option<i64>,
    /// The same as a value of rank 0.
    pub most_value: ValueId,
}

impl Tokens {
    /// From what the operator is given: `[B]` of totals less 1, and their maximum. `slots` is the size of the past buffer.
    ///
    /// # Errors
    /// When a batch has more tokens than there is room for.
    pub fn new(
        s: &mut Steps<'_, '_>,
        (less_one, most): (ValueId, ValueId),
        fresh: Size,
        slots: Option<Size>,
    ) -> Result<Self, Diag> {
        let list = s.b.graph().constant(less_one).and_then(|t| t.to_i64s().ok());
        let most_known = s.b.graph().constant(most).and_then(crate::tensor::Tensor::as_int);
        let room = match (slots, fresh) {
            (None, Size::Known(n)) => Some(n),
            (Some(Size::Known(slots)), Size::Known(n)) => {
                Some(slots.max(most_known.unwrap_or(slots.saturating_add(n))))
            }
            _ => None,
        };
        if let (Some(list), Some(room)) = (&list, room)
            && let Some(t) = list.iter().find(|t| !(0..room).contains(*t))
        {
            let m = format!("`seqlens_k` has {t}, where there is room for {room} tokens");
            return Err(Diag::error("E0304", m));
        }
        let flat = s.b.ints(&[-1]);
        let less_one = s.op(Reshape::default(), &[less_one, flat])?;
        let less_one = s.cast(less_one, DType::I64)?;
        let one = s.b.scalar(1i64);
        let total = s.plus(less_one, one)?;
        let queries = s.size_list(fresh)?;
        let before = s.op(Sub {}, &[total, queries])?;
        let none = s.b.ints(&[0]);
        let past = s.op(Max {}, &[before, none])?;
        let scalar = s.b.ints(&[]);
        let most_value = s.op(Reshape::default(), &[most, scalar])?;
        let most_value = s.cast(most_value, DType::I64)?;
        let same = match (list.as_deref(), fresh) {
            (Some([first, rest @ ..]), Size::Known(n)) if slots.is_some() => {
                let past = |t: i64| t.saturating_add(1).saturating_sub(n).max(0);
                rest.iter().all(|t| past(*t) == past(*first)).then(|| past(*first))
            }
            _ => None,
        };
        Ok(Self { fresh, total, past, same, most: most_known, most_value })
    }
    /// `fresh` `[B, G, S, H]` put behind the tokens of `past` `[B, G, P, H]` that are in use; what is left of the buffer is 0.
    pub fn append(&self, s: &mut Steps<'_, '_>, past: Option<ValueId>, fresh: ValueId) -> Built {
        let Some(past) = past else { return Ok(fresh) };
        let slots = s.size(past, 2);
        if let (Some(used), Size::Known(n), Size::Known(slots), Some(most)) =
            (self.same, self.fresh, slots, self.most)
            && used <= slots
            && used.saturating_add(n) <= slots.max(most)
        {
            let used_past = if used == slots { past } else { s.slice(past, 2, (0, used, 1))? };
            let all = s.concat(&[used_past, fresh], 2)?;
            let spare = slots.max(most) - used - n;
            if spare == 0 {
                return Ok(all);
            }
            let pads = s.b.ints(&[0, 0, 0, 0, 0, 0, spare, 0]);
            return s.op(Pad::default(), &[all, pads]);
        }
        let (index, kept) = self.places(s, slots)?;
        let all = s.concat(&[past, fresh], 2)?;
        let all = s.transpose(all, &[0, 2, 1, 3])?;
        let found = s.op(GatherNd { batch_dims: 1 }, &[all, index])?;
        let found = s.transpose(found, &[0, 2, 1, 3])?;
        let zero = s.b.scalar_like(0.0, found)?;
        s.op(Where {}, &[kept, found, zero])
    }
    /// Where each place of the new buffer comes from among the past and the new tokens, `[B, M, 1]`, and whether it is in use, `[B, 1, M,
    /// 1]`.
    fn places(&self, s: &mut Steps<'_, '_>, slots: Size) -> Result<(ValueId, ValueId), Diag> {
        let (slots, fresh) = (s.size_scalar(slots)?, s.size_scalar(self.fresh)?);
        let room = s.plus(slots, fresh)?;
        let most = s.op(Min {}, &[self.most_value, room])?;
        let places = s.op(Max {}, &[slots, most])?;
        let (zero, one) = (s.b.scalar(0i64), s.b.scalar(1i64));
        let at = s.op(crate::ops::shape::range::Range::default(), &[zero, places, one])?;
        let past = s.unsqueeze(self.past, &[1])?;
        let old = s.less(at, past)?;
        let shift = s.op(Sub {}, &[slots, past])?;
        let moved = s.plus(at, shift)?;
        let index = s.op(Where {}, &[old, at, moved])?;
        let last = s.op(Sub {}, &[room, one])?;
        let index = s.op(Min {}, &[index, last])?;
        let index = s.op(Max {}, &[index, zero])?;
        let index = s.unsqueeze(index, &[2])?;
        let end = s.plus(past, fresh)?;
        let kept = s.less(at, end)?;
        Ok((index, s.unsqueeze(kept, &[1, 3])?))
    }
    /// Positions of the new tokens, `[B, S]`.
    pub fn positions(&self, s: &mut Steps<'_, '_>) -> Built {
        let steps = s.positions(self.fresh)?;
        let past = s.unsqueeze(self.past, &[1])?;
        s.plus(past, steps)
    }
    /// Positions of the new tokens where `ids` `[B, S]` gives them: of a first prompt, whose tokens are all there are, only the first
    /// number counts.
    pub fn given_positions(&self, s: &mut Steps<'_, '_>, ids: ValueId) -> Built {
        let prompt = match (self.most, self.fresh) {
            (Some(most), Size::Known(n)) => Some(most == n),
            _ => None,
        };
        if prompt == Some(false) {
            return Ok(ids);
        }
        let flat = s.reshape(ids, &[Part::Rest])?;
        let first = s.slice(flat, 0, (0, 1, 1))?;
        let steps = s.positions(self.fresh)?;
        let counted = s.plus(first, steps)?;
        if prompt == Some(true) {
            return s.unsqueeze(counted, &[0]);
        }
        let fresh = s.size_scalar(self.fresh)?;
        let prompt = s.op(crate::ops::elementwise::compare::Equal {}, &[self.most_value, fresh])?;
        s.op(Where {}, &[prompt, counted, ids])
    }
}
