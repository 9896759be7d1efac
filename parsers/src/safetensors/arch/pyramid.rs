//! Models of pictures whose stages halve them: Swin, `ConvNeXt`, `SegFormer`, and convolutional networks as transformers keeps them.
use super::attention::Heads;
use super::bert::labels;
use super::blocks::{Net, R, V};
use super::config::{Act, Config};
use super::folder::Head;
use super::ops::Axis;
use super::vit::{Window, window_bias, window_index};
use hoist_ir::attr::Attr;
use hoist_ir::diag::{Diag, Diags};

fn unbuilt(head: Head) -> Diag {
    Diag::error("E0301", format!("{head:?} on top of a model of pictures is not built"))
}

/// Lists of the same length, one entry for each stage.
fn same_length(c: &Config, lists: &[(&str, usize)]) {
    if let [(first, n), rest @ ..] = lists
        && let Some((other, m)) = rest.iter().find(|(_, m)| m != n)
    {
        c.problem(Diag::error("E0206", format!("config.json: `{first}` has {n} stages, `{other}` {m}")));
    }
}

/// `torch.nn.LayerNorm` over the channels of a picture.
fn channel_norm(net: &mut Net<'_>, name: &str, x: V, size: usize, eps: f64) -> R<V> {
    let x = net.transpose(x, &[0, 2, 3, 1])?;
    let x = net.layer_norm(name, x, size, eps)?;
    net.transpose(x, &[0, 3, 1, 2])
}

pub(super) fn convnext(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let (sizes, depths) = (c.sizes("hidden_sizes"), c.sizes("depths"));
    same_length(c, &[("hidden_sizes", sizes.len()), ("depths", depths.len())]);
    let (channels, patch) = (c.size_or("num_channels", 3), c.size_or("patch_size", 4));
    let act = c.act("hidden_act", "gelu");
    let eps = c.float_or("layer_norm_eps", 1e-12);
    let scaled = c.float_or("layer_scale_init_value", 1e-6) > 0.0;
    c.check()?;
    net.base = "convnext.";
    let x = net.picture(channels);
    let first = sizes.first().copied().unwrap_or(1);
    let x = net.conv_nd(
        "convnext.embeddings.patch_embeddings",
        x,
        (channels, first),
        &Window::square(patch, patch, 0),
        true,
    )?;
    let mut x = channel_norm(net, "convnext.embeddings.layernorm", x, first, 1e-6)?;
    let mut inner = first;
    for (stage, (size, depth)) in sizes.iter().copied().zip(depths).enumerate() {
        let at = format!("convnext.encoder.stages.{stage}");
        if stage > 0 {
            x = channel_norm(net, &format!("{at}.downsampling_layer.0"), x, inner, 1e-6)?;
            x = net.conv_nd(
                &format!("{at}.downsampling_layer.1"),
                x,
                (inner, size),
                &Window::square(2, 2, 0),
                true,
            )?;
        }
        inner = size;
        for i in 0..depth {
            let at = format!("{at}.layers.{i}");
            let window = Window { groups: size, ..Window::square(7, 1, 3) };
            let y = net.conv_nd(&format!("{at}.dwconv"), x, (size, size), &window, true)?;
            let y = net.transpose(y, &[0, 2, 3, 1])?;
            let y = net.layer_norm(&format!("{at}.layernorm"), y, size, 1e-6)?;
            let names = (format!("{at}.pwconv1"), format!("{at}.pwconv2"));
            let mut y = net.mlp((&names.0, &names.1), y, (size, 4 * size), act, true)?;
            if scaled {
                y = net.layer_scaled(&format!("{at}.layer_scale_parameter"), y, size)?;
            }
            let y = net.transpose(y, &[0, 3, 1, 2])?;
            x = net.of("add", &[x, y])?;
        }
    }
    let y = net.mean(x, &[-2, -1], false)?;
    let y = net.layer_norm("convnext.layernorm", y, inner, eps)?;
    match head {
        Head::None => {
            net.output("last_hidden_state", x);
            net.output("pooler_output", y);
        }
        Head::ImageClassification => net.classes(c, y)?,
        other => return Err(unbuilt(other).into()),
    }
    Ok(())
}

