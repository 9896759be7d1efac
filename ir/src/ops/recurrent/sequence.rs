//! The loop over time that all recurrent operators share.
//!
//! The input's part of all gates is one matrix product over many time steps; each step then adds the state's part and applies the cell.
use super::activation::{Activation, Curve};
use super::common::{B, Direction, INITIAL_C, INITIAL_H, Kind, LENGTHS, PEEPHOLES, R, Shared, W, X};
use super::{gru, lstm, rnn};
use crate::dtype::DType;
use crate::eval::{EvalCx, Value};
use crate::kernel::gemm::{Matrix, Output, gemm};
use crate::kernel::packs::Packs;
use crate::op::OpError;
use crate::ops::linear::compute::{count, zeros};
use rayon::prelude::*;
use std::borrow::Cow;
use std::ops::Range;

/// Elements of gates that are projected at once: bounds the memory beside the result.
const CHUNK: usize = 1 << 22;

/// Hidden and cell state of all sequences, `[batch, hidden]` each. Only `lstm` has a cell state; elsewhere it is empty.
#[derive(Clone)]
pub(super) struct State<T> {
    pub h: Vec<T>,
    pub c: Vec<T>,
}

/// Everything a step needs beside gates and state.
pub(super) struct Cell<'a, T> {
    pub hidden: usize,
    /// Weights of the peepholes of input, output and forget gate.
    pub peepholes: Option<&'a [T]>,
    /// Bias of the hidden gate's recurrent part, where it cannot be added to the input's part.
    pub inner_bias: Option<&'a [T]>,
    /// Room for partial products.
    pub spare: Vec<T>,
    functions: &'a [Activation],
    bound: Option<T>,
    /// Functions from this one on are not bounded.
    unbounded_from: usize,
    /// Recurrent weights, `[gates * hidden, hidden]`.
    r: &'a [T],
    packs: [Packs<T>; 2],
}

impl<'a> Cell<'a, f32> {
    /// A cell with recurrent weights `r` `[gates * hidden, hidden]`, of which only the gates are bounded, the cell state is not.
    pub(super) fn new(
        hidden: usize,
        functions: &'a [Activation],
        bound: Option<f32>,
        r: &'a [f32],
        peepholes: Option<&'a [f32]>,
    ) -> Self {
        let packs = std::array::from_fn(|_| Packs::default());
        Self {
            hidden,
            peepholes,
            inner_bias: None,
            spare: vec![],
            functions,
            bound,
            unbounded_from: 2,
            r,
            packs,
        }
    }
}

impl<T: Curve> Cell<'_, T> {
    /// `out (+)= h R'` where `R` are these rows of the recurrent weights. `part` numbers the different ranges of one cell.
    pub(super) fn recur(
        &self,
        part: usize,
        rows: Range<usize>,
        h: &[T],
        mode: Output,
        out: &mut [T],
    ) -> Result<(), OpError> {
        let k = self.hidden;
        let weights = self.r.get(rows.start * k..rows.end * k).unwrap_or_default();
        let right = Matrix::row_major(weights, rows.len(), k)?.transposed().kept_in(self.packs.get(part));
        Ok(gemm(T::ONE, Matrix::row_major(h, h.len() / k, k)?, right, mode, out)?)
    }
    /// Bounds `x`, where the function's input is bounded, and applies activation function `i`.
    pub(super) fn activate(&self, i: usize, x: &mut [T]) {
        if let Some(c) = self.bound.filter(|_| i < self.unbounded_from) {
            let low = T::ZERO - c;
            for v in x.iter_mut() {
                *v = if *v < low {
                    low
                } else if *v > c {
                    c
                } else {
                    *v
                };
            }
        }
        self.functions[i].apply(x);
    }
}

/// Operands in time-major order.
struct Problem<'a, T: Curve> {
    kind: Kind,
    steps: usize,
    batch: usize,
    input: usize,
    hidden: usize,
    x: Cow<'a, [T]>,
    w: Cow<'a, [T]>,
    r: Cow<'a, [T]>,
    b: Option<Cow<'a, [T]>>,
    h: Option<Cow<'a, [T]>>,
    c: Option<Cow<'a, [T]>>,
    peepholes: Option<Cow<'a, [T]>>,
    /// Steps of each sequence, where they are not all.
    lengths: Option<Vec<usize>>,
    functions: Vec<Vec<Activation>>,
    bound: Option<T>,
}

