//! Complex numbers: RFFT2D, REAL, IMAG, `COMPLEX_ABS`, and what else the kernels do with them. In the IR a complex tensor is one of floats whose last axis holds real and imaginary
//! part.
use crate::tflite::lift::{Cx, Lift, Lifted};
use crate::tflite::lower::{Cx as LowerCx, Lower, R};
use crate::tflite::schema::Builtin;
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::ValueId;
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::{Add, Mul, Sub};
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::elementwise::unary::Sqrt;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::squeeze::Squeeze;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::signal::dft::Dft;

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[("dft", transform_lines)];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = &[
    (Builtin::Rfft2d, transform),
    (Builtin::Real, |cx| Ok(vec![pair(cx, 0)?])),
    (Builtin::Imag, |cx| Ok(vec![pair(cx, 1)?])),
    (Builtin::ComplexAbs, magnitude),
];

/// What `RFFT2D` lacks of a transform.
const LACKS: &str = "a transform other than that of real lines whose length is a power of two";

/// Real lines `[.., n, 1]` to `[.., n / 2 + 1, 2]`: images `[.., 1, n]` of one line each.
fn transform_lines(cx: &mut LowerCx<'_>) -> R<()> {
    let Op::Dft(op) = cx.op() else { return Err(LACKS.to_owned()) };
    let (rank, dims) = (cx.rank(0)?, cx.shape(0).cloned().unwrap_or_default());
    let axis = if cx.value(2).is_some() { cx.ints(2).and_then(|a| a.first().copied()) } else { Some(-2) };
    let axis = axis.and_then(|a| resolve_axis(a, rank).ok());
    let size = |i: usize| dims.get(i).and_then(Dim::known);
    let lines = rank >= 2 && axis == Some(rank - 2) && size(rank - 1) == Some(1);
    let Some(n) = size(rank.saturating_sub(2)).filter(|n| lines && n.is_power_of_two()) else {
        return Err(LACKS.to_owned());
    };
    let whole = cx.value(1).is_none() || cx.ints(1).is_some_and(|l| l == [n as i64]);
    if !whole || !op.onesided || op.inverse || cx.dtype(0)? != DType::F32 {
        return Err(LACKS.to_owned());
    }
    let x = cx.arg(0)?;
    let mut image = dims.clone();
    image.swap(rank - 2, rank - 1);
    let mut half = image.clone();
    half[rank - 1] = Dim::from(n as usize / 2 + 1);
    let mut pairs = half.clone();
    pairs.push(Dim::from(2usize));
    let bare = Builtin::Squeeze.options().map(|o| o.with("squeeze_dims", vec![rank as i64 - 1]));
    let flat = cx.compute(Builtin::Squeeze, bare, &[x], DType::F32, dims[..rank - 1].to_vec())?;
    let at = cx.int32(rank as i64 - 2)?;
    let lines = cx.compute(Builtin::ExpandDims, None, &[flat, at], DType::F32, image)?;
    let length = cx.ints32(&[1, n as i64])?;
    let spectrum = cx.compute(Builtin::Rfft2d, None, &[lines, length], DType::C64, half.clone())?;
    let re = cx.compute(Builtin::Real, None, &[spectrum], DType::F32, half.clone())?;
    let im = cx.compute(Builtin::Imag, None, &[spectrum], DType::F32, half)?;
    let pack = Builtin::Pack.options().map(|o| o.with("values_count", 2).with("axis", rank as i64));
    let both = cx.compute(Builtin::Pack, pack, &[re, im], DType::F32, pairs)?;
    let bare = Builtin::Squeeze.options().map(|o| o.with("squeeze_dims", vec![rank as i64 - 2]));
    cx.emit(Builtin::Squeeze, bare, &[both])
}

