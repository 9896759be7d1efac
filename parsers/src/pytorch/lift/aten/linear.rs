//! Matrix products.
use super::arithmetic::times;
use super::reduce::p_norm;
use crate::pytorch::lift::cx::{Cx, Operand, Out, R, Size, V, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[
    ("linear", linear),
    ("matmul", |cx| product(cx, "self", "other")),
    ("mm", |cx| product(cx, "self", "mat2")),
    ("bmm", |cx| product(cx, "self", "mat2")),
    ("mv", |cx| product(cx, "self", "vec")),
    ("dot", |cx| product(cx, "self", "tensor")),
    ("vdot", |cx| product(cx, "self", "other")),
    ("linalg_matmul", |cx| product(cx, "self", "other")),
    ("addmm", |cx| biased(cx, "mat1", "mat2")),
    ("addmv", |cx| biased(cx, "mat", "vec")),
    ("baddbmm", |cx| biased(cx, "batch1", "batch2")),
    ("addbmm", addbmm),
    ("addr", addr),
    ("outer", outer),
    ("ger", outer),
    ("inner", inner),
    ("linalg_vecdot", vecdot),
    ("linalg_multi_dot", multi_dot),
    ("chain_matmul", multi_dot),
    ("einsum", einsum),
    ("tensordot", tensordot),
    ("kron", kron),
    ("cross", cross),
    ("linalg_cross", cross),
    ("cdist", cdist),
    ("_cdist_forward", cdist),
    ("_euclidean_dist", cdist),
    ("_pdist_forward", pdist),
    ("_int_mm", int_mm),
    ("_trilinear", trilinear),
    ("pdist", pdist),
    ("bilinear", bilinear),
    ("_weight_norm", weight_norm),
    ("transformers.grouped_mm_fallback", grouped_mm),
    ("_grouped_mm", grouped_mm),
];

/// The product as `mat_mul`; types without one are widened.
pub(super) fn matmul(cx: &mut Cx, a: V, b: V) -> R<V> {
    let dtype = cx.dtype(a)?;
    if matches!(dtype, DType::I8 | DType::I16 | DType::U8 | DType::U16 | DType::Bool) {
        let (a, b) = (cx.cast(a, DType::I32)?, cx.cast(b, DType::I32)?);
        let y = cx.b("mat_mul", a, b)?;
        return cx.cast(y, dtype);
    }
    cx.b("mat_mul", a, b)
}
fn product(cx: &mut Cx, a: &str, b: &str) -> R<Out> {
    let (a, b) = (cx.t(a)?, cx.t(b)?);
    Ok(Out::Fresh(matmul(cx, a, b)?))
}
/// `x w' + b`.
fn linear(cx: &mut Cx) -> R<Out> {
    let (x, w, bias) = (cx.t("input")?, cx.t("weight")?, cx.opt_t("bias")?);
    Ok(Out::Fresh(linear_of(cx, x, w, bias)?))
}
pub(super) fn linear_of(cx: &mut Cx, x: V, w: V, bias: Option<V>) -> R<V> {
    if cx.rank(x)? == 2 && cx.rank(w)? == 2 {
        return cx.node1("gemm", &[Some(x), Some(w), bias], &[("trans_b", Attr::Bool(true))]);
    }
    let w = if cx.rank(w)? == 2 { cx.permute(w, &[1, 0])? } else { w };
    let y = matmul(cx, x, w)?;
    match bias {
        Some(b) => cx.b("add", y, b),
        None => Ok(y),
    }
}
/// A product times `alpha` plus `self` times `beta`; with `beta` 0, `self` is not looked at, NaN included.
fn biased(cx: &mut Cx, a: &str, b: &str) -> R<Out> {
    let (a, b) = (cx.t(a)?, cx.t(b)?);
    let unit = |cx: &Cx, n: &str| cx.float_or(n, 1.0).is_ok_and(|v| v == 1.0);
    if cx.dtype(a)?.is_float()
        && cx.rank(a)? == 2
        && cx.rank(b)? == 2
        && unit(cx, "alpha")
        && unit(cx, "beta")
    {
        let c = cx.t("self")?;
        return Ok(Out::Fresh(cx.op("gemm", &[a, b, c])?));
    }
    let y = matmul(cx, a, b)?;
    combine(cx, y)
}
/// `beta * self + alpha * y`.
fn combine(cx: &mut Cx, y: V) -> R<Out> {
    let dtype = cx.dtype(y)?;
    let scaled = |cx: &mut Cx, v: V, name: &str| match cx.opt_operand(name)? {
        Some(k) if !k.is_one() => {
            let k = cx.value_of(&k, dtype)?;
            times(cx, v, k)
        }
        _ => Ok(v),
    };
    let y = scaled(cx, y, "alpha")?;
    let base = cx.t("self")?;
    if matches!(cx.opt_operand("beta")?, Some(Operand::Scalar(s)) if s.known() == Some(0.0)) {
        // The sum would broadcast; the product has the full sizes already.
        return Ok(Out::Fresh(y));
    }
    let base = cx.cast(base, dtype)?;
    let base = scaled(cx, base, "beta")?;
    Ok(Out::Fresh(if dtype == DType::Bool { cx.b("or", base, y)? } else { cx.b("add", base, y)? }))
}
fn addbmm(cx: &mut Cx) -> R<Out> {
    let (a, b) = (cx.t("batch1")?, cx.t("batch2")?);
    let y = matmul(cx, a, b)?;
    let y = cx.reduce("reduce_sum", y, &[0], false)?;
    combine(cx, y)
}
fn addr(cx: &mut Cx) -> R<Out> {
    let (a, b) = (cx.t("vec1")?, cx.t("vec2")?);
    let dtype = cx.common(&[&Operand::Tensor(a), &Operand::Tensor(b)])?;
    let (a, b) = (cx.cast(a, dtype)?, cx.cast(b, dtype)?);
    let a = cx.unsqueeze(a, &[1])?;
    let y = times(cx, a, b)?;
    combine(cx, y)
}
fn outer(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.pair("self", "vec2")?;
    let a = cx.unsqueeze(a, &[1])?;
    Ok(Out::Fresh(times(cx, a, b)?))
}
/// Products over the last axes of both.
fn inner(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    let (ra, rb) = (cx.rank(a)?, cx.rank(b)?);
    if ra == 0 || rb == 0 {
        return Ok(Out::Fresh(times(cx, a, b)?));
    }
    let (ea, eb) = (letters(0, ra - 1), letters(ra, rb - 1));
    let equation = format!("{ea}z,{eb}z->{ea}{eb}");
    Ok(Out::Fresh(cx.with("einsum", &[a, b], &[("equation", Attr::Str(equation))])?))
}
fn letters(from: usize, count: usize) -> String {
    (from..from + count).map(|i| char::from(b'a' + (i % 25) as u8)).collect()
}
fn vecdot(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.pair("x", "y")?;
    let y = times(cx, a, b)?;
    let axis = wrap(cx.int_or("dim", -1)?, cx.rank(y)?)?;
    Ok(Out::Fresh(cx.reduce("reduce_sum", y, &[axis], false)?))
}
fn multi_dot(cx: &mut Cx) -> R<Out> {
    let name = if cx.has("tensors") { "tensors" } else { "matrices" };
    let xs = cx.ts(name)?;
    let (first, rest) = xs.split_first().ok_or_else(|| malformed("no matrices"))?;
    let y = rest.iter().try_fold(*first, |a, b| matmul(cx, a, *b))?;
    Ok(Out::Fresh(y))
}
fn einsum(cx: &mut Cx) -> R<Out> {
    let xs = cx.ts("tensors")?;
    let equation: String = cx.str_or("equation", "")?.chars().filter(|c| !c.is_whitespace()).collect();
    cx.ints_or_empty("path")?;
    let equation = named_ellipsis(cx, &equation, &xs)?;
    Ok(Out::Fresh(cx.with("einsum", &xs, &[("equation", Attr::Str(equation))])?))
}
/// The equation with letters for what an ellipsis stands for, where that is not the same number of axes in all operands: runtimes want it
/// to be. Fewer axes are the last ones.
fn named_ellipsis(cx: &Cx, equation: &str, xs: &[V]) -> R<String> {
    const DOTS: &str = "...";
    let (left, right) = match equation.split_once("->") {
        Some((l, r)) => (l, Some(r)),
        None => (equation, None),
    };
    let terms: Vec<&str> = left.split(',').collect();
    if terms.len() != xs.len() {
        return Err(malformed(format!("an equation of {} terms for {} operands", terms.len(), xs.len())));
    }
    let mut counts = vec![];
    for (term, x) in terms.iter().zip(xs) {
        let letters = term.replace(DOTS, "").chars().count();
        counts.push(term.contains(DOTS).then_some(cx.rank(*x)?.saturating_sub(letters)));
    }
    let given: Vec<usize> = counts.iter().flatten().copied().collect();
    if given.iter().all(|n| Some(n) == given.first()) {
        return Ok(equation.to_owned());
    }
    let most = given.iter().copied().max().unwrap_or(0);
    let free: Vec<char> =
        ('a'..='z').chain('A'..='Z').filter(|c| !equation.contains(*c)).take(most).collect();
    if free.len() < most {
        return Err(unsupported("an equation with more axes than letters"));
    }
    let all: String = free.iter().collect();
    let named = |(term, n): (&&str, &Option<usize>)| term.replace(DOTS, &all[most - n.unwrap_or(0)..]);
    let left: Vec<String> = terms.iter().zip(&counts).map(named).collect();
    let right = if let Some(r) = right {
        r.replace(DOTS, &all)
    } else {
        // Without a right side: the ellipsis, then the letters that occur once, in order.
        let whole: String = terms.concat();
        let mut once: Vec<char> =
            whole.chars().filter(|c| c.is_alphabetic() && whole.matches(*c).count() == 1).collect();
        once.sort_unstable();
        all.clone() + &once.into_iter().collect::<String>()
    };
    Ok(format!("{}->{right}", left.join(",")))
}
fn tensordot(cx: &mut Cx) -> R<Out> {
    let (a, b) = (cx.t("self")?, cx.t("other")?);
    let (ra, rb) = (cx.rank(a)?, cx.rank(b)?);
    let dims =
        |cx: &Cx, n: &str, r: usize| cx.ints(n)?.into_iter().map(|d| wrap(d, r)).collect::<R<Vec<_>>>();
    let (da, db) = (dims(cx, "dims_self", ra)?, dims(cx, "dims_other", rb)?);
    if da.len() != db.len() || ra + rb > 25 {
        return Err(malformed("the contracted dimensions do not pair up"));
    }
    let name = |i: usize| char::from(b'a' + (i % 26) as u8);
    let ea: String = (0..ra).map(name).collect();
    let eb: String =
        (0..rb).map(|i| db.iter().position(|d| *d == i).map_or(name(ra + i), |p| name(da[p]))).collect();
    let out: String = (0..ra)
        .filter(|i| !da.contains(i))
        .map(name)
        .chain((0..rb).filter(|i| !db.contains(i)).map(|i| name(ra + i)))
        .collect();
    let equation = format!("{ea},{eb}->{out}");
    Ok(Out::Fresh(cx.with("einsum", &[a, b], &[("equation", Attr::Str(equation))])?))
}
fn kron(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    let rank = cx.rank(a)?.max(cx.rank(b)?);
    let interleave = |cx: &mut Cx, x: V, first: bool| -> R<(V, Vec<Size>)> {
        let mut sizes = vec![Size::Known(1); rank - cx.rank(x)?];
        sizes.extend(cx.shape_of(x)?);
        let one = Size::Known(1);
        let wide: Vec<Size> = sizes
            .iter()
            .flat_map(|s| if first { [s.clone(), one.clone()] } else { [one.clone(), s.clone()] })
            .collect();
        Ok((cx.reshape(x, &wide)?, sizes))
    };
    let ((a, sa), (b, sb)) = (interleave(cx, a, true)?, interleave(cx, b, false)?);
    let y = times(cx, a, b)?;
    let sizes = sa.iter().zip(&sb).map(|(p, q)| cx.size_mul(p, q)).collect::<R<Vec<_>>>()?;
    Ok(Out::Fresh(cx.reshape(y, &sizes)?))
}
fn cross(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    let rank = cx.rank(a)?.max(cx.rank(b)?);
    let axis = if cx.has("dim") {
        wrap(cx.int("dim")?, rank)?
    } else if cx.target().contains("linalg") {
        rank - 1
    } else {
        let sizes = cx.fixed_sizes(a)?;
        sizes.iter().position(|n| *n == 3).ok_or_else(|| malformed("no dimension of size 3"))?
    };
    let turn = |cx: &mut Cx, x: V, by: [i64; 3]| {
        let at = cx.int_list(&by);
        cx.gather(x, at, axis)
    };
    let (a1, b2) = (turn(cx, a, [1, 2, 0])?, turn(cx, b, [2, 0, 1])?);
    let (a2, b1) = (turn(cx, a, [2, 0, 1])?, turn(cx, b, [1, 2, 0])?);
    let (p, q) = (cx.b("mul", a1, b2)?, cx.b("mul", a2, b1)?);
    Ok(Out::Fresh(cx.b("sub", p, q)?))
}
/// p-norm distances between all rows of both.
fn cdist(cx: &mut Cx) -> R<Out> {
    let (a, b) = (cx.t("x1")?, cx.t("x2")?);
    let p = cx.float_or("p", 2.0)?;
    cx.has("compute_mode");
    let (a, b) = (cx.unsqueeze(a, &[-2])?, cx.unsqueeze(b, &[-3])?);
    let d = cx.b("sub", a, b)?;
    let last = cx.rank(d)? - 1;
    Ok(Out::Fresh(p_norm(cx, d, p, &[last], false)?))
}
/// A product of bytes summed in 32 bits.
fn int_mm(cx: &mut Cx) -> R<Out> {
    let (a, b) = (cx.t("self")?, cx.t("mat2")?);
    let (a, b) = (cx.cast(a, DType::I32)?, cx.cast(b, DType::I32)?);
    Ok(Out::Fresh(cx.b("mat_mul", a, b)?))
}
/// The product of three tensors with axes added, summed over some.
fn trilinear(cx: &mut Cx) -> R<Out> {
    let mut product = None;
    for (name, expand) in [("i1", "expand1"), ("i2", "expand2"), ("i3", "expand3")] {
        let (x, axes) = (cx.t(name)?, cx.ints(expand)?);
        let x = cx.unsqueeze(x, &axes)?;
        product = Some(match product {
            None => x,
            Some(p) => cx.b("mul", p, x)?,
        });
    }
    let product = product.ok_or_else(|| unsupported("a product of nothing"))?;
    cx.has("unroll_dim");
    let rank = cx.rank(product)?;
    let axes = cx.ints("sumdim")?.into_iter().map(|a| wrap(a, rank)).collect::<R<Vec<_>>>()?;
    if axes.is_empty() {
        return Ok(Out::Fresh(product));
    }
    Ok(Out::Fresh(cx.reduce("reduce_sum", product, &axes, false)?))
}
fn pdist(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let p = cx.float_or("p", 2.0)?;
    let n = cx.fixed_sizes(x)?.first().copied().unwrap_or(0);
    if n > 2048 {
        return Err(unsupported("pairwise distances of more than 2048 rows"));
    }
    let pairs: Vec<(i64, i64)> = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).collect();
    let (i, j): (Vec<i64>, Vec<i64>) = pairs.into_iter().unzip();
    let (i, j) = (cx.int_list(&i), cx.int_list(&j));
    let (a, b) = (cx.gather(x, i, 0)?, cx.gather(x, j, 0)?);
    let d = cx.b("sub", a, b)?;
    Ok(Out::Fresh(p_norm(cx, d, p, &[1], false)?))
}
fn bilinear(cx: &mut Cx) -> R<Out> {
    let (a, b, w) = (cx.t("input1")?, cx.t("input2")?, cx.t("weight")?);
    let equation = "...i,oij,...j->...o".to_owned();
    let y = cx.with("einsum", &[a, w, b], &[("equation", Attr::Str(equation))])?;
    Ok(Out::Fresh(match cx.opt_t("bias")? {
        Some(c) => cx.b("add", y, c)?,
        None => y,
    }))
}
/// `v * (g / |v|)`, the norm over all axes but `dim`.
fn weight_norm(cx: &mut Cx) -> R<Out> {
    let (v, g) = (cx.t("v")?, cx.t("g")?);
    let dim = cx.int_or("dim", 0)?;
    let rank = cx.rank(v)?;
    let axes: Vec<usize> = if dim == -1 {
        vec![]
    } else {
        let dim = wrap(dim, rank)?;
        (0..rank).filter(|a| *a != dim).collect()
    };
    let n = p_norm(cx, v, 2.0, &axes, dim != -1)?;
    let k = cx.b("div", g, n)?;
    Ok(Out::Fresh(cx.b("mul", v, k)?))
}
/// Rows up to each offset times the matrix of their group; rows behind the last offset are 0.
fn grouped_mm(cx: &mut Cx) -> R<Out> {
    let name = |a: &'static str, b: &'static str| if cx.names(a) { a } else { b };
    let (input, weight) = (name("input", "self"), name("weight", "mat2"));
    let (x, w) = (cx.t(input)?, cx.t(weight)?);
    let ends = cx.t("offs")?;
    if cx.rank(x)? != 2 || cx.rank(w)? != 3 {
        return Err(unsupported("a grouped product other than of rows with a stack of matrices"));
    }
    let groups = cx.known(w, 0).ok_or_else(|| unsupported("a dynamic number of groups"))?;
    let ends = cx.cast(ends, DType::I64)?;
    let rows = cx.dim(x, 0)?;
    let row = cx.iota(&rows)?;
    let row = cx.unsqueeze(row, &[1])?;
    // Group of a row: the number of ends at or before it.
    let passed = cx.b("greater_or_equal", row, ends)?;
    let passed = cx.cast(passed, DType::I64)?;
    let group = cx.reduce("reduce_sum", passed, &[1], true)?;
    let mut y = None;
    for g in 0..groups {
        let m = cx.select(w, 0, g)?;
        let part = matmul(cx, x, m)?;
        let own = cx.bn("equal", group, g as f64)?;
        let zero = cx.num(part, 0.0)?;
        let rest = y.unwrap_or(zero);
        y = Some(cx.choose(own, part, rest)?);
    }
    y.map(Out::Fresh).ok_or_else(|| malformed("a grouped product without groups"))
}
