//! How large the numbers of a model are when it runs, and what is asked of 16-bit floats.
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value;
use hoist_ir::graph::ValueId;
use hoist_ir::model::Executor;
use hoist_ir::tensor::Tensor;
use std::collections::HashMap;

/// Largest finite magnitudes of values of the main graph, over all runs seen.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranges {
    largest: HashMap<ValueId, f64>,
    /// Runs that were seen.
    pub runs: usize,
}

impl Ranges {
    /// Runs `executor` on each list of inputs and takes in all results of nodes.
    ///
    /// # Errors
    /// Those of the executor.
    pub fn observe(executor: &dyn Executor, inputs: Vec<Vec<Value>>) -> Result<Self, Diag> {
        let mut ranges = Self::default();
        for inputs in inputs {
            executor.observe(inputs, &mut |v, value| ranges.take_in(v, value))?;
            ranges.runs += 1;
        }
        Ok(ranges)
    }
    fn take_in(&mut self, v: ValueId, value: &Value) {
        let Value::Tensor(t) = value else { return };
        let largest = self.largest.entry(v).or_insert(0.0);
        *largest = magnitude(t).max(*largest);
    }
    /// Largest finite magnitude of `v`, where it was computed.
    pub fn largest(&self, v: ValueId) -> Option<f64> {
        self.largest.get(&v).copied()
    }
}

/// Largest finite magnitude of a tensor of numbers, read in pieces; 0 for other tensors.
fn magnitude(t: &Tensor) -> f64 {
    let of = |values: &mut dyn Iterator<Item = f64>| {
        values.filter(|v| v.is_finite()).fold(0.0, |m: f64, v| m.max(v.abs()))
    };
    match t.dtype() {
        DType::F32 => t.to_f32s().map_or(0.0, |v| of(&mut v.iter().map(|x| f64::from(*x)))),
        d if d.is_float() => t.to_f64s().map_or(0.0, |v| of(&mut v.into_iter())),
        d if d.is_int() => t.to_i64s().map_or(0.0, |v| of(&mut v.into_iter().map(|x| x as f64))),
        _ => 0.0,
    }
}

/// What is asked of `convert-floats`.
#[derive(Clone, Debug, PartialEq)]
pub struct Floats {
    /// `f16` or `bf16`.
    pub to: DType,
    /// Magnitudes seen when the graph ran.
    pub ranges: Ranges,
    /// Operators that stay in `f32`, by their names in Hoist or in ONNX.
    pub f32_ops: Vec<String>,
    /// Nodes that stay in `f32`, by name.
    pub f32_nodes: Vec<String>,
}

impl Floats {
    /// Floats of that type, without further wishes.
    pub fn new(to: DType) -> Self {
        Self { to, ranges: Ranges::default(), f32_ops: vec![], f32_nodes: vec![] }
    }
    /// Largest finite number of the type.
    pub fn most(&self) -> f64 {
        if self.to == DType::F16 { 65504.0 } else { f64::from(f32::MAX) }
    }
    /// Smallest positive number that is stored with all its bits.
    pub fn least(&self) -> f64 {
        if self.to == DType::F16 { 6.103_515_625e-5 } else { f64::from(f32::MIN_POSITIVE) }
    }
    /// Largest integer up to which all are exact.
    pub fn exact(&self) -> f64 {
        if self.to == DType::F16 { 2048.0 } else { 256.0 }
    }
}
