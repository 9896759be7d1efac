//! Labels the elements of all values: those with the same label have the same factor. Labels begin at channels of weights, go on through operators that
//! commute with positive factors, and end at weights again. Whatever else reads a labelled value holds its factor at 1.
use super::labels::{Classes, Labels, MOST_LABELS, ONE};
use super::movement::moved;
use crate::norm_formula::dims;
use crate::quantize::linear::Linear;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::tensor::Tensor;

/// What changes at a node when factors are chosen.
#[derive(Clone, PartialEq, Debug)]
pub enum Site {
    /// Weights take factors of the result and inverse ones of the data.
    Linear(Box<Linear>),
    /// Constant operands stretch to the result and take its factors.
    Stretched(Vec<usize>),
    /// Constants with one number per channel take the factors of the result.
    PerChannel(Vec<usize>),
}

/// Labels of a graph.
pub struct Spread {
    /// Labels of each value, by its index; none where its factor is 1.
    pub labels: Vec<Option<Labels>>,
    /// Classes of labels.
    pub classes: Classes,
    /// Nodes whose constants change, in order.
    pub sites: Vec<(NodeId, Site)>,
}

/// Constants above this many elements are not stretched or multiplied.
const MOST_CONSTANT: usize = 1 << 21;

type Reason = &'static str;

