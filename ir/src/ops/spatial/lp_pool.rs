//! `lp_pool`
use super::pooling::{Pool, pool_type};
use super::window::Window;
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::kernel::pool::lp_pool;
use crate::op::{OpError, Semantics};
use crate::ops::words::{AutoPad, Layout};
use crate::types::Type;

crate::op! {
    /// `(sum |x|^p)^(1/p)` over each window; padding counts as zero.
    lp_pool LpPool(x: One<T>) -> (y: One<T>) {
        /// How padding is chosen when `pads` does not say.
        auto_pad: AutoPad = AutoPad::NotSet,
        /// Whether a last partial window counts.
        ceil_mode: bool = false,
        /// Steps between the elements of a window; empty is 1.
        dilations: Vec<i64> = vec![],
        /// Sizes of the window.
        kernel_shape: Vec<i64> = vec![],
        /// Order of the norm, at least 1.
        p: i64 = 2,
        /// Padding: all beginnings, then all ends; empty is none.
        pads: Vec<i64> = vec![],
        /// Steps between windows; empty is 1.
        strides: Vec<i64> = vec![],
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: FLOATS;
}

/// The order of a norm.
///
/// # Errors
/// When it is less than 1 or absurdly large.
pub(super) fn order(p: i64) -> Result<u32, OpError> {
    let valid = u32::try_from(p).ok().filter(|p| *p >= 1 && i32::try_from(*p).is_ok());
    valid.ok_or_else(|| OpError::attr(format!("p {p} is no order of a norm")))
}

impl LpPool {
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
}

impl Semantics for LpPool {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        order(self.p)?;
        Ok(vec![pool_type(cx, &self.pool())?.into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, pool, p) = (cx.tensor(0)?, self.pool(), order(self.p)?);
        one(if x.dtype() == DType::F64 {
            pool.floats::<f64>(x, |g, ceil, planes, x, out| lp_pool(g, ceil, p, planes, x, out))?
        } else {
            pool.floats::<f32>(x, |g, ceil, planes, x, out| lp_pool(g, ceil, p, planes, x, out))?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, f32s};

    #[test]
    fn norms_of_windows() {
        let x = f32s(&[1, 1, 3], &[3., -4., 12.]);
        let op = LpPool { kernel_shape: vec![2], pads: vec![1, 0], ..LpPool::default() };
        assert_near(&eval(&op, &[Some(&x)]).expect("fits")[0], &[1, 1, 3], &[3., 5., 160f64.sqrt()]);
        let op = LpPool { p: 1, ..op };
        assert_near(&eval(&op, &[Some(&x)]).expect("fits")[0], &[1, 1, 3], &[3., 7., 16.]);
        assert!(eval(&LpPool { p: 0, ..op }, &[Some(&x)]).is_err());
    }
}
