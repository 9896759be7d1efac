//! Quantization in exported programs: `quantized_decomposed.*`, as pt2e quantization leaves it, and simulated quantization.
//!
//! Where type, range and zero points allow it, values are quantized and dequantized by the IR's own operators, so that passes and engines
//! recognize them; otherwise by the formulas `clamp(round(x / scale) + zero)` and `(x - zero) * scale`.
use super::unary::clip;
use crate::pytorch::lift::cx::{Cx, Operand, Out, R, Size, V, malformed, unsupported};
use crate::pytorch::lift::emit::wrap;
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;

pub(super) const TABLE: super::Table = &[
    ("quantized_decomposed.quantize_per_tensor", |cx| quantize(cx, "scale", "zero_point")),
    ("quantized_decomposed.quantize_per_channel", |cx| quantize(cx, "scales", "zero_points")),
    ("quantized_decomposed.quantize_per_token", quantize_token),
    ("quantized_decomposed.quantize_per_channel_group", quantize_token),
    ("quantized_decomposed.dequantize_per_tensor", |cx| dequantize(cx, "scale", "zero_point")),
    ("quantized_decomposed.dequantize_per_channel", |cx| dequantize(cx, "scales", "zero_points")),
    ("quantized_decomposed.dequantize_per_token", dequantize_token),
    ("quantized_decomposed.dequantize_per_channel_group", dequantize_group),
    ("quantized_decomposed.choose_qparams", choose),
    ("quantized_decomposed.choose_qparams_symmetric", choose_symmetric),
    ("quantized_decomposed.choose_qparams_per_token", choose_token),
    ("quantized_decomposed.choose_qparams_per_token_asymmetric", choose_token_asymmetric),
    ("quantized_decomposed._choose_qparams_per_token_asymmetric_impl", choose_token_asymmetric),
    ("quantized_decomposed.fake_quant_per_channel", |cx| simulate(cx, "input", "scales", "zero_points")),
    ("quantized_decomposed.convert_element_type", |cx| {
        let (x, to) = (cx.t("input")?, cx.opt_dtype("dtype")?.ok_or_else(|| malformed("no element type"))?);
        Ok(Out::Fresh(cx.cast(x, to)?))
    }),
    ("fake_quantize_per_tensor_affine", |cx| simulate(cx, "self", "scale", "zero_point")),
    ("fake_quantize_per_channel_affine", |cx| simulate(cx, "self", "scale", "zero_point")),
];

/// Scale, zero point and range of quantized numbers.
struct Grid {
    /// `f32`, 0-d or 1-d.
    scale: V,
    /// Integers or floats, of the sizes of `scale`; zeros when there is none.
    zero: Option<V>,
    /// The axis of 1-d scales.
    axis: Option<usize>,
    low: i64,
    high: i64,
}

