//! `tree_ensemble_regressor` and `tree_ensemble_classifier`: trees as parallel lists of nodes and weights.
use super::scale::{FEATURES, SCORES, check_rows};
use super::scores::{PostTransform, logistic};
use super::tree::{Aggregate, Forest, Mode, Node, features, rows_of, scores, totals};
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::linear::compute::count;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};
use std::collections::BTreeMap;

crate::op! {
    /// Numbers of the leaves that each row of features reaches, aggregated over trees, plus base values, then a function of each
    /// row (of a single target only `PROBIT`). Nodes are named by tree and node number; the first node of a tree is its root.
    tree_ensemble_regressor TreeEnsembleRegressor(x: One<T>) -> (y: One<U>) {
        /// How trees are joined.
        aggregate_function: Aggregate = Aggregate::Sum,
        /// Added to each target.
        base_values: Vec<f32> = vec![],
        /// The same in 64 bits.
        base_values_as_tensor: Option<Tensor> = None,
        /// Number of targets.
        n_targets: Option<i64> = None,
        /// Node reached where the condition does not hold.
        nodes_falsenodeids: Vec<i64> = vec![],
        /// Feature of each node.
        nodes_featureids: Vec<i64> = vec![],
        /// Without effect.
        nodes_hitrates: Vec<f32> = vec![],
        /// Without effect.
        nodes_hitrates_as_tensor: Option<Tensor> = None,
        /// Whether NaN goes where the condition holds.
        nodes_missing_value_tracks_true: Vec<i64> = vec![],
        /// Condition of each node, or `LEAF`.
        nodes_modes: Vec<String> = vec![],
        /// Number of each node in its tree.
        nodes_nodeids: Vec<i64> = vec![],
        /// Tree of each node.
        nodes_treeids: Vec<i64> = vec![],
        /// Node reached where the condition holds.
        nodes_truenodeids: Vec<i64> = vec![],
        /// What features are compared with.
        nodes_values: Vec<f32> = vec![],
        /// The same in 64 bits.
        nodes_values_as_tensor: Option<Tensor> = None,
        /// Function of the scores.
        post_transform: PostTransform = PostTransform::None,
        /// Target of each weight.
        target_ids: Vec<i64> = vec![],
        /// Leaf of each weight.
        target_nodeids: Vec<i64> = vec![],
        /// Tree of each weight.
        target_treeids: Vec<i64> = vec![],
        /// The weights.
        target_weights: Vec<f32> = vec![],
        /// The same in 64 bits.
        target_weights_as_tensor: Option<Tensor> = None,
    } where T: FEATURES, U: SCORES;
    infer = infer_regressor, eval = |op: &TreeEnsembleRegressor, cx: EvalCx<'_>| regress(op, &cx);
}

crate::op! {
    /// Class and scores of each row: sums of the numbers of the leaves it reaches; without base values, a class
    /// that none of them names has score 0 and is not chosen. With two classes, leaves name only one of them, whose sum decides: above 0.5 where no weight is negative, else above 0.
    tree_ensemble_classifier TreeEnsembleClassifier(x: One<T>) -> (y: One<L>, z: One<U>) {
        /// Added to each score.
        base_values: Vec<f32> = vec![],
        /// The same in 64 bits.
        base_values_as_tensor: Option<Tensor> = None,
        /// Class of each weight.
        class_ids: Vec<i64> = vec![],
        /// Leaf of each weight.
        class_nodeids: Vec<i64> = vec![],
        /// Tree of each weight.
        class_treeids: Vec<i64> = vec![],
        /// The weights.
        class_weights: Vec<f32> = vec![],
        /// The same in 64 bits.
        class_weights_as_tensor: Option<Tensor> = None,
        /// Classes as integers.
        classlabels_int64s: Vec<i64> = vec![],
        /// Classes as texts.
        classlabels_strings: Vec<String> = vec![],
        /// As in `tree_ensemble_regressor`.
        nodes_falsenodeids: Vec<i64> = vec![],
        /// As in `tree_ensemble_regressor`.
        nodes_featureids: Vec<i64> = vec![],
        /// Without effect.
        nodes_hitrates: Vec<f32> = vec![],
        /// Without effect.
        nodes_hitrates_as_tensor: Option<Tensor> = None,
        /// As in `tree_ensemble_regressor`.
        nodes_missing_value_tracks_true: Vec<i64> = vec![],
        /// As in `tree_ensemble_regressor`.
        nodes_modes: Vec<String> = vec![],
        /// As in `tree_ensemble_regressor`.
        nodes_nodeids: Vec<i64> = vec![],
        /// As in `tree_ensemble_regressor`.
        nodes_treeids: Vec<i64> = vec![],
        /// As in `tree_ensemble_regressor`.
        nodes_truenodeids: Vec<i64> = vec![],
        /// As in `tree_ensemble_regressor`.
        nodes_values: Vec<f32> = vec![],
        /// As in `tree_ensemble_regressor`.
        nodes_values_as_tensor: Option<Tensor> = None,
        /// Function of the scores.
        post_transform: PostTransform = PostTransform::None,
    } where T: FEATURES, U: SCORES, L: DTypeSet::of(&[DType::String, DType::I64]);
    infer = infer_classifier, eval = |op: &TreeEnsembleClassifier, cx: EvalCx<'_>| classify(op, &cx);
}

