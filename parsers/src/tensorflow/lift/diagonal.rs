//! Diagonals of matrices.
use super::Row;
use super::bridge::Arg;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::trilu::Trilu;
use hoist_ir::ops::reduce::reductions::ReduceProd;
use hoist_ir::ops::shape::range::Range;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: &[Row] = &[
    ("Diag", "", diag),
    ("DiagPart", "", diag_part),
    ("MatrixDiag", "", matrix_diag),
    ("MatrixDiagV2", "", matrix_diag),
    ("MatrixDiagV3", "", matrix_diag),
    ("MatrixDiagPart", "", matrix_diag_part),
    ("MatrixDiagPartV2", "", matrix_diag_part),
    ("MatrixDiagPartV3", "", matrix_diag_part),
    ("MatrixSetDiag", "", matrix_set_diag),
    ("MatrixSetDiagV2", "", matrix_set_diag),
    ("MatrixSetDiagV3", "", matrix_set_diag),
    ("MatrixBandPart", "", band),
];

/// A tensor of twice the axes with the elements where both halves of the indices are equal.
fn diag(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let flat = cx.reshape(x, &[-1])?;
    let y = cx.aten("diag_embed", &[("self", Arg::T(flat)), ("offset", Arg::I(0))])?;
    let sizes = cx.shape_of(x)?;
    let sizes = cx.concat(&[sizes, sizes], 0)?;
    Ok(vec![cx.reshape_to(y, sizes)?.into()])
}

fn diag_part(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let half = cx.rank(x)? / 2;
    let sizes = cx.shape_of(x)?;
    let sizes = cx.slice(sizes, 0, 0, half as i64)?;
    // Elements lie as far apart as both halves of the indices step together.
    let count = cx.op(ReduceProd { keepdims: true, noop_with_empty_axes: false }, &[sizes])?;
    let (flat, one) = (cx.reshape(x, &[-1])?, cx.int_list(&[1]));
    let (zero, most, axes) = (cx.int_list(&[0]), cx.int_list(&[i64::MAX]), cx.int_list(&[0]));
    let step = cx.named("add", &[count, one])?;
    let y = cx.op_opt(Slice::default(), &[Some(flat), Some(zero), Some(most), Some(axes), Some(step)])?;
    Ok(vec![cx.reshape_to(y, sizes)?.into()])
}

/// Which diagonals of a matrix there are, and how shorter ones lie in rows as long as the longest. Numbers are lists of one.
struct Band {
    rows: V,
    columns: V,
    /// The lowest and the highest diagonal.
    range: (V, V),
    /// Whether one diagonal is a list of its own, and not the only row of several.
    single: bool,
    /// Whether diagonals above and below the main one end at the right of their row.
    right: (bool, bool),
}

/// The lowest and the highest diagonal that operand `i` names, and whether that is one; the main one without it.
fn range(cx: &mut Cx<'_, '_, '_>, i: usize) -> R<((V, V), bool)> {
    if cx.len() <= i {
        let zero = cx.int_list(&[0]);
        return Ok(((zero, zero), true));
    }
    let k = cx.wide(i)?;
    let k = cx.reshape(k, &[-1])?;
    match (cx.known_ints(k).as_deref(), cx.size(k, 0)) {
        (Some([low, high]), _) if low == high => {
            let one = cx.int_list(&[*low]);
            Ok(((one, one), true))
        }
        (_, Some(1)) => Ok(((k, k), true)),
        (Some(_), Some(2)) => Ok(((cx.slice(k, 0, 0, 1)?, cx.slice(k, 0, 1, 2)?), false)),
        _ => Err(cx.unsupported("a number of diagonals that depends on data")),
    }
}

