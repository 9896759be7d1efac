//! `crop_and_resize`
use crate::attr::Word;
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{Compute, count, zeros};
use crate::types::{TensorType, Type};

/// Interpolation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CropMode {
    /// The four pixels around, weighted by distance.
    #[default]
    Bilinear,
    /// The nearest pixel, half away from zero.
    Nearest,
}

impl Word for CropMode {
    const KIND: &'static str = "crop_mode";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Bilinear, "bilinear"), (Self::Nearest, "nearest")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// Boxes of images, resized so that corners fall on corners: each row of `rois` is `[y1, x1, y2, x2]` in units of the image, which
    /// is number `batch_indices` of `x`; the result is `[boxes, channels, crop_size...]`.
    crop_and_resize CropAndResize(x: One<T>, rois: One<T>, batch_indices: One<I>, crop_size: One<I>) -> (y: One<T>) {
        /// What lies outside of the image.
        extrapolation_value: f32 = 0.0,
        /// Interpolation.
        mode: CropMode = CropMode::Bilinear,
    } where T: DTypeSet::of(&[DType::F16, DType::F32]), I: DTypeSet::of(&[DType::I32]);
}

/// Position in the image of pixel `i` of `n`, in an image of `size` pixels between `low` and `high`; `None` outside.
fn position(i: usize, n: usize, size: usize, low: f32, high: f32) -> Option<f32> {
    let last = size as f32 - 1.0;
    let at = if n > 1 {
        low * last + i as f32 * ((high - low) * last / (n as f32 - 1.0))
    } else {
        0.5 * (low + high) * last
    };
    (at >= 0.0 && at <= last).then_some(at)
}

impl CropAndResize {
    fn sample(&self, plane: &[f32], width: usize, y: f32, x: f32) -> f32 {
        let at = |y: f32, x: f32| plane.get(y as usize * width + x as usize).copied().unwrap_or(0.0);
        if self.mode == CropMode::Nearest {
            return at(y.round(), x.round());
        }
        let (top, left) = (y.floor(), x.floor());
        let (bottom, right) = (y.ceil(), x.ceil());
        let row = |y: f32| at(y, left) + (at(y, right) - at(y, left)) * (x - left);
        row(top) + (row(bottom) - row(top)) * (y - top)
    }
}

impl Semantics for CropAndResize {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        for (i, rank) in [(0, 4), (1, 2), (2, 1), (3, 1)] {
            if cx.shape(i)?.is_some_and(|s| s.len() != rank) {
                return Err(OpError::shape(format!("operand {i} needs {rank} axes, is {}", cx.ty(i)?)));
            }
        }
        let boxes = cx.shape(1)?;
        if boxes.is_some_and(|s| s[1].surely_differs(&Dim::Known(4))) {
            return Err(OpError::shape("each box has 4 numbers"));
        }
        let sizes = match cx.sym_dims(3).as_deref() {
            Some([h, w]) => [h.clone(), w.clone()],
            Some(_) => return Err(OpError::shape("crop_size has 2 numbers")),
            None => [Dim::Unknown, Dim::Unknown],
        };
        let n = boxes.map_or(Dim::Unknown, |s| s[0].clone());
        let channels = cx.shape(0)?.map_or(Dim::Unknown, |s| s[1].clone());
        let [h, w] = sizes;
        Ok(vec![TensorType::new(cx.dtype(0)?, vec![n, channels, h, w]).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (x, rois) = (cx.tensor(0)?, cx.tensor(1)?);
        let &[images, channels, height, width] = x.shape() else {
            return Err(OpError::shape("images have 4 axes"));
        };
        let (batch, sizes) = (cx.tensor(2)?.to_i64s()?, cx.tensor(3)?.to_i64s()?);
        let positive = |v: &i64| usize::try_from(*v).ok().filter(|v| *v > 0);
        let (Some(h), Some(w)) = (sizes.first().and_then(positive), sizes.get(1).and_then(positive)) else {
            return Err(OpError::attr("crop_size must be two positive numbers"));
        };
        let (data, boxes) = (f32::read(x)?, f32::read(rois)?);
        if batch.len() != boxes.len() / 4 {
            return Err(OpError::shape("there is one batch index per box"));
        }
        let shape = [batch.len(), channels, h, w];
        let mut out = zeros::<f32>(count(&shape)?)?;
        let (pixels, crop) = (height * width, h * w);
        for (i, (image, roi)) in batch.iter().zip(boxes.chunks_exact(4)).enumerate() {
            let image = usize::try_from(*image).ok().filter(|i| *i < images);
            let image = image.ok_or_else(|| OpError::attr("a batch index lies outside of the images"))?;
            for c in 0..channels {
                let plane = &data[(image * channels + c) * pixels..][..pixels];
                let target = &mut out[(i * channels + c) * crop..][..crop];
                for (j, value) in target.iter_mut().enumerate() {
                    let y = position(j / w, h, height, roi[0], roi[2]);
                    let x = position(j % w, w, width, roi[1], roi[3]);
                    *value = match (y, x) {
                        (Some(y), Some(x)) => self.sample(plane, width, y, x),
                        _ => self.extrapolation_value,
                    };
                }
            }
        }
        one(f32::tensor(x.dtype(), &shape, out)?)
    }
}
