//! Pairs of `Switch` and `Merge` as `If`, and those of several branches as `Case`.
use super::{Extract, Made, View, handing_on, is};
use crate::tensorflow::attrs::Attrs;
use crate::tensorflow::program::{Arg, Body, Node, Ref};
use crate::tensorflow::tensor::bad;
use hoist_ir::diag::Diag;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// The number of 32-bit integers in TensorFlow's `DataType`.
const INT32: i32 = 3;

/// Nodes that hand on a value, one behind the other, that are looked through.
const MOST_NAMES: usize = 64;
/// Predicates that one value may depend on.
const DEEPEST: usize = 256;

/// One of the results of a `Switch`: its number, and whether the predicate is that number and no truth value.
type Branch = (usize, bool);

/// The branches that a value is alive in: predicates and what they must be.
type State = BTreeMap<Ref, Branch>;

/// `Merge`s that one `If` takes the place of: how deep they lie, how many others lie ahead of them, where, and what decides.
type Group = (Reverse<usize>, usize, Vec<(Ref, Branch)>, Ref, usize);

/// Replaces the `Merge`s of `body`, the innermost first; the functions of branches go to `made`.
pub(super) fn rewrite(body: &mut Body, made: &mut Made) -> Result<(), Diag> {
    if !body.nodes.iter().any(|n| is(&n.op, "Merge")) {
        return Ok(());
    }
    let mut states = states(body)?;
    let mut groups: BTreeMap<Group, Vec<Choice>> = BTreeMap::new();
    for n in 0..body.nodes.len() {
        let node = &body.nodes[n];
        if !is(&node.op, "Merge") || !states.reached[n] {
            continue;
        }
        if let [one] = node.inputs[..] {
            handing_on(&mut body.nodes[n], "Identity", vec![one]);
            continue;
        }
        let Some(choice) = choice(body, &states, n) else { continue };
        let outer: Vec<(Ref, Branch)> = states.of[n].iter().map(|(r, b)| (*r, *b)).collect();
        let count = choice.branches.len();
        let key = (Reverse(outer.len()), states.levels[n], outer, choice.pred, count);
        groups.entry(key).or_default().push(choice);
    }
    for ((_, _, outer, pred, _), group) in groups {
        branch(body, &mut states, &outer.into_iter().collect(), pred, &group, made)?;
    }
    Ok(())
}

struct States {
    of: Vec<State>,
    /// Whether a node is computed from what is there: not those of a loop that is left in the graph.
    reached: Vec<bool>,
    /// `Merge`s on the way to each node.
    levels: Vec<usize>,
}

/// A `Merge` of branches.
struct Choice {
    merge: usize,
    pred: Ref,
    /// Inputs by the number of the branch: that of falsehood is the first.
    branches: Vec<Ref>,
    /// Whether the predicate is a number.
    indexed: bool,
    /// Whether the first input is the one of truth.
    truth_first: bool,
}

/// A predicate under one name: what `Identity` hands on is the same.
fn predicate(body: &Body, mut at: Ref) -> Ref {
    for _ in 0..MOST_NAMES {
        let Ref::Node(n, 0) = at else { break };
        match (&*body.nodes[n].op, body.nodes[n].inputs.first()) {
            ("Identity", Some(from)) => at = *from,
            _ => break,
        }
    }
    at
}

/// Whether a node hands its operand on to one of its results.
fn switches(node: &Node) -> bool {
    is(&node.op, "Switch") || &*node.op == "_SwitchN"
}

fn port_state(body: &Body, of: &[State], at: Ref) -> State {
    let Ref::Node(n, port) = at else { return State::new() };
    let mut state = of[n].clone();
    if switches(&body.nodes[n])
        && let Some(pred) = body.nodes[n].inputs.get(1)
    {
        state.insert(predicate(body, *pred), (port, &*body.nodes[n].op == "_SwitchN"));
    }
    state
}

