//! What is computed once per model and reused by every run.
use super::constants::Constant;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Def, Graph, NodeId, Use};
use hoist_ir::ops::Op;

/// A node with the plans of its bodies.
pub(super) struct Step {
    pub(super) node: NodeId,
    pub(super) bodies: Vec<Plan>,
}

/// How to run one graph.
pub(super) struct Plan {
    /// Nodes in order.
    pub(super) steps: Vec<Step>,
    /// Uses of each value.
    pub(super) uses: Vec<u32>,
    /// Constants by value.
    pub(super) constants: Vec<Option<Constant>>,
}

impl Plan {
    /// Plans `graph` and the bodies in it.
    pub(super) fn new(graph: &Graph) -> Self {
        let step =
            |node: NodeId| Step { node, bodies: graph.node(node).bodies().iter().map(Self::new).collect() };
        let constant = |(id, value): (_, &hoist_ir::graph::Value)| {
            let used = value.def() == Def::Const && !value.uses().is_empty();
            graph.constant(id).filter(|_| used).map(|t| Constant::new(t.clone(), is_weights(graph, value)))
        };
        Self {
            steps: graph.order().map(step).collect(),
            uses: graph.values().map(|(_, v)| v.uses().len() as u32).collect(),
            constants: graph.values().map(constant).collect(),
        }
    }
}

/// Whether some product or convolution multiplies by this constant. Depthwise convolutions read weights as they are.
fn is_weights(graph: &Graph, value: &hoist_ir::graph::Value) -> bool {
    let Some(ty) = value.ty().as_tensor() else { return false };
    let Some(sizes) = ty.sizes().filter(|_| matches!(ty.dtype, DType::F32 | DType::F64)) else {
        return false;
    };
    value.uses().iter().any(|used| {
        let Use::Node { node, slot: 1 } = *used else { return false };
        match graph.node(node).op() {
            Op::Conv(_) => sizes.get(1).is_some_and(|n| *n > 1),
            Op::Gemm(_) => true,
            Op::MatMul(_) => sizes.len() == 2,
            _ => false,
        }
    })
}

/// Refuses graphs with operators Hoist does not know, but for those that only a branch may reach.
pub(super) fn check_supported(graph: &Graph) -> Result<(), Diags> {
    let mut counts = std::collections::BTreeMap::new();
    count_custom(graph, &mut counts);
    let mut diags = Diags::default();
    for (name, (count, node)) in counts {
        let m = format!("`{name}` cannot be evaluated: Hoist does not know it ({count} uses)");
        diags.push(Diag::error("E0301", m).op(name).node(node).hint("run the model with another engine"));
    }
    diags.into_result()
}

fn count_custom(graph: &Graph, counts: &mut std::collections::BTreeMap<String, (usize, String)>) {
    for n in graph.order() {
        let node = graph.node(n);
        if let Op::Custom(op) = node.op()
            && !op.defined
        {
            let name = format!("{}::{}", op.domain, op.name);
            counts.entry(name).or_insert_with(|| (0, graph.node_label(n))).0 += 1;
        }
        // A branch that is never taken may hold anything; one that is taken fails when it runs.
        if node.op().name() != "if" {
            node.bodies().iter().for_each(|b| count_custom(b, counts));
        }
    }
}
