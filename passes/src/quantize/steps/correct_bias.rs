//! Bias correction: takes the mean error that rounded weights make out of the results (Nagel et al. 2019, section 4.2).
//!
//! With `e = w - rounded(w)` and the mean `m[i]` of each input channel over samples, output channel `o` is off by `sum of e[o, i] m[i]` on average, over all
//! positions of a window. That is added to its bias.
//! - For a window every position counts: at borders, where some lie outside, the correction is a little too large. A transposed convolution has each
//!   position of the result under one in `strides` positions of the window, so each counts as that part.
//! - Operators without a bias get one; a product has it in the constant that is added to its result. Where there is none, the error stays.
use crate::channel_affine::per_channel;
use crate::norm_formula::dims;
use crate::pass::Ctx;
use crate::quantize::equalize::Stats;
use crate::quantize::linear::Linear;
use crate::quantize::round_weights::steps::Steps;
use crate::quantize::weights::Quantized;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::Op;
use hoist_ir::tensor::{Tensor, TensorError};

/// An operator whose bias changed.
#[derive(Clone, PartialEq, Debug)]
pub struct Corrected {
    /// Its label.
    pub at: String,
    /// The largest change of one channel.
    pub largest: f64,
}

/// Gives node `n`, which can have a bias and has none, one of zeros, so that correcting it later replaces no value. Whether it did.
///
/// # Errors
/// When the new operator does not fit.
pub fn give_bias(g: &mut Graph, n: NodeId) -> Result<bool, Diag> {
    let Ok(place) = place(g, n) else { return Ok(false) };
    if place.node != n || g.node(n).input(place.slot).is_some() {
        return Ok(false);
    }
    add(g, n, &place, &vec![0.0; place.values.len()])?;
    Ok(true)
}

/// Corrects biases of `g` for weights that will be stored as `quantized` tells for the operators that it knows; the weights in `g` are floats still. `stats` tells what samples showed of the data of
/// operators with weights. What cannot be corrected stays, with a miss.
///
/// # Errors
/// When constants cannot be read, or a new operator does not fit; what was corrected until then stays, which is valid.
pub fn correct_bias(
    g: &mut Graph,
    cx: &Ctx,
    stats: Stats<'_>,
    quantized: &dyn Fn(NodeId) -> Option<Quantized>,
) -> Result<Vec<Corrected>, Diag> {
    let mut all = vec![];
    for n in g.order_list() {
        let Some(stored) = quantized(n) else { continue };
        let at = g.node_label(n);
        match off_by(g, n, stats, &stored).and_then(|off| Ok((place(g, n)?, off))) {
            Ok((place, off)) => {
                let largest = off.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
                if largest > 0.0 && largest.is_finite() {
                    add(g, n, &place, &off)?;
                    all.push(Corrected { at, largest });
                }
            }
            Err(reason) => cx.miss(g, n, reason),
        }
    }
    Ok(all)
}

/// What each output channel of `n` lacks on average.
fn off_by(g: &Graph, n: NodeId, stats: Stats<'_>, stored: &Quantized) -> Result<Vec<f64>, String> {
    let linear = Linear::of(g, n)?;
    let w = linear.weights(g).and_then(|w| g.constant(w)).ok_or("the weights are not constant")?;
    let seen = linear.data(g).and_then(stats);
    let fits = |c: &crate::quantize::equalize::Channels| {
        c.axis == linear.data_axis && c.sum.len() == linear.inputs && c.count > 0
    };
    let seen = seen.filter(fits).ok_or("the data was not seen along its channels")?;
    let part = match g.node(n).op() {
        Op::ConvTranspose(op) => op.strides.iter().map(|s| *s as f64).product::<f64>().recip(),
        Op::Gemm(op) => f64::from(op.alpha),
        _ => 1.0,
    };
    let mean: Vec<f64> = seen.sum.iter().map(|s| s / seen.count as f64 * part).collect();
    if stored.data.shape() != w.shape() {
        return Err("the weights are stored in another form".to_owned());
    }
    missing(&linear, w, stored, &mean).map_err(|e| e.to_string())
}

