//! Models as graphs: each call of a layer in an order in which its operands are there.
use super::config::{Arg, At, Layer, Net};
use super::kx::{Kx, Mask, Tv, Value};
use super::layers;
use super::upgrade;
use super::weights::Weights;
use crate::tensorflow::attrs::Attrs;
use crate::tensorflow::bad;
use crate::tensorflow::lift::Lifter;
use crate::tensorflow::lift::cx::{Cx, R};
use crate::tensorflow::program::Node;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Origin, OriginPart};
use std::collections::HashMap;

/// Calls of layers that one model may expand to.
const MOST_CALLS: usize = 1 << 18;

/// Results of calls; none for what could not be lifted.
type Done = HashMap<(usize, usize), Option<Vec<Tv>>>;

/// What `net` gives for these inputs; none where that could not be lifted, which is remembered in `l`.
pub(super) fn run(
    l: &mut Lifter<'_>,
    b: &mut Builder<'_>,
    weights: &Weights,
    net: &Net,
    prefix: &str,
    inputs: &[Tv],
) -> R<Vec<Option<Tv>>> {
    if inputs.len() != net.inputs.len() {
        return Err(bad(format!("a model of {} inputs is called with {}", net.inputs.len(), inputs.len())));
    }
    let mut done: Done = HashMap::new();
    for (at, value) in net.inputs.iter().zip(inputs) {
        done.insert((at.layer, at.call), Some(vec![*value]));
    }
    for (layer, number) in order(net, &done)? {
        weights.count(MOST_CALLS)?;
        let result = one(l, b, weights, net, prefix, (layer, number), &done);
        done.insert((layer, number), result);
    }
    Ok(net.outputs.iter().map(|at| get(&done, *at).ok().flatten()).collect())
}

/// The calls that the outputs need, each behind those it needs.
fn order(net: &Net, done: &Done) -> R<Vec<(usize, usize)>> {
    let mut state: HashMap<(usize, usize), bool> = done.keys().map(|k| (*k, true)).collect();
    let mut out = vec![];
    for root in &net.outputs {
        let mut stack = vec![((root.layer, root.call), false)];
        while let Some((at, ready)) = stack.pop() {
            if ready {
                state.insert(at, true);
                out.push(at);
                continue;
            }
            match state.get(&at) {
                Some(true) => continue,
                Some(false) => {
                    return Err(bad(format!("`{}` needs its own result", net.layers[at.0].name)));
                }
                None => {}
            }
            let layer = net.layers.get(at.0).ok_or_else(|| bad("a reference to no layer"))?;
            let Some(call) = layer.calls.get(at.1) else {
                return Err(bad(format!(
                    "layer `{}` is never called, or less often than its results are used",
                    layer.name
                )));
            };
            state.insert(at, false);
            stack.push((at, true));
            let mut needs = vec![];
            for arg in call.args.iter().chain(call.named.iter().map(|(_, a)| a)) {
                references(arg, &mut needs);
            }
            for need in needs.into_iter().rev() {
                let key = (need.layer, need.call);
                match state.get(&key) {
                    Some(true) => {}
                    Some(false) => {
                        return Err(bad(format!("`{}` needs its own result", net.layers[key.0].name)));
                    }
                    None => stack.push((key, false)),
                }
            }
        }
    }
    Ok(out)
}

fn references(arg: &Arg, out: &mut Vec<At>) {
    match arg {
        Arg::Tensor(at) => out.push(*at),
        Arg::List(all) => all.iter().for_each(|a| references(a, out)),
        Arg::Json(_) => {}
    }
}

fn get(done: &Done, at: At) -> R<Option<Tv>> {
    match done.get(&(at.layer, at.call)) {
        Some(Some(all)) => match all.get(at.port) {
            Some(t) => Ok(Some(*t)),
            None => Err(bad(format!("result {} of a layer that gives {}", at.port, all.len()))),
        },
        _ => Ok(None),
    }
}

/// An argument as a value; none where an operand could not be lifted.
fn value(done: &Done, arg: &Arg) -> R<Option<Value>> {
    Ok(match arg {
        Arg::Tensor(at) => get(done, *at)?.map(Value::Tensor),
        Arg::Json(json) => Some(Value::Json(json.clone())),
        Arg::List(all) => {
            let all: Option<Vec<Value>> =
                all.iter().map(|a| value(done, a)).collect::<R<Vec<_>>>()?.into_iter().collect();
            all.map(Value::List)
        }
    })
}

/// Results of one call; what is wrong with it is remembered.
fn one(
    l: &mut Lifter<'_>,
    b: &mut Builder<'_>,
    weights: &Weights,
    net: &Net,
    prefix: &str,
    (layer, number): (usize, usize),
    done: &Done,
) -> Option<Vec<Tv>> {
    let layer = &net.layers[layer];
    let spec = &layer.calls[number];
    let found = (|| -> R<Option<Vec<Tv>>> {
        let args: Option<Vec<Value>> =
            spec.args.iter().map(|a| value(done, a)).collect::<R<Vec<_>>>()?.into_iter().collect();
        let named: Option<Vec<(String, Value)>> = spec
            .named
            .iter()
            .map(|(k, a)| Ok(value(done, a)?.map(|v| (k.clone(), v))))
            .collect::<R<Vec<_>>>()?
            .into_iter()
            .collect();
        let (Some(args), Some(named)) = (args, named) else { return Ok(None) };
        call(l, b, weights, layer, format!("{prefix}{}/", layer.name), args, named).map(Some)
    })();
    found.unwrap_or_else(|d| {
        l.block(if d.node.is_none() { d.node(&*layer.name) } else { d });
        None
    })
}

