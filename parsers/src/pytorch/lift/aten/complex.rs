//! Complex numbers: making them, taking them apart, and the operators that treat them otherwise than real ones.
//!
//! An operator with a complex operand is lifted by [`OWN`] if it is listed there, by its ordinary function if it is in [`COMMON`],
//! and refused otherwise.
use super::complex_math as math;
use super::reduce::{at_least_1d, axes, one_axis, p_norm};
use crate::pytorch::lift::alias::Step;
use crate::pytorch::lift::cx::{Cx, Operand, Out, R, V, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;
use crate::pytorch::lift::pairs::part_type;
use hoist_ir::dtype::DType;

pub(super) const TABLE: super::Table = &[
    ("complex", complex),
    ("polar", polar),
    ("view_as_complex", |cx| seen_as(cx, Step::AsComplex)),
    ("view_as_complex_copy", |cx| super::view::copied(cx, |cx| seen_as(cx, Step::AsComplex))),
    ("view_as_real", |cx| seen_as(cx, Step::AsPairs)),
    ("view_as_real_copy", |cx| super::view::copied(cx, |cx| seen_as(cx, Step::AsPairs))),
    ("imag", |cx| part(cx, 1)),
    ("_conj", same),
    ("_conj_physical", same),
    ("_conj_copy", same),
    ("_neg_view", |cx| Ok(Out::Fresh(negative(cx)?))),
];

/// Operators on complex operands that differ from those on real ones.
const OWN: super::Table = &[
    ("real", |cx| part(cx, 0)),
    ("imag", |cx| part(cx, 1)),
    ("conj", conjugate),
    ("_conj", conjugate),
    ("conj_physical", |cx| super::view::copied(cx, conjugate)),
    ("_conj_physical", |cx| super::view::copied(cx, conjugate)),
    ("_conj_copy", |cx| super::view::copied(cx, conjugate)),
    ("resolve_conj", same),
    ("resolve_neg", same),
    ("adjoint", adjoint),
    ("mH", adjoint),
    ("matrix_H", adjoint),
    ("abs", |cx| real_of(cx, math::modulus)),
    ("absolute", |cx| real_of(cx, math::modulus)),
    ("angle", |cx| real_of(cx, math::angle)),
    ("sgn", |cx| of(cx, math::sgn)),
    ("exp", |cx| of(cx, math::exp)),
    ("exp2", |cx| of(cx, math::exp2)),
    ("special_exp2", |cx| of(cx, math::exp2)),
    ("expm1", |cx| of(cx, math::expm1)),
    ("special_expm1", |cx| of(cx, math::expm1)),
    ("log", |cx| of(cx, math::log)),
    ("log2", |cx| of(cx, |cx, z| math::log_base(cx, z, std::f64::consts::LN_2))),
    ("log10", |cx| of(cx, |cx, z| math::log_base(cx, z, std::f64::consts::LN_10))),
    ("log1p", |cx| of(cx, math::log1p)),
    ("special_log1p", |cx| of(cx, math::log1p)),
    ("sqrt", |cx| of(cx, math::sqrt)),
    ("rsqrt", |cx| of(cx, math::rsqrt)),
    ("reciprocal", |cx| of(cx, |cx, z| cx.u("reciprocal", z))),
    ("sin", |cx| of(cx, math::sin)),
    ("cos", |cx| of(cx, math::cos)),
    ("tan", |cx| of(cx, math::tan)),
    ("sinh", |cx| of(cx, math::sinh)),
    ("cosh", |cx| of(cx, math::cosh)),
    ("tanh", |cx| of(cx, math::tanh)),
    ("asin", |cx| of(cx, math::asin)),
    ("arcsin", |cx| of(cx, math::asin)),
    ("acos", |cx| of(cx, math::acos)),
    ("arccos", |cx| of(cx, math::acos)),
    ("atan", |cx| of(cx, math::atan)),
    ("arctan", |cx| of(cx, math::atan)),
    ("asinh", |cx| of(cx, math::asinh)),
    ("arcsinh", |cx| of(cx, math::asinh)),
    ("acosh", |cx| of(cx, math::acosh)),
    ("arccosh", |cx| of(cx, math::acosh)),
    ("atanh", |cx| of(cx, math::atanh)),
    ("arctanh", |cx| of(cx, math::atanh)),
    ("sigmoid", |cx| of(cx, math::sigmoid)),
    ("silu", |cx| of(cx, math::silu)),
    ("pow", |cx| power(cx, false)),
    ("float_power", |cx| power(cx, true)),
    ("prod", prod),
    ("var", |cx| moments(cx, false, false)),
    ("std", |cx| moments(cx, true, false)),
    ("var_mean", |cx| moments(cx, false, true)),
    ("std_mean", |cx| moments(cx, true, true)),
    ("norm", norm),
    ("linalg_vector_norm", norm),
    ("linalg_norm", norm),
    ("frobenius_norm", norm),
    ("vdot", |cx| scalar_product(cx, "self", "other")),
    ("linalg_vecdot", |cx| scalar_product(cx, "x", "y")),
    ("isfinite", finite),
    ("isreal", is_real),
    ("isclose", is_close),
    ("to", converted),
    ("_to_copy", |cx| super::view::copied(cx, converted)),
    ("type_as", converted),
    ("lerp", lerp),
    ("sinc", |cx| of(cx, math::sinc)),
    ("special_sinc", |cx| of(cx, math::sinc)),
    ("trace", trace),
    ("dist", dist),
];

/// Operators whose ordinary functions hold for complex operands: they move elements, or are polynomials in them.
#[rustfmt::skip]
const COMMON: &[&str] = &[
    "scalar_tensor", "full",
    "T", "_reshape_alias", "_reshape_copy", "_unsafe_index", "_unsafe_index_put", "_unsafe_masked_index",
    "_unsafe_masked_index_put_accumulate", "_unsafe_view", "add", "addbmm", "addcdiv", "addcmul", "addmm", "addmv",
    "addr", "alias", "alias_copy", "all", "any", "argwhere", "as_strided", "as_strided_copy", "atleast_1d",
    "atleast_2d", "atleast_3d", "baddbmm", "block_diag", "bmm", "broadcast_tensors", "broadcast_to",
    "cartesian_prod", "cat", "chain_matmul", "channel_shuffle", "chunk", "clone", "column_stack", "combinations",
    "concat", "concatenate", "constant_pad_nd", "contiguous", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
    "conv_transpose2d", "conv_transpose3d", "convolution", "copy", "count_nonzero", "cross", "cumprod", "cumsum",
    "cumulative_trapezoid", "detach", "diag", "diag_embed", "diagflat", "diagonal", "diagonal_copy",
    "diagonal_scatter", "diff", "div", "divide", "dot", "dropout", "dsplit", "dstack", "einsum", "empty_like", "eq",
    "equal", "expand", "expand_as", "expand_copy", "feature_dropout", "fill", "flatten", "flip", "fliplr", "flipud",
    "full_like", "gather", "ger", "hsplit", "hstack", "im2col", "index", "index_add", "index_copy", "index_fill",
    "index_put", "index_select", "inner", "isinf", "isnan", "item", "kron", "lift", "lift_fresh", "lift_fresh_copy",
    "linalg_cross", "linalg_diagonal", "linalg_matmul", "linalg_multi_dot", "linear", "logical_and", "logical_not",
    "logical_or", "logical_xor", "mT", "masked_fill", "masked_scatter", "masked_select", "matmul", "mean",
    "meshgrid", "mm", "moveaxis", "movedim", "mul", "multiply", "mv", "narrow", "narrow_copy", "ne", "neg",
    "negative", "new_empty", "new_full", "new_ones", "new_zeros", "nonzero", "nonzero_static", "not_equal",
    "numpy_T", "ones_like", "outer", "pad", "permute", "permute_copy", "pixel_shuffle", "pixel_unshuffle",
    "positive", "put", "ravel", "repeat", "repeat_interleave", "reshape", "reshape_as", "resize_as", "roll",
    "rot90", "row_stack", "rsub", "scatter", "scatter_add", "select", "select_copy", "select_scatter", "slice",
    "slice_copy", "slice_scatter", "split", "split_copy", "split_with_sizes", "split_with_sizes_copy", "square",
    "squeeze", "squeeze_copy", "stack", "sub", "subtract", "sum", "sum_to_size", "swapaxes", "swapdims",
    "sym_numel", "sym_size", "t", "t_copy", "take", "take_along_dim", "tensor_split", "tensordot", "tile", "trace",
    "transpose", "transpose_copy", "trapezoid", "trapz", "tril", "triu", "true_divide", "unbind", "unbind_copy",
    "unflatten", "unfold", "unfold_copy", "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes", "unsqueeze",
    "unsqueeze_copy", "vander", "view", "view_as", "view_as_complex", "view_as_real", "view_as_real_copy",
    "view_copy", "vsplit", "vstack", "where", "zero", "zeros_like",
];

/// The function that lifts operator `name` when an operand is complex; `ordinary` is that for real ones.
pub(super) fn form(name: &str, ordinary: super::Lift) -> R<super::Lift> {
    let own =
        OWN.iter().chain(super::fft::OWN).chain(super::stft::OWN).find(|row| row.0 == name).map(|row| row.1);
    own.or_else(|| COMMON.contains(&name).then_some(ordinary)).ok_or_else(|| {
        unsupported(format!("`{name}` of complex numbers is not supported"))
            .hint("compute on real and imaginary parts: torch.view_as_real(x)")
    })
}

fn same(cx: &mut Cx) -> R<Out> {
    Ok(Out::Same(cx.tensor_id("self")?))
}
fn seen_as(cx: &mut Cx, step: Step) -> R<Out> {
    let id = cx.tensor_id("self")?;
    if matches!(step, Step::AsPairs) && !cx.shows_complex(id) {
        return Err(malformed("view_as_real is for complex tensors"));
    }
    Ok(Out::View(id, vec![step]))
}
fn complex(cx: &mut Cx) -> R<Out> {
    let (re, im) = cx.pair("real", "imag")?;
    let (re, im) = together(cx, re, im)?;
    Ok(Out::Fresh(cx.complex(re, im)?))
}
/// Two tensors repeated to their common sizes.
fn together(cx: &mut Cx, a: V, b: V) -> R<(V, V)> {
    if cx.dims(a)? == cx.dims(b)? {
        return Ok((a, b));
    }
    let sum = cx.b("add", a, b)?;
    Ok((cx.expand_like(a, sum)?, cx.expand_like(b, sum)?))
}
fn polar(cx: &mut Cx) -> R<Out> {
    let (r, phi) = cx.pair("abs", "angle")?;
    let (c, s) = (cx.u("cos", phi)?, cx.u("sin", phi)?);
    let (re, im) = (cx.b("mul", r, c)?, cx.b("mul", r, s)?);
    Ok(Out::Fresh(cx.complex(re, im)?))
}
/// The real or imaginary part as a view.
fn part(cx: &mut Cx, which: i64) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let z = cx.read_tensor(id)?;
    if !cx.is_complex(z) {
        return Err(malformed("the imaginary part of a real tensor"));
    }
    let axis = cx.rank(z)?;
    Ok(Out::View(id, vec![Step::AsPairs, Step::Select(axis, which.into())]))
}
fn conjugate(cx: &mut Cx) -> R<Out> {
    Ok(Out::View(cx.tensor_id("self")?, vec![Step::Conjugate]))
}
fn negative(cx: &mut Cx) -> R<V> {
    let x = cx.t("self")?;
    cx.u("neg", x)
}
fn adjoint(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let z = cx.read_tensor(id)?;
    let mut perm: Vec<usize> = (0..cx.rank(z)?).collect();
    let n = perm.len();
    if n >= 2 {
        perm.swap(n - 2, n - 1);
    }
    Ok(Out::View(id, vec![Step::Permute(perm), Step::Conjugate]))
}
fn of(cx: &mut Cx, f: impl FnOnce(&mut Cx, V) -> R<V>) -> R<Out> {
    let z = cx.t("self")?;
    Ok(Out::Fresh(f(cx, z)?))
}
fn real_of(cx: &mut Cx, f: impl FnOnce(&mut Cx, V) -> R<V>) -> R<Out> {
    of(cx, f)
}

