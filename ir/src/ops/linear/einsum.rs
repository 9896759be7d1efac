//! `einsum`
use super::compute::{Compute, count, zeros};
use super::einsum_terms::{Equation, Label, Labels};
use super::ints::{int_tensor, multiply_ints};
use crate::builder::Builder;
use crate::dim::Dim;
use crate::dtype::{DType, NUMERIC};
use crate::eval::{EvalCx, Value, one};
use crate::expand::Expanded;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::kernel::gemm::{BatchOperand, batched_matmul};
use crate::op::{OpError, Semantics};
use crate::tensor::{Tensor, strides};
use crate::types::{TensorType, Type};
use std::borrow::Cow;

crate::op! {
    /// Sum of products over labelled axes, such as `bij,bjk->bik`. Labels are letters; `...` stands for axes that broadcast,
    /// aligned at their end. Axes of size 1 stretch. Without `->` the result has the ellipsis and then the letters that
    /// occur once, sorted. Operands are multiplied from left to right as batches of matrix products.
    einsum Einsum(inputs: Many<T>) -> (y: One<T>) {
        /// The equation.
        equation: String = String::new(),
    } where T: NUMERIC;
}

/// Elements of an intermediate product from which on evaluation is refused.
const MAX_INTERMEDIATE: usize = 1 << 29;

/// Elements an einsum computes with.
trait Number: Copy + Send + Sync + bytemuck::Zeroable {
    fn plus(self, other: Self) -> Self;
    /// `out[i] = a[i] * b[i]` for `batch` products of `m x k` and `k x n` matrices without gaps; a side that is flagged
    /// is stored transposed.
    fn products(a: &[Self], b: &[Self], s: &Step, out: &mut [Self]) -> Result<(), OpError>;
}

fn float_products<T: Compute>(a: &[T], b: &[T], s: &Step, out: &mut [T]) -> Result<(), OpError> {
    let offsets = |len: usize| (0..s.batch).map(|i| i * len).collect::<Vec<_>>();
    let (at, bt) = (offsets(s.m * s.k), offsets(s.k * s.n));
    let strides = |transposed: bool, rows: usize, cols: usize| if transposed { (1, rows) } else { (cols, 1) };
    let (ar, ac) = strides(s.a_transposed, s.m, s.k);
    let (br, bc) = strides(s.b_transposed, s.k, s.n);
    let left = BatchOperand { data: a, offsets: &at, row_stride: ar, col_stride: ac };
    let right = BatchOperand { data: b, offsets: &bt, row_stride: br, col_stride: bc };
    Ok(batched_matmul(left, right, (s.m, s.k, s.n), out)?)
}

impl Number for f32 {
    fn plus(self, other: Self) -> Self {
        self + other
    }
    fn products(a: &[Self], b: &[Self], s: &Step, out: &mut [Self]) -> Result<(), OpError> {
        float_products(a, b, s, out)
    }
}
impl Number for f64 {
    fn plus(self, other: Self) -> Self {
        self + other
    }
    fn products(a: &[Self], b: &[Self], s: &Step, out: &mut [Self]) -> Result<(), OpError> {
        float_products(a, b, s, out)
    }
}
impl Number for i64 {
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    fn products(a: &[Self], b: &[Self], s: &Step, out: &mut [Self]) -> Result<(), OpError> {
        use super::compute::swap_axes;
        let a = if s.a_transposed { Cow::Owned(swap_axes(a, s.k, s.m)) } else { Cow::Borrowed(a) };
        let b = if s.b_transposed { Cow::Owned(swap_axes(b, s.n, s.k)) } else { Cow::Borrowed(b) };
        for (i, out) in out.chunks_mut((s.m * s.n).max(1)).enumerate() {
            multiply_ints(&a[i * s.m * s.k..], &b[i * s.k * s.n..], (s.m, s.k, s.n), out);
        }
        Ok(())
    }
}

/// One batch of matrix products.
#[derive(Clone, Copy, Debug)]
struct Step {
    batch: usize,
    m: usize,
    k: usize,
    n: usize,
    a_transposed: bool,
    b_transposed: bool,
}

