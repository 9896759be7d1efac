//! What a value of TensorFlow is while it is lifted.
use super::cx::V;
use hoist_ir::dtype::DType;
use std::sync::Arc;

/// A value of a graph of TensorFlow.
#[derive(Clone, Debug)]
pub enum Val {
    /// A tensor.
    Tensor(V),
    /// A tensor of complex numbers: a real one whose last axis of 2 holds real and imaginary part.
    Complex(V),
    /// A handle of a variable.
    Variable(usize),
    /// A handle of a lookup table, by its number.
    Table(usize),
    /// A list of tensors, in a variant or a `TensorArray`.
    List(Arc<List>),
    /// A ragged tensor in a variant: the splits of its ragged axes, outermost first, and its elements.
    Ragged(Arc<Vec<V>>),
    /// A `TensorArray`'s flow or another value that orders nodes and holds nothing.
    Token,
    /// What a branch gives that is not taken.
    Dead,
    /// The result of a node that could not be lifted; what reads it is passed over.
    Failed,
}

/// A list of tensors of one shape.
#[derive(Clone, Debug)]
pub struct List {
    /// The elements stacked along a first axis; none while nothing is known about them.
    pub stacked: Option<V>,
    /// Number of elements: 64-bit integer, 0-d.
    pub len: V,
    /// Element type.
    pub dtype: DType,
    /// Whether writing behind its end makes it longer.
    pub grows: bool,
    /// In the body of a loop: which of the loop's lists it is, whose elements nothing has asked for.
    pub slot: Option<usize>,
    /// The one element that is written to the list that `slot` names: its index, and the element.
    pub write: Option<(V, V)>,
}

impl List {
    /// A list of `len` elements that may be stacked.
    pub fn new(stacked: Option<V>, len: V, dtype: DType) -> Self {
        Self { stacked, len, dtype, grows: false, slot: None, write: None }
    }
}

impl Val {
    /// The tensors that it is made of.
    pub fn parts(&self) -> Vec<V> {
        match self {
            Self::Tensor(v) | Self::Complex(v) => vec![*v],
            Self::List(list) => list.stacked.into_iter().chain([list.len]).collect(),
            Self::Ragged(all) => all.to_vec(),
            Self::Variable(_) | Self::Table(_) | Self::Token | Self::Dead | Self::Failed => vec![],
        }
    }
    /// The same of other tensors, which are taken from `parts`.
    pub fn rebuilt(&self, parts: &mut impl Iterator<Item = V>) -> Self {
        let mut next = |v: V| parts.next().unwrap_or(v);
        match self {
            Self::Tensor(v) => Self::Tensor(next(*v)),
            Self::Complex(v) => Self::Complex(next(*v)),
            Self::List(list) => {
                let stacked = list.stacked.map(&mut next);
                Self::List(Arc::new(List { stacked, len: next(list.len), ..List::clone(list) }))
            }
            Self::Ragged(all) => Self::Ragged(Arc::new(all.iter().map(|v| next(*v)).collect())),
            other => other.clone(),
        }
    }
    /// Whether both are made of the same kinds of tensors.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tensor(_), Self::Tensor(_))
            | (Self::Complex(_), Self::Complex(_))
            | (Self::Token, Self::Token) => true,
            (Self::List(a), Self::List(b)) => a.stacked.is_some() == b.stacked.is_some(),
            (Self::Ragged(a), Self::Ragged(b)) => a.len() == b.len(),
            (Self::Variable(a), Self::Variable(b)) | (Self::Table(a), Self::Table(b)) => a == b,
            _ => false,
        }
    }
    /// What it is, with its article.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Tensor(_) => "a tensor",
            Self::Complex(_) => "complex numbers",
            Self::Variable(_) => "a variable",
            Self::Table(_) => "a lookup table",
            Self::List(_) => "a list",
            Self::Ragged(_) => "a ragged tensor",
            Self::Token => "a flow",
            Self::Dead => "in a branch that is not taken",
            Self::Failed => "what could not be lifted",
        }
    }
}

impl From<V> for Val {
    fn from(v: V) -> Self {
        Self::Tensor(v)
    }
}
