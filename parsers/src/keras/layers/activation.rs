//! Activation functions, by name and as layers.
use super::{Row, same};
use crate::keras::kx::{Kx, Mask, Tv, integer, number};
use crate::tensorflow::lift::bridge::Arg;
use crate::tensorflow::lift::cx::{Cx, R, V};
use hoist_ir::ops::elementwise::activation::{
    Approximate, Celu, Elu, Gelu, HardSigmoid, LeakyRelu, Shrink, Swish, ThresholdedRelu,
};
use hoist_ir::ops::elementwise::clip::Clip;
use hoist_ir::ops::reduce::softmax::{LogSoftmax, Softmax};
use serde_json::{Map, Value as Json};

pub(super) const TABLE: &[Row] = &[
    ("Activation", same, |kx| one(kx, |kx, x| kx.activated(x, "activation"))),
    ("ReLU", same, |kx| one(kx, relu_layer)),
    ("LeakyReLU", same, |kx| one(kx, leaky_layer)),
    ("PReLU", same, |kx| one(kx, p_relu)),
    ("ELU", same, |kx| one(kx, elu_layer)),
    ("ThresholdedReLU", same, |kx| one(kx, thresholded)),
    ("Softmax", same, |kx| one(kx, softmax_layer)),
];

fn one(kx: &mut Kx<'_, '_, '_>, f: fn(&mut Kx<'_, '_, '_>, V) -> R<V>) -> R<Vec<Tv>> {
    let x = kx.x()?;
    Ok(vec![f(kx, x)?.into()])
}

impl Kx<'_, '_, '_> {
    /// `x` through the function that the configuration calls `key`.
    pub fn activated(&mut self, x: V, key: &str) -> R<V> {
        let Some(json) = self.cfg(key).cloned() else { return Ok(x) };
        let old = self.weights.is_old();
        self.activated_by(x, &json, old)
    }
    fn activated_by(&mut self, x: V, json: &Json, old: bool) -> R<V> {
        if let Json::String(name) = json {
            return apply(&mut self.cx, name, x, &Map::new(), old);
        }
        let class = json.get("class_name").and_then(Json::as_str).unwrap_or_default();
        let config = json.get("config");
        match (class, config) {
            ("function", Some(Json::String(name))) => apply(&mut self.cx, name, x, &Map::new(), old),
            (_, Some(Json::Object(map))) => apply(&mut self.cx, class, x, map, old),
            _ => Err(self.unsupported(format!("the activation `{json}`"))),
        }
    }
}

/// The name of a recurrent cell's function in ONNX, with its parameters.
pub(in crate::keras) fn recurrent(json: Option<&Json>, old: bool) -> Option<(&'static str, f32, f32)> {
    let name = match json {
        None | Some(Json::Null) => "linear",
        Some(Json::String(name)) => name,
        Some(json) => json.get("config")?.as_str()?,
    };
    Some(match name {
        "linear" => ("Affine", 1.0, 0.0),
        "tanh" => ("Tanh", 0.0, 0.0),
        "sigmoid" => ("Sigmoid", 0.0, 0.0),
        "relu" => ("Relu", 0.0, 0.0),
        "softsign" => ("Softsign", 0.0, 0.0),
        "softplus" => ("Softplus", 0.0, 0.0),
        "elu" => ("Elu", 1.0, 0.0),
        "leaky_relu" => ("LeakyRelu", 0.2, 0.0),
        "hard_sigmoid" if old => ("HardSigmoid", 0.2, 0.5),
        "hard_sigmoid" => ("HardSigmoid", 1.0 / 6.0, 0.5),
        _ => return None,
    })
}

