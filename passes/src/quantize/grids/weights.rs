//! Weights on a grid.
use crate::quantize::spec::{Grid, Interval, Params};
use hoist_ir::dtype::DType;
use hoist_ir::tensor::{Tensor, TensorError};

/// Quantized weights: what `dequantize_linear` takes.
#[derive(Clone, PartialEq, Debug)]
pub struct Quantized {
    /// Stored numbers, in the shape of the weights.
    pub data: Tensor,
    /// One scale, or one per position of `axis`, or one per block of it.
    pub scales: Tensor,
    /// Zero points, of the type of the data and the shape of the scales; none where all are 0.
    pub zero_points: Option<Tensor>,
    /// Axis of the scales.
    pub axis: usize,
    /// Positions of a block; 0 where scales are not per block.
    pub block: usize,
}

impl Quantized {
    /// With zero points, also where all are 0.
    ///
    /// # Errors
    /// When the type has no zero.
    pub fn with_zeros(mut self) -> Result<Self, TensorError> {
        if self.zero_points.is_none() {
            let zero = Tensor::scalar(0i32).cast(self.data.dtype(), false)?;
            self.zero_points = Some(Tensor::splat(&zero, self.scales.shape())?);
        }
        Ok(self)
    }
}

/// Elements of one piece that is read at a time.
const PIECE: usize = 1 << 16;

/// Smallest and largest number of each slice of `f32` weights along `axis`, or of all of them; read in pieces.
///
/// # Errors
/// When the weights cannot be read.
pub fn intervals(w: &Tensor, axis: Option<usize>) -> Result<Vec<Interval>, TensorError> {
    let slices = axis.map_or(1, |a| w.shape()[a]);
    let inner: usize =
        axis.map_or(w.len(), |a| w.shape()[a + 1..].iter().copied().fold(1, usize::saturating_mul)).max(1);
    let mut all = vec![Interval { low: 0.0, high: 0.0 }; slices.max(1)];
    let flat = w.reshape(&[w.len()])?;
    let mut at = 0;
    while at < w.len() {
        let count = PIECE.min(w.len() - at);
        let part = flat.slice(&[at], &[count])?;
        for (i, v) in part.to_f32s()?.iter().enumerate() {
            let slice = &mut all[(at + i) / inner % slices.max(1)];
            slice.low = slice.low.min(*v);
            slice.high = slice.high.max(*v);
        }
        at += count;
    }
    Ok(all)
}

/// `f32` weights with one scale per position of `axis`, or one scale, each the least that no number leaves the grid, nor `least` of its slice. They are quantized while they are read.
///
/// # Errors
/// When the weights cannot be read, or the grid is none of 8-bit integers.
pub fn per_channel(
    w: &Tensor,
    axis: Option<usize>,
    grid: Grid,
    least: &[f32],
) -> Result<Quantized, TensorError> {
    let params = intervals(w, axis)?.into_iter().map(|i| grid.params(i));
    let (mut scales, zeros): (Vec<f32>, Vec<i32>) = params.map(|p| (p.scale, p.zero_point)).unzip();
    for (s, l) in scales.iter_mut().zip(least) {
        *s = s.max(*l);
    }
    let along = axis.unwrap_or(0);
    let shape: &[usize] = if axis.is_some() { &[scales.len()] } else { &[] };
    let count = w.shape().get(along).copied().unwrap_or(1);
    let spread = |n: usize| if axis.is_some() { n } else { count };
    let each: Vec<f32> = scales.iter().copied().cycle().take(spread(scales.len())).collect();
    let moved: Vec<i32> = zeros.iter().copied().cycle().take(each.len()).collect();
    let data = w.quantize_channels(each, moved, along, grid.dtype)?;
    let zero_points = zeros
        .iter()
        .any(|z| *z != 0)
        .then(|| Tensor::from_vec(shape, zeros.iter().map(|z| i64::from(*z)).collect::<Vec<_>>()));
    let zero_points = zero_points.map(|z| z.cast(grid.dtype, false)).transpose()?;
    Ok(Quantized { data, scales: Tensor::from_vec(shape, scales), zero_points, axis: along, block: 0 })
}

/// The constant `t` of `f32` in steps of `params`.
///
/// # Errors
/// When it cannot be read, or `dtype` cannot be made.
pub fn on_grid(t: &Tensor, params: Params, dtype: DType) -> Result<Tensor, TensorError> {
    if matches!(dtype, DType::I8 | DType::U8) && t.rank() > 0 {
        let size = t.shape()[0];
        return t.quantize_channels(vec![params.scale; size], vec![params.zero_point; size], 0, dtype);
    }
    let grid = Grid { dtype, symmetric: false };
    let (low, high) = grid.bounds();
    let step = |v: &f32| {
        let steps = (v / params.scale).round_ties_even();
        (f64::from(if dtype.is_int() { steps } else { v / params.scale }) + f64::from(params.zero_point))
            .clamp(low, high) as f32
    };
    let steps: Vec<f32> = t.to_f32s()?.iter().map(step).collect();
    Tensor::from_vec(t.shape(), steps).cast(dtype, true)
}
