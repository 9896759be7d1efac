//! Encoders of text: BERT, `RoBERTa`, ELECTRA, `DistilBERT`, ALBERT and `MPNet`.
use super::attention::Heads;
use super::blocks::{Net, R, V};
use super::config::{Act, Config};
use super::distances::Buckets;
use super::folder::Head;
use super::ops::Axis;
use hoist_ir::attr::Attr;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;

/// Names of the weights of a layer, below it: attention's four, its normalization, the feed-forward two, their normalization.
struct Names {
    layer: &'static str,
    attention: [&'static str; 4],
    attention_norm: &'static str,
    mlp: [&'static str; 2],
    mlp_norm: &'static str,
}

const BERT: Names = Names {
    layer: "encoder.layer",
    attention: [
        "attention.self.query",
        "attention.self.key",
        "attention.self.value",
        "attention.output.dense",
    ],
    attention_norm: "attention.output.LayerNorm",
    mlp: ["intermediate.dense", "output.dense"],
    mlp_norm: "output.LayerNorm",
};
const DISTILBERT: Names = Names {
    layer: "transformer.layer",
    attention: ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"],
    attention_norm: "sa_layer_norm",
    mlp: ["ffn.lin1", "ffn.lin2"],
    mlp_norm: "output_layer_norm",
};
const MPNET: Names = Names {
    attention: ["attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o"],
    attention_norm: "attention.LayerNorm",
    ..BERT
};
const ALBERT: Names = Names {
    layer: "",
    attention: ["attention.query", "attention.key", "attention.value", "attention.dense"],
    attention_norm: "attention.LayerNorm",
    mlp: ["ffn", "ffn_output"],
    mlp_norm: "full_layer_layer_norm",
};

/// An encoder's sizes and parts.
struct Encoder {
    base: &'static str,
    names: Names,
    layers: usize,
    hidden: usize,
    embedding: usize,
    inner: usize,
    heads: usize,
    vocabulary: usize,
    positions: usize,
    types: usize,
    act: Act,
    eps: f64,
    /// Number of padding, behind which positions begin, where they count real tokens.
    padding: Option<i64>,
    labels: usize,
}

impl Encoder {
    fn of(c: &Config, base: &'static str) -> Self {
        c.refuse("is_decoder");
        c.expect("position_embedding_type", &["absolute"], "absolute");
        let (hidden, heads) = (c.size("hidden_size"), c.size("num_attention_heads"));
        c.head_size(hidden, heads);
        Self {
            base,
            names: BERT,
            layers: c.layers("num_hidden_layers"),
            hidden,
            embedding: hidden,
            inner: c.size("intermediate_size"),
            heads,
            vocabulary: c.size("vocab_size"),
            positions: c.size("max_position_embeddings"),
            types: c.count_or("type_vocab_size", 2),
            act: c.act("hidden_act", "gelu"),
            eps: c.float_or("layer_norm_eps", 1e-12),
            padding: None,
            labels: labels(c),
        }
    }
    /// Full name of a weight of the model.
    fn name(&self, part: &str) -> String {
        format!("{}{part}", self.base)
    }
    fn embedded(&self, net: &mut Net<'_>, inputs: &Inputs) -> R<V> {
        let ids = inputs.ids;
        let at = self.name("embeddings");
        let mut x =
            net.embedding(&format!("{at}.word_embeddings"), ids, (self.vocabulary, self.embedding))?;
        if let Some(types) = inputs.types {
            let sizes = (self.types, self.embedding);
            let y = net.embedding(&format!("{at}.token_type_embeddings"), types, sizes)?;
            x = net.of("add", &[x, y])?;
        } else if self.types > 0 {
            // All tokens are of the first kind.
            let name = format!("{at}.token_type_embeddings");
            net.at(&name);
            let table = net.param(&format!("{name}.weight"), &[self.types, self.embedding])?;
            let first = net.slice(table, 0, 0, 1)?;
            x = net.of("add", &[x, first])?;
        }
        net.at(&at);
        let places = match (inputs.places, self.padding) {
            (Some(given), _) => given,
            (None, None) => net.places(ids)?,
            (None, Some(padding)) => {
                let none = net.int(padding);
                let same = net.of("equal", &[ids, none])?;
                let real = net.of("not", &[same])?;
                let real = net.cast(real, DType::I64)?;
                let axis = net.int(1);
                let sums = net.of("cum_sum", &[real, axis])?;
                let sums = net.of("mul", &[sums, real])?;
                net.of("add", &[sums, none])?
            }
        };
        let y =
            net.embedding(&format!("{at}.position_embeddings"), places, (self.positions, self.embedding))?;
        let x = net.of("add", &[x, y])?;
        net.layer_norm(&format!("{at}.LayerNorm"), x, self.embedding, self.eps)
    }
    fn layer(&self, net: &mut Net<'_>, at: &str, x: V, mask: Option<V>) -> R<V> {
        let n = &self.names;
        let heads = Heads::new(self.heads, self.hidden / self.heads);
        let y = net.self_attention(at, x, n.attention, &heads, true, mask)?;
        let x = net.of("add", &[x, y])?;
        let x = net.layer_norm(&format!("{at}.{}", n.attention_norm), x, self.hidden, self.eps)?;
        let names = (format!("{at}.{}", n.mlp[0]), format!("{at}.{}", n.mlp[1]));
        let y = net.mlp((&names.0, &names.1), x, (self.hidden, self.inner), self.act, true)?;
        let x = net.of("add", &[x, y])?;
        net.layer_norm(&format!("{at}.{}", n.mlp_norm), x, self.hidden, self.eps)
    }
    /// Hidden states, where each layer is below `names.layer`.
    fn states(&self, net: &mut Net<'_>, bias: bool) -> R<V> {
        let inputs = inputs(net, self.base, self.types);
        let mut x = self.embedded(net, &inputs)?;
        let mut seen = inputs.seen(net)?;
        if bias {
            seen = Some(self.with_distances(net, x, seen)?);
        }
        for i in 0..self.layers {
            let at = self.name(&format!("{}.{i}", self.names.layer));
            x = self.layer(net, &at, x, seen)?;
        }
        Ok(x)
    }
    /// A mask with learned biases of distances.
    fn with_distances(&self, net: &mut Net<'_>, x: V, seen: Option<V>) -> R<V> {
        let name = self.name("encoder.relative_attention_bias");
        let places = net.places(x)?;
        let bias = net.distances(
            &name,
            (places, places),
            &Buckets { count: 32, most: 128, both: true },
            self.heads,
        )?;
        let Some(seen) = seen else { return Ok(bias) };
        let masked = net.as_bias(seen)?;
        net.of("add", &[bias, masked])
    }
    /// `tanh` of a layer on the first token.
    fn pooled(&self, net: &mut Net<'_>, name: &str, x: V) -> R<V> {
        let x = first(net, x)?;
        let y = net.dense(&self.name(name), x, (self.hidden, self.hidden), true)?;
        net.of("tanh", &[y])
    }
}

/// Number of classes.
pub(super) fn labels(c: &Config) -> usize {
    let listed = c.get("id2label").and_then(serde_json::Value::as_object).map(|m| m.len());
    listed.or_else(|| c.opt_size("num_labels")).unwrap_or(2)
}

/// The inputs of an encoder.
struct Inputs {
    ids: V,
    mask: Option<V>,
    types: Option<V>,
    places: Option<V>,
}

fn inputs(net: &mut Net<'_>, base: &'static str, types: usize) -> Inputs {
    net.base = base;
    let axes = [Axis::Name("batch_size"), Axis::Name("sequence_length")];
    let ids = net.input_of("input_ids", Some(DType::I64), &axes);
    let mut more = |name: &str, usual: bool| net.optional_input(name, usual, Some(DType::I64), &axes);
    let mask = more("attention_mask", true);
    let types = if types > 0 { more("token_type_ids", false) } else { None };
    Inputs { ids, mask, types, places: more("position_ids", false) }
}

impl Inputs {
    /// Which tokens each sees; all where nothing is said.
    fn seen(&self, net: &mut Net<'_>) -> R<Option<V>> {
        self.mask.map(|mask| net.encoder_mask(mask)).transpose()
    }
}

/// The first token's features, `[batch, hidden]`.
pub(super) fn first(net: &mut Net<'_>, x: V) -> R<V> {
    let zero = net.int(0);
    net.op("gather", &[x, zero], &[("axis", Attr::Int(1))])
}

/// Two scores for each token: where an answer begins and ends.
pub(super) fn answers(net: &mut Net<'_>, x: V, hidden: usize) -> R<()> {
    let y = net.dense("qa_outputs", x, (hidden, 2), true)?;
    for (i, name) in ["start_logits", "end_logits"].into_iter().enumerate() {
        let one = net.slice(y, -1, i as i64, i as i64 + 1)?;
        let one = net.squeeze(one, &[-1])?;
        net.output(name, one);
    }
    Ok(())
}

fn unbuilt(head: Head) -> Diag {
    Diag::error("E0301", format!("{head:?} on top of this model is not built"))
}

/// The parts of heads that differ.
struct Tops<'a> {
    /// Layer, activation and normalization before the logits of words, and the names of table and bias.
    words: Option<(&'a str, Act, &'a str)>,
    word_bias: &'a str,
    classifier: &'a str,
}

/// Logits of words: a layer, an activation, a normalization, and the table of words.
fn words(net: &mut Net<'_>, e: &Encoder, x: V, (tops, table): (&Tops<'_>, &str)) -> R<V> {
    let mut y = x;
    if let Some((dense, act, norm)) = tops.words {
        y = net.dense(dense, y, (e.hidden, e.embedding), true)?;
        y = net.act(act, y)?;
        y = net.layer_norm(norm, y, e.embedding, e.eps)?;
    }
    let w = net.weight_in(&format!("{table}.weight"), &[e.vocabulary, e.embedding], Some(&[1, 0]))?;
    let b = net.param(tops.word_bias, &[e.vocabulary])?;
    net.product(y, w, Some(b))
}

