//! What the values of a loop's body are, seen from outside: the number of the iteration, what is read at it, constants, states.
use crate::norm_formula::dims;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Def, Graph, NodeId, Use, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::control::loop_::may_stop;
use hoist_ir::tensor::Tensor;

/// Nodes followed from a value to what it is.
const DEPTH: usize = 16;

/// A loop that runs as often as its trip count says.
pub struct Step<'g> {
    /// The graph of the loop.
    pub g: &'g Graph,
    /// The loop.
    pub n: NodeId,
    /// Its body.
    pub body: &'g Graph,
    /// How many values it carries.
    pub carried: usize,
    /// Number of iterations; below 0 for none.
    pub trips: ValueId,
}

/// A tensor one position of which is read in each iteration: iteration `i` reads position `i + offset` of its first axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sequence {
    /// The tensor, a value of the loop's graph.
    pub x: ValueId,
    /// Position of the first iteration.
    pub offset: i64,
}

/// Columns `start..start + len` of a value with two axes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Columns {
    /// The value.
    pub v: ValueId,
    /// First column.
    pub start: usize,
    /// Number of columns.
    pub len: usize,
}

/// Operands of a node that are there.
fn pair(g: &Graph, n: NodeId) -> Option<(ValueId, ValueId)> {
    Some((g.node(n).input(0)?, g.node(n).input(1)?))
}

