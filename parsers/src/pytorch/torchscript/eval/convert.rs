//! Types: what a declared type makes of a value, and whether a value is of a type.
use super::Eval;
use crate::pytorch::lift::cx::R;
use crate::pytorch::torchscript::ast::{Pos, Ty};
use crate::pytorch::torchscript::value::Value;

impl Eval<'_> {
    /// `value` where a value of type `ty` is expected: tensors become numbers and integers floats, as PyTorch converts implicitly.
    pub(super) fn convert(&mut self, value: Value, ty: &Ty, at: Pos) -> R<Value> {
        match (&*ty.name, &value) {
            ("int", Value::Tensor(_) | Value::Weight(_)) => {
                self.operator("aten::Int", vec![value], vec![], at)
            }
            ("float", Value::Tensor(_) | Value::Weight(_) | Value::Int(_)) => {
                self.operator("aten::Float", vec![value], vec![], at)
            }
            ("bool", Value::Tensor(_) | Value::Weight(_)) => {
                self.operator("aten::Bool", vec![value], vec![], at)
            }
            ("Optional", Value::None) => Ok(value),
            ("Optional", _) => match ty.args.first() {
                Some(inner) => self.convert(value, inner, at),
                None => Ok(value),
            },
            _ => Ok(value),
        }
    }
    /// A value that is known not to be none.
    pub(super) fn unwrapped(value: Value) -> Value {
        match value {
            Value::Maybe(_, inner) => (*inner).clone(),
            other => other,
        }
    }
    /// Whether `value` is of type `ty`; `None` when that is computed.
    pub(super) fn is_instance(&self, value: &Value, ty: &Ty) -> Option<bool> {
        let all = |items: &[Value], ty: &Ty| -> Option<bool> {
            let each: Option<Vec<bool>> = items.iter().map(|v| self.is_instance(v, ty)).collect();
            Some(!each?.contains(&false))
        };
        let name = &*ty.name;
        Some(match value {
            Value::Maybe(..) => return None,
            _ if matches!(name, "Any" | "t") => true,
            _ if name == "Optional" => {
                matches!(value, Value::None)
                    || ty.args.first().is_some_and(|t| self.is_instance(value, t) == Some(true))
            }
            _ if name == "Union" => ty.args.iter().any(|t| self.is_instance(value, t) == Some(true)),
            Value::None => name == "NoneType",
            Value::Tensor(_) | Value::Weight(_) => name == "Tensor",
            Value::Int(_) => matches!(name, "int" | "number" | "Scalar"),
            Value::Float(_) | Value::FloatV(_) => matches!(name, "float" | "number" | "Scalar"),
            Value::Bool(_) | Value::BoolV(_) => name == "bool",
            Value::Complex(..) => matches!(name, "complex" | "number" | "Scalar"),
            Value::Str(_) => name == "str",
            Value::Device(_) => matches!(name, "Device" | "device"),
            Value::List(_) | Value::Stacked(_) => match (name, ty.args.first()) {
                ("List" | "list", None) => true,
                ("List" | "list", Some(t)) => {
                    return self.heap.elements(value).map_or(Some(true), |items| all(items, t));
                }
                _ => false,
            },
            Value::Tuple(None, items) => match name {
                "Tuple" | "tuple" if ty.args.is_empty() => true,
                "Tuple" | "tuple" => {
                    items.len() == ty.args.len()
                        && items.iter().zip(&ty.args).all(|(v, t)| self.is_instance(v, t) == Some(true))
                }
                _ => false,
            },
            Value::Tuple(Some(class), _) => {
                matches!(name, "Tuple" | "tuple") || name.rsplit('.').next() == Some(&*class.name)
            }
            Value::Dict(_) => matches!(name, "Dict" | "dict"),
            Value::Object(r) => self.heap.instance(*r).is_some_and(|i| &*i.class == name),
            Value::Enum(class, ..) => &**class == name,
            Value::Uninit | Value::Failed | Value::Global(_) | Value::Method(..) => false,
        })
    }
}
