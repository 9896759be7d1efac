//! The interval of least squared error.
//!
//! Numbers are taken as spread evenly over their bin; exact zeros, which every grid keeps, are left out. Inside the interval the error is
//! that of rounding to the grid: the integral of the squared distance to the nearest multiple of the step `s` has the closed form
//! `G(x) = n s^3 / 12 + (x - n s)^3 / 3` with `n = round(x / s)`. Outside it is the squared distance to the end, from running sums of moments.
//!
//! Of all intervals between the best one and all that was seen, the widest wins whose error is within [`TOLERANCE`] of the least: what is cut off
//! may matter more than its number says (the largest score of a classifier, the few large numbers of a residual stream), and it is cut only
//! where the error of all others falls by more than that. So the error is never above the one of the extremes by more than rounding, and
//! distributions without far numbers keep their extremes.
use super::histogram::Bins;
use crate::quantize::spec::{Grid, Interval, Params};
use hoist_ir::dtype::DType;
use pulp::{Arch, Simd, WithSimd};

/// Error, relative to the least, up to which a wider interval is preferred.
const TOLERANCE: f64 = 1.05;
/// Parts of the largest end that are tried: 1 - i / 64 down to a quarter, then each 0.9 of the one before.
const EVEN: usize = 64;
/// Those below a quarter.
const SHRUNK: usize = 40;
/// Points between neighbours that are tried next.
const FINE: usize = 8;
/// Times both ends are searched.
const ROUNDS: usize = 3;
/// Widenings that are tried, from the widest on.
const WIDER: usize = 64;
/// Terms that are added independently of each other.
const LANES: usize = 8;

/// The interval of least squared error on `grid`, preferring wide ones.
pub(super) fn least(bins: &Bins, extremes: Interval, grid: Grid) -> Interval {
    let moments = Moments::new(bins);
    let arch = Arch::new();
    let error = |low: f64, high: f64, most: f64| {
        let interval = Interval { low: low as f32, high: high as f32 };
        moments.error(arch, grid, interval, most)
    };
    let full = (f64::from(extremes.low).min(0.0), f64::from(extremes.high).max(0.0));
    let mut best = Best { cost: error(full.0, full.1, f64::INFINITY), ends: full };
    search(|t| (t * full.0, t * full.1), error, &mut best);
    if !grid.symmetric && grid.dtype.is_int() && full.0 < 0.0 && full.1 > 0.0 {
        for _ in 0..ROUNDS {
            let before = best.ends;
            search(|t| (before.0, t * full.1), error, &mut best);
            let high = best.ends.1;
            search(|t| (t * full.0, high), error, &mut best);
            if best.ends == before {
                break;
            }
        }
    }
    let Best { cost, ends } = best;
    let enough = cost * TOLERANCE;
    let between = |a: f64, b: f64, i: usize| b + (a - b) * i as f64 / WIDER as f64;
    let wider = (0..WIDER).map(|i| (between(ends.0, full.0, i), between(ends.1, full.1, i)));
    let found = wider.into_iter().find(|(low, high)| error(*low, *high, enough) <= enough).unwrap_or(ends);
    Interval { low: found.0 as f32, high: found.1 as f32 }
}

/// The narrowest interval from `found` to the extremes whose error is at most that of the extremes.
pub(super) fn no_worse(bins: &Bins, extremes: Interval, found: Interval, grid: Grid) -> Interval {
    let moments = Moments::new(bins);
    let arch = Arch::new();
    let full = Interval { low: extremes.low.min(0.0), high: extremes.high.max(0.0) };
    let most = moments.error(arch, grid, full, f64::INFINITY);
    let at = |i: usize| {
        let t = i as f32 / WIDER as f32;
        Interval {
            low: found.low + (full.low - found.low) * t,
            high: found.high + (full.high - found.high) * t,
        }
    };
    (0..WIDER).map(at).find(|i| moments.error(arch, grid, *i, most) <= most).unwrap_or(full)
}

