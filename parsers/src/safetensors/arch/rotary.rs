//! Rotary positions and their scaling variants.
//!
//! Sources: Su and others, "`RoFormer`" (2021); Peng and others, "`YaRN`" (2023); Ding and others, "`LongRoPE`" (2024); the frequencies of Llama 3.1 as published with
//! its weights. Names as in `rope_parameters` of transformers 5, and `rope_scaling` with `rope_theta` before.
use super::blocks::{Net, R, V};
use super::config::Config;
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use std::f64::consts::TAU;

/// How positions turn features.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Rope {
    /// Angle per position of each pair of features.
    frequencies: Vec<f32>,
    /// Those beyond a number of positions.
    long: Option<(usize, Vec<f32>)>,
    /// Factor of cosines and sines.
    factor: f64,
    /// Whether a pair is two neighbours.
    pub interleaved: bool,
}

/// Cosines and sines, `[batch, sequence, pairs]`.
#[derive(Clone, Copy)]
pub(super) struct Angles {
    cos: V,
    sin: V,
    interleaved: bool,
    /// Features that are turned.
    size: usize,
}

impl Rope {
    /// That of a model whose heads have `size` features; `kind` names one of several in `rope_parameters`.
    pub fn of(config: &Config, size: usize, kind: Option<&str>) -> Self {
        Self::of_part(config, size, kind, 1.0)
    }
    /// The same for a family that turns this part of the features when nothing else is said.
    pub fn of_part(config: &Config, size: usize, kind: Option<&str>, default: f64) -> Self {
        let nested = |c: Config| match kind {
            Some(kind) if c.has(kind) => c.sub(kind),
            _ => c,
        };
        let own =
            ["rope_parameters", "rope_scaling"].iter().find(|k| config.has(k)).map(|k| nested(config.sub(k)));
        let empty = Config::new(serde_json::Value::Null);
        let own = own.as_ref().unwrap_or(&empty);
        let local = (kind == Some("sliding_attention"))
            .then(|| ["rope_local_base_freq", "local_rope_theta"].iter().find_map(|k| config.opt_float(k)))
            .flatten();
        let old =
            ["rope_theta", "rotary_emb_base", "global_rope_theta"].iter().find_map(|k| config.opt_float(k));
        let base = own.opt_float("rope_theta").or(local).or(old).unwrap_or(10000.0);
        let share = ["partial_rotary_factor", "rotary_pct"];
        let part =
            share.iter().find_map(|k| own.opt_float(k).or_else(|| config.opt_float(k))).unwrap_or(default);
        let turned = ((size as f64 * part) as usize).clamp(2, size.max(2)) / 2 * 2;
        let plain: Vec<f64> =
            (0..turned / 2).map(|i| libm::pow(base, -(2.0 * i as f64) / turned as f64)).collect();
        let scaling = local.is_none().then(|| own.text("rope_type").or_else(|| own.text("type"))).flatten();
        let first = "original_max_position_embeddings";
        let scaled = Scaling {
            config,
            own,
            base,
            plain,
            positions: config.size_or("max_position_embeddings", 2048),
            first: own.opt_size(first).or_else(|| config.opt_size(first)),
        };
        match scaling.unwrap_or("default") {
            "default" => scaled.plain(),
            "linear" => scaled.linear(),
            "llama3" => scaled.llama3(),
            "yarn" => scaled.yarn(),
            "longrope" | "su" => scaled.long(),
            other => {
                let m = format!("config.json: positions of kind `{other}` are not read");
                let known = "there are: default, linear, llama3, yarn, longrope";
                config.problem(Diag::error("E0301", m).hint(known));
                scaled.plain()
            }
        }
    }
    fn new(frequencies: &[f64], factor: f64) -> Self {
        let frequencies = frequencies.iter().map(|f| *f as f32).collect();
        Self { frequencies, long: None, factor, interleaved: false }
    }
    /// Cosines and sines of `positions`, `[batch, sequence]`.
    pub fn angles(&self, net: &mut Net<'_>, positions: V) -> R<Angles> {
        net.at("rotary_emb");
        let count = self.frequencies.len();
        let mut frequencies = net.floats(&[count], self.frequencies.clone());
        if let Some((start, long)) = &self.long {
            // The longest sequence decides for all.
            let last =
                net.op_opt("reduce_max", &[Some(positions), None], &[("keepdims", Attr::Bool(false))])?;
            let most = net.int(*start as i64 - 1);
            let beyond = net.of("greater", &[last, most])?;
            let long = net.floats(&[count], long.clone());
            frequencies = net.of("where", &[beyond, long, frequencies])?;
        }
        let positions = net.cast(positions, DType::F32)?;
        let positions = net.unsqueeze(positions, &[-1])?;
        let angles = net.of("mul", &[positions, frequencies])?;
        let mut part = |name: &str| {
            let y = net.of(name, &[angles])?;
            let y = if self.factor == 1.0 {
                y
            } else {
                let f = net.floats(&[], vec![self.factor as f32]);
                net.of("mul", &[y, f])?
            };
            net.cast(y, net.dtype)
        };
        Ok(Angles { cos: part("cos")?, sin: part("sin")?, interleaved: self.interleaved, size: 2 * count })
    }
}

