//! What `convert` and `optimize` have in common: read, rewrite, write, check, put in place.
use crate::companions;
use crate::format::OutputFormat;
use crate::gate::{self, Checking, Verdict};
use crate::io::{self, Reading};
use crate::layout;
use crate::output::{Staging, Target};
use crate::precision::{self, Precision};
use crate::progress::Progress;
use crate::quantization::Extra;
use crate::quantization::options::Quantizing;
use crate::quantization::told::Told;
use crate::shaping::Shaping;
use clap::ValueEnum;
use hoist_emitters::onnx::{self, ExternalData, WriteOptions};
use hoist_emitters::tflite;
use hoist_formats::onnx::kept::is_annotation;
use hoist_formats::onnx::lower::{self, choose};
use hoist_formats::onnx::versions::NEWEST_OPSET;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::model::Model;
use hoist_ir::text::{PrintOptions, save_model};
use hoist_passes::layout::solve::remaining::{Remaining, remaining};
use hoist_passes::profile::PROFILES;
use hoist_passes::{Failure, Options, Pipeline, Profile, Report};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Where weights go, as the command line says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum External {
    /// in the model while it stays below 2 GB, else beside it
    #[default]
    Auto,
    /// beside the model, in OUT.data
    Always,
    /// in the model, or refused
    Never,
    /// where they lie, when that is in or below the output's folder; others as with auto
    Reference,
}

/// How the output is written.
#[derive(Clone, Debug, Default, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Writing {
    /// Format of the output; without it, the extension tells
    #[arg(long, value_name = "FORMAT")]
    pub to: Option<OutputFormat>,
    /// ONNX operator set of the output; without it, the lowest from 17 on that serves
    #[arg(long, value_name = "N")]
    pub opset: Option<i64>,
    /// Copy configuration, tokenizer and generation settings of a published model beside the output, and write what onnxruntime-genai needs for decoders with a past
    #[arg(long)]
    pub with_files: bool,
    /// Expand calls of functions that the model itself defines; they are expanded anyway where --opset is not that of the source
    #[arg(long)]
    pub inline_functions: bool,
    /// Drop quantization annotations, device configurations and training information instead of keeping them
    #[arg(long)]
    pub drop_annotations: bool,
    /// Where the weights of an ONNX output go
    #[arg(long, value_enum, value_name = "WHERE", default_value_t)]
    pub external_data: External,
    /// What to optimize for: its profile says which operators may stand for several others; without it, `onnx` or `tflite` as the output's format is
    #[arg(long, value_name = "TARGET", value_parser = profile)]
    pub target: Option<&'static Profile>,
    /// Layout of inputs and outputs: nhwc gives every one of four axes its channels last, NAME=nhwc this one; without it, the source's
    #[arg(long, value_name = "[NAME=]nhwc")]
    pub io_layout: Vec<String>,
    /// Write operators that TFLite lacks as custom operators of their own name, for runtimes that bring them
    #[arg(long)]
    pub allow_custom: bool,
    /// Write operators that only TensorFlow has for the Flex delegate
    #[arg(long)]
    pub allow_flex: bool,
}

/// Reads the name of a profile.
fn profile(text: &str) -> Result<&'static Profile, String> {
    let names: Vec<&str> = PROFILES.iter().map(|p| p.name).collect();
    Profile::by_name(text).ok_or_else(|| format!("there are: {}", names.join(", ")))
}

impl Writing {
    /// What to optimize for.
    pub fn profile(&self, format: OutputFormat) -> Option<&'static Profile> {
        self.target.or_else(|| match format {
            OutputFormat::Onnx => Profile::by_name("onnx"),
            OutputFormat::TfLite => Profile::by_name("tflite"),
            OutputFormat::Hir | OutputFormat::Safetensors => None,
        })
    }
    /// What a TFLite file may hold.
    pub fn tflite(&self) -> hoist_formats::tflite::lower::Target {
        hoist_formats::tflite::lower::Target { custom: self.allow_custom, flex: self.allow_flex }
    }
}

/// A job.
pub struct Job<'a> {
    /// Input file.
    pub input: &'a Path,
    /// Output file.
    pub output: &'a Path,
    /// How to read the input.
    pub reading: &'a Reading,
    /// What of its sizes and its interface changes.
    pub shaping: &'a Shaping,
    /// How to write.
    pub writing: &'a Writing,
    /// Which floats to compute in.
    pub precision: &'a Precision,
    /// How to quantize.
    pub quantizing: Option<&'a Quantizing>,
    /// How to check.
    pub checking: &'a Checking,
    /// What to run on the model.
    pub pipeline: Pipeline,
    /// Where the case that shows a failing pass goes.
    pub repro: Option<&'a Path>,
    /// Shows no progress.
    pub quiet: bool,
}

