//! Recurrent layers as the operators of ONNX: gates in its order, steps first.
//!
//! Steps that a mask leaves out are moved behind the others, which keeps what a cell computes exact for any mask.
use super::cell::{Cell, spelled};
use super::{Row, none};
use crate::keras::config::Layer;
use crate::keras::kx::{Kx, Mask, Tv};
use crate::keras::upgrade::GATES;
use crate::keras::weights::{Content, Own, Part};
use crate::tensorflow::bad;
use crate::tensorflow::lift::bridge::Arg;
use crate::tensorflow::lift::cx::{R, V};
use hoist_ir::dtype::DType;
use hoist_ir::ops::index::gather_nd::GatherNd;
use hoist_ir::ops::reduce::reductions::ReduceSum;
use hoist_ir::tensor::Tensor;
use serde_json::{Map, Value as Json};

pub(super) const TABLE: &[Row] =
    &[("SimpleRNN", none, single), ("LSTM", none, single), ("GRU", none, single), ("RNN", none, single)];

type Config = Map<String, Json>;

/// Weights of cells of Keras 1, gate by gate in its order.
const LSTM_GATES: &[&str] = &[
    "kernel i",
    "recurrent_kernel i",
    "bias i",
    "kernel c",
    "recurrent_kernel c",
    "bias c",
    "kernel f",
    "recurrent_kernel f",
    "bias f",
    "kernel o",
    "recurrent_kernel o",
    "bias o",
];
const GRU_GATES: &[&str] = &[
    "kernel z",
    "recurrent_kernel z",
    "bias z",
    "kernel r",
    "recurrent_kernel r",
    "bias r",
    "kernel h",
    "recurrent_kernel h",
    "bias h",
];

/// Weights of a cell.
pub(super) fn cell_weights(config: &Config) -> Vec<Own> {
    match config.get(GATES).and_then(Json::as_str) {
        Some("icfo") => return LSTM_GATES.iter().map(|n| (*n, true)).collect(),
        Some("zrh") => return GRU_GATES.iter().map(|n| (*n, true)).collect(),
        _ => {}
    }
    let bias = config.get("use_bias").and_then(Json::as_bool).unwrap_or(true);
    let names = ["kernel", "recurrent_kernel"].into_iter().chain(bias.then_some("bias"));
    names.map(|n| (n, true)).collect()
}

/// Class and configuration of the cells of an `RNN`, and whether they are a stack.
fn cells(config: &Config) -> (Vec<(&str, &Config)>, bool) {
    let Some(cell) = config.get("cell") else { return (vec![], false) };
    let stacked = cell.get("config").and_then(|c| c.get("cells")).and_then(Json::as_array);
    match stacked {
        Some(list) => (list.iter().map(class_and_config).collect::<Option<_>>().unwrap_or_default(), true),
        None => (class_and_config(cell).into_iter().collect(), false),
    }
}

fn class_and_config(json: &Json) -> Option<(&str, &Config)> {
    Some((json.get("class_name")?.as_str()?, json.get("config")?.as_object()?))
}

/// Parts of an `RNN`.
pub(super) fn cells_of(layer: &Layer) -> Vec<Part<'_>> {
    let (all, stacked) = cells(&layer.config);
    if !stacked {
        return all
            .into_iter()
            .map(|(_, config)| Part::attribute("cell", Content::Weights(cell_weights(config))))
            .collect();
    }
    let mut out = vec![];
    for (i, (class, config)) in all.iter().enumerate() {
        let nth = all[..i].iter().filter(|(c, _)| c == class).count();
        let name = config.get("name").and_then(Json::as_str).unwrap_or_default();
        out.push(Part::cell(i, name, class, nth, cell_weights(config)));
    }
    out
}

/// What a cell gave: all steps in the order of time, and its last states.
struct Ran {
    steps: V,
    last: Vec<V>,
}

