//! `group_query_attention`
use super::attention::{I32_ONLY, times};
use super::cache::Tokens;
use super::heads::{check_bias, plus, shape_of, split, wide};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dim::{Dim, SymInt};
use crate::dtype::I64_ONLY;
use crate::expand;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::attention::bias::{Offset, Sight, bias};
use crate::ops::attention::causal_conv_with_state::agreed;
use crate::ops::attention::rotary_embedding::{SINGLE, check_table, turn};
use crate::ops::attention::steps::{Built, Part, Steps};
use crate::ops::index::gather::Gather;
use crate::ops::movement::expand::Expand;
use crate::ops::reduce::softmax::Softmax;
use crate::types::{Shape, TensorType, Type};

crate::op! {
    /// ONNX Runtime's `GroupQueryAttention` with a cache of floats: `softmax(q k^T * scale) v` per head, where each of `kv_num_heads` heads
    /// of keys and values serves `num_heads / kv_num_heads` of queries. `query` `[B, S, N * H]`, `key` and `value` `[B, S, G * H]`, or all
    /// three one after the other in `query`. `seqlens_k` `[B]` are the tokens of each batch with the new ones, less 1, and
    /// `total_sequence_length` is their maximum. New keys and values come behind those of the past buffers `[B, G, P, H]` that are in use;
    /// places without a token are 0. Rows of a prompt beyond the tokens of its batch have no defined result.
    group_query_attention GroupQueryAttention(
        query: One<T>, key: Opt<T>, value: Opt<T>, past_key: Opt<T>, past_value: Opt<T>, seqlens_k: One<M>, total_sequence_length: One<M>,
        cos_cache: Opt<T>, sin_cache: Opt<T>, position_ids: Opt<I>, attention_bias: Opt<T>, head_sink: Opt<T>
    ) -> (output: One<T>, present_key: Opt<T>, present_value: Opt<T>) {
        /// Whether a query sees no key after it.
        causal: bool = true,
        /// Whether queries and keys are turned by their positions.
        do_rotary: bool = false,
        /// Heads of keys and values.
        kv_num_heads: i64 = 0,
        /// How many keys a query sees, its own being the last; -1 is all.
        local_window_size: i64 = -1,
        /// Heads of queries.
        num_heads: i64 = 0,
        /// Whether a pair that is turned is two neighbours instead of the same place in both halves.
        rotary_interleaved: bool = false,
        /// Factor of the products; 0 is `1 / sqrt(H)`.
        scale: f32 = 0.0,
        /// Whether 1 is added to the sum of exponentials: 1 does. Numbers in `head_sink` are used without it.
        smooth_softmax: i64 = -1,
        /// Products become `softcap * tanh(product / softcap)`, when above 0.
        softcap: f32 = 0.0,
    } where T: SINGLE, M: I32_ONLY, I: I64_ONLY;
    infer = infer, eval = expand::eval, expand = expand;
}

impl GroupQueryAttention {
    fn check(&self, cx: &InferCx<'_>) -> Result<(), OpError> {
        let (n, g) = (self.num_heads, self.kv_num_heads);
        if n <= 0 || g <= 0 || n % g != 0 || n > 1 << 31 {
            return Err(OpError::attr(format!("{n} heads of queries are no multiple of {g} of keys")));
        }
        for (a, b, what) in
            [(1, 2, "`key` and `value`"), (3, 4, "`past_key` and `past_value`"), (7, 8, "tables")]
        {
            if cx.has(a) != cx.has(b) {
                return Err(OpError::operand(format!("{what} come together")));
            }
        }
        if self.do_rotary && !cx.has(7) {
            return Err(OpError::operand("`do_rotary` needs tables of cosines and sines"));
        }
        if self.local_window_size == 0
            || self.local_window_size < -1
            || !self.causal && self.local_window_size > 0
        {
            return Err(OpError::attr("`local_window_size` is -1, or at least 1 with `causal`"));
        }
        Ok(())
    }
    /// Heads in the rows of `query`.
    fn rows(&self, packed: bool) -> i64 {
        if packed { self.num_heads + 2 * self.kv_num_heads } else { self.num_heads }
    }
    fn sinks(&self, has: bool) -> bool {
        has || self.smooth_softmax == 1
    }
}

