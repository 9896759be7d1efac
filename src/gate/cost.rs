//! What one run of a model may take.
use crate::{render, stats};
use hoist_ir::graph::Graph;
use hoist_ir::types::Type;

/// Most multiply-accumulate operations that one run may take.
pub const MAX_MACS: u64 = 20_000_000_000;
/// Most bytes that values may take at one time.
pub const MAX_LIVE: u64 = 2 << 30;
/// Most bytes of all results of a run together.
const MAX_RESULTS: u64 = 64 << 30;
/// Most bytes of weights, all of which a run reads: beyond them memory and time would follow the model's size.
const MAX_WEIGHTS: u64 = 2 << 30;

/// Whether running `graph` on inputs of these types stays within the limits, as far as the types tell.
///
/// # Errors
/// What it takes too much of.
pub fn affordable(graph: &Graph, inputs: &[Type]) -> Result<(), String> {
    let mut fixed = graph.clone();
    for (v, ty) in graph.inputs().iter().zip(inputs) {
        if let Type::Tensor(_) = ty {
            fixed.set_input_type(*v, ty.clone()).map_err(|d| d.message)?;
        }
    }
    fixed.reinfer().map_err(|d| d.message)?;
    let cost = stats::of(&fixed);
    let too =
        |what: &str, has: String, most: String| Err(format!("one run takes {has} {what}, more than {most}"));
    if cost.macs > MAX_MACS {
        return too("multiply-accumulate operations", render::count(cost.macs), render::count(MAX_MACS));
    }
    for (what, has, most) in [
        ("of weights", cost.parameter_bytes, MAX_WEIGHTS),
        ("of activations", cost.peak_bytes, MAX_LIVE),
        ("of results", cost.result_bytes, MAX_RESULTS),
    ] {
        if has > most {
            return too(what, render::bytes(has), render::bytes(most));
        }
    }
    Ok(())
}
