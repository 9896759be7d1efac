//! `contrib_rotary_embedding`
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dim::SymInt;
use crate::dtype::I64_ONLY;
use crate::expand;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::attention::rotary_embedding::{SINGLE, Turned, check_table, turn};
use crate::ops::attention::steps::{Part, Steps};
use crate::ops::index::gather::Gather;
use crate::ops::movement::reshape::Reshape;
use crate::types::{Shape, Type};

crate::op! {
    /// ONNX Runtime's `RotaryEmbedding`: [`RotaryEmbedding`](crate::ops::attention::rotary_embedding::RotaryEmbedding) whose positions may be
    /// one number, that of the first token, and whose heads follow from the tables `[positions, R / 2]` when `num_heads` is 0.
    contrib_rotary_embedding ContribRotaryEmbedding(input: One<T>, position_ids: One<M>, cos_cache: One<T>, sin_cache: One<T>) -> (output: One<T>) {
        /// Whether a pair is two neighbours instead of the same place in both halves.
        interleaved: bool = false,
        /// Heads of data of rank 3; 0 when the tables tell.
        num_heads: i64 = 0,
        /// How many features of each head are turned, counted from the first; 0 is all.
        rotary_embedding_dim: i64 = 0,
        /// Without meaning.
        scale: f32 = 1.0,
    } where T: SINGLE, M: I64_ONLY;
    infer = infer, eval = expand::eval, expand = expand;
}

impl ContribRotaryEmbedding {
    /// Heads of data of rank 3, from its features and the columns of the tables.
    fn heads(&self, x: &Shape, table: Option<&Shape>) -> Option<i64> {
        if self.num_heads > 0 || x.len() != 3 {
            return Some(self.num_heads);
        }
        let half = table?.get(1)?.known()?;
        let heads = x[2].known()?.checked_div(half.checked_mul(2)?)?;
        i64::try_from(heads).ok()
    }
}

fn infer(op: &ContribRotaryEmbedding, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let x = cx.tensor(0)?;
    if op.rotary_embedding_dim > 0 && op.num_heads <= 0 {
        return Err(OpError::attr("`rotary_embedding_dim` needs `num_heads`"));
    }
    if let Some(ids) = cx.shape(1)?
        && ids.len() > 2
    {
        return Err(OpError::shape("`position_ids` has rank 0, 1 or 2"));
    }
    if let Some(shape) = &x.shape
        && let heads @ Some(_) = op.heads(shape, cx.shape(2)?)
    {
        let (_, rotary) = Turned { x: shape, heads, rotary: op.rotary_embedding_dim }.features()?;
        check_table(cx.shape(2)?, 2, rotary)?;
        check_table(cx.shape(3)?, 2, rotary)?;
    }
    Ok(vec![x.clone().into()])
}

fn expand(
    op: &ContribRotaryEmbedding,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _outputs: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let [Some(x), Some(ids), Some(cos), Some(sin)] = *inputs else { return Ok(None) };
    let mut s = Steps { b };
    let (Some(shape), Some(ids_rank)) = (s.dims(x), s.rank(ids)) else { return Ok(None) };
    let Some(heads) = op.heads(&shape, s.dims(cos).as_ref()) else { return Ok(None) };
    let turned = Turned { x: &shape, heads: Some(heads), rotary: op.rotary_embedding_dim };
    let sizes = turned.features().map_err(|e| Diag::error(e.code, e.message))?;
    let (Some(head), Some(rotary)) = sizes else { return Ok(None) };
    // A single number is the position of the first token, `[1, 1]` being the same for one token.
    let ids = if ids_rank == 2 {
        ids
    } else {
        let one = s.b.ints(&[1, 1]);
        let first = s.op(Reshape::default(), &[ids, one])?;
        let tokens = s.size(x, if shape.len() == 3 { 1 } else { 2 });
        let steps = s.positions(tokens)?;
        s.plus(first, steps)?
    };
    let heads_at = if shape.len() == 3 { 2 } else { 1 };
    let table = |s: &mut Steps<'_, '_>, t: ValueId| {
        let rows = s.op(Gather { axis: 0 }, &[t, ids])?;
        s.unsqueeze(rows, &[heads_at])
    };
    let tables = (table(&mut s, cos)?, table(&mut s, sin)?);
    if shape.len() == 4 {
        return Ok(Some(vec![turn(&mut s, x, tables, (rotary, head), op.interleaved)?]));
    }
    let split = s.split_last(x, heads)?;
    let y = turn(&mut s, split, tables, (rotary, head), op.interleaved)?;
    let last = shape[2].to_sym().as_ref().and_then(SymInt::as_const).map_or(Part::Rest, Part::Of);
    Ok(Some(vec![s.reshape(y, &[Part::Keep, Part::Keep, last])?]))
}
