//! Ranges of activations, from data.
use super::{Step, rounding};
use crate::calibration::Batches;
use crate::calibration::ranges::Ranges;
use crate::gate;
use crate::progress::Progress;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::model::Model;
use hoist_passes::quantize::equalize::{self, Channels, Equalization, Equalized};
use hoist_passes::quantize::placement::Placement;
use hoist_passes::quantize::spec::{Interval, Mode, Quantization};
use hoist_passes::quantize::statistics::{Calibration, Wanted};
use hoist_passes::{Ctx, Options};
use std::collections::BTreeMap;
use std::path::Path;

/// Inputs that are made up where there are no data.
pub const SEEDED: usize = 16;
/// Samples that statistics per channel come from.
const CHANNEL_SAMPLES: usize = 16;

/// What calibration found.
#[derive(Clone, Debug, Default)]
pub struct Calibrated {
    /// Samples that ranges were found on.
    pub samples: usize,
    /// Whether they were made up.
    pub made_up: bool,
    /// Groups of channels that were equalized.
    pub equalized: Vec<Equalized>,
    /// Weights that were rounded by what samples multiply them with.
    pub rounded: usize,
    /// Operators whose biases make up for rounding.
    pub corrected: usize,
    /// Ranges of the model before that, by the names of values, where they are to be written.
    pub ranges: Ranges,
}

/// Equalizes channels of `model` and finds the ranges of what will be quantized.
///
/// # Errors
/// When the data cannot be read or the model cannot be run on them.
pub fn calibrate(
    step: &mut Step<'_>,
    model: &mut Model,
    q: &mut Quantization,
    batches: &mut Batches,
) -> Result<Calibrated, Diags> {
    let mut done = Calibrated { made_up: !step.asked.calibration.is_given(), ..Calibrated::default() };
    let cx = context(step.options(model));
    if step.asked.ranges.is_some() {
        find(model, &cx, q, batches, step)?;
        done.ranges = named(&model.graph, q, step, batches.done());
    }
    if step.asked.equalizes() {
        let equalized = equalize_channels(model, &cx, q, batches, step)?;
        done.equalized = equalized;
    }
    if q.mode == Mode::Weights && step.asked.rounds_by_data() {
        done.rounded = rounding::round(model, &cx, q, batches)?;
    }
    if q.mode == Mode::Static {
        if step.asked.corrects() && !done.made_up {
            rounding::give_biases(model, &cx, q)?;
        }
        let calibration = find(model, &cx, q, batches, step)?;
        if step.asked.corrects() && !done.made_up {
            done.corrected = rounding::correct(model, &cx, q, &|v| channels(&calibration, v))?;
        }
    }
    done.samples = batches.done();
    Ok(done)
}

fn context(options: Options<'_>) -> Ctx {
    Ctx { target: options.target, profile: options.profile, ..Ctx::default() }
}

/// Runs `model` on all batches and records what is wanted.
fn observe(
    model: &Model,
    wanted: Vec<(ValueId, Wanted)>,
    batches: &mut Batches,
    progress: &Progress,
) -> Result<Calibration, Diags> {
    let executor = gate::executor(model)?;
    let mut calibration = Calibration::new(wanted);
    let mut next = || {
        let next = batches.next();
        progress.part("calibrating", batches.done(), batches.samples());
        next
    };
    calibration.run_all(&model.graph, &executor, &mut std::iter::from_fn(&mut next))?;
    Ok(calibration)
}

