//! Whether what was written is near enough to what was quantized.
//!
//! The written file is read back and run beside the float model on the data that it was calibrated with. Each output must keep what [`Limits`] say: by default a
//! signal-to-noise ratio of 10 dB, which a model that still does its work keeps by far, also with 4-bit weights. Less is refused, unless the loss is allowed or another bound is given.
//! Inputs that are made up say little about data that a model is for, in either direction: there a bound that was not asked for only warns, but for outputs that are worse than zeros.
//! NaN in one model only and outputs of other types are refused everywhere.
use crate::error_report::border::Border;
use crate::error_report::runs::{Batch, Side, compare};
use crate::error_report::{Limits, MIN_SNR};
use crate::{gate, stats};
use hoist_ir::diag::{Diag, Diags, Severity};
use hoist_ir::eval::Value;
use hoist_ir::model::Model;
use hoist_runtime::error::ErrorReport;
use std::path::Path;

/// Most samples that a check runs.
const SAMPLES: usize = 16;

/// What a quantized model may lose.
#[derive(Clone, Copy, PartialEq, Debug, Default, clap::Args)]
pub struct Allowance {
    /// Write the result whatever its error; only warn
    #[arg(long)]
    pub allow_loss: bool,
    /// Least signal-to-noise ratio of each float output against the float model, in dB. Default: 10; 0 without calibration data
    #[arg(long, value_name = "DB", value_parser = crate::error_report::number, allow_negative_numbers = true)]
    pub min_snr: Option<f64>,
    /// Least share in percent of scores whose largest is at the same place as in the float model, and of other elements than floats that are equal
    #[arg(long, value_name = "PERCENT", value_parser = crate::error_report::percent)]
    pub min_agreement: Option<f64>,
}

impl Allowance {
    /// What each output must keep, and what it should keep.
    pub fn limits(&self, made_up: bool) -> (Limits, Limits) {
        let should = Limits { snr: self.min_snr.unwrap_or(MIN_SNR), agreement: self.min_agreement };
        let snr = self.min_snr.unwrap_or(if made_up { 0.0 } else { MIN_SNR });
        (Limits { snr, ..should }, should)
    }
    /// What is to be said about `report`.
    ///
    /// # Errors
    /// `E0601` for each output that keeps too little, unless that is allowed.
    pub fn judge(&self, report: &ErrorReport, made_up: bool) -> Result<Diags, Diags> {
        let (must, should) = self.limits(made_up);
        let mut errors = must.complaints(report);
        if self.allow_loss && report.is_sound() {
            return Ok(softened(should.complaints(report)));
        }
        if !errors.has_errors() {
            return Ok(softened(should.complaints(report)));
        }
        for d in &mut errors.0 {
            d.hint = Some(if report.is_sound() { HINT.to_owned() } else { ODD.to_owned() });
        }
        Err(errors)
    }
}

const HINT: &str = "--analyze shows which layers lose most, --max-drop keeps those in floats, --calibration gives it data; --allow-loss writes it all the same";
const ODD: &str = "--analyze shows the layers; --float-nodes NAME,.. keeps some in floats";

/// The same as warnings.
fn softened(mut diags: Diags) -> Diags {
    for d in diags.0.iter_mut().filter(|d| d.severity == Severity::Error) {
        d.severity = Severity::Warning;
    }
    diags
}

/// How many samples a check of `float` takes, by what one costs: the same number on every machine.
pub fn samples(float: &Model) -> usize {
    let macs = stats::of(&float.graph).macs.max(1);
    usize::try_from(gate::MAX_MACS / macs).unwrap_or(SAMPLES).clamp(1, SAMPLES)
}

/// Error of `written`, as it was read back from `path`, against `float`. Integers at the interface of `written` stand for reals.
///
/// # Errors
/// Those of the batches; what the executor says of a model, with `path` where it is the written one.
pub fn check_quantized(
    float: &Model,
    written: &Model,
    path: &Path,
    batches: impl Iterator<Item = Result<Vec<Value>, Diag>>,
) -> Result<ErrorReport, Diags> {
    let (first, second) = (gate::executor(float)?, gate::executor(written)?);
    let sides = (&Side { executor: &first, path: None }, &Side { executor: &second, path: Some(path) });
    let names = float.graph.outputs().iter().map(|o| o.name.to_string());
    let border = Border::between(&float.graph, &written.graph);
    let batches = batches.map(|b| b.map(Batch::new).map_err(Diags::from));
    compare(sides, &border, batches, None, ErrorReport::new(names)).map(|(report, _)| report)
}

#[cfg(test)]
mod tests;
