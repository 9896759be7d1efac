//! `q_linear_add`, `q_linear_mul`
use super::requantize::{Affine, Quantized, check_scalars};
use crate::builder::Builder;
use crate::dtype::{DType, F32_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::{InferCx, broadcast};
use crate::op::{OpError, Semantics};
use crate::ops::elementwise::broadcast::{Plan, broadcast_sizes, vectorized};
use crate::ops::linear::compute::{count, zeros};
use crate::ops::linear::mat_mul_integer::BYTES;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};
use pulp::NullaryFnOnce;

crate::op! {
    /// Sum of quantized operands, which broadcast. As ONNX Runtime computes it where the processor multiplies and adds at once: with
    /// `ra = a_scale / c_scale`, `rb = b_scale / c_scale` and
    /// `f = c_zero_point - fma(ra, a_zero_point, rb * b_zero_point)`, the result is `saturate(round(fma(ra, a, fma(rb, b, f))))` in `f32`,
    /// rounded to nearest even after the zero point was added. Along a row for which `a` has only one element, `a` and `b` change places.
    q_linear_add QLinearAdd(
        a: One<T>, a_scale: One<S>, a_zero_point: Opt<T>, b: One<T>, b_scale: One<S>, b_zero_point: Opt<T>, c_scale: One<S>, c_zero_point: Opt<T>,
    ) -> (c: One<T>) {} where T: BYTES, S: F32_ONLY;
}

crate::op! {
    /// Product of quantized operands, which broadcast: with `r = a_scale * b_scale / c_scale`,
    /// `saturate(round((a - a_zero_point) * (b - b_zero_point) * r + c_zero_point))`, each step rounded to `f32`, then to nearest even after
    /// the zero point was added, as ONNX Runtime does.
    q_linear_mul QLinearMul(
        a: One<T>, a_scale: One<S>, a_zero_point: Opt<T>, b: One<T>, b_scale: One<S>, b_zero_point: Opt<T>, c_scale: One<S>, c_zero_point: Opt<T>,
    ) -> (c: One<T>) {} where T: BYTES, S: F32_ONLY;
}

/// Terms of the sum: result is `fma(ra, a, fma(rb, b, fixed))`.
#[derive(Clone, Copy)]
struct Sum {
    ra: f32,
    rb: f32,
    fixed: f32,
}

impl Sum {
    fn new(a: Affine, b: Affine, c: Affine) -> Self {
        let (ra, rb) = (a.scale / c.scale, b.scale / c.scale);
        let fixed = c.zero as f32 - ra.mul_add(a.zero as f32, rb * b.zero as f32);
        Self { ra, rb, fixed }
    }
    #[expect(clippy::inline_always, reason = "part of vector loops")]
    #[inline(always)]
    fn of<Q: Quantized>(self, a: Q, b: Q) -> Q {
        let inner = self.rb.mul_add(b.widen() as f32, self.fixed);
        Q::saturate(self.ra.mul_add(a.widen() as f32, inner).round_ties_even())
    }
}

/// Terms of the product.
#[derive(Clone, Copy)]
struct Product {
    a: i32,
    b: i32,
    ratio: f32,
    zero: f32,
}

impl Product {
    #[expect(clippy::inline_always, reason = "part of vector loops")]
    #[inline(always)]
    fn of<Q: Quantized>(self, a: Q, b: Q) -> Q {
        let product = (a.widen() - self.a) * (b.widen() - self.b);
        Q::saturate((product as f32 * self.ratio + self.zero).round_ties_even())
    }
}

/// A row of results, compiled for the widest vectors: operands move by `unit`.
struct Row<'a, Q, F> {
    out: &'a mut [Q],
    a: &'a [Q],
    b: &'a [Q],
    unit: [usize; 2],
    f: F,
}

impl<Q: Quantized, F: Fn(Q, Q) -> Q> NullaryFnOnce for Row<'_, Q, F> {
    type Output = ();
    #[expect(clippy::inline_always, reason = "a call would keep the loop from becoming vector code")]
    #[inline(always)]
    fn call(self) {
        let Row { out, a, b, unit, f } = self;
        match (unit, a.first(), b.first()) {
            ([0, 0], Some(x), Some(y)) => out.fill(f(*x, *y)),
            ([0, _], Some(x), _) => out.iter_mut().zip(b).for_each(|(o, y)| *o = f(*x, *y)),
            ([_, 0], _, Some(y)) => out.iter_mut().zip(a).for_each(|(o, x)| *o = f(*x, *y)),
            _ => out.iter_mut().zip(a.iter().zip(b)).for_each(|(o, (x, y))| *o = f(*x, *y)),
        }
    }
}

/// Results of `f` on all pairs; of `alone` along rows for which `a` has one element.
fn pairs<Q: Quantized>(
    (a, b): (&Tensor, &Tensor),
    f: impl Fn(Q, Q) -> Q + Copy + Sync,
    alone: impl Fn(Q, Q) -> Q + Copy + Sync,
) -> Result<Vec<Value>, OpError> {
    let shape = broadcast_sizes(&[a.shape(), b.shape()])?;
    let (x, y) = (a.view::<Q>()?, b.view::<Q>()?);
    let plan = Plan::new(&shape, [a.shape(), b.shape()]);
    let mut out = zeros::<Q>(count(&shape)?)?;
    plan.rows(&mut out, |out, [i, j]| {
        let (a, b, unit) = (&x[i..], &y[j..], plan.unit);
        if unit[0] == 0 {
            vectorized(Row { out, a, b, unit, f: alone });
        } else {
            vectorized(Row { out, a, b, unit, f });
        }
    });
    one(Tensor::from_vec(&shape, out))
}

fn infer(cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    check_scalars(cx, &[1, 2, 4, 5, 6, 7])?;
    let shape = match (cx.shape(0)?, cx.shape(3)?) {
        (Some(a), Some(b)) => Some(broadcast(a, b)?),
        _ => None,
    };
    Ok(vec![TensorType::new(cx.dtype(0)?, shape).into()])
}

impl Semantics for QLinearAdd {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        infer(cx)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::stepwise::add(b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (a, b, c) = (Affine::of(&cx, 1)?, Affine::of(&cx, 4)?, Affine::of(&cx, 6)?);
        let (sum, swapped) = (Sum::new(a, b, c), Sum::new(b, a, c));
        let operands = (cx.tensor(0)?, cx.tensor(3)?);
        if operands.0.dtype() == DType::I8 {
            pairs::<i8>(operands, move |a, b| sum.of(a, b), move |a, b| swapped.of(b, a))
        } else {
            pairs::<u8>(operands, move |a, b| sum.of(a, b), move |a, b| swapped.of(b, a))
        }
    }
}

impl Semantics for QLinearMul {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        infer(cx)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::stepwise::mul(b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (a, b, c) = (Affine::of(&cx, 1)?, Affine::of(&cx, 4)?, Affine::of(&cx, 6)?);
        let ratio = a.scale * b.scale / c.scale;
        let product = Product { a: a.zero, b: b.zero, ratio, zero: c.zero as f32 };
        let operands = (cx.tensor(0)?, cx.tensor(3)?);
        if operands.0.dtype() == DType::I8 {
            let f = move |a: i8, b: i8| product.of(a, b);
            pairs(operands, f, f)
        } else {
            let f = move |a: u8, b: u8| product.of(a, b);
            pairs(operands, f, f)
        }
    }
}
