//! A legal graph as a [`Program`] of builtin operators.
use super::bind;
use super::dtype::to_code;
use super::program::{Instr, Program, Quant, T, TensorDef};
use super::schema::Builtin;
use super::table::Record;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Def, Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::words::Layout;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::{Shape, TensorType};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What a model is written for, beyond LiteRT's builtin operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Operators without a builtin form are written as custom operators of their own name.
    pub custom: bool,
    /// Operators of TensorFlow are written for the Flex delegate.
    pub flex: bool,
}

/// The reason why operators on images and signals are not legal before layouts are chosen; everything else about them is looked at first.
pub const LAYOUT: &str = "channels before the axes of the image";

/// How reasons begin that are about the element type of an operand: another type may be computed.
pub const WRONG_TYPE: &str = "element type";

/// A result, or what TFLite lacks, as a phrase.
pub type R<T> = Result<T, String>;

/// Lowers one node.
pub type Lower = fn(&mut Cx<'_>) -> R<()>;

/// One node on its way into a [`Program`].
pub struct Cx<'a> {
    /// The graph.
    pub g: &'a Graph,
    /// The node.
    pub n: NodeId,
    /// What is written for.
    pub target: &'a Target,
    state: &'a mut State,
}

/// A program while it grows.
#[derive(Default)]
struct State {
    program: Program,
    values: HashMap<ValueId, T>,
    /// Constants made of constants of the graph, by what was done to them.
    derived: HashMap<(ValueId, &'static str), T>,
    /// What bodies of nodes lack; nothing while a node is only looked at.
    inner: Option<Diags>,
}

impl<'a> Cx<'a> {
    /// The operator.
    pub fn op(&self) -> &'a Op {
        self.g.node(self.n).op()
    }
    /// Number of operands.
    pub fn len(&self) -> usize {
        self.g.node(self.n).inputs().len()
    }
    /// Whether there are no operands.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Checks that data have their channels last. Call it after all other checks.
    pub fn channels_last(&self, layout: Layout) -> R<()> {
        if layout == Layout::ChannelsLast { Ok(()) } else { Err(LAYOUT.to_owned()) }
    }
    /// Operand `i`.
    pub fn value(&self, i: usize) -> Option<ValueId> {
        self.g.node(self.n).input(i)
    }
    /// Operand `i`, which must be there, as a tensor of the program.
    pub fn arg(&mut self, i: usize) -> R<T> {
        let v = self.value(i).ok_or_else(|| format!("operand {i} left out"))?;
        self.tensor_of(v)
    }
    /// Operand `i` as a tensor of the program, when it is there.
    pub fn opt(&mut self, i: usize) -> R<Option<T>> {
        self.value(i).map(|v| self.tensor_of(v)).transpose()
    }
    /// All operands.
    pub fn args(&mut self) -> R<Vec<T>> {
        (0..self.len()).map(|i| self.arg(i)).collect()
    }
    fn tensor_of(&mut self, v: ValueId) -> R<T> {
        if let Some(t) = self.state.values.get(&v) {
            return Ok(*t);
        }
        let t = self.state.program.add(define(self.g, v)?);
        self.state.values.insert(v, t);
        Ok(t)
    }
    /// Type of operand `i`.
    pub fn ty(&self, i: usize) -> R<&'a TensorType> {
        let v = self.value(i).ok_or_else(|| format!("operand {i} left out"))?;
        self.g.ty(v).as_tensor().ok_or_else(|| format!("operand {i} of type {}", self.g.ty(v)))
    }
    /// Element type of operand `i`.
    pub fn dtype(&self, i: usize) -> R<DType> {
        Ok(self.ty(i)?.dtype)
    }
    /// Shape of operand `i`, when its rank is known.
    pub fn shape(&self, i: usize) -> Option<&'a Shape> {
        self.ty(i).ok()?.shape.as_ref()
    }
    /// Rank of operand `i`.
    pub fn rank(&self, i: usize) -> R<usize> {
        self.ty(i)?.rank().ok_or_else(|| format!("operand {i} of unknown rank"))
    }
    /// Sizes of operand `i`, when all are known.
    pub fn sizes(&self, i: usize) -> Option<Vec<usize>> {
        self.ty(i).ok()?.sizes()
    }
    /// Constant elements of operand `i`.
    pub fn constant(&self, i: usize) -> Option<&'a Tensor> {
        self.g.constant(self.value(i)?)
    }
    /// Constant integers of operand `i`.
    pub fn ints(&self, i: usize) -> Option<Vec<i64>> {
        self.g.const_ints(self.value(i))
    }
    /// Constant integers of operand `i`, which TFLite needs to be constant; `what` names them.
    pub fn needed_ints(&self, i: usize, what: &str) -> R<Vec<i64>> {
        self.ints(i).ok_or_else(|| format!("{what} that are computed"))
    }
    /// Constant number of operand `i`.
    pub fn number(&self, i: usize) -> Option<f64> {
        self.g.const_f64(self.value(i))
    }
    /// Number of results.
    pub fn outputs(&self) -> usize {
        self.g.node(self.n).outputs().len()
    }
    /// Whether result `k` is used.
    pub fn is_used(&self, k: usize) -> bool {
        self.g.node(self.n).outputs().get(k).is_some_and(|v| !self.g.value(*v).uses().is_empty())
    }
    /// Type of result `k`.
    pub fn out_ty(&self, k: usize) -> R<&'a TensorType> {
        let v = *self.g.node(self.n).outputs().get(k).ok_or("a result left out")?;
        self.g.ty(v).as_tensor().ok_or_else(|| format!("result {k} of type {}", self.g.ty(v)))
    }
    /// Result `k` as a tensor of the program.
    pub fn out(&mut self, k: usize) -> R<T> {
        let v = *self.g.node(self.n).outputs().get(k).ok_or("a result left out")?;
        self.tensor_of(v)
    }
    /// Makes `t`, which is of the same type, result `k`.
    ///
    /// # Errors
    /// When there is no such result.
    pub fn alias(&mut self, k: usize, t: T) -> R<()> {
        let v = *self.g.node(self.n).outputs().get(k).ok_or("a result left out")?;
        let known = define(self.g, v)?;
        if (0..self.len()).any(|i| self.value(i).and_then(|o| self.state.values.get(&o)) == Some(&t)) {
            // An operand has a name of its own.
            return self.copy(k, t);
        }
        let def = self.state.program.def_mut(t);
        def.name = def.name.take().or(known.name);
        def.quant = def.quant.take().or(known.quant);
        self.state.values.insert(v, t);
        Ok(())
    }
    /// Makes a copy of `t`, which is of the same type, result `k`.
    fn copy(&mut self, k: usize, t: T) -> R<()> {
        let list = self.shape_of(t)?;
        let out = self.out(k)?;
        self.push(Builtin::Reshape, None, &[Some(t), Some(list)], vec![out])
    }
    /// All results.
    pub fn outs(&mut self) -> R<Vec<T>> {
        (0..self.outputs()).map(|k| self.out(k)).collect()
    }
    /// What `t` is.
    pub fn def(&self, t: T) -> &TensorDef {
        self.state.program.def(t)
    }
    /// A constant.
    pub fn konst(&mut self, data: Tensor) -> T {
        self.state.program.add(TensorDef::constant(data))
    }
    /// A constant made of the constant `v`; every use of `v` that names the same `change` shares it.
    pub fn derived(
        &mut self,
        v: ValueId,
        change: &'static str,
        make: impl FnOnce(&Tensor) -> R<Tensor>,
    ) -> R<T> {
        if let Some(t) = self.state.derived.get(&(v, change)) {
            return Ok(*t);
        }
        let data = make(self.g.constant(v).ok_or("an operand that is computed")?)?;
        let t = self.konst(data);
        self.state.derived.insert((v, change), t);
        Ok(t)
    }
    /// Number of operands that the bodies capture.
    pub fn captures(&self) -> usize {
        self.g.node(self.n).captures()
    }
    /// Adds an operator that calls `bodies`, each with the option that names it.
    pub fn call(
        &mut self,
        builtin: Builtin,
        inputs: Vec<Option<T>>,
        outputs: Vec<T>,
        bodies: Vec<(&'static str, Program)>,
    ) -> R<()> {
        let options = builtin.options();
        self.add_instr(Instr {
            builtin,
            custom: None,
            options,
            inputs,
            outputs,
            bodies,
            label: Arc::from(""),
        });
        Ok(())
    }
    /// Body `i` of the node as a program. While the node is only looked at, it has inputs and outputs and no operators: what the body
    /// lacks is found in the body.
    pub fn body(&mut self, i: usize) -> R<Program> {
        let body = self.g.node(self.n).bodies().get(i).ok_or_else(|| format!("body {i} left out"))?;
        let target = self.target;
        let Some(inner) = &mut self.state.inner else { return interface(body) };
        match program(body, target) {
            Ok(p) => Ok(p),
            Err(diags) => {
                inner.0.extend(diags.0);
                interface(body)
            }
        }
    }
    /// A 1-d constant of 32-bit integers, refused when one does not fit.
    pub fn ints32(&mut self, values: &[i64]) -> R<T> {
        let narrow: Result<Vec<i32>, _> = values.iter().map(|v| i32::try_from(*v)).collect();
        let narrow = narrow.map_err(|_| format!("{values:?} beyond 32-bit integers"))?;
        Ok(self.konst(Tensor::from_vec(&[narrow.len()], narrow)))
    }
    /// A 0-d constant of a 32-bit integer.
    pub fn int32(&mut self, value: i64) -> R<T> {
        let narrow = i32::try_from(value).map_err(|_| format!("{value} beyond 32-bit integers"))?;
        Ok(self.konst(Tensor::scalar(narrow)))
    }
    /// Sizes, positions or axes in operand `i` as 32-bit integers. LiteRT holds sizes as such integers, so that none is lost; constants
    /// beyond them are clamped, as ONNX's "to the end" is meant.
    pub fn sizes32(&mut self, i: usize) -> R<T> {
        if let Some(t) = self.constant(i) {
            let clamped: Vec<i32> = t
                .to_i64s()
                .map_err(|e| e.to_string())?
                .into_iter()
                .map(|v| v.clamp(i32::MIN.into(), i32::MAX.into()) as i32)
                .collect();
            return Ok(self.konst(Tensor::from_vec(t.shape(), clamped)));
        }
        let (t, ty) = (self.arg(i)?, self.ty(i)?.clone());
        if ty.dtype == DType::I32 {
            return Ok(t);
        }
        self.cast(t, DType::I32)
    }
    /// `t` cast to `dtype`.
    pub fn cast(&mut self, t: T, dtype: DType) -> R<T> {
        let ty = TensorType { dtype, ..self.def(t).ty.clone() };
        let code = |d: DType| to_code(d).ok_or_else(|| format!("element type {d}"));
        let options = Builtin::Cast.options().map(|o| {
            let from = code(self.def(t).ty.dtype).unwrap_or(0);
            o.with("in_data_type", from).with("out_data_type", code(dtype).unwrap_or(0))
        });
        self.temp(Builtin::Cast, options, &[Some(t)], ty)
    }
    /// Element type of operand `i`, when it is one of those that the kernel computes.
    pub fn of_type(&self, i: usize, types: &[DType]) -> R<DType> {
        let dtype = self.dtype(i)?;
        if types.contains(&dtype) { Ok(dtype) } else { Err(format!("{WRONG_TYPE} {dtype}")) }
    }
    /// A 0-d constant of the element type of `like`.
    pub fn scalar_like(&mut self, value: f64, like: T) -> R<T> {
        let dtype = self.def(like).ty.dtype;
        let scalar = Tensor::scalar(value).cast(dtype, false).map_err(|e| e.to_string())?;
        Ok(self.konst(scalar))
    }
    /// An operator whose one result is intermediate and of the type of `like`.
    pub fn temp_like(&mut self, builtin: Builtin, inputs: &[T], like: T) -> R<T> {
        let ty = self.def(like).ty.clone();
        let inputs: Vec<Option<T>> = inputs.iter().map(|t| Some(*t)).collect();
        self.temp(builtin, None, &inputs, ty)
    }
    /// Result `k` is operand `i`: a copy where the model shows it under a name of its own, else without any operator.
    pub fn forward(&mut self, k: usize, i: usize) -> R<()> {
        let (t, v) = (self.arg(i)?, self.result(k)?);
        if self.g.is_output(v) {
            return self.copy(k, t);
        }
        self.state.values.insert(v, t);
        Ok(())
    }
    fn result(&self, k: usize) -> R<ValueId> {
        self.g.node(self.n).outputs().get(k).copied().ok_or_else(|| "a result left out".to_owned())
    }
    /// Adds an operator whose results are those of the node.
    pub fn emit(&mut self, builtin: Builtin, options: Option<Record>, inputs: &[T]) -> R<()> {
        let inputs: Vec<Option<T>> = inputs.iter().map(|t| Some(*t)).collect();
        let outputs = self.outs()?;
        self.push(builtin, options, &inputs, outputs)
    }
    /// Adds an operator whose one result is intermediate.
    pub fn temp(
        &mut self,
        builtin: Builtin,
        options: Option<Record>,
        inputs: &[Option<T>],
        ty: TensorType,
    ) -> R<T> {
        checked(&ty)?;
        let out = self.state.program.add(TensorDef::new(ty));
        self.push(builtin, options, inputs, vec![out])?;
        Ok(out)
    }
    /// An intermediate tensor.
    pub fn fresh(&mut self, ty: TensorType) -> R<T> {
        checked(&ty)?;
        Ok(self.state.program.add(TensorDef::new(ty)))
    }
    /// Adds any tensor.
    pub fn add(&mut self, def: TensorDef) -> T {
        self.state.program.add(def)
    }
    /// Adds an operator.
    pub fn push(
        &mut self,
        builtin: Builtin,
        options: Option<Record>,
        inputs: &[Option<T>],
        outputs: Vec<T>,
    ) -> R<()> {
        let options = options.or_else(|| builtin.options());
        if let Some(n) = options.as_ref().and_then(Record::beyond) {
            return Err(format!("an attribute of {n}"));
        }
        self.add_instr(Instr {
            builtin,
            custom: None,
            options,
            inputs: inputs.to_vec(),
            outputs,
            bodies: vec![],
            label: Arc::from(""),
        });
        Ok(())
    }
    /// Adds an operator with everything given; its label is filled in.
    pub fn add_instr(&mut self, mut instr: Instr) {
        instr.label = self.g.node_label(self.n).into();
        self.state.program.instrs.push(instr);
    }
}

