//! Quantized weights as ONNX Runtime packs them: `mat_mul_n_bits` and `gather_block_quantized`.
use crate::pass::Ctx;
use crate::quantize::sharing::{Sharing, share};
use crate::quantize::spec::Grid;
use crate::quantize::weight_slots::{Role, Weight};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::quant::gather_block_quantized::GatherBlockQuantized;
use hoist_ir::ops::quant::mat_mul_n_bits::MatMulNBits;
use hoist_ir::tensor::{Tensor, TensorError};
use hoist_ir::types::TensorType;

/// Positions of a block, at least; a power of 2.
const LEAST: usize = 16;
/// Positions of a block of 8 bits where no number is asked for: scales for fewer make products slower and gain little.
const BYTES: usize = 128;
/// Positions of a block of less.
const NIBBLES: usize = 32;
/// Rounds data to 8 bits inside of the product, as ONNX Runtime does for products of dequantized weights too. With less rounding, products of 4 bits take three times as
/// long, those of 8 bits up to a hundred times.
const ACCURACY: i64 = 4;

/// Weights as bytes, each row in blocks.
pub struct Packed {
    /// Bytes of `[rows, blocks, bytes of a block]`.
    data: Tensor,
    /// Scales of `[rows, blocks]`.
    scales: Tensor,
    /// Zero points, packed as the data is; none in the middle of the range.
    zero_points: Option<Tensor>,
    rows: usize,
    columns: usize,
    bits: u32,
    block: usize,
    /// Whether rows are gathered.
    table: bool,
}

/// What products of packed weights take the place of, or the reason why none do: all users multiply by `w`, or all gather its rows.
///
/// # Errors
/// When the weights cannot be read.
pub fn pack(
    g: &Graph,
    cx: &Ctx,
    users: &[(NodeId, usize, Weight)],
    w: &Tensor,
    (grid, sharing): (Grid, Sharing),
    scale: DType,
) -> Result<Option<Packed>, TensorError> {
    let (bits, has) = (grid.dtype.bits(), |op: &str| cx.profile.is_some_and(|p| p.allows(op)));
    let all = |fits: &dyn Fn(NodeId, &Weight) -> bool| users.iter().all(|(n, _, w)| fits(*n, w));
    let table = all(&|_, w| w.role == Role::Table);
    let fits = w.rank() == 2 && grid.dtype.is_int() && matches!(bits, 4 | 8);
    let product = has("mat_mul_n_bits") && all(&|n, w| is_product(g, n, w));
    // Rows of bytes are gathered by `gather`.
    if !fits || !(product || table && bits == 4 && has("gather_block_quantized")) {
        return Ok(None);
    }
    let turned = users.iter().all(|(_, _, w)| w.role != Role::Matrix);
    if !turned && users.iter().any(|(_, _, w)| w.role != Role::Matrix) {
        return Ok(None);
    }
    let view = if turned { w.clone() } else { w.permute(&[1, 0])? };
    let &[rows, columns] = view.shape() else { return Ok(None) };
    if columns < LEAST || table && !columns.is_multiple_of(2) {
        return Ok(None);
    }
    let asked = match sharing {
        Sharing::Blocks { size, .. } => size,
        _ if bits == 8 => BYTES,
        _ => NIBBLES,
    };
    // The power of 2 that is not above what is asked for, nor needlessly above the row.
    let block = (1 << asked.ilog2()).clamp(LEAST, columns.next_power_of_two().max(LEAST));
    let unsigned = Grid { dtype: if bits == 4 { DType::U4 } else { DType::U8 }, ..grid };
    let blocks = columns.div_ceil(block);
    let spare = if table { 0 } else { blocks * block - columns };
    let view = if spare == 0 {
        view
    } else {
        Tensor::concat(&[view, Tensor::splat(&Tensor::scalar(0.0f32), &[rows, spare])?], 1)?
    };
    let q = share(&view, Sharing::Blocks { axis: 1, size: block }, unsigned, true, scale)?;
    let bytes = view.shape()[1] * bits as usize / 8;
    let shape: &[usize] = if table { &[rows, bytes] } else { &[rows, blocks, block * bits as usize / 8] };
    let zero_points = if grid.symmetric {
        None
    } else {
        q.zero_points.as_ref().map(|z| packed_rows(z, bits)).transpose()?
    };
    Ok(Some(Packed {
        data: q.data.packed_bytes(shape)?,
        scales: q.scales,
        zero_points,
        rows,
        columns,
        bits,
        block,
        table,
    }))
}

