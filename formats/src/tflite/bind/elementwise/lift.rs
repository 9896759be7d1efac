//! Elementwise builtin operators as nodes.
use crate::tflite::lift::{Cx, Lift, Lifted};
use crate::tflite::schema::Builtin;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::ValueId;
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::{Add, Div, Mod, Mul, Sub};
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::elementwise::compare::{Equal, GreaterOrEqual, Less};
use hoist_ir::ops::elementwise::logic::{And, BitShift, BitwiseAnd, BitwiseXor, Direction, Or, Xor};
use hoist_ir::ops::elementwise::pow::Pow;
use hoist_ir::ops::elementwise::select::Where;
use hoist_ir::ops::elementwise::unary::{Abs, Atan, Floor, Neg, Not, Reciprocal, Sqrt};
use hoist_ir::ops::elementwise::variadic::{Max, Min};
use hoist_ir::ops::movement::bit_cast::BitCast;
use hoist_ir::ops::movement::expand::Expand;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::reduce::reductions::ReduceSum;
use hoist_ir::ops::shape::shape::Shape;
use hoist_ir::tensor::Tensor;

/// Builtin operators and how they are lifted.
pub(super) const LIFT: &[(Builtin, Lift)] = &[
    (Builtin::AddN, sum),
    (Builtin::Atan2, atan2),
    (Builtin::Bitcast, bit_cast),
    (Builtin::BitwiseXor, |cx| node(cx, BitwiseXor {})),
    (Builtin::Bucketize, bucketize),
    (Builtin::Cast, cast),
    (Builtin::FloorDiv, floor_div),
    (Builtin::FloorMod, |cx| node(cx, Mod { fmod: false })),
    (Builtin::Maximum, |cx| node(cx, Max {})),
    (Builtin::Minimum, |cx| node(cx, Min {})),
    (Builtin::NotEqual, not_equal),
    (Builtin::Pow, |cx| node(cx, Pow {})),
    (Builtin::RightShift, |cx| node(cx, BitShift { direction: Direction::Right })),
    (Builtin::Rsqrt, |cx| {
        let x = cx.arg(0)?;
        let root = cx.op(Sqrt {}, &[x])?;
        Ok(vec![cx.op(Reciprocal {}, &[root])?])
    }),
    (Builtin::Select, select),
    (Builtin::SelectV2, |cx| {
        let (condition, x, y) = (cx.arg(0)?, cx.arg(1)?, cx.arg(2)?);
        chosen(cx, condition, x, y)
    }),
    (Builtin::Square, |cx| {
        let x = cx.arg(0)?;
        Ok(vec![cx.op(Mul {}, &[x, x])?])
    }),
    (Builtin::SquaredDifference, |cx| {
        let (a, b) = (cx.arg(0)?, cx.arg(1)?);
        let d = cx.op(Sub {}, &[a, b])?;
        Ok(vec![cx.op(Mul {}, &[d, d])?])
    }),
    (Builtin::StablehloAdd, |cx| logical_or(cx, Add {}, "or")),
    (Builtin::StablehloAnd, |cx| logical_or(cx, BitwiseAnd {}, "and")),
    (Builtin::StablehloMaximum, |cx| logical_or(cx, Max {}, "or")),
    (Builtin::StablehloMinimum, |cx| logical_or(cx, Min {}, "and")),
    (Builtin::StablehloMultiply, |cx| logical_or(cx, Mul {}, "and")),
    (Builtin::StablehloShiftLeft, |cx| node(cx, BitShift { direction: Direction::Left })),
    (Builtin::ZerosLike, |cx| {
        let x = cx.arg(0)?;
        let zero = cx.b.scalar_like(0.0, x)?;
        Ok(vec![spread(cx, zero, x)?])
    }),
];

/// One node of the same operands, after which a fused activation is applied.
fn node(cx: &mut Cx<'_, '_>, op: impl Into<Op>) -> Lifted {
    let operands = cx.inputs.clone();
    let y = cx.b.add(op, &operands)?;
    let y = y.first().copied().ok_or_else(|| cx.bad("a node without results"))?;
    Ok(vec![cx.activated(y)?])
}