/// The lifting function of an operator that gets complex numbers.
pub fn lifting(builtin: Builtin) -> Option<Lift> {
    match builtin {
        Builtin::Real | Builtin::Imag | Builtin::ComplexAbs => super::lifting(builtin),
        Builtin::Cast => Some(real),
        Builtin::ExpandDims => Some(expand_dims),
        Builtin::Mul => Some(product),
        Builtin::Reshape => Some(reshape),
        Builtin::Squeeze => Some(squeeze),
        Builtin::Transpose => Some(transpose),
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

/// Another type keeps the real part.
fn real(cx: &mut Cx<'_, '_>) -> Lifted {
    let to = cx.results.first().map(|r| r.ty.dtype).ok_or_else(|| cx.bad("no result"))?;
    let x = if to == DType::C64 { pairs(cx)? } else { pair(cx, 0)? };
    Ok(vec![if to == DType::C64 { x } else { cx.op(Cast { to, ..Cast::default() }, &[x])? }])
}

/// Axes without that of the parts.
fn axes(cx: &Cx<'_, '_>, x: ValueId) -> Result<usize, Diag> {
    cx.rank(x)?.checked_sub(1).ok_or_else(|| cx.bad("a pair without an axis"))
}

fn squeeze(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = pairs(cx)?;
    let rank = axes(cx, x)?;
    let given = cx.options.map_or(vec![], |o| o.ints("squeeze_dims").to_vec());
    let gone = if given.is_empty() {
        let sizes = cx.shape(x).map(|s| s.iter().take(rank).map(|d| d.known()).collect::<Vec<_>>());
        let known = sizes.and_then(|s| s.into_iter().collect::<Option<Vec<_>>>());
        let known = known.ok_or_else(|| cx.unsupported("axes of unknown size that may be 1"))?;
        (0..rank as i64).filter(|a| known.get(*a as usize) == Some(&1)).collect()
    } else {
        given.iter().map(|a| cx.axis(*a, rank).map(|a| a as i64)).collect::<Result<Vec<_>, _>>()?
    };
    let gone = cx.b.ints(&gone);
    Ok(vec![cx.op(Squeeze {}, &[x, gone])?])
}

fn expand_dims(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = pairs(cx)?;
    let rank = axes(cx, x)?;
    let axis = cx.ints(1).and_then(|a| a.first().copied());
    let axis = axis.ok_or_else(|| cx.unsupported("a computed axis"))?;
    let axis = cx.axis(axis, rank + 1)? as i64;
    let axis = cx.b.ints(&[axis]);
    Ok(vec![cx.op(Unsqueeze {}, &[x, axis])?])
}

fn transpose(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = pairs(cx)?;
    let rank = axes(cx, x)?;
    let perm = cx.ints(1).ok_or_else(|| cx.unsupported("a computed order of axes"))?;
    let mut perm = perm.iter().map(|p| cx.axis(*p, rank).map(|a| a as i64)).collect::<Result<Vec<_>, _>>()?;
    perm.push(rank as i64);
    Ok(vec![cx.op(Transpose { perm }, &[x])?])
}

fn product(cx: &mut Cx<'_, '_>) -> Lifted {
    pairs(cx)?;
    let part = |cx: &mut Cx<'_, '_>, i: usize, part: i64| -> Result<ValueId, Diag> {
        let (x, range) = (cx.arg(i)?, cx.b.ints(&[part]));
        cx.op(Gather { axis: -1 }, &[x, range])
    };
    let (a, b) = (part(cx, 0, 0)?, part(cx, 0, 1)?);
    let (c, d) = (part(cx, 1, 0)?, part(cx, 1, 1)?);
    let mut times = |x, y| cx.op(Mul {}, &[x, y]);
    let (ac, bd, ad, bc) = (times(a, c)?, times(b, d)?, times(a, d)?, times(b, c)?);
    let (re, im) = (cx.op(Sub {}, &[ac, bd])?, cx.op(Add {}, &[ad, bc])?);
    Ok(vec![cx.op(Concat { axis: -1 }, &[re, im])?])
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
    // A transform of one element is the element.
    let one = cx.ints(1).is_some_and(|l| l.first() == Some(&1));
    let at = cx.rank(lines)?.checked_sub(3).and_then(|at| cx.shape(lines)?.get(at)?.known());
    if one && at == Some(1) {
        return Ok(vec![lines]);
    }
    Ok(vec![cx.op(Dft::default(), &[lines, rows, before])?])
}
