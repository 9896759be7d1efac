//! The schemas of `ATen` operators, and which of them a call means.
//!
//! Calls in the archived source are positional and name no overload. As in PyTorch, the first overload in the order of registration
//! that fits is meant, first without implicit conversions, then with them.
use super::value::{Heap, Value};
use std::collections::HashMap;
use std::sync::LazyLock;

/// One row per overload; the format stands in the script that writes it.
const TABLE: &str = include_str!("aten_schemas.txt");

/// Type of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    Tensor,
    Int,
    Float,
    Bool,
    Scalar,
    Complex,
    Str,
    Dtype,
    Layout,
    Device,
    MemoryFormat,
    /// A generator or stream.
    Other,
    /// Any one type.
    Any,
}

/// Type of an argument with what is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "what is around a type comes in any combination")]
pub struct ArgType {
    /// The type, or that of the elements.
    pub base: Base,
    /// Whether elements may be none.
    pub gaps: bool,
    /// Whether it is a list.
    pub list: bool,
    /// Whether one element stands for a list of alike ones.
    pub spread: bool,
    /// Whether it may be none.
    pub optional: bool,
}

/// An argument of an operator.
#[derive(Clone, Debug)]
pub struct Arg {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub ty: ArgType,
    /// Its default as the schema writes it, without spaces, `;` for `,`.
    pub default: Option<&'static str>,
    /// Whether it is given by name only.
    pub keyword: bool,
}

/// An overload of an operator.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Its name without overload.
    pub name: &'static str,
    /// Its overload; empty for the first.
    pub overload: &'static str,
    /// Its arguments.
    pub args: Vec<Arg>,
    /// Whether the result is a list.
    pub gives_list: bool,
}

static BY_NAME: LazyLock<HashMap<&'static str, Vec<Schema>>> = LazyLock::new(|| {
    let mut map: HashMap<_, Vec<Schema>> = HashMap::new();
    for schema in TABLE.lines().filter_map(schema) {
        map.entry(schema.name).or_default().push(schema);
    }
    map
});

fn schema(line: &'static str) -> Option<Schema> {
    let (head, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (name, overload) = head.split_once('.')?;
    let (overload, gives_list) = overload.strip_suffix("[]").map_or((overload, false), |o| (o, true));
    let mut keyword = false;
    let mut args = vec![];
    for part in rest.split(',').filter(|p| !p.is_empty()) {
        if part == "*" {
            keyword = true;
            continue;
        }
        let (ty, rest) = part.split_once(' ')?;
        let (name, default) = match rest.split_once('=') {
            Some((name, default)) => (name, Some(default)),
            None => (rest, None),
        };
        args.push(Arg { name, ty: arg_type(ty), default, keyword });
    }
    Some(Schema { name, overload, args, gives_list })
}

fn arg_type(text: &str) -> ArgType {
    let (text, optional) = text.strip_suffix('?').map_or((text, false), |t| (t, true));
    let (element, list, spread) = match text.split_once('[') {
        Some((element, rest)) => (element, true, rest != "]"),
        None => (text, false, false),
    };
    let (element, gaps) = element.strip_suffix('?').map_or((element, false), |t| (t, true));
    let base = match element {
        "Tensor" => Base::Tensor,
        "int" => Base::Int,
        "float" => Base::Float,
        "bool" => Base::Bool,
        "Scalar" => Base::Scalar,
        "complex" => Base::Complex,
        "str" => Base::Str,
        "ScalarType" => Base::Dtype,
        "Layout" => Base::Layout,
        "Device" => Base::Device,
        "MemoryFormat" => Base::MemoryFormat,
        "Generator" | "Stream" | "Storage" => Base::Other,
        _ => Base::Any,
    };
    ArgType { base, gaps, list, spread, optional }
}

/// The overloads of operator `name`.
pub fn overloads(name: &str) -> &'static [Schema] {
    BY_NAME.get(name).map_or(&[], Vec::as_slice)
}

/// How far values may be converted to fit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Exact,
    Converted,
    /// Numbers stand for tensors.
    Lifted,
}

/// The overload of `name` that a call with these arguments means.
pub fn resolve(
    heap: &Heap,
    name: &str,
    args: &[Value],
    named: &[(Box<str>, Value)],
) -> Option<&'static Schema> {
    let all = overloads(name);
    let fits = |fit| all.iter().find(|s| takes(heap, s, args, named, fit));
    fits(Fit::Exact).or_else(|| fits(Fit::Converted)).or_else(|| fits(Fit::Lifted))
}

