//! Operators on numbers and truth values.
use super::Eval;
use super::numbers::{Num, compute, known};
use crate::pytorch::lift::cx::{Call, R, Size, Val, unsupported};
use crate::pytorch::lift::target::{self, Operator};
use crate::pytorch::torchscript::ast::Pos;
use crate::pytorch::torchscript::value::{Value, known_equal};

fn is_number(v: &Value) -> bool {
    matches!(v, Value::Int(_) | Value::Float(_) | Value::FloatV(_) | Value::Bool(_) | Value::BoolV(_))
}

/// Python's name of the operator that the tables have for computed numbers.
fn computed_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "add" => "_operator.add",
        "sub" => "_operator.sub",
        "mul" => "_operator.mul",
        "floordiv" => "_operator.floordiv",
        "remainder" | "fmod" => "_operator.mod",
        "div" => "_operator.truediv",
        "pow" => "_operator.pow",
        "neg" => "_operator.neg",
        "eq" => "_operator.eq",
        "ne" => "_operator.ne",
        "lt" => "_operator.lt",
        "le" => "_operator.le",
        "gt" => "_operator.gt",
        "ge" => "_operator.ge",
        "__and__" => "_operator.and_",
        "__or__" => "_operator.or_",
        "__not__" => "torch.sym_not",
        "max" => "torch.sym_max",
        "min" => "torch.sym_min",
        "floor" => "math.floor",
        "ceil" => "math.ceil",
        _ => return None,
    })
}