impl Grid {
    fn of(cx: &mut Cx, scale: &str, zero: &str, rank: usize) -> R<Self> {
        let axis = if cx.names("axis") { Some(wrap(cx.int("axis")?, rank)?) } else { None };
        let one = |cx: &mut Cx, name: &str| -> R<V> {
            let v = match cx.operand(name)? {
                Operand::Tensor(v) => v,
                number => {
                    let dtype = cx.promotes(&number)?.0;
                    return cx.value_of(&number, dtype);
                }
            };
            if axis.is_some() { Ok(v) } else { cx.reshape_to(v, &[]) }
        };
        let scale = one(cx, scale)?;
        let scale = constant_cast(cx, scale, DType::F32)?;
        let zero = if cx.has(zero) { Some(one(cx, zero)?) } else { None };
        Ok(Self { scale, zero, axis, low: bound(cx, "quant_min")?, high: bound(cx, "quant_max")? })
    }
    /// The zero points in the type of quantized numbers; none where one is not known to fit it.
    fn typed_zero(&self, cx: &mut Cx, dtype: DType) -> R<Option<V>> {
        let Some((low, high)) = range(dtype) else { return Ok(None) };
        let Some(zero) = self.zero else {
            let sizes = cx.graph.constant(self.scale).map(|t| t.shape().to_vec());
            let zero = Tensor::scalar(0i64).cast(dtype, false).map_err(|e| malformed(e.to_string()))?;
            let zeros = sizes.map(|s| Tensor::splat(&zero, &s)).transpose();
            return Ok(zeros.map_err(|e| malformed(e.to_string()))?.map(|t| cx.constant(t)));
        };
        let Some(t) = cx.graph.constant(zero).filter(|t| !t.dtype().is_float()).cloned() else {
            return Ok(None);
        };
        let fits = t.to_i64s().is_ok_and(|all| all.iter().all(|z| (low..=high).contains(z)));
        if !fits {
            return Ok(None);
        }
        let t = t.cast(dtype, false).map_err(|e| malformed(e.to_string()))?;
        Ok(Some(cx.constant(t)))
    }
    /// Scales or zero points beside the axes of `x`.
    fn beside(&self, cx: &mut Cx, v: V, x: V) -> R<V> {
        let Some(axis) = self.axis else { return Ok(v) };
        let mut sizes = vec![1; cx.rank(x)?];
        sizes[axis] = -1;
        cx.reshape_to(v, &sizes)
    }
    /// `clamp(round(x / scale) + zero)` in the type of `x`.
    fn onto(&self, cx: &mut Cx, x: V) -> R<V> {
        let inverse = cx.nb("div", 1.0, self.scale)?;
        let inverse = self.beside(cx, inverse, x)?;
        let y = cx.b("mul", x, inverse)?;
        let mut y = cx.u("round", y)?;
        if let Some(zero) = self.zero {
            let zero = self.beside(cx, zero, x)?;
            let zero = cx.cast(zero, DType::F32)?;
            y = cx.b("add", y, zero)?;
        }
        clip(cx, y, Some(self.low as f64), Some(self.high as f64))
    }
    /// `(x - zero) * scale` of floats.
    fn back(&self, cx: &mut Cx, x: V) -> R<V> {
        let mut y = x;
        if let Some(zero) = self.zero {
            let zero = self.beside(cx, zero, x)?;
            let zero = cx.cast(zero, DType::F32)?;
            y = cx.b("sub", y, zero)?;
        }
        let scale = self.beside(cx, self.scale, x)?;
        cx.b("mul", y, scale)
    }
    fn attrs(&self) -> Vec<(&'static str, Attr)> {
        self.axis.map(|a| vec![("axis", Attr::Int(a as i64))]).unwrap_or_default()
    }
    /// `x` as numbers of `dtype`.
    fn quantize(&self, cx: &mut Cx, x: V, dtype: DType) -> R<V> {
        let whole = range(dtype) == Some((self.low, self.high));
        let small = matches!(dtype, DType::I8 | DType::U8);
        let operator = small || whole && matches!(dtype, DType::I16 | DType::U16);
        if operator && let Some(zero) = self.typed_zero(cx, dtype)? {
            let y = cx.with("quantize_linear", &[x, self.scale, zero], &self.attrs())?;
            return if whole { Ok(y) } else { clip(cx, y, Some(self.low as f64), Some(self.high as f64)) };
        }
        let y = self.onto(cx, x)?;
        cx.cast(y, dtype)
    }
    /// Floats from numbers of `dtype`.
    fn dequantize(&self, cx: &mut Cx, x: V) -> R<V> {
        let dtype = cx.dtype(x)?;
        let operator = matches!(dtype, DType::I8 | DType::U8 | DType::I16 | DType::U16);
        let zero = if operator { self.typed_zero(cx, dtype)? } else { None };
        if let Some(zero) = zero {
            return cx.with("dequantize_linear", &[x, self.scale, zero], &self.attrs());
        }
        let x = cx.cast(x, DType::F32)?;
        self.back(cx, x)
    }
}

