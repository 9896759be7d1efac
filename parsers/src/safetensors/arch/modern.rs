//! Encoders of text whose positions are relative: `ModernBERT` and `DeBERTa` 2 and 3.
use super::attention::Heads;
use super::bert::first;
use super::blocks::{Net, R, V};
use super::config::{Act, Config};
use super::folder::Head;
use super::ops::Axis;
use super::rotary::Rope;
use hoist_ir::attr::Attr;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;

fn unbuilt(head: Head) -> Diag {
    Diag::error("E0301", format!("{head:?} on top of this model is not built"))
}

/// Numbers of tokens, and which of them count.
fn texts(net: &mut Net<'_>, base: &'static str) -> (V, V) {
    net.base = base;
    let axes = [Axis::Name("batch_size"), Axis::Name("sequence_length")];
    (
        net.input_of("input_ids", Some(DType::I64), &axes),
        net.input_of("attention_mask", Some(DType::I64), &axes),
    )
}

pub(super) fn modernbert(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let (hidden, count) = (c.size("hidden_size"), c.size("num_attention_heads"));
    let heads = Heads::new(count, c.head_size(hidden, count));
    let (layers, inner) = (c.layers("num_hidden_layers"), c.size("intermediate_size"));
    let (eps, norm_bias) = (c.float_or("norm_eps", 1e-5), c.flag("norm_bias", false));
    let (bias, mlp_bias) = (c.flag("attention_bias", false), c.flag("mlp_bias", false));
    let act = c.act("hidden_activation", "gelu");
    let every = c.size_or("global_attn_every_n_layers", 3);
    let types = c.texts("layer_types");
    let slides: Vec<bool> = (0..layers)
        .map(|i| types.get(i).map_or(!i.is_multiple_of(every), |kind| *kind == "sliding_attention"))
        .collect();
    let reach = c.opt_size("sliding_window").unwrap_or_else(|| c.size_or("local_attention", 128) / 2);
    let ropes =
        [Rope::of(c, heads.size, Some("full_attention")), Rope::of(c, heads.size, Some("sliding_attention"))];
    let vocabulary = c.size("vocab_size");
    let top = (c.act("classifier_activation", "gelu"), c.flag("classifier_bias", false));
    let mean = c.expect("classifier_pooling", &["cls", "mean"], "cls") == "mean";
    let words_bias = c.flag("decoder_bias", true);
    c.check()?;
    let (ids, mask) = texts(net, "model.");
    let norm = |net: &mut Net<'_>, name: &str, x: V| net.layer_norm_with(name, x, hidden, eps, norm_bias);
    let x = net.embedding("model.embeddings.tok_embeddings", ids, (vocabulary, hidden))?;
    let mut x = norm(net, "model.embeddings.norm", x)?;
    let all = net.encoder_mask(mask)?;
    let row = net.places(ids)?;
    let near = near(net, row, all, reach)?;
    let places = {
        let sizes = net.op("shape", &[ids], &[])?;
        net.of("expand", &[row, sizes])?
    };
    let angles = [ropes[0].angles(net, places)?, ropes[1].angles(net, places)?];
    for (i, slides) in slides.into_iter().enumerate() {
        let at = format!("model.layers.{i}");
        let y = if i == 0 { x } else { norm(net, &format!("{at}.attn_norm"), x)? };
        let y = net.dense(&format!("{at}.attn.Wqkv"), y, (hidden, 3 * hidden), bias)?;
        let parts = net.split(y, &[hidden; 3])?;
        let mut apart = |i: usize| net.apart(parts[i], heads.count, heads.size);
        let (q, k, v) = (apart(0)?, apart(1)?, apart(2)?);
        let angles = &angles[usize::from(slides)];
        let (q, k) = (net.turned(q, angles)?, net.turned(k, angles)?);
        let y = net.attend((q, k, v), &heads, Some(if slides { near } else { all }))?;
        let y = net.dense(&format!("{at}.attn.Wo"), y, (hidden, hidden), bias)?;
        x = net.of("add", &[x, y])?;
        let y = norm(net, &format!("{at}.mlp_norm"), x)?;
        let y = net.dense(&format!("{at}.mlp.Wi"), y, (hidden, 2 * inner), mlp_bias)?;
        let parts = net.split(y, &[inner, inner])?;
        let y = net.act(act, parts[0])?;
        let y = net.of("mul", &[y, parts[1]])?;
        let y = net.dense(&format!("{at}.mlp.Wo"), y, (inner, hidden), mlp_bias)?;
        x = net.of("add", &[x, y])?;
    }
    let x = norm(net, "model.final_norm", x)?;
    let topped = |net: &mut Net<'_>, x: V| {
        let y = net.dense("head.dense", x, (hidden, hidden), top.1)?;
        let y = net.act(top.0, y)?;
        norm(net, "head.norm", y)
    };
    match head {
        Head::None => net.output("last_hidden_state", x),
        Head::MaskedLm => {
            let y = topped(net, x)?;
            let table = "model.embeddings.tok_embeddings.weight";
            let w = net.weight_in(table, &[vocabulary, hidden], Some(&[1, 0]))?;
            let b = if words_bias { Some(net.param("decoder.bias", &[vocabulary])?) } else { None };
            let y = net.product(y, w, b)?;
            net.output("logits", y);
        }
        Head::SequenceClassification => {
            let y = if mean { averaged(net, x, mask)? } else { first(net, x)? };
            let y = topped(net, y)?;
            net.classes(c, y)?;
        }
        Head::TokenClassification => {
            let y = topped(net, x)?;
            net.classes(c, y)?;
        }
        other => return Err(unbuilt(other).into()),
    }
    Ok(())
}

