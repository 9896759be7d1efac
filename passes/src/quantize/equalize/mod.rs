//! Channel equalization: factors that move range between channels of activations and weights, and change no result.
//!
//! ```text
//! %a = conv(%x, %w, %b)          %a = conv(%x, f * %w, f * %b)       one factor per output channel
//! %r = relu(%a)             ->   %r = relu(%a)                       positive factors pass
//! %y = conv(%r, %v)              %y = conv(%r, %v / f)               one inverse factor per input channel
//! ```
//! A value is stored on one grid for all channels, so a channel that is much smaller than others keeps few of its bits; so do small weights beside large
//! ones of the same output channel. Factors even both out. Between convolutions this is known as cross-layer equalization, between a
//! normalization and a product as `SmoothQuant`.
//! - Factors begin at channels of constant weights, of a normalization, or of a product by a constant per channel.
//! - They pass what commutes with positive factors: `relu`, pools, movements, sums of values with the same factors, ...
//! - They end at input channels of constant weights. Whatever else reads a value, and a graph output, holds its channels at factor 1; so do
//!   weights that several operators use.
//! - Factors are powers of two where that leaves about as little noise: all products are exact then. Else results differ by rounding.
//! - A channel that no sample reached gets 1, or what keeps its weights from widening those of others.
mod apply;
mod groups;
mod labels;
mod movement;
mod search;
mod spread;
#[cfg(test)]
mod tests;

use crate::pass::Ctx;
use crate::quantize::linear::Linear;
pub use crate::quantize::statistics::Channels;
use groups::{Known, groups, is_stored, linears};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, ValueId};
use spread::Spread;
use std::collections::BTreeMap;

/// Statistics of the channels of a value, where it was seen.
pub type Stats<'a> = &'a dyn Fn(ValueId) -> Option<Channels>;

/// What is asked of equalization.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Equalization {
    /// How much of the range of activations goes into weights, between 0 and 1; the amount with the least expected noise when absent.
    pub alpha: Option<f64>,
    /// Whether each output channel of weights has a scale of its own.
    pub per_channel: bool,
    /// Whether activations have the zero point 0.
    pub symmetric: bool,
    /// Whether activations stay floats: only weights are stored on a grid.
    pub weights_only: bool,
}

impl Default for Equalization {
    fn default() -> Self {
        Self { alpha: None, per_channel: true, symmetric: false, weights_only: false }
    }
}

/// A group of channels that got factors.
#[derive(Clone, PartialEq, Debug)]
pub struct Equalized {
    /// Label of the first value with these channels.
    pub at: String,
    /// Number of channels with a factor of their own.
    pub channels: usize,
    /// Largest factor, or inverse of the smallest.
    pub largest: f64,
    /// Expected noise, as a part of that before.
    pub noise: f64,
    /// Part of the range of activations that went into weights.
    pub alpha: f64,
}

/// Channels that cannot have factors.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Label of the first value with these channels.
    pub at: String,
    /// Why.
    pub reason: String,
}

/// What equalization did.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    /// Groups that got factors, in the order of the graph.
    pub groups: Vec<Equalized>,
    /// Groups that could not get any.
    pub refused: Vec<Refused>,
}

/// Times that factors are chosen again, where those of one group depend on those of others.
const ROUNDS: usize = 4;
/// Factors that change by less are settled.
const SETTLED: f64 = 1.01;

/// Values whose channels are to be seen, each with the axis of the channels: what [`equalize`] and bias correction need.
pub fn wanted(g: &Graph) -> Vec<(ValueId, usize)> {
    let spread = Spread::of(g);
    let mut found = BTreeMap::new();
    for n in g.order() {
        if let Ok(linear) = Linear::of(g, n)
            && let Some(v) = linear.data(g)
        {
            found.entry(v).or_insert(linear.data_axis);
        }
    }
    for (v, _) in g.values() {
        if let Some(labels) = spread.of_value(v)
            && is_stored(g, v)
            && labels.ids.iter().any(|id| spread.classes.pin(*id).is_none())
            && let Some(axis) = labels.axis()
        {
            found.entry(v).or_insert(axis);
        }
    }
    found.into_iter().collect()
}

