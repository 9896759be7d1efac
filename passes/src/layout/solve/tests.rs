//! Random graphs of operators on images: results stay, what is counted is what moves, and the cut is least.
use super::cost::{Problem, batch_names, bytes};
use super::frames::{Frames, wanted};
use super::{bring, rewrite};
use crate::pass::Target;
use hoist_formats::{onnx, tflite};
use hoist_ir::eval::{Limits, Value, eval_graph};
use hoist_ir::graph::Graph;
use hoist_ir::model::Model;
use hoist_ir::text::{parse_model, seeded};
use std::fmt::Write;

/// A linear congruential generator (Knuth's constants); good enough for choosing.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// Writes a graph as text, with the sizes of its values so far.
struct Writer {
    random: Random,
    text: String,
    values: Vec<(String, Vec<usize>)>,
    next: usize,
    layout: &'static str,
}

fn listed(values: &[usize]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Writer {
    fn name(&mut self) -> String {
        self.next += 1;
        format!("v{}", self.next)
    }
    fn push(&mut self, shape: &[usize], definition: &str) -> String {
        let name = self.name();
        let _ = writeln!(self.text, "  %{name} = {definition}");
        self.values.push((name.clone(), shape.to_vec()));
        name
    }
    fn constant(&mut self, literal: &str) -> String {
        let name = self.name();
        let _ = writeln!(self.text, "  %{name} = const {literal}");
        name
    }
    fn data(&mut self, shape: &[usize]) -> String {
        let seed = self.random.below(5);
        self.constant(&format!("f32[{}] seeded({seed})", listed(shape)))
    }
    fn ints(&mut self, values: &[i64]) -> String {
        self.constant(&format!("i64[{}] {values:?}", values.len()))
    }
    fn pick(&mut self, rank: usize) -> Option<(String, Vec<usize>)> {
        let all: Vec<_> = self.values.iter().filter(|v| v.1.len() == rank).cloned().collect();
        (!all.is_empty()).then(|| all[self.random.below(all.len())].clone())
    }
    /// Operators whose orders never contradict.
    fn simple(&mut self) {
        let Some((x, s)) = self.pick(4) else { return };
        match self.random.below(6) {
            0 => {
                self.push(&s, &format!("relu(%{x})"));
            }
            1 => {
                let c = if self.layout == "channels_last" { s[3] } else { s[1] };
                let w = self.data(&[c, c, 1, 1]);
                self.push(&s, &format!("conv(%{x}, %{w}) {{layout={}}}", self.layout));
            }
            2 => {
                let same: Vec<String> =
                    self.values.iter().filter(|v| v.1 == s).map(|v| v.0.clone()).collect();
                let y = same[self.random.below(same.len())].clone();
                self.push(&s, &format!("add(%{x}, %{y})"));
            }
            3 => {
                let w = self.data(&[s[3], s[3]]);
                self.push(&s, &format!("trilu(%{x})"));
                self.push(&s, &format!("mat_mul(%{x}, %{w})"));
            }
            4 => {
                let pads = "pads=[1, 1, 1, 1]";
                self.push(
                    &s,
                    &format!("max_pool(%{x}) {{kernel_shape=[3, 3], {pads}, layout={}}}", self.layout),
                );
            }
            _ => {
                self.push(&s, &format!("tanh(%{x})"));
            }
        }
    }
    fn rich(&mut self) {
        let Some((x, s)) = self.pick(4) else { return };
        match self.random.below(19) {
            0..5 => self.simple(),
            n @ 14..19 => self.moving(n, &x, &s),
            5 => {
                let axis = self.random.below(4);
                let mut out = s.clone();
                out[axis] *= 2;
                self.push(&out, &format!("concat(%{x}, %{x}) {{axis={axis}}}"));
            }
            6 | 7 => {
                let perms = [[0, 2, 3, 1], [0, 3, 1, 2], [0, 2, 1, 3], [1, 0, 2, 3]];
                let perm = perms[self.random.below(4)];
                let out: Vec<usize> = perm.iter().map(|p| s[*p]).collect();
                self.push(&out, &format!("transpose(%{x}) {{perm={perm:?}}}"));
            }
            8 => {
                let axes = self.ints(&[2, 3]);
                let keep = self.random.below(2) == 0;
                let out = if keep { vec![s[0], s[1], 1, 1] } else { s[..2].to_vec() };
                self.push(&out, &format!("reduce_max(%{x}, %{axes}) {{keepdims={keep}}}"));
            }
            9 => {
                let axis = self.random.below(4);
                self.push(&s, &format!("softmax(%{x}) {{axis={axis}}}"));
            }
            10 => {
                let pads = self.ints(&[0, 1, 0, 2, 0, 0, 1, 0]);
                self.push(&[s[0], s[1] + 1, s[2] + 1, s[3] + 2], &format!("pad(%{x}, %{pads})"));
            }
            11 => {
                let rows = self.ints(&[0, 0, -1]);
                self.push(&[s[0], s[1], s[2] * s[3]], &format!("reshape(%{x}, %{rows})"));
            }
            12 => {
                let Some((x, s)) = self.pick(3) else { return };
                let image = self.ints(&[0, s[1] as i64, 1, s[2] as i64]);
                self.push(&[s[0], s[1], 1, s[2]], &format!("reshape(%{x}, %{image})"));
                self.push(&[s[0], s[2], s[1]], &format!("transpose(%{x}) {{perm=[0, 2, 1]}}"));
            }
            13 => {
                let scale = self.data(&[s[1], 1, 1]);
                self.push(&s, &format!("mul(%{x}, %{scale})"));
                let scale = self.data(&[s[3]]);
                self.push(&s, &format!("layer_normalization(%{x}, %{scale})"));
            }
            _ => {}
        }
    }
    fn moving(&mut self, which: usize, x: &str, s: &[usize]) {
        let s = s.to_vec();
        match which {
            14 if s[1].is_multiple_of(2) => {
                let five = self.ints(&[s[0] as i64, 2, s[1] as i64 / 2, s[2] as i64, s[3] as i64]);
                let f = self.name();
                let _ = writeln!(self.text, "  %{f} = reshape(%{x}, %{five})");
                let t = self.name();
                let _ = writeln!(self.text, "  %{t} = transpose(%{f}) {{perm=[0, 2, 1, 3, 4]}}");
                let four = self.ints(&s.iter().map(|d| *d as i64).collect::<Vec<_>>());
                self.push(&s, &format!("reshape(%{t}, %{four})"));
            }
            15 => {
                let (sh, t) = (self.name(), self.name());
                let _ = writeln!(self.text, "  %{sh} = shape(%{x}) {{start=1}}");
                let one = self.ints(&[s[0] as i64]);
                let _ = writeln!(self.text, "  %{t} = concat(%{one}, %{sh})");
                self.push(&s, &format!("reshape(%{x}, %{t})"));
                self.push(&s, &format!("expand(%{x}, %{sh})"));
            }
            16 => {
                let (axis, i) = (self.random.below(4), self.ints(&[0, 0]));
                let mut out = s.clone();
                out[axis] = 2;
                self.push(&out, &format!("gather(%{x}, %{i}) {{axis={axis}}}"));
                let at = self.constant(&format!("i64[] [{axis}]"));
                self.push(&s, &format!("cum_sum(%{x}, %{at})"));
            }
            17 => {
                let tiles = self.ints(&[1, 1, 2, 1]);
                self.push(&[s[0], s[1], 2 * s[2], s[3]], &format!("tile(%{x}, %{tiles})"));
                let (starts, ends) = (self.ints(&[0, 0]), self.ints(&[9, 1]));
                self.push(&[s[0], 1, s[2], s[3]], &format!("slice(%{x}, %{starts}, %{ends})"));
            }
            _ => {
                let at = self.ints(&[1]);
                self.push(&[s[0], 1, s[1], s[2], s[3]], &format!("unsqueeze(%{x}, %{at})"));
                let (y, t) = (self.pick(5), self.ints(&[1]));
                if let Some((y, d)) = y.filter(|y| y.1[1] == 1) {
                    self.push(&[d[0], d[2], d[3], d[4]], &format!("squeeze(%{y}, %{t})"));
                }
            }
        }
    }
}

fn graph(seed: u64, layout: &'static str, statements: usize, simple: bool) -> String {
    let start = vec![("x".to_owned(), vec![2, 4, 3, 4]), ("z".to_owned(), vec![1, 2, 3, 2])];
    let mut w = Writer { random: Random(seed), text: String::new(), values: start, next: 0, layout };
    for _ in 0..statements {
        let many = w.values.iter().any(|v| v.1.iter().product::<usize>() > 2000);
        if simple || many { w.simple() } else { w.rich() }
    }
    let last = w.values.len() - 1;
    let outputs: Vec<String> = [last, last / 2, last * 2 / 3]
        .iter()
        .enumerate()
        .map(|(i, at)| format!("o{i}: %{}", w.values[*at].0))
        .collect();
    format!(
        "graph(%x: f32[2, 4, 3, 4], %z: f32[1, 2, 3, 2]) {{\n{}  return {}\n}}\n",
        w.text,
        outputs.join(", ")
    )
}

fn targets(m: &Model) -> [(Target, &'static str); 2] {
    [
        (Target::Tflite(tflite::lower::Target::default()), "channels_first"),
        (Target::Onnx(onnx::lower::Target::new(m, 21)), "channels_last"),
    ]
}

fn results(g: &Graph) -> Vec<Vec<f64>> {
    let input = |(i, v): (usize, &hoist_ir::graph::ValueId)| {
        let ty = g.ty(*v).as_tensor().expect("a tensor");
        Value::Tensor(seeded(ty.dtype, &ty.sizes().expect("fixed"), i as u64).expect("small"))
    };
    let inputs = g.inputs().iter().enumerate().map(input).collect();
    let all = eval_graph(g, inputs, Limits::default()).expect("computable");
    all.into_iter().map(|v| v.into_tensor().expect("a tensor").to_f64s().expect("numbers")).collect()
}

fn parsed(text: &str) -> Graph {
    parse_model(text).unwrap_or_else(|d| panic!("{d}\n{text}")).graph
}

/// Bytes that transposes move, and one for each reshape that stands for one.
fn moved(g: &Graph) -> u64 {
    let batches = batch_names(g);
    let all = g.order().filter(|n| g.node(*n).op().name() == "transpose");
    all.map(|n| bytes(g, g.node(n).outputs()[0], &batches) + 1).sum()
}

#[test]
fn random_graphs_keep_their_results() {
    let mut changed = 0;
    for (target, layout) in targets(&Model::default()) {
        for seed in 0..250 {
            let text = graph(seed, layout, 14, false);
            let before = parsed(&text);
            let mut g = before.clone();
            let edits = bring(&mut g, &target).unwrap_or_else(|d| panic!("seed {seed}: {d}\n{text}"));
            let shown = || hoist_ir::text::graph_text(&g);
            g.verify().into_result().unwrap_or_else(|d| panic!("seed {seed}: {d}\n{text}\n{}", shown()));
            assert_eq!(g.interface(), before.interface(), "seed {seed}");
            changed += u32::from(edits.any());
            for (a, b) in results(&before).iter().zip(results(&g)) {
                let near = |(x, y): (&f64, &f64)| {
                    (x - y).abs() <= 1e-4 * (1.0 + x.abs()) || x.is_nan() && y.is_nan()
                };
                assert!(
                    a.len() == b.len() && a.iter().zip(&b).all(near),
                    "seed {seed}:\n{text}\n{}",
                    shown()
                );
            }
            assert!(
                !bring(&mut g, &target).expect("runs again").any(),
                "seed {seed}: not idempotent\n{text}"
            );
        }
    }
    assert!(changed > 300, "{changed}");
}

#[test]
fn the_bytes_that_are_counted_are_moved() {
    for (target, layout) in targets(&Model::default()) {
        for seed in 300..420 {
            let text = graph(seed, layout, 10, seed % 2 == 0);
            let mut g = parsed(&text);
            let frames = Frames::of(&g, &target);
            let fixed = moved(&g);
            let problem = Problem::of(&g, &frames, wanted(&target));
            let labels = problem.solve();
            let counted = problem.cost_of(&labels);
            rewrite::rewrite(&mut g, &frames, &labels).expect("rewrites");
            let real = moved(&g);
            assert!(real <= counted + fixed, "seed {seed}: {real} moved, {counted} counted\n{text}");
            if seed % 2 == 0 {
                assert_eq!(real, counted, "seed {seed}\n{text}\n{}", hoist_ir::text::graph_text(&g));
            }
        }
    }
}

#[test]
fn no_other_choice_moves_less() {
    let mut tried = 0;
    for (target, layout) in targets(&Model::default()) {
        for seed in 500..800 {
            let text = graph(seed, layout, 12, true);
            let g = parsed(&text);
            let frames = Frames::of(&g, &target);
            let problem = Problem::of(&g, &frames, wanted(&target));
            if let Some(least) = problem.least_by_trying(12) {
                tried += 1;
                assert_eq!(problem.cost_of(&problem.solve()), least, "seed {seed}\n{text}");
            }
        }
    }
    assert!(tried > 200, "{tried}");
}
