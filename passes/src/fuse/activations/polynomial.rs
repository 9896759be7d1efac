//! Scalar arithmetic in a normal form: a sum of products of values with coefficients, however a file spells it.
//!
//! `mul(mul(%x, 0.5), add(%t, 1))`, `div(mul(%x, add(1, %t)), 2)` and `add(mul(%x, 0.5), mul(%x, mul(%t, 0.5)))` are all
//! `0.5 * %x + 0.5 * %x * %t`.
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};

/// Most nodes one normal form looks at.
const MOST_NODES: usize = 14;
/// Most terms and most factors of a term.
const MOST_TERMS: usize = 6;
const MOST_FACTORS: usize = 4;

/// A coefficient times a product of values, which are sorted; a value may occur more than once.
#[derive(Clone, PartialEq, Debug)]
pub struct Term {
    /// The coefficient.
    pub coefficient: f64,
    /// The values.
    pub factors: Vec<ValueId>,
}

/// A sum of terms with different factors, ordered by these.
#[derive(Clone, PartialEq, Debug)]
pub struct Polynomial {
    /// The terms.
    pub terms: Vec<Term>,
}

/// What belongs to a formula besides its values.
#[derive(Clone, Default, Debug)]
pub struct Inside {
    /// Nodes that compute it, the root first.
    pub nodes: Vec<NodeId>,
    /// Highest rank of a constant in it: what a constant may add to the rank of the result.
    pub rank: usize,
}

impl Polynomial {
    fn constant(c: f64) -> Self {
        Self { terms: vec![Term { coefficient: c, factors: vec![] }] }
    }
    fn value(v: ValueId) -> Self {
        Self { terms: vec![Term { coefficient: 1.0, factors: vec![v] }] }
    }
    fn scale(mut self, by: f64) -> Self {
        for t in &mut self.terms {
            t.coefficient *= by;
        }
        self
    }
    fn plus(mut self, other: Self) -> Option<Self> {
        for t in other.terms {
            match self.terms.iter_mut().find(|o| o.factors == t.factors) {
                Some(same) => same.coefficient += t.coefficient,
                None => self.terms.push(t),
            }
        }
        self.terms.sort_by(|a, b| a.factors.cmp(&b.factors));
        (self.terms.len() <= MOST_TERMS).then_some(self)
    }
    fn times(&self, other: &Self) -> Option<Self> {
        let mut all = Self { terms: vec![] };
        for a in &self.terms {
            for b in &other.terms {
                let mut factors = [a.factors.as_slice(), &b.factors].concat();
                factors.sort_unstable();
                if factors.len() > MOST_FACTORS {
                    return None;
                }
                let term = Term { coefficient: a.coefficient * b.coefficient, factors };
                all = all.plus(Self { terms: vec![term] })?;
            }
        }
        Some(all)
    }
    /// The number, when it is one.
    fn number(&self) -> Option<f64> {
        match self.terms.as_slice() {
            [Term { coefficient, factors }] if factors.is_empty() => Some(*coefficient),
            _ => None,
        }
    }
    /// Coefficients of `x^0` to `x^3`, when it has no other value.
    pub fn of(&self, x: ValueId) -> Option<[f64; 4]> {
        let mut out = [0.0; 4];
        for t in &self.terms {
            if t.factors.iter().any(|f| *f != x) {
                return None;
            }
            *out.get_mut(t.factors.len())? += t.coefficient;
        }
        Some(out)
    }
    /// The value it is a polynomial of, when there is one.
    pub fn variable(&self) -> Option<ValueId> {
        let x = self.terms.iter().find_map(|t| t.factors.first().copied())?;
        self.of(x).map(|_| x)
    }
}

/// Normal form of the result of `root`. Values that something else uses stay whole, as do those of other operators.
pub fn expand_node(g: &Graph, root: NodeId, inside: &mut Inside) -> Option<Polynomial> {
    if inside.nodes.len() >= MOST_NODES {
        return None;
    }
    inside.nodes.push(root);
    let node = g.node(root);
    let operand = |i: usize, inside: &mut Inside| expand(g, node.input(i)?, inside);
    if node.inputs().len() > 2 {
        return None;
    }
    match node.op().name() {
        "neg" => Some(operand(0, inside)?.scale(-1.0)),
        "add" => operand(0, inside)?.plus(operand(1, inside)?),
        "sub" => operand(0, inside)?.plus(operand(1, inside)?.scale(-1.0)),
        "mul" => operand(0, inside)?.times(&operand(1, inside)?),
        "div" => {
            let by = operand(1, inside)?.number().filter(|by| *by != 0.0)?;
            Some(operand(0, inside)?.scale(1.0 / by))
        }
        "pow" => {
            let (x, e) = (operand(0, inside)?, operand(1, inside)?.number()?);
            match e {
                1.0 => Some(x),
                2.0 => x.times(&x),
                3.0 => x.times(&x)?.times(&x),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Normal form of `v`, which something in the formula uses.
pub fn expand(g: &Graph, v: ValueId, inside: &mut Inside) -> Option<Polynomial> {
    if let Some(t) = g.constant(v) {
        inside.rank = inside.rank.max(t.rank());
        return match g.const_f64(Some(v)) {
            Some(c) => Some(Polynomial::constant(c)),
            None => Some(Polynomial::value(v)),
        };
    }
    let arithmetic = |n: &NodeId| {
        let node = g.node(*n);
        match node.op().name() {
            "neg" | "add" | "sub" | "mul" => true,
            "div" | "pow" => node.input(1).is_some_and(|c| g.const_f64(Some(c)).is_some()),
            _ => false,
        }
    };
    match g.producer(v).filter(|n| g.single_user(v).is_some() && arithmetic(n)) {
        Some(n) => expand_node(g, n, inside),
        None => Some(Polynomial::value(v)),
    }
}

/// Whether `a` is `b`, up to what rounding constants to `dtype` may change.
pub fn near(a: f64, b: f64, dtype: DType) -> bool {
    let tolerance = match dtype {
        DType::F16 => 2e-3,
        DType::BF16 => 1.2e-2,
        _ => 1e-6,
    };
    (a - b).abs() <= tolerance * b.abs().max(1e-3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::text::parse_model;

    fn coefficients(text: &str) -> Option<[f64; 4]> {
        let m =
            parse_model(&format!("graph(%x: f32[N]) {{\n{text}\n return %y, %x, %x\n}}\n")).expect("a graph");
        let root = m.graph.producer(m.graph.outputs()[0].value).expect("a node");
        expand_node(&m.graph, root, &mut Inside::default())?.of(m.graph.inputs()[0])
    }

    #[test]
    fn spellings_have_one_normal_form() {
        let constants = "%h = const f32[] [0.5]\n%two = const f32[1] [2.0]\n%three = const f32[] [3.0]\n";
        for text in [
            "%a = mul(%x, %h)\n%b = pow(%x, %three)\n%c = mul(%two, %b)\n%y = add(%c, %a)",
            "%s = mul(%x, %x)\n%a = mul(%s, %two)\n%b = add(%h, %a)\n%y = mul(%b, %x)",
            "%a = neg(%x)\n%b = div(%a, %two)\n%s = pow(%x, %two)\n%c = mul(%x, %s)\n%d = mul(%c, %two)\n%y = sub(%d, %b)",
        ] {
            assert_eq!(coefficients(&format!("{constants}{text}")), Some([0.0, 0.5, 0.0, 2.0]), "{text}");
        }
        assert_eq!(coefficients("%y = exp(%x)"), None);
    }
}
