//! `where`
use super::broadcast::{Plan, broadcast_sizes, vectorized};
use super::map::no_meaning;
use super::typing::{broadcast_shape, map_contents};
use crate::dtype::{BOOL_ONLY, DType, DTypeSet, NUMERIC};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{Content, InferCx};
use crate::op::{OpError, Semantics};
use crate::tensor::{Element, Tensor, element_count};
use crate::types::{TensorType, Type};
use half::{bf16, f16};
use num_complex::Complex;
use std::ops::{BitAnd, BitOr, Mul, Not};

/// What can be chosen from.
const CHOOSABLE: DTypeSet = NUMERIC.or(DTypeSet::of(&[DType::Bool, DType::String, DType::C64, DType::C128]));

crate::op! {
    /// The element of `x` where `condition` holds, else that of `y`; all three broadcast.
    r#where Where(condition: One<B>, x: One<T>, y: One<T>) -> (output: One<T>) {} where B: BOOL_ONLY, T: CHOOSABLE;
}

impl Semantics for Where {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        Ok(vec![TensorType::new(cx.dtype(1)?, broadcast_shape(cx)?).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (condition, x, y) = (cx.tensor(0)?, cx.tensor(1)?, cx.tensor(2)?);
        let choice = Choice {
            shape: broadcast_sizes(&[condition.shape(), x.shape(), y.shape()])?,
            condition: &condition.raw_u8()?,
            shapes: [condition.shape(), x.shape(), y.shape()],
        };
        one(choice.of(x, y)?)
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        let Ok(dtype) = cx.dtype(1) else { return vec![] };
        map_contents(cx, dtype, |[condition, x, y]| match condition.and_then(|c| c.as_const()) {
            Some(0) => y.cloned(),
            Some(_) => x.cloned(),
            None => x.filter(|_| x == y).cloned(),
        })
    }
}

struct Choice<'a> {
    shape: Vec<usize>,
    condition: &'a [u8],
    shapes: [&'a [usize]; 3],
}

impl Choice<'_> {
    fn of(&self, x: &Tensor, y: &Tensor) -> Result<Tensor, OpError> {
        match x.dtype() {
            DType::F32 => self.bits::<f32, u32>(x, y),
            DType::F64 => self.bits::<f64, u64>(x, y),
            DType::F16 => self.bits::<f16, u16>(x, y),
            DType::BF16 => self.bits::<bf16, u16>(x, y),
            DType::I8 => self.bits::<i8, u8>(x, y),
            DType::I16 => self.bits::<i16, u16>(x, y),
            DType::I32 => self.bits::<i32, u32>(x, y),
            DType::I64 => self.bits::<i64, u64>(x, y),
            DType::U8 => self.bits::<u8, u8>(x, y),
            DType::U16 => self.bits::<u16, u16>(x, y),
            DType::U32 => self.bits::<u32, u32>(x, y),
            DType::U64 => self.bits::<u64, u64>(x, y),
            DType::C64 => self.plain::<Complex<f32>>(x, y),
            DType::C128 => self.plain::<Complex<f64>>(x, y),
            DType::Bool => {
                let bytes = self.chosen(0, &x.raw_u8()?, &y.raw_u8()?, by_mask);
                Ok(Tensor::from_bytes(DType::Bool, &self.shape, bytes.into(), None)?)
            }
            DType::String => {
                let a: Vec<&str> = x.strings()?.iter().map(String::as_str).collect();
                let b: Vec<&str> = y.strings()?.iter().map(String::as_str).collect();
                let texts = self.chosen("", &a, &b, by_branch).into_iter().map(str::to_owned).collect();
                Ok(Tensor::from_strings(&self.shape, texts))
            }
            other => Err(no_meaning(other)),
        }
    }
    fn plain<T: Element>(&self, x: &Tensor, y: &Tensor) -> Result<Tensor, OpError> {
        let values = self.chosen(T::zeroed(), &x.view::<T>()?, &y.view::<T>()?, by_branch);
        Ok(Tensor::from_vec(&self.shape, values))
    }
    /// Elements chosen as the integers `B` of the same width.
    fn bits<T: Element, B: Bits>(&self, x: &Tensor, y: &Tensor) -> Result<Tensor, OpError> {
        let (x, y) = (x.view::<T>()?, y.view::<T>()?);
        let (a, b) = (bytemuck::must_cast_slice::<T, B>(&x), bytemuck::must_cast_slice::<T, B>(&y));
        let values = self.chosen(B::zeroed(), a, b, by_mask);
        Ok(Tensor::from_vec(&self.shape, bytemuck::allocation::cast_vec::<B, T>(values)))
    }
    fn chosen<T: Copy + Send + Sync>(
        &self,
        zero: T,
        x: &[T],
        y: &[T],
        pick: impl Fn(u8, T, T) -> T + Sync,
    ) -> Vec<T> {
        let plan = Plan::new(&self.shape, self.shapes);
        let mut out = vec![zero; element_count(&self.shape).unwrap_or(0)];
        plan.rows(&mut out, |out, [c, i, j]| {
            let operands = (&self.condition[c..], &x[i..], &y[j..]);
            vectorized(Row { out, unit: plan.unit, operands, pick: &pick });
        });
        out
    }
}

