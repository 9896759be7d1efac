//! Which nodes compute on integers, and which values share a scale.
//!
//! Every node that has an integer kernel gets a label, 1 for floats. A minimum cut weighs conversions, one per element of each value that is needed in a
//! form other than that in which it is computed, against what a node loses by computing in floats.
use crate::layout::solve::cut::{ALWAYS, Cut, SINK, SOURCE};
use crate::pass::Ctx;
use crate::quantize::logarithms::before_logarithms;
use crate::quantize::rules::{Kernel, Scales, is_f32, kernel};
use crate::quantize::spec::{Interval, Quantization};
use hoist_ir::graph::{Def, Graph, NodeId, Use, ValueId};
use hoist_ir::types::Type;
use std::collections::{BTreeMap, BTreeSet};

/// What computes on integers.
#[derive(Debug, Default)]
pub struct Placement {
    /// Nodes, with their kernels.
    pub nodes: BTreeMap<NodeId, Kernel>,
    /// Values of floats that are quantized, each with the first value of those it shares a scale with.
    pub groups: BTreeMap<ValueId, ValueId>,
    /// Values that are quantized where all nodes compute on integers that can.
    candidates: BTreeSet<ValueId>,
}

/// Longest step of exponents: a quarter, half of which as an error is an eighth of each power.
const EXPONENT_STEP: f32 = 0.25;
/// Numbers that one conversion more costs at any size.
const OVERHEAD: u64 = 64;
/// Positions of an axis of unknown size.
const ASSUMED: u64 = 16;

impl Placement {
    /// Chooses nodes of `g`; where `ranged`, only nodes all of whose values have ranges.
    pub fn new(g: &Graph, cx: &Ctx, q: &Quantization, ranged: bool) -> Self {
        let mut free = BTreeMap::new();
        let logarithms = if q.full { BTreeSet::new() } else { before_logarithms(g) };
        for n in g.order() {
            let found = match candidate(g, n, cx, q, ranged) {
                Ok(_) if logarithms.contains(&n) => Err("a logarithm is taken of what is made of its result"),
                found => found,
            };
            match found {
                Ok(kernel) => drop(free.insert(n, kernel)),
                Err("") => {}
                Err(reason) => cx.miss(g, n, reason),
            }
        }
        let chosen = choose(g, &free, q.full);
        for n in free.keys().filter(|n| !chosen.contains_key(n)) {
            cx.miss(g, *n, "conversions around it would cost more than integers gain");
        }
        let values = |(n, k): (&NodeId, &Kernel)| {
            let node = g.node(*n);
            let data = k.data.iter().filter_map(|i| node.input(*i));
            data.chain(node.outputs().iter().copied()).collect::<Vec<_>>()
        };
        let candidates = free.iter().flat_map(values).collect();
        let mut placement = Self { nodes: chosen, groups: BTreeMap::new(), candidates };
        placement.group(g);
        placement
    }
    /// Whether the result of `n` goes on as a float to a bound that saturation replaces.
    fn is_bounded_behind(&self, g: &Graph, v: ValueId) -> bool {
        let bound = |n: NodeId| self.nodes.get(&n).is_some_and(|k| k.scales == Scales::Bound);
        g.single_user(v).is_some_and(bound)
    }
    /// Whether value `v`, computed by a chosen node, is quantized.
    fn stores(&self, g: &Graph, v: ValueId, kernel: &Kernel) -> bool {
        if self.is_bounded_behind(g, v) {
            return false;
        }
        !kernel.float_result || self.is_read(g, v)
    }
    /// Whether a chosen node reads `v` as data.
    fn is_read(&self, g: &Graph, v: ValueId) -> bool {
        g.value(v).uses().iter().any(|u| match u {
            Use::Node { node, slot } => self
                .nodes
                .get(node)
                .is_some_and(|k| k.scales != Scales::Bound && k.data.contains(&(*slot as usize))),
            Use::Output(_) => false,
        })
    }
    /// Finds what shares scales.
    fn group(&mut self, g: &Graph) {
        let mut sets = Sets::default();
        for (n, kernel) in &self.nodes {
            let node = g.node(*n);
            let data = kernel.data.iter().filter_map(|i| node.input(*i));
            let read: Vec<ValueId> = if kernel.scales == Scales::Bound { vec![] } else { data.collect() };
            let stored: Vec<ValueId> =
                node.outputs().iter().copied().filter(|v| self.stores(g, *v, kernel)).collect();
            for v in read.iter().chain(&stored) {
                sets.find(*v);
            }
            if kernel.scales == Scales::Same {
                let mut all = read.iter().chain(&stored);
                if let Some(first) = all.next() {
                    all.for_each(|v| sets.join(*first, *v));
                }
            }
        }
        self.groups = sets.all();
    }
    /// The values whose ranges may be needed: also those of nodes that are not chosen, which may be when others are kept in floats.
    pub fn wanted(&self, g: &Graph) -> Vec<ValueId> {
        self.candidates.iter().copied().filter(|v| is_f32(g, *v) && g.value(*v).def() != Def::Const).collect()
    }
}

