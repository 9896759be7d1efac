//! What the attention operators of ONNX Runtime share: masks of integers, and the way from heads to the result.
use crate::diag::Diag;
use crate::dim::{Dim, SymInt};
use crate::dtype::DType;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::attention::causal_conv_with_state::agreed;
use crate::ops::attention::steps::{Built, Size, Steps};
use crate::ops::elementwise::arithmetic::Sub;
use crate::ops::elementwise::compare::{Greater, GreaterOrEqual, LessOrEqual};
use crate::ops::elementwise::logic::And;
use crate::ops::elementwise::select::Where;
use crate::ops::reduce::softmax::Softmax;
use crate::types::Shape;

/// Heads of queries, keys and values, `[B, N, S, H]`, and how they are combined.
pub(super) struct Heads {
    /// Queries.
    pub q: ValueId,
    /// Keys, past ones first.
    pub k: ValueId,
    /// Values, past ones first.
    pub v: ValueId,
    /// Number of heads.
    pub count: i64,
    /// Factor of the products; 0 is `1 / sqrt(H)`.
    pub scale: f32,
    /// Whether a query sees no key after it. Keys before the first query are those that are more than the queries.
    pub causal: bool,
    /// What is added where a mask forbids a key.
    pub filter: f32,
}

/// Keys that a mask of integers allows, broadcastable to `[B, N, S, T]`, above 0 being allowed: `[B]` counts keys, `[2 * B]` gives the ends
/// and then the starts, `[B, T]` and `[B, S, T]` say it of each key. `None` when these sizes leave open which is meant.
fn allowed(s: &mut Steps<'_, '_>, mask: ValueId, batch: &Dim, keys: Size) -> Result<Option<ValueId>, Diag> {
    let Some(dims) = s.dims(mask) else { return Ok(None) };
    if dims.len() > 1 {
        let zero = s.b.scalar_like(0.0, mask)?;
        let seen = s.op(Greater {}, &[mask, zero])?;
        let axes: &[i64] = if dims.len() == 2 { &[1, 2] } else { &[1] };
        return s.unsqueeze(seen, axes).map(Some);
    }
    let positions = s.positions(keys)?;
    let positions = s.cast(positions, s.dtype(mask))?;
    if dims[0].surely_equals(batch) {
        let ends = s.unsqueeze(mask, &[1, 2, 3])?;
        return s.less(positions, ends).map(Some);
    }
    let Some(n) = batch.known().and_then(|n| i64::try_from(n).ok()) else { return Ok(None) };
    if n.checked_mul(2).and_then(|n| u64::try_from(n).ok()) != dims[0].known() {
        return Ok(None);
    }
    let (ends, starts) = (s.slice(mask, 0, (0, n, 1))?, s.slice(mask, 0, (n, 2 * n, 1))?);
    let (ends, starts) = (s.unsqueeze(ends, &[1, 2, 3])?, s.unsqueeze(starts, &[1, 2, 3])?);
    let (before, from) = (s.less(positions, ends)?, s.op(GreaterOrEqual {}, &[positions, starts])?);
    s.op(And {}, &[before, from]).map(Some)
}

