//! `legalize-tflite-quantize`
//!
//! ```text
//! %y = quantize_linear(%x, %s, %z)   ->   %d = div(%x, %s)
//!                                         %r = round(%d)
//!                                         %a = add(%r, %z)
//!                                         %b = clip(%a, -128, 127)
//!                                         %y = cast(%b) {to=i8}
//! ```
//! - Quantization that tensors cannot carry: computed scales, blocks, 16-bit floats. The quotient is rounded in the type that the
//!   operator says, then to the nearest integer, halves to the even one.
//! - `dynamic_quantize_linear` by the largest and smallest element.
//! - Integers of 8 and 16 bits, with which every step is exact in `f32`; constants of fewer bits are unpacked.
//! - Constants in blocks along their last axis become rows with one scale each.
use super::formula::{Formula, V, dtype, settle};
use crate::fault::planted;
use crate::legalize::rank;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::quant::dequantize_linear::DequantizeLinear;
use hoist_ir::ops::quant::quantize_linear::QuantizeLinear;
use hoist_ir::ops::reduce::reductions::{ReduceMax, ReduceMin};
use hoist_ir::tensor::Tensor;
use hoist_ir::tensor::convert::unpack;

/// The pass.
pub struct LegalizeTfliteQuantize;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-quantize",
    doc: "Composes quantization that tensors cannot carry of arithmetic.",
};

/// Most positions of an axis whose scales lie in blocks.
const MAX_BLOCKED: i64 = 1 << 24;
const OPS: &[&str] = &["dequantize_linear", "dynamic_quantize_linear", "quantize_linear"];

impl Pass for LegalizeTfliteQuantize {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(settle(g, cx, OPS, compose))
    }
}

fn compose(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (op, inputs) = (node.op().clone(), node.inputs().to_vec());
    let result = node.outputs().first().and_then(|y| dtype(g, *y));
    let given = |i: usize| inputs.get(i).copied().flatten();
    let (Some(x), Some(result)) = (given(0), result) else { return Outcome::Skip };
    Outcome::of(g.rewrite(n, &[], |b| match &op {
        Op::QuantizeLinear(op) => {
            let laid = Laid { x, scale: given(1), zero: given(2), axis: op.axis, block: op.block_size };
            quantize(b, op, &laid, result).map(|v| vec![v])
        }
        Op::DequantizeLinear(op) => {
            let laid = Laid { x, scale: given(1), zero: given(2), axis: op.axis, block: op.block_size };
            dequantize(b, op, &laid, result).map(|v| vec![v])
        }
        _ => dynamic(b, x),
    }))
}

/// Data with the parameters of their quantization.
struct Laid {
    x: ValueId,
    scale: Option<ValueId>,
    zero: Option<ValueId>,
    axis: i64,
    block: i64,
}

fn lacking(what: &str) -> Diag {
    Diag::error("E0302", what.to_owned())
}

fn is_float(d: Option<DType>) -> bool {
    matches!(d, Some(DType::F32 | DType::F16 | DType::BF16))
}

fn is_small(d: Option<DType>) -> bool {
    matches!(d, Some(DType::I8 | DType::U8 | DType::I16 | DType::U16))
}

