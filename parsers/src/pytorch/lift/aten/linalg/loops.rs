//! Loops whose bodies are written as closures.
use crate::pytorch::lift::cx::{Cx, R, Size, V, malformed};
use hoist_ir::dtype::DType;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::Graph;
use hoist_ir::ops::Op;
use hoist_ir::types::{TensorType, Type};

/// Constants of the graph around with at most this many elements are had in the body itself.
const SMALL: usize = 4096;

/// Runs `body` `trips` times. It takes the number of the iteration as an `i64` of shape `[1]`, the state and what it `uses` from outside,
/// and gives the next state, of the same types. Gives the last state.
pub(super) fn repeat<const S: usize, const C: usize>(
    cx: &mut Cx,
    trips: &Size,
    state: [V; S],
    uses: [V; C],
    body: impl FnOnce(&mut Cx, V, [V; S], [V; C]) -> R<[V; S]>,
) -> R<[V; S]> {
    let always = |cx: &mut Cx, i: V, state: [V; S], uses: [V; C]| Ok((None, body(cx, i, state, uses)?));
    repeat_while(cx, trips, state, uses, always)
}

/// Like [`repeat`], but ends after an iteration for which the body gives a 0-d `false` with the state.
pub(super) fn repeat_while<const S: usize, const C: usize>(
    cx: &mut Cx,
    trips: &Size,
    state: [V; S],
    uses: [V; C],
    body: impl FnOnce(&mut Cx, V, [V; S], [V; C]) -> R<(Option<V>, [V; S])>,
) -> R<[V; S]> {
    let empty = state.iter().all(|v| cx.known_len(*v) == Some(0));
    if empty || *trips == Size::Known(0) {
        return Ok(state);
    }
    let around = std::mem::replace(&mut cx.graph, Graph::new("repeat"));
    let built = build(cx, &around, state, uses, body);
    let graph = std::mem::replace(&mut cx.graph, around);
    let captured = built?;
    let mut inputs = vec![Some(cx.size_scalar(trips)?), Some(cx.int_of(DType::Bool, 1)?)];
    inputs.extend(state.into_iter().chain(captured.iter().copied()).map(Some));
    let op = Op::by_name("loop").ok_or_else(|| malformed("the IR has no operator `loop`"))?;
    let node = NewNode {
        outputs: S,
        bodies: vec![graph],
        captures: captured.len(),
        origin: cx.origin.clone(),
        ..NewNode::new(op, &inputs)
    };
    let n = cx.graph.append(node)?;
    let last = cx.graph.node(n).outputs().to_vec();
    <[V; S]>::try_from(last).map_err(|_| malformed("a loop gives other results than its state"))
}

/// Builds the body in `cx.graph` and gives the values of `around` that it captures.
fn build<const S: usize, const C: usize>(
    cx: &mut Cx,
    around: &Graph,
    state: [V; S],
    uses: [V; C],
    body: impl FnOnce(&mut Cx, V, [V; S], [V; C]) -> R<(Option<V>, [V; S])>,
) -> R<Vec<V>> {
    let i = cx.graph.add_input("i", TensorType::fixed(DType::I64, &[]).into());
    let go = cx.graph.add_input("go", TensorType::fixed(DType::Bool, &[]).into());
    let mut at = 0;
    let mut input = |cx: &mut Cx, name: &str, ty: Type| {
        at += 1;
        cx.graph.add_input(&format!("{name}{at}"), ty)
    };
    let inner = state.map(|v| input(cx, "state", around.ty(v).clone()));
    let mut captured = vec![];
    let used = uses.map(|v| {
        if let Some(t) = around.constant(v).filter(|t| t.len() <= SMALL) {
            return cx.constant(t.clone());
        }
        captured.push(v);
        input(cx, "use", around.ty(v).clone())
    });
    let i = cx.unsqueeze(i, &[0])?;
    let (more, next) = body(cx, i, inner, used)?;
    let more = match more {
        Some(v) => v,
        None => cx.u("identity", go)?,
    };
    cx.graph.add_output("go", more);
    for (k, (v, was)) in next.into_iter().zip(inner).enumerate() {
        if cx.dtype(v)? != cx.dtype(was)? || cx.rank(v)? != cx.rank(was)? {
            return Err(malformed(format!("state {k} of a loop changes its type")));
        }
        cx.graph.add_output(&format!("next{k}"), v);
    }
    Ok(captured)
}
