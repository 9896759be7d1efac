//! Runs every `testdata/hir/<pass>/*.hir`: a graph, a pipeline and what is expected of it, in one file.
//!
//! | directive | meaning |
//! |---|---|
//! | `; RUN: pipeline` | what to run; needed |
//! | `; OPSET: n` | operator set that will be written, for passes that ask for it |
//! | `; TARGET: name` | the model will be written for the profile of that name (`tflite`, `onnxruntime`, ...), for passes that ask for it |
//! | `; DTYPE: type` | 16-bit floats are asked for |
//! | `; QUANTIZE: words` | quantization is asked for, as `hoist_passes::Quantization` reads it |
//! | `; RANGE: value low high` | a known range of a value, for quantization |
//! | `; CHECK: text` | the printed result holds this text, behind what the `CHECK` before it matched |
//! | `; CHECK-NOT: text` | the printed result does not hold this text |
//! | `; CHECK-BLOCK:` | the printed result is exactly the lines `;\| ..` that follow; `HOIST_BLESS=1` rewrites them |
//! | `; MISS: pass: reason` | the pass does nothing somewhere, for a reason that holds this text |
//! | `; SAME: tol` | tolerance for comparing results before and after; 0 (bit for bit) unless given; `skip` where nothing can be computed |
//! | `; INPUT name: value` | an input for that; seeded unless given |
//! | `; error: text` | reading or running fails with a diagnostic that holds this text |
//!
//! Without being asked, every file is also printed, read and printed again, run a second time (which must change nothing), and
//! its results are compared.
mod random;

use hoist_formats::onnx::lower::Target;
use hoist_ir::diag::Diags;
use hoist_ir::dim::{Dim, SymInt};
use hoist_ir::dtype::DType;
use hoist_ir::eval::{Limits, Value, eval_graph};
use hoist_ir::graph::Graph;
use hoist_ir::model::Model;
use hoist_ir::tensor::Tensor;
use hoist_ir::text::{Directive, directives, graph_text, parse_model, parse_named_value, seeded};
use hoist_ir::types::{TensorType, Type};
use hoist_passes::quantize::spec::Interval;
use hoist_passes::{Floats, Options, Pipeline, Profile, Quantization, Report, Why, registry};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folders below `testdata/hir` that belong to no pass.
const OTHERS: &[&str] = &["text", "pattern", "pipeline"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/hir")
}

/// Files of a folder that end in `.hir`, sorted.
fn cases(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).into_iter().flatten().map(|e| e.expect("readable entry").path());
    let mut all: Vec<_> = all.filter(|p| p.extension().is_some_and(|e| e == "hir")).collect();
    all.sort();
    all
}

/// What the model of a case will be written for.
#[derive(Clone, Default)]
struct Wanted {
    profile: Option<&'static Profile>,
    opset: Option<i64>,
    floats: Option<DType>,
    quantization: Option<Quantization>,
    ranges: Vec<(String, Interval)>,
}

/// A case being run.
struct Case {
    path: PathBuf,
    text: String,
}

