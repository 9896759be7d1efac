//! `legalize-tflite-reductions`
//!
//! ```text
//! %y = reduce_l2(%x, %axes)   ->   %s = mul(%x, %x)
//!                                  %r = reduce_sum(%s, %axes)
//!                                  %y = sqrt(%r)
//! ```
//! - Reductions that LiteRT lacks: norms, sums of squares, logarithms of sums. Those with roots or logarithms of floats only.
//! - A reduction of nothing, or to nothing, is a constant. Axes that are computed but known to be none are so too.
use super::formula::{Formula, V, dtype};
use crate::fault::planted;
use crate::legalize::legalize_reduce::REDUCTIONS;
use crate::legalize::{where_lacking, with_attr};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct LegalizeTfliteReductions;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-reductions",
    doc: "Composes reductions that LiteRT lacks of sums, and computes those of nothing now.",
};

impl Pass for LegalizeTfliteReductions {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, REDUCTIONS, |g, n, _, _| {
            let outcome = all_axes(g, n);
            if outcome != Outcome::Skip {
                return outcome;
            }
            let outcome = nothing(g, n);
            if outcome == Outcome::Skip { compose(g, n) } else { outcome }
        }))
    }
}

/// The reduction of no elements.
fn start(op: &str, d: DType) -> Option<Tensor> {
    let number = match op {
        "reduce_l1" | "reduce_l2" | "reduce_sum" | "reduce_sum_square" => 0.0,
        "reduce_prod" => 1.0,
        "reduce_log_sum" | "reduce_log_sum_exp" | "reduce_max" if d.is_float() => f64::NEG_INFINITY,
        "reduce_min" if d.is_float() => f64::INFINITY,
        "reduce_mean" if d.is_float() => f64::NAN,
        "reduce_max" | "reduce_min" if d.is_int() => {
            let (low, high) = d.int_range()?;
            let edge = if op == "reduce_max" { low } else { high };
            let edge =
                if d == DType::U64 { Tensor::scalar(edge as u64) } else { Tensor::scalar(edge as i64) };
            return edge.cast(d, false).ok();
        }
        "reduce_max" | "reduce_min" if d == DType::Bool => f64::from(u8::from(op == "reduce_min")),
        _ => return None,
    };
    Tensor::scalar(number).cast(d, false).ok()
}

/// Replaces the reduction of a tensor without elements by a constant.
fn nothing(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let x = node.input(0).and_then(|x| g.ty(x).as_tensor());
    let empty = x.and_then(|t| t.shape.as_ref()).is_some_and(|s| s.iter().any(|d| d.known() == Some(0)));
    let Some(x) = x.filter(|_| empty) else { return Outcome::Skip };
    let y = node.outputs().first().and_then(|y| g.ty(*y).as_tensor()).and_then(|t| t.sizes());
    let Some(sizes) = y else { return Outcome::miss("the result's shape is not known") };
    let value = if sizes.contains(&0) {
        Tensor::scalar(0f32).cast(x.dtype, false).ok()
    } else {
        start(node.op().name(), x.dtype)
    };
    let Some(value) = value else { return Outcome::Skip };
    let Ok(value) = Tensor::splat(&value, &sizes) else { return Outcome::Skip };
    Outcome::of(g.rewrite(n, &[], |b| Ok(vec![b.constant(value)])))
}

/// Axes that are computed and known to be none become constant.
fn all_axes(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (op, inputs) = (node.op().clone(), node.inputs().to_vec());
    let Some(axes) = node.input(1).filter(|a| g.constant(*a).is_none()) else { return Outcome::Skip };
    if g.ty(axes).as_tensor().and_then(|t| t.sizes()) != Some(vec![0]) {
        return Outcome::Skip;
    }
    Outcome::of(g.rewrite(n, &[], |b| {
        let none = b.ints(&[]);
        b.add(op, &[inputs.first().copied().flatten(), Some(none)])
    }))
}

/// One reduction of another kind with the attributes of the node.
struct Reduced {
    op: Op,
    axes: Option<ValueId>,
}

impl Reduced {
    fn by(&self, f: &mut Formula<'_, '_>, op: &str, x: ValueId, keep: bool) -> V {
        let mut made = Op::by_name(op).ok_or_else(|| Diag::error("E0303", format!("no operator `{op}`")))?;
        for name in ["keepdims", "noop_with_empty_axes"] {
            let value = self.op.def().attr(name).unwrap_or(Attr::None);
            let value = if keep && name == "keepdims" { Attr::Bool(true) } else { value };
            made = with_attr(&made, name, &value)?;
        }
        let results = f.b.add(made, &[Some(x), self.axes])?;
        results.first().copied().ok_or_else(|| Diag::error("E0303", "a node without results"))
    }
}

fn compose(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let Some(x) = node.input(0) else { return Outcome::Skip };
    let (r, name) = (Reduced { op: node.op().clone(), axes: node.input(1) }, node.op().name());
    let Some(d) = dtype(g, x) else { return Outcome::Skip };
    let whole = matches!(name, "reduce_l1" | "reduce_sum_square") && matches!(d, DType::I32 | DType::I64);
    if matches!(name, "reduce_max" | "reduce_mean" | "reduce_min" | "reduce_prod" | "reduce_sum") {
        return Outcome::miss("it lacks something else");
    }
    if d != DType::F32 && !whole {
        return Outcome::miss("the elements are not of type f32");
    }
    Outcome::of(g.rewrite(n, &[], |b| {
        let f = &mut Formula::new(b, d);
        let y = match name {
            "reduce_l1" => {
                let a = f.op("abs", &[x])?;
                r.by(f, "reduce_sum", a, false)
            }
            "reduce_l2" | "reduce_sum_square" => {
                let square = f.op("mul", &[x, x])?;
                let sum = r.by(f, "reduce_sum", square, false)?;
                if name == "reduce_l2" { f.op("sqrt", &[sum]) } else { Ok(sum) }
            }
            "reduce_log_sum" => {
                let sum = r.by(f, "reduce_sum", x, false)?;
                f.op("log", &[sum])
            }
            _ => log_sum_exp(f, &r, x),
        };
        Ok(vec![y?])
    }))
}

/// `m + log(sum(exp(x - m)))` with the largest element `m`, which is cut to finite numbers: an infinity less itself would be none.
fn log_sum_exp(f: &mut Formula<'_, '_>, r: &Reduced, x: ValueId) -> V {
    let finite = |f: &mut Formula<'_, '_>, m: ValueId| {
        if planted("legalize-tflite-reductions") {
            return Ok(m);
        }
        let m = f.of("max", f64::from(f32::MIN), m)?;
        f.of("min", f64::from(f32::MAX), m)
    };
    let kept = r.by(f, "reduce_max", x, true)?;
    let kept = finite(f, kept)?;
    let rest = f.op("sub", &[x, kept])?;
    let e = f.op("exp", &[rest])?;
    let sum = r.by(f, "reduce_sum", e, false)?;
    let log = f.op("log", &[sum])?;
    let top = if r.op.def().attr("keepdims") == Some(Attr::Bool(true)) {
        kept
    } else {
        let top = r.by(f, "reduce_max", x, false)?;
        finite(f, top)?
    };
    f.op("add", &[log, top])
}
