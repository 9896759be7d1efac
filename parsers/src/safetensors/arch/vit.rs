//! Encoders of pictures cut into patches: `ViT`, `DeiT`, `DINOv2` and `BEiT`.
use super::attention::Heads;
use super::bert::{first, labels};
use super::blocks::{Net, R, V};
use super::config::{Act, Config};
use super::folder::Head;
use super::ops::Axis;
use hoist_ir::attr::Attr;
use hoist_ir::diag::{Diag, Diags};

/// Sizes of a stack over patches.
pub(super) struct Patches {
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub inner: usize,
    pub act: Act,
    pub eps: f64,
    pub channels: usize,
    pub image: (usize, usize),
    pub patch: (usize, usize),
}

impl Patches {
    pub fn of(c: &Config) -> Self {
        let hidden = c.size("hidden_size");
        let out = Self {
            hidden,
            layers: c.layers("num_hidden_layers"),
            heads: c.size("num_attention_heads"),
            inner: c.opt_size("intermediate_size").unwrap_or_else(|| hidden * c.size_or("mlp_ratio", 4)),
            act: c.act("hidden_act", "gelu"),
            eps: c.float_or("layer_norm_eps", 1e-12),
            channels: c.size_or("num_channels", 3),
            image: c.pair("image_size"),
            patch: c.pair("patch_size"),
        };
        c.head_size(hidden, out.heads);
        if out.patch.0 > out.image.0 || out.patch.1 > out.image.1 {
            c.problem(Diag::error("E0206", "config.json: `patch_size` is larger than `image_size`"));
        }
        out
    }
    /// Patches along height and width.
    pub fn grid(&self) -> (usize, usize) {
        (self.image.0 / self.patch.0, self.image.1 / self.patch.1)
    }
    pub fn count(&self) -> usize {
        self.grid().0 * self.grid().1
    }
    pub fn heads(&self) -> Heads {
        Heads::new(self.heads, self.hidden / self.heads)
    }
    /// The input, and its patches as `[batch, patches, hidden]`.
    pub fn embedded(&self, net: &mut Net<'_>, name: &str, bias: bool) -> R<V> {
        let axes = [
            Axis::Name("batch_size"),
            Axis::Size(self.channels),
            Axis::Size(self.image.0),
            Axis::Size(self.image.1),
        ];
        let x = net.input_of("pixel_values", None, &axes);
        let x = net.conv_nd(name, x, (self.channels, self.hidden), &Window::patch(self.patch), bias)?;
        net.tokens(x, self.hidden)
    }
    /// Tokens with further ones before them.
    pub fn with_tokens(&self, net: &mut Net<'_>, x: V, names: &[String]) -> R<V> {
        let batch = net.size_of(x, 0)?;
        let mut parts = vec![];
        for name in names {
            net.at(name);
            let token = net.param(name, &[1, 1, self.hidden])?;
            let rest = net.ints(&[1, self.hidden as i64]);
            let sizes = net.concat(&[batch, rest], 0)?;
            parts.push(net.of("expand", &[token, sizes])?);
        }
        parts.push(x);
        net.concat(&parts, 1)
    }
}

/// A convolution's window: extents, steps, zeros on each side, groups.
pub(super) struct Window {
    pub kernel: Vec<usize>,
    pub stride: usize,
    pub strides: Option<Vec<usize>>,
    pub padding: usize,
    pub groups: usize,
}

impl Window {
    pub fn square(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel: vec![kernel; 2], stride, strides: None, padding, groups: 1 }
    }
    pub fn line(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { kernel: vec![kernel], stride, strides: None, padding, groups: 1 }
    }
    fn patch((h, w): (usize, usize)) -> Self {
        Self { kernel: vec![h, w], stride: 1, strides: Some(vec![h, w]), padding: 0, groups: 1 }
    }
}

