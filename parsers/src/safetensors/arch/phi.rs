//! Phi 1.5, 2 and 3.
use super::config::Config;
use super::decoder::{Decoder, Mlp, Norm, Order, Qkv};
use super::rotary::Rope;

pub(super) fn phi(c: &Config) -> Decoder {
    c.refuse("qk_layernorm");
    let d = Decoder::llama(c);
    Decoder {
        ropes: vec![Rope::of_part(c, d.heads.size, None, 0.5)],
        final_norm: Some("model.final_layernorm"),
        norm: Norm::Layer { eps: c.float_or("layer_norm_eps", 1e-5), bias: true },
        order: Order::Parallel("input_layernorm"),
        output: "dense",
        mlp: Mlp::Plain { first: "fc1", second: "fc2" },
        act: c.act("hidden_act", "gelu_new"),
        bias: [true; 4],
        ..d
    }
}

pub(super) fn phi3(c: &Config) -> Decoder {
    let d = Decoder {
        qkv: Qkv::Joined("qkv_proj"),
        mlp: Mlp::GatedJoined { both: "gate_up_proj", down: "down_proj" },
        norm: Norm::Rms { eps: c.float_or("rms_norm_eps", 1e-5), plus_one: false },
        ..Decoder::llama(c)
    };
    d.with_windows(c, |_| true)
}