/// Runs cells of one kind and size over `x` (batch first) in one operator.
fn operator(
    kx: &mut Kx<'_, '_, '_>,
    cells: &[Cell],
    x: V,
    lens: Option<V>,
    initial: &[Vec<V>],
) -> R<Vec<Ran>> {
    let Some(first) = cells.first() else { return Err(kx.bad("no cell")) };
    let stack = |kx: &mut Kx<'_, '_, '_>, all: Vec<Tensor>| {
        let t = if all.len() == 1 {
            Ok(all[0].clone())
        } else {
            Tensor::concat(&all, 0).and_then(|t| t.materialize())
        };
        let t = t.map_err(|e| kx.bad(e))?;
        Ok::<V, hoist_ir::diag::Diag>(kx.konst(t))
    };
    let w = stack(kx, cells.iter().map(|c| c.w.clone()).collect())?;
    let r = stack(kx, cells.iter().map(|c| c.r.clone()).collect())?;
    let b: Option<Vec<Tensor>> = cells.iter().map(|c| c.b.clone()).collect();
    let b = b.map(|b| stack(kx, b)).transpose()?;
    let time_first = kx.transpose(x, &[1, 0, 2])?;
    let mut operands = vec![Some(time_first), Some(w), Some(r), b, lens];
    for i in 0..first.states() {
        let given: Option<Vec<V>> = initial.iter().map(|s| s.get(i).copied()).collect();
        let given = given.filter(|g| !g.is_empty());
        let Some(given) = given else { continue };
        let rows = given.into_iter().map(|v| kx.unsqueeze(v, &[0])).collect::<R<Vec<V>>>()?;
        let v = kx.concat(&rows, 0)?;
        operands.push(Some(v));
    }
    while operands.last().is_some_and(Option::is_none) {
        operands.pop();
    }
    let out = kx.op_n(spelled(cells, first), &operands, 1 + first.states())?;
    let mut ran = vec![];
    for d in 0..cells.len() {
        let pick = |kx: &mut Kx<'_, '_, '_>, v: V, axis: i64| {
            let v = if cells.len() == 1 { v } else { kx.slice(v, axis, d as i64, d as i64 + 1)? };
            kx.squeeze(v, &[axis])
        };
        let steps = pick(kx, out[0], 1)?;
        let steps = kx.transpose(steps, &[1, 0, 2])?;
        let last = out[1..].iter().map(|v| pick(kx, *v, 0)).collect::<R<Vec<V>>>()?;
        ran.push(Ran { steps, last });
    }
    Ok(ran)
}

/// `x` with its steps in reverse.
fn flipped(kx: &mut Kx<'_, '_, '_>, x: V) -> R<V> {
    kx.aten("flip", &[("self", Arg::T(x)), ("dims", Arg::Is(vec![1]))])
}

/// Elements of `x` (batch first) at `steps` of each row.
fn picked(kx: &mut Kx<'_, '_, '_>, x: V, steps: V) -> R<V> {
    let at = kx.unsqueeze(steps, &[2])?;
    kx.op(GatherNd { batch_dims: 1 }, &[x, at])
}

/// What a run over a mask needs to know.
struct Masked {
    mask: V,
    /// Steps that count are zero where they do not.
    zero: bool,
}

/// Runs one cell over the steps that count. Results are in the order in which the cell takes them.
fn over_mask(kx: &mut Kx<'_, '_, '_>, cell: Cell, x: V, masked: &Masked, initial: &[V]) -> R<(Ran, V)> {
    let (mut x, mut mask) = (x, kx.cast(masked.mask, DType::Bool)?);
    if cell.backwards {
        x = flipped(kx, x)?;
        mask = flipped(kx, mask)?;
    }
    let cell = Cell { backwards: false, ..cell };
    let ones = kx.cast(mask, DType::I64)?;
    let axis = kx.int_list(&[1]);
    let count = kx.op(ReduceSum { keepdims: false, ..ReduceSum::default() }, &[ones, axis])?;
    let lens = kx.cast(count, DType::I32)?;
    // Numbers of the steps that count come before those of the others.
    let upto = kx.aten("cumsum", &[("self", Arg::T(ones)), ("dim", Arg::I(1))])?;
    let skipped = kx.named("not", &[mask])?;
    let skipped = kx.cast(skipped, DType::I64)?;
    let order = kx.aten(
        "argsort",
        &[
            ("self", Arg::T(skipped)),
            ("dim", Arg::I(1)),
            ("descending", Arg::B(false)),
            ("stable", Arg::B(true)),
        ],
    );
    let order = match order {
        Ok(v) => v,
        Err(_) => kx.aten("argsort", &[("self", Arg::T(skipped)), ("dim", Arg::I(1))])?,
    };
    let dense = picked(kx, x, order)?;
    let given: Vec<Vec<V>> = if initial.is_empty() { vec![] } else { vec![initial.to_vec()] };
    let mut ran = operator(kx, std::slice::from_ref(&cell), dense, Some(lens), &given)?;
    let Some(Ran { steps, last }) = ran.pop() else { return Err(kx.bad("no result")) };
    let zero = kx.number(0.0, count)?;
    let any = kx.named("greater", &[count, zero])?;
    let any = kx.unsqueeze(any, &[1])?;
    let nothing = kx.number(0.0, steps)?;
    let output = kx.named("where", &[any, last[0], nothing])?;
    let mut kept = vec![];
    for (i, v) in last.iter().enumerate() {
        let other = initial.get(i).copied().unwrap_or(nothing);
        kept.push(kx.named("where", &[any, *v, other])?);
    }
    // Each step shows the last one that counts.
    let one = kx.number(1.0, upto)?;
    let at = kx.named("sub", &[upto, one])?;
    let at = super::activation::clip(&mut kx.cx, at, Some(0.0), None)?;
    let spread = picked(kx, steps, at)?;
    let begun = if masked.zero {
        mask
    } else {
        let none = kx.number(0.0, upto)?;
        kx.named("greater", &[upto, none])?
    };
    let begun = kx.unsqueeze(begun, &[2])?;
    let steps = kx.named("where", &[begun, spread, nothing])?;
    let output = if masked.zero {
        let last = kx.slice(steps, 1, -1, i64::MAX)?;
        kx.squeeze(last, &[1])?
    } else {
        output
    };
    Ok((Ran { steps, last: kept }, output))
}

