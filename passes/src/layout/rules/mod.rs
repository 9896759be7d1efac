//! What each operator makes of operands that are stored in another order.
//!
//! [`relate`] answers for one operand or result of a node in one order: in which orders the node then takes its other operands and
//! gives its results, and what becomes of the node. Every answer is exact.
mod axes;
mod elementwise;
mod lists;
mod reshape;
mod spatial;
mod views;

use super::solve::order::Order;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{Shape, TensorType};

pub use elementwise::is_order_free;
pub use spatial::{flip, says_layout, turned};
pub use views::permutation;

/// Why an operator stays in the order it has.
pub type Fixed = &'static str;

/// An operand or a result of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    /// Operand of this position.
    In(usize),
    /// Result of this position.
    Out(usize),
}

/// What is done to an operand besides storing it in another order.
#[derive(Clone, PartialEq, Debug)]
pub enum Edit {
    /// Axes of size 1 are put in at these positions.
    Unsqueeze(Vec<i64>),
    /// It is replaced by this constant.
    Const(Tensor),
    /// The elements at these positions are taken, from a list.
    Pick(Vec<i64>),
}

/// What becomes of a node.
#[derive(Clone, PartialEq, Debug)]
pub enum Change {
    /// It stays.
    Keep,
    /// It moves axes only: its result is its operand, stored as it is.
    Vanish,
    /// It gets another operator or other operands.
    Node {
        /// The operator, unless it is the same.
        op: Option<Op>,
        /// Operands that change.
        edits: Vec<(usize, Edit)>,
    },
}

/// One way in which a node can work.
#[derive(Clone, PartialEq, Debug)]
pub struct Mode {
    /// Order of each operand; `None` where any will do.
    pub ins: Vec<Option<Order>>,
    /// Order of each result.
    pub outs: Vec<Order>,
    /// What becomes of the node.
    pub change: Change,
}

impl Mode {
    /// The order of operand or result `slot`.
    pub fn order(&self, slot: Slot) -> Option<Order> {
        match slot {
            Slot::In(i) => self.ins.get(i).copied().flatten(),
            Slot::Out(i) => self.outs.get(i).copied(),
        }
    }
    fn takes(mut self, i: usize, order: Order) -> Self {
        if let Some(slot) = self.ins.get_mut(i).filter(|slot| slot.is_some()) {
            *slot = Some(order);
        }
        self
    }
    fn gives(mut self, i: usize, order: Order) -> Self {
        if let Some(slot) = self.outs.get_mut(i) {
            *slot = order;
        }
        self
    }
    fn edit(mut self, i: usize, edit: Edit) -> Self {
        self = self.changed();
        if let Change::Node { edits, .. } = &mut self.change {
            edits.push((i, edit));
        }
        self
    }
    /// The same operator, made anew for other operands.
    fn changed(mut self) -> Self {
        if self.change == Change::Keep {
            self.change = Change::Node { op: None, edits: vec![] };
        }
        self
    }
    fn with_op(mut self, new: Op) -> Self {
        match &mut self.change {
            Change::Node { op, .. } => *op = Some(new),
            _ => self.change = Change::Node { op: Some(new), edits: vec![] },
        }
        self
    }
}

/// The order of value `v` as it is.
pub fn plain(g: &Graph, v: ValueId) -> Order {
    Order::identity(g.ty(v).as_tensor().and_then(TensorType::rank).unwrap_or(0))
}

/// Whether `v` can be stored in another order: a tensor of known rank whose elements take whole bytes.
pub fn is_movable(g: &Graph, v: ValueId) -> bool {
    let Some(t) = g.ty(v).as_tensor() else { return false };
    let fits = t.rank().is_some_and(|r| (2..=super::solve::order::MOST_AXES).contains(&r));
    fits && t.dtype != DType::String && t.dtype.bits() >= 8
}

/// A node that is asked about.
#[derive(Clone, Copy)]
pub struct Site<'g> {
    /// Its graph.
    pub g: &'g Graph,
    /// The node.
    pub n: NodeId,
}

