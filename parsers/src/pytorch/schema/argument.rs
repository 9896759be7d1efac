//! Arguments of nodes: the one tagged union that newer PyTorch versions extend.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{Device, Graph, ScalarType, Table};

/// The name of a value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
}

/// A script object.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct CustomObj {
    /// Name of the value.
    pub name: String,
    /// Its class.
    #[serde(default)]
    pub class_fqn: String,
}

/// A symbolic integer by name, or a number.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub enum SymIntArg {
    /// Name of the value.
    #[serde(rename = "as_name")]
    Name(String),
    /// A number.
    #[serde(rename = "as_int")]
    Int(i64),
}

/// A symbolic float by name, or a number.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub enum SymFloatArg {
    /// Name of the value.
    #[serde(rename = "as_name")]
    Name(String),
    /// A number.
    #[serde(rename = "as_float")]
    Float(Float),
}

/// A symbolic truth value by name, or a value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub enum SymBoolArg {
    /// Name of the value.
    #[serde(rename = "as_name")]
    Name(String),
    /// A value.
    #[serde(rename = "as_bool")]
    Bool(bool),
}

/// A tensor or none.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub enum OptionalTensor {
    /// A tensor.
    #[serde(rename = "as_tensor")]
    Tensor(Named),
    /// None; the flag is always true.
    #[serde(rename = "as_none")]
    None(bool),
}

/// A complex number.
#[derive(Debug, Clone, Copy, PartialEq, serde::Deserialize)]
pub struct ComplexValue {
    /// Real part.
    pub real: Float,
    /// Imaginary part.
    pub imag: Float,
}

/// A constant argument of the model.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstantValue {
    /// None; the flag is always true.
    AsNone(bool),
    /// An integer.
    AsInt(i64),
    /// A float.
    AsFloat(Float),
    /// A text.
    AsString(String),
    /// A truth value.
    AsBool(bool),
}

/// A float of the JSON text: a number, or the text `Infinity`, `-Infinity` or `NaN`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Float(pub f64);

impl<'de> Deserialize<'de> for Float {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FloatVisitor)
    }
}

struct FloatVisitor;

impl Visitor<'_> for FloatVisitor {
    type Value = Float;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, \"Infinity\", \"-Infinity\" or \"NaN\"")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Float, E> {
        Ok(Float(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Float, E> {
        Ok(Float(value as f64))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Float, E> {
        Ok(Float(value as f64))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Float, E> {
        match value {
            "Infinity" => Ok(Float(f64::INFINITY)),
            "-Infinity" => Ok(Float(f64::NEG_INFINITY)),
            "NaN" => Ok(Float(f64::NAN)),
            other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
        }
    }
}

/// An argument or a result of a node, or an input or output of a graph.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "each variant is the kind of the schema with the same name: `as_` and the variant"
)]
pub enum Argument {
    None,
    Tensor(Named),
    Tensors(Vec<Named>),
    Int(i64),
    Ints(Vec<i64>),
    Float(f64),
    Floats(Vec<f64>),
    String(String),
    Strings(Vec<String>),
    SymInt(SymIntArg),
    SymInts(Vec<SymIntArg>),
    ScalarType(ScalarType),
    /// 1 contiguous, 2 channels last, 3 channels last (3-D), 4 preserve.
    MemoryFormat(u32),
    /// 7 strided.
    Layout(u32),
    Device(Device),
    Bool(bool),
    Bools(Vec<bool>),
    SymBool(SymBoolArg),
    SymBools(Vec<SymBoolArg>),
    /// A submodule of a higher-order operator: its name and its graph.
    Graph(String, Box<Graph>),
    OptionalTensors(Vec<OptionalTensor>),
    CustomObj(CustomObj),
    Operator(String),
    SymFloat(SymFloatArg),
    SymFloats(Vec<SymFloatArg>),
    OptionalTensor(OptionalTensor),
    Complex(ComplexValue),
    NestedTensors(Vec<Vec<Named>>),
    IntLists(Vec<Vec<i64>>),
    StringToArgument(Table<Argument>),
    /// A kind that is not known.
    Unknown(String),
    /// No kind, or several.
    Malformed(Vec<String>),
}

impl<'de> Deserialize<'de> for Argument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ArgumentVisitor)
    }
}

#[derive(serde::Deserialize)]
struct GraphPayload {
    name: String,
    graph: Graph,
}

struct ArgumentVisitor;

