//! Inputs that LiteRT would read where they lay before.
//!
//! Where sizes are found while the model runs, LiteRT plans its memory anew and inputs move. LiteRT 2.3.0's XNNPACK delegate, when an input is reshaped and the
//! result then transposed or sliced (also behind an element-wise operator), reads the input's old place in the second run: stale values, or what is there by
//! then. Seen with small files, the only change being a copy before the reshape, which makes it right. So such inputs are copied.
use hoist_formats::tflite::program::{Instr, Program, T, TensorDef};
use hoist_formats::tflite::schema::Builtin;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

/// Most axes of what the delegate takes.
const MOST_AXES: usize = 6;

/// Puts a copy between each input and the operators that reshape it, when some size is known at run time only.
pub(super) fn copy(main: &mut Program) {
    if main.tensors.iter().all(|t| t.ty.sizes().is_some()) {
        return;
    }
    let inputs: Vec<T> = main.inputs.iter().map(|(_, t)| *t).collect();
    for input in inputs {
        let def = main.def(input).clone();
        // The delegate computes with floats and quantized integers of 8 bits.
        let taken = matches!(def.ty.dtype, DType::F32 | DType::F16 | DType::I8 | DType::U8);
        let rank = def.ty.rank().filter(|r| (1..=MOST_AXES).contains(r));
        let (true, Some(rank)) = (taken, rank) else { continue };
        let reshapes = |i: &Instr| i.builtin == Builtin::Reshape && i.inputs.first() == Some(&Some(input));
        let Some(first) = main.instrs.iter().position(reshapes) else { continue };
        // The delegate has no operator that only copies; an order of axes that changes nothing is one.
        let order = main.add(TensorDef::constant(Tensor::from_vec(&[rank], (0..rank as i32).collect())));
        let copied = main.add(TensorDef { name: None, ..def });
        for instr in main.instrs.iter_mut().filter(|i| reshapes(i)) {
            instr.inputs[0] = Some(copied);
        }
        main.instrs.insert(first, Instr::plain(Builtin::Transpose, None, &[input, order], copied));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::dim::Dim;
    use hoist_ir::types::TensorType;

    /// `x` is reshaped twice and used as it is, beside a value of type `other`.
    fn reshaped(dtype: DType, other: TensorType) -> Program {
        let mut p = Program::default();
        let x = p.add(TensorDef::new(TensorType::fixed(dtype, &[2, 3])));
        let list = p.add(TensorDef::constant(Tensor::from_vec(&[1], vec![6_i32])));
        let other = p.add(TensorDef::new(other));
        p.inputs = vec![("x".into(), x), ("other".into(), other)];
        for builtin in [Builtin::Abs, Builtin::Reshape, Builtin::Reshape] {
            let y = p.add(TensorDef::new(TensorType::fixed(dtype, &[6])));
            p.instrs.push(Instr::plain(builtin, None, &[x, list], y));
        }
        p
    }

    #[test]
    fn reshapes_of_an_input_share_a_copy() {
        let open = TensorType::new(DType::F32, vec![Dim::Unknown]);
        let mut p = reshaped(DType::F32, open);
        copy(&mut p);
        let order: Vec<_> = p.instrs.iter().map(|i| i.builtin).collect();
        assert_eq!(order, [Builtin::Abs, Builtin::Transpose, Builtin::Reshape, Builtin::Reshape]);
        let copied = p.instrs[1].outputs[0];
        assert_eq!(p.instrs[1].inputs[0], Some(T(0)));
        assert!(p.instrs[2..].iter().all(|i| i.inputs[0] == Some(copied)));
        assert_eq!(p.instrs[0].inputs[0], Some(T(0)));
    }

    #[test]
    fn nothing_is_copied_without_need() {
        let open = TensorType::new(DType::F32, vec![Dim::Unknown]);
        let fixed = TensorType::fixed(DType::F32, &[3]);
        for mut p in [reshaped(DType::F32, fixed), reshaped(DType::I64, open)] {
            copy(&mut p);
            assert!(p.instrs.iter().all(|i| i.builtin != Builtin::Transpose));
        }
    }
}
