//! The graph with 16-bit floats in the chosen nodes.
use super::slots::Slots;
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, NodeId, Origin, Use, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::tensor::{Tensor, TensorError};
use hoist_ir::types::{TensorType, Type};
use std::collections::{HashMap, HashSet};

/// Constants up to so many elements are converted at once.
const EAGER: usize = 1 << 12;

/// A graph being made from another one.
pub struct Rewrite<'a> {
    old: &'a Graph,
    new: Graph,
    to: DType,
    /// For each value of the old graph, itself and its form in the other type.
    same: HashMap<ValueId, ValueId>,
    wide: HashMap<ValueId, ValueId>,
    narrow: HashMap<ValueId, ValueId>,
    /// Nodes of the new graph that compute in 16 bits.
    changed: u32,
}

/// `g` with the nodes `chosen` in `to`, and how many there are.
///
/// # Errors
/// When the graph is broken.
pub fn rewrite(
    g: &Graph,
    chosen: &[NodeId],
    slots: &HashMap<NodeId, Slots>,
    to: DType,
) -> Result<(Graph, u32), Diag> {
    let mut r = Rewrite {
        old: g,
        new: Graph::new(&g.name),
        to,
        same: HashMap::new(),
        wide: HashMap::new(),
        narrow: HashMap::new(),
        changed: 0,
    };
    r.new.notes.clone_from(&g.notes);
    for v in g.inputs() {
        let name = g.value(*v).name.clone().unwrap_or_default();
        let new = r.new.add_input(&name, g.ty(*v).clone());
        r.describe(*v, new);
        r.same.insert(*v, new);
    }
    let chosen: HashSet<NodeId> = chosen.iter().copied().collect();
    for n in g.order() {
        match slots.get(&n).filter(|_| chosen.contains(&n)) {
            Some(slots) => r.convert(n, slots)?,
            None => r.copy(n)?,
        }
    }
    r.outputs()?;
    Ok((r.new, r.changed))
}

impl Rewrite<'_> {
    fn dtype(&self, v: ValueId) -> Option<DType> {
        self.old.ty(v).as_tensor().map(|t| t.dtype)
    }
    /// The value in the type it has in the old graph.
    fn kept(&mut self, v: ValueId) -> Result<ValueId, Diag> {
        if let Some(new) = self.same.get(&v) {
            return Ok(*new);
        }
        if let Some(t) = self.old.constant(v) {
            let new = self.new.add_const(t.clone());
            if !self.narrow.contains_key(&v) {
                self.describe(v, new);
            }
            self.same.insert(v, new);
            return Ok(new);
        }
        if let Some(new) = self.wide.get(&v) {
            return Ok(*new);
        }
        let narrow = self.narrow.get(&v).copied();
        let narrow = narrow.ok_or_else(|| Diag::error("E0401", "a value is used before it is defined"))?;
        let new = self.cast(narrow, DType::F32, v)?;
        self.wide.insert(v, new);
        Ok(new)
    }
    /// The value in 16 bits.
    fn narrowed(&mut self, v: ValueId) -> Result<ValueId, Diag> {
        if let Some(new) = self.narrow.get(&v) {
            return Ok(*new);
        }
        let new = if let Some(t) = self.old.constant(v) {
            let bad = |e: TensorError| Diag::error("E0306", e.to_string());
            let new = self.new.add_const(narrow_tensor(t, self.to).map_err(bad)?);
            // Names are unique: where both forms are needed, the first one has it.
            if !self.same.contains_key(&v) {
                self.describe(v, new);
            }
            new
        } else {
            let kept = self.kept(v)?;
            self.cast(kept, self.to, v)?
        };
        self.narrow.insert(v, new);
        Ok(new)
    }
    /// Adds a cast, or takes the operand of the cast that it would undo.
    fn cast(&mut self, v: ValueId, to: DType, old: ValueId) -> Result<ValueId, Diag> {
        let origin = self.old.producer(old).map(|n| self.old.node(n).origin.clone());
        let mut b = Builder::at_end(&mut self.new, origin.unwrap_or_default());
        b.cast(Cast { to, ..Cast::default() }, v)
    }
    fn describe(&mut self, old: ValueId, new: ValueId) {
        let value = self.old.value(old);
        self.new.set_name(new, value.name.clone());
        if let Some(notes) = &value.notes {
            self.new.set_notes(new, (**notes).clone());
        }
    }
    fn append(&mut self, n: NodeId, op: Op, inputs: Vec<Option<ValueId>>) -> Result<Vec<ValueId>, Diag> {
        let node = self.old.node(n);
        let new = self.new.append(NewNode { op, ..NewNode::like(node, inputs) })?;
        self.new.describe_node(new, node.name.clone(), node.notes.clone());
        Ok(self.new.node(new).outputs().to_vec())
    }
    fn copy(&mut self, n: NodeId) -> Result<(), Diag> {
        let node = self.old.node(n);
        let inputs = node.inputs().iter().map(|v| v.map(|v| self.kept(v)).transpose());
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let results = self.append(n, node.op().clone(), inputs)?;
        self.defined(n, &results);
        Ok(())
    }
    /// Adds node `n` with `slots` in 16 bits, or as it was where its operator does not take them.
    fn convert(&mut self, n: NodeId, slots: &Slots) -> Result<(), Diag> {
        let node = self.old.node(n);
        if self.passes(n)? {
            return Ok(());
        }
        let mut inputs = vec![];
        for (i, v) in node.inputs().iter().enumerate() {
            inputs.push(match v {
                Some(v) if slots.operands.contains(&i) => Some(self.narrowed(*v)?),
                Some(v) => Some(self.kept(*v)?),
                None => None,
            });
        }
        let op = retyped(node.op(), self.to);
        if op == *node.op() && slots.operands.is_empty() {
            return self.copy(n);
        }
        match self.append(n, op, inputs) {
            Ok(results) => {
                self.changed += 1;
                self.defined(n, &results);
                Ok(())
            }
            Err(_) => self.copy(n),
        }
    }
    /// A cast between both types is nothing where both sides are in 16 bits.
    fn passes(&mut self, n: NodeId) -> Result<bool, Diag> {
        let node = self.old.node(n);
        let ("cast", Some(x), [y]) = (node.op().name(), node.input(0), node.outputs()) else {
            return Ok(false);
        };
        let (from, to) = (self.dtype(x), self.dtype(*y));
        if from == Some(self.to) && to == Some(DType::F32) {
            let kept = self.kept(x)?;
            self.narrow.insert(*y, kept);
        } else if from == Some(DType::F32) && to == Some(self.to) {
            let narrow = self.narrowed(x)?;
            self.same.insert(*y, narrow);
        } else {
            return Ok(false);
        }
        self.changed += 1;
        Ok(true)
    }
    /// Records the results of old node `n`, with names and what is declared of their sizes.
    fn defined(&mut self, n: NodeId, results: &[ValueId]) {
        for (old, new) in self.old.node(n).outputs().iter().zip(results) {
            self.describe(*old, *new);
            let (was, is) = (self.dtype(*old), self.new.ty(*new).as_tensor().map(|t| t.dtype));
            match (self.old.ty(*old), is) {
                (Type::Tensor(t), Some(dtype)) => {
                    // What inference does not see of the sizes still holds.
                    let declared = TensorType { dtype, ..t.clone() };
                    let _ = self.new.declare_type(*new, &declared.into());
                }
                (ty, _) => drop(self.new.declare_type(*new, ty)),
            }
            let map = if was == is { &mut self.same } else { &mut self.narrow };
            map.insert(*old, *new);
        }
    }
    fn outputs(&mut self) -> Result<(), Diag> {
        for (i, o) in self.old.outputs().iter().enumerate() {
            let v = self.kept(o.value)?;
            self.new.add_output(&o.name, v);
            if let Some(notes) = &o.notes {
                self.new.set_output_notes(i, (**notes).clone());
            }
            // The name of an output is that of what it shows.
            if let (Some(narrow), Some(name)) = (self.narrow.get(&o.value), &self.old.value(o.value).name) {
                self.new.set_name(*narrow, None);
                self.new.set_name(v, Some(name.clone()));
            }
        }
        Ok(())
    }
}

