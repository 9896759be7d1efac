//! Encoders of sound: wav2vec 2.0 and `HuBERT`.
use super::attention::Heads;
use super::blocks::{Net, R, V};
use super::config::Config;
use super::folder::Head;
use super::ops::Axis;
use super::vit::Window;
use hoist_ir::attr::Attr;
use hoist_ir::diag::{Diag, Diags};

const PARTS: [&str; 4] = ["attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.out_proj"];

fn encoder(c: &Config, net: &mut Net<'_>, head: Head, base: &'static str) -> Result<(), Diags> {
    let (dims, kernels, strides) = (c.sizes("conv_dim"), c.sizes("conv_kernel"), c.sizes("conv_stride"));
    if dims.len() != kernels.len() || dims.len() != strides.len() || dims.is_empty() {
        let m = "config.json: `conv_dim`, `conv_kernel` and `conv_stride` are not lists of one length";
        c.problem(Diag::error("E0206", m));
    }
    let (hidden, count) = (c.size("hidden_size"), c.size("num_attention_heads"));
    let heads = Heads::new(count, c.head_size(hidden, count));
    let inner = c.size("intermediate_size");
    let (act, front) = (c.act("hidden_act", "gelu"), c.act("feat_extract_activation", "gelu"));
    let eps = c.float_or("layer_norm_eps", 1e-5);
    let by_layer = c.expect("feat_extract_norm", &["group", "layer"], "group") == "layer";
    let bias = c.flag("conv_bias", false);
    let stable = c.flag("do_stable_layer_norm", false);
    let project_norm = c.flag("feat_proj_layer_norm", true);
    let (reach, groups) = (c.size("num_conv_pos_embeddings"), c.size("num_conv_pos_embedding_groups"));
    let layers = c.layers("num_hidden_layers");
    let vocabulary = c.size_or("vocab_size", 32);
    c.refuse("add_adapter");
    c.refuse("conv_pos_batch_norm");
    if !hidden.is_multiple_of(groups) {
        c.problem(Diag::error(
            "E0206",
            "config.json: the groups of `num_conv_pos_embedding_groups` do not share `hidden_size` evenly",
        ));
    }
    c.check()?;
    net.base = base;
    let name = |part: &str| format!("{base}{part}");
    let wave = net.input_of("input_values", None, &[Axis::Name("batch_size"), Axis::Name("sequence_length")]);
    let mut x = net.unsqueeze(wave, &[1])?;
    let mut before = 1;
    for (i, size) in dims.iter().copied().enumerate() {
        let at = name(&format!("feature_extractor.conv_layers.{i}"));
        x = net.conv_nd(
            &format!("{at}.conv"),
            x,
            (before, size),
            &Window::line(kernels[i], strides[i], 0),
            bias,
        )?;
        if by_layer {
            x = net.transpose(x, &[0, 2, 1])?;
            x = net.layer_norm(&format!("{at}.layer_norm"), x, size, 1e-5)?;
            x = net.transpose(x, &[0, 2, 1])?;
        } else if i == 0 {
            x = each_channel(net, &format!("{at}.layer_norm"), x, size)?;
        }
        x = net.act(front, x)?;
        before = size;
    }
    let mut x = net.transpose(x, &[0, 2, 1])?;
    if project_norm {
        x = net.layer_norm(&name("feature_projection.layer_norm"), x, before, eps)?;
    }
    let x = net.dense(&name("feature_projection.projection"), x, (before, hidden), true)?;
    let y = positions(net, &name("encoder.pos_conv_embed.conv"), x, (hidden, reach, groups))?;
    let y = net.act(front, y)?;
    let y = net.transpose(y, &[0, 2, 1])?;
    let mut x = net.of("add", &[x, y])?;
    let closing = name("encoder.layer_norm");
    if !stable {
        x = net.layer_norm(&closing, x, hidden, eps)?;
    }
    for i in 0..layers {
        let at = name(&format!("encoder.layers.{i}"));
        let (first, second) = (format!("{at}.layer_norm"), format!("{at}.final_layer_norm"));
        let names =
            (format!("{at}.feed_forward.intermediate_dense"), format!("{at}.feed_forward.output_dense"));
        let y = if stable { net.layer_norm(&first, x, hidden, eps)? } else { x };
        let y = net.self_attention(&at, y, PARTS, &heads, true, None)?;
        x = net.of("add", &[x, y])?;
        let y = if stable {
            net.layer_norm(&second, x, hidden, eps)?
        } else {
            x = net.layer_norm(&first, x, hidden, eps)?;
            x
        };
        let y = net.mlp((&names.0, &names.1), y, (hidden, inner), act, true)?;
        x = net.of("add", &[x, y])?;
        if !stable {
            x = net.layer_norm(&second, x, hidden, eps)?;
        }
    }
    if stable {
        x = net.layer_norm(&closing, x, hidden, eps)?;
    }
    match head {
        Head::None => net.output("last_hidden_state", x),
        Head::Ctc => {
            let y = net.dense("lm_head", x, (hidden, vocabulary), true)?;
            net.output("logits", y);
        }
        other => {
            return Err(
                Diag::error("E0301", format!("{other:?} on top of a model of sound is not built")).into()
            );
        }
    }
    Ok(())
}

/// `torch.nn.GroupNorm` with a group for each channel.
fn each_channel(net: &mut Net<'_>, name: &str, x: V, size: usize) -> R<V> {
    net.at(name);
    let (w, b) =
        (net.param(&format!("{name}.weight"), &[size])?, net.param(&format!("{name}.bias"), &[size])?);
    net.op("instance_normalization", &[x, w, b], &[("epsilon", Attr::Float(1e-5))])
}

/// A convolution over time whose weight is `g v / |v|`, with the length over all but the last axis. What an even window has too many is cut.
fn positions(net: &mut Net<'_>, name: &str, x: V, (hidden, reach, groups): (usize, usize, usize)) -> R<V> {
    net.at(name);
    let g = net.param(&format!("{name}.parametrizations.weight.original0"), &[1, 1, reach])?;
    let v =
        net.param(&format!("{name}.parametrizations.weight.original1"), &[hidden, hidden / groups, reach])?;
    let axes = net.ints(&[0, 1]);
    let length = net.op("reduce_l2", &[v, axes], &[("keepdims", Attr::Bool(true))])?;
    let unit = net.of("div", &[v, length])?;
    let weight = net.of("mul", &[unit, g])?;
    let x = net.transpose(x, &[0, 2, 1])?;
    let window = Window { groups, ..Window::line(reach, 1, reach / 2) };
    let y = net.conv_with(name, x, weight, hidden, &window, true)?;
    if reach.is_multiple_of(2) { net.slice(y, 2, 0, -1) } else { Ok(y) }
}

pub(super) fn wav2vec2(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    encoder(c, net, head, "wav2vec2.")
}

pub(super) fn hubert(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    encoder(c, net, head, "hubert.")
}