/// Numbers given in 32 or in 64 bits.
fn numbers(floats: &[f32], tensor: Option<&Tensor>) -> Result<Vec<f64>, OpError> {
    match tensor {
        Some(t) => Ok(t.to_f64s()?),
        None => Ok(floats.iter().map(|v| f64::from(*v)).collect()),
    }
}

/// The lists of nodes and weights, whichever operator they are of.
struct Lists<'a> {
    trees: &'a [i64],
    ids: &'a [i64],
    features: &'a [i64],
    modes: &'a [String],
    values: Vec<f64>,
    yes: &'a [i64],
    no: &'a [i64],
    missing: &'a [i64],
    leaf_trees: &'a [i64],
    leaf_ids: &'a [i64],
    targets: &'a [i64],
    weights: Vec<f64>,
}

impl Lists<'_> {
    fn check(&self) -> Result<(), OpError> {
        let n = self.ids.len();
        let nodes = [
            self.trees.len(),
            self.features.len(),
            self.modes.len(),
            self.values.len(),
            self.yes.len(),
            self.no.len(),
        ];
        let w = self.weights.len();
        let leaves = [self.leaf_trees.len(), self.leaf_ids.len(), self.targets.len()];
        let missing = self.missing.is_empty() || self.missing.len() == n;
        if n == 0 || nodes.iter().any(|l| *l != n) || leaves.iter().any(|l| *l != w) || !missing {
            return Err(OpError::attr("the lists of the trees' nodes or weights have different lengths"));
        }
        Ok(())
    }
    fn forest(&self) -> Result<Forest, OpError> {
        self.check()?;
        let mut index: BTreeMap<(i64, i64), usize> = BTreeMap::new();
        for (i, key) in self.trees.iter().copied().zip(self.ids.iter().copied()).enumerate() {
            if index.insert(key, i).is_some() {
                return Err(OpError::attr(format!("node {} of tree {} is given twice", key.1, key.0)));
            }
        }
        let find = |tree: i64, id: i64| {
            let missing = || OpError::attr(format!("node {id} of tree {tree} does not exist"));
            index.get(&(tree, id)).copied().ok_or_else(missing)
        };
        let mut leaves: BTreeMap<usize, Vec<(usize, f64)>> = BTreeMap::new();
        for (i, weight) in self.weights.iter().enumerate() {
            let target = usize::try_from(self.targets[i]).map_err(|_| OpError::attr("a negative target"))?;
            leaves.entry(find(self.leaf_trees[i], self.leaf_ids[i])?).or_default().push((target, *weight));
        }
        let (mut nodes, mut has_parent) = (vec![], vec![false; self.ids.len()]);
        for i in 0..self.ids.len() {
            if self.modes[i] == "LEAF" {
                nodes.push(Node::Leaf(leaves.remove(&i).unwrap_or_default()));
                continue;
            }
            let unknown = || OpError::attr(format!("a node has the unknown mode `{}`", self.modes[i]));
            let mode = Mode::from_word(&self.modes[i]).ok_or_else(unknown)?;
            let (yes, no) = (find(self.trees[i], self.yes[i])?, find(self.trees[i], self.no[i])?);
            has_parent[yes] = true;
            has_parent[no] = true;
            let feature =
                usize::try_from(self.features[i]).map_err(|_| OpError::attr("a negative feature"))?;
            let missing_yes = self.missing.get(i).is_some_and(|v| *v != 0);
            let value = self.values[i];
            nodes.push(Node::Inner { mode, feature, value, members: vec![], yes, no, missing_yes });
        }
        Ok(Forest { nodes, roots: self.roots(&has_parent)? })
    }
    /// The first node of each tree, which must be the only one that no other leads to.
    fn roots(&self, has_parent: &[bool]) -> Result<Vec<usize>, OpError> {
        let mut seen: BTreeMap<i64, usize> = BTreeMap::new();
        let mut roots = vec![];
        for (i, tree) in self.trees.iter().enumerate() {
            let first = *seen.entry(*tree).or_insert(i) == i;
            if first == has_parent[i] {
                return Err(OpError::attr(format!("the root of tree {tree} is not its first node alone")));
            }
            if first {
                roots.push(i);
            }
        }
        Ok(roots)
    }
}

