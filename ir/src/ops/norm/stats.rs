//! Means and variances, and what normalizations share.
use crate::dim::Dim;
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::linear::compute::{Compute, PARALLEL};
use crate::types::{Shape, Type};
use rayon::prelude::*;

/// Interleaved partial sums, so that the processor can add several at once.
const LANES: usize = 8;

/// Sum of `map` of the elements in `f64`. The order of additions depends on the length alone.
pub(super) fn sum<T: Compute>(x: &[T], map: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for c in chunks {
        lanes.iter_mut().zip(c).for_each(|(l, v)| *l += map(v.to_f64()));
    }
    lanes.iter_mut().zip(rest).for_each(|(l, v)| *l += map(v.to_f64()));
    lanes.iter().sum()
}

/// Mean of the elements.
pub(super) fn mean<T: Compute>(x: &[T]) -> f64 {
    sum(x, |v| v) / x.len() as f64
}

/// Mean and population variance of the elements.
pub(super) fn moments<T: Compute>(x: &[T]) -> (f64, f64) {
    let m = mean(x);
    (m, sum(x, |v| (v - m) * (v - m)) / x.len() as f64)
}

/// Calls `each(i, chunk)` for the chunks of `size` elements of `values`, on several threads when there is much to do.
pub(super) fn for_chunks<T: Send>(
    values: &mut [T],
    size: usize,
    each: impl Fn(usize, &mut [T]) + Sync + Send,
) {
    if size == 0 {
        return;
    }
    if values.len() < PARALLEL {
        values.chunks_mut(size).enumerate().for_each(|(i, c)| each(i, c));
    } else {
        values.par_chunks_mut(size).enumerate().for_each(|(i, c)| each(i, c));
    }
}

/// Refuses operand `i` unless it holds one number per channel; otherwise what it and `channels` tell of their number.
pub(super) fn check_per_channel(cx: &InferCx<'_>, i: usize, channels: &Dim) -> Result<Dim, OpError> {
    let Some(shape) = cx.shape(i)? else { return Ok(channels.clone()) };
    let met = if let [c] = shape.as_slice() { channels.meet(c) } else { None };
    met.ok_or_else(|| match cx.ty(i) {
        Ok(ty) => {
            OpError::shape(format!("operand {i} is {ty}, not one number for each of {channels} channels"))
        }
        Err(e) => e,
    })
}

/// Type of operand 0, of which the result has the shape; and the shape, when its rank is known.
pub(super) fn same_as_first<'a>(cx: &InferCx<'a>) -> Result<(Type, Option<&'a Shape>), OpError> {
    Ok((cx.ty(0)?.clone(), cx.shape(0)?))
}

/// Operand elements stretched over the last axes of data: `(value of element i of a row)`.
pub(super) enum Stretched<T> {
    /// One number for all.
    One(T),
    /// One number per element of a row of that many elements; rows repeat.
    Row(Vec<T>),
    /// One number per element of the data.
    Full(Vec<T>),
}

impl<T: Compute> Stretched<T> {
    /// `values` of shape `own` stretched to `shape`; rows have `row` elements.
    ///
    /// # Errors
    /// When the shapes do not stretch.
    pub fn new(values: &[T], own: &[usize], shape: &[usize], row: usize) -> Result<Self, OpError> {
        let lead = own.iter().take_while(|n| **n == 1).count();
        let trimmed = &own[lead.min(own.len())..];
        let bad = || OpError::shape(format!("{own:?} does not stretch to {shape:?}"));
        if own.len() > shape.len() && own[..own.len() - shape.len()].iter().any(|n| *n != 1) {
            return Err(bad());
        }
        if let [v] = values
            && trimmed.is_empty()
        {
            return Ok(Self::One(*v));
        }
        let tail = shape.get(shape.len().wrapping_sub(trimmed.len())..).ok_or_else(bad)?;
        if tail.iter().zip(trimmed).any(|(d, n)| *n != 1 && n != d) {
            return Err(bad());
        }
        if tail == trimmed && values.len() == row {
            return Ok(Self::Row(values.to_vec()));
        }
        Ok(Self::Full(stretch(values, trimmed, shape)))
    }
    /// The value for element `i` of the data, element `j` of its row.
    pub fn at(&self, i: usize, j: usize) -> T {
        match self {
            Self::One(v) => *v,
            Self::Row(v) => v[j],
            Self::Full(v) => v[i],
        }
    }
}

/// `values` of shape `own`, whose axes are 1 or those of `shape` aligned at the end, repeated to fill `shape`.
fn stretch<T: Copy>(values: &[T], own: &[usize], shape: &[usize]) -> Vec<T> {
    let steps = crate::tensor::strides(own);
    let lead = shape.len() - own.len();
    let total = crate::tensor::element_count(shape).unwrap_or(0);
    let at = |mut i: usize| {
        let mut place = 0;
        for (d, size) in shape.iter().enumerate().rev() {
            if d >= lead && own[d - lead] != 1 {
                place += i % size * steps[d - lead];
            }
            i /= size;
        }
        values[place]
    };
    (0..total).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_any_length() {
        let x: Vec<f32> = (0..19).map(|v| v as f32 + 1e4).collect();
        let (m, v) = moments(&x);
        assert!((m - 10009.0).abs() < 1e-9 && (v - 30.0).abs() < 1e-9, "{m} {v}");
    }

    #[test]
    fn operands_stretch_or_are_refused() {
        let s = Stretched::new(&[1f32, 2.], &[2, 1], &[3, 2, 2], 4).expect("stretches");
        assert_eq!((0..6).map(|i| s.at(i, i % 4)).collect::<Vec<_>>(), [1., 1., 2., 2., 1., 1.]);
        assert!(matches!(Stretched::new(&[1f32, 2.], &[1, 2], &[3, 2], 2), Ok(Stretched::Row(_))));
        assert!(Stretched::new(&[1f32, 2., 3.], &[3], &[3, 2], 2).is_err());
        assert!(Stretched::new(&[1f32, 2.], &[2, 1, 1], &[2, 2], 2).is_err());
    }
}
