//! What operators that move, pick, repeat or reduce elements of one operand make of its labels.
use super::labels::{Labels, MOST_LABELS};
use crate::channel_affine::channel_axis;
use crate::norm_formula::dims;
use crate::queries::is_inference_dropout;
use hoist_ir::attr::Attr;
use hoist_ir::dim::Dim;
use hoist_ir::graph::{Graph, Node, NodeId};
use hoist_ir::ops::Op;
use hoist_ir::ops::movement::pad::PadMode;
use hoist_ir::ops::spatial::resize_words::Coordinates;

/// Why labels end at a node.
type Reason = &'static str;

const UNKNOWN: Reason = "its parameters are computed";
const MIXED: Reason = "it takes channels apart or mixes them";

/// Labels of each result of `n`, which moves the elements of its operand 0, labelled `x`. `None` when it is another kind of operator.
///
/// # Errors
/// The reason why the factors of channels cannot pass.
pub fn moved(g: &Graph, n: NodeId, x: &Labels) -> Option<Result<Vec<Labels>, Reason>> {
    let node = g.node(n);
    let kept = || Ok(vec![x.clone()]);
    Some(match node.op().name() {
        "relu" | "leaky_relu" | "abs" | "neg" | "identity" => kept(),
        "dropout" if is_inference_dropout(g, n) => kept(),
        "clip" => clipped(g, node, x),
        "max_pool"
        | "average_pool"
        | "lp_pool"
        | "global_average_pool"
        | "global_max_pool"
        | "global_lp_pool" => pooled(node, x),
        "reduce_mean" | "reduce_sum" | "reduce_max" | "reduce_min" | "reduce_l1" | "reduce_l2" => {
            reduced(g, node, x).map(|l| vec![l])
        }
        "transpose" => transposed(node, x).map(|l| vec![l]),
        "reshape" | "flatten" | "squeeze" | "unsqueeze" => reshaped(g, node, x).map(|l| vec![l]),
        "slice" => sliced(g, node, x).map(|l| vec![l]),
        "split" => split(g, node, x),
        "gather" => gathered(g, node, x).map(|l| vec![l]),
        "expand" | "tile" => expanded(g, node, x).map(|l| vec![l]),
        "pad" => padded(g, node, x),
        "resize" => resized(node, x),
        _ => return None,
    })
}

/// Axes in `list`, negative ones counted from the end of `rank`.
fn axes(list: &[i64], rank: usize) -> Result<Vec<usize>, Reason> {
    let axis = |a: &i64| {
        let a = if *a < 0 { a.checked_add(rank as i64)? } else { *a };
        usize::try_from(a).ok().filter(|a| *a < rank)
    };
    list.iter().map(axis).collect::<Option<_>>().ok_or(UNKNOWN)
}

fn axis_of(node: &Node, rank: usize) -> Result<usize, Reason> {
    match node.op().def().attr("axis") {
        Some(Attr::Int(a)) => axes(&[a], rank)?.first().copied().ok_or(UNKNOWN),
        _ => Err(UNKNOWN),
    }
}

/// A bound of 0, or of infinity, holds for any factor.
fn clipped(g: &Graph, node: &Node, x: &Labels) -> Result<Vec<Labels>, Reason> {
    let free = |slot: usize, infinite: f64| match node.input(slot) {
        None => true,
        v => g.const_f64(v).is_some_and(|b| b == 0.0 || b == infinite),
    };
    let both = free(1, f64::NEG_INFINITY) && free(2, f64::INFINITY);
    if both { Ok(vec![x.clone()]) } else { Err("it has a bound other than 0") }
}

/// Windows lie within one channel.
fn pooled(node: &Node, x: &Labels) -> Result<Vec<Labels>, Reason> {
    let axis = channel_axis(node.op(), x.shape.len())?;
    if x.only_along(axis) { Ok(vec![x.clone()]) } else { Err(MIXED) }
}

fn reduced(g: &Graph, node: &Node, x: &Labels) -> Result<Labels, Reason> {
    let rank = x.shape.len();
    let list = match node.input(1) {
        None => vec![],
        v => g.const_ints(v).ok_or(UNKNOWN)?,
    };
    let sets = |attr: &str| node.op().def().attr(attr) == Some(Attr::Bool(true));
    let gone = match list.as_slice() {
        [] if sets("noop_with_empty_axes") => vec![],
        [] => (0..rank).collect(),
        list => axes(list, rank)?,
    };
    if gone.iter().any(|a| x.shape[*a] > 1) {
        return Err("it sums over channels");
    }
    let keeps = |a: &usize| sets("keepdims") || !gone.contains(a);
    Ok(Labels { shape: (0..rank).filter(keeps).map(|a| x.shape[a]).collect(), ids: x.ids.clone() })
}