/// `self ** exponent`: small whole exponents by products, others as `exp(exponent log self)`.
fn power(cx: &mut Cx, double: bool) -> R<Out> {
    let (a, b) = (cx.operand("self")?, cx.operand("exponent")?);
    let dtype = if double { DType::C128 } else { cx.common(&[&a, &b])? };
    let x = cx.value_of(&a, dtype)?;
    if let Operand::Scalar(s) = &b
        && let Some(p) = s.known()
        && let Some(y) = fixed_power(cx, x, p)?
    {
        return Ok(Out::Fresh(y));
    }
    let w = cx.value_of(&b, dtype)?;
    Ok(Out::Fresh(math::pow(cx, x, w)?))
}
fn fixed_power(cx: &mut Cx, x: V, p: f64) -> R<Option<V>> {
    let inverse = p < 0.0;
    let y = if p.abs() == 0.5 {
        math::sqrt(cx, x)?
    } else if p == 0.0 {
        let one = cx.num(x, 1.0)?;
        let sizes = cx.shape_of(x)?;
        return Ok(Some(cx.full(&sizes, one)?));
    } else if p.abs() <= 16.0 && p.fract() == 0.0 {
        let mut y = None;
        let (mut square, mut rest) = (x, p.abs() as u32);
        while rest > 0 {
            if rest & 1 == 1 {
                y = Some(match y {
                    None => square,
                    Some(y) => cx.b("mul", y, square)?,
                });
            }
            rest >>= 1;
            if rest > 0 {
                square = cx.b("mul", square, square)?;
            }
        }
        y.unwrap_or(x)
    } else {
        return Ok(None);
    };
    Ok(Some(if inverse { cx.u("reciprocal", y)? } else { y }))
}

