//! Recognizing the formulas of layer, instance and root-mean-square normalization.
//!
//! ```text
//! mean  = reduce_mean(x)                       or reduce_sum(x) / n, reduce_sum(x) * (1/n), global_average_pool(x)
//! c     = sub(x, mean)                         shared, or once for the variance and once for the quotient
//! var   = the mean of pow(c, 2) or mul(c, c)
//! e     = add(var, epsilon)
//! y     = c / sqrt(e), c * (1 / sqrt(e)), c * pow(e, -0.5), ..
//! y     = x * k + (beta - mean * k)            where k = gamma / sqrt(e), as `tf.nn.batch_normalization` writes it
//! ```
//! Without `c`, the mean of squares of `x` itself makes it a root-mean-square normalization. Constant factors between are found too. Means may
//! have lost their axes and got them back, and may have been expanded to the shape of `x`. The difference from the mean may be widened.
use crate::queries::is_exact_cast;
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Def, Graph, NodeId, Use, ValueId};
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Shape;

/// Nodes between the operand and the result of a formula, at most.
const MOST_NODES: usize = 32;
/// Equal numbers that a new scale may store.
const MOST_EQUAL: usize = 1 << 14;
/// Nodes that compute a factor from a statistic, at most.
const MOST_CHAIN: usize = 8;
/// Steps that only move or repeat a mean, at most.
const MOST_STEPS: usize = 3;

/// A formula that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Formula {
    /// What is normalized.
    pub x: ValueId,
    /// The normalized axes, ascending.
    pub axes: Vec<usize>,
    /// Added to the variance or mean of squares; a number of `f32` where `x` is `f64`.
    pub epsilon: f32,
    /// Whether the mean is subtracted.
    pub centred: bool,
    /// Constant factor of the result.
    pub gamma: Option<ValueId>,
    /// Constant added to the result.
    pub beta: Option<ValueId>,
}

/// `mean`, `variance` and the like of `x` along `axes`.
struct Statistic {
    x: ValueId,
    axes: Vec<usize>,
}

/// Dimensions of tensor `v`, when its rank is known.
pub fn dims(g: &Graph, v: ValueId) -> Option<&Shape> {
    g.ty(v).as_tensor()?.shape.as_ref()
}

/// The node that computes `v` as its first result, when it is an `op`.
pub fn by(g: &Graph, v: ValueId, op: &str) -> Option<NodeId> {
    let Def::Node { node, slot: 0 } = g.value(v).def() else { return None };
    (g.node(node).op().name() == op).then_some(node)
}

/// Both operands of the `op` that computes `v`.
pub fn operands(g: &Graph, v: ValueId, op: &str) -> Option<(ValueId, ValueId)> {
    let n = g.node(by(g, v, op)?);
    Some((n.input(0)?, n.input(1)?))
}

/// Both operands of the `op` that computes `v`, in both orders.
pub fn either(g: &Graph, v: ValueId, op: &str) -> [Option<(ValueId, ValueId)>; 2] {
    let both = operands(g, v, op);
    [both, both.map(|(a, b)| (b, a))]
}

/// The number that every element of constant `v` has, when `v` is one element.
fn number(g: &Graph, v: ValueId) -> Option<f64> {
    g.constant(v)?.as_f64()
}

/// Whether `v` is a constant of one element whose rank is at most `rank`, with the value `want` rounded to its type.
fn is_number(g: &Graph, v: ValueId, want: f64) -> bool {
    let dtype = g.ty(v).as_tensor().map(|t| t.dtype);
    let rounded = dtype.and_then(|d| hoist_ir::tensor::Tensor::scalar(want).cast(d, false).ok());
    number(g, v).is_some_and(|n| rounded.and_then(|r| r.as_f64()) == Some(n))
}

/// Axes that reduction `n` reduces, of `rank` axes, ascending.
fn reduced_axes(g: &Graph, n: NodeId, rank: usize) -> Option<Vec<usize>> {
    let node = g.node(n);
    let flag = |name: &str| node.op().def().attr(name) == Some(Attr::Bool(true));
    let axes = match node.input(1) {
        Some(v) => g.const_ints(Some(v))?,
        None => vec![],
    };
    if axes.is_empty() {
        return (!flag("noop_with_empty_axes")).then(|| (0..rank).collect());
    }
    let mut axes: Vec<usize> =
        axes.iter().map(|a| hoist_ir::infer::resolve_axis(*a, rank).ok()).collect::<Option<_>>()?;
    axes.sort_unstable();
    axes.dedup();
    Some(axes)
}

