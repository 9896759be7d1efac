//! What operators that move elements become.
use crate::tflite::lower::{Target, lower, program};
use crate::tflite::schema::Builtin;
use hoist_ir::text::parse_graph;

/// Builtin operators that the last node of a graph becomes, or what it lacks.
fn builtins(body: &str) -> Result<Vec<&'static str>, String> {
    let g = parse_graph(body).expect("a graph");
    let last = g.order().last().expect("a node");
    lower(&g, last, &Target::default()).map(|all| all.iter().map(|i| i.builtin.name()).collect())
}

fn becomes(body: &str, want: &[&str]) {
    assert_eq!(builtins(body).as_deref(), Ok(want), "{body}");
}

#[test]
fn sizes_that_are_known_but_for_one_need_no_arithmetic() {
    becomes(
        "graph(%x: f32[N, 4]) { %s = const i64[2] [-1, 2] %y = reshape(%x, %s) return y: %y }",
        &["RESHAPE"],
    );
    becomes(
        "graph(%x: f32[N, 4]) { %s = const i64[1] [1] %y = unsqueeze(%x, %s) return y: %y }",
        &["RESHAPE"],
    );
    becomes(
        "graph(%x: f32[N, M, 4]) { %s = const i64[4] [0, 0, 2, 2] %y = reshape(%x, %s) return y: %y }",
        &["SHAPE", "SLICE", "CONCATENATION", "RESHAPE"],
    );
}

#[test]
fn indices_count_from_the_front_unless_they_surely_do() {
    let open = "graph(%x: f32[5, 2], %i: i64[N]) { %y = gather(%x, %i) return y: %y }";
    becomes(open, &["LESS", "ADD", "SELECT_V2", "GATHER"]);
    let fixed = "graph(%x: f32[5, 2]) { %i = const i64[2] [0, -1] %y = gather(%x, %i) return y: %y }";
    becomes(fixed, &["GATHER"]);
}

#[test]
fn types_that_a_kernel_lacks_are_moved_as_others_of_their_width() {
    becomes(
        "graph(%x: f64[2], %z: f64[3]) { %y = concat(%x, %z) return y: %y }",
        &["BITCAST", "BITCAST", "CONCATENATION", "BITCAST"],
    );
    assert!(builtins("graph(%x: string[2], %z: string[3]) { %y = concat(%x, %z) return y: %y }").is_err());
}

#[test]
fn an_end_of_zero_is_never_taken_with_a_step_of_one() {
    let g =
        parse_graph("graph(%x: f32[N, 4]) { %s = const i64[1] [0] %y = slice(%x, %s, %s, %s) return y: %y }");
    let g = g.expect("a graph");
    let p = program(&g, &Target::default()).expect("a form");
    assert_eq!(p.instrs[0].builtin, Builtin::StridedSlice);
    let step = p.instrs[0].inputs[3].and_then(|t| p.def(t).data.clone()).expect("a constant");
    assert_eq!(step.to_i64s().expect("integers"), [2, 1]);
    becomes(
        "graph(%x: f32[3, 4]) { %s = const i64[1] [1] %y = slice(%x, %s, %s, %s) return y: %y }",
        &["SLICE"],
    );
}

#[test]
fn borders() {
    let pad = |mode: &str, pads: &str| {
        format!(
            "graph(%x: f32[3, 4]) {{ %p = const i64[4] {pads} %y = pad(%x, %p) {{mode={mode}}} return y: %y }}"
        )
    };
    becomes(&pad("constant", "[0, 1, 0, 2]"), &["PAD"]);
    becomes(&pad("constant", "[0, -1, 0, 2]"), &["STRIDED_SLICE", "PAD"]);
    becomes(&pad("reflect", "[0, 1, 0, 2]"), &["MIRROR_PAD"]);
    becomes(&pad("reflect", "[0, 4, 0, 2]"), &["GATHER"]);
    becomes(&pad("edge", "[1, 1, 0, 2]"), &["GATHER", "GATHER"]);
}
