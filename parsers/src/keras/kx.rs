//! What a layer's lifting function sees: its configuration, its weights, its arguments, and the graph being built.
use super::config::Layer;
use super::weights::Weights;
use crate::tensorflow::lift::cx::{Cx, R, V};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::ops::words::Layout;
use hoist_ir::tensor::Tensor;
use serde_json::Value as Json;
use std::ops::{Deref, DerefMut};

/// Which steps of a sequence count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Mask {
    /// All.
    #[default]
    None,
    /// Those where this tensor is true.
    Some(V),
    /// Keras computes a mask here in a way that is not read; what uses it is refused.
    Odd,
}

/// A tensor and its mask.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tv {
    pub v: V,
    pub mask: Mask,
}

impl From<V> for Tv {
    fn from(v: V) -> Self {
        Self { v, mask: Mask::None }
    }
}

/// An argument of a layer.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Tensor(Tv),
    List(Vec<Value>),
    Json(Json),
}

impl Value {
    /// All tensors in it.
    pub fn tensors(&self) -> Vec<Tv> {
        match self {
            Self::Tensor(t) => vec![*t],
            Self::List(all) => all.iter().flat_map(Self::tensors).collect(),
            Self::Json(_) => vec![],
        }
    }
    /// Whether it is left out.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Json(Json::Null))
    }
    /// It as a JSON value, when there are no tensors in it.
    pub fn json(&self) -> Option<Json> {
        match self {
            Self::Tensor(_) => None,
            Self::List(all) => all.iter().map(Self::json).collect::<Option<_>>().map(Json::Array),
            Self::Json(json) => Some(json.clone()),
        }
    }
}

/// One call of a layer on its way into a graph.
pub(super) struct Kx<'x, 'g, 'p> {
    pub cx: Cx<'x, 'g, 'p>,
    pub layer: &'x Layer,
    pub weights: &'x Weights,
    /// What the keys of the layer's weights begin with.
    pub prefix: String,
    pub args: Vec<Value>,
    pub named: Vec<(String, Value)>,
}

impl<'x, 'g, 'p> Deref for Kx<'x, 'g, 'p> {
    type Target = Cx<'x, 'g, 'p>;
    fn deref(&self) -> &Self::Target {
        &self.cx
    }
}

impl DerefMut for Kx<'_, '_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.cx
    }
}

/// Arguments.
impl Kx<'_, '_, '_> {
    /// All tensors of the call, by place and then by name.
    pub fn tensors(&self) -> Vec<Tv> {
        let named =
            self.named.iter().filter(|(key, _)| key != "mask" && !key.ends_with("_mask")).map(|(_, v)| v);
        self.args.iter().chain(named).flat_map(Value::tensors).collect()
    }
    /// The first tensor.
    pub fn first(&self) -> R<Tv> {
        let found = self.tensors().first().copied();
        found.ok_or_else(|| self.bad("the layer is called without a tensor"))
    }
    /// The first tensor's value.
    pub fn x(&self) -> R<V> {
        Ok(self.first()?.v)
    }
    /// The argument at place `i` or called `name`, unless it is left out.
    pub fn given(&self, i: usize, name: &str) -> Option<&Value> {
        let found = self.args.get(i).or_else(|| self.named.iter().find(|(k, _)| k == name).map(|(_, v)| v));
        found.filter(|v| !v.is_null())
    }
    /// The mask that holds for the first tensor: the one that the call names, or the tensor's own.
    pub fn mask(&self) -> R<Mask> {
        match self.named.iter().find(|(key, _)| key == "mask").map(|(_, v)| v) {
            Some(Value::Tensor(t)) => Ok(Mask::Some(t.v)),
            Some(v) if !v.is_null() => Ok(Mask::Odd),
            _ => Ok(self.first()?.mask),
        }
    }
    /// The mask of the first tensor as a tensor.
    pub fn mask_tensor(&self) -> R<Option<V>> {
        match self.mask()? {
            Mask::None => Ok(None),
            Mask::Some(v) => Ok(Some(v)),
            Mask::Odd => Err(self.unsupported("a mask that is joined of several")),
        }
    }
}

