//! Float operators between DEQUANTIZE and QUANTIZE as integer operators: a peephole on the program.
//!
//! The result of an integer kernel differs from that of the float one by a step of the result's scale at most, but for rounding of intermediate products. What does not
//! meet the rules of LiteRT's kernels stays a float operator between DEQUANTIZE and QUANTIZE.
use super::super::activation::OPTION;
use super::weights::{Weights, bias, weights};
use crate::tflite::program::{Program, Quant, T, TensorDef};
use crate::tflite::schema::Builtin;
use hoist_ir::dtype::DType;
use std::collections::HashMap;

/// What a kernel asks of its operands and its result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Any scales; this many operands hold data.
    Any(usize),
    /// One scale; this many operands hold data.
    Same(usize),
    /// Data, weights with the scales of this axis, bias.
    Weighted(usize),
    /// The result has this scale, as the negative of a power of two, and this zero point for signed elements.
    Fixed(i32, i64),
}

/// Integer kernels that LiteRT has for signed and unsigned bytes.
pub(super) const RULES: &[(Builtin, Rule)] = &[
    (Builtin::Add, Rule::Any(2)),
    (Builtin::AveragePool2d, Rule::Same(1)),
    (Builtin::BatchMatmul, Rule::Any(2)),
    (Builtin::BatchToSpaceNd, Rule::Same(1)),
    (Builtin::Concatenation, Rule::Same(usize::MAX)),
    (Builtin::Conv2d, Rule::Weighted(0)),
    (Builtin::DepthToSpace, Rule::Same(1)),
    (Builtin::DepthwiseConv2d, Rule::Weighted(3)),
    (Builtin::ExpandDims, Rule::Same(1)),
    (Builtin::FullyConnected, Rule::Weighted(0)),
    (Builtin::Gather, Rule::Same(1)),
    (Builtin::HardSwish, Rule::Any(1)),
    (Builtin::LeakyRelu, Rule::Any(1)),
    (Builtin::Logistic, Rule::Fixed(8, -128)),
    (Builtin::Maximum, Rule::Same(2)),
    (Builtin::MaxPool2d, Rule::Same(1)),
    (Builtin::Mean, Rule::Any(1)),
    (Builtin::Minimum, Rule::Same(2)),
    (Builtin::MirrorPad, Rule::Same(1)),
    (Builtin::Mul, Rule::Any(2)),
    (Builtin::Pack, Rule::Same(usize::MAX)),
    (Builtin::Pad, Rule::Same(1)),
    (Builtin::Relu, Rule::Any(1)),
    (Builtin::Relu6, Rule::Any(1)),
    (Builtin::Reshape, Rule::Same(1)),
    (Builtin::ResizeBilinear, Rule::Same(1)),
    (Builtin::ResizeNearestNeighbor, Rule::Same(1)),
    (Builtin::Slice, Rule::Same(1)),
    (Builtin::Softmax, Rule::Fixed(8, -128)),
    (Builtin::SpaceToDepth, Rule::Same(1)),
    (Builtin::Squeeze, Rule::Same(1)),
    (Builtin::StridedSlice, Rule::Same(1)),
    (Builtin::Sub, Rule::Any(2)),
    (Builtin::Tanh, Rule::Fixed(7, 0)),
    (Builtin::Tile, Rule::Same(1)),
    (Builtin::Transpose, Rule::Same(1)),
];
/// Kernels that move elements of 16 bits.
const MOVES_WORDS: &[Builtin] = &[
    Builtin::Concatenation,
    Builtin::ExpandDims,
    Builtin::Gather,
    Builtin::Reshape,
    Builtin::Slice,
    Builtin::Squeeze,
    Builtin::StridedSlice,
    Builtin::Transpose,
];
/// Sums scale their operands by 2^20 first, and the result's scale must not be so small that they would have to be scaled again.
const SUM_SHIFT: f64 = (1 << 20) as f64;

/// Who makes and reads the tensors of a program.
pub(super) struct Links {
    made: HashMap<T, usize>,
    uses: Vec<usize>,
}

impl Links {
    pub(super) fn new(program: &Program) -> Self {
        let mut links = Self { made: HashMap::new(), uses: vec![0; program.tensors.len()] };
        for (i, instr) in program.instrs.iter().enumerate() {
            instr.inputs.iter().flatten().for_each(|t| links.uses[t.0 as usize] += 1);
            links.made.extend(instr.outputs.iter().map(|t| (*t, i)));
        }
        program.outputs.iter().for_each(|(_, t)| links.uses[t.0 as usize] += 1);
        links
    }
    /// How often `t` is read.
    pub(super) fn uses(&self, t: T) -> usize {
        self.uses[t.0 as usize]
    }
    /// The instruction that makes `t`.
    pub(super) fn producer(&self, t: T) -> Option<usize> {
        self.made.get(&t).copied()
    }
}

