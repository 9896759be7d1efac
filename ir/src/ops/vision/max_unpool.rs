//! `max_unpool`
use crate::dim::{Dim, SymInt};
use crate::dtype::{FLOATS, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::count;
use crate::ops::movement::lists::{list_len, sizes, sym_list, tensor_list};
use crate::ops::movement::mover::{Move, Unit, apply};
use crate::ops::spatial::window::sizes_of;
use crate::types::{Shape, TensorType, Type};

crate::op! {
    /// Puts elements back where a maximum pooling found them and zeros elsewhere. `i` are positions in data of the sizes the pooling
    /// is computed to have had, `(n - 1) * stride + kernel - pads`, counted over the whole of it, last axis first; of several
    /// elements for one place the last one stays. `output_shape` embeds that data in larger data, at the beginning of each axis.
    max_unpool MaxUnpool(x: One<T1>, i: One<T2>, output_shape: Opt<T2>) -> (output: One<T1>) {
        /// Sizes of the window.
        kernel_shape: Vec<i64> = vec![],
        /// Padding: all beginnings, then all ends; empty is none.
        pads: Vec<i64> = vec![],
        /// Steps between windows; empty is 1.
        strides: Vec<i64> = vec![],
    } where T1: FLOATS, T2: I64_ONLY;
}

/// Element `i` of the operand goes to place `to[i]`.
struct Place {
    to: Vec<usize>,
    total: usize,
}

impl Move for Place {
    fn run<T: Unit>(&self, xs: &[&[T]]) -> Vec<T> {
        let mut out = vec![T::default(); self.total];
        for (at, v) in self.to.iter().zip(xs[0]) {
            out[*at] = *v;
        }
        out
    }
}

impl MaxUnpool {
    /// Sizes before the pooling.
    fn unpooled(&self, shape: &[Dim]) -> Result<Shape, OpError> {
        let r = self.kernel_shape.len();
        if r == 0 || shape.len() != r + 2 {
            let m = format!("kernel_shape {:?} does not fit data of {} axes", self.kernel_shape, shape.len());
            return Err(OpError::shape(m));
        }
        let kernel = sizes_of("kernel_shape", &self.kernel_shape, r, 1, 1)?;
        let strides = sizes_of("strides", &self.strides, r, 1, 1)?;
        let pads = sizes_of("pads", &self.pads, 2 * r, 0, 0)?;
        let int = |v: usize| i64::try_from(v).ok().map(SymInt::from);
        let mut out = shape[..2].to_vec();
        for d in 0..r {
            let size = |n: &SymInt| {
                let last = n.sub(&1.into())?.mul(&int(strides[d])?)?.add(&int(kernel[d])?)?;
                last.sub(&int(pads[d])?)?.sub(&int(pads[r + d])?)
            };
            let found = shape[2 + d].to_sym().as_ref().and_then(size);
            if found.as_ref().and_then(SymInt::as_const).is_some_and(|v| v < 0)
                || (found.is_none() && shape[2 + d].known().is_some())
            {
                return Err(OpError::shape(format!("axis {} has no size before the pooling", 2 + d)));
            }
            out.push(Dim::from_sym(found));
        }
        Ok(out)
    }
}

impl Semantics for MaxUnpool {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        if let (Some(a), Some(b)) = (&x.shape, cx.shape(1)?)
            && (a.len() != b.len() || a.iter().zip(b).any(|(a, b)| a.surely_differs(b)))
        {
            return Err(OpError::shape(format!("positions {} do not fit elements {x}", cx.tensor(1)?)));
        }
        let rank = self.kernel_shape.len() + 2;
        // Elements and positions have one shape.
        let at = TensorType { dtype: x.dtype, shape: cx.shape(1)?.cloned() };
        let both = Type::from(x.clone()).meet(&at.into());
        let own = match both.as_ref().and_then(Type::as_tensor).and_then(|t| t.shape.as_ref()) {
            Some(s) => self.unpooled(s)?,
            None => vec![Dim::Unknown; rank],
        };
        if !cx.has(2) {
            return Ok(vec![TensorType::new(x.dtype, own).into()]);
        }
        if list_len(cx, 2)?.is_some_and(|n| n != rank) {
            return Err(OpError::shape(format!("output_shape must list {rank} sizes")));
        }
        let list = sym_list(cx, 2)?.unwrap_or_else(|| vec![None; rank]);
        if list.iter().flatten().filter_map(SymInt::as_const).any(|v| v < 0) {
            return Err(OpError::shape("output_shape lists a negative size"));
        }
        let shape: Shape = list.into_iter().map(Dim::from_sym).collect();
        let less = |(a, b): (&Dim, &Dim)| matches!((a.known(), b.known()), (Some(a), Some(b)) if a < b);
        if shape.iter().zip(&own).any(less) {
            return Err(OpError::shape("output_shape is smaller than the data before the pooling"));
        }
        Ok(vec![TensorType::new(x.dtype, shape).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, at) = (cx.tensor(0)?, cx.tensor(1)?.to_i64s()?);
        let own = sizes(&self.unpooled(&crate::ops::movement::lists::dims(x.shape()))?)?;
        let size = |v: i64| usize::try_from(v).map_err(|_| OpError::shape(format!("{v} is no size")));
        let shape = match cx.opt(2)? {
            Some(t) => tensor_list(t)?.into_iter().map(size).collect::<Result<Vec<_>, _>>()?,
            None => own.clone(),
        };
        if at.len() != x.len() || shape.len() != own.len() || shape.iter().zip(&own).any(|(a, b)| a < b) {
            return Err(OpError::shape("operands of max_unpool do not fit each other"));
        }
        let positions = count(&own)?;
        let place = |at: i64| -> Result<usize, OpError> {
            let outside = || OpError::eval(format!("position {at} is outside data of {positions} elements"));
            let mut rest = usize::try_from(at).ok().filter(|a| *a < positions).ok_or_else(outside)?;
            let (mut place, mut scale) = (0, 1);
            for (n, m) in own.iter().zip(&shape).rev() {
                place += rest % n * scale;
                rest /= n;
                scale *= m;
            }
            Ok(place)
        };
        let to = at.into_iter().map(place).collect::<Result<_, _>>()?;
        one(apply(&Place { to, total: count(&shape)? }, &[x], &shape)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, f32s, infer, shapes};
    use crate::tensor::Tensor;

    #[test]
    fn elements_go_back_and_hostile_positions_are_refused() {
        let op = MaxUnpool { kernel_shape: vec![2], strides: vec![2], ..MaxUnpool::default() };
        let x = f32s(&[1, 2, 1], &[5., 7.]);
        let y = eval(&op, &[Some(&x), Some(&Tensor::from_vec(&[1, 2, 1], vec![1i64, 2]))]).expect("fits");
        assert_eq!(y[0], f32s(&[1, 2, 2], &[0., 5., 7., 0.]));
        let larger = Tensor::from_ints(&[1, 2, 3]);
        let at = Tensor::from_vec(&[1, 2, 1], vec![1i64, 2]);
        let y = eval(&op, &[Some(&x), Some(&at), Some(&larger)]).expect("fits");
        assert_eq!(y[0], f32s(&[1, 2, 3], &[0., 5., 0., 7., 0., 0.]));
        for hostile in [-1i64, 4, i64::MAX] {
            let at = Tensor::from_vec(&[1, 2, 1], vec![0, hostile]);
            assert!(eval(&op, &[Some(&x), Some(&at)]).is_err());
        }
        assert!(eval(&op, &[Some(&x), Some(&at), Some(&Tensor::from_ints(&[1, 2, 1]))]).is_err());
    }

    #[test]
    fn types() {
        let op = MaxUnpool { kernel_shape: vec![2, 3], strides: vec![2, 1], ..MaxUnpool::default() };
        let t = infer(&op, &shapes(&["f32[N, C, H, 4]", "i64[N, C, H, 4]"])).expect("fits");
        assert_eq!(t[0].to_string(), "f32[N, C, 2*H, 6]");
        assert!(infer(&op, &shapes(&["f32[N, C, H, 4]", "i64[N, C, H, 5]"])).is_err());
        assert!(infer(&op, &shapes(&["f32[N, C, 4]", "i64[N, C, 4]"])).is_err());
        let huge = MaxUnpool { strides: vec![i64::MAX, 1], ..op };
        assert!(infer(&huge, &shapes(&["f32[1, 1, 4, 4]", "i64[1, 1, 4, 4]"])).is_err());
    }
}
