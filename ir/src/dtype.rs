//! Element types.
use std::fmt;

/// Element type of a tensor: every type ONNX defines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum DType {
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
    /// IEEE binary16.
    F16,
    /// bfloat16: binary32 with 7 stored mantissa bits.
    BF16,
    /// 8-bit float, 4 exponent bits, no infinities.
    F8E4M3FN,
    /// 8-bit float, 4 exponent bits, no infinities, no negative zero.
    F8E4M3FNUZ,
    /// 8-bit float, 5 exponent bits, with infinities.
    F8E5M2,
    /// 8-bit float, 5 exponent bits, no infinities, no negative zero.
    F8E5M2FNUZ,
    /// 8-bit power-of-two scale (OCP MX).
    F8E8M0,
    /// 4-bit float (OCP MX), two per byte.
    F4E2M1,
    /// 6-bit float, 2 exponent bits (OCP MX), four in three bytes.
    F6E2M3,
    /// 6-bit float, 3 exponent bits (OCP MX), four in three bytes.
    F6E3M2,
    /// 2-bit signed integer, four per byte.
    I2,
    /// 4-bit signed integer, two per byte.
    I4,
    /// 8-bit signed integer.
    I8,
    /// 16-bit signed integer.
    I16,
    /// 32-bit signed integer.
    I32,
    /// 64-bit signed integer.
    I64,
    /// 2-bit unsigned integer, four per byte.
    U2,
    /// 4-bit unsigned integer, two per byte.
    U4,
    /// 8-bit unsigned integer.
    U8,
    /// 16-bit unsigned integer.
    U16,
    /// 32-bit unsigned integer.
    U32,
    /// 64-bit unsigned integer.
    U64,
    /// Truth value, one byte.
    Bool,
    /// UTF-8 text.
    String,
    /// Pair of `F32`: real, imaginary.
    C64,
    /// Pair of `F64`: real, imaginary.
    C128,
}

/// `(type, text name, bits per element)`; a string has no fixed width.
const TABLE: &[(DType, &str, u32)] = &[
    (DType::F32, "f32", 32),
    (DType::F64, "f64", 64),
    (DType::F16, "f16", 16),
    (DType::BF16, "bf16", 16),
    (DType::F8E4M3FN, "f8e4m3fn", 8),
    (DType::F8E4M3FNUZ, "f8e4m3fnuz", 8),
    (DType::F8E5M2, "f8e5m2", 8),
    (DType::F8E5M2FNUZ, "f8e5m2fnuz", 8),
    (DType::F8E8M0, "f8e8m0", 8),
    (DType::F4E2M1, "f4e2m1", 4),
    (DType::F6E2M3, "f6e2m3", 6),
    (DType::F6E3M2, "f6e3m2", 6),
    (DType::I2, "i2", 2),
    (DType::I4, "i4", 4),
    (DType::I8, "i8", 8),
    (DType::I16, "i16", 16),
    (DType::I32, "i32", 32),
    (DType::I64, "i64", 64),
    (DType::U2, "u2", 2),
    (DType::U4, "u4", 4),
    (DType::U8, "u8", 8),
    (DType::U16, "u16", 16),
    (DType::U32, "u32", 32),
    (DType::U64, "u64", 64),
    (DType::Bool, "bool", 8),
    (DType::String, "string", 0),
    (DType::C64, "c64", 64),
    (DType::C128, "c128", 128),
];

