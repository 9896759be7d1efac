//! `legalize-tflite-search`
//!
//! ```text
//! %v, %i = top_k(%x, %k) {axis=0}   ->   %t = transpose(%x) {perm=[1, 0]}
//!                                        %a, %b = top_k(%t, %k)
//!                                        %v = transpose(%a) {perm=[1, 0]}
//!                                        %i = transpose(%b) {perm=[1, 0]}
//! ```
//! - `top_k` along another axis than the last; of the smallest elements, by what reverses the order.
//! - `arg_max`, `arg_min` of the last among equals, by the reversed axis; of 64-bit integers, by the truth of being the extreme.
//! - `hardmax` by the position of the largest. `cum_prod` along an axis of known size by products of what a triangle leaves.
//! - `softmax`, `log_softmax` along another axis than the last.
use super::formula::{Formula, V, dtype, settle};
use crate::fault::planted;
use crate::legalize::{rank, with_attr};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::index::gather_elements::GatherElements;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::reduce::arg::{ArgMax, ArgMin};
use hoist_ir::ops::reduce::cumulative::CumProd;
use hoist_ir::ops::reduce::reductions::{ReduceMax, ReduceMin, ReduceProd};
use hoist_ir::ops::reduce::top_k::TopK;
use hoist_ir::ops::shape::one_hot::OneHot;
use hoist_ir::ops::shape::shape::Shape;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;

/// The pass.
pub struct LegalizeTfliteSearch;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-search",
    doc: "Brings searches, cumulative products and softmax along an axis into the forms that LiteRT has.",
};

const OPS: &[&str] = &["arg_max", "arg_min", "cum_prod", "hardmax", "log_softmax", "softmax", "top_k"];
/// Longest axis of a cumulative product: it takes as many times the memory.
const MAX_PRODUCTS: u64 = 1024;

impl Pass for LegalizeTfliteSearch {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(settle(g, cx, OPS, rewrite))
    }
}

fn rewrite(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (op, inputs) = (node.op().clone(), node.inputs().to_vec());
    let Some(x) = node.input(0) else { return Outcome::Skip };
    let (Some(rank), Some(d)) = (rank(g, Some(x)), dtype(g, x)) else {
        return Outcome::miss("the rank is not known");
    };
    let given = match (&op, op.def().attr("axis")) {
        (Op::CumProd(_), _) => {
            g.const_ints(inputs.get(1).copied().flatten()).and_then(|a| a.first().copied())
        }
        (_, Some(Attr::Int(a))) => Some(a),
        _ => None,
    };
    let Some(axis) = given.and_then(|a| resolve_axis(a, rank).ok()) else {
        return Outcome::miss("the axis is computed or there is none");
    };
    let last = axis + 1 == rank;
    Outcome::of(g.rewrite(n, &[], |b| match &op {
        Op::Softmax(_) | Op::LogSoftmax(_) | Op::TopK(_) if !last => turned(b, &op, &inputs, (axis, rank)),
        Op::TopK(k) if !k.largest => smallest(b, k, x, inputs.get(1).copied().flatten(), d),
        Op::ArgMax(_) | Op::ArgMin(_) => position(b, &op, x, axis, d).map(|v| vec![v]),
        Op::Hardmax(_) => hardmax(b, x, axis, d).map(|v| vec![v]),
        Op::CumProd(p) => products(b, p, x, (axis, rank), d).map(|v| vec![v]),
        _ => Err(Diag::error("E0302", "it lacks something else")),
    }))
}

/// With the axis moved to the end and back; the others keep their order, as where channels move.
fn turned(
    b: &mut Builder<'_>,
    op: &Op,
    inputs: &[Option<ValueId>],
    (axis, rank): (usize, usize),
) -> Result<Vec<ValueId>, Diag> {
    let mut perm: Vec<i64> = (0..rank as i64).collect();
    let moved = perm.remove(axis);
    perm.push(moved);
    let mut back: Vec<i64> = (0..rank as i64 - 1).collect();
    back.insert(axis, rank as i64 - 1);
    let mut inputs = inputs.to_vec();
    if let Some(Some(x)) = inputs.first_mut() {
        *x = b.transpose(Transpose { perm }, *x)?;
    }
    let made = b.add(with_attr(op, "axis", &Attr::Int(-1))?, &inputs)?;
    made.into_iter().map(|v| b.transpose(Transpose { perm: back.clone() }, v)).collect()
}

/// By the complement of integers, which reverses the order and gives back the elements. By the negative of floats, with minus infinity for
/// what is no number, so that it comes last; the elements are picked by their positions then.
fn smallest(
    b: &mut Builder<'_>,
    op: &TopK,
    x: ValueId,
    k: Option<ValueId>,
    d: DType,
) -> Result<Vec<ValueId>, Diag> {
    let op = TopK { largest: true, ..op.clone() };
    let two = || Diag::error("E0303", "two results are due");
    let f = &mut Formula::new(b, d);
    if d.is_float() {
        let (minus, none) = (f.op("neg", &[x])?, f.op("is_nan", &[x])?);
        let last = f.num(f64::NEG_INFINITY)?;
        let order = f.op("where", &[none, last, minus])?;
        let places = f.b.add(op, &[Some(order), k])?.get(1).copied().ok_or_else(two)?;
        return Ok(vec![f.node(GatherElements { axis: -1 }, &[x, places])?, places]);
    }
    let ones = if planted("legalize-tflite-search") {
        0
    } else if d.is_signed_int() {
        -1
    } else {
        d.int_range().map_or(-1, |r| r.1 as i64)
    };
    let ones = f.int(ones)?;
    let turned = f.op("sub", &[ones, x])?;
    let made = f.b.add(op, &[Some(turned), k])?;
    let [values, places] = made.as_slice() else { return Err(two()) };
    Ok(vec![f.op("sub", &[ones, *values])?, *places])
}

