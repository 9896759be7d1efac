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
        let ty = data.ty();
        Self { data: Some(data), ..Self::new(ty) }
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

impl Instr {
    /// An operator with one result; without `options` it has the operator's defaults.
    pub fn plain(builtin: Builtin, options: Option<Record>, inputs: &[T], output: T) -> Self {
        Self {
            builtin,
            custom: None,
            options: options.or_else(|| builtin.options()),
            inputs: inputs.iter().map(|t| Some(*t)).collect(),
            outputs: vec![output],
            bodies: vec![],
            label: Arc::from(""),
        }
    }
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

impl Program {
    /// Removes tensors that nothing refers to, here and in the subgraphs that are called.
    pub fn compact(&mut self) {
        let mut used = vec![false; self.tensors.len()];
        let ends = self.inputs.iter().chain(&self.outputs).map(|(_, t)| t);
        let operands = self.instrs.iter().flat_map(|i| i.inputs.iter().flatten().chain(&i.outputs));
        ends.chain(operands).for_each(|t| used[t.0 as usize] = true);
        let mut next = 0;
        let places: Vec<T> = used
            .iter()
            .map(|used| {
                next += u32::from(*used);
                T(next.saturating_sub(1))
            })
            .collect();
        let mut used = used.into_iter();
        self.tensors.retain(|_| used.next().unwrap_or(false));
        let moved = |t: &mut T| *t = places[t.0 as usize];
        self.inputs.iter_mut().chain(&mut self.outputs).for_each(|(_, t)| moved(t));
        for instr in &mut self.instrs {
            instr.inputs.iter_mut().flatten().chain(&mut instr.outputs).for_each(moved);
            instr.bodies.iter_mut().for_each(|(_, body)| body.compact());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::dtype::DType;

    #[test]
    fn compaction_keeps_what_is_referred_to() {
        let mut p = Program::default();
        let t: Vec<T> = (1..5).map(|n| p.add(TensorDef::new(TensorType::fixed(DType::F32, &[n])))).collect();
        p.inputs.push(("x".into(), t[1]));
        p.outputs.push(("y".into(), t[3]));
        let instr = Instr {
            builtin: Builtin::Relu,
            custom: None,
            options: None,
            inputs: vec![Some(t[1]), None],
            outputs: vec![t[3]],
            bodies: vec![],
            label: "".into(),
        };
        p.instrs.push(instr);
        p.compact();
        let sizes: Vec<_> = p.tensors.iter().map(|t| t.ty.sizes()).collect();
        assert_eq!(sizes, [Some(vec![2]), Some(vec![4])]);
        assert_eq!((&p.instrs[0].inputs, &p.instrs[0].outputs), (&vec![Some(T(0)), None], &vec![T(1)]));
        assert_eq!((p.inputs[0].1, p.outputs[0].1), (T(0), T(1)));
    }
}
