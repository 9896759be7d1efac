//! Loops.
//!
//! What a body hands on as it is, the loop captures. A list that a body writes one element of in each iteration, in order, becomes what the loop stacks of
//! its iterations; other lists are carried as their stacked elements. Types of what is carried widen until the body gives what it takes.
use super::cx::{Cx, R, V};
use super::inner::Inner;
use super::list::lengthened;
use super::trips::{self, Bound};
use super::val::{List, Val};
use crate::tensorflow::attrs::Attrs;
use crate::tensorflow::program::{Body, Ref};
use hoist_ir::builder::Builder;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, Origin};
use hoist_ir::ops::control::loop_::Loop;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{TensorType, Type};
use std::sync::Arc;

/// Rounds of looking at what a body makes of the types that it gets, before ranks are given up.
const MOST_ROUNDS: usize = 12;
/// The round from which on sizes that change are unknown at once.
const WIDENING: usize = 8;

/// Nodes that hand on a value, one behind the other, that are looked through.
const MOST_NAMES: usize = 64;

/// How an argument goes through the iterations.
#[derive(Clone, Debug)]
enum Way {
    /// It does not change.
    Fixed,
    /// Its parts are carried, with these types.
    Carried(Vec<Type>),
    /// It is a list that gets one element in each iteration, and is called by this number.
    Written(usize),
}

/// A body lifted for certain ways.
struct Tried {
    graph: Graph,
    /// Values outside that the last inputs stand for.
    captured: Vec<V>,
    args: Vec<Val>,
    results: Vec<Val>,
}

pub(super) fn repeat(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let function = |attr: &str| -> R<(String, Attrs)> {
        let (name, attrs) = cx.attrs.function(attr)?;
        Ok((name.to_owned(), attrs))
    };
    let (test, step) = (function("cond")?, function("body")?);
    let mut args = cx.inputs.clone();
    if cx.l.unread(&changed(cx, &step.0, &args)) {
        return Ok(vec![Val::Failed]);
    }
    let before = cx.l.blocked();
    let first = condition(cx, &test, &args)?;
    let Some(first) = first else { return Ok(vec![Val::Failed]) };
    if cx.constant(first).and_then(Tensor::as_f64) == Some(0.0) {
        return Ok(args);
    }
    let Some((ways, tried)) = settled(cx, &step, &mut args)? else { return Ok(vec![Val::Failed]) };
    let bounds = trips::bounds(cx, &test, &args, &tried.args, &tried.results, &tried.graph)?;
    if cx.l.blocked() > before {
        return Ok(vec![Val::Failed]);
    }
    build(cx, &test, args, &ways, tried, (first, bounds))
}

/// The arguments that function `name` does not hand on as they are.
fn changed(cx: &Cx<'_, '_, '_>, name: &str, args: &[Val]) -> Vec<Val> {
    let fixed = handed_on(cx.l.program.functions.get(name));
    args.iter().enumerate().filter(|(k, _)| !fixed.contains(k)).map(|(_, v)| v.clone()).collect()
}

/// Arguments of a function that are its results at the same places.
fn handed_on(body: Option<&Body>) -> Vec<usize> {
    let Some(body) = body else { return vec![] };
    let source = |mut at: Ref| {
        for _ in 0..MOST_NAMES {
            let Ref::Node(n, 0) = at else { break };
            match (&*body.nodes[n].op, body.nodes[n].inputs.first()) {
                ("Identity", Some(from)) => at = *from,
                _ => break,
            }
        }
        at
    };
    let results = body.results.iter().enumerate();
    results.filter(|(k, (_, at))| source(*at) == Ref::Arg(*k)).map(|(k, _)| k).collect()
}

/// What the condition says of `args`, as a truth value; none when something in it is not read.
fn condition(cx: &mut Cx<'_, '_, '_>, test: &(String, Attrs), args: &[Val]) -> R<Option<V>> {
    let found = cx.l.call(cx.b, &test.0, args, &test.1)?;
    match found.as_slice() {
        [Val::Tensor(v)] => {
            let v = super::control::truth(cx, *v)?;
            Ok(Some(if cx.known_rank(v) == Some(0) { v } else { cx.reshape(v, &[])? }))
        }
        [Val::Failed | Val::Dead] => Ok(None),
        other => Err(cx.bad(format!("a condition of {} values", other.len()))),
    }
}

