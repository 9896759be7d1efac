//! Forms of the attention operators of ONNX Runtime that the IR has; others pass through.
#![expect(clippy::unnecessary_wraps, reason = "fixes have one signature")]
use super::bind::MICROSOFT;
use super::row::Fix::{If, OnRead};
use super::row::{Foreign, Row, row_of};
use hoist_ir::attr::Attr;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::op::OpError;

/// The rows.
pub const ROWS: &[Row] = &[
    row_of(MICROSOFT, "contrib_attention", "Attention").with(&[If(plain_attention), OnRead(attention_attrs)]),
    row_of(MICROSOFT, "q_attention", "QAttention").with(&[If(quantized_attention), OnRead(attention_attrs)]),
    row_of(MICROSOFT, "multi_head_attention", "MultiHeadAttention").with(&[If(plain_multi_head)]),
    row_of(MICROSOFT, "group_query_attention", "GroupQueryAttention")
        .with(&[If(float_cache), OnRead(cache_attrs)]),
    row_of(MICROSOFT, "contrib_rotary_embedding", "RotaryEmbedding")
        .with(&[If(whole_batches), OnRead(rotary_attrs)]),
    row_of(MICROSOFT, "linear_attention", "LinearAttention").with(&[If(one_state), OnRead(state_attrs)]),
    row_of(MICROSOFT, "causal_conv_with_state", "CausalConvWithState")
        .with(&[If(plain_causal), OnRead(causal_attrs)]),
];

fn rank(node: &Foreign, graph: &Graph, slot: usize) -> Option<usize> {
    graph.ty(node.value(slot)?).as_tensor()?.rank()
}

/// Sizes of the last axis of the mask of ONNX's `Attention`, and of the keys: given and past ones.
fn mask_and_keys(graph: &Graph, [k, mask, past]: [Option<ValueId>; 3]) -> Option<(Dim, Dim)> {
    let shape = |v: ValueId| graph.ty(v).as_tensor()?.shape.clone();
    let mask = shape(mask?)?.last()?.clone();
    let k = shape(k?)?;
    let keys = k.get(k.len().checked_sub(2)?)?.clone();
    let Some(past) = past else { return Some((mask, keys)) };
    Some((mask, keys.combine(shape(past)?.get(2)?, SymInt::add)))
}

/// `Attention` 23 lets one column of a mask stand for all keys, later ones for the first key alone: the IR has only the latter.
pub fn mask_is_full(node: &Foreign, graph: &Graph) -> bool {
    let sizes = mask_and_keys(graph, [node.value(1), node.value(3), node.value(4)]);
    node.opset > 23 || sizes.is_none_or(|(m, k)| m.known() != Some(1) || k.known() == Some(1))
}

/// `Attention` before 24 has no mask that is shorter than the keys.
pub fn short_mask_since_24(graph: &Graph, n: NodeId, opset: i64) -> Result<(), String> {
    let node = graph.node(n);
    match mask_and_keys(graph, [node.input(1), node.input(3), node.input(4)]) {
        Some((mask, keys)) if opset < 24 && mask.surely_differs(&keys) => {
            Err(format!("a mask of {mask} columns for {keys} keys (since opset 24)"))
        }
        _ => Ok(()),
    }
}

/// Whether none of these integer attributes is set.
fn unset(node: &Foreign, names: &[&str]) -> bool {
    let zero = |v: &Attr| matches!(v, Attr::Int(0));
    node.attrs.iter().all(|(n, v)| !names.contains(&&**n) || zero(v))
}

fn absent(node: &Foreign, from: usize) -> bool {
    (from..node.inputs.len()).all(|i| node.value(i).is_none())
}

fn take_all(node: &mut Foreign, names: &[&str]) {
    for name in names {
        node.take(name);
    }
}

const ATTENTION: &[&str] = &["do_rotary", "past_present_share_buffer", "rotary_embedding_dim"];

/// `Attention` without rotation and shared buffers, its mask of rank 3 at most.
fn plain_attention(node: &Foreign, graph: &Graph) -> bool {
    let mask = node.value(3).is_none() || matches!(rank(node, graph, 3), Some(1..=3));
    // The mask `[3 * B + 2]` is for packed batches.
    let packed = || {
        let mask = graph.ty(node.value(3)?).as_tensor()?.shape.as_ref()?;
        let batch = graph.ty(node.value(0)?).as_tensor()?.shape.as_ref()?.first()?.known()?;
        let [ref n] = mask[..] else { return None };
        n.known().map(|n| n != batch && Some(n) != batch.checked_mul(2))
    };
    mask && unset(node, &ATTENTION[..2]) && absent(node, 6) && !packed().unwrap_or(false)
}

