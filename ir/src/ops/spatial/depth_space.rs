//! `depth_to_space` and `space_to_depth`: blocks of pixels become channels and back.
use crate::attr::Word;
use crate::dim::{Dim, SymInt};
use crate::dtype::ANY_UNPACKED;
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::layout_sizes;
use crate::ops::words::Layout;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

/// Order of a pixel's place in its block and the remaining channels, within the channel axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BlockOrder {
    /// Depth, column, row: the place in the block changes slowest.
    #[default]
    Dcr,
    /// Column, row, depth: the place in the block changes fastest.
    Crd,
}

impl Word for BlockOrder {
    const KIND: &'static str = "block_order";
    const WORDS: &'static [(Self, &'static str)] = &[(Self::Dcr, "DCR"), (Self::Crd, "CRD")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// Spreads the channels of 2-d images over blocks of `blocksize x blocksize` pixels.
    depth_to_space DepthToSpace(x: One<T>) -> (y: One<T>) {
        /// Pixels along each side of a block.
        blocksize: i64 = 1,
        /// Order within the channel axis.
        mode: BlockOrder = BlockOrder::Dcr,
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: ANY_UNPACKED;
}

crate::op! {
    /// Gathers blocks of `blocksize x blocksize` pixels of 2-d images in the channel axis.
    space_to_depth SpaceToDepth(x: One<T>) -> (y: One<T>) {
        /// Pixels along each side of a block.
        blocksize: i64 = 1,
        /// Order within the channel axis.
        mode: BlockOrder = BlockOrder::Dcr,
        /// Where the channel axis of data is.
        layout: Layout = Layout::ChannelsFirst,
    } where T: ANY_UNPACKED;
}

fn block(size: i64) -> Result<usize, OpError> {
    let valid = usize::try_from(size).ok().filter(|b| *b > 0 && *b < 1 << 24);
    valid.ok_or_else(|| OpError::attr(format!("blocksize {size} is no size of a block")))
}

/// `d * factor / divisor`, which must divide without remainder.
fn scale(d: &Dim, factor: i64, divisor: i64) -> Result<Dim, OpError> {
    if let Some(n) = d.known() {
        let scaled = n.checked_mul(factor as u64).filter(|v| v.is_multiple_of(divisor as u64));
        let scaled =
            scaled.ok_or_else(|| OpError::shape(format!("{n} does not divide into blocks of {divisor}")))?;
        return Ok(Dim::Known(scaled / divisor as u64));
    }
    let scaled = d.to_sym().and_then(|n| n.mul(&SymInt::from(factor))?.floor_div(&SymInt::from(divisor)));
    Ok(Dim::from_sym(scaled))
}

fn result_type(
    cx: &InferCx<'_>,
    layout: Layout,
    blocksize: i64,
    to_space: bool,
) -> Result<Vec<Type>, OpError> {
    let x = cx.tensor(0)?;
    let b = block(blocksize)? as i64;
    let Some(shape) = &x.shape else { return Ok(vec![TensorType::of_rank(x.dtype, 4).into()]) };
    if shape.len() != 4 {
        return Err(OpError::shape(format!("images have 4 axes, got {}", shape.len())));
    }
    let channel = layout.channel_axis(4);
    let axis = |(i, d): (usize, &Dim)| match (i, to_space) {
        (0, _) => Ok(d.clone()),
        (i, true) if i == channel => scale(d, 1, b * b),
        (i, false) if i == channel => scale(d, b * b, 1),
        (_, true) => scale(d, b, 1),
        (_, false) => scale(d, 1, b),
    };
    let dims = shape.iter().enumerate().map(axis).collect::<Result<Vec<_>, _>>()?;
    Ok(vec![TensorType::new(x.dtype, dims).into()])
}

/// Reshapes to `split`, permutes, reshapes to `result`.
fn rearrange(x: &Tensor, split: &[usize], perm: &[usize], result: &[usize]) -> Result<Tensor, OpError> {
    let parts = x.reshape(split)?;
    Ok(permuted(&parts, perm)?.reshape(result)?)
}

/// `x` with its axes in the order `perm`, stored densely.
fn permuted(x: &Tensor, perm: &[usize]) -> Result<Tensor, OpError> {
    if let crate::tensor::Storage::Strings(s) = x.storage() {
        let steps = crate::tensor::strides(x.shape());
        let shape: Vec<usize> = perm.iter().map(|p| x.shape()[*p]).collect();
        let at = |mut i: usize| {
            let mut place = 0;
            for (size, p) in shape.iter().zip(perm).rev() {
                place += i % size * steps[*p];
                i /= size;
            }
            s[place].clone()
        };
        return Ok(Tensor::from_strings(&shape, (0..x.len()).map(at).collect()));
    }
    Ok(x.permute(perm)?.materialize()?)
}

impl Semantics for DepthToSpace {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        result_type(cx, self.layout, self.blocksize, true)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, b) = (cx.tensor(0)?, block(self.blocksize)?);
        let &[n, c, h, w] =
            crate::ops::linear::compute::channels_first_sizes(x.shape(), self.layout).as_slice()
        else {
            return Err(OpError::shape("images have 4 axes"));
        };
        let depth = c / (b * b);
        let result = layout_sizes(&[n, depth, h * b, w * b], self.layout);
        let first = self.layout == Layout::ChannelsFirst;
        one(match (first, self.mode) {
            (true, BlockOrder::Dcr) => rearrange(x, &[n, b, b, depth, h, w], &[0, 3, 4, 1, 5, 2], &result)?,
            (true, BlockOrder::Crd) => rearrange(x, &[n, depth, b, b, h, w], &[0, 1, 4, 2, 5, 3], &result)?,
            (false, BlockOrder::Dcr) => rearrange(x, &[n, h, w, b, b, depth], &[0, 1, 3, 2, 4, 5], &result)?,
            (false, BlockOrder::Crd) => rearrange(x, &[n, h, w, depth, b, b], &[0, 1, 4, 2, 5, 3], &result)?,
        })
    }
}