/// Function or layer `name` of `x`; `map` configures it; `old` is Keras before 3.
pub(super) fn apply(cx: &mut Cx<'_, '_, '_>, name: &str, x: V, map: &Map<String, Json>, old: bool) -> R<V> {
    let given = |keys: &[&str]| keys.iter().find_map(|k| map.get(*k)).and_then(number);
    let axis = map.get("axis").and_then(integer).unwrap_or(-1);
    match name.rsplit('>').next().unwrap_or(name) {
        "linear" => Ok(x),
        "relu" | "ReLU" => {
            let slope = given(&["negative_slope", "alpha"]).unwrap_or(0.0);
            relu(cx, x, slope, given(&["max_value"]), given(&["threshold", "theta"]).unwrap_or(0.0))
        }
        "relu6" => relu(cx, x, 0.0, Some(6.0), 0.0),
        "leaky_relu" => {
            let alpha = given(&["negative_slope", "alpha"]).unwrap_or(0.2);
            cx.op(LeakyRelu { alpha: alpha as f32 }, &[x])
        }
        "LeakyReLU" => {
            let alpha = given(&["negative_slope", "alpha"]).unwrap_or(0.3);
            cx.op(LeakyRelu { alpha: alpha as f32 }, &[x])
        }
        "elu" | "ELU" => cx.op(Elu { alpha: given(&["alpha"]).unwrap_or(1.0) as f32 }, &[x]),
        "celu" => cx.op(Celu { alpha: given(&["alpha"]).unwrap_or(1.0) as f32 }, &[x]),
        "selu" => cx.named("selu", &[x]),
        "gelu" => {
            let tanh = map.get("approximate").and_then(Json::as_bool).unwrap_or(false);
            cx.op(Gelu { approximate: if tanh { Approximate::Tanh } else { Approximate::None } }, &[x])
        }
        "silu" | "swish" => cx.op(Swish::default(), &[x]),
        "mish" => cx.named("mish", &[x]),
        "tanh" => cx.named("tanh", &[x]),
        "sigmoid" => cx.named("sigmoid", &[x]),
        "softplus" => cx.named("softplus", &[x]),
        "softsign" => cx.named("softsign", &[x]),
        "exponential" => cx.named("exp", &[x]),
        "hard_sigmoid" => {
            let alpha = if old { 0.2 } else { 1.0 / 6.0 };
            cx.op(HardSigmoid { alpha, beta: 0.5 }, &[x])
        }
        "hard_silu" | "hard_swish" => cx.named("hard_swish", &[x]),
        "hard_tanh" => clip(cx, x, Some(-1.0), Some(1.0)),
        "softmax" | "Softmax" => cx.op(Softmax { axis }, &[x]),
        "log_softmax" => cx.op(LogSoftmax { axis }, &[x]),
        "log_sigmoid" => cx.aten("log_sigmoid", &[("self", Arg::T(x))]),
        "glu" => cx.aten("glu", &[("self", Arg::T(x)), ("dim", Arg::I(axis))]),
        "tanh_shrink" => {
            let t = cx.named("tanh", &[x])?;
            cx.named("sub", &[x, t])
        }
        "soft_shrink" => {
            let at = given(&["threshold"]).unwrap_or(0.5) as f32;
            cx.op(Shrink { bias: at, lambd: at }, &[x])
        }
        "hard_shrink" => {
            cx.op(Shrink { bias: 0.0, lambd: given(&["threshold"]).unwrap_or(0.5) as f32 }, &[x])
        }
        "squareplus" => squareplus(cx, x, given(&["b"]).unwrap_or(4.0)),
        "sparse_plus" => sparse_plus(cx, x),
        "sparse_sigmoid" => {
            let half = cx.number(0.5, x)?;
            let y = cx.named("mul", &[x, half])?;
            let y = cx.named("add", &[y, half])?;
            clip(cx, y, Some(0.0), Some(1.0))
        }
        other => Err(cx
            .unsupported(format!("the activation `{other}`"))
            .hint("functions of one's own are programs; export a SavedModel: model.export(\"folder\")")),
    }
}

/// `x` between bounds.
pub(super) fn clip(cx: &mut Cx<'_, '_, '_>, x: V, low: Option<f64>, high: Option<f64>) -> R<V> {
    let low = low.map(|v| cx.number(v, x)).transpose()?;
    let high = high.map(|v| cx.number(v, x)).transpose()?;
    cx.op_opt(Clip {}, &[Some(x), low, high])
}

/// `(x + sqrt(x * x + b)) / 2`.
fn squareplus(cx: &mut Cx<'_, '_, '_>, x: V, b: f64) -> R<V> {
    let (b, half) = (cx.number(b, x)?, cx.number(0.5, x)?);
    let y = cx.named("mul", &[x, x])?;
    let y = cx.named("add", &[y, b])?;
    let y = cx.named("sqrt", &[y])?;
    let y = cx.named("add", &[x, y])?;
    cx.named("mul", &[y, half])
}

