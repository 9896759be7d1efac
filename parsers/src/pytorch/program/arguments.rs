//! Arguments of nodes as values.
use super::run::Program;
use crate::pytorch::lift::cx::{R, Size, Val, malformed};
use crate::pytorch::lift::promote::ir_dtype;
use crate::pytorch::schema::{Argument, Float, Named, OptionalTensor, SymBoolArg, SymFloatArg, SymIntArg};

impl<'p> Program<'p> {
    /// The value of an argument, names looked up.
    ///
    /// # Errors
    /// When a name is not defined or stands for something else.
    pub fn val(&self, arg: &'p Argument) -> R<Val> {
        Ok(match arg {
            Argument::None | Argument::OptionalTensor(OptionalTensor::None(_)) => Val::None,
            Argument::Tensor(t) | Argument::OptionalTensor(OptionalTensor::Tensor(t)) => self.named(t)?,
            Argument::Tensors(list) => list_of(list, |t| self.named(t))?,
            Argument::NestedTensors(lists) => list_of(lists, |l| list_of(l, |t| self.named(t)))?,
            Argument::OptionalTensors(list) => list_of(list, |t| match t {
                OptionalTensor::Tensor(t) => self.named(t),
                OptionalTensor::None(_) => Ok(Val::None),
            })?,
            Argument::Int(v) => Val::Int(Size::Known(*v)),
            Argument::Ints(list) => list_of(list, |v| Ok(Val::Int(Size::Known(*v))))?,
            Argument::IntLists(lists) => list_of(lists, |l| list_of(l, |v| Ok(Val::Int(Size::Known(*v)))))?,
            Argument::SymInt(v) => self.sym_int(v)?,
            Argument::SymInts(list) => list_of(list, |v| self.sym_int(v))?,
            Argument::Float(v) => Val::Float(*v),
            Argument::Floats(list) => list_of(list, |v| Ok(Val::Float(*v)))?,
            Argument::SymFloat(v) => self.sym_float(v)?,
            Argument::SymFloats(list) => list_of(list, |v| self.sym_float(v))?,
            Argument::Bool(v) => Val::Bool(*v),
            Argument::Bools(list) => list_of(list, |v| Ok(Val::Bool(*v)))?,
            Argument::SymBool(v) => self.sym_bool(v)?,
            Argument::SymBools(list) => list_of(list, |v| self.sym_bool(v))?,
            Argument::Complex(c) => Val::Complex(c.real.0, c.imag.0),
            Argument::String(v) | Argument::Operator(v) => Val::Str(v.as_str().into()),
            Argument::Strings(list) => list_of(list, |v| Ok(Val::Str(v.as_str().into())))?,
            Argument::ScalarType(code) => {
                let known = code.dtype().and_then(ir_dtype);
                Val::DType(known.ok_or_else(|| code.0.to_string().into()))
            }
            Argument::MemoryFormat(v) => Val::MemoryFormat(*v),
            Argument::StringToArgument(map) => list_of(map.items.values(), |a| self.val(a))?,
            Argument::CustomObj(_) | Argument::Layout(_) | Argument::Device(_) | Argument::Graph(..) => {
                Val::Opaque
            }
            Argument::Unknown(kind) => {
                return Err(malformed(format!("an argument of unknown kind `{kind}`")));
            }
            Argument::Malformed(_) => return Err(malformed("an argument without one kind")),
        })
    }
    fn named(&self, t: &Named) -> R<Val> {
        match self.lookup(&t.name)? {
            v @ Val::Tensor(_) => Ok(v.clone()),
            _ => Err(malformed(format!("`{}` is no tensor", t.name))),
        }
    }
    fn sym_int(&self, v: &SymIntArg) -> R<Val> {
        match v {
            SymIntArg::Int(v) => Ok(Val::Int(Size::Known(*v))),
            SymIntArg::Name(n) => match self.lookup(n)? {
                v @ Val::Int(_) => Ok(v.clone()),
                _ => Err(malformed(format!("`{n}` is no integer"))),
            },
        }
    }
    fn sym_float(&self, v: &SymFloatArg) -> R<Val> {
        match v {
            SymFloatArg::Float(Float(v)) => Ok(Val::Float(*v)),
            SymFloatArg::Name(n) => match self.lookup(n)? {
                v @ (Val::Float(_) | Val::FloatValue(_)) => Ok(v.clone()),
                _ => Err(malformed(format!("`{n}` is no float"))),
            },
        }
    }
    fn sym_bool(&self, v: &SymBoolArg) -> R<Val> {
        match v {
            SymBoolArg::Bool(v) => Ok(Val::Bool(*v)),
            SymBoolArg::Name(n) => match self.lookup(n)? {
                v @ (Val::Bool(_) | Val::BoolValue(_)) => Ok(v.clone()),
                _ => Err(malformed(format!("`{n}` is no truth value"))),
            },
        }
    }
}

fn list_of<T>(items: impl IntoIterator<Item = T>, f: impl Fn(T) -> R<Val>) -> R<Val> {
    items.into_iter().map(f).collect::<R<Vec<Val>>>().map(Val::List)
}