/// Size of each label: the common one of the operands, where 1 stretches.
fn label_sizes(labels: &Labels, shapes: &[&[Dim]]) -> Result<Vec<(Label, Dim)>, OpError> {
    let mut sizes: Vec<(Label, Dim)> = vec![];
    for (labels, shape) in labels.inputs.iter().zip(shapes) {
        for (i, (label, dim)) in labels.iter().zip(*shape).enumerate() {
            let repeated = labels[..i].iter().position(|l| l == label);
            if let Some(first) = repeated.filter(|f| shape[*f].surely_differs(dim)) {
                let m =
                    format!("axes {first} and {i} share a label and have sizes {} and {dim}", shape[first]);
                return Err(OpError::shape(m));
            }
            match sizes.iter_mut().find(|(l, _)| l == label) {
                None => sizes.push((*label, dim.clone())),
                Some((_, size)) => {
                    *size = crate::infer::broadcast(std::slice::from_ref(size), std::slice::from_ref(dim))?
                        .pop()
                        .unwrap_or(Dim::Unknown);
                }
            }
        }
    }
    Ok(sizes)
}

/// A dense operand whose axes have labels, each once.
#[derive(Clone)]
struct Part<'a, T: Clone> {
    labels: Vec<Label>,
    sizes: Vec<usize>,
    data: Cow<'a, [T]>,
}

impl<T: Number> Part<'_, T> {
    /// The elements with `labels` as axes in this order; diagonals of repeated labels are taken, axes that are left out are
    /// summed.
    fn arrange(self, labels: &[Label]) -> Result<Self, OpError> {
        if self.labels == labels {
            return Ok(self);
        }
        let steps = strides(&self.sizes);
        let axis = |l: Label| -> (usize, usize) {
            let mine = self.labels.iter().enumerate().filter(|(_, m)| **m == l);
            mine.fold((1, 0), |(_, step), (i, _)| (self.sizes[i], step + steps[i]))
        };
        let mut summed: Vec<Label> = vec![];
        for l in self.labels.iter().filter(|l| !labels.contains(l)) {
            if !summed.contains(l) {
                summed.push(*l);
            }
        }
        let kept: Vec<_> = labels.iter().map(|l| axis(*l)).collect();
        let inner: Vec<_> = summed.iter().map(|l| axis(*l)).collect();
        let sizes: Vec<usize> = kept.iter().map(|a| a.0).collect();
        let mut out = zeros::<T>(count(&sizes)?)?;
        if count(&inner.iter().map(|a| a.0).collect::<Vec<_>>())? > 0 {
            let mut starts = Odometer::new(&kept);
            for o in &mut out {
                let mut terms = Odometer::new(&inner);
                let base = starts.at;
                *o = self.data[base + terms.at];
                while terms.step() {
                    *o = o.plus(self.data[base + terms.at]);
                }
                starts.step();
            }
        }
        Ok(Self { labels: labels.to_vec(), sizes, data: Cow::Owned(out) })
    }
    fn size(&self, l: Label) -> usize {
        self.labels.iter().position(|m| *m == l).map_or(1, |i| self.sizes[i])
    }
    /// Drops axes of size 1 of which another operand has the full size.
    fn squeeze(&mut self, sizes: &[(Label, Dim)]) {
        let stretched = |l: Label| sizes.iter().any(|(m, d)| *m == l && *d != Dim::Known(1));
        let keep: Vec<usize> =
            (0..self.labels.len()).filter(|i| self.sizes[*i] != 1 || !stretched(self.labels[*i])).collect();
        self.labels = keep.iter().map(|i| self.labels[*i]).collect();
        self.sizes = keep.iter().map(|i| self.sizes[*i]).collect();
    }
    fn has(&self, l: Label) -> bool {
        self.labels.contains(&l)
    }
}

/// Counts through positions of some axes in row-major order, following the element's place.
struct Odometer<'a> {
    axes: &'a [(usize, usize)],
    index: Vec<usize>,
    at: usize,
}

impl<'a> Odometer<'a> {
    fn new(axes: &'a [(usize, usize)]) -> Self {
        Self { axes, index: vec![0; axes.len()], at: 0 }
    }
    /// Moves on; false after the last position.
    fn step(&mut self) -> bool {
        for (i, (size, step)) in self.axes.iter().enumerate().rev() {
            self.index[i] += 1;
            self.at += step;
            if self.index[i] < *size {
                return true;
            }
            self.at -= step * self.index[i];
            self.index[i] = 0;
        }
        false
    }
}

