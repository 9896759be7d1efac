//! Operators: those on known values are computed, the others are lifted by the tables of `ATen`.
use super::Eval;
use crate::pytorch::lift::alias::{Owner, TensorId};
use crate::pytorch::lift::blockers::not_supported;
use crate::pytorch::lift::cx::{Call, Out, R, Size, Val, unsupported};
use crate::pytorch::lift::promote::ir_dtype;
use crate::pytorch::lift::target::{self, Operator};
use crate::pytorch::tensor::TorchDtype;
use crate::pytorch::torchscript::ast::Pos;
use crate::pytorch::torchscript::schemas::{self, Arg, ArgType, Base, Schema};
use crate::pytorch::torchscript::value::Value;
use hoist_ir::dtype::DType;

type Named = Vec<(Box<str>, Value)>;

/// Most elements of a constant that an operator makes.
const MAX_CONSTANT: usize = 1 << 28;

/// Operators that give their first argument.
const IDENTITY: &[&str] = &[
    "cpu",
    "cuda",
    "pin_memory",
    "requires_grad_",
    "data",
    "profile",
    "AutogradAdd",
    "set_data",
    "retain_grad",
    "warn_only",
    "_unwrap_optional",
    "unchecked_unwrap_optional",
    "awaitable_nowait",
];