fn checked(ty: &TensorType) -> R<()> {
    to_code(ty.dtype).map(|_| ()).ok_or_else(|| format!("element type {}", ty.dtype))
}

fn define(g: &Graph, v: ValueId) -> R<TensorDef> {
    let ty = g.ty(v).as_tensor().ok_or_else(|| format!("a value of type {}", g.ty(v)))?;
    checked(ty)?;
    let mut def = TensorDef { name: g.value(v).name.clone(), ..TensorDef::new(ty.clone()) };
    if g.value(v).def() == Def::Const {
        def.data = g.constant(v).cloned();
    }
    def.quant = bind::quant::quant_of(g, v);
    Ok(def)
}

/// Node `n` as operators, for finding out whether it has such a form.
///
/// # Errors
/// What TFLite lacks, as a phrase.
pub fn lower(g: &Graph, n: NodeId, target: &Target) -> R<Vec<Instr>> {
    let mut state = State::default();
    node(&mut Cx { g, n, target, state: &mut state })?;
    Ok(state.program.instrs)
}

fn node(cx: &mut Cx<'_>) -> R<()> {
    let name = cx.op().name();
    match bind::lowering(name) {
        Some(lower) => lower(cx),
        None => Err(bind::refused::reason(name)
            .unwrap_or(
                "these operands: it is composed of other operators, and for these there is no composition",
            )
            .to_owned()),
    }
}

