//! Subgraphs to graphs.
use super::file::{File, bad};
use super::tensor::{constant, declared};
use hoist_formats::tflite::bind::{KEEPS_QUANTIZED, complex};
use hoist_formats::tflite::lift::{Cx, Declared, lifting};
use hoist_formats::tflite::table::Record;
use hoist_ir::builder::Builder;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, Origin, OriginPart, ValueId};
use hoist_ir::ops::quant::dequantize_linear::DequantizeLinear;
use hoist_ir::ops::quant::quantize_linear::QuantizeLinear;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;
use std::collections::HashMap;

/// Reads subgraphs of one file.
pub(super) struct Reader<'a> {
    file: &'a File,
    pub warnings: Vec<Diag>,
    /// Subgraphs that are being read, outer ones first.
    open: Vec<usize>,
    /// Operators that may still be read in subgraphs that others call: calls within calls may be many more than the file is long.
    left: usize,
}

/// Most subgraphs within each other.
const MAX_DEPTH: usize = 32;
/// Most operators that are read in called subgraphs.
const MAX_CALLED: usize = 200_000;

/// A subgraph while it is read.
struct Subgraph<'a> {
    tensors: &'a [Record],
    values: HashMap<i64, ValueId>,
    /// Quantized values as real numbers.
    real: HashMap<i64, ValueId>,
    /// Whether others call it: sizes that the file declares are those of one call then.
    called: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        Self { file, warnings: vec![], open: vec![], left: MAX_CALLED }
    }
    /// The first subgraph.
    pub(super) fn main(&mut self) -> Result<Graph, Diags> {
        self.graph(0, None)
    }
    /// Subgraph `index`, called with inputs of these types.
    fn called(&mut self, index: i64, types: &[Type]) -> Result<Graph, Diag> {
        let index = usize::try_from(index).map_err(|_| bad(format!("there is no subgraph {index}")))?;
        let count = self.file.subgraph(index)?.records("operators").len();
        if self.open.contains(&index) || self.open.len() >= MAX_DEPTH {
            return Err(bad(format!("subgraph {index} calls itself, or calls are nested too deeply")));
        }
        let left = self.left.checked_sub(count);
        self.left = left.ok_or_else(|| bad("calls of subgraphs repeat too many operators".to_owned()))?;
        let first = |d: Diags| d.0.into_iter().next().unwrap_or_else(|| bad("a subgraph cannot be read".to_owned()));
        self.graph(index, Some(types)).map_err(first)
    }
    /// Subgraph `index`, with inputs of the declared types, or of these.
    fn graph(&mut self, index: usize, types: Option<&[Type]>) -> Result<Graph, Diags> {
        self.open.push(index);
        let g = self.opened(index, types);
        self.open.pop();
        g
    }
    fn opened(&mut self, index: usize, types: Option<&[Type]>) -> Result<Graph, Diags> {
        let record = self.file.subgraph(index)?;
        let mut g = Graph::new(record.text("name"));
        let mut sub =
            Subgraph { tensors: record.records("tensors"), values: HashMap::new(), real: HashMap::new(), called: types.is_some() };
        for (k, i) in record.ints("inputs").iter().enumerate() {
            let mut d = sub.declared(*i)?;
            if d.ty.dtype == DType::C64 {
                return Err(Diag::error("E0301", format!("input `{}` of complex numbers is not read", d.name)).into());
            }
            name_dims(&mut d);
            let ty = types.and_then(|t| t.get(k).cloned()).unwrap_or(Type::Tensor(d.ty));
            let v = g.add_input(&d.name, ty);
            sub.values.insert(*i, v);
        }
        let mut diags = Diags::default();
        for (k, op) in record.records("operators").iter().enumerate() {
            if let Err(d) = self.operator(&mut g, &mut sub, op, k) {
                // Without its results, what follows cannot be looked at as it is.
                sub.stand_in(&mut g, op)?;
                diags.push(d);
            }
        }
        diags.into_result()?;
        for (k, i) in record.ints("outputs").iter().enumerate() {
            let Declared { name, ty, .. } = sub.declared(*i)?;
            if ty.dtype == DType::C64 {
                return Err(Diag::error("E0301", format!("output `{name}` of complex numbers is not read")).into());
            }
            let name = if name.is_empty() { format!("output{k}") } else { name };
            let v = self.value(&mut g, &mut sub, *i)?;
            g.add_output(&name, v);
        }
        Ok(g)
    }
    /// Tensor `i` as it is stored.
    fn value(&mut self, g: &mut Graph, sub: &mut Subgraph<'_>, i: i64) -> Result<ValueId, Diag> {
        if let Some(v) = sub.values.get(&i) {
            return Ok(*v);
        }
        let (record, declared) = (sub.record(i)?, sub.declared(i)?);
        let tensor = constant(self.file, record, &declared.ty)?;
        let tensor = match (tensor, declared.ty.sizes()) {
            (Some(t), _) => t,
            (None, Some(sizes)) if sizes.contains(&0) => {
                Tensor::from_bytes(declared.ty.dtype, &sizes, bytes::Bytes::new(), None)
                    .map_err(|e| bad(e.to_string()))?
            }
            _ => return Err(bad(format!("tensor `{}` is used and nothing computes it", declared.name))),
        };
        let v = g.add_const(tensor);
        g.set_name(v, Some(declared.name.as_str().into()));
        sub.values.insert(i, v);
        Ok(v)
    }
    /// Tensor `i` as real numbers.
    fn real(&mut self, b: &mut Builder<'_>, sub: &mut Subgraph<'_>, i: i64) -> Result<ValueId, Diag> {
        if let Some(v) = sub.real.get(&i) {
            return Ok(*v);
        }
        let v = self.value(b.graph_mut(), sub, i)?;
        let declared = sub.declared(i)?;
        let Some(q) = declared.quant.filter(|_| is_quantized(declared.ty.dtype)) else { return Ok(v) };
        let (scale, zero) = parameters(b, &q, declared.ty.dtype)?;
        let op = DequantizeLinear { axis: q.axis as i64, ..Default::default() };
        let real = b.add(op, &[Some(v), Some(scale), Some(zero)])?[0];
        sub.real.insert(i, real);
        Ok(real)
    }
    fn operator(&mut self, g: &mut Graph, sub: &mut Subgraph<'_>, op: &Record, k: usize) -> Result<(), Diag> {
        let (builtin, custom) = self.file.code(op.int("opcode_index"))?;
        let results: Vec<Declared> =
            op.ints("outputs").iter().map(|i| sub.declared(*i)).collect::<Result<_, _>>()?;
        let given = |i: &i64| if *i < 0 { Ok(None) } else { sub.declared(*i).map(Some) };
        let given: Vec<Option<Declared>> = op.ints("inputs").iter().map(given).collect::<Result<_, _>>()?;
        let name = results.first().map_or_else(|| format!("{}_{k}", builtin.name()), |r| r.name.clone());
        let origin = Origin::new(OriginPart {
            name: name.as_str().into(),
            op: if custom.is_empty() { builtin.name().into() } else { custom.into() },
            ..OriginPart::default()
        });
        let located = |d: Diag| if d.node.is_some() { d } else { d.node(name.clone()) };
        // Complex numbers are pairs in the IR: only some operators can take those.
        let complex = given.iter().flatten().any(|d| d.ty.dtype == DType::C64);
        let found = if complex { complex::lifting(builtin) } else { lifting(builtin) };
        let lift = found.ok_or_else(|| {
            located(Diag::error("E0301", format!("`{}` is not read", builtin.name())).op(builtin.name()))
        })?;
        let stored = KEEPS_QUANTIZED.contains(&builtin);
        let mut b = Builder::at_end(g, origin);
        b.set_name(Some(name.as_str().into()));
        let mut inputs = vec![];
        for i in op.ints("inputs") {
            inputs.push(match *i {
                i if i < 0 => None,
                i if stored => Some(self.value(b.graph_mut(), sub, i)?),
                i => Some(self.real(&mut b, sub, i)?),
            });
        }
        let options = op.record("builtin_options").or_else(|| op.record("builtin_options2"));
        let mut read = |index: i64, types: &[Type]| self.called(index, types);
        let mut cx = Cx { b: &mut b, builtin, options, inputs, given, results, read: &mut read };
        let values = lift(&mut cx).map_err(located)?;
        let results = cx.results;
        for ((i, declared), v) in op.ints("outputs").iter().zip(&results).zip(values) {
            let v = if stored { v } else { quantized(&mut b, declared, v).map_err(located)? };
            let g = b.graph_mut();
            // What the file declares may be more precise; where it contradicts, the operator is right.
            if !sub.called {
                let _ = g.declare_type(v, &Type::Tensor(declared.ty.clone()));
            }
            if g.value(v).name.is_none() {
                g.set_name(v, Some(declared.name.as_str().into()));
            }
            sub.values.insert(*i, v);
        }
        Ok(())
    }
}

