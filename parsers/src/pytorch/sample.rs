//! Plain values out of a checkpoint: nested containers of tensors, numbers and texts, as sample inputs are.

use bytes::Bytes;

use super::checkpoint::{Checkpoint, CheckpointError};
use super::pickle::{ObjId, Object, Pickle, PickleError};
use super::tensor::TorchDtype;

/// Most values that one sample may unfold to; shared objects count each time.
const MAX_VALUES: usize = 1 << 20;

/// A dense tensor: elements in row-major order, little endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenseTensor {
    /// Element type.
    pub dtype: TorchDtype,
    /// Extents.
    pub shape: Vec<u64>,
    /// Elements.
    pub data: Bytes,
}

/// A plain value.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Float(f64),
    /// A complex number: real and imaginary part.
    Complex(f64, f64),
    /// A text.
    Str(String),
    /// A dtype.
    Dtype(TorchDtype),
    /// A device, as `cpu`.
    Device(String),
    /// A tensor.
    Tensor(DenseTensor),
    /// A list.
    List(Vec<Sample>),
    /// A tuple.
    Tuple(Vec<Sample>),
    /// A dictionary with text keys, in its order.
    Dict(Vec<(String, Sample)>),
}

impl Sample {
    /// Reads the value that `checkpoint` holds.
    ///
    /// # Errors
    /// [`CheckpointError`] when an unlisted name occurs, a tensor does not fit its storage, or an object is of a
    /// kind that no sample has.
    pub fn read(checkpoint: &Checkpoint) -> Result<Self, CheckpointError> {
        checkpoint.pickle().require_known()?;
        let mut left = MAX_VALUES;
        convert(checkpoint, checkpoint.pickle().root(), &mut left)
    }
}

/// Recursion is bounded by the depth limit of pickles.
fn convert(checkpoint: &Checkpoint, id: ObjId, left: &mut usize) -> Result<Sample, CheckpointError> {
    let pickle = checkpoint.pickle();
    *left = left.checked_sub(1).ok_or_else(|| {
        PickleError::Shape(format!("its shared objects unfold to more than {MAX_VALUES} values"))
    })?;
    let mut all =
        |ids: &[ObjId]| ids.iter().map(|&id| convert(checkpoint, id, left)).collect::<Result<Vec<_>, _>>();
    Ok(match pickle.get(id) {
        Object::None => Sample::None,
        Object::Bool(value) => Sample::Bool(*value),
        Object::Int(value) => Sample::Int(*value),
        Object::Float(value) => Sample::Float(*value),
        Object::Complex(re, im) => Sample::Complex(*re, *im),
        Object::Str(text) => Sample::Str(text.to_string()),
        Object::Dtype(dtype) => Sample::Dtype(*dtype),
        Object::Device(device) => Sample::Device(device.to_string()),
        Object::List(items) => Sample::List(all(items)?),
        Object::Tuple(items) => Sample::Tuple(all(items)?),
        Object::Dict(dict) => {
            let entry = |&(key, value): &(ObjId, ObjId)| {
                let key = key_text(pickle, key)?;
                Ok::<_, CheckpointError>((key, convert(checkpoint, value, left)?))
            };
            Sample::Dict(dict.items.iter().map(entry).collect::<Result<_, _>>()?)
        }
        Object::Tensor(tensor) => Sample::Tensor(DenseTensor {
            dtype: tensor.view.dtype,
            shape: tensor.view.sizes.clone(),
            data: checkpoint.tensor(tensor)?,
        }),
        other => return Err(PickleError::Shape(format!("{} is no sample value", other.kind())).into()),
    })
}

fn key_text(pickle: &Pickle, key: ObjId) -> Result<String, PickleError> {
    match pickle.get(key) {
        Object::Str(text) => Ok(text.to_string()),
        Object::Int(number) => Ok(number.to_string()),
        other => Err(PickleError::Shape(format!("a dict key is {}, not a text", other.kind()))),
    }
}
