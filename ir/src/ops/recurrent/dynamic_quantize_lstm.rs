//! `dynamic_quantize_lstm`
use super::common::{Direction, Kind, Shared};
use super::lstm;
use super::sequence::{Cell, State};
use crate::dim::{Dim, SymInt};
use crate::dtype::{DType, DTypeSet, F32_ONLY};
use crate::eval::{EvalCx, Value};
use crate::infer::InferCx;
use crate::kernel::gemm::{Matrix, Output, gemm};
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{count, swap_axes, zeros};
use crate::ops::linear::mat_mul_integer::BYTES;
use crate::ops::quant::dynamic_quantize_linear::quantize;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

const I32_ONLY: DTypeSet = DTypeSet::of(&[DType::I32]);

crate::op! {
    /// `lstm` whose matrix products are of 8-bit integers: weights `w` `[directions, input, 4 * hidden]` and `r`
    /// `[directions, hidden, 4 * hidden]` stand for `(q - zero_point) * scale`, and the left operand of each product (`x` as a whole, the hidden
    /// state of all sequences at each step) is first rounded as `dynamic_quantize_linear` does. Scales and zero points are one per direction,
    /// or one per direction and column. Everything else is `f32`. ONNX Runtime with several threads rounds the state of groups of sequences
    /// by themselves; this is what it computes with one thread. Sequences of different lengths (`sequence_lens`) are refused.
    dynamic_quantize_lstm DynamicQuantizeLstm(
        x: One<T>, w: One<T2>, r: One<T2>, b: Opt<T>, sequence_lens: Opt<T1>, initial_h: Opt<T>, initial_c: Opt<T>, p: Opt<T>,
        w_scale: One<T>, w_zero_point: One<T2>, r_scale: One<T>, r_zero_point: One<T2>,
    ) -> (y: One<T>, y_h: Opt<T>, y_c: Opt<T>) {
        /// First parameter of the activation functions that have one, in order.
        activation_alpha: Vec<f32> = vec![],
        /// Second parameter of the activation functions that have one, in order.
        activation_beta: Vec<f32> = vec![],
        /// Functions f, g, h of each direction; `Sigmoid`, `Tanh`, `Tanh` when left out.
        activations: Option<Vec<String>> = None,
        /// Bound of the magnitude of the gates before their activation functions; unlike that of `lstm` not of the cell state's.
        clip: Option<f32> = None,
        /// Order of the time steps.
        direction: Direction = Direction::Forward,
        /// Number of hidden units, when not read off the weights.
        hidden_size: Option<i64> = None,
        /// Whether the forget gate is `1 - i`.
        input_forget: bool = false,
    } where T: F32_ONLY, T2: BYTES, T1: I32_ONLY;
}

/// Sizes of concrete operands.
#[derive(Clone, Copy)]
struct Sizes {
    steps: usize,
    batch: usize,
    input: usize,
    hidden: usize,
}

/// `f32` operands of one direction.
struct Direct {
    x: Vec<f32>,
    /// `[input, 4 * hidden]`.
    w: Vec<f32>,
    /// `[4 * hidden, hidden]`.
    r: Vec<f32>,
    bias: Vec<f32>,
    state: State<f32>,
    peepholes: Option<Vec<f32>>,
}

/// `x` rounded to its 8-bit steps.
fn stepped(x: &[f32]) -> Result<Vec<f32>, OpError> {
    let (q, scale, zero) = quantize(&Tensor::from_vec(&[x.len()], x.to_vec()))?;
    Ok(q.view::<u8>()?.iter().map(|q| (f32::from(*q) - f32::from(zero)) * scale).collect())
}

/// Part `d` of a tensor with one part of `size` elements per direction.
fn part(t: &Tensor, d: usize, size: usize) -> Result<Vec<f32>, OpError> {
    let all = t.to_f32s()?;
    let found = d.checked_mul(size).and_then(|s| all.get(s..)?.get(..size));
    Ok(found.ok_or_else(|| OpError::shape(format!("an operand has no part for direction {d}")))?.to_vec())
}

