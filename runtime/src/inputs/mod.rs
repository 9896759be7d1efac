//! Inputs for a model: seeded ones, and arrays in `.npz` files.
//!
//! Seeded inputs are the same on every machine: they come from `SplitMix64` and exact arithmetic alone.
//!
//! - Floats have mean 0 and variance 1: the sum of four uniform 16-bit numbers, centred and scaled by `sqrt(3)`, rounded once to the
//!   element type. They lie within 3.47 of 0.
//! - Integers that (through operators that only move data) index an axis lie inside that axis. Other 8-bit integers cover their
//!   whole range, and all others are 0 or 1.
//! - Truth values are fair coins, texts are `t0` to `t7`. Sequences have two elements, optional values are present.

mod bounds;
mod files;
mod random;
mod sizes;

use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value;
use hoist_ir::graph::Graph;
use hoist_ir::tensor::convert::Wide;
use hoist_ir::tensor::{Tensor, byte_count, element_count};
use hoist_ir::types::{TensorType, Type};
use num_complex::Complex;
use random::SplitMix64;

pub use files::{from_npz, stored_type, tensor_from_npy, tensor_of, tensors_from_npz, to_npz};
pub use sizes::{DimBindings, Open};

/// Most bytes of one seeded input.
const MAX_BYTES: usize = 2 << 30;

/// One seeded value per graph input. Sizes that are not fixed come from `sizes`, else from [`DimBindings`]' defaults.
///
/// # Errors
/// `E0603` for inputs whose rank or type is unknown, and for bindings that give a negative or too large size.
pub fn seeded(graph: &Graph, seed: u64, sizes: &DimBindings) -> Result<Vec<Value>, Diag> {
    seeded_open(graph, seed, sizes, Open::Small)
}

/// As [`seeded`], with a choice of what dimensions get for which no size is given.
///
/// # Errors
/// Those of [`seeded`].
pub fn seeded_open(graph: &Graph, seed: u64, sizes: &DimBindings, open: Open) -> Result<Vec<Value>, Diag> {
    Seeded::new(graph, sizes, open).values(seed)
}

/// What is made up for the inputs of a graph, for any seed; the graph itself is not needed any more.
pub struct Seeded {
    inputs: Vec<SeededInput>,
    sizes: sizes::Chosen,
}

struct SeededInput {
    name: String,
    ty: Type,
    /// Size of the axis that it indexes.
    bound: Option<u64>,
}

impl Seeded {
    /// As for [`seeded_open`].
    pub fn new(graph: &Graph, sizes: &DimBindings, open: Open) -> Self {
        let sizes = sizes.choose(graph, open);
        let input = |v: &hoist_ir::graph::ValueId| SeededInput {
            name: graph.value_label(*v),
            ty: graph.ty(*v).clone(),
            bound: bounds::index_bound(graph, *v, &sizes),
        };
        let inputs = graph.inputs().iter().map(input).collect();
        Self { inputs, sizes }
    }

    /// One value per input.
    ///
    /// # Errors
    /// Those of [`seeded`].
    pub fn values(&self, seed: u64) -> Result<Vec<Value>, Diag> {
        let input = |(i, input): (usize, &SeededInput)| {
            let mut random = SplitMix64::new(seed, i as u64);
            make(&input.ty, &input.name, &self.sizes, input.bound, &mut random)
        };
        self.inputs.iter().enumerate().map(input).collect()
    }
}

fn make(
    ty: &Type,
    name: &str,
    sizes: &sizes::Chosen,
    bound: Option<u64>,
    random: &mut SplitMix64,
) -> Result<Value, Diag> {
    match ty {
        Type::Tensor(t) => Ok(tensor(t, name, sizes, bound, random)?.into()),
        Type::Sequence(t) => {
            let two = (0..2).map(|_| make(t, name, sizes, bound, random)).collect::<Result<_, _>>()?;
            Ok(Value::Sequence(two))
        }
        Type::Optional(t) => Ok(Value::Optional(Some(Box::new(make(t, name, sizes, bound, random)?)))),
        Type::Map(..) | Type::Unknown => {
            let m = format!("no value can be made up for input `{name}` of type {ty}");
            Err(Diag::error("E0603", m).hint("give the inputs in a .npz file"))
        }
    }
}

fn tensor(
    ty: &TensorType,
    name: &str,
    sizes: &sizes::Chosen,
    bound: Option<u64>,
    random: &mut SplitMix64,
) -> Result<Tensor, Diag> {
    let shape = sizes.shape(ty, name)?;
    let dtype = ty.dtype;
    let width = if dtype == DType::String { DType::F64 } else { dtype };
    let fits = byte_count(width, &shape).is_ok_and(|n| n <= MAX_BYTES);
    let count = element_count(&shape).filter(|_| fits).ok_or_else(|| {
        let m = format!("input `{name}` of shape {shape:?} would take more than {MAX_BYTES} bytes");
        Diag::error("E0603", m)
    })?;
    let wide = match dtype {
        DType::String => Wide::Str((0..count).map(|_| format!("t{}", random.below(8))).collect()),
        DType::Bool => Wide::I64((0..count).map(|_| random.below(2) as i64).collect()),
        DType::C64 | DType::C128 => {
            Wide::C128((0..count).map(|_| Complex::new(random.normal(), random.normal())).collect())
        }
        DType::F64 => Wide::F64((0..count).map(|_| random.normal()).collect()),
        _ if dtype.is_float() => Wide::F32((0..count).map(|_| random.normal() as f32).collect()),
        _ => {
            let (low, range) = int_range(dtype, bound);
            Wide::I64((0..count).map(|_| low + random.below(range) as i64).collect())
        }
    };
    Tensor::from_wide(dtype, &shape, &wide, true).map_err(|e| Diag::error("E0603", format!("{name}: {e}")))
}

/// Smallest value and number of values of an integer input.
fn int_range(dtype: DType, bound: Option<u64>) -> (i64, u64) {
    let most = dtype.int_range().map_or(1, |(_, high)| u64::try_from(high).unwrap_or(u64::MAX));
    match (bound, dtype) {
        (Some(n), _) => (0, n.clamp(1, most.saturating_add(1))),
        (None, DType::U8) => (0, 256),
        (None, DType::I8) => (-128, 256),
        (None, _) => (0, 2),
    }
}

#[cfg(test)]
mod tests;
