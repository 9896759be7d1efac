//! `rnn`
use super::activation::Curve;
use super::common::{Direction, Kind, Shared, macs};
use super::expansion::expand;
use super::sequence::{Cell, State, eval};
use crate::builder::Builder;
use crate::dtype::{DType, DTypeSet, FLOATS};
use crate::eval::{EvalCx, Value};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::kernel::gemm::Output;
use crate::op::{OpError, Semantics};
use crate::types::Type;

crate::op! {
    /// Simple recurrence over a sequence: `h = f(x W' + h R' + Wb + Rb)`. Steps beyond a sequence's length give zeros and leave its
    /// state; the state of a sequence of length 0 is zeros. Computed in `f32` or `f64` throughout, rounded once.
    rnn Rnn(
        x: One<T>, w: One<T>, r: One<T>, b: Opt<T>, sequence_lens: Opt<T1>, initial_h: Opt<T>,
    ) -> (y: One<T>, y_h: Opt<T>) {
        /// First parameter of the activation functions that have one, in order.
        activation_alpha: Vec<f32> = vec![],
        /// Second parameter of the activation functions that have one, in order.
        activation_beta: Vec<f32> = vec![],
        /// Function f of each direction; `Tanh` when left out.
        activations: Option<Vec<String>> = None,
        /// Bound of the magnitude of every activation function's input.
        clip: Option<f32> = None,
        /// Order of the time steps.
        direction: Direction = Direction::Forward,
        /// Number of hidden units, when not read off the weights.
        hidden_size: Option<i64> = None,
        /// 0: `x` is `[steps, batch, input]`; 1: `[batch, steps, input]`, and results and states begin with the batch too.
        layout: i64 = 0,
    } where T: FLOATS, T1: DTypeSet::of(&[DType::I32]);
}

impl Rnn {
    fn shared(&self) -> Shared<'_> {
        Shared {
            kind: Kind::Rnn,
            activations: self.activations.as_deref(),
            alpha: &self.activation_alpha,
            beta: &self.activation_beta,
            clip: self.clip,
            direction: self.direction,
            hidden_size: self.hidden_size,
            layout: self.layout,
        }
    }
}

impl Semantics for Rnn {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let mut types = self.shared().infer(cx)?;
        types.truncate(2);
        Ok(types)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        eval(&self.shared(), &cx)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], outputs: usize) -> Expanded {
        expand(&self.shared(), b, inputs, outputs)
    }
    fn macs(&self, inputs: &[Option<&Type>], _outputs: &[&Type]) -> Option<u64> {
        macs(inputs)
    }
}

/// One step of all sequences; `gates` holds the input's part and is used up.
pub(super) fn step<T: Curve>(
    cell: &Cell<'_, T>,
    gates: &mut [T],
    from: &State<T>,
    to: &mut State<T>,
) -> Result<(), OpError> {
    cell.recur(0, 0..cell.hidden, &from.h, Output::Accumulate, gates)?;
    cell.activate(0, gates);
    to.h.copy_from_slice(gates);
    Ok(())
}