/// The body for ways that it keeps to; none when something in it is not read. Lists of `args` whose elements' sizes the body tells get elements.
fn settled(
    cx: &mut Cx<'_, '_, '_>,
    step: &(String, Attrs),
    args: &mut [Val],
) -> R<Option<(Vec<Way>, Tried)>> {
    let fixed = handed_on(cx.l.program.functions.get(&step.0));
    let mut ways = vec![];
    for (k, arg) in args.iter().enumerate() {
        ways.push(match arg {
            _ if fixed.contains(&k) => Way::Fixed,
            Val::List(_) => {
                cx.l.slots += 1;
                Way::Written(cx.l.slots)
            }
            Val::Token | Val::Variable(_) | Val::Table(_) => Way::Fixed,
            other => Way::Carried(types(cx.b.graph(), other)),
        });
    }
    let before = cx.l.blocked();
    for round in 0..MOST_ROUNDS {
        let tried = tried(cx, step, args, &ways)?;
        if cx.l.blocked() > before {
            return Ok(None);
        }
        if tried.results.len() != args.len() {
            return Err(cx.bad("a body gives what it takes"));
        }
        let mut same = true;
        for (k, way) in ways.iter_mut().enumerate() {
            if let Some(next) = next_way(cx, way, args, k, &tried, round)? {
                *way = next;
                same = false;
            }
        }
        if same {
            return Ok(Some((ways, tried)));
        }
    }
    Err(cx.unsupported("a body whose types do not settle"))
}

fn types(g: &Graph, v: &Val) -> Vec<Type> {
    v.parts().into_iter().map(|v| g.ty(v).clone()).collect()
}

/// Another way for argument `k` than the one that was tried, if it cannot be that one.
fn next_way(
    cx: &mut Cx<'_, '_, '_>,
    way: &Way,
    args: &mut [Val],
    k: usize,
    tried: &Tried,
    round: usize,
) -> R<Option<Way>> {
    let result = &tried.results[k];
    match way {
        Way::Fixed => Ok(None),
        Way::Written(slot) => {
            if let Val::List(list) = result
                && list.slot == Some(*slot)
                && !cx.l.asked.contains(slot)
            {
                return Ok(match &list.write {
                    None => Some(Way::Fixed),
                    Some((index, _))
                        if trips::counts(
                            &tried.graph,
                            *index,
                            args,
                            &tried.args,
                            &tried.results,
                            cx.b.graph(),
                        ) =>
                    {
                        None
                    }
                    Some(_) => Some(Way::Carried(types(cx.b.graph(), &args[k]))),
                });
            }
            Ok(Some(Way::Carried(types(cx.b.graph(), &args[k]))))
        }
        Way::Carried(old) => {
            if let (Val::List(given), Val::List(list)) = (&args[k], result)
                && given.stacked.is_none()
                && let Some(v) = list.stacked
            {
                // The body knows how large the elements are.
                let made = filled(cx, given, tried.graph.ty(v))?;
                args[k] = Val::List(Arc::new(made));
                return Ok(Some(Way::Carried(types(cx.b.graph(), &args[k]))));
            }
            if matches!(result, Val::Failed) {
                return Err(cx.unsupported("a list of elements whose sizes are not known yet"));
            }
            if !args[k].is_like(result) {
                let m = format!("{} that becomes {}", args[k].what(), result.what());
                return Err(cx.unsupported(m));
            }
            let mut next = old.clone();
            for (ty, new) in next.iter_mut().zip(types(&tried.graph, result)) {
                *ty = widened(cx, ty, &new, round)?;
            }
            Ok((next != *old).then_some(Way::Carried(next)))
        }
    }
}

