//! `fuse-quantized-operator`
//!
//! ```text
//! %a = dequantize_linear(%x, %s, %z)
//! %w = dequantize_linear(%v, %t)        %b = dequantize_linear(%c: i32[M], %s * %t)
//! %r = conv(%a, %w, %b)
//! %y = quantize_linear(%r, %u, %k)     ->   %y = q_linear_conv(%x, %s, %z, %v, %t, 0, %u, %k, %c)
//! ```
//! - The operator is `conv`, `mat_mul`, `gemm`, `add`, `mul`, `sigmoid`, `leaky_relu`, `global_average_pool` or `concat`; nothing else uses its result. A `mat_mul`
//!   without quantization behind it becomes `mat_mul_integer_to_float`.
//! - Data has 8 bits and one constant scale and zero point per tensor, weights one or one per output channel, all of `f32`. Data and result have the same type; weights
//!   of signed data are signed. Weights with several scales have zero points of 0.
//! - A bias is dequantized from constants of 32 bits by the products of the scales of data and weights.
//! - For targets with these operators: ONNX Runtime makes them itself where it reads such a file.
//!
//! Sums of integers are exact where those of floats round, so results may differ by one step where they lie next to a tie, and what follows may differ by more. In no
//! level for that reason: networks of fifty convolutions differ in outputs by a step of their last quantization.
use super::quant::{Parameters, bias, dequantized, parameters};
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, Use, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::quant::integer_products::MatMulIntegerToFloat;
use hoist_ir::ops::quant::q_gemm::QGemm;
use hoist_ir::ops::quant::q_linear_activation::{QLinearLeakyRelu, QLinearSigmoid};
use hoist_ir::ops::quant::q_linear_arithmetic::{QLinearAdd, QLinearMul};
use hoist_ir::ops::quant::q_linear_concat::QLinearConcat;
use hoist_ir::ops::quant::q_linear_conv::QLinearConv;
use hoist_ir::ops::quant::q_linear_mat_mul::QLinearMatMul;
use hoist_ir::ops::quant::q_linear_pool::QLinearGlobalAveragePool;

/// The pass.
pub struct FuseQuantizedOperator;

const INFO: PassInfo = PassInfo {
    name: "fuse-quantized-operator",
    doc: "Replaces operators between dequantization and quantization by those on quantized tensors.",
};

/// Operands of `concat` that are looked at.
const MOST_JOINED: usize = 64;

impl Pass for FuseQuantizedOperator {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["dequantize_linear"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        if !cx.allows("q_linear_conv") {
            return Ok(Changed::default());
        }
        let quantized = sweep(g, cx, |g, n| fuse(g, cx, n));
        let floats = sweep(g, cx, |g, n| product(g, cx, n));
        Ok(Changed(quantized.0.saturating_add(floats.0)))
    }
}

/// Operators and their operands.
type Fused = (Op, Vec<Option<ValueId>>);
/// An operator, and whose zero points its operands at these positions are; or why there is none.
type Found = Result<(Fused, Vec<(usize, Parameters)>), &'static str>;

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let Op::QuantizeLinear(_) = g.node(n).op() else { return Outcome::Skip };
    let Some(r) = g.node(n).input(0) else { return Outcome::Skip };
    let Some(p) = g.producer(r) else { return Outcome::Skip };
    if !matches!(
        g.node(p).op(),
        Op::Conv(_)
            | Op::MatMul(_)
            | Op::Gemm(_)
            | Op::Add(_)
            | Op::Mul(_)
            | Op::Sigmoid(_)
            | Op::LeakyRelu(_)
            | Op::GlobalAveragePool(_)
            | Op::Concat(_)
    ) {
        return Outcome::Skip;
    }
    if g.single_user(r).is_none() {
        return Outcome::miss("something else uses the result");
    }
    let y = match parameters(g, n) {
        Ok(y) if y.one && matches!(y.dtype, DType::I8 | DType::U8) => y,
        Ok(_) => return Outcome::miss("the result has several scales, or not 8 bits"),
        Err(reason) => return Outcome::miss(reason),
    };
    let found = match g.node(p).op() {
        Op::Conv(_) | Op::MatMul(_) | Op::Gemm(_) => weighted(g, p, &y),
        _ => plain(g, p, &y),
    };
    put(g, cx, (n, p), found)
}

/// Puts the operator in the place of `root`; zero points that are not given are added.
fn put(g: &mut Graph, cx: &Ctx, (root, p): (NodeId, NodeId), found: Found) -> Outcome {
    let ((op, operands), zeros) = match found {
        Ok(found) => found,
        Err(reason) => return Outcome::miss(reason),
    };
    let inner: &[NodeId] = if root == p { &[] } else { &[p] };
    cx.fuse(g, root, inner, |b: &mut Builder<'_>| {
        let mut operands = operands;
        for (slot, parameters) in zeros {
            operands[slot] = Some(parameters.zero_or_new(b)?);
        }
        b.add(op, &operands)
    })
}

/// Quantized data of `n`'s operand `slot`, with one scale.
fn data(g: &Graph, n: NodeId, slot: usize) -> Result<Parameters, &'static str> {
    let v = g.node(n).input(slot).ok_or("an operand is missing")?;
    let p = dequantized(g, v)?;
    if !p.one {
        return Err("data has several scales");
    }
    if matches!(p.dtype, DType::I8 | DType::U8) { Ok(p) } else { Err("data has not 8 bits") }
}

