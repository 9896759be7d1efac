//! `linear_regressor`, `linear_classifier`
use super::scale::{FEATURES, SCORES, check_rows};
use super::scores::{PostTransform, logistic};
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::linear::compute::{count, zeros};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// `x * coefficients^T + intercepts`, then a function of each row (of a single score only `PROBIT`). `coefficients` are `[targets, features]`.
    linear_regressor LinearRegressor(x: One<T>) -> (y: One<U>) {
        /// Weights.
        coefficients: Vec<f32> = vec![],
        /// Addends, one per target; empty is 0.
        intercepts: Vec<f32> = vec![],
        /// Function of the scores.
        post_transform: PostTransform = PostTransform::None,
        /// Number of results per row.
        targets: i64 = 1,
    } where T: SCORES, U: SCORES;
    infer = infer_regressor, eval = |op: &LinearRegressor, cx: EvalCx<'_>| regress(op, &cx),
    expand = super::expansions::linear_regressor;
}

crate::op! {
    /// The class with the largest score `x * coefficients^T + intercepts` and a function of the scores. With one score, the
    /// second class is chosen above 0, and the result has two scores where there are two classes.
    linear_classifier LinearClassifier(x: One<T>) -> (y: One<L>, z: One<U>) {
        /// Classes as integers.
        classlabels_ints: Vec<i64> = vec![],
        /// Classes as texts.
        classlabels_strings: Vec<String> = vec![],
        /// Weights, one row per score.
        coefficients: Vec<f32> = vec![],
        /// Addends, one per score.
        intercepts: Vec<f32> = vec![],
        /// Without effect.
        multi_class: i64 = 0,
        /// Function of the scores.
        post_transform: PostTransform = PostTransform::None,
    } where T: FEATURES, U: SCORES, L: DTypeSet::of(&[DType::String, DType::I64]);
    infer = infer_classifier, eval = |op: &LinearClassifier, cx: EvalCx<'_>| classify(op, &cx);
}

/// Rows and features of data with one or two axes.
fn rows_of(x: &Tensor) -> (usize, usize) {
    match x.shape() {
        [n, f] => (*n, *f),
        other => (1, other.iter().product()),
    }
}

/// Number of rows, when known.
fn rows_dim(cx: &InferCx<'_>) -> Result<Dim, OpError> {
    check_rows(cx)?;
    Ok(match cx.shape(0)?.map(Vec::as_slice) {
        Some([n, _]) => n.clone(),
        Some(_) => Dim::Known(1),
        None => Dim::Unknown,
    })
}

/// Scores of each row, accumulated in 64 bits and rounded once.
fn products(x: &[f32], features: usize, weights: &[f32], addends: &[f32], out: &mut [f32], n: usize) {
    for (row, scores) in x.chunks_exact(features).zip(out.chunks_exact_mut(n)) {
        for (i, (score, w)) in scores.iter_mut().zip(weights.chunks_exact(features)).enumerate() {
            let sum: f64 = row.iter().zip(w).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            *score = (sum + addends.get(i).map_or(0.0, |v| f64::from(*v))) as f32;
        }
    }
}

fn check_weights(cx: &InferCx<'_>, weights: usize, scores: usize) -> Result<(), OpError> {
    let features = cx.shape(0)?.and_then(|s| s.last().and_then(Dim::known));
    let wanted = features.map(|f| f.saturating_mul(scores as u64));
    if scores > 0
        && weights > 0
        && weights.is_multiple_of(scores)
        && wanted.is_none_or(|w| w == weights as u64)
    {
        return Ok(());
    }
    Err(OpError::attr(format!("{weights} coefficients for {scores} scores of {}", cx.ty(0)?)))
}

fn infer_regressor(op: &LinearRegressor, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let rows = rows_dim(cx)?;
    let targets = usize::try_from(op.targets).ok().filter(|t| *t > 0);
    let targets = targets.ok_or_else(|| OpError::attr(format!("{} targets", op.targets)))?;
    check_weights(cx, op.coefficients.len(), targets)?;
    if !op.intercepts.is_empty() && op.intercepts.len() != targets {
        return Err(OpError::attr("there is one intercept per target"));
    }
    Ok(vec![TensorType::new(DType::F32, vec![rows, Dim::from(targets)]).into()])
}