/// Weights of direction `d`, `columns` wide.
fn weights(
    q: &Tensor,
    (scale, zero): (&Tensor, &Tensor),
    d: usize,
    (rows, columns, directions): (usize, usize, usize),
) -> Result<Vec<f32>, OpError> {
    let per = if scale.len() == directions { 1 } else { columns };
    let (scale, zero) = (part(scale, d, per)?, part(zero, d, per)?);
    let mut values = part(q, d, count(&[rows, columns])?)?;
    for line in values.chunks_mut(columns.max(1)) {
        for (i, v) in line.iter_mut().enumerate() {
            let at = if per == 1 { 0 } else { i };
            *v = (*v - zero[at]) * scale[at];
        }
    }
    Ok(values)
}

impl DynamicQuantizeLstm {
    fn shared(&self) -> Shared<'_> {
        Shared {
            kind: Kind::Lstm { input_forget: self.input_forget },
            activations: self.activations.as_deref(),
            alpha: &self.activation_alpha,
            beta: &self.activation_beta,
            clip: self.clip,
            direction: self.direction,
            hidden_size: self.hidden_size,
            layout: 0,
        }
    }
    fn direct(&self, cx: &EvalCx<'_>, s: Sizes, d: usize) -> Result<Direct, OpError> {
        let (columns, directions) = (4 * s.hidden, self.direction.count());
        let w = weights(cx.tensor(1)?, (cx.tensor(8)?, cx.tensor(9)?), d, (s.input, columns, directions))?;
        let r = weights(cx.tensor(2)?, (cx.tensor(10)?, cx.tensor(11)?), d, (s.hidden, columns, directions))?;
        let mut bias = zeros::<f32>(columns)?;
        if let Some(b) = cx.opt(3)? {
            let both = part(b, d, 2 * columns)?;
            let pairs = both[..columns].iter().zip(&both[columns..]);
            bias = pairs.map(|(a, b)| a + b).collect();
        }
        let plane = count(&[s.batch, s.hidden])?;
        let state = |i: usize| cx.opt(i)?.map_or_else(|| zeros(plane), |t| part(t, d, plane));
        let peepholes = cx.opt(7)?.map(|p| part(p, d, 3 * s.hidden)).transpose()?;
        let state = State { h: state(5)?, c: state(6)? };
        let r = swap_axes(&r, s.hidden, columns);
        Ok(Direct { x: stepped(&cx.tensor(0)?.to_f32s()?)?, w, r, bias, state, peepholes })
    }
    /// Hidden states by step, in the order of the data, and the last state.
    fn pass(&self, cx: &EvalCx<'_>, s: Sizes, d: usize) -> Result<(Vec<f32>, State<f32>), OpError> {
        let Direct { x, w, r, bias, mut state, peepholes } = self.direct(cx, s, d)?;
        let functions = self.shared().functions()?;
        let cell = Cell::new(s.hidden, &functions[d], self.clip, &r, peepholes.as_deref());
        let (lines, columns, plane) = (count(&[s.steps, s.batch])?, 4 * s.hidden, s.batch * s.hidden);
        let mut gates = zeros::<f32>(count(&[lines, columns])?)?;
        let right = Matrix::row_major(&w, s.input, columns)?;
        gemm(1.0, Matrix::row_major(&x, lines, s.input)?, right, Output::Replace, &mut gates)?;
        gates.chunks_mut(columns).for_each(|g| g.iter_mut().zip(&bias).for_each(|(g, b)| *g += b));
        let mut y = zeros::<f32>(count(&[s.steps, plane])?)?;
        let reverse = self.direction == Direction::Reverse || d == 1;
        let mut next = state.clone();
        for step in 0..s.steps {
            let t = if reverse { s.steps - 1 - step } else { step };
            let from = State { h: stepped(&state.h)?, c: std::mem::take(&mut state.c) };
            let gates = &mut gates[t * s.batch * columns..][..s.batch * columns];
            lstm::step(&cell, gates, &from, &mut next, self.input_forget)?;
            y[t * plane..][..plane].copy_from_slice(&next.h);
            state = next.clone();
        }
        Ok((y, state))
    }
}

