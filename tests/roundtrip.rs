//! What Hoist writes, in readers of other makers: every operator case that has an ONNX form, and the trained network of the README, are
//! written as ONNX, checked by `onnx.checker`, and run in ONNX Runtime where that implements the operators. Importing and exporting
//! again gives the same bytes each time. Needs the oracles (`HOIST_ORACLE_PYTHON`, set by `cargo xtask test`); without them only the latter runs.
#[path = "common/case.rs"]
#[expect(dead_code, reason = "this test does not look at the types of random results")]
mod case;

#[path = "common/oracle.rs"]
mod oracle;

use case::Case;
use hoist_emitters::onnx::{WriteOptions, plan};
use hoist_ir::model::{Executor, Model};
use hoist_parsers::onnx::{ReadOptions, read};
use hoist_parsers::pytorch::lift::state::StateMode;
use hoist_parsers::source::Source;
use hoist_passes::{Options, Pipeline, run};
use hoist_runtime::reference::{Reference, ReferenceOptions};
use oracle::{names, put};
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The ONNX file of `model`; `None` where ONNX cannot express it, which the writer says by `E0302`.
fn emitted(mut model: Model) -> Option<Vec<u8>> {
    let pipeline = Pipeline::parse("legalize-onnx").expect("known pass");
    run(&pipeline, &mut model, &mut Options::default()).expect("legalizes");
    let plan = match plan(&model, &WriteOptions::default()) {
        Ok(plan) => plan,
        Err(diags) => {
            assert!(diags.0.iter().all(|d| d.code == "E0302"), "{diags}");
            return None;
        }
    };
    let mut bytes = vec![];
    plan.write_model(&mut bytes).expect("writes to memory");
    Some(bytes)
}

/// What is written from a file, written once more from itself, is the same file.
fn is_fixed_point(bytes: &[u8], place: &str) {
    let next = |bytes: &[u8]| {
        let source = Source::from_bytes(format!("{place}.onnx"), bytes.to_vec().into());
        emitted(read(&source, &ReadOptions::default()).unwrap_or_else(|d| panic!("{place}: {d}")))
    };
    let first = next(bytes).unwrap_or_else(|| panic!("{place}: cannot be written again"));
    assert!(next(&first).is_some_and(|second| second == first), "{place}: another round differs");
}

fn put_case(dir: &Path, case: &Case) -> Option<bool> {
    let bytes = emitted(Model { graph: case.graph.clone(), ..Model::default() })?;
    is_fixed_point(&bytes, &case.place);
    let (inputs, outputs) = names(&case.graph);
    let Some(expected) = oracle::comparable(case) else { return Some(false) };
    let name = case.place.replace([':', '.'], "_");
    Some(put(dir, (&name, "onnx"), &bytes, (&inputs, &case.inputs), (&outputs, &expected), case.tolerance))
}

fn put_digits(dir: &Path) {
    let source = Source::open(root().join("testdata/models/digits.pt2")).expect("opens");
    let model = hoist_parsers::pytorch::program::read(&source, StateMode::default()).expect("lifts");
    let inputs = model.samples[0].inputs.clone();
    let expected = Reference::new(&model, ReferenceOptions::default())
        .expect("known operators")
        .run(inputs.clone())
        .expect("runs");
    let (i, o) = names(&model.graph);
    let bytes = emitted(model).expect("expressible");
    is_fixed_point(&bytes, "digits");
    assert!(put(dir, ("digits", "onnx"), &bytes, (&i, &inputs), (&o, &expected), (1e-4, 1e-5)));
}

#[test]
fn other_readers_accept_what_is_written() {
    let dir = tempfile::tempdir().expect("temporary folder");
    put_digits(dir.path());
    let cases = case::load(&root().join("testdata/ops"));
    let written =
        cases.iter().filter_map(|c| c.as_ref().ok()).filter_map(|c| put_case(dir.path(), c)).count();
    assert!(written > 400, "only {written} cases have an ONNX form");
    oracle::accept(dir.path(), "accept.py");
}
