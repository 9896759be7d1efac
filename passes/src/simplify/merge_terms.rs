//! `merge-terms`
//!
//! ```text
//! %a = mul(%x, 3.0)
//! %y = div(%a, 50.0)   ->  %y = mul(%x, 0.06)
//! ```
//! Constants of two consecutive sums (`add`, `sub`), or of two consecutive products (`mul`, `div`), become one. The constant is the first
//! operand of a difference or quotient at most once: `(c / x) * d` is `(c d) / x`.
//! - Nothing else uses the value between.
//! - The constants broadcast to no more elements than the larger of them has, and are read now: at most 64 Ki elements.
//! - Integers: sums and products, which wrap; no quotients.
//! - Floats: all factors lie between 2^-16 and 2^16 in magnitude (`f16`: 2^-4 and 2^4), so that a product between does not leave the range
//!   of numbers where the merged one stays in it, but for numbers near the ends of that range. The terms of sums have the same sign, element
//!   by element: `x + c - c` may be meant to round.
//!
//! The constant is computed in `f64` and rounded once; the result rounds once where it rounded twice.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::broadcast::{broadcast_sizes, zip};
use hoist_ir::tensor::Tensor;
use hoist_ir::tensor::convert::Wide;

/// The pass.
pub struct MergeTerms;

const INFO: PassInfo = PassInfo {
    name: "merge-terms",
    doc: "Merges the constants of consecutive sums, and of consecutive products.",
};

impl Pass for MergeTerms {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, merge))
    }
}

/// `c + x`, `c - x`, `x - c`; or the same with factors.
#[derive(Clone, Copy)]
struct Step {
    x: ValueId,
    constant: ValueId,
    /// Whether it multiplies.
    product: bool,
    /// Whether `x` is subtracted, or divides.
    inverts: bool,
    /// Whether the constant is subtracted, or divides.
    takes: bool,
}

fn step(g: &Graph, n: NodeId) -> Option<Step> {
    let node = g.node(n);
    let (product, inverse) = match node.op().name() {
        "add" => (false, false),
        "sub" => (false, true),
        "mul" => (true, false),
        "div" => (true, true),
        _ => return None,
    };
    let (a, b) = (node.input(0)?, node.input(1)?);
    match (g.constant(a).is_some(), g.constant(b).is_some()) {
        (true, false) => Some(Step { x: b, constant: a, product, inverts: inverse, takes: false }),
        (false, true) => Some(Step { x: a, constant: b, product, inverts: false, takes: inverse }),
        _ => None,
    }
}

fn merge(g: &mut Graph, n: NodeId) -> Outcome {
    let Some(outer) = step(g, n) else { return Outcome::Skip };
    let inner = g.producer(outer.x).and_then(|p| Some((p, step(g, p)?)));
    let Some((p, inner)) = inner.filter(|(_, i)| i.product == outer.product) else { return Outcome::Skip };
    if g.single_user(outer.x).is_none() {
        return Outcome::miss("something else uses the value between");
    }
    let constant = match combine(g, inner, outer) {
        Ok(t) => t,
        Err(reason) => return Outcome::miss(reason),
    };
    let inverts = inner.inverts != outer.inverts;
    let name = match (inner.product, inverts) {
        (false, false) => "add",
        (false, true) => "sub",
        (true, false) => "mul",
        (true, true) => "div",
    };
    let Some(op) = Op::by_name(name) else { return Outcome::Skip };
    Outcome::of(g.rewrite(n, &[p], |b| {
        let c = b.constant(constant);
        let operands = if inverts { [c, inner.x] } else { [inner.x, c] };
        b.add(op, &operands.map(Some))
    }))
}

/// The constant of the one step that does what both do.
fn combine(g: &Graph, inner: Step, outer: Step) -> Result<Tensor, &'static str> {
    const MOST: usize = 1 << 16;
    let (Some(a), Some(b)) = (g.constant(inner.constant), g.constant(outer.constant)) else {
        return Err("an operand is not constant");
    };
    let shape = broadcast_sizes(&[a.shape(), b.shape()]).map_err(|_| "the constants do not broadcast")?;
    let count: usize = shape.iter().product();
    if count > a.len().max(b.len()) || count > MOST {
        return Err("the constant would be larger");
    }
    // The outer step is applied to the inner constant: it keeps or turns it, and adds its own.
    let wide = if a.dtype().is_int() {
        if inner.product && (inner.takes || outer.takes || inner.inverts || outer.inverts) {
            return Err("quotients of integers are cut off");
        }
        let sign = |on: bool| if on { -1i64 } else { 1 };
        let turned = (sign(inner.takes != outer.inverts), sign(outer.takes));
        let join = |x: i64, y: i64| {
            if inner.product {
                x.wrapping_mul(y)
            } else {
                (x.wrapping_mul(turned.0)).wrapping_add(y.wrapping_mul(turned.1))
            }
        };
        let (x, y) = (ints(a)?, ints(b)?);
        Wide::I64(zip(&shape, 0, (&x, a.shape()), (&y, b.shape()), join))
    } else if a.dtype().is_float() {
        let (x, y) = (floats(a, inner, inner.takes != outer.inverts)?, floats(b, outer, outer.takes)?);
        let join = |x: f64, y: f64| if inner.product { x * y } else { x + y };
        let same_side = |x: f64, y: f64| i64::from(x * y < 0.0);
        let apart = zip(&shape, 0i64, (&x, a.shape()), (&y, b.shape()), same_side);
        if !inner.product && apart.contains(&1) && !planted("merge-terms") {
            return Err("the terms have different signs");
        }
        Wide::F64(zip(&shape, 0.0, (&x, a.shape()), (&y, b.shape()), join))
    } else {
        return Err("the elements are no numbers");
    };
    Tensor::from_wide(a.dtype(), &shape, &wide, false).map_err(|_| "the constant cannot be computed")
}

fn ints(t: &Tensor) -> Result<Vec<i64>, &'static str> {
    t.to_i64s().map_err(|_| "the constant cannot be read")
}

/// Elements of a constant as terms or factors, turned to their opposites or inverses where asked.
fn floats(t: &Tensor, step: Step, turn: bool) -> Result<Vec<f64>, &'static str> {
    let mut values = t.to_f64s().map_err(|_| "the constant cannot be read")?;
    let most = if t.dtype() == DType::F16 { 16.0 } else { 65536.0 };
    let fits = |v: &f64| if step.product { v.abs() <= most && v.abs() * most >= 1.0 } else { v.is_finite() };
    if !values.iter().all(fits) {
        return Err("a constant is not in the range in which products are merged");
    }
    if turn {
        for v in &mut values {
            *v = if step.product { 1.0 / *v } else { -*v };
        }
    }
    Ok(values)
}
