//! Steps that expansions of attention operators are made of.
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dim::Dim;
use crate::dtype::DType;
use crate::graph::ValueId;
use crate::ops::Op;
use crate::ops::elementwise::arithmetic::{Add, Div, Mul, Sub};
use crate::ops::elementwise::cast::Cast;
use crate::ops::elementwise::compare::Less;
use crate::ops::elementwise::select::Where;
use crate::ops::elementwise::unary::Tanh;
use crate::ops::linear::mat_mul::MatMul;
use crate::ops::movement::concat::Concat;
use crate::ops::movement::pad::Pad;
use crate::ops::movement::reshape::Reshape;
use crate::ops::movement::slice::Slice;
use crate::ops::movement::squeeze::Squeeze;
use crate::ops::movement::transpose::Transpose;
use crate::ops::movement::unsqueeze::Unsqueeze;
use crate::ops::shape::range::Range;
use crate::ops::shape::shape::Shape;

/// What a step gives.
pub(crate) type Built = Result<ValueId, Diag>;

/// A size that a reshape is told.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Part {
    /// This many.
    Of(i64),
    /// As many as the operand's axis at this position has.
    Keep,
    /// What is left.
    Rest,
}

/// A size: known, or that of an axis of a value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Size {
    /// This many.
    Known(i64),
    /// That of the axis.
    Axis(ValueId, i64),
}

impl Size {
    /// The size as a part of a reshape, where it is known.
    pub fn part(self) -> Part {
        if let Self::Known(n) = self { Part::Of(n) } else { Part::Rest }
    }
    /// Product with `n`, where both are known.
    pub fn times(self, n: i64) -> Part {
        let Self::Known(m) = self else { return Part::Rest };
        m.checked_mul(n).map_or(Part::Rest, Part::Of)
    }
}

/// A builder with the steps.
pub(crate) struct Steps<'a, 'g> {
    /// The builder.
    pub b: &'a mut Builder<'g>,
}

