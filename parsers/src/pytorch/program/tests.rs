//! Small programs, built here as JSON, lifted and evaluated.
use super::read;
use crate::pytorch::lift::state::StateMode;
use crate::source::Source;
use crate::zip::tests::build;
use ::zip::CompressionMethod;
use hoist_ir::diag::Diags;
use hoist_ir::eval::{Limits, Value, eval_graph};
use hoist_ir::model::Model;
use hoist_ir::tensor::Tensor;
use serde_json::{Value as Json, json};

const F32: u32 = 7;
const I64: u32 = 5;
const BOOL: u32 = 12;

/// A program from types of its values, nodes, inputs and outputs.
struct Program {
    values: Vec<(&'static str, u32, Vec<i64>)>,
    nodes: Vec<Json>,
    inputs: Vec<&'static str>,
    outputs: Vec<&'static str>,
    /// Values whose columns lie behind each other, as those of a transposed tensor.
    turned: Vec<&'static str>,
}

fn t(name: &str) -> Json {
    json!({"as_tensor": {"name": name}})
}
fn int(v: i64) -> Json {
    json!({ "as_int": v })
}
fn node(target: &str, inputs: &[(&str, Json)], output: &str) -> Json {
    let inputs: Vec<Json> = inputs.iter().map(|(n, a)| json!({"name": n, "arg": a, "kind": 1})).collect();
    json!({"target": format!("torch.ops.aten.{target}"), "inputs": inputs, "outputs": [t(output)],
        "metadata": {"stack_trace": "File \"/home/u/net.py\", line 12, in forward\n x"}})
}

impl Program {
    fn archive(&self) -> Vec<u8> {
        let meta = |(name, dtype, sizes): &(&str, u32, Vec<i64>)| {
            let mut strides = vec![1; sizes.len()];
            for i in (1..sizes.len()).rev() {
                strides[i - 1] = strides[i] * sizes[i];
            }
            if self.turned.contains(name) {
                strides = vec![1, sizes[0]];
            }
            let list = |v: &[i64]| v.iter().map(|n| int(*n)).collect::<Vec<_>>();
            let meta = json!({"dtype": dtype, "sizes": list(sizes), "strides": list(&strides), "requires_grad": false,
                "device": {"type": "cpu", "index": null}, "storage_offset": int(0), "layout": 7});
            ((*name).to_owned(), meta)
        };
        let values: serde_json::Map<String, Json> = self.values.iter().map(meta).collect();
        let all = |names: &[&str]| names.iter().map(|n| t(n)).collect::<Vec<_>>();
        let specs =
            |names: &[&str], key: &str| names.iter().map(|n| json!({key: {"arg": t(n)}})).collect::<Vec<_>>();
        let program = json!({"graph_module": {
            "graph": {"inputs": all(&self.inputs), "outputs": all(&self.outputs), "nodes": self.nodes, "tensor_values": values},
            "signature": {"input_specs": specs(&self.inputs, "user_input"), "output_specs": specs(&self.outputs, "user_output")}},
            "schema_version": {"major": 8, "minor": 20}, "torch_version": "2.15.0"});
        let text = program.to_string();
        let entries: [(&str, &[u8]); 3] = [
            ("m/models/model.json", text.as_bytes()),
            ("m/archive_format", b"pt2"),
            ("m/byteorder", b"little"),
        ];
        build(&entries, CompressionMethod::Stored)
    }
    fn lift(&self) -> Result<Model, Diags> {
        read(&Source::from_bytes("t.pt2", self.archive().into()), StateMode::default())
    }
    fn run(&self, inputs: Vec<Tensor>) -> Vec<Tensor> {
        let model = self.lift().unwrap();
        assert!(!model.graph.verify().has_errors());
        let inputs = inputs.into_iter().map(Value::Tensor).collect();
        let out = eval_graph(&model.graph, inputs, Limits::default()).unwrap();
        out.into_iter().map(|v| v.into_tensor().unwrap()).collect()
    }
}

fn floats(shape: &[usize], v: &[f32]) -> Tensor {
    Tensor::from_vec(shape, v.to_vec())
}

#[test]
fn a_write_through_views_reaches_the_base_and_other_views() {
    let program = Program {
        values: vec![
            ("x", F32, vec![2, 3]),
            ("y", F32, vec![2, 3]),
            ("other", F32, vec![2]),
            ("turned", F32, vec![3, 2]),
            ("row", F32, vec![2]),
            ("row_", F32, vec![2]),
            ("sum", F32, vec![2]),
        ],
        nodes: vec![
            node("clone.default", &[("self", t("x"))], "y"),
            node("select.int", &[("self", t("y")), ("dim", int(1)), ("index", int(1))], "other"),
            node("t.default", &[("self", t("y"))], "turned"),
            node("select.int", &[("self", t("turned")), ("dim", int(0)), ("index", int(1))], "row"),
            node("add_.Tensor", &[("self", t("row")), ("other", json!({"as_float": 10.0}))], "row_"),
            node("add.Tensor", &[("self", t("other")), ("other", t("row_"))], "sum"),
        ],
        inputs: vec!["x"],
        outputs: vec!["y", "sum"],
        turned: vec![],
    };
    let out = program.run(vec![floats(&[2, 3], &[0., 1., 2., 3., 4., 5.])]);
    assert_eq!(out[0], floats(&[2, 3], &[0., 11., 2., 3., 14., 5.]));
    assert_eq!(out[1], floats(&[2], &[22., 28.]));
}

#[test]
fn a_write_goes_back_through_a_permutation_that_is_not_its_own_inverse() {
    let order = json!({"as_ints": [2, 0, 1]});
    let program = Program {
        values: vec![
            ("x", F32, vec![1, 2, 3]),
            ("y", F32, vec![1, 2, 3]),
            ("turned", F32, vec![3, 1, 2]),
            ("column", F32, vec![1, 2]),
            ("column_", F32, vec![1, 2]),
        ],
        nodes: vec![
            node("clone.default", &[("self", t("x"))], "y"),
            node("permute.default", &[("self", t("y")), ("dims", order)], "turned"),
            node("select.int", &[("self", t("turned")), ("dim", int(0)), ("index", int(1))], "column"),
            node("add_.Tensor", &[("self", t("column")), ("other", json!({"as_float": 10.0}))], "column_"),
        ],
        inputs: vec!["x"],
        outputs: vec!["y"],
        turned: vec![],
    };
    let out = program.run(vec![floats(&[1, 2, 3], &[0., 1., 2., 3., 4., 5.])]);
    assert_eq!(out[0], floats(&[1, 2, 3], &[0., 11., 2., 3., 14., 5.]));
}

#[test]
fn steps_and_diagonals_are_written_back() {
    let program = Program {
        values: vec![
            ("x", F32, vec![2, 4]),
            ("y", F32, vec![2, 4]),
            ("even", F32, vec![2, 2]),
            ("even_", F32, vec![2, 2]),
            ("diag", F32, vec![2]),
            ("diag_", F32, vec![2]),
        ],
        nodes: vec![
            node("clone.default", &[("self", t("x"))], "y"),
            node("slice.Tensor", &[("self", t("y")), ("dim", int(1)), ("step", int(2))], "even"),
            node("mul_.Tensor", &[("self", t("even")), ("other", int(10))], "even_"),
            node("diagonal.default", &[("self", t("y"))], "diag"),
            node("fill_.Scalar", &[("self", t("diag")), ("value", int(-1))], "diag_"),
        ],
        inputs: vec!["x"],
        outputs: vec!["y"],
        turned: vec![],
    };
    let out = program.run(vec![floats(&[2, 4], &[1., 2., 3., 4., 5., 6., 7., 8.])]);
    assert_eq!(out[0], floats(&[2, 4], &[-1., 2., 30., 4., 50., -1., 70., 8.]));
}

#[test]
fn a_reshape_is_a_view_exactly_where_the_layout_allows_it() {
    let program = |turned: Vec<&'static str>| Program {
        values: vec![
            ("x", F32, vec![2, 2]),
            ("y", F32, vec![2, 2]),
            ("turned", F32, vec![2, 2]),
            ("flat", F32, vec![4]),
            ("y_", F32, vec![2, 2]),
        ],
        nodes: vec![
            node("clone.default", &[("self", t("x"))], "y"),
            node("t.default", &[("self", t("y"))], "turned"),
            node("reshape.default", &[("self", t("turned")), ("shape", json!({"as_ints": [-1]}))], "flat"),
            node("zero_.default", &[("self", t("y"))], "y_"),
        ],
        inputs: vec!["x"],
        outputs: vec!["flat"],
        turned,
    };
    let input = || floats(&[2, 2], &[1., 2., 3., 4.]);
    // A transposed tensor cannot be flattened without a copy, which the later write does not reach.
    assert_eq!(program(vec!["turned"]).run(vec![input()])[0], floats(&[4], &[1., 3., 2., 4.]));
    // The same with `y` stored by columns: then `turned` is row-major and `flat` a view of it.
    assert_eq!(program(vec!["y"]).run(vec![input()])[0], floats(&[4], &[0.; 4]));
}

