//! Fused recurrent operators. They are read only: their states keep their elements between runs, so that a second run does not begin as the
//! first; what is written is composed instead.
use crate::tflite::lift::{Cx, Lift, Lifted};
use crate::tflite::lower::Lower;
use crate::tflite::schema::Builtin;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::ValueId;
use hoist_ir::ops::elementwise::unary::Neg;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::movement::squeeze::Squeeze;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::recurrent::Direction;
use hoist_ir::ops::recurrent::lstm::Lstm;
use hoist_ir::ops::recurrent::rnn::Rnn;
use hoist_ir::tensor::Tensor;

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = &[
    (Builtin::UnidirectionalSequenceLstm, |cx| one_way(cx, true, Axis::Given)),
    (Builtin::UnidirectionalSequenceRnn, |cx| one_way(cx, false, Axis::Given)),
    (Builtin::Lstm, |cx| one_way(cx, true, Axis::None)),
    (Builtin::Rnn, |cx| one_way(cx, false, Axis::None)),
    (Builtin::BidirectionalSequenceLstm, |cx| both_ways(cx, true)),
    (Builtin::BidirectionalSequenceRnn, |cx| both_ways(cx, false)),
];

/// Whether the operand has an axis of time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Axis {
    Given,
    None,
}

/// Positions of the operands of one direction.
#[derive(Clone, Copy)]
struct Slots {
    /// The first weight.
    weights: usize,
    /// The hidden state; of `lstm` the cell state comes next.
    state: usize,
}

/// Weights, peepholes, biases and projection of one direction of an LSTM.
const LSTM_WEIGHTS: usize = 17;

fn along(cx: &mut Cx<'_, '_>, v: ValueId, axis: i64) -> Result<ValueId, Diag> {
    let axis = cx.b.ints(&[axis]);
    cx.op(Unsqueeze {}, &[v, axis])
}

/// `v` with the axes of time and batch swapped.
fn swapped(cx: &mut Cx<'_, '_>, v: ValueId) -> Result<ValueId, Diag> {
    cx.op(Transpose { perm: vec![1, 0, 2] }, &[v])
}

fn function(cx: &Cx<'_, '_>) -> Result<&'static str, Diag> {
    match cx.int("fused_activation_function") {
        1 => Ok("Relu"),
        4 => Ok("Tanh"),
        n => Err(cx.unsupported(format!("fused activation {n}"))),
    }
}

fn checked(cx: &Cx<'_, '_>) -> Result<(), Diag> {
    let stored = cx.given.first().and_then(Option::as_ref).map(|d| d.ty.dtype);
    if stored != Some(DType::F32) {
        return Err(cx.unsupported("quantized operands"));
    }
    Ok(())
}

fn one_way(cx: &mut Cx<'_, '_>, lstm: bool, axis: Axis) -> Lifted {
    checked(cx)?;
    let x = cx.arg(0)?;
    let major = axis == Axis::None || cx.flag("time_major");
    let x = match axis {
        Axis::None => along(cx, x, 0)?,
        Axis::Given if major => x,
        Axis::Given => swapped(cx, x)?,
    };
    let slots = if lstm { Slots { weights: 1, state: 18 } } else { Slots { weights: 1, state: 4 } };
    if lstm && axis == Axis::None && cx.int("kernel_type") != 0 {
        return Err(cx.unsupported("the basic kernel"));
    }
    if lstm && (20..24).any(|i| cx.opt(i).is_some()) {
        return Err(cx.unsupported("normalized gates"));
    }
    let y = pass(cx, x, slots, lstm, Direction::Forward)?;
    let y = match axis {
        Axis::None => {
            let first = cx.b.ints(&[0]);
            cx.op(Squeeze {}, &[y, first])?
        }
        Axis::Given if major => y,
        Axis::Given => swapped(cx, y)?,
    };
    Ok(vec![y])
}

fn both_ways(cx: &mut Cx<'_, '_>, lstm: bool) -> Lifted {
    checked(cx)?;
    let (forward, backward, other) = if lstm {
        (Slots { weights: 1, state: 35 }, Slots { weights: 18, state: 37 }, 39)
    } else {
        (Slots { weights: 1, state: 4 }, Slots { weights: 5, state: 8 }, 9)
    };
    if (other..cx.inputs.len()).any(|i| cx.opt(i).is_some()) {
        return Err(cx.unsupported("a second operand"));
    }
    let (x, major) = (cx.arg(0)?, cx.flag("time_major"));
    let x = if major { x } else { swapped(cx, x)? };
    let mut out = vec![];
    for (slots, direction) in [(forward, Direction::Forward), (backward, Direction::Reverse)] {
        let y = pass(cx, x, slots, lstm, direction)?;
        out.push(if major { y } else { swapped(cx, y)? });
    }
    if cx.flag("merge_outputs") {
        return Ok(vec![cx.op(Concat { axis: 2 }, &out)?]);
    }
    Ok(out)
}

