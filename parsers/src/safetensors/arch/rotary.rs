//! Rotary positions and their scaling variants.
//!
//! Sources: Su and others, "RoFormer" (2021); Peng and others, "YaRN" (2023); Ding and others, "LongRoPE" (2024); the frequencies of Llama 3.1 as published with
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
        let (mut out, mut factor) = (plain.clone(), 1.0);
        let mut long = None;
        let scaling = local.is_none().then(|| own.text("rope_type").or_else(|| own.text("type"))).flatten();
        let positions = config.size_or("max_position_embeddings", 2048);
        let first = own
            .opt_size("original_max_position_embeddings")
            .or_else(|| config.opt_size("original_max_position_embeddings"));
        match scaling.unwrap_or("default") {
            "default" => {}
            "linear" => {
                let by = own.float("factor");
                out.iter_mut().for_each(|f| *f /= by);
            }
            "llama3" => {
                let (by, low, high) =
                    (own.float("factor"), own.float("low_freq_factor"), own.float("high_freq_factor"));
                let first = first.unwrap_or(positions) as f64;
                for f in &mut out {
                    let length = TAU / *f;
                    if length > first / low {
                        *f /= by;
                    } else if length >= first / high {
                        let smooth = (first / length - low) / (high - low);
                        *f = (1.0 - smooth) * *f / by + smooth * *f;
                    }
                }
            }
            "yarn" => {
                let by = own.float("factor");
                let first = first.unwrap_or(positions) as f64;
                let edge =
                    |turns: f64| turned as f64 * libm::log(first / (turns * TAU)) / (2.0 * libm::log(base));
                let (fast, slow) =
                    (edge(own.float_or("beta_fast", 32.0)), edge(own.float_or("beta_slow", 1.0)));
                let (fast, slow) =
                    if own.flag("truncate", true) { (fast.floor(), slow.ceil()) } else { (fast, slow) };
                let (low, mut high) = (fast.max(0.0), slow.min(turned as f64 - 1.0));
                if low == high {
                    high += 0.001;
                }
                for (i, f) in out.iter_mut().enumerate() {
                    let ramp = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    *f = *f / by * ramp + *f * (1.0 - ramp);
                }
                let scale = |m: f64| if by <= 1.0 { 1.0 } else { 0.1 * m * libm::log(by) + 1.0 };
                factor = match (
                    own.opt_float("attention_factor"),
                    own.opt_float("mscale"),
                    own.opt_float("mscale_all_dim"),
                ) {
                    (Some(f), ..) => f,
                    (None, Some(m), Some(all)) if m != 0.0 && all != 0.0 => scale(m) / scale(all),
                    _ => scale(1.0),
                };
            }
            "longrope" | "su" => {
                let each = |key: &str| -> Vec<f64> {
                    let list = own.get(key).and_then(serde_json::Value::as_array);
                    let all: Vec<f64> =
                        list.into_iter().flatten().filter_map(serde_json::Value::as_f64).collect();
                    if all.len() != plain.len() {
                        let m = format!(
                            "config.json: `{key}` has {} numbers for {} frequencies",
                            all.len(),
                            plain.len()
                        );
                        config.problem(Diag::error("E0206", m));
                    }
                    plain.iter().zip(all).map(|(f, e)| f / e).collect()
                };
                out = each("short_factor");
                let start = first.unwrap_or(positions);
                long = Some((start, each("long_factor").iter().map(|f| *f as f32).collect()));
                let by = if first.is_some() {
                    positions as f64 / start as f64
                } else {
                    own.float_or("factor", 1.0)
                };
                let default =
                    if by <= 1.0 { 1.0 } else { libm::sqrt(1.0 + libm::log(by) / libm::log(start as f64)) };
                factor = own.float_or("attention_factor", default);
            }
            other => {
                let m = format!("config.json: positions of kind `{other}` are not read");
                let known = "there are: default, linear, llama3, yarn, longrope";
                config.problem(Diag::error("E0301", m).hint(known));
            }
        }
        Self { frequencies: out.iter().map(|f| *f as f32).collect(), long, factor, interleaved: false }
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