#[test]
fn declared_types_decide_over_wrong_promotion() {
    let program = |dtype| Program {
        values: vec![("x", I64, vec![2]), ("y", dtype, vec![2])],
        nodes: vec![node("add.Tensor", &[("self", t("x")), ("other", json!({"as_float": 0.5}))], "y")],
        inputs: vec!["x"],
        outputs: vec!["y"],
        turned: vec![],
    };
    let out = program(F32).run(vec![Tensor::from_ints(&[1, 2])]);
    assert_eq!(out[0], floats(&[2], &[1.5, 2.5]));
    let wrong = program(I64).lift().unwrap_err();
    assert_eq!(wrong.0[0].code, "E0402");
    assert!(wrong.to_string().contains("/home/u/net.py:12"), "{wrong}");
}

#[test]
fn attention_gives_zero_where_all_is_masked() {
    let program = Program {
        values: vec![
            ("q", F32, vec![1, 2, 1]),
            ("k", F32, vec![1, 3, 1]),
            ("v", F32, vec![1, 3, 1]),
            ("m", BOOL, vec![2, 3]),
            ("y", F32, vec![1, 2, 1]),
        ],
        nodes: vec![node(
            "scaled_dot_product_attention.default",
            &[("query", t("q")), ("key", t("k")), ("value", t("v")), ("attn_mask", t("m"))],
            "y",
        )],
        inputs: vec!["q", "k", "v", "m"],
        outputs: vec!["y"],
        turned: vec![],
    };
    let mask = Tensor::from_bools(&[2, 3], vec![true, false, true, false, false, false]);
    let out = program.run(vec![
        floats(&[1, 2, 1], &[0., 1.]),
        floats(&[1, 3, 1], &[5., 6., 7.]),
        floats(&[1, 3, 1], &[1., 2., 4.]),
        mask,
    ]);
    assert_eq!(out[0], floats(&[1, 2, 1], &[2.5, 0.0]));
}

