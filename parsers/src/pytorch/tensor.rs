//! PyTorch's element types, and views of storages made contiguous.

use std::fmt;

use bytes::Bytes;
use thiserror::Error;

/// Size up to which a strided or expanded view may grow when made dense, whatever its storage's size.
const FREE_DENSE: u64 = 64 << 20;

/// Largest accepted ratio of dense size to storage size above [`FREE_DENSE`].
const MAX_EXPANSION: u64 = 64;

/// Element type of a PyTorch tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is the PyTorch dtype of the same name")]
pub enum TorchDtype {
    UInt8,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt16,
    UInt32,
    UInt64,
    Float16,
    Float32,
    Float64,
    BFloat16,
    Complex32,
    Complex64,
    Complex128,
    Bool,
    Float8E4M3Fn,
    Float8E5M2,
    Float8E4M3FnUz,
    Float8E5M2FnUz,
    Float8E8M0Fnu,
    QUInt8,
    QInt8,
    QInt32,
}

/// Name in `torch`, name of the typed storage class (empty: none), bytes per element, exported-program code.
type Row = (TorchDtype, &'static str, &'static str, usize, u32);

/// The codes are those of `ScalarType` in `torch/_export/serde/schema.py`; 0 stands for none.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    (TorchDtype::UInt8, "uint8", "ByteStorage", 1, 1),
    (TorchDtype::Int8, "int8", "CharStorage", 1, 2),
    (TorchDtype::Int16, "int16", "ShortStorage", 2, 3),
    (TorchDtype::Int32, "int32", "IntStorage", 4, 4),
    (TorchDtype::Int64, "int64", "LongStorage", 8, 5),
    (TorchDtype::Float16, "float16", "HalfStorage", 2, 6),
    (TorchDtype::Float32, "float32", "FloatStorage", 4, 7),
    (TorchDtype::Float64, "float64", "DoubleStorage", 8, 8),
    (TorchDtype::Complex32, "complex32", "ComplexHalfStorage", 4, 9),
    (TorchDtype::Complex64, "complex64", "ComplexFloatStorage", 8, 10),
    (TorchDtype::Complex128, "complex128", "ComplexDoubleStorage", 16, 11),
    (TorchDtype::Bool, "bool", "BoolStorage", 1, 12),
    (TorchDtype::BFloat16, "bfloat16", "BFloat16Storage", 2, 13),
    (TorchDtype::UInt16, "uint16", "", 2, 28),
    (TorchDtype::Float8E4M3Fn, "float8_e4m3fn", "", 1, 29),
    (TorchDtype::Float8E5M2, "float8_e5m2", "", 1, 30),
    (TorchDtype::Float8E4M3FnUz, "float8_e4m3fnuz", "", 1, 31),
    (TorchDtype::Float8E5M2FnUz, "float8_e5m2fnuz", "", 1, 32),
    (TorchDtype::Float8E8M0Fnu, "float8_e8m0fnu", "", 1, 33),
    (TorchDtype::UInt32, "uint32", "", 4, 34),
    (TorchDtype::UInt64, "uint64", "", 8, 35),
    (TorchDtype::QUInt8, "quint8", "QUInt8Storage", 1, 0),
    (TorchDtype::QInt8, "qint8", "QInt8Storage", 1, 0),
    (TorchDtype::QInt32, "qint32", "QInt32Storage", 4, 0),
];

/// Second names that `torch` gives some dtypes.
const ALIASES: &[(&str, TorchDtype)] = &[
    ("float", TorchDtype::Float32),
    ("double", TorchDtype::Float64),
    ("half", TorchDtype::Float16),
    ("short", TorchDtype::Int16),
    ("int", TorchDtype::Int32),
    ("long", TorchDtype::Int64),
    ("chalf", TorchDtype::Complex32),
    ("cfloat", TorchDtype::Complex64),
    ("cdouble", TorchDtype::Complex128),
];

impl TorchDtype {
    fn row(self) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.0 == self)
    }

    /// Name of the dtype in the `torch` module, as in `torch.float32`.
    pub fn name(self) -> &'static str {
        self.row().map_or("unknown", |row| row.1)
    }

    /// Bytes per element.
    pub fn size(self) -> usize {
        self.row().map_or(1, |row| row.3)
    }

    /// The dtype called `name` in the `torch` module.
    pub fn from_name(name: &str) -> Option<Self> {
        let listed = TABLE.iter().find(|row| row.1 == name).map(|row| row.0);
        listed.or_else(|| ALIASES.iter().find(|row| row.0 == name).map(|row| row.1))
    }

    /// The element type of the typed storage class called `name`, as `FloatStorage`. `UntypedStorage` is bytes.
    pub fn from_storage_class(name: &str) -> Option<Self> {
        if name == "UntypedStorage" {
            return Some(Self::UInt8);
        }
        TABLE.iter().find(|row| !row.2.is_empty() && row.2 == name).map(|row| row.0)
    }

    /// Its code in exported-program JSON, if it has one.
    pub fn code(self) -> Option<u32> {
        self.row().map(|row| row.4).filter(|&code| code != 0)
    }

    /// The dtype with this code in exported-program JSON.
    pub fn from_code(code: u32) -> Option<Self> {
        TABLE.iter().find(|row| row.4 != 0 && row.4 == code).map(|row| row.0)
    }
}

