//! The vectors that rows of weights are multiplied by.
use crate::quantize::linear::Linear;
use hoist_ir::graph::Graph;
use hoist_ir::kernel::geometry::{AutoPad, ConvGeometry};
use hoist_ir::ops::Op;
use hoist_ir::ops::spatial::conv::Conv;
use hoist_ir::ops::words;
use hoist_ir::tensor::{Tensor, TensorError};

/// How the data of an operator is cut into vectors, one for each position of the result.
#[derive(Clone, PartialEq, Debug)]
pub struct Patches {
    /// Axis of the input channels.
    axis: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Elements of a vector of one group.
    pub size: usize,
    /// The window, where there is one.
    window: Option<Window>,
}

/// A window of a convolution.
#[derive(Clone, PartialEq, Debug)]
struct Window {
    op: Conv,
    kernel: Vec<usize>,
}

/// Vectors of one tensor that count, at most; they are taken in equal distances.
const MOST_ROWS: usize = 1024;

fn wrong(m: impl std::fmt::Display) -> TensorError {
    TensorError::Shape(m.to_string())
}

impl Patches {
    /// Those of `linear`.
    ///
    /// # Errors
    /// The reason why there are none.
    pub fn of(g: &Graph, linear: &Linear) -> Result<Self, &'static str> {
        let w = linear.weights(g).and_then(|w| g.constant(w)).ok_or("the weights are not constant")?;
        let per_group = linear.inputs / linear.groups;
        match g.node(linear.node).op() {
            Op::Conv(op) => {
                let kernel = w.shape().get(2..).unwrap_or_default().to_vec();
                let size = kernel
                    .iter()
                    .try_fold(per_group, |n, k| n.checked_mul(*k))
                    .ok_or("a window is too large")?;
                let op = Conv { kernel_shape: vec![], ..Conv::clone(op) };
                Ok(Self {
                    axis: linear.data_axis,
                    groups: linear.groups,
                    size,
                    window: Some(Window { op, kernel }),
                })
            }
            Op::ConvTranspose(_) => {
                Err("the positions of a transposed convolution sum over different weights")
            }
            _ if w.rank() != 2 => Err("there are several matrices"),
            _ => Ok(Self { axis: linear.data_axis, groups: 1, size: linear.inputs, window: None }),
        }
    }
    /// Some vectors of each group of `t`, one after another; which ones varies with `turn`.
    ///
    /// # Errors
    /// When the tensor does not fit.
    pub fn rows(&self, t: &Tensor, turn: usize) -> Result<Vec<Vec<f64>>, TensorError> {
        if self.axis >= t.rank() {
            return Err(wrong("there is no such axis"));
        }
        match &self.window {
            None => {
                let order: Vec<usize> =
                    (0..t.rank()).filter(|a| *a != self.axis).chain([self.axis]).collect();
                let moved = t.permute(&order)?;
                if moved.shape().last() != Some(&self.size) {
                    return Err(wrong("the channels do not fit"));
                }
                let values = moved.to_f32s()?;
                let total = values.len() / self.size.max(1);
                let row = |r: usize| values[r * self.size..(r + 1) * self.size].iter().map(|v| f64::from(*v));
                Ok(vec![picks(total, turn).flat_map(row).collect()])
            }
            Some(window) => self.windows(window, t, turn),
        }
    }
    fn windows(&self, window: &Window, t: &Tensor, turn: usize) -> Result<Vec<Vec<f64>>, TensorError> {
        let rank = window.kernel.len();
        // Channels first.
        let order: Vec<usize> =
            [0, self.axis].into_iter().chain((1..t.rank()).filter(|a| *a != self.axis)).collect();
        let data = t.permute(&order)?;
        let shape = data.shape().to_vec();
        let channels = *shape.get(1).ok_or_else(|| wrong("there are no channels"))?;
        let taps: usize = window.kernel.iter().copied().fold(1, usize::saturating_mul);
        if shape.len() != rank + 2 || channels * taps != self.size * self.groups {
            return Err(wrong("the channels do not fit"));
        }
        let geometry = window.geometry(&shape[2..])?;
        let out = geometry.output_shape().map_err(wrong)?;
        let values = data.to_f32s()?;
        let (places, area): (usize, usize) =
            (out.iter().copied().fold(1, usize::saturating_mul), shape[2..].iter().product());
        let mut all = vec![vec![]; self.groups];
        let per_group = channels / self.groups;
        for at in picks(shape[0] * places, turn) {
            let image = &values[at / places * channels * area..][..channels * area];
            let taken = geometry.taken(at % places, &out);
            for c in 0..channels {
                let plane = &image[c * area..][..area];
                all[c / per_group].extend(taken.iter().map(|p| p.map_or(0.0, |p| f64::from(plane[p]))));
            }
        }
        Ok(all)
    }
}

/// Numbers below `total` in equal distances.
fn picks(total: usize, turn: usize) -> impl Iterator<Item = usize> {
    let step = total.div_ceil(MOST_ROWS).max(1);
    (turn % step..total).step_by(step)
}

impl Window {
    fn geometry(&self, input: &[usize]) -> Result<ConvGeometry, TensorError> {
        let mut g = ConvGeometry::new(input, &self.kernel);
        let fill = |to: &mut [usize], from: &[i64]| {
            for (t, f) in to.iter_mut().zip(from) {
                *t = usize::try_from(*f).map_err(wrong)?;
            }
            Ok::<_, TensorError>(())
        };
        let rank = input.len();
        fill(&mut g.strides, &self.op.strides)?;
        fill(&mut g.dilations, &self.op.dilations)?;
        fill(&mut g.pads_begin, &self.op.pads)?;
        fill(&mut g.pads_end, self.op.pads.get(rank..).unwrap_or_default())?;
        let mode = match self.op.auto_pad {
            words::AutoPad::NotSet => None,
            words::AutoPad::SameUpper => Some(AutoPad::SameUpper),
            words::AutoPad::SameLower => Some(AutoPad::SameLower),
            words::AutoPad::Valid => Some(AutoPad::Valid),
        };
        if let Some(mode) = mode {
            g.auto_pad(mode).map_err(wrong)?;
        }
        g.validate().map_err(wrong)?;
        Ok(g)
    }
}

/// Which elements of a plane a window covers.
trait Taken {
    /// Positions under the taps of the window of result `at` of sizes `out`; none in the border.
    fn taken(&self, at: usize, out: &[usize]) -> Vec<Option<usize>>;
}

impl Taken for ConvGeometry {
    fn taken(&self, at: usize, out: &[usize]) -> Vec<Option<usize>> {
        let mut found = vec![Some(0usize)];
        let mut inner: usize = out.iter().copied().fold(1, usize::saturating_mul);
        for (d, size) in out.iter().enumerate() {
            inner /= size;
            let start = at / inner % size * self.strides[d];
            let place = |k: usize| {
                (start + k * self.dilations[d]).checked_sub(self.pads_begin[d]).filter(|p| *p < self.input[d])
            };
            let next = found.iter().flat_map(|before| {
                (0..self.kernel[d]).map(move |k| Some(before.as_ref()? * self.input[d] + place(k)?))
            });
            found = next.collect();
        }
        found
    }
}
