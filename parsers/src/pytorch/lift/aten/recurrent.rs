//! Recurrent networks over whole sequences: layers of `lstm`, `gru` and `rnn`.
//!
//! PyTorch stacks the gates of its weights in another order than the IR; the blocks are put in order as lazy parts of the stored
//! weights. Sequences that are packed are padded, computed with their lengths, and packed again ([`super::packed`]).
use super::linear::matmul;
use super::packed::Packed;
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: super::Table = &[
    ("lstm", |cx| network(cx, &LSTM)),
    ("gru", |cx| network(cx, &GRU)),
    ("rnn_tanh", |cx| network(cx, &RNN_TANH)),
    ("rnn_relu", |cx| network(cx, &RNN_RELU)),
    ("mkldnn_rnn_layer", mkldnn_layer),
];

/// A kind of cell.
struct Kind {
    /// The IR operator.
    op: &'static str,
    /// For each block of rows in the IR's weights, the block of PyTorch's that it is.
    gates: &'static [i64],
    /// Activation functions where they are not the operator's own.
    activation: Option<&'static str>,
    /// Whether there is a cell state beside the hidden one.
    cell_state: bool,
}

/// PyTorch: input, forget, cell, output; IR: input, output, forget, cell.
const LSTM: Kind = Kind { op: "lstm", gates: &[0, 3, 1, 2], activation: None, cell_state: true };
/// PyTorch: reset, update, new; IR: update, reset, new.
const GRU: Kind = Kind { op: "gru", gates: &[1, 0, 2], activation: None, cell_state: false };
const RNN_TANH: Kind = Kind { op: "rnn", gates: &[0], activation: Some("Tanh"), cell_state: false };
const RNN_RELU: Kind = Kind { op: "rnn", gates: &[0], activation: Some("Relu"), cell_state: false };

/// Parameters of one direction of one layer.
#[derive(Clone, Copy)]
struct Weights {
    input: V,
    recurrent: V,
    biases: Option<(V, V)>,
    projection: Option<V>,
}

/// Results of a layer: `[steps, batch, features]`, and the last states `[directions, batch, features]`.
struct Run {
    y: V,
    h: V,
    c: Option<V>,
}

/// What one layer is computed from.
struct Layer<'a> {
    kind: &'a Kind,
    /// `[steps, batch, features]`.
    x: V,
    lengths: Option<V>,
    /// One or two directions.
    weights: &'a [Weights],
    reverse: bool,
    /// Initial states, `[directions, batch, features]`; zeros are left out.
    h: Option<V>,
    c: Option<V>,
}

/// All layers: `input, hx, params, ...` with `batch_first`, or packed `data, batch_sizes, hx, params, ...`.
fn network(cx: &mut Cx, kind: &Kind) -> R<Out> {
    let (count, both) = (cx.int("num_layers")?, cx.bool_or("bidirectional", false)?);
    let (dropout, train) = (cx.float_or("dropout", 0.0)?, cx.bool_or("train", false)?);
    if train && dropout != 0.0 && count > 1 {
        return Err(unsupported("dropout between layers in training mode is random")
            .hint("call .eval() before the model is exported"));
    }
    let directions = if both { 2 } else { 1 };
    let weights = parameters(cx, kind, count, directions)?;
    let states = if kind.cell_state { cx.ts("hx")? } else { vec![cx.t("hx")?] };
    let batch_first = cx.bool_or("batch_first", false)?;
    let packed = if cx.has("batch_sizes") { Some(Packed::of(cx, "data", "batch_sizes")?) } else { None };
    let mut x = match &packed {
        Some(p) => p.padded(cx)?,
        None => cx.t("input")?,
    };
    if batch_first {
        x = cx.swap(x, 0, 1)?;
    }
    let (mut hs, mut cs) = (vec![], vec![]);
    for (at, weights) in weights.chunks(directions).enumerate() {
        let from = at as i64 * directions as i64;
        let lengths = packed.as_ref().map(|p| p.lengths_i32);
        let h = state(cx, states.first(), from, directions)?;
        let c = state(cx, states.get(1).filter(|_| kind.cell_state), from, directions)?;
        let run = layer(cx, &Layer { kind, x, lengths, weights, reverse: false, h, c })?;
        x = run.y;
        hs.push(run.h);
        cs.extend(run.c);
    }
    let y = match &packed {
        Some(p) => p.pack(cx, x)?,
        None if batch_first => cx.swap(x, 0, 1)?,
        None => x,
    };
    let mut outs = vec![Out::Fresh(y), Out::Fresh(cx.concat(&hs, 0)?)];
    if kind.cell_state {
        outs.push(Out::Fresh(cx.concat(&cs, 0)?));
    }
    Ok(Out::Many(outs))
}

