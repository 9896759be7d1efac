//! The parity gate: a written model is read back, run, and compared with the model as it was lifted.
//!
//! Both run in the reference executor, on the source's own sample inputs where it has some, else on inputs made from two seeds: small
//! ones, or long ones where the source cannot be run on those. Without `--tolerance` a number fits when
//! `|got - want| <= 1e-3 |want| + 1e-4 m`, where `m` is the largest magnitude in that output: a rewrite that reorders additions errs relative to
//! the terms, not to their sum. Both figures are 10 times as large when the model computes in float16, 50 times in bfloat16, and 100 and 400 times where
//! only the written model does. Everything but floats must be equal. Results of operators on quantized tensors may be a step off where rounding is all but a tie: see [`crate::steps`].
//!
//! A model is left unchecked, with the reason said, when the *source* cannot be run: operators without evaluation, inputs that cannot be made
//! up, inputs it refuses, or a cost beyond [`MAX_MACS`], [`MAX_LIVE`], 2 GiB of weights or the time allowed. A source that runs and a result that does
//! not is a failure.
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value;
use hoist_ir::graph::Graph;
use hoist_ir::model::{Executor as _, Model};
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;
use hoist_passes::Ranges;
use hoist_runtime::compare::{Comparison, OutputComparison, Tolerance, compare};
use hoist_runtime::inputs::{DimBindings, Open, seeded_open};
use hoist_runtime::reference::{Reference, ReferenceOptions};
use std::collections::VecDeque;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::{stats, steps};

mod cost;
pub use cost::{MAX_LIVE, MAX_MACS, affordable};

/// Bytes spent on constants in the form that operators read fastest: little, so that memory does not follow the model's size.
const CONSTANTS: usize = 16 << 20;
/// Time for all runs, and when the cost depends on data.
const TIME: Duration = Duration::from_mins(2);
const TIME_OF_LOOPS: Duration = Duration::from_secs(4);
/// Sample inputs that are used.
const MAX_SAMPLES: usize = 2;

/// How a model is checked.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Checking {
    /// Do not run and compare the result
    #[arg(long)]
    pub no_verify: bool,
    /// Allowed difference: |got - want| <= A + R * |want|. Default: R = 1e-3, A = 1e-4 times the largest magnitude of the output
    #[arg(long, value_name = "R[,A]", value_parser = bounds)]
    pub tolerance: Option<Bounds>,
    /// Seed of the inputs that are made up
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub verify_seed: u64,
}

/// How far a number may be off.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Bounds {
    rtol: f64,
    atol: f64,
    /// Whether `atol` is in units of the largest magnitude of the output.
    scaled: bool,
}

/// Reads `R[,A]`.
pub fn bounds(text: &str) -> Result<Bounds, String> {
    let number = |text: &str| match text.trim().parse::<f64>() {
        Ok(v) if v.is_finite() && v >= 0.0 => Ok(v),
        _ => Err(format!("`{text}` is no tolerance; write it like 1e-3,1e-5")),
    };
    Ok(match text.split_once(',') {
        Some((r, a)) => Bounds { rtol: number(r)?, atol: number(a)?, scaled: false },
        None => number(text).map(|r| Bounds { rtol: r, atol: r / 10.0, scaled: true })?,
    })
}

impl Bounds {
    /// The default for a model like `graph`.
    pub fn standard(graph: &Graph) -> Self {
        let factor = match narrowest(graph) {
            Some(DType::BF16) => 50.0,
            Some(_) => 10.0,
            None => 1.0,
        };
        Self::times(factor)
    }
    fn times(factor: f64) -> Self {
        Self { rtol: 1e-3 * factor, atol: 1e-4 * factor, scaled: true }
    }
    /// The default where a model that computes with more bits is compared with one of `dtype`.
    fn narrowed(dtype: DType) -> Self {
        Self::times(if dtype == DType::BF16 { 400.0 } else { 100.0 })
    }
    fn of(self, want: &Value) -> Tolerance {
        let scale = if self.scaled { magnitude(want) } else { 1.0 };
        Tolerance { rtol: self.rtol, atol: self.atol * scale }
    }
    /// Compares outputs in order.
    pub fn compare<S: AsRef<str>>(self, got: &[Value], want: &[Value], names: &[S]) -> Comparison {
        if got.len() != want.len() {
            return compare(got, want, names, self.of(&Value::Sequence(want.to_vec().into())));
        }
        let mut all = Comparison::default();
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            let pair = (std::slice::from_ref(g), std::slice::from_ref(w));
            all.outputs
                .extend(compare(pair.0, pair.1, names.get(i..).unwrap_or_default(), self.of(w)).outputs);
        }
        all
    }
}