impl Spread {
    /// Labels `g`.
    pub fn of(g: &Graph) -> Self {
        let labels = vec![None; g.values().count()];
        let mut found = Self { labels, classes: Classes::new(), sites: vec![] };
        for n in g.order() {
            found.node(g, n);
        }
        for o in g.outputs() {
            found.hold(o.value, None, "a graph output shows it");
        }
        found.classes.settle();
        found
    }
    /// Labels of `v`.
    pub fn of_value(&self, v: ValueId) -> Option<&Labels> {
        self.labels.get(v.index())?.as_ref()
    }
    /// Labels of `v` one of which at least may get a factor.
    fn live(&self, v: Option<ValueId>) -> Option<Labels> {
        let labels = self.of_value(v?)?;
        labels.ids.iter().any(|id| self.classes.pin(*id).is_none()).then(|| labels.clone())
    }
    fn hold(&mut self, v: ValueId, n: Option<NodeId>, reason: Reason) {
        if let Some(labels) = self.of_value(v).cloned() {
            for id in labels.ids.iter() {
                self.classes.hold(*id, (reason, n));
            }
        }
    }
    /// Holds all operands of `n`.
    fn hold_operands(&mut self, g: &Graph, n: NodeId, reason: Reason) {
        for v in g.node(n).inputs().iter().flatten() {
            self.hold(*v, Some(n), reason);
        }
    }
    /// Labels `v`, unless it is no `f32` tensor of sizes that fit.
    fn set(&mut self, g: &Graph, v: ValueId, labels: Labels) -> Result<(), Reason> {
        let ty = g.ty(v).as_tensor().filter(|t| t.dtype == DType::F32).ok_or("it computes no f32")?;
        let sizes =
            ty.shape.as_ref().filter(|s| s.len() == labels.shape.len()).ok_or("the rank is not known")?;
        let fits = |(d, l): (&hoist_ir::dim::Dim, &usize)| *l == 1 || d.known() == Some(*l as u64);
        if !sizes.iter().zip(&labels.shape).all(fits) {
            return Err("it repeats or mixes channels");
        }
        self.labels[v.index()] = Some(labels);
        Ok(())
    }
    /// New labels along `axis` of the first result of `n`.
    fn fresh(&mut self, g: &Graph, n: NodeId, axis: usize, count: usize) -> Result<(), Reason> {
        const WRONG: Reason = "the channels of the result are not known";
        let y = g.node(n).outputs().first().copied().ok_or(WRONG)?;
        let rank = dims(g, y).map(Vec::len).filter(|r| axis < *r).ok_or(WRONG)?;
        let mut shape = vec![1; rank];
        shape[axis] = count;
        let ids = self.classes.fresh(count).ok_or("there are too many channels")?;
        self.set(g, y, Labels { shape, ids })
    }
    fn node(&mut self, g: &Graph, n: NodeId) {
        let node = g.node(n);
        let result = match node.op().name() {
            "conv" | "conv_transpose" | "gemm" => self.linear(g, n),
            "mat_mul" => match Linear::of(g, n) {
                Err(_) => self.product(g, n),
                Ok(_) => self.linear(g, n),
            },
            "layer_normalization" | "rms_normalization" => {
                self.normalization(g, n);
                Ok(())
            }
            "batch_normalization" => self.batch_normalization(g, n),
            "add" | "sub" | "max" | "min" | "sum" | "mean" => {
                let slots: Vec<usize> = (0..node.inputs().len()).collect();
                self.homogeneous(g, n, &slots)
            }
            "where" => self.homogeneous(g, n, &[1, 2]),
            "mul" | "div" => self.scaled(g, n),
            "p_relu" => self.kept(g, n),
            "concat" => self.concat(g, n),
            _ => self.moving(g, n),
        };
        if let Err(reason) = result {
            self.hold_operands(g, n, reason);
        }
    }
    /// Operators with one labelled operand, and all others.
    fn moving(&mut self, g: &Graph, n: NodeId) -> Result<(), Reason> {
        let node = g.node(n);
        for v in node.inputs().iter().skip(1).flatten() {
            self.hold(*v, Some(n), "it is no data of the operator");
        }
        let Some(x) = self.live(node.input(0)) else { return Ok(()) };
        let found = moved(g, n, &x).ok_or("the operator does not commute with factors")??;
        node.outputs().iter().zip(found).try_for_each(|(y, labels)| self.set(g, *y, labels))
    }
    /// The result has the factors of operand 0.
    fn kept(&mut self, g: &Graph, n: NodeId) -> Result<(), Reason> {
        let node = g.node(n);
        if let Some(slope) = node.input(1) {
            self.hold(slope, Some(n), "it is no data of the operator");
        }
        match (self.live(node.input(0)), node.outputs().first()) {
            (Some(x), Some(y)) => self.set(g, *y, x),
            _ => Ok(()),
        }
    }
    /// Whether constant operand `slot` may be replaced: it is `f32`, and nothing else uses it, or it is small.
    fn is_own(g: &Graph, n: NodeId, slot: usize) -> bool {
        let Some((v, t)) = g.node(n).input(slot).and_then(|v| Some((v, g.constant(v)?))) else {
            return false;
        };
        t.dtype() == DType::F32 && (t.byte_len() <= MOST_SHARED || g.single_user(v).is_some())
    }
    fn linear(&mut self, g: &Graph, n: NodeId) -> Result<(), Reason> {
        let linear = Linear::of(g, n)?;
        let w = linear.weights(g).ok_or("the weights are missing")?;
        if g.single_user(w).is_none() {
            return Err("something else uses the weights");
        }
        if g.node(n).inputs().iter().skip(3).any(Option::is_some) {
            return Err("the operator adds something else");
        }
        let data = linear.data(g).ok_or("the data is missing")?;
        if let Some(x) = self.live(Some(data)) {
            let count = x.shape.get(linear.data_axis).copied().unwrap_or(0);
            if !x.only_along(linear.data_axis) || !(count == linear.inputs || count == 1) {
                return Err("factors lie along another axis than its input channels");
            }
        }
        self.sites.push((n, Site::Linear(Box::new(linear.clone()))));
        let bias = linear.bias_slot.and_then(|s| Some((s, g.node(n).input(s)?)));
        let fits = |t: &Tensor| {
            t.len() == 1 || t.shape().last() == Some(&linear.outputs) && t.len() == linear.outputs
        };
        let takes = bias.is_none_or(|(slot, b)| Self::is_own(g, n, slot) && g.constant(b).is_some_and(fits));
        // Where the bias cannot take factors, the result has none; the data still may.
        match bias {
            Some((_, b)) if !takes => self.hold(b, Some(n), "it is added to a product"),
            _ => drop(self.fresh(g, n, linear.result_axis, linear.outputs)),
        }
        Ok(())
    }
    /// A product of two activations: factors along axes that are not summed over go on; one operand has them.
    fn product(&mut self, g: &Graph, n: NodeId) -> Result<(), Reason> {
        let node = g.node(n);
        let (a, b) = (node.input(0), node.input(1));
        let slot = match (self.live(a), self.live(b)) {
            (None, None) => return Ok(()),
            (Some(_), Some(_)) => return Err("it multiplies two values with factors"),
            (Some(_), None) => 0,
            (None, Some(_)) => 1,
        };
        let labels = self.live(node.input(slot)).ok_or("it is no data")?;
        let y = node.outputs().first().copied().ok_or("it has no result")?;
        let rank = dims(g, y).map(Vec::len).ok_or("the rank is not known")?;
        let (own, summed) = (labels.shape.len(), if slot == 0 { 1 } else { 2 });
        if own < 2 || rank < own || labels.shape[own - summed] > 1 {
            return Err("it sums over channels");
        }
        let found = labels.of_rank(rank).ok_or("the rank is not known")?;
        self.set(g, y, found)
    }
    fn normalization(&mut self, g: &Graph, n: NodeId) {
        self.hold_operands(g, n, "it is normalized");
        let node = g.node(n);
        let axis = match (node.op().def().attr("axis"), node.input(0).and_then(|v| dims(g, v))) {
            (Some(Attr::Int(a)), Some(s)) if a == -1 || a == s.len() as i64 - 1 => s.len() - 1,
            _ => return,
        };
        let slots: Vec<usize> = (1..3).filter(|s| node.input(*s).is_some()).collect();
        let size = node.input(1).and_then(|v| g.constant(v)).map(Tensor::len);
        let fits = |s: &usize| {
            Self::is_own(g, n, *s)
                && node
                    .input(*s)
                    .and_then(|v| g.constant(v))
                    .is_some_and(|t| t.rank() == 1 && Some(t.len()) == size)
        };
        if let Some(size) = size
            && slots.iter().all(fits)
            && self.fresh(g, n, axis, size).is_ok()
        {
            self.sites.push((n, Site::PerChannel(slots)));
        }
    }
    fn batch_normalization(&mut self, g: &Graph, n: NodeId) -> Result<(), Reason> {
        self.hold_operands(g, n, "it is normalized");
        let node = g.node(n);
        if node.op().def().attr("training_mode") == Some(Attr::Bool(true)) {
            return Ok(());
        }
        let rank = node.input(0).and_then(|v| dims(g, v)).map(Vec::len).ok_or("the rank is not known")?;
        let axis = crate::channel_affine::channel_axis(node.op(), rank)?;
        let size = node.input(1).and_then(|v| g.constant(v)).map(Tensor::len);
        let fits = |s: usize| {
            Self::is_own(g, n, s)
                && node.input(s).and_then(|v| g.constant(v)).is_some_and(|t| Some(t.len()) == size)
        };
        if let Some(size) = size
            && fits(1)
            && fits(2)
            && self.fresh(g, n, axis, size).is_ok()
        {
            self.sites.push((n, Site::PerChannel(vec![1, 2])));
        }
        Ok(())
    }
    /// Operators that multiply their result by a factor when all operands in `slots` are multiplied by it. Constants among them are.
    fn homogeneous(&mut self, g: &Graph, n: NodeId, slots: &[usize]) -> Result<(), Reason> {
        let node = g.node(n);
        let y = node.outputs().first().copied().ok_or("it has no result")?;
        let rank = dims(g, y).map(Vec::len);
        let (mut all, mut constants): (Vec<Labels>, Vec<usize>) = (vec![], vec![]);
        let mut unlabelled = false;
        for slot in slots {
            let Some(v) = node.input(*slot) else { continue };
            if g.constant(v).is_some() {
                constants.push(*slot);
            } else if let Some(labels) = self.live(Some(v)) {
                all.push(rank.and_then(|r| labels.of_rank(r)).ok_or("the rank is not known")?);
            } else {
                unlabelled = true;
            }
        }
        let Some(first) = all.first().cloned() else { return Ok(()) };
        if unlabelled {
            return Err("something without a factor is added");
        }
        if all.iter().any(|l| l.shape != first.shape) {
            return Err("its operands have their channels along different axes");
        }
        constants.retain(|s| !node.input(*s).and_then(|v| g.constant(v)).is_some_and(is_zero));
        if !constants.iter().all(|s| stretches(g, n, *s, &first)) {
            return Err("a constant cannot take the factors");
        }
        for other in &all[1..] {
            for (a, b) in first.ids.iter().zip(other.ids.iter()) {
                self.classes.join(*a, *b);
            }
        }
        self.set(g, y, first)?;
        if !constants.is_empty() {
            self.sites.push((n, Site::Stretched(constants)));
        }
        Ok(())
    }
    /// A product or quotient: factors of one operand go on; a constant per channel begins new ones.
    fn scaled(&mut self, g: &Graph, n: NodeId) -> Result<(), Reason> {
        let node = g.node(n);
        let (a, b) = (node.input(0), node.input(1));
        let y = node.outputs().first().copied().ok_or("it has no result")?;
        let rank = dims(g, y).map(Vec::len).ok_or("the rank is not known")?;
        let divides = node.op().name() == "div";
        match (self.live(a), self.live(b)) {
            (Some(x), None) => self.set(g, y, x.of_rank(rank).ok_or("the rank is not known")?),
            (None, Some(x)) if !divides => self.set(g, y, x.of_rank(rank).ok_or("the rank is not known")?),
            (None, None) => {
                let _begun = self.begin(g, n, 0, rank) || !divides && self.begin(g, n, 1, rank);
                Ok(())
            }
            _ => Err("it multiplies two values with factors"),
        }
    }
    /// Begins labels at the constant operand `slot` that varies along one axis of the result.
    fn begin(&mut self, g: &Graph, n: NodeId, slot: usize, rank: usize) -> bool {
        let Some(t) = g.node(n).input(slot).and_then(|v| g.constant(v)) else { return false };
        let wide: Vec<usize> = (0..t.rank()).filter(|a| t.shape()[*a] > 1).collect();
        let begun = matches!(wide.as_slice(), [axis] if t.rank() <= rank
            && Self::is_own(g, n, slot)
            && self.fresh(g, n, rank - t.rank() + axis, t.len()).is_ok());
        if begun {
            self.sites.push((n, Site::Stretched(vec![slot])));
        }
        begun
    }
    fn concat(&mut self, g: &Graph, n: NodeId) -> Result<(), Reason> {
        const UNKNOWN: Reason = "the sizes are not known";
        let node = g.node(n);
        let y = node.outputs().first().copied().ok_or(UNKNOWN)?;
        let sizes = dims(g, y).ok_or(UNKNOWN)?;
        let rank = sizes.len();
        let axis = match node.op().def().attr("axis") {
            Some(Attr::Int(a)) => {
                usize::try_from(if a < 0 { a + rank as i64 } else { a }).ok().filter(|a| *a < rank)
            }
            _ => None,
        };
        let axis = axis.ok_or(UNKNOWN)?;
        let operands: Vec<ValueId> = node.inputs().iter().copied().collect::<Option<_>>().ok_or(UNKNOWN)?;
        let all: Vec<Option<Labels>> = operands.iter().map(|v| self.live(Some(*v))).collect();
        let Some(some) = all.iter().flatten().next() else { return Ok(()) };
        // All labels vary along the same axes.
        let mut shape: Vec<usize> = some.shape.clone();
        let joins =
            all.iter().flatten().any(|l| l.shape.iter().enumerate().any(|(a, s)| a != axis && *s > 1));
        if joins {
            // Another axis has the channels: the operands have the same ones.
            if all.iter().any(|l| l.as_ref().is_none_or(|l| l.shape != shape || l.shape[axis] > 1)) {
                return Err("its operands have their channels along different axes");
            }
            for other in all.iter().flatten().skip(1) {
                for (a, b) in some.ids.iter().zip(other.ids.iter()) {
                    self.classes.join(*a, *b);
                }
            }
            return self.set(g, y, some.clone());
        }
        let mut ids = vec![];
        for (v, labels) in operands.iter().zip(&all) {
            let size = dims(g, *v).and_then(|d| d.get(axis)?.known()).and_then(|d| usize::try_from(d).ok());
            let size = size.filter(|s| *s + ids.len() <= MOST_LABELS).ok_or(UNKNOWN)?;
            match labels {
                Some(l) => ids.extend(l.spread(size)),
                None => ids.extend(std::iter::repeat_n(ONE, size)),
            }
        }
        shape.fill(1);
        shape[axis] = ids.len();
        self.set(g, y, Labels { shape, ids: ids.into() })
    }
}

