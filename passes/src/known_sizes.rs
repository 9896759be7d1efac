//! Where the elements of lists of sizes come from.
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Def, Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::words::Layout;

/// An element of a list of sizes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Size {
    /// A number.
    Known(i64),
    /// An expression that is no number.
    Symbolic(SymInt),
    /// The size of an axis of a value, which is all that is known of it.
    Of(ValueId, usize),
}

/// Most nodes between a list and where an element of it comes from.
const DEPTH: usize = 12;

/// The size that axis `axis` of `x` has.
pub fn size_of(g: &Graph, x: ValueId, axis: usize) -> Option<Size> {
    match g.ty(x).as_tensor()?.shape.as_ref()?.get(axis)? {
        Dim::Known(n) => i64::try_from(*n).ok().map(Size::Known),
        Dim::Expr(e) => Some(Size::Symbolic((**e).clone())),
        Dim::Unknown => {
            let (x, axis) = source(g, x, axis);
            Some(Size::Of(x, axis))
        }
    }
}

/// Operators of one operand whose result has its shape.
const KEEPING: &[&str] = &[
    "abs",
    "batch_normalization",
    "cast",
    "celu",
    "ceil",
    "clip",
    "dropout",
    "elu",
    "erf",
    "exp",
    "floor",
    "gelu",
    "hard_sigmoid",
    "hard_swish",
    "identity",
    "instance_normalization",
    "layer_normalization",
    "leaky_relu",
    "log",
    "log_softmax",
    "mish",
    "neg",
    "not",
    "reciprocal",
    "relu",
    "rms_normalization",
    "selu",
    "sigmoid",
    "sign",
    "softmax",
    "softplus",
    "softsign",
    "sqrt",
    "swish",
    "tanh",
];

/// The first value and axis that surely have the size of axis `axis` of `x`.
fn source(g: &Graph, mut x: ValueId, mut axis: usize) -> (ValueId, usize) {
    for _ in 0..DEPTH {
        let Def::Node { node, slot: 0 } = g.value(x).def() else { break };
        let Some(before) = before(g, node, axis) else { break };
        (x, axis) = before;
    }
    (x, axis)
}

/// The operand of `n`, and its axis, that has the size of axis `axis` of the first result.
fn before(g: &Graph, n: NodeId, axis: usize) -> Option<(ValueId, usize)> {
    let node = g.node(n);
    let x = node.input(0)?;
    match node.op() {
        Op::Transpose(op) => Some((x, usize::try_from(*op.perm.get(axis)?).ok()?)),
        Op::Conv(op) if axis == 0 && op.layout == Layout::ChannelsFirst => Some((x, 0)),
        Op::MaxPool(_) | Op::AveragePool(_) | Op::GlobalAveragePool(_) if axis == 0 => Some((x, 0)),
        Op::MatMul(_) => {
            let (left, right) = (g.ty(x).as_tensor()?.rank()?, g.ty(node.input(1)?).as_tensor()?.rank()?);
            (right == 2 && axis + 1 < left).then_some((x, axis))
        }
        Op::Concat(op) => {
            let along = resolve_axis(op.axis, g.ty(x).as_tensor()?.rank()?).ok()?;
            (along != axis).then_some((x, axis))
        }
        op => KEEPING.contains(&op.name()).then_some((x, axis)),
    }
}

/// Element `i` of the list or single integer `v`.
pub fn element(g: &Graph, v: ValueId, i: usize) -> Option<Size> {
    let (mut v, mut i) = (v, i);
    for _ in 0..DEPTH {
        if let Some(t) = g.constant(v) {
            // Lists of sizes are short.
            return t.to_i64s().ok().filter(|l| l.len() <= 64)?.get(i).copied().map(Size::Known);
        }
        let known = g.value(v).content().and_then(|c| c.get(i).cloned().flatten());
        if let Some(e) = known {
            return Some(e.as_const().map_or(Size::Symbolic(e), Size::Known));
        }
        let node = g.node(g.producer(v)?);
        let x = node.input(0)?;
        match node.op() {
            Op::Shape(op) => {
                let rank = g.ty(x).as_tensor()?.rank()? as i64;
                let start = if op.start < 0 { op.start + rank } else { op.start }.clamp(0, rank);
                return size_of(g, x, usize::try_from(start).ok()? + i);
            }
            Op::Cast(op) if matches!(op.to, DType::I32 | DType::I64) => v = x,
            Op::Identity(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Reshape(_) => v = x,
            Op::Gather(_) => {
                let [Dim::Known(n)] = g.ty(x).as_tensor()?.shape.as_deref()? else { return None };
                let at = *g.const_ints(node.input(1))?.get(i)?;
                (v, i) = (x, resolve_axis(at, usize::try_from(*n).ok()?).ok()?);
            }
            Op::Concat(_) => {
                let mut found = None;
                for part in node.inputs().iter().flatten() {
                    let n = length(g, *part)?;
                    if i < n {
                        found = Some(*part);
                        break;
                    }
                    i -= n;
                }
                v = found?;
            }
            _ => return None,
        }
    }
    None
}

/// Number of elements of a list.
pub fn length(g: &Graph, v: ValueId) -> Option<usize> {
    match g.ty(v).as_tensor()?.shape.as_deref()? {
        [] => Some(1),
        [n] => usize::try_from(n.known()?).ok(),
        _ => None,
    }
}

/// All elements of the list `v`, each as far as it is known.
pub fn elements(g: &Graph, v: ValueId) -> Option<Vec<Option<Size>>> {
    let n = length(g, v).filter(|n| *n <= 64)?;
    Some((0..n).map(|i| element(g, v, i)).collect())
}
