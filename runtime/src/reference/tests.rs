use super::*;
use crate::inputs::{DimBindings, seeded};
use hoist_ir::builder::Builder;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::eval::eval_graph;
use hoist_ir::graph::{Origin, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;

fn op(name: &str) -> Op {
    Op::by_name(name).expect("an operator")
}

fn f32s(sizes: &[usize]) -> TensorType {
    TensorType::fixed(DType::F32, sizes)
}

fn model(graph: Graph) -> Model {
    assert_eq!(graph.verify(), Diags::default());
    Model { graph, ..Model::default() }
}

fn reference(graph: Graph, options: ReferenceOptions) -> Reference {
    Reference::new(&model(graph), options).expect("known operators")
}

/// A graph of `count` operators on `n x n` matrices that picks operators and operands by a linear congruential generator.
fn random_graph(seed: u64, n: usize, count: usize) -> Graph {
    let mut state = seed;
    let mut pick = move |k: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % k
    };
    let mut g = Graph::new("random");
    let mut values: Vec<ValueId> =
        (0..2).map(|i| g.add_input(&format!("x{i}"), f32s(&[n, n]).into())).collect();
    let weight = Tensor::from_vec(&[n, n], (0..n * n).map(|i| (i % 7) as f32 * 0.1 - 0.3).collect());
    values.push(g.add_const(weight.permute(&[1, 0]).expect("lazy")));
    values.push(g.add_const(Tensor::splat(&Tensor::scalar(0.25f32), &[n, n]).expect("splat")));
    let mut b = Builder::at_end(&mut g, Origin::default());
    for _ in 0..count {
        let (x, y) = (values[pick(values.len())], values[pick(values.len())]);
        let names = ["add", "mul", "sub", "mat_mul", "tanh", "sigmoid", "relu", "softmax"];
        let name = names[pick(names.len())];
        let operands =
            if op(name).schema().inputs.len() == 2 { vec![Some(x), Some(y)] } else { vec![Some(x)] };
        values.extend(b.add(op(name), &operands).expect("fits"));
    }
    let last = values.len() - 1;
    g.add_output("last", values[last]);
    g.add_output("again", values[last]);
    g.add_output("middle", values[last / 2]);
    g.add_output("input", values[0]);
    g
}

fn inputs(graph: &Graph) -> Vec<Value> {
    seeded(graph, 3, &DimBindings::default()).expect("fixed sizes")
}

