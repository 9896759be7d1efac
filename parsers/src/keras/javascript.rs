//! Layers that TensorFlow.js computes in another way than Keras. What a file of TensorFlow.js means there depends on who runs it, so they are refused.
use crate::tensorflow::bad;
use hoist_ir::diag::{Diag, Diags};
use serde_json::{Map, Value as Json};

/// How deep a configuration may nest; the reader of JSON allows no more.
const MOST_DEPTH: usize = 128;

/// Looks for such layers in a configuration. `old`: whether it is of Keras before 3, whose functions TensorFlow.js has.
///
/// # Errors
/// One for each.
pub(super) fn check(config: &Json, old: bool) -> Result<(), Diags> {
    let mut diags = Diags::default();
    walk(config, old, 0, &mut diags);
    diags.into_result()
}

fn walk(json: &Json, old: bool, depth: usize, diags: &mut Diags) {
    if depth > MOST_DEPTH {
        return diags.push(bad(format!("a configuration that is more than {MOST_DEPTH} deep")));
    }
    match json {
        Json::Array(all) => all.iter().for_each(|j| walk(j, old, depth + 1, diags)),
        Json::Object(map) => {
            let class = map.get("class_name").and_then(Json::as_str);
            if let (Some(class), Some(Json::Object(config))) = (class, map.get("config"))
                && let Some(what) = differs(class, config, old)
            {
                let d =
                    Diag::error("E0301", format!("TensorFlow.js computes {what} in another way than Keras"));
                let name = config.get("name").and_then(Json::as_str).unwrap_or(class);
                diags.push(
                    d.node(name.to_owned())
                        .op(class.to_owned())
                        .hint("convert the Keras model that this one was made of"),
                );
            }
            map.values().for_each(|j| walk(j, old, depth + 1, diags));
        }
        _ => {}
    }
}

fn differs(class: &str, config: &Map<String, Json>, old: bool) -> Option<&'static str> {
    let is = |key: &str, value: &str| config.get(key).and_then(Json::as_str) == Some(value);
    match class {
        // Corners of the pictures lie on each other there, and half a pixel apart here.
        "UpSampling2D" if is("interpolation", "bilinear") => Some("bilinear interpolation"),
        "Resizing" => Some("the sizes of pictures"),
        // Slope 0.2 there, 1/6 in Keras 3.
        _ if !old && (is("activation", "hard_sigmoid") || is("recurrent_activation", "hard_sigmoid")) => {
            Some("the activation hard_sigmoid of Keras 3")
        }
        _ => None,
    }
}