impl Net<'_> {
    /// The input of a model of pictures of any height and width.
    pub fn picture(&mut self, channels: usize) -> V {
        let axes =
            [Axis::Name("batch_size"), Axis::Size(channels), Axis::Name("height"), Axis::Name("width")];
        self.input_of("pixel_values", None, &axes)
    }
    /// `torch.nn.Conv1d` or `Conv2d` called `name`.
    pub fn conv_nd(
        &mut self,
        name: &str,
        x: V,
        (inner, outer): (usize, usize),
        w: &Window,
        bias: bool,
    ) -> R<V> {
        let mut shape = vec![outer, inner / w.groups];
        shape.extend(&w.kernel);
        let weight = self.param(&format!("{name}.weight"), &shape)?;
        self.conv_with(name, x, weight, outer, w, bias)
    }
    /// The same with this weight.
    pub fn conv_with(&mut self, name: &str, x: V, weight: V, outer: usize, w: &Window, bias: bool) -> R<V> {
        self.at(name);
        let b = if bias { Some(self.param(&format!("{name}.bias"), &[outer])?) } else { None };
        let ints = |v: &[usize]| Attr::Ints(v.iter().map(|n| *n as i64).collect());
        let rank = w.kernel.len();
        let strides = w.strides.clone().unwrap_or_else(|| vec![w.stride; rank]);
        let attrs = [
            ("kernel_shape", ints(&w.kernel)),
            ("strides", ints(&strides)),
            ("pads", ints(&vec![w.padding; 2 * rank])),
            ("group", Attr::Int(w.groups as i64)),
        ];
        self.op_opt("conv", &[Some(x), Some(weight), b], &attrs)
    }
    /// `[batch, features, height, width]` as `[batch, height * width, features]`.
    pub fn tokens(&mut self, x: V, features: usize) -> R<V> {
        let x = self.reshape(x, &[0, features as i64, -1])?;
        self.transpose(x, &[0, 2, 1])
    }
    /// `x` times a weight of its features.
    pub fn layer_scaled(&mut self, name: &str, x: V, size: usize) -> R<V> {
        self.at(name);
        let w = self.param(name, &[size])?;
        self.of("mul", &[x, w])
    }
    /// `x` with a table of positions.
    pub fn placed(&mut self, name: &str, x: V, shape: &[usize]) -> R<V> {
        self.at(name);
        let table = self.param(name, shape)?;
        self.of("add", &[x, table])
    }
    /// Classes by a linear layer called `classifier`.
    pub fn classes(&mut self, c: &Config, x: V) -> R<()> {
        let y = self.dense("classifier", x, (self.width(x), labels(c)), true)?;
        self.output("logits", y);
        Ok(())
    }
}

const QKV: [&str; 4] = [
    "attention.attention.query",
    "attention.attention.key",
    "attention.attention.value",
    "attention.output.dense",
];

fn unbuilt(head: Head) -> Diag {
    Diag::error("E0301", format!("{head:?} on top of a model of pictures is not built"))
}

/// Layers with a normalization before attention and before the feed-forward part.
fn vit_layer(net: &mut Net<'_>, p: &Patches, at: &str, x: V, bias: bool) -> R<V> {
    let y = net.layer_norm(&format!("{at}.layernorm_before"), x, p.hidden, p.eps)?;
    let biases = [bias, bias, bias, true];
    let y = net.cross_attention(at, (y, y), QKV, &p.heads(), biases, None)?;
    let x = net.of("add", &[x, y])?;
    let y = net.layer_norm(&format!("{at}.layernorm_after"), x, p.hidden, p.eps)?;
    let names = (format!("{at}.intermediate.dense"), format!("{at}.output.dense"));
    let y = net.mlp((&names.0, &names.1), y, (p.hidden, p.inner), p.act, true)?;
    net.of("add", &[x, y])
}

fn vit_like(
    c: &Config,
    net: &mut Net<'_>,
    head: Head,
    base: &'static str,
    tokens: &[&str],
) -> Result<(), Diags> {
    let p = Patches::of(c);
    let bias = c.flag("qkv_bias", true);
    c.check()?;
    net.base = base;
    let name = |part: &str| format!("{base}{part}");
    let x = p.embedded(net, &name("embeddings.patch_embeddings.projection"), true)?;
    let names: Vec<String> = tokens.iter().map(|t| name(&format!("embeddings.{t}"))).collect();
    let x = p.with_tokens(net, x, &names)?;
    let mut x =
        net.placed(&name("embeddings.position_embeddings"), x, &[1, p.count() + tokens.len(), p.hidden])?;
    for i in 0..p.layers {
        x = vit_layer(net, &p, &name(&format!("encoder.layer.{i}")), x, bias)?;
    }
    let x = net.layer_norm(&name("layernorm"), x, p.hidden, p.eps)?;
    match head {
        Head::None => {
            net.output("last_hidden_state", x);
            if net.has(&name("pooler.dense.weight")) {
                let y = first(net, x)?;
                let y = net.dense(&name("pooler.dense"), y, (p.hidden, p.hidden), true)?;
                let y = net.act(c.act("pooler_act", "tanh"), y)?;
                net.output("pooler_output", y);
            }
        }
        Head::ImageClassification => {
            let y = first(net, x)?;
            net.classes(c, y)?;
        }
        other => return Err(unbuilt(other).into()),
    }
    Ok(())
}