/// The settings of a recurrent layer.
struct Settings {
    sequences: bool,
    state: bool,
    backwards: bool,
}

impl Settings {
    fn of(kx: &Kx<'_, '_, '_>, config: &Config) -> R<Self> {
        let flag = |key: &str| config.get(key).and_then(Json::as_bool).unwrap_or(false);
        if flag("stateful") {
            return Err(kx.unsupported("`stateful=True`, which keeps states between calls,"));
        }
        if flag("time_major") {
            return Err(kx.unsupported("`time_major=True`"));
        }
        Ok(Self {
            sequences: flag("return_sequences"),
            state: flag("return_state"),
            backwards: flag("go_backwards"),
        })
    }
}

/// States that the call gives, behind the data.
fn initial(kx: &Kx<'_, '_, '_>) -> Vec<V> {
    kx.tensors().iter().skip(1).map(|t| t.v).collect()
}

fn data(kx: &Kx<'_, '_, '_>) -> R<V> {
    let x = kx.x()?;
    match kx.rank(x)? {
        3 => Ok(x),
        n => Err(kx.bad(format!("data of {n} axes, not 3"))),
    }
}

fn single(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let config = &kx.layer.config;
    let class = super::plain(&kx.layer.class);
    let settings = Settings::of(kx, config)?;
    let (list, stacked) = if class == "RNN" { cells(config) } else { (vec![(class, config)], false) };
    if list.is_empty() {
        return Err(kx.bad("no cell"));
    }
    let (mut x, own) = (data(kx)?, kx.first()?.mask);
    let mut given = initial(kx);
    if stacked && list.len() > 1 && (settings.state || !given.is_empty()) {
        return Err(kx.unsupported("states of several cells"));
    }
    let mask = kx.mask_tensor()?;
    let many = list.len();
    let zero_where_masked = kx.flag("zero_output_for_mask", false)?;
    let (mut output, mut last) = (x, vec![]);
    for (i, (class, config)) in list.into_iter().enumerate() {
        let key = if stacked { format!("cells/{i}/") } else { "cell/".to_owned() };
        let inputs = kx.size(x, 2);
        let mut cell = Cell::read(kx, class, config, &key, inputs)?;
        if !given.is_empty() && given.len() != cell.states() {
            return Err(kx.bad(format!("{} initial states", given.len())));
        }
        // Only the first cell turns the time around.
        cell.backwards = settings.backwards && i == 0;
        let zero = zero_where_masked && i + 1 == many;
        let states = std::mem::take(&mut given);
        (x, output, last) = one(kx, cell, x, mask.map(|mask| Masked { mask, zero }), &states)?;
        if many > 1 && settings.backwards && mask.is_some() {
            return Err(kx.unsupported("a mask for several cells that run backwards"));
        }
    }
    let v = if settings.sequences { x } else { output };
    let mask = if settings.sequences { own } else { Mask::None };
    let mut out = vec![Tv { v, mask }];
    if settings.state {
        out.extend(last.into_iter().map(Tv::from));
    }
    Ok(out)
}

