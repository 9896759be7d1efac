//! Element types by their numbers in TensorFlow's `DataType`.
use hoist_ir::dtype::DType;

/// `DT_RESOURCE`: a handle of a variable or a table.
pub const RESOURCE: i32 = 20;
/// `DT_VARIANT`: a list or another object.
pub const VARIANT: i32 = 21;
/// Added to a type's number where a value may be assigned to.
const REF: i32 = 100;

const TYPES: &[(i32, DType)] = &[
    (1, DType::F32),
    (2, DType::F64),
    (3, DType::I32),
    (4, DType::U8),
    (5, DType::I16),
    (6, DType::I8),
    (7, DType::String),
    (8, DType::C64),
    (9, DType::I64),
    (10, DType::Bool),
    (14, DType::BF16),
    (17, DType::U16),
    (18, DType::C128),
    (19, DType::F16),
    (22, DType::U32),
    (23, DType::U64),
    (24, DType::F8E5M2),
    (25, DType::F8E4M3FN),
    (29, DType::I4),
    (30, DType::U4),
    // Quantized types: what is stored.
    (11, DType::I8),
    (12, DType::U8),
    (13, DType::I32),
    (15, DType::I16),
    (16, DType::U16),
];

/// Names of the numbers, without `DT_`.
const NAMES: &[(&str, i32)] = &[
    ("INVALID", 0),
    ("FLOAT", 1),
    ("DOUBLE", 2),
    ("INT32", 3),
    ("UINT8", 4),
    ("INT16", 5),
    ("INT8", 6),
    ("STRING", 7),
    ("COMPLEX64", 8),
    ("INT64", 9),
    ("BOOL", 10),
    ("QINT8", 11),
    ("QUINT8", 12),
    ("QINT32", 13),
    ("BFLOAT16", 14),
    ("QINT16", 15),
    ("QUINT16", 16),
    ("UINT16", 17),
    ("COMPLEX128", 18),
    ("HALF", 19),
    ("RESOURCE", RESOURCE),
    ("VARIANT", VARIANT),
    ("UINT32", 22),
    ("UINT64", 23),
    ("FLOAT8_E5M2", 24),
    ("FLOAT8_E4M3FN", 25),
    ("INT4", 29),
    ("UINT4", 30),
];

/// The number of the type called `name`, such as `DT_FLOAT` or `DT_FLOAT_REF`.
pub fn code_of(name: &str) -> Option<i32> {
    let name = name.strip_prefix("DT_")?;
    let (name, added) = name.strip_suffix("_REF").map_or((name, 0), |n| (n, REF));
    NAMES.iter().find(|(n, _)| *n == name).map(|(_, c)| c + added)
}

/// The element type of number `code`, also where values of it may be assigned to; none for handles and unknown numbers.
pub fn of_code(code: i32) -> Option<DType> {
    let code = if code > REF { code - REF } else { code };
    TYPES.iter().find(|(c, _)| *c == code).map(|(_, d)| *d)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_the_type_of_what_they_refer_to() {
        assert_eq!((of_code(1), of_code(101)), (Some(DType::F32), Some(DType::F32)));
        assert_eq!(
            (code_of("DT_HALF"), code_of("DT_FLOAT_REF"), code_of("FLOAT")),
            (Some(19), Some(101), None)
        );
        assert_eq!((of_code(RESOURCE), of_code(0), of_code(99)), (None, None, None));
    }
}
