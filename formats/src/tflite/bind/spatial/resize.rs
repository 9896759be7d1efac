//! `RESIZE_BILINEAR` and `RESIZE_NEAREST_NEIGHBOR`: two axes, `[N, H, W, C]`, places from the ratio of the sizes.
use super::{AXES, COMPOSED};
use crate::tflite::lower::{Cx, LAYOUT, R};
use crate::tflite::program::T;
use crate::tflite::schema::Builtin;
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::eval::{EvalCx, Limits, eval_op};
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::op::OpError;
use hoist_ir::ops::Op;
use hoist_ir::ops::spatial::resize::{AspectPolicy, Coordinates, Resize, ResizeMode};
use hoist_ir::tensor::Tensor;
use hoist_ir::types::TensorType;

/// How one axis is resized.
#[derive(Clone, Debug)]
pub struct Axis {
    /// Which one.
    pub axis: usize,
    /// Its position among the axes that the operator lists.
    pub entry: usize,
    /// Size of the operand.
    pub input: Dim,
    /// Size of the result.
    pub output: Dim,
    /// Scale, when scales are given and constant.
    pub scale: Option<f32>,
}

impl Axis {
    /// Both sizes, when known.
    pub fn sizes(&self) -> Option<(usize, usize)> {
        let size = |d: &Dim| d.known().and_then(|n| usize::try_from(n).ok());
        Some((size(&self.input)?, size(&self.output)?))
    }
    fn keeps_size(&self) -> bool {
        self.input.surely_equals(&self.output) && self.scale.is_none_or(|s| s == 1.0)
    }
    /// Whether places follow from the ratio of the sizes.
    fn is_exact(&self) -> bool {
        let Some(scale) = self.scale else { return true };
        match self.sizes() {
            Some((input, output)) => input as f64 * f64::from(scale) == output as f64,
            None => scale.fract() == 0.0,
        }
    }
}

/// What a `resize` does to each of its axes, those left out that stay as they are. None when that is not known before the model runs.
pub fn axes_of(g: &Graph, n: NodeId) -> Option<Vec<Axis>> {
    let Op::Resize(op) = g.node(n).op() else { return None };
    let node = g.node(n);
    let x = g.ty(node.input(0)?).as_tensor()?.shape.as_ref()?;
    let y = g.ty(*node.outputs().first()?).as_tensor()?.shape.as_ref()?;
    let list: Vec<usize> = if op.axes.is_empty() {
        (0..x.len()).collect()
    } else {
        op.axes.iter().map(|a| resolve_axis(*a, x.len()).ok()).collect::<Option<_>>()?
    };
    let given = |i: usize| node.input(i).filter(|v| !is_empty(g, *v));
    let scales = match given(2) {
        None => None,
        Some(v) => Some(g.constant(v)?.to_f32s().ok()?.into_owned()),
    };
    // What a file declares about the result is no promise: it is taken where it follows from the operands.
    let listed = given(3).and_then(|v| listed_sizes(g, v));
    let stretched = op.keep_aspect_ratio_policy == AspectPolicy::Stretch;
    let axis = |(entry, a): (usize, &usize)| -> Option<Axis> {
        let scale = match &scales {
            None => None,
            Some(s) => Some(*s.get(entry)?),
        };
        let output = match (&listed, scale) {
            (_, Some(_)) => y.get(*a)?.clone(),
            (Some(_), None) if !stretched => {
                let fixed = g.const_ints(node.input(3)).is_some() && x.iter().all(|d| d.known().is_some());
                if fixed { y.get(*a)?.clone() } else { Dim::Unknown }
            }
            (Some(l), None) => l.get(entry)?.clone(),
            (None, None) => Dim::Unknown,
        };
        Some(Axis { axis: *a, entry, input: x.get(*a)?.clone(), output, scale })
    };
    let all: Vec<Axis> = list.iter().enumerate().map(axis).collect::<Option<_>>()?;
    let crops = op.coordinate_transformation_mode == Coordinates::TfCropAndResize;
    Some(all.into_iter().filter(|a| crops || !a.keeps_size()).collect())
}

