//! Scales and zero points of quantized tensors.
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;

/// A quantized tensor, with constant scales of `f32`.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// The integers.
    pub q: ValueId,
    /// Their type.
    pub dtype: DType,
    /// The scales: one number, or one per position of `axis`.
    pub scale: ValueId,
    /// The zero points, as many; absent is 0.
    pub zero: Option<ValueId>,
    /// Whether there is one scale for all.
    pub one: bool,
    /// Axis of several scales, counted from the first.
    pub axis: usize,
    /// Sizes of the scales.
    sizes: Vec<usize>,
}

impl Parameters {
    /// Zero points, or zeros where there are none.
    ///
    /// # Errors
    /// When integers of the type cannot be made.
    pub fn zero_or_new(&self, b: &mut Builder<'_>) -> Result<ValueId, Diag> {
        if let Some(zero) = self.zero {
            return Ok(zero);
        }
        let refuse = |e: hoist_ir::tensor::TensorError| Diag::error("E0403", e.to_string());
        let one = Tensor::scalar(0i32).cast(self.dtype, false).map_err(refuse)?;
        Ok(b.constant(Tensor::splat(&one, &self.sizes).map_err(refuse)?))
    }
    /// Whether all zero points are 0.
    pub fn no_zeros(&self, g: &Graph) -> bool {
        let zeros = |t: &Tensor| t.to_f64s().is_ok_and(|v| v.iter().all(|v| *v == 0.0));
        self.zero.is_none_or(|z| g.constant(z).is_some_and(zeros))
    }
}

/// What `v` is dequantized from.
///
/// # Errors
/// The reason why it is not, or not in a form that operators on quantized tensors take.
pub fn dequantized(g: &Graph, v: ValueId) -> Result<Parameters, &'static str> {
    let n = g.producer(v).filter(|n| matches!(g.node(*n).op(), Op::DequantizeLinear(_)));
    parameters(g, n.ok_or("the operand is not dequantized")?)
}

/// What `n` dequantizes, or quantizes to.
///
/// # Errors
/// The reason why operators on quantized tensors do not take its form.
pub fn parameters(g: &Graph, n: NodeId) -> Result<Parameters, &'static str> {
    let node = g.node(n);
    let y = *node.outputs().first().ok_or("a result is missing")?;
    let x = node.input(0).ok_or("an operand is missing")?;
    let (q, float, axis, blocks) = match node.op() {
        Op::DequantizeLinear(op) => (x, y, op.axis, op.block_size != 0),
        Op::QuantizeLinear(op) => (y, x, op.axis, op.block_size != 0 || op.precision.is_some()),
        _ => return Err("the operand is not dequantized"),
    };
    let tensor = |v: ValueId| g.ty(v).as_tensor().ok_or("the operand is no tensor");
    if blocks || tensor(float)?.dtype != DType::F32 {
        return Err("the numbers are not f32, or scales are for blocks");
    }
    let scale = node.input(1).ok_or("the scales are missing")?;
    let t = g.constant(scale).filter(|t| t.dtype() == DType::F32).ok_or("the scales are not constant")?;
    let zero = node.input(2);
    if zero.is_some_and(|z| g.constant(z).is_none_or(|z| z.shape() != t.shape())) {
        return Err("the zero points are not constant");
    }
    let one = t.rank() == 0 || (t.rank() == 1 && t.len() == 1);
    let axis = match (one, tensor(q)?.rank()) {
        (true, _) => 0,
        (false, Some(rank)) => {
            let axis = if axis < 0 { axis + rank as i64 } else { axis };
            usize::try_from(axis).map_err(|_| "the axis of the scales is outside")?
        }
        (false, None) => return Err("the rank is not known"),
    };
    let sizes = t.shape().to_vec();
    Ok(Parameters { q, dtype: tensor(q)?.dtype, scale, zero, one, axis, sizes })
}

/// The integers that bias `c` is dequantized from by the products of the scales of `x` and `w`, one per channel.
///
/// # Errors
/// The reason why it is not.
pub fn bias(g: &Graph, c: ValueId, x: &Parameters, w: &Parameters) -> Result<ValueId, &'static str> {
    /// Largest part by which a scale may miss the product, which is rounded to `f32`.
    const ROUNDING: f64 = 1e-6;
    let p = dequantized(g, c).map_err(|_| "the bias is not dequantized")?;
    let ints = g.constant(p.q).filter(|t| t.dtype() == DType::I32 && t.rank() == 1);
    let ints = ints.ok_or("the bias is no constant of 32 bits per channel")?;
    if !p.no_zeros(g) {
        return Err("the bias has zero points");
    }
    let values = |v: ValueId| g.constant(v).and_then(|t| t.to_f64s().ok());
    let all = (values(p.scale), values(x.scale), values(w.scale));
    let (Some(have), Some(data), Some(weights)) = all else { return Err("the scales cannot be read") };
    let data = *data.first().ok_or("the scales are missing")?;
    let at = |v: &[f64], i: usize| if v.len() == 1 { v.first() } else { v.get(i) }.copied();
    let fits = |i: usize| {
        let (Some(have), Some(weight)) = (at(&have, i), at(&weights, i)) else { return false };
        let want = data * weight;
        (have - want).abs() <= ROUNDING * want.abs()
    };
    if (0..ints.len()).all(fits) { Ok(p.q) } else { Err("the scale of the bias is not that of the products") }
}
