//! What is told about a quantization.
use super::analyze::quantized_nodes;
use super::calibrate::Calibrated;
use super::check;
use super::made_up as made_up_inputs;
use super::options::{Kind, Quantizing};
use super::study::Studied;
use crate::error_report::{self, Limits};
use crate::gate;
use crate::render::count;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::graph::Graph;
use hoist_ir::model::Model;
use hoist_passes::Miss;
use hoist_runtime::error::ErrorReport;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// What quantization did.
#[derive(Clone, Debug)]
pub struct Told {
    mode: Kind,
    calibrated: Option<Calibrated>,
    /// Nodes that were quantized.
    quantized: usize,
    /// Why others stayed in floats: reason, operator, how often.
    floats: BTreeMap<(String, &'static str), usize>,
    /// What was found out about layers.
    pub studied: Studied,
    /// Error against the float model, with its limits.
    pub error: Option<(ErrorReport, Limits, Limits)>,
}

impl Told {
    /// Nothing done yet.
    pub fn new(mode: Kind) -> Self {
        Self {
            mode,
            calibrated: None,
            quantized: 0,
            floats: BTreeMap::new(),
            studied: Studied::default(),

            error: None,
        }
    }
    /// Whether the samples were made up.
    pub fn made_up(&self) -> bool {
        self.calibrated.as_ref().is_none_or(|c| c.made_up)
    }
    /// That nothing was quantized in the end.
    pub fn nothing(&mut self) {
        self.quantized = 0;
    }
    /// With what calibration found.
    pub fn calibrated(&mut self, found: Calibrated) {
        self.calibrated = Some(found);
    }
    /// With the nodes that were quantized, and why others were not.
    pub fn counted(&mut self, before: &Graph, after: &Graph, misses: &[Miss]) {
        self.quantized = quantized_nodes(before, after).len();
        let ops: BTreeMap<String, &'static str> =
            before.order().map(|n| (before.node_label(n), before.node(n).op().name())).collect();
        for m in misses {
            let op = ops.get(&m.at).copied().unwrap_or("");
            *self.floats.entry((m.reason.clone(), op)).or_insert(0) += 1;
        }
    }
    /// Compares `written`, read from `path`, with `float`, and keeps the figures. Returns what is worth a warning.
    ///
    /// # Errors
    /// When more is lost than is allowed, or one of both cannot be run.
    pub fn judge(
        &mut self,
        asked: &Quantizing,
        float: &Model,
        written: &Model,
        path: &Path,
        seed: u64,
    ) -> Result<Diags, Diags> {
        let made_up = !asked.calibration.is_given();
        let batches =
            if made_up { made_up_inputs(float, seed) } else { asked.calibration.open(&float.graph) };
        let mut batches = match batches {
            Ok(batches) => batches,
            // The float model does not run on what can be made up.
            Err(diags) if made_up => {
                let m = format!("what is lost is not known: {}", gate::first_reason(&diags));
                return Ok(Diag::warning("E0602", m).hint("give --calibration").into());
            }
            Err(diags) => return Err(diags),
        };
        batches.take_spread(check::samples(float));
        let report = check::check_quantized(float, written, path, batches)?;
        let warnings = asked.allowance.judge(&report, made_up)?;
        let (must, should) = asked.allowance.limits(made_up);
        self.error = Some((report, must, should));
        Ok(warnings)
    }
    /// For people.
    pub fn text(&self) -> String {
        let mut out = String::new();
        if let Some(c) = &self.calibrated {
            let samples =
                format!("{} {}samples", count(c.samples as u64), if c.made_up { "made-up " } else { "" });
            let _ = match c.rounded {
                0 => writeln!(
                    out,
                    "ranges from {samples}; {} groups of channels equalized, {} biases corrected",
                    c.equalized.len(),
                    c.corrected
                ),
                n => writeln!(out, "{n} weights rounded by what {samples} multiply them with"),
            };
        }
        let _ = writeln!(out, "{} nodes quantized", count(self.quantized as u64));
        for (reason, ops) in self.reasons() {
            let ops: Vec<String> = ops.iter().map(|(op, n)| format!("{n} {op}")).collect();
            let _ = writeln!(out, "in floats: {} ({reason})", ops.join(", "));
        }
        let _ = write!(out, "{}", self.studied);
        if let Some((report, must, should)) = &self.error {
            out.push_str(&error_report::text(report, must, should));
        }
        out
    }
    /// Operators in floats by reason.
    fn reasons(&self) -> BTreeMap<&str, Vec<(&'static str, usize)>> {
        let mut all: BTreeMap<&str, Vec<(&'static str, usize)>> = BTreeMap::new();
        for ((reason, op), n) in &self.floats {
            all.entry(reason).or_default().push((op, *n));
        }
        all
    }
    /// For `--format json`.
    pub fn members(&self) -> Value {
        let floats: Vec<Value> = self
            .floats
            .iter()
            .map(|((reason, op), n)| json!({"reason": reason, "op": op, "nodes": n}))
            .collect();
        let equalized = self.calibrated.iter().flat_map(|c| &c.equalized);
        let equalized: Vec<Value> = equalized
            .map(|e| json!({"at": e.at, "channels": e.channels, "largest_factor": e.largest, "noise": e.noise}))
            .collect();
        json!({
            "mode": self.mode.to_string(),
            "rounded": self.calibrated.as_ref().map(|c| c.rounded),
            "corrected": self.calibrated.as_ref().map(|c| c.corrected),
            "samples": self.calibrated.as_ref().map(|c| c.samples),
            "made_up": self.made_up(),
            "nodes": self.quantized,
            "floats": floats,
            "equalized": equalized,
            "layers": self.studied.members(),
            "outputs": self.error.as_ref().map(|(report, must, _)| error_report::members(report, must)),
        })
    }
}
