//! `split_to_sequence`
use super::sequence;
use crate::dim::Dim;
use crate::dtype::{ANY, INDEX};
use crate::eval::{EvalCx, Limits, TENSOR_OVERHEAD, Value, too_many_bytes};
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::movement::lists::steps;
use crate::ops::movement::strided::copy_strided;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// Cuts a tensor along one axis into a sequence. `split` is one size (rank 0), of which the last piece may have less, or lists the
    /// sizes of all pieces; without it each piece has size 1.
    split_to_sequence SplitToSequence(input: One<T>, split: Opt<I>) -> (output_sequence: One<S>) {
        /// Axis that is cut; negative counts from the end.
        axis: i64 = 0,
        /// Whether pieces keep the axis. Without effect when `split` is given.
        keepdims: bool = true,
    } where T: ANY, I: INDEX;
}

/// Size that all pieces have along an axis of size `dim`, as far as it is known.
fn piece(cx: &InferCx<'_>, dim: &Dim) -> Result<Dim, OpError> {
    match cx.tensor(1)?.shape.as_deref() {
        None => Ok(Dim::Unknown),
        Some([]) => {
            let Some(n) = cx.const_int(1) else { return Ok(Dim::Unknown) };
            let n = chunk(n)? as u64;
            Ok(match dim.known() {
                _ if n == 1 => Dim::Known(1),
                Some(d) if d % n == 0 => Dim::Known(n),
                Some(d) if d < n => Dim::Known(d),
                _ => Dim::Unknown,
            })
        }
        Some([count]) => {
            if let Some(all) = cx.const_ints(1) {
                listed(&all, dim.known())?;
            }
            if *count == Dim::Known(1) {
                return Ok(dim.clone());
            }
            let all: Option<Vec<Dim>> = cx.sym_dims(1);
            let same = all.and_then(|all| {
                let first = all.first()?.clone();
                all.iter().all(|d| *d != Dim::Unknown && d.surely_equals(&first)).then_some(first)
            });
            Ok(same.unwrap_or(Dim::Unknown))
        }
        Some(_) => Err(OpError::operand(format!("`split` must have rank 0 or 1, is {}", cx.tensor(1)?))),
    }
}

/// The size of equal pieces.
fn chunk(n: i64) -> Result<usize, OpError> {
    let size = usize::try_from(n).ok().filter(|n| *n > 0);
    size.ok_or_else(|| OpError::attr(format!("{n} is no size of a piece")))
}

/// The listed sizes, which add up to `dim` where that is known.
fn listed(all: &[i64], dim: Option<u64>) -> Result<Vec<usize>, OpError> {
    let one = |n: &i64| usize::try_from(*n).map_err(|_| OpError::attr(format!("{n} is no size of a piece")));
    let sizes = all.iter().map(one).collect::<Result<Vec<_>, _>>()?;
    let sum = sizes.iter().try_fold(0usize, |s, n| s.checked_add(*n)).map(|s| s as u64);
    match (sum, dim) {
        (Some(s), Some(d)) if s == d => Ok(sizes),
        (Some(_), None) => Ok(sizes),
        (Some(s), Some(d)) => Err(OpError::shape(format!("the pieces add up to {s}, the axis has {d}"))),
        (None, _) => Err(OpError::shape("the sizes of the pieces overflow")),
    }
}

/// Sizes of the pieces of `x` along an axis of size `dim`.
fn pieces(x: &Tensor, split: Option<&Tensor>, dim: usize) -> Result<Vec<usize>, OpError> {
    let limit = Limits::default().result_bytes;
    let room = |count: usize| {
        let bytes = count.checked_mul(TENSOR_OVERHEAD).and_then(|n| n.checked_add(x.byte_len()));
        bytes.filter(|n| *n <= limit).ok_or_else(|| too_many_bytes("the sequence", limit))
    };
    let size = match split {
        Some(t) if t.rank() > 0 => {
            room(t.len())?;
            return listed(&t.to_i64s()?, Some(dim as u64));
        }
        Some(t) => chunk(t.as_int().ok_or_else(|| OpError::operand("`split` must be of integers"))?)?,
        None => 1,
    };
    room(dim.div_ceil(size))?;
    Ok((0..dim).step_by(size).map(|at| size.min(dim - at)).collect())
}