impl Eval<'_> {
    /// The result of operator `path`, such as `aten::add`.
    pub(super) fn operator(&mut self, path: &str, args: Vec<Value>, named: Named, at: Pos) -> R<Value> {
        let (space, name) = path.split_once("::").unwrap_or(("aten", path));
        if name == "RaiseException" {
            let text = args.first().map(|v| self.shown(v)).unwrap_or_default();
            return self.raise(at, text);
        }
        if args.iter().chain(named.iter().map(|(_, v)| v)).any(|v| self.is_failed(v)) {
            return Ok(Value::Failed);
        }
        self.cx.origin = self.origin(at, path);
        let result = self.apply_operator(space, name, args, named, at);
        self.soft(result, at, path)
    }
    fn is_failed(&self, v: &Value) -> bool {
        matches!(v, Value::Failed)
            || self.heap.elements(v).is_some_and(|items| items.iter().any(|v| self.is_failed(v)))
    }
    fn apply_operator(
        &mut self,
        space: &str,
        name: &str,
        args: Vec<Value>,
        named: Named,
        at: Pos,
    ) -> R<Value> {
        if !matches!(space, "aten" | "prim") {
            return self.lifted(&format!("{space}.{name}"), args, named, at);
        }
        if IDENTITY.contains(&name)
            && let Some(first) = args.first()
        {
            return Ok(Self::unwrapped(first.clone()));
        }
        if let Some(v) = self.fused_op(name, &args, at)? {
            return Ok(v);
        }
        if let Some(v) = self.list_op(name, &args, &named, at)? {
            return Ok(v);
        }
        if let Some(v) = self.number_op(name, &args, at)? {
            return Ok(v);
        }
        if let Some(v) = self.tensor_op(name, &args, &named, at)? {
            return Ok(v);
        }
        self.lifted(name, args, named, at)
    }
    /// The result of an operator of the tables.
    pub(super) fn lifted(&mut self, name: &str, args: Vec<Value>, named: Named, at: Pos) -> R<Value> {
        let Some(operator) = target::find(name) else {
            let target = if name.contains('.') { name.to_owned() } else { format!("aten.{name}") };
            return Err(not_supported(&target));
        };
        let Operator::Lifted(f, in_place) = operator else { return Ok(Value::None) };
        let args: Vec<Value> = args.into_iter().map(Self::unwrapped).collect();
        let named = self.upgraded(name, &args, named)?;
        self.learn_from(name, &args);
        let schema = match schemas::resolve(&self.heap, name, &args, &named) {
            Some(schema) => schema,
            None if schemas::overloads(name).is_empty() && name.contains('.') => {
                return Err(unsupported(format!("operator `{name}` has no known schema")));
            }
            None => {
                let kinds: Vec<&str> = args.iter().map(Value::kind).collect();
                return Err(unsupported(format!("no overload of `{name}` takes ({})", kinds.join(", "))));
            }
        };
        let call = self.make_call(schema, args, &named, at)?;
        if in_place {
            self.before_write(&call, at)?;
        }
        let out = self.cx.lift(f, call)?;
        let out = if in_place { self.cx.write_back(&out)? } else { out };
        self.bound(out, schema.gives_list)
    }
    /// Named arguments that make a call of an old archive mean what it meant then: `div` of integers rounded towards zero.
    fn upgraded(&mut self, name: &str, args: &[Value], mut named: Named) -> R<Named> {
        let old = self.program.version().is_some_and(|v| v < 4);
        if !old || !matches!(name, "div" | "div_" | "true_divide") || !named.is_empty() {
            return Ok(named);
        }
        let mut whole = name != "true_divide";
        for v in args {
            whole &= match v {
                Value::Tensor(_) | Value::Weight(_) => {
                    let id = self.tensor_of(v, 0)?;
                    let ir = self.cx.read_tensor(id)?;
                    self.cx.dtype(ir)?.is_int()
                }
                other => matches!(other, Value::Int(_)),
            };
        }
        if whole {
            named.push(("rounding_mode".into(), Value::text("trunc")));
        }
        Ok(named)
    }
    fn make_call(&mut self, schema: &'static Schema, args: Vec<Value>, named: &Named, at: Pos) -> R<Call> {
        let mut given: Vec<(&'static Arg, Value)> = vec![];
        let (by_position, rest) = schema.args.split_at(args.len().min(schema.args.len()));
        given.extend(by_position.iter().zip(args));
        for arg in rest {
            if let Some((_, v)) = named.iter().find(|(n, _)| &**n == arg.name) {
                given.push((arg, v.clone()));
            }
        }
        let mut out = vec![];
        for (arg, value) in given {
            if arg.default.is_some_and(|d| is_default(&value, d)) {
                continue;
            }
            let val = self.make_val(&value, arg.ty, at)?;
            out.push((arg.name.to_owned(), val));
        }
        let overload = if schema.overload.is_empty() { "default" } else { schema.overload };
        let outputs = if schema.gives_list { 1 } else { usize::MAX };
        Ok(Call { target: format!("aten.{}.{overload}", schema.name), args: out, results: vec![], outputs })
    }
    /// The write of an in-place operator: a weight that is written becomes state of the model.
    fn before_write(&mut self, call: &Call, at: Pos) -> R<()> {
        if let Some((_, Val::Tensor(id))) = call.args.first() {
            let base = self.cx.base_of(*id);
            if let Some(weight) = self.weights.of_base(base) {
                let counts =
                    self.weights.get(weight).is_some_and(|w| w.name.ends_with("num_batches_tracked"));
                if self.freeze || counts {
                    if let Some(b) = self.cx.bases.get_mut(base) {
                        b.owner = Owner::Local;
                    }
                    return Ok(());
                }
                self.found.weights.insert(weight);
                if self.bodies > 0 {
                    return self.refuse(at, "state that is found inside a body");
                }
            }
        }
        Ok(())
    }
    /// A value as an argument of type `ty`.
    pub(super) fn make_val(&mut self, value: &Value, ty: ArgType, at: Pos) -> R<Val> {
        if matches!(value, Value::None) {
            return Ok(Val::None);
        }
        if !ty.list {
            return self.one_val(value, ty.base, at);
        }
        if let Some(v) = self.heap.stacked(value) {
            return self.unstacked(v);
        }
        let Some(items) = self.heap.elements(value).map(<[Value]>::to_vec) else {
            return Ok(Val::List(vec![self.one_val(value, ty.base, at)?]));
        };
        let one =
            |v: &Value| if matches!(v, Value::None) { Ok(Val::None) } else { self.one_val(v, ty.base, at) };
        Ok(Val::List(items.iter().map(one).collect::<R<_>>()?))
    }
    fn one_val(&mut self, value: &Value, base: Base, at: Pos) -> R<Val> {
        let converted = match (base, value) {
            (
                Base::Int | Base::Dtype | Base::Layout | Base::MemoryFormat,
                Value::Tensor(_) | Value::Weight(_),
            ) => self.make_int(value, at)?,
            (Base::Float, Value::Tensor(_) | Value::Weight(_) | Value::Int(_)) => {
                self.make_float(value, at)?
            }
            (Base::Bool, Value::Tensor(_) | Value::Weight(_)) => self.make_bool(value, at)?,
            (Base::Scalar, Value::Tensor(_) | Value::Weight(_)) => self.make_number(value, at)?,
            (_, other) => other.clone(),
        };
        Ok(match (base, self.folded(converted)) {
            (Base::Dtype, Value::Int(Size::Known(code))) => Val::DType(dtype_of(code)),
            (Base::MemoryFormat, Value::Int(Size::Known(code))) => Val::MemoryFormat(match code {
                0 => 1,
                2 => 2,
                3 => 3,
                _ => 4,
            }),
            (Base::Layout | Base::Device | Base::Other, _) => Val::Opaque,
            (_, v @ (Value::Tensor(_) | Value::Weight(_))) => Val::Tensor(self.tensor_of(&v, at)?),
            (Base::Tensor, v) => Val::Tensor(self.number_tensor(&v, at)?),
            (Base::Int, Value::Bool(b)) => Val::Int(Size::Known(i64::from(b))),
            (_, Value::Int(s)) => Val::Int(s),
            (_, Value::Float(v)) => Val::Float(v),
            (_, Value::FloatV(v)) => Val::FloatValue(v),
            (_, Value::Bool(b)) => Val::Bool(b),
            (_, Value::BoolV(v)) => Val::BoolValue(v),
            (_, Value::Complex(a, b)) => Val::Complex(a, b),
            (_, Value::Str(s)) => Val::Str((*s).into()),
            (_, v) => {
                let items = self.heap.elements(&v).map(<[Value]>::to_vec);
                match items {
                    Some(items) => {
                        Val::List(items.iter().map(|v| self.one_val(v, Base::Any, at)).collect::<R<_>>()?)
                    }
                    None => return self.refuse(at, format!("{} as an argument", v.kind())),
                }
            }
        })
    }
    /// The tensor that a value is.
    pub(super) fn tensor_of(&mut self, value: &Value, at: Pos) -> R<TensorId> {
        match value {
            Value::Tensor(id) => Ok(*id),
            Value::Weight(i) => self.weights.tensor(&mut self.cx, *i),
            other => self.refuse(at, format!("{} where a tensor is expected", other.kind())),
        }
    }
    /// What a lifting function gave, as a value.
    pub(super) fn bound(&mut self, out: Out, list: bool) -> R<Value> {
        Ok(match out {
            Out::Fresh(v) => {
                // A constant of one repeated value takes no memory here, and all of its size in an output.
                let constant = self.cx.graph.constant(v).map(hoist_ir::tensor::Tensor::len);
                if constant.is_some_and(|n| n > MAX_CONSTANT) {
                    return Err(unsupported(format!(
                        "a constant tensor of more than {MAX_CONSTANT} elements"
                    )));
                }
                Value::Tensor(self.cx.new_tensor(v, Owner::Local))
            }
            Out::Same(id) => Value::Tensor(id),
            Out::View(of, steps) => Value::Tensor(self.cx.new_view(of, steps)?),
            Out::Many(outs) => {
                let items = outs.into_iter().map(|o| self.bound(o, false)).collect::<R<Vec<_>>>()?;
                if list { self.heap.list(items) } else { Value::tuple(items) }
            }
            Out::Int(s) => self.folded(Value::Int(s)),
            Out::Bool(v) => Value::BoolV(v),
            Out::Float(v) => Value::FloatV(v),
        })
    }
}

