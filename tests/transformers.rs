//! Models from `config.json` and weights alone: each folder of `testdata/transformers` holds one, and what transformers computes with it.
#[path = "common/recorded.rs"]
#[expect(dead_code, reason = "these programs say themselves what sizes their inputs have")]
mod recorded;

use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;
use hoist_ir::eval::Value;
use hoist_ir::model::{Executor as _, Model};
use hoist_ir::tensor::Tensor;
use hoist_parsers::safetensors::arch::below::{Part, Wants};
use hoist_parsers::safetensors::arch::folder::{self, Options};
use hoist_parsers::source::Source;
use hoist_runtime::reference::{Reference, ReferenceOptions};
use rayon::prelude::*;
use recorded::Meta;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn read(folder: &Path, options: &Options) -> Result<Model, Diags> {
    let source = Source::open(folder.join("config.json")).map_err(|e| Diag::error("E0101", e.to_string()))?;
    folder::read(&source, options)
}

fn lift(folder: &Path, _: &Meta) -> Result<Model, Diags> {
    read(folder, &Options::default())
}

#[test]
fn every_model_computes_what_transformers_computes() {
    recorded::check_all("testdata/transformers", lift);
}

/// As models with many weights are built.
fn lift_stored(folder: &Path, _: &Meta) -> Result<Model, Diags> {
    read(folder, &Options { stored: true, ..Options::default() })
}

#[test]
fn stored_weights_give_the_same() {
    recorded::check_all("testdata/transformers", lift_stored);
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/transformers").join(name)
}

fn made(name: &str, options: &Options) -> Model {
    read(&fixture(name), options).unwrap_or_else(|d| panic!("{name}: {d}"))
}

type Named = BTreeMap<String, Tensor>;

/// Outputs by name, for inputs by name.
fn run(model: &Model, feed: &Named) -> Named {
    let g = &model.graph;
    let inputs = g.inputs().iter().map(|v| {
        let name = g.value_label(*v);
        Value::from(feed.get(&name).unwrap_or_else(|| panic!("no input `{name}`")).clone())
    });
    let executor = Reference::new(model, ReferenceOptions::default()).expect("is run");
    let given = executor.run(inputs.collect()).expect("runs");
    let tensor = |v: Value| v.into_tensor().expect("a tensor");
    g.outputs().iter().zip(given).map(|(o, v)| (o.name.to_string(), tensor(v))).collect()
}

fn ids(values: &[i64]) -> Tensor {
    Tensor::from_vec(&[1, values.len()], values.to_vec())
}

/// The logits of the last token.
fn last(out: &Named) -> Vec<f32> {
    let logits = &out["logits"];
    let all = logits.to_f32s().expect("floats").into_owned();
    all[all.len() - logits.shape()[2]..].to_vec()
}

fn close(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-4 * (1.0 + b.abs()))
}

/// Empty keys and values for the inputs of `model` whose names contain `side`.
fn nothing_before(model: &Model, side: &str) -> Named {
    let g = &model.graph;
    let empty = |v: &hoist_ir::graph::ValueId| {
        let name = g.value_label(*v);
        let dims = g.ty(*v).as_tensor()?.shape.clone()?;
        let size = |i: usize| dims[i].known().map(|n| n as usize);
        let shape = [1, size(1)?, 0, size(3)?];
        (name.starts_with("past") && name.contains(side))
            .then(|| (name, Tensor::from_vec::<f32>(&shape, vec![])))
    };
    g.inputs().iter().filter_map(empty).collect()
}

/// `present.*` as the next `past_key_values.*`.
fn kept(out: &Named) -> Named {
    let name = |n: &String| n.strip_prefix("present").map(|rest| format!("past_key_values{rest}"));
    out.iter().filter_map(|(n, t)| Some((name(n)?, t.clone()))).collect()
}