/// Results of the operator for these operands: sequence, hidden state, cell state.
///
/// # Errors
/// When operands do not fit or a sequence length is out of range.
pub(super) fn eval(shared: &Shared<'_>, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    if cx.tensor(X)?.dtype() == DType::F64 { run::<f64>(shared, cx) } else { run::<f32>(shared, cx) }
}

fn run<T: Curve>(shared: &Shared<'_>, cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let (batch_first, directions) = (shared.batch_first()?, shared.direction.count());
    let (steps, batch, _, hidden) = sizes(cx, batch_first)?;
    let mut shapes = [vec![steps, directions, batch, hidden], vec![directions, batch, hidden]];
    if batch_first {
        shapes = [vec![batch, steps, directions, hidden], vec![batch, directions, hidden]];
    }
    let dtype = cx.tensor(X)?.dtype();
    if batch == 0 || hidden == 0 {
        let empty = |shape: &[usize]| Ok(T::tensor(dtype, shape, vec![])?.into());
        return [&shapes[0], &shapes[1], &shapes[1]].into_iter().map(|s| empty(s)).collect();
    }
    let problem = problem::<T>(shared, cx, batch_first)?;
    let pass = |d: usize| {
        let reverse = shared.direction == Direction::Reverse || d == 1;
        problem.pass(d, reverse)
    };
    let mut passes = (0..directions).into_par_iter().map(pass).collect::<Result<Vec<_>, OpError>>()?;
    let (mut y, mut h, mut c) = (vec![], vec![], vec![]);
    if let [(only, _)] = passes.as_mut_slice() {
        y = std::mem::take(only);
    } else {
        y.reserve(count(&[steps, directions, batch, hidden])?);
        let plane = batch * hidden;
        for t in 0..steps {
            for (part, _) in &passes {
                y.extend_from_slice(&part[t * plane..][..plane]);
            }
        }
    }
    for (_, state) in passes {
        h.extend(state.h);
        c.extend(state.c);
    }
    if batch_first {
        y = exchange(&y, steps * directions, batch, hidden);
        h = exchange(&h, directions, batch, hidden);
        c = exchange(&c, directions, batch, hidden);
    }
    let mut results = vec![T::tensor(dtype, &shapes[0], y)?.into(), T::tensor(dtype, &shapes[1], h)?.into()];
    if matches!(shared.kind, Kind::Lstm { .. }) {
        results.push(T::tensor(dtype, &shapes[1], c)?.into());
    }
    Ok(results)
}

/// Time steps, sequences, features of a step, hidden units.
fn sizes(cx: &EvalCx<'_>, batch_first: bool) -> Result<(usize, usize, usize, usize), OpError> {
    let ([first, second, input], [.., hidden]) = (cx.tensor(X)?.shape(), cx.tensor(R)?.shape()) else {
        return Err(OpError::shape("a recurrent operator needs operands with three axes"));
    };
    let (steps, batch) = if batch_first { (*second, *first) } else { (*first, *second) };
    Ok((steps, batch, *input, *hidden))
}

