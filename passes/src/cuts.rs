//! What a `slice` with constant positions takes.
use hoist_ir::dim::Dim;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::types::Shape;

/// Ends from here on mean "to the border": exporters write the largest 32- or 64-bit integer.
pub const BORDER: i64 = i32::MAX as i64;

/// What is taken of one axis: positions from `start` on and before `end`, each `step`-th; `step` is positive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut {
    /// The axis, counted from the front.
    pub axis: usize,
    /// First position; negative counts from the end.
    pub start: i64,
    /// Position before which to stop; [`BORDER`] where it is the end of the axis.
    pub end: i64,
    /// Distance of positions.
    pub step: i64,
}

impl Cut {
    /// This cut with positions counted from the front, `end` being at most `size`, for an axis of that size.
    fn placed(self, size: i64) -> Self {
        let at = |v: i64| if v < 0 { v.saturating_add(size) } else { v }.clamp(0, size);
        let start = at(self.start);
        Self { start, end: at(self.end).max(start), ..self }
    }
    /// Whether everything is taken.
    fn is_whole(&self, size: Option<i64>) -> bool {
        let ends = self.end == BORDER || size.is_some_and(|s| self.end >= s);
        self.start == 0 && self.step == 1 && ends
    }
    /// What `outer` takes of the result of this cut, in one; `size` is that of the axis before.
    pub fn then(&self, outer: &Self, size: Option<i64>) -> Option<Self> {
        let (axis, step) = (self.axis, self.step.checked_mul(outer.step)?);
        if let Some(size) = size {
            let inner = self.placed(size);
            let count = (inner.end - inner.start + self.step - 1) / self.step;
            let outer = outer.placed(count);
            let taken = (outer.end - outer.start + outer.step - 1) / outer.step;
            let start = inner.start.checked_add(outer.start.checked_mul(self.step)?)?;
            let last = taken.checked_sub(1)?.checked_mul(step)?;
            let end = if taken == 0 { start } else { start.checked_add(last)?.checked_add(1)? };
            return Some(Self { axis, start, end, step });
        }
        if self.step != 1 || self.start < 0 || outer.start < 0 {
            return None;
        }
        let start = self.start.checked_add(outer.start).filter(|s| *s < BORDER)?;
        let end = match (self.end, outer.end) {
            (BORDER, BORDER) => BORDER,
            // Counted from the end of the axis in both.
            (BORDER, e) if e < 0 => e,
            (e, BORDER) if e >= 0 => e,
            (BORDER, o) if o >= 0 => self.start.checked_add(o).filter(|e| *e < BORDER)?,
            (e, o) if e >= 0 && o >= 0 => e.min(self.start.checked_add(o)?),
            _ => return None,
        };
        Some(Self { axis, start, end, step })
    }
}

/// A `slice` that goes forwards by constant steps between constant positions.
pub struct Sliced {
    /// What is cut.
    pub x: ValueId,
    /// Axes that are cut, ascending, without those that are taken whole.
    pub cuts: Vec<Cut>,
}

/// Sizes of `v`, when its rank is known.
pub fn dims(g: &Graph, v: ValueId) -> Option<&Shape> {
    g.ty(v).as_tensor()?.shape.as_ref()
}

/// The fixed size of an axis.
pub fn size(dims: &[Dim], axis: usize) -> Option<i64> {
    i64::try_from(dims.get(axis)?.known()?).ok()
}

/// What `n` takes, when it is such a slice of a value of known rank.
pub fn sliced(g: &Graph, n: NodeId) -> Option<Sliced> {
    let node = g.node(n);
    if !matches!(node.op(), Op::Slice(_)) {
        return None;
    }
    let x = node.input(0)?;
    let dims = dims(g, x)?;
    let (starts, ends) = (g.const_ints(node.input(1))?, g.const_ints(node.input(2))?);
    let list = |i: usize, default: Vec<i64>| match node.input(i) {
        Some(v) => g.const_ints(Some(v)),
        None => Some(default),
    };
    let axes = list(3, (0..starts.len() as i64).collect())?;
    let steps = list(4, vec![1; starts.len()])?;
    if [ends.len(), axes.len(), steps.len()].iter().any(|n| *n != starts.len()) {
        return None;
    }
    let mut cuts = vec![];
    for (i, axis) in axes.iter().enumerate() {
        let axis = resolve_axis(*axis, dims.len()).ok()?;
        let cut = Cut { axis, start: starts[i], end: ends[i].min(BORDER), step: steps[i] };
        if cut.step < 1 || cut.start >= BORDER {
            return None;
        }
        let size = size(dims, axis);
        // Written with positions from the front where these are known.
        let cut = size.map_or(cut, |s| cut.placed(s));
        if !cut.is_whole(size) {
            cuts.push(cut);
        }
    }
    cuts.sort_by_key(|c| c.axis);
    Some(Sliced { x, cuts })
}
