//! Logic of truth values and of bits.
use super::broadcast::{broadcast_sizes, zip};
use super::map::number_zip;
use super::typing::{broadcast_bool, broadcast_first};
use crate::attr::Word;
use crate::dtype::{BOOL_ONLY, INTS};
use crate::eval::{EvalCx, Value, one};
use crate::op::OpError;
use crate::tensor::Tensor;

crate::op! {
    /// Whether both are true, broadcast.
    and And(a: One<T>, b: One<T>) -> (c: One<T1>) {} where T: BOOL_ONLY, T1: BOOL_ONLY;
    infer = broadcast_bool, eval = |_: &And, cx: EvalCx<'_>| truths(&cx, |a, b| a & b);
}
crate::op! {
    /// Whether either is true, broadcast.
    or Or(a: One<T>, b: One<T>) -> (c: One<T1>) {} where T: BOOL_ONLY, T1: BOOL_ONLY;
    infer = broadcast_bool, eval = |_: &Or, cx: EvalCx<'_>| truths(&cx, |a, b| a | b);
}
crate::op! {
    /// Whether exactly one is true, broadcast.
    xor Xor(a: One<T>, b: One<T>) -> (c: One<T1>) {} where T: BOOL_ONLY, T1: BOOL_ONLY;
    infer = broadcast_bool, eval = |_: &Xor, cx: EvalCx<'_>| truths(&cx, |a, b| a ^ b);
}
crate::op! {
    /// Bits set in both, broadcast.
    bitwise_and BitwiseAnd(a: One<T>, b: One<T>) -> (c: One<T>) {} where T: INTS;
    infer = broadcast_first,
    eval = |_: &BitwiseAnd, cx| number_zip(cx, |a, _| a, |a, _| a, |a, b| a & b, |a, b| a & b);
}
crate::op! {
    /// Bits set in either, broadcast.
    bitwise_or BitwiseOr(a: One<T>, b: One<T>) -> (c: One<T>) {} where T: INTS;
    infer = broadcast_first,
    eval = |_: &BitwiseOr, cx| number_zip(cx, |a, _| a, |a, _| a, |a, b| a | b, |a, b| a | b);
}
crate::op! {
    /// Bits set in exactly one, broadcast.
    bitwise_xor BitwiseXor(a: One<T>, b: One<T>) -> (c: One<T>) {} where T: INTS;
    infer = broadcast_first,
    eval = |_: &BitwiseXor, cx| number_zip(cx, |a, _| a, |a, _| a, |a, b| a ^ b, |a, b| a ^ b);
}

/// Which way bits are shifted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// Towards more significant bits.
    #[default]
    Left,
    /// Towards less significant bits.
    Right,
}

impl Word for Direction {
    const KIND: &'static str = "direction";
    const WORDS: &'static [(Self, &'static str)] = &[(Self::Left, "LEFT"), (Self::Right, "RIGHT")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// Shifts the bits of `x` by `y` places, broadcast. Signed integers keep their sign when shifted right; a shift by a negative
    /// number or by the width or more leaves only what fills the vacated bits.
    bit_shift BitShift(x: One<T>, y: One<T>) -> (z: One<T>) {
        /// Which way.
        direction: Direction = Direction::Left,
    } where T: INTS;
    infer = broadcast_first, eval = shift;
}

fn truths(cx: &EvalCx<'_>, f: impl Fn(bool, bool) -> bool + Sync) -> Result<Vec<Value>, OpError> {
    let (a, b) = (cx.tensor(0)?, cx.tensor(1)?);
    let shape = broadcast_sizes(&[a.shape(), b.shape()])?;
    let (x, y) = (a.raw_u8()?, b.raw_u8()?);
    let bits = zip(&shape, false, (&x, a.shape()), (&y, b.shape()), |x, y| f(x != 0, y != 0));
    one(Tensor::from_bools(&shape, bits))
}

fn shift(op: &BitShift, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let width = cx.tensor(0)?.dtype().bits();
    let signed_places = move |y: i64| u32::try_from(y).ok().filter(|y| *y < width);
    let places = move |y: u64| u32::try_from(y).ok().filter(|y| *y < width);
    match op.direction {
        Direction::Left => number_zip(
            cx,
            |x, _| x,
            |x, _| x,
            |x, y| signed_places(y).map_or(0, |n| x.wrapping_shl(n)),
            |x, y| places(y).map_or(0, |n| x.wrapping_shl(n)),
        ),
        Direction::Right => number_zip(
            cx,
            |x, _| x,
            |x, _| x,
            |x, y| x >> signed_places(y).unwrap_or(63),
            |x, y| places(y).map_or(0, |n| x >> n),
        ),
    }
}
