//! `quantize-static`
//!
//! ```text
//! %y = conv(%x, %w, %b)   ->   %q = quantize_linear(%x, 0.1, -128)
//!                              %d = dequantize_linear(%q, 0.1, -128)
//!                              %v = dequantize_linear(<i8 weights>, <scales>)
//!                              %c = dequantize_linear(<i32 bias>, <scales>)
//!                              %a = conv(%d, %v, %c)
//!                              %r = quantize_linear(%a, 0.2, 0)
//!                              %y = dequantize_linear(%r, 0.2, 0)
//! ```
//! - Only where quantization by known ranges is asked for, and in the main graph. A value without a range stays in floats, and so does what reads it.
//! - The target has an integer kernel for the node, and conversions around it cost less than it gains: see [`super::placement`].
//! - Weights have one scale per output channel, or one; scales are enlarged where the bias would not fit 32 bits.
//! - Values that kernels want in one scale share the union of their ranges.
//! - The result of a node goes unquantized to `relu` and `clip`: saturation replaces them where the range says the same.
use super::placement::{Placement, shared};
use super::rules::{Kernel, Scales, Weighted, added};
use super::spec::{Mode, Params, Quantization};
use super::weights::{Quantized, per_channel};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Pass, PassInfo};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, Origin, Use, ValueId};
use hoist_ir::ops::quant::dequantize_linear::DequantizeLinear;
use hoist_ir::ops::quant::quantize_linear::QuantizeLinear;
use hoist_ir::tensor::{Tensor, TensorError};
use std::collections::{BTreeMap, HashMap};

/// The pass.
pub struct QuantizeStatic;

const INFO: PassInfo = PassInfo {
    name: "quantize-static",
    doc: "Quantizes activations of known ranges and weights where the target computes on integers.",
};

impl Pass for QuantizeStatic {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn enters_bodies(&self) -> bool {
        false
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let Some(q) = cx.quantization.clone().filter(|q| q.mode == Mode::Static) else {
            return Ok(Changed::default());
        };
        let placement = Placement::new(g, cx, &q, true);
        let params = parameters(g, &placement, &q);
        let mut insertion = Insertion {
            q: &q,
            placement: &placement,
            params,
            real: HashMap::new(),
            made: HashMap::new(),
            constants: HashMap::new(),
            weights: HashMap::new(),
        };
        let mut changed = Changed::default();
        let order = g.order_list();
        for (i, n) in order.iter().enumerate() {
            if let Some(kernel) = placement.nodes.get(n) {
                insertion.node(g, *n, kernel, order.get(i + 1).copied())?;
                changed.add();
            }
        }
        Ok(changed)
    }
}

/// Scale and zero point of each group of values.
fn parameters(g: &Graph, placement: &Placement, q: &Quantization) -> BTreeMap<ValueId, Params> {
    let ranges = shared(g, placement, q);
    let grid = q.activations;
    let mut all: BTreeMap<ValueId, Params> = ranges.iter().map(|(v, i)| (*v, grid.params(*i))).collect();
    for (n, kernel) in &placement.nodes {
        let Scales::Fixed(fixed) = kernel.scales else { continue };
        for group in g.node(*n).outputs().iter().filter_map(|v| placement.groups.get(v)) {
            // What shares the scale must fit in it.
            let covered = grid.covered(fixed);
            if ranges.get(group).is_none_or(|r| r.low >= covered.low && r.high <= covered.high + fixed.scale)
            {
                all.insert(*group, fixed);
            }
        }
    }
    all
}

/// Dequantized weights and their scales.
type Stored = (ValueId, Tensor);

/// Inserts conversions.
struct Insertion<'a> {
    q: &'a Quantization,
    placement: &'a Placement,
    params: BTreeMap<ValueId, Params>,
    /// For each value of floats that was quantized, the one that was dequantized again.
    real: HashMap<ValueId, ValueId>,
    /// The other way round.
    made: HashMap<ValueId, ValueId>,
    /// Scales and zero points, by the bits of the scale and the zero point.
    constants: HashMap<(u32, i32), (ValueId, ValueId)>,
    /// Dequantized weights by constant and axis.
    weights: HashMap<(ValueId, Option<usize>), Stored>,
}

fn refused(e: &TensorError) -> Diag {
    Diag::error("E0403", e.to_string())
}

