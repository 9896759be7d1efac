//! What Hoist writes as TFLite, in LiteRT: every operator case is either refused with a reason or computes in LiteRT what it expects, with sizes as the
//! case gives them and with sizes known by symbols only, which are resized before the run. Writing again gives the same bytes. Needs the oracles
//! (`HOIST_ORACLE_PYTHON`, set by `cargo xtask test`); without them nothing is run. `OPS=name` takes the files whose names contain `name`, and `REFUSED=1`
//! lists what is refused and why.
#[path = "common/case.rs"]
#[expect(dead_code, reason = "this test does not look at the types of random results")]
mod case;
#[path = "common/oracle.rs"]
mod oracle;
#[path = "common/variant.rs"]
#[expect(dead_code, reason = "this test does not compare types with values")]
mod variant;

use case::Case;
use hoist_emitters::tflite::plan;
use hoist_formats::tflite::lower::Target;
use hoist_ir::graph::Graph;
use hoist_ir::model::Model;
use hoist_passes::{Options, Pipeline, run};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use variant::How;

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
    let graph = match how {
        How::Given => case.graph.clone(),
        _ => variant::variant(&case.graph, &case.inputs, how).map_err(|e| BTreeSet::from([e]))?.0,
    };
    let name = format!("{}_{how:?}", case.place.replace([':', '.'], "_"));
    let bytes = emitted(&graph, &name)?;
    assert!(emitted(&graph, &name)? == bytes, "{name}: written twice, it differs");
    // Also of inputs that are constants in this form: what LiteRT is known to compute otherwise goes by values.
    let (i, o) = oracle::names(&case.graph);
    if !oracle::put(dir, (&name, "tflite"), &bytes, (&i, &case.inputs), (&o, &expected), case.tolerance) {
        return Ok(false);
    }
    Ok(true)
}

/// Every case with its inputs known as `how` says; at least `least` are written, a number that only grows.
#[expect(clippy::print_stderr, reason = "lists what is refused when asked to")]
fn check(how: How, least: usize) {
    let only = std::env::var("OPS").unwrap_or_default();
    let dir = tempfile::tempdir().expect("temporary folder");
    let cases = case::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/ops"));
    let mut refused: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let (mut written, mut broken) = (0, vec![]);
    for case in cases.iter().filter_map(|c| c.as_ref().ok()).filter(|c| c.place.contains(&only)) {
        match catch_unwind(AssertUnwindSafe(|| put(dir.path(), case, how))) {
            Err(_) => broken.push(case.place.clone()),
            Ok(Ok(put)) => written += usize::from(put),
            Ok(Err(reasons)) => {
                for reason in reasons {
                    refused.entry(reason).or_default().insert(case.place.clone());
                }
            }
        }
    }
    if std::env::var_os("REFUSED").is_some() {
        eprintln!("{written} written, others refused for {} reasons", refused.len());
        for (reason, places) in &refused {
            let places: Vec<&str> = places.iter().map(String::as_str).collect();
            eprintln!("{} {reason}: {}", places.len(), places.join(" "));
        }
    }
    assert!(written >= least || !only.is_empty(), "only {written} are written");
    oracle::accept(dir.path(), "litert.py");
    assert!(broken.is_empty(), "these panicked, see above: {broken:?}");
}

// A symbol for each size of its own, or nothing of sizes, asks for more at run time.
#[test]
fn litert_computes_what_the_cases_expect() {
    check(How::Given, 780);
}

#[test]
fn litert_computes_with_equal_sizes() {
    check(How::SymbolPerSize, 540);
}

#[test]
fn litert_computes_with_sizes_of_their_own() {
    check(How::SymbolPerAxis, 540);
}

#[test]
fn litert_computes_with_unknown_sizes() {
    check(How::Unknown, 540);
}

#[test]
fn litert_computes_with_unknown_ranks() {
    check(How::Unranked, 340);
}

#[test]
fn litert_computes_with_constants() {
    check(How::Constant, 820);
}
