//! Expressions.
use super::Eval;
use crate::pytorch::lift::cx::{R, Size};
use crate::pytorch::torchscript::ast::{Class, Expr, Kind, Logic, Pos, Ty};
use crate::pytorch::torchscript::value::{Cell, Value};
use std::rc::Rc;

/// The dotted name that `e` is, unless a variable starts it.
fn dotted(eval: &Eval<'_>, e: &Expr) -> Option<String> {
    match &e.kind {
        Kind::Name(n) if !eval.frame.vars.contains_key(n) => Some(n.to_string()),
        Kind::Attr(of, name) => Some(format!("{}.{name}", dotted(eval, of)?)),
        _ => None,
    }
}

/// The type that an expression spells: `List[Tensor]` in `annotate(List[Tensor], x)`.
pub(super) fn as_type(e: &Expr) -> Option<Ty> {
    fn name(e: &Expr) -> Option<String> {
        match &e.kind {
            Kind::Name(n) => Some(n.to_string()),
            Kind::None => Some("NoneType".into()),
            Kind::Attr(of, n) => Some(format!("{}.{n}", name(of)?)),
            _ => None,
        }
    }
    match &e.kind {
        Kind::Item(of, args) => {
            let args = match &args.kind {
                Kind::Tuple(items) => items.iter().map(as_type).collect::<Option<_>>()?,
                _ => vec![as_type(args)?],
            };
            Some(Ty { name: name(of)?.into(), args })
        }
        _ => Some(Ty { name: name(e)?.into(), args: vec![] }),
    }
}

