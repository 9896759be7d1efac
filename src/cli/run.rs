//! `hoist run`.
use super::verify::arrays;
use super::{EXIT_CODES, Report, Session, misuse};
use crate::engine::{EngineKind, EngineOptions, limit_threads};
use crate::io::{self, Reading};
use crate::output::{Staging, Target};
use crate::progress::Progress;
use crate::render::{name, table};
use anyhow::Result;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::eval::Value as RunValue;
use hoist_ir::model::Model;
use hoist_runtime::inputs::{DimBindings, seeded, to_npz};
use hoist_runtime::reference::{NodeTime, Reference, ReferenceOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Run a model and keep its outputs
#[derive(clap::Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Opts {
    /// Model to run: .onnx, .pt2 or .hir
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// Inputs: arrays by the names of the inputs, or in0, in1, ...; without it, inputs are made up from the seed
    #[arg(long, value_name = "FILE.npz")]
    inputs: Option<PathBuf>,
    /// File for the outputs, arrays by the names of the outputs
    #[arg(short, long, value_name = "FILE.npz")]
    output: Option<PathBuf>,
    /// Seed of the inputs that are made up
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    engine: EngineOptions,
    /// Threads to use; the result is the same for any number
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Show the time of each operator (reference engine)
    #[arg(long)]
    profile: bool,
}

const EXAMPLES: &str = "Examples:
  hoist run model.onnx --inputs x.npz -o y.npz
  hoist run model.pt2 --seed 7 --profile
  hoist run model.onnx --inputs x.npz -o y.npz --engine onnxruntime";

impl Opts {
    /// Runs the command.
    pub fn run(self, session: Session) -> Result<Report> {
        if self.profile && self.engine.engine != EngineKind::Reference {
            return Err(misuse("--profile needs --engine reference"));
        }
        limit_threads(self.threads);
        let target = self.output.as_deref().map(Target::new).transpose()?;
        let progress = Progress::start("reading", session.json);
        let model = io::read(&self.model, &self.reading)?;
        let inputs = self.inputs(&model)?;
        progress.stage("running");
        let ran = self.execute(&model, inputs)?;
        let names: Vec<_> = model.graph.outputs().iter().map(|o| o.name.clone()).collect();
        if let Some(target) = target {
            let bytes = to_npz(&names, &ran.outputs)?;
            let staging = Staging::new(&target)?;
            staging.write_model(|sink| sink.write_all(&bytes))?;
            staging.commit()?;
        }
        drop(progress);
        let outputs: Vec<(String, String)> =
            names.iter().zip(&ran.outputs).map(|(n, v)| (n.to_string(), v.ty().to_string())).collect();
        Ok(report(&outputs, &ran).warn(model.warnings))
    }

    fn inputs(&self, model: &Model) -> Result<Vec<RunValue>, Diags> {
        match &self.inputs {
            Some(path) => arrays(model, path),
            None => seeded(&model.graph, self.seed, &DimBindings::default())
                .map_err(|d| io::about(&self.model, d.into())),
        }
    }

    fn execute(&self, model: &Model, inputs: Vec<RunValue>) -> Result<Ran, Diags> {
        let named = |d: Diag| io::about(&self.model, d.into());
        if self.profile {
            let reference =
                Reference::new(model, ReferenceOptions::default()).map_err(|d| io::about(&self.model, d))?;
            let start = Instant::now();
            let (outputs, report) = reference.run_with_report(inputs, true).map_err(named)?;
            return Ok(Ran {
                outputs,
                engine: "reference",
                time: start.elapsed(),
                nodes: report.nodes,
                peak: Some(report.peak_live_bytes),
            });
        }
        let executor =
            self.engine.load(model, &self.model, self.threads).map_err(|d| io::about(&self.model, d))?;
        let start = Instant::now();
        let outputs = executor.run(inputs).map_err(named)?;
        Ok(Ran { outputs, engine: executor.name(), time: start.elapsed(), nodes: vec![], peak: None })
    }
}

/// A finished run.
struct Ran {
    outputs: Vec<RunValue>,
    engine: &'static str,
    time: Duration,
    nodes: Vec<NodeTime>,
    peak: Option<usize>,
}

fn report(outputs: &[(String, String)], ran: &Ran) -> Report {
    let mut text = table(&outputs.iter().map(|(n, t)| vec![name(n), name(t)]).collect::<Vec<_>>(), &[]);
    if let Some(peak) = ran.peak {
        text.push('\n');
        text.push_str(&profile(&ran.nodes, ran.time));
        let _ = writeln!(text, "\nactivations at the peak: {}", crate::render::bytes(peak as u64));
    }
    let outputs: Vec<Value> = outputs.iter().map(|(n, t)| json!({"name": n, "type": t})).collect();
    let nodes: Vec<Value> = ran.nodes.iter().map(|n| json!({"node": n.node, "op": n.op, "signature": n.signature, "micros": n.time.as_micros() as u64})).collect();
    Report::new(
        text,
        json!({
            "engine": ran.engine,
            "micros": ran.time.as_micros() as u64,
            "outputs": outputs,
            "peak_activation_bytes": ran.peak,
            "nodes": nodes,
        }),
    )
}

/// Time by operator, and the ten slowest nodes.
fn profile(nodes: &[NodeTime], total: Duration) -> String {
    let ms = |d: Duration| format!("{:.2}", d.as_secs_f64() * 1e3);
    let mut by_op: BTreeMap<&str, (usize, Duration)> = BTreeMap::new();
    for n in nodes {
        let entry = by_op.entry(n.op).or_default();
        *entry = (entry.0 + 1, entry.1 + n.time);
    }
    let mut ops: Vec<_> = by_op.into_iter().collect();
    ops.sort_by_key(|(_, (_, time))| std::cmp::Reverse(*time));
    let mut rows = vec![["op", "nodes", "ms"].map(str::to_owned).to_vec()];
    rows.extend(ops.iter().map(|(op, (count, time))| vec![(*op).to_owned(), count.to_string(), ms(*time)]));
    rows.push(vec!["in all".to_owned(), nodes.len().to_string(), ms(total)]);
    let mut slowest: Vec<&NodeTime> = nodes.iter().collect();
    slowest.sort_by_key(|n| std::cmp::Reverse(n.time));
    let list: Vec<Vec<String>> = slowest
        .iter()
        .take(10)
        .map(|n| vec![ms(n.time), n.op.to_owned(), name(&n.node), name(&n.signature)])
        .collect();
    format!("{}\n{}", table(&rows, &[1, 2]), table(&list, &[0]))
}