/// A mask of those keys that are not farther than `reach` too.
fn near(net: &mut Net<'_>, row: V, all: V, reach: usize) -> R<V> {
    net.at("local_attention");
    let column = net.transpose(row, &[1, 0])?;
    let far = net.of("sub", &[column, row])?;
    let far = net.of("abs", &[far])?;
    let most = net.int(reach as i64);
    let near = net.of("less_or_equal", &[far, most])?;
    let near = net.unsqueeze(near, &[0, 1])?;
    net.of("and", &[all, near])
}

/// Mean over the tokens that count.
pub(super) fn averaged(net: &mut Net<'_>, x: V, mask: V) -> R<V> {
    net.at("pooling");
    let weights = net.cast(mask, net.dtype)?;
    let weights = net.unsqueeze(weights, &[-1])?;
    let x = net.of("mul", &[x, weights])?;
    let axes = net.ints(&[1]);
    let sum = net.op("reduce_sum", &[x, axes], &[("keepdims", Attr::Bool(false))])?;
    let count = net.op("reduce_sum", &[weights, axes], &[("keepdims", Attr::Bool(false))])?;
    net.of("div", &[sum, count])
}

/// Sizes of `DeBERTa`.
struct Deberta {
    hidden: usize,
    heads: Heads,
    inner: usize,
    act: Act,
    eps: f64,
    /// Whether scores of content and position are added, and of position and content; whether they use the layers of content.
    ways: [bool; 2],
    shared: bool,
    span: usize,
    /// Buckets of far distances; 0 for none.
    buckets: usize,
    most: usize,
    rows: usize,
    layers: usize,
    vocabulary: usize,
    types: usize,
    absolute: bool,
    /// Whether the features of distances are normalized; none where distances do not matter.
    normed: Option<bool>,
}

