//! Which operator set to write, and each node's form in it.
use hoist_formats::onnx::bind::write_rows;
use hoist_formats::onnx::dtype::since_opset;
use hoist_formats::onnx::row::Foreign;
use hoist_formats::onnx::versions::{NEWEST_OPSET, since_version};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::model::Model;
use hoist_ir::ops::Op;
use hoist_ir::types::Type;

/// Lowest operator set that is tried unless an older one is asked for: what every current runtime loads.
const PREFERRED: i64 = 17;
/// Oldest operator set that is tried for models with operators that pass through and changed since.
const OLDEST: i64 = 7;

/// The operator set for `model`: `requested`, else the lowest from 17 on that expresses everything, else the highest below.
///
/// # Errors
/// All operators that no candidate expresses, listed at once.
pub(super) fn choose(model: &Model, requested: Option<i64>) -> Result<i64, Diags> {
    let source = model.opset("");
    if let Some(t) = requested {
        if !(OLDEST..=NEWEST_OPSET).contains(&t) {
            let m = format!("operator set {t} cannot be written; {OLDEST} to {NEWEST_OPSET} can");
            return Err(Diag::error("E0204", m).into());
        }
        check(&model.graph, t, source).into_result()?;
        return Ok(t);
    }
    let mut candidates: Vec<i64> = (PREFERRED..=NEWEST_OPSET).chain((OLDEST..PREFERRED).rev()).collect();
    // Functions carry their own operator set, which must agree with the model's.
    if let (false, Some(s)) = (model.functions.is_empty(), source) {
        candidates.insert(0, s);
    }
    let first = |t: &&i64| fits(&model.graph, **t, source);
    if let Some(t) = candidates.iter().find(first) {
        return Ok(*t);
    }
    check(&model.graph, NEWEST_OPSET, source).into_result()?;
    Err(Diag::error("E0302", "no single operator set expresses all operators of this model").into())
}

fn fits(graph: &Graph, t: i64, source: Option<i64>) -> bool {
    types_fit(graph, t).is_ok()
        && graph.order().all(|n| {
            lower(graph, n, t, source).is_ok() && graph.node(n).bodies().iter().all(|b| fits(b, t, source))
        })
}

fn check(graph: &Graph, t: i64, source: Option<i64>) -> Diags {
    let mut diags = Diags::default();
    if let Err(m) = types_fit(graph, t) {
        diags.push(Diag::error("E0302", m));
    }
    for n in graph.order() {
        if let Err(m) = lower(graph, n, t, source) {
            let node = graph.node(n);
            let d = Diag::error(
                "E0302",
                format!("operator set {t} has no form of `{}` with {m}", node.op().name()),
            );
            diags
                .push(d.node(graph.node_label(n)).origin(node.origin.clone()).hint("choose a newer --opset"));
        }
        for body in graph.node(n).bodies() {
            diags.0.extend(check(body, t, source).0);
        }
    }
    diags
}

fn types_fit(graph: &Graph, t: i64) -> Result<(), String> {
    for (_, v) in graph.values() {
        if let Type::Tensor(ty) = v.ty()
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

/// Node `n` in ONNX's terms at operator set `t`.
///
/// # Errors
/// What is missing, as a phrase.
pub(super) fn lower(graph: &Graph, n: NodeId, t: i64, source: Option<i64>) -> Result<Foreign, String> {
    let op = graph.node(n).op();
    if let Op::Custom(c) = op {
        return passes_through(graph, n, c, t, source);
    }
    let mut reason = String::from("any attributes: ONNX has no such operator");
    for row in write_rows(op.name()) {
        if !row.covers(t) {
            reason = if row.since > t { format!("its meaning before opset {}", row.since) } else { reason };
            continue;
        }
        match row.lower(graph, n, t) {
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
    t: i64,
    source: Option<i64>,
) -> Result<Foreign, String> {
    use hoist_formats::onnx::row::Arg;
    let node = graph.node(n);
    // ONNX's own operators keep their meaning only where their version is the source's.
    if c.domain.is_empty()
        && let Some(s) = source
        && since_version(&c.name, s).is_some()
        && since_version(&c.name, s) != since_version(&c.name, t)
    {
        return Err(format!("the meaning of `{}` in the source's operator set {s}", c.name));
    }
    Ok(Foreign {
        op_type: c.name.clone(),
        opset: t,
        attrs: c.attrs.clone(),
        inputs: node.inputs().iter().map(|i| i.map_or(Arg::None, Arg::Value)).collect(),
        outputs: node.outputs().len(),
    })
}
