//! `fuse-activations`
//!
//! ```text
//! %a = div(%x, 1.4142135)
//! %b = erf(%a)
//! %c = add(%b, 1)
//! %d = mul(%x, %c)
//! %y = mul(%d, 0.5)         ->  %y = gelu(%x)
//! ```
//! - Nothing else uses the values between.
//! - The constants are those of the formula, rounded to the element type.
//!
//! The results may differ in the last bits: the operator rounds once where the formula rounds at each step. Runtimes compute one operator
//! much faster than five, and TFLite has no error function at all.
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::Op;
use hoist_ir::pattern::Pattern;
use std::sync::LazyLock;

/// The pass.
pub struct FuseActivations;

const INFO: PassInfo = PassInfo {
    name: "fuse-activations",
    doc: "Replaces the formulas of gelu, hard-swish and hard-sigmoid by these operators.",
};

/// An operator: its name and its attributes other than the defaults.
type Fused = (&'static str, &'static [(&'static str, Attr)]);

const GELU: Fused = ("gelu", &[]);
const HARD_SWISH: Fused = ("hard_swish", &[]);
const HARD_SIGMOID: Fused =
    ("hard_sigmoid", &[("alpha", Attr::Float(1.0 / 6.0)), ("beta", Attr::Float(0.5))]);

/// `1 + erf(x / sqrt(2))`, in both spellings of the quotient.
const ERF: [&str; 2] = [
    "add~(erf(div(%x, const(1.4142135623730951))), const(1))",
    "add~(erf(mul~(%x, const(0.7071067811865476))), const(1))",
];
/// `x^3`, in the spellings of transformers and of Keras.
const CUBES: [&str; 3] = ["pow(%x, const(3))", "mul(mul(%x, %x), %x)", "mul(%x, mul(%x, %x))"];
/// `min(max(x + 3, 0), 6)`.
const RELU6: [&str; 2] =
    ["clip(add~(%x, const(3)), const(0), const(6))", "min~(relu(add~(%x, const(3))), const(6))"];

/// Half of `x` times `factor`, in each order of the products.
fn halves(factor: &str) -> [String; 3] {
    [
        format!("mul~(mul~(%x, {factor}), const(0.5))"),
        format!("mul~(mul~(%x, const(0.5)), {factor})"),
        format!("mul~(%x, mul~({factor}, const(0.5)))"),
    ]
}

/// Every formula that is recognized.
static FORMULAS: LazyLock<Vec<(Pattern, Fused)>> = LazyLock::new(|| {
    let mut texts = vec![];
    for erf in ERF {
        texts.extend(halves(erf).map(|t| (t, GELU)));
    }
    for cube in CUBES {
        let inner = format!("mul~(add~(%x, mul~({cube}, const(0.044715))), const(0.7978845608028654))");
        let tanh = format!("add~(tanh({inner}), const(1))");
        texts.extend(halves(&tanh).map(|t| (t, ("gelu", GELU_TANH))));
    }
    for relu in RELU6 {
        for product in [
            format!("div(mul~(%x, {relu}), const(6))"),
            format!("mul~(mul~(%x, {relu}), const(0.16666666666666666))"),
            format!("mul~(%x, div({relu}, const(6)))"),
            format!("mul~(%x, mul~({relu}, const(0.16666666666666666)))"),
        ] {
            texts.push((product, HARD_SWISH));
        }
        texts.push((format!("div({relu}, const(6))"), HARD_SIGMOID));
        texts.push((format!("mul~({relu}, const(0.16666666666666666))"), HARD_SIGMOID));
    }
    texts.push(("mul~(%x, hard_sigmoid(%x) {alpha=0.16666667, beta=0.5})".to_owned(), HARD_SWISH));
    texts.into_iter().filter_map(|(text, fused)| Some((Pattern::parse(&text).ok()?, fused))).collect()
});

/// The attribute that chooses the formula with the hyperbolic tangent.
const GELU_TANH: &[(&str, Attr)] = &[("approximate", Attr::Word("tanh"))];

impl Pass for FuseActivations {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, |g, n| fuse(g, cx, n)))
    }
}

fn fuse(g: &mut Graph, cx: &Ctx, n: NodeId) -> Outcome {
    let name = g.node(n).op().name();
    let mut found = Outcome::Skip;
    let mut furthest = 0;
    for (pattern, (op, attrs)) in FORMULAS.iter().filter(|f| f.0.root() == name) {
        let matched = match pattern.matches(g, n) {
            Ok(matched) => matched,
            Err(miss) => {
                // A formula that fails late is nearer to what was meant.
                if miss.matched > furthest.max(1) {
                    furthest = miss.matched;
                    found = Outcome::Miss(miss.reason.into());
                }
                continue;
            }
        };
        let (Some(mut op), Some(x)) = (Op::by_name(op), matched.value("x")) else { return Outcome::Skip };
        for (name, value) in *attrs {
            if let Err(e) = op.def_mut().set_attr(name, value) {
                return Outcome::Miss(e.message.into());
            }
        }
        let inner = matched.inner().to_vec();
        return cx.fuse(g, n, &inner, |b| b.add(op, &[Some(x)]));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_formula_is_a_pattern() {
        assert_eq!(FORMULAS.len(), 3 * ERF.len() + 3 * CUBES.len() + 6 * RELU6.len() + 1);
    }
}
