//! `hoist ops`.
use super::{EXIT_CODES, Report};
use crate::render::table;
use hoist_formats::onnx::bind;
use hoist_formats::onnx::row::Row;
use hoist_formats::onnx::versions::operators;
use hoist_ir::op::{Arity, Operand, Schema};
use hoist_ir::ops::Op;
use hoist_parsers::pytorch::lift::aten::{self, core_set};
use hoist_parsers::tensorflow;
use hoist_passes::legalize::tflite::coverage::{Form, form};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// List the operators and the formats that bind them
#[derive(clap::Args)]
#[command(after_long_help = format!("Examples:\n  hoist ops\n  hoist ops --pytorch\n  hoist ops --tensorflow\n  hoist ops --format json\n\n{EXIT_CODES}"))]
pub struct Opts {
    /// Print a page of Markdown with operands and attributes
    #[arg(long)]
    markdown: bool,
    /// Only the PyTorch operators that are lifted, by family
    #[arg(long, conflicts_with = "tensorflow")]
    pytorch: bool,
    /// Only the TensorFlow operators that are lifted, by family
    #[arg(long)]
    tensorflow: bool,
}

impl Opts {
    /// Runs the command.
    pub fn run(self) -> Report {
        let mut schemas: Vec<&'static Schema> = Op::ALL.to_vec();
        schemas.sort_by_key(|s| s.name);
        let through = passed_through();
        let (pytorch, tensorflow) = (families(aten::covered()), families(tensorflow::lift::covered()));
        let text = match (self.markdown, self.pytorch, self.tensorflow) {
            (true, true, _) => pytorch_page(&pytorch),
            (true, _, true) => tensorflow_page(&tensorflow),
            (true, ..) => page(&schemas, &through),
            (false, true, _) => lifted_list(&pytorch),
            (false, _, true) => lifted_list(&tensorflow),
            (false, ..) => list(&schemas, &through, &pytorch, &tensorflow),
        };
        let json = json!({
            "ops": schemas.iter().map(|s| member(s)).collect::<Vec<_>>(),
            "onnx_passed_through": through,
            "pytorch": pytorch.values().flatten().collect::<Vec<_>>(),
            "tensorflow": tensorflow.values().flatten().collect::<Vec<_>>(),
        });
        Report::new(text, json)
    }
}

/// Operators of ONNX that no row binds: they pass through untouched.
fn passed_through() -> Vec<&'static str> {
    let bound: BTreeSet<&str> =
        bind::rows().iter().filter(|r| r.domain.is_empty()).map(|r| r.foreign).collect();
    operators().filter(|name| !bound.contains(name)).collect()
}

/// Operators of a framework that are lifted, by family.
type Families = BTreeMap<&'static str, Vec<&'static str>>;

/// `rows` of family and name, sorted.
fn families(rows: impl Iterator<Item = (&'static str, &'static str)>) -> Families {
    let mut families = Families::new();
    for (family, name) in rows {
        families.entry(family).or_default().push(name);
    }
    for names in families.values_mut() {
        names.sort_unstable();
    }
    families
}

fn rows_of(op: &str) -> Vec<&'static Row> {
    let mut rows: Vec<&Row> = bind::rows().iter().filter(|r| r.op == op).collect();
    rows.sort_by_key(|r| (std::cmp::Reverse(r.until), r.foreign));
    rows
}

/// A row as text: operator, opsets, and whether it only reads.
fn row_text(row: &Row) -> String {
    let until = if row.until == i64::MAX { "-".to_owned() } else { format!("-{}", row.until) };
    let reads = if row.writes() { "" } else { " (read)" };
    if row.domain.is_empty() {
        format!("{} {}{until}{reads}", row.foreign, row.since)
    } else {
        format!("{}.{}{reads}", row.domain, row.foreign)
    }
}

fn onnx(op: &str) -> String {
    let rows: Vec<String> = rows_of(op).iter().map(|r| row_text(r)).collect();
    if rows.is_empty() { "not bound".to_owned() } else { rows.join(", ") }
}

fn tflite(op: &str) -> String {
    match form(op) {
        Some(Form::Builtin) => "builtin operators".to_owned(),
        Some(Form::Pass(pass)) => format!("by {pass}"),
        Some(Form::Refused(why)) => format!("refused: {}", why.trim_start_matches("any operands: ")),
        None => "not bound".to_owned(),
    }
}