fn problem<'a, T: Curve>(
    shared: &Shared<'_>,
    cx: &'a EvalCx<'_>,
    batch_first: bool,
) -> Result<Problem<'a, T>, OpError> {
    let (x, w, r) = (cx.tensor(X)?, cx.tensor(W)?, cx.tensor(R)?);
    let (steps, batch, input, hidden) = sizes(cx, batch_first)?;
    let directions = shared.direction.count();
    let major = |v: Cow<'a, [T]>, a: usize, b: usize, inner: usize| {
        if batch_first { Cow::Owned(exchange(&v, a, b, inner)) } else { v }
    };
    let optional =
        |i: usize| -> Result<Option<Cow<'a, [T]>>, OpError> { Ok(cx.opt(i)?.map(T::read).transpose()?) };
    let state = |i: usize| -> Result<Option<Cow<'a, [T]>>, OpError> {
        Ok(optional(i)?.map(|v| major(v, batch, directions, hidden)))
    };
    let lengths = cx.ints(LENGTHS)?;
    let lengths =
        lengths.map(|v| v.iter().map(|n| length(*n, steps)).collect::<Result<_, _>>()).transpose()?;
    Ok(Problem {
        kind: shared.kind,
        steps,
        batch,
        input,
        hidden,
        x: major(T::read(x)?, batch, steps, input),
        w: T::read(w)?,
        r: T::read(r)?,
        b: optional(B)?,
        h: state(INITIAL_H)?,
        c: state(INITIAL_C)?,
        peepholes: optional(PEEPHOLES)?,
        lengths,
        functions: shared.functions()?,
        bound: shared.bound()?.map(|c| T::from_f64(f64::from(c))),
    })
}

fn length(n: i64, steps: usize) -> Result<usize, OpError> {
    usize::try_from(n).ok().filter(|n| *n <= steps).ok_or_else(|| {
        OpError::operand(format!("a sequence of length {n} does not fit an operand of {steps} steps"))
    })
}

/// Exchanges the two outer axes of `[a, b, inner]` data.
fn exchange<T: Copy>(x: &[T], a: usize, b: usize, inner: usize) -> Vec<T> {
    let mut out = Vec::with_capacity(x.len());
    for j in 0..b {
        for i in 0..a {
            out.extend_from_slice(x.get((i * b + j) * inner..).and_then(|r| r.get(..inner)).unwrap_or(&[]));
        }
    }
    out
}

/// Part `d` of an operand with one part of `size` elements per direction.
fn part<T>(all: &[T], d: usize, size: usize) -> Result<&[T], OpError> {
    let start = d.checked_mul(size);
    let found = start.and_then(|s| all.get(s..)?.get(..size));
    found.ok_or_else(|| OpError::shape(format!("an operand has no part for direction {d}")))
}

/// Bias added to the input's part of the gates, and the one that stays with the recurrent part.
type Biases<T> = (Option<Vec<T>>, Option<Vec<T>>);