/// The narrowest of the half-precision types in which `graph` computes.
fn narrowest(graph: &Graph) -> Option<DType> {
    let mut found = None;
    for n in graph.order() {
        let node = graph.node(n);
        let types = node.outputs().iter().filter_map(|v| graph.ty(*v).as_tensor());
        for dtype in types.map(|t| t.dtype).chain(node.bodies().iter().filter_map(narrowest)) {
            match dtype {
                DType::BF16 => return Some(DType::BF16),
                DType::F16 => found = Some(DType::F16),
                _ => {}
            }
        }
    }
    found
}

/// Largest finite magnitude in a value; 0 when there is none.
fn magnitude(value: &Value) -> f64 {
    match value {
        Value::Tensor(t) => floats(t).into_iter().filter(|v| v.is_finite()).fold(0.0, |m, v| v.abs().max(m)),
        Value::Sequence(all) => all.iter().map(magnitude).fold(0.0, f64::max),
        Value::Optional(inner) => inner.as_deref().map_or(0.0, magnitude),
    }
}

/// Elements of a float tensor; none of other types.
fn floats(t: &Tensor) -> Vec<f64> {
    if !t.dtype().is_float() {
        return vec![];
    }
    t.cast(DType::F64, false).ok().and_then(|t| t.to_f64s().ok()).unwrap_or_default()
}

/// Result of a check that found no difference.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    /// The outputs agree.
    Same {
        /// Number of inputs tried.
        runs: usize,
        /// Largest difference of any output.
        max_abs: f64,
        /// Largest difference as part of the largest magnitude of its output.
        part: f64,
        /// What makes the comparison weak, such as outputs that are not numbers.
        weak: Option<String>,
    },
    /// Nothing was compared, for this reason.
    Unchecked(String),
}

/// Compares `written` with `source`. `narrowed` is the type of floats that only `written` computes in.
///
/// # Errors
/// `E0601` for each output that differs, and what the executor says when only `written` cannot be run.
pub fn check(
    source: &Model,
    written: &Model,
    checking: &Checking,
    narrowed: Option<DType>,
) -> Result<Verdict, Diags> {
    if let Err(d) = same_interface(&source.graph, &written.graph) {
        return Err(d.into());
    }
    let time = if stats::of(&source.graph).repeats { TIME_OF_LOOPS } else { TIME };
    let (source, written, mut checking) = (source.clone(), written.clone(), checking.clone());
    checking.tolerance = checking.tolerance.or_else(|| narrowed.map(Bounds::narrowed));
    match within(time, move || run_all(&source, &written, &checking)) {
        Ok(verdict) if narrowed.is_some() => verdict.map_err(precision_hint),
        Ok(verdict) => verdict,
        Err(reason) => Ok(Verdict::Unchecked(reason)),
    }
}

/// What else to do about differences where fewer bits may be the reason.
fn precision_hint(mut diags: Diags) -> Diags {
    for d in diags.0.iter_mut().filter(|d| d.code == "E0601") {
        let hint = d.hint.take().unwrap_or_default();
        d.hint = Some(format!("--fp32-ops OP,.. and --fp32-nodes NAME,.. keep parts in f32; {hint}"));
    }
    diags
}

/// Does `work` on a thread of its own.
///
/// # Errors
/// Why there is no result, when it takes longer than `time`.
pub fn within<T: Send + 'static>(
    time: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = channel();
    let thread = std::thread::Builder::new().name("check".to_owned()).stack_size(64 << 20);
    let spawned = thread.spawn(move || {
        // The receiver is gone when the time is over.
        let _ = sender.send(work());
    });
    spawned.map_err(|e| format!("no thread can be started: {e}"))?;
    match receiver.recv_timeout(time) {
        Ok(result) => Ok(result),
        Err(RecvTimeoutError::Timeout) => {
            Err(format!("running the model takes more than {} s", time.as_secs()))
        }
        Err(RecvTimeoutError::Disconnected) => panic!("the executor stopped"),
    }
}