impl Semantics for SplitToSequence {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        let Some(shape) = &x.shape else {
            return Ok(vec![sequence(Some(TensorType::unranked(x.dtype)))]);
        };
        let axis = resolve_axis(self.axis, shape.len())?;
        let mut shape = shape.clone();
        if cx.has(1) {
            shape[axis] = piece(cx, &shape[axis])?;
        } else if self.keepdims {
            shape[axis] = Dim::Known(1);
        } else {
            shape.remove(axis);
        }
        Ok(vec![sequence(Some(TensorType::new(x.dtype, shape)))])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let axis = resolve_axis(self.axis, x.rank())?;
        let split = cx.opt(1)?;
        let steps = steps(x.shape());
        let (mut out, mut at) = (vec![], 0usize);
        for n in pieces(x, split, x.shape()[axis])? {
            let mut shape = x.shape().to_vec();
            shape[axis] = n;
            let mut piece = copy_strided(x, &shape, &steps, at.wrapping_mul(steps[axis].unsigned_abs()))?;
            if split.is_none() && !self.keepdims {
                shape.remove(axis);
                piece = piece.reshape(&shape)?;
            }
            out.push(piece.into());
            at += n;
        }
        Ok(vec![Value::Sequence(out.into())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::parse_graph;

    fn ty(split: &str, tail: &str) -> Result<String, String> {
        let text = format!(
            "graph @main(%x: f32[6, N], %s: i64[], %l: i64[2], %o: i64[1], %m: i64[2, 2]) {{\n %c = const i64{split}\n %y = split_to_sequence(%x{tail}\n return y: %y\n}}"
        );
        let g = parse_graph(&text).map_err(|d| d.to_string())?;
        Ok(g.ty(g.outputs()[0].value).to_string())
    }

    #[test]
    fn pieces_keep_the_size_they_share() {
        let fixed = |split: &str| ty(split, ", %c)");
        assert_eq!(fixed("[] [2]").as_deref(), Ok("seq<f32[2, N]>"));
        assert_eq!(fixed("[] [4]").as_deref(), Ok("seq<f32[?, N]>"));
        assert_eq!(fixed("[] [9]").as_deref(), Ok("seq<f32[6, N]>"));
        assert_eq!(fixed("[2] [3, 3]").as_deref(), Ok("seq<f32[3, N]>"));
        assert_eq!(fixed("[2] [2, 4]").as_deref(), Ok("seq<f32[?, N]>"));
        for wrong in ["[] [0]", "[] [-1]", "[2] [3, 4]", "[2] [-1, 7]", "[1, 1] [6]"] {
            assert!(fixed(wrong).is_err(), "{wrong}");
        }
        assert_eq!(ty("[] [1]", ", %c) {axis=-1}").as_deref(), Ok("seq<f32[6, 1]>"));
        assert_eq!(ty("[] [1]", ") {axis=1, keepdims=false}").as_deref(), Ok("seq<f32[6]>"));
        assert_eq!(ty("[] [1]", ", %s) {keepdims=false}").as_deref(), Ok("seq<f32[?, N]>"));
        assert_eq!(ty("[] [1]", ", %o) {axis=1}").as_deref(), Ok("seq<f32[6, N]>"));
        assert_eq!(ty("[] [1]", ", %l)").as_deref(), Ok("seq<f32[?, N]>"));
        assert!(ty("[] [1]", ", %m)").is_err() && ty("[] [1]", ") {axis=2}").is_err());
    }

    #[test]
    fn pieces_beyond_number_are_refused() {
        let empty = Tensor::from_vec(&[1 << 60, 0], Vec::<f32>::new());
        assert_eq!(pieces(&empty, None, 1 << 60).map_err(|e| e.code), Err("E0307"));
        assert_eq!(pieces(&empty, Some(&Tensor::scalar(1i64 << 59)), 1 << 60).map(|p| p.len()), Ok(2));
    }
}
