//! Types of values.
use crate::dim::Dim;
use crate::dtype::DType;
use std::fmt;

/// Dimensions of a tensor, outermost first.
pub type Shape = Vec<Dim>;

/// Element type and shape of a tensor.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Dimensions; `None` when even the rank is unknown.
    pub shape: Option<Shape>,
}

impl TensorType {
    /// A tensor of these dimensions.
    pub fn new(dtype: DType, shape: impl Into<Option<Shape>>) -> Self {
        Self { dtype, shape: shape.into() }
    }
    /// A tensor of fixed sizes.
    pub fn fixed(dtype: DType, sizes: &[usize]) -> Self {
        Self::new(dtype, sizes.iter().map(|&n| Dim::from(n)).collect::<Shape>())
    }
    /// A tensor whose rank is known and whose sizes are not.
    pub fn of_rank(dtype: DType, rank: usize) -> Self {
        Self::new(dtype, vec![Dim::Unknown; rank])
    }
    /// A tensor about whose shape nothing is known.
    pub fn unranked(dtype: DType) -> Self {
        Self::new(dtype, None)
    }
    /// Number of dimensions, when known.
    pub fn rank(&self) -> Option<usize> {
        self.shape.as_ref().map(Vec::len)
    }
    /// All sizes, when all are fixed.
    pub fn sizes(&self) -> Option<Vec<usize>> {
        self.shape.as_ref()?.iter().map(|d| d.known().and_then(|n| usize::try_from(n).ok())).collect()
    }
}

/// Type of a value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Type {
    /// A tensor.
    Tensor(TensorType),
    /// A list whose elements have one type.
    Sequence(Box<Type>),
    /// A value that may be absent.
    Optional(Box<Type>),
    /// A map from keys of an integer or string type.
    Map(DType, Box<Type>),
    /// Not known: the result of a custom operator.
    Unknown,
}

impl Type {
    /// The tensor type, if it is one.
    pub fn as_tensor(&self) -> Option<&TensorType> {
        if let Self::Tensor(t) = self { Some(t) } else { None }
    }
    /// Nesting depth: 1 for a tensor, one more for each container.
    pub fn depth(&self) -> usize {
        match self {
            Self::Tensor(_) | Self::Unknown => 1,
            Self::Sequence(t) | Self::Optional(t) | Self::Map(_, t) => 1 + t.depth(),
        }
    }
    /// What both types agree on, taking from each what the other leaves open. `None` when they contradict.
    pub fn meet(&self, other: &Self) -> Option<Self> {
        Some(match (self, other) {
            (Self::Unknown, t) | (t, Self::Unknown) => t.clone(),
            (Self::Tensor(a), Self::Tensor(b)) => Self::Tensor(meet_tensors(a, b)?),
            (Self::Sequence(a), Self::Sequence(b)) => Self::Sequence(Box::new(a.meet(b)?)),
            (Self::Optional(a), Self::Optional(b)) => Self::Optional(Box::new(a.meet(b)?)),
            (Self::Map(k, a), Self::Map(l, b)) if k == l => Self::Map(*k, Box::new(a.meet(b)?)),
            _ => return None,
        })
    }
    /// The most precise type that both are instances of: what a value is that comes from either of two branches.
    pub fn join(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Tensor(a), Self::Tensor(b)) if a.dtype == b.dtype => {
                let shape = match (&a.shape, &b.shape) {
                    (Some(s), Some(t)) if s.len() == t.len() => {
                        let dim = |(x, y): (&Dim, &Dim)| if x == y { x.clone() } else { Dim::Unknown };
                        Some(s.iter().zip(t).map(dim).collect())
                    }
                    _ => None,
                };
                Self::Tensor(TensorType { dtype: a.dtype, shape })
            }
            (Self::Sequence(a), Self::Sequence(b)) => Self::Sequence(Box::new(a.join(b))),
            (Self::Optional(a), Self::Optional(b)) => Self::Optional(Box::new(a.join(b))),
            (Self::Map(k, a), Self::Map(l, b)) if k == l => Self::Map(*k, Box::new(a.join(b))),
            _ => Self::Unknown,
        }
    }
}

fn meet_tensors(a: &TensorType, b: &TensorType) -> Option<TensorType> {
    if a.dtype != b.dtype {
        return None;
    }
    let shape = match (&a.shape, &b.shape) {
        (None, s) | (s, None) => s.clone(),
        (Some(s), Some(t)) if s.len() == t.len() => {
            Some(s.iter().zip(t).map(|(x, y)| x.meet(y)).collect::<Option<_>>()?)
        }
        _ => return None,
    };
    Some(TensorType { dtype: a.dtype, shape })
}

impl From<TensorType> for Type {
    fn from(t: TensorType) -> Self {
        Self::Tensor(t)
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(shape) = &self.shape else { return write!(f, "{}[*]", self.dtype) };
        write!(f, "{}[", self.dtype)?;
        for (i, d) in shape.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{d}")?;
        }
        f.write_str("]")
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tensor(t) => t.fmt(f),
            Self::Sequence(t) => write!(f, "seq<{t}>"),
            Self::Optional(t) => write!(f, "optional<{t}>"),
            Self::Map(k, t) => write!(f, "map<{k}, {t}>"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}
