//! Patterns of nodes, written as the text form writes nodes, and a matcher that can say why one does not fire.
//!
//! ```text
//! add~(mat_mul(%x, const(%w)) @product, %b)
//! ```
//!
//! | pattern | matches |
//! |---|---|
//! | `%x` | any value; the same name twice must be the same value |
//! | `%x?` | any value or an absent operand |
//! | `_` | an absent operand |
//! | `const(%w)` | a constant |
//! | `const(0.5)` | a constant of one element, 0.5 rounded to its element type; its rank may be any |
//! | `op(a, b)` | result 0 of that operator, with exactly these operands (absent ones at the end may be left out) |
//! | `op(a, ..)` | the same, whatever operands follow |
//! | `op(a).1` | result 1 |
//! | `op~(a, b)` | the first two operands in either order |
//! | `op(a) {axis=-1}` | only with this value of the attribute |
//! | `op(a) @name` | and [`Match::node`] finds the node by `name` |
//! | `&op(a)` | even when others use its results |
//!
//! Nodes inside a pattern are about to be removed, so without `&` all uses of their results must lie within the match, and no graph
//! output may show them. Captured operands are not looked at.
use crate::attr::Attr;
use crate::diag::Diag;
use crate::graph::{Def, Graph, NodeId, Use, ValueId};
use crate::op::OpDef;
use crate::ops::Op;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::text::attr::attr;
use crate::text::lexer::{Cursor, Fault, Tok, ValueName};
use crate::text::literal::{double, integer};

/// Nodes with operands in either order: each doubles the ways to try.
const MAX_SWAPS: usize = 6;
/// Results a pattern can ask for.
const MAX_RESULT: i128 = 1000;

/// A parsed pattern.
#[derive(Debug)]
pub struct Pattern {
    root: Node,
    /// Variables and node names by their index.
    variables: Vec<String>,
    names: Vec<String>,
    swaps: usize,
}

#[derive(Debug)]
struct Node {
    op: Op,
    attrs: Vec<(String, Attr)>,
    operands: Vec<Operand>,
    /// Whether further operands may follow.
    open: bool,
    /// Which bit of the try decides the order of the first two operands.
    swap: Option<usize>,
    name: Option<usize>,
    shared: bool,
}

#[derive(Debug)]
enum Operand {
    Any { variable: usize, optional: bool },
    Absent,
    Const(usize),
    Number(f64),
    Node { node: Box<Node>, result: u32 },
}

/// What a pattern matched.
#[derive(Debug)]
pub struct Match<'p> {
    pattern: &'p Pattern,
    values: Vec<Option<ValueId>>,
    nodes: Vec<Option<NodeId>>,
    /// All matched nodes, the root first.
    pub all: Vec<NodeId>,
}

impl Match<'_> {
    /// The value of variable `name`, written without `%`; `None` when it stands for an absent operand or the pattern has none such.
    pub fn value(&self, name: &str) -> Option<ValueId> {
        self.values[self.pattern.variables.iter().position(|v| v == name)?]
    }
    /// The node marked `@name`; `None` when the pattern has none such.
    pub fn node(&self, name: &str) -> Option<NodeId> {
        self.nodes[self.pattern.names.iter().position(|n| n == name)?]
    }
    /// The nodes beside the root, whose origins a replacement joins with the root's.
    pub fn inner(&self) -> &[NodeId] {
        self.all.get(1..).unwrap_or_default()
    }
}

/// Why a pattern did not match.
#[derive(Clone, PartialEq, Debug)]
pub struct Miss {
    /// What did not fit, for the user.
    pub reason: String,
    /// Where.
    pub at: NodeId,
    /// Nodes that fitted before. 0: the root is of another operator, which nobody needs to be told.
    pub matched: usize,
}

