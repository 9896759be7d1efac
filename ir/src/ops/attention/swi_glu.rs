//! `swi_glu`
use super::steps::Steps;
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::{DType, FLOATS};
use crate::expand;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::elementwise::activation::Sigmoid;
use crate::ops::elementwise::arithmetic::Mul;
use crate::types::{Shape, TensorType, Type};

crate::op! {
    /// `y = swish(a) * b`: a gate and what it lets through, of one shape.
    swi_glu SwiGlu(a: One<T>, b: One<T>) -> (y: One<T>) {
        /// Scale of the sigmoid's argument.
        alpha: f32 = 1.0,
    } where T: FLOATS;
    infer = |_: &SwiGlu, cx: &InferCx<'_>| infer(cx), eval = expand::eval, expand = expand;
}

fn infer(cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let (a, b) = (cx.tensor(0)?, cx.tensor(1)?);
    let same =
        |x: &Shape, y: &Shape| x.len() == y.len() && !x.iter().zip(y).any(|(x, y)| x.surely_differs(y));
    if let (Some(x), Some(y)) = (&a.shape, &b.shape)
        && !same(x, y)
    {
        return Err(OpError::shape(format!(
            "the gate is {a}, what it lets through {b}; both need one shape"
        )));
    }
    let met = Type::from(a.clone()).meet(&b.clone().into());
    Ok(vec![met.unwrap_or_else(|| TensorType::unranked(a.dtype).into())])
}

fn expand(
    op: &SwiGlu,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _outputs: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let [Some(gate), Some(value)] = *inputs else { return Ok(None) };
    let mut s = Steps { b };
    let dtype = s.dtype(gate);
    let narrow = matches!(dtype, DType::F16 | DType::BF16);
    let wide = s.cast(gate, if narrow { DType::F32 } else { dtype })?;
    let scaled =
        if op.alpha.to_bits() == 1f32.to_bits() { wide } else { s.scaled(wide, f64::from(op.alpha))? };
    let open = s.op(Sigmoid {}, &[scaled])?;
    let swish = s.op(Mul {}, &[wide, open])?;
    let swish = s.cast(swish, dtype)?;
    Ok(Some(vec![s.op(Mul {}, &[swish, value])?]))
}
