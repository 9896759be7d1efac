//! How much each layer loses when it is quantized.
//!
//! A layer is a node that is quantized and computes: nodes that only move or bound numbers are none. For each there are two figures on the same samples, both
//! signal-to-noise ratios against the float model:
//!
//! - that of its own result, with everything before it in floats: what rounding of its operands and weights does to it;
//! - that of the model's outputs (the worst of them) when nothing but this layer is quantized, with the bound behind it. Where the layer is not quantized alone, everything but this layer is quantized instead: then it is the ratio for the power of the error that is gone without the layer, as if errors of layers were
//!   added up. It is infinite where none is gone.
//!
//! Layers are listed worst first, by the latter.
//!
//! Results of the float model are kept for as many layers at a time as fit in [`KEPT`]; the quantized models are built one after the other.
use crate::error_report::border::MOVERS;
use crate::gate;
use crate::stats::op_name;
use hoist_ir::diag::Diags;
use hoist_ir::eval::Value;
use hoist_ir::graph::{Graph, NodeId, Use, ValueId};
use hoist_ir::model::{Executor as _, Model};
use hoist_ir::tensor::Tensor;
use hoist_runtime::error::{ErrorReport, Sums};
use std::collections::{BTreeMap, BTreeSet};

/// Builds the model in which everything is quantized but the nodes with these labels; where the second argument says so, also nodes around which conversions cost more than
/// they gain.
pub type Build<'a> = &'a dyn Fn(&[String], bool) -> Result<Model, Diags>;

/// Most bytes of results of the float model that are kept at a time, if they are of more than one layer.
pub const KEPT: usize = 64 << 20;

/// Operators beside [`MOVERS`] that make no number: their results are elements of their operands, or bounds.
const NO_LAYERS: &[&str] = &[
    "pad",
    "relu",
    "clip",
    "depth_to_space",
    "space_to_depth",
    "quantize_linear",
    "dequantize_linear",
    "cast",
];

/// Whether nodes of operator `name` make no number.
fn is_no_layer(name: &str) -> bool {
    MOVERS.contains(&name) || NO_LAYERS.contains(&name)
}

/// How the error at the outputs was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measured {
    /// Only this layer is quantized.
    Alone,
    /// Everything but this layer is.
    Without,
}

/// What a layer loses.
#[derive(Clone, PartialEq, Debug)]
pub struct LayerError {
    /// Label of the node.
    pub name: String,
    /// Its operator.
    pub op: String,
    /// Signal-to-noise ratio of its own result in dB; none where it has no counterpart in the quantized model, or none of the same shape.
    pub own_db: Option<f64>,
    /// That of the model's outputs with the error of this layer.
    pub output_db: f64,
    /// What is quantized there.
    pub measured: Measured,
}

/// What all layers lose.
#[derive(Clone, PartialEq, Debug)]
pub struct Analysis {
    /// Layers, worst first.
    pub layers: Vec<LayerError>,
    /// Signal-to-noise ratio of the model's outputs when everything is quantized, in dB.
    pub all_db: f64,
    /// Runs of each model.
    pub runs: usize,
}

/// Nodes of `float` that `quantized` computes on quantized numbers, by label and in order; each with whether it is a layer.
pub fn quantized_nodes(float: &Graph, quantized: &Graph) -> Vec<(NodeId, String, bool)> {
    let after = Labels::new(quantized);
    let float_nodes = float.order().map(|n| (n, float.node_label(n)));
    let changed = float_nodes.filter(|(n, label)| after.is_quantized(float, *n, label));
    changed.map(|(n, label)| (n, label, !is_no_layer(float.node(n).op().name()))).collect()
}

/// Nodes by label.
struct Labels<'a> {
    graph: &'a Graph,
    nodes: BTreeMap<String, Vec<NodeId>>,
    results: BTreeMap<&'a str, ValueId>,
}

impl<'a> Labels<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut nodes: BTreeMap<String, Vec<NodeId>> = BTreeMap::new();
        let mut results = BTreeMap::new();
        for n in graph.order() {
            nodes.entry(graph.node_label(n)).or_default().push(n);
            for v in graph.node(n).outputs() {
                results.extend(graph.value(*v).name.as_deref().map(|name| (name, *v)));
            }
        }
        Self { graph, nodes, results }
    }
    /// Whether node `n` of `float` computes on quantized numbers here.
    fn is_quantized(&self, float: &Graph, n: NodeId, label: &str) -> bool {
        let op = float.node(n).op().name();
        let Some(here) = self.nodes.get(label) else {
            // Constants of other nodes may have been computed, and names be lost.
            let named = float.node(n).outputs().iter().find_map(|v| float.value(*v).name.as_deref());
            let producer =
                named.and_then(|name| self.results.get(name)).and_then(|v| self.graph.producer(*v));
            return producer.is_some_and(|p| self.graph.node(p).op().name() != op);
        };
        let had = is_on_integers(float, n);
        here.iter().any(|m| self.graph.node(*m).op().name() != op || !had && is_on_integers(self.graph, *m))
    }
    /// The value that stands for result `v` of node `n` of `float`.
    fn result(&self, float: &Graph, n: NodeId, v: ValueId) -> Option<ValueId> {
        let named = float.value(v).name.as_deref().and_then(|name| self.results.get(name)).copied();
        let of_label = || {
            let last = self.nodes.get(&float.node_label(n))?.last()?;
            self.graph.node(*last).outputs().first().copied()
        };
        named.or_else(of_label)
    }
}

