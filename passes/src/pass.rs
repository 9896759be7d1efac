//! What a pass is, and what it is told.
use crate::profile::Profile;
use crate::quantize::ranges::Floats;
use crate::quantize::spec::Quantization;
use hoist_formats::tflite::lower::LAYOUT;
use hoist_formats::{onnx, tflite};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// Name and documentation of a pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PassInfo {
    /// Name in pipelines: kebab-case, verb first, that of its file.
    pub name: &'static str,
    /// One sentence for lists.
    pub doc: &'static str,
}

/// What a graph will be written for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An operator set of ONNX.
    Onnx(onnx::lower::Target),
    /// LiteRT.
    Tflite(tflite::lower::Target),
}

impl Target {
    /// What the target lacks to express node `n`, as a phrase.
    pub fn lacks(&self, g: &Graph, n: NodeId) -> Option<String> {
        match self {
            Self::Onnx(t) => onnx::lower::lower(g, n, t).err(),
            Self::Tflite(t) => tflite::lower::lower(g, n, t).err(),
        }
    }
    /// The operator set of ONNX.
    pub fn onnx(&self) -> Option<&onnx::lower::Target> {
        if let Self::Onnx(t) = self { Some(t) } else { None }
    }
    /// LiteRT.
    pub fn tflite(&self) -> Option<&tflite::lower::Target> {
        if let Self::Tflite(t) = self { Some(t) } else { None }
    }
}

/// How many edits a pass made; zero promises that the graph is the same as before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Changed(pub u32);

impl Changed {
    /// Counts one more edit.
    pub fn add(&mut self) {
        self.0 = self.0.saturating_add(1);
    }
    /// Whether anything was edited.
    pub fn any(self) -> bool {
        self.0 > 0
    }
}

/// A rewrite of one graph.
///
/// A pass is idempotent, keeps names, order and types of inputs and outputs (types may become more precise), and computes the
/// same outputs as before.
pub trait Pass: Sync {
    /// Its name and documentation.
    fn info(&self) -> &'static PassInfo;
    /// Rewrites `g`.
    ///
    /// # Errors
    /// Only when the graph cannot be rewritten at all; a place where the rewrite does not apply is a [`Miss`].
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag>;
    /// Operators one of which a graph must hold for the pass to do anything, or to say why not; `None` when any may do. The driver leaves the
    /// pass out where none is there, so that large graphs are not walked in vain.
    fn roots(&self) -> Option<&'static [&'static str]> {
        None
    }
    /// Whether the driver runs it on bodies of nodes too, innermost first. A pass that says no walks bodies itself.
    fn enters_bodies(&self) -> bool {
        true
    }
    /// Whether it computes types again, and so may find that a file declares an output wrongly. The computed type wins then, with
    /// a warning.
    fn infers_types(&self) -> bool {
        false
    }
}

/// A place where a pass looked and did nothing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Miss {
    /// Name of the pass.
    pub pass: &'static str,
    /// Why it did nothing.
    pub reason: String,
    /// Label of the node it looked at.
    pub at: String,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not apply at `{}`: {}", self.pass, self.at, self.reason)
    }
}

/// Bounds of constant folding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FoldLimits {
    /// Most bytes by which the constants may grow through one folded node: its results less the operands that nothing else uses.
    pub growth: usize,
    /// Most bytes of operands and results together that are computed now rather than as a lazy expression.
    pub eager: usize,
    /// Most multiply-accumulate operations spent on one node.
    pub macs: u64,
}

impl Default for FoldLimits {
    fn default() -> Self {
        Self { growth: 8 << 10, eager: 8 << 20, macs: 1 << 28 }
    }
}

/// Which misses are collected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Why {
    /// Name of the pass.
    pub pass: String,
    /// Label of the node; every node when absent.
    pub node: Option<String>,
}

/// Misses kept; an explanation longer than this explains nothing.
const MAX_MISSES: usize = 1000;

/// Collects misses of the pass that is asked about.
#[derive(Debug, Default)]
pub struct MissSink {
    wanted: Option<Why>,
    running: RefCell<&'static str>,
    found: RefCell<Vec<Miss>>,
}

impl MissSink {
    /// Collects what `wanted` asks for.
    pub fn new(wanted: Option<Why>) -> Self {
        Self { wanted, ..Self::default() }
    }
    /// Says which pass runs now.
    pub(crate) fn start(&self, pass: &'static str) {
        self.running.replace(pass);
    }
    /// Everything collected so far, in the order found, without repeats.
    pub fn take(&self) -> Vec<Miss> {
        let mut seen = std::collections::BTreeSet::new();
        let all = std::mem::take(&mut *self.found.borrow_mut());
        all.into_iter().filter(|m| seen.insert(m.clone())).collect()
    }
}

