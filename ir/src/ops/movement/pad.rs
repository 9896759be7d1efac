//! `pad`
use super::lists::{int_list, list_len, resolve_axes, sym_list, tensor_list};
use super::tables::{NONE, copy_by_tables};
use crate::attr::Word;
use crate::dim::{Dim, SymInt};
use crate::dtype::{ANY, I64_ONLY, INDEX};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::{Tensor, strides};
use crate::types::{TensorType, Type};

/// What a border is filled with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PadMode {
    /// The constant value.
    #[default]
    Constant,
    /// The data mirrored at its first and last position, which are not repeated.
    Reflect,
    /// The first or last position.
    Edge,
    /// The data from the other end.
    Wrap,
}

impl Word for PadMode {
    const KIND: &'static str = "pad_mode";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Constant, "constant"),
        (Self::Reflect, "reflect"),
        (Self::Edge, "edge"),
        (Self::Wrap, "wrap"),
    ];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// Adds borders: `pads` lists the sizes at the beginning of each of `axes` (all, when absent), then those at the end. Negative
    /// sizes cut, before anything is added. Without `constant_value` the border is zero, false or the empty text.
    pad Pad(data: One<T>, pads: One<S>, constant_value: Opt<T>, axes: Opt<I>) -> (output: One<T>) {
        /// What borders are filled with.
        mode: PadMode = PadMode::Constant,
    } where T: ANY, S: I64_ONLY, I: INDEX;
}

fn length_error(pads: usize, axes: usize) -> OpError {
    OpError::shape(format!("{pads} sizes of borders are listed for {axes} axes, which take two each"))
}

fn padded(d: &Dim, low: Option<&SymInt>, high: Option<&SymInt>) -> Result<Dim, OpError> {
    let sum = || d.to_sym()?.add(low?)?.add(high?);
    let sum = sum();
    match sum.as_ref().and_then(SymInt::as_const) {
        Some(c) if c < 0 => Err(OpError::shape(format!("borders leave {c} positions of an axis"))),
        _ => Ok(Dim::from_sym(sum)),
    }
}

fn infer(cx: &InferCx<'_>) -> Result<TensorType, OpError> {
    let x = cx.tensor(0)?;
    if cx.has(2) && cx.shape(2)?.is_some_and(|s| s.iter().any(|d| d.surely_differs(&Dim::Known(1)))) {
        return Err(OpError::operand(format!(
            "the constant value must be one element, is {}",
            cx.tensor(2)?
        )));
    }
    let pads = sym_list(cx, 1)?;
    let Some(shape) = &x.shape else { return Ok(TensorType::unranked(x.dtype)) };
    let axes = if cx.has(3) { int_list(cx, 3)? } else { Some((0..shape.len() as i64).collect()) };
    let count = match &axes {
        Some(axes) => Some(axes.len()),
        None => list_len(cx, 3)?,
    };
    if let (Some(p), Some(n)) = (&pads, count)
        && p.len() != 2 * n
    {
        return Err(length_error(p.len(), n));
    }
    let (Some(pads), Some(axes)) = (pads, axes) else {
        return Ok(TensorType::of_rank(x.dtype, shape.len()));
    };
    let mut out = shape.clone();
    for (i, axis) in resolve_axes(&axes, shape.len())?.into_iter().enumerate() {
        out[axis] = padded(&shape[axis], pads[i].as_ref(), pads[axes.len() + i].as_ref())?;
    }
    Ok(TensorType::new(x.dtype, out))
}

