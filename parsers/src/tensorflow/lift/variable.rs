//! Variables and their checkpoints.
use super::Row;
use super::cx::{Cx, R, V};
use super::val::Val;
use crate::tensorflow::program::Node;
use crate::tensorflow::restore::{Place, Store, identity, read_place};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::Graph;
use hoist_ir::ops::elementwise::arithmetic::{Add, Sub};
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::index::gather_nd::GatherNd;
use hoist_ir::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};

pub(super) const TABLE: &[Row] = &[
    ("VarHandleOp", "", handle),
    ("VariableV2", "", reference),
    ("Variable", "", reference),
    ("ReadVariableOp", "", read),
    ("_ReadVariablesOp", "values*dtypes", read_all),
    ("VariableShape", "", shape),
    ("VarIsInitializedOp", "", initialized),
    ("IsVariableInitialized", "", initialized),
    ("ResourceGather", "", gather),
    ("ResourceGatherNd", "", gather_nd),
    ("AssignVariableOp", "", assign),
    ("AssignAddVariableOp", "", assign_add),
    ("AssignSubVariableOp", "", assign_sub),
    ("DisableCopyOnRead", "", nothing),
    ("RestoreV2", "", restore),
];

/// A variable.
#[derive(Debug)]
struct Held {
    name: String,
    initial: Option<Tensor>,
    /// The input that it is, when it is state, and its name.
    input: Option<(String, V)>,
    /// What was assigned last.
    now: Option<V>,
    /// The saved value in the model's graph, once it was read there.
    constant: Option<V>,
    assigned: bool,
}

/// The variables that lifting has come across.
#[derive(Debug, Default)]
pub struct Variables {
    list: Vec<Held>,
    by_name: BTreeMap<String, usize>,
    /// Address of the graph in which variables may be assigned.
    home: usize,
}

fn address(graph: &Graph) -> usize {
    std::ptr::from_ref(graph) as usize
}

impl Variables {
    /// Number of the variable `name`.
    fn number(&mut self, name: &str) -> usize {
        if let Some(n) = self.by_name.get(name) {
            return *n;
        }
        let n = self.list.len();
        self.by_name.insert(name.to_owned(), n);
        let held = Held {
            name: name.to_owned(),
            initial: None,
            input: None,
            now: None,
            constant: None,
            assigned: false,
        };
        self.list.push(held);
        n
    }
    /// Makes an input `label` of the variable `name`.
    ///
    /// # Errors
    /// When it has no value.
    pub fn hold(&mut self, name: &str, label: &str, graph: &mut Graph, store: &Store) -> R<()> {
        let n = self.number(name);
        let initial = store.value(name)?;
        let input = graph.add_input(label, initial.ty().into());
        let held = &mut self.list[n];
        (held.initial, held.input, held.now) = (Some(initial), Some((label.to_owned(), input)), Some(input));
        Ok(())
    }
    /// Says which graph is that of the model, not one of a loop or branch.
    pub fn at_home(&mut self, graph: &Graph) {
        self.home = address(graph);
    }
    /// Names of the variables that were assigned.
    pub fn assigned(&self) -> BTreeSet<String> {
        self.list.iter().filter(|h| h.assigned).map(|h| h.name.clone()).collect()
    }
    /// Variables that are inputs: name, name of the input, the input, and what was assigned last.
    pub fn held(&self) -> impl Iterator<Item = (&str, &str, V, V)> {
        self.list.iter().filter_map(|h| {
            let (label, input) = h.input.as_ref()?;
            Some((h.name.as_str(), label.as_str(), *input, h.now?))
        })
    }
    /// Names of the inputs, and whether zeros are saved for them.
    pub fn held_zero(&self) -> impl Iterator<Item = (&str, bool)> {
        let zero = |t: &Tensor| t.widen().is_ok() && t.to_f64s().is_ok_and(|v| v.iter().all(|x| *x == 0.0));
        let inputs = self.list.iter().filter_map(|h| Some((h.input.as_ref()?.0.as_str(), h)));
        inputs.map(move |(label, h)| (label, h.initial.as_ref().is_some_and(zero)))
    }
}

/// What the operators see.
impl Cx<'_, '_, '_> {
    /// The variable that operand `i` is.
    fn variable(&self, i: usize) -> R<usize> {
        match self.val(i)? {
            Val::Variable(n) => Ok(*n),
            other => Err(self.bad(format!("operand {i} is {}, not a variable", other.what()))),
        }
    }
    fn initial(&mut self, n: usize) -> R<Tensor> {
        let held = &self.l.variables.list[n];
        if let Some(t) = &held.initial {
            return Ok(t.clone());
        }
        let t = self.l.program.store.value(&held.name)?;
        self.l.variables.list[n].initial = Some(t.clone());
        Ok(t)
    }
    /// Whether this is the model's graph, and no loop's or branch's.
    fn is_home(&self) -> bool {
        self.l.variables.home == address(self.b.graph())
    }
    /// What variable `n` holds.
    fn content(&mut self, n: usize) -> R<V> {
        if let Some(now) = self.l.variables.list[n].now {
            if self.is_home() {
                return Ok(now);
            }
            let name = &self.l.variables.list[n].name;
            return Err(
                self.unsupported(format!("variable `{name}`, which the model assigns, in a loop or branch"))
            );
        }
        let home = self.is_home();
        if let Some(v) = self.l.variables.list[n].constant.filter(|_| home) {
            return Ok(v);
        }
        let t = self.initial(n)?;
        let v = self.konst(t);
        let held = &mut self.l.variables.list[n];
        if home {
            held.constant = Some(v);
        }
        self.b.graph_mut().set_name(v, Some(held.name.as_str().into()));
        Ok(v)
    }
    fn set(&mut self, n: usize, v: V) -> R<Vec<Val>> {
        if !self.is_home() {
            let name = &self.l.variables.list[n].name;
            return Err(self.unsupported(format!("variable `{name}` in a loop or branch")));
        }
        let initial = self.initial(n)?;
        let same =
            self.dtype(v)? == initial.dtype() && self.sizes(v).is_none_or(|sizes| sizes == initial.shape());
        if !same {
            let name = &self.l.variables.list[n].name;
            return Err(self.unsupported(format!("another type or shape than variable `{name}` has")));
        }
        let held = &mut self.l.variables.list[n];
        held.now = Some(v);
        held.assigned = true;
        Ok(vec![])
    }
}