/// A type that holds values of both.
fn widened(cx: &Cx<'_, '_, '_>, old: &Type, new: &Type, round: usize) -> R<Type> {
    match old.join(new) {
        joined if joined == *old => Ok(joined),
        Type::Tensor(t) if round + 1 >= WIDENING => Ok(Type::Tensor(TensorType::unranked(t.dtype))),
        joined @ Type::Tensor(_) => Ok(joined),
        _ => Err(cx.bad("a body changes an element type")),
    }
}

/// `list`, nothing of which is written, with zeros of the type `ty` of all elements.
fn filled(cx: &mut Cx<'_, '_, '_>, list: &List, ty: &Type) -> R<List> {
    let unknown = "a list of elements whose sizes are not known before it";
    let shape = ty.as_tensor().and_then(|t| t.shape.clone()).ok_or_else(|| cx.unsupported(unknown))?;
    let len = cx.reshape(list.len, &[1])?;
    let mut sizes = vec![len];
    for dim in &shape[1..] {
        sizes.push(match dim {
            Dim::Known(n) => cx.int_list(&[*n as i64]),
            Dim::Unknown => return Err(cx.unsupported(unknown)),
            dim @ Dim::Expr(_) => {
                let at = place_of(cx, dim).ok_or_else(|| cx.unsupported(unknown))?;
                cx.size_of(at.0, at.1)?
            }
        });
    }
    let zero = Tensor::scalar(0i64).cast(list.dtype, false).map_err(|e| cx.bad(e))?;
    let (zero, sizes) = (cx.konst(zero), cx.concat(&sizes, 0)?);
    let stacked = cx.expand(zero, sizes)?;
    Ok(List { stacked: Some(stacked), ..list.clone() })
}

/// An operand or input, and its axis whose size is `dim`.
fn place_of(cx: &Cx<'_, '_, '_>, dim: &Dim) -> Option<(V, usize)> {
    let g = cx.b.graph();
    let operands = cx.inputs.iter().flat_map(Val::parts);
    operands.chain(g.inputs().iter().copied()).find_map(|v| {
        let axis = cx.shape(v)?.iter().position(|d| d == dim)?;
        Some((v, axis))
    })
}

/// The body, with inputs as `ways` say.
fn tried(cx: &mut Cx<'_, '_, '_>, step: &(String, Attrs), args: &[Val], ways: &[Way]) -> R<Tried> {
    let mut inner = Inner { graph: Graph::new(&step.0), args: vec![], outside: vec![] };
    inner.graph.add_input("i", Type::from(Tensor::scalar(0i64).ty()));
    inner.graph.add_input("go", Type::from(Tensor::from_bools(&[], vec![true]).ty()));
    let outer = cx.b.graph();
    let mut inside: Vec<Option<Val>> = vec![None; args.len()];
    for (k, way) in ways.iter().enumerate() {
        let Way::Carried(types) = way else { continue };
        let names = args[k].parts();
        let parts: Vec<V> = types
            .iter()
            .zip(names)
            .map(|(t, v)| inner.graph.add_input(&outer.value_label(v), t.clone()))
            .collect();
        inside[k] = Some(args[k].rebuilt(&mut parts.into_iter()));
    }
    for (k, way) in ways.iter().enumerate() {
        let arg = match (way, &args[k]) {
            (Way::Carried(_), _) => continue,
            (Way::Written(slot), Val::List(list)) => {
                let list = List { stacked: None, slot: Some(*slot), write: None, ..List::clone(list) };
                Val::List(Arc::new(list))
            }
            (_, arg) => arg.clone(),
        };
        inner.capture(outer, &[arg]);
        inside[k] = inner.args.pop();
    }
    inner.args = inside.into_iter().map(|v| v.unwrap_or(Val::Failed)).collect();
    let results = inner.call(cx.l, &step.0, &step.1, 0)?;
    Ok(Tried { graph: inner.graph, captured: inner.outside, args: inner.args, results })
}

