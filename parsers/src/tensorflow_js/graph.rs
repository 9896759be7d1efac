//! Graphs of TensorFlow in protobuf's JSON form (<https://protobuf.dev/programming-guides/json/>), to the messages that their binary form gives.
//!
//! TensorFlow.js keeps the values of constants beside the graph; they are put back into their nodes.
use super::json::{member, text};
use super::manifest::Weights;
use crate::tensorflow::bad;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::Bytes;
use hoist_formats::tensorflow::dtype::{code_of, of_code};
use hoist_formats::tensorflow::generated::attr_value::{ListValue, Value};
use hoist_formats::tensorflow::generated::{
    AttrValue, FunctionDef, FunctionDefLibrary, GraphDef, NameAttrList, NodeDef, OpDef, SignatureDef,
    TensorInfo, TensorProto, TensorShapeProto, op_def, tensor_shape_proto,
};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;

type R<T> = Result<T, Diag>;

/// The graph in `json`, with its constants from `weights`.
///
/// # Errors
/// When it is none, and for each constant that has no value of its type and shape.
pub fn graph(json: &Json, weights: &Weights) -> Result<GraphDef, Diags> {
    let mut out = GraphDef { node: nodes(member(json, &["node"]))?, ..GraphDef::default() };
    if let Some(library) = member(json, &["library"]) {
        let function = each(member(library, &["function"]), function)?;
        out.library = Some(FunctionDefLibrary { function });
    }
    let mut diags = Diags::default();
    let inner = out.library.iter_mut().flat_map(|l| &mut l.function).flat_map(|f| &mut f.node_def);
    for node in out.node.iter_mut().chain(inner).filter(|n| n.op == "Const") {
        if let Err(d) = fill(node, weights) {
            diags.push(d.node(node.name.clone()).op("Const"));
        }
    }
    diags.into_result()?;
    Ok(out)
}

/// The signature in `json`.
///
/// # Errors
/// When it is none.
pub fn signature(json: &Json) -> R<SignatureDef> {
    let side = |name: &str| -> R<BTreeMap<String, TensorInfo>> {
        let map = members(member(json, &[name]), name)?;
        map.map(|(key, json)| Ok((key.clone(), info(json)?))).collect()
    };
    Ok(SignatureDef { inputs: side("inputs")?, outputs: side("outputs")?, ..SignatureDef::default() })
}

fn info(json: &Json) -> R<TensorInfo> {
    Ok(TensorInfo {
        name: optional(json, &["name"])?,
        dtype: member(json, &["dtype"]).map_or(Ok(0), code)?,
        tensor_shape: member(json, &["tensorShape", "tensor_shape"]).map(shape).transpose()?,
        coo_sparse: None,
    })
}

/// All elements of a list, which may be left out when it is empty.
fn each<T>(list: Option<&Json>, read: impl Fn(&Json) -> R<T>) -> R<Vec<T>> {
    match list {
        None => Ok(vec![]),
        Some(Json::Array(all)) => all.iter().map(read).collect(),
        Some(_) => Err(bad("something else in the place of a list")),
    }
}

fn members<'j>(json: Option<&'j Json>, name: &str) -> R<impl Iterator<Item = (&'j String, &'j Json)>> {
    match json {
        None => Ok(None.into_iter().flatten()),
        Some(Json::Object(map)) => Ok(Some(map).into_iter().flatten()),
        Some(_) => Err(bad(format!("`{name}` is no object"))),
    }
}

fn optional(json: &Json, names: &[&str]) -> R<String> {
    match member(json, names) {
        None => Ok(String::new()),
        Some(Json::String(s)) => Ok(s.clone()),
        Some(_) => Err(bad(format!("`{}` is no text", names[0]))),
    }
}

fn nodes(json: Option<&Json>) -> R<Vec<NodeDef>> {
    each(json, |json| {
        let name = text(json, "name")?.to_owned();
        node(json, &name).map_err(|d| d.node(name))
    })
}

fn node(json: &Json, name: &str) -> R<NodeDef> {
    Ok(NodeDef {
        name: name.to_owned(),
        op: text(json, "op")?.to_owned(),
        input: each(member(json, &["input"]), string)?,
        attr: attrs(member(json, &["attr"]))?,
        ..NodeDef::default()
    })
}

fn string(json: &Json) -> R<String> {
    json.as_str().map(str::to_owned).ok_or_else(|| bad(format!("{json} is no text")))
}

