//! Recognizing the cells of `lstm`, `gru` and `rnn` by their formulas, with gates and states named as there.
use super::linear::Linear;
use super::state::State;
use super::step::{Columns, Sequence, Step};
use crate::fuse::activations::formulas;
use crate::norm_formula::{either, operands};
use hoist_ir::attr::Attr;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;

/// An activation function as recurrent operators name it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// First parameter, if it has one.
    pub alpha: Option<f32>,
    /// Second parameter, if it has one.
    pub beta: Option<f32>,
}

/// Constants of one gate.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    /// Input weights `[input, hidden]` of each sequence.
    pub w: Vec<(Sequence, Tensor)>,
    /// Recurrent weights `[hidden, hidden]`.
    pub r: Option<Tensor>,
    /// Rows added to the input's part.
    pub bias: Vec<Tensor>,
    /// Rows added to the state's part, where that is apart.
    pub inner_bias: Vec<Tensor>,
    /// Factors of the cell state.
    pub peephole: Option<Tensor>,
}

/// Which cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `lstm`
    Lstm,
    /// `gru`
    Gru {
        /// Whether the reset gate multiplies the product with the state.
        linear_before_reset: bool,
    },
    /// `rnn`
    Rnn,
}

/// A cell that was found.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Which.
    pub kind: Kind,
    /// The hidden state, and the cell state of `lstm`.
    pub states: Vec<State>,
    /// Gates in the operator's order.
    pub gates: Vec<Gate>,
    /// Functions in the operator's order.
    pub functions: Vec<Function>,
}

/// The function that `part` is a result of, and its operand; the identity where it is none.
fn function(step: &Step<'_>, part: Columns) -> (Function, Columns) {
    let part = step.source(part);
    let found = step.body.producer(part.v).and_then(|n| named(step.body, n));
    match found {
        Some((f, x)) => (f, step.source(Columns { v: x, ..part })),
        None => (Function { name: "Affine", alpha: Some(1.0), beta: Some(0.0) }, part),
    }
}

/// The function that node `n` of `body` completes, and its operand.
fn named(body: &Graph, n: NodeId) -> Option<(Function, ValueId)> {
    let node = body.node(n);
    let (name, alpha, beta) = match node.op() {
        Op::Sigmoid(_) => ("Sigmoid", None, None),
        Op::Tanh(_) => ("Tanh", None, None),
        Op::Relu(_) => ("Relu", None, None),
        Op::Softsign(_) => ("Softsign", None, None),
        Op::Softplus(_) => ("Softplus", None, None),
        Op::HardSigmoid(op) => ("HardSigmoid", Some(op.alpha), Some(op.beta)),
        Op::Elu(op) => ("Elu", Some(op.alpha), None),
        Op::LeakyRelu(op) => ("LeakyRelu", Some(op.alpha), None),
        Op::ThresholdedRelu(op) => ("ThresholdedRelu", Some(op.alpha), None),
        _ => {
            // Written out.
            let fused = formulas::find(body, n).ok().flatten().filter(|f| f.op == "hard_sigmoid")?;
            let number = |name: &str| match fused.attrs.iter().find(|(n, _)| *n == name) {
                Some((_, Attr::Float(v))) => Some(*v),
                _ => None,
            };
            let f = Function { name: "HardSigmoid", alpha: number("alpha"), beta: number("beta") };
            return Some((f, fused.x));
        }
    };
    Some((Function { name, alpha, beta }, node.input(0)?))
}

/// What is looked for around one hidden state.
struct Search<'a, 'g> {
    step: &'a Step<'g>,
    /// All states.
    states: &'a [State],
    /// The one that may be the hidden state.
    own: &'a State,
    /// The hidden state before the step.
    h: Columns,
}

/// The cell whose hidden state is `own`, one of `states`.
pub fn find(step: &Step<'_>, states: &[State], own: &State) -> Option<Cell> {
    let whole = step.whole(own.next)?;
    (own.before.len == whole.len).then_some(())?;
    let search = Search { step, states, own, h: own.before };
    search.lstm().or_else(|| search.gru()).or_else(|| search.rnn(whole))
}