/// `g` as a program.
///
/// # Errors
/// Every node that has no form, and every input and output of a type that TFLite lacks.
pub fn program(g: &Graph, target: &Target) -> Result<Program, Diags> {
    let mut state = State { inner: Some(Diags::default()), ..State::default() };
    state.program.name = g.name.to_string();
    let mut diags = Diags::default();
    inputs(g, &mut state, &mut diags);
    for n in g.order() {
        if let Err(m) = node(&mut Cx { g, n, target, state: &mut state }) {
            diags.push(refusal(g, n, &m));
        }
    }
    diags.0.extend(state.inner.take().unwrap_or_default().0);
    outputs(g, &mut state, &mut diags);
    diags.into_result()?;
    name_apart(&mut state.program);
    Ok(state.program)
}

/// Gives outputs that are inputs, or other outputs, tensors of their own: a tensor has one name only.
pub fn name_apart(p: &mut Program) {
    let mut taken: HashSet<T> = p.inputs.iter().map(|(_, t)| *t).collect();
    for i in 0..p.outputs.len() {
        let t = p.outputs[i].1;
        if taken.insert(t) {
            continue;
        }
        let def = TensorDef { name: None, data: None, variable: false, ..p.def(t).clone() };
        let rank = def.ty.rank();
        let shape = if let Some(s) = def.ty.sizes() {
            let sizes = s.iter().map(|n| *n as i32).collect();
            p.add(TensorDef::constant(Tensor::from_vec(&[s.len()], sizes)))
        } else {
            let list = rank
                .map_or_else(|| TensorType::of_rank(DType::I32, 1), |r| TensorType::fixed(DType::I32, &[r]));
            let shape = p.add(TensorDef::new(list));
            let code = to_code(DType::I32).unwrap_or(0);
            let options = Builtin::Shape.options().map(|o| o.with("out_type", code));
            p.instrs.push(Instr::plain(Builtin::Shape, options, &[t], shape));
            shape
        };
        let copy = p.add(def);
        p.instrs.push(Instr::plain(Builtin::Reshape, None, &[t, shape], copy));
        p.outputs[i].1 = copy;
        taken.insert(copy);
    }
}