/// One direction over `[steps, batch, input]`.
fn pass(
    cx: &mut Cx<'_, '_>,
    x: ValueId,
    s: Slots,
    lstm: bool,
    direction: Direction,
) -> Result<ValueId, Diag> {
    let y = if lstm { pass_lstm(cx, x, s, direction)? } else { pass_rnn(cx, x, s, direction)? };
    let axis = cx.b.ints(&[1]);
    cx.op(Squeeze {}, &[y, axis])
}

fn zeros(cx: &mut Cx<'_, '_>, units: usize) -> ValueId {
    cx.b.constant(Tensor::from_vec(&[units], vec![0f32; units]))
}

fn units(cx: &Cx<'_, '_>, bias: ValueId) -> Result<usize, Diag> {
    let shape = cx.ty(bias)?.sizes();
    match shape.as_deref() {
        Some([n]) => Ok(*n),
        _ => Err(cx.unsupported("a bias of unknown size")),
    }
}

fn pass_rnn(cx: &mut Cx<'_, '_>, x: ValueId, s: Slots, direction: Direction) -> Result<ValueId, Diag> {
    let (w, r, bias) = (cx.arg(s.weights)?, cx.arg(s.weights + 1)?, cx.arg(s.weights + 2)?);
    let h = cx.arg(s.state)?;
    let units = units(cx, bias)?;
    let none = zeros(cx, units);
    let bias = cx.op(Concat { axis: 0 }, &[bias, none])?;
    let mut operands = vec![Some(x)];
    for v in [w, r, bias] {
        operands.push(Some(along(cx, v, 0)?));
    }
    operands.push(None);
    operands.push(Some(along(cx, h, 0)?));
    let op = Rnn { activations: Some(vec![function(cx)?.to_owned()]), direction, ..Rnn::default() };
    Ok(cx.b.add_n(op, &operands, 1)?[0])
}

fn pass_lstm(cx: &mut Cx<'_, '_>, x: ValueId, s: Slots, direction: Direction) -> Result<ValueId, Diag> {
    if cx.opt(s.weights + 15).is_some() || cx.opt(s.weights + LSTM_WEIGHTS - 1).is_some() {
        return Err(cx.unsupported("a projection"));
    }
    if cx.float("cell_clip") != 0.0 {
        return Err(cx.unsupported("a bound of the cell state"));
    }
    let mut operands = vec![Some(x)];
    for from in [s.weights, s.weights + 4] {
        let v = gates(cx, [from, from + 3, from + 1, from + 2])?;
        operands.push(Some(along(cx, v, 0)?));
    }
    let from = s.weights + 11;
    let bias = gates(cx, [from, from + 3, from + 1, from + 2])?;
    let count = cx.ty(bias)?.sizes().and_then(|s| s.first().copied());
    let count = count.ok_or_else(|| cx.unsupported("a bias of unknown size"))?;
    let none = zeros(cx, count);
    let bias = cx.op(Concat { axis: 0 }, &[bias, none])?;
    operands.push(Some(along(cx, bias, 0)?));
    operands.push(None);
    for i in [s.state, s.state + 1] {
        let state = cx.arg(i)?;
        operands.push(Some(along(cx, state, 0)?));
    }
    let peep = s.weights + 8;
    if let (Some(f), Some(o)) = (cx.opt(peep + 1), cx.opt(peep + 2)) {
        let i = match cx.opt(peep) {
            Some(i) => i,
            None => cx.op(Neg {}, &[f])?,
        };
        let all = cx.op(Concat { axis: 0 }, &[i, o, f])?;
        operands.push(Some(along(cx, all, 0)?));
    }
    let f = function(cx)?.to_owned();
    let activations = Some(vec!["Sigmoid".to_owned(), f.clone(), f]);
    Ok(cx.b.add_n(Lstm { activations, direction, ..Lstm::default() }, &operands, 1)?[0])
}

/// Parts of the input, output, forget and cell gate. Without an input gate it is one less the forget gate: the sigmoid of the negated sum.
fn gates(cx: &mut Cx<'_, '_>, [i, o, f, c]: [usize; 4]) -> Result<ValueId, Diag> {
    let (output, forget, cell) = (cx.arg(o)?, cx.arg(f)?, cx.arg(c)?);
    let input = match cx.opt(i) {
        Some(v) => v,
        None => cx.op(Neg {}, &[forget])?,
    };
    cx.op(Concat { axis: 0 }, &[input, output, forget, cell])
}
