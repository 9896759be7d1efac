//! Variables: what a model keeps between runs.
//!
//! A file is read with variables as constants first. When it writes to some that it reads, it is read again with those as inputs, whose new content becomes outputs: input
//! `cache`, output `cache.next`. Initial values come from the subgraph of `CALL_ONCE`.
use super::file::bad;
use crate::pytorch::lift::state::StateMode;
use hoist_formats::state::PROPERTY;
use hoist_ir::diag::{Diag, Severity};
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most names that a message lists.
const MAX_NAMED: usize = 4;

/// Variables while a file is read.
#[derive(Default)]
pub(super) struct State {
    /// Those that are inputs.
    held: BTreeSet<Arc<str>>,
    initial: BTreeMap<Arc<str>, Tensor>,
    current: BTreeMap<Arc<str>, ValueId>,
    /// Those whose content from before the run is read.
    read: BTreeSet<Arc<str>>,
    written: BTreeSet<Arc<str>>,
    inputs: Vec<(Arc<str>, String, ValueId)>,
}

impl State {
    /// For a second reading, after which `self` is the first: what is written and read becomes inputs. None when nothing does.
    pub(super) fn held(&self, mode: StateMode) -> Option<Self> {
        let held: BTreeSet<_> = self.changing().cloned().collect();
        (mode != StateMode::Frozen && !held.is_empty()).then(|| Self { held, ..Self::default() })
    }
    fn changing(&self) -> impl Iterator<Item = &Arc<str>> {
        self.read.intersection(&self.written)
    }
    /// Content of a variable of type `ty`; `name` is what its input is called.
    ///
    /// # Errors
    /// When nothing gave it content.
    pub(super) fn read(
        &mut self,
        g: &mut Graph,
        key: &Arc<str>,
        ty: &Type,
        name: &str,
    ) -> Result<ValueId, Diag> {
        if let Some(v) = self.current.get(key) {
            return Ok(*v);
        }
        let initial =
            self.initial.get(key).ok_or_else(|| bad(format!("variable `{name}` is read and never set")))?;
        self.read.insert(key.clone());
        let v = if self.held.contains(key) {
            let taken = |n: &str| g.inputs().iter().any(|v| g.value(*v).name.as_deref() == Some(n));
            let mut unique = if name.is_empty() { "state".to_owned() } else { name.to_owned() };
            while taken(&unique) {
                unique.push('_');
            }
            let ty = initial.ty().into();
            let v = g.add_input(&unique, ty);
            self.inputs.push((key.clone(), unique, v));
            v
        } else {
            let v = g.add_const(initial.clone());
            g.set_name(v, Some(name.into()));
            v
        };
        if g.ty(v).meet(ty).is_none() {
            return Err(bad(format!("variable `{name}` holds {} and is read as {ty}", g.ty(v))));
        }
        self.current.insert(key.clone(), v);
        Ok(v)
    }
    /// Gives a variable content.
    pub(super) fn write(&mut self, key: &Arc<str>, v: ValueId) {
        self.current.insert(key.clone(), v);
        self.written.insert(key.clone());
    }
    /// Variables with their content at the end.
    pub(super) fn content(&self) -> impl Iterator<Item = (Arc<str>, ValueId)> {
        self.current.iter().map(|(k, v)| (k.clone(), *v))
    }
    /// Gives a variable the content with which the first run begins, unless it has one.
    pub(super) fn begin(&mut self, key: &Arc<str>, content: Tensor) {
        self.initial.entry(key.clone()).or_insert(content);
    }
    /// Adds the outputs of variables that are inputs. Returns the property that describes them.
    pub(super) fn expose(&self, g: &mut Graph) -> Option<(String, String)> {
        let mut all = vec![];
        for (key, name, input) in &self.inputs {
            let next = format!("{name}.next");
            g.add_output(&next, self.current.get(key).copied().unwrap_or(*input));
            let zero = self.initial.get(key).is_some_and(is_zero);
            all.push(json!({"input": name, "output": next, "initial": if zero { "zeros" } else { "saved" }}));
        }
        (!all.is_empty()).then(|| (PROPERTY.to_owned(), json!(all).to_string()))
    }
    /// Initial content of the inputs that are variables, with their names.
    pub(super) fn initial(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.inputs.iter().filter_map(|(key, name, _)| Some((name.as_str(), self.initial.get(key)?)))
    }
    /// What the user must know.
    pub(super) fn notes(&self) -> Option<Diag> {
        let note = |m: String| Diag { severity: Severity::Note, ..Diag::error("E0302", m) };
        if !self.inputs.is_empty() {
            let names: Vec<&str> = self.inputs.iter().map(|i| i.1.as_str()).collect();
            let m = format!(
                "the model keeps state between calls: input and output `.next` of {}",
                listed(&names)
            );
            return Some(note(m).hint(
                "feed each `.next` to its input in the next call; --state frozen begins each call with the saved values",
            ));
        }
        let names: Vec<&str> = self.changing().map(|k| &**k).collect();
        (!names.is_empty()).then(|| {
            note(format!(
                "the model changes its state {}; each run begins with the saved values",
                listed(&names)
            ))
        })
    }
}

fn is_zero(t: &Tensor) -> bool {
    t.to_f64s().is_ok_and(|v| v.iter().all(|x| *x == 0.0))
}

/// `a`, `b` and 3 more.
pub(super) fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(MAX_NAMED).map(|n| format!("`{n}`")).collect();
    match names.len().saturating_sub(MAX_NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
