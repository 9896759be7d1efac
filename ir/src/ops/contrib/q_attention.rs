//! `q_attention`
use super::attention::{I32_ONLY, Projected};
use super::heads::{check_mask, plus, shape_of, split};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet};
use crate::expand;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::attention::causal_conv_with_state::agreed;
use crate::ops::attention::steps::Steps;
use crate::ops::elementwise::arithmetic::Mul;
use crate::ops::linear::mat_mul_integer::{BYTES, MatMulInteger};
use crate::types::{Shape, TensorType, Type};

/// Floats of scales and results.
const SCALES: DTypeSet = DTypeSet::of(&[DType::F32, DType::F16]);

crate::op! {
    /// ONNX Runtime's `QAttention`: [`ContribAttention`](super::attention::ContribAttention) on quantized data `[B, S, I]` and weights `[I, 3 *
    /// D]`. Their product is exact in integers, then multiplied with both scales; scale and zero point of the weights are one, or one for
    /// each column.
    q_attention QAttention(
        input: One<T1>, weight: One<T2>, bias: One<T3>, input_scale: One<T3>, weight_scale: One<T3>, mask_index: Opt<T4>,
        input_zero_point: Opt<T1>, weight_zero_point: Opt<T2>, past: Opt<T3>
    ) -> (output: One<T3>, present: Opt<T3>) {
        /// What is added to the score of a key that the mask hides.
        mask_filter_value: f32 = -10000.0,
        /// Number of heads.
        num_heads: i64 = 0,
        /// Factor of the products; 0 is `1 / sqrt(H)`.
        scale: f32 = 0.0,
        /// Whether a query sees no key after it.
        unidirectional: bool = false,
    } where T1: BYTES, T2: BYTES, T3: SCALES, T4: I32_ONLY;
    infer = infer, eval = expand::eval, expand = expand;
}

/// Refuses operand `i` unless it has one number, or with `columns` one for each of them.
fn check_scale(cx: &InferCx<'_>, i: usize, columns: Option<&Dim>) -> Result<(), OpError> {
    let one = |d: &Dim| d.known().is_none_or(|n| n == 1);
    match shape_of(cx, i, &[0, 1])?.map(Vec::as_slice) {
        Some([n]) if !one(n) && columns.is_none_or(|c| c.surely_differs(n)) => {
            Err(OpError::shape(format!("operand {i} of `q_attention` has {n} numbers")))
        }
        _ => Ok(()),
    }
}

fn infer(op: &QAttention, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let dtype = cx.dtype(2)?;
    let open = vec![Dim::Unknown; 5];
    let x = shape_of(cx, 0, &[3])?.unwrap_or(&open);
    let w = shape_of(cx, 1, &[2])?.unwrap_or(&open);
    agreed(&x[2], &w[0], "features of data and weights")?;
    let bias = shape_of(cx, 2, &[1])?.unwrap_or(&open);
    let columns = agreed(&w[1], &bias[0], "features of weights and bias")?;
    let hidden = split(&columns, 3, "weights of queries, keys and values")?;
    let head = split(&hidden, op.num_heads, "queries")?;
    for (i, all) in [(3, None), (4, Some(&columns)), (6, None), (7, Some(&columns))] {
        check_scale(cx, i, all)?;
    }
    let heads = Dim::Known(op.num_heads.unsigned_abs());
    let (mut batch, mut total) = (x[0].clone(), x[1].clone());
    if let Some(past) = shape_of(cx, 8, &[5])? {
        agreed(&past[0], &Dim::Known(2), "keys and values of `past`")?;
        batch = agreed(&batch, &past[1], "batch")?;
        agreed(&past[2], &heads, "heads of `past`")?;
        agreed(&past[4], &head, "features of `past`")?;
        total = plus(&past[3], &total);
    } else if cx.has(8) {
        total = Dim::Unknown;
    }
    check_mask(cx, 5, [&batch, &x[1], &total], true)?;
    let ty = |s: Shape| Type::from(TensorType::new(dtype, s));
    let y = vec![batch.clone(), x[1].clone(), hidden];
    Ok(vec![ty(y), ty(vec![Dim::Known(2), batch, heads, total, head])])
}

fn expand(
    op: &QAttention,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    outputs: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let operand = |i: usize| inputs.get(i).copied().flatten();
    let (Some(x), Some(w), Some(bias)) = (operand(0), operand(1), operand(2)) else { return Ok(None) };
    let (Some(x_scale), Some(w_scale)) = (operand(3), operand(4)) else { return Ok(None) };
    let mut s = Steps { b };
    let dtype = s.dtype(bias);
    let Some(columns) = s.known(w, 1) else { return Ok(None) };
    let product = s.opt(MatMulInteger {}, &[Some(x), Some(w), operand(6), operand(7)])?;
    let product = s.cast(product, DType::F32)?;
    let mut wide = |v: ValueId| s.cast(v, DType::F32);
    let (x_scale, w_scale, bias) = (wide(x_scale)?, wide(w_scale)?, wide(bias)?);
    let past = operand(8).map(wide).transpose()?;
    let scale = s.op(Mul {}, &[x_scale, w_scale])?;
    let scaled = s.op(Mul {}, &[product, scale])?;
    let core = Projected {
        all: s.plus(scaled, bias)?,
        hidden: (columns / 3, columns / 3),
        heads: op.num_heads,
        scale: op.scale,
        causal: op.unidirectional,
        filter: op.mask_filter_value,
    };
    let Some(results) = core.attend(&mut s, operand(5), past, None, outputs)? else { return Ok(None) };
    Ok(Some(results.into_iter().map(|r| s.cast(r, dtype)).collect::<Result<_, _>>()?))
}