/// One node of the same operands; of truth values, the logical operator.
fn logical_or(cx: &mut Cx<'_, '_>, op: impl Into<Op>, logic: &str) -> Lifted {
    let x = cx.arg(0)?;
    if cx.dtype(x)? == DType::Bool {
        let op = Op::by_name(logic).ok_or_else(|| cx.bad("no operator"))?;
        return node(cx, op);
    }
    node(cx, op)
}

/// `value` in the shape of `like`.
fn spread(cx: &mut Cx<'_, '_>, value: ValueId, like: ValueId) -> Result<ValueId, Diag> {
    let sizes = cx.op(Shape::default(), &[like])?;
    cx.op(Expand {}, &[value, sizes])
}

fn sum(cx: &mut Cx<'_, '_>) -> Lifted {
    let mut y = cx.arg(0)?;
    for i in 1..cx.inputs.len() {
        let x = cx.arg(i)?;
        y = cx.op(Add {}, &[y, x])?;
    }
    Ok(vec![y])
}

/// By the arc tangent of the quotient, moved by half a turn where `x` is negative, and by a quarter where it is 0.
fn atan2(cx: &mut Cx<'_, '_>) -> Lifted {
    let (y, x) = (cx.arg(0)?, cx.arg(1)?);
    let number = |cx: &mut Cx<'_, '_>, v: f64| cx.b.scalar_like(v, x);
    let (zero, one) = (number(cx, 0.0)?, number(cx, 1.0)?);
    let (turn, quarter) = (number(cx, std::f64::consts::PI)?, number(cx, std::f64::consts::FRAC_PI_2)?);
    // Signs of zeros count: the reciprocal shows them.
    let negative = |cx: &mut Cx<'_, '_>, v: ValueId| -> Result<ValueId, Diag> {
        let (is_zero, inverse) = (cx.op(Equal {}, &[v, zero])?, cx.op(Reciprocal {}, &[v])?);
        let (below, inverse_below) = (cx.op(Less {}, &[v, zero])?, cx.op(Less {}, &[inverse, zero])?);
        cx.op(Where {}, &[is_zero, inverse_below, below])
    };
    let (down, left) = (negative(cx, y)?, negative(cx, x)?);
    let (a, b) = (cx.op(Abs {}, &[y])?, cx.op(Abs {}, &[x])?);
    // The smaller magnitude over the larger: no overflow, and 1 where both are infinite.
    let steep = cx.op(Less {}, &[b, a])?;
    let (low, high) = (cx.op(Min {}, &[a, b])?, cx.op(Max {}, &[a, b])?);
    let same = cx.op(Equal {}, &[a, b])?;
    let quotient = cx.op(Div {}, &[low, high])?;
    let none = cx.op(Equal {}, &[high, zero])?;
    let level = cx.op(Where {}, &[none, zero, one])?;
    let quotient = cx.op(Where {}, &[same, level, quotient])?;
    let angle = cx.op(Atan {}, &[quotient])?;
    let rest = cx.op(Sub {}, &[quarter, angle])?;
    let angle = cx.op(Where {}, &[steep, rest, angle])?;
    let mirrored = cx.op(Sub {}, &[turn, angle])?;
    let angle = cx.op(Where {}, &[left, mirrored, angle])?;
    let minus = cx.op(Neg {}, &[angle])?;
    let angle = cx.op(Where {}, &[down, minus, angle])?;
    // Of equal magnitudes NaN is none: it comes through the sum.
    let both = cx.op(Add {}, &[y, x])?;
    let (y_nan, x_nan) = (not_itself(cx, y)?, not_itself(cx, x)?);
    let nan = cx.op(Op::by_name("or").ok_or_else(|| cx.bad("no operator"))?, &[y_nan, x_nan])?;
    Ok(vec![cx.op(Where {}, &[nan, both, angle])?])
}

fn not_itself(cx: &mut Cx<'_, '_>, v: ValueId) -> Result<ValueId, Diag> {
    let same = cx.op(Equal {}, &[v, v])?;
    cx.op(Not {}, &[same])
}

fn bit_cast(cx: &mut Cx<'_, '_>) -> Lifted {
    let to = cx.results.first().map(|r| r.ty.dtype).ok_or_else(|| cx.bad("no result"))?;
    let x = cx.arg(0)?;
    if cx.dtype(x)?.bits() != to.bits() {
        return Err(cx.unsupported(format!("elements of {} read as {to}", cx.dtype(x)?)));
    }
    Ok(vec![cx.op(BitCast { to }, &[x])?])
}

