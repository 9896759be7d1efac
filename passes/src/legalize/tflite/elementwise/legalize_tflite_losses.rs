//! `legalize-tflite-losses`
//!
//! ```text
//! %y = negative_log_likelihood_loss(%x, %t) {reduction=none}   ->   %i = unsqueeze(%t, [1])
//!                                                                   %g = gather_elements(%x, %i) {axis=1}
//!                                                                   %s = squeeze(%g, [1])
//!                                                                   %y = neg(%s)
//! ```
//! - Losses of classification, of `f32`. Samples of the ignored class pick class 0 instead, and are then set to 0.
use super::formula::{Formula, V, dtype, settle};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::index::gather_elements::GatherElements;
use hoist_ir::ops::movement::expand::Expand;
use hoist_ir::ops::movement::squeeze::Squeeze;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::reduce::reductions::{ReduceMean, ReduceSum};
use hoist_ir::ops::reduce::softmax::LogSoftmax;
use hoist_ir::ops::shape::shape::Shape;
use hoist_ir::ops::training::cross_entropy::LossReduction;

/// The pass.
pub struct LegalizeTfliteLosses;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-losses",
    doc: "Composes losses of classification of what picks the classes' probabilities.",
};

impl Pass for LegalizeTfliteLosses {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(settle(g, cx, &["negative_log_likelihood_loss", "softmax_cross_entropy_loss"], compose))
    }
}

/// What the loss is made of.
struct Loss {
    target: ValueId,
    weight: Option<ValueId>,
    ignore: Option<i64>,
    reduction: LossReduction,
}

fn compose(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (op, outputs) = (node.op().clone(), node.outputs().len());
    let (Some(x), Some(target), weight) = (node.input(0), node.input(1), node.input(2)) else {
        return Outcome::Skip;
    };
    if dtype(g, x) != Some(DType::F32) {
        return Outcome::miss("the elements are not of type f32");
    }
    let (ignore, reduction) = match &op {
        Op::NegativeLogLikelihoodLoss(op) => (op.ignore_index, op.reduction),
        Op::SoftmaxCrossEntropyLoss(op) => (op.ignore_index, op.reduction),
        _ => return Outcome::Skip,
    };
    let loss = Loss { target, weight, ignore, reduction };
    Outcome::of(g.rewrite(n, &[], |b| {
        let f = &mut Formula::new(b, DType::F32);
        let logs =
            if matches!(op, Op::SoftmaxCrossEntropyLoss(_)) { f.node(LogSoftmax { axis: 1 }, &[x])? } else { x };
        let mut results = vec![loss.of(f, logs)?];
        if outputs > 1 {
            results.push(logs);
        }
        Ok(results)
    }))
}

impl Loss {
    /// The loss of logarithms of probabilities.
    fn of(&self, f: &mut Formula<'_, '_>, logs: ValueId) -> V {
        let mut class = f.cast(self.target, DType::I64)?;
        let mut ignored = None;
        if let Some(ignore) = self.ignore {
            let (ignore, first) = (f.b.scalar(ignore), f.b.scalar(0i64));
            let found = f.op("equal", &[class, ignore])?;
            class = f.op("where", &[found, first, class])?;
            ignored = Some(found);
        }
        let place = f.b.ints(&[1]);
        let column = f.node(Unsqueeze {}, &[class, place])?;
        let picked = f.node(GatherElements { axis: 1 }, &[logs, column])?;
        let picked = f.node(Squeeze {}, &[picked, place])?;
        let mut losses = f.op("neg", &[picked])?;
        let mut weights = None;
        if let Some(w) = self.weight {
            let w = f.node(Gather { axis: 0 }, &[w, class])?;
            losses = f.op("mul", &[losses, w])?;
            weights = Some(w);
        }
        if let Some(ignored) = ignored {
            let (zero, one) = (f.num(0.0)?, f.num(1.0)?);
            losses = f.op("where", &[ignored, zero, losses])?;
            let own = match weights {
                Some(w) => w,
                None => {
                    let sizes = f.node(Shape::default(), &[class])?;
                    f.node(Expand {}, &[one, sizes])?
                }
            };
            weights = Some(f.op("where", &[ignored, zero, own])?);
        }
        self.reduced(f, losses, weights)
    }
    fn reduced(&self, f: &mut Formula<'_, '_>, losses: ValueId, weights: Option<ValueId>) -> V {
        let sum = |f: &mut Formula<'_, '_>, v: ValueId| {
            f.node(ReduceSum { keepdims: false, ..ReduceSum::default() }, &[v])
        };
        match (self.reduction, weights) {
            (LossReduction::None, _) => Ok(losses),
            (LossReduction::Sum, _) => sum(f, losses),
            (LossReduction::Mean, None) => {
                f.node(ReduceMean { keepdims: false, ..ReduceMean::default() }, &[losses])
            }
            (LossReduction::Mean, Some(w)) => {
                let (total, weight) = (sum(f, losses)?, sum(f, w)?);
                f.op("div", &[total, weight])
            }
        }
    }
}
