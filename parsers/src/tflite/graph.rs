//! Subgraphs to graphs.
use super::file::{File, bad};
use super::names::{Interface, Names, name_dims};
use super::operands::{Subgraph, quantized};
use super::state::State;
use super::tensor::is_handle;
use crate::pytorch::lift::state::StateMode;
use hoist_formats::tflite::bind::complex;
use hoist_formats::tflite::bind::quant::keeps_stored;
use hoist_formats::tflite::lift::{Bodies, Cx, Declared, lifting};
use hoist_formats::tflite::schema::Builtin;
use hoist_formats::tflite::table::Record;
use hoist_ir::builder::Builder;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, Origin, OriginPart, ValueId};
use hoist_ir::types::{TensorType, Type};
use std::sync::Arc;

/// Deepest nesting of subgraphs.
const MAX_DEPTH: usize = 24;
/// Operators that are read for each operator of the file: subgraphs may be called from several places.
const MAX_CALLS: usize = 16;
/// Operators that may be read whatever the file holds.
const MIN_OPERATORS: usize = 10_000;

/// Reads subgraphs of one file.
pub(super) struct Reader<'a> {
    file: &'a File,
    mode: StateMode,
    interface: Interface,
    /// What was refused.
    errors: Diags,
    pub state: State,
    depth: usize,
    /// Types of the inputs of the subgraph that is read next, where another calls it.
    given: Vec<Type>,
    /// Whether the subgraph of `CALL_ONCE` is read.
    initializing: bool,
    operators_left: usize,
    /// Whether all sizes of the main inputs are fixed, so that what the file says about other tensors holds.
    fixed: bool,
    /// Whether the file tells numbers from tensors of unknown rank.
    ranked: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a File, mode: StateMode, state: State) -> Self {
        let all = file.root.records("subgraphs");
        let operators: usize = all.iter().map(|s| s.records("operators").len()).sum();
        let open = |t: &Record| t.ints("shape_signature").contains(&-1);
        let inputs = all.first().map(|s| (s.ints("inputs"), s.records("tensors")));
        let mut inputs = inputs.into_iter().flat_map(|(i, t)| i.iter().filter_map(|i| t.get(*i as usize)));
        Self {
            file,
            mode,
            interface: Interface::new(&file.root).0,
            errors: Diags::default(),
            state,
            depth: 0,
            given: vec![],
            initializing: false,
            operators_left: operators.saturating_mul(MAX_CALLS).max(MIN_OPERATORS),
            fixed: !inputs.any(open),
            ranked: all.iter().flat_map(|s| s.records("tensors")).any(|t| t.bool("has_rank")),
        }
    }
    /// The first subgraph.
    pub(super) fn main(&mut self) -> Result<(Graph, Option<(String, String)>), Diags> {
        let g = self.graph(0);
        let errors = std::mem::take(&mut self.errors);
        let (mut g, sub) = match g {
            Ok(g) => g,
            Err(d) => return Err(Diags(errors.0.into_iter().chain([d]).collect())),
        };
        grouped(errors).into_result()?;
        let record = self.file.subgraph(0)?;
        outputs(&mut g, sub, record)?;
        let property = self.state.expose(&mut g);
        Ok((g, property))
    }
    /// Subgraph `index` without outputs, with its tensors; what is refused is in `errors`.
    fn graph(&mut self, index: i64) -> Result<(Graph, Subgraph<'a>), Diag> {
        let record = self.file.subgraph(index)?;
        let mut g = Graph::new(record.text("name"));
        let mut sub = Subgraph::new(self.file, record);
        self.inputs(&mut g, &mut sub, record)?;
        for (k, op) in record.records("operators").iter().enumerate() {
            self.operators_left = self.operators_left.checked_sub(1).ok_or_else(|| {
                bad("subgraphs are called from so many places that the model is many times the file")
            })?;
            let operands = op.ints("inputs");
            let unread = operands.iter().any(|i| sub.unread.contains(i));
            let Err(d) = self.operator(&mut g, &mut sub, op, k) else {
                sub.unread.extend(op.ints("outputs").iter().filter(|_| unread));
                continue;
            };
            // What depends on an operator that is not read may look wrong for that reason only.
            if !unread || d.code == "E0301" {
                self.errors.push(d);
            }
            stand_in(&mut g, &mut sub, op)?;
        }
        Ok((g, sub))
    }
    fn inputs(&mut self, g: &mut Graph, sub: &mut Subgraph<'a>, record: &Record) -> Result<(), Diag> {
        let mut sizes = Names::default();
        for (k, i) in record.ints("inputs").iter().enumerate() {
            let mut d = sub.declared(*i)?;
            if d.ty.shape.is_none() && !self.ranked {
                d.ty.shape = Some([].into_iter().collect());
            }
            if self.depth > 0 {
                let ty = self.given.get(k).cloned().unwrap_or(Type::Tensor(d.ty));
                let v = g.add_input(&sub.names.unique(&d.name), ty);
                sub.values.insert(*i, v);
                continue;
            }
            let name = sub.names.unique(&self.interface.input(k, *i, &d.name));
            name_dims(&name, &mut d.ty.shape, &mut sizes);
            let v = g.add_input(&name, Type::Tensor(d.ty));
            if sub.values.insert(*i, v).is_some() {
                return Err(bad(format!("tensor {i} (`{}`) is an input twice", d.name)));
            }
        }
        for (k, i) in record.ints("outputs").iter().enumerate() {
            let tensor = sub.record(*i)?.text("name");
            let name = if self.depth > 0 { tensor.to_owned() } else { self.interface.output(k, *i, tensor) };
            let name = sub.names.unique(&name);
            sub.outputs.push(name);
        }
        Ok(())
    }
    fn operator(&mut self, g: &mut Graph, sub: &mut Subgraph<'a>, op: &Record, k: usize) -> Result<(), Diag> {
        let (builtin, custom) = self.file.code(op.int("opcode_index"))?;
        let name = Self::name(sub, op, builtin.map_or("operator", Builtin::name), k);
        let located = |d: Diag| if d.node.is_some() { d } else { d.node(name.clone()) };
        let builtin = builtin.map_err(|code| {
            let m = format!("builtin operator {code} is unknown");
            located(Diag::error("E0301", m).op(format!("builtin {code}")))
        })?;
        if self.variable(g, sub, op, builtin).map_err(located)? {
            return Ok(());
        }
        let results = op.ints("outputs").iter().map(|i| sub.declared(*i)).collect::<Result<Vec<_>, _>>();
        let results = results.map_err(located)?;
        let given = |i: &i64| if *i == -1 { Ok(None) } else { sub.declared(*i).map(Some) };
        let given = op.ints("inputs").iter().map(given).collect::<Result<Vec<Option<Declared>>, _>>();
        let given = given.map_err(located)?;
        let pairs = given.iter().flatten().any(|d| d.ty.dtype == DType::C64);
        let found = if pairs { complex::lifting(builtin) } else { lifting(builtin) };
        let lift = found.ok_or_else(|| {
            located(Diag::error("E0301", format!("`{}` is not read", builtin.name())).op(builtin.name()))
        })?;
        let origin = Origin::new(OriginPart {
            name: name.as_str().into(),
            op: if custom.is_empty() { builtin.name().into() } else { custom.into() },
            ..OriginPart::default()
        });
        let options = options(op, builtin);
        let stored = keeps_stored(builtin, options, &given, &results);
        let mut b = Builder::at_end(g, origin);
        b.set_name(Some(name.as_str().into()));
        let mut inputs = vec![];
        for i in op.ints("inputs") {
            let v = operand(&mut b, sub, *i, stored);
            inputs.push(v.map_err(located)?);
        }
        let custom = (custom, self.file.options(op)?);
        let mut cx = Cx { b: &mut b, builtin, options, inputs, given, results, custom, bodies: self };
        let values = lift(&mut cx).map_err(located)?;
        let results = cx.results;
        if values.len() < results.len() {
            return Err(located(bad(format!("`{}` has {} results", builtin.name(), results.len()))));
        }
        for ((i, declared), v) in op.ints("outputs").iter().zip(&results).zip(values) {
            let v = if stored { v } else { quantized(&mut b, declared, v).map_err(located)? };
            self.result(b.graph_mut(), sub, (*i, declared), v)?;
        }
        Ok(())
    }
    /// Name of the operator: that of its first result.
    fn name(sub: &Subgraph<'a>, op: &Record, builtin: &str, k: usize) -> String {
        let first = op.ints("outputs").first().and_then(|i| sub.record(*i).ok());
        let name = first.map_or("", |r| r.text("name"));
        if name.is_empty() { format!("{builtin}_{k}") } else { name.to_owned() }
    }
    /// Makes `v` tensor `i`.
    fn result(
        &self,
        g: &mut Graph,
        sub: &mut Subgraph<'a>,
        (i, declared): (i64, &Declared),
        v: ValueId,
    ) -> Result<(), Diag> {
        let dtype = g.ty(v).as_tensor().map(|t| t.dtype);
        // Complex numbers are pairs in the IR.
        if declared.ty.dtype == DType::C64 && dtype == Some(DType::F32) {
            sub.values.insert(i, v);
            return Ok(());
        }
        if dtype.is_some_and(|d| d != declared.ty.dtype) {
            let m =
                format!("tensor `{}` is declared {} and computed as {}", declared.name, declared.ty, g.ty(v));
            return Err(bad(m));
        }
        let trusted =
            if self.fixed && self.depth == 0 { declared.ty.clone() } else { ranks_only(&declared.ty) };
        // What the file declares may be more precise; where it contradicts, the operator is right.
        let _ = g.declare_type(v, &Type::Tensor(trusted));
        if g.value(v).name.is_none() {
            g.set_name(v, sub.names.free(&declared.name));
        }
        if sub.values.insert(i, v).is_some() {
            return Err(bad(format!("tensor {i} (`{}`) is computed twice", declared.name)));
        }
        Ok(())
    }
    /// Reads an operator on variables; whether it is one.
    fn variable(
        &mut self,
        g: &mut Graph,
        sub: &mut Subgraph<'a>,
        op: &Record,
        builtin: Builtin,
    ) -> Result<bool, Diag> {
        let operand = |k: usize| op.ints("inputs").get(k).copied().unwrap_or(-1);
        let handle = |sub: &Subgraph<'a>| -> Result<Arc<str>, Diag> {
            let key = sub.handles.get(&operand(0)).cloned();
            key.ok_or_else(|| {
                Diag::error("E0301", "variables are read only where their handle is made").op(builtin.name())
            })
        };
        match builtin {
            Builtin::VarHandle => {
                let options = options(op, builtin);
                let text = |name| options.map_or("", |o| o.text(name));
                let (container, shared) = (text("container"), text("shared_name"));
                let key =
                    if container.is_empty() { shared.to_owned() } else { format!("{container}/{shared}") };
                let result = op.ints("outputs").first().ok_or_else(|| bad("a handle without a tensor"))?;
                if !is_handle(sub.record(*result)?) {
                    return Err(bad("a handle whose tensor is none"));
                }
                sub.handles.insert(*result, key.into());
            }
            Builtin::ReadVariable => {
                let key = handle(sub)?;
                let result =
                    *op.ints("outputs").first().ok_or_else(|| bad("nothing is read from a variable"))?;
                let declared = sub.declared(result)?;
                let v = self.state.read(g, &key, &Type::Tensor(declared.ty.clone()), &key)?;
                if sub.values.insert(result, v).is_some() {
                    return Err(bad(format!("tensor {result} (`{}`) is computed twice", declared.name)));
                }
            }
            Builtin::AssignVariable => {
                let (key, v) = (handle(sub)?, sub.value(g, operand(1))?);
                self.state.write(&key, v);
            }
            Builtin::CallOnce if self.depth == 0 && !self.initializing => {
                let index = options(op, builtin).map_or(0, |o| o.int("init_subgraph_index"));
                self.initialize(index)?;
            }
            _ => return Ok(false),
        }
        if self.depth > 0 {
            return Err(Diag::error("E0301", format!("`{}` inside a subgraph is not read", builtin.name()))
                .op(builtin.name()));
        }
        Ok(true)
    }
    /// Reads what the subgraph of `CALL_ONCE` assigns.
    fn initialize(&mut self, index: i64) -> Result<(), Diag> {
        if index == 0 {
            return Err(bad("CALL_ONCE calls the main subgraph"));
        }
        let mut inner = Reader::new(self.file, self.mode, State::default());
        inner.interface = Interface::default();
        inner.initializing = true;
        let (g, _) = inner.graph(index)?;
        if let Some(d) = inner.errors.0.into_iter().next() {
            return Err(d);
        }
        for (key, content) in inner.state.assigned(&g)? {
            self.state.begin(&key, content);
        }
        Ok(())
    }
}