/// Results of `layer` on these arguments; `prefix` is where its weights are.
pub(super) fn call(
    l: &mut Lifter<'_>,
    b: &mut Builder<'_>,
    weights: &Weights,
    layer: &Layer,
    prefix: String,
    args: Vec<Value>,
    named: Vec<(String, Value)>,
) -> R<Vec<Tv>> {
    // Keras 3 notes the argument with every call, and what runs the model decides.
    let training = |v: &Value| matches!(v, Value::Json(serde_json::Value::Bool(true)));
    if weights.is_old() && named.iter().any(|(k, v)| k == "training" && training(v)) {
        let d = Diag::error("E0301", format!("`{}` called with `training=True` is not read", layer.class));
        return Err(d.op(&*layer.class).hint("save the model as it is to run: training=False"));
    }
    if let Some(net) = &layer.net {
        let inputs: Vec<Tv> = args.iter().flat_map(Value::tensors).collect();
        let failed = || bad(format!("model `{}` could not be read", layer.name)).node(&*layer.name);
        let outputs = run(l, b, weights, net, &prefix, &inputs)?;
        return outputs.into_iter().collect::<Option<_>>().ok_or_else(failed);
    }
    let part = OriginPart { name: layer.name.clone(), op: layer.class.clone(), module: None, line: None };
    b.set_origin(Origin::new(part));
    b.set_name(Some(layer.name.clone()));
    let node = Node {
        name: layer.name.clone(),
        op: layer.class.clone(),
        inputs: vec![],
        controls: vec![],
        attrs: Attrs::default(),
    };
    let cx = Cx { l, b, node: &node, attrs: &node.attrs, inputs: vec![] };
    let mut kx = Kx { cx, layer, weights, prefix, args, named };
    if layer.foreign {
        return Err(not_read(layer));
    }
    if let Some(name) = layers::operation(layer) {
        let masked = weights.is_old() && kx.tensors().iter().any(|t| t.mask != Mask::None);
        let mut out = layers::lift_operation(&mut kx, &name)?;
        out.iter_mut().filter(|_| masked).for_each(|t| t.mask = Mask::Odd);
        return Ok(out);
    }
    let row = layers::find(&layer.class).ok_or_else(|| not_read(layer))?;
    if let Some(why) = layer.config.get(upgrade::REFUSED).and_then(|w| w.as_str()) {
        return Err(kx.unsupported(why));
    }
    converted(&mut kx)?;
    let operands = kx.tensors();
    let mut out = (row.2)(&mut kx)?;
    for t in &mut out {
        if t.mask == Mask::None {
            t.mask = (row.1)(&operands);
        }
    }
    Ok(out)
}

/// Casts operands of other real types to the one that the layer computes in, as Keras does.
fn converted(kx: &mut Kx<'_, '_, '_>) -> R<()> {
    let Some(to) = kx.compute_type()? else { return Ok(()) };
    let mut args = std::mem::take(&mut kx.args);
    let mut named = std::mem::take(&mut kx.named);
    for value in args.iter_mut().chain(named.iter_mut().map(|(_, v)| v)) {
        convert(kx, value, to)?;
    }
    (kx.args, kx.named) = (args, named);
    Ok(())
}

fn convert(kx: &mut Kx<'_, '_, '_>, value: &mut Value, to: hoist_ir::dtype::DType) -> R<()> {
    match value {
        Value::Tensor(t) if kx.dtype(t.v)?.is_float() => {
            t.v = kx.cast(t.v, to)?;
            Ok(())
        }
        Value::List(all) => all.iter_mut().try_for_each(|v| convert(kx, v, to)),
        _ => Ok(()),
    }
}

/// That the class of `layer` is not supported, with what comes nearest to it.
fn not_read(layer: &Layer) -> Diag {
    let class = layers::plain(&layer.class);
    let d = Diag::error("E0301", format!("Keras layer `{class}` is not supported")).op(class);
    if class == "Lambda" {
        return d.hint("a Lambda layer is a program; export a SavedModel: model.export(\"folder\")");
    }
    if layer.foreign {
        return d.hint("layers of one's own are programs; export a SavedModel: model.export(\"folder\")");
    }
    let near = layers::covered().map(|(_, name)| (strsim::jaro_winkler(name, class), name));
    match near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(alike, _)| *alike > 0.93) {
        Some((_, name)) => d.hint(format!("the nearest layer that is supported is `{name}`")),
        None => d.hint("layers of one's own are programs; export a SavedModel: model.export(\"folder\")"),
    }
}
