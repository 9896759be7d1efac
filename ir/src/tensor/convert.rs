//! Conversion between element types.
//!
//! Rules (ONNX `Cast`, newest opset): integers wrap when narrowed; floats truncate towards zero and, out of range, wrap
//! after saturating to 64 bits; floats round to nearest even when narrowed; 8-bit floats saturate when asked to; anything
//! but zero is `true`.
use super::numeric::{F8, decode_f8, decode_narrow, encode_f8, encode_narrow, narrow_magnitudes};
use super::{Tensor, TensorError, byte_count};
use crate::dtype::DType;
use half::{bf16, f16};
use num_complex::Complex;
use std::borrow::Cow;

/// Widest representation of each class of element types, without loss.
#[derive(Clone, Debug, PartialEq)]
pub enum Wide {
    /// Floats up to 32 bits.
    F32(Vec<f32>),
    /// `f64`.
    F64(Vec<f64>),
    /// Signed integers and `bool` (0 or 1).
    I64(Vec<i64>),
    /// Unsigned integers.
    U64(Vec<u64>),
    /// Complex numbers.
    C128(Vec<Complex<f64>>),
    /// Texts.
    Str(Vec<String>),
}

/// Unpacks elements of 2, 4 or 6 bits that lie one behind the other, least significant bits first; sign-extends when `signed`.
pub fn unpack(bytes: &[u8], bits: u32, count: usize, signed: bool) -> Vec<i8> {
    let mask = (1u8 << bits) - 1;
    let one = |i: usize| {
        let (byte, bit) = place(i, bits);
        let mut raw = bytes[byte] >> bit;
        if bit + bits > 8 {
            raw |= bytes[byte + 1] << (8 - bit);
        }
        raw &= mask;
        let sign = signed && raw >> (bits - 1) == 1;
        if sign { (raw | !mask) as i8 } else { raw as i8 }
    };
    (0..count).map(one).collect()
}

/// Byte that element `i` begins in and its lowest bit there.
fn place(i: usize, bits: u32) -> (usize, u32) {
    let bits = bits as usize;
    let bit = i % 8 * bits;
    (i / 8 * bits + bit / 8, (bit % 8) as u32)
}

/// Packs the low `bits` (2, 4 or 6) of each value one behind the other, least significant bits first.
pub fn pack(values: impl ExactSizeIterator<Item = u8>, bits: u32) -> Vec<u8> {
    let mut out =
        vec![0u8; (values.len() / 8) * bits as usize + (values.len() % 8 * bits as usize).div_ceil(8)];
    for (i, v) in values.enumerate() {
        let v = v & ((1 << bits) - 1);
        let (byte, bit) = place(i, bits);
        out[byte] |= v << bit;
        if bit + bits > 8 {
            out[byte + 1] |= v >> (8 - bit);
        }
    }
    out
}

/// The 8-bit floats that `dtype` is.
pub(super) fn f8_kind(dtype: DType) -> Option<F8> {
    Some(match dtype {
        DType::F8E4M3FN => F8::E4M3FN,
        DType::F8E4M3FNUZ => F8::E4M3FNUZ,
        DType::F8E5M2 => F8::E5M2,
        DType::F8E5M2FNUZ => F8::E5M2FNUZ,
        DType::F8E8M0 => F8::E8M0,
        _ => return None,
    })
}

