//! A pickle read as data: objects, never code.
//!
//! The stream's stack machine runs, but no name in it is ever looked up. The names that PyTorch's own writers use
//! (storages, `_rebuild_tensor_v2`, `OrderedDict`, dtypes, ...) give typed objects; any other name gives an
//! inert [`Object::Global`] or [`Object::Opaque`], which [`Pickle::require_known`] refuses by name.
//!
//! Objects live in one arena and refer to each other by [`ObjId`], so that shared objects stay shared, and dropping
//! or walking a deep structure needs no recursion.

mod globals;
mod machine;
mod names;
mod reader;
mod values;

use std::collections::HashSet;
use std::sync::Arc;

use thiserror::Error;

use super::tensor::{TensorError, TorchDtype, View};

/// Deepest nesting of containers that is accepted.
pub const MAX_DEPTH: usize = 256;

/// Most dimensions of a tensor; PyTorch itself stops at 64.
const MAX_RANK: usize = 64;

/// Most objects that one pickle may make; bounds memory to some hundred megabytes.
pub const MAX_OBJECTS: usize = 4 << 20;

/// Refers to an object of one [`Pickle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjId(u32);

/// A module-level name, as `torch._utils` `_rebuild_tensor_v2`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalName {
    /// Dotted module.
    pub module: Box<str>,
    /// Name inside the module, possibly dotted itself.
    pub name: Box<str>,
}

impl std::fmt::Display for GlobalName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// A storage that the pickle refers to by key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageRef {
    /// Element type of the storage class.
    pub dtype: TorchDtype,
    /// Key of the storage in the file that holds the pickle.
    pub key: Box<str>,
    /// Device it was saved from, as `cpu`.
    pub location: Box<str>,
    /// Number of elements of `dtype`.
    pub numel: u64,
}

impl StorageRef {
    /// Number of bytes; `None` when it does not fit 64 bits.
    pub fn byte_len(&self) -> Option<u64> {
        self.numel.checked_mul(self.dtype.size() as u64)
    }
}

/// A tensor: a view on a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorRef {
    /// The storage, shared by all views on it.
    pub storage: Arc<StorageRef>,
    /// Element type, sizes, strides and offset.
    pub view: View,
}

/// A dictionary in insertion order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dict {
    /// Keys and values. Text keys are distinct.
    pub items: Vec<(ObjId, ObjId)>,
    /// Instance attributes, such as the `_metadata` that `state_dict()` leaves on its `OrderedDict`.
    pub attributes: Option<ObjId>,
}

/// What a call of an unlisted name, or an instance of an unlisted class, carries.
#[derive(Debug, Clone, PartialEq)]
pub struct Opaque {
    /// The function or class.
    pub callee: GlobalName,
    /// Tuple of positional arguments.
    pub args: ObjId,
    /// Dictionary of keyword arguments.
    pub kwargs: Option<ObjId>,
    /// State set on the result, for instances usually the dictionary of attributes.
    pub state: Option<ObjId>,
}

/// One object of a pickle.
#[derive(Debug, Clone, PartialEq)]
pub enum Object {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// A larger integer: two's complement, little endian.
    BigInt(Box<[u8]>),
    /// A float.
    Float(f64),
    /// A complex number: real and imaginary part.
    Complex(f64, f64),
    /// A text.
    Str(Box<str>),
    /// Bytes or a bytearray.
    Bytes(Box<[u8]>),
    /// A list.
    List(Vec<ObjId>),
    /// A tuple, also `torch.Size`.
    Tuple(Vec<ObjId>),
    /// A set or frozen set, in the order of the file.
    Set(Vec<ObjId>),
    /// A dictionary, also `OrderedDict`.
    Dict(Box<Dict>),
    /// A storage that is not (yet) part of a tensor.
    Storage(Arc<StorageRef>),
    /// A tensor.
    Tensor(Box<TensorRef>),
    /// A dtype.
    Dtype(TorchDtype),
    /// A device, as `cpu` or `cuda:0`.
    Device(Box<str>),
    /// A name that is not called.
    Global(Box<GlobalName>),
    /// A call or instance of a name that is not on the list.
    Opaque(Box<Opaque>),
}

impl Object {
    /// What the object is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) | Self::BigInt(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Complex(..) => "a complex number",
            Self::Str(_) => "a text",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Set(_) => "a set",
            Self::Dict(_) => "a dict",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::Dtype(_) => "a dtype",
            Self::Device(_) => "a device",
            Self::Global(_) => "a name",
            Self::Opaque(_) => "an object of an unlisted class",
        }
    }

    /// The `index`-th object that this one refers to.
    fn child(&self, index: usize) -> Option<ObjId> {
        match self {
            Self::List(items) | Self::Tuple(items) | Self::Set(items) => items.get(index).copied(),
            Self::Dict(dict) => match dict.items.get(index / 2) {
                Some(&(key, value)) => Some(if index.is_multiple_of(2) { key } else { value }),
                None => dict.attributes.filter(|_| index == 2 * dict.items.len()),
            },
            Self::Opaque(opaque) => {
                [Some(opaque.args), opaque.kwargs, opaque.state].into_iter().flatten().nth(index)
            }
            _ => None,
        }
    }
}

