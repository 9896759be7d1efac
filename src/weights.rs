//! Weights without a program: shown, compared, and written as safetensors.
use crate::difference::Entry;
use crate::io;
use crate::job::Defect;
use crate::output::{Staging, Target};
use crate::render::{self, name};
use hoist_emitters::safetensors;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::tensor::{Tensor, TensorError};
use hoist_parsers::source::Source;
use hoist_parsers::weights::{WeightOptions, Weights};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;

/// Bytes of two tensors that are compared at a time.
const PIECE: usize = 1 << 20;

fn shape(t: &Tensor) -> String {
    let sizes: Vec<String> = t.shape().iter().map(ToString::to_string).collect();
    format!("[{}]", sizes.join(", "))
}

/// What `inspect` prints: facts, sums, and a line for each tensor.
pub fn table(weights: &Weights) -> String {
    let mut out = String::new();
    let mut line = |key: &str, value: String| {
        let _ = writeln!(out, "{key:<12}{value}");
    };
    line("format", weights.format.to_owned());
    for (key, value) in &weights.facts {
        line("property", format!("{} = {}", name(key), name(value)));
    }
    line("tensors", weights.tensors.len().to_string());
    line("elements", format!("{} ({})", render::count(weights.elements()), render::bytes(weights.bytes())));
    let row = |(label, t): (&String, &Tensor)| {
        vec![name(label), t.dtype().name().to_owned(), shape(t), t.byte_len().to_string()]
    };
    let rows: Vec<Vec<String>> = weights.tensors.iter().map(row).collect();
    if !rows.is_empty() {
        out.push('\n');
        out.push_str(&render::table(&rows, &[3]));
    }
    out
}

/// What `inspect --format json` has.
pub fn members(weights: &Weights) -> Value {
    let facts: Vec<Value> = weights.facts.iter().map(|(k, v)| json!({"key": k, "value": v})).collect();
    let tensor = |(label, t): (&String, &Tensor)| json!({"name": label, "dtype": t.dtype().name(), "shape": t.shape(), "bytes": t.byte_len()});
    json!({
        "format": weights.format,
        "properties": facts,
        "elements": weights.elements(),
        "bytes": weights.bytes(),
        "tensors": weights.tensors.iter().map(tensor).collect::<Vec<_>>(),
    })
}

/// Tensors that are not in both with the same type, sizes and elements: in the order of the first file, then of the second.
pub fn difference(a: &Weights, b: &Weights) -> Vec<Entry> {
    let text = |t: &Tensor| format!("{}{}", t.dtype().name(), shape(t));
    let of = |label: &str, old: Option<&Tensor>, new: Option<&Tensor>| {
        let (old, new) = (old.map(text), new.map(text));
        // Texts alone do not tell that elements differ.
        let new = if old == new { new.map(|t| format!("{t} with other elements")) } else { new };
        Entry { name: Some(label.to_owned()), old, new }
    };
    let first = a.tensors.iter().filter_map(|(label, t)| match b.tensors.get(label) {
        Some(u) if same(t, u).unwrap_or(false) => None,
        other => Some(of(label, Some(t), other)),
    });
    let second = b.tensors.iter().filter(|(label, _)| !a.tensors.contains_key(*label));
    first.chain(second.map(|(label, t)| of(label, None, Some(t)))).collect()
}

/// Whether both tensors hold the same bits, compared piece by piece.
fn same(a: &Tensor, b: &Tensor) -> Result<bool, TensorError> {
    if a.dtype() != b.dtype() || a.shape() != b.shape() {
        return Ok(false);
    }
    let total = a.byte_len();
    let mut pieces = (vec![0; total.min(PIECE)], vec![0; total.min(PIECE)]);
    let mut at = 0;
    while at < total {
        let n = (total - at).min(PIECE);
        a.read_bytes(at, &mut pieces.0[..n])?;
        b.read_bytes(at, &mut pieces.1[..n])?;
        if pieces.0[..n] != pieces.1[..n] {
            return Ok(false);
        }
        at += n;
    }
    Ok(true)
}

/// A file of weights that was written.
pub struct Saved {
    /// Bytes written.
    pub bytes: u64,
    /// Whether it was read back and compared.
    pub verified: bool,
}

/// Writes `weights`, read from `input`, as safetensors to `output`, and with `verify` reads them back.
///
/// # Errors
/// What the format cannot hold; what the system says; [`Defect`] when the file read back differs.
pub fn save(input: &Path, output: &Path, weights: &Weights, verify: bool) -> anyhow::Result<Saved> {
    let target = Target::new(output)?;
    let tensors = weights.tensors.iter().map(|(label, t)| (label.as_str(), t));
    let plan = safetensors::plan(tensors, &[("format", "pt")]).map_err(|diags| io::about(input, diags))?;
    let staging = Staging::new(&target)?;
    staging.write_model(|sink| plan.write(sink))?;
    if verify {
        let defect = |m: String| Defect(Diags::from(Diag::error("E0901", m)));
        let source = Source::open(staging.model()).map_err(|e| defect(e.to_string()))?;
        let written = hoist_parsers::weights::read(&source, &WeightOptions::default()).map_err(Defect)?;
        if let Some(entry) = difference(weights, &written).first() {
            return Err(defect(format!(
                "tensor `{}` is not what was written",
                entry.name.as_deref().unwrap_or_default()
            ))
            .into());
        }
    }
    Ok(Saved { bytes: staging.commit()?, verified: verify })
}
