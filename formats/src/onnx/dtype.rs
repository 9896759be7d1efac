//! Element type codes.
use hoist_ir::dtype::DType;

/// `TensorProto.DataType` codes.
const CODES: &[(DType, i32)] = &[
    (DType::F32, 1),
    (DType::U8, 2),
    (DType::I8, 3),
    (DType::U16, 4),
    (DType::I16, 5),
    (DType::I32, 6),
    (DType::I64, 7),
    (DType::String, 8),
    (DType::Bool, 9),
    (DType::F16, 10),
    (DType::F64, 11),
    (DType::U32, 12),
    (DType::U64, 13),
    (DType::C64, 14),
    (DType::C128, 15),
    (DType::BF16, 16),
    (DType::F8E4M3FN, 17),
    (DType::F8E4M3FNUZ, 18),
    (DType::F8E5M2, 19),
    (DType::F8E5M2FNUZ, 20),
    (DType::U4, 21),
    (DType::I4, 22),
    (DType::F4E2M1, 23),
    (DType::F8E8M0, 24),
    (DType::U2, 25),
    (DType::I2, 26),
    (DType::F6E2M3, 27),
    (DType::F6E3M2, 28),
];

/// The element type of a code.
pub fn from_code(code: i32) -> Option<DType> {
    CODES.iter().find(|(_, c)| *c == code).map(|(d, _)| *d)
}

/// The code of an element type.
pub fn to_code(dtype: DType) -> i32 {
    CODES.iter().find(|(d, _)| *d == dtype).map_or(0, |(_, c)| *c)
}

/// First operator set whose type system has the element type.
pub fn since_opset(dtype: DType) -> i64 {
    match dtype {
        DType::BF16 => 13,
        DType::F8E4M3FN | DType::F8E4M3FNUZ | DType::F8E5M2 | DType::F8E5M2FNUZ => 19,
        DType::I4 | DType::U4 => 21,
        DType::F4E2M1 => 23,
        DType::F8E8M0 => 24,
        DType::I2 | DType::U2 => 25,
        DType::F6E2M3 | DType::F6E3M2 => 28,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_code() {
        for d in DType::all() {
            assert_eq!(from_code(to_code(d)), Some(d));
        }
        assert_eq!(from_code(0), None);
    }
}
