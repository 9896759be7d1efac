//! Operators of a file as nodes of a graph.
use super::bind;
use super::program::Quant;
use super::schema::Builtin;
use super::table::Record;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{Shape, TensorType, Type};

/// The results of an operator.
pub type Lifted = Result<Vec<ValueId>, Diag>;

/// Adds the nodes of one operator.
pub type Lift = fn(&mut Cx<'_, '_>) -> Lifted;

/// What the file says about a tensor.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Element type and shape.
    pub ty: TensorType,
    /// Quantization.
    pub quant: Option<Quant>,
    /// Name.
    pub name: String,
}

/// Reads the subgraphs that operators call.
pub trait Bodies {
    /// Subgraph `index` as a graph: its inputs and outputs are those of the subgraph in its order, and it captures nothing. Its inputs are
    /// of `types`: what the file declares is what one call gives.
    ///
    /// # Errors
    /// The first thing wrong with it; the reader reports the rest.
    fn body(&mut self, index: i64, types: &[Type]) -> Result<Graph, Diag>;
}

/// One operator on its way into a graph. Operands that are quantized are `dequantize_linear`d before, results `quantize_linear`d after it, so that
/// lifting functions see real numbers; those of [`bind::quant::keeps_stored`] see stored ones.
pub struct Cx<'a, 'g> {
    /// Adds nodes.
    pub b: &'a mut Builder<'g>,
    /// The operator.
    pub builtin: Builtin,
    /// Its options; absent when the file has none.
    pub options: Option<&'a Record>,
    /// Operands.
    pub inputs: Vec<Option<ValueId>>,
    /// What the file says about the operands.
    pub given: Vec<Option<Declared>>,
    /// What the file says about the results.
    pub results: Vec<Declared>,
    /// Name and options of a custom operator.
    pub custom: (&'a str, &'a [u8]),
    /// Reads the subgraphs that it calls.
    pub bodies: &'a mut dyn Bodies,
}

impl Cx<'_, '_> {
    /// Operand `i`, which must be there.
    ///
    /// # Errors
    /// When it is left out.
    pub fn arg(&self, i: usize) -> Result<ValueId, Diag> {
        self.opt(i).ok_or_else(|| self.bad(format!("operand {i} is left out")))
    }
    /// Operand `i`, when it is there.
    pub fn opt(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }
    /// Type of a value.
    ///
    /// # Errors
    /// When it is no tensor.
    pub fn ty(&self, v: ValueId) -> Result<&TensorType, Diag> {
        self.b.graph().ty(v).as_tensor().ok_or_else(|| self.bad("an operand is no tensor"))
    }
    /// Element type of a value.
    ///
    /// # Errors
    /// When it is no tensor.
    pub fn dtype(&self, v: ValueId) -> Result<DType, Diag> {
        Ok(self.ty(v)?.dtype)
    }
    /// Shape of a value, when its rank is known.
    pub fn shape(&self, v: ValueId) -> Option<&Shape> {
        self.ty(v).ok()?.shape.as_ref()
    }
    /// Rank of a value.
    ///
    /// # Errors
    /// When it is not known.
    pub fn rank(&self, v: ValueId) -> Result<usize, Diag> {
        self.ty(v)?.rank().ok_or_else(|| self.bad("the rank of an operand is not known"))
    }
    /// Constant elements of operand `i`.
    pub fn constant(&self, i: usize) -> Option<&Tensor> {
        self.b.graph().constant(self.opt(i)?)
    }
    /// Constant integers of operand `i`.
    pub fn ints(&self, i: usize) -> Option<Vec<i64>> {
        self.b.graph().const_ints(self.opt(i))
    }
    /// The subgraph whose index is option `field`, with inputs of these types.
    ///
    /// # Errors
    /// What is wrong with it, or when it has another number of inputs.
    pub fn body(&mut self, field: &str, types: &[Type]) -> Result<Graph, Diag> {
        let index = self.int(field);
        let g = self.bodies.body(index, types)?;
        if g.inputs().len() != types.len() {
            let m = format!("subgraph {index} takes {} values, not {}", g.inputs().len(), types.len());
            return Err(self.bad(m));
        }
        Ok(g)
    }
    /// Integer option; its default when absent.
    pub fn int(&self, name: &str) -> i64 {
        self.options.map_or_else(|| self.builtin.options().map_or(0, |o| o.int(name)), |o| o.int(name))
    }
    /// Truth value of an option.
    pub fn flag(&self, name: &str) -> bool {
        self.int(name) != 0
    }
    /// Number of an option; its default when absent.
    pub fn float(&self, name: &str) -> f64 {
        self.options.map_or(0.0, |o| o.float(name))
    }
    /// Adds a node and returns its first result.
    ///
    /// # Errors
    /// When the operands do not fit.
    pub fn op(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> Result<ValueId, Diag> {
        let inputs: Vec<Option<ValueId>> = inputs.iter().map(|v| Some(*v)).collect();
        let results = self.b.add(op, &inputs)?;
        results.first().copied().ok_or_else(|| self.bad("a node without results"))
    }
    /// Operand `i` as 64-bit integers, as sizes and axes are in the IR.
    ///
    /// # Errors
    /// When it is left out or no tensor.
    pub fn wide(&mut self, i: usize) -> Result<ValueId, Diag> {
        let v = self.arg(i)?;
        self.as_i64(v)
    }
    /// `v` as 64-bit integers.
    ///
    /// # Errors
    /// When it is no tensor of numbers.
    pub fn as_i64(&mut self, v: ValueId) -> Result<ValueId, Diag> {
        if self.dtype(v)? == DType::I64 {
            return Ok(v);
        }
        if let Some(t) = self.b.graph().constant(v)
            && let Ok(wide) = t.cast(DType::I64, false)
        {
            return Ok(self.b.constant(wide));
        }
        self.cast(v, DType::I64)
    }
    /// `v` cast to `dtype`.
    ///
    /// # Errors
    /// When it cannot be cast.
    pub fn cast(&mut self, v: ValueId, dtype: DType) -> Result<ValueId, Diag> {
        if self.dtype(v)? == dtype {
            return Ok(v);
        }
        self.op(hoist_ir::ops::elementwise::cast::Cast { to: dtype, ..Default::default() }, &[v])
    }
    /// The error for an operator that is not as the schema says.
    pub fn bad(&self, what: impl std::fmt::Display) -> Diag {
        Diag::error("E0202", format!("`{}`: {what}", self.builtin.name())).op(self.builtin.name())
    }
    /// The error for a form that Hoist does not read.
    pub fn unsupported(&self, what: impl std::fmt::Display) -> Diag {
        Diag::error("E0301", format!("`{}` with {what} is not read", self.builtin.name()))
            .op(self.builtin.name())
    }
    /// `v` after the fused activation of the options.
    ///
    /// # Errors
    /// For an activation that the schema does not have.
    pub fn activated(&mut self, v: ValueId) -> Result<ValueId, Diag> {
        bind::activation::lift_fused(self, v)
    }
}

/// The lifting function of `builtin`, when Hoist reads it.
pub fn lifting(builtin: Builtin) -> Option<Lift> {
    bind::lifting(builtin)
}
