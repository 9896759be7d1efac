//! Chooses the factors of a group: those of a family with the least expected noise.
//!
//! For class `c` of a group, `a[c]` is the magnitude that its channels reach and `w[c]` the largest weight that reads them. Candidates are `w^(1 - alpha) /
//! a^alpha`: `alpha` 1 makes all channels of activations alike, 0 those of weights (`SmoothQuant`, Xiao et al. 2022, divides activations by the inverse);
//! with one scale for all weights of an operator also `sqrt(w / r)` and the like, where `r[c]` is the largest weight that computes the channel
//! (cross-layer equalization, Nagel et al. 2019).
//!
//! Expected noise: a value stored on a grid of step `d` has noise `d^2 / 12` in each element, which weights carry on; a weight stored on a grid of step `d` has noise
//! `d^2 / 12` times the mean square of what it multiplies. Noise in an output channel counts as much as the weights that read it make of it, and where
//! something else reads it, as a part of the mean square of all output channels.
use super::Equalization;
use super::groups::{Consumer, Group, Known, Member, Producer};
use crate::quantize::linear::Linear;
use hoist_ir::tensor::TensorError;

/// Steps of the grid of a stored value, and of one half of the grid of weights.
const STEPS: f64 = 255.0;
const HALF: f64 = 127.0;
/// Strengths that are tried where none is asked for.
const STRENGTHS: [f64; 6] = [0.0, 0.25, 0.5, 0.65, 0.8, 1.0];
/// Further exponents of `w`, `1 / a` and `1 / r` where weights have one scale.
const BOTH: [[f64; 3]; 5] =
    [[0.5, 0.0, 0.5], [0.5, 0.25, 0.25], [0.34, 0.33, 0.33], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]];
/// Factors lie between the inverse of this and this: samples tell little about channels that hardly anything reached,
const MOST: f64 = 1024.0;
/// and weights alone tell less.
const MOST_GUESSED: f64 = 32.0;
/// The part of the extremes of a value that its interval of least squared error reaches, about.
const REACH: f64 = 0.5;
/// Noise that must be left at most for factors to be worth it: what is expected is not exact.
const WORTH: f64 = 0.8;
/// The same where magnitudes are guessed.
const WORTH_GUESSED: f64 = 0.5;
/// How much more noise powers of two may leave, with which all products are exact.
const EXACT: f64 = 1.02;

/// Factors of a group that were found.
pub struct Found {
    /// One factor per class of the group.
    pub factors: Vec<f64>,
    /// Noise that is left, as a part of that without factors.
    pub noise: f64,
    /// Exponent of magnitudes.
    pub strength: f64,
}

/// What is known of all that a group touches.
struct Problem<'a> {
    /// Free classes; those behind them have factor 1.
    free: usize,
    count: usize,
    members: Vec<Member>,
    consumers: Vec<Consumer<'a>>,
    producers: Vec<Producer>,
}

/// The best factors for `group`; `None` when none are worth it.
///
/// # Errors
/// When weights cannot be read.
pub fn search(known: &Known<'_>, linears: &[&Linear], group: &Group) -> Result<Option<Found>, TensorError> {
    let problem = Problem::of(known, linears, group)?;
    if problem.members.is_empty() || problem.consumers.is_empty() {
        return Ok(None);
    }
    let (most, worth) = if known.is_guessed() { (MOST_GUESSED, WORTH_GUESSED) } else { (MOST, WORTH) };
    let mut tried: Vec<(f64, Vec<f64>)> = vec![(0.0, vec![1.0; problem.count])];
    for (strength, exponents) in family(known, &problem) {
        let factors = problem.candidate(exponents, most);
        let exact = factors.iter().map(|f| f.log2().round().exp2()).collect();
        tried.push((strength, factors));
        tried.push((strength, exact));
    }
    let noises = problem.noises(known, &tried)?;
    let best = noises.iter().copied().fold(f64::INFINITY, f64::min);
    if best.is_nan() || best >= worth * noises[0] {
        return Ok(None);
    }
    let exact = (2..tried.len()).step_by(2).find(|i| noises[*i] <= EXACT * best);
    let chosen = exact.or_else(|| noises.iter().position(|n| *n == best)).unwrap_or(0);
    let (strength, mut factors) = tried.swap_remove(chosen);
    factors.truncate(problem.free);
    Ok(Some(Found { factors, noise: noises[chosen] / noises[0], strength }))
}