/// A finished job.
#[derive(Debug)]
pub struct Done {
    /// Nodes before and after.
    pub nodes: (usize, usize),
    /// Bytes written.
    pub bytes: u64,
    /// What the passes did.
    pub report: Report,
    /// What the check found.
    pub verdict: Verdict,
    /// Warnings of reading and of the passes.
    pub warnings: Diags,
    /// Transposes that are left, where the output is TFLite.
    pub left: Vec<Remaining>,
    /// What became of floats, where others were asked for.
    pub precision: Option<precision::Told>,
    /// What was quantized, where that was asked for.
    pub quantization: Option<Told>,
}

/// A rule that a pass broke: a defect of Hoist, whatever the model.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Defect(pub Diags);

impl Job<'_> {
    /// Does everything. Nothing is left behind when it fails.
    ///
    /// # Errors
    /// [`Diags`], each of which names the input or the output; [`Defect`] when a pass broke its promises.
    pub fn run(&self, options: &mut Options<'_>) -> anyhow::Result<Done> {
        let format = OutputFormat::of(self.output, self.writing.to)?;
        let target = Target::new(self.output)?;
        let progress = Progress::start("reading", self.quiet);
        let (mut source, nodes_before) = self.shaping.read(self.input, self.reading)?;
        layout::turn_model(&mut source, &layout::io(&self.writing.io_layout)?)
            .map_err(|diags| io::about(self.input, diags))?;
        self.precision.open(&mut source).map_err(|diags| io::about(self.input, diags))?;
        progress.stage("optimizing");
        let mut model = source.clone();
        model.samples.clear();
        if self.writing.drop_annotations {
            model.drop_annotations(is_annotation);
        }
        let annotations = model.annotations();
        let inlined = self.inline(&mut model, options.verify_each)?;
        let imported = model.opsets.clone();
        if let Some(profile) = self.writing.profile(format) {
            profile.import(&mut model);
            // Operators that stand for several are in the way of integers.
            let plain = self.quantizing.and_then(|_| profile.plain());
            let profile = plain.unwrap_or(profile);
            options.target = Some(profile.target(&model, self.writing.opset));
            options.profile = Some(profile);
        }
        let freed = self.dequantize(&mut model, options)?;
        let mut report = self.rewrite(&self.pipeline, &mut model, options)?;
        report.stats.splice(0..0, freed.stats);
        report.stats.splice(0..0, inlined.stats);
        let precision = self.narrow(&source, &mut model, options, &mut report)?;
        self.legalize(&mut model, format, options, &mut report)?;
        progress.stage("quantizing");
        let float = model.clone();
        let mut quantized = self.quantize(&mut model, format, options, (&mut report, &progress))?;
        // Cleaning up takes away copies that ONNX needs, and other types ask for other operator sets.
        if quantized.is_some() && format == OutputFormat::Onnx {
            self.legalize(&mut model, format, options, &mut report)?;
        }
        drop_unused_domains(&mut model, &imported, self.writing.opset);
        let left = if format == OutputFormat::TfLite { remaining(&model.graph) } else { vec![] };
        report.warnings.0.extend(lost(&annotations, &model));
        progress.stage("writing");
        let mut staging = self.write(&target, &model, format)?;
        if let Some((told, _)) = &mut quantized
            && let Some(smaller) = self.smaller(told, &target, &float, (&staging, format), &mut report)?
        {
            (staging, model) = (smaller, float);
        }
        progress.stage("checking");
        // Whether quantization is good enough is another question than whether the file says what it should.
        let verdict = match &mut quantized {
            Some((told, _)) => {
                let meant = Model { samples: source.samples.clone(), ..model.clone() };
                let verdict = self.check(&meant, &staging, format)?;
                self.judge(told, &source, &staging, format, &mut report)?;
                verdict
            }
            None => self.check(&source, &staging, format)?,
        };
        let beside = if self.writing.with_files {
            companions::stage(self.input, self.output, &model.graph)?
        } else {
            vec![]
        };
        let nodes = (nodes_before, model.graph.node_count());
        let bytes = staging.commit()?;
        beside.into_iter().try_for_each(Extra::commit)?;
        let mut quantization = None;
        if let Some((told, extras)) = quantized {
            extras.into_iter().try_for_each(Extra::commit)?;
            quantization = Some(told);
        }
        let mut warnings = Diags(source.warnings);
        warnings.0.extend(report.warnings.0.iter().cloned());
        Ok(Done { nodes, bytes, report, verdict, warnings, left, precision, quantization })
    }

    pub(crate) fn rewrite(
        &self,
        pipeline: &Pipeline,
        model: &mut Model,
        options: &mut Options<'_>,
    ) -> anyhow::Result<Report> {
        hoist_passes::run(pipeline, model, options).map_err(|failure| self.failed(failure))
    }

    /// Expands calls of functions. Functions are written for one operator set, so another one needs that too.
    fn inline(&self, model: &mut Model, verify_each: bool) -> anyhow::Result<Report> {
        let moved = self.writing.opset.is_some_and(|t| model.opset("") != Some(t));
        if model.functions.is_empty() || !(self.writing.inline_functions || moved) {
            return Ok(Report::default());
        }
        let mut options = Options { verify_each, ..Options::default() };
        let report = self.rewrite(&Pipeline::parse("inline-functions")?, model, &mut options)?;
        model.drop_uncalled_functions();
        Ok(report)
    }

    /// Computes in other floats, where they are asked for.
    fn narrow(
        &self,
        source: &Model,
        model: &mut Model,
        options: &mut Options<'_>,
        report: &mut Report,
    ) -> anyhow::Result<Option<precision::Told>> {
        let asked = self.precision.floats(source, model, self.checking);
        let Some((floats, told)) = asked.map_err(|diags| io::about(self.input, diags))? else {
            return Ok(None);
        };
        options.floats = Some(floats);
        self.run_all(&["convert-floats,cleanup"], model, options, report)?;
        options.floats = None;
        Ok(Some(told.counted(&model.graph)))
    }

    /// Brings the model into the form that the output format can hold, whatever pipeline ran before.
    fn legalize(
        &self,
        model: &mut Model,
        format: OutputFormat,
        asked: &Options<'_>,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        let mut options =
            Options { verify_each: asked.verify_each, why: asked.why.clone(), ..Options::default() };
        if format == OutputFormat::TfLite {
            options.target = Some(hoist_passes::Target::Tflite(self.writing.tflite()));
            return self.run_all(&["legalize-tflite"], model, &mut options, report);
        }
        if format == OutputFormat::Hir {
            return Ok(());
        }
        // What was read with channels last is written with channels first.
        let newest = lower::Target::new(model, self.writing.opset.unwrap_or(NEWEST_OPSET));
        options.target = Some(hoist_passes::Target::Onnx(newest));
        self.run_all(&["legalize-layout"], model, &mut options, report)?;
        let mut pipelines = vec!["legalize-onnx"];
        let opset = match (choose(model, self.writing.opset), self.writing.opset) {
            (Err(_), asked) => Some(asked.unwrap_or(NEWEST_OPSET)),
            (Ok(target), None) => lower::better_known(model, &target),
            (Ok(_), Some(_)) => None,
        };
        if let Some(opset) = opset {
            options.target = Some(hoist_passes::Target::Onnx(lower::Target::new(model, opset)));
            pipelines.insert(0, "legalize-opset");
        }
        self.run_all(&pipelines, model, &mut options, report)
    }

    /// Runs pipelines one after another.
    ///
    /// # Errors
    /// Those of the passes.
    pub fn run_all(
        &self,
        pipelines: &[&str],
        model: &mut Model,
        options: &mut Options<'_>,
        report: &mut Report,
    ) -> anyhow::Result<()> {
        for text in pipelines {
            let done = self.rewrite(&Pipeline::parse(text)?, model, options)?;
            report.stats.extend(done.stats);
            report.misses.extend(done.misses);
            report.warnings.0.extend(done.warnings.0);
        }
        Ok(())
    }

    /// The error of a pipeline that failed. A pass that breaks the graph or its promises is a defect.
    fn failed(&self, Failure { diags, repro }: Failure) -> anyhow::Error {
        let broken = |d: &Diag| matches!(d.code, "E0401" | "E0402" | "E0503" | "E0504");
        let defect = repro.is_some() && diags.0.iter().any(broken);
        let mut diags = io::about(self.input, diags);
        if let Some(repro) = repro {
            diags.push(match self.repro {
                Some(path) => keep(path, &repro.text),
                None => Diag {
                    severity: hoist_ir::diag::Severity::Note,
                    ..Diag::error("E0901", format!("`{}` failed on this model", repro.pass))
                        .hint("add --repro FILE.hir to keep the graph before it for a report")
                },
            });
        }
        if defect { Defect(diags).into() } else { diags.into() }
    }

    pub(crate) fn write(
        &self,
        target: &Target,
        model: &Model,
        format: OutputFormat,
    ) -> Result<Staging, Diags> {
        match format {
            OutputFormat::Safetensors => {
                let m = "a model is not written as safetensors";
                Err(Diag::error("E0104", m).hint("name the output .onnx or .hir").into())
            }
            OutputFormat::Hir => {
                let staging = Staging::new(target)?;
                staging.write_model(|sink| save_model(sink, model, PrintOptions::default()))?;
                Ok(staging)
            }
            OutputFormat::TfLite => {
                let plan = tflite::plan(model, &self.writing.tflite())
                    .map_err(|diags| io::about(self.input, diags))?;
                let staging = Staging::new(target)?;
                staging.write_model(|sink| plan.write(sink))?;
                Ok(staging)
            }
            OutputFormat::Onnx => {
                let options = self.onnx_options(target);
                let plan = onnx::plan(model, &options).map_err(|diags| io::about(self.input, diags))?;
                let staging = Staging::new(target)?;
                if plan.has_data() {
                    staging.write_data(|sink| plan.write_data(sink))?;
                }
                staging.write_model(|sink| plan.write_model(sink))?;
                Ok(staging)
            }
        }
    }

    fn onnx_options(&self, target: &Target) -> WriteOptions {
        let external = match self.writing.external_data {
            External::Auto => ExternalData::Auto,
            External::Always => ExternalData::Always,
            External::Never => ExternalData::Never,
            External::Reference => ExternalData::Reference,
        };
        WriteOptions {
            opset: self.writing.opset,
            external,
            data_name: target.data_name(),
            folder: target.folder().to_path_buf(),
        }
    }

    fn check(&self, source: &Model, staging: &Staging, format: OutputFormat) -> anyhow::Result<Verdict> {
        if self.checking.no_verify {
            return Ok(Verdict::Unchecked("--no-verify".to_owned()));
        }
        let written = Self::read_back(staging, format)?;
        let verdict = gate::check(source, &written, self.checking, self.precision.dtype());
        Ok(verdict.map_err(|diags| io::about(self.input, diags))?)
    }

    /// The model that was written.
    pub(crate) fn read_back(staging: &Staging, format: OutputFormat) -> anyhow::Result<Model> {
        let written = Reading {
            from: Some(match format {
                OutputFormat::Onnx => crate::format::InputFormat::Onnx,
                OutputFormat::TfLite => crate::format::InputFormat::TfLite,
                OutputFormat::Hir => crate::format::InputFormat::Hir,
                OutputFormat::Safetensors => crate::format::InputFormat::Safetensors,
            }),
            data_dir: vec![staging.folder().to_path_buf(), staging.target().folder().to_path_buf()],
            ..Reading::default()
        };
        io::read(&staging.model(), &written).map_err(|diags| {
            let note = Diag::error("E0901", "the file that Hoist wrote cannot be read back");
            Defect(Diags(std::iter::once(note).chain(diags.0).collect())).into()
        })
    }
}

