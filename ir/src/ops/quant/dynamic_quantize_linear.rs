//! `dynamic_quantize_linear`
use crate::builder::Builder;
use crate::dtype::{DType, F32_ONLY};
use crate::eval::{EvalCx, Value};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// Quantizes to `u8` with a scale and a zero point chosen so that the data's range, extended to zero, fills the type:
    /// `y_scale = (max - min) / 255`, or `1 / 255` for data of zeros; `y_zero_point = round(-min / y_scale)`.
    dynamic_quantize_linear DynamicQuantizeLinear(x: One<T1>) -> (y: One<T2>, y_scale: One<S>, y_zero_point: One<T2>) {}
    where T1: F32_ONLY;
}

/// `x` quantized, with its scale and zero point.
pub(crate) fn quantize(x: &Tensor) -> Result<(Tensor, f32, u8), OpError> {
    let data = x.view::<f32>()?;
    let high = data.iter().copied().fold(0.0f32, f32::max);
    let low = data.iter().copied().fold(0.0f32, f32::min);
    let range = if high == low { 1.0 } else { high - low };
    let scale = range / 255.0;
    let zero = (-low / scale).clamp(0.0, 255.0).round_ties_even();
    // NaN becomes 0, the smallest value.
    let quantize = |v: &f32| ((v / scale).round_ties_even() + zero).clamp(0.0, 255.0) as u8;
    let y: Vec<u8> = data.iter().map(quantize).collect();
    Ok((Tensor::from_vec(x.shape(), y), scale, zero as u8))
}

impl Semantics for DynamicQuantizeLinear {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let y = TensorType { dtype: DType::U8, shape: cx.shape(0)?.cloned() };
        let scalar = |dtype| Type::from(TensorType::fixed(dtype, &[]));
        Ok(vec![y.into(), scalar(DType::F32), scalar(DType::U8)])
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _outputs: usize) -> Expanded {
        super::product_expansions::dynamic_quantize_linear(b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (y, scale, zero) = quantize(cx.tensor(0)?)?;
        Ok(vec![y.into(), Tensor::scalar(scale).into(), Tensor::scalar(zero).into()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval_n, f32s};

    #[test]
    fn ranges_include_zero() {
        let y =
            eval_n(&DynamicQuantizeLinear {}, &[Some(&f32s(&[3], &[-1.0, -2.1, -3.4]))], 3).expect("fits");
        assert_eq!(y[0], Tensor::from_vec(&[3], vec![180u8, 98, 0]));
        assert_eq!((y[1].as_f64(), y[2].as_int()), (Some(f64::from(3.4f32 / 255.0)), Some(255)));
        let y = eval_n(&DynamicQuantizeLinear {}, &[Some(&f32s(&[2], &[0.0, 0.0]))], 3).expect("fits");
        assert_eq!((y[0].clone(), y[2].as_int()), (Tensor::from_vec(&[2], vec![0u8, 0]), Some(0)));
        assert_eq!(y[1].as_f64(), Some(f64::from(1.0f32 / 255.0)));
    }
}
