//! Which scale and zero point each element of quantized weights has.
use crate::quantize::weights::Quantized;
use hoist_ir::tensor::TensorError;

/// Scales and zero points, and which elements have them.
pub struct Steps {
    scales: Vec<f64>,
    zeros: Vec<f64>,
    /// Positions of the axis of scales that follow it.
    inner: usize,
    length: usize,
    block: usize,
    shared: bool,
    bounds: (f64, f64),
}

impl Steps {
    /// Those of `stored`.
    ///
    /// # Errors
    /// When the parts do not fit each other, or a scale is 0 or not finite.
    pub fn of(stored: &Quantized) -> Result<Self, TensorError> {
        let shape = stored.data.shape();
        let scales = stored.scales.to_f64s()?;
        let zeros = match &stored.zero_points {
            Some(z) => z.to_f64s()?,
            None => vec![0.0; scales.len()],
        };
        let wrong = || TensorError::Shape("scales do not fit".to_owned());
        let length = *shape.get(stored.axis).ok_or_else(wrong)?;
        let inner: usize = shape[stored.axis + 1..].iter().copied().fold(1, usize::saturating_mul);
        let outer: usize = shape[..stored.axis].iter().copied().fold(1, usize::saturating_mul);
        let shared = stored.scales.rank() == 0 || scales.len() == 1;
        let expected = match stored.block {
            _ if shared => 1,
            0 => length,
            block => outer * length.div_ceil(block) * inner,
        };
        let (low, high) = stored.data.dtype().int_range().ok_or_else(wrong)?;
        let finite = scales.iter().all(|s| s.is_finite() && *s != 0.0);
        if scales.len() != expected || zeros.len() != expected || !finite {
            return Err(wrong());
        }
        Ok(Self {
            scales,
            zeros,
            inner,
            length,
            block: stored.block,
            shared,
            bounds: (low as f64, high as f64),
        })
    }
    /// Scale and zero point of element `at`, counted over all axes.
    pub fn at(&self, at: usize) -> (f64, f64) {
        let (outer, position) = (at / self.inner / self.length, at / self.inner % self.length);
        let k = match self.block {
            _ if self.shared => 0,
            0 => position,
            block => (outer * self.length.div_ceil(block) + position / block) * self.inner + at % self.inner,
        };
        (self.scales[k], self.zeros[k])
    }
    /// The nearest integer for `v`.
    pub fn nearest(&self, v: f64, (scale, zero): (f64, f64)) -> f64 {
        ((v / scale).round_ties_even() + zero).clamp(self.bounds.0, self.bounds.1)
    }
}
