//! Fixed sizes of inputs made dynamic.
//!
//! A model that was exported with fixed sizes restates them: in the target of a reshape, in the sizes of an expand or resize, in the end of a slice,
//! in operands of size 1 that are joined with data. The graph is made anew with symbols in place of those sizes, and each restatement is
//! generalized by a rule of [`rules`] so that the result is the same at the old size. Then all types are inferred at other sizes. Every node that does
//! not fit there, or that no rule can decide about, is listed.
mod groups;
mod rules;
mod sizes;

use super::rebuild::Rebuild;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dim::Dim;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::types::{TensorType, Type};
use sizes::Symbol;
use std::collections::BTreeMap;

/// A size that is to be dynamic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Name of the input.
    pub input: String,
    /// Axis; negative counts from the end.
    pub axis: i64,
    /// Name of the size.
    pub name: String,
}

/// A fixed size that has a name now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freed {
    /// Its name.
    pub name: String,
    /// What it was.
    pub old: u64,
}

/// Gives the sizes that `wishes` name a symbol each.
///
/// # Errors
/// `E0603` for wishes that fit no input, and `E0605` for every node that holds one of the sizes in a way that has no meaning at others.
pub fn free(g: &mut Graph, wishes: &[Wish]) -> Result<Vec<Freed>, Diags> {
    let symbols = resolve(g, wishes)?;
    let (new, diags) = rebuilt(g, &symbols);
    diags.into_result()?;
    let new = new?;
    let mut diags = Diags::default();
    for size in [|old: u64| old + 1, |old: u64| 2 * old + 3] {
        diags.0.extend(misfits(&new, &symbols, size));
    }
    diags.0.dedup_by(|a, b| a.node == b.node);
    diags.into_result()?;
    *g = new;
    Ok(symbols.into_iter().map(|s| Freed { name: s.name, old: s.old }).collect())
}

/// What `wishes` ask for, one entry per name.
fn resolve(g: &Graph, wishes: &[Wish]) -> Result<Vec<Symbol>, Diags> {
    let mut symbols: Vec<Symbol> = vec![];
    let mut diags = Diags::default();
    for wish in wishes {
        if let Err(d) = resolve_one(g, wish, &mut symbols) {
            diags.push(d);
        }
    }
    diags.into_result()?;
    Ok(symbols)
}

fn resolve_one(g: &Graph, wish: &Wish, symbols: &mut Vec<Symbol>) -> Result<(), Diag> {
    let bad = |m: String| Diag::error("E0603", m);
    let at = g.inputs().iter().position(|v| g.value_label(*v) == wish.input);
    let Some(at) = at else {
        let names: Vec<String> = g.inputs().iter().map(|v| g.value_label(*v)).collect();
        return Err(bad(format!("there is no input `{}`", wish.input))
            .hint(format!("there are: {}", names.join(", "))));
    };
    let ty = g.ty(g.inputs()[at]);
    let Some(shape) = ty.as_tensor().and_then(|t| t.shape.as_ref()) else {
        return Err(bad(format!("input `{}` is {ty}, which has no axes", wish.input)));
    };
    let axis = resolve_axis(wish.axis, shape.len());
    let axis = axis.map_err(|e| bad(format!("input `{}` is {ty}: {}", wish.input, e.message)))?;
    let old = match &shape[axis] {
        Dim::Known(n) => *n,
        Dim::Expr(e) if e.as_symbol() == Some(&wish.name) => return Ok(()),
        dim => {
            let m = format!("axis {axis} of input `{}` is {dim} already", wish.input);
            return Err(bad(m).hint("only a fixed size can be made dynamic"));
        }
    };
    let used = g.inputs().iter().filter_map(|v| g.ty(*v).as_tensor()?.shape.as_ref()).flatten();
    let taken = |d: &Dim| matches!(d, Dim::Expr(e) if e.symbols().iter().any(|s| **s == *wish.name));
    match symbols.iter_mut().find(|s| s.name == wish.name) {
        Some(s) if s.old != old => {
            let m = format!("`{}` is to be {} and {old}, which are two sizes", wish.name, s.old);
            Err(bad(m).hint("give each its own name"))
        }
        Some(s) => {
            s.places.push((at, axis));
            Ok(())
        }
        None if used.into_iter().any(taken) => {
            Err(bad(format!("`{}` is the name of another size already", wish.name)))
        }
        None => {
            symbols.push(Symbol { name: wish.name.clone(), old, places: vec![(at, axis)] });
            Ok(())
        }
    }
}