impl<'de> Visitor<'de> for ArgumentVisitor {
    type Value = Argument;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one key that names the kind of the argument, as {\"as_int\": 1}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Argument, A::Error> {
        let Some(kind) = map.next_key::<String>()? else { return Ok(Argument::Malformed(Vec::new())) };
        let value = payload(&kind, &mut map)?;
        let mut kinds = vec![kind];
        while let Some((more, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
            kinds.push(more);
        }
        Ok(if kinds.len() == 1 { value } else { Argument::Malformed(kinds) })
    }
}

fn payload<'de, A: MapAccess<'de>>(kind: &str, map: &mut A) -> Result<Argument, A::Error> {
    Ok(match kind {
        "as_none" => {
            map.next_value::<IgnoredAny>()?;
            Argument::None
        }
        "as_tensor" => Argument::Tensor(map.next_value()?),
        "as_tensors" => Argument::Tensors(map.next_value()?),
        "as_int" => Argument::Int(map.next_value()?),
        "as_ints" => Argument::Ints(map.next_value()?),
        "as_float" => Argument::Float(map.next_value::<Float>()?.0),
        "as_floats" => Argument::Floats(map.next_value::<Vec<Float>>()?.iter().map(|f| f.0).collect()),
        "as_string" => Argument::String(map.next_value()?),
        "as_strings" => Argument::Strings(map.next_value()?),
        "as_sym_int" => Argument::SymInt(map.next_value()?),
        "as_sym_ints" => Argument::SymInts(map.next_value()?),
        "as_scalar_type" => Argument::ScalarType(map.next_value()?),
        "as_memory_format" => Argument::MemoryFormat(map.next_value()?),
        "as_layout" => Argument::Layout(map.next_value()?),
        "as_device" => Argument::Device(map.next_value()?),
        "as_bool" => Argument::Bool(map.next_value()?),
        "as_bools" => Argument::Bools(map.next_value()?),
        "as_sym_bool" => Argument::SymBool(map.next_value()?),
        "as_sym_bools" => Argument::SymBools(map.next_value()?),
        "as_graph" => {
            let GraphPayload { name, graph } = map.next_value()?;
            Argument::Graph(name, Box::new(graph))
        }
        "as_optional_tensors" => Argument::OptionalTensors(map.next_value()?),
        "as_custom_obj" => Argument::CustomObj(map.next_value()?),
        "as_operator" => Argument::Operator(map.next_value()?),
        "as_sym_float" => Argument::SymFloat(map.next_value()?),
        "as_sym_floats" => Argument::SymFloats(map.next_value()?),
        "as_optional_tensor" => Argument::OptionalTensor(map.next_value()?),
        "as_complex" => Argument::Complex(map.next_value()?),
        "as_nested_tensors" => Argument::NestedTensors(map.next_value()?),
        "as_int_lists" => Argument::IntLists(map.next_value()?),
        "as_string_to_argument" => Argument::StringToArgument(map.next_value()?),
        other => {
            map.next_value::<IgnoredAny>()?;
            Argument::Unknown(other.to_owned())
        }
    })
}

impl Argument {
    /// Names of the values that the argument refers to or, among results, makes.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.visit_names(&mut |name| names.push(name));
        names
    }

    /// Calls `visit` for each value name, those of captured graphs excepted.
    fn visit_names<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        match self {
            Self::Tensor(t) | Self::OptionalTensor(OptionalTensor::Tensor(t)) => visit(&t.name),
            Self::Tensors(list) => list.iter().for_each(|t| visit(&t.name)),
            Self::NestedTensors(lists) => lists.iter().flatten().for_each(|t| visit(&t.name)),
            Self::OptionalTensors(list) => {
                for item in list {
                    if let OptionalTensor::Tensor(t) = item {
                        visit(&t.name);
                    }
                }
            }
            Self::SymInt(SymIntArg::Name(name))
            | Self::SymFloat(SymFloatArg::Name(name))
            | Self::SymBool(SymBoolArg::Name(name)) => visit(name),
            Self::SymInts(list) => {
                for item in list {
                    if let SymIntArg::Name(name) = item {
                        visit(name);
                    }
                }
            }
            Self::SymFloats(list) => {
                for item in list {
                    if let SymFloatArg::Name(name) = item {
                        visit(name);
                    }
                }
            }
            Self::SymBools(list) => {
                for item in list {
                    if let SymBoolArg::Name(name) = item {
                        visit(name);
                    }
                }
            }
            Self::CustomObj(object) => visit(&object.name),
            Self::StringToArgument(map) => {
                map.items.values().for_each(|argument| argument.visit_names(visit));
            }
            _ => {}
        }
    }
}
