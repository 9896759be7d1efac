//! Members of JSON objects, with what is wrong about them.
use crate::tensorflow::bad;
use hoist_ir::diag::Diag;
use serde_json::Value as Json;

/// The value of the first of `names` that `object` has; null is none.
pub fn member<'j>(object: &'j Json, names: &[&str]) -> Option<&'j Json> {
    names.iter().find_map(|n| object.get(*n)).filter(|j| !j.is_null())
}

fn missing(name: &str, what: &str) -> Diag {
    bad(format!("`{name}` is no {what}"))
}

/// A text.
///
/// # Errors
/// When there is none.
pub fn text<'j>(object: &'j Json, name: &str) -> Result<&'j str, Diag> {
    object.get(name).and_then(Json::as_str).ok_or_else(|| missing(name, "text"))
}

/// A list.
///
/// # Errors
/// When there is none.
pub fn list<'j>(object: &'j Json, name: &str) -> Result<&'j [Json], Diag> {
    object.get(name).and_then(Json::as_array).map(Vec::as_slice).ok_or_else(|| missing(name, "list"))
}

/// A number.
///
/// # Errors
/// When there is none.
pub fn number(object: &Json, name: &str) -> Result<f64, Diag> {
    object.get(name).and_then(Json::as_f64).ok_or_else(|| missing(name, "number"))
}

/// A size.
///
/// # Errors
/// When it is no integer of at least 0.
pub fn size(json: &Json) -> Result<usize, Diag> {
    let n = json.as_u64().and_then(|n| usize::try_from(n).ok());
    n.ok_or_else(|| bad(format!("{json} is no size")))
}