impl Case {
    fn read(path: &Path) -> Self {
        Self { path: path.to_owned(), text: fs::read_to_string(path).expect("readable file") }
    }
    fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = Directive<'a>> + 'a {
        directives(&self.text).into_iter().filter(move |d| d.key == key)
    }
    fn one(&self, key: &str) -> Option<&str> {
        let lines =
            self.text.lines().filter_map(|l| l.strip_prefix("; ")?.strip_prefix(key)?.strip_prefix(':'));
        lines.map(str::trim).next()
    }
    /// What the model will be written for.
    fn wanted(&self) -> Wanted {
        let profile = self
            .one("TARGET")
            .map(|name| Profile::by_name(name).expect("`TARGET` takes the name of a profile"));
        let opset = self.one("OPSET").map(|n| n.parse().expect("`OPSET` takes a number"));
        let floats = self.one("DTYPE").map(|d| DType::by_name(d).expect("`DTYPE` takes an element type"));
        let quantization = self.one("QUANTIZE").map(|q| q.parse().expect("`QUANTIZE` takes known words"));
        let ranges = self.all("RANGE").map(|d| range(d.rest)).collect();
        Wanted { profile, opset, floats, quantization, ranges }
    }
    fn run(&self) -> Result<(), String> {
        let pipeline = self.one("RUN").ok_or("no `; RUN: pipeline`")?;
        match self.outcome(pipeline) {
            Ok((before, after)) if self.all("error").next().is_none() => {
                self.check(pipeline, &before, &after)
            }
            Ok(_) => Err("an error is expected and there is none".to_owned()),
            Err(diags) => self.check_errors(&diags),
        }
    }
    /// The model before and after.
    fn outcome(&self, pipeline: &str) -> Result<(Model, Model), Diags> {
        let before = parse_model(&self.text)?;
        before.graph.verify().into_result()?;
        let mut after = before.clone();
        run(pipeline, &mut after, None, &self.wanted())?;
        Ok((before, after))
    }
    fn check_errors(&self, diags: &Diags) -> Result<(), String> {
        let expected: Vec<_> = self.all("error").collect();
        if expected.is_empty() {
            return Err(format!("unexpected error:\n{diags}"));
        }
        let shown: Vec<String> = diags.0.iter().map(ToString::to_string).collect();
        let missing = expected.iter().find(|e| !shown.iter().any(|s| s.contains(e.rest)));
        missing.map_or(Ok(()), |e| Err(format!("no diagnostic holds `{}`:\n{diags}", e.rest)))
    }
    fn check(&self, pipeline: &str, before: &Model, after: &Model) -> Result<(), String> {
        let text = graph_text(&after.graph);
        self.check_text(&text)?;
        self.check_misses(pipeline, before)?;
        check_round_trip(&text)?;
        check_idempotent(pipeline, after, &text, &self.wanted())?;
        if self.one("SAME") != Some("skip") {
            let tolerance =
                self.one("SAME").map_or(Ok(0.0), str::parse).map_err(|_| "`SAME` takes a number")?;
            self.check_same(&before.graph, &after.graph, tolerance)?;
        }
        Ok(())
    }
    fn check_text(&self, text: &str) -> Result<(), String> {
        let (mut rest, mut any) = (text, self.all("MISS").next().is_some());
        for d in directives(&self.text) {
            let at = || format!("line {}: `{}`", d.line, d.rest);
            match d.key {
                "CHECK" => {
                    let found = rest.find(d.rest).ok_or_else(|| format!("{} is not in\n{text}", at()))?;
                    rest = &rest[found + d.rest.len()..];
                }
                "CHECK-NOT" if text.contains(d.rest) => return Err(format!("{} is in\n{text}", at())),
                "CHECK-BLOCK" => self.check_block(d.line, text)?,
                _ => {}
            }
            any |= d.key.starts_with("CHECK");
        }
        if any { Ok(()) } else { Err("nothing is checked".to_owned()) }
    }
    fn check_block(&self, line: usize, text: &str) -> Result<(), String> {
        let block = self.text.lines().skip(line).map_while(|l| l.strip_prefix(";|"));
        let block: Vec<&str> = block.map(|l| l.strip_prefix(' ').unwrap_or(l)).collect();
        if block == text.lines().collect::<Vec<_>>() {
            return Ok(());
        }
        // With faults planted, what is printed is wrong on purpose.
        if std::env::var_os("HOIST_BLESS").is_none() || cfg!(feature = "faults") {
            return Err(format!("line {line}: the block differs from\n{text}HOIST_BLESS=1 rewrites it"));
        }
        let mut out = String::new();
        for l in self.text.lines().take(line) {
            let _ = writeln!(out, "{l}");
        }
        for l in text.lines() {
            let _ = writeln!(out, "{}", format!(";| {l}").trim_end());
        }
        for l in self.text.lines().skip(line + block.len()) {
            let _ = writeln!(out, "{l}");
        }
        fs::write(&self.path, out).map_err(|e| e.to_string())
    }
    fn check_misses(&self, pipeline: &str, before: &Model) -> Result<(), String> {
        for d in self.all("MISS") {
            let (pass, reason) = d.rest.split_once(": ").ok_or("`MISS` takes `pass: reason`")?;
            let why = Why { pass: pass.to_owned(), node: None };
            let report =
                run(pipeline, &mut before.clone(), Some(why), &self.wanted()).map_err(|d| d.to_string())?;
            if !report.misses.iter().any(|m| m.pass == pass && m.reason.contains(reason)) {
                return Err(format!("line {}: no such miss among {:#?}", d.line, report.misses));
            }
        }
        Ok(())
    }
    fn check_same(&self, before: &Graph, after: &Graph, tolerance: f64) -> Result<(), String> {
        let inputs = self.inputs(before)?;
        let limits = Limits::default();
        let want = eval_graph(before, inputs.clone(), limits).map_err(|e| format!("before: {e}"))?;
        let have = eval_graph(after, inputs, limits).map_err(|e| format!("after: {e}"))?;
        for ((want, have), o) in want.iter().zip(&have).zip(before.outputs()) {
            same(want, have, tolerance).map_err(|e| format!("output `{}`: {e}", o.name))?;
        }
        Ok(())
    }
    fn inputs(&self, g: &Graph) -> Result<Vec<Value>, String> {
        let given = self.all("INPUT").map(|d| parse_named_value(d.rest).map_err(|e| e.to_string()));
        let given: Vec<(String, Value)> = given.collect::<Result<_, _>>()?;
        let mut out = vec![];
        for (i, v) in g.inputs().iter().enumerate() {
            let name = g.value_label(*v);
            if let Some((_, value)) = given.iter().find(|(n, _)| *n == name) {
                out.push(value.clone());
                continue;
            }
            out.push(
                made_up(g.ty(*v), i as u64 + 1)
                    .map_err(|e| format!("`; INPUT {name}: ..` is needed: {e}"))?,
            );
        }
        Ok(out)
    }
}

