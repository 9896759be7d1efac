//! How nodes restate sizes, and what that means at other sizes.
use super::groups::reshaped;
use super::sizes::Sizes;
use crate::fold::fold_constants::computed;
use crate::interface::rebuild::Rebuild;
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::movement::expand::Expand;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Shape;

/// Adds node `n` to the new graph so that it computes the same at the old sizes, and has a meaning at others.
///
/// # Errors
/// Why it has none.
pub fn generalize(
    r: &mut Rebuild<'_>,
    fixed: &Rebuild<'_>,
    n: NodeId,
    sizes: &mut Sizes<'_>,
) -> Result<(), Diag> {
    let mut site = Site { n, inputs: r.operands(n)?, fixed, sizes };
    let node = r.old().node(n);
    if !site.any_changed(r) {
        return copied(r, n);
    }
    if !node.bodies().is_empty() {
        return Err(refused("its bodies hold the size"));
    }
    match node.op().name() {
        "reshape" => site.reshape(r)?,
        "expand" => site.expand(r)?,
        "slice" => site.slice(r)?,
        "gather" => site.gather(r)?,
        "gather_nd" => return site.gather_nd(r),
        "squeeze" => site.squeeze(r)?,
        "concat" => site.concat(r)?,
        "resize" => site.resize(r)?,
        "lstm" => site.states(r, &[5, 6])?,
        "gru" | "rnn" => site.states(r, &[5])?,
        _ => {}
    }
    let new = r.add(n, node.op().clone(), site.inputs)?;
    folded(r, n, new);
    Ok(())
}

/// Adds node `n` as it is, or what it computes where that does not depend on inputs: sizes that a file computes from constants are restated too.
fn copied(r: &mut Rebuild<'_>, n: NodeId) -> Result<(), Diag> {
    let new = r.copy(n)?;
    folded(r, n, new);
    Ok(())
}

fn folded(r: &mut Rebuild<'_>, n: NodeId, new: NodeId) {
    if let Some(results) = computed(r.graph(), new) {
        r.fold(n, new, results);
    }
}

/// Adds node `n` to the graph at the old sizes.
///
/// # Errors
/// When its operands do not fit.
pub fn follow(fixed: &mut Rebuild<'_>, n: NodeId) -> Result<(), Diag> {
    copied(fixed, n)?;
    let old = fixed.old();
    for v in old.node(n).outputs() {
        if let Some(new) = fixed.found(*v) {
            // What the file declares and inference cannot see still holds.
            let _ = fixed.graph_mut().declare_type(new, old.ty(*v));
        }
    }
    Ok(())
}

fn refused(reason: impl Into<String>) -> Diag {
    Diag::error("E0605", reason)
}

/// A node being taken over, with its operands in the new graph.
struct Site<'s, 'a> {
    n: NodeId,
    inputs: Vec<Option<ValueId>>,
    /// The graph at the old sizes, this node included.
    fixed: &'s Rebuild<'s>,
    sizes: &'s mut Sizes<'a>,
}

fn shape_of(g: &Graph, v: ValueId) -> Option<&Shape> {
    g.ty(v).as_tensor()?.shape.as_ref()
}