pub(super) fn vit(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    vit_like(c, net, head, "vit.", &["cls_token"])
}

pub(super) fn deit(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    vit_like(c, net, head, "deit.", &["cls_token", "distillation_token"])
}

pub(super) fn dinov2(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let plain = Patches::of(c);
    let inner = plain.hidden * c.size_or("mlp_ratio", 4);
    let p = Patches { eps: c.float_or("layer_norm_eps", 1e-6), inner, ..plain };
    let bias = c.flag("qkv_bias", true);
    let gated = c.flag("use_swiglu_ffn", false);
    c.check()?;
    net.base = "dinov2.";
    let x = p.embedded(net, "dinov2.embeddings.patch_embeddings.projection", true)?;
    let x = p.with_tokens(net, x, &["dinov2.embeddings.cls_token".to_owned()])?;
    let mut x = net.placed("dinov2.embeddings.position_embeddings", x, &[1, p.count() + 1, p.hidden])?;
    for i in 0..p.layers {
        let at = format!("dinov2.encoder.layer.{i}");
        let y = net.layer_norm(&format!("{at}.norm1"), x, p.hidden, p.eps)?;
        let y = net.cross_attention(&at, (y, y), QKV, &p.heads(), [bias, bias, bias, true], None)?;
        let y = net.layer_scaled(&format!("{at}.layer_scale1.lambda1"), y, p.hidden)?;
        x = net.of("add", &[x, y])?;
        let y = net.layer_norm(&format!("{at}.norm2"), x, p.hidden, p.eps)?;
        let y = if gated {
            let width = (p.inner * 2 / 3).div_ceil(8) * 8;
            let y = net.dense(&format!("{at}.mlp.weights_in"), y, (p.hidden, 2 * width), true)?;
            let parts = net.split(y, &[width, width])?;
            let gate = net.act(Act::Silu, parts[0])?;
            let y = net.of("mul", &[gate, parts[1]])?;
            net.dense(&format!("{at}.mlp.weights_out"), y, (width, p.hidden), true)?
        } else {
            let names = (format!("{at}.mlp.fc1"), format!("{at}.mlp.fc2"));
            net.mlp((&names.0, &names.1), y, (p.hidden, p.inner), p.act, true)?
        };
        let y = net.layer_scaled(&format!("{at}.layer_scale2.lambda1"), y, p.hidden)?;
        x = net.of("add", &[x, y])?;
    }
    let x = net.layer_norm("dinov2.layernorm", x, p.hidden, p.eps)?;
    match head {
        Head::None => {
            net.output("last_hidden_state", x);
            let y = first(net, x)?;
            net.output("pooler_output", y);
        }
        Head::ImageClassification => {
            let token = first(net, x)?;
            let rest = net.slice(x, 1, 1, i64::MAX)?;
            let rest = net.mean(rest, &[1], false)?;
            let y = net.concat(&[token, rest], 1)?;
            net.classes(c, y)?;
        }
        other => return Err(unbuilt(other).into()),
    }
    Ok(())
}

/// Where the bias of each pair of positions of a window is in its table, rows by rows.
pub(super) fn window_index(rows: usize, columns: usize) -> Vec<i64> {
    let place = |i: usize| (i / columns, i % columns);
    let pair = |(i, j): (usize, usize)| {
        let ((a, b), (c, d)) = (place(i), place(j));
        ((a + rows - 1 - c) * (2 * columns - 1) + b + columns - 1 - d) as i64
    };
    let n = rows * columns;
    (0..n * n).map(|k| pair((k / n, k % n))).collect()
}

