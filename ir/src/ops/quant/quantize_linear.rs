//! `quantize_linear`
use super::expansions;
use super::scales::{Granularity, Run, check};
use crate::builder::Builder;
use crate::dtype::{DType, DTypeSet, PACKED};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::zeros;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};
use half::{bf16, f16};

/// Types of quantized data.
pub(super) const QUANTIZED: DTypeSet =
    DTypeSet::of(&[DType::I8, DType::U8, DType::I16, DType::U16]).or(PACKED).or(FLOAT8_DATA);
/// 8-bit floats but the one for scales.
const FLOAT8_DATA: DTypeSet =
    DTypeSet::of(&[DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ]);
const SOURCE: DTypeSet = DTypeSet::of(&[DType::F32, DType::F16, DType::BF16, DType::I32]);
const SCALE: DTypeSet = SOURCE.or(DTypeSet::of(&[DType::F8E8M0]));

crate::op! {
    /// `saturate(round(x / y_scale) + y_zero_point)`, rounded to nearest even. Scales and zero points are one for all, one per position of
    /// `axis`, or one per block of `block_size` positions of it. Zero points default to zero. Floats saturate to the largest finite
    /// value unless `saturate` is off (8-bit floats). NaN becomes the smallest integer.
    quantize_linear QuantizeLinear(x: One<T1>, y_scale: One<T2>, y_zero_point: Opt<T3>) -> (y: One<T3>) {
        /// Axis of scales.
        axis: i64 = 1,
        /// Positions of a block; 0 when scales are not per block.
        block_size: i64 = 0,
        /// Result type; by default that of the zero point, else `u8`.
        output_dtype: Option<DType> = None,
        /// Type in which the division is rounded; by default that of the scale. Types other than 16-bit floats divide in `f32`, integers
        /// in `f64`.
        precision: Option<DType> = None,
        /// Whether 8-bit floats saturate.
        saturate: bool = true,
    } where T1: SOURCE, T2: SCALE, T3: QUANTIZED;
}

/// Rounding of the quotient.
fn rounding(precision: DType) -> fn(f64) -> f64 {
    match precision {
        DType::F16 => |v| f16::from_f32(v as f32).to_f64(),
        DType::BF16 => |v| bf16::from_f32(v as f32).to_f64(),
        DType::F64 | DType::I32 => |v| v,
        _ => |v| f64::from(v as f32),
    }
}

/// Nearest integer after adding the zero point, within a range; NaN gives the lower end.
fn saturated(v: f64, zero: f64, low: f64, high: f64) -> f64 {
    let q = v.round_ties_even() + zero;
    if q >= low { q.min(high) } else { low }
}

impl QuantizeLinear {
    fn target(&self, zero_point: Option<DType>) -> Result<DType, OpError> {
        match (zero_point, self.output_dtype) {
            (Some(z), Some(o)) if z != o => {
                Err(OpError::attr(format!("output_dtype {o} differs from the zero point's {z}")))
            }
            (z, o) => {
                let dtype = z.or(o).unwrap_or(DType::U8);
                let known = QUANTIZED.contains(dtype);
                if known { Ok(dtype) } else { Err(OpError::attr(format!("{dtype} is no quantized type"))) }
            }
        }
    }
    fn quantize(&self, x: &Tensor, scale: &Tensor, zero: Option<&Tensor>) -> Result<Tensor, OpError> {
        let target = self.target(zero.map(Tensor::dtype))?;
        let granularity = Granularity::new(x.shape(), scale.shape(), self.axis, self.block_size)?;
        let precision = self.precision.unwrap_or(scale.dtype());
        let p = Parameters {
            round: rounding(precision),
            plain: x.dtype() == DType::F32 && scale.dtype() == DType::F32 && precision == DType::F32,
            scales: scale.to_f64s()?,
            zeros: zero.map(Tensor::to_f64s).transpose()?,
            granularity,
        };
        if p.zeros.as_ref().is_some_and(|z| z.len() != p.scales.len()) {
            return Err(OpError::shape("scale and zero point differ in shape"));
        }
        match target.int_range() {
            Some((low, high)) => p.integers(x, target, low as f64, high as f64),
            None => p.floats(x, target, self.saturate),
        }
    }
}

