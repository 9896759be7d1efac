//! The interval of least relative entropy.
//!
//! The procedure of S. Migacz, "8-bit inference with `TensorRT`" (GTC 2017, slides 26-38): for each candidate interval, all numbers outside count
//! in its outermost bins (distribution P); the bins inside are joined to as many as the grid has numbers, and each of these is spread evenly
//! over those of its bins that are not empty (distribution Q); the candidate of least `sum P log(P / Q)` wins. The slides join 2048 bins of
//! magnitudes to 128. Here exact zeros are left out, since every grid keeps them; the bins are those of the histogram; and where the grid is not
//! symmetric both ends are searched in turn, with all numbers of the grid between them.
//!
//! Distributions with peaks, such as those of pictures with an even background, have least relative entropy in intervals so narrow that little is
//! left; what is found is therefore widened until its squared error is not above that of the extremes.
//!
//! With `M` numbers in a joined bin that has `m` bins which are not empty, `sum P log Q` over it is `sum P * log(M / m)`: with running sums of
//! counts, of bins in use and of `P log P`, a candidate costs as many logarithms as the grid has numbers, not as many as there are bins.
use super::histogram::Bins;
use crate::quantize::spec::{Grid, Interval};

/// Candidates of one end, at most.
const CANDIDATES: usize = 512;
/// Times both ends are searched.
const ROUNDS: usize = 3;
/// What an empty bin counts in Q where P is not empty.
const SMOOTH: f64 = 1e-4;

/// The interval of least relative entropy on `grid`.
pub(super) fn least(bins: &Bins, grid: Grid) -> Interval {
    let (first, last) = grid.bounds();
    if grid.symmetric || !grid.dtype.is_int() {
        let levels = if grid.dtype.is_int() { (last - first) as usize / 2 + 1 } else { 128 };
        let sums = Sums::new(&bins.magnitudes());
        let end = sums.best_end(0, 1, levels, sums.len()) as f64 * bins.width;
        return Interval { low: -end as f32, high: end as f32 };
    }
    let levels = (last - first + 1.0) as usize;
    let zero = bins.first.unsigned_abs() as usize;
    let sums = Sums::new(&bins.counts);
    let (mut low, mut high) = (0, sums.len());
    for _ in 0..ROUNDS {
        let before = (low, high);
        high = sums.best_end(low, zero + 1, levels, high);
        low = sums.best_start(high, zero, levels, low);
        if (low, high) == before {
            break;
        }
    }
    Interval { low: bins.edge(low) as f32, high: bins.edge(high) as f32 }
}

/// Running sums over bins; entry `i` is that of the bins before `i`.
struct Sums {
    counts: Vec<f64>,
    used: Vec<f64>,
    /// Of `count * ln count`.
    own: Vec<f64>,
}

fn x_log_x(x: f64) -> f64 {
    if x > 0.0 { x * x.ln() } else { 0.0 }
}