/// The state of each node.
fn states(body: &Body) -> Result<States, Diag> {
    let n = body.nodes.len();
    let mut of = vec![State::new(); n];
    let mut levels = vec![0; n];
    let mut reached = vec![false; n];
    for i in ordered(body) {
        reached[i] = true;
        let node = &body.nodes[i];
        let data: Vec<State> = node.inputs.iter().map(|r| port_state(body, &of, *r)).collect();
        let deepest =
            node.inputs.iter().filter_map(|r| if let Ref::Node(n, _) = r { Some(levels[*n]) } else { None });
        let merge = is(&node.op, "Merge");
        levels[i] = deepest.max().unwrap_or(0) + usize::from(merge);
        let mut state = State::new();
        if merge {
            // What all inputs have in common.
            let mut inputs = data.into_iter();
            state = inputs.next().unwrap_or_default();
            for other in inputs {
                state.retain(|pred, branch| other.get(pred) == Some(branch));
            }
        } else {
            for input in data {
                state.extend(input);
            }
            for c in &node.controls {
                let pivot = switches(&body.nodes[*c]);
                if !pivot {
                    state.extend(of[*c].iter().map(|(k, v)| (*k, *v)));
                }
            }
        }
        if state.len() > DEEPEST {
            return Err(bad("a value that depends on too many conditions").node(&*node.name));
        }
        of[i] = state;
    }
    Ok(States { of, reached, levels })
}

/// The nodes, each behind what it uses; a loop that was not rewritten is passed over.
fn ordered(body: &Body) -> Vec<usize> {
    let n = body.nodes.len();
    let mut waits = vec![0usize; n];
    let mut users: Vec<Vec<usize>> = vec![vec![]; n];
    for (i, node) in body.nodes.iter().enumerate() {
        let data = node.inputs.iter().filter_map(|r| if let Ref::Node(n, _) = r { Some(*n) } else { None });
        for from in data.chain(node.controls.iter().copied()) {
            users[from].push(i);
            waits[i] += 1;
        }
    }
    let mut todo: BTreeSet<usize> = (0..n).filter(|i| waits[*i] == 0).collect();
    let mut out = vec![];
    while let Some(i) = todo.pop_first() {
        out.push(i);
        for user in &users[i] {
            waits[*user] -= 1;
            if waits[*user] == 0 {
                todo.insert(*user);
            }
        }
    }
    out
}

/// What a `Merge` chooses by: a predicate that each of its inputs needs another value of.
fn choice(body: &Body, states: &States, merge: usize) -> Option<Choice> {
    let inputs = &body.nodes[merge].inputs;
    let all: Vec<State> = inputs.iter().map(|r| port_state(body, &states.of, *r)).collect();
    for (pred, (_, indexed)) in all.first()? {
        let numbers: Option<Vec<usize>> = all.iter().map(|s| s.get(pred).map(|b| b.0)).collect();
        let Some(numbers) = numbers else { continue };
        let mut branches = vec![None; inputs.len()];
        for (number, at) in numbers.iter().zip(inputs) {
            if let Some(slot) = branches.get_mut(*number) {
                *slot = Some(*at);
            }
        }
        let branches: Option<Vec<Ref>> = branches.into_iter().collect();
        if let Some(branches) = branches.filter(|b| *indexed || b.len() == 2) {
            let truth_first = numbers.first() == Some(&1);
            return Some(Choice { merge, pred: *pred, branches, indexed: *indexed, truth_first });
        }
    }
    // A branch that is a constant may not say where it is alive.
    let ([a, b], &[first, second]) = (&all[..], &inputs[..]) else { return None };
    let only = |x: &State, y: &State| -> Option<(Ref, Branch)> {
        let mut own = x.iter().filter(|(p, _)| !y.contains_key(p));
        let (p, v) = own.next()?;
        own.next().is_none().then_some((*p, *v))
    };
    let (pred, truth_first) = match (only(a, b), only(b, a)) {
        (Some((p, (n, false))), _) => (p, n == 1),
        (_, Some((p, (n, false)))) => (p, n == 0),
        _ => return None,
    };
    let branches = if truth_first { vec![second, first] } else { vec![first, second] };
    Some(Choice { merge, pred, branches, indexed: false, truth_first })
}

