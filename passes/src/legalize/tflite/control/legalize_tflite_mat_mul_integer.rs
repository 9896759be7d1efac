//! `legalize-tflite-mat-mul-integer`
//!
//! ```text
//! %y = mat_mul_integer(%a: i8[M, K], %b: u8[K, N], %p, %q)
//!   ->   %x: f32 = cast(sub(cast(%a), %p))
//!        %w: f32 = cast(sub(cast(%b), %q))
//!        %y: i32 = cast(mat_mul(%x, %w))
//! ```
//! - Differences of bytes are at most 255 in size, so that sums of 258 products stay below 2^24 and are exact in `f32`. Longer sums
//!   are computed in parts of 256, which are added as integers.
//! - Where the inner size is not known, integers are multiplied.
use super::cast;
use crate::fault::planted;
use crate::legalize::{rank, where_lacking};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::elementwise::arithmetic::{Add, Sub};
use hoist_ir::ops::linear::mat_mul::MatMul;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::types::TensorType;

/// The pass.
pub struct LegalizeTfliteMatMulInteger;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-mat-mul-integer",
    doc: "Computes products of byte matrices exactly by products of floats.",
};

/// Products whose sum is surely exact in `f32`.
const PART: i64 = 256;

impl Pass for LegalizeTfliteMatMulInteger {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["mat_mul_integer"], |g, n, target, _| {
            if target.tflite().is_none() { Outcome::Skip } else { bring(g, n) }
        }))
    }
}

fn bring(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Some(x), Some(w)) = (node.input(0), node.input(1)) else { return Outcome::Skip };
    let zeros = [node.input(2), node.input(3)];
    let (Some(rx), Some(_)) = (rank(g, Some(x)), rank(g, Some(w))) else {
        return Outcome::miss("the rank is not known");
    };
    if zeros.iter().flatten().any(|v| rank(g, Some(*v)).is_none()) {
        return Outcome::miss("the rank of a zero point is not known");
    }
    let inner = g.ty(x).as_tensor().and_then(|t| t.shape.as_ref()?.last()?.known());
    let inner = inner.and_then(|k| i64::try_from(k).ok());
    Outcome::of(g.rewrite(n, &[], |b| {
        let x = centred(b, x, zeros[0], rx > 1)?;
        let w = centred(b, w, zeros[1], false)?;
        Ok(vec![product(b, x, w, inner)?])
    }))
}

/// `v - zero` as `i32`; a zero point for each row becomes a column.
fn centred(b: &mut Builder<'_>, v: ValueId, zero: Option<ValueId>, rows: bool) -> Result<ValueId, Diag> {
    let v = cast(b, v, DType::I32)?;
    let Some(zero) = zero else { return Ok(v) };
    let mut zero = cast(b, zero, DType::I32)?;
    let vector = b.graph().ty(zero).as_tensor().and_then(|t| t.shape.as_ref());
    let vector = vector.is_some_and(|s| s.len() == 1 && s[0].known() != Some(1));
    if rows && vector && !planted("legalize-tflite-mat-mul-integer") {
        let axis = b.ints(&[-1]);
        zero = b.unsqueeze(Unsqueeze {}, zero, axis)?;
    }
    b.sub(Sub {}, v, zero)
}

fn product(b: &mut Builder<'_>, x: ValueId, w: ValueId, inner: Option<i64>) -> Result<ValueId, Diag> {
    let Some(inner) = inner else { return b.mat_mul(MatMul {}, x, w) };
    let (x, w) = (cast(b, x, DType::F32)?, cast(b, w, DType::F32)?);
    let rank = b.graph().ty(w).as_tensor().and_then(TensorType::rank).unwrap_or(2);
    let along = if rank == 1 { 0 } else { rank as i64 - 2 };
    let mut sum = None;
    let mut start = 0;
    while start < inner || sum.is_none() {
        let end = inner.min(start + PART);
        let (left, right) = if inner <= PART {
            (x, w)
        } else {
            (part(b, x, -1, start, end)?, part(b, w, along, start, end)?)
        };
        let y = b.mat_mul(MatMul {}, left, right)?;
        let y = cast(b, y, DType::I32)?;
        sum = Some(match sum {
            None => y,
            Some(s) => b.plus(Add {}, s, y)?,
        });
        start = end;
        if inner == 0 {
            break;
        }
    }
    sum.ok_or_else(|| Diag::error("E0901", "a product without parts"))
}

fn part(b: &mut Builder<'_>, v: ValueId, axis: i64, start: i64, end: i64) -> Result<ValueId, Diag> {
    let (start, end, axis) = (b.ints(&[start]), b.ints(&[end]), b.ints(&[axis]));
    b.slice(Slice {}, v, start, end, Some(axis), None)
}
