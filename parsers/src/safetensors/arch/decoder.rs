//! Decoders of text: a stack of layers whose parts differ from family to family, with or without the keys and values of what came before.
use super::attention::Heads;
use super::blocks::{Net, R, V};
use super::config::{Act, Config};
use super::ops::Axis;
use super::rotary::{Angles, Rope};
use hoist_ir::attr::Attr;
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
    fn normed(&self, net: &mut Net<'_>, name: &str, x: V) -> R<V> {
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
    /// A linear layer with weights in this family's order.
    fn linear(&self, net: &mut Net<'_>, name: &str, x: V, outer: usize, bias: bool) -> R<V> {
        let inner = net.width(x);
        if !self.transposed {
            return net.dense(name, x, (inner, outer), bias);
        }
        net.at(name);
        let w = net.param(&format!("{name}.weight"), &[inner, outer])?;
        let b = if bias { Some(net.param(&format!("{name}.bias"), &[outer])?) } else { None };
        net.product(x, w, b)
    }
    /// Queries, keys and values, `[batch, sequence, ..]`.
    fn projected(&self, net: &mut Net<'_>, at: &str, x: V) -> R<[V; 3]> {
        let Heads { count, groups, size, .. } = self.heads;
        let bias = self.bias[0];
        match self.qkv {
            Qkv::Apart([q, k, v]) => {
                let mut part = |name, n| self.linear(net, &format!("{at}.{name}"), x, n * size, bias);
                Ok([part(q, count)?, part(k, groups)?, part(v, groups)?])
            }
            Qkv::Joined(name) => {
                let sizes = [count * size, groups * size, groups * size];
                let y = self.linear(net, &format!("{at}.{name}"), x, sizes.iter().sum(), bias)?;
                let parts = net.split(y, &sizes)?;
                Ok([parts[0], parts[1], parts[2]])
            }
            Qkv::PerHead(name) => {
                let y = self.linear(net, &format!("{at}.{name}"), x, 3 * count * size, bias)?;
                self.grouped(net, y, count, 1)
            }
            Qkv::PerGroup(name) => {
                let y = self.linear(net, &format!("{at}.{name}"), x, (count + 2 * groups) * size, bias)?;
                self.grouped(net, y, groups, count / groups)
            }
        }
    }
    /// Parts of `groups` groups, each of `queries` queries, a key and a value.
    fn grouped(&self, net: &mut Net<'_>, y: V, groups: usize, queries: usize) -> R<[V; 3]> {
        let size = self.heads.size;
        let y = net.reshape(y, &[0, 0, groups as i64, (queries + 2) as i64, size as i64])?;
        let n = queries as i64;
        let mut part = |from: i64, to: i64| {
            let p = net.slice(y, 3, from, to)?;
            net.reshape(p, &[0, 0, groups as i64 * (to - from) * size as i64])
        };
        Ok([part(0, n)?, part(n, n + 1)?, part(n + 1, n + 2)?])
    }
    fn attended(
        &self,
        net: &mut Net<'_>,
        at: &str,
        x: V,
        i: usize,
        step: &Step,
        past: Option<(V, V)>,
    ) -> R<V> {
        let at = format!("{at}.{}", self.attention);
        let Heads { count, groups, size, .. } = self.heads;
        let [mut q, mut k, v] = self.projected(net, &at, x)?;
        if let Some((names, false)) = self.qk_norm {
            q = self.normed(net, &format!("{at}.{}", names[0]), q)?;
            k = self.normed(net, &format!("{at}.{}", names[1]), k)?;
        }
        net.at(&at);
        let (mut q, mut k, mut v) =
            (net.apart(q, count, size)?, net.apart(k, groups, size)?, net.apart(v, groups, size)?);
        if let Some((names, true)) = self.qk_norm {
            q = self.normed(net, &format!("{at}.{}", names[0]), q)?;
            k = self.normed(net, &format!("{at}.{}", names[1]), k)?;
            net.at(&at);
        }
        if let Some(angles) = self.rope_of.get(i).copied().flatten().and_then(|r| step.angles.get(r)) {
            q = net.turned(q, angles)?;
            k = net.turned(k, angles)?;
        }
        if let Some((old_k, old_v)) = past {
            k = net.concat(&[old_k, k], 2)?;
            v = net.concat(&[old_v, v], 2)?;
            net.output(&format!("present.{i}.key"), k);
            net.output(&format!("present.{i}.value"), v);
        }
        let mask = step.mask(self.window_of.get(i).copied().flatten());
        let y = net.attend((q, k, v), &self.heads, mask)?;
        self.linear(net, &format!("{at}.{}", self.output), y, self.hidden, self.bias[1])
    }
    fn fed(&self, net: &mut Net<'_>, at: &str, x: V, i: usize) -> R<V> {
        let place = if self.mlp_at.is_empty() { at.to_owned() } else { format!("{at}.{}", self.mlp_at) };
        let bias = self.bias[2];
        let name = |n: &str| format!("{place}.{n}");
        match &self.mlp {
            Mlp::Plain { first, second } => {
                let y = self.linear(net, &name(first), x, self.inner, bias)?;
                let y = net.act(self.act, y)?;
                self.linear(net, &name(second), y, self.hidden, bias)
            }
            Mlp::Gated { gate, up, down } => {
                self.gated(net, x, [&name(gate), &name(up), &name(down)], self.inner, bias)
            }
            Mlp::GatedJoined { both, down } => {
                let y = self.linear(net, &name(both), x, 2 * self.inner, bias)?;
                let parts = net.split(y, &[self.inner, self.inner])?;
                let gate = net.act(self.act, parts[0])?;
                let y = net.of("mul", &[gate, parts[1]])?;
                self.linear(net, &name(down), y, self.hidden, bias)
            }
            Mlp::Experts(e) if e.step > 0 && (i + 1).is_multiple_of(e.step) && !e.without.contains(&i) => {
                self.routed(net, &place, x, e)
            }
            Mlp::Experts(_) => {
                let names = [name("gate_proj"), name("up_proj"), name("down_proj")];
                self.gated(net, x, [&names[0], &names[1], &names[2]], self.inner, bias)
            }
        }
    }
    fn gated(&self, net: &mut Net<'_>, x: V, names: [&str; 3], inner: usize, bias: bool) -> R<V> {
        let gate = self.linear(net, names[0], x, inner, bias)?;
        let gate = net.act(self.act, gate)?;
        let up = self.linear(net, names[1], x, inner, bias)?;
        let y = net.of("mul", &[gate, up])?;
        self.linear(net, names[2], y, self.hidden, bias)
    }
    /// All experts run on all tokens, whose shares in those they do not take are 0.
    fn routed(&self, net: &mut Net<'_>, place: &str, x: V, e: &Experts) -> R<V> {
        let name = format!("{place}.{}", e.router);
        let scores = net.dense(&name, x, (self.hidden, e.count), false)?;
        let scores = net.cast(scores, DType::F32)?;
        let shares = net.softmax(scores, -1)?;
        let k = net.ints(&[e.taken as i64]);
        let top = net.many("top_k", &[Some(shares), Some(k)], &[("axis", Attr::Int(-1))], 2)?;
        let mut best = top[0];
        if e.normalized {
            let axes = net.ints(&[-1]);
            let sum = net.op("reduce_sum", &[best, axes], &[("keepdims", Attr::Bool(true))])?;
            best = net.of("div", &[best, sum])?;
        }
        let zero = net.floats(&[], vec![0.0]);
        let none = net.of("mul", &[shares, zero])?;
        let shares = net.op("scatter_elements", &[none, top[1], best], &[("axis", Attr::Int(-1))])?;
        let shares = net.cast(shares, net.dtype)?;
        let mut total = None;
        for n in 0..e.count {
            let names = e.names.map(|part| format!("{place}.{}.{n}.{part}", e.prefix));
            let y = self.gated(net, x, [&names[0], &names[1], &names[2]], e.width, false)?;
            net.at(&name);
            let share = net.slice(shares, -1, n as i64, n as i64 + 1)?;
            let y = net.of("mul", &[y, share])?;
            total = Some(match total {
                None => y,
                Some(t) => net.of("add", &[t, y])?,
            });
        }
        Ok(total.unwrap_or(x))
    }
}

