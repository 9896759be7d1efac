//! Cells of recurrent layers as one operator, and layers of them. Data is `[batch, features]`, of layers `[steps, batch, features]`.
use super::Row;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::builder::Builder;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, Origin};
use hoist_ir::ops::control::loop_::Loop;
use hoist_ir::ops::elementwise::clip::Clip;
use hoist_ir::ops::movement::split::Split;
use hoist_ir::ops::shape::range::Range;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;

/// Results of a cell: gates, states and output.
const GATES: &str = "i cs f o ci co h";

pub(super) const TABLE: &[Row] = &[
    ("GRUBlockCell", "r u c h", gru_cell),
    ("LSTMBlockCell", GATES, |cx| {
        let all = cx.args()?;
        let [x, state, h, weights @ ..] = &all[..] else { return Err(cx.bad("too few operands")) };
        let out = lstm_step(cx, *x, [*state, *h], weights)?;
        Ok(out.map(Val::Tensor).to_vec())
    }),
    ("BlockLSTM", GATES, lstm_layer),
    ("BlockLSTMV2", GATES, lstm_layer),
];

/// `v` in `n` equal parts along its last axis.
fn parts(cx: &mut Cx<'_, '_, '_>, v: V, n: usize) -> R<Vec<V>> {
    let rank = cx.rank(v)?;
    let size = cx.size_of(v, rank - 1)?;
    let count = cx.int_list(&[n as i64]);
    let one = cx.named("div", &[size, count])?;
    let sizes = cx.expand(one, count)?;
    cx.op_n(Split { axis: rank as i64 - 1, num_outputs: None }, &[Some(v), Some(sizes)], n)
}

/// `[x, y] w + b`.
fn affine(cx: &mut Cx<'_, '_, '_>, [x, y, w, b]: [V; 4]) -> R<V> {
    let both = cx.concat(&[x, y], 1)?;
    let product = cx.named("mat_mul", &[both, w])?;
    cx.named("add", &[product, b])
}

/// The operands are data, state, weights of both gates, weights of the candidate, and their biases.
fn gru_cell(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let all = cx.args()?;
    let &[x, h, w_gates, w, b_gates, b] = &all[..] else { return Err(cx.bad("six operands are needed")) };
    let gates = affine(cx, [x, h, w_gates, b_gates])?;
    let gates = cx.named("sigmoid", &[gates])?;
    let halves = parts(cx, gates, 2)?;
    let [r, u] = halves[..] else { return Err(cx.bad("two gates are needed")) };
    let reset = cx.named("mul", &[h, r])?;
    let c = affine(cx, [x, reset, w, b])?;
    let c = cx.named("tanh", &[c])?;
    // u h + (1 - u) c
    let off = cx.named("sub", &[h, c])?;
    let off = cx.named("mul", &[u, off])?;
    let next = cx.named("add", &[c, off])?;
    Ok([r, u, c, next].map(Val::Tensor).to_vec())
}

/// One step of an LSTM from the state and output `[cs, h]`; weights are those of all gates, three of peepholes, and biases.
fn lstm_step(cx: &mut Cx<'_, '_, '_>, x: V, [state, h]: [V; 2], weights: &[V]) -> R<[V; 7]> {
    let &[w, w_input, w_forget, w_output, b] = weights else { return Err(cx.bad("too few operands")) };
    let second = &*cx.node.op == "BlockLSTMV2";
    let all = affine(cx, [x, h, w, b])?;
    let quarters = parts(cx, all, 4)?;
    let [i, ci, f, o] = match quarters[..] {
        [i, f, ci, o] if second => [i, ci, f, o],
        [i, ci, f, o] => [i, ci, f, o],
        _ => return Err(cx.bad("four gates are needed")),
    };
    let peephole = cx.attrs.flag("use_peephole");
    let gate = |cx: &mut Cx<'_, '_, '_>, v: V, state: V, w: V| -> R<V> {
        let seen = if peephole {
            let share = cx.named("mul", &[state, w])?;
            cx.named("add", &[v, share])?
        } else {
            v
        };
        cx.named("sigmoid", &[seen])
    };
    let bias = if second { 0.0 } else { cx.attrs.float("forget_bias").unwrap_or(1.0) };
    let bias = cx.number(f64::from(bias), f)?;
    let f = cx.named("add", &[f, bias])?;
    let (i, f) = (gate(cx, i, state, w_input)?, gate(cx, f, state, w_forget)?);
    let ci = cx.named("tanh", &[ci])?;
    let (new, old) = (cx.named("mul", &[ci, i])?, cx.named("mul", &[state, f])?);
    let mut cs = cx.named("add", &[new, old])?;
    let most = cx.attrs.float("cell_clip").unwrap_or(if second { 0.0 } else { 3.0 });
    if most > 0.0 {
        let (low, high) = (cx.number(f64::from(-most), cs)?, cx.number(f64::from(most), cs)?);
        cs = cx.op(Clip::default(), &[cs, low, high])?;
    }
    let o = gate(cx, o, cs, w_output)?;
    let co = cx.named("tanh", &[cs])?;
    let h = cx.named("mul", &[co, o])?;
    Ok([i, cs, f, o, ci, co, h])
}

