//! Variables that a graph assigns: inputs `NAME` and outputs `NAME.next`, or the saved values at the start of each run.
use super::SOURCE;
use super::lift::variable::Variables;
use crate::pytorch::lift::state::StateMode;
use hoist_formats::state::PROPERTY;
use hoist_ir::diag::{Diag, Diags, Severity};
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::model::Model;
use serde_json::json;
use std::collections::BTreeSet;

/// A graph with what was learned while it was lifted.
pub(super) struct Lifted {
    pub(super) graph: Graph,
    pub(super) warnings: Vec<Diag>,
    pub(super) variables: Variables,
}

fn note(message: String) -> Diag {
    Diag { severity: Severity::Note, ..Diag::error("E0302", message) }
}

fn listed(names: &BTreeSet<String>) -> String {
    let shown: Vec<String> = names.iter().take(4).map(|n| format!("`{n}`")).collect();
    match names.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Lifts a graph whose variables are treated as `mode` says. `lift` lifts it with the variables of the given names as inputs.
///
/// # Errors
/// Those of `lift`.
pub(super) fn lift_with_state(
    mode: StateMode,
    lift: &dyn Fn(&BTreeSet<String>) -> Result<Lifted, Diags>,
) -> Result<Model, Diags> {
    let mut plain = lift(&BTreeSet::new())?;
    let assigned = plain.variables.assigned();
    if assigned.is_empty() {
        return Ok(finished(plain));
    }
    if mode == StateMode::Frozen {
        let m = format!("the model assigns {}; each run begins with the saved values", listed(&assigned));
        plain.warnings.push(note(m));
        return Ok(finished(plain));
    }
    let all = lift(&assigned)?;
    let needed = if mode == StateMode::All { assigned.clone() } else { needed(&all) };
    let left: BTreeSet<String> = assigned.difference(&needed).cloned().collect();
    let mut lifted = if needed.is_empty() {
        plain
    } else if left.is_empty() {
        all
    } else {
        lift(&needed)?
    };
    if !left.is_empty() {
        let m =
            format!("the model also assigns {}, which no output depends on; that is left out", listed(&left));
        lifted.warnings.push(note(m));
    }
    if !needed.is_empty() {
        let mut labels = BTreeSet::new();
        for (_, label, _, now) in lifted.variables.held() {
            lifted.graph.add_output(&format!("{label}.next"), now);
            labels.insert(label.to_owned());
        }
        let m =
            format!("the model keeps state between calls: input and output `.next` of {}", listed(&labels));
        lifted.warnings.push(note(m).hint(
            "feed each `.next` to its input in the next call; --state frozen begins each call with the saved values",
        ));
    }
    let property = property(&lifted);
    let mut model = finished(lifted);
    model.props.extend(property);
    Ok(model)
}

fn finished(lifted: Lifted) -> Model {
    Model { source: SOURCE.into(), graph: lifted.graph, warnings: lifted.warnings, ..Model::default() }
}

/// What describes the state to those who run the model.
fn property(lifted: &Lifted) -> Option<(String, String)> {
    let one = |(name, zero): (&str, bool)| {
        let initial = if zero { "zeros" } else { "saved" };
        json!({"input": name, "output": format!("{name}.next"), "initial": initial})
    };
    let all: Vec<_> = lifted.variables.held_zero().map(one).collect();
    (!all.is_empty()).then(|| (PROPERTY.to_owned(), json!(all).to_string()))
}

/// Names of the variables that some output depends on, directly or through what is assigned to others.
fn needed(lifted: &Lifted) -> BTreeSet<String> {
    let graph = &lifted.graph;
    let mut out = BTreeSet::new();
    let mut seen: BTreeSet<ValueId> = BTreeSet::new();
    let mut open: Vec<ValueId> = graph.outputs().iter().map(|o| o.value).collect();
    while let Some(v) = open.pop() {
        if !seen.insert(v) {
            continue;
        }
        if let Some(n) = graph.producer(v) {
            open.extend(graph.node(n).inputs().iter().flatten());
        }
        for (name, _, _, now) in lifted.variables.held().filter(|(.., input, _)| *input == v) {
            out.insert(name.to_owned());
            open.push(now);
        }
    }
    out
}