/// Places of the new buffer: those of the past one, or as many as the most tokens.
fn places(cx: &InferCx<'_>, past: &Dim, fresh: &Dim) -> Result<Dim, OpError> {
    let most = cx.sym_ints(6).and_then(|v| v.into_iter().next()).flatten().map(|v| Dim::from_sym(Some(v)));
    let most = most.unwrap_or(Dim::Unknown);
    let room = plus(past, fresh);
    if let (Some(m), Some(r)) = (most.known(), room.known())
        && m > r
    {
        return Err(OpError::shape(format!("{m} tokens, where the past buffer and the new ones are {r}")));
    }
    Ok(past.combine(&most, SymInt::larger))
}

fn infer(op: &GroupQueryAttention, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    op.check(cx)?;
    let dtype = cx.dtype(0)?;
    let open = vec![Dim::Unknown; 4];
    let q = shape_of(cx, 0, &[3])?.unwrap_or(&open);
    let (n, g) = (op.num_heads, op.kv_num_heads);
    let mut head = split(&q[2], op.rows(!cx.has(1)), "queries")?;
    let mut batch = q[0].clone();
    for i in [1, 2] {
        if let Some(k) = shape_of(cx, i, &[3])? {
            batch = agreed(&batch, &k[0], "batch")?;
            agreed(&q[1], &k[1], "number of queries and keys")?;
            head = agreed(&head, &split(&k[2], g, "keys and values")?, "features of queries and keys")?;
        }
    }
    let groups = Dim::Known(g.unsigned_abs());
    let mut total = q[1].clone();
    if cx.has(3) {
        let mut slots = Dim::Unknown;
        for i in [3, 4] {
            let past = shape_of(cx, i, &[4])?.unwrap_or(&open);
            batch = agreed(&batch, &past[0], "batch")?;
            agreed(&past[1], &groups, "heads of the past")?;
            slots = agreed(&slots, &past[2], "past keys and values")?;
            head = agreed(&head, &past[3], "features of the past")?;
        }
        total = places(cx, &slots, &q[1])?;
    } else if let (Some(m), Some(s)) = (cx.const_int(6), q[1].known())
        && u64::try_from(m) != Ok(s)
    {
        return Err(OpError::shape(format!("{m} tokens in all, where {s} are new and there is no past")));
    }
    let half = |i: usize| shape_of(cx, i, &[2]);
    if let Some(table) = half(7)? {
        check_table(half(8)?, 2, table[1].known().and_then(|h| i64::try_from(h).ok()?.checked_mul(2)))?;
        if let (Some(h), Some(r)) = (head.known(), table[1].known())
            && r > h / 2
        {
            return Err(OpError::shape(format!("tables of {r} columns for {h} features")));
        }
    }
    if cx.has(9) && cx.shape(9)?.is_some_and(|s| s.len() != 2) {
        return Err(OpError::shape("`position_ids` has rank 2"));
    }
    let heads = Dim::Known(n.unsigned_abs());
    check_bias(cx, 10, [&batch, &heads, &q[1], &Dim::Unknown])?;
    if let Some(sink) = shape_of(cx, 11, &[1])? {
        agreed(&sink[0], &heads, "sinks")?;
    }
    let ty = |s: Shape| Type::from(TensorType::new(dtype, s));
    let present = ty(vec![batch.clone(), groups, total, head.clone()]);
    Ok(vec![ty(vec![batch, q[1].clone(), times(&head, n)]), present.clone(), present])
}

