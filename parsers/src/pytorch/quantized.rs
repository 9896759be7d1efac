//! Quantized tensors of a checkpoint: integers, scales and zero points.

use super::pickle::{Object, Opaque, Pickle, TensorRef};
use super::tensor::View;

/// A quantized tensor taken apart.
#[derive(Debug)]
pub struct Parts<'p> {
    /// The integers; their type is a quantized one.
    pub tensor: TensorRef,
    /// How they stand for real numbers: `(integer - zero point) * scale`.
    pub scheme: Scheme<'p>,
}

/// Scales and zero points.
#[derive(Debug)]
pub enum Scheme<'p> {
    /// One for the whole tensor.
    Tensor {
        /// Factor.
        scale: f64,
        /// The integer that stands for zero.
        zero_point: i64,
    },
    /// One for each position of an axis.
    Channel {
        /// Factors.
        scales: &'p TensorRef,
        /// Integers (or, for float parameters, numbers) that stand for zero.
        zero_points: &'p TensorRef,
    },
}

/// Reads the arguments of `_rebuild_qtensor`: storage, offset, sizes, strides, (scheme, parameters), ...
pub fn parts<'p>(pickle: &'p Pickle, call: &Opaque) -> Option<Parts<'p>> {
    let Object::Tuple(args) = pickle.get(call.args) else { return None };
    let arg = |i: usize| args.get(i).map(|id| pickle.get(*id));
    let ints = |i: usize| match arg(i)? {
        Object::Tuple(items) => items.iter().map(|id| int(pickle.get(*id))).collect::<Option<Vec<i64>>>(),
        _ => None,
    };
    let (Object::Storage(storage), Object::Tuple(params)) = (arg(0)?, arg(4)?) else { return None };
    let view = View::new(storage.dtype, &ints(2)?, &ints(3)?, int(arg(1)?)?).ok()?;
    let param = |i: usize| params.get(i).map(|id| pickle.get(*id));
    let Object::Global(scheme) = param(0)? else { return None };
    let scheme = match (&*scheme.name, param(1)?, param(2)?) {
        ("per_tensor_affine" | "per_tensor_symmetric", Object::Float(scale), Object::Int(zero_point)) => {
            Scheme::Tensor { scale: *scale, zero_point: *zero_point }
        }
        (name, Object::Tensor(scales), Object::Tensor(zero_points)) if name.starts_with("per_channel") => {
            Scheme::Channel { scales, zero_points }
        }
        _ => return None,
    };
    Some(Parts { tensor: TensorRef { storage: storage.clone(), view }, scheme })
}

fn int(object: &Object) -> Option<i64> {
    match object {
        Object::Int(value) => Some(*value),
        _ => None,
    }
}