impl Insertion<'_> {
    fn node(&mut self, g: &mut Graph, n: NodeId, kernel: &Kernel, next: Option<NodeId>) -> Result<(), Diag> {
        if kernel.scales != Scales::Bound {
            for slot in &kernel.data {
                let Some(v) = g.node(n).input(*slot) else { continue };
                let real = self.operand(g, n, v)?;
                g.set_operand(n, *slot, Some(real))?;
            }
        }
        if let Some(w) = kernel.weights {
            let scale = self.scale_of(g.node(n).input(0));
            self.weights(g, n, w, scale)?;
        }
        for y in g.node(n).outputs().to_vec() {
            if self.placement.groups.contains_key(&y) {
                self.result(g, n, y, next)?;
            }
        }
        Ok(())
    }
    fn scale_of(&self, real: Option<ValueId>) -> Option<f32> {
        let old = self.made.get(&real?)?;
        self.params.get(self.placement.groups.get(old)?).map(|p| p.scale)
    }
    /// `v` dequantized, for node `n`.
    fn operand(&mut self, g: &mut Graph, n: NodeId, v: ValueId) -> Result<ValueId, Diag> {
        if self.made.contains_key(&v) {
            return Ok(v);
        }
        if let Some(real) = self.real.get(&v) {
            return Ok(*real);
        }
        let Some(params) = self.placement.groups.get(&v).and_then(|group| self.params.get(group)).copied()
        else {
            return Err(Diag::error("E0401", "a value to be quantized has no range"));
        };
        let origin = g.node(n).origin.clone();
        let mut b = Builder::before(g, n, origin);
        let real = self.convert(&mut b, v, params)?;
        self.real.insert(v, real);
        self.made.insert(real, v);
        Ok(real)
    }
    /// Result `y` of `n`, quantized and dequantized for all that reads it.
    fn result(&mut self, g: &mut Graph, n: NodeId, y: ValueId, next: Option<NodeId>) -> Result<(), Diag> {
        let Some(params) = self.placement.groups.get(&y).and_then(|group| self.params.get(group)).copied()
        else {
            return Ok(());
        };
        let uses = g.value(y).uses().to_vec();
        let origin = g.node(n).origin.clone();
        let mut b = match next {
            Some(next) => Builder::before(g, next, origin),
            None => Builder::at_end(g, origin),
        };
        let real = self.convert(&mut b, y, params)?;
        for u in uses {
            match u {
                Use::Node { node, slot } => g.set_operand(node, slot as usize, Some(real))?,
                Use::Output(i) => g.set_output(i as usize, real)?,
            }
        }
        self.real.insert(y, real);
        self.made.insert(real, y);
        Ok(())
    }
    /// Scale and zero point as constants, which all conversions with the same ones share.
    fn constants(&mut self, b: &mut Builder<'_>, p: Params) -> Result<(ValueId, ValueId), Diag> {
        let key = (p.scale.to_bits(), p.zero_point);
        if let Some(found) = self.constants.get(&key) {
            return Ok(*found);
        }
        let zero = if planted(INFO.name) { p.zero_point + 1 } else { p.zero_point };
        let zero = Tensor::scalar(zero).cast(self.q.activations.dtype, false).map_err(|e| refused(&e))?;
        let made = (b.scalar(p.scale), b.constant(zero));
        self.constants.insert(key, made);
        Ok(made)
    }
    fn convert(&mut self, b: &mut Builder<'_>, v: ValueId, p: Params) -> Result<ValueId, Diag> {
        let dtype = self.q.activations.dtype;
        let (scale, zero) = self.constants(b, p)?;
        let stored = match b.graph().constant(v) {
            Some(t) => {
                let t = crate::quantize::weights::on_grid(t, p, dtype).map_err(|e| refused(&e))?;
                b.constant(t)
            }
            None => b.add(QuantizeLinear::default(), &[Some(v), Some(scale), Some(zero)])?[0],
        };
        Ok(b.add(DequantizeLinear::default(), &[Some(stored), Some(scale), Some(zero)])?[0])
    }
    /// Stores weights and bias of `n` as integers.
    fn weights(
        &mut self,
        g: &mut Graph,
        n: NodeId,
        weighted: Weighted,
        data: Option<f32>,
    ) -> Result<(), Diag> {
        let Weighted { slot, axis, bias, explicit_zeros } = weighted;
        let Some(w) = g.node(n).input(slot) else { return Ok(()) };
        let place = self.bias(g, n, bias).filter(|p| *p != (n, slot));
        let added = place.and_then(|(node, slot)| g.node(node).input(slot));
        let added = added.and_then(|b| Some((b, g.constant(b)?.clone())));
        let axis = axis.filter(|_| self.q.per_channel);
        // Other biases may need other scales.
        let found = self.weights.get(&(w, axis)).filter(|_| added.is_none()).cloned();
        let (real, scales) = if let Some(found) = found {
            found
        } else {
            let Some(t) = g.constant(w).cloned() else { return Ok(()) };
            let least = least(added.as_ref().map(|a| &a.1), data, self.q.activations.dtype)?;
            let quantized = match self.q.given.get(&w) {
                Some(given) => given.clone(),
                None => per_channel(&t, axis, self.q.weights, &least).map_err(|e| refused(&e))?,
            };
            let quantized =
                if explicit_zeros { quantized.with_zeros().map_err(|e| refused(&e))? } else { quantized };
            let real = dequantized(g, n, &quantized, Some(w))?;
            self.weights.insert((w, axis), (real, quantized.scales.clone()));
            (real, quantized.scales)
        };
        g.set_operand(n, slot, Some(real))?;
        let bytes = matches!(self.q.activations.dtype, DType::I8 | DType::U8);
        if let (Some((node, slot)), Some((b, t)), Some(data), true) = (place, added, data, bytes) {
            let scales: Vec<f32> =
                scales.to_f32s().map_err(|e| refused(&e))?.iter().map(|s| s * data).collect();
            let each =
                |i: usize| f64::from(scales[if scales.len() == 1 { 0 } else { i.min(scales.len() - 1) }]);
            let steps = t.to_f64s().map_err(|e| refused(&e))?;
            let steps =
                steps.iter().enumerate().map(|(i, v)| (v / each(i)).round_ties_even() as i32).collect();
            let shape: &[usize] = if scales.len() == 1 { &[] } else { &[scales.len()] };
            let stored = Quantized {
                data: Tensor::from_vec::<i32>(t.shape(), steps),
                scales: Tensor::from_vec(shape, scales),
                zero_points: None,
                axis: t.rank().saturating_sub(1),
                block: 0,
            };
            let real = dequantized(g, n, &stored, Some(b))?;
            g.set_operand(node, slot, Some(real))?;
            g.drop_unused_const(b);
        }
        g.drop_unused_const(w);
        Ok(())
    }
    /// The node and its operand that hold the bias of `n`: itself, or an addition that is part of its kernel.
    fn bias(&self, g: &Graph, n: NodeId, slot: usize) -> Option<(NodeId, usize)> {
        if g.node(n).input(slot).is_some() {
            return Some((n, slot));
        }
        let part = |n: NodeId| self.placement.nodes.get(&n).is_some_and(|k| k.scales == Scales::Bound);
        added(g, n).filter(|(add, _)| part(*add))
    }
}

