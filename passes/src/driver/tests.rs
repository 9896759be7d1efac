use super::*;
use crate::pass::PassInfo;
use crate::pipeline::Group;
use hoist_ir::builder::Builder;
use hoist_ir::graph::Origin;
use hoist_ir::ops::elementwise::identity::Identity;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::text::{graph_text, parse_graph, parse_model};

const CHAIN: &str = "graph(%x: f32[2, 3]) {
  %a = identity(%x)
  %b = transpose(%a) {perm=[1, 0]}
  %c = transpose(%b) {perm=[1, 0]}
  return y: %c
}
";

fn model(text: &str) -> Model {
    parse_model(text).expect("valid text")
}

fn options<'a>() -> Options<'a> {
    Options { verify_each: true, ..Options::default() }
}

/// What a faulty pass does.
enum Fault {
    /// Edits and says it did not.
    Hides,
    /// Says it edited and did not.
    Boasts,
    /// Adds a node in every run.
    Restless,
    /// Adds an output.
    Interface,
    /// Fails.
    Fails,
}

struct Faulty(Fault);

impl Pass for Faulty {
    fn info(&self) -> &'static PassInfo {
        &PassInfo { name: "faulty", doc: "Does what no pass may." }
    }
    fn run(&self, g: &mut Graph, _: &Ctx) -> Result<Changed, Diag> {
        let x = g.inputs()[0];
        match self.0 {
            Fault::Boasts => return Ok(Changed(1)),
            Fault::Fails => return Err(Diag::error("E0901", "on purpose")),
            Fault::Interface => g.add_output("more", x),
            Fault::Hides | Fault::Restless => {
                Builder::at_end(g, Origin::default()).identity(Identity {}, x)?;
            }
        }
        Ok(Changed(u32::from(!matches!(self.0, Fault::Hides))))
    }
}

/// The pass `fault`, with `steps` around it.
fn pipeline(fault: Fault, wrap: impl Fn(Step) -> Vec<Step>) -> Pipeline {
    Pipeline { steps: wrap(Step::Pass(Box::leak(Box::new(Faulty(fault))))) }
}

#[test]
fn false_promises_are_found() {
    for (fault, code) in [
        (Fault::Hides, "E0503"),
        (Fault::Boasts, "E0503"),
        (Fault::Interface, "E0504"),
        (Fault::Fails, "E0901"),
    ] {
        let mut m = model(CHAIN);
        let before = graph_text(&m.graph);
        let failure = run(&pipeline(fault, |s| vec![s]), &mut m, &mut options()).expect_err(code);
        assert_eq!(failure.diags.0[0].code, code);
        assert_eq!(graph_text(&m.graph), before, "the model is as it was");
    }
}

#[test]
fn the_repro_is_the_graph_before_the_failing_pass() {
    let first = crate::by_name("remove-identity").expect("registered");
    let p = pipeline(Fault::Fails, |s| vec![Step::Pass(first), s]);
    let failure = run(&p, &mut model(CHAIN), &mut options()).expect_err("fails");
    let repro = failure.repro.expect("has a repro");
    assert_eq!(repro.pass, "faulty");
    let text = repro.text.strip_prefix("; RUN: faulty\n").expect("a RUN line");
    let g = parse_graph(text).expect("reads back");
    assert_eq!(g.node_count(), 2, "{text}");
}

#[test]
fn fixpoints_stop_and_say_so() {
    let p = pipeline(Fault::Restless, |s| {
        let other = Step::Pass(crate::by_name("remove-dead-code").expect("registered"));
        vec![Step::Fixpoint(Pipeline { steps: vec![s, other] })]
    });
    let report = run(&p, &mut model(CHAIN), &mut options()).expect("ends");
    assert_eq!(report.warnings.0.iter().map(|w| w.code).collect::<Vec<_>>(), ["E0502"]);
    assert_eq!(report.runs, 20);
    let p = Pipeline::parse("fixpoint(cleanup,fold)").expect("valid");
    let report = run(&p, &mut model(CHAIN), &mut options()).expect("ends");
    assert!(report.warnings.0.is_empty() && report.changed() > 0);
}

