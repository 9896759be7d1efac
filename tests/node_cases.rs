//! ONNX's own backend node cases through the reader, inference and the reference executor. Each case must compute what ONNX expects, be
//! the same model after a round trip through the text form, and be typed at least as precisely as ONNX types it. Needs the oracles
//! (`HOIST_ORACLE_PYTHON`, set by `cargo xtask test`); without them nothing runs. `CASES=text` runs the cases whose names contain `text`.
use hoist_formats::onnx::dtype::from_code;
use hoist_ir::dim::Dim;
use hoist_ir::eval::Value;
use hoist_ir::graph::Graph;
use hoist_ir::model::{Executor, Model};
use hoist_ir::text::{PrintOptions, parse_model, save_model};
use hoist_ir::types::{TensorType, Type};
use hoist_parsers::onnx::{ReadOptions, read, read_tensor};
use hoist_parsers::source::Source;
use hoist_runtime::compare::{Tolerance, compare};
use hoist_runtime::reference::{Reference, ReferenceOptions};
use rayon::prelude::*;
use serde_json::Value as Json;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;

/// Cases that do not compute what ONNX lists, each with the reason. A name ending in `*` stands for all that begin so.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("test_image_decoder_decode_jpeg2k_rgb", "JPEG 2000 is refused: no decoder of it is built in"),
    ("test_attention_3d_causal_bf16*", STEPWISE),
    ("test_attention_4d_attn_mask_causal_bf16*", STEPWISE),
    ("test_attention_4d_causal_bf16*", STEPWISE),
    ("test_attention_4d_causal_fp16*", STEPWISE),
    ("test_attention_4d_causal_padded_kv_bf16*", STEPWISE),
    ("test_attention_4d_padded_kv_bf16*", STEPWISE),
];

/// Why attention on 16-bit floats differs in the last place.
const STEPWISE: &str =
    "ONNX's numbers are rounded to 16 bits after each step, ours where the formula says so";

/// Cases where ONNX infers what does not hold.
const MISTYPED: &[(&str, &str)] = &[(
    "test_loop13_seq",
    "the elements have rank 1; the empty sequence at the start is declared to hold scalars",
)];

/// Cases whose outputs are drawn at random: only their types are compared.
const RANDOM: &[&str] = &["test_bernoulli", "test_training_dropout"];

fn names(pattern: &str, case: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == case, |start| case.starts_with(start))
}

fn value(dir: &Path, json: &Json) -> Result<Value, String> {
    if let Some(file) = json["tensor"].as_str() {
        let source = Source::open(dir.join(file)).map_err(|d| d.to_string())?;
        return Ok(read_tensor(&source).map_err(|d| d.to_string())?.into());
    }
    if let Some(all) = json["sequence"].as_array() {
        return Ok(Value::Sequence(all.iter().map(|v| value(dir, v)).collect::<Result<_, _>>()?));
    }
    match json.get("optional") {
        Some(Json::Null) => Ok(Value::Optional(None)),
        Some(inner) => Ok(Value::Optional(Some(Box::new(value(dir, inner)?)))),
        None => Err(format!("a value of kind {} is not supported", json["other"])),
    }
}

/// `value` as the interface declares it: ONNX's cases give the content of an optional bare.
fn fitted(value: Value, ty: &Type) -> Value {
    match (ty, value) {
        (Type::Optional(_), v @ Value::Optional(_)) => v,
        (Type::Optional(_), v) => Value::Optional(Some(Box::new(v))),
        (_, v) => v,
    }
}

fn values(dir: &Path, case: &Json, kind: &str, types: &[Type]) -> Result<Vec<Value>, String> {
    let all = case[kind].as_array().ok_or("the index is broken")?;
    all.iter()
        .enumerate()
        .map(|(i, v)| Ok(fitted(value(dir, v)?, types.get(i).unwrap_or(&Type::Unknown))))
        .collect()
}

fn text(model: &Model) -> Result<String, String> {
    let mut out = vec![];
    save_model(&mut out, model, PrintOptions::default()).map_err(|e| e.to_string())?;
    String::from_utf8(out).map_err(|e| e.to_string())
}

