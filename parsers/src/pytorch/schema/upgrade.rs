//! Exported programs of schema versions 1 to 7, brought into the form of version 8.
//!
//! What changed, by the versions of `torch/_export/serde/schema.py` in PyTorch 2.1 to 2.7: unions were written with every kind and nulls
//! for the others (up to 2); the signature was tables instead of specs, types of tensors had one more level and symbolic booleans were
//! bare texts (1); storage offsets were plain numbers (up to 2); optional tensors were bare names (up to 5); buffers were not said to be
//! persistent (up to 3); expressions were written as formulas (up to 7).

use serde_json::{Map, Value, json};

use super::formula;

/// Kinds of the unions that have no `as_` in their names.
const SPECS: &[&str] = &[
    "user_input",
    "parameter",
    "buffer",
    "tensor_constant",
    "custom_obj",
    "token",
    "constant_input",
    "user_output",
    "loss_output",
    "buffer_mutation",
    "gradient_to_parameter",
    "gradient_to_user_input",
    "user_input_mutation",
];

/// Brings a program of an older version up to version 8 and says so in its `schema_version`; leaves any other as it is.
pub(super) fn upgrade(program: &mut Value) {
    let version = &program["schema_version"];
    let major = version.as_u64().or_else(|| version["major"].as_u64());
    let Some(major @ 1..=7) = major else { return };
    walk(program);
    if major == 1 {
        first_version(program);
    }
    program["schema_version"] = json!({"major": super::SCHEMA_MAJOR, "minor": 0});
}

/// Rewrites every object below `value`. The JSON reader bounds the depth.
fn walk(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(walk),
        Value::Object(map) => {
            union(map);
            meta(map);
            expression(map);
            map.values_mut().for_each(walk);
        }
        _ => {}
    }
}

/// A union keeps the one kind that is not null.
fn union(map: &mut Map<String, Value>) {
    let kinds = |key: &String| key.starts_with("as_") || SPECS.contains(&key.as_str());
    if map.is_empty() || !map.keys().all(kinds) {
        return;
    }
    map.retain(|_, value| !value.is_null());
    if map.is_empty() {
        return;
    }
    if let Some(none) = map.get_mut("as_none") {
        *none = Value::Bool(true);
    }
    if let Some(tensor @ Value::String(_)) = map.get_mut("as_tensor") {
        *tensor = json!({"name": tensor});
    }
    if let Some(expr @ Value::String(_)) = map.get_mut("as_expr") {
        *expr = json!({"expr_str": expr});
    }
    if let Some(Value::Object(buffer)) = map.get_mut("buffer") {
        buffer.entry("persistent").or_insert(Value::Bool(true));
    }
}

/// Types of tensors: the offset becomes a union.
fn meta(map: &mut Map<String, Value>) {
    if let Some(offset @ Value::Number(_)) = map.get_mut("storage_offset") {
        *offset = json!({"as_int": offset});
    }
}

/// A formula becomes nested calls; one that is not understood stays, and is reported where it is used.
fn expression(map: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = map.get_mut("expr_str")
        && let Some(calls) = formula::to_calls(text)
    {
        *text = calls;
    }
    if let Some(hint @ Value::Number(_)) = map.get_mut("hint") {
        *hint = json!({"as_int": hint});
    }
    // Hints are not needed, and one without a value is written as a union of nulls.
    if matches!(map.get("hint"), Some(Value::Object(hint)) if hint.values().all(Value::is_null)) {
        map.remove("hint");
    }
}

/// What only version 1 has: tables for a signature, and types one level deeper.
fn first_version(program: &mut Value) {
    let module = &mut program["graph_module"];
    if let Some(types) = module["graph"]["tensor_values"].as_object_mut() {
        for value in types.values_mut() {
            if let Some(meta) = value.get_mut("meta") {
                *value = meta.take();
            }
        }
    }
    let constants = module["graph"]["constants"].take();
    let old = module["signature"].take();
    let name_of = |argument: &Value| argument["as_tensor"]["name"].as_str().map(str::to_owned);
    let listed = |argument: &Value, table: &str| {
        Some((name_of(argument)?, old[table].get(name_of(argument)?)?.as_str()?.to_owned()))
    };
    let input = |argument: &Value| {
        if let Some((name, parameter)) = listed(argument, "inputs_to_parameters") {
            json!({"parameter": {"arg": {"name": name}, "parameter_name": parameter}})
        } else if let Some((name, buffer)) = listed(argument, "inputs_to_buffers") {
            json!({"buffer": {"arg": {"name": name}, "buffer_name": buffer, "persistent": true}})
        } else {
            json!({"user_input": {"arg": argument}})
        }
    };
    let output = |argument: &Value| match listed(argument, "buffers_to_mutate") {
        Some((name, buffer)) => json!({"buffer_mutation": {"arg": {"name": name}, "buffer_name": buffer}}),
        None => json!({"user_output": {"arg": argument}}),
    };
    let specs = |list: &Value, spec: &dyn Fn(&Value) -> Value| -> Value {
        list.as_array().into_iter().flatten().map(spec).collect()
    };
    let signature = json!({
        "input_specs": specs(&module["graph"]["inputs"], &input),
        "output_specs": specs(&module["graph"]["outputs"], &output),
    });
    module["signature"] = signature;
    if constants.is_object() {
        program["inline_constants"] = constants;
    }
}
