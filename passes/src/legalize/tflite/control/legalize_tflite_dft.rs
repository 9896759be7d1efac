//! `legalize-tflite-dft`
//!
//! ```text
//! %y = dft(%x: f32[B, 4, 1])   ->   %r = reshape(%x, [B, 4])
//!                                   %p = mat_mul(%r, %m: f32[4, 8])
//!                                   %y = reshape(%p, [B, 4, 2])
//! %y = stft(%x: f32[B, 9, 1], 3, %w: f32[4])   ->   %f = mul(gather(%x, %frames), %w)
//!                                                   %y = dft(%f) {onesided=true}
//! ```
//! - Sizes and positions are known. The matrix holds cosines and sines, computed in double precision; it has at most four million elements.
use super::{cast, dtype};
use crate::fault::planted;
use crate::legalize::{rank, where_lacking};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::Mul;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::linear::mat_mul::MatMul;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::signal::dft::Dft;
use hoist_ir::tensor::Tensor;
use std::f64::consts::TAU;

/// The pass.
pub struct LegalizeTfliteDft;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-dft",
    doc: "Computes Fourier transforms as products with matrices of cosines and sines.",
};

/// Most elements of a matrix.
const MAX_ELEMENTS: usize = 1 << 22;

/// Most steps of the rewrite of one operator.
const MAX_STEPS: usize = 4;

impl Pass for LegalizeTfliteDft {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let mut total = Changed::default();
        // One step of a rewrite may give what the next is about.
        for _ in 0..MAX_STEPS {
            let changed =
                where_lacking(g, cx, &["dft", "stft"], |g, n, target, _| match g.node(n).op().clone() {
                    _ if target.tflite().is_none() => Outcome::Skip,
                    Op::Dft(op) => transform(g, n, &op),
                    Op::Stft(op) => frames(g, n, op.onesided),
                    _ => Outcome::Skip,
                });
            if !changed.any() {
                break;
            }
            total.0 = total.0.saturating_add(changed.0);
        }
        Ok(total)
    }
}

fn shape(g: &Graph, v: ValueId) -> Option<Vec<Dim>> {
    g.ty(v).as_tensor()?.shape.clone()
}

fn size(d: &Dim) -> Option<usize> {
    usize::try_from(d.known()?).ok()
}

/// One transform of lines.
struct Plan {
    /// Values of a line, and numbers of each.
    given: (usize, usize),
    /// The same of the result.
    made: (usize, usize),
    /// Length of the signal.
    n: usize,
    inverse: bool,
    onesided: bool,
}

impl Plan {
    fn new(op: &Dft, values: usize, parts: usize, length: Option<usize>) -> Option<Self> {
        let n = match length {
            Some(n) => n,
            None if op.onesided && op.inverse => values.checked_sub(1)?.checked_mul(2)?,
            None => values,
        };
        let made = match (op.onesided, op.inverse) {
            (true, false) => (n / 2 + 1, 2),
            (true, true) => (n, 1),
            _ => (n, 2),
        };
        let plan = Self { given: (values, parts), made, n, inverse: op.inverse, onesided: op.onesided };
        let elements = [values, parts, made.0, made.1].iter().try_fold(1usize, |a, b| a.checked_mul(*b))?;
        (n > 0 && elements <= MAX_ELEMENTS).then_some(plan)
    }
    /// What value `i`, part `p` of the operand adds to value `k`, part `q` of the result.
    fn factor(&self, i: usize, p: usize, k: usize, q: usize) -> f64 {
        let half = self.inverse && self.onesided;
        let used = if half { self.n / 2 + 1 } else { self.n };
        if i >= used {
            return 0.0;
        }
        let turn = (i as u128 * k as u128 % self.n as u128) as f64;
        let (sin, cos) = (TAU * turn / self.n as f64).sin_cos();
        let sin = if self.inverse { -sin } else { sin };
        // (a + bi)(cos - i sin) = (a cos + b sin) + i (b cos - a sin)
        let plain = match (p, q) {
            (0, 0) | (1, 1) => cos,
            (1, 0) => sin,
            _ => -sin,
        };
        let mirrored = half && i > 0 && (2 * i != self.n || planted("legalize-tflite-dft"));
        let scale = if self.inverse { 1.0 / self.n as f64 } else { 1.0 };
        plain * scale * if mirrored { 2.0 } else { 1.0 }
    }
    fn matrix(&self) -> Tensor {
        let ((values, parts), (made, numbers)) = (self.given, self.made);
        let mut out = Vec::with_capacity(values * parts * made * numbers);
        for i in 0..values {
            for p in 0..parts {
                for k in 0..made {
                    out.extend((0..numbers).map(|q| self.factor(i, p, k, q) as f32));
                }
            }
        }
        Tensor::from_vec(&[values * parts, made * numbers], out)
    }
}