fn attrs(json: Option<&Json>) -> R<BTreeMap<String, AttrValue>> {
    let of = |(key, json): (&String, &Json)| {
        let value =
            attr(json).map_err(|d| Diag { message: format!("attribute `{key}`: {}", d.message), ..d })?;
        Ok((key.clone(), AttrValue { value }))
    };
    members(json, "attr")?.map(of).collect()
}

/// The value of an attribute: an object with one member, which says its kind.
fn attr(json: &Json) -> R<Option<Value>> {
    let map = json.as_object().ok_or_else(|| bad("no object"))?;
    let Some((kind, json)) = map.iter().find(|(_, j)| !j.is_null()) else { return Ok(None) };
    Ok(Some(match kind.as_str() {
        "s" => Value::S(blob(json)?),
        "i" => Value::I(integer(json)?),
        "f" => Value::F(float(json)? as f32),
        "b" => Value::B(truth(json)?),
        "type" => Value::Type(code(json)?),
        "shape" => Value::Shape(Box::new(shape(json)?)),
        "tensor" => Value::Tensor(Box::new(tensor(json)?)),
        "list" => Value::List(Box::new(values(json)?)),
        "func" => Value::Func(Box::new(call(json)?)),
        "placeholder" => Value::Placeholder(string(json)?),
        other => return Err(bad(format!("a value of kind `{other}`"))),
    }))
}

fn values(json: &Json) -> R<ListValue> {
    let of = |name: &str| member(json, &[name]);
    Ok(ListValue {
        s: each(of("s"), blob)?,
        i: each(of("i"), integer)?,
        f: each(of("f"), |j| float(j).map(|f| f as f32))?,
        b: each(of("b"), truth)?,
        r#type: each(of("type"), code)?,
        shape: each(of("shape"), shape)?,
        tensor: each(of("tensor"), tensor)?,
        func: each(of("func"), call)?,
    })
}

fn call(json: &Json) -> R<NameAttrList> {
    Ok(NameAttrList { name: optional(json, &["name"])?, attr: attrs(member(json, &["attr"]))? })
}

/// Bytes: base64 in either alphabet, or a list of numbers, which TensorFlow.js takes too.
fn blob(json: &Json) -> R<Bytes> {
    let wrong = || bad("bytes that are not base64");
    match json {
        Json::String(s) => {
            STANDARD.decode(s).or_else(|_| URL_SAFE.decode(s)).map(Bytes::from).map_err(|_| wrong())
        }
        Json::Array(list) => {
            let byte = |j: &Json| j.as_u64().and_then(|n| u8::try_from(n).ok()).ok_or_else(wrong);
            list.iter().map(byte).collect()
        }
        _ => Err(wrong()),
    }
}

/// An integer, which JSON writes as a text when it has 64 bits.
fn integer(json: &Json) -> R<i64> {
    let found = match json {
        Json::String(s) => s.parse().ok(),
        other => other.as_i64(),
    };
    found.ok_or_else(|| bad(format!("{json} is no integer")))
}

/// A number; JSON writes as texts what it has no numbers for.
fn float(json: &Json) -> R<f64> {
    let found = match json {
        Json::String(s) => match s.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            other => other.parse().ok(),
        },
        other => other.as_f64(),
    };
    found.ok_or_else(|| bad(format!("{json} is no number")))
}

fn truth(json: &Json) -> R<bool> {
    json.as_bool().ok_or_else(|| bad(format!("{json} is neither true nor false")))
}

/// The number of an element type, which is named or numbered.
fn code(json: &Json) -> R<i32> {
    let found = match json {
        Json::String(name) => code_of(name),
        other => other.as_i64().and_then(|n| i32::try_from(n).ok()),
    };
    found.ok_or_else(|| bad(format!("{json} is no element type")))
}

fn shape(json: &Json) -> R<TensorShapeProto> {
    let dim = |json: &Json| {
        let size = member(json, &["size"]).map_or(Ok(0), integer)?;
        Ok(tensor_shape_proto::Dim { size, ..tensor_shape_proto::Dim::default() })
    };
    let unknown_rank = member(json, &["unknownRank", "unknown_rank"]).map_or(Ok(false), truth)?;
    Ok(TensorShapeProto { dim: each(member(json, &["dim"]), dim)?, unknown_rank })
}

