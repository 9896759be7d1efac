//! Weights rounded by what they multiply, and biases that make up for what rounding shifts.
use crate::calibration::Batches;
use crate::gate;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::eval::Value;
use hoist_ir::graph::{NodeId, ValueId};
use hoist_ir::model::{Executor as _, Model};
use hoist_passes::Ctx;
use hoist_passes::quantize::correct_bias::{correct_bias, give_bias};
use hoist_passes::quantize::equalize::Stats;
use hoist_passes::quantize::linear::Linear;
use hoist_passes::quantize::placement::Placement;
use hoist_passes::quantize::quantize_weights::stored;
use hoist_passes::quantize::round_weights::{Moments, round_weights};
use hoist_passes::quantize::spec::Quantization;
use hoist_passes::quantize::weights::per_channel;
use std::collections::BTreeSet;

/// Bytes of sums that one run over the samples may take.
const BUDGET: usize = 256 << 20;
/// Most runs over the samples.
const RUNS: usize = 16;

/// Rounds the weights that will be stored by what the samples multiply them with; what is found goes into `q.given`. Returns their number.
///
/// # Errors
/// When the data cannot be read or the model cannot be run on them.
pub fn round(model: &Model, cx: &Ctx, q: &mut Quantization, batches: &mut Batches) -> Result<usize, Diags> {
    let g = &model.graph;
    let all = stored(g, cx, q);
    let mut open: Vec<NodeId> = all.values().map(|(n, _)| *n).collect();
    let executor = gate::executor(model)?;
    for _ in 0..RUNS {
        if open.is_empty() {
            break;
        }
        let mut moments = Moments::new(g, &open, BUDGET);
        let wanted: BTreeSet<ValueId> = moments.values().into_iter().collect();
        let mut failed = None;
        batches.restart();
        for batch in batches.by_ref() {
            let inputs = batch?;
            let mut add = |v: ValueId, value: &Value| {
                if let (true, Value::Tensor(t)) = (wanted.contains(&v), value) {
                    failed = moments.add(v, t).err().or(failed.take());
                }
            };
            for (v, value) in g.inputs().iter().zip(&inputs) {
                add(*v, value);
            }
            executor.observe(inputs, &mut add)?;
            if let Some(e) = failed {
                return Err(Diag::error("E0603", e.to_string()).into());
            }
        }
        for (v, (n, nearest)) in &all {
            let linear = Linear::of(g, *n).ok().filter(|l| l.weights(g) == Some(*v) && open.contains(n));
            let rounded = linear.and_then(|l| round_weights(g, &l, nearest, &moments).ok());
            q.given.extend(rounded.map(|r| (*v, r)));
        }
        open = moments.left().to_vec();
    }
    Ok(q.given.len())
}

/// Gives operators that will be quantized a bias where they have none, before ranges are found: values keep their ranges then.
///
/// # Errors
/// When the graph is broken.
pub fn give_biases(model: &mut Model, cx: &Ctx, q: &Quantization) -> Result<(), Diag> {
    let placement = Placement::new(&model.graph, cx, q, false);
    for (n, _) in placement.nodes.iter().filter(|(_, k)| k.weights.is_some()) {
        give_bias(&mut model.graph, *n)?;
    }
    Ok(())
}

/// Moves biases by what rounding of weights to `q` shifts sums on average. Returns the number of operators.
///
/// # Errors
/// When constants cannot be read.
pub fn correct(model: &mut Model, cx: &Ctx, q: &Quantization, stats: Stats<'_>) -> Result<usize, Diag> {
    let placement = Placement::new(&model.graph, cx, q, true);
    let graph = model.graph.clone();
    let quantized = |n: NodeId| {
        let weighted = placement.nodes.get(&n)?.weights?;
        // A new bias would replace the result, whose range is known.
        let place = Linear::of(&graph, n).ok()?.bias_slot;
        place.is_none_or(|slot| graph.node(n).input(slot).is_some()).then_some(())?;
        let w = graph.constant(graph.node(n).input(weighted.slot)?)?;
        per_channel(w, weighted.axis.filter(|_| q.per_channel), q.weights, &[]).ok()
    };
    Ok(correct_bias(&mut model.graph, cx, stats, &quantized)?.len())
}