impl Tensor {
    /// All elements in the widest representation of their class.
    ///
    /// # Errors
    /// When a lazy tensor cannot be computed.
    pub fn widen(&self) -> Result<Wide, TensorError> {
        let n = self.len();
        if let Some(kind) = f8_kind(self.dtype()) {
            return Ok(Wide::F32(self.bytes()?.iter().map(|b| decode_f8(*b, kind)).collect()));
        }
        if let Some(table) = narrow_magnitudes(self.dtype()) {
            let codes = unpack(&self.bytes()?, self.dtype().bits(), n, false);
            return Ok(Wide::F32(codes.into_iter().map(|v| decode_narrow(v as u8, table)).collect()));
        }
        Ok(match self.dtype() {
            DType::F32 => Wide::F32(self.view::<f32>()?.into_owned()),
            DType::F64 => Wide::F64(self.view::<f64>()?.into_owned()),
            DType::F16 => Wide::F32(self.view::<f16>()?.iter().map(|v| v.to_f32()).collect()),
            DType::BF16 => Wide::F32(self.view::<bf16>()?.iter().map(|v| v.to_f32()).collect()),
            DType::I2 | DType::I4 => Wide::I64(
                unpack(&self.bytes()?, self.dtype().bits(), n, true).into_iter().map(i64::from).collect(),
            ),
            DType::U2 | DType::U4 => {
                let raw = unpack(&self.bytes()?, self.dtype().bits(), n, false);
                Wide::U64(raw.into_iter().map(|v| u64::from(v as u8)).collect())
            }
            DType::I8 => Wide::I64(self.view::<i8>()?.iter().map(|v| i64::from(*v)).collect()),
            DType::I16 => Wide::I64(self.view::<i16>()?.iter().map(|v| i64::from(*v)).collect()),
            DType::I32 => Wide::I64(self.view::<i32>()?.iter().map(|v| i64::from(*v)).collect()),
            DType::I64 => Wide::I64(self.view::<i64>()?.into_owned()),
            DType::U8 => Wide::U64(self.view::<u8>()?.iter().map(|v| u64::from(*v)).collect()),
            DType::U16 => Wide::U64(self.view::<u16>()?.iter().map(|v| u64::from(*v)).collect()),
            DType::U32 => Wide::U64(self.view::<u32>()?.iter().map(|v| u64::from(*v)).collect()),
            DType::U64 => Wide::U64(self.view::<u64>()?.into_owned()),
            DType::Bool => Wide::I64(self.bytes()?.iter().map(|v| i64::from(*v != 0)).collect()),
            DType::C64 => {
                let wide = |v: &Complex<f32>| Complex::new(f64::from(v.re), f64::from(v.im));
                Wide::C128(self.view::<Complex<f32>>()?.iter().map(wide).collect())
            }
            DType::C128 => Wide::C128(self.view::<Complex<f64>>()?.into_owned()),
            DType::String => Wide::Str(self.strings()?.to_vec()),
            DType::F8E4M3FN
            | DType::F8E4M3FNUZ
            | DType::F8E5M2
            | DType::F8E5M2FNUZ
            | DType::F8E8M0
            | DType::F4E2M1
            | DType::F6E2M3
            | DType::F6E3M2 => {
                return Err(TensorError::DType { what: "widening", dtype: self.dtype() });
            }
        })
    }
    /// Elements as `f32`: borrowed when they are, else converted (rounded from `f64` and wide integers).
    ///
    /// # Errors
    /// For strings and complex numbers.
    pub fn to_f32s(&self) -> Result<Cow<'_, [f32]>, TensorError> {
        if self.dtype() == DType::F32 {
            return self.view::<f32>();
        }
        Ok(Cow::Owned(match self.widen()? {
            Wide::F32(v) => v,
            Wide::F64(v) => v.into_iter().map(|x| x as f32).collect(),
            Wide::I64(v) => v.into_iter().map(|x| x as f32).collect(),
            Wide::U64(v) => v.into_iter().map(|x| x as f32).collect(),
            Wide::C128(_) | Wide::Str(_) => {
                return Err(TensorError::DType { what: "f32 values", dtype: self.dtype() });
            }
        }))
    }
    /// Elements as `f64`.
    ///
    /// # Errors
    /// For strings and complex numbers.
    pub fn to_f64s(&self) -> Result<Vec<f64>, TensorError> {
        Ok(match self.widen()? {
            Wide::F32(v) => v.into_iter().map(f64::from).collect(),
            Wide::F64(v) => v,
            Wide::I64(v) => v.into_iter().map(|x| x as f64).collect(),
            Wide::U64(v) => v.into_iter().map(|x| x as f64).collect(),
            Wide::C128(_) | Wide::Str(_) => {
                return Err(TensorError::DType { what: "f64 values", dtype: self.dtype() });
            }
        })
    }
    /// Elements of an integer or `bool` tensor as `i64` (`u64` values wrap).
    ///
    /// # Errors
    /// For other types.
    pub fn to_i64s(&self) -> Result<Vec<i64>, TensorError> {
        match self.widen()? {
            Wide::I64(v) => Ok(v),
            Wide::U64(v) => Ok(v.into_iter().map(|x| x as i64).collect()),
            _ => Err(TensorError::DType { what: "integer values", dtype: self.dtype() }),
        }
    }
    /// Elements of a `bool` tensor.
    ///
    /// # Errors
    /// For other types.
    pub fn to_bools(&self) -> Result<Vec<bool>, TensorError> {
        if self.dtype() != DType::Bool {
            return Err(TensorError::DType { what: "truth values", dtype: self.dtype() });
        }
        Ok(self.bytes()?.iter().map(|b| *b != 0).collect())
    }
    /// The single `i64`-convertible element, if there is exactly one.
    pub fn as_int(&self) -> Option<i64> {
        if self.len() == 1 { self.to_i64s().ok()?.first().copied() } else { None }
    }
    /// The single number, if there is exactly one.
    pub fn as_f64(&self) -> Option<f64> {
        if self.len() == 1 { self.to_f64s().ok()?.first().copied() } else { None }
    }
    /// A tensor of `dtype` from wide values. Integers wrap, floats round to nearest even, 8-bit floats saturate when asked to, narrower ones always.
    ///
    /// # Errors
    /// When the count does not fit `shape`, or texts do not parse as numbers.
    pub fn from_wide(
        dtype: DType,
        shape: &[usize],
        values: &Wide,
        saturate: bool,
    ) -> Result<Self, TensorError> {
        let count = super::element_count(shape);
        if count != Some(values.len()) {
            return Err(TensorError::Shape(format!("{} values do not fill shape {shape:?}", values.len())));
        }
        if let Some(kind) = f8_kind(dtype) {
            let raw = values
                .floats()?
                .into_iter()
                .map(|v| encode_f8(v as f32, kind, saturate))
                .collect::<Vec<u8>>();
            return Self::from_bytes(dtype, shape, raw.into(), None);
        }
        if let Some(table) = narrow_magnitudes(dtype) {
            let codes = values.floats()?.into_iter().map(|v| encode_narrow(v as f32, table));
            return Self::from_bytes(dtype, shape, pack(codes, dtype.bits()).into(), None);
        }
        Ok(match dtype {
            DType::F32 => Self::from_vec(shape, values.f32s()?),
            DType::F64 => Self::from_vec(shape, values.floats()?),
            DType::F16 => Self::from_vec(shape, values.map_float(f16::from_f32, f16::from_f64)?),
            DType::BF16 => Self::from_vec(shape, values.map_float(bf16::from_f32, bf16::from_f64)?),
            DType::I2 | DType::I4 | DType::U2 | DType::U4 => {
                let raw = pack(values.ints()?.into_iter().map(|v| v as u8), dtype.bits());
                debug_assert_eq!(Ok(raw.len()), byte_count(dtype, shape));
                Self::from_bytes(dtype, shape, raw.into(), None)?
            }
            DType::I8 => Self::from_vec(shape, values.map_int(|v| v as i8)?),
            DType::I16 => Self::from_vec(shape, values.map_int(|v| v as i16)?),
            DType::I32 => Self::from_vec(shape, values.map_int(|v| v as i32)?),
            DType::I64 => Self::from_vec(shape, values.map_int(|v| v as i64)?),
            DType::U8 => Self::from_vec(shape, values.map_int(|v| v as u8)?),
            DType::U16 => Self::from_vec(shape, values.map_int(|v| v as u16)?),
            DType::U32 => Self::from_vec(shape, values.map_int(|v| v as u32)?),
            DType::U64 => Self::from_vec(shape, values.map_int(|v| v as u64)?),
            DType::Bool => Self::from_bools(shape, values.truths()?),
            DType::C64 => {
                let narrow = |v: Complex<f64>| Complex::new(v.re as f32, v.im as f32);
                Self::from_vec(shape, values.complexes()?.into_iter().map(narrow).collect())
            }
            DType::C128 => Self::from_vec(shape, values.complexes()?),
            DType::String => Self::from_strings(shape, values.texts()),
            DType::F8E4M3FN
            | DType::F8E4M3FNUZ
            | DType::F8E5M2
            | DType::F8E5M2FNUZ
            | DType::F8E8M0
            | DType::F4E2M1
            | DType::F6E2M3
            | DType::F6E3M2 => {
                return Err(TensorError::DType { what: "narrowing", dtype });
            }
        })
    }
    /// The elements converted to `dtype` by the rules of this module.
    ///
    /// # Errors
    /// When texts do not parse as numbers.
    pub fn cast(&self, dtype: DType, saturate: bool) -> Result<Self, TensorError> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        if let super::Storage::Splat(_) = self.storage()
            && dtype != DType::String
            && !self.is_empty()
        {
            let one = Self::from_bytes(self.dtype(), &[1], self.first_element_bytes()?, None)?;
            return Self::splat(&one.cast(dtype, saturate)?, self.shape());
        }
        Self::from_wide(dtype, self.shape(), &self.widen()?, saturate)
    }
    fn first_element_bytes(&self) -> Result<bytes::Bytes, TensorError> {
        let mut one = vec![0; self.dtype().bytes(1).unwrap_or(1)];
        self.read_bytes(0, &mut one)?;
        Ok(one.into())
    }
}

