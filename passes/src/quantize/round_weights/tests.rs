use super::patches::Patches;
use super::*;
use crate::quantize::sharing::{Sharing, share};
use crate::quantize::spec::Grid;
use crate::quantize::weights::per_channel;
use hoist_ir::dtype::DType;
use hoist_ir::eval::{Limits, Value, eval_graph};
use hoist_ir::graph::NodeId;
use hoist_ir::text::{parse_graph, seeded};
use hoist_ir::types::TensorType;

const I8: Grid = Grid { dtype: DType::I8, symmetric: true };
const I4: Grid = Grid { dtype: DType::I4, symmetric: true };

/// Numbers every two of which are correlated along the last axis or the channels.
fn correlated(shape: &[usize], axis: usize, seed: u64) -> Tensor {
    let noise = seeded(DType::F32, shape, seed).expect("a tensor").to_f32s().expect("floats").into_owned();
    let inner: usize = shape[axis + 1..].iter().product();
    let common = |i: usize| {
        let base = i / inner / shape[axis] * inner + i % inner;
        noise[base % noise.len()] * 3.0
            + noise[(base * 7 + 3) % noise.len()] * (i / inner % shape[axis] % 3) as f32
    };
    Tensor::from_vec(shape, (0..noise.len()).map(|i| noise[i] * 0.3 + noise[0] * 4.0 + common(i)).collect())
}

fn inputs(g: &Graph, axis: usize, seed: u64) -> Vec<Value> {
    let sizes = g.ty(g.inputs()[0]).as_tensor().and_then(TensorType::sizes).expect("fixed sizes");
    vec![Value::Tensor(correlated(&sizes, axis, seed))]
}

fn results(g: &Graph, x: Vec<Value>) -> Vec<f64> {
    let all = eval_graph(g, x, Limits::default()).expect("a result");
    all.into_iter().flat_map(|v| v.into_tensor().expect("a tensor").to_f64s().expect("floats")).collect()
}

fn real(q: &Quantized) -> Tensor {
    let steps = Steps::of(q).expect("steps");
    let each = |(i, v): (usize, &f64)| ((v - steps.at(i).1) * steps.at(i).0) as f32;
    let values = q.data.to_f64s().expect("integers").iter().enumerate().map(each).collect();
    Tensor::from_vec(q.data.shape(), values)
}

/// Mean squared error of the results on inputs that were not seen, with `q` for the weights of node `n`.
fn error(g: &Graph, n: NodeId, q: &Quantized, axis: usize) -> f64 {
    let mut changed = g.clone();
    let slot = Linear::of(g, n).expect("weights").weight_slot;
    let w = changed.add_const(real(q));
    changed.set_operand(n, slot, Some(w)).expect("weights fit");
    let (a, b) = (results(g, inputs(g, axis, 77)), results(&changed, inputs(g, axis, 77)));
    a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64
}

fn moments(g: &Graph, axis: usize) -> Moments {
    let mut m = Moments::new(g, &g.order_list(), 1 << 24);
    for seed in 0..12 {
        let Some(Value::Tensor(x)) = inputs(g, axis, seed).into_iter().next() else { panic!("an input") };
        m.add(g.inputs()[0], &x).expect("it fits");
    }
    m
}

fn weights(g: &Graph, n: NodeId) -> (Linear, Tensor) {
    let linear = Linear::of(g, n).expect("weights");
    let w = g.constant(linear.weights(g).expect("weights")).expect("a constant").clone();
    (linear, w)
}

/// By how much carrying errors on reduces the error of rounding to nearest.
fn gain(text: &str, axis: usize, grid: Grid, block: Option<usize>) -> f64 {
    let g = parse_graph(text).expect("a graph");
    let n = g.order_list()[0];
    let (linear, w) = weights(&g, n);
    let sharing =
        block.map_or(Sharing::Axis(linear.out_axis), |size| Sharing::Blocks { axis: linear.in_axis, size });
    let nearest = share(&w, sharing, grid, true, DType::F32).expect("a grid");
    let found = round_weights(&g, &linear, &nearest, &moments(&g, axis)).expect("integers");
    assert_eq!((found.data.shape(), found.data.dtype()), (w.shape(), grid.dtype));
    assert_eq!(found.scales, nearest.scales);
    error(&g, n, &nearest, axis) / error(&g, n, &found, axis)
}