/// Whether `n` stands between conversions as a node that runtimes compute on integers: its weights are stored as such, or all its operands and results are.
fn is_on_integers(g: &Graph, n: NodeId) -> bool {
    let dequantized = |v: &ValueId| g.producer(*v).filter(|p| g.node(*p).op().name() == "dequantize_linear");
    let stored = |p: NodeId| g.node(p).input(0).is_some_and(|v| g.constant(v).is_some());
    let operands = || g.node(n).inputs().iter().flatten();
    if operands().filter_map(dequantized).any(stored) {
        return true;
    }
    let real =
        |v: &&ValueId| g.constant(**v).is_none() && g.ty(**v).as_tensor().is_some_and(|t| t.dtype.is_float());
    let mut data = operands().filter(real).peekable();
    let results = g.node(n).outputs();
    data.peek().is_some()
        && data.all(|v| dequantized(v).is_some())
        && results.iter().all(|v| is_rounded(g, *v))
}

/// Whether all that reads `v` quantizes it, at once or after a bound.
fn is_rounded(g: &Graph, v: ValueId) -> bool {
    let rounds = |u: &Use| {
        let Use::Node { node, .. } = *u else { return false };
        let reader = g.node(node);
        match reader.op().name() {
            "quantize_linear" => true,
            "relu" | "clip" => reader.outputs().iter().flat_map(|v| g.value(*v).uses()).all(
                |u| matches!(u, Use::Node { node, .. } if g.node(*node).op().name() == "quantize_linear"),
            ),
            _ => false,
        }
    };
    g.value(v).uses().iter().all(rounds)
}

/// Finds out what each layer of `float` loses when it is quantized, on `batches`. `told` is called with the number of layers done and of all.
///
/// # Errors
/// Those of `build`, and what the reference executor says of any of the models.
pub fn analyze(
    float: &Model,
    build: Build<'_>,
    batches: &[Vec<Value>],
    told: &mut dyn FnMut(usize, usize),
) -> Result<Analysis, Diags> {
    let everything = build(&[], false)?;
    let nodes = quantized_nodes(&float.graph, &everything.graph);
    let (sizes, want) = first_run(float, batches)?;
    let study = Study { float, build, batches, want };
    let all_db = study.ratio(&everything, &mut |_, _| {})?;
    drop(everything);
    let layers: Vec<&(NodeId, String, bool)> = nodes.iter().filter(|n| n.2).collect();
    let mut found = Vec::with_capacity(layers.len());
    for group in groups(&layers, |n| result_of(&float.graph, n.0).and_then(|v| sizes.get(&v)).copied()) {
        let results = study.results(group)?;
        for layer in group {
            found.push(study.layer(layer, &results, all_db)?);
            told(found.len(), layers.len());
        }
    }
    found.sort_by(|a, b| a.output_db.total_cmp(&b.output_db));
    Ok(Analysis { layers: found, all_db, runs: batches.len() })
}

/// Ratio for the power that errors have more when the ratio is `all` than when it is `without`.
fn gone(all: f64, without: f64) -> f64 {
    let power = |db: f64| 10f64.powf(-db / 10.0);
    let more = power(all) - power(without);
    // Both powers may be infinite.
    if more > 0.0 { -10.0 * more.log10() } else { f64::INFINITY }
}

/// Neighbours together as long as what they take fits in [`KEPT`].
fn groups<T>(all: &[T], size: impl Fn(&T) -> Option<usize>) -> Vec<&[T]> {
    let (mut groups, mut start, mut sum) = (vec![], 0, 0usize);
    for (i, one) in all.iter().enumerate() {
        let bytes = size(one).unwrap_or(0);
        if i > start && sum.saturating_add(bytes) > KEPT {
            groups.push(&all[start..i]);
            (start, sum) = (i, 0);
        }
        sum = sum.saturating_add(bytes);
    }
    groups.extend((start < all.len()).then(|| &all[start..]));
    groups
}

/// The result by which a node is judged.
fn result_of(g: &Graph, n: NodeId) -> Option<ValueId> {
    g.node(n).outputs().first().copied()
}

/// Bytes of the results of all runs, by value.
type Bytes = BTreeMap<ValueId, usize>;

/// Those of `float`, and the outputs of each run.
fn first_run(float: &Model, batches: &[Vec<Value>]) -> Result<(Bytes, Vec<Vec<Value>>), Diags> {
    let executor = gate::executor(float)?;
    let mut sizes = Bytes::new();
    let mut outputs = Vec::with_capacity(batches.len());
    for inputs in batches {
        let mut seen = |v: ValueId, value: &Value| {
            let sum = sizes.entry(v).or_insert(0);
            *sum = sum.saturating_add(value.byte_len());
        };
        outputs.push(executor.observe(inputs.clone(), &mut seen)?);
    }
    Ok((sizes, outputs))
}

