//! Bodies ended with the values of their results, and names and objects after the operator.
use super::branch::Arm;
use super::merge::{Change, Item, Merged, Sort};
use super::{Eval, Flow};
use crate::pytorch::lift::alias::Owner;
use crate::pytorch::lift::body::Body;
use crate::pytorch::lift::cx::{R, Size, V};
use crate::pytorch::torchscript::ast::Pos;
use crate::pytorch::torchscript::value::{Cell, Instance, Ref, Value};
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;
use std::rc::Rc;

impl Eval<'_> {
    /// Ends both arms with the values of the items; gives the arms back when types do not fit.
    #[expect(clippy::type_complexity, reason = "either finished bodies or the arms, to go on with")]
    pub(super) fn emit_items(
        &mut self,
        change: &Change,
        mut then: Arm,
        mut otherwise: Arm,
        at: Pos,
    ) -> R<Result<(Body, Body), Box<(Arm, Arm)>>> {
        let mut first = vec![];
        let mut second = vec![];
        let mut types = vec![];
        let around = self.cx.resume_body(then.body);
        for item in &change.items {
            first.push(self.emitted(item, &item.then, None, at)?);
            types.push(first.last().copied().flatten().map(|v| self.type_of(v)));
        }
        then.body = self.cx.suspend_body(around);
        let around = self.cx.resume_body(otherwise.body);
        let mut others = vec![];
        for (item, ty) in change.items.iter().zip(&types) {
            second.push(self.emitted(item, &item.otherwise, ty.as_ref(), at)?);
            others.push(second.last().copied().flatten().map(|v| self.type_of(v)));
        }
        otherwise.body = self.cx.suspend_body(around);
        let around = self.cx.resume_body(then.body);
        for (i, item) in change.items.iter().enumerate() {
            if first[i].is_none() {
                first[i] = self.emitted(item, &item.then, others[i].as_ref(), at)?;
                types[i] = first[i].map(|v| self.type_of(v));
            }
        }
        let fits = types.iter().zip(&others).all(|(a, b)| fit(a.as_ref(), b.as_ref()));
        let all = |list: &[Option<V>]| list.iter().copied().collect::<Option<Vec<V>>>();
        let (Some(first), Some(second), true) = (all(&first), all(&second), fits) else {
            then.body = self.cx.suspend_body(around);
            return Ok(Err(Box::new((then, otherwise))));
        };
        let a = self.cx.end_body(around, first);
        let around = self.cx.resume_body(otherwise.body);
        let b = self.cx.end_body(around, second);
        Ok(Ok((a, b)))
    }
    /// The IR value of an item in the body under construction; something of type `like` for what was never set.
    fn emitted(&mut self, item: &Item, value: &Value, like: Option<&Type>, at: Pos) -> R<Option<V>> {
        if matches!(value, Value::Uninit) {
            return Ok(like.and_then(|ty| self.filler(ty)));
        }
        self.as_ir(value, item.sort, at).map(Some)
    }
    /// The IR value of a value.
    pub(super) fn as_ir(&mut self, value: &Value, sort: Sort, at: Pos) -> R<V> {
        Ok(match (sort, value) {
            (_, Value::Tensor(_) | Value::Weight(_)) => {
                let id = self.tensor_of(value, at)?;
                self.cx.read_tensor(id)?
            }
            (Sort::Int, Value::Int(s)) => self.cx.size_value(s),
            (Sort::Float, Value::Int(Size::Known(v))) => self.cx.num_of(DType::F64, *v as f64)?,
            (Sort::Float, Value::Int(s)) => {
                let v = self.cx.size_scalar(s)?;
                self.cx.cast(v, DType::F64)?
            }
            (Sort::Float, Value::Float(v)) => self.cx.num_of(DType::F64, *v)?,
            (Sort::Float, Value::FloatV(v)) => self.cx.cast(*v, DType::F64)?,
            (Sort::Bool, Value::Bool(b)) => self.cx.constant(Tensor::from_bools(&[], vec![*b])),
            (_, Value::BoolV(v) | Value::Stacked(v)) => *v,
            (_, other) => return self.refuse(at, format!("{} as a result", other.kind())),
        })
    }
    /// Any tensor of type `ty`; symbolic sizes are 1.
    pub(super) fn filler(&mut self, ty: &Type) -> Option<V> {
        let ty = ty.as_tensor()?;
        let dims: Vec<usize> =
            ty.shape.as_ref()?.iter().map(|d| d.known().map_or(1, |n| n as usize)).collect();
        let zero = Tensor::scalar(0i64).cast(ty.dtype, false).ok()?;
        Some(self.cx.constant(Tensor::splat(&zero, &dims).ok()?))
    }
    /// Has names and objects show the results of the operator.
    pub(super) fn apply(&mut self, change: Change, outs: &[V]) -> Flow {
        for id in change.doubtful {
            self.cx.mark_doubtful(id);
        }
        for name in change.dropped {
            self.frame.vars.remove(&name);
        }
        for (name, merged) in change.vars {
            let value = self.value_of(merged, outs);
            self.frame.vars.insert(name, value);
        }
        for (r, merged) in change.cells {
            let value = self.value_of(merged, outs);
            self.replace_cell(r, &value);
        }
        match change.result {
            Some(merged) => Flow::Return(self.value_of(merged, outs)),
            None => Flow::Next,
        }
    }
    /// Gives object `r` the content of `value`.
    pub(super) fn replace_cell(&mut self, r: Ref, value: &Value) {
        if let Value::List(new) | Value::Dict(new) | Value::Object(new) = value
            && let Some(mut cell) = self.heap.get(*new).cloned()
            && let Some(old) = self.heap.get_mut(r)
        {
            if let (Cell::Object(new), Cell::Object(old)) = (&mut cell, &*old) {
                new.path.clone_from(&old.path);
            }
            *old = cell;
        }
    }
    pub(super) fn value_of(&mut self, merged: Merged, outs: &[V]) -> Value {
        match merged {
            Merged::Same(v) => v,
            Merged::Item(i, sort) => match outs.get(i) {
                Some(v) => self.of_ir(*v, sort),
                None => Value::Failed,
            },
            Merged::Tuple(class, parts) => {
                Value::Tuple(class, parts.into_iter().map(|m| self.value_of(m, outs)).collect())
            }
            Merged::List(parts) => {
                let items = parts.into_iter().map(|m| self.value_of(m, outs)).collect();
                self.heap.list(items)
            }
            Merged::Stacked(i) => match outs.get(i) {
                Some(v) => Value::List(self.heap.add(Cell::Stacked(Value::Stacked(*v)))),
                None => Value::Failed,
            },
            Merged::Dict(parts) => {
                let items = parts.into_iter().map(|(k, m)| (k, self.value_of(m, outs))).collect();
                Value::Dict(self.heap.add(Cell::Dict(items)))
            }
            Merged::Object(class, parts) => {
                let fields = parts.into_iter().map(|(n, m)| (n, self.value_of(m, outs))).collect();
                Value::Object(self.heap.add(Cell::Object(Instance { class, path: None, fields })))
            }
            Merged::Maybe(i, inner) => {
                let inner = self.value_of(*inner, outs);
                outs.get(i).map_or(Value::Failed, |v| Value::Maybe(*v, Rc::new(inner)))
            }
        }
    }
    /// The value of the program that an IR value is.
    pub(super) fn of_ir(&mut self, v: V, sort: Sort) -> Value {
        match sort {
            Sort::Tensor => Value::Tensor(self.cx.new_tensor(v, Owner::Local)),
            Sort::Int => Value::Int(Size::Value(v)),
            Sort::Float => Value::FloatV(v),
            Sort::Bool => Value::BoolV(v),
            Sort::Stacked => Value::Stacked(v),
        }
    }
}

/// Whether values of these types can be the same result.
fn fit(a: Option<&Type>, b: Option<&Type>) -> bool {
    match (a.and_then(Type::as_tensor), b.and_then(Type::as_tensor)) {
        (Some(a), Some(b)) => {
            a.dtype == b.dtype && (a.rank() == b.rank() || a.rank().is_none() || b.rank().is_none())
        }
        _ => false,
    }
}
