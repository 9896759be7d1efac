//! `quantize-dynamic`
//!
//! ```text
//!                               %q, %s, %z = dynamic_quantize_linear(%x)
//!                               %i = mat_mul_integer(%q, <i8 weights>, %z)
//! %y = mat_mul(%x, %w: f32) ->  %f = cast(%i) {to=f32}
//!                               %t = mul(%s, <scales>)
//!                               %y = mul(%f, %t)
//! ```
//! - Only where that is asked for. `%x` is `f32` and not constant, the weights are an `f32` constant of two axes that only products of the same form read: `mat_mul`, or `gemm`
//!   without factors, whose bias is added behind. A value that several products read is quantized once.
//! - Weights are stored in 8 bits with a scale per column, or one.
//! - For targets that have them, `contrib_attention` becomes `q_attention`, and `lstm` becomes `dynamic_quantize_lstm`.
//! - All other weights, those of convolutions among them, are stored in 8 bits and dequantized: ONNX Runtime's convolution of integers takes 4 to 50 times as long as that of floats.
//! - For LiteRT all weights are stored so: its kernels quantize data themselves where the file asks for that.
use super::quantize_weights;
use super::sharing::{Sharing, share};
use super::spec::{Mode, Quantization};
use super::weight_slots::{Role, stays_float, uses};
use super::weights::Quantized;
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, Target, sweep};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::contrib::q_attention::QAttention;
use hoist_ir::ops::elementwise::arithmetic::{Add, Mul};
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::linear::mat_mul_integer::MatMulInteger;
use hoist_ir::ops::quant::dynamic_quantize_linear::DynamicQuantizeLinear;
use hoist_ir::ops::recurrent::dynamic_quantize_lstm::DynamicQuantizeLstm;
use hoist_ir::ops::recurrent::lstm::Lstm;
use hoist_ir::tensor::{Tensor, TensorError};
use std::collections::HashMap;

/// The pass.
pub struct QuantizeDynamic;

const INFO: PassInfo = PassInfo {
    name: "quantize-dynamic",
    doc: "Multiplies integers that data is rounded to while the model runs, where that is asked for.",
};

impl Pass for QuantizeDynamic {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn enters_bodies(&self) -> bool {
        false
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let Some(q) = cx.quantization.clone().filter(|q| q.mode == Mode::Dynamic) else {
            return Ok(Changed::default());
        };
        let mut changed = Changed::default();
        if !matches!(cx.target, Some(Target::Tflite(_))) {
            graph(g, cx, &q, true, &mut changed)?;
        }
        quantize_weights::quantize(g, cx, &q, &mut changed)?;
        Ok(changed)
    }
}

fn graph(g: &mut Graph, cx: &Ctx, q: &Quantization, main: bool, changed: &mut Changed) -> Result<(), Diag> {
    for n in g.order_list() {
        for i in 0..g.node(n).stored_bodies().len() {
            g.rewrite_body(n, i, |body| {
                let before = *changed;
                graph(body, cx, q, false, changed)?;
                Ok(*changed != before)
            })?;
        }
    }
    let expanded = sweep(g, cx, |g, n| expand(g, n, q));
    let mut products = Products { cx, q, data: HashMap::new(), weights: HashMap::new(), main };
    let done = sweep(g, cx, |g, n| products.at(g, n));
    changed.0 = changed.0.saturating_add(expanded.0).saturating_add(done.0);
    Ok(())
}

/// Takes `fused_gemm` and `fused_mat_mul` with constant weights apart: there are none of integers.
fn expand(g: &mut Graph, n: NodeId, q: &Quantization) -> Outcome {
    let node = g.node(n);
    let weighted = node.input(1).and_then(|w| g.constant(w)).is_some_and(|t| t.dtype() == DType::F32);
    if !matches!(node.op(), Op::FusedGemm(_) | Op::FusedMatMul(_)) || !weighted || stays_float(g, n, q) {
        return Outcome::Skip;
    }
    let (op, inputs) = (node.op().clone(), node.inputs().to_vec());
    let lacking = || Diag::error("E0302", "the operator has no expansion");
    Outcome::of(g.rewrite(n, &[], |b| op.def().expand(b, &inputs, 1)?.ok_or_else(lacking)))
}

/// Data rounded to integers, its scale and its zero point.
type Rounded = [ValueId; 3];

/// Weights as constants: integers, scales, zero points.
#[derive(Clone, Copy)]
struct Stored {
    data: ValueId,
    scales: ValueId,
    zeros: Option<ValueId>,
}

struct Products<'a> {
    cx: &'a Ctx,
    q: &'a Quantization,
    /// What each value was rounded to.
    data: HashMap<ValueId, Rounded>,
    /// What each constant is stored as.
    weights: HashMap<ValueId, Stored>,
    /// Whether this is no body.
    main: bool,
}

/// Bytes of weights, at least: for less, what is added takes as much.
const FEW: usize = 512;

fn refused(e: &TensorError) -> Diag {
    Diag::error("E0403", e.to_string())
}

