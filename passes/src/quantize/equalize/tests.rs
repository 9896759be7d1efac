use super::*;
use hoist_ir::builder::Builder;
use hoist_ir::dtype::DType;
use hoist_ir::eval::{Limits, Value, eval_graph};
use hoist_ir::graph::Origin;
use hoist_ir::ops::elementwise::activation::Relu;
use hoist_ir::ops::elementwise::arithmetic::Add;
use hoist_ir::ops::linear::gemm::Gemm;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::movement::flatten::Flatten;
use hoist_ir::ops::spatial::conv::Conv;
use hoist_ir::ops::spatial::max_pool::MaxPool;
use hoist_ir::tensor::Tensor;
use hoist_ir::text::{parse_graph, seeded};
use hoist_ir::types::TensorType;
use std::collections::HashMap;

/// Numbers that look random.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> usize {
        (self.next() % n) as usize
    }
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
    /// Weights whose first axis has very different magnitudes.
    fn skewed(&mut self, shape: &[usize]) -> Tensor {
        let inner: usize = shape[1..].iter().product();
        let mut values = vec![];
        for _ in 0..shape[0] {
            let factor = (self.unit() * 4.0).exp2() / (inner as f32).sqrt();
            values.extend((0..inner).map(|_| self.unit() * factor));
        }
        Tensor::from_vec(shape, values)
    }
}

fn input_of(g: &Graph, seed: u64) -> Vec<Value> {
    let each = |v: &ValueId| {
        let sizes = g.ty(*v).as_tensor().and_then(TensorType::sizes).expect("fixed sizes");
        let t = seeded(DType::F32, &sizes, seed).expect("a tensor");
        Value::Tensor(Tensor::from_vec(
            &sizes,
            t.to_f32s().expect("floats").iter().map(|v| v * 10.0).collect::<Vec<f32>>(),
        ))
    };
    g.inputs().iter().map(each).collect()
}

fn channels(t: &Tensor, axis: usize) -> Channels {
    let (size, inner): (usize, usize) = (t.shape()[axis], t.shape()[axis + 1..].iter().product());
    let mut c = Channels {
        axis,
        low: vec![f32::INFINITY; size],
        high: vec![f32::NEG_INFINITY; size],
        sum: vec![0.0; size],
        square: vec![0.0; size],
        count: (t.len() / size) as u64,
    };
    for (at, v) in t.to_f32s().expect("floats").iter().enumerate() {
        let k = at / inner % size;
        c.low[k] = c.low[k].min(*v);
        c.high[k] = c.high[k].max(*v);
        c.sum[k] += f64::from(*v);
        c.square[k] += f64::from(*v) * f64::from(*v);
    }
    c
}

/// What one input shows of the values that are wanted.
fn seen(g: &Graph, seed: u64) -> HashMap<ValueId, Channels> {
    let mut shown = g.clone();
    let wanted = wanted(g);
    for (i, (v, _)) in wanted.iter().enumerate() {
        shown.add_output(&format!("seen {i}"), *v);
    }
    let results = eval_graph(&shown, input_of(g, seed), Limits::default()).expect("a result");
    let tensors = results.into_iter().skip(g.outputs().len()).map(|v| v.into_tensor().expect("a tensor"));
    wanted.iter().zip(tensors).map(|((v, axis), t)| (*v, channels(&t, *axis))).collect()
}

fn results(g: &Graph, seed: u64) -> Vec<Vec<f64>> {
    let all = eval_graph(g, input_of(g, seed), Limits::default()).expect("a result");
    all.into_iter().map(|v| v.into_tensor().expect("a tensor").to_f64s().expect("floats")).collect()
}

fn assert_same(a: &[Vec<f64>], b: &[Vec<f64>], what: &str) {
    for (a, b) in a.iter().zip(b) {
        let most = a.iter().fold(1e-30, |m: f64, v| m.max(v.abs()));
        for (a, b) in a.iter().zip(b) {
            assert!((a - b).abs() <= 2e-5 * most, "{what}: {a} became {b}, of at most {most}");
        }
    }
}