/// Reads `value low high`.
fn range(text: &str) -> (String, Interval) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let &[name, low, high] = words.as_slice() else { panic!("`RANGE` takes a value and two numbers") };
    let number = |text: &str| text.parse().expect("`RANGE` takes numbers");
    (name.trim_start_matches('%').to_owned(), Interval { low: number(low), high: number(high) })
}

fn run(pipeline: &str, model: &mut Model, why: Option<Why>, wanted: &Wanted) -> Result<Report, Diags> {
    let pipeline = Pipeline::parse(pipeline)?;
    let (profile, opset) = (wanted.profile, wanted.opset);
    if let Some(profile) = profile {
        profile.import(model);
    }
    let onnx = opset.map(|n| hoist_passes::Target::Onnx(Target::new(model, n)));
    let target = profile.map(|p| p.target(model, opset)).or(onnx);
    let floats = wanted.floats.map(Floats::new);
    let quantization = wanted.quantization.clone().map(|mut q| {
        let known = |(v, value): (_, &hoist_ir::graph::Value)| {
            let name = value.name.as_deref()?;
            wanted.ranges.iter().find(|r| r.0 == name).map(|r| (v, r.1))
        };
        q.ranges = model.graph.values().filter_map(known).collect();
        Arc::new(q)
    });
    let mut options =
        Options { verify_each: true, why, target, profile, floats, quantization, ..Options::default() };
    hoist_passes::run(&pipeline, model, &mut options).map_err(|f| f.diags)
}

fn check_round_trip(text: &str) -> Result<(), String> {
    let again = parse_model(text).map_err(|d| format!("the result does not read back:\n{d}\n{text}"))?;
    let printed = graph_text(&again.graph);
    if printed == text { Ok(()) } else { Err(format!("the result reads back as\n{printed}not as\n{text}")) }
}

fn check_idempotent(pipeline: &str, after: &Model, text: &str, wanted: &Wanted) -> Result<(), String> {
    let mut again = after.clone();
    let report =
        run(pipeline, &mut again, None, wanted).map_err(|d| format!("the second run fails:\n{d}"))?;
    let printed = graph_text(&again.graph);
    if printed != text || report.changed() > 0 {
        return Err(format!("a second run changes the result, {:?}:\n{printed}from\n{text}", report.stats));
    }
    Ok(())
}

/// A value of type `ty`: two elements in a sequence, something in an optional.
fn made_up(ty: &Type, seed: u64) -> Result<Value, String> {
    match ty {
        Type::Tensor(ty) => Ok(seeded(ty.dtype, &sizes(ty), seed).map_err(|e| e.to_string())?.into()),
        Type::Sequence(ty) => {
            (0..2).map(|i| made_up(ty, seed + 100 * i)).collect::<Result<_, _>>().map(Value::Sequence)
        }
        Type::Optional(ty) => Ok(Value::Optional(Some(Box::new(made_up(ty, seed)?)))),
        _ => Err(format!("{ty} cannot be made up")),
    }
}

/// Sizes for a seeded input: every symbol has its own small size, what is unknown is 2.
fn sizes(ty: &TensorType) -> Vec<usize> {
    let symbol = |name: &str| {
        let sum = name.bytes().fold(0i64, |a, b| a.wrapping_mul(31).wrapping_add(i64::from(b)));
        Some(SymInt::from(2 + sum.rem_euclid(4)))
    };
    let one = |d: &Dim| match d {
        Dim::Known(n) => *n as usize,
        Dim::Expr(e) => e.substitute(&symbol).and_then(|v| v.as_const()).map_or(2, |v| v.max(0) as usize),
        Dim::Unknown => 2,
    };
    ty.shape.as_deref().unwrap_or(&[Dim::Unknown]).iter().map(one).collect()
}

fn same(want: &Value, have: &Value, tolerance: f64) -> Result<(), String> {
    match (want, have) {
        (Value::Tensor(a), Value::Tensor(b)) => same_tensors(a, b, tolerance),
        _ if want == have => Ok(()),
        _ => Err(format!("{want:?} became {have:?}")),
    }
}