pub(super) fn segformer(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let sizes = c.sizes("hidden_sizes");
    let lists = ["depths", "sr_ratios", "patch_sizes", "strides", "num_attention_heads", "mlp_ratios"]
        .map(|k| (k, c.sizes(k)));
    let mut lengths = vec![("hidden_sizes", sizes.len())];
    lengths.extend(lists.iter().map(|(k, l)| (*k, l.len())));
    same_length(c, &lengths);
    let [depths, ratios, patches, strides, heads, widths] = lists.map(|(_, l)| l);
    let act = c.act("hidden_act", "gelu");
    let channels = c.size_or("num_channels", 3);
    let width = c.size_or("decoder_hidden_size", 256);
    for (size, heads) in sizes.iter().zip(&heads) {
        c.head_size(*size, (*heads).max(1));
    }
    c.check()?;
    net.base = "segformer.";
    let mut x = net.picture(channels);
    let (mut inner, mut stages) = (channels, vec![]);
    for (s, size) in sizes.iter().copied().enumerate() {
        let at = format!("segformer.encoder.patch_embeddings.{s}");
        let window = Window::square(patches[s], strides[s], patches[s] / 2);
        x = net.conv_nd(&format!("{at}.proj"), x, (inner, size), &window, true)?;
        let place = net.op("shape", &[x], &[("start", Attr::Int(2)), ("end", Attr::Int(4))])?;
        let tokens = net.tokens(x, size)?;
        let mut y = net.layer_norm(&format!("{at}.layer_norm"), tokens, size, 1e-5)?;
        for i in 0..depths[s] {
            let at = format!("segformer.encoder.block.{s}.{i}");
            let layer = Layer { size, heads: heads[s], ratio: ratios[s], wide: size * widths[s], act, place };
            y = layer.run(net, &at, y)?;
        }
        let y = net.layer_norm(&format!("segformer.encoder.layer_norm.{s}"), y, size, 1e-5)?;
        x = spread(net, y, size, place)?;
        stages.push((x, place));
        inner = size;
    }
    match head {
        Head::None => net.output("last_hidden_state", x),
        Head::ImageClassification => {
            let y = net.mean(x, &[-2, -1], false)?;
            net.classes(c, y)?;
        }
        Head::SemanticSegmentation => {
            let mut parts = vec![];
            for (s, (x, place)) in stages.iter().enumerate() {
                let y = net.tokens(*x, sizes[s])?;
                let y = net.dense(&format!("decode_head.linear_c.{s}.proj"), y, (sizes[s], width), true)?;
                let mut y = spread(net, y, width, *place)?;
                if s > 0 {
                    let whole = net.op("shape", &[y], &[("start", Attr::Int(0)), ("end", Attr::Int(2))])?;
                    let to = net.concat(&[whole, stages[0].1], 0)?;
                    let attrs = [
                        ("mode", Attr::Str("linear".into())),
                        ("coordinate_transformation_mode", Attr::Str("half_pixel".into())),
                    ];
                    y = net.op_opt("resize", &[Some(y), None, None, Some(to)], &attrs)?;
                }
                parts.push(y);
            }
            parts.reverse();
            let y = net.concat(&parts, 1)?;
            let y = net.conv_nd(
                "decode_head.linear_fuse",
                y,
                (width * sizes.len(), width),
                &Window::square(1, 1, 0),
                false,
            )?;
            let y = net.norm("decode_head.batch_norm", y, width)?;
            let y = net.relu(y)?;
            let y =
                net.conv_nd("decode_head.classifier", y, (width, labels(c)), &Window::square(1, 1, 0), true)?;
            net.output("logits", y);
        }
        other => return Err(unbuilt(other).into()),
    }
    Ok(())
}

