//! One run of a plan.
use super::constants::Budget;
use super::live::{Block, Live, block, blocks};
use super::plan::{Plan, Step};
use super::{NodeTime, ReferenceOptions, Report};
use hoist_ir::diag::Diag;
use hoist_ir::eval::{EvalCx, Limits, Value, eval_op};
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::infer::diag_at;
use hoist_ir::op::OpError;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Values of a graph being executed.
pub(super) struct Run<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    constants: &'a Budget,
    options: &'a ReferenceOptions,
    values: Vec<Option<Value>>,
    /// Uses of each value still to come.
    left: Vec<u32>,
    live: Live,
    /// Addresses of constants seen so far.
    shared: HashSet<usize>,
    nodes: Option<Vec<NodeTime>>,
}

/// Is shown each result of each node of the main graph.
pub(super) type Seen<'a> = &'a mut dyn FnMut(ValueId, &Value);

impl<'a> Run<'a> {
    /// Nothing computed yet.
    pub(super) fn new(
        graph: &'a Graph,
        plan: &'a Plan,
        constants: &'a Budget,
        options: &'a ReferenceOptions,
    ) -> Self {
        let (values, left) = (vec![None; plan.uses.len()], plan.uses.clone());
        let (live, shared) = (Live::default(), HashSet::new());
        Self { graph, plan, constants, options, values, left, live, shared, nodes: None }
    }
    /// Whether to take the time of each node.
    pub(super) fn profile(&mut self, wanted: bool) {
        self.nodes = wanted.then(Vec::new);
    }
    /// Runs all nodes.
    ///
    /// # Errors
    /// The first node's.
    pub(super) fn finish(self, inputs: Vec<Value>) -> Result<(Vec<Value>, Report), Diag> {
        self.finish_seen(inputs, &mut |_, _| {})
    }
    /// Runs all nodes and shows each result to `seen`.
    ///
    /// # Errors
    /// The first node's.
    pub(super) fn finish_seen(
        mut self,
        inputs: Vec<Value>,
        seen: Seen<'_>,
    ) -> Result<(Vec<Value>, Report), Diag> {
        let (graph, plan) = (self.graph, self.plan);
        for (v, value) in graph.inputs().iter().zip(inputs) {
            self.live.hold(&blocks(&value));
            self.define(*v, value);
        }
        for step in &plan.steps {
            self.step(step, seen).map_err(|e| self.at_node(step, e))?;
        }
        let outputs = graph.outputs().iter().map(|o| self.take(o.value)).collect::<Result<_, _>>();
        let report = Report {
            peak_live_bytes: self.live.peak(),
            constant_bytes: self.constants.spent(),
            nodes: self.nodes.unwrap_or_default(),
        };
        outputs.map(|o| (o, report)).map_err(|e| Diag::error(e.code, e.message))
    }
    fn at_node(&self, step: &Step, error: OpError) -> Diag {
        let node = self.graph.node(step.node);
        diag_at(error, node.op(), Some(&self.graph.node_label(step.node))).origin(node.origin.clone())
    }
    /// Gives `v` its value, whose storage is already counted; dropped at once when nothing uses it.
    fn define(&mut self, v: ValueId, value: Value) {
        if self.left[v.index()] > 0 {
            self.values[v.index()] = Some(value);
        } else {
            self.live.release(&blocks(&value));
        }
    }
    /// The value of `v`; its last use gets it alone.
    fn take(&mut self, v: ValueId) -> Result<Value, OpError> {
        if let Some(constant) = &self.plan.constants[v.index()] {
            let tensor = constant.get(self.constants)?;
            self.shared.extend(block(&tensor).map(|(address, _)| address));
            return Ok(Value::Tensor(tensor));
        }
        let left = &mut self.left[v.index()];
        *left = left.saturating_sub(1);
        let slot = &mut self.values[v.index()];
        let value = if *left == 0 { slot.take() } else { slot.clone() };
        value.ok_or_else(|| OpError::new("E0401", format!("value {v:?} is used before it is computed")))
    }
    fn step(&mut self, step: &Step, seen: Seen<'_>) -> Result<(), OpError> {
        let node = self.graph.node(step.node);
        let mut inputs = Vec::with_capacity(node.inputs().len());
        let mut freed = vec![];
        for input in node.inputs() {
            let Some(v) = *input else {
                inputs.push(None);
                continue;
            };
            let value = self.take(v)?;
            if self.values[v.index()].is_none() && self.plan.constants[v.index()].is_none() {
                freed.extend(blocks(&value));
            }
            inputs.push(Some(value));
        }
        let limits = self.limits();
        let inside = AtomicUsize::new(0);
        let run = |body: &Graph, inputs: Vec<Value>| {
            let (outputs, peak) = self.run_body(step, body, inputs, limits)?;
            inside.fetch_max(peak, Ordering::Relaxed);
            Ok(outputs)
        };
        let outputs = node.outputs().len();
        let cx = EvalCx { inputs, outputs, bodies: node.bodies(), captures: node.captures(), run: &run };
        let operands = self.nodes.is_some().then(|| types(&cx.inputs));
        let start = self.nodes.is_some().then(Instant::now);
        let results = eval_op(node.op(), cx, limits)?;
        self.live.reach(inside.into_inner());
        let time = start.map(|s| s.elapsed()).unwrap_or_default();
        if let (Some(nodes), Some(operands)) = (&mut self.nodes, operands) {
            let results: Vec<Option<Value>> = results.iter().cloned().map(Some).collect();
            let signature = format!("({operands}) -> {}", types(&results));
            let node_label = self.graph.node_label(step.node);
            nodes.push(NodeTime { node: node_label, op: node.op().name(), signature, time });
        }
        for (v, value) in node.outputs().iter().zip(&results) {
            seen(*v, value);
        }
        self.settle(node.outputs(), results, &freed)
    }
    /// Defines the results and lets go of the operands that are gone.
    fn settle(&mut self, outputs: &[ValueId], results: Vec<Value>, freed: &[Block]) -> Result<(), OpError> {
        let held: Vec<_> = results.iter().map(|r| self.own_blocks(r)).collect();
        for blocks in &held {
            self.live.hold(blocks);
        }
        self.live.release(freed);
        for (v, value) in outputs.iter().zip(results) {
            self.define(*v, value);
        }
        match self.options.live_bytes {
            Some(most) if self.live.now() > most => {
                Err(OpError::new("E0307", format!("the values alive take more than {most} bytes")))
            }
            _ => Ok(()),
        }
    }
    /// Storages of a result that are not a constant's.
    fn own_blocks(&self, value: &Value) -> Vec<Block> {
        let mut blocks = blocks(value);
        blocks.retain(|(address, _)| !self.shared.contains(address));
        blocks
    }
    /// Limits of the next result: what is left of the bytes that may be alive.
    fn limits(&self) -> Limits {
        let mut limits = self.options.limits;
        if let Some(most) = self.options.live_bytes {
            limits.result_bytes = limits.result_bytes.min(most.saturating_sub(self.live.now()));
        }
        limits
    }
    fn run_body(
        &self,
        step: &Step,
        body: &Graph,
        inputs: Vec<Value>,
        limits: Limits,
    ) -> Result<(Vec<Value>, usize), OpError> {
        let bodies = self.graph.node(step.node).bodies();
        let at = bodies.iter().position(|b| std::ptr::eq(b, body));
        let Some(plan) = at.and_then(|i| step.bodies.get(i)) else {
            return Ok((hoist_ir::eval::eval_graph(body, inputs, limits)?, 0));
        };
        if inputs.len() != body.inputs().len() {
            let m = format!("{} inputs given, the body has {}", inputs.len(), body.inputs().len());
            return Err(OpError::new("E0603", m));
        }
        let options = ReferenceOptions { limits, live_bytes: None, ..*self.options };
        let done = Run::new(body, plan, self.constants, &options).finish(inputs);
        done.map(|(outputs, report)| (outputs, report.peak_live_bytes)).map_err(|d| {
            let at = d.node.as_ref().map(|n| format!(", at node `{n}` of its body")).unwrap_or_default();
            OpError { code: d.code, message: format!("{}{at}", d.message), hint: d.hint }
        })
    }
}

/// Types of values, such as `f32[2], _`.
fn types(values: &[Option<Value>]) -> String {
    let one = |v: &Option<Value>| v.as_ref().map_or_else(|| "_".to_owned(), |v| v.ty().to_string());
    values.iter().map(one).collect::<Vec<_>>().join(", ")
}
