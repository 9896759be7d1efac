//! Exported programs (`.pt2`) to IR.
//!
//! Nodes are lifted one by one (`super::lift`). The types the program declares for every value are compared with those computed.
use crate::pytorch::archive::Pt2Archive;
use crate::pytorch::lift::cx::Cx;
use crate::pytorch::lift::state::{State, StateMode, lift_with_state};
use crate::pytorch::schema::Problem;
use crate::source::Source;
use crate::weights::Weights;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::graph::Graph;
use hoist_ir::model::Model;
use run::Program;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

mod arguments;
mod autocast;
mod origin;
mod regions;
mod run;
mod signature;
mod symbols;
mod tree;
pub(in crate::pytorch) mod weights;

#[cfg(test)]
mod tests;

/// Most problems of one kind that are listed.
const MAX_LISTED: usize = 50;

/// Reads an exported program.
///
/// # Errors
/// Everything that is wrong with the file, and all operators in it that are not supported.
pub fn read(source: &Source, state: StateMode) -> Result<Model, Diags> {
    read_with(source, state, None)
}

/// Reads an exported program, with other weights in the place of its own when there are some.
///
/// # Errors
/// As [`read`]; and all tensors of `weights` that do not fit the program.
pub fn read_with(source: &Source, state: StateMode, weights: Option<&Weights>) -> Result<Model, Diags> {
    let mut archive = Pt2Archive::open(source.bytes().clone(), None)
        .map_err(|e| Diags::from(Diag::error("E0201", e.to_string())))?;
    let problems = archive.validate();
    if !problems.is_empty() {
        let diag = |p: &Problem| Diag::error("E0202", p.to_string());
        return Err(Diags(problems.iter().take(MAX_LISTED).map(diag).collect()));
    }
    if let Some(weights) = weights {
        archive.replace(weights)?;
    }
    let cx = lift_with_state(state, &|held| lift(source, &archive, held))?;
    let program = archive.program();
    let Cx { graph, warnings, state, .. } = cx;
    let mut model = Model {
        graph,
        source: "pt2".into(),
        producer: "pytorch".into(),
        producer_version: program.torch_version.as_str().into(),
        props: state.property().into_iter().collect(),
        warnings,
        ..Model::default()
    };
    drop_unused(&mut model.graph);
    signature::add_samples(&mut model, &archive, &state);
    Ok(model)
}

/// The graph with the program's own outputs; weights of the names `held` are inputs.
fn lift(source: &Source, archive: &Pt2Archive, held: BTreeSet<Arc<str>>) -> Result<Cx, Diags> {
    let program = archive.program();
    let mut lifting = Program {
        cx: Cx::new(archive.model()),
        symbols: symbols::Symbols::of(program),
        env: vec![HashMap::new()],
        types: &program.graph_module.graph,
        autocast: autocast::Autocast::default(),
        unfolded: 0,
    };
    lifting.cx.state = State::holding(held);
    lifting.inputs(source, archive);
    if !lifting.cx.diags.has_errors() {
        lifting.run(&program.graph_module.graph);
    }
    if !lifting.cx.diags.has_errors() {
        lifting.outputs(program);
    }
    std::mem::take(&mut lifting.cx.diags).into_result()?;
    Ok(lifting.cx)
}

/// Removes what no output needs: checks, unread views, sizes.
pub(in crate::pytorch) fn drop_unused(graph: &mut Graph) {
    for n in graph.order_list().into_iter().rev() {
        if !graph.node(n).is_erased() {
            graph.erase_dead(n);
        }
    }
    let unused: Vec<_> = graph.values().filter(|(_, v)| v.uses().is_empty()).map(|(v, _)| v).collect();
    for v in unused {
        graph.drop_unused_const(v);
    }
}