impl fmt::Display for TorchDtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "torch.{}", self.name())
    }
}

/// Why a view does not fit its storage.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TensorError {
    /// A size, stride or offset is negative.
    #[error("the tensor's {what} is negative ({value}); the file is damaged")]
    Negative {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: i64,
    },
    /// Sizes and strides have different lengths.
    #[error("the tensor has {sizes} sizes and {strides} strides; the file is damaged")]
    Rank {
        /// Number of sizes.
        sizes: usize,
        /// Number of strides.
        strides: usize,
    },
    /// The view's size does not fit 64 bits.
    #[error("a tensor of sizes {0:?} does not fit any memory; the file is damaged or hostile")]
    Overflow(Vec<u64>),
    /// The view reaches past its storage.
    #[error(
        "the tensor needs {needed} bytes of its storage, which holds {held}; the file is cut off or damaged"
    )]
    OutOfStorage {
        /// Bytes up to the last element.
        needed: u64,
        /// Bytes there are.
        held: u64,
    },
    /// The IR has no such element type.
    #[error("elements of type {0} are not read")]
    Type(TorchDtype),
    /// The tensor cannot be made.
    #[error("{0}")]
    Made(String),
    /// Making an expanded view dense would grow it out of proportion.
    #[error("a tensor of {dense} bytes is expanded from a storage of {held}; materialize it before export")]
    Expansion {
        /// Bytes when dense.
        dense: u64,
        /// Bytes of the storage.
        held: u64,
    },
}

/// A tensor's window on a storage. Sizes, strides and offset count elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Element type.
    pub dtype: TorchDtype,
    /// Extent of each dimension.
    pub sizes: Vec<u64>,
    /// Elements between neighbours of each dimension; as long as `sizes`.
    pub strides: Vec<u64>,
    /// First element.
    pub offset: u64,
}

impl View {
    /// Builds a view from numbers of a file.
    ///
    /// # Errors
    /// [`TensorError`] when a number is negative or the ranks differ.
    pub fn new(dtype: TorchDtype, sizes: &[i64], strides: &[i64], offset: i64) -> Result<Self, TensorError> {
        if sizes.len() != strides.len() {
            return Err(TensorError::Rank { sizes: sizes.len(), strides: strides.len() });
        }
        let all = |what, list: &[i64]| {
            list.iter().map(|&value| unsigned(what, value)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            dtype,
            sizes: all("size", sizes)?,
            strides: all("stride", strides)?,
            offset: unsigned("storage offset", offset)?,
        })
    }

    /// Number of elements.
    ///
    /// # Errors
    /// [`TensorError::Overflow`] when it does not fit 64 bits.
    pub fn numel(&self) -> Result<u64, TensorError> {
        if self.sizes.contains(&0) {
            return Ok(0);
        }
        let product = self.sizes.iter().try_fold(1_u64, |n, &size| n.checked_mul(size));
        product.ok_or_else(|| self.overflow())
    }

    /// Whether the elements lie in row-major order without gaps. Dimensions of extent 1 have no say.
    pub fn is_contiguous(&self) -> bool {
        if self.sizes.contains(&0) {
            return true;
        }
        let mut expected = 1_u64;
        for (&size, &stride) in self.sizes.iter().zip(&self.strides).rev() {
            if size != 1 && stride != expected {
                return false;
            }
            expected = expected.saturating_mul(size);
        }
        true
    }

    /// The view's elements in row-major order: a slice of `storage` when they lie so, a new buffer otherwise.
    ///
    /// # Errors
    /// [`TensorError`] when the view leaves the storage, or would be far larger than it when dense.
    pub fn read(&self, storage: &Bytes) -> Result<Bytes, TensorError> {
        let width = self.dtype.size() as u64;
        let dense = self.numel()?.checked_mul(width).ok_or_else(|| self.overflow())?;
        if dense == 0 {
            return Ok(Bytes::new());
        }
        let held = storage.len() as u64;
        let needed = self.span().and_then(|n| n.checked_mul(width)).ok_or_else(|| self.overflow())?;
        if needed > held {
            return Err(TensorError::OutOfStorage { needed, held });
        }
        if self.is_contiguous() {
            let start = (self.offset * width) as usize;
            return Ok(storage.slice(start..needed as usize));
        }
        if dense > FREE_DENSE.max(held.saturating_mul(MAX_EXPANSION)) {
            return Err(TensorError::Expansion { dense, held });
        }
        Ok(self.gather(storage, dense as usize))
    }

