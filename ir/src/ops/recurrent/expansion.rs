//! Recurrent operators in terms of one matrix product over all time steps and a `scan` over their cell.
use super::cells::{Cell, Part};
use super::common::{B, Direction, INITIAL_C, INITIAL_H, Kind, LENGTHS, PEEPHOLES, R, Shared, W, X};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::DType;
use crate::edit::NewNode;
use crate::expand::{Expanded, dtype_of, narrowed, operand, widened};
use crate::graph::{Graph, ValueId};
use crate::op::OpError;
use crate::ops::control::scan::Scan;
use crate::ops::elementwise::arithmetic::Add;
use crate::ops::elementwise::cast::Cast;
use crate::ops::elementwise::compare::{Greater, Less};
use crate::ops::elementwise::select::Where;
use crate::ops::index::gather::Gather;
use crate::ops::linear::mat_mul::MatMul;
use crate::ops::movement::concat::Concat;
use crate::ops::movement::slice::Slice;
use crate::ops::movement::transpose::Transpose;
use crate::ops::movement::unsqueeze::Unsqueeze;
use crate::ops::shape::constant_of_shape::ConstantOfShape;
use crate::ops::shape::range::Range;
use crate::ops::shape::shape::Shape;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

fn failed(e: OpError) -> Diag {
    Diag::error(e.code, e.message)
}

fn transposed(b: &mut Builder<'_>, v: ValueId, perm: &[i64]) -> Result<ValueId, Diag> {
    if let Some(t) = b.graph().constant(v) {
        let order: Vec<usize> = perm.iter().map(|p| *p as usize).collect();
        let t = t.permute(&order).map_err(|e| Diag::error("E0303", e.to_string()))?;
        return Ok(b.constant(t));
    }
    b.transpose(Transpose { perm: perm.to_vec() }, v)
}

/// Part `at` of `v` along its first axis, without that axis.
fn picked(b: &mut Builder<'_>, v: ValueId, at: i64) -> Result<ValueId, Diag> {
    if let Some(t) = b.graph().constant(v) {
        let mut sizes = t.shape().to_vec();
        let mut starts = vec![0; sizes.len()];
        (starts[0], sizes[0]) = (at as usize, 1);
        let part = t.slice(&starts, &sizes).and_then(|t| t.reshape(&sizes[1..]));
        let part = part.map_err(|e| Diag::error("E0303", e.to_string()))?;
        return Ok(b.constant(part));
    }
    let at = b.scalar(at);
    b.gather(Gather { axis: 0 }, v, at)
}

/// Rows `from..to` of `v`.
fn rows(b: &mut Builder<'_>, v: ValueId, from: i64, to: i64) -> Result<ValueId, Diag> {
    if let Some(t) = b.graph().constant(v) {
        let mut sizes = t.shape().to_vec();
        let mut starts = vec![0; sizes.len()];
        (starts[0], sizes[0]) = (from as usize, (to - from) as usize);
        let part = t.slice(&starts, &sizes).map_err(|e| Diag::error("E0303", e.to_string()))?;
        return Ok(b.constant(part));
    }
    let (from, to, axis) = (b.ints(&[from]), b.ints(&[to]), b.ints(&[0]));
    b.slice(Slice {}, v, from, to, Some(axis), None)
}

fn unsqueezed(b: &mut Builder<'_>, v: ValueId, axis: i64) -> Result<ValueId, Diag> {
    let axis = b.ints(&[axis]);
    b.unsqueeze(Unsqueeze {}, v, axis)
}

/// Operands in time-major order, as far as all directions share them.
struct Problem<'a> {
    kind: Kind,
    reversed: bool,
    hidden: i64,
    x: ValueId,
    operands: [Option<ValueId>; 8],
    /// Whether each sequence has each step, `[steps, batch, 1]`, and has any, `[batch, 1]`.
    live: Option<(ValueId, ValueId)>,
    cell: Cell<'a>,
}

