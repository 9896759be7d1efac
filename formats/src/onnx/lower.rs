//! Which operator set to write, and each node's form in it.
use super::bind::write_rows;
use super::dtype::since_opset;
use super::ml;
use super::row::{Arg, Foreign};
use super::versions::{NEWEST_OPSET, since_version};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::model::Model;
use hoist_ir::ops::Op;
use hoist_ir::types::{TensorType, Type};
use std::sync::Arc;

/// Lowest operator set that is tried unless an older one is asked for: what every current runtime loads.
pub const PREFERRED: i64 = 17;
/// Oldest operator set that is tried for models with operators that pass through and changed since.
const OLDEST: i64 = 7;

/// What a graph is written for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Operator set of ONNX's own domain.
    pub opset: i64,
    /// That of the source, where it was an ONNX model.
    pub source: Option<i64>,
    /// Other domains that the source imports, with their versions. Operators of a vendor are written only where its domain is among them, or where ONNX has
    /// no operator of its own.
    pub domains: Vec<(Arc<str>, i64)>,
}

impl Target {
    /// `model` at operator set `opset`.
    pub fn new(model: &Model, opset: i64) -> Self {
        let domains = model.opsets.iter().filter(|(d, _)| !d.is_empty()).cloned().collect();
        Self { opset, source: model.opset(""), domains }
    }
    /// Version of `domain`, where the source imports it.
    pub fn version(&self, domain: &str) -> Option<i64> {
        if domain.is_empty() {
            return Some(self.opset);
        }
        self.domains.iter().find(|(d, _)| **d == *domain).map(|(_, v)| *v)
    }
    /// The same with another operator set.
    #[must_use]
    pub fn at(&self, opset: i64) -> Self {
        Self { opset, ..self.clone() }
    }
}

/// The operator set for `model`: `requested`, else the lowest from 17 on that expresses everything, else the highest below.
///
/// # Errors
/// All operators that no candidate expresses, listed at once.
pub fn choose(model: &Model, requested: Option<i64>) -> Result<Target, Diags> {
    let target = Target::new(model, 0);
    if let Some(t) = requested {
        if !(OLDEST..=NEWEST_OPSET).contains(&t) {
            let m = format!("operator set {t} cannot be written; {OLDEST} to {NEWEST_OPSET} can");
            return Err(Diag::error("E0204", m).into());
        }
        let target = target.at(t);
        check(&model.graph, &target).into_result()?;
        return Ok(target);
    }
    let mut candidates: Vec<i64> = (PREFERRED..=NEWEST_OPSET).chain((OLDEST..PREFERRED).rev()).collect();
    // Functions and training graphs are written for an operator set, which must agree with the model's.
    let bound = !model.functions.is_empty() || model.opaque.iter().any(|(k, _)| k == super::kept::TRAINING);
    if let (true, Some(s)) = (bound, target.source) {
        candidates.insert(0, s);
    }
    let all = candidates.into_iter().map(|t| target.at(t));
    if let Some(found) = all.into_iter().find(|t| fits(&model.graph, t)) {
        return Ok(found);
    }
    check(&model.graph, &target.at(NEWEST_OPSET)).into_result()?;
    Err(Diag::error("E0302", "no single operator set expresses all operators of this model").into())
}

/// The last operator set whose every operator ONNX Runtime implements.
const WHOLLY_IMPLEMENTED: i64 = 21;
/// Operators whose newer versions ONNX Runtime 1.32 lacks on the CPU.
const BEHIND: &[&str] = &[
    "bernoulli",
    "global_lp_pool",
    "multinomial",
    "random_normal",
    "random_normal_like",
    "random_uniform",
    "random_uniform_like",
    "roi_align",
];

/// The operator set to express `model` in, where `target` is newer than runtimes implement for its operators. A model that has an operator
/// set of its own stays in it.
pub fn better_known(model: &Model, target: &Target) -> Option<i64> {
    let newer = target.source.is_none() && target.opset > WHOLLY_IMPLEMENTED;
    (newer && holds_any(&model.graph, BEHIND)).then_some(WHOLLY_IMPLEMENTED)
}

fn holds_any(graph: &Graph, names: &[&str]) -> bool {
    graph.order().any(|n| {
        let node = graph.node(n);
        names.contains(&node.op().name()) || node.stored_bodies().iter().any(|b| holds_any(b, names))
    })
}

/// Whether an operator of `graph` is written as one of `domain`.
pub fn uses_domain(graph: &Graph, t: &Target, domain: &str) -> bool {
    graph.order().any(|n| {
        lower(graph, n, t).is_ok_and(|f| f.domain == domain)
            || graph.node(n).stored_bodies().iter().any(|b| uses_domain(b, t, domain))
    })
}

fn fits(graph: &Graph, t: &Target) -> bool {
    types_fit(graph, t.opset).is_ok()
        && graph
            .order()
            .all(|n| lower(graph, n, t).is_ok() && graph.node(n).stored_bodies().iter().all(|b| fits(b, t)))
}

