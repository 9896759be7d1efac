//! Sums of products of what weights are multiplied by, over all samples.
use super::factor::Square;
use super::patches::Patches;
use crate::quantize::linear::Linear;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::kernel::gemm::{Matrix, Output, gemm};
use hoist_ir::tensor::{Tensor, TensorError};
use std::collections::BTreeMap;

/// For each operator with weights, the sum of `x x'` over the vectors `x` that its weights are multiplied by, one per group of channels. Operators that read the
/// same vectors share it.
#[derive(Debug, Default)]
pub struct Moments {
    units: Vec<Unit>,
    nodes: BTreeMap<NodeId, usize>,
    left: Vec<NodeId>,
}

#[derive(Debug)]
struct Unit {
    value: ValueId,
    patches: Patches,
    sums: Vec<Square>,
    /// Tensors added so far.
    turn: usize,
}

/// Elements of a vector at most: larger matrices take long to invert.
pub const MOST_SIZE: usize = 4096;

impl Moments {
    /// For those of `nodes` that fit `budget` bytes together, in the order given. What did not fit is [`left`](Self::left), for another run over the samples.
    pub fn new(g: &Graph, nodes: &[NodeId], budget: usize) -> Self {
        let (mut found, mut used) = (Self::default(), 0usize);
        for n in nodes {
            let Ok(linear) = Linear::of(g, *n) else { continue };
            let (Ok(patches), Some(value)) = (Patches::of(g, &linear), linear.data(g)) else { continue };
            let same = |u: &Unit| u.value == value && u.patches == patches;
            if let Some(at) = found.units.iter().position(same) {
                found.nodes.insert(*n, at);
                continue;
            }
            let size = patches.size;
            let bytes = size.checked_mul(size).and_then(|s| s.checked_mul(patches.groups)?.checked_mul(8));
            let Some(bytes) = bytes.filter(|b| size <= MOST_SIZE && *b <= budget) else { continue };
            if used + bytes > budget {
                found.left.push(*n);
                continue;
            }
            used += bytes;
            found.nodes.insert(*n, found.units.len());
            let zero = Square { size, data: vec![0.0; size * size] };
            found.units.push(Unit { value, sums: vec![zero; patches.groups], patches, turn: 0 });
        }
        found
    }
    /// Values that are to be [added](Self::add).
    pub fn values(&self) -> Vec<ValueId> {
        let mut all: Vec<ValueId> = self.units.iter().map(|u| u.value).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
    /// Nodes that would fit another run.
    pub fn left(&self) -> &[NodeId] {
        &self.left
    }
    /// Adds what one sample showed of `v`.
    ///
    /// # Errors
    /// When the tensor does not fit what reads `v`.
    pub fn add(&mut self, v: ValueId, t: &Tensor) -> Result<(), TensorError> {
        for unit in self.units.iter_mut().filter(|u| u.value == v) {
            for (sum, rows) in unit.sums.iter_mut().zip(unit.patches.rows(t, unit.turn)?) {
                if !rows.iter().all(|v| v.is_finite()) {
                    continue;
                }
                let wrong = |e: hoist_ir::kernel::KernelError| TensorError::Shape(e.to_string());
                let x = Matrix::row_major(&rows, rows.len() / sum.size.max(1), sum.size).map_err(wrong)?;
                gemm(1.0, x.transposed(), x, Output::Accumulate, &mut sum.data).map_err(wrong)?;
            }
            unit.turn += 1;
        }
        Ok(())
    }
    /// The sums for `n`, one per group.
    pub fn of(&self, n: NodeId) -> Option<&[Square]> {
        let unit = self.units.get(*self.nodes.get(&n)?)?;
        (unit.turn > 0).then_some(unit.sums.as_slice())
    }
}
