//! PyTorch's type promotion, and its element types in terms of the IR's.
use crate::pytorch::tensor::TorchDtype;
use hoist_ir::dtype::DType;

/// Element type that floating-point operators give integers: `torch.get_default_dtype()` at its standard value.
pub const DEFAULT_FLOAT: DType = DType::F32;

/// The IR's element type of a PyTorch one; `None` for quantized types and half-precision complex numbers.
pub fn ir_dtype(dtype: TorchDtype) -> Option<DType> {
    Some(match dtype {
        TorchDtype::UInt8 => DType::U8,
        TorchDtype::Int8 => DType::I8,
        TorchDtype::Int16 => DType::I16,
        TorchDtype::Int32 => DType::I32,
        TorchDtype::Int64 => DType::I64,
        TorchDtype::UInt16 => DType::U16,
        TorchDtype::UInt32 => DType::U32,
        TorchDtype::UInt64 => DType::U64,
        TorchDtype::Float16 => DType::F16,
        TorchDtype::Float32 => DType::F32,
        TorchDtype::Float64 => DType::F64,
        TorchDtype::BFloat16 => DType::BF16,
        TorchDtype::Complex64 => DType::C64,
        TorchDtype::Complex128 => DType::C128,
        TorchDtype::Bool => DType::Bool,
        TorchDtype::Float8E4M3Fn => DType::F8E4M3FN,
        TorchDtype::Float8E5M2 => DType::F8E5M2,
        TorchDtype::Float8E4M3FnUz => DType::F8E4M3FNUZ,
        TorchDtype::Float8E5M2FnUz => DType::F8E5M2FNUZ,
        TorchDtype::Float8E8M0Fnu => DType::F8E8M0,
        TorchDtype::Complex32 | TorchDtype::QUInt8 | TorchDtype::QInt8 | TorchDtype::QInt32 => return None,
    })
}

/// How strongly an operand takes part in promotion: tensors with dimensions before 0-d tensors before Python numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rank {
    /// A tensor with dimensions.
    Dimensioned,
    /// A 0-d tensor.
    Zero,
    /// A Python number.
    Number,
}

/// The type that both convert to; `None` where PyTorch has none (unsigned types wider than a byte, 8-bit floats).
pub fn promote_types(a: DType, b: DType) -> Option<DType> {
    use DType::{BF16, Bool, C64, C128, F16, F32, F64, I16, U8};
    if a == b {
        return Some(a);
    }
    let (a, b) = if class(a) <= class(b) { (a, b) } else { (b, a) };
    match (class(a), class(b)) {
        (0, _) | (1, 2 | 3) => Some(b),
        (1, 1) => match (a, b) {
            (U8, signed) | (signed, U8) if signed.is_signed_int() => {
                Some(if signed == DType::I8 { I16 } else { signed })
            }
            (a, b) if a.is_signed_int() && b.is_signed_int() => Some(if a.bits() > b.bits() { a } else { b }),
            _ => None,
        },
        (2, 2) => match (a, b) {
            (F64, _) | (_, F64) => Some(F64),
            (F32, F16 | BF16) | (F16 | BF16, F32) | (F16, BF16) | (BF16, F16) => Some(F32),
            _ => None,
        },
        (2, 3) => Some(if a == F64 { C128 } else { b }),
        (3, 3) => Some(C128),
        _ => None,
    }
    .filter(|d| *d != Bool || a == b)
    .or(if (a, b) == (C64, C64) { Some(C64) } else { None })
}

/// 0 truth values, 1 integers, 2 floats, 3 complex numbers.
fn class(d: DType) -> u8 {
    match d {
        DType::Bool => 0,
        d if d.is_complex() => 3,
        d if d.is_float() => 2,
        _ => 1,
    }
}

/// Element type that operands of these types and ranks are converted to before an operator computes: `torch.result_type`.
/// Types of Python numbers are `Bool`, `I64`, `F32` (any float) or `C64`. `None` where PyTorch has none.
pub fn result_type(operands: &[(DType, Rank)]) -> Option<DType> {
    let group = |rank: Rank| {
        let mut all = operands.iter().filter(|o| o.1 == rank).map(|o| Some(o.0));
        let first = all.next()?;
        Some(all.fold(first, |a, b| promote_types(a?, b?)))
    };
    let mut out: Option<DType> = None;
    for rank in [Rank::Number, Rank::Zero, Rank::Dimensioned] {
        if let Some(higher) = group(rank) {
            let higher = higher?;
            out = Some(match out {
                None => higher,
                Some(lower) => combine(higher, lower)?,
            });
        }
    }
    out
}

/// The stronger operand's type, unless the weaker one is of a higher category.
fn combine(higher: DType, lower: DType) -> Option<DType> {
    match (class(higher), class(lower)) {
        (2, 3) => Some(if higher == DType::F64 { DType::C128 } else { DType::C64 }),
        (2 | 3, _) => Some(higher),
        (h, l) if l > h => Some(if l >= 2 && h == 1 { promote_types(higher, lower)? } else { lower }),
        _ => Some(higher),
    }
}

/// The type that an operator on real numbers computes in: integers and truth values become the default float.
pub fn to_float(d: DType) -> DType {
    if class(d) < 2 { DEFAULT_FLOAT } else { d }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DType::{BF16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16};

    #[test]
    fn pairs_as_torch_promote_types() {
        let cases = [
            (U8, I8, Some(I16)),
            (U8, I32, Some(I32)),
            (I64, F16, Some(F16)),
            (F16, BF16, Some(F32)),
            (Bool, U8, Some(U8)),
            (Bool, Bool, Some(Bool)),
            (F64, DType::C64, Some(DType::C128)),
            (F32, DType::C64, Some(DType::C64)),
            (U16, I32, None),
        ];
        for (a, b, want) in cases {
            assert_eq!(promote_types(a, b), want, "{a} {b}");
            assert_eq!(promote_types(b, a), want, "{b} {a}");
        }
    }

    #[test]
    fn numbers_and_zero_dim_tensors_give_way_within_a_category() {
        use Rank::{Dimensioned, Number, Zero};
        let cases: [(&[(DType, Rank)], DType); 8] = [
            (&[(F16, Dimensioned), (F32, Number)], F16),
            (&[(I32, Dimensioned), (I64, Number)], I32),
            (&[(I32, Dimensioned), (F32, Number)], F32),
            (&[(I32, Dimensioned), (F64, Zero)], F64),
            (&[(F16, Dimensioned), (F64, Zero)], F16),
            (&[(Bool, Dimensioned), (I64, Number)], I64),
            (&[(U8, Zero), (I64, Number)], U8),
            (&[(I16, Dimensioned), (I64, Zero), (F32, Number)], F32),
        ];
        for (operands, want) in cases {
            assert_eq!(result_type(operands), Some(want), "{operands:?}");
        }
    }
}
