//! `cast`, `cast_like`
use super::broadcast::vectorized;
use super::expansions;
use super::typing::{in_range, map_contents};
use crate::attr::Word;
use crate::builder::Builder;
use crate::dim::SymInt;
use crate::dtype::{DType, DTypeSet, PACKED};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::{Content, InferCx};
use crate::op::{OpError, Semantics};
use crate::tensor::{Element, Storage, Tensor};
use crate::types::{TensorType, Type};
use half::f16;
use half::slice::HalfFloatSliceExt;

/// Everything but complex numbers.
const CONVERTIBLE: DTypeSet = {
    use DType::{
        BF16, Bool, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, F16, F32, F64, I8, I16, I32, I64,
        String, U8, U16, U32, U64,
    };
    PACKED.or(DTypeSet::of(&[
        F32, F64, F16, BF16, F8E4M3FN, F8E4M3FNUZ, F8E5M2, F8E5M2FNUZ, F8E8M0, I8, I16, I32, I64, U8, U16,
        U32, U64, Bool, String,
    ]))
};

/// How numbers become powers of two in the type `f8e8m0`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RoundMode {
    /// To the next larger one.
    #[default]
    Up,
    /// To the next smaller one.
    Down,
    /// To the nearest one, from the middle to the larger.
    Nearest,
}

impl Word for RoundMode {
    const KIND: &'static str = "round_mode";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Up, "up"), (Self::Down, "down"), (Self::Nearest, "nearest")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// Converts each element: integers wrap, floats are rounded to nearest even, or truncated when they become integers; see the
    /// module of conversions.
    cast Cast(input: One<T1>) -> (output: One<T2>) {
        /// How `f8e8m0` is rounded.
        round_mode: RoundMode = RoundMode::Up,
        /// Whether 8-bit floats out of range become the largest finite number.
        saturate: bool = true,
        /// Element type of the result.
        to: DType = DType::F32,
    } where T1: CONVERTIBLE, T2: CONVERTIBLE;
}
crate::op! {
    /// [`Cast`] to the element type of `target_type`.
    cast_like CastLike(input: One<T1>, target_type: One<T2>) -> (output: One<T2>) {
        /// How `f8e8m0` is rounded.
        round_mode: RoundMode = RoundMode::Up,
        /// Whether 8-bit floats out of range become the largest finite number.
        saturate: bool = true,
    } where T1: CONVERTIBLE, T2: CONVERTIBLE;
}

