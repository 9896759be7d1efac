//! From a histogram to an interval.
use super::histogram::Bins;
use super::{entropy, squared_error};
use crate::quantize::spec::{Grid, Interval, Method};

/// The interval that `method` finds within `extremes` for numbers counted in `bins`, `zeros` of which are exactly 0.
pub(super) fn interval(bins: &Bins, zeros: u64, extremes: Interval, method: Method, grid: Grid) -> Interval {
    let found = match method {
        Method::MinMax | Method::MovingAverage(_) => return extremes,
        Method::Percentile(percent) => percentile(bins, percent, grid.symmetric),
        Method::Entropy => {
            let bins = bins.without(zeros);
            squared_error::no_worse(&bins, extremes, entropy::least(&bins, grid), grid)
        }
        Method::Mse => squared_error::least(&bins.without(zeros), extremes, grid),
    };
    Interval {
        low: found.low.clamp(extremes.low, extremes.high),
        high: found.high.clamp(extremes.low, extremes.high),
    }
}

impl Bins {
    /// The same numbers without `zeros` zeros, which any grid keeps exactly.
    fn without(&self, zeros: u64) -> Self {
        let mut bins = self.clone();
        if let Some(count) = bins.counts.get_mut(self.first.unsigned_abs() as usize) {
            *count = count.saturating_sub(zeros);
        }
        bins
    }
    /// Lower end of bin number `i` of those in use.
    pub(super) fn edge(&self, i: usize) -> f64 {
        (f64::from(self.first) + i as f64) * self.width
    }
    /// Counts of magnitudes in `[i, i + 1) * width`.
    pub(super) fn magnitudes(&self) -> Vec<u64> {
        let (negative, positive) = self.counts.split_at(self.first.unsigned_abs() as usize);
        let mut all = positive.to_vec();
        all.resize(positive.len().max(negative.len()), 0);
        for (sum, count) in all.iter_mut().zip(negative.iter().rev()) {
            *sum += count;
        }
        all
    }
}

/// `percent` of all numbers: as many are cut off on either side, or the largest magnitudes where the grid is symmetric. The ends are ends of
/// bins, so that at least that part lies inside.
fn percentile(bins: &Bins, percent: f64, symmetric: bool) -> Interval {
    let part = if percent.is_finite() { 1.0 - percent.clamp(0.0, 100.0) / 100.0 } else { 0.0 };
    let total: u64 = bins.counts.iter().sum();
    let most = |sides: f64| (total as f64 * part / sides) as u64;
    if symmetric {
        let counts = bins.magnitudes();
        let end = (counts.len() - passed(counts.iter().rev(), most(1.0))) as f64 * bins.width;
        return Interval { low: -end as f32, high: end as f32 };
    }
    let low = passed(bins.counts.iter(), most(2.0));
    let high = bins.counts.len() - passed(bins.counts.iter().rev(), most(2.0));
    Interval { low: bins.edge(low) as f32, high: bins.edge(high) as f32 }
}

/// Leading bins that hold at most `most` numbers together; never all of them.
fn passed<'a>(counts: impl ExactSizeIterator<Item = &'a u64>, most: u64) -> usize {
    let last = counts.len().saturating_sub(1);
    let mut sum = 0u64;
    counts
        .take_while(|c| {
            sum = sum.saturating_add(**c);
            sum <= most
        })
        .count()
        .min(last)
}

#[cfg(test)]
mod tests {
    use super::super::histogram::Histogram;
    use super::super::testing::{laplace, normal};
    use super::*;
    use hoist_ir::dtype::DType;

    const SIGNED: Grid = Grid { dtype: DType::I8, symmetric: true };
    const ANY: Grid = Grid { dtype: DType::I8, symmetric: false };

    fn of(values: &[f32], method: Method, grid: Grid) -> Interval {
        let mut h = Histogram::default();
        let seen = h.take_in(values);
        let extremes = Interval { low: seen.low, high: seen.high };
        interval(&h.bins(), seen.zeros, extremes, method, grid)
    }
    fn near(found: f32, expected: f32, tolerance: f32) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }

    #[test]
    fn percentiles_of_known_distributions() {
        let values: Vec<f32> = (0..10_000).map(|i| i as f32 / 10_000.0).collect();
        let found = of(&values, Method::Percentile(98.0), ANY);
        // As many on either side; bins are 1/4096 wide.
        near(found.low, 0.01, 3e-4);
        near(found.high, 0.99, 3e-4);
        let found = of(&values, Method::Percentile(98.0), SIGNED);
        near(found.high, 0.98, 3e-4);
        let values = normal(100_000);
        // 2.5758 standard deviations hold 99 %.
        for grid in [SIGNED, ANY] {
            let found = of(&values, Method::Percentile(99.0), grid);
            near(found.high, 2.5758, 0.04);
            near(found.low, -2.5758, 0.04);
        }
        let relu: Vec<f32> = values.iter().map(|v| v.max(0.0)).collect();
        let found = of(&relu, Method::Percentile(99.0), ANY);
        assert_eq!(found.low, 0.0);
        near(found.high, 2.5758, 0.04);
        let all = of(&values, Method::Percentile(100.0), ANY);
        assert_eq!(all, of(&values, Method::MinMax, ANY));
        assert_eq!(of(&values, Method::Percentile(f64::NAN), ANY), all);
    }

    #[test]
    fn whole_parts_are_cut_off() {
        let values: Vec<f32> = (0..100).map(|i| i as f32).collect();
        let found = of(&values, Method::Percentile(98.0), ANY);
        assert_eq!((found.low, found.high.floor()), (1.0, 98.0));
    }

    #[test]
    fn peaks_do_not_make_intervals_narrow() {
        let mut values: Vec<f32> = (0..100_000).map(|i| [0.1, 0.2, 0.3, -0.15][i % 4]).collect();
        values.extend(normal(20_000).iter().map(|v| v * 2.0));
        for grid in [SIGNED, ANY] {
            let found = of(&values, Method::Entropy, grid);
            assert!(found.high > 4.0 && found.low < -4.0, "{found:?}");
        }
    }

    #[test]
    fn zeros_do_not_matter() {
        let mut values: Vec<f32> = laplace(20_000).iter().map(|v| v.max(0.0)).collect();
        for method in [Method::Entropy, Method::Mse] {
            for grid in [SIGNED, ANY] {
                let few = of(&values, method, grid);
                values.extend([0.0; 1000]);
                assert_eq!(of(&values, method, grid), few);
            }
        }
    }

    #[test]
    fn little_is_kept_as_it_is() {
        let methods = [Method::Percentile(99.0), Method::Entropy, Method::Mse, Method::Percentile(0.0)];
        for method in methods {
            for grid in [SIGNED, ANY] {
                for value in [0.0f32, 5.0, -3.0, 1e-42, 3e38] {
                    let found = of(&[value; 3], method, grid);
                    assert_eq!((found.low, found.high), (value, value), "{method:?}");
                    assert_eq!(of(&[value], method, grid), found);
                }
            }
        }
    }

    #[test]
    fn long_tails_are_cut_by_each_method() {
        let values = laplace(200_000);
        let extremes = of(&values, Method::MinMax, ANY);
        for method in [Method::Percentile(99.9), Method::Entropy, Method::Mse] {
            for grid in [SIGNED, ANY] {
                let found = of(&values, method, grid);
                assert!(found.magnitude() < 0.99 * extremes.magnitude(), "{method:?} {found:?} {extremes:?}");
                assert!(found.high > 3.0 && found.low < -3.0, "{method:?} {found:?}");
            }
        }
    }
}
