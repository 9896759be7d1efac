//! Features picked, joined and spread: `array_feature_extractor`, `feature_vectorizer`, `one_hot_encoder`.
use super::scale::{FEATURES, SCORES};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::contrib::meaning::{infer_ranked, operand, rank};
use crate::ops::index::gather::Gather;
use crate::ops::linear::compute::{count, zeros};
use crate::ops::movement::reshape::Reshape;
use crate::ops::movement::unsqueeze::Unsqueeze;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

const TEXTS: DTypeSet = DTypeSet::of(&[DType::String]);

crate::op! {
    /// The positions `y` of the last axis; a single axis becomes a row.
    array_feature_extractor ArrayFeatureExtractor(x: One<T>, y: One<I>) -> (z: One<T>) {} where T: FEATURES.or(TEXTS), I: I64_ONLY;
    infer = |op: &ArrayFeatureExtractor, cx: &InferCx<'_>| infer_ranked(op, cx, &[0]), eval = crate::expand::eval, expand = extract;
}

crate::op! {
    /// Rows joined side by side. Each operand gives as many numbers per row as `inputdimensions` says: further ones are left out,
    /// missing ones are 0.
    feature_vectorizer FeatureVectorizer(x: Many<AnyT>) -> (y: One<U>) {
        /// Numbers per row of each operand.
        inputdimensions: Vec<i64> = vec![],
    } where AnyT: FEATURES, U: SCORES;
    infer = infer_vectorizer, eval = |op: &FeatureVectorizer, cx: EvalCx<'_>| vectorize(op, &cx);
}

crate::op! {
    /// A new last axis that is 1 at the position of the category that the element is, else 0. Floats are truncated first.
    one_hot_encoder OneHotEncoder(x: One<T>) -> (y: One<U>) {
        /// Categories of numbers.
        cats_int64s: Vec<i64> = vec![],
        /// Categories of texts.
        cats_strings: Vec<String> = vec![],
        /// Whether other elements are all 0; else they are an error.
        zeros: bool = true,
    } where T: FEATURES.or(TEXTS), U: SCORES;
    infer = infer_one_hot, eval = |op: &OneHotEncoder, cx: EvalCx<'_>| one_hot(op, &cx);
}

fn extract(
    _: &ArrayFeatureExtractor,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let mut x = operand(inputs, 0)?;
    let Some(rank) = rank(b, x) else { return Ok(None) };
    if rank == 1 {
        let front = b.ints(&[0]);
        x = b.unsqueeze(Unsqueeze {}, x, front)?;
    }
    let list = b.ints(&[-1]);
    let positions = b.reshape(Reshape { allowzero: false }, operand(inputs, 1)?, list)?;
    Ok(Some(vec![b.gather(Gather { axis: -1 }, x, positions)?]))
}

fn infer_vectorizer(op: &FeatureVectorizer, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    if op.inputdimensions.len() != cx.len() || cx.is_empty() {
        return Err(OpError::attr("`inputdimensions` has one number per operand"));
    }
    let total = op.inputdimensions.iter().try_fold(0u64, |n, d| n.checked_add(u64::try_from(*d).ok()?));
    let total = total.ok_or_else(|| OpError::attr("a number of `inputdimensions` is out of range"))?;
    let mut rows = Dim::Unknown;
    for i in 0..cx.len() {
        let own = match cx.shape(i)?.map(Vec::as_slice) {
            None => continue,
            Some([_]) => Dim::Known(1),
            Some([n, _]) => n.clone(),
            Some(_) => return Err(OpError::shape("features have one or two axes")),
        };
        if rows.surely_differs(&own) {
            return Err(OpError::shape(format!("operands of {rows} and {own} rows")));
        }
        rows = if rows.known().is_some() { rows } else { own };
    }
    Ok(vec![TensorType::new(DType::F32, vec![rows, Dim::Known(total)]).into()])
}

fn vectorize(op: &FeatureVectorizer, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let first = cx.tensor(0)?.shape();
    let rows = if first.len() == 1 { 1 } else { first[0] };
    let sizes: Vec<usize> =
        op.inputdimensions.iter().map(|d| usize::try_from(*d).unwrap_or(usize::MAX)).collect();
    let total = sizes.iter().try_fold(0usize, |n, d| n.checked_add(*d));
    let total = total.ok_or_else(|| OpError::attr("too many features"))?;
    let mut out = zeros::<f32>(count(&[rows, total])?)?;
    let mut at = 0;
    for (i, size) in sizes.iter().enumerate() {
        let x = cx.tensor(i)?;
        let own = x.shape().last().copied().unwrap_or(0);
        let (values, taken) = (x.to_f32s()?, own.min(*size));
        if values.len() != rows * own {
            return Err(OpError::shape("operands have different numbers of rows"));
        }
        for r in 0..if taken == 0 { 0 } else { rows } {
            out[r * total + at..][..taken].copy_from_slice(&values[r * own..][..taken]);
        }
        at += size;
    }
    one(Tensor::from_vec(&[rows, total], out))
}

fn infer_one_hot(op: &OneHotEncoder, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let n = match cx.dtype(0)? {
        DType::String => op.cats_strings.len(),
        _ => op.cats_int64s.len(),
    };
    if n == 0 || !op.cats_strings.is_empty() && !op.cats_int64s.is_empty() {
        return Err(OpError::attr("categories are missing, or given as numbers and texts"));
    }
    let shape = cx.shape(0)?.map(|s| s.iter().cloned().chain([Dim::from(n)]).collect());
    Ok(vec![TensorType::new(DType::F32, shape).into()])
}

/// Positions of categories, the last of equal ones.
fn found<T: Ord + Clone>(categories: &[T], elements: impl Iterator<Item = T>) -> Vec<Option<usize>> {
    let index: std::collections::BTreeMap<T, usize> =
        categories.iter().enumerate().map(|(i, c)| (c.clone(), i)).collect();
    elements.map(|e| index.get(&e).copied()).collect()
}

fn one_hot(op: &OneHotEncoder, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let x = cx.tensor(0)?;
    let (n, positions) = match x.dtype() {
        DType::String => (op.cats_strings.len(), found(&op.cats_strings, x.strings()?.iter().cloned())),
        t if t.is_float() => {
            let truncated = x.to_f64s()?.into_iter().map(|v| v as i64);
            (op.cats_int64s.len(), found(&op.cats_int64s, truncated))
        }
        _ => (op.cats_int64s.len(), found(&op.cats_int64s, x.to_i64s()?.into_iter())),
    };
    let shape: Vec<usize> = x.shape().iter().copied().chain([n]).collect();
    let mut out = zeros::<f32>(count(&shape)?)?;
    for (i, position) in positions.iter().enumerate() {
        match position {
            Some(p) => out[i * n + p] = 1.0,
            None if op.zeros => {}
            None => return Err(OpError::eval("an element is none of the categories")),
        }
    }
    one(Tensor::from_vec(&shape, out))
}
