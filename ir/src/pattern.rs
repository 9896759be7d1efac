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
        let swap = self.c.eat('~').then_some(self.swaps);
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
mod tests;
