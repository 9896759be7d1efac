//! `fuse-recurrence`
//!
//! ```text
//! %hn, %cn, %y = loop(%steps, _, %h0, %c0 | %x) {
//!     (%i, %go, %h, %c, %x) {
//!     %t = gather(%x, %i)
//!     %g = add(add(mat_mul(%t, W), mat_mul(%h, R)), B)
//!     %a, %f, %n, %o = split(%g)
//!     %c1 = add(mul(sigmoid(%f), %c), mul(sigmoid(%a), tanh(%n)))
//!     %h1 = mul(sigmoid(%o), tanh(%c1))
//!     return %go, %h1, %c1, %h1 }                 ->    %y, %hn, %cn = lstm(%x, W', R', B', _, %h0, %c0)
//! ```
//! - Likewise `gru` with the reset gate before or behind the product with the state, and `rnn`; any of their activation functions, peepholes, gates in any order, in
//!   one product or several, of input and state apart or joined.
//! - The trip count alone ends the loop. The cell reads position `i` of its sequences, or `i` and a number; weights are constant; data are `f32`.
//! - The loop stays with what else it computes, and reads the hidden states from the operator's result: a second cell that takes them as its input is found next.
//!   Where nothing is left of it, it goes.
//! - States may be columns of one value, and may stay as they are behind the end of each sequence, where steps give 0: `sequence_lens`.
//! - A value that each iteration writes anew from the hidden state is that of the last state; both are zeros before the first iteration then.
//!
//! Sums are rounded in another order.
use super::cell::{Cell, Function, Kind, find};
use super::state::{Held, Lengths, State, states};
use super::step::{Sequence, Step};
use super::weights::Weights;
use crate::fault::planted;
use crate::norm_formula::{by, dims};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use crate::queries::is_all;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, NodeId, Use, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::{Add, Mul};
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::elementwise::variadic::{Max, Min};
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::index::scatter::Reduction;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::movement::lists::at_least_zero;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::squeeze::Squeeze;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::recurrent::gru::Gru;
use hoist_ir::ops::recurrent::lstm::Lstm;
use hoist_ir::ops::recurrent::rnn::Rnn;

/// The pass.
pub struct FuseRecurrence;

const INFO: PassInfo = PassInfo {
    name: "fuse-recurrence",
    doc: "Replaces cells of recurrent layers that loops compute by `lstm`, `gru` and `rnn`.",
};

impl Pass for FuseRecurrence {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["loop"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, fuse))
    }
}

fn fuse(g: &mut Graph, n: NodeId) -> Outcome {
    let Op::Loop(_) = g.node(n).op() else { return Outcome::Skip };
    match plan(g, n) {
        Ok(plan) => Outcome::of(g.rewrite(n, &[], |b| plan.build(b))),
        Err(reason) => Outcome::miss(reason),
    }
}

/// A cell of a loop, and what the operator is made of.
struct Plan {
    n: NodeId,
    cell: Cell,
    weights: Weights,
    hidden: usize,
    /// States before the first step, where they are not zeros.
    initial: Vec<Option<ValueId>>,
    trips: ValueId,
    /// Whether there are surely as many positions in each sequence as iterations.
    whole: bool,
    /// The values of the body that are the operator's result of a step.
    steps: Vec<ValueId>,
    /// Results that show the hidden state, with the steps from it.
    shown: Vec<(usize, Vec<NodeId>)>,
    /// Numbers that count iterations: result, value before, what is added.
    counted: Vec<(usize, ValueId, i64)>,
    /// Carried values that are nothing but states of the cell, with the positions of these.
    ended: Vec<(usize, Vec<usize>)>,
}

fn plan(g: &Graph, n: NodeId) -> Result<Plan, &'static str> {
    let step = Step::of(g, n)?;
    let states = states(&step);
    let mut why = "the body holds no recurrent cell";
    for own in &states {
        let Some(cell) = find(&step, &states, own) else { continue };
        match planned(&step, &states, cell) {
            Ok(plan) => return Ok(plan),
            Err(reason) => why = reason,
        }
    }
    Err(why)
}

/// Whether every element of `v` is surely 0.
fn is_zero(g: &Graph, v: ValueId) -> bool {
    is_all(g, v, 0.0)
        || by(g, v, "expand").and_then(|n| g.node(n).input(0)).is_some_and(|v| is_all(g, v, 0.0))
}

