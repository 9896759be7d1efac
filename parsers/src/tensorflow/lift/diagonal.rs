//! Diagonals of matrices.
use super::Row;
use super::bridge::Arg;
use super::cx::{Cx, R, V};
use super::val::Val;
use hoist_ir::dtype::DType;
use hoist_ir::ops::movement::trilu::Trilu;
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

/// Elements of a matrix whose positions are listed may be this many.
const MOST: usize = 1 << 24;

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
    let count = (0..half).try_fold(1u64, |n, a| n.checked_mul(cx.size(x, a)?));
    let count = count.and_then(|n| i64::try_from(n).ok());
    let count = count.ok_or_else(|| cx.unsupported("sizes that are not known"))?;
    let flat = cx.reshape(x, &[count, count])?;
    let y = cx.aten("diagonal", &[("self", Arg::T(flat))])?;
    let sizes = cx.shape_of(x)?;
    let sizes = cx.slice(sizes, 0, 0, half as i64)?;
    Ok(vec![cx.reshape_to(y, sizes)?.into()])
}

/// Which diagonals of a matrix there are, and how shorter ones lie in rows as long as the longest.
struct Band {
    rows: i64,
    columns: i64,
    /// The lowest and the highest diagonal.
    range: (i64, i64),
    /// Whether diagonals above and below the main one end at the right of their row.
    right: (bool, bool),
}

impl Band {
    fn new(cx: &Cx<'_, '_, '_>, rows: i64, columns: i64, range: (i64, i64)) -> R<Self> {
        let align = cx.attrs.text("align")?;
        let right = match (align, &*cx.node.op) {
            ("RIGHT_LEFT", _) => (true, false),
            ("LEFT_RIGHT", _) => (false, true),
            ("RIGHT_RIGHT", _) => (true, true),
            ("LEFT_LEFT", _) => (false, false),
            ("", op) if op.ends_with("V3") => (true, false),
            ("", _) => (false, false),
            (other, _) => return Err(cx.bad(format!("align {other}"))),
        };
        let (low, high) = range;
        let inside = rows > 0 && columns > 0 && low <= high && low > -rows && high < columns;
        let fits = rows.checked_mul(columns).is_some_and(|n| n <= MOST as i64);
        if !(inside && fits) {
            return Err(cx.unsupported(format!("diagonals {low} to {high} of {rows} x {columns}")));
        }
        Ok(Self { rows, columns, range, right })
    }
    fn length(&self, d: i64) -> i64 {
        (self.rows + d.min(0)).min(self.columns - d.max(0))
    }
    /// Length of the longest diagonal.
    fn longest(&self) -> i64 {
        (self.range.0..=self.range.1).map(|d| self.length(d)).max().unwrap_or(0)
    }
    fn count(&self) -> i64 {
        self.range.1 - self.range.0 + 1
    }
    /// For each place of the diagonals, the highest first, where it is in the matrix; none for what fills them up.
    fn places(&self) -> Vec<Option<i64>> {
        let longest = self.longest();
        let mut out = vec![];
        for d in (self.range.0..=self.range.1).rev() {
            let length = self.length(d);
            let right = if d >= 0 { self.right.0 } else { self.right.1 };
            let from = if right { longest - length } else { 0 };
            for i in 0..longest {
                let k = i - from;
                let there = (0..length).contains(&k);
                out.push(there.then(|| (k - d.min(0)) * self.columns + k + d.max(0)));
            }
        }
        out
    }
}

/// The lowest and the highest diagonal that operand `i` names; the main one without it.
fn range(cx: &Cx<'_, '_, '_>, i: usize) -> R<(i64, i64)> {
    if cx.len() <= i {
        return Ok((0, 0));
    }
    match cx.ints(i, "diagonals")?.as_slice() {
        [one] => Ok((*one, *one)),
        [low, high] => Ok((*low, *high)),
        all => Err(cx.bad(format!("{} diagonals", all.len()))),
    }
}

/// Size of axis `axis` of `v`.
fn fixed(cx: &Cx<'_, '_, '_>, v: V, axis: usize) -> R<i64> {
    let n = cx.size(v, axis).and_then(|n| i64::try_from(n).ok());
    n.ok_or_else(|| cx.unsupported("matrices of unknown sizes"))
}