/// Whether node `n` only multiplies by the weights and adds a bias to each row.
fn is_product(g: &Graph, n: NodeId, w: &Weight) -> bool {
    if !matches!(w.role, Role::Matrix | Role::Turned) {
        return false;
    }
    let node = g.node(n);
    match node.op() {
        Op::MatMul(_) => true,
        Op::Gemm(op) => {
            let row = |c: ValueId| g.ty(c).as_tensor().and_then(TensorType::rank) == Some(1);
            op.alpha == 1.0 && op.beta == 1.0 && !op.trans_a && node.input(2).is_none_or(row)
        }
        _ => false,
    }
}

/// Zero points `[rows, blocks]` as bytes, each row from a byte boundary on.
fn packed_rows(z: &Tensor, bits: u32) -> Result<Tensor, TensorError> {
    let (rows, blocks) = (z.shape()[0], z.shape()[1]);
    let stride = (blocks * bits as usize).div_ceil(8);
    let mut out = vec![0u8; rows * stride];
    for (i, v) in z.to_i64s()?.into_iter().enumerate() {
        let bit = i % blocks * bits as usize;
        out[i / blocks * stride + bit / 8] |= (v as u8) << (bit % 8);
    }
    Ok(Tensor::from_vec(&[rows, stride], out))
}

impl Packed {
    /// Bytes of all parts.
    pub fn byte_len(&self) -> usize {
        self.data.byte_len() + self.scales.byte_len() + self.zero_points.as_ref().map_or(0, Tensor::byte_len)
    }
    /// Makes all `users` of constant `v` read packed weights.
    ///
    /// # Errors
    /// When a part does not fit; what was rewritten until then stays, which is valid.
    pub fn put(&self, g: &mut Graph, v: ValueId, users: &[(NodeId, usize, Weight)]) -> Result<(), Diag> {
        let name = g.value(v).name.clone();
        let parts = [Some(&self.data), Some(&self.scales), self.zero_points.as_ref()];
        let [data, scales, zeros] = parts.map(|t| t.map(|t| g.add_const(t.clone())));
        for (n, _, _) in users {
            let node = g.node(*n);
            let (x, index, bias) = (node.input(0), node.input(1), node.input(2));
            if self.table {
                g.rewrite(*n, &[], |b| b.add(self.gather(), &[data, index, scales, zeros]))?;
            } else {
                let operands = [x, data, scales, zeros, None, bias];
                let count = if bias.is_some() { 6 } else { 4 };
                g.rewrite(*n, &[], |b: &mut Builder<'_>| b.add(self.product(), &operands[..count]))?;
            }
        }
        g.drop_unused_const(v);
        if let Some(data) = data {
            g.set_name(data, name);
        }
        Ok(())
    }
    fn gather(&self) -> GatherBlockQuantized {
        let (bits, block_size) = (i64::from(self.bits), self.block as i64);
        GatherBlockQuantized { bits, block_size, gather_axis: 0, quantize_axis: 1 }
    }
    fn product(&self) -> MatMulNBits {
        MatMulNBits {
            n: self.rows as i64,
            k: self.columns as i64,
            bits: i64::from(self.bits),
            block_size: self.block as i64,
            accuracy_level: ACCURACY,
            weight_prepacked: 0,
        }
    }
}
