//! Models of TensorFlow.js that are damaged or hostile are refused with what is wrong; nothing panics. What whole ones compute is in `tensorflow.rs`.
use hoist_ir::diag::Diags;
use hoist_ir::model::Model;
use hoist_parsers::source::Source;
use hoist_parsers::{tensorflow, tensorflow_js};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A copy of a model, whose description and files are then damaged.
struct Copy {
    folder: TempDir,
    json: Json,
}

impl Copy {
    fn of(name: &str) -> Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/tensorflow").join(name);
        let folder = tempfile::tempdir().expect("a folder");
        for file in fs::read_dir(from).expect("the model is there") {
            let path = file.expect("readable").path();
            fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("copied");
        }
        let text = fs::read(folder.path().join("model.json")).expect("a description");
        Self { folder, json: serde_json::from_slice(&text).expect("JSON") }
    }
    fn at(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }
    /// The value at `path` of the description, which must be there.
    fn part(&mut self, path: &str) -> &mut Json {
        self.json.pointer_mut(path).unwrap_or_else(|| panic!("{path}"))
    }
    fn read(&self) -> Result<Model, Diags> {
        fs::write(self.at("model.json"), self.json.to_string()).expect("written");
        read(&self.at("model.json"))
    }
    fn refused(&self) -> String {
        self.read().map_or_else(|d| d.to_string(), |_| "it is read".to_owned())
    }
}

fn read(path: &Path) -> Result<Model, Diags> {
    tensorflow_js::read(&Source::open(path).expect("opens"), &tensorflow::Options::default())
}

/// A change of a description, and what the refusal says.
type Case = (&'static str, &'static str, fn(&mut Copy), &'static str);

const FIRST: &str = "/weightsManifest/0/weights/0";

const CASES: &[Case] = &[
    ("no topology", "js_graph_fused", |c| *c.part("/modelTopology") = Json::Null, "describes no model"),
    ("no weights", "js_graph_fused", |c| *c.part("/weightsManifest") = Json::Null, "no `weightsManifest`"),
    ("a topology of nothing", "js_graph_fused", |c| *c.part("/modelTopology") = json!({}), "neither a graph"),
    (
        "nodes that are no list",
        "js_graph_fused",
        |c| *c.part("/modelTopology/node") = json!(7),
        "place of a list",
    ),
    (
        "a file that is missing",
        "js_graph_fused",
        |c| fs::remove_file(c.at("group1-shard2of5.bin")).expect("removed"),
        "group1-shard2of5.bin",
    ),
    (
        "a file that is cut",
        "js_layers_nested",
        |c| fs::write(c.at("weights.0.bin"), [0; 30]).expect("written"),
        "end behind weights.0.bin",
    ),
    (
        "a file that is too long",
        "js_layers_nested",
        |c| fs::write(c.at("weights.0.bin"), vec![0; 9999]).expect("written"),
        "weights.0.bin has 9999",
    ),
    (
        "a path that leaves the folder",
        "js_layers_nested",
        |c| *c.part("/weightsManifest/0/paths/0") = json!("../weights.0.bin"),
        "outside the model's folder",
    ),
    (
        "an address",
        "js_layers_nested",
        |c| *c.part("/weightsManifest/0/paths/0") = json!("https://host/w.bin"),
        "a URL",
    ),
    (
        "a file twice",
        "js_layers_nested",
        |c| {
            let group = c.part("/weightsManifest/0").clone();
            *c.part("/weightsManifest") = json!([group.clone(), group]);
        },
        "is listed twice",
    ),
    (
        "sizes that overflow",
        "js_layers_nested",
        |c| *c.part(FIRST) = json!({"name": "x", "dtype": "float32", "shape": [1u64 << 40, 1u64 << 40]}),
        "more elements than",
    ),
    (
        "a huge size",
        "js_layers_nested",
        |c| *c.part(FIRST) = json!({"name": "x", "dtype": "string", "shape": [1u64 << 40]}),
        "end behind",
    ),
    (
        "a negative size",
        "js_layers_nested",
        |c| *c.part(&format!("{FIRST}/shape")) = json!([-3, 4]),
        "-3 is no size",
    ),
    (
        "an element type that is unknown",
        "js_layers_nested",
        |c| *c.part(&format!("{FIRST}/dtype")) = json!("float31"),
        "`float31`",
    ),
    (
        "quantization without its scale",
        "js_graph_uint8",
        |c| drop(c.part(&format!("{FIRST}/quantization")).as_object_mut().and_then(|m| m.remove("scale"))),
        "`scale` is no number",
    ),
    (
        "quantization that does not exist",
        "js_graph_uint8",
        |c| *c.part(&format!("{FIRST}/quantization/dtype")) = json!("bool"),
        "stored as bool",
    ),
    (
        "a constant without a value",
        "js_graph_functions",
        |c| *c.part(&format!("{FIRST}/name")) = json!("another"),
        "no value of this constant",
    ),
    (
        "a constant of another shape",
        "js_graph_fused",
        |c| {
            let all = c.part("/weightsManifest/0/weights").as_array_mut().expect("weights");
            let shapes = all.iter_mut().map(|w| &mut w["shape"]);
            let shape = shapes.max_by_key(|s| s.as_array().map(Vec::len)).expect("a weight");
            let flat: u64 = shape.as_array().expect("sizes").iter().filter_map(Json::as_u64).product();
            *shape = json!([flat]);
        },
        "of another shape",
    ),
    (
        "an attribute that is no base64",
        "js_graph_fused",
        |c| {
            let nodes = c.part("/modelTopology/node").as_array_mut().expect("nodes");
            let padding =
                nodes.iter_mut().find_map(|n| n.pointer_mut("/attr/padding/s")).expect("a convolution");
            *padding = json!("§");
        },
        "attribute `padding`: bytes that are not base64",
    ),
    (
        "an output that is no node",
        "js_graph_fused",
        |c| *c.part("/signature/outputs/scores/name") = json!("nowhere:0"),
        "which the graph does not have",
    ),
    (
        "a table that nothing fills",
        "js_graph_table",
        |c| *c.part("/initializerSignature/outputs") = json!({}),
        "nothing makes resource",
    ),
    (
        "a weight of no layer",
        "js_layers_nested",
        |c| *c.part(&format!("{FIRST}/name")) = json!("elsewhere/kernel"),
        "belongs to no layer",
    ),
    (
        "weights of a layer in another order",
        "js_layers_sequence",
        |c| {
            let all = c.part("/weightsManifest/0/weights").as_array_mut().expect("weights");
            let found =
                |end: &str| all.iter().position(|w| w["name"].as_str().is_some_and(|n| n.ends_with(end)));
            let (a, b) = (found("forward_lstm_LSTM1/kernel"), found("forward_lstm_LSTM1/bias"));
            all.swap(a.expect("a kernel"), b.expect("a bias"));
        },
        "the manifest lists bias, recurrent_kernel, kernel",
    ),
    (
        "a layer that is computed otherwise there",
        "js_layers_image",
        |c| {
            let layers = c.part("/modelTopology/config/layers").as_array_mut().expect("layers");
            let up = layers.iter_mut().find(|l| l["class_name"] == "UpSampling2D").expect("a layer");
            up["config"]["interpolation"] = json!("bilinear");
        },
        "bilinear interpolation in another way",
    ),
];

#[test]
fn what_is_wrong_is_said() {
    for (what, model, change, said) in CASES {
        let mut copy = Copy::of(model);
        assert!(copy.read().is_ok(), "{what}: the model is read as it was");
        change(&mut copy);
        let message = copy.refused();
        assert!(message.contains(said), "{what}: `{message}` instead of `{said}`");
    }
}

#[test]
fn damaged_descriptions_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.json");
    let deep = format!("{{\"modelTopology\":{}", "[".repeat(100_000));
    for text in ["{", "[]", "null", "{\"modelTopology\":3}", &deep, "{\"modelTopology\":{\"node\":[{}]}}"] {
        fs::write(&path, text).expect("written");
        assert!(read(&path).is_err(), "{}", text.get(..40).unwrap_or(text));
    }
}

