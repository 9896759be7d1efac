//! Expansions of operators on constants packed into bytes, with one scale per block: they are unpacked at once.
use super::dequantize_linear::DequantizeLinear;
use super::gather_block_quantized::{GatherBlockQuantized, unpacked};
use super::mat_mul_bnb4::MatMulBnb4;
use super::mat_mul_n_bits::MatMulNBits;
use super::packed::value;
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::DType;
use crate::expand::{Expanded, dtype_of, narrowed, operand, widened};
use crate::graph::ValueId;
use crate::ops::elementwise::arithmetic::{Add, Mul, Sub};
use crate::ops::elementwise::compare::{GreaterOrEqual, Less};
use crate::ops::elementwise::logic::And;
use crate::ops::elementwise::select::Where;
use crate::ops::index::gather::Gather;
use crate::ops::linear::mat_mul::MatMul;
use crate::ops::movement::reshape::Reshape;
use crate::ops::movement::slice::Slice;
use crate::ops::movement::transpose::Transpose;
use crate::ops::movement::unsqueeze::Unsqueeze;
use crate::tensor::Tensor;
use crate::tensor::convert::unpack;

/// The constant behind operand `i`.
fn constant(b: &Builder<'_>, inputs: &[Option<ValueId>], i: usize) -> Option<Tensor> {
    b.graph().constant(inputs.get(i).copied().flatten()?).cloned()
}

/// `t` of integers narrower than a byte with one byte each.
fn bytes_of(t: &Tensor) -> Option<Tensor> {
    let signed = matches!(t.dtype(), DType::I2 | DType::I4);
    match t.dtype() {
        DType::I2 | DType::U2 | DType::I4 | DType::U4 => {
            let values = unpack(&t.bytes().ok()?, t.dtype().bits(), t.len(), signed);
            let bytes = Tensor::from_vec(t.shape(), values);
            if signed { Some(bytes) } else { bytes.bitcast(DType::U8).ok() }
        }
        _ => Some(t.clone()),
    }
}

fn single_precision(t: &Tensor) -> Option<Tensor> {
    t.cast(DType::F32, false).ok()
}

/// The product of `x` and the transpose of `w`, plus `bias`, in `f32` and rounded to the type of `x`.
fn product(b: &mut Builder<'_>, x: ValueId, w: ValueId, bias: Option<ValueId>) -> Expanded {
    let Some(dtype) = dtype_of(b, x) else { return Ok(None) };
    let x = widened(b, x)?;
    let w = b.transpose(Transpose { perm: vec![1, 0] }, w)?;
    let mut y = b.mat_mul(MatMul {}, x, w)?;
    if let Some(bias) = bias {
        let bias = widened(b, bias)?;
        y = b.plus(Add {}, y, bias)?;
    }
    Ok(Some(vec![narrowed(b, y, dtype)?]))
}

/// Expansion of `mat_mul_n_bits` with constant weights and scales.
pub(super) fn mat_mul_n_bits(op: &MatMulNBits, b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let given = |i: usize| inputs.get(i).copied().flatten();
    let x = operand(inputs, 0)?;
    let (Some(weights), Some(scales)) = (constant(b, inputs, 1), constant(b, inputs, 2)) else {
        return Ok(None);
    };
    let points = constant(b, inputs, 3).filter(|z| z.dtype() == DType::U8);
    let reals = given(3).filter(|_| points.is_none());
    if weights.is_empty() || reals.is_some_and(|z| dtype_of(b, z).is_none_or(|d| !d.is_float())) {
        return Ok(None);
    }
    let scales = single_precision(&scales);
    let Some((q, z, s)) = scales.and_then(|s| op.standard(&weights, &s, points.as_ref())) else {
        return Ok(None);
    };
    let w = if reals.is_none() && given(4).is_none() {
        whole(op, b, q, z, s)?
    } else {
        each(op, b, inputs, &q, s)?
    };
    match w {
        Some(w) => product(b, x, w, given(5)),
        None => Ok(None),
    }
}

