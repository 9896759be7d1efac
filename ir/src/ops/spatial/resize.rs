//! `resize`
use super::complex::{join, split};
use super::resize_axis::{AxisPlan, Rules};
use super::resize_data::{fill_outside, gather, interpolate};
use crate::dim::{Dim, SymInt};
use crate::dtype::{ANY, DType, DTypeSet, F32_ONLY, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{Compute, count};
use crate::ops::movement::mover::check_size;
use crate::tensor::convert::Wide;
use crate::tensor::{Tensor, TensorError};
use crate::types::{TensorType, Type};

pub use super::resize_words::{AspectPolicy, Coordinates, NearestMode, ResizeMode};

const ROI: DTypeSet = DTypeSet::of(&[DType::F32, DType::F64, DType::F16]);

crate::op! {
    /// Resizes by interpolation along each axis of `axes` (all when it is empty). Either `scales` or `sizes` is given; an empty tensor counts
    /// as absent. `axes` name the axes whatever they mean, so that there is no layout. With `scales`, the result's size is
    /// `floor(in * scale)`, multiplied in `f32` as ONNX's shape inference does. `exclude_outside` does not concern `nearest`.
    resize Resize(x: One<T1>, roi: Opt<T2>, scales: Opt<F>, sizes: Opt<I>) -> (y: One<T1>) {
        /// Whether the kernel widens when an axis shrinks.
        antialias: bool = false,
        /// Axes that `roi`, `scales` and `sizes` are about; empty is all.
        axes: Vec<i64> = vec![],
        /// How places in the operand are found.
        coordinate_transformation_mode: Coordinates = Coordinates::HalfPixel,
        /// Parameter of the cubic kernel.
        cubic_coeff_a: f32 = -0.75,
        /// Whether elements beyond the border have no weight.
        exclude_outside: bool = false,
        /// Value outside the operand with `tf_crop_and_resize`.
        extrapolation_value: f32 = 0.0,
        /// How `sizes` relate to the aspect ratio.
        keep_aspect_ratio_policy: AspectPolicy = AspectPolicy::Stretch,
        /// Interpolation.
        mode: ResizeMode = ResizeMode::Nearest,
        /// Rounding of places with `nearest`.
        nearest_mode: NearestMode = NearestMode::RoundPreferFloor,
    } where T1: ANY, T2: ROI, F: F32_ONLY, I: I64_ONLY;
}

/// What decides about the sizes.
enum Target {
    Scales(Vec<f32>),
    Sizes(Vec<usize>),
}

/// Size of an axis of `n` elements after scaling.
fn scaled_size(n: u64, scale: f32) -> Option<u64> {
    let v = (n as f32 * scale).floor();
    (0.0..9e15_f32).contains(&v).then_some(v as u64)
}

/// Nearest integer, half up.
fn round_half_up(v: f64) -> Option<usize> {
    let r = (v + 0.5).floor();
    (0.0..9e15).contains(&r).then_some(r as usize)
}

impl Resize {
    fn axes(&self, rank: usize) -> Result<Vec<usize>, OpError> {
        if self.axes.is_empty() {
            return Ok((0..rank).collect());
        }
        let axes: Vec<usize> = self.axes.iter().map(|a| resolve_axis(*a, rank)).collect::<Result<_, _>>()?;
        match (1..axes.len()).find(|i| axes[..*i].contains(&axes[*i])) {
            Some(i) => Err(OpError::attr(format!("axis {} is given twice", axes[i]))),
            None => Ok(axes),
        }
    }
    fn target(scales: Option<&Tensor>, sizes: Option<&Tensor>, axes: usize) -> Result<Target, OpError> {
        let given = |t: Option<&Tensor>| t.filter(|t| !t.is_empty() || axes == 0).cloned();
        let fits = |t: &Tensor| {
            if t.len() == axes {
                Ok(())
            } else {
                Err(OpError::shape(format!("{} scales or sizes for {axes} axes", t.len())))
            }
        };
        match (given(scales), given(sizes)) {
            (Some(s), None) => {
                fits(&s)?;
                let values = s.to_f32s()?.into_owned();
                if values.iter().any(|v| !v.is_finite() || *v <= 0.0) {
                    return Err(OpError::attr(format!("scales {values:?} must be positive")));
                }
                Ok(Target::Scales(values))
            }
            (None, Some(s)) => {
                fits(&s)?;
                let values: Option<Vec<usize>> =
                    s.to_i64s()?.into_iter().map(|v| usize::try_from(v).ok()).collect();
                Ok(Target::Sizes(values.ok_or_else(|| OpError::attr("sizes must not be negative"))?))
            }
            (Some(_), Some(_)) if axes == 0 => Ok(Target::Scales(vec![])),
            _ => Err(OpError::operand("resize needs either scales or sizes")),
        }
    }
    /// Plans of the resized axes, by axis.
    fn plans(
        &self,
        shape: &[usize],
        target: &Target,
        roi: Option<&[f64]>,
    ) -> Result<Vec<Option<AxisPlan>>, OpError> {
        let axes = self.axes(shape.len())?;
        let too_large = || OpError::shape("a resized axis exceeds the address space");
        let common = self.common_scale(shape, &axes, target);
        let mut plans = vec![None; shape.len()];
        for (i, &axis) in axes.iter().enumerate() {
            let input = shape[axis];
            let ratio = |out: usize| out as f64 / input as f64;
            let (output, scale, exact) = match (target, common) {
                (Target::Scales(s), _) => {
                    let out = scaled_size(input as u64, s[i]).ok_or_else(too_large)?;
                    (usize::try_from(out).map_err(|_| too_large())?, f64::from(s[i]), false)
                }
                (Target::Sizes(s), None) => (s[i], ratio(s[i]), true),
                (Target::Sizes(_), Some(c)) => {
                    (round_half_up(c * input as f64).ok_or_else(too_large)?, c, false)
                }
            };
            if input == 0 && output > 0 {
                return Err(OpError::shape(format!("axis {axis} is empty and cannot grow")));
            }
            let roi = roi.map_or((0.0, 1.0), |r| (r[i], r[axes.len() + i]));
            plans[axis] = Some(AxisPlan { input, output, scale, exact, roi });
        }
        Ok(plans)
    }
    /// The one scale of all axes when the aspect ratio is kept.
    fn common_scale(&self, shape: &[usize], axes: &[usize], target: &Target) -> Option<f64> {
        let Target::Sizes(sizes) = target else { return None };
        let ratios = sizes.iter().zip(axes).map(|(s, a)| *s as f64 / shape[*a] as f64);
        match self.keep_aspect_ratio_policy {
            AspectPolicy::Stretch => None,
            AspectPolicy::NotLarger => Some(ratios.fold(f64::INFINITY, f64::min)),
            AspectPolicy::NotSmaller => Some(ratios.fold(0.0, f64::max)),
        }
    }
    fn rules(&self) -> Result<Rules, OpError> {
        if self.antialias && self.mode == ResizeMode::Nearest {
            return Err(OpError::attr("antialias is for linear and cubic interpolation"));
        }
        Ok(Rules {
            mode: self.mode,
            coordinates: self.coordinate_transformation_mode,
            nearest: self.nearest_mode,
            cubic_a: f64::from(self.cubic_coeff_a),
            exclude_outside: self.exclude_outside,
            antialias: self.antialias,
        })
    }
    /// Type of the result when sizes or scales are not all known.
    fn symbolic(&self, cx: &InferCx<'_>, shape: &[Dim], axes: &[usize]) -> Vec<Dim> {
        let mut out = shape.to_vec();
        for a in axes {
            out[*a] = Dim::Unknown;
        }
        if self.keep_aspect_ratio_policy == AspectPolicy::Stretch
            && let Some(sizes) = cx.sym_dims(3).filter(|s| s.len() == axes.len() && !s.is_empty())
        {
            for (a, s) in axes.iter().zip(sizes) {
                out[*a] = s;
            }
        } else if let Some(scales) =
            cx.constant(2).and_then(|t| t.to_f32s().ok()).filter(|s| s.len() == axes.len())
        {
            for (a, s) in axes.iter().zip(scales.iter()) {
                out[*a] = scaled_dim(&shape[*a], *s);
            }
        }
        out
    }
}

/// `floor(dim * scale)`, symbolic for whole factors and divisors.
fn scaled_dim(dim: &Dim, scale: f32) -> Dim {
    if let Some(n) = dim.known() {
        return scaled_size(n, scale).map_or(Dim::Unknown, Dim::Known);
    }
    let inverse = 1.0 / scale;
    let sym = dim.to_sym().and_then(|n| match scale {
        s if s >= 1.0 && s.fract() == 0.0 && s < 1e6 => n.mul(&SymInt::from(s as i64)),
        // Powers of two divide exactly in binary.
        _ if inverse.fract() == 0.0 && inverse < 1e6 && (inverse as i64).count_ones() == 1 => {
            n.floor_div(&SymInt::from(inverse as i64))
        }
        _ => None,
    });
    Dim::from_sym(sym)
}

fn resized<T: Compute>(
    x: &Tensor,
    shape: &[usize],
    plans: &[Option<AxisPlan>],
    rules: &Rules,
    fill: f32,
) -> Result<Vec<T>, OpError> {
    let active: Vec<_> = plans.iter().map(|p| p.filter(|p| !p.is_identity(rules))).collect();
    let data = T::read(x)?;
    let mut out = if rules.mode == ResizeMode::Nearest {
        gather(&data, x.shape(), &maps(&active, rules))?
    } else {
        interpolate(&data, x.shape(), &active, rules)?
    };
    fill_outside(&mut out, shape, &outside(plans, rules), &T::from_f64(f64::from(fill)));
    Ok(out)
}

fn maps(plans: &[Option<AxisPlan>], rules: &Rules) -> Vec<Option<Vec<usize>>> {
    plans.iter().map(|p| p.map(|p| p.nearest(rules))).collect()
}

fn outside(plans: &[Option<AxisPlan>], rules: &Rules) -> Vec<Vec<usize>> {
    plans.iter().map(|p| p.map_or_else(Vec::new, |p| p.outside(rules))).collect()
}

/// Picks elements of any type by their bytes, or texts.
fn pick(
    x: &Tensor,
    shape: &[usize],
    plans: &[Option<AxisPlan>],
    rules: &Rules,
    fill: f32,
) -> Result<Tensor, OpError> {
    let (maps, outside) = (maps(plans, rules), outside(plans, rules));
    if x.dtype() == DType::String {
        let mut out = gather(x.strings()?, x.shape(), &maps)?;
        fill_outside(&mut out, shape, &outside, &String::new());
        return Ok(Tensor::from_strings(shape, out));
    }
    let value = Tensor::scalar(fill).cast(x.dtype(), true)?;
    let (bytes, value) = (x.bytes()?, value.bytes()?);
    let data = match x.dtype().bits() {
        8 => words::<1>(&bytes, x.shape(), shape, &maps, &outside, &value)?,
        16 => words::<2>(&bytes, x.shape(), shape, &maps, &outside, &value)?,
        32 => words::<4>(&bytes, x.shape(), shape, &maps, &outside, &value)?,
        64 => words::<8>(&bytes, x.shape(), shape, &maps, &outside, &value)?,
        128 => words::<16>(&bytes, x.shape(), shape, &maps, &outside, &value)?,
        _ => return Ok(via_integers(x, shape, plans, rules, fill)?),
    };
    Ok(Tensor::from_bytes(x.dtype(), shape, data.into(), None)?)
}

fn words<const N: usize>(
    x: &[u8],
    shape: &[usize],
    result: &[usize],
    maps: &[Option<Vec<usize>>],
    outside: &[Vec<usize>],
    value: &[u8],
) -> Result<Vec<u8>, OpError> {
    let (elements, _) = x.as_chunks::<N>();
    let mut out = gather(elements, shape, maps)?;
    let value: [u8; N] = value.try_into().map_err(|_| OpError::eval("an element has another width"))?;
    fill_outside(&mut out, result, outside, &value);
    Ok(out.into_flattened())
}

/// Through `f64`, rounded to nearest even and saturated for integers, as the ONNX reference does.
fn via_integers(
    x: &Tensor,
    shape: &[usize],
    plans: &[Option<AxisPlan>],
    rules: &Rules,
    fill: f32,
) -> Result<Tensor, TensorError> {
    let mut values =
        resized::<f64>(x, shape, plans, rules, fill).map_err(|e| TensorError::Shape(e.message))?;
    if let Some((low, high)) = x.dtype().int_range() {
        for v in &mut values {
            *v = v.round_ties_even().clamp(low as f64, high as f64);
        }
    }
    Tensor::from_wide(x.dtype(), shape, &Wide::F64(values), true)
}

impl Semantics for Resize {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        self.rules()?;
        let dtype = cx.dtype(0)?;
        let Some(shape) = cx.shape(0)? else { return Ok(vec![TensorType::unranked(dtype).into()]) };
        let axes = self.axes(shape.len())?;
        let known = |i: usize| !cx.has(i) || cx.constant(i).is_some();
        let sizes: Option<Vec<usize>> =
            shape.iter().map(|d| d.known().and_then(|n| usize::try_from(n).ok())).collect();
        if known(2) && known(3) {
            let target = Self::target(cx.constant(2), cx.constant(3), axes.len())?;
            if let Some(sizes) = sizes {
                let plans = self.plans(&sizes, &target, None)?;
                let dim = |(d, p): (&usize, &Option<AxisPlan>)| Dim::from(p.map_or(*d, |p| p.output));
                let dims: Vec<Dim> = sizes.iter().zip(&plans).map(dim).collect();
                return Ok(vec![TensorType::new(dtype, dims).into()]);
            }
        }
        Ok(vec![TensorType::new(dtype, self.symbolic(cx, shape, &axes)).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let axes = self.axes(x.rank())?;
        let target = Self::target(cx.opt(2)?, cx.opt(3)?, axes.len())?;
        let crop = self.coordinate_transformation_mode == Coordinates::TfCropAndResize;
        let roi = if crop { cx.opt(1)?.map(Tensor::to_f64s).transpose()? } else { None };
        if crop && roi.as_ref().is_none_or(|r| r.len() != 2 * axes.len() || r.iter().any(|v| !v.is_finite()))
        {
            return Err(OpError::operand("tf_crop_and_resize needs roi: all starts, then all ends"));
        }
        let (rules, fill) = (self.rules()?, self.extrapolation_value);
        let plans = self.plans(x.shape(), &target, roi.as_deref())?;
        let shape: Vec<usize> =
            x.shape().iter().zip(&plans).map(|(d, p)| p.map_or(*d, |p| p.output)).collect();
        check_size(x.dtype(), &shape)?;
        // Tables per axis are as long as the axis, which nothing bounds in an empty tensor.
        if count(&shape)? == 0 {
            return one(if x.dtype() == DType::String {
                Tensor::from_strings(&shape, vec![])
            } else {
                Tensor::from_bytes(x.dtype(), &shape, bytes::Bytes::new(), None)?
            });
        }
        one(match (x.dtype(), self.mode) {
            (DType::F32 | DType::F16 | DType::BF16, _) => {
                f32::tensor(x.dtype(), &shape, resized::<f32>(x, &shape, &plans, &rules, fill)?)?
            }
            (_, ResizeMode::Nearest) => pick(x, &shape, &plans, &rules, fill)?,
            (DType::String, _) => {
                return Err(OpError::eval("texts cannot be interpolated").hint("use the mode `nearest`"));
            }
            (DType::C64 | DType::C128, _) => {
                let [re, im] = split(x)?;
                let part = |x: &Tensor, fill: f32| resized::<f64>(x, &shape, &plans, &rules, fill);
                join(x.dtype(), &shape, &part(&re, fill)?, &part(&im, 0.0)?)?
            }
            _ => via_integers(x, &shape, &plans, &rules, fill)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{assert_near, eval, f32s, infer_with, iota, shapes};

    fn run(op: &Resize, x: &Tensor, scales: Option<&Tensor>, sizes: Option<&Tensor>) -> Tensor {
        eval(op, &[Some(x), None, scales, sizes]).expect("fits").remove(0)
    }

    #[test]
    fn linear_in_two_dimensions() {
        let op = Resize { mode: ResizeMode::Linear, axes: vec![2, 3], ..Resize::default() };
        let x = f32s(&[1, 1, 2, 2], &[1., 2., 3., 4.]);
        let y = run(&op, &x, Some(&f32s(&[2], &[2., 2.])), None);
        // ONNX node case resize_upsample_scales_linear
        let want = [1., 1.25, 1.75, 2., 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3., 3.25, 3.75, 4.];
        assert_near(&y, &[1, 1, 4, 4], &want);
        let whole = Resize { axes: vec![], ..op.clone() };
        assert_eq!(run(&whole, &x, None, Some(&Tensor::from_ints(&[1, 1, 4, 4]))), y);
        let last = x.reshape(&[1, 2, 2, 1]).expect("4");
        let other = Resize { axes: vec![-3, -2], ..op };
        assert_near(&run(&other, &last, Some(&f32s(&[2], &[2., 2.])), None), &[1, 4, 4, 1], &want);
    }

    #[test]
    fn nearest_of_any_type() {
        let x = Tensor::from_strings(&[3], ["a", "b", "c"].map(str::to_owned).to_vec());
        let op = Resize {
            nearest_mode: NearestMode::Floor,
            coordinate_transformation_mode: Coordinates::Asymmetric,
            ..Resize::default()
        };
        let y = run(&op, &x, None, Some(&Tensor::from_ints(&[5])));
        assert_eq!(y.strings().expect("texts"), ["a", "a", "b", "b", "c"]);
        let x = Tensor::from_vec(&[2, 1], vec![7i16, -9]);
        let y = run(&op, &x, Some(&f32s(&[2], &[1.5, 2.0])), None);
        assert_eq!(y, Tensor::from_vec(&[3, 2], vec![7i16, 7, 7, 7, -9, -9]));
    }

    #[test]
    fn complex_numbers_are_interpolated_and_texts_bounded() {
        use num_complex::Complex;
        let c = |re: f32, im: f32| Complex::new(re, im);
        let x = Tensor::from_vec(&[2], vec![c(0.0, 4.0), c(2.0, 0.0)]);
        let op = Resize { mode: ResizeMode::Linear, ..Resize::default() };
        let y = run(&op, &x, Some(&f32s(&[1], &[2.0])), None);
        assert_eq!(y, Tensor::from_vec(&[4], vec![c(0.0, 4.0), c(0.5, 3.0), c(1.5, 1.0), c(2.0, 0.0)]));
        let texts = Tensor::from_strings(&[1], vec!["a".to_owned()]);
        let sizes = Tensor::from_ints(&[1 << 40]);
        assert!(eval(&Resize::default(), &[Some(&texts), None, None, Some(&sizes)]).is_err());
    }

    #[test]
    fn crops_and_policies() {
        let op = Resize {
            mode: ResizeMode::Linear,
            coordinate_transformation_mode: Coordinates::TfCropAndResize,
            extrapolation_value: 10.0,
            ..Resize::default()
        };
        let (x, roi, sizes) = (iota(&[4]), f32s(&[2], &[0.0, 2.0]), Tensor::from_ints(&[3]));
        let y = eval(&op, &[Some(&x), Some(&roi), None, Some(&sizes)]).expect("fits");
        assert_near(&y[0], &[3], &[0., 3., 10.]);
        assert!(eval(&op, &[Some(&x), None, None, Some(&sizes)]).is_err());
        for (policy, shape) in [(AspectPolicy::NotLarger, [5, 7]), (AspectPolicy::NotSmaller, [6, 9])] {
            let op = Resize { keep_aspect_ratio_policy: policy, ..Resize::default() };
            assert_eq!(run(&op, &iota(&[2, 3]), None, Some(&Tensor::from_ints(&[6, 7]))).shape(), shape);
        }
    }

    #[test]
    fn types() {
        let op = Resize { axes: vec![2, 3], ..Resize::default() };
        let scales = f32s(&[2], &[2.0, 0.5]);
        let tys = shapes(&["f32[1, C, H, W]", "_", "f32[2]"]);
        let t = infer_with(&op, &tys, &[(2, &scales)]).expect("fits");
        assert_eq!(t[0].to_string(), "f32[1, C, 2*H, floordiv(W, 2)]");
        let sizes = Tensor::from_ints(&[7, 8]);
        let tys = shapes(&["f32[1, C, H, W]", "_", "_", "i64[2]"]);
        assert_eq!(infer_with(&op, &tys, &[(3, &sizes)]).expect("fits")[0].to_string(), "f32[1, C, 7, 8]");
        assert_eq!(infer_with(&op, &tys, &[]).expect("fits")[0].to_string(), "f32[1, C, ?, ?]");
        let bad = f32s(&[2], &[f32::NAN, 1.0]);
        assert!(infer_with(&op, &shapes(&["f32[1, 1, 2, 2]", "_", "f32[2]"]), &[(2, &bad)]).is_err());
        let huge = f32s(&[2], &[1e30, 1.0]);
        assert!(infer_with(&op, &shapes(&["f32[1, 1, 2, 2]", "_", "f32[2]"]), &[(2, &huge)]).is_err());
    }
}