impl Deberta {
    fn of(c: &Config) -> Self {
        let (hidden, count) = (c.size("hidden_size"), c.size("num_attention_heads"));
        let size = c.opt_size("attention_head_size").unwrap_or_else(|| c.head_size(hidden, count));
        let relative = c.flag("relative_attention", false);
        let ways: Vec<String> = match c.get("pos_att_type").and_then(serde_json::Value::as_str) {
            Some(text) => text.split('|').map(str::to_owned).collect(),
            None => c.texts("pos_att_type").into_iter().map(str::to_owned).collect(),
        };
        let has = |way: &str| relative && ways.iter().any(|w| w == way);
        let ways = [has("c2p"), has("p2c")];
        let factor = 1 + usize::from(ways[0]) + usize::from(ways[1]);
        let rows = c.size("max_position_embeddings");
        // -1 is none.
        let positive = |key: &str| {
            let stated = c.get(key).and_then(serde_json::Value::as_i64).is_some_and(|n| n > 0);
            if stated { c.opt_size(key) } else { None }
        };
        let most = positive("max_relative_positions").unwrap_or(rows);
        let buckets = positive("position_buckets").unwrap_or(0);
        if c.count_or("conv_kernel_size", 0) > 0 {
            let m = "config.json: `conv_kernel_size`: a convolution behind the first layer is not built";
            c.problem(Diag::error("E0301", m));
        }
        if c.size_or("embedding_size", hidden) != hidden {
            let m = "config.json: an `embedding_size` other than `hidden_size` is not built";
            c.problem(Diag::error("E0301", m));
        }
        let scale = 1.0 / libm::sqrt((size * factor) as f64);
        let normed = c.text("norm_rel_ebd").unwrap_or("none").contains("layer_norm");
        Self {
            hidden,
            heads: Heads { scale: Some(scale), ..Heads::new(count, size) },
            inner: c.size("intermediate_size"),
            act: c.act("hidden_act", "gelu"),
            eps: c.float_or("layer_norm_eps", 1e-7),
            ways,
            shared: c.flag("share_att_key", false),
            span: if buckets > 0 { buckets } else { most },
            buckets,
            most,
            rows,
            layers: c.layers("num_hidden_layers"),
            vocabulary: c.size("vocab_size"),
            types: c.count_or("type_vocab_size", 0),
            absolute: c.flag("position_biased_input", true),
            normed: relative.then_some(normed),
        }
    }
    fn embedded(&self, net: &mut Net<'_>, ids: V, mask: V) -> R<V> {
        let hidden = self.hidden;
        let mut x = net.embedding("deberta.embeddings.word_embeddings", ids, (self.vocabulary, hidden))?;
        if self.absolute {
            let places = net.places(ids)?;
            let y = net.embedding("deberta.embeddings.position_embeddings", places, (self.rows, hidden))?;
            x = net.of("add", &[x, y])?;
        }
        if self.types > 0 {
            let table =
                net.param("deberta.embeddings.token_type_embeddings.weight", &[self.types, hidden])?;
            let row = net.slice(table, 0, 0, 1)?;
            x = net.of("add", &[x, row])?;
        }
        let x = net.layer_norm("deberta.embeddings.LayerNorm", x, hidden, self.eps)?;
        let real = net.cast(mask, net.dtype)?;
        let real = net.unsqueeze(real, &[-1])?;
        net.of("mul", &[x, real])
    }
    /// The features of distances, and their numbers.
    fn places(&self, net: &mut Net<'_>, ids: V) -> R<Option<(V, [V; 2])>> {
        let Some(normed) = self.normed else { return Ok(None) };
        let mut table = net.param("deberta.encoder.rel_embeddings.weight", &[2 * self.span, self.hidden])?;
        if normed {
            table = net.layer_norm("deberta.encoder.LayerNorm", table, self.hidden, self.eps)?;
        }
        let table = net.unsqueeze(table, &[0])?;
        Ok(Some((table, distances(net, ids, self.buckets, self.most, self.span)?)))
    }
    fn layer(&self, net: &mut Net<'_>, at: &str, x: V, masked: V, places: Option<(V, [V; 2])>) -> R<V> {
        let Heads { count, size, .. } = self.heads;
        let hidden = self.hidden;
        let inside = format!("{at}.attention.self");
        let mut part = |name: &str| {
            let y = net.dense(&format!("{inside}.{name}"), x, (hidden, count * size), true)?;
            net.apart(y, count, size)
        };
        let (q, k, v) = (part("query_proj")?, part("key_proj")?, part("value_proj")?);
        let mut bias = masked;
        if let Some(places) = places
            && let Some(b) = self.bias(net, &inside, (q, k), places)?
        {
            bias = net.of("add", &[b, masked])?;
        }
        let y = net.attend((q, k, v), &self.heads, Some(bias))?;
        let y = net.dense(&format!("{at}.attention.output.dense"), y, (count * size, hidden), true)?;
        let y = net.of("add", &[x, y])?;
        let y = net.layer_norm(&format!("{at}.attention.output.LayerNorm"), y, hidden, self.eps)?;
        let names = (format!("{at}.intermediate.dense"), format!("{at}.output.dense"));
        let z = net.mlp((&names.0, &names.1), y, (hidden, self.inner), self.act, true)?;
        let z = net.of("add", &[y, z])?;
        net.layer_norm(&format!("{at}.output.LayerNorm"), z, hidden, self.eps)
    }
    /// Biases of the scores by positions, of which `table` has the features and `indices` the numbers of rows for each query and key, and the other way round.
    fn bias(
        &self,
        net: &mut Net<'_>,
        at: &str,
        (q, k): (V, V),
        (table, indices): (V, [V; 2]),
    ) -> R<Option<V>> {
        let Heads { count, size, .. } = self.heads;
        let sizes = (self.hidden, count * size);
        let mut projected = |own: &str, shared: &str| {
            let name = if self.shared { shared } else { own };
            let y = net.dense(&format!("{at}.{name}"), table, sizes, true)?;
            let y = net.apart(y, count, size)?;
            net.transpose(y, &[0, 1, 3, 2])
        };
        let keys = if self.ways[0] { Some(projected("pos_key_proj", "key_proj")?) } else { None };
        let queries = if self.ways[1] { Some(projected("pos_query_proj", "query_proj")?) } else { None };
        net.at(at);
        let mut total = None;
        for (side, (content, places)) in [(q, keys), (k, queries)].into_iter().enumerate() {
            let Some(places) = places else { continue };
            let scores = net.of("mat_mul", &[content, places])?;
            // For each pair, the score of its distance.
            let shape = net.op("shape", &[scores], &[("start", Attr::Int(0)), ("end", Attr::Int(3))])?;
            let count = net.size_of(scores, 2)?;
            let sizes = net.concat(&[shape, count], 0)?;
            let at = net.of("expand", &[indices[side], sizes])?;
            let mut y = net.op("gather_elements", &[scores, at], &[("axis", Attr::Int(-1))])?;
            if side == 1 {
                y = net.transpose(y, &[0, 1, 3, 2])?;
            }
            total = Some(match total {
                None => y,
                Some(t) => net.of("add", &[t, y])?,
            });
        }
        total.map(|t| net.scaled(t, self.heads.scale.unwrap_or(1.0))).transpose()
    }
}