/// States of the cell before the first step, where they are not zeros.
fn initial(step: &Step<'_>, cell: &Cell, weights: &Weights) -> Result<Vec<Option<ValueId>>, &'static str> {
    let g = step.g;
    let f32s = |v: ValueId| g.ty(v).as_tensor().is_some_and(|t| t.dtype == DType::F32);
    let one = |state: &State| {
        let v = step.initial(state.k).filter(|v| f32s(*v)).ok_or("a state is not f32")?;
        let sizes = dims(g, v).filter(|d| d.len() == 2).ok_or("the rank of a state is not known")?;
        let fits = |s: &Sequence| {
            let x = dims(g, s.x).filter(|d| d.len() == 3);
            f32s(s.x) && x.is_some_and(|x| x[1].surely_equals(&sizes[0]))
        };
        if !weights.inputs.iter().all(fits) {
            return Err("state and sequences may differ in their batch");
        }
        let v = Some(v).filter(|v| !is_zero(g, *v));
        // Of a sequence of no steps, the operators give zeros.
        if v.is_some() && state.held.is_some() {
            return Err("a sequence may have no step, whose state is not zero");
        }
        Ok(v)
    };
    cell.states.iter().map(one).collect()
}

fn planned(step: &Step<'_>, states: &[State], cell: Cell) -> Result<Plan, &'static str> {
    let (g, n) = (step.g, step.n);
    let Some(own) = cell.states.first() else { return Err("a cell without state") };
    let hidden = own.before.len;
    let weights = Weights::of(&cell, hidden).map_err(|_| "weights do not fit each other")?;
    let initial = initial(step, &cell, &weights)?;
    let trips = g.value(step.trips).content().and_then(|c| c.first().cloned().flatten());
    let trips = trips.or_else(|| g.constant(step.trips)?.as_int().map(Into::into));
    let length = trips.as_ref().and_then(at_least_zero).map_or(Dim::Unknown, |t| Dim::from_sym(Some(t)));
    let reads_all = |s: &Sequence| s.offset == 0 && dims(g, s.x).is_some_and(|d| d[0].surely_equals(&length));
    let whole = weights.inputs.iter().all(reads_all);
    let runs = length.known().is_some_and(|n| n > 0);
    let steps = match &own.held {
        None => vec![own.next],
        Some(held) => {
            results_of(step, own, held).ok_or("steps that do not count give something else than zeros")?
        }
    };
    let is_of_cell = |s: &State| cell.states.iter().position(|c| c.before == s.before);
    let (mut shown, mut counted, mut ended) = (vec![], vec![], vec![]);
    for k in 0..step.carried {
        let Some(v) = step.initial(k) else { continue };
        let parts: Option<Vec<usize>> = states.iter().filter(|s| s.k == k).map(is_of_cell).collect();
        if let Some(parts) = parts.filter(|p| !p.is_empty()) {
            ended.push((k, parts));
        } else if let Some(by) = step.step_of(k) {
            counted.push((k, v, by));
        } else if own.held.is_none()
            && let Some(path) = step.next(k).and_then(|v| path(step, v, own.next))
            && (runs || (is_zero(g, v) && initial[0].is_none()))
        {
            shown.push((k, path));
        }
    }
    for (k, output) in step.body.outputs().iter().enumerate().skip(1 + step.carried) {
        if steps.contains(&output.value) {
            shown.push((k - 1, vec![]));
        }
    }
    Ok(Plan { n, cell, weights, hidden, initial, trips: step.trips, whole, steps, shown, counted, ended })
}

/// The values of the body that are the new hidden state in steps that count and 0 in others, if nothing but these and the state uses it.
fn results_of(step: &Step<'_>, own: &State, held: &Held) -> Option<Vec<ValueId>> {
    let mut found = vec![];
    for user in step.body.value(own.next).uses() {
        let Use::Node { node: n, .. } = user else { return None };
        if own.carriers.contains(n) {
            continue;
        }
        let node = step.body.node(*n);
        let (Op::Where(_), Some(a), Some(b)) = (node.op(), node.input(1), node.input(2)) else { return None };
        let (new, other) = if held.live { (a, b) } else { (b, a) };
        let zero = step.constant(other).is_some_and(|_| is_all(step.body, other, 0.0));
        (node.input(0) == Some(held.condition) && new == own.next && zero).then_some(())?;
        found.push(*node.outputs().first()?);
    }
    Some(found)
}

/// Nodes of the body that give `v` of `from` without another value that changes, the last one first.
fn path(step: &Step<'_>, v: ValueId, from: ValueId) -> Option<Vec<NodeId>> {
    const LONGEST: usize = 4;
    let (mut v, mut path) = (v, vec![]);
    while v != from {
        let n = step.body.producer(v).filter(|_| path.len() < LONGEST)?;
        let node = step.body.node(n);
        if let Op::ScatterNd(_) = node.op() {
            v = overwritten(step, n)?;
            continue;
        }
        let others = node.inputs().iter().skip(1).flatten();
        let plain = matches!(node.op(), Op::Identity(_) | Op::Unsqueeze(_) | Op::Squeeze(_) | Op::Reshape(_));
        others.into_iter().all(|v| step.body.constant(*v).is_some()).then_some(()).filter(|()| plain)?;
        path.push(n);
        v = node.input(0)?;
    }
    Some(path)
}

/// What node `n` writes over all of its operand, whose first axis has one position.
fn overwritten(step: &Step<'_>, n: NodeId) -> Option<ValueId> {
    let node = step.body.node(n);
    let Op::ScatterNd(op) = node.op() else { return None };
    let at = step.body.constant(node.input(1)?)?;
    let first = at.shape() == [1, 1] && at.as_int() == Some(0);
    (op.reduction == Reduction::Replace && first && step.size(node.input(0)?, 0) == Some(1))
        .then_some(node.input(2)?)
}

impl Plan {
    fn build(self, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Diag> {
        let node = b.graph().node(self.n);
        let carried = node.inputs().len().saturating_sub(2 + node.captures());
        let mut like = NewNode::like(node, node.inputs().to_vec());
        let paths = self.paths(b);
        let ran = self.operator(b)?;
        let nothing = || Diag::error("E0901", "a loop without body");
        let (steps, last) = ran.split_first().ok_or_else(nothing)?;
        let body = like.bodies.first_mut().ok_or_else(nothing)?;
        if !self.steps.is_empty() {
            let y = body.add_input("steps", b.graph().ty(*steps).clone());
            let i = body.inputs().first().copied();
            for v in &self.steps {
                let root = body.producer(*v).ok_or_else(nothing)?;
                body.rewrite(root, &[], |b| b.add(Gather { axis: 0 }, &[Some(y), i]))?;
            }
            like.inputs.push(Some(*steps));
            like.captures += 1;
        }
        let mut results = b.add_node(like)?;
        for (k, parts) in &self.ended {
            let parts: Vec<Option<ValueId>> = parts.iter().map(|i| last.get(*i).copied()).collect();
            let v = match parts.as_slice() {
                [one] => *one,
                many => b.add(Concat { axis: 1 }, many)?.first().copied(),
            };
            set(&mut results, *k, v.ok_or_else(nothing)?);
        }
        for ((k, _), ops) in self.shown.iter().zip(paths) {
            let mut v = if *k < carried { last.first().copied().unwrap_or(*steps) } else { *steps };
            for (op, operands) in ops.into_iter().rev() {
                let mut inputs = vec![Some(v)];
                inputs.extend(operands.into_iter().map(|t| t.map(|t| b.constant(t))));
                v = b.add(op, &inputs)?.first().copied().unwrap_or(v);
            }
            set(&mut results, *k, v);
        }
        for (k, first, step) in &self.counted {
            let count = self.count(b)?;
            let to = b.graph().ty(*first).as_tensor().map_or(DType::I64, |t| t.dtype);
            let count = b.cast(Cast { to, ..Cast::default() }, count)?;
            let step = b.scalar_like(*step as f64, *first)?;
            let added = b.mul(Mul {}, count, step)?;
            let v = b.plus(Add {}, *first, added)?;
            set(&mut results, *k, v);
        }
        Ok(results)
    }
    /// What `shown` values go through, as operators with their constants.
    fn paths(&self, b: &Builder<'_>) -> Vec<Vec<(Op, Vec<Option<hoist_ir::tensor::Tensor>>)>> {
        let Some(body) = b.graph().node(self.n).bodies().first() else { return vec![] };
        let step = |n: &NodeId| {
            let node = body.node(*n);
            let others = node.inputs().iter().skip(1).map(|v| body.constant((*v)?).cloned());
            (node.op().clone(), others.collect())
        };
        self.shown.iter().map(|(_, path)| path.iter().map(step).collect()).collect()
    }
    /// Number of iterations.
    fn count(&self, b: &mut Builder<'_>) -> Result<ValueId, Diag> {
        let zero = b.scalar(0i64);
        let count = b.add(Max {}, &[Some(self.trips), Some(zero)])?;
        count.first().copied().ok_or_else(|| Diag::error("E0901", "a maximum has no result"))
    }
    /// The operator: hidden states of all steps, and the last states, without the axis of directions.
    fn operator(&self, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Diag> {
        let mut inputs = vec![];
        for s in &self.weights.inputs {
            inputs.push(Some(if self.whole { s.x } else { self.cut(b, *s)? }));
        }
        let x = match inputs.as_slice() {
            [one] => *one,
            many => b.add(Concat { axis: 2 }, many)?.first().copied(),
        };
        let mut operands =
            vec![x, Some(b.constant(self.weights.w.clone())), Some(b.constant(self.weights.r.clone()))];
        let bias = self.weights.b.clone().map(|t| b.constant(t));
        operands.extend([bias, self.lengths(b)?]);
        for (v, state) in self.initial.iter().zip(&self.cell.states) {
            operands.push(v.map(|v| first_state(b, v, state)).transpose()?);
        }
        operands.push(self.weights.p.clone().map(|t| b.constant(t)));
        while operands.last().is_some_and(Option::is_none) {
            operands.pop();
        }
        let ran = b.add_n(self.op(), &operands, 1 + self.initial.len())?;
        let mut out = vec![];
        for (i, v) in ran.into_iter().enumerate() {
            let axis = b.ints(&[i64::from(i == 0)]);
            out.push(b.squeeze(Squeeze {}, v, Some(axis))?);
        }
        Ok(out)
    }
    /// How many steps of each sequence count, where not all do.
    fn lengths(&self, b: &mut Builder<'_>) -> Result<Option<ValueId>, Diag> {
        let Some(held) = self.cell.states.first().and_then(|s| s.held.clone()) else { return Ok(None) };
        let lengths = match held.lengths {
            Lengths::Value(v) => v,
            Lengths::Constant(t) => b.constant(t),
        };
        let lengths = b.cast(Cast { to: DType::I64, ..Cast::default() }, lengths)?;
        let (most, least) = (self.count(b)?, b.scalar(0i64));
        let one =
            |v: Vec<ValueId>| v.first().copied().ok_or_else(|| Diag::error("E0901", "a bound has no result"));
        let lengths = one(b.add(Min {}, &[Some(lengths), Some(most)])?)?;
        let lengths = one(b.add(Max {}, &[Some(lengths), Some(least)])?)?;
        Ok(Some(b.cast(Cast { to: DType::I32, ..Cast::default() }, lengths)?))
    }
    /// The positions of `s` that the iterations read.
    fn cut(&self, b: &mut Builder<'_>, s: Sequence) -> Result<ValueId, Diag> {
        let count = self.count(b)?;
        let axis = b.ints(&[0]);
        let count = b.unsqueeze(Unsqueeze {}, count, axis)?;
        let first = b.ints(&[s.offset]);
        let end = b.plus(Add {}, count, first)?;
        let cut = b.add(Slice {}, &[Some(s.x), Some(first), Some(end), Some(axis)])?;
        cut.first().copied().ok_or_else(|| Diag::error("E0901", "a slice has no result"))
    }
    fn op(&self) -> Op {
        let default: &[&str] = match self.cell.kind {
            Kind::Lstm => &["Sigmoid", "Tanh", "Tanh"],
            Kind::Gru { .. } => &["Sigmoid", "Tanh"],
            Kind::Rnn => &["Tanh"],
        };
        let functions = &self.cell.functions;
        let usual = functions.iter().map(|f| f.name).eq(default.iter().copied());
        let activations = (!usual).then(|| functions.iter().map(|f| f.name.to_owned()).collect::<Vec<_>>());
        let numbers =
            |of: fn(&Function) -> Option<f32>| functions.iter().filter_map(of).collect::<Vec<f32>>();
        let (activation_alpha, activation_beta) = (numbers(|f| f.alpha), numbers(|f| f.beta));
        let hidden_size = i64::try_from(self.hidden).ok();
        match self.cell.kind {
            Kind::Lstm => {
                Lstm { activation_alpha, activation_beta, activations, hidden_size, ..Lstm::default() }.into()
            }
            Kind::Gru { linear_before_reset } => {
                let linear_before_reset = linear_before_reset != planted(INFO.name);
                Gru {
                    activation_alpha,
                    activation_beta,
                    activations,
                    hidden_size,
                    linear_before_reset,
                    ..Gru::default()
                }
                .into()
            }
            Kind::Rnn => {
                Rnn { activation_alpha, activation_beta, activations, hidden_size, ..Rnn::default() }.into()
            }
        }
    }
}

/// `state` before the first step as an operand, of `v` which holds it.
fn first_state(b: &mut Builder<'_>, v: ValueId, state: &State) -> Result<ValueId, Diag> {
    let whole = dims(b.graph(), v).is_some_and(|d| d[1] == Dim::from(state.before.len));
    let mut v = v;
    if !whole {
        let (start, end) = (state.before.start as i64, (state.before.start + state.before.len) as i64);
        let (start, end, axis) = (b.ints(&[start]), b.ints(&[end]), b.ints(&[1]));
        let cut = b.add(Slice {}, &[Some(v), Some(start), Some(end), Some(axis)])?;
        v = cut.first().copied().unwrap_or(v);
    }
    let axis = b.ints(&[0]);
    b.unsqueeze(Unsqueeze {}, v, axis)
}

fn set(results: &mut [ValueId], k: usize, v: ValueId) {
    if let Some(slot) = results.get_mut(k) {
        *slot = v;
    }
}