impl Laid {
    /// A parameter in `f32`, in a shape that broadcasts to that of the data.
    fn spread(&self, b: &mut Builder<'_>, v: ValueId) -> V {
        let f = &mut Formula::new(b, DType::F32);
        let v = f.cast(v, DType::F32)?;
        let sizes = f.b.graph().ty(v).as_tensor().and_then(|t| t.sizes());
        let own = rank(f.b.graph(), Some(v)).ok_or_else(|| lacking("a scale of unknown rank"))?;
        if own == 0 || sizes.as_deref() == Some(&[1]) {
            let none = f.b.ints(&[]);
            return f.node(Reshape::default(), &[v, none]);
        }
        let rank = rank(f.b.graph(), Some(self.x)).ok_or_else(|| lacking("data of unknown rank"))?;
        let axis = resolve_axis(self.axis, rank).map_err(|e| lacking(&e.message))?;
        if self.block > 0 {
            return self.blocks(f, v, axis);
        }
        if own != 1 {
            return Err(lacking("a scale of several axes"));
        }
        let axes: Vec<i64> = (1..(rank - axis) as i64).collect();
        if axes.is_empty() {
            return Ok(v);
        }
        let axes = f.b.ints(&axes);
        f.node(Unsqueeze {}, &[v, axes])
    }
    /// Each position of `axis` repeated for its block, but for what the last block has too many.
    fn blocks(&self, f: &mut Formula<'_, '_>, v: ValueId, axis: usize) -> V {
        let shape = f.b.graph().ty(self.x).as_tensor().and_then(|t| t.shape.clone());
        let size = shape.and_then(|s| s.get(axis)?.known()).and_then(|n| i64::try_from(n).ok());
        let size =
            size.filter(|n| *n <= MAX_BLOCKED).ok_or_else(|| lacking("blocks of data of unknown size"))?;
        let of_block: Vec<i64> = (0..size).map(|i| i / self.block).collect();
        let at = f.b.ints(&of_block);
        f.node(Gather { axis: axis as i64 }, &[v, at])
    }
}

/// A constant of integers of at most 8 bits with one byte for each element.
fn unpacked(b: &mut Builder<'_>, v: ValueId) -> ValueId {
    let Some(t) = b.graph().constant(v) else { return v };
    let signed = match t.dtype() {
        DType::I2 | DType::I4 => true,
        DType::U2 | DType::U4 => false,
        _ => return v,
    };
    let Ok(bytes) = t.bytes() else { return v };
    let values = unpack(&bytes, t.dtype().bits(), t.len(), signed);
    let t = Tensor::from_vec(t.shape(), values);
    b.constant(t)
}

/// Constant data in whole blocks along its last axis: each block becomes a row with a scale of its own, which a tensor can carry.
fn rows(b: &mut Builder<'_>, laid: &Laid) -> Option<V> {
    let tensor = |v: Option<ValueId>| b.graph().constant(v?);
    let (data, scale) = (tensor(Some(laid.x))?, tensor(laid.scale)?);
    let block = usize::try_from(laid.block).ok().filter(|n| *n > 0)?;
    let last = *data.shape().last()?;
    let along = resolve_axis(laid.axis, data.rank()).ok()? + 1 == data.rank();
    if !along || last % block != 0 || data.is_empty() || data.len() / block != scale.len() {
        return None;
    }
    let count = scale.len();
    let line = [count];
    let rows = data.reshape(&[count, block]).ok()?;
    let scale = scale.cast(DType::F32, false).and_then(|s| s.reshape(&line)).ok()?;
    let zero = match laid.zero {
        Some(_) => Some(tensor(laid.zero)?.reshape(&line).ok()?),
        None => None,
    };
    let sizes: Vec<i64> = data.shape().iter().map(|n| *n as i64).collect();
    let (rows, scale, sizes) = (b.constant(rows), b.constant(scale), b.ints(&sizes));
    let zero = zero.map(|z| b.constant(z));
    let op = DequantizeLinear { axis: 0, ..DequantizeLinear::default() };
    let real = b.dequantize_linear(op, rows, scale, zero);
    Some(real.and_then(|v| b.reshape(Reshape::default(), v, sizes)))
}

