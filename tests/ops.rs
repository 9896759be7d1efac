//! Runs every case of `testdata/ops`: each graph is printed and read back, then evaluated with its inputs as given, with sizes known
//! by symbols, by rank only or not at all, and as constants. What is computed must be what the file expects and an instance of what
//! is inferred. `OPS=name` runs the files whose names contain `name`.
#[path = "common/case.rs"]
mod case;
#[path = "common/compare.rs"]
mod compare;
#[path = "common/variant.rs"]
mod variant;

use case::{Case, Expected};
use compare::compare;
use hoist_ir::diag::Diag;
use hoist_ir::eval::{EvalCx, Limits, Value, eval_graph, eval_op};
use hoist_ir::graph::Graph;
use hoist_ir::op::OpError;
use hoist_ir::tensor::Tensor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use variant::How;

/// A folder of the project, which this file is tested from as part of two crates.
fn folder(name: &str) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    [here.join(name), here.join("..").join(name)].into_iter().find(|p| p.is_dir()).expect(name)
}

fn run_body(g: &Graph, inputs: Vec<Value>) -> Result<Vec<Value>, OpError> {
    eval_graph(g, inputs, Limits::default())
}

fn run(case: &Case, how: How) -> Result<(), String> {
    let (graph, inputs) = match how {
        How::Given => (case.graph.clone(), case.inputs.clone()),
        _ => variant::variant(&case.graph, &case.inputs, how)?,
    };
    graph.verify().into_result().map_err(|d| d.to_string())?;
    let sizes = variant::sizes(&graph, &inputs)?;
    for (v, value) in graph.inputs().iter().zip(&inputs) {
        variant::is_instance(value, graph.ty(*v), &sizes).map_err(|e| format!("input: {e}"))?;
    }
    let results = run_body(&graph, inputs).map_err(|e| e.to_string())?;
    for ((o, value), expected) in graph.outputs().iter().zip(&results).zip(&case.expected) {
        let at = |e: String| format!("output `{}`: {e}", o.name);
        match expected {
            Expected::Value(e) => compare(e, value, case.tolerance).map_err(at)?,
            Expected::Any(ty) => variant::is_instance(value, ty, &sizes).map_err(at)?,
        }
        variant::is_instance(value, graph.ty(o.value), &sizes).map_err(at)?;
        variant::holds_content(&graph, o.value, value, &sizes).map_err(at)?;
    }
    lazily(&graph)
}

/// Where an operator has a lazy form on constants, it gives the same bits as its evaluation.
fn lazily(g: &Graph) -> Result<(), String> {
    for n in g.order() {
        let node = g.node(n);
        let inputs: Vec<Option<&Tensor>> = node.inputs().iter().map(|v| g.constant((*v)?)).collect();
        if inputs.iter().zip(node.inputs()).any(|(t, v)| t.is_none() && v.is_some()) {
            continue;
        }
        let Some(lazy) = node.op().def().lazy(&inputs) else { continue };
        let cx = EvalCx {
            inputs: inputs.into_iter().map(|t| t.cloned().map(Value::Tensor)).collect(),
            outputs: node.outputs().len(),
            bodies: node.bodies(),
            captures: node.captures(),
            run: &run_body,
        };
        let eager = eval_op(node.op(), cx, Limits::default()).map_err(|e| e.to_string())?;
        if eager.first().and_then(Value::as_tensor).is_none_or(|t| !t.same_bits(&lazy)) {
            return Err(format!("the lazy form of `{}` gives another result", node.op().name()));
        }
    }
    Ok(())
}

fn caught(case: &Case, how: How) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| run(case, how)))
        .unwrap_or_else(|_| Err("panicked, see above".to_owned()))
}

/// What goes wrong, each with the ways in which it does.
fn failures(case: &Case) -> Vec<String> {
    let mut found: Vec<(String, Vec<How>)> = vec![];
    for how in variant::ALL {
        let Err(message) = caught(case, how) else { continue };
        match found.iter_mut().find(|(m, _)| *m == message) {
            Some((_, ways)) => ways.push(how),
            None => found.push((message, vec![how])),
        }
    }
    let line = |(message, ways): (String, Vec<How>)| match ways.len() {
        n if n == variant::ALL.len() => format!("{} {message}", case.place),
        _ => format!("{} {ways:?} {message}", case.place),
    };
    found.into_iter().map(line).collect()
}

#[test]
fn every_case_computes_what_it_expects() {
    let only = std::env::var("OPS").unwrap_or_default();
    let cases = case::load(&folder("testdata/ops"));
    let (mut count, mut wrong) = (0, vec![]);
    for case in cases {
        match case {
            Err(e) => wrong.push(e),
            Ok(case) if !case.place.contains(&only) => {}
            Ok(case) => {
                count += 1;
                wrong.extend(failures(&case));
            }
        }
    }
    assert!(count > 0, "no case in testdata/ops matches `{only}`");
    assert!(wrong.is_empty(), "{} failures in {count} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// The case with each operator replaced by its meaning in simpler ones; none where no operator says one for these operands.
fn expanded(case: &Case, how: How) -> Option<(Graph, Vec<Value>)> {
    let (mut graph, inputs) = match how {
        How::Given => (case.graph.clone(), case.inputs.clone()),
        _ => variant::variant(&case.graph, &case.inputs, how).ok()?,
    };
    let nodes: Vec<_> = graph.order().collect();
    let mut any = false;
    for n in nodes {
        let (op, operands) = (graph.node(n).op().clone(), graph.node(n).inputs().to_vec());
        let outputs = graph.node(n).outputs().len();
        let replaced = graph.rewrite(n, &[], |b| {
            let none = || Diag::error("E0302", "no meaning in simpler operators");
            let mut results = op.def().expand(b, &operands, outputs)?.ok_or_else(none)?;
            results.truncate(outputs);
            Ok(results)
        });
        any |= replaced.is_ok();
    }
    any.then_some((graph, inputs))
}

/// What operators mean in simpler ones is what they compute, whether operands are constants or not.
#[test]
fn expansions_compute_what_cases_expect() {
    let only = std::env::var("OPS").unwrap_or_default();
    let (mut count, mut wrong) = (0, vec![]);
    for case in case::load(&folder("testdata/ops")).into_iter().flatten().filter(|c| c.place.contains(&only))
    {
        for how in [How::Given, How::SymbolPerAxis, How::Constant] {
            let Some((graph, inputs)) = expanded(&case, how) else { continue };
            count += 1;
            let results = match run_body(&graph, inputs) {
                Ok(results) => results,
                Err(e) => {
                    wrong.push(format!("{} {how:?} {e}", case.place));
                    continue;
                }
            };
            for (result, expected) in results.iter().zip(&case.expected) {
                let Expected::Value(e) = expected else { continue };
                if let Err(e) = compare(e, result, case.tolerance) {
                    wrong.push(format!("{} {how:?} {e}", case.place));
                }
            }
        }
    }
    assert!(count > 0 || !only.is_empty(), "no operator says what it means");
    assert!(wrong.is_empty(), "{} of {count} expansions differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// The runner sees what it is there for.
#[test]
fn wrong_cases_fail() {
    let cases = case::load(&folder("testdata/ops-that-fail"));
    assert_eq!(cases.len(), 5);
    for case in cases {
        let case = case.expect("a case that reads");
        assert!(caught(&case, How::Given).is_err(), "{} passes", case.place);
    }
}
