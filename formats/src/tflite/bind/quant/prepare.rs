//! Brings conversions next to what integer kernels compute: movements of constants are done at once, movements of data move stored elements, products with constants become
//! `FULLY_CONNECTED`.
use super::fuse::{Links, source};
use super::rules::Rule;
use super::weights::stored;
use crate::tflite::program::{Instr, Program, Quant, T, TensorDef};
use crate::tflite::schema::Builtin;
use hoist_ir::types::TensorType;
use std::sync::Arc;

/// Rewrites `program`; it computes the same.
pub fn prepare(program: &mut Program) {
    for instr in &mut program.instrs {
        instr.bodies.iter_mut().for_each(|(_, body)| prepare(body));
    }
    if !program.tensors.iter().any(|t| t.quant.is_some()) {
        return;
    }
    let links = Links::new(program);
    let readers = readers(program);
    let mut out = Vec::with_capacity(program.instrs.len());
    for i in 0..program.instrs.len() {
        let new = match program.instrs[i].builtin {
            Builtin::Transpose | Builtin::Reshape => {
                constant(program, &links, i).or_else(|| lifted(program, &links, &readers, i))
            }
            Builtin::Quantize => sunk(program, &links, i),
            Builtin::BatchMatmul => connected(program, &links, i),
            _ => None,
        };
        out.push(new);
    }
    let old = std::mem::take(&mut program.instrs);
    program.instrs =
        old.into_iter().zip(out).flat_map(|(old, new)| new.unwrap_or_else(|| vec![old])).collect();
    super::fuse::sweep(program);
}

/// The operator that reads each tensor, where it is one.
fn readers(program: &Program) -> Vec<Option<Builtin>> {
    let mut all = vec![None; program.tensors.len()];
    for instr in &program.instrs {
        instr.inputs.iter().flatten().for_each(|t| all[t.0 as usize] = Some(instr.builtin));
    }
    all
}

fn is_computed(builtin: Builtin) -> bool {
    Rule::of(builtin).is_some()
}

fn step(builtin: Builtin, inputs: &[T], output: T, label: &Arc<str>) -> Instr {
    Instr {
        builtin,
        custom: None,
        options: builtin.options(),
        inputs: inputs.iter().copied().map(Some).collect(),
        outputs: vec![output],
        bodies: vec![],
        label: label.clone(),
    }
}

/// Movement `i` of a dequantized constant as the conversion of the moved constant.
fn constant(program: &mut Program, links: &Links, i: usize) -> Option<Vec<Instr>> {
    let instr = program.instrs[i].clone();
    let &[y] = instr.outputs.as_slice() else { return None };
    let found = stored(program, links, y, 0)?;
    let t = program.add(TensorDef { quant: Some(found.quant), ..TensorDef::constant(found.data) });
    Some(vec![step(Builtin::Dequantize, &[t], y, &instr.label)])
}

/// A tensor of stored elements in the place of `real`.
fn twin(program: &mut Program, real: T, like: T, quant: Quant) -> T {
    let ty = TensorType { dtype: program.def(like).ty.dtype, ..program.def(real).ty.clone() };
    program.add(TensorDef { quant: Some(quant), ..TensorDef::new(ty) })
}

/// Transpose `i` of dequantized data, in front of the conversion.
fn lifted(program: &mut Program, links: &Links, readers: &[Option<Builtin>], i: usize) -> Option<Vec<Instr>> {
    let instr = program.instrs[i].clone();
    let (&[Some(x), Some(perm)], &[y]) = (instr.inputs.as_slice(), instr.outputs.as_slice()) else {
        return None;
    };
    let computed = readers[y.0 as usize].is_some_and(is_computed) && links.uses(y) == 1;
    if instr.builtin != Builtin::Transpose || !computed {
        return None;
    }
    let q = source(program, links, x, Builtin::Dequantize)?;
    let quant = program.def(q).quant.clone().filter(|q| q.scale.len() == 1)?;
    let moved = twin(program, y, q, quant);
    Some(vec![
        step(Builtin::Transpose, &[q, perm], moved, &instr.label),
        step(Builtin::Dequantize, &[moved], y, &instr.label),
    ])
}

/// Conversion `i` of transposed data, in front of the transpose.
fn sunk(program: &mut Program, links: &Links, i: usize) -> Option<Vec<Instr>> {
    let instr = program.instrs[i].clone();
    let (&[Some(y)], &[q]) = (instr.inputs.as_slice(), instr.outputs.as_slice()) else { return None };
    let transpose = &program.instrs[links.producer(y)?];
    let &[Some(x), Some(perm)] = transpose.inputs.as_slice() else { return None };
    let made = &program.instrs[links.producer(x)?];
    let fits = transpose.builtin == Builtin::Transpose && is_computed(made.builtin);
    if !fits || links.uses(y) != 1 || links.uses(x) != 1 {
        return None;
    }
    let quant = program.def(q).quant.clone().filter(|q| q.scale.len() == 1)?;
    let still = twin(program, x, q, quant);
    Some(vec![
        step(Builtin::Quantize, &[x], still, &instr.label),
        step(Builtin::Transpose, &[still, perm], q, &instr.label),
    ])
}

/// Product `i` with dequantized constant weights as `FULLY_CONNECTED`.
fn connected(program: &mut Program, links: &Links, i: usize) -> Option<Vec<Instr>> {
    let instr = program.instrs[i].clone();
    let (&[Some(x), Some(w)], &[y]) = (instr.inputs.as_slice(), instr.outputs.as_slice()) else {
        return None;
    };
    let options = instr.options.as_ref()?;
    let rank = program.def(x).ty.rank()?;
    let found = stored(program, links, w, 0).filter(|w| w.data.rank() == 2)?;
    if options.bool("adj_x") || rank < 2 {
        return None;
    }
    let turned = !options.bool("adj_y");
    let data = if turned { found.data.permute(&[1, 0]).ok()? } else { found.data };
    let axis = if turned { 1 - found.quant.axis.min(1) } else { found.quant.axis };
    let real = TensorType { dtype: program.def(w).ty.dtype, ..data.ty() };
    let real = program.add(TensorDef::new(real));
    let quant = Quant { axis, ..found.quant };
    let t = program.add(TensorDef { quant: Some(quant), ..TensorDef::constant(data) });
    let mut product = step(Builtin::FullyConnected, &[x, real], y, &instr.label);
    product.options = Builtin::FullyConnected.options().map(|o| o.with("keep_num_dims", rank > 2));
    Some(vec![step(Builtin::Dequantize, &[t], real, &instr.label), product])
}