impl TreeEnsembleRegressor {
    fn lists(&self) -> Result<Lists<'_>, OpError> {
        Ok(Lists {
            trees: &self.nodes_treeids,
            ids: &self.nodes_nodeids,
            features: &self.nodes_featureids,
            modes: &self.nodes_modes,
            values: numbers(&self.nodes_values, self.nodes_values_as_tensor.as_ref())?,
            yes: &self.nodes_truenodeids,
            no: &self.nodes_falsenodeids,
            missing: &self.nodes_missing_value_tracks_true,
            leaf_trees: &self.target_treeids,
            leaf_ids: &self.target_nodeids,
            targets: &self.target_ids,
            weights: numbers(&self.target_weights, self.target_weights_as_tensor.as_ref())?,
        })
    }
    fn targets(&self) -> Result<usize, OpError> {
        let n = self.n_targets.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        n.ok_or_else(|| OpError::attr("`n_targets` must be positive"))
    }
}

impl TreeEnsembleClassifier {
    fn lists(&self) -> Result<Lists<'_>, OpError> {
        Ok(Lists {
            trees: &self.nodes_treeids,
            ids: &self.nodes_nodeids,
            features: &self.nodes_featureids,
            modes: &self.nodes_modes,
            values: numbers(&self.nodes_values, self.nodes_values_as_tensor.as_ref())?,
            yes: &self.nodes_truenodeids,
            no: &self.nodes_falsenodeids,
            missing: &self.nodes_missing_value_tracks_true,
            leaf_trees: &self.class_treeids,
            leaf_ids: &self.class_nodeids,
            targets: &self.class_ids,
            weights: numbers(&self.class_weights, self.class_weights_as_tensor.as_ref())?,
        })
    }
    fn classes(&self) -> usize {
        self.classlabels_int64s.len().max(self.classlabels_strings.len())
    }
    fn label_type(&self) -> DType {
        if self.classlabels_strings.is_empty() { DType::I64 } else { DType::String }
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

fn infer_regressor(op: &TreeEnsembleRegressor, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let (rows, targets) = (rows_dim(cx)?, op.targets()?);
    op.lists()?.check()?;
    let base = numbers(&op.base_values, op.base_values_as_tensor.as_ref())?.len();
    if base != 0 && base != targets {
        return Err(OpError::attr(format!("{base} base values for {targets} targets")));
    }
    Ok(vec![TensorType::new(DType::F32, vec![rows, Dim::from(targets)]).into()])
}

fn regress(op: &TreeEnsembleRegressor, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let x = cx.tensor(0)?;
    let ((rows, width), targets) = (rows_of(x), op.targets()?);
    let (forest, data) = (op.lists()?.forest()?, features(x)?);
    let base = numbers(&op.base_values, op.base_values_as_tensor.as_ref())?;
    let double = x.dtype() == DType::F64;
    let mut out = scores(rows, targets)?;
    for r in 0..rows {
        let row = totals(&forest, &data[r * width..][..width], targets, op.aggregate_function, double)?;
        let start = out.len();
        let with_base =
            |(i, v): (usize, Option<f64>)| v.map_or(0.0, |v| v + base.get(i).copied().unwrap_or(0.0)) as f32;
        out.extend(row.into_iter().enumerate().map(with_base));
        op.post_transform.apply_to_some(&mut out[start..]);
    }
    one(Tensor::from_vec(&[rows, targets], out))
}

fn infer_classifier(op: &TreeEnsembleClassifier, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let rows = rows_dim(cx)?;
    op.lists()?.check()?;
    if op.classlabels_int64s.is_empty() == op.classlabels_strings.is_empty() {
        return Err(OpError::attr("classes are given as integers or as texts"));
    }
    let classes = op.classes();
    let base = numbers(&op.base_values, op.base_values_as_tensor.as_ref())?.len();
    let one_class = op.class_ids.windows(2).all(|w| w[0] == w[1]);
    if classes < 2 || classes == 2 && (base > 1 || !one_class || op.post_transform == PostTransform::Probit) {
        let m =
            "two classes are decided by the sum of one of them, with at most one base value and no probit";
        return Err(OpError::attr(m));
    }
    Ok(vec![
        TensorType::new(op.label_type(), vec![rows.clone()]).into(),
        TensorType::new(DType::F32, vec![rows, Dim::from(classes)]).into(),
    ])
}

/// What decides between two classes.
struct Binary {
    /// No weight is negative.
    positive: bool,
}

impl Binary {
    fn new(weights: &[f64]) -> Self {
        Self { positive: weights.iter().all(|w| *w >= 0.0) }
    }
    /// Class and scores from the sums of both classes and the base values.
    fn decide(&self, sums: &[Option<f64>], base: &[f64], transform: PostTransform) -> (usize, [f32; 2]) {
        let base = if let [b] = base { *b } else { 0.0 };
        let first = sums[0].map_or(0.0, |v| v + base);
        let weight = sums[1].unwrap_or(first);
        let above = weight > if self.positive { 0.5 } else { 0.0 };
        let pick = usize::from(above);
        if let Some(second) = sums[1] {
            let mut row = [first as f32, second as f32];
            transform.apply(&mut row);
            return (pick, row);
        }
        let score = first as f32;
        let row = match (transform, self.positive) {
            (PostTransform::Logistic, ..) => [logistic(-score), logistic(score)],
            (_, true) => [1.0 - score, score],
            _ => [-score, score],
        };
        (pick, row)
    }
}

/// Class and scores of several classes.
fn largest(sums: &[Option<f64>], base: &[f64], transform: PostTransform) -> (usize, Vec<f32>) {
    let with_base = |(i, v): (usize, &Option<f64>)| match (v, base.get(i)) {
        (v, None) => *v,
        (v, Some(b)) => Some(v.unwrap_or(0.0) + b),
    };
    let all: Vec<Option<f64>> = sums.iter().enumerate().map(with_base).collect();
    let better = |best: usize, (i, v): (usize, &Option<f64>)| match (v, all[best]) {
        (Some(v), Some(b)) if *v <= b => best,
        (Some(_), _) => i,
        (None, _) => best,
    };
    let pick = all.iter().enumerate().fold(0, better);
    let mut row: Vec<f32> = all.iter().map(|v| v.unwrap_or(0.0) as f32).collect();
    transform.apply(&mut row);
    (pick, row)
}

fn classify(op: &TreeEnsembleClassifier, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let x = cx.tensor(0)?;
    let ((rows, width), classes) = (rows_of(x), op.classes());
    let lists = op.lists()?;
    let (forest, data, binary) = (lists.forest()?, features(x)?, Binary::new(&lists.weights));
    let base = numbers(&op.base_values, op.base_values_as_tensor.as_ref())?;
    let double = x.dtype() == DType::F64;
    let (mut picks, mut out) = (vec![], Vec::with_capacity(count(&[rows, classes])?));
    for r in 0..rows {
        let sums = totals(&forest, &data[r * width..][..width], classes, Aggregate::Sum, double)?;
        if classes == 2 {
            let (pick, row) = binary.decide(&sums, &base, op.post_transform);
            picks.push(pick);
            out.extend(row);
        } else {
            let (pick, row) = largest(&sums, &base, op.post_transform);
            picks.push(pick);
            out.extend(row);
        }
    }
    let missing = || OpError::attr("a class has no label");
    let labels = if op.label_type() == DType::I64 {
        let all = picks.iter().map(|p| op.classlabels_int64s.get(*p).copied().ok_or_else(missing));
        Tensor::from_vec(&[rows], all.collect::<Result<Vec<i64>, _>>()?)
    } else {
        let all = picks.iter().map(|p| op.classlabels_strings.get(*p).cloned().ok_or_else(missing));
        Tensor::from_strings(&[rows], all.collect::<Result<Vec<String>, _>>()?)
    };
    Ok(vec![labels.into(), Tensor::from_vec(&[rows, classes], out).into()])
}