/// Distances of queries and keys as numbers of rows: exact up to half of the buckets, then growing by powers up to `most`; and those of the
/// opposite distances. `[1, 1, queries, keys]`
fn distances(net: &mut Net<'_>, ids: V, buckets: usize, most: usize, span: usize) -> R<[V; 2]> {
    net.at("rel_embeddings");
    let row = net.places(ids)?;
    let column = net.transpose(row, &[1, 0])?;
    let mut far = net.of("sub", &[column, row])?;
    if buckets > 0 {
        let mid = buckets / 2;
        let size = net.of("abs", &[far])?;
        let (half, one) = (net.int(mid as i64), net.int(mid as i64 - 1));
        let inside = net.of("less", &[size, half])?;
        let size = net.of("where", &[inside, one, size])?;
        let wide = net.cast(size, DType::F32)?;
        let by = net.floats(&[], vec![mid as f32]);
        let ratio = net.of("div", &[wide, by])?;
        let log = net.of("log", &[ratio])?;
        let whole = net.floats(&[], vec![libm::logf((most as f32 - 1.0) / mid as f32)]);
        let log = net.of("div", &[log, whole])?;
        let steps = net.floats(&[], vec![mid as f32 - 1.0]);
        let log = net.of("mul", &[log, steps])?;
        let log = net.of("ceil", &[log])?;
        let log = net.cast(log, DType::I64)?;
        let log = net.of("add", &[log, half])?;
        let sign = net.of("sign", &[far])?;
        let log = net.of("mul", &[log, sign])?;
        let exact = net.of("less_or_equal", &[size, half])?;
        far = net.of("where", &[exact, far, log])?;
    }
    let (middle, low, high) = (net.int(span as i64), net.int(0), net.int(2 * span as i64 - 1));
    let mut row = |op: &str| {
        let y = net.of(op, &[middle, far])?;
        let y = net.of("max", &[y, low])?;
        let y = net.of("min", &[y, high])?;
        net.unsqueeze(y, &[0, 1])
    };
    Ok([row("add")?, row("sub")?])
}

pub(super) fn deberta(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let d = Deberta::of(c);
    let (hidden, vocabulary) = (d.hidden, d.vocabulary);
    let legacy = c.flag("legacy", true);
    let pooler = c.act("pooler_hidden_act", "gelu");
    c.check()?;
    let (ids, mask) = texts(net, "deberta.");
    let mut x = d.embedded(net, ids, mask)?;
    // Padding sees nothing, and is not seen.
    let seen = net.encoder_mask(mask)?;
    let own = net.truths(mask)?;
    let own = net.unsqueeze(own, &[1, 3])?;
    let seen = net.of("and", &[seen, own])?;
    let masked = net.as_bias(seen)?;
    let places = d.places(net, ids)?;
    for i in 0..d.layers {
        x = d.layer(net, &format!("deberta.encoder.layer.{i}"), x, masked, places)?;
    }
    match head {
        Head::None => net.output("last_hidden_state", x),
        Head::SequenceClassification => {
            let y = first(net, x)?;
            let y = net.dense("pooler.dense", y, (hidden, hidden), true)?;
            let y = net.act(pooler, y)?;
            net.classes(c, y)?;
        }
        Head::TokenClassification => net.classes(c, x)?,
        Head::QuestionAnswering => super::bert::answers(net, x, hidden)?,
        Head::MaskedLm if legacy => {
            let y = net.dense("cls.predictions.transform.dense", x, (hidden, hidden), true)?;
            let y = net.act(d.act, y)?;
            let y = net.layer_norm("cls.predictions.transform.LayerNorm", y, hidden, d.eps)?;
            let table = "deberta.embeddings.word_embeddings.weight";
            let w = net.weight_in(table, &[vocabulary, hidden], Some(&[1, 0]))?;
            let b = net.param("cls.predictions.bias", &[vocabulary])?;
            let y = net.product(y, w, Some(b))?;
            net.output("logits", y);
        }
        other => return Err(unbuilt(other).into()),
    }
    Ok(())
}
