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
            DType::F32 => self.native::<f32>(x, y),
            DType::F64 => self.native::<f64>(x, y),
            DType::F16 => self.native::<f16>(x, y),
            DType::BF16 => self.native::<bf16>(x, y),
            DType::I8 => self.native::<i8>(x, y),
            DType::I16 => self.native::<i16>(x, y),
            DType::I32 => self.native::<i32>(x, y),
            DType::I64 => self.native::<i64>(x, y),
            DType::U8 => self.native::<u8>(x, y),
            DType::U16 => self.native::<u16>(x, y),
            DType::U32 => self.native::<u32>(x, y),
            DType::U64 => self.native::<u64>(x, y),
            DType::C64 => self.native::<Complex<f32>>(x, y),
            DType::C128 => self.native::<Complex<f64>>(x, y),
            DType::Bool => {
                let bytes = self.chosen(0, &x.raw_u8()?, &y.raw_u8()?);
                Ok(Tensor::from_bytes(DType::Bool, &self.shape, bytes.into(), None)?)
            }
            DType::String => {
                let a: Vec<&str> = x.strings()?.iter().map(String::as_str).collect();
                let b: Vec<&str> = y.strings()?.iter().map(String::as_str).collect();
                let texts = self.chosen("", &a, &b).into_iter().map(str::to_owned).collect();
                Ok(Tensor::from_strings(&self.shape, texts))
            }
            other => Err(no_meaning(other)),
        }
    }
    fn native<T: Element>(&self, x: &Tensor, y: &Tensor) -> Result<Tensor, OpError> {
        let values = self.chosen(T::zeroed(), &x.view::<T>()?, &y.view::<T>()?);
        Ok(Tensor::from_vec(&self.shape, values))
    }
    fn chosen<T: Copy + Send + Sync>(&self, zero: T, x: &[T], y: &[T]) -> Vec<T> {
        let plan = Plan::new(&self.shape, self.shapes);
        let mut out = vec![zero; element_count(&self.shape).unwrap_or(0)];
        plan.rows(&mut out, |out, [c, i, j]| {
            vectorized(|| choose(out, plan.unit, &self.condition[c..], &x[i..], &y[j..]));
        });
        out
    }
}

/// One row; each operand moves by its `unit`. Both elements are read before one is chosen, which makes vector code possible.
#[expect(clippy::inline_always, reason = "a call would keep the loop from becoming vector code")]
#[inline(always)]
fn choose<T: Copy>(out: &mut [T], unit: [usize; 3], condition: &[u8], x: &[T], y: &[T]) {
    let n = out.len();
    let each = out.iter_mut().zip(condition);
    match unit {
        [0, 1, _] if condition[0] != 0 => out.copy_from_slice(&x[..n]),
        [0, _, 1] if condition[0] == 0 => out.copy_from_slice(&y[..n]),
        [0, ..] => out.fill(if condition[0] == 0 { y[0] } else { x[0] }),
        [_, 1, 1] => {
            for ((o, c), (a, b)) in each.zip(x.iter().zip(y)) {
                let (a, b) = (*a, *b);
                *o = if *c == 0 { b } else { a };
            }
        }
        [_, 1, _] => {
            let b = y[0];
            each.zip(x).for_each(|((o, c), &a)| *o = if *c == 0 { b } else { a });
        }
        [_, _, 1] => {
            let a = x[0];
            each.zip(y).for_each(|((o, c), &b)| *o = if *c == 0 { b } else { a });
        }
        _ => {
            let (a, b) = (x[0], y[0]);
            each.for_each(|(o, c)| *o = if *c == 0 { b } else { a });
        }
    }
}
