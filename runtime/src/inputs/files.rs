//! Values from and to `.npz` files.
//!
//! Element types that `NumPy` lacks are stored widened: bfloat16, 8- and 4-bit floats as float32, 2- and 4-bit integers as int8 or
//! uint8. Reading narrows them again and refuses what does not survive it.
use crate::npz::{Array, ArrayData, NpyType, NpzError, read_npy, read_npz, write_npz};
use bytes::Bytes;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value;
use hoist_ir::graph::Graph;
use hoist_ir::tensor::{Tensor, TensorError};
use hoist_ir::types::Type;
use std::collections::HashMap;
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
        | DType::F4E2M1
        | DType::F6E2M3
        | DType::F6E3M2 => Some(DType::F32),
        DType::I2 | DType::I4 => Some(DType::I8),
        DType::U2 | DType::U4 => Some(DType::U8),
        _ => None,
    }
}

fn unfit(message: impl Into<String>) -> Diag {
    Diag::error("E0603", message)
}

/// Inputs of `graph` from the arrays of a `.npz` file: by input name, else by `in0`, `in1`, ..., else (when there are as many arrays as
/// inputs, all inputs are tensors and no name fits) by the order of the file. Elements of a sequence `s` are `s.0`, `s.1`, ...; a
/// sequence without elements is the array `s.length` that holds 0. An optional input without arrays is absent.
///
/// # Errors
/// `E0603` when the file is damaged, an array is missing or left over, or an element type differs from the input's.
pub fn from_npz(graph: &Graph, bytes: &Bytes) -> Result<Vec<Value>, Diag> {
    let arrays = read_npz(bytes).map_err(|e| unfit(e.to_string()))?;
    let names: Vec<String> = graph.inputs().iter().map(|v| graph.value_label(*v)).collect();
    let numbered: Vec<String> = (0..names.len()).map(|i| format!("in{i}")).collect();
    for wanted in [&names, &numbered] {
        if wanted.iter().any(|n| arrays.iter().any(|a| belongs(&a.name, n))) {
            return by_name(graph, wanted, &arrays);
        }
    }
    let types: Vec<&Type> = graph.inputs().iter().map(|v| graph.ty(*v)).collect();
    if arrays.is_empty() {
        return by_name(graph, &names, &arrays);
    }
    if arrays.len() == names.len() && types.iter().all(|t| matches!(t, Type::Tensor(_))) {
        let all = types.iter().zip(&names).zip(&arrays);
        return all.map(|((ty, name), a)| Ok(read(ty, name, a)?.into())).collect();
    }
    let m = format!("{} arrays are given, the model has {} inputs", arrays.len(), names.len());
    Err(unfit(m).hint(format!("name the arrays {}", names.join(", "))))
}

/// All arrays of a `.npz` file as tensors, with their names, in the order of the file.
///
/// # Errors
/// `E0603` when the file is damaged.
pub fn tensors_from_npz(bytes: &Bytes) -> Result<Vec<(String, Tensor)>, Diag> {
    let arrays = read_npz(bytes).map_err(|e| unfit(e.to_string()))?;
    let one = |a: &Array| {
        Ok((a.name.clone(), tensor_of(a).map_err(|e| unfit(format!("array `{}`: {e}", a.name)))?))
    };
    arrays.iter().map(one).collect()
}

/// The array of a `.npy` file.
///
/// # Errors
/// `E0603` when the file is damaged.
pub fn tensor_from_npy(bytes: &Bytes) -> Result<Tensor, Diag> {
    let array = read_npy("array", bytes).map_err(|e| unfit(e.to_string()))?;
    tensor_of(&array).map_err(|e| unfit(e.to_string()))
}