impl Wide {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::U64(v) => v.len(),
            Self::C128(v) => v.len(),
            Self::Str(v) => v.len(),
        }
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    fn f32s(&self) -> Result<Vec<f32>, TensorError> {
        Ok(match self {
            Self::F32(v) => v.clone(),
            Self::I64(v) => v.iter().map(|x| *x as f32).collect(),
            Self::U64(v) => v.iter().map(|x| *x as f32).collect(),
            _ => self.floats()?.into_iter().map(|x| x as f32).collect(),
        })
    }
    fn floats(&self) -> Result<Vec<f64>, TensorError> {
        Ok(match self {
            Self::F32(v) => v.iter().map(|x| f64::from(*x)).collect(),
            Self::F64(v) => v.clone(),
            Self::I64(v) => v.iter().map(|x| *x as f64).collect(),
            Self::U64(v) => v.iter().map(|x| *x as f64).collect(),
            Self::C128(v) => v.iter().map(|x| x.re).collect(),
            Self::Str(v) => v.iter().map(|s| parse_float(s)).collect::<Result<_, _>>()?,
        })
    }
    fn map_float<T>(&self, single: fn(f32) -> T, double: fn(f64) -> T) -> Result<Vec<T>, TensorError> {
        if let Self::F32(v) = self {
            return Ok(v.iter().map(|x| single(*x)).collect());
        }
        Ok(self.floats()?.into_iter().map(double).collect())
    }
    fn map_int<T>(&self, f: fn(i128) -> T) -> Result<Vec<T>, TensorError> {
        Ok(self.ints()?.into_iter().map(f).collect())
    }
    fn ints(&self) -> Result<Vec<i128>, TensorError> {
        Ok(match self {
            Self::I64(v) => v.iter().map(|x| i128::from(*x)).collect(),
            Self::U64(v) => v.iter().map(|x| i128::from(*x)).collect(),
            Self::Str(v) => v.iter().map(|s| parse_int(s)).collect::<Result<_, _>>()?,
            _ => self.floats()?.into_iter().map(float_to_int).collect(),
        })
    }
    fn truths(&self) -> Result<Vec<bool>, TensorError> {
        Ok(match self {
            Self::I64(v) => v.iter().map(|x| *x != 0).collect(),
            Self::U64(v) => v.iter().map(|x| *x != 0).collect(),
            Self::C128(v) => v.iter().map(|x| x.re != 0.0 || x.im != 0.0).collect(),
            _ => self.floats()?.into_iter().map(|x| x != 0.0).collect(),
        })
    }
    fn complexes(&self) -> Result<Vec<Complex<f64>>, TensorError> {
        if let Self::C128(v) = self {
            return Ok(v.clone());
        }
        Ok(self.floats()?.into_iter().map(|x| Complex::new(x, 0.0)).collect())
    }
    fn texts(&self) -> Vec<String> {
        match self {
            Self::F32(v) => v.iter().map(|x| float_text(f64::from(*x), &x.to_string())).collect(),
            Self::F64(v) => v.iter().map(|x| float_text(*x, &x.to_string())).collect(),
            Self::I64(v) => v.iter().map(ToString::to_string).collect(),
            Self::U64(v) => v.iter().map(ToString::to_string).collect(),
            Self::C128(v) => v.iter().map(ToString::to_string).collect(),
            Self::Str(v) => v.clone(),
        }
    }
}

