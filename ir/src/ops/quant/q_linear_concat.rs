//! `q_linear_concat`
use super::requantize::{Affine, check_scalars};
use super::tables::restep;
use crate::builder::Builder;
use crate::dtype::{DType, DTypeSet, F32_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::linear::mat_mul_integer::BYTES;
use crate::ops::movement::concat::joined_type;
use crate::ops::movement::pick::join;
use crate::tensor::Tensor;
use crate::types::Type;

const TRIPLES: DTypeSet = BYTES.or(F32_ONLY);

crate::op! {
    /// Joins quantized tensors along one axis, each brought to the result's scale and zero point first:
    /// `saturate(round((x - zero_point) * scale / y_scale) + y_zero_point)` in `f32`. `inputs` are triples of data, scale and zero point.
    /// Unlike in ONNX Runtime, `axis` has a default.
    q_linear_concat QLinearConcat(y_scale: One<S>, y_zero_point: One<T>, inputs: Many<AnyV>) -> (y: One<T>) {
        /// Axis they are joined along; negative counts from the end.
        axis: i64 = 0,
    } where T: BYTES, S: F32_ONLY, AnyV: TRIPLES;
}

impl Semantics for QLinearConcat {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let dtype = cx.dtype(1)?;
        if cx.len() < 5 || !(cx.len() - 2).is_multiple_of(3) {
            return Err(OpError::operand("`q_linear_concat` joins triples of data, scale and zero point"));
        }
        check_scalars(cx, &[0, 1])?;
        for i in (2..cx.len()).step_by(3) {
            if cx.dtype(i)? != dtype || cx.dtype(i + 1)? != DType::F32 || cx.dtype(i + 2)? != dtype {
                let m = format!("operands {i} to {} are not {dtype}, f32, {dtype}", i + 2);
                return Err(OpError::operand(m));
            }
            check_scalars(cx, &[i + 1, i + 2])?;
        }
        joined_type(cx, (2..cx.len()).step_by(3), self.axis, dtype)
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::stepwise::concat(self, b, inputs)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let to = Affine::of(&cx, 0)?;
        let parts = (2..cx.len())
            .step_by(3)
            .map(|i| restep(cx.tensor(i)?, Affine::of(&cx, i + 1)?, to))
            .collect::<Result<Vec<Tensor>, _>>()?;
        let all: Vec<&Tensor> = parts.iter().collect();
        one(join(&all, resolve_axis(self.axis, all.first().map_or(0, |t| t.rank()))?)?)
    }
}
