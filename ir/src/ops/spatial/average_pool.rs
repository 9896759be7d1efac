//! `average_pool`
use super::pooling::{Pool, pool_type};
use super::window::Window;
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::kernel::pool::average_pool;
use crate::op::{OpError, Semantics};
use crate::ops::words::{AutoPad, Layout};
use crate::tensor::Tensor;
use crate::types::Type;

crate::op! {
    /// Mean of each window: over its elements inside the data, or inside the padded data.
    average_pool AveragePool(x: One<T>) -> (y: One<T>) {
        /// How padding is chosen when `pads` does not say.
        auto_pad: AutoPad = AutoPad::NotSet,
        /// Whether a last partial window counts.
        ceil_mode: bool = false,
        /// Whether padding counts as elements.
        count_include_pad: bool = false,
        /// Steps between the elements of a window; empty is 1.
        dilations: Vec<i64> = vec![],
        /// Sizes of the window.
        kernel_shape: Vec<i64> = vec![],
        /// Padding: all beginnings, then all ends; empty is none.
        pads: Vec<i64> = vec![],
        /// Steps between windows; empty is 1.
        strides: Vec<i64> = vec![],
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: FLOATS;
}

impl AveragePool {
    fn pool(&self) -> Pool<'_> {
        let window = Window {
            strides: &self.strides,
            dilations: &self.dilations,
            pads: &self.pads,
            auto_pad: self.auto_pad,
            group: 1,
            ceil_mode: self.ceil_mode,
        };
        Pool { window, kernel_shape: &self.kernel_shape, layout: self.layout }
    }
    /// Means of the windows of `x`.
    pub(crate) fn means(&self, x: &Tensor) -> Result<Tensor, OpError> {
        let (pool, pad) = (self.pool(), self.count_include_pad);
        if x.dtype() == DType::F64 {
            pool.floats::<f64>(x, |g, ceil, planes, x, out| average_pool(g, (ceil, pad), planes, x, out))
        } else {
            pool.floats::<f32>(x, |g, ceil, planes, x, out| average_pool(g, (ceil, pad), planes, x, out))
        }
    }
}

impl Semantics for AveragePool {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        Ok(vec![pool_type(cx, &self.pool())?.into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        one(self.means(cx.tensor(0)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, iota};

    #[test]
    fn padding_counts_when_asked_for() {
        let op =
            AveragePool { kernel_shape: vec![3], pads: vec![1, 1], strides: vec![2], ..Default::default() };
        let x = iota(&[1, 1, 4]);
        assert_near(&eval(&op, &[Some(&x)]).expect("fits")[0], &[1, 1, 2], &[0.5, 2.0]);
        let op = AveragePool { count_include_pad: true, ceil_mode: true, ..op };
        assert_near(&eval(&op, &[Some(&x)]).expect("fits")[0], &[1, 1, 3], &[1. / 3., 2.0, 1.5]);
    }
}