/// `g` as a program without operators.
fn interface(g: &Graph) -> R<Program> {
    let (mut state, mut diags) = (State::default(), Diags::default());
    inputs(g, &mut state, &mut diags);
    outputs(g, &mut state, &mut diags);
    match diags.0.into_iter().next() {
        Some(d) => Err(format!("a body: {}", d.message)),
        None => Ok(state.program),
    }
}

fn lacking(m: &str) -> Diag {
    Diag::error("E0302", format!("TFLite has no {m}"))
}

fn inputs(g: &Graph, state: &mut State, diags: &mut Diags) {
    for v in g.inputs() {
        match define(g, *v) {
            Ok(def) => {
                let t = state.program.add(def);
                state.values.insert(*v, t);
                state.program.inputs.push((g.value_label(*v).into(), t));
            }
            Err(m) => diags.push(lacking(&format!("input `{}`: {m}", g.value_label(*v)))),
        }
    }
}

fn outputs(g: &Graph, state: &mut State, diags: &mut Diags) {
    for o in g.outputs() {
        let known = state.values.get(&o.value).copied();
        match known.map_or_else(|| define(g, o.value).map(|d| state.program.add(d)), Ok) {
            Ok(t) => {
                state.values.insert(o.value, t);
                state.program.outputs.push((o.name.clone(), t));
            }
            Err(m) => diags.push(lacking(&format!("output `{}`: {m}", o.name))),
        }
    }
}

/// The error for a node without a form.
pub fn refusal(g: &Graph, n: NodeId, reason: &str) -> Diag {
    let node = g.node(n);
    let hint = if reason.contains("unknown") {
        "give the inputs their sizes with --input-shape or --dim, or write ONNX instead"
    } else {
        "write ONNX instead, or change this part of the source model"
    };
    Diag::error("E0302", format!("TFLite has no form of `{}` with {reason}", node.op().name()))
        .node(g.node_label(n))
        .origin(node.origin.clone())
        .hint(hint)
}

/// A dimension as the file has it: its size, and its entry of `shape_signature`.
pub fn dimension(d: &Dim) -> (i64, i64) {
    match d.known().and_then(|n| i32::try_from(n).ok()) {
        Some(n) => (n.into(), n.into()),
        None => (1, -1),
    }
}

/// Quantization from constant scale and zero point.
pub fn quant(scale: Vec<f32>, zero_point: Vec<i64>, axis: usize) -> Quant {
    Quant { scale, zero_point, axis }
}