fn transposed(node: &Node, x: &Labels) -> Result<Labels, Reason> {
    let Op::Transpose(t) = node.op() else { return Err(UNKNOWN) };
    let rank = x.shape.len();
    let perm = if t.perm.is_empty() { (0..rank).rev().collect() } else { axes(&t.perm, rank)? };
    x.permuted(&perm).filter(|l| l.shape.len() == rank).ok_or(UNKNOWN)
}

/// Axes other than those of size 1.
fn wide(dims: &[Dim]) -> Vec<usize> {
    (0..dims.len()).filter(|a| dims[*a].known() != Some(1)).collect()
}

/// Axes of operand and result that hold the same elements in the same order; all others follow in their order.
struct Blocks {
    /// Pairs of runs of axes.
    pairs: Vec<(Vec<usize>, Vec<usize>)>,
}

impl Blocks {
    /// Matches from the front, then from the back; what is left between is unknown.
    fn of(from: &[Dim], to: &[Dim]) -> Self {
        let (mut a, mut b) = (wide(from), wide(to));
        let mut pairs = vec![];
        for reversed in [false, true] {
            a.reverse();
            b.reverse();
            // Now the axes to be matched first stand last.
            while let Some((i, j)) = front(from, to, &a, &b) {
                let take = |list: &mut Vec<usize>, count: usize| {
                    let mut run = list.split_off(list.len() - count);
                    if !reversed {
                        run.reverse();
                    }
                    run
                };
                pairs.push((take(&mut a, i), take(&mut b, j)));
            }
        }
        Self { pairs }
    }
}

/// How many of the last axes of `a` and of `b` hold as many elements, each at least one.
fn front(from: &[Dim], to: &[Dim], a: &[usize], b: &[usize]) -> Option<(usize, usize)> {
    let dim =
        |dims: &[Dim], list: &[usize], k: usize| Some(dims[*list.get(list.len().checked_sub(k)?)?].clone());
    let (first, second) = (dim(from, a, 1)?, dim(to, b, 1)?);
    if first.surely_equals(&second) {
        return Some((1, 1));
    }
    let (mut i, mut j, mut p, mut q) = (1, 1, first.known()?, second.known()?);
    while p != q {
        if p < q {
            i += 1;
            p = p.checked_mul(dim(from, a, i)?.known()?)?;
        } else {
            j += 1;
            q = q.checked_mul(dim(to, b, j)?.known()?)?;
        }
    }
    Some((i, j))
}

fn reshaped(g: &Graph, node: &Node, x: &Labels) -> Result<Labels, Reason> {
    let shapes = node.input(0).and_then(|v| dims(g, v)).zip(node.outputs().first().and_then(|v| dims(g, *v)));
    let (from, to) = shapes.ok_or(UNKNOWN)?;
    let (mut inner, mut outer) = (vec![1; from.len()], vec![1; to.len()]);
    let size = |d: &Dim| d.known().and_then(|d| usize::try_from(d).ok()).ok_or(MIXED);
    for (a, b) in Blocks::of(from, to).pairs {
        if a.iter().any(|axis| x.shape[*axis] > 1) {
            for axis in a {
                inner[axis] = size(&from[axis])?;
            }
            for axis in b {
                outer[axis] = size(&to[axis])?;
            }
        }
    }
    let all = x.broadcast(&inner).ok_or(MIXED)?;
    if outer.iter().copied().fold(1, usize::saturating_mul) != all.ids.len() {
        return Err(MIXED);
    }
    Ok(Labels { shape: outer, ids: all.ids }.squashed())
}