/// An operator that names an element type, with `to` in place of `f32`.
fn retyped(op: &Op, to: DType) -> Op {
    let mut new = op.clone();
    for spec in op.schema().attrs {
        let value = match op.def().attr(spec.name) {
            Some(Attr::DType(DType::F32)) if spec.name != "softmax_precision" => Attr::DType(to),
            Some(Attr::Tensor(t)) if t.dtype() == DType::F32 => match narrow_tensor(&t, to) {
                Ok(t) => Attr::Tensor(t),
                Err(_) => continue,
            },
            _ => continue,
        };
        if new.def_mut().set_attr(spec.name, &value).is_err() {
            return op.clone();
        }
    }
    new
}

/// `t` in 16 bits. Bounds beyond the largest number become that number.
fn narrow_tensor(t: &Tensor, to: DType) -> Result<Tensor, TensorError> {
    if t.len() > EAGER {
        return t.lazy_cast(to, false);
    }
    let beyond = |v: &f32| to == DType::F16 && v.is_finite() && v.abs() > 65504.0;
    let values = t.to_f32s()?;
    if values.iter().any(beyond) {
        let clamped = values.iter().map(|v| if beyond(v) { v.signum() * 65504.0 } else { *v });
        return Tensor::from_vec(t.shape(), clamped.collect::<Vec<f32>>()).cast(to, false);
    }
    t.cast(to, false)
}

/// Gives inputs and outputs of `g` that are `f32` the type `to`, with casts behind and before them that `convert-floats` may take away.
/// Returns which inputs changed, by position.
///
/// # Errors
/// When the graph is broken.
pub fn narrow_interface(g: &mut Graph, to: DType) -> Result<Vec<usize>, Diag> {
    let cast = |to| Cast { to, ..Cast::default() };
    let mut inputs = vec![];
    for i in 0..g.outputs().len() {
        let v = g.outputs()[i].value;
        if super::slots::is_f32(g, v) {
            let narrow = Builder::at_end(g, Origin::default()).cast(cast(to), v)?;
            g.redirect_output(i, narrow)?;
        }
    }
    for (i, v) in g.inputs().to_vec().into_iter().enumerate() {
        let Type::Tensor(t) = g.ty(v).clone() else { continue };
        if t.dtype != DType::F32 {
            continue;
        }
        let uses = g.value(v).uses().to_vec();
        g.set_input_type(v, TensorType { dtype: to, ..t.clone() }.into())?;
        let first = g.order().next();
        let wide = match first {
            Some(n) => Builder::before(g, n, Origin::default()).cast(cast(DType::F32), v)?,
            None => Builder::at_end(g, Origin::default()).cast(cast(DType::F32), v)?,
        };
        for u in uses {
            match u {
                Use::Node { node, slot } => g.set_operand(node, slot as usize, Some(wide))?,
                Use::Output(i) => g.redirect_output(i as usize, wide)?,
            }
        }
        inputs.push(i);
    }
    Ok(inputs)
}