/// All steps of an LSTM; what is behind the number of steps that operand 0 says is zero.
fn lstm_layer(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let all = cx.args()?;
    let [most, x, state, h, weights @ ..] = &all[..] else { return Err(cx.bad("too few operands")) };
    let mut body = Graph::new(&cx.node.name);
    let number = body.add_input("i", Type::from(Tensor::scalar(0i64).ty()));
    body.add_input("go", Type::from(Tensor::from_bools(&[], vec![true]).ty()));
    let outer = cx.b.graph();
    let mut inside = |v: V, name: &str| body.add_input(name, outer.ty(v).clone());
    let states = [inside(*state, "cs"), inside(*h, "h")];
    let data = inside(*x, "x");
    let mut captured = vec![*x];
    let mut own = vec![];
    for v in weights {
        own.push(if let Some(t) = outer.constant(*v) {
            body.add_const(t.clone())
        } else {
            captured.push(*v);
            body.add_input("w", outer.ty(*v).clone())
        });
    }
    let mut b = Builder::at_end(&mut body, Origin::default());
    let mut inner = Cx { l: cx.l, b: &mut b, node: cx.node, attrs: cx.attrs, inputs: vec![] };
    let now = inner.gather(data, number, 0)?;
    let out = lstm_step(&mut inner, now, states, &own)?;
    let go = inner.konst(Tensor::from_bools(&[], vec![true]));
    body.add_output("go", go);
    body.add_output("cs", out[1]);
    body.add_output("h", out[6]);
    for (name, v) in GATES.split(' ').zip(out) {
        body.add_output(name, v);
    }
    let steps = cx.size_of(*x, 0)?;
    let trips = cx.reshape(steps, &[])?;
    let mut operands = vec![Some(trips), None, Some(*state), Some(*h)];
    operands.extend(captured.iter().map(|v| Some(*v)));
    let node = NewNode {
        outputs: 9,
        bodies: vec![body],
        captures: captured.len(),
        ..NewNode::new(Loop {}, &operands)
    };
    let found = cx.b.add_node(node)?;
    let wanted = cx.cast(*most, hoist_ir::dtype::DType::I64)?;
    let all = cx.known_ints(wanted).zip(cx.known_ints(steps)).is_some_and(|(a, b)| a.first() >= b.first());
    let mut out = vec![];
    for v in found.into_iter().skip(2) {
        out.push(if all { v.into() } else { cut_off(cx, v, steps, wanted)?.into() });
    }
    Ok(out)
}

/// `v` with zeros from step `wanted` on.
fn cut_off(cx: &mut Cx<'_, '_, '_>, v: V, steps: V, wanted: V) -> R<V> {
    let (start, by) = (cx.konst(Tensor::scalar(0i64)), cx.konst(Tensor::scalar(1i64)));
    let (limit, wanted) = (cx.reshape(steps, &[])?, cx.reshape(wanted, &[])?);
    let at = cx.op(Range::default(), &[start, limit, by])?;
    let inside = cx.named("less", &[at, wanted])?;
    let inside = cx.reshape(inside, &[-1, 1, 1])?;
    let zero = cx.number(0.0, v)?;
    cx.named("where", &[inside, v, zero])
}