fn transform(g: &mut Graph, n: NodeId, op: &Dft) -> Outcome {
    let node = g.node(n);
    let Some(x) = node.input(0) else { return Outcome::Skip };
    let (Some(t), Some(dims)) = (dtype(g, x), shape(g, x)) else {
        return Outcome::miss("the rank is not known");
    };
    let r = dims.len();
    let axis = match node.input(2) {
        Some(v) => g.const_ints(Some(v)).and_then(|a| a.first().copied()),
        None => Some(-2),
    };
    let Some(axis) = axis.and_then(|a| resolve_axis(a, r).ok()).filter(|a| *a + 1 < r) else {
        return Outcome::miss("the axis is computed");
    };
    let length = match node.input(1) {
        Some(v) => match g.const_ints(Some(v)).as_deref() {
            Some([n]) => usize::try_from(*n).ok(),
            _ => return Outcome::miss("the length is computed"),
        },
        None => None,
    };
    let (Some(values), Some(parts)) = (size(&dims[axis]), size(&dims[r - 1])) else {
        return Outcome::miss("the size of the axis is not known");
    };
    let Some(plan) = Plan::new(op, values, parts, length) else {
        return Outcome::miss("the transform is too long for a matrix");
    };
    let half = matches!(t, DType::F16 | DType::BF16);
    if t != DType::F32 && !half {
        return Outcome::miss("an element type that LiteRT does not multiply");
    }
    Outcome::of(g.rewrite(n, &[], |b| {
        let x = cast(b, x, DType::F32)?;
        let mut perm: Vec<i64> = (0..r as i64).filter(|a| *a != axis as i64 && *a + 1 < r as i64).collect();
        perm.extend([axis as i64, r as i64 - 1]);
        let x = b.transpose(Transpose { perm: perm.clone() }, x)?;
        let lines = merged(b, x, r - 2, &[plan.given.0 * plan.given.1])?;
        let matrix = b.constant(plan.matrix());
        let y = b.mat_mul(MatMul {}, lines, matrix)?;
        let y = merged(b, y, r - 2, &[plan.made.0, plan.made.1])?;
        let back = (0..r as i64).map(|a| perm.iter().position(|p| *p == a).unwrap_or(0) as i64).collect();
        let y = b.transpose(Transpose { perm: back }, y)?;
        Ok(vec![cast(b, y, t)?])
    }))
}

/// `v` with these sizes behind its first `lead` axes.
fn merged(b: &mut Builder<'_>, v: ValueId, lead: usize, sizes: &[usize]) -> Result<ValueId, Diag> {
    let known = shape(b.graph(), v).unwrap_or_default();
    let mut to: Vec<i64> = (0..lead).map(|i| known.get(i).and_then(size).map_or(0, |n| n as i64)).collect();
    let copies = to.contains(&0);
    to.extend(sizes.iter().map(|n| *n as i64));
    if lead == 0 && sizes.len() == 1 {
        to.insert(0, 1);
    }
    if lead == 0 && sizes.len() == 2 {
        to = sizes.iter().map(|n| *n as i64).collect();
    }
    let to = b.ints(&to);
    b.reshape(Reshape { allowzero: !copies }, v, to)
}

fn frames(g: &mut Graph, n: NodeId, onesided: bool) -> Outcome {
    let node = g.node(n);
    let (Some(x), Some(step)) = (node.input(0), node.input(1)) else { return Outcome::Skip };
    let window = node.input(2);
    let int = |v: Option<ValueId>| g.const_ints(v).and_then(|l| usize::try_from(*l.first()?).ok());
    let (Some(dims), Some(step)) = (shape(g, x), int(Some(step))) else {
        return Outcome::miss("the step is computed");
    };
    let frame = match (node.input(3), window) {
        (Some(v), _) => int(Some(v)),
        (None, Some(w)) => shape(g, w).and_then(|s| size(s.first()?)),
        (None, None) => dims.get(1).and_then(size),
    };
    let (Some(frame), Some(length)) = (frame, dims.get(1).and_then(size)) else {
        return Outcome::miss("the length is not known");
    };
    if rank(g, Some(x)) != Some(3) || step == 0 || frame == 0 || frame > length {
        return Outcome::miss("the frames do not fit");
    }
    let count = (length - frame) / step + 1;
    if count.saturating_mul(frame) > MAX_ELEMENTS {
        return Outcome::miss("there are too many frames");
    }
    Outcome::of(g.rewrite(n, &[], |b| {
        let at: Vec<i64> = (0..count).flat_map(|f| (0..frame).map(move |i| (f * step + i) as i64)).collect();
        let at = b.constant(Tensor::from_vec(&[count, frame], at));
        let mut cut = b.gather(Gather { axis: 1 }, x, at)?;
        if let Some(w) = window {
            let to = b.ints(&[frame as i64, 1]);
            let w = b.reshape(Reshape::default(), w, to)?;
            cut = b.mul(Mul {}, cut, w)?;
        }
        let axis = b.scalar(-2i64);
        Ok(vec![b.dft(Dft { inverse: false, onesided }, cut, None, Some(axis))?])
    }))
}
