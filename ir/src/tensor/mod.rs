//! Constant and run-time tensors: element type, sizes, and storage that is mapped, owned, splat or lazy.
use crate::dtype::DType;
use crate::types::TensorType;
use bytes::Bytes;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub mod convert;
pub mod element;
pub mod lazy;
pub mod numeric;

pub use element::{Data, Element};
pub use lazy::Lazy;

/// Sizes of a tensor, outermost first.
pub type Sizes = SmallVec<[usize; 6]>;

/// Why a tensor cannot be built or read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TensorError {
    /// The number of elements or bytes does not fit the address space.
    #[error("shape {0:?} has too many elements")]
    TooLarge(Vec<usize>),
    /// Storage length and shape disagree.
    #[error("{dtype} tensor of shape {shape:?} needs {expected} bytes, the data has {actual}")]
    Length {
        /// Element type.
        dtype: DType,
        /// Sizes.
        shape: Vec<usize>,
        /// Bytes that type and sizes ask for.
        expected: usize,
        /// Bytes there are.
        actual: usize,
    },
    /// The operation is not defined for the element type.
    #[error("{what} is not defined for {dtype}")]
    DType {
        /// The operation.
        what: &'static str,
        /// Element type.
        dtype: DType,
    },
    /// Sizes or positions that do not fit the tensor.
    #[error("{0}")]
    Shape(String),
}

/// A range of a file that stored bytes come from, so that a writer may refer to it instead of copying.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSpan {
    /// The file as it was opened.
    pub file: Arc<Path>,
    /// First byte.
    pub offset: u64,
}

/// Where the elements are.
#[derive(Clone, Debug)]
pub enum Storage {
    /// Little-endian, packed bytes: usually a slice of a memory map.
    Bytes(Bytes, Option<FileSpan>),
    /// An owned vector of the element type.
    Owned(Arc<dyn Data>),
    /// One element repeated, in its little-endian bytes (a packed type: in the low bits of the first byte).
    Splat([u8; 16]),
    /// Texts.
    Strings(Arc<Vec<String>>),
    /// An expression over other tensors, computed while reading.
    Lazy(Arc<Lazy>),
}

/// An n-dimensional array. Cloning shares the storage.
#[derive(Clone, Debug)]
pub struct Tensor {
    dtype: DType,
    shape: Sizes,
    storage: Storage,
}

/// Number of elements of `shape`; `None` when it does not fit `usize`.
pub fn element_count(shape: &[usize]) -> Option<usize> {
    // A zero anywhere makes the tensor empty, whatever the other sizes multiply to.
    if shape.contains(&0) { Some(0) } else { shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)) }
}