impl Site<'_, '_> {
    fn old_operand(&self, r: &Rebuild<'_>, i: usize) -> Option<ValueId> {
        r.old().node(self.n).input(i)
    }
    /// Integers of operand `i` that do not depend on inputs.
    fn ints(&self, r: &Rebuild<'_>, i: usize) -> Option<Vec<i64>> {
        r.graph().const_ints(self.inputs.get(i).copied().flatten())
    }
    fn old_shape(&self, r: &Rebuild<'_>, i: usize) -> Option<Shape> {
        self.fixed_shape(r, self.old_operand(r, i)?)
    }
    /// Sizes of value `v` of the old graph.
    fn fixed_shape(&self, r: &Rebuild<'_>, v: ValueId) -> Option<Shape> {
        match self.fixed.found(v) {
            Some(found) => shape_of(self.fixed.graph(), found).cloned(),
            None => shape_of(r.old(), v).cloned(),
        }
    }
    fn new_shape(&self, r: &Rebuild<'_>, i: usize) -> Option<Shape> {
        shape_of(r.graph(), self.inputs.get(i).copied().flatten()?).cloned()
    }
    fn any_changed(&self, r: &Rebuild<'_>) -> bool {
        (0..self.inputs.len())
            .any(|i| self.new_shape(r, i).is_some_and(|s| s.iter().any(|d| self.sizes.takes_part(d))))
    }
    /// Axes of operand `i` that are dynamic now, with their old sizes.
    fn changed(&self, r: &Rebuild<'_>, i: usize) -> Vec<(usize, u64)> {
        let (Some(old), Some(new)) = (self.old_shape(r, i), self.new_shape(r, i)) else { return vec![] };
        let both = old.iter().zip(&new).enumerate();
        both.filter(|(_, (_, d))| self.sizes.takes_part(d))
            .filter_map(|(a, (o, _))| Some((a, o.known()?)))
            .collect()
    }
    /// Puts a list of these numbers in place of operand `i`.
    fn set_list(&mut self, r: &mut Rebuild<'_>, i: usize, numbers: &[SymInt]) -> Result<(), Diag> {
        let origin = r.old().node(self.n).origin.clone();
        self.inputs[i] = Some(self.sizes.list(r.graph_mut(), numbers, &origin)?);
        Ok(())
    }
    /// Stretches operand `i` along `axis`, where it has one element, to `size`.
    fn stretch(&mut self, r: &mut Rebuild<'_>, i: usize, axis: usize, size: &Dim) -> Result<(), Diag> {
        let (Some(v), Some(shape)) = (self.inputs[i], self.new_shape(r, i)) else { return Ok(()) };
        let mut target = vec![SymInt::from(1); shape.len()];
        target[axis] = size.to_sym().ok_or_else(|| refused("its size is not known"))?;
        let origin = r.old().node(self.n).origin.clone();
        let target = self.sizes.list(r.graph_mut(), &target, &origin)?;
        self.inputs[i] = Some(Builder::at_end(r.graph_mut(), origin).expand(Expand {}, v, target)?);
        Ok(())
    }

    fn reshape(&mut self, r: &mut Rebuild<'_>) -> Result<(), Diag> {
        let Some(list) = self.ints(r, 1) else { return Ok(()) };
        let old_out = self.fixed_shape(r, r.old().node(self.n).outputs()[0]);
        let (Some(old_in), Some(new_in), Some(old_out)) =
            (self.old_shape(r, 0), self.new_shape(r, 0), old_out)
        else {
            return Err(refused("the sizes of what it reshapes are not known"));
        };
        let was = |d: &Dim| match self.sizes.old(d) {
            Dim::Known(n) => {
                let mut all = vec![n];
                if let Dim::Expr(e) = d {
                    all.extend(
                        e.symbols()
                            .iter()
                            .filter_map(|s| u64::try_from(self.sizes.at_old(&SymInt::symbol(s))?).ok()),
                    );
                }
                all
            }
            _ => vec![],
        };
        let out = reshaped(&old_in, &new_in, &old_out, &was).map_err(refused)?;
        let copies = r.old().node(self.n).op().def().attr("allowzero") != Some(Attr::Bool(true));
        let mut numbers = vec![];
        let mut rest = list.contains(&-1).then(|| list.iter().position(|v| *v == -1)).flatten();
        rest = rest.filter(|at| out.get(*at).is_some_and(|d| d.known().is_none()));
        for (i, d) in out.iter().enumerate() {
            let same = |j: usize| copies && new_in.get(j) == Some(d) && d.known().is_none();
            numbers.push(match d.known().and_then(|n| i64::try_from(n).ok()) {
                Some(n) => SymInt::from(n),
                None if same(i) && rest != Some(i) => SymInt::from(0),
                None if rest.is_none() || rest == Some(i) => {
                    rest = Some(i);
                    SymInt::from(-1)
                }
                None => d.to_sym().ok_or_else(|| refused("a size of its result is not known"))?,
            });
        }
        let same = numbers.iter().map(SymInt::as_const).eq(list.iter().map(|v| Some(*v)));
        if same { Ok(()) } else { self.set_list(r, 1, &numbers) }
    }

    /// A size that restates that of the data is 1: it stretches nothing.
    fn expand(&mut self, r: &mut Rebuild<'_>) -> Result<(), Diag> {
        let (Some(mut list), Some(shape)) = (self.ints(r, 1), self.new_shape(r, 0)) else { return Ok(()) };
        let shift = list.len().checked_sub(shape.len());
        let mut any = false;
        for (axis, old) in self.changed(r, 0) {
            let at = shift.map(|s| s + axis).or_else(|| (axis + list.len()).checked_sub(shape.len()));
            if let Some(entry) = at.and_then(|at| list.get_mut(at))
                && u64::try_from(*entry) == Ok(old)
                && old != 1
            {
                (*entry, any) = (1, true);
            }
        }
        let numbers: Vec<SymInt> = list.into_iter().map(SymInt::from).collect();
        if any { self.set_list(r, 1, &numbers) } else { Ok(()) }
    }

