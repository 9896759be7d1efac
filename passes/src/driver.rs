//! Runs a pipeline on a model and checks what its passes promise.
use crate::fingerprint::fingerprint;
use crate::pass::{Changed, Ctx, FoldLimits, Miss, MissSink, Pass, Target, Why};
use crate::pipeline::{Pipeline, Step, unknown};
use crate::profile::Profile;
use crate::quantize::ranges::Floats;
use crate::quantize::spec::Quantization;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::graph::{Graph, Interface};
use hoist_ir::model::Model;
use hoist_ir::tensor::Tensor;
use hoist_ir::text::{Constants, PrintOptions, write_graph};
use hoist_ir::types::Type;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

/// Receives the text of the graph after each run of the pass that is dumped: number of the run counted from 1, text.
pub type Dump<'a> = &'a mut dyn FnMut(usize, &str);

/// How to run a pipeline.
pub struct Options<'a> {
    /// Verify the graph after each pass, and check that the pass reported changes honestly. On in debug builds.
    pub verify_each: bool,
    /// Most rounds of a `fixpoint`.
    pub rounds: u32,
    /// Stop after so many runs of single passes; for finding the run that breaks something.
    pub stop_after: Option<usize>,
    /// Pass whose results are dumped, and where to.
    pub dump_after: Option<(String, Dump<'a>)>,
    /// Which misses to collect.
    pub why: Option<Why>,
    /// Bounds of constant folding.
    pub fold: FoldLimits,
    /// What the graph will be written for.
    pub target: Option<Target>,
    /// Which operators passes may put in place of several others; all when absent.
    pub profile: Option<&'static Profile>,
    /// Which 16-bit floats to compute in; none when absent.
    pub floats: Option<Floats>,
    /// What is asked of quantization; none when absent.
    pub quantization: Option<Arc<Quantization>>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            verify_each: cfg!(debug_assertions),
            rounds: 10,
            stop_after: None,
            dump_after: None,
            why: None,
            fold: FoldLimits::default(),
            target: None,
            profile: None,
            floats: None,
            quantization: None,
        }
    }
}

/// What one pass did, all its runs together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// Name of the pass.
    pub pass: &'static str,
    /// How often it ran.
    pub runs: usize,
    /// Edits it reported.
    pub changed: u64,
    /// Time it took, without checks.
    pub micros: u128,
    /// By how many nodes the graph became larger; negative where it became smaller. Those in bodies count too.
    pub nodes: i64,
}

/// What a pipeline did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Per pass, in the order in which they first ran.
    pub stats: Vec<Stat>,
    /// Runs of single passes: what `stop_after` counts.
    pub runs: usize,
    /// Misses that were asked for.
    pub misses: Vec<Miss>,
    /// Warnings, such as `E0502`.
    pub warnings: Diags,
}

impl Report {
    /// Edits of all passes together.
    pub fn changed(&self) -> u64 {
        self.stats.iter().map(|s| s.changed).sum()
    }
}

/// A test case that shows a failure again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repro {
    /// Name of the pass that failed.
    pub pass: &'static str,
    /// The `.hir` text: a `; RUN:` line and the graph before the pass.
    pub text: String,
}

/// A pipeline that failed. The model is as it was before.
#[derive(Clone, PartialEq, Debug)]
pub struct Failure {
    /// What went wrong.
    pub diags: Diags,
    /// How to show it again.
    pub repro: Option<Repro>,
}

impl From<Diag> for Failure {
    fn from(d: Diag) -> Self {
        Self { diags: d.into(), repro: None }
    }
}

/// Runs `pipeline` on `model`.
///
/// # Errors
/// When a pass fails, breaks the graph or its promises, or `options` name an unknown pass. The model is unchanged then.
pub fn run(pipeline: &Pipeline, model: &mut Model, options: &mut Options<'_>) -> Result<Report, Failure> {
    let named = options.why.iter().map(|w| &w.pass).chain(options.dump_after.iter().map(|(p, _)| p));
    for name in named {
        if crate::by_name(name).is_none() {
            return Err(unknown(name).into());
        }
    }
    let before = model.graph.clone();
    let why = MissSink::new(options.why.clone());
    let cx = Ctx {
        fold: options.fold,
        why,
        target: options.target.clone(),
        profile: options.profile,
        floats: options.floats.clone(),
        quantization: options.quantization.clone(),
    };
    let mut driver = Driver {
        cx,
        nodes: size(&before),
        interface: before.interface(),
        options,
        report: Report::default(),
        at: HashMap::new(),
        epoch: 0,
        settled: HashMap::new(),
        census: (u64::MAX, HashSet::new()),
    };
    match driver.pipeline(pipeline, &mut model.graph, false) {
        Ok(_) => {
            driver.report.misses = driver.cx.why.take();
            Ok(driver.report)
        }
        Err((pass, diags)) => {
            let runs = driver.report.runs;
            model.graph = before;
            let text = graph_before(pipeline, model, runs, driver.options);
            Err(Failure { diags, repro: text.map(|text| repro(pass, &text)) })
        }
    }
}