impl<T: Curve> Problem<'_, T> {
    fn state(&self, all: Option<&Cow<'_, [T]>>, d: usize) -> Result<Vec<T>, OpError> {
        let size = self.batch * self.hidden;
        all.map_or_else(|| zeros(size), |v| Ok(part(v, d, size)?.to_vec()))
    }
    /// Steps of sequence `b`.
    fn length(&self, b: usize) -> usize {
        self.lengths.as_ref().map_or(self.steps, |l| l[b])
    }
    /// Sequences that have a step `s`.
    fn live(&self, s: usize) -> impl Iterator<Item = usize> {
        (0..self.batch).filter(move |b| s < self.length(*b))
    }
    /// The input with each sequence in the order in which it is read.
    fn ordered(&self, reverse: bool) -> Cow<'_, [T]> {
        if !reverse {
            return Cow::Borrowed(&self.x);
        }
        let mut out = self.x.to_vec();
        for b in 0..self.batch {
            let length = self.length(b);
            for s in 0..length {
                let at = |t: usize| (t * self.batch + b) * self.input;
                out[at(s)..][..self.input].copy_from_slice(&self.x[at(length - 1 - s)..][..self.input]);
            }
        }
        Cow::Owned(out)
    }
    /// Biases of direction `d`.
    fn biases(&self, d: usize) -> Result<Biases<T>, OpError> {
        let Some(all) = &self.b else { return Ok((None, None)) };
        let rows = self.kind.gates() * self.hidden;
        let both = part(all, d, 2 * rows)?;
        let (input, recurrent) = both.split_at(rows);
        let inner = match self.kind {
            Kind::Gru { linear_before_reset: true } => Some(recurrent[2 * self.hidden..].to_vec()),
            _ => None,
        };
        let added = if inner.is_some() { 2 * self.hidden } else { rows };
        let mut sum = input.to_vec();
        for (s, v) in sum.iter_mut().zip(&recurrent[..added]) {
            *s = *s + *v;
        }
        Ok((Some(sum), inner))
    }
    /// Sequence `[steps, batch, hidden]` and last state of direction `d`.
    fn pass(&self, d: usize, reverse: bool) -> Result<(Vec<T>, State<T>), OpError> {
        let (batch, hidden, rows) = (self.batch, self.hidden, self.kind.gates() * self.hidden);
        let mut y = zeros::<T>(count(&[self.steps, batch, hidden])?)?;
        let has_cell = matches!(self.kind, Kind::Lstm { .. });
        let c = if has_cell { self.state(self.c.as_ref(), d)? } else { vec![] };
        let mut state = State { h: self.state(self.h.as_ref(), d)?, c };
        let (bias, inner_bias) = self.biases(d)?;
        let peepholes = self.peepholes.as_ref().map(|p| part(p, d, 3 * hidden)).transpose()?;
        let mut cell = Cell {
            hidden,
            peepholes,
            inner_bias: inner_bias.as_deref(),
            spare: vec![],
            functions: &self.functions[d],
            bound: self.bound,
            unbounded_from: usize::MAX,
            r: part(&self.r, d, rows * hidden)?,
            packs: std::array::from_fn(|_| Packs::default()),
        };
        let x = self.ordered(reverse);
        let w = Matrix::row_major(part(&self.w, d, rows * self.input)?, rows, self.input)?.transposed();
        let last = (0..batch).map(|b| self.length(b)).max().unwrap_or(0);
        let per_chunk = (CHUNK / (batch * rows)).max(1);
        let mut next = state.clone();
        for from in (0..last).step_by(per_chunk) {
            let lines = per_chunk.min(last - from) * batch;
            let mut gates = zeros::<T>(count(&[lines, rows])?)?;
            let x = Matrix::row_major(&x[from * batch * self.input..], lines, self.input)?;
            gemm(T::ONE, x, w, Output::Replace, &mut gates)?;
            for (i, gates) in gates.chunks_exact_mut(batch * rows).enumerate() {
                if let Some(bias) = &bias {
                    add_rows(gates, bias);
                }
                match self.kind {
                    Kind::Lstm { input_forget } => {
                        lstm::step(&cell, gates, &state, &mut next, input_forget)?;
                    }
                    Kind::Gru { linear_before_reset } => {
                        gru::step(&mut cell, gates, &state, &mut next, linear_before_reset)?;
                    }
                    Kind::Rnn => rnn::step(&cell, gates, &state, &mut next)?,
                }
                self.advance(from + i, reverse, &mut state, &mut next, &mut y);
            }
        }
        // ONNX Runtime gives sequences without steps a state of zeros, whatever the initial one is.
        for b in (0..batch).filter(|b| self.length(*b) == 0) {
            state.h[b * hidden..][..hidden].fill(T::ZERO);
            if has_cell {
                state.c[b * hidden..][..hidden].fill(T::ZERO);
            }
        }
        Ok((y, state))
    }
    /// Moves the sequences that have a step `s` on to their next state and writes their results.
    fn advance(&self, s: usize, reverse: bool, state: &mut State<T>, next: &mut State<T>, y: &mut [T]) {
        let n = self.hidden;
        if self.live(s).count() == self.batch {
            std::mem::swap(state, next);
        } else {
            for b in self.live(s) {
                let row = b * n..(b + 1) * n;
                state.h[row.clone()].copy_from_slice(&next.h[row.clone()]);
                if !state.c.is_empty() {
                    state.c[row.clone()].copy_from_slice(&next.c[row]);
                }
            }
        }
        for b in self.live(s) {
            let t = if reverse { self.length(b) - 1 - s } else { s };
            y[(t * self.batch + b) * n..][..n].copy_from_slice(&state.h[b * n..][..n]);
        }
    }
}

/// Adds `row` to each row of `x`.
fn add_rows<T: Curve>(x: &mut [T], row: &[T]) {
    for line in x.chunks_exact_mut(row.len()) {
        for (v, b) in line.iter_mut().zip(row) {
            *v = *v + *b;
        }
    }
}
