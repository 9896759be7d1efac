//! Bounds of what a mask adds.
use super::shapes::made_by;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::ops::Op;

/// Most elements of a constant that are read.
const MOST: usize = 1 << 22;
/// Steps to where bounds are known.
const STEPS: usize = 16;

/// Smallest and largest number that float or integer `v` can have, infinities included; `None` when nothing is known, or it may be no number.
pub(super) fn range(g: &Graph, v: ValueId) -> Option<(f64, f64)> {
    bounded(g, v, STEPS)
}

fn bounded(g: &Graph, v: ValueId, steps: usize) -> Option<(f64, f64)> {
    if let Some(t) = g.constant(v) {
        if t.len() > MOST || t.is_empty() {
            return None;
        }
        let numbers = if t.dtype() == DType::Bool { return Some((0.0, 1.0)) } else { t.to_f64s().ok()? };
        let widened = |(a, b): (f64, f64), x: &f64| (a.min(*x), b.max(*x));
        let whole = numbers.iter().fold((f64::INFINITY, f64::NEG_INFINITY), widened);
        return numbers.iter().all(|x| !x.is_nan()).then_some(whole);
    }
    if g.ty(v).as_tensor()?.dtype == DType::Bool {
        return Some((0.0, 1.0));
    }
    let (n, op) = made_by(g, v).filter(|_| steps > 0)?;
    let operand = |i: usize| bounded(g, g.node(n).input(i)?, steps - 1);
    let found = match op {
        Op::Where(_) => {
            let ((a, b), (c, d)) = (operand(1)?, operand(2)?);
            (a.min(c), b.max(d))
        }
        Op::Add(_) => {
            let ((a, b), (c, d)) = (operand(0)?, operand(1)?);
            (a + c, b + d)
        }
        Op::Sub(_) => {
            let ((a, b), (c, d)) = (operand(0)?, operand(1)?);
            (a - d, b - c)
        }
        Op::Mul(_) => {
            let ((a, b), (c, d)) = (operand(0)?, operand(1)?);
            let all = [a * c, a * d, b * c, b * d];
            (
                all.iter().copied().fold(f64::INFINITY, f64::min),
                all.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            )
        }
        Op::Cast(_)
        | Op::Unsqueeze(_)
        | Op::Squeeze(_)
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Expand(_)
        | Op::Slice(_)
        | Op::Identity(_) => operand(0)?,
        _ => return None,
    };
    (!found.0.is_nan() && !found.1.is_nan()).then_some(found)
}
