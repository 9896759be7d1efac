//! Exported programs (`.pt2`) to IR.
//!
//! `ATen` operators become IR operators by the tables of [`aten`]. In-place operators and views become pure ones ([`alias`]); element
//! types follow PyTorch's promotion ([`promote`]). The types the program declares for every value are compared with those computed.
use crate::pytorch::archive::Pt2Archive;
use crate::pytorch::schema::Node;
use crate::source::Source;
use cx::Cx;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::graph::{Graph, Origin};
use hoist_ir::model::Model;
use std::cell::RefCell;
use std::collections::HashMap;

mod alias;
pub mod aten;
mod cx;
mod emit;
mod origin;
mod pair_ops;
mod pairs;
mod promote;
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
        let diag = |p: &crate::pytorch::schema::Problem| Diag::error("E0202", p.to_string());
        return Err(Diags(problems.iter().take(MAX_LISTED).map(diag).collect()));
    }
    let program = archive.program();
    let unsupported = run::unsupported_ops(&program.graph_module.graph);
    if !unsupported.is_empty() {
        return Err(Diags(unsupported));
    }
    let none = Node {
        target: String::new(),
        inputs: vec![],
        outputs: vec![],
        metadata: crate::pytorch::schema::Table::default(),
        is_hop_single_tensor_return: None,
        name: None,
    };
    let mut cx = Cx {
        graph: Graph::new(archive.model()),
        symbols: symbols::Symbols::of(program),
        tensors: vec![],
        pairs: HashMap::new(),
        tables: HashMap::new(),
        bases: vec![],
        env: vec![HashMap::new()],
        types: &program.graph_module.graph,
        node: &none,
        origin: Origin::default(),
        read: RefCell::new(vec![]),
        warnings: vec![],
        diags: Diags::default(),
    };
    cx.inputs(source, &archive);
    if !cx.diags.has_errors() {
        cx.run(&program.graph_module.graph);
    }
    if !cx.diags.has_errors() {
        cx.outputs(program);
    }
    let (graph, diags, warnings) = (cx.graph, cx.diags, cx.warnings);
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