/// Scales and zero points with what the division needs.
struct Parameters {
    round: fn(f64) -> f64,
    /// Whether everything is `f32`.
    plain: bool,
    scales: Vec<f64>,
    zeros: Option<Vec<f64>>,
    granularity: Granularity,
}

impl Parameters {
    fn zero(&self, i: usize) -> f64 {
        self.zeros.as_ref().map_or(0.0, |z| z[i])
    }
    /// Quotients of a part of the data that starts at `start`, given to `put`.
    fn each<U>(&self, x: &[f64], run: Run, start: usize, part: &mut [U], put: impl Fn(f64, f64) -> U) {
        for (i, (o, v)) in part.iter_mut().zip(&x[start..]).enumerate() {
            let at = run.scale + i * run.step;
            *o = put((self.round)((self.round)(*v) / (self.round)(self.scales[at])), self.zero(at));
        }
    }
    fn integers(&self, x: &Tensor, target: DType, low: f64, high: f64) -> Result<Tensor, OpError> {
        if self.plain && target == DType::I8 {
            let out = self.bytes(x, |q, z| (q + z).clamp(low as f32, high as f32) as i8)?;
            return Ok(Tensor::from_vec(x.shape(), out));
        }
        if self.plain && target == DType::U8 {
            let out = self.bytes(x, |q, z| (q + z).clamp(low as f32, high as f32) as u8)?;
            return Ok(Tensor::from_vec(x.shape(), out));
        }
        let data = x.to_f64s()?;
        let mut out = zeros::<i64>(data.len())?;
        self.granularity.for_runs(&mut out, |run, start, part| {
            self.each(&data, run, start, part, |q, z| saturated(q, z, low, high) as i64);
        });
        Ok(Tensor::from_wide(target, x.shape(), &Wide::I64(out), true)?)
    }
    /// `f32` data to bytes: `put` gets the rounded quotient (NaN replaced by minus infinity) and the zero point.
    fn bytes<B: bytemuck::Zeroable + Copy + Send>(
        &self,
        x: &Tensor,
        put: impl Fn(f32, f32) -> B + Sync + Send,
    ) -> Result<Vec<B>, OpError> {
        let data = x.view::<f32>()?;
        let scales: Vec<f32> = self.scales.iter().map(|s| *s as f32).collect();
        let mut out = zeros::<B>(data.len())?;
        self.granularity.for_runs(&mut out, |run, start, part| {
            let quotient = |v: f32, s: f32| {
                let q = (v / s).round_ties_even();
                if q.is_nan() { f32::NEG_INFINITY } else { q }
            };
            let source = &data[start..start + part.len()];
            if run.step == 0 {
                let (s, z) = (scales[run.scale], self.zero(run.scale) as f32);
                part.iter_mut().zip(source).for_each(|(o, v)| *o = put(quotient(*v, s), z));
            } else {
                for (i, (o, v)) in part.iter_mut().zip(source).enumerate() {
                    let at = run.scale + i;
                    *o = put(quotient(*v, scales[at]), self.zero(at) as f32);
                }
            }
        });
        Ok(out)
    }
    fn floats(&self, x: &Tensor, target: DType, saturate: bool) -> Result<Tensor, OpError> {
        let data = x.to_f64s()?;
        let mut out = zeros::<f32>(data.len())?;
        self.granularity.for_runs(&mut out, |run, start, part| {
            self.each(&data, run, start, part, |q, z| (q + z) as f32);
        });
        Ok(Tensor::from_wide(target, x.shape(), &Wide::F32(out), saturate)?)
    }
}