#[test]
fn results_change_less_than_by_rounding_to_nearest() {
    let product =
        "graph(%x: f32[2, 40, 24]) { %w = const f32[24, 10] seeded(3) %y = mat_mul(%x, %w) return y: %y }";
    let found = gain(product, 2, I4, None);
    assert!(found > 2.0, "{found}");
    let found = gain(product, 2, I4, Some(8));
    assert!(found > 2.0, "{found}");
    let found = gain(product, 2, I8, None);
    assert!(found > 2.0, "{found}");
    let found = gain(product, 2, Grid { symmetric: false, ..I4 }, Some(16));
    assert!(found > 2.0, "{found}");
    let turned = "graph(%x: f32[80, 24]) { %w = const f32[10, 24] seeded(3) %y = gemm(%x, %w) {trans_b=true} return y: %y }";
    let found = gain(turned, 1, I4, Some(16));
    assert!(found > 2.0, "{found}");
    let first =
        "graph(%x: f32[24, 80]) { %w = const f32[10, 24] seeded(3) %y = mat_mul(%w, %x) return y: %y }";
    let found = gain(first, 0, I4, None);
    assert!(found > 2.0, "{found}");
}

#[test]
fn windows_are_cut_as_convolutions_do() {
    for (attributes, shape, axis, w) in [
        ("pads=[1, 1, 1, 1], strides=[2, 1]", "1, 6, 9, 8", 1, "8, 6, 3, 3"),
        ("auto_pad=SAME_UPPER, layout=channels_last", "1, 9, 8, 6", 3, "8, 6, 3, 2"),
        ("group=2, dilations=[2, 1]", "2, 6, 9, 8", 1, "8, 3, 2, 3"),
        ("group=6, pads=[2, 0, 1, 1]", "1, 6, 9, 8", 1, "12, 1, 3, 3"),
    ] {
        let text = format!(
            "graph(%x: f32[{shape}]) {{ %w = const f32[{w}] seeded(3) %y = conv(%x, %w) {{{attributes}}} return y: %y }}"
        );
        let found = gain(&text, axis, I4, None);
        assert!(found > 1.1, "{attributes}: {found}");
        // Vectors times weights are the results.
        let g = parse_graph(&text).expect("a graph");
        let (linear, w) = weights(&g, g.order_list()[0]);
        let patches = Patches::of(&g, &linear).expect("windows");
        let x = inputs(&g, axis, 1);
        let Value::Tensor(t) = x[0].clone() else { panic!("a tensor") };
        let rows = patches.rows(&t, 0).expect("vectors");
        let values = w.to_f64s().expect("floats");
        let per_group = linear.outputs / linear.groups;
        let mut energy = 0.0;
        for o in 0..linear.outputs {
            for x in rows[o / per_group].chunks(patches.size) {
                let y: f64 = x.iter().zip(&values[o * patches.size..]).map(|(x, w)| x * w).sum();
                energy += y * y;
            }
        }
        let expected: f64 = results(&g, x).iter().map(|v| v * v).sum();
        assert!((energy - expected).abs() < 1e-4 * expected, "{attributes}: {energy} is not {expected}");
    }
}

#[test]
fn what_was_not_seen_is_rounded_to_nearest() {
    let g = parse_graph(
        "graph(%x: f32[4, 3]) { %w = const f32[3, 2] [0.31, 0.2, -0.77, 0.1, 1.0, -1.0] %y = mat_mul(%x, %w) return y: %y }",
    )
    .expect("a graph");
    let n = g.order_list()[0];
    let (linear, w) = weights(&g, n);
    let nearest = per_channel(&w, Some(1), I8, &[]).expect("a grid");
    let mut m = Moments::new(&g, &[n], 1 << 20);
    assert!(round_weights(&g, &linear, &nearest, &m).is_err(), "nothing was seen");
    m.add(g.inputs()[0], &Tensor::from_vec(&[4, 3], vec![0.0f32; 12])).expect("it fits");
    let found = round_weights(&g, &linear, &nearest, &m).expect("integers");
    assert!(found.data.same_bits(&nearest.data.materialize().expect("integers")));
}

#[test]
fn budgets_are_kept() {
    let g = parse_graph(
        "graph(%x: f32[4, 8]) { %w = const f32[8, 8] seeded(1) %v = const f32[8, 8] seeded(2) %a = mat_mul(%x, %w) %b = mat_mul(%x, %v)
         %c = mat_mul(%a, %v) %s = add(%b, %c) return y: %s }",
    )
    .expect("a graph");
    let m = Moments::new(&g, &g.order_list(), 8 * 8 * 8);
    // The first two read the same vectors.
    assert_eq!((m.values().len(), m.left().len()), (1, 1));
    assert!(Moments::new(&g, &g.order_list(), 100).values().is_empty());
}
