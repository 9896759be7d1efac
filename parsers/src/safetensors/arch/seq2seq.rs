//! Encoders with decoders: T5, `BART`, Marian and Whisper.
use super::attention::Heads;
use super::below::{Below, Part, Shape};
use super::blocks::{Net, R, V};
use super::config::{Act, Config};
use super::distances::Buckets;
use super::folder::Head;
use super::ops::Axis;
use super::vit::Window;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;

fn unbuilt(head: Head) -> Diag {
    Diag::error("E0301", format!("{head:?} on top of an encoder with a decoder is not built"))
}

/// The inputs of an encoder of texts.
fn texts(net: &mut Net<'_>) -> (V, Option<V>) {
    let axes = [Axis::Name("batch_size"), Axis::Name("encoder_sequence_length")];
    let ids = net.input_of("input_ids", Some(DType::I64), &axes);
    (ids, net.optional_input("attention_mask", false, Some(DType::I64), &axes))
}

/// Sizes of T5.
struct T5 {
    hidden: usize,
    inner: usize,
    heads: Heads,
    act: Act,
    gated: bool,
    eps: f64,
    buckets: usize,
    most: usize,
}

impl T5 {
    /// The encoder's states, and which of them count.
    fn above(&self, net: &mut Net<'_>, layers: usize, vocabulary: usize) -> R<(V, Option<V>)> {
        let (ids, mask) = texts(net);
        let mut x = net.embedding("shared", ids, (vocabulary, self.hidden))?;
        let seen = mask.map(|m| net.encoder_mask(m)).transpose()?;
        let places = net.places(ids)?;
        let bias = self.bias(net, "encoder", (places, places), seen)?;
        for i in 0..layers {
            let at = format!("encoder.block.{i}.layer");
            let y = net.rms_norm(&format!("{at}.0.layer_norm"), x, self.hidden, self.eps, false)?;
            let parts = ["q", "k", "v", "o"];
            let y = net.self_attention(
                &format!("{at}.0.SelfAttention"),
                y,
                parts,
                &self.heads,
                false,
                Some(bias),
            )?;
            x = net.of("add", &[x, y])?;
            x = self.fed(net, &format!("{at}.1"), x)?;
        }
        Ok((net.rms_norm("encoder.final_layer_norm", x, self.hidden, self.eps, false)?, mask))
    }
    fn fed(&self, net: &mut Net<'_>, at: &str, x: V) -> R<V> {
        let y = net.rms_norm(&format!("{at}.layer_norm"), x, self.hidden, self.eps, false)?;
        let at = format!("{at}.DenseReluDense");
        let sizes = (self.hidden, self.inner);
        let y = if self.gated {
            let gate = net.dense(&format!("{at}.wi_0"), y, sizes, false)?;
            let gate = net.act(self.act, gate)?;
            let up = net.dense(&format!("{at}.wi_1"), y, sizes, false)?;
            net.of("mul", &[gate, up])?
        } else {
            let y = net.dense(&format!("{at}.wi"), y, sizes, false)?;
            net.act(self.act, y)?
        };
        let y = net.dense(&format!("{at}.wo"), y, (self.inner, self.hidden), false)?;
        net.of("add", &[x, y])
    }
    /// The bias of distances with a mask.
    fn bias(&self, net: &mut Net<'_>, side: &str, places: (V, V), seen: Option<V>) -> R<V> {
        let name = format!("{side}.block.0.layer.0.SelfAttention.relative_attention_bias");
        let buckets = Buckets { count: self.buckets, most: self.most, both: side == "encoder" };
        let bias = net.distances(&name, places, &buckets, self.heads.count)?;
        let Some(seen) = seen else { return Ok(bias) };
        let masked = net.as_bias(seen)?;
        net.of("add", &[bias, masked])
    }
}

pub(super) fn t5(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    t5_like(c, net, head, true)
}

/// The same model, which never scales what the table of words is applied to.
pub(super) fn mt5(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    t5_like(c, net, head, false)
}