    /// One past the last element that a view without empty dimensions touches.
    fn span(&self) -> Option<u64> {
        let mut last = self.offset;
        for (&size, &stride) in self.sizes.iter().zip(&self.strides) {
            last = last.checked_add((size - 1).checked_mul(stride)?)?;
        }
        last.checked_add(1)
    }

    /// Copies the elements in row-major order. The view has been checked to lie in `storage`.
    fn gather(&self, storage: &[u8], dense: usize) -> Bytes {
        let width = self.dtype.size();
        let mut out = Vec::with_capacity(dense);
        let mut index = vec![0_u64; self.sizes.len()];
        let mut at = self.offset;
        while out.len() < dense {
            let start = at as usize * width;
            out.extend_from_slice(storage.get(start..start + width).unwrap_or_default());
            for (axis, i) in index.iter_mut().enumerate().rev() {
                let (size, stride) = (self.sizes[axis], self.strides[axis]);
                *i += 1;
                at += stride;
                if *i < size {
                    break;
                }
                at -= stride * size;
                *i = 0;
            }
        }
        Bytes::from(out)
    }

    fn overflow(&self) -> TensorError {
        TensorError::Overflow(self.sizes.clone())
    }
}

fn unsigned(what: &'static str, value: i64) -> Result<u64, TensorError> {
    u64::try_from(value).map_err(|_| TensorError::Negative { what, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(sizes: &[i64], strides: &[i64], offset: i64) -> View {
        View::new(TorchDtype::Int16, sizes, strides, offset).unwrap()
    }

    fn storage(elements: u8) -> Bytes {
        (0..elements).flat_map(|i| [i, 100]).collect()
    }

    fn values(bytes: &Bytes) -> Vec<u8> {
        bytes.chunks(2).map(|pair| pair[0]).collect()
    }

    #[test]
    fn contiguous_views_are_slices() {
        let bytes = storage(12);
        let read = view(&[2, 1, 3], &[3, 99, 1], 2).read(&bytes).unwrap();
        assert_eq!(values(&read), [2, 3, 4, 5, 6, 7]);
        assert_eq!(read.as_ptr() as usize - bytes.as_ptr() as usize, 4);
    }

    #[test]
    fn strided_and_expanded_views_are_gathered() {
        let bytes = storage(6);
        assert_eq!(values(&view(&[3, 2], &[1, 3], 0).read(&bytes).unwrap()), [0, 3, 1, 4, 2, 5]);
        assert_eq!(values(&view(&[2, 2], &[0, 1], 4).read(&bytes).unwrap()), [4, 5, 4, 5]);
        assert_eq!(values(&view(&[2], &[5], 0).read(&bytes).unwrap()), [0, 5]);
    }

    #[test]
    fn scalars_and_empty_views() {
        assert_eq!(values(&view(&[], &[], 3).read(&storage(4)).unwrap()), [3]);
        assert!(view(&[0, 5], &[5, 1], 9).read(&storage(1)).unwrap().is_empty());
        assert!(view(&[i64::MAX, 0, 8], &[1, 1, 1], 0).read(&storage(1)).unwrap().is_empty());
    }

    #[test]
    fn views_that_do_not_fit_are_refused() {
        let bytes = storage(4);
        let err =
            |sizes: &[i64], strides: &[i64], offset| view(sizes, strides, offset).read(&bytes).unwrap_err();
        assert_eq!(err(&[5], &[1], 0), TensorError::OutOfStorage { needed: 10, held: 8 });
        assert_eq!(err(&[1], &[1], 4), TensorError::OutOfStorage { needed: 10, held: 8 });
        assert!(matches!(err(&[2], &[i64::MAX], 1), TensorError::Overflow(_)));
        assert!(matches!(err(&[1 << 32, 1 << 32], &[0, 0], 0), TensorError::Overflow(_)));
        assert!(matches!(err(&[1_000_000, 1_000_000], &[0, 0], 0), TensorError::Expansion { .. }));
        assert!(View::new(TorchDtype::Bool, &[-1], &[1], 0).is_err());
        assert!(View::new(TorchDtype::Bool, &[1], &[1, 1], 0).is_err());
    }

    #[test]
    fn dtype_names_storages_and_codes() {
        assert_eq!(TorchDtype::from_name("half"), Some(TorchDtype::Float16));
        assert_eq!(TorchDtype::from_storage_class("BFloat16Storage"), Some(TorchDtype::BFloat16));
        assert_eq!(TorchDtype::from_storage_class(""), None);
        assert_eq!(TorchDtype::from_code(29), Some(TorchDtype::Float8E4M3Fn));
        assert_eq!(TorchDtype::from_code(35), Some(TorchDtype::UInt64));
        assert_eq!(TorchDtype::from_code(0), None);
        assert_eq!(TorchDtype::Complex128.size(), 16);
    }
}
