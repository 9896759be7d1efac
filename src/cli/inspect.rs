//! `hoist inspect`.
use super::{EXIT_CODES, Report};
use crate::io::{self, Content, Reading};
use crate::render::{self, name, table};
use crate::signatures;
use crate::stats::{self, Stats};
use crate::weights;
use anyhow::Result;
use hoist_ir::dim::SymInt;
use hoist_ir::graph::{Def, Graph, ValueId};
use hoist_ir::model::Model;
use hoist_ir::text::{PrintOptions, write_model};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Show what is in a model: inputs, outputs, operators, sizes; or the tensors of a file of weights
#[derive(clap::Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Opts {
    /// Model to read (.onnx, .pt2, .tflite, .pb, a SavedModel, model.json, .hir), or weights (.pt, .pth, .bin, .ckpt, .index, .safetensors, *.index.json)
    #[arg(value_name = "IN")]
    input: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// List the type of every value
    #[arg(long)]
    shapes: bool,
    /// Print the graph as text, long constants as hashes
    #[arg(long, conflicts_with = "shapes")]
    hir: bool,
}

const EXAMPLES: &str = "Examples:
  hoist inspect model.onnx
  hoist inspect model.onnx --dim batch=8
  hoist inspect model.pt2 --shapes
  hoist inspect model.pt2 --hir
  hoist inspect saved_model --signature serving_default
  hoist inspect weights.pth
  hoist inspect checkpoint.ckpt --key optimizer";

impl Opts {
    /// Runs the command.
    pub fn run(self) -> Result<Report> {
        let described = if self.hir { None } else { signatures::of(&self.input, &self.reading)? };
        let opened = match (io::open(&self.input, &self.reading), &described) {
            (Err(diags), Some(described)) => {
                let warnings = signatures::unlifted(diags)?;
                let json = Value::Object(signatures::members(described));
                return Ok(Report::new(signatures::text(described), json).warn(warnings));
            }
            (opened, _) => opened?,
        };
        let model = match opened {
            Content::Model(model) => *model,
            Content::Weights(held) => {
                let report = Report::new(weights::table(&held), weights::members(&held));
                return Ok(report.warn(held.warnings));
            }
        };
        if self.hir {
            let mut text = String::new();
            write_model(&mut text, &model, PrintOptions::dump())?;
            return Ok(Report::new(text.clone(), json!({"hir": text})).warn(model.warnings));
        }
        let symbols = io::symbols(&model.graph);
        // Arithmetic and memory are those of size 1 for whatever is open.
        let mut sized = model.graph.clone();
        let ones: Vec<(String, u64)> = symbols.iter().map(|s| (s.clone(), 1)).collect();
        let sized = if io::fix_dims(&mut sized, &ones).is_ok() { sized } else { model.graph.clone() };
        let stats = stats::of(&sized);
        let mut text = text(&model, &stats, &symbols);
        let mut json = members(&model, &stats, &symbols);
        if let Some(described) = described {
            text = format!("{}\n{text}", signatures::text(&described));
            json.extend(signatures::members(&described));
        }
        if self.shapes {
            let values = values(&model.graph);
            text.push('\n');
            let row = |v: &Listed| {
                vec![format!("{}{}", "  ".repeat(v.within.len()), name(&v.name)), name(&v.ty), name(&v.by)]
            };
            text.push_str(&table(&values.iter().map(row).collect::<Vec<_>>(), &[]));
            let list = values
                .iter()
                .map(|v| json!({"name": v.name, "type": v.ty, "by": v.by, "within": v.within.join("/")}));
            json.insert("values".to_owned(), list.collect());
        }
        Ok(Report::new(text, Value::Object(json)).warn(model.warnings))
    }
}

/// A value as `--shapes` lists it.
struct Listed {
    /// Nodes in whose bodies it is, outermost first, with the number of the body where there are several.
    within: Vec<String>,
    name: String,
    ty: String,
    /// What computes it.
    by: String,
}

/// Every value that is no constant. Values of bodies follow the node that has them.
fn values(graph: &Graph) -> Vec<Listed> {
    let mut out = vec![];
    collect(graph, &[], &mut out);
    out
}

