//! What the poolings share.
use super::window::{Axes, Window, sizes_of, split_sizes};
use crate::infer::InferCx;
use crate::kernel::{ConvGeometry, KernelError};
use crate::op::OpError;
use crate::ops::linear::compute::{
    Compute, count, from_channels_first, layout_sizes, to_channels_first, zeros,
};
use crate::ops::words::Layout;
use crate::tensor::Tensor;
use crate::types::TensorType;

/// Largest extent of a window: only padding could fill a larger one, one element at a time.
const MAX_WINDOW: usize = 1 << 24;

/// Attributes of a pooling.
pub(super) struct Pool<'a> {
    /// The window but its sizes.
    pub window: Window<'a>,
    /// Sizes of the window.
    pub kernel_shape: &'a [i64],
    /// Layout of the data.
    pub layout: Layout,
}

impl Pool<'_> {
    fn kernel(&self, rank: usize) -> Result<Vec<usize>, OpError> {
        if self.kernel_shape.is_empty() {
            return Err(OpError::attr("a pooling needs kernel_shape"));
        }
        let kernel = sizes_of("kernel_shape", self.kernel_shape, rank, 1, 1)?;
        if kernel.iter().any(|k| *k > MAX_WINDOW) {
            return Err(OpError::attr(format!("kernel_shape {kernel:?} exceeds {MAX_WINDOW}")));
        }
        Ok(kernel)
    }
    /// Geometry over spatial axes of these sizes.
    pub fn geometry(&self, spatial: &[usize]) -> Result<ConvGeometry, OpError> {
        self.window.geometry(spatial, &self.kernel(spatial.len())?)
    }
    /// Runs a kernel `(geometry, ceil_mode, planes, x, out)` of floats on operand `x`.
    pub fn floats<T: Compute>(
        &self,
        x: &Tensor,
        kernel: impl Fn(&ConvGeometry, bool, usize, &[T], &mut [T]) -> Result<(), KernelError>,
    ) -> Result<Tensor, OpError> {
        let (batch, channels, spatial) = split_sizes(x.shape(), self.layout)?;
        let g = self.geometry(&spatial)?;
        let mut shape = vec![batch, channels];
        shape.extend(g.pooled_shape(self.window.partial())?);
        let source = [&[batch, channels], spatial.as_slice()].concat();
        let data = to_channels_first(T::read(x)?, &source, self.layout);
        let mut out = zeros::<T>(count(&shape)?)?;
        if !out.is_empty() {
            kernel(&g, self.window.partial(), count(&shape[..2])?, &data, &mut out)?;
        }
        let out = from_channels_first(out, &shape, self.layout);
        Ok(T::tensor(x.dtype(), &layout_sizes(&shape, self.layout), out)?)
    }
}

/// Type of a pooling's result.
pub(super) fn pool_type(cx: &InferCx<'_>, pool: &Pool<'_>) -> Result<TensorType, OpError> {
    let x = cx.tensor(0)?;
    let Some(shape) = &x.shape else {
        pool.kernel(pool.kernel_shape.len())?;
        return Ok(TensorType::of_rank(x.dtype, pool.kernel_shape.len() + 2));
    };
    let axes = Axes::of(shape, pool.layout)?;
    let spatial = pool.window.output(&axes.spatial, &pool.kernel(shape.len() - 2)?)?;
    let out = Axes { spatial, ..axes };
    Ok(TensorType::new(x.dtype, out.shape(pool.layout)))
}