#[test]
fn causal_attention_aligns_at_the_first_key() {
    let program = Program {
        values: vec![
            ("q", F32, vec![1, 2, 1]),
            ("k", F32, vec![1, 3, 1]),
            ("v", F32, vec![1, 3, 1]),
            ("y", F32, vec![1, 2, 1]),
        ],
        nodes: vec![node(
            "scaled_dot_product_attention.default",
            &[("query", t("q")), ("key", t("k")), ("value", t("v")), ("is_causal", json!({"as_bool": true}))],
            "y",
        )],
        inputs: vec!["q", "k", "v"],
        outputs: vec!["y"],
        turned: vec![],
    };
    let zeros = floats(&[1, 3, 1], &[0.; 3]);
    let out = program.run(vec![floats(&[1, 2, 1], &[1., 1.]), zeros, floats(&[1, 3, 1], &[2., 4., 100.])]);
    assert_eq!(out[0], floats(&[1, 2, 1], &[2.0, 3.0]));
}

#[test]
fn index_axes_that_are_not_adjacent_go_to_the_front() {
    // Neither index is on the first axis, so only the gap between them decides.
    let i = || json!({"as_tensor": {"name": "i"}});
    let none = || json!({"as_none": true});
    let program = Program {
        values: vec![("x", F32, vec![1, 2, 2, 2]), ("i", I64, vec![3]), ("y", F32, vec![3, 1, 2])],
        nodes: vec![node(
            "index.Tensor",
            &[("self", t("x")), ("indices", json!({"as_optional_tensors": [none(), i(), none(), i()]}))],
            "y",
        )],
        inputs: vec!["x", "i"],
        outputs: vec!["y"],
        turned: vec![],
    };
    let x = floats(&[1, 2, 2, 2], &[0., 1., 2., 3., 4., 5., 6., 7.]);
    let out = program.run(vec![x, Tensor::from_ints(&[0, 1, -1])]);
    assert_eq!(out[0], floats(&[3, 1, 2], &[0., 2., 5., 7., 5., 7.]));
}