fn t5_like(c: &Config, net: &mut Net<'_>, head: Head, scaled: bool) -> Result<(), Diags> {
    let hidden = c.size("d_model");
    let way = c.text("feed_forward_proj").unwrap_or("relu").to_owned();
    let gated = way.starts_with("gated-");
    let plain = way.trim_start_matches("gated-");
    let act = match Act::by_name(if gated && plain == "gelu" { "gelu_new" } else { plain }) {
        Some(act) => act,
        None => c.act("dense_act_fn", "relu"),
    };
    let t = T5 {
        hidden,
        inner: c.size("d_ff"),
        // Products are not scaled.
        heads: Heads { scale: Some(1.0), ..Heads::new(c.size("num_heads"), c.size("d_kv")) },
        act,
        gated,
        eps: c.float_or("layer_norm_epsilon", 1e-6),
        buckets: c.size_or("relative_attention_num_buckets", 32),
        most: c.size_or("relative_attention_max_distance", 128),
    };
    if t.buckets < 4 {
        c.problem(Diag::error("E0206", "config.json: `relative_attention_num_buckets` is less than 4"));
    }
    let layers = c.layers("num_layers");
    let below = if c.has("num_decoder_layers") { c.layers("num_decoder_layers") } else { layers };
    let vocabulary = c.size("vocab_size");
    // Files say that nothing is tied where the sums are not scaled, and keep a table of their own or not.
    let scaled = scaled && c.flag("scale_decoder_outputs", c.flag("tie_word_embeddings", true));
    let tied = !net.has("lm_head.weight");
    if !matches!(head, Head::None | Head::ConditionalGeneration) {
        c.problem(unbuilt(head));
    }
    c.check()?;
    let above = if net.wants.part == Part::Decoder { None } else { Some(t.above(net, layers, vocabulary)?) };
    let shape = Shape { layers: below, heads: &t.heads, parts: ["q", "k", "v", "o"], bias: [false; 4] };
    let cross = |i: usize| format!("decoder.block.{i}.layer.1.EncDecAttention");
    let Some(down) = Below::new(net, &shape, above, cross)? else { return Ok(()) };
    let mut x = net.embedding("shared", down.ids, (vocabulary, hidden))?;
    let seen = net.causal_mask(down.queries, down.keys, None, None)?;
    let (queries, keys) = (down.places(net)?, net.unsqueeze(down.keys, &[0])?);
    let bias = t.bias(net, "decoder", (queries, keys), Some(seen))?;
    for i in 0..below {
        let at = format!("decoder.block.{i}.layer");
        let y = net.rms_norm(&format!("{at}.0.layer_norm"), x, hidden, t.eps, false)?;
        let y = down.attended(net, i, &format!("{at}.0.SelfAttention"), y, bias)?;
        x = net.of("add", &[x, y])?;
        let y = net.rms_norm(&format!("{at}.1.layer_norm"), x, hidden, t.eps, false)?;
        let y = down.crossed(net, i, &cross(i), y)?;
        x = net.of("add", &[x, y])?;
        x = t.fed(net, &format!("{at}.2"), x)?;
    }
    let mut x = net.rms_norm("decoder.final_layer_norm", x, hidden, t.eps, false)?;
    if head == Head::ConditionalGeneration {
        if scaled {
            x = net.scaled(x, libm::pow(hidden as f64, -0.5))?;
        }
        x = net.dense(if tied { "shared" } else { "lm_head" }, x, (hidden, vocabulary), false)?;
    }
    finish(net, head, x, above);
    Ok(())
}

/// The outputs of a decoder over an encoder.
fn finish(net: &mut Net<'_>, head: Head, x: V, above: Option<(V, Option<V>)>) {
    net.output_first(if head == Head::None { "last_hidden_state" } else { "logits" }, x);
    if let Some((memory, _)) = above {
        net.output("encoder_last_hidden_state", memory);
    }
}

/// One side of `BART` and what is like it.
struct Side {
    at: &'static str,
    hidden: usize,
    layers: usize,
    heads: Heads,
    inner: usize,
    act: Act,
    /// Whether normalizations come before the parts.
    before: bool,
    /// Biases of queries, keys, values and what comes out.
    bias: [bool; 4],
}

const PARTS: [&str; 4] = ["q_proj", "k_proj", "v_proj", "out_proj"];
const EPS: f64 = 1e-5;

