//! The engine `onnxruntime`: an ONNX Runtime that is installed on the machine, loaded when asked for by name and never otherwise.
//!
//! The library is looked for in this order: the path given; the environment variable `ORT_DYLIB_PATH`; the `onnxruntime` package of
//! the Python interpreter that `HOIST_ORACLE_PYTHON` names (its folders are searched, the interpreter is not run). A process uses the
//! first library it loads.
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value;
use hoist_ir::model::Executor;
use hoist_ir::tensor::{Element, Tensor, TensorError};
use num_complex::Complex;
use ort::environment::Environment;
use ort::session::{Session, SessionInputValue};
use ort::value::{
    DynTensorValueType, DynValue, PrimitiveTensorElementType, Sequence as OrtSequence, Shape,
    Tensor as OrtTensor, TensorElementType, ValueType,
};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A session of ONNX Runtime on one model file.
pub struct OnnxRuntime {
    session: Mutex<Session>,
}

fn unavailable(message: String) -> Diag {
    let hint = "install the Python package onnxruntime and set HOIST_ORACLE_PYTHON to its interpreter, or set ORT_DYLIB_PATH to \
                libonnxruntime; the default engine needs neither";
    Diag::error("E0604", message).hint(hint)
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Diag {
    Diag::error("E0602", format!("ONNX Runtime {what}: {error}"))
}

impl OnnxRuntime {
    /// Loads the library and the ONNX model at `model_path`. `threads` limits those of an operator; `None` leaves it to the library.
    ///
    /// # Errors
    /// `E0604` when the library cannot be found or loaded, `E0602` when it refuses the model.
    pub fn load(lib: Option<&Path>, model_path: &Path, threads: Option<usize>) -> Result<Self, Diag> {
        let environment = environment(lib)?;
        let mut builder = Session::builder(environment).map_err(|e| failed("cannot start", &e))?;
        if let Some(n) = threads {
            builder = builder.with_intra_threads(n).map_err(|e| failed("cannot limit its threads", &e))?;
        }
        let session = builder.commit_from_file(model_path).map_err(|e| failed("refuses the model", &e))?;
        Ok(Self { session: Mutex::new(session) })
    }
}

/// The process's only environment.
fn environment(lib: Option<&Path>) -> Result<&'static Environment, Diag> {
    static LOADED: OnceLock<Result<Environment, Diag>> = OnceLock::new();
    let path = find_library(lib)?;
    let load = || {
        let builder = ort::init_from(&path)
            .map_err(|e| unavailable(format!("ONNX Runtime at {} cannot be loaded: {e}", path.display())))?;
        builder.with_telemetry(false).build().map_err(|e| failed("cannot start", &e))
    };
    LOADED.get_or_init(load).as_ref().map_err(Clone::clone)
}

/// The library to load.
fn find_library(lib: Option<&Path>) -> Result<PathBuf, Diag> {
    if let Some(path) = lib {
        let missing = || unavailable(format!("there is no ONNX Runtime library at {}", path.display()));
        return path.is_file().then(|| path.to_owned()).ok_or_else(missing);
    }
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(path) = variable("ORT_DYLIB_PATH") {
        let missing = || unavailable(format!("ORT_DYLIB_PATH names {}, which is no file", path.display()));
        return if path.is_file() { Ok(path) } else { Err(missing()) };
    }
    let Some(python) = variable("HOIST_ORACLE_PYTHON") else {
        return Err(unavailable("ONNX Runtime is not installed where Hoist looks for it".to_owned()));
    };
    library_of(&python).ok_or_else(|| {
        unavailable(format!("the Python interpreter {} has no package onnxruntime", python.display()))
    })
}

/// The library in the packages of a Python interpreter `<prefix>/bin/python` (on Windows `<prefix>\Scripts\python.exe`).
fn library_of(python: &Path) -> Option<PathBuf> {
    let prefix = python.parent()?.parent()?;
    let mut homes = vec![prefix.join("Lib")];
    let versions = |d: &PathBuf| name_of(d).starts_with("python3");
    homes.extend(entries(&prefix.join("lib")).into_iter().filter(versions));
    homes.iter().find_map(|home| {
        let folder = home.join("site-packages").join("onnxruntime").join("capi");
        entries(&folder).into_iter().find(|f| is_library(&name_of(f)))
    })
}

/// Entries of a folder, sorted; none when it cannot be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
    found.sort();
    found
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn is_library(name: &str) -> bool {
    name == "onnxruntime.dll"
        || name.starts_with("libonnxruntime.so")
        || name.starts_with("libonnxruntime.")
            && std::path::Path::new(name).extension().is_some_and(|e| e == "dylib")
}

impl Executor for OnnxRuntime {
    fn name(&self) -> &'static str {
        "onnxruntime"
    }
    fn run(&self, inputs: Vec<Value>) -> Result<Vec<Value>, Diag> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<String> = session.inputs().iter().map(|i| i.name().to_owned()).collect();
        if names.len() != inputs.len() {
            let m = format!("{} inputs are given, the model has {}", inputs.len(), names.len());
            return Err(Diag::error("E0603", m).hint(format!("its inputs are: {}", names.join(", "))));
        }
        let given = names
            .into_iter()
            .zip(&inputs)
            .map(|(name, value)| {
                let given = to_ort(value)
                    .map_err(|e| Diag::error("E0603", format!("input `{name}` for ONNX Runtime: {e}")))?;
                Ok((name, SessionInputValue::from(given)))
            })
            .collect::<Result<Vec<_>, Diag>>()?;
        let outputs = session.run(given).map_err(|e| failed("fails", &e))?;
        outputs
            .into_iter()
            .map(|(name, value)| {
                from_ort(value).map_err(|e| failed(&format!("gives output `{name}` that cannot be read"), &e))
            })
            .collect()
    }
}

