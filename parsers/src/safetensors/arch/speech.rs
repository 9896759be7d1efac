//! Encoders of sound: wav2vec 2.0 and `HuBERT`.
use super::attention::Heads;
use super::blocks::{Net, R, V};
use super::config::{Act, Config};
use super::folder::Head;
use super::ops::Axis;
use super::vit::Window;
use hoist_ir::attr::Attr;
use hoist_ir::diag::{Diag, Diags};

const PARTS: [&str; 4] = ["attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.out_proj"];

/// Sizes and variants.
struct Sound {
    base: &'static str,
    dims: Vec<usize>,
    kernels: Vec<usize>,
    strides: Vec<usize>,
    hidden: usize,
    inner: usize,
    layers: usize,
    heads: Heads,
    act: Act,
    front: Act,
    eps: f64,
    /// Whether each convolution is normalized over its features; else the first one over time.
    by_layer: bool,
    conv_bias: bool,
    /// Whether normalizations come before the parts of a layer.
    stable: bool,
    /// Of the normalization before the projection, where there is one.
    project_eps: Option<f64>,
    /// Window and groups of the convolution that gives positions.
    places: (usize, usize),
}

impl Sound {
    fn of(c: &Config, base: &'static str) -> Self {
        let (dims, kernels, strides) = (c.sizes("conv_dim"), c.sizes("conv_kernel"), c.sizes("conv_stride"));
        if dims.len() != kernels.len() || dims.len() != strides.len() || dims.is_empty() {
            let m = "config.json: `conv_dim`, `conv_kernel` and `conv_stride` are not lists of one length";
            c.problem(Diag::error("E0206", m));
        }
        let (hidden, count) = (c.size("hidden_size"), c.size("num_attention_heads"));
        let places = (c.size("num_conv_pos_embeddings"), c.size("num_conv_pos_embedding_groups"));
        let eps = c.float_or("layer_norm_eps", 1e-5);
        c.refuse("add_adapter");
        c.refuse("conv_pos_batch_norm");
        if !hidden.is_multiple_of(places.1) {
            let m = "config.json: the groups of `num_conv_pos_embedding_groups` do not share `hidden_size` evenly";
            c.problem(Diag::error("E0206", m));
        }
        Self {
            base,
            dims,
            kernels,
            strides,
            hidden,
            inner: c.size("intermediate_size"),
            layers: c.layers("num_hidden_layers"),
            heads: Heads::new(count, c.head_size(hidden, count)),
            act: c.act("hidden_act", "gelu"),
            front: c.act("feat_extract_activation", "gelu"),
            eps,
            by_layer: c.expect("feat_extract_norm", &["group", "layer"], "group") == "layer",
            conv_bias: c.flag("conv_bias", false),
            stable: c.flag("do_stable_layer_norm", false),
            project_eps: c.flag("feat_proj_layer_norm", true).then_some(eps),
            places,
        }
    }
    fn name(&self, part: &str) -> String {
        format!("{}{part}", self.base)
    }
    /// Features of a wave `[batch, samples]`, with their positions: `[batch, frames, hidden]`.
    fn embedded(&self, net: &mut Net<'_>, wave: V) -> R<V> {
        let mut x = net.unsqueeze(wave, &[1])?;
        let mut before = 1;
        for (i, size) in self.dims.iter().copied().enumerate() {
            let at = self.name(&format!("feature_extractor.conv_layers.{i}"));
            let window = Window::line(self.kernels[i], self.strides[i], 0);
            x = net.conv_nd(&format!("{at}.conv"), x, (before, size), &window, self.conv_bias)?;
            if self.by_layer {
                x = net.transpose(x, &[0, 2, 1])?;
                x = net.layer_norm(&format!("{at}.layer_norm"), x, size, 1e-5)?;
                x = net.transpose(x, &[0, 2, 1])?;
            } else if i == 0 {
                x = each_channel(net, &format!("{at}.layer_norm"), x, size)?;
            }
            x = net.act(self.front, x)?;
            before = size;
        }
        let mut x = net.transpose(x, &[0, 2, 1])?;
        if let Some(eps) = self.project_eps {
            x = net.layer_norm(&self.name("feature_projection.layer_norm"), x, before, eps)?;
        }
        let x = net.dense(&self.name("feature_projection.projection"), x, (before, self.hidden), true)?;
        let sizes = (self.hidden, self.places.0, self.places.1);
        let y = positions(net, &self.name("encoder.pos_conv_embed.conv"), x, sizes)?;
        let y = net.act(self.front, y)?;
        let y = net.transpose(y, &[0, 2, 1])?;
        net.of("add", &[x, y])
    }
    fn layer(&self, net: &mut Net<'_>, at: &str, mut x: V) -> R<V> {
        let (first, second) = (format!("{at}.layer_norm"), format!("{at}.final_layer_norm"));
        let names =
            (format!("{at}.feed_forward.intermediate_dense"), format!("{at}.feed_forward.output_dense"));
        let norm = |net: &mut Net<'_>, name: &str, x: V| net.layer_norm(name, x, self.hidden, self.eps);
        let y = if self.stable { norm(net, &first, x)? } else { x };
        let y = net.self_attention(at, y, PARTS, &self.heads, true, None)?;
        x = net.of("add", &[x, y])?;
        let y = if self.stable {
            norm(net, &second, x)?
        } else {
            x = norm(net, &first, x)?;
            x
        };
        let y = net.mlp((&names.0, &names.1), y, (self.hidden, self.inner), self.act, true)?;
        x = net.of("add", &[x, y])?;
        if self.stable { Ok(x) } else { norm(net, &second, x) }
    }
}

fn encoder(c: &Config, net: &mut Net<'_>, head: Head, base: &'static str) -> Result<(), Diags> {
    let s = Sound::of(c, base);
    let vocabulary = c.size_or("vocab_size", 32);
    c.check()?;
    net.base = base;
    let wave = net.input_of("input_values", None, &[Axis::Name("batch_size"), Axis::Name("sequence_length")]);
    let mut x = s.embedded(net, wave)?;
    let closing = s.name("encoder.layer_norm");
    if !s.stable {
        x = net.layer_norm(&closing, x, s.hidden, s.eps)?;
    }
    for i in 0..s.layers {
        x = s.layer(net, &s.name(&format!("encoder.layers.{i}")), x)?;
    }
    if s.stable {
        x = net.layer_norm(&closing, x, s.hidden, s.eps)?;
    }
    match head {
        Head::None => net.output("last_hidden_state", x),
        Head::Ctc => {
            let y = net.dense("lm_head", x, (s.hidden, vocabulary), true)?;
            net.output("logits", y);
        }
        other => {
            let m = format!("{other:?} on top of a model of sound is not built");
            return Err(Diag::error("E0301", m).into());
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