#[test]
fn a_past_gives_what_the_whole_text_gives() {
    let text = [5, 9, 3, 12, 30, 7, 22, 4];
    let past = Options { wants: Wants { past: true, ..Wants::default() }, ..Options::default() };
    for name in
        ["llama_yarn", "mistral", "qwen3", "gemma3", "gpt2", "bloom", "opt", "falcon_new", "phi3_longrope"]
    {
        let (whole, step) = (made(name, &Options::default()), made(name, &past));
        let mut before = nothing_before(&step, "");
        // Three tokens at once, then one by one.
        let cuts: Vec<usize> = std::iter::once(0).chain(3..=text.len()).collect();
        for cut in cuts.windows(2) {
            let (start, end) = (cut[0], cut[1]);
            let places: Vec<i64> = (start as i64..end as i64).collect();
            before.insert("input_ids".into(), ids(&text[start..end]));
            before.insert("attention_mask".into(), ids(&vec![1; end]));
            before.insert("position_ids".into(), ids(&places));
            let out = run(&step, &before);
            let feed = [("input_ids", ids(&text[..end])), ("attention_mask", ids(&vec![1; end]))];
            let want = run(&whole, &feed.map(|(k, t)| (k.to_owned(), t)).into());
            assert!(close(&last(&out), &last(&want)), "{name}: {end} tokens");
            before = kept(&out);
        }
    }
}

#[test]
fn parts_give_what_the_whole_gives() {
    let part = |part, past| Options { wants: Wants { past, part }, ..Options::default() };
    for name in ["t5", "t5_gated", "bart", "marian", "whisper"] {
        let whole = made(name, &Options::default());
        let (encoder, decoder) =
            (made(name, &part(Part::Encoder, false)), made(name, &part(Part::Decoder, true)));
        let bytes = Source::open(fixture(name).join("io.npz")).expect("opens");
        let arrays: Named =
            hoist_runtime::inputs::tensors_from_npz(bytes.bytes()).expect("arrays").into_iter().collect();
        let given = &arrays["in0"];
        let mut sizes = given.shape().to_vec();
        sizes[0] = 1;
        let given = given.slice(&vec![0; sizes.len()], &sizes).expect("the first");
        let input = whole.graph.value_label(whole.graph.inputs()[0]);
        let memory = kept(&run(&encoder, &[(input.clone(), given.clone())].into()));
        let mut before = nothing_before(&decoder, ".decoder.");
        let text = [2, 5, 17, 8, 11];
        for (start, end) in [(0, 2), (2, 3), (3, 4), (4, 5)] {
            before.extend(memory.clone());
            before.insert("input_ids".into(), ids(&text[start..end]));
            let out = run(&decoder, &before);
            let feed = [(input.clone(), given.clone()), ("decoder_input_ids".into(), ids(&text[..end]))];
            assert!(close(&last(&out), &last(&run(&whole, &feed.into()))), "{name}: {end} tokens");
            before = kept(&out);
        }
    }
}

#[test]
fn inputs_are_those_that_are_asked_for() {
    let with = |names: &[&str]| Options {
        inputs: names.iter().map(|n| (*n).to_owned()).collect(),
        ..Options::default()
    };
    let all = ["input_ids", "attention_mask", "token_type_ids", "position_ids"];
    let feed: Named = all.iter().map(|n| ((*n).to_owned(), ids(&[1, 1, 1, 1]))).collect();
    let mut feed = feed;
    feed.insert("token_type_ids".into(), ids(&[0; 4]));
    feed.insert("position_ids".into(), ids(&[0, 1, 2, 3]));
    let want = run(&made("bert", &Options::default()), &feed);
    for names in [&all[..1], &all[..3], &all] {
        let model = made("bert", &with(names));
        assert_eq!(model.graph.inputs().len(), names.len());
        let got = run(&model, &feed);
        let values = |o: &Named| o["last_hidden_state"].to_f32s().expect("floats").into_owned();
        assert!(close(&values(&got), &values(&want)), "{names:?}");
    }
    let refused = |names: &[&str]| read(&fixture("bert"), &with(names)).expect_err("is refused").to_string();
    assert!(refused(&["input_ids", "pixel_values"]).contains("no input `pixel_values`"));
    assert!(refused(&["attention_mask"]).contains("needs its input `input_ids`"));
    let past = Options { wants: Wants { past: true, ..Wants::default() }, ..Options::default() };
    assert!(read(&fixture("bert"), &past).expect_err("is refused").to_string().contains("without a past"));
}

/// A model, a change of its configuration, and what is said about it.
type Case = (&'static str, fn(&mut Json), &'static str);