/// Takes back the domains that the profile offered and no operator is written in.
fn drop_unused_domains(model: &mut Model, imported: &[(Arc<str>, i64)], asked: Option<i64>) {
    if model.opsets.len() == imported.len() {
        return;
    }
    let Ok(target) = choose(model, asked) else { return };
    let graph = &model.graph;
    let kept = |d: &(Arc<str>, i64)| imported.contains(d) || lower::uses_domain(graph, &target, &d.0);
    model.opsets.retain(kept);
}

/// Annotations that went with the nodes and values that passes replaced.
fn lost(before: &BTreeSet<String>, model: &Model) -> Vec<Diag> {
    let after = model.annotations();
    let gone = before.difference(&after);
    gone.map(|what| {
        Diag::warning("E0202", format!("{what} is dropped: a pass replaced what it describes"))
            .hint("--no-optimize keeps it")
    })
    .collect()
}

/// Keeps the case that shows a failing pass; says whether that worked.
fn keep(path: &Path, text: &str) -> Diag {
    let note = |message| Diag { severity: hoist_ir::diag::Severity::Note, ..Diag::error("E0901", message) };
    let write = || {
        let staging = Staging::new(&Target::new(path)?)?;
        staging.write_model(|sink| sink.write_all(text.as_bytes()))?;
        staging.commit()
    };
    match write() {
        Ok(_) => note(format!("{} shows the failure again; please add it to a report", path.display())),
        Err(d) => d,
    }
}
