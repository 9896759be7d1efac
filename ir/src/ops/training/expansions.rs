//! Losses in terms of simpler operators, as ONNX's function bodies have them. 16-bit floats are widened first, so that results are rounded once.
use super::cross_entropy::{LossReduction, NegativeLogLikelihoodLoss, SoftmaxCrossEntropyLoss};
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::DType;
use crate::expand::{Expanded, dtype_of, narrowed, operand, widened};
use crate::graph::ValueId;
use crate::ops::Op;
use crate::ops::elementwise::arithmetic::{Div, Mul};
use crate::ops::elementwise::compare::Equal;
use crate::ops::elementwise::select::Where;
use crate::ops::elementwise::unary::Neg;
use crate::ops::index::gather::Gather;
use crate::ops::index::gather_elements::GatherElements;
use crate::ops::movement::squeeze::Squeeze;
use crate::ops::movement::unsqueeze::Unsqueeze;
use crate::ops::reduce::reductions::{ReduceMean, ReduceSum};
use crate::ops::reduce::softmax::LogSoftmax;

/// Axis of the classes.
const CLASSES: i64 = 1;

fn one(b: &mut Builder<'_>, op: impl Into<Op>, operands: &[ValueId]) -> Result<ValueId, Diag> {
    let operands: Vec<Option<ValueId>> = operands.iter().map(|v| Some(*v)).collect();
    Ok(b.add(op, &operands)?[0])
}

/// What both losses do with the logarithms `logs` of probabilities, which are wide enough.
fn loss(
    b: &mut Builder<'_>,
    (logs, target, weight): (ValueId, ValueId, Option<ValueId>),
    (ignore, reduction): (Option<i64>, LossReduction),
) -> Result<ValueId, Diag> {
    let ignored = match ignore {
        Some(class) => {
            let class = b.scalar_like(class as f64, target)?;
            Some(one(b, Equal {}, &[target, class])?)
        }
        None => None,
    };
    // Ignored classes may be out of range.
    let class = match ignored {
        Some(ignored) => {
            let zero = b.scalar_like(0.0, target)?;
            one(b, Where {}, &[ignored, zero, target])?
        }
        None => target,
    };
    let axis = b.ints(&[CLASSES]);
    let column = one(b, Unsqueeze {}, &[class, axis])?;
    let log = one(b, GatherElements { axis: CLASSES }, &[logs, column])?;
    let log = one(b, Squeeze {}, &[log, axis])?;
    let mut losses = one(b, Neg {}, &[log])?;
    let mut weights = match weight {
        Some(w) => Some(one(b, Gather { axis: 0 }, &[w, class])?),
        None => None,
    };
    if let Some(ignored) = ignored {
        let zero = b.scalar_like(0.0, logs)?;
        let kept = match weights {
            Some(w) => w,
            None => b.scalar_like(1.0, logs)?,
        };
        weights = Some(one(b, Where {}, &[ignored, zero, kept])?);
        losses = one(b, Where {}, &[ignored, zero, losses])?;
    }
    if let Some(w) = weights {
        losses = one(b, Mul {}, &[losses, w])?;
    }
    let whole = |b: &mut Builder<'_>, v| one(b, ReduceSum { keepdims: false, ..Default::default() }, &[v]);
    match (reduction, weights) {
        (LossReduction::None, _) => Ok(losses),
        (LossReduction::Sum, _) => whole(b, losses),
        (LossReduction::Mean, None) => {
            one(b, ReduceMean { keepdims: false, ..Default::default() }, &[losses])
        }
        (LossReduction::Mean, Some(w)) => {
            let (total, weight) = (whole(b, losses)?, whole(b, w)?);
            one(b, Div {}, &[total, weight])
        }
    }
}

/// The third operand, as wide as `logs`.
fn weights(b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Result<Option<ValueId>, Diag> {
    inputs.get(2).copied().flatten().map(|w| widened(b, w)).transpose()
}

/// Logarithms or scores, targets, weights of the classes, and the element type of the result.
type Operands = (ValueId, ValueId, Option<ValueId>, DType);

/// Operands of the two losses: data as wide as computed with, targets, weights, and the element type of the result.
fn operands(b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Result<Option<Operands>, Diag> {
    let x = operand(inputs, 0)?;
    let Some(dtype) = dtype_of(b, x) else { return Ok(None) };
    Ok(Some((widened(b, x)?, operand(inputs, 1)?, weights(b, inputs)?, dtype)))
}

pub(super) fn negative_log_likelihood(
    op: &NegativeLogLikelihoodLoss,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    let Some((logs, target, weight, dtype)) = operands(b, inputs)? else { return Ok(None) };
    let y = loss(b, (logs, target, weight), (op.ignore_index, op.reduction))?;
    Ok(Some(vec![narrowed(b, y, dtype)?]))
}

pub(super) fn softmax_cross_entropy(
    op: &SoftmaxCrossEntropyLoss,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _: usize,
) -> Expanded {
    let Some((scores, target, weight, dtype)) = operands(b, inputs)? else { return Ok(None) };
    let logs = one(b, LogSoftmax { axis: CLASSES }, &[scores])?;
    let y = loss(b, (logs, target, weight), (op.ignore_index, op.reduction))?;
    Ok(Some(vec![narrowed(b, y, dtype)?, narrowed(b, logs, dtype)?]))
}
