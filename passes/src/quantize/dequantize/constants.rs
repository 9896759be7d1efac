//! Constants that are cast and scaled, as constants.
use crate::fuse::quantized::fuse_dequantize::{FORMULAS, parameters};
use crate::pass::Outcome;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::Op;
use hoist_ir::tensor::{Tensor, TensorError};

/// Replaces `mul` `n` of a cast constant of integers, or the cast of floats of fewer bits, by the numbers; they are computed while they are read.
pub fn fold(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    match node.op() {
        Op::Cast(op) => {
            let wider = |t: &&Tensor| matches!(t.dtype(), DType::F16 | DType::BF16) && op.to == DType::F32;
            let Some(t) = node.input(0).and_then(|v| g.constant(v)).filter(wider) else {
                return Outcome::Skip;
            };
            put(g, n, t.lazy_cast(DType::F32, false))
        }
        Op::Mul(_) => scaled(g, n),
        _ => Outcome::Skip,
    }
}

fn scaled(g: &mut Graph, n: NodeId) -> Outcome {
    for pattern in &*FORMULAS {
        let Ok(m) = pattern.matches(g, n) else { continue };
        let (Some(q), Some(s)) = (m.value("q"), m.value("s")) else { continue };
        let Some(t) = g.constant(q) else { continue };
        return match parameters(g, q, s, m.value("z")) {
            Ok((op, scale, zero)) => {
                let axis = usize::try_from(op.axis).ok().filter(|_| scale.rank() > 0);
                put(g, n, numbers(t, &scale, zero.as_ref(), axis))
            }
            Err(reason) => Outcome::miss(reason),
        };
    }
    Outcome::Skip
}

fn numbers(
    t: &Tensor,
    scale: &Tensor,
    zero: Option<&Tensor>,
    axis: Option<usize>,
) -> Result<Tensor, TensorError> {
    let scales = scale.to_f32s()?.into_owned();
    let zeros = match zero {
        Some(z) => z.to_f32s()?.into_owned(),
        None => vec![0.0; scales.len()],
    };
    t.dequantize(scales, zeros, axis, 0)
}

fn put(g: &mut Graph, n: NodeId, t: Result<Tensor, TensorError>) -> Outcome {
    match t {
        Ok(t) => Outcome::of(g.rewrite(n, &[], |b| Ok(vec![b.constant(t)]))),
        Err(e) => Outcome::Miss(e.to_string().into()),
    }
}