/// The quantized operands of product or convolution `p`.
fn operands(g: &Graph, p: NodeId) -> Result<(Parameters, Parameters), &'static str> {
    let x = data(g, p, 0)?;
    let w = dequantized(g, g.node(p).input(1).ok_or("the weights are missing")?)?;
    if !(w.dtype == DType::I8 || (w.dtype == DType::U8 && x.dtype == DType::U8)) {
        return Err("weights are not of the type that the operator takes with such data");
    }
    if !w.one {
        let rank = g.ty(w.q).as_tensor().and_then(hoist_ir::types::TensorType::rank);
        let axis = match g.node(p).op() {
            Op::Conv(_) => 0,
            Op::Gemm(op) if op.trans_b => 0,
            _ if rank == Some(2) => 1,
            _ => return Err("weights of several matrices have several scales"),
        };
        if w.axis != axis || !w.no_zeros(g) {
            return Err("weights have scales along another axis, or zero points");
        }
    }
    Ok((x, w))
}

/// Convolution or product `p` with a quantized result.
fn weighted(g: &Graph, p: NodeId, y: &Parameters) -> Found {
    let (x, w) = operands(g, p)?;
    if x.dtype != y.dtype {
        return Err("data and result are of different types");
    }
    let c = match g.node(p).input(2) {
        Some(c) => Some(bias(g, c, &x, &w)?),
        None => None,
    };
    let scale = if planted(INFO.name) { x.scale } else { y.scale };
    let (xs, ws, ys) = (Some(x.scale), Some(w.scale), Some(scale));
    Ok(match g.node(p).op() {
        Op::Conv(conv) => {
            let op = QLinearConv {
                auto_pad: conv.auto_pad,
                dilations: conv.dilations.clone(),
                group: conv.group,
                kernel_shape: conv.kernel_shape.clone(),
                pads: conv.pads.clone(),
                strides: conv.strides.clone(),
                layout: conv.layout,
            };
            let operands = vec![Some(x.q), xs, None, Some(w.q), ws, None, ys, None, c];
            let operands = operands[..if c.is_some() { 9 } else { 8 }].to_vec();
            ((op.into(), operands), vec![(2, x), (5, w), (7, y.clone())])
        }
        Op::Gemm(gemm) => {
            if gemm.alpha != 1.0 || (c.is_some() && gemm.beta != 1.0) {
                return Err("the product has factors");
            }
            let op = QGemm { alpha: 1.0, trans_a: gemm.trans_a, trans_b: gemm.trans_b };
            let operands = vec![Some(x.q), xs, None, Some(w.q), ws, None, c, ys, None];
            ((op.into(), operands), vec![(2, x), (5, w), (8, y.clone())])
        }
        _ => {
            let operands = vec![Some(x.q), xs, None, Some(w.q), ws, None, ys, None];
            ((QLinearMatMul {}.into(), operands), vec![(2, x), (5, w), (7, y.clone())])
        }
    })
}

/// Another operator `p` with a quantized result.
fn plain(g: &Graph, p: NodeId, y: &Parameters) -> Found {
    let node = g.node(p);
    let count = node.inputs().len();
    if count > MOST_JOINED {
        return Err("too many operands");
    }
    let all: Vec<Parameters> = (0..count).map(|i| data(g, p, i)).collect::<Result<_, _>>()?;
    if !all.iter().all(|x| x.dtype == y.dtype) {
        return Err("operands and result are of different types");
    }
    let mut operands = vec![];
    let mut zeros = vec![];
    let triple = |x: &Parameters| [Some(x.q), Some(x.scale), None];
    if let Op::Concat(op) = node.op() {
        operands.extend([Some(y.scale), None]);
        zeros.push((1, y.clone()));
        for x in &all {
            zeros.push((operands.len() + 2, x.clone()));
            operands.extend(triple(x));
        }
        return Ok(((QLinearConcat { axis: op.axis }.into(), operands), zeros));
    }
    for x in &all {
        zeros.push((operands.len() + 2, x.clone()));
        operands.extend(triple(x));
    }
    zeros.push((operands.len() + 1, y.clone()));
    operands.extend([Some(y.scale), None]);
    let op: Op = match node.op() {
        Op::Add(_) => QLinearAdd {}.into(),
        Op::Mul(_) => QLinearMul {}.into(),
        Op::Sigmoid(_) => QLinearSigmoid {}.into(),
        Op::LeakyRelu(op) => QLinearLeakyRelu { alpha: op.alpha }.into(),
        Op::GlobalAveragePool(op) => QLinearGlobalAveragePool { layout: op.layout }.into(),
        _ => return Err("there is no such operator on quantized tensors"),
    };
    Ok(((op, operands), zeros))
}

/// A product of quantized operands whose result stays as floats.
fn product(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let Op::MatMul(_) = g.node(n).op() else { return Outcome::Skip };
    let Some(y) = g.node(n).outputs().first() else { return Outcome::Skip };
    let quantizes =
        |u: &Use| matches!(u, Use::Node { node, .. } if matches!(g.node(*node).op(), Op::QuantizeLinear(_)));
    if g.value(*y).uses().iter().take(MOST_JOINED).any(quantizes) {
        return Outcome::Skip;
    }
    let found = operands(g, n).map(|(x, w)| {
        let operands = vec![Some(x.q), Some(w.q), Some(x.scale), Some(w.scale), None, None];
        ((MatMulIntegerToFloat {}.into(), operands), vec![(4, x), (5, w)])
    });
    match found {
        Err("the operand is not dequantized") => Outcome::Skip,
        found => put(g, cx, (n, n), found),
    }
}
