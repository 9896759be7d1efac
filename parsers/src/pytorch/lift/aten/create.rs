//! New tensors.
use super::reduce::at_least_1d;
use crate::pytorch::lift::cx::{Cx, Operand, Out, R, Scalar, Size, V, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;
use crate::pytorch::lift::promote::{DEFAULT_FLOAT, promote_types};
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: super::Table = &[
    ("zeros", |cx| sized(cx, 0.0)),
    ("ones", |cx| sized(cx, 1.0)),
    ("empty", |cx| sized(cx, 0.0)),
    ("empty_permuted", |cx| sized_in_memory(cx, "physical_layout")),
    ("empty_strided", |cx| sized_in_memory(cx, "stride")),
    ("new_zeros", |cx| sized(cx, 0.0)),
    ("new_ones", |cx| sized(cx, 1.0)),
    ("new_empty", |cx| sized(cx, 0.0)),
    ("new_empty_strided", |cx| sized_in_memory(cx, "stride")),
    ("full", full),
    ("new_full", full),
    ("zeros_like", |cx| alike(cx, 0.0)),
    ("ones_like", |cx| alike(cx, 1.0)),
    ("empty_like", |cx| alike(cx, 0.0)),
    ("full_like", full_like),
    ("scalar_tensor", scalar_tensor),
    ("arange", arange),
    ("linspace", |cx| spaced(cx, None)),
    ("logspace", |cx| {
        let base = cx.float_or("base", 10.0)?;
        spaced(cx, Some(base))
    }),
    ("eye", eye),
    ("one_hot", one_hot),
    ("diag", diag),
    ("diag_embed", diag_embed),
    ("diagflat", diagflat),
    ("block_diag", block_diag),
    ("linalg_vander", vander),
    ("vander", vander),
    ("tril_indices", |cx| triangle_indices(cx, false)),
    ("triu_indices", |cx| triangle_indices(cx, true)),
];

/// The element type of the result: as declared, else as asked for, else `otherwise`.
pub(super) fn declared(cx: &Cx, otherwise: DType) -> R<DType> {
    for name in ["dtype", "self", "names"] {
        cx.has(name);
    }
    if let Some(dtype) = cx.declared_dtype(0)? {
        return Ok(dtype);
    }
    Ok(cx.opt_dtype("dtype")?.unwrap_or(otherwise))
}
/// The type of `self`, or of new floats.
fn own_type(cx: &mut Cx) -> R<DType> {
    match cx.opt_t("self")? {
        Some(x) => cx.dtype(x),
        None => Ok(DEFAULT_FLOAT),
    }
}
/// The type that numbers become: integers stay what they are.
fn type_of_numbers(cx: &Cx, numbers: &[&Operand]) -> R<DType> {
    let mut dtype = DType::Bool;
    for n in numbers {
        let (own, _) = cx.promotes(n)?;
        dtype = promote_types(dtype, own).unwrap_or(DEFAULT_FLOAT);
    }
    Ok(dtype)
}
/// Content that nothing defines is zero here.
fn sized(cx: &mut Cx, value: f64) -> R<Out> {
    let sizes = cx.sizes("size")?;
    let own = own_type(cx)?;
    let dtype = declared(cx, own)?;
    let v = cx.num_of(dtype, value)?;
    Ok(Out::Fresh(cx.full(&sizes, v)?))
}
/// Zeros for what PyTorch leaves unset; `order` tells how the elements would lie in memory.
fn sized_in_memory(cx: &mut Cx, order: &str) -> R<Out> {
    cx.sizes(order)?;
    sized(cx, 0.0)
}
fn full(cx: &mut Cx) -> R<Out> {
    let (sizes, value) = (cx.sizes("size")?, cx.operand("fill_value")?);
    let own = if cx.has("self") { own_type(cx)? } else { type_of_numbers(cx, &[&value])? };
    let dtype = declared(cx, own)?;
    let v = cx.value_of(&value, dtype)?;
    Ok(Out::Fresh(cx.full(&sizes, v)?))
}
fn alike(cx: &mut Cx, value: f64) -> R<Out> {
    let x = cx.t("self")?;
    let dtype = declared(cx, cx.dtype(x)?)?;
    let v = cx.num_of(dtype, value)?;
    let sizes = cx.shape_of(x)?;
    Ok(Out::Fresh(cx.full(&sizes, v)?))
}
fn full_like(cx: &mut Cx) -> R<Out> {
    let (x, value) = (cx.t("self")?, cx.operand("fill_value")?);
    let dtype = declared(cx, cx.dtype(x)?)?;
    let v = cx.value_of(&value, dtype)?;
    let sizes = cx.shape_of(x)?;
    Ok(Out::Fresh(cx.full(&sizes, v)?))
}
fn scalar_tensor(cx: &mut Cx) -> R<Out> {
    let value = cx.operand("s")?;
    let dtype = declared(cx, DEFAULT_FLOAT)?;
    Ok(Out::Fresh(cx.value_of(&value, dtype)?))
}
/// Longest sequence that becomes a constant.
const MAX_LINE: f64 = 65536.0;

fn arange(cx: &mut Cx) -> R<Out> {
    let or = |cx: &mut Cx, n: &str, d: i64| -> R<Scalar> {
        if cx.has(n) { cx.scalar(n) } else { Ok(Scalar::Int(Size::Known(d))) }
    };
    let (start, end, step) = (or(cx, "start", 0)?, cx.scalar("end")?, or(cx, "step", 1)?);
    let numbers = [&start, &end, &step].map(|s| Operand::Scalar(s.clone()));
    let own = type_of_numbers(cx, &numbers.each_ref())?;
    let dtype = declared(cx, own)?;
    if let (Some(a), Some(b), Some(s)) = (start.known(), end.known(), step.known()) {
        let n = ((b - a) / s).ceil();
        if !n.is_finite() {
            return Err(malformed("a sequence without end"));
        }
        if n <= MAX_LINE {
            let line: Vec<f64> = (0..n.max(0.0) as usize).map(|i| a + i as f64 * s).collect();
            let t = Tensor::from_vec(&[line.len()], line)
                .cast(dtype, false)
                .map_err(|e| malformed(e.to_string()))?;
            return Ok(Out::Fresh(cx.constant(t)));
        }
    }
    // Counted in integers or f64, converted at the end.
    let wide = if [&start, &end, &step].iter().all(|s| matches!(s, Scalar::Int(_))) {
        DType::I64
    } else {
        DType::F64
    };
    let [a, b, s] = [start, end, step].map(|s| cx.value_of(&Operand::Scalar(s), wide));
    let y = cx.op("range", &[a?, b?, s?])?;
    Ok(Out::Fresh(cx.cast(y, dtype)?))
}
/// `start + i (end - start) / (n - 1)`, from the nearer end; or powers of a base at these.
fn spaced(cx: &mut Cx, base: Option<f64>) -> R<Out> {
    let (a, b, n) = (cx.operand("start")?, cx.operand("end")?, cx.int("steps")?);
    let dtype = declared(cx, DEFAULT_FLOAT)?;
    if !(0..=1 << 24).contains(&n) {
        return Err(malformed(format!("{n} steps")));
    }
    let wide = if dtype.is_float() { DType::F64 } else { DType::F32 };
    let (a, b) = (cx.value_of(&a, wide)?, cx.value_of(&b, wide)?);
    let line = |f: &dyn Fn(i64) -> f64| {
        let t = Tensor::from_vec(&[n as usize], (0..n).map(f).collect::<Vec<f64>>());
        t.cast(wide, false).map_err(|e| malformed(e.to_string()))
    };
    let last = (n - 1).max(1) as f64;
    let (up, down) = (line(&|i| i as f64)?, line(&|i| (n - 1 - i) as f64)?);
    let first: Vec<bool> = (0..n).map(|i| i < n / 2 || n == 1).collect();
    let (up, down) = (cx.constant(up), cx.constant(down));
    let first = cx.constant(Tensor::from_bools(&[n as usize], first));
    let d = cx.b("sub", b, a)?;
    let step = cx.bn("div", d, last)?;
    let (p, q) = (cx.b("mul", up, step)?, cx.b("mul", down, step)?);
    let (p, q) = (cx.b("add", a, p)?, cx.b("sub", b, q)?);
    let y = cx.choose(first, p, q)?;
    let y = match base {
        Some(base) => cx.nb("pow", base, y)?,
        None => y,
    };
    Ok(Out::Fresh(cx.cast(y, dtype)?))
}
fn eye(cx: &mut Cx) -> R<Out> {
    let n = cx.size("n")?;
    let m = cx.opt_size("m")?.unwrap_or_else(|| n.clone());
    let dtype = declared(cx, DEFAULT_FLOAT)?;
    let (i, j) = (cx.iota(&n)?, cx.iota(&m)?);
    let i = cx.unsqueeze(i, &[1])?;
    let same = cx.b("equal", i, j)?;
    Ok(Out::Fresh(cx.cast(same, dtype)?))
}
fn one_hot(cx: &mut Cx) -> R<Out> {
    let (at, n) = (cx.t("self")?, cx.size("num_classes").unwrap_or(Size::Known(-1)));
    let n = if n == Size::Known(-1) {
        let m = cx.reduce("reduce_max", at, &[], false)?;
        let m = cx.bn("add", m, 1.0)?;
        Size::Value(cx.reshape_to(m, &[1])?)
    } else {
        n
    };
    let line = cx.iota(&n)?;
    let at = cx.unsqueeze(at, &[-1])?;
    let same = cx.b("equal", at, line)?;
    Ok(Out::Fresh(cx.cast(same, DType::I64)?))
}
/// The vector `x` (last axis) on a diagonal of a square matrix.
fn on_diagonal(cx: &mut Cx, x: V, offset: i64) -> R<V> {
    let last = cx.rank(x)? - 1;
    let n = cx.dim(x, last)?;
    let size = cx.size_add(&n, &Size::Known(offset.saturating_abs()))?;
    let (down, right) = ((-offset).max(0), offset.max(0));
    // Padded at both ends, then kept where row and column differ by the offset.
    let rank = last + 1;
    let mut pads = vec![0; 2 * rank];
    pads[last] = right;
    pads[2 * rank - 1] = down;
    let zero = cx.num_of(DType::I32, 0.0)?;
    let dtype = cx.dtype(x)?;
    let wide = if dtype == DType::Bool { cx.cast(x, DType::I32)? } else { x };
    let fill = if dtype == DType::Bool { zero } else { cx.num(x, 0.0)? };
    let pads = cx.int_list(&pads);
    let row = cx.op("pad", &[wide, pads, fill])?;
    let row = cx.unsqueeze(row, &[last as i64])?;
    let (i, j) = (cx.iota(&size)?, cx.iota(&size)?);
    let i = cx.unsqueeze(i, &[1])?;
    let moved = cx.bn("add", i, offset as f64)?;
    let on = cx.b("equal", j, moved)?;
    // Element k stands in column k + right, so a row holds the vector's elements by column.
    let y = cx.choose(on, row, fill)?;
    cx.cast(y, dtype)
}
fn diag(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let offset = cx.int_or("diagonal", 0)?;
    if cx.rank(x)? == 1 {
        return Ok(Out::Fresh(on_diagonal(cx, x, offset)?));
    }
    let sizes = cx.fixed_sizes(x)?;
    let (at, out) = super::strided::diagonal_of(&sizes, 0, 1, offset)?;
    let flat = cx.reshape_to(x, &[-1])?;
    let at = cx.int_list(&at);
    let y = cx.gather(flat, at, 0)?;
    Ok(Out::Fresh(cx.reshape_to(y, &out)?))
}
fn diag_embed(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let rank = cx.rank(x)? + 1;
    let (offset, a, b) =
        (cx.int_or("offset", 0)?, wrap(cx.int_or("dim1", -2)?, rank)?, wrap(cx.int_or("dim2", -1)?, rank)?);
    let y = on_diagonal(cx, x, offset)?;
    let mut rest = 0..rank - 2;
    let perm: Vec<usize> = (0..rank)
        .map(|i| {
            if i == a {
                rank - 2
            } else if i == b {
                rank - 1
            } else {
                rest.next().unwrap_or(0)
            }
        })
        .collect();
    Ok(Out::Fresh(cx.permute(y, &perm)?))
}
fn diagflat(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let flat = cx.reshape_to(x, &[-1])?;
    let offset = cx.int_or("offset", 0)?;
    Ok(Out::Fresh(on_diagonal(cx, flat, offset)?))
}
fn block_diag(cx: &mut Cx) -> R<Out> {
    let xs = cx.ts("tensors")?;
    let operands: Vec<Operand> = xs.iter().map(|x| Operand::Tensor(*x)).collect();
    let dtype = cx.common(&operands.iter().collect::<Vec<_>>())?;
    let mut blocks = vec![];
    for x in xs {
        let x = cx.cast(x, dtype)?;
        let (x, _) = at_least_1d(cx, x)?;
        let x = if cx.rank(x)? == 1 { cx.unsqueeze(x, &[0])? } else { x };
        let sizes = cx.fixed_sizes(x)?;
        blocks.push((x, sizes[0], sizes[1]));
    }
    let width: i64 = blocks.iter().map(|b| b.2).sum();
    let mut at = 0;
    let mut rows = vec![];
    for (x, _, columns) in blocks {
        let pads = cx.int_list(&[0, at, 0, width - at - columns]);
        let zero = cx.num(x, 0.0)?;
        rows.push(cx.op("pad", &[x, pads, zero])?);
        at += columns;
    }
    Ok(Out::Fresh(cx.concat(&rows, 0)?))
}
/// Powers `0..n` of each element as columns.
fn vander(cx: &mut Cx) -> R<Out> {
    let x = cx.t("x")?;
    let x = if cx.dtype(x)? == DType::Bool { cx.cast(x, DType::I64)? } else { x };
    let (x, _) = at_least_1d(cx, x)?;
    let axis = cx.rank(x)?;
    let n = match cx.opt_size("N")? {
        Some(Size::Known(n)) => n,
        _ => cx.known(x, axis - 1).ok_or_else(|| unsupported("powers up to a dynamic number"))?,
    };
    let x = cx.unsqueeze(x, &[-1])?;
    let dtype = cx.dtype(x)?;
    let powers: Vec<i64> = (0..n.clamp(0, 1 << 16)).collect();
    let powers = cx.int_list(&powers);
    let powers = cx.cast(powers, dtype)?;
    Ok(Out::Fresh(cx.b("pow", x, powers)?))
}
fn triangle_indices(cx: &mut Cx, upper: bool) -> R<Out> {
    let (rows, columns, offset) = (cx.int("row")?, cx.int("col")?, cx.int_or("offset", 0)?);
    let dtype = declared(cx, DType::I64)?;
    if rows < 0 || columns < 0 || rows.saturating_mul(columns) > 1 << 22 {
        return Err(unsupported("a triangle of this size"));
    }
    let own = |i: i64, j: i64| if upper { j - i >= offset } else { j - i <= offset };
    let places: Vec<(i64, i64)> =
        (0..rows).flat_map(|i| (0..columns).map(move |j| (i, j))).filter(|(i, j)| own(*i, *j)).collect();
    let all: Vec<i64> = places.iter().map(|p| p.0).chain(places.iter().map(|p| p.1)).collect();
    let t = cx.constant(Tensor::from_vec(&[2, places.len()], all));
    Ok(Out::Fresh(cx.cast(t, dtype)?))
}