/// What a pass is told.
#[derive(Debug, Default)]
pub struct Ctx {
    /// Bounds of constant folding.
    pub fold: FoldLimits,
    /// Where misses go.
    pub why: MissSink,
    /// What the graph will be written for. Passes that legalize for operator sets do nothing without it.
    pub target: Option<Target>,
    /// Which operators passes may put in place of several others; all when absent.
    pub profile: Option<&'static Profile>,
    /// Which 16-bit floats to compute in. `convert-floats` does nothing without it.
    pub floats: Option<Floats>,
    /// What is asked of quantization. The passes that quantize do nothing without it.
    pub quantization: Option<Arc<Quantization>>,
}

impl Ctx {
    /// Whether misses of `pass` are asked for.
    pub fn asks_why(&self, pass: &str) -> bool {
        self.why.wanted.as_ref().is_some_and(|w| w.pass == pass)
    }
    /// Whether a pass may put operator `op` in place of several others. [`Ctx::fuse`] asks too; this is for passes that need to know
    /// before they look further.
    pub fn allows(&self, op: &str) -> bool {
        self.profile.is_none_or(|p| p.allows(op))
    }
    /// Replaces node `root` by what `build` adds, as [`Graph::rewrite`] does; refused when the target has no form of what was added, or its
    /// profile does not allow it. For rewrites that put an operator in place of several others.
    pub fn fuse(
        &self,
        g: &mut Graph,
        root: NodeId,
        also: &[NodeId],
        build: impl FnOnce(&mut Builder<'_>) -> Result<Vec<ValueId>, Diag>,
    ) -> Outcome {
        Outcome::of(g.rewrite(root, also, |b| {
            let results = build(b)?;
            match b.added().iter().find_map(|n| self.refuses(b.graph(), *n)) {
                Some(reason) => Err(Diag::error("E0403", reason)),
                None => Ok(results),
            }
        }))
    }
    /// Why the target cannot hold node `n`, which a pass added.
    fn refuses(&self, g: &Graph, n: NodeId) -> Option<String> {
        let op = g.node(n).op().name();
        if let Some(p) = self.profile.filter(|p| !p.allows(op)) {
            return Some(format!("`{}` has no `{op}`, or no fast one", p.name));
        }
        let lacks = self.target.as_ref()?.lacks(g, n).filter(|reason| reason != LAYOUT)?;
        Some(format!("the target has no form of `{op}` with {lacks}"))
    }
    /// Records that the running pass does not apply at `n`. Costs nothing unless asked for.
    pub fn miss(&self, g: &Graph, n: NodeId, reason: impl fmt::Display) {
        let Some(wanted) = &self.why.wanted else { return };
        let pass = *self.why.running.borrow();
        if wanted.pass != pass || self.why.found.borrow().len() >= MAX_MISSES {
            return;
        }
        let at = g.node_label(n);
        if wanted.node.as_ref().is_none_or(|node| *node == at) {
            self.why.found.borrow_mut().push(Miss { pass, reason: reason.to_string(), at });
        }
    }
}

/// What a rule did at a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The rule is not about this node.
    Skip,
    /// The rule is about this node and does not apply, for this reason.
    Miss(std::borrow::Cow<'static, str>),
    /// The graph was edited.
    Edit,
}

impl Outcome {
    /// A miss for this reason.
    pub fn miss(reason: &'static str) -> Self {
        Self::Miss(reason.into())
    }
    /// An edit, or the reason why a rewrite that is made wholly or not at all was refused.
    pub fn of(result: Result<(), Diag>) -> Self {
        match result {
            Ok(()) => Self::Edit,
            Err(d) => Self::Miss(d.message.into()),
        }
    }
}

/// Applies `rule` at every node once, in order, and records misses. The rule may edit the graph around the node; what it adds is
/// not visited.
pub fn sweep(g: &mut Graph, cx: &Ctx, mut rule: impl FnMut(&mut Graph, NodeId) -> Outcome) -> Changed {
    let mut changed = Changed::default();
    for n in g.order_list() {
        if g.node(n).is_erased() {
            continue;
        }
        match rule(g, n) {
            Outcome::Skip => {}
            Outcome::Miss(reason) => cx.miss(g, n, reason),
            Outcome::Edit => changed.add(),
        }
    }
    changed
}
