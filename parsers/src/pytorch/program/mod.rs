//! Exported programs (`.pt2`) to IR.
//!
//! Nodes are lifted one by one (`super::lift`). The types the program declares for every value are compared with those computed.
use crate::pytorch::archive::Pt2Archive;
use crate::pytorch::lift::cx::Cx;
use crate::pytorch::schema::Problem;
use crate::source::Source;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::graph::Graph;
use hoist_ir::model::Model;
use run::Program;
use std::collections::HashMap;

mod arguments;
mod origin;
mod run;
mod signature;
mod symbols;
mod weights;

#[cfg(test)]
mod tests;

/// Most problems of one kind that are listed.
const MAX_LISTED: usize = 50;

/// Reads an exported program.
///
/// # Errors
/// Everything that is wrong with the file, and all operators in it that are not supported.
pub fn read(source: &Source) -> Result<Model, Diags> {
    let archive = Pt2Archive::open(source.bytes().clone(), None)
        .map_err(|e| Diags::from(Diag::error("E0201", e.to_string())))?;
    let problems = archive.validate();
    if !problems.is_empty() {
        let diag = |p: &Problem| Diag::error("E0202", p.to_string());
        return Err(Diags(problems.iter().take(MAX_LISTED).map(diag).collect()));
    }
    let program = archive.program();
    let mut lifting = Program {
        cx: Cx::new(archive.model()),
        symbols: symbols::Symbols::of(program),
        env: vec![HashMap::new()],
        types: &program.graph_module.graph,
    };
    lifting.inputs(source, &archive);
    if !lifting.cx.diags.has_errors() {
        lifting.run(&program.graph_module.graph);
    }
    if !lifting.cx.diags.has_errors() {
        lifting.outputs(program);
    }
    let Cx { graph, diags, warnings, .. } = lifting.cx;
    diags.into_result()?;
    let mut model = Model {
        graph,
        source: "pt2".into(),
        producer: "pytorch".into(),
        producer_version: program.torch_version.as_str().into(),
        warnings,
        ..Model::default()
    };
    drop_unused(&mut model.graph);
    signature::add_samples(&mut model, &archive);
    Ok(model)
}

/// Removes what no output needs: checks, unread views, sizes.
fn drop_unused(graph: &mut Graph) {
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
