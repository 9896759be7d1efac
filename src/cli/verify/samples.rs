//! What two models are run on to measure the error of one.
use super::Opts;
use crate::calibration::CalibrationOpts;
use crate::error_report::runs::{Batch, Counted, within_range};
use crate::io;
use anyhow::Result;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dim::Dim;
use hoist_ir::eval::Value;
use hoist_ir::graph::Graph;
use hoist_ir::model::Model;
use hoist_ir::types::{TensorType, Type};
use hoist_runtime::inputs::{DimBindings, seeded};
use std::path::{Path, PathBuf};
use std::vec::IntoIter;

/// Runs on inputs that are made up.
const MADE_UP: usize = 4;
/// Samples of one file of inputs that are run at once.
const AT_ONCE: usize = 8;

/// Samples, a batch at a time.
pub struct Samples {
    source: Source,
}

enum Source {
    Files(Box<Counted>),
    Listed(IntoIter<Vec<Value>>),
    MadeUp { path: PathBuf, all: IntoIter<Result<Vec<Value>, Diag>> },
}

impl Samples {
    /// From --data or --inputs, else those in A, else made up in the range that B is made for.
    ///
    /// # Errors
    /// When files cannot be read or do not fit the inputs of A.
    pub fn new(opts: &Opts, a: &Model, b: &Model) -> Result<Self, Diags> {
        let graph = shaped(&a.graph, &b.graph);
        let labelled = opts.error.labels.is_some();
        let files = |paths: Vec<PathBuf>| {
            let data = CalibrationOpts { calibration: paths, ..CalibrationOpts::default() };
            data.open(&graph).map(|b| Source::Files(Box::new(Counted::new(b, labelled))))
        };
        let source = if !opts.error.data.is_empty() {
            files(opts.error.data.clone())?
        } else if let Some(path) = &opts.inputs {
            match whole(a, &graph, path) {
                Ok(Some(inputs)) if Batch::new(inputs.clone()).samples <= AT_ONCE => {
                    Source::Listed(vec![inputs].into_iter())
                }
                // What is no list of samples may still be one run.
                Ok(Some(inputs)) => {
                    files(vec![path.clone()]).unwrap_or_else(|_| Source::Listed(vec![inputs].into_iter()))
                }
                Ok(None) => files(vec![path.clone()])?,
                // Arrays may have a size more or less than the input; the first complaint tells more when they do not fit either way.
                Err(first) => files(vec![path.clone()]).map_err(|_| first)?,
            }
        } else if a.samples.is_empty() {
            made_up(opts, &graph, &b.graph)
        } else {
            let all: Vec<Vec<Value>> = a.samples.iter().map(|s| s.inputs.clone()).collect();
            Source::Listed(all.into_iter())
        };
        Ok(Self { source })
    }
    /// Whether the inputs are made up.
    pub fn made_up(&self) -> bool {
        matches!(self.source, Source::MadeUp { .. })
    }
    /// What is to be said about the data, after the last batch.
    pub fn warnings(&self) -> Vec<Diag> {
        if let Source::Files(files) = &self.source { files.warnings() } else { vec![] }
    }
}

impl Iterator for Samples {
    type Item = Result<Batch, Diags>;
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Files(files) => files.next(),
            Source::Listed(all) => all.next().map(|inputs| Ok(Batch::new(inputs))),
            Source::MadeUp { path, all } => {
                all.next().map(|made| made.map(Batch::new).map_err(|d| io::about(path, d.into())))
            }
        }
    }
}

/// `from` with inputs of the sizes that `to` fixes and `from` leaves open.
fn shaped(from: &Graph, to: &Graph) -> Graph {
    let mut graph = from.clone();
    for (v, other) in from.inputs().iter().zip(to.inputs()) {
        let (Type::Tensor(ty), Type::Tensor(other)) = (from.ty(*v), to.ty(*other)) else { continue };
        let (Some(open), Some(fixed)) = (&ty.shape, &other.shape) else { continue };
        if open.len() != fixed.len() {
            continue;
        }
        let size =
            |(o, f): (&Dim, &Dim)| if o.known().is_none() && f.known().is_some() { f } else { o }.clone();
        let shape = open.iter().zip(fixed).map(size).collect();
        // An input that cannot have them is left to the executor's complaint.
        let _ = graph.set_input_type(*v, TensorType { dtype: ty.dtype, shape: Some(shape) }.into());
    }
    graph
}

/// The arrays of a file as one run of `a`, if they have the sizes that `graph` says.
fn whole(a: &Model, graph: &Graph, path: &Path) -> Result<Option<Vec<Value>>, Diags> {
    let inputs = super::arrays(a, path)?;
    let fits = inputs.iter().zip(graph.inputs()).all(|(value, v)| value.fits(graph.ty(*v)));
    Ok(fits.then_some(inputs))
}

fn made_up(opts: &Opts, from: &Graph, to: &Graph) -> Source {
    let runs = if from.inputs().is_empty() { 1 } else { MADE_UP };
    let one = |i: usize| {
        let made = seeded(from, opts.seed.wrapping_add(i as u64), &DimBindings::default());
        made.and_then(|inputs| within_range(to, inputs))
    };
    let all: Vec<_> = (0..runs).map(one).collect();
    Source::MadeUp { path: opts.a.clone(), all: all.into_iter() }
}