/// What is said about the model `name` with another configuration.
fn complaint(name: &str, change: impl FnOnce(&mut Json)) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["config.json", "model.safetensors"] {
        fs::copy(fixture(name).join(file), folder.path().join(file)).expect("copied");
    }
    let path = folder.path().join("config.json");
    let mut json: Json = serde_json::from_slice(&fs::read(&path).expect("read")).expect("JSON");
    change(&mut json);
    fs::write(&path, json.to_string()).expect("written");
    read(folder.path(), &Options::default()).map_or_else(|d| d.to_string(), |_| "it is read".to_owned())
}

#[test]
fn all_that_is_wrong_with_a_configuration_is_said_at_once() {
    let said = complaint("mistral", |c| {
        c.as_object_mut().expect("an object").remove("hidden_size");
        c["hidden_act"] = json!("sparkle");
        c["vocab_size"] = json!("many");
    });
    for part in ["`hidden_size` is missing", "`sparkle`", "`vocab_size` is \"many\""] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let cases: &[Case] = &[
        ("mistral", |c| c["model_type"] = json!("mistralx"), "the nearest is mistral"),
        ("mistral", |c| c["architectures"] = json!("MistralForCausalLM"), "a list of texts"),
        ("mistral", |c| c["architectures"] = json!(["MistralForPoetry"]), "`MistralForPoetry` are not built"),
        ("mistral", |c| c["num_attention_heads"] = json!(3), "do not divide"),
        ("mistral", |c| c["num_hidden_layers"] = json!(1), "is not part of the architecture"),
        (
            "mistral",
            |c| c["num_hidden_layers"] = json!(3),
            "`model.layers.2.input_layernorm.weight` is missing",
        ),
        ("mistral", |c| c["num_hidden_layers"] = json!(99999), "from 0 to 1024"),
        (
            "mistral",
            |c| c["vocab_size"] = json!(41),
            "is f32[40, 16], and the architecture needs f32[41, 16]",
        ),
        ("mistral", |c| c["quantization_config"] = json!({"quant_method": "gptq"}), "quantized by \"gptq\""),
        ("llama_yarn", |c| c["rope_parameters"]["rope_type"] = json!("dynamic"), "`dynamic` are not read"),
        (
            "bert",
            |c| c["position_embedding_type"] = json!("relative_key"),
            "`relative_key`, which is not read",
        ),
        ("vit", |c| c["patch_size"] = json!(64), "larger than `image_size`"),
        ("wav2vec2", |c| c["conv_stride"] = json!([4]), "not lists of one length"),
        ("wav2vec2", |c| c["conv_stride"] = json!([4, 0]), "sizes from 1 on"),
        ("albert", |c| c["inner_group_num"] = json!(1 << 24), "more than 262144 operators"),
        ("marian", |c| c["max_position_embeddings"] = json!(1 << 24), "a table of 16777216 x 16 numbers"),
        ("bert", |c| c["num_attention_heads"] = json!(3), "do not divide into 3 heads"),
    ];
    for (name, change, part) in cases {
        let said = complaint(name, change);
        assert!(said.contains(part), "{name}: `{said}` instead of `{part}`");
    }
}

/// Values that no configuration states, and some that contradict the others.
fn odd_values() -> Vec<Json> {
    let many = 1u64 << 24;
    vec![
        json!(0),
        json!(1),
        json!(3),
        json!(many),
        json!(u64::MAX),
        json!(-1),
        json!(1e300),
        json!(0.001),
        json!(null),
        json!("x"),
        json!(true),
        json!(false),
        json!([]),
        json!([0]),
        json!([3, 5]),
        json!([many, many]),
        json!({}),
    ]
}

/// Every value of `json` with the way to it, those of inner objects too.
fn values_of(json: &Json, at: &str, out: &mut Vec<String>) {
    for (key, value) in json.as_object().into_iter().flatten() {
        let path = format!("{at}/{key}");
        if value.is_object() {
            values_of(value, &path, out);
        }
        out.push(path);
    }
}