impl Semantics for Cast {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        if !CONVERTIBLE.contains(self.to) {
            return Err(OpError::attr(format!("`cast` cannot give {}", self.to)));
        }
        Ok(vec![TensorType::new(self.to, cx.shape(0)?.cloned()).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        one(convert(cx.tensor(0)?, self.to, self.saturate, self.round_mode)?)
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        converted(cx, self.to)
    }
    fn lazy(&self, inputs: &[Option<&Tensor>]) -> Option<Tensor> {
        let x = inputs.first().copied().flatten()?;
        if self.to == DType::F8E8M0 { None } else { x.lazy_cast(self.to, self.saturate).ok() }
    }
}

impl Semantics for CastLike {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        Ok(vec![TensorType::new(cx.dtype(1)?, cx.shape(0)?.cloned()).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let to = cx.tensor(1)?.dtype();
        one(convert(cx.tensor(0)?, to, self.saturate, self.round_mode)?)
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        cx.dtype(1).map_or_else(|_| vec![], |to| converted(cx, to))
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        expansions::cast_like(self, b, inputs)
    }
}

/// Integers and truth values that stay what they are, or become truth values.
fn converted(cx: &InferCx<'_>, to: DType) -> Vec<Option<Content>> {
    if to == DType::Bool {
        let truth = |v: &SymInt| match v.as_const() {
            Some(c) => Some(SymInt::from(i64::from(c != 0))),
            None => v.sub(&1.into())?.is_non_negative().then(|| 1.into()),
        };
        return map_contents(cx, to, |[x]| truth(x?));
    }
    if !to.is_int() {
        return vec![];
    }
    map_contents::<1>(cx, to, |[x]| in_range(to, x?.clone()))
}

fn convert(x: &Tensor, to: DType, saturate: bool, mode: RoundMode) -> Result<Tensor, OpError> {
    if let Some(fast) = convert_fast(x, to)? {
        return Ok(fast);
    }
    if to != DType::F8E8M0 || x.dtype() == to {
        return Ok(x.cast(to, saturate)?);
    }
    let numbers = x.cast(DType::F64, saturate)?;
    let codes: Vec<u8> = numbers.view::<f64>()?.iter().map(|v| power_code(*v, saturate, mode)).collect();
    Ok(Tensor::from_bytes(to, x.shape(), codes.into(), None)?)
}

/// The conversions that models do often, where they can be vector code and no element needs the rules for what is out of range.
fn convert_fast(x: &Tensor, to: DType) -> Result<Option<Tensor>, OpError> {
    if !matches!(x.storage(), Storage::Bytes(..) | Storage::Owned(_)) {
        return Ok(None);
    }
    Ok(match (x.dtype(), to) {
        (DType::F32, DType::I64) => truncated(x, 9.2e18, |v| v as i64)?,
        (DType::F32, DType::I32) => truncated(x, 2.1e9, |v| v as i32)?,
        (DType::F32, DType::F16) => {
            let values = x.view::<f32>()?;
            let mut halves = vec![f16::ZERO; values.len()];
            halves.convert_from_f32_slice(&values);
            Some(Tensor::from_vec(x.shape(), halves))
        }
        (DType::F16, DType::F32) => {
            let mut values = vec![0f32; x.len()];
            x.view::<f16>()?.convert_to_f32_slice(&mut values);
            Some(Tensor::from_vec(x.shape(), values))
        }
        _ => None,
    })
}

/// `f` of each element when all magnitudes are below `limit`.
fn truncated<T: Element>(x: &Tensor, limit: f32, f: impl Fn(f32) -> T) -> Result<Option<Tensor>, OpError> {
    let values = x.view::<f32>()?;
    let inside = vectorized(|| values.iter().fold(true, |all, v| all & (v.abs() < limit)));
    Ok(inside.then(|| {
        let converted = vectorized(|| values.iter().map(|v| f(*v)).collect());
        Tensor::from_vec(x.shape(), converted)
    }))
}

/// Code of `v` as a power of two with bias 127 (ONNX `Cast`, table of special values). NaN for negative numbers.
fn power_code(v: f64, saturate: bool, mode: RoundMode) -> u8 {
    const NAN: u8 = 0xff;
    if v.is_nan() || v < 0.0 {
        return NAN;
    }
    // Without the sign of -0.
    let bits = v.abs().to_bits();
    let fraction = bits & ((1 << 52) - 1);
    let up = match mode {
        RoundMode::Up => fraction != 0,
        RoundMode::Down => false,
        RoundMode::Nearest => fraction >= 1 << 51,
    };
    let code = (bits >> 52) as i64 - 1023 + 127 + i64::from(up);
    match u8::try_from(code) {
        Ok(c) if c < NAN => c,
        _ if !saturate => NAN,
        _ => {
            if code < 0 {
                0
            } else {
                NAN - 1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two() {
        let code = |v, mode| power_code(v, true, mode);
        // 2^0 has code 127.
        assert_eq!(code(1.0, RoundMode::Up), 127);
        assert_eq!((code(1.1, RoundMode::Up), code(1.1, RoundMode::Down)), (128, 127));
        assert_eq!((code(1.5, RoundMode::Nearest), code(1.49, RoundMode::Nearest)), (128, 127));
        assert_eq!((code(0.0, RoundMode::Up), code(f64::INFINITY, RoundMode::Up)), (0, 0xfe));
        assert_eq!(code(-0.0, RoundMode::Up), 0);
        assert_eq!((code(1e300, RoundMode::Up), code(1e-300, RoundMode::Up)), (0xfe, 0));
        for v in [0.0, f64::INFINITY, 1e300, 1e-300, f64::NAN, -1.0] {
            assert_eq!(power_code(v, false, RoundMode::Nearest), 0xff, "{v}");
        }
    }
}
