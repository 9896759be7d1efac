//! Sums of matrix products and constants, taken apart.
//!
//! ```text
//! split(add(gemm(concat(x, h), K, b), 1))  ->  x K_x + h K_h + b + 1, in the columns of the piece
//! ```
use super::step::{Columns, Step};
use crate::norm_formula::dims;
use hoist_ir::graph::{Def, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;

/// Sums in sums, at most.
const DEPTH: usize = 12;

/// A sum of products and constants.
#[derive(Default)]
pub struct Linear {
    /// Values of the body and the constant matrices they are multiplied by.
    pub products: Vec<(ValueId, Tensor)>,
    /// Constant rows.
    pub biases: Vec<Tensor>,
    /// Values that are multiplied by a constant row, element by element.
    pub scaled: Vec<(ValueId, Tensor)>,
    /// Values that are multiplied element by element.
    pub gated: Vec<(Columns, Columns)>,
}

impl Linear {
    /// `part` taken apart; `None` where something else is in it.
    pub fn of(step: &Step<'_>, part: Columns) -> Option<Self> {
        let mut out = Self::default();
        out.collect(step, part, 0)?;
        Some(out)
    }
    fn collect(&mut self, step: &Step<'_>, part: Columns, depth: usize) -> Option<()> {
        let part = step.source(part);
        let Def::Node { node: n, slot: 0 } = step.body.value(part.v).def() else { return None };
        let node = step.body.node(n);
        if depth > DEPTH {
            return None;
        }
        match node.op() {
            Op::Add(_) => {
                for v in node.inputs() {
                    self.term(step, (*v)?, part, depth)?;
                }
                Some(())
            }
            Op::MatMul(_) => self.product(step, node.input(0)?, node.input(1)?, false, part),
            Op::Gemm(op) if op.alpha == 1.0 && op.beta == 1.0 && !op.trans_a => {
                self.product(step, node.input(0)?, node.input(1)?, op.trans_b, part)?;
                node.input(2).map_or(Some(()), |c| self.term(step, c, part, depth))
            }
            Op::Mul(_) => {
                let (a, b) = (node.input(0)?, node.input(1)?);
                for (x, row) in [(a, b), (b, a)] {
                    if let Some(row) = row_of(step, row, part) {
                        self.scaled.push((all(step, x, part)?.v, row));
                        return Some(());
                    }
                }
                self.gated.push((same(step, a, part)?, same(step, b, part)?));
                Some(())
            }
            Op::Concat(op) if resolve_axis(op.axis, 2) == Ok(1) => {
                let mut start = 0;
                for v in node.inputs() {
                    let width = step.size((*v)?, 1)?;
                    if (start..start + width).contains(&part.start) {
                        let inner = Columns { v: (*v)?, start: part.start - start, len: part.len };
                        let fits = inner.start + inner.len <= width;
                        return if fits { self.collect(step, inner, depth + 1) } else { None };
                    }
                    start += width;
                }
                None
            }
            _ => None,
        }
    }
    /// A term of the sum that `part` is columns of.
    fn term(&mut self, step: &Step<'_>, v: ValueId, part: Columns, depth: usize) -> Option<()> {
        if let Some(row) = row_of(step, v, part) {
            self.biases.push(row);
            return Some(());
        }
        self.collect(step, same(step, v, part)?, depth + 1)
    }
    fn product(
        &mut self,
        step: &Step<'_>,
        x: ValueId,
        w: ValueId,
        transposed: bool,
        part: Columns,
    ) -> Option<()> {
        let w = step.constant(w).filter(|w| w.rank() == 2)?;
        let w = if transposed { w.permute(&[1, 0]).ok()? } else { w.clone() };
        let rows = w.shape()[0];
        let w = w.slice(&[0, part.start], &[rows, part.len]).ok()?;
        dims(step.body, x).filter(|d| d.len() == 2)?;
        let joined = step.body.producer(x).map(|n| step.body.node(n)).filter(|n| match n.op() {
            Op::Concat(op) => resolve_axis(op.axis, 2) == Ok(1),
            _ => false,
        });
        let Some(joined) = joined else {
            self.products.push((x, w));
            return Some(());
        };
        let mut first = 0;
        for v in joined.inputs() {
            let width = step.size((*v)?, 1)?;
            self.products.push(((*v)?, w.slice(&[first, 0], &[width, part.len]).ok()?));
            first += width;
        }
        (first == rows).then_some(())
    }
}

/// `v` in the columns of `part`, where it has all columns of what `part` is cut out of.
fn same(step: &Step<'_>, v: ValueId, part: Columns) -> Option<Columns> {
    let whole = step.whole(v)?;
    (Some(whole.len) == step.size(part.v, 1)).then_some(Columns { v, ..part })
}

/// `v`, where `part` is all columns and `v` has as many.
fn all(step: &Step<'_>, v: ValueId, part: Columns) -> Option<Columns> {
    let whole = step.whole(v)?;
    (part.start == 0 && part.len == whole.len && Some(whole.len) == step.size(part.v, 1)).then_some(whole)
}

/// Constant `v`, one number or one row, in the columns of `part`.
fn row_of(step: &Step<'_>, v: ValueId, part: Columns) -> Option<Tensor> {
    let (t, width) = (step.constant(v)?, step.size(part.v, 1)?);
    let is_row = t.rank() <= 2 && t.len() == width && t.shape().last() == Some(&width);
    if t.len() == 1 && t.rank() <= 2 {
        return Tensor::splat(&t.reshape(&[]).ok()?, &[part.len]).ok();
    }
    is_row.then(|| t.reshape(&[width]).ok()?.slice(&[part.start], &[part.len]).ok())?
}
