//! What the recurrent operators share: directions, sizes of operands and results, parameters.
use super::activation::{Activation, activations};
use crate::attr::Word;
use crate::dim::{Dim, SymInt};
use crate::infer::InferCx;
use crate::op::OpError;
use crate::types::{Shape, TensorType, Type};

/// Order in which the time steps are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// From the first to the last.
    #[default]
    Forward,
    /// From the last to the first.
    Reverse,
    /// Both, each with its own weights.
    Bidirectional,
}

impl Word for Direction {
    const KIND: &'static str = "direction";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Forward, "forward"), (Self::Reverse, "reverse"), (Self::Bidirectional, "bidirectional")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

impl Direction {
    /// Number of passes over the sequence.
    pub fn count(self) -> usize {
        if self == Self::Bidirectional { 2 } else { 1 }
    }
}

/// The cell, with the attributes that only it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Lstm { input_forget: bool },
    Gru { linear_before_reset: bool },
    Rnn,
}

impl Kind {
    /// Blocks of `hidden` rows in the weights.
    pub(super) fn gates(self) -> usize {
        match self {
            Self::Lstm { .. } => 4,
            Self::Gru { .. } => 3,
            Self::Rnn => 1,
        }
    }
    /// Names of the activation functions of one direction when none are given.
    fn functions(self) -> &'static [&'static str] {
        match self {
            Self::Lstm { .. } => &["Sigmoid", "Tanh", "Tanh"],
            Self::Gru { .. } => &["Sigmoid", "Tanh"],
            Self::Rnn => &["Tanh"],
        }
    }
}

/// Attributes of a recurrent operator.
pub(super) struct Shared<'a> {
    pub kind: Kind,
    pub activations: Option<&'a [String]>,
    pub alpha: &'a [f32],
    pub beta: &'a [f32],
    pub clip: Option<f32>,
    pub direction: Direction,
    pub hidden_size: Option<i64>,
    pub layout: i64,
}

/// Positions of operands.
pub(super) const X: usize = 0;
pub(super) const W: usize = 1;
pub(super) const R: usize = 2;
pub(super) const B: usize = 3;
pub(super) const LENGTHS: usize = 4;
pub(super) const INITIAL_H: usize = 5;
pub(super) const INITIAL_C: usize = 6;
pub(super) const PEEPHOLES: usize = 7;

/// An axis of an operand, in terms of the sizes of the problem.
#[derive(Clone, Copy)]
enum Axis {
    /// One of [`Sizes`].
    Is(usize),
    /// A multiple of the hidden size.
    Hiddens(usize),
    /// Number of directions.
    Directions,
}

/// Time steps, sequences, features of one step, hidden units.
type Sizes = [Dim; 4];
const STEPS: usize = 0;
const BATCH: usize = 1;
const INPUT: usize = 2;
const HIDDEN: usize = 3;
const NAMES: [&str; 4] = ["sequence length", "batch size", "input size", "hidden size"];