impl Pattern {
    /// Reads a pattern; parse once and keep it, as in a `LazyLock`.
    ///
    /// # Errors
    /// `E0404` when the text is no pattern.
    pub fn parse(text: &str) -> Result<Self, Diag> {
        let mut p = Parser { c: Cursor::new(text), variables: vec![], names: vec![], swaps: 0 };
        let root = p.whole().map_err(|f| f.place(text))?;
        Ok(Self { root, variables: p.variables, names: p.names, swaps: p.swaps })
    }
    /// Operator of the root: only its nodes can match.
    pub fn root(&self) -> &'static str {
        self.root.op.name()
    }
    /// Whether the pattern matches with its root at node `n`.
    ///
    /// # Errors
    /// What did not fit, in the order of operands that got furthest.
    pub fn matches<'p>(&'p self, graph: &Graph, n: NodeId) -> Result<Match<'p>, Miss> {
        let mut best: Option<Miss> = None;
        for order in 0..1usize << self.swaps {
            let mut m = Matcher {
                graph,
                order,
                values: vec![None; self.variables.len()],
                absent: vec![false; self.variables.len()],
                nodes: vec![None; self.names.len()],
                all: vec![],
                single: vec![],
            };
            let tried = m.node(self, &self.root, n).and_then(|()| m.single_use());
            match tried {
                Ok(()) => {
                    return Ok(Match { pattern: self, values: m.values, nodes: m.nodes, all: m.all });
                }
                Err((reason, at)) => {
                    let miss = Miss { reason, at, matched: m.all.len() };
                    if best.as_ref().is_none_or(|b| b.matched < miss.matched) {
                        best = Some(miss);
                    }
                }
            }
        }
        Err(best.unwrap_or_else(|| Miss { reason: "nothing was tried".to_owned(), at: n, matched: 0 }))
    }
}

/// One try with a fixed order of operands.
struct Matcher<'g> {
    graph: &'g Graph,
    /// Bit `i`: whether swap `i` is made.
    order: usize,
    values: Vec<Option<ValueId>>,
    /// Variables that stand for an absent operand.
    absent: Vec<bool>,
    nodes: Vec<Option<NodeId>>,
    all: Vec<NodeId>,
    /// Nodes whose results must not be used elsewhere.
    single: Vec<NodeId>,
}

type Fit = Result<(), (String, NodeId)>;

impl Matcher<'_> {
    fn node(&mut self, p: &Pattern, want: &Node, n: NodeId) -> Fit {
        let (graph, node) = (self.graph, self.graph.node(n));
        let (name, label) = (want.op.name(), graph.node_label(n));
        if node.op().name() != name {
            return Err((format!("`{label}` is `{}`, not `{name}`", node.op().name()), n));
        }
        for (key, value) in &want.attrs {
            let found = node.op().def().attr(key).unwrap_or(Attr::None);
            if !found.same(value) {
                return Err((format!("`{key}` of `{label}` is {found}, not {value}"), n));
            }
        }
        let own = node.inputs().len().saturating_sub(node.captures());
        let mut operands: Vec<Option<ValueId>> = node.inputs()[..own].to_vec();
        if want.swap.is_some_and(|bit| self.order >> bit & 1 == 1) && operands.len() >= 2 {
            operands.swap(0, 1);
        }
        if !want.open && operands.iter().skip(want.operands.len()).any(Option::is_some) {
            return Err((format!("`{label}` has more than {} operands", want.operands.len()), n));
        }
        if let Some(i) = want.name {
            self.nodes[i] = Some(n);
        }
        self.all.push(n);
        for (i, operand) in want.operands.iter().enumerate() {
            self.operand(p, operand, operands.get(i).copied().flatten(), n)?;
        }
        Ok(())
    }
    fn operand(&mut self, p: &Pattern, want: &Operand, v: Option<ValueId>, user: NodeId) -> Fit {
        let graph = self.graph;
        let label = || graph.node_label(user);
        let Some(v) = v else {
            return match want {
                Operand::Absent => Ok(()),
                Operand::Any { variable, optional: true } if self.values[*variable].is_none() => {
                    self.absent[*variable] = true;
                    Ok(())
                }
                _ => Err((format!("an operand of `{}` is absent", label()), user)),
            };
        };
        let name = graph.value_label(v);
        let constant = graph.constant(v);
        match want {
            Operand::Absent => Err((format!("`{}` has the operand `{name}`", label()), user)),
            Operand::Const(_) if constant.is_none() => {
                Err((format!("`{name}` of `{}` is not constant", label()), user))
            }
            Operand::Any { variable, .. } | Operand::Const(variable) => {
                let other = self.values[*variable].replace(v).is_some_and(|old| old != v);
                if other || self.absent[*variable] {
                    let m = format!("`%{}` would be two different values", p.variables[*variable]);
                    return Err((m, user));
                }
                Ok(())
            }
            Operand::Number(number) => match constant {
                Some(t) if is_number(t, *number) => Ok(()),
                _ => Err((format!("`{name}` of `{}` is not the constant {number}", label()), user)),
            },
            Operand::Node { node, result } => match graph.value(v).def() {
                Def::Node { node: n, slot } if slot == *result => {
                    if !node.shared && !self.single.contains(&n) {
                        self.single.push(n);
                    }
                    self.node(p, node, n)
                }
                Def::Node { node: n, slot } => {
                    Err((format!("`{name}` is result {slot} of `{}`, not {result}", graph.node_label(n)), n))
                }
                _ => Err((format!("`{name}` of `{}` is no result of `{}`", label(), node.op.name()), user)),
            },
        }
    }
    /// Checks that nothing outside the match uses what it replaces.
    fn single_use(&self) -> Fit {
        let graph = self.graph;
        for n in &self.single {
            let inner = format!("inner `{}`", graph.node(*n).op().name());
            for u in graph.node(*n).outputs().iter().flat_map(|v| graph.value(*v).uses()) {
                match u {
                    Use::Output(i) => {
                        let output = graph.outputs().get(*i as usize).map_or("", |o| &o.name);
                        return Err((format!("{inner} is also shown by output `{output}`"), *n));
                    }
                    Use::Node { node, .. } if !self.all.contains(node) => {
                        return Err((format!("{inner} is also used by `{}`", graph.node_label(*node)), *n));
                    }
                    Use::Node { .. } => {}
                }
            }
        }
        Ok(())
    }
}

