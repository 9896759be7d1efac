//! Functionalization: tensors that share storage, and what a write to one of them means for the others.
//!
//! A [`Base`] is a storage with its present value. A [`Tensor`] is a chain of view steps on a base. Reading a tensor whose base
//! was written since replays its steps; writing through a view carries the new value back along the chain.
use super::cx::{Cx, Meta, R, Size, V, unsupported};
use hoist_ir::attr::Attr;
use hoist_ir::diag::Diag;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Index into [`Cx::tensors`].
pub type TensorId = usize;

/// What a storage belongs to.
#[derive(Clone, Debug, PartialEq)]
pub enum Owner {
    /// An argument of the model.
    Input(Arc<str>),
    /// A parameter, buffer or constant.
    Weight(Arc<str>),
    /// A result of a node.
    Local,
}

/// A storage.
#[derive(Clone, Debug)]
pub struct Base {
    /// Its present value.
    pub value: V,
    /// Changes with each write; no two storages ever have the same one.
    pub version: u32,
    /// What it belongs to.
    pub owner: Owner,
    /// Whether some tensor may or may not be a view of it.
    pub doubtful: bool,
}

/// A tensor of the program: a base seen through steps.
#[derive(Clone, Debug)]
pub struct Tensor {
    base: usize,
    steps: Vec<Step>,
    value: V,
    version: u32,
    /// What the program states about it.
    pub meta: Option<Meta>,
}

/// One view operation.
#[derive(Clone, Debug)]
pub enum Step {
    /// Other sizes for the same elements: sizes after and before.
    Reshape(Vec<Size>, Vec<Size>),
    /// Permuted axes.
    Permute(Vec<usize>),
    /// Positions `start..end` of an axis, both within it, in steps.
    Slice {
        /// The axis.
        axis: usize,
        /// First position.
        start: Size,
        /// One past the last position.
        end: Size,
        /// Distance, positive.
        step: i64,
    },
    /// One position of an axis, which goes away.
    Select(usize, Size),
    /// New axes of size 1, at these positions of the result.
    Unsqueeze(Vec<i64>),
    /// Axes of size 1 dropped.
    Squeeze(Vec<i64>),
    /// Axes of size 1 repeated. Not writable, as in PyTorch.
    Expand(Vec<Size>),
    /// Elements at these positions of the flattened tensor, under these sizes.
    Pick(Vec<i64>, Vec<i64>),
    /// The pairs of a complex tensor.
    AsPairs,
    /// The complex tensor that pairs stand for.
    AsComplex,
    /// The complex conjugate.
    Conjugate,
}

impl Step {
    /// Sizes and positions it holds.
    pub fn sizes(&self) -> Vec<&Size> {
        match self {
            Self::Reshape(to, from) => to.iter().chain(from).collect(),
            Self::Slice { start, end, .. } => vec![start, end],
            Self::Select(_, index) => vec![index],
            Self::Expand(sizes) => sizes.iter().collect(),
            Self::Permute(_)
            | Self::Unsqueeze(_)
            | Self::Squeeze(_)
            | Self::Pick(..)
            | Self::AsPairs
            | Self::AsComplex
            | Self::Conjugate => vec![],
        }
    }
    /// The step with `f` of each size and position.
    #[must_use]
    pub fn map(self, f: &dyn Fn(Size) -> Size) -> Self {
        let all = |sizes: Vec<Size>| sizes.into_iter().map(f).collect();
        match self {
            Self::Reshape(to, from) => Self::Reshape(all(to), all(from)),
            Self::Slice { axis, start, end, step } => {
                Self::Slice { axis, start: f(start), end: f(end), step }
            }
            Self::Select(axis, index) => Self::Select(axis, f(index)),
            Self::Expand(sizes) => Self::Expand(all(sizes)),
            other => other,
        }
    }
}

