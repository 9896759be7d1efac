//! `q_linear_sigmoid`, `q_linear_leaky_relu`
use super::requantize::{Affine, check_scalars};
use super::tables::{look_up, table};
use crate::builder::Builder;
use crate::dtype::F32_ONLY;
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::elementwise::typing::same;
use crate::ops::linear::mat_mul_integer::BYTES;
use crate::types::Type;

crate::op! {
    /// `quantize(sigmoid(dequantize(x)))`: `saturate(round(sigmoid((x - x_zero_point) * x_scale) / y_scale) + y_zero_point)`, in `f32`. ONNX
    /// Runtime's sigmoid is an approximation; results differ from its by one step where the quotient lies within its error of a tie.
    q_linear_sigmoid QLinearSigmoid(x: One<T>, x_scale: One<S>, x_zero_point: Opt<T>, y_scale: One<S>, y_zero_point: Opt<T>) -> (y: One<T>) {}
    where T: BYTES, S: F32_ONLY;
}

crate::op! {
    /// `quantize(leaky_relu(dequantize(x)))`: with `v = (x - x_zero_point) * x_scale`, times `alpha` where it is negative,
    /// `saturate(round(v / y_scale) + y_zero_point)`, in `f32`.
    q_linear_leaky_relu QLinearLeakyRelu(x: One<T>, x_scale: One<S>, x_zero_point: Opt<T>, y_scale: One<S>, y_zero_point: Opt<T>) -> (y: One<T>) {
        /// Slope for negative arguments.
        alpha: f32 = 0.01,
    } where T: BYTES, S: F32_ONLY;
}

fn infer_same<O>(op: &O, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    check_scalars(cx, &[1, 2, 3, 4])?;
    same(op, cx)
}

/// The logistic function, rounded once.
pub(super) fn logistic(v: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(v)).exp())) as f32
}

impl QLinearLeakyRelu {
    /// The function of real numbers.
    pub(super) fn of(&self, v: f32) -> f32 {
        if v >= 0.0 { v } else { v * self.alpha }
    }
}

fn through(cx: &EvalCx<'_>, f: impl Fn(f32) -> f32) -> Result<Vec<Value>, OpError> {
    let x = cx.tensor(0)?;
    one(look_up(x, &table(x.dtype(), Affine::of(cx, 1)?, Affine::of(cx, 3)?, f))?)
}

impl Semantics for QLinearSigmoid {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        infer_same(self, cx)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::stepwise::sigmoid(b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        through(&cx, logistic)
    }
}

impl Semantics for QLinearLeakyRelu {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        infer_same(self, cx)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::stepwise::leaky_relu(self, b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        through(&cx, |v| self.of(v))
    }
}