/// The parameters in the order of layers and directions.
fn parameters(cx: &mut Cx, kind: &Kind, layers: i64, directions: usize) -> R<Vec<Weights>> {
    let all = cx.ts("params")?;
    let biases = cx.bool_or("has_biases", true)?;
    let cells = usize::try_from(layers).ok().and_then(|n| n.checked_mul(directions)).unwrap_or(0);
    let plain = if biases { 4 } else { 2 };
    let each = if cells > 0 && all.len() % cells == 0 { all.len() / cells } else { 0 };
    if each != plain && !(each == plain + 1 && kind.cell_state) {
        return Err(malformed(format!("{} parameters for {layers} layers", all.len())));
    }
    let one = |w: &[V]| Weights {
        input: w[0],
        recurrent: w[1],
        biases: biases.then(|| (w[2], w[3])),
        projection: (each > plain).then(|| w[plain]),
    };
    Ok(all.chunks(each).map(one).collect())
}

/// The initial states of one layer; none when they are zeros.
fn state(cx: &mut Cx, all: Option<&V>, from: i64, count: usize) -> R<Option<V>> {
    match all {
        Some(v) if !is_zeros(cx, *v) => cx.slice_known(*v, 0, from, from + count as i64).map(Some),
        _ => Ok(None),
    }
}
/// Whether a value is known to hold zeros only.
fn is_zeros(cx: &Cx, v: V) -> bool {
    let zero = |t: &Tensor| t.len() == 1 && t.to_f64s().is_ok_and(|v| v == [0.0]);
    if let Some(t) = cx.graph.constant(v) {
        return zero(t) || matches!(t.storage(), hoist_ir::tensor::Storage::Splat(_)) && first_is_zero(t);
    }
    let Some(n) = cx.graph.producer(v).map(|n| cx.graph.node(n)) else { return false };
    let source = n.inputs().first().copied().flatten();
    n.op().name() == "expand" && source.is_some_and(|s| is_zeros(cx, s))
}
fn first_is_zero(t: &Tensor) -> bool {
    let corner = t.slice(&vec![0; t.rank()], &vec![1; t.rank()]);
    !t.is_empty() && corner.and_then(|c| c.to_f64s()).is_ok_and(|v| v == [0.0])
}