/// Weights by blocks, zero points being integers.
fn whole(
    op: &MatMulNBits,
    b: &mut Builder<'_>,
    q: Tensor,
    z: Tensor,
    s: Tensor,
) -> Result<Option<ValueId>, Diag> {
    let columns = q.shape().get(1).and_then(|n| i64::try_from(*n).ok());
    let (q, z, s) = (b.constant(q), b.constant(z), b.constant(s));
    let by_block = DequantizeLinear { axis: 1, block_size: op.block_size, output_dtype: None };
    let w = b.dequantize_linear(by_block, q, s, Some(z))?;
    if columns == Some(op.k) {
        return Ok(Some(w));
    }
    let (from, to, axis) = (b.ints(&[0]), b.ints(&[op.k]), b.ints(&[1]));
    b.slice(Slice::default(), w, from, to, Some(axis), None).map(Some)
}

/// Weights with the scale and zero point of the block that each column names, zero points being reals.
fn each(
    op: &MatMulNBits,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    q: &Tensor,
    s: Tensor,
) -> Result<Option<ValueId>, Diag> {
    let (Ok(n), Ok(k), Ok(block)) =
        (usize::try_from(op.n), usize::try_from(op.k), i32::try_from(op.block_size))
    else {
        return Ok(None);
    };
    let blocks = s.shape().get(1).copied().unwrap_or(0);
    let groups = match inputs.get(4).copied().flatten() {
        None => (0..op.k).map(|i| i as i32 / block).collect(),
        Some(_) => match constant(b, inputs, 4).and_then(|g| g.to_i64s().ok()) {
            Some(g) if g.len() == k && g.iter().all(|v| (0..blocks as i64).contains(v)) => {
                g.iter().map(|v| *v as i32).collect::<Vec<i32>>()
            }
            _ => return Ok(None),
        },
    };
    let Some(q) = bytes_of(q).and_then(|q| q.slice(&[0, 0], &[n, k]).ok()) else { return Ok(None) };
    let shape = [n as i64, blocks as i64];
    let (q, s, groups) = (b.constant(q), b.constant(s), b.constant(Tensor::from_vec(&[k], groups)));
    let z = match inputs.get(3).copied().flatten() {
        None => b.scalar((1u32 << (op.bits - 1)) as f32),
        Some(z) => {
            let (z, shape) = (widened(b, z)?, b.ints(&shape));
            let z = b.reshape(Reshape::default(), z, shape)?;
            b.gather(Gather { axis: 1 }, z, groups)?
        }
    };
    let s = b.gather(Gather { axis: 1 }, s, groups)?;
    let q = narrowed(b, q, DType::F32)?;
    let centred = b.sub(Sub {}, q, z)?;
    b.mul(Mul {}, centred, s).map(Some)
}

/// Expansion of `mat_mul_bnb4` with constant weights that are whole blocks.
pub(super) fn mat_mul_bnb4(op: &MatMulBnb4, b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let (Ok((n, k, block)), Ok(table)) = (op.sizes(), op.table()) else { return Ok(None) };
    let Some(bytes) = constant(b, inputs, 1).filter(|t| t.len() == (n * k).div_ceil(2)) else {
        return Ok(None);
    };
    let Ok(bytes) = bytes.view::<u8>() else { return Ok(None) };
    // The last block may be cut, and one block may be larger than all.
    let block = block.min(n * k);
    let blocks = (n * k).div_ceil(block);
    let mut codes: Vec<u8> = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).take(n * k).collect();
    codes.resize(blocks * block, 0);
    let (x, absmax) = (operand(inputs, 0)?, operand(inputs, 2)?);
    let codes = b.constant(Tensor::from_vec(&[blocks, block], codes));
    let table = b.constant(Tensor::from_vec(&[16], table.to_vec()));
    let codes = narrowed(b, codes, DType::I32)?;
    let values = b.gather(Gather { axis: 0 }, table, codes)?;
    let (absmax, column) = (widened(b, absmax)?, b.ints(&[-1, 1]));
    let absmax = b.reshape(Reshape::default(), absmax, column)?;
    let mut w = b.mul(Mul {}, values, absmax)?;
    if blocks * block != n * k {
        let flat = b.ints(&[-1]);
        w = b.reshape(Reshape::default(), w, flat)?;
        let (from, to) = (b.ints(&[0]), b.ints(&[(n * k) as i64]));
        w = b.slice(Slice::default(), w, from, to, None, None)?;
    }
    let shape = b.ints(&[op.n, op.k]);
    let w = b.reshape(Reshape::default(), w, shape)?;
    product(b, x, w, None)
}

