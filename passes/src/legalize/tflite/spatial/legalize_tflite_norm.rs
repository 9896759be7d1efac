//! `legalize-tflite-norm`
//!
//! ```text
//! %y = batch_normalization(%x, %scale, %b, %mean, %var)   ->   %k = %scale / sqrt(%var + epsilon)
//!                                                              %y = %x * %k + (%b - %mean * %k)
//! %y = lp_normalization(%x)   ->   %n = sqrt(reduce_sum(%x * %x))
//!                                  %y = %x / where(%n == 0, 1, %n)
//! ```
//! - `batch_normalization`, also in training mode; `instance_normalization`, `mean_variance_normalization`, `lp_normalization` of data of known rank.
//! - `group_normalization` with the channels last: groups become an axis of their own.
//! - `lrn` over an even number of channels, or of data that are no images, as a sum of slices.
use super::nodes::{call, cast, dtype, flag, layout, list, named, pad, rank, reshape, shape, size, span};
use crate::fault::planted;
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_formats::tflite::bind::spatial::AXES;
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::words::Layout;

/// The pass.
pub struct LegalizeTfliteNorm;

const INFO: PassInfo =
    PassInfo { name: "legalize-tflite-norm", doc: "Gives normalizations as means, products and sums." };

const OPS: &[&str] = &[
    "batch_normalization",
    "group_normalization",
    "instance_normalization",
    "lp_normalization",
    "lrn",
    "mean_variance_normalization",
];

impl Pass for LegalizeTfliteNorm {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, OPS, |g, n, _, reason| rule(g, n, &reason)))
    }
}

/// A node on its way to simpler ones.
struct Task {
    op: Op,
    inputs: Vec<ValueId>,
    rank: usize,
    layout: Layout,
    results: usize,
}

fn rule(g: &mut Graph, n: NodeId, reason: &str) -> Outcome {
    let node = g.node(n);
    let op = node.op().clone();
    let inputs: Vec<ValueId> = node.inputs().iter().flatten().copied().collect();
    let Some(rank) = inputs.first().and_then(|x| rank(g, *x).ok()) else {
        return Outcome::miss("the rank is not known");
    };
    if dtype(g, inputs[0]) != Some(DType::F32) {
        return Outcome::miss("the data are no f32");
    }
    let even = reason.starts_with("an even number");
    if op.name() == "lrn" && !even && !(reason == AXES && rank != 3) {
        return Outcome::miss("it lacks something else");
    }
    let task = Task { layout: layout(&op), op, inputs, rank, results: node.outputs().len() };
    if task.op.name() == "group_normalization" && task.layout == Layout::ChannelsFirst {
        return Outcome::miss("its channels come first");
    }
    Outcome::of(g.rewrite(n, &[], |b| match task.op.name() {
        "batch_normalization" => task.batch(b),
        "group_normalization" => Ok(vec![task.group(b)?]),
        "instance_normalization" => Ok(vec![task.instance(b)?]),
        "lp_normalization" => Ok(vec![task.by_norm(b)?]),
        "lrn" => Ok(vec![task.local(b)?]),
        _ => Ok(vec![task.mean_variance(b)?]),
    }))
}

