//! `quantize-weights`
//!
//! ```text
//! %y = conv(%x, %w: f32)       ->  %v = dequantize_linear(<i8 weights>, <scales>)
//!                                  %y = conv(%x, %v)
//! %e = gather(%t: f32, %i)     ->  %p = gather(<i8 table>, %i)
//!                                  %e = dequantize_linear(%p, <scales>)
//! %m = mat_mul(%x, %w: f32)    ->  %m = mat_mul_n_bits(%x, <packed weights>, <scales>)
//! ```
//! - Only where quantization of weights is asked for. Constants of floats that convolutions, matrix products, recurrent operators, projections of attention and tables of rows
//!   read are quantized; each once, whatever reads it. What something else reads too stays.
//! - Weights that are quantized already by the caller are taken as they are.
//! - With 8 bits and 8-bit floats each output channel has a scale; with less, each block of the axis that is summed over has one, where the axis is as long as a small block.
//! - Of what shall have less than 8 bits, these get 8: filters and vectors of few elements per scale, the first and last of the operators with weights where both are a small part
//!   of all, and tables of rows, which ONNX does not gather with less.
//! - Scales cost less than the weights save.
//! - `mat_mul_n_bits` and `gather_block_quantized` for targets that have them. For ONNX Runtime other weights are cast and scaled, which it does once when it loads the model;
//!   it dequantizes in each run.
use super::logarithms::before_logarithms;
use super::sharing::{Sharing, share};
use super::spec::{Grid, Mode, Quantization};
use super::weight_forms::{Found, Stored, put};
use super::weight_packs::pack;
use super::weight_slots::{Role, Weight, constants, ends, uses};
use super::weights::Quantized;
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Pass, PassInfo, Target};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};

/// The pass.
pub struct QuantizeWeights;

const INFO: PassInfo = PassInfo {
    name: "quantize-weights",
    doc: "Stores weights as integers or small floats, with scales, where that is asked for.",
};

impl Pass for QuantizeWeights {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn enters_bodies(&self) -> bool {
        false
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let Some(q) = cx.quantization.clone().filter(|q| q.mode == Mode::Weights) else {
            return Ok(Changed::default());
        };
        let mut changed = Changed::default();
        quantize(g, cx, &q, &mut changed)?;
        Ok(changed)
    }
}

/// How the pass would store the weights of the main graph `g` that it leaves to `dequantize_linear`, each with the first operator that reads it.
pub fn stored(g: &Graph, cx: &Ctx, q: &Quantization) -> BTreeMap<ValueId, (NodeId, Quantized)> {
    let weights = Weights { logarithms: BTreeSet::new(), cx, q };
    let all = constants(g);
    let precise = weights.precise(g, &all);
    let one = |(v, n): (ValueId, NodeId)| match weights.one(g, v, true, &precise) {
        Ok(Found { stored: Stored::Dequantized(stored), .. }) => Some((v, (n, stored))),
        _ => None,
    };
    all.into_iter().filter_map(one).collect()
}

/// What the pass is asked.
struct Weights<'a> {
    /// Nodes that logarithms are taken of.
    logarithms: BTreeSet<NodeId>,
    cx: &'a Ctx,
    q: &'a Quantization,
}

/// Elements that share a scale, at least, where they have less than 8 bits; blocks of fewer positions are none.
const FEW: usize = 16;
/// Bytes of weights that are worth storing as integers where the node stays in floats.
const LARGE: usize = 16 << 10;
/// Positions of a block where no number is asked for.
const BLOCK: usize = 32;
/// The part of all elements of weights that the first and the last operator together are, at most, when they get 8 bits.
const SMALL_PART: f64 = 0.1;
/// Bytes that names and headers of what is added take in a file, about.
const OVERHEAD: usize = 256;