fn sliced(g: &Graph, node: &Node, x: &Labels) -> Result<Labels, Reason> {
    let rank = x.shape.len();
    let list = |slot: usize| match node.input(slot) {
        None => Ok(None),
        v => g.const_ints(v).ok_or(UNKNOWN).map(Some),
    };
    let named = match list(3)? {
        Some(named) => axes(&named, rank)?,
        None => (0..list(1)?.ok_or(UNKNOWN)?.len().min(rank)).collect(),
    };
    let mut found = x.clone();
    for (k, axis) in named.into_iter().enumerate().filter(|(_, a)| x.shape[*a] > 1) {
        let size = x.shape[axis] as i64;
        let (starts, ends, steps) = (list(1)?, list(2)?, list(4)?);
        let at = |list: &Option<Vec<i64>>| list.as_ref().and_then(|l| l.get(k).copied()).ok_or(UNKNOWN);
        if steps.is_some() && at(&steps)? != 1 {
            return Err(MIXED);
        }
        let place = |p: i64| if p < 0 { p.saturating_add(size) } else { p }.clamp(0, size) as usize;
        let picks: Vec<usize> = (place(at(&starts)?)..place(at(&ends)?)).collect();
        found = found.picked(axis, &picks).filter(|f| !f.ids.is_empty()).ok_or(UNKNOWN)?;
    }
    Ok(found)
}

fn split(g: &Graph, node: &Node, x: &Labels) -> Result<Vec<Labels>, Reason> {
    let axis = axis_of(node, x.shape.len())?;
    if x.shape[axis] == 1 {
        return Ok(vec![x.clone(); node.outputs().len()]);
    }
    let mut from = 0;
    let piece = |y: &hoist_ir::graph::ValueId| {
        let size = dims(g, *y).and_then(|d| d.get(axis)?.known()).ok_or(UNKNOWN)?;
        let to = from + usize::try_from(size).map_err(|_| UNKNOWN)?.min(MOST_LABELS);
        let picks: Vec<usize> = (from..to).collect();
        from = to;
        x.picked(axis, &picks).filter(|l| !l.ids.is_empty()).ok_or(UNKNOWN)
    };
    node.outputs().iter().map(piece).collect()
}

fn gathered(g: &Graph, node: &Node, x: &Labels) -> Result<Labels, Reason> {
    let axis = axis_of(node, x.shape.len())?;
    let indices = node.input(1).ok_or(UNKNOWN)?;
    let rank = dims(g, indices).ok_or(UNKNOWN)?.len();
    let (mut found, mut put) = (x.clone(), vec![1; rank]);
    if x.shape[axis] > 1 {
        let size = x.shape[axis] as i64;
        let list =
            g.const_ints(Some(indices)).filter(|l| rank <= 1 && l.len() <= MOST_LABELS).ok_or(MIXED)?;
        let place = |p: &i64| usize::try_from(if *p < 0 { p + size } else { *p }).ok();
        let picks: Vec<usize> = list.iter().map(place).collect::<Option<_>>().ok_or(UNKNOWN)?;
        found = x.picked(axis, &picks).filter(|l| !l.ids.is_empty()).ok_or(UNKNOWN)?;
        put.fill(picks.len());
    }
    let shape = [&found.shape[..axis], &put, &found.shape[axis + 1..]].concat();
    Ok(Labels { shape, ids: found.ids })
}

/// Axes with different labels are not repeated: they keep their size.
fn expanded(g: &Graph, node: &Node, x: &Labels) -> Result<Labels, Reason> {
    let rank = node.outputs().first().and_then(|y| dims(g, *y)).map(Vec::len).ok_or(UNKNOWN)?;
    x.of_rank(rank).ok_or(UNKNOWN)
}

fn padded(g: &Graph, node: &Node, x: &Labels) -> Result<Vec<Labels>, Reason> {
    let Op::Pad(op) = node.op() else { return Err(UNKNOWN) };
    let zero = node.input(2).is_none_or(|v| g.const_f64(Some(v)) == Some(0.0));
    if op.mode == PadMode::Constant && !zero {
        return Err("its border is not zero");
    }
    let sizes = g.const_ints(node.input(1)).ok_or(UNKNOWN)?;
    let named = match node.input(3) {
        None => (0..x.shape.len()).collect(),
        v => axes(&g.const_ints(v).ok_or(UNKNOWN)?, x.shape.len())?,
    };
    let border = |k: usize| sizes.get(k) != Some(&0) || sizes.get(k + named.len()) != Some(&0);
    if named.iter().enumerate().any(|(k, a)| x.shape[*a] > 1 && border(k)) {
        return Err("it pads channels");
    }
    Ok(vec![x.clone()])
}

/// Axes with different labels keep their size, and are not resized then.
fn resized(node: &Node, x: &Labels) -> Result<Vec<Labels>, Reason> {
    match node.op() {
        Op::Resize(op) if op.coordinate_transformation_mode != Coordinates::TfCropAndResize => {
            Ok(vec![x.clone()])
        }
        _ => Err("it fills with a constant"),
    }
}
