//! Operators that compute element by element, with broadcasting.
use super::{Edit, Fixed, Mode, Site, Slot};
use crate::layout::solve::order::Order;
use crate::queries::is_inference_dropout;
use hoist_ir::dim::Dim;
use hoist_ir::ops::Op;

/// Operators each element of whose results depends on the elements at its place alone.
const ELEMENTWISE: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "add",
    "and",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "bit_shift",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "cast",
    "cast_like",
    "ceil",
    "celu",
    "clip",
    "cos",
    "cosh",
    "div",
    "elu",
    "equal",
    "erf",
    "exp",
    "floor",
    "gelu",
    "greater",
    "greater_or_equal",
    "hard_sigmoid",
    "hard_swish",
    "identity",
    "is_inf",
    "is_nan",
    "leaky_relu",
    "less",
    "less_or_equal",
    "log",
    "max",
    "mean",
    "min",
    "mish",
    "mod",
    "mul",
    "neg",
    "not",
    "or",
    "p_relu",
    "pow",
    "q_linear_add",
    "q_linear_leaky_relu",
    "q_linear_mul",
    "q_linear_sigmoid",
    "reciprocal",
    "relu",
    "round",
    "selu",
    "shrink",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "softplus",
    "softsign",
    "sqrt",
    "sub",
    "sum",
    "swish",
    "tan",
    "tanh",
    "thresholded_relu",
    "where",
    "xor",
];

/// Whether the operator of `site` computes element by element.
pub fn is_elementwise(site: Site<'_>) -> bool {
    let name = site.op().name();
    ELEMENTWISE.binary_search(&name).is_ok() || name == "dropout" && is_inference_dropout(site.g, site.n)
}

/// Whether operand `i` of `op` is only asked for its element type, its sizes or their product.
pub fn takes_any_order(op: &Op, i: usize) -> bool {
    match op.name() {
        "shape" | "size" => true,
        "cast_like" => i == 1,
        _ => false,
    }
}

/// Whether `op` gives the sizes of its operand, which it takes in any order.
pub fn is_order_free(op: &Op) -> bool {
    op.name() == "shape"
}

/// Operands broadcast against results in `order`, or against the order that an operand of full rank has.
pub fn elementwise(site: Site<'_>, order: Order) -> Result<Mode, Fixed> {
    let rank = site.ranked(Slot::Out(0))?;
    let full = order.widened(rank);
    let mut mode = site.kept();
    for i in 0..mode.ins.len() {
        mode = broadcast(site, mode, i, full)?;
    }
    for i in 0..mode.outs.len() {
        mode = mode.gives(i, full);
    }
    Ok(mode.changed())
}

/// `mode` with operand `i` broadcast against something in order `full`.
pub fn broadcast(site: Site<'_>, mode: Mode, i: usize, full: Order) -> Result<Mode, Fixed> {
    if mode.ins.get(i).copied().flatten().is_none() {
        return Ok(mode);
    }
    let shape = site.shape(Slot::In(i)).ok_or("the rank is not known")?;
    let (rank, wide) = (shape.len(), full.rank());
    if rank == wide {
        return Ok(mode.takes(i, full));
    }
    if rank > wide {
        return Err("an operand has more axes than the result");
    }
    if shape.iter().all(|d| *d == Dim::Known(1)) {
        return Ok(mode);
    }
    let lead = wide - rank;
    let is_new = |p: usize| full.at(p) < lead;
    let first = (0..wide).find(|p| !is_new(*p)).unwrap_or(0);
    let new: Vec<i64> = (first..wide).filter(|p| is_new(*p)).map(|p| (p - first) as i64).collect();
    let mode = mode.takes(i, full.last(rank));
    Ok(if new.is_empty() { mode } else { mode.edit(i, Edit::Unsqueeze(new)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_sorted_and_of_operators() {
        assert!(ELEMENTWISE.is_sorted());
        for name in ELEMENTWISE {
            assert!(Op::by_name(name).is_some(), "{name}");
        }
    }
}
