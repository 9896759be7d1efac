//! What a model's inputs say about calibration data.
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::eval::Value;
use hoist_ir::graph::Graph;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{TensorType, Type};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An input.
#[derive(Clone, Debug)]
pub struct Input {
    pub name: String,
    pub ty: TensorType,
    /// Sizes, of a known rank.
    pub dims: Vec<Dim>,
    /// Whether it may be absent.
    pub optional: bool,
    /// The axis that counts samples.
    pub axis: Option<usize>,
}

impl Input {
    /// Samples in a batch, where the model fixes that.
    pub fn batch(&self) -> Option<usize> {
        self.dims.get(self.axis?)?.known().and_then(|n| usize::try_from(n).ok())
    }
    /// Whether a value of these sizes is one.
    pub fn fits(&self, shape: &[usize]) -> bool {
        shape.len() == self.dims.len() && shape.iter().zip(&self.dims).all(|(n, d)| fits(d, *n))
    }
    /// As [`fits`](Self::fits), whatever the size of the axis that counts samples.
    pub fn fits_but_for_axis(&self, shape: &[usize]) -> bool {
        let all = shape.iter().zip(&self.dims).enumerate();
        shape.len() == self.dims.len() && { all }.all(|(i, (n, d))| Some(i) == self.axis || fits(d, *n))
    }
    /// The value for it.
    pub fn value(&self, tensor: Option<Tensor>) -> Option<Value> {
        let value = tensor.map(Value::from);
        if self.optional { Some(Value::Optional(value.map(Box::new))) } else { value }
    }
}

fn fits(dim: &Dim, size: usize) -> bool {
    dim.known().is_none_or(|d| d == size as u64)
}

/// The inputs in the order of the graph.
///
/// # Errors
/// `E0603` for each input that no array can be.
pub fn inputs(graph: &Graph) -> Result<Arc<[Input]>, Vec<Diag>> {
    let all: Vec<_> = graph.inputs().iter().map(|v| input(graph.value_label(*v), graph.ty(*v))).collect();
    if all.is_empty() {
        return Err(vec![Diag::error("E0603", "the model has no inputs: there is nothing to calibrate")]);
    }
    if all.iter().any(Result::is_err) {
        return Err(all.into_iter().filter_map(Result::err).collect());
    }
    let mut all: Vec<Input> = all.into_iter().flatten().collect();
    let symbol = sample_symbol(&all);
    let batched = all.iter().any(|i| i.dims.len() > 1);
    let first = all.iter().find(|i| i.dims.len() > 1);
    let open = first.is_some_and(|i| i.dims[0].known().is_none());
    for input in &mut all {
        input.axis = sample_axis(&input.dims, symbol.as_ref(), batched, open);
    }
    Ok(all.into())
}

fn input(name: String, ty: &Type) -> Result<Input, Diag> {
    let (inner, optional) = match ty {
        Type::Optional(inner) => (&**inner, true),
        _ => (ty, false),
    };
    let Type::Tensor(tensor) = inner else {
        let m = format!("input `{name}` is {ty}; calibration data are tensors");
        return Err(Diag::error("E0603", m).hint("calibrate without data: made-up inputs are used"));
    };
    let Some(dims) = tensor.shape.clone() else {
        let m = format!("the rank of input `{name}` is not known, and so not what a sample of it is");
        return Err(Diag::error("E0603", m).hint(format!("say its sizes: --input-shape {name}=N,...")));
    };
    Ok(Input { name, ty: tensor.clone(), dims, optional, axis: None })
}

/// The symbol that counts samples: the first axis of the first input with more than one.
fn sample_symbol(inputs: &[Input]) -> Option<Arc<str>> {
    inputs.iter().filter(|i| i.dims.len() > 1).find_map(|i| match i.dims.first() {
        Some(Dim::Expr(e)) => e.as_symbol().map(Arc::from),
        _ => None,
    })
}

/// The axis with the symbol; else, where the number of samples is `open`, the only axis of open size behind a first one of known size, as in a state `[2, ?, 128]`;
/// else the first one; a single axis is one of samples only beside inputs with several axes.
fn sample_axis(dims: &[Dim], symbol: Option<&Arc<str>>, batched: bool, open: bool) -> Option<usize> {
    let is = |d: &Dim| symbol.is_some_and(|s| matches!(d, Dim::Expr(e) if e.as_symbol() == Some(&**s)));
    let states = || {
        let mut unknown = dims.iter().enumerate().filter(|(_, d)| d.known().is_none());
        let (axis, _) = unknown.next()?;
        (open && axis > 0 && unknown.next().is_none()).then_some(axis)
    };
    dims.iter().position(is).or_else(states).or_else(|| (batched && !dims.is_empty()).then_some(0))
}

/// Checks that each symbol has one size.
///
/// # Errors
/// What is wrong.
pub fn check_symbols(inputs: &[Input], values: &[Option<&Tensor>]) -> Result<(), String> {
    let mut sizes: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (input, tensor) in inputs.iter().zip(values) {
        let Some(tensor) = tensor else { continue };
        for (dim, &size) in input.dims.iter().zip(tensor.shape()) {
            let Dim::Expr(e) = dim else { continue };
            let Some(symbol) = e.as_symbol() else { continue };
            let (have, first) = *sizes.entry(symbol).or_insert((size, &input.name));
            if have != size {
                return Err(format!(
                    "`{symbol}` is {have} in input `{first}` and {size} in `{}`",
                    input.name
                ));
            }
        }
    }
    Ok(())
}