/// Type and shape of a constant, without its elements.
fn tensor(json: &Json) -> R<TensorProto> {
    Ok(TensorProto {
        dtype: member(json, &["dtype"]).map_or(Ok(0), code)?,
        tensor_shape: member(json, &["tensorShape", "tensor_shape"]).map(shape).transpose()?,
        ..TensorProto::default()
    })
}

fn function(json: &Json) -> R<FunctionDef> {
    let empty = Json::Object(Map::new());
    let stated = member(json, &["signature"]).unwrap_or(&empty);
    let name = text(stated, "name")?.to_owned();
    let about = |d: Diag| Diag { message: format!("function `{name}`: {}", d.message), ..d };
    let texts = |names: &[&str]| -> R<BTreeMap<String, String>> {
        members(member(json, names), names[0])?.map(|(k, j)| Ok((k.clone(), string(j)?))).collect()
    };
    let read = || {
        let signature = OpDef {
            name: name.clone(),
            input_arg: each(member(stated, &["inputArg", "input_arg"]), argument)?,
            output_arg: each(member(stated, &["outputArg", "output_arg"]), argument)?,
            control_output: each(member(stated, &["controlOutput", "control_output"]), string)?,
        };
        Ok(FunctionDef {
            signature: Some(signature),
            node_def: nodes(member(json, &["nodeDef", "node_def"]))?,
            ret: texts(&["ret"])?,
            attr: attrs(member(json, &["attr"]))?,
            control_ret: texts(&["controlRet", "control_ret"])?,
        })
    };
    read().map_err(about)
}

fn argument(json: &Json) -> R<op_def::ArgDef> {
    Ok(op_def::ArgDef {
        name: text(json, "name")?.to_owned(),
        r#type: member(json, &["type"]).map_or(Ok(0), code)?,
        type_attr: optional(json, &["typeAttr", "type_attr"])?,
        number_attr: optional(json, &["numberAttr", "number_attr"])?,
        type_list_attr: optional(json, &["typeListAttr", "type_list_attr"])?,
        is_ref: false,
    })
}

/// Puts the value of a constant into its node.
fn fill(node: &mut NodeDef, weights: &Weights) -> R<()> {
    let Some(Value::Tensor(proto)) = node.attr.get_mut("value").and_then(|a| a.value.as_mut()) else {
        return Err(bad("a constant without `value`"));
    };
    let found = weights.get(&node.name).ok_or_else(|| {
        bad("the weights have no value of this constant")
            .hint("the manifest and the graph are of different models")
    })?;
    let dtype =
        of_code(proto.dtype).ok_or_else(|| bad(format!("a constant of type number {}", proto.dtype)))?;
    let value = widened(found, dtype)?;
    let stated = proto.tensor_shape.as_ref().map(crate::tensorflow::shape).transpose()?.flatten();
    let sizes = value.shape().iter().map(|n| *n as u64);
    if stated.is_some_and(|s| !s.iter().map(hoist_ir::dim::Dim::known).eq(sizes.map(Some))) {
        return Err(bad(format!(
            "the weights have {} for this constant, which is of another shape",
            found.ty()
        )));
    }
    let dim = |n: &usize| tensor_shape_proto::Dim { size: *n as i64, ..tensor_shape_proto::Dim::default() };
    let dim = value.shape().iter().map(dim).collect();
    proto.tensor_shape = Some(TensorShapeProto { dim, unknown_rank: false });
    if let Ok(all) = value.strings() {
        proto.string_val = all.iter().map(|s| Bytes::copy_from_slice(s.as_bytes())).collect();
    } else {
        proto.tensor_content = value.to_shared_bytes().map_err(|e| bad(e.to_string()))?;
    }
    Ok(())
}

/// `t` in the type of its node: the converter stores what JavaScript has no arrays for in the nearest type that it has.
fn widened(t: &Tensor, dtype: DType) -> R<Tensor> {
    match (t.dtype(), dtype) {
        (a, b) if a == b => Ok(t.clone()),
        (DType::F32, DType::F64 | DType::F16 | DType::BF16)
        | (DType::I32, DType::I64 | DType::I16 | DType::I8 | DType::U8 | DType::U16 | DType::U32)
        | (DType::C64, DType::C128) => t.cast(dtype, false).map_err(|e| bad(e.to_string())),
        (a, b) => Err(bad(format!("the weights have {a} for this constant of {b}"))),
    }
}
