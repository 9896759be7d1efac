//! Layers that only move elements.
use super::{Row, none, same};
use crate::keras::kx::{Kx, Tv, spread};
use crate::tensorflow::lift::cx::{R, V};
use hoist_ir::ops::movement::flatten::Flatten;
use hoist_ir::ops::movement::pad::Pad;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::words::Layout;
use serde_json::Value as Json;

pub(super) const TABLE: &[Row] = &[
    ("Flatten", none, flatten),
    ("Reshape", none, reshape),
    ("Permute", none, permute),
    ("RepeatVector", none, repeat_vector),
    ("Cropping1D", none, |kx| cropped(kx, 1)),
    ("Cropping2D", none, |kx| cropped(kx, 2)),
    ("Cropping3D", none, |kx| cropped(kx, 3)),
    ("ZeroPadding1D", none, |kx| padded(kx, 1)),
    ("ZeroPadding2D", none, |kx| padded(kx, 2)),
    ("ZeroPadding3D", none, |kx| padded(kx, 3)),
    ("InputLayer", same, |kx| Ok(vec![kx.first()?])),
];

fn flatten(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let mut x = kx.x()?;
    let rank = kx.rank(x)?;
    if kx.layout()? == Layout::ChannelsFirst && rank > 2 {
        let perm: Vec<i64> = std::iter::once(0).chain(2..rank as i64).chain([1]).collect();
        x = kx.transpose(x, &perm)?;
    }
    Ok(vec![kx.op(Flatten { axis: 1 }, &[x])?.into()])
}

/// `x` with its sizes behind the batch replaced; at most one is -1.
pub(super) fn behind_batch(kx: &mut Kx<'_, '_, '_>, x: V, target: &[i64]) -> R<V> {
    if target.iter().any(|n| *n < -1) || target.iter().filter(|n| **n == -1).count() > 1 {
        return Err(kx.bad(format!("the target shape {target:?}")));
    }
    let known: Option<i64> =
        (1..kx.rank(x)?).try_fold(1i64, |p, a| p.checked_mul(i64::try_from(kx.size(x, a)?).ok()?));
    let rest: i64 = target.iter().filter(|n| **n != -1).try_fold(1i64, |p, n| p.checked_mul(*n)).unwrap_or(0);
    let mut target = target.to_vec();
    if let (Some(open), Some(known)) = (target.iter().position(|n| *n == -1), known) {
        if rest == 0 || known % rest != 0 {
            return Err(kx.bad(format!("{known} elements do not fill {target:?}")));
        }
        target[open] = known / rest;
    } else if known.is_some_and(|k| k != rest) {
        return Err(kx.bad(format!("{known:?} elements do not fill {target:?}")));
    }
    let batch = kx.size(x, 0).and_then(|n| i64::try_from(n).ok());
    if batch.is_some() || !target.contains(&-1) {
        let sizes: Vec<i64> = std::iter::once(batch.unwrap_or(-1)).chain(target).collect();
        return kx.reshape(x, &sizes);
    }
    let batch = kx.size_of(x, 0)?;
    let rest = kx.int_list(&target);
    let list = kx.concat(&[batch, rest], 0)?;
    kx.reshape_to(x, list)
}

fn reshape(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let x = kx.x()?;
    let target = kx.list("target_shape")?.ok_or_else(|| kx.bad("`target_shape` is missing"))?;
    Ok(vec![behind_batch(kx, x, &target)?.into()])
}

fn permute(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let x = kx.x()?;
    let dims = kx.list("dims")?.ok_or_else(|| kx.bad("`dims` are missing"))?;
    let perm: Vec<i64> = std::iter::once(0).chain(dims).collect();
    Ok(vec![kx.transpose(x, &perm)?.into()])
}

fn repeat_vector(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let (x, n) = (kx.x()?, kx.int_of("n")?);
    if n < 1 || n > i64::from(i32::MAX) {
        return Err(kx.bad(format!("{n} repetitions")));
    }
    let y = kx.unsqueeze(x, &[1])?;
    let sizes = kx.int_list(&[1, n, 1]);
    Ok(vec![kx.expand(y, sizes)?.into()])
}

/// Pairs of borders of `n` axes: one number for all, one for each axis, or two.
fn borders(kx: &Kx<'_, '_, '_>, key: &str, n: usize, default: i64) -> R<Vec<(i64, i64)>> {
    let pair = |json: &Json| spread(json, 2).map(|p| (p[0], p[1]));
    let found: Option<Vec<(i64, i64)>> = match kx.cfg(key) {
        None => Some(vec![(default, default); n]),
        Some(one @ Json::Number(_)) => pair(one).map(|p| vec![p; n]),
        // One axis takes its pair as it is.
        Some(list @ Json::Array(all)) if n == 1 && all.iter().all(Json::is_number) => {
            pair(list).map(|p| vec![p])
        }
        Some(Json::Array(all)) if all.len() == n => all.iter().map(pair).collect(),
        Some(_) => None,
    };
    let found = found.ok_or_else(|| kx.bad(format!("`{key}` is no list of borders")))?;
    let fits = |v: i64| (0..i64::from(i32::MAX)).contains(&v);
    if found.iter().all(|(a, b)| fits(*a) && fits(*b)) {
        Ok(found)
    } else {
        Err(kx.bad(format!("`{key}` is out of range")))
    }
}

fn cropped(kx: &mut Kx<'_, '_, '_>, n: usize) -> R<Vec<Tv>> {
    let x = kx.x()?;
    super::conv::check_rank(kx, x, n)?;
    let first = kx.layout()?.first_spatial_axis();
    let found = borders(kx, "cropping", n, 1)?;
    let (mut starts, mut ends, mut axes) = (vec![], vec![], vec![]);
    for (i, (before, behind)) in found.into_iter().enumerate() {
        if kx.size(x, first + i).is_some_and(|s| before + behind >= s as i64) {
            return Err(kx.bad("nothing is left"));
        }
        starts.push(before);
        ends.push(if behind == 0 { i64::MAX } else { -behind });
        axes.push((first + i) as i64);
    }
    let [starts, ends, axes] = [starts, ends, axes].map(|l| kx.int_list(&l));
    let y = kx.op_opt(Slice::default(), &[Some(x), Some(starts), Some(ends), Some(axes), None])?;
    Ok(vec![y.into()])
}

fn padded(kx: &mut Kx<'_, '_, '_>, n: usize) -> R<Vec<Tv>> {
    let x = kx.x()?;
    super::conv::check_rank(kx, x, n)?;
    let first = kx.layout()?.first_spatial_axis();
    let mut pads = vec![0; 2 * (n + 2)];
    for (i, (before, behind)) in borders(kx, "padding", n, 1)?.into_iter().enumerate() {
        pads[first + i] = before;
        pads[n + 2 + first + i] = behind;
    }
    let pads = kx.int_list(&pads);
    Ok(vec![kx.op_opt(Pad::default(), &[Some(x), Some(pads), None, None])?.into()])
}