/// Data, scales and zero points as `dequantize_linear` takes them.
fn stored(
    op: &GatherBlockQuantized,
    b: &Builder<'_>,
    inputs: &[Option<ValueId>],
) -> Option<[Option<Tensor>; 3]> {
    let (data, scales) = (constant(b, inputs, 0)?, constant(b, inputs, 2)?);
    let zero = inputs
        .get(3)
        .copied()
        .flatten()
        .map(|_| constant(b, inputs, 3))
        .map_or(Some(None), |z| z.map(Some))?;
    if matches!(data.dtype(), DType::I4 | DType::U4) {
        return Some([bytes_of(&data), Some(scales), zero.as_ref().and_then(bytes_of)]);
    }
    let (bits, mut shape) = (op.bits as usize, data.shape().to_vec());
    let last = shape.last_mut().filter(|_| data.dtype() == DType::U8)?;
    *last = last.checked_mul(op.layout(DType::U8, data.rank()).ok()?.per)?;
    let bytes = data.view::<u8>().ok()?;
    let count = crate::tensor::element_count(&shape)?;
    let values: Vec<u8> = (0..count).map(|i| value(&bytes, bits, i)).collect();
    let points = match zero {
        Some(z) => unpacked(&z, bits, scales.shape()).ok()?.iter().map(|v| *v as u8).collect(),
        None => vec![1u8 << (bits - 1); scales.len()],
    };
    let points = Tensor::from_vec(scales.shape(), points);
    Some([Some(Tensor::from_vec(&shape, values)), Some(scales), Some(points)])
}

/// Expansion of `gather_block_quantized` of constants of integers: what is picked is dequantized.
pub(super) fn gather_block_quantized(
    op: &GatherBlockQuantized,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
) -> Expanded {
    let at = operand(inputs, 1)?;
    let Some([Some(data), Some(scales), zero]) = stored(op, b, inputs) else { return Ok(None) };
    let source = constant(b, inputs, 0).map_or(DType::U8, |t| t.dtype());
    let Ok(layout) = op.layout(source, data.rank()) else { return Ok(None) };
    let (rank, shape) = (data.rank(), data.shape().to_vec());
    let Some(size) = shape.get(layout.gather).copied() else { return Ok(None) };
    // Positions outside give zeros.
    let Some(index) = dtype_of(b, at) else { return Ok(None) };
    let number = |b: &mut Builder<'_>, n: i64| {
        if index == DType::I32 { b.scalar(n as i32) } else { b.scalar(n) }
    };
    let (low, high, none) = (number(b, -(size as i64)), number(b, size as i64), number(b, 0));
    let (above, below) = (b.greater_or_equal(GreaterOrEqual {}, at, low)?, b.less(Less {}, at, high)?);
    let inside = b.and(And {}, above, below)?;
    let at = b.r#where(Where {}, inside, at, none)?;
    let gather = Gather { axis: layout.gather as i64 };
    let (data, scales) = (b.constant(data), b.constant(scales));
    let zero = zero.map(|z| b.constant(z));
    let axis = layout.quantize as i64;
    let y = if layout.quantize == layout.gather {
        let by_block = DequantizeLinear { axis, block_size: op.block_size, output_dtype: None };
        let real = b.dequantize_linear(by_block, data, scales, zero)?;
        b.gather(gather, real, at)?
    } else {
        // Axes behind the one that is picked from keep their distance to the end.
        let axis = if layout.quantize < layout.gather { axis } else { axis - rank as i64 };
        let by_block = DequantizeLinear { axis, block_size: op.block_size, output_dtype: None };
        let (data, scales) = (b.gather(gather.clone(), data, at)?, b.gather(gather.clone(), scales, at)?);
        let zero = zero.map(|z| b.gather(gather, z, at)).transpose()?;
        b.dequantize_linear(by_block, data, scales, zero)?
    };
    let after: Vec<i64> = (layout.gather + 1..rank).map(|i| i as i64 - rank as i64).collect();
    let inside = if after.is_empty() {
        inside
    } else {
        let after = b.ints(&after);
        b.unsqueeze(Unsqueeze {}, inside, after)?
    };
    let nothing = b.scalar_like(0.0, y)?;
    Ok(Some(vec![b.r#where(Where {}, inside, y, nothing)?]))
}
