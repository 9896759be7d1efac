//! `label_encoder`
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};
use std::collections::BTreeMap;

const LABELS: DTypeSet =
    DTypeSet::of(&[DType::String, DType::I64, DType::F32, DType::I32, DType::I16, DType::F64]);

crate::op! {
    /// Each element that is a key becomes the value at the key's position, others the default. Keys, values and default are given
    /// in one of their forms; of equal keys the first counts, NaN equals itself.
    label_encoder LabelEncoder(x: One<T1>) -> (y: One<T2>) {
        /// Default of values that are floats.
        default_float: f32 = -0.0,
        /// Default of values that are integers.
        default_int64: i64 = -1,
        /// Default of values that are texts.
        default_string: String = "_Unused".to_owned(),
        /// Default of values that are a tensor.
        default_tensor: Option<Tensor> = None,
        /// Keys as floats.
        keys_floats: Vec<f32> = vec![],
        /// Keys as integers.
        keys_int64s: Vec<i64> = vec![],
        /// Keys as texts.
        keys_strings: Vec<String> = vec![],
        /// Keys as a tensor.
        keys_tensor: Option<Tensor> = None,
        /// Values as floats.
        values_floats: Vec<f32> = vec![],
        /// Values as integers.
        values_int64s: Vec<i64> = vec![],
        /// Values as texts.
        values_strings: Vec<String> = vec![],
        /// Values as a tensor.
        values_tensor: Option<Tensor> = None,
    } where T1: LABELS, T2: LABELS;
}

/// The one of the forms that is given.
fn given(
    what: &str,
    floats: &[f32],
    ints: &[i64],
    texts: &[String],
    tensor: Option<&Tensor>,
) -> Result<Tensor, OpError> {
    let mut all: Vec<Tensor> = tensor.cloned().into_iter().collect();
    if !floats.is_empty() {
        all.push(Tensor::from_vec(&[floats.len()], floats.to_vec()));
    }
    if !ints.is_empty() {
        all.push(Tensor::from_ints(ints));
    }
    if !texts.is_empty() {
        all.push(Tensor::from_strings(&[texts.len()], texts.to_vec()));
    }
    match all.as_slice() {
        [one] => Ok(one.clone()),
        other => Err(OpError::attr(format!("{what} are given in {} forms instead of one", other.len()))),
    }
}

/// Bits by which elements are equal: equal numbers have equal ones, all NaN too.
fn codes(t: &Tensor) -> Result<Vec<u64>, OpError> {
    let code = |v: f64| if v.is_nan() { f64::NAN.to_bits() } else { (v + 0.0).to_bits() };
    if t.dtype().is_float() {
        return Ok(t.to_f64s()?.into_iter().map(code).collect());
    }
    Ok(t.to_i64s()?.into_iter().map(|v| v as u64).collect())
}

fn first_positions<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut index = BTreeMap::new();
    for (i, k) in keys.enumerate() {
        index.entry(k).or_insert(i);
    }
    index
}

impl LabelEncoder {
    fn keys(&self) -> Result<Tensor, OpError> {
        given("keys", &self.keys_floats, &self.keys_int64s, &self.keys_strings, self.keys_tensor.as_ref())
    }
    fn values(&self) -> Result<Tensor, OpError> {
        let tensor = self.values_tensor.as_ref();
        given("values", &self.values_floats, &self.values_int64s, &self.values_strings, tensor)
    }
    /// What becomes of other elements, as a tensor of one element of type `dtype`.
    fn default(&self, dtype: DType) -> Result<Tensor, OpError> {
        let value = match &self.default_tensor {
            Some(t) if t.len() == 1 && t.dtype() == dtype => return Ok(t.clone()),
            Some(_) => return Err(OpError::attr("default_tensor is not one element of the values' type")),
            None => match dtype {
                DType::String => return Ok(Tensor::from_strings(&[1], vec![self.default_string.clone()])),
                t if t.is_float() => Tensor::scalar(self.default_float),
                _ => Tensor::scalar(self.default_int64),
            },
        };
        Ok(value.cast(dtype, false)?)
    }
}

impl Semantics for LabelEncoder {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let (keys, values) = (self.keys()?, self.values()?);
        if keys.len() != values.len() {
            return Err(OpError::attr(format!("{} keys and {} values", keys.len(), values.len())));
        }
        if keys.dtype() != cx.dtype(0)? {
            return Err(OpError::operand(format!("keys are {}, elements {}", keys.dtype(), cx.dtype(0)?)));
        }
        self.default(values.dtype())?;
        Ok(vec![TensorType::new(values.dtype(), cx.shape(0)?.cloned()).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let (keys, values) = (self.keys()?, self.values()?);
        let positions: Vec<Option<usize>> = if x.dtype() == DType::String {
            let index = first_positions(keys.strings()?.iter());
            x.strings()?.iter().map(|s| index.get(s).copied()).collect()
        } else {
            let index = first_positions(codes(&keys)?.into_iter());
            codes(x)?.iter().map(|c| index.get(c).copied()).collect()
        };
        let default = self.default(values.dtype())?;
        if values.dtype() == DType::String {
            let (texts, other) = (values.strings()?, default.strings()?);
            let pick =
                |p: &Option<usize>| p.map_or(other.first(), |p| texts.get(p)).cloned().unwrap_or_default();
            return one(Tensor::from_strings(x.shape(), positions.iter().map(pick).collect()));
        }
        let width = values.dtype().bits() as usize / 8;
        let (bytes, other) = (values.bytes()?, default.bytes()?);
        let mut out = Vec::with_capacity(positions.len() * width);
        for p in positions {
            out.extend_from_slice(p.map_or(&other[..], |p| &bytes[p * width..][..width]));
        }
        one(Tensor::from_bytes(values.dtype(), x.shape(), out.into(), None)?)
    }
}
