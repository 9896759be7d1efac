//! `hoist verify` of a quantized model: how large its error is.
use super::Opts;
use super::samples::Samples;
use crate::cli::Report;
use crate::error_report::border::Border;
use crate::error_report::runs::{Labels, Side, compare, is_quantized};
use crate::error_report::{Limits, members, number, percent, text};
use crate::io;
use crate::quantization::check::Allowance;
use anyhow::Result;
use hoist_ir::diag::{Diag, Diags, Severity};
use hoist_ir::model::Model;
use hoist_runtime::error::ErrorReport;
use serde_json::json;
use std::path::PathBuf;

/// What to find out about a quantized model.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ErrorOptions {
    /// Measure the error of B instead of looking for differences; that is done anyway where B is quantized and A is not, unless --tolerance is given
    #[arg(long, conflicts_with = "tolerance")]
    quantized: bool,
    /// Least signal-to-noise ratio of each float output of a quantized B, in dB. Default: 10; 0 on inputs that are made up
    #[arg(long, value_name = "DB", value_parser = number, allow_negative_numbers = true, conflicts_with = "tolerance")]
    min_snr: Option<f64>,
    /// Least share in percent of scores whose largest is at the same place in both models, and of other elements than floats that are equal
    #[arg(long, value_name = "PERCENT", value_parser = percent, conflicts_with = "tolerance")]
    min_agreement: Option<f64>,
    /// Samples to measure the error of a quantized B on, a batch at a time: .npz or .npy arrays whose first axis counts samples, or a folder of them
    /// (repeatable)
    #[arg(long, value_name = "PATH", conflicts_with_all = ["tolerance", "inputs"])]
    pub(super) data: Vec<PathBuf>,
    /// Classes that are right, one per sample: shows the accuracy of both models
    #[arg(long, value_name = "FILE.npy", conflicts_with = "tolerance")]
    pub(super) labels: Option<PathBuf>,
}

impl ErrorOptions {
    /// Whether the error of `b` is to be measured.
    pub fn wanted(&self, a: &Model, b: &Model, tolerance: bool) -> bool {
        let asked = self.min_snr.is_some()
            || self.min_agreement.is_some()
            || self.labels.is_some()
            || !self.data.is_empty();
        let differ = || !tolerance && is_quantized(&b.graph) && !is_quantized(&a.graph);
        self.quantized || asked || differ()
    }
    /// What B must keep, and what it should keep.
    fn limits(&self, made_up: bool) -> (Limits, Limits) {
        let allowance =
            Allowance { min_snr: self.min_snr, min_agreement: self.min_agreement, allow_loss: false };
        allowance.limits(made_up)
    }
}

/// Measures the error of `b`.
pub fn run(opts: &Opts, a: Model, b: Model) -> Result<Report> {
    let labels = opts.error.labels.as_deref().map(Labels::read).transpose()?;
    let border = Border::between(&a.graph, &b.graph);
    let mut samples = Samples::new(opts, &a, &b)?;
    let load = |model: &Model, path: &PathBuf| {
        opts.engine.load(model, path, opts.threads).map_err(|d| io::about(path, d))
    };
    let (first, second) = (load(&a, &opts.a)?, load(&b, &opts.b)?);
    let sides =
        (&Side { executor: &*first, path: Some(&opts.a) }, &Side { executor: &*second, path: Some(&opts.b) });
    let names = a.graph.outputs().iter().map(|o| o.name.to_string());
    let (found, count) = compare(sides, &border, &mut samples, labels, ErrorReport::new(names))?;
    let made_up = samples.made_up();
    let (must, should) = opts.error.limits(made_up);
    let errors = io::about(&opts.b, must.complaints(&found));
    let mut doubts = if errors.has_errors() { Diags::default() } else { should.complaints(&found) };
    for d in &mut doubts.0 {
        d.severity = Severity::Warning;
    }
    if made_up {
        doubts.0.insert(0, unknown());
    }
    let runs = if found.runs == 1 { "run" } else { "runs" };
    let shown = format!(
        "{}{} samples in {} {runs}\n",
        text(&found, &must, &should),
        crate::render::count(count),
        found.runs
    );
    let mut report = Report::new(
        shown,
        json!({
            "a": {"file": opts.a.display().to_string(), "engine": first.name()},
            "b": {"file": opts.b.display().to_string(), "engine": second.name(), "quantized": true},
            "samples": count,
            "runs": found.runs,
            "made_up": made_up,
            "min_snr_db": must.snr,
            "min_agreement": must.agreement,
            "outputs": members(&found, &must),
        }),
    );
    report.rejected = errors.has_errors();
    report = report.warn(samples.warnings());
    Ok(report.warn(a.warnings).warn(b.warnings).warn(io::about(&opts.b, doubts).0).warn(errors.0))
}

fn unknown() -> Diag {
    let m = "the inputs are made up: the error on real data may be another";
    Diag::warning("E0602", m).hint("give samples with --data PATH")
}