/// Sizes that a list holds, as far as they are known before the model runs.
fn listed_sizes(g: &Graph, v: hoist_ir::graph::ValueId) -> Option<Vec<Dim>> {
    if let Some(list) = g.const_ints(Some(v)) {
        return list.iter().map(|n| u64::try_from(*n).ok().map(Dim::Known)).collect();
    }
    Some(g.value(v).content()?.iter().map(|e| Dim::from_sym(e.clone())).collect())
}

/// Whether `v` is surely a tensor without elements, which stands for an operand left out.
fn is_empty(g: &Graph, v: hoist_ir::graph::ValueId) -> bool {
    let shape = g.ty(v).as_tensor().and_then(|t| t.shape.as_ref());
    shape.is_some_and(|s| s.iter().any(|d| d.known() == Some(0)))
}

/// `data` resized along its first axis as `op` resizes `axis`; `roi` is the region of that axis.
///
/// # Errors
/// When sizes are not known or the operator cannot be computed.
pub fn resized(op: &Resize, axis: &Axis, roi: Option<[f32; 2]>, data: Tensor) -> Result<Tensor, OpError> {
    let unknown = || OpError::operand("sizes are not known");
    let (_, output) = axis.sizes().ok_or_else(unknown)?;
    let one = Resize { axes: vec![0], ..op.clone() };
    let scales = axis.scale.map(|s| Tensor::from_vec(&[1], vec![s]).into());
    let sizes = if scales.is_none() { Some(Tensor::from_ints(&[output as i64]).into()) } else { None };
    let roi = roi.map(|r| Tensor::from_vec(&[2], r.to_vec()).into());
    let cx = EvalCx {
        inputs: vec![Some(data.into()), roi, scales, sizes],
        outputs: 1,
        bodies: &[],
        captures: 0,
        run: &|_, _| Err(OpError::eval("no body")),
    };
    let y = eval_op(&one.into(), cx, Limits::default())?;
    y.into_iter().next().ok_or_else(unknown)?.into_tensor()
}

/// The element that each element of the result takes along `axis`, with `nearest`.
///
/// # Errors
/// When sizes are not known or the operator cannot be computed.
pub fn nearest(op: &Resize, axis: &Axis) -> Result<Vec<i64>, OpError> {
    let (input, _) = axis.sizes().ok_or_else(|| OpError::operand("sizes are not known"))?;
    if input > 1 << 20 {
        return Err(OpError::operand("the axis is long"));
    }
    let places = Tensor::from_vec(&[input], (0..input as i64).collect::<Vec<_>>());
    let plain = Resize { antialias: false, ..op.clone() };
    Ok(resized(&plain, axis, None, places)?.to_i64s()?)
}

pub(super) fn resize(cx: &mut Cx<'_>) -> R<()> {
    let Op::Resize(op) = cx.op() else { return Err("no resizing".to_owned()) };
    let nearest = op.mode == ResizeMode::Nearest;
    let dtypes: &[DType] = if nearest { NEAREST } else { &[DType::F32] };
    if !dtypes.contains(&cx.dtype(0)?) {
        return Err(format!("element type {}", cx.dtype(0)?));
    }
    let axes = axes_of(cx.g, cx.n).ok_or("scales that are computed")?;
    if cx.rank(0)? != 4 || axes.iter().any(|a| !(1..4).contains(&a.axis)) {
        return Err(AXES.to_owned());
    }
    if op.coordinate_transformation_mode == Coordinates::TfCropAndResize
        || op.keep_aspect_ratio_policy != AspectPolicy::Stretch
        || axes.is_empty()
        || axes.iter().any(|a| !a.is_exact() || a.sizes().is_some_and(|(i, o)| i == 0 || o == 0))
    {
        return Err(COMPOSED.to_owned());
    }
    let (align, half) = if nearest { nearest_options(op, &axes) } else { linear_options(op, &axes) }
        .ok_or_else(|| COMPOSED.to_owned())?;
    match (axes.iter().any(|a| a.axis == 1), axes.iter().any(|a| a.axis == 3)) {
        (true, true) => return Err(AXES.to_owned()),
        (false, true) => return Err(LAYOUT.to_owned()),
        _ => {}
    }
    let builtin = if nearest { Builtin::ResizeNearestNeighbor } else { Builtin::ResizeBilinear };
    let options = builtin.options().map(|o| o.with("align_corners", align).with("half_pixel_centers", half));
    let (x, size) = (cx.arg(0)?, result_size(cx, &axes)?);
    cx.emit(builtin, options, &[x, size])
}