/// The expansion; none while the number of hidden units is not known.
pub(super) fn expand(
    shared: &Shared<'_>,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    outputs: usize,
) -> Expanded {
    let (Some(dtype), Some(hidden)) = (dtype_of(b, operand(inputs, X)?), hidden(b, operand(inputs, R)?))
    else {
        return Ok(None);
    };
    let batch_first = shared.batch_first().map_err(failed)?;
    let functions = shared.functions().map_err(failed)?;
    let bound = shared.bound().map_err(failed)?;
    let mut operands = [None; 8];
    for (i, v) in inputs.iter().enumerate().take(8) {
        let Some(v) = *v else { continue };
        let v = if i == LENGTHS { v } else { widened(b, v)? };
        let turn = batch_first && matches!(i, X | INITIAL_H | INITIAL_C);
        operands[i] = Some(if turn { transposed(b, v, &[1, 0, 2])? } else { v });
    }
    let x = operands[X].ok_or_else(|| Diag::error("E0303", "the sequence is missing"))?;
    let live = operands[LENGTHS].map(|l| live(b, x, l)).transpose()?;
    let (mut sequences, mut states) = (vec![], vec![vec![]; outputs.saturating_sub(1)]);
    for (d, functions) in functions.iter().enumerate() {
        let reversed = d == 1 || shared.direction == Direction::Reverse;
        let cell = Cell { kind: shared.kind, functions, bound, hidden };
        let problem = Problem { kind: shared.kind, reversed, hidden, x, operands, live, cell };
        let (y, last) = problem.pass(b, d as i64)?;
        sequences.push(unsqueezed(b, y, 1)?);
        for (all, one) in states.iter_mut().zip(last) {
            all.push(unsqueezed(b, one, 0)?);
        }
    }
    let mut results = vec![b.concat(Concat { axis: 1 }, &sequences)?];
    for all in states {
        results.push(b.concat(Concat { axis: 0 }, &all)?);
    }
    for (k, v) in results.iter_mut().enumerate() {
        if batch_first {
            *v = transposed(b, *v, if k == 0 { &[2, 0, 1, 3] } else { &[1, 0, 2] })?;
        }
        *v = narrowed(b, *v, dtype)?;
    }
    Ok(Some(results))
}

/// Hidden units, from the recurrent weights.
fn hidden(b: &Builder<'_>, r: ValueId) -> Option<i64> {
    i64::try_from(b.graph().ty(r).as_tensor()?.shape.as_ref()?.last()?.known()?).ok()
}

/// Which steps each sequence of these lengths has, and which sequences have any.
fn live(b: &mut Builder<'_>, x: ValueId, lengths: ValueId) -> Result<(ValueId, ValueId), Diag> {
    let lengths = b.cast(Cast { to: DType::I64, ..Cast::default() }, lengths)?;
    let steps = b.shape(Shape { start: 0, end: Some(1) }, x)?;
    let first = b.scalar(0i64);
    let steps = b.gather(Gather { axis: 0 }, steps, first)?;
    let (zero, one) = (b.scalar(0i64), b.scalar(1i64));
    let times = b.range(Range::default(), zero, steps, one)?;
    let times = unsqueezed(b, times, 1)?;
    let times = unsqueezed(b, times, 2)?;
    let lengths = unsqueezed(b, lengths, 1)?;
    let zero = b.scalar(0i64);
    Ok((b.less(Less {}, times, lengths)?, b.greater(Greater {}, lengths, zero)?))
}

