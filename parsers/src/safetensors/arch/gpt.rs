//! GPT-2, GPT-NeoX, OPT, BLOOM and Falcon.
use super::attention::Heads;
use super::config::Config;
use super::decoder::{Decoder, Mlp, Norm, Order, Positions, Qkv};
use super::rotary::Rope;
use hoist_ir::diag::Diag;

/// The parts that all of them have.
fn plain(c: &Config, hidden: usize, count: usize, layers: usize, inner: usize) -> Decoder {
    Decoder {
        base: "transformer.",
        embed: "transformer.word_embeddings",
        embed_size: None,
        embed_norm: None,
        embed_scale: 1.0,
        layers: "transformer.h",
        final_norm: Some("transformer.ln_f"),
        count: layers,
        vocabulary: c.size("vocab_size"),
        hidden,
        inner,
        heads: Heads::new(count, c.head_size(hidden, count)),
        norm: Norm::Layer { eps: c.float_or("layer_norm_epsilon", 1e-5), bias: true },
        order: Order::Before("input_layernorm", "post_attention_layernorm"),
        qkv: Qkv::PerHead("query_key_value"),
        attention: "self_attention",
        output: "dense",
        mlp_at: "mlp",
        mlp: Mlp::Plain { first: "dense_h_to_4h", second: "dense_4h_to_h" },
        act: super::config::Act::Gelu,
        bias: [true, true, true, false],
        transposed: false,
        qk_norm: None,
        positions: Positions::Rope,
        ropes: vec![],
        rope_of: vec![None; layers],
        window_of: vec![None; layers],
        residual: 1.0,
        logit_cap: 0.0,
        logit_scale: 1.0,
        head: "lm_head",
        tied: c.flag("tie_word_embeddings", true),
    }
}

pub(super) fn gpt2(c: &Config) -> Decoder {
    c.refuse("scale_attn_by_inverse_layer_idx");
    c.refuse("add_cross_attention");
    let hidden = c.size("n_embd");
    let d = plain(c, hidden, c.size("n_head"), c.layers("n_layer"), c.size_or("n_inner", 4 * hidden));
    let mut heads = d.heads;
    if !c.flag("scale_attn_weights", true) {
        heads.scale = Some(1.0);
    }
    let rows = c.size_or("n_positions", 1024);
    Decoder {
        embed: "transformer.wte",
        heads,
        order: Order::Before("ln_1", "ln_2"),
        qkv: Qkv::Joined("c_attn"),
        attention: "attn",
        output: "c_proj",
        mlp: Mlp::Plain { first: "c_fc", second: "c_proj" },
        act: c.act("activation_function", "gelu_new"),
        transposed: true,
        positions: Positions::Learned { name: "transformer.wpe", rows, offset: 0, counts_real: false },
        ..d
    }
}

pub(super) fn gpt_neox(c: &Config) -> Decoder {
    let (hidden, count) = (c.size("hidden_size"), c.size("num_attention_heads"));
    let d = plain(c, hidden, count, c.layers("num_hidden_layers"), c.size("intermediate_size"));
    let bias = c.flag("attention_bias", true);
    let names = ("input_layernorm", "post_attention_layernorm");
    let parallel = c.flag("use_parallel_residual", true);
    Decoder {
        base: "gpt_neox.",
        embed: "gpt_neox.embed_in",
        layers: "gpt_neox.layers",
        final_norm: Some("gpt_neox.final_layer_norm"),
        norm: Norm::Layer { eps: c.float_or("layer_norm_eps", 1e-5), bias: true },
        order: if parallel { Order::ParallelTwo(names.0, names.1) } else { Order::Before(names.0, names.1) },
        attention: "attention",
        act: c.act("hidden_act", "gelu"),
        bias: [bias, bias, true, false],
        ropes: vec![Rope::of_part(c, d.heads.size, None, 0.25)],
        rope_of: vec![Some(0); d.count],
        head: "embed_out",
        tied: c.flag("tie_word_embeddings", false),
        ..d
    }
}

