//! Tensor expressions computed while they are read, so that rewriting weights costs no memory.
mod permute;
mod quantize;

use super::{Sizes, Storage, Tensor, TensorError, strides};
use crate::dtype::DType;

/// An expression over other tensors. Element types of operands are at least a byte wide and no strings: the constructors refuse others.
#[derive(Clone, Debug)]
pub enum Lazy {
    /// The operand's elements under other sizes.
    Reshape {
        /// Operand.
        x: Tensor,
    },
    /// `y[i_0, ..] = x[i at perm]`: output axis `k` is input axis `perm[k]`.
    Permute {
        /// Operand.
        x: Tensor,
        /// Input axis of each output axis.
        perm: Vec<usize>,
    },
    /// Conversion of each element.
    Cast {
        /// Operand.
        x: Tensor,
        /// Whether 8-bit floats saturate.
        saturate: bool,
    },
    /// A box of the operand, of the result's sizes.
    Slice {
        /// Operand.
        x: Tensor,
        /// First position of each axis.
        starts: Vec<usize>,
    },
    /// Operands one after another along `axis`.
    Concat {
        /// Operands.
        xs: Vec<Tensor>,
        /// Axis they are joined along.
        axis: usize,
    },
    /// `f32` operand times one factor per position of `axis`.
    ScaleChannels {
        /// Operand.
        x: Tensor,
        /// One `f32` factor per position.
        factors: Vec<f32>,
        /// Axis of the factors.
        axis: usize,
    },
    /// `f32` operand divided by scale, rounded to nearest even, moved by the zero point and saturated to integers of at most 8 bits; or, without a zero point,
    /// rounded to 8-bit floats.
    Quantize {
        /// Operand.
        x: Tensor,
        /// Scale per position of `axis`; or per block of it, for each position of the other axes in their order.
        scales: Vec<f32>,
        /// Zero point of each scale.
        zero_points: Vec<i32>,
        /// Axis of the scales.
        axis: usize,
        /// Positions of a block, the last of which may be shorter; 0 where scales are not per block.
        block: usize,
    },
    /// The `f32` numbers that integers of at most 32 bits or small floats stand for: less the zero point, times the scale, each in `f32`.
    Dequantize {
        /// Operand.
        x: Tensor,
        /// Scale per position of `axis`, or per block, as of [`Lazy::Quantize`].
        scales: Vec<f32>,
        /// Zero point of each scale.
        zero_points: Vec<f32>,
        /// Axis of the scales.
        axis: usize,
        /// Positions of a block; 0 where scales are not per block.
        block: usize,
    },
}

fn plain(x: &Tensor) -> Result<(), TensorError> {
    if x.dtype().bits() < 8 {
        return Err(TensorError::DType { what: "a lazy expression", dtype: x.dtype() });
    }
    Ok(())
}

fn channels(x: &Tensor, axis: usize, count: usize) -> Result<(), TensorError> {
    if x.dtype() != DType::F32 || x.shape().get(axis) != Some(&count) {
        let m = format!("{count} channel factors do not fit axis {axis} of {}", x.ty());
        return Err(TensorError::Shape(m));
    }
    Ok(())
}

