//! Element types that operators are computed in.
//!
//! ONNX defines operators for more element types than ONNX Runtime has kernels for on processors. Integers and truth values then go
//! through another type that holds all of theirs, or in which the operator wraps as in theirs, so that the result is the same.
use hoist_ir::dtype::DType;

/// How an operator is computed in another element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detour {
    /// The type that is computed in.
    pub to: DType,
    /// First operand that is converted; those after it of the same type are as well.
    pub from: usize,
    /// Whether the first result has the element type of the operands.
    pub returns: bool,
}

/// The detour of operator `op` on elements of type `dtype`, where there is one to take. Checked with ONNX Runtime 1.32.
pub fn detour(op: &str, dtype: DType) -> Option<Detour> {
    use DType::{Bool, F64, I8, I16, I32, I64, U8, U16, U32, U64};
    let to = match (op, dtype) {
        ("where", Bool) => U8,
        ("where" | "max" | "min" | "clip" | "pad" | "trilu" | "relu" | "arg_max" | "arg_min", I16 | U16)
        | ("trilu", I8 | U8) => I32,
        ("where" | "trilu" | "reduce_sum" | "reduce_prod" | "cum_sum", U64)
        | (
            "arg_max" | "arg_min" | "trilu" | "reduce_sum" | "reduce_prod" | "reduce_max" | "reduce_min"
            | "cum_sum",
            U32,
        )
        | ("unique", I16 | I32 | U8 | U16 | U32 | Bool) => I64,
        ("non_zero", I8 | I16 | U16 | U32 | U64 | F64) => Bool,
        _ => return None,
    };
    let returns = !matches!(op, "arg_max" | "arg_min" | "non_zero");
    Some(Detour { to, from: usize::from(op == "where"), returns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_between_truth_values_is_one_between_bytes() {
        assert_eq!(detour("where", DType::Bool), Some(Detour { to: DType::U8, from: 1, returns: true }));
        assert_eq!(detour("where", DType::F32), None);
    }

    #[test]
    fn positions_are_not_converted_back() {
        assert!(!detour("arg_max", DType::U16).is_some_and(|d| d.returns));
    }
}
