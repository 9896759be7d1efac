//! State: parameters and buffers that a program changes while it runs.
//!
//! A program is lifted with its weights as constants first. When it writes to some, it is lifted again with those as inputs, whose new
//! content becomes outputs: input `cache`, output `cache.next`. State that no output of the program depends on, however often it is
//! called (such as the running statistics of batch normalization), is left out.
use super::alias::{Owner, TensorId};
use super::cx::{Cx, R, V};
use super::pairs::stored_pairs;
use hoist_formats::state::PROPERTY;
use hoist_ir::diag::{Diag, Diags, Severity};
use hoist_ir::graph::ValueId;
use hoist_ir::tensor::Tensor;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What becomes of state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StateMode {
    /// State that outputs depend on becomes inputs and outputs.
    #[default]
    Explicit,
    /// All state does, and the new content of arguments that the program changes becomes outputs too.
    All,
    /// Each run begins with the saved values.
    Frozen,
}

/// Most names that a message lists.
const MAX_NAMED: usize = 4;

/// State of a program being lifted.
#[derive(Debug, Default)]
pub struct State {
    /// Names of weights that are inputs.
    held: BTreeSet<Arc<str>>,
    kept: Vec<Kept>,
    /// Names of weights that were written.
    pub written: BTreeSet<Arc<str>>,
}

/// A weight that is an input.
#[derive(Debug)]
struct Kept {
    name: Arc<str>,
    input: V,
    base: usize,
    initial: Tensor,
}

impl State {
    /// For a program whose weights of these names are inputs.
    pub fn holding(held: BTreeSet<Arc<str>>) -> Self {
        Self { held, ..Self::default() }
    }
    /// Initial values of the state that became inputs, in the order of the inputs.
    pub fn initial(&self) -> impl Iterator<Item = &Tensor> {
        self.kept.iter().map(|k| &k.initial)
    }
    /// Key and value of the model property that describes the state; none without state.
    pub fn property(&self) -> Option<(String, String)> {
        let one = |k: &Kept| {
            let initial = if is_zero(&k.initial) { "zeros" } else { "saved" };
            json!({"input": *k.name, "output": next(&k.name), "initial": initial})
        };
        let all: Vec<_> = self.kept.iter().map(one).collect();
        (!all.is_empty()).then(|| (PROPERTY.to_owned(), json!(all).to_string()))
    }
}

fn is_zero(t: &Tensor) -> bool {
    t.widen().is_ok() && t.to_f64s().is_ok_and(|v| v.iter().all(|x| *x == 0.0))
}
/// Name of the output that holds the new content of `name`.
fn next(name: &str) -> String {
    format!("{name}.next")
}
/// `a`, `b` and 3 more.
fn listed(names: &[&str]) -> String {
    let shown: Vec<String> = names.iter().take(MAX_NAMED).map(|n| format!("`{n}`")).collect();
    match names.len().saturating_sub(MAX_NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
fn note(message: String) -> Diag {
    Diag { severity: Severity::Note, ..Diag::error("E0302", message) }
}

/// Lifts a program whose state is treated as `mode` says. `lift` lifts it with the weights of the given names as inputs: it begins with
/// [`State::holding`] these, makes weights by [`Cx::stored`], and defines the program's own outputs.
///
/// # Errors
/// Those of `lift`.
pub fn lift_with_state(
    mode: StateMode,
    lift: &dyn Fn(BTreeSet<Arc<str>>) -> Result<Cx, Diags>,
) -> Result<Cx, Diags> {
    let mut plain = lift(BTreeSet::new())?;
    let written = plain.state.written.clone();
    let names: Vec<&str> = written.iter().map(|n| &**n).collect();
    if mode == StateMode::Frozen || written.is_empty() {
        if !written.is_empty() {
            let m = format!(
                "the model changes its state {}; each run begins with the saved values",
                listed(&names)
            );
            plain.warnings.push(note(m));
        }
        return plain.expose(mode);
    }
    let all = lift(written.clone())?;
    let needed = if mode == StateMode::All { written.clone() } else { all.needed() };
    let left: Vec<Arc<str>> = written.difference(&needed).cloned().collect();
    let mut cx = if needed.is_empty() {
        plain
    } else if needed == written {
        all
    } else {
        lift(needed)?
    };
    if !left.is_empty() {
        let left: Vec<&str> = left.iter().map(|n| &**n).collect();
        let m =
            format!("the model also changes {}, which no output depends on; that is left out", listed(&left));
        cx.warnings.push(note(m));
    }
    cx.expose(mode)
}

impl Cx {
    /// The tensor of parameter, buffer or attribute `name`: a constant, or an input when it is held as state.
    ///
    /// # Errors
    /// When its elements cannot be read.
    pub fn stored(&mut self, name: &Arc<str>, initial: Tensor) -> R<TensorId> {
        let complex = initial.dtype().is_complex();
        let initial = if complex { stored_pairs(&initial)? } else { initial };
        if !self.state.held.contains(name) {
            let v = self.graph.add_const(initial);
            self.graph.set_name(v, Some(name.clone()));
            self.marked_as(complex, v);
            return Ok(self.new_tensor(v, Owner::Weight(name.clone())));
        }
        let input = self.graph.add_input(name, initial.ty().into());
        self.marked_as(complex, input);
        let id = self.new_tensor(input, Owner::Weight(name.clone()));
        let base = self.base_of(id);
        self.state.kept.push(Kept { name: name.clone(), input, base, initial });
        Ok(id)
    }
    /// Names of the state that some output depends on, directly or through the next content of other state.
    fn needed(&self) -> BTreeSet<Arc<str>> {
        let mut needed = BTreeSet::new();
        let mut seen: BTreeSet<ValueId> = BTreeSet::new();
        let mut open: Vec<ValueId> = self.graph.outputs().iter().map(|o| o.value).collect();
        while let Some(v) = open.pop() {
            if !seen.insert(v) {
                continue;
            }
            if let Some(n) = self.graph.producer(v) {
                open.extend(self.graph.node(n).inputs().iter().flatten());
            }
            for kept in self.state.kept.iter().filter(|k| k.input == v) {
                needed.insert(kept.name.clone());
                open.push(self.bases[kept.base].value);
            }
        }
        needed
    }
    /// Defines the outputs of state and puts its inputs last.
    fn expose(mut self, mode: StateMode) -> Result<Self, Diags> {
        if mode == StateMode::All {
            let changed = |b: &super::alias::Base| match &b.owner {
                Owner::Input(name) if self.graph.producer(b.value).is_some() => Some((name.clone(), b.value)),
                _ => None,
            };
            let changed: Vec<(Arc<str>, V)> = self.bases.iter().filter_map(changed).collect();
            for (name, v) in changed {
                self.graph.add_output(&next(&name), v);
            }
        }
        if self.state.kept.is_empty() {
            return Ok(self);
        }
        for kept in &self.state.kept {
            self.graph.add_output(&next(&kept.name), self.bases[kept.base].value);
        }
        let inputs = self.graph.inputs();
        let is_state = |i: &usize| self.state.kept.iter().any(|k| k.input == inputs[*i]);
        let (last, first): (Vec<usize>, Vec<usize>) = (0..inputs.len()).partition(is_state);
        self.graph.permute_inputs(&[first, last].concat())?;
        let names: Vec<&str> = self.state.kept.iter().map(|k| &*k.name).collect();
        let m =
            format!("the model keeps state between calls: input and output `.next` of {}", listed(&names));
        self.warnings.push(note(m).hint(
            "feed each `.next` to its input in the next call; --state frozen begins each call with the saved values",
        ));
        Ok(self)
    }
}
