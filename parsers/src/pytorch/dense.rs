//! Views on storages as IR tensors, in place where that can be.

use bytes::Bytes;
use hoist_ir::tensor::{FileSpan, Tensor};

use super::lift::promote::ir_dtype;
use super::tensor::{TensorError, View};

impl View {
    /// The view as a tensor. One that is contiguous is a slice of `storage`; one that permutes or cuts a contiguous one is computed while it
    /// is read; any other, such as an expanded one, is made dense here. `span` tells where `storage` lies in its file.
    ///
    /// # Errors
    /// [`TensorError`] when the view leaves the storage, would be far larger than it when dense, or is of a type the IR does not have.
    pub fn tensor(&self, storage: &Bytes, span: Option<&FileSpan>) -> Result<Tensor, TensorError> {
        let dtype = ir_dtype(self.dtype).ok_or(TensorError::Type(self.dtype))?;
        let sizes: Option<Vec<usize>> = self.sizes.iter().map(|&n| usize::try_from(n).ok()).collect();
        let sizes = sizes.ok_or_else(|| TensorError::Overflow(self.sizes.clone()))?;
        let within = |data: &Bytes| {
            let offset = (data.as_ptr() as usize).checked_sub(storage.as_ptr() as usize)?;
            let inside = offset.checked_add(data.len()).is_some_and(|end| end <= storage.len());
            let span = span.filter(|_| inside)?;
            Some(FileSpan { file: span.file.clone(), offset: span.offset + offset as u64 })
        };
        let made = |sizes: &[usize], data: Bytes| {
            let span = within(&data);
            Tensor::from_bytes(dtype, sizes, data, span).map_err(|e| TensorError::Made(e.to_string()))
        };
        if let Some(cut) = self.cut(storage.len()) {
            let lazy = || made(&cut.base, storage.slice(cut.bytes.clone()))?.cut_to(&cut, &sizes);
            return lazy();
        }
        made(&sizes, self.read(storage)?)
    }

    /// The view as a box of a contiguous tensor with its axes permuted; `None` when it is contiguous itself, is no such box, or the storage of
    /// `held` bytes does not hold the whole rows that the box is cut from.
    fn cut(&self, held: usize) -> Option<Cut> {
        if self.is_contiguous() || self.numel().ok()? == 0 {
            return None;
        }
        let width = self.dtype.size();
        let mut axes: Vec<usize> = (0..self.sizes.len()).filter(|&i| self.sizes[i] != 1).collect();
        axes.sort_by_key(|&i| (std::cmp::Reverse(self.strides[i]), i));
        let (mut base, mut starts, mut rest) = (vec![], vec![], usize::try_from(self.offset).ok()?);
        let mut outer: Option<usize> = None;
        for &axis in &axes {
            let (size, stride) =
                (usize::try_from(self.sizes[axis]).ok()?, usize::try_from(self.strides[axis]).ok()?);
            let (start, below) = (rest.checked_div(stride)?, rest.checked_rem(stride)?);
            match outer {
                // Rows before the first one are left out altogether.
                None => (base.push(size), starts.push(0)),
                Some(outer) if outer % stride == 0 && start.checked_add(size)? <= outer / stride => {
                    (base.push(outer / stride), starts.push(start))
                }
                Some(_) => return None,
            };
            (outer, rest) = (Some(stride), below);
        }
        let inner = outer?;
        base.push(inner);
        starts.push(rest);
        let row = axes.first().map(|&i| self.strides[i] as usize)?;
        let first = (self.offset as usize / row).checked_mul(row)?;
        let count = base.iter().try_fold(1_usize, |n, &d| n.checked_mul(d))?;
        let bytes = first.checked_mul(width)?..first.checked_add(count)?.checked_mul(width)?;
        (bytes.end <= held).then_some(Cut { base, starts, axes, bytes })
    }
}

/// A box of a contiguous tensor.
struct Cut {
    /// Sizes of that tensor: those of `axes`, then the elements between neighbours of the last of them.
    base: Vec<usize>,
    /// First position on each of its axes.
    starts: Vec<usize>,
    /// The view's axes in the order of the tensor's.
    axes: Vec<usize>,
    /// The tensor's bytes in the storage.
    bytes: std::ops::Range<usize>,
}

/// Cutting a tensor to a view.
trait CutTo {
    /// The view of `sizes` that `cut` describes.
    fn cut_to(self, cut: &Cut, sizes: &[usize]) -> Result<Tensor, TensorError>;
}

impl CutTo for Tensor {
    fn cut_to(self, cut: &Cut, sizes: &[usize]) -> Result<Tensor, TensorError> {
        // Axes of the base in the order of the view, then the innermost one.
        let mut perm: Vec<usize> = (0..cut.axes.len()).collect();
        perm.sort_by_key(|&i| cut.axes[i]);
        perm.push(cut.axes.len());
        let starts: Vec<usize> = perm.iter().map(|&i| cut.starts[i]).collect();
        let mut extents: Vec<usize> = cut.axes.iter().map(|&axis| sizes[axis]).collect();
        extents.push(1);
        let extents: Vec<usize> = perm.iter().map(|&i| extents[i]).collect();
        let permuted = self.permute(&perm);
        let boxed =
            permuted.and_then(|t| if t.shape() == extents { Ok(t) } else { t.slice(&starts, &extents) });
        boxed.and_then(|t| t.reshape(sizes)).map_err(|e| TensorError::Made(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pytorch::tensor::TorchDtype;
    use hoist_ir::tensor::Storage;

    fn both(sizes: &[i64], strides: &[i64], offset: i64, elements: u8) -> Tensor {
        let storage: Bytes = (0..elements).flat_map(|i| [i, 1]).collect();
        let view = View::new(TorchDtype::Int16, sizes, strides, offset).unwrap();
        let tensor = view.tensor(&storage, None).unwrap();
        assert_eq!(tensor.to_shared_bytes().unwrap(), view.read(&storage).unwrap(), "{sizes:?} {strides:?}");
        tensor
    }

    #[test]
    fn boxes_of_contiguous_tensors_are_lazy() {
        let lazy = |t: &Tensor| matches!(t.storage(), Storage::Lazy(_));
        for (sizes, strides, offset) in [
            (&[4, 3][..], &[1, 4][..], 0), // transposed
            (&[2, 3], &[6, 1], 7),         // a box
            (&[3, 2], &[1, 6], 7),         // a box, transposed
            (&[4, 3], &[6, 2], 0),         // every other column
            (&[4], &[6], 2),               // a column
            (&[1, 2, 3, 4], &[24, 1, 8, 2], 0),
            (&[2, 2, 2], &[12, 3, 2], 1),
        ] {
            let t = both(sizes, strides, offset, 24);
            assert_eq!(lazy(&t), strides != [12, 3, 2], "{sizes:?} {strides:?}");
        }
    }

    #[test]
    fn other_views_are_read() {
        // Expanded, overlapping, ending inside the last row, contiguous, empty.
        both(&[2, 3], &[0, 1], 0, 3);
        both(&[3, 2], &[1, 1], 0, 6);
        both(&[4, 3], &[6, 2], 0, 23);
        both(&[2, 3], &[3, 1], 1, 7);
        both(&[0, 3], &[1, 5], 1, 7);
        both(&[], &[], 3, 7);
        assert!(
            View::new(TorchDtype::Complex32, &[1], &[1], 0).unwrap().tensor(&Bytes::new(), None).is_err()
        );
    }
}