#[test]
fn stops_after_so_many_runs() {
    let p = Pipeline::parse("remove-identity,fixpoint(merge-transposes,remove-dead-code)").expect("valid");
    let counts: Vec<usize> = (0..3)
        .map(|n| {
            let mut m = model(CHAIN);
            let mut o = Options { stop_after: Some(n), ..options() };
            assert_eq!(run(&p, &mut m, &mut o).expect("runs").runs, n);
            m.graph.node_count()
        })
        .collect();
    assert_eq!(counts, [3, 2, 0]);
}

#[test]
fn dumps_and_names_of_options() {
    let mut dumped = vec![];
    let mut sink = |run: usize, text: &str| dumped.push((run, text.to_owned()));
    let mut o = Options { dump_after: Some(("merge-transposes".to_owned(), &mut sink)), ..options() };
    let p = Pipeline::parse("remove-identity,merge-transposes").expect("valid");
    run(&p, &mut model(CHAIN), &mut o).expect("runs");
    assert!(matches!(dumped.as_slice(), [(2, text)] if text.contains("return y: %x")), "{dumped:?}");
    let mut o = Options { why: Some(Why { pass: "merge-transpose".to_owned(), node: None }), ..options() };
    let failure = run(&p, &mut model(CHAIN), &mut o).expect_err("unknown pass");
    assert_eq!(failure.diags.0[0].code, "E0501");
}

#[test]
fn misses_can_be_asked_of_one_node() {
    let p = Pipeline::parse("remove-identity,merge-transposes").expect("valid");
    let misses = |node: Option<&str>| {
        let why = Why { pass: "remove-identity".to_owned(), node: node.map(str::to_owned) };
        run(&p, &mut model(CHAIN), &mut Options { why: Some(why), ..options() }).expect("runs").misses
    };
    assert_eq!(misses(None).len(), 2);
    let one = misses(Some("c"));
    assert!(matches!(one.as_slice(), [m] if m.at == "c" && m.reason == "it moves axes"), "{one:?}");
}

#[test]
fn types_may_become_more_precise_only() {
    let g = |ty: &str| {
        parse_graph(&format!("graph(%x: {ty}) {{\n  return y: %x\n}}\n")).expect("valid").interface()
    };
    for (old, new, fine) in [
        ("f32[?, 3]", "f32[2, 3]", true),
        ("f32[*]", "f32[N]", true),
        ("f32[N]", "f32[2]", true),
        ("f32[2]", "f32[N]", false),
        ("f32[N]", "f32[?]", false),
        ("f32[2]", "f64[2]", false),
    ] {
        assert_eq!(check_interface("p", &g(old), &g(new)).is_ok(), fine, "{old} -> {new}");
    }
}

/// The wrong declaration shows only once the shape operand is computed.
#[test]
fn a_wrongly_declared_output_is_a_warning() {
    let text = "graph(%x: f32[12]) {
  %s = const i64[2] [-4, -5]
  %t = bitwise_not(%s)
  %y: f32[4, 3] = reshape(%x, %t)
  return y: %y
}
";
    let mut m = model(text);
    let p = Pipeline::parse("fold").expect("valid");
    let report = run(&p, &mut m, &mut options()).expect("runs");
    let shown: Vec<String> = report.warnings.0.iter().map(ToString::to_string).collect();
    assert!(
        matches!(shown.as_slice(), [w] if w.contains("declared f32[4, 3] and computed as f32[3, 4]")),
        "{shown:?}"
    );
    assert_eq!(m.graph.interface().outputs[0].1.to_string(), "f32[3, 4]");
}

#[test]
fn rebuilding_a_node_as_it_was_is_no_change() {
    let mut g = model(CHAIN).graph;
    let before = fingerprint(&g);
    let b = g.order().nth(1).expect("a node");
    let x = g.node(b).input(0).expect("an operand");
    let rebuilt = g.rewrite(b, &[], |b| Ok(vec![b.transpose(Transpose { perm: vec![1, 0] }, x)?]));
    assert_eq!((rebuilt, fingerprint(&g)), (Ok(()), before));
    let b = g.order().nth(1).expect("a node");
    assert_eq!(g.set_op(b, Transpose { perm: vec![0, 1] }).map_err(|d| d.code), Ok(()));
    assert_ne!(fingerprint(&g), before);
}

#[test]
fn groups_are_data() {
    let names: Vec<&str> = crate::pipeline::GROUPS.iter().map(|g: &Group| g.name).collect();
    assert!(["cleanup", "fold", "fuse", "default"].iter().all(|n| names.contains(n)));
}