fn to_ort(value: &Value) -> Result<DynValue, String> {
    match value {
        Value::Tensor(t) => tensor_to_ort(t),
        // What an optional value holds stands for it.
        Value::Optional(Some(v)) => to_ort(v),
        Value::Sequence(all) if !all.is_empty() => {
            let one = |v: &Value| to_ort(v)?.downcast::<DynTensorValueType>().map_err(|e| e.to_string());
            let all = all.iter().map(one).collect::<Result<Vec<_>, String>>()?;
            OrtSequence::new(all).map(|s| s.into_dyn()).map_err(|e| e.to_string())
        }
        Value::Sequence(_) => Err("a sequence without elements cannot be given to it".to_owned()),
        Value::Optional(None) => Err("an absent value cannot be given to it".to_owned()),
    }
}

fn tensor_to_ort(t: &Tensor) -> Result<DynValue, String> {
    match t.dtype() {
        DType::F32 => give::<f32>(t),
        DType::F64 => give::<f64>(t),
        DType::F16 => give::<half::f16>(t),
        DType::BF16 => give::<half::bf16>(t),
        DType::I8 => give::<i8>(t),
        DType::I16 => give::<i16>(t),
        DType::I32 => give::<i32>(t),
        DType::I64 => give::<i64>(t),
        DType::U8 => give::<u8>(t),
        DType::U16 => give::<u16>(t),
        DType::U32 => give::<u32>(t),
        DType::U64 => give::<u64>(t),
        DType::C64 => give::<Complex<f32>>(t),
        DType::C128 => give::<Complex<f64>>(t),
        DType::Bool => {
            let values = t.to_bools().map_err(|e| e.to_string())?;
            own(t.shape(), values)
        }
        DType::String => {
            let texts = t.strings().map_err(|e| e.to_string())?;
            let given = OrtTensor::from_string_array((t.shape().to_vec(), texts));
            given.map(OrtTensor::into_dyn).map_err(|e| e.to_string())
        }
        other => Err(format!("{other} cannot be given to it")),
    }
}

fn give<T: Element + PrimitiveTensorElementType>(t: &Tensor) -> Result<DynValue, String> {
    own(t.shape(), t.view::<T>().map_err(|e| e.to_string())?.into_owned())
}

fn own<T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static>(
    shape: &[usize],
    values: Vec<T>,
) -> Result<DynValue, String> {
    OrtTensor::from_array((shape.to_vec(), values)).map(OrtTensor::into_dyn).map_err(|e| e.to_string())
}

fn from_ort(value: DynValue) -> Result<Value, String> {
    match value.dtype().clone() {
        ValueType::Tensor { ty, .. } => from_tensor(&value, ty).map(Value::Tensor),
        ValueType::Sequence(_) => {
            let sequence = value.downcast::<ort::value::DynSequenceValueType>().map_err(|e| e.to_string())?;
            let items = sequence.try_extract_sequence::<DynTensorValueType>().map_err(|e| e.to_string())?;
            items.into_iter().map(|v| from_ort(v.into_dyn())).collect::<Result<_, _>>().map(Value::Sequence)
        }
        other => Err(format!("its type is {other}")),
    }
}

fn from_tensor(value: &DynValue, ty: TensorElementType) -> Result<Tensor, String> {
    match ty {
        TensorElementType::Float32 => take::<f32>(value),
        TensorElementType::Float64 => take::<f64>(value),
        TensorElementType::Float16 => take::<half::f16>(value),
        TensorElementType::Bfloat16 => take::<half::bf16>(value),
        TensorElementType::Int8 => take::<i8>(value),
        TensorElementType::Int16 => take::<i16>(value),
        TensorElementType::Int32 => take::<i32>(value),
        TensorElementType::Int64 => take::<i64>(value),
        TensorElementType::Uint8 => take::<u8>(value),
        TensorElementType::Uint16 => take::<u16>(value),
        TensorElementType::Uint32 => take::<u32>(value),
        TensorElementType::Uint64 => take::<u64>(value),
        TensorElementType::Complex64 => take::<Complex<f32>>(value),
        TensorElementType::Complex128 => take::<Complex<f64>>(value),
        TensorElementType::Bool => {
            let (shape, values) = value.try_extract_tensor::<bool>().map_err(|e| e.to_string())?;
            checked(&sizes(shape)?, values.len())?;
            Ok(Tensor::from_bools(&sizes(shape)?, values.to_vec()))
        }
        TensorElementType::String => {
            let (shape, texts) = value.try_extract_strings().map_err(|e| e.to_string())?;
            checked(&sizes(shape)?, texts.len())?;
            Ok(Tensor::from_strings(&sizes(shape)?, texts))
        }
        other => Err(format!("its element type is {other}")),
    }
}

fn take<T: Element + PrimitiveTensorElementType>(value: &DynValue) -> Result<Tensor, String> {
    let (shape, values) = value.try_extract_tensor::<T>().map_err(|e| e.to_string())?;
    let shape = sizes(shape)?;
    checked(&shape, values.len())?;
    Ok(Tensor::from_vec(&shape, values.to_vec()))
}

fn sizes(shape: &Shape) -> Result<Vec<usize>, String> {
    let size = |n: &i64| usize::try_from(*n).map_err(|_| format!("its shape is {shape:?}"));
    shape.iter().map(size).collect()
}

/// Guards the constructors of [`Tensor`], which trust their callers.
fn checked(shape: &[usize], values: usize) -> Result<(), String> {
    if hoist_ir::tensor::element_count(shape) == Some(values) {
        return Ok(());
    }
    Err(TensorError::Shape(format!("{values} values do not fill shape {shape:?}")).to_string())
}

#[cfg(test)]
mod tests;