/// The table `name` at the places of `index`, `[1, heads, n, n]`.
pub(super) fn window_bias(
    net: &mut Net<'_>,
    name: &str,
    (rows, heads): (usize, usize),
    index: &[i64],
    n: usize,
) -> R<V> {
    net.at(name);
    let table = net.param(name, &[rows, heads])?;
    let index = net.ints(index);
    let bias = net.op("gather", &[table, index], &[("axis", Attr::Int(0))])?;
    let bias = net.reshape(bias, &[1, n as i64, n as i64, heads as i64])?;
    net.transpose(bias, &[0, 3, 1, 2])
}

pub(super) fn beit(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let p = Patches::of(c);
    let (shared, own) =
        (c.flag("use_shared_relative_position_bias", false), c.flag("use_relative_position_bias", false));
    let scaled = c.float_or("layer_scale_init_value", 0.1) > 0.0;
    let absolute = c.flag("use_absolute_position_embeddings", false);
    let pooled = c.flag("use_mean_pooling", true);
    c.check()?;
    net.base = "beit.";
    let x = p.embedded(net, "beit.embeddings.patch_embeddings.projection", true)?;
    let mut x = p.with_tokens(net, x, &["beit.embeddings.cls_token".to_owned()])?;
    if absolute {
        x = net.placed("beit.embeddings.position_embeddings", x, &[1, p.count() + 1, p.hidden])?;
    }
    let (rows, columns) = p.grid();
    Net::room(p.count() + 1, p.count() + 1)?;
    let (n, table) = (p.count() + 1, (2 * rows - 1) * (2 * columns - 1));
    // The first token's pairs have three places behind the others.
    let inner = window_index(rows, columns);
    let index: Vec<i64> = (0..n * n)
        .map(|k| match (k / n, k % n) {
            (0, 0) => table + 2,
            (0, _) => table,
            (_, 0) => table + 1,
            (i, j) => inner[(i - 1) * (n - 1) + j - 1] as usize,
        } as i64)
        .collect();
    let bias = |net: &mut Net<'_>, name: &str| {
        window_bias(net, &format!("{name}.relative_position_bias_table"), (table + 3, p.heads), &index, n)
    };
    let common = if shared { Some(bias(net, "beit.encoder.relative_position_bias")?) } else { None };
    for i in 0..p.layers {
        let at = format!("beit.encoder.layer.{i}");
        let mut mask = common;
        if own {
            let b = bias(net, &format!("{at}.attention.attention.relative_position_bias"))?;
            mask = Some(match mask {
                Some(m) => net.of("add", &[m, b])?,
                None => b,
            });
        }
        let y = net.layer_norm(&format!("{at}.layernorm_before"), x, p.hidden, p.eps)?;
        let mut y = net.cross_attention(&at, (y, y), QKV, &p.heads(), [true, false, true, true], mask)?;
        if scaled {
            y = net.layer_scaled(&format!("{at}.lambda_1"), y, p.hidden)?;
        }
        x = net.of("add", &[x, y])?;
        let y = net.layer_norm(&format!("{at}.layernorm_after"), x, p.hidden, p.eps)?;
        let names = (format!("{at}.intermediate.dense"), format!("{at}.output.dense"));
        let mut y = net.mlp((&names.0, &names.1), y, (p.hidden, p.inner), p.act, true)?;
        if scaled {
            y = net.layer_scaled(&format!("{at}.lambda_2"), y, p.hidden)?;
        }
        x = net.of("add", &[x, y])?;
    }
    if !pooled {
        x = net.layer_norm("beit.layernorm", x, p.hidden, p.eps)?;
    }
    let pooled = if pooled {
        let rest = net.slice(x, 1, 1, i64::MAX)?;
        let rest = net.mean(rest, &[1], false)?;
        net.layer_norm("beit.pooler.layernorm", rest, p.hidden, p.eps)?
    } else {
        first(net, x)?
    };
    match head {
        Head::None => {
            net.output("last_hidden_state", x);
            net.output("pooler_output", pooled);
        }
        Head::ImageClassification => net.classes(c, pooled)?,
        other => return Err(unbuilt(other).into()),
    }
    Ok(())
}
