//! `lstm`
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
    /// Long short-term memory over a sequence. With gates in the order input, output, forget, cell and `.` elementwise:
    /// `i = f(x Wi' + h Ri' + Pi . c + bi)`, `f = f(x Wf' + h Rf' + Pf . c + bf)`, `g = g(x Wc' + h Rc' + bc)`, `c = f . c + i . g`,
    /// `o = f(x Wo' + h Ro' + Po . c + bo)`, `h = o . h(c)`. Steps beyond a sequence's length give zeros and leave its state; the state
    /// of a sequence of length 0 is zeros. Computed in `f32` or `f64` throughout, rounded once.
    lstm Lstm(
        x: One<T>, w: One<T>, r: One<T>, b: Opt<T>, sequence_lens: Opt<T1>,
        initial_h: Opt<T>, initial_c: Opt<T>, p: Opt<T>,
    ) -> (y: One<T>, y_h: Opt<T>, y_c: Opt<T>) {
        /// First parameter of the activation functions that have one, in order.
        activation_alpha: Vec<f32> = vec![],
        /// Second parameter of the activation functions that have one, in order.
        activation_beta: Vec<f32> = vec![],
        /// Functions f, g, h of each direction; `Sigmoid`, `Tanh`, `Tanh` when left out.
        activations: Option<Vec<String>> = None,
        /// Bound of the magnitude of every activation function's input.
        clip: Option<f32> = None,
        /// Order of the time steps.
        direction: Direction = Direction::Forward,
        /// Number of hidden units, when not read off the weights.
        hidden_size: Option<i64> = None,
        /// Whether the forget gate is `1 - i`.
        input_forget: bool = false,
        /// 0: `x` is `[steps, batch, input]`; 1: `[batch, steps, input]`, and results and states begin with the batch too.
        layout: i64 = 0,
    } where T: FLOATS, T1: DTypeSet::of(&[DType::I32]);
}

impl Lstm {
    fn shared(&self) -> Shared<'_> {
        Shared {
            kind: Kind::Lstm { input_forget: self.input_forget },
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

impl Semantics for Lstm {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        self.shared().infer(cx)
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
    input_forget: bool,
) -> Result<(), OpError> {
    let n = cell.hidden;
    cell.recur(0, 0..4 * n, &from.h, Output::Accumulate, gates)?;
    let peephole = |k: usize, gate: &mut [T], c: &[T]| {
        if let Some(p) = cell.peepholes {
            for ((g, p), c) in gate.iter_mut().zip(&p[k * n..]).zip(c) {
                *g = *g + *p * *c;
            }
        }
    };
    let rows = gates.chunks_exact_mut(4 * n).zip(from.c.chunks_exact(n));
    let results = to.h.chunks_exact_mut(n).zip(to.c.chunks_exact_mut(n));
    for ((gates, old), (h, c)) in rows.zip(results) {
        let (i, rest) = gates.split_at_mut(n);
        let (o, rest) = rest.split_at_mut(n);
        let (f, g) = rest.split_at_mut(n);
        peephole(0, i, old);
        cell.activate(0, i);
        if input_forget {
            for (f, i) in f.iter_mut().zip(&*i) {
                *f = T::ONE - *i;
            }
        } else {
            peephole(2, f, old);
            cell.activate(0, f);
        }
        cell.activate(1, g);
        for (k, c) in c.iter_mut().enumerate() {
            *c = f[k] * old[k] + i[k] * g[k];
        }
        peephole(1, o, c);
        cell.activate(0, o);
        h.copy_from_slice(c);
        cell.activate(2, h);
        for (h, o) in h.iter_mut().zip(&*o) {
            *h = *o * *h;
        }
    }
    Ok(())
}
