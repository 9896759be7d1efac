//! Control flow, matrix products, attention, recurrent operators.
pub mod legalize_tflite_captures;
pub mod legalize_tflite_dft;
pub mod legalize_tflite_gemm;
pub mod legalize_tflite_mat_mul;
pub mod legalize_tflite_mat_mul_integer;
pub mod legalize_tflite_scan;

use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::transpose::Transpose;

/// Element type of `v`, when it is a tensor.
fn dtype(g: &Graph, v: ValueId) -> Option<DType> {
    g.ty(v).as_tensor().map(|t| t.dtype)
}

/// `v` cast to `to`.
fn cast(b: &mut Builder<'_>, v: ValueId, to: DType) -> Result<ValueId, Diag> {
    if dtype(b.graph(), v) == Some(to) {
        return Ok(v);
    }
    b.cast(Cast { to, ..Cast::default() }, v)
}

/// `v` with these sizes; 0 stands for an empty axis.
fn reshaped(b: &mut Builder<'_>, v: ValueId, sizes: &[i64]) -> Result<ValueId, Diag> {
    let sizes = b.ints(sizes);
    b.reshape(Reshape { allowzero: true }, v, sizes)
}

/// The matrices in `v` transposed; a constant right away, without computing it.
fn turned(b: &mut Builder<'_>, v: ValueId) -> Result<ValueId, Diag> {
    let rank = b.graph().ty(v).as_tensor().and_then(hoist_ir::types::TensorType::rank).unwrap_or(2);
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    perm.swap(rank - 1, rank - 2);
    if let Some(t) = b.graph().constant(v) {
        let order: Vec<usize> = perm.iter().map(|p| *p as usize).collect();
        if let Ok(t) = t.permute(&order) {
            return Ok(b.constant(t));
        }
    }
    b.transpose(Transpose { perm }, v)
}

/// An input of `to` that is like input `v` of `from`.
fn copied(to: &mut Graph, from: &Graph, v: ValueId) -> ValueId {
    to.add_input(&from.value_label(v), from.ty(v).clone())
}