impl Cx {
    /// A version that no storage had.
    pub fn tick(&mut self) -> u32 {
        self.clock += 1;
        self.clock
    }
    /// Index of the storage of tensor `id`.
    pub fn base_of(&self, id: TensorId) -> usize {
        self.tensors[id].base
    }
    /// The views that lead from the storage to tensor `id`.
    pub fn steps_of(&self, id: TensorId) -> &[Step] {
        &self.tensors[id].steps
    }
    /// Replaces the views of tensor `id`; gives those it had.
    pub fn set_steps(&mut self, id: TensorId, steps: Vec<Step>) -> Vec<Step> {
        std::mem::replace(&mut self.tensors[id].steps, steps)
    }
    /// A new storage with a tensor that shows all of it.
    pub fn new_tensor(&mut self, value: V, owner: Owner) -> TensorId {
        let version = self.tick();
        self.bases.push(Base { value, version, owner, doubtful: false });
        let base = self.bases.len() - 1;
        self.tensors.push(Tensor { base, steps: vec![], value, version, meta: None });
        self.tensors.len() - 1
    }
    /// A view of tensor `of`.
    pub fn new_view(&mut self, of: TensorId, steps: Vec<Step>) -> R<TensorId> {
        let mut value = self.read_tensor(of)?;
        for step in &steps {
            value = self.forward(step, value)?;
        }
        let Tensor { base, steps: mut all, .. } = self.tensors[of].clone();
        all.extend(steps);
        let version = self.bases[base].version;
        self.tensors.push(Tensor { base, steps: all, value, version, meta: None });
        Ok(self.tensors.len() - 1)
    }
    /// The present value of tensor `id`.
    pub fn read_tensor(&mut self, id: TensorId) -> R<V> {
        let Tensor { base, version, value, .. } = self.tensors[id];
        let now = self.bases[base].version;
        if version == now {
            return Ok(value);
        }
        let steps = self.tensors[id].steps.clone();
        let mut value = self.bases[base].value;
        for step in &steps {
            value = self.forward(step, value)?;
        }
        self.tensors[id].value = value;
        self.tensors[id].version = now;
        Ok(value)
    }
    /// Notes that it is not known whether another tensor shares the storage of `id`: writes to it are refused from now on.
    pub fn mark_doubtful(&mut self, id: TensorId) {
        let base = self.tensors[id].base;
        self.bases[base].doubtful = true;
    }
    /// Whether tensor `id` is complex.
    pub fn shows_complex(&self, id: TensorId) -> bool {
        self.is_complex(self.tensors[id].value)
    }
    /// Whether `id` shows a whole storage, unchanged.
    pub fn is_whole(&self, id: TensorId) -> bool {
        self.tensors[id].steps.is_empty()
    }
    /// Writes `value`, of the tensor's own type, to tensor `id`.
    pub fn write_tensor(&mut self, id: TensorId, value: V) -> R<()> {
        let Tensor { base, steps, .. } = self.tensors[id].clone();
        self.check_writable(base)?;
        let mut chain = vec![self.bases[base].value];
        for step in steps.iter().take(steps.len().saturating_sub(1)) {
            let last = chain[chain.len() - 1];
            chain.push(self.forward(step, last)?);
        }
        let mut new = value;
        for (step, before) in steps.iter().zip(chain).rev() {
            new = self.backward(step, before, new)?;
        }
        self.bases[base].value = new;
        self.bases[base].version = self.tick();
        self.tensors[id].value = value;
        self.tensors[id].version = self.bases[base].version;
        Ok(())
    }
    fn check_writable(&mut self, base: usize) -> R<()> {
        let Base { owner, doubtful, .. } = self.bases[base].clone();
        if doubtful {
            return Err(unsupported(
                "an in-place write to a tensor that another one may share storage with, depending on dynamic sizes",
            )
            .hint("export with fixed sizes, or use the operator that is not in place"));
        }
        match owner {
            Owner::Local => Ok(()),
            Owner::Weight(name) => {
                self.state.written.insert(name);
                Ok(())
            }
            Owner::Input(name) => {
                let d = Diag::warning(
                    "E0302",
                    format!(
                        "the model changes its input `{name}` in place; the converted model computes the same outputs and leaves the input as it is"
                    ),
                );
                if !self.warnings.contains(&d) {
                    self.warnings.push(d);
                }
                Ok(())
            }
        }
    }