#[test]
fn computes_what_plain_evaluation_does() {
    for seed in 0..20 {
        let g = random_graph(seed, 5, 25);
        let want = eval_graph(&g, inputs(&g), Limits::default()).expect("computes");
        let r = reference(g.clone(), ReferenceOptions::default());
        for _ in 0..2 {
            assert_eq!(r.run(inputs(&g)), Ok(want.clone()), "seed {seed}");
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads_or_kept_constants() {
    let g = random_graph(5, 150, 30);
    let run = |threads, constant_bytes| {
        let options = ReferenceOptions { threads: Some(threads), constant_bytes, ..Default::default() };
        reference(g.clone(), options).run_with_report(inputs(&g), false).expect("computes")
    };
    let (one, report) = run(1, 1 << 20);
    assert!(report.constant_bytes > 0);
    for (threads, bytes) in [(2, 1 << 20), (3, 0), (7, 1 << 20)] {
        assert_eq!(run(threads, bytes).0, one);
    }
    assert_eq!(run(1, 0).1.constant_bytes, 0);
}

/// `x + 1 + 1 ...`; `keep` also shows the first sum as an output.
fn chain(length: usize, elements: usize, keep: bool) -> Graph {
    let mut g = Graph::new("chain");
    let mut v = g.add_input("x", f32s(&[elements]).into());
    let one = g.add_const(Tensor::scalar(1.0f32));
    for i in 0..length {
        let mut b = Builder::at_end(&mut g, Origin::default());
        v = b.add(op("add"), &[Some(v), Some(one)]).expect("fits")[0];
        if keep && i == 0 {
            g.add_output("first", v);
        }
    }
    g.add_output("y", v);
    g
}

#[test]
fn values_are_freed_after_their_last_use() {
    let mb = 1 << 20;
    let (g, kept) = (chain(1000, mb / 4, false), chain(1000, mb / 4, true));
    let (y, report) = reference(g.clone(), ReferenceOptions::default())
        .run_with_report(inputs(&g), false)
        .expect("computes");
    assert!((mb..=2 * mb).contains(&report.peak_live_bytes), "{report:?}");
    let first = inputs(&g)[0].as_tensor().and_then(|t| t.to_f64s().ok()).expect("numbers")[0];
    let last = y[0].as_tensor().and_then(|t| t.to_f64s().ok()).expect("numbers")[0];
    assert!((last - first - 1000.0).abs() < 0.01);
    let (_, report) =
        reference(kept, ReferenceOptions::default()).run_with_report(inputs(&g), false).expect("computes");
    assert!((2 * mb..=3 * mb).contains(&report.peak_live_bytes), "{report:?}");
}

#[test]
fn too_much_alive_is_refused() {
    let options = ReferenceOptions { live_bytes: Some(1 << 10), ..Default::default() };
    let g = random_graph(1, 16, 10);
    let e = reference(g.clone(), options).run(inputs(&g)).expect_err("1 KiB per value");
    assert_eq!(e.code, "E0307");
    let limits = Limits { result_bytes: 100 };
    let options = ReferenceOptions { limits, ..Default::default() };
    assert_eq!(reference(g.clone(), options).run(inputs(&g)).expect_err("1 KiB results").code, "E0307");
}

#[test]
fn errors_name_the_node() {
    let mut g = Graph::new("fails");
    let x = g.add_input("x", TensorType::of_rank(DType::F32, 1).into());
    let y = g.add_input("y", TensorType::of_rank(DType::F32, 1).into());
    let mut b = Builder::at_end(&mut g, Origin::default());
    b.set_name(Some("the_sum".into()));
    let z = b.add(op("add"), &[Some(x), Some(y)]).expect("fits")[0];
    g.add_output("z", z);
    let v = |n: usize| Value::from(Tensor::from_vec(&[n], vec![0f32; n]));
    let e = reference(g, ReferenceOptions::default()).run(vec![v(2), v(3)]).expect_err("2 and 3");
    assert_eq!((e.node.as_deref(), e.op.as_deref()), (Some("the_sum"), Some("add")));
}

#[test]
fn profile_lists_each_node() {
    let g = chain(3, 2, false);
    let r = reference(g.clone(), ReferenceOptions::default());
    let (_, report) = r.run_with_report(inputs(&g), true).expect("computes");
    assert_eq!(report.nodes.len(), 3);
    assert_eq!(
        (report.nodes[0].op, report.nodes[0].signature.as_str()),
        ("add", "(f32[2], f32[]) -> f32[2]")
    );
}

fn checked(types: &[TensorType], given: &[Tensor]) -> Result<(), Diag> {
    let mut g = Graph::new("checked");
    for (i, t) in types.iter().enumerate() {
        g.add_input(&format!("in{i}"), t.clone().into());
    }
    let values: Vec<Value> = given.iter().cloned().map(Value::from).collect();
    check_inputs(&g, &values)
}

#[test]
fn inputs_are_checked() {
    let zeros = |s: &[usize]| Tensor::splat(&Tensor::scalar(0f32), s).expect("small");
    let n = Dim::symbol("N");
    let double = n.combine(&n, hoist_ir::dim::SymInt::add);
    let open = TensorType::new(DType::F32, vec![n.clone(), Dim::Known(3)]);
    let twice = TensorType::new(DType::F32, vec![double, Dim::Unknown]);
    let types = [twice, open];
    assert_eq!(checked(&types, &[zeros(&[4, 9]), zeros(&[2, 3])]), Ok(()));
    for (given, what) in [
        (vec![zeros(&[4, 9])], "1 inputs are given"),
        (vec![zeros(&[4, 9]), zeros(&[2, 4])], "input `in1`"),
        (vec![zeros(&[4, 9]), zeros(&[2])], "input `in1`"),
        (vec![zeros(&[5, 9]), zeros(&[2, 3])], "axis 0 of input `in0` must be 2*N = 4, is 5"),
        (vec![Tensor::from_ints(&[1]), zeros(&[2, 3])], "input `in0`"),
    ] {
        let e = checked(&types, &given).expect_err(what);
        assert!(e.code == "E0603" && e.message.contains(what), "{e}");
    }
    let same = [TensorType::new(DType::F32, vec![n.clone()]), TensorType::new(DType::F32, vec![n])];
    let e = checked(&same, &[zeros(&[4]), zeros(&[5])]).expect_err("two sizes of N");
    assert!(e.notes[0].contains("`N` is 4 in input `in0`"), "{e}");
}