fn takes(heap: &Heap, schema: &Schema, args: &[Value], named: &[(Box<str>, Value)], fit: Fit) -> bool {
    // Keyword-only arguments are sometimes written by position in old archives.
    if args.len() > schema.args.len() {
        return false;
    }
    let (by_position, rest) = schema.args.split_at(args.len());
    by_position
        .iter()
        .zip(args)
        .all(|(a, v)| (!a.keyword || fit != Fit::Exact) && accepts(heap, a.ty, v, fit))
        && named.iter().all(|(n, v)| rest.iter().any(|a| a.name == &**n && accepts(heap, a.ty, v, fit)))
        && rest.iter().all(|a| a.default.is_some() || named.iter().any(|(n, _)| a.name == &**n))
}

fn accepts(heap: &Heap, ty: ArgType, value: &Value, fit: Fit) -> bool {
    if matches!(value, Value::Failed | Value::Uninit) {
        return true;
    }
    if matches!(value, Value::None) {
        // An undefined tensor of a traced program is none.
        return ty.optional
            || matches!(ty.base, Base::Other)
            || (fit != Fit::Exact && ty.base == Base::Tensor && !ty.list);
    }
    if !ty.list {
        return is(ty.base, value, fit);
    }
    if heap.stacked(value).is_some() {
        return ty.base == Base::Tensor;
    }
    match heap.elements(value) {
        Some(items) => items.iter().all(|v| (ty.gaps && matches!(v, Value::None)) || is(ty.base, v, fit)),
        None => ty.spread && is(ty.base, value, fit),
    }
}

fn is(base: Base, value: &Value, fit: Fit) -> bool {
    let converted = fit != Fit::Exact;
    let number = matches!(value, Value::Int(_) | Value::Float(_) | Value::FloatV(_));
    let truth = matches!(value, Value::Bool(_) | Value::BoolV(_));
    let tensor = matches!(value, Value::Tensor(_) | Value::Weight(_));
    match base {
        Base::Tensor => tensor || (fit == Fit::Lifted && (number || truth)),
        Base::Int | Base::Layout | Base::MemoryFormat => {
            matches!(value, Value::Int(_)) || (converted && (tensor || truth))
        }
        Base::Dtype => matches!(value, Value::Int(_)),
        Base::Float => {
            matches!(value, Value::Float(_) | Value::FloatV(_)) || (converted && (number || tensor))
        }
        Base::Bool => truth || (converted && tensor),
        Base::Scalar => number || matches!(value, Value::Complex(..)) || (converted && (truth || tensor)),
        Base::Complex => matches!(value, Value::Complex(..)),
        Base::Str => matches!(value, Value::Str(_)),
        Base::Device => matches!(value, Value::Device(_)) || (converted && matches!(value, Value::Str(_))),
        Base::Other | Base::Any => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pytorch::lift::cx::Size;

    fn overload(name: &str, args: &[Value]) -> Option<&'static str> {
        resolve(&Heap::default(), name, args, &[]).map(|s| s.overload)
    }
    fn int(v: i64) -> Value {
        Value::Int(Size::Known(v))
    }

    #[test]
    fn every_row_is_read() {
        assert!(TABLE.lines().all(|line| schema(line).is_some()));
        let conv = &overloads("conv2d")[0];
        let names: Vec<&str> = conv.args.iter().map(|a| a.name).collect();
        assert_eq!(names, ["input", "weight", "bias", "stride", "padding", "dilation", "groups"]);
        assert!(conv.args[3].ty.spread && conv.args[2].ty.optional);
        assert_eq!(conv.args[3].default, Some("[1;1]"));
    }

    #[test]
    fn the_first_overload_that_fits() {
        let t = Value::Tensor(0);
        assert_eq!(overload("add", &[t.clone(), t.clone()]), Some("Tensor"));
        assert_eq!(overload("add", &[t.clone(), int(2)]), Some("Scalar"));
        assert_eq!(overload("add", &[t.clone(), Value::Bool(true)]), Some("Scalar"));
        assert_eq!(overload("max", &[t.clone(), int(1)]), Some("dim"));
        assert_eq!(overload("max", std::slice::from_ref(&t)), Some(""));
        assert_eq!(overload("to", &[t.clone(), int(6)]), Some("dtype"));
        assert_eq!(overload("to", &[t.clone(), Value::Device("cpu".into())]), Some("prim_Device"));
        assert_eq!(overload("to", &[t.clone(), t.clone()]), Some("other"));
        assert_eq!(overload("where", &[t.clone(), t.clone(), Value::Float(1.0)]), Some("ScalarOther"));
        assert_eq!(overload("sum", &[t.clone(), int(1)]), Some("dim_IntList"));
        assert_eq!(overload("zork", &[t]), None);
    }
}
