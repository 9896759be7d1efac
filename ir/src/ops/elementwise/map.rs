//! Evaluation of element functions for every element type: one closure per class of types.
//!
//! `f32`, `f64`, `i64` and `u64` are computed as they are. Narrower floats are computed in `f32` and rounded once, narrower
//! integers in 64 bits and wrapped. Loops are compiled for each `f32` function; the others are called through a reference, which
//! keeps the program small.
use super::broadcast::{broadcast_sizes, each, zip, zip_into};
use crate::dtype::DType;
use crate::eval::{EvalCx, Value, one};
use crate::op::OpError;
use crate::tensor::convert::Wide;
use crate::tensor::{Element, Tensor};

type Map<'a, T> = &'a (dyn Fn(T) -> T + Sync);
type Zip<'a, T> = &'a (dyn Fn(T, T) -> T + Sync);
type Test<'a, T> = &'a (dyn Fn(T, T) -> bool + Sync);

/// Error of an element type the operator has no meaning for.
pub fn no_meaning(dtype: DType) -> OpError {
    OpError::eval(format!("this is not defined for elements of type {dtype}"))
}

/// Applies `f` to elements of type `T`, in place where the operand is owned alone.
fn native<T: Element>(x: Tensor, f: impl Fn(T) -> T + Sync + Send + Copy) -> Result<Tensor, OpError> {
    let shape = x.shape().to_vec();
    let mut values = x.into_vec::<T>()?;
    each(&mut values, f);
    Ok(Tensor::from_vec(&shape, values))
}

/// A float function of the first operand.
pub fn float_map(
    mut cx: EvalCx<'_>,
    single: impl Fn(f32) -> f32 + Sync + Send + Copy,
    double: impl Fn(f64) -> f64 + Sync,
) -> Result<Vec<Value>, OpError> {
    one(map_tensor(cx.take(0)?, single, double, |v| v, |v| v)?)
}

/// A function of the first operand for all numbers.
pub fn number_map(
    mut cx: EvalCx<'_>,
    single: impl Fn(f32) -> f32 + Sync + Send + Copy,
    double: impl Fn(f64) -> f64 + Sync,
    signed: impl Fn(i64) -> i64 + Sync,
    unsigned: impl Fn(u64) -> u64 + Sync,
) -> Result<Vec<Value>, OpError> {
    one(map_tensor(cx.take(0)?, single, double, signed, unsigned)?)
}

