//! `fuse-dequantize`
//!
//! ```text
//! %f = cast(%q: i8[K, N]) {to=f32}
//! %d = sub(%f, %z: f32[1, N])          %c = const i8[N] ..
//! %y = mul(%d, %s: f32[1, N])     ->   %y = dequantize_linear(%q, %s, %c) {axis=1}
//! ```
//! - `%q` has elements of 8 or 16 bits; `%s` is an `f32` constant of one number, or of one per position of one axis of `%q`.
//! - `%z` may be missing. It is a constant like `%s`, of whole numbers that the elements of `%q` can be.
//! - `%q` is computed. The cast and the factor of a constant are folded when a runtime loads the model; its dequantization is done in each run by ONNX Runtime, or makes
//!   it round the data of the products that read it (`MatMulNBits` at accuracy level 4).
//! - Nothing else uses the values between.
//!
//! Exact: the cast and the difference of two such integers lose nothing in `f32`, and the product rounds once in both forms.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::quant::dequantize_linear::DequantizeLinear;
use hoist_ir::pattern::Pattern;
use hoist_ir::tensor::Tensor;
use hoist_ir::tensor::convert::Wide;
use std::sync::LazyLock;

/// The pass.
pub struct FuseDequantize;

const INFO: PassInfo = PassInfo {
    name: "fuse-dequantize",
    doc: "Replaces the cast of integers and their scaling by `dequantize_linear`.",
};

/// The formulas: `%q` are the integers, `%z` their zero points and `%s` their scales.
pub(crate) static FORMULAS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let texts = ["mul~(sub(cast(%q) {to=f32}, const(%z)), const(%s))", "mul~(cast(%q) {to=f32}, const(%s))"];
    texts.iter().filter_map(|t| Pattern::parse(t).ok()).collect()
});

impl Pass for FuseDequantize {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["cast"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    if g.node(n).op().name() != "mul" {
        return Outcome::Skip;
    }
    let mut found = Outcome::Skip;
    for pattern in &*FORMULAS {
        let m = match pattern.matches(g, n) {
            Ok(m) => m,
            Err(miss) => {
                if miss.matched > 1 {
                    found = Outcome::Miss(miss.reason.into());
                }
                continue;
            }
        };
        let (Some(q), Some(s)) = (m.value("q"), m.value("s")) else { return Outcome::Skip };
        let inner = m.inner().to_vec();
        if g.constant(q).is_some() {
            return Outcome::miss(
                "runtimes fold the cast of a constant when they load it, and not its dequantization",
            );
        }
        return match parameters(g, q, s, m.value("z")) {
            Ok((op, scale, zero)) => cx.fuse(g, n, &inner, |b| {
                let mut operands = vec![Some(q), Some(b.constant(scale))];
                operands.extend(zero.map(|z| Some(b.constant(z))));
                b.add(op, &operands)
            }),
            Err(reason) => Outcome::miss(reason),
        };
    }
    found
}

/// The operator, its scales and its zero points.
pub(crate) fn parameters(
    g: &Graph,
    q: ValueId,
    s: ValueId,
    z: Option<ValueId>,
) -> Result<(DequantizeLinear, Tensor, Option<Tensor>), &'static str> {
    let ty = g.ty(q).as_tensor().ok_or("the operand is no tensor")?;
    if !matches!(ty.dtype, DType::I8 | DType::U8 | DType::I16 | DType::U16) {
        return Err("the integers have not 8 or 16 bits");
    }
    let shape = ty.shape.as_deref().ok_or("the rank is not known")?;
    let scale = g.constant(s).filter(|t| t.dtype() == DType::F32).ok_or("the factor is not f32")?;
    let axis = axis_of(scale, shape)?;
    let zero = match z.and_then(|z| g.constant(z)) {
        None => None,
        Some(z) if z.len() == scale.len() && axis_of(z, shape)? == axis => Some(whole(z, ty.dtype)?),
        Some(_) => return Err("the zero points are not as many as the factors"),
    };
    let flat = if axis.is_some() { vec![scale.len()] } else { vec![] };
    let flatten = |t: &Tensor| t.reshape(&flat).map_err(|_| "the parameters cannot be flattened");
    let rank = i64::try_from(shape.len()).unwrap_or(0);
    // Without an axis the attribute says nothing; the default may lie outside of a vector.
    let axis = axis.map_or(1.min(rank - 1).max(0), |a| a as i64);
    let axis = if planted("fuse-dequantize") { 0 } else { axis };
    let op = DequantizeLinear { axis, block_size: 0, output_dtype: None };
    Ok((op, flatten(scale)?, zero.as_ref().map(flatten).transpose()?))
}

/// The axis of a value of `shape` along which `t` varies; `None` when it is one number.
fn axis_of(t: &Tensor, shape: &[Dim]) -> Result<Option<usize>, &'static str> {
    if t.rank() > shape.len() {
        return Err("the factor has more axes than the integers");
    }
    let lead = shape.len() - t.rank();
    let mut varying = t.shape().iter().enumerate().filter(|(_, d)| **d != 1);
    let Some((i, size)) = varying.next() else { return Ok(None) };
    if varying.next().is_some() || shape[lead + i] != Dim::Known(*size as u64) {
        return Err("the factor is not one number per position of one axis");
    }
    Ok(Some(lead + i))
}

/// `t` as integers of type `dtype`, when that is exact.
fn whole(t: &Tensor, dtype: DType) -> Result<Tensor, &'static str> {
    let values = t.to_f64s().map_err(|_| "the zero points cannot be read")?;
    let (low, high) = dtype.int_range().ok_or("the integers have no range")?;
    let fits = |v: &f64| v.fract() == 0.0 && *v >= low as f64 && *v <= high as f64;
    if !values.iter().all(fits) {
        return Err("a zero point is no number of the integers' type");
    }
    let ints = values.iter().map(|v| *v as i64).collect();
    Tensor::from_wide(dtype, t.shape(), &Wide::I64(ints), false).map_err(|_| "the zero points do not fit")
}