impl Side {
    fn of(c: &Config, at: &'static str, side: &str, before: bool, bias: [bool; 4]) -> Self {
        let hidden = c.size("d_model");
        let heads = c.size(&format!("{side}_attention_heads"));
        Self {
            at,
            hidden,
            layers: c.layers(&format!("{side}_layers")),
            heads: Heads::new(heads, c.head_size(hidden, heads)),
            inner: c.size(&format!("{side}_ffn_dim")),
            act: c.act("activation_function", "gelu"),
            before,
            bias,
        }
    }
    /// `x` with `part` added, normalized before or behind.
    fn with(&self, net: &mut Net<'_>, norm: &str, x: V, part: impl Fn(&mut Net<'_>, V) -> R<V>) -> R<V> {
        let y = if self.before { net.layer_norm(norm, x, self.hidden, EPS)? } else { x };
        let y = part(net, y)?;
        let x = net.of("add", &[x, y])?;
        if self.before { Ok(x) } else { net.layer_norm(norm, x, self.hidden, EPS) }
    }
    /// The layers of an encoder.
    fn above(&self, net: &mut Net<'_>, mut x: V, mask: Option<V>) -> R<V> {
        for i in 0..self.layers {
            let at = format!("{}.layers.{i}", self.at);
            x = self.with(net, &format!("{at}.self_attn_layer_norm"), x, |net, y| {
                net.cross_attention(&format!("{at}.self_attn"), (y, y), PARTS, &self.heads, self.bias, mask)
            })?;
            x = self.fed(net, &at, x)?;
        }
        Ok(x)
    }
    fn fed(&self, net: &mut Net<'_>, at: &str, x: V) -> R<V> {
        self.with(net, &format!("{at}.final_layer_norm"), x, |net, y| {
            let names = (format!("{at}.fc1"), format!("{at}.fc2"));
            net.mlp((&names.0, &names.1), y, (self.hidden, self.inner), self.act, true)
        })
    }
    fn shape(&self) -> Shape<'_> {
        Shape { layers: self.layers, heads: &self.heads, parts: PARTS, bias: self.bias }
    }
    /// Name of the attention of layer `i` on an encoder's states.
    fn cross(&self, i: usize) -> String {
        format!("{}.layers.{i}.encoder_attn", self.at)
    }
    /// The layers of a decoder, where no token sees a later one.
    fn below(&self, net: &mut Net<'_>, mut x: V, down: &Below<'_>) -> R<V> {
        let seen = net.causal_mask(down.queries, down.keys, None, None)?;
        for i in 0..self.layers {
            let at = format!("{}.layers.{i}", self.at);
            x = self.with(net, &format!("{at}.self_attn_layer_norm"), x, |net, y| {
                down.attended(net, i, &format!("{at}.self_attn"), y, seen)
            })?;
            x = self.with(net, &format!("{at}.encoder_attn_layer_norm"), x, |net, y| {
                down.crossed(net, i, &self.cross(i), y)
            })?;
            x = self.fed(net, &at, x)?;
        }
        Ok(x)
    }
}

pub(super) fn whisper(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let bias = [true, false, true, true];
    let (up, down) = (
        Side::of(c, "model.encoder", "encoder", true, bias),
        Side::of(c, "model.decoder", "decoder", true, bias),
    );
    let (hidden, bins) = (up.hidden, c.size("num_mel_bins"));
    let (frames, places) = (c.size("max_source_positions"), c.size("max_target_positions"));
    let vocabulary = c.size("vocab_size");
    let scale = if c.flag("scale_embedding", false) { libm::sqrt(hidden as f64) } else { 1.0 };
    let tied = c.flag("tie_word_embeddings", true);
    if !matches!(head, Head::None | Head::ConditionalGeneration) {
        c.problem(unbuilt(head));
    }
    c.check()?;
    net.base = "model.";
    let above = if net.wants.part == Part::Decoder {
        None
    } else {
        let axes = [Axis::Name("batch_size"), Axis::Size(bins), Axis::Size(2 * frames)];
        let x = net.input_of("input_features", None, &axes);
        let x = net.conv_nd("model.encoder.conv1", x, (bins, hidden), &Window::line(3, 1, 1), true)?;
        let x = net.act(Act::Gelu, x)?;
        let x = net.conv_nd("model.encoder.conv2", x, (hidden, hidden), &Window::line(3, 2, 1), true)?;
        let x = net.act(Act::Gelu, x)?;
        let x = net.transpose(x, &[0, 2, 1])?;
        let x = net.placed("model.encoder.embed_positions.weight", x, &[frames, hidden])?;
        let x = up.above(net, x, None)?;
        Some((net.layer_norm("model.encoder.layer_norm", x, hidden, EPS)?, None))
    };
    let shape = down.shape();
    let Some(below) = Below::new(net, &shape, above, |i| down.cross(i))? else { return Ok(()) };
    let x = net.embedding("model.decoder.embed_tokens", below.ids, (vocabulary, hidden))?;
    let x = net.scaled(x, scale)?;
    let at = below.places(net)?;
    let y = net.embedding("model.decoder.embed_positions", at, (places, hidden))?;
    let x = net.of("add", &[x, y])?;
    let x = down.below(net, x, &below)?;
    let mut x = net.layer_norm("model.decoder.layer_norm", x, hidden, EPS)?;
    if head == Head::ConditionalGeneration {
        let table = if tied { "model.decoder.embed_tokens" } else { "proj_out" };
        x = net.dense(table, x, (hidden, vocabulary), false)?;
    }
    finish(net, head, x, above);
    Ok(())
}

