//! Random graphs through every pass and pipeline: each run keeps the graph valid (the driver checks that) and its results.
use super::{run, same};
use hoist_ir::eval::{Limits, Value, eval_graph};
use hoist_ir::model::Model;
use hoist_ir::text::{parse_model, seeded};
use hoist_passes::registry;
use std::fmt::Write;

/// A linear congruential generator (Knuth's constants); good enough for choosing.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Writes a graph as text, statement by statement, with the sizes of its `f32` values so far.
struct Writer {
    random: Random,
    text: String,
    values: Vec<(String, Vec<usize>)>,
    next: usize,
}

impl Writer {
    fn name(&mut self) -> String {
        self.next += 1;
        format!("v{}", self.next)
    }
    fn push(&mut self, shape: Vec<usize>, definition: &str) {
        let name = self.name();
        let _ = writeln!(self.text, "  %{name} = {definition}");
        self.values.push((name, shape));
    }
    /// A constant; its name.
    fn constant(&mut self, literal: &str) -> String {
        let name = self.name();
        let _ = writeln!(self.text, "  %{name} = const {literal}");
        name
    }
    fn statement(&mut self) {
        let (x, shape) = self.random.pick(&self.values.clone()).clone();
        match self.random.below(16) {
            0 => {
                let op = *self.random.pick(&["identity", "tanh", "neg", "abs", "leaky_relu", "relu"]);
                self.push(shape, &format!("{op}(%{x})"));
            }
            1 => self.transpose(&x, &shape),
            2 => self.reshape(&x, &shape),
            3 => {
                let to = *self.random.pick(&["f64", "f16"]);
                let wide = self.name();
                let _ = writeln!(self.text, "  %{wide} = cast(%{x}) {{to={to}}}");
                self.push(shape, &format!("cast(%{wide}) {{to=f32}}"));
            }
            4 | 5 => {
                let number = *self.random.pick(&["0.0", "-0.0", "1.0", "0.5", "-2.0"]);
                let c = self.constant(&format!("f32[] [{number}]"));
                let op = *self.random.pick(&["add", "sub", "mul"]);
                self.push(shape, &format!("{op}(%{x}, %{c})"));
            }
            6 => {
                let op = *self.random.pick(&["add", "sub", "mul"]);
                let same: Vec<_> = self.values.iter().filter(|(_, s)| *s == shape).cloned().collect();
                let y = self.random.pick(&same).0.clone();
                self.push(shape, &format!("{op}(%{x}, %{y})"));
            }
            7 => self.product(&x, &shape),
            8 => {
                let sizes = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let literal = format!("f32[{sizes}] seeded({})", self.random.below(3));
                let c = self.constant(&literal);
                self.values.push((c, shape));
            }
            9 => {
                let sizes = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let body = format!(
                    "\n    body(%a: f32[{sizes}]) {{\n      %b = add(%a, %a)\n      return %b\n    }}"
                );
                self.push(shape, &format!("call(\"local\", \"Twice\")(%{x}){body}"));
            }
            10 => {
                let (s, y) = (self.name(), self.random.pick(&self.values.clone()).clone());
                let _ = writeln!(self.text, "  %{s} = sequence_construct(%{x}, %{})", y.0);
                let (at, shape) = if self.random.below(2) == 0 { (0, shape) } else { (-1, y.1) };
                let at = self.constant(&format!("i64[] [{at}]"));
                self.push(shape, &format!("sequence_at(%{s}, %{at})"));
            }
            11 if !shape.is_empty() => {
                let sizes = shape[1..].iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let body = format!(
                    "\n    body(%a: f32[{sizes}]) {{\n      %b = add(%a, %a)\n      return %b\n    }}"
                );
                self.push(shape, &format!("scan(%{x}){body}"));
            }
            13 if !shape.is_empty() => self.slices(&x, &shape),
            14 if !shape.is_empty() => {
                let y = self
                    .random
                    .pick(&self.values.iter().filter(|(_, s)| *s == shape).cloned().collect::<Vec<_>>())
                    .0
                    .clone();
                let axis = self.random.below(shape.len());
                let mut out = shape.clone();
                out[axis] *= 2;
                self.push(out, &format!("concat(%{x}, %{y}) {{axis={axis}}}"));
            }
            15 => self.expanded(&x, shape),
            _ => {
                let s = self.name();
                let _ = writeln!(self.text, "  %{s} = shape(%{x})");
                self.push(shape, &format!("reshape(%{x}, %{s})"));
            }
        }
    }
    /// A product with a value that an expand stretches.
    fn expanded(&mut self, x: &str, shape: Vec<usize>) {
        let one = vec![1; shape.len()];
        let sizes = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let c = self.constant(&format!("f32{one:?} [0.5]"));
        let l = self.constant(&format!("i64[{}] [{sizes}]", shape.len()));
        let e = self.name();
        let _ = writeln!(self.text, "  %{e} = expand(%{c}, %{l})");
        self.push(shape, &format!("mul(%{x}, %{e})"));
    }
    /// Two slices that cut a value in two.
    fn slices(&mut self, x: &str, shape: &[usize]) {
        let axis = self.random.below(shape.len());
        let at = self.random.below(shape[axis]);
        let list = |v: usize| format!("i64[1] [{v}]");
        let (zero, middle, end) =
            (self.constant(&list(0)), self.constant(&list(at)), self.constant(&list(shape[axis])));
        let axes = self.constant(&list(axis));
        for (from, to, size) in [(&middle, &end, shape[axis] - at), (&zero, &middle, at)] {
            let mut out = shape.to_vec();
            out[axis] = size;
            if size > 0 {
                self.push(out, &format!("slice(%{x}, %{from}, %{to}, %{axes})"));
            }
        }
    }
    fn transpose(&mut self, x: &str, shape: &[usize]) {
        let mut perm: Vec<usize> = (0..shape.len()).collect();
        for i in (1..perm.len()).rev() {
            perm.swap(i, self.random.below(i + 1));
        }
        self.push(perm.iter().map(|p| shape[*p]).collect(), &format!("transpose(%{x}) {{perm={perm:?}}}"));
    }
    fn reshape(&mut self, x: &str, shape: &[usize]) {
        let count: usize = shape.iter().product();
        let (target, written) = match self.random.below(3) {
            0 => (vec![count], vec!["-1".to_owned()]),
            1 if count.is_multiple_of(2) => (vec![2, count / 2], vec!["2".to_owned(), "-1".to_owned()]),
            _ => {
                let axes = self.constant("i64[1] [0]");
                let out = [&[1], shape].concat();
                return self.push(out, &format!("unsqueeze(%{x}, %{axes})"));
            }
        };
        let c = self.constant(&format!("i64[{}] [{}]", written.len(), written.join(", ")));
        self.push(target, &format!("reshape(%{x}, %{c})"));
    }
    /// A matrix product with a bias, where the operand is a matrix.
    fn product(&mut self, x: &str, shape: &[usize]) {
        let [m, k] = *shape else { return };
        let w = self.constant(&format!("f32[{k}, 3] seeded(5)"));
        if self.random.below(3) == 0 {
            self.push(vec![m, 3], &format!("gemm(%{x}, %{w}) {{alpha=0.5}}"));
            let y = self.values[self.values.len() - 1].0.clone();
            let f = self.constant("f32[3] [0.5, -1.0, 2.0]");
            return self.push(vec![m, 3], &format!("mul(%{f}, %{y})"));
        }
        self.push(vec![m, 3], &format!("mat_mul(%{x}, %{w})"));
        if self.random.below(2) == 0 {
            let y = self.values[self.values.len() - 1].0.clone();
            let b = self.constant("f32[3] [0.5, -1.0, 2.0]");
            self.push(vec![m, 3], &format!("add(%{y}, %{b})"));
        }
    }
}