fn agreed(a: &Dim, b: &Dim, what: &str) -> Result<Dim, OpError> {
    if a.surely_differs(b) {
        return Err(OpError::shape(format!("{what} is {a} and {b}")));
    }
    Ok(if a.known().is_some() { a.clone() } else { b.clone() })
}

impl Semantics for DynamicQuantizeLstm {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let shared = self.shared();
        shared.functions()?;
        shared.bound()?;
        if cx.has(4) {
            return Err(OpError::operand("sequences of different lengths have no agreed meaning here"));
        }
        let axes = |i: usize| -> Result<[Dim; 3], OpError> {
            match cx.shape(i)?.map(Vec::as_slice) {
                None => Ok([Dim::Unknown, Dim::Unknown, Dim::Unknown]),
                Some([a, b, c]) => Ok([a.clone(), b.clone(), c.clone()]),
                Some(s) => Err(OpError::shape(format!("operand {i} must have 3 axes, has {}", s.len()))),
            }
        };
        let ([steps, batch, input], [w_directions, w_input, w_columns]) = (axes(0)?, axes(1)?);
        let [r_directions, mut hidden, r_columns] = axes(2)?;
        let directions = Dim::from(self.direction.count());
        agreed(&input, &w_input, "the input size")?;
        agreed(&directions, &w_directions, "the number of directions")?;
        agreed(&directions, &r_directions, "the number of directions")?;
        let columns = agreed(&w_columns, &r_columns, "the number of columns")?;
        if let Some(h) = self.hidden_size {
            let h = u64::try_from(h).map_err(|_| OpError::attr(format!("`hidden_size` is {h}")))?;
            hidden = agreed(&Dim::Known(h), &hidden, "the hidden size")?;
        }
        agreed(&hidden.combine(&Dim::Known(4), SymInt::mul), &columns, "the number of columns")?;
        let state: Type =
            TensorType::new(DType::F32, vec![directions.clone(), batch.clone(), hidden.clone()]).into();
        let y = TensorType::new(DType::F32, vec![steps, directions, batch, hidden]);
        Ok(vec![y.into(), state.clone(), state])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (&[steps, batch, input], &[_, hidden, _]) = (cx.tensor(0)?.shape(), cx.tensor(2)?.shape()) else {
            return Err(OpError::shape("operands must have 3 axes"));
        };
        let (s, directions) = (Sizes { steps, batch, input, hidden }, self.direction.count());
        let empty = batch == 0 || hidden == 0;
        let none = || Ok((vec![], State { h: vec![], c: vec![] }));
        let pass = |d| if empty { none() } else { self.pass(&cx, s, d) };
        let passes = (0..directions).map(pass).collect::<Result<Vec<_>, OpError>>()?;
        let plane = batch * hidden;
        let mut y = Vec::with_capacity(count(&[steps, directions, plane])?);
        for t in 0..if empty { 0 } else { steps } {
            for (part, _) in &passes {
                y.extend_from_slice(&part[t * plane..][..plane]);
            }
        }
        let (mut h, mut c) = (vec![], vec![]);
        for (_, state) in passes {
            h.extend(state.h);
            c.extend(state.c);
        }
        let last = [directions, batch, hidden];
        Ok(vec![
            Tensor::from_vec(&[steps, directions, batch, hidden], y).into(),
            Tensor::from_vec(&last, h).into(),
            Tensor::from_vec(&last, c).into(),
        ])
    }
}