/// Whether `t` is one element that equals `number` rounded to its element type.
fn is_number(t: &Tensor, number: f64) -> bool {
    let Some(found) = t.as_f64() else { return false };
    if !t.dtype().is_float() {
        return found == number;
    }
    let rounded = Tensor::from_wide(t.dtype(), &[], &Wide::F64(vec![number]), false);
    rounded.is_ok_and(|r| r.as_f64() == Some(found))
}

struct Parser<'t> {
    c: Cursor<'t>,
    variables: Vec<String>,
    names: Vec<String>,
    swaps: usize,
}

/// Position of `name` in `all`, added if it is new.
fn index(all: &mut Vec<String>, name: &str) -> usize {
    all.iter().position(|n| n == name).unwrap_or_else(|| {
        all.push(name.to_owned());
        all.len() - 1
    })
}

impl Parser<'_> {
    fn whole(&mut self) -> Result<Node, Fault> {
        let mut root = self.node(false)?;
        self.tail(&mut root)?;
        if self.c.tok == Tok::End { Ok(root) } else { Err(self.c.expected("the end of the pattern")) }
    }
    fn node(&mut self, shared: bool) -> Result<Node, Fault> {
        let at = self.c.at;
        let word = self.c.word("an operator")?;
        let op = Op::by_name(word).ok_or_else(|| Fault::new(at, format!("there is no operator `{word}`")))?;
        let swap = self.c.eat('~').then(|| self.swaps);
        self.swaps += usize::from(swap.is_some());
        if self.swaps > MAX_SWAPS {
            return Err(Fault::new(at, format!("at most {MAX_SWAPS} nodes can be tried in either order")));
        }
        let mut node = Node { op, attrs: vec![], operands: vec![], open: false, swap, name: None, shared };
        self.c.need('(')?;
        while !self.c.eat(')') {
            if self.c.eat('.') {
                self.c.need('.')?;
                node.open = true;
                self.c.need(')')?;
                break;
            }
            let operand = self.operand()?;
            node.operands.push(operand);
            if !self.c.is(')') {
                self.c.need(',')?;
            }
        }
        if node.operands.len() > node.op.schema().input_count().1
            || (swap.is_some() && node.operands.len() < 2)
        {
            return Err(Fault::new(at, format!("`{word}` never has this number of operands")));
        }
        Ok(node)
    }
    /// Attributes and name, which follow operands and result number.
    fn tail(&mut self, node: &mut Node) -> Result<(), Fault> {
        if self.c.eat('{') {
            node.attrs = self.c.list('}', |c| constraint(c, &node.op))?;
        }
        if self.c.eat('@') {
            let at = self.c.at;
            let name = self.c.word("a name")?;
            if self.names.iter().any(|n| n == name) {
                return Err(Fault::new(at, format!("two nodes are named `{name}`")));
            }
            node.name = Some(index(&mut self.names, name));
        }
        Ok(())
    }
    fn variable(&mut self) -> Result<usize, Fault> {
        let label = match self.c.value_name()? {
            ValueName::Name(n) => n.into_owned(),
            ValueName::Number(n) => n.to_owned(),
        };
        Ok(index(&mut self.variables, &label))
    }
    fn operand(&mut self) -> Result<Operand, Fault> {
        if let Tok::Value(_) | Tok::QuotedValue(_) = self.c.tok {
            let variable = self.variable()?;
            return Ok(Operand::Any { variable, optional: self.c.eat('?') });
        }
        if self.c.eat_word("_") {
            return Ok(Operand::Absent);
        }
        if self.c.eat_word("const") {
            self.c.need('(')?;
            let operand = match self.c.tok {
                Tok::Value(_) | Tok::QuotedValue(_) => Operand::Const(self.variable()?),
                _ => Operand::Number(double(&mut self.c)?),
            };
            self.c.need(')')?;
            return Ok(operand);
        }
        let shared = self.c.eat('&');
        self.c.deepen()?;
        let mut node = self.node(shared)?;
        let result = if self.c.eat('.') { integer(&mut self.c, 0, MAX_RESULT)? as u32 } else { 0 };
        self.tail(&mut node)?;
        self.c.leave();
        Ok(Operand::Node { node: Box::new(node), result })
    }
}