/// `[batch, tokens, features]` as `[batch, features, height, width]`, of which `place` holds the last two.
fn spread(net: &mut Net<'_>, x: V, features: usize, place: V) -> R<V> {
    let x = net.transpose(x, &[0, 2, 1])?;
    let front = net.ints(&[0, features as i64]);
    let sizes = net.concat(&[front, place], 0)?;
    net.of("reshape", &[x, sizes])
}

/// A layer of `SegFormer`.
struct Layer {
    size: usize,
    heads: usize,
    ratio: usize,
    wide: usize,
    act: Act,
    place: V,
}

impl Layer {
    fn run(&self, net: &mut Net<'_>, at: &str, x: V) -> R<V> {
        let size = self.size;
        let y = net.layer_norm(&format!("{at}.layer_norm_1"), x, size, 1e-5)?;
        let mut memory = y;
        if self.ratio > 1 {
            let p = spread(net, y, size, self.place)?;
            let window = Window::square(self.ratio, self.ratio, 0);
            let p = net.conv_nd(&format!("{at}.attention.self.sr"), p, (size, size), &window, true)?;
            let p = net.tokens(p, size)?;
            memory = net.layer_norm(&format!("{at}.attention.self.layer_norm"), p, size, 1e-5)?;
        }
        let parts =
            ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"];
        let heads = Heads::new(self.heads, size / self.heads);
        let y = net.cross_attention(at, (y, memory), parts, &heads, [true; 4], None)?;
        let x = net.of("add", &[x, y])?;
        let y = net.layer_norm(&format!("{at}.layer_norm_2"), x, size, 1e-5)?;
        let y = net.dense(&format!("{at}.mlp.dense1"), y, (size, self.wide), true)?;
        let y = spread(net, y, self.wide, self.place)?;
        let window = Window { groups: self.wide, ..Window::square(3, 1, 1) };
        let y = net.conv_nd(&format!("{at}.mlp.dwconv.dwconv"), y, (self.wide, self.wide), &window, true)?;
        let y = net.tokens(y, self.wide)?;
        let y = net.act(self.act, y)?;
        let y = net.dense(&format!("{at}.mlp.dense2"), y, (self.wide, size), true)?;
        net.of("add", &[x, y])
    }
}

/// A block of Swin on pictures of one size.
struct Block {
    size: usize,
    heads: usize,
    inner: usize,
    act: Act,
    eps: f64,
    bias: bool,
    /// Height and width.
    place: (usize, usize),
    window: usize,
    shift: usize,
}

/// Rows and columns moved round by so many.
fn rolled(net: &mut Net<'_>, mut x: V, by: i64) -> R<V> {
    for axis in [1, 2] {
        let (a, b) = (net.slice(x, axis, by, i64::MAX)?, net.slice(x, axis, 0, by)?);
        x = net.concat(&[a, b], axis)?;
    }
    Ok(x)
}

