//! Makes the graph that the labels describe.
use super::cost::{Labels, ones};
use super::frames::Frames;
use super::order::Order;
use crate::layout::rules::{Change, Edit, Mode, Site, is_order_free, plain};
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::edit::NewNode;
use hoist_ir::entity::SideTable;
use hoist_ir::graph::{Graph, NodeId, Origin, Value, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::shape::shape::Shape;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{TensorType, Type};
use std::collections::HashMap;

/// Where a value is stored.
type Stored = (ValueId, Order);

struct Rewriter<'g> {
    g: &'g mut Graph,
    /// Values that are stored in another order than their own.
    stored: SideTable<Value, Option<Stored>>,
    /// Copies in other orders, made before the first node that needed them.
    copies: HashMap<(ValueId, Order), ValueId>,
    /// Nodes that others stand for.
    replaced: Vec<NodeId>,
    edits: u32,
}

/// Rewrites `g` as `labels` say. Returns the number of edits.
///
/// # Errors
/// When a rule made a node that does not fit: the graph is to be given up.
pub fn rewrite(g: &mut Graph, frames: &Frames, labels: &Labels<'_>) -> Result<u32, Diag> {
    let mut r =
        Rewriter { g, stored: SideTable::new(None), copies: HashMap::new(), replaced: vec![], edits: 0 };
    for n in r.g.order_list() {
        match frames.of_node(n) {
            Some(plan) => r.node(n, &plan.modes[labels.of(n)])?,
            None => r.keep(n, &Site { g: r.g, n }.kept())?,
        }
    }
    for i in 0..r.g.outputs().len() {
        let v = r.g.outputs()[i].value;
        if r.stored.get(v).is_some() {
            let copy = r.get(v, Some(plain(r.g, v)), None)?;
            r.g.set_output(i, copy)?;
        }
    }
    for n in std::mem::take(&mut r.replaced).into_iter().rev() {
        r.g.erase_dead(n);
    }
    Ok(r.edits)
}

/// The type of a value stored in `order`.
fn stored_type(ty: &Type, order: &Order) -> Type {
    match ty {
        Type::Tensor(TensorType { dtype, shape: Some(shape) }) if shape.len() == order.rank() => {
            let dims: Vec<Dim> = order.axes().map(|a| shape[a].clone()).collect();
            TensorType::new(*dtype, dims).into()
        }
        _ => ty.clone(),
    }
}