    /// The view of `v` that `step` describes.
    pub fn forward(&mut self, step: &Step, v: V) -> R<V> {
        match step {
            Step::Reshape(to, _) => self.reshape(v, to),
            Step::Permute(perm) => self.permute(v, perm),
            Step::Slice { axis, start, end, step } => self.slice(v, *axis, start, end, *step),
            Step::Select(axis, index) => {
                let index = self.size_scalar(index)?;
                self.gather(v, index, *axis)
            }
            Step::Unsqueeze(axes) => self.unsqueeze(v, axes),
            Step::Squeeze(axes) => self.squeeze(v, axes),
            Step::Expand(sizes) => self.expand(v, sizes),
            Step::Pick(at, sizes) => {
                let flat = self.reshape_to(v, &[-1])?;
                let at = self.int_list(at);
                let picked = self.gather(flat, at, 0)?;
                self.reshape_to(picked, sizes)
            }
            Step::AsPairs => self.as_pairs(v),
            Step::AsComplex => self.as_complex(v),
            Step::Conjugate => self.conjugate(v),
        }
    }
    /// `before` with the part that `step` shows replaced by `new`.
    fn backward(&mut self, step: &Step, before: V, new: V) -> R<V> {
        match step {
            Step::Reshape(_, from) => self.reshape(new, from),
            Step::Permute(perm) => {
                let mut inverse = vec![0; perm.len()];
                for (i, p) in perm.iter().enumerate() {
                    inverse[*p] = i;
                }
                self.permute(new, &inverse)
            }
            Step::Slice { axis, start, end, step } => {
                self.replace_slice(before, *axis, (start, end, *step), new)
            }
            Step::Select(axis, index) => {
                let new = self.unsqueeze(new, &[*axis as i64])?;
                let end = self.size_add(index, &Size::Known(1))?;
                self.replace_slice(before, *axis, (index, &end, 1), new)
            }
            Step::Unsqueeze(axes) => self.squeeze(new, axes),
            Step::Squeeze(axes) => self.unsqueeze(new, axes),
            Step::Expand(_) => Err(unsupported("an in-place write to an expanded tensor")),
            Step::Pick(at, _) => {
                let places: BTreeSet<i64> = at.iter().copied().collect();
                if places.len() < at.len() {
                    return Err(unsupported(
                        "an in-place write to a tensor whose elements share places in memory",
                    ));
                }
                let sizes = self.shape_of(before)?;
                let flat = self.reshape_to(before, &[-1])?;
                let at = self.int_list(at);
                let new = self.reshape_to(new, &[-1])?;
                let flat = self.with("scatter_elements", &[flat, at, new], &[("axis", Attr::Int(0))])?;
                self.reshape(flat, &sizes)
            }
            Step::AsPairs => self.as_complex(new),
            Step::AsComplex => self.as_pairs(new),
            Step::Conjugate => self.conjugate(new),
        }
    }
    /// `x` with positions `start..end` of `axis` (in steps) replaced by `new`.
    pub fn replace_slice(&mut self, x: V, axis: usize, range: (&Size, &Size, i64), new: V) -> R<V> {
        let (start, end, step) = range;
        if step == 1 {
            let head = self.slice(x, axis, &Size::Known(0), start, 1)?;
            let tail = self.slice(x, axis, end, &Size::Known(i64::MAX), 1)?;
            let empty = |cx: &Self, v: V| cx.known(v, axis) == Some(0);
            let parts: Vec<V> =
                [head, new, tail].into_iter().filter(|v| *v == new || !empty(self, *v)).collect();
            return self.concat(&parts, axis);
        }
        let length = self.dim(x, axis)?;
        let all = self.iota(&length)?;
        let at = self.slice(all, 0, start, end, step)?;
        let mut line = vec![Size::Known(1); self.rank(x)?];
        line[axis] = Size::Known(-1);
        let at = self.reshape(at, &line)?;
        let at = self.expand_like(at, new)?;
        self.with("scatter_elements", &[x, at, new], &[("axis", Attr::Int(axis as i64))])
    }
}
