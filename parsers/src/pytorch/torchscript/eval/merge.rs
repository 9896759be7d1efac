//! What two arms leave, joined: values that differ become results of the operator.
use super::branch::{Arm, Snapshot};
use super::{Eval, Flow};
use crate::pytorch::lift::cx::{R, Size};
use crate::pytorch::torchscript::ast::{Class, Pos};
use crate::pytorch::torchscript::value::{Cell, Heap, Ref, Value};
use std::rc::Rc;

/// What a result of the operator is in the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Tensor,
    Int,
    Float,
    Bool,
    Stacked,
}

/// A result of the operator: what each arm gives for it.
pub(super) struct Item {
    pub sort: Sort,
    pub then: Value,
    pub otherwise: Value,
}

/// The objects as each arm leaves them.
type Heaps<'a> = (&'a Heap, &'a Heap);

/// A value after the operator.
#[derive(Clone)]
pub(super) enum Merged {
    /// Known, whichever arm is taken.
    Same(Value),
    /// Result of this number.
    Item(usize, Sort),
    Tuple(Option<Rc<Class>>, Vec<Merged>),
    List(Vec<Merged>),
    /// A list whose elements are stacked in the result of this number.
    Stacked(usize),
    Dict(Vec<(Value, Merged)>),
    Object(Rc<str>, Vec<(Rc<str>, Merged)>),
    /// There when the result of this number holds.
    Maybe(usize, Box<Merged>),
}

/// Everything that is different after the operator.
pub(super) struct Change {
    pub vars: Vec<(Box<str>, Merged)>,
    pub dropped: Vec<Box<str>>,
    pub cells: Vec<(Ref, Merged)>,
    pub result: Option<Merged>,
    pub items: Vec<Item>,
    /// Tensors before the operator that a result may share its storage with.
    pub doubtful: Vec<usize>,
}

/// Whether two values are the same, as far as can be told without looking into objects.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    use Value as X;
    match (a, b) {
        (X::None, X::None) | (X::Uninit, X::Uninit) | (X::Failed, X::Failed) => true,
        (X::Bool(a), X::Bool(b)) => a == b,
        (X::Int(a), X::Int(b)) => a == b,
        (X::Float(a), X::Float(b)) => a.to_bits() == b.to_bits(),
        (X::BoolV(a), X::BoolV(b)) | (X::FloatV(a), X::FloatV(b)) | (X::Stacked(a), X::Stacked(b)) => a == b,
        (X::Complex(a, b), X::Complex(c, d)) => a == c && b == d,
        (X::Str(a), X::Str(b)) | (X::Device(a), X::Device(b)) | (X::Global(a), X::Global(b)) => a == b,
        (X::Tensor(a), X::Tensor(b))
        | (X::Weight(a), X::Weight(b))
        | (X::List(a), X::List(b))
        | (X::Dict(a), X::Dict(b))
        | (X::Object(a), X::Object(b)) => a == b,
        (X::Method(a, m), X::Method(b, n)) => a == b && m == n,
        (X::Enum(c, n, _), X::Enum(d, m, _)) => c == d && n == m,
        (X::Maybe(p, a), X::Maybe(q, b)) => p == q && same(a, b),
        (X::Tuple(_, a), X::Tuple(_, b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same(a, b))
        }
        _ => false,
    }
}