/// Runs `model`, whose interface is that of `source`, on what the gate will run both on, and records how large its values are.
///
/// # Errors
/// Why it cannot be run.
pub fn observe(source: &Model, model: &Model, checking: &Checking) -> Result<Ranges, String> {
    let time = if stats::of(&source.graph).repeats { TIME_OF_LOOPS } else { TIME };
    let (source, model, seed) = (source.clone(), model.clone(), checking.verify_seed);
    within(time, move || {
        let executor = executor(&model).map_err(|diags| first_reason(&diags))?;
        let mut given = inputs(&source, seed);
        if source.samples.is_empty() && given.iter().all(Result::is_err) {
            given = made_up(&source, seed, Open::Long);
        }
        let given = given.into_iter().collect::<Result<Vec<_>, _>>()?;
        if let Some(first) = given.first() {
            affordable(&model.graph, &first.iter().map(Value::ty).collect::<Vec<_>>())?;
        }
        Ranges::observe(&executor, given).map_err(|d| d.message)
    })?
}

fn same_interface(source: &Graph, written: &Graph) -> Result<(), Diag> {
    let names = |g: &Graph| -> (Vec<_>, Vec<_>) {
        let i = g.interface();
        (i.inputs.into_iter().map(|(n, _)| n).collect(), i.outputs.into_iter().map(|(n, _)| n).collect())
    };
    if names(source) == names(written) {
        return Ok(());
    }
    let m = "the written model has other inputs or outputs than the source";
    Err(Diag::error("E0504", m)
        .note(format!("source: {:?}", names(source)))
        .note(format!("written: {:?}", names(written))))
}

/// The executor that models are checked with.
///
/// # Errors
/// Its own.
pub fn executor(model: &Model) -> Result<Reference, Diags> {
    let options = ReferenceOptions {
        live_bytes: Some(MAX_LIVE as usize),
        constant_bytes: CONSTANTS,
        ..ReferenceOptions::default()
    };
    Reference::new(model, options)
}

/// Results of `source` on `inputs` with its operators on quantized tensors computed in reals, where it has some and `got` is near to what they
/// give themselves.
fn in_reals(source: &Model, inputs: Vec<Value>, got: &[Value], want: &[Value]) -> Option<Vec<Value>> {
    let meant = steps::in_reals(source).filter(|_| steps::near(got, want))?;
    executor(&meant).ok()?.run(inputs).ok()
}

fn run_all(source: &Model, written: &Model, checking: &Checking) -> Result<Verdict, Diags> {
    let before = match executor(source) {
        Ok(executor) => executor,
        Err(diags) => return Ok(Verdict::Unchecked(first_reason(&diags))),
    };
    let after = executor(written)?;
    let bounds = checking.tolerance.unwrap_or_else(|| Bounds::standard(&source.graph));
    let mut tally = Tally::default();
    let mut afforded: Vec<Type> = vec![];
    let mut all: VecDeque<_> = inputs(source, checking.verify_seed).into();
    let mut longer = [Open::Long, Open::Longest].iter().filter(|_| source.samples.is_empty());
    while let Some(inputs) = all.pop_front() {
        let ran = inputs.and_then(|inputs| {
            let types: Vec<Type> = inputs.iter().map(Value::ty).collect();
            if types.is_empty() || types != afforded {
                affordable(&source.graph, &types)?;
                afforded = types;
            }
            let want = before.run(inputs.clone()).map_err(|d| d.message)?;
            // Such inputs are none of the model's: values of lists of axes or sizes, made up, may contradict what it says of its outputs.
            let mut outputs = source.graph.outputs().iter().zip(&want);
            if let Some((o, v)) = outputs.find(|(o, v)| !v.fits(source.graph.ty(o.value))) {
                let ty = source.graph.ty(o.value);
                return Err(format!(
                    "output `{}` is {} on made-up inputs, and {ty} in the model",
                    o.name,
                    v.ty()
                ));
            }
            Ok((inputs, want))
        });
        match ran {
            Ok((inputs, want)) => {
                let got = after
                    .run(inputs.clone())
                    .map_err(|d| d.note("the source model runs on the same inputs"))?;
                if let Err(diags) = tally.add(bounds, &got, &want, &source.graph) {
                    let meant = in_reals(source, inputs, &got, &want);
                    let same = |meant: Vec<Value>| tally.add(bounds, &got, &meant, &source.graph).is_ok();
                    if !meant.is_some_and(same) {
                        return Err(diags);
                    }
                }
            }
            Err(reason) => tally.failed(reason),
        }
        // What windows over a signal refuse for being short may run on a long one.
        if all.is_empty()
            && tally.runs == 0
            && let Some(open) = longer.next()
        {
            all = made_up(source, checking.verify_seed, *open).into();
        }
    }
    Ok(tally.verdict())
}

