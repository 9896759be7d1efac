//! Sizes of sliding-window operators.

use super::{KernelError, product};

/// Batch size and channel counts of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channels {
    /// Number of samples.
    pub batch: usize,
    /// Channels of the input.
    pub input: usize,
    /// Channels of the output.
    pub output: usize,
}

/// How ONNX's `auto_pad` chooses the padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoPad {
    /// Output size `ceil(input / stride)`, an odd element goes to the end.
    SameUpper,
    /// Output size `ceil(input / stride)`, an odd element goes to the beginning.
    SameLower,
    /// No padding.
    Valid,
}

/// Spatial geometry of a convolution or pooling; all vectors have one entry per spatial dimension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Spatial extents of the input.
    pub input: Vec<usize>,
    /// Kernel extents, at least 1.
    pub kernel: Vec<usize>,
    /// Steps between windows, at least 1.
    pub strides: Vec<usize>,
    /// Steps between the taps of a window, at least 1.
    pub dilations: Vec<usize>,
    /// Padding before each dimension.
    pub pads_begin: Vec<usize>,
    /// Padding after each dimension.
    pub pads_end: Vec<usize>,
    /// Number of groups that channels are split into, at least 1.
    pub groups: usize,
}

impl ConvGeometry {
    /// Geometry with stride 1, dilation 1, no padding and one group.
    pub fn new(input: &[usize], kernel: &[usize]) -> Self {
        let ones = vec![1; input.len()];
        let zeros = vec![0; input.len()];
        Self {
            input: input.to_vec(),
            kernel: kernel.to_vec(),
            strides: ones.clone(),
            dilations: ones,
            pads_begin: zeros.clone(),
            pads_end: zeros,
            groups: 1,
        }
    }

    /// Number of spatial dimensions.
    pub fn rank(&self) -> usize {
        self.input.len()
    }

    /// Refuses vectors of unequal length, zero kernels, strides, dilations or groups.
    pub fn validate(&self) -> Result<(), KernelError> {
        let rank = self.rank();
        let parts = [&self.kernel, &self.strides, &self.dilations, &self.pads_begin, &self.pads_end];
        if parts.iter().any(|v| v.len() != rank) {
            let message = format!("kernel, strides, dilations and pads must have {rank} entries each");
            return Err(KernelError::Geometry(message));
        }
        if [&self.kernel, &self.strides, &self.dilations].iter().any(|v| v.contains(&0)) || self.groups == 0 {
            return Err(KernelError::Geometry(
                "kernel, strides, dilations and group must be at least 1".to_owned(),
            ));
        }
        Ok(())
    }

    /// Extent of the dilated window in dimension `d`.
    pub(crate) fn window(&self, d: usize) -> Result<usize, KernelError> {
        dilated(self.kernel[d], self.dilations[d])
    }

    /// Extent of the padded input in dimension `d`. Also bounds it to the positive range of `isize`.
    fn padded(&self, d: usize) -> Result<usize, KernelError> {
        self.input[d]
            .checked_add(self.pads_begin[d])
            .and_then(|v| v.checked_add(self.pads_end[d]))
            .filter(|&v| isize::try_from(v).is_ok())
            .ok_or(KernelError::Overflow("the padded input"))
    }

    /// Spatial extents of a convolution's output, `floor((padded - window) / stride) + 1`.
    ///
    /// # Errors
    /// Fails when the geometry is inconsistent or a window is larger than the padded input.
    pub fn output_shape(&self) -> Result<Vec<usize>, KernelError> {
        self.pooled_shape(false)
    }

    /// Spatial extents of a pooling's output. With `ceil_mode` the last partial window counts, unless it would begin
    /// in the padding at the end.
    pub fn pooled_shape(&self, ceil_mode: bool) -> Result<Vec<usize>, KernelError> {
        self.validate()?;
        (0..self.rank()).map(|d| self.pooled_extent(d, ceil_mode)).collect()
    }

    fn pooled_extent(&self, d: usize, ceil_mode: bool) -> Result<usize, KernelError> {
        let (padded, window, stride) = (self.padded(d)?, self.window(d)?, self.strides[d]);
        let Some(travel) = padded.checked_sub(window) else {
            let message =
                format!("the window of {window} exceeds the padded input of {padded} in dimension {d}");
            return Err(KernelError::Geometry(message));
        };
        if !ceil_mode {
            return Ok(travel / stride + 1);
        }
        let steps = travel.div_ceil(stride);
        let starts_in_end_padding = steps.saturating_mul(stride) >= self.input[d] + self.pads_begin[d];
        Ok(if starts_in_end_padding { steps } else { steps + 1 })
    }

    /// Spatial extents of a transposed convolution's output:
    /// `stride * (input - 1) + output_padding + window - pads`.
    pub fn transposed_shape(&self, output_padding: &[usize]) -> Result<Vec<usize>, KernelError> {
        self.validate()?;
        if output_padding.len() != self.rank() {
            return Err(KernelError::Geometry(format!("output_padding must have {} entries", self.rank())));
        }
        (0..self.rank()).map(|d| self.transposed_extent(d, output_padding[d])).collect()
    }

