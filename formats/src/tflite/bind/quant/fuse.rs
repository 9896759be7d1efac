//! Float operators between DEQUANTIZE and QUANTIZE as integer operators: a peephole on the program.
//!
//! The result of an integer kernel differs from that of the float one by a step of the result's scale at most, but for rounding of intermediate products. What does not
//! meet the rules of LiteRT's kernels stays a float operator between DEQUANTIZE and QUANTIZE.
use super::super::activation::OPTION;
use super::rules::{Places, Rule, SLOW};
use super::weights::{Weights, bias, weights};
use crate::tflite::program::{Program, Quant, T, TensorDef};
use crate::tflite::schema::Builtin;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use std::collections::HashMap;

/// Sums of bytes scale their operands by 2^20 first, and the result's scale must not be so small that they would have to be scaled again.
const SUM_SHIFT: f64 = (1 << 20) as f64;
/// The same for words.
const SUM_SHIFT_OF_WORDS: f64 = (1 << 15) as f64;

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

/// Makes integer operators of what LiteRT computes on stored elements; where `quick`, not of what it computes slowly so.
pub fn fuse(program: &mut Program, quick: bool) {
    for instr in &mut program.instrs {
        instr.bodies.iter_mut().for_each(|(_, body)| fuse(body, quick));
    }
    let wanted = |b| b == Builtin::Quantize || matches!(Rule::of(b), Some((Rule::Compared(_), _)));
    if !program.instrs.iter().any(|i| wanted(i.builtin)) {
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
        let slow = quick && SLOW.contains(&instr.builtin);
        let Some((rule, types)) = Rule::of(instr.builtin).filter(|_| !slow) else { continue };
        let Some(results) = results(program, &links, &readers, i, rule) else { continue };
        let Some(operands) = operands(program, &links, i, (rule, types), &results) else { continue };
        for (slot, found) in results.iter().enumerate() {
            let Some((quantize, stored)) = found.quantize.zip(found.stored) else { continue };
            program.instrs[i].outputs[slot] = stored;
            gone[quantize] = true;
        }
        program.instrs[i].inputs = operands;
        unread(program, i, &results);
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
        let Some((Rule::Weighted(p), _)) = Rule::of(instr.builtin) else { continue };
        let &[Some(x), Some(w), ..] = instr.inputs.as_slice() else { continue };
        let Some(w) = weights(program, &links, w, p.axis).filter(|_| program.def(x).ty.dtype == DType::F32)
        else {
            continue;
        };
        if matches!(w.data.dtype(), DType::I8 | DType::I4) && w.quant.zero_point.iter().all(|z| *z == 0) {
            let stored = program.add(TensorDef { quant: Some(w.quant), ..TensorDef::constant(w.data) });
            program.instrs[i].inputs[1] = Some(stored);
        }
    }
    sweep(program);
}

/// What becomes of a result.
struct Found {
    /// The conversion that alone reads it.
    quantize: Option<usize>,
    /// What that makes of it.
    stored: Option<T>,
}

/// The results of instruction `i` as they are stored, when all that are read are quantized, and alike.
fn results(
    program: &Program,
    links: &Links,
    readers: &HashMap<T, usize>,
    i: usize,
    rule: Rule,
) -> Option<Vec<Found>> {
    if matches!(rule, Rule::Compared(_)) {
        return Some(vec![]);
    }
    let found = |y: &T| {
        if links.uses(*y) == 0 {
            return Some(Found { quantize: None, stored: None });
        }
        let quantize = readers.get(y).filter(|_| links.uses(*y) == 1)?;
        let stored = program.instrs[*quantize].outputs.first().copied()?;
        Some(Found { quantize: Some(*quantize), stored: Some(stored) })
    };
    let all: Vec<Found> = program.instrs[i].outputs.iter().map(found).collect::<Option<_>>()?;
    let mut kinds =
        all.iter().filter_map(|f| f.stored).map(|t| (program.def(t).ty.dtype, &program.def(t).quant));
    let first = kinds.next()?;
    kinds.all(|k| k == first).then_some(all)
}

/// Makes results of instruction `i` that nothing reads alike those that are read.
fn unread(program: &mut Program, i: usize, results: &[Found]) {
    let Some(stored) = results.iter().find_map(|f| f.stored) else { return };
    let (dtype, quant) = (program.def(stored).ty.dtype, program.def(stored).quant.clone());
    for (slot, _) in results.iter().enumerate().filter(|(_, f)| f.stored.is_none()) {
        let y = program.instrs[i].outputs[slot];
        program.def_mut(y).ty.dtype = dtype;
        program.def_mut(y).quant.clone_from(&quant);
    }
}

