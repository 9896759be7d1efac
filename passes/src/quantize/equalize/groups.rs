//! Classes of labels that meet in one value, and what is known of the values and weights they belong to.
use super::Equalization;
use super::apply::along;
use super::spread::{Site, Spread};
use crate::quantize::linear::Linear;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::tensor::{Tensor, TensorError};
use std::collections::BTreeMap;

/// Classes that are chosen together, since the range of one value depends on all of them.
#[derive(Default, Debug)]
pub struct Group {
    /// The first label of each class, ascending.
    pub classes: Vec<u32>,
    /// Values with labels of these classes that are stored on one grid.
    pub values: Vec<ValueId>,
    /// Operators that read them, as positions in the list of all operators with weights.
    pub consumers: Vec<usize>,
    /// Operators that compute them.
    pub producers: Vec<usize>,
}

/// Operators with weights of `spread`, in order.
pub fn linears(spread: &Spread) -> Vec<&Linear> {
    let linear = |(_, site): &'_ (NodeId, Site)| matches!(site, Site::Linear(_));
    spread
        .sites
        .iter()
        .filter(|s| linear(s))
        .filter_map(|s| if let Site::Linear(l) = &s.1 { Some(l.as_ref()) } else { None })
        .collect()
}

/// All groups, in the order of their first labels.
pub fn groups(g: &Graph, spread: &Spread, linears: &[&Linear]) -> Vec<Group> {
    let free = |v: ValueId| {
        let ids = spread.of_value(v).map(|l| l.ids.clone());
        ids.into_iter()
            .flat_map(|ids| ids.to_vec())
            .map(|id| spread.classes.root(id))
            .filter(|r| spread.classes.pin(*r).is_none())
    };
    // The first class that meets each class.
    let mut meets: Vec<u32> = (0..spread.classes.len() as u32).collect();
    let all: Vec<ValueId> = g.values().map(|(v, _)| v).filter(|v| spread.of_value(*v).is_some()).collect();
    for v in &all {
        let mut classes = free(*v);
        if let Some(first) = classes.next() {
            for other in classes {
                join(&mut meets, first, other);
            }
        }
    }
    let mut found: BTreeMap<u32, Group> = BTreeMap::new();
    for id in 1..spread.classes.len() as u32 {
        if spread.classes.root(id) == id && spread.classes.pin(id).is_none() {
            found.entry(root(&meets, id)).or_default().classes.push(id);
        }
    }
    let group_of = |v: Option<ValueId>| Some(root(&meets, free(v?).next()?));
    for v in all {
        if let Some(group) = group_of(Some(v)).and_then(|k| found.get_mut(&k))
            && is_stored(g, v)
        {
            group.values.push(v);
        }
    }
    for (i, linear) in linears.iter().enumerate() {
        if let Some(group) = group_of(linear.data(g)).and_then(|k| found.get_mut(&k)) {
            group.consumers.push(i);
        }
        if let Some(group) = group_of(linear.result(g)).and_then(|k| found.get_mut(&k)) {
            group.producers.push(i);
        }
    }
    found.into_values().collect()
}

fn root(parents: &[u32], mut id: u32) -> u32 {
    while parents[id as usize] != id {
        id = parents[id as usize];
    }
    id
}

fn join(parents: &mut [u32], a: u32, b: u32) {
    let (low, high) = {
        let (a, b) = (root(parents, a), root(parents, b));
        (a.min(b), a.max(b))
    };
    parents[high as usize] = low;
    for mut id in [a, b] {
        while parents[id as usize] != low {
            id = std::mem::replace(&mut parents[id as usize], low);
        }
    }
}

/// Operators whose result is on the grid of their operand, or is not stored before another operator bounds it.
const SAME: &[&str] = &[
    "reshape",
    "flatten",
    "squeeze",
    "unsqueeze",
    "transpose",
    "slice",
    "split",
    "gather",
    "expand",
    "max_pool",
    "identity",
    "dropout",
    "pad",
];
const BOUNDS: &[&str] = &["relu", "clip"];

