//! Element type codes: members of `TensorType`.
use hoist_ir::dtype::DType;

/// Element types by code.
const CODES: &[(DType, i64)] = &[
    (DType::F32, 0),
    (DType::F16, 1),
    (DType::I32, 2),
    (DType::U8, 3),
    (DType::I64, 4),
    (DType::String, 5),
    (DType::Bool, 6),
    (DType::I16, 7),
    (DType::C64, 8),
    (DType::I8, 9),
    (DType::F64, 10),
    (DType::C128, 11),
    (DType::U64, 12),
    (DType::U32, 15),
    (DType::U16, 16),
    (DType::I4, 17),
    (DType::BF16, 18),
    (DType::I2, 19),
    (DType::U4, 20),
    (DType::F8E4M3FN, 21),
    (DType::F8E5M2, 22),
];

/// Code of a handle to a resource.
pub const RESOURCE: i64 = 13;
/// Code of a variant, such as a list of tensors.
pub const VARIANT: i64 = 14;

/// The element type of a code; none for resources and variants.
pub fn from_code(code: i64) -> Option<DType> {
    CODES.iter().find(|(_, c)| *c == code).map(|(d, _)| *d)
}

/// The code of an element type, where TFLite has it.
pub fn to_code(dtype: DType) -> Option<i64> {
    CODES.iter().find(|(d, _)| *d == dtype).map(|(_, c)| *c)
}