/// What the first of `diags` says.
pub fn first_reason(diags: &Diags) -> String {
    diags.0.first().map_or_else(String::new, |d| d.message.clone())
}

/// What the runs found so far.
#[derive(Default)]
struct Tally {
    runs: usize,
    max_abs: f64,
    part: f64,
    meaningful: bool,
    reason: Option<String>,
}

impl Tally {
    fn add(&mut self, bounds: Bounds, got: &[Value], want: &[Value], graph: &Graph) -> Result<(), Diags> {
        let names: Vec<_> = graph.outputs().iter().map(|o| o.name.clone()).collect();
        let comparison = bounds.compare(got, want, &names);
        differences(&comparison).into_result()?;
        self.runs += 1;
        let largest = comparison.outputs.iter().map(|o| o.max_abs).fold(0.0, f64::max);
        self.max_abs = self.max_abs.max(largest);
        for (o, w) in comparison.outputs.iter().zip(want) {
            let most = magnitude(w);
            self.part = if most > 0.0 { self.part.max(o.max_abs / most) } else { self.part };
        }
        self.meaningful |= want.is_empty() || want.iter().any(says_something);
        Ok(())
    }
    fn failed(&mut self, reason: String) {
        self.reason.get_or_insert(reason);
    }
    fn verdict(self) -> Verdict {
        if self.runs == 0 {
            return Verdict::Unchecked(
                self.reason.unwrap_or_else(|| "there are no inputs to try".to_owned()),
            );
        }
        let weak = (!self.meaningful)
            .then(|| "every output is NaN, infinite or empty on the inputs tried".to_owned());
        Verdict::Same { runs: self.runs, max_abs: self.max_abs, part: self.part, weak }
    }
}

/// Whether a value has an element other than NaN and infinities.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Tensor(t) if t.dtype().is_float() => floats(t).iter().any(|v| v.is_finite()),
        Value::Tensor(t) => !t.is_empty(),
        Value::Sequence(all) => all.iter().any(says_something),
        Value::Optional(inner) => inner.as_deref().is_some_and(says_something),
    }
}

/// One error for each output that differs.
pub fn differences(comparison: &Comparison) -> Diags {
    let mut diags = Diags::default();
    for complaint in comparison.outputs.iter().filter_map(OutputComparison::complaint) {
        let d = Diag::error("E0601", complaint);
        diags.push(d.hint("--tolerance R[,A] sets the allowed difference"));
    }
    diags
}

/// What the models are run on, each with the reason where it cannot be made.
fn inputs(source: &Model, seed: u64) -> Vec<Result<Vec<Value>, String>> {
    if !source.samples.is_empty() {
        return source.samples.iter().take(MAX_SAMPLES).map(|s| Ok(s.inputs.clone())).collect();
    }
    made_up(source, seed, Open::Small)
}

