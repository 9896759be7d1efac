//! Evaluation of the archived source at conversion time: what is known is computed, what is not becomes operators of the graph.
use super::ast::{Class, Expr, Func, Pos};
use super::program::{Program, Unit};
use super::value::{Heap, Ref, Value};
use super::weights::Weights;
use crate::pytorch::lift::cx::{Cx, R, malformed, unsupported};
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Origin, OriginPart};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

mod branch;
mod call;
mod convert;
mod expr;
mod fold;
mod fused;
mod learn;
mod lists;
mod merge;
mod numbers;
mod ops;
mod repeat;
mod results;
mod scalar;
mod state;
mod stmt;
mod tensors;
mod text;

/// Deepest nesting of calls.
const MAX_CALLS: usize = 120;
/// Most statements that are carried out.
const MAX_STEPS: usize = 300_000;
/// Most operators that one graph gets.
const MAX_NODES: usize = 200_000;
/// Most elements that lists, dictionaries and objects get, all together.
const MAX_ELEMENTS: usize = 5_000_000;

/// Names of a function that is being carried out.
pub struct Frame {
    /// Its names.
    pub vars: BTreeMap<Box<str>, Value>,
    /// Where it stands.
    pub unit: Rc<Unit>,
    /// Path of the module whose method it is.
    pub module: Rc<str>,
}

/// An attribute of the archive's objects.
pub type Slot = (Ref, Rc<str>);

/// State of evaluation.
pub struct Eval<'p> {
    /// The graph being built.
    pub cx: Cx,
    /// The archive.
    pub program: &'p Program,
    /// Mutable objects.
    pub heap: Heap,
    /// Parameters, buffers and constants.
    pub weights: Weights<'p>,
    /// The constants of `constants.pkl`.
    pub constants: Vec<Value>,
    /// The function being carried out.
    pub frame: Frame,
    /// Calls around it.
    pub calls: usize,
    /// Statements carried out.
    pub steps: usize,
    /// What an exception of the program says, while it is on its way.
    pub raised: Option<String>,
    /// The exception that the last arm of a condition ended with.
    pub last_raised: Option<Diag>,
    /// Exceptions that are assumed not to be raised.
    pub assumed: BTreeSet<String>,
    /// Attributes and weights that turned out to be state: evaluation must be begun again with them as inputs.
    pub found: Found,
    /// How deeply values are nested that are being joined.
    pub joining: usize,
    /// How many graphs are under construction around this one.
    pub bodies: usize,
    /// Number of objects that the archive holds.
    pub archived: usize,
    /// Arguments that have their defaults.
    pub defaulted: Vec<String>,
    /// Whether state stays as the archive has it.
    pub freeze: bool,
    /// What state holds before the first call, for messages.
    pub initial: BTreeMap<Slot, String>,
    /// The tensors that stand for weights that are state.
    pub state_weights: BTreeMap<usize, Value>,
}

/// State found while evaluating.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Attributes that are set.
    pub slots: BTreeSet<Slot>,
    /// Weights that are written in place.
    pub weights: BTreeSet<usize>,
    /// Sizes of inputs, by symbol.
    pub sizes: BTreeMap<String, i64>,
}

/// Most values that a list or tuple holds, those in lists in it included.
const MAX_HELD: usize = 200_000;

/// How a block ends.
#[derive(Debug)]
pub enum Flow {
    /// At its end.
    Next,
    /// By returning.
    Return(Value),
}

