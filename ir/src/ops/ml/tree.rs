//! Decision trees as data: what the ensembles are computed by.
use crate::op::OpError;
use crate::tensor::Tensor;

/// Condition of an inner node on its feature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// At most the value.
    Leq,
    /// Less than the value.
    Lt,
    /// At least the value.
    Gte,
    /// More than the value.
    Gt,
    /// Equal to the value.
    Eq,
    /// Not equal to the value.
    Neq,
    /// One of a set.
    Member,
}

impl Mode {
    /// The mode of that number, in the order of the list above.
    pub fn from_number(n: i64) -> Option<Self> {
        let all = [Self::Leq, Self::Lt, Self::Gte, Self::Gt, Self::Eq, Self::Neq, Self::Member];
        all.get(usize::try_from(n).ok()?).copied()
    }
    /// The mode of ONNX's word; `None` for leaves and unknown words.
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "BRANCH_LEQ" => Self::Leq,
            "BRANCH_LT" => Self::Lt,
            "BRANCH_GTE" => Self::Gte,
            "BRANCH_GT" => Self::Gt,
            "BRANCH_EQ" => Self::Eq,
            "BRANCH_NEQ" => Self::Neq,
            _ => return None,
        })
    }
}

/// A node of a tree.
#[derive(Clone, PartialEq, Debug)]
pub enum Node {
    /// Goes on at one of two nodes.
    Inner {
        /// The condition.
        mode: Mode,
        /// Position of the feature.
        feature: usize,
        /// What it is compared with.
        value: f64,
        /// The set of [`Mode::Member`].
        members: Vec<f64>,
        /// Node where the condition holds.
        yes: usize,
        /// Node where it does not.
        no: usize,
        /// Whether NaN goes where the condition holds.
        missing_yes: bool,
    },
    /// Adds to targets.
    Leaf(Vec<(usize, f64)>),
}

/// Trees over shared nodes.
#[derive(Clone, PartialEq, Debug)]
pub struct Forest {
    /// All nodes.
    pub nodes: Vec<Node>,
    /// The first node of each tree.
    pub roots: Vec<usize>,
}

impl Forest {
    /// What the tree at `root` adds for these features.
    ///
    /// # Errors
    /// When nodes or features are missing, or the nodes run in a circle.
    pub fn leaf(&self, root: usize, features: &[f64]) -> Result<&[(usize, f64)], OpError> {
        let mut at = root;
        for _ in 0..=self.nodes.len() {
            match self.nodes.get(at) {
                Some(Node::Leaf(weights)) => return Ok(weights),
                Some(Node::Inner { mode, feature, value, members, yes, no, missing_yes }) => {
                    let outside = || OpError::eval(format!("a tree asks for feature {feature}"));
                    let v = *features.get(*feature).ok_or_else(outside)?;
                    let holds = match mode {
                        Mode::Leq => v <= *value,
                        Mode::Lt => v < *value,
                        Mode::Gte => v >= *value,
                        Mode::Gt => v > *value,
                        Mode::Eq => v == *value,
                        Mode::Neq => v != *value,
                        Mode::Member => members.contains(&v),
                    };
                    at = if holds || *missing_yes && v.is_nan() { *yes } else { *no };
                }
                None => return Err(OpError::attr("a tree names a node that does not exist")),
            }
        }
        Err(OpError::attr("the nodes of a tree run in a circle"))
    }
}

/// How the trees' numbers become one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Aggregate {
    /// The mean over all trees.
    Average,
    /// The sum.
    #[default]
    Sum,
    /// The smallest.
    Min,
    /// The largest.
    Max,
}

impl crate::attr::Word for Aggregate {
    const KIND: &'static str = "aggregate";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Average, "AVERAGE"), (Self::Sum, "SUM"), (Self::Min, "MIN"), (Self::Max, "MAX")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

impl Aggregate {
    /// The aggregate of that number, in the order of the list above.
    pub fn from_number(n: i64) -> Option<Self> {
        [Self::Average, Self::Sum, Self::Min, Self::Max].get(usize::try_from(n).ok()?).copied()
    }
}

/// Most numbers that the scores of an ensemble may be.
const MAX_SCORES: usize = 1 << 26;

/// Room for the scores of all rows.
///
/// # Errors
/// When they are too many.
pub fn scores<T>(rows: usize, targets: usize) -> Result<Vec<T>, OpError> {
    let n = rows.checked_mul(targets).filter(|n| targets <= MAX_SCORES && *n <= MAX_SCORES);
    let too_many = || OpError::new("E0307", format!("{rows} rows of {targets} scores are too many"));
    n.map(Vec::with_capacity).ok_or_else(too_many)
}

/// Numbers of one row: for each target its total, if any tree gave one.
///
/// # Errors
/// Those of [`Forest::leaf`].
pub fn totals(
    forest: &Forest,
    features: &[f64],
    targets: usize,
    how: Aggregate,
    double: bool,
) -> Result<Vec<Option<f64>>, OpError> {
    let round = |v: f64| if double { v } else { f64::from(v as f32) };
    let mut out: Vec<Option<f64>> = vec![None; targets];
    for root in &forest.roots {
        for (target, weight) in forest.leaf(*root, features)? {
            let slot =
                out.get_mut(*target).ok_or_else(|| OpError::attr("a leaf adds to an unknown target"))?;
            *slot = Some(match (how, *slot) {
                (_, None) => *weight,
                (Aggregate::Min, Some(v)) => v.min(*weight),
                (Aggregate::Max, Some(v)) => v.max(*weight),
                (_, Some(v)) => round(v + weight),
            });
        }
    }
    if how == Aggregate::Average {
        let n = forest.roots.len() as f64;
        out.iter_mut().flatten().for_each(|v| *v = round(*v / n));
    }
    Ok(out)
}

/// Features of data as they are compared: in 64 bits where they have them, else in 32.
///
/// # Errors
/// When the data holds no numbers.
pub fn features(x: &Tensor) -> Result<Vec<f64>, OpError> {
    if x.dtype() == crate::dtype::DType::F64 {
        return Ok(x.to_f64s()?);
    }
    Ok(x.to_f32s()?.iter().map(|v| f64::from(*v)).collect())
}

/// Rows and features per row of data with one or two axes.
pub fn rows_of(x: &Tensor) -> (usize, usize) {
    match x.shape() {
        [n, f] => (*n, *f),
        other => (1, other.iter().product()),
    }
}
