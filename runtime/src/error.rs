//! How far a model that computes with fewer bits is from the model it was made of, over many samples in constant memory.
//!
//! With `x` what is right and `y` what was computed, over all pairs of finite numbers of all samples:
//!
//! - signal-to-noise ratio in decibels, `10 log10(sum x^2 / sum (x - y)^2)`: infinite where nothing differs;
//! - cosine of the angle between both as vectors, mean and largest `|x - y|`, largest `|x|`;
//! - for floats of at least two axes whose last one (axes of size 1 behind it aside) holds two numbers or more, as scores of classes do: how often
//!   the largest is at the same place, the first of several that are equal;
//! - for other elements how many are equal.
//!
//! Sums are taken in `f64` in the order of the elements, in blocks, so that the figures are the same on every machine. A pair with NaN, an infinity or a magnitude
//! beyond [`LARGEST`] is equal or [*odd*](Sums::odd); it is no part of the sums.
use hoist_ir::eval::Value;
use hoist_ir::tensor::convert::Wide;
use hoist_ir::tensor::{Tensor, TensorError};

/// Largest magnitude whose square is summed up; larger numbers are taken as infinities are.
pub const LARGEST: f64 = 1e140;
/// Elements that are summed up apart before they are added to the rest.
const BLOCK: usize = 1 << 12;

/// Sums over pairs of numbers.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Sums {
    /// Pairs of finite numbers.
    pub count: u64,
    /// Other pairs, and not equal.
    pub odd: u64,
    /// Largest `|x - y|`.
    pub max_abs: f64,
    /// Largest `|x|`.
    pub largest: f64,
    signal: f64,
    noise: f64,
    dot: f64,
    got: f64,
    total: f64,
}

impl Sums {
    /// Adds pairs; what is left over of the longer list counts for nothing.
    pub fn add<T: Copy + Into<f64>>(&mut self, want: &[T], got: &[T]) {
        for (want, got) in want.chunks(BLOCK).zip(got.chunks(BLOCK)) {
            let mut block = Self::default();
            for (x, y) in want.iter().zip(got) {
                block.pair((*x).into(), (*y).into());
            }
            self.merge(&block);
        }
    }
    fn pair(&mut self, x: f64, y: f64) {
        // Neither is NaN or too large.
        if !(x.abs() <= LARGEST && y.abs() <= LARGEST) {
            self.odd += u64::from(x != y && !(x.is_nan() && y.is_nan()));
            return;
        }
        let d = (x - y).abs();
        self.count += 1;
        self.signal += x * x;
        self.noise += d * d;
        self.dot += x * y;
        self.got += y * y;
        self.total += d;
        self.max_abs = self.max_abs.max(d);
        self.largest = self.largest.max(x.abs());
    }
    /// Adds the pairs of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.odd += other.odd;
        self.max_abs = self.max_abs.max(other.max_abs);
        self.largest = self.largest.max(other.largest);
        self.signal += other.signal;
        self.noise += other.noise;
        self.dot += other.dot;
        self.got += other.got;
        self.total += other.total;
    }
    /// Signal-to-noise ratio in decibels: infinite where nothing differs, also where there is nothing; minus infinity where only the error is not zero.
    pub fn snr_db(&self) -> f64 {
        if self.noise == 0.0 {
            return f64::INFINITY;
        }
        10.0 * (self.signal / self.noise).log10()
    }
    /// Cosine of the angle between both; 1 when they are equal, 0 when only one is zero.
    pub fn cosine(&self) -> f64 {
        if self.noise == 0.0 {
            return 1.0;
        }
        let norms = self.signal.sqrt() * self.got.sqrt();
        if norms == 0.0 { 0.0 } else { (self.dot / norms).clamp(-1.0, 1.0) }
    }
    /// Mean `|x - y|`.
    pub fn mean_abs(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.total / self.count as f64 }
    }
}

/// How many of some were so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Share {
    /// Those that were.
    pub of: u64,
    /// All.
    pub all: u64,
}

impl Share {
    fn count(&mut self, was: bool) {
        self.of += u64::from(was);
        self.all += 1;
    }
    /// In percent; `None` of nothing.
    pub fn percent(self) -> Option<f64> {
        (self.all > 0).then(|| 100.0 * self.of as f64 / self.all as f64)
    }
}

