//! Every operator case is written for every operator set from 11 on, read back and computed: the results are the same, or what the
//! operator set lacks is said by name. `OPS=name` takes the files whose names contain `name`, `OPSET=n` that operator set.
#[path = "common/case.rs"]
#[expect(dead_code, reason = "this test does not look at the types of random results")]
mod case;
#[path = "common/compare.rs"]
mod compare;
#[path = "common/oracle.rs"]
mod oracle;
#[path = "common/variant.rs"]
#[expect(dead_code, reason = "this test compares values, not types")]
mod variant;

use case::{Case, Expected};
use compare::compare;
use hoist_emitters::onnx::{WriteOptions, plan};
use hoist_formats::onnx::dtype::since_opset;
use hoist_formats::onnx::lower::{Target, choose};
use hoist_formats::onnx::versions::NEWEST_OPSET;
use hoist_ir::diag::Diags;
use hoist_ir::eval::{Limits, Value, eval_graph};
use hoist_ir::graph::Graph;
use hoist_ir::model::Model;
use hoist_parsers::onnx::{ReadOptions, read};
use hoist_parsers::source::Source;
use hoist_passes::{Options, Pipeline, run};
use std::collections::BTreeMap;
use std::path::Path;
use variant::How;

/// Oldest operator set for which every case is written.
const OLDEST: i64 = 11;
/// Fewest cases that an operator set must express, in percent.
const FLOORS: &[(i64, usize)] = &[(11, 70), (13, 80), (17, 84), (18, 90), (21, 94)];

fn legal(model: &mut Model, opset: i64) {
    let mut pipelines = vec!["legalize-onnx"];
    let mut options = Options { verify_each: true, ..Options::default() };
    if choose(model, Some(opset)).is_err() {
        options.target = Some(hoist_passes::Target::Onnx(Target::new(model, opset)));
        pipelines.insert(0, "legalize-opset");
    }
    for text in pipelines {
        let pipeline = Pipeline::parse(text).expect("known passes");
        run(&pipeline, model, &mut options).unwrap_or_else(|f| panic!("{}", f.diags));
    }
}

/// The ONNX file for `opset`, or all that it cannot express.
fn written(model: &Model, opset: i64) -> Result<Vec<u8>, Diags> {
    let mut model = model.clone();
    legal(&mut model, opset);
    let plan = plan(&model, &WriteOptions { opset: Some(opset), ..WriteOptions::default() })?;
    assert_eq!(plan.opset(), opset);
    let mut bytes = vec![];
    plan.write_model(&mut bytes).expect("writes to memory");
    Ok(bytes)
}

/// Puts a file where readers of other makers look, if they can know the outputs.
fn for_others(dir: &Path, case: &Case, (model, values): (&Model, &[Value]), bytes: &[u8], how: &str) {
    let Some(expected) = oracle::comparable(case) else { return };
    let (inputs, outputs) = oracle::names(&model.graph);
    let name = format!("{}_{how}", case.place.replace([':', '.'], "_"));
    oracle::put(dir, (&name, "onnx"), bytes, (&inputs, values), (&outputs, &expected), case.tolerance);
}

fn read_back(bytes: Vec<u8>) -> Result<Model, String> {
    let source = Source::from_bytes("written.onnx".to_owned(), bytes.into());
    read(&source, &ReadOptions::default()).map_err(|d| d.to_string())
}

fn same(case: &Case, model: &Model, inputs: Vec<Value>) -> Result<(), String> {
    // A vendor's operator whose row needs sizes passes through where they are not known.
    if model.graph.order().any(|n| model.graph.node(n).op().name() == "custom") {
        return Ok(());
    }
    let have = eval_graph(&model.graph, inputs, Limits::default()).map_err(|e| e.to_string())?;
    for (e, a) in case.expected.iter().zip(&have) {
        if let Expected::Value(e) = e {
            compare(e, a, case.tolerance)?;
        }
    }
    Ok(())
}

/// What a part of the cases gave: what is wrong, and by operator set how many were expressed of how many.
#[derive(Default)]
struct Outcome {
    wrong: Vec<String>,
    counts: BTreeMap<i64, (usize, usize)>,
}

/// All operator sets at which much changed with every value known; the oldest, where most is lacking, with less known.
fn wanted(opset: Option<i64>, how: How) -> Vec<i64> {
    let all: &[i64] = match how {
        How::Constant => &[11, 12, 13, 14, 15, 16, 17, 18, 20, 21, 23, 26, NEWEST_OPSET],
        How::Given => &[11, 17],
        _ => &[OLDEST],
    };
    opset.map_or_else(|| all.to_vec(), |o| vec![o])
}

/// Whether a value of `graph` has an element type that operator set `t` does not know.
fn has_younger_types(graph: &Graph, t: i64) -> bool {
    graph.values().any(|(_, v)| v.ty().as_tensor().is_some_and(|ty| since_opset(ty.dtype) > t))
}