impl Task {
    fn number(&self, name: &str) -> f64 {
        match self.op.def().attr(name) {
            Some(Attr::Float(v)) => f64::from(v),
            Some(Attr::Int(v)) => v as f64,
            _ => 0.0,
        }
    }
    /// Operand `i`, one number per channel, beside the data.
    fn channels(&self, b: &mut Builder<'_>, i: usize) -> Result<ValueId, Diag> {
        let v = self.inputs.get(i).copied().ok_or_else(|| Diag::error("E0303", "an operand is missing"))?;
        let v = cast(b, v, DType::F32)?;
        self.beside(b, v)
    }
    /// One number per channel, with axes behind it where the channels come first.
    fn beside(&self, b: &mut Builder<'_>, v: ValueId) -> Result<ValueId, Diag> {
        if self.layout == Layout::ChannelsLast || self.rank < 3 {
            return Ok(v);
        }
        let axes = b.ints(&(1..self.rank as i64 - 1).collect::<Vec<_>>());
        named(b, "unsqueeze", &[v, axes])
    }
    fn batch(&self, b: &mut Builder<'_>) -> Result<Vec<ValueId>, Diag> {
        let x = self.inputs[0];
        let training = flag(&self.op, "training_mode");
        let (scale, bias) = (self.channels(b, 1)?, self.channels(b, 2)?);
        let axis = self.layout.channel_axis(self.rank.max(2));
        let axes: Vec<i64> =
            (0..self.rank).filter(|a| self.rank < 2 || *a != axis).map(|a| a as i64).collect();
        let mut results = vec![];
        let (mean, var) = if training {
            let flat = b.ints(&axes);
            let mean = named(b, "reduce_mean", &[x, flat])?;
            let centred = named(b, "sub", &[x, mean])?;
            let squares = named(b, "mul", &[centred, centred])?;
            let var = named(b, "reduce_mean", &[squares, flat])?;
            results = vec![(3, mean), (4, var)];
            (mean, var)
        } else {
            (self.channels(b, 3)?, self.channels(b, 4)?)
        };
        let epsilon = b.scalar_like(self.number("epsilon"), var)?;
        let sum = named(b, "add", &[var, epsilon])?;
        let deviation = named(b, "sqrt", &[sum])?;
        let factor = named(b, "div", &[scale, deviation])?;
        let shift = named(b, "mul", &[mean, factor])?;
        let shift = named(b, "sub", &[bias, shift])?;
        let y = named(b, "mul", &[x, factor])?;
        let mut all = vec![named(b, "add", &[y, shift])?];
        for (i, current) in results.into_iter().take(self.results.saturating_sub(1)) {
            all.push(self.running(b, i, current)?);
        }
        Ok(all)
    }
    /// Running statistics: the former ones of operand `i` and those of the batch, in proportion.
    fn running(&self, b: &mut Builder<'_>, i: usize, current: ValueId) -> Result<ValueId, Diag> {
        let former = self.inputs[i];
        let dtype = dtype(b.graph(), former).unwrap_or(DType::F32);
        let momentum = self.number("momentum");
        let current = reshape(b, current, &[-1])?;
        let share = b.scalar_like(1.0 - momentum, current)?;
        let new = named(b, "mul", &[current, share])?;
        if momentum == 0.0 {
            return cast(b, new, dtype);
        }
        let former = cast(b, former, DType::F32)?;
        let share = b.scalar_like(momentum, former)?;
        let old = named(b, "mul", &[former, share])?;
        let sum = named(b, "add", &[old, new])?;
        cast(b, sum, dtype)
    }
    /// `(x - mean) / sqrt(var + epsilon)` over `axes`.
    fn normal(&self, b: &mut Builder<'_>, x: ValueId, axes: &[i64]) -> Result<ValueId, Diag> {
        let axes = b.ints(axes);
        let mean = named(b, "reduce_mean", &[x, axes])?;
        let centred = named(b, "sub", &[x, mean])?;
        let squares = named(b, "mul", &[centred, centred])?;
        let var = named(b, "reduce_mean", &[squares, axes])?;
        let epsilon = b.scalar_like(self.number("epsilon"), x)?;
        let sum = named(b, "add", &[var, epsilon])?;
        let deviation = named(b, "sqrt", &[sum])?;
        named(b, "div", &[centred, deviation])
    }
    fn scaled(&self, b: &mut Builder<'_>, y: ValueId) -> Result<ValueId, Diag> {
        let (scale, bias) = (self.channels(b, 1)?, self.channels(b, 2)?);
        let y = named(b, "mul", &[y, scale])?;
        named(b, "add", &[y, bias])
    }
    fn instance(&self, b: &mut Builder<'_>) -> Result<ValueId, Diag> {
        let first = self.layout.first_spatial_axis();
        let axes: Vec<i64> = (first..first + self.rank - 2).map(|a| a as i64).collect();
        let y = self.normal(b, self.inputs[0], &axes)?;
        self.scaled(b, y)
    }
    /// `[N, pixels, groups, channels / groups]`, channels last.
    fn group(&self, b: &mut Builder<'_>) -> Result<ValueId, Diag> {
        let (x, groups) = (self.inputs[0], self.number("num_groups") as i64);
        let channels = size(b.graph(), x, self.rank - 1).and_then(|c| c.checked_div(groups));
        let per = channels.ok_or_else(|| Diag::error("E0303", "the number of channels is not known"))?;
        let own = shape(b, x)?;
        let grouped = reshape(b, x, &[0, -1, groups, per])?;
        let y = self.normal(b, grouped, &[1, 3])?;
        let y = named(b, "reshape", &[y, own])?;
        self.scaled(b, y)
    }
    fn mean_variance(&self, b: &mut Builder<'_>) -> Result<ValueId, Diag> {
        let x = self.inputs[0];
        let mut axes = list(&self.op, "axes");
        if axes.is_empty() {
            axes = (0..self.rank as i64).collect();
        }
        let axes = b.ints(&axes);
        let mean = named(b, "reduce_mean", &[x, axes])?;
        let centred = named(b, "sub", &[x, mean])?;
        let squares = named(b, "mul", &[centred, centred])?;
        let var = named(b, "reduce_mean", &[squares, axes])?;
        let deviation = named(b, "sqrt", &[var])?;
        // ONNX's addend of the deviation.
        let epsilon = b.scalar_like(1e-9, x)?;
        let deviation = named(b, "add", &[deviation, epsilon])?;
        named(b, "div", &[centred, deviation])
    }
    fn by_norm(&self, b: &mut Builder<'_>) -> Result<ValueId, Diag> {
        let x = self.inputs[0];
        let axes = b.ints(&[self.number("axis") as i64]);
        let square = self.number("p") == 2.0;
        let terms = if square { named(b, "mul", &[x, x])? } else { named(b, "abs", &[x])? };
        let sum = named(b, "reduce_sum", &[terms, axes])?;
        let norm = if square { named(b, "sqrt", &[sum])? } else { sum };
        let (zero, one) = (b.scalar_like(0.0, x)?, b.scalar_like(1.0, x)?);
        let none = named(b, "equal", &[norm, zero])?;
        let norm = named(b, "where", &[none, one, norm])?;
        named(b, "div", &[x, norm])
    }
    fn local(&self, b: &mut Builder<'_>) -> Result<ValueId, Diag> {
        const MOST: i64 = 64;
        let (x, count) = (self.inputs[0], self.number("size") as i64);
        if count > MOST {
            return Err(Diag::error("E0303", "the sum is over many channels"));
        }
        let axis = resolve_axis(self.layout.channel_axis(self.rank) as i64, self.rank)
            .map_err(|e| Diag::error(e.code, e.message))?;
        let squares = named(b, "mul", &[x, x])?;
        let (before, after) = ((count - 1) / 2, count / 2);
        let (before, after) = if planted("legalize-tflite-norm") { (after, before) } else { (before, after) };
        let wide = pad(b, squares, &[(axis, before, after)], 0.0)?;
        let mut sum: Option<ValueId> = None;
        for k in 0..count {
            let behind = count - 1 - k;
            let term = span(b, wide, axis, k, if behind == 0 { i64::MAX } else { -behind })?;
            sum = Some(match sum {
                None => term,
                Some(s) => named(b, "add", &[s, term])?,
            });
        }
        let sum = sum.ok_or_else(|| Diag::error("E0303", "no channels are summed"))?;
        let alpha = b.scalar_like(self.number("alpha") / count as f64, x)?;
        let bias = b.scalar_like(self.number("bias"), x)?;
        let scaled = named(b, "mul", &[sum, alpha])?;
        let base = named(b, "add", &[scaled, bias])?;
        let beta = b.scalar_like(self.number("beta"), x)?;
        let power = named(b, "pow", &[base, beta])?;
        call(b, hoist_ir::ops::elementwise::arithmetic::Div {}, &[x, power])
    }
}