struct Best {
    cost: f64,
    ends: (f64, f64),
}

/// Tries the ends `at(t)` for `t` from 1 downwards, then those around the best.
fn search(at: impl Fn(f64) -> (f64, f64), error: impl Fn(f64, f64, f64) -> f64, best: &mut Best) {
    let part = |i: usize| {
        let even = i.min(EVEN * 3 / 4);
        (1.0 - even as f64 / EVEN as f64) * 0.9f64.powi((i - even) as i32)
    };
    let mut around = None;
    for i in 1..EVEN * 3 / 4 + SHRUNK {
        let (low, high) = at(part(i));
        let cost = error(low, high, best.cost);
        if cost < best.cost {
            *best = Best { cost, ends: (low, high) };
            around = Some(i);
        }
    }
    let (narrow, wide) = match around {
        Some(i) => (part(i + 1), part(i - 1)),
        None => (part(1), 1.0),
    };
    for i in 1..2 * FINE {
        let (low, high) = at(narrow + (wide - narrow) * i as f64 / (2 * FINE) as f64);
        let cost = error(low, high, best.cost);
        if cost < best.cost {
            *best = Best { cost, ends: (low, high) };
        }
    }
}

/// Bins with running sums of counts, of numbers and of their squares; entry `i` is that of the bins before `i`.
struct Moments<'a> {
    bins: &'a Bins,
    counts: Vec<f64>,
    count: Vec<f64>,
    sum: Vec<f64>,
    square: Vec<f64>,
}

impl<'a> Moments<'a> {
    fn new(bins: &'a Bins) -> Self {
        let counts: Vec<f64> = bins.counts.iter().map(|c| *c as f64).collect();
        let running = |of: &dyn Fn(f64) -> f64| {
            let mut sum = 0.0;
            let mut all = vec![0.0];
            for (i, c) in counts.iter().enumerate() {
                sum += c * of(bins.edge(i) + bins.width / 2.0);
                all.push(sum);
            }
            all
        };
        let spread = bins.width * bins.width / 12.0;
        let (count, sum) = (running(&|_| 1.0), running(&|x| x));
        let square = running(&|x| x * x + spread);
        Self { bins, counts, count, sum, square }
    }
    /// Sum of squared errors on `grid` for the interval; where what is cut off alone has more than `most`, only that.
    fn error(&self, arch: Arch, grid: Grid, interval: Interval, most: f64) -> f64 {
        let params = grid.params(interval);
        let covered = grid.covered(params);
        let (low, high) = (f64::from(covered.low), f64::from(covered.high));
        let n = self.counts.len();
        // Bins by their middle.
        let at =
            |x: f64| ((x / self.bins.width - f64::from(self.bins.first)).round().max(0.0) as usize).min(n);
        let (a, b) = (at(low), at(high).max(at(low)));
        let beyond = |part: std::ops::Range<usize>, end: f64| {
            let of = |sums: &[f64]| sums[part.end] - sums[part.start];
            (of(&self.square) - 2.0 * end * of(&self.sum) + end * end * of(&self.count)).max(0.0)
        };
        let outside = beyond(0..a, low) + beyond(b..n, high);
        if outside > most {
            return outside;
        }
        let inside = if let Some(steps) = float_steps(grid.dtype) {
            self.rounded_to_floats(a..b, params, steps)
        } else {
            let first = f64::from(self.bins.first) + a as f64;
            let step = f64::from(params.scale) / self.bins.width;
            let counts = &self.counts[a..b];
            arch.dispatch(Rounded { counts, first, step }) * self.bins.width * self.bins.width
        };
        inside + outside
    }
    fn rounded_to_floats(&self, part: std::ops::Range<usize>, params: Params, steps: FloatSteps) -> f64 {
        let scale = f64::from(params.scale);
        let one = |i: usize| {
            let x = self.bins.edge(i) / self.bins.width;
            let middle = (x + 0.5).abs() * self.bins.width / scale;
            let step = steps.at(middle) * scale / self.bins.width;
            self.counts[i] * (integral(x + 1.0, step) - integral(x, step))
        };
        part.map(one).sum::<f64>() * self.bins.width * self.bins.width
    }
}

