//! Whether given inputs fit a graph's interface.
use hoist_ir::diag::Diag;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::eval::Value;
use hoist_ir::graph::Graph;
use hoist_ir::types::{TensorType, Type};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Sizes of symbols, with the input that fixed each.
type Bound = BTreeMap<Arc<str>, (u64, String)>;

fn unfit(message: String) -> Diag {
    Diag::error("E0603", message)
}

/// Refuses inputs that differ from the interface in number, kind, element type, rank or a fixed size, or that give one symbol two
/// sizes.
///
/// # Errors
/// `E0603`, naming the input.
pub fn check_inputs(graph: &Graph, inputs: &[Value]) -> Result<(), Diag> {
    let wanted = graph.inputs();
    if wanted.len() != inputs.len() {
        let names: Vec<String> = wanted.iter().map(|v| graph.value_label(*v)).collect();
        let m = format!("{} inputs are given, the model has {}", inputs.len(), wanted.len());
        return Err(unfit(m).hint(format!("its inputs are: {}", names.join(", "))));
    }
    let mut bound = Bound::new();
    for (v, value) in wanted.iter().zip(inputs) {
        check_value(graph.ty(*v), value, &graph.value_label(*v), &mut bound)?;
    }
    // Expressions over symbols wait until every bare symbol is bound.
    for (v, value) in wanted.iter().zip(inputs) {
        check_all_expressions(graph.ty(*v), value, &graph.value_label(*v), &bound)?;
    }
    Ok(())
}

fn check_all_expressions(ty: &Type, value: &Value, name: &str, bound: &Bound) -> Result<(), Diag> {
    match (ty, value) {
        (Type::Tensor(ty), Value::Tensor(t)) => check_expressions(ty, t.shape(), name, bound),
        (Type::Sequence(ty), Value::Sequence(values)) => {
            values.iter().try_for_each(|v| check_all_expressions(ty, v, name, bound))
        }
        (Type::Optional(ty), Value::Optional(Some(v))) => check_all_expressions(ty, v, name, bound),
        _ => Ok(()),
    }
}

fn check_value(ty: &Type, value: &Value, name: &str, bound: &mut Bound) -> Result<(), Diag> {
    match (ty, value) {
        (Type::Unknown, _) | (Type::Optional(_), Value::Optional(None)) => Ok(()),
        (Type::Tensor(ty), Value::Tensor(t)) => check_tensor(ty, &t.ty(), t.shape(), name, bound),
        (Type::Sequence(ty), Value::Sequence(values)) => {
            values.iter().try_for_each(|v| check_value(ty, v, name, bound))
        }
        (Type::Optional(ty), Value::Optional(Some(v))) => check_value(ty, v, name, bound),
        _ => Err(unfit(format!("input `{name}` must be {ty}, is {}", value.ty()))),
    }
}

fn check_tensor(
    want: &TensorType,
    have: &TensorType,
    shape: &[usize],
    name: &str,
    bound: &mut Bound,
) -> Result<(), Diag> {
    let wrong = || unfit(format!("input `{name}` must be {want}, is {have}"));
    if want.dtype != have.dtype {
        return Err(wrong());
    }
    let Some(dims) = &want.shape else { return Ok(()) };
    if dims.len() != shape.len() {
        return Err(wrong());
    }
    for (dim, &size) in dims.iter().zip(shape) {
        match dim {
            Dim::Known(n) if *n != size as u64 => return Err(wrong()),
            Dim::Expr(e) => {
                let Some(symbol) = e.as_symbol() else { continue };
                let first = bound.entry(symbol.into()).or_insert_with(|| (size as u64, name.to_owned()));
                if first.0 != size as u64 {
                    return Err(wrong().note(format!("`{symbol}` is {} in input `{}`", first.0, first.1)));
                }
            }
            Dim::Known(_) | Dim::Unknown => {}
        }
    }
    Ok(())
}

fn check_expressions(want: &TensorType, shape: &[usize], name: &str, bound: &Bound) -> Result<(), Diag> {
    let value = |s: &str| bound.get(s).and_then(|(n, _)| i64::try_from(*n).ok()).map(SymInt::from);
    for (i, (dim, &size)) in want.shape.iter().flatten().zip(shape).enumerate() {
        let Dim::Expr(e) = dim else { continue };
        let Some(n) = e.substitute(&value).and_then(|v| v.as_const()) else { continue };
        if i64::try_from(size) != Ok(n) {
            return Err(unfit(format!("axis {i} of input `{name}` must be {e} = {n}, is {size}")));
        }
    }
    Ok(())
}