impl Problem<'_> {
    /// Sequence `[steps, batch, hidden]` and last states `[batch, hidden]` of direction `d`.
    fn pass(&self, b: &mut Builder<'_>, d: i64) -> Result<(ValueId, Vec<ValueId>), Diag> {
        let (projected, inner_bias) = self.projected(b, d)?;
        let mut operands = vec![self.state(b, INITIAL_H, d)?];
        if matches!(self.kind, Kind::Lstm { .. }) {
            operands.push(self.state(b, INITIAL_C, d)?);
        }
        let states = operands.len();
        operands.push(projected);
        operands.extend(self.live.map(|l| l.0));
        let scanned = operands.len() - states;
        let mut parts: Vec<(Part, ValueId)> = self.recurrent(b, d)?;
        parts.extend(inner_bias.map(|v| (Part::InnerBias, v)));
        if let (Kind::Lstm { .. }, Some(p)) = (self.kind, self.operands[PEEPHOLES]) {
            let p = picked(b, p, d)?;
            for (k, part) in [Part::PeepholeI, Part::PeepholeO, Part::PeepholeF].into_iter().enumerate() {
                parts.push((part, rows(b, p, k as i64 * self.hidden, (k as i64 + 1) * self.hidden)?));
            }
        }
        let body = self.body(b, &operands, states, &parts)?;
        operands.extend(parts.iter().map(|p| p.1));
        let way = i64::from(self.reversed);
        let scan = Scan {
            num_scan_inputs: scanned as i64,
            scan_input_axes: vec![0; scanned],
            scan_input_directions: vec![way; scanned],
            scan_output_axes: vec![0],
            scan_output_directions: vec![way],
        };
        let inputs: Vec<Option<ValueId>> = operands.into_iter().map(Some).collect();
        let new = NewNode {
            outputs: states + 1,
            bodies: vec![body],
            captures: parts.len(),
            ..NewNode::new(scan, &inputs)
        };
        let mut last = b.add_node(new)?;
        let y = last.pop().ok_or_else(|| Diag::error("E0901", "a scan without results"))?;
        if let Some((_, any)) = self.live {
            // ONNX Runtime gives sequences without steps a state of zeros, whatever the initial one is.
            for v in &mut last {
                let zero = b.scalar_like(0.0, *v)?;
                *v = b.r#where(Where {}, any, *v, zero)?;
            }
        }
        Ok((y, last))
    }
    /// The input's part of all gates `[steps, batch, gates * hidden]`, and the bias that is added later.
    fn projected(&self, b: &mut Builder<'_>, d: i64) -> Result<(ValueId, Option<ValueId>), Diag> {
        let w = self.operands[W].ok_or_else(|| Diag::error("E0303", "the weights are missing"))?;
        let w = picked(b, w, d)?;
        let w = transposed(b, w, &[1, 0])?;
        let mut gates = b.mat_mul(MatMul {}, self.x, w)?;
        let Some(all) = self.operands[B] else { return Ok((gates, None)) };
        let all = picked(b, all, d)?;
        let count = self.kind.gates() as i64 * self.hidden;
        let (input, recurrent) = (rows(b, all, 0, count)?, rows(b, all, count, 2 * count)?);
        let Kind::Gru { linear_before_reset: true } = self.kind else {
            let bias = b.plus(Add {}, input, recurrent)?;
            gates = b.plus(Add {}, gates, bias)?;
            return Ok((gates, None));
        };
        let inner = rows(b, recurrent, 2 * self.hidden, 3 * self.hidden)?;
        let outer = rows(b, recurrent, 0, 2 * self.hidden)?;
        let (first, last) = (rows(b, input, 0, 2 * self.hidden)?, rows(b, input, 2 * self.hidden, count)?);
        let first = b.plus(Add {}, first, outer)?;
        let bias = b.concat(Concat { axis: 0 }, &[first, last])?;
        Ok((b.plus(Add {}, gates, bias)?, Some(inner)))
    }
    /// The recurrent weights, transposed.
    fn recurrent(&self, b: &mut Builder<'_>, d: i64) -> Result<Vec<(Part, ValueId)>, Diag> {
        let r = self.operands[R].ok_or_else(|| Diag::error("E0303", "the weights are missing"))?;
        let r = picked(b, r, d)?;
        let Kind::Gru { linear_before_reset: false } = self.kind else {
            return Ok(vec![(Part::Weights, transposed(b, r, &[1, 0])?)]);
        };
        let (gates, inner) = (rows(b, r, 0, 2 * self.hidden)?, rows(b, r, 2 * self.hidden, 3 * self.hidden)?);
        Ok(vec![
            (Part::Weights, transposed(b, gates, &[1, 0])?),
            (Part::InnerWeights, transposed(b, inner, &[1, 0])?),
        ])
    }
    /// The initial state of operand `i`, or zeros.
    fn state(&self, b: &mut Builder<'_>, i: usize, d: i64) -> Result<ValueId, Diag> {
        if let Some(v) = self.operands[i] {
            return picked(b, v, d);
        }
        let dtype = dtype_of(b, self.x).unwrap_or(DType::F32);
        let value = Tensor::from_vec(&[1], vec![0f32]).cast(dtype, false);
        let value = value.map_err(|e| Diag::error("E0303", e.to_string()))?;
        let batch = b.shape(Shape { start: 1, end: Some(2) }, self.x)?;
        let hidden = b.ints(&[self.hidden]);
        let sizes = b.concat(Concat { axis: 0 }, &[batch, hidden])?;
        b.constant_of_shape(ConstantOfShape { value: Some(value) }, sizes)
    }
    fn body(
        &self,
        b: &Builder<'_>,
        operands: &[ValueId],
        states: usize,
        parts: &[(Part, ValueId)],
    ) -> Result<Graph, Diag> {
        let mut g = Graph::new("cell");
        let ty = |v: ValueId| b.graph().ty(v).clone();
        let step = |v: ValueId| match ty(v) {
            Type::Tensor(TensorType { dtype, shape: Some(mut s) }) => {
                s.remove(0);
                Type::from(TensorType::new(dtype, s))
            }
            other => other,
        };
        let mut inputs = vec![];
        for (i, v) in operands.iter().enumerate() {
            inputs.push(g.add_input(&format!("x{i}"), if i < states { ty(*v) } else { step(*v) }));
        }
        let parts: Vec<(Part, ValueId)> =
            parts.iter().enumerate().map(|(i, (p, v))| (*p, g.add_input(&format!("p{i}"), ty(*v)))).collect();
        let live = self.live.is_some().then(|| inputs[states + 1]);
        let shown = self.cell.step(&mut g, &inputs[..=states], live, &parts)?;
        for (i, v) in shown.into_iter().enumerate() {
            g.add_output(&format!("y{i}"), v);
        }
        Ok(g)
    }
}