/// `x` turned by the angles of these positions.
fn turned(
    s: &mut Steps<'_, '_>,
    x: ValueId,
    ids: ValueId,
    [cos, sin]: [ValueId; 2],
    interleaved: bool,
) -> Result<Option<ValueId>, Diag> {
    let (Some(half), Some(head)) = (s.known(cos, 1), s.known(x, 3)) else { return Ok(None) };
    let Some(rotary) = half.checked_mul(2).filter(|r| *r <= head) else { return Ok(None) };
    let rows = |s: &mut Steps<'_, '_>, t: ValueId| {
        let rows = s.op(Gather { axis: 0 }, &[t, ids])?;
        s.unsqueeze(rows, &[1])
    };
    let tables = (rows(s, cos)?, rows(s, sin)?);
    turn(s, x, tables, (rotary, head), interleaved).map(Some)
}

fn expand(
    op: &GroupQueryAttention,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    outputs: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let operand = |i: usize| inputs.get(i).copied().flatten();
    let (Some(query), Some(less_one), Some(most)) = (operand(0), operand(5), operand(6)) else {
        return Ok(None);
    };
    let mut s = Steps { b };
    let packed = operand(1).is_none();
    let Some(head) = s.known(query, 2).and_then(|d| d.checked_div(op.rows(packed))) else { return Ok(None) };
    let (n, g) = (op.num_heads, op.kv_num_heads);
    let mut part = |from: i64, heads: i64| {
        let x = s.slice(query, 2, (from * head, (from + heads) * head, 1))?;
        s.heads(x, heads)
    };
    let [mut q, mut k, v] = match (operand(1), operand(2)) {
        (Some(k), Some(v)) => [s.heads(query, n)?, s.heads(k, g)?, s.heads(v, g)?],
        _ => [part(0, n)?, part(n, g)?, part(n + g, g)?],
    };
    let fresh = s.size(query, 1);
    let slots = operand(3).map(|p| s.size(p, 2));
    let tokens = Tokens::new(&mut s, (less_one, most), fresh, slots)?;
    if let (true, Some(cos), Some(sin)) = (op.do_rotary, operand(7), operand(8)) {
        let ids = match operand(9) {
            Some(ids) => tokens.given_positions(&mut s, ids)?,
            None => tokens.positions(&mut s)?,
        };
        let mut turn = |x: ValueId| turned(&mut s, x, ids, [cos, sin], op.rotary_interleaved);
        let (Some(tq), Some(tk)) = (turn(q)?, turn(k)?) else { return Ok(None) };
        (q, k) = (tq, tk);
    }
    let key = tokens.append(&mut s, operand(3), k)?;
    let value = tokens.append(&mut s, operand(4), v)?;
    let core = Core { op, head, tokens: &tokens, added: operand(10), sink: operand(11) };
    let y = core.attend(&mut s, [q, key, value])?;
    let all = [y, key, value];
    Ok(Some(all[..outputs.clamp(1, 3)].to_vec()))
}

/// What the heart of the operator needs beside queries, keys and values.
struct Core<'a> {
    op: &'a GroupQueryAttention,
    head: i64,
    tokens: &'a Tokens,
    added: Option<ValueId>,
    sink: Option<ValueId>,
}

