//! `grid_sample`
use super::complex::{join, split};
use super::window::{Axes, split_sizes};
use crate::attr::Word;
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet, FLOATS, INTS};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{
    Compute, PARALLEL, count, from_channels_first, layout_sizes, to_channels_first, zeros,
};
use crate::ops::movement::mover::{self, Move, Unit};
use crate::ops::words::Layout;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};
use rayon::prelude::*;

/// Interpolation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SampleMode {
    /// The elements around, weighted by distance.
    #[default]
    Linear,
    /// The nearest element, half to even.
    Nearest,
    /// The four elements around along each axis, weighted by the cubic convolution kernel with `a = -0.75`.
    Cubic,
}

impl Word for SampleMode {
    const KIND: &'static str = "sample_mode";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Linear, "linear"), (Self::Nearest, "nearest"), (Self::Cubic, "cubic")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

/// What lies outside the data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Outside {
    /// Zero.
    #[default]
    Zeros,
    /// The nearest element of the border.
    Border,
    /// The data, reflected at the border.
    Reflection,
}

impl Word for Outside {
    const KIND: &'static str = "outside";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Zeros, "zeros"), (Self::Border, "border"), (Self::Reflection, "reflection")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

/// Most spatial axes: the cost of a place is exponential in them.
const MAX_AXES: usize = 3;

const SAMPLED: DTypeSet =
    FLOATS.or(INTS).or(DTypeSet::of(&[DType::Bool, DType::String, DType::C64, DType::C128]));

crate::op! {
    /// Samples `x` at the places that `grid`, `[N, out..., r]`, gives: `r` coordinates, those of the last axis first, where -1 and 1 are the
    /// borders. Narrower than ONNX: at most 3 spatial axes. Integers are rounded towards zero; of texts the nearest is taken or none.
    grid_sample GridSample(x: One<T1>, grid: One<T2>) -> (y: One<T1>) {
        /// Whether -1 and 1 are the centres of the border's elements, not their outer edges.
        align_corners: bool = false,
        /// Interpolation.
        mode: SampleMode = SampleMode::Linear,
        /// What lies outside the data.
        padding_mode: Outside = Outside::Zeros,
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T1: SAMPLED, T2: FLOATS;
}

/// Elements of one axis with their weights; `None` is zero.
type Taps = Vec<(Option<usize>, f64)>;

/// `x` reflected into `low..=high`.
fn reflect(x: f64, low: f64, high: f64) -> f64 {
    let range = high - low;
    if range <= 0.0 || !x.is_finite() {
        return low.max(0.0);
    }
    if (low..=high).contains(&x) {
        return x;
    }
    let (past, from_low) = if x < low { (low - x, true) } else { (x - high, false) };
    let (turns, rest) = ((past / range).floor(), past % range);
    if (turns % 2.0 == 0.0) == from_low { low + rest } else { high - rest }
}

impl GridSample {
    /// The element at `at` of an axis of `n` elements.
    fn element(&self, at: f64, n: usize) -> Option<usize> {
        let last = n as f64 - 1.0;
        match self.padding_mode {
            Outside::Zeros => (0.0..=last).contains(&at).then_some(at as usize),
            Outside::Border => Some(at.clamp(0.0, last) as usize),
            Outside::Reflection => {
                let (low, high) = self.border(n);
                Some(reflect(at, low, high).clamp(0.0, last) as usize)
            }
        }
    }
    fn border(&self, n: usize) -> (f64, f64) {
        if self.align_corners { (0.0, n as f64 - 1.0) } else { (-0.5, n as f64 - 0.5) }
    }
    /// Elements and weights of an axis of `n` elements for a coordinate. Places are rounded to `f32`, as the ONNX reference has them.
    #[expect(clippy::manual_midpoint, reason = "the formula of the specification, rounded as it says")]
    fn taps(&self, coordinate: f64, n: usize) -> Taps {
        let size = n as f64;
        let place = if self.align_corners {
            (coordinate + 1.0) / 2.0 * (size - 1.0)
        } else {
            ((coordinate + 1.0) * size - 1.0) / 2.0
        };
        let mut p = f64::from(place as f32);
        if self.mode == SampleMode::Nearest {
            p = p.round_ties_even();
        }
        let (low, high) = self.border(n);
        // A cubic place stays: its taps find their elements one by one, as PyTorch and ONNX Runtime have it.
        if self.mode != SampleMode::Cubic && (p < low || p > high) {
            p = match self.padding_mode {
                Outside::Zeros => p,
                Outside::Border => p.clamp(0.0, size - 1.0),
                Outside::Reflection => f64::from(reflect(p, low, high) as f32),
            };
        }
        let base = p.floor();
        let f = p - base;
        let tap = |offset: f64, w: f64| (self.element(base + offset, n), w);
        match self.mode {
            SampleMode::Nearest => vec![(self.element(p, n), 1.0)],
            SampleMode::Linear => vec![tap(0.0, 1.0 - f), tap(1.0, f)],
            SampleMode::Cubic => (-1..3).map(|o| tap(f64::from(o), cubic(f64::from(o) - f))).collect(),
        }
    }
    /// Value of a plane at the combination of taps of all axes.
    fn sample<T: Compute>(plane: &[T], sizes: &[usize], taps: &[Taps]) -> f64 {
        let Some((first, rest)) = taps.split_first() else {
            return plane.first().map_or(0.0, |v| v.to_f64());
        };
        let inner = plane.len() / sizes[0].max(1);
        let term = |(at, w): &(Option<usize>, f64)| match at {
            Some(i) => w * Self::sample(&plane[i * inner..(i + 1) * inner], &sizes[1..], rest),
            None => 0.0,
        };
        first.iter().map(term).sum()
    }
    fn compute<T: Compute>(&self, x: &Tensor, grid: &Tensor) -> Result<(Vec<usize>, Vec<T>), OpError> {
        let (batch, channels, spatial) = split_sizes(x.shape(), self.layout)?;
        let r = spatial.len();
        let places = grid.to_f64s()?;
        let lead = grid.shape().get(1..grid.rank().saturating_sub(1)).unwrap_or_default();
        let shape = [&[batch, channels], lead].concat();
        let mut out = zeros::<T>(count(&shape)?)?;
        let (plane, points) = (count(&spatial)?, count(lead)?);
        if out.is_empty() {
            return Ok((layout_sizes(&shape, self.layout), out));
        }
        if plane == 0 || places.len() != batch * points * r {
            return Err(OpError::shape("grid_sample needs data with elements, and a grid that fits it"));
        }
        let source = [&[batch, channels], spatial.as_slice()].concat();
        let data = to_channels_first(T::read(x)?, &source, self.layout);
        let one = |(n, out): (usize, &mut [T])| {
            for p in 0..points {
                let at = &places[(n * points + p) * r..][..r];
                let taps: Vec<Taps> =
                    spatial.iter().zip(at.iter().rev()).map(|(n, c)| self.taps(*c, *n)).collect();
                for c in 0..channels {
                    let plane = &data[(n * channels + c) * plane..][..plane];
                    out[c * points + p] = T::from_f64(Self::sample(plane, &spatial, &taps));
                }
            }
        };
        let sample = channels * points;
        if out.len() < PARALLEL {
            out.chunks_mut(sample).enumerate().for_each(one);
        } else {
            out.par_chunks_mut(sample).enumerate().for_each(one);
        }
        Ok((layout_sizes(&shape, self.layout), from_channels_first(out, &shape, self.layout)))
    }
}

/// The elements of an operand at positions; zero, `false` or the empty text where there is none.
struct Picked(Vec<Option<usize>>);

impl Move for Picked {
    fn run<T: Unit>(&self, xs: &[&[T]]) -> Vec<T> {
        let x = xs.first().copied().unwrap_or_default();
        let one = |at: &Option<usize>| at.and_then(|i| x.get(i)).copied().unwrap_or_default();
        self.0.iter().map(one).collect()
    }
}

impl GridSample {
    /// The nearest elements, whatever their type: positions, counted from 1, are sampled in their place.
    fn nearest(&self, x: &Tensor, grid: &Tensor) -> Result<Tensor, OpError> {
        let positions = (1..=x.len()).map(|i| i as f64).collect();
        let (shape, found) = self.compute::<f64>(&Tensor::from_vec(x.shape(), positions), grid)?;
        let picked = Picked(found.into_iter().map(|i| (i as usize).checked_sub(1)).collect());
        mover::apply(&picked, &[x], &shape)
    }
}

/// Cubic convolution kernel: R. Keys, 1981, equation 4 with `a = -0.75`.
fn cubic(distance: f64) -> f64 {
    let (a, d) = (-0.75, distance.abs());
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    }
}

impl Semantics for GridSample {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        let (Some(shape), Some(grid)) = (&x.shape, cx.shape(1)?) else {
            let rank = x.rank().or(cx.tensor(1)?.rank());
            let ty = rank.map_or_else(|| TensorType::unranked(x.dtype), |r| TensorType::of_rank(x.dtype, r));
            return Ok(vec![ty.into()]);
        };
        let axes = Axes::of(shape, self.layout)?;
        if axes.spatial.len() > MAX_AXES {
            return Err(OpError::shape(format!("grid_sample interpolates over at most {MAX_AXES} axes")));
        }
        let (Some(coordinates), r) = (grid.last(), shape.len() - 2) else {
            return Err(OpError::shape("the grid of grid_sample is a scalar"));
        };
        let fits = grid.len() == shape.len() && !coordinates.surely_differs(&Dim::from(r));
        let Some(batch) = grid[0].meet(&axes.batch).filter(|_| fits) else {
            return Err(OpError::shape(format!("{} is no grid for {x}", cx.tensor(1)?)));
        };
        let out = Axes { batch, spatial: grid[1..grid.len() - 1].to_vec(), ..axes };
        Ok(vec![TensorType::new(x.dtype, out.shape(self.layout)).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, grid) = (cx.tensor(0)?, cx.tensor(1)?);
        if x.dtype().is_float() && x.dtype() != DType::F64 {
            let (shape, out) = self.compute::<f32>(x, grid)?;
            return one(f32::tensor(x.dtype(), &shape, out)?);
        }
        if self.mode == SampleMode::Nearest && x.dtype() != DType::F64 {
            return one(self.nearest(x, grid)?);
        }
        if x.dtype().is_complex() {
            let [re, im] = split(x)?;
            let ((shape, re), (_, im)) = (self.compute::<f64>(&re, grid)?, self.compute::<f64>(&im, grid)?);
            return one(join(x.dtype(), &shape, &re, &im)?);
        }
        if x.dtype() == DType::String {
            return Err(OpError::eval("texts cannot be interpolated").hint("use the mode `nearest`"));
        }
        let (shape, out) = self.compute::<f64>(x, grid)?;
        one(Tensor::from_wide(x.dtype(), &shape, &Wide::F64(out), true)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, f32s, infer, iota, shapes};
    use num_complex::Complex;

    #[test]
    fn borders() {
        let x = iota(&[1, 1, 1, 4]);
        let grid = f32s(&[1, 1, 3, 2], &[-1.0, 0.0, 0.0, 0.0, 1.5, 0.0]);
        // torch.nn.functional.grid_sample
        for (padding_mode, want) in [
            (Outside::Zeros, [0., 1.5, 0.]),
            (Outside::Border, [0., 1.5, 3.]),
            (Outside::Reflection, [0., 1.5, 2.5]),
        ] {
            let op = GridSample { padding_mode, ..GridSample::default() };
            assert_near(&eval(&op, &[Some(&x), Some(&grid)]).expect("fits")[0], &[1, 1, 1, 3], &want);
        }
        let op = GridSample { layout: Layout::ChannelsLast, align_corners: true, ..GridSample::default() };
        let y = eval(
            &op,
            &[Some(&x.reshape(&[1, 2, 1, 2]).expect("4")), Some(&f32s(&[1, 1, 1, 2], &[0.0, 0.0]))],
        );
        assert_near(&y.expect("fits")[0], &[1, 1, 1, 2], &[1., 2.]);
    }

    #[test]
    fn types_without_an_order_of_numbers() {
        let grid = f32s(&[1, 1, 3, 2], &[-0.9, 0.0, 0.2, 0.0, 3.0, 0.0]);
        let near = GridSample { mode: SampleMode::Nearest, ..GridSample::default() };
        let texts = Tensor::from_strings(&[1, 1, 1, 2], vec!["a".to_owned(), "b".to_owned()]);
        let y = eval(&near, &[Some(&texts), Some(&grid)]).expect("fits");
        assert_eq!(y[0].strings().expect("texts"), ["a", "b", ""]);
        assert!(eval(&GridSample::default(), &[Some(&texts), Some(&grid)]).is_err());
        let x = Tensor::from_vec(&[1, 1, 1, 2], vec![i64::MAX - 1, i64::MIN + 1]);
        let y = eval(&near, &[Some(&x), Some(&grid)]).expect("fits");
        assert_eq!(y[0], Tensor::from_vec(&[1, 1, 1, 3], vec![i64::MAX - 1, i64::MIN + 1, 0]));
        let (c, zero) = (Complex::new(2.0f32, -4.0), Complex::new(0.0f32, 0.0));
        let x = Tensor::from_vec(&[1, 1, 1, 2], vec![zero, c]);
        let grid = f32s(&[1, 1, 1, 2], &[0.25, 0.0]);
        let y = eval(&GridSample::default(), &[Some(&x), Some(&grid)]).expect("fits");
        assert_eq!(y[0], Tensor::from_vec(&[1, 1, 1, 1], vec![c * 0.75]));
    }

    #[test]
    fn hostile_places_are_harmless() {
        let grid = f32s(&[1, 1, 3, 2], &[f32::NAN, 0.0, f32::INFINITY, f32::MAX, -1e30, 3.0]);
        for mode in [SampleMode::Linear, SampleMode::Nearest, SampleMode::Cubic] {
            for padding_mode in [Outside::Zeros, Outside::Border, Outside::Reflection] {
                let op = GridSample { mode, padding_mode, ..GridSample::default() };
                assert!(eval(&op, &[Some(&iota(&[1, 1, 2, 3])), Some(&grid)]).is_ok());
            }
        }
    }

    #[test]
    fn types() {
        let op = GridSample::default();
        let t = infer(&op, &shapes(&["f16[N, 3, H, W]", "f32[N, 8, X, 2]"])).expect("fits");
        assert_eq!(t[0].to_string(), "f16[N, 3, 8, X]");
        let t = infer(&op, &shapes(&["f16[N, 3, H, W]", "f32[2, 8, X, 2]"])).expect("fits");
        assert_eq!(t[0].to_string(), "f16[2, 3, 8, X]");
        assert!(infer(&op, &shapes(&["f32[1, 3, 4, 4]", "f32[1, 8, 8, 3]"])).is_err());
        assert!(infer(&op, &shapes(&["f32[1, 3, 4, 4]", "f32[]"])).is_err());
        assert!(infer(&op, &shapes(&["f32[1, 1, 1, 1, 1, 1]", "f32[1, 1, 1, 1, 1, 4]"])).is_err());
    }
}
