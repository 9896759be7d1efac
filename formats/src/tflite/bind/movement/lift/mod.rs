//! Builtin operators that move elements as nodes.
mod arrange;
mod shape;
mod slice;
mod stablehlo;

use crate::tflite::lift::{Cx, Lift, Lifted};
use crate::tflite::schema::Builtin;
use hoist_ir::diag::Diag;
use hoist_ir::graph::ValueId;
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::movement::reshape::Reshape;

/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = &[
    (Builtin::BroadcastArgs, shape::broadcast_args),
    (Builtin::BroadcastTo, arrange::broadcast_to),
    (Builtin::Concatenation, arrange::concatenation),
    (Builtin::ExpandDims, shape::expand_dims),
    (Builtin::Fill, shape::fill),
    (Builtin::MirrorPad, slice::mirror_pad),
    (Builtin::Pack, arrange::pack),
    (Builtin::Pad, slice::pad),
    (Builtin::Padv2, slice::pad),
    (Builtin::Range, shape::range),
    (Builtin::Rank, shape::rank),
    (Builtin::Reshape, shape::reshape),
    (Builtin::ReverseSequence, arrange::reverse_sequence),
    (Builtin::ReverseV2, arrange::reverse),
    (Builtin::Shape, shape::shape),
    (Builtin::Slice, slice::slice),
    (Builtin::Split, slice::split),
    (Builtin::SplitV, slice::split_v),
    (Builtin::Squeeze, shape::squeeze),
    (Builtin::StablehloBroadcastInDim, stablehlo::broadcast_in_dim),
    (Builtin::StablehloConcatenate, stablehlo::concatenate),
    (Builtin::StablehloPad, stablehlo::pad),
    (Builtin::StablehloReshape, stablehlo::reshape),
    (Builtin::StablehloSlice, stablehlo::slice),
    (Builtin::StablehloTranspose, stablehlo::transpose),
    (Builtin::StridedSlice, slice::strided_slice),
    (Builtin::Tile, arrange::tile),
    (Builtin::Transpose, arrange::transpose),
    (Builtin::Unpack, arrange::unpack),
];

impl Cx<'_, '_> {
    /// `axis` counted from the front.
    pub(in crate::tflite::bind) fn axis(&self, axis: i64, rank: usize) -> Result<usize, Diag> {
        resolve_axis(axis, rank).map_err(|e| self.bad(e.message))
    }
    /// `v` as a list: of one element when it is 0-d.
    pub(in crate::tflite::bind) fn list(&mut self, v: ValueId) -> Result<ValueId, Diag> {
        if self.shape(v).is_some_and(|s| s.len() == 1) {
            return Ok(v);
        }
        self.reshape(v, &[-1])
    }
    /// `v` under constant sizes.
    pub(in crate::tflite::bind) fn reshape(&mut self, v: ValueId, sizes: &[i64]) -> Result<ValueId, Diag> {
        let constant = self.b.graph().constant(v).cloned();
        let fixed: Option<Vec<usize>> = sizes.iter().map(|n| usize::try_from(*n).ok()).collect();
        if let Some(t) = constant.zip(fixed).and_then(|(t, s)| t.reshape(&s).ok()) {
            return Ok(self.b.constant(t));
        }
        let sizes = self.b.ints(sizes);
        self.op(Reshape::default(), &[v, sizes])
    }
    /// Entries of a list, at constant positions.
    pub(in crate::tflite::bind) fn pick(&mut self, list: ValueId, at: &[i64]) -> Result<ValueId, Diag> {
        let at = self.b.ints(at);
        self.op(Gather { axis: 0 }, &[list, at])
    }
    /// Tensors joined along an axis.
    pub(in crate::tflite::bind) fn concat(&mut self, parts: &[ValueId], axis: i64) -> Result<ValueId, Diag> {
        if let [one] = parts { Ok(*one) } else { self.op(Concat { axis }, parts) }
    }
    /// The one result, cast to the element type that the file declares.
    pub(in crate::tflite::bind) fn declared(&mut self, v: ValueId) -> Lifted {
        let dtype = self.results.first().map(|r| r.ty.dtype).ok_or_else(|| self.bad("no result"))?;
        Ok(vec![self.cast(v, dtype)?])
    }
}
