//! Questions that several passes ask about a graph.
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Def, Graph, NodeId, ValueId};
use hoist_ir::infer::{InferCx, Known, infer_op};
use hoist_ir::ops::Op;
use hoist_ir::tensor::{Storage, Tensor};
use hoist_ir::types::{TensorType, Type};

/// Whether node `n` computes the same results whenever its operands are the same, as far as Hoist knows.
pub fn is_deterministic(g: &Graph, n: NodeId) -> bool {
    g.node(n).op().def().pure() || is_inference_dropout(g, n)
}

/// Whether `n` is a `dropout` that keeps every element.
pub fn is_inference_dropout(g: &Graph, n: NodeId) -> bool {
    let node = g.node(n);
    let training = node.input(2);
    node.op().name() == "dropout"
        && training.is_none_or(|v| g.constant(v).and_then(|t| t.to_bools().ok()).as_deref() == Some(&[false]))
}

/// Types that the operator of `n` computes from its operands, without what the source declares about its results.
pub fn computed_types(g: &Graph, n: NodeId) -> Option<Vec<Type>> {
    let node = g.node(n);
    let one = |v: ValueId| Known { ty: g.ty(v), tensor: g.constant(v), content: g.value(v).content() };
    let known: Vec<Option<Known<'_>>> = node.inputs().iter().map(|v| v.map(one)).collect();
    let cx = InferCx::new(node.op().schema(), &known, node.bodies(), node.captures(), node.outputs().len());
    infer_op(node.op(), &cx).ok()
}

/// Whether the first result of `n` surely has element type and shape of `x`.
pub fn keeps_type(g: &Graph, n: NodeId, x: ValueId) -> bool {
    let computed = computed_types(g, n);
    let result = computed.as_deref().and_then(|t| t.first()).and_then(Type::as_tensor);
    matches!((result, g.ty(x).as_tensor()), (Some(a), Some(b)) if surely_same(a, b))
}

/// Whether both types are surely the same, sizes included.
pub fn surely_same(a: &TensorType, b: &TensorType) -> bool {
    let (Some(s), Some(t)) = (&a.shape, &b.shape) else { return false };
    a.dtype == b.dtype && s.len() == t.len() && s.iter().zip(t).all(|(x, y)| x.surely_equals(y))
}

/// Types that `n` would compute if operand `slot` were `v`.
pub fn types_with(g: &Graph, n: NodeId, slot: usize, v: ValueId) -> Option<Vec<Type>> {
    let node = g.node(n);
    let one = |v: ValueId| Known { ty: g.ty(v), tensor: g.constant(v), content: g.value(v).content() };
    let operand = |(i, old): (usize, &Option<ValueId>)| if i == slot { Some(one(v)) } else { old.map(one) };
    let known: Vec<Option<Known<'_>>> = node.inputs().iter().enumerate().map(operand).collect();
    let cx = InferCx::new(node.op().schema(), &known, node.bodies(), node.captures(), node.outputs().len());
    infer_op(node.op(), &cx).ok()
}

/// Whether every element of constant `v` has exactly the value `want`, the sign of zero included.
pub fn is_all(g: &Graph, v: ValueId, want: f64) -> bool {
    g.constant(v).is_some_and(|t| !t.is_empty() && all_equal(t, want))
}

/// Whether every element of boolean constant `v` is `want`.
pub fn is_all_bool(g: &Graph, v: ValueId, want: bool) -> bool {
    const MOST: usize = 1 << 20;
    let t = g.constant(v).filter(|t| t.dtype() == DType::Bool && !t.is_empty() && t.len() <= MOST);
    t.is_some_and(|t| t.to_bools().is_ok_and(|v| v.iter().all(|x| *x == want)))
}

/// Whether every element of `t` has exactly the value `want`. Reads until one differs.
fn all_equal(t: &Tensor, want: f64) -> bool {
    /// Largest tensor that is read; where it is computed while reading, much less.
    const MOST: usize = 16 << 20;
    const MOST_LAZY: usize = 256 << 10;
    const PIECE: usize = 16 << 10;
    let dtype = t.dtype();
    if !(dtype.is_int() || dtype.is_float()) || dtype.is_packed() {
        return false;
    }
    let element = Tensor::scalar(want).cast(dtype, false).ok();
    let exact = |e: &Tensor| e.as_f64().is_some_and(|v| v.to_bits() == want.to_bits());
    let Some(element) = element.filter(exact).and_then(|e| Some(e.bytes().ok()?.into_owned())) else {
        return false;
    };
    let (total, width) = match t.storage() {
        Storage::Splat(_) => (element.len(), element.len()),
        Storage::Lazy(_) if t.byte_len() > MOST_LAZY => return false,
        _ if t.byte_len() > MOST => return false,
        _ => (t.byte_len(), element.len()),
    };
    let mut piece = vec![0u8; total.min(PIECE)];
    let mut at = 0;
    while at < total {
        let n = piece.len().min(total - at);
        let read = t.read_bytes(at, &mut piece[..n]).is_ok();
        if !read || !piece[..n].chunks_exact(width).all(|e| e == element) {
            return false;
        }
        at += n;
    }
    true
}

