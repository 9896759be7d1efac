//! `q_linear_softmax`
use super::requantize::{Affine, Quantized, check_scalars, rounded, scale};
use crate::builder::Builder;
use crate::dtype::{DType, F32_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::elementwise::typing::same;
use crate::ops::linear::compute::{count, zeros};
use crate::ops::linear::mat_mul_integer::BYTES;
use crate::tensor::Tensor;
use crate::types::Type;

crate::op! {
    /// Softmax of quantized data along `axis`; along all axes from `axis` on, taken together, when `opset` is below 13. With `m` the
    /// largest element, `e = exp((x - m) * x_scale)` and `c = floor(1 / y_scale)`, the result is
    /// `saturate(round(e * c / sum(e)) + y_zero_point)`: as in ONNX Runtime, the result's scale counts as the reciprocal of a whole number.
    /// Exponentials are rounded to `f32` after scaling as ONNX Runtime scales them; where a quotient is a tie, its order of adding decides
    /// and results may differ from its by one step.
    q_linear_softmax QLinearSoftmax(
        x: One<T>, x_scale: One<S>, x_zero_point: Opt<T>, y_scale: One<S>, y_zero_point: One<T>,
    ) -> (y: One<T>) {
        /// Axis; negative counts from the end.
        axis: i64 = -1,
        /// Operator set of ai.onnx whose Softmax is meant. There is no default: 0 is refused.
        opset: i64 = 0,
    } where T: BYTES, S: F32_ONLY;
}

/// How data is cut into what is normalized.
struct Lines {
    /// Elements of one line.
    len: usize,
    /// Distance between them.
    step: usize,
}

impl QLinearSoftmax {
    fn check(&self) -> Result<(), OpError> {
        if self.opset >= 1 {
            return Ok(());
        }
        Err(OpError::attr(format!("opset {} of q_linear_softmax is no operator set", self.opset)))
    }
    fn lines(&self, shape: &[usize]) -> Result<Lines, OpError> {
        let axis = resolve_axis(self.axis, shape.len())?;
        Ok(if self.opset < 13 {
            Lines { len: count(&shape[axis..])?, step: 1 }
        } else {
            Lines { len: shape[axis], step: count(&shape[axis + 1..])? }
        })
    }
    fn compute<Q: Quantized>(&self, x: &Tensor, x_scale: f32, to: Affine) -> Result<Tensor, OpError> {
        let Lines { len, step } = self.lines(x.shape())?;
        let data = x.view::<Q>()?;
        let mut out = zeros::<Q>(data.len())?;
        if out.is_empty() {
            return Ok(Tensor::from_vec(x.shape(), out));
        }
        let table = exponentials(x_scale, len);
        let c = (1.0 / to.scale).floor();
        let block = len * step;
        for first in (0..data.len() / len).map(|i| i / step * block + i % step) {
            let line = || data[first..].iter().step_by(step).take(len);
            let most = line().map(|q| q.widen()).fold(i32::MIN, i32::max);
            let e = |q: &Q| table[(q.widen() - most + 255) as usize];
            let sum = line().fold(0.0f32, |s, q| s + e(q));
            let targets = out[first..].iter_mut().step_by(step).take(len);
            targets.zip(line()).for_each(|(o, q)| *o = rounded(e(q) * c / sum, to.zero as f32));
        }
        Ok(Tensor::from_vec(x.shape(), out))
    }
}

/// `exp((i - 255) * scale)` for each difference from the largest element, times a factor that keeps a sum of `len` terms far below 2^31.
fn exponentials(scale: f32, len: usize) -> [f32; 256] {
    let scale = f64::from(scale);
    let room = ((f64::from(i32::MAX) / len as f64).ln() - 5.0).max(0.0);
    std::array::from_fn(|i| ((i as f64 - 255.0) * scale + room).exp() as f32)
}

impl Semantics for QLinearSoftmax {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        self.check()?;
        check_scalars(cx, &[1, 2, 3, 4])?;
        if let Some(s) = cx.shape(0)? {
            resolve_axis(self.axis, s.len())?;
        }
        same(self, cx)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::stepwise::softmax(self, b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, from, to) = (cx.tensor(0)?, scale(&cx, 1)?, Affine::of(&cx, 3)?);
        one(if x.dtype() == DType::I8 {
            self.compute::<i8>(x, from, to)?
        } else {
            self.compute::<u8>(x, from, to)?
        })
    }
}