/// Values that share a scale, as a forest.
#[derive(Default)]
struct Sets {
    parent: BTreeMap<ValueId, ValueId>,
}

impl Sets {
    fn find(&mut self, v: ValueId) -> ValueId {
        let mut at = v;
        while let Some(up) = self.parent.get(&at).copied().filter(|up| *up != at) {
            at = up;
        }
        self.parent.insert(v, at);
        self.parent.entry(at).or_insert(at);
        at
    }
    fn join(&mut self, a: ValueId, b: ValueId) {
        let (a, b) = (self.find(a), self.find(b));
        self.parent.insert(a.max(b), a.min(b));
    }
    fn all(mut self) -> BTreeMap<ValueId, ValueId> {
        let keys: Vec<ValueId> = self.parent.keys().copied().collect();
        keys.into_iter().map(|v| (v, self.find(v))).collect()
    }
}

/// The kernel of a node that may compute on integers. No reason is given for nodes that have nothing to do with floats.
fn candidate(g: &Graph, n: NodeId, cx: &Ctx, q: &Quantization, ranged: bool) -> Result<Kernel, &'static str> {
    let node = g.node(n);
    if !node.outputs().iter().any(|v| is_f32(g, *v)) || matches!(node.op().name(), "dequantize_linear") {
        return Err("");
    }
    let kernel = kernel(g, n, cx, q)?;
    let label = g.node_label(n);
    if q.float_nodes.contains(&label) {
        return Err("the node is asked to stay in floats");
    }
    let name = node.op().name();
    if q.float_ops
        .iter()
        .any(|op| op.eq_ignore_ascii_case(name) || op.eq_ignore_ascii_case(&name.replace('_', "")))
    {
        return Err("the operator is asked to stay in floats");
    }
    let data = kernel.data.iter().filter_map(|i| node.input(*i));
    let table = name == "gather" && node.input(1).is_some_and(|i| g.constant(i).is_none());
    if data.clone().all(|v| g.constant(v).is_some()) && !table {
        return Err("all operands are constant");
    }
    if data.clone().any(|v| is_dequantized(g, v)) {
        return Err("the operand is quantized already");
    }
    if ranged && kernel.scales != Scales::Bound {
        ranges(g, n, &kernel, cx, q)?;
    }
    Ok(kernel)
}

/// Whether all ranges are known, and none is so wide that numbers of others vanish in its steps.
fn ranges(g: &Graph, n: NodeId, kernel: &Kernel, cx: &Ctx, q: &Quantization) -> Result<(), &'static str> {
    let node = g.node(n);
    // What is chosen among operands lies within their ranges.
    let needed = |v: &ValueId| match kernel.scales {
        Scales::Fixed(_) | Scales::Same => false,
        // Where nothing reads integers, it stays in floats.
        _ if kernel.float_result => false,
        _ => !part_of_kernel(g, *v, cx, q),
    };
    let data: Vec<ValueId> = kernel.data.iter().filter_map(|i| node.input(*i)).collect();
    let results: Vec<ValueId> = node.outputs().iter().copied().filter(needed).collect();
    let mut widths = vec![];
    for v in data.iter().chain(&results) {
        let range = range(g, *v, q).ok_or("no range is known")?;
        if !range.low.is_finite() || !range.high.is_finite() {
            return Err("a range is infinite");
        }
        widths.push(range.magnitude());
    }
    let (first, last) = q.activations.bounds();
    let step = widths.iter().copied().fold(0.0, f32::max) / (last - first) as f32;
    if matches!(node.op().name(), "softmax" | "log_softmax")
        && widths.first().is_some_and(|w| 2.0 * w / (last - first) as f32 > EXPONENT_STEP)
    {
        return Err("a mask or outliers leave too few steps for exponents");
    }
    let vanishes = |w: &f32| *w > 0.0 && *w < step;
    let shared = kernel.scales == Scales::Same || matches!(node.op().name(), "add" | "sub");
    if shared && widths.iter().any(vanishes) {
        return Err("an operand is less than a step of what is to share its scale");
    }
    Ok(())
}