impl Eval<'_> {
    /// An error where what is evaluated leaves no way on.
    pub(super) fn refuse<T>(&self, at: Pos, message: impl Into<String>) -> R<T> {
        Err(unsupported(message).origin(self.origin(at, "")))
    }
    /// An error in the program's own rules.
    pub(super) fn broken<T>(&self, at: Pos, message: impl Into<String>) -> R<T> {
        let place =
            format!("{}, line {}: {}", self.frame.unit.entry, self.frame.unit.line(at), message.into());
        Err(malformed(place).origin(self.origin(at, "")))
    }
    /// Where a place of the archived source comes from.
    pub(super) fn origin(&self, at: Pos, op: &str) -> Origin {
        let unit = &self.frame.unit;
        let line = unit.ranges.line(at);
        let own = || format!("{}:{}", unit.entry, unit.line(at)).into();
        let module = Some(&self.frame.module).filter(|m| !m.is_empty()).map(|m| (**m).into());
        Origin::new(OriginPart {
            name: "".into(),
            op: op.into(),
            module,
            line: Some(line.unwrap_or_else(own)),
        })
    }
    /// Counts one step of work.
    pub(super) fn step(&mut self, at: Pos) -> R<()> {
        self.steps += 1;
        let nodes = self.cx.graph.node_count();
        if self.steps > MAX_STEPS || nodes > MAX_NODES || self.heap.charged > MAX_ELEMENTS {
            self.steps = self.steps.max(MAX_STEPS + 1);
            return self
                .refuse(at, "the program takes too many steps, loops unrolled, or makes too many values");
        }
        Ok(())
    }
    /// Refuses values that are put into object `into` and hold it, nest too deeply or hold too much. Nothing else bounds those who walk
    /// them.
    pub(super) fn check_nesting(&mut self, values: &[Value], into: Option<Ref>, at: Pos) -> R<()> {
        let mut left = MAX_HELD;
        let fine = values.iter().all(|v| self.heap.walk(v, into, &mut left, 0));
        self.steps += (MAX_HELD - left) / 64;
        if fine {
            Ok(())
        } else {
            self.refuse(at, "a list or tuple that nests too deeply, holds too much, or holds itself")
        }
    }
    /// Takes note of an error and goes on with a value that stands for it.
    pub(super) fn soft(&mut self, result: R<Value>, at: Pos, op: &str) -> R<Value> {
        let mut d = match result {
            Ok(v) => return Ok(v),
            Err(d) if self.raised.is_some() || self.stopping() => return Err(d),
            Err(d) => d,
        };
        d.op.get_or_insert_with(|| op.to_owned());
        d.origin.get_or_insert_with(|| self.origin(at, op));
        self.cx.diags.push(d);
        if self.cx.diags.is_full() {
            self.steps = MAX_STEPS + 1;
            return self.refuse(at, "too many errors");
        }
        Ok(Value::Failed)
    }
    /// Whether evaluation is being given up.
    fn stopping(&self) -> bool {
        self.steps > MAX_STEPS
    }
    /// The exception of the program with this text.
    pub(super) fn raise<T>(&mut self, at: Pos, message: String) -> R<T> {
        let d = Diag::error("E0202", format!("the program raises an exception: {message}"))
            .origin(self.origin(at, "prim::RaiseException"))
            .hint("the model's own checks refuse these inputs: give their real sizes with --input-shape");
        self.raised = Some(message);
        Err(d)
    }

    /// Calls function `func` of `unit`.
    pub(super) fn call(
        &mut self,
        func: &Rc<Func>,
        unit: Rc<Unit>,
        module: Rc<str>,
        args: Vec<Value>,
        named: &[(Box<str>, Value)],
        at: Pos,
    ) -> R<Value> {
        if self.calls >= MAX_CALLS {
            return self.broken(
                at,
                format!("calls nest deeper than {MAX_CALLS} levels; a function may call itself"),
            );
        }
        let vars = self.bind(func, &unit, args, named, at)?;
        let frame = Frame { vars, unit, module };
        let outer = std::mem::replace(&mut self.frame, frame);
        self.calls += 1;
        let result = self.block(&func.body);
        self.calls -= 1;
        self.frame = outer;
        Ok(match result? {
            Flow::Return(v) => v,
            Flow::Next => Value::None,
        })
    }
    fn bind(
        &mut self,
        func: &Func,
        unit: &Rc<Unit>,
        args: Vec<Value>,
        named: &[(Box<str>, Value)],
        at: Pos,
    ) -> R<BTreeMap<Box<str>, Value>> {
        if args.len() > func.params.len() {
            let (given, takes) = (args.len(), func.params.len());
            return self.broken(at, format!("`{}` is given {given} arguments and takes {takes}", func.name));
        }
        let mut vars = BTreeMap::new();
        let mut args = args.into_iter();
        for param in &func.params {
            let given =
                args.next().or_else(|| named.iter().find(|(n, _)| *n == param.name).map(|(_, v)| v.clone()));
            let value = match (given, &param.default) {
                (Some(v), _) => v,
                (None, Some(default)) => self.default(default, unit)?,
                (None, None) => {
                    return self
                        .broken(at, format!("`{}` is not given its argument `{}`", func.name, param.name));
                }
            };
            let value = match &param.ty {
                Some(ty) => self.convert(value, ty, at)?,
                None => value,
            };
            vars.insert(param.name.clone(), value);
        }
        Ok(vars)
    }
    /// The value of a default, which sees no names.
    pub(in crate::pytorch::torchscript) fn default(&mut self, e: &Expr, unit: &Rc<Unit>) -> R<Value> {
        let frame = Frame { vars: BTreeMap::new(), unit: unit.clone(), module: self.frame.module.clone() };
        let outer = std::mem::replace(&mut self.frame, frame);
        let value = self.expr(e);
        self.frame = outer;
        value
    }
    /// The class with this dotted name and its file.
    pub(super) fn class(&self, name: &str, at: Pos) -> R<(Rc<Class>, Rc<Unit>)> {
        match self.program.class(name)? {
            Some(found) => Ok(found),
            None => self.broken(at, format!("class `{name}` is not in the archive")),
        }
    }
}
