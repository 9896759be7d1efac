//! Operators on images and signals: convolutions, poolings, resizing, blocks, normalization over windows.
//!
//! LiteRT computes them on data whose channels come last, with padding `SAME` or `VALID`. What a lowering function lacks is said in the words below, by which the
//! passes of `legalize-tflite-spatial` know their nodes.
mod blocks;
mod conv;
mod lift_conv;
mod lift_other;
mod norm;
mod pool;
pub mod resize;
mod transposed;
pub mod window;

use crate::tflite::lift::Lift;
use crate::tflite::lower::{Cx, Lower, R};
use crate::tflite::program::T;
use crate::tflite::schema::Builtin;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;

/// Padding that is neither `SAME` nor `VALID`.
pub const PADDING: &str = "padding that is neither SAME nor VALID";
/// Windows whose elements are apart.
pub const DILATION: &str = "dilations";
/// Groups of channels.
pub const GROUPS: &str = "groups of channels";
/// Another number of spatial axes than the kernels have.
pub const AXES: &str = "this number of axes";
/// An operator that is a few simpler ones.
pub const COMPOSED: &str = "one builtin operator";

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[
    ("average_pool", pool::average_pool),
    ("batch_normalization", norm::composed),
    ("conv", conv::conv),
    ("conv_transpose", transposed::conv_transpose),
    ("depth_to_space", blocks::depth_to_space),
    ("global_average_pool", pool::global_average_pool),
    ("global_max_pool", pool::global_max_pool),
    ("group_normalization", norm::group_normalization),
    ("lrn", norm::lrn),
    ("max_pool", pool::max_pool),
    ("resize", resize::resize),
    ("space_to_depth", blocks::space_to_depth),
];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = &[
    (Builtin::AveragePool2d, lift_other::average_pool),
    (Builtin::BatchToSpaceNd, lift_other::batch_to_space),
    (Builtin::Conv2d, lift_conv::conv),
    (Builtin::Conv3d, lift_conv::conv_3d),
    (Builtin::Conv3dTranspose, lift_conv::conv_3d_transpose),
    (Builtin::DepthToSpace, lift_other::depth_to_space),
    (Builtin::DepthwiseConv2d, lift_conv::depthwise),
    (Builtin::Dilate, lift_other::dilate),
    (Builtin::L2Normalization, lift_other::l2_normalization),
    (Builtin::L2Pool2d, lift_other::l2_pool),
    (Builtin::LocalResponseNormalization, lift_other::lrn),
    (Builtin::MaxPool2d, lift_other::max_pool),
    (Builtin::ResizeBilinear, lift_other::resize),
    (Builtin::ResizeNearestNeighbor, lift_other::resize),
    (Builtin::SpaceToBatchNd, lift_other::space_to_batch),
    (Builtin::SpaceToDepth, lift_other::space_to_depth),
    (Builtin::TransposeConv, lift_conv::transpose_conv),
];

/// Refuses element types but `f32`.
fn needs_f32(cx: &Cx<'_>) -> R<()> {
    match cx.dtype(0)? {
        DType::F32 => Ok(()),
        other => Err(format!("element type {other}")),
    }
}

/// Operand `i` with its axes in another order: at once for constants, else when the model runs.
fn permuted(cx: &mut Cx<'_>, i: usize, perm: &[usize]) -> R<T> {
    if let Some(t) = cx.constant(i) {
        let t = t.permute(perm).map_err(|e| e.to_string())?;
        return Ok(cx.konst(t));
    }
    let (x, ty) = (cx.arg(i)?, cx.ty(i)?);
    let shape = ty.shape.as_ref().map(|s| perm.iter().map(|p| s[*p].clone()).collect::<Vec<Dim>>());
    let order = cx.ints32(&perm.iter().map(|p| *p as i64).collect::<Vec<_>>())?;
    cx.temp(Builtin::Transpose, None, &[Some(x), Some(order)], TensorType::new(ty.dtype, shape))
}

/// Operand `i` as the bias of `channels` output channels; zeros when it is left out.
fn bias(cx: &mut Cx<'_>, i: usize, channels: Option<u64>) -> R<T> {
    if let Some(t) = cx.opt(i)? {
        return Ok(t);
    }
    let n = channels.and_then(|c| usize::try_from(c).ok()).ok_or("an unknown number of output channels")?;
    let zeros = Tensor::splat(&Tensor::scalar(0f32), &[n]).map_err(|e| e.to_string())?;
    Ok(cx.konst(zeros))
}

/// An attribute that lists one number for each of `n` axes; `default` when it is empty.
fn per_axis(list: &[i64], n: usize, default: i64) -> Vec<i64> {
    if list.len() == n { list.to_vec() } else { vec![default; n] }
}

/// Known sizes of the spatial axes of operand 0.
fn spatial_sizes(cx: &Cx<'_>, first: usize, n: usize) -> R<Vec<Option<i64>>> {
    let shape = cx.shape(0).ok_or("an operand of unknown rank")?;
    let sizes = shape.iter().skip(first).take(n);
    Ok(sizes.map(|d| d.known().and_then(|v| i64::try_from(v).ok())).collect())
}
