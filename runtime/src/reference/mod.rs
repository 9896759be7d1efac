//! The reference executor: each operator's own `eval`, run by a plan.
//!
//! A plan holds the nodes in order, how often each value is used, and constants in the form the operators read fastest. A value is
//! freed after its last use; an operator that is the last user of an operand owns it alone and may compute in place. Threads share
//! the work inside an operator, never the order of its additions, so results are the same bits for any number of threads.

mod check;
mod constants;
mod live;
mod plan;
mod run;

use hoist_ir::diag::{Diag, Diags};
use hoist_ir::eval::{Limits, Value};
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::model::{Executor, Model};
use std::time::Duration;

pub use check::check_inputs;

/// Options of [`Reference`].
#[derive(Clone, Copy)]
pub struct ReferenceOptions {
    /// Most bytes of one result.
    pub limits: Limits,
    /// Threads; `None` uses rayon's pool.
    pub threads: Option<usize>,
    /// Most bytes that values alive at one time may take, constants apart. A result that would exceed it is refused with `E0307`.
    pub live_bytes: Option<usize>,
    /// Most bytes spent on copies of constants in the form operators read fastest. Constants beyond it are converted at each use.
    pub constant_bytes: usize,
}

impl Default for ReferenceOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), threads: None, live_bytes: None, constant_bytes: 1 << 30 }
    }
}

/// What a run found out about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Most bytes that values took at one time, constants apart, while a node ran: operands, results and what waits for later use.
    /// What operators allocate for themselves is not counted.
    pub peak_live_bytes: usize,
    /// Bytes of copied constants.
    pub constant_bytes: usize,
    /// Each node of the main graph in order; empty unless asked for.
    pub nodes: Vec<NodeTime>,
}

/// Time of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTime {
    /// Its label.
    pub node: String,
    /// Its operator.
    pub op: &'static str,
    /// Types of its operands and results, such as `(f32[1, 3], i64[2]) -> f32[3]`.
    pub signature: String,
    /// Wall time.
    pub time: Duration,
}

/// Executes a model with the operators' reference evaluation.
pub struct Reference {
    graph: Graph,
    plan: plan::Plan,
    constants: constants::Budget,
    options: ReferenceOptions,
    pool: Option<rayon::ThreadPool>,
}

impl Reference {
    /// Plans the execution of `model`. Constants are shared with it.
    ///
    /// # Errors
    /// `E0301` for operators that cannot be evaluated, all at once, and `E0604` when the threads cannot be started.
    pub fn new(model: &Model, options: ReferenceOptions) -> Result<Self, Diags> {
        let graph = model.graph.clone();
        plan::check_supported(&graph)?;
        let pool = options.threads.map(start_threads).transpose()?;
        let plan = plan::Plan::new(&graph);
        let constants = constants::Budget::new(options.constant_bytes);
        Ok(Self { graph, plan, constants, options, pool })
    }
    /// Outputs for these inputs, both in interface order, with what the run found out; times of nodes when `profile` is set.
    ///
    /// # Errors
    /// `E0603` when an input does not fit; else the first node's error, which names the node.
    pub fn run_with_report(&self, inputs: Vec<Value>, profile: bool) -> Result<(Vec<Value>, Report), Diag> {
        check_inputs(&self.graph, &inputs)?;
        let work = || {
            let mut run = run::Run::new(&self.graph, &self.plan, &self.constants, &self.options);
            run.profile(profile);
            run.finish(inputs)
        };
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
    /// The graph it executes.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
}

fn start_threads(threads: usize) -> Result<rayon::ThreadPool, Diag> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
    pool.map_err(|e| Diag::error("E0604", format!("{threads} threads cannot be started: {e}")))
}

impl Executor for Reference {
    fn name(&self) -> &'static str {
        "reference"
    }
    fn run(&self, inputs: Vec<Value>) -> Result<Vec<Value>, Diag> {
        self.run_with_report(inputs, false).map(|(outputs, _)| outputs)
    }
    /// On the calling thread and rayon's pool, whatever the number of threads asked for.
    fn observe(&self, inputs: Vec<Value>, seen: &mut dyn FnMut(ValueId, &Value)) -> Result<Vec<Value>, Diag> {
        check_inputs(&self.graph, &inputs)?;
        let run = run::Run::new(&self.graph, &self.plan, &self.constants, &self.options);
        run.finish_seen(inputs, seen).map(|(outputs, _)| outputs)
    }
}

#[cfg(test)]
mod tests;