fn graph(seed: u64) -> String {
    let start = vec![("x".to_owned(), vec![2, 3, 4]), ("z".to_owned(), vec![4, 6])];
    let mut w = Writer { random: Random(seed), text: String::new(), values: start, next: 0 };
    for _ in 0..24 {
        w.statement();
    }
    let outputs: Vec<String> = (0..4).map(|i| format!("o{i}: %{}", w.random.pick(&w.values).0)).collect();
    format!("graph(%x: f32[2, 3, 4], %z: f32[4, 6]) {{\n{}  return {}\n}}\n", w.text, outputs.join(", "))
}

fn results(m: &Model) -> Vec<Value> {
    let input = |(i, v): (usize, &hoist_ir::graph::ValueId)| {
        let ty = m.graph.ty(*v).as_tensor().expect("a tensor");
        Value::Tensor(seeded(ty.dtype, &ty.sizes().expect("fixed"), i as u64).expect("small"))
    };
    let inputs = m.graph.inputs().iter().enumerate().map(input).collect();
    eval_graph(&m.graph, inputs, Limits::default()).expect("computable")
}

#[test]
fn random_graphs_keep_their_results() {
    let mut pipelines: Vec<&str> = registry().iter().map(|p| p.info().name).collect();
    pipelines.extend(["default", "cleanup", "fixpoint(fold,cleanup)", "O1", "O2", "O3"]);
    let mut changed = vec![0; pipelines.len()];
    for seed in 0..60 {
        let text = graph(seed);
        let before = parse_model(&text).unwrap_or_else(|d| panic!("seed {seed}:\n{d}\n{text}"));
        let want = results(&before);
        for (pipeline, count) in pipelines.iter().zip(&mut changed) {
            let mut after = before.clone();
            let report = run(pipeline, &mut after, None, &crate::Wanted::default())
                .unwrap_or_else(|d| panic!("seed {seed}, {pipeline}:\n{d}\n{text}"));
            *count += report.changed();
            // The groups end in a state in which none of their passes finds anything to do only inside a `fixpoint`.
            if registry().iter().any(|p| p.info().name == *pipeline) {
                let again = run(pipeline, &mut after, None, &crate::Wanted::default()).expect("runs again");
                assert_eq!(again.changed(), 0, "seed {seed}, {pipeline} is not idempotent:\n{text}");
            }
            for (a, b) in want.iter().zip(results(&after)) {
                same(a, &b, 1e-4).unwrap_or_else(|e| panic!("seed {seed}, {pipeline}: {e}\n{text}"));
            }
        }
    }
    // What these look for is among the statements above; a case of its own shows each of the others at work.
    let common = [
        "remove-identity",
        "merge-transposes",
        "merge-movements",
        "merge-reshapes",
        "merge-casts",
        "merge-duplicates",
        "remove-dead-code",
        "fold-constants",
        "legalize-onnx",
        "O1",
        "O2",
    ];
    let idle: Vec<&str> = pipelines
        .iter()
        .zip(&changed)
        .filter(|(p, c)| **c == 0 && common.contains(p))
        .map(|(p, _)| *p)
        .collect();
    assert!(idle.is_empty(), "{idle:?} found nothing to do in any graph");
}
