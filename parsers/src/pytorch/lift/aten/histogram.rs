//! Histograms over one or several dimensions, with their edges.
use crate::pytorch::lift::cx::{Cx, Out, R, Size, V, malformed};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: super::Table = &[
    ("histogram", histogram),
    ("histogramdd", histogramdd),
    ("_histogramdd_bin_edges", bin_edges),
    ("_histogramdd_from_bin_cts", |cx| from_edges(cx, true)),
    ("_histogramdd_from_bin_tensors", |cx| from_edges(cx, false)),
];

/// Most bins of one histogram.
const MAX_BINS: i64 = 1 << 24;

/// `n + 1` numbers in equal steps from `a` to `b` (0-d), each counted from the nearer end as PyTorch does.
pub(super) fn steps_between(cx: &mut Cx, a: V, b: V, n: i64) -> R<V> {
    if !(1..MAX_BINS).contains(&n) {
        return Err(malformed(format!("{n} bins")));
    }
    let dtype = cx.dtype(a)?;
    let count = n as usize + 1;
    let line = |f: &dyn Fn(i64) -> f64| {
        let t = Tensor::from_vec(&[count], (0..=n).map(f).collect::<Vec<f64>>());
        t.cast(dtype, false).map_err(|e| malformed(e.to_string()))
    };
    let (up, down) = (line(&|i| i as f64)?, line(&|i| (n - i) as f64)?);
    let first: Vec<bool> = (0..=n).map(|i| i < (n + 1) / 2).collect();
    let (up, down) = (cx.constant(up), cx.constant(down));
    let first = cx.constant(Tensor::from_bools(&[count], first));
    let d = cx.b("sub", b, a)?;
    let step = cx.bn("div", d, n as f64)?;
    let (p, q) = (cx.b("mul", up, step)?, cx.b("mul", down, step)?);
    let (p, q) = (cx.b("add", a, p)?, cx.b("sub", b, q)?);
    cx.choose(first, p, q)
}
/// Edges of `n` equal bins over the column `x`: between given bounds, or those of the data, widened where they are one.
fn edges(cx: &mut Cx, x: V, n: i64, bounds: Option<(f64, f64)>) -> R<V> {
    let (low, high) = match bounds {
        Some((l, h)) => (cx.num(x, l)?, cx.num(x, h)?),
        None if cx.known_len(x) == Some(0) => (cx.num(x, 0.0)?, cx.num(x, 1.0)?),
        None => (cx.reduce("reduce_min", x, &[0], false)?, cx.reduce("reduce_max", x, &[0], false)?),
    };
    let one = cx.b("equal", low, high)?;
    let (below, above) = (cx.bn("sub", low, 0.5)?, cx.bn("add", high, 0.5)?);
    let (low, high) = (cx.choose(one, below, low)?, cx.choose(one, above, high)?);
    steps_between(cx, low, high, n)
}
/// For each element of the column `x` whether it is in a bin, and in which. The last bin holds its upper edge.
fn bins_of(cx: &mut Cx, x: V, edges: V) -> R<(V, V)> {
    let n = cx.fixed_sizes(edges)?.first().copied().unwrap_or(0) - 1;
    if n < 1 {
        return Err(malformed("a histogram without bins"));
    }
    let column = cx.unsqueeze(x, &[1])?;
    let inner = cx.slice_known(edges, 0, 1, n)?;
    let passed = cx.b("greater_or_equal", column, inner)?;
    let passed = cx.cast(passed, DType::I64)?;
    let at = cx.reduce("reduce_sum", passed, &[1], false)?;
    let (low, high) = (cx.select(edges, 0, 0)?, cx.select(edges, 0, n)?);
    let (above, below) = (cx.b("greater_or_equal", x, low)?, cx.b("less_or_equal", x, high)?);
    Ok((cx.b("and", above, below)?, at))
}
/// Weights of the points of each cell; `columns` are coordinates and edges per dimension.
fn tallied(cx: &mut Cx, columns: &[(V, V)], weight: Option<V>, density: bool) -> R<V> {
    let first = columns.first().ok_or_else(|| malformed("a histogram of no dimension"))?;
    let dtype = cx.dtype(first.0)?;
    let points = cx.dim(first.0, 0)?;
    let (mut sizes, mut place, mut inside) = (vec![], None, None);
    for (x, edges) in columns {
        let n = cx.fixed_sizes(*edges)?.first().copied().unwrap_or(0) - 1;
        sizes.push(n);
        let (within, at) = bins_of(cx, *x, *edges)?;
        place = Some(match place {
            None => at,
            Some(p) => {
                let p = cx.bn("mul", p, n as f64)?;
                cx.b("add", p, at)?
            }
        });
        inside = Some(match inside {
            None => within,
            Some(i) => cx.b("and", i, within)?,
        });
    }
    let (Some(place), Some(inside)) = (place, inside) else { return Err(malformed("no dimension")) };
    let cells = sizes.iter().try_fold(1i64, |a, b| a.checked_mul(*b)).filter(|n| *n <= MAX_BINS);
    let cells = cells.ok_or_else(|| malformed("too many bins"))?;
    let ones = if let Some(w) = weight {
        let w = cx.cast(w, dtype)?;
        cx.reshape_to(w, &[-1])?
    } else {
        let one = cx.num_of(dtype, 1.0)?;
        cx.full(&[points], one)?
    };
    let zero = cx.num_of(dtype, 0.0)?;
    let shares = cx.choose(inside, ones, zero)?;
    let none = cx.full(&[Size::Known(cells)], zero)?;
    let attrs = [("axis", Attr::Int(0)), ("reduction", Attr::Str("add".into()))];
    let total = cx.with("scatter_elements", &[none, place, shares], &attrs)?;
    let mut y = cx.reshape_to(total, &sizes)?;
    if density {
        let sum = cx.reduce("reduce_sum", total, &[0], false)?;
        y = cx.b("div", y, sum)?;
        for (axis, (_, edges)) in columns.iter().enumerate() {
            let n = sizes[axis];
            let (a, b) = (cx.slice_known(*edges, 0, 0, n)?, cx.slice_known(*edges, 0, 1, n + 1)?);
            let width = cx.b("sub", b, a)?;
            let mut own = vec![1; sizes.len()];
            own[axis] = n;
            let width = cx.reshape_to(width, &own)?;
            y = cx.b("div", y, width)?;
        }
    }
    Ok(y)
}
/// Bounds of dimension `i` out of the argument `range`.
fn bounds(cx: &Cx, i: usize) -> R<Option<(f64, f64)>> {
    let Some(list) = cx.opt_floats("range")? else { return Ok(None) };
    match (list.get(2 * i), list.get(2 * i + 1)) {
        (Some(l), Some(h)) => Ok(Some((*l, *h))),
        _ => Err(malformed("argument `range` is too short")),
    }
}
fn histogram(cx: &mut Cx) -> R<Out> {
    let x = cx.t("self")?;
    let x = cx.reshape_to(x, &[-1])?;
    let (weight, density) = (cx.opt_t("weight")?, cx.bool_or("density", false)?);
    let edges = if cx.is_tensor("bins") {
        let e = cx.t("bins")?;
        let dtype = cx.dtype(x)?;
        cx.cast(e, dtype)?
    } else {
        let (n, range) = (cx.int_or("bins", 100)?, bounds(cx, 0)?);
        edges(cx, x, n, range)?
    };
    let y = tallied(cx, &[(x, edges)], weight, density)?;
    Ok(Out::Many(vec![Out::Fresh(y), Out::Fresh(edges)]))
}
/// Points as rows: coordinates per dimension.
fn columns(cx: &mut Cx) -> R<Vec<V>> {
    let x = cx.t("self")?;
    let last = cx.rank(x)?.checked_sub(1).ok_or_else(|| malformed("points must be rows"))?;
    let n = cx.known(x, last).ok_or_else(|| malformed("the number of coordinates must be fixed"))?;
    let rows = cx.reshape_to(x, &[-1, n])?;
    (0..n).map(|i| cx.select(rows, 1, i)).collect()
}
/// Coordinates with the edges that follow from the arguments.
fn with_edges(cx: &mut Cx) -> R<Vec<(V, V)>> {
    let columns = columns(cx)?;
    if let Ok(list) = cx.ts("bins")
        && !list.is_empty()
    {
        let mut all = vec![];
        for (x, e) in columns.iter().zip(list) {
            let dtype = cx.dtype(*x)?;
            all.push((*x, cx.cast(e, dtype)?));
        }
        return Ok(all);
    }
    let mut counts = cx.ints("bins")?;
    if counts.len() == 1 {
        counts = vec![counts[0]; columns.len()];
    }
    let mut all = vec![];
    for (i, (x, n)) in columns.iter().zip(counts).enumerate() {
        let range = bounds(cx, i)?;
        all.push((*x, edges(cx, *x, n, range)?));
    }
    Ok(all)
}
fn histogramdd(cx: &mut Cx) -> R<Out> {
    let all = with_edges(cx)?;
    cx.has("range");
    let (weight, density) = (cx.opt_t("weight")?, cx.bool_or("density", false)?);
    let y = tallied(cx, &all, weight, density)?;
    Ok(Out::Many(vec![Out::Fresh(y), Out::Many(all.iter().map(|c| Out::Fresh(c.1)).collect())]))
}
fn bin_edges(cx: &mut Cx) -> R<Out> {
    for name in ["weight", "density"] {
        cx.has(name);
    }
    let all = with_edges(cx)?;
    Ok(Out::Many(all.iter().map(|c| Out::Fresh(c.1)).collect()))
}
fn from_edges(cx: &mut Cx, range: bool) -> R<Out> {
    let all = with_edges(cx)?;
    if range {
        cx.has("range");
    }
    let (weight, density) = (cx.opt_t("weight")?, cx.bool_or("density", false)?);
    Ok(Out::Fresh(tallied(cx, &all, weight, density)?))
}