fn compute(dir: &Path, case: &Json, model: &Model, random: bool) -> Result<(), String> {
    let g = &model.graph;
    let inputs: Vec<Type> = g.inputs().iter().map(|v| g.ty(*v).clone()).collect();
    let outputs: Vec<Type> = g.outputs().iter().map(|o| g.ty(o.value).clone()).collect();
    let want = values(dir, case, "outputs", &outputs)?;
    let given = values(dir, case, "inputs", &inputs)?;
    let executor = Reference::new(model, ReferenceOptions::default()).map_err(|d| d.to_string())?;
    let got = executor.run(given).map_err(|d| d.to_string())?;
    if random {
        let same = got.iter().map(Value::ty).eq(want.iter().map(Value::ty));
        return if same { Ok(()) } else { Err("outputs have other types".to_owned()) };
    }
    let tolerance = Tolerance {
        rtol: case["rtol"].as_f64().unwrap_or(0.0).max(1e-3),
        atol: case["atol"].as_f64().unwrap_or(0.0).max(1e-5),
    };
    let names: Vec<_> = g.outputs().iter().map(|o| o.name.clone()).collect();
    let complaints: Vec<String> =
        compare(&got, &want, &names, tolerance).outputs.iter().filter_map(|o| o.complaint()).collect();
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("; ")) }
}

/// Where ONNX knows more of a type than we do.
fn vaguer(ours: &Type, theirs: &Json) -> Option<String> {
    let complain = || Some(format!("{ours} where ONNX infers {theirs}"));
    match (theirs[0].as_str(), ours) {
        (Some("tensor"), Type::Tensor(TensorType { dtype, shape })) => {
            let code = theirs[1].as_i64().and_then(|c| i32::try_from(c).ok()).unwrap_or(0);
            if code != 0 && from_code(code) != Some(*dtype) {
                return complain();
            }
            let dims = theirs[2].as_array()?;
            let Some(shape) = shape.as_ref().filter(|s| s.len() == dims.len()) else { return complain() };
            let fits = |(d, t): (&Dim, &Json)| t.as_u64().is_none_or(|n| *d == Dim::Known(n));
            if shape.iter().zip(dims).all(fits) { None } else { complain() }
        }
        (Some("sequence"), Type::Sequence(inner)) | (Some("optional"), Type::Optional(inner)) => {
            vaguer(inner, &theirs[1])
        }
        (Some("other" | "failed"), _) => None,
        _ => complain(),
    }
}

