//! Activations, alone and fused into other operators.
use super::elementwise::MAX_RANK;
use crate::tflite::lift::{Cx as LiftCx, Lift, Lifted};
use crate::tflite::lower::{Cx, Lower, R};
use crate::tflite::program::{Program, T};
use crate::tflite::schema::Builtin;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::ValueId;
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::activation::{Approximate, Elu, Gelu, HardSwish, LeakyRelu, Relu};
use hoist_ir::ops::elementwise::p_relu::PRelu;

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[
    ("elu", elu),
    ("gelu", gelu),
    ("hard_swish", |cx| plain(cx, Builtin::HardSwish)),
    ("leaky_relu", leaky_relu),
    ("p_relu", p_relu),
    ("relu", |cx| plain(cx, Builtin::Relu)),
];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = &[
    (Builtin::Elu, |cx| lift_plain(cx, Elu { alpha: 1.0 })),
    (Builtin::Gelu, lift_gelu),
    (Builtin::HardSwish, |cx| lift_plain(cx, HardSwish {})),
    (Builtin::LeakyRelu, |cx| {
        let alpha = cx.float("alpha") as f32;
        lift_plain(cx, LeakyRelu { alpha })
    }),
    (Builtin::Prelu, |cx| {
        let (x, slope) = (cx.arg(0)?, cx.arg(1)?);
        Ok(vec![cx.op(PRelu {}, &[x, slope])?])
    }),
    (Builtin::Relu, |cx| lift_plain(cx, Relu {})),
    (Builtin::Relu0To1, |cx| lift_clipped(cx, 0.0, 1.0)),
    (Builtin::Relu6, |cx| lift_clipped(cx, 0.0, 6.0)),
    (Builtin::ReluN1To1, |cx| lift_clipped(cx, -1.0, 1.0)),
];

/// Activations that other operators take as an option: members of `ActivationFunctionType`.
const FUSED: &[(Builtin, i64)] = &[(Builtin::Relu, 1), (Builtin::ReluN1To1, 2), (Builtin::Relu6, 3)];
/// The option that holds a fused activation.
pub(super) const OPTION: &str = "fused_activation_function";

fn plain(cx: &mut Cx<'_>, builtin: Builtin) -> R<()> {
    cx.of_type(0, &[DType::F32])?;
    let x = cx.arg(0)?;
    cx.emit(builtin, None, &[x])
}

fn elu(cx: &mut Cx<'_>) -> R<()> {
    let Op::Elu(op) = cx.op() else { return Err("no slope".to_owned()) };
    if op.alpha.to_bits() != 1f32.to_bits() {
        return Err(format!("alpha {}", op.alpha));
    }
    plain(cx, Builtin::Elu)
}

fn gelu(cx: &mut Cx<'_>) -> R<()> {
    cx.of_type(0, &[DType::F32])?;
    let Op::Gelu(op) = cx.op() else { return Err("no formula".to_owned()) };
    let tanh = op.approximate == Approximate::Tanh;
    let x = cx.arg(0)?;
    cx.emit(Builtin::Gelu, Builtin::Gelu.options().map(|o| o.with("approximate", tanh)), &[x])
}

fn leaky_relu(cx: &mut Cx<'_>) -> R<()> {
    cx.of_type(0, &[DType::F32])?;
    let Op::LeakyRelu(op) = cx.op() else { return Err("no slope".to_owned()) };
    let alpha = f64::from(op.alpha);
    if alpha.is_nan() {
        return Err("a slope that is no number".to_owned());
    }
    let x = cx.arg(0)?;
    cx.emit(Builtin::LeakyRelu, Builtin::LeakyRelu.options().map(|o| o.with("alpha", alpha)), &[x])
}

fn p_relu(cx: &mut Cx<'_>) -> R<()> {
    cx.of_type(0, &[DType::F32])?;
    if cx.rank(0)? > MAX_RANK {
        return Err(format!("an operand of more than {MAX_RANK} axes"));
    }
    let (x, slope) = (cx.arg(0)?, cx.arg(1)?);
    cx.emit(Builtin::Prelu, None, &[x, slope])
}

fn lift_plain(cx: &mut LiftCx<'_, '_>, op: impl Into<Op>) -> Lifted {
    let x = cx.arg(0)?;
    Ok(vec![cx.op(op, &[x])?])
}