/// What `BART` and Marian have in common.
fn bart_like(c: &Config, net: &mut Net<'_>, head: Head, marian: bool) -> Result<(), Diags> {
    let before = c.flag("normalize_before", false);
    let (up, down) = (
        Side::of(c, "model.encoder", "encoder", before, [true; 4]),
        Side::of(c, "model.decoder", "decoder", before, [true; 4]),
    );
    let hidden = up.hidden;
    let vocabulary = c.size("vocab_size");
    let rows = c.size("max_position_embeddings");
    let scale = if c.flag("scale_embedding", false) { libm::sqrt(hidden as f64) } else { 1.0 };
    let closing = c.flag("add_final_layer_norm", false);
    if !matches!(head, Head::None | Head::ConditionalGeneration) {
        c.problem(unbuilt(head));
    }
    c.check()?;
    net.base = "model.";
    let embedded = |net: &mut Net<'_>, side: &Side, ids: V, places: V| -> R<V> {
        let x = net.embedding("model.shared", ids, (vocabulary, hidden))?;
        let x = net.scaled(x, scale)?;
        let name = format!("{}.embed_positions", side.at);
        let y = if marian {
            net.at(&name);
            Net::room(rows, hidden)?;
            let table = net.floats(&[rows, hidden], waves(rows, hidden));
            let table = net.cast(table, net.dtype)?;
            net.op("gather", &[table, places], &[("axis", hoist_ir::attr::Attr::Int(0))])?
        } else {
            // Two rows are there for what is no position.
            let two = net.int(2);
            let places = net.of("add", &[places, two])?;
            net.embedding(&name, places, (rows + 2, hidden))?
        };
        let x = net.of("add", &[x, y])?;
        if marian {
            Ok(x)
        } else {
            net.layer_norm(&format!("{}.layernorm_embedding", side.at), x, hidden, EPS)
        }
    };
    let above = if net.wants.part == Part::Decoder {
        None
    } else {
        let (ids, mask) = texts(net);
        let places = net.places(ids)?;
        let x = embedded(net, &up, ids, places)?;
        let seen = mask.map(|m| net.encoder_mask(m)).transpose()?;
        let mut x = up.above(net, x, seen)?;
        if closing {
            x = net.layer_norm("model.encoder.layer_norm", x, hidden, EPS)?;
        }
        Some((x, mask))
    };
    let shape = down.shape();
    let Some(below) = Below::new(net, &shape, above, |i| down.cross(i))? else { return Ok(()) };
    let places = below.places(net)?;
    let x = embedded(net, &down, below.ids, places)?;
    let mut x = down.below(net, x, &below)?;
    if closing {
        x = net.layer_norm("model.decoder.layer_norm", x, hidden, EPS)?;
    }
    if head == Head::ConditionalGeneration {
        let y = net.dense("model.shared", x, (hidden, vocabulary), false)?;
        let b = net.param("final_logits_bias", &[1, vocabulary])?;
        x = net.of("add", &[y, b])?;
    }
    finish(net, head, x, above);
    Ok(())
}

/// Sines in the first half of the features and cosines in the second, of waves whose lengths grow by powers. (Vaswani and others, 2017.)
fn waves(rows: usize, features: usize) -> Vec<f32> {
    let angle = |p: usize, i: usize| p as f64 / libm::pow(10000.0, 2.0 * i as f64 / features as f64);
    let half = features.div_ceil(2);
    let value =
        |p: usize, i: usize| if i < half { libm::sin(angle(p, i)) } else { libm::cos(angle(p, i - half)) };
    (0..rows * features).map(|k| value(k / features, k % features) as f32).collect()
}

pub(super) fn bart(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    bart_like(c, net, head, false)
}

pub(super) fn marian(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    bart_like(c, net, head, true)
}