/// The types of the inputs with `size` in place of each of `symbols`.
fn input_types(g: &Graph, symbols: &[Symbol], size: &dyn Fn(&Symbol) -> Dim) -> Vec<Type> {
    let mut types: Vec<Type> = g.inputs().iter().map(|v| g.ty(*v).clone()).collect();
    for s in symbols {
        for (at, axis) in &s.places {
            if let Type::Tensor(TensorType { shape: Some(shape), .. }) = &mut types[*at] {
                shape[*axis] = size(s);
            }
        }
    }
    types
}

/// The graph with symbols, and what stands against it.
fn rebuilt(g: &Graph, symbols: &[Symbol]) -> (Result<Graph, Diags>, Diags) {
    let mut r = Rebuild::new(g);
    for (v, ty) in g.inputs().iter().zip(input_types(g, symbols, &|s| Dim::symbol(&s.name))) {
        r.input(*v, &g.value_label(*v), ty);
    }
    let mut diags = Diags::default();
    let mut sizes = sizes::Sizes::new(symbols);
    // The same at the old sizes, where more is known than the file says.
    let mut fixed = Rebuild::new(g);
    for v in g.inputs() {
        fixed.input(*v, &g.value_label(*v), g.ty(*v).clone());
    }
    for n in g.order() {
        if rules::follow(&mut fixed, n).is_err() {
            stand_in(&mut fixed, n);
        }
        let done = rules::generalize(&mut r, &fixed, n, &mut sizes);
        if let Err(d) = done {
            diags.push(against(g, n, d));
            stand_in(&mut r, n);
        }
    }
    let new = match r.outputs() {
        Ok(()) => Ok(r.finish()),
        Err(d) => Err(d.into()),
    };
    (new, diags)
}

/// Lets what follows `n` go on without knowing its results.
fn stand_in(r: &mut Rebuild<'_>, n: NodeId) {
    for v in r.old().node(n).outputs() {
        if !r.has(*v) {
            r.input(*v, "", Type::Unknown);
        }
    }
}

/// The error for node `n`, to which `d` happened.
fn against(g: &Graph, n: NodeId, d: Diag) -> Diag {
    let node = g.node(n);
    Diag::error("E0605", d.message).op(node.op().name()).node(g.node_label(n)).origin(node.origin.clone())
}

/// Nodes whose operands do not fit at other sizes.
fn misfits(g: &Graph, symbols: &[Symbol], size: fn(u64) -> u64) -> Vec<Diag> {
    let mut r = Rebuild::new(g);
    for (v, ty) in g.inputs().iter().zip(input_types(g, symbols, &|s| Dim::Known(size(s.old)))) {
        r.input(*v, &g.value_label(*v), ty);
    }
    let sizes: BTreeMap<&str, u64> = symbols.iter().map(|s| (s.name.as_str(), size(s.old))).collect();
    let shown: Vec<String> = sizes.iter().map(|(name, n)| format!("{name}={n}")).collect();
    let mut diags = vec![];
    for n in g.order() {
        if let Err(mut d) = r.copy(n) {
            d.message = format!("with {}: {}", shown.join(", "), d.message);
            diags.push(against(g, n, d));
            stand_in(&mut r, n);
        }
    }
    diags
}

#[cfg(test)]
mod tests;