/// Truncates towards zero; out of the 64-bit range it saturates there, and NaN gives the smallest value, as x86-64 and the
/// ONNX runtimes do.
fn float_to_int(v: f64) -> i128 {
    if v.is_nan() {
        i128::from(i64::MIN)
    } else if v >= 1.8e19 {
        i128::from(u64::MAX)
    } else {
        v as i128
    }
}

fn parse_float(s: &str) -> Result<f64, TensorError> {
    let text = s.trim();
    let special = match text.to_ascii_lowercase().as_str() {
        "inf" | "+inf" | "infinity" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        "nan" => Some(f64::NAN),
        _ => None,
    };
    special.map_or_else(|| text.parse(), Ok).map_err(|_| TensorError::Shape(format!("`{s}` is no number")))
}

fn parse_int(s: &str) -> Result<i128, TensorError> {
    s.trim().parse::<i128>().or_else(|_| parse_float(s).map(float_to_int))
}

/// Numbers as ONNX prints them: `NaN`, `INF`, `-INF`, else the shortest that reads back.
fn float_text(v: f64, shortest: &str) -> String {
    if v.is_nan() {
        "NaN".to_owned()
    } else if v.is_infinite() {
        if v > 0.0 { "INF" } else { "-INF" }.to_owned()
    } else {
        shortest.to_owned()
    }
}