/// Whether quantization of `v` takes a grid of its own.
pub fn is_stored(g: &Graph, v: ValueId) -> bool {
    let name = |n: NodeId| g.node(n).op().name();
    let bounded = g.single_user(v).is_some_and(|n| BOUNDS.contains(&name(n)));
    !bounded && g.producer(v).is_some_and(|n| !SAME.contains(&name(n)))
}

/// What is known of a value that is stored on one grid.
pub struct Member {
    /// Position of the class of each channel.
    pub places: Vec<usize>,
    /// Smallest number of each channel, at most 0.
    pub low: Vec<f64>,
    /// Largest number of each channel, at least 0.
    pub high: Vec<f64>,
}

/// What is known of an operator that reads a group.
pub struct Consumer<'a> {
    /// The operator.
    pub linear: &'a Linear,
    /// Its weights.
    pub weights: &'a Tensor,
    /// Position of the class of each input channel.
    pub places: Vec<usize>,
    /// Mean square of each input channel.
    pub energy: Vec<f64>,
    /// What noise in each output channel counts.
    pub gain: Vec<f64>,
    /// What noise in each input channel counts.
    pub weight: Vec<f64>,
    /// Largest magnitude among the weights of each input channel, as much as it counts.
    pub peak: Vec<f64>,
    /// Factors of weights chosen so far: per output channel, and inverse ones per input channel.
    pub so_far: (Vec<f64>, Vec<f64>),
}

/// What is known of an operator that computes a group.
pub struct Producer {
    /// Position of the class of each output channel.
    pub places: Vec<usize>,
    /// Largest magnitude among the weights of each output channel.
    pub peak: Vec<f64>,
    /// What noise in each output channel counts.
    pub gain: Vec<f64>,
    /// Sum of the mean squares of the inputs of one channel.
    pub energy: f64,
}

/// What is known of the whole graph while factors are chosen.
pub struct Known<'a> {
    /// The graph.
    pub g: &'a Graph,
    /// Its labels.
    pub spread: &'a Spread,
    /// Factor of each class, by its first label.
    pub factors: Vec<f64>,
    /// Statistics of values.
    pub stats: super::Stats<'a>,
    /// Mean square of each class as weights alone tell, by its first label.
    pub guesses: Vec<f64>,
    /// What noise in each output channel of each operator with weights counts, in the order of these.
    pub gains: Vec<Vec<f64>>,
    /// What is asked.
    pub asked: Equalization,
}

/// Magnitudes that a normal distribution hardly exceeds, in units of its standard deviation.
const SPAN: f64 = 3.0;
/// The least mean square that counts.
const LEAST: f64 = 1e-30;

