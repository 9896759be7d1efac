//! Tensors of a subgraph as values: stored elements, and the real numbers that quantized ones stand for.
use super::file::{File, bad};
use super::names::Names;
use super::tensor::{constant, declared};
use hoist_formats::tflite::lift::Declared;
use hoist_formats::tflite::program::Quant;
use hoist_formats::tflite::table::Record;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::ops::elementwise::arithmetic::Mul;
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::quant::dequantize_linear::DequantizeLinear;
use hoist_ir::ops::quant::quantize_linear::QuantizeLinear;
use hoist_ir::tensor::Tensor;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Table of scales along blocks of the last axis.
const BLOCKWISE: &str = "BlockwiseQuantization";
/// Element types to which results are quantized.
const STORED: &[DType] =
    &[DType::I8, DType::U8, DType::I16, DType::U16, DType::I4, DType::U4, DType::I2, DType::U2];

/// A subgraph while it is read.
pub(super) struct Subgraph<'a> {
    file: &'a File,
    tensors: &'a [Record],
    /// Stored elements of tensors.
    pub values: HashMap<i64, ValueId>,
    /// Quantized tensors as real numbers.
    real: HashMap<i64, ValueId>,
    /// Variables by the tensors that are their handles.
    pub handles: HashMap<i64, Arc<str>>,
    /// Names of inputs, outputs and values.
    pub names: Names,
    /// Names of the outputs.
    pub outputs: Vec<String>,
    /// Tensors that depend on an operator that is not read.
    pub unread: HashSet<i64>,
}

impl<'a> Subgraph<'a> {
    pub(super) fn new(file: &'a File, record: &'a Record) -> Self {
        Self {
            file,
            tensors: record.records("tensors"),
            values: HashMap::new(),
            real: HashMap::new(),
            handles: HashMap::new(),
            names: Names::default(),
            outputs: vec![],
            unread: HashSet::new(),
        }
    }
    pub(super) fn record(&self, i: i64) -> Result<&'a Record, Diag> {
        let found = usize::try_from(i).ok().and_then(|i| self.tensors.get(i));
        found.ok_or_else(|| bad(format!("tensor {i} of {}", self.tensors.len())))
    }
    pub(super) fn declared(&self, i: i64) -> Result<Declared, Diag> {
        declared(self.record(i)?)
    }
    /// Elements of constant tensor `i`; none for one that is computed.
    pub(super) fn constant(&self, i: i64) -> Result<Option<Tensor>, Diag> {
        let (record, declared) = (self.record(i)?, self.declared(i)?);
        let found = constant(self.file, record, &declared.ty)?;
        if found.is_some() {
            return Ok(found);
        }
        match declared.ty.sizes() {
            // Nothing is stored for no elements.
            Some(sizes) if sizes.contains(&0) && declared.ty.dtype != DType::String => {
                let empty = Tensor::from_bytes(declared.ty.dtype, &sizes, bytes::Bytes::new(), None);
                Ok(Some(empty.map_err(|e| bad(e.to_string()))?))
            }
            _ => Ok(None),
        }
    }
    /// Tensor `i` as it is stored.
    pub(super) fn value(&mut self, g: &mut Graph, i: i64) -> Result<ValueId, Diag> {
        if let Some(v) = self.values.get(&i) {
            return Ok(*v);
        }
        let name = self.declared(i)?.name;
        let missing = || bad(format!("tensor {i} (`{name}`) is used and nothing computes it"));
        let v = g.add_const(self.constant(i)?.ok_or_else(missing)?);
        g.set_name(v, self.names.free(&name));
        self.values.insert(i, v);
        Ok(v)
    }
    /// Tensor `i` as real numbers.
    pub(super) fn real(&mut self, b: &mut Builder<'_>, i: i64) -> Result<ValueId, Diag> {
        if let Some(v) = self.real.get(&i) {
            return Ok(*v);
        }
        let v = self.value(b.graph_mut(), i)?;
        let declared = self.declared(i)?;
        let real = match &declared.quant {
            Some(q) => dequantized(b, v, declared.ty.dtype, q)?,
            None => match blocks(self.record(i)?) {
                Some(details) => self.blocks(b, v, &declared, details)?,
                None => return Ok(v),
            },
        };
        self.real.insert(i, real);
        Ok(real)
    }
    /// Weights of two axes with a scale for each block of the last.
    fn blocks(
        &mut self,
        b: &mut Builder<'_>,
        v: ValueId,
        declared: &Declared,
        details: &Record,
    ) -> Result<ValueId, Diag> {
        if declared.ty.rank() != Some(2) {
            let m =
                format!("tensor `{}` has scales by block and is no matrix, which is not read", declared.name);
            return Err(Diag::error("E0301", m));
        }
        let scale = self.value(b.graph_mut(), details.int("scales"))?;
        let zero = match details.int("zero_points") {
            // 0 is the field's default, and no tensor of scales and zero points at once.
            z if z <= 0 => None,
            z => Some(self.value(b.graph_mut(), z)?),
        };
        let op = DequantizeLinear {
            axis: 1,
            block_size: details.int("block_size"),
            output_dtype: Some(DType::F32),
        };
        Ok(b.add(op, &[Some(v), Some(scale), zero])?[0])
    }
}

