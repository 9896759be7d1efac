//! What Hoist writes as TFLite, in LiteRT: every operator case is either refused with a reason or computes in LiteRT what it expects, with sizes as the
//! case gives them and with sizes known by symbols only, which are resized before the run. Writing again gives the same bytes. Needs the oracles
//! (`HOIST_ORACLE_PYTHON`, set by `cargo xtask test`); without them nothing is run. `OPS=name` takes the files whose names contain `name`, and `REFUSED=1`
//! lists what is refused and why.
#[path = "common/case.rs"]
#[expect(dead_code, reason = "this test does not look at the types of random results")]
mod case;
#[path = "common/oracle.rs"]
#[expect(dead_code, reason = "this test has a script of its own")]
mod oracle;
#[path = "common/variant.rs"]
#[expect(dead_code, reason = "this test does not compare types with values")]
mod variant;

use case::Case;
use hoist_emitters::tflite::plan;
use hoist_formats::tflite::lower::Target;
use hoist_ir::eval::Value;
use hoist_ir::graph::Graph;
use hoist_ir::model::Model;
use hoist_passes::{Options, Pipeline, run};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use variant::How;

/// Least number of forms that are written; it only grows.
const LEAST_WRITTEN: usize = 3500;
/// What is known of the inputs. A symbol for each size of its own, or nothing of sizes, asks for more at run time.
const HOWS: [How; 6] =
    [How::Given, How::SymbolPerSize, How::SymbolPerAxis, How::Unknown, How::Unranked, How::Constant];

/// The TFLite file of `graph`, or the reasons why TFLite cannot express it.
fn emitted(graph: &Graph, place: &str) -> Result<Vec<u8>, BTreeSet<String>> {
    let mut model = Model { graph: graph.clone(), ..Model::default() };
    let pipeline = Pipeline::parse("legalize-tflite").expect("known pass");
    let target = Target::default();
    let mut options = Options {
        verify_each: true,
        target: Some(hoist_passes::Target::Tflite(target.clone())),
        ..Options::default()
    };
    run(&pipeline, &mut model, &mut options).unwrap_or_else(|e| panic!("{place}: {}", e.diags));
    let plan = plan(&model, &target).map_err(|diags| {
        assert!(diags.0.iter().all(|d| d.code == "E0302"), "{place}: {diags}");
        diags.0.iter().map(|d| d.message.clone()).collect::<BTreeSet<_>>()
    })?;
    let mut bytes = vec![];
    plan.write(&mut bytes).expect("writes to memory");
    Ok(bytes)
}

/// Writes the files of one form of a case; `Ok(false)` where its values cannot be given to LiteRT.
fn put(dir: &Path, case: &Case, how: How) -> Result<bool, BTreeSet<String>> {
    let Some(expected) = oracle::comparable(case) else { return Ok(false) };
    let (graph, inputs): (Graph, Vec<Value>) = match how {
        How::Given => (case.graph.clone(), case.inputs.clone()),
        _ => variant::variant(&case.graph, &case.inputs, how).map_err(|e| BTreeSet::from([e]))?,
    };
    let name = format!("{}_{how:?}", case.place.replace([':', '.'], "_"));
    let bytes = emitted(&graph, &name)?;
    assert!(emitted(&graph, &name)? == bytes, "{name}: written twice, it differs");
    let (i, o) = oracle::names(&graph);
    if !oracle::put(dir, &name, &bytes, (&i, &inputs), (&o, &expected), case.tolerance) {
        return Ok(false);
    }
    let file = |ending: &str| dir.join(format!("{name}.{ending}"));
    std::fs::rename(file("onnx"), file("tflite")).expect("renames");
    Ok(true)
}

/// Runs `litert.py` on the files in `dir`; without Python, nothing is run.
#[expect(clippy::print_stderr, reason = "says that nothing was run")]
fn accept(dir: &Path) {
    let Some(python) = std::env::var_os("HOIST_ORACLE_PYTHON") else {
        eprintln!("HOIST_ORACLE_PYTHON is not set: nothing is run in LiteRT");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/oracles/litert.py");
    let out = Command::new(python).arg(script).arg(dir).output().expect("python starts");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.trim_end().ends_with(" 0 failed"), "{text}");
}

#[test]
fn litert_computes_what_the_cases_expect() {
    let only = std::env::var("OPS").unwrap_or_default();
    let dir = tempfile::tempdir().expect("temporary folder");
    let cases = case::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/ops"));
    let mut refused: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut written, mut forms, mut broken) = (0, 0, vec![]);
    for case in cases.iter().filter_map(|c| c.as_ref().ok()).filter(|c| c.place.contains(&only)) {
        for how in HOWS {
            let done = catch_unwind(AssertUnwindSafe(|| put(dir.path(), case, how)));
            match done.unwrap_or_else(|_| {
                broken.push(format!("{} {how:?}", case.place));
                Ok(false)
            }) {
                Ok(put) => written += usize::from(put),
                Err(reasons) => {
                    forms += 1;
                    for reason in reasons {
                        refused.entry(reason).or_default().insert(case.place.clone());
                    }
                }
            }
        }
    }
    if std::env::var_os("REFUSED").is_some() {
        eprintln!("{written} written, {forms} refused for {} reasons", refused.len());
        for (reason, places) in &refused {
            let places: Vec<&str> = places.iter().map(String::as_str).collect();
            eprintln!("{} {reason}: {}", places.len(), places.join(" "));
        }
    }
    assert!(written >= LEAST_WRITTEN || !only.is_empty(), "only {written} forms are written");
    accept(dir.path());
    assert!(broken.is_empty(), "these panicked, see above: {broken:?}");
}
