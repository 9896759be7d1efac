//! A model: the main graph and what formats carry beside it.
use crate::eval::Value;
use crate::graph::{Graph, ValueId};
use bytes::Bytes;
use std::sync::Arc;

/// A model-local function, kept in the form its format stores it. Calls are `custom` nodes of its domain and name, which carry
/// what they compute as a body.
#[derive(Clone, Debug, PartialEq)]
pub struct Function {
    /// Domain of the calls.
    pub domain: Arc<str>,
    /// Operator name of the calls.
    pub name: Arc<str>,
    /// Encoded definition, in the format named by [`Model::source`].
    pub encoded: Bytes,
}

/// Inputs that the source file carries, with the outputs it promises for them where it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// One value per graph input.
    pub inputs: Vec<Value>,
}

/// A whole model.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The main graph.
    pub graph: Graph,
    /// Format it was read from, such as `onnx`; empty when built in memory.
    pub source: Arc<str>,
    /// Tool that wrote the source.
    pub producer: Arc<str>,
    /// Version of that tool.
    pub producer_version: Arc<str>,
    /// Domain of the model, as ONNX records it.
    pub domain: Arc<str>,
    /// Version of the model, as ONNX records it.
    pub version: i64,
    /// Free text.
    pub doc: String,
    /// Key-value pairs, in file order.
    pub props: Vec<(String, String)>,
    /// Operator sets of the source: domain (empty for ONNX's own) and version.
    pub opsets: Vec<(Arc<str>, i64)>,
    /// What belongs to no node or value, as encoded messages by kind, as the format's crate names them.
    pub opaque: Vec<(String, Bytes)>,
    /// Model-local functions.
    pub functions: Vec<Function>,
    /// Sample inputs, for checking.
    pub samples: Vec<Sample>,
    /// Warnings found while reading, such as a declared shape that is wrong.
    pub warnings: Vec<crate::diag::Diag>,
}

impl Model {
    /// Removes the functions, and the operator sets they make up, when nothing calls any of them.
    pub fn drop_uncalled_functions(&mut self) {
        fn calls(g: &Graph, functions: &[Function]) -> bool {
            g.order().any(|n| {
                let node = g.node(n);
                let called = |c: &crate::ops::Custom| {
                    functions.iter().any(|f| *f.domain == *c.domain && *f.name == *c.name)
                };
                matches!(node.op(), crate::ops::Op::Custom(c) if called(c))
                    || node.bodies().iter().any(|b| calls(b, functions))
            })
        }
        if !calls(&self.graph, &self.functions) {
            for f in self.functions.drain(..) {
                self.opsets.retain(|(d, _)| d.is_empty() || *d != f.domain);
            }
        }
    }
    /// Version of operator set `domain` in the source.
    pub fn opset(&self, domain: &str) -> Option<i64> {
        self.opsets.iter().find(|(d, _)| **d == *domain).map(|(_, v)| *v)
    }
}

/// Runs a whole model. Passes that must run one (calibration) and the checks of the command line take it.
pub trait Executor: Send + Sync {
    /// Name shown to the user.
    fn name(&self) -> &'static str;
    /// Outputs for these inputs, both in interface order.
    ///
    /// # Errors
    /// When an input does not fit or an operator cannot be computed.
    fn run(&self, inputs: Vec<Value>) -> Result<Vec<Value>, crate::diag::Diag>;
    /// As [`run`](Self::run); `seen` is shown each result of each node of the main graph, where the executor knows them.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    fn observe(
        &self,
        inputs: Vec<Value>,
        _seen: &mut dyn FnMut(ValueId, &Value),
    ) -> Result<Vec<Value>, crate::diag::Diag> {
        self.run(inputs)
    }
}
