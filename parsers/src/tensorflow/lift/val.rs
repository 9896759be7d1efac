//! What a value of TensorFlow is while it is lifted.
use super::cx::V;
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
    /// Number of the elements' type in TensorFlow's `DataType`.
    pub code: i32,
}

impl Val {
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
            Self::Failed => "what could not be lifted",
        }
    }
}

impl From<V> for Val {
    fn from(v: V) -> Self {
        Self::Tensor(v)
    }
}
