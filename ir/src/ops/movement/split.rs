//! `split`
use super::lists::{elements, steps, sym_list, syms, tensor_list};
use super::strided::copy_strided;
use crate::dim::{Dim, SymInt};
use crate::dtype::{ANY, I64_ONLY};
use crate::eval::{EvalCx, Value};
use crate::infer::{Content, InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::types::{TensorType, Type};

crate::op! {
    /// Cuts a tensor along one axis: into pieces of the sizes `split`, or into `num_outputs` equal ones of which the last may be smaller.
    split Split(input: One<T>, split: Opt<S>) -> (outputs: Many<T>) {
        /// Axis that is cut; negative counts from the end.
        axis: i64 = 0,
        /// Number of pieces, when `split` is absent.
        num_outputs: Option<i64> = None,
    } where T: ANY, S: I64_ONLY;
}

impl Split {
    /// Size of each piece along the axis.
    fn pieces(&self, list: Option<&[Option<SymInt>]>, dim: &Dim, count: usize) -> Result<Vec<Dim>, OpError> {
        match (list, self.num_outputs) {
            (Some(list), None) => listed(list, dim, count),
            (None, Some(n)) if usize::try_from(n) == Ok(count) => equal(dim, count),
            (None, Some(n)) => {
                Err(OpError::attr(format!("num_outputs is {n}, the node has {count} results")))
            }
            (Some(_), Some(_)) => Err(OpError::attr("`split` and `num_outputs` exclude each other")),
            (None, None) => Err(OpError::attr("neither `split` nor `num_outputs` is given")
                .hint("set num_outputs to the number of results")),
        }
    }
}

fn listed(list: &[Option<SymInt>], dim: &Dim, count: usize) -> Result<Vec<Dim>, OpError> {
    if list.len() != count {
        return Err(OpError::shape(format!("{} sizes are listed for {count} results", list.len())));
    }
    let known: Vec<i64> = list.iter().flatten().filter_map(SymInt::as_const).collect();
    if let Some(c) = known.iter().find(|c| **c < 0) {
        return Err(OpError::shape(format!("{c} is no size of a piece")));
    }
    let sum = known.iter().try_fold(0u64, |s, c| s.checked_add(c.unsigned_abs()));
    let sum = sum.ok_or_else(|| OpError::shape("the sizes of the pieces overflow"))?;
    if dim.known().is_some_and(|d| sum > d || (known.len() == count && sum != d)) {
        return Err(OpError::shape(format!("the pieces add up to {sum}, the axis has {dim}")));
    }
    Ok(list.iter().map(|v| Dim::from_sym(v.clone())).collect())
}

fn equal(dim: &Dim, count: usize) -> Result<Vec<Dim>, OpError> {
    if count == 0 {
        return Ok(vec![]);
    }
    let n = SymInt::from(i64::try_from(count).unwrap_or(i64::MAX));
    let last = SymInt::from(i64::try_from(count - 1).unwrap_or(i64::MAX));
    let (piece, rest) = match dim.to_sym() {
        None => (None, None),
        Some(d) => {
            let piece = d.ceil_div(&n);
            let before = piece.as_ref().and_then(|p| p.mul(&last));
            (piece, before.and_then(|b| d.sub(&b)))
        }
    };
    if let Some(r) = rest.as_ref().and_then(SymInt::as_const).filter(|r| *r < 0) {
        let m = format!("{dim} positions cannot be cut into {count} pieces: the last would have {r}");
        return Err(OpError::shape(m));
    }
    let mut out = vec![Dim::from_sym(piece); count];
    out[count - 1] = Dim::from_sym(rest);
    Ok(out)
}

impl Semantics for Split {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        let list = if cx.has(1) { sym_list(cx, 1)? } else { None };
        let Some(shape) = &x.shape else {
            return Ok(vec![TensorType::unranked(x.dtype).into(); cx.outputs()]);
        };
        let axis = resolve_axis(self.axis, shape.len())?;
        let pieces = if cx.has(1) && list.is_none() {
            vec![Dim::Unknown; cx.outputs()]
        } else {
            self.pieces(list.as_deref(), &shape[axis], cx.outputs())?
        };
        let one = |d: Dim| {
            let mut s = shape.clone();
            s[axis] = d;
            TensorType::new(x.dtype, s).into()
        };
        Ok(pieces.into_iter().map(one).collect())
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let axis = resolve_axis(self.axis, x.rank())?;
        let list = cx.opt(1)?.map(tensor_list).transpose()?.map(|l| syms(&l));
        let pieces = self.pieces(list.as_deref(), &Dim::from(x.shape()[axis]), cx.outputs)?;
        let steps = steps(x.shape());
        let (mut out, mut at) = (vec![], 0usize);
        for n in super::lists::sizes(&pieces)? {
            let mut shape = x.shape().to_vec();
            shape[axis] = n;
            out.push(copy_strided(x, &shape, &steps, at.wrapping_mul(steps[axis].unsigned_abs()))?.into());
            at += n;
        }
        Ok(out)
    }
    fn contents(&self, cx: &InferCx<'_>) -> Vec<Option<Content>> {
        let content = || {
            let all = elements(cx, 0)?;
            let list = if cx.has(1) { Some(sym_list(cx, 1).ok()??) } else { None };
            let pieces = self.pieces(list.as_deref(), &Dim::from(all.len()), cx.outputs()).ok()?;
            let mut rest = all.as_slice();
            let mut out = vec![];
            for n in super::lists::sizes(&pieces).ok()? {
                let (piece, behind) = rest.split_at_checked(n)?;
                out.push(Some(piece.to_vec().into()));
                rest = behind;
            }
            Some(out)
        };
        content().unwrap_or_default()
    }
}
