//! Parameters, buffers and constants of the archive: constants of the graph, made when they are first used.
use super::program::Program;
use crate::pytorch::lift::alias::TensorId;
use crate::pytorch::lift::cx::{Cx, R, unsupported};
use crate::pytorch::lift::promote::ir_dtype;
use crate::pytorch::pickle::TensorRef;
use crate::pytorch::program::weights::stored_order;
use crate::source::Source;
use hoist_ir::diag::Diag;
use hoist_ir::tensor::{FileSpan, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// A tensor of the archive.
pub struct Weight {
    /// Path of attributes to it.
    pub name: Arc<str>,
    /// Which pickle holds it: `data`, `constants`, ...
    pub folder: &'static str,
    /// Its view of a storage.
    pub tensor: TensorRef,
}

/// All tensors of the archive.
pub struct Weights<'p> {
    source: &'p Source,
    program: &'p Program,
    all: Vec<Weight>,
    /// Tensors made so far, innermost graph last.
    made: Vec<HashMap<usize, TensorId>>,
    /// Storages of tensors made, with the weight that each is.
    bases: HashMap<usize, usize>,
}

impl<'p> Weights<'p> {
    /// None yet.
    pub fn new(source: &'p Source, program: &'p Program) -> Self {
        Self { source, program, all: vec![], made: vec![HashMap::new()], bases: HashMap::new() }
    }
    /// Adds a tensor of pickle `folder`. The same view of a storage is the same weight.
    pub fn add(&mut self, name: &str, folder: &'static str, tensor: &TensorRef) -> usize {
        let same = |w: &Weight| w.folder == folder && w.tensor == *tensor;
        if let Some(i) = self.all.iter().position(same) {
            return i;
        }
        self.all.push(Weight { name: name.into(), folder, tensor: tensor.clone() });
        self.all.len() - 1
    }
    /// The weight `i`.
    pub fn get(&self, i: usize) -> Option<&Weight> {
        self.all.get(i)
    }
    /// What is used from now on belongs to a body.
    pub fn enter(&mut self) {
        self.made.push(HashMap::new());
    }
    /// The body ended.
    pub fn leave(&mut self) {
        self.made.pop();
    }
    /// The weight whose storage this is.
    pub fn of_base(&self, base: usize) -> Option<usize> {
        self.bases.get(&base).copied()
    }
    /// The tensor that weight `i` is in the graph under construction.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn tensor(&mut self, cx: &mut Cx, i: usize) -> R<TensorId> {
        if let Some(id) = self.made.last().and_then(|m| m.get(&i)) {
            return Ok(*id);
        }
        let value = self.read(i)?;
        let name = self.all[i].name.clone();
        let id = cx.stored(&name, value)?;
        if let (Some(t), Some(w)) = (cx.tensors.get_mut(id), self.all.get(i)) {
            t.meta = Some(super::interface::meta_of(&w.tensor));
        }
        self.bases.insert(cx.base_of(id), i);
        if let Some(m) = self.made.last_mut() {
            m.insert(i, id);
        }
        Ok(id)
    }
    /// The elements of weight `i`. A permuted dense layout, such as channels last, is a lazy permutation of the stored bytes.
    ///
    /// # Errors
    /// When the storage is missing or its type not supported.
    pub fn read(&self, i: usize) -> R<Tensor> {
        let Some(Weight { name, folder, tensor }) = self.all.get(i) else {
            return Err(unsupported("a tensor that is not in the archive"));
        };
        let bad = |what: String| Diag::error("E0203", format!("tensor `{name}`: {what}"));
        let view = &tensor.view;
        let dtype = ir_dtype(view.dtype)
            .ok_or_else(|| unsupported(format!("tensor `{name}` has elements of type {}", view.dtype)))?;
        let storage = self.program.storage(folder, &tensor.storage)?;
        let (stored, back) = match stored_order(view) {
            Some((stored, back)) => (stored, Some(back)),
            None => (view.clone(), None),
        };
        let data = stored.read(&storage).map_err(|e| bad(e.to_string()))?;
        let sizes: Option<Vec<usize>> = stored.sizes.iter().map(|n| usize::try_from(*n).ok()).collect();
        let sizes = sizes.ok_or_else(|| bad("it is too large".into()))?;
        let span = span(self.source, &data);
        let t = Tensor::from_bytes(dtype, &sizes, data, span).map_err(|e| bad(e.to_string()))?;
        match back {
            Some(perm) => t.permute(&perm).map_err(|e| bad(e.to_string())),
            None => Ok(t),
        }
    }
}

/// Where in the file `data` lies, if it is a slice of it.
fn span(source: &Source, data: &bytes::Bytes) -> Option<FileSpan> {
    let all = source.bytes();
    let offset = (data.as_ptr() as usize).checked_sub(all.as_ptr() as usize)?;
    let inside = offset.checked_add(data.len()).is_some_and(|end| end <= all.len());
    inside.then(|| FileSpan { file: source.path().into(), offset: offset as u64 })
}
