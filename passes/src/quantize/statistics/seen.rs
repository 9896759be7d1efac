//! What was seen of one value.
use super::channels::Channels;
use super::extremes::Extremes;
use super::histogram::Histogram;
use super::methods;
use crate::quantize::spec::{Grid, Interval, Method};
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use rayon::prelude::*;

/// What is recorded of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Whether a histogram is kept, which percentile, entropy and squared error need: 32 KB.
    pub histogram: bool,
    /// Axis whose positions are told apart: 24 bytes for each.
    pub channel_axis: Option<usize>,
}

/// Newest batches whose extremes are kept.
const BATCHES: usize = 512;
/// Numbers below which one thread does all.
const SERIAL: usize = 1 << 18;
/// Parts of a tensor that threads take, in numbers.
const PART: usize = 1 << 17;

/// All that was seen of one value.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Seen {
    all: Extremes,
    histogram: Option<Histogram>,
    /// What is still recorded of what was asked for.
    wanted: Wanted,
    asked: Wanted,
    channels: Option<Channels>,
    batches: Batches,
}

/// Extremes of batches: the newest ones each, older ones as a sum.
#[derive(Clone, PartialEq, Debug, Default)]
struct Batches {
    /// Number of the run and its extremes, oldest first.
    newest: Vec<(u64, Interval)>,
    older: u64,
    low: f64,
    high: f64,
}

impl Batches {
    fn push(&mut self, run: u64, i: Interval) {
        self.newest.push((run, i));
        if self.newest.len() >= 2 * BATCHES {
            self.forget();
        }
    }
    /// Joins all but the newest.
    fn forget(&mut self) {
        let old = self.newest.len().saturating_sub(BATCHES);
        for (_, i) in self.newest.drain(..old) {
            self.older += 1;
            self.low += f64::from(i.low);
            self.high += f64::from(i.high);
        }
    }
    fn merge(&mut self, other: &Self) {
        self.newest.extend(&other.newest);
        self.newest.sort_by_key(|b| b.0);
        self.older += other.older;
        self.low += other.low;
        self.high += other.high;
        if self.newest.len() >= 2 * BATCHES {
            self.forget();
        }
    }
    /// `a = (1 - weight) * a + weight * x` over the batches, as in quantization-aware training (Jacob et al. 2018, section 3.1: "exponential
    /// moving averages"), from the first batch or the mean of those no longer told apart.
    fn moving_average(&self, weight: f64) -> Option<Interval> {
        let weight = if weight.is_finite() { weight.clamp(0.0, 1.0) } else { 1.0 };
        let mut all = (self.older > 0).then(|| {
            let n = self.older as f64;
            (self.low / n, self.high / n)
        });
        for (_, i) in &self.newest {
            let (low, high) = (f64::from(i.low), f64::from(i.high));
            let old = all.unwrap_or((low, high));
            all = Some((old.0 + weight * (low - old.0), old.1 + weight * (high - old.1)));
        }
        all.map(|(low, high)| Interval { low: low as f32, high: high as f32 })
    }
}