/// `G` of the module's text.
#[inline(always)]
fn integral(x: f64, step: f64) -> f64 {
    let n = (x / step).round_ties_even();
    let rest = x - n * step;
    n * (step * step * step * (1.0 / 12.0)) + rest * rest * rest * (1.0 / 3.0)
}

/// Sum of squared errors of rounding to multiples of `step`, of counts in bins of width 1 from `first` on.
struct Rounded<'a> {
    counts: &'a [f64],
    first: f64,
    step: f64,
}

impl WithSimd for Rounded<'_> {
    type Output = f64;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> f64 {
        let mut sums = [0.0; LANES];
        let (chunks, rest) = self.counts.as_chunks::<LANES>();
        for (at, chunk) in chunks.iter().enumerate() {
            let start = self.first + (at * LANES) as f64;
            for i in 0..LANES {
                let x = start + i as f64;
                sums[i] += chunk[i] * (integral(x + 1.0, self.step) - integral(x, self.step));
            }
        }
        let start = self.first + (chunks.len() * LANES) as f64;
        for (i, count) in rest.iter().enumerate() {
            let x = start + i as f64;
            sums[i] += count * (integral(x + 1.0, self.step) - integral(x, self.step));
        }
        sums.iter().sum()
    }
}

/// Distance of neighbours of an 8-bit float type.
#[derive(Clone, Copy)]
struct FloatSteps {
    /// Stored bits of the mantissa.
    mantissa: i32,
    /// Exponent of the smallest normal number.
    least: i32,
}

impl FloatSteps {
    /// At magnitude `x`.
    fn at(self, x: f64) -> f64 {
        let exponent = ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023;
        2f64.powi(exponent.max(self.least) - self.mantissa)
    }
}

