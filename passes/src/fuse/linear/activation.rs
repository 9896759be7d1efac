//! Activations that runtimes compute within a convolution or a product.
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::contrib::activate::Activation;

/// The activation that node `n` is, its operand and its parameters in the order of `FusedConv`: slope, bounds, or `alpha` and `beta`.
pub fn activation(g: &Graph, n: NodeId) -> Option<(Activation, ValueId, Vec<f32>)> {
    let node = g.node(n);
    let x = node.input(0)?;
    let (kind, params) = match node.op() {
        Op::Relu(_) => (Activation::Relu, vec![]),
        Op::Sigmoid(_) => (Activation::Sigmoid, vec![]),
        Op::Tanh(_) => (Activation::Tanh, vec![]),
        Op::LeakyRelu(a) => (Activation::LeakyRelu, vec![a.alpha]),
        Op::HardSigmoid(a) => (Activation::HardSigmoid, vec![a.alpha, a.beta]),
        Op::Clip(_) => (Activation::Clip, bounds(g, n)?),
        _ => return None,
    };
    Some((kind, x, params))
}

/// Both bounds of a clip, where they are constants. A missing one leaves infinities, which a bound does not.
fn bounds(g: &Graph, n: NodeId) -> Option<Vec<f32>> {
    let bound = |i: usize| g.const_f64(Some(g.node(n).input(i)?)).map(|b| b as f32).filter(|b| !b.is_nan());
    let (low, high) = (bound(1)?, bound(2)?);
    (low <= high).then_some(vec![low, high])
}

/// The node of a kind that `is` accepts whose only use is as operand `x`, of `f32`.
pub fn sole_producer(g: &Graph, x: ValueId, is: impl Fn(&Op) -> bool) -> Result<NodeId, &'static str> {
    let p = g.producer(x).filter(|p| is(g.node(*p).op())).ok_or("the operand is of another operator")?;
    if g.single_user(x).is_none() {
        return Err("something else uses the operand");
    }
    if g.ty(x).as_tensor().is_none_or(|t| t.dtype != DType::F32) {
        return Err("the elements are not f32");
    }
    Ok(p)
}