/// `name=value`, the value in the form that the operator keeps it in.
fn constraint(c: &mut Cursor<'_>, op: &Op) -> Result<(String, Attr), Fault> {
    let at = c.at;
    let name = c.word("an attribute")?;
    c.need('=')?;
    let kind = op.schema().attrs.iter().find(|a| a.name == name).map(|a| a.kind);
    let kind = kind.ok_or_else(|| Fault::new(at, format!("`{}` has no attribute `{name}`", op.name())))?;
    let value = attr(c, kind, &mut 0)?;
    let mut probe = op.clone();
    probe.def_mut().set_attr(name, &value).map_err(|e| Fault::new(at, e.message))?;
    Ok((name.to_owned(), probe.def().attr(name).unwrap_or(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse_graph;

    const MLP: &str = "graph(%x: f32[2, 3], %v: f32[3, 4], %s: f32[2, 4]) {
        %w = const f32[3, 4] splat(0.5)
        %b = const f32[4] [1, 2, 3, 4]
        %half = const f32[1] [0.1]
        %p = mat_mul(%x, %w)
        %y = add(%b, %p)
        %z = mul(%y, %half)
        %q = mat_mul(%x, %v)
        %r = add(%q, %b)
        %t = mul(%q, %s)
        %u = softmax(%t) {axis=0}
        %e = sigmoid(%s)
        %f = mul(%s, %e)
        %g = add(%e, %f)
        return z: %z, r: %r, u: %u, g: %g
    }";

    /// The node of `graph` that defines `%name`.
    fn producer(graph: &Graph, name: &str) -> NodeId {
        let named = |n: &NodeId| {
            graph.node(*n).outputs().iter().any(|v| graph.value(*v).name.as_deref() == Some(name))
        };
        graph.order().find(named).expect(name)
    }
    /// Names of the values of all variables, or the miss.
    fn try_at(text: &str, at: &str) -> Result<String, (String, usize)> {
        let (g, p) = (parse_graph(MLP).expect("parses"), Pattern::parse(text).expect("a pattern"));
        let m = p.matches(&g, producer(&g, at)).map_err(|m| (m.reason, m.matched))?;
        let values = p.variables.iter().map(|v| m.value(v).map_or("-".to_owned(), |v| g.value_label(v)));
        Ok(values.collect::<Vec<_>>().join(" "))
    }
    fn miss(reason: &str, matched: usize) -> Result<String, (String, usize)> {
        Err((reason.to_owned(), matched))
    }

    #[test]
    fn variables_constants_and_orders() {
        assert_eq!(try_at("add~(mat_mul(%x, const(%w)), %b)", "y").as_deref(), Ok("x w b"));
        assert_eq!(try_at("add(%b, mat_mul(%x, %w))", "y").as_deref(), Ok("b x w"));
        assert_eq!(
            try_at("mul~(const(0.1), add~(%b, mat_mul~(const(%w), %x)))", "z").as_deref(),
            Ok("b w x")
        );
        assert_eq!(try_at("mul(%x, sigmoid(%x))", "f"), miss("inner `sigmoid` is also used by `g`", 2));
        assert_eq!(try_at("mul(%x, &sigmoid(%x))", "f").as_deref(), Ok("s"));
        assert_eq!(try_at("add(sigmoid(%x), mul(%x, sigmoid(%x)))", "g").as_deref(), Ok("s"));
        assert_eq!(try_at("softmax(%x) {axis=0}", "u").as_deref(), Ok("t"));
    }

    #[test]
    fn misses_say_why() {
        let fits_no_order = try_at("add~(mat_mul(%x, const(%w)), %b)", "r");
        assert_eq!(fits_no_order, miss("`v` of `q` is not constant", 2));
        assert_eq!(try_at("add~(mat_mul(%x, %w), %b)", "r"), miss("inner `mat_mul` is also used by `t`", 2));
        assert_eq!(try_at("add(%x, %x)", "r"), miss("`%x` would be two different values", 1));
        assert_eq!(try_at("add(%x, %y)", "z"), miss("`z` is `mul`, not `add`", 0));
        assert_eq!(try_at("softmax(%x) {axis=1}", "u"), miss("`axis` of `u` is 0, not 1", 0));
        assert_eq!(try_at("softmax(mul(%x, const(2.0)))", "u"), miss("`s` of `t` is not the constant 2", 2));
        assert_eq!(try_at("mul(%x, const(0.2))", "z"), miss("`half` of `z` is not the constant 0.2", 1));
        assert_eq!(try_at("sigmoid(relu(%x))", "e"), miss("`s` of `e` is no result of `relu`", 1));
        let shown = parse_graph("graph(%x: f32[2]) {\n%a = relu(%x)\n%b = relu(%a)\nreturn a: %a, b: %b\n}");
        let (shown, p) = (shown.expect("parses"), Pattern::parse("relu(relu(%x))").expect("a pattern"));
        let m = p.matches(&shown, producer(&shown, "b")).expect_err("shown");
        assert_eq!(
            (m.reason.as_str(), m.at),
            ("inner `relu` is also shown by output `a`", producer(&shown, "a"))
        );
    }

    const CONVS: &str = "graph(%x: f32[1, 2, 4, 4], %w: f32[2, 2, 1, 1], %b: f32[2]) {
        %p = conv(%x, %w)
        %q = conv(%x, %w, %b)
        %n = const i64[2] [1, 1]
        %l, %r = split(%p, %n) {axis=1}
        %s = add(%l, %q)
        %t = add(%r, %s)
        return %t
    }";

    #[test]
    fn optional_operands_and_results() {
        let g = parse_graph(CONVS).expect("parses");
        let matches = |text: &str, at: &str| {
            let p = Pattern::parse(text).expect("a pattern");
            let names =
                |m: &Match<'_>| p.variables.iter().map(|v| m.value(v).map(|v| g.value_label(v))).collect();
            p.matches(&g, producer(&g, at)).as_ref().map(names).map_err(|m| m.reason.clone())
        };
        let some = |names: &[&str]| Ok(names.iter().map(|n| Some((*n).to_owned())).collect::<Vec<_>>());
        assert_eq!(matches("conv(%x, %w, %b?)", "q"), some(&["x", "w", "b"]));
        assert_eq!(matches("conv(%x, %w, %b?)", "p").map(|v| v[2].clone()), Ok(None));
        assert_eq!(matches("conv(%x, %w, _)", "p"), some(&["x", "w"]));
        assert_eq!(matches("conv(%x, %w, _)", "q"), Err("`q` has the operand `b`".to_owned()));
        assert_eq!(matches("conv(%x, %w, %b)", "p"), Err("an operand of `p` is absent".to_owned()));
        assert_eq!(matches("conv(%x, %w)", "q"), Err("`q` has more than 2 operands".to_owned()));
        assert_eq!(matches("conv(%x, ..)", "q"), some(&["x"]));
        assert_eq!(matches("add(&split(%x, ..).1 {axis=1}, %y)", "t"), some(&["p", "s"]));
        assert_eq!(matches("add(&split(%x, ..), %y)", "t"), Err("`r` is result 1 of `l`, not 0".to_owned()));
        assert_eq!(
            matches("add(split(%x, ..).1, %y)", "t"),
            Err("inner `split` is also used by `s`".to_owned())
        );
        assert_eq!(matches("add(split(%x, ..).1, add(split(%x, ..), %y))", "t"), some(&["p", "q"]));
    }

    #[test]
    fn nodes_are_found_by_name() {
        let (g, p) =
            (parse_graph(MLP).expect("parses"), Pattern::parse("add~(mat_mul(%x, %w) @product, %b) @sum"));
        let p = p.expect("a pattern");
        let (root, inner) = (producer(&g, "y"), producer(&g, "p"));
        let m = p.matches(&g, root).expect("matches");
        assert_eq!(
            (m.node("sum"), m.node("product"), m.node("x"), m.value("q")),
            (Some(root), Some(inner), None, None)
        );
        assert_eq!((p.root(), m.inner()), ("add", &[inner][..]));
    }

    #[test]
    fn wrong_patterns_are_refused() {
        for text in [
            "",
            "nope(%x)",
            "add(%x",
            "add(%x, %y, %z)",
            "relu~(%x)",
            "softmax(%x) {axes=1}",
            "softmax(%x) {axis=\"a\"}",
            "relu(%x) extra",
            "add(relu(%x) @n, relu(%y) @n)",
            "add(const(x), %y)",
            &"relu(".repeat(10_000),
        ] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