/// Labels of a product of two operands by role.
struct Roles {
    batch: Vec<Label>,
    rows: Vec<Label>,
    cols: Vec<Label>,
    summed: Vec<Label>,
}

impl Roles {
    /// `needed` tells which labels the result or later operands have.
    fn new(a: &[Label], b: &[Label], needed: impl Fn(Label) -> bool) -> Self {
        let shared = |keep: bool| a.iter().copied().filter(|l| b.contains(l) && needed(*l) == keep).collect();
        let alone = |x: &[Label], y: &[Label]| x.iter().copied().filter(|l| !y.contains(l)).collect();
        Self { batch: shared(true), summed: shared(false), rows: alone(a, b), cols: alone(b, a) }
    }
}

fn joined(parts: &[&[Label]]) -> Vec<Label> {
    parts.concat()
}

/// Product of two operands; only labels that are `needed` later remain.
fn combine<'a, T: Number>(
    a: Part<'a, T>,
    b: Part<'a, T>,
    needed: impl Fn(Label) -> bool,
) -> Result<Part<'a, T>, OpError> {
    let only = |x: &Part<'_, T>, y: &Part<'_, T>| -> Vec<Label> {
        let mut out: Vec<Label> = vec![];
        for l in x.labels.iter().filter(|l| needed(**l) || y.has(**l)) {
            if !out.contains(l) {
                out.push(*l);
            }
        }
        out
    };
    let (la, lb) = (only(&a, &b), only(&b, &a));
    let r = Roles::new(&la, &lb, &needed);
    // An operand that is already transposed is multiplied as it is.
    let a_transposed = la.len() == a.labels.len() && a.labels == joined(&[&r.batch, &r.summed, &r.rows]);
    let b_transposed = lb.len() == b.labels.len() && b.labels == joined(&[&r.batch, &r.cols, &r.summed]);
    let a = if a_transposed { a } else { a.arrange(&joined(&[&r.batch, &r.rows, &r.summed]))? };
    let b = if b_transposed { b } else { b.arrange(&joined(&[&r.batch, &r.summed, &r.cols]))? };
    let size =
        |labels: &[Label], x: &Part<'_, T>| count(&labels.iter().map(|l| x.size(*l)).collect::<Vec<_>>());
    let step = Step {
        batch: size(&r.batch, &a)?,
        m: size(&r.rows, &a)?,
        k: size(&r.summed, &a)?,
        n: size(&r.cols, &b)?,
        a_transposed,
        b_transposed,
    };
    let labels = joined(&[&r.batch, &r.rows, &r.cols]);
    let sizes: Vec<usize> = labels.iter().map(|l| if a.has(*l) { a.size(*l) } else { b.size(*l) }).collect();
    let n = count(&sizes)?;
    if n > MAX_INTERMEDIATE {
        return Err(OpError::new("E0307", format!("an intermediate product of einsum has {n} elements")));
    }
    let mut out = zeros::<T>(n)?;
    if n > 0 && step.k > 0 {
        T::products(&a.data, &b.data, &step, &mut out)?;
    }
    Ok(Part { labels, sizes, data: Cow::Owned(out) })
}

