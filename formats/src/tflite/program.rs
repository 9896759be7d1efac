//! A subgraph of builtin operators, between the graph it is lowered from and the file it becomes.
use super::schema::Builtin;
use super::table::Record;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;
use std::sync::Arc;

/// A tensor of a [`Program`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct T(pub u32);

/// Affine quantization of a tensor: `real = scale * (stored - zero_point)`, per tensor or per slice along `axis`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Quant {
    /// Scales; one, or one for each slice.
    pub scale: Vec<f32>,
    /// Zero points; as many.
    pub zero_point: Vec<i64>,
    /// Axis of the slices.
    pub axis: usize,
}

/// What a tensor is.
#[derive(Clone, Debug)]
pub struct TensorDef {
    /// Name; the emitter makes names unique and fills in missing ones.
    pub name: Option<Arc<str>>,
    /// Element type and shape.
    pub ty: TensorType,
    /// Elements of a constant.
    pub data: Option<Tensor>,
    /// Quantization.
    pub quant: Option<Quant>,
    /// Whether it keeps its elements between runs, as states of fused recurrent operators do.
    pub variable: bool,
    /// A resource or variant, by its code, in place of the element type.
    pub handle: Option<i64>,
}

impl TensorDef {
    /// A tensor of type `ty`, computed at run time.
    pub fn new(ty: TensorType) -> Self {
        Self { name: None, ty, data: None, quant: None, variable: false, handle: None }
    }
    /// A constant.
    pub fn constant(data: Tensor) -> Self {
        Self { data: Some(data.clone()), ..Self::new(data.ty()) }
    }
}

/// An operator.
#[derive(Clone, Debug)]
pub struct Instr {
    /// Which one.
    pub builtin: Builtin,
    /// Name and options of a custom operator.
    pub custom: Option<(String, Vec<u8>)>,
    /// Options.
    pub options: Option<Record>,
    /// Operands.
    pub inputs: Vec<Option<T>>,
    /// Results.
    pub outputs: Vec<T>,
    /// Subgraphs that it calls, with the fields of the options that name them.
    pub bodies: Vec<(&'static str, Program)>,
    /// Label of the node it comes from.
    pub label: Arc<str>,
}

/// A subgraph.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Name.
    pub name: String,
    /// Tensors.
    pub tensors: Vec<TensorDef>,
    /// Operators in the order in which they run.
    pub instrs: Vec<Instr>,
    /// Inputs with their names.
    pub inputs: Vec<(Arc<str>, T)>,
    /// Outputs with their names.
    pub outputs: Vec<(Arc<str>, T)>,
}

impl Program {
    /// Adds a tensor.
    pub fn add(&mut self, tensor: TensorDef) -> T {
        self.tensors.push(tensor);
        T(self.tensors.len() as u32 - 1)
    }
    /// What `t` is.
    pub fn def(&self, t: T) -> &TensorDef {
        &self.tensors[t.0 as usize]
    }
    /// What `t` is, to change it.
    pub fn def_mut(&mut self, t: T) -> &mut TensorDef {
        &mut self.tensors[t.0 as usize]
    }
}