impl Rewriter<'_> {
    fn node(&mut self, n: NodeId, mode: &Mode) -> Result<(), Diag> {
        match &mode.change {
            Change::Keep => self.keep(n, mode),
            Change::Vanish => {
                let (Some(x), Some(order)) = (self.g.node(n).input(0), mode.outs.first()) else {
                    return Ok(());
                };
                let x = self.get(x, mode.ins.first().copied().flatten(), Some(n))?;
                self.replace(n, &[x], &[*order])
            }
            Change::Node { op, edits } => {
                let new = self.made(n, mode, op.as_ref(), edits)?;
                self.replace(n, &new, &mode.outs)
            }
        }
    }
    /// `n` stays and reads its operands as they are.
    fn keep(&mut self, n: NodeId, mode: &Mode) -> Result<(), Diag> {
        for slot in 0..mode.ins.len() {
            let Some(v) = self.g.node(n).input(slot) else { continue };
            if self.stored.get(v).is_none() {
                continue;
            }
            if mode.ins[slot].is_none() && is_order_free(self.g.node(n).op()) {
                return self.shape(n, v);
            }
            let x = self.get(v, mode.ins[slot], Some(n))?;
            self.g.set_operand(n, slot, Some(x))?;
            self.edits += 1;
        }
        Ok(())
    }
    /// The sizes of `v`, read where it is stored.
    fn shape(&mut self, n: NodeId, v: ValueId) -> Result<(), Diag> {
        let Some((x, order)) = *self.stored.get(v) else { return Ok(()) };
        let Op::Shape(op) = self.g.node(n).op().clone() else { return Ok(()) };
        let rank = order.rank() as i64;
        let at = |a: i64| if a < 0 { a.saturating_add(rank) } else { a }.clamp(0, rank);
        let (start, end) = (at(op.start), at(op.end.unwrap_or(rank)));
        let list: Vec<i64> = (start..end).map(|a| order.position(a as usize) as i64).collect();
        self.g.rewrite(n, &[], |b| {
            let (first, count) = (list.first().copied().unwrap_or(0), list.len() as i64);
            if list.iter().copied().eq(first..first + count) {
                let end = Some(first + count).filter(|e| *e < rank);
                return Ok(vec![b.shape(Shape { start: first, end }, x)?]);
            }
            let all = b.shape(Shape::default(), x)?;
            let list = b.ints(&list);
            Ok(vec![b.gather(Gather { axis: 0 }, all, list)?])
        })?;
        self.edits += 1;
        Ok(())
    }
    /// A node like `n` in another order.
    fn made(
        &mut self,
        n: NodeId,
        mode: &Mode,
        op: Option<&Op>,
        edits: &[(usize, Edit)],
    ) -> Result<Vec<ValueId>, Diag> {
        let node = self.g.node(n);
        let mut inputs = node.inputs().to_vec();
        let new = NewNode {
            outputs: node.outputs().len(),
            origin: node.origin.clone(),
            name: node.name.clone(),
            ..NewNode::new(op.unwrap_or(node.op()).clone(), &[])
        };
        let notes = node.notes.clone();
        for (slot, v) in inputs.iter_mut().enumerate() {
            if let Some(x) = *v {
                *v = Some(self.get(x, mode.ins.get(slot).copied().flatten(), Some(n))?);
            }
        }
        for (slot, edit) in edits {
            if inputs.len() <= *slot {
                inputs.resize(slot + 1, None);
            }
            inputs[*slot] = self.edited(n, inputs[*slot], edit)?;
        }
        let name = new.name.clone();
        let made = self.g.insert_before(NewNode { inputs, ..new }, n)?;
        self.g.describe_node(made, name, notes);
        Ok(self.g.node(made).outputs().to_vec())
    }
    fn edited(&mut self, n: NodeId, v: Option<ValueId>, edit: &Edit) -> Result<Option<ValueId>, Diag> {
        let new = match (edit, v) {
            (Edit::Const(t), _) => self.g.add_const(t.clone()),
            (_, None) => return Ok(None),
            (Edit::Unsqueeze(axes), Some(v)) => {
                if let Some(t) = self.g.constant(v).and_then(|t| widened(t, axes)) {
                    self.g.add_const(t)
                } else {
                    let axes = self.g.add_const(Tensor::from_ints(axes));
                    self.insert(n, Unsqueeze {}, &[v, axes])?
                }
            }
            (Edit::Pick(at), Some(v)) => {
                if let Some(t) = self.g.constant(v).and_then(|t| picked(t, at)) {
                    self.g.add_const(t)
                } else {
                    let at = self.g.add_const(Tensor::from_ints(at));
                    self.insert(n, Gather { axis: 0 }, &[v, at])?
                }
            }
        };
        Ok(Some(new))
    }
    fn insert(&mut self, before: NodeId, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, Diag> {
        let inputs: Vec<Option<ValueId>> = inputs.iter().map(|v| Some(*v)).collect();
        let origin = self.g.node(before).origin.clone();
        let n = self.g.insert_before(NewNode { origin, ..NewNode::new(op, &inputs) }, before)?;
        self.only_result(n)
    }
    fn only_result(&self, n: NodeId) -> Result<ValueId, Diag> {
        let first = self.g.node(n).outputs().first().copied();
        first.ok_or_else(|| Diag::error("E0901", "a node has no result"))
    }
    /// Lets `new`, stored in `orders`, stand for the results of `n`.
    fn replace(&mut self, n: NodeId, new: &[ValueId], orders: &[Order]) -> Result<(), Diag> {
        self.edits += 1;
        let old = self.g.node(n).outputs().to_vec();
        for ((old, new), order) in old.into_iter().zip(new).zip(orders) {
            let want = stored_type(self.g.ty(old), order);
            if self.g.ty(*new).meet(&want).is_none() {
                let m = format!(
                    "`{}` in order {order} is computed as {}, not as {want}",
                    self.g.value_label(old),
                    self.g.ty(*new)
                );
                return Err(Diag::error("E0402", m));
            }
            if order.is_identity() {
                self.g.replace_uses(old, *new)?;
            } else {
                if self.g.constant(*new).is_none() {
                    self.g.declare_type(*new, &want)?;
                }
                self.stored.set(old, Some((*new, *order)));
            }
        }
        self.replaced.push(n);
        Ok(())
    }
    /// `v` in the order `want`, before node `before` or at the end; where any order will do, as it is stored.
    fn get(&mut self, v: ValueId, want: Option<Order>, before: Option<NodeId>) -> Result<ValueId, Diag> {
        let (x, have) = self.stored.get(v).unwrap_or((v, plain(self.g, v)));
        let Some(want) = want.filter(|w| *w != have) else { return Ok(x) };
        if let Some(copy) = self.copies.get(&(v, want)) {
            return Ok(*copy);
        }
        let perm = have.to(&want);
        let constant = self.g.constant(x).and_then(|t| t.permute(&perm.axes().collect::<Vec<_>>()).ok());
        let copy = if let Some(t) = constant {
            self.g.add_const(t)
        } else {
            self.moved(v, (x, have), &want, before)?
        };
        self.copies.insert((v, want), copy);
        if want.is_identity() {
            let name = self.g.value(v).name.clone();
            self.g.set_name(v, None);
            self.g.set_name(copy, name);
        }
        Ok(copy)
    }
    /// A node that brings `v`, stored as `from`, to `want`.
    fn moved(
        &mut self,
        v: ValueId,
        from: Stored,
        want: &Order,
        before: Option<NodeId>,
    ) -> Result<ValueId, Diag> {
        let (x, have) = from;
        let ones = ones(self.g, v);
        let sizes = if have.settled(&ones) == want.settled(&ones) { self.sizes(v, want) } else { None };
        let origin = self.g.producer(x).map_or_else(Origin::default, |p| self.g.node(p).origin.clone());
        let new = if let Some(sizes) = sizes {
            let list = self.g.add_const(Tensor::from_ints(&sizes));
            NewNode::new(Reshape::default(), &[Some(x), Some(list)])
        } else {
            NewNode::new(Transpose { perm: have.to(want).perm() }, &[Some(x)])
        };
        let new = NewNode { origin, ..new };
        self.edits += 1;
        let n = match before {
            Some(b) => self.g.insert_before(new, b)?,
            None => self.g.append(new)?,
        };
        let result = self.only_result(n)?;
        let ty = stored_type(self.g.ty(v), want);
        self.g.declare_type(result, &ty)?;
        Ok(result)
    }
    /// Sizes of `v` in the order `want`, as a reshape lists them.
    fn sizes(&self, v: ValueId, want: &Order) -> Option<Vec<i64>> {
        let shape = self.g.ty(v).as_tensor()?.shape.as_ref()?;
        let size = |a: usize| shape[a].known().map_or(Some(-1), |n| i64::try_from(n).ok());
        let sizes: Vec<i64> = want.axes().map(size).collect::<Option<_>>()?;
        let open = sizes.iter().filter(|s| **s == -1).count();
        (open <= 1 && !sizes.contains(&0)).then_some(sizes)
    }
}

/// A constant with axes of size 1 put in.
fn widened(t: &Tensor, axes: &[i64]) -> Option<Tensor> {
    let mut sizes = t.shape().to_vec();
    for a in axes {
        let at = usize::try_from(*a).ok().filter(|a| *a <= sizes.len())?;
        sizes.insert(at, 1);
    }
    t.reshape(&sizes).ok()
}

/// Elements of a constant list of integers.
fn picked(t: &Tensor, at: &[i64]) -> Option<Tensor> {
    if t.dtype() != hoist_ir::dtype::DType::I64 {
        return match t.to_f64s() {
            Ok(all) if t.dtype().is_float() => {
                let some: Option<Vec<f64>> =
                    at.iter().map(|i| all.get(usize::try_from(*i).ok()?).copied()).collect();
                Tensor::from_vec(&[at.len()], some?).cast(t.dtype(), false).ok()
            }
            _ => None,
        };
    }
    let all = t.to_i64s().ok()?;
    let some: Option<Vec<i64>> = at.iter().map(|i| all.get(usize::try_from(*i).ok()?).copied()).collect();
    Some(Tensor::from_ints(&some?))
}
