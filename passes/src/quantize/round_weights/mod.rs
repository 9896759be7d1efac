//! Rounding of weights so that results change least, as GPTQ does it (Frantar et al. 2022, arXiv:2210.17323).
//!
//! Rounding weight `i` of an output channel by `e` changes its results by `e x[i]`. The weights that are not rounded yet make up for it as well as they can: with
//! `H` the sum of `x x'` over samples and `u' u = inverse(H)`, `u` upper triangular, weight `j > i` changes by `-e u[i, j] / u[i, i]`. Scales and zero points
//! stay as they are.
//! - For `conv`, `gemm`, and `mat_mul` by one matrix. Vectors of more than 4096 elements, and what was not seen, stay rounded to nearest.
//! - The weights of the largest inputs are rounded first: most others are left to make up for them.
//! - `H` gets 1 % of the mean of its diagonal added, and more while that does not make it positive definite. What no sample reached is rounded to nearest.
mod factor;
pub mod moments;
mod patches;
pub mod steps;
#[cfg(test)]
mod tests;

use crate::quantize::linear::Linear;
use crate::quantize::weights::Quantized;
use factor::Square;
use hoist_ir::graph::Graph;
use hoist_ir::tensor::{Tensor, TensorError};
pub use moments::Moments;
use steps::Steps;

/// Parts of the mean of the diagonal that are added to it, one after another while it does not do.
const DAMPING: [f64; 4] = [0.01, 0.1, 1.0, 10.0];
/// Output channels that are rounded together, so that the matrix is read once for all of them.
const ROWS: usize = 16;

/// The weights of `linear`, which `stored` holds rounded in any way, rounded to the same scales and zero points by what `moments` saw. The integers are computed now; they
/// take as many bytes as those of `stored`.
///
/// # Errors
/// The reason why they stay as they are.
pub fn round_weights(
    g: &Graph,
    linear: &Linear,
    stored: &Quantized,
    moments: &Moments,
) -> Result<Quantized, String> {
    let w = linear.weights(g).and_then(|w| g.constant(w)).ok_or("the weights are not constant")?;
    let seen = moments.of(linear.node).ok_or("what the weights multiply was not seen")?;
    if !stored.data.dtype().is_int() || stored.data.dtype().bits() > 8 || stored.data.shape() != w.shape() {
        return Err("the weights are stored in another form".to_owned());
    }
    rounded(linear, w, stored, seen).map_err(|e| e.to_string())
}

fn rounded(
    linear: &Linear,
    w: &Tensor,
    stored: &Quantized,
    seen: &[Square],
) -> Result<Quantized, TensorError> {
    let steps = Steps::of(stored)?;
    let size = w.len() / linear.outputs.max(1);
    let per_group = linear.outputs / linear.groups;
    // Element `k` of output channel `o`.
    let place = |o: usize, k: usize| if linear.out_axis == 0 { o * size + k } else { k * linear.outputs + o };
    let values = w.to_f32s()?;
    let mut integers = vec![0i16; w.len()];
    for (group, h) in seen.iter().enumerate() {
        if h.size != size {
            return Err(TensorError::Shape("the weights do not fit what was seen".to_owned()));
        }
        let carry = Carry::of(h);
        let rows: Vec<usize> = (group * per_group..(group + 1) * per_group).collect();
        for rows in rows.chunks(ROWS) {
            let read = |o: &usize| carry.order.iter().map(|k| f64::from(values[place(*o, *k)])).collect();
            let mut left: Vec<Vec<f64>> = rows.iter().map(read).collect();
            for (i, k) in carry.order.iter().enumerate() {
                for (o, left) in rows.iter().zip(&mut left) {
                    let at = place(*o, *k);
                    let step = steps.at(at);
                    let integer = steps.nearest(left[i], step);
                    integers[at] = integer as i16;
                    carry.pass(i, left[i] - (integer - step.1) * step.0, left);
                }
            }
        }
    }
    let data = Tensor::from_vec(w.shape(), integers).cast(stored.data.dtype(), false)?;
    Ok(Quantized { data, ..stored.clone() })
}

/// How errors are carried on.
struct Carry {
    /// Positions of the vector in the order in which they are rounded.
    order: Vec<usize>,
    /// The triangular factor; none where nothing is carried on.
    factor: Option<Square>,
}

impl Carry {
    fn of(h: &Square) -> Self {
        let diagonal: Vec<f64> = (0..h.size).map(|i| h.row(i, i..i + 1)[0]).collect();
        let mut order: Vec<usize> = (0..h.size).collect();
        order.sort_by(|a, b| diagonal[*b].total_cmp(&diagonal[*a]));
        let mean = diagonal.iter().sum::<f64>() / h.size.max(1) as f64;
        if !(mean > 0.0 && mean.is_finite()) {
            return Self { order, factor: None };
        }
        let ordered = h.reordered(&order);
        let damped = |part: &f64| {
            let mut h = ordered.clone();
            for i in 0..h.size {
                h.data[i * h.size + i] += part * mean;
            }
            h.inverse_factor()
        };
        Self { factor: DAMPING.iter().find_map(damped), order }
    }
    /// Carries `error` of the weight rounded as number `i` on to those that follow.
    fn pass(&self, i: usize, error: f64, left: &mut [f64]) {
        let Some(u) = &self.factor else { return };
        let row = u.row(i, i..u.size);
        let error = error / row[0];
        for (w, u) in left[i + 1..].iter_mut().zip(&row[1..]) {
            *w -= error * u;
        }
    }
}