impl Shared<'_> {
    /// Whether the batch axis comes first.
    ///
    /// # Errors
    /// For a `layout` other than 0 and 1.
    pub(super) fn batch_first(&self) -> Result<bool, OpError> {
        match self.layout {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(OpError::attr(format!("`layout` must be 0 or 1, is {other}"))),
        }
    }
    /// Activation functions of each direction.
    ///
    /// # Errors
    /// When there are too few, one is unknown, or one lacks a parameter.
    pub(super) fn functions(&self) -> Result<Vec<Vec<Activation>>, OpError> {
        let (default, count) = (self.kind.functions(), self.direction.count());
        let needed = default.len() * count;
        let names: Vec<&str> = match self.activations {
            None => default.iter().copied().cycle().take(needed).collect(),
            // The default of `RNN` itself lists two functions where one direction needs one.
            Some(given) if given.len() == needed || (given.len() > needed && self.kind == Kind::Rnn) => {
                given.iter().take(needed).map(String::as_str).collect()
            }
            Some(given) => {
                let m = format!("`activations` lists {} functions, {needed} are needed", given.len());
                return Err(OpError::attr(m));
            }
        };
        let all = activations(&names, self.alpha, self.beta)?;
        Ok(all.chunks(default.len()).map(<[Activation]>::to_vec).collect())
    }
    /// Bound of the inputs of activation functions.
    ///
    /// # Errors
    /// When it is not above 0.
    pub(super) fn bound(&self) -> Result<Option<f32>, OpError> {
        match self.clip {
            Some(c) if c.is_nan() || c <= 0.0 => {
                Err(OpError::attr(format!("`clip` must be above 0, is {c}")))
            }
            clip => Ok(clip),
        }
    }
    fn axes(&self, operand: usize, batch_first: bool) -> Vec<Axis> {
        use Axis::{Directions, Hiddens, Is};
        let gates = self.kind.gates();
        match operand {
            X if batch_first => vec![Is(BATCH), Is(STEPS), Is(INPUT)],
            X => vec![Is(STEPS), Is(BATCH), Is(INPUT)],
            W => vec![Directions, Hiddens(gates), Is(INPUT)],
            R => vec![Directions, Hiddens(gates), Is(HIDDEN)],
            B => vec![Directions, Hiddens(2 * gates)],
            LENGTHS => vec![Is(BATCH)],
            INITIAL_H | INITIAL_C if batch_first => vec![Is(BATCH), Directions, Is(HIDDEN)],
            INITIAL_H | INITIAL_C => vec![Directions, Is(BATCH), Is(HIDDEN)],
            _ => vec![Directions, Hiddens(3)],
        }
    }
    fn sizes(&self, cx: &InferCx<'_>, batch_first: bool) -> Result<Sizes, OpError> {
        let mut sizes: Sizes = std::array::from_fn(|_| Dim::Unknown);
        if let Some(h) = self.hidden_size {
            let h = u64::try_from(h).map_err(|_| OpError::attr(format!("`hidden_size` is {h}")))?;
            sizes[HIDDEN] = Dim::Known(h);
        }
        for operand in X..=PEEPHOLES {
            if !cx.has(operand) {
                continue;
            }
            let Some(shape) = cx.shape(operand)? else { continue };
            let axes = self.axes(operand, batch_first);
            if axes.len() != shape.len() {
                let m = format!("operand {operand} must have {} axes, has {}", axes.len(), shape.len());
                return Err(OpError::shape(m));
            }
            for (axis, dim) in axes.into_iter().zip(shape) {
                self.settle(&mut sizes, axis, dim, operand)?;
            }
        }
        Ok(sizes)
    }
    fn settle(&self, sizes: &mut Sizes, axis: Axis, dim: &Dim, operand: usize) -> Result<(), OpError> {
        match axis {
            Axis::Directions => {
                let count = self.direction.count() as u64;
                if dim.surely_differs(&Dim::Known(count)) {
                    let m =
                        format!("operand {operand} is for {dim} directions, `direction` asks for {count}");
                    return Err(OpError::shape(m));
                }
                Ok(())
            }
            Axis::Is(i) => unify(sizes, i, dim, operand),
            Axis::Hiddens(k) => {
                if dim.known().is_some_and(|n| n % k as u64 != 0) {
                    let m = format!("operand {operand} has an axis of size {dim}, not a multiple of {k}");
                    return Err(OpError::shape(m));
                }
                let one = dim.to_sym().and_then(|d| d.exact_div(&SymInt::from(k as i64)));
                unify(sizes, HIDDEN, &Dim::from_sym(one), operand)
            }
        }
    }
    /// Types of the sequence, the last hidden state and the last cell state.
    ///
    /// # Errors
    /// When operands do not fit each other or an attribute is out of range.
    pub(super) fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let batch_first = self.batch_first()?;
        self.functions()?;
        self.bound()?;
        let [steps, batch, _, hidden] = self.sizes(cx, batch_first)?;
        let directions = Dim::from(self.direction.count());
        let (y, state): (Shape, Shape) = if batch_first {
            (vec![batch.clone(), steps, directions.clone(), hidden.clone()], vec![batch, directions, hidden])
        } else {
            (vec![steps, directions.clone(), batch.clone(), hidden.clone()], vec![directions, batch, hidden])
        };
        let dtype = cx.dtype(X)?;
        let state: Type = TensorType::new(dtype, state).into();
        Ok(vec![TensorType::new(dtype, y).into(), state.clone(), state])
    }
}

/// Multiply-accumulates of the products of all steps.
pub(super) fn macs(inputs: &[Option<&Type>]) -> Option<u64> {
    let sizes = |i: usize| inputs.get(i).copied().flatten()?.as_tensor()?.sizes();
    let (x, w, r) = (sizes(X)?, sizes(W)?, sizes(R)?);
    let ([a, b, input], [d, rows, _], [.., hidden]) = (x.as_slice(), w.as_slice(), r.as_slice()) else {
        return None;
    };
    [*a, *b, *d, *rows].iter().try_fold(input.checked_add(*hidden)? as u64, |n, k| n.checked_mul(*k as u64))
}

/// Settles size `i` to what is known of it; fixed sizes count more than symbols.
fn unify(sizes: &mut Sizes, i: usize, dim: &Dim, operand: usize) -> Result<(), OpError> {
    let Some(settled) = sizes[i].meet(dim) else {
        let m = format!("operand {operand} is for {} {dim}, others are for {}", NAMES[i], sizes[i]);
        return Err(OpError::shape(m));
    };
    sizes[i] = settled;
    Ok(())
}