/// Sizes of `v` without its last `inner` axes, and `sizes` behind them.
fn with_tail(cx: &mut Cx<'_, '_, '_>, v: V, inner: usize, sizes: &[i64]) -> R<V> {
    let shape = cx.shape_of(v)?;
    let rank = cx.rank(v)?;
    let outer = rank.checked_sub(inner).ok_or_else(|| cx.bad("a matrix without axes"))?;
    let (head, tail) = (cx.slice(shape, 0, 0, outer as i64)?, cx.int_list(sizes));
    cx.concat(&[head, tail], 0)
}

/// `v` with its last `inner` axes as one of `count` elements.
fn flattened(cx: &mut Cx<'_, '_, '_>, v: V, inner: usize, count: i64) -> R<V> {
    let sizes = with_tail(cx, v, inner, &[count])?;
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
    let sizes = with_tail(cx, flat, 1, &[1])?;
    let fill = cx.expand(fill, sizes)?;
    cx.concat(&[flat, fill], -1)
}

fn matrix_diag_part(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let rank = cx.rank(x)?;
    if rank < 2 {
        return Err(cx.bad("a matrix has two axes"));
    }
    let (rows, columns) = (fixed(cx, x, rank - 2)?, fixed(cx, x, rank - 1)?);
    let band = Band::new(cx, rows, columns, range(cx, 1)?)?;
    let places = band.places();
    let flat = flattened(cx, x, 2, rows * columns)?;
    let flat = if places.contains(&None) { padded(cx, flat, 2)? } else { flat };
    let at: Vec<i64> = places.into_iter().map(|p| p.unwrap_or(rows * columns)).collect();
    let at = cx.int_list(&at);
    let y = cx.gather(flat, at, -1)?;
    if band.count() == 1 {
        return Ok(vec![y.into()]);
    }
    let sizes = with_tail(cx, y, 1, &[band.count(), band.longest()])?;
    Ok(vec![cx.reshape_to(y, sizes)?.into()])
}

fn matrix_diag(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let x = cx.arg(0)?;
    let rank = cx.rank(x)?;
    let (low, high) = range(cx, 1)?;
    let several = low != high;
    if rank < 1 + usize::from(several) {
        return Err(cx.bad("diagonals without axes"));
    }
    let longest = fixed(cx, x, rank - 1)?;
    let stated = |i: usize| -> R<i64> { if cx.len() > i { cx.int(i, "sizes") } else { Ok(-1) } };
    let (mut rows, mut columns) = (stated(2)?, stated(3)?);
    // The smallest matrix that holds the diagonals, as square as what is stated lets it be.
    let (least_rows, least_columns) = (longest - high.min(0), longest + low.max(0));
    match (rows, columns) {
        (-1, -1) => (rows, columns) = (least_rows.max(least_columns), least_rows.max(least_columns)),
        (-1, _) => rows = least_rows,
        (_, -1) => columns = least_columns,
        _ => {}
    }
    let band = Band::new(cx, rows, columns, (low, high))?;
    if band.longest() != longest {
        return Err(cx.bad(format!("diagonals of {longest} elements of {rows} x {columns}")));
    }
    let count = band.count() * longest;
    let flat = flattened(cx, x, 1 + usize::from(several), count)?;
    let flat = padded(cx, flat, 4)?;
    let mut at = vec![count; (rows * columns) as usize];
    for (i, place) in band.places().into_iter().enumerate() {
        if let Some(slot) = place.and_then(|p| at.get_mut(usize::try_from(p).ok()?)) {
            *slot = i as i64;
        }
    }
    let at = cx.int_list(&at);
    let y = cx.gather(flat, at, -1)?;
    let sizes = with_tail(cx, y, 1, &[rows, columns])?;
    Ok(vec![cx.reshape_to(y, sizes)?.into()])
}

fn matrix_set_diag(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (x, diagonal) = (cx.arg(0)?, cx.arg(1)?);
    let rank = cx.rank(x)?;
    if rank < 2 {
        return Err(cx.bad("a matrix has two axes"));
    }
    let (rows, columns) = (fixed(cx, x, rank - 2)?, fixed(cx, x, rank - 1)?);
    let band = Band::new(cx, rows, columns, range(cx, 2)?)?;
    let several = band.count() > 1;
    let flat = flattened(cx, x, 2, rows * columns)?;
    let new = flattened(cx, diagonal, 1 + usize::from(several), band.count() * band.longest())?;
    let both = cx.concat(&[flat, new], -1)?;
    let mut at: Vec<i64> = (0..rows * columns).collect();
    for (i, place) in band.places().into_iter().enumerate() {
        if let Some(slot) = place.and_then(|p| at.get_mut(usize::try_from(p).ok()?)) {
            *slot = rows * columns + i as i64;
        }
    }
    let at = cx.int_list(&at);
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