/// Inputs from two seeds, or none when the model takes none.
fn made_up(source: &Model, seed: u64, open: Open) -> Vec<Result<Vec<Value>, String>> {
    let made = |seed| seeded_open(&source.graph, seed, &DimBindings::default(), open).map_err(|d| d.message);
    if source.graph.inputs().is_empty() {
        vec![made(seed)]
    } else {
        vec![made(seed), made(seed.wrapping_add(1))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::text::parse_model;

    fn model(text: &str) -> Model {
        parse_model(text).expect("valid text")
    }
    fn verdict(source: &str, written: &str) -> Result<Verdict, Diags> {
        check(&model(source), &model(written), &Checking::default(), None)
    }

    const ADD: &str = "graph @g(%x: f32[N, 3]) {\n  %s = add(%x, %x)\n  return y: %s\n}\n";

    #[test]
    fn equal_models_pass_and_different_ones_do_not() {
        assert!(matches!(verdict(ADD, ADD), Ok(Verdict::Same { runs: 2, weak: None, .. })));
        let other = ADD.replace("add(", "mul(");
        let diags = verdict(ADD, &other).unwrap_err();
        assert_eq!(diags.0[0].code, "E0601");
        assert!(diags.0[0].message.contains("`y`") && diags.0[0].message.contains("[0, 0]"), "{diags}");
    }

    #[test]
    fn models_of_long_signals_run_on_long_inputs() {
        let text = "graph @g(%x: f32[?, ?]) {\n  %w = const f32[1, 1, 100] splat(0.5)\n  %a = const i64[1] [1]\n  \
                    %u = unsqueeze(%x, %a)\n  %y = conv(%u, %w)\n  return y: %y\n}\n";
        assert!(matches!(verdict(text, text), Ok(Verdict::Same { runs: 2, weak: None, .. })));
        let other = text.replace("splat(0.5)", "splat(0.75)");
        assert!(verdict(text, &other).is_err());
    }

    #[test]
    fn quantized_results_may_be_a_step_off() {
        let constants = "  %s = const f32[] [0.1]\n  %z = const u8[] [3]\n  %t = const f32[] [0.0371]\n";
        let own = format!(
            "graph @g(%x: u8[64, 64], %y: u8[64, 64]) {{\n{constants}  %v = q_linear_mul(%x, %s, %z, %y, %s, %z, %t, %z)\n  return v: %v\n}}\n"
        );
        let off = own.replace("  return v: %v", "  %o = const u8[] [1]\n  %w = max(%v, %o)\n  return v: %w");
        assert!(matches!(verdict(&own, &own), Ok(Verdict::Same { .. })));
        assert!(verdict(&own, &off).is_err(), "a step that rounding does not explain");
        let constants = "  %w = const i8[4, 8, 3, 3] seeded(1)\n  %s = const f32[] [0.1]\n  %z = const i8[] [3]\n  \
                         %a = const f32[] [0.1]\n  %n = const i8[] [0]\n  %t = const f32[] [1.28]\n";
        let graph =
            |body: &str| format!("graph @g(%x: i8[1, 8, 40, 40]) {{\n{constants}{body}  return y: %y\n}}\n");
        let own = graph("  %y = q_linear_conv(%x, %s, %z, %w, %a, %n, %t, %z)\n");
        let reals = graph(
            "  %b = dequantize_linear(%x, %s, %z)\n  %c = dequantize_linear(%w, %a)\n  %d = conv(%b, %c)\n  \
             %y = quantize_linear(%d, %t, %z)\n",
        );
        let x = seeded_open(&model(&own).graph, 0, &DimBindings::default(), Open::Small).expect("inputs");
        let result = |text: &str| executor(&model(text)).expect("runs").run(x.clone()).expect("runs");
        assert!(result(&own) != result(&reals), "no result is all but a tie");
        assert!(matches!(verdict(&own, &reals), Ok(Verdict::Same { .. })));
    }

    #[test]
    fn tolerances() {
        assert_eq!(bounds("1e-2,0.5"), Ok(Bounds { rtol: 1e-2, atol: 0.5, scaled: false }));
        assert_eq!(bounds("1e-2"), Ok(Bounds { rtol: 1e-2, atol: 1e-3, scaled: true }));
        for bad in ["", "x", "-1", "1,nan", "1,2,3"] {
            assert!(bounds(bad).is_err(), "{bad}");
        }
        let want = Value::from(Tensor::from_vec(&[2], vec![1000.0f32, 0.0]));
        let got = Value::from(Tensor::from_vec(&[2], vec![1000.0f32, 0.05]));
        let standard = Bounds { rtol: 1e-3, atol: 1e-4, scaled: true };
        assert!(standard.compare(std::slice::from_ref(&got), std::slice::from_ref(&want), &["y"]).fits());
        assert!(!Bounds { scaled: false, ..standard }.compare(&[got], &[want], &["y"]).fits());
    }
}
