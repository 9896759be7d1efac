//! Number of iterations of loops that count.
use super::cx::{Cx, R, V};
use super::inner::Inner;
use super::val::Val;
use crate::tensorflow::attrs::Attrs;
use hoist_ir::dtype::DType;
use hoist_ir::graph::Graph;
use std::collections::{HashMap, HashSet};

/// A counter below a bound: first value and bound, outside of the loop; whether the bound itself counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    start: V,
    end: V,
    inclusive: bool,
}

/// `v` before it was cast from one integer type to another.
fn behind_casts(g: &Graph, mut v: V) -> V {
    while let Some(n) =
        g.producer(v).map(|n| g.node(n)).filter(|n| matches!(n.op().name(), "cast" | "identity"))
    {
        let int = |v: V| g.ty(v).as_tensor().is_some_and(|t| t.dtype.is_int());
        match n.input(0) {
            Some(from) if int(from) && int(v) => v = from,
            _ => break,
        }
    }
    v
}

/// Whether `next` is `v` plus one.
fn counts_up(g: &Graph, v: V, next: V) -> bool {
    let next = behind_casts(g, next);
    let Some(n) = g.producer(next).map(|n| g.node(n)).filter(|n| n.op().name() == "add") else {
        return false;
    };
    let is_v = |i: usize| n.input(i).is_some_and(|x| behind_casts(g, x) == v);
    let is_one = |i: usize| g.const_f64(n.input(i)) == Some(1.0);
    g.ty(v).as_tensor().is_some_and(|t| t.dtype.is_int()) && (is_v(0) && is_one(1) || is_v(1) && is_one(0))
}

/// The argument that `v` of the body is, if it counts up by one.
fn counter(g: &Graph, v: V, inside: &[Val], results: &[Val]) -> Option<usize> {
    let v = behind_casts(g, v);
    let k = inside.iter().position(|a| matches!(a, Val::Tensor(x) if *x == v))?;
    matches!(results.get(k), Some(Val::Tensor(next)) if counts_up(g, v, *next)).then_some(k)
}

/// Whether `index` of the body is the number of the iteration: a counter from 0.
pub(super) fn counts(
    g: &Graph,
    index: V,
    args: &[Val],
    inside: &[Val],
    results: &[Val],
    outer: &Graph,
) -> bool {
    let Some(k) = counter(g, index, inside, results) else { return false };
    matches!(args.get(k), Some(Val::Tensor(v)) if outer.const_f64(Some(*v)) == Some(0.0))
}