impl<'g> Step<'g> {
    /// The loop `n`, unless a condition may end it.
    pub fn of(g: &'g Graph, n: NodeId) -> Result<Self, &'static str> {
        let node = g.node(n);
        let [body] = node.bodies() else { return Err("it is no loop") };
        let goes = |v: ValueId| g.constant(v).and_then(|t| t.to_bools().ok()).is_some_and(|t| t == [true]);
        if !node.input(1).is_none_or(goes) || may_stop(body) {
            return Err("a condition may end it");
        }
        let carried = node.inputs().len().checked_sub(2 + node.captures()).ok_or("operands are missing")?;
        Ok(Self { g, n, body, carried, trips: node.input(0).ok_or("it has no trip count")? })
    }
    /// Which carried value input `v` of the body is.
    pub fn carried(&self, v: ValueId) -> Option<usize> {
        let Def::Input(i) = self.body.value(v).def() else { return None };
        (i as usize).checked_sub(2).filter(|k| *k < self.carried)
    }
    /// The value before the first iteration of what is carried as `k`.
    pub fn initial(&self, k: usize) -> Option<ValueId> {
        self.g.node(self.n).input(2 + k)
    }
    /// What the body gives the next iteration for `k`.
    pub fn next(&self, k: usize) -> Option<ValueId> {
        self.body.outputs().get(1 + k).map(|o| o.value)
    }
    /// The value of the loop's graph that `v` of the body is in every iteration.
    pub fn outer(&self, v: ValueId) -> Option<ValueId> {
        let Def::Input(i) = self.body.value(v).def() else { return None };
        let i = i as usize;
        if i < 2 {
            return None;
        }
        // What is carried and given back as it is stays what it was.
        let stays = self.carried(v).is_none_or(|k| self.next(k) == Some(v));
        self.g.node(self.n).input(i).filter(|_| stays)
    }
    /// The constant that `v` of the body is.
    pub fn constant(&self, v: ValueId) -> Option<&'g Tensor> {
        self.body.constant(v).or_else(|| self.g.constant(self.outer(v)?))
    }
    /// The number that scalar `v` of the body is above the number of the iteration.
    pub fn index(&self, v: ValueId) -> Option<i64> {
        let mut v = v;
        for _ in 0..DEPTH {
            if self.body.inputs().first() == Some(&v) {
                return Some(0);
            }
            if let Some(k) = self.carried(v) {
                let first = self.g.constant(self.initial(k)?)?.as_int()?;
                return (self.step_of(k)? == 1).then_some(first);
            }
            let n = self.body.producer(v)?;
            let node = self.body.node(n);
            match node.op() {
                Op::Cast(op) if matches!(op.to, DType::I32 | DType::I64) => v = node.input(0)?,
                Op::Identity(_) => v = node.input(0)?,
                _ => return None,
            }
        }
        None
    }
    /// What is added in each iteration to the carried number `k`.
    pub fn step_of(&self, k: usize) -> Option<i64> {
        let own = *self.body.inputs().get(2 + k)?;
        let next = self.body.producer(self.next(k)?)?;
        let Op::Add(_) = self.body.node(next).op() else { return None };
        let (a, b) = pair(self.body, next)?;
        let other = if a == own { b } else { Some(a).filter(|_| b == own)? };
        let t = self.body.constant(other).filter(|t| t.rank() == 0 && t.dtype().is_int())?;
        dims(self.body, own).filter(|d| d.is_empty())?;
        t.as_int()
    }
    /// The sequence that `v` of the body is one position of.
    pub fn read(&self, v: ValueId) -> Option<Sequence> {
        let n = self.body.producer(v)?;
        let Op::Gather(op) = self.body.node(n).op() else { return None };
        let (data, at) = pair(self.body, n)?;
        let rank = self.body.ty(data).as_tensor()?.rank()?;
        dims(self.body, at).filter(|d| d.is_empty() && resolve_axis(op.axis, rank) == Ok(0))?;
        let offset = self.index(at).filter(|o| *o >= 0)?;
        Some(Sequence { x: self.outer(data)?, offset })
    }
    /// Size of axis `axis` of `v` of the body.
    pub fn size(&self, v: ValueId, axis: usize) -> Option<usize> {
        usize::try_from(dims(self.body, v)?.get(axis)?.known()?).ok()
    }
    /// All columns of `v` of the body, which has two axes.
    pub fn whole(&self, v: ValueId) -> Option<Columns> {
        dims(self.body, v).filter(|d| d.len() == 2)?;
        Some(Columns { v, start: 0, len: self.size(v, 1)? })
    }
    /// What `part` was cut out of.
    pub fn source(&self, part: Columns) -> Columns {
        let mut part = part;
        for _ in 0..DEPTH {
            let Some(before) = self.before(part) else { break };
            part = before;
        }
        part
    }
    fn before(&self, part: Columns) -> Option<Columns> {
        let Def::Node { node: n, slot } = self.body.value(part.v).def() else { return None };
        let node = self.body.node(n);
        let x = node.input(0)?;
        let at = match node.op() {
            Op::Identity(_) => 0,
            Op::Split(op) => {
                resolve_axis(op.axis, 2).ok().filter(|a| *a == 1)?;
                let before = node.outputs().iter().take(slot as usize);
                before.map(|v| self.size(*v, 1)).sum::<Option<usize>>()?
            }
            Op::Slice(_) => self.first_column(n, x)?,
            _ => return None,
        };
        dims(self.body, x).filter(|d| d.len() == 2)?;
        Some(Columns { v: x, start: part.start + at, len: part.len })
    }
    /// The first column that slice `n` of `x` takes, where it takes all rows and leaves no column out between.
    fn first_column(&self, n: NodeId, x: ValueId) -> Option<usize> {
        let node = self.body.node(n);
        let list = |i: usize| node.input(i).map(|v| self.body.const_ints(Some(v)));
        let (starts, ends) = (list(1)??, list(2)??);
        let axes = list(3).unwrap_or_else(|| Some((0..starts.len() as i64).collect()))?;
        let steps = list(4).unwrap_or_else(|| Some(vec![1; starts.len()]))?;
        (steps.iter().all(|s| *s == 1) && ends.len() == axes.len() && starts.len() == axes.len())
            .then_some(())?;
        let mut first = 0;
        for ((start, end), axis) in starts.iter().zip(ends).zip(axes) {
            let whole = *start == 0 && end >= i64::from(i32::MAX);
            match resolve_axis(axis, 2) {
                Ok(1) => {
                    first = if *start < 0 { start + i64::try_from(self.size(x, 1)?).ok()? } else { *start }
                }
                Ok(0) if whole => {}
                _ => return None,
            }
        }
        usize::try_from(first).ok()
    }
    /// Whether `v` of the body is `part` and nothing else.
    pub fn is(&self, v: ValueId, part: Columns) -> bool {
        self.whole(v).is_some_and(|v| self.source(v) == part)
    }
    /// Whether only output `output` of the body and nodes that are `inside` use `v` of the body.
    pub fn uses_are(&self, v: ValueId, output: usize, inside: impl Fn(NodeId) -> bool) -> bool {
        self.body.value(v).uses().iter().all(|u| match u {
            Use::Node { node, .. } => inside(*node),
            Use::Output(i) => *i as usize == output,
        })
    }
}