impl Semantics for QuantizeLinear {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let zero = cx.has(2).then(|| cx.dtype(2)).transpose()?;
        let target = self.target(zero)?;
        check(cx, self.axis, self.block_size)?;
        Ok(vec![TensorType { dtype: target, shape: cx.shape(0)?.cloned() }.into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        one(self.quantize(cx.tensor(0)?, cx.tensor(1)?, cx.opt(2)?)?)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], outputs: usize) -> Expanded {
        expansions::quantize_linear(self, b, inputs, outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, f32s, infer, shapes};

    #[test]
    fn ties_saturation_and_nan() {
        let x = f32s(&[7], &[1.0, 3.0, -1.0, 1000.0, -1000.0, f32::NAN, f32::INFINITY]);
        let (s, z) = (f32s(&[], &[2.0]), Tensor::scalar(5i8));
        let y = eval(&QuantizeLinear::default(), &[Some(&x), Some(&s), Some(&z)]).expect("fits");
        assert_eq!(y[0], Tensor::from_vec(&[7], vec![5i8, 7, 5, 127, -128, -128, 127]));
        let half = x.cast(DType::F16, false).expect("cast");
        let slow = eval(&QuantizeLinear::default(), &[Some(&half), Some(&s), Some(&z)]).expect("fits");
        assert_eq!(slow[0], y[0]);
    }

    #[test]
    fn axes_blocks_and_packed_types() {
        let x = f32s(&[2, 3], &[1., 2., 3., 4., 5., -6.]);
        let s = f32s(&[3], &[1., 2., 4.]);
        let y = eval(&QuantizeLinear::default(), &[Some(&x), Some(&s), None]).expect("fits");
        assert_eq!(y[0], Tensor::from_vec(&[2, 3], vec![1u8, 1, 1, 4, 2, 0]));
        let op = QuantizeLinear { block_size: 2, output_dtype: Some(DType::I4), ..QuantizeLinear::default() };
        let s = f32s(&[2, 2], &[1., 2., 0.5, 1.]);
        let y = eval(&op, &[Some(&x), Some(&s), None]).expect("fits");
        assert_eq!(y[0].to_i64s().expect("ints"), [1, 2, 2, 7, 7, -6]);
        let op = QuantizeLinear { output_dtype: Some(DType::F8E4M3FN), ..QuantizeLinear::default() };
        let y = eval(&op, &[Some(&f32s(&[2], &[1e4, 3.0])), Some(&f32s(&[], &[2.0])), None]).expect("fits");
        assert_eq!(y[0].to_f64s().expect("floats"), [448.0, 1.5]);
    }

    #[test]
    fn the_division_is_rounded_to_its_precision() {
        // 2049 / 2 is 1024.5; in f16, 2049 rounds to 2048 first.
        let (x, s) = (f32s(&[1], &[2049.0]), f32s(&[], &[2.0]));
        let wide = QuantizeLinear { output_dtype: Some(DType::I16), ..QuantizeLinear::default() };
        let y = eval(
            &QuantizeLinear { precision: Some(DType::F16), ..wide.clone() },
            &[Some(&f32s(&[1], &[2051.0])), Some(&s), None],
        );
        assert_eq!(y.expect("fits")[0].to_i64s().expect("ints"), [1026]);
        assert_eq!(
            eval(&wide, &[Some(&x), Some(&s), None]).expect("fits")[0].to_i64s().expect("ints"),
            [1024]
        );
    }

    #[test]
    fn types() {
        let op = QuantizeLinear::default();
        assert_eq!(
            infer(&op, &shapes(&["f32[N, 4]", "f32[4]", "i16[4]"])).expect("ok")[0].to_string(),
            "i16[N, 4]"
        );
        assert!(infer(&op, &shapes(&["f32[2, 4]", "f32[3]", "_"])).is_err());
        assert!(infer(&op, &shapes(&["f32[2, 4]", "f32[4]", "i8[1]"])).is_err());
        let bad = QuantizeLinear { output_dtype: Some(DType::F32), ..op };
        assert!(infer(&bad, &shapes(&["f32[2, 4]", "f32[]", "_"])).is_err());
    }
}
