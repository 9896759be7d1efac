//! What `inspect` says about a SavedModel beside its graph: tags, signatures, variables, files.
use crate::format::InputFormat;
use crate::io::{self, Reading};
use crate::render::{name, table};
use hoist_ir::diag::{Diag, Diags};
use hoist_parsers::tensorflow::overview::{self, End, Overview};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::path::Path;

/// Kinds of errors that do not keep a SavedModel from being described: operators that are not supported, and a signature that must be chosen.
const TOLERATED: &[&str] = &["E0301", "E0603"];

/// The description of the SavedModel at `path`; none for other files.
///
/// # Errors
/// When it is damaged.
pub fn of(path: &Path, reading: &Reading) -> Result<Option<Overview>, Diags> {
    match io::find(path, reading) {
        Ok((source, InputFormat::SavedModel)) => {
            overview::read(&source).map(Some).map_err(|diags| io::about(path, diags))
        }
        _ => Ok(None),
    }
}

/// What keeps the graph from being lifted, as warnings, where the description stands without it.
pub fn unlifted(diags: Diags) -> Result<Vec<Diag>, Diags> {
    if diags.0.iter().all(|d| TOLERATED.contains(&d.code)) {
        let lowered = diags.0.into_iter().map(|d| Diag { severity: hoist_ir::diag::Severity::Warning, ..d });
        return Ok(lowered.collect());
    }
    Err(diags)
}

/// The lines of `inspect`.
pub fn text(overview: &Overview) -> String {
    let mut out = String::new();
    let mut line = |key: &str, value: String| {
        let _ = writeln!(out, "{key:<12}{value}");
    };
    for graph in &overview.graphs {
        let by = if graph.version.is_empty() {
            String::new()
        } else {
            format!(", TensorFlow {}", name(&graph.version))
        };
        line("graph", format!("tags {}{by}", name(&graph.tags.join(","))));
        for signature in &graph.signatures {
            let method = if signature.method.is_empty() {
                String::new()
            } else {
                format!(": {}", name(&signature.method))
            };
            line("signature", format!("{}{method}", name(&signature.key)));
            for (kind, ends) in [("  input", &signature.inputs), ("  output", &signature.outputs)] {
                for end in ends {
                    line(
                        kind,
                        format!("{}: {} ({})", name(&end.name), name(&end.ty.to_string()), name(&end.value)),
                    );
                }
            }
        }
        for asset in &graph.assets {
            line("asset", name(asset));
        }
    }
    let row = |v: &overview::Variable| {
        let key = if v.key == v.name { String::new() } else { name(&v.key) };
        vec!["variable".to_owned(), name(&v.name), name(&v.ty.to_string()), key]
    };
    let rows: Vec<Vec<String>> = overview.variables.iter().map(row).collect();
    if !rows.is_empty() {
        out.push_str(&table(&rows, &[]));
    }
    out
}

/// The members of `inspect --format json`.
pub fn members(overview: &Overview) -> Map<String, Value> {
    let ends = |all: &[End]| -> Value {
        all.iter().map(|e| json!({"name": e.name, "type": e.ty.to_string(), "value": e.value})).collect()
    };
    let graphs: Vec<Value> = overview
        .graphs
        .iter()
        .map(|g| {
            let signatures: Vec<Value> = g
                .signatures
                .iter()
                .map(|s| json!({"key": s.key, "method": s.method, "inputs": ends(&s.inputs), "outputs": ends(&s.outputs)}))
                .collect();
            json!({"tags": g.tags, "tensorflow": g.version, "signatures": signatures, "assets": g.assets})
        })
        .collect();
    let variable = |v: &overview::Variable| json!({"name": v.name, "type": v.ty.to_string(), "key": v.key});
    let variables: Vec<Value> = overview.variables.iter().map(variable).collect();
    Map::from_iter([("graphs".to_owned(), graphs.into()), ("variables".to_owned(), variables.into())])
}