/// The value that `v` repeats, with axes of size 1 added or not.
fn bare(g: &Graph, v: ValueId) -> ValueId {
    let mut v = v;
    for _ in 0..MOST_STEPS {
        let Def::Node { node, slot: 0 } = g.value(v).def() else { break };
        let moves = matches!(g.node(node).op().name(), "expand" | "unsqueeze" | "reshape");
        match g.node(node).input(0).filter(|_| moves) {
            Some(x) => v = x,
            None => break,
        }
    }
    v
}

/// Whether `v` surely has the shape of `s.x` with 1 along `s.axes`. A value without axes of its own then has its elements in the right places.
fn has_ones(g: &Graph, v: ValueId, s: &Statistic) -> bool {
    let (Some(own), Some(of)) = (dims(g, v), dims(g, s.x)) else { return false };
    let fits = |(i, (a, b)): (usize, (&Dim, &Dim))| {
        if s.axes.contains(&i) { *a == Dim::Known(1) } else { a.surely_equals(b) }
    };
    own.len() == of.len() && own.iter().zip(of).enumerate().all(fits)
}

/// Whether `v` is computed element by element from a reduction that kept its axes.
fn is_unmoved(g: &Graph, v: ValueId, rank: usize) -> bool {
    let mut v = v;
    for _ in 0..MOST_CHAIN {
        let Def::Node { node, slot: 0 } = g.value(v).def() else { return false };
        let node = g.node(node);
        let low = |v: &ValueId| g.constant(*v).is_some_and(|t| t.rank() <= rank);
        let next = match (node.op().name(), node.input(0), node.input(1)) {
            ("reduce_mean" | "reduce_sum" | "reduce_sum_square", ..) => {
                return node.op().def().attr("keepdims") == Some(Attr::Bool(true));
            }
            ("global_average_pool", ..) => return true,
            ("sqrt" | "reciprocal" | "cast", x, _) => x,
            ("pow" | "add" | "div" | "mul", Some(x), Some(k)) if low(&k) => Some(x),
            ("add" | "div" | "mul", Some(k), Some(x)) if low(&k) => Some(x),
            _ => return false,
        };
        match next {
            Some(x) => v = x,
            None => return false,
        }
    }
    false
}

/// Whether `v`, computed from statistic `s`, surely combines with each element of `s.x` as the statistic of its own row.
fn fits(g: &Graph, v: ValueId, s: &Statistic) -> bool {
    let Some(of) = dims(g, s.x) else { return false };
    let mut v = v;
    for _ in 0..=MOST_STEPS {
        if has_ones(g, v, s) || is_unmoved(g, v, of.len()) {
            return true;
        }
        let (Some(n), Some(own)) = (by(g, v, "expand"), dims(g, v)) else { return false };
        let stretches = |(i, (a, b)): (usize, (&Dim, &Dim))| {
            a.surely_equals(b) || (s.axes.contains(&i) && *a == Dim::Known(1))
        };
        if own.len() != of.len() || !own.iter().zip(of).enumerate().all(stretches) {
            return false;
        }
        match g.node(n).input(0) {
            Some(x) => v = x,
            None => return false,
        }
    }
    false
}

/// Number of elements that `s` combines into one.
fn combined(g: &Graph, s: &Statistic) -> Option<f64> {
    let shape = dims(g, s.x)?;
    let sizes = s.axes.iter().map(|a| shape[*a].known().map(|n| n as f64));
    sizes.product::<Option<f64>>()
}

/// The reduction `op` that computes `v`, which is not checked for its shape.
fn reduction(g: &Graph, v: ValueId, op: &str) -> Option<Statistic> {
    let n = by(g, v, op)?;
    let x = g.node(n).input(0)?;
    let axes = reduced_axes(g, n, dims(g, x)?.len())?;
    Some(Statistic { x, axes })
}

