//! Statistics of the values of one graph.
use super::{Seen, Wanted};
use crate::quantize::spec::{Grid, Interval, Method};
use hoist_ir::diag::Diag;
use hoist_ir::eval::Value;
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::model::Executor;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Batches that run at a time. Each has statistics of its own, so that sums are added in an order that does not depend on threads.
const LANES: usize = 2;

/// Statistics of those values of a main graph that are asked for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Calibration {
    seen: BTreeMap<ValueId, Seen>,
    runs: usize,
}

impl Calibration {
    /// Nothing seen yet; `wanted` says what is recorded of which value.
    pub fn new(wanted: impl IntoIterator<Item = (ValueId, Wanted)>) -> Self {
        Self { seen: wanted.into_iter().map(|(v, w)| (v, Seen::new(&w))).collect(), runs: 0 }
    }
    /// Runs `executor`, which executes `g`, on one batch of inputs, and takes in inputs and results of nodes. Returns the outputs.
    ///
    /// # Errors
    /// Those of the executor. What was seen before the error stays.
    pub fn run(
        &mut self,
        g: &Graph,
        executor: &dyn Executor,
        inputs: Vec<Value>,
    ) -> Result<Vec<Value>, Diag> {
        for (v, value) in g.inputs().iter().zip(&inputs) {
            self.take_in(*v, value);
        }
        let outputs = executor.observe(inputs, &mut |v, value| self.take_in(v, value))?;
        self.runs += 1;
        Ok(outputs)
    }
    /// [`Self::run`] on each batch, two at a time, and drops the outputs. The result is the same for any number of threads.
    ///
    /// # Errors
    /// The first of the batches or of the executor. What was seen before the error is lost.
    pub fn run_all(
        &mut self,
        g: &Graph,
        executor: &dyn Executor,
        batches: &mut dyn Iterator<Item = Result<Vec<Value>, Diag>>,
    ) -> Result<(), Diag> {
        let mut lanes = vec![self.empty(); LANES];
        let mut runs = 0;
        loop {
            let inputs = batches.take(LANES).collect::<Result<Vec<_>, _>>()?;
            if inputs.is_empty() {
                break;
            }
            let count = inputs.len();
            let work: Vec<_> = lanes.iter_mut().zip(inputs).enumerate().collect();
            let results: Vec<Result<(), Diag>> = work
                .into_par_iter()
                .map(|(i, (lane, inputs))| {
                    // Batches are numbered as they came.
                    lane.runs = self.runs + runs + i;
                    lane.run(g, executor, inputs).map(drop)
                })
                .collect();
            results.into_iter().collect::<Result<(), Diag>>()?;
            runs += count;
        }
        for mut lane in lanes {
            lane.runs = 0;
            self.merge(&lane);
        }
        self.runs += runs;
        Ok(())
    }
    /// The same wishes, nothing seen.
    fn empty(&self) -> Self {
        Self { seen: self.seen.iter().map(|(v, s)| (*v, s.empty())).collect(), runs: 0 }
    }
    fn take_in(&mut self, v: ValueId, value: &Value) {
        if let (Some(seen), Value::Tensor(t)) = (self.seen.get_mut(&v), value) {
            seen.take_in_run(t, self.runs as u64);
        }
    }
    /// Takes in all that `other`, of the same graph and wishes, saw.
    pub fn merge(&mut self, other: &Self) {
        for (v, seen) in &mut self.seen {
            if let Some(other) = other.seen.get(v) {
                seen.merge(other);
            }
        }
        self.runs += other.runs;
    }
    /// Runs taken in.
    pub fn runs(&self) -> usize {
        self.runs
    }
    /// What was seen of `v`, if it was asked for.
    pub fn seen(&self, v: ValueId) -> Option<&Seen> {
        self.seen.get(&v)
    }
    /// [`Self::interval`] of each of `values` that has one, in their order.
    pub fn intervals(&self, values: &[ValueId], method: Method, grid: Grid) -> Vec<(ValueId, Interval)> {
        values.par_iter().filter_map(|v| Some((*v, self.interval(*v, method, grid)?))).collect()
    }
    /// The interval of `v` by `method` for what is stored on `grid`; `None` when no finite number of it was seen.
    pub fn interval(&self, v: ValueId, method: Method, grid: Grid) -> Option<Interval> {
        self.seen(v)?.interval(method, grid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::tensor::Tensor;
    use hoist_ir::text::parse_graph;

    /// Computes `x + x`, whose result is value `y`.
    struct Doubling(ValueId);

    impl Executor for Doubling {
        fn name(&self) -> &'static str {
            "doubling"
        }
        fn run(&self, inputs: Vec<Value>) -> Result<Vec<Value>, Diag> {
            self.observe(inputs, &mut |_, _| ())
        }
        fn observe(
            &self,
            inputs: Vec<Value>,
            seen: &mut dyn FnMut(ValueId, &Value),
        ) -> Result<Vec<Value>, Diag> {
            let t = inputs[0].as_tensor().expect("a tensor");
            let twice = t.to_f32s().expect("floats").iter().map(|v| v * 2.0).collect::<Vec<_>>();
            let y = Value::Tensor(Tensor::from_vec(t.shape(), twice));
            seen(self.0, &y);
            Ok(vec![y])
        }
    }

    fn graph() -> Graph {
        let text = "graph(%x: f32[N]) {\n  %y = add(%x, %x)\n  return y: %y\n}\n";
        parse_graph(text).expect("a graph")
    }

    #[test]
    fn batches_run_side_by_side() {
        let g = graph();
        let (x, y) = (g.inputs()[0], g.outputs()[0].value);
        let wanted = Wanted { histogram: true, channel_axis: Some(0) };
        let batch = |i: usize| {
            let values = (0..3).map(|k| ((i * 3 + k) as f32 * 0.7).sin()).collect();
            Ok(vec![Value::Tensor(Tensor::from_vec(&[3], values))])
        };
        let run = |threads: usize, n: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let mut all = Calibration::new([(x, wanted), (y, wanted)]);
            let mut batches = (0..n).map(batch);
            pool.install(|| all.run_all(&g, &Doubling(y), &mut batches)).expect("runs");
            assert_eq!(all.runs(), n);
            all
        };
        assert!(run(1, 7) == run(3, 7));
        let grid = Grid { dtype: hoist_ir::dtype::DType::I8, symmetric: false };
        for n in [0, 1, 2, 7] {
            let side_by_side = run(2, n);
            let mut plain = Calibration::new([(x, wanted), (y, wanted)]);
            for i in 0..n {
                plain.run(&g, &Doubling(y), batch(i).expect("a batch")).expect("runs");
            }
            for method in [Method::MovingAverage(0.3), Method::Mse, Method::Entropy] {
                assert_eq!(
                    side_by_side.intervals(&[x, y], method, grid),
                    plain.intervals(&[x, y], method, grid)
                );
            }
        }
        let mut all = Calibration::new([(x, wanted)]);
        let mut bad = (0..5).map(|i| if i == 3 { Err(Diag::error("E0603", "no data")) } else { batch(i) });
        assert!(all.run_all(&g, &Doubling(y), &mut bad).is_err());
    }

    #[test]
    fn inputs_and_results_are_seen() {
        let g = graph();
        let (x, y) = (g.inputs()[0], g.outputs()[0].value);
        let wanted = Wanted { histogram: true, channel_axis: None };
        let batch = |v: f32| vec![Value::Tensor(Tensor::from_vec(&[2], vec![v, -1.0]))];
        let mut all = Calibration::new([(x, wanted), (y, Wanted::default())]);
        for v in [1.0, 3.0] {
            let out = all.run(&g, &Doubling(y), batch(v)).expect("runs");
            assert_eq!(out.len(), 1);
        }
        let grid = Grid { dtype: hoist_ir::dtype::DType::I8, symmetric: false };
        assert_eq!(all.runs(), 2);
        assert_eq!(all.interval(x, Method::MinMax, grid), Some(Interval { low: -1.0, high: 3.0 }));
        assert_eq!(all.interval(y, Method::MinMax, grid), Some(Interval { low: -2.0, high: 6.0 }));
        assert_eq!(all.seen(y).map(Seen::count), Some(4));
        let only = Calibration::new([(x, wanted)]);
        assert!(only.seen(y).is_none() && only.interval(x, Method::Mse, grid).is_none());
    }
}
