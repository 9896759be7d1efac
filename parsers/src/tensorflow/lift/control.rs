//! Conditions and loops.
use super::Row;
use super::cx::{Cx, R, V};
use super::inner::Inner;
use super::val::Val;
use crate::tensorflow::attrs::Attrs;
use hoist_ir::builder::Builder;
use hoist_ir::dtype::DType;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, Origin};
use hoist_ir::ops::control::if_::If;
use hoist_ir::ops::elementwise::compare::Equal;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;

pub(super) const TABLE: &[Row] = &[
    ("If", "output*Tout", branch),
    ("StatelessIf", "output*Tout", branch),
    ("Case", "output*Tout", case),
    ("StatelessCase", "output*Tout", case),
    ("While", "output*T", super::repeat::repeat),
    ("StatelessWhile", "output*T", super::repeat::repeat),
    ("Switch", "output_false output_true", switch),
    ("RefSwitch", "output_false output_true", switch),
    ("Merge", "output value_index", merge),
    ("RefMerge", "output value_index", merge),
    ("LoopCond", "", |cx| Ok(vec![cx.val(0)?.clone()])),
];

/// What a condition says, when that is known while reading.
fn known_truth(cx: &Cx<'_, '_, '_>, v: V) -> Option<bool> {
    let t = cx.constant(v)?;
    if t.dtype() == DType::String {
        return None;
    }
    t.as_f64().map(|x| x != 0.0)
}

/// `v` as a truth value: numbers but 0, and texts but the empty one.
pub(super) fn truth(cx: &mut Cx<'_, '_, '_>, v: V) -> R<V> {
    match cx.dtype(v)? {
        DType::Bool => Ok(v),
        DType::String => {
            let empty = cx.konst(Tensor::from_strings(&[], vec![String::new()]));
            let same = cx.named("equal", &[v, empty])?;
            cx.named("not", &[same])
        }
        _ => {
            let zero = cx.number(0.0, v)?;
            let none = cx.named("equal", &[v, zero])?;
            cx.named("not", &[none])
        }
    }
}

/// What a function is called: its name and attributes.
type Callee = (String, Attrs);

fn callee(cx: &Cx<'_, '_, '_>, attr: &str) -> R<Callee> {
    let (name, attrs) = cx.attrs.function(attr)?;
    Ok((name.to_owned(), attrs))
}

fn branch(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let cond = cx.arg(0)?;
    let callees = [callee(cx, "then_branch")?, callee(cx, "else_branch")?];
    let args = cx.inputs[1..].to_vec();
    if let Some(known) = known_truth(cx, cond) {
        let (name, attrs) = &callees[usize::from(!known)];
        return cx.l.call(cx.b, name, &args, attrs);
    }
    let cond = truth(cx, cond)?;
    let Some(bodies) = bodies(cx, &callees, &args, 0)? else { return Ok(vec![Val::Failed]) };
    let captures = bodies.captured.len();
    let operands: Vec<Option<V>> = std::iter::once(cond).chain(bodies.captured).map(Some).collect();
    let outputs = bodies.results;
    let node = NewNode { outputs, bodies: bodies.graphs, captures, ..NewNode::new(If {}, &operands) };
    let mut values = cx.b.add_node(node)?.into_iter();
    Ok(bodies.like.iter().map(|v| v.rebuilt(&mut values)).collect())
}

/// Bodies that give the same kinds of values.
struct Bodies {
    graphs: Vec<Graph>,
    captured: Vec<V>,
    results: usize,
    /// Values of the first body, which say what the results are.
    like: Vec<Val>,
}

/// The functions as bodies that capture `args`, the first `skip` of which the functions do not take; none when something in them is not read, which is remembered then.
fn bodies(cx: &mut Cx<'_, '_, '_>, callees: &[Callee], args: &[Val], skip: usize) -> R<Option<Bodies>> {
    if cx.l.unread(args) {
        return Ok(None);
    }
    let mut found: Option<Bodies> = None;
    let before = cx.l.blocked();
    let mut lifted = vec![];
    for (name, attrs) in callees {
        let mut inner = Inner::new(cx.b.graph(), name, args);
        let values = inner.call(cx.l, name, attrs, skip)?;
        lifted.push((inner, values));
    }
    // What is wrong with all branches is told at once.
    if cx.l.blocked() > before || lifted.iter().any(|(_, all)| all.iter().any(|v| matches!(v, Val::Failed))) {
        return Ok(None);
    }
    for (mut inner, values) in lifted {
        let parts: Vec<V> = values.iter().flat_map(Val::parts).collect();
        for (i, v) in parts.iter().enumerate() {
            inner.graph.add_output(&format!("y{i}"), *v);
        }
        match &mut found {
            None => {
                let (graphs, captured) = (vec![inner.graph], inner.outside);
                found = Some(Bodies { graphs, captured, results: parts.len(), like: values });
            }
            Some(all) => {
                let same =
                    all.like.len() == values.len() && all.like.iter().zip(&values).all(|(a, b)| a.is_like(b));
                if !same {
                    return Err(cx.unsupported("branches that give other kinds of values"));
                }
                all.graphs.push(inner.graph);
            }
        }
    }
    found.map(Some).ok_or_else(|| cx.bad("there are no branches"))
}