/// Equalizes by what one input shows; results stay the same.
fn checked(g: &Graph, what: &str) -> (Graph, Report) {
    let stats = seen(g, 5);
    let mut after = g.clone();
    let report = equalize(&mut after, &Ctx::default(), &|v| stats.get(&v).cloned(), Equalization::default())
        .expect("a report");
    after.verify().into_result().expect("a valid graph");
    assert_same(&results(g, 7), &results(&after, 7), what);
    (after, report)
}

/// Gives every class that can have a factor one; results stay the same. Returns the number of classes of each group that weights read.
fn forced(g: &Graph, what: &str) -> Vec<usize> {
    let spread = Spread::of(g);
    let factor = |id: u32| {
        let free = spread.classes.pin(id).is_none();
        if free { ((id * 7 % 5) as f64 - 2.0).exp2() } else { 1.0 }
    };
    let factors: Vec<f64> = (0..spread.classes.len() as u32).map(factor).collect();
    let mut after = g.clone();
    apply::apply(&mut after, &spread, &factors).expect("factors fit");
    after.verify().into_result().expect("a valid graph");
    assert_same(&results(g, 3), &results(&after, 3), what);
    let linears = linears(&spread);
    let read = groups(g, &spread, &linears).into_iter().filter(|g| !g.consumers.is_empty());
    read.map(|g| g.classes.len()).collect()
}

/// Largest quotient of the magnitudes of two channels of `v` that are alive.
fn unevenness(c: &Channels) -> f32 {
    let each: Vec<f32> = c.low.iter().zip(&c.high).map(|(l, h)| h.max(-l)).filter(|m| *m > 0.0).collect();
    each.iter().copied().fold(0.0, f32::max) / each.iter().copied().fold(f32::INFINITY, f32::min)
}

fn parsed(text: &str) -> Graph {
    parse_graph(text).expect("a graph")
}

const DEPTHWISE: &str = "graph(%x: f32[1, 2, 6, 6]) {
  %w = const f32[4, 2, 1, 1] [1.0, 0.5, 30.0, 20.0, -0.02, 0.03, 0.4, -0.6]
  %b = const f32[4] [0.1, 3.0, 0.001, 0.2]
  %a = conv(%x, %w, %b)
  %r = relu(%a)
  %v = const f32[4, 1, 3, 3] seeded(3)
  %y = conv(%r, %v) {group=4, pads=[1, 1, 1, 1]}
  return y: %y
}";

#[test]
fn channels_before_a_depthwise_convolution_become_alike() {
    let g = parsed(DEPTHWISE);
    let (after, report) = checked(&g, "depthwise");
    assert_eq!(report.groups.len(), 1);
    assert!(report.groups[0].noise < 0.2 && report.groups[0].largest > 8.0, "{report:?}");
    let relu = |g: &Graph| {
        g.values()
            .find(|(v, _)| g.producer(*v).is_some_and(|n| g.node(n).op().name() == "relu"))
            .expect("a relu")
            .0
    };
    let before = unevenness(&seen(&g, 5)[&relu(&g)]);
    let now = unevenness(&seen(&after, 5)[&relu(&after)]);
    assert!(before > 100.0 && now < 2.1, "{before} {now}");
}

#[test]
fn a_bound_holds_factors() {
    let (_, report) = checked(&parsed(&DEPTHWISE.replace("relu(%a)", "sigmoid(%a)")), "sigmoid");
    assert!(report.groups.is_empty());
    assert!(report.refused.iter().any(|r| r.reason.contains("sigmoid")), "{report:?}");
    let six = DEPTHWISE.replace(
        "%r = relu(%a)",
        "%lo = const f32[] [0.0]\n %hi = const f32[] [6.0]\n %r = clip(%a, %lo, %hi)",
    );
    assert!(checked(&parsed(&six), "clip").1.groups.is_empty());
    assert_eq!(checked(&parsed(&six.replace("%hi)", ")")), "clip").1.groups.len(), 1);
}

