//! `remove-requantize`
//!
//! ```text
//! %d = dequantize_linear(%q, %s, %z)
//! %t = transpose(%d)
//! %y = quantize_linear(%t, %s, %z)     ->   %y = transpose(%q)
//! ```
//! - Both have the same scales and zero points, the same axis, no blocks, and integers of one type of 4, 8 or 16 bits.
//! - Every scale is a positive, finite, normal number: then the quotient is nearer to the integer that it came from than to any other.
//! - Between there may be reshapes, transposes, squeezes, unsqueezes and slices that nothing else uses, where there is one scale for all; and `max_pool` without
//!   indices of integers of 8 bits, whose order dequantization keeps.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;

/// The pass.
pub struct RemoveRequantize;

const INFO: PassInfo = PassInfo {
    name: "remove-requantize",
    doc: "Removes the dequantization of integers that are quantized to themselves again.",
};

/// Most nodes between.
const STEPS: usize = 8;

impl Pass for RemoveRequantize {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["quantize_linear"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, remove))
    }
}

fn remove(g: &mut Graph, n: NodeId) -> Outcome {
    if !matches!(g.node(n).op(), Op::QuantizeLinear(_)) {
        return Outcome::Skip;
    }
    match chain(g, n) {
        Ok((q, moves)) => {
            let mut inner: Vec<NodeId> = moves.clone();
            inner.extend(g.node(moves.last().copied().unwrap_or(n)).input(0).and_then(|v| g.producer(v)));
            Outcome::of(g.rewrite(n, &inner, |b| {
                let mut x = q;
                for m in moves.iter().rev() {
                    let node = b.graph().node(*m);
                    let (op, mut operands) = (node.op().clone(), node.inputs().to_vec());
                    operands[0] = Some(x);
                    x = b.add(op, &operands)?[0];
                }
                Ok(vec![x])
            }))
        }
        Err(reason) => Outcome::miss(reason),
    }
}

/// The integers that `n` quantizes again, and the nodes that move them before, the last one first.
fn chain(g: &Graph, n: NodeId) -> Result<(ValueId, Vec<NodeId>), &'static str> {
    let mut v = g.node(n).input(0).ok_or("an operand is missing")?;
    let mut moves = vec![];
    for _ in 0..=STEPS {
        let p = g.producer(v).ok_or("the operand is not dequantized")?;
        if matches!(g.node(p).op(), Op::DequantizeLinear(_)) {
            let q = same_parameters(g, n, p, !moves.is_empty())?;
            return Ok((q, moves));
        }
        let moving = matches!(
            g.node(p).op().name(),
            "reshape" | "transpose" | "squeeze" | "unsqueeze" | "flatten" | "slice"
        );
        let pools = g.node(p).op().name() == "max_pool"
            && g.node(p).outputs().len() == 1
            && g.node(n).outputs().iter().all(|y| g.ty(*y).as_tensor().is_some_and(|t| t.dtype.bits() == 8));
        if !(moving || pools) || g.single_user(v).is_none() {
            return Err("the operand is not dequantized, or something else uses it");
        }
        moves.push(p);
        v = g.node(p).input(0).ok_or("an operand is missing")?;
    }
    Err("too many nodes lie between")
}

/// The integers that `p` dequantizes, where `n` quantizes with the same parameters.
fn same_parameters(g: &Graph, n: NodeId, p: NodeId, moved: bool) -> Result<ValueId, &'static str> {
    let (quantize, dequantize) = (g.node(n), g.node(p));
    let (Op::QuantizeLinear(a), Op::DequantizeLinear(b)) = (quantize.op(), dequantize.op()) else {
        return Err("the operand is not dequantized");
    };
    let q = dequantize.input(0).ok_or("an operand is missing")?;
    let scale = quantize.input(1).and_then(|s| g.constant(s)).ok_or("the scales are not constant")?;
    let same = |i: usize| quantize.input(i) == dequantize.input(i);
    if !same(1) || (!same(2) && !planted("remove-requantize")) {
        return Err("scales or zero points differ");
    }
    let types = |v: Option<&ValueId>| v.and_then(|v| g.ty(*v).as_tensor()).map(|t| t.dtype);
    let from = types(Some(&q)).ok_or("the operand is no tensor")?;
    if types(quantize.outputs().first()) != Some(from) || !is_small(from) {
        return Err("the integers are of different types, or have more than 16 bits");
    }
    if types(dequantize.outputs().first()) != Some(DType::F32)
        || scale.dtype() != DType::F32
        || a.precision.is_some()
    {
        return Err("the numbers between are not f32");
    }
    if a.block_size != 0 || b.block_size != 0 || (scale.len() != 1 && (a.axis != b.axis || moved)) {
        return Err("scales are not for the same positions");
    }
    let values = scale.to_f32s().map_err(|_| "the scales cannot be read")?;
    if !values.iter().all(|s| s.is_normal() && *s > 0.0) {
        return Err("a scale is not positive and normal");
    }
    // The largest difference times the largest scale must stay finite.
    if !values.iter().all(|s| (s * 65_536.0).is_finite()) {
        return Err("a scale is too large");
    }
    Ok(q)
}

fn is_small(dtype: DType) -> bool {
    matches!(dtype, DType::I8 | DType::U8 | DType::I16 | DType::U16 | DType::I4 | DType::U4)
}