fn finish(net: &mut Net<'_>, e: &Encoder, head: Head, x: V, tops: &Tops<'_>) -> R<()> {
    let table = e.name("embeddings.word_embeddings");
    match head {
        Head::MaskedLm => {
            let y = words(net, e, x, (tops, &table))?;
            net.output("logits", y);
        }
        Head::TokenClassification => {
            let y = net.dense(tops.classifier, x, (e.hidden, e.labels), true)?;
            net.output("logits", y);
        }
        Head::QuestionAnswering => answers(net, x, e.hidden)?,
        other => return Err(unbuilt(other)),
    }
    Ok(())
}

/// Hidden states, and what the pooler makes of the first one where the file has it.
fn bare(net: &mut Net<'_>, e: &Encoder, x: V, pooler: &str) -> R<()> {
    net.output("last_hidden_state", x);
    if net.has(&format!("{}.weight", e.name(pooler))) {
        let y = e.pooled(net, pooler, x)?;
        net.output("pooler_output", y);
    }
    Ok(())
}

fn classified(net: &mut Net<'_>, name: &str, x: V, hidden: usize, labels: usize) -> R<()> {
    let y = net.dense(name, x, (hidden, labels), true)?;
    net.output("logits", y);
    Ok(())
}

/// Classes of a text: a layer on the first token, an activation, and a layer.
fn by_first(net: &mut Net<'_>, e: &Encoder, x: V, (dense, act, out): (&str, Act, &str)) -> R<()> {
    let y = first(net, x)?;
    let y = net.dense(dense, y, (e.hidden, e.hidden), true)?;
    let y = net.act(act, y)?;
    classified(net, out, y, e.hidden, e.labels)
}