/// Results of layers of the float model, one per run.
type Results = BTreeMap<NodeId, Vec<Tensor>>;

/// What every layer is looked at with.
struct Study<'a> {
    float: &'a Model,
    build: Build<'a>,
    batches: &'a [Vec<Value>],
    /// Outputs of the float model.
    want: Vec<Vec<Value>>,
}

impl Study<'_> {
    /// Runs the float model again and keeps the results of `layers`.
    fn results(&self, layers: &[&(NodeId, String, bool)]) -> Result<Results, Diags> {
        let g = &self.float.graph;
        let wanted: BTreeMap<ValueId, NodeId> =
            layers.iter().filter_map(|l| Some((result_of(g, l.0)?, l.0))).collect();
        let executor = gate::executor(self.float)?;
        let mut results = Results::new();
        for inputs in self.batches {
            let mut seen = |v: ValueId, value: &Value| {
                if let (Some(n), Value::Tensor(t)) = (wanted.get(&v), value) {
                    results.entry(*n).or_default().push(t.clone());
                }
            };
            executor.observe(inputs.clone(), &mut seen)?;
        }
        Ok(results)
    }
    /// Signal-to-noise ratio of the outputs of `model`; `seen` is shown the run and each result.
    fn ratio(&self, model: &Model, seen: &mut dyn FnMut(usize, (ValueId, &Value))) -> Result<f64, Diags> {
        let executor = gate::executor(model)?;
        let names = self.float.graph.outputs().iter().map(|o| o.name.to_string());
        let mut report = ErrorReport::new(names);
        for (i, (inputs, want)) in self.batches.iter().zip(&self.want).enumerate() {
            let got = executor.observe(inputs.clone(), &mut |v, value| seen(i, (v, value)))?;
            report.add(want, &got);
        }
        Ok(worst(&report))
    }
    /// Labels of all nodes but `n` and the bounds behind it, which its kernel computes.
    fn others(&self, n: NodeId, label: &str) -> Vec<String> {
        let g = &self.float.graph;
        let readers = g.node(n).outputs().iter().filter_map(|v| g.single_user(*v));
        let bounds = readers.filter(|r| matches!(g.node(*r).op().name(), "relu" | "clip"));
        let mut own: BTreeSet<String> = bounds.map(|r| g.node_label(r)).collect();
        own.insert(label.to_owned());
        let all: BTreeSet<String> = g.order().map(|n| g.node_label(n)).collect();
        all.difference(&own).cloned().collect()
    }
    fn layer(
        &self,
        layer: &(NodeId, String, bool),
        results: &Results,
        all_db: f64,
    ) -> Result<LayerError, Diags> {
        let (n, label, _) = layer;
        let g = &self.float.graph;
        let alone = (self.build)(&self.others(*n, label), true)?;
        let labels = Labels::new(&alone.graph);
        let here = result_of(g, *n).and_then(|v| labels.result(g, *n, v));
        let (mut own, mut fits) = (Sums::default(), true);
        let (model, measured) = if labels.is_quantized(g, *n, label) {
            (&alone, Measured::Alone)
        } else {
            (&(self.build)(std::slice::from_ref(label), false)?, Measured::Without)
        };
        let want = results.get(n);
        let found_db = self.ratio(model, &mut |run, (v, value)| {
            if let (true, Some(want)) = (Some(v) == here, want.and_then(|w| w.get(run))) {
                fits &= add(&mut own, want, value);
            }
        })?;
        let alone = measured == Measured::Alone;
        let output_db = if alone { found_db } else { gone(all_db, found_db) };
        let own_db = (alone && fits && own.count > 0).then(|| own.snr_db());
        let op = op_name(g.node(*n).op());
        Ok(LayerError { name: label.clone(), op, own_db, output_db, measured })
    }
}

/// Adds the pairs of a result; whether it has the same shape in both models.
fn add(sums: &mut Sums, want: &Tensor, got: &Value) -> bool {
    let Value::Tensor(got) = got else { return false };
    if want.shape() != got.shape() || !want.dtype().is_float() || !got.dtype().is_float() {
        return false;
    }
    let (Ok(w), Ok(g)) = (want.to_f32s(), got.to_f32s()) else { return false };
    sums.add(&w, &g);
    true
}

/// Least signal-to-noise ratio of an output: of floats where there are any; minus infinity where something cannot be compared.
pub fn worst(report: &ErrorReport) -> f64 {
    if !report.is_sound() {
        return f64::NEG_INFINITY;
    }
    let all = || report.outputs.iter().map(|o| o.sums.snr_db()).fold(f64::INFINITY, f64::min);
    report.worst_snr_db().unwrap_or_else(all)
}

#[cfg(test)]
pub mod tests;