fn quantize(b: &mut Builder<'_>, op: &QuantizeLinear, laid: &Laid, target: DType) -> V {
    let scale = laid.scale.ok_or_else(|| lacking("no scale"))?;
    let (given, of_scale) = (dtype(b.graph(), laid.x), dtype(b.graph(), scale));
    let precision = op.precision.or(of_scale);
    if !is_small(Some(target)) || !is_float(given) || !is_float(of_scale) || !is_float(precision) {
        return Err(lacking("these element types"));
    }
    let (low, high) = target.int_range().ok_or_else(|| lacking("no range"))?;
    let precision = precision.unwrap_or(DType::F32);
    // Both are rounded to the type in which they are divided.
    let rounded = |b: &mut Builder<'_>, v: ValueId| {
        let f = &mut Formula::new(b, DType::F32);
        let v = if precision == DType::F32 { v } else { f.cast(v, precision)? };
        f.cast(v, DType::F32)
    };
    let x = rounded(b, laid.x)?;
    let scale = rounded(b, scale)?;
    let scale = laid.spread(b, scale)?;
    let zero = laid.zero.map(|z| laid.spread(b, z)).transpose()?;
    let quotient = Formula::new(b, DType::F32).op("div", &[x, scale])?;
    let quotient = rounded(b, quotient)?;
    let f = &mut Formula::new(b, DType::F32);
    let mut whole = f.op("round", &[quotient])?;
    if let Some(zero) = zero {
        whole = f.op("add", &[whole, zero])?;
    }
    let (low, high) = (f.num(low as f64)?, f.num(high as f64)?);
    let inside = f.op("clip", &[whole, low, high])?;
    f.cast(inside, target)
}

fn dequantize(b: &mut Builder<'_>, op: &DequantizeLinear, laid: &Laid, target: DType) -> V {
    let scale = laid.scale.ok_or_else(|| lacking("no scale"))?;
    let (x, zero) = (unpacked(b, laid.x), laid.zero.map(|z| unpacked(b, z)));
    let laid = &Laid { x, zero, ..*laid };
    let (given, of_scale) = (dtype(b.graph(), laid.x), dtype(b.graph(), scale));
    let whole = is_small(given) || given == Some(DType::I32) && laid.zero.is_none();
    if !whole || !is_float(of_scale) || op.output_dtype.is_some_and(|d| !is_float(Some(d))) {
        return Err(lacking("these element types"));
    }
    if let Some(real) = rows(b, laid) {
        return Formula::new(b, DType::F32).cast(real?, target);
    }
    let f = &mut Formula::new(b, DType::F32);
    let mut x = f.cast(laid.x, DType::F32)?;
    if let Some(zero) = laid.zero.filter(|_| !planted("legalize-tflite-quantize")) {
        let zero = laid.spread(f.b, zero)?;
        x = f.op("sub", &[x, zero])?;
    }
    let scale = laid.spread(f.b, scale)?;
    let y = f.op("mul", &[x, scale])?;
    f.cast(y, target)
}

/// The range of the data, extended to zero, in 255 steps.
fn dynamic(b: &mut Builder<'_>, x: ValueId) -> Result<Vec<ValueId>, Diag> {
    let f = &mut Formula::new(b, DType::F32);
    let top = f.node(ReduceMax { keepdims: false, ..ReduceMax::default() }, &[x])?;
    let bottom = f.node(ReduceMin { keepdims: false, ..ReduceMin::default() }, &[x])?;
    let (high, low) = (f.of("max", 0.0, top)?, f.of("min", 0.0, bottom)?);
    let (same, span, one) = (f.op("equal", &[high, low])?, f.op("sub", &[high, low])?, f.num(1.0)?);
    let span = f.op("where", &[same, one, span])?;
    let scale = f.with("div", span, 255.0)?;
    let minus = f.op("neg", &[low])?;
    let zero = f.op("div", &[minus, scale])?;
    let (first, last) = (f.num(0.0)?, f.num(255.0)?);
    let zero = f.op("clip", &[zero, first, last])?;
    let zero = f.op("round", &[zero])?;
    let y = f.op("div", &[x, scale])?;
    let y = f.op("round", &[y])?;
    let y = f.op("add", &[y, zero])?;
    let y = f.op("clip", &[y, first, last])?;
    Ok(vec![f.cast(y, DType::U8)?, scale, f.cast(zero, DType::U8)?])
}