fn float_steps(dtype: DType) -> Option<FloatSteps> {
    match dtype {
        DType::F8E4M3FN => Some(FloatSteps { mantissa: 3, least: -6 }),
        DType::F8E5M2 => Some(FloatSteps { mantissa: 2, least: -14 }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::histogram::Histogram;
    use super::super::testing::{laplace, normal, uniform};
    use super::*;

    const ANY: Grid = Grid { dtype: DType::I8, symmetric: false };
    const SIGNED: Grid = Grid { dtype: DType::I8, symmetric: true };

    fn seen(values: &[f32]) -> (Bins, Interval) {
        let mut h = Histogram::default();
        let e = h.take_in(values);
        (h.bins(), Interval { low: e.low, high: e.high })
    }
    fn found(values: &[f32], grid: Grid) -> Interval {
        let (bins, extremes) = seen(values);
        least(&bins, extremes, grid)
    }
    /// Sum of squared errors of the numbers themselves.
    fn measured(values: &[f32], grid: Grid, interval: Interval) -> f64 {
        let p = grid.params(interval);
        let (first, last) = grid.bounds();
        let one = |v: &f32| {
            let steps = (f64::from(*v) / f64::from(p.scale)).round_ties_even() + f64::from(p.zero_point);
            let back = (steps.clamp(first, last) - f64::from(p.zero_point)) * f64::from(p.scale);
            (back - f64::from(*v)).powi(2)
        };
        values.iter().map(one).sum()
    }

    #[test]
    fn the_error_is_that_of_the_numbers() {
        let values = normal(100_000);
        let (bins, _) = seen(&values);
        let moments = Moments::new(&bins);
        for grid in [ANY, SIGNED] {
            for (low, high) in [(-5.0, 5.0), (-3.0, 2.0), (-1.0, 4.0), (0.0, 1.0), (-0.3, 0.0)] {
                let interval = Interval { low, high };
                let (model, real) = (
                    moments.error(Arch::new(), grid, interval, f64::INFINITY),
                    measured(&values, grid, interval),
                );
                assert!((model / real - 1.0).abs() < 0.02, "{interval:?} {model} {real}");
            }
        }
    }

    #[test]
    fn even_and_short_distributions_keep_their_extremes() {
        let two = |v: &f32| if *v < 0.5 { v - 3.0 } else { v + 2.0 };
        let bimodal: Vec<f32> = uniform(50_000).iter().map(two).collect();
        for values in [uniform(50_000), bimodal, normal(1000)] {
            for grid in [ANY, SIGNED] {
                let (_, extremes) = seen(&values);
                let found = found(&values, grid);
                assert_eq!((found.low.min(0.0), found.high), (extremes.low.min(0.0), extremes.high));
            }
        }
    }

    #[test]
    fn far_numbers_are_cut_off_where_they_cost_more_than_they_are_worth() {
        let mut values = normal(1_000_000);
        values.push(40.0);
        for grid in [ANY, SIGNED] {
            let found = found(&values, grid);
            assert!(found.high > 4.0 && found.high < 30.0, "{found:?}");
            assert!(measured(&values, grid, found) < measured(&values, grid, seen(&values).1));
        }
        // One in ten thousand is too much to lose.
        let mut values = normal(10_000);
        values.push(40.0);
        assert_eq!(found(&values, ANY).high, 40.0);
    }

    #[test]
    fn each_end_is_cut_by_itself() {
        let mut counts = vec![0; 120];
        counts.extend([1_000_000; 100]);
        counts[0] = 1;
        let bins = Bins { width: 0.1, first: -120, counts };
        let found = least(&bins, Interval { low: -12.0, high: 10.0 }, ANY);
        assert!(found.high > 9.9 && found.low > -1.0, "{found:?}");
    }

    #[test]
    fn what_loses_more_than_the_extremes_is_widened() {
        let values = normal(20_000);
        let (bins, extremes) = seen(&values);
        for grid in [ANY, SIGNED] {
            let good = found(&values, grid);
            assert_eq!(no_worse(&bins, extremes, good, grid), good);
            let bad = Interval { low: -0.5, high: 1.0 };
            let wider = no_worse(&bins, extremes, bad, grid);
            assert!(wider.high > 2.5 && wider.high < extremes.high, "{wider:?}");
            assert!(measured(&values, grid, wider) <= 1.01 * measured(&values, grid, extremes));
        }
    }

    #[test]
    fn near_the_best_of_all_intervals_and_no_worse_than_the_extremes() {
        let relu: Vec<f32> = laplace(40_000).iter().map(|v| v.max(0.0)).collect();
        for values in [laplace(40_000), normal(40_000), relu] {
            for bits in [DType::I8, DType::I4] {
                for symmetric in [true, false] {
                    let grid = Grid { dtype: bits, symmetric };
                    let (_, extremes) = seen(&values);
                    let ours = measured(&values, grid, found(&values, grid));
                    assert!(ours <= 1.001 * measured(&values, grid, extremes));
                    for i in 1..30 {
                        let t = i as f32 / 30.0;
                        let other = Interval { low: extremes.low * t, high: extremes.high * t };
                        assert!(ours <= 1.06 * measured(&values, grid, other), "{t} {grid:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn float_grids_need_no_cuts() {
        let mut values = laplace(100_000);
        values.push(100.0);
        let grid = Grid { dtype: DType::F8E4M3FN, symmetric: true };
        assert_eq!(found(&values, grid).high, 100.0);
        let steps = float_steps(DType::F8E4M3FN).map(|s| (s.at(448.0), s.at(1.0), s.at(1e-9)));
        assert_eq!(steps, Some((32.0, 0.125, 2f64.powi(-9))));
    }
}
