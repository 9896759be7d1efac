//! Quantization of a model that is legal for its target: calibrate, equalize, choose ranges, quantize, look at what is lost.
pub mod analyze;
pub mod budget;
pub mod calibrate;
pub mod check;
pub mod options;
pub mod plot;
pub mod rounding;
mod stages;
pub mod study;
pub mod told;

use crate::calibration::Batches;
use crate::calibration::ranges::{Form, Ranges};
use crate::format::OutputFormat;
use crate::gate;
use crate::job::Job;
use crate::output::{Staging, Target as Place};
use crate::progress::Progress;
use calibrate::{Calibrated, SEEDED};
use hoist_emitters::tflite::edge_tpu::{Finding, edge_tpu};
use hoist_formats::tflite::{HYBRID, QUICK};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;
use hoist_ir::model::{Executor as _, Model};
use hoist_passes::quantize::integer_interface::integer_interface;
use hoist_passes::quantize::spec::{Grid, Mode, Quantization};
use hoist_passes::{Options, Pipeline, Report, Target, Why};
use hoist_runtime::inputs::Open;
use options::{Kind, Quantizing};
use std::path::Path;
use std::sync::Arc;
use told::Told;

/// A model on its way.
pub struct Step<'a> {
    /// What is asked for.
    pub asked: &'a Quantizing,
    /// The job that it is part of.
    pub job: &'a Job<'a>,
    /// Format that will be written.
    pub format: OutputFormat,
    /// Whether the graph is verified after each pass.
    pub verify_each: bool,
    /// What passes did.
    pub report: &'a mut Report,
    /// Where progress is shown.
    pub progress: &'a Progress,
    /// Other files that were asked for.
    pub extras: &'a mut Vec<Extra>,
}

/// A file beside the model, which appears when that does.
pub struct Extra(Staging);

impl Extra {
    /// Prepares the file `path`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(path: &Path, bytes: &[u8]) -> Result<Self, Diag> {
        let staging = Staging::new(&Place::new(path)?)?;
        staging.write_model(|sink| sink.write_all(bytes))?;
        Ok(Self(staging))
    }
    /// Puts it in place.
    ///
    /// # Errors
    /// When it cannot be moved there.
    pub fn commit(self) -> Result<(), Diag> {
        self.0.commit().map(|_| ())
    }
}

