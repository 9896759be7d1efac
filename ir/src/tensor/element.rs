//! Rust types that are tensor elements, and typed access to tensors.
use super::{Storage, Tensor, TensorError};
use crate::dtype::DType;
use crate::kernel::packs::Packs;
use half::{bf16, f16};
use num_complex::Complex;
use std::any::Any;
use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

/// An owned vector of elements behind a tensor.
pub trait Data: Any + Send + Sync + Debug {
    /// The elements as bytes in the machine's order (little-endian on all supported targets).
    fn as_bytes(&self) -> &[u8];
    /// For looking behind the trait.
    fn as_any(&self) -> &dyn Any;
    /// For recovering the vector.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<T: bytemuck::NoUninit + Send + Sync + Debug> Data for Vec<T> {
    fn as_bytes(&self) -> &[u8] {
        bytemuck::must_cast_slice(self.as_slice())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// Elements of weights with room for their packed form.
#[derive(Debug)]
struct Weights<T> {
    elements: Vec<T>,
    packs: Packs<T>,
}

impl<T: Element> Data for Weights<T> {
    fn as_bytes(&self) -> &[u8] {
        bytemuck::must_cast_slice(self.elements.as_slice())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// A Rust type that stores elements of one [`DType`] directly. Types without one (`bool`, 8-bit floats, packed types) go
/// through the conversions of [`super::convert`].
pub trait Element: bytemuck::Pod + PartialEq + Debug + Send + Sync {
    /// Its element type.
    const DTYPE: DType;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
}
impl Element for f64 {
    const DTYPE: DType = DType::F64;
}
impl Element for f16 {
    const DTYPE: DType = DType::F16;
}
impl Element for bf16 {
    const DTYPE: DType = DType::BF16;
}
impl Element for i8 {
    const DTYPE: DType = DType::I8;
}
impl Element for i16 {
    const DTYPE: DType = DType::I16;
}
impl Element for i32 {
    const DTYPE: DType = DType::I32;
}
impl Element for i64 {
    const DTYPE: DType = DType::I64;
}
impl Element for u8 {
    const DTYPE: DType = DType::U8;
}
impl Element for u16 {
    const DTYPE: DType = DType::U16;
}
impl Element for u32 {
    const DTYPE: DType = DType::U32;
}
impl Element for u64 {
    const DTYPE: DType = DType::U64;
}
impl Element for Complex<f32> {
    const DTYPE: DType = DType::C64;
}
impl Element for Complex<f64> {
    const DTYPE: DType = DType::C128;
}

impl Tensor {
    /// The elements, borrowed where the storage is aligned and dense, else copied.
    ///
    /// # Errors
    /// When the element type is not `T`'s.
    pub fn view<T: Element>(&self) -> Result<Cow<'_, [T]>, TensorError> {
        if self.dtype() != T::DTYPE {
            return Err(TensorError::DType { what: T::DTYPE.name(), dtype: self.dtype() });
        }
        Ok(match self.bytes()? {
            Cow::Borrowed(b) => match bytemuck::try_cast_slice(b) {
                Ok(s) => Cow::Borrowed(s),
                Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(b)),
            },
            Cow::Owned(b) => Cow::Owned(bytemuck::pod_collect_to_vec(&b)),
        })
    }
    /// The elements as a vector: the tensor's own one when nothing else shares it, else a copy.
    ///
    /// # Errors
    /// When the element type is not `T`'s.
    pub fn into_vec<T: Element>(self) -> Result<Vec<T>, TensorError> {
        if self.dtype() != T::DTYPE {
            return Err(TensorError::DType { what: T::DTYPE.name(), dtype: self.dtype() });
        }
        match self.storage {
            Storage::Owned(data) if data.as_any().is::<Vec<T>>() => {
                match data.into_any().downcast::<Vec<T>>() {
                    Ok(shared) => Ok(Arc::try_unwrap(shared).unwrap_or_else(|s| s.as_ref().clone())),
                    Err(_) => Err(TensorError::DType { what: T::DTYPE.name(), dtype: self.dtype }),
                }
            }
            _ => Ok(self.view::<T>()?.into_owned()),
        }
    }
    /// The same tensor with room for the packed form that matrix products and convolutions read, which the first of them fills.
    /// All tensors that share its storage share it.
    ///
    /// # Errors
    /// When the element type is not `T`'s.
    pub fn with_packs<T: Element>(self) -> Result<Self, TensorError> {
        let shape = self.shape.clone();
        let elements = self.into_vec::<T>()?;
        let data = Arc::new(Weights { elements, packs: Packs::default() });
        Ok(Self { dtype: T::DTYPE, shape, storage: Storage::Owned(data) })
    }
    /// Where the packed form of the elements is kept, if there is room for it.
    pub fn packs<T: Element>(&self) -> Option<&Packs<T>> {
        let Storage::Owned(data) = self.storage() else { return None };
        data.as_any().downcast_ref::<Weights<T>>().map(|w| &w.packs)
    }
    /// One byte per element of a `bool`, `u8`, `i8` or 8-bit float tensor.
    ///
    /// # Errors
    /// For other widths.
    pub fn raw_u8(&self) -> Result<Cow<'_, [u8]>, TensorError> {
        if self.dtype().bits() == 8 {
            self.bytes()
        } else {
            Err(TensorError::DType { what: "one byte per element", dtype: self.dtype() })
        }
    }
}
