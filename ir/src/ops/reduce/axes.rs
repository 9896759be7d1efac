//! Which axes a reduction runs over, its result type, and how its operand is walked.
use crate::dim::{Dim, SymInt};
use crate::dtype::DType;
use crate::eval::EvalCx;
use crate::infer::{Content, InferCx, resolve_axis};
use crate::op::OpError;
use crate::tensor::{Tensor, element_count};
use crate::types::{Shape, TensorType, Type};

/// Which axes of a tensor of that rank are reduced. `axes` is `None` when absent.
///
/// # Errors
/// When an axis lies outside the tensor or is named twice.
fn reduced(axes: Option<&[i64]>, rank: usize, noop: bool) -> Result<Vec<bool>, OpError> {
    let axes = axes.unwrap_or_default();
    if axes.is_empty() {
        return Ok(vec![!noop; rank]);
    }
    let mut mask = vec![false; rank];
    for a in axes {
        if std::mem::replace(&mut mask[resolve_axis(*a, rank)?], true) {
            return Err(OpError::attr(format!("axis {a} is reduced twice")));
        }
    }
    Ok(mask)
}

fn kept_shape<D: Clone>(shape: &[D], mask: &[bool], keepdims: bool, one: D) -> Vec<D> {
    let dim = |(d, reduced): (&D, &bool)| match (reduced, keepdims) {
        (false, _) => Some(d.clone()),
        (true, true) => Some(one.clone()),
        (true, false) => None,
    };
    shape.iter().zip(mask).filter_map(dim).collect()
}

/// Shape of a reduction whose operand 0 is the data and operand 1 the optional axes; `None` when the rank is unknown.
pub fn reduced_shape(cx: &InferCx<'_>, keepdims: bool, noop: bool) -> Result<Option<Shape>, OpError> {
    let data = cx.shape(0)?;
    if !cx.has(1) {
        let all = |s: &Shape| Ok(kept_shape(s, &reduced(None, s.len(), noop)?, keepdims, Dim::Known(1)));
        return match data {
            None if !noop && !keepdims => Ok(Some(vec![])),
            _ => data.map(all).transpose(),
        };
    }
    let axes_ty = cx.tensor(1)?;
    if axes_ty.rank().is_some_and(|r| r != 1) {
        return Err(OpError::shape(format!("the axes of a reduction must be a list, are {axes_ty}")));
    }
    let Some(shape) = data else { return Ok(None) };
    if let Some(axes) = cx.const_ints(1) {
        let mask = reduced(Some(&axes), shape.len(), noop)?;
        return Ok(Some(kept_shape(shape, &mask, keepdims, Dim::Known(1))));
    }
    if keepdims {
        return Ok(Some(vec![Dim::Unknown; shape.len()]));
    }
    let count = axes_ty.sizes().and_then(|s| s.first().copied());
    Ok(match count {
        Some(0) => Some(if noop { shape.clone() } else { vec![] }),
        Some(n) => {
            let left = shape.len().checked_sub(n);
            let m =
                || OpError::shape(format!("{n} axes cannot be reduced in a tensor of rank {}", shape.len()));
            Some(vec![Dim::Unknown; left.ok_or_else(m)?])
        }
        None => None,
    })
}

/// A tensor of that type and [`reduced_shape`].
pub fn reduced_type(
    cx: &InferCx<'_>,
    dtype: DType,
    keepdims: bool,
    noop: bool,
) -> Result<Vec<Type>, OpError> {
    Ok(vec![TensorType::new(dtype, reduced_shape(cx, keepdims, noop)?).into()])
}

/// The single symbolic result of a reduction over all of a short list of integers.
pub fn fold_contents(
    cx: &InferCx<'_>,
    noop: bool,
    f: impl Fn(&SymInt, &SymInt) -> Option<SymInt>,
) -> Vec<Option<Content>> {
    let all = || {
        let data = cx.tensor(0).ok()?;
        let axes = if cx.has(1) { cx.const_ints(1)? } else { vec![] };
        if data.rank() != Some(1)
            || !data.dtype.is_int()
            || data.dtype == DType::U64
            || (axes.is_empty() && noop)
        {
            return None;
        }
        let elements = cx.sym_ints(0)?.into_iter().collect::<Option<Vec<_>>>()?;
        let (first, rest) = elements.split_first()?;
        let value = rest.iter().try_fold(first.clone(), |a, b| f(&a, b))?;
        let value = crate::ops::elementwise::typing::in_range(data.dtype, value)?;
        Some(Content::from([Some(value)]))
    };
    vec![all()]
}