impl Semantics for SpaceToDepth {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        result_type(cx, self.layout, self.blocksize, false)
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, b) = (cx.tensor(0)?, block(self.blocksize)?);
        let &[n, c, h, w] =
            crate::ops::linear::compute::channels_first_sizes(x.shape(), self.layout).as_slice()
        else {
            return Err(OpError::shape("images have 4 axes"));
        };
        let (h, w) = (h / b, w / b);
        let result = layout_sizes(&[n, c * b * b, h, w], self.layout);
        let first = self.layout == Layout::ChannelsFirst;
        one(match (first, self.mode) {
            (true, BlockOrder::Dcr) => rearrange(x, &[n, c, h, b, w, b], &[0, 3, 5, 1, 2, 4], &result)?,
            (true, BlockOrder::Crd) => rearrange(x, &[n, c, h, b, w, b], &[0, 1, 3, 5, 2, 4], &result)?,
            (false, BlockOrder::Dcr) => rearrange(x, &[n, h, b, w, b, c], &[0, 1, 3, 2, 4, 5], &result)?,
            (false, BlockOrder::Crd) => rearrange(x, &[n, h, b, w, b, c], &[0, 1, 3, 5, 2, 4], &result)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, f32s, infer, iota, shapes};

    #[test]
    fn orders_and_layouts() {
        let x = iota(&[1, 8, 1, 2]);
        let op = DepthToSpace { blocksize: 2, ..DepthToSpace::default() };
        let y = eval(&op, &[Some(&x)]).expect("fits").remove(0);
        let dcr = [0., 4., 1., 5., 8., 12., 9., 13., 2., 6., 3., 7., 10., 14., 11., 15.];
        assert_eq!(y, f32s(&[1, 2, 2, 4], &dcr));
        let crd = DepthToSpace { mode: BlockOrder::Crd, ..op.clone() };
        let z = eval(&crd, &[Some(&x)]).expect("fits").remove(0);
        let want = [0., 2., 1., 3., 4., 6., 5., 7., 8., 10., 9., 11., 12., 14., 13., 15.];
        assert_eq!(z, f32s(&[1, 2, 2, 4], &want));
        let turn = |t: &Tensor| t.permute(&[0, 2, 3, 1]).expect("ok").materialize().expect("ok");
        for (mode, y) in [(BlockOrder::Dcr, &y), (BlockOrder::Crd, &z)] {
            let layout = Layout::ChannelsLast;
            let last = DepthToSpace { blocksize: 2, mode, layout };
            assert_eq!(eval(&last, &[Some(&turn(&x))]).expect("fits")[0], turn(y));
            let back = SpaceToDepth { blocksize: 2, mode, layout: Layout::ChannelsFirst };
            assert_eq!(eval(&back, &[Some(y)]).expect("fits")[0], x);
            let back = SpaceToDepth { blocksize: 2, mode, layout };
            assert_eq!(eval(&back, &[Some(&turn(y))]).expect("fits")[0], turn(&x));
        }
    }

    #[test]
    fn types() {
        let op = SpaceToDepth { blocksize: 2, ..SpaceToDepth::default() };
        let t = infer(&op, &shapes(&["string[1, C, 4, W]"])).expect("fits");
        assert_eq!(t[0].to_string(), "string[1, 4*C, 2, floordiv(W, 2)]");
        assert!(infer(&op, &shapes(&["f32[1, 1, 3, 4]"])).is_err());
        assert!(infer(&SpaceToDepth { blocksize: 0, ..op }, &shapes(&["f32[1, 1, 4, 4]"])).is_err());
    }
}
