//! `einsum` in terms of transposes, sums and matrix products.
use super::einsum::Einsum;
use super::einsum_terms::Label;
use super::mat_mul::MatMul;
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dim::Dim;
use crate::expand::{Expanded, operand};
use crate::graph::ValueId;
use crate::ops::elementwise::arithmetic::Mul;
use crate::ops::movement::concat::Concat;
use crate::ops::movement::reshape::Reshape;
use crate::ops::movement::slice::Slice;
use crate::ops::movement::squeeze::Squeeze;
use crate::ops::movement::transpose::Transpose;
use crate::ops::movement::unsqueeze::Unsqueeze;
use crate::ops::reduce::reductions::ReduceSum;
use crate::ops::shape::shape::Shape;

/// An operand whose axes have labels.
struct Term {
    v: ValueId,
    labels: Vec<Label>,
}

/// A size to reshape to.
enum Size {
    Known(i64),
    /// The product of the sizes of these axes of a value.
    Of(ValueId, Vec<usize>),
}

fn dims(b: &Builder<'_>, v: ValueId) -> Option<Vec<Dim>> {
    b.graph().ty(v).as_tensor()?.shape.clone()
}

fn known(dims: &[Dim]) -> Option<i64> {
    dims.iter().try_fold(1i64, |n, d| n.checked_mul(i64::try_from(d.known()?).ok()?))
}

/// The size of axes `axes` of `v` together.
fn size(b: &Builder<'_>, v: ValueId, axes: Vec<usize>) -> Size {
    let all = dims(b, v).unwrap_or_default();
    let mine: Option<Vec<Dim>> = axes.iter().map(|a| all.get(*a).cloned()).collect();
    mine.and_then(|m| known(&m)).map_or(Size::Of(v, axes), Size::Known)
}

/// `v` with these sizes; at most one that is not known is left to follow from the others.
fn reshaped(b: &mut Builder<'_>, v: ValueId, sizes: Vec<Size>) -> Result<ValueId, Diag> {
    let open = sizes.iter().filter(|s| matches!(s, Size::Of(..))).count();
    let empty = sizes.iter().any(|s| matches!(s, Size::Known(0)));
    let to = if open == 0 || (open == 1 && !empty) {
        let list: Vec<i64> = sizes.iter().map(|s| if let Size::Known(n) = s { *n } else { -1 }).collect();
        b.ints(&list)
    } else {
        let mut parts = vec![];
        for s in sizes {
            parts.push(match s {
                Size::Known(n) => b.ints(&[n]),
                Size::Of(v, axes) => {
                    let mut product = b.ints(&[1]);
                    for a in axes {
                        let one = b.shape(Shape { start: a as i64, end: Some(a as i64 + 1) }, v)?;
                        product = b.mul(Mul {}, product, one)?;
                    }
                    product
                }
            });
        }
        b.concat(Concat { axis: 0 }, &parts)?
    };
    b.reshape(Reshape { allowzero: true }, v, to)
}

impl Term {
    fn has(&self, l: Label) -> bool {
        self.labels.contains(&l)
    }
    /// With its axes in the order of `labels`.
    fn turned(&self, b: &mut Builder<'_>, labels: &[Label]) -> Result<ValueId, Diag> {
        if self.labels == labels {
            return Ok(self.v);
        }
        let at = |l: &Label| self.labels.iter().position(|m| m == l).map(|i| i as i64);
        let perm: Option<Vec<i64>> = labels.iter().map(at).collect();
        let perm = perm.ok_or_else(|| Diag::error("E0901", "a label without axis"))?;
        b.transpose(Transpose { perm }, self.v)
    }
    /// Takes the diagonal of axes that share a label; false when their size is not known.
    fn diagonals(&mut self, b: &mut Builder<'_>) -> Result<bool, Diag> {
        loop {
            let pair = (0..self.labels.len())
                .find_map(|j| self.labels[..j].iter().position(|l| *l == self.labels[j]).map(|i| (i, j)));
            let Some((i, j)) = pair else { return Ok(true) };
            let all = dims(b, self.v).unwrap_or_default();
            let Some(n) = all.get(i).and_then(|d| known(std::slice::from_ref(d))) else { return Ok(false) };
            if all.get(j).and_then(|d| known(std::slice::from_ref(d))) != Some(n) {
                return Ok(false);
            }
            let others: Vec<usize> = (0..self.labels.len()).filter(|k| *k != i && *k != j).collect();
            let perm = others.iter().chain([&i, &j]).map(|k| *k as i64).collect();
            let turned = b.transpose(Transpose { perm }, self.v)?;
            let mut sizes: Vec<Size> = (0..others.len()).map(|k| size(b, turned, vec![k])).collect();
            let area = n.checked_mul(n).ok_or_else(|| Diag::error("E0303", "an axis is too long"))?;
            sizes.push(Size::Known(area));
            let flat = reshaped(b, turned, sizes)?;
            let (start, end, axis, step) = (b.ints(&[0]), b.ints(&[area]), b.ints(&[-1]), b.ints(&[n + 1]));
            self.v = b.slice(Slice {}, flat, start, end, Some(axis), Some(step))?;
            let label = self.labels[i];
            self.labels = others.iter().map(|k| self.labels[*k]).chain([label]).collect();
        }
    }
    /// Drops axes of size 1 whose label has another size elsewhere, and sums those that are not `needed`.
    fn trim(
        &mut self,
        b: &mut Builder<'_>,
        sizes: &[(Label, Dim)],
        needed: impl Fn(Label) -> bool,
    ) -> Result<(), Diag> {
        let all = dims(b, self.v).unwrap_or_default();
        let stretched = |l: Label| sizes.iter().any(|(m, d)| *m == l && *d != Dim::Known(1));
        let drop: Vec<i64> = (0..self.labels.len())
            .filter(|i| all.get(*i) == Some(&Dim::Known(1)) && stretched(self.labels[*i]))
            .map(|i| i as i64)
            .collect();
        if !drop.is_empty() {
            let axes = b.ints(&drop);
            self.v = b.squeeze(Squeeze {}, self.v, Some(axes))?;
            let mut i = 0;
            self.labels.retain(|_| {
                i += 1;
                !drop.contains(&(i - 1))
            });
        }
        let summed: Vec<i64> =
            (0..self.labels.len()).filter(|i| !needed(self.labels[*i])).map(|i| i as i64).collect();
        if !summed.is_empty() {
            let axes = b.ints(&summed);
            self.v =
                b.reduce_sum(ReduceSum { keepdims: false, ..ReduceSum::default() }, self.v, Some(axes))?;
            self.labels.retain(|l| needed(*l));
        }
        Ok(())
    }
}