fn missing(linear: &Linear, w: &Tensor, stored: &Quantized, mean: &[f64]) -> Result<Vec<f64>, TensorError> {
    let steps = Steps::of(stored)?;
    let integers = stored.data.to_f32s()?;
    let mut off = vec![0.0; linear.outputs];
    linear.visit_places(w, |at, o, i, v| {
        let (scale, zero) = steps.at(at);
        off[o] += (f64::from(v) - (f64::from(integers[at]) - zero) * scale) * mean[i];
    })?;
    Ok(off)
}

/// A constant that is added to each output channel, as it is now.
struct Place {
    node: NodeId,
    slot: usize,
    /// Sizes of the constant that takes its place.
    shape: Vec<usize>,
    values: Vec<f64>,
    /// What the operator multiplies it by.
    factor: f64,
}

/// Where a correction of `n` goes.
fn place(g: &Graph, n: NodeId) -> Result<Place, String> {
    const NONE: &str = "no constant is added to the result";
    let linear = Linear::of(g, n)?;
    let count = linear.outputs;
    if let Some(slot) = linear.bias_slot {
        let values = match g.node(n).input(slot) {
            None => vec![0.0; count],
            Some(b) => per_channel(g, b, count, 1, 2)
                .or_else(|| per_channel(g, b, count, 0, 1))
                .ok_or("the bias is not one constant per channel")?,
        };
        let factor = match g.node(n).op() {
            Op::Gemm(op) if g.node(n).input(slot).is_some() => f64::from(op.beta),
            _ => 1.0,
        };
        if factor == 0.0 {
            return Err("the bias does not count".to_owned());
        }
        return Ok(Place { node: n, slot, shape: vec![count], values, factor });
    }
    let y = linear.result(g).ok_or(NONE)?;
    let add = g.single_user(y).filter(|u| g.node(*u).op().name() == "add").ok_or(NONE)?;
    let slot = usize::from(g.node(add).input(0) == Some(y));
    let rank = dims(g, y).map(Vec::len).ok_or("the rank is not known")?;
    let added = g.node(add).input(slot).ok_or(NONE)?;
    let values = per_channel(g, added, count, linear.result_axis, rank).ok_or(NONE)?;
    let mut shape = vec![1; rank - linear.result_axis];
    shape[0] = count;
    Ok(Place { node: add, slot, shape, values, factor: 1.0 })
}