#[test]
fn every_cut_of_a_description_is_refused() {
    let copy = Copy::of("js_graph_table");
    let text = fs::read(copy.at("model.json")).expect("a description");
    let whole = text.trim_ascii_end().len();
    for end in (0..whole).step_by(97) {
        fs::write(copy.at("model.json"), &text[..end]).expect("written");
        assert!(read(&copy.at("model.json")).is_err(), "{end} bytes of {whole}");
    }
}

/// Any byte of a description may be another one: the model is read or refused.
#[test]
fn any_change_of_a_byte_is_survived() {
    for model in ["js_graph_functions", "js_layers_sequence"] {
        let copy = Copy::of(model);
        let text = fs::read(copy.at("model.json")).expect("a description");
        for (i, at) in (0..text.len()).step_by(61).enumerate() {
            let mut changed = text.clone();
            changed[at] = b"0-\"{}[],9x"[i % 10];
            fs::write(copy.at("model.json"), &changed).expect("written");
            drop(read(&copy.at("model.json")));
        }
    }
}

#[test]
fn weights_run_on_from_file_to_file() {
    // The same bytes in one file are the same weights.
    let mut copy = Copy::of("js_layers_image");
    let before = copy.read().expect("is read");
    let names: Vec<String> =
        serde_json::from_value(copy.part("/weightsManifest/0/paths").clone()).expect("paths");
    assert!(names.len() > 3, "{names:?}");
    let all: Vec<u8> = names.iter().flat_map(|n| fs::read(copy.at(n)).expect("a file")).collect();
    fs::write(copy.at("all.bin"), all).expect("written");
    *copy.part("/weightsManifest/0/paths") = json!(["all.bin"]);
    let after = copy.read().expect("is read");
    let text = |m: &Model| hoist_ir::text::model_text(m);
    assert_eq!(text(&before), text(&after));
}