impl<'a> Known<'a> {
    /// Whether magnitudes are guessed from weights.
    pub fn is_guessed(&self) -> bool {
        self.guesses.iter().any(|g| *g > 0.0)
    }
    /// Factors of the labels of `v`, one for each of `count` channels.
    fn factors(&self, v: Option<ValueId>, count: usize) -> Vec<f64> {
        along(self.spread, &self.factors, v, count)
    }
    /// Mean square of each of `count` channels along `axis` of `v`.
    pub fn energy(&self, v: Option<ValueId>, axis: usize, count: usize) -> Vec<f64> {
        let factors = self.factors(v, count);
        let seen = v
            .and_then(|v| (self.stats)(v))
            .filter(|c| c.axis == axis && c.square.len() == count && c.count > 0);
        let each: Vec<f64> = match seen {
            Some(c) => c.square.iter().map(|s| s / c.count as f64).collect(),
            None => match v.and_then(|v| self.spread.of_value(v)) {
                Some(labels) if labels.ids.len() == count || labels.ids.len() == 1 => labels
                    .spread(count)
                    .iter()
                    .map(|id| self.guesses[self.spread.classes.root(*id) as usize])
                    .collect(),
                _ => vec![1.0; count],
            },
        };
        each.iter().zip(factors).map(|(e, f)| e * f * f).collect()
    }
    /// What is known of value `v`; `None` when it was not seen along its channels.
    pub fn member(&self, v: ValueId, place: &dyn Fn(u32) -> usize) -> Option<Member> {
        let labels = self.spread.of_value(v)?;
        let axis = labels.axis()?;
        let count = labels.ids.len();
        let factors = self.factors(Some(v), count);
        let places = labels.ids.iter().map(|id| place(*id)).collect();
        let (low, high): (Vec<f64>, Vec<f64>) = match (self.stats)(v) {
            Some(c) if c.axis == axis && c.low.len() == count => (
                c.low.iter().map(|v| f64::from(*v)).collect(),
                c.high.iter().map(|v| f64::from(*v)).collect(),
            ),
            Some(_) => return None,
            None => {
                let guess = |id: &u32| SPAN * self.guesses[self.spread.classes.root(*id) as usize].sqrt();
                let high: Vec<f64> = labels.ids.iter().map(guess).collect();
                (high.iter().map(|h| -h).collect(), high)
            }
        };
        let finite = |list: Vec<f64>, sign: f64| -> Vec<f64> {
            let bound =
                |(v, f): (&f64, &f64)| if v.is_finite() { (v * f * sign).max(0.0) * sign } else { 0.0 };
            list.iter().zip(&factors).map(bound).collect()
        };
        Some(Member { places, low: finite(low, -1.0), high: finite(high, 1.0) })
    }
    fn so_far(&self, linear: &Linear) -> (Vec<f64>, Vec<f64>) {
        let inverse = self.factors(linear.data(self.g), linear.inputs).into_iter().map(f64::recip).collect();
        (self.factors(linear.result(self.g), linear.outputs), inverse)
    }
    /// Mean square that weights make of independent inputs, per output channel.
    fn made(&self, linear: &Linear, w: &Tensor, energy: &[f64]) -> Result<Vec<f64>, TensorError> {
        let (outputs, inputs) = self.so_far(linear);
        let mut made = vec![0.0; linear.outputs];
        linear.visit(w, |o, i, v| {
            let v = f64::from(v) * outputs[o] * inputs[i];
            made[o] += v * v * energy[i];
        })?;
        Ok(made)
    }
    /// What is known of `linear`, which reads a group.
    ///
    /// # Errors
    /// When the weights cannot be read.
    pub fn consumer(
        &self,
        (at, linear): (usize, &'a Linear),
        place: &dyn Fn(u32) -> usize,
    ) -> Result<Option<Consumer<'a>>, TensorError> {
        let data = linear.data(self.g);
        let (Some(w), Some(labels)) = (
            linear.weights(self.g).and_then(|w| self.g.constant(w)),
            data.and_then(|v| self.spread.of_value(v)),
        ) else {
            return Ok(None);
        };
        let energy = self.energy(data, linear.data_axis, linear.inputs);
        let so_far = self.so_far(linear);
        let gain = self.gain(at, &so_far.0);
        let (mut weight, mut peak) = (vec![0.0; linear.inputs], vec![0.0f64; linear.inputs]);
        let by_tensor = !self.asked.per_channel;
        linear.visit(w, |o, i, v| {
            let v = f64::from(v) * so_far.0[o] * so_far.1[i];
            weight[i] += v * v * gain[o];
            peak[i] = peak[i].max(if by_tensor { v.abs() } else { v.abs() * gain[o].sqrt() });
        })?;
        let places = labels.spread(linear.inputs).iter().map(|id| place(*id)).collect();
        Ok(Some(Consumer { linear, weights: w, places, energy, gain, weight, peak, so_far }))
    }
    /// What is known of `linear`, which computes a group.
    ///
    /// # Errors
    /// When the weights cannot be read.
    pub fn producer(
        &self,
        (at, linear): (usize, &Linear),
        place: &dyn Fn(u32) -> usize,
    ) -> Result<Option<Producer>, TensorError> {
        let (Some(w), Some(labels)) = (
            linear.weights(self.g).and_then(|w| self.g.constant(w)),
            linear.result(self.g).and_then(|v| self.spread.of_value(v)),
        ) else {
            return Ok(None);
        };
        let energy = self.energy(linear.data(self.g), linear.data_axis, linear.inputs);
        let (outputs, inputs) = self.so_far(linear);
        let gain = self.gain(at, &outputs);
        let mut peak = vec![0.0f64; linear.outputs];
        linear.visit(w, |o, i, v| {
            peak[o] = peak[o].max((f64::from(v) * outputs[o] * inputs[i]).abs());
        })?;
        let places = labels.spread(linear.outputs).iter().map(|id| place(*id)).collect();
        Ok(Some(Producer { places, peak, gain, energy: energy.iter().sum::<f64>() / linear.groups as f64 }))
    }
    /// What noise in each output channel of operator `at` counts when the channels have these factors.
    fn gain(&self, at: usize, factors: &[f64]) -> Vec<f64> {
        self.gains[at].iter().zip(factors).map(|(g, f)| g / (f * f)).collect()
    }
    /// Finds what noise counts, from the last operator with weights to the first: where only other weights read a result, as much as they make of it; elsewhere as a part of all that
    /// the operator computes. Factors are 1 still.
    ///
    /// # Errors
    /// When weights cannot be read.
    pub fn weigh(&mut self, linears: &[&Linear]) -> Result<(), TensorError> {
        let classes = &self.spread.classes;
        let mut counts = vec![0.0; classes.len()];
        let mut gains = vec![vec![]; linears.len()];
        for (gain, linear) in gains.iter_mut().zip(linears).rev() {
            let Some(w) = linear.weights(self.g).and_then(|w| self.g.constant(w)) else { continue };
            let energy = self.energy(linear.data(self.g), linear.data_axis, linear.inputs);
            let made: f64 = self.made(linear, w, &energy)?.iter().sum();
            let part = if made > LEAST { made.recip() } else { 0.0 };
            let labels = linear.result(self.g).and_then(|v| self.spread.of_value(v));
            let count = |id: u32| {
                let read = counts[classes.root(id) as usize];
                if classes.pin(id).is_none() && read > 0.0 { read } else { part }
            };
            *gain = match labels {
                Some(labels) => labels.spread(linear.outputs).into_iter().map(count).collect(),
                None => vec![part; linear.outputs],
            };
            let Some(labels) = linear.data(self.g).and_then(|v| self.spread.of_value(v)) else { continue };
            let places = labels.spread(linear.inputs);
            if places.len() != linear.inputs {
                continue;
            }
            linear.visit(w, |o, i, v| {
                counts[classes.root(places[i]) as usize] += f64::from(v) * f64::from(v) * gain[o];
            })?;
        }
        self.gains = gains;
        Ok(())
    }
    /// Mean squares of all classes, from weights, constants, and inputs of mean square 1.
    ///
    /// # Errors
    /// When constants cannot be read.
    pub fn guess(&mut self) -> Result<(), TensorError> {
        for (n, site) in &self.spread.sites {
            let node = self.g.node(*n);
            let y = node.outputs().first().copied();
            let Some(labels) = y.and_then(|y| self.spread.of_value(y)) else { continue };
            let constant = |slot: usize| node.input(slot).and_then(|v| self.g.constant(v));
            let squares: Vec<f64> = match site {
                Site::Linear(linear) => {
                    let Some(w) = constant(linear.weight_slot) else { continue };
                    let energy = self.energy(linear.data(self.g), linear.data_axis, linear.inputs);
                    let mut made = self.made(linear, w, &energy)?;
                    let bias = linear.bias_slot.and_then(constant).map(Tensor::to_f64s).transpose()?;
                    for (m, b) in made.iter_mut().zip(bias.iter().flatten()) {
                        *m += b * b;
                    }
                    made
                }
                Site::PerChannel(slots) | Site::Stretched(slots) => {
                    let count = labels.ids.len();
                    let mut sums = vec![0.0; count];
                    for t in slots.iter().filter_map(|s| constant(*s)).filter(|t| t.len() == count) {
                        for (s, v) in sums.iter_mut().zip(t.to_f64s()?) {
                            *s += v * v;
                        }
                    }
                    sums
                }
            };
            for (id, square) in labels.spread(squares.len()).iter().zip(squares) {
                let guess = &mut self.guesses[self.spread.classes.root(*id) as usize];
                *guess = guess.max(square);
            }
        }
        Ok(())
    }
}