fn list(schemas: &[&Schema], through: &[&str], pytorch: &Families, tensorflow: &Families) -> String {
    let mut rows = vec![vec!["operator".to_owned(), "ONNX, opsets".to_owned(), "TFLite".to_owned()]];
    rows.extend(schemas.iter().map(|s| vec![s.name.to_owned(), onnx(s.name), tflite(s.name)]));
    let mut out = table(&rows, &[]);
    let _ = writeln!(out, "\nONNX operators that pass through untouched: {}", through.join(", "));
    for (framework, families) in [("PyTorch", pytorch), ("TensorFlow", tensorflow)] {
        let names: Vec<&str> = families.values().flatten().copied().collect();
        let _ = writeln!(out, "\n{framework} operators that are lifted: {}", names.join(", "));
    }
    out
}

/// Operators that are lifted as lines.
fn lifted_list(lifted: &Families) -> String {
    let mut rows = vec![vec!["family".to_owned(), "operator".to_owned()]];
    for (family, names) in lifted {
        rows.extend(names.iter().map(|name| vec![(*family).to_owned(), (*name).to_owned()]));
    }
    table(&rows, &[])
}

/// The PyTorch operators as a page.
fn pytorch_page(lifted: &Families) -> String {
    let count: usize = lifted.values().map(Vec::len).sum();
    let core: Vec<(&str, bool)> = core_set().collect();
    let missing: Vec<&str> = core.iter().filter(|(_, lifted)| !lifted).map(|(name, _)| *name).collect();
    let mut out = format!(
        "# PyTorch operators\n\nPrinted by `hoist ops --pytorch --markdown`. {count} operators are lifted, without counting overloads, in-place forms (`relu_`) and\n\
         forms that write to `out`, which are lifted as the pure ones. Exported programs and TorchScript share them.\n\n\
         Of the core ATen set of PyTorch 2.15 (`torch.Tag.core`, {} operators) all are lifted but {}: {}.\n",
        core.len(),
        missing.len(),
        missing.join(", "),
    );
    sections(&mut out, lifted);
    out
}

/// The TensorFlow operators as a page.
fn tensorflow_page(lifted: &Families) -> String {
    let count: usize = lifted.values().map(Vec::len).sum();
    let mut out = format!(
        "# TensorFlow operators\n\nPrinted by `hoist ops --tensorflow --markdown`. {count} operators are lifted, in frozen graphs and \
         SavedModels alike.\n"
    );
    sections(&mut out, lifted);
    out
}

fn sections(out: &mut String, lifted: &Families) {
    for (family, names) in lifted {
        let _ = write!(out, "\n## {family}\n\n{}\n", names.join(", "));
    }
}

fn page(schemas: &[&Schema], through: &[&str]) -> String {
    let mut out = String::from(
        "# Operators\n\nPrinted by `hoist ops --markdown`. `(read)`: an older form that is read and not written.\n",
    );
    for s in schemas {
        let _ = write!(out, "\n## {}\n\n{}\n\n", s.name, s.doc.trim());
        let _ = writeln!(out, "- operands: {}", operands(s.inputs));
        let _ = writeln!(out, "- results: {}", operands(s.outputs));
        for attr in s.attrs {
            let doc: Vec<&str> = attr.doc.split_whitespace().collect();
            let _ = writeln!(out, "- attribute `{}` ({}): {}", attr.name, attr.kind, doc.join(" "));
        }
        let _ = writeln!(out, "- ONNX: {}", onnx(s.name));
        let _ = writeln!(out, "- TFLite: {}", tflite(s.name));
    }
    let _ = write!(out, "\n## ONNX operators that pass through untouched\n\n{}\n", through.join(", "));
    out
}

fn operands(list: &[Operand]) -> String {
    let show = |o: &Operand| match o.arity {
        Arity::One => format!("`{}`", o.name),
        Arity::Optional => format!("`{}`?", o.name),
        Arity::Many => format!("`{}`...", o.name),
    };
    let all: Vec<String> = list.iter().map(show).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn member(s: &Schema) -> Value {
    let names = |list: &[Operand]| list.iter().map(|o| o.name).collect::<Vec<_>>();
    let rows: Vec<Value> = rows_of(s.name)
        .iter()
        .map(|r| {
            let until = (r.until != i64::MAX).then_some(r.until);
            json!({"op": r.foreign, "since": r.since, "until": until, "written": r.writes()})
        })
        .collect();
    json!({
        "name": s.name,
        "doc": s.doc.trim(),
        "inputs": names(s.inputs),
        "outputs": names(s.outputs),
        "attributes": s.attrs.iter().map(|a| json!({"name": a.name, "kind": a.kind})).collect::<Vec<_>>(),
        "onnx": rows,
        "tflite": match form(s.name) {
            Some(Form::Builtin) => json!({"form": "builtin"}),
            Some(Form::Pass(pass)) => json!({"form": "pass", "pass": pass}),
            Some(Form::Refused(why)) => json!({"form": "refused", "reason": why}),
            None => Value::Null,
        },
    })
}
