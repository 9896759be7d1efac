//! Complex numbers: RFFT2D, REAL, IMAG, `COMPLEX_ABS`. In the IR a complex tensor is one of floats whose last axis holds real and imaginary
//! part.
use crate::tflite::lift::{Cx, Lift, Lifted};
use crate::tflite::lower::Lower;
use crate::tflite::schema::Builtin;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::ValueId;
use hoist_ir::ops::elementwise::arithmetic::{Add, Mul};
use hoist_ir::ops::elementwise::unary::Sqrt;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::signal::dft::Dft;

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = &[
    (Builtin::Rfft2d, transform),
    (Builtin::Real, |cx| Ok(vec![pair(cx, 0)?])),
    (Builtin::Imag, |cx| Ok(vec![pair(cx, 1)?])),
    (Builtin::ComplexAbs, magnitude),
];

/// The lifting function of an operator that gets complex numbers.
pub fn lifting(builtin: Builtin) -> Option<Lift> {
    match builtin {
        Builtin::Real | Builtin::Imag | Builtin::ComplexAbs => super::lifting(builtin),
        Builtin::Reshape => Some(reshape),
        _ => None,
    }
}

/// Real or imaginary part.
fn pair(cx: &mut Cx<'_, '_>, part: i64) -> Result<ValueId, Diag> {
    let x = pairs(cx)?;
    let part = cx.b.scalar(part);
    cx.op(Gather { axis: -1 }, &[x, part])
}

fn pairs(cx: &Cx<'_, '_>) -> Result<ValueId, Diag> {
    let complex = cx.given.first().and_then(Option::as_ref).is_some_and(|d| d.ty.dtype == DType::C64);
    let x = cx.arg(0)?;
    if !complex || cx.dtype(x)? != DType::F32 {
        return Err(cx.unsupported("operands that RFFT2D does not give"));
    }
    Ok(x)
}

fn magnitude(cx: &mut Cx<'_, '_>) -> Lifted {
    let (re, im) = (pair(cx, 0)?, pair(cx, 1)?);
    let (re, im) = (cx.op(Mul {}, &[re, re])?, cx.op(Mul {}, &[im, im])?);
    let sum = cx.op(Add {}, &[re, im])?;
    Ok(vec![cx.op(Sqrt {}, &[sum])?])
}

fn reshape(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = pairs(cx)?;
    let two = cx.b.ints(&[2]);
    let sizes = match cx.options.map(|o| o.ints("new_shape").to_vec()) {
        Some(list) if cx.opt(1).is_none() => cx.b.ints(&list),
        _ => cx.wide(1)?,
    };
    let to = cx.op(Concat { axis: 0 }, &[sizes, two])?;
    Ok(vec![cx.op(Reshape { allowzero: true }, &[x, to])?])
}

/// A real transform along the last axis, then a complex one along the axis before.
fn transform(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    if cx.rank(x)? < 2 {
        return Err(cx.bad("an image has two axes"));
    }
    let lengths = cx.wide(1)?;
    let length = |cx: &mut Cx<'_, '_>, at: i64| match cx.ints(1) {
        Some(list) if list.len() == 2 => Ok(cx.b.scalar(list[at as usize])),
        _ => {
            let at = cx.b.scalar(at);
            cx.op(Gather { axis: 0 }, &[lengths, at])
        }
    };
    let (rows, columns) = (length(cx, 0)?, length(cx, 1)?);
    let (last, axis, before) = (cx.b.ints(&[-1]), cx.b.scalar(-2i64), cx.b.scalar(-3i64));
    let x = cx.op(Unsqueeze {}, &[x, last])?;
    let lines = cx.op(Dft { onesided: true, inverse: false }, &[x, columns, axis])?;
    Ok(vec![cx.op(Dft::default(), &[lines, rows, before])?])
}
