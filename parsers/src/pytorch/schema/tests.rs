use super::*;

const NODES: &str = r#"[{"target": "torch.ops.aten.add.Tensor", "name": "add", "metadata": {}, "inputs": [
  {"name": "self", "arg": ARG, "kind": 1}, {"name": "alpha", "arg": {"as_float": "-Infinity"}, "kind": 2}],
  "outputs": [{"as_tensor": {"name": "add"}}], "is_hop_single_tensor_return": null}]"#;

const META: &str = r#"{"dtype": 7, "sizes": [{"as_expr": {"expr_str": "Symbol('s0')", "hint": {"as_int": 2}}}],
  "requires_grad": false, "device": {"type": "cpu", "index": null}, "strides": [{"as_int": 1}],
  "storage_offset": {"as_int": 0}, "layout": 7}"#;

/// A program with one node whose first argument is `arg`, and `values` as its types.
fn program(arg: &str, values: &str) -> String {
    let nodes = NODES.replace("ARG", arg);
    format!(
        r#"{{"graph_module": {{"graph": {{"inputs": [{{"as_tensor": {{"name": "x"}}}}],
        "outputs": [{{"as_tensor": {{"name": "add"}}}}], "nodes": {nodes}, "tensor_values": {{{values}}},
        "sym_int_values": {{}}, "sym_bool_values": {{}}}},
        "signature": {{"input_specs": [{{"user_input": {{"arg": {{"as_tensor": {{"name": "x"}}}}}}}}],
        "output_specs": [{{"user_output": {{"arg": {{"as_tensor": {{"name": "add"}}}}}}}}]}},
        "module_call_graph": []}}, "opset_version": {{"aten": 10}}, "range_constraints": {{}},
        "schema_version": {{"major": 8, "minor": 20}}}}"#
    )
}

fn problems(arg: &str, values: &str) -> Vec<String> {
    let parsed = ExportedProgram::parse(program(arg, values).as_bytes()).unwrap();
    parsed.validate().iter().map(ToString::to_string).collect()
}

const X: &str = r#"{"as_tensor": {"name": "x"}}"#;

#[test]
fn a_sound_program_has_no_problems() {
    let text = program(X, &format!(r#""x": {META}, "add": {META}"#));
    let parsed = ExportedProgram::parse(text.as_bytes()).unwrap();
    assert_eq!(parsed.validate(), []);
    let node = &parsed.graph_module.graph.nodes[0];
    assert_eq!(node.inputs[0].arg, Argument::Tensor(Named { name: "x".to_owned() }));
    assert_eq!(node.inputs[1].arg, Argument::Float(f64::NEG_INFINITY));
    let meta = parsed.graph_module.graph.tensor_values.get("x").unwrap();
    assert_eq!(meta.dtype.dtype(), Some(TorchDtype::Float32));
    assert!(matches!(&meta.sizes[0], SymInt::Expr(e) if e.hint == Some(SymHint::AsInt(2))));
}

#[test]
fn bad_arguments_are_named_with_their_node() {
    for (arg, part) in [
        (r#"{"as_zork": {"deep": [1]}}"#, "kind \"as_zork\""),
        (r#"{"as_int": 1, "as_tensor": {"name": "x"}}"#, "several kinds: as_int, as_tensor"),
        ("{}", "without a kind"),
        (r#"{"as_tensor": {"name": "ghost"}}"#, "\"ghost\" is used"),
        (r#"{"as_scalar_type": 999}"#, "type 999"),
    ] {
        let found = problems(arg, "");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("node \"add\" (torch.ops.aten.add.Tensor), argument \"self\""),
            "{found:?}"
        );
        assert!(found[0].contains(part), "{found:?}");
    }
}

#[test]
fn all_problems_of_types_are_reported() {
    let bad = META
        .replace("\"dtype\": 7", "\"dtype\": 999")
        .replace("\"as_int\": 1", "\"as_int\": 1}, {\"as_int\": 1");
    let deep = META.replace("Symbol('s0')", &"(".repeat(100));
    let found = problems(X, &format!(r#""x": {bad}, "x": {META}, "add": {deep}"#));
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn wrong_json_is_an_error() {
    let good = program(X, "");
    for (from, to) in [("\"nodes\"", "\"knots\""), ("\"inputs\": [", "\"inputs\": 3, \"z\": ["), ("}", "")] {
        assert!(ExportedProgram::parse(good.replace(from, to).as_bytes()).is_err(), "{from}");
    }
    let deep = program(&r#"{"as_string_to_argument": {"a": "#.repeat(1000), "");
    assert!(ExportedProgram::parse(deep.as_bytes()).is_err());
}
