//! safetensors: a length, a JSON header, and the elements of all tensors one after another.
//!
//! The header maps names to element type, sizes and byte range; `__metadata__` maps texts to texts. Everything is little endian.
//! Source: the format description in the README of the reference implementation.
use hoist_ir::dtype::DType;

/// Key of the texts in the header.
pub const METADATA: &str = "__metadata__";

/// Longest header, in bytes, that readers of this format accept.
pub const MAX_HEADER: u64 = 100_000_000;

/// Names of the element types, in the order in which writers sort tensors: widest alignment last here, first in a file.
const DTYPES: &[(&str, DType)] = &[
    ("BOOL", DType::Bool),
    ("F4", DType::F4E2M1),
    ("F6_E2M3", DType::F6E2M3),
    ("F6_E3M2", DType::F6E3M2),
    ("U8", DType::U8),
    ("I8", DType::I8),
    ("F8_E5M2", DType::F8E5M2),
    ("F8_E4M3", DType::F8E4M3FN),
    ("F8_E8M0", DType::F8E8M0),
    ("F8_E4M3FNUZ", DType::F8E4M3FNUZ),
    ("F8_E5M2FNUZ", DType::F8E5M2FNUZ),
    ("I16", DType::I16),
    ("U16", DType::U16),
    ("F16", DType::F16),
    ("BF16", DType::BF16),
    ("I32", DType::I32),
    ("U32", DType::U32),
    ("F32", DType::F32),
    ("C64", DType::C64),
    ("F64", DType::F64),
    ("I64", DType::I64),
    ("U64", DType::U64),
];

/// Name of an element type in a header; `None` for types the format does not have.
pub fn dtype_name(dtype: DType) -> Option<&'static str> {
    DTYPES.iter().find(|row| row.1 == dtype).map(|row| row.0)
}

/// The element type of that name.
pub fn dtype_by_name(name: &str) -> Option<DType> {
    DTYPES.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// Place of an element type in the order of a file: tensors of a higher one come first, so that every tensor is aligned.
pub fn dtype_rank(dtype: DType) -> usize {
    DTYPES.iter().position(|row| row.1 == dtype).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_and_widths_never_fall() {
        for (i, (name, dtype)) in DTYPES.iter().enumerate() {
            assert_eq!((dtype_name(*dtype), dtype_by_name(name)), (Some(*name), Some(*dtype)));
            assert_eq!(dtype_rank(*dtype), i);
            assert!(i == 0 || *dtype == DType::F4E2M1 || DTYPES[i - 1].1.bits() <= dtype.bits(), "{name}");
        }
        assert_eq!(dtype_name(DType::C128), None);
    }
}