/// Strengths, each with the exponents of `w`, `1 / a` and `1 / r`.
fn family(known: &Known<'_>, problem: &Problem<'_>) -> Vec<(f64, [f64; 3])> {
    let plain = |a: f64| (a, [1.0 - a, a, 0.0]);
    if problem.consumers.iter().all(|c| c.linear.is_depthwise()) && known.asked.per_channel {
        // Each channel of weights has its own scale whatever the factors are.
        return vec![plain(1.0)];
    }
    let mut all: Vec<(f64, [f64; 3])> = match known.asked.alpha {
        Some(alpha) => vec![plain(alpha.clamp(0.0, 1.0))],
        None => STRENGTHS.into_iter().map(plain).collect(),
    };
    if !known.asked.per_channel {
        all.extend(BOTH.iter().map(|e| (e[1], *e)));
    }
    all
}

impl<'a> Problem<'a> {
    fn of(known: &Known<'a>, linears: &[&'a Linear], group: &Group) -> Result<Self, TensorError> {
        let spread = known.spread;
        let fixed = std::cell::RefCell::new(std::collections::BTreeMap::<u32, usize>::new());
        let place = |id: u32| {
            let root = spread.classes.root(id);
            group.classes.binary_search(&root).unwrap_or_else(|_| {
                let mut fixed = fixed.borrow_mut();
                let next = group.classes.len() + fixed.len();
                *fixed.entry(root).or_insert(next)
            })
        };
        let mut members: Vec<Member> = group.values.iter().filter_map(|v| known.member(*v, &place)).collect();
        if members.is_empty() {
            let data = group.consumers.iter().filter_map(|i| linears[*i].data(known.g));
            members = data.filter_map(|v| known.member(v, &place)).collect();
        }
        let consumers = group.consumers.iter().map(|i| known.consumer((*i, linears[*i]), &place));
        let consumers = consumers.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        let mut producers = vec![];
        if !known.asked.per_channel {
            let all = group.producers.iter().map(|i| known.producer((*i, linears[*i]), &place));
            producers = all.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        }
        let count = group.classes.len() + fixed.borrow().len();
        Ok(Self { free: group.classes.len(), count, members, consumers, producers })
    }
    /// Largest value of each class over what `each` lists, where the largest of a list counts 1.
    fn peaks<'p>(&self, lists: impl Iterator<Item = (&'p [usize], Vec<f64>)>, relative: bool) -> Vec<f64> {
        let mut peaks = vec![0.0f64; self.count];
        for (places, values) in lists {
            let most = if relative { values.iter().copied().fold(0.0, f64::max) } else { 1.0 };
            for (p, v) in places.iter().zip(&values).filter(|_| most > 0.0) {
                peaks[*p] = peaks[*p].max(v / most);
            }
        }
        peaks
    }
    /// Factors with these exponents of `w`, `1 / a` and `1 / r`, not beyond `bound`.
    fn candidate(&self, [x, y, z]: [f64; 3], bound: f64) -> Vec<f64> {
        let a = self.peaks(
            self.members
                .iter()
                .map(|m| (m.places.as_slice(), m.low.iter().zip(&m.high).map(|(l, h)| h.max(-l)).collect())),
            true,
        );
        let w = self.peaks(self.consumers.iter().map(|c| (c.places.as_slice(), c.peak.clone())), false);
        let r = self.peaks(self.producers.iter().map(|p| (p.places.as_slice(), p.peak.clone())), true);
        // A power that an exponent of 0 leaves out, and that is 1 where nothing is known.
        let power = |v: f64, e: f64| if e == 0.0 || v <= 0.0 { 1.0 } else { v.powf(e) };
        let lives = |c: usize| a[c] > 0.0 && (x == 0.0 || w[c] > 0.0);
        let raw = |c: usize| power(w[c], x) / (power(a[c], y) * power(r[c], z));
        let mut factors: Vec<f64> = (0..self.count).map(raw).collect();
        let scale = self.scale(&factors, &a, &lives);
        for f in &mut factors {
            *f *= scale;
        }
        // What no sample reached must not widen the weights.
        let most = (0..self.count).filter(|c| lives(*c)).map(|c| w[c] / factors[c]).fold(0.0, f64::max);
        for c in 0..self.count {
            factors[c] = match () {
                () if c >= self.free => 1.0,
                () if lives(c) => factors[c].clamp(1.0 / bound, bound),
                () if most > 0.0 && w[c] > most => (w[c] / most).clamp(1.0, bound),
                () => 1.0,
            };
        }
        factors
    }
    /// What makes the geometric mean of living factors 1; or, where some channels of a value have no factor, the largest others as large.
    fn scale(&self, factors: &[f64], a: &[f64], lives: &dyn Fn(usize) -> bool) -> f64 {
        let most = |range: std::ops::Range<usize>, f: &dyn Fn(usize) -> f64| range.map(f).fold(0.0, f64::max);
        let held = most(self.free..self.count, &|c| a[c]);
        let reached = most(0..self.free, &|c| if lives(c) { a[c] * factors[c] } else { 0.0 });
        if held > 0.0 && reached > 0.0 {
            return held / reached;
        }
        let logs: Vec<f64> = (0..self.free).filter(|c| lives(*c)).map(|c| factors[c].log2()).collect();
        if logs.is_empty() { 1.0 } else { (-logs.iter().sum::<f64>() / logs.len() as f64).exp2() }
    }
    /// Expected noise with each list of factors.
    fn noises(&self, known: &Known<'_>, tried: &[(f64, Vec<f64>)]) -> Result<Vec<f64>, TensorError> {
        let mut noises: Vec<f64> = tried.iter().map(|(_, f)| self.stored(f, known.asked)).collect();
        for c in &self.consumers {
            for (noise, more) in noises.iter_mut().zip(read(c, tried, known.asked.per_channel)?) {
                *noise += more;
            }
        }
        for p in &self.producers {
            for (noise, (_, f)) in noises.iter_mut().zip(tried) {
                let peak = p.peak.iter().zip(&p.places).map(|(r, c)| r * f[*c]).fold(0.0, f64::max) / HALF;
                let counts: f64 = p.gain.iter().zip(&p.places).map(|(g, c)| g / (f[*c] * f[*c])).sum();
                *noise += peak * peak * counts * p.energy;
            }
        }
        Ok(noises)
    }
    /// Noise of stored values.
    fn stored(&self, f: &[f64], asked: Equalization) -> f64 {
        if asked.weights_only {
            return 0.0;
        }
        let mut counts = vec![0.0; self.count];
        for c in &self.consumers {
            for (p, w) in c.places.iter().zip(&c.weight) {
                counts[*p] += w / (f[*p] * f[*p]);
            }
        }
        let noise = |m: &Member| {
            let reach =
                |list: &[f64]| list.iter().zip(&m.places).map(|(v, p)| v.abs() * f[*p]).fold(0.0, f64::max);
            let (low, high) = (reach(&m.low), reach(&m.high));
            let step = if asked.symmetric { 2.0 * low.max(high) } else { low + high } * REACH / STEPS;
            let mut reached = vec![false; self.count];
            let mut once = |p: &usize| !std::mem::replace(&mut reached[*p], true);
            step * step * m.places.iter().filter(|p| once(p)).map(|p| counts[*p]).sum::<f64>()
        };
        self.members.iter().map(noise).sum()
    }
}

