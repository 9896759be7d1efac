//! Attention: heads, who sees whom, positions in the scores.
use super::blocks::{Net, R, V};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

/// Heads of a layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads {
    /// Of queries.
    pub count: usize,
    /// Of keys and values.
    pub groups: usize,
    /// Features of each.
    pub size: usize,
    /// Factor of the products; `1 / sqrt(size)` when absent.
    pub scale: Option<f64>,
    /// Bound of the products by tanh; 0 is none.
    pub softcap: f64,
}

impl Heads {
    /// As many of keys as of queries.
    pub fn new(count: usize, size: usize) -> Self {
        Self { count, groups: count, size, scale: None, softcap: 0.0 }
    }
}

impl Net<'_> {
    /// `[batch, sequence, heads * size]` as `[batch, heads, sequence, size]`.
    pub fn apart(&mut self, x: V, heads: usize, size: usize) -> R<V> {
        let x = self.reshape(x, &[0, 0, heads as i64, size as i64])?;
        self.transpose(x, &[0, 2, 1, 3])
    }
    /// The inverse of [`Self::apart`].
    pub fn joined(&mut self, x: V, width: usize) -> R<V> {
        let x = self.transpose(x, &[0, 2, 1, 3])?;
        self.reshape(x, &[0, 0, width as i64])
    }
    /// Attention of heads that are apart; `[batch, sequence, heads * size]`. The mask is of truth values, or numbers that are added, `[batch or 1, heads or 1,
    /// queries, keys]`.
    pub fn attend(&mut self, (q, k, v): (V, V, V), heads: &Heads, mask: Option<V>) -> R<V> {
        let mut attrs = vec![];
        if let Some(s) = heads.scale {
            attrs.push(("scale", Attr::Float(s as f32)));
        }
        if heads.softcap > 0.0 {
            attrs.push(("softcap", Attr::Float(heads.softcap as f32)));
        }
        let y = self.op_opt("attention", &[Some(q), Some(k), Some(v), mask], &attrs)?;
        self.joined(y, heads.count * heads.size)
    }
    /// `torch`'s usual self-attention: linear layers called so below `name`, all with or without a bias.
    pub fn self_attention(
        &mut self,
        name: &str,
        x: V,
        parts: [&str; 4],
        heads: &Heads,
        bias: bool,
        mask: Option<V>,
    ) -> R<V> {
        self.cross_attention(name, (x, x), parts, heads, [bias; 4], mask)
    }
    /// Attention of `x` on `memory`.
    pub fn cross_attention(
        &mut self,
        name: &str,
        (x, memory): (V, V),
        parts: [&str; 4],
        heads: &Heads,
        bias: [bool; 4],
        mask: Option<V>,
    ) -> R<V> {
        let hidden = self.width(x);
        let width = heads.count * heads.size;
        let mut part = |i: usize, from: V, count: usize| {
            let y = self.dense(
                &format!("{name}.{}", parts[i]),
                from,
                (self.width(from), count * heads.size),
                bias[i],
            )?;
            self.apart(y, count, heads.size)
        };
        let q = part(0, x, heads.count)?;
        let k = part(1, memory, heads.groups)?;
        let v = part(2, memory, heads.groups)?;
        self.at(name);
        let y = self.attend((q, k, v), heads, mask)?;
        self.dense(&format!("{name}.{}", parts[3]), y, (width, hidden), bias[3])
    }
    /// Number of features: the size of the last axis.
    pub fn width(&self, x: V) -> usize {
        self.dims(x).last().and_then(|d| d.known()).map_or(1, |n| n as usize)
    }

    /// Which keys an encoder sees: `[batch, 1, sequence, sequence]` of a mask `[batch, sequence]` of ones and zeros.
    pub fn encoder_mask(&mut self, mask: V) -> R<V> {
        self.memory_mask(mask, mask)
    }
    /// Which of the keys that `mask` is of are seen by queries of which `queries`, `[batch, sequence, ..]`, has as many.
    pub fn memory_mask(&mut self, mask: V, queries: V) -> R<V> {
        self.at("attention_mask");
        let seen = self.truths(mask)?;
        let (batch, keys) = (self.size_of(mask, 0)?, self.size_of(mask, 1)?);
        let rows = self.size_of(queries, 1)?;
        let one = self.ints(&[1]);
        let sizes = self.concat(&[batch, one, rows, keys], 0)?;
        let seen = self.unsqueeze(seen, &[1, 2])?;
        self.of("expand", &[seen, sizes])
    }
    /// Whether integers are not 0.
    pub fn truths(&mut self, x: V) -> R<V> {
        self.cast(x, DType::Bool)
    }
    /// `start..end`, of which both are lists of one integer.
    pub fn range(&mut self, start: Option<V>, end: V) -> R<V> {
        let scalar = |net: &mut Self, v: V| net.squeeze(v, &[0]);
        let start = match start {
            Some(v) => scalar(self, v)?,
            None => self.int(0),
        };
        let (end, step) = (scalar(self, end)?, self.int(1));
        self.of("range", &[start, end, step])
    }
    /// Positions `0, 1, ..` for `ids` `[batch, sequence]`: `[1, sequence]`.
    pub fn places(&mut self, ids: V) -> R<V> {
        let end = self.size_of(ids, 1)?;
        let places = self.range(None, end)?;
        self.unsqueeze(places, &[0])
    }
    /// Which keys a decoder sees: those that are not later than the query, nor earlier than a window, and not padding. `queries` and `keys` are positions
    /// `[sequence]` and `[all]`; `mask` is `[batch, all]`. `[batch or 1, 1, sequence, all]`.
    pub fn causal_mask(&mut self, queries: V, keys: V, window: Option<usize>, mask: Option<V>) -> R<V> {
        self.at("causal_mask");
        let rows = self.unsqueeze(queries, &[1])?;
        let mut seen = self.of("less_or_equal", &[keys, rows])?;
        if let Some(window) = window {
            let width = self.int(window as i64);
            let first = self.of("sub", &[rows, width])?;
            let near = self.of("greater", &[keys, first])?;
            seen = self.of("and", &[seen, near])?;
        }
        let seen = self.unsqueeze(seen, &[0, 1])?;
        match mask {
            None => Ok(seen),
            Some(mask) => {
                let real = self.truths(mask)?;
                let real = self.unsqueeze(real, &[1, 2])?;
                self.of("and", &[seen, real])
            }
        }
    }
    /// What is added to scores that do not count: so low that nothing else matters, and not the lowest number, which runtimes take for minus infinity.
    pub fn lowest(&mut self) -> R<V> {
        self.num(if self.dtype == DType::F16 { -3e4 } else { -1e30 })
    }
    /// A mask of truth values as numbers to add.
    pub fn as_bias(&mut self, seen: V) -> R<V> {
        let (zero, low) = (self.num(0.0)?, self.lowest()?);
        self.of("where", &[seen, zero, low])
    }
}
