//! Model-local functions: kept as they are, run, and expanded on request. Expected values are ONNX Runtime's (`testdata/gen/functions_onnx.py`).
use hoist_emitters::onnx::{WriteOptions, plan};
use hoist_ir::eval::Value;
use hoist_ir::model::{Executor, Model};
use hoist_ir::tensor::Tensor;
use hoist_ir::text::{PrintOptions, parse_model, save_model};
use hoist_parsers::onnx::{ReadOptions, read};
use hoist_parsers::source::Source;
use hoist_passes::{Options, Pipeline, run};
use hoist_runtime::compare::{Tolerance, compare};
use hoist_runtime::reference::{Reference, ReferenceOptions};
use std::path::Path;

const X: [f32; 8] = [0.5, -1.0, 2.0, 0.0, 1.0, 1.0, -3.0, 0.25];
const Y: [f32; 8] =
    [0.219_304_58, 0.193_905_44, 0.380_74, 0.206_049_9, 0.287_08, 0.287_08, 0.193_565_95, 0.232_274_07];
const W: [f32; 8] =
    [1.648_721_2, 0.367_879_45, 7.389_056, 1.0, 2.718_281_7, 2.718_281_7, 0.049_787_07, 1.284_025_4];

fn model() -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/models/functions.onnx");
    let source = Source::open(path).expect("the fixture");
    read(&source, &ReadOptions::default()).expect("valid")
}

fn inlined() -> Model {
    let mut model = model();
    let pipeline = Pipeline::parse("inline-functions").expect("a pass");
    run(&pipeline, &mut model, &mut Options { verify_each: true, ..Options::default() }).expect("expands");
    model.drop_uncalled_functions();
    model
}

fn computes(model: &Model) {
    let inputs =
        vec![Tensor::from_vec(&[2, 4], X.to_vec()).into(), Tensor::from_vec(&[4], vec![1.0f32; 4]).into()];
    let got = Reference::new(model, ReferenceOptions::default()).expect("known").run(inputs).expect("runs");
    let value = |shape: &[usize], v: [f32; 8]| Value::from(Tensor::from_vec(shape, v.to_vec()));
    let want = [value(&[2, 4], Y), value(&[2, 2, 2], Y), value(&[2, 4], W)];
    let found = compare(&got, &want, &["y", "z", "w"], Tolerance { rtol: 1e-5, atol: 1e-6 });
    assert!(found.fits(), "{:?}", found.outputs);
}

fn written(model: &Model) -> Model {
    let mut bytes = vec![];
    plan(model, &WriteOptions::default()).expect("expressible").write_model(&mut bytes).expect("writes");
    read(&Source::from_bytes("written.onnx", bytes.into()), &ReadOptions::default()).expect("valid")
}

#[test]
fn functions_are_kept_and_run() {
    let model = model();
    computes(&model);
    let types: Vec<_> = model.graph.outputs().iter().map(|o| model.graph.ty(o.value).to_string()).collect();
    assert_eq!(types, ["f32[N, 4]", "f32[N, 2, 2]", "f32[N, 4]"]);
    let again = written(&model);
    assert_eq!(again.functions, model.functions);
    assert_eq!(again.graph.node_count(), 4);
    computes(&again);
    let mut text = vec![];
    save_model(&mut text, &model, PrintOptions::default()).expect("writes");
    computes(&parse_model(&String::from_utf8(text).expect("text")).expect("reads back"));
}

#[test]
fn functions_are_expanded() {
    let model = inlined();
    assert!(model.functions.is_empty() && model.opset("local").is_none());
    let names: Vec<_> = model.graph.order().map(|n| model.graph.node(n).op().name()).collect();
    let twice = ["softmax", "leaky_relu", "sub", "add"];
    let all: Vec<_> =
        twice.iter().chain(&twice).chain(&["reshape", "reduce_sum", "greater", "if"]).copied().collect();
    assert_eq!(names, all);
    computes(&model);
    computes(&written(&model));
}