/// `QAttention` without rotation and shared buffers, its mask of rank 3 at most.
fn quantized_attention(node: &Foreign, graph: &Graph) -> bool {
    let mask = node.value(5).is_none() || matches!(rank(node, graph, 5), Some(1..=3));
    mask && unset(node, &ATTENTION[..2])
}

/// Attributes without meaning in that form.
fn attention_attrs(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    take_all(node, ATTENTION);
    Ok(())
}

/// `MultiHeadAttention` with three operands of rank 3, or keys and values of rank 4, without shared buffers.
fn plain_multi_head(node: &Foreign, graph: &Graph) -> bool {
    let sizes = |slot: usize| graph.ty(node.value(slot)?).as_tensor()?.shape.clone();
    let (Some(q), Some(k), Some(v)) = (sizes(0), sizes(1), sizes(2)) else { return false };
    let apart = k.len() == 4 && v.len() == 4 && node.value(6).is_none();
    let ranks = q.len() == 3 && (k.len() == 3 && v.len() == 3 || apart);
    // Causality between different numbers of tokens is no form that can be relied on.
    let square = unset(node, &["unidirectional"]) || k.len() == 3 && k[1] == q[1];
    let mask = node.value(4).is_none() || matches!(rank(node, graph, 4), Some(1..=3));
    let packed = || {
        let mask = sizes(4)?;
        let [ref n] = mask[..] else { return None };
        Some(n.surely_differs(&q[0]))
    };
    ranks && square && mask && !packed().unwrap_or(false) && absent(node, 8)
}

/// `RotaryEmbedding` of whole batches.
fn whole_batches(node: &Foreign, graph: &Graph) -> bool {
    unset(node, &["is_packed_batching"]) && matches!(rank(node, graph, 0), Some(3 | 4))
}

/// The attribute without meaning in that form.
fn rotary_attrs(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    take_all(node, &["is_packed_batching"]);
    Ok(())
}

/// `LinearAttention` as ONNX has it: one state, and heads of queries a multiple of those of keys.
fn one_state(node: &Foreign, _: &Graph) -> bool {
    let int = |name: &str| {
        node.attrs
            .iter()
            .find_map(|(n, v)| if let (true, Attr::Int(v)) = (n == name, v) { Some(*v) } else { None })
    };
    let (Some(heads), Some(groups)) = (int("q_num_heads"), int("kv_num_heads")) else { return false };
    unset(node, &["state_window"]) && groups > 0 && heads % groups == 0 && heads > 0
}

/// The attribute without meaning in that form.
fn state_attrs(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    take_all(node, &["state_window"]);
    Ok(())
}
const CAUSAL: &[&str] = &[
    "dilation",
    "ndim",
    "state_update_capacity",
    "state_channels_last",
    "state_window",
    "state_length",
    "input_channel_offset",
    "channels_last",
    "input_channels",
];

/// `CausalConvWithState` as ONNX has it.
fn plain_causal(node: &Foreign, _: &Graph) -> bool {
    let default = |(n, v): &(String, Attr)| match (&**n, v) {
        ("dilation" | "ndim", Attr::Int(v)) => *v == 1,
        ("state_channels_last", Attr::Int(v)) => *v == -1,
        (name, Attr::Int(v)) => !CAUSAL.contains(&name) || *v == 0,
        _ => true,
    };
    node.attrs.iter().all(default) && node.outputs <= 2
}

/// Attributes without meaning in that form.
fn causal_attrs(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    take_all(node, CAUSAL);
    Ok(())
}

const CACHED: &[&str] = &["sliding_window_cache", "qk_output"];
const UNUSED: &[&str] = &[
    "sliding_window_cache",
    "qk_output",
    "qk_norm_epsilon",
    "q_norm_epsilon",
    "k_norm_epsilon",
    "kv_cache_bit_width",
    "k_quant_type",
    "v_quant_type",
];

/// `GroupQueryAttention` with a whole cache of floats, without normalization of queries and keys.
fn float_cache(node: &Foreign, graph: &Graph) -> bool {
    let float = |slot: usize| {
        let dtype = |v| graph.ty(v).as_tensor().map(|t| t.dtype);
        node.value(slot).is_none_or(|v| dtype(v) == node.value(0).and_then(dtype))
    };
    let plain = |(n, v): &(String, Attr)| match (&**n, v) {
        ("k_quant_type" | "v_quant_type", Attr::Str(word)) => word == "NONE",
        ("local_window_size", Attr::Int(n)) => *n == -1 || *n > 0,
        _ => true,
    };
    let chunk = rank(node, graph, 0) == Some(3);
    chunk
        && unset(node, CACHED)
        && node.attrs.iter().all(plain)
        && float(3)
        && absent(node, 12)
        && node.outputs <= 3
}

/// Attributes without meaning in that form.
fn cache_attrs(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    take_all(node, UNUSED);
    Ok(())
}