impl Search<'_, '_> {
    fn cell(
        &self,
        kind: Kind,
        c: Option<&State>,
        gates: Vec<Gate>,
        functions: Vec<Function>,
    ) -> Option<Cell> {
        let known = gates.iter().all(|g| g.r.is_some()) && gates.iter().any(|g| !g.w.is_empty());
        let states = [Some(self.own), c].into_iter().flatten().cloned().collect();
        known.then_some(Cell { kind, states, gates, functions })
    }
    /// The constants of the gate `part` before its function. `c` is the cell state it may look at.
    fn gate(&self, part: Columns, c: Option<Columns>) -> Option<Gate> {
        let linear = Linear::of(self.step, part)?;
        linear.gated.is_empty().then_some(())?;
        self.constants(linear, |x| self.step.is(x, self.h), c)
    }
    /// The constants in `linear`, whose recurrent product is of what is `h`.
    fn constants(&self, linear: Linear, h: impl Fn(ValueId) -> bool, c: Option<Columns>) -> Option<Gate> {
        let mut gate = Gate { bias: linear.biases, ..Gate::default() };
        for (x, w) in linear.products {
            if h(x) {
                gate.r.replace(w).is_none().then_some(())?;
                continue;
            }
            let sequence = self.step.read(x)?;
            gate.w.iter().all(|(s, _)| *s != sequence).then_some(())?;
            gate.w.push((sequence, w));
        }
        for (x, row) in linear.scaled {
            (c.is_some_and(|c| self.step.is(x, c)) && gate.peephole.replace(row).is_none()).then_some(())?;
        }
        Some(gate)
    }
    /// `h' = o . f(c')`, `c' = f . c + i . g`
    fn lstm(&self) -> Option<Cell> {
        let (step, result) = (self.step, self.own.next);
        let forms = either(step.body, result, "mul").into_iter().flatten();
        let (o, shown, out, c) = forms.into_iter().find_map(|(o, shown)| {
            let (out, inner) = function(step, step.whole(shown)?);
            let c = self.states.iter().find(|s| s.before != self.h && s.next == inner.v)?;
            (step.whole(inner.v)? == inner && self.is_held_as(c)).then_some((o, shown, out, c))
        })?;
        let next = step.whole(c.next)?;
        let (f, new) = either(step.body, c.next, "add").into_iter().flatten().find_map(|(kept, new)| {
            let factors = either(step.body, kept, "mul").into_iter().flatten();
            let (f, _) = factors.into_iter().find(|(_, v)| step.is(*v, c.before))?;
            Some((f, new))
        })?;
        let ((o_f, o), (f_f, f)) = (function(step, step.whole(o)?), function(step, step.whole(f)?));
        // Either factor may be the gate: the one with the function of the other gates.
        let (i, g) = either(step.body, new, "mul").into_iter().flatten().find_map(|(i, g)| {
            let (i_f, i) = function(step, step.whole(i)?);
            (i_f == o_f && f_f == o_f).then_some((i, g))
        })?;
        let (g_f, g) = function(step, step.whole(g)?);
        let gates = [(i, Some(c.before)), (o, Some(next)), (f, Some(c.before)), (g, None)];
        let gates = gates.into_iter().map(|(part, c)| self.gate(part, c)).collect::<Option<Vec<Gate>>>()?;
        let peepholes = gates.iter().filter(|g| g.peephole.is_some()).count();
        // All three gates look at the cell state, or none.
        matches!(peepholes, 0 | 3).then_some(())?;
        let inside = |n: NodeId| {
            let node = step.body.node(n);
            let constant = |v: &ValueId| step.constant(*v).is_some();
            [shown, result].iter().any(|v| step.body.producer(*v) == Some(n))
                || c.carriers.contains(&n)
                || node.op().name() == "mul" && node.inputs().iter().flatten().any(constant)
        };
        step.uses_are(c.next, 1 + c.k, inside).then_some(())?;
        self.cell(Kind::Lstm, Some(c), gates, vec![o_f, g_f, out])
    }
    /// Whether the same steps count for `other` as for the hidden state.
    fn is_held_as(&self, other: &State) -> bool {
        let steps = |s: &State| s.held.as_ref().map(|h| (h.condition, h.live));
        steps(self.own) == steps(other)
    }
    /// `h' = z . h + (1 - z) . n`, or `n + z . (h - n)`
    fn gru(&self) -> Option<Cell> {
        let step = self.step;
        let is_h = |v: ValueId| step.is(v, self.h);
        let (z, n) =
            either(step.body, self.own.next, "add").into_iter().flatten().find_map(|(kept, new)| {
                either(step.body, kept, "mul").into_iter().flatten().find_map(|(z, v)| {
                    if is_h(v) {
                        let parts = either(step.body, new, "mul").into_iter().flatten();
                        return parts
                            .into_iter()
                            .find(|(rest, _)| is_rest(step, *rest, z))
                            .map(|(_, n)| (z, n));
                    }
                    operands(step.body, v, "sub").filter(|(a, b)| is_h(*a) && *b == new).map(|_| (z, new))
                })
            })?;
        let ((z_f, z), (n_f, n)) = (function(step, step.whole(z)?), function(step, step.whole(n)?));
        let mut linear = Linear::of(step, n)?;
        let gated = linear.gated.pop();
        linear.gated.is_empty().then_some(())?;
        let (reset, inner) = match gated {
            Some(factors) => self.reset_last(linear, factors, z_f)?,
            None => self.reset_first(linear, z_f)?,
        };
        let gates = vec![self.gate(z, None)?, self.gate(reset, None)?, inner];
        let kind = Kind::Gru { linear_before_reset: gated.is_some() };
        self.cell(kind, None, gates, vec![z_f, n_f])
    }
    /// The reset gate and the constants of the new state, where the gate multiplies the product with the state.
    fn reset_last(
        &self,
        linear: Linear,
        factors: (Columns, Columns),
        f: Function,
    ) -> Option<(Columns, Gate)> {
        let is_h = |v: ValueId| self.step.is(v, self.h);
        let mut gate = self.constants(linear, is_h, None).filter(|g| g.r.is_none())?;
        let (a, b) = factors;
        [(a, b), (b, a)].into_iter().find_map(|(reset, inner)| {
            let (reset_f, reset) = function(self.step, reset);
            let Linear { mut products, biases, scaled, gated } = Linear::of(self.step, inner)?;
            let (x, r) = products.pop()?;
            let alone = products.is_empty() && scaled.is_empty() && gated.is_empty();
            (alone && is_h(x) && reset_f == f).then_some(())?;
            (gate.r, gate.inner_bias) = (Some(r), biases);
            Some((reset, std::mem::take(&mut gate)))
        })
    }
    /// The same where the gate multiplies the state.
    fn reset_first(&self, linear: Linear, f: Function) -> Option<(Columns, Gate)> {
        let (x, (reset_f, reset)) = linear.products.iter().find_map(|(x, _)| {
            let (reset, _) = either(self.step.body, *x, "mul")
                .into_iter()
                .flatten()
                .find(|(_, v)| self.step.is(*v, self.h))?;
            Some((*x, function(self.step, self.step.whole(reset)?)))
        })?;
        let gate = self.constants(linear, |v| v == x, None).filter(|_| reset_f == f)?;
        Some((reset, gate))
    }
    /// `h' = f(x W + h R + b)`
    fn rnn(&self, result: Columns) -> Option<Cell> {
        let (f, x) = function(self.step, result);
        let gate = self.gate(x, None)?;
        self.cell(Kind::Rnn, None, vec![gate], vec![f])
    }
}

/// Whether `v` is `1 - z`.
fn is_rest(step: &Step<'_>, v: ValueId, z: ValueId) -> bool {
    let one = |v: ValueId| step.constant(v).is_some_and(|t| t.as_f64() == Some(1.0));
    operands(step.body, v, "sub").is_some_and(|(a, b)| b == z && one(a))
}