impl Products<'_> {
    fn at(&mut self, g: &mut Graph, n: NodeId) -> Outcome {
        let has = |op: &str| self.cx.profile.is_some_and(|p| p.allows(op));
        let role = match g.node(n).op() {
            Op::Gemm(op) if op.alpha != 1.0 || op.beta != 1.0 || op.trans_a => {
                return Outcome::miss("the product has factors, or a transposed operand");
            }
            Op::Gemm(op) if op.trans_b => Role::Turned,
            Op::MatMul(_) | Op::Gemm(_) => Role::Matrix,
            Op::ContribAttention(_) if has("q_attention") => Role::Inner,
            Op::Lstm(_) if has("dynamic_quantize_lstm") => return self.recurrent(g, n),
            _ => return Outcome::Skip,
        };
        let done = self.ready(g, n, role).and_then(|(x, w)| {
            let stored = self.stored(g, n, w, role)?;
            let rounded = self.rounded(g, n, x)?;
            if role == Role::Inner {
                attention(g, n, rounded, stored)
            } else {
                product(g, n, rounded, stored)
            }
        });
        match done {
            Ok(()) => Outcome::Edit,
            Err(d) if d.message.is_empty() => Outcome::Skip,
            Err(d) => Outcome::Miss(d.message.into()),
        }
    }
    /// Data and weights of product `n`.
    fn ready(&self, g: &Graph, n: NodeId, role: Role) -> Result<(ValueId, ValueId), Diag> {
        let refuse = |m: &'static str| Err(Diag::error("E0403", m));
        let node = g.node(n);
        let (Some(x), Some(w)) = (node.input(0), node.input(1)) else { return refuse("") };
        if self.weights.contains_key(&w) {
            return Ok((x, w));
        }
        let Some(t) = g.constant(w) else { return refuse("") };
        if t.rank() != 2 || t.dtype() != DType::F32 || !is_f32(g, x) || g.constant(x).is_some() {
            return refuse("data or weights are of another type, or not of two axes");
        }
        if stays_float(g, n, self.q) {
            return refuse("the node is asked to stay in floats");
        }
        if t.byte_len() < FEW {
            return refuse("the weights are too small to gain anything");
        }
        let users = uses(g, w, self.q).map_err(|m| Diag::error("E0403", m))?;
        if !users.iter().all(|(n, _, w)| w.role == role && takes(g, *n)) {
            return refuse("something else uses the weights as they are");
        }
        Ok((x, w))
    }
    /// The weights as integers that are multiplied from the right.
    fn stored(&mut self, g: &mut Graph, n: NodeId, w: ValueId, role: Role) -> Result<Stored, Diag> {
        if let Some(stored) = self.weights.get(&w) {
            return Ok(*stored);
        }
        let name = g.value(w).name.clone();
        let Some(t) = g.constant(w) else { return Err(Diag::error("E0403", "the weights are not constant")) };
        let made = self.quantized(w, t, role).map_err(|e| refused(&e))?;
        let origin = g.node(n).origin.clone();
        let mut b = Builder::before(g, n, origin);
        let stored = Stored {
            data: b.constant(made.data),
            scales: b.constant(made.scales),
            zeros: made.zero_points.map(|z| b.constant(z)),
        };
        g.set_name(stored.data, name);
        self.weights.insert(w, stored);
        Ok(stored)
    }
    fn quantized(&self, w: ValueId, t: &Tensor, role: Role) -> Result<Quantized, TensorError> {
        let turned = role == Role::Turned;
        let given = self.q.given.get(&w).filter(|_| self.main);
        if let Some(given) = given.filter(|q| q.data.dtype().bits() == 8 && q.block == 0) {
            let axis = if turned { 1 - given.axis } else { given.axis };
            if axis == 1 {
                let data = if turned { given.data.permute(&[1, 0])? } else { given.data.clone() };
                return Ok(Quantized { data, axis, ..given.clone() });
            }
        }
        let t = if turned { t.permute(&[1, 0])? } else { t.clone() };
        let sharing = if self.q.per_channel { Sharing::Axis(1) } else { Sharing::All };
        share(&t, sharing, self.q.weights, false, DType::F32)
    }
    /// `x` rounded to integers, before `n`.
    fn rounded(&mut self, g: &mut Graph, n: NodeId, x: ValueId) -> Result<Rounded, Diag> {
        if let Some(rounded) = self.data.get(&x) {
            return Ok(*rounded);
        }
        let origin = g.node(n).origin.clone();
        let made = Builder::before(g, n, origin).add(DynamicQuantizeLinear {}, &[Some(x)])?;
        let &[q, s, z] = made.as_slice() else { return Err(Diag::error("E0401", "three results")) };
        self.data.insert(x, [q, s, z]);
        Ok([q, s, z])
    }
    /// `lstm` `n` by `dynamic_quantize_lstm`.
    fn recurrent(&self, g: &mut Graph, n: NodeId) -> Outcome {
        let node = g.node(n);
        let Op::Lstm(op) = node.op() else { return Outcome::Skip };
        let constant = |slot: usize| {
            let w = node.input(slot)?;
            let t = g.constant(w).filter(|t| t.rank() == 3 && t.dtype() == DType::F32)?;
            g.single_user(w)?;
            Some(t.clone())
        };
        let (Some(w), Some(r)) = (constant(1), constant(2)) else {
            return Outcome::miss("the weights are computed, not f32, or something else reads them");
        };
        let Some(x) = node.input(0).filter(|x| is_f32(g, *x)) else { return Outcome::Skip };
        if op.layout != 0 || op.clip.is_some() || node.input(4).is_some() {
            return Outcome::miss("there is no such operator for lengths, bounds or batches first");
        }
        if stays_float(g, n, self.q) {
            return Outcome::miss("the node is asked to stay in floats");
        }
        let op = quantized_lstm(op);
        let mut operands = node.inputs().to_vec();
        operands.resize(8, None);
        operands[0] = Some(x);
        Outcome::of(gates(&w, self.q).and_then(|w| Ok((w, gates(&r, self.q)?))).and_then(|(w, r)| {
            g.rewrite(n, &[], |b| {
                for (slot, [data, scales, zeros]) in [(1, w), (2, r)] {
                    operands[slot] = Some(b.constant(data));
                    operands.extend([Some(b.constant(scales)), Some(b.constant(zeros))]);
                }
                let outputs = b.graph().node(n).outputs().len();
                b.add_n(op, &operands, outputs)
            })
        }))
    }
}

