//! `simplify-arithmetic`
//!
//! ```text
//! %a = neg(%y)
//! %b = add(%x, %a)   ->  %b = sub(%x, %y)
//! ```
//! Each rule is one line of `RULES`: a pattern, and what computes the same with less. All are exact, bit for bit.
//! - Nothing else uses the values between, so that no rule adds a node.
//! - Comparisons are inverted for integers only: NaN makes both of `x < y` and `x >= y` false.
//! - What the rules leave must have the shape of what they replace: where that is not sure because of broadcasting, they do not apply.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::surely_same;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::pattern::{Match, Pattern};
use std::sync::LazyLock;

/// The pass.
pub struct SimplifyArithmetic;

const INFO: PassInfo = PassInfo {
    name: "simplify-arithmetic",
    doc: "Replaces arithmetic that cancels or repeats itself: double negations, sums of negated values, inverted conditions.",
};

impl Pass for SimplifyArithmetic {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let mut changed = Changed::default();
        for _ in 0..MOST_ROUNDS {
            let round = sweep(g, cx, |g, n| simplify(g, cx, n));
            changed.0 = changed.0.saturating_add(round.0);
            if !round.any() {
                break;
            }
        }
        Ok(changed)
    }
}

/// Most rounds in which what one rule leaves is looked at by the others.
const MOST_ROUNDS: usize = 16;

/// What replaces a match.
#[derive(Clone, Copy)]
enum To {
    /// A value of the pattern.
    Value(&'static str),
    /// The result of the named node of the pattern.
    Result(&'static str),
    /// An operator applied to values of the pattern.
    Op(&'static str, &'static [&'static str]),
    /// The same, for integers only.
    Ints(&'static str, &'static [&'static str]),
}
use To::{Ints, Op as Apply, Result as Inner, Value};

/// Patterns and what they are replaced by.
const RULES: &[(&str, To)] = &[
    ("neg(neg(%x))", Value("x")),
    ("not(not(%x))", Value("x")),
    ("bitwise_not(bitwise_not(%x))", Value("x")),
    ("abs(&abs(%x) @a)", Inner("a")),
    ("floor(&floor(%x) @a)", Inner("a")),
    ("ceil(&ceil(%x) @a)", Inner("a")),
    ("round(&round(%x) @a)", Inner("a")),
    ("sign(&sign(%x) @a)", Inner("a")),
    ("abs(neg(%x))", Apply("abs", &["x"])),
    ("add(%x, neg(%y))", Apply("sub", &["x", "y"])),
    ("add(neg(%y), %x)", Apply("sub", &["x", "y"])),
    ("sub(%x, neg(%y))", Apply("add", &["x", "y"])),
    ("mul(neg(%x), neg(%y))", Apply("mul", &["x", "y"])),
    ("div(neg(%x), neg(%y))", Apply("div", &["x", "y"])),
    ("neg(sub(%x, %y))", Ints("sub", &["y", "x"])),
    ("sub(const(0), %x)", Ints("neg", &["x"])),
    ("mul~(%x, const(-1))", Apply("neg", &["x"])),
    ("div(%x, const(-1))", Apply("neg", &["x"])),
    ("where(not(%c), %x, %y)", Apply("where", &["c", "y", "x"])),
    ("not(less(%x, %y))", Ints("greater_or_equal", &["x", "y"])),
    ("not(less_or_equal(%x, %y))", Ints("greater", &["x", "y"])),
    ("not(greater(%x, %y))", Ints("less_or_equal", &["x", "y"])),
    ("not(greater_or_equal(%x, %y))", Ints("less", &["x", "y"])),
    ("and~(&and(%x, %y) @a, %x)", Inner("a")),
    ("or~(&or(%x, %y) @a, %x)", Inner("a")),
    ("max~(&max(%x, %y) @a, %x)", Inner("a")),
    ("min~(&min(%x, %y) @a, %x)", Inner("a")),
];

static PATTERNS: LazyLock<Vec<(Pattern, To)>> =
    LazyLock::new(|| RULES.iter().filter_map(|(text, to)| Some((Pattern::parse(text).ok()?, *to))).collect());

fn simplify(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let name = g.node(n).op().name();
    let mut found = Outcome::Skip;
    for (pattern, to) in PATTERNS.iter().filter(|p| p.0.root() == name) {
        let m = match pattern.matches(g, n) {
            Ok(m) => m,
            Err(miss) => {
                if miss.matched > 1 {
                    found = Outcome::Miss(miss.reason.into());
                }
                continue;
            }
        };
        found = apply(g, cx, n, &m, *to);
        if found == Outcome::Edit {
            break;
        }
    }
    found
}

fn apply(g: &mut Graph, cx: &Ctx, n: NodeId, m: &Match<'_>, to: To) -> Outcome {
    let inner = m.inner().to_vec();
    let (op, names) = match to {
        Value(name) => return keep(g, n, &inner, m.value(name)),
        Inner(name) => {
            let v = m.node(name).and_then(|p| g.node(p).outputs().first().copied());
            return keep(g, n, &inner, v);
        }
        Apply(op, names) => (op, names),
        Ints(op, names) => {
            if !names.iter().filter_map(|v| m.value(v)).all(|v| is_int(g, v))
                && !planted("simplify-arithmetic")
            {
                return Outcome::miss("the elements are not integers");
            }
            (op, names)
        }
    };
    let operands: Vec<Option<ValueId>> = names.iter().map(|name| m.value(name)).collect();
    let Some(op) = Op::by_name(op) else { return Outcome::Skip };
    let before = g.node(n).outputs().first().and_then(|v| g.ty(*v).as_tensor()).cloned();
    cx.fuse(g, n, &inner, |b| {
        let results = b.add(op, &operands)?;
        let after = results.first().and_then(|v| b.graph().ty(*v).as_tensor());
        match (before, after) {
            // Several operands broadcast as they did before; a single one might have been stretched by what went.
            (Some(_), Some(_)) if operands.len() > 1 => Ok(results),
            (Some(x), Some(y)) if surely_same(&x, y) => Ok(results),
            _ => Err(Diag::error("E0403", "broadcasting may change the shape")),
        }
    })
}

/// Replaces the result of `n` by `v`, where that surely has its type.
fn keep(g: &mut Graph, n: NodeId, inner: &[NodeId], v: Option<ValueId>) -> Outcome {
    let result = g.node(n).outputs().first().copied();
    let (Some(v), Some(result)) = (v, result) else { return Outcome::Skip };
    let same = match (g.ty(v).as_tensor(), g.ty(result).as_tensor()) {
        // One operand, whose shape nothing changes.
        (Some(_), Some(_)) if g.node(n).inputs().len() == 1 => true,
        (Some(a), Some(b)) => surely_same(a, b),
        _ => false,
    };
    if !same {
        return Outcome::miss("broadcasting may change the shape");
    }
    Outcome::of(g.rewrite(n, inner, |_| Ok(vec![v])))
}

fn is_int(g: &Graph, v: ValueId) -> bool {
    g.ty(v).as_tensor().is_some_and(|t| t.dtype.is_int() || t.dtype == DType::Bool)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_a_pattern() {
        for (text, to) in RULES {
            let p = Pattern::parse(text).expect(text);
            assert!(!p.root().is_empty());
            if let Apply(op, names) | Ints(op, names) = to {
                assert!(Op::by_name(op).is_some() && !names.is_empty(), "{op}");
            }
        }
        assert_eq!(PATTERNS.len(), RULES.len());
    }
}