/// Whether a value is the default that a schema writes so.
fn is_default(value: &Value, default: &str) -> bool {
    match value {
        Value::None => default == "None",
        Value::Bool(b) => default == if *b { "True" } else { "False" },
        Value::Int(Size::Known(v)) => default.parse() == Ok(*v),
        Value::Float(v) => default.parse::<f64>().is_ok_and(|d| d.to_bits() == v.to_bits()),
        Value::Str(s) => {
            default.trim_matches(['"', '\'']) == &**s
                && !default.is_empty()
                && default.starts_with(['"', '\''])
        }
        _ => false,
    }
}

/// The element type with this number in PyTorch's `ScalarType`.
pub(super) fn torch_dtype(code: i64) -> Option<TorchDtype> {
    Some(match code {
        0 => TorchDtype::UInt8,
        1 => TorchDtype::Int8,
        2 => TorchDtype::Int16,
        3 => TorchDtype::Int32,
        4 => TorchDtype::Int64,
        5 => TorchDtype::Float16,
        6 => TorchDtype::Float32,
        7 => TorchDtype::Float64,
        8 => TorchDtype::Complex32,
        9 => TorchDtype::Complex64,
        10 => TorchDtype::Complex128,
        11 => TorchDtype::Bool,
        12 => TorchDtype::QInt8,
        13 => TorchDtype::QUInt8,
        14 => TorchDtype::QInt32,
        15 => TorchDtype::BFloat16,
        23 => TorchDtype::Float8E5M2,
        24 => TorchDtype::Float8E4M3Fn,
        25 => TorchDtype::Float8E5M2FnUz,
        26 => TorchDtype::Float8E4M3FnUz,
        27 => TorchDtype::UInt16,
        28 => TorchDtype::UInt32,
        29 => TorchDtype::UInt64,
        _ => return None,
    })
}

fn dtype_of(code: i64) -> Result<DType, std::sync::Arc<str>> {
    let torch = torch_dtype(code).ok_or_else(|| format!("number {code}"))?;
    ir_dtype(torch).ok_or_else(|| torch.name().into())
}

/// The number of an element type in PyTorch's `ScalarType`.
pub(super) fn dtype_code(dtype: DType) -> Option<i64> {
    (0..30).find(|code| torch_dtype(*code).and_then(ir_dtype) == Some(dtype))
}
