//! `max_pool`
use super::pooling::{Pool, pool_type};
use super::window::{Window, split_sizes};
use crate::dtype::{DType, DTypeSet, FLOATS};
use crate::eval::{EvalCx, Value};
use crate::infer::InferCx;
use crate::kernel::pool_max::{Extremum, StorageOrder, max_pool, max_pool_indices};
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{
    Compute, count, from_channels_first, layout_sizes, to_channels_first, zeros,
};
use crate::ops::words::{AutoPad, Layout};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};
use std::borrow::Cow;

const POOLED: DTypeSet = FLOATS.or(DTypeSet::of(&[DType::I8, DType::U8]));

crate::op! {
    /// Largest element of each window; padding never wins, NaN does. `indices` are the elements' positions in the whole of `x`,
    /// counted in channels-first order whatever the layout.
    max_pool MaxPool(x: One<T>) -> (y: One<T>, indices: Opt<I>) {
        /// How padding is chosen when `pads` does not say.
        auto_pad: AutoPad = AutoPad::NotSet,
        /// Whether a last partial window counts.
        ceil_mode: bool = false,
        /// Steps between the elements of a window; empty is 1.
        dilations: Vec<i64> = vec![],
        /// Sizes of the window.
        kernel_shape: Vec<i64> = vec![],
        /// Padding: all beginnings, then all ends; empty is none.
        pads: Vec<i64> = vec![],
        /// Order that `indices` count the spatial positions in: 0 the last axis first, 1 the first axis first.
        storage_order: i64 = 0,
        /// Steps between windows; empty is 1.
        strides: Vec<i64> = vec![],
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: POOLED;
}

/// Shape, largest elements and their positions.
type Found<T> = (Vec<usize>, Vec<T>, Vec<i64>);

impl MaxPool {
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
    fn order(&self) -> Result<StorageOrder, OpError> {
        match self.storage_order {
            0 => Ok(StorageOrder::RowMajor),
            1 => Ok(StorageOrder::ColumnMajor),
            other => Err(OpError::attr(format!("storage_order {other} is neither 0 nor 1"))),
        }
    }
    fn compute<T: Extremum + bytemuck::Zeroable>(
        &self,
        shape: &[usize],
        x: Cow<'_, [T]>,
        indices: bool,
    ) -> Result<Found<T>, OpError> {
        let (batch, channels, spatial) = split_sizes(shape, self.layout)?;
        let pool = self.pool();
        let (g, ceil) = (pool.geometry(&spatial)?, pool.window.partial());
        let planes = count(&[batch, channels])?;
        let mut result = vec![batch, channels];
        result.extend(g.pooled_shape(ceil)?);
        let source = [&[batch, channels], spatial.as_slice()].concat();
        let x = to_channels_first(x, &source, self.layout);
        let n = count(&result)?;
        let (mut out, mut found) = (zeros::<T>(n)?, zeros::<i64>(if indices { n } else { 0 })?);
        if n > 0 && indices {
            max_pool_indices(&g, ceil, self.order()?, planes, &x, &mut out, &mut found)?;
        } else if n > 0 {
            max_pool(&g, ceil, planes, &x, &mut out)?;
        }
        let out = from_channels_first(out, &result, self.layout);
        let found = if indices { from_channels_first(found, &result, self.layout) } else { found };
        Ok((layout_sizes(&result, self.layout), out, found))
    }
    fn floats<T: Compute + Extremum>(
        &self,
        x: &Tensor,
        indices: bool,
    ) -> Result<(Tensor, Vec<i64>), OpError> {
        let (shape, out, found) = self.compute::<T>(x.shape(), T::read(x)?, indices)?;
        Ok((T::tensor(x.dtype(), &shape, out)?, found))
    }
}

impl Semantics for MaxPool {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        self.order()?;
        let ty = pool_type(cx, &self.pool())?;
        let indices = TensorType::new(DType::I64, ty.shape.clone());
        Ok(vec![ty.into(), indices.into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, indices) = (cx.tensor(0)?, cx.outputs > 1);
        let (y, found) = match x.dtype() {
            DType::F64 => self.floats::<f64>(x, indices)?,
            DType::I8 => {
                let (shape, out, found) = self.compute::<i8>(x.shape(), x.view()?, indices)?;
                (Tensor::from_vec(&shape, out), found)
            }
            DType::U8 => {
                let (shape, out, found) = self.compute::<u8>(x.shape(), x.view()?, indices)?;
                (Tensor::from_vec(&shape, out), found)
            }
            _ => self.floats::<f32>(x, indices)?,
        };
        let shape = y.shape().to_vec();
        let mut results = vec![Value::Tensor(y)];
        if indices {
            results.push(Tensor::from_vec(&shape, found).into());
        }
        Ok(results)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, eval_n, f32s, infer, iota, shapes};

    #[test]
    fn indices_follow_the_storage_order_in_both_layouts() {
        let op =
            MaxPool { kernel_shape: vec![2, 2], storage_order: 1, strides: vec![2, 2], ..MaxPool::default() };
        let x = iota(&[1, 2, 2, 4]);
        let y = eval_n(&op, &[Some(&x)], 2).expect("fits");
        assert_eq!(y[0], f32s(&[1, 2, 1, 2], &[5., 7., 13., 15.]));
        assert_eq!(y[1], Tensor::from_vec(&[1, 2, 1, 2], vec![3i64, 7, 11, 15]));
        let last = MaxPool { layout: Layout::ChannelsLast, ..op };
        let turned = x.permute(&[0, 2, 3, 1]).expect("ok").materialize().expect("ok");
        let z = eval_n(&last, &[Some(&turned)], 2).expect("fits");
        assert_eq!(z[1], Tensor::from_vec(&[1, 1, 2, 2], vec![3i64, 11, 7, 15]));
    }

    #[test]
    fn bytes_and_partial_windows() {
        let op = MaxPool { kernel_shape: vec![2], strides: vec![2], ceil_mode: true, ..MaxPool::default() };
        let x = Tensor::from_vec(&[1, 1, 5], vec![-3i8, -2, -5, -9, -128]);
        assert_eq!(
            eval(&op, &[Some(&x)]).expect("fits")[0],
            Tensor::from_vec(&[1, 1, 3], vec![-2i8, -5, -128])
        );
    }

    #[test]
    fn types() {
        let op = MaxPool { kernel_shape: vec![3, 3], strides: vec![2, 2], ..MaxPool::default() };
        let t = infer(&op, &shapes(&["f32[N, C, 9, 4]"])).expect("fits");
        assert_eq!(t[0].to_string(), "f32[N, C, 4, 1]");
        assert!(infer(&op, &shapes(&["f32[1, 1, 2, 3]"])).is_err());
        assert!(infer(&MaxPool::default(), &shapes(&["f32[1, 1, 2, 3]"])).is_err());
    }
}
