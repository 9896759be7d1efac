//! `hoist convert`.
use super::rewrite::{Asked, Rewrite};
use super::{EXIT_CODES, Report, Session};
use crate::format::{OutputFormat, weights_in};
use crate::gate::Verdict;
use crate::io::{self, Content};
use crate::job::Done;
use crate::layout;
use crate::precision::Precision;
use crate::quantization::told::Told;
use crate::render;
use crate::weights;
use anyhow::Result;
use hoist_ir::diag::Diag;
use hoist_passes::Pipeline;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Convert a model: read, optimize, write, check
///
/// The model is lifted into Hoist's representation, rewritten by the passes of level 1, written, read back, and run beside the source. The
/// output appears only when everything succeeded.
#[derive(clap::Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Opts {
    /// Model to read (.onnx, .pt2 or .hir), or weights (.pt, .pth, .bin, .ckpt, .safetensors, *.index.json)
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// Output file
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    precision: Precision,
    /// Run no passes: the same as -O0
    #[arg(long, conflicts_with_all = ["level", "passes"])]
    no_optimize: bool,
    #[command(flatten)]
    rewrite: Rewrite,
}

const EXAMPLES: &str = "Examples:
  hoist convert model.pt2 -o model.onnx
  hoist convert model.onnx -o model.onnx --opset 21 --external-data always
  hoist convert model.onnx -o fixed.onnx --dim batch=1
  hoist convert model.pt2 -o half.onnx --dtype fp16
  hoist convert model.onnx -o model.hir --no-optimize
  hoist convert weights.pth -o weights.safetensors
  hoist convert weights.pth --arch resnet50 -o model.onnx
  hoist convert checkpoint.ckpt --key state_dict --arch exported.pt2 -o model.onnx";

impl Opts {
    /// Runs the command.
    pub fn run(self, session: Session) -> Result<Report> {
        if OutputFormat::of(&self.output, self.rewrite.writing.to)? == OutputFormat::Safetensors {
            return self.write_weights();
        }
        let pipeline =
            if self.no_optimize { Pipeline::default() } else { self.rewrite.tuning.pipeline(1)? };
        let asked = Asked {
            files: (&self.input, &self.output),
            precision: &self.precision,
            quantizing: None,
            pipeline,
            stats: false,
        };
        self.rewrite.run(asked, session)
    }
}

impl Opts {
    fn write_weights(&self) -> Result<Report> {
        // Of a published model, the weights are written, and not the program that its configuration describes.
        let input = weights_in(&self.input).unwrap_or_else(|| self.input.clone());
        let Content::Weights(held) = io::open(&input, &self.rewrite.reading)? else {
            let m = format!(
                "{}: only weights are written as safetensors, and this is a model",
                self.input.display()
            );
            return Err(Diag::error("E0104", m).hint("name the output .onnx or .hir").into());
        };
        let done = weights::save(&self.input, &self.output, &held, !self.rewrite.checking.no_verify)?;
        let checked = if done.verified { "every tensor read back equal" } else { "not checked" };
        let shown = render::name(&self.output.display().to_string());
        let text =
            format!("{shown}: {} tensors, {}, {checked}\n", held.tensors.len(), render::bytes(done.bytes));
        let members = json!({
            "output": self.output.display().to_string(),
            "bytes": done.bytes,
            "tensors": held.tensors.len(),
            "verified": done.verified,
        });
        Ok(Report::new(text, members).warn(held.warnings))
    }
}

/// The report of a finished job, with `extra` lines and members.
pub fn report(output: &Path, done: Done, extra: &str, members: Value) -> Report {
    let (checked, reason) = match &done.verdict {
        Verdict::Same { runs, max_abs, part, .. } => {
            let sets = if *runs == 1 { "set" } else { "sets" };
            let part = match done.precision {
                Some(_) => format!(", {:.2} % of the largest magnitude", part * 100.0),
                None => String::new(),
            };
            (format!("verified on {runs} {sets} of inputs, largest difference {max_abs:.1e}{part}"), None)
        }
        Verdict::Unchecked(reason) => ("not checked".to_owned(), Some(reason.clone())),
    };
    let (before, after) = done.nodes;
    let shown = render::name(&output.display().to_string());
    let size = render::bytes(done.bytes);
    let moved = layout::summary(&done.left);
    let precision = done.precision.as_ref().map(ToString::to_string).unwrap_or_default();
    let quantized = done.quantization.as_ref().map(Told::text).unwrap_or_default();
    let text = format!(
        "{shown}: {after} nodes ({before} before), {size}, {checked}\n{precision}{quantized}{moved}{extra}"
    );
    let mut report = Report::new(text, members);
    if !done.left.is_empty() {
        report.json.insert("transposes".to_owned(), layout::members(&done.left));
    }
    let (runs, max_abs, part, weak) = match &done.verdict {
        Verdict::Same { runs, max_abs, part, weak } => (*runs, Some(*max_abs), Some(*part), weak.clone()),
        Verdict::Unchecked(_) => (0, None, None, None),
    };
    if let Some(told) = &done.quantization {
        report.json.insert("quantization".to_owned(), told.members());
    }
    if let Some(told) = &done.precision {
        report.json.insert("precision".to_owned(), told.members(part));
    }
    let figures = json!({
        "output": output.display().to_string(),
        "bytes": done.bytes,
        "nodes": after,
        "nodes_before": before,
        "verified": runs > 0,
        "reason": reason,
        "runs": runs,
        "max_abs": max_abs,
    });
    if let Value::Object(figures) = figures {
        report.json.extend(figures);
    }
    let notes = reason
        .map(|r| format!("not checked: {r}"))
        .into_iter()
        .chain(weak.map(|w| format!("checked in vain: {w}")));
    report.warn(done.warnings.0).warn(notes.map(note))
}

fn note(text: String) -> Diag {
    Diag { severity: hoist_ir::diag::Severity::Note, ..Diag::error("E0602", text) }
}
