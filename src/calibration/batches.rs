//! Batches of inputs, one after another.
use super::files::{self, Item, Kind};
use super::fit::BatchSize;
use super::interface::{Input, check_symbols, inputs};
use super::{CalibrationOpts, Wanted, arrays, pictures, text, unfit};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::eval::Value;
use hoist_ir::graph::Graph;
use hoist_ir::tensor::Tensor;
use hoist_runtime::inputs::{DimBindings, Open, Seeded};
use std::path::Path;

/// What a sample is for one input.
#[derive(Clone, Debug)]
pub enum Piece {
    /// One index of the axis that counts samples.
    Slice(Tensor),
    /// A whole input, with all its samples.
    Whole(Tensor),
    /// Goes with every sample.
    Constant(Tensor),
    /// There is none.
    Absent,
}

impl Piece {
    fn tensor(&self) -> Option<&Tensor> {
        match self {
            Self::Slice(t) | Self::Whole(t) | Self::Constant(t) => Some(t),
            Self::Absent => None,
        }
    }
    /// Whether both can be in one batch.
    fn joins(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Slice(a), Self::Slice(b)) => a.shape() == b.shape(),
            (Self::Constant(a), Self::Constant(b)) => a.same_bits(b),
            (Self::Absent, Self::Absent) => true,
            _ => false,
        }
    }
}

/// An open file of samples.
pub trait Part: Send {
    /// Number of samples.
    fn samples(&self) -> usize;
    /// How many make a batch.
    fn batch(&self) -> BatchSize;
    /// A sample, a piece for each input. Callers ask for them in ascending order, now and then from the start again.
    ///
    /// # Errors
    /// When the file cannot be read or does not fit the inputs.
    fn sample(&mut self, index: usize) -> Result<Vec<Piece>, Diag>;
}

/// Inputs of a model, a batch at a time, in an order that depends on the data alone. Only one batch and one open file are in memory.
pub struct Batches {
    source: Source,
    /// Samples there are, and how many of them are to be used: spread evenly.
    total: usize,
    wanted: usize,
    /// Those that the command line allows.
    most: usize,
    /// Samples read so far, of `wanted`.
    read: usize,
    /// Samples given in batches so far.
    given: usize,
    dropped: usize,
    failed: bool,
    notes: Vec<String>,
}

enum Source {
    Files(Box<Files>),
    Seeded { inputs: Box<Seeded>, seed: u64 },
}

struct Files {
    wanted: Wanted,
    /// With the index behind its last sample.
    items: Vec<(Item, usize)>,
    open: Option<(usize, Box<dyn Part>)>,
    /// A sample that did not fit the last batch.
    waiting: Option<Sample>,
}

struct Sample {
    item: usize,
    batch: BatchSize,
    pieces: Vec<Piece>,
}

/// See [`CalibrationOpts::open`].
pub fn open(opts: &CalibrationOpts, graph: &Graph) -> Result<Batches, Diags> {
    let inputs = inputs(graph).map_err(Diags)?;
    let mut notes = vec![];
    let mut found = vec![];
    for path in &opts.calibration {
        found.extend(files::find(path, &inputs, &mut notes)?);
    }
    let batch = opts.calibration_batch.map(usize::from);
    let wanted = Wanted { inputs, batch, preprocess: opts.preprocess.clone(), pad_id: opts.pad_id.clone() };
    let mut files = Files { wanted, items: vec![], open: None, waiting: None };
    let mut total = 0_usize;
    let mut exact = None;
    for (at, item) in found.into_iter().enumerate() {
        let part = files.open(&item, &mut notes)?;
        total = total.saturating_add(part.samples());
        exact = exact.or(Some(part.batch()).filter(|b| b.exact).map(|b| b.size));
        files.items.push((item, total));
        files.open = Some((at, part));
    }
    if total == 0 {
        let path = opts.calibration.first().map_or(Path::new("--calibration"), |p| p);
        return Err(unfit(path, "there is no sample in it").hint("a few hundred samples are usual").into());
    }
    let most = opts.samples.map_or(total, |n| whole(usize::from(n).min(total), exact, total));
    let source = Source::Files(Box::new(files));
    Ok(Batches { source, total, wanted: most, most, read: 0, given: 0, dropped: 0, failed: false, notes })
}