impl Eval<'_> {
    /// The value of an expression.
    pub(super) fn expr(&mut self, e: &Expr) -> R<Value> {
        match &e.kind {
            Kind::Name(n) => match self.frame.vars.get(n) {
                Some(v) => Ok(v.clone()),
                None if matches!(&**n, "torch" | "ops" | "__torch__" | "range") => {
                    Ok(Value::Global((**n).into()))
                }
                None => self.broken(e.pos, format!("`{n}` is not defined")),
            },
            Kind::Int(v) => Ok(Value::int(*v)),
            Kind::Float(v) => Ok(Value::Float(*v)),
            Kind::Imaginary(v) => Ok(Value::Complex(0.0, *v)),
            Kind::Str(v) => Ok(Value::text(v)),
            Kind::Bool(v) => Ok(Value::Bool(*v)),
            Kind::None => Ok(Value::None),
            Kind::Attr(of, name) => {
                if let Some(path) = dotted(self, e) {
                    return self.global(&path, e.pos);
                }
                let of = self.expr(of)?;
                self.attr(&of, name, e.pos)
            }
            Kind::Item(of, index) => {
                let (of, index) = (self.expr(of)?, self.expr(index)?);
                self.item(&of, &index, e.pos)
            }
            Kind::Call(callee, args, named) => self.call_expr(callee, args, named, e.pos),
            Kind::List(items) => {
                let items = self.exprs(items)?;
                self.check_nesting(&items, None, e.pos)?;
                Ok(self.heap.list(items))
            }
            Kind::Tuple(items) => {
                let items = self.exprs(items)?;
                self.check_nesting(&items, None, e.pos)?;
                Ok(Value::tuple(items))
            }
            Kind::Dict(pairs) => {
                let mut items = vec![];
                for (key, value) in pairs {
                    items.push((self.expr(key)?, self.expr(value)?));
                }
                Ok(Value::Dict(self.heap.add(Cell::Dict(items))))
            }
            Kind::Choice(parts) => {
                let [condition, yes, no] = &**parts;
                let condition = self.expr(condition)?;
                match self.known_truth(&condition, e.pos)? {
                    Some(true) => self.expr(yes),
                    Some(false) => self.expr(no),
                    None => self.refuse(e.pos, "a computed condition in an expression"),
                }
            }
            Kind::Logic(logic, parts) => self.logic(*logic, parts, e.pos),
        }
    }
    pub(super) fn exprs(&mut self, list: &[Expr]) -> R<Vec<Value>> {
        list.iter().map(|e| self.expr(e)).collect()
    }
    fn logic(&mut self, logic: Logic, parts: &[Expr], at: Pos) -> R<Value> {
        for part in parts {
            let value = self.expr(part)?;
            let Some(truth) = self.known_truth(&value, at)? else {
                return self.refuse(at, "a computed condition in an expression");
            };
            match logic {
                Logic::Not => return Ok(Value::Bool(!truth)),
                Logic::And if !truth => return Ok(Value::Bool(false)),
                Logic::Or if truth => return Ok(Value::Bool(true)),
                _ => {}
            }
        }
        Ok(Value::Bool(logic == Logic::And))
    }
    /// What a dotted name stands for.
    fn global(&mut self, path: &str, at: Pos) -> R<Value> {
        if let Some(index) = path.strip_prefix("CONSTANTS.c") {
            let found = index.parse::<usize>().ok().and_then(|i| self.constants.get(i).cloned());
            return match found {
                Some(v) => Ok(v),
                None => self.broken(at, format!("`{path}` is not in constants.pkl")),
            };
        }
        if path.starts_with("__torch__.")
            && let Some((class, member)) = path.rsplit_once('.')
            && let Some((found, unit)) = self.program.class(class)?
            && found.base.as_deref() == Some("Enum")
        {
            let Some(value) = found.fields.iter().find(|f| &*f.name == member).and_then(|f| f.value.as_ref())
            else {
                return self.broken(at, format!("`{path}` is not defined"));
            };
            let value = self.default(value, &unit)?;
            return Ok(Value::Enum(class.into(), member.into(), Rc::new(value)));
        }
        let root = path.split('.').next().unwrap_or_default();
        if !matches!(root, "torch" | "ops" | "__torch__") {
            return self.broken(at, format!("`{root}` is not defined"));
        }
        Ok(Value::Global(path.into()))
    }
    /// The attribute `name` of a value.
    pub(super) fn attr(&mut self, of: &Value, name: &str, at: Pos) -> R<Value> {
        match of {
            Value::Failed => Ok(Value::Failed),
            Value::Global(path) => self.global(&format!("{path}.{name}"), at),
            Value::Object(r) => {
                if let Some(v) = self.heap.instance(*r).and_then(|i| i.field(name)) {
                    return Ok(v.clone());
                }
                let class = self.heap.instance(*r).map(|i| i.class.clone()).unwrap_or_default();
                if let Some((found, unit)) = self.program.class(&class)? {
                    if found.method(name).is_some() {
                        return Ok(Value::Method(*r, name.into()));
                    }
                    if let Some(value) = constant_field(&found, name) {
                        return self.default(&value, &unit);
                    }
                }
                self.broken(at, format!("`{class}` has no attribute `{name}`"))
            }
            Value::Tuple(Some(class), items) => {
                let found = class.fields.iter().position(|f| &*f.name == name).and_then(|i| items.get(i));
                match found {
                    Some(v) => Ok(v.clone()),
                    None => self.broken(at, format!("`{}` has no field `{name}`", class.name)),
                }
            }
            Value::Enum(_, member, value) => match name {
                "name" => Ok(Value::Str(member.clone())),
                "value" => Ok((**value).clone()),
                _ => self.broken(at, format!("a member of an enumeration has no `{name}`")),
            },
            Value::Tensor(_) | Value::Weight(_) => {
                self.operator(&format!("prim::{name}"), vec![of.clone()], vec![], at)
            }
            other => self.broken(at, format!("{} has no attribute `{name}`", other.kind())),
        }
    }
    /// `of[index]`.
    pub(super) fn item(&mut self, of: &Value, index: &Value, at: Pos) -> R<Value> {
        match (of, index) {
            (Value::Failed, _) | (_, Value::Failed) => Ok(Value::Failed),
            (Value::Dict(r), key) => {
                let found = self.heap.find(*r, key).and_then(|i| self.heap.dict(*r)?.get(i));
                if let Some((_, v)) = found {
                    return Ok(v.clone());
                }
                let key = self.shown(key);
                self.raise(at, format!("KeyError: {key}"))
            }
            (list, index) if self.heap.stacked(list).is_some() => self.stacked_item(list, index, at),
            (Value::Str(text), Value::Int(Size::Known(i))) => {
                let all: Vec<char> = text.chars().collect();
                match position(*i, all.len()).and_then(|i| all.get(i)) {
                    Some(c) => Ok(Value::text(c.to_string())),
                    None => self.raise(at, "IndexError: string index out of range".into()),
                }
            }
            (Value::Tensor(_) | Value::Weight(_), Value::Int(_)) => {
                self.operator("aten::select", vec![of.clone(), Value::int(0), index.clone()], vec![], at)
            }
            (list, Value::Int(Size::Known(i))) => {
                let Some(items) = self.heap.elements(list) else {
                    return self.broken(at, format!("{} has no elements", list.kind()));
                };
                match position(*i, items.len()).and_then(|i| items.get(i)) {
                    Some(v) => Ok(v.clone()),
                    None => self.raise(at, "IndexError: list index out of range".into()),
                }
            }
            (list, Value::Int(index)) => self.computed_item(list, index, at),
            _ => self.refuse(at, format!("{} is no index", index.kind())),
        }
    }
}

/// The value that a class fixes for an attribute.
fn constant_field(class: &Class, name: &str) -> Option<Expr> {
    class.fields.iter().find(|f| &*f.name == name)?.value.clone()
}

/// A position counted from the end when negative, if inside.
pub(super) fn position(index: i64, len: usize) -> Option<usize> {
    let at = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(at).ok().filter(|at| *at < len)
}
