//! The JSON of exported programs: `models/*.json` and the weight configurations of a `.pt2` archive.
//!
//! Field names and codes are those of `torch/_export/serde/schema.py`, major version 8; older ones are brought into that form. Fields that nothing here
//! needs are skipped. Tagged unions keep kinds that are not known, so that all of them are reported together by
//! [`ExportedProgram::validate`] and not one at a time by the JSON reader.

mod argument;
mod formula;
mod union;
mod upgrade;
mod validate;

use std::fmt;

use indexmap::IndexMap;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

pub use argument::{
    Argument, ComplexValue, ConstantValue, CustomObj, Float, Named, OptionalTensor, SymBoolArg, SymFloatArg,
    SymIntArg,
};
pub use validate::Problem;

use super::tensor::TorchDtype;

/// Major schema version that is read.
pub const SCHEMA_MAJOR: u32 = 8;

/// A whole exported program.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct ExportedProgram {
    /// The graph and its signature.
    pub graph_module: GraphModule,
    /// Version of each operator namespace.
    #[serde(default)]
    pub opset_version: Table<i64>,
    /// Bounds of each symbol.
    #[serde(default)]
    pub range_constraints: Table<RangeConstraint>,
    /// Version of the schema.
    pub schema_version: SchemaVersion,
    /// Constants that version 1 writes into the program: files of `torch.save` as base64.
    #[serde(default)]
    pub inline_constants: Table<String>,
    /// Dialects of the graph, as `TRAINING`.
    #[serde(default)]
    pub verifiers: Vec<String>,
    /// Version of the PyTorch that wrote the file.
    #[serde(default)]
    pub torch_version: String,
}

/// Version of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub struct SchemaVersion {
    /// Raised by incompatible changes.
    pub major: u32,
    /// Raised by compatible changes.
    pub minor: u32,
}

/// The version alone, in any of the forms it has had.
#[derive(serde::Deserialize)]
struct VersionOnly {
    #[serde(default)]
    schema_version: Option<AnyVersion>,
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum AnyVersion {
    Plain(u64),
    Parts { major: u64 },
}

impl AnyVersion {
    fn major(&self) -> u64 {
        match self {
            Self::Plain(major) | Self::Parts { major } => *major,
        }
    }
}

/// Inclusive bounds of a symbol; `None` is unbounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub struct RangeConstraint {
    /// Smallest value.
    #[serde(default)]
    pub min_val: Option<i64>,
    /// Largest value.
    #[serde(default)]
    pub max_val: Option<i64>,
}

/// A graph with the meaning of its inputs and outputs.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct GraphModule {
    /// The graph.
    pub graph: Graph,
    /// Meaning of the graph's inputs and outputs, in their order.
    pub signature: GraphSignature,
    /// Calling convention of the model (`fqn` empty) and of its submodules.
    #[serde(default)]
    pub module_call_graph: Vec<ModuleCallEntry>,
}

/// Nodes in execution order, and the type of every value.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct Graph {
    /// Inputs.
    pub inputs: Vec<Argument>,
    /// Outputs.
    pub outputs: Vec<Argument>,
    /// Nodes, each after those it uses.
    pub nodes: Vec<Node>,
    /// Types of the tensors.
    pub tensor_values: Table<TensorMeta>,
    /// Expressions of the symbolic integers.
    #[serde(default)]
    pub sym_int_values: Table<SymInt>,
    /// Expressions of the symbolic floats.
    #[serde(default)]
    pub sym_float_values: Table<SymFloat>,
    /// Expressions of the symbolic booleans.
    #[serde(default)]
    pub sym_bool_values: Table<SymBool>,
    /// Classes of script objects.
    #[serde(default)]
    pub custom_obj_values: Table<CustomObj>,
    /// Whether a submodule graph gives its one tensor bare, not in a list.
    #[serde(default)]
    pub is_single_tensor_return: bool,
}

/// One operator call.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct Node {
    /// What is called, as `torch.ops.aten.conv2d.default`.
    pub target: String,
    /// Arguments that are written; the others have their defaults.
    pub inputs: Vec<NamedArgument>,
    /// Results.
    pub outputs: Vec<Argument>,
    /// `stack_trace`, `nn_module_stack`, `torch_fn`.
    #[serde(default)]
    pub metadata: Table<String>,
    /// Whether a higher-order operator gives its one tensor bare.
    #[serde(default)]
    pub is_hop_single_tensor_return: Option<bool>,
    /// Name of the node.
    #[serde(default)]
    pub name: Option<String>,
}

/// An argument under its name in the operator's schema.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct NamedArgument {
    /// Name in the operator's schema.
    pub name: String,
    /// Its value.
    pub arg: Argument,
    /// 1 positional, 2 keyword.
    #[serde(default)]
    pub kind: Option<u32>,
}

