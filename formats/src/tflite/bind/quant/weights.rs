//! Constant operands of integer products.
use super::fuse::Links;
use crate::tflite::program::{Program, Quant, T};
use crate::tflite::schema::Builtin;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

/// Most movements between stored weights and the product.
const MAX_MOVES: usize = 8;

/// Stored weights.
pub(super) struct Weights {
    pub data: Tensor,
    pub quant: Quant,
}

/// The stored elements behind the numbers `t`, when they are constant and their scales are one, or one for each slice along `axis`.
pub(super) fn weights(program: &Program, links: &Links, t: T, axis: usize) -> Option<Weights> {
    let found = stored(program, links, t, 0)?;
    (found.quant.scale.len() == 1 || found.quant.axis == axis).then_some(found)
}

/// [`weights`] with scales of any axis.
pub(super) fn stored(program: &Program, links: &Links, t: T, depth: usize) -> Option<Weights> {
    if depth > MAX_MOVES {
        return None;
    }
    let instr = &program.instrs[links.producer(t)?];
    let x = instr.inputs.first().copied().flatten()?;
    if instr.builtin == Builtin::Dequantize {
        let def = program.def(x);
        return Some(Weights { data: def.data.clone()?, quant: def.quant.clone()? });
    }
    let inner = |program: &Program| stored(program, links, x, depth + 1);
    match instr.builtin {
        Builtin::Transpose => {
            let perm = program.def(instr.inputs.get(1).copied().flatten()?).data.as_ref()?.to_i64s().ok()?;
            let perm: Option<Vec<usize>> = perm.iter().map(|p| usize::try_from(*p).ok()).collect();
            let (perm, Weights { data, quant }) = (perm?, inner(program)?);
            let axis = perm.iter().position(|p| *p == quant.axis)?;
            Some(Weights { data: data.permute(&perm).ok()?, quant: Quant { axis, ..quant } })
        }
        Builtin::Reshape => {
            let sizes = program.def(t).ty.sizes()?;
            let Weights { data, quant } = inner(program)?;
            let axis = moved_axis(data.shape(), &sizes, &quant)?;
            Some(Weights { data: data.reshape(&sizes).ok()?, quant: Quant { axis, ..quant } })
        }
        _ => None,
    }
}

/// Axis of the slices of `quant` when `old` sizes become `new` ones.
fn moved_axis(old: &[usize], new: &[usize], quant: &Quant) -> Option<usize> {
    if quant.scale.len() == 1 {
        return Some(0);
    }
    let before: usize = old.get(..quant.axis)?.iter().copied().fold(1, usize::saturating_mul);
    (0..new.len()).find(|i| {
        new[*i] == quant.scale.len() && new[..*i].iter().copied().fold(1, usize::saturating_mul) == before
    })
}

/// Numbers `real` as multiples of `scale` (one, or one each) of type `dtype`, when they fit.
pub(super) fn bias(real: &Tensor, scale: &[f32], dtype: DType) -> Option<Tensor> {
    if real.dtype() != DType::F32 || real.rank() != 1 || (scale.len() != 1 && scale.len() != real.len()) {
        return None;
    }
    let most = if dtype == DType::I32 { f64::from(i32::MAX) } else { 9e15 };
    let one = |(i, b): (usize, &f32)| {
        let steps = (f64::from(*b) / f64::from(scale[i.min(scale.len() - 1)])).round();
        (steps.abs() <= most).then_some(steps as i64)
    };
    let steps: Option<Vec<i64>> = real.to_f32s().ok()?.iter().enumerate().map(one).collect();
    Tensor::from_vec(&[real.len()], steps?).cast(dtype, false).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn biases_are_counted_in_steps() {
        let real = Tensor::from_vec(&[2], vec![1.0f32, -0.75]);
        let steps = bias(&real, &[0.5, 0.25], DType::I32).expect("fits");
        assert_eq!(steps.to_i64s().expect("integers"), [2, -3]);
        assert!(bias(&real, &[1e-10], DType::I32).is_none(), "10^10 steps");
        assert!(bias(&real, &[1e-10], DType::I64).is_some());
    }

    #[test]
    fn scales_follow_their_axis() {
        let quant = Quant { scale: vec![1.0; 6], zero_point: vec![0; 6], axis: 1 };
        assert_eq!(moved_axis(&[1, 6, 4], &[1, 6, 2, 2], &quant), Some(1));
        assert_eq!(moved_axis(&[1, 6, 4], &[6, 4], &quant), Some(0));
        assert_eq!(moved_axis(&[2, 6, 4], &[12, 4], &quant), None);
    }
}