/// The one operand of the `builtin` that makes `t`.
pub(super) fn source(program: &Program, links: &Links, t: T, builtin: Builtin) -> Option<T> {
    let instr = &program.instrs[links.producer(t)?];
    (instr.builtin == builtin).then(|| instr.inputs.first().copied().flatten()).flatten()
}

/// Makes integer operators of what LiteRT computes on stored elements.
pub fn fuse(program: &mut Program) {
    for instr in &mut program.instrs {
        instr.bodies.iter_mut().for_each(|(_, body)| fuse(body));
    }
    if !program.instrs.iter().any(|i| i.builtin == Builtin::Quantize) {
        return;
    }
    sign(program);
    let links = Links::new(program);
    let mut readers: HashMap<T, usize> = HashMap::new();
    for (i, instr) in program.instrs.iter().enumerate().filter(|(_, i)| i.builtin == Builtin::Quantize) {
        readers.extend(instr.inputs.iter().flatten().map(|t| (*t, i)));
    }
    let mut gone = vec![false; program.instrs.len()];
    for i in 0..program.instrs.len() {
        let instr = &program.instrs[i];
        if instr.builtin == Builtin::Quantize {
            requantize(program, &links, i);
            continue;
        }
        let Some((_, rule)) = RULES.iter().find(|r| r.0 == instr.builtin) else { continue };
        let &[y] = instr.outputs.as_slice() else { continue };
        let Some(&quantize) = readers.get(&y).filter(|_| links.uses[y.0 as usize] == 1) else { continue };
        let Some(stored) = program.instrs[quantize].outputs.first().copied() else { continue };
        let Some(operands) = operands(program, &links, i, *rule, stored) else { continue };
        let instr = &mut program.instrs[i];
        instr.inputs = operands;
        instr.outputs = vec![stored];
        gone[quantize] = true;
    }
    let mut gone = gone.into_iter();
    program.instrs.retain(|_| !gone.next().unwrap_or(false));
    sweep(program);
}

/// Makes conversion `i` of dequantized data one between scales.
fn requantize(program: &mut Program, links: &Links, i: usize) {
    let Some(x) = program.instrs[i].inputs.first().copied().flatten() else { return };
    let single = |t: T| program.def(t).quant.as_ref().is_some_and(|q| q.scale.len() == 1);
    let bytes = |t: T| matches!(program.def(t).ty.dtype, DType::I8 | DType::U8);
    let Some(from) = source(program, links, x, Builtin::Dequantize) else { return };
    let both = program.instrs[i].outputs.iter().chain([&from]);
    if program.def(from).data.is_none() && both.into_iter().all(|t| single(*t) && bytes(*t)) {
        program.instrs[i].inputs = vec![Some(from)];
    }
}

/// Gives products of float data the stored weights themselves, for kernels that quantize data as they run. That is what the file that the model was read from did; its
/// numbers differ from those of float products.
pub fn hybrid(program: &mut Program) {
    let links = Links::new(program);
    for i in 0..program.instrs.len() {
        let instr = &program.instrs[i];
        let Some((_, Rule::Weighted(axis))) = RULES.iter().find(|r| r.0 == instr.builtin) else { continue };
        let &[Some(x), Some(w), ..] = instr.inputs.as_slice() else { continue };
        let Some(w) = weights(program, &links, w, *axis).filter(|_| program.def(x).ty.dtype == DType::F32)
        else {
            continue;
        };
        if w.data.dtype() == DType::I8 && w.quant.zero_point.iter().all(|z| *z == 0) {
            let stored = program.add(TensorDef { quant: Some(w.quant), ..TensorDef::constant(w.data) });
            program.instrs[i].inputs[1] = Some(stored);
        }
    }
    sweep(program);
}

