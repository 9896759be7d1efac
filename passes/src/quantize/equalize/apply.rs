//! Multiplies constants by the factors that were chosen.
use super::labels::Labels;
use super::spread::{Site, Spread};
use crate::quantize::linear::Linear;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::tensor::{Tensor, TensorError};

/// Constants that nodes get instead of what they have: node, operand, tensor.
type Edits = Vec<(NodeId, usize, Tensor)>;

/// Multiplies all constants of `g` by the factors of the classes of labels.
///
/// # Errors
/// When a constant cannot be read or does not fit; the graph is unchanged then.
pub fn apply(g: &mut Graph, spread: &Spread, factors: &[f64]) -> Result<(), Diag> {
    let mut edits: Edits = vec![];
    for (n, site) in &spread.sites {
        changed(g, spread, factors, *n, site, &mut edits)
            .map_err(|e| Diag::error("E0403", format!("`{}` cannot take factors: {e}", g.node_label(*n))))?;
    }
    let mut trial = g.clone();
    for (n, slot, tensor) in edits {
        replace(&mut trial, n, slot, tensor)?;
    }
    *g = trial;
    Ok(())
}

/// The factor of each of the labels of `v`, or one 1.
pub fn factors_of(spread: &Spread, factors: &[f64], v: Option<ValueId>) -> Option<(Labels, Vec<f64>)> {
    let labels = spread.of_value(v?)?;
    let each: Vec<f64> = labels.ids.iter().map(|id| factors[spread.classes.root(*id) as usize]).collect();
    each.iter().any(|f| *f != 1.0).then(|| (labels.clone(), each))
}

/// One factor for each of `count` channels.
pub fn along(spread: &Spread, factors: &[f64], v: Option<ValueId>, count: usize) -> Vec<f64> {
    match factors_of(spread, factors, v) {
        Some((_, each)) if each.len() == count => each,
        Some((_, each)) if each.len() == 1 => vec![each[0]; count],
        _ => vec![1.0; count],
    }
}

fn changed(
    g: &Graph,
    spread: &Spread,
    factors: &[f64],
    n: NodeId,
    site: &Site,
    edits: &mut Edits,
) -> Result<(), TensorError> {
    let node = g.node(n);
    let y = node.outputs().first().copied();
    let constant = |slot: usize| node.input(slot).and_then(|v| g.constant(v));
    match site {
        Site::Linear(linear) => return weights(g, spread, factors, linear, edits),
        Site::Stretched(slots) => {
            let Some((labels, each)) = factors_of(spread, factors, y) else { return Ok(()) };
            for slot in slots {
                if let Some(t) = constant(*slot) {
                    edits.push((n, *slot, stretched(t, &labels, &each)?));
                }
            }
        }
        Site::PerChannel(slots) => {
            let Some((_, each)) = factors_of(spread, factors, y) else { return Ok(()) };
            for slot in slots {
                if let Some(t) = constant(*slot) {
                    edits.push((n, *slot, multiplied(t, &each)?));
                }
            }
        }
    }
    Ok(())
}

fn weights(
    g: &Graph,
    spread: &Spread,
    factors: &[f64],
    linear: &Linear,
    edits: &mut Edits,
) -> Result<(), TensorError> {
    let outputs = along(spread, factors, linear.result(g), linear.outputs);
    let inputs: Vec<f64> =
        along(spread, factors, linear.data(g), linear.inputs).into_iter().map(f64::recip).collect();
    let constant = |slot: usize| g.node(linear.node).input(slot).and_then(|v| g.constant(v));
    if let Some(w) = constant(linear.weight_slot)
        && outputs.iter().chain(&inputs).any(|f| *f != 1.0)
    {
        edits.push((linear.node, linear.weight_slot, linear.scaled(w, &outputs, &inputs)?));
    }
    if let Some(slot) = linear.bias_slot
        && let Some(b) = constant(slot)
        && outputs.iter().any(|f| *f != 1.0)
    {
        edits.push((linear.node, slot, multiplied(b, &outputs)?));
    }
    Ok(())
}

/// Elements of `t`, or the single one, times one factor each.
fn multiplied(t: &Tensor, each: &[f64]) -> Result<Tensor, TensorError> {
    let values = t.to_f64s()?;
    let shape = if values.len() == each.len() { t.shape().to_vec() } else { vec![each.len()] };
    let value = |i: usize| if values.len() == each.len() { values[i] } else { values[0] };
    let product = |(i, f): (usize, &f64)| (value(i) * f) as f32;
    Ok(Tensor::from_vec(&shape, each.iter().enumerate().map(product).collect::<Vec<f32>>()))
}

/// `t` times one factor per label, both stretched to fit.
fn stretched(t: &Tensor, labels: &Labels, each: &[f64]) -> Result<Tensor, TensorError> {
    let rank = labels.shape.len();
    let lead = rank - t.rank().min(rank);
    let size = |a: usize| if a < lead { 1 } else { t.shape()[a - lead] };
    let full: Vec<usize> = (0..rank).map(|a| size(a).max(labels.shape[a])).collect();
    let own: Vec<usize> = (0..rank).map(size).collect();
    let values = t.to_f64s()?;
    let count: usize = full.iter().copied().fold(1, usize::saturating_mul);
    let from = |at: usize, shape: &[usize]| {
        let (mut rest, mut found, mut stride) = (at, 0, 1);
        for (whole, have) in full.iter().zip(shape).rev() {
            found += if *have == 1 { 0 } else { rest % whole * stride };
            rest /= whole;
            stride *= have;
        }
        found
    };
    let product = |at: usize| (values[from(at, &own)] * each[from(at, &labels.shape)]) as f32;
    let data: Vec<f32> = (0..count).map(product).collect();
    // Axes in front that neither has are left out again.
    let drop = (0..lead).take_while(|a| full[*a] == 1).count();
    Ok(Tensor::from_vec(&full[drop..], data))
}

/// Operand `slot` of `n` becomes `tensor`, under the name of what it was.
fn replace(g: &mut Graph, n: NodeId, slot: usize, tensor: Tensor) -> Result<(), Diag> {
    let old = g.node(n).input(slot);
    let name = old.filter(|o| g.single_user(*o).is_some()).and_then(|o| g.value(o).name.clone());
    let new = g.add_const(tensor);
    g.set_operand(n, slot, Some(new))?;
    if let Some(old) = old {
        if name.is_some() {
            g.set_name(old, None);
            g.set_name(new, name);
        }
        g.drop_unused_const(old);
    }
    Ok(())
}
