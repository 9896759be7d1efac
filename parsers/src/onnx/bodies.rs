//! Nodes with bodies.
use super::graph::{Reader, Scope};
use hoist_formats::onnx::bind::body_attrs;
use hoist_formats::onnx::generated::NodeProto;
use hoist_formats::onnx::row::{Arg, Foreign, Row};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, Origin, ValueId};
use hoist_ir::infer::diag_at;
use hoist_ir::ops::Op;
use hoist_ir::ops::control::bodies::own_inputs;
use hoist_ir::ops::control::loop_::may_stop;
use hoist_ir::ops::control::scan::Scan;
use hoist_ir::types::{TensorType, Type};
use std::sync::Arc;

impl Reader {
    /// Adds a node whose bodies the IR knows. What they use from outside becomes operands.
    #[expect(clippy::too_many_arguments, reason = "all parts of one node")]
    pub(super) fn with_bodies(
        &mut self,
        scope: &mut Scope,
        n: &NodeProto,
        row: &Row,
        attrs: Vec<(String, Attr)>,
        inputs: &[Option<ValueId>],
        outputs: usize,
        origin: &Origin,
    ) -> Result<Vec<ValueId>, Diag> {
        let names = body_attrs(n.op_type());
        let mut protos = vec![];
        for name in names {
            let a = n.attribute.iter().find(|a| a.name() == *name);
            let g = a.and_then(|a| a.g.as_deref());
            protos.push(g.ok_or_else(|| Diag::error("E0202", format!("`{}` has no `{name}`", n.op_type())))?);
        }
        let foreign = Foreign {
            domain: super::domain(n.domain()).to_owned(),
            op_type: n.op_type().to_owned(),
            opset: self.opset,
            attrs: attrs.iter().filter(|(k, _)| !names.contains(&k.as_str())).cloned().collect(),
            inputs: inputs.iter().map(|i| i.map_or(Arg::None, Arg::Value)).collect(),
            outputs,
        };
        if !row.applies(&foreign, &scope.graph) {
            return self.custom(scope, n, attrs, inputs, outputs, origin);
        }
        let fail = |e| diag_at(e, &Op::by_name(row.op).unwrap_or_else(|| Scan::default().into()), None);
        let (op, foreign) = row.lift_op(&scope.graph, foreign).map_err(fail)?;
        let operands: Vec<Option<ValueId>> = (0..foreign.inputs.len()).map(|i| foreign.value(i)).collect();
        let (captured, outer) = Self::outer(scope, n)?;
        let batched = matches!(op, Op::Scan(_)) && self.opset < 9;
        let types: Vec<Option<Type>> =
            operands.iter().map(|v| v.map(|v| per_batch(scope.graph.ty(v), batched))).collect();
        let formal = own_inputs(&op, &types.iter().map(Option::as_ref).collect::<Vec<_>>());
        let bodies = self.read_bodies(&protos, &outer, &formal, matches!(op, Op::If(_)));
        self.check_condition(&op, &bodies, &operands, n);
        let all: Vec<Option<ValueId>> =
            operands.iter().copied().chain(captured.iter().map(|v| Some(*v))).collect();
        let new = NewNode {
            outputs: results(&op, &bodies).max(outputs),
            op,
            inputs: all,
            bodies,
            captures: captured.len(),
            origin: origin.clone(),
            name: Some(n.name().into()).filter(|n: &Arc<str>| !n.is_empty()),
        };
        let new = if batched { over_batches(new, &scope.graph)? } else { new };
        let id = scope.graph.append(new)?;
        Ok(scope.graph.node(id).outputs().to_vec())
    }

    /// Runtimes do not agree on a loop that leaves out the condition and whose body gives false.
    fn check_condition(&mut self, op: &Op, bodies: &[Graph], operands: &[Option<ValueId>], n: &NodeProto) {
        let absent = operands.get(1).copied().flatten().is_none();
        if matches!(op, Op::Loop(_)) && absent && bodies.first().is_some_and(may_stop) {
            let m = "a loop without the operand `cond` ignores the condition its body computes, as the text of ONNX says; \
                     ONNX Runtime stops where it is false";
            self.warnings.push(Diag::warning("E0202", m).op("Loop").node(super::tensor::shorten(n.name())));
        }
    }
}

/// Number of results that the outputs of the bodies make.
fn results(op: &Op, bodies: &[Graph]) -> usize {
    let outputs = bodies.first().map_or(0, |b| b.outputs().len());
    // The first output of a loop's body is the condition.
    if matches!(op, Op::Loop(_)) { outputs.saturating_sub(1) } else { outputs }
}

/// The type without its first axis, if `batched`.
fn per_batch(ty: &Type, batched: bool) -> Type {
    match ty {
        Type::Tensor(TensorType { dtype, shape: Some(shape) }) if batched => {
            TensorType::new(*dtype, shape.iter().skip(1).cloned().collect::<Vec<_>>()).into()
        }
        _ => ty.clone(),
    }
}

/// `Scan` of operator set 8 as one of set 9 for each element of a batch: a scan of all operands around it.
fn over_batches(inner: NewNode, outside: &Graph) -> Result<NewNode, Diag> {
    let own = inner.inputs.len() - inner.captures;
    let mut body = Graph::new("batch");
    let mut inputs = vec![];
    for (k, v) in inner.inputs.iter().enumerate() {
        let missing = || Diag::error("E0303", format!("operand {k} of `Scan` is missing")).op("Scan");
        let ty = outside.ty(v.ok_or_else(missing)?);
        let name = if k < own { "operand" } else { "captured" };
        inputs.push(Some(body.add_input(&format!("{name}_{k}"), per_batch(ty, k < own))));
    }
    let around = Scan { num_scan_inputs: i64::try_from(own).unwrap_or(i64::MAX), ..Scan::default() };
    let outer = NewNode {
        op: around.into(),
        inputs: inner.inputs.clone(),
        outputs: inner.outputs,
        captures: inner.captures,
        origin: inner.origin.clone(),
        name: inner.name.clone(),
        bodies: vec![],
    };
    let id = body.append(NewNode { inputs, ..inner })?;
    for (k, v) in body.node(id).outputs().to_vec().into_iter().enumerate() {
        body.add_output(&format!("result_{k}"), v);
    }
    Ok(NewNode { bodies: vec![body], ..outer })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_lose_the_first_axis() {
        let ty: Type = TensorType::fixed(hoist_ir::dtype::DType::F32, &[2, 3]).into();
        assert_eq!(per_batch(&ty, true).to_string(), "f32[3]");
        assert_eq!(per_batch(&ty, false).to_string(), "f32[2, 3]");
    }
}