fn alignment(cx: &Cx<'_, '_, '_>) -> R<(bool, bool)> {
    match (cx.attrs.text("align")?, cx.node.op.ends_with("V3")) {
        ("RIGHT_LEFT", _) | ("", true) => Ok((true, false)),
        ("LEFT_RIGHT", _) => Ok((false, true)),
        ("RIGHT_RIGHT", _) => Ok((true, true)),
        ("LEFT_LEFT", _) | ("", false) => Ok((false, false)),
        (other, _) => Err(cx.bad(format!("align {other}"))),
    }
}

impl Band {
    /// The lengths of the diagonals `d`.
    fn lengths(&self, cx: &mut Cx<'_, '_, '_>, d: V) -> R<V> {
        let zero = cx.int_list(&[0]);
        let (below, above) = (cx.named("min", &[d, zero])?, cx.named("max", &[d, zero])?);
        let (down, across) =
            (cx.named("add", &[self.rows, below])?, cx.named("sub", &[self.columns, above])?);
        cx.named("min", &[down, across])
    }
    /// The length of the longest one.
    fn longest(&self, cx: &mut Cx<'_, '_, '_>) -> R<V> {
        let zero = cx.int_list(&[0]);
        let (below, above) =
            (cx.named("min", &[self.range.1, zero])?, cx.named("max", &[self.range.0, zero])?);
        let (down, across) =
            (cx.named("add", &[self.rows, below])?, cx.named("sub", &[self.columns, above])?);
        cx.named("min", &[down, across])
    }
    fn count(&self, cx: &mut Cx<'_, '_, '_>) -> R<V> {
        let (wide, one) = (cx.named("sub", &[self.range.1, self.range.0])?, cx.int_list(&[1]));
        cx.named("add", &[wide, one])
    }
    /// Where the diagonals `d` begin in their rows of `longest` places.
    fn begins(&self, cx: &mut Cx<'_, '_, '_>, d: V, longest: V) -> R<V> {
        let lengths = self.lengths(cx, d)?;
        let far = cx.named("sub", &[longest, lengths])?;
        let zero = cx.int_list(&[0]);
        let below = cx.named("less", &[d, zero])?;
        let [above, under] = [self.right.0, self.right.1].map(|right| if right { far } else { zero });
        cx.named("where", &[below, under, above])
    }
    /// For each place of the rows of diagonals, the highest first, where it is in the matrix; behind its end for what fills them up.
    fn places(&self, cx: &mut Cx<'_, '_, '_>) -> R<V> {
        let (longest, count, zero) = (self.longest(cx)?, self.count(cx)?, cx.int_list(&[0]));
        let (i, j) = (numbers(cx, count)?, numbers(cx, longest)?);
        let i = cx.unsqueeze(i, &[1])?;
        let d = cx.named("sub", &[self.range.1, i])?;
        let begins = self.begins(cx, d, longest)?;
        let k = cx.named("sub", &[j, begins])?;
        let lengths = self.lengths(cx, d)?;
        let (early, late) = (cx.named("less", &[k, zero])?, cx.named("greater_or_equal", &[k, lengths])?);
        let outside = cx.named("or", &[early, late])?;
        let (below, above) = (cx.named("min", &[d, zero])?, cx.named("max", &[d, zero])?);
        let (row, column) = (cx.named("sub", &[k, below])?, cx.named("add", &[k, above])?);
        let place = cx.named("mul", &[row, self.columns])?;
        let place = cx.named("add", &[place, column])?;
        let end = cx.named("mul", &[self.rows, self.columns])?;
        let place = cx.named("where", &[outside, end, place])?;
        cx.reshape(place, &[-1])
    }
    /// For each place of the matrix, where it is in the rows of diagonals, and whether it is on one: lists.
    fn sources(&self, cx: &mut Cx<'_, '_, '_>) -> R<(V, V)> {
        let longest = self.longest(cx)?;
        let (row, column) = (numbers(cx, self.rows)?, numbers(cx, self.columns)?);
        let row = cx.unsqueeze(row, &[1])?;
        let d = cx.named("sub", &[column, row])?;
        let (low, high) = (
            cx.named("greater_or_equal", &[d, self.range.0])?,
            cx.named("less_or_equal", &[d, self.range.1])?,
        );
        let on = cx.named("and", &[low, high])?;
        let k = cx.named("min", &[row, column])?;
        let begins = self.begins(cx, d, longest)?;
        let (k, i) = (cx.named("add", &[k, begins])?, cx.named("sub", &[self.range.1, d])?);
        let at = cx.named("mul", &[i, longest])?;
        let at = cx.named("add", &[at, k])?;
        Ok((cx.reshape(at, &[-1])?, cx.reshape(on, &[-1])?))
    }
}