/// The number of boundaries that are not above each element.
fn bucketize(cx: &mut Cx<'_, '_>) -> Lifted {
    let bounds = cx.options.map(|o| o.floats("boundaries").to_vec()).unwrap_or_default();
    let x = cx.arg(0)?;
    let dtype = cx.dtype(x)?;
    // Boundaries are of type `f32`; integers are compared with the next integer.
    let bounds: Vec<f64> = if dtype.is_int() { bounds.iter().map(|v| v.ceil()).collect() } else { bounds };
    let bounds = Tensor::from_vec(&[bounds.len()], bounds).cast(dtype, false);
    let bounds = bounds.map_err(|e| cx.bad(e))?;
    let bounds = cx.b.constant(bounds);
    let last = cx.b.ints(&[-1]);
    let column = cx.op(Unsqueeze {}, &[x, last])?;
    let reached = cx.op(GreaterOrEqual {}, &[column, bounds])?;
    let ones = cx.cast(reached, DType::I32)?;
    Ok(vec![cx.op(ReduceSum { keepdims: false, ..ReduceSum::default() }, &[ones, last])?])
}

/// CAST saturates where the IR wraps.
fn cast(cx: &mut Cx<'_, '_>) -> Lifted {
    let to = cx.results.first().map(|r| r.ty.dtype).ok_or_else(|| cx.bad("no result"))?;
    let mut x = cx.arg(0)?;
    if cx.dtype(x)?.is_float()
        && to.bits() <= 16
        && let Some((low, high)) = to.int_range()
    {
        x = super::super::activation::clipped(cx, x, low as f64, high as f64)?;
    }
    Ok(vec![cx.op(Cast { to, ..Cast::default() }, &[x])?])
}

/// Of integers, what the remainder leaves is divided without rest.
fn floor_div(cx: &mut Cx<'_, '_>) -> Lifted {
    let (a, b) = (cx.arg(0)?, cx.arg(1)?);
    if cx.dtype(a)?.is_float() {
        let quotient = cx.op(Div {}, &[a, b])?;
        return Ok(vec![cx.op(Floor {}, &[quotient])?]);
    }
    let rest = cx.op(Mod { fmod: false }, &[a, b])?;
    let whole = cx.op(Sub {}, &[a, rest])?;
    Ok(vec![cx.op(Div {}, &[whole, b])?])
}

fn not_equal(cx: &mut Cx<'_, '_>) -> Lifted {
    let (a, b) = (cx.arg(0)?, cx.arg(1)?);
    if cx.dtype(a)? == DType::Bool {
        return Ok(vec![cx.op(Xor {}, &[a, b])?]);
    }
    let same = cx.op(Equal {}, &[a, b])?;
    Ok(vec![cx.op(Not {}, &[same])?])
}

/// A condition of rank 1 chooses whole slices along the first axis.
fn select(cx: &mut Cx<'_, '_>) -> Lifted {
    let (mut condition, x, y) = (cx.arg(0)?, cx.arg(1)?, cx.arg(2)?);
    let (inner, outer) = (cx.rank(condition)?, cx.rank(x)?);
    if inner == 1 && outer > 1 {
        let axes: Vec<i64> = (1..outer as i64).collect();
        let axes = cx.b.ints(&axes);
        condition = cx.op(Unsqueeze {}, &[condition, axes])?;
    }
    chosen(cx, condition, x, y)
}

/// Truth values are chosen by logic: not every runtime of ONNX has `where` of them.
fn chosen(cx: &mut Cx<'_, '_>, condition: ValueId, x: ValueId, y: ValueId) -> Lifted {
    if cx.dtype(x)? != DType::Bool {
        return Ok(vec![cx.op(Where {}, &[condition, x, y])?]);
    }
    let otherwise = cx.op(Not {}, &[condition])?;
    let (first, second) = (cx.op(And {}, &[condition, x])?, cx.op(And {}, &[otherwise, y])?);
    Ok(vec![cx.op(Or {}, &[first, second])?])
}