/// What all layers share.
struct Step {
    positions: V,
    /// Whether positions are an input.
    given: bool,
    angles: Vec<Angles>,
    /// Masks by window.
    masks: Vec<(Option<usize>, V)>,
}

impl Step {
    fn new(
        net: &mut Net<'_>,
        d: &Decoder,
        (ids, mask, given): (V, V, Option<V>),
        past: &[(V, V)],
    ) -> R<Self> {
        net.at("positions");
        let count = net.size_of(ids, 1)?;
        let before = match past.first() {
            Some((key, _)) => Some(net.size_of(*key, 2)?),
            None => None,
        };
        let end = match before {
            Some(before) => net.of("add", &[before, count])?,
            None => count,
        };
        let queries = net.range(before, end)?;
        let keys = if before.is_some() { net.range(None, end)? } else { queries };
        let positions = match given {
            Some(given) => given,
            None => {
                // Each sequence of a batch has the same.
                let row = net.unsqueeze(queries, &[0])?;
                let batch = net.size_of(ids, 0)?;
                let sizes = net.concat(&[batch, count], 0)?;
                net.of("expand", &[row, sizes])?
            }
        };
        let mut masks = vec![];
        let mut windows: Vec<Option<usize>> = d.window_of.clone();
        windows.sort_unstable();
        windows.dedup();
        for window in windows {
            let mut seen = net.causal_mask(queries, keys, window, Some(mask))?;
            if matches!(d.positions, Positions::Alibi) {
                seen = alibi(net, seen, mask, d.heads.count)?;
            }
            masks.push((window, seen));
        }
        let angles = d.ropes.iter().map(|r| r.angles(net, positions)).collect::<R<_>>()?;
        Ok(Self { positions, given: given.is_some(), angles, masks })
    }
    fn mask(&self, window: Option<usize>) -> Option<V> {
        self.masks.iter().find(|(w, _)| *w == window).map(|(_, m)| *m)
    }
}