/// Largest magnitude of a bias in steps: half of what 32 bits hold, so that sums fit too.
const MOST_STEPS: f64 = (1u32 << 30) as f64;

/// The least scale of each slice of weights with which the bias fits 32 bits.
fn least(bias: Option<&Tensor>, data: Option<f32>, dtype: DType) -> Result<Vec<f32>, Diag> {
    let (Some(bias), Some(data)) = (bias, data.filter(|_| dtype.is_int())) else { return Ok(vec![]) };
    let values = bias.to_f64s().map_err(|e| refused(&e))?;
    Ok(values.iter().map(|b| (b.abs() / (f64::from(data) * MOST_STEPS)) as f32).collect())
}

/// A constant of stored integers and its `dequantize_linear` before `n`; it takes the name of `old`.
fn dequantized(g: &mut Graph, n: NodeId, stored: &Quantized, old: Option<ValueId>) -> Result<ValueId, Diag> {
    let name = old.filter(|o| g.single_user(*o).is_some()).and_then(|o| g.value(o).name.clone());
    if let Some(old) = old.filter(|_| name.is_some()) {
        g.set_name(old, None);
    }
    let mut b = Builder::before(g, n, Origin::default());
    let data = b.constant(stored.data.clone());
    let scales = b.constant(stored.scales.clone());
    let zeros = stored.zero_points.clone().map(|z| b.constant(z));
    let op =
        DequantizeLinear { axis: stored.axis as i64, block_size: stored.block as i64, output_dtype: None };
    let real = b.add(op, &[Some(data), Some(scales), zeros])?[0];
    g.set_name(data, name);
    Ok(real)
}