pub(super) fn same_cell(a: Option<&Cell>, b: Option<&Cell>) -> bool {
    match (a, b) {
        (Some(Cell::List(a)), Some(Cell::List(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Some(Cell::Dict(a)), Some(Cell::Dict(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| same(k, l) && same(a, b))
        }
        (Some(Cell::Stacked(a)), Some(Cell::Stacked(b))) => same(a, b),
        (Some(Cell::Object(a)), Some(Cell::Object(b))) => {
            a.fields.len() == b.fields.len()
                && a.fields.iter().zip(&b.fields).all(|((m, a), (n, b))| m == n && same(a, b))
        }
        _ => false,
    }
}

/// A value that may be none, as whether it is there and what it is then.
fn presence(v: &Value) -> (Value, Value) {
    match v {
        Value::None => (Value::Bool(false), Value::Uninit),
        Value::Maybe(p, inner) => (Value::BoolV(*p), (**inner).clone()),
        other => (Value::Bool(true), other.clone()),
    }
}

impl Eval<'_> {
    /// What is different after the operator.
    pub(super) fn change(&mut self, before: &Snapshot, then: &Arm, otherwise: &Arm, at: Pos) -> R<Change> {
        let mut change = Change {
            vars: vec![],
            dropped: vec![],
            cells: vec![],
            result: None,
            items: vec![],
            doubtful: vec![],
        };
        let heaps = (&then.end.heap, &otherwise.end.heap);
        if let (Flow::Return(a), Flow::Return(b)) = (&then.flow, &otherwise.flow) {
            change.result = Some(self.merge(a, b, heaps, &mut change.items, at)?);
        } else {
            for (name, a) in &then.end.vars {
                let Some(b) = otherwise.end.vars.get(name) else {
                    change.dropped.push(name.clone());
                    continue;
                };
                let kept = |arm: &Arm, now: &Value| arm.start.vars.get(name).is_some_and(|v| same(v, now));
                if !(kept(then, a) && kept(otherwise, b)) {
                    let merged = self.merge(a, b, heaps, &mut change.items, at)?;
                    change.vars.push((name.clone(), merged));
                }
            }
        }
        for r in 0..before.heap.len() {
            let kept = |arm: &Arm| same_cell(arm.start.heap.get(r), arm.end.heap.get(r));
            if !(kept(then) && kept(otherwise)) {
                let (a, b) = (then.end.heap.get(r), otherwise.end.heap.get(r));
                let merged = self.merge_cells(a, b, heaps, &mut change.items, at)?;
                change.cells.push((r, merged));
            }
        }
        for item in &change.items {
            for v in [&item.then, &item.otherwise] {
                if let Value::Tensor(id) = v
                    && *id < before.tensors
                {
                    change.doubtful.push(*id);
                }
            }
        }
        Ok(change)
    }
    pub(super) fn merge(
        &mut self,
        a: &Value,
        b: &Value,
        heaps: Heaps<'_>,
        items: &mut Vec<Item>,
        at: Pos,
    ) -> R<Merged> {
        if self.joining > 64 {
            return self.refuse(at, "values that nest too deeply");
        }
        self.joining += 1;
        let merged = self.merge_values(a, b, heaps, items, at);
        self.joining -= 1;
        merged
    }
    fn merge_values(
        &mut self,
        a: &Value,
        b: &Value,
        heaps: Heaps<'_>,
        items: &mut Vec<Item>,
        at: Pos,
    ) -> R<Merged> {
        use Value as X;
        let mut item = |sort: Sort| {
            items.push(Item { sort, then: a.clone(), otherwise: b.clone() });
            Ok(Merged::Item(items.len() - 1, sort))
        };
        let known = |v: &Value| {
            matches!(
                v,
                X::None | X::Bool(_) | X::Int(Size::Known(_)) | X::Float(_) | X::Complex(..) | X::Str(_)
            ) || matches!(v, X::Device(_) | X::Global(_) | X::Enum(..) | X::Weight(_) | X::Tensor(_))
        };
        match (a, b) {
            (X::Failed, _) | (_, X::Failed) => Ok(Merged::Same(X::Failed)),
            (X::Uninit, X::Uninit) => Ok(Merged::Same(X::Uninit)),
            (a, b) if known(a) && same(a, b) => Ok(Merged::Same(a.clone())),
            (X::None | X::Maybe(..), _) | (_, X::None | X::Maybe(..)) => {
                let ((p, x), (q, y)) = (presence(a), presence(b));
                items.push(Item { sort: Sort::Bool, then: p, otherwise: q });
                let present = items.len() - 1;
                Ok(Merged::Maybe(present, Box::new(self.merge(&x, &y, heaps, items, at)?)))
            }
            (X::Tensor(_) | X::Weight(_) | X::Uninit, X::Tensor(_) | X::Weight(_) | X::Uninit) => {
                item(Sort::Tensor)
            }
            (X::Bool(_) | X::BoolV(_) | X::Uninit, X::BoolV(_) | X::Bool(_))
            | (X::BoolV(_) | X::Bool(_), X::Uninit) => item(Sort::Bool),
            (X::Int(_) | X::Uninit, X::Int(_)) | (X::Int(_), X::Uninit) => item(Sort::Int),
            (
                X::Int(_) | X::Float(_) | X::FloatV(_) | X::Uninit,
                X::Int(_) | X::Float(_) | X::FloatV(_) | X::Uninit,
            ) => item(Sort::Float),
            (X::Tuple(class, x), _) => match b {
                X::Tuple(_, y) if x.len() == y.len() => {
                    self.merge_all(x, Some(y), heaps, items, at, class.clone())
                }
                X::Uninit => self.merge_all(x, None, heaps, items, at, class.clone()),
                _ => self.different(a, b, at),
            },
            (X::Uninit, X::Tuple(class, y)) => {
                let x = vec![X::Uninit; y.len()];
                self.merge_all(&x, Some(y), heaps, items, at, class.clone())
            }
            (
                X::List(_) | X::Dict(_) | X::Object(_) | X::Uninit,
                X::List(_) | X::Dict(_) | X::Object(_) | X::Uninit,
            ) => self.merge_refs(a, b, heaps, items, at),
            // A text that differs is of use for messages only; what reads it is refused.
            (X::Str(_) | X::Device(_) | X::Uninit, X::Str(_) | X::Device(_) | X::Uninit) => {
                Ok(Merged::Same(X::Uninit))
            }
            (x, X::Uninit) | (X::Uninit, x) => Ok(Merged::Same(x.clone())),
            _ => self.different(a, b, at),
        }
    }
    fn different<T>(&self, a: &Value, b: &Value, at: Pos) -> R<T> {
        self.refuse(at, format!("a condition gives {} or {}", a.kind(), b.kind()))
    }
    fn merge_all(
        &mut self,
        x: &[Value],
        y: Option<&[Value]>,
        heaps: Heaps<'_>,
        items: &mut Vec<Item>,
        at: Pos,
        class: Option<Rc<Class>>,
    ) -> R<Merged> {
        let mut out = vec![];
        for (i, a) in x.iter().enumerate() {
            let b = y.and_then(|y| y.get(i)).unwrap_or(&Value::Uninit);
            out.push(self.merge(a, b, heaps, items, at)?);
        }
        Ok(Merged::Tuple(class, out))
    }
    fn merge_refs(
        &mut self,
        a: &Value,
        b: &Value,
        heaps: Heaps<'_>,
        items: &mut Vec<Item>,
        at: Pos,
    ) -> R<Merged> {
        if same(a, b) {
            return Ok(Merged::Same(a.clone()));
        }
        let cell = |v: &Value, heap: &Heap| match v {
            Value::List(r) | Value::Dict(r) | Value::Object(r) => heap.get(*r).cloned(),
            _ => None,
        };
        let (x, y) = (cell(a, heaps.0), cell(b, heaps.1));
        self.merge_cells(x.as_ref(), y.as_ref(), heaps, items, at)
    }
    pub(super) fn merge_cells(
        &mut self,
        a: Option<&Cell>,
        b: Option<&Cell>,
        heaps: Heaps<'_>,
        items: &mut Vec<Item>,
        at: Pos,
    ) -> R<Merged> {
        let (a, b) = match (a, b) {
            (Some(a), Some(b)) => (a.clone(), b.clone()),
            (Some(x), None) | (None, Some(x)) => {
                // The other arm never sets it: its elements are as good as any.
                return self.merge_cells(Some(x), Some(x), heaps, items, at);
            }
            (None, None) => return Ok(Merged::Same(Value::Uninit)),
        };
        match (a, b) {
            (Cell::List(x), Cell::List(y)) if x.len() == y.len() => {
                match self.merge_all(&x, Some(&y), heaps, items, at, None)? {
                    Merged::Tuple(_, list) => Ok(Merged::List(list)),
                    other => Ok(other),
                }
            }
            (Cell::Dict(x), Cell::Dict(y))
                if x.len() == y.len() && x.iter().zip(&y).all(|(a, b)| same(&a.0, &b.0)) =>
            {
                let mut out = vec![];
                for ((key, a), (_, b)) in x.into_iter().zip(&y) {
                    out.push((key, self.merge(&a, b, heaps, items, at)?));
                }
                Ok(Merged::Dict(out))
            }
            (Cell::Object(x), Cell::Object(y)) if x.class == y.class => {
                let mut out = vec![];
                let only = y.fields.iter().filter(|(n, _)| x.field(n).is_none());
                let names: Vec<Rc<str>> = x.fields.iter().chain(only).map(|(n, _)| n.clone()).collect();
                for name in names {
                    let at_x = x.field(&name).cloned().unwrap_or(Value::Uninit);
                    let at_y = y.field(&name).cloned().unwrap_or(Value::Uninit);
                    // What an arm leaves as it was shows numbers of the graph around; both must be carried out.
                    out.push((name, self.merge(&at_x, &at_y, heaps, items, at)?));
                }
                Ok(Merged::Object(x.class, out))
            }
            (Cell::Stacked(a), Cell::Stacked(b)) => {
                items.push(Item { sort: Sort::Stacked, then: a, otherwise: b });
                Ok(Merged::Stacked(items.len() - 1))
            }
            (Cell::List(_) | Cell::Stacked(_), Cell::List(_) | Cell::Stacked(_)) => {
                self.refuse(at, "a list whose length depends on a computed condition")
            }
            (Cell::Dict(_), Cell::Dict(_)) => {
                self.refuse(at, "a dictionary whose keys depend on a computed condition")
            }
            _ => self.refuse(at, "an object whose class depends on a computed condition"),
        }
    }
}