/// Error of one output.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct OutputError {
    /// Name of the output.
    pub name: String,
    /// Whether its numbers are floats.
    pub float: bool,
    /// Sums over its numbers.
    pub sums: Sums,
    /// For scores: rows whose largest is at the same place. For other elements than floats: those that are equal.
    pub agree: Share,
    /// Rows whose label the right model finds, and those that the other one finds.
    pub labelled: (Share, Share),
    /// Labels that are no class.
    pub foreign: u64,
    /// Samples that could not be compared, and why the first could not.
    pub incomparable: (u64, Option<String>),
}

impl OutputError {
    /// Accuracy of both in percent, where labels were given for it.
    pub fn accuracy(&self) -> Option<(f64, f64)> {
        Some((self.labelled.0.percent()?, self.labelled.1.percent()?))
    }
    /// Whether everything could be compared and is NaN or infinite in both or in none.
    pub fn is_sound(&self) -> bool {
        self.incomparable.0 == 0 && self.sums.odd == 0
    }
    /// Adds one sample.
    fn add(&mut self, want: &Value, got: &Value, labels: Option<&[i64]>) {
        let why = match (want, got) {
            (Value::Tensor(w), Value::Tensor(g)) => match self.tensors(w, g, labels) {
                Ok(()) => return,
                Err(why) => why,
            },
            (Value::Sequence(w), Value::Sequence(g)) if w.len() == g.len() => {
                w.iter().zip(g.iter()).for_each(|(w, g)| self.add(w, g, None));
                return;
            }
            (Value::Sequence(w), Value::Sequence(g)) => {
                format!("has {} elements instead of {}", g.len(), w.len())
            }
            (Value::Optional(None), Value::Optional(None)) => return,
            (Value::Optional(Some(w)), Value::Optional(Some(g))) => return self.add(w, g, labels),
            _ => format!("is {} instead of {}", got.ty(), want.ty()),
        };
        self.complain(why);
    }
    fn complain(&mut self, why: String) {
        self.incomparable.0 += 1;
        self.incomparable.1.get_or_insert(why);
    }
    fn tensors(&mut self, want: &Tensor, got: &Tensor, labels: Option<&[i64]>) -> Result<(), String> {
        let unread = |e: TensorError| format!("cannot be read: {e}");
        let (a, b) = (want.dtype(), got.dtype());
        if want.shape() != got.shape() || a.is_float() != b.is_float() {
            return Err(format!("is {} instead of {}", got.ty(), want.ty()));
        }
        self.float = a.is_float();
        if !a.is_float() {
            return self.exact(&want.widen().map_err(unread)?, &got.widen().map_err(unread)?, labels);
        }
        let classes = classes(want.shape());
        if [a, b].contains(&hoist_ir::dtype::DType::F64) {
            let (w, g) = (want.to_f64s().map_err(unread)?, got.to_f64s().map_err(unread)?);
            self.floats(&w, &g, classes, labels);
        } else {
            let (w, g) = (want.to_f32s().map_err(unread)?, got.to_f32s().map_err(unread)?);
            self.floats(&w, &g, classes, labels);
        }
        Ok(())
    }
    fn floats<T: Copy + Into<f64> + PartialOrd>(
        &mut self,
        want: &[T],
        got: &[T],
        classes: Option<usize>,
        labels: Option<&[i64]>,
    ) {
        self.sums.add(want, got);
        let Some(classes) = classes else { return };
        let labels = labels.filter(|l| l.len() == want.len() / classes);
        for (row, (w, g)) in want.chunks_exact(classes).zip(got.chunks_exact(classes)).enumerate() {
            let (w, g) = (largest(w), largest(g));
            self.agree.count(w == g);
            if let Some(label) = labels.and_then(|l| l.get(row)) {
                let label = usize::try_from(*label).ok().filter(|l| *l < classes);
                self.foreign += u64::from(label.is_none());
                self.labelled.0.count(label.is_some() && w == label);
                self.labelled.1.count(label.is_some() && g == label);
            }
        }
    }
    fn exact(&mut self, want: &Wide, got: &Wide, labels: Option<&[i64]>) -> Result<(), String> {
        match (want, got) {
            (Wide::I64(w), Wide::I64(g)) => self.ints(w, g, labels, |v| *v as f64),
            (Wide::U64(w), Wide::U64(g)) => self.ints(w, g, labels, |v| *v as f64),
            (Wide::Str(w), Wide::Str(g)) => w.iter().zip(g).for_each(|(w, g)| self.agree.count(w == g)),
            (Wide::C128(w), Wide::C128(g)) => {
                let parts = |all: &[num_complex::Complex<f64>]| -> Vec<f64> {
                    all.iter().flat_map(|c| [c.re, c.im]).collect()
                };
                self.float = true;
                self.sums.add(&parts(w), &parts(g));
            }
            _ => return Err("is of another kind".to_owned()),
        }
        Ok(())
    }
    fn ints<T: Copy + PartialEq>(
        &mut self,
        want: &[T],
        got: &[T],
        labels: Option<&[i64]>,
        number: impl Fn(&T) -> f64,
    ) where
        i64: TryFrom<T>,
    {
        let labels = labels.filter(|l| l.len() == want.len());
        for (i, (w, g)) in want.iter().zip(got).enumerate() {
            self.agree.count(w == g);
            if let Some(label) = labels.and_then(|l| l.get(i)) {
                let found = |v: T| i64::try_from(v).ok() == Some(*label);
                self.labelled.0.count(found(*w));
                self.labelled.1.count(found(*g));
            }
        }
        for (w, g) in want.chunks(BLOCK).zip(got.chunks(BLOCK)) {
            let numbers = |all: &[T]| all.iter().map(&number).collect::<Vec<f64>>();
            self.sums.add(&numbers(w), &numbers(g));
        }
    }
}

