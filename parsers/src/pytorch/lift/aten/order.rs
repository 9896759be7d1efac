//! Sorting and what follows from it.
use super::reduce::{at_least_1d, back, one_axis};
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: super::Table = &[
    ("sort", sort),
    ("argsort", argsort),
    ("msort", msort),
    ("topk", topk),
    ("kthvalue", kthvalue),
    ("median", |cx| median(cx, false)),
    ("nanmedian", |cx| median(cx, true)),
    ("quantile", |cx| quantile(cx, false)),
    ("nanquantile", |cx| quantile(cx, true)),
    ("mode", mode),
    ("searchsorted", searchsorted),
    ("bucketize", bucketize),
    ("histc", histc),
    ("bincount", bincount),
    ("_unique2", unique2),
    ("unique_dim", unique2),
    ("unique_consecutive", unique_consecutive),
];

/// All elements of an axis in order, with their former positions. Equal ones keep their order.
pub(super) fn sorted(cx: &mut Cx, x: V, axis: usize, descending: bool) -> R<(V, V)> {
    let n = cx.dim(x, axis)?;
    top_k(cx, x, axis, &n, descending)
}
/// The first `k` elements of the order. NaN is above all numbers.
fn top_k(cx: &mut Cx, x: V, axis: usize, k: &Size, largest: bool) -> R<(V, V)> {
    let dtype = cx.dtype(x)?;
    let x = if matches!(dtype, DType::Bool | DType::U8 | DType::I8 | DType::I16 | DType::U16) {
        cx.cast(x, DType::I32)?
    } else {
        x
    };
    let k = cx.size_value(k);
    let attrs = [("axis", Attr::Int(axis as i64)), ("largest", Attr::Bool(largest))];
    let out = cx.node_n("top_k", &[Some(x), Some(k)], &attrs, 2)?;
    Ok((cx.cast(out[0], dtype)?, out[1]))
}
fn pair(cx: &mut Cx, values: V, at: V, scalar: bool) -> R<Out> {
    let (values, at) = (back(cx, values, scalar)?, back(cx, at, scalar)?);
    Ok(Out::Many(vec![Out::Fresh(values), Out::Fresh(at)]))
}
fn sort_args(cx: &mut Cx) -> R<(V, V, bool)> {
    let x = cx.t("self")?;
    let axis = wrap(cx.int_or("dim", -1)?, cx.rank(x)?)?;
    cx.bool_or("stable", false)?;
    let descending = cx.bool_or("descending", false)?;
    let (x, scalar) = at_least_1d(cx, x)?;
    let (values, at) = sorted(cx, x, axis, descending)?;
    Ok((values, at, scalar))
}
fn sort(cx: &mut Cx) -> R<Out> {
    let (values, at, scalar) = sort_args(cx)?;
    pair(cx, values, at, scalar)
}
fn argsort(cx: &mut Cx) -> R<Out> {
    let (_, at, scalar) = sort_args(cx)?;
    Ok(Out::Fresh(back(cx, at, scalar)?))
}
fn msort(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let (x, scalar) = at_least_1d(cx, x)?;
    let (values, _) = sorted(cx, x, 0, false)?;
    Ok(Out::Fresh(back(cx, values, scalar)?))
}
fn topk(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let axis = wrap(cx.int_or("dim", -1)?, cx.rank(x)?)?;
    let (k, largest) = (cx.size("k")?, cx.bool_or("largest", true)?);
    cx.bool_or("sorted", true)?;
    let (x, scalar) = at_least_1d(cx, x)?;
    let (values, at) = top_k(cx, x, axis, &k, largest)?;
    let scalar = scalar && k == Size::Known(1);
    pair(cx, values, at, scalar)
}
fn kthvalue(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let axis = wrap(cx.int_or("dim", -1)?, cx.rank(x)?)?;
    let (k, keep) = (cx.int("k")?, cx.bool_or("keepdim", false)?);
    let (x, scalar) = at_least_1d(cx, x)?;
    let (values, at) = sorted(cx, x, axis, false)?;
    let (v, at) = (cx.slice_known(values, axis, k - 1, k)?, cx.slice_known(at, axis, k - 1, k)?);
    finish(cx, v, at, axis, keep || scalar, scalar)
}
/// Drops the axis where it is not kept.
fn finish(cx: &mut Cx, v: V, at: V, axis: usize, keep: bool, scalar: bool) -> R<Out> {
    let (v, at) =
        if keep { (v, at) } else { (cx.squeeze(v, &[axis as i64])?, cx.squeeze(at, &[axis as i64])?) };
    pair(cx, v, at, scalar)
}
/// The lower one of the two middle elements; NaN if there is any, or not counted.
fn median(cx: &mut Cx, skip_nan: bool) -> R<Out> {
    let x = cx.t("self")?;
    let axis = one_axis(cx, "dim", x)?;
    let keep = cx.bool_or("keepdim", false)?;
    let whole = axis.is_none();
    let (x, scalar, axis) = match axis {
        None => (cx.reshape_to(x, &[-1])?, false, 0),
        Some(a) => {
            let (x, s) = at_least_1d(cx, x)?;
            (x, s, a)
        }
    };
    let float = cx.dtype(x)?.is_float();
    let (values, at) = sorted(cx, x, axis, false)?;
    let n = cx.known(x, axis).ok_or_else(|| unsupported("a median over an axis of dynamic size"))?;
    let middle = if float {
        let nan = cx.u("is_nan", x)?;
        let nan = cx.cast(nan, DType::I64)?;
        let nans = cx.reduce("reduce_sum", nan, &[axis], true)?;
        if skip_nan {
            // (n - nans - 1) / 2, not below 0.
            let left = cx.nb("sub", (n - 1) as f64, nans)?;
            let zero = cx.num(left, 0.0)?;
            let left = cx.b("max", left, zero)?;
            cx.bn("div", left, 2.0)?
        } else {
            let some = cx.bn("greater", nans, 0.0)?;
            // The first NaN stands behind all numbers.
            let first = cx.nb("sub", n as f64, nans)?;
            let plain = cx.num(nans, ((n - 1) / 2) as f64)?;
            cx.choose(some, first, plain)?
        }
    } else {
        let mut sizes = cx.shape_of(x)?;
        sizes[axis] = Size::Known(1);
        let m = cx.constant(Tensor::scalar((n - 1) / 2));
        cx.full(&sizes, m)?
    };
    let attrs = [("axis", Attr::Int(axis as i64))];
    let (v, at) = (
        cx.with("gather_elements", &[values, middle], &attrs)?,
        cx.with("gather_elements", &[at, middle], &attrs)?,
    );
    if whole {
        return Ok(Out::Fresh(cx.reshape_to(v, &[])?));
    }
    finish(cx, v, at, axis, keep || scalar, scalar)
}
fn quantile(cx: &mut Cx, skip_nan: bool) -> R<Out> {
    let x = cx.t("self")?;
    let dtype = cx.dtype(x)?;
    let rank = cx.rank(x)?;
    let axis = one_axis(cx, "dim", x)?;
    let (keep, how) = (cx.bool_or("keepdim", false)?, cx.str_or("interpolation", "linear")?.to_owned());
    let q = cx.operand("q")?;
    let q = cx.value_of(&q, dtype)?;
    if cx.rank(q)? > 1 {
        return Err(malformed("quantiles must be a number or a line"));
    }
    let (x, along) = match axis {
        Some(a) if rank > 0 => (x, a),
        _ => (cx.reshape_to(x, &[-1])?, 0),
    };
    let last = cx.rank(x)? - 1;
    let x = cx.swap_to_last(x, along)?;
    let n = cx.known(x, last).ok_or_else(|| unsupported("a quantile over an axis of dynamic size"))?;
    let (values, _) = sorted(cx, x, last, false)?;
    let nan = cx.u("is_nan", x)?;
    let nan = cx.cast(nan, DType::I64)?;
    let nans = cx.reduce("reduce_sum", nan, &[last], true)?;
    // Positions q (m - 1) among the m numbers.
    let count = if skip_nan {
        let m = cx.nb("sub", (n - 1) as f64, nans)?;
        let zero = cx.num(m, 0.0)?;
        let m = cx.b("max", m, zero)?;
        cx.cast(m, dtype)?
    } else {
        cx.num(x, (n - 1) as f64)?
    };
    let at = cx.b("mul", q, count)?;
    let at = if skip_nan {
        at
    } else {
        let mut sizes = cx.shape_of(x)?;
        sizes[last] = cx.dim_or_one(q)?;
        let at = cx.reshape_to(at, &[-1])?;
        cx.expand(at, &sizes)?
    };
    let y = interpolate(cx, values, at, last, &how)?;
    let y = if skip_nan {
        let all = cx.bn("equal", nans, n as f64)?;
        let nan = cx.num(y, f64::NAN)?;
        cx.choose(all, nan, y)?
    } else {
        let some = cx.bn("greater", nans, 0.0)?;
        let nan = cx.num(y, f64::NAN)?;
        cx.choose(some, nan, y)?
    };
    // The axis of quantiles goes to the front, the reduced one back to its place.
    let line = cx.rank(q)? == 1;
    let mut y = cx.unsqueeze(y, &[0])?;
    y = cx.swap(y, 0, last + 1)?;
    if keep {
        y = match axis {
            Some(_) if rank > 0 => cx.move_axis(y, last + 1, along + 1)?,
            _ => {
                let mut sizes = vec![Size::Known(1); rank + 1];
                sizes[0] = Size::Known(-1);
                cx.reshape(y, &sizes)?
            }
        };
    } else {
        y = cx.squeeze(y, &[(last + 1) as i64])?;
    }
    Ok(Out::Fresh(if line { y } else { cx.squeeze(y, &[0])? }))
}
/// Elements of the sorted last axis at fractional positions.
fn interpolate(cx: &mut Cx, values: V, at: V, axis: usize, how: &str) -> R<V> {
    let attrs = [("axis", Attr::Int(axis as i64))];
    let pick = |cx: &mut Cx, at: V| {
        let at = cx.cast(at, DType::I64)?;
        cx.with("gather_elements", &[values, at], &attrs)
    };
    match how {
        "lower" | "higher" | "nearest" => {
            let op = match how {
                "lower" => "floor",
                "higher" => "ceil",
                _ => "round",
            };
            let at = cx.u(op, at)?;
            pick(cx, at)
        }
        "linear" | "midpoint" => {
            let (down, up) = (cx.u("floor", at)?, cx.u("ceil", at)?);
            let (a, b) = (pick(cx, down)?, pick(cx, up)?);
            let d = cx.b("sub", b, a)?;
            let w = if how == "linear" { cx.b("sub", at, down)? } else { cx.num(at, 0.5)? };
            let step = cx.b("mul", d, w)?;
            cx.b("add", a, step)
        }
        other => Err(malformed(format!("interpolation `{other}` is unknown"))),
    }
}
/// The most frequent element, the smallest of several, with its last position.
fn mode(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let axis = wrap(cx.int_or("dim", -1)?, cx.rank(x)?)?;
    let keep = cx.bool_or("keepdim", false)?;
    let (x, scalar) = at_least_1d(cx, x)?;
    let (values, at) = sorted(cx, x, axis, false)?;
    // How often each sorted element occurs.
    let (a, b) = (cx.unsqueeze(values, &[axis as i64])?, cx.unsqueeze(values, &[axis as i64 + 1])?);
    let same = cx.b("equal", a, b)?;
    let same = cx.cast(same, DType::I64)?;
    let often = cx.reduce("reduce_sum", same, &[axis + 1], false)?;
    let best = cx.with("arg_max", &[often], &[("axis", Attr::Int(axis as i64))])?;
    // Its last occurrence in the order: the sort is stable, so that is the last position.
    let count = cx.with("gather_elements", &[often, best], &[("axis", Attr::Int(axis as i64))])?;
    let count = cx.bn("sub", count, 1.0)?;
    let last = cx.b("add", best, count)?;
    let attrs = [("axis", Attr::Int(axis as i64))];
    let (v, at) = (
        cx.with("gather_elements", &[values, best], &attrs)?,
        cx.with("gather_elements", &[at, last], &attrs)?,
    );
    finish(cx, v, at, axis, keep || scalar, scalar)
}
fn searchsorted(cx: &mut Cx) -> R<Out> {
    let line = cx.t("sorted_sequence")?;
    let line = match cx.opt_t("sorter")? {
        Some(s) => {
            let axis = cx.rank(line)? as i64 - 1;
            cx.with("gather_elements", &[line, s], &[("axis", Attr::Int(axis))])?
        }
        None => line,
    };
    let x = cx.operand("self")?;
    place(cx, line, &x)
}
fn bucketize(cx: &mut Cx) -> R<Out> {
    let line = cx.t("boundaries")?;
    let x = cx.operand("self")?;
    place(cx, line, &x)
}
/// Counts the elements of the line below (or up to) each element of `x`.
fn place(cx: &mut Cx, line: V, x: &crate::pytorch::lift::cx::Operand) -> R<Out> {
    let side = cx.str_or("side", "left")?;
    let right = cx.bool_or("right", false)? || side == "right";
    let to = if cx.bool_or("out_int32", false)? { DType::I32 } else { DType::I64 };
    let dtype = cx.common(&[&crate::pytorch::lift::cx::Operand::Tensor(line), x])?;
    let (line, x) = (cx.cast(line, dtype)?, cx.value_of(x, dtype)?);
    let x = cx.unsqueeze(x, &[-1])?;
    let line = if cx.rank(line)? > 1 { cx.unsqueeze(line, &[-2])? } else { line };
    let below = if right {
        let above = cx.b("greater", line, x)?;
        cx.u("not", above)?
    } else {
        cx.b("less", line, x)?
    };
    let below = cx.cast(below, DType::I64)?;
    let n = cx.rank(below)?;
    let at = cx.reduce("reduce_sum", below, &[n - 1], false)?;
    Ok(Out::Fresh(cx.cast(at, to)?))
}
/// Counts in equal bins between the bounds, both included.
fn histc(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let bins = cx.int_or("bins", 100)?;
    let (low, high) = (cx.float_or("min", 0.0)?, cx.float_or("max", 0.0)?);
    let dtype = cx.dtype(x)?;
    if bins <= 0 || bins > 1 << 20 {
        return Err(malformed(format!("{bins} bins")));
    }
    let x = cx.reshape_to(x, &[-1])?;
    let (low, high) = if low == high {
        // The data's own bounds; one more on each side when they are one.
        let (l, h) = (cx.reduce("reduce_min", x, &[0], false)?, cx.reduce("reduce_max", x, &[0], false)?);
        let one = cx.b("equal", l, h)?;
        let (below, above) = (cx.bn("sub", l, 1.0)?, cx.bn("add", h, 1.0)?);
        (cx.choose(one, below, l)?, cx.choose(one, above, h)?)
    } else {
        (cx.num(x, low)?, cx.num(x, high)?)
    };
    let (above, below) = (cx.b("greater_or_equal", x, low)?, cx.b("less_or_equal", x, high)?);
    let inside = cx.b("and", above, below)?;
    let d = cx.b("sub", x, low)?;
    let width = cx.b("sub", high, low)?;
    let scaled = cx.bn("mul", d, bins as f64)?;
    let at = cx.b("div", scaled, width)?;
    // The upper bound belongs to the last bin; what is outside belongs to none.
    let last = cx.num(at, (bins - 1) as f64)?;
    let at = cx.u("floor", at)?;
    let at = cx.b("min", at, last)?;
    let nowhere = cx.num(at, -1.0)?;
    let at = cx.choose(inside, at, nowhere)?;
    let at = cx.cast(at, DType::I64)?;
    tally(cx, at, bins, None, dtype).map(Out::Fresh)
}
/// How often each of `0..bins` occurs among `at`, or the sum of the weights there.
fn tally(cx: &mut Cx, at: V, bins: i64, weights: Option<V>, dtype: DType) -> R<V> {
    let line = cx.iota(&Size::Known(bins))?;
    let line = cx.unsqueeze(line, &[1])?;
    let same = cx.b("equal", line, at)?;
    let same = cx.cast(same, dtype)?;
    let same = match weights {
        Some(w) => cx.b("mul", same, w)?,
        None => same,
    };
    cx.reduce("reduce_sum", same, &[1], false)
}
/// The number of bins depends on the data; only as many as `minlength` gives are known.
fn bincount(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let least = cx.int_or("minlength", 0)?;
    let weights = cx.opt_t("weights")?;
    let x = cx.cast(x, DType::I64)?;
    let zero = cx.constant(Tensor::from_ints(&[-1]));
    let padded = cx.concat(&[x, zero], 0)?;
    let top = cx.reduce("reduce_max", padded, &[0], false)?;
    let n = cx.bn("add", top, 1.0)?;
    let least = cx.constant(Tensor::scalar(least));
    let n = cx.b("max", n, least)?;
    let n = cx.unsqueeze(n, &[0])?;
    let line = cx.iota(&Size::Value(n))?;
    let line = cx.unsqueeze(line, &[1])?;
    let same = cx.b("equal", line, x)?;
    let dtype = match weights {
        Some(w) if cx.dtype(w)? == DType::F32 => DType::F32,
        Some(_) => DType::F64,
        None => DType::I64,
    };
    let same = cx.cast(same, dtype)?;
    let same = match weights {
        Some(w) => {
            let w = cx.cast(w, dtype)?;
            cx.b("mul", same, w)?
        }
        None => same,
    };
    Ok(Out::Fresh(cx.reduce("reduce_sum", same, &[1], false)?))
}
fn unique2(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let axis = one_axis(cx, "dim", x)?;
    cx.bool_or("sorted", true)?;
    let (inverse, counts) = (cx.bool_or("return_inverse", false)?, cx.bool_or("return_counts", false)?);
    // Along an axis all results are computed, asked for or not.
    let (inverse, counts) = (inverse || axis.is_some(), counts || axis.is_some());
    let attrs: Vec<(&str, Attr)> = [("sorted", Attr::Bool(true))]
        .into_iter()
        .chain(axis.map(|a| ("axis", Attr::Int(a as i64))))
        .collect();
    let out = cx.node_n("unique", &[Some(x)], &attrs, 4)?;
    let empty = cx.int_list(&[]);
    let at = if inverse {
        match axis {
            None => {
                let sizes = cx.shape_of(x)?;
                cx.reshape(out[2], &sizes)?
            }
            Some(_) => out[2],
        }
    } else {
        empty
    };
    let n = if counts { out[3] } else { empty };
    Ok(Out::Many(vec![Out::Fresh(out[0]), Out::Fresh(at), Out::Fresh(n)]))
}
/// Runs of equal elements, or slices along an axis: the first of each, the run each belongs to, and the lengths.
fn unique_consecutive(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let axis = one_axis(cx, "dim", x)?;
    let (inverse, counts) = (cx.bool_or("return_inverse", false)?, cx.bool_or("return_counts", false)?);
    let (flat, along) = match axis {
        Some(a) if cx.rank(x)? > 0 => (x, a),
        _ => (cx.reshape_to(x, &[-1])?, 0),
    };
    let before = super::cumulate::slice_until(cx, flat, along, -1)?;
    let after = super::cumulate::slice_from(cx, flat, along, 1)?;
    let same = cx.b("equal", before, after)?;
    let changes = cx.u("not", same)?;
    let others: Vec<usize> = (0..cx.rank(flat)?).filter(|a| *a != along).collect();
    let changes = if others.is_empty() { changes } else { super::compare::any(cx, changes, &others, false)? };
    let first = cx.constant(Tensor::from_bools(&[1], vec![true]));
    let starts = cx.concat(&[first, changes], 0)?;
    // An empty tensor has no first element.
    let n = cx.dim(flat, along)?;
    let starts = cx.slice(starts, 0, &0.into(), &n, 1)?;
    let values = cx.with("compress", &[flat, starts], &[("axis", Attr::Int(along as i64))])?;
    let ones = cx.cast(starts, DType::I64)?;
    let runs = super::cumulate::running_sum(cx, ones, 0)?;
    let runs = cx.bn("sub", runs, 1.0)?;
    let empty = cx.int_list(&[]);
    let at = if inverse {
        let sizes = if axis.is_none() { cx.shape_of(x)? } else { vec![n] };
        cx.reshape(runs, &sizes)?
    } else {
        empty
    };
    let lengths = if counts {
        let k = cx.dim(values, along)?;
        let line = cx.iota(&k)?;
        let line = cx.unsqueeze(line, &[1])?;
        let same = cx.b("equal", line, runs)?;
        let same = cx.cast(same, DType::I64)?;
        cx.reduce("reduce_sum", same, &[1], false)?
    } else {
        empty
    };
    Ok(Out::Many(vec![Out::Fresh(values), Out::Fresh(at), Out::Fresh(lengths)]))
}
impl Cx {
    /// Moves an axis to the end.
    pub(super) fn swap_to_last(&mut self, x: V, axis: usize) -> R<V> {
        let last = self.rank(x)? - 1;
        self.move_axis(x, axis, last)
    }
    /// Moves an axis to another place.
    pub(super) fn move_axis(&mut self, x: V, from: usize, to: usize) -> R<V> {
        let mut perm: Vec<usize> = (0..self.rank(x)?).filter(|a| *a != from).collect();
        perm.insert(to.min(perm.len()), from);
        self.permute(x, &perm)
    }
    /// Size of a line; 1 for a 0-d tensor.
    fn dim_or_one(&mut self, x: V) -> R<Size> {
        if self.rank(x)? == 0 { Ok(Size::Known(1)) } else { self.dim(x, 0) }
    }
}