/// A mask with biases that grow with the position of the key, by a slope of each head. (Press and others, "Train short, test long", 2021.)
fn alibi(net: &mut Net<'_>, seen: V, mask: V, heads: usize) -> R<V> {
    let near = 1usize << heads.ilog2();
    let power = |base: f64, i: usize| libm::pow(base, i as f64);
    let base = libm::exp2(-libm::exp2(-(f64::from(near.ilog2()) - 3.0)));
    let mut slopes: Vec<f32> = (1..=near).map(|i| power(base, i) as f32).collect();
    let extra = libm::exp2(-libm::exp2(-(f64::from((2 * near).ilog2()) - 3.0)));
    slopes.extend((0..heads - near).map(|i| power(extra, 2 * i + 1) as f32));
    net.at("alibi");
    let axis = net.int(1);
    let places = net.of("cum_sum", &[mask, axis])?;
    let one = net.int(1);
    let places = net.of("sub", &[places, one])?;
    let places = net.of("mul", &[places, mask])?;
    let places = net.cast(places, net.dtype)?;
    let places = net.unsqueeze(places, &[1, 2])?;
    let slopes = net.floats(&[heads, 1, 1], slopes);
    let slopes = net.cast(slopes, net.dtype)?;
    let bias = net.of("mul", &[places, slopes])?;
    let low = net.lowest()?;
    net.of("where", &[seen, bias, low])
}