/// Why a pickle is refused. `at` is the offset of the opcode in the stream.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PickleError {
    /// The stream ends inside an instruction or before its end mark.
    #[error("the pickle ends early, at byte {at}; the file is cut off")]
    Truncated {
        /// Offset in the stream.
        at: usize,
    },
    /// An instruction cannot be carried out.
    #[error("bad pickle at byte {at}: {what}; the file is damaged or not a PyTorch file")]
    Bad {
        /// Offset in the stream.
        at: usize,
        /// What is wrong.
        what: String,
    },
    /// A tensor's sizes, strides or offset are wrong.
    #[error("tensor at byte {at} of the pickle: {source}")]
    Tensor {
        /// Offset in the stream.
        at: usize,
        /// What is wrong.
        source: TensorError,
    },
    /// The object graph is too deep, too large, or holds itself.
    #[error("the pickle is refused: {0}")]
    Shape(String),
    /// The pickle names functions or classes that are not tensors' own.
    #[error(
        "the pickle refers to {}; only tensors and plain containers are read, never code: save a state dict", .0.join(", ")
    )]
    Foreign(Vec<String>),
}

/// The objects of one pickle.
#[derive(Debug, Clone)]
pub struct Pickle {
    objects: Vec<Object>,
    root: ObjId,
    foreign: Vec<String>,
    consumed: usize,
}

impl Pickle {
    /// Reads the pickle at the start of `stream`; what follows its end mark is left alone.
    ///
    /// # Errors
    /// [`PickleError`] when the stream is malformed, nests deeper than [`MAX_DEPTH`], makes more than
    /// [`MAX_OBJECTS`] objects, or makes an object that holds itself. Unlisted names are no error here.
    pub fn parse(stream: &[u8]) -> Result<Self, PickleError> {
        let pickle = machine::run(stream)?;
        pickle.check_shape()?;
        pickle.check_keys()?;
        Ok(pickle)
    }

    /// The object that the pickle holds.
    pub fn root(&self) -> ObjId {
        self.root
    }

    /// The object behind `id`.
    pub fn get(&self, id: ObjId) -> &Object {
        self.objects.get(id.0 as usize).unwrap_or(&Object::None)
    }

    /// Length of the pickle in the stream, in bytes.
    pub fn consumed(&self) -> usize {
        self.consumed
    }

    /// Names outside the list of known ones that occur anywhere in the stream, each once, in order.
    pub fn foreign_names(&self) -> &[String] {
        &self.foreign
    }

    /// Refuses a pickle in which any name outside the list of known ones occurs.
    ///
    /// # Errors
    /// [`PickleError::Foreign`] with all such names.
    pub fn require_known(&self) -> Result<(), PickleError> {
        if self.foreign.is_empty() { Ok(()) } else { Err(PickleError::Foreign(self.foreign.clone())) }
    }

    /// The text behind `id`.
    pub fn text(&self, id: ObjId) -> Option<&str> {
        match self.get(id) {
            Object::Str(text) => Some(text),
            _ => None,
        }
    }

    /// All storages that the stream mentions.
    pub fn storages(&self) -> impl Iterator<Item = &Arc<StorageRef>> {
        self.objects.iter().filter_map(|object| match object {
            Object::Storage(storage) => Some(storage),
            _ => None,
        })
    }

    /// Walks everything below the root once and refuses cycles and deep nesting.
    fn check_shape(&self) -> Result<(), PickleError> {
        // Height of a finished object; `OPEN` marks those on the current path.
        const OPEN: u16 = u16::MAX;
        let mut height = vec![0_u16; self.objects.len()];
        let mut path = vec![(self.root, 0_usize, 0_u16)];
        while let Some((id, next, below)) = path.last_mut() {
            let slot = id.0 as usize;
            let Some(child) = self.get(*id).child(*next) else {
                let done = *below + 1;
                height[slot] = done;
                path.pop();
                if let Some((_, _, parent)) = path.last_mut() {
                    *parent = done.max(*parent);
                }
                continue;
            };
            height[slot] = OPEN;
            *next += 1;
            match height[child.0 as usize] {
                OPEN => return Err(PickleError::Shape("an object holds itself".to_owned())),
                0 => path.push((child, 0, 0)),
                done => *below = done.max(*below),
            }
            let deepest = path.last().map_or(0, |last| usize::from(last.2));
            if path.len() + deepest > MAX_DEPTH {
                return Err(PickleError::Shape(format!("containers nest deeper than {MAX_DEPTH} levels")));
            }
        }
        Ok(())
    }

    fn check_keys(&self) -> Result<(), PickleError> {
        for object in &self.objects {
            let Object::Dict(dict) = object else { continue };
            let mut seen = HashSet::with_capacity(dict.items.len());
            for &(key, _) in &dict.items {
                if let Some(text) = self.text(key)
                    && !seen.insert(text)
                {
                    return Err(PickleError::Shape(format!("a dict sets the key {text:?} twice")));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