impl Subgraph<'_> {
    fn record(&self, i: i64) -> Result<&Record, Diag> {
        let found = usize::try_from(i).ok().and_then(|i| self.tensors.get(i));
        found.ok_or_else(|| bad(format!("tensor {i} of {}", self.tensors.len())))
    }
    fn declared(&self, i: i64) -> Result<Declared, Diag> {
        declared(self.record(i)?)
    }
    /// Gives the results of an operator that is not read values of their declared types, so that the rest can be looked at.
    fn stand_in(&mut self, g: &mut Graph, op: &Record) -> Result<(), Diag> {
        for i in op.ints("outputs") {
            let d = self.declared(*i)?;
            let v = g.add_input(&format!("{}.unread", d.name), Type::Tensor(d.ty));
            self.values.insert(*i, v);
        }
        Ok(())
    }
}

/// Names the open sizes of an input.
fn name_dims(d: &mut Declared) {
    for (axis, dim) in d.ty.shape.iter_mut().flatten().enumerate() {
        if *dim == Dim::Unknown {
            *dim = Dim::symbol(&format!("{}_{axis}", d.name));
        }
    }
}

fn is_quantized(dtype: DType) -> bool {
    dtype.is_int() && dtype != DType::I64
}

/// Scale and zero point as constants: 0-d per tensor, 1-d along an axis.
fn parameters(
    b: &mut Builder<'_>,
    q: &hoist_formats::tflite::program::Quant,
    dtype: DType,
) -> Result<(ValueId, ValueId), Diag> {
    let shape: &[usize] = if q.scale.len() == 1 { &[] } else { &[q.scale.len()] };
    let zero =
        Tensor::from_vec(shape, q.zero_point.clone()).cast(dtype, false).map_err(|e| bad(e.to_string()))?;
    let scale = b.constant(Tensor::from_vec(shape, q.scale.clone()));
    Ok((scale, b.constant(zero)))
}

/// `v` as the declared result stores it.
fn quantized(b: &mut Builder<'_>, declared: &Declared, v: ValueId) -> Result<ValueId, Diag> {
    let float = b.graph().ty(v).as_tensor().is_some_and(|t| t.dtype.is_float());
    let Some(q) = declared.quant.as_ref().filter(|_| float && is_quantized(declared.ty.dtype)) else {
        return Ok(v);
    };
    let (scale, zero) = parameters(b, q, declared.ty.dtype)?;
    let op = QuantizeLinear { axis: q.axis as i64, ..Default::default() };
    Ok(b.add(op, &[Some(v), Some(scale), Some(zero)])?[0])
}