#[test]
fn index_put_adds_up_repeated_positions_of_an_inner_axis() {
    let at = json!({"as_optional_tensors": [{"as_none": true}, {"as_tensor": {"name": "i"}}]});
    let program = Program {
        values: vec![
            ("x", F32, vec![2, 3]),
            ("i", I64, vec![2]),
            ("v", F32, vec![2, 2]),
            ("y", F32, vec![2, 3]),
        ],
        nodes: vec![node(
            "index_put.default",
            &[
                ("self", t("x")),
                ("indices", at),
                ("values", t("v")),
                ("accumulate", json!({"as_bool": true})),
            ],
            "y",
        )],
        inputs: vec!["x", "i", "v"],
        outputs: vec!["y"],
        turned: vec![],
    };
    let x = floats(&[2, 3], &[0., 1., 2., 3., 4., 5.]);
    let out = program.run(vec![x, Tensor::from_ints(&[2, 2]), floats(&[2, 2], &[1., 2., 3., 4.])]);
    assert_eq!(out[0], floats(&[2, 3], &[0., 1., 5., 3., 4., 12.]));
}

#[test]
fn all_unsupported_operators_are_listed_with_counts() {
    let mut program = Program {
        values: vec![("x", F32, vec![2]), ("a", F32, vec![2]), ("b", F32, vec![2]), ("c", F32, vec![2])],
        nodes: vec![
            node("no_such.default", &[("self", t("x"))], "a"),
            node("no_such.default", &[("self", t("a"))], "b"),
            node("nor_this.out", &[("self", t("b"))], "c"),
        ],
        inputs: vec!["x"],
        outputs: vec!["c"],
        turned: vec![],
    };
    let found = program.lift().unwrap_err();
    assert_eq!(found.0.iter().map(|d| d.code).collect::<Vec<_>>(), ["E0301", "E0301"]);
    assert!(found.0[0].message.contains("aten.no_such.default") && found.0[0].message.contains("2 nodes"));
    // What reads a result of an unknown operator is tried as well.
    program.nodes[2] = node("relu.default", &[("self", t("b")), ("strange", int(3))], "c");
    let found = program.lift().unwrap_err();
    assert!(found.0.len() == 2 && found.0[1].message.contains("strange"), "{found}");
    // An argument that nothing reads is not ignored.
    program.nodes = vec![node("relu.default", &[("self", t("x")), ("strange", int(3))], "c")];
    let found = program.lift().unwrap_err();
    assert!(found.0[0].message.contains("strange"), "{found}");
}