/// Constants of several operators that one of them may get as a copy of its own, in bytes.
const MOST_SHARED: usize = 64 << 10;

/// Whether all elements are zero; large constants are not read.
fn is_zero(t: &Tensor) -> bool {
    t.len() <= MOST_CONSTANT
        && t.dtype() == DType::F32
        && t.to_f64s().is_ok_and(|v| v.iter().all(|v| *v == 0.0))
}

/// Numbers above this are not multiplied.
const LARGE: f64 = 1e30;

/// Whether constant operand `slot` can be multiplied by factors along the axes of `labels`.
fn stretches(g: &Graph, n: NodeId, slot: usize, labels: &Labels) -> bool {
    let Some((v, t)) = g.node(n).input(slot).and_then(|v| Some((v, g.constant(v)?))) else { return false };
    let rank = labels.shape.len();
    let Some(lead) = rank.checked_sub(t.rank()) else { return false };
    let size = |a: usize| if a < lead { 1 } else { t.shape()[a - lead] };
    let fits = |a: usize| labels.shape[a] == 1 || size(a) == 1 || size(a) == labels.shape[a];
    let count = (0..rank).try_fold(1usize, |n, a| n.checked_mul(size(a).max(labels.shape[a])));
    let small = |count: usize| {
        count <= MOST_CONSTANT
            && (count * 4 <= MOST_SHARED || (count == t.len() && g.single_user(v).is_some()))
    };
    t.dtype() == DType::F32
        && (0..rank).all(fits)
        && count.is_some_and(small)
        && t.to_f64s().is_ok_and(|v| v.iter().all(|v| v.abs() < LARGE))
}