impl Tensor {
    /// A tensor over little-endian packed bytes; `span` tells which file they lie in.
    ///
    /// # Errors
    /// When the length does not fit element type and shape, or the type is a string.
    pub fn from_bytes(
        dtype: DType,
        shape: &[usize],
        data: Bytes,
        span: Option<FileSpan>,
    ) -> Result<Self, TensorError> {
        let expected = byte_count(dtype, shape)?;
        if data.len() != expected {
            return Err(TensorError::Length { dtype, shape: shape.to_vec(), expected, actual: data.len() });
        }
        Ok(Self { dtype, shape: shape.into(), storage: Storage::Bytes(data, span) })
    }
    /// A tensor that owns `data`, which must hold exactly the elements of `shape`.
    ///
    /// # Panics
    /// When it does not: callers compute `data` from `shape`.
    pub fn from_vec<T: Element>(shape: &[usize], data: Vec<T>) -> Self {
        assert_eq!(element_count(shape), Some(data.len()), "elements of shape {shape:?}");
        Self { dtype: T::DTYPE, shape: shape.into(), storage: Storage::Owned(Arc::new(data)) }
    }
    /// A `bool` tensor. Same contract as [`Tensor::from_vec`].
    pub fn from_bools(shape: &[usize], data: Vec<bool>) -> Self {
        assert_eq!(element_count(shape), Some(data.len()), "elements of shape {shape:?}");
        let bytes: Vec<u8> = data.into_iter().map(u8::from).collect();
        Self { dtype: DType::Bool, shape: shape.into(), storage: Storage::Owned(Arc::new(bytes)) }
    }
    /// A string tensor. Same contract as [`Tensor::from_vec`].
    pub fn from_strings(shape: &[usize], data: Vec<String>) -> Self {
        assert_eq!(element_count(shape), Some(data.len()), "elements of shape {shape:?}");
        Self { dtype: DType::String, shape: shape.into(), storage: Storage::Strings(Arc::new(data)) }
    }
    /// A tensor whose elements all equal the single element of `value`, without storing them.
    ///
    /// # Errors
    /// When `value` has not exactly one element or the shape is too large.
    pub fn splat(value: &Self, shape: &[usize]) -> Result<Self, TensorError> {
        if value.len() != 1 {
            return Err(TensorError::Shape(format!(
                "a splat needs one element, got shape {:?}",
                value.shape
            )));
        }
        let count = element_count(shape).ok_or_else(|| TensorError::TooLarge(shape.to_vec()))?;
        if value.dtype == DType::String {
            let text = value.strings()?.first().cloned().unwrap_or_default();
            return Ok(Self::from_strings(shape, vec![text; count]));
        }
        byte_count(value.dtype, shape)?;
        let mut element = [0u8; 16];
        let bytes = value.bytes()?;
        element[..bytes.len()].copy_from_slice(&bytes);
        Ok(Self { dtype: value.dtype, shape: shape.into(), storage: Storage::Splat(element) })
    }
    /// A 0-d tensor.
    pub fn scalar<T: Element>(value: T) -> Self {
        Self::from_vec(&[], vec![value])
    }
    /// A 1-d `i64` tensor.
    pub fn from_ints(values: &[i64]) -> Self {
        Self::from_vec(&[values.len()], values.to_vec())
    }
    /// A lazy tensor: see [`Lazy`] for the constructors that check operands.
    fn from_lazy(dtype: DType, shape: &[usize], lazy: Lazy) -> Result<Self, TensorError> {
        byte_count(dtype, shape)?;
        Ok(Self { dtype, shape: shape.into(), storage: Storage::Lazy(Arc::new(lazy)) })
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }
    /// Sizes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }
    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.shape.len()
    }
    /// Number of elements.
    pub fn len(&self) -> usize {
        element_count(&self.shape).unwrap_or(0)
    }
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Where the elements are.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }
    /// Bytes the elements take when packed; for strings, the sum of their lengths.
    pub fn byte_len(&self) -> usize {
        match &self.storage {
            Storage::Strings(s) => s.iter().map(String::len).sum(),
            _ => self.dtype.bytes(self.len()).unwrap_or(0),
        }
    }
    /// Type with these fixed sizes.
    pub fn ty(&self) -> TensorType {
        TensorType::fixed(self.dtype, &self.shape)
    }
    /// The same elements under other sizes; shares the storage.
    ///
    /// # Errors
    /// When the number of elements differs.
    pub fn reshape(&self, shape: &[usize]) -> Result<Self, TensorError> {
        if element_count(shape) != Some(self.len()) {
            return Err(TensorError::Shape(format!("cannot reshape {:?} to {shape:?}", self.shape)));
        }
        if let Storage::Lazy(_) = &self.storage
            && shape != self.shape()
        {
            // The expression is read by the sizes of the tensor that holds it.
            return Self::from_lazy(self.dtype, shape, Lazy::Reshape { x: self.clone() });
        }
        Ok(Self { dtype: self.dtype, shape: shape.into(), storage: self.storage.clone() })
    }
    /// The same storage read as another type of the same width.
    ///
    /// # Errors
    /// When the widths differ or either is a string.
    pub fn bitcast(&self, dtype: DType) -> Result<Self, TensorError> {
        if self.dtype.bits() != dtype.bits() || dtype.bits() == 0 {
            return Err(TensorError::DType { what: "a bit cast to another width", dtype });
        }
        Self::from_bytes(dtype, &self.shape, self.to_shared_bytes()?, None)
    }
    /// Elements as little-endian packed bytes, computed or copied only where the storage is not that already.
    ///
    /// # Errors
    /// For strings.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>, TensorError> {
        Ok(match &self.storage {
            Storage::Bytes(b, _) => Cow::Borrowed(b),
            Storage::Owned(d) => Cow::Borrowed(d.as_bytes()),
            Storage::Strings(_) => return Err(TensorError::DType { what: "raw bytes", dtype: self.dtype }),
            Storage::Splat(_) | Storage::Lazy(_) => {
                let mut out = vec![0; byte_count(self.dtype, &self.shape)?];
                self.read_bytes(0, &mut out)?;
                Cow::Owned(out)
            }
        })
    }
    /// Like [`Tensor::bytes`], sharing mapped storage.
    pub fn to_shared_bytes(&self) -> Result<Bytes, TensorError> {
        match &self.storage {
            Storage::Bytes(b, _) => Ok(b.clone()),
            _ => Ok(Bytes::from(self.bytes()?.into_owned())),
        }
    }
    /// Fills `out` with the packed bytes from byte `start` on. `start` and the length are multiples of the element
    /// width. Lets a writer stream a lazy tensor in bounded memory.
    ///
    /// # Errors
    /// When the range leaves the tensor, and for strings.
    pub fn read_bytes(&self, start: usize, out: &mut [u8]) -> Result<(), TensorError> {
        let end = start.checked_add(out.len()).filter(|e| *e <= self.byte_len());
        let Some(end) = end else {
            return Err(TensorError::Shape(format!("bytes {start}+{} lie outside the tensor", out.len())));
        };
        match &self.storage {
            Storage::Bytes(b, _) => out.copy_from_slice(&b[start..end]),
            Storage::Owned(d) => out.copy_from_slice(&d.as_bytes()[start..end]),
            Storage::Splat(element) => {
                fill_splat(self.dtype, *element, start, out);
                let used = self.len() % 8 * self.dtype.bits() as usize % 8;
                if let Some(last) =
                    out.last_mut().filter(|_| self.dtype.is_packed() && used > 0 && end == self.byte_len())
                {
                    *last &= (1 << used) - 1;
                }
            }
            Storage::Lazy(lazy) => lazy.read(self, start, out)?,
            Storage::Strings(_) => return Err(TensorError::DType { what: "raw bytes", dtype: self.dtype }),
        }
        Ok(())
    }
    /// Writes the packed bytes in pieces of at most 1 MiB.
    ///
    /// # Errors
    /// Those of `sink`; a tensor that cannot be read is `InvalidData`.
    pub fn write_to(&self, sink: &mut dyn io::Write) -> io::Result<()> {
        if let Storage::Bytes(b, _) = &self.storage {
            return sink.write_all(b);
        }
        if let Storage::Owned(d) = &self.storage {
            return sink.write_all(d.as_bytes());
        }
        let (total, mut at) = (self.byte_len(), 0);
        let mut piece = vec![0u8; total.min(1 << 20)];
        while at < total {
            let n = piece.len().min(total - at);
            self.read_bytes(at, &mut piece[..n])
                .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
            sink.write_all(&piece[..n])?;
            at += n;
        }
        Ok(())
    }
    /// Elements of a string tensor.
    ///
    /// # Errors
    /// When the elements are no strings.
    pub fn strings(&self) -> Result<&[String], TensorError> {
        match &self.storage {
            Storage::Strings(s) => Ok(s),
            _ => Err(TensorError::DType { what: "reading texts", dtype: self.dtype }),
        }
    }
    /// A tensor whose storage is neither lazy nor splat.
    pub fn materialize(&self) -> Result<Self, TensorError> {
        match &self.storage {
            Storage::Lazy(_) | Storage::Splat(_) => {
                Self::from_bytes(self.dtype, &self.shape, self.to_shared_bytes()?, None)
            }
            _ => Ok(self.clone()),
        }
    }
    /// Whether both hold the same elements, bit for bit, under the same type and sizes.
    pub fn same_bits(&self, other: &Self) -> bool {
        if self.dtype != other.dtype || self.shape != other.shape {
            return false;
        }
        match (&self.storage, &other.storage) {
            (Storage::Strings(a), Storage::Strings(b)) => a == b,
            (Storage::Splat(a), Storage::Splat(b)) => a == b,
            _ => matches!((self.bytes(), other.bytes()), (Ok(a), Ok(b)) if a == b),
        }
    }
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.same_bits(other)
    }
}

