//! Shape tools: what of sizes and interface changes before anything else happens.
//!
//! They are edits of the source: the gate compares what is written with the source after them. `--dynamic` is checked by itself: the edited model must
//! compute the same as before at the old sizes, and run at others.
use crate::freed;
use crate::io::{self, Reading};
use hoist_ir::diag::{Diag, Diags, Severity};
use hoist_ir::dim::{Dim, is_plain_symbol};
use hoist_ir::model::Model;
use hoist_ir::types::{TensorType, Type};
use hoist_parsers::tensorflow;
use hoist_passes::interface::cut::cut;
use hoist_passes::interface::dynamic::{Wish, free};
use hoist_passes::interface::simplify::simplify;
use std::path::Path;

/// What of sizes and interface changes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Shaping {
    /// Cut out the part that begins at these values, by name; without it, at the model's inputs
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    inputs: Vec<String>,
    /// Cut out the part that ends at these values, by name; without it, at the model's outputs
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    outputs: Vec<String>,
    /// Make a fixed size of an input dynamic, such as x:0=batch (repeatable); refused where the model holds the size in other ways
    #[arg(long, value_name = "INPUT:AXIS=NAME", value_delimiter = ',', value_parser = wish)]
    dynamic: Vec<Wish>,
    /// Fix the leading size of every input that leaves it open to 1
    #[arg(long)]
    batch_to_one: bool,
    /// Drop inputs that no output depends on, and outputs that show what another output or an input shows
    #[arg(long)]
    simplify_io: bool,
}

/// Reads `INPUT:AXIS=NAME`.
fn wish(text: &str) -> Result<Wish, String> {
    let parts = || {
        let (place, name) = text.rsplit_once('=')?;
        let (input, axis) = place.rsplit_once(':')?;
        Some((input, axis.trim().parse::<i64>().ok()?, name.trim()))
    };
    let (input, axis, name) =
        parts().filter(|p| !p.0.is_empty()).ok_or("write it as INPUT:AXIS=NAME, such as x:0=batch")?;
    if !is_plain_symbol(name) {
        return Err(format!("`{name}` is no name of a size"));
    }
    Ok(Wish { input: input.to_owned(), axis, name: name.to_owned() })
}

impl Shaping {
    /// Reads the model at `path` and changes it. Also returns how many nodes it had before.
    ///
    /// # Errors
    /// Those of [`io::read`], and what stands against the changes; all name the file.
    pub fn read(&self, path: &Path, reading: &Reading) -> Result<(Model, usize), Diags> {
        let named = |name: &String| self.dynamic.iter().any(|w| w.name == *name);
        // Sizes of symbols that do not exist yet.
        let (late, early) = reading.dims.iter().cloned().partition(|(name, _)| named(name));
        let ends = (self.inputs.clone(), self.outputs.clone());
        let mut model = io::read(path, &Reading { dims: early, ends, ..reading.clone() })?;
        let nodes = model.graph.node_count();
        self.apply(&mut model).map_err(|diags| io::about(path, diags))?;
        if !late.is_empty() {
            let late: Vec<(String, u64)> = late;
            io::fix_dims(&mut model.graph, &late).map_err(|diags| io::about(path, diags))?;
        }
        Ok((model, nodes))
    }
    fn apply(&self, model: &mut Model) -> Result<(), Diags> {
        // Of a TensorFlow graph nothing else is read.
        let named = &*model.source != tensorflow::SOURCE;
        if named && !(self.inputs.is_empty() && self.outputs.is_empty()) {
            let part = cut(&model.graph, &self.inputs, &self.outputs)?;
            model.graph = part.graph;
            model.samples.clear();
            model.drop_uncalled_functions();
            if !part.dropped.is_empty() {
                let names = part.dropped.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>();
                note(model, format!("inputs that the part does not need are gone: {}", names.join(", ")));
            }
        }
        if !self.dynamic.is_empty() {
            self.free(model)?;
        }
        if self.batch_to_one {
            batch_to_one(model)?;
        }
        if self.simplify_io {
            simplify_io(model)?;
        }
        Ok(())
    }
    fn free(&self, model: &mut Model) -> Result<(), Diags> {
        let before = model.clone();
        let free = free(&mut model.graph, &self.dynamic)?;
        for f in &free {
            note(model, format!("`{}` was {}", f.name, f.old));
        }
        let sizes: Vec<(String, u64)> = free.iter().map(|f| (f.name.clone(), f.old)).collect();
        for diag in freed::check(&before, model, &self.dynamic, &sizes)? {
            model.warnings.push(diag);
        }
        let symbols: Vec<&str> = free.iter().map(|f| f.name.as_str()).collect();
        let shows = |o: &Type| {
            let dims = o.as_tensor().and_then(|t| t.shape.as_ref())?;
            let any = |d: &Dim| match d {
                Dim::Expr(e) => e.symbols().iter().any(|s| symbols.contains(&&**s)),
                Dim::Unknown => true,
                Dim::Known(_) => false,
            };
            Some(dims.iter().any(any))
        };
        let fixed = model.graph.interface().outputs.into_iter().filter(|(_, ty)| shows(ty) == Some(false));
        let fixed: Vec<String> = fixed.map(|(name, ty)| format!("`{name}: {ty}`")).collect();
        if !fixed.is_empty() {
            note(model, format!("outputs whose sizes stay fixed: {}", fixed.join(", ")));
        }
        model.samples.clear();
        Ok(())
    }
}

