//! `unique`
use super::gather::count;
use crate::dim::Dim;
use crate::dtype::{ANY, DType, I64_ONLY};
use crate::eval::{EvalCx, Value};
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::movement::pick::pick_blocks;
use crate::ops::movement::{lists, strided};
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};
use std::cmp::Ordering;

crate::op! {
    /// Distinct elements, or distinct slices along `axis`: them, where each first occurs, which of them each position holds, and how often each occurs.
    unique Unique(x: One<T>) -> (y: One<T>, indices: Opt<I>, inverse_indices: Opt<I>, counts: Opt<I>) {
        /// Axis whose slices are compared; without it single elements are.
        axis: Option<i64> = None,
        /// Whether the result is sorted, else in order of first occurrence.
        sorted: bool = true,
    } where T: ANY, I: I64_ONLY;
}

/// Total order of elements: numbers by value with NaN last, texts by code points.
fn compare(values: &Wide, a: usize, b: usize) -> Ordering {
    fn float(a: f64, b: f64) -> Ordering {
        a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
    }
    match values {
        Wide::F32(v) => float(f64::from(v[a]), f64::from(v[b])),
        Wide::F64(v) => float(v[a], v[b]),
        Wide::I64(v) => v[a].cmp(&v[b]),
        Wide::U64(v) => v[a].cmp(&v[b]),
        Wide::C128(v) => float(v[a].re, v[b].re).then_with(|| float(v[a].im, v[b].im)),
        Wide::Str(v) => v[a].cmp(&v[b]),
    }
}

/// Groups of equal blocks: the first block of each, and the group of every block.
fn groups(
    x: &Tensor,
    blocks: usize,
    block: usize,
    sorted: bool,
) -> Result<(Vec<usize>, Vec<usize>), OpError> {
    let values = x.widen()?;
    let order = |a: &usize, b: &usize| {
        let element = |k: usize| compare(&values, a * block + k, b * block + k);
        (0..block).map(element).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    };
    let mut by_value: Vec<usize> = (0..blocks).collect();
    by_value.sort_by(order);
    // Stable, so that the first of equal blocks is the one that occurs first.
    let (mut firsts, mut group) = (Vec::<usize>::new(), vec![0; blocks]);
    for b in by_value {
        if firsts.last().is_none_or(|f| order(f, &b).is_ne()) {
            firsts.push(b);
        }
        group[b] = firsts.len() - 1;
    }
    if !sorted {
        let mut by_place: Vec<usize> = (0..firsts.len()).collect();
        by_place.sort_by_key(|g| firsts[*g]);
        let mut rank = vec![0; firsts.len()];
        for (new, old) in by_place.iter().enumerate() {
            rank[*old] = new;
        }
        for g in &mut group {
            *g = rank[*g];
        }
        firsts.sort_unstable();
    }
    Ok((firsts, group))
}

/// `x` with `axis` moved to the front (`back` undoes it).
fn moved(x: &Tensor, axis: usize, back: bool) -> Result<Tensor, OpError> {
    let mut perm: Vec<usize> = (0..x.rank()).collect();
    if back {
        perm[..=axis].rotate_left(1);
    } else {
        perm[..=axis].rotate_right(1);
    }
    let own = lists::steps(x.shape());
    let shape: Vec<usize> = perm.iter().map(|p| x.shape()[*p]).collect();
    let steps: Vec<isize> = perm.iter().map(|p| own[*p]).collect();
    strided::copy_strided(x, &shape, &steps, 0)
}

impl Semantics for Unique {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        let y = match (self.axis, &x.shape) {
            (None, _) => TensorType::of_rank(x.dtype, 1),
            (Some(_), None) => TensorType::unranked(x.dtype),
            (Some(a), Some(s)) => {
                let mut s = s.clone();
                let axis = resolve_axis(a, s.len())?;
                s[axis] = Dim::Unknown;
                TensorType::new(x.dtype, s)
            }
        };
        let list = || Type::from(TensorType::of_rank(DType::I64, 1));
        Ok(vec![y.into(), list(), list(), list()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let axis = self.axis.map(|a| resolve_axis(a, x.rank())).transpose()?;
        let front = match axis {
            Some(a) => moved(x, a, false)?,
            None => x.reshape(&[x.len()])?,
        };
        let (blocks, block) = (front.shape()[0], count(&front.shape()[1..])?);
        if blocks > 0 && block == 0 {
            return Err(OpError::shape("slices without elements cannot be told apart"));
        }
        let (firsts, group) = groups(&front, blocks, block, self.sorted)?;
        let mut shape = front.shape().to_vec();
        shape[0] = firsts.len();
        let y = pick_blocks(&front, &firsts, block, &shape)?;
        let y = if let Some(a) = axis { moved(&y, a, true)? } else { y };
        let mut counts = vec![0usize; firsts.len()];
        for g in &group {
            counts[*g] += 1;
        }
        let list =
            |v: &[usize]| Value::Tensor(Tensor::from_ints(&v.iter().map(|n| *n as i64).collect::<Vec<_>>()));
        Ok(vec![y.into(), list(&firsts), list(&group), list(&counts)])
    }
}
