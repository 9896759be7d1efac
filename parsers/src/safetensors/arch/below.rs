//! Decoders over the states of an encoder: in one graph with it, or in graphs of their own.
use super::attention::Heads;
use super::blocks::{Net, R, V};
use super::ops::Axis;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;

/// Which part of an encoder with a decoder is built.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Part {
    /// Both.
    #[default]
    Whole,
    /// The encoder, with the keys and values that the decoder makes of its states.
    Encoder,
    /// The decoder, with these as inputs.
    Decoder,
}

/// What is asked of a model.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wants {
    /// Keys and values of what came before, and of all, as inputs and outputs.
    pub past: bool,
    /// Which part of an encoder with a decoder.
    pub part: Part,
}

/// Layers of a decoder.
pub(super) struct Shape<'a> {
    pub layers: usize,
    pub heads: &'a Heads,
    /// Names of queries, keys, values and what comes out, and whether they have biases.
    pub parts: [&'static str; 4],
    pub bias: [bool; 4],
}

/// What a decoder is fed with.
pub(super) struct Below<'a> {
    shape: &'a Shape<'a>,
    /// Numbers of the tokens.
    pub ids: V,
    /// Positions of the tokens, `[sequence]`.
    pub queries: V,
    /// Positions of all that are seen.
    pub keys: V,
    past: Vec<(V, V)>,
    memory: Vec<(V, V)>,
    over: Option<V>,
}

const BATCH: Axis = Axis::Name("batch_size");
const ABOVE: Axis = Axis::Name("encoder_sequence_length");
const BEFORE: Axis = Axis::Name("past_decoder_sequence_length");

impl<'a> Below<'a> {
    /// The decoder's inputs over the encoder's states `above`, of which `mask` says which count. Cross-attention of layer `i` is called `name(i)`. None where only
    /// the encoder is built.
    pub fn new(
        net: &mut Net<'_>,
        shape: &'a Shape<'a>,
        above: Option<(V, Option<V>)>,
        name: impl Fn(usize) -> String,
    ) -> R<Option<Self>> {
        let Shape { layers, heads, parts, bias } = *shape;
        let wants = net.wants;
        let part = wants.part;
        net.built = wants;
        if wants.past && part != Part::Decoder {
            let d =
                Diag::error("E0603", "--with-past: the past of an encoder with a decoder is the decoder's");
            return Err(d.hint("--part decoder --with-past, and --part encoder, make two models"));
        }
        let mut memory = vec![];
        if let Some((states, _)) = above {
            for i in 0..layers {
                let mut pair = |n: usize| {
                    let sizes = (net.width(states), heads.count * heads.size);
                    let y = net.dense(&format!("{}.{}", name(i), parts[n]), states, sizes, bias[n])?;
                    net.apart(y, heads.count, heads.size)
                };
                memory.push((pair(1)?, pair(2)?));
            }
        }
        if let (Part::Encoder, Some((states, _))) = (part, above) {
            net.output("last_hidden_state", states);
            for (i, (k, v)) in memory.iter().enumerate() {
                net.output(&format!("present.{i}.encoder.key"), *k);
                net.output(&format!("present.{i}.encoder.value"), *v);
            }
            return Ok(None);
        }
        let tokens = [BATCH, Axis::Name("decoder_sequence_length")];
        let own = part == Part::Decoder;
        let ids =
            net.input_of(if own { "input_ids" } else { "decoder_input_ids" }, Some(DType::I64), &tokens);
        let mut mask = above.and_then(|(_, mask)| mask);
        let mut past = vec![];
        if own {
            mask = net.optional_input("encoder_attention_mask", false, Some(DType::I64), &[BATCH, ABOVE]);
            let mut pair = |i: usize, side: &str, length: Axis| {
                let axes = [BATCH, Axis::Size(heads.count), length, Axis::Size(heads.size)];
                let mut one =
                    |what: &str| net.input_of(&format!("past_key_values.{i}.{side}.{what}"), None, &axes);
                (one("key"), one("value"))
            };
            memory = (0..layers).map(|i| pair(i, "encoder", ABOVE)).collect();
            if wants.past {
                past = (0..layers).map(|i| pair(i, "decoder", BEFORE)).collect();
            }
        }
        net.at("positions");
        let count = net.size_of(ids, 1)?;
        let (queries, keys) = if let Some((key, _)) = past.first() {
            let before = net.size_of(*key, 2)?;
            let end = net.of("add", &[before, count])?;
            (net.range(Some(before), end)?, net.range(None, end)?)
        } else {
            let all = net.range(None, count)?;
            (all, all)
        };
        let over = mask.map(|m| net.memory_mask(m, ids)).transpose()?;
        Ok(Some(Self { shape, ids, queries, keys, past, memory, over }))
    }
    /// Attention of layer `i` on the tokens before, called `at`.
    pub fn attended(&self, net: &mut Net<'_>, i: usize, at: &str, x: V, mask: V) -> R<V> {
        let Shape { heads, parts, bias, .. } = *self.shape;
        let width = net.width(x);
        let mut part = |n: usize| {
            let y =
                net.dense(&format!("{at}.{}", parts[n]), x, (width, heads.count * heads.size), bias[n])?;
            net.apart(y, heads.count, heads.size)
        };
        let (q, mut k, mut v) = (part(0)?, part(1)?, part(2)?);
        net.at(at);
        if let Some((old_k, old_v)) = self.past.get(i).copied() {
            k = net.concat(&[old_k, k], 2)?;
            v = net.concat(&[old_v, v], 2)?;
            net.output(&format!("present.{i}.decoder.key"), k);
            net.output(&format!("present.{i}.decoder.value"), v);
        }
        let y = net.attend((q, k, v), heads, Some(mask))?;
        net.dense(&format!("{at}.{}", parts[3]), y, (heads.count * heads.size, width), bias[3])
    }
    /// Attention of layer `i` on the encoder's states, called `at`.
    pub fn crossed(&self, net: &mut Net<'_>, i: usize, at: &str, x: V) -> R<V> {
        let Shape { heads, parts, bias, .. } = *self.shape;
        let width = net.width(x);
        let q = net.dense(&format!("{at}.{}", parts[0]), x, (width, heads.count * heads.size), bias[0])?;
        let q = net.apart(q, heads.count, heads.size)?;
        net.at(at);
        let (k, v) = *self.memory.get(i).ok_or_else(|| Diag::error("E0901", "a layer without keys"))?;
        let y = net.attend((q, k, v), heads, self.over)?;
        net.dense(&format!("{at}.{}", parts[3]), y, (heads.count * heads.size, width), bias[3])
    }
    /// Positions of the tokens, `[1, sequence]`.
    pub fn places(&self, net: &mut Net<'_>) -> R<V> {
        net.unsqueeze(self.queries, &[0])
    }
}
