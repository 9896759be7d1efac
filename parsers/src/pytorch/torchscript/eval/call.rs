//! Calls: of functions and methods of the archive, of constructors, and of built-in forms.
use super::Eval;
use super::expr::as_type;
use crate::pytorch::lift::cx::{R, Size};
use crate::pytorch::torchscript::ast::{Expr, Kind, Pos};
use crate::pytorch::torchscript::value::{Cell, Instance, Ref, Value};
use std::rc::Rc;

type Named = Vec<(Box<str>, Value)>;

impl Eval<'_> {
    /// `callee(args)`.
    pub(super) fn call_expr(
        &mut self,
        callee: &Expr,
        args: &[Expr],
        named: &[(Box<str>, Expr)],
        at: Pos,
    ) -> R<Value> {
        if let Kind::Name(name) = &callee.kind
            && !self.frame.vars.contains_key(name)
        {
            return self.builtin(name, args, named, at);
        }
        // A method is looked up before its arguments are evaluated, and never taken for an attribute read.
        let target = match &callee.kind {
            Kind::Attr(of, name) => match self.receiver(of)? {
                Some(Value::Object(r)) => Value::Method(r, (**name).into()),
                Some(Value::Failed) => Value::Failed,
                _ => self.expr(callee)?,
            },
            _ => self.expr(callee)?,
        };
        let args = self.exprs(args)?;
        let mut by_name = vec![];
        for (name, e) in named {
            by_name.push((name.clone(), self.expr(e)?));
        }
        self.call_value(&target, args, by_name, at)
    }
    /// The object before the dot of a method call; nothing when it is a dotted name.
    fn receiver(&mut self, of: &Expr) -> R<Option<Value>> {
        let mut root = of;
        while let Kind::Attr(inner, _) = &root.kind {
            root = inner;
        }
        match &root.kind {
            Kind::Name(n) if !self.frame.vars.contains_key(n) => Ok(None),
            _ => self.expr(of).map(Some),
        }
    }
    pub(super) fn call_value(&mut self, target: &Value, args: Vec<Value>, named: Named, at: Pos) -> R<Value> {
        match target {
            Value::Failed => Ok(Value::Failed),
            Value::Method(r, name) => self.call_method(*r, name, args, &named, at),
            Value::Object(r) => self.call_method(*r, "__call__", args, &named, at),
            Value::Global(path) => self.call_global(path, args, named, at),
            other => self.broken(at, format!("{} is called", other.kind())),
        }
    }
    pub(super) fn call_method(
        &mut self,
        r: Ref,
        name: &str,
        mut args: Vec<Value>,
        named: &Named,
        at: Pos,
    ) -> R<Value> {
        let Some(instance) = self.heap.instance(r) else {
            return self.broken(at, "a method of something that is no object");
        };
        let (class, path) = (instance.class.clone(), instance.path.clone());
        let (found, unit) = self.class(&class, at)?;
        let Some(func) = found.method(name).cloned() else {
            return self.broken(at, format!("`{class}` has no method `{name}`"));
        };
        args.insert(0, Value::Object(r));
        let module = path.unwrap_or_else(|| self.frame.module.clone());
        self.call(&func, unit, module, args, named, at)
    }
    fn call_global(&mut self, path: &str, args: Vec<Value>, named: Named, at: Pos) -> R<Value> {
        if let Some(name) = path.strip_prefix("torch.") {
            return self.operator(&format!("aten::{name}"), args, named, at);
        }
        if let Some(rest) = path.strip_prefix("ops.") {
            return self.operator(&rest.replacen('.', "::", 1), args, named, at);
        }
        if let Some((func, unit)) = self.program.function(path)? {
            let module = self.frame.module.clone();
            return self.call(&func, unit, module, args, &named, at);
        }
        if let Some(class) = path.strip_suffix(".__new__") {
            self.class(class, at)?;
            let instance = Instance { class: class.into(), path: None, fields: vec![] };
            return Ok(Value::Object(self.heap.add(Cell::Object(instance))));
        }
        let (class, _) = self.class(path, at)?;
        match class.base.as_deref() {
            Some("NamedTuple") if args.len() <= class.fields.len() => {
                self.named_tuple(&class, args, &named, at)
            }
            Some("Enum") => self.refuse(at, format!("a member of `{path}` looked up by value")),
            _ => {
                let instance = Instance { class: path.into(), path: None, fields: vec![] };
                let r = self.heap.add(Cell::Object(instance));
                self.call_method(r, "__init__", args, &named, at)?;
                Ok(Value::Object(r))
            }
        }
    }
    fn named_tuple(
        &mut self,
        class: &Rc<crate::pytorch::torchscript::ast::Class>,
        mut args: Vec<Value>,
        named: &Named,
        at: Pos,
    ) -> R<Value> {
        for field in class.fields.iter().skip(args.len()) {
            let given = named.iter().find(|(n, _)| *n == field.name).map(|(_, v)| v.clone());
            match (given, &field.value) {
                (Some(v), _) => args.push(v),
                (None, Some(default)) => {
                    let unit = self.frame.unit.clone();
                    args.push(self.default(default, &unit)?);
                }
                (None, None) => return self.broken(at, format!("field `{}` is not given", field.name)),
            }
        }
        Ok(Value::Tuple(Some(class.clone()), args.into()))
    }
    /// A form that is no operator.
    fn builtin(&mut self, name: &str, args: &[Expr], named: &[(Box<str>, Expr)], at: Pos) -> R<Value> {
        let first = |eval: &mut Self| match args.first() {
            Some(e) => eval.expr(e),
            None => eval.broken(at, format!("`{name}` without argument")),
        };
        match (name, args) {
            ("annotate" | "unchecked_cast", [ty, value]) => {
                let value = self.expr(value)?;
                let value = if name == "annotate" { value } else { Self::unwrapped(value) };
                match as_type(ty) {
                    Some(ty) => self.convert(value, &ty, at),
                    None => self.broken(at, "a type is expected"),
                }
            }
            ("uninitialized", _) => Ok(Value::Uninit),
            ("isinstance", [value, ty]) => {
                let value = self.expr(value)?;
                let types = match &ty.kind {
                    Kind::Tuple(items) | Kind::List(items) => items.iter().filter_map(as_type).collect(),
                    _ => as_type(ty).into_iter().collect::<Vec<_>>(),
                };
                match types.iter().map(|t| self.is_instance(&value, t)).collect::<Option<Vec<bool>>>() {
                    Some(all) => Ok(Value::Bool(all.contains(&true))),
                    None => self.refuse(at, "a type that depends on computed values"),
                }
            }
            ("getattr", [of, field]) => {
                let of = self.expr(of)?;
                match &field.kind {
                    Kind::Str(field) => self.attr(&of, field, at),
                    _ => self.broken(at, "an attribute name is expected"),
                }
            }
            ("print", _) => {
                self.exprs(args)?;
                Ok(Value::None)
            }
            ("int" | "float" | "bool" | "str" | "complex", _) => {
                let values = self.exprs(args)?;
                let op = match name {
                    "int" => "aten::Int",
                    "float" => "aten::Float",
                    "bool" => "aten::Bool",
                    "str" => "aten::str",
                    _ => "aten::Complex",
                };
                self.operator(op, values, vec![], at)
            }
            ("len" | "abs" | "min" | "max" | "round" | "ord" | "chr", _) => {
                let values = self.exprs(args)?;
                let space = if matches!(name, "min" | "max" | "abs") { "prim" } else { "aten" };
                self.operator(&format!("{space}::{name}"), values, vec![], at)
            }
            ("range", _) => {
                let values = self.exprs(args)?;
                let mut known = vec![];
                for v in &values {
                    match v {
                        Value::Int(Size::Known(v)) => known.push(*v),
                        _ => return self.refuse(at, "a range of computed length"),
                    }
                }
                self.range(&known, at)
            }
            ("fork" | "wait" | "awaitable" | "awaitable_wait", _) => {
                self.refuse(at, format!("`{name}` (asynchronous calls) is not supported"))
            }
            _ => {
                first(self)?;
                let _ = named;
                self.broken(at, format!("`{name}` is not defined"))
            }
        }
    }
}
