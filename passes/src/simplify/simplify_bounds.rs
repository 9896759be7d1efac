//! `simplify-bounds`
//!
//! ```text
//! %a = max(%x, 0)
//! %b = relu(%a)
//! %y = min(%b, 6)   ->  %y = clip(%x, 0, 6)
//! ```
//! `relu`, `clip`, and `max` and `min` of one value and a constant all keep elements between two bounds.
//! - Two in a row are one, or the first alone where the second changes nothing.
//! - What is bounded by 0 from below alone becomes `relu`, for floats.
//! - The bounds are single numbers that do not change the shape, neither NaN nor crossed, and exact as `f64`.
//! - The first is used by the second only, unless the second goes.
//!
//! NaN stays NaN. Where a bound is a zero, the sign of a zero may change: no operator defines which zero is the larger one.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::types::TensorType;

/// The pass.
pub struct SimplifyBounds;

const INFO: PassInfo = PassInfo {
    name: "simplify-bounds",
    doc: "Merges consecutive bounds (relu, clip, max and min with a constant) into one.",
};

impl Pass for SimplifyBounds {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["relu", "clip", "max", "min"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, |g, n| simplify(g, cx, n)))
    }
}

/// What elements of `x` are kept between.
#[derive(Clone, Copy, PartialEq)]
struct Bounds {
    x: ValueId,
    low: f64,
    high: f64,
}

impl Bounds {
    fn cut(&self, v: f64) -> f64 {
        v.max(self.low).min(self.high)
    }
}

fn simplify(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let outer = match bounds(g, n) {
        Ok(Some(b)) => b,
        Ok(None) => return Outcome::Skip,
        Err(reason) => return Outcome::miss(reason),
    };
    let inner = g.producer(outer.x).and_then(|p| Some((p, bounds(g, p).ok()??)));
    let Some((p, inner)) = inner else {
        return canonical(g, cx, n, outer);
    };
    let (low, high) = (outer.cut(inner.low), outer.cut(inner.high));
    if (low, high) == (inner.low, inner.high) {
        return Outcome::of(g.rewrite(n, &[p], |_| Ok(vec![outer.x])));
    }
    if g.single_user(outer.x).is_none() {
        return Outcome::miss("something else uses the value between the bounds");
    }
    let low = if planted("simplify-bounds") { outer.low } else { low };
    let clip = [n, p].iter().any(|n| g.node(*n).op().name() == "clip");
    replace(g, cx, n, &[p], Bounds { x: inner.x, low, high }, clip)
}

/// A single bound in its simplest form.
fn canonical(g: &mut Graph, cx: &Ctx, n: NodeId, b: Bounds) -> Outcome {
    if g.node(n).op().name() != "relu" && is_relu(g, b) {
        return replace(g, cx, n, &[], b, true);
    }
    Outcome::Skip
}

fn is_relu(g: &Graph, b: Bounds) -> bool {
    let floats = g.ty(b.x).as_tensor().is_some_and(|t| t.dtype.is_float());
    floats && b.low == 0.0 && b.high == f64::INFINITY
}

/// Puts one node in place of `n` and `also`. One bound alone stays a `max` or `min` unless `clip`, for runtimes differ in what a `clip` without
/// one of its bounds makes of infinities.
fn replace(g: &mut Graph, cx: &Ctx, n: NodeId, also: &[NodeId], b: Bounds, clip: bool) -> Outcome {
    let name = match (b.low.is_finite(), b.high.is_finite()) {
        _ if is_relu(g, b) => "relu",
        (true, false) if !clip => "max",
        (false, true) if !clip => "min",
        _ => "clip",
    };
    let Some(op) = Op::by_name(name) else { return Outcome::Skip };
    cx.fuse(g, n, also, |builder| {
        let mut bound = |v: f64| if v.is_finite() { builder.scalar_like(v, b.x).map(Some) } else { Ok(None) };
        let (low, high) = if name == "relu" { (None, None) } else { (bound(b.low)?, bound(b.high)?) };
        match name {
            "relu" => builder.add(op, &[Some(b.x)]),
            "clip" => builder.add(op, &[Some(b.x), low, high]),
            _ => builder.add(op, &[Some(b.x), low.or(high)]),
        }
    })
}

/// The bounds that `n` keeps its operand in; `None` when it is no such node.
fn bounds(g: &Graph, n: NodeId) -> Result<Option<Bounds>, &'static str> {
    const ALL: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);
    let node = g.node(n);
    let (x, low, high) = match (node.op().name(), node.inputs()) {
        ("relu", [Some(x)]) => (*x, 0.0, ALL.1),
        ("clip", [Some(x), rest @ ..]) => {
            let bound = |i: usize, absent: f64| match rest.get(i).copied().flatten() {
                Some(v) => number(g, v, *x).ok_or("a bound is not one constant number"),
                None => Ok(absent),
            };
            (*x, bound(0, ALL.0)?, bound(1, ALL.1)?)
        }
        (name @ ("max" | "min"), [Some(a), Some(b)]) => {
            let (x, c) = if g.constant(*b).is_some() { (*a, *b) } else { (*b, *a) };
            if g.constant(c).is_none() {
                return Ok(None);
            }
            let c = number(g, c, x).ok_or("the bound is not one constant number")?;
            if name == "max" { (x, c, ALL.1) } else { (x, ALL.0, c) }
        }
        _ => return Ok(None),
    };
    if low > high { Err("the bounds are crossed") } else { Ok(Some(Bounds { x, low, high })) }
}

/// The number in constant `c`, which does not change the shape of `x` when it is broadcast to it.
fn number(g: &Graph, c: ValueId, x: ValueId) -> Option<f64> {
    const EXACT: f64 = 9e15;
    let t = g.constant(c)?;
    let rank = g.ty(x).as_tensor().and_then(TensorType::rank).unwrap_or(0);
    let exact = |v: &f64| !v.is_nan() && (t.dtype().is_float() || v.abs() < EXACT);
    t.as_f64().filter(exact).filter(|_| t.rank() <= rank)
}