fn layer(cx: &mut Cx, l: &Layer<'_>) -> R<Run> {
    if l.weights.iter().any(|w| w.projection.is_some()) {
        return projected(cx, l);
    }
    // Half-precision numbers are computed in single precision, as wider sums.
    let dtype = cx.dtype(l.x)?;
    let wide = if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype };
    let hidden = cx.known(l.weights[0].recurrent, 1);
    let hidden = hidden.ok_or_else(|| unsupported("a recurrent layer of dynamic width"))?;
    let blocks = |cx: &mut Cx, part: fn(&Weights) -> V| -> R<V> {
        let each = l.weights.iter().map(|w| in_order(cx, part(w), l.kind.gates, hidden));
        let each: Vec<V> = each.collect::<R<_>>()?;
        stack(cx, &each, wide)
    };
    let w = blocks(cx, |w| w.input)?;
    let r = blocks(cx, |w| w.recurrent)?;
    let mut biases = vec![];
    for (input, recurrent) in l.weights.iter().filter_map(|w| w.biases) {
        let both = [input, recurrent].map(|b| in_order(cx, b, l.kind.gates, hidden));
        let [input, recurrent] = both;
        biases.push(join(cx, &[input?, recurrent?], 0)?);
    }
    let b = if biases.is_empty() { None } else { Some(stack(cx, &biases, wide)?) };
    let x = cx.cast(l.x, wide)?;
    let widen = |cx: &mut Cx, v: Option<V>| v.map(|v| cx.cast(v, wide)).transpose();
    let (h, c) = (widen(cx, l.h)?, widen(cx, l.c)?);
    let mut inputs = vec![Some(x), Some(w), Some(r), b, l.lengths, h];
    if l.kind.cell_state {
        inputs.push(c);
    }
    let attrs = attributes(l, hidden);
    let outs = cx.node_n(l.kind.op, &inputs, &attrs, if l.kind.cell_state { 3 } else { 2 })?;
    let [y, h, ..] = outs[..] else { return Err(malformed("a recurrent layer has no results")) };
    let y = joined(cx, y, l.weights.len() as i64 * hidden)?;
    let c = outs.get(2).map(|c| cx.cast(*c, dtype)).transpose()?;
    Ok(Run { y: cx.cast(y, dtype)?, h: cx.cast(h, dtype)?, c })
}
fn attributes(l: &Layer<'_>, hidden: i64) -> Vec<(&'static str, Attr)> {
    let direction = match (l.weights.len(), l.reverse) {
        (2, _) => "bidirectional",
        (_, true) => "reverse",
        _ => "forward",
    };
    let mut attrs = vec![("hidden_size", Attr::Int(hidden)), ("direction", Attr::Word(direction))];
    if let Some(f) = l.kind.activation {
        attrs.push(("activations", Attr::Strs(vec![f.to_owned(); l.weights.len()])));
    }
    if l.kind.op == "gru" {
        attrs.push(("linear_before_reset", Attr::Bool(true)));
    }
    attrs
}
/// `[steps, directions, batch, hidden]` as `[steps, batch, directions * hidden]`.
fn joined(cx: &mut Cx, y: V, width: i64) -> R<V> {
    if cx.known(y, 1) == Some(1) {
        return cx.squeeze(y, &[1]);
    }
    let y = cx.permute(y, &[0, 2, 1, 3])?;
    let sizes = [cx.dim(y, 0)?, cx.dim(y, 1)?, Size::Known(width)];
    cx.reshape(y, &sizes)
}
/// Blocks of `hidden` rows in another order.
fn in_order(cx: &mut Cx, v: V, order: &[i64], hidden: i64) -> R<V> {
    if order.len() == 1 {
        return Ok(v);
    }
    let parts: Vec<V> = order
        .iter()
        .map(|k| match cx.graph.constant(v).cloned() {
            Some(t) => {
                let (mut starts, mut sizes) = (vec![0; t.rank()], t.shape().to_vec());
                let rows = usize::try_from(hidden).unwrap_or(0);
                if let (Some(start), Some(size)) = (starts.first_mut(), sizes.first_mut()) {
                    (*start, *size) = (rows.saturating_mul(*k as usize), rows);
                }
                let part = t.slice(&starts, &sizes).map_err(|e| malformed(e.to_string()))?;
                Ok(cx.constant(part))
            }
            None => cx.slice_known(v, 0, k * hidden, (k + 1) * hidden),
        })
        .collect::<R<_>>()?;
    join(cx, &parts, 0)
}
/// Joins along an axis; constants lazily.
fn join(cx: &mut Cx, parts: &[V], axis: usize) -> R<V> {
    let known: Option<Vec<Tensor>> = parts.iter().map(|v| cx.graph.constant(*v).cloned()).collect();
    match known {
        Some(all) if all.len() > 1 => {
            let t = Tensor::concat(&all, axis).map_err(|e| malformed(e.to_string()))?;
            Ok(cx.constant(t))
        }
        _ => cx.concat(parts, axis),
    }
}
/// One matrix or vector per direction, under a new first axis, in an element type.
fn stack(cx: &mut Cx, each: &[V], dtype: DType) -> R<V> {
    let mut lines = vec![];
    for v in each {
        let line = if let Some(t) = cx.graph.constant(*v).cloned() {
            let sizes: Vec<usize> = std::iter::once(1).chain(t.shape().iter().copied()).collect();
            let t = t.reshape(&sizes).and_then(|t| t.lazy_cast(dtype, false));
            cx.constant(t.map_err(|e| malformed(e.to_string()))?)
        } else {
            let v = cx.cast(*v, dtype)?;
            cx.unsqueeze(v, &[0])?
        };
        lines.push(line);
    }
    join(cx, &lines, 0)
}