impl Steps<'_, '_> {
    /// The first result of `op` on `inputs`.
    ///
    /// # Errors
    /// When the operands do not fit.
    pub fn op(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Built {
        let inputs: Vec<_> = inputs.iter().map(|v| Some(*v)).collect();
        self.opt(op, &inputs)
    }
    /// [`Steps::op`] with operands that may be absent.
    pub fn opt(&mut self, op: impl Into<Op>, inputs: &[Option<ValueId>]) -> Built {
        let results = self.b.add(op, inputs)?;
        results.first().copied().ok_or_else(|| Diag::error("E0901", "an operator without results"))
    }
    /// Sizes of `v`, when its rank is known.
    pub fn dims(&self, v: ValueId) -> Option<Vec<Dim>> {
        self.b.graph().ty(v).as_tensor()?.shape.clone()
    }
    /// Number of axes of `v`.
    pub fn rank(&self, v: ValueId) -> Option<usize> {
        self.b.graph().ty(v).as_tensor()?.rank()
    }
    /// Element type of `v`; `f32` where it is none.
    pub fn dtype(&self, v: ValueId) -> DType {
        self.b.graph().ty(v).as_tensor().map_or(DType::F32, |t| t.dtype)
    }
    /// The size of an axis of `v`.
    pub fn size(&self, v: ValueId, axis: usize) -> Size {
        let known = self.known(v, axis);
        known.map_or(Size::Axis(v, axis as i64), Size::Known)
    }
    /// The size of an axis of `v`, when known.
    pub fn known(&self, v: ValueId, axis: usize) -> Option<i64> {
        i64::try_from(self.dims(v)?.get(axis)?.known()?).ok()
    }
    /// `size` as a value of one element.
    pub fn size_list(&mut self, size: Size) -> Built {
        match size {
            Size::Known(n) => Ok(self.b.ints(&[n])),
            Size::Axis(v, axis) => self.op(Shape { start: axis, end: Some(axis + 1) }, &[v]),
        }
    }
    /// `size` as a value of rank 0.
    pub fn size_scalar(&mut self, size: Size) -> Built {
        match size {
            Size::Known(n) => Ok(self.b.scalar(n)),
            Size::Axis(..) => {
                let list = self.size_list(size)?;
                let axis = self.b.ints(&[0]);
                self.op(Squeeze {}, &[list, axis])
            }
        }
    }
    /// `v` with these sizes. What is kept or left is written out where it is known.
    pub fn reshape(&mut self, v: ValueId, parts: &[Part]) -> Built {
        let kept = |(i, p): (usize, &Part)| match p {
            Part::Keep => self.known(v, i).map_or(Part::Keep, Part::Of),
            other => *other,
        };
        let parts: Vec<Part> = parts.iter().enumerate().map(kept).collect();
        let explicit = parts.iter().all(|p| matches!(p, Part::Of(_)));
        let number = |p: &Part| match p {
            Part::Of(n) => *n,
            Part::Keep => 0,
            Part::Rest => -1,
        };
        let list: Vec<i64> = parts.iter().map(number).collect();
        let allowzero = explicit && list.contains(&0);
        let shape = self.b.ints(&list);
        self.op(Reshape { allowzero }, &[v, shape])
    }
    /// `v` with its axes in this order.
    pub fn transpose(&mut self, v: ValueId, perm: &[i64]) -> Built {
        self.op(Transpose { perm: perm.to_vec() }, &[v])
    }
    /// `[B, S, n * D]` as `[B, S, n, D]`.
    pub fn split_last(&mut self, v: ValueId, n: i64) -> Built {
        let each = self.known(v, 2).and_then(|d| d.checked_div(n));
        let last = each.map_or(Part::Rest, Part::Of);
        self.reshape(v, &[Part::Keep, Part::Keep, Part::Of(n), last])
    }
    /// `[B, S, n * D]` as `[B, n, S, D]`.
    pub fn heads(&mut self, v: ValueId, n: i64) -> Built {
        let split = self.split_last(v, n)?;
        self.transpose(split, &[0, 2, 1, 3])
    }
    /// `[B, n, S, D]` as `[B, S, n * D]`.
    pub fn merge(&mut self, v: ValueId) -> Built {
        let last = self.known(v, 1).map_or(Part::Rest, |n| self.size(v, 3).times(n));
        let swapped = self.transpose(v, &[0, 2, 1, 3])?;
        self.reshape(swapped, &[Part::Keep, Part::Keep, last])
    }
    /// `v` in element type `to`.
    pub fn cast(&mut self, v: ValueId, to: DType) -> Built {
        if self.dtype(v) == to { Ok(v) } else { self.op(Cast { to, ..Cast::default() }, &[v]) }
    }
    /// `v` times a number.
    pub fn scaled(&mut self, v: ValueId, factor: f64) -> Built {
        let factor = self.b.scalar_like(factor, v)?;
        self.op(Mul {}, &[v, factor])
    }
    /// `softcap * tanh(v / softcap)`; `v` itself when `softcap` is not above 0.
    pub fn capped(&mut self, v: ValueId, softcap: f32) -> Built {
        if softcap.is_nan() || softcap <= 0.0 {
            return Ok(v);
        }
        let cap = self.b.scalar_like(f64::from(softcap), v)?;
        let x = self.op(Div {}, &[v, cap])?;
        let x = self.op(Tanh {}, &[x])?;
        self.op(Mul {}, &[x, cap])
    }
    /// The values one after the other along `axis`.
    pub fn concat(&mut self, values: &[ValueId], axis: i64) -> Built {
        self.op(Concat { axis }, values)
    }
    /// Positions `from..to` of `axis`, each `step`-th.
    pub fn slice(&mut self, v: ValueId, axis: i64, (from, to, step): (i64, i64, i64)) -> Built {
        let (starts, ends) = (self.b.ints(&[from]), self.b.ints(&[to]));
        let (axes, steps) = (self.b.ints(&[axis]), self.b.ints(&[step]));
        self.op(Slice {}, &[v, starts, ends, axes, steps])
    }
    /// `v` with new axes of size 1.
    pub fn unsqueeze(&mut self, v: ValueId, axes: &[i64]) -> Built {
        let axes = self.b.ints(axes);
        self.op(Unsqueeze {}, &[v, axes])
    }
    /// `0, 1, ..` up to `size`, of type `i64`.
    pub fn positions(&mut self, size: Size) -> Built {
        let (zero, end, one) = (self.b.scalar(0i64), self.size_scalar(size)?, self.b.scalar(1i64));
        self.op(Range::default(), &[zero, end, one])
    }
    /// `a + b`.
    pub fn plus(&mut self, a: ValueId, b: ValueId) -> Built {
        self.op(Add {}, &[a, b])
    }
    /// `a < b`.
    pub fn less(&mut self, a: ValueId, b: ValueId) -> Built {
        self.op(Less {}, &[a, b])
    }
    /// 0 where `allowed`, else `otherwise`, in element type `dtype`.
    pub fn bias_of(&mut self, allowed: ValueId, otherwise: f64, dtype: DType) -> Built {
        let like = |v: f64| crate::tensor::Tensor::scalar(v).cast(dtype, false);
        let (zero, other) = match (like(0.0), like(otherwise)) {
            (Ok(zero), Ok(other)) => (self.b.constant(zero), self.b.constant(other)),
            _ => return Err(Diag::error("E0303", format!("no scalar of type {dtype} can be made"))),
        };
        self.op(Where {}, &[allowed, zero, other])
    }
    /// `mask` with its last axis filled up to `total` with `filler`.
    pub fn pad_last(&mut self, mask: ValueId, total: Size, filler: ValueId) -> Built {
        let Some(rank) = self.rank(mask).filter(|r| *r > 0) else { return Ok(mask) };
        let own = self.size(mask, rank - 1);
        let missing = if let (Size::Known(own), Size::Known(total)) = (own, total) {
            self.b.ints(&[total - own])
        } else {
            let (own, total) = (self.size_list(own)?, self.size_list(total)?);
            self.op(Sub {}, &[total, own])?
        };
        let none = self.b.ints(&vec![0; 2 * rank - 1]);
        let pads = self.concat(&[none, missing], 0)?;
        self.op(Pad::default(), &[mask, pads, filler])
    }
    /// `q k^T` per head: `[B, H, S, T]` of `[B, H, S, D]` and `[B, G, T, D]`, where `H` is a multiple of `G` and each head of `k` serves
    /// as many of `q` in a row. No head is repeated in memory.
    pub fn scores(&mut self, q: ValueId, k: ValueId, heads: i64, groups: i64) -> Built {
        let k = self.transpose(k, &[0, 1, 3, 2])?;
        self.grouped(q, k, heads, groups)
    }
    /// `p v` per head: `[B, H, S, D]` of `[B, H, S, T]` and `[B, G, T, D]`.
    pub fn grouped(&mut self, p: ValueId, v: ValueId, heads: i64, groups: i64) -> Built {
        if heads == groups {
            return self.op(MatMul {}, &[p, v]);
        }
        let each = heads / groups.max(1);
        let (rows, inner, last) = (self.size(p, 2), self.size(p, 3), self.size(v, 3));
        let keep_inner = if let Size::Known(n) = inner { Part::Of(n) } else { Part::Keep };
        let folded = self.reshape(p, &[Part::Keep, Part::Of(groups), rows.times(each), keep_inner])?;
        let product = self.op(MatMul {}, &[folded, v])?;
        let keep_last = if let Size::Known(n) = last { Part::Of(n) } else { Part::Keep };
        self.reshape(product, &[Part::Keep, Part::Of(heads), rows.part(), keep_last])
    }
}