fn position(b: &mut Builder<'_>, op: &Op, x: ValueId, axis: usize, d: DType) -> V {
    let (keepdims, last, largest) = match op {
        Op::ArgMax(o) => (o.keepdims, o.select_last_index, true),
        Op::ArgMin(o) => (o.keepdims, o.select_last_index, false),
        _ => return Err(Diag::error("E0303", "no search")),
    };
    let axis_i = axis as i64;
    if last {
        let (start, end) = (b.ints(&[-1]), b.ints(&[i64::from(i32::MIN)]));
        let (axes, step) = (b.ints(&[axis_i]), b.ints(&[-1]));
        let reversed = b.slice(Slice {}, x, start, end, Some(axes), Some(step))?;
        let f = &mut Formula::new(b, DType::I64);
        let first = if largest {
            f.node(ArgMax { axis: axis_i, keepdims, select_last_index: false }, &[reversed])?
        } else {
            f.node(ArgMin { axis: axis_i, keepdims, select_last_index: false }, &[reversed])?
        };
        let size = size(f.b, x, axis)?;
        let top = f.with("sub", size, 1.0)?;
        return f.op("sub", &[top, first]);
    }
    if !matches!(d, DType::I64 | DType::U32) {
        return Err(Diag::error("E0302", format!("elements of type {d}")));
    }
    let f = &mut Formula::new(b, d);
    let axes = f.b.ints(&[axis_i]);
    let extreme = if largest {
        f.node(ReduceMax { keepdims: true, ..ReduceMax::default() }, &[x, axes])?
    } else {
        f.node(ReduceMin { keepdims: true, ..ReduceMin::default() }, &[x, axes])?
    };
    let there = f.op("equal", &[x, extreme])?;
    let there = f.cast(there, DType::U8)?;
    f.node(ArgMax { axis: axis_i, keepdims, select_last_index: false }, &[there])
}

/// Size of axis `axis` of `x`, as a 0-d number.
fn size(b: &mut Builder<'_>, x: ValueId, axis: usize) -> V {
    let known = b.graph().ty(x).as_tensor().and_then(|t| t.shape.as_ref()?.get(axis)?.known());
    if let Some(n) = known {
        return Ok(b.scalar(n as i64));
    }
    let f = &mut Formula::new(b, DType::I64);
    let sizes = f.node(Shape::default(), &[x])?;
    let place = f.num(axis as f64)?;
    f.node(Gather { axis: 0 }, &[sizes, place])
}

fn hardmax(b: &mut Builder<'_>, x: ValueId, axis: usize, d: DType) -> V {
    let depth = size(b, x, axis)?;
    let f = &mut Formula::new(b, d);
    let first = f.node(ArgMax { axis: axis as i64, keepdims: false, select_last_index: false }, &[x])?;
    let values = Tensor::from_vec(&[2], vec![0f32, 1.0]).cast(d, false);
    let values = f.b.constant(values.map_err(|e| Diag::error("E0303", e.to_string()))?);
    f.node(OneHot { axis: axis as i64 }, &[first, depth, values])
}

/// Each result is the product of a row of a matrix that repeats the elements, with 1 where the triangle ends.
fn products(b: &mut Builder<'_>, op: &CumProd, x: ValueId, (axis, rank): (usize, usize), d: DType) -> V {
    let known = b.graph().ty(x).as_tensor().and_then(|t: &TensorType| t.shape.as_ref()?.get(axis)?.known());
    let n = known
        .filter(|n| *n <= MAX_PRODUCTS)
        .ok_or_else(|| Diag::error("E0302", "an axis of unknown size"))?;
    if !matches!(d, DType::F32 | DType::I32 | DType::I64) {
        return Err(Diag::error("E0302", format!("elements of type {d}")));
    }
    let n = n as usize;
    let counts = |i: usize, j: usize| match (op.reverse, op.exclusive) {
        (false, false) => j <= i,
        (false, true) => j < i,
        (true, false) => j >= i,
        (true, true) => j > i,
    };
    let truths: Vec<bool> = (0..n * n).map(|k| counts(k / n, k % n)).collect();
    let mut shape = vec![n, n];
    shape.resize(rank + 1 - axis, 1);
    let f = &mut Formula::new(b, d);
    let triangle = f.b.constant(Tensor::from_bools(&shape, truths));
    let place = f.b.ints(&[axis as i64]);
    let rows = f.node(Unsqueeze {}, &[x, place])?;
    let one = f.num(1.0)?;
    let factors = f.op("where", &[triangle, rows, one])?;
    let along = f.b.ints(&[axis as i64 + 1]);
    f.node(ReduceProd { keepdims: false, ..ReduceProd::default() }, &[factors, along])
}