impl Core<'_> {
    fn attend(&self, s: &mut Steps<'_, '_>, [q, k, v]: [ValueId; 3]) -> Built {
        let (n, g) = (self.op.num_heads, self.op.kv_num_heads);
        let dtype = s.dtype(q);
        let to = wide(dtype);
        let (q, k, v) = (s.cast(q, to)?, s.cast(k, to)?, s.cast(v, to)?);
        let default = 1.0 / (self.head as f64).sqrt();
        let q = s.scaled(q, if self.op.scale == 0.0 { default } else { f64::from(self.op.scale) })?;
        let scores = s.scores(q, k, n, g)?;
        let scores = s.capped(scores, self.op.softcap)?;
        let sight = Sight {
            queries: self.tokens.fresh,
            keys: s.size(k, 2),
            offset: Offset::Each(self.tokens.past),
            valid: (!self.op.causal).then_some(self.tokens.total),
            causal: self.op.causal,
            left: if self.op.local_window_size > 0 { self.op.local_window_size - 1 } else { -1 },
            right: -1,
        };
        let allowed = sight.allowed(s)?;
        let added = self.added.map(|a| s.cast(a, to)).transpose()?;
        let scores = match bias(s, added, allowed, sight.keys, to)? {
            Some(bias) => s.plus(scores, bias)?,
            None => scores,
        };
        let likely = self.softmax(s, scores)?;
        let y = s.grouped(likely, v, n, g)?;
        let y = s.merge(y)?;
        s.cast(y, dtype)
    }
    /// The softmax, with a further number in each row that takes part in the sum when there are sinks.
    fn softmax(&self, s: &mut Steps<'_, '_>, scores: ValueId) -> Built {
        if !self.op.sinks(self.sink.is_some()) {
            return s.op(Softmax { axis: -1 }, &[scores]);
        }
        let dtype = s.dtype(scores);
        let sink = match self.sink {
            Some(sink) => s.cast(sink, dtype)?,
            None => s.b.scalar_like(0.0, scores)?,
        };
        let sink = if self.sink.is_some() {
            s.reshape(sink, &[Part::Of(1), Part::Of(self.op.num_heads), Part::Of(1), Part::Of(1)])?
        } else {
            sink
        };
        let mut sizes = vec![];
        for axis in 0..3 {
            let size = s.size(scores, axis);
            sizes.push(s.size_list(size)?);
        }
        sizes.push(s.b.ints(&[1]));
        let shape = s.concat(&sizes, 0)?;
        let column = s.op(Expand {}, &[sink, shape])?;
        let all = s.concat(&[scores, column], 3)?;
        let likely = s.op(Softmax { axis: -1 }, &[all])?;
        s.slice(likely, 3, (0, -1, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::{EvalCx, Limits, Value, eval_op};
    use crate::ops::Op;
    use crate::ops::contrib::attention::ContribAttention;
    use crate::tensor::Tensor;

    fn run(op: impl Into<Op>, inputs: Vec<Option<Tensor>>) -> Result<Vec<Value>, OpError> {
        let inputs = inputs.into_iter().map(|t| t.map(Value::Tensor)).collect();
        let body = |_: &crate::graph::Graph, _: Vec<Value>| Err(OpError::eval("no body"));
        let cx = EvalCx { inputs, outputs: 1, bodies: &[], captures: 0, run: &body };
        eval_op(&op.into(), cx, Limits::default())
    }

    fn floats(shape: &[usize]) -> Tensor {
        Tensor::from_vec(shape, vec![0.5f32; shape.iter().product()])
    }

    /// A decoding step with a past buffer of three places.
    fn step(tokens: i32, most: i32) -> Result<Vec<Value>, OpError> {
        let op = GroupQueryAttention { num_heads: 1, kv_num_heads: 1, ..GroupQueryAttention::default() };
        let fresh = || Some(floats(&[1, 1, 8]));
        let past = || Some(floats(&[1, 1, 3, 8]));
        let counts = Some(Tensor::from_vec(&[1], vec![tokens]));
        run(op, vec![fresh(), fresh(), fresh(), past(), past(), counts, Some(Tensor::scalar(most))])
    }

    #[test]
    fn counts_of_tokens_beyond_the_buffers_are_refused() {
        assert!(step(2, 3).is_ok() && step(3, 4).is_ok());
        for (tokens, most) in [(4, 4), (-1, 3), (i32::MIN, 3), (i32::MAX, 3), (2, 5), (i32::MAX, i32::MAX)] {
            assert!(step(tokens, most).is_err(), "{tokens} of {most}");
        }
    }

    #[test]
    fn sizes_that_are_none_are_refused() {
        for sizes in [[i64::MAX, i64::MAX, 1], [-2, -2, 1], [0, 0, 6], [2, 1, 3], [2, 2, 3]] {
            let op = ContribAttention {
                num_heads: 1,
                qkv_hidden_sizes: sizes.to_vec(),
                ..ContribAttention::default()
            };
            assert!(run(op, vec![Some(floats(&[1, 1, 2])), Some(floats(&[2, 6]))]).is_err(), "{sizes:?}");
        }
    }
}
