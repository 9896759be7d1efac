//! Layers of several operands.
use super::{Row, joined, none};
use crate::keras::kx::{Kx, Mask, Tv};
use crate::tensorflow::lift::bridge::Arg;
use crate::tensorflow::lift::cx::{R, V};

pub(super) const TABLE: &[Row] = &[
    ("Add", joined, |kx| merged(kx, "add")),
    ("Subtract", joined, |kx| merged(kx, "sub")),
    ("Multiply", joined, |kx| merged(kx, "mul")),
    ("Average", joined, |kx| merged(kx, "mean")),
    ("Maximum", joined, |kx| merged(kx, "maximum")),
    ("Minimum", joined, |kx| merged(kx, "minimum")),
    ("Concatenate", none, concatenate),
    ("Merge", none, old_merge),
    ("Dot", none, dot),
];

/// Operands of one rank: those of a lower one get axes behind the batch.
fn aligned(kx: &mut Kx<'_, '_, '_>) -> R<Vec<V>> {
    let all: Vec<V> = kx.tensors().iter().map(|t| t.v).collect();
    let ranks = all.iter().map(|v| kx.rank(*v)).collect::<R<Vec<usize>>>()?;
    let most = ranks.iter().copied().max().unwrap_or(0);
    all.into_iter()
        .zip(ranks)
        .map(|(v, rank)| kx.unsqueeze(v, &(1..=(most - rank) as i64).collect::<Vec<_>>()))
        .collect()
}

fn merged(kx: &mut Kx<'_, '_, '_>, how: &str) -> R<Vec<Tv>> {
    let all = aligned(kx)?;
    let masked = kx.tensors().iter().any(|t| t.mask != Mask::None);
    if masked && matches!(how, "mul" | "maximum" | "minimum") {
        return Err(kx.unsupported("a mask"));
    }
    let Some((first, rest)) = all.split_first() else { return Err(kx.bad("no operands")) };
    if rest.is_empty() || (how == "sub" && rest.len() != 1) {
        return Err(kx.bad(format!("{} operands", all.len())));
    }
    let mut y = *first;
    for v in rest {
        y = match how {
            "maximum" | "minimum" => kx.aten(how, &[("self", Arg::T(y)), ("other", Arg::T(*v))])?,
            "mean" => kx.named("add", &[y, *v])?,
            how => kx.named(how, &[y, *v])?,
        };
    }
    if how == "mean" {
        let n = kx.number(all.len() as f64, y)?;
        y = kx.named("div", &[y, n])?;
    }
    Ok(vec![y.into()])
}

fn concatenate(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let tensors = kx.tensors();
    let all: Vec<V> = tensors.iter().map(|t| t.v).collect();
    let Some(first) = all.first() else { return Err(kx.bad("no operands")) };
    let axis = kx.int_opt("axis")?.or(kx.int_opt("concat_axis")?).unwrap_or(-1);
    let axis = kx.axis(*first, axis)?;
    let v = kx.concat(&all, axis as i64)?;
    let mut mask = joined(&tensors);
    if mask != Mask::None && axis + 1 != kx.rank(v)? {
        mask = Mask::Odd;
    }
    Ok(vec![Tv { v, mask }])
}

/// `Merge` of Keras 1.
fn old_merge(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    match &*kx.text("mode", "sum")? {
        "sum" => merged(kx, "add"),
        "mul" => merged(kx, "mul"),
        "ave" => merged(kx, "mean"),
        "max" => merged(kx, "maximum"),
        "concat" => concatenate(kx),
        other => Err(kx.unsupported(format!("mode `{other}`"))),
    }
}

/// Sums of products along one axis of each operand, for each element of the batch.
fn dot(kx: &mut Kx<'_, '_, '_>) -> R<Vec<Tv>> {
    let all = kx.tensors();
    let [a, b] = all[..] else { return Err(kx.bad(format!("{} operands", all.len()))) };
    let (mut a, mut b) = (a.v, b.v);
    let axes = kx.each("axes", 2, -1)?;
    let (i, j) = (kx.axis(a, axes[0])?, kx.axis(b, axes[1])?);
    if i == 0 || j == 0 {
        return Err(kx.bad("the batch axis"));
    }
    if kx.flag("normalize", false)? {
        a = super::norm::unit_length(kx, a, &[i])?;
        b = super::norm::unit_length(kx, b, &[j])?;
    }
    let (left, right) = (kx.rank(a)?, kx.rank(b)?);
    if left + right > 12 {
        return Err(kx.unsupported("so many axes"));
    }
    let letters = |n: usize, at: usize, first: u8| {
        let one = |k: usize| match k {
            0 => 'n',
            k if k == at => 'k',
            k => char::from(first + k as u8),
        };
        (0..n).map(one).collect::<String>()
    };
    let (one, two) = (letters(left, i, b'a'), letters(right, j, b'A'));
    let kept = |s: &str| s.chars().filter(|c| *c != 'n' && *c != 'k').collect::<String>();
    let equation = format!("{one},{two}->n{}{}", kept(&one), kept(&two));
    let y = kx.op(hoist_ir::ops::linear::einsum::Einsum { equation }, &[a, b])?;
    let y = if kx.rank(y)? == 1 { kx.unsqueeze(y, &[1])? } else { y };
    Ok(vec![y.into()])
}
