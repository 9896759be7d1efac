//! Numbers to numbers: `binarizer`, `scaler`, `normalizer`, `imputer`.
use crate::attr::Word;
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::OpError;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

/// Element types of features.
pub const FEATURES: DTypeSet = DTypeSet::of(&[DType::F32, DType::F64, DType::I64, DType::I32]);
/// Element types of scores.
pub const SCORES: DTypeSet = DTypeSet::of(&[DType::F32]);

crate::op! {
    /// 1 where `x > threshold`, else 0.
    binarizer Binarizer(x: One<T>) -> (y: One<T>) {
        /// The threshold.
        threshold: f32 = 0.0,
    } where T: FEATURES;
    infer = crate::ops::elementwise::typing::same, eval = |op: &Binarizer, cx: EvalCx<'_>| binarize(op, &cx),
    expand = super::expansions::binarizer;
}

crate::op! {
    /// `(x - offset) * scale`, each one number or one per feature (position of the last axis).
    scaler Scaler(x: One<T>) -> (y: One<U>) {
        /// What is subtracted.
        offset: Vec<f32> = vec![],
        /// Factors.
        scale: Vec<f32> = vec![],
    } where T: FEATURES, U: SCORES;
    infer = infer_scaler, eval = |op: &Scaler, cx: EvalCx<'_>| scale(op, &cx),
    expand = super::expansions::scaler;
}

/// What a row is divided by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Norm {
    /// Its largest element.
    #[default]
    Max,
    /// The sum of magnitudes.
    L1,
    /// The root of the sum of squares.
    L2,
}

impl Word for Norm {
    const KIND: &'static str = "norm";
    const WORDS: &'static [(Self, &'static str)] = &[(Self::Max, "MAX"), (Self::L1, "L1"), (Self::L2, "L2")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// Each row divided by its norm, where that is not 0. At most two axes, of which the last is the row.
    normalizer Normalizer(x: One<T>) -> (y: One<U>) {
        /// The norm.
        norm: Norm = Norm::Max,
    } where T: FEATURES, U: SCORES;
    infer = infer_rows, eval = |op: &Normalizer, cx: EvalCx<'_>| normalize(op, &cx),
    expand = super::expansions::normalizer;
}

crate::op! {
    /// Elements equal to the replaced value (NaN equals itself) become the imputed one: one number, or one per feature. At most two axes.
    imputer Imputer(x: One<T>) -> (y: One<T>) {
        /// New values of floats.
        imputed_value_floats: Vec<f32> = vec![],
        /// New values of integers.
        imputed_value_int64s: Vec<i64> = vec![],
        /// What is replaced in floats.
        replaced_value_float: f32 = 0.0,
        /// What is replaced in integers.
        replaced_value_int64: i64 = 0,
    } where T: DTypeSet::of(&[DType::F32, DType::I64]);
    infer = infer_imputer, eval = impute, expand = super::expansions::imputer;
}

/// Refuses more than two axes, and none.
pub(super) fn check_rows(cx: &InferCx<'_>) -> Result<(), OpError> {
    match cx.shape(0)? {
        Some(s) if s.is_empty() || s.len() > 2 => {
            Err(OpError::shape(format!("features have one or two axes, not {}", cx.ty(0)?)))
        }
        _ => Ok(()),
    }
}

fn scores(cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    Ok(vec![TensorType::new(DType::F32, cx.shape(0)?.cloned()).into()])
}

/// Refuses a list that is neither one number nor one per feature.
fn check_list(cx: &InferCx<'_>, name: &str, len: usize) -> Result<(), OpError> {
    let features = cx.shape(0)?.and_then(|s| s.last().and_then(crate::dim::Dim::known));
    if len != 1 && features.is_none_or(|n| n == len as u64) && len > 0 {
        return Ok(());
    }
    if len == 1 {
        return Ok(());
    }
    Err(OpError::attr(format!("{len} numbers in `{name}` for data of type {}", cx.ty(0)?)))
}

fn infer_scaler(op: &Scaler, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    if op.offset.len() != op.scale.len() {
        return Err(OpError::attr("`offset` and `scale` have different lengths"));
    }
    check_list(cx, "scale", op.scale.len())?;
    scores(cx)
}

fn infer_rows(_: &Normalizer, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    check_rows(cx)?;
    scores(cx)
}

fn infer_imputer(op: &Imputer, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    check_rows(cx)?;
    let ints = cx.dtype(0)? == DType::I64;
    check_list(
        cx,
        "imputed values",
        if ints { op.imputed_value_int64s.len() } else { op.imputed_value_floats.len() },
    )?;
    Ok(vec![cx.ty(0)?.clone()])
}

fn binarize(op: &Binarizer, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let x = cx.tensor(0)?;
    let threshold = f64::from(op.threshold);
    let ones = x.to_f64s()?.into_iter().map(|v| v > threshold).collect();
    one(Tensor::from_bools(x.shape(), ones).cast(x.dtype(), false)?)
}

/// Entry of a list of one number or one per feature.
fn entry<T: Copy>(list: &[T], i: usize) -> Result<T, OpError> {
    let at = if list.len() == 1 { 0 } else { i % list.len().max(1) };
    list.get(at).copied().ok_or_else(|| OpError::attr("a list of values is empty"))
}

fn scale(op: &Scaler, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let x = cx.tensor(0)?;
    let values: Vec<f32> = if x.dtype() == DType::F64 {
        let wide = |(i, v): (usize, f64)| -> Result<f32, OpError> {
            Ok(((v - f64::from(entry(&op.offset, i)?)) * f64::from(entry(&op.scale, i)?)) as f32)
        };
        x.to_f64s()?.into_iter().enumerate().map(wide).collect::<Result<_, _>>()?
    } else {
        let single = |(i, v): (usize, &f32)| -> Result<f32, OpError> {
            Ok((v - entry(&op.offset, i)?) * entry(&op.scale, i)?)
        };
        x.to_f32s()?.iter().enumerate().map(single).collect::<Result<_, _>>()?
    };
    one(Tensor::from_vec(x.shape(), values))
}

fn normalize(op: &Normalizer, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let x = cx.tensor(0)?;
    let mut values = x.to_f32s()?.into_owned();
    let row = x.shape().last().copied().unwrap_or(1).max(1);
    for line in values.chunks_mut(row) {
        let norm = match op.norm {
            Norm::Max => line.iter().copied().fold(f32::MIN, f32::max),
            Norm::L1 => line.iter().map(|v| v.abs()).sum(),
            Norm::L2 => line.iter().map(|v| v * v).sum::<f32>().sqrt(),
        };
        if norm != 0.0 {
            for v in line {
                *v /= norm;
            }
        }
    }
    one(Tensor::from_vec(x.shape(), values))
}

fn impute(op: &Imputer, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let x = cx.take(0)?;
    let shape = x.shape().to_vec();
    if x.dtype() == DType::I64 {
        let mut values = x.into_vec::<i64>()?;
        for (i, v) in values.iter_mut().enumerate().filter(|(_, v)| **v == op.replaced_value_int64) {
            *v = entry(&op.imputed_value_int64s, i)?;
        }
        return one(Tensor::from_vec(&shape, values));
    }
    let mut values = x.into_vec::<f32>()?;
    let old = op.replaced_value_float;
    for (i, v) in values.iter_mut().enumerate() {
        if *v == old || v.is_nan() && old.is_nan() {
            *v = entry(&op.imputed_value_floats, i)?;
        }
    }
    one(Tensor::from_vec(&shape, values))
}