/// The range of `v`, where it is known; infinite borders do not count.
fn range(g: &Graph, v: ValueId, q: &Quantization) -> Option<Interval> {
    if let Some(t) = g.constant(v) {
        return crate::quantize::weights::intervals(t, None).ok()?.first().copied();
    }
    let own = q.ranges.get(&v).copied()?;
    let finite = own.low.is_finite() && own.high.is_finite();
    let padded = g.producer(v).filter(|p| !finite && g.node(*p).op().name() == "pad");
    padded.and_then(|p| q.ranges.get(&g.node(p).input(0)?).copied()).or(Some(own))
}

/// Whether the only user of `v` is a part of the kernel that computes `v`: its result has the range then.
fn part_of_kernel(g: &Graph, v: ValueId, cx: &Ctx, q: &Quantization) -> bool {
    g.single_user(v).is_some_and(|n| kernel(g, n, cx, q).is_ok_and(|k| k.scales == Scales::Bound))
}

/// Whether `v` was dequantized, perhaps moved since.
fn is_dequantized(g: &Graph, v: ValueId) -> bool {
    g.producer(v).is_some_and(|n| g.node(n).op().name() == "dequantize_linear")
}

/// The nodes of `free` that compute on integers.
fn choose(g: &Graph, free: &BTreeMap<NodeId, Kernel>, full: bool) -> BTreeMap<NodeId, Kernel> {
    let mut cut = Cut::default();
    let vertices: BTreeMap<NodeId, usize> = free.keys().map(|n| (*n, cut.vertex())).collect();
    let at = |n: NodeId| vertices.get(&n).copied().unwrap_or(SOURCE);
    for n in g.order() {
        if let Some(kernel) = free.get(&n) {
            if full {
                cut.edge(at(n), SINK, ALWAYS);
            } else {
                cut.edge(at(n), SINK, gain(g, n, kernel));
                cut.edge(SOURCE, at(n), loss(g, n, kernel));
            }
            if kernel.scales == Scales::Bound {
                bind(g, n, kernel, free, &mut cut, &at);
            }
        }
        for v in g.node(n).outputs().iter().filter(|v| is_f32(g, **v)) {
            border(g, *v, free, &mut cut, &at);
        }
    }
    for v in g.inputs().iter().filter(|v| is_f32(g, **v)) {
        border(g, *v, free, &mut cut, &at);
    }
    let labels = cut.solve();
    free.iter().filter(|(n, _)| !labels[at(**n)]).map(|(n, k)| (*n, k.clone())).collect()
}

/// Bound `n` can only be part of what computes its operand.
fn bind(
    g: &Graph,
    n: NodeId,
    kernel: &Kernel,
    free: &BTreeMap<NodeId, Kernel>,
    cut: &mut Cut,
    at: &dyn Fn(NodeId) -> usize,
) {
    let operand = kernel.data.first().and_then(|slot| g.node(n).input(*slot));
    let saturates = |p: &NodeId| free.get(p).is_some_and(|k| matches!(k.scales, Scales::Any | Scales::Bound));
    let before =
        operand.filter(|v| g.single_user(*v).is_some()).and_then(|v| g.producer(v)).filter(saturates);
    cut.edge(before.map_or(SOURCE, at), at(n), ALWAYS);
}