impl Eval<'_> {
    /// An operator whose operands are all numbers; nothing for other operands.
    pub(super) fn number_op(&mut self, name: &str, args: &[Value], at: Pos) -> R<Option<Value>> {
        match (name, args) {
            ("Int" | "IntImplicit", [v]) => return self.make_int(v, at).map(Some),
            ("Float" | "FloatImplicit", [v]) => return self.make_float(v, at).map(Some),
            ("Bool", [v]) => return self.make_bool(v, at).map(Some),
            ("ScalarImplicit" | "item" | "_local_scalar_dense", [v]) => {
                return self.make_number(v, at).map(Some);
            }
            ("Complex", [a, b]) => {
                if let (Some(a), Some(b)) = (known(a), known(b)) {
                    return Ok(Some(Value::Complex(a.float(), b.float())));
                }
            }
            ("__range_length", [lo, hi, step]) => return self.range_length(lo, hi, step, at).map(Some),
            ("__derive_index", [i, start, step]) => {
                let scaled = self.operator("aten::mul", vec![i.clone(), step.clone()], vec![], at)?;
                return self.operator("aten::add", vec![start.clone(), scaled], vec![], at).map(Some);
            }
            ("__is__" | "__isnot__", [a, b]) => return self.identity(name == "__is__", a, b).map(Some),
            _ => {}
        }
        if let ("eq" | "ne", [a, b]) = (name, args)
            && !matches!(a, Value::Tensor(_) | Value::Weight(_))
            && !matches!(b, Value::Tensor(_) | Value::Weight(_))
        {
            if let Some(equal) = known_equal(&self.heap, a, b) {
                return Ok(Some(Value::Bool(equal == (name == "eq"))));
            }
            if let (Some(_), Some(_)) = (self.heap.elements(a), self.heap.elements(b)) {
                return self.lists_equal(name == "eq", a, b, at).map(Some);
            }
        }
        if args.is_empty() || !args.iter().all(is_number) {
            return Ok(None);
        }
        let args: Vec<Value> = args.iter().map(|v| self.folded(v.clone())).collect();
        if let Some(nums) = args.iter().map(known).collect::<Option<Vec<_>>>()
            && let Some(v) = compute(name, &nums, matches!(args[0], Value::Bool(_)))
        {
            return match v {
                Some(v) => Ok(Some(v)),
                None => self.raise(at, format!("ZeroDivisionError or overflow in `{name}`")),
            };
        }
        match (name, args.as_slice()) {
            ("__and__", [Value::Bool(false), _] | [_, Value::Bool(false)]) => {
                return Ok(Some(Value::Bool(false)));
            }
            ("__or__", [Value::Bool(true), _] | [_, Value::Bool(true)]) => {
                return Ok(Some(Value::Bool(true)));
            }
            ("__and__", [Value::Bool(true), v] | [v, Value::Bool(true)])
            | ("__or__", [Value::Bool(false), v] | [v, Value::Bool(false)]) => return Ok(Some(v.clone())),
            ("__xor__", [a, b]) => {
                return self.operator("aten::ne", vec![a.clone(), b.clone()], vec![], at).map(Some);
            }
            ("abs", [v]) => {
                let negative = self.operator("aten::neg", vec![v.clone()], vec![], at)?;
                return self.operator("prim::max", vec![v.clone(), negative], vec![], at).map(Some);
            }
            ("round" | "sqrt" | "exp" | "log" | "sin" | "cos" | "tan" | "tanh", [v]) => {
                let Value::FloatV(x) = self.make_float(v, at)? else { return Ok(None) };
                return Ok(Some(Value::FloatV(self.cx.u(name, x)?)));
            }
            _ => {}
        }
        let Some(target) = computed_name(name) else { return Ok(None) };
        self.computed(target, &args).map(Some)
    }
    /// An operator on computed numbers.
    fn computed(&mut self, target: &str, args: &[Value]) -> R<Value> {
        let Some(Operator::Lifted(f, _)) = target::find(target) else {
            return Err(unsupported(format!("`{target}` is not supported")));
        };
        let val = |v: &Value| match v {
            Value::Int(s) => Val::Int(s.clone()),
            Value::Float(v) => Val::Float(*v),
            Value::FloatV(v) => Val::FloatValue(*v),
            Value::Bool(b) => Val::Bool(*b),
            Value::BoolV(v) => Val::BoolValue(*v),
            _ => Val::Opaque,
        };
        let args = args.iter().zip(["a", "b", "c"]).map(|(v, n)| (n.to_owned(), val(v))).collect();
        let call = Call { target: target.into(), args, results: vec![], outputs: 1 };
        let out = self.cx.lift(f, call)?;
        let value = self.bound(out, false)?;
        Ok(self.folded(value))
    }
    /// `ceil((hi - lo) / step)`, not below 0.
    fn range_length(&mut self, lo: &Value, hi: &Value, step: &Value, at: Pos) -> R<Value> {
        if let (Some(Num::Int(lo)), Some(Num::Int(hi)), Some(Num::Int(step))) =
            (known(lo), known(hi), known(step))
        {
            let length =
                (hi as i128 - lo as i128 + step as i128 - step.signum() as i128).checked_div(step as i128);
            return match length.map(|n| i64::try_from(n.max(0))) {
                Some(Ok(n)) => Ok(Value::int(n)),
                _ => self.raise(at, "range() with step 0".into()),
            };
        }
        let Some(Num::Int(known_step)) = known(step) else {
            return self.refuse(at, "a range with a computed step");
        };
        let call =
            |eval: &mut Self, name: &str, a: Value, b: Value| eval.operator(name, vec![a, b], vec![], at);
        let span = call(self, "aten::sub", hi.clone(), lo.clone())?;
        let span = call(self, "aten::add", span, Value::int(known_step - known_step.signum()))?;
        let length = call(self, "aten::floordiv", span, Value::int(known_step))?;
        call(self, "prim::max", length, Value::int(0))
    }
    /// `range(..)` as a list.
    pub(super) fn range(&mut self, parts: &[i64], at: Pos) -> R<Value> {
        let (lo, hi, step) = match *parts {
            [hi] => (0, hi, 1),
            [lo, hi] => (lo, hi, 1),
            [lo, hi, step] => (lo, hi, step),
            _ => return self.broken(at, "range() takes one to three numbers"),
        };
        let mut items = vec![];
        let mut i = lo;
        while (step > 0 && i < hi) || (step < 0 && i > hi) {
            self.step(at)?;
            items.push(Value::int(i));
            i = i.saturating_add(step);
        }
        Ok(self.heap.list(items))
    }
    fn identity(&mut self, is: bool, a: &Value, b: &Value) -> R<Value> {
        match (a, b) {
            (Value::Maybe(present, _), Value::None) | (Value::None, Value::Maybe(present, _)) => {
                let present = *present;
                Ok(Value::BoolV(if is { self.cx.u("not", present)? } else { present }))
            }
            (Value::None, Value::None) => Ok(Value::Bool(is)),
            (Value::None, _) | (_, Value::None) => Ok(Value::Bool(!is)),
            _ => match known_equal(&self.heap, a, b) {
                Some(equal) => Ok(Value::Bool(equal == is)),
                None => Ok(Value::Bool(super::merge::same(a, b) == is)),
            },
        }
    }
    /// Whether lists of numbers of the same length are equal.
    fn lists_equal(&mut self, eq: bool, a: &Value, b: &Value, at: Pos) -> R<Value> {
        let (a, b) = (
            self.heap.elements(a).unwrap_or_default().to_vec(),
            self.heap.elements(b).unwrap_or_default().to_vec(),
        );
        let mut all = Value::Bool(true);
        for (a, b) in a.into_iter().zip(b) {
            let one = self.operator("aten::eq", vec![a, b], vec![], at)?;
            all = self.operator("aten::__and__", vec![all, one], vec![], at)?;
        }
        if eq { Ok(all) } else { self.operator("aten::__not__", vec![all], vec![], at) }
    }

    /// A value as an integer, rounded towards zero.
    pub(super) fn make_int(&mut self, v: &Value, at: Pos) -> R<Value> {
        Ok(match v {
            Value::Int(_) => v.clone(),
            Value::Bool(b) => Value::int(i64::from(*b)),
            Value::Float(f) if f.is_finite() => Value::int(f.trunc() as i64),
            Value::BoolV(b) => {
                let v = self.cx.cast(*b, hoist_ir::dtype::DType::I64)?;
                Value::Int(Size::Value(self.cx.unsqueeze(v, &[0])?))
            }
            Value::FloatV(_) => self.computed("math.trunc", std::slice::from_ref(v))?,
            Value::Tensor(_) | Value::Weight(_) => {
                let number = self.make_number(v, at)?;
                return self.make_int(&number, at);
            }
            Value::Str(s) => match s.trim().parse() {
                Ok(v) => Value::int(v),
                Err(_) => return self.raise(at, format!("ValueError: invalid literal for int(): {s:?}")),
            },
            other => return self.refuse(at, format!("{} as an integer", other.kind())),
        })
    }
    /// A value as a float.
    pub(super) fn make_float(&mut self, v: &Value, at: Pos) -> R<Value> {
        Ok(match v {
            Value::Float(_) | Value::FloatV(_) => v.clone(),
            Value::Bool(_) | Value::Int(Size::Known(_)) => Value::Float(known(v).map_or(0.0, Num::float)),
            Value::Int(_) => self.computed("torch.sym_float", std::slice::from_ref(v))?,
            Value::BoolV(b) => Value::FloatV(self.cx.cast(*b, hoist_ir::dtype::DType::F64)?),
            Value::Tensor(_) | Value::Weight(_) => {
                let number = self.make_number(v, at)?;
                return self.make_float(&number, at);
            }
            Value::Str(s) => match s.trim().parse() {
                Ok(v) => Value::Float(v),
                Err(_) => return self.raise(at, format!("ValueError: could not convert to float: {s:?}")),
            },
            other => return self.refuse(at, format!("{} as a float", other.kind())),
        })
    }
    /// A value as a truth value.
    pub(super) fn make_bool(&mut self, v: &Value, at: Pos) -> R<Value> {
        Ok(match v {
            Value::Bool(_) | Value::BoolV(_) => v.clone(),
            Value::Int(Size::Known(v)) => Value::Bool(*v != 0),
            Value::Float(v) => Value::Bool(*v != 0.0),
            Value::Int(_) | Value::FloatV(_) => {
                return self.operator("aten::ne", vec![v.clone(), Value::int(0)], vec![], at);
            }
            Value::Tensor(_) | Value::Weight(_) => {
                let number = self.make_number(v, at)?;
                return self.make_bool(&number, at);
            }
            Value::None => Value::Bool(false),
            Value::Str(s) => Value::Bool(!s.is_empty()),
            other => return self.refuse(at, format!("{} as a truth value", other.kind())),
        })
    }
    /// The one element of a tensor as a number.
    pub(super) fn make_number(&mut self, v: &Value, at: Pos) -> R<Value> {
        if is_number(v) || matches!(v, Value::Complex(..)) {
            return Ok(v.clone());
        }
        let id = self.tensor_of(v, at)?;
        let ir = self.cx.read_tensor(id)?;
        if let Some(t) = self.constant_of(ir)
            && t.len() == 1
        {
            let whole = t.dtype().is_float();
            if let (true, Some(f)) = (whole, t.to_f64s().ok().and_then(|v| v.first().copied())) {
                return Ok(Value::Float(f));
            }
            if let (false, Some(i)) =
                (t.dtype().is_complex(), t.to_i64s().ok().and_then(|v| v.first().copied()))
            {
                let is_bool = t.dtype() == hoist_ir::dtype::DType::Bool;
                return Ok(if is_bool { Value::Bool(i != 0) } else { Value::int(i) });
            }
            if let Ok([b]) = t.to_bools().as_deref() {
                return Ok(Value::Bool(*b));
            }
        }
        let Some(Operator::Lifted(f, _)) = target::find("item") else {
            return Err(unsupported("`item` is not supported"));
        };
        let args = vec![("self".to_owned(), Val::Tensor(id))];
        let call = Call { target: "aten.item.default".into(), args, results: vec![], outputs: 1 };
        let out = self.cx.lift(f, call)?;
        self.bound(out, false)
    }
}