/// Adds `off` to the constant at `place`, or gives `n` one.
fn add(g: &mut Graph, n: NodeId, place: &Place, off: &[f64]) -> Result<(), Diag> {
    let sum = place.values.iter().zip(off).map(|(b, o)| (b + o / place.factor) as f32);
    let tensor = Tensor::from_vec(&place.shape, sum.collect::<Vec<f32>>());
    let Some(old) = g.node(place.node).input(place.slot) else {
        let mut op = g.node(n).op().clone();
        if let Op::Gemm(op) = &mut op {
            op.beta = 1.0;
        }
        let (x, w) = (g.node(n).input(0), g.node(n).input(1));
        return g.rewrite(n, &[], |b| {
            let bias = b.constant(tensor);
            b.add(op, &[x, w, Some(bias)])
        });
    };
    let name = g.value(old).name.clone().filter(|_| g.single_user(old).is_some());
    let new = g.add_const(tensor);
    g.set_operand(place.node, place.slot, Some(new))?;
    if name.is_some() {
        g.set_name(old, None);
        g.set_name(new, name);
    }
    g.drop_unused_const(old);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::equalize::Channels;
    use crate::quantize::spec::Grid;
    use hoist_ir::dtype::DType;
    use hoist_ir::eval::{Limits, Value, eval_graph};
    use hoist_ir::graph::ValueId;
    use hoist_ir::text::{parse_graph, seeded};
    use hoist_ir::types::TensorType;

    const I4: Grid = Grid { dtype: DType::I4, symmetric: true };

    fn input(g: &Graph) -> Tensor {
        let sizes = g.ty(g.inputs()[0]).as_tensor().and_then(TensorType::sizes).expect("fixed sizes");
        let noise = seeded(DType::F32, &sizes, 5).expect("a tensor");
        // Far from 0 on average.
        Tensor::from_vec(
            &sizes,
            noise.to_f32s().expect("floats").iter().map(|v| v + 1.0).collect::<Vec<f32>>(),
        )
    }
    fn results(g: &Graph) -> Vec<f64> {
        let all = eval_graph(g, vec![Value::Tensor(input(g))], Limits::default()).expect("a result");
        all[0].as_tensor().expect("a tensor").to_f64s().expect("floats")
    }
    /// Mean errors of results with and without correction.
    fn errors(text: &str) -> (f64, f64) {
        let g = parse_graph(text).expect("a graph");
        let n = g.order_list()[0];
        let linear = Linear::of(&g, n).expect("weights");
        let w = g.constant(linear.weights(&g).expect("weights")).expect("a constant").clone();
        let sharing = crate::quantize::sharing::Sharing::Axis(linear.out_axis);
        let stored = crate::quantize::sharing::share(&w, sharing, I4, true, DType::F32).expect("a grid");
        let t = input(&g);
        let inner: usize = t.shape()[linear.data_axis + 1..].iter().copied().fold(1, usize::saturating_mul);
        let (size, none) = (linear.inputs, vec![]);
        let mut seen = Channels {
            axis: linear.data_axis,
            low: none.clone(),
            high: none,
            sum: vec![0.0; size],
            square: vec![],
            count: (t.len() / size) as u64,
        };
        for (i, v) in t.to_f64s().expect("floats").iter().enumerate() {
            seen.sum[i / inner % linear.inputs] += v;
        }
        let stats = |v: ValueId| (v == g.inputs()[0]).then(|| seen.clone());
        let mut corrected = g.clone();
        let found =
            correct_bias(&mut corrected, &Ctx::default(), &stats, &|m| (m == n).then(|| stored.clone()))
                .expect("corrected");
        assert_eq!(found.len(), 1, "{text}");
        corrected.verify().into_result().expect("a valid graph");
        let steps = Steps::of(&stored).expect("steps");
        let real = |(i, v): (usize, &f64)| ((v - steps.at(i).1) * steps.at(i).0) as f32;
        let real: Vec<f32> = stored.data.to_f64s().expect("integers").iter().enumerate().map(real).collect();
        let expected = results(&g);
        let error = |g: &Graph| {
            let mut g = g.clone();
            let n = g.order_list()[0];
            let w = g.add_const(Tensor::from_vec(stored.data.shape(), real.clone()));
            g.set_operand(n, linear.weight_slot, Some(w)).expect("weights fit");
            let sum: f64 = results(&g).iter().zip(&expected).map(|(a, b)| (a - b).powi(2)).sum();
            sum
        };
        (error(&g), error(&corrected))
    }

    #[test]
    fn mean_errors_go_into_biases() {
        for text in [
            "graph(%x: f32[1, 3, 9, 9]) { %w = const f32[4, 3, 3, 3] seeded(1) %b = const f32[4] seeded(2) %y = conv(%x, %w, %b) return y: %y }",
            "graph(%x: f32[1, 4, 9, 9]) { %w = const f32[4, 2, 3, 3] seeded(1) %y = conv(%x, %w) {group=2} return y: %y }",
            "graph(%x: f32[9, 30]) { %w = const f32[30, 5] seeded(1) %b = const f32[1] [2.0] %y = gemm(%x, %w, %b) {alpha=2.0, beta=3.0} return y: %y }",
            "graph(%x: f32[9, 30]) { %w = const f32[5, 30] seeded(1) %y = gemm(%x, %w) {trans_b=true} return y: %y }",
            "graph(%x: f32[2, 9, 30]) { %w = const f32[30, 5] seeded(1) %b = const f32[5] seeded(2) %p = mat_mul(%x, %w) %y = add(%b, %p) return y: %y }",
        ] {
            let (before, after) = errors(text);
            assert!(after < before / 3.0, "{text}: {before} became {after}");
        }
    }

    #[test]
    fn products_that_nothing_is_added_to_stay() {
        let g = parse_graph(
            "graph(%x: f32[2, 9, 30]) { %w = const f32[30, 5] seeded(1) %y = mat_mul(%x, %w) return y: %y }",
        )
        .expect("a graph");
        assert!(place(&g, g.order_list()[0]).is_err());
    }
}