/// The product sums along another axis than the channels that `sigmoid` holds.
#[test]
fn products_read_values_that_are_held_along_other_axes() {
    let text = "graph(%x: f32[1, 2, 6, 6]) {
  %w = const f32[4, 2, 1, 1] seeded(1)
  %a = conv(%x, %w)
  %s = sigmoid(%a)
  %v = const f32[6, 5] seeded(2)
  %p = mat_mul(%a, %v)
  %u = const f32[5, 3] seeded(3)
  %q = mat_mul(%p, %u)
  return s: %s, q: %q
}";
    let (_, report) = checked(&parsed(text), "held");
    assert!(report.groups.len() <= 1, "{report:?}");
}

#[test]
fn weights_alone_become_even() {
    let text = "graph(%x: f32[8, 2]) {
  %w = const f32[2, 4] [1.0, 60.0, -0.02, 0.4, 0.5, -40.0, 0.03, -0.6]
  %a = mat_mul(%x, %w)
  %r = relu(%a)
  %v = const f32[4, 2] [1.0, 0.8, 0.01, 0.02, 50.0, -40.0, 1.2, 0.9]
  %y = mat_mul(%r, %v)
  return y: %y
}";
    let g = parsed(text);
    let stats = seen(&g, 5);
    let asked = Equalization { weights_only: true, ..Equalization::default() };
    let mut after = g.clone();
    let report = equalize(&mut after, &Ctx::default(), &|v| stats.get(&v).cloned(), asked).expect("a report");
    assert!(report.groups.len() == 1 && report.groups[0].noise < 0.2, "{report:?}");
    assert_same(&results(&g, 7), &results(&after, 7), "weights");
    // Weights of a depthwise convolution have scales of their own.
    let mut g = parsed(DEPTHWISE);
    let stats = seen(&g, 5);
    let report = equalize(&mut g, &Ctx::default(), &|v| stats.get(&v).cloned(), asked).expect("a report");
    assert!(report.groups.is_empty(), "{report:?}");
}

#[test]
fn shared_weights_hold_factors() {
    let shared = "graph(%x: f32[1, 2, 6, 6]) {
  %w = const f32[2, 2, 1, 1] [100.0, 50.0, -0.02, 0.03]
  %a = conv(%x, %w)
  %r = relu(%a)
  %y = conv(%r, %w)
  return y: %y
}";
    let (_, report) = checked(&parsed(shared), "shared");
    assert!(report.groups.is_empty());
}

#[test]
fn a_normalization_gives_range_to_products() {
    let text = "graph(%x: f32[2, 5, 4]) {
  %s = const f32[4] [1.0, 40.0, 1.0, 0.5]
  %b = const f32[4] [0.1, 0.0, -0.2, 0.3]
  %n = layer_normalization(%x, %s, %b) {axis=-1}
  %w = const f32[4, 3] [1.0, 0.7, -0.3, 0.02, -0.01, 0.03, 0.5, -0.6, 0.7, 1.1, 1.2, -0.9]
  %v = const f32[4, 6] seeded(2)
  %p = mat_mul(%n, %w)
  %q = mat_mul(%n, %v)
  return p: %p, q: %q
}";
    let g = parsed(text);
    let (after, report) = checked(&g, "normalization");
    assert_eq!(report.groups.len(), 1, "{report:?}");
    let n = after.node(after.order_list()[0]).outputs()[0];
    assert!(unevenness(&seen(&after, 5)[&n]) < unevenness(&seen(&g, 5)[&n]) / 2.0);
}