/// `v` as the sum of something divided by the number of elements summed.
fn quotient(g: &Graph, v: ValueId, op: &str) -> Option<Statistic> {
    let divided = operands(g, v, "div").and_then(|(sum, n)| {
        let s = reduction(g, bare(g, sum), op)?;
        is_number(g, n, combined(g, &s)?).then_some(s)
    });
    let scaled = || {
        either(g, v, "mul").into_iter().flatten().find_map(|(sum, k)| {
            let s = reduction(g, bare(g, sum), op)?;
            is_number(g, k, 1.0 / combined(g, &s)?).then_some(s)
        })
    };
    divided.or_else(scaled)
}

/// What `v` is the mean of, wherever its elements are.
fn mean(g: &Graph, v: ValueId) -> Option<Statistic> {
    let v = bare(g, v);
    let found = reduction(g, v, "reduce_mean").or_else(|| quotient(g, v, "reduce_sum"));
    found.or_else(|| pooled(g, v))
}

/// `global_average_pool` as a mean.
fn pooled(g: &Graph, v: ValueId) -> Option<Statistic> {
    use hoist_ir::attr::Word;
    use hoist_ir::ops::words::Layout;
    let n = by(g, v, "global_average_pool")?;
    let x = g.node(n).input(0)?;
    let first = Some(Attr::Word(Layout::ChannelsFirst.word()));
    let rank = dims(g, x)?.len();
    let layout = g.node(n).op().def().attr("layout");
    (rank > 2 && layout == first).then(|| Statistic { x, axes: (2..rank).collect() })
}

/// What `v` is the square of.
pub fn squared(g: &Graph, v: ValueId) -> Option<ValueId> {
    if let Some((a, b)) = operands(g, v, "mul") {
        return (a == b).then_some(a);
    }
    let (a, p) = operands(g, v, "pow")?;
    let keeps_rank = g.constant(p)?.rank() <= dims(g, a)?.len();
    (keeps_rank && number(g, p) == Some(2.0)).then_some(a)
}

/// What `v` is the mean of the squares of, wherever its elements are.
fn mean_square(g: &Graph, v: ValueId) -> Option<Statistic> {
    if let Some(s) = mean(g, v) {
        return Some(Statistic { x: squared(g, s.x)?, axes: s.axes });
    }
    quotient(g, bare(g, v), "reduce_sum_square")
}

/// What `v` is, less its mean; with whether the mean is the first operand instead.
fn centred(g: &Graph, v: ValueId) -> Option<(Statistic, bool)> {
    let (a, b) = operands(g, v, "sub")?;
    let less = |x: ValueId, m: ValueId| mean(g, m).filter(|s| s.x == x && fits(g, m, s));
    less(a, b).map(|s| (s, false)).or_else(|| less(b, a).map(|s| (s, true)))
}

/// What `v` is the square root of.
fn rooted(g: &Graph, v: ValueId) -> Option<ValueId> {
    let v = bare(g, v);
    if let Some(n) = by(g, v, "sqrt") {
        return g.node(n).input(0);
    }
    operands(g, v, "pow").filter(|(_, p)| number(g, *p) == Some(0.5)).map(|(e, _)| e)
}

/// What `v` is 1 divided by the square root of.
fn inverse_rooted(g: &Graph, v: ValueId) -> Option<ValueId> {
    let v = bare(g, v);
    if let Some(n) = by(g, v, "reciprocal") {
        return rooted(g, g.node(n).input(0)?);
    }
    if let Some((one, root)) = operands(g, v, "div") {
        return if number(g, one) == Some(1.0) { rooted(g, root) } else { None };
    }
    operands(g, v, "pow").filter(|(_, p)| number(g, *p) == Some(-0.5)).map(|(e, _)| e)
}

/// The sum `v` without the small constant in it, and the constant.
fn without_epsilon(g: &Graph, v: ValueId) -> Option<(ValueId, f64)> {
    let found = either(g, v, "add").into_iter().flatten().find_map(|(var, e)| Some((var, number(g, e)?)));
    Some(found.unwrap_or((v, 0.0))).filter(|(_, e)| *e >= 0.0 && (*e as f32).is_finite())
}

/// `epsilon` as the operator holds it. Rounding it to 24 bits changes nothing that narrower data could show.
fn held(g: &Graph, x: ValueId, epsilon: f64) -> Option<f32> {
    let wide = g.ty(x).as_tensor().is_none_or(|t| t.dtype == DType::F64);
    let exact = f64::from(epsilon as f32).to_bits() == epsilon.to_bits();
    (exact || !wide).then_some(epsilon as f32)
}

