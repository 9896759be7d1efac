//! Products of integers that are cast and scaled, as products of floats.
use crate::pass::Outcome;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::linear::mat_mul::MatMul;
use hoist_ir::ops::quant::dequantize_linear::DequantizeLinear;
use hoist_ir::ops::spatial::conv::Conv;
use hoist_ir::ops::spatial::conv_integer::ConvInteger;
use hoist_ir::pattern::Pattern;
use hoist_ir::tensor::Tensor;
use std::sync::LazyLock;

static FORMULAS: LazyLock<Vec<Pattern>> = LazyLock::new(|| {
    let of = |op: &str| format!("mul~(cast({op}(%q, %w, %z?, %v?)) {{to=f32}}, mul(%s, %u))");
    ["mat_mul_integer", "conv_integer"].iter().filter_map(|op| Pattern::parse(&of(op)).ok()).collect()
});

/// Replaces the product that `mul` `n` scales by one of floats.
pub fn expand(g: &mut Graph, n: NodeId) -> Outcome {
    if !matches!(g.node(n).op(), Op::Mul(_)) {
        return Outcome::Skip;
    }
    for pattern in &*FORMULAS {
        let Ok(m) = pattern.matches(g, n) else { continue };
        let (Some(q), Some(w), Some(s), Some(u)) = (m.value("q"), m.value("w"), m.value("s"), m.value("u"))
        else {
            continue;
        };
        let inner = m.inner().to_vec();
        let conv = inner.iter().find_map(|n| match g.node(*n).op() {
            Op::ConvInteger(op) => Some(op.clone()),
            _ => None,
        });
        // The scale of the data comes with it, or is the one that is one number.
        let together = |v: ValueId| g.producer(v).is_some() && g.producer(v) == g.producer(q);
        let swapped = together(u) || !together(s) && !is_one(g, s);
        let [s, u] = if swapped { [u, s] } else { [s, u] };
        let Some(scales) = flat(g, u) else {
            return Outcome::miss("the scales of the weights are not constant");
        };
        let several = scales.len() > 1;
        let (z, v) = (m.value("z"), m.value("v"));
        return Outcome::of(g.rewrite(n, &inner, |b| {
            let own = DequantizeLinear { axis: 1, block_size: 0, output_dtype: None };
            let x = b.add(own.clone(), &[Some(q), Some(s), z])?[0];
            let axis = if conv.is_some() { 0 } else { -1 };
            let scale = if several { scales } else { scales.reshape(&[]).unwrap_or(scales) };
            let scale = b.constant(scale);
            let w = b.add(DequantizeLinear { axis, ..own }, &[Some(w), Some(scale), v])?[0];
            match conv {
                Some(conv) => b.add(float(conv), &[Some(x), Some(w)]),
                None => b.add(MatMul {}, &[Some(x), Some(w)]),
            }
        }));
    }
    Outcome::Skip
}

fn is_one(g: &Graph, v: ValueId) -> bool {
    let sizes = g.ty(v).as_tensor().and_then(|t| t.sizes());
    sizes.is_some_and(|s| s.iter().copied().fold(1, usize::saturating_mul) == 1)
}

/// The elements of constant `v` along one axis.
fn flat(g: &Graph, v: ValueId) -> Option<Tensor> {
    let t = g.constant(v)?;
    (t.shape().iter().filter(|d| **d != 1).count() <= 1).then(|| t.reshape(&[t.len()]).ok())?
}

fn float(c: ConvInteger) -> Conv {
    Conv {
        auto_pad: c.auto_pad,
        dilations: c.dilations,
        group: c.group,
        kernel_shape: c.kernel_shape,
        pads: c.pads,
        strides: c.strides,
        layout: c.layout,
    }
}