impl Seen {
    /// Nothing seen yet.
    pub fn new(wanted: &Wanted) -> Self {
        Self {
            wanted: *wanted,
            asked: *wanted,
            histogram: wanted.histogram.then(Histogram::default),
            ..Self::default()
        }
    }
    /// The same wishes, nothing seen.
    pub(super) fn empty(&self) -> Self {
        Self::new(&self.asked)
    }
    /// Takes in a tensor of floats; others are ignored. Each call is a batch.
    pub fn take_in(&mut self, t: &Tensor) {
        self.take_in_run(t, self.batches.older + self.batches.newest.len() as u64);
    }
    /// Takes in a tensor of floats that run number `run` computed.
    pub(super) fn take_in_run(&mut self, t: &Tensor, run: u64) {
        if !matches!(t.dtype(), DType::F32 | DType::F16 | DType::BF16 | DType::F64) {
            return;
        }
        let Ok(values) = t.to_f32s() else { return };
        let seen = self.scan(&values);
        self.all = self.all.with(seen);
        if seen.any() {
            self.batches.push(run, Interval { low: seen.low, high: seen.high });
        }
        let Some((axis, size)) = self.wanted.channel_axis.and_then(|a| Some((a, *t.shape().get(a)?))) else {
            return;
        };
        if self.channels.is_none() {
            self.channels = Channels::new(axis, size);
        }
        match &mut self.channels {
            Some(c) if c.len() == size => c.take_in(t.shape(), &values, seen.others == 0),
            // Positions of an axis whose size varies are not told apart.
            _ => {
                self.channels = None;
                self.wanted.channel_axis = None;
            }
        }
    }
    fn scan(&mut self, values: &[f32]) -> Extremes {
        let parallel = values.len() >= SERIAL && rayon::current_num_threads() > 1;
        match &mut self.histogram {
            Some(h) if parallel => {
                let part = |values: &[f32]| {
                    let mut h = Histogram::default();
                    let seen = h.take_in(values);
                    (seen, h)
                };
                let join = |mut a: (Extremes, Histogram), b: (Extremes, Histogram)| {
                    a.1.merge(&b.1);
                    (a.0.with(b.0), a.1)
                };
                let parts = values.par_chunks(PART.max(values.len() / 16)).map(part);
                let (seen, other) = parts.reduce(<_>::default, join);
                h.merge(&other);
                seen
            }
            Some(h) => h.take_in(values),
            None if parallel => {
                values.par_chunks(PART).map(Extremes::of).reduce(Extremes::default, Extremes::with)
            }
            None => Extremes::of(values),
        }
    }
    /// Takes in all that `other`, of the same wishes, saw.
    pub fn merge(&mut self, other: &Self) {
        self.all = self.all.with(other.all);
        if let (Some(h), Some(o)) = (&mut self.histogram, &other.histogram) {
            h.merge(o);
        }
        match (&mut self.channels, &other.channels) {
            (Some(c), Some(o)) if c.len() == o.len() => c.merge(o),
            (None, Some(o)) if self.wanted.channel_axis.is_some() => self.channels = Some(o.clone()),
            (Some(_), Some(_)) => self.channels = None,
            _ => {}
        }
        if other.all.count > 0 && other.wanted.channel_axis.is_none() {
            self.channels = None;
            self.wanted.channel_axis = None;
        }
        self.batches.merge(&other.batches);
    }
    /// The interval by `method` for what is stored on `grid`; `None` when no finite number was seen. Without a histogram, methods that need
    /// one give the extremes.
    pub fn interval(&self, method: Method, grid: Grid) -> Option<Interval> {
        let extremes = self.extremes()?;
        if let Method::MovingAverage(weight) = method {
            return self.batches.moving_average(weight);
        }
        let Some(h) = &self.histogram else { return Some(extremes) };
        Some(methods::interval(&h.bins(), self.all.zeros, extremes, method, grid))
    }
    /// The smallest and the largest finite number.
    pub fn extremes(&self) -> Option<Interval> {
        self.all.any().then_some(Interval { low: self.all.low, high: self.all.high })
    }
    /// Statistics of each position of the axis that was asked for; `None` when nothing was seen or its size varies.
    pub fn channels(&self) -> Option<&Channels> {
        self.channels.as_ref()
    }
    /// Finite numbers seen.
    pub fn count(&self) -> u64 {
        self.all.count
    }
    /// Whether infinities or what is no number were seen. They never count in ranges.
    pub fn has_non_finite(&self) -> bool {
        self.all.others > 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{normal, uniform};
    use super::*;

    const ALL: Wanted = Wanted { histogram: true, channel_axis: Some(1) };
    const ANY: Grid = Grid { dtype: DType::I8, symmetric: false };
    const METHODS: [Method; 5] =
        [Method::MinMax, Method::MovingAverage(0.1), Method::Percentile(99.0), Method::Entropy, Method::Mse];

    fn of(batches: &[&[f32]]) -> Seen {
        let mut seen = Seen::new(&ALL);
        for b in batches {
            seen.take_in(&Tensor::from_vec(&[b.len()], b.to_vec()));
        }
        seen
    }

    #[test]
    fn nothing_has_no_interval() {
        for seen in [of(&[]), of(&[&[]]), of(&[&[f32::NAN, f32::INFINITY]])] {
            assert!(METHODS.iter().all(|m| seen.interval(*m, ANY).is_none()));
            assert!(seen.extremes().is_none() && seen.channels().is_none() && seen.count() == 0);
        }
        let mut seen = Seen::new(&ALL);
        seen.take_in(&Tensor::from_vec(&[2], vec![1i32, 2]));
        assert!(seen.extremes().is_none());
        assert!(of(&[&[f32::NAN]]).has_non_finite() && !of(&[&[1.0]]).has_non_finite());
    }

    #[test]
    fn extremes_are_averaged_over_batches() {
        let seen = of(&[&[-1.0, 1.0], &[-3.0, 1.0], &[-3.0, 5.0]]);
        let found = seen.interval(Method::MovingAverage(0.5), ANY).expect("numbers");
        assert_eq!((found.low, found.high), (-2.5, 3.0));
        assert_eq!(seen.interval(Method::MinMax, ANY), Some(Interval { low: -3.0, high: 5.0 }));
        // Far batches count as their mean.
        let mut long = Seen::new(&Wanted::default());
        for i in 0..5000 {
            long.take_in(&Tensor::from_vec(&[1], vec![if i % 2 == 0 { 1.0f32 } else { 3.0 }]));
        }
        assert!(long.batches.newest.len() < 2 * BATCHES);
        let found = long.interval(Method::MovingAverage(0.001), ANY).expect("numbers");
        assert!((found.low - 2.0).abs() < 0.01);
    }

    #[test]
    fn all_floats_are_read() {
        let values = [0.5f32, -2.0, 1.0, 4.0];
        let plain = Tensor::from_vec(&[2, 2], values.to_vec());
        for dtype in [DType::F32, DType::F16, DType::BF16, DType::F64] {
            let mut seen = Seen::new(&ALL);
            seen.take_in(&plain.cast(dtype, false).expect("floats"));
            assert_eq!(seen.extremes(), Some(Interval { low: -2.0, high: 4.0 }));
            assert_eq!(seen.channels().map(|c| (c.mean(0), c.magnitude(1))), Some((0.75, 4.0)));
        }
        let mut seen = Seen::new(&ALL);
        seen.take_in(&Tensor::scalar(3.0f32));
        assert_eq!((seen.count(), seen.channels()), (1, None));
    }

    #[test]
    fn an_axis_of_varying_size_has_no_channels() {
        let t = |c: usize| Tensor::from_vec(&[1, c], vec![1.0f32; c]);
        let mut seen = Seen::new(&ALL);
        seen.take_in(&t(3));
        assert_eq!(seen.channels().map(Channels::len), Some(3));
        seen.take_in(&t(4));
        seen.take_in(&t(4));
        assert!(seen.channels().is_none());
        let (mut a, mut b) = (Seen::new(&ALL), Seen::new(&ALL));
        a.take_in(&t(2));
        b.take_in(&t(3));
        a.merge(&b);
        assert!(a.channels().is_none());
    }

    #[test]
    fn parts_and_threads_do_not_matter() {
        let values: Vec<f32> = normal(1 << 19).iter().zip(uniform(1 << 19)).map(|(a, b)| a * b * b).collect();
        let t = Tensor::from_vec(&[4, 2, values.len() / 8], values.clone());
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let mut seen = Seen::new(&ALL);
            pool.install(|| seen.take_in(&t));
            seen
        };
        assert!(run(1) == run(3));
        let halves: Vec<Seen> = values.chunks(1 << 18).map(|v| of(&[v])).collect();
        let mut joined = halves[0].clone();
        joined.merge(&halves[1]);
        for m in METHODS.into_iter().filter(|m| !matches!(m, Method::MovingAverage(_))) {
            assert_eq!(joined.interval(m, ANY), run(1).interval(m, ANY));
        }
    }
}