/// The value that `v` holds in a type with more digits.
fn narrow(g: &Graph, v: ValueId) -> ValueId {
    let from = by(g, v, "cast").and_then(|n| g.node(n).input(0));
    let dtype = |v: ValueId| g.ty(v).as_tensor().map(|t| t.dtype);
    let widens = |x: &ValueId| {
        let (from, to) = (dtype(*x), dtype(v));
        from.zip(to).is_some_and(|(a, b)| a.is_float() && b.is_float() && is_exact_cast(a, b))
    };
    from.filter(widens).unwrap_or(v)
}

/// A constant of at least one element.
fn filled(g: &Graph, v: ValueId) -> Option<ValueId> {
    g.constant(v).filter(|t| !t.is_empty()).map(|_| v)
}

/// `v` with at most one constant factor taken off.
fn without_factor(g: &Graph, v: ValueId) -> impl Iterator<Item = (ValueId, Option<ValueId>)> {
    let factors = either(g, v, "mul").into_iter().flatten();
    let taken: Vec<_> = factors.filter_map(|(c, k)| Some((c, Some(filled(g, k)?)))).collect();
    std::iter::once((v, None)).chain(taken)
}

/// Whether `var` is the variance of `s.x`, wherever its elements are.
fn is_variance(g: &Graph, var: ValueId, s: &Statistic) -> bool {
    let Some(squares) = mean_square(g, var) else { return false };
    let of = centred(g, narrow(g, squares.x)).map(|(c, _)| c);
    of.is_some_and(|c| c.x == s.x && c.axes == s.axes) && squares.axes == s.axes
}

/// A factor `k`: what it is 1 divided by the root of, a constant factor of it, and `k` without that.
fn inverse(g: &Graph, k: ValueId) -> Option<(ValueId, Option<ValueId>, ValueId)> {
    without_factor(g, k).find_map(|(r, gamma)| Some((inverse_rooted(g, r)?, gamma, r)))
}

/// The formula with numerator `c`, whose other part `k` is computed from `e`, the sum of a variance and epsilon.
fn formula(g: &Graph, c: ValueId, k: ValueId, e: ValueId, gamma: Option<ValueId>) -> Option<Formula> {
    let (var, epsilon) = without_epsilon(g, e)?;
    for (c, factor) in without_factor(g, c) {
        if factor.is_some() && gamma.is_some() {
            continue;
        }
        let gamma = gamma.or(factor);
        let found = |s: Statistic, centred: bool| {
            let epsilon = held(g, s.x, epsilon).filter(|_| fits(g, k, &s))?;
            Some(Formula { x: s.x, axes: s.axes, epsilon, centred, gamma, beta: None })
        };
        if let Some((s, false)) = centred(g, narrow(g, c))
            && is_variance(g, var, &s)
        {
            return found(s, true);
        }
        if let Some(s) = mean_square(g, var).filter(|s| s.x == c) {
            return found(s, false);
        }
    }
    None
}

/// The formula that `v` is the result of. The last node is a quotient, a product, a sum or a difference.
pub fn find(g: &Graph, v: ValueId) -> Option<Formula> {
    if let Some((c, s)) = operands(g, v, "div") {
        return formula(g, c, s, rooted(g, s)?, None);
    }
    if by(g, v, "mul").is_some() {
        return either(g, v, "mul").into_iter().flatten().find_map(|(c, k)| {
            let (e, gamma, r) = inverse(g, k)?;
            formula(g, c, r, e, gamma)
        });
    }
    let difference = operands(g, v, "sub").and_then(|(p, q)| shifted(g, p, q, None));
    difference.or_else(|| {
        either(g, v, "add").into_iter().flatten().find_map(|(p, q)| {
            let (beta, q) = match (operands(g, q, "sub"), by(g, q, "neg")) {
                (Some((beta, q)), _) => (Some(filled(g, beta)?), q),
                (None, Some(n)) => (None, g.node(n).input(0)?),
                (None, None) => return None,
            };
            shifted(g, p, q, beta)
        })
    })
}