fn lift_gelu(cx: &mut LiftCx<'_, '_>) -> Lifted {
    let approximate = if cx.flag("approximate") { Approximate::Tanh } else { Approximate::None };
    lift_plain(cx, Gelu { approximate })
}

fn lift_clipped(cx: &mut LiftCx<'_, '_>, low: f64, high: f64) -> Lifted {
    let x = cx.arg(0)?;
    Ok(vec![clipped(cx, x, low, high)?])
}

/// `v` after the fused activation of the operator's options.
///
/// # Errors
/// For an activation that the schema does not have, or Hoist does not read.
pub fn lift_fused(cx: &mut LiftCx<'_, '_>, v: ValueId) -> Result<ValueId, Diag> {
    let Some(options) = cx.options.filter(|o| o.table.slot(OPTION).is_some()) else { return Ok(v) };
    match options.int(OPTION) {
        0 => Ok(v),
        1 => cx.op(Relu {}, &[v]),
        2 => clipped(cx, v, -1.0, 1.0),
        3 => clipped(cx, v, 0.0, 6.0),
        4 => cx.op(hoist_ir::ops::Op::by_name("tanh").ok_or_else(|| cx.bad("no tanh"))?, &[v]),
        n => Err(cx.unsupported(format!("fused activation {n}"))),
    }
}

/// `v` within bounds.
///
/// # Errors
/// When it is no tensor of numbers.
pub fn clipped(cx: &mut LiftCx<'_, '_>, v: ValueId, low: f64, high: f64) -> Result<ValueId, Diag> {
    let (low, high) = (cx.b.scalar_like(low, v)?, cx.b.scalar_like(high, v)?);
    let clip = hoist_ir::ops::Op::by_name("clip").ok_or_else(|| cx.bad("no clip"))?;
    cx.op(clip, &[v, low, high])
}

/// Moves activations into the operators that compute their operands, where nothing else uses those.
pub fn fuse(program: &mut Program) {
    let mut uses = vec![0usize; program.tensors.len()];
    let mut made = vec![None; program.tensors.len()];
    for (i, instr) in program.instrs.iter().enumerate() {
        instr.inputs.iter().flatten().for_each(|t| uses[t.0 as usize] += 1);
        instr.outputs.iter().for_each(|t| made[t.0 as usize] = Some(i));
    }
    program.outputs.iter().for_each(|(_, t)| uses[t.0 as usize] += 1);
    let mut gone = vec![false; program.instrs.len()];
    for (i, gone) in gone.iter_mut().enumerate() {
        let instr = &program.instrs[i];
        let Some((_, number)) = FUSED.iter().find(|f| f.0 == instr.builtin) else { continue };
        let (Some(Some(x)), [y]) = (instr.inputs.first().copied(), instr.outputs.as_slice()) else {
            continue;
        };
        let y = *y;
        let Some(producer) = made[x.0 as usize].filter(|_| uses[x.0 as usize] == 1) else { continue };
        if let Some(options) = takes_activation(program, producer, x) {
            options.set(OPTION, *number);
            program.instrs[producer].outputs[0] = y;
            made[y.0 as usize] = Some(producer);
            *gone = true;
        }
    }
    let mut gone = gone.into_iter();
    program.instrs.retain(|_| !gone.next().unwrap_or(false));
    for instr in &mut program.instrs {
        instr.bodies.iter_mut().for_each(|(_, body)| fuse(body));
    }
}

/// Options of `instr`, when it can apply an activation to its one result and does not yet.
fn takes_activation(program: &mut Program, instr: usize, x: T) -> Option<&mut crate::tflite::table::Record> {
    if program.def(x).ty.dtype != DType::F32 {
        return None;
    }
    let instr = &mut program.instrs[instr];
    if instr.outputs.len() != 1 || !APPLIES.contains(&instr.builtin) {
        return None;
    }
    instr.options.as_mut().filter(|o| o.table.slot(OPTION).is_some() && o.int(OPTION) == 0)
}

/// Operators whose kernels apply a fused activation.
const APPLIES: &[Builtin] = &[
    Builtin::Add,
    Builtin::AveragePool2d,
    Builtin::Conv2d,
    Builtin::Conv3d,
    Builtin::DepthwiseConv2d,
    Builtin::Div,
    Builtin::FullyConnected,
    Builtin::MaxPool2d,
    Builtin::Mul,
    Builtin::Sub,
    Builtin::TransposeConv,
];
