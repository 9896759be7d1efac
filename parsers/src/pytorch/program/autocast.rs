//! Element types under autocast on a CPU: which operators convert their floats to the lower type, to `f32`, or to the widest among them.
use crate::pytorch::lift::alias::Owner;
use crate::pytorch::lift::cx::{Cx, R, Val, malformed, unsupported};
use crate::pytorch::schema::{Argument, Node};
use hoist_ir::dtype::DType;
use std::collections::BTreeSet;

/// Operators computed in the lower type.
const LOWER: &[&str] = &[
    "conv1d",
    "conv2d",
    "conv3d",
    "bmm",
    "mm",
    "linalg_vecdot",
    "baddbmm",
    "addmm",
    "addbmm",
    "linear",
    "_convolution",
    "matmul",
    "conv_tbc",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "prelu",
    "scaled_dot_product_attention",
];
/// Operators computed in `f32`.
const FULL: &[&str] = &[
    "avg_pool3d",
    "binary_cross_entropy",
    "grid_sampler",
    "polar",
    "prod",
    "quantile",
    "nanquantile",
    "stft",
    "cdist",
    "trace",
    "view_as_complex",
    "cholesky",
    "cholesky_inverse",
    "cholesky_solve",
    "inverse",
    "lu_solve",
    "orgqr",
    "ormqr",
    "pinverse",
    "max_pool3d",
    "max_unpool2d",
    "max_unpool3d",
    "adaptive_avg_pool3d",
    "reflection_pad1d",
    "reflection_pad2d",
    "replication_pad1d",
    "replication_pad2d",
    "replication_pad3d",
    "mse_loss",
    "cosine_embedding_loss",
    "nll_loss",
    "nll_loss2d",
    "hinge_embedding_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "cross_entropy_loss",
    "l1_loss",
    "huber_loss",
    "margin_ranking_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "multi_margin_loss",
    "ctc_loss",
    "kl_div",
    "multilabel_margin_loss",
    "binary_cross_entropy_with_logits",
];
/// Operators computed in the widest type among their floats.
const WIDEST: &[&str] = &["stack", "cat", "index_copy"];

/// The lower type that a region uses; none outside of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Autocast(Option<DType>);

impl Autocast {
    /// The rule of a `wrap_with_autocast` node: device, type, whether it is on, ...
    ///
    /// # Errors
    /// When the region is for a device other than the CPU.
    pub fn of(node: &Node) -> R<Self> {
        let arg = |i: usize| node.inputs.get(i).map(|n| &n.arg);
        match arg(2) {
            Some(Argument::Bool(false)) => return Ok(Self(None)),
            Some(Argument::Bool(true)) => {}
            _ => return Err(malformed("autocast is neither on nor off")),
        }
        if !matches!(arg(0), Some(Argument::String(device)) if device == "cpu") {
            return Err(unsupported("autocast for a device other than the CPU")
                .hint("export the model without autocast, or converted to half precision as a whole"));
        }
        match arg(1) {
            None | Some(Argument::None) => Ok(Self(Some(DType::BF16))),
            Some(Argument::ScalarType(code)) => {
                let known = code.dtype().and_then(crate::pytorch::lift::promote::ir_dtype);
                let half = known.filter(|d| matches!(d, DType::BF16 | DType::F16));
                half.map(|d| Self(Some(d)))
                    .ok_or_else(|| unsupported("autocast to a type other than f16 and bf16"))
            }
            Some(_) => Err(malformed("the type of autocast is none")),
        }
    }
    /// Converts the tensors among the arguments of operator `target`, as `aten.conv2d.default`.
    ///
    /// # Errors
    /// When a conversion fails.
    pub fn convert(self, cx: &mut Cx, target: &str, args: &mut [(String, Val)]) -> R<()> {
        let Some(lower) = self.0 else { return Ok(()) };
        let Some(name) = target.strip_prefix("aten.").and_then(|t| t.split('.').next()) else {
            return Ok(());
        };
        let to = if LOWER.contains(&name) {
            lower
        } else if FULL.contains(&name) {
            DType::F32
        } else if WIDEST.contains(&name) {
            let mut found = BTreeSet::new();
            args.iter().try_for_each(|(_, v)| types(cx, v, &mut found))?;
            if found.contains(&true) { DType::F32 } else { return Ok(()) }
        } else {
            return Ok(());
        };
        args.iter_mut().try_for_each(|(_, v)| convert(cx, v, to))
    }
}

/// Whether some eligible tensor is `f32` (true) or narrower (false).
fn types(cx: &mut Cx, val: &Val, found: &mut BTreeSet<bool>) -> R<()> {
    match val {
        Val::Tensor(id) => {
            let v = cx.read_tensor(*id)?;
            let dtype = cx.dtype(v)?;
            if matches!(dtype, DType::F32 | DType::F16 | DType::BF16) {
                found.insert(dtype == DType::F32);
            }
            Ok(())
        }
        Val::List(items) => items.iter().try_for_each(|v| types(cx, v, found)),
        _ => Ok(()),
    }
}
fn convert(cx: &mut Cx, val: &mut Val, to: DType) -> R<()> {
    match val {
        Val::Tensor(id) => {
            let v = cx.read_tensor(*id)?;
            let from = cx.dtype(v)?;
            if from != to && matches!(from, DType::F32 | DType::F16 | DType::BF16) {
                let v = cx.cast(v, to)?;
                *id = cx.new_tensor(v, Owner::Local);
            }
            Ok(())
        }
        Val::List(items) => items.iter_mut().try_for_each(|v| convert(cx, v, to)),
        _ => Ok(()),
    }
}
