//! Operators of no other family: variables, hash tables, random numbers, text, custom operators.
use crate::tflite::lift::{Cx as LiftCx, Lift, Lifted};
use crate::tflite::lower::{Cx, Lower, R};
use crate::tflite::program::Instr;
use crate::tflite::schema::Builtin;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::edit::NewNode;
use hoist_ir::ops::random::fill::{RandomNormalLike, RandomUniformLike};
use hoist_ir::ops::shape::constant_of_shape::ConstantOfShape;
use hoist_ir::ops::{Custom, Op};
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{TensorType, Type};
use std::sync::Arc;

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[
    ("custom", custom),
    ("random_normal", |cx| random(cx, Builtin::RandomStandardNormal)),
    ("random_normal_like", |cx| random(cx, Builtin::RandomStandardNormal)),
    ("random_uniform", |cx| random(cx, Builtin::RandomUniform)),
    ("random_uniform_like", |cx| random(cx, Builtin::RandomUniform)),
];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = &[
    (Builtin::Custom, lift_custom),
    (Builtin::RandomStandardNormal, |cx| {
        lift_random(cx, RandomNormalLike { seed: seed(cx), dtype: Some(DType::F32), ..Default::default() })
    }),
    (Builtin::RandomUniform, |cx| {
        lift_random(cx, RandomUniformLike { seed: seed(cx), dtype: Some(DType::F32), ..Default::default() })
    }),
];

/// Domain of custom operators of TFLite files.
const DOMAIN: &str = "tflite";
/// Attribute with the bytes of their options.
const OPTIONS: &str = "custom_options";
/// Prefix of the names of TensorFlow's operators for the Flex delegate.
const FLEX: &str = "Flex";

fn custom(cx: &mut Cx<'_>) -> R<()> {
    let Op::Custom(op) = cx.op() else { return Err("another operator".into()) };
    let read = op.domain == DOMAIN;
    let allowed = if op.name.starts_with(FLEX) { cx.target.flex } else { cx.target.custom };
    if !read && !allowed {
        return Err(format!(
            "the name `{}`, which is no builtin (--allow-custom writes it all the same)",
            op.full_name()
        ));
    }
    if op.attrs.iter().any(|(name, _)| name != OPTIONS) {
        return Err(format!("attributes of `{}`, for which there is no encoding", op.full_name()));
    }
    let options = match op.attrs.first() {
        Some((_, Attr::Tensor(t))) => t.bytes().map_err(|e| e.to_string())?.into_owned(),
        _ => vec![],
    };
    let inputs = (0..cx.len()).map(|i| cx.opt(i)).collect::<R<Vec<_>>>()?;
    let outputs = cx.outs()?;
    cx.add_instr(Instr {
        builtin: Builtin::Custom,
        custom: Some((op.name.clone(), options)),
        options: None,
        inputs,
        outputs,
        bodies: vec![],
        label: Arc::from(""),
    });
    Ok(())
}

/// The seed, where the options give one; its bits count.
fn seed(cx: &LiftCx<'_, '_>) -> Option<f32> {
    let seed = cx.int("seed") ^ cx.int("seed2");
    (seed != 0).then(|| f32::from_bits(seed as u32)).filter(|s| s.is_finite())
}

/// Numbers in the shape that operand 0 says.
fn lift_random(cx: &mut LiftCx<'_, '_>, op: impl Into<Op>) -> Lifted {
    let shape = cx.wide(0)?;
    let like = cx.op(ConstantOfShape::default(), &[shape])?;
    Ok(vec![cx.op(op, &[like])?])
}

/// Standard numbers, scaled and moved. The numbers themselves are each runtime's own.
fn random(cx: &mut Cx<'_>, builtin: Builtin) -> R<()> {
    let (shape, scale, offset, seed) = match cx.op() {
        Op::RandomNormal(op) => (Some(&op.shape), op.scale, op.mean, op.seed),
        Op::RandomNormalLike(op) => (None, op.scale, op.mean, op.seed),
        Op::RandomUniform(op) => (Some(&op.shape), op.high - op.low, op.low, op.seed),
        Op::RandomUniformLike(op) => (None, op.high - op.low, op.low, op.seed),
        _ => return Err("another operator".into()),
    };
    let ty = cx.out_ty(0)?.clone();
    if ty.dtype != DType::F32 {
        return Err(format!("element type {}", ty.dtype));
    }
    let sizes = if let Some(shape) = shape {
        cx.ints32(&shape.clone())?
    } else {
        let x = cx.arg(0)?;
        let rank = cx.rank(0)?;
        let options = Builtin::Shape.options().map(|o| o.with("out_type", 2));
        cx.temp(Builtin::Shape, options, &[Some(x)], TensorType::fixed(DType::I32, &[rank]))?
    };
    let options = builtin.options().map(|o| o.with("seed", i64::from(seed.map_or(0, f32::to_bits))));
    if scale == 1.0 && offset == 0.0 {
        return cx.emit(builtin, options, &[sizes]);
    }
    let drawn = cx.temp(builtin, options, &[Some(sizes)], ty.clone())?;
    let (scale, offset) = (cx.konst(Tensor::scalar(scale)), cx.konst(Tensor::scalar(offset)));
    let scaled = cx.temp(Builtin::Mul, None, &[Some(drawn), Some(scale)], ty)?;
    cx.emit(Builtin::Add, None, &[scaled, offset])
}

fn lift_custom(cx: &mut LiftCx<'_, '_>) -> Lifted {
    let (name, options) = cx.custom;
    if name.is_empty() {
        return Err(cx.bad("a custom operator without a name"));
    }
    let mut op = Custom { domain: DOMAIN.to_owned(), name: name.to_owned(), ..Custom::default() };
    if !options.is_empty() {
        op.attrs
            .push((OPTIONS.to_owned(), Attr::Tensor(Tensor::from_vec(&[options.len()], options.to_vec()))));
    }
    op.result_types = cx.results.iter().map(|r| Type::Tensor(r.ty.clone())).collect();
    let outputs = cx.results.len();
    cx.b.add_node(NewNode { outputs, ..NewNode::new(op, &cx.inputs) })
}