impl Block {
    /// `[batch, height, width, size]` in windows, `[windows, window^2, size]`.
    fn windows(&self, net: &mut Net<'_>, x: V, (h, w): (usize, usize)) -> R<V> {
        let n = self.window as i64;
        let x = net.reshape(x, &[-1, h as i64 / n, n, w as i64 / n, n, self.size as i64])?;
        let x = net.transpose(x, &[0, 1, 3, 2, 4, 5])?;
        net.reshape(x, &[-1, n * n, self.size as i64])
    }
    /// The inverse.
    fn whole(&self, net: &mut Net<'_>, x: V, (h, w): (usize, usize)) -> R<V> {
        let n = self.window as i64;
        let x = net.reshape(x, &[-1, h as i64 / n, w as i64 / n, n, n, self.size as i64])?;
        let x = net.transpose(x, &[0, 1, 3, 2, 4, 5])?;
        net.reshape(x, &[-1, h as i64, w as i64, self.size as i64])
    }
    /// Which pairs of a window lie beside each other in the picture too, for each window: -100 for the others.
    fn apart(&self, (h, w): (usize, usize)) -> Vec<f32> {
        let region =
            |i: usize, n: usize| usize::from(i >= n - self.window) + usize::from(i >= n - self.shift);
        let n = self.window;
        let mut out = vec![];
        for (top, left) in (0..h / n).flat_map(|a| (0..w / n).map(move |b| (a * n, b * n))) {
            let kinds: Vec<usize> =
                (0..n * n).map(|i| region(top + i / n, h) * 3 + region(left + i % n, w)).collect();
            out.extend(
                kinds.iter().flat_map(|a| kinds.iter().map(move |b| if a == b { 0.0 } else { -100.0 })),
            );
        }
        out
    }
    fn run(&self, net: &mut Net<'_>, at: &str, x: V) -> R<V> {
        let ((h, w), n) = (self.place, self.window);
        let (high, wide) = (h.div_ceil(n) * n, w.div_ceil(n) * n);
        let y = net.layer_norm(&format!("{at}.layernorm_before"), x, self.size, self.eps)?;
        let mut y = net.reshape(y, &[-1, h as i64, w as i64, self.size as i64])?;
        if (high, wide) != (h, w) {
            let pads = net.ints(&[0, 0, 0, 0, 0, (high - h) as i64, (wide - w) as i64, 0]);
            y = net.of("pad", &[y, pads])?;
        }
        if self.shift > 0 {
            y = rolled(net, y, self.shift as i64)?;
        }
        let y = self.windows(net, y, (high, wide))?;
        let y = self.attended(net, at, y, (high, wide))?;
        let mut y = self.whole(net, y, (high, wide))?;
        if self.shift > 0 {
            y = rolled(net, y, -(self.shift as i64))?;
        }
        if (high, wide) != (h, w) {
            y = net.slice(y, 1, 0, h as i64)?;
            y = net.slice(y, 2, 0, w as i64)?;
        }
        let y = net.reshape(y, &[-1, (h * w) as i64, self.size as i64])?;
        let x = net.of("add", &[x, y])?;
        let y = net.layer_norm(&format!("{at}.layernorm_after"), x, self.size, self.eps)?;
        let names = (format!("{at}.intermediate.dense"), format!("{at}.output.dense"));
        let y = net.mlp((&names.0, &names.1), y, (self.size, self.inner), self.act, true)?;
        net.of("add", &[x, y])
    }
    fn attended(&self, net: &mut Net<'_>, at: &str, x: V, (high, wide): (usize, usize)) -> R<V> {
        let (n, area) = (self.window, self.window * self.window);
        Net::room(area, area)?;
        let table = (2 * n - 1) * (2 * n - 1);
        let name = format!("{at}.attention.self.relative_position_bias_table");
        let bias = window_bias(net, &name, (table, self.heads), &window_index(n, n), area)?;
        let heads = Heads::new(self.heads, self.size / self.heads);
        let mut part = |name: &str| {
            let y =
                net.dense(&format!("{at}.attention.self.{name}"), x, (self.size, self.size), self.bias)?;
            net.apart(y, heads.count, heads.size)
        };
        let (q, k, v) = (part("query")?, part("key")?, part("value")?);
        net.at(&format!("{at}.attention.self"));
        let mut mask = bias;
        if self.shift > 0 {
            let windows = (high / n) * (wide / n);
            Net::room(windows, area * area)?;
            let apart = net.floats(&[windows, 1, area, area], self.apart((high, wide)));
            let apart = net.cast(apart, net.dtype)?;
            let all = net.of("add", &[bias, apart])?;
            // The windows of one picture after those of another.
            let count = net.size_of(x, 0)?;
            let own = net.ints(&[windows as i64]);
            let pictures = net.of("div", &[count, own])?;
            let rest = net.ints(&[1, 1, 1]);
            let times = net.concat(&[pictures, rest], 0)?;
            mask = net.of("tile", &[all, times])?;
        }
        let y = net.attend((q, k, v), &heads, Some(mask))?;
        net.dense(&format!("{at}.attention.output.dense"), y, (self.size, self.size), true)
    }
}

