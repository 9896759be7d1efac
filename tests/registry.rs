//! Every operator meets every format: bound by a row, or refused with a reason; and each has documentation and a case.
#[path = "common/case.rs"]
#[expect(dead_code, reason = "these tests do not look at results")]
mod case;
#[path = "common/variant.rs"]
#[expect(dead_code, reason = "these tests do not compare types with values")]
mod variant;

use hoist_emitters::tflite::plan;
use hoist_formats::onnx::bind::{REFUSED, read_row, rows, write_rows};
use hoist_formats::onnx::experimental::is_experimental;
use hoist_formats::onnx::versions::{NEWEST_OPSET, signature, since_version};
use hoist_formats::tflite::lower::Target;
use hoist_ir::model::Model;
use hoist_ir::ops::Op;
use hoist_passes::legalize::tflite::coverage::{Form, form};
use hoist_passes::{Options, Pipeline, run};
use std::collections::BTreeMap;
use std::path::Path;
use variant::How;

/// All that is wrong, one line each.
fn complain(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

#[test]
fn every_operator_is_bound_to_onnx_or_refused() {
    let mut problems = vec![];
    for s in Op::ALL {
        let bound = !write_rows(s.name).is_empty();
        let refused = REFUSED.iter().any(|(op, why)| *op == s.name && !why.is_empty());
        if bound == refused {
            problems.push(format!("`{}`: bound {bound}, refused {refused}", s.name));
        }
    }
    complain(&problems);
}

/// Whether TFLite files are written for the case, with inputs as it gives them or with their values as constants.
fn is_written(case: &case::Case) -> bool {
    [How::Given, How::Constant].into_iter().any(|how| {
        let Ok((graph, _)) = variant::variant(&case.graph, &case.inputs, how) else { return false };
        let mut model = Model { graph, ..Model::default() };
        let target = Target::default();
        let options =
            &mut Options { target: Some(hoist_passes::Target::Tflite(target.clone())), ..Options::default() };
        let pipeline = Pipeline::parse("legalize-tflite").expect("known group");
        run(&pipeline, &mut model, options).is_ok() && plan(&model, &target).is_ok()
    })
}

#[test]
fn tflite_writes_or_refuses_as_the_table_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut written: BTreeMap<&str, bool> = BTreeMap::new();
    let cases = case::load(&root.join("testdata/ops"));
    for case in cases.iter().filter_map(|c| c.as_ref().ok()) {
        let op = case.place.split('.').next().unwrap_or_default();
        let done = written.entry(op).or_default();
        *done = *done || is_written(case);
    }
    let mut problems = vec![];
    for s in Op::ALL {
        let done = written.get(s.name).copied().unwrap_or_default();
        match form(s.name) {
            None => problems.push(format!("`{}` has no form and is not refused", s.name)),
            Some(Form::Refused(_)) if done => problems.push(format!("`{}` is refused and written", s.name)),
            Some(Form::Builtin | Form::Pass(_)) if !done => {
                problems.push(format!("no case of `{}` is written", s.name));
            }
            Some(Form::Pass(pass)) if pass != "legalize-expand" => {
                let folder =
                    std::fs::read_dir(root.join("testdata/hir").join(pass)).expect("cases of the pass");
                let texts: Vec<String> =
                    folder.flatten().filter_map(|f| std::fs::read_to_string(f.path()).ok()).collect();
                if !texts.iter().any(|t| t.contains(&format!(" = {}(", s.name))) {
                    problems.push(format!("{pass} has no case of `{}`", s.name));
                }
            }
            Some(_) => {}
        }
    }
    complain(&problems);
}

#[test]
fn rows_name_operators_and_attributes_that_exist() {
    let mut problems = vec![];
    for r in rows() {
        let Some(op) = Op::by_name(r.op) else {
            problems.push(format!("row `{}`: no IR operator `{}`", r.foreign, r.op));
            continue;
        };
        if !r.domain.is_empty() {
            continue;
        }
        let at = r.until.min(NEWEST_OPSET);
        if is_experimental(r.foreign) {
            continue;
        }
        if since_version(r.foreign, at).is_none() || since_version(r.foreign, r.since).is_none() {
            problems.push(format!("row `{}`: not in operator sets {} to {at}", r.foreign, r.since));
        }
        let Some(signature) = signature(r.foreign, at).filter(|_| r.until == i64::MAX && r.writes()) else {
            continue;
        };
        for a in op.schema().attrs.iter().filter(|a| a.kind != "layout") {
            if signature.attr(a.name).is_none() {
                problems.push(format!("`{}` has no attribute for `{}` of `{}`", r.foreign, a.name, r.op));
            }
        }
    }
    complain(&problems);
}

#[test]
fn ranges_of_rows_do_not_overlap() {
    for r in rows().iter().filter(|r| r.reads()) {
        let hits = rows().iter().filter(|o| o.reads()).filter(|o| {
            (o.domain, o.foreign) == (r.domain, r.foreign) && o.since <= r.until && r.since <= o.until
        });
        assert_eq!(hits.count(), 1, "rows of `{}` from {} on overlap", r.foreign, r.since);
        assert!(read_row(r.domain, r.foreign, r.since).is_some());
    }
}

#[test]
fn every_operator_has_documentation_and_a_case() {
    let mut problems = vec![];
    for s in Op::ALL {
        let undocumented = s.attrs.iter().filter(|a| a.doc.trim().is_empty()).count();
        if s.doc.trim().is_empty() || undocumented > 0 {
            problems.push(format!("`{}` or an attribute of it has no documentation", s.name));
        }
        let case = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("testdata/ops/{}.hir", s.name));
        if !case.is_file() {
            problems.push(format!("`{}` has no case testdata/ops/{}.hir", s.name, s.name));
        }
    }
    complain(&problems);
}