/// `v`, whose axes are `lead` axes, then `first`, then `second`, as matrices behind the `lead` axes.
fn matrices(
    b: &mut Builder<'_>,
    v: ValueId,
    lead: usize,
    first: usize,
    second: usize,
) -> Result<ValueId, Diag> {
    if first == 1 && second == 1 {
        return Ok(v);
    }
    let mut sizes: Vec<Size> = (0..lead).map(|k| size(b, v, vec![k])).collect();
    sizes.push(size(b, v, (lead..lead + first).collect()));
    sizes.push(size(b, v, (lead + first..lead + first + second).collect()));
    reshaped(b, v, sizes)
}

/// Product of two operands; only labels that are `needed` later remain.
fn combine(b: &mut Builder<'_>, x: &Term, y: &Term, needed: impl Fn(Label) -> bool) -> Result<Term, Diag> {
    let shared = |keep: bool| -> Vec<Label> {
        x.labels.iter().copied().filter(|l| y.has(*l) && needed(*l) == keep).collect()
    };
    let (batch, summed) = (shared(true), shared(false));
    let rows: Vec<Label> = x.labels.iter().copied().filter(|l| !y.has(*l)).collect();
    let cols: Vec<Label> = y.labels.iter().copied().filter(|l| !x.has(*l)).collect();
    let labels = [batch.as_slice(), &rows, &cols].concat();
    let (n, r, c) = (batch.len(), rows.len(), cols.len());
    let left = x.turned(b, &[batch.as_slice(), &rows, &summed].concat())?;
    let right = y.turned(b, &[batch.as_slice(), &summed, &cols].concat())?;
    if summed.is_empty() {
        let spread = |b: &mut Builder<'_>, v: ValueId, at: usize, count: usize| {
            if count == 0 {
                return Ok(v);
            }
            let axes = b.ints(&(at..at + count).map(|a| a as i64).collect::<Vec<_>>());
            b.unsqueeze(Unsqueeze {}, v, axes)
        };
        let (left, right) = (spread(b, left, n + r, c)?, spread(b, right, n, r)?);
        return Ok(Term { v: b.mul(Mul {}, left, right)?, labels });
    }
    let k = summed.len();
    let (first, second) = (matrices(b, left, n, r, k)?, matrices(b, right, n, k, c)?);
    let mut v = b.mat_mul(MatMul {}, first, second)?;
    if r != 1 || c != 1 {
        let mut sizes: Vec<Size> = (0..n).map(|i| size(b, v, vec![i])).collect();
        sizes.extend((n..n + r).map(|i| size(b, left, vec![i])));
        sizes.extend((n + k..n + k + c).map(|i| size(b, right, vec![i])));
        v = reshaped(b, v, sizes)?;
    }
    Ok(Term { v, labels })
}

/// The expansion; none while a rank is not known, or the size of a diagonal.
pub(super) fn expand(op: &Einsum, b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let values = (0..inputs.len()).map(|i| operand(inputs, i)).collect::<Result<Vec<_>, _>>()?;
    let Some(shapes) = values.iter().map(|v| dims(b, *v)).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let shapes: Vec<&[Dim]> = shapes.iter().map(Vec::as_slice).collect();
    let (labels, sizes) = op.labels(&shapes).map_err(|e| Diag::error(e.code, e.message))?;
    let mut terms = vec![];
    for (i, (v, mine)) in values.iter().zip(&labels.inputs).enumerate() {
        let mut term = Term { v: *v, labels: mine.clone() };
        if !term.diagonals(b)? {
            return Ok(None);
        }
        let elsewhere = |l: Label| labels.inputs.iter().enumerate().any(|(k, t)| k != i && t.contains(&l));
        term.trim(b, &sizes, |l| labels.output.contains(&l) || elsewhere(l))?;
        terms.push(term);
    }
    let mut rest = terms.into_iter();
    let Some(mut all) = rest.next() else { return Ok(None) };
    while let Some(next) = rest.next() {
        let later = rest.as_slice();
        let needed = |l: Label| labels.output.contains(&l) || later.iter().any(|t| t.has(l));
        // An axis of size 1 that was dropped elsewhere may be left here alone.
        let both = |l: Label, other: &Term| needed(l) || other.has(l);
        let mut next = next;
        all.trim(b, &[], |l| both(l, &next))?;
        next.trim(b, &[], |l| both(l, &all))?;
        all = combine(b, &all, &next, needed)?;
    }
    all.trim(b, &[], |l| labels.output.contains(&l))?;
    Ok(Some(vec![all.turned(b, &labels.output)?]))
}