impl Bodies for Reader<'_> {
    fn body(&mut self, index: i64, types: &[Type]) -> Result<Graph, Diag> {
        if self.depth >= MAX_DEPTH {
            return Err(bad("subgraphs call each other too deep"));
        }
        self.depth += 1;
        let before = self.errors.0.len();
        self.given = types.to_vec();
        let found = self.graph(index);
        self.depth -= 1;
        let (mut g, sub) = found?;
        if self.errors.0.len() > before
            && let Some(last) = self.errors.0.pop()
        {
            return Err(last);
        }
        let record = self.file.subgraph(index)?;
        outputs(&mut g, sub, record)?;
        Ok(g)
    }
}

/// Makes the outputs of `g` those that `record` names.
fn outputs(g: &mut Graph, mut sub: Subgraph<'_>, record: &Record) -> Result<(), Diag> {
    for (i, name) in record.ints("outputs").iter().zip(std::mem::take(&mut sub.outputs)) {
        if sub.declared(*i)?.ty.dtype == DType::C64 {
            return Err(Diag::error("E0301", format!("output `{name}` of complex numbers is not read")));
        }
        let v = sub.value(g, *i)?;
        g.add_output(&name, v);
    }
    Ok(())
}

/// Operand `i`, none for -1: as stored, or else as the numbers that it stands for.
fn operand(
    b: &mut Builder<'_>,
    sub: &mut Subgraph<'_>,
    i: i64,
    stored: bool,
) -> Result<Option<ValueId>, Diag> {
    if i == -1 {
        return Ok(None);
    }
    if sub.record(i)?.bool("is_variable") && !sub.values.contains_key(&i) && sub.constant(i)?.is_none() {
        let zero = super::variables::reset(&sub.declared(i)?)?;
        let v = b.constant(zero);
        sub.values.insert(i, v);
    }
    if stored { sub.value(b.graph_mut(), i).map(Some) } else { sub.real(b, i).map(Some) }
}

