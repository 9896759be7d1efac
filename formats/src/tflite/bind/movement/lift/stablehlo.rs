//! Operators of `StableHLO` that move elements.
use crate::tflite::lift::{Cx, Lifted};
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::movement::expand::Expand;
use hoist_ir::ops::movement::pad::Pad;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::transpose::Transpose;

fn list(cx: &Cx<'_, '_>, name: &str) -> Vec<i64> {
    cx.options.map_or(vec![], |o| o.ints(name).to_vec())
}

pub(super) fn slice(cx: &mut Cx<'_, '_>) -> Lifted {
    let x = cx.arg(0)?;
    let [starts, ends, steps] = ["start_indices", "limit_indices", "strides"].map(|name| list(cx, name));
    let axes: Vec<i64> = (0..starts.len() as i64).collect();
    let lists = [starts, ends, axes, steps].map(|l| cx.b.ints(&l));
    Ok(vec![cx.op(Slice {}, &[x, lists[0], lists[1], lists[2], lists[3]])?])
}

pub(super) fn transpose(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, perm) = (cx.arg(0)?, list(cx, "permutation"));
    Ok(vec![cx.op(Transpose { perm }, &[x])?])
}

pub(super) fn concatenate(cx: &mut Cx<'_, '_>) -> Lifted {
    let parts = (0..cx.inputs.len()).map(|i| cx.arg(i)).collect::<Result<Vec<_>, _>>()?;
    Ok(vec![cx.op(Concat { axis: cx.int("dimension") }, &parts)?])
}

fn declared_sizes(cx: &Cx<'_, '_>) -> Result<Vec<i64>, hoist_ir::diag::Diag> {
    let sizes = cx.results.first().and_then(|r| r.ty.sizes());
    let sizes = sizes.ok_or_else(|| cx.unsupported("open sizes"))?;
    Ok(sizes.into_iter().map(|n| n as i64).collect())
}

pub(super) fn reshape(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, sizes) = (cx.arg(0)?, declared_sizes(cx)?);
    let allowzero = sizes.contains(&0);
    let sizes = cx.b.ints(&sizes);
    Ok(vec![cx.op(hoist_ir::ops::movement::reshape::Reshape { allowzero }, &[x, sizes])?])
}

/// Each axis of the operand becomes an axis of the result; the others repeat it.
pub(super) fn broadcast_in_dim(cx: &mut Cx<'_, '_>) -> Lifted {
    let (x, sizes, to) = (cx.arg(0)?, declared_sizes(cx)?, list(cx, "broadcast_dimensions"));
    let own = cx.shape(x).map(|s| s.iter().map(hoist_ir::dim::Dim::known).collect::<Vec<_>>());
    let own = own.filter(|o| o.len() == to.len()).ok_or_else(|| cx.bad("axes that do not fit"))?;
    let mut order: Vec<usize> = (0..to.len()).collect();
    order.sort_by_key(|i| to[*i]);
    let mut shape = vec![1i64; sizes.len()];
    for (axis, n) in to.iter().zip(own) {
        let n = n.and_then(|n| i64::try_from(n).ok()).ok_or_else(|| cx.unsupported("open sizes"))?;
        let slot = usize::try_from(*axis).ok().and_then(|a| shape.get_mut(a));
        *slot.ok_or_else(|| cx.bad(format!("axis {axis}")))? = n;
    }
    let x = if order.windows(2).all(|w| w[0] < w[1]) {
        x
    } else {
        cx.op(Transpose { perm: order.into_iter().map(|i| i as i64).collect() }, &[x])?
    };
    let x = cx.reshape(x, &shape)?;
    let sizes = cx.b.ints(&sizes);
    Ok(vec![cx.op(Expand {}, &[x, sizes])?])
}

/// Borders only; a negative one cuts.
pub(super) fn pad(cx: &mut Cx<'_, '_>) -> Lifted {
    if list(cx, "interior_padding").iter().any(|n| *n != 0) {
        return Err(cx.unsupported("padding between elements"));
    }
    let (x, value) = (cx.arg(0)?, cx.arg(1)?);
    let pads = [list(cx, "edge_padding_low"), list(cx, "edge_padding_high")].concat();
    let (pads, value) = (cx.b.ints(&pads), cx.reshape(value, &[])?);
    Ok(vec![cx.op(Pad::default(), &[x, pads, value])?])
}