/// Puts an `If` in the place of `group`.
fn branch(
    body: &mut Body,
    states: &mut States,
    outer: &State,
    pred: Ref,
    group: &[Choice],
    made: &mut Made,
) -> Result<(), Diag> {
    let Some(first) = group.first() else { return Ok(()) };
    let name = format!("{}/{}", body.name, body.nodes[first.merge].name);
    let mut functions = vec![];
    let mut sources: Vec<Ref> = vec![];
    for side in 0..first.branches.len() {
        let view = View {
            // What a `Switch` on the predicate hands on is its operand.
            resolve: &|mut at| {
                for _ in 0..MOST_NAMES {
                    let Ref::Node(n, _) = at else { break };
                    let node = &body.nodes[n];
                    let mine =
                        switches(node) && node.inputs.get(1).is_some_and(|p| predicate(body, *p) == pred);
                    match node.inputs.first() {
                        Some(data) if mine => at = *data,
                        _ => break,
                    }
                }
                at
            },
            outside: &|at| !port_state(body, &states.of, at).contains_key(&pred),
            waited_for: &|_| false,
        };
        let mut e = Extract::new(body, &format!("{name}/branch{side}"));
        for source in &sources {
            e.argument(*source);
        }
        for (k, choice) in group.iter().enumerate() {
            let at = choice.branches.get(side).copied().ok_or_else(|| bad("a branch is missing"))?;
            let value = e.value(at, &view)?;
            e.out.results.push((format!("r{k}"), value));
        }
        sources.clone_from(&e.sources);
        functions.push(e.out);
    }
    // Both take what either needs.
    for function in &mut functions {
        while function.args.len() < sources.len() {
            let name = format!("a{}", function.args.len());
            function.args.push(Arg { name, code: 0, attrs: Attrs::default() });
        }
    }
    let (op, attrs) = match &functions[..] {
        [other, then] if !first.indexed => {
            ("StatelessIf", Attrs::calling(&[("then_branch", &then.name), ("else_branch", &other.name)]))
        }
        all => ("StatelessCase", Attrs::choosing("branches", all.iter().map(|f| &*f.name))),
    };
    let inputs = std::iter::once(pred).chain(sources).collect();
    let node = Node { name: name.into(), op: op.into(), inputs, controls: vec![], attrs };
    let at = states.add(body, node, outer);
    for (k, choice) in group.iter().enumerate() {
        let mut both = vec![Ref::Node(at, k)];
        if !choice.indexed {
            both.push(which(body, states, outer, pred, choice.truth_first));
        }
        handing_on(&mut body.nodes[choice.merge], "IdentityN", both);
        states.of[choice.merge].clone_from(outer);
    }
    for function in functions {
        made.insert(function)?;
    }
    Ok(())
}

/// The number of the input that a `Merge` takes.
fn which(body: &mut Body, states: &mut States, outer: &State, pred: Ref, truth_first: bool) -> Ref {
    let mut add = |op: &str, input: Ref, attrs: Attrs| {
        let node = Node { name: op.into(), op: op.into(), inputs: vec![input], controls: vec![], attrs };
        Ref::Node(states.add(body, node, outer), 0)
    };
    let second = if truth_first { add("LogicalNot", pred, Attrs::default()) } else { pred };
    add("Cast", second, Attrs::of_type("DstT", INT32))
}

impl States {
    /// Adds a node that is alive where `state` says.
    fn add(&mut self, body: &mut Body, node: Node, state: &State) -> usize {
        self.of.push(state.clone());
        self.reached.push(true);
        self.levels.push(0);
        body.push(node)
    }
}