/// 0 below -1, `x` from 1, `(x + 1)^2 / 4` between: the square of `x` in bounds, and what lies over 1.
fn sparse_plus(cx: &mut Cx<'_, '_, '_>, x: V) -> R<V> {
    let (one, quarter) = (cx.number(1.0, x)?, cx.number(0.25, x)?);
    let inside = clip(cx, x, Some(-1.0), Some(1.0))?;
    let y = cx.named("add", &[inside, one])?;
    let y = cx.named("mul", &[y, y])?;
    let y = cx.named("mul", &[y, quarter])?;
    let over = cx.named("sub", &[x, one])?;
    let over = cx.named("relu", &[over])?;
    cx.named("add", &[y, over])
}

/// `x` from `threshold` to `most`; below, `slope * (x - threshold)`.
pub(super) fn relu(cx: &mut Cx<'_, '_, '_>, x: V, slope: f64, most: Option<f64>, threshold: f64) -> R<V> {
    let most = most.filter(|m| m.is_finite());
    if threshold == 0.0 {
        return match (slope == 0.0, most) {
            (true, None) => cx.named("relu", &[x]),
            (true, Some(most)) => clip(cx, x, Some(0.0), Some(most)),
            (false, None) => cx.op(LeakyRelu { alpha: slope as f32 }, &[x]),
            (false, Some(most)) => {
                let y = cx.op(LeakyRelu { alpha: slope as f32 }, &[x])?;
                clip(cx, y, None, Some(most))
            }
        };
    }
    let at = cx.number(threshold, x)?;
    let above = cx.named("greater", &[x, at])?;
    let high = match most {
        Some(most) => clip(cx, x, None, Some(most))?,
        None => x,
    };
    let below = cx.named("sub", &[x, at])?;
    let by = cx.number(slope, x)?;
    let low = if slope == 0.0 {
        by
    } else {
        // The negative part ends at the threshold.
        let below = clip(cx, below, None, Some(0.0))?;
        cx.named("mul", &[below, by])?
    };
    cx.named("where", &[above, high, low])
}

fn relu_layer(kx: &mut Kx<'_, '_, '_>, x: V) -> R<V> {
    let map = kx.layer.config.clone();
    apply(&mut kx.cx, "ReLU", x, &map, false)
}

fn leaky_layer(kx: &mut Kx<'_, '_, '_>, x: V) -> R<V> {
    let map = kx.layer.config.clone();
    apply(&mut kx.cx, "LeakyReLU", x, &map, false)
}

fn elu_layer(kx: &mut Kx<'_, '_, '_>, x: V) -> R<V> {
    let map = kx.layer.config.clone();
    apply(&mut kx.cx, "ELU", x, &map, false)
}

fn thresholded(kx: &mut Kx<'_, '_, '_>, x: V) -> R<V> {
    let alpha = kx.float("theta", 1.0)? as f32;
    kx.op(ThresholdedRelu { alpha }, &[x])
}

/// The slope has a size for each axis but the batch, 1 for those that share it.
fn p_relu(kx: &mut Kx<'_, '_, '_>, x: V) -> R<V> {
    let shared = kx.list("shared_axes")?.unwrap_or_default();
    let rank = kx.rank(x)?;
    let sizes: Vec<Option<i64>> = (1..rank)
        .map(|a| if shared.contains(&(a as i64)) { Some(1) } else { kx.size(x, a).map(|n| n as i64) })
        .collect();
    let alpha = kx.weight("alpha", &sizes)?;
    kx.named("p_relu", &[x, alpha])
}

fn softmax_layer(kx: &mut Kx<'_, '_, '_>, x: V) -> R<V> {
    if kx.given(1, "mask").is_some() || (kx.mask()? != Mask::None) {
        return Err(kx.unsupported("a mask"));
    }
    match kx.list("axis")?.as_deref() {
        None => kx.op(Softmax { axis: -1 }, &[x]),
        Some([axis]) => {
            let axis = *axis;
            kx.op(Softmax { axis }, &[x])
        }
        Some(_) => Err(kx.unsupported("several axes")),
    }
}