/// What node `n` loses in floats.
fn gain(g: &Graph, n: NodeId, kernel: &Kernel) -> u64 {
    let node = g.node(n);
    let types = |all: &mut dyn Iterator<Item = Option<ValueId>>| -> Vec<Option<Type>> {
        all.map(|v| v.map(|v| assumed(g.ty(v)))).collect()
    };
    let inputs = types(&mut node.inputs().iter().copied());
    let outputs = types(&mut node.outputs().iter().copied().map(Some));
    let outputs: Vec<Type> = outputs.into_iter().flatten().collect();
    let inputs: Vec<Option<&Type>> = inputs.iter().map(Option::as_ref).collect();
    let outputs: Vec<&Type> = outputs.iter().collect();
    let macs = node.op().def().macs(&inputs, &outputs).unwrap_or(0);
    let result = node.outputs().first().map_or(0, |v| elements(g, *v));
    // Small products take as long as reading their weights does.
    let weights =
        kernel.weights.and_then(|w| g.constant(node.input(w.slot)?)).map(|w| w.len() as u64 / 4 + OVERHEAD);
    let products = macs / kernel.macs.max(1) + weights.unwrap_or(0);
    products + if kernel.scales == Scales::Bound { 1 } else { result / 8 + 1 }
}

/// What node `n` loses on integers.
fn loss(g: &Graph, n: NodeId, kernel: &Kernel) -> u64 {
    let node = g.node(n);
    let values = kernel.data.iter().filter_map(|i| node.input(*i)).chain(node.outputs().iter().copied());
    values.map(|v| elements(g, v)).max().unwrap_or(0).saturating_mul(kernel.loss)
}

/// `ty` with a number in place of each size that is not known.
fn assumed(ty: &Type) -> Type {
    let Type::Tensor(t) = ty else { return ty.clone() };
    let mut t = t.clone();
    for d in t.shape.iter_mut().flatten() {
        *d = hoist_ir::dim::Dim::Known(d.known().unwrap_or(ASSUMED));
    }
    t.into()
}

/// Elements of `v`, as far as they are known.
fn elements(g: &Graph, v: ValueId) -> u64 {
    let shape = g.ty(v).as_tensor().and_then(|t| t.shape.as_deref());
    let size = |all: &[hoist_ir::dim::Dim]| {
        all.iter().map(|d| d.known().unwrap_or(ASSUMED)).fold(1u64, u64::saturating_mul)
    };
    shape.map_or(ASSUMED * ASSUMED * ASSUMED, size).min(1 << 40)
}

/// Conversions of `v`: one where it is computed on integers and a user wants floats, and one the other way round.
fn border(
    g: &Graph,
    v: ValueId,
    free: &BTreeMap<NodeId, Kernel>,
    cut: &mut Cut,
    at: &dyn Fn(NodeId) -> usize,
) {
    let (def, free_of_charge) = match g.value(v).def() {
        Def::Node { node, .. } if free.contains_key(&node) => (at(node), free[&node].float_result),
        Def::Const | Def::Erased => return,
        _ => (SOURCE, false),
    };
    let cost = elements(g, v).saturating_add(OVERHEAD);
    let out = if free_of_charge { 1 } else { cost };
    let mut users: Vec<usize> = vec![];
    for u in g.value(v).uses() {
        users.push(match u {
            Use::Node { node, slot }
                if free.get(node).is_some_and(|k| k.data.contains(&(*slot as usize))) =>
            {
                at(*node)
            }
            _ => SOURCE,
        });
    }
    cut.shared(def, users, (out, cost));
}

/// The range that the values of a group share: the smallest interval with all that is known of them.
pub fn shared(g: &Graph, placement: &Placement, q: &Quantization) -> BTreeMap<ValueId, Interval> {
    let mut all: BTreeMap<ValueId, Interval> = BTreeMap::new();
    for (v, group) in &placement.groups {
        let finite = |i: &Interval| i.low.is_finite() && i.high.is_finite();
        let Some(own) = range(g, *v, q).filter(finite) else { continue };
        let joined = all.get(group).map_or(own, |i| i.union(own));
        all.insert(*group, joined);
    }
    all
}
