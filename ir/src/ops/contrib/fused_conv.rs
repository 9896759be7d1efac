//! `fused_conv`
use super::activate::{Activation, Params};
use super::meaning::{eval_wide, operand, optional};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::FLOATS;
use crate::graph::ValueId;
use crate::ops::elementwise::arithmetic::Add;
use crate::ops::spatial::conv::Conv;
use crate::ops::words::{AutoPad, Layout};

crate::op! {
    /// Convolution, then the addition of `z`, which has the shape of the result, then an activation.
    fused_conv FusedConv(x: One<T>, w: One<T>, b: Opt<T>, z: Opt<T>) -> (y: One<T>) {
        /// The activation.
        activation: Option<Activation> = None,
        /// Its parameters: the slope of `LeakyRelu`, the bounds of `Clip`, `alpha` and `beta` of `HardSigmoid`.
        activation_params: Vec<f32> = vec![],
        /// How padding is chosen when `pads` does not say.
        auto_pad: AutoPad = AutoPad::NotSet,
        /// Steps between the elements of a window; empty is 1.
        dilations: Vec<i64> = vec![],
        /// Groups that channels are split into.
        group: i64 = 1,
        /// Sizes of the window; empty is those of the weights.
        kernel_shape: Vec<i64> = vec![],
        /// Padding: all beginnings, then all ends; empty is none.
        pads: Vec<i64> = vec![],
        /// Steps between windows; empty is 1.
        strides: Vec<i64> = vec![],
    } where T: FLOATS;
    infer = crate::expand::infer, eval = eval_wide, expand = expand;
}

impl FusedConv {
    fn params(&self) -> Result<Params, Diag> {
        let p = &self.activation_params;
        let needed = match self.activation {
            Some(Activation::LeakyRelu) => Some(1),
            Some(Activation::Clip | Activation::HardSigmoid) => Some(2),
            _ => None,
        };
        if needed.is_some_and(|n| n != p.len()) {
            let m = format!("activation_params has {} numbers, the activation takes another count", p.len());
            return Err(Diag::error("E0304", m));
        }
        Ok(Params { alpha: p.first().copied(), beta: p.get(1).copied(), gamma: p.get(2).copied() })
    }
}

/// Refuses operands of other shapes than the result's.
fn same_shape(b: &Builder<'_>, y: ValueId, z: ValueId) -> Result<(), Diag> {
    let (y, z) = (b.graph().ty(y), b.graph().ty(z));
    if y.meet(z).is_some() {
        return Ok(());
    }
    Err(Diag::error("E0305", format!("the operand that is added is {z}, the convolution {y}")))
}

fn expand(
    op: &FusedConv,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let conv = Conv {
        auto_pad: op.auto_pad,
        dilations: op.dilations.clone(),
        group: op.group,
        kernel_shape: op.kernel_shape.clone(),
        pads: op.pads.clone(),
        strides: op.strides.clone(),
        layout: Layout::ChannelsFirst,
    };
    let mut y = b.conv(conv, operand(inputs, 0)?, operand(inputs, 1)?, optional(inputs, 2))?;
    if let Some(z) = optional(inputs, 3) {
        same_shape(b, y, z)?;
        y = b.plus(Add {}, y, z)?;
    }
    if let Some(a) = op.activation {
        y = a.add(b, y, op.params()?)?;
    }
    Ok(Some(vec![y]))
}