/// One of several functions; a number that is none of theirs takes the last one.
fn case(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let index = cx.arg(0)?;
    let callees: Vec<Callee> =
        cx.attrs.functions("branches").iter().map(|f| (f.name.clone(), Attrs::new(f.attr.clone()))).collect();
    let args = cx.inputs[1..].to_vec();
    let last = callees.len().checked_sub(1).ok_or_else(|| cx.bad("there are no branches"))?;
    let known = cx.known_ints(index).and_then(|i| i.first().copied());
    if let Some(at) = known.map(|i| usize::try_from(i).map_or(last, |i| i.min(last))) {
        let (name, attrs) = &callees[at];
        return cx.l.call(cx.b, name, &args, attrs);
    }
    if last == 0 {
        let (name, attrs) = &callees[0];
        return cx.l.call(cx.b, name, &args, attrs);
    }
    // The number is captured ahead of what the branches take: the tests inside need it too.
    let all = cx.inputs.clone();
    let Some(bodies) = bodies(cx, &callees, &all, 1)? else { return Ok(vec![Val::Failed]) };
    let types: Vec<Type> = bodies.captured.iter().map(|v| cx.b.graph().ty(*v).clone()).collect();
    let mut graphs = bodies.graphs.into_iter().enumerate().rev();
    let mut rest = graphs.next().map(|g| g.1).ok_or_else(|| cx.bad("there are no branches"))?;
    for (number, one) in graphs {
        if number == 0 {
            let mut values = tested(cx.b, [one, rest], 0, &bodies.captured, bodies.results)?.into_iter();
            return Ok(bodies.like.iter().map(|v| v.rebuilt(&mut values)).collect());
        }
        let mut outer = Graph::new(&one.name);
        let captured: Vec<V> =
            types.iter().enumerate().map(|(i, t)| outer.add_input(&format!("a{i}"), t.clone())).collect();
        let mut b = Builder::at_end(&mut outer, Origin::default());
        let values = tested(&mut b, [one, rest], number, &captured, bodies.results)?;
        for (i, v) in values.into_iter().enumerate() {
            outer.add_output(&format!("y{i}"), v);
        }
        rest = outer;
    }
    Err(cx.bad("there are no branches"))
}

/// The first body where the first captured value is `number`, else the second.
fn tested(
    b: &mut Builder<'_>,
    bodies: [Graph; 2],
    number: usize,
    captured: &[V],
    outputs: usize,
) -> R<Vec<V>> {
    let index = captured[0];
    let number = b.scalar_like(number as f64, index)?;
    let cond = b.add_n(Equal {}, &[Some(index), Some(number)], 1)?[0];
    let operands: Vec<Option<V>> = std::iter::once(cond).chain(captured.iter().copied()).map(Some).collect();
    let bodies = bodies.into();
    b.add_node(NewNode { outputs, bodies, captures: captured.len(), ..NewNode::new(If {}, &operands) })
}

fn switch(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (data, pred) = (cx.val(0)?.clone(), cx.arg(1)?);
    match known_truth(cx, pred) {
        Some(true) => Ok(vec![Val::Dead, data]),
        Some(false) => Ok(vec![data, Val::Dead]),
        None => Err(cx
            .unsupported("a branch that no Merge ends")
            .hint("--const NAME=VALUE gives a placeholder that decides a value")),
    }
}

/// The operand that is alive.
fn merge(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let alive: Vec<usize> = (0..cx.len()).filter(|i| !matches!(cx.inputs[*i], Val::Dead)).collect();
    let [one] = alive[..] else {
        return Err(cx.unsupported(format!("{} operands that may be alive", alive.len())));
    };
    let number = cx.konst(Tensor::scalar(i32::try_from(one).unwrap_or(0)));
    Ok(vec![cx.inputs[one].clone(), number.into()])
}
