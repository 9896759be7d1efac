//! Decoders of text: a stack of layers whose parts differ from family to family, with or without the keys and values of what came before.
use super::attention::Heads;
use super::blocks::{Net, R, V};
use super::config::{Act, Config};
use super::layers::Step;
use super::ops::Axis;
use super::rotary::Rope;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;

/// Normalizations.
#[derive(Clone, Copy)]
pub(super) enum Norm {
    Layer {
        eps: f64,
        bias: bool,
    },
    /// By `w`, or by `1 + w`.
    Rms {
        eps: f64,
        plus_one: bool,
    },
}

/// Where the normalizations of a layer are; names of each.
#[derive(Clone, Copy)]
pub(super) enum Order {
    /// Before attention and before the feed-forward part.
    Before(&'static str, &'static str),
    /// Behind both, before the sum.
    Behind(&'static str, &'static str),
    /// Before and behind both.
    Around([&'static str; 4]),
    /// Behind the sums.
    BehindSums(&'static str, &'static str),
    /// One before both, which run side by side.
    Parallel(&'static str),
    /// One before each, and both run side by side.
    ParallelTwo(&'static str, &'static str),
}

/// How queries, keys and values are projected.
#[derive(Clone, Copy)]
pub(super) enum Qkv {
    Apart([&'static str; 3]),
    /// One layer: all queries, all keys, all values.
    Joined(&'static str),
    /// One layer: query, key and value of each head together.
    PerHead(&'static str),
    /// One layer: the queries of each group with its key and value.
    PerGroup(&'static str),
}

/// The feed-forward part; names of its layers.
#[derive(Clone)]
pub(super) enum Mlp {
    /// `down(act(gate(x)) * up(x))`.
    Gated {
        gate: &'static str,
        up: &'static str,
        down: &'static str,
    },
    /// The same with gate and up in one layer.
    GatedJoined {
        both: &'static str,
        down: &'static str,
    },
    /// `second(act(first(x)))`.
    Plain {
        first: &'static str,
        second: &'static str,
    },
    Experts(Experts),
}

/// Several feed-forward parts, of which a token takes some.
#[derive(Clone)]
pub(super) struct Experts {
    pub router: &'static str,
    pub prefix: &'static str,
    pub names: [&'static str; 3],
    pub count: usize,
    pub taken: usize,
    pub width: usize,
    /// Whether the weights of those taken sum up to 1.
    pub normalized: bool,
    /// Every how many layers, and layers without.
    pub step: usize,
    pub without: Vec<usize>,
}

/// How positions enter.
#[derive(Clone)]
pub(super) enum Positions {
    Rope,
    /// A table behind this name, whose rows begin with `offset`. Where real tokens are counted, padding is not.
    Learned {
        name: &'static str,
        rows: usize,
        offset: usize,
        counts_real: bool,
    },
    /// Biases of the scores that fall with distance.
    Alibi,
}

/// What a family is made of.
#[derive(Clone)]
pub(super) struct Decoder {
    /// What weights of the model without a task begin with.
    pub base: &'static str,
    pub embed: &'static str,
    /// Features of the table of tokens, where they are projected.
    pub embed_size: Option<usize>,
    pub embed_norm: Option<&'static str>,
    pub embed_scale: f64,
    pub layers: &'static str,
    pub final_norm: Option<&'static str>,
    pub count: usize,
    pub vocabulary: usize,
    pub hidden: usize,
    pub inner: usize,
    pub heads: Heads,
    pub norm: Norm,
    pub order: Order,
    pub qkv: Qkv,
    pub attention: &'static str,
    pub output: &'static str,
    pub mlp_at: &'static str,
    pub mlp: Mlp,
    pub act: Act,
    /// Biases of queries, keys and values; of what comes out; of the feed-forward part; of the head.
    pub bias: [bool; 4],
    /// Weights as `[in, out]`.
    pub transposed: bool,
    /// Normalizations of queries and keys: their names, and whether each head has its own.
    pub qk_norm: Option<([&'static str; 2], bool)>,
    pub positions: Positions,
    /// Kinds of rotary positions; empty for none.
    pub ropes: Vec<Rope>,
    /// Kind of each layer.
    pub rope_of: Vec<Option<usize>>,
    /// Window of each layer.
    pub window_of: Vec<Option<usize>>,
    /// Factor of what each part adds.
    pub residual: f64,
    /// Bound of the logits by tanh; 0 is none.
    pub logit_cap: f64,
    pub logit_scale: f64,
    pub head: &'static str,
    pub tied: bool,
}

impl Decoder {
    /// The parts that most families have, named as Llama names them.
    pub fn llama(c: &Config) -> Self {
        let (hidden, count) = (c.size("hidden_size"), c.size("num_attention_heads"));
        let layers = c.layers("num_hidden_layers");
        let groups = c.size_or("num_key_value_heads", count);
        let size = c.opt_size("head_dim").unwrap_or_else(|| c.head_size(hidden, count));
        if !count.is_multiple_of(groups) {
            let m = format!("config.json: {count} heads of queries do not divide into {groups} of keys");
            c.problem(Diag::error("E0206", m));
        }
        Self {
            base: "model.",
            embed: "model.embed_tokens",
            embed_size: None,
            embed_norm: None,
            embed_scale: 1.0,
            layers: "model.layers",
            final_norm: Some("model.norm"),
            count: layers,
            vocabulary: c.size("vocab_size"),
            hidden,
            inner: c.size_or("intermediate_size", 4 * hidden),
            heads: Heads { groups, ..Heads::new(count, size) },
            norm: Norm::Rms { eps: c.float_or("rms_norm_eps", 1e-6), plus_one: false },
            order: Order::Before("input_layernorm", "post_attention_layernorm"),
            qkv: Qkv::Apart(["q_proj", "k_proj", "v_proj"]),
            attention: "self_attn",
            output: "o_proj",
            mlp_at: "mlp",
            mlp: Mlp::Gated { gate: "gate_proj", up: "up_proj", down: "down_proj" },
            act: c.act("hidden_act", "silu"),
            bias: [false; 4],
            transposed: false,
            qk_norm: None,
            positions: Positions::Rope,
            ropes: vec![Rope::of(c, size, None)],
            rope_of: vec![Some(0); layers],
            window_of: vec![None; layers],
            residual: 1.0,
            logit_cap: 0.0,
            logit_scale: 1.0,
            head: "lm_head",
            tied: c.flag("tie_word_embeddings", false),
        }
    }
    /// Windows of the layers that `layer_types` calls `sliding_attention`; where it is absent, of those that `slides` says.
    pub fn with_windows(mut self, c: &Config, slides: impl Fn(usize) -> bool) -> Self {
        let types = c.texts("layer_types");
        let window = c.opt_size("sliding_window");
        let is =
            |i: usize| if types.is_empty() { slides(i) } else { types.get(i) == Some(&"sliding_attention") };
        self.window_of = (0..self.count).map(|i| window.filter(|_| is(i))).collect();
        self
    }

    /// Hidden states of the last layer, normalized.
    pub fn states(&self, net: &mut Net<'_>) -> R<V> {
        let wants = net.wants;
        net.built.past = wants.past;
        net.base = self.base;
        let text = [Axis::Name("batch_size"), Axis::Name("sequence_length")];
        let ids = net.input_of("input_ids", Some(DType::I64), &text);
        let all = if wants.past {
            Axis::Sum("past_sequence_length", "sequence_length")
        } else {
            Axis::Name("sequence_length")
        };
        let axes = [Axis::Name("batch_size"), all];
        let mask = match net.optional_input("attention_mask", true, Some(DType::I64), &axes) {
            Some(mask) => mask,
            None if wants.past => {
                return Err(Diag::error("E0603", "--with-past needs the input attention_mask"));
            }
            None => {
                // All tokens count.
                let sizes = net.op("shape", &[ids], &[])?;
                let one = net.int(1);
                net.of("expand", &[one, sizes])?
            }
        };
        let given = net.optional_input("position_ids", wants.past, Some(DType::I64), &text);
        let mut past = vec![];
        if wants.past {
            let shape = [
                Axis::Name("batch_size"),
                Axis::Size(self.heads.groups),
                Axis::Name("past_sequence_length"),
                Axis::Size(self.heads.size),
            ];
            for i in 0..self.count {
                let mut one = |part: &str| net.input_of(&format!("past_key_values.{i}.{part}"), None, &shape);
                past.push((one("key"), one("value")));
            }
        }
        let step = Step::new(net, self, (ids, mask, given), &past)?;
        let mut x = self.embedded(net, ids, mask, &step)?;
        for i in 0..self.count {
            x = self.layer(net, x, i, &step, past.get(i).copied())?;
        }
        match self.final_norm {
            Some(name) => self.normed(net, name, x),
            None => Ok(x),
        }
    }
    /// Logits of the next token.
    pub fn logits(&self, net: &mut Net<'_>, x: V) -> R<V> {
        let mut x = x;
        if let Some(size) = self.embed_size.filter(|s| *s != self.hidden) {
            x = net.dense(&format!("{}project_out", self.inside()), x, (self.hidden, size), false)?;
        }
        let width = self.embed_size.unwrap_or(self.hidden);
        let name = if self.tied { self.embed } else { self.head };
        let mut y = net.dense(name, x, (width, self.vocabulary), self.bias[3] && !self.tied)?;
        net.at(self.head);
        y = net.scaled(y, self.logit_scale)?;
        if self.logit_cap > 0.0 {
            y = net.scaled(y, 1.0 / self.logit_cap)?;
            y = net.of("tanh", &[y])?;
            y = net.scaled(y, self.logit_cap)?;
        }
        Ok(y)
    }
    /// What the names of the model's parts begin with.
    fn inside(&self) -> &'static str {
        self.embed.rfind('.').map_or("", |at| &self.embed[..=at])
    }

    fn embedded(&self, net: &mut Net<'_>, ids: V, mask: V, step: &Step) -> R<V> {
        let size = self.embed_size.unwrap_or(self.hidden);
        let mut x = net.embedding(self.embed, ids, (self.vocabulary, size))?;
        if size != self.hidden {
            x = net.dense(&format!("{}project_in", self.inside()), x, (size, self.hidden), false)?;
        }
        x = net.scaled(x, self.embed_scale)?;
        if let Positions::Learned { name, rows, offset, counts_real } = self.positions {
            net.at(name);
            let mut at = step.positions;
            if counts_real && !step.given {
                // Padding has the position before the first.
                let axis = net.int(1);
                let sums = net.of("cum_sum", &[mask, axis])?;
                let sums = net.of("mul", &[sums, mask])?;
                let one = net.int(1);
                at = net.of("sub", &[sums, one])?;
            }
            if offset > 0 {
                let more = net.int(offset as i64);
                at = net.of("add", &[at, more])?;
            }
            let y = net.embedding(name, at, (rows + offset, self.hidden))?;
            x = net.of("add", &[x, y])?;
        }
        match self.embed_norm {
            Some(name) => self.normed(net, name, x),
            None => Ok(x),
        }
    }
    pub(super) fn normed(&self, net: &mut Net<'_>, name: &str, x: V) -> R<V> {
        let size = net.width(x);
        match self.norm {
            Norm::Layer { eps, bias } => net.layer_norm_with(name, x, size, eps, bias),
            Norm::Rms { eps, plus_one } => net.rms_norm(name, x, size, eps, plus_one),
        }
    }
    /// `x + y`, with the factor of what is added.
    fn sum(&self, net: &mut Net<'_>, x: V, y: V) -> R<V> {
        let y = net.scaled(y, self.residual)?;
        net.of("add", &[x, y])
    }
    fn layer(&self, net: &mut Net<'_>, x: V, i: usize, step: &Step, past: Option<(V, V)>) -> R<V> {
        let at = format!("{}.{i}", self.layers);
        let norm = |net: &mut Net<'_>, name: &str, x: V| self.normed(net, &format!("{at}.{name}"), x);
        match self.order {
            Order::Before(first, second) => {
                let y = norm(net, first, x)?;
                let y = self.attended(net, &at, y, i, step, past)?;
                let x = self.sum(net, x, y)?;
                let y = norm(net, second, x)?;
                let y = self.fed(net, &at, y, i)?;
                self.sum(net, x, y)
            }
            Order::Behind(first, second) => {
                let y = self.attended(net, &at, x, i, step, past)?;
                let y = norm(net, first, y)?;
                let x = self.sum(net, x, y)?;
                let y = self.fed(net, &at, x, i)?;
                let y = norm(net, second, y)?;
                self.sum(net, x, y)
            }
            Order::Around([a, b, c, d]) => {
                let y = norm(net, a, x)?;
                let y = self.attended(net, &at, y, i, step, past)?;
                let y = norm(net, b, y)?;
                let x = self.sum(net, x, y)?;
                let y = norm(net, c, x)?;
                let y = self.fed(net, &at, y, i)?;
                let y = norm(net, d, y)?;
                self.sum(net, x, y)
            }
            Order::BehindSums(first, second) => {
                let y = self.attended(net, &at, x, i, step, past)?;
                let x = self.sum(net, x, y)?;
                let x = norm(net, first, x)?;
                let y = self.fed(net, &at, x, i)?;
                let x = self.sum(net, x, y)?;
                norm(net, second, x)
            }
            Order::Parallel(name) => {
                let y = norm(net, name, x)?;
                let a = self.attended(net, &at, y, i, step, past)?;
                let b = self.fed(net, &at, y, i)?;
                let x = self.sum(net, x, a)?;
                self.sum(net, x, b)
            }
            Order::ParallelTwo(first, second) => {
                let y = norm(net, first, x)?;
                let a = self.attended(net, &at, y, i, step, past)?;
                let y = norm(net, second, x)?;
                let b = self.fed(net, &at, y, i)?;
                let x = self.sum(net, x, a)?;
                self.sum(net, x, b)
            }
        }
    }
}