impl Tensor {
    /// Lazy [`Lazy::Permute`].
    ///
    /// # Errors
    /// When `perm` is no permutation of the axes.
    pub fn permute(&self, perm: &[usize]) -> Result<Self, TensorError> {
        let mut seen = vec![false; self.rank()];
        let valid = perm.len() == self.rank()
            && perm.iter().all(|p| seen.get_mut(*p).is_some_and(|s| !std::mem::replace(s, true)));
        if !valid {
            return Err(TensorError::Shape(format!("{perm:?} does not permute {} axes", self.rank())));
        }
        let shape: Sizes = perm.iter().map(|p| self.shape()[*p]).collect();
        // Moving axes of size 1 moves no data.
        let moved: Vec<usize> = perm.iter().copied().filter(|p| self.shape()[*p] != 1).collect();
        if moved.is_sorted() {
            return self.reshape(&shape);
        }
        if self.dtype().is_packed() && self.dtype().is_int() {
            // Elements that share a byte are moved at once.
            let bytes = if self.dtype().is_signed_int() { DType::I8 } else { DType::U8 };
            return self.cast(bytes, false)?.permute(perm)?.cast(self.dtype(), false);
        }
        plain(self)?;
        // Pieces of a permutation read its operand all over, so that one is computed once.
        let x = if let Storage::Lazy(_) = self.storage() { self.materialize()? } else { self.clone() };
        Self::from_lazy(self.dtype(), &shape, Lazy::Permute { x, perm: perm.to_vec() })
    }
    /// Lazy [`Lazy::Cast`] by the rules of [`super::convert`].
    ///
    /// # Errors
    /// For strings and types narrower than a byte.
    pub fn lazy_cast(&self, dtype: DType, saturate: bool) -> Result<Self, TensorError> {
        plain(self)?;
        if dtype.bits() < 8 {
            return Err(TensorError::DType { what: "a lazy cast", dtype });
        }
        Self::from_lazy(dtype, self.shape(), Lazy::Cast { x: self.clone(), saturate })
    }
    /// Lazy [`Lazy::Slice`] of `sizes` from `starts`.
    ///
    /// # Errors
    /// When the box leaves the tensor.
    pub fn slice(&self, starts: &[usize], sizes: &[usize]) -> Result<Self, TensorError> {
        let fits = |((s, n), d): ((&usize, &usize), &usize)| s.checked_add(*n).is_some_and(|e| e <= *d);
        if starts.len() != self.rank()
            || sizes.len() != self.rank()
            || !starts.iter().zip(sizes).zip(self.shape()).all(fits)
        {
            return Err(TensorError::Shape(format!(
                "box {starts:?}+{sizes:?} leaves shape {:?}",
                self.shape()
            )));
        }
        plain(self)?;
        Self::from_lazy(self.dtype(), sizes, Lazy::Slice { x: self.clone(), starts: starts.to_vec() })
    }
    /// Lazy [`Lazy::Concat`].
    ///
    /// # Errors
    /// When the operands differ in type or in a size other than `axis`, or there are none.
    pub fn concat(xs: &[Self], axis: usize) -> Result<Self, TensorError> {
        let bad = || TensorError::Shape(format!("tensors do not join along axis {axis}"));
        let first = xs.first().ok_or_else(bad)?;
        let mut shape: Sizes = first.shape().into();
        *shape.get_mut(axis).ok_or_else(bad)? = 0;
        for x in xs {
            plain(x)?;
            let same = |i: usize| i == axis || x.shape()[i] == first.shape()[i];
            if x.dtype() != first.dtype() || x.rank() != first.rank() || !(0..x.rank()).all(same) {
                return Err(bad());
            }
            shape[axis] = shape[axis].checked_add(x.shape()[axis]).ok_or_else(bad)?;
        }
        Self::from_lazy(first.dtype(), &shape, Lazy::Concat { xs: xs.to_vec(), axis })
    }
    /// Lazy [`Lazy::ScaleChannels`].
    ///
    /// # Errors
    /// When this is no `f32` tensor with `factors.len()` positions along `axis`.
    pub fn scale_channels(&self, factors: Vec<f32>, axis: usize) -> Result<Self, TensorError> {
        channels(self, axis, factors.len())?;
        let x = self.clone();
        Self::from_lazy(DType::F32, self.shape(), Lazy::ScaleChannels { x, factors, axis })
    }
}