/// `x` with each element replaced.
pub fn map_tensor(
    x: Tensor,
    single: impl Fn(f32) -> f32 + Sync + Send + Copy,
    double: impl Fn(f64) -> f64 + Sync,
    signed: impl Fn(i64) -> i64 + Sync,
    unsigned: impl Fn(u64) -> u64 + Sync,
) -> Result<Tensor, OpError> {
    match x.dtype() {
        DType::F32 => return native(x, single),
        DType::F64 => return native(x, &double as Map<'_, f64>),
        DType::I64 => return native(x, &signed as Map<'_, i64>),
        DType::U64 => return native(x, &unsigned as Map<'_, u64>),
        _ => {}
    }
    let mut wide = x.widen()?;
    match &mut wide {
        Wide::F32(v) => each(v, single),
        Wide::I64(v) if x.dtype() != DType::Bool => each(v, &signed as Map<'_, i64>),
        Wide::U64(v) => each(v, &unsigned as Map<'_, u64>),
        _ => return Err(no_meaning(x.dtype())),
    }
    Ok(Tensor::from_wide(x.dtype(), x.shape(), &wide, true)?)
}

/// A predicate of the first operand's floats.
pub fn float_test(
    cx: &EvalCx<'_>,
    single: impl Fn(f32) -> bool,
    double: impl Fn(f64) -> bool,
) -> Result<Vec<Value>, OpError> {
    let x = cx.tensor(0)?;
    let truths = match x.widen()? {
        Wide::F32(v) => v.into_iter().map(single).collect(),
        Wide::F64(v) => v.into_iter().map(double).collect(),
        _ => return Err(no_meaning(x.dtype())),
    };
    one(Tensor::from_bools(x.shape(), truths))
}

/// `f` on broadcast elements of type `T`, in the storage of an operand that has the result's shape.
fn native2<T: Element>(a: Tensor, b: Tensor, f: impl Fn(T, T) -> T + Sync) -> Result<Tensor, OpError> {
    let shape = broadcast_sizes(&[a.shape(), b.shape()])?;
    let values = if a.shape() == shape {
        let mut out = a.into_vec::<T>()?;
        zip_into(&mut out, &shape, (&b.view::<T>()?, b.shape()), f);
        out
    } else if b.shape() == shape {
        let mut out = b.into_vec::<T>()?;
        zip_into(&mut out, &shape, (&a.view::<T>()?, a.shape()), |y, x| f(x, y));
        out
    } else {
        zip(&shape, T::zeroed(), (&a.view::<T>()?, a.shape()), (&b.view::<T>()?, b.shape()), f)
    };
    Ok(Tensor::from_vec(&shape, values))
}

/// A function of two broadcast tensors of one element type, for all numbers.
pub fn zip_tensors(
    a: Tensor,
    b: Tensor,
    single: impl Fn(f32, f32) -> f32 + Sync,
    double: impl Fn(f64, f64) -> f64 + Sync,
    signed: impl Fn(i64, i64) -> i64 + Sync,
    unsigned: impl Fn(u64, u64) -> u64 + Sync,
) -> Result<Tensor, OpError> {
    let dtype = a.dtype();
    match dtype {
        DType::F32 => return native2(a, b, &single),
        DType::F64 => return native2(a, b, &double as Zip<'_, f64>),
        DType::I64 => return native2(a, b, &signed as Zip<'_, i64>),
        DType::U64 => return native2(a, b, &unsigned as Zip<'_, u64>),
        _ => {}
    }
    let native = |dtype| Ok::<_, OpError>((a.cast(dtype, false)?, b.cast(dtype, false)?));
    let computed = if dtype.is_float() {
        let (a, b) = native(DType::F32)?;
        native2(a, b, &single)?
    } else if dtype.is_signed_int() {
        let (a, b) = native(DType::I64)?;
        native2(a, b, &signed as Zip<'_, i64>)?
    } else if dtype.is_unsigned_int() {
        let (a, b) = native(DType::U64)?;
        native2(a, b, &unsigned as Zip<'_, u64>)?
    } else {
        return Err(no_meaning(dtype));
    };
    Ok(computed.cast(dtype, true)?)
}

/// [`zip_tensors`] of the first two operands.
pub fn number_zip(
    mut cx: EvalCx<'_>,
    single: impl Fn(f32, f32) -> f32 + Sync,
    double: impl Fn(f64, f64) -> f64 + Sync,
    signed: impl Fn(i64, i64) -> i64 + Sync,
    unsigned: impl Fn(u64, u64) -> u64 + Sync,
) -> Result<Vec<Value>, OpError> {
    one(zip_tensors(cx.take(0)?, cx.take(1)?, single, double, signed, unsigned)?)
}

/// A relation of the first two operands.
pub fn number_test(
    cx: &EvalCx<'_>,
    single: impl Fn(f32, f32) -> bool + Sync,
    double: impl Fn(f64, f64) -> bool + Sync,
    signed: impl Fn(i64, i64) -> bool + Sync,
    unsigned: impl Fn(u64, u64) -> bool + Sync,
) -> Result<Vec<Value>, OpError> {
    let (a, b) = (cx.tensor(0)?, cx.tensor(1)?);
    let (s, t) = (a.shape(), b.shape());
    let shape = broadcast_sizes(&[s, t])?;
    if a.dtype() == DType::F32 && b.dtype() == DType::F32 {
        let truths = zip(&shape, false, (&a.view()?, s), (&b.view()?, t), &single);
        return one(Tensor::from_bools(&shape, truths));
    }
    let truths = match (a.widen()?, b.widen()?) {
        (Wide::F32(x), Wide::F32(y)) => zip(&shape, false, (&x, s), (&y, t), &single),
        (Wide::F64(x), Wide::F64(y)) => zip(&shape, false, (&x, s), (&y, t), &double as Test<'_, f64>),
        (Wide::I64(x), Wide::I64(y)) => zip(&shape, false, (&x, s), (&y, t), &signed as Test<'_, i64>),
        (Wide::U64(x), Wide::U64(y)) => zip(&shape, false, (&x, s), (&y, t), &unsigned as Test<'_, u64>),
        _ => return Err(no_meaning(a.dtype())),
    };
    one(Tensor::from_bools(&shape, truths))
}