fn equalize_channels(
    model: &mut Model,
    cx: &Ctx,
    q: &Quantization,
    batches: &mut Batches,
    step: &Step<'_>,
) -> Result<Vec<Equalized>, Diags> {
    let asked = Equalization {
        per_channel: q.per_channel,
        symmetric: q.activations.symmetric,
        // Activations that stay in floats have range to spare.
        weights_only: q.mode == Mode::Weights,
        ..Equalization::default()
    };
    // What made-up inputs do to channels says less than the weights.
    let calibration = if step.asked.calibration.is_given() {
        let wanted = equalize::wanted(&model.graph).into_iter();
        let wanted = wanted.map(|(v, axis)| (v, Wanted { histogram: false, channel_axis: Some(axis) }));
        batches.take_spread(CHANNEL_SAMPLES);
        let calibration = observe(model, wanted.collect(), batches, step.progress)?;
        batches.restart();
        Some(calibration)
    } else {
        None
    };
    let stats = |v: ValueId| channels(calibration.as_ref()?, v);
    Ok(equalize::equalize(&mut model.graph, cx, &stats, asked)?.groups)
}

/// Statistics of the channels of `v`.
fn channels(calibration: &Calibration, v: ValueId) -> Option<Channels> {
    let c = calibration.seen(v)?.channels()?;
    Some(Channels {
        axis: c.axis,
        low: c.low.clone(),
        high: c.high.clone(),
        sum: c.sum.clone(),
        square: c.square.clone(),
        count: c.count,
    })
}

/// Finds the ranges of what will be quantized.
fn find(
    model: &Model,
    cx: &Ctx,
    q: &mut Quantization,
    batches: &mut Batches,
    step: &Step<'_>,
) -> Result<Calibration, Diags> {
    let placement = Placement::new(&model.graph, cx, q, false);
    let wanted = placement.wanted(&model.graph);
    batches.restart();
    let method = step.asked.method.0;
    let recorded = Wanted { histogram: method.needs_histogram(), channel_axis: None };
    let mut each: BTreeMap<ValueId, Wanted> = wanted.iter().map(|v| (*v, recorded)).collect();
    if step.asked.corrects() {
        for (v, axis) in equalize::wanted(&model.graph) {
            each.entry(v).or_insert(Wanted { histogram: false, channel_axis: None }).channel_axis =
                Some(axis);
        }
    }
    let calibration = observe(model, each.into_iter().collect(), batches, step.progress)?;
    q.ranges = calibration.intervals(&wanted, method, q.activations).into_iter().collect();
    Ok(calibration)
}

/// The ranges by name.
fn named(g: &Graph, q: &Quantization, step: &Step<'_>, samples: usize) -> Ranges {
    let all = q.ranges.iter().map(|(v, i)| (g.value_label(*v), *i)).collect();
    Ranges { all, method: step.asked.method.to_string(), samples }
}

/// Takes the ranges of a file.
///
/// # Errors
/// When it cannot be read, or has none of the model's values.
pub fn imported(
    step: &mut Step<'_>,
    model: &Model,
    q: &mut Quantization,
    path: &Path,
) -> Result<Calibrated, Diags> {
    let bytes = std::fs::read(path)
        .map_err(|e| Diag::error("E0101", format!("{} cannot be read: {e}", path.display())))?;
    let ranges = Ranges::read(&bytes).map_err(|d| crate::io::about(path, d.into()))?;
    let known: BTreeMap<&str, Interval> = ranges.all.iter().map(|(n, i)| (n.as_str(), *i)).collect();
    let cx = context(step.options(model));
    let wanted = Placement::new(&model.graph, &cx, q, false).wanted(&model.graph);
    let of = |v: &ValueId| known.get(model.graph.value_label(*v).as_str()).copied();
    q.ranges = wanted.iter().filter_map(|v| Some((*v, of(v)?))).collect();
    let missing: Vec<String> =
        wanted.iter().filter(|v| of(v).is_none()).map(|v| model.graph.value_label(*v)).collect();
    if q.ranges.is_empty() && !wanted.is_empty() {
        let m = format!("{}: none of the ranges is that of a value to be quantized", path.display());
        return Err(Diag::error("E0603", m).note(format!("they are {}", missing.join(", "))).into());
    }
    if !missing.is_empty() {
        let m = format!("{}: {} values have no range and stay in floats", path.display(), missing.len());
        step.report.warnings.push(Diag::warning("E0603", m).note(missing.join(", ")));
    }
    Ok(Calibrated { samples: ranges.samples, ..Calibrated::default() })
}