fn regress(op: &LinearRegressor, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let x = cx.tensor(0)?;
    let (rows, features) = rows_of(x);
    let targets = usize::try_from(op.targets).unwrap_or(1);
    let mut out = zeros::<f32>(count(&[rows, targets])?)?;
    products(&x.to_f32s()?, features, &op.coefficients, &op.intercepts, &mut out, targets);
    for row in out.chunks_exact_mut(targets) {
        op.post_transform.apply_to_some(row);
    }
    one(Tensor::from_vec(&[rows, targets], out))
}

impl LinearClassifier {
    fn classes(&self) -> usize {
        self.classlabels_ints.len().max(self.classlabels_strings.len())
    }
    fn scores(&self) -> usize {
        self.intercepts.len()
    }
    /// Whether a second score is added for the other class.
    fn adds_second(&self) -> bool {
        self.scores() == 1 && self.classes() == 2
    }
    fn label_type(&self) -> DType {
        if self.classlabels_strings.is_empty() { DType::I64 } else { DType::String }
    }
}

fn infer_classifier(op: &LinearClassifier, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let rows = rows_dim(cx)?;
    check_weights(cx, op.coefficients.len(), op.scores())?;
    if op.classlabels_ints.is_empty() == op.classlabels_strings.is_empty() {
        return Err(OpError::attr("classes are given as integers or as texts"));
    }
    if op.scores() != op.classes() && !op.adds_second() {
        return Err(OpError::attr(format!("{} scores for {} classes", op.scores(), op.classes())));
    }
    if op.adds_second() && op.post_transform == PostTransform::Probit {
        return Err(OpError::attr("the probit function of a single score of two classes is not defined"));
    }
    let n = if op.adds_second() { 2 } else { op.scores() };
    Ok(vec![
        TensorType::new(op.label_type(), vec![rows.clone()]).into(),
        TensorType::new(DType::F32, vec![rows, Dim::from(n)]).into(),
    ])
}

/// Position of the chosen class.
fn chosen(op: &LinearClassifier, row: &[f32]) -> usize {
    match row {
        [score] if op.classes() == 2 => usize::from(*score > 0.0),
        _ => {
            let better = |best: usize, (i, v): (usize, &f32)| if *v > row[best] { i } else { best };
            row.iter().enumerate().fold(0, better)
        }
    }
}

/// The two scores where the model has one.
fn both(transform: PostTransform, score: f32) -> [f32; 2] {
    match transform {
        PostTransform::Logistic => [logistic(-score), logistic(score)],
        _ => [1.0 - score, score],
    }
}

fn classify(op: &LinearClassifier, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let x = cx.tensor(0)?;
    let ((rows, features), n) = (rows_of(x), op.scores());
    let mut out = zeros::<f32>(count(&[rows, n])?)?;
    products(&x.to_f32s()?, features, &op.coefficients, &op.intercepts, &mut out, n);
    let picks: Vec<usize> = out.chunks_exact(n).map(|row| chosen(op, row)).collect();
    let missing = || OpError::attr("a class has no label");
    let labels = if op.label_type() == DType::I64 {
        let all = picks.iter().map(|p| op.classlabels_ints.get(*p).copied().ok_or_else(missing));
        Tensor::from_vec(&[rows], all.collect::<Result<Vec<i64>, _>>()?)
    } else {
        let all = picks.iter().map(|p| op.classlabels_strings.get(*p).cloned().ok_or_else(missing));
        Tensor::from_strings(&[rows], all.collect::<Result<Vec<String>, _>>()?)
    };
    let scores = if op.adds_second() {
        let all = out.iter().flat_map(|s| both(op.post_transform, *s)).collect();
        Tensor::from_vec(&[rows, 2], all)
    } else {
        out.chunks_exact_mut(n).for_each(|row| op.post_transform.apply(row));
        Tensor::from_vec(&[rows, n], out)
    };
    Ok(vec![labels.into(), scores.into()])
}
