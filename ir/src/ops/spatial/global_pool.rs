//! `global_average_pool`, `global_max_pool`, `global_lp_pool`: poolings whose window is the whole plane.
use super::lp_pool::order;
use super::window::split_sizes;
use crate::dim::Dim;
use crate::dtype::{DType, FLOATS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{Compute, PARALLEL, count, layout_sizes, to_channels_first};
use crate::ops::words::Layout;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};
use rayon::prelude::*;

crate::op! {
    /// Mean over all spatial positions of each channel.
    global_average_pool GlobalAveragePool(x: One<T>) -> (y: One<T>) {
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: FLOATS;
}

crate::op! {
    /// Largest element over all spatial positions of each channel; NaN wins.
    global_max_pool GlobalMaxPool(x: One<T>) -> (y: One<T>) {
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: FLOATS;
}

crate::op! {
    /// `(sum |x|^p)^(1/p)` over all spatial positions of each channel.
    global_lp_pool GlobalLpPool(x: One<T>) -> (y: One<T>) {
        /// Order of the norm, at least 1.
        p: i64 = 2,
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: FLOATS;
}

/// Type of a result: spatial axes have size 1.
pub(crate) fn global_type(cx: &InferCx<'_>, layout: Layout) -> Result<Vec<Type>, OpError> {
    let x = cx.tensor(0)?;
    let Some(shape) = &x.shape else { return Ok(vec![TensorType::unranked(x.dtype).into()]) };
    if shape.len() < 2 {
        return Err(OpError::shape("a pooling needs a batch and a channel axis"));
    }
    let channel = layout.channel_axis(shape.len());
    let one = |(i, d): (usize, &Dim)| if i == 0 || i == channel { d.clone() } else { Dim::Known(1) };
    Ok(vec![TensorType::new(x.dtype, shape.iter().enumerate().map(one).collect::<Vec<_>>()).into()])
}

/// Applies `reduce` to each plane.
fn planes<T: Compute>(
    x: &Tensor,
    layout: Layout,
    reduce: impl Fn(&[T]) -> T + Sync,
) -> Result<Tensor, OpError> {
    let (batch, channels, spatial) = match x.shape() {
        &[n, c] => (n, c, vec![]),
        s => split_sizes(s, layout)?,
    };
    let source = [&[batch, channels], spatial.as_slice()].concat();
    let data = to_channels_first(T::read(x)?, &source, layout);
    let n = count(&[batch, channels])?;
    let plane = count(&spatial)?;
    let out: Vec<T> = if plane == 0 {
        vec![reduce(&[]); n]
    } else if data.len() < PARALLEL {
        data.chunks_exact(plane).map(&reduce).collect()
    } else {
        data.par_chunks_exact(plane).map(&reduce).collect()
    };
    let shape = [&[batch, channels], vec![1; spatial.len()].as_slice()].concat();
    Ok(T::tensor(x.dtype(), &layout_sizes(&shape, layout), out)?)
}

/// Sum of `map` of the elements, in `f64` over 8 interleaved sums so that the processor can add several at once.
fn sum<T: Compute>(x: &[T], map: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; 8];
    let chunks = x.chunks_exact(8);
    let rest = chunks.remainder();
    for c in chunks {
        lanes.iter_mut().zip(c).for_each(|(l, v)| *l += map(v.to_f64()));
    }
    lanes.iter_mut().zip(rest).for_each(|(l, v)| *l += map(v.to_f64()));
    lanes.iter().sum()
}

fn mean<T: Compute>(x: &[T]) -> T {
    T::from_f64(sum(x, |v| v) / x.len() as f64)
}

fn largest<T: Compute>(x: &[T]) -> T {
    let nan = |v: T| v.partial_cmp(&v).is_none();
    let larger = |m: T, v: T| if nan(m) || v <= m { m } else { v };
    x.iter().copied().fold(T::from_f64(f64::NEG_INFINITY), larger)
}

fn norm<T: Compute>(x: &[T], p: u32) -> T {
    T::from_f64(match p {
        1 => sum(x, f64::abs),
        2 => sum(x, |v| v * v).sqrt(),
        _ => sum(x, |v| v.abs().powi(p as i32)).powf(1.0 / f64::from(p)),
    })
}

impl Semantics for GlobalAveragePool {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        global_type(cx, self.layout)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        one(match x.dtype() {
            DType::F64 => planes::<f64>(x, self.layout, mean)?,
            _ => planes::<f32>(x, self.layout, mean)?,
        })
    }
}

impl Semantics for GlobalMaxPool {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        global_type(cx, self.layout)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        one(match x.dtype() {
            DType::F64 => planes::<f64>(x, self.layout, largest)?,
            _ => planes::<f32>(x, self.layout, largest)?,
        })
    }
}

impl Semantics for GlobalLpPool {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        order(self.p)?;
        global_type(cx, self.layout)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, p) = (cx.tensor(0)?, order(self.p)?);
        one(match x.dtype() {
            DType::F64 => planes::<f64>(x, self.layout, |v| norm(v, p))?,
            _ => planes::<f32>(x, self.layout, |v| norm(v, p))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, f32s, infer, iota, shapes};

    #[test]
    fn whole_planes_in_both_layouts() {
        let x = iota(&[1, 2, 2, 2]);
        let y = eval(&GlobalAveragePool::default(), &[Some(&x)]).expect("fits");
        assert_near(&y[0], &[1, 2, 1, 1], &[1.5, 5.5]);
        let op = GlobalAveragePool { layout: Layout::ChannelsLast };
        assert_near(&eval(&op, &[Some(&x)]).expect("fits")[0], &[1, 1, 1, 2], &[3., 4.]);
        let y = eval(&GlobalLpPool::default(), &[Some(&x)]).expect("fits");
        assert_near(&y[0], &[1, 2, 1, 1], &[14f64.sqrt(), 126f64.sqrt()]);
        let x = f32s(&[1, 2, 3], &[1., f32::NAN, 2., -3., -1., -2.]);
        let y = eval(&GlobalMaxPool::default(), &[Some(&x)]).expect("fits").remove(0);
        let v = y.to_f64s().expect("numbers");
        assert!(v[0].is_nan() && v[1] == -1.0);
    }

    #[test]
    fn types() {
        let op = GlobalMaxPool { layout: Layout::ChannelsLast };
        assert_eq!(
            infer(&op, &shapes(&["f16[N, H, W, 8]"])).expect("fits")[0].to_string(),
            "f16[N, 1, 1, 8]"
        );
        assert!(infer(&op, &shapes(&["f16[4]"])).is_err());
    }
}
