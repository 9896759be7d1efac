//! Numbers that the graph computes from constants only: known at conversion time.
use super::Eval;
use crate::pytorch::lift::cx::Size;
use crate::pytorch::torchscript::value::Value;
use hoist_ir::eval::{EvalCx, Limits, Value as IrValue, eval_op};
use hoist_ir::graph::{NodeId, ValueId};
use hoist_ir::tensor::Tensor;

/// Most elements of a value that is computed at conversion time to learn a number.
const MAX_FOLDED: usize = 4096;
/// Longest chain of operators that is computed at conversion time.
const MAX_CHAIN: usize = 200;

impl Eval<'_> {
    /// A computed number as a known one where what it is computed from is known.
    pub(super) fn folded(&mut self, v: Value) -> Value {
        match &v {
            Value::Int(Size::Value(ir)) => {
                let content = self.cx.graph.value(*ir).content().cloned();
                if let Some([Some(one)]) = content.as_deref()
                    && let Some(k) = one.as_const()
                {
                    return Value::int(k);
                }
                match self.constant_of(*ir).and_then(|t| t.to_i64s().ok()).as_deref() {
                    Some([k]) => Value::int(*k),
                    _ => v,
                }
            }
            Value::BoolV(ir) => self.folded_bool(*ir).map_or(v, Value::Bool),
            Value::FloatV(ir) => match self.constant_of(*ir).and_then(|t| t.to_f64s().ok()).as_deref() {
                Some([k]) => Value::Float(*k),
                _ => v,
            },
            _ => v,
        }
    }
    /// A computed truth value where what it is computed from is known.
    pub(super) fn folded_bool(&mut self, v: ValueId) -> Option<bool> {
        match self.constant_of(v)?.to_bools().ok()?.as_slice() {
            [b] => Some(*b),
            _ => None,
        }
    }
    /// The value of `v` when it depends on constants only, and few.
    pub(super) fn constant_of(&mut self, v: ValueId) -> Option<Tensor> {
        let mut chain = vec![];
        if !self.chain(v, &mut chain) {
            return None;
        }
        let mut done: Vec<(ValueId, Tensor)> = vec![];
        self.steps += 8 * chain.len();
        for n in chain {
            self.fold_node(n, &mut done)?;
        }
        let found = done.iter().rev().find(|(id, _)| *id == v).map(|(_, t)| t.clone());
        found.or_else(|| self.cx.graph.constant(v).cloned())
    }
    /// Whether `v` is small and made of constants; collects the nodes that make it, operands first.
    fn chain(&self, v: ValueId, out: &mut Vec<NodeId>) -> bool {
        if let Some(t) = self.cx.graph.constant(v) {
            return t.len() <= MAX_FOLDED;
        }
        let Some(n) = self.cx.graph.producer(v) else { return false };
        if out.contains(&n) {
            return true;
        }
        let node = self.cx.graph.node(n);
        let small = |v: &ValueId| {
            let sizes = self.cx.known_sizes(*v);
            sizes
                .and_then(|s| s.into_iter().try_fold(1i64, i64::checked_mul))
                .is_some_and(|n| n <= MAX_FOLDED as i64)
        };
        let random =
            node.op().name().starts_with("random") || matches!(node.op().name(), "bernoulli" | "multinomial");
        if out.len() >= MAX_CHAIN || random || !node.bodies().is_empty() || !node.outputs().iter().all(small)
        {
            return false;
        }
        let inputs: Vec<ValueId> = node.inputs().iter().copied().flatten().collect();
        if !inputs.iter().all(|v| self.chain(*v, out)) {
            return false;
        }
        if !out.contains(&n) {
            out.push(n);
        }
        true
    }
    fn fold_node(&self, n: NodeId, done: &mut Vec<(ValueId, Tensor)>) -> Option<()> {
        let node = self.cx.graph.node(n);
        let value = |v: &Option<ValueId>| -> Option<Option<IrValue>> {
            let Some(v) = v else { return Some(None) };
            let found = done.iter().rev().find(|(id, _)| id == v).map(|(_, t)| t.clone());
            Some(Some(found.or_else(|| self.cx.graph.constant(*v).cloned())?.into()))
        };
        let inputs: Vec<Option<IrValue>> = node.inputs().iter().map(value).collect::<Option<_>>()?;
        let run = |_: &hoist_ir::graph::Graph, _| Err(hoist_ir::op::OpError::eval("no bodies here"));
        let cx = EvalCx { inputs, outputs: node.outputs().len(), bodies: &[], captures: 0, run: &run };
        let results = eval_op(node.op(), cx, Limits { result_bytes: 16 * MAX_FOLDED }).ok()?;
        for (v, r) in node.outputs().iter().zip(results) {
            done.push((*v, r.as_tensor()?.clone()));
        }
        Some(())
    }
}
