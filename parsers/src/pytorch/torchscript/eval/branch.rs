//! An `if` whose condition is computed: both arms become bodies of an operator, and what they leave different its results.
use super::{Eval, Flow};
use crate::pytorch::lift::body::{Around, Seen, Suspended};
use crate::pytorch::lift::cx::{R, Size, V, Val};
use crate::pytorch::torchscript::ast::{Kind, Pos, Stmt, StmtKind};
use crate::pytorch::torchscript::value::{Cell, Heap, Value};
use hoist_ir::types::Type;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Deepest nesting of bodies.
const MAX_BODIES: usize = 24;

/// Names and objects at one place of the program.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub vars: BTreeMap<Box<str>, Value>,
    pub heap: Heap,
    /// Number of tensors there were.
    pub tensors: usize,
}

/// An arm that was evaluated.
pub(super) struct Arm {
    pub body: Suspended,
    /// How things stood at its start and at its end, as seen inside.
    pub start: Snapshot,
    pub end: Snapshot,
    pub flow: Flow,
}

impl Eval<'_> {
    /// Carries out the arms of an `if`. When what they leave cannot be joined, `rest` is carried out in both, too.
    pub(super) fn computed_branch(
        &mut self,
        condition: V,
        arms: (&[Stmt], &[Stmt]),
        rest: &[Stmt],
        at: Pos,
    ) -> R<(Flow, bool)> {
        if raises(arms.0) {
            self.assume(at);
            self.learn_truth(condition, false);
            return Ok((self.block(arms.1)?, false));
        }
        if raises(arms.1) {
            self.assume(at);
            self.learn_truth(condition, true);
            return Ok((self.block(arms.0)?, false));
        }
        let before = self.snapshot();
        let seen = self.seen();
        let then = self.arm("then", &seen, &before, arms.0, at)?;
        let otherwise = self.arm("else", &seen, &before, arms.1, at)?;
        let (then, otherwise) = match (then, otherwise) {
            (Some(a), Some(b)) => (a, b),
            // The arm that raises is assumed not to be taken.
            (Some(_), None) => {
                self.assume(at);
                return Ok((self.block(arms.0)?, false));
            }
            (None, Some(_)) => {
                self.assume(at);
                return Ok((self.block(arms.1)?, false));
            }
            (None, None) => return self.raise_again(at),
        };
        match self.join(condition, &before, then, otherwise, at)? {
            Ok(flow) => Ok((flow, false)),
            Err(arms) => {
                let (then, otherwise) = *arms;
                let then = self.go_on(then, rest)?;
                let otherwise = self.go_on(otherwise, rest)?;
                match self.join(condition, &before, then, otherwise, at)? {
                    Ok(flow) => Ok((flow, true)),
                    Err(_) => {
                        self.refuse(at, "a condition whose branches give tensors of different ranks or types")
                    }
                }
            }
        }
    }
    /// Evaluates an arm in a body of its own; nothing when it raises an exception.
    fn arm(&mut self, name: &str, seen: &Seen, before: &Snapshot, stmts: &[Stmt], at: Pos) -> R<Option<Arm>> {
        if self.bodies >= MAX_BODIES {
            return self.refuse(at, format!("computed conditions nest deeper than {MAX_BODIES} levels"));
        }
        let (around, _) = self.cx.begin_body(name, &[], seen);
        self.enter_body(&around, before);
        let start = self.snapshot();
        let flow = self.in_body(|eval| eval.block(stmts));
        self.leave_arm(around, start, before, flow)
    }
    fn leave_arm(
        &mut self,
        around: Around,
        start: Snapshot,
        before: &Snapshot,
        flow: R<Flow>,
    ) -> R<Option<Arm>> {
        let end = self.snapshot();
        let body = self.cx.suspend_body(around);
        self.frame.vars.clone_from(&before.vars);
        self.heap.restore(&before.heap);
        match flow {
            Ok(flow) => Ok(Some(Arm { body, start, end, flow })),
            Err(d) if self.raised.take().is_some() => {
                self.last_raised = Some(d);
                Ok(None)
            }
            Err(d) => Err(d),
        }
    }
    /// Goes on with `rest` where an arm ended.
    fn go_on(&mut self, arm: Arm, rest: &[Stmt]) -> R<Arm> {
        if matches!(arm.flow, Flow::Return(_)) {
            return Ok(arm);
        }
        let before = self.snapshot();
        let around = self.cx.resume_body(arm.body);
        self.frame.vars.clone_from(&arm.end.vars);
        self.heap.restore(&arm.end.heap);
        let flow = self.in_body(|eval| eval.block(rest));
        match self.leave_arm(around, arm.start, &before, flow)? {
            Some(arm) => Ok(arm),
            None => self.raise_again(rest.first().map_or(0, |s| s.pos)),
        }
    }
    /// One operator for both arms; the arms themselves when what they leave has no common form.
    fn join(
        &mut self,
        condition: V,
        before: &Snapshot,
        then: Arm,
        otherwise: Arm,
        at: Pos,
    ) -> R<Result<Flow, Box<(Arm, Arm)>>> {
        if matches!(then.flow, Flow::Return(_)) != matches!(otherwise.flow, Flow::Return(_)) {
            return Ok(Err(Box::new((then, otherwise))));
        }
        let change = self.change(before, &then, &otherwise, at)?;
        match self.emit_items(&change, then, otherwise, at)? {
            Ok((a, b)) => {
                let outs = self.cx.if_node(condition, a, b)?;
                Ok(Ok(self.apply(change, &outs)))
            }
            Err(arms) => Ok(Err(arms)),
        }
    }
    /// The exception that the last arm ended with, of all arms.
    fn raise_again<T>(&mut self, at: Pos) -> R<T> {
        match self.last_raised.take() {
            Some(d) => {
                self.raised = Some(d.message.clone());
                Err(d)
            }
            None => self.raise(at, "in both branches of a condition".into()),
        }
    }
    /// Runs `f` inside a body.
    pub(super) fn in_body<T>(&mut self, f: impl FnOnce(&mut Self) -> R<T>) -> R<T> {
        self.bodies += 1;
        self.weights.enter();
        let result = f(self);
        self.weights.leave();
        self.bodies -= 1;
        result
    }
    /// How things stand.
    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot { vars: self.frame.vars.clone(), heap: self.heap.clone(), tensors: self.cx.tensors.len() }
    }
    /// Everything that statements of the present frame can reach.
    pub(super) fn seen(&self) -> Seen {
        let mut vals = vec![];
        let mut visited = BTreeSet::new();
        for v in self.frame.vars.values() {
            self.reach(v, &mut visited, &mut vals);
        }
        self.cx.seen(&vals)
    }
    fn reach(&self, v: &Value, visited: &mut BTreeSet<usize>, out: &mut Vec<Val>) {
        match v {
            Value::Tensor(id) => out.push(Val::Tensor(*id)),
            Value::Int(Size::Value(v)) | Value::BoolV(v) | Value::FloatV(v) | Value::Stacked(v) => {
                out.push(Val::BoolValue(*v));
            }
            Value::Maybe(v, inner) => {
                out.push(Val::BoolValue(*v));
                self.reach(inner, visited, out);
            }
            Value::Tuple(_, items) => items.iter().for_each(|v| self.reach(v, visited, out)),
            Value::List(r) | Value::Dict(r) | Value::Object(r) | Value::Method(r, _) => {
                if !visited.insert(*r) {
                    return;
                }
                match self.heap.get(*r) {
                    Some(Cell::List(items)) => items.iter().for_each(|v| self.reach(v, visited, out)),
                    Some(Cell::Stacked(v)) => self.reach(v, visited, out),
                    Some(Cell::Dict(items)) => items.iter().for_each(|(_, v)| self.reach(v, visited, out)),
                    Some(Cell::Object(i)) => i.fields.iter().for_each(|(_, v)| self.reach(v, visited, out)),
                    None => {}
                }
            }
            _ => {}
        }
    }
    /// Has names and objects show what stands in the body for the numbers around it.
    pub(super) fn enter_body(&mut self, around: &Around, before: &Snapshot) {
        let inside = |v: &Value| inside(around, v);
        for v in self.frame.vars.values_mut() {
            *v = inside(v);
        }
        self.heap.map(before.heap.len(), &mut |v| inside(v));
    }
    /// Notes that an exception is assumed not to be raised.
    fn assume(&mut self, at: Pos) {
        let unit = &self.frame.unit;
        let line = unit
            .ranges
            .line(at)
            .map_or_else(|| format!("{}:{}", unit.entry, unit.line(at)), |l| l.to_string());
        self.assumed.insert(line);
    }
    /// The type of an IR value.
    pub(super) fn type_of(&self, v: V) -> Type {
        self.cx.graph.ty(v).clone()
    }
}

pub(super) fn inside(around: &Around, v: &Value) -> Value {
    let at = |v: &V| match around.inside(&Val::BoolValue(*v)) {
        Val::BoolValue(v) => v,
        _ => *v,
    };
    match v {
        Value::Int(Size::Value(v)) => Value::Int(Size::Value(at(v))),
        Value::BoolV(v) => Value::BoolV(at(v)),
        Value::FloatV(v) => Value::FloatV(at(v)),
        Value::Stacked(v) => Value::Stacked(at(v)),
        Value::Maybe(v, x) => Value::Maybe(at(v), Rc::new(inside(around, x))),
        Value::Tuple(class, items) => {
            Value::Tuple(class.clone(), items.iter().map(|v| inside(around, v)).collect())
        }
        other => other.clone(),
    }
}

/// Whether a block raises an exception whatever happens.
fn raises(stmts: &[Stmt]) -> bool {
    stmts.iter().any(|s| match &s.kind {
        StmtKind::Expr(e) => matches!(&e.kind, Kind::Call(f, ..)
            if matches!(&f.kind, Kind::Attr(_, name) if &**name == "RaiseException")),
        StmtKind::If(_, a, b) => raises(a) && raises(b),
        _ => false,
    })
}