impl Sums {
    fn new(counts: &[u64]) -> Self {
        let running = |of: fn(f64) -> f64| {
            let mut sum = 0.0;
            let next = counts.iter().map(move |c| {
                sum += of(*c as f64);
                sum
            });
            std::iter::once(0.0).chain(next).collect()
        };
        Self {
            counts: running(|c| c),
            used: running(|c| f64::from(u8::from(c > 0.0))),
            own: running(x_log_x),
        }
    }
    /// Bins.
    fn len(&self) -> usize {
        self.counts.len() - 1
    }
    /// The best upper end, not below `least`, of an interval from bin `low` on; `full` is the widest, which wins a tie.
    fn best_end(&self, low: usize, least: usize, levels: usize, full: usize) -> usize {
        let step = (full.saturating_sub(low) / CANDIDATES).max(1);
        let ends = (0..).map(|i| full.saturating_sub(i * step));
        let ends = ends.take_while(|e| *e >= least && *e >= low + levels);
        Self::best(ends, full, |e| self.divergence(low, e, levels))
    }
    /// The best lower end, not above `most`, of an interval up to bin `high`.
    fn best_start(&self, high: usize, most: usize, levels: usize, full: usize) -> usize {
        let step = (high.saturating_sub(full) / CANDIDATES).max(1);
        let starts = (0..).map(|i| full + i * step);
        let starts = starts.take_while(|s| *s <= most && s + levels <= high);
        Self::best(starts, full, |s| self.divergence(s, high, levels))
    }
    fn best(candidates: impl Iterator<Item = usize>, full: usize, cost: impl Fn(usize) -> f64) -> usize {
        let mut best = (f64::INFINITY, full);
        for c in candidates {
            let cost = cost(c);
            if cost < best.0 {
                best = (cost, c);
            }
        }
        best.1
    }
    /// Relative entropy of bins `low..high` joined to `levels`, in nats; infinite when they hold nothing.
    fn divergence(&self, low: usize, high: usize, levels: usize) -> f64 {
        let total = self.counts[self.len()];
        let inside = self.counts[high] - self.counts[low];
        if inside <= 0.0 {
            return f64::INFINITY;
        }
        let count = |i: usize| self.counts[i + 1] - self.counts[i];
        let (below, above) = (self.counts[low], total - self.counts[high]);
        // P log P, with what lies outside in the outermost bins.
        let mut own = self.own[high] - self.own[low];
        for (bin, outside) in [(low, below), (high - 1, above)] {
            own += x_log_x(count(bin) + outside) - x_log_x(count(bin));
        }
        let mut cross = 0.0;
        let edge = |level: usize| low + level * (high - low) / levels;
        for level in 0..levels {
            let (a, b) = (edge(level), edge(level + 1));
            let mass = self.counts[b] - self.counts[a];
            if mass > 0.0 {
                let mean = mass / (self.used[b] - self.used[a]);
                let mut seen = mass;
                seen += if level == 0 && count(low) > 0.0 { below } else { 0.0 };
                seen += if level + 1 == levels && count(high - 1) > 0.0 { above } else { 0.0 };
                cross += seen * mean.ln();
            }
        }
        for (bin, outside) in [(low, below), (high - 1, above)] {
            if count(bin) <= 0.0 {
                cross += outside * SMOOTH.ln();
            }
        }
        (own - cross) / total - total.ln() + inside.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::super::histogram::Histogram;
    use super::super::testing::{laplace, normal};
    use super::*;
    use hoist_ir::dtype::DType;

    fn bins(values: &[f32]) -> Bins {
        let mut h = Histogram::default();
        h.take_in(values);
        h.bins()
    }

    /// The procedure of the slides, step by step.
    fn plain(counts: &[u64], low: usize, high: usize, levels: usize) -> f64 {
        let counts: Vec<f64> = counts.iter().map(|c| *c as f64).collect();
        let mut p = counts[low..high].to_vec();
        p[0] += counts[..low].iter().sum::<f64>();
        let last = p.len() - 1;
        p[last] += counts[high..].iter().sum::<f64>();
        let mut q = vec![0.0; p.len()];
        for level in 0..levels {
            let part = level * p.len() / levels..(level + 1) * p.len() / levels;
            let inside = &counts[low..high][part.clone()];
            let used = inside.iter().filter(|c| **c > 0.0).count() as f64;
            for i in part.clone() {
                if counts[low + i] > 0.0 {
                    q[i] = inside.iter().sum::<f64>() / used;
                }
            }
        }
        let (sum_p, sum_q) = (p.iter().sum::<f64>(), q.iter().sum::<f64>());
        p.iter()
            .zip(&q)
            .filter(|(p, _)| **p > 0.0)
            .map(|(p, q)| p / sum_p * ((p / sum_p) / (if *q > 0.0 { *q } else { SMOOTH } / sum_q)).ln())
            .sum()
    }

    #[test]
    fn divergence_is_that_of_the_plain_procedure() {
        let bins = bins(&normal(20_000));
        let sums = Sums::new(&bins.counts);
        for (low, high, levels) in
            [(0, sums.len(), 256), (100, 2000, 256), (700, 1900, 128), (900, 1156, 256)]
        {
            let (fast, plain) = (sums.divergence(low, high, levels), plain(&bins.counts, low, high, levels));
            assert!((fast - plain).abs() < 1e-9, "{fast} {plain}");
        }
    }

    #[test]
    fn even_distributions_stay_whole() {
        let values: Vec<f32> = (0..40_000).map(|i| i as f32 / 40_000.0).collect();
        let found = least(&bins(&values), Grid { dtype: DType::U8, symmetric: false });
        assert!(found.high > 0.99 && found.low == 0.0, "{found:?}");
        let few = least(&bins(&values), Grid { dtype: DType::I16, symmetric: true });
        assert_eq!(few.high, 1.0);
    }

    #[test]
    fn one_far_number_is_cut_off() {
        let mut values = laplace(100_000);
        values.push(200.0);
        for symmetric in [true, false] {
            let found = least(&bins(&values), Grid { dtype: DType::I8, symmetric });
            assert!(found.high < 40.0, "{found:?}");
        }
    }
}