pub(super) fn opt(c: &Config) -> Decoder {
    let (hidden, count) = (c.size("hidden_size"), c.size("num_attention_heads"));
    let d = plain(c, hidden, count, c.layers("num_hidden_layers"), c.size("ffn_dim"));
    let names = ("self_attn_layer_norm", "final_layer_norm");
    let before = c.flag("do_layer_norm_before", true);
    let affine = c.flag("layer_norm_elementwise_affine", true);
    if !affine {
        c.problem(Diag::error(
            "E0301",
            "config.json: `layer_norm_elementwise_affine` is false, which is not read",
        ));
    }
    let bias = c.flag("enable_bias", true);
    let rows = c.size("max_position_embeddings");
    Decoder {
        base: "model.",
        embed: "model.decoder.embed_tokens",
        embed_size: c.opt_size("word_embed_proj_dim"),
        layers: "model.decoder.layers",
        final_norm: (before && !c.flag("_remove_final_layer_norm", false))
            .then_some("model.decoder.final_layer_norm"),
        norm: Norm::Layer { eps: 1e-5, bias: true },
        order: if before { Order::Before(names.0, names.1) } else { Order::BehindSums(names.0, names.1) },
        qkv: Qkv::Apart(["q_proj", "k_proj", "v_proj"]),
        attention: "self_attn",
        output: "out_proj",
        mlp_at: "",
        mlp: Mlp::Plain { first: "fc1", second: "fc2" },
        act: c.act("activation_function", "relu"),
        bias: [bias, bias, bias, false],
        positions: Positions::Learned {
            name: "model.decoder.embed_positions",
            rows,
            offset: 2,
            counts_real: true,
        },
        ..d
    }
}

pub(super) fn bloom(c: &Config) -> Decoder {
    c.refuse("apply_residual_connection_post_layernorm");
    let hidden =
        c.opt_size("hidden_size").or_else(|| c.opt_size("n_embed")).unwrap_or_else(|| c.size("hidden_size"));
    let count = c
        .opt_size("n_head")
        .or_else(|| c.opt_size("num_attention_heads"))
        .unwrap_or_else(|| c.size("n_head"));
    let layers = if c.has("n_layer") { c.layers("n_layer") } else { c.layers("num_hidden_layers") };
    let d = plain(c, hidden, count, layers, 4 * hidden);
    Decoder {
        embed_norm: Some("transformer.word_embeddings_layernorm"),
        act: super::config::Act::GeluTanh,
        positions: Positions::Alibi,
        ..d
    }
}

pub(super) fn falcon(c: &Config) -> Decoder {
    let (hidden, count) = (c.size("hidden_size"), c.size("num_attention_heads"));
    let layers = c.layers("num_hidden_layers");
    let d = plain(c, hidden, count, layers, c.size_or("ffn_hidden_size", 4 * hidden));
    let bias = c.flag("bias", false);
    let new = c.flag("new_decoder_architecture", false);
    let one = c.flag("multi_query", true) && !new;
    let groups = if new {
        c.size_or("num_kv_heads", count)
    } else if one {
        1
    } else {
        count
    };
    let alibi = c.flag("alibi", false);
    if alibi {
        c.problem(Diag::error("E0301", "config.json: Falcon with `alibi` is not read"));
    }
    let norms = c.size_or("num_ln_in_parallel_attn", if new { 2 } else { 1 });
    let order = match (c.flag("parallel_attn", true), new && norms == 2) {
        (_, true) => Order::ParallelTwo("ln_attn", "ln_mlp"),
        (true, false) => Order::Parallel("input_layernorm"),
        (false, false) => Order::Before("input_layernorm", "post_attention_layernorm"),
    };
    Decoder {
        heads: Heads { groups, ..d.heads },
        qkv: match (new, one) {
            (true, _) => Qkv::PerGroup("query_key_value"),
            (false, true) => Qkv::Joined("query_key_value"),
            (false, false) => Qkv::PerHead("query_key_value"),
        },
        order,
        act: c.act("activation", "gelu"),
        bias: [bias, bias, bias, false],
        ropes: vec![Rope::of(c, d.heads.size, None)],
        rope_of: vec![Some(0); layers],
        ..d
    }
}