/// Least and largest number of an integer type up to 16 bits.
fn range(dtype: DType) -> Option<(i64, i64)> {
    match dtype {
        DType::I8 => Some((-128, 127)),
        DType::U8 => Some((0, 255)),
        DType::I16 => Some((-32768, 32767)),
        DType::U16 => Some((0, 65535)),
        _ => None,
    }
}
/// A bound of the range, which may stand in a tensor.
fn bound(cx: &mut Cx, name: &str) -> R<i64> {
    match cx.operand(name)? {
        Operand::Tensor(v) => {
            let known = cx.graph.constant(v).and_then(Tensor::as_int);
            known.ok_or_else(|| unsupported(format!("`{name}` must be a fixed number")))
        }
        Operand::Scalar(_) | Operand::Number(_) => cx.int(name),
    }
}
fn constant_cast(cx: &mut Cx, v: V, to: DType) -> R<V> {
    match cx.graph.constant(v).cloned() {
        Some(t) => {
            let t = t.lazy_cast(to, false).map_err(|e| malformed(e.to_string()))?;
            Ok(cx.constant(t))
        }
        None => cx.cast(v, to),
    }
}

fn quantize(cx: &mut Cx, scale: &str, zero: &str) -> R<Out> {
    let x = cx.t("input")?;
    let x = cx.cast(x, DType::F32)?;
    let grid = Grid::of(cx, scale, zero, cx.rank(x)?)?;
    let dtype = cx.opt_dtype("dtype")?.ok_or_else(|| malformed("no element type is given"))?;
    Ok(Out::Fresh(grid.quantize(cx, x, dtype)?))
}
/// `dtype` and the range repeat what is known of the numbers.
fn dequantize(cx: &mut Cx, scale: &str, zero: &str) -> R<Out> {
    let x = cx.t("input")?;
    let grid = Grid::of(cx, scale, zero, cx.rank(x)?)?;
    cx.opt_dtype("dtype")?;
    let to = cx.opt_dtype("out_dtype")?.unwrap_or(DType::F32);
    let y = grid.dequantize(cx, x)?;
    Ok(Out::Fresh(cx.cast(y, to)?))
}
/// `dequantize(quantize(x))`, by numbers of 8 bits where they suffice.
fn simulate(cx: &mut Cx, x: &str, scale: &str, zero: &str) -> R<Out> {
    let x = cx.t(x)?;
    let dtype = cx.dtype(x)?;
    let grid = Grid::of(cx, scale, zero, cx.rank(x)?)?;
    let x = cx.cast(x, DType::F32)?;
    let fits = |d: DType| range(d).is_some_and(|(low, high)| low <= grid.low && grid.high <= high);
    let small = [DType::I8, DType::U8].into_iter().find(|d| fits(*d));
    let y = match small {
        Some(d) if grid.typed_zero(cx, d)?.is_some() => {
            let q = grid.quantize(cx, x, d)?;
            grid.dequantize(cx, q)?
        }
        _ => {
            let q = grid.onto(cx, x)?;
            grid.back(cx, q)?
        }
    };
    Ok(Out::Fresh(cx.cast(y, dtype)?))
}