/// The loop, its body being `tried` for `ways`.
fn build(
    cx: &mut Cx<'_, '_, '_>,
    test: &(String, Attrs),
    args: Vec<Val>,
    ways: &[Way],
    mut tried: Tried,
    (first, bounds): (V, Option<Vec<Bound>>),
) -> R<Vec<Val>> {
    let trips = match &bounds {
        Some(bounds) => Some(trips::count(cx, bounds)?),
        None => None,
    };
    let mut b = Builder::at_end(&mut tried.graph, Origin::default());
    let go = if trips.is_some() {
        b.constant(Tensor::from_bools(&[], vec![true]))
    } else {
        let mut inner = Cx { l: cx.l, b: &mut b, node: cx.node, attrs: cx.attrs, inputs: vec![] };
        let go = condition(&mut inner, test, &tried.results)?;
        let Some(go) = go else { return Ok(vec![Val::Failed]) };
        go
    };
    tried.graph.add_output("go", go);
    let (mut carried, mut scanned) = (vec![], vec![]);
    for (k, way) in ways.iter().enumerate() {
        match (way, &tried.results[k]) {
            (Way::Carried(_), result) => {
                for (i, v) in result.parts().into_iter().enumerate() {
                    tried.graph.add_output(&format!("next{k}_{i}"), v);
                }
                carried.extend(args[k].parts());
            }
            (Way::Written(_), Val::List(list)) => {
                if let Some((_, item)) = list.write {
                    scanned.push((k, item));
                }
            }
            _ => {}
        }
    }
    for (k, item) in &scanned {
        tried.graph.add_output(&format!("item{k}"), *item);
    }
    let mut operands = vec![trips, trips.is_none().then_some(first)];
    operands.extend(carried.iter().map(|v| Some(*v)));
    operands.extend(tried.captured.iter().map(|v| Some(*v)));
    let node = NewNode {
        outputs: carried.len() + scanned.len(),
        bodies: vec![tried.graph],
        captures: tried.captured.len(),
        ..NewNode::new(Loop {}, &operands)
    };
    let values = cx.b.add_node(node)?;
    let (last, stacks) = values.split_at(carried.len());
    let (mut last, mut stacks) = (last.iter().copied(), stacks.iter().copied());
    let mut out = vec![];
    for (k, arg) in args.into_iter().enumerate() {
        out.push(match (&ways[k], arg) {
            (Way::Carried(_), arg) => arg.rebuilt(&mut last),
            (Way::Written(_), Val::List(list)) if scanned.iter().any(|s| s.0 == k) => {
                let v = stacks.next().ok_or_else(|| cx.bad("a list without elements"))?;
                let grows = matches!(&tried.results[k], Val::List(l) if l.grows);
                whole(cx, &List { grows, ..List::clone(&list) }, v, trips)?
            }
            (_, arg) => arg,
        });
    }
    Ok(out)
}

/// The list whose first elements a loop of `trips` iterations wrote; the others are as they were.
fn whole(cx: &mut Cx<'_, '_, '_>, list: &List, written: V, trips: Option<V>) -> R<Val> {
    let all = trips.is_some_and(|n| trips::surely_equal(cx, n, list.len));
    let mut len = list.len;
    let stacked = if all {
        written
    } else if list.grows {
        let (rows, wanted) = (cx.size_of(written, 0)?, cx.reshape(list.len, &[1])?);
        let rows = cx.named("max", &[rows, wanted])?;
        len = cx.reshape(rows, &[])?;
        lengthened(cx, written, rows)?
    } else if let Some(v) = list.stacked {
        let (rows, most) = (cx.size_of(written, 0)?, cx.int_list(&[i64::MAX]));
        let axes = cx.int_list(&[0]);
        let rest = cx.op_opt(Slice::default(), &[Some(v), Some(rows), Some(most), Some(axes), None])?;
        cx.concat(&[written, rest], 0)?
    } else {
        let rows = cx.reshape(list.len, &[1])?;
        lengthened(cx, written, rows)?
    };
    debug_assert!(cx.dtype(len).is_ok_and(|d| d == DType::I64), "lengths are 64-bit integers");
    Ok(Val::List(Arc::new(List { stacked: Some(stacked), len, ..list.clone() })))
}
