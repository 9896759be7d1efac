//! Quantized weights in the place of floats, in the form that their users take.
use crate::pass::{Ctx, Target};
use crate::quantize::weight_packs::Packed;
use crate::quantize::weight_slots::{Role, Weight};
use crate::quantize::weights::Quantized;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::{Mul, Sub};
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::tensor::{Tensor, TensorError};

/// Quantized weights with all that reads them.
pub struct Found {
    /// The weights.
    pub stored: Stored,
    /// Nodes that read them, and as which operand.
    pub users: Vec<(NodeId, usize, Weight)>,
}

/// How weights are stored.
pub enum Stored {
    /// With `dequantize_linear` between them and their users.
    Dequantized(Quantized),
    /// In operators that read them as they are.
    Packed(Packed),
}

impl Stored {
    /// Bytes of all parts.
    pub fn byte_len(&self) -> usize {
        match self {
            Self::Dequantized(q) => q.byte_len(),
            Self::Packed(p) => p.byte_len(),
        }
    }
}

fn refused(e: &TensorError) -> Diag {
    Diag::error("E0403", e.to_string())
}

/// Makes all users of constant `v` read `found`.
///
/// # Errors
/// When a part does not fit; what was rewritten until then stays, which is valid.
pub fn put(g: &mut Graph, cx: &Ctx, v: ValueId, found: &Found) -> Result<(), Diag> {
    let quantized = match &found.stored {
        Stored::Dequantized(q) => q,
        Stored::Packed(p) => return p.put(g, v, &found.users),
    };
    let name = g.value(v).name.clone();
    let onnx = !matches!(cx.target, Some(Target::Tflite(_)));
    let straight = onnx && found.users.iter().all(|(_, _, w)| w.role == Role::Turned);
    let turned = if straight { Some(turned(quantized).map_err(|e| refused(&e))?) } else { None };
    let quantized = turned.as_ref().unwrap_or(quantized);
    let data = g.add_const(quantized.data.clone());
    let mut real = None;
    for (n, slot, w) in &found.users {
        if onnx && w.role == Role::Table && rows_apart(quantized) {
            rows(g, *n, data, quantized)?;
            continue;
        }
        let read = if let Some(read) = real {
            read
        } else {
            let origin = g.node(*n).origin.clone();
            let b = &mut Builder::before(g, *n, origin);
            // ONNX Runtime computes casts and factors of constants once, and dequantizes in each run; it packs constant filters.
            let asked = cx.quantization.as_ref().is_some_and(|q| q.folded);
            let folded = asked || cx.profile.is_some_and(|p| p.name == "onnxruntime");
            match if folded { scaled(b, data, quantized)? } else { None } {
                Some(v) => v,
                None => quantized.dequantize(b, data, quantized.axis as i64)?,
            }
        };
        real = Some(read);
        if straight {
            straighten(g, *n, read)?;
        } else {
            g.set_operand(*n, *slot, Some(read))?;
        }
    }
    g.drop_unused_const(v);
    g.set_name(data, name);
    Ok(())
}

/// `data` of `q` as a cast, a difference and a product; `None` for small floats, for scales of 16 bits, and where the last block is shorter.
fn scaled(b: &mut Builder<'_>, data: ValueId, q: &Quantized) -> Result<Option<ValueId>, Diag> {
    let (dtype, shape) = (q.scales.dtype(), q.data.shape().to_vec());
    if !q.data.dtype().is_int()
        || dtype != DType::F32
        || (q.block > 0 && !shape[q.axis].is_multiple_of(q.block))
    {
        return Ok(None);
    }
    let one = q.scales.rank() == 0;
    // With blocks as an axis of their own, and parameters that are one for each block.
    let mut split = shape.clone();
    let mut spread: Vec<usize> = if one { vec![] } else { vec![1; shape.len()] };
    if let Some(blocks) = shape[q.axis].checked_div(q.block) {
        split[q.axis] = blocks;
        split.insert(q.axis + 1, q.block);
        spread.clone_from(&split);
        spread[q.axis + 1] = 1;
    } else if !one {
        spread[q.axis] = shape[q.axis];
    }
    let ints = |t: &[usize]| t.iter().map(|d| *d as i64).collect::<Vec<_>>();
    let mut v = b.add(Cast { to: dtype, ..Default::default() }, &[Some(data)])?[0];
    if q.block > 0 {
        let sizes = b.ints(&ints(&split));
        v = b.add(Reshape::default(), &[Some(v), Some(sizes)])?[0];
    }
    if let Some(zeros) = &q.zero_points {
        let zeros = zeros.cast(dtype, false).and_then(|z| z.reshape(&spread)).map_err(|e| refused(&e))?;
        let zeros = b.constant(zeros);
        v = b.add(Sub {}, &[Some(v), Some(zeros)])?[0];
    }
    let scales = b.constant(q.scales.reshape(&spread).map_err(|e| refused(&e))?);
    v = b.add(Mul {}, &[Some(v), Some(scales)])?[0];
    if q.block > 0 {
        let sizes = b.ints(&ints(&shape));
        v = b.add(Reshape::default(), &[Some(v), Some(sizes)])?[0];
    }
    Ok(Some(v))
}

/// Whether the scales of a table lie along its rows, so that rows can be gathered first.
fn rows_apart(q: &Quantized) -> bool {
    q.block == 0 && (q.scales.rank() == 0 || q.axis + 1 == q.data.rank())
}

/// Gathers rows of integers, and dequantizes what was gathered.
fn rows(g: &mut Graph, n: NodeId, data: ValueId, q: &Quantized) -> Result<(), Diag> {
    let (op, indices) = (g.node(n).op().clone(), g.node(n).input(1));
    g.rewrite(n, &[], |b| {
        let picked = b.add(op, &[Some(data), indices])?[0];
        Ok(vec![q.dequantize(b, picked, -1)?])
    })
}

/// Weights with their two axes exchanged.
fn turned(q: &Quantized) -> Result<Quantized, TensorError> {
    let exchanged = |t: &Tensor| if q.block == 0 { Ok(t.clone()) } else { t.permute(&[1, 0])?.materialize() };
    let axis = if q.scales.rank() == 0 { q.axis } else { 1 - q.axis };
    let zero_points = q.zero_points.as_ref().map(exchanged).transpose()?;
    let data = q.data.permute(&[1, 0])?;
    Ok(Quantized { data, scales: exchanged(&q.scales)?, zero_points, axis, block: q.block })
}

/// Makes `gemm` `n` multiply by `w` instead of the transpose of its operand: ONNX Runtime has products with quantized weights for that form only.
fn straighten(g: &mut Graph, n: NodeId, w: ValueId) -> Result<(), Diag> {
    let mut op = g.node(n).op().clone();
    match &mut op {
        Op::Gemm(op) => op.trans_b = false,
        Op::FusedGemm(op) => op.trans_b = false,
        _ => {}
    }
    let mut operands = g.node(n).inputs().to_vec();
    operands[1] = Some(w);
    g.rewrite(n, &[], |b| b.add(op, &operands))
}