/// `n` samples as whole batches: at least one.
fn whole(n: usize, batch: Option<usize>, total: usize) -> usize {
    batch.map_or(n, |b| (n / b.max(1)).max(1).saturating_mul(b)).min(total)
}

fn boxed(arrays: arrays::Arrays) -> (Box<dyn Part>, Option<String>) {
    let note = arrays.note();
    (Box::new(arrays), note)
}

impl Files {
    fn open(&self, item: &Item, notes: &mut Vec<String>) -> Result<Box<dyn Part>, Diag> {
        let (part, note): (Box<dyn Part>, _) = match item {
            Item::File(path, Kind::Picture) => {
                let part = pictures::open(path, &self.wanted)?;
                let note = part.note(self.wanted.preprocess.as_ref());
                (Box::new(part), note)
            }
            Item::File(path, Kind::Text) => (Box::new(text::open(path, &self.wanted)?), None),
            Item::File(path, Kind::Npz) => boxed(arrays::npz(path, &self.wanted)?),
            Item::File(path, Kind::Npy) => boxed(arrays::npy(path, &self.wanted)?),
            Item::Group(folder, paths) => boxed(arrays::group(folder, paths, &self.wanted)?),
        };
        // Files of one kind are said the same about.
        notes.extend(note.filter(|n| notes.last() != Some(n)));
        Ok(part)
    }

    fn sample(&mut self, index: usize) -> Result<Sample, Diag> {
        let at = self.items.partition_point(|(_, end)| *end <= index);
        let start = at.checked_sub(1).map_or(0, |before| self.items[before].1);
        if self.open.as_ref().is_none_or(|(open, _)| *open != at) {
            // The old one is closed before the next is opened.
            self.open = None;
            let part = self.open(&self.items[at].0, &mut vec![])?;
            if part.samples() != self.items[at].1 - start {
                return Err(self.named(at, "the file has changed while it was used"));
            }
            self.open = Some((at, part));
        }
        let Some((_, part)) = &mut self.open else { return Err(self.named(at, "it is not open")) };
        Ok(Sample { item: at, batch: part.batch(), pieces: part.sample(index - start)? })
    }

    fn named(&self, item: usize, what: &str) -> Diag {
        let (Item::File(path, _) | Item::Group(path, _)) = &self.items[item].0;
        unfit(path, what)
    }

    /// One value for each input from samples that join.
    fn join(&self, samples: &[Sample]) -> Result<Vec<Value>, Diag> {
        let item = samples.first().map_or(0, |s| s.item);
        let wrong = |m: &str| self.named(item, m);
        let mut tensors = vec![];
        for (i, input) in self.wanted.inputs.iter().enumerate() {
            let pieces: Vec<&Piece> = samples.iter().filter_map(|s| s.pieces.get(i)).collect();
            tensors.push(match pieces[..] {
                [Piece::Slice(_), _, ..] => {
                    let all: Vec<Tensor> = pieces.iter().filter_map(|p| p.tensor().cloned()).collect();
                    let joined = Tensor::concat(&all, input.axis.unwrap_or(0)).and_then(|t| t.materialize());
                    Some(joined.map_err(|e| wrong(&e.to_string()))?)
                }
                [first, ..] => first.tensor().cloned(),
                [] => None,
            });
        }
        let seen: Vec<Option<&Tensor>> = tensors.iter().map(Option::as_ref).collect();
        check_symbols(&self.wanted.inputs, &seen).map_err(|m| wrong(&m))?;
        let value = |(input, t): (&Input, Option<Tensor>)| {
            input.value(t).ok_or_else(|| wrong(&format!("input `{}` has no value", input.name)))
        };
        self.wanted.inputs.iter().zip(tensors).map(value).collect()
    }
}

