//! Rows of `ai.onnx.ml`.
use super::row::{Fix, Foreign, Row, row_of};
use Fix::If;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::graph::Graph;

/// Domain of the operators of classical models.
pub const ML: &str = "ai.onnx.ml";
/// Version that is written where the source imports none: the last with all operators but `TreeEnsemble`.
pub const WRITTEN: i64 = 4;

const fn ml(op: &'static str, foreign: &'static str) -> Row {
    row_of(ML, op, foreign)
}

/// The rows.
pub const ROWS: &[Row] = &[
    ml("array_feature_extractor", "ArrayFeatureExtractor"),
    ml("binarizer", "Binarizer"),
    ml("feature_vectorizer", "FeatureVectorizer"),
    ml("imputer", "Imputer").with(&[If(rows), If(single_or_long)]),
    Row { since: 2, ..ml("label_encoder", "LabelEncoder") },
    ml("linear_classifier", "LinearClassifier").with(&[If(rows), If(one_intercept_per_score)]),
    ml("linear_regressor", "LinearRegressor").with(&[If(rows), If(single)]),
    ml("normalizer", "Normalizer").with(&[If(rows)]),
    ml("one_hot_encoder", "OneHotEncoder"),
    ml("scaler", "Scaler"),
    Row { since: 5, ..ml("tree_ensemble", "TreeEnsemble") }.with(&[If(rows), If(undisputed_transform)]),
    ml("tree_ensemble_classifier", "TreeEnsembleClassifier").with(&[
        If(rows),
        If(fitting_bits),
        If(plain_classes),
    ]),
    ml("tree_ensemble_regressor", "TreeEnsembleRegressor").with(&[If(rows), If(fitting_bits)]),
];

/// At most two axes.
fn rows(node: &Foreign, graph: &Graph) -> bool {
    let ty = node.value(0).and_then(|x| graph.ty(x).as_tensor());
    ty.is_some_and(|t| t.rank().is_none_or(|r| r == 1 || r == 2))
}

/// The specification and ONNX Runtime exchange the meanings of 1 and 2.
fn undisputed_transform(node: &Foreign, _: &Graph) -> bool {
    !node.attrs.iter().any(|(n, v)| n == "post_transform" && matches!(v, Attr::Int(1 | 2)))
}

/// Two classes are decided by the sum of one of them; other forms give labels that are not the model's.
fn plain_classes(node: &Foreign, _: &Graph) -> bool {
    let find = |name: &str| node.attrs.iter().find(|(n, _)| n == name).map(|(_, v)| v);
    let classes = match (find("classlabels_int64s"), find("classlabels_strings")) {
        (Some(Attr::Ints(v)), None) => v.len(),
        (None, Some(Attr::Strs(v))) => v.len(),
        _ => return false,
    };
    if classes > 2 {
        return true;
    }
    let base = match (find("base_values"), find("base_values_as_tensor")) {
        (Some(Attr::Floats(v)), None) => v.len(),
        (None, Some(Attr::Tensor(t))) => t.len(),
        _ => 0,
    };
    let probit = matches!(find("post_transform"), Some(Attr::Str(w)) if w == "PROBIT");
    let one_class = matches!(find("class_ids"), Some(Attr::Ints(v)) if v.windows(2).all(|w| w[0] == w[1]));
    classes == 2 && base < 2 && one_class && !probit
}

/// Numbers in 64 bits go with features in 64 bits.
fn fitting_bits(node: &Foreign, graph: &Graph) -> bool {
    let double = dtype(node, graph) == Some(DType::F64);
    double || !node.attrs.iter().any(|(n, _)| n.ends_with("_as_tensor"))
}

fn dtype(node: &Foreign, graph: &Graph) -> Option<DType> {
    Some(graph.ty(node.value(0)?).as_tensor()?.dtype)
}

fn single(node: &Foreign, graph: &Graph) -> bool {
    dtype(node, graph) == Some(DType::F32)
}

fn single_or_long(node: &Foreign, graph: &Graph) -> bool {
    matches!(dtype(node, graph), Some(DType::F32 | DType::I64))
}

/// The number of scores follows from the intercepts. Of a single score there is no probit.
fn one_intercept_per_score(node: &Foreign, _: &Graph) -> bool {
    let scores = node.attrs.iter().find_map(|(n, v)| match v {
        Attr::Floats(v) if n == "intercepts" => Some(v.len()),
        _ => None,
    });
    let probit = node.attrs.iter().any(|(_, v)| matches!(v, Attr::Str(w) if w == "PROBIT"));
    scores.is_some_and(|n| n > 1 || !probit)
}
