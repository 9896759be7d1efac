//! Llama and the families that differ from it in a few parts: Mistral, Mixtral, Qwen 2 and 3 (with experts), Granite, `OLMo` 2, `SmolLM` 3, `StableLM`, `StarCoder` 2.
use super::config::Config;
use super::decoder::{Decoder, Experts, Mlp, Norm, Order};
use super::rotary::Rope;

pub(super) fn llama(c: &Config) -> Decoder {
    let bias = c.flag("attention_bias", false);
    Decoder { bias: [bias, bias, c.flag("mlp_bias", false), false], ..Decoder::llama(c) }
}

pub(super) fn mistral(c: &Config) -> Decoder {
    Decoder::llama(c).with_windows(c, |_| true)
}

pub(super) fn mixtral(c: &Config) -> Decoder {
    let experts = Experts {
        router: "gate",
        prefix: "experts",
        names: ["w1", "w3", "w2"],
        count: c.size("num_local_experts"),
        taken: c.size("num_experts_per_tok"),
        width: c.size("intermediate_size"),
        normalized: true,
        step: 1,
        without: vec![],
    };
    Decoder { mlp_at: "block_sparse_moe", mlp: Mlp::Experts(experts), ..mistral(c) }
}

pub(super) fn qwen2(c: &Config) -> Decoder {
    let d = Decoder { bias: [true, false, false, false], ..Decoder::llama(c) };
    let slides = c.flag("use_sliding_window", false);
    let first = c.count_or("max_window_layers", 28);
    if slides { d.with_windows(c, |i| i >= first) } else { d }
}

pub(super) fn qwen3(c: &Config) -> Decoder {
    let bias = c.flag("attention_bias", false);
    Decoder { bias: [bias, bias, false, false], qk_norm: Some((["q_norm", "k_norm"], true)), ..qwen2(c) }
}

pub(super) fn qwen3_moe(c: &Config) -> Decoder {
    let experts = Experts {
        router: "gate",
        prefix: "experts",
        names: ["gate_proj", "up_proj", "down_proj"],
        count: c
            .opt_size("num_experts")
            .or_else(|| c.opt_size("num_local_experts"))
            .unwrap_or_else(|| c.size("num_experts")),
        taken: c.size("num_experts_per_tok"),
        width: c.size("moe_intermediate_size"),
        normalized: c.flag("norm_topk_prob", false),
        step: c.size_or("decoder_sparse_step", 1),
        without: c.opt_sizes("mlp_only_layers").unwrap_or_default(),
    };
    Decoder { mlp: Mlp::Experts(experts), ..qwen3(c) }
}

pub(super) fn granite(c: &Config) -> Decoder {
    let d = llama(c);
    let mut heads = d.heads;
    heads.scale = Some(c.float("attention_multiplier"));
    Decoder {
        heads,
        embed_scale: c.float("embedding_multiplier"),
        residual: c.float("residual_multiplier"),
        logit_scale: 1.0 / c.float("logits_scaling"),
        ..d
    }
}

pub(super) fn olmo2(c: &Config) -> Decoder {
    Decoder {
        order: Order::Behind("post_attention_layernorm", "post_feedforward_layernorm"),
        qk_norm: Some((["q_norm", "k_norm"], false)),
        ..llama(c)
    }
}

pub(super) fn smollm3(c: &Config) -> Decoder {
    let d = llama(c);
    let every = c.size_or("no_rope_layer_interval", 4);
    let listed = c.opt_sizes("no_rope_layers");
    let turns = |i: usize| match &listed {
        Some(all) => all.get(i) == Some(&1),
        None => !(i + 1).is_multiple_of(every),
    };
    let rope_of = (0..d.count).map(|i| turns(i).then_some(0)).collect();
    let d = Decoder { rope_of, tied: c.flag("tie_word_embeddings", true), ..d };
    if c.flag("use_sliding_window", false) { d.with_windows(c, |_| false) } else { d }
}

pub(super) fn stablelm(c: &Config) -> Decoder {
    c.refuse("qk_layernorm");
    let d = Decoder::llama(c);
    let rope = Rope::of_part(c, d.heads.size, None, 0.25);
    let order =
        if c.flag("use_parallel_residual", false) { Order::Parallel("input_layernorm") } else { d.order };
    Decoder {
        norm: Norm::Layer { eps: c.float_or("layer_norm_eps", 1e-5), bias: true },
        order,
        bias: [c.flag("use_qkv_bias", false), false, false, false],
        ropes: vec![rope],
        ..d
    }
}

pub(super) fn starcoder2(c: &Config) -> Decoder {
    let bias = c.flag("use_bias", true);
    let d = Decoder {
        norm: Norm::Layer { eps: c.float_or("norm_epsilon", 1e-5), bias: true },
        bias: [bias, bias, bias, false],
        mlp: Mlp::Plain { first: "c_fc", second: "c_proj" },
        act: c.act("hidden_act", "gelu_pytorch_tanh"),
        tied: c.flag("tie_word_embeddings", true),
        ..Decoder::llama(c)
    };
    d.with_windows(c, |_| true)
}