/// Whether every element of float value `v` is surely at least zero, or not a number.
pub fn is_never_negative(g: &Graph, v: ValueId) -> bool {
    const DEPTH: usize = 16;
    let mut v = v;
    for _ in 0..DEPTH {
        let Def::Node { node, .. } = g.value(v).def() else { return false };
        let node = g.node(node);
        match node.op().name() {
            "relu" | "sigmoid" | "hard_sigmoid" | "softmax" | "abs" | "exp" | "sqrt" => return true,
            "clip" => {
                let positive = |v: ValueId| {
                    let t = g.constant(v).filter(|t| t.len() == 1);
                    t.is_some_and(|t| t.to_f64s().is_ok_and(|v| v.iter().all(|x| *x >= 0.0)))
                };
                // The upper bound wins where the two cross.
                return node.input(1).is_some_and(positive) && node.input(2).is_none_or(positive);
            }
            "max_pool" | "transpose" | "reshape" | "squeeze" | "unsqueeze" | "identity" | "flatten"
            | "slice" => match node.input(0) {
                Some(x) => v = x,
                None => return false,
            },
            _ => return false,
        }
    }
    false
}

/// Whether both compute the same from the same operands: same operator, same attributes bit for bit.
pub fn same_op(a: &Op, b: &Op) -> bool {
    let attr = |op: &Op, name: &str| op.def().attr(name).unwrap_or(Attr::None);
    a.name() == b.name() && a.schema().attrs.iter().all(|s| attr(a, s.name).same(&attr(b, s.name)))
}

/// Whether every number of type `from` is a number of type `to`.
pub fn is_exact_cast(from: DType, to: DType) -> bool {
    if from == to {
        return true;
    }
    let bits = |d: DType| match d {
        DType::F16 => Some((11, -24, 16)),
        DType::BF16 => Some((8, -133, 128)),
        DType::F32 => Some((24, -149, 128)),
        DType::F64 => Some((53, -1074, 1024)),
        _ => None,
    };
    if let (Some((p, low, high)), Some((q, l, h))) = (bits(from), bits(to)) {
        return p <= q && low >= l && high <= h;
    }
    let range = |d: DType| if d == DType::Bool { Some((0, 1)) } else { d.int_range() };
    match (range(from), range(to), bits(to)) {
        (Some((a, b)), Some((c, d)), _) => to != DType::Bool && c <= a && b <= d,
        // Integers of up to `precision` bits are exact.
        (Some((a, b)), None, Some((precision, ..))) => {
            let most = 1i128 << precision;
            -most <= a && b <= most
        }
        _ => false,
    }
}

/// Bytes that a tensor of this type takes, when all sizes are fixed.
pub fn fixed_bytes(ty: &Type) -> Option<usize> {
    let t = ty.as_tensor()?;
    hoist_ir::tensor::byte_count(t.dtype, &t.sizes()?).ok()
}

/// Types of the operands of `n`.
pub fn operand_types(g: &Graph, n: NodeId) -> Vec<Option<&Type>> {
    g.node(n).inputs().iter().map(|v| v.map(|v| g.ty(v))).collect()
}

/// Constants among the operands of `n`, by position.
pub fn operand_constants(g: &Graph, n: NodeId) -> Vec<Option<&Tensor>> {
    g.node(n).inputs().iter().map(|v| v.and_then(|v| g.constant(v))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_casts() {
        use DType::{BF16, Bool, F16, F32, F64, I8, I32, I64, U8, U64};
        for (a, b) in
            [(F16, F32), (BF16, F32), (F32, F64), (I8, I32), (U8, I32), (Bool, I64), (I8, F32), (I32, F64)]
        {
            assert!(is_exact_cast(a, b), "{a} {b}");
        }
        for (a, b) in [
            (F32, F16),
            (F16, BF16),
            (BF16, F16),
            (I8, U8),
            (I64, F64),
            (I32, F32),
            (U64, I64),
            (I8, Bool),
            (F32, I64),
        ] {
            assert!(!is_exact_cast(a, b), "{a} {b}");
        }
    }

    #[test]
    fn operators_are_compared_bit_for_bit() {
        use hoist_ir::attr::Attr;
        let leaky = |alpha: f32| {
            let mut op = Op::by_name("leaky_relu").expect("an operator");
            op.def_mut().set_attr("alpha", &Attr::Float(alpha)).expect("its attribute");
            op
        };
        assert!(same_op(&leaky(f32::NAN), &leaky(f32::NAN)));
        assert!(!same_op(&leaky(0.0), &leaky(-0.0)));
        assert!(!same_op(&leaky(0.0), &Op::by_name("relu").expect("an operator")));
    }
}