impl Lazy {
    /// Fills `out` with the bytes of `this` (whose storage this is) from byte `start` on.
    pub(super) fn read(&self, this: &Tensor, start: usize, out: &mut [u8]) -> Result<(), TensorError> {
        match self {
            Self::Reshape { x } => return x.read_bytes(start, out),
            Self::Quantize { x, scales, zero_points, axis, block } => {
                return quantize::read(this, x, (scales, zero_points), (*axis, *block), start, out);
            }
            Self::Dequantize { x, scales, zero_points, axis, block } => {
                return quantize::read_real(this, x, (scales, zero_points), (*axis, *block), start, out);
            }
            _ => {}
        }
        let width = this.dtype().bits() as usize / 8;
        if width == 0 || !start.is_multiple_of(width) || !out.len().is_multiple_of(width) {
            return Err(TensorError::Shape("lazy tensors are read in whole elements".to_owned()));
        }
        let first = start / width;
        match self {
            Self::Reshape { .. } | Self::Quantize { .. } | Self::Dequantize { .. } => Ok(()),
            Self::Permute { x, perm } => permute::read(this, x, perm, first, out),
            Self::Cast { x, saturate } => {
                let part = read_part(x, first, out.len() / width)?;
                out.copy_from_slice(&part.cast(this.dtype(), *saturate)?.bytes()?);
                Ok(())
            }
            Self::Slice { x, starts } => read_slice(this, x, starts, first, out),
            Self::Concat { xs, axis } => read_concat(this, xs, *axis, first, out),
            Self::ScaleChannels { x, factors, axis } => {
                let part = read_part(x, first, out.len() / width)?;
                let inner = inner_size(this, *axis);
                let scaled = |(i, v): (usize, &f32)| v * factors[(first + i) / inner % factors.len()];
                let values: Vec<f32> = part.view::<f32>()?.iter().enumerate().map(scaled).collect();
                out.copy_from_slice(bytemuck::must_cast_slice(&values));
                Ok(())
            }
        }
    }
    /// Tensors the expression reads.
    pub fn operands(&self) -> &[Tensor] {
        match self {
            Self::Concat { xs, .. } => xs,
            Self::Reshape { x }
            | Self::Permute { x, .. }
            | Self::Cast { x, .. }
            | Self::Slice { x, .. }
            | Self::ScaleChannels { x, .. }
            | Self::Quantize { x, .. }
            | Self::Dequantize { x, .. } => std::slice::from_ref(x),
        }
    }
}

fn inner_size(x: &Tensor, axis: usize) -> usize {
    x.shape()[axis + 1..].iter().product::<usize>().max(1)
}

/// Elements `first..first + count` of `x` as a 1-d tensor.
fn read_part(x: &Tensor, first: usize, count: usize) -> Result<Tensor, TensorError> {
    let width = x.dtype().bits() as usize / 8;
    if let Storage::Bytes(b, _) = x.storage() {
        let part = b.slice(first * width..(first + count) * width);
        return Tensor::from_bytes(x.dtype(), &[count], part, None);
    }
    let mut bytes = vec![0; count * width];
    x.read_bytes(first * width, &mut bytes)?;
    Tensor::from_bytes(x.dtype(), &[count], bytes.into(), None)
}

/// The first position of the row behind that of `index`.
fn next_row(index: &mut [usize], shape: &[usize]) {
    let Some(last) = index.len().checked_sub(1) else { return };
    index[last] = 0;
    for axis in (0..last).rev() {
        index[axis] += 1;
        if index[axis] < shape[axis] {
            return;
        }
        index[axis] = 0;
    }
}

fn unravel(mut flat: usize, shape: &[usize]) -> Sizes {
    let mut index: Sizes = shape.into();
    for (i, d) in shape.iter().enumerate().rev() {
        index[i] = flat % d.max(&1);
        flat /= d.max(&1);
    }
    index
}

fn read_slice(
    this: &Tensor,
    x: &Tensor,
    starts: &[usize],
    first: usize,
    out: &mut [u8],
) -> Result<(), TensorError> {
    let width = this.dtype().bits() as usize / 8;
    let in_strides = strides(x.shape());
    let row = this.shape().last().copied().unwrap_or(1).max(1);
    let (mut done, total) = (0, out.len() / width);
    while done < total {
        let index = unravel(first + done, this.shape());
        let column = index.last().copied().unwrap_or(0);
        let n = (row - column).min(total - done);
        let at: usize = index.iter().zip(starts).zip(&in_strides).map(|((i, s), st)| (i + s) * st).sum();
        x.read_bytes(at * width, &mut out[done * width..(done + n) * width])?;
        done += n;
    }
    Ok(())
}