/// Checks that a stored value is what the node says about its variable.
fn check(cx: &Cx<'_, '_, '_>, node: &Node, value: &Tensor) -> R<()> {
    let dtype = cx.attrs.dtype("dtype").ok();
    let shape = cx.attrs.shape("shape")?.flatten();
    let differs = |shape: &Vec<hoist_ir::dim::Dim>| {
        shape.len() != value.rank()
            || shape.iter().zip(value.shape()).any(|(d, n)| d.known().is_some_and(|d| d != *n as u64))
    };
    if dtype.is_some_and(|d| d != value.dtype()) || shape.as_ref().is_some_and(differs) {
        let m = format!(
            "the checkpoint holds {} for variable `{}`, which is of another type",
            value.ty(),
            node.name
        );
        return Err(Diag::error("E0203", m));
    }
    Ok(())
}

fn handle(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let n = cx.l.variables.number(identity(cx.node));
    if cx.l.program.store.bundle.is_some() && cx.attrs.dtype("dtype").is_ok() {
        let value = cx.initial(n)?;
        check(cx, cx.node, &value)?;
    }
    Ok(vec![Val::Variable(n)])
}

fn reference(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let n = cx.l.variables.number(identity(cx.node));
    let value = cx.initial(n)?;
    check(cx, cx.node, &value)?;
    Ok(vec![cx.content(n)?.into()])
}

fn read(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let n = cx.variable(0)?;
    Ok(vec![cx.content(n)?.into()])
}

fn read_all(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    (0..cx.len()).map(|i| cx.variable(i).and_then(|n| cx.content(n)).map(Val::Tensor)).collect()
}

fn shape(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let n = cx.variable(0)?;
    let sizes: Vec<i64> = cx.initial(n)?.shape().iter().map(|s| *s as i64).collect();
    let v = cx.int_list(&sizes);
    let dtype = cx.attrs.dtype("out_type").unwrap_or(DType::I32);
    Ok(vec![cx.cast(v, dtype)?.into()])
}

fn initialized(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    Ok(vec![cx.konst(Tensor::from_bools(&[], vec![true])).into()])
}

fn gather(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let n = cx.variable(0)?;
    if cx.attrs.int("batch_dims").unwrap_or(0) != 0 {
        return Err(cx.unsupported("batch_dims"));
    }
    let (v, at) = (cx.content(n)?, cx.wide(1)?);
    Ok(vec![cx.op(Gather { axis: 0 }, &[v, at])?.into()])
}

fn gather_nd(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let n = cx.variable(0)?;
    let (v, at) = (cx.content(n)?, cx.wide(1)?);
    Ok(vec![cx.op(GatherNd::default(), &[v, at])?.into()])
}

fn assign(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (n, v) = (cx.variable(0)?, cx.arg(1)?);
    cx.set(n, v)
}

fn assign_add(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (n, v) = (cx.variable(0)?, cx.arg(1)?);
    let old = cx.content(n)?;
    let new = cx.op(Add {}, &[old, v])?;
    cx.set(n, new)
}

fn assign_sub(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let (n, v) = (cx.variable(0)?, cx.arg(1)?);
    let old = cx.content(n)?;
    let new = cx.op(Sub {}, &[old, v])?;
    cx.set(n, new)
}

fn nothing(_: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    Ok(vec![])
}

/// What a checkpoint holds, whatever path the graph computes for it.
fn restore(cx: &mut Cx<'_, '_, '_>) -> R<Vec<Val>> {
    let texts = |cx: &Cx<'_, '_, '_>, i: usize| -> R<Vec<String>> {
        let v = cx.arg(i)?;
        let t = cx.constant(v).and_then(|t| t.strings().ok());
        t.map(<[String]>::to_vec).ok_or_else(|| cx.unsupported("names that are computed"))
    };
    let (keys, parts) = (texts(cx, 1)?, texts(cx, 2)?);
    let Some(bundle) = &cx.l.program.store.bundle else {
        return Err(cx.bad("there is no checkpoint"));
    };
    let mut tensors = vec![];
    for (i, key) in keys.into_iter().enumerate() {
        let part = parts.get(i).cloned().unwrap_or_default();
        tensors.push(read_place(bundle, &Place { key, part })?);
    }
    Ok(tensors.into_iter().map(|t| cx.konst(t).into()).collect())
}