/// Two operands in their common type.
fn promoted(cx: &mut Cx, a: V, b: V) -> R<(V, V)> {
    let dtype = cx.common(&[&Operand::Tensor(a), &Operand::Tensor(b)])?;
    Ok((cx.cast(a, dtype)?, cx.cast(b, dtype)?))
}
/// `x` as rows that share a scale, with scales and zero points beside them.
fn rows(cx: &mut Cx, x: V) -> R<(V, V, Option<V>)> {
    let (scales, zeros) = (cx.t("scales")?, cx.opt_t("zero_points")?);
    if !cx.names("group_size") {
        return Ok((x, scales, zeros));
    }
    let width = group(cx, x, scales)?;
    let column = |cx: &mut Cx, v: V| cx.reshape_to(v, &[-1, 1]);
    let zeros = zeros.map(|z| column(cx, z)).transpose()?;
    Ok((cx.reshape_to(x, &[-1, width])?, column(cx, scales)?, zeros))
}
/// Elements of a row that share a scale.
fn group(cx: &mut Cx, x: V, scales: V) -> R<i64> {
    let given = cx.int("group_size")?;
    let row = cx.known(x, 1).ok_or_else(|| unsupported("groups of rows of dynamic size"))?;
    let single = cx.rank(scales)?.checked_sub(1).is_some_and(|last| cx.known(scales, last) == Some(1));
    let width = if given > row && single { row } else { given };
    if width < 1 || row % width != 0 {
        return Err(malformed(format!("rows of {row} elements have no groups of {width}")));
    }
    Ok(width)
}
/// `clamp(round(x / scale + zero))` with a scale per row.
fn quantize_token(cx: &mut Cx) -> R<Out> {
    let x = cx.t("input")?;
    let sizes = cx.shape_of(x)?;
    let (x, scales, zeros) = rows(cx, x)?;
    let inverse = cx.nb("div", 1.0, scales)?;
    let (x, inverse) = promoted(cx, x, inverse)?;
    let mut y = cx.b("mul", x, inverse)?;
    if let Some(zeros) = zeros {
        let (a, b) = promoted(cx, y, zeros)?;
        y = cx.b("add", a, b)?;
    }
    let y = cx.u("round", y)?;
    let y = clip(cx, y, Some(cx.int("quant_min")? as f64), Some(cx.int("quant_max")? as f64))?;
    let dtype = cx.opt_dtype("dtype")?.ok_or_else(|| malformed("no element type is given"))?;
    let y = cx.cast(y, dtype)?;
    Ok(Out::Fresh(cx.reshape(y, &sizes)?))
}
/// Arguments that repeat what is known of the numbers.
fn known_range(cx: &Cx) -> R<()> {
    cx.opt_dtype("dtype")?;
    cx.int("quant_min")?;
    cx.int("quant_max")?;
    Ok(())
}
fn dequantize_token(cx: &mut Cx) -> R<Out> {
    known_range(cx)?;
    let x = cx.t("input")?;
    let sizes = cx.shape_of(x)?;
    let (mut x, scales, zeros) = rows(cx, x)?;
    if let Some(zeros) = zeros {
        let (a, b) = promoted(cx, x, zeros)?;
        x = cx.b("sub", a, b)?;
    }
    let (x, scales) = promoted(cx, x, scales)?;
    let y = cx.b("mul", x, scales)?;
    let y = cx.cast(y, cx.opt_dtype("output_dtype")?.unwrap_or(DType::F32))?;
    Ok(Out::Fresh(cx.reshape(y, &sizes)?))
}
/// Weights in groups become blocks of the IR's own operator where their zero points are known.
fn dequantize_group(cx: &mut Cx) -> R<Out> {
    let (x, scales, zeros) = (cx.t("input")?, cx.t("scales")?, cx.opt_t("zero_points")?);
    let dtype = cx.dtype(x)?;
    let (low, high) = (bound(cx, "quant_min")?, bound(cx, "quant_max")?);
    let scale = constant_cast(cx, scales, DType::F32)?;
    let grid = Grid { scale, zero: zeros, axis: None, low, high };
    let zero = grid.typed_zero(cx, dtype)?;
    let (Some(zero), Some(all), DType::F32) = (zero, cx.known_sizes(x), cx.dtype(scales)?) else {
        return dequantize_token(cx);
    };
    let [m, n] = all[..] else { return Err(malformed("groups of a tensor that is no matrix")) };
    let width = group(cx, x, scales)?;
    known_range(cx)?;
    let blocks = [Size::Known(m), Size::Known(n / width)];
    let (scale, zero) = (cx.reshape(scale, &blocks)?, cx.reshape(zero, &blocks)?);
    let attrs = [("axis", Attr::Int(1)), ("block_size", Attr::Int(width))];
    let y = cx.with("dequantize_linear", &[x, scale, zero], &attrs)?;
    Ok(Out::Fresh(cx.cast(y, cx.opt_dtype("output_dtype")?.unwrap_or(DType::F32))?))
}