impl Heads {
    /// Keys not after the query: `[S, T]`.
    fn not_after(&self, s: &mut Steps<'_, '_>) -> Built {
        let (queries, keys) = (s.size(self.q, 2), s.size(self.k, 2));
        let (rows, columns) = (s.positions(queries)?, s.positions(keys)?);
        let rows = s.unsqueeze(rows, &[1])?;
        let (queries, keys) = (s.size_list(queries)?, s.size_list(keys)?);
        let past = s.op(Sub {}, &[keys, queries])?;
        let rows = s.plus(rows, past)?;
        s.op(LessOrEqual {}, &[columns, rows])
    }
    /// The numbers that are added to the products: `bias`, and those of `mask` and causality. `None` when sizes leave open what the mask
    /// means.
    fn added(
        &self,
        s: &mut Steps<'_, '_>,
        mask: Option<ValueId>,
        bias: Option<ValueId>,
    ) -> Result<Option<Vec<ValueId>>, Diag> {
        let dtype = s.dtype(self.q);
        let mut all: Vec<ValueId> = bias.into_iter().collect();
        if let Some(mask) = mask {
            let batch = s.dims(self.q).and_then(|d| d.first().cloned()).unwrap_or(Dim::Unknown);
            let Some(seen) = allowed(s, mask, &batch, s.size(self.k, 2))? else { return Ok(None) };
            let mut numbers = s.bias_of(seen, f64::from(self.filter), dtype)?;
            if self.causal {
                let before = self.not_after(s)?;
                let never = s.b.scalar_like(f64::from(f32::MIN), numbers)?;
                numbers = s.op(Where {}, &[before, numbers, never])?;
            }
            all.push(numbers);
        } else if self.causal {
            let before = self.not_after(s)?;
            all.push(s.bias_of(before, f64::from(f32::MIN), dtype)?);
        }
        Ok(Some(all))
    }
    /// Result `[B, S, N * H]` and the products with all that is added to them; `None` when sizes leave open what the mask means.
    pub fn attend(
        &self,
        s: &mut Steps<'_, '_>,
        mask: Option<ValueId>,
        bias: Option<ValueId>,
    ) -> Result<Option<(ValueId, ValueId)>, Diag> {
        let Some(features) = s.known(self.q, 3) else { return Ok(None) };
        let Some(all) = self.added(s, mask, bias)? else { return Ok(None) };
        let default = 1.0 / (features as f64).sqrt();
        let q = s.scaled(self.q, if self.scale == 0.0 { default } else { f64::from(self.scale) })?;
        let mut scores = s.scores(q, self.k, self.count, self.count)?;
        for added in all {
            scores = s.plus(scores, added)?;
        }
        let likely = s.op(Softmax { axis: -1 }, &[scores])?;
        let y = s.grouped(likely, self.v, self.count, self.count)?;
        Ok(Some((s.merge(y)?, scores)))
    }
}

/// 16-bit floats are widened before anything is computed.
pub(super) fn wide(dtype: DType) -> DType {
    if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype }
}

/// `d` split into `n` parts.
pub(super) fn split(d: &Dim, n: i64, what: &str) -> Result<Dim, OpError> {
    if n <= 0 || d.known().is_some_and(|d| !d.is_multiple_of(n.unsigned_abs())) {
        return Err(OpError::shape(format!("{what}: {d} features are no multiple of {n} heads")));
    }
    Ok(d.combine(&Dim::from_sym(Some(n.into())), SymInt::floor_div))
}

/// Sum of sizes.
pub(super) fn plus(a: &Dim, b: &Dim) -> Dim {
    a.combine(b, SymInt::add)
}

/// Shape of operand `i` if it is present and of known rank, which must be among `ranks`.
pub(super) fn shape_of<'a>(
    cx: &InferCx<'a>,
    i: usize,
    ranks: &[usize],
) -> Result<Option<&'a Shape>, OpError> {
    if !cx.has(i) {
        return Ok(None);
    }
    let shape = cx.shape(i)?;
    match shape {
        Some(s) if !ranks.contains(&s.len()) => {
            Err(OpError::shape(format!("operand {i} has rank {}, not one of {ranks:?}", s.len())))
        }
        _ => Ok(shape),
    }
}

/// Checks a mask of integers against the sizes of the batch, the queries and the keys.
pub(super) fn check_mask(
    cx: &InferCx<'_>,
    i: usize,
    [batch, queries, keys]: [&Dim; 3],
    starts: bool,
) -> Result<(), OpError> {
    match shape_of(cx, i, &[1, 2, 3])?.map(Vec::as_slice) {
        Some([n]) => {
            let (n, b) = (n.known(), batch.known());
            let counts = |n: u64, b: u64| n == b || starts && b.checked_mul(2) == Some(n);
            if let (Some(n), Some(b)) = (n, b)
                && !counts(n, b)
            {
                return Err(OpError::shape(format!("a mask of {n} numbers for a batch of {b}")));
            }
        }
        Some([b, t]) => {
            agreed(b, batch, "batch of the mask")?;
            agreed(t, keys, "keys of the mask")?;
        }
        Some([b, s, t]) => {
            agreed(b, batch, "batch of the mask")?;
            agreed(s, queries, "queries of the mask")?;
            agreed(t, keys, "keys of the mask")?;
        }
        _ => {}
    }
    Ok(())
}

/// Checks numbers to add against the shape of the scores.
pub(super) fn check_bias(cx: &InferCx<'_>, i: usize, scores: [&Dim; 4]) -> Result<(), OpError> {
    let Some(bias) = shape_of(cx, i, &[4])? else { return Ok(()) };
    for (axis, (b, s)) in bias.iter().zip(scores).enumerate() {
        if b.surely_differs(s) && (axis > 1 || b.known() != Some(1)) {
            return Err(OpError::shape(format!(
                "size {b} of axis {axis} of the bias, where scores have {s}"
            )));
        }
    }
    Ok(())
}