impl DType {
    /// Every element type, in declaration order.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|t| t.0)
    }
    /// Name in the text form, such as `f32`.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].1
    }
    /// The type of that text name.
    pub fn by_name(name: &str) -> Option<Self> {
        TABLE.iter().find(|t| t.1 == name).map(|t| t.0)
    }
    /// Bits of one element; 0 for strings.
    pub fn bits(self) -> u32 {
        TABLE[self as usize].2
    }
    /// Bytes that `elements` values take when packed; `None` for strings and on overflow.
    pub fn bytes(self, elements: usize) -> Option<usize> {
        match self.bits() {
            0 => None,
            b if b >= 8 => elements.checked_mul(b as usize / 8),
            b => Some(elements / 8 * b as usize + (elements % 8 * b as usize).div_ceil(8)),
        }
    }
    /// Whether elements are smaller than a byte and packed one behind the other, least significant bits first.
    pub fn is_packed(self) -> bool {
        matches!(self.bits(), 2 | 4 | 6)
    }
    /// Real floating-point types of any width.
    pub fn is_float(self) -> bool {
        self <= Self::F6E3M2
    }
    /// Signed or unsigned integers of any width (not `Bool`).
    pub fn is_int(self) -> bool {
        (Self::I2..=Self::U64).contains(&self)
    }
    /// Signed integers of any width.
    pub fn is_signed_int(self) -> bool {
        (Self::I2..=Self::I64).contains(&self)
    }
    /// Unsigned integers of any width.
    pub fn is_unsigned_int(self) -> bool {
        (Self::U2..=Self::U64).contains(&self)
    }
    /// `C64` and `C128`.
    pub fn is_complex(self) -> bool {
        matches!(self, Self::C64 | Self::C128)
    }
    /// Smallest and largest value of an integer type.
    pub fn int_range(self) -> Option<(i128, i128)> {
        let bits = self.bits();
        if self.is_signed_int() {
            Some((-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1))
        } else if self.is_unsigned_int() {
            Some((0, (1i128 << bits) - 1))
        } else {
            None
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of element types, as operator schemas constrain them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DTypeSet(u32);

impl DTypeSet {
    /// The set of exactly these types.
    pub const fn of(types: &[DType]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < types.len() {
            bits |= 1 << types[i] as u32;
            i += 1;
        }
        Self(bits)
    }
    /// Types in either set.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// Whether `dtype` is a member.
    pub const fn contains(self, dtype: DType) -> bool {
        self.0 & (1 << dtype as u32) != 0
    }
    /// Members in declaration order.
    pub fn iter(self) -> impl Iterator<Item = DType> {
        DType::all().filter(move |d| self.contains(*d))
    }
}

/// `f16 f32 f64 bf16`.
pub const FLOATS: DTypeSet = DTypeSet::of(&[DType::F16, DType::F32, DType::F64, DType::BF16]);
/// The 8-bit float types.
pub const FLOAT8: DTypeSet =
    DTypeSet::of(&[DType::F8E4M3FN, DType::F8E4M3FNUZ, DType::F8E5M2, DType::F8E5M2FNUZ, DType::F8E8M0]);
/// Signed integers of at least 8 bits.
pub const SIGNED: DTypeSet = DTypeSet::of(&[DType::I8, DType::I16, DType::I32, DType::I64]);
/// Unsigned integers of at least 8 bits.
pub const UNSIGNED: DTypeSet = DTypeSet::of(&[DType::U8, DType::U16, DType::U32, DType::U64]);
/// Integers of at least 8 bits.
pub const INTS: DTypeSet = SIGNED.or(UNSIGNED);
/// `FLOATS` and `INTS`.
pub const NUMERIC: DTypeSet = FLOATS.or(INTS);
/// `i32 i64`: what indices are.
pub const INDEX: DTypeSet = DTypeSet::of(&[DType::I32, DType::I64]);
/// `i64` alone.
pub const I64_ONLY: DTypeSet = DTypeSet::of(&[DType::I64]);
/// `f32` alone.
pub const F32_ONLY: DTypeSet = DTypeSet::of(&[DType::F32]);
/// `bool` alone.
pub const BOOL_ONLY: DTypeSet = DTypeSet::of(&[DType::Bool]);
/// Types narrower than a byte.
pub const PACKED: DTypeSet =
    DTypeSet::of(&[DType::F4E2M1, DType::F6E2M3, DType::F6E3M2, DType::I2, DType::I4, DType::U2, DType::U4]);
/// Every element type.
pub const ANY: DTypeSet = DTypeSet((1 << TABLE.len()) - 1);
/// Every type whose elements are whole bytes, and strings.
pub const ANY_UNPACKED: DTypeSet = DTypeSet(ANY.0 & !PACKED.0);
/// Every type except strings.
pub const ANY_FIXED: DTypeSet = DTypeSet(ANY.0 & !(1 << DType::String as u32));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_in_declaration_order_and_names_round_trip() {
        for (i, (d, name, _)) in TABLE.iter().enumerate() {
            assert_eq!(*d as usize, i);
            assert_eq!(DType::by_name(name), Some(*d));
        }
    }

    #[test]
    fn packed_types_round_up() {
        assert_eq!(DType::I4.bytes(3), Some(2));
        assert_eq!(DType::U2.bytes(5), Some(2));
        let six: Vec<_> = (0..6).map(|n| DType::F6E3M2.bytes(n)).collect();
        assert_eq!(six, [0, 1, 2, 3, 3, 4].map(Some));
        assert_eq!(DType::F6E2M3.bytes(usize::MAX), Some(usize::MAX / 4 * 3 + 3));
        assert_eq!(DType::F64.bytes(usize::MAX), None);
    }
}
