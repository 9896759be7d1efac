//! `hoist verify`.
mod error;
mod samples;

use super::{EXIT_CODES, Report};
use crate::engine::{EngineOptions, limit_threads};
use crate::gate::{self, Bounds, bounds};
use crate::io::{self, Reading};
use crate::render::{name, table};
use anyhow::Result;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::eval::Value as RunValue;
use hoist_ir::model::Model;
use hoist_runtime::compare::{Comparison, OutputComparison};
use hoist_runtime::inputs::{DimBindings, from_npz, seeded};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Run two models on the same inputs and compare what they compute
///
/// The formats may differ. B is compared with A: A is right. Inputs come from --inputs, else from the samples in A, else from a seed.
///
/// Where B is quantized and A is not, B cannot compute the same: its error is measured instead, as the signal-to-noise ratio of each output and how often
/// scores have their largest at the same place. The exit code is 1 when a float output has less than 10 dB (an error of a tenth of the signal's power), when less than
/// 90 % of the elements of another output are equal, or when NaN appears. Integers at the interface of B stand for the reals that its first and last conversions say.
#[derive(clap::Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Opts {
    /// The model that is right
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The model to compare with it
    #[arg(value_name = "B")]
    b: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// Inputs: arrays by the names of A's inputs, or in0, in1, ...
    #[arg(long, value_name = "FILE.npz")]
    inputs: Option<PathBuf>,
    /// Seed of the inputs that are made up
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Allowed difference: |b - a| <= A + R * |a|. Default: R = 1e-3, A = 1e-4 times the largest magnitude of the output
    #[arg(long, value_name = "R[,A]", value_parser = bounds)]
    tolerance: Option<Bounds>,
    #[command(flatten)]
    error: error::ErrorOptions,
    #[command(flatten)]
    engine: EngineOptions,
    /// Threads to use
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

const EXAMPLES: &str = "Examples:
  hoist verify model.pt2 model.onnx
  hoist verify a.onnx b.onnx --inputs x.npz --tolerance 1e-4,1e-6
  hoist verify a.onnx b.onnx --engine onnxruntime
  hoist verify model.onnx model.int8.onnx --data test.npz --labels labels.npy --min-agreement 99
  hoist verify model.onnx model.int8.tflite --data samples/ --min-snr 20";

impl Opts {
    /// Runs the command.
    pub fn run(self) -> Result<Report> {
        limit_threads(self.threads);
        let a = io::read(&self.a, &self.reading)?;
        let b = io::read(&self.b, &self.reading)?;
        if self.error.wanted(&a, &b, self.tolerance.is_some()) {
            return error::run(&self, a, b);
        }
        let inputs = self.inputs(&a)?;
        let (first, want) = self.outputs(&a, &self.a, inputs.clone())?;
        let (second, got) = self.outputs(&b, &self.b, inputs)?;
        let names: Vec<_> = a.graph.outputs().iter().map(|o| o.name.clone()).collect();
        let bounds = self.tolerance.unwrap_or_else(|| Bounds::standard(&a.graph));
        let comparison = bounds.compare(&got, &want, &names);
        let mut report = Report::new(
            text(&comparison),
            json!({
                "a": {"file": self.a.display().to_string(), "engine": first},
                "b": {"file": self.b.display().to_string(), "engine": second},
                "outputs": comparison.outputs.iter().map(member).collect::<Vec<_>>(),
            }),
        );
        report.rejected = !comparison.fits();
        let differences = io::about(&self.b, gate::differences(&comparison));
        Ok(report.warn(a.warnings).warn(b.warnings).warn(differences.0))
    }

    fn inputs(&self, a: &Model) -> Result<Vec<RunValue>, Diags> {
        if let Some(path) = &self.inputs {
            return arrays(a, path);
        }
        if let Some(sample) = a.samples.first() {
            return Ok(sample.inputs.clone());
        }
        let made = seeded(&a.graph, self.seed, &DimBindings::default());
        made.map_err(|d| io::about(&self.a, d.into()))
    }

    fn outputs(
        &self,
        model: &Model,
        path: &Path,
        inputs: Vec<RunValue>,
    ) -> Result<(&'static str, Vec<RunValue>), Diags> {
        let executor = self.engine.load(model, path, self.threads).map_err(|d| io::about(path, d))?;
        let outputs = executor.run(inputs).map_err(|d| io::about(path, d.into()))?;
        Ok((executor.name(), outputs))
    }
}

/// Inputs of `model` from the arrays in the file at `path`.
///
/// # Errors
/// `E0101` when the file cannot be read, `E0603` when the arrays do not fit.
pub fn arrays(model: &Model, path: &Path) -> Result<Vec<RunValue>, Diags> {
    let source =
        hoist_parsers::source::Source::open(path).map_err(|e| Diag::error("E0101", e.to_string()))?;
    from_npz(&model.graph, source.bytes()).map_err(|d| io::about(path, d.into()))
}

fn text(comparison: &Comparison) -> String {
    let mut rows = vec![
        ["output", "max abs", "mean abs", "max rel", "cosine", "differ", "of", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    for o in &comparison.outputs {
        let verdict = match &o.incomparable {
            Some(why) => name(why),
            None if o.fits() => "ok".to_owned(),
            None => "DIFFERS".to_owned(),
        };
        rows.push(vec![
            name(&o.name),
            format!("{:.3e}", o.max_abs),
            format!("{:.3e}", o.mean_abs),
            format!("{:.3e}", o.max_rel),
            format!("{:.8}", o.cosine),
            o.mismatches.to_string(),
            o.elements.to_string(),
            verdict,
        ]);
    }
    table(&rows, &[1, 2, 3, 4, 5, 6])
}

fn member(o: &OutputComparison) -> Value {
    let first = o.first.as_ref().map(|d| json!({"index": d.index, "got": d.got, "want": d.want}));
    json!({
        "name": o.name,
        "ok": o.fits(),
        "elements": o.elements,
        "max_abs": o.max_abs,
        "mean_abs": o.mean_abs,
        "max_rel": o.max_rel,
        "cosine": o.cosine,
        "mismatches": o.mismatches,
        "first": first,
        "incomparable": o.incomparable,
    })
}