/// What the condition `test` compares counters with, when it does nothing else.
pub(super) fn bounds(
    cx: &mut Cx<'_, '_, '_>,
    test: &(String, Attrs),
    args: &[Val],
    inside: &[Val],
    results: &[Val],
    body: &Graph,
) -> R<Option<Vec<Bound>>> {
    // The condition by itself: carried values as inputs, whatever they are before the loop.
    let mut inner = Inner { graph: Graph::new(&test.0), args: vec![], outside: vec![] };
    let outer = cx.b.graph();
    let mut counters: HashMap<V, usize> = HashMap::new();
    let mut carried: HashSet<V> = HashSet::new();
    for (k, arg) in args.iter().enumerate() {
        let fixed = match (inside.get(k), results.get(k)) {
            (Some(a), Some(b)) => a.parts() == b.parts(),
            _ => false,
        };
        if fixed {
            inner.capture(outer, std::slice::from_ref(arg));
            continue;
        }
        let mut parts = vec![];
        for (i, v) in arg.parts().into_iter().enumerate() {
            let ty = inside.get(k).and_then(|a| a.parts().get(i).copied()).map(|v| body.ty(v).clone());
            let v = inner.graph.add_input("carried", ty.unwrap_or_else(|| outer.ty(v).clone()));
            // Keeps the places of what is captured; what is carried is never looked up there.
            inner.outside.push(v);
            carried.insert(v);
            parts.push(v);
        }
        if let (Val::Tensor(v), Some(Val::Tensor(inside_v))) = (arg, inside.get(k))
            && counter(body, *inside_v, inside, results) == Some(k)
            && outer.ty(*v).as_tensor().is_some_and(|t| t.dtype.is_int())
        {
            counters.insert(parts[0], k);
        }
        inner.args.push(arg.rebuilt(&mut parts.into_iter()));
    }
    let found = inner.call(cx.l, &test.0, &test.1, 0)?;
    let [Val::Tensor(go)] = found[..] else { return Ok(None) };
    let g = &inner.graph;
    let (mut out, mut todo) = (vec![], vec![go]);
    while let Some(v) = todo.pop() {
        if g.constant(v).and_then(hoist_ir::tensor::Tensor::as_f64) == Some(1.0) {
            continue;
        }
        let Some(n) = g.producer(v).map(|n| g.node(n)) else { return Ok(None) };
        let (Some(a), b) = (n.input(0), n.input(1)) else { return Ok(None) };
        let (low, high, inclusive) = match (n.op().name(), b) {
            ("identity", _) => {
                todo.push(a);
                continue;
            }
            ("and", Some(b)) => {
                todo.extend([a, b]);
                continue;
            }
            ("less", Some(b)) => (a, b, false),
            ("greater", Some(b)) => (b, a, false),
            ("less_or_equal", Some(b)) => (a, b, true),
            ("greater_or_equal", Some(b)) => (b, a, true),
            _ => return Ok(None),
        };
        let Some(k) = counters.get(&behind_casts(g, low)) else { return Ok(None) };
        let high = behind_casts(g, high);
        let int = g.ty(high).as_tensor().is_some_and(|t| t.dtype.is_int());
        let end = match g.constant(high) {
            Some(t) => cx.b.constant(t.clone()),
            // What the loop carries is no bound.
            None => match g.inputs().iter().position(|i| *i == high && !carried.contains(i)) {
                Some(i) => inner.outside[i],
                None => return Ok(None),
            },
        };
        let Some(Val::Tensor(start)) = args.get(*k) else { return Ok(None) };
        if !int {
            return Ok(None);
        }
        out.push(Bound { start: *start, end, inclusive });
    }
    Ok((!out.is_empty()).then_some(out))
}

/// The least number of steps to a bound: 64-bit integer, 0-d.
pub(super) fn count(cx: &mut Cx<'_, '_, '_>, bounds: &[Bound]) -> R<V> {
    let mut least: Option<V> = None;
    for bound in bounds {
        let mut wide = |v: V| -> R<V> {
            let v = cx.cast(v, DType::I64)?;
            if cx.known_rank(v) == Some(0) { Ok(v) } else { cx.reshape(v, &[]) }
        };
        let (start, end) = (wide(bound.start)?, wide(bound.end)?);
        let mut steps =
            if cx.known_ints(start).as_deref() == Some(&[0]) { end } else { cx.named("sub", &[end, start])? };
        if bound.inclusive {
            let one = cx.number(1.0, steps)?;
            steps = cx.named("add", &[steps, one])?;
        }
        least = Some(match least {
            None => steps,
            Some(other) if surely_equal(cx, other, steps) => other,
            Some(other) => cx.named("min", &[other, steps])?,
        });
    }
    let least = least.ok_or_else(|| cx.bad("a loop without a bound"))?;
    if cx.known_ints(least).is_some_and(|n| n.iter().all(|n| *n >= 0)) {
        return Ok(least);
    }
    let zero = cx.number(0.0, least)?;
    cx.named("max", &[least, zero])
}

/// Whether two integers are the same for all that is known.
pub(super) fn surely_equal(cx: &Cx<'_, '_, '_>, a: V, b: V) -> bool {
    let g = cx.b.graph();
    let (a, b) = (behind_casts(g, a), behind_casts(g, b));
    if a == b {
        return true;
    }
    if let (Some(x), Some(y)) = (cx.known_ints(a), cx.known_ints(b)) {
        return x == y;
    }
    let content = |v: V| g.value(v).content().and_then(|c| c.first().cloned().flatten());
    matches!((content(a), content(b)), (Some(x), Some(y)) if x == y)
}
