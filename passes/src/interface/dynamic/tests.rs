use super::*;
use hoist_ir::dtype::DType;
use hoist_ir::eval::{Limits, Value, eval_graph};
use hoist_ir::tensor::Tensor;
use hoist_ir::text::{graph_text, parse_graph, seeded};

fn freed(text: &str, wishes: &[(&str, i64, &str)]) -> Result<(Graph, Graph), Diags> {
    let old = parse_graph(text).expect("valid");
    let mut new = old.clone();
    let wish = |(input, axis, name): &(&str, i64, &str)| Wish {
        input: (*input).to_owned(),
        axis: *axis,
        name: (*name).to_owned(),
    };
    free(&mut new, &wishes.iter().map(wish).collect::<Vec<_>>())?;
    new.verify().into_result().expect("valid");
    Ok((old, new))
}

fn run(g: &Graph, inputs: Vec<Tensor>) -> Vec<Tensor> {
    let inputs = inputs.into_iter().map(Value::Tensor).collect();
    let all = eval_graph(g, inputs, Limits::default()).unwrap_or_else(|d| panic!("{d}\n{}", graph_text(g)));
    all.into_iter().map(|v| v.into_tensor().expect("a tensor")).collect()
}

/// Checks a model of one input whose first axis is 1: the same at that size, and sample by sample at 3.
fn check_batch(text: &str) {
    let (old, new) = freed(text, &[("x", 0, "batch")]).unwrap_or_else(|d| panic!("{d}"));
    let mut sizes = old.ty(old.inputs()[0]).as_tensor().and_then(TensorType::sizes).expect("fixed");
    let sample = |seed| seeded(DType::F32, &sizes, seed).expect("small");
    let samples: Vec<Tensor> = (1..4).map(sample).collect();
    let want: Vec<Tensor> = samples.iter().map(|x| run(&old, vec![x.clone()]).remove(0)).collect();
    assert!(run(&new, vec![samples[0].clone()])[0].same_bits(&want[0]), "{}", graph_text(&new));
    let got = run(&new, vec![Tensor::concat(&samples, 0).expect("joins")]).remove(0);
    let want = Tensor::concat(&want, 0).expect("joins");
    assert_eq!(got.shape(), want.shape(), "{}", graph_text(&new));
    let (a, b) = (got.to_f64s().expect("numbers"), want.to_f64s().expect("numbers"));
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{}", graph_text(&new));
    sizes.clear();
}

#[test]
fn reshapes_keep_the_batch() {
    check_batch(
        "graph(%x: f32[1, 3, 4, 4]) {\n  %s = const i64[2] [1, -1]\n  %a = reshape(%x, %s)\n  %w = const f32[48, 5] seeded(1)\n  \
         %y = mat_mul(%a, %w)\n  return y: %y\n}\n",
    );
    check_batch(
        "graph(%x: f32[1, 6, 8]) {\n  %s = const i64[4] [1, 6, 2, 4]\n  %a = reshape(%x, %s)\n  %b = transpose(%a) {perm=[0, 2, 1, 3]}\n  \
         %t = const i64[3] [2, 6, 4]\n  %c = reshape(%b, %t)\n  %d = transpose(%c) {perm=[0, 2, 1]}\n  %e = mat_mul(%c, %d)\n  \
         %u = const i64[4] [1, 2, 6, 6]\n  %y = reshape(%e, %u)\n  return y: %y\n}\n",
    );
}

#[test]
fn tokens_and_states_are_stretched() {
    check_batch(
        "graph(%x: f32[1, 3, 4]) {\n  %t = const f32[1, 1, 4] seeded(2)\n  %y = concat(%t, %x) {axis=1}\n  return y: %y\n}\n",
    );
    check_batch(
        "graph(%x: f32[1, 3, 4]) {\n  %p = transpose(%x) {perm=[1, 0, 2]}\n  %w = const f32[1, 15, 4] seeded(2)\n  \
         %r = const f32[1, 15, 5] seeded(3)\n  %h = const f32[1, 1, 5] seeded(4)\n  %a, %b = gru(%p, %w, %r, _, _, %h) {hidden_size=5}\n  \
         %y = transpose(%b) {perm=[1, 0, 2]}\n  return y: %y\n}\n",
    );
}