/// Multiplies channels of values of `g` by factors, and weights by their inverses. `stats` tells what samples showed of the values of [`wanted`]; without
/// any, magnitudes are guessed from weights.
///
/// # Errors
/// When a constant cannot be read; the graph is unchanged then.
pub fn equalize(g: &mut Graph, cx: &Ctx, stats: Stats<'_>, asked: Equalization) -> Result<Report, Diag> {
    let spread = Spread::of(g);
    let count = spread.classes.len();
    let (report, factors) = {
        let mut known = Known {
            g,
            spread: &spread,
            factors: vec![1.0; count],
            stats,
            guesses: vec![0.0; count],
            gains: vec![],
            asked,
        };
        if linears(&spread).iter().any(|l| l.data(g).is_some_and(|v| stats(v).is_none())) {
            known.guess().map_err(|e| unread(&e))?;
        }
        let report = choose(&mut known)?;
        (report, known.factors)
    };
    apply::apply(g, &spread, &factors)?;
    Ok(Report { refused: refused(g, cx, &spread), ..report })
}

fn unread(e: &hoist_ir::tensor::TensorError) -> Diag {
    Diag::error("E0403", format!("weights cannot be equalized: {e}"))
}

/// Chooses the factors of all groups.
fn choose(known: &mut Known<'_>) -> Result<Report, Diag> {
    let (g, spread) = (known.g, known.spread);
    let linears = linears(spread);
    known.weigh(&linears).map_err(|e| unread(&e))?;
    let groups = groups(g, spread, &linears);
    let mut found: Vec<Option<Equalized>> = vec![None; groups.len()];
    for _ in 0..if known.asked.per_channel { 1 } else { ROUNDS } {
        let mut settled = true;
        for (group, found) in groups.iter().zip(&mut found) {
            let Some(best) = search::search(known, &linears, group).map_err(|e| unread(&e))? else {
                continue;
            };
            let before = found.as_ref().map_or(1.0, |f| f.noise);
            for (class, f) in group.classes.iter().zip(&best.factors) {
                known.factors[*class as usize] *= f;
            }
            let all = group.classes.iter().map(|c| known.factors[*c as usize]);
            *found = Some(Equalized {
                at: group.values.first().map_or_else(String::new, |v| g.value_label(*v)),
                channels: group.classes.len(),
                largest: all.map(|f| f.max(1.0 / f)).fold(1.0, f64::max),
                noise: before * best.noise,
                alpha: best.strength,
            });
            settled &= best.factors.iter().all(|f| f.max(1.0 / f) < SETTLED);
        }
        if settled {
            break;
        }
    }
    Ok(Report { groups: found.into_iter().flatten().collect(), refused: vec![] })
}

/// For each operator whose channels could begin factors and have none, why.
fn refused(g: &Graph, cx: &Ctx, spread: &Spread) -> Vec<Refused> {
    let mut all = vec![];
    for (n, _) in &spread.sites {
        let Some(v) = g.node(*n).outputs().first() else { continue };
        let Some(labels) = spread.of_value(*v) else { continue };
        let pins: Option<Vec<labels::Pin>> = labels.ids.iter().map(|id| spread.classes.pin(*id)).collect();
        if let Some((reason, by)) = pins.and_then(|p| p.first().copied()) {
            let by = by.map_or_else(String::new, |by| {
                format!("`{}` ({}): ", g.node_label(by), g.node(by).op().name())
            });
            let reason = format!("{by}{reason}");
            cx.miss(g, *n, &reason);
            all.push(Refused { at: g.value_label(*v), reason });
        }
    }
    all
}