pub(super) fn swin(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let (depths, heads) = (c.sizes("depths"), c.sizes("num_heads"));
    same_length(c, &[("depths", depths.len()), ("num_heads", heads.len())]);
    let (size, window) = (c.size("embed_dim"), c.size("window_size"));
    let (image, patch, channels) = (c.pair("image_size"), c.pair("patch_size"), c.size_or("num_channels", 3));
    let ratio = c.float_or("mlp_ratio", 4.0);
    let (act, eps) = (c.act("hidden_act", "gelu"), c.float_or("layer_norm_eps", 1e-5));
    let bias = c.flag("qkv_bias", true);
    c.refuse("use_absolute_embeddings");
    for (s, heads) in heads.iter().enumerate() {
        c.head_size(size << s.min(8), (*heads).max(1));
    }
    c.check()?;
    net.base = "swin.";
    let axes = [Axis::Name("batch_size"), Axis::Size(channels), Axis::Size(image.0), Axis::Size(image.1)];
    let x = net.input_of("pixel_values", None, &axes);
    let window_of = Window {
        strides: Some(vec![patch.0, patch.1]),
        kernel: vec![patch.0, patch.1],
        ..Window::square(1, 1, 0)
    };
    let x =
        net.conv_nd("swin.embeddings.patch_embeddings.projection", x, (channels, size), &window_of, true)?;
    let x = net.tokens(x, size)?;
    let mut x = net.layer_norm("swin.embeddings.norm", x, size, 1e-5)?;
    let (mut place, mut size) = ((image.0 / patch.0, image.1 / patch.1), size);
    for (s, (depth, heads)) in depths.iter().copied().zip(heads).enumerate() {
        let at = format!("swin.encoder.layers.{s}");
        for i in 0..depth {
            let least = place.0.min(place.1);
            let small = least <= window;
            let block = Block {
                size,
                heads,
                inner: (size as f64 * ratio) as usize,
                act,
                eps,
                bias,
                place,
                window: if small { least } else { window },
                shift: if small || i.is_multiple_of(2) { 0 } else { window / 2 },
            };
            x = block.run(net, &format!("{at}.blocks.{i}"), x)?;
        }
        if s + 1 < depths.len() {
            (x, place) = halved(net, &format!("{at}.downsample"), x, place, size)?;
            size *= 2;
        }
    }
    let x = net.layer_norm("swin.layernorm", x, size, eps)?;
    let y = net.mean(x, &[1], false)?;
    match head {
        Head::None => {
            net.output("last_hidden_state", x);
            net.output("pooler_output", y);
        }
        Head::ImageClassification => net.classes(c, y)?,
        other => return Err(unbuilt(other).into()),
    }
    Ok(())
}

/// Four neighbours in one, with half of their features.
fn halved(net: &mut Net<'_>, at: &str, x: V, (h, w): (usize, usize), size: usize) -> R<(V, (usize, usize))> {
    net.at(at);
    let mut x = net.reshape(x, &[-1, h as i64, w as i64, size as i64])?;
    let (high, wide) = (h.div_ceil(2), w.div_ceil(2));
    if h % 2 + w % 2 > 0 {
        let pads = net.ints(&[0, 0, 0, 0, 0, (h % 2) as i64, (w % 2) as i64, 0]);
        x = net.of("pad", &[x, pads])?;
    }
    let x = net.reshape(x, &[-1, high as i64, 2, wide as i64, 2, size as i64])?;
    // Columns change slower than rows.
    let x = net.transpose(x, &[0, 1, 3, 4, 2, 5])?;
    let x = net.reshape(x, &[-1, (high * wide) as i64, 4 * size as i64])?;
    let x = net.layer_norm(&format!("{at}.norm"), x, 4 * size, 1e-5)?;
    let x = net.dense(&format!("{at}.reduction"), x, (4 * size, 2 * size), false)?;
    Ok((x, (high, wide)))
}