fn same_tensors(want: &Tensor, have: &Tensor, tolerance: f64) -> Result<(), String> {
    if want.same_bits(have) {
        return Ok(());
    }
    if want.ty() != have.ty() || !want.dtype().is_float() || tolerance == 0.0 {
        return Err(format!("{want:?} became {have:?}"));
    }
    let (a, b) = (want.to_f64s().map_err(|e| e.to_string())?, have.to_f64s().map_err(|e| e.to_string())?);
    let differs = |(x, y): &(&f64, &f64)| {
        x != y
            && !(x.is_nan() && y.is_nan())
            && ((*x - *y).abs() > tolerance * (1.0 + x.abs()) || x.is_nan() != y.is_nan())
    };
    a.iter().zip(&b).find(differs).map_or(Ok(()), |(x, y)| Err(format!("{x} became {y}")))
}

#[test]
fn every_case_holds() {
    let mut wrong = vec![];
    let mut count = 0;
    for folder in registry().iter().map(|p| p.info().name).chain(["pipeline"]) {
        for path in cases(&root().join(folder)) {
            count += 1;
            if let Err(e) = Case::read(&path).run() {
                wrong.push(format!("{}: {e}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} cases:\n\n{}\n", wrong.len(), wrong.join("\n\n"));
    assert!(count >= 4 * registry().len(), "{count} cases for {} passes", registry().len());
}

/// Every pass has its file, its folder of cases, and cases for what is easy to forget.
#[test]
fn every_pass_is_registered_once_with_its_cases() {
    let mut names: Vec<&str> = registry().iter().map(|p| p.info().name).collect();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("passes/src");
    let mut families: Vec<PathBuf> = vec![source];
    for at in 0.. {
        let Some(folder) = families.get(at).filter(|f| f.is_dir()).cloned() else { break };
        let inner = fs::read_dir(&folder).expect("readable").flatten().map(|e| e.path());
        families.extend(inner.filter(|p| p.is_dir()));
    }
    for pass in registry() {
        let name = pass.info().name;
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name} is not kebab-case");
        assert!(pass.info().doc.ends_with('.'), "{name} has no sentence of documentation");
        let file = format!("{}.rs", name.replace('-', "_"));
        assert!(families.iter().any(|f| f.join(&file).is_file()), "{name} has no file of its name");
        for case in ["match", "miss", "output", "shared"] {
            let path = root().join(name).join(case).with_extension("hir");
            assert!(path.is_file(), "{name} has no case `{case}.hir`");
        }
    }
    for folder in fs::read_dir(root()).expect("readable").flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        assert!(
            names.contains(&name.as_str()) || OTHERS.contains(&name.as_str()),
            "testdata/hir/{name} belongs to no pass"
        );
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "two passes share a name");
}

/// A deliberate fault in each pass, planted in turn, makes one of the pass's own cases fail.
#[cfg(feature = "faults")]
#[test]
fn the_fault_of_every_pass_is_noticed() {
    let unnoticed = |name: &&'static str| {
        let cases = cases(&root().join(name));
        cases.iter().all(|path| hoist_passes::fault::with(name, || Case::read(path).run()).is_ok())
    };
    let names: Vec<&'static str> = registry().iter().map(|p| p.info().name).filter(unnoticed).collect();
    assert!(names.is_empty(), "nothing notices the faults of {names:?}");
}

/// The runner itself notices what it should.
#[test]
fn planted_faults_are_found() {
    let case = |text: &str| Case { path: PathBuf::new(), text: text.to_owned() }.run();
    let graph = "graph(%x: f32[2]) {\n  %a: f32[2] = identity(%x)\n  %y: f32[2] = leaky_relu(%a)\n  return y: %y\n}\n";
    let good = format!("; RUN: remove-identity\n; CHECK: leaky_relu(%x)\n; CHECK-NOT: identity\n{graph}");
    assert_eq!(case(&good), Ok(()));
    for (from, to) in [
        ("CHECK-NOT: identity", "CHECK: identity"),
        ("CHECK: leaky_relu(%x)", "CHECK-NOT: leaky_relu"),
        ("; CHECK: leaky_relu(%x)\n; CHECK-NOT: identity\n", ""),
        ("; CHECK-NOT: identity", "; MISS: remove-identity: nonsense"),
        ("; CHECK-NOT: identity", "; error: E0501"),
        ("; CHECK-NOT: identity", "; CHECK-BLOCK:\n;| graph"),
        ("remove-identity\n", "remove-identities\n"),
    ] {
        let bad = good.replace(from, to);
        assert!(bad != good && case(&bad).is_err(), "passes: {bad}");
    }
    let one = |v: f32| Value::Tensor(Tensor::scalar(v));
    assert!(same(&one(1.0), &one(1.1), 1e-3).is_err() && same(&one(1.0), &one(f32::NAN), 1.0).is_err());
    assert!(same(&one(0.0), &one(-0.0), 0.0).is_err() && same(&one(1.0), &one(1.0001), 1e-3).is_ok());
}