#[test]
fn sizes_that_a_file_computes_and_indices_of_the_only_sample_are_restated_too() {
    check_batch(
        "graph(%x: f32[1, 3, 4]) {\n  %p = const i64[1] [1]\n  %q = const i64[1] [12]\n  %s = concat(%p, %q) {axis=0}\n  \
         %a = reshape(%x, %s)\n  %t = concat(%p, %p, %q) {axis=0}\n  %y = reshape(%a, %t)\n  return y: %y\n}\n",
    );
    check_batch(
        "graph(%x: f32[1, 4]) {\n  %i = const i64[1, 1, 3, 2] [0, 2, 0, 1, 0, 3]\n  %y = gather_nd(%x, %i)\n  \
         return y: %y\n}\n",
    );
}

#[test]
fn restated_lengths_follow() {
    let text = "graph(%x: f32[1, 6]) {\n  %s = const i64[1] [0]\n  %e = const i64[1] [6]\n  %a = const i64[1] [1]\n  \
                %b = slice(%x, %s, %e, %a)\n  %t = const i64[3] [4, 1, 6]\n  %y = expand(%b, %t)\n  return y: %y\n}\n";
    let (old, new) = freed(text, &[("x", 1, "length")]).expect("dynamic");
    let x = |n: usize| seeded(DType::F32, &[1, n], 1).expect("small");
    assert!(run(&new, vec![x(6)])[0].same_bits(&run(&old, vec![x(6)])[0]));
    assert_eq!(run(&new, vec![x(9)])[0].shape(), [4, 1, 9]);
}

#[test]
fn all_nodes_that_hold_the_size_are_listed() {
    let text = "graph(%x: f32[1, 4]) {\n  %i = const i64[] [0]\n  %a = gather(%x, %i)\n  %z = const i64[1] [0]\n  \
                %b = squeeze(%x, %z)\n  %e = const i64[1] [1]\n  %c = slice(%x, %z, %e, %z)\n  return a: %a, b: %b, c: %c\n}\n";
    let diags = freed(text, &[("x", 0, "batch")]).expect_err("refused");
    assert!(diags.0.iter().all(|d| d.code == "E0605"));
    let nodes: Vec<_> = diags.0.iter().filter_map(|d| d.node.as_deref()).collect();
    assert_eq!(nodes, ["a", "b", "c"]);
    let text =
        "graph(%x: f32[1, 4]) {\n  %p = const f32[1, 4] seeded(1)\n  %y = add(%x, %p)\n  return y: %y\n}\n";
    let diags = freed(text, &[("x", 1, "n")]).expect_err("a table of four");
    assert!(diags.0[0].message.contains("with n=5"), "{diags}");
    assert!(freed(text, &[("x", 0, "n")]).is_ok());
}

#[test]
fn wishes_are_checked() {
    let text = "graph(%x: f32[1, 4], %y: f32[2, N]) {\n  return x: %x, y: %y\n}\n";
    let said = |input: &str, axis: i64, name: &str| match freed(text, &[(input, axis, name)]) {
        Ok(_) => String::new(),
        Err(d) => d.to_string(),
    };
    assert!(said("z", 0, "n").contains("there is no input `z`"));
    assert!(said("x", 2, "n").contains("axis 2"));
    assert!(said("y", 1, "n").contains("is N already"));
    assert!(said("x", 0, "N").contains("another size"));
    assert_eq!((said("y", 1, "N"), said("x", -2, "n")), (String::new(), String::new()));
    assert!(freed(text, &[("x", 0, "n"), ("y", 0, "n")]).is_err(), "two sizes");
}
