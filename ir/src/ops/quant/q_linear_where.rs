//! `q_linear_where`
use super::requantize::{Affine, check_scalars};
use super::tables::restep;
use crate::builder::Builder;
use crate::dtype::{BOOL_ONLY, F32_ONLY};
use crate::eval::{EvalCx, Value};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::{InferCx, broadcast};
use crate::op::{OpError, Semantics};
use crate::ops::elementwise::select::Where;
use crate::ops::linear::mat_mul_integer::BYTES;
use crate::types::{TensorType, Type};

crate::op! {
    /// The element of `x` where `condition` holds, else that of `y`, each brought to the result's scale and zero point:
    /// `saturate(round((x - x_zero_point) * x_scale / z_scale) + z_zero_point)` in `f32`. All three broadcast.
    q_linear_where QLinearWhere(
        condition: One<B>, x: One<T>, x_scale: One<S>, x_zero_point: One<T>, y: One<T>, y_scale: One<S>, y_zero_point: One<T>,
        z_scale: One<S>, z_zero_point: One<T>,
    ) -> (z: One<T>) {} where B: BOOL_ONLY, T: BYTES, S: F32_ONLY;
}

impl Semantics for QLinearWhere {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        check_scalars(cx, &[2, 3, 5, 6, 7, 8])?;
        let shape = match (cx.shape(0)?, cx.shape(1)?, cx.shape(4)?) {
            (Some(c), Some(x), Some(y)) => Some(broadcast(c, &broadcast(x, y)?)?),
            _ => None,
        };
        Ok(vec![TensorType::new(cx.dtype(1)?, shape).into()])
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _: usize) -> Expanded {
        super::stepwise::select(b, inputs)
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let to = Affine::of(&cx, 7)?;
        let x = restep(cx.tensor(1)?, Affine::of(&cx, 2)?, to)?;
        let y = restep(cx.tensor(4)?, Affine::of(&cx, 5)?, to)?;
        let condition = cx.take(0)?;
        let inputs = [condition, x, y].into_iter().map(|t| Some(Value::Tensor(t))).collect();
        Where {}.eval(EvalCx { inputs, ..cx })
    }
}