/// Every operator of `graph` that `t` cannot express.
pub fn check(graph: &Graph, t: &Target) -> Diags {
    let mut diags = Diags::default();
    if let Err(m) = types_fit(graph, t.opset) {
        let newer = (t.opset + 1..=NEWEST_OPSET).find(|o| types_fit(graph, *o).is_ok());
        let hint = newer.map_or("use another element type".to_owned(), |o| format!("use --opset {o}"));
        diags.push(Diag::error("E0302", m).hint(hint));
    }
    for n in graph.order() {
        if let Err(m) = lower(graph, n, t) {
            let node = graph.node(n);
            let d = Diag::error(
                "E0302",
                format!("operator set {} has no form of `{}` with {m}", t.opset, node.op().name()),
            );
            diags.push(d.node(graph.node_label(n)).origin(node.origin.clone()).hint(hint(graph, n, t)));
        }
        for body in graph.node(n).stored_bodies() {
            diags.0.extend(check(body, t).0);
        }
    }
    diags
}

/// What to do about a node that `t` has no form of.
fn hint(graph: &Graph, n: NodeId, t: &Target) -> String {
    let newer = (t.opset + 1..=NEWEST_OPSET).find(|o| lower(graph, n, &t.at(*o)).is_ok());
    match newer {
        Some(o) => format!("operator set {o} has one: --opset {o}"),
        None => "no newer operator set has one; replace the operator in the source model".to_owned(),
    }
}

fn types_fit(graph: &Graph, t: i64) -> Result<(), String> {
    for (_, v) in graph.values() {
        if let Some(ty) = innermost(v.ty())
            && since_opset(ty.dtype) > t
            && !v.uses().is_empty()
        {
            return Err(format!(
                "element type {} exists since operator set {}",
                ty.dtype,
                since_opset(ty.dtype)
            ));
        }
    }
    Ok(())
}

/// The tensors that a value is or holds.
fn innermost(ty: &Type) -> Option<&TensorType> {
    match ty {
        Type::Tensor(t) => Some(t),
        Type::Sequence(t) | Type::Optional(t) | Type::Map(_, t) => innermost(t),
        Type::Unknown => None,
    }
}

/// Node `n` in ONNX's terms at operator set `t`.
///
/// # Errors
/// What is missing, as a phrase.
pub fn lower(graph: &Graph, n: NodeId, t: &Target) -> Result<Foreign, String> {
    let op = graph.node(n).op();
    if let Op::Custom(c) = op {
        return passes_through(graph, n, c, t);
    }
    let mut reason = String::from("any attributes: ONNX has no such operator");
    let rows = write_rows(op.name());
    let own = rows.iter().any(|r| r.domain.is_empty());
    for row in rows {
        let version = t.version(row.domain);
        if own && version.is_none() {
            continue;
        }
        let newest = if row.domain == ml::ML { ml::WRITTEN } else { 1 };
        let version = version.unwrap_or(row.since.max(newest));
        if !row.covers(version) {
            reason =
                if row.since > version { format!("its meaning before opset {}", row.since) } else { reason };
            continue;
        }
        match row.lower(graph, n, version) {
            Ok(f) => return Ok(f),
            Err(m) => reason = m,
        }
    }
    Err(reason)
}

fn passes_through(
    graph: &Graph,
    n: NodeId,
    c: &hoist_ir::ops::Custom,
    t: &Target,
) -> Result<Foreign, String> {
    let node = graph.node(n);
    // ONNX's own operators keep their meaning only where their version is the source's.
    if c.domain.is_empty()
        && let Some(s) = t.source
        && since_version(&c.name, s).is_some()
        && since_version(&c.name, s) != since_version(&c.name, t.opset)
    {
        return Err(format!("the meaning of `{}` in the source's operator set {s}", c.name));
    }
    Ok(Foreign {
        domain: c.domain.clone(),
        op_type: c.name.clone(),
        opset: t.version(&c.domain).unwrap_or(1),
        attrs: c.attrs.clone(),
        inputs: node.inputs().iter().map(|i| i.map_or(Arg::None, Arg::Value)).collect(),
        outputs: node.outputs().len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::text::parse_graph;

    fn model(body: &str) -> Model {
        Model { graph: parse_graph(body).expect("valid text"), ..Model::default() }
    }

    #[test]
    fn newer_operators_beside_such_that_runtimes_lack_move_the_model_down() {
        let seen = "graph(%q: f32[2, 4, 6, 8]) {\n%y = attention(%q, %q, %q)\n";
        let plain = model(&format!("{seen}return y: %y\n}}"));
        let random = model(&format!("{seen}%r = random_normal_like(%y)\nreturn y: %r\n}}"));
        let below = |m: &Model| better_known(m, &choose(m, None).expect("some set serves"));
        assert_eq!(below(&plain), None);
        assert_eq!(below(&random), Some(WHOLLY_IMPLEMENTED));
        let mut own = random;
        own.opsets = vec![("".into(), 23)];
        assert_eq!(below(&own), None, "a model that has an operator set stays in it");
    }
}