const NEAREST: &[DType] =
    &[DType::F32, DType::I8, DType::U8, DType::I16, DType::U16, DType::I32, DType::U32, DType::Bool];

/// `align_corners` and `half_pixel_centers` of `RESIZE_BILINEAR` for these axes.
fn linear_options(op: &Resize, axes: &[Axis]) -> Option<(bool, bool)> {
    let grows = |a: &Axis| a.sizes().is_some_and(|(i, o)| o >= i) || a.scale.is_some_and(|s| s >= 1.0);
    if op.mode != ResizeMode::Linear || op.antialias && !axes.iter().all(grows) {
        return None;
    }
    let several = |a: &Axis| a.output.known().is_some_and(|o| o > 1) || a.scale.is_some_and(|s| s >= 2.0);
    match op.coordinate_transformation_mode {
        Coordinates::HalfPixel | Coordinates::HalfPixelSymmetric => Some((false, true)),
        Coordinates::PytorchHalfPixel => axes.iter().all(several).then_some((false, true)),
        Coordinates::AlignCorners => Some((true, false)),
        Coordinates::Asymmetric => Some((false, false)),
        Coordinates::TfCropAndResize => None,
    }
}

/// Options of `RESIZE_NEAREST_NEIGHBOR` with which its kernel takes the same elements.
fn nearest_options(op: &Resize, axes: &[Axis]) -> Option<(bool, bool)> {
    let wanted: Option<Vec<(usize, Vec<i64>)>> = axes
        .iter()
        .map(|a| match a.sizes() {
            Some((input, _)) => Some((input, nearest(op, a).ok()?)),
            None => open(op, a),
        })
        .collect();
    let wanted = wanted?;
    [(false, false), (false, true), (true, false)]
        .into_iter()
        .find(|o| wanted.iter().all(|(input, map)| *map == kernel_map(*input, map.len(), *o)))
}

/// Largest factor by which an axis of unknown size is repeated: the kernel's places are right for any size up to it.
const MAX_FACTOR: f32 = 8.0;

/// An axis of unknown size behaves as one of some size when its factor is whole and aligned places do not take part.
fn open(op: &Resize, axis: &Axis) -> Option<(usize, Vec<i64>)> {
    const SAMPLE: usize = 16;
    let scale = axis.scale.filter(|s| s.fract() == 0.0 && (1.0..=MAX_FACTOR).contains(s))?;
    if op.coordinate_transformation_mode == Coordinates::AlignCorners {
        return None;
    }
    let output = Dim::from(SAMPLE * scale as usize);
    let known = Axis { input: Dim::from(SAMPLE), output, ..axis.clone() };
    Some((SAMPLE, nearest(op, &known).ok()?))
}

