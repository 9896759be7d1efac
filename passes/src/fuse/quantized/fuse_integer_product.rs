//! `fuse-integer-product`
//!
//! ```text
//! %q, %s, %z = dynamic_quantize_linear(%x)
//! %i = mat_mul_integer(%q, %w, %z, %v)
//! %f = cast(%i) {to=f32}
//! %t = mul(%s, %u)
//! %m = mul(%f, %t)
//! %y = add(%m, %b: f32[N])       ->   %y = dynamic_quantize_mat_mul(%x, %w, %u, %v, %b)
//! ```
//! - Where the integers come from elsewhere, or something else uses them, `mat_mul_integer_to_float(%q, %w, %s, %u, %z, %v, %b)` takes their place.
//! - `%s` is one number, `%u` one or one per column; `%b` is a constant of one number per column, and may be missing.
//! - Nothing else uses the values between. For targets that have these operators.
//!
//! Exact: the operators round at the same steps.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Def, Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::quant::integer_products::{DynamicQuantizeMatMul, MatMulIntegerToFloat};
use hoist_ir::pattern::Pattern;
use hoist_ir::types::Shape;
use std::sync::LazyLock;

/// The pass.
pub struct FuseIntegerProduct;

const INFO: PassInfo = PassInfo {
    name: "fuse-integer-product",
    doc: "Replaces a product of integers, its scaling and its bias by one operator.",
};

static FORMULAS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let product = "mul~(cast(mat_mul_integer(%q, %w, %z?, %v?)) {to=f32}, mul(%s, %u))";
    let texts = [format!("add~({product}, const(%b))"), product.to_owned()];
    texts.iter().filter_map(|t| Pattern::parse(t).ok()).collect()
});

impl Pass for FuseIntegerProduct {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["mat_mul_integer", "mat_mul_integer_to_float"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        if !cx.allows("mat_mul_integer_to_float") {
            return Ok(Changed::default());
        }
        let products = sweep(g, cx, |g, n| fuse(g, cx, n));
        let quantizing = sweep(g, cx, |g, n| quantizing(g, cx, n));
        Ok(Changed(products.0.saturating_add(quantizing.0)))
    }
}

/// Operands of the fused operator.
struct Parts {
    q: ValueId,
    w: ValueId,
    /// Scales of both.
    scales: [ValueId; 2],
    /// Zero points of both.
    zeros: [Option<ValueId>; 2],
    bias: Option<ValueId>,
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    if !matches!(g.node(n).op(), Op::Add(_) | Op::Mul(_)) {
        return Outcome::Skip;
    }
    let mut found = Outcome::Skip;
    for pattern in &*FORMULAS {
        let m = match pattern.matches(g, n) {
            Ok(m) => m,
            Err(miss) => {
                if miss.matched > 1 {
                    found = Outcome::Miss(miss.reason.into());
                }
                continue;
            }
        };
        let (Some(q), Some(w), Some(s), Some(u)) = (m.value("q"), m.value("w"), m.value("s"), m.value("u"))
        else {
            return Outcome::Skip;
        };
        let zeros = [m.value("z"), m.value("v")];
        let inner = m.inner().to_vec();
        // Waits for the addition behind it.
        let bias = m.value("b");
        if bias.is_none() && added_later(g, n) {
            return Outcome::miss("the addition that follows is looked at with it");
        }
        return match parts(g, q, w, [s, u], zeros, bias) {
            Ok(p) => cx.fuse(g, n, &inner, |b| {
                let op = MatMulIntegerToFloat {};
                b.add(
                    op,
                    &[
                        Some(p.q),
                        Some(p.w),
                        Some(p.scales[0]),
                        Some(p.scales[1]),
                        p.zeros[0],
                        p.zeros[1],
                        p.bias,
                    ],
                )
            }),
            Err(reason) => Outcome::miss(reason),
        };
    }
    found
}

/// Whether the only user of `n`, further down, adds a constant vector to it.
fn added_later(g: &Graph, n: NodeId) -> bool {
    let Some(user) = g.node(n).outputs().first().and_then(|y| g.single_user(*y)) else { return false };
    matches!(g.node(user).op(), Op::Add(_))
        && FORMULAS.first().is_some_and(|p| {
            p.matches(g, user).is_ok_and(|m| {
                let w = m.value("w");
                m.value("b").is_some_and(|b| is_row(g, b, w))
            })
        })
}

