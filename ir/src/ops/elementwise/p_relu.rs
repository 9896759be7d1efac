//! `p_relu`
use super::map::number_zip;
use crate::dtype::{DType, DTypeSet, FLOATS};
use crate::infer::{InferCx, broadcast};
use crate::op::OpError;
use crate::types::{TensorType, Type};

/// `FLOATS` and the wider integers.
const SLOPED: DTypeSet = FLOATS.or(DTypeSet::of(&[DType::I32, DType::I64, DType::U32, DType::U64]));

crate::op! {
    /// `y = x` where `x >= 0`, else `slope * x`; `slope` is broadcast to the shape of `x`.
    p_relu PRelu(x: One<T>, slope: One<T>) -> (y: One<T>) {} where T: SLOPED;
    infer = infer,
    eval = |_: &PRelu, cx| number_zip(
        cx,
        |x, s| if x < 0.0 { s * x } else { x },
        |x, s| if x < 0.0 { s * x } else { x },
        |x, s| if x < 0 { s.wrapping_mul(x) } else { x },
        |x, _| x,
    );
}

fn infer(_: &PRelu, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let x = cx.tensor(0)?;
    let (Some(shape), Some(slope)) = (&x.shape, cx.shape(1)?) else { return Ok(vec![x.clone().into()]) };
    let joined = broadcast(shape, slope)?;
    let fits = joined.len() == shape.len() && joined.iter().zip(shape).all(|(j, d)| !j.surely_differs(d));
    if !fits {
        let slope = TensorType::new(x.dtype, slope.clone());
        return Err(OpError::shape(format!("slope {slope} does not broadcast to {x}")));
    }
    Ok(vec![x.clone().into()])
}
