//! Bodies of control flow: graphs that see storages and numbers of the graph around them.
//!
//! What a body sees is given as values of the program ([`Val`]). Its storages and computed numbers become captured inputs; a storage
//! that the body writes becomes a further result of the node, and in a loop a carried value. So an in-place write means the same
//! inside a body as outside.
use super::alias::{Step, TensorId};
use super::cx::{Cx, R, Size, V, Val, malformed};
use super::pairs::Parts;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::Graph;
use hoist_ir::ops::Op;
use hoist_ir::types::Type;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What bodies see of the graph around: tensors with their storages, and computed numbers, each once and in order.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    tensors: BTreeSet<TensorId>,
    bases: Vec<usize>,
    numbers: Vec<V>,
    /// Storages that are inputs even where their value is constant.
    held: BTreeSet<usize>,
}

impl Seen {
    /// Has these storages as inputs of the body even where their value is constant, so that a loop can carry them.
    pub fn hold(&mut self, bases: &[usize]) {
        self.held.extend(bases);
    }
}

/// The graph around a body under construction.
pub struct Around {
    graph: Graph,
    seen: Seen,
    /// Storages as they were before: value and version.
    bases: Vec<(V, u32)>,
    /// Their versions when the body began.
    entered: Vec<u32>,
    /// View steps of tensors as they were before.
    steps: Vec<(TensorId, Vec<Step>)>,
    /// Numbers around, by what stands for them in the body.
    inside: BTreeMap<V, V>,
    /// Values around that the captured inputs stand for.
    captured: Vec<V>,
    /// Index of the storage that each captured input shows, if one.
    captured_base: Vec<Option<usize>>,
    own: usize,
    /// Complex values and shared constants of the graph around.
    notes: Notes,
}

/// What is noted of the values of one graph: complex ones, shared constants.
type Notes = (HashMap<V, Parts>, HashMap<String, V>);

/// A finished body whose outputs are not yet defined.
#[derive(Debug)]
pub struct Body {
    graph: Graph,
    /// What it gives.
    pub results: Vec<V>,
    captured: Vec<V>,
    captured_base: Vec<Option<usize>>,
    own: usize,
    /// Last value of each storage seen.
    last: BTreeMap<usize, V>,
    /// Its complex values.
    complex: HashMap<V, Parts>,
    written: BTreeSet<usize>,
}

impl Body {
    /// The graph, before its outputs are defined.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }
    /// Storages that the body writes and has as constants: for a loop it must be built again with these held ([`Seen::hold`]).
    pub fn constants_written(&self) -> Vec<usize> {
        self.written.iter().filter(|b| !self.captured_base.contains(&Some(**b))).copied().collect()
    }
}

