//! Gemma 1, 2 and 3.
use super::config::{Act, Config};
use super::decoder::{Decoder, Norm, Order};
use super::rotary::Rope;

/// Names of the normalizations around both parts of a layer.
const AROUND: [&str; 4] = [
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
];

pub(super) fn gemma(c: &Config) -> Decoder {
    let bias = c.flag("attention_bias", false);
    let key = if c.has("hidden_activation") { "hidden_activation" } else { "hidden_act" };
    let d = Decoder::llama(c);
    Decoder {
        norm: Norm::Rms { eps: c.float_or("rms_norm_eps", 1e-6), plus_one: true },
        bias: [bias, bias, false, false],
        // Files of the first version say `hidden_act: gelu` and mean the formula with tanh.
        act: match c.act(key, "gelu_pytorch_tanh") {
            Act::Gelu if key == "hidden_act" => Act::GeluTanh,
            other => other,
        },
        embed_scale: libm::sqrt(d.hidden as f64),
        tied: c.flag("tie_word_embeddings", true),
        ..d
    }
}

pub(super) fn gemma2(c: &Config) -> Decoder {
    let d = gemma(c);
    let mut heads = d.heads;
    heads.scale = Some(libm::pow(c.float("query_pre_attn_scalar"), -0.5));
    heads.softcap = c.float_or("attn_logit_softcapping", 0.0);
    let logit_cap = c.float_or("final_logit_softcapping", 0.0);
    let d = Decoder { heads, order: Order::Around(AROUND), logit_cap, ..d };
    d.with_windows(c, |i| i.is_multiple_of(2))
}

pub(super) fn gemma3(c: &Config) -> Decoder {
    let every = c.size_or("sliding_window_pattern", 6);
    let d = gemma2(c).with_windows(c, |i| !(i + 1).is_multiple_of(every));
    let size = d.heads.size;
    let ropes = vec![Rope::of(c, size, Some("full_attention")), Rope::of(c, size, Some("sliding_attention"))];
    let types = c.texts("layer_types");
    let slides = |i: usize| match types.get(i) {
        Some(kind) => *kind == "sliding_attention",
        None => !(i + 1).is_multiple_of(every),
    };
    let rope_of = (0..d.count).map(|i| Some(usize::from(slides(i)))).collect();
    Decoder { qk_norm: Some((["q_norm", "k_norm"], true)), ropes, rope_of, ..d }
}
