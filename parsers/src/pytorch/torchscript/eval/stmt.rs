//! Statements, where it is known which way they go.
use super::{Eval, Flow};
use crate::pytorch::lift::cx::{R, Size, V};
use crate::pytorch::torchscript::ast::{Expr, Kind, Pos, Stmt, StmtKind, Target};
use crate::pytorch::torchscript::value::Value;

/// What a condition is.
pub(super) enum Truth {
    /// Known.
    Known(bool),
    /// Computed: a 0-d boolean.
    Computed(V),
    /// It could not be computed.
    Failed,
}

impl Eval<'_> {
    /// Carries out statements in the present frame.
    pub(super) fn block(&mut self, stmts: &[Stmt]) -> R<Flow> {
        for (i, stmt) in stmts.iter().enumerate() {
            self.step(stmt.pos)?;
            match &stmt.kind {
                StmtKind::If(condition, then, otherwise) => {
                    let rest = stmts.get(i + 1..).unwrap_or_default();
                    let (flow, all) = self.branch(condition, (then, otherwise), rest, stmt.pos)?;
                    if all || matches!(flow, Flow::Return(_)) {
                        return Ok(flow);
                    }
                }
                _ => {
                    if let flow @ Flow::Return(_) = self.stmt(stmt)? {
                        return Ok(flow);
                    }
                }
            }
        }
        Ok(Flow::Next)
    }
    /// Carries out an `if`. Also tells whether what follows it was carried out with it.
    fn branch(
        &mut self,
        condition: &Expr,
        arms: (&[Stmt], &[Stmt]),
        rest: &[Stmt],
        at: Pos,
    ) -> R<(Flow, bool)> {
        let value = self.expr(condition)?;
        match self.truth(&value, at)? {
            Truth::Known(truth) => Ok((self.block(if truth { arms.0 } else { arms.1 })?, false)),
            Truth::Computed(v) => self.computed_branch(v, arms, rest, at),
            Truth::Failed => {
                // Errors in what follows would only be consequences.
                self.mark_failed(arms.0);
                self.mark_failed(arms.1);
                Ok((Flow::Next, false))
            }
        }
    }
    fn stmt(&mut self, stmt: &Stmt) -> R<Flow> {
        let at = stmt.pos;
        match &stmt.kind {
            StmtKind::Assign(Target::Name(name), ty, value) => {
                let mut value = self.expr(value)?;
                if let Some(ty) = ty {
                    value = self.convert(value, ty, at)?;
                }
                self.frame.vars.insert(name.clone(), value);
            }
            StmtKind::Assign(Target::Attr(of, name), _, value) => {
                let of = self.expr(of)?;
                let value = self.expr(value)?;
                self.set_attr(&of, name, value, at)?;
            }
            StmtKind::Unpack(names, value) => {
                let value = self.expr(value)?;
                self.unpack(names, &value, at)?;
            }
            StmtKind::Expr(e) => {
                self.expr(e)?;
            }
            StmtKind::Return(None) => return Ok(Flow::Return(Value::None)),
            StmtKind::Return(Some(e)) => return Ok(Flow::Return(self.expr(e)?)),
            StmtKind::While(condition, body) => return self.while_loop(condition, body, at),
            StmtKind::For(name, over, body) => return self.for_loop(name, over, body, at),
            StmtKind::With(items, body) => return self.with(items, body),
            StmtKind::Pass | StmtKind::If(..) => {}
        }
        Ok(Flow::Next)
    }
    fn unpack(&mut self, names: &[Box<str>], value: &Value, at: Pos) -> R<()> {
        if matches!(value, Value::Failed | Value::Uninit) {
            for name in names {
                self.frame.vars.insert(name.clone(), value.clone());
            }
            return Ok(());
        }
        let Some(items) = self.heap.elements(value).map(<[Value]>::to_vec) else {
            return self.broken(at, format!("{} is taken apart", value.kind()));
        };
        // An operator may have further results that the program does not name.
        let further = matches!(value, Value::Tuple(None, _)) && items.len() > names.len();
        if items.len() != names.len() && !further {
            return self.broken(at, format!("{} values for {} names", items.len(), names.len()));
        }
        for (name, item) in names.iter().zip(items) {
            self.frame.vars.insert(name.clone(), item);
        }
        Ok(())
    }
    fn set_attr(&mut self, of: &Value, name: &str, value: Value, at: Pos) -> R<()> {
        let Value::Object(r) = of else {
            return self.broken(at, format!("an attribute of {} is set", of.kind()));
        };
        let Some(instance) = self.heap.instance_mut(*r) else {
            return self.broken(at, "an attribute of something that is no object is set");
        };
        match instance.fields.iter_mut().find(|(n, _)| &**n == name) {
            Some((_, old)) => *old = value,
            None => instance.fields.push((name.into(), value)),
        }
        if *r < self.archived {
            self.found.slots.insert((*r, name.into()));
        }
        Ok(())
    }
    fn with(&mut self, items: &[(Expr, Option<Box<str>>)], body: &[Stmt]) -> R<Flow> {
        for (context, name) in items {
            let value = self.expr(context)?;
            self.enter(&value, context.pos)?;
            if let Some(name) = name {
                self.frame.vars.insert(name.clone(), value);
            }
        }
        self.block(body)
    }
    /// Contexts that switch gradients do nothing here; others change what is computed.
    fn enter(&mut self, value: &Value, at: Pos) -> R<()> {
        let class = match value {
            Value::Object(r) => self.heap.instance(*r).map(|i| i.class.to_string()),
            _ => None,
        };
        let name = class.as_deref().and_then(|c| c.rsplit('.').next()).unwrap_or_default();
        if matches!(
            name,
            "no_grad" | "enable_grad" | "set_grad_enabled" | "inference_mode" | "record_function"
        ) {
            return Ok(());
        }
        if name == "autocast" {
            let enabled = self.attr(value, "_enabled", at).or_else(|_| self.attr(value, "enabled", at));
            if matches!(enabled, Ok(Value::Bool(false))) {
                return Ok(());
            }
        }
        self.refuse(at, format!("a `with` block of `{}` is not supported", class.unwrap_or_default()))
    }

    /// What a value says as a condition.
    pub(super) fn truth(&mut self, value: &Value, at: Pos) -> R<Truth> {
        let value = match value {
            Value::Tensor(_) | Value::Weight(_) | Value::Int(_) | Value::Float(_) | Value::FloatV(_) => {
                self.operator("aten::Bool", vec![value.clone()], vec![], at)?
            }
            other => other.clone(),
        };
        Ok(match value {
            Value::Bool(b) => Truth::Known(b),
            Value::None => Truth::Known(false),
            Value::BoolV(v) => match self.folded_bool(v) {
                Some(b) => Truth::Known(b),
                None => Truth::Computed(v),
            },
            Value::Failed => Truth::Failed,
            Value::Str(s) => Truth::Known(!s.is_empty()),
            other => return self.broken(at, format!("{} is no condition", other.kind())),
        })
    }
    /// The condition when it is known.
    pub(super) fn known_truth(&mut self, value: &Value, at: Pos) -> R<Option<bool>> {
        Ok(match self.truth(value, at)? {
            Truth::Known(b) => Some(b),
            Truth::Computed(_) | Truth::Failed => None,
        })
    }
    /// Gives all names that `stmts` set no value, as it is not known which.
    pub(super) fn mark_failed(&mut self, stmts: &[Stmt]) {
        for name in assigned(stmts) {
            self.frame.vars.insert(name, Value::Failed);
        }
    }

    fn while_loop(&mut self, condition: &Expr, body: &[Stmt], at: Pos) -> R<Flow> {
        loop {
            self.step(at)?;
            let value = self.expr(condition)?;
            match self.truth(&value, at)? {
                Truth::Known(false) => return Ok(Flow::Next),
                Truth::Known(true) => {
                    if let flow @ Flow::Return(_) = self.block(body)? {
                        return Ok(flow);
                    }
                }
                Truth::Computed(v) => return self.computed_while(v, condition, body, at),
                Truth::Failed => {
                    self.mark_failed(body);
                    return Ok(Flow::Next);
                }
            }
        }
    }
    fn for_loop(&mut self, name: &str, over: &Expr, body: &[Stmt], at: Pos) -> R<Flow> {
        let count = match &over.kind {
            Kind::Call(callee, args, _)
                if matches!(&callee.kind, Kind::Name(n) if &**n == "range") && args.len() == 1 =>
            {
                let value = self.exprs(args)?.remove(0);
                match self.folded(value) {
                    Value::Int(s) => s,
                    Value::Failed => {
                        self.mark_failed(body);
                        return Ok(Flow::Next);
                    }
                    other => return self.broken(at, format!("{} is no number of iterations", other.kind())),
                }
            }
            _ => {
                let value = self.expr(over)?;
                return self.for_each(name, &value, body, at);
            }
        };
        match count {
            Size::Known(n) => {
                for i in 0..n {
                    self.step(at)?;
                    self.frame.vars.insert(name.into(), Value::int(i));
                    if let flow @ Flow::Return(_) = self.block(body)? {
                        return Ok(flow);
                    }
                }
                Ok(Flow::Next)
            }
            Size::Value(n) => self.computed_for(n, name, body, at),
        }
    }
    fn for_each(&mut self, name: &str, over: &Value, body: &[Stmt], at: Pos) -> R<Flow> {
        let Some(items) = self.heap.elements(over).map(<[Value]>::to_vec) else {
            return self.refuse(at, format!("a loop over {} is not supported", over.kind()));
        };
        for item in items {
            self.step(at)?;
            self.frame.vars.insert(name.into(), item);
            if let flow @ Flow::Return(_) = self.block(body)? {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }
}

/// Names that statements assign, each once, in order.
pub(super) fn assigned(stmts: &[Stmt]) -> Vec<Box<str>> {
    let mut names: Vec<Box<str>> = vec![];
    collect(stmts, &mut names);
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|n| seen.insert(n.clone()));
    names
}

fn collect(stmts: &[Stmt], names: &mut Vec<Box<str>>) {
    for stmt in stmts {
        match &stmt.kind {
            StmtKind::Assign(Target::Name(n), ..) => names.push(n.clone()),
            StmtKind::Unpack(list, _) => names.extend(list.iter().cloned()),
            StmtKind::If(_, a, b) => {
                collect(a, names);
                collect(b, names);
            }
            StmtKind::While(_, body) => collect(body, names),
            StmtKind::With(items, body) => {
                names.extend(items.iter().filter_map(|(_, n)| n.clone()));
                collect(body, names);
            }
            StmtKind::For(n, _, body) => {
                names.push(n.clone());
                collect(body, names);
            }
            _ => {}
        }
    }
}