/// Type of a tensor.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct TensorMeta {
    /// Element type.
    pub dtype: ScalarType,
    /// Extents.
    pub sizes: Vec<SymInt>,
    /// Whether gradients flow to it.
    #[serde(default)]
    pub requires_grad: bool,
    /// Where it lives.
    pub device: Device,
    /// Elements between neighbours of each dimension.
    pub strides: Vec<SymInt>,
    /// First element in its storage.
    pub storage_offset: SymInt,
    /// Code of `torch.layout`; 7 is strided (dense).
    pub layout: u32,
}

/// Code of an element type. Kept as a number, so that unknown codes can be reported with their tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct ScalarType(pub u32);

impl ScalarType {
    /// The element type; `None` when the code is not known.
    pub fn dtype(self) -> Option<TorchDtype> {
        TorchDtype::from_code(self.0)
    }
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Device {
    /// Its type, as `cpu`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its number.
    #[serde(default)]
    pub index: Option<i64>,
}

/// A symbolic expression.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
pub struct SymExpr {
    /// The expression in `SymPy`'s `srepr` form, as `Add(Symbol('s0', integer=True), Integer(1))`.
    pub expr_str: String,
    /// Value at export.
    #[serde(default)]
    pub hint: Option<SymHint>,
}

pub use union::{InputSpec, OutputSpec, SymBool, SymFloat, SymHint, SymInt};

/// Meaning of the inputs and outputs of the graph, in their order.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct GraphSignature {
    /// One for each input.
    pub input_specs: Vec<InputSpec>,
    /// One for each output.
    pub output_specs: Vec<OutputSpec>,
}

/// Calling convention of one module.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct ModuleCallEntry {
    /// Path of the module; empty for the model.
    pub fqn: String,
    /// How it is called.
    #[serde(default)]
    pub signature: Option<ModuleCallSignature>,
}

/// How a module is called. The specs are texts of `torch.utils._pytree.treespec_dumps`.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct ModuleCallSignature {
    /// Tree of (args, kwargs).
    pub in_spec: String,
    /// Tree of the result.
    pub out_spec: String,
    /// Names of the parameters of `forward`.
    #[serde(default)]
    pub forward_arg_names: Option<Vec<String>>,
}

/// What `*_weights_config.json` and `*_constants_config.json` hold.
#[derive(Debug, Clone, Default, serde::Deserialize)]
pub struct PayloadConfig {
    /// Payload of each name.
    pub config: Table<PayloadMeta>,
}

/// Where one weight or constant is.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct PayloadMeta {
    /// Name of the entry, below `data/weights/` or `data/constants/`.
    pub path_name: String,
    /// Whether it is a parameter.
    #[serde(default)]
    pub is_param: bool,
    /// Whether the entry is a pickle, not raw bytes.
    #[serde(default)]
    pub use_pickle: bool,
    /// Its type; script objects have none.
    #[serde(default)]
    pub tensor_meta: Option<TensorMeta>,
}

/// A JSON object as a table in the order of the file. Keys that occur again are kept apart: the first one counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Table<T> {
    /// Values by key.
    pub items: IndexMap<String, T>,
    /// Keys that occur more than once.
    pub repeated: Vec<String>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { items: IndexMap::new(), repeated: Vec::new() }
    }
}

impl<T> Table<T> {
    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&T> {
        self.items.get(key)
    }

    /// Keys and values in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.items.iter().map(|(key, value)| (key.as_str(), value))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Table<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(TableVisitor(std::marker::PhantomData))
    }
}

struct TableVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for TableVisitor<T> {
    type Value = Table<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut table = Table::default();
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value()?;
            if table.items.contains_key(&key) {
                table.repeated.push(key);
            } else {
                table.items.insert(key, value);
            }
        }
        Ok(table)
    }
}

impl ExportedProgram {
    /// Reads the JSON text of an exported program. One of an older schema version is brought up to [`SCHEMA_MAJOR`].
    ///
    /// # Errors
    /// The JSON reader's, with line and column: bad syntax, missing fields, wrong types, nesting beyond 128 levels.
    pub fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let version = serde_json::from_slice::<VersionOnly>(json)?.schema_version;
        if version.is_some_and(|v| v.major() < u64::from(SCHEMA_MAJOR)) {
            let mut program = serde_json::from_slice(json)?;
            upgrade::upgrade(&mut program);
            return serde_json::from_value(program);
        }
        serde_json::from_slice(json)
    }

    /// Calling convention of the model itself.
    pub fn root_call(&self) -> Option<&ModuleCallSignature> {
        let calls = &self.graph_module.module_call_graph;
        calls.iter().find(|entry| entry.fqn.is_empty()).and_then(|entry| entry.signature.as_ref())
    }
}

#[cfg(test)]
mod tests;