/// Noise of the weights of `c` with each list of factors.
fn read(c: &Consumer<'_>, tried: &[(f64, Vec<f64>)], per_channel: bool) -> Result<Vec<f64>, TensorError> {
    let linear = c.linear;
    let mut peaks = vec![vec![0.0f64; linear.outputs]; tried.len()];
    linear.visit(c.weights, |o, i, v| {
        let v = (f64::from(v) * c.so_far.0[o] * c.so_far.1[i]).abs();
        for (peak, (_, f)) in peaks.iter_mut().zip(tried) {
            peak[o] = peak[o].max(v / f[c.places[i]]);
        }
    })?;
    let noise = |(peak, (_, f)): (&Vec<f64>, &(f64, Vec<f64>))| {
        let mut energy = vec![0.0; linear.groups];
        for (i, e) in c.energy.iter().enumerate() {
            let f = f[c.places[i]];
            energy[linear.group_of_input(i)] += e * f * f;
        }
        let whole = peak.iter().copied().fold(0.0, f64::max);
        let step = |o: usize| if per_channel { peak[o] } else { whole } / HALF;
        (0..linear.outputs).map(|o| step(o) * step(o) * c.gain[o] * energy[linear.group_of(o)]).sum()
    };
    Ok(peaks.iter().zip(tried).map(noise).collect())
}
