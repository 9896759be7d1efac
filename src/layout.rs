//! Layout of the interface, as the command line says it, and what transposes are left.
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::eval::Value as Datum;
use hoist_ir::model::Model;
use hoist_passes::layout::solve::interface::{Io, Turned, turn};
use hoist_passes::layout::solve::remaining::Remaining;
use serde_json::{Value, json};
use std::fmt::Write;

use crate::render;

/// Reads the values of `--io-layout`.
///
/// # Errors
/// For a layout other than `nhwc`.
pub fn io(texts: &[String]) -> Result<Io, Diag> {
    let mut names = vec![];
    for text in texts {
        match text.rsplit_once('=') {
            None if text == "nhwc" => return Ok(Io::ChannelsLast),
            None if text == "source" => {}
            Some((name, "nhwc")) => names.push(name.to_owned()),
            _ => {
                let m = format!("`--io-layout {text}` is no layout");
                return Err(Diag::error("E0101", m).hint("write nhwc, or NAME=nhwc for one input or output"));
            }
        }
    }
    Ok(if names.is_empty() { Io::Source } else { Io::Named(names) })
}

/// Gives inputs and outputs of `model` the layout `io`, and its samples that of the inputs.
///
/// # Errors
/// When a name is that of no input or output, or of one without a channel axis.
pub fn turn_model(model: &mut Model, io: &Io) -> Result<(), Diags> {
    let turned = turn(&mut model.graph, io)?;
    let perms: Vec<Option<Vec<usize>>> = model
        .graph
        .inputs()
        .iter()
        .map(|v| {
            let name = model.graph.value_label(*v);
            turned.iter().find(|t: &&Turned| t.input && t.name == name).map(|t| t.perm.clone())
        })
        .collect();
    for sample in &mut model.samples {
        for (value, perm) in sample.inputs.iter_mut().zip(&perms) {
            if let (Datum::Tensor(t), Some(perm)) = (&*value, perm) {
                let moved = t.permute(perm).map_err(|e| Diag::error("E0306", e.to_string()))?;
                *value = Datum::Tensor(moved);
            }
        }
    }
    Ok(())
}

/// One line about the transposes that are left, where there are any.
pub fn summary(left: &[Remaining]) -> String {
    let bytes = left.iter().map(|r| r.bytes).fold(0, u64::saturating_add);
    let mut out = String::new();
    if !left.is_empty() {
        let count = if left.len() == 1 {
            "1 transpose moves".to_owned()
        } else {
            format!("{} transposes move", left.len())
        };
        let _ = writeln!(out, "{count} {}; --why legalize-layout says why", render::bytes(bytes));
    }
    out
}

/// The transposes that are left, for `--format json`.
pub fn members(left: &[Remaining]) -> Value {
    let one = |r: &Remaining| json!({"value": r.value, "bytes": r.bytes, "perm": r.perm, "above": r.above, "below": r.below});
    left.iter().map(one).collect()
}