/// Whatever a value of a configuration becomes, the model is read or refused. `ALL=1` tries every value in every place, not one in each.
#[test]
fn any_change_of_a_configuration_is_survived() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/transformers");
    let all = std::env::var_os("ALL").is_some();
    let only = std::env::var("CASES").unwrap_or_default();
    let mut names: Vec<String> = fs::read_dir(root)
        .expect("cases")
        .map(|e| e.expect("one").file_name().into_string().expect("a name"))
        .collect();
    names.retain(|n| n.contains(&only));
    names.sort();
    names.par_iter().enumerate().for_each(|(n, name)| {
        let folder = tempfile::tempdir().expect("a folder");
        fs::copy(fixture(name).join("model.safetensors"), folder.path().join("model.safetensors"))
            .expect("copied");
        let json: Json = serde_json::from_slice(&fs::read(fixture(name).join("config.json")).expect("read"))
            .expect("JSON");
        let mut places = vec![];
        values_of(&json, "", &mut places);
        let odd = odd_values();
        for (i, place) in places.iter().enumerate() {
            let tried = if all { odd.iter().collect() } else { vec![&odd[(n + i) % odd.len()]] };
            for value in tried {
                let mut changed = json.clone();
                *changed.pointer_mut(place).expect("a value") = value.clone();
                fs::write(folder.path().join("config.json"), changed.to_string()).expect("written");
                drop(read(folder.path(), &Options::default()));
            }
        }
    });
}

/// The weights of the model `name` in `folder`, with what `change` makes of the bytes of each and of what is said about it.
fn repacked(name: &str, folder: &Path, mut change: impl FnMut(&str, &mut Json, &[u8]) -> Vec<u8>) {
    let file = fs::read(fixture(name).join("model.safetensors")).expect("weights");
    let length = u64::from_le_bytes(file[..8].try_into().expect("8 bytes")) as usize;
    let mut header: Json = serde_json::from_slice(&file[8..8 + length]).expect("JSON");
    let (old, mut data) = (&file[8 + length..], vec![]);
    for (name, info) in header.as_object_mut().expect("an object") {
        let Some(range) = info.get("data_offsets").cloned() else { continue };
        let at = |i: usize| range[i].as_u64().expect("an offset") as usize;
        let from = data.len();
        data.extend(change(name, info, &old[at(0)..at(1)]));
        info["data_offsets"] = json!([from, data.len()]);
    }
    let header = header.to_string();
    let whole = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    fs::write(folder.join("model.safetensors"), whole).expect("written");
}

#[test]
fn weights_of_several_types_are_of_one() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(fixture("mistral").join("config.json"), folder.path().join("config.json")).expect("copied");
    // Most bytes decide, and the others follow. The upper halves of 32-bit floats are brain floats.
    repacked("mistral", folder.path(), |name, info, bytes| {
        if !name.contains("norm") {
            return bytes.to_vec();
        }
        info["dtype"] = json!("BF16");
        bytes.chunks(4).flat_map(|b| [b[2], b[3]]).collect()
    });
    let model = read(folder.path(), &Options::default()).expect("is read");
    let types = model.graph.values().filter_map(|(v, _)| model.graph.constant(v).map(Tensor::dtype));
    assert!(!types.into_iter().any(|d| d == DType::BF16), "all are of one type");
    // Floats of 8 bits mean something only with their scales.
    repacked("mistral", folder.path(), |name, info, bytes| {
        if !name.contains("norm") {
            return bytes.to_vec();
        }
        info["dtype"] = json!("F8_E4M3");
        bytes.chunks(4).map(|b| b[3]).collect()
    });
    let said = read(folder.path(), &Options::default()).expect_err("is refused").to_string();
    assert!(said.contains("without their scales"), "{said}");
}

#[test]
fn large_weights_are_copied_from_file_to_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    let mut config: Json =
        serde_json::from_slice(&fs::read(fixture("gpt2_base").join("config.json")).expect("read"))
            .expect("JSON");
    config["vocab_size"] = json!(4000);
    fs::write(at("config.json"), config.to_string()).expect("written");
    repacked("gpt2_base", folder.path(), |name, info, bytes| {
        if !name.ends_with("wte.weight") {
            return bytes.to_vec();
        }
        info["shape"] = json!([4000, 16]);
        // Each row is another one.
        (0..4000 * 16).flat_map(|i| (((i * 37 % 1009) as f32 - 504.0) / 300.0).to_le_bytes()).collect()
    });
    hoist(&["convert", &at(""), "-o", &at("m.onnx"), "--external-data", "always"]).expect("is converted");
    hoist(&["verify", &at("m.onnx"), &at("")]).expect("the same");
    let data = fs::read(at("m.onnx.data")).expect("there");
    let row: Vec<u8> =
        (0..16).flat_map(|i| (((i * 37 % 1009) as f32 - 504.0) / 300.0).to_le_bytes()).collect();
    assert!(data.windows(row.len()).any(|w| w == row), "its rows lie in the data file");
}

