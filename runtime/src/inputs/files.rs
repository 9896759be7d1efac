//! Values from and to `.npz` files.
//!
//! Element types that `NumPy` lacks are stored widened: bfloat16, 8- and 4-bit floats as float32, 2- and 4-bit integers as int8 or
//! uint8. Reading narrows them again and refuses what does not survive it.
use crate::npz::{Array, ArrayData, NpyType, NpzError, read_npz, write_npz};
use bytes::Bytes;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value;
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::tensor::{Tensor, TensorError};
use hoist_ir::types::Type;
use std::io::Cursor;

/// Element types that both sides have.
const SHARED: &[(DType, NpyType)] = &[
    (DType::Bool, NpyType::Bool),
    (DType::I8, NpyType::Int8),
    (DType::I16, NpyType::Int16),
    (DType::I32, NpyType::Int32),
    (DType::I64, NpyType::Int64),
    (DType::U8, NpyType::UInt8),
    (DType::U16, NpyType::UInt16),
    (DType::U32, NpyType::UInt32),
    (DType::U64, NpyType::UInt64),
    (DType::F16, NpyType::Float16),
    (DType::F32, NpyType::Float32),
    (DType::F64, NpyType::Float64),
    (DType::C64, NpyType::Complex64),
    (DType::C128, NpyType::Complex128),
];

/// The type that stores elements `NumPy` lacks.
fn widened(dtype: DType) -> Option<DType> {
    match dtype {
        DType::BF16
        | DType::F8E4M3FN
        | DType::F8E4M3FNUZ
        | DType::F8E5M2
        | DType::F8E5M2FNUZ
        | DType::F8E8M0
        | DType::F4E2M1 => Some(DType::F32),
        DType::I2 | DType::I4 => Some(DType::I8),
        DType::U2 | DType::U4 => Some(DType::U8),
        _ => None,
    }
}

fn unfit(message: impl Into<String>) -> Diag {
    Diag::error("E0603", message)
}

/// Inputs of `graph` from the arrays of a `.npz` file: by input name, else by `in0`, `in1`, ..., else (when there are as many arrays as
/// inputs and no name fits) by the order of the file.
///
/// # Errors
/// `E0603` when the file is damaged, an array is missing or left over, or an element type differs from the input's.
pub fn from_npz(graph: &Graph, bytes: &Bytes) -> Result<Vec<Value>, Diag> {
    let arrays = read_npz(bytes).map_err(|e| unfit(e.to_string()))?;
    let picked = pick(graph, &arrays)?;
    graph.inputs().iter().zip(picked).map(|(v, a)| Ok(Value::Tensor(read(graph, *v, a)?))).collect()
}

/// The array of each input.
fn pick<'a>(graph: &Graph, arrays: &'a [Array]) -> Result<Vec<&'a Array>, Diag> {
    let names: Vec<String> = graph.inputs().iter().map(|v| graph.value_label(*v)).collect();
    let numbered: Vec<String> = (0..names.len()).map(|i| format!("in{i}")).collect();
    for wanted in [&names, &numbered] {
        let found: Vec<Option<&Array>> =
            wanted.iter().map(|n| arrays.iter().find(|a| a.name == *n)).collect();
        if found.iter().all(Option::is_none) {
            continue;
        }
        let missing: Vec<&str> =
            wanted.iter().zip(&found).filter(|(_, f)| f.is_none()).map(|(n, _)| n.as_str()).collect();
        if missing.is_empty() && arrays.len() > wanted.len() {
            let extra = arrays.iter().find(|a| !wanted.contains(&a.name)).map_or("", |a| a.name.as_str());
            return Err(unfit(format!("array `{extra}` is no input of the model")));
        }
        if missing.is_empty() {
            return Ok(found.into_iter().flatten().collect());
        }
        return Err(unfit(format!("no array is given for input `{}`", missing.join("`, `"))));
    }
    if arrays.len() == names.len() {
        return Ok(arrays.iter().collect());
    }
    let m = format!("{} arrays are given, the model has {} inputs", arrays.len(), names.len());
    Err(unfit(m).hint(format!("name the arrays {}", names.join(", "))))
}

fn read(graph: &Graph, v: ValueId, array: &Array) -> Result<Tensor, Diag> {
    let name = graph.value_label(v);
    let tensor = to_tensor(array).map_err(|e| unfit(format!("array `{}`: {e}", array.name)))?;
    let Type::Tensor(ty) = graph.ty(v) else {
        return Err(unfit(format!("input `{name}` is {}, which an array cannot hold", graph.ty(v))));
    };
    if widened(ty.dtype) != Some(tensor.dtype()) {
        return Ok(tensor);
    }
    let narrow = tensor.cast(ty.dtype, false);
    let back = narrow.as_ref().ok().and_then(|t| t.cast(tensor.dtype(), false).ok());
    match (narrow, back) {
        (Ok(narrow), Some(back)) if back == tensor => Ok(narrow),
        _ => Err(unfit(format!("array `{}` has values that {} cannot hold", array.name, ty.dtype))),
    }
}

/// The array as a tensor; numbers share its bytes.
fn to_tensor(array: &Array) -> Result<Tensor, TensorError> {
    match &array.data {
        ArrayData::Texts(texts) => Ok(Tensor::from_strings(&array.shape, texts.clone())),
        ArrayData::Numbers(kind, bytes) => {
            let dtype = SHARED.iter().find(|(_, n)| n == kind).map_or(DType::U8, |(d, _)| *d);
            Tensor::from_bytes(dtype, &array.shape, bytes.clone(), None)
        }
    }
}

/// A `.npz` file with these values. Elements of a sequence are named `name.0`, `name.1`, ...; absent values are left out. Equal values
/// give equal bytes.
///
/// # Errors
/// `E0602` when two arrays would have one name.
pub fn to_npz<S: AsRef<str>>(names: &[S], values: &[Value]) -> Result<Vec<u8>, Diag> {
    let mut arrays = vec![];
    for (i, value) in values.iter().enumerate() {
        let name = names.get(i).map_or_else(|| format!("out{i}"), |n| n.as_ref().to_owned());
        collect(&name, value, &mut arrays).map_err(|e| Diag::error("E0602", format!("{name}: {e}")))?;
    }
    let written = write_npz(Cursor::new(Vec::new()), &arrays);
    written.map(Cursor::into_inner).map_err(|e: NpzError| Diag::error("E0602", e.to_string()))
}

fn collect(name: &str, value: &Value, out: &mut Vec<Array>) -> Result<(), TensorError> {
    match value {
        Value::Tensor(t) => out.push(to_array(name, t)?),
        Value::Sequence(values) => {
            for (i, v) in values.iter().enumerate() {
                collect(&format!("{name}.{i}"), v, out)?;
            }
        }
        Value::Optional(v) => v.iter().try_for_each(|v| collect(name, v, out))?,
    }
    Ok(())
}

fn to_array(name: &str, t: &Tensor) -> Result<Array, TensorError> {
    let stored = widened(t.dtype()).map_or_else(|| Ok(t.clone()), |d| t.cast(d, false))?;
    let data = match SHARED.iter().find(|(d, _)| *d == stored.dtype()) {
        Some((_, kind)) => ArrayData::Numbers(*kind, stored.to_shared_bytes()?),
        None => ArrayData::Texts(stored.strings()?.to_vec()),
    };
    Ok(Array { name: name.to_owned(), shape: t.shape().to_vec(), data })
}