/// Runs one cell: all steps in the order in which it takes them, its output, its last states.
fn one(kx: &mut Kx<'_, '_, '_>, cell: Cell, x: V, masked: Option<Masked>, given: &[V]) -> R<(V, V, Vec<V>)> {
    if let Some(masked) = masked {
        let (ran, output) = over_mask(kx, cell, x, &masked, given)?;
        return Ok((ran.steps, output, ran.last));
    }
    let states = if given.is_empty() { vec![] } else { vec![given.to_vec()] };
    let backwards = cell.backwards;
    let mut ran = operator(kx, std::slice::from_ref(&cell), x, None, &states)?;
    let Some(Ran { steps, last }) = ran.pop() else { return Err(kx.bad("no result")) };
    let steps = if backwards { flipped(kx, steps)? } else { steps };
    Ok((steps, last[0], last))
}

/// Two recurrent layers in opposite directions.
pub(super) fn bidirectional(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let Some(first) = kx.layer.inner.first() else { return Err(kx.bad("no layer in it")) };
    let second = kx.layer.inner.get(1).unwrap_or(first);
    let settings = Settings::of(kx, &first.config)?;
    let mut turned = Settings::of(kx, &second.config)?;
    if kx.layer.inner.len() < 2 {
        turned.backwards = !settings.backwards;
    }
    if (settings.sequences, settings.state) != (turned.sequences, turned.state)
        || settings.backwards == turned.backwards
    {
        return Err(bad("`Bidirectional` of layers that do not fit each other").op("Bidirectional"));
    }
    let x = data(kx)?;
    let inputs = kx.size(x, 2);
    let mut cells = vec![];
    for (layer, settings, key) in
        [(first, &settings, "forward_layer/cell/"), (second, &turned, "backward_layer/cell/")]
    {
        let mut cell = Cell::read(kx, &layer.class, &layer.config, key, inputs)?;
        cell.backwards = settings.backwards;
        cells.push(cell);
    }
    let given = initial(kx);
    let half = cells[0].states();
    if !given.is_empty() && given.len() != half + cells[1].states() {
        return Err(kx.bad(format!("{} initial states", given.len())));
    }
    let states: Vec<Vec<V>> =
        if given.is_empty() { vec![] } else { vec![given[..half].to_vec(), given[half..].to_vec()] };
    let mask = kx.mask_tensor()?;
    let alike = (cells[0].kind, cells[0].units, cells[0].reset_after, cells[0].b.is_some())
        == (cells[1].kind, cells[1].units, cells[1].reset_after, cells[1].b.is_some());
    let mut found = vec![];
    if mask.is_none() && alike && !cells[0].backwards {
        for ran in operator(kx, &cells, x, None, &states)? {
            let output = ran.last[0];
            found.push((ran.steps, output, ran.last));
        }
    } else {
        for (i, cell) in cells.into_iter().enumerate() {
            let zero = settings.sequences;
            let own = states.get(i).cloned().unwrap_or_default();
            let (steps, output, last) = one(kx, cell, x, mask.map(|mask| Masked { mask, zero }), &own)?;
            // The second layer's steps are turned around, whichever runs backwards.
            let steps = if i == 1 && settings.sequences { flipped(kx, steps)? } else { steps };
            found.push((steps, output, last));
        }
    }
    let pick = |f: &(V, V, Vec<V>)| if settings.sequences { f.0 } else { f.1 };
    let (a, b) = (pick(&found[0]), pick(&found[1]));
    let mask = if settings.sequences { kx.mask()? } else { Mask::None };
    let merged = match kx.cfg("merge_mode").and_then(Json::as_str) {
        None if kx.layer.config.contains_key("merge_mode") => vec![a, b],
        None | Some("concat") => vec![kx.concat(&[a, b], 2 - i64::from(!settings.sequences))?],
        Some("sum") => vec![kx.named("add", &[a, b])?],
        Some("mul") => vec![kx.named("mul", &[a, b])?],
        Some("ave") => {
            let sum = kx.named("add", &[a, b])?;
            let two = kx.number(2.0, sum)?;
            vec![kx.named("div", &[sum, two])?]
        }
        Some(other) => return Err(kx.bad(format!("merge mode `{other}`"))),
    };
    let mut out: Vec<Tv> = merged.into_iter().map(|v| Tv { v, mask }).collect();
    if settings.state {
        out.extend(found.iter().flat_map(|f| f.2.iter().map(|v| Tv::from(*v))));
    }
    Ok(out)
}