const BERT_TOPS: Tops<'_> = Tops {
    words: Some(("cls.predictions.transform.dense", Act::Gelu, "cls.predictions.transform.LayerNorm")),
    word_bias: "cls.predictions.bias",
    classifier: "classifier",
};

pub(super) fn bert(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let e = Encoder::of(c, "bert.");
    c.check()?;
    let x = e.states(net, false)?;
    match head {
        Head::None => bare(net, &e, x, "pooler.dense")?,
        Head::SequenceClassification => {
            let y = e.pooled(net, "pooler.dense", x)?;
            classified(net, "classifier", y, e.hidden, e.labels)?;
        }
        other => {
            let tops = Tops { words: BERT_TOPS.words.map(|(a, _, b)| (a, e.act, b)), ..BERT_TOPS };
            finish(net, &e, other, x, &tops)?;
        }
    }
    Ok(())
}

pub(super) fn roberta(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let padding = c.count_or("pad_token_id", 1) as i64;
    let e = Encoder {
        padding: Some(padding),
        eps: c.float_or("layer_norm_eps", 1e-5),
        ..Encoder::of(c, "roberta.")
    };
    c.check()?;
    let x = e.states(net, false)?;
    match head {
        Head::None => bare(net, &e, x, "pooler.dense")?,
        Head::SequenceClassification => {
            by_first(net, &e, x, ("classifier.dense", Act::Tanh, "classifier.out_proj"))?;
        }
        other => {
            let tops = Tops {
                words: Some(("lm_head.dense", Act::Gelu, "lm_head.layer_norm")),
                word_bias: "lm_head.bias",
                classifier: "classifier",
            };
            finish(net, &e, other, x, &tops)?;
        }
    }
    Ok(())
}

