//! `non_max_suppression`
use crate::dim::Dim;
use crate::dtype::{DType, F32_ONLY, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};
use rayon::prelude::*;
use std::cmp::Ordering;

crate::op! {
    /// Boxes of each class of each sample, best score first, without those whose intersection over union with a selected one exceeds
    /// `iou_threshold` and those whose score does not exceed `score_threshold`. Rows of the result are `[sample, class, box]`. Of
    /// equal scores the box that comes first is taken first; a score that is no number comes last. `max_output_boxes_per_class` and
    /// `iou_threshold` are 0 when absent.
    non_max_suppression NonMaxSuppression(boxes: One<B>, scores: One<S>, max_output_boxes_per_class: Opt<N>, iou_threshold: Opt<U>,
        score_threshold: Opt<V>) -> (selected_indices: One<I>) {
        /// Whether a box is `[x centre, y centre, width, height]`, not two corners `[y1, x1, y2, x2]` in any order.
        center_point_box: bool = false,
    } where B: F32_ONLY, S: F32_ONLY, N: I64_ONLY, U: F32_ONLY, V: F32_ONLY, I: I64_ONLY;
}

/// A box by its smallest and largest coordinates.
#[derive(Clone, Copy)]
struct Rect {
    x: (f32, f32),
    y: (f32, f32),
}

fn ordered(a: f32, b: f32) -> (f32, f32) {
    if a >= b { (b, a) } else { (a, b) }
}

impl Rect {
    fn new(b: &[f32], center: bool) -> Self {
        if center {
            let (w, h) = (b[2] / 2.0, b[3] / 2.0);
            return Self { x: (b[0] - w, b[0] + w), y: (b[1] - h, b[1] + h) };
        }
        Self { x: ordered(b[1], b[3]), y: ordered(b[0], b[2]) }
    }
    fn area(&self) -> f32 {
        (self.x.1 - self.x.0) * (self.y.1 - self.y.0)
    }
    /// Whether intersection over union exceeds `threshold`; never for boxes without area. All steps are rounded to `f32`.
    fn overlaps(&self, other: &Self, threshold: f32) -> bool {
        let common = |a: (f32, f32), b: (f32, f32)| (larger(a.0, b.0), smaller(a.1, b.1));
        let (x, y) = (common(self.x, other.x), common(self.y, other.y));
        if x.1 <= x.0 || y.1 <= y.0 {
            return false;
        }
        let both = (x.1 - x.0) * (y.1 - y.0);
        let (a, b) = (self.area(), other.area());
        let union = a + b - both;
        if both <= 0.0 || a <= 0.0 || b <= 0.0 || union <= 0.0 {
            return false;
        }
        both / union > threshold
    }
}

/// `b` where it is larger, else `a`: a comparison with what is no number keeps `a`.
fn larger(a: f32, b: f32) -> f32 {
    if a < b { b } else { a }
}

fn smaller(a: f32, b: f32) -> f32 {
    if b < a { b } else { a }
}

/// Better scores first, then earlier boxes.
fn by_score(scores: &[f32]) -> impl Fn(&usize, &usize) -> Ordering {
    move |a, b| {
        let (x, y) = (scores[*a], scores[*b]);
        x.is_nan().cmp(&y.is_nan()).then(y.partial_cmp(&x).unwrap_or(Ordering::Equal)).then(a.cmp(b))
    }
}

/// Limits of a selection.
struct Select {
    most: usize,
    iou: f32,
    score: Option<f32>,
    center: bool,
}

impl Select {
    /// Selected positions among boxes of one sample, for the scores of one class.
    fn run(&self, boxes: &[f32], scores: &[f32]) -> Vec<usize> {
        let mut order: Vec<usize> =
            (0..scores.len()).filter(|i| self.score.is_none_or(|s| scores[*i] > s)).collect();
        order.sort_unstable_by(by_score(scores));
        let mut kept: Vec<(usize, Rect)> = vec![];
        for i in order {
            if kept.len() >= self.most {
                break;
            }
            let rect = Rect::new(&boxes[i * 4..i * 4 + 4], self.center);
            if !kept.iter().any(|(_, k)| rect.overlaps(k, self.iou)) {
                kept.push((i, rect));
            }
        }
        kept.into_iter().map(|(i, _)| i).collect()
    }
}

/// The one number of operand `i`; `None` when absent.
fn number(cx: &EvalCx<'_>, i: usize) -> Result<Option<f64>, OpError> {
    let Some(t) = cx.opt(i)? else { return Ok(None) };
    let v = t
        .as_f64()
        .ok_or_else(|| OpError::operand(format!("operand {i} must be one number, is {}", t.ty())))?;
    Ok(Some(v))
}

/// Batch, classes and boxes.
fn counts(boxes: &Tensor, scores: &Tensor) -> Result<(usize, usize, usize), OpError> {
    match (boxes.shape(), scores.shape()) {
        (&[n, s, 4], &[m, c, t]) if n == m && s == t => Ok((n, c, s)),
        _ => Err(OpError::shape(format!("scores {} do not fit boxes {}", scores.ty(), boxes.ty()))),
    }
}