/// The numbers from 0 to before `n`, a list of one.
fn numbers(cx: &mut Cx<'_, '_, '_>, n: V) -> R<V> {
    let (start, step) = (cx.konst(Tensor::scalar(0i64)), cx.konst(Tensor::scalar(1i64)));
    let n = cx.reshape(n, &[])?;
    cx.op(Range::default(), &[start, n, step])
}

/// Sizes of `v` without its last `inner` axes, and `sizes` behind them.
fn with_tail(cx: &mut Cx<'_, '_, '_>, v: V, inner: usize, sizes: &[V]) -> R<V> {
    let shape = cx.shape_of(v)?;
    let rank = cx.rank(v)?;
    let outer = rank.checked_sub(inner).ok_or_else(|| cx.bad("a matrix without axes"))?;
    let head = cx.slice(shape, 0, 0, outer as i64)?;
    cx.concat(&[&[head], sizes].concat(), 0)
}

/// `v` with its last `inner` axes as one.
fn flattened(cx: &mut Cx<'_, '_, '_>, v: V, inner: usize) -> R<V> {
    let open = cx.int_list(&[-1]);
    let sizes = with_tail(cx, v, inner, &[open])?;
    cx.reshape_to(v, sizes)
}

/// `flat` with one element more at its end, of operand `i`, or zero.
fn padded(cx: &mut Cx<'_, '_, '_>, flat: V, i: usize) -> R<V> {
    let fill = if cx.len() > i {
        cx.arg(i)?
    } else {
        let zero = Tensor::scalar(0i64).cast(cx.dtype(flat)?, false).map_err(|e| cx.bad(e))?;
        cx.konst(zero)
    };
    let one = cx.int_list(&[1]);
    let sizes = with_tail(cx, flat, 1, &[one])?;
    let fill = cx.expand(fill, sizes)?;
    cx.concat(&[flat, fill], -1)
}

/// Sizes of the last two axes of `x`, and its rank.
fn matrix(cx: &mut Cx<'_, '_, '_>, x: V) -> R<(V, V)> {
    let rank = cx.rank(x)?;
    if rank < 2 {
        return Err(cx.bad("a matrix has two axes"));
    }
    Ok((cx.size_of(x, rank - 2)?, cx.size_of(x, rank - 1)?))
}

fn matrix_diag_part(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let (rows, columns) = matrix(cx, x)?;
    let (range, single) = range(cx, 1)?;
    let band = Band { rows, columns, range, single, right: alignment(cx)? };
    let places = band.places(cx)?;
    let flat = flattened(cx, x, 2)?;
    let flat = padded(cx, flat, 2)?;
    let y = cx.gather(flat, places, -1)?;
    if band.single {
        return Ok(vec![y.into()]);
    }
    let (count, longest) = (band.count(cx)?, band.longest(cx)?);
    let sizes = with_tail(cx, y, 1, &[count, longest])?;
    Ok(vec![cx.reshape_to(y, sizes)?.into()])
}

