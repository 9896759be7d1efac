//! `gru`
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
    /// Gated recurrent unit over a sequence. With gates in the order update, reset, hidden and `.` elementwise:
    /// `z = f(x Wz' + h Rz' + bz)`, `r = f(x Wr' + h Rr' + br)`, `n = g(x Wh' + (r . h) Rh' + Rbh + Wbh)`, or
    /// `n = g(x Wh' + r . (h Rh' + Rbh) + Wbh)` with `linear_before_reset`; `h = (1 - z) . n + z . h`. Steps beyond a sequence's length
    /// give zeros and leave its state; the state of a sequence of length 0 is zeros. Computed in `f32` or `f64` throughout, rounded once.
    gru Gru(
        x: One<T>, w: One<T>, r: One<T>, b: Opt<T>, sequence_lens: Opt<T1>, initial_h: Opt<T>,
    ) -> (y: One<T>, y_h: Opt<T>) {
        /// First parameter of the activation functions that have one, in order.
        activation_alpha: Vec<f32> = vec![],
        /// Second parameter of the activation functions that have one, in order.
        activation_beta: Vec<f32> = vec![],
        /// Functions f, g of each direction; `Sigmoid`, `Tanh` when left out.
        activations: Option<Vec<String>> = None,
        /// Bound of the magnitude of every activation function's input.
        clip: Option<f32> = None,
        /// Order of the time steps.
        direction: Direction = Direction::Forward,
        /// Number of hidden units, when not read off the weights.
        hidden_size: Option<i64> = None,
        /// 0: `x` is `[steps, batch, input]`; 1: `[batch, steps, input]`, and results and states begin with the batch too.
        layout: i64 = 0,
        /// Whether the reset gate multiplies the product with the state, not the state.
        linear_before_reset: bool = false,
    } where T: FLOATS, T1: DTypeSet::of(&[DType::I32]);
}

impl Gru {
    fn shared(&self) -> Shared<'_> {
        Shared {
            kind: Kind::Gru { linear_before_reset: self.linear_before_reset },
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

impl Semantics for Gru {
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
    cell: &mut Cell<'_, T>,
    gates: &mut [T],
    from: &State<T>,
    to: &mut State<T>,
    linear_before_reset: bool,
) -> Result<(), OpError> {
    let n = cell.hidden;
    let width = if linear_before_reset { 3 * n } else { 2 * n };
    let mut spare = std::mem::take(&mut cell.spare);
    spare.resize(from.h.len() / n * width, T::ZERO);
    cell.recur(0, 0..width, &from.h, Output::Replace, &mut spare)?;
    for (gates, part) in gates.chunks_exact_mut(3 * n).zip(spare.chunks_exact(width)) {
        for (g, v) in gates[..2 * n].iter_mut().zip(part) {
            *g = *g + *v;
        }
        cell.activate(0, &mut gates[..2 * n]);
    }
    if linear_before_reset {
        for (gates, part) in gates.chunks_exact_mut(3 * n).zip(spare.chunks_exact(width)) {
            let (r, inner) = gates[n..].split_at_mut(n);
            for (k, v) in inner.iter_mut().enumerate() {
                let bias = cell.inner_bias.map_or(T::ZERO, |b| b[k]);
                *v = *v + r[k] * (part[2 * n + k] + bias);
            }
        }
    } else {
        spare.truncate(from.h.len());
        let rows = gates.chunks_exact(3 * n).zip(from.h.chunks_exact(n));
        for ((gates, h), out) in rows.zip(to.h.chunks_exact_mut(n)) {
            for (k, o) in out.iter_mut().enumerate() {
                *o = gates[n + k] * h[k];
            }
        }
        cell.recur(1, 2 * n..3 * n, &to.h, Output::Replace, &mut spare)?;
        for (gates, part) in gates.chunks_exact_mut(3 * n).zip(spare.chunks_exact(n)) {
            for (g, v) in gates[2 * n..].iter_mut().zip(part) {
                *g = *g + *v;
            }
        }
    }
    cell.spare = spare;
    let rows = gates.chunks_exact_mut(3 * n).zip(from.h.chunks_exact(n));
    for ((gates, old), h) in rows.zip(to.h.chunks_exact_mut(n)) {
        let (z, rest) = gates.split_at_mut(n);
        let inner = &mut rest[n..];
        cell.activate(1, inner);
        for (k, h) in h.iter_mut().enumerate() {
            *h = (T::ONE - z[k]) * inner[k] + z[k] * old[k];
        }
    }
    Ok(())
}