/// Operands of instruction `i` as the integer kernel takes them, when it computes `results`.
fn operands(
    program: &mut Program,
    links: &Links,
    i: usize,
    (rule, types): (Rule, &[DType]),
    results: &[Found],
) -> Option<Vec<Option<T>>> {
    let instr = program.instrs[i].clone();
    let mut inputs = instr.inputs.clone();
    let mut scales: Vec<Quant> = vec![];
    let mut dtypes: Vec<DType> = vec![];
    for slot in rule.data(inputs.len()) {
        let x = source(program, links, inputs[slot]?, Builtin::Dequantize)?;
        scales.push(program.def(x).quant.clone().filter(|q| q.scale.len() == 1)?);
        dtypes.push(program.def(x).ty.dtype);
        inputs[slot] = Some(x);
    }
    let to = match results.iter().find_map(|f| f.stored) {
        Some(y) => {
            dtypes.push(program.def(y).ty.dtype);
            program.def(y).quant.clone().filter(|q| q.scale.len() == 1)?
        }
        None => scales.first().cloned()?,
    };
    let dtype = dtypes.first().copied().filter(|d| types.contains(d) && dtypes.iter().all(|e| e == d))?;
    let fits = match rule {
        Rule::Any(2) if matches!(instr.builtin, Builtin::Add | Builtin::Sub) => {
            let most = scales.iter().map(|q| f64::from(q.scale[0])).fold(0.0, f64::max);
            let shift = if dtype == DType::I16 { SUM_SHIFT_OF_WORDS } else { SUM_SHIFT };
            2.0 * most < shift * f64::from(to.scale[0])
        }
        Rule::Any(_) => true,
        Rule::Same(_) | Rule::SameFrom(_) | Rule::Compared(_) => scales.iter().all(|q| *q == to),
        Rule::Bordered => {
            let border = inputs.get(2).copied().flatten()?;
            let border = on_grid(program.def(border).data.as_ref()?, &to, dtype)?;
            inputs[2] =
                Some(program.add(TensorDef { quant: Some(to.clone()), ..TensorDef::constant(border) }));
            scales.iter().all(|q| *q == to)
        }
        Rule::Fixed(shift, zero) => match dtype {
            DType::I16 => to.scale[0] == 0.5f32.powi(15) && to.zero_point[0] == 0,
            DType::U8 => to.scale[0] == 0.5f32.powi(shift) && to.zero_point[0] == zero + 128,
            _ => to.scale[0] == 0.5f32.powi(shift) && to.zero_point[0] == zero,
        },
        Rule::Weighted(p) => {
            let w = weights(program, links, inputs.get(p.weights).copied().flatten()?, p.axis)?;
            return weighted(program, &inputs, p, w, (dtype, &scales[0], &to));
        }
    };
    let plain = instr.options.as_ref().is_none_or(|o| o.table.slot(OPTION).is_none() || o.int(OPTION) <= 3);
    (fits && plain).then_some(inputs)
}

/// The one number of `t` as it is stored; beyond the first or last one, these.
fn on_grid(t: &Tensor, q: &Quant, dtype: DType) -> Option<Tensor> {
    let (low, high) = dtype.int_range()?;
    let &[real] = t.to_f32s().ok()?.as_ref() else { return None };
    let steps = (f64::from(real) / f64::from(q.scale[0])).round_ties_even() + q.zero_point[0] as f64;
    let stored = steps.clamp(low as f64, high as f64) as i64;
    if real.is_nan() {
        return None;
    }
    Tensor::from_vec(t.shape(), vec![stored]).cast(dtype, false).ok()
}

/// Operands of a product with weights.
fn weighted(
    program: &mut Program,
    inputs: &[Option<T>],
    places: Places,
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
    let mut out = inputs.to_vec();
    let scale: Vec<f32> = w.quant.scale.iter().map(|s| s * from.scale[0]).collect();
    let added = match inputs.get(places.bias).copied().flatten() {
        Some(b) => Some(bias(program.def(b).data.as_ref()?, &scale, sums)?),
        None => None,
    };
    out[places.weights] =
        Some(program.add(TensorDef { quant: Some(w.quant), ..TensorDef::constant(w.data) }));
    if let Some(data) = added {
        let quant = Quant { zero_point: vec![0; scale.len()], scale, axis: 0 };
        out[places.bias] = Some(program.add(TensorDef { quant: Some(quant), ..TensorDef::constant(data) }));
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