/// Packed bytes of `shape` elements.
///
/// # Errors
/// When the count overflows or the type has no fixed width.
pub fn byte_count(dtype: DType, shape: &[usize]) -> Result<usize, TensorError> {
    if dtype == DType::String {
        return Err(TensorError::DType { what: "a fixed width", dtype });
    }
    let count = element_count(shape).and_then(|n| dtype.bytes(n));
    count.filter(|n| isize::try_from(*n).is_ok()).ok_or_else(|| TensorError::TooLarge(shape.to_vec()))
}

/// Bytes from `start` on of a tensor full of `element`.
fn fill_splat(dtype: DType, element: [u8; 16], start: usize, out: &mut [u8]) {
    match dtype.bits() {
        4 => out.fill((element[0] & 15) * 0x11),
        2 => out.fill((element[0] & 3) * 0x55),
        6 => {
            let four = u32::from(element[0] & 63) * 0x41041;
            let bytes = four.to_le_bytes();
            out.iter_mut().enumerate().for_each(|(i, o)| *o = bytes[(start + i) % 3]);
        }
        8 => out.fill(element[0]),
        bits => {
            let width = bits as usize / 8;
            for piece in out.chunks_mut(width) {
                piece.copy_from_slice(&element[..piece.len()]);
            }
        }
    }
}

/// Row-major strides, in elements, of a dense tensor of these sizes.
pub fn strides(shape: &[usize]) -> Sizes {
    let mut out: Sizes = SmallVec::from_elem(1, shape.len());
    for i in (0..shape.len().saturating_sub(1)).rev() {
        out[i] = out[i + 1].saturating_mul(shape[i + 1]);
    }
    out
}