/// What scaling starts from.
struct Scaling<'c> {
    config: &'c Config,
    /// What the configuration says about positions.
    own: &'c Config,
    base: f64,
    /// Frequencies without scaling.
    plain: Vec<f64>,
    /// Positions of the model, and of the one that was trained first.
    positions: usize,
    first: Option<usize>,
}

impl Scaling<'_> {
    fn plain(&self) -> Rope {
        Rope::new(&self.plain, 1.0)
    }
    fn linear(&self) -> Rope {
        let by = self.own.float("factor");
        Rope::new(&self.plain.iter().map(|f| f / by).collect::<Vec<_>>(), 1.0)
    }
    /// Long waves by the factor, short ones not, those between by a mean.
    fn llama3(&self) -> Rope {
        let own = self.own;
        let (by, low, high) =
            (own.float("factor"), own.float("low_freq_factor"), own.float("high_freq_factor"));
        let first = self.first.unwrap_or(self.positions) as f64;
        let scaled = |f: &f64| {
            let length = TAU / f;
            if length > first / low {
                f / by
            } else if length >= first / high {
                let smooth = (first / length - low) / (high - low);
                (1.0 - smooth) * f / by + smooth * f
            } else {
                *f
            }
        };
        Rope::new(&self.plain.iter().map(scaled).collect::<Vec<_>>(), 1.0)
    }
    /// A ramp between waves that turn often, which stay, and those that turn seldom.
    fn yarn(&self) -> Rope {
        let (own, size) = (self.own, 2.0 * self.plain.len() as f64);
        let by = own.float("factor");
        let first = self.first.unwrap_or(self.positions) as f64;
        let edge = |turns: f64| size * libm::log(first / (turns * TAU)) / (2.0 * libm::log(self.base));
        let (fast, slow) = (edge(own.float_or("beta_fast", 32.0)), edge(own.float_or("beta_slow", 1.0)));
        let (fast, slow) =
            if own.flag("truncate", true) { (fast.floor(), slow.ceil()) } else { (fast, slow) };
        let (low, mut high) = (fast.max(0.0), slow.min(size - 1.0));
        if low >= high {
            high = low + 0.001;
        }
        let ramp = |i: usize| ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
        let scaled: Vec<f64> =
            self.plain.iter().enumerate().map(|(i, f)| f / by * ramp(i) + f * (1.0 - ramp(i))).collect();
        let scale = |m: f64| if by <= 1.0 { 1.0 } else { 0.1 * m * libm::log(by) + 1.0 };
        let stated = ["attention_factor", "mscale", "mscale_all_dim"].map(|k| own.opt_float(k));
        let factor = match stated {
            [Some(f), ..] => f,
            [None, Some(m), Some(all)] if m != 0.0 && all != 0.0 => scale(m) / scale(all),
            _ => scale(1.0),
        };
        Rope::new(&scaled, factor)
    }
    /// A factor for each frequency, others beyond the positions that were trained first.
    fn long(&self) -> Rope {
        let each = |key: &str| -> Vec<f64> {
            let list = self.own.get(key).and_then(serde_json::Value::as_array);
            let all: Vec<f64> = list.into_iter().flatten().filter_map(serde_json::Value::as_f64).collect();
            if all.len() != self.plain.len() {
                let (n, m) = (all.len(), self.plain.len());
                let m = format!("config.json: `{key}` has {n} numbers for {m} frequencies");
                self.config.problem(Diag::error("E0206", m));
            }
            self.plain.iter().zip(all).map(|(f, e)| f / e).collect()
        };
        let start = self.first.unwrap_or(self.positions);
        let by = match self.first {
            Some(first) => self.positions as f64 / first as f64,
            None => self.own.float_or("factor", 1.0),
        };
        let default = if by <= 1.0 { 1.0 } else { libm::sqrt(1.0 + libm::log(by) / libm::log(start as f64)) };
        let plain = Rope::new(&each("short_factor"), self.own.float_or("attention_factor", default));
        let long = each("long_factor").iter().map(|f| *f as f32).collect();
        Rope { long: Some((start, long)), ..plain }
    }
}

impl Net<'_> {
    /// Heads `[batch, heads, sequence, size]`, turned.
    pub fn turned(&mut self, x: V, angles: &Angles) -> R<V> {
        let attrs = [
            ("interleaved", Attr::Bool(angles.interleaved)),
            ("rotary_embedding_dim", Attr::Int(angles.size as i64)),
        ];
        self.op("rotary_embedding", &[x, angles.cos, angles.sin], &attrs)
    }
}
