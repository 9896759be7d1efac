//! `--analyze` and `--max-drop`: what layers lose, and which of them stay in floats for it.
use super::analyze::{Analysis, Build, analyze};
use super::budget::{Budget, Evaluation, GIVE_BACK, find};
use super::{Extra, check, plot};
use crate::calibration::{Batches, CalibrationOpts};
use crate::error_report::percent;
use crate::error_report::runs::{Batch, Counted, Labels};
use crate::render::{bytes, name};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::eval::Value as RunValue;
use hoist_ir::model::Model;
use hoist_runtime::inputs::Open;
use serde_json::{Map, Value, json};
use std::fmt;
use std::path::PathBuf;

/// Most samples that layers are looked at with.
const SAMPLES: usize = 32;
/// Layers in a table.
const SHOWN: usize = 40;

/// What to find out about layers.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Studying {
    /// Show what each layer loses when it is quantized, worst first
    #[arg(long)]
    pub analyze: bool,
    /// Write that as a picture
    #[arg(long, value_name = "FILE.svg")]
    pub analyze_plot: Option<PathBuf>,
    /// Keep the layers that do most harm in floats until the drop is at most so much: points of accuracy with --labels, else the share of scores whose largest
    /// moves, or the power of the error of other outputs
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub max_drop: Option<f64>,
    /// Classes that are right, one per sample of --data, or of the calibration data without it
    #[arg(long, value_name = "FILE.npy", requires = "max_drop")]
    pub labels: Option<PathBuf>,
    /// Samples that --max-drop is measured on, like --calibration; without it, the calibration data (repeatable)
    #[arg(long, value_name = "PATH", requires = "max_drop")]
    pub data: Vec<PathBuf>,
}

/// What was found out about layers.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Studied {
    /// Layers, worst first, where that was asked for or needed.
    pub analysis: Option<Analysis>,
    /// Layers that stay in floats, where a drop was given.
    pub budget: Option<Budget>,
    /// Whether the table is to be shown.
    shown: bool,
    /// The drop that was given.
    max_drop: f64,
}

impl Studying {
    /// Whether anything is asked.
    pub fn is_asked(&self) -> bool {
        self.analyze || self.analyze_plot.is_some() || self.max_drop.is_some()
    }
    /// Finds out what is asked about `float`, whose quantized form `build` makes; ranges were found on `calibration`. `told` is called with the number of
    /// layers done and of all. The picture is titled `title`.
    ///
    /// # Errors
    /// `E0603` for a drop without data or labels that do not fit them, `E0601` for one that cannot be met, and those of reading, building and running.
    pub fn run(
        &self,
        float: &Model,
        build: Build<'_>,
        calibration: &CalibrationOpts,
        title: &str,
        told: &mut dyn FnMut(usize, usize),
    ) -> Result<(Studied, Option<Extra>), Diags> {
        let mut done =
            Studied { shown: self.analyze, max_drop: self.max_drop.unwrap_or(0.0), ..Studied::default() };
        if self.analyze || self.analyze_plot.is_some() {
            done.analysis = Some(look(float, build, calibration, told)?);
        }
        let picture = self.analyze_plot.as_deref().zip(done.analysis.as_ref());
        let picture =
            picture.map(|(path, a)| Extra::new(path, plot::svg(a, title).as_bytes())).transpose()?;
        if let Some(max) = self.max_drop {
            self.meet(max, float, build, calibration, told, &mut done)?;
        }
        Ok((done, picture))
    }
    fn meet(
        &self,
        max: f64,
        float: &Model,
        build: Build<'_>,
        calibration: &CalibrationOpts,
        told: &mut dyn FnMut(usize, usize),
        done: &mut Studied,
    ) -> Result<(), Diags> {
        let own = CalibrationOpts { calibration: self.data.clone(), ..CalibrationOpts::default() };
        let source = if self.data.is_empty() { calibration } else { &own };
        if !source.is_given() {
            let m = "--max-drop needs samples to measure the drop on";
            return Err(Diag::error("E0603", m).hint("give them with --data or --calibration").into());
        }
        let labels = self.labels.as_deref().map(Labels::read).transpose()?;
        let labelled = labels.is_some();
        let mut data = || {
            let batches = Counted::new(source.open(&float.graph)?, labelled);
            Ok(Box::new(batches) as Box<dyn Iterator<Item = Result<Batch, Diags>>>)
        };
        let mut evaluation = Evaluation::new(float, build, &mut data, labels);
        let before = evaluation.measure(&[])?;
        if before.drop > max && done.analysis.is_none() {
            done.analysis = Some(look(float, build, calibration, told)?);
        }
        let layers: Vec<String> =
            done.analysis.iter().flat_map(|a| &a.layers).map(|l| l.name.clone()).collect();
        done.budget = Some(find(before, &layers, max, GIVE_BACK, &mut |kept| evaluation.measure(kept))?);
        Ok(())
    }
}

/// Looks at every layer on a few samples, made up where there are no data.
fn look(
    float: &Model,
    build: Build<'_>,
    calibration: &CalibrationOpts,
    told: &mut dyn FnMut(usize, usize),
) -> Result<Analysis, Diags> {
    let most = check::samples(float).min(SAMPLES);
    let mut batches = if calibration.is_given() {
        calibration.open(&float.graph)?
    } else {
        Batches::seeded(&float.graph, 0, most.min(8), Open::default())?
    };
    batches.take_spread(most);
    let few = batches.collect::<Result<Vec<Vec<RunValue>>, Diag>>()?;
    analyze(float, build, &few, told)
}

impl Studied {
    /// Labels of the nodes that stay in floats.
    pub fn kept(&self) -> &[String] {
        self.budget.as_ref().map_or(&[], |b| &b.kept)
    }
    /// For `--format json`.
    pub fn members(&self) -> Map<String, Value> {
        let mut all = Map::new();
        if let Some(analysis) = &self.analysis {
            all.insert("analysis".to_owned(), plot::members(analysis));
        }
        if let Some(b) = &self.budget {
            let outcome = |o: &super::budget::Outcome| json!({"drop": o.drop, "bytes": o.bytes});
            let budget = json!({
                "max_drop": self.max_drop,
                "kept_in_float": b.kept,
                "before": outcome(&b.before),
                "after": outcome(&b.after),
                "evaluations": b.evaluations,
            });
            all.insert("budget".to_owned(), budget);
        }
        all
    }
}

impl fmt::Display for Studied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(analysis) = self.analysis.as_ref().filter(|_| self.shown) {
            write!(f, "{}", plot::text(analysis, SHOWN))?;
        }
        let Some(b) = &self.budget else { return Ok(()) };
        if b.kept.is_empty() {
            return writeln!(
                f,
                "drop {:.3} %, at most {} % allowed: no layer has to stay in floats",
                b.after.drop, self.max_drop
            );
        }
        writeln!(
            f,
            "drop {:.3} % -> {:.3} %, at most {} % allowed; constants {} -> {}; {} layers stay in floats ({} models measured):",
            b.before.drop,
            b.after.drop,
            self.max_drop,
            bytes(b.before.bytes),
            bytes(b.after.bytes),
            b.kept.len(),
            b.evaluations
        )?;
        b.kept.iter().try_for_each(|layer| writeln!(f, "  {}", name(layer)))
    }
}

#[cfg(test)]
mod tests;
