//! `dequantize_linear`
use super::expansions;
use super::quantize_linear::QUANTIZED;
use super::scales::{Granularity, check};
use crate::builder::Builder;
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{Compute, zeros};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};
use std::borrow::Cow;

const SOURCE: DTypeSet = QUANTIZED.or(DTypeSet::of(&[DType::I32]));
const RESULT: DTypeSet = DTypeSet::of(&[DType::F32, DType::F16, DType::BF16]);
const SCALE: DTypeSet = RESULT.or(DTypeSet::of(&[DType::F8E8M0]));

crate::op! {
    /// `(x - x_zero_point) * x_scale`, computed in `f32` and rounded once. Scales and zero points are one for all, one per position of
    /// `axis`, or one per block of `block_size` positions of it. Zero points default to zero.
    dequantize_linear DequantizeLinear(x: One<T1>, x_scale: One<T2>, x_zero_point: Opt<T1>) -> (y: One<T3>) {
        /// Axis of scales.
        axis: i64 = 1,
        /// Positions of a block; 0 when scales are not per block.
        block_size: i64 = 0,
        /// Result type; by default that of the scale.
        output_dtype: Option<DType> = None,
    } where T1: SOURCE, T2: SCALE;
}

impl DequantizeLinear {
    fn target(&self, scale: DType) -> Result<DType, OpError> {
        let dtype = self.output_dtype.unwrap_or(scale);
        if RESULT.contains(dtype) {
            return Ok(dtype);
        }
        Err(OpError::attr(format!("{dtype} is no result type of dequantize_linear")).hint("set output_dtype"))
    }
    fn dequantize(&self, x: &Tensor, scale: &Tensor, zero: Option<&Tensor>) -> Result<Tensor, OpError> {
        let target = self.target(scale.dtype())?;
        let granularity = Granularity::new(x.shape(), scale.shape(), self.axis, self.block_size)?;
        let scales = scale.to_f32s()?;
        let offsets =
            zero.map(Tensor::to_f32s).transpose()?.unwrap_or_else(|| Cow::Owned(vec![0.0; scales.len()]));
        if offsets.len() != scales.len() {
            return Err(OpError::shape("scale and zero point differ in shape"));
        }
        let mut out = zeros::<f32>(x.len())?;
        let p = (granularity, &*scales, &*offsets);
        match x.dtype() {
            DType::I8 => fill(p, &x.view::<i8>()?, &mut out, f32::from),
            DType::U8 => fill(p, &x.view::<u8>()?, &mut out, f32::from),
            _ => fill(p, &x.to_f32s()?, &mut out, |v| v),
        }
        Ok(<f32 as Compute>::tensor(target, x.shape(), out)?)
    }
}

/// Writes `(value - offset) * scale` for each element.
fn fill<E: Copy + Sync>(
    (granularity, scales, offsets): (Granularity, &[f32], &[f32]),
    x: &[E],
    out: &mut [f32],
    value: impl Fn(E) -> f32 + Sync + Send,
) {
    granularity.for_runs(out, |run, start, part| {
        let source = &x[start..start + part.len()];
        if run.step == 0 {
            let (s, z) = (scales[run.scale], offsets[run.scale]);
            part.iter_mut().zip(source).for_each(|(o, v)| *o = (value(*v) - z) * s);
        } else {
            let parameters = scales[run.scale..].iter().zip(&offsets[run.scale..]);
            for ((o, v), (s, z)) in part.iter_mut().zip(source).zip(parameters) {
                *o = (value(*v) - z) * s;
            }
        }
    });
}

impl Semantics for DequantizeLinear {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let target = self.target(cx.dtype(1)?)?;
        check(cx, self.axis, self.block_size)?;
        Ok(vec![TensorType { dtype: target, shape: cx.shape(0)?.cloned() }.into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        one(self.dequantize(cx.tensor(0)?, cx.tensor(1)?, cx.opt(2)?)?)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], outputs: usize) -> Expanded {
        expansions::dequantize_linear(self, b, inputs, outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, f32s, infer, shapes};
    use crate::tensor::convert::Wide;

    #[test]
    fn all_granularities() {
        let x = Tensor::from_vec(&[2, 2], vec![0u8, 3, 128, 255]);
        let run = |s: &Tensor, z: Option<&Tensor>, op: DequantizeLinear| {
            eval(&op, &[Some(&x), Some(s), z]).expect("fits").remove(0)
        };
        let op = DequantizeLinear::default();
        let y = run(&f32s(&[], &[2.]), Some(&Tensor::scalar(128u8)), op.clone());
        assert_eq!(y, f32s(&[2, 2], &[-256., -250., 0., 254.]));
        let axis = DequantizeLinear { axis: 0, ..op.clone() };
        let y = run(&f32s(&[2], &[2., 0.5]), Some(&Tensor::from_vec(&[2], vec![1u8, 0])), axis);
        assert_eq!(y, f32s(&[2, 2], &[-2., 4., 64., 127.5]));
        let block = DequantizeLinear { axis: 0, block_size: 2, output_dtype: Some(DType::F16) };
        let y = run(&f32s(&[1, 2], &[1., 2.]), None, block);
        assert_eq!((y.dtype(), y.to_f64s().expect("floats")), (DType::F16, vec![0., 6., 128., 510.]));
    }

    #[test]
    fn packed_data() {
        let x = Tensor::from_wide(DType::I4, &[3], &Wide::I64(vec![-8, 7, 1]), true).expect("packs");
        let z = Tensor::from_wide(DType::I4, &[], &Wide::I64(vec![1]), true).expect("packs");
        let y = eval(&DequantizeLinear::default(), &[Some(&x), Some(&f32s(&[], &[0.5])), Some(&z)])
            .expect("fits");
        assert_eq!(y[0], f32s(&[3], &[-4.5, 3., 0.]));
    }

    #[test]
    fn types() {
        let op = DequantizeLinear::default();
        assert_eq!(infer(&op, &shapes(&["u2[N]", "bf16[]", "_"])).expect("ok")[0].to_string(), "bf16[N]");
        assert!(infer(&op, &shapes(&["u8[4]", "f8e8m0[]", "_"])).is_err());
        assert!(infer(&op, &shapes(&["u8[4]", "f32[]", "i8[]"])).is_err());
    }
}