/// Runs `hoist`; what it says when it fails.
fn hoist(args: &[&str]) -> Result<(), String> {
    let out = Command::new(env!("CARGO_BIN_EXE_hoist")).args(args).output().expect("starts");
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

#[test]
fn files_that_users_need_come_along() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let text = |path: &Path| path.to_str().expect("a path").to_owned();
    let (input, output) = (text(&fixture("mistral")), text(&at("m.onnx")));
    hoist(&["convert", &input, "-o", &output, "--with-past", "--with-files"]).expect("is converted");
    let same = |name: &str| {
        fs::read(at(name)).expect("there") == fs::read(fixture("mistral").join(name)).expect("there")
    };
    assert!(same("config.json"));
    let genai: Json =
        serde_json::from_slice(&fs::read(at("genai_config.json")).expect("there")).expect("JSON");
    let decoder = &genai["model"]["decoder"];
    let figures =
        ["num_hidden_layers", "num_key_value_heads", "num_attention_heads", "head_size", "hidden_size"];
    assert_eq!(figures.map(|k| decoder[k].as_u64()), [2, 2, 4, 4, 16].map(Some), "{genai}");
    assert_eq!((&genai["model"]["type"], &decoder["filename"]), (&json!("mistral"), &json!("m.onnx")));
    // Of a model without a past, only what was there; of another file, nothing.
    let second = tempfile::tempdir().expect("a folder");
    let path = text(&second.path().join("m.onnx"));
    hoist(&["convert", &input, "-o", &path, "--with-files"]).expect("is converted");
    assert!(second.path().join("config.json").is_file() && !second.path().join("genai_config.json").exists());
    let third = tempfile::tempdir().expect("a folder");
    fs::remove_file(second.path().join("config.json")).expect("removed");
    let said = hoist(&["convert", &path, "-o", &text(&third.path().join("o.onnx")), "--with-files"]);
    assert!(said.is_err_and(|e| e.contains("there is no config.json")));
    assert!(!third.path().join("o.onnx").exists(), "a failed run leaves nothing");
}

#[test]
fn weights_may_stay_where_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["config.json", "model.safetensors"] {
        fs::copy(fixture("llama_linear").join(file), folder.path().join(file)).expect("copied");
    }
    let text = |name: &str| folder.path().join(name).to_str().expect("a path").to_owned();
    let size = |name: &str| fs::metadata(folder.path().join(name)).expect("there").len();
    // The weights alone are the model, since their configuration lies beside them.
    for (input, output) in [(text(""), "a.onnx"), (text("model.safetensors"), "b.onnx")] {
        hoist(&["convert", &input, "-o", &text(output), "--external-data", "reference"])
            .expect("is converted");
        assert!(!folder.path().join(format!("{output}.data")).exists());
        // Only matrices of a kilobyte and more are referred to.
        assert!(size(output) < size("model.safetensors"), "{}", size(output));
        hoist(&["verify", &text(output), &text("")]).expect("the same");
    }
    assert_eq!(
        fs::read(folder.path().join("a.onnx")).expect("a"),
        fs::read(folder.path().join("b.onnx")).expect("b")
    );
    // What is written as weights is the weights, and with --arch there is another program.
    hoist(&["convert", &text(""), "-o", &text("again.safetensors")]).expect("is written");
    let weights = |name: &str| -> BTreeMap<String, Vec<u8>> {
        let source = Source::open(folder.path().join(name)).expect("opens");
        let read = hoist_parsers::safetensors::read(&source).expect("is read");
        read.tensors.iter().map(|(n, t)| (n.clone(), t.bytes().expect("bytes").into_owned())).collect()
    };
    assert_eq!(weights("again.safetensors"), weights("model.safetensors"));
    let said = hoist(&["convert", &text(""), "--arch", "resnet18", "-o", &text("c.onnx")]);
    assert!(said.is_err_and(|e| e.contains("`conv1.weight` is missing")));
}

#[test]
fn every_family_is_documented() {
    let text = include_str!("../docs/transformers.md");
    for kind in folder::model_types() {
        assert!(text.contains(&format!("`{kind}`")), "docs/transformers.md does not name `{kind}`");
    }
}