/// Least and largest element, moved to include zero; over the last axis or all.
fn extent(cx: &mut Cx, x: V, axes: &[usize], keep: bool) -> R<(V, V)> {
    if cx.dtype(x)? != DType::F32 {
        return Err(unsupported("choosing quantization parameters of half-precision numbers"));
    }
    let (low, high) = (cx.reduce("reduce_min", x, axes, keep)?, cx.reduce("reduce_max", x, axes, keep)?);
    let zero = cx.num(x, 0.0)?;
    Ok((cx.b("min", low, zero)?, cx.b("max", high, zero)?))
}
/// Scales and zero points in the types that programs declare for them.
fn chosen(cx: &mut Cx, scale: V, zero: V) -> R<Out> {
    let (scale, zero) = (cx.cast(scale, DType::F64)?, cx.cast(zero, DType::I64)?);
    Ok(Out::Many(vec![Out::Fresh(scale), Out::Fresh(zero)]))
}
fn choose(cx: &mut Cx) -> R<Out> {
    let x = cx.t("input")?;
    let (low, high) = (cx.int("quant_min")? as f64, cx.int("quant_max")? as f64);
    let eps = cx.float("eps")?;
    cx.opt_dtype("dtype")?;
    let (least, largest) = extent(cx, x, &[], false)?;
    let span = cx.b("sub", largest, least)?;
    let scale = cx.bn("div", span, high - low)?;
    let scale = cx.bn("max", scale, eps)?;
    let at = cx.b("div", least, scale)?;
    let at = cx.u("round", at)?;
    let zero = cx.nb("sub", low, at)?;
    let zero = clip(cx, zero, Some(low), Some(high))?;
    let (scale, zero) = (cx.reshape_to(scale, &[1])?, cx.reshape_to(zero, &[1])?);
    chosen(cx, scale, zero)
}
fn choose_symmetric(cx: &mut Cx) -> R<Out> {
    let x = cx.t("input")?;
    let (low, high) = (cx.int("quant_min")? as f64, cx.int("quant_max")? as f64);
    let eps = cx.float("eps")?;
    let unsigned = cx.opt_dtype("dtype")? == Some(DType::U8);
    let (least, largest) = extent(cx, x, &[], false)?;
    let least = cx.u("neg", least)?;
    let largest = cx.b("max", least, largest)?;
    let scale = cx.bn("div", largest, (high - low) / 2.0)?;
    let scale = cx.bn("max", scale, eps)?;
    let scale = cx.reshape_to(scale, &[1])?;
    let zero = cx.int_list(&[if unsigned { 128 } else { 0 }]);
    chosen(cx, scale, zero)
}
fn choose_token(cx: &mut Cx) -> R<Out> {
    let x = cx.t("input")?;
    if cx.opt_dtype("dtype")? != Some(DType::I8) || cx.dtype(x)? != DType::F32 {
        return Err(unsupported("quantization per token other than of f32 to int8"));
    }
    let last = cx.rank(x)?.saturating_sub(1);
    let size = cx.u("abs", x)?;
    let largest = cx.reduce("reduce_max", size, &[last], true)?;
    let scale = cx.bn("max", largest, 1e-5)?;
    let scale = cx.bn("div", scale, 127.0)?;
    let zero = cx.num(scale, 0.0)?;
    let zero = cx.expand_like(zero, scale)?;
    chosen(cx, scale, zero)
}
fn choose_token_asymmetric(cx: &mut Cx) -> R<Out> {
    cx.opt_dtype("dtype")?;
    let x = cx.t("input")?;
    let last = cx.rank(x)?.saturating_sub(1);
    let (least, largest) = extent(cx, x, &[last], true)?;
    let span = cx.b("sub", largest, least)?;
    let scale = cx.bn("div", span, 255.0)?;
    let scale = cx.bn("max", scale, f64::from(f32::EPSILON))?;
    let (from, to) = (cx.b("div", least, scale)?, cx.b("div", largest, scale)?);
    let (a, b) = (cx.nb("add", -128.0, from)?, cx.nb("add", 127.0, to)?);
    let error = cx.b("add", a, b)?;
    let below = cx.bn("greater", error, 0.0)?;
    let (a, b) = (cx.nb("sub", -128.0, from)?, cx.nb("sub", 127.0, to)?);
    let zero = cx.choose(below, a, b)?;
    let zero = clip(cx, zero, Some(-128.0), Some(127.0))?;
    let zero = cx.u("round", zero)?;
    chosen(cx, scale, zero)
}