/// The formula `x * k - mean * k + beta`, from `p = x * k` and `q = mean * k`.
fn shifted(g: &Graph, p: ValueId, q: ValueId, beta: Option<ValueId>) -> Option<Formula> {
    for (x, k) in either(g, p, "mul").into_iter().flatten() {
        let Some((e, gamma, r)) = inverse(g, k) else { continue };
        let product = either(g, q, "mul").into_iter().flatten().find(|(_, other)| *other == k);
        let s = product.and_then(|(m, _)| Some((m, mean(g, m)?)));
        let Some((m, s)) = s.filter(|(_, s)| s.x == x) else { continue };
        let (var, epsilon) = without_epsilon(g, e)?;
        if fits(g, m, &s) && fits(g, r, &s) && is_variance(g, var, &s) {
            let epsilon = held(g, x, epsilon)?;
            return Some(Formula { x, axes: s.axes, epsilon, centred: true, gamma, beta });
        }
    }
    None
}

/// The nodes of the formula that ends at `root`, without `root`, when nothing outside uses what they compute.
///
/// # Errors
/// When something does, or they are too many.
pub fn inner(g: &Graph, root: NodeId, x: ValueId) -> Result<Vec<NodeId>, &'static str> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(n) = found.get(next).copied() {
        next += 1;
        let node = g.node(n);
        // Second operands of these say how to move or what to reduce; others may use them too.
        let data = match node.op().name() {
            "expand" | "unsqueeze" | "reshape" | "reduce_mean" | "reduce_sum" | "reduce_sum_square" => 1,
            _ => node.inputs().len(),
        };
        for v in node.inputs().iter().take(data).flatten().filter(|v| **v != x) {
            if let Some(p) = g.producer(*v).filter(|p| !found.contains(p)) {
                found.push(p);
            }
        }
        if found.len() > MOST_NODES {
            return Err("the formula has too many nodes");
        }
    }
    let inside = |u: &Use| matches!(u, Use::Node { node, .. } if found.contains(node));
    for n in &found[1..] {
        for v in g.node(*n).outputs() {
            let uses = g.value(*v).uses();
            if uses.len() > MOST_NODES || !uses.iter().all(inside) {
                return Err("something else uses a value of the formula");
            }
        }
    }
    found.remove(0);
    Ok(found)
}

/// Constant `v`, or `otherwise` without one, as one number per position of `axes` of `x`: its shape is the sizes of `axes`. `None` when it varies
/// along another axis or would change the shape, or a size is 0 or not known.
pub fn per_row(g: &Graph, x: ValueId, v: Option<ValueId>, otherwise: f64, axes: &[usize]) -> Option<Tensor> {
    let shape = dims(g, x)?;
    let size = |a: &usize| shape.get(*a)?.known().and_then(|n| usize::try_from(n).ok());
    let sizes: Vec<usize> = axes.iter().map(size).collect::<Option<_>>()?;
    // Runtimes refuse to normalize rows of nothing.
    if sizes.contains(&0) {
        return None;
    }
    let dtype = g.ty(x).as_tensor()?.dtype;
    let Some(v) = v else {
        if hoist_ir::tensor::element_count(&sizes).is_none_or(|n| n > MOST_EQUAL) {
            return None;
        }
        return Tensor::splat(&Tensor::scalar(otherwise).cast(dtype, false).ok()?, &sizes).ok();
    };
    let t = g.constant(v).filter(|t| t.dtype() == dtype && t.rank() <= shape.len() && !t.is_empty())?;
    let lead = shape.len() - t.rank();
    let own = |a: &usize| if *a < lead { 1 } else { t.shape()[a - lead] };
    if t.len() == 1 {
        return Tensor::splat(&t.reshape(&[]).ok()?, &sizes).ok();
    }
    let elsewhere = (0..shape.len()).filter(|a| !axes.contains(a)).all(|a| own(&a) == 1);
    if elsewhere && axes.iter().map(own).eq(sizes.iter().copied()) { t.reshape(&sizes).ok() } else { None }
}

/// A constant with the elements of `t`: `v`, which it was made of, if that has its shape.
pub fn constant(b: &mut Builder<'_>, v: Option<ValueId>, t: Tensor) -> ValueId {
    let same = |v: &ValueId| b.graph().constant(*v).is_some_and(|c| c.shape() == t.shape());
    v.filter(same).unwrap_or_else(|| b.constant(t))
}