/// Source position of every position of an axis of size `d` with those borders; [`NONE`] where the constant goes.
fn positions(mode: PadMode, d: usize, low: i64, high: i64) -> Result<Vec<usize>, OpError> {
    let bad = || OpError::shape(format!("borders of {low} and {high} do not fit an axis of size {d}"));
    let size = i128::from(low) + i128::from(high) + d as i128;
    let size = i64::try_from(size).ok().filter(|s| *s >= 0).ok_or_else(bad)?;
    if mode == PadMode::Constant {
        // Result position `i` is source position `i - low`.
        let at = |i: i64| usize::try_from(i128::from(i) - i128::from(low)).ok().filter(|p| *p < d);
        return Ok((0..size).map(|i| at(i).unwrap_or(NONE)).collect());
    }
    // Cut first; what is left is extended.
    let first = usize::try_from(low.min(0).unsigned_abs()).map_err(|_| bad())?;
    let behind = usize::try_from(high.min(0).unsigned_abs()).map_err(|_| bad())?;
    let left = d.checked_sub(first).and_then(|n| n.checked_sub(behind)).ok_or_else(bad)?;
    if size == 0 {
        return Ok(vec![]);
    }
    if left == 0 {
        return Err(OpError::shape("an empty axis cannot be extended from its own data"));
    }
    let n = left as i64;
    let at = |i: i64| {
        let p = i - low.max(0);
        let inside = match mode {
            PadMode::Edge | PadMode::Constant => p.clamp(0, n - 1),
            PadMode::Wrap => p.rem_euclid(n),
            PadMode::Reflect if n == 1 => 0,
            PadMode::Reflect => {
                let q = p.rem_euclid(2 * (n - 1));
                if q < n { q } else { 2 * (n - 1) - q }
            }
        };
        first + inside as usize
    };
    Ok((0..size).map(at).collect())
}

impl Semantics for Pad {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        Ok(vec![infer(cx)?.into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let pads = tensor_list(cx.tensor(1)?)?;
        let axes = cx.opt(3)?.map(tensor_list).transpose()?;
        let axes = resolve_axes(&axes.unwrap_or_else(|| (0..x.rank() as i64).collect()), x.rank())?;
        if pads.len() != 2 * axes.len() {
            return Err(length_error(pads.len(), axes.len()));
        }
        let mut borders = vec![(0, 0); x.rank()];
        for (i, axis) in axes.iter().enumerate() {
            borders[*axis] = (pads[i], pads[axes.len() + i]);
        }
        let sizes = result_sizes(x, &borders)?;
        if sizes.contains(&0) {
            return one(super::mover::empty(x.dtype(), &sizes)?);
        }
        super::mover::check_size(x.dtype(), &sizes)?;
        let own = strides(x.shape());
        let mut tables = vec![];
        for (i, (low, high)) in borders.into_iter().enumerate() {
            let mut table = positions(self.mode, x.shape()[i], low, high)?;
            table.iter_mut().filter(|p| **p != NONE).for_each(|p| *p *= own[i]);
            tables.push(table);
        }
        one(copy_by_tables(x, &tables, cx.opt(2)?)?)
    }
}

fn result_sizes(x: &Tensor, borders: &[(i64, i64)]) -> Result<Vec<usize>, OpError> {
    let size = |(d, (l, h)): (&usize, &(i64, i64))| {
        usize::try_from(*d as i128 + i128::from(*l) + i128::from(*h)).ok()
    };
    let all: Option<Vec<usize>> = x.shape().iter().zip(borders).map(size).collect();
    all.ok_or_else(|| OpError::shape(format!("borders {borders:?} do not fit shape {:?}", x.shape())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders_are_numpys() {
        use PadMode::{Constant, Edge, Reflect, Wrap};
        let of = |m, d, l, h| positions(m, d, l, h).expect("fits");
        assert_eq!(of(Constant, 2, 1, 2), [NONE, 0, 1, NONE, NONE]);
        assert_eq!(of(Constant, 4, -1, -1), [1, 2]);
        assert_eq!(of(Constant, 4, -5, 3), [NONE, NONE]);
        assert_eq!(of(Reflect, 3, 2, 2), [2, 1, 0, 1, 2, 1, 0]);
        assert_eq!(of(Reflect, 3, 5, 0), [1, 0, 1, 2, 1, 0, 1, 2]);
        assert_eq!(of(Reflect, 1, 2, 1), [0, 0, 0, 0]);
        assert_eq!(of(Edge, 3, 1, 2), [0, 0, 1, 2, 2, 2]);
        assert_eq!(of(Wrap, 3, 2, 4), [1, 2, 0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(of(Reflect, 4, -1, 2), [1, 2, 3, 2, 1]);
        assert!(positions(Edge, 0, 1, 0).is_err() && positions(Wrap, 2, -3, 4).is_err());
        assert!(positions(Constant, 2, i64::MIN, i64::MAX).is_ok_and(|p| p == [NONE]));
        assert!(positions(Constant, 2, i64::MAX, i64::MAX).is_err());
    }

    #[test]
    fn words_stand_at_their_own_position() {
        for (i, (w, text)) in PadMode::WORDS.iter().enumerate() {
            assert_eq!((*w as usize, w.word()), (i, *text));
        }
    }
}