#[expect(clippy::print_stderr, reason = "shows refusals when asked to")]
fn one(case: &Case, opset: Option<i64>, loud: bool, oracle: Option<&Path>, out: &mut Outcome) {
    for how in [How::Given, How::SymbolPerAxis, How::Constant] {
        let (graph, inputs) = variant::variant(&case.graph, &case.inputs, how).expect("the case holds");
        let model = Model { graph, ..Model::default() };
        for t in wanted(opset, how) {
            let place = format!("{} {how:?} at {t}", case.place);
            let count = out.counts.entry(t).or_default();
            // No operator set can hold element types that came after it.
            count.1 += usize::from(!has_younger_types(&case.graph, t));
            match written(&model, t) {
                Err(diags) => {
                    if !diags.0.iter().all(|d| d.code == "E0302" && d.hint.is_some()) {
                        out.wrong.push(format!("{place}: {diags}"));
                    }
                    if loud {
                        eprintln!("{place}: {diags}");
                    }
                }
                Ok(bytes) => {
                    count.0 += usize::from(!has_younger_types(&case.graph, t));
                    // The others are those of the default operator set, which another test shows.
                    let rewritten = choose(&model, Some(t)).is_err();
                    if let (true, How::Given | How::Constant, Some(dir)) = (rewritten, how, oracle) {
                        for_others(dir, case, (&model, &inputs), &bytes, &format!("{how:?}_{t}"));
                    }
                    if let Err(e) = read_back(bytes).and_then(|m| same(case, &m, inputs.clone())) {
                        out.wrong.push(format!("{place}: {e}"));
                    }
                }
            }
        }
    }
}

#[test]
fn every_case_at_every_operator_set() {
    let only = std::env::var("OPS").unwrap_or_default();
    let opset: Option<i64> = std::env::var("OPSET").ok().map(|n| n.parse().expect("`OPSET` is a number"));
    let cases = case::load(Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/ops").as_path());
    let cases: Vec<Case> =
        cases.into_iter().filter_map(Result::ok).filter(|c| c.place.contains(&only)).collect();
    assert!(!cases.is_empty(), "no case matches `{only}`");
    let dir = tempfile::tempdir().expect("temporary folder");
    let oracle = std::env::var_os("HOIST_ORACLE_PYTHON").map(|_| dir.path());
    let parts = std::thread::available_parallelism().map_or(1, usize::from);
    let loud = !only.is_empty();
    let (mut wrong, mut counts) = (vec![], BTreeMap::<i64, (usize, usize)>::new());
    let part = |i: usize| {
        let mut out = Outcome::default();
        let own = cases.iter().skip(i).step_by(parts);
        own.for_each(|case| one(case, opset, loud, oracle, &mut out));
        out
    };
    let part = &part;
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..parts).map(|i| scope.spawn(move || part(i))).collect();
        for out in running {
            let out = out.join().expect("no panic");
            wrong.extend(out.wrong);
            for (t, (n, of)) in out.counts {
                let sum = counts.entry(t).or_default();
                *sum = (sum.0 + n, sum.1 + of);
            }
        }
    });
    eprintln!("{} cases; expressed: {counts:?}", cases.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    if let Some(dir) = oracle {
        oracle::accept(dir, "accept.py");
    }
    if only.is_empty() && opset.is_none() {
        for (t, percent) in FLOORS {
            let (n, of) = counts[t];
            assert!(n * 100 >= of * percent, "operator set {t} expresses {n} of {of}");
        }
    }
}

/// Files of old operator sets, each with inputs and expected outputs as text in its metadata.
#[test]
fn old_files_compute_what_they_expect() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/models/old-opsets");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("readable").map(|e| e.expect("readable entry").path()).collect();
    paths.sort();
    let mut wrong = vec![];
    for path in &paths {
        if let Err(e) = old_file(path) {
            wrong.push(format!("{}: {e}", path.display()));
        }
    }
    assert!(paths.len() > 60, "{} files", paths.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn old_file(path: &Path) -> Result<(), String> {
    let source = Source::open(path).map_err(|d| d.to_string())?;
    let model = read(&source, &ReadOptions::default());
    let refused = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("refused_"));
    let model = match (model, refused) {
        (Err(d), true) if d.0.iter().all(|d| matches!(d.code, "E0301" | "E0303" | "E0304" | "E0305")) => {
            return Ok(());
        }
        (Ok(_), true) => return Err("reads".to_owned()),
        (model, _) => model.map_err(|d| d.to_string())?,
    };
    let (mut inputs, mut expected) = (vec![], vec![]);
    for (key, text) in &model.props {
        let (_, value) = hoist_ir::text::parse_named_value(text).map_err(|e| format!("{text}: {e}"))?;
        if key.starts_with("input") { inputs.push(value) } else { expected.push(value) }
    }
    compute(&model, inputs.clone(), &expected).map_err(|e| format!("as read: {e}"))?;
    // Written again for other operator sets it means the same.
    for t in [OLDEST, 13, 17, 18, NEWEST_OPSET] {
        let bytes = match written(&model, t) {
            // No older operator samples at computed places.
            Err(d) if t < 16 && d.to_string().contains("`grid_sample`") => continue,
            bytes => bytes.map_err(|d| format!("at {t}: {d}"))?,
        };
        let again = read_back(bytes).map_err(|d| format!("at {t}: {d}"))?;
        compute(&again, inputs.clone(), &expected).map_err(|e| format!("at {t}: {e}"))?;
    }
    Ok(())
}

fn compute(model: &Model, inputs: Vec<Value>, expected: &[Value]) -> Result<(), String> {
    let have = eval_graph(&model.graph, inputs, Limits::default()).map_err(|e| e.to_string())?;
    if have.len() != expected.len() {
        return Err(format!("{} outputs, {} expected", have.len(), expected.len()));
    }
    expected.iter().zip(&have).try_for_each(|(e, a)| compare(e, a, (1e-5, 1e-6)))
}
