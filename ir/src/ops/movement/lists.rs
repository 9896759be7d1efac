//! Operands that list sizes, axes or positions, and arithmetic on dimensions.
use crate::dim::{Dim, SymInt};
use crate::infer::{InferCx, resolve_axis};
use crate::op::OpError;
use crate::tensor::Tensor;
use crate::types::Shape;

/// Most entries of an operand that lists sizes, axes or positions: far more than any rank in use.
pub const MAX_LIST: usize = 1 << 12;

/// A list of integers, each known as far as it is.
pub type SymList = Vec<Option<SymInt>>;

/// The integers operand `i` lists; `None` when not even their number is known.
///
/// # Errors
/// When it is absent, no tensor of rank 0 or 1, or longer than [`MAX_LIST`].
pub fn sym_list(cx: &InferCx<'_>, i: usize) -> Result<Option<SymList>, OpError> {
    let n = list_len(cx, i)?;
    if let Some(ints) = cx.const_ints(i) {
        return Ok(Some(syms(&ints)));
    }
    Ok(cx.sym_ints(i).or_else(|| n.map(|n| vec![None; n])))
}

/// The number of integers operand `i` lists, when known. Same errors as [`sym_list`].
///
/// # Errors
/// As [`sym_list`].
pub fn list_len(cx: &InferCx<'_>, i: usize) -> Result<Option<usize>, OpError> {
    let ty = cx.tensor(i)?;
    let n = match ty.shape.as_deref() {
        None => return Ok(None),
        Some([]) => 1,
        Some([d]) => match d.known() {
            Some(n) => n,
            None => return Ok(None),
        },
        Some(_) => return Err(OpError::operand(format!("operand {i} must be a list of integers, is {ty}"))),
    };
    match usize::try_from(n) {
        Ok(n) if n <= MAX_LIST => Ok(Some(n)),
        _ => Err(OpError::attr(format!("operand {i} lists {n} integers, more than {MAX_LIST}"))),
    }
}

/// The integers operand `i` lists when all are known.
///
/// # Errors
/// As [`sym_list`].
pub fn int_list(cx: &InferCx<'_>, i: usize) -> Result<Option<Vec<i64>>, OpError> {
    let known = |v: &Option<SymInt>| v.as_ref().and_then(SymInt::as_const);
    Ok(sym_list(cx, i)?.and_then(|l| l.iter().map(known).collect()))
}

/// Known integers as symbolic ones.
pub fn syms(ints: &[i64]) -> SymList {
    ints.iter().map(|v| Some(SymInt::from(*v))).collect()
}

/// Symbolic elements of operand `i` when it is an integer tensor of rank 0 or 1.
pub fn elements(cx: &InferCx<'_>, i: usize) -> Option<SymList> {
    let ty = cx.tensor(i).ok()?;
    if !ty.dtype.is_int() || ty.rank()? > 1 {
        return None;
    }
    cx.sym_ints(i)
}

/// `axes` counted from the front.
///
/// # Errors
/// When one is out of range or occurs twice.
pub fn resolve_axes(axes: &[i64], rank: usize) -> Result<Vec<usize>, OpError> {
    let mut seen = vec![false; rank];
    let one = |a: &i64| {
        let at = resolve_axis(*a, rank)?;
        if std::mem::replace(&mut seen[at], true) {
            return Err(OpError::attr(format!("axis {a} is listed twice")));
        }
        Ok(at)
    };
    axes.iter().map(one).collect()
}

/// Sizes as dimensions.
pub fn dims(sizes: &[usize]) -> Shape {
    sizes.iter().map(|n| Dim::from(*n)).collect()
}

/// Dimensions as sizes.
///
/// # Errors
/// When one is not fixed.
pub fn sizes(shape: &[Dim]) -> Result<Vec<usize>, OpError> {
    let one = |d: &Dim| d.known().and_then(|n| usize::try_from(n).ok());
    let all: Option<Vec<usize>> = shape.iter().map(one).collect();
    all.ok_or_else(|| OpError::shape("the result's sizes are not known"))
}

/// Product of dimensions; 1 of none, 0 when one is surely 0.
pub fn product(dims: &[Dim]) -> Dim {
    if dims.contains(&Dim::Known(0)) {
        return Dim::Known(0);
    }
    dims.iter().fold(Dim::Known(1), |p, d| p.combine(d, SymInt::mul))
}

/// `max(e, 0)`.
pub fn at_least_zero(e: &SymInt) -> Option<SymInt> {
    e.larger(&SymInt::default())
}

/// The integers of a tensor operand of an operator being evaluated.
///
/// # Errors
/// When it is no integer tensor or longer than [`MAX_LIST`].
pub fn tensor_list(t: &Tensor) -> Result<Vec<i64>, OpError> {
    if t.len() > MAX_LIST {
        return Err(OpError::attr(format!("{} integers are listed, more than {MAX_LIST}", t.len())));
    }
    Ok(t.to_i64s()?)
}

/// Row-major strides as signed steps, for [`super::strided::copy_strided`].
pub fn steps(shape: &[usize]) -> Vec<isize> {
    crate::tensor::strides(shape).iter().map(|s| *s as isize).collect()
}
