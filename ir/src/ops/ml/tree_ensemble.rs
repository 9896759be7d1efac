//! `tree_ensemble`
use super::scale::check_rows;
use super::scores::PostTransform;
use super::tree::{Aggregate, Forest, Mode, Node, features, rows_of, scores, totals};
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};

crate::op! {
    /// Numbers of the leaves that each row of features reaches, aggregated over trees, then a function of each row. Inner nodes and
    /// leaves are numbered by themselves.
    tree_ensemble TreeEnsemble(x: One<T>) -> (y: One<T>) {
        /// 0 for the mean over trees, 1 for the sum, 2 for the smallest, 3 for the largest number.
        aggregate_function: i64 = 1,
        /// Target of each leaf.
        leaf_targetids: Vec<i64> = vec![],
        /// Number of each leaf.
        leaf_weights: Option<Tensor> = None,
        /// Sets of the nodes of mode 6, in their order, each ended by NaN.
        membership_values: Option<Tensor> = None,
        /// Number of targets.
        n_targets: Option<i64> = None,
        /// Whether what follows where the condition does not hold is a leaf.
        nodes_falseleafs: Vec<i64> = vec![],
        /// What follows where the condition does not hold.
        nodes_falsenodeids: Vec<i64> = vec![],
        /// Feature of each node.
        nodes_featureids: Vec<i64> = vec![],
        /// Without effect.
        nodes_hitrates: Option<Tensor> = None,
        /// Whether NaN goes where the condition holds.
        nodes_missing_value_tracks_true: Vec<i64> = vec![],
        /// Condition of each node: 0 at most, 1 less, 2 at least, 3 more, 4 equal, 5 not equal, 6 in a set.
        nodes_modes: Option<Tensor> = None,
        /// What features are compared with.
        nodes_splits: Option<Tensor> = None,
        /// Whether what follows where the condition holds is a leaf.
        nodes_trueleafs: Vec<i64> = vec![],
        /// What follows where the condition holds.
        nodes_truenodeids: Vec<i64> = vec![],
        /// 0 none, 3 softmax in which zeros stay, 4 probit. The specification and ONNX Runtime exchange the meanings of 1 and 2, which
        /// are therefore refused.
        post_transform: i64 = 0,
        /// First node of each tree.
        tree_roots: Vec<i64> = vec![],
    } where T: DTypeSet::of(&[DType::F16, DType::F32, DType::F64]);
}

fn needed<'a>(what: &str, t: Option<&'a Tensor>) -> Result<&'a Tensor, OpError> {
    t.ok_or_else(|| OpError::attr(format!("`{what}` is missing")))
}

impl TreeEnsemble {
    fn targets(&self) -> Result<usize, OpError> {
        let n = self.n_targets.and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0);
        n.ok_or_else(|| OpError::attr("`n_targets` must be positive"))
    }
    fn transform(&self) -> Result<PostTransform, OpError> {
        match self.post_transform {
            0 => Ok(PostTransform::None),
            3 => Ok(PostTransform::SoftmaxZero),
            4 => Ok(PostTransform::Probit),
            other => {
                Err(OpError::attr(format!("post_transform {other} means different things to its readers")))
            }
        }
    }
    fn aggregate(&self) -> Result<Aggregate, OpError> {
        let unknown = || OpError::attr(format!("aggregate_function {} is unknown", self.aggregate_function));
        Aggregate::from_number(self.aggregate_function).ok_or_else(unknown)
    }
    /// Refuses lists of different lengths.
    fn check(&self) -> Result<(), OpError> {
        let n = self.nodes_featureids.len();
        let lists = [
            needed("nodes_modes", self.nodes_modes.as_ref())?.len(),
            needed("nodes_splits", self.nodes_splits.as_ref())?.len(),
            self.nodes_truenodeids.len(),
            self.nodes_falsenodeids.len(),
            self.nodes_trueleafs.len(),
            self.nodes_falseleafs.len(),
        ];
        let missing = self.nodes_missing_value_tracks_true.len();
        let leaves = needed("leaf_weights", self.leaf_weights.as_ref())?.len() == self.leaf_targetids.len();
        if lists.iter().all(|l| *l == n) && (missing == 0 || missing == n) && leaves {
            return Ok(());
        }
        Err(OpError::attr("the lists of the trees' nodes or leaves have different lengths"))
    }
    /// Inner nodes first, then leaves.
    fn forest(&self) -> Result<Forest, OpError> {
        self.check()?;
        let n = self.nodes_featureids.len();
        let modes = needed("nodes_modes", self.nodes_modes.as_ref())?.to_i64s()?;
        let values = needed("nodes_splits", self.nodes_splits.as_ref())?.to_f64s()?;
        let members = match &self.membership_values {
            Some(t) => t.to_f64s()?,
            None => vec![],
        };
        let mut sets = members.split(|v| v.is_nan());
        let position = |v: i64| usize::try_from(v).map_err(|_| OpError::attr("a negative position"));
        let follows = |at: i64, leaf: i64| -> Result<usize, OpError> {
            Ok(position(at)?.saturating_add(if leaf == 0 { 0 } else { n }))
        };
        let mut nodes = vec![];
        for i in 0..n {
            let unknown = || OpError::attr(format!("mode {} is unknown", modes[i]));
            let mode = Mode::from_number(modes[i]).ok_or_else(unknown)?;
            let members =
                if mode == Mode::Member { sets.next().unwrap_or_default().to_vec() } else { vec![] };
            nodes.push(Node::Inner {
                mode,
                feature: position(self.nodes_featureids[i])?,
                value: values[i],
                members,
                yes: follows(self.nodes_truenodeids[i], self.nodes_trueleafs[i])?,
                no: follows(self.nodes_falsenodeids[i], self.nodes_falseleafs[i])?,
                missing_yes: self.nodes_missing_value_tracks_true.get(i).is_some_and(|v| *v != 0),
            });
        }
        let weights = needed("leaf_weights", self.leaf_weights.as_ref())?.to_f64s()?;
        for (target, weight) in self.leaf_targetids.iter().zip(weights) {
            nodes.push(Node::Leaf(vec![(position(*target)?, weight)]));
        }
        let roots = self.tree_roots.iter().map(|r| position(*r)).collect::<Result<_, _>>()?;
        Ok(Forest { nodes, roots })
    }
}

impl Semantics for TreeEnsemble {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        check_rows(cx)?;
        self.check()?;
        self.transform()?;
        self.aggregate()?;
        let targets = Dim::from(self.targets()?);
        let rows = match cx.shape(0)?.map(Vec::as_slice) {
            Some([n, _]) => n.clone(),
            Some(_) => Dim::Known(1),
            None => Dim::Unknown,
        };
        Ok(vec![TensorType::new(cx.dtype(0)?, vec![rows, targets]).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let ((rows, width), targets) = (rows_of(x), self.targets()?);
        let (forest, data, transform, how) =
            (self.forest()?, features(x)?, self.transform()?, self.aggregate()?);
        let double = x.dtype() == DType::F64;
        let mut out = scores(rows, targets)?;
        for r in 0..rows {
            let row = totals(&forest, &data[r * width..][..width], targets, how, double)?;
            let mut row: Vec<f64> = row.into_iter().map(|v| v.unwrap_or(0.0)).collect();
            if transform != PostTransform::None {
                let mut single: Vec<f32> = row.iter().map(|v| *v as f32).collect();
                transform.apply_to_some(&mut single);
                row = single.into_iter().map(f64::from).collect();
            }
            out.extend(row);
        }
        one(Tensor::from_wide(x.dtype(), &[rows, targets], &Wide::F64(out), false)?)
    }
}