/// Configuration.
impl Kx<'_, '_, '_> {
    /// What the configuration says about `key`, unless it is null.
    pub fn cfg(&self, key: &str) -> Option<&Json> {
        self.layer.config.get(key).filter(|j| !j.is_null())
    }
    fn wrong(&self, key: &str) -> Diag {
        let value = self.layer.config.get(key).map(ToString::to_string).unwrap_or_default();
        let short: String = value.chars().take(60).collect();
        self.bad(format!("`{key}` is {short}"))
    }
    /// A text.
    pub fn text(&self, key: &str, default: &str) -> R<String> {
        match self.cfg(key) {
            None => Ok(default.to_owned()),
            Some(Json::String(s)) => Ok(s.clone()),
            Some(_) => Err(self.wrong(key)),
        }
    }
    /// A truth value.
    pub fn flag(&self, key: &str, default: bool) -> R<bool> {
        match self.cfg(key) {
            None => Ok(default),
            Some(Json::Bool(b)) => Ok(*b),
            Some(Json::Number(n)) => Ok(n.as_f64() != Some(0.0)),
            Some(_) => Err(self.wrong(key)),
        }
    }
    /// A number; infinite ones are texts in some files.
    pub fn float(&self, key: &str, default: f64) -> R<f64> {
        match self.cfg(key) {
            None => Ok(default),
            Some(json) => number(json).ok_or_else(|| self.wrong(key)),
        }
    }
    /// An integer, when it is stated.
    pub fn int_opt(&self, key: &str) -> R<Option<i64>> {
        self.cfg(key).map(|j| integer(j).ok_or_else(|| self.wrong(key))).transpose()
    }
    /// An integer that must be stated.
    pub fn int_of(&self, key: &str) -> R<i64> {
        self.int_opt(key)?.ok_or_else(|| self.bad(format!("`{key}` is missing")))
    }
    /// Integers, one for each of `n` axes; a single one holds for all.
    pub fn each(&self, key: &str, n: usize, default: i64) -> R<Vec<i64>> {
        match self.cfg(key) {
            None => Ok(vec![default; n]),
            Some(json) => spread(json, n).ok_or_else(|| self.wrong(key)),
        }
    }
    /// Integers as many as there are, when they are stated.
    pub fn list(&self, key: &str) -> R<Option<Vec<i64>>> {
        let all = |json: &Json| match json {
            Json::Array(list) => list.iter().map(integer).collect(),
            other => integer(other).map(|i| vec![i]),
        };
        self.cfg(key).map(|j| all(j).ok_or_else(|| self.wrong(key))).transpose()
    }
    /// Whether channels are first or last.
    pub fn layout(&self) -> R<Layout> {
        match &*self.text("data_format", "channels_last")? {
            "channels_last" => Ok(Layout::ChannelsLast),
            "channels_first" => Ok(Layout::ChannelsFirst),
            _ => Err(self.wrong("data_format")),
        }
    }
}

/// A number of a configuration.
pub(super) fn number(json: &Json) -> Option<f64> {
    match json {
        Json::Number(n) => n.as_f64(),
        Json::String(s) => s.parse().ok(),
        Json::Object(map) => number(map.get("value").or_else(|| map.get("config")?.get("value"))?),
        _ => None,
    }
}

/// An integer of a configuration.
pub(super) fn integer(json: &Json) -> Option<i64> {
    let n = json.as_number()?;
    n.as_i64().or_else(|| n.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 1e15).map(|f| f as i64))
}

/// Integers, one for each of `n` axes.
pub(super) fn spread(json: &Json, n: usize) -> Option<Vec<i64>> {
    match json {
        Json::Array(list) if list.len() == n => list.iter().map(integer).collect(),
        Json::Array(list) if list.len() == 1 => Some(vec![integer(&list[0])?; n]),
        Json::Array(_) => None,
        one => Some(vec![integer(one)?; n]),
    }
}

/// Weights.
impl Kx<'_, '_, '_> {
    /// Weight `name` in the element type that the layer computes in.
    pub fn tensor(&self, name: &str) -> R<Tensor> {
        let t = self.weights.get(&format!("{}{name}", self.prefix))?;
        let Some(dtype) = self.compute_type()?.filter(|_| t.dtype().is_float()) else { return Ok(t) };
        if t.dtype() == dtype { Ok(t) } else { t.lazy_cast(dtype, false).map_err(|e| self.bad(e)) }
    }
    /// Weight `name`, whose sizes must be these where they are known.
    pub fn shaped(&self, name: &str, sizes: &[Option<i64>]) -> R<Tensor> {
        let t = self.tensor(name)?;
        let fits = t.rank() == sizes.len()
            && t.shape().iter().zip(sizes).all(|(n, s)| s.is_none_or(|s| i64::try_from(*n) == Ok(s)));
        if fits {
            return Ok(t);
        }
        let want: Vec<String> = sizes.iter().map(|s| s.map_or("?".into(), |s| s.to_string())).collect();
        Err(self.bad(format!(
            "weight `{name}` has sizes {:?}, the layer needs [{}]",
            t.shape(),
            want.join(", ")
        )))
    }
    /// Weight `name` as a constant, whose sizes must be these where they are known.
    pub fn weight(&mut self, name: &str, sizes: &[Option<i64>]) -> R<V> {
        let t = self.shaped(name, sizes)?;
        Ok(self.konst(t))
    }
    /// The element type of real numbers that the layer computes in, unless it leaves them as they are.
    pub fn compute_type(&self) -> R<Option<DType>> {
        let json = match self.layer.config.get("dtype") {
            Some(Json::Object(map)) => {
                let class = map.get("class_name").and_then(Json::as_str).unwrap_or_default();
                if class.contains("Quantized") {
                    return Err(self.unsupported(format!("weights of policy `{class}`")));
                }
                map.get("config").and_then(|c| c.get("name"))
            }
            other => other,
        };
        let name = json.and_then(Json::as_str).unwrap_or("float32");
        Ok(match name {
            "float16" | "mixed_float16" => Some(DType::F16),
            "bfloat16" | "mixed_bfloat16" => Some(DType::BF16),
            "float64" => Some(DType::F64),
            "float32" => Some(DType::F32),
            _ if name.contains("_from_") => {
                return Err(self.unsupported(format!("weights of policy `{name}`")));
            }
            _ => None,
        })
    }
}

/// The element type that Keras calls `name`.
pub(super) fn dtype_of(name: &str) -> Option<DType> {
    Some(match name {
        "float16" => DType::F16,
        "bfloat16" => DType::BF16,
        "float32" => DType::F32,
        "float64" => DType::F64,
        "int8" => DType::I8,
        "uint8" => DType::U8,
        "int16" => DType::I16,
        "uint16" => DType::U16,
        "int32" => DType::I32,
        "uint32" => DType::U32,
        "int64" => DType::I64,
        "uint64" => DType::U64,
        "bool" => DType::Bool,
        "string" => DType::String,
        _ => return None,
    })
}