impl<'g> Site<'g> {
    /// The operator.
    pub fn op(&self) -> &'g Op {
        self.g.node(self.n).op()
    }
    /// The operator with attribute `name` set.
    fn op_with(&self, name: &str, value: &Attr) -> Result<Op, Fixed> {
        let mut op = self.op().clone();
        op.def_mut().set_attr(name, value).map_err(|_| "an attribute cannot be set")?;
        Ok(op)
    }
    fn int(&self, name: &str) -> Option<i64> {
        if let Some(Attr::Int(v)) = self.op().def().attr(name) { Some(v) } else { None }
    }
    fn flag(&self, name: &str) -> bool {
        self.op().def().attr(name) == Some(Attr::Bool(true))
    }
    /// The value of operand or result `slot`.
    pub fn value(&self, slot: Slot) -> Option<ValueId> {
        match slot {
            Slot::In(i) => self.g.node(self.n).input(i),
            Slot::Out(i) => self.g.node(self.n).outputs().get(i).copied(),
        }
    }
    fn has(&self, i: usize) -> bool {
        self.g.node(self.n).input(i).is_some()
    }
    fn tensor(&self, slot: Slot) -> Option<&'g TensorType> {
        self.g.ty(self.value(slot)?).as_tensor()
    }
    fn shape(&self, slot: Slot) -> Option<&'g Shape> {
        self.tensor(slot)?.shape.as_ref()
    }
    fn rank(&self, slot: Slot) -> Option<usize> {
        self.tensor(slot)?.rank()
    }
    fn ranked(&self, slot: Slot) -> Result<usize, Fixed> {
        self.rank(slot).ok_or("the rank is not known")
    }
    /// Number of elements of the list at operand `i`.
    fn list_len(&self, i: usize) -> Option<usize> {
        let [dim] = self.shape(Slot::In(i))?.as_slice() else { return None };
        dim.known()?.try_into().ok()
    }
    fn ints(&self, i: usize) -> Option<Vec<i64>> {
        self.g.const_ints(self.g.node(self.n).input(i))
    }
    /// The node as it is.
    pub fn kept(&self) -> Mode {
        let node = self.g.node(self.n);
        let order = |(i, v): (usize, &Option<ValueId>)| {
            v.filter(|_| !elementwise::takes_any_order(self.op(), i)).map(|v| plain(self.g, v))
        };
        Mode {
            ins: node.inputs().iter().enumerate().map(order).collect(),
            outs: node.outputs().iter().map(|v| plain(self.g, *v)).collect(),
            change: Change::Keep,
        }
    }
    /// Integers as a constant of the element type of operand `like`, or `i64`.
    fn list(&self, values: &[i64], like: usize) -> Result<Tensor, Fixed> {
        let t = Tensor::from_ints(values);
        match self.tensor(Slot::In(like)) {
            Some(ty) if ty.dtype != DType::I64 => {
                t.cast(ty.dtype, false).map_err(|_| "a list of no integers")
            }
            _ => Ok(t),
        }
    }
}

/// `axis` counted from the front.
fn resolved(axis: i64, rank: usize) -> Result<usize, Fixed> {
    hoist_ir::infer::resolve_axis(axis, rank).map_err(|_| "an axis is out of range")
}

/// Each axis counted from the front, ascending.
fn resolved_all(axes: &[i64], rank: usize) -> Result<Vec<usize>, Fixed> {
    let mut out = axes.iter().map(|a| resolved(*a, rank)).collect::<Result<Vec<_>, _>>()?;
    out.sort_unstable();
    out.dedup();
    Ok(out)
}

/// Positions of `axes` in `order`, ascending.
fn positions(order: &Order, axes: &[usize]) -> Vec<i64> {
    let mut out: Vec<i64> = axes.iter().map(|a| order.position(*a) as i64).collect();
    out.sort_unstable();
    out
}

/// How node `n` works when operand or result `slot` is stored in `order`.
///
/// # Errors
/// Why it cannot.
pub fn relate(g: &Graph, n: NodeId, slot: Slot, order: Order) -> Result<Mode, Fixed> {
    let site = Site { g, n };
    let v = site.value(slot).ok_or("an operand is left out")?;
    if order.rank() != plain(g, v).rank() {
        return Err("the rank is not known");
    }
    if order.is_identity() && site.op().name() != "transpose" {
        let kept = site.kept();
        return if kept.order(slot).is_some() { Ok(kept) } else { Err("any order will do") };
    }
    let mode = by_operator(site, slot, order)?;
    if mode.order(slot) != Some(order) {
        return Err("the operand is needed as it is");
    }
    let node = g.node(n);
    let moved = |v: &ValueId, o: &Order| o.is_identity() || is_movable(g, *v);
    let ins = node.inputs().iter().zip(&mode.ins).filter_map(|(v, o)| v.zip(*o));
    let outs = node.outputs().iter().zip(&mode.outs).map(|(v, o)| (*v, *o));
    if ins.chain(outs).all(|(v, o)| moved(&v, &o)) { Ok(mode) } else { Err("elements that cannot be moved") }
}

fn by_operator(site: Site<'_>, slot: Slot, order: Order) -> Result<Mode, Fixed> {
    let name = site.op().name();
    match name {
        "transpose" => views::transpose(site, slot, order),
        "reshape" => reshape::reshape(site, slot, order),
        "flatten" => reshape::flatten(site, slot, order),
        "squeeze" => views::squeeze(site, slot, order),
        "unsqueeze" => views::unsqueeze(site, slot, order),
        "expand" => lists::expand(site, slot, order),
        "tile" => Ok(lists::tile(site, order)),
        "pad" => lists::pad(site, order),
        "slice" => lists::slice(site, order),
        "resize" => lists::resize(site, order),
        "gather" => axes::gather(site, slot, order),
        "concat" => axes::along(site, order, usize::MAX),
        "scatter_elements" => axes::along(site, order, 3),
        "gather_elements" => axes::along(site, order, 2),
        "split" | "softmax" | "log_softmax" | "hardmax" | "lp_normalization" | "top_k" => {
            axes::along(site, order, 1)
        }
        "cum_sum" | "cum_prod" => axes::cumulative(site, order),
        "arg_max" | "arg_min" => axes::arg(site, slot, order),
        "layer_normalization" | "rms_normalization" => axes::normalization(site, order),
        "mean_variance_normalization" => axes::mean_variance(site, order),
        "quantize_linear" | "dequantize_linear" => axes::quantize(site, order),
        "mat_mul" => axes::mat_mul(site, slot, order),
        _ if name.starts_with("reduce_") => axes::reduce(site, slot, order),
        _ if elementwise::is_elementwise(site) => elementwise::elementwise(site, order),
        _ => spatial::spatial(site, order),
    }
}