#[test]
fn channels_pass_movements_and_sums() {
    let text = "graph(%x: f32[1, 2, 4, 4]) {
  %w = const f32[4, 2, 1, 1] [1.0, 0.5, 30.0, 20.0, -0.02, 0.03, 0.4, -0.6]
  %a = conv(%x, %w)
  %c = const f32[4, 1, 1] [0.5, 10.0, 0.01, 0.2]
  %d = add(%a, %c)
  %m = max_pool(%d) {kernel_shape=[2, 2], strides=[2, 2]}
  %f = flatten(%m) {axis=1}
  %s = const i64[2] [8, 8]
  %l, %r = split(%f, %s) {axis=1}
  %j = concat(%r, %l) {axis=1}
  %v = const f32[16, 3] seeded(3)
  %y = gemm(%j, %v)
  return y: %y
}";
    assert_eq!(forced(&parsed(text), "movements"), [4]);
    // Channels 0 and 1 are shown.
    assert_eq!(forced(&parsed(&text.replace("return y: %y", "return y: %y, l: %l")), "shown"), [2]);
    let channels_last = "graph(%x: f32[1, 4, 4, 2]) {
  %w = const f32[4, 2, 1, 1] [1.0, 0.5, 30.0, 20.0, -0.02, 0.03, 0.4, -0.6]
  %a = conv(%x, %w) {layout=channels_last}
  %p = global_average_pool(%a) {layout=channels_last}
  %s = const i64[2] [1, 4]
  %f = reshape(%p, %s)
  %v = const f32[3, 4] seeded(3)
  %y = gemm(%f, %v) {trans_b=true}
  return y: %y
}";
    assert_eq!(forced(&parsed(channels_last), "channels last"), [4]);
    assert_eq!(checked(&parsed(channels_last), "channels last").1.groups.len(), 1);
}

/// Values of an attention head keep their factors through the product with weights of attention.
#[test]
fn values_of_attention_reach_the_next_product() {
    let text = "graph(%x: f32[2, 5, 4], %t: f32[2, 2, 5, 5]) {
  %w = const f32[4, 4] [1.0, 30.0, -0.02, 0.4, 0.5, 20.0, 0.03, -0.6, 1.0, 40.0, 0.01, 0.2, 0.1, 9.0, 0.02, 0.3]
  %p = mat_mul(%x, %w)
  %b = const f32[4] [1.0, 10.0, 0.1, -0.2]
  %q = add(%b, %p)
  %s = const i64[4] [2, 5, 2, 2]
  %r = reshape(%q, %s)
  %h = transpose(%r) {perm=[0, 2, 1, 3]}
  %a = mat_mul(%t, %h)
  %u = transpose(%a) {perm=[0, 2, 1, 3]}
  %z = const i64[3] [2, 5, 4]
  %f = reshape(%u, %z)
  %v = const f32[4, 3] seeded(4)
  %y = mat_mul(%f, %v)
  return y: %y
}";
    assert_eq!(forced(&parsed(text), "attention"), [4]);
    let (_, report) = checked(&parsed(text), "attention");
    assert_eq!(report.groups.iter().map(|g| g.channels).collect::<Vec<_>>(), [4], "{report:?}");
}

fn group_conv() -> &'static str {
    "graph(%x: f32[1, 2, 6, 6]) {
  %w = const f32[4, 2, 1, 1] [1.0, 0.5, 30.0, 20.0, -0.02, 0.03, 0.4, -0.6]
  %a = conv(%x, %w)
  %v = const f32[6, 2, 3, 3] seeded(3)
  %b = conv(%a, %v) {group=2}
  %t = const f32[6, 2, 2, 2] seeded(9)
  %c = conv_transpose(%b, %t) {group=3}
  %u = const f32[6, 1, 2, 2] seeded(8)
  %y = conv(%c, %u) {group=6}
  return y: %y
}"
}

#[test]
fn grouped_convolutions_take_factors() {
    let g = parsed(group_conv());
    let (_, report) = checked(&g, "groups");
    assert!(!report.groups.is_empty(), "{report:?}");
    assert_eq!(forced(&g, "forced"), [4, 6, 6]);
}

