//! `col2_im`
use crate::dim::{Dim, SymInt};
use crate::dtype::{ANY, DType, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::kernel::ConvGeometry;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::count;
use crate::ops::movement::lists::{int_list, list_len, product, sym_list, tensor_list};
use crate::ops::spatial::window::Window;
use crate::ops::words::AutoPad;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;
use crate::types::{TensorType, Type};

crate::op! {
    /// Adds columns of blocks, `[N, C * block elements, blocks]`, back into images `[N, C, image_shape...]`: the reverse of taking
    /// every window of an image apart. What falls on the padding is dropped. Half-precision sums are rounded once; truth values add
    /// to whether any is true; texts are typed and pass through, and are not evaluated.
    col2_im Col2Im(input: One<T>, image_shape: One<S>, block_shape: One<S>) -> (output: One<T>) {
        /// Steps between the elements of a block; empty is 1.
        dilations: Vec<i64> = vec![],
        /// Padding: all beginnings, then all ends; empty is none.
        pads: Vec<i64> = vec![],
        /// Steps between blocks; empty is 1.
        strides: Vec<i64> = vec![],
    } where T: ANY, S: I64_ONLY;
}

/// Most elements of the result: their sums take up to 16 bytes each, whatever the element type.
const LARGEST: usize = 1 << 27;

/// Image positions of the elements of a column matrix `[block elements, blocks]`.
struct Plane {
    image: usize,
    to: Vec<Option<usize>>,
}

fn as_sizes(list: &[i64]) -> Result<Vec<usize>, OpError> {
    let all: Option<Vec<usize>> = list.iter().map(|v| usize::try_from(*v).ok()).collect();
    all.ok_or_else(|| OpError::shape(format!("{list:?} are no sizes")))
}

impl Col2Im {
    fn geometry(&self, image: &[usize], block: &[usize]) -> Result<ConvGeometry, OpError> {
        if image.len() != block.len() || image.is_empty() {
            return Err(OpError::shape(format!("blocks {block:?} do not fit images {image:?}")));
        }
        let window = Window {
            strides: &self.strides,
            dilations: &self.dilations,
            pads: &self.pads,
            auto_pad: AutoPad::NotSet,
            group: 1,
            ceil_mode: false,
        };
        window.geometry(image, block)
    }
    /// Where columns of `rows * blocks` elements go.
    fn plane(&self, image: &[usize], block: &[usize], blocks: usize) -> Result<Plane, OpError> {
        let g = self.geometry(image, block)?;
        let steps = g.pooled_shape(false)?;
        if count(&steps)? != blocks {
            return Err(OpError::shape(format!(
                "{blocks} blocks are given, images {image:?} have {steps:?}"
            )));
        }
        let mut to = Vec::with_capacity(count(block)?.saturating_mul(blocks));
        for tap in 0..count(block)? {
            for at in 0..blocks {
                to.push(position(&g, &steps, tap, at));
            }
        }
        Ok(Plane { image: count(image)?, to })
    }
}

/// Image position of element `tap` of block `at`.
fn position(g: &ConvGeometry, steps: &[usize], mut tap: usize, mut at: usize) -> Option<usize> {
    let (mut place, mut scale) = (0, 1);
    for d in (0..steps.len()).rev() {
        let from_edge = at % steps[d] * g.strides[d] + tap % g.kernel[d] * g.dilations[d];
        place += from_edge.checked_sub(g.pads_begin[d]).filter(|p| *p < g.input[d])? * scale;
        scale *= g.input[d];
        tap /= g.kernel[d];
        at /= steps[d];
    }
    Some(place)
}

fn fold<T: Copy + Default>(x: &[T], plane: &Plane, add: impl Fn(T, T) -> T) -> Vec<T> {
    let planes = x.len() / plane.to.len().max(1);
    let mut out = vec![T::default(); planes * plane.image];
    for (x, out) in x.chunks_exact(plane.to.len().max(1)).zip(out.chunks_exact_mut(plane.image.max(1))) {
        for (v, to) in x.iter().zip(&plane.to) {
            if let Some(o) = to.and_then(|at| out.get_mut(at)) {
                *o = add(*o, *v);
            }
        }
    }
    out
}

impl Semantics for Col2Im {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let x = cx.tensor(0)?;
        if x.rank().is_some_and(|r| r != 3) {
            return Err(OpError::shape(format!("columns are [batch, elements, blocks], got {x}")));
        }
        let (image, block) = (sym_list(cx, 1)?, sym_list(cx, 2)?);
        if let (Some(i), Some(b)) = (int_list(cx, 1)?, int_list(cx, 2)?) {
            let steps = self.geometry(&as_sizes(&i)?, &as_sizes(&b)?)?.pooled_shape(false)?;
            let blocks = Dim::from(count(&steps)?);
            if x.shape.as_ref().is_some_and(|s| s[2].surely_differs(&blocks)) {
                return Err(OpError::shape(format!("{x} does not hold {blocks} blocks")));
            }
        }
        let (n, m) = (list_len(cx, 1)?, list_len(cx, 2)?);
        if let (Some(n), Some(m)) = (n, m)
            && n != m
        {
            return Err(OpError::shape(format!("blocks of {m} axes do not fit images of {n}")));
        }
        let listed = |list: &[i64], per_axis: usize| (!list.is_empty()).then_some(list.len() / per_axis);
        let attrs = listed(&self.dilations, 1).or(listed(&self.strides, 1)).or(listed(&self.pads, 2));
        let Some(axes) = n.or(m).or(attrs) else { return Ok(vec![TensorType::unranked(x.dtype).into()]) };
        let mut shape = vec![Dim::Unknown; axes + 2];
        if let Some(s) = &x.shape {
            let per: Option<Vec<Dim>> = block.map(|b| b.into_iter().map(Dim::from_sym).collect());
            let elements = per.map_or(Dim::Unknown, |p| product(&p));
            if let (Some(c), Some(e)) = (s[1].known(), elements.known())
                && (e == 0 || !c.is_multiple_of(e))
            {
                return Err(OpError::shape(format!("{x} does not divide into blocks of {e} elements")));
            }
            shape[0] = s[0].clone();
            shape[1] = s[1].combine(&elements, SymInt::exact_div);
        }
        if let Some(list) = image {
            shape.splice(2.., list.into_iter().map(Dim::from_sym));
        }
        Ok(vec![TensorType::new(x.dtype, shape).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let (image, block) =
            (as_sizes(&tensor_list(cx.tensor(1)?)?)?, as_sizes(&tensor_list(cx.tensor(2)?)?)?);
        let elements = count(&block)?;
        let &[batch, rows, blocks] = x.shape() else { return Err(OpError::shape("columns have three axes")) };
        if elements == 0 || !rows.is_multiple_of(elements) {
            return Err(OpError::shape(format!(
                "{rows} rows do not divide into blocks of {elements} elements"
            )));
        }
        let shape = [&[batch, rows / elements], image.as_slice()].concat();
        if x.dtype() == DType::String {
            return Err(OpError::eval("sums of texts are not defined"));
        }
        if x.is_empty() {
            // Only the sizes are checked: there is nothing to add.
            self.geometry(&image, &block)?;
            let zero = Tensor::from_ints(&[0]).reshape(&[0])?.cast(x.dtype(), false)?;
            let none = shape.contains(&0).then(|| zero.reshape(&shape)).transpose()?;
            return one(none.ok_or_else(|| OpError::shape("columns without elements"))?);
        }
        if count(&shape)? > LARGEST {
            return Err(OpError::new(
                "E0307",
                format!("images of more than {LARGEST} elements are not summed"),
            ));
        }
        let plane = self.plane(&image, &block, blocks)?;
        let sums = match x.widen()? {
            Wide::F32(v) => Wide::F32(fold(&v, &plane, |a, b| a + b)),
            Wide::F64(v) => Wide::F64(fold(&v, &plane, |a, b| a + b)),
            Wide::I64(v) => Wide::I64(fold(&v, &plane, i64::wrapping_add)),
            Wide::U64(v) => Wide::U64(fold(&v, &plane, u64::wrapping_add)),
            Wide::C128(v) => Wide::C128(fold(&v, &plane, |a, b| a + b)),
            Wide::Str(_) => return Err(OpError::eval("sums of texts are not defined")),
        };
        one(Tensor::from_wide(x.dtype(), &shape, &sums, false)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, infer, infer_with, shapes};

    #[test]
    fn what_overlaps_adds_and_padding_drops() {
        let (image, block) = (Tensor::from_ints(&[3]), Tensor::from_ints(&[2]));
        let x = Tensor::from_vec(&[1, 2, 4], (1..=8u8).map(|v| v * 30).collect());
        let op = Col2Im { pads: vec![1, 1], ..Col2Im::default() };
        let y = eval(&op, &[Some(&x), Some(&image), Some(&block)]).expect("fits");
        // Positions get elements 1 + 4 (of rows 0 and 1), 2 + 5, 3 + 6, wrapped.
        let want = [60 + 150, 90 + 180, 120 + 210].map(|v: u32| v as u8).to_vec();
        assert_eq!(y[0], Tensor::from_vec(&[1, 1, 3], want));
        let bits = Tensor::from_bools(&[1, 2, 4], vec![true, false, true, true, false, true, true, false]);
        let y = eval(&op, &[Some(&bits), Some(&image), Some(&block)]).expect("fits");
        assert_eq!(y[0], Tensor::from_bools(&[1, 1, 3], vec![false, true, true]));
    }

    #[test]
    fn types() {
        let op = Col2Im::default();
        let (image, block) = (Tensor::from_ints(&[5, 5]), Tensor::from_ints(&[1, 5]));
        let t =
            |x: &str, i: &Tensor| infer_with(&op, &shapes(&[x, "i64[2]", "i64[2]"]), &[(1, i), (2, &block)]);
        assert_eq!(t("f32[N, 10, 5]", &image).expect("fits")[0].to_string(), "f32[N, 2, 5, 5]");
        let axes = |op: &Col2Im| {
            infer(op, &shapes(&["f32[N, C, L]", "i64[K]", "i64[K]"])).expect("fits")[0].to_string()
        };
        assert_eq!(axes(&op), "f32[*]");
        assert_eq!(axes(&Col2Im { strides: vec![1, 1], ..op.clone() }), "f32[N, ?, ?, ?]");
        assert_eq!(axes(&Col2Im { pads: vec![1, 1], ..op.clone() }), "f32[N, ?, ?]");
        assert!(t("f32[N, 11, 5]", &image).is_err() && t("f32[N, 10, 6]", &image).is_err());
        assert!(t("f32[N, 10, 5]", &Tensor::from_ints(&[-5, 5])).is_err());
        assert!(t("f32[N, 10, 5]", &Tensor::from_ints(&[5, i64::MAX])).is_err());
    }
}
