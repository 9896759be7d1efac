//! Whether a model whose sizes were made dynamic still is the same model.
//!
//! Samples of a batch are independent: where a size is called one, results that say otherwise are refused. Along other axes (time, in recurrent models)
//! they may depend on each other.
use crate::gate::{Bounds, affordable, executor, first_reason, within};
use hoist_ir::diag::{Diag, Diags, Severity};
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::eval::Value;
use hoist_ir::model::{Executor as _, Model};
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;
use hoist_passes::interface::dynamic::Wish;
use hoist_runtime::inputs::{DimBindings, Open, seeded_open};
use std::time::Duration;

/// Time for all runs.
const TIME: Duration = Duration::from_mins(1);

/// A size with a name, and what it was.
pub type Old = (String, u64);

/// Runs `before` and `after` at the old sizes, which must give the same, and `after` at others. Where the first axis was 1 everywhere, two samples
/// together must give what each gives alone, or there is a warning. Notes say what could not be run.
///
/// # Errors
/// `E0605` when results differ at the old sizes, or `after` does not run at others.
pub fn check(before: &Model, after: &Model, wishes: &[Wish], sizes: &[Old]) -> Result<Vec<Diag>, Diags> {
    let (before, after, wishes, sizes) = (before.clone(), after.clone(), wishes.to_vec(), sizes.to_vec());
    let note = |reason: String| {
        let m = format!("the sizes made dynamic were not checked by running the model: {reason}");
        vec![Diag { severity: Severity::Note, ..Diag::error("E0602", m) }]
    };
    match within(TIME, move || run(&before, &after, &wishes, &sizes)) {
        Ok(Ok(Ok(found))) => Ok(found.into_iter().collect()),
        Ok(Ok(Err(d))) => Err(d.into()),
        Ok(Err(reason)) | Err(reason) => Ok(note(reason)),
    }
}

/// What could not be run, what is wrong, or a warning.
type Found = Result<Result<Option<Diag>, Diag>, String>;

fn made(model: &Model, seed: u64, sizes: &[Old]) -> Result<Vec<Value>, String> {
    let bindings = DimBindings(sizes.iter().cloned().collect());
    let inputs = seeded_open(&model.graph, seed, &bindings, Open::Small).map_err(|d| d.message)?;
    affordable(&model.graph, &inputs.iter().map(Value::ty).collect::<Vec<_>>())?;
    Ok(inputs)
}

fn run(before: &Model, after: &Model, wishes: &[Wish], sizes: &[Old]) -> Found {
    let of = |model: &Model| executor(model).map_err(|diags| first_reason(&diags));
    let (old, new) = (of(before)?, of(after)?);
    let inputs = made(before, 0, &[])?;
    let want = old.run(inputs.clone()).map_err(|d| d.message)?;
    let names: Vec<String> = before.graph.outputs().iter().map(|o| o.name.to_string()).collect();
    let bounds = Bounds::standard(&before.graph);
    let wrong = |m: String| Ok(Err(Diag::error("E0605", m)));
    match new.run(inputs.clone()) {
        Ok(got) if bounds.compare(&got, &want, &names).fits() => {}
        Ok(_) => return wrong("the model does not compute the same at the old sizes any more".to_owned()),
        Err(d) => return wrong(format!("the model does not run at the old sizes any more: {}", d.message)),
    }
    let larger: Vec<Old> = sizes.iter().map(|(name, old)| (name.clone(), old + 1)).collect();
    if let Err(d) = new.run(made(after, 0, &larger)?) {
        let shown: Vec<String> = larger.iter().map(|(name, n)| format!("{name}={n}")).collect();
        let d = Diag { message: format!("with {}: {}", shown.join(", "), d.message), code: "E0605", ..d };
        return Ok(Err(d));
    }
    let [(symbol, 1)] = sizes else { return Ok(Ok(None)) };
    if wishes.iter().any(|w| w.axis != 0) {
        return Ok(Ok(None));
    }
    let together = || -> Option<bool> {
        let mut other = made(before, 1, &[]).ok()?;
        let mut both = inputs.clone();
        for (i, v) in before.graph.inputs().iter().enumerate() {
            if wishes.iter().any(|w| w.input == before.graph.value_label(*v)) {
                both[i] = joined(&inputs[i], &other[i], 0)?;
            } else {
                other[i] = inputs[i].clone();
            }
        }
        let second = old.run(other).ok()?;
        let got = new.run(both).ok()?;
        let outputs = after.graph.interface().outputs;
        let each = outputs.iter().zip(want.iter().zip(&second));
        let want: Vec<Value> =
            each.map(|((_, ty), (a, b))| joined(a, b, axis_of(ty, symbol)?)).collect::<Option<_>>()?;
        Some(bounds.compare(&got, &want, &names).fits())
    };
    let mixed = together() == Some(false);
    Ok(Ok(mixed.then(|| {
        let m = format!("two samples along `{symbol}` give something else together than each alone");
        Diag::warning("E0605", m)
            .hint("the model may mix what lies along that axis; compare results before using it")
    })))
}

/// Both values behind each other along `axis`.
fn joined(a: &Value, b: &Value, axis: usize) -> Option<Value> {
    let (Value::Tensor(a), Value::Tensor(b)) = (a, b) else { return None };
    let both = Tensor::concat(&[a.clone(), b.clone()], axis).ok()?.materialize().ok()?;
    Some(Value::Tensor(both))
}

/// The only axis of size `symbol`.
fn axis_of(ty: &Type, symbol: &str) -> Option<usize> {
    let shape = ty.as_tensor()?.shape.as_ref()?;
    let is = |d: &Dim| matches!(d, Dim::Expr(e) if **e == SymInt::symbol(symbol));
    let mut axes = shape.iter().enumerate().filter(|(_, d)| is(d));
    let (axis, _) = axes.next()?;
    axes.next().is_none().then_some(axis)
}