impl Step<'_> {
    /// Quantizes `model`.
    ///
    /// # Errors
    /// When the data cannot be read, or the model cannot be run on them, or more is lost than is allowed.
    pub fn run(&mut self, model: &mut Model) -> anyhow::Result<Told> {
        let mut told = Told::new(self.asked.mode);
        if self.asked.mode == Kind::Float {
            return Ok(told);
        }
        let mut quantization = self.asked.quantization(self.format, self.job.writing.target)?;
        let kind = self.asked.mode;
        if matches!(kind, Kind::Static | Kind::Float8)
            || self.asked.rounds_by_data()
            || self.asked.equalizes()
        {
            let calibrated = self.calibrated(model, &mut quantization)?;
            told.calibrated(calibrated);
        }
        let float = model.clone();
        if self.asked.studying.is_asked() {
            let title = self.job.input.display().to_string();
            let build = |kept: &[String], full: bool| {
                let mut q = keeping(&quantization, kept);
                q.full |= full;
                self.build(&float, &q).map(|(m, _)| m)
            };
            let (studying, data) = (&self.asked.studying, &self.asked.calibration);
            let (studied, picture) = studying.run(&float, &build, data, &title, &mut |done, all| {
                self.progress.part("comparing layers", done, all);
            })?;
            self.extras.extend(picture);
            quantization = keeping(&quantization, studied.kept());
            told.studied = studied;
        }
        let (mut quantized, report) = self.build(&float, &quantization)?;
        if self.asked.integer_io {
            integer_interface(&mut quantized.graph)?;
        }
        if self.asked.edge_tpu && self.format == OutputFormat::TfLite {
            let found = edge_tpu(&quantized, &self.job.writing.tflite())?;
            let warn = |f: &Finding| {
                Diag::warning("E0701", format!("{} is not for an Edge TPU: {}", f.op, f.reason))
            };
            self.report.warnings.0.extend(found.iter().map(|f| warn(f).node(f.node.clone())));
        }
        told.counted(&float.graph, &quantized.graph, &report.misses);
        self.report.stats.extend(report.stats);
        self.report.warnings.0.extend(report.warnings.0);
        *model = quantized;
        Ok(told)
    }
    fn calibrated(&mut self, model: &mut Model, q: &mut Quantization) -> anyhow::Result<Calibrated> {
        if let Some(path) = &self.asked.from_ranges {
            return Ok(calibrate::imported(self, model, q, path)?);
        }
        let mut batches = self.batches(model)?;
        let done = calibrate::calibrate(self, model, q, &mut batches)?;
        self.report.warnings.0.extend(batches.warnings());
        if let Some(path) = &self.asked.ranges {
            self.extras.push(write_ranges(path, &done.ranges)?);
        }
        Ok(done)
    }
    /// Inputs that ranges are found on.
    fn batches(&mut self, model: &Model) -> Result<Batches, Diags> {
        if self.asked.calibration.is_given() {
            return self.asked.calibration.open(&model.graph);
        }
        if self.asked.mode == Kind::Weights {
            return made_up(model, self.job.checking.verify_seed);
        }
        let m = "no calibration data: ranges are those of made-up inputs, which real ones may leave by far";
        let warning = Diag::warning("E0603", m).hint("give --calibration some hundred samples");
        self.report.warnings.push(warning);
        made_up(model, self.job.checking.verify_seed)
    }
    /// How passes are run.
    fn options(&self, model: &Model) -> Options<'static> {
        let writing = self.job.writing;
        let profile = writing.profile(self.format);
        let target = match self.format {
            OutputFormat::TfLite => Some(Target::Tflite(writing.tflite())),
            _ => profile.map(|p| p.target(model, writing.opset)),
        };
        Options { verify_each: self.verify_each, target, profile, ..Options::default() }
    }
    /// `float` quantized, and what the passes say about it.
    ///
    /// # Errors
    /// Those of the passes.
    pub fn build(&self, float: &Model, q: &Quantization) -> Result<(Model, Report), Diags> {
        let mut model = float.clone();
        let mut all = Report::default();
        let mut run = |text: &str, quantization: Quantization, why: Option<&str>| {
            let mut options = self.options(&model);
            options.why = why.map(|pass| Why { pass: pass.to_owned(), node: None });
            options.quantization = Some(Arc::new(quantization));
            let pipeline = Pipeline::parse(text)?;
            let done = hoist_passes::run(&pipeline, &mut model, &mut options).map_err(|f| f.diags)?;
            all.stats.extend(done.stats);
            all.misses.extend(done.misses);
            all.warnings.0.extend(done.warnings.0);
            Ok::<(), Diags>(())
        };
        match q.mode {
            Mode::Static => {
                run("quantize-static", q.clone(), Some("quantize-static"))?;
                // TensorRT wants conversions around each operator.
                if self.job.writing.target.is_none_or(|p| p.name != "tensorrt") {
                    run("remove-saturated-bounds,remove-requantize", q.clone(), None)?;
                }
                // Rows are gathered before they are dequantized, so tables need no ranges.
                let weights = Grid { symmetric: true, ..q.weights };
                let folded = self.format == OutputFormat::Onnx
                    && self.job.writing.target.is_none_or(|p| p.name != "tensorrt");
                let tables =
                    Quantization { mode: Mode::Weights, tables_only: true, folded, weights, ..q.clone() };
                run("quantize-weights,cleanup", tables, None)?;
            }
            Mode::Dynamic => {
                run("quantize-dynamic,fuse-integer-product,cleanup", q.clone(), Some("quantize-dynamic"))?;
            }
            Mode::Weights => run("quantize-weights,cleanup", q.clone(), Some("quantize-weights"))?,
        }
        if self.format == OutputFormat::TfLite
            && q.mode == Mode::Static
            && !q.full
            && q.activations.dtype != DType::I16
        {
            model.opaque.push((QUICK.to_owned(), bytes::Bytes::new()));
        }
        // Kernels of LiteRT round data themselves where the file says so.
        model.opaque.retain(|(kind, _)| kind != HYBRID);
        if q.mode == Mode::Dynamic && self.format == OutputFormat::TfLite {
            model.opaque.push((HYBRID.to_owned(), bytes::Bytes::new()));
        }
        Ok((model, all))
    }
}

/// Inputs for `model`, small ones, or long ones where it cannot be run on those.
///
/// # Errors
/// When nothing can be made up for an input, or the model runs on neither.
pub fn made_up(model: &Model, seed: u64) -> Result<Batches, Diags> {
    let executor = gate::executor(model)?;
    let runs = |open: Open| -> Result<Batches, Diags> {
        let mut batches = Batches::seeded(&model.graph, seed, SEEDED, open)?;
        batches.take_spread(1);
        let first = batches.next().transpose()?;
        first.map(|inputs| executor.run(inputs)).transpose()?;
        batches.restart();
        Ok(batches)
    };
    runs(Open::default()).or_else(|small| runs(Open::Long).map_err(|_| small))
}

/// `q` with these nodes in floats too.
fn keeping(q: &Quantization, kept: &[String]) -> Quantization {
    let mut q = q.clone();
    q.float_nodes.extend_from_slice(kept);
    q
}

fn write_ranges(path: &Path, ranges: &Ranges) -> Result<Extra, Diags> {
    let form = Form::of(path)?;
    ranges.check(form)?;
    let mut text = vec![];
    ranges.write(form, &mut text).map_err(|e| Diag::error("E0701", e.to_string()))?;
    Ok(Extra::new(path, &text)?)
}