fn blocks(record: &Record) -> Option<&Record> {
    record.record("quantization")?.record("details").filter(|d| d.table.name == BLOCKWISE)
}

/// Scale and zero point as constants: 0-d per tensor, 1-d along an axis.
pub(super) fn parameters(b: &mut Builder<'_>, q: &Quant, dtype: DType) -> Result<(ValueId, ValueId), Diag> {
    let shape: &[usize] = if q.scale.len() == 1 { &[] } else { &[q.scale.len()] };
    let zero =
        Tensor::from_vec(shape, q.zero_point.clone()).cast(dtype, false).map_err(|e| bad(e.to_string()))?;
    let scale = b.constant(Tensor::from_vec(shape, q.scale.clone()));
    Ok((scale, b.constant(zero)))
}

/// The real numbers that `v`, of type `dtype`, stands for.
pub(super) fn dequantized(b: &mut Builder<'_>, v: ValueId, dtype: DType, q: &Quant) -> Result<ValueId, Diag> {
    let (scale, zero) = parameters(b, q, dtype)?;
    if dtype == DType::I64 {
        // Biases of 16-bit operators.
        if q.scale.len() > 1
            && b.graph().ty(v).as_tensor().and_then(hoist_ir::types::TensorType::rank) != Some(1)
            || q.zero_point.iter().any(|z| *z != 0)
        {
            return Err(Diag::error("E0301", "64-bit integers with scales are read as biases only"));
        }
        let wide = b.add(Cast { to: DType::F32, ..Default::default() }, &[Some(v)])?[0];
        return Ok(b.add(Mul {}, &[Some(wide), Some(scale)])?[0]);
    }
    let zero = Some(zero).filter(|_| q.zero_point.iter().any(|z| *z != 0));
    let op = DequantizeLinear { axis: q.axis as i64, ..Default::default() };
    Ok(b.add(op, &[Some(v), Some(scale), zero])?[0])
}

/// `v` as the declared result stores it.
pub(super) fn quantized(b: &mut Builder<'_>, declared: &Declared, v: ValueId) -> Result<ValueId, Diag> {
    let float = b.graph().ty(v).as_tensor().is_some_and(|t| t.dtype.is_float());
    let dtype = declared.ty.dtype;
    let Some(q) = declared.quant.as_ref().filter(|_| float) else { return Ok(v) };
    if !STORED.contains(&dtype) {
        let m = format!("result `{}` is quantized to {dtype}, which is not read", declared.name);
        return Err(Diag::error("E0301", m));
    }
    let (scale, zero) = parameters(b, q, dtype)?;
    let op = QuantizeLinear { axis: q.axis as i64, ..Default::default() };
    Ok(b.add(op, &[Some(v), Some(scale), Some(zero)])?[0])
}
