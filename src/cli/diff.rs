//! `hoist diff`.
use super::{EXIT_CODES, Report};
use crate::difference::{Difference, Entry};
use crate::io::{self, Content, Reading};
use crate::render::name;
use crate::weights;
use anyhow::Result;
use hoist_ir::diag::Diag;
use hoist_parsers::weights::Weights;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Show how two models differ in structure
///
/// Nodes and weights are matched by name, and without one by what they are. The formats may differ. `verify` compares what they compute.
#[derive(clap::Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Opts {
    /// The first model
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The second model
    #[arg(value_name = "B")]
    b: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// Exit with code 1 when anything differs
    #[arg(long)]
    exit_code: bool,
}

const EXAMPLES: &str = "Examples:
  hoist diff before.onnx after.onnx
  hoist diff model.pt2 model.onnx --exit-code
  hoist diff epoch1.pth epoch2.safetensors";

impl Opts {
    /// Runs the command.
    pub fn run(self) -> Result<Report> {
        let (a, b) = match (io::open(&self.a, &self.reading)?, io::open(&self.b, &self.reading)?) {
            (Content::Model(a), Content::Model(b)) => (a, b),
            (Content::Weights(a), Content::Weights(b)) => return Ok(self.weights(*a, *b)),
            _ => {
                let m = format!(
                    "{} and {}: one is a model, the other only weights",
                    self.a.display(),
                    self.b.display()
                );
                return Err(Diag::error("E0206", m)
                    .hint("compare two models or two files of weights")
                    .into());
            }
        };
        let d = Difference::new(&a, &b);
        let ops: Vec<Value> =
            d.ops.iter().map(|(op, old, new)| json!({"op": op, "old": old, "new": new})).collect();
        let members = json!({
            "same": d.is_empty(),
            "interface": entries(&d.interface),
            "ops": ops,
            "nodes": entries(&d.nodes),
            "weights": entries(&d.weights),
        });
        let mut report = Report::new(text(&d), members).warn(a.warnings).warn(b.warnings);
        report.rejected = self.exit_code && !d.is_empty();
        Ok(report)
    }

    fn weights(&self, a: Weights, b: Weights) -> Report {
        let list = weights::difference(&a, &b);
        let text = if list.is_empty() { "no differences\n".to_owned() } else { String::new() };
        let mut report = Report::new(text, json!({"same": list.is_empty(), "weights": entries(&list)}));
        section(&mut report.text, "weights", &list);
        report.rejected = self.exit_code && !list.is_empty();
        report.warn(a.warnings).warn(b.warnings)
    }
}

fn entries(list: &[Entry]) -> Value {
    list.iter().map(|e| json!({"name": e.name, "old": e.old, "new": e.new})).collect()
}

fn text(d: &Difference) -> String {
    if d.is_empty() {
        return "no differences\n".to_owned();
    }
    let mut out = String::new();
    section(&mut out, "interface", &d.interface);
    if !d.ops.is_empty() {
        out.push_str("operators\n");
        for (op, old, new) in &d.ops {
            let _ = writeln!(out, "  {}: {old} -> {new}", name(op));
        }
    }
    section(&mut out, "nodes", &d.nodes);
    section(&mut out, "weights", &d.weights);
    out
}

/// `-` only in the first, `+` only in the second, `~` changed.
fn section(out: &mut String, title: &str, list: &[Entry]) {
    if list.is_empty() {
        return;
    }
    let _ = writeln!(out, "{title}");
    for e in list {
        let label = e.name.as_deref().map(|n| format!("{}: ", name(n))).unwrap_or_default();
        let _ = match (&e.old, &e.new) {
            (Some(old), Some(new)) => writeln!(out, "  ~ {label}{} -> {}", name(old), name(new)),
            (Some(old), None) => writeln!(out, "  - {label}{}", name(old)),
            (None, Some(new)) => writeln!(out, "  + {label}{}", name(new)),
            (None, None) => Ok(()),
        };
    }
}