impl Weights<'_> {
    fn graph(&self, g: &mut Graph, main: bool, changed: &mut Changed) -> Result<(), Diag> {
        for n in g.order_list() {
            for i in 0..g.node(n).stored_bodies().len() {
                g.rewrite_body(n, i, |body| {
                    let before = *changed;
                    self.graph(body, false, changed)?;
                    Ok(*changed != before)
                })?;
            }
        }
        let all = constants(g);
        let precise = self.precise(g, &all);
        for (v, first) in all {
            let done = self.one(g, v, main, &precise).and_then(|found| {
                let refused = |d: Diag| d.message;
                put(g, self.cx, v, &found).map_err(refused)
            });
            match done {
                Ok(()) => changed.add(),
                Err(reason) => self.cx.miss(g, first, reason),
            }
        }
        Ok(())
    }
    /// The operators that keep 8 bits where less is asked for.
    fn precise(&self, g: &Graph, all: &[(ValueId, NodeId)]) -> BTreeSet<NodeId> {
        if self.q.weights.dtype.bits() >= 8 {
            return BTreeSet::new();
        }
        let size = |v: ValueId| g.constant(v).map_or(0, Tensor::len) as f64;
        let total: f64 = all.iter().map(|(v, _)| size(*v)).sum();
        let ends = ends(g);
        let own: f64 = all.iter().filter(|(_, n)| ends.contains(n)).map(|(v, _)| size(*v)).sum();
        if own <= total * SMALL_PART { ends } else { BTreeSet::new() }
    }
    /// `v` quantized, and what reads it.
    fn one(&self, g: &Graph, v: ValueId, main: bool, precise: &BTreeSet<NodeId>) -> Result<Found, String> {
        let users = uses(g, v, self.q)?;
        let w = g.constant(v).ok_or("the weights are not constant")?;
        // Rows are gathered before they are dequantized: their scales lie along them.
        let table = users.iter().find(|(_, _, w)| w.role == Role::Table);
        let Some((_, _, first)) = table.or(users.first()).copied() else {
            return Err("nothing reads the weights".into());
        };
        let others = users.iter().any(|(_, _, w)| w.role != Role::Table);
        if self.q.tables_only && others && !(self.q.folded && self.folds(g, w, &users)) {
            return Err("only tables of rows are asked for".into());
        }
        let given = self.q.given.get(&v).filter(|_| main);
        if let Some(given) = given {
            return Ok(Found { stored: Stored::Dequantized(given.clone()), users });
        }
        let (grid, sharing) = self.choose(g, w, (&users, first), precise);
        let scale = w.dtype();
        let real =
            if scale == DType::F32 { w.clone() } else { w.lazy_cast(DType::F32, false).map_err(text)? };
        let packed = pack(g, self.cx, &users, &real, (grid, sharing), scale).map_err(text)?;
        let stored = if let Some(packed) = packed {
            Stored::Packed(packed)
        } else {
            let signed = self.cx.profile.is_some_and(|p| p.name == "onnxruntime");
            Stored::Dequantized(share(&real, sharing, grid, signed, scale).map_err(text)?)
        };
        if stored.byte_len().saturating_add(OVERHEAD) > w.byte_len() && !planted(INFO.name) {
            return Err("scales would take more than quantization saves".into());
        }
        Ok(Found { stored, users })
    }
    /// Whether `w` is large, and what reads it is in floats for no other reason than time.
    fn folds(&self, g: &Graph, w: &Tensor, users: &[(NodeId, usize, Weight)]) -> bool {
        let asked = |n: NodeId| {
            let name = g.node(n).op().name().replace('_', "");
            self.q.float_nodes.contains(&g.node_label(n))
                || self.q.float_ops.iter().any(|op| op.replace('_', "").eq_ignore_ascii_case(&name))
        };
        w.byte_len() >= LARGE && !users.iter().any(|(n, _, _)| asked(*n) || self.logarithms.contains(n))
    }
    /// How `w` is stored.
    fn choose(
        &self,
        g: &Graph,
        w: &Tensor,
        (users, first): (&[(NodeId, usize, Weight)], Weight),
        precise: &BTreeSet<NodeId>,
    ) -> (Grid, Sharing) {
        let mut asked = self.q.weights;
        if matches!(self.cx.target, Some(Target::Tflite(_))) && asked.dtype.is_int() {
            // Kernels take signed weights without zero points.
            let signed = if asked.dtype.bits() < 8 { DType::I4 } else { DType::I8 };
            asked = Grid { dtype: signed, symmetric: true };
        }
        let whole = if self.q.per_channel { Sharing::Axis(first.output) } else { Sharing::All };
        if asked.dtype.bits() >= 8 {
            let blocks = self.q.block.filter(|b| *b > 0).and_then(|b| self.blocks(w, first, b));
            return (asked, blocks.unwrap_or(whole));
        }
        let miss = |reason: &str| self.cx.miss(g, users[0].0, reason);
        let bytes = if asked.dtype.is_signed_int() { DType::I8 } else { DType::U8 };
        let wide = (Grid { dtype: bytes, ..asked }, whole);
        let per_scale = w.len().checked_div(w.shape()[first.output]).unwrap_or(0);
        let packs = self.cx.profile.is_some_and(|p| p.allows("gather_block_quantized")) && w.rank() == 2;
        let (tables, all) = (users.iter().filter(|(_, _, w)| w.role == Role::Table).count(), users.len());
        if tables > 0 && !(packs && tables == all) {
            miss("rows of less than 8 bits are not gathered; the table has 8");
            return wide;
        }
        if per_scale < FEW {
            miss("few elements share a scale; they have 8 bits");
            return wide;
        }
        if users.iter().any(|(n, _, _)| precise.contains(n)) {
            miss("the first and last operators with weights have 8 bits");
            return wide;
        }
        let block = self.q.block.unwrap_or(BLOCK);
        if let Some(blocks) = self.blocks(w, first, block).filter(|_| block > 0) {
            return (asked, blocks);
        }
        miss("the axis that is summed over has no blocks of such a size; each channel has a scale");
        (asked, Sharing::Axis(first.output))
    }
    /// Blocks of about `size` positions. Targets whose blocks all have one size get a divisor of the axis.
    fn blocks(&self, w: &Tensor, first: Weight, size: usize) -> Option<Sharing> {
        let axis = first.reduced;
        let length = w.shape()[axis];
        let tflite = matches!(self.cx.target, Some(Target::Tflite(_)));
        let ragged = self.cx.profile.is_none_or(|p| p.name != "tensorrt");
        if length < FEW || tflite {
            return None;
        }
        if size >= length {
            // One block: the same as a scale per channel where there is no other axis.
            return (w.rank() > 2).then_some(Sharing::Blocks { axis, size: length });
        }
        let fits = |b: &usize| length.is_multiple_of(*b);
        let size = if ragged { size } else { (FEW..=size).rev().find(fits)? };
        Some(Sharing::Blocks { axis, size })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "to be named where a result's error is mapped")]
fn text(e: hoist_ir::tensor::TensorError) -> String {
    e.to_string()
}

/// Quantizes the weights of `g` and its bodies.
///
/// # Errors
/// When a body cannot be edited.
pub(super) fn quantize(g: &mut Graph, cx: &Ctx, q: &Quantization, changed: &mut Changed) -> Result<(), Diag> {
    let logarithms = if q.folded { before_logarithms(g) } else { BTreeSet::new() };
    Weights { logarithms, cx, q }.graph(g, true, changed)
}