/// The element that the kernel takes for each element of the result: places are rounded to `f32` at each step.
fn kernel_map(input: usize, output: usize, (align, half): (bool, bool)) -> Vec<i64> {
    let scale = if align && output > 1 {
        (input as f32 - 1.0) / (output as f32 - 1.0)
    } else {
        input as f32 / output as f32
    };
    let offset = if half { 0.5 } else { 0.0 };
    let place = |i: usize| {
        let at = (i as f32 + offset) * scale;
        let at = if align { at.round() } else { at.floor() };
        (at as i64).clamp(0, input as i64 - 1)
    };
    (0..output).map(place).collect()
}

/// Height and width of the result as 32-bit integers.
fn result_size(cx: &mut Cx<'_>, axes: &[Axis]) -> R<T> {
    let x = cx.shape(0).ok_or("an operand of unknown rank")?;
    let size = |k: usize| {
        let of = axes.iter().find(|a| a.axis == k).map_or(&x[k], |a| &a.output);
        of.known().and_then(|n| i64::try_from(n).ok())
    };
    let known: Option<Vec<i64>> = (1..3).map(size).collect();
    if let Some(known) = known {
        return cx.ints32(&known);
    }
    let pair = TensorType::fixed(DType::I32, &[2]);
    if axes.iter().any(|a| a.scale.is_none()) {
        let list = cx.ty(3)?.clone();
        let places: Option<Vec<i64>> =
            (1..3).map(|k| axes.iter().find(|a| a.axis == k).map(|a| a.entry as i64)).collect();
        let places = places.ok_or("one of two sizes that is computed")?;
        let (sizes, at) = (cx.sizes32(3)?, cx.ints32(&places)?);
        debug_assert_eq!(list.rank(), Some(1));
        return cx.temp(Builtin::Gather, None, &[Some(sizes), Some(at)], pair);
    }
    let x = cx.arg(0)?;
    let out_type = crate::tflite::dtype::to_code(DType::I32).ok_or("no element type")?;
    let options = Builtin::Shape.options().map(|o| o.with("out_type", out_type));
    let shape = cx.temp(Builtin::Shape, options, &[Some(x)], TensorType::fixed(DType::I32, &[4]))?;
    let at = cx.ints32(&[1, 2])?;
    let own = cx.temp(Builtin::Gather, None, &[Some(shape), Some(at)], pair.clone())?;
    let factor = |k: usize| axes.iter().find(|a| a.axis == k).and_then(|a| a.scale).unwrap_or(1.0) as i64;
    let factors = cx.ints32(&[factor(1), factor(2)])?;
    cx.temp(Builtin::Mul, None, &[Some(own), Some(factors)], pair)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::ops::spatial::resize::NearestMode;

    #[test]
    fn whole_factors_hold_for_every_size() {
        for factor in 1..=MAX_FACTOR as usize {
            for input in (1..300).chain([511, 777, 1000, 2047]) {
                let output = input * factor;
                let wanted: Vec<i64> = (0..output).map(|i| (i / factor) as i64).collect();
                assert_eq!(kernel_map(input, output, (false, false)), wanted, "{input} * {factor}");
                assert_eq!(kernel_map(input, output, (false, true)), wanted, "{input} * {factor}");
            }
        }
    }

    #[test]
    fn options_follow_from_the_elements_taken() {
        let axis = |input: usize, output: usize| Axis {
            axis: 1,
            entry: 0,
            input: input.into(),
            output: output.into(),
            scale: None,
        };
        let op = |coordinates, nearest_mode| Resize {
            coordinate_transformation_mode: coordinates,
            nearest_mode,
            ..Resize::default()
        };
        let floor = op(Coordinates::Asymmetric, NearestMode::Floor);
        assert_eq!(nearest_options(&floor, &[axis(5, 7)]), Some((false, false)));
        let half = op(Coordinates::HalfPixel, NearestMode::RoundPreferCeil);
        assert_eq!(nearest_options(&half, &[axis(5, 7), axis(8, 3)]), Some((false, true)));
        let ceil = op(Coordinates::Asymmetric, NearestMode::Ceil);
        assert_eq!(nearest_options(&ceil, &[axis(5, 7)]), None);
    }
}