pub(super) fn electra(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let plain = Encoder::of(c, "electra.");
    let e = Encoder { embedding: c.size_or("embedding_size", plain.hidden), ..plain };
    c.check()?;
    let inputs = inputs(net, e.base, e.types);
    let mut x = e.embedded(net, &inputs)?;
    if e.embedding != e.hidden {
        x = net.dense("electra.embeddings_project", x, (e.embedding, e.hidden), true)?;
    }
    let seen = inputs.seen(net)?;
    for i in 0..e.layers {
        x = e.layer(net, &e.name(&format!("encoder.layer.{i}")), x, seen)?;
    }
    match head {
        Head::None => net.output("last_hidden_state", x),
        Head::SequenceClassification => {
            by_first(net, &e, x, ("classifier.dense", Act::Gelu, "classifier.out_proj"))?;
        }
        other => {
            let tops = Tops {
                words: Some(("generator_predictions.dense", Act::Gelu, "generator_predictions.LayerNorm")),
                word_bias: "generator_lm_head.bias",
                classifier: "classifier",
            };
            finish(net, &e, other, x, &tops)?;
        }
    }
    Ok(())
}

pub(super) fn distilbert(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let (hidden, heads) = (c.size("dim"), c.size("n_heads"));
    c.head_size(hidden, heads);
    let e = Encoder {
        base: "distilbert.",
        names: DISTILBERT,
        layers: c.layers("n_layers"),
        hidden,
        embedding: hidden,
        inner: c.size("hidden_dim"),
        heads,
        vocabulary: c.size("vocab_size"),
        positions: c.size("max_position_embeddings"),
        types: 0,
        act: c.act("activation", "gelu"),
        eps: 1e-12,
        padding: None,
        labels: labels(c),
    };
    c.check()?;
    let x = e.states(net, false)?;
    match head {
        Head::None => net.output("last_hidden_state", x),
        Head::SequenceClassification => {
            by_first(net, &e, x, ("pre_classifier", Act::Relu, "classifier"))?;
        }
        other => {
            let tops = Tops {
                words: Some(("vocab_transform", e.act, "vocab_layer_norm")),
                word_bias: "vocab_projector.bias",
                classifier: "classifier",
            };
            finish(net, &e, other, x, &tops)?;
        }
    }
    Ok(())
}

pub(super) fn mpnet(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let e = Encoder { names: MPNET, types: 0, padding: Some(1), ..Encoder::of(c, "mpnet.") };
    c.check()?;
    let x = e.states(net, true)?;
    match head {
        Head::None => bare(net, &e, x, "pooler.dense")?,
        Head::SequenceClassification => {
            by_first(net, &e, x, ("classifier.dense", Act::Tanh, "classifier.out_proj"))?;
        }
        other => {
            let tops = Tops {
                words: Some(("lm_head.dense", Act::Gelu, "lm_head.layer_norm")),
                word_bias: "lm_head.bias",
                classifier: "classifier",
            };
            finish(net, &e, other, x, &tops)?;
        }
    }
    Ok(())
}

pub(super) fn albert(c: &Config, net: &mut Net<'_>, head: Head) -> Result<(), Diags> {
    let plain = Encoder::of(c, "albert.");
    let e = Encoder {
        names: ALBERT,
        embedding: c.size_or("embedding_size", 128),
        act: c.act("hidden_act", "gelu_new"),
        ..plain
    };
    let groups = c.size_or("num_hidden_groups", 1);
    let inner = c.size_or("inner_group_num", 1);
    c.check()?;
    let inputs = inputs(net, e.base, e.types);
    let x = e.embedded(net, &inputs)?;
    let mut x = net.dense("albert.encoder.embedding_hidden_mapping_in", x, (e.embedding, e.hidden), true)?;
    let seen = inputs.seen(net)?;
    for i in 0..e.layers {
        let group = i * groups / e.layers;
        for j in 0..inner {
            let at = e.name(&format!("encoder.albert_layer_groups.{group}.albert_layers.{j}"));
            x = e.layer(net, &at, x, seen)?;
        }
    }
    match head {
        Head::None => bare(net, &e, x, "pooler")?,
        Head::SequenceClassification => {
            let y = e.pooled(net, "pooler", x)?;
            classified(net, "classifier", y, e.hidden, e.labels)?;
        }
        other => {
            let tops = Tops {
                words: Some(("predictions.dense", e.act, "predictions.LayerNorm")),
                word_bias: "predictions.bias",
                classifier: "classifier",
            };
            finish(net, &e, other, x, &tops)?;
        }
    }
    Ok(())
}