    fn slice(&mut self, r: &mut Rebuild<'_>) -> Result<(), Diag> {
        let changed = self.changed(r, 0);
        let (Some(starts), Some(mut ends), Some(shape)) =
            (self.ints(r, 1), self.ints(r, 2), self.new_shape(r, 0))
        else {
            return Ok(());
        };
        let axes = self.ints(r, 3).unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = self.ints(r, 4).unwrap_or_else(|| vec![1; starts.len()]);
        let mut any = false;
        for (i, axis) in axes.iter().enumerate() {
            let at = resolve_axis(*axis, shape.len()).map_err(|e| refused(e.message))?;
            let Some((_, old)) = changed.iter().find(|(a, _)| *a == at) else { continue };
            let (Some(start), Some(end), Some(step)) = (starts.get(i), ends.get_mut(i), steps.get(i)) else {
                continue;
            };
            let old = i64::try_from(*old).unwrap_or(i64::MAX);
            if *end != old || *step < 1 {
                continue;
            }
            if old == 1 {
                let d = &shape[at];
                return Err(refused(format!(
                    "it takes elements {start} to {end} of {d}: all of them, or the first?"
                )));
            }
            (*end, any) = (i64::MAX, true);
        }
        if !any {
            return Ok(());
        }
        let dtype = self.old_operand(r, 2).and_then(|v| r.old().ty(v).as_tensor()).map(|t| t.dtype);
        let ends = Tensor::from_ints(&ends.iter().map(|e| (*e).min(i64::from(i32::MAX))).collect::<Vec<_>>());
        let ends = match dtype {
            Some(d) => ends.cast(d, false).map_err(|e| refused(e.to_string()))?,
            None => ends,
        };
        self.inputs[2] = Some(r.graph_mut().add_const(ends));
        Ok(())
    }

    fn gather(&mut self, r: &mut Rebuild<'_>) -> Result<(), Diag> {
        let Some(shape) = self.new_shape(r, 0) else { return Ok(()) };
        let Some(Attr::Int(axis)) = r.old().node(self.n).op().def().attr("axis") else { return Ok(()) };
        let at = resolve_axis(axis, shape.len()).map_err(|e| refused(e.message))?;
        let one = self.changed(r, 0).contains(&(at, 1));
        if one && self.ints(r, 1).is_some() {
            return Err(refused(format!("it takes the only element of an axis that is {} now", shape[at])));
        }
        Ok(())
    }

    /// Tuples that all begin with the only element of the first axis, and of which there are as many as that has elements, belong to
    /// one element each: the first axis is one that both have in common.
    fn gather_nd(&mut self, r: &mut Rebuild<'_>) -> Result<(), Diag> {
        let node = r.old().node(self.n);
        let changed = self.changed(r, 0);
        let indices = self.inputs[1].and_then(|v| r.graph().constant(v)).cloned();
        let Some(indices) = indices.filter(|_| !changed.is_empty()) else {
            return r.add(self.n, node.op().clone(), self.inputs.clone()).map(drop);
        };
        let (width, dims) = (indices.shape().last().copied().unwrap_or(0), indices.shape().to_vec());
        let batched = node.op().def().attr("batch_dims") != Some(Attr::Int(0));
        let values = indices.to_i64s().map_err(|e| refused(e.to_string()))?;
        let holds = |axis: usize| axis < width && !batched && changed.contains(&(axis, 1));
        if !(0..width).any(holds) {
            return r.add(self.n, node.op().clone(), self.inputs.clone()).map(drop);
        }
        let first =
            values.chunks_exact(width.max(1)).all(|tuple| tuple.first().is_some_and(|i| matches!(i, 0 | -1)));
        let fits = dims.len() >= 2 && dims[0] == 1 && width >= 2 && first && !(1..width).any(holds);
        let size = self.new_shape(r, 0).and_then(|s| s.first().cloned()).filter(|_| fits);
        let Some(size) = size else {
            return Err(refused("its indices name the only element of an axis that is dynamic now"));
        };
        let rest: Vec<i64> = values.chunks_exact(width).flat_map(|tuple| tuple[1..].to_vec()).collect();
        let shape = [&dims[..dims.len() - 1], &[width - 1]].concat();
        self.inputs[1] = Some(r.graph_mut().add_const(Tensor::from_vec(&shape, rest)));
        self.stretch(r, 1, 0, &size)?;
        let mut op = node.op().clone();
        op.def_mut().set_attr("batch_dims", &Attr::Int(1)).map_err(|e| refused(e.message))?;
        r.add(self.n, op, self.inputs.clone()).map(drop)
    }

