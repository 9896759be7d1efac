//! The fewest layers that must stay in floats so that a quantized model loses no more than it may.
//!
//! Layers are taken worst first. The search bisects how many of them stay in floats: it holds one number that loses too much and one that does not, both measured, so what it
//! returns was measured even where the loss does not fall with each layer. Then layers that were taken for their rank alone are quantized again one by one, the least harmful
//! first, as long as the loss stays within the bound and evaluations are left.
use crate::error_report::runs::{Batch, Labels};
use crate::gate;
use crate::quantization::analyze::Build;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::eval::Value;
use hoist_ir::model::{Executor as _, Model};
use hoist_runtime::error::{ErrorReport, OutputError};

/// Evaluations that a search may take beside those of the bisection.
pub const GIVE_BACK: usize = 16;
/// Most bytes of outputs of the float model that are kept between evaluations.
const KEPT: usize = 64 << 20;

/// What a quantized model loses, and what it takes.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Outcome {
    /// Loss: see [`loss`].
    pub drop: f64,
    /// Bytes of its constants.
    pub bytes: u64,
}

/// A choice of layers that stay in floats.
#[derive(Clone, PartialEq, Debug)]
pub struct Budget {
    /// The layers, worst first.
    pub kept: Vec<String>,
    /// With everything quantized.
    pub before: Outcome,
    /// With those layers in floats.
    pub after: Outcome,
    /// Models that were built and measured.
    pub evaluations: usize,
}

/// Measures the model in which these layers stay in floats.
pub type Measure<'a> = &'a mut dyn FnMut(&[String]) -> Result<Outcome, Diags>;

/// Chooses among `layers`, worst first, so that the drop is at most `max_drop`; `before` is what was measured with everything quantized.
///
/// # Errors
/// `E0601` when even with all layers in floats the drop is larger; those of `measure`.
pub fn find(
    before: Outcome,
    layers: &[String],
    max_drop: f64,
    give_back: usize,
    measure: Measure<'_>,
) -> Result<Budget, Diags> {
    let mut search = Search { measure, evaluations: 1 };
    let mut best = Budget { kept: vec![], before, after: before, evaluations: 1 };
    if fits(&before, max_drop) {
        return Ok(best);
    }
    let all = search.of(layers)?;
    if !fits(&all, max_drop) {
        return Err(hopeless(layers.len(), max_drop, &before, &all).into());
    }
    let (mut few, mut enough) = (0, layers.len());
    best.after = all;
    while enough - few > 1 {
        let middle = few + (enough - few) / 2;
        let outcome = search.of(&layers[..middle])?;
        if fits(&outcome, max_drop) {
            (enough, best.after) = (middle, outcome);
        } else {
            few = middle;
        }
    }
    best.kept = layers[..enough].to_vec();
    // Without the last one the drop was too large.
    for layer in layers[..few].iter().rev().take(give_back) {
        let fewer: Vec<String> = best.kept.iter().filter(|l| *l != layer).cloned().collect();
        let outcome = search.of(&fewer)?;
        if fits(&outcome, max_drop) {
            (best.kept, best.after) = (fewer, outcome);
        }
    }
    best.evaluations = search.evaluations;
    Ok(best)
}

struct Search<'a> {
    measure: Measure<'a>,
    evaluations: usize,
}

impl Search<'_> {
    fn of(&mut self, kept: &[String]) -> Result<Outcome, Diags> {
        self.evaluations += 1;
        (self.measure)(kept)
    }
}

/// NaN fits nothing.
fn fits(outcome: &Outcome, max_drop: f64) -> bool {
    outcome.drop <= max_drop
}

fn hopeless(layers: usize, max_drop: f64, before: &Outcome, all: &Outcome) -> Diag {
    let m = format!(
        "the drop is {:.3} % with everything quantized and still {:.3} % with all {layers} layers in floats, more than the {max_drop} % of --max-drop",
        before.drop, all.drop
    );
    Diag::error("E0601", m)
        .note("what is left comes from other parts than layers, or the data does not fit the model")
        .hint("raise --max-drop, or look at --analyze")
}

/// Loss in percent of a model whose outputs were compared with those of the float model: with labels, points of accuracy. Without them the largest of all outputs:
/// scores whose largest is at another place and other elements than floats that differ, in percent of all; for other floats the power of the error in percent of that of
/// the signal, so that 1 % are 20 dB. 100 where outputs cannot be compared.
pub fn loss(report: &ErrorReport) -> f64 {
    if !report.is_sound() {
        return 100.0;
    }
    if let Some((float, quantized)) = report.accuracy() {
        return float - quantized;
    }
    let one = |o: &OutputError| match o.agree.percent() {
        Some(percent) => 100.0 - percent,
        None => 100.0 * 10f64.powf(-o.sums.snr_db() / 10.0),
    };
    report.outputs.iter().map(one).fold(0.0, f64::max)
}

/// Samples that can be gone through again and again.
pub type Data<'a> = &'a mut dyn FnMut() -> Result<Box<dyn Iterator<Item = Result<Batch, Diags>>>, Diags>;

/// Measures quantized models on labelled or unlabelled samples.
pub struct Evaluation<'a> {
    float: &'a Model,
    build: Build<'a>,
    data: Data<'a>,
    labels: Option<Labels>,
    /// Outputs of the float model, while they are not too large.
    want: Option<Vec<Vec<Value>>>,
}

impl<'a> Evaluation<'a> {
    /// Of what `build` makes of `float`.
    pub fn new(float: &'a Model, build: Build<'a>, data: Data<'a>, labels: Option<Labels>) -> Self {
        Self { float, build, data, labels, want: None }
    }
    /// Loss and size of the model in which `kept` stay in floats.
    ///
    /// # Errors
    /// Those of building, of the data and of the executor; `E0603` where labels and samples are not as many.
    pub fn measure(&mut self, kept: &[String]) -> Result<Outcome, Diags> {
        let model = (self.build)(kept, false)?;
        let report = self.report(&model)?;
        Ok(Outcome { drop: loss(&report), bytes: crate::stats::of(&model.graph).parameter_bytes })
    }
    /// Error of `model` on all samples.
    ///
    /// # Errors
    /// Those of [`measure`](Self::measure).
    pub fn report(&mut self, model: &Model) -> Result<ErrorReport, Diags> {
        let executor = gate::executor(model)?;
        let float = gate::executor(self.float)?;
        let mut report = ErrorReport::new(self.float.graph.outputs().iter().map(|o| o.name.to_string()));
        let mut labels = self.labels.clone();
        let (mut fresh, mut bytes) = (vec![], 0usize);
        for (i, batch) in (self.data)()?.enumerate() {
            let Batch { inputs, samples } = batch?;
            let known = self.want.as_ref().and_then(|w| w.get(i)).cloned();
            let want = match known {
                Some(want) => want,
                None => float.run(inputs.clone())?,
            };
            let got = executor.run(inputs)?;
            match &mut labels {
                Some(labels) => report.add_labelled(&want, &got, labels.take(samples)?),
                None => report.add(&want, &got),
            }
            bytes = want.iter().map(Value::byte_len).fold(bytes, usize::saturating_add);
            if self.want.is_none() && bytes <= KEPT {
                fresh.push(want);
            }
        }
        if let Some(labels) = &labels {
            labels.finish()?;
        }
        self.want.get_or_insert(fresh);
        Ok(report)
    }
}

#[cfg(test)]
mod tests;