fn read_concat(
    this: &Tensor,
    xs: &[Tensor],
    axis: usize,
    first: usize,
    out: &mut [u8],
) -> Result<(), TensorError> {
    let width = this.dtype().bits() as usize / 8;
    let inner = inner_size(this, axis);
    let block = inner * this.shape()[axis];
    let (mut done, total) = (0, out.len() / width);
    while done < total {
        let (outer, mut within) = ((first + done) / block, (first + done) % block);
        for x in xs {
            let own = x.shape()[axis] * inner;
            if within >= own {
                within -= own;
                continue;
            }
            let n = (own - within).min(total - done);
            x.read_bytes((outer * own + within) * width, &mut out[done * width..(done + n) * width])?;
            done += n;
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iota(shape: &[usize]) -> Tensor {
        Tensor::from_vec(shape, (0..shape.iter().product::<usize>()).map(|v| v as f32).collect())
    }

    fn pieces(t: &Tensor, step: usize) -> Vec<u8> {
        let mut out = vec![0; t.byte_len()];
        for (i, piece) in out.chunks_mut(step).enumerate() {
            t.read_bytes(i * step, piece).expect("in range");
        }
        out
    }

    #[test]
    fn lazy_reads_do_not_depend_on_the_pieces() {
        let x = iota(&[2, 3, 4]);
        let y = x.permute(&[2, 0, 1]).expect("valid");
        assert_eq!(y.view::<f32>().expect("f32")[..6], [0.0, 4.0, 8.0, 12.0, 16.0, 20.0]);
        let s = x.slice(&[0, 1, 1], &[2, 2, 2]).expect("valid");
        assert_eq!(*s.view::<f32>().expect("f32"), [5.0, 6.0, 9.0, 10.0, 17.0, 18.0, 21.0, 22.0]);
        let c = Tensor::concat(&[x.clone(), s.slice(&[0, 0, 0], &[2, 2, 2]).expect("valid")], 0);
        assert!(c.is_err());
        let c =
            Tensor::concat(&[x.clone(), x.slice(&[0, 1, 0], &[2, 1, 4]).expect("valid")], 1).expect("fits");
        assert_eq!(c.view::<f32>().expect("f32")[10..18], [10., 11., 4., 5., 6., 7., 12., 13.]);
        let scaled = x.scale_channels(vec![1.0, 10.0, 100.0], 1).expect("fits");
        assert_eq!(scaled.view::<f32>().expect("f32")[3..6], [3.0, 40.0, 50.0]);
        let cast = y.lazy_cast(DType::I32, true).expect("plain");
        for t in [&y, &s, &c, &scaled, &cast] {
            assert_eq!(pieces(t, 4), pieces(t, 20), "{t:?}");
        }
    }

    #[test]
    fn a_reshaped_expression_keeps_its_elements() {
        let y = iota(&[2, 3]).permute(&[1, 0]).expect("valid").reshape(&[6]).expect("same count");
        assert_eq!(*y.view::<f32>().expect("f32"), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(pieces(&y, 4), pieces(&y, 12));
    }

    #[test]
    fn reshaping_a_lazy_tensor_keeps_its_elements() {
        let y = iota(&[2, 3]).permute(&[1, 0]).expect("valid").reshape(&[6]).expect("same count");
        assert_eq!(*y.view::<f32>().expect("f32"), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        let row = iota(&[2, 3]).slice(&[0, 1], &[2, 2]).expect("valid").reshape(&[1, 4]).expect("same count");
        assert_eq!(*row.view::<f32>().expect("f32"), [1.0, 2.0, 4.0, 5.0]);
    }

    #[test]
    fn permuting_size_one_axes_is_a_reshape() {
        let y = iota(&[1, 3, 1, 4]).permute(&[1, 0, 3, 2]).expect("valid");
        assert!(matches!(y.storage(), Storage::Owned(_)) && y.shape() == [3, 1, 4, 1]);
    }
}