/// The operand of a reduction as a dense `[outer, len, inner]` array that is reduced over its middle axis.
pub struct Grid {
    /// The elements, permuted where the reduced axes did not lie side by side.
    pub data: Tensor,
    /// Blocks.
    pub outer: usize,
    /// Elements combined into one.
    pub len: usize,
    /// Elements side by side in each block.
    pub inner: usize,
    /// Shape of the result.
    pub shape: Vec<usize>,
}

impl Grid {
    /// Operand 0 of `cx`, reduced over the axes that operand 1 names.
    ///
    /// # Errors
    /// When an axis lies outside the tensor or is named twice.
    pub fn new(mut cx: EvalCx<'_>, keepdims: bool, noop: bool) -> Result<Self, OpError> {
        let axes = cx.ints(1)?;
        let x = cx.take(0)?;
        let mask = reduced(axes.as_deref(), x.rank(), noop)?;
        let shape = kept_shape(x.shape(), &mask, keepdims, 1);
        // Axes of size 1 may be counted as reduced or not.
        let moving: Vec<usize> = (0..x.rank()).filter(|i| x.shape()[*i] != 1).collect();
        let first = moving.iter().position(|i| mask[*i]).unwrap_or(moving.len());
        let after = moving.iter().rposition(|i| mask[*i]).map_or(first, |i| i + 1);
        let side_by_side = moving[first..after].iter().all(|i| mask[*i]);
        let count = |axes: &[usize]| element_count(&axes.iter().map(|i| x.shape()[*i]).collect::<Vec<_>>());
        let too_large = || OpError::eval("the operand has too many elements");
        let size = |axes: &[usize]| count(axes).ok_or_else(too_large);
        if side_by_side {
            let (outer, len) = (size(&moving[..first])?, size(&moving[first..after])?);
            let inner = size(&moving[after..])?;
            return Ok(Self { outer, len, inner, shape, data: x });
        }
        let (kept, over): (Vec<usize>, Vec<usize>) = (0..x.rank()).partition(|i| !mask[*i]);
        let (outer, len) = (size(&kept)?, size(&over)?);
        let data = x.permute(&[kept, over].concat())?.materialize()?;
        Ok(Self { data, outer, len, inner: 1, shape })
    }
}

/// Positions before, along and after `axis` of a shape, as for [`Grid`].
///
/// # Errors
/// When the axis lies outside.
pub fn around(shape: &[usize], axis: i64) -> Result<(usize, usize, usize), OpError> {
    let at = resolve_axis(axis, shape.len())?;
    let count =
        |s: &[usize]| element_count(s).ok_or_else(|| OpError::eval("the operand has too many elements"));
    Ok((count(&shape[..at])?, shape[at], count(&shape[at + 1..])?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{Known, infer_op};
    use crate::ops::Op;

    fn infer(name: &str, x: TensorType, k: TensorType, constant: Option<&Tensor>) -> Result<String, String> {
        let op = Op::by_name(name).expect("an operator");
        let (x, k) = (x.into(), k.into());
        let known = [
            Some(Known { ty: &x, tensor: None, content: None }),
            Some(Known { ty: &k, tensor: constant, content: None }),
        ];
        let outputs = op.schema().output_count().0;
        let types = infer_op(&op, &InferCx::new(op.schema(), &known, &[], 0, outputs));
        types.map(|t| t[0].to_string()).map_err(|e| e.message)
    }
    fn data() -> TensorType {
        TensorType::new(DType::F32, vec![Dim::symbol("N"), Dim::Known(3)])
    }

    #[test]
    fn axes_that_are_not_constant_leave_what_is_sure() {
        let list = |n: usize| TensorType::fixed(DType::I64, &[n]);
        assert_eq!(infer("reduce_sum", data(), list(1), None).as_deref(), Ok("f32[?, ?]"));
        assert_eq!(
            infer("reduce_sum", TensorType::unranked(DType::F32), list(1), None).as_deref(),
            Ok("f32[*]")
        );
        let axes = Tensor::from_ints(&[-1]);
        assert_eq!(infer("reduce_sum", data(), list(1), Some(&axes)).as_deref(), Ok("f32[N, 1]"));
    }

    #[test]
    fn wrong_axes_are_refused() {
        for axes in [&[2][..], &[-3], &[0, 0], &[0, -2], &[i64::MIN]] {
            let axes = Tensor::from_ints(axes);
            assert!(infer("reduce_sum", data(), axes.ty(), Some(&axes)).is_err(), "{axes:?}");
        }
    }

    #[test]
    fn top_k_takes_no_more_than_there_is() {
        let with = |k: i64| {
            infer("top_k", data(), TensorType::fixed(DType::I64, &[1]), Some(&Tensor::from_ints(&[k])))
        };
        assert_eq!(with(2).as_deref(), Ok("f32[N, 2]"));
        assert!(with(4).is_err() && with(-1).is_err() && with(i64::MIN).is_err());
    }
}