/// Unsigned integers, for choosing without a branch.
trait Bits:
    bytemuck::Pod
    + Send
    + Sync
    + From<bool>
    + Mul<Output = Self>
    + Not<Output = Self>
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
{
}
impl Bits for u8 {}
impl Bits for u16 {}
impl Bits for u32 {}
impl Bits for u64 {}

/// `x` where `c` is not 0, else `y`, without a branch: two loads behind a branch do not become vector code.
#[expect(clippy::inline_always, reason = "a call would keep the loop from becoming vector code")]
#[inline(always)]
fn by_mask<B: Bits>(c: u8, x: B, y: B) -> B {
    let mask = B::from(c != 0) * !B::zeroed();
    (x & mask) | (y & !mask)
}

fn by_branch<T>(c: u8, x: T, y: T) -> T {
    if c == 0 { y } else { x }
}

/// One row of the result; each operand moves by its `unit`.
struct Row<'a, T, P> {
    out: &'a mut [T],
    unit: [usize; 3],
    operands: (&'a [u8], &'a [T], &'a [T]),
    pick: &'a P,
}

impl<T: Copy, P: Fn(u8, T, T) -> T> pulp::NullaryFnOnce for Row<'_, T, P> {
    type Output = ();
    #[expect(clippy::inline_always, reason = "a call would keep the loop from becoming vector code")]
    #[inline(always)]
    fn call(self) {
        let (condition, x, y) = self.operands;
        let n = self.out.len();
        let chosen = self.out.iter_mut().zip(condition);
        match self.unit {
            [0, 1, _] if condition[0] != 0 => self.out.copy_from_slice(&x[..n]),
            [0, _, 1] if condition[0] == 0 => self.out.copy_from_slice(&y[..n]),
            [0, ..] => self.out.fill(by_branch(condition[0], x[0], y[0])),
            [_, 1, 1] => {
                for ((o, c), (a, b)) in chosen.zip(x.iter().zip(y)) {
                    *o = (self.pick)(*c, *a, *b);
                }
            }
            [_, 1, _] => {
                let b = y[0];
                for ((o, c), a) in chosen.zip(x) {
                    *o = (self.pick)(*c, *a, b);
                }
            }
            [_, _, 1] => {
                let a = x[0];
                for ((o, c), b) in chosen.zip(y) {
                    *o = (self.pick)(*c, a, *b);
                }
            }
            _ => {
                let (a, b) = (x[0], y[0]);
                for (o, c) in chosen {
                    *o = (self.pick)(*c, a, b);
                }
            }
        }
    }
}
