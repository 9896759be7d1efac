//! The parts of a decoder's layers: projections, attention, feed-forward networks, and what all layers share.
use super::attention::Heads;
use super::blocks::{Net, R, V};
use super::decoder::{Decoder, Experts, Mlp, Positions, Qkv};
use super::rotary::Angles;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

impl Decoder {
    /// A linear layer with weights in this family's order.
    pub(super) fn linear(&self, net: &mut Net<'_>, name: &str, x: V, outer: usize, bias: bool) -> R<V> {
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
    pub(super) fn attended(
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
        if let Some(([q_norm, k_norm], false)) = self.qk_norm {
            q = self.normed(net, &format!("{at}.{q_norm}"), q)?;
            k = self.normed(net, &format!("{at}.{k_norm}"), k)?;
        }
        net.at(&at);
        let (mut q, mut k, mut v) =
            (net.apart(q, count, size)?, net.apart(k, groups, size)?, net.apart(v, groups, size)?);
        if let Some(([q_norm, k_norm], true)) = self.qk_norm {
            q = self.normed(net, &format!("{at}.{q_norm}"), q)?;
            k = self.normed(net, &format!("{at}.{k_norm}"), k)?;
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
    pub(super) fn fed(&self, net: &mut Net<'_>, at: &str, x: V, i: usize) -> R<V> {
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
pub(super) struct Step {
    pub positions: V,
    /// Whether positions are an input.
    pub given: bool,
    angles: Vec<Angles>,
    /// Masks by window.
    masks: Vec<(Option<usize>, V)>,
}

impl Step {
    pub fn new(
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
        let positions = if let Some(given) = given {
            given
        } else {
            // Each sequence of a batch has the same.
            let row = net.unsqueeze(queries, &[0])?;
            let batch = net.size_of(ids, 0)?;
            let sizes = net.concat(&[batch, count], 0)?;
            net.of("expand", &[row, sizes])?
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
