//! Granularity of quantization: which scale an element has.
use crate::dim::Dim;
use crate::infer::{InferCx, resolve_axis};
use crate::op::OpError;
use rayon::prelude::*;

/// Elements that take consecutive scales, or one scale: `step` is 1 or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// First scale.
    pub scale: usize,
    /// Distance between the scales of neighbouring elements.
    pub step: usize,
}

/// Concrete granularity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Granularity {
    /// One scale.
    Tensor,
    /// One per position of an axis of `size`, `inner` elements apart.
    Axis {
        /// Positions.
        size: usize,
        /// Elements of one position.
        inner: usize,
    },
    /// One per `block` positions of an axis, for each other position.
    Block {
        /// Positions of the axis.
        size: usize,
        /// Elements of one position.
        inner: usize,
        /// Scales along the axis.
        scales: usize,
        /// Positions of a block.
        block: usize,
    },
}

impl Granularity {
    /// Granularity of `scale`-shaped parameters for `x`-shaped data.
    ///
    /// # Errors
    /// When the shapes, the axis or the block size do not fit.
    pub fn new(x: &[usize], scale: &[usize], axis: i64, block: i64) -> Result<Self, OpError> {
        let bad = || OpError::shape(format!("scales {scale:?} do not fit data {x:?} along axis {axis}"));
        if block < 0 {
            return Err(OpError::attr(format!("block_size {block} is negative")));
        }
        if scale.is_empty() || (scale.len() <= 1 && scale.iter().product::<usize>() == 1) {
            return Ok(Self::Tensor);
        }
        let axis = resolve_axis(axis, x.len())?;
        let inner = crate::ops::linear::compute::count(&x[axis + 1..])?;
        let size = x[axis];
        if block == 0 {
            return if scale == [size] { Ok(Self::Axis { size, inner }) } else { Err(bad()) };
        }
        let block = usize::try_from(block).map_err(|_| bad())?;
        let same = |i: usize| if i == axis { scale[i] == size.div_ceil(block) } else { scale[i] == x[i] };
        if scale.len() != x.len() || !(0..x.len()).all(same) {
            return Err(bad());
        }
        Ok(Self::Block { size, inner, scales: scale[axis], block })
    }
    /// Elements of each run, at least 1.
    fn run_len(&self, total: usize) -> usize {
        match *self {
            Self::Tensor => total.clamp(1, 1 << 15),
            // Along the last axis: whole rows, so that runs never cross a row.
            Self::Axis { size, inner: 1 } | Self::Block { size, inner: 1, .. } => size.max(1),
            Self::Axis { inner, .. } | Self::Block { inner, .. } => inner.max(1),
        }
    }
    /// Calls `each(run, start, part)` for all parts of `out` whose scales are consecutive or one.
    pub fn for_runs<U: Send>(&self, out: &mut [U], each: impl Fn(Run, usize, &mut [U]) + Sync + Send) {
        let len = self.run_len(out.len());
        let one = |(i, part): (usize, &mut [U])| match *self {
            Self::Tensor => each(Run { scale: 0, step: 0 }, i * len, part),
            Self::Axis { inner: 1, .. } => each(Run { scale: 0, step: 1 }, i * len, part),
            Self::Axis { size, .. } => each(Run { scale: i % size, step: 0 }, i * len, part),
            Self::Block { inner: 1, scales, block, .. } => {
                for (b, piece) in part.chunks_mut(block).enumerate() {
                    each(Run { scale: i * scales + b, step: 0 }, i * len + b * block, piece);
                }
            }
            Self::Block { size, inner, scales, block } => {
                let (outer, d) = (i / size, i % size);
                each(Run { scale: (outer * scales + d / block) * inner, step: 1 }, i * len, part);
            }
        };
        if out.len() < 1 << 16 {
            out.chunks_mut(len).enumerate().for_each(one);
        } else {
            out.par_chunks_mut(len).enumerate().for_each(one);
        }
    }
}

/// Refuses scales (operand 1) and zero points (operand 2) that surely do not fit the data (operand 0).
pub(super) fn check(cx: &InferCx<'_>, axis: i64, block: i64) -> Result<(), OpError> {
    if block < 0 {
        return Err(OpError::attr(format!("block_size {block} is negative")));
    }
    let scale = cx.shape(1)?;
    if cx.has(2)
        && let (Some(s), Some(z)) = (scale, cx.shape(2)?)
    {
        let single = |s: &[Dim]| s.len() <= 1 && s.iter().all(|d| d.known() == Some(1));
        let differs = s.len() != z.len() || s.iter().zip(z).any(|(a, b)| a.surely_differs(b));
        if differs && !(single(s) && single(z)) {
            return Err(OpError::shape("scale and zero point differ in shape"));
        }
    }
    let (Some(x), Some(scale)) = (cx.shape(0)?, scale) else { return Ok(()) };
    let known = |s: &[Dim]| -> Option<Vec<usize>> {
        s.iter().map(|d| d.known().and_then(|n| usize::try_from(n).ok())).collect()
    };
    if let (Some(x), Some(s)) = (known(x), known(scale)) {
        Granularity::new(&x, &s, axis, block)?;
    } else if !scale.is_empty() && (block > 0 || scale.len() > 1) {
        resolve_axis(axis, x.len())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scales(g: Granularity, n: usize) -> Vec<usize> {
        let mut out = vec![usize::MAX; n];
        g.for_runs(&mut out, |run, _, part| {
            part.iter_mut().enumerate().for_each(|(i, o)| *o = run.scale + i * run.step);
        });
        out
    }

    #[test]
    fn every_element_has_its_scale() {
        let g = |x: &[usize], s: &[usize], axis, block| Granularity::new(x, s, axis, block).expect("fits");
        assert_eq!(scales(g(&[2, 2], &[1], 1, 0), 4), [0; 4]);
        assert_eq!(scales(g(&[2, 3], &[3], -1, 0), 6), [0, 1, 2, 0, 1, 2]);
        assert_eq!(scales(g(&[2, 2, 2], &[2], 1, 0), 8), [0, 0, 1, 1, 0, 0, 1, 1]);
        assert_eq!(scales(g(&[2, 3], &[2, 2], 1, 2), 6), [0, 0, 1, 2, 2, 3]);
        assert_eq!(scales(g(&[3, 2], &[2, 2], 0, 2), 6), [0, 1, 0, 1, 2, 3]);
        assert!(
            Granularity::new(&[2, 3], &[2], 1, 0).is_err()
                && Granularity::new(&[2, 3], &[2, 2], 1, 1).is_err()
        );
        assert!(
            Granularity::new(&[2, 3], &[2, 2], 1, i64::MAX).is_err()
                && Granularity::new(&[2], &[3], 5, 0).is_err()
        );
    }
}