/// Weights `[directions, 4 * hidden, columns]` as integers `[directions, columns, 4 * hidden]`, their scales and zero points.
fn gates(w: &Tensor, q: &Quantization) -> Result<[Tensor; 3], Diag> {
    let made = || {
        let turned = w.permute(&[0, 2, 1])?;
        let (directions, size, gates) = (turned.shape()[0], turned.shape()[1], turned.shape()[2]);
        let made =
            share(&turned, Sharing::Blocks { axis: 1, size: size.max(1) }, q.weights, false, DType::F32)?;
        let shape = [directions, gates];
        let zeros = match made.zero_points {
            Some(zeros) => zeros.reshape(&shape)?,
            None => Tensor::from_vec(&shape, vec![0i8; directions * gates]).cast(q.weights.dtype, false)?,
        };
        Ok([made.data, made.scales.reshape(&shape)?, zeros])
    };
    made().map_err(|e: TensorError| refused(&e))
}

fn quantized_lstm(op: &Lstm) -> DynamicQuantizeLstm {
    DynamicQuantizeLstm {
        activation_alpha: op.activation_alpha.clone(),
        activation_beta: op.activation_beta.clone(),
        activations: op.activations.clone(),
        clip: None,
        direction: op.direction,
        hidden_size: op.hidden_size,
        input_forget: op.input_forget,
    }
}

fn is_f32(g: &Graph, v: ValueId) -> bool {
    g.ty(v).as_tensor().is_some_and(|t| t.dtype == DType::F32)
}

/// Whether `n` becomes a product of integers, as far as its attributes say.
fn takes(g: &Graph, n: NodeId) -> bool {
    match g.node(n).op() {
        Op::MatMul(_) => true,
        Op::Gemm(op) => op.alpha == 1.0 && op.beta == 1.0 && !op.trans_a,
        Op::ContribAttention(op) => {
            let node = g.node(n);
            let thirds = op.qkv_hidden_sizes.windows(2).all(|p| p[0] == p[1]);
            thirds && node.input(2).is_some() && node.input(5).is_none()
        }
        _ => false,
    }
}

/// Product `n` of integers, as floats, with its bias.
fn product(g: &mut Graph, n: NodeId, [q, s, z]: Rounded, w: Stored) -> Result<(), Diag> {
    let bias = g.node(n).input(2);
    let zero = Some(z).filter(|_| !planted(INFO.name));
    g.rewrite(n, &[], |b| {
        let operands = [Some(q), Some(w.data), zero, w.zeros];
        let sums = b.add(MatMulInteger {}, &operands[..if w.zeros.is_some() { 4 } else { 3 }])?[0];
        let reals = b.add(Cast { to: DType::F32, ..Default::default() }, &[Some(sums)])?[0];
        let scales = b.add(Mul {}, &[Some(s), Some(w.scales)])?[0];
        let scaled = b.add(Mul {}, &[Some(reals), Some(scales)])?;
        match bias {
            Some(bias) => b.add(Add {}, &[Some(scaled[0]), Some(bias)]),
            None => Ok(scaled),
        }
    })
}

/// `contrib_attention` `n` on integers.
fn attention(g: &mut Graph, n: NodeId, [q, s, z]: Rounded, w: Stored) -> Result<(), Diag> {
    let node = g.node(n);
    let Op::ContribAttention(op) = node.op() else { return Err(Diag::error("E0401", "")) };
    let op = QAttention {
        mask_filter_value: op.mask_filter_value,
        num_heads: op.num_heads,
        scale: op.scale,
        unidirectional: op.unidirectional,
    };
    let (bias, mask, past) = (node.input(2), node.input(3), node.input(4));
    let operands = [Some(q), Some(w.data), bias, Some(s), Some(w.scales), mask, Some(z), w.zeros, past];
    let outputs = node.outputs().len();
    g.rewrite(n, &[], |b| b.add_n(op, &operands, outputs))
}