/// Size of the axis of classes of floats of this shape, if they look like scores.
fn classes(shape: &[usize]) -> Option<usize> {
    let trailing = shape.iter().skip(1).rev().take_while(|n| **n == 1).count();
    let shape = &shape[..shape.len() - trailing];
    shape.last().copied().filter(|n| shape.len() >= 2 && *n >= 2)
}

/// Place of the largest number, the first of equal ones; NaN is none.
fn largest<T: Copy + PartialOrd>(row: &[T]) -> Option<usize> {
    let mut best: Option<(usize, T)> = None;
    for (i, v) in row.iter().enumerate() {
        let larger = best.is_none_or(|(_, b)| *v > b);
        // Only NaN is not equal to itself.
        if larger && v.partial_cmp(v).is_some() {
            best = Some((i, *v));
        }
    }
    best.map(|(i, _)| i)
}

/// Error of all outputs of a model.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ErrorReport {
    /// One entry per output, in order.
    pub outputs: Vec<OutputError>,
    /// Runs that were added.
    pub runs: u64,
}

impl ErrorReport {
    /// Of a model whose outputs have these names; nothing is added.
    pub fn new<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        let outputs = names.into_iter().map(|n| OutputError { name: n.into(), ..OutputError::default() });
        Self { outputs: outputs.collect(), runs: 0 }
    }
    /// Adds the outputs of one run of both models.
    pub fn add(&mut self, want: &[Value], got: &[Value]) {
        self.add_run(want, got, None);
    }
    /// As [`add`](Self::add), with the classes that are right. They count for each output that has as many rows of scores, or integers, as there are labels.
    pub fn add_labelled(&mut self, want: &[Value], got: &[Value], labels: &[i64]) {
        self.add_run(want, got, Some(labels));
    }
    fn add_run(&mut self, want: &[Value], got: &[Value], labels: Option<&[i64]>) {
        self.runs += 1;
        for i in self.outputs.len()..want.len().max(got.len()) {
            self.outputs.push(OutputError { name: format!("out{i}"), ..OutputError::default() });
        }
        for (i, output) in self.outputs.iter_mut().enumerate() {
            match (want.get(i), got.get(i)) {
                (Some(w), Some(g)) => output.add(w, g, labels),
                (Some(_), None) => output.complain("is missing".to_owned()),
                (None, _) => output.complain("is not wanted".to_owned()),
            }
        }
    }
    /// Least signal-to-noise ratio of the float outputs; `None` where there is none.
    pub fn worst_snr_db(&self) -> Option<f64> {
        self.outputs.iter().filter(|o| o.float).map(|o| o.sums.snr_db()).reduce(f64::min)
    }
    /// Accuracy of both models in percent, at the first output that has labels.
    pub fn accuracy(&self) -> Option<(f64, f64)> {
        self.outputs.iter().find_map(OutputError::accuracy)
    }
    /// How often both choose the same, in percent, at the first output where that is known.
    pub fn agreement(&self) -> Option<f64> {
        self.outputs.iter().find_map(|o| o.agree.percent())
    }
    /// Whether [each output is sound](OutputError::is_sound).
    pub fn is_sound(&self) -> bool {
        self.outputs.iter().all(OutputError::is_sound)
    }
}

#[cfg(test)]
mod tests;
