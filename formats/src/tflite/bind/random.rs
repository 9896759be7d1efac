//! Random numbers: `RANDOM_UNIFORM`, `RANDOM_STANDARD_NORMAL`, MULTINOMIAL. Which numbers come is not the same in two runtimes, nor in two runs
//! without a seed.
use crate::tflite::lift::{Cx as LiftCx, Lift, Lifted};
use crate::tflite::lower::{Cx, Lower, R};
use crate::tflite::program::T;
use crate::tflite::schema::Builtin;
use crate::tflite::table::Record;
use hoist_ir::dtype::DType;
use hoist_ir::ops::Op;
use hoist_ir::ops::random::fill::{RandomNormalLike, RandomUniformLike};
use hoist_ir::ops::random::multinomial::Multinomial;
use hoist_ir::ops::shape::constant_of_shape::ConstantOfShape;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[
    ("multinomial", outcomes),
    ("random_normal", draw),
    ("random_normal_like", draw),
    ("random_uniform", draw),
    ("random_uniform_like", draw),
];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = &[
    (Builtin::Multinomial, lift_outcomes),
    (Builtin::RandomUniform, |cx| drawn(cx, RandomUniformLike { seed: seed(cx), ..Default::default() })),
    (Builtin::RandomStandardNormal, |cx| {
        drawn(cx, RandomNormalLike { seed: seed(cx), ..Default::default() })
    }),
];

/// What is drawn: numbers of mean 0 and deviation 1, or between 0 and 1, times a factor, plus a number.
struct Drawn {
    builtin: Builtin,
    factor: f32,
    shift: f32,
    seed: Option<f32>,
}

fn of(op: &Op) -> R<Drawn> {
    let normal = |scale: f32, mean: f32, seed| (Builtin::RandomStandardNormal, scale, mean, seed);
    let uniform = |high: f32, low: f32, seed| (Builtin::RandomUniform, high - low, low, seed);
    let (builtin, factor, shift, seed) = match op {
        Op::RandomNormal(o) => normal(o.scale, o.mean, o.seed),
        Op::RandomNormalLike(o) => normal(o.scale, o.mean, o.seed),
        Op::RandomUniform(o) => uniform(o.high, o.low, o.seed),
        Op::RandomUniformLike(o) => uniform(o.high, o.low, o.seed),
        _ => return Err("another distribution".into()),
    };
    Ok(Drawn { builtin, factor, shift, seed })
}

fn seeded(builtin: Builtin, seed: Option<f32>) -> Option<Record> {
    // Zeros stand for a seed of the runtime's choice.
    let bits = seed.map_or(0, |s| i64::from(s.to_bits()).max(1));
    builtin.options().map(|o| o.with("seed", bits).with("seed2", i64::from(bits != 0)))
}

/// The seed, where the options give one.
fn seed(cx: &LiftCx<'_, '_>) -> Option<f32> {
    let given = cx.int("seed") != 0 || cx.int("seed2") != 0;
    given.then(|| f32::from_bits(cx.int("seed") as u32)).filter(|s| s.is_finite())
}

fn draw(cx: &mut Cx<'_>) -> R<()> {
    let drawn = of(cx.op())?;
    let ty = cx.out_ty(0)?.clone();
    if ty.dtype != DType::F32 {
        return Err(format!("random numbers of type {}", ty.dtype));
    }
    let sizes: T = if cx.is_empty() {
        let sizes = ty.sizes().ok_or("sizes that are not known")?;
        cx.ints32(&sizes.iter().map(|n| *n as i64).collect::<Vec<_>>())?
    } else {
        let x = cx.arg(0)?;
        cx.shape_of(x)?
    };
    let options = seeded(drawn.builtin, drawn.seed);
    if drawn.factor == 1.0 && drawn.shift == 0.0 {
        return cx.emit(drawn.builtin, options, &[sizes]);
    }
    let plain = cx.temp(drawn.builtin, options, &[Some(sizes)], ty.clone())?;
    let factor = cx.konst(Tensor::scalar(drawn.factor));
    let scaled = cx.temp(Builtin::Mul, None, &[Some(plain), Some(factor)], TensorType { ..ty })?;
    let shift = cx.konst(Tensor::scalar(drawn.shift));
    cx.emit(Builtin::Add, None, &[scaled, shift])
}

fn outcomes(cx: &mut Cx<'_>) -> R<()> {
    let Op::Multinomial(op) = cx.op() else { return Err("another distribution".into()) };
    let (size, seed) = (op.sample_size, op.seed);
    let dtype = cx.out_ty(0)?.dtype;
    if cx.dtype(0)? != DType::F32 || !matches!(dtype, DType::I32 | DType::I64) {
        return Err(format!("{} drawn from probabilities of type {}", dtype, cx.dtype(0)?));
    }
    let (x, count) = (cx.arg(0)?, cx.int32(size)?);
    cx.emit(Builtin::Multinomial, seeded(Builtin::Multinomial, seed), &[x, count])
}

fn lift_outcomes(cx: &mut LiftCx<'_, '_>) -> Lifted {
    let size = cx.ints(1).and_then(|n| n.first().copied());
    let sample_size = size.ok_or_else(|| cx.unsupported("a computed number of outcomes"))?;
    let dtype = cx.results.first().map(|r| r.ty.dtype).ok_or_else(|| cx.bad("no result"))?;
    let (op, x) = (Multinomial { dtype, sample_size, seed: seed(cx) }, cx.arg(0)?);
    Ok(vec![cx.op(op, &[x])?])
}

fn drawn(cx: &mut LiftCx<'_, '_>, op: impl Into<Op>) -> Lifted {
    let sizes = cx.wide(0)?;
    let zeros = cx.op(ConstantOfShape::default(), &[sizes])?;
    Ok(vec![cx.op(op, &[zeros])?])
}