/// The options of an operator; those of another one count for nothing, as in LiteRT.
fn options(op: &Record, builtin: Builtin) -> Option<&Record> {
    let own = builtin.options()?;
    let given = [op.record("builtin_options"), op.record("builtin_options2")];
    given.into_iter().flatten().find(|o| o.table.name == own.table.name)
}

/// Gives the results of an operator that is not read values of their declared types, so that the rest can be looked at.
fn stand_in(g: &mut Graph, sub: &mut Subgraph<'_>, op: &Record) -> Result<(), Diag> {
    for i in op.ints("outputs") {
        sub.unread.insert(*i);
        if let Ok(d) = sub.declared(*i) {
            let v = g.add_input(&format!("{}.unread", d.name), Type::Tensor(d.ty));
            sub.values.insert(*i, v);
        } else {
            sub.record(*i)?;
        }
    }
    Ok(())
}

/// The type with its sizes forgotten.
fn ranks_only(ty: &TensorType) -> TensorType {
    let shape = ty.shape.as_ref().map(|s| s.iter().map(|_| Dim::Unknown).collect());
    TensorType { dtype: ty.dtype, shape }
}

/// One error for each kind of operator and reason.
fn grouped(errors: Diags) -> Diags {
    let mut out: Vec<(Diag, Vec<String>)> = vec![];
    for d in errors.0 {
        match out.iter_mut().find(|(o, _)| o.message == d.message && o.op == d.op) {
            Some((_, others)) => others.extend(d.node),
            None => out.push((d, vec![])),
        }
    }
    let one = |(d, others): (Diag, Vec<String>)| {
        let names: Vec<&str> = others.iter().map(String::as_str).collect();
        if names.is_empty() {
            return d;
        }
        d.note(format!("{} operators in all; also {}", names.len() + 1, super::state::listed(&names)))
    };
    Diags(out.into_iter().map(one).collect())
}