impl Batches {
    /// `n` made-up inputs for each of `graph`'s, from the seeds `seed`, `seed + 1`, ...: for calibration without data.
    ///
    /// # Errors
    /// `E0603` for inputs of which nothing can be made up.
    pub fn seeded(graph: &Graph, seed: u64, n: usize, open: Open) -> Result<Self, Diag> {
        let inputs = Seeded::new(graph, &DimBindings::default(), open);
        inputs.values(seed)?;
        let source = Source::Seeded { inputs: Box::new(inputs), seed };
        Ok(Self {
            source,
            total: n,
            wanted: n,
            most: n,
            read: 0,
            given: 0,
            dropped: 0,
            failed: false,
            notes: vec![],
        })
    }

    /// Number of samples that the iterator goes through, from its start.
    pub fn samples(&self) -> usize {
        self.wanted
    }

    /// Number of samples in the batches since the start.
    pub fn done(&self) -> usize {
        self.given
    }

    /// Number of samples since the start that were left out because they fill no batch.
    pub fn left_out(&self) -> usize {
        self.dropped
    }

    /// Starts over, with all samples.
    pub fn restart(&mut self) {
        self.take_spread(self.most);
    }

    /// Starts over with at most `n` samples, spread evenly over all; at least one batch.
    pub fn take_spread(&mut self, n: usize) {
        let mut exact = None;
        if let Source::Files(files) = &mut self.source {
            files.waiting = None;
            exact = files.open.as_ref().map(|(_, p)| p.batch()).filter(|b| b.exact).map(|b| b.size);
        }
        self.wanted = whole(n.clamp(1, self.most), exact, self.most);
        (self.read, self.given, self.dropped, self.failed) = (0, 0, 0, false);
    }

    /// What the user should know; what concerns samples left out is complete after the last batch.
    pub fn warnings(&self) -> Vec<Diag> {
        let mut all: Vec<String> = self.notes.clone();
        if self.dropped > 0 {
            all.push(format!("{} samples that do not fill a batch are left out", self.dropped));
        }
        all.into_iter().map(|m| Diag::warning("E0603", m)).collect()
    }

    /// The next sample that is to be used.
    fn sample(&mut self) -> Option<Result<Sample, Diag>> {
        let Source::Files(files) = &mut self.source else { return None };
        if let Some(sample) = files.waiting.take() {
            return Some(Ok(sample));
        }
        let k = self.read;
        if k == self.wanted {
            return None;
        }
        self.read += 1;
        let index = k as u128 * self.total as u128 / self.wanted as u128;
        Some(files.sample(index as usize))
    }

    /// Samples that are one batch; none at the end.
    fn group(&mut self) -> Result<Vec<Sample>, Diag> {
        let mut group: Vec<Sample> = vec![];
        while let Some(sample) = self.sample() {
            let sample = sample?;
            let joins = group.first().is_none_or(|first| {
                let mut pieces = first.pieces.iter().zip(&sample.pieces);
                first.batch == sample.batch && pieces.all(|(a, b)| a.joins(b))
            });
            if joins {
                let size = sample.batch.size;
                group.push(sample);
                if group.len() >= size {
                    return Ok(group);
                }
                continue;
            }
            if let Source::Files(files) = &mut self.source {
                files.waiting = Some(sample);
            }
            if !group[0].batch.exact {
                return Ok(group);
            }
            self.dropped += group.len();
            group.clear();
        }
        if group.first().is_some_and(|s| s.batch.exact) {
            self.dropped += group.len();
            group.clear();
        }
        Ok(group)
    }

    fn batch(&mut self) -> Result<Option<Vec<Value>>, Diag> {
        if let Source::Seeded { inputs, seed } = &self.source {
            let k = self.read;
            if k == self.wanted {
                return Ok(None);
            }
            let values = inputs.values(seed.wrapping_add(k as u64))?;
            (self.read, self.given) = (k + 1, k + 1);
            return Ok(Some(values));
        }
        let group = self.group()?;
        if group.is_empty() {
            return Ok(None);
        }
        self.given += group.len();
        let Source::Files(files) = &self.source else { return Ok(None) };
        files.join(&group).map(Some)
    }
}

impl Iterator for Batches {
    type Item = Result<Vec<Value>, Diag>;

    /// The next batch: values in the order of the graph's inputs. After an error there are no more.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.batch().transpose();
        self.failed = matches!(next, Some(Err(_)));
        next
    }
}