impl Cx {
    /// What a body sees that reads `vals` and what they hold.
    pub fn seen(&self, vals: &[Val]) -> Seen {
        let mut seen = Seen::default();
        for v in vals {
            self.see(v, &mut seen);
        }
        seen
    }
    fn see(&self, val: &Val, seen: &mut Seen) {
        let number = |v: V, seen: &mut Seen| {
            if !seen.numbers.contains(&v) {
                seen.numbers.push(v);
            }
        };
        match val {
            Val::Tensor(id) => {
                if !seen.tensors.insert(*id) {
                    return;
                }
                let base = self.base_of(*id);
                if !seen.bases.contains(&base) {
                    seen.bases.push(base);
                }
                for size in self.steps_of(*id).iter().flat_map(Step::sizes) {
                    if let Size::Value(v) = size {
                        number(*v, seen);
                    }
                }
            }
            Val::Int(Size::Value(v)) | Val::FloatValue(v) | Val::BoolValue(v) => number(*v, seen),
            Val::List(items) => items.iter().for_each(|v| self.see(v, seen)),
            _ => {}
        }
    }
    /// Begins a body whose first inputs have these names and types, and which sees `seen`. What is emitted from now on belongs to it,
    /// until [`Cx::end_body`]. Gives the values of its own inputs.
    pub fn begin_body(&mut self, name: &str, own: &[(String, Type)], seen: &Seen) -> (Around, Vec<V>) {
        let graph = std::mem::replace(&mut self.graph, Graph::new(name));
        let inputs = own.iter().map(|(n, ty)| self.graph.add_input(n, ty.clone())).collect();
        let mut around = Around {
            graph,
            seen: seen.clone(),
            bases: vec![],
            entered: vec![],
            steps: vec![],
            inside: BTreeMap::new(),
            captured: vec![],
            captured_base: vec![],
            own: own.len(),
            notes: (std::mem::take(&mut self.pairs), std::mem::take(&mut self.tables)),
        };
        for base in &seen.bases {
            let value = self.bases[*base].value;
            let version = self.bases[*base].version;
            around.bases.push((value, version));
            let inner = self.capture(&mut around, value, Some(*base));
            let now = self.tick();
            self.bases[*base].value = inner;
            self.bases[*base].version = now;
            around.entered.push(now);
        }
        for v in &seen.numbers {
            let inner = self.capture(&mut around, *v, None);
            around.inside.insert(*v, inner);
        }
        for id in &seen.tensors {
            let steps = self.steps_of(*id).to_vec();
            let moved = steps.iter().map(|s| s.clone().map(&|z| inside(&around.inside, z))).collect();
            around.steps.push((*id, self.set_steps(*id, moved)));
        }
        (around, inputs)
    }
    /// The input that shows `v` of the graph around. Constants are had in the body itself.
    fn capture(&mut self, around: &mut Around, v: V, base: Option<usize>) -> V {
        let held = base.is_some_and(|b| around.seen.held.contains(&b));
        if let Some(t) = around.graph.constant(v).filter(|_| !held) {
            let (t, name) = (t.clone(), around.graph.value(v).name.clone());
            let c = self.graph.add_const(t);
            self.graph.set_name(c, name);
            return self.marked_as(around.notes.0.contains_key(&v), c);
        }
        around.captured.push(v);
        around.captured_base.push(base);
        let name = format!("captured_{}", around.captured.len() - 1);
        let inner = self.graph.add_input(&name, around.graph.ty(v).clone());
        self.marked_as(around.notes.0.contains_key(&v), inner)
    }
    /// Marks `v` as complex, if it is.
    pub fn marked_as(&mut self, complex: bool, v: V) -> V {
        if complex { self.mark(v, Parts::Joined) } else { v }
    }
    /// Ends the body that gives `results`; the graph around is built on.
    pub fn end_body(&mut self, around: Around, results: Vec<V>) -> Body {
        let graph = std::mem::replace(&mut self.graph, around.graph);
        let complex = std::mem::replace(&mut self.pairs, around.notes.0);
        self.tables = around.notes.1;
        let (mut last, mut written) = (BTreeMap::new(), BTreeSet::new());
        for (k, base) in around.seen.bases.iter().enumerate() {
            last.insert(*base, self.bases[*base].value);
            if self.bases[*base].version != around.entered[k] {
                written.insert(*base);
            }
            let (value, version) = around.bases[k];
            self.bases[*base].value = value;
            self.bases[*base].version = version;
        }
        for (id, steps) in around.steps {
            self.set_steps(id, steps);
        }
        let (captured, captured_base, own) = (around.captured, around.captured_base, around.own);
        Body { graph, results, captured, captured_base, own, last, complex, written }
    }
    /// Results of the first body when `cond` (a 0-d boolean) holds, else of the second. Both must see the same.
    ///
    /// # Errors
    /// When the bodies do not fit each other.
    pub fn if_node(&mut self, cond: V, then: Body, or_else: Body) -> R<Vec<V>> {
        if then.results.len() != or_else.results.len() {
            return Err(malformed("the branches give different numbers of results"));
        }
        let written: Vec<usize> = then.written.union(&or_else.written).copied().collect();
        let (captured, count) = (then.captured.clone(), then.results.len());
        let complex = |b: &Body| b.results.iter().map(|v| b.complex.contains_key(v)).collect::<Vec<_>>();
        let marks = complex(&then);
        if marks != complex(&or_else) {
            return Err(malformed("a result is complex in one branch only"));
        }
        let bodies = [then, or_else].map(|mut b| {
            for (i, v) in b.results.iter().enumerate() {
                b.graph.add_output(&format!("result_{i}"), *v);
            }
            for base in &written {
                b.graph.add_output(&format!("written_{base}"), b.last[base]);
            }
            b.graph
        });
        let inputs: Vec<Option<V>> = [cond].iter().chain(&captured).map(|v| Some(*v)).collect();
        let outputs = count + written.len();
        let mut outs = self.control("if", inputs, captured.len(), outputs, bodies.into())?;
        self.take_written(&written, outs.split_off(count));
        Ok(outs.into_iter().zip(marks).map(|(v, c)| self.marked_as(c, v)).collect())
    }
    /// Runs `body` at most `trips` times (a 0-d `i64`) and while the condition holds. The body's own inputs are the number of the
    /// iteration, the condition, and one per carried value; its results are the next condition, the next carried values, then scan
    /// values. Gives the last carried values and the stacked scan values.
    ///
    /// # Errors
    /// When the body does not fit.
    pub fn loop_node(
        &mut self,
        trips: Option<V>,
        cond: Option<V>,
        carried: &[V],
        mut body: Body,
    ) -> R<Vec<V>> {
        if body.own != carried.len() + 2 || body.results.len() < carried.len() + 1 {
            return Err(malformed("a loop whose body does not fit its values"));
        }
        // Storages that are written are carried: their inputs move in front of those only seen.
        let is_written = |k: &usize| body.captured_base[*k].is_some_and(|b| body.written.contains(&b));
        let (moved, seen): (Vec<usize>, Vec<usize>) = (0..body.captured.len()).partition(is_written);
        let written: Vec<usize> = moved.iter().filter_map(|k| body.captured_base[*k]).collect();
        if !body.constants_written().is_empty() {
            return Err(malformed("a loop writes to a constant"));
        }
        let order = (0..body.own).chain(moved.iter().chain(&seen).map(|k| body.own + k));
        body.graph.permute_inputs(&order.collect::<Vec<_>>())?;
        let marks: Vec<bool> = body.results[1..].iter().map(|v| body.complex.contains_key(v)).collect();
        if carried.iter().zip(&marks).any(|(v, c)| self.is_complex(*v) != *c) {
            return Err(malformed("a carried value is complex in some iterations only"));
        }
        let (first, scans) = body.results.split_at(carried.len() + 1);
        for (i, v) in first.iter().enumerate() {
            body.graph.add_output(&if i == 0 { "continue".into() } else { format!("carried_{}", i - 1) }, *v);
        }
        for base in &written {
            body.graph.add_output(&format!("written_{base}"), body.last[base]);
        }
        for (i, v) in scans.iter().enumerate() {
            body.graph.add_output(&format!("scan_{i}"), *v);
        }
        let at = |k: &usize| Some(body.captured[*k]);
        let mut inputs = vec![trips, cond];
        inputs.extend(carried.iter().map(|v| Some(*v)));
        inputs.extend(moved.iter().map(at));
        inputs.extend(seen.iter().map(at));
        let outputs = carried.len() + written.len() + scans.len();
        let mut outs = self.control("loop", inputs, seen.len(), outputs, vec![body.graph])?;
        let stacked = outs.split_off(carried.len() + written.len());
        self.take_written(&written, outs.split_off(carried.len()));
        outs.extend(stacked);
        Ok(outs.into_iter().zip(marks).map(|(v, c)| self.marked_as(c, v)).collect())
    }
    /// Adds a node with bodies; what no body uses is not captured.
    fn control(
        &mut self,
        name: &str,
        inputs: Vec<Option<V>>,
        captures: usize,
        outputs: usize,
        bodies: Vec<Graph>,
    ) -> R<Vec<V>> {
        let op = Op::by_name(name).ok_or_else(|| malformed(format!("the IR has no operator `{name}`")))?;
        let own = bodies.first().map_or(0, |b| b.inputs().len() - captures);
        let unused = |k: &usize| {
            bodies.iter().all(|b| {
                let v = b.inputs()[own + k];
                b.value(v).uses().is_empty() && !b.is_output(v)
            })
        };
        let unused: Vec<usize> = (0..captures).filter(unused).collect();
        let origin = self.origin.clone();
        let n = self.graph.append(NewNode { op, inputs, outputs, bodies, captures, origin, name: None })?;
        for k in unused.into_iter().rev() {
            self.graph.drop_capture(n, k)?;
        }
        Ok(self.graph.node(n).outputs().to_vec())
    }
    fn take_written(&mut self, written: &[usize], values: Vec<V>) {
        for (base, v) in written.iter().zip(values) {
            let complex = self.is_complex(self.bases[*base].value);
            let v = self.marked_as(complex, v);
            self.bases[*base].value = v;
            self.bases[*base].version = self.tick();
        }
    }
}