/// Most factors that are multiplied one by one.
const MAX_FACTORS: i64 = 4096;

/// A product along an axis, or of all elements: halves are multiplied until one factor is left.
fn prod(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let x = match cx.opt_dtype("dtype")? {
        Some(to) => cx.cast(x, to)?,
        None => x,
    };
    let keep = cx.bool_or("keepdim", false)?;
    let axis = one_axis(cx, "dim", x)?;
    let (x, scalar) = at_least_1d(cx, x)?;
    let (mut x, axis) = match axis {
        Some(axis) => (x, axis),
        None => (cx.reshape_to(x, &[-1])?, 0),
    };
    let keep = keep && !scalar;
    let n = cx.known(x, axis).filter(|n| *n <= MAX_FACTORS);
    let mut n =
        n.ok_or_else(|| unsupported("a product of so many or a dynamic number of complex factors"))?;
    if n == 0 {
        let one = cx.num(x, 1.0)?;
        let mut sizes = cx.shape_of(x)?;
        sizes[axis] = 1.into();
        x = cx.full(&sizes, one)?;
    }
    while n > 1 {
        let half = n / 2;
        let (a, b) = (cx.slice_known(x, axis, 0, half)?, cx.slice_known(x, axis, half, 2 * half)?);
        let p = cx.b("mul", a, b)?;
        x = if n % 2 == 0 {
            p
        } else {
            let last = cx.slice_known(x, axis, n - 1, n)?;
            cx.concat(&[p, last], axis)?
        };
        n -= half;
    }
    Ok(Out::Fresh(if keep { x } else { cx.squeeze(x, &[axis as i64])? }))
}
/// Variance: the mean squared distance from the mean, which is real.
fn moments(cx: &mut Cx, root: bool, with_mean: bool) -> R<Out> {
    let x = cx.t("self")?;
    let (axes, keep) = (axes(cx, "dim", x)?, cx.bool_or("keepdim", false)?);
    let correction = if cx.bool_or("unbiased", true)? { cx.float_or("correction", 1.0)? } else { 0.0 };
    let (x, scalar) = at_least_1d(cx, x)?;
    let (axes, keep) = if scalar { (vec![0], false) } else { (axes, keep) };
    let mean = cx.reduce("reduce_mean", x, &axes, true)?;
    let d = cx.b("sub", x, mean)?;
    let squares = math::square_modulus(cx, d)?;
    let s = cx.reduce("reduce_sum", squares, &axes, keep)?;
    let n = super::reduce::count(cx, squares, &axes)?;
    let n = cx.bn("sub", n, correction)?;
    let n = cx.u("relu", n)?;
    let mut y = cx.b("div", s, n)?;
    if root {
        y = cx.u("sqrt", y)?;
    }
    if !with_mean {
        return Ok(Out::Fresh(y));
    }
    let axes: Vec<i64> = axes.iter().map(|a| *a as i64).collect();
    let mean = if keep { mean } else { cx.squeeze(mean, &axes)? };
    Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(mean)]))
}
/// The norm of the absolute values.
fn norm(cx: &mut Cx) -> R<Out> {
    let p = match (cx.has("p"), cx.has("ord")) {
        (true, _) => cx.float("p")?,
        (_, true) => cx.float("ord")?,
        _ => 2.0,
    };
    let z = cx.t(if cx.has("self") { "self" } else { "A" })?;
    let given = cx.ints_or_empty("dim")?;
    let matrix = if given.is_empty() { cx.rank(z)? == 2 } else { given.len() == 2 };
    if matrix && cx.target().contains("linalg_norm") && cx.has("ord") {
        return Err(unsupported("norms of complex matrices are not supported"));
    }
    let z = match cx.opt_dtype("dtype")? {
        Some(to) => cx.cast(z, to)?,
        None => z,
    };
    let (axes, keep) = (axes(cx, "dim", z)?, cx.bool_or("keepdim", false)?);
    let y = if p == 2.0 {
        let squares = math::square_modulus(cx, z)?;
        let s = cx.reduce("reduce_sum", squares, &axes, keep)?;
        cx.u("sqrt", s)?
    } else {
        let size = math::modulus(cx, z)?;
        p_norm(cx, size, p, &axes, keep)?
    };
    Ok(Out::Fresh(y))
}
/// The sum of `conj(a) b`.
fn scalar_product(cx: &mut Cx, a: &str, b: &str) -> R<Out> {
    let (a, b) = cx.pair(a, b)?;
    let a = cx.conjugate(a)?;
    let y = cx.b("mul", a, b)?;
    let axis = wrap(cx.int_or("dim", -1)?, cx.rank(y)?)?;
    Ok(Out::Fresh(cx.reduce("reduce_sum", y, &[axis], false)?))
}
fn finite(cx: &mut Cx) -> R<Out> {
    of(cx, |cx, z| {
        let (nan, inf) = (cx.u("is_nan", z)?, cx.u("is_inf", z)?);
        let either = cx.b("or", nan, inf)?;
        cx.u("not", either)
    })
}
fn is_real(cx: &mut Cx) -> R<Out> {
    of(cx, |cx, z| {
        let im = cx.im(z)?;
        cx.bn("equal", im, 0.0)
    })
}
/// `|a - b| <= atol + rtol |b|`, equal ones included.
fn is_close(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.pair("self", "other")?;
    let (rtol, atol) = (cx.float_or("rtol", 1e-5)?, cx.float_or("atol", 1e-8)?);
    let same = cx.b("equal", a, b)?;
    let d = cx.b("sub", a, b)?;
    let (d, size) = (math::modulus(cx, d)?, math::modulus(cx, b)?);
    let bound = cx.bn("mul", size, rtol)?;
    let bound = cx.bn("add", bound, atol)?;
    let near = cx.b("less_or_equal", d, bound)?;
    let inf = cx.u("is_inf", d)?;
    let finite = cx.u("not", inf)?;
    let near = cx.b("and", near, finite)?;
    let mut y = cx.b("or", same, near)?;
    if cx.bool_or("equal_nan", false)? {
        let (p, q) = (cx.u("is_nan", a)?, cx.u("is_nan", b)?);
        let both = cx.b("and", p, q)?;
        y = cx.b("or", y, both)?;
    }
    Ok(Out::Fresh(y))
}
/// A conversion; that to a real type drops the imaginary part, as PyTorch does.
fn converted(cx: &mut Cx) -> R<Out> {
    let id = cx.tensor_id("self")?;
    let z = cx.read_tensor(id)?;
    let to = match cx.opt_t("other")? {
        Some(o) => Some(cx.dtype(o)?),
        None => cx.opt_dtype("dtype")?,
    };
    let copy = cx.bool_or("copy", false)?;
    let now = cx.dtype(z)?;
    match to {
        Some(to) if to.is_complex() == now.is_complex() || to == DType::Bool => {
            Ok(if to == now && !copy { Out::Same(id) } else { Out::Fresh(cx.cast(z, to)?) })
        }
        Some(to) if now.is_complex() => {
            let re = cx.re(z)?;
            Ok(Out::Fresh(cx.cast(re, to)?))
        }
        Some(to) => Ok(Out::Fresh(cx.cast(z, to)?)),
        None if copy => Ok(Out::Fresh(z)),
        None => Ok(Out::Same(id)),
    }
}
/// The sum of the main diagonal.
fn trace(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let (at, sizes) = super::strided::diagonal_of(&cx.fixed_sizes(x)?, 0, 1, 0)?;
    let flat = cx.reshape_to(x, &[-1])?;
    let at = cx.int_list(&at);
    let y = cx.gather(flat, at, 0)?;
    let y = cx.reshape_to(y, &sizes)?;
    Ok(Out::Fresh(cx.reduce("reduce_sum", y, &[0], false)?))
}
/// The norm of the absolute values of the differences.
fn dist(cx: &mut Cx) -> R<Out> {
    let p = cx.float_or("p", 2.0)?;
    let (a, b) = cx.pair("self", "other")?;
    let d = cx.b("sub", a, b)?;
    let size = math::modulus(cx, d)?;
    Ok(Out::Fresh(p_norm(cx, size, p, &[], false)?))
}
/// `start + weight (end - start)`, from the nearer end as PyTorch has it.
fn lerp(cx: &mut Cx) -> R<Out> {
    let (a, b) = cx.pair("self", "end")?;
    let dtype = cx.dtype(a)?;
    let w = cx.operand("weight")?;
    let w = cx.value_of(&w, dtype)?;
    let d = cx.b("sub", b, a)?;
    let step = cx.b("mul", w, d)?;
    let from_start = cx.b("add", a, step)?;
    let rest = cx.nb("sub", 1.0, w)?;
    let step = cx.b("mul", d, rest)?;
    let from_end = cx.b("sub", b, step)?;
    let size = math::modulus(cx, w)?;
    let half = cx.num_of(part_type(dtype), 0.5)?;
    let near = cx.b("less", size, half)?;
    Ok(Out::Fresh(cx.choose(near, from_start, from_end)?))
}