/// Evaluates the equation and gives the result's shape and elements.
fn evaluate<T: Number>(
    labels: &Labels,
    sizes: &[(Label, Dim)],
    operands: Vec<(Vec<usize>, Cow<'_, [T]>)>,
) -> Result<(Vec<usize>, Vec<T>), OpError> {
    let mut parts = vec![];
    for (labels, (shape, data)) in labels.inputs.iter().zip(operands) {
        let mut part = Part { labels: labels.clone(), sizes: shape, data };
        let mut unique: Vec<Label> = vec![];
        for l in labels {
            if !unique.contains(l) {
                unique.push(*l);
            }
        }
        part = part.arrange(&unique)?;
        part.squeeze(sizes);
        parts.push(part);
    }
    let mut rest = parts.into_iter();
    let Some(mut acc) = rest.next() else { return Err(OpError::operand("einsum needs an operand")) };
    while let Some(next) = rest.next() {
        let later: Vec<Label> = rest.as_slice().iter().flat_map(|p| p.labels.iter().copied()).collect();
        acc = combine(acc, next, |l| labels.output.contains(&l) || later.contains(&l))?;
    }
    let acc = acc.arrange(&labels.output)?;
    Ok((acc.sizes, acc.data.into_owned()))
}

impl Einsum {
    /// Labels of all axes, and the size of each label.
    pub(super) fn labels(&self, shapes: &[&[Dim]]) -> Result<(Labels, Vec<(Label, Dim)>), OpError> {
        let ranks: Vec<usize> = shapes.iter().map(|s| s.len()).collect();
        let labels = Equation::parse(&self.equation)?.labels(&ranks)?;
        let sizes = label_sizes(&labels, shapes)?;
        Ok((labels, sizes))
    }
}

fn size_of_label(sizes: &[(Label, Dim)], l: Label) -> Dim {
    // An ellipsis of the result that no operand fills has no axes, so that every label is found.
    sizes.iter().find(|(m, _)| *m == l).map_or(Dim::Known(1), |(_, d)| d.clone())
}

impl Semantics for Einsum {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let dtype = cx.dtype(0)?;
        let equation = Equation::parse(&self.equation)?;
        if equation.operands() != cx.len() {
            let m = format!("the equation has {} terms for {} operands", equation.operands(), cx.len());
            return Err(OpError::operand(m));
        }
        let shapes = (0..cx.len()).map(|i| cx.shape(i)).collect::<Result<Option<Vec<_>>, _>>()?;
        let Some(shapes) = shapes else {
            let rank = equation.plain_rank();
            let ty = rank.map_or_else(|| TensorType::unranked(dtype), |r| TensorType::of_rank(dtype, r));
            return Ok(vec![ty.into()]);
        };
        let shapes: Vec<&[Dim]> = shapes.into_iter().map(Vec::as_slice).collect();
        let (labels, sizes) = self.labels(&shapes)?;
        let shape: Vec<Dim> = labels.output.iter().map(|l| size_of_label(&sizes, *l)).collect();
        Ok(vec![TensorType::new(dtype, shape).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let tensors = (0..cx.len()).map(|i| cx.tensor(i)).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = tensors.first() else { return Err(OpError::operand("einsum needs an operand")) };
        let dtype = first.dtype();
        let dims: Vec<Vec<Dim>> =
            tensors.iter().map(|t| t.shape().iter().map(|n| Dim::from(*n)).collect()).collect();
        let (labels, sizes) = self.labels(&dims.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        let shaped = |t: &&Tensor| t.shape().to_vec();
        one(match dtype {
            DType::F64 => floats::<f64>(dtype, &labels, &sizes, &tensors)?,
            t if t.is_float() => floats::<f32>(dtype, &labels, &sizes, &tensors)?,
            _ => {
                let read = |t: &&Tensor| Ok((shaped(t), Cow::Owned(t.to_i64s()?)));
                let operands = tensors.iter().map(read).collect::<Result<Vec<_>, OpError>>()?;
                let (shape, values) = evaluate::<i64>(&labels, &sizes, operands)?;
                int_tensor(dtype, &shape, values)?
            }
        })
    }
    fn expand(&self, b: &mut Builder<'_>, inputs: &[Option<ValueId>], _outputs: usize) -> Expanded {
        super::einsum_expand::expand(self, b, inputs)
    }
    fn macs(&self, inputs: &[Option<&Type>], _outputs: &[&Type]) -> Option<u64> {
        let shapes: Option<Vec<&[Dim]>> =
            inputs.iter().map(|t| t.and_then(Type::as_tensor)?.shape.as_deref()).collect();
        let (labels, sizes) = self.labels(&shapes?).ok()?;
        let product = |ls: &[Label]| {
            let known = ls.iter().map(|l| size_of_label(&sizes, *l).known());
            known.into_iter().try_fold(1u64, |n, d| n.checked_mul(d?))
        };
        let mut total = 0u64;
        let mut acc = labels.inputs.first()?.clone();
        for (i, next) in labels.inputs.iter().enumerate().skip(1) {
            acc.extend(next.iter().filter(|l| !acc.contains(l)).copied().collect::<Vec<_>>());
            acc.sort_unstable();
            acc.dedup();
            total = total.checked_add(product(&acc)?)?;
            let later = &labels.inputs[i + 1..];
            acc.retain(|l| labels.output.contains(l) || later.iter().any(|t| t.contains(l)));
        }
        Some(total)
    }
}

fn floats<T: Compute + Number>(
    dtype: DType,
    labels: &Labels,
    sizes: &[(Label, Dim)],
    tensors: &[&Tensor],
) -> Result<Tensor, OpError> {
    let operands =
        tensors.iter().map(|t| Ok((t.shape().to_vec(), T::read(t)?))).collect::<Result<Vec<_>, OpError>>()?;
    let (shape, values) = evaluate::<T>(labels, sizes, operands)?;
    Ok(T::tensor(dtype, &shape, values)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, f32s, infer, iota, shapes};

    fn run(equation: &str, inputs: &[&Tensor]) -> Tensor {
        let op = Einsum { equation: equation.to_owned() };
        let inputs: Vec<Option<&Tensor>> = inputs.iter().map(|t| Some(*t)).collect();
        eval(&op, &inputs).expect(equation).remove(0)
    }

    #[test]
    fn equations_of_one_operand() {
        let x = iota(&[3, 3]);
        assert_eq!(run("ii->i", &[&x]), f32s(&[3], &[0., 4., 8.]));
        assert_eq!(run("ii", &[&x]), f32s(&[], &[12.]));
        assert_eq!(run("ij->j", &[&x]), f32s(&[3], &[9., 12., 15.]));
        assert_eq!(run("ji", &[&iota(&[2, 3])]), f32s(&[3, 2], &[0., 3., 1., 4., 2., 5.]));
        assert_eq!(run("...ii->...i", &[&iota(&[2, 2, 2])]), f32s(&[2, 2], &[0., 3., 4., 7.]));
        assert_eq!(run("->", &[&f32s(&[], &[7.])]), f32s(&[], &[7.]));
    }

    #[test]
    fn products_in_any_order_of_axes() {
        let (a, b) = (iota(&[2, 2, 3]), iota(&[3, 2, 2]));
        // numpy.einsum('bij,jbk->bik') and 'bij,jbk->kib'.
        let want = [20., 23., 56., 68., 134., 155., 188., 218.];
        assert_eq!(run("bij,jbk->bik", &[&a, &b]), f32s(&[2, 2, 2], &want));
        let turned = [20., 134., 56., 188., 23., 155., 68., 218.];
        assert_eq!(run("bij,jbk->kib", &[&a, &b]), f32s(&[2, 2, 2], &turned));
        assert_eq!(run("i,j,k->", &[&iota(&[3]), &iota(&[2]), &iota(&[4])]), f32s(&[], &[18.]));
        assert_eq!(run("ki,kj->ij", &[&iota(&[2, 2]), &iota(&[2, 2])]), f32s(&[2, 2], &[4., 6., 6., 10.]));
    }

    #[test]
    fn ones_stretch_and_integers_wrap() {
        let (a, b) = (iota(&[2, 1, 2]), iota(&[1, 3, 2]));
        let want = run("...i,...i->...", &[&a, &b]);
        assert_eq!(want, f32s(&[2, 3], &[1., 3., 5., 3., 13., 23.]));
        let i = Tensor::from_vec(&[2], vec![i32::MAX, 1]);
        assert_eq!(run("i,i->", &[&i, &i]), Tensor::from_vec(&[], vec![2i32]));
    }

    #[test]
    fn types() {
        let op = |e: &str| Einsum { equation: e.to_owned() };
        let t = infer(&op("b...ij,b...jk->...ik"), &shapes(&["f32[B, 4, I, J]", "f32[B, 4, J, 7]"]));
        assert_eq!(t.expect("fits")[0].to_string(), "f32[4, I, 7]");
        assert!(infer(&op("ij,jk"), &shapes(&["f32[2, 3]", "f32[4, 5]"])).is_err());
        assert!(infer(&op("ii"), &shapes(&["f32[2, 3]"])).is_err());
        assert_eq!(
            infer(&op("ij,j->i"), &shapes(&["f32[*]", "f32[3]"])).expect("ok")[0].to_string(),
            "f32[?]"
        );
    }
}