/// Operands of instruction `i` as the integer kernel takes them, when it computes `y`.
fn operands(program: &mut Program, links: &Links, i: usize, rule: Rule, y: T) -> Option<Vec<Option<T>>> {
    let instr = program.instrs[i].clone();
    let dtype = program.def(y).ty.dtype;
    let to = program.def(y).quant.clone().filter(|q| q.scale.len() == 1)?;
    let count = match rule {
        Rule::Any(n) | Rule::Same(n) => n,
        Rule::Weighted(_) | Rule::Fixed(..) => 1,
    };
    let mut inputs = instr.inputs.clone();
    let mut scales: Vec<Quant> = vec![];
    for slot in inputs.iter_mut().take(count) {
        let x = source(program, links, (*slot)?, Builtin::Dequantize)?;
        let q = program.def(x).quant.clone().filter(|q| q.scale.len() == 1)?;
        if program.def(x).ty.dtype != dtype {
            return None;
        }
        scales.push(q);
        *slot = Some(x);
    }
    let bytes = matches!(dtype, DType::I8 | DType::U8);
    let moved = if dtype == DType::U8 { 128 } else { 0 };
    let fits = match rule {
        Rule::Any(2) if matches!(instr.builtin, Builtin::Add | Builtin::Sub) => {
            let most = scales.iter().map(|q| f64::from(q.scale[0])).fold(0.0, f64::max);
            bytes && 2.0 * most < SUM_SHIFT * f64::from(to.scale[0])
        }
        Rule::Any(_) => bytes && (instr.builtin != Builtin::BatchMatmul || dtype == DType::I8),
        Rule::Same(_) => {
            (bytes || dtype == DType::I16 && MOVES_WORDS.contains(&instr.builtin))
                && scales.iter().all(|q| *q == to)
        }
        Rule::Fixed(shift, zero) => {
            bytes && to.scale[0] == 0.5f32.powi(shift) && to.zero_point[0] == zero + moved
        }
        Rule::Weighted(axis) => {
            let w = weights(program, links, inputs.get(1).copied().flatten()?, axis)?;
            return weighted(program, &inputs, w, (dtype, &scales[0], &to));
        }
    };
    let plain = instr.options.as_ref().is_none_or(|o| o.table.slot(OPTION).is_none() || o.int(OPTION) <= 3);
    (fits && plain).then_some(inputs)
}

/// Operands of a product with weights.
fn weighted(
    program: &mut Program,
    inputs: &[Option<T>],
    w: Weights,
    (dtype, from, to): (DType, &Quant, &Quant),
) -> Option<Vec<Option<T>>> {
    let (stored, symmetric) = (w.data.dtype(), w.quant.zero_point.iter().all(|z| *z == 0));
    let zero = from.zero_point[0] == 0 && to.zero_point[0] == 0;
    let (fits, sums) = match dtype {
        DType::I8 => (stored == DType::I8 && symmetric, DType::I32),
        DType::U8 => (stored == DType::U8 && w.quant.scale.len() == 1, DType::I32),
        DType::I16 => (stored == DType::I8 && symmetric && zero, DType::I64),
        _ => return None,
    };
    if !fits {
        return None;
    }
    let mut out = vec![inputs.first().copied().flatten()];
    let scale: Vec<f32> = w.quant.scale.iter().map(|s| s * from.scale[0]).collect();
    let added = match inputs.get(2).copied().flatten() {
        Some(b) => Some(bias(program.def(b).data.as_ref()?, &scale, sums)?),
        None => None,
    };
    out.push(Some(program.add(TensorDef { quant: Some(w.quant), ..TensorDef::constant(w.data) })));
    if let Some(data) = added {
        let quant = Quant { zero_point: vec![0; scale.len()], scale, axis: 0 };
        out.push(Some(program.add(TensorDef { quant: Some(quant), ..TensorDef::constant(data) })));
    } else if inputs.len() > 2 {
        out.push(None);
    }
    Some(out)
}

/// Makes unsigned intermediate tensors signed where weights are, as kernels want both the same: each stored element and the zero point are 128 less.
fn sign(program: &mut Program) {
    let signed = |t: &TensorDef| t.data.as_ref().is_some_and(|d| d.dtype() == DType::I8) && t.quant.is_some();
    if !program.tensors.iter().any(signed) {
        return;
    }
    let mut inner: Vec<bool> = program
        .tensors
        .iter()
        .map(|t| t.ty.dtype == DType::U8 && t.data.is_none() && t.quant.is_some())
        .collect();
    program.inputs.iter().chain(&program.outputs).for_each(|(_, t)| inner[t.0 as usize] = false);
    for instr in &program.instrs {
        if instr.builtin != Builtin::Dequantize {
            instr.inputs.iter().flatten().for_each(|t| inner[t.0 as usize] = false);
        }
        if instr.builtin != Builtin::Quantize {
            instr.outputs.iter().for_each(|t| inner[t.0 as usize] = false);
        }
    }
    for (t, _) in program.tensors.iter_mut().zip(inner).filter(|(_, inner)| *inner) {
        t.ty.dtype = DType::I8;
        t.quant.iter_mut().flat_map(|q| &mut q.zero_point).for_each(|z| *z -= 128);
    }
}

/// Removes conversions and movements whose results nothing reads any more.
pub(super) fn sweep(program: &mut Program) {
    const PURE: &[Builtin] = &[Builtin::Dequantize, Builtin::Transpose, Builtin::Reshape, Builtin::Quantize];
    let mut links = Links::new(program);
    let mut gone = vec![false; program.instrs.len()];
    for (i, instr) in program.instrs.iter().enumerate().rev() {
        if PURE.contains(&instr.builtin) && instr.outputs.iter().all(|t| links.uses[t.0 as usize] == 0) {
            gone[i] = true;
            instr.inputs.iter().flatten().for_each(|t| links.uses[t.0 as usize] -= 1);
        }
    }
    let mut gone = gone.into_iter();
    program.instrs.retain(|_| !gone.next().unwrap_or(false));
}