/// A random network of convolutions, sums, pools and products.
fn network(random: &mut Random) -> Graph {
    let mut g = Graph::new("random");
    let (batch, mut channels, size) = (1 + random.below(2), 2 + random.below(3), 8);
    let x = g.add_input("x", TensorType::fixed(DType::F32, &[batch, channels, size, size]).into());
    let mut b = Builder::at_end(&mut g, Origin::default());
    let mut v = x;
    let mut same: Vec<ValueId> = vec![];
    for _ in 0..4 + random.below(6) {
        let kind = random.below(7);
        match kind {
            0 | 1 => {
                let out = 2 + random.below(6);
                let kernel = 1 + 2 * random.below(2);
                let w = b.constant(random.skewed(&[out, channels, kernel, kernel]));
                let flat = random.skewed(&[out, 1]).reshape(&[out]).expect("a list");
                let bias = b.constant(flat);
                let pad = kernel as i64 / 2;
                v = b
                    .add(Conv { pads: vec![pad; 4], ..Conv::default() }, &[Some(v), Some(w), Some(bias)])
                    .expect("a conv")[0];
                channels = out;
                same.clear();
            }
            2 => {
                let w = b.constant(random.skewed(&[channels, 1, 3, 3]));
                v = b
                    .add(
                        Conv { pads: vec![1; 4], group: channels as i64, ..Conv::default() },
                        &[Some(v), Some(w)],
                    )
                    .expect("a conv")[0];
            }
            3 => v = b.add(Relu {}, &[Some(v)]).expect("a relu")[0],
            4 => {
                let other = same.get(random.below(same.len().max(1) as u64)).copied().unwrap_or(v);
                v = b.add(Add {}, &[Some(v), Some(other)]).expect("a sum")[0];
            }
            5 => {
                let c = b.constant(random.skewed(&[channels, 1, 1]));
                v = b.add(Add {}, &[Some(c), Some(v)]).expect("a sum")[0];
            }
            _ if channels < 9 => {
                let other = b.add(Relu {}, &[Some(v)]).expect("a relu")[0];
                v = b.add(Concat { axis: 1 }, &[Some(other), Some(v)]).expect("a concat")[0];
                channels *= 2;
                same.clear();
            }
            _ => {}
        }
        same.push(v);
    }
    v = b
        .add(MaxPool { kernel_shape: vec![4, 4], strides: vec![4, 4], ..MaxPool::default() }, &[Some(v)])
        .expect("a pool")[0];
    v = b.add(Flatten { axis: 1 }, &[Some(v)]).expect("a matrix")[0];
    let w = b.constant(random.skewed(&[channels * 4, 3]));
    v = b.add(Gemm::default(), &[Some(v), Some(w)]).expect("a product")[0];
    g.add_output("y", v);
    g
}

#[test]
fn random_networks_compute_the_same() {
    let mut changed = 0;
    for seed in 0..120 {
        let g = network(&mut Random(seed));
        forced(&g, &format!("network {seed}"));
        let (after, report) = checked(&g, &format!("network {seed}"));
        changed += report.groups.len();
        for asked in [
            Equalization { per_channel: false, ..Equalization::default() },
            Equalization { alpha: Some(0.5), ..Equalization::default() },
        ] {
            let mut blind = g.clone();
            equalize(&mut blind, &Ctx::default(), &|_| None, asked).expect("a report");
            assert_same(&results(&g, 7), &results(&blind, 7), &format!("network {seed}, {asked:?}"));
        }
        let again = seen(&after, 5);
        let mut twice = after.clone();
        let second =
            equalize(&mut twice, &Ctx::default(), &|v| again.get(&v).cloned(), Equalization::default())
                .expect("a report");
        for group in &second.groups {
            assert!(group.noise > 0.5, "network {seed}: {group:?} after {report:?}");
        }
    }
    assert!(changed > 100, "{changed}");
}