fn shape(g: &Graph, v: ValueId) -> Option<&Shape> {
    g.ty(v).as_tensor()?.shape.as_ref()
}

fn is_one(g: &Graph, v: ValueId) -> bool {
    shape(g, v).is_some_and(|s| s.is_empty() || s.as_slice() == [Dim::Known(1)])
}

/// Whether `v` has one `f32` element per column of `w`.
fn is_row(g: &Graph, v: ValueId, w: Option<ValueId>) -> bool {
    let columns = w.and_then(|w| shape(g, w)).filter(|s| s.len() == 2).map(|s| s[1].clone());
    let own = shape(g, v).filter(|s| s.len() == 1).map(|s| s[0].clone());
    let fits = matches!((columns, own), (Some(Dim::Known(a)), Some(Dim::Known(b))) if a == b);
    fits && g.ty(v).as_tensor().is_some_and(|t| t.dtype == DType::F32)
}

/// Which of the two scales is of which operand; and whether all of them fit.
fn parts(
    g: &Graph,
    q: ValueId,
    w: ValueId,
    scales: [ValueId; 2],
    zeros: [Option<ValueId>; 2],
    bias: Option<ValueId>,
) -> Result<Parts, &'static str> {
    let [s, u] = scales;
    // Their product commutes: the scale of data is one number, and where both are, the one that comes with the data.
    let comes_with = |v: ValueId| same_node(g, v, q);
    let scales = match (is_one(g, s), is_one(g, u)) {
        (true, true) if comes_with(u) => [u, s],
        (true, _) => [s, u],
        (false, true) => [u, s],
        _ => return Err("neither scale is one number"),
    };
    if !is_one(g, scales[1]) && !is_row(g, scales[1], Some(w)) {
        return Err("the scales of the weights are not one per column");
    }
    if zeros[0].is_some_and(|z| !is_one(g, z)) {
        return Err("the zero point of the data is not one number");
    }
    let fits = |z: ValueId| {
        is_one(g, z)
            || shape(g, z).is_some_and(|s| Some(s.as_slice()) == shape(g, scales[1]).map(|t| t.as_slice()))
    };
    if zeros[1].is_some_and(|z| !fits(z)) {
        return Err("zero points of the weights are not as many as their scales");
    }
    if bias.is_some_and(|b| !is_row(g, b, Some(w))) {
        return Err("what is added is not one number per column");
    }
    let zeros = if planted("fuse-integer-product") { [None, zeros[1]] } else { zeros };
    Ok(Parts { q, w, scales, zeros, bias })
}

fn same_node(g: &Graph, a: ValueId, b: ValueId) -> bool {
    g.producer(a).is_some() && g.producer(a) == g.producer(b)
}

/// The product with the quantization of its data, where nothing else uses what that gives.
fn quantizing(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let node = g.node(n);
    if !matches!(node.op(), Op::MatMulIntegerToFloat(_)) {
        return Outcome::Skip;
    }
    let at = |v: Option<ValueId>, slot: u32| match g.value(v?).def() {
        Def::Node { node, slot: s } if s == slot => Some(node),
        _ => None,
    };
    let Some(p) = at(node.input(0), 0).filter(|p| matches!(g.node(*p).op(), Op::DynamicQuantizeLinear(_)))
    else {
        return Outcome::miss("the data is not quantized here");
    };
    if at(node.input(2), 1) != Some(p) || at(node.input(4), 2) != Some(p) {
        return Outcome::miss("scale and zero point are not those of the data");
    }
    if !g.node(p).outputs().iter().all(|v| g.single_user(*v) == Some(n)) {
        return Outcome::miss("something else uses the quantized data");
    }
    let (x, rest) = (g.node(p).input(0), [node.input(1), node.input(3), node.input(5), node.input(6)]);
    cx.fuse(g, n, &[p], |b| b.add(DynamicQuantizeMatMul {}, &[x, rest[0], rest[1], rest[2], rest[3]]))
}