/// Whether the array is that of the value `name` or of something in it.
fn belongs(array: &str, name: &str) -> bool {
    array.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Inputs whose arrays have these names.
fn by_name(graph: &Graph, names: &[String], arrays: &[Array]) -> Result<Vec<Value>, Diag> {
    let mut found = Found { arrays: arrays.iter().map(|a| (a.name.as_str(), a)).collect(), used: 0 };
    let (mut values, mut missing) = (vec![], vec![]);
    for (v, name) in graph.inputs().iter().zip(names) {
        match found.value(graph.ty(*v), name)? {
            Some(value) => values.push(value),
            None => missing.push((name.as_str(), matches!(graph.ty(*v), Type::Sequence(_)))),
        }
    }
    if !missing.is_empty() {
        let all: Vec<&str> = missing.iter().map(|(n, _)| *n).collect();
        let d = unfit(format!("no array is given for input `{}`", all.join("`, `")));
        return Err(match missing.iter().find(|(_, sequence)| *sequence) {
            Some((n, _)) => d.hint(format!(
                "the elements of a sequence are {n}.0, {n}.1, ..; {n}.length = 0 is one without"
            )),
            None => d,
        });
    }
    if found.used < arrays.len() {
        let part = |a: &&Array| !names.iter().any(|n| belongs(&a.name, n));
        let extra = arrays.iter().find(part).or(arrays.last()).map_or("", |a| a.name.as_str());
        return Err(unfit(format!("array `{extra}` is no input of the model")));
    }
    Ok(values)
}

/// Arrays by name, and how many of them were taken.
struct Found<'a> {
    arrays: HashMap<&'a str, &'a Array>,
    used: usize,
}

impl Found<'_> {
    /// The value of that type and name; `None` when there is no array for it.
    fn value(&mut self, ty: &Type, name: &str) -> Result<Option<Value>, Diag> {
        match ty {
            Type::Sequence(inner) => self.sequence(inner, name),
            Type::Optional(inner) => Ok(Some(Value::Optional(self.value(inner, name)?.map(Box::new)))),
            Type::Tensor(_) | Type::Map(..) | Type::Unknown => {
                let Some(array) = self.arrays.get(name) else { return Ok(None) };
                self.used += 1;
                read(ty, name, array).map(|t| Some(t.into()))
            }
        }
    }
    fn sequence(&mut self, inner: &Type, name: &str) -> Result<Option<Value>, Diag> {
        let mut all = vec![];
        // An optional element is always there, so the arrays tell where the sequence ends.
        while all.len() < self.arrays.len() {
            let used = self.used;
            match self.value(inner, &format!("{name}.{}", all.len()))? {
                Some(v) if self.used > used => all.push(v),
                _ => break,
            }
        }
        let Some(length) = self.arrays.get(format!("{name}.length").as_str()) else {
            return Ok((!all.is_empty()).then_some(Value::Sequence(all.into())));
        };
        self.used += 1;
        let length = tensor_of(length).ok().and_then(|t| t.as_int());
        if length != i64::try_from(all.len()).ok() {
            let m = format!("`{name}.length` is not {}, the number of elements given of `{name}`", all.len());
            return Err(unfit(m));
        }
        Ok(Some(Value::Sequence(all.into())))
    }
}

fn read(ty: &Type, name: &str, array: &Array) -> Result<Tensor, Diag> {
    let tensor = tensor_of(array).map_err(|e| unfit(format!("array `{}`: {e}", array.name)))?;
    let Type::Tensor(ty) = ty else {
        return Err(unfit(format!("input `{name}` is {ty}, which an array cannot hold")));
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

/// The element type that an array of `dtype` is read as.
pub fn stored_type(dtype: NpyType) -> DType {
    SHARED.iter().find(|(_, n)| *n == dtype).map_or(DType::U8, |(d, _)| *d)
}

/// The array as a tensor; numbers share its bytes.
///
/// # Errors
/// When the elements are not as many as the shape says.
pub fn tensor_of(array: &Array) -> Result<Tensor, TensorError> {
    match &array.data {
        ArrayData::Texts(texts) => Ok(Tensor::from_strings(&array.shape, texts.clone())),
        ArrayData::Numbers(kind, bytes) => {
            Tensor::from_bytes(stored_type(*kind), &array.shape, bytes.clone(), None)
        }
    }
}

/// A `.npz` file with these values, as [`from_npz`] reads them: elements of a sequence are named `name.0`, `name.1`, ..., one without
/// elements is `name.length`; absent values are left out. Equal values give equal bytes.
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
        Value::Sequence(values) if values.is_empty() => {
            out.push(to_array(&format!("{name}.length"), &Tensor::scalar(0i64))?);
        }
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