    fn squeeze(&mut self, r: &mut Rebuild<'_>) -> Result<(), Diag> {
        let changed = self.changed(r, 0);
        let Some(shape) = self.new_shape(r, 0) else { return Ok(()) };
        let axes = self.ints(r, 1).unwrap_or_else(|| (0..shape.len() as i64).collect());
        for axis in axes {
            let at = resolve_axis(axis, shape.len()).map_err(|e| refused(e.message))?;
            if changed.contains(&(at, 1)) {
                return Err(refused(format!("it takes away an axis of size 1 that is {} now", shape[at])));
            }
        }
        Ok(())
    }

    /// Operands of one element along an axis along which others are dynamic are stretched: join asks for equal sizes.
    fn concat(&mut self, r: &mut Rebuild<'_>) -> Result<(), Diag> {
        let Some(Attr::Int(axis)) = r.old().node(self.n).op().def().attr("axis") else { return Ok(()) };
        let shapes: Vec<Option<Shape>> = (0..self.inputs.len()).map(|i| self.new_shape(r, i)).collect();
        let Some(rank) = shapes.iter().flatten().map(Vec::len).next() else { return Ok(()) };
        let joined = resolve_axis(axis, rank).map_err(|e| refused(e.message))?;
        for a in (0..rank).filter(|a| *a != joined) {
            let dynamic =
                shapes.iter().flatten().filter_map(|s| s.get(a)).find(|d| self.sizes.takes_part(d)).cloned();
            let Some(size) = dynamic.filter(|d| self.sizes.old(d) == Dim::Known(1)) else { continue };
            for (i, shape) in shapes.iter().enumerate() {
                if shape.as_ref().and_then(|s| s.get(a)) == Some(&Dim::Known(1)) {
                    self.stretch(r, i, a, &size)?;
                }
            }
        }
        Ok(())
    }

    /// A size that restates that of the data is that of the data.
    fn resize(&mut self, r: &mut Rebuild<'_>) -> Result<(), Diag> {
        let (Some(list), Some(shape)) = (self.ints(r, 3), self.new_shape(r, 0)) else { return Ok(()) };
        let axes = match r.old().node(self.n).op().def().attr("axes") {
            Some(Attr::Ints(axes)) if !axes.is_empty() => axes,
            _ => (0..shape.len() as i64).collect(),
        };
        let changed = self.changed(r, 0);
        let mut numbers: Vec<SymInt> = list.iter().copied().map(SymInt::from).collect();
        let mut any = false;
        for (i, axis) in axes.iter().enumerate() {
            let at = resolve_axis(*axis, shape.len()).map_err(|e| refused(e.message))?;
            let restated = changed.iter().any(|(a, old)| *a == at && u64::try_from(list[i]) == Ok(*old));
            if let (true, Some(size)) = (restated, shape[at].to_sym()) {
                (numbers[i], any) = (size, true);
            }
        }
        if any { self.set_list(r, 3, &numbers) } else { Ok(()) }
    }

    /// Initial states for one sequence serve all.
    fn states(&mut self, r: &mut Rebuild<'_>, states: &[usize]) -> Result<(), Diag> {
        let last = r.old().node(self.n).op().def().attr("layout") == Some(Attr::Int(1));
        let (of_x, of_state) = if last { (0, 0) } else { (1, 1) };
        let Some(size) = self.new_shape(r, 0).and_then(|s| s.get(of_x).cloned()) else { return Ok(()) };
        if !self.sizes.takes_part(&size) {
            return Ok(());
        }
        for i in states.iter().copied() {
            if self.new_shape(r, i).is_some_and(|s| s.get(of_state) == Some(&Dim::Known(1))) {
                self.stretch(r, i, of_state, &size)?;
            }
        }
        Ok(())
    }
}