    fn transposed_extent(&self, d: usize, output_padding: usize) -> Result<usize, KernelError> {
        let overflow = || KernelError::Overflow("the output of a transposed convolution");
        let steps = self.input[d].saturating_sub(1);
        let full = steps
            .checked_mul(self.strides[d])
            .and_then(|v| v.checked_add(output_padding))
            .and_then(|v| v.checked_add(self.window(d).ok()?))
            .filter(|&v| isize::try_from(v).is_ok())
            .ok_or_else(overflow)?;
        let pads = self.pads_begin[d].checked_add(self.pads_end[d]).ok_or_else(overflow)?;
        full.checked_sub(pads).ok_or_else(|| {
            KernelError::Geometry(format!("pads of {pads} exceed the output of {full} in dimension {d}"))
        })
    }

    /// Elements of the kernel.
    pub(crate) fn taps(&self) -> Result<usize, KernelError> {
        product("the kernel", self.kernel.iter().copied())
    }

    /// Sets the pads as ONNX's `auto_pad` does. `SAME_*` pads so that the output extent is `ceil(input / stride)`,
    /// with the dilated window.
    pub fn auto_pad(&mut self, mode: AutoPad) -> Result<(), KernelError> {
        self.validate()?;
        for d in 0..self.rank() {
            let total = match mode {
                AutoPad::Valid => 0,
                _ => same_padding(self.input[d], self.window(d)?, self.strides[d])?,
            };
            let small = total / 2;
            let (begin, end) =
                if mode == AutoPad::SameLower { (total - small, small) } else { (small, total - small) };
            (self.pads_begin[d], self.pads_end[d]) = (begin, end);
        }
        Ok(())
    }
}

/// `(kernel - 1) * dilation + 1`, at most `isize::MAX`.
fn dilated(kernel: usize, dilation: usize) -> Result<usize, KernelError> {
    kernel
        .checked_sub(1)
        .and_then(|k| k.checked_mul(dilation))
        .and_then(|k| k.checked_add(1))
        .filter(|&k| isize::try_from(k).is_ok())
        .ok_or(KernelError::Overflow("the dilated window"))
}

/// Total padding for an output extent of `ceil(input / stride)`.
fn same_padding(input: usize, window: usize, stride: usize) -> Result<usize, KernelError> {
    let steps = input.div_ceil(stride).saturating_sub(1);
    let needed = steps
        .checked_mul(stride)
        .and_then(|v| v.checked_add(window))
        .ok_or(KernelError::Overflow("the padded input"))?;
    Ok(needed.saturating_sub(input))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(input: usize, kernel: usize, stride: usize, pads: (usize, usize)) -> ConvGeometry {
        ConvGeometry {
            strides: vec![stride],
            pads_begin: vec![pads.0],
            pads_end: vec![pads.1],
            ..ConvGeometry::new(&[input], &[kernel])
        }
    }

    #[test]
    fn floor_and_ceil_sizes() {
        let g = geometry(6, 2, 3, (0, 1));
        assert_eq!(g.pooled_shape(false), Ok(vec![2]));
        assert_eq!(g.pooled_shape(true), Ok(vec![2]), "a window that starts in the end padding is dropped");
        assert_eq!(geometry(7, 2, 2, (0, 0)).pooled_shape(true), Ok(vec![4]));
        assert_eq!(geometry(7, 2, 2, (0, 0)).pooled_shape(false), Ok(vec![3]));
    }

    #[test]
    fn same_pads_split_the_odd_element() {
        let mut g = geometry(5, 4, 2, (9, 9));
        assert_eq!(g.auto_pad(AutoPad::SameUpper), Ok(()));
        assert_eq!((g.pads_begin[0], g.pads_end[0]), (1, 2));
        assert_eq!(g.auto_pad(AutoPad::SameLower), Ok(()));
        assert_eq!((g.pads_begin[0], g.pads_end[0]), (2, 1));
        assert_eq!(g.output_shape(), Ok(vec![3]));
        assert_eq!(g.auto_pad(AutoPad::Valid), Ok(()));
        assert_eq!((g.pads_begin[0], g.pads_end[0]), (0, 0));
    }

    #[test]
    fn refuses_what_cannot_be() {
        assert!(geometry(3, 5, 1, (0, 1)).output_shape().is_err());
        assert!(geometry(3, 2, 0, (0, 0)).output_shape().is_err());
        assert!(geometry(3, 2, 1, (usize::MAX, 1)).output_shape().is_err());
        let huge = ConvGeometry { dilations: vec![usize::MAX], ..geometry(3, 3, 1, (0, 0)) };
        assert!(huge.output_shape().is_err());
        assert!(geometry(2, 2, 1, (4, 4)).transposed_shape(&[0]).is_err());
    }

    #[test]
    fn transposed_size() {
        assert_eq!(geometry(3, 3, 2, (1, 1)).transposed_shape(&[1]), Ok(vec![6]));
    }
}