impl Around {
    /// What stands in the body for `val` of the graph around.
    pub fn inside(&self, val: &Val) -> Val {
        let at = |v: &V| self.inside.get(v).copied().unwrap_or(*v);
        match val {
            Val::Int(Size::Value(v)) => Val::Int(Size::Value(at(v))),
            Val::FloatValue(v) => Val::FloatValue(at(v)),
            Val::BoolValue(v) => Val::BoolValue(at(v)),
            Val::List(items) => Val::List(items.iter().map(|v| self.inside(v)).collect()),
            other => other.clone(),
        }
    }
}

fn inside(map: &BTreeMap<V, V>, size: Size) -> Size {
    match size {
        Size::Value(v) => Size::Value(map.get(&v).copied().unwrap_or(v)),
        known @ Size::Known(_) => known,
    }
}

/// A body that is set aside unfinished, while another is built.
pub struct Suspended {
    around: Around,
    graph: Graph,
    bases: Vec<(V, u32)>,
    steps: Vec<(TensorId, Vec<Step>)>,
}

impl Cx {
    /// Sets the body under construction aside; the graph around is built on.
    pub fn suspend_body(&mut self, mut around: Around) -> Suspended {
        let outer = std::mem::replace(&mut around.graph, Graph::new(""));
        let graph = std::mem::replace(&mut self.graph, outer);
        let mut bases = vec![];
        for (base, (value, version)) in around.seen.bases.iter().zip(&around.bases) {
            let b = &mut self.bases[*base];
            bases.push((b.value, b.version));
            (b.value, b.version) = (*value, *version);
        }
        let mut steps = vec![];
        for (id, before) in &around.steps {
            steps.push((*id, self.set_steps(*id, before.clone())));
        }
        Suspended { around, graph, bases, steps }
    }
    /// Takes up a body that was set aside.
    pub fn resume_body(&mut self, suspended: Suspended) -> Around {
        let Suspended { mut around, graph, bases, steps } = suspended;
        around.graph = std::mem::replace(&mut self.graph, graph);
        for (base, (value, version)) in around.seen.bases.iter().zip(bases) {
            let b = &mut self.bases[*base];
            (b.value, b.version) = (value, version);
        }
        for (id, inside) in steps {
            self.set_steps(id, inside);
        }
        around
    }
}