fn types(case: &Json, g: &Graph) -> Result<(), String> {
    let mut wrong = vec![];
    let all = case["shapes"].as_object().ok_or("the index is broken")?;
    for o in g.outputs() {
        let theirs = all.get(&*o.name);
        wrong.extend(
            theirs.and_then(|t| vaguer(g.ty(o.value), t)).map(|m| format!("output `{}`: {m}", o.name)),
        );
    }
    for (_, v) in g.values() {
        let theirs = v.name.as_ref().and_then(|n| all.get(&**n));
        wrong.extend(
            theirs
                .and_then(|t| vaguer(v.ty(), t))
                .map(|m| format!("{}: {m}", v.name.as_deref().unwrap_or(""))),
        );
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}

/// What is wrong with a case: its results, its types, its text form.
fn run(dir: &Path, case: &Json) -> [Result<(), String>; 3] {
    let name = case["name"].as_str().unwrap_or_default();
    let source = Source::open(dir.join(format!("{name}.onnx"))).expect("the generator wrote it");
    let model = match read(&source, &ReadOptions::default()) {
        Ok(model) => model,
        Err(d) => return [Err(d.to_string()), Ok(()), Ok(())],
    };
    let random = RANDOM.iter().any(|r| name.starts_with(r));
    let again = || -> Result<(), String> {
        let first = text(&model)?;
        let parsed = parse_model(&first).map_err(|d| d.to_string())?;
        if text(&parsed)? == first { Ok(()) } else { Err("another round through text differs".to_owned()) }
    };
    [compute(dir, case, &model, random), types(case, &model.graph), again()]
}

#[expect(clippy::print_stderr, reason = "shows the count")]
fn check(what: &str, failures: &[(String, String)], exceptions: &[(&str, &str)], all: usize) {
    let listed = |name: &str| exceptions.iter().any(|(p, _)| names(p, name));
    let new: Vec<String> =
        failures.iter().filter(|(n, _)| !listed(n)).map(|(n, why)| format!("{n}: {why}")).collect();
    eprintln!("{what}: {} of {all}", all - failures.len());
    assert!(new.is_empty(), "{what}: {} cases fail:\n{}", new.len(), new.join("\n"));
    let stale: Vec<_> =
        exceptions.iter().filter(|(p, _)| !failures.iter().any(|(n, _)| names(p, n))).collect();
    assert!(stale.is_empty(), "{what}: these do not fail any more: {stale:?}");
}

#[test]
fn node_cases_compute_what_onnx_expects() {
    let Some(python) = std::env::var_os("HOIST_ORACLE_PYTHON") else {
        eprintln!("HOIST_ORACLE_PYTHON is not set: no case runs");
        return;
    };
    let dir = tempfile::tempdir().expect("temporary folder");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracles/node_cases.py");
    let out = Command::new(python).arg(script).arg(dir.path()).output().expect("python starts");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let index = std::fs::read(dir.path().join("index.json")).expect("the generator wrote it");
    let index: Vec<Json> = serde_json::from_slice(&index).expect("valid JSON");
    assert!(index.len() > 1800, "only {} cases", index.len());
    let only = std::env::var("CASES").unwrap_or_default();
    let cases: Vec<&Json> =
        index.iter().filter(|c| c["name"].as_str().is_some_and(|n| n.contains(&only))).collect();
    let results: Vec<_> = cases
        .par_iter()
        .map(|case| {
            let panicked = || [Err("panicked".to_owned()), Ok(()), Ok(())];
            catch_unwind(AssertUnwindSafe(|| run(dir.path(), case))).unwrap_or_else(|_| panicked())
        })
        .collect();
    let mut failures: [Vec<(String, String)>; 3] = Default::default();
    for (case, all) in cases.iter().zip(results) {
        for (found, result) in failures.iter_mut().zip(all) {
            found.extend(result.err().map(|e| (case["name"].as_str().unwrap_or_default().to_owned(), e)));
        }
    }
    let exceptions = if only.is_empty() { EXCEPTIONS } else { &[] };
    let [computed, typed, printed] = failures;
    let report = |what, found: &[_], exceptions: &[_]| {
        catch_unwind(AssertUnwindSafe(|| check(what, found, exceptions, cases.len()))).is_ok()
    };
    let good = [
        report("results", &computed, exceptions),
        report("types", &typed, if only.is_empty() { MISTYPED } else { &[] }),
        report("text", &printed, &[]),
    ];
    assert_eq!(good, [true; 3]);
}

#[test]
fn whole_models_are_typed_at_least_as_onnx_does() {
    let Some(python) = std::env::var_os("HOIST_ORACLE_PYTHON") else {
        eprintln!("HOIST_ORACLE_PYTHON is not set: nothing is compared");
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().expect("temporary folder");
    let digits = dir.path().join("digits.onnx");
    let hoist = env!("CARGO_BIN_EXE_hoist");
    let converted = Command::new(hoist)
        .args(["convert", "--no-verify", "-o"])
        .args([&digits, &root.join("testdata/models/digits.pt2")])
        .output()
        .expect("hoist starts");
    assert!(converted.status.success(), "{}", String::from_utf8_lossy(&converted.stderr));
    let out = Command::new(python)
        .arg(root.join("testdata/oracles/shapes.py"))
        .arg(hoist)
        .args([&digits, &root.join("testdata/models/functions.onnx")])
        .output()
        .expect("python starts");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.trim_end().ends_with("\n0 worse"), "{text}");
}