impl Semantics for NonMaxSuppression {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let (boxes, scores) = (cx.shape(0)?, cx.shape(1)?);
        let bad = || OpError::shape("boxes are [samples, boxes, 4] and scores [samples, classes, boxes]");
        if boxes.is_some_and(|b| b.len() != 3 || b[2].surely_differs(&Dim::Known(4)))
            || scores.is_some_and(|s| s.len() != 3)
        {
            return Err(bad());
        }
        if let (Some(b), Some(s)) = (boxes, scores)
            && (b[0].surely_differs(&s[0]) || b[1].surely_differs(&s[2]))
        {
            return Err(bad());
        }
        for i in 2..5 {
            if cx.has(i) && cx.shape(i)?.is_some_and(|s| s.iter().any(|d| d.surely_differs(&Dim::Known(1)))) {
                return Err(OpError::operand(format!(
                    "operand {i} must be one number, is {}",
                    cx.tensor(i)?
                )));
            }
        }
        let none = !cx.has(2) || cx.const_int(2).is_some_and(|n| n <= 0);
        let rows = if none { Dim::Known(0) } else { Dim::Unknown };
        Ok(vec![TensorType::new(DType::I64, vec![rows, Dim::Known(3)]).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let (boxes, scores) = (cx.tensor(0)?, cx.tensor(1)?);
        let (_, classes, per) = counts(boxes, scores)?;
        let most = cx.ints(2)?.and_then(|v| v.first().copied()).unwrap_or(0);
        let iou = number(&cx, 3)?.unwrap_or(0.0) as f32;
        if !(0.0..=1.0).contains(&iou) {
            return Err(OpError::attr(format!("iou_threshold {iou} is not between 0 and 1")));
        }
        let score = number(&cx, 4)?.map(|v| v as f32);
        let select =
            Select { most: usize::try_from(most).unwrap_or(0), iou, score, center: self.center_point_box };
        let (boxes, scores) = (boxes.view::<f32>()?, scores.view::<f32>()?);
        if per == 0 || select.most == 0 {
            return one(Tensor::from_vec::<i64>(&[0, 3], vec![]));
        }
        let class = |(i, scores): (usize, &[f32])| {
            let sample = i / classes;
            let found = select.run(&boxes[sample * per * 4..(sample + 1) * per * 4], scores);
            found.into_iter().map(|b| [sample, i % classes, b].map(|v| v as i64)).collect::<Vec<_>>()
        };
        // The order of the classes is that of the results, whichever thread is first.
        let rows: Vec<Vec<[i64; 3]>> = scores.par_chunks_exact(per).enumerate().map(class).collect();
        let flat: Vec<i64> = rows.into_iter().flatten().flatten().collect();
        one(Tensor::from_vec(&[flat.len() / 3, 3], flat))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, f32s, infer, infer_with, shapes};

    fn run(
        op: &NonMaxSuppression,
        boxes: &Tensor,
        scores: &[f32],
        most: i64,
        iou: f32,
        score: Option<f32>,
    ) -> Vec<i64> {
        let scores = f32s(&[1, 1, scores.len()], scores);
        let (most, iou, score) = (Tensor::from_ints(&[most]), Tensor::scalar(iou), score.map(Tensor::scalar));
        let y =
            eval(op, &[Some(boxes), Some(&scores), Some(&most), Some(&iou), score.as_ref()]).expect("fits");
        y[0].to_i64s().expect("i64").chunks(3).map(|r| r[2]).collect()
    }

    #[test]
    fn ties_thresholds_and_corners_in_any_order() {
        let op = NonMaxSuppression::default();
        let boxes = f32s(&[1, 4, 4], &[0., 0., 1., 1., 1., 1., 0., 0., 0., 5., 1., 6., 0., 0., 0., 0.]);
        assert_eq!(run(&op, &boxes, &[0.5, 0.5, 0.9, 0.5], 9, 0.5, None), [2, 0, 3]);
        assert_eq!(run(&op, &boxes, &[0.5, 0.6, 0.9, f32::NAN], 9, 0.5, None), [2, 1, 3]);
        assert_eq!(run(&op, &boxes, &[0.5, 0.6, 0.9, f32::NAN], 9, 0.5, Some(0.6)), [2]);
        assert_eq!(run(&op, &boxes, &[0.5, 0.6, 0.9, 0.1], 1, 1.0, None), [2]);
        // Equal boxes stay where the threshold is not exceeded.
        assert_eq!(run(&op, &boxes, &[0.5, 0.6, 0.9, 0.1], 3, 1.0, None), [2, 1, 0]);
        assert_eq!(run(&op, &boxes, &[0.5, 0.6, 0.9, 0.1], -1, 1.0, None), Vec::<i64>::new());
    }

    #[test]
    fn centres() {
        let op = NonMaxSuppression { center_point_box: true };
        // Half of the first lies in the second: 0.5 / 1.5.
        let boxes = f32s(&[1, 2, 4], &[0.5, 0.5, 1.0, 1.0, 1.0, 0.5, 1.0, 1.0]);
        assert_eq!(run(&op, &boxes, &[0.2, 0.3], 9, 0.33, None), [1]);
        assert_eq!(run(&op, &boxes, &[0.2, 0.3], 9, 0.34, None), [1, 0]);
    }

    #[test]
    fn types() {
        let op = NonMaxSuppression::default();
        let t = infer(&op, &shapes(&["f32[1, N, 4]", "f32[1, 2, N]", "i64[]"])).expect("fits");
        assert_eq!(t[0].to_string(), "i64[?, 3]");
        let zero = Tensor::scalar(0i64);
        let t = infer_with(&op, &shapes(&["f32[*]", "f32[*]", "i64[1]"]), &[(2, &zero)]).expect("fits");
        assert_eq!(t[0].to_string(), "i64[0, 3]");
        assert!(infer(&op, &shapes(&["f32[1, 6, 4]", "f32[1, 2, 5]"])).is_err());
        assert!(infer(&op, &shapes(&["f32[1, 6, 3]", "f32[1, 2, 6]"])).is_err());
    }
}