fn repro(pass: &'static str, text: &str) -> Repro {
    Repro { pass, text: format!("; RUN: {pass}\n{text}") }
}

/// Text of the graph as it was before run number `runs`: passes are deterministic, so running the others again shows it.
fn graph_before(pipeline: &Pipeline, model: &Model, runs: usize, options: &Options<'_>) -> Option<String> {
    let mut again = Model { graph: model.graph.clone(), ..Model::default() };
    let mut quiet = Options {
        verify_each: false,
        rounds: options.rounds,
        stop_after: Some(runs.checked_sub(1)?),
        fold: options.fold,
        target: options.target.clone(),
        profile: options.profile,
        floats: options.floats.clone(),
        quantization: options.quantization.clone(),
        ..Options::default()
    };
    run(pipeline, &mut again, &mut quiet).ok()?;
    Some(full_text(&again.graph))
}

/// The pass that failed, and how.
type Failed = (&'static str, Diags);

struct Driver<'o, 'a> {
    cx: Ctx,
    interface: Interface,
    options: &'o mut Options<'a>,
    report: Report,
    /// Position of each pass in the report.
    at: HashMap<&'static str, usize>,
    /// Number of runs that changed the graph.
    epoch: u64,
    /// The epoch right after each pass last ran.
    settled: HashMap<&'static str, u64>,
    /// Nodes of the graph, those in bodies included.
    nodes: i64,
    /// Operators of the graph and its bodies, and the epoch in which they were looked up.
    census: (u64, HashSet<&'static str>),
}

/// Nodes of `g`, those in bodies included.
fn size(g: &Graph) -> i64 {
    let inner = g.order().flat_map(|n| g.node(n).stored_bodies()).map(size).sum::<i64>();
    inner.saturating_add_unsigned(g.node_count() as u64)
}

impl Driver<'_, '_> {
    fn stopped(&self) -> bool {
        self.options.stop_after.is_some_and(|n| self.report.runs >= n)
    }
    /// Runs all steps; whether any changed the graph. In a `repeated` pipeline, a pass is left out when nothing has changed since
    /// it last ran: passes are idempotent.
    fn pipeline(&mut self, p: &Pipeline, g: &mut Graph, repeated: bool) -> Result<bool, Failed> {
        let mut any = false;
        for step in &p.steps {
            any |= match step {
                Step::Pass(pass) if repeated && self.is_settled(*pass) => false,
                Step::Pass(_) if self.stopped() => false,
                Step::Pass(pass) => self.pass(*pass, g)?,
                Step::Group(_, inner) => self.pipeline(inner, g, repeated)?,
                Step::Fixpoint(inner) => self.fixpoint(inner, g)?,
            };
        }
        Ok(any)
    }
    fn is_settled(&self, pass: &dyn Pass) -> bool {
        self.settled.get(pass.info().name) == Some(&self.epoch)
    }
    /// Whether the graph holds an operator that `pass` looks for.
    fn finds_root(&mut self, pass: &dyn Pass, g: &Graph) -> bool {
        let Some(roots) = pass.roots() else { return true };
        if self.census.0 != self.epoch {
            self.census = (self.epoch, HashSet::new());
            count_in(g, &mut self.census.1);
        }
        roots.iter().any(|name| self.census.1.contains(name))
    }
    fn fixpoint(&mut self, p: &Pipeline, g: &mut Graph) -> Result<bool, Failed> {
        let mut any = false;
        for _ in 0..self.options.rounds {
            if !self.pipeline(p, g, true)? {
                return Ok(any);
            }
            any = true;
        }
        // The last round may have changed the graph for good.
        let open = p.pass_names().iter().any(|n| self.settled.get(n) != Some(&self.epoch));
        if open && !self.stopped() {
            let m = format!("`fixpoint({p})` still changes the graph after {} rounds", self.options.rounds);
            self.report.warnings.push(Diag::warning("E0502", m));
        }
        Ok(any)
    }
    fn pass(&mut self, pass: &dyn Pass, g: &mut Graph) -> Result<bool, Failed> {
        let name = pass.info().name;
        self.report.runs += 1;
        self.cx.why.start(name);
        let print_before = self.options.verify_each.then(|| fingerprint(g));
        let start = Instant::now();
        let result = if self.finds_root(pass, g) { apply(pass, g, &self.cx) } else { Ok(Changed::default()) };
        let micros = start.elapsed().as_micros();
        let changed = result.map_err(|d| (name, d.note(format!("while running `{name}`")).into()))?;
        let before = self.nodes;
        if changed.any() {
            self.nodes = size(g);
        }
        self.count(name, changed, micros, self.nodes - before);
        if let Some(before) = print_before {
            check_honest(name, changed, before != fingerprint(g)).map_err(|d| (name, d.into()))?;
            g.verify().into_result().map_err(|d| (name, d))?;
        }
        if changed.any() || self.options.verify_each {
            self.check_interface(pass, g).map_err(|d| (name, d.into()))?;
        }
        self.epoch += u64::from(changed.any());
        self.settled.insert(name, self.epoch);
        if let Some((wanted, sink)) = &mut self.options.dump_after
            && *wanted == name
        {
            sink(self.report.runs, &text_of(g, PrintOptions::dump()));
        }
        Ok(changed.any())
    }
    /// Checks that inputs and outputs are as before, and remembers what is known better now.
    fn check_interface(&mut self, pass: &dyn Pass, g: &Graph) -> Result<(), Diag> {
        let mut after = g.interface();
        if pass.infers_types() {
            for ((name, declared), (_, ty)) in self.interface.outputs.iter_mut().zip(&after.outputs) {
                if declared.meet(ty).is_none() {
                    let m = format!("output `{name}` is declared {declared} and computed as {ty}");
                    self.report.warnings.push(Diag::warning("E0402", m).hint("the computed type is kept"));
                    declared.clone_from(ty);
                }
            }
        }
        check_interface(pass.info().name, &self.interface, &after)?;
        std::mem::swap(&mut self.interface, &mut after);
        Ok(())
    }
    fn count(&mut self, pass: &'static str, changed: Changed, micros: u128, nodes: i64) {
        let stats = &mut self.report.stats;
        let at = *self.at.entry(pass).or_insert_with(|| {
            stats.push(Stat { pass, runs: 0, changed: 0, micros: 0, nodes: 0 });
            stats.len() - 1
        });
        stats[at].runs += 1;
        stats[at].changed += u64::from(changed.0);
        stats[at].micros += micros;
        stats[at].nodes += nodes;
    }
}

/// Adds the operators of `g` and its bodies.
fn count_in(g: &Graph, found: &mut HashSet<&'static str>) {
    for n in g.order() {
        found.insert(g.node(n).op().name());
        g.node(n).stored_bodies().iter().for_each(|b| count_in(b, found));
    }
}

/// Runs one pass on `g`, on the bodies of its nodes first where the pass wants that.
///
/// # Errors
/// Those of the pass.
pub fn apply(pass: &dyn Pass, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
    let mut total = Changed::default();
    if pass.enters_bodies() {
        let with_bodies: Vec<_> = g.order().filter(|n| !g.node(*n).stored_bodies().is_empty()).collect();
        for n in with_bodies {
            for i in 0..g.node(n).stored_bodies().len() {
                g.rewrite_body(n, i, |body| {
                    let changed = apply(pass, body, cx)?;
                    total.0 = total.0.saturating_add(changed.0);
                    Ok(changed.any())
                })?;
            }
        }
    }
    total.0 = total.0.saturating_add(pass.run(g, cx)?.0);
    Ok(total)
}

fn check_honest(pass: &str, said: Changed, really: bool) -> Result<(), Diag> {
    if said.any() == really {
        return Ok(());
    }
    let did = if really { "changed it" } else { "left it as it was" };
    Err(Diag::error("E0503", format!("`{pass}` reported {} edits of the graph and {did}", said.0)))
}

/// Names and order are the same, and each type is at least as precise as before.
fn check_interface(pass: &str, before: &Interface, after: &Interface) -> Result<(), Diag> {
    let refines = |new: &Type, old: &Type| new == old || new.meet(old).as_ref() == Some(new);
    for (kind, old, new) in
        [("input", &before.inputs, &after.inputs), ("output", &before.outputs, &after.outputs)]
    {
        if old.len() != new.len() {
            let m = format!("`{pass}` changed the number of {kind}s from {} to {}", old.len(), new.len());
            return Err(Diag::error("E0504", m));
        }
        for ((old_name, old_ty), (name, ty)) in old.iter().zip(new) {
            if old_name != name || !refines(ty, old_ty) {
                let m = format!("`{pass}` changed the {kind} `{old_name}: {old_ty}` to `{name}: {ty}`");
                return Err(Diag::error("E0504", m));
            }
        }
    }
    Ok(())
}

/// Text of `g` for reproducing a failure: whole, unless its constants are too large for that; then the largest are hashes.
fn full_text(g: &Graph) -> String {
    const MOST: usize = 16 << 20;
    let bytes =
        g.values().filter_map(|(v, _)| g.constant(v)).map(Tensor::byte_len).fold(0, usize::saturating_add);
    let constants = if bytes <= MOST { Constants::Full } else { Constants::Elide { above: 1 << 10 } };
    text_of(g, PrintOptions { constants, ..PrintOptions::default() })
}

fn text_of(g: &Graph, options: PrintOptions) -> String {
    let mut out = String::new();
    // Only a constant that cannot be computed stops the printer; the text up to there is still of use.
    let _ = write_graph(&mut out, g, options);
    out
}

#[cfg(test)]
mod tests;