fn note(model: &mut Model, text: String) {
    model.warnings.push(Diag { severity: Severity::Note, ..Diag::error("E0603", text) });
}

/// Fixes the leading size of every input to 1 where it is a symbol or unknown, and symbols that are called batch wherever they stand.
fn batch_to_one(model: &mut Model) -> Result<(), Diags> {
    let mut names: Vec<String> = vec![];
    let mut open: Vec<String> = vec![];
    for v in model.graph.inputs().to_vec() {
        let Type::Tensor(TensorType { dtype, shape: Some(mut shape) }) = model.graph.ty(v).clone() else {
            continue;
        };
        for (axis, d) in shape.iter().enumerate() {
            let symbol = d.to_sym().and_then(|e| e.as_symbol().map(str::to_owned));
            let batch = |s: &String| axis == 0 || s.to_ascii_lowercase().contains("batch");
            names.extend(symbol.filter(batch).filter(|s| !names.contains(s)));
        }
        if shape.first() == Some(&Dim::Unknown) {
            shape[0] = Dim::Known(1);
            open.push(model.graph.value_label(v));
            model.graph.set_input_type(v, TensorType { dtype, shape: Some(shape) }.into())?;
        }
    }
    let dims: Vec<(String, u64)> = names.iter().map(|n| (n.clone(), 1)).collect();
    io::fix_dims(&mut model.graph, &dims)?;
    if dims.is_empty() && open.is_empty() {
        note(model, "--batch-to-one changes nothing: no input leaves its leading size open".to_owned());
        return Ok(());
    }
    model.samples.clear();
    let said = names.into_iter().chain(open.into_iter().map(|o| format!("{o}:0")));
    let said: Vec<String> = said.map(|n| format!("`{n}`")).collect();
    note(model, format!("fixed to 1: {}", said.join(", ")));
    Ok(())
}

fn simplify_io(model: &mut Model) -> Result<(), Diags> {
    let gone = simplify(&mut model.graph)?;
    for sample in &mut model.samples {
        for (at, _) in gone.inputs.iter().rev() {
            if *at < sample.inputs.len() {
                sample.inputs.remove(*at);
            }
        }
    }
    for (_, name) in &gone.inputs {
        note(model, format!("input `{name}` is gone: no output depends on it"));
    }
    for (name, same) in &gone.outputs {
        note(model, format!("output `{name}` is gone: it shows the same as {same}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read() {
        let w = wish("a:b:0=n").expect("valid");
        assert_eq!((w.input.as_str(), w.axis, w.name.as_str()), ("a:b", 0, "n"));
        assert_eq!(wish("x:-1=n").expect("valid").axis, -1);
        for bad in ["x", "x:0", "x=n", ":0=n", "x:q=n", "x:0=", "x:0=2"] {
            assert!(wish(bad).is_err(), "{bad}");
        }
    }
}
