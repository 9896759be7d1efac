//! `legalize-tflite-mat-mul`
//!
//! ```text
//! %y = mat_mul(%x: f32[3], %w: f32[3, 4])   ->   %r = reshape(%x, [1, 3])
//!                                                %p = mat_mul(%r, %w)
//!                                                %y = squeeze(%p, [0])
//! %y = mat_mul(%a: i32[M, K], %b: i32[K, N])   ->   %p = mul(unsqueeze(%a, [-1]), %b)
//!                                                   %y = reduce_sum(%p, [-2])
//! ```
//! - Vectors become matrices of one row or column.
//! - 16-bit floats go through `f32`. Small integers go through `i32`, `u32` through `i64`: all wrap alike.
//! - Integers are multiplied by broadcasting and added up.
//! - Batches of more than three axes are laid out along one, where their sizes are known.
use super::{cast, dtype, reshaped};
use crate::fault::planted;
use crate::legalize::{rank, where_lacking};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::elementwise::arithmetic::Mul;
use hoist_ir::ops::linear::mat_mul::MatMul;
use hoist_ir::ops::movement::expand::Expand;
use hoist_ir::ops::movement::squeeze::Squeeze;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::reduce::reductions::ReduceSum;
use hoist_ir::types::TensorType;

/// The pass.
pub struct LegalizeTfliteMatMul;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-mat-mul",
    doc: "Gives matrix products of vectors, integers, 16-bit floats and many axes forms that LiteRT has.",
};

/// Most steps of the rewrite of one operator.
const MAX_STEPS: usize = 4;

impl Pass for LegalizeTfliteMatMul {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let mut total = Changed::default();
        // One step of a rewrite may give what the next is about.
        for _ in 0..MAX_STEPS {
            let changed = where_lacking(g, cx, &["mat_mul"], |g, n, target, _| {
                if target.tflite().is_none() { Outcome::Skip } else { bring(g, n) }
            });
            if !changed.any() {
                break;
            }
            total.0 = total.0.saturating_add(changed.0);
        }
        Ok(total)
    }
}

fn bring(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Some(x), Some(w)) = (node.input(0), node.input(1)) else { return Outcome::Skip };
    let (Some(rx), Some(rw)) = (rank(g, Some(x)), rank(g, Some(w))) else {
        return Outcome::miss("the rank is not known");
    };
    let Some(t) = dtype(g, x) else { return Outcome::Skip };
    if rx == 1 || rw == 1 {
        return Outcome::of(g.rewrite(n, &[], |b| Ok(vec![vectors(b, (x, rx), (w, rw))?])));
    }
    let wide = match t {
        DType::F16 | DType::BF16 => Some(DType::F32),
        DType::I16 if planted("legalize-tflite-mat-mul") => Some(DType::F32),
        DType::I8 | DType::U8 | DType::I16 | DType::U16 => Some(DType::I32),
        DType::U32 => Some(DType::I64),
        _ => None,
    };
    if let Some(wide) = wide {
        return Outcome::of(g.rewrite(n, &[], |b| {
            let (x, w) = (cast(b, x, wide)?, cast(b, w, wide)?);
            let y = b.mat_mul(MatMul {}, x, w)?;
            Ok(vec![cast(b, y, t)?])
        }));
    }
    match t {
        DType::I32 | DType::I64 => Outcome::of(g.rewrite(n, &[], |b| Ok(vec![summed(b, x, w)?]))),
        DType::F32 => {
            let Some((to_x, to_w, sizes)) = batches(g, [x, w]) else {
                return Outcome::miss("more than three axes of batches whose sizes are not known");
            };
            Outcome::of(g.rewrite(n, &[], |b| {
                let (x, w) = (laid_out(b, x, &to_x)?, laid_out(b, w, &to_w)?);
                let y = b.mat_mul(MatMul {}, x, w)?;
                Ok(vec![reshaped(b, y, &sizes)?])
            }))
        }
        _ => Outcome::Miss(format!("no wider type serves {t}").into()),
    }
}

fn vectors(
    b: &mut Builder<'_>,
    (x, rx): (ValueId, usize),
    (w, rw): (ValueId, usize),
) -> Result<ValueId, Diag> {
    let mut added = vec![];
    let (mut left, mut right) = (x, w);
    if rx == 1 {
        let axis = b.ints(&[0]);
        left = b.unsqueeze(Unsqueeze {}, x, axis)?;
        added.push(-2);
    }
    if rw == 1 {
        let axis = b.ints(&[1]);
        right = b.unsqueeze(Unsqueeze {}, w, axis)?;
        added.push(-1);
    }
    let y = b.mat_mul(MatMul {}, left, right)?;
    let axes = b.ints(&added);
    b.squeeze(Squeeze {}, y, Some(axes))
}

/// Products by broadcasting, then their sums.
fn summed(b: &mut Builder<'_>, x: ValueId, w: ValueId) -> Result<ValueId, Diag> {
    let (last, third) = (b.ints(&[-1]), b.ints(&[-3]));
    let left = b.unsqueeze(Unsqueeze {}, x, last)?;
    let right = b.unsqueeze(Unsqueeze {}, w, third)?;
    let terms = b.mul(Mul {}, left, right)?;
    let axis = b.ints(&[-2]);
    b.reduce_sum(ReduceSum { keepdims: false, ..ReduceSum::default() }, terms, Some(axis))
}

/// For each operand its sizes with all batches, and the sizes of the result.
fn batches(g: &Graph, operands: [ValueId; 2]) -> Option<(Vec<i64>, Vec<i64>, Vec<i64>)> {
    let of = |v: ValueId| -> Option<Vec<i64>> {
        g.ty(v).as_tensor().and_then(TensorType::sizes)?.into_iter().map(|n| i64::try_from(n).ok()).collect()
    };
    let (x, w) = (of(operands[0])?, of(operands[1])?);
    let (lead_x, lead_w) = (&x[..x.len() - 2], &w[..w.len() - 2]);
    let n = lead_x.len().max(lead_w.len());
    let at = |lead: &[i64], i: usize| (i + lead.len()).checked_sub(n).map_or(1, |k| lead[k]);
    let lead: Vec<i64> =
        (0..n).map(|i| if at(lead_x, i) == 1 { at(lead_w, i) } else { at(lead_x, i) }).collect();
    let with = |tail: [i64; 2]| lead.iter().copied().chain(tail).collect::<Vec<_>>();
    let (m, k) = (x[x.len() - 2], x[x.len() - 1]);
    let columns = w[w.len() - 1];
    Some((with([m, k]), with([k, columns]), with([m, columns])))
}

/// `v` stretched to `sizes`, with all batches along one axis.
fn laid_out(b: &mut Builder<'_>, v: ValueId, sizes: &[i64]) -> Result<ValueId, Diag> {
    let to = b.ints(sizes);
    let v = b.expand(Expand {}, v, to)?;
    let (lead, tail) = sizes.split_at(sizes.len() - 2);
    reshaped(b, v, &[lead.iter().copied().fold(1, i64::saturating_mul), tail[0], tail[1]])
}