fn collect(graph: &Graph, within: &[String], out: &mut Vec<Listed>) {
    let listed = |v: ValueId, by: String| Listed {
        within: within.to_vec(),
        name: graph.value_label(v),
        ty: described(graph, v),
        by,
    };
    out.extend(graph.inputs().iter().map(|v| listed(*v, "input".to_owned())));
    for n in graph.order() {
        let node = graph.node(n);
        out.extend(node.outputs().iter().map(|v| listed(*v, stats::op_name(node.op()))));
        for (i, body) in node.bodies().iter().enumerate() {
            let number = if node.bodies().len() > 1 { format!("[{i}]") } else { String::new() };
            let path = [within, &[format!("{}{number}", graph.node_label(n))]].concat();
            collect(body, &path, out);
        }
    }
}

/// The type of a value, with its elements where they are sizes: `i64[2] = [N, 4]`.
fn described(graph: &Graph, v: ValueId) -> String {
    let ty = graph.ty(v);
    let Some(content) = graph.value(v).content() else { return ty.to_string() };
    let element = |e: &Option<SymInt>| e.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
    let list: Vec<String> = content.iter().map(element).collect();
    format!("{ty} = [{}]", list.join(", "))
}

fn text(model: &Model, stats: &Stats, symbols: &[String]) -> String {
    let mut out = String::new();
    let mut line = |key: &str, value: String| {
        let _ = writeln!(out, "{key:<12}{value}");
    };
    line("format", name(&model.source));
    if !model.producer.is_empty() {
        line("producer", name(format!("{} {}", model.producer, model.producer_version).trim_end()));
    }
    for (domain, version) in &model.opsets {
        line("opset", format!("{} {version}", name(if domain.is_empty() { "ai.onnx" } else { domain })));
    }
    for (key, value) in &model.props {
        line("property", format!("{} = {}", name(key), name(value)));
    }
    let interface = model.graph.interface();
    for (kind, entries) in [("input", &interface.inputs), ("output", &interface.outputs)] {
        for (label, ty) in entries {
            line(kind, format!("{}: {}", name(label), name(&ty.to_string())));
        }
    }
    line("nodes", stats.nodes.to_string());
    line(
        "parameters",
        format!("{} ({})", render::count(stats.parameters), render::bytes(stats.parameter_bytes)),
    );
    let mut open = String::new();
    if !symbols.is_empty() {
        let symbols: Vec<String> = symbols.iter().map(|s| format!("{}=1", name(s))).collect();
        let _ = write!(open, " with {}", symbols.join(", "));
    }
    if stats.unknown > 0 {
        let _ = write!(open, ", without {} results of unknown size", stats.unknown);
    }
    line("arithmetic", format!("{} multiply-adds{open}", render::count(stats.macs)));
    line("memory", format!("{} of activations at the peak{open}", render::bytes(stats.peak_bytes)));
    let rows: Vec<Vec<String>> =
        stats.ops.iter().map(|(op, count)| vec![count.to_string(), name(op)]).collect();
    out.push('\n');
    out.push_str(&table(&rows, &[0]));
    out
}

fn members(model: &Model, stats: &Stats, symbols: &[String]) -> Map<String, Value> {
    let interface = model.graph.interface();
    let entries = |list: &[(std::sync::Arc<str>, hoist_ir::types::Type)]| -> Value {
        list.iter().map(|(name, ty)| json!({"name": &**name, "type": ty.to_string()})).collect()
    };
    let ops: Map<String, Value> = stats.ops.iter().map(|(op, count)| (op.clone(), json!(count))).collect();
    let opsets: Vec<Value> = model
        .opsets
        .iter()
        .map(|(domain, version)| json!({"domain": &**domain, "version": version}))
        .collect();
    let props: Vec<Value> = model.props.iter().map(|(k, v)| json!({"key": k, "value": v})).collect();
    let constants =
        model.graph.values().filter(|(_, v)| v.def() == Def::Const && !v.uses().is_empty()).count();
    let value = json!({
        "format": &*model.source,
        "producer": &*model.producer,
        "producer_version": &*model.producer_version,
        "opsets": opsets,
        "properties": props,
        "inputs": entries(&interface.inputs),
        "outputs": entries(&interface.outputs),
        "nodes": stats.nodes,
        "ops": ops,
        "constants": constants,
        "parameters": stats.parameters,
        "parameter_bytes": stats.parameter_bytes,
        "sizes_assumed_1": symbols,
        "macs": stats.macs,
        "peak_activation_bytes": stats.peak_bytes,
        "results_of_unknown_size": stats.unknown,
    });
    if let Value::Object(map) = value { map } else { Map::new() }
}