fn matrix_diag(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let rank = cx.rank(x)?;
    let (range, single) = range(cx, 1)?;
    let inner = if single { 1 } else { 2 };
    if rank < inner {
        return Err(cx.bad("diagonals without axes"));
    }
    let longest = cx.size_of(x, rank - 1)?;
    let zero = cx.int_list(&[0]);
    let mut stated = |i: usize| -> R<V> {
        if cx.len() <= i {
            return Ok(cx.int_list(&[-1]));
        }
        let n = cx.wide(i)?;
        cx.reshape(n, &[1])
    };
    let (rows, columns) = (stated(2)?, stated(3)?);
    // The smallest matrix that holds the diagonals, as square as what is stated lets it be.
    let (below, above) = (cx.named("min", &[range.1, zero])?, cx.named("max", &[range.0, zero])?);
    let (least_rows, least_columns) =
        (cx.named("sub", &[longest, below])?, cx.named("add", &[longest, above])?);
    let square = cx.named("max", &[least_rows, least_columns])?;
    let (no_rows, no_columns) = (cx.named("less", &[rows, zero])?, cx.named("less", &[columns, zero])?);
    let other_rows = cx.named("where", &[no_columns, square, least_rows])?;
    let other_columns = cx.named("where", &[no_rows, square, least_columns])?;
    let rows = cx.named("where", &[no_rows, other_rows, rows])?;
    let columns = cx.named("where", &[no_columns, other_columns, columns])?;
    let band = Band { rows, columns, range, single, right: alignment(cx)? };
    let flat = flattened(cx, x, inner)?;
    let flat = padded(cx, flat, 4)?;
    let (at, on) = band.sources(cx)?;
    // What is on no diagonal takes the element at the end.
    let count = band.count(cx)?;
    let end = cx.named("mul", &[count, longest])?;
    let at = cx.named("where", &[on, at, end])?;
    let y = cx.gather(flat, at, -1)?;
    let sizes = with_tail(cx, y, 1, &[rows, columns])?;
    Ok(vec![cx.reshape_to(y, sizes)?.into()])
}

fn matrix_set_diag(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, diagonal) = (cx.arg(0)?, cx.arg(1)?);
    let (rows, columns) = matrix(cx, x)?;
    let (range, single) = range(cx, 2)?;
    let band = Band { rows, columns, range, single, right: alignment(cx)? };
    let flat = flattened(cx, x, 2)?;
    let new = flattened(cx, diagonal, if single { 1 } else { 2 })?;
    let both = cx.concat(&[flat, new], -1)?;
    let (at, on) = band.sources(cx)?;
    let all = cx.named("mul", &[rows, columns])?;
    let own = numbers(cx, all)?;
    let at = cx.named("add", &[at, all])?;
    let at = cx.named("where", &[on, at, own])?;
    let y = cx.gather(both, at, -1)?;
    let sizes = cx.shape_of(x)?;
    Ok(vec![cx.reshape_to(y, sizes)?.into()])
}

/// A matrix without what lies more than so far below and above its diagonal; a negative distance keeps all.
fn band(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let rank = cx.rank(x)?;
    if rank < 2 {
        return Err(cx.bad("a matrix has two axes"));
    }
    let mut y = x;
    for (i, upper) in [(1, true), (2, false)] {
        let distance = cx.wide(i)?;
        let distance = cx.reshape(distance, &[])?;
        let known = cx.known_ints(distance).and_then(|d| d.first().copied());
        if known.is_some_and(|d| d < 0) {
            continue;
        }
        let distance = if known.is_some() {
            distance
        } else {
            let zero = cx.konst(Tensor::scalar(0i64));
            let open = cx.named("less", &[distance, zero])?;
            let far = cx.size_of(x, if upper { rank - 2 } else { rank - 1 })?;
            let far = cx.reshape(far, &[])?;
            cx.named("where", &[open, far, distance])?
        };
        let k = if upper { cx.named("neg", &[distance])? } else { distance };
        let k = cx.cast(k, DType::I64)?;
        y = cx.op(Trilu { upper }, &[y, k])?;
    }
    Ok(vec![y.into()])
}
