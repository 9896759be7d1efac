//! Formulas of activations, and finding them.
use super::polynomial::{Inside, Polynomial, Term, expand, expand_node, near};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::pattern::{Match, Pattern};
use hoist_ir::tensor::Tensor;
use std::borrow::Cow;
use std::sync::LazyLock;

/// An operator to put in place of a formula.
pub struct Fused {
    /// Its name.
    pub op: &'static str,
    /// Attributes other than the defaults.
    pub attrs: Vec<(&'static str, Attr)>,
    /// Its operand.
    pub x: ValueId,
    /// A second operand.
    pub slope: Option<Tensor>,
    /// Nodes of the formula.
    pub nodes: Vec<NodeId>,
    /// Highest rank of a constant of the formula.
    pub rank: usize,
}

impl Fused {
    fn new(op: &'static str, x: ValueId, inside: Inside) -> Self {
        Self { op, attrs: vec![], x, slope: None, nodes: inside.nodes, rank: inside.rank }
    }
    fn with(mut self, name: &'static str, value: Attr) -> Self {
        self.attrs.push((name, value));
        self
    }
}

/// What was found at a node: nothing, a formula, or one that is nearly it.
pub type Found = Result<Option<Fused>, Cow<'static, str>>;

const NOT_THOSE: Cow<'static, str> = Cow::Borrowed("the constants are not those of a known formula");
const SHARED: Cow<'static, str> = Cow::Borrowed("something else uses a value in between");

/// `sqrt(2 / pi)`, and 0.044715 times that.
const TANH_LINEAR: f64 = 0.797_884_560_802_865_4;
const TANH_CUBIC: f64 = 0.044_715 * TANH_LINEAR;

/// The formula that node `n` completes.
pub fn find(g: &Graph, n: NodeId) -> Found {
    let by_arithmetic = match g.node(n).op().name() {
        "mul" | "div" | "add" => arithmetic(g, n),
        "clip" | "min" | "max" | "relu" => bare_clip(g, n),
        _ => Ok(None),
    };
    match by_arithmetic {
        Ok(None) => by_pattern(g, n),
        found => found,
    }
}

/// Formulas that are sums and products of `x` and one function of it.
fn arithmetic(g: &Graph, n: NodeId) -> Found {
    let mut inside = Inside::default();
    let Some(p) = expand_node(g, n, &mut inside) else { return Ok(None) };
    match p.terms.as_slice() {
        [Term { coefficient, factors }] => match factors.as_slice() {
            [f] => scaled(g, *f, *coefficient, inside),
            [a, b] => {
                let found = product(g, *a, *b, *coefficient, inside.clone());
                if matches!(found, Ok(None)) { product(g, *b, *a, *coefficient, inside) } else { found }
            }
            _ => Ok(None),
        },
        [first, second] => halves(g, first, second, inside),
        _ => Ok(None),
    }
}

/// A function of one operand: its name, what it is applied to, and that `clip` is from 0 to where.
struct Function {
    name: &'static str,
    argument: ValueId,
    high: f64,
}

/// The function that computes `f`, its nodes added to `inside`.
fn function(g: &Graph, f: ValueId, inside: &mut Inside) -> Option<Function> {
    let n = g.producer(f)?;
    let node = g.node(n);
    let name = node.op().name();
    if let "clip" | "min" | "max" | "relu" = name {
        return relu_to(g, n, inside);
    }
    if !matches!(name, "erf" | "tanh" | "sigmoid" | "hard_sigmoid" | "softplus") {
        return None;
    }
    inside.nodes.push(n);
    Some(Function { name, argument: node.input(0)?, high: 1.0 })
}

/// `clip(u, 0, h)`, or that spelled with `min`, and `relu` or `max`.
fn relu_to(g: &Graph, n: NodeId, inside: &mut Inside) -> Option<Function> {
    let node = g.node(n);
    inside.nodes.push(n);
    if node.op().name() == "clip" {
        let (low, high) = (g.const_f64(node.input(1))?, g.const_f64(node.input(2))?);
        return (low == 0.0).then_some(Function { name: "clip", argument: node.input(0)?, high });
    }
    let (bound, inner) = bounded(g, n, inside)?;
    let inner = g.producer(inner).filter(|p| g.single_user(g.node(*p).outputs()[0]) == Some(n))?;
    inside.nodes.push(inner);
    let (other, argument) = bounded(g, inner, inside)?;
    match (bound, other) {
        (Bound::Low, Bound::High(high)) | (Bound::High(high), Bound::Low) if high > 0.0 => {
            Some(Function { name: "clip", argument, high })
        }
        _ => None,
    }
}

/// One side of a `clip` from 0.
enum Bound {
    Low,
    High(f64),
}

/// The bound that node `n` keeps its operand within, and the operand.
fn bounded(g: &Graph, n: NodeId, inside: &mut Inside) -> Option<(Bound, ValueId)> {
    let node = g.node(n);
    let name = node.op().name();
    if name == "relu" {
        return Some((Bound::Low, node.input(0)?));
    }
    let (a, b) = (node.input(0)?, node.input(1).filter(|_| node.inputs().len() == 2)?);
    let (x, bound) = if g.constant(b).is_some() { (a, b) } else { (b, a) };
    inside.rank = inside.rank.max(g.constant(bound)?.rank());
    match (name, g.const_f64(Some(bound))?) {
        ("max", 0.0) => Some((Bound::Low, x)),
        ("min", high) => Some((Bound::High(high), x)),
        _ => None,
    }
}

/// Normal form of the argument of a function as a polynomial of one value, and that value.
fn argument(g: &Graph, f: &Function, inside: &mut Inside) -> Option<(ValueId, [f64; 4])> {
    let p: Polynomial = expand(g, f.argument, inside)?;
    let x = p.variable()?;
    Some((x, p.of(x)?))
}

fn dtype(g: &Graph, v: ValueId) -> Option<DType> {
    g.ty(v).as_tensor().map(|t| t.dtype)
}

/// `c f(x)`.
fn scaled(g: &Graph, f: ValueId, c: f64, mut inside: Inside) -> Found {
    let Some(function) = function(g, f, &mut inside).filter(|f| f.name == "clip") else { return Ok(None) };
    if g.single_user(f).is_none() {
        return Err(SHARED);
    }
    slope(g, &function, c, inside)
}

/// A `clip` that nothing scales.
fn bare_clip(g: &Graph, n: NodeId) -> Found {
    let mut inside = Inside::default();
    match relu_to(g, n, &mut inside) {
        Some(function) if function.high == 1.0 => slope(g, &function, 1.0, inside),
        _ => Ok(None),
    }
}

/// `c clip(a x + b, 0, h)`.
fn slope(g: &Graph, f: &Function, c: f64, mut inside: Inside) -> Found {
    let before = inside.nodes.len();
    let Some((x, [b, a, 0.0, 0.0])) = argument(g, f, &mut inside) else { return Ok(None) };
    let Some(dtype) = dtype(g, x).filter(|_| inside.nodes.len() > before) else { return Ok(None) };
    if a == 0.0 || !near(c * f.high, 1.0, dtype) {
        return Err(NOT_THOSE);
    }
    let fused = Fused::new("hard_sigmoid", x, inside).with("alpha", Attr::Float((a * c) as f32));
    Ok(Some(fused.with("beta", Attr::Float((b * c) as f32))))
}

/// `c x f(x)`.
fn product(g: &Graph, x: ValueId, f: ValueId, c: f64, mut inside: Inside) -> Found {
    let Some(function) = function(g, f, &mut inside).filter(|f| f.name != "erf") else { return Ok(None) };
    let mish = function.name == "tanh" && is_softplus(g, function.argument, x, &mut inside);
    let polynomial = if mish { Some([0.0; 4]) } else { of_x(g, &function, x, &mut inside) };
    let (Some(u), Some(dtype)) = (polynomial, dtype(g, x)) else { return Ok(None) };
    if g.single_user(f).is_none() {
        return Err(SHARED);
    }
    let is = |a: f64, b: f64| near(a, b, dtype);
    match (function.name, u) {
        _ if mish && is(c, 1.0) => Ok(Some(Fused::new("mish", x, inside))),
        ("sigmoid", [0.0, a, 0.0, 0.0]) if a != 0.0 && is(c, 1.0) => Ok(Some(swish(x, a, inside))),
        ("hard_sigmoid", [0.0, 1.0, 0.0, 0.0])
            if is(c, 1.0) && g.producer(f).is_some_and(|n| is_sixth(g, n, dtype)) =>
        {
            Ok(Some(Fused::new("hard_swish", x, inside)))
        }
        ("clip", [b, a, 0.0, 0.0])
            if is(a * c, 1.0 / 6.0) && is(b * c, 0.5) && is(function.high * c, 1.0) =>
        {
            Ok(Some(Fused::new("hard_swish", x, inside)))
        }
        _ => Err(NOT_THOSE),
    }
}

/// `0.5 x + 0.5 x f(x)`, or `0.5 + 0.5 f(x)`.
fn halves(g: &Graph, first: &Term, second: &Term, mut inside: Inside) -> Found {
    let (x, f) = match (first.factors.as_slice(), second.factors.as_slice()) {
        ([], [f]) => (None, *f),
        ([x], [a, b]) | ([a, b], [x]) if a == x => (Some(*x), *b),
        ([x], [a, b]) | ([a, b], [x]) if b == x => (Some(*x), *a),
        _ => return Ok(None),
    };
    let Some(function) = function(g, f, &mut inside).filter(|f| matches!(f.name, "erf" | "tanh")) else {
        return Ok(None);
    };
    let Some((variable, u)) = argument(g, &function, &mut inside) else { return Ok(None) };
    let Some(dtype) = dtype(g, f).filter(|_| x.is_none_or(|x| x == variable)) else { return Ok(None) };
    if g.single_user(f).is_none() {
        return Err(SHARED);
    }
    let is = |a: f64, b: f64| near(a, b, dtype);
    if !is(first.coefficient, 0.5) || !is(second.coefficient, 0.5) {
        return Err(NOT_THOSE);
    }
    let new = |op| Fused::new(op, variable, inside.clone());
    match (function.name, x.is_some(), u) {
        ("erf", true, [0.0, a, 0.0, 0.0]) if is(a, std::f64::consts::FRAC_1_SQRT_2) => Ok(Some(new("gelu"))),
        ("tanh", true, [0.0, a, 0.0, b]) if is(a, TANH_LINEAR) && is(b, TANH_CUBIC) => {
            Ok(Some(new("gelu").with("approximate", Attr::Word("tanh"))))
        }
        ("tanh", true, [0.0, a, 0.0, 0.0]) if a != 0.0 => Ok(Some(swish(variable, 2.0 * a, inside))),
        ("tanh", false, [0.0, a, 0.0, 0.0]) if is(a, 0.5) => Ok(Some(new("sigmoid"))),
        _ => Err(NOT_THOSE),
    }
}

fn swish(x: ValueId, alpha: f64, inside: Inside) -> Fused {
    Fused::new("swish", x, inside).with("alpha", Attr::Float(alpha as f32))
}

/// The argument as a polynomial of `x`.
fn of_x(g: &Graph, f: &Function, x: ValueId, inside: &mut Inside) -> Option<[f64; 4]> {
    if f.argument == x {
        return Some([0.0, 1.0, 0.0, 0.0]);
    }
    let (variable, u) = argument(g, f, inside)?;
    (variable == x).then_some(u)
}

/// Whether `hard_sigmoid` `n` is that of `hard_swish`. Files round 1/6 to as little as seven digits.
fn is_sixth(g: &Graph, n: NodeId, dtype: DType) -> bool {
    let is = |name: &str, want: f64| match g.node(n).op().def().attr(name) {
        Some(Attr::Float(v)) => near(f64::from(v), want, dtype),
        _ => false,
    };
    is("alpha", 1.0 / 6.0) && is("beta", 0.5)
}

/// Whether `v` is `softplus(x)`, or `log(1 + exp(x))`, for the operand of a `tanh`: it is 1 in both spellings where the exponential
/// overflows.
fn is_softplus(g: &Graph, v: ValueId, x: ValueId, inside: &mut Inside) -> bool {
    let only = |v: ValueId, name: &str| {
        let n = g.producer(v).filter(|n| g.node(*n).op().name() == name && g.single_user(v).is_some())?;
        Some((n, g.node(n).input(0)?))
    };
    if let Some((n, argument)) = only(v, "softplus") {
        inside.nodes.push(n);
        return argument == x;
    }
    let Some((log, sum)) = only(v, "log") else { return false };
    inside.nodes.push(log);
    let Some(p) = expand(g, sum, inside) else { return false };
    let [one, term] = p.terms.as_slice() else { return false };
    let [e] = term.factors.as_slice() else { return false };
    let Some((exp, argument)) = only(*e, "exp") else { return false };
    inside.nodes.push(exp);
    one.factors.is_empty() && one.coefficient == 1.0 && term.coefficient == 1.0 && argument == x
}

/// What a pattern stands for, given what it matched.
type Make = fn(&Graph, &Match<'_>, Fused) -> Option<Fused>;

/// Formulas that are no sums and products. `%x` is the operand.
const TEXTS: &[(&str, &str, Make)] = &[
    (
        "softmax",
        "div(exp(sub(%x, reduce_max(%x, const(%a)))), reduce_sum(exp(sub(%x, reduce_max(%x, const(%a)))), const(%b)))",
        one_axis,
    ),
    ("softsign", "div(%x, add~(abs(%x), const(1)))", plain),
    ("sigmoid", "div(const(1), add~(exp(neg(%x)), const(1)))", single),
    ("sigmoid", "reciprocal(add~(exp(neg(%x)), const(1)))", single),
    ("swish", "div(%x, add~(exp(neg(%x)), const(1)))", single),
    ("leaky_relu", "max~(mul~(%x, const(%a)), %x)", up_to_one),
    ("leaky_relu", "where(greater(%x, const(0)), %x, mul~(%x, const(%a)))", positive),
    ("leaky_relu", "where(greater_or_equal(%x, const(0)), %x, mul~(%x, const(%a)))", any),
    ("leaky_relu", "where(less(%x, const(0)), mul~(%x, const(%a)), %x)", any),
    ("leaky_relu", "where(less_or_equal(%x, const(0)), mul~(%x, const(%a)), %x)", positive),
    ("p_relu", "add~(relu(%x), mul~(relu(neg(%x)), const(%a)))", negated),
    ("p_relu", "sub(relu(%x), mul~(relu(neg(%x)), const(%a)))", as_it_is),
    ("softplus", "where(greater(%x, const(%a)), %x, softplus(%x))", from_twenty),
    ("softplus", "where(greater_or_equal(%x, const(%a)), %x, softplus(%x))", from_twenty),
    ("elu", "where(greater(%x, const(0)), %x, mul~(sub(exp(%x), const(1)), const(%a)))", any),
    ("elu", "where(greater(%x, const(0)), %x, sub(exp(%x), const(1)))", plain),
];

/// The formulas that are patterns.
static PATTERNS: LazyLock<Vec<(Pattern, &str, Make)>> = LazyLock::new(|| {
    TEXTS.iter().filter_map(|(op, text, make)| Some((Pattern::parse(text).ok()?, *op, *make))).collect()
});

fn by_pattern(g: &Graph, n: NodeId) -> Found {
    let name = g.node(n).op().name();
    let mut nearest: Option<(usize, String)> = None;
    for (pattern, op, make) in PATTERNS.iter().filter(|p| p.0.root() == name) {
        let m = match pattern.matches(g, n) {
            Ok(m) => m,
            Err(miss) => {
                // A formula that fails late is nearer to what was meant.
                if miss.matched > nearest.as_ref().map_or(1, |(matched, _)| *matched) {
                    nearest = Some((miss.matched, miss.reason));
                }
                continue;
            }
        };
        let Some(x) = m.value("x") else { continue };
        let rank = m.all.iter().flat_map(|n| g.node(*n).inputs()).flatten();
        let rank = rank
            .filter_map(|v| g.constant(*v))
            .filter(|t| t.len() == 1 && t.dtype().is_float())
            .map(Tensor::rank)
            .max();
        let inside = Inside { nodes: m.all.clone(), rank: rank.unwrap_or(0) };
        match make(g, &m, Fused::new(op, x, inside)) {
            Some(fused) => return Ok(Some(fused)),
            None => return Err(NOT_THOSE),
        }
    }
    nearest.map_or(Ok(None), |(_, reason)| Err(reason.into()))
}

fn plain(g: &Graph, _: &Match<'_>, fused: Fused) -> Option<Fused> {
    dtype(g, fused.x)?.is_float().then_some(fused)
}

/// Only where the exponential has the range of what it is added to.
fn single(g: &Graph, _: &Match<'_>, fused: Fused) -> Option<Fused> {
    (dtype(g, fused.x)? == DType::F32).then_some(fused)
}

fn alpha(g: &Graph, m: &Match<'_>, fused: Fused, fits: impl Fn(f64) -> bool) -> Option<Fused> {
    let a = g.const_f64(m.value("a")).filter(|a| a.is_finite() && fits(*a))?;
    Some(fused.with("alpha", Attr::Float(a as f32)))
}

fn any(g: &Graph, m: &Match<'_>, fused: Fused) -> Option<Fused> {
    alpha(g, m, fused, |_| true)
}

/// Zeros keep their sign.
fn positive(g: &Graph, m: &Match<'_>, fused: Fused) -> Option<Fused> {
    alpha(g, m, fused, |a| a > 0.0)
}

fn up_to_one(g: &Graph, m: &Match<'_>, fused: Fused) -> Option<Fused> {
    alpha(g, m, fused, |a| a > 0.0 && a <= 1.0)
}

/// From 20 on `log(1 + exp(x))` is `x` in all of the types but `f64`.
fn from_twenty(g: &Graph, m: &Match<'_>, fused: Fused) -> Option<Fused> {
    g.const_f64(m.value("a")).filter(|a| *a >= 20.0).map(|_| fused)
}

/// Reductions over the same single axis, which they keep.
fn one_axis(g: &Graph, m: &Match<'_>, fused: Fused) -> Option<Fused> {
    let rank = g.ty(fused.x).as_tensor()?.rank()? as i64;
    let axis = |name: &str| match g.const_ints(m.value(name)).as_deref() {
        Some([axis]) => Some(if *axis < 0 { axis + rank } else { *axis }),
        _ => None,
    };
    let kept = |n: &NodeId| g.node(*n).op().def().attr("keepdims") != Some(Attr::Bool(false));
    let axes = axis("a").filter(|a| axis("b") == Some(*a))?;
    m.all.iter().all(kept).then(|| fused.with("axis", Attr::Int(axes)))
}

/// Slopes as `p_relu` takes them: broadcast to `x` without changing its shape.
fn slopes(g: &Graph, m: &Match<'_>, mut fused: Fused, sign: f64) -> Option<Fused> {
    const MOST: usize = 1 << 16;
    let t = g.constant(m.value("a")?).filter(|t| t.len() <= MOST)?;
    let x = g.ty(fused.x).as_tensor()?.shape.as_ref()?;
    let lead = x.len().checked_sub(t.rank())?;
    let fits = |(d, s): (&hoist_ir::dim::Dim, &usize)| *s == 1 || d.known() == Some(*s as u64);
    if !x[lead..].iter().zip(t.shape()).all(fits) {
        return None;
    }
    let values = t.to_f64s().ok()?;
    if let [a] = values.as_slice() {
        fused.op = "leaky_relu";
        return a.is_finite().then(|| fused.with("alpha", Attr::Float((a * sign) as f32)));
    }
    let wide = hoist_ir::tensor::convert::Wide::F64(values.iter().map(|v| v * sign).collect());
    fused.slope = Some(Tensor::from_wide(t.dtype(), t.shape(), &wide, false).ok()?);
    values.iter().all(|v| v.is_finite()).then_some(fused)
}

fn negated(g: &Graph, m: &Match<'_>, fused: Fused) -> Option<Fused> {
    slopes(g, m, fused, -1.0)
}

fn as_it_is(g: &Graph, m: &Match<'_>, fused: Fused) -> Option<Fused> {
    slopes(g, m, fused, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_formula_is_a_pattern() {
        assert_eq!(PATTERNS.len(), TEXTS.len());
    }
}