/// A layer whose hidden state is a projection `h = P (o . tanh c)`. It is computed as one without, whose state is `h' = o . tanh c`: the
/// recurrent weights `R` of `h` are `R P` of `h'`. An initial `h`, which no `h'` stands for, becomes further input of the first step.
fn projected(cx: &mut Cx, l: &Layer<'_>) -> R<Run> {
    let (mut ys, mut hs, mut cs) = (vec![], vec![], vec![]);
    for (k, weights) in l.weights.iter().enumerate() {
        let projection = weights.projection.ok_or_else(|| malformed("a direction lacks its projection"))?;
        let reverse = l.reverse || k == 1;
        let at = k as i64;
        let mut plain = Weights { projection: None, ..*weights };
        let mut x = l.x;
        if let Some(h) = l.h {
            let h = cx.slice_known(h, 0, at, at + 1)?;
            let first = first_step(cx, x, l.lengths, reverse)?;
            let zero = cx.num(h, 0.0)?;
            let given = cx.choose(first, h, zero)?;
            x = cx.concat(&[x, given], 2)?;
            plain.input = join(cx, &[weights.input, weights.recurrent], 1)?;
        }
        plain.recurrent = matmul(cx, weights.recurrent, projection)?;
        let c = l.c.map(|c| cx.slice_known(c, 0, at, at + 1)).transpose()?;
        let one = Layer { kind: l.kind, x, lengths: l.lengths, weights: &[plain], reverse, h: None, c };
        let run = layer(cx, &one)?;
        let turned = cx.permute(projection, &[1, 0])?;
        ys.push(matmul(cx, run.y, turned)?);
        hs.push(matmul(cx, run.h, turned)?);
        cs.extend(run.c);
    }
    let c = if cs.is_empty() { None } else { Some(cx.concat(&cs, 0)?) };
    Ok(Run { y: cx.concat(&ys, 2)?, h: cx.concat(&hs, 0)?, c })
}
/// Where the step that is taken first lies: truth values `[steps, 1 or batch, 1]`.
fn first_step(cx: &mut Cx, x: V, lengths: Option<V>, reverse: bool) -> R<V> {
    let steps = cx.dim(x, 0)?;
    let all = cx.iota(&steps)?;
    let all = cx.reshape_to(all, &[-1, 1, 1])?;
    let last = match (reverse, lengths) {
        (false, _) => return cx.bn("equal", all, 0.0),
        (true, None) => cx.size_value(&steps),
        (true, Some(n)) => {
            let n = cx.cast(n, DType::I64)?;
            cx.reshape_to(n, &[1, -1, 1])?
        }
    };
    let last = cx.bn("sub", last, 1.0)?;
    cx.b("equal", all, last)
}

/// One layer of an LSTM as decomposed programs contain it. The fourth result is working memory, which nothing reads.
fn mkldnn_layer(cx: &mut Cx) -> R<Out> {
    // The number that oneDNN's callers pass for an LSTM.
    if cx.int("mode")? != 2 || cx.int_or("num_layers", 1)? != 1 || cx.bool_or("bidirectional", false)? {
        return Err(unsupported("this use of mkldnn_rnn_layer"));
    }
    if !cx.ints_or_empty("batch_sizes")?.is_empty() {
        return Err(unsupported("packed sequences in mkldnn_rnn_layer"));
    }
    cx.bool_or("train", false)?;
    cx.opt_size("hidden_size")?;
    let (mut x, batch_first) = (cx.t("input")?, cx.bool_or("batch_first", false)?);
    if batch_first {
        x = cx.swap(x, 0, 1)?;
    }
    let [input, recurrent] = [cx.t("weight0")?, cx.t("weight1")?];
    let given = (cx.t("weight2")?, cx.t("weight3")?);
    let biases = cx.bool_or("has_biases", true)?.then_some(given);
    let weights = [Weights { input, recurrent, biases, projection: None }];
    let (h, c) = (cx.t("hx_")?, cx.t("cx_")?);
    let ranks = [cx.rank(h)?, cx.rank(c)?];
    let three = |cx: &mut Cx, v: V, rank: usize| if rank == 2 { cx.unsqueeze(v, &[0]) } else { Ok(v) };
    let states = (three(cx, h, ranks[0])?, three(cx, c, ranks[1])?);
    let reverse = cx.bool_or("reverse", false)?;
    let all = Layer {
        kind: &LSTM,
        x,
        lengths: None,
        weights: &weights,
        reverse,
        h: Some(states.0),
        c: Some(states.1),
    };
    let run = layer(cx, &all)?;
    let y = if batch_first { cx.swap(run.y, 0, 1)? } else { run.y };
    let back = |cx: &mut Cx, v: V, rank: usize| if rank == 2 { cx.squeeze(v, &[0]) } else { Ok(v) };
    let h = back(cx, run.h, ranks[0])?;
    let c = run.c.ok_or_else(|| malformed("an LSTM has no cell state"))?;
    let c = back(cx, c, ranks[1])?;
    let none = cx.int_of(DType::U8, 0)?;
    let none = cx.full(&[Size::Known(0)], none)?;
    Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(h), Out::Fresh(c), Out::Fresh(none)]))
}
