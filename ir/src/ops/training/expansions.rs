//! Losses in terms of gathered logarithms of probabilities.
use super::cross_entropy::LossReduction;
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::DType;
use crate::expand::{Expanded, dtype_of, narrowed, operand, widened};
use crate::graph::ValueId;
use crate::ops::elementwise::arithmetic::{Div, Mul};
use crate::ops::elementwise::cast::Cast;
use crate::ops::elementwise::compare::Equal;
use crate::ops::elementwise::select::Where;
use crate::ops::elementwise::unary::Neg;
use crate::ops::index::gather::Gather;
use crate::ops::index::gather_elements::GatherElements;
use crate::ops::movement::expand::Expand;
use crate::ops::movement::squeeze::Squeeze;
use crate::ops::movement::unsqueeze::Unsqueeze;
use crate::ops::reduce::reductions::{ReduceMean, ReduceSum};
use crate::ops::reduce::softmax::LogSoftmax;
use crate::ops::shape::shape::Shape;

/// Attributes of both losses.
#[derive(Clone, Copy)]
pub(super) struct Loss {
    pub ignore: Option<i64>,
    pub reduction: LossReduction,
}

fn sum(b: &mut Builder<'_>, v: ValueId) -> Result<ValueId, Diag> {
    b.reduce_sum(ReduceSum { keepdims: false, ..ReduceSum::default() }, v, None)
}

/// Classes of the samples, and which samples are ignored; those have class 0.
fn classes(
    b: &mut Builder<'_>,
    target: ValueId,
    ignore: Option<i64>,
) -> Result<(ValueId, Option<ValueId>), Diag> {
    let target = b.cast(Cast { to: DType::I64, ..Cast::default() }, target)?;
    let Some(ignore) = ignore else { return Ok((target, None)) };
    let (ignore, zero) = (b.scalar(ignore), b.scalar(0i64));
    let ignored = b.equal(Equal {}, target, ignore)?;
    Ok((b.r#where(Where {}, ignored, zero, target)?, Some(ignored)))
}

impl Loss {
    /// The loss of logarithms of probabilities `logs`.
    fn of(
        self,
        b: &mut Builder<'_>,
        logs: ValueId,
        target: ValueId,
        weight: Option<ValueId>,
    ) -> Result<ValueId, Diag> {
        let (target, ignored) = classes(b, target, self.ignore)?;
        let axis = b.ints(&[1]);
        let at = b.unsqueeze(Unsqueeze {}, target, axis)?;
        let picked = b.gather_elements(GatherElements { axis: 1 }, logs, at)?;
        let picked = b.squeeze(Squeeze {}, picked, Some(axis))?;
        let mut loss = b.neg(Neg {}, picked)?;
        let mut weights = weight.map(|w| b.gather(Gather { axis: 0 }, w, target)).transpose()?;
        if let Some(w) = weights {
            loss = b.mul(Mul {}, loss, w)?;
        }
        if let Some(ignored) = ignored {
            let (zero, one) = (b.scalar_like(0.0, loss)?, b.scalar_like(1.0, loss)?);
            loss = b.r#where(Where {}, ignored, zero, loss)?;
            let given = match weights {
                Some(w) => w,
                None => {
                    let sizes = b.shape(Shape::default(), target)?;
                    b.expand(Expand {}, one, sizes)?
                }
            };
            weights = Some(b.r#where(Where {}, ignored, zero, given)?);
        }
        match (self.reduction, weights) {
            (LossReduction::None, _) => Ok(loss),
            (LossReduction::Sum, _) => sum(b, loss),
            (LossReduction::Mean, None) => {
                b.reduce_mean(ReduceMean { keepdims: false, ..ReduceMean::default() }, loss, None)
            }
            (LossReduction::Mean, Some(w)) => {
                let (total, weight) = (sum(b, loss)?, sum(b, w)?);
                b.div(Div {}, total, weight)
            }
        }
    }
}

fn rank(b: &Builder<'_>, v: ValueId) -> Option<usize> {
    b.graph().ty(v).as_tensor()?.rank()
}

/// Expansion of `negative_log_likelihood_loss`.
pub(super) fn likelihood(loss: Loss, b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let (x, target) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let (Some(dtype), Some(_)) = (dtype_of(b, x), rank(b, x)) else { return Ok(None) };
    let x = widened(b, x)?;
    let weight = inputs.get(2).copied().flatten().map(|w| widened(b, w)).transpose()?;
    let y = loss.of(b, x, target, weight)?;
    Ok(Some(vec![narrowed(b, y, dtype)?]))
}

/// Expansion of `softmax_cross_entropy_loss`.
pub(super) fn cross_entropy(loss: Loss, b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let (x, target) = (operand(inputs, 0)?, operand(inputs, 1)?);
    let (Some(dtype), Some(_)) = (dtype_of(b, x), rank(b, x)) else { return Ok(None) };
    let x = widened(b, x)?;
    let weight = inputs.get(2).copied().flatten().map(|w| widened(b, w)).transpose()?;
    let logs = b.log_softmax(LogSoftmax { axis: 1 }, x)?;
    let y = loss.of(b, logs, target, weight)?;
    Ok(Some(vec![narrowed(b, y, dtype)?, narrowed(b, logs, dtype)?]))
}
