//! `leaky_relu`
use crate::dtype::FLOATS;

crate::op! {
    /// `y = x` where `x >= 0`, else `alpha * x`.
    leaky_relu LeakyRelu(x: One<T>) -> (y: One<T>) {
        /// Slope of the negative part.
        alpha: f32 = 0.01,
    } where T: FLOATS;
    infer = |_: &LeakyRelu, cx: &crate::infer::InferCx<'_>| Ok(vec![cx.ty(0)?.clone()]),
    eval = |op: &LeakyRelu, cx: crate::eval::EvalCx<'_>| {
        let x = cx.tensor(0)?;
        let values = x.to_f64s()?.into_iter().map(|v| if v >= 0.0 { v } else { f64::from(op.alpha) * v }).collect();
        let wide = crate::tensor::convert::Wide::F64(values);
        crate::eval::one(crate::tensor::Tensor::from_wide(x.dtype(), x.shape(), &wide, false)?)
    };
}
