//! Reading forms of operators that older operator sets have and that take nodes of their own in the IR.
use super::row::{Arg, Foreign};
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, ValueId};
use hoist_ir::op::OpError;
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::tile::Tile;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::spatial::resize::Resize;
use hoist_ir::ops::spatial::resize_words::{Coordinates, NearestMode, ResizeMode};
use hoist_ir::tensor::Tensor;

/// The diagnostic for a form that cannot be read.
pub(super) fn refused(e: OpError) -> Diag {
    Diag { hint: e.hint, ..Diag::error(e.code, e.message) }
}

fn attr_error(m: impl Into<String>) -> Diag {
    refused(OpError::attr(m))
}

/// Operand `slot`, which must be given.
pub(super) fn operand(node: &Foreign, slot: usize) -> Result<ValueId, Diag> {
    let missing = || Diag::error("E0303", format!("`{}` has no operand {slot}", node.op_type));
    node.value(slot).ok_or_else(missing)
}

pub(super) fn rank(graph: &Graph, v: ValueId) -> Option<usize> {
    graph.ty(v).as_tensor()?.rank()
}

fn known_rank(graph: &Graph, v: ValueId, node: &Foreign) -> Result<usize, Diag> {
    let unknown = || {
        let m = format!("`{}` of operator set {} needs an operand of known rank", node.op_type, node.opset);
        Diag::error("E0305", m).hint("run shape inference on the model first")
    };
    rank(graph, v).ok_or_else(unknown)
}

/// Refuses attributes that nothing read.
pub(super) fn no_more(node: &Foreign) -> Result<(), Diag> {
    match node.attrs.first() {
        Some((name, _)) => Err(attr_error(format!("`{}` has no attribute `{name}`", node.op_type))),
        None => Ok(()),
    }
}

/// Operators of two operands before 7: with `broadcast`, the second operand lies along the axes of the first from `axis` on, or along
/// the last ones.
pub fn broadcast_axis(b: &mut Builder<'_>, node: &mut Foreign) -> Result<(), Diag> {
    let on = node.take_int("broadcast", 0).map_err(refused)?;
    let axis = node.take("axis");
    let axis = match axis {
        Some(Attr::Int(axis)) if on != 0 => axis,
        _ => return Ok(()),
    };
    let (x, y) = (operand(node, 0)?, operand(node, 1)?);
    let (rx, ry) = (known_rank(b.graph(), x, node)? as i64, known_rank(b.graph(), y, node)? as i64);
    let at = if axis < 0 { axis.saturating_add(rx) } else { axis };
    let behind = rx.checked_sub(ry).and_then(|n| n.checked_sub(at)).filter(|n| at >= 0 && *n >= 0);
    let behind = behind.ok_or_else(|| {
        attr_error(format!("`axis` = {axis} does not place an operand of rank {ry} in one of rank {rx}"))
    })?;
    if behind > 0 {
        let axes = b.ints(&(ry..ry + behind).collect::<Vec<_>>());
        node.inputs[1] = Arg::Value(b.unsqueeze(Unsqueeze {}, y, axes)?);
    }
    Ok(())
}

/// `Gemm` before 7 says whether the addend stretches; its axes are the last ones either way.
pub fn gemm_broadcast(_: &mut Builder<'_>, node: &mut Foreign) -> Result<(), Diag> {
    node.take_int("broadcast", 0).map_err(refused)?;
    Ok(())
}

/// `PRelu` before 7: the slope is one number or one per channel, which is axis 1.
pub fn slope_per_channel(b: &mut Builder<'_>, node: &mut Foreign) -> Result<(), Diag> {
    let (x, slope) = (operand(node, 0)?, operand(node, 1)?);
    let (rx, rs) = (known_rank(b.graph(), x, node)?, known_rank(b.graph(), slope, node)?);
    if rs == 1 && rx > 2 {
        let axes = b.ints(&(1..rx as i64 - 1).collect::<Vec<_>>());
        node.inputs[1] = Arg::Value(b.unsqueeze(Unsqueeze {}, slope, axes)?);
    }
    Ok(())
}

/// `Cast` before 6 names the element type.
pub fn cast_word(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    for (name, value) in &mut node.attrs {
        if let (true, Attr::Str(word)) = (name == "to", &value) {
            let code = type_code(&word.to_ascii_uppercase())
                .ok_or_else(|| OpError::attr(format!("`Cast` to the unknown element type `{word}`")))?;
            *value = Attr::Int(code);
        }
    }
    Ok(())
}

fn type_code(word: &str) -> Option<i64> {
    // The names of `TensorProto.DataType`, in the order of their codes.
    const NAMES: [&str; 13] = [
        "FLOAT", "UINT8", "INT8", "UINT16", "INT16", "INT32", "INT64", "STRING", "BOOL", "FLOAT16", "DOUBLE",
        "UINT32", "UINT64",
    ];
    NAMES.iter().position(|n| *n == word).map(|i| i as i64 + 1)
}

/// `Selu` before 6 has coarser defaults.
pub fn selu_1(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    for (name, default) in [("alpha", 1.6732), ("gamma", 1.0507)] {
        if !node.attrs.iter().any(|(n, _)| n == name) {
            node.attrs.push((name.to_owned(), Attr::Float(default)));
        }
    }
    Ok(())
}

/// `Tile` before 6 repeats along one axis.
#[expect(clippy::needless_pass_by_value, reason = "what `Fix::Build` takes")]
pub fn tile_1(b: &mut Builder<'_>, node: Foreign) -> Result<Vec<ValueId>, Diag> {
    no_more(&node)?;
    let (x, tiles, axis) = (operand(&node, 0)?, operand(&node, 1)?, operand(&node, 2)?);
    let rank = known_rank(b.graph(), x, &node)?;
    let axis = b.graph().const_f64(Some(axis)).filter(|a| a.fract() == 0.0 && a.abs() < 1e9);
    let axis =
        axis.ok_or_else(|| Diag::error("E0303", "`Tile` of operator set 1 needs a constant `axis`"))?;
    let axis = hoist_ir::infer::resolve_axis(axis as i64, rank).map_err(refused)?;
    let one = b.ints(&[1]);
    let count = b.cast(Cast { to: DType::I64, ..Cast::default() }, tiles)?;
    let count = b.reshape(Reshape::default(), count, one)?;
    let repeats: Vec<ValueId> = (0..rank).map(|i| if i == axis { count } else { one }).collect();
    let repeats = b.concat(Concat { axis: 0 }, &repeats)?;
    Ok(vec![b.tile(Tile {}, x, repeats)?])
}

/// `Split` before 2: the sizes may be an operand of the data's type; there is no default axis.
pub fn split_1(b: &mut Builder<'_>, node: &mut Foreign) -> Result<(), Diag> {
    if !node.attrs.iter().any(|(n, _)| n == "axis") {
        return Err(attr_error("`Split` of operator set 1 needs `axis`: it has no default"));
    }
    if let Some(sizes) = node.value(1) {
        node.inputs[1] = Arg::Value(b.cast(Cast { to: DType::I64, ..Cast::default() }, sizes)?);
    }
    Ok(())
}

fn mode(node: &mut Foreign) -> Result<ResizeMode, Diag> {
    match node.take("mode") {
        None => Ok(ResizeMode::Nearest),
        Some(Attr::Str(w)) if w == "nearest" => Ok(ResizeMode::Nearest),
        Some(Attr::Str(w)) if w == "linear" || w == "bilinear" => Ok(ResizeMode::Linear),
        Some(other) => Err(attr_error(format!("`{}` has no `mode` {other}", node.op_type))),
    }
}

fn asymmetric(mode: ResizeMode, nearest_mode: NearestMode) -> Resize {
    let coordinate_transformation_mode = Coordinates::Asymmetric;
    Resize { mode, nearest_mode, coordinate_transformation_mode, ..Resize::default() }
}

/// `Upsample`: asymmetric coordinates, nearest rounds down. The scales are two attributes (1), one attribute (7) or an operand (9).
pub fn upsample(b: &mut Builder<'_>, mut node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let mode = mode(&mut node)?;
    let x = operand(&node, 0)?;
    let scales = match (node.take("scales"), node.take("height_scale"), node.take("width_scale")) {
        (Some(Attr::Floats(s)), None, None) => b.constant(Tensor::from_vec(&[s.len()], s)),
        (None, Some(Attr::Float(h)), Some(Attr::Float(w))) => {
            b.constant(Tensor::from_vec(&[4], vec![1.0, 1.0, h, w]))
        }
        (None, None, None) if node.opset >= 9 => operand(&node, 1)?,
        _ => return Err(attr_error("`Upsample` needs its scales as numbers")),
    };
    no_more(&node)?;
    if b.graph().constant(scales).and_then(|t| t.to_f64s().ok()).is_some_and(|s| s.iter().any(|s| *s < 1.0)) {
        return Err(attr_error("`Upsample` with a scale below 1 is not defined"));
    }
    Ok(vec![b.resize(asymmetric(mode, NearestMode::Floor), x, None, Some(scales), None)?])
}

/// `Resize` 10: asymmetric coordinates. The text leaves open how `nearest` rounds; runtimes round down where an axis grows and up where it shrinks.
pub fn resize_10(b: &mut Builder<'_>, mut node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let mode = mode(&mut node)?;
    no_more(&node)?;
    let (x, scales) = (operand(&node, 0)?, operand(&node, 1)?);
    if mode != ResizeMode::Nearest {
        return Ok(vec![b.resize(asymmetric(mode, NearestMode::Floor), x, None, Some(scales), None)?]);
    }
    let values = b.graph().constant(scales).and_then(|t| t.to_f64s().ok());
    let values = values.ok_or_else(|| {
        Diag::error("E0303", "`Resize` of operator set 10 in mode `nearest` needs constant scales: its rounding depends on them")
    })?;
    let mut y = x;
    for (rounding, grows) in [(NearestMode::Floor, true), (NearestMode::Ceil, false)] {
        let part: Vec<f32> =
            values.iter().map(|s| if (*s >= 1.0) == grows { *s as f32 } else { 1.0 }).collect();
        if part.iter().any(|s| *s != 1.0) {
            let part = b.constant(Tensor::from_vec(&[part.len()], part));
            y = b.resize(asymmetric(mode, rounding), y, None, Some(part), None)?;
        }
    }
    if y == x {
        y = b.resize(asymmetric(mode, NearestMode::Floor), x, None, Some(scales), None)?;
    }
    Ok(vec![y])
}

/// `Resize` 11 has a coordinate mode of its own, `(x + 0.5) / scale`. Rounded down, that is `half_pixel` rounded to the nearest, half up.
pub fn tf_half_pixel(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    const ATTR: &str = "coordinate_transformation_mode";
    let is = |name: &str, word: &str| {
        node.attrs.iter().any(|(n, v)| n == name && matches!(v, Attr::Str(w) if w == word))
    };
    if !is(ATTR, "tf_half_pixel_for_nn") {
        return Ok(());
    }
    if !is("nearest_mode", "floor") || is("mode", "linear") || is("mode", "cubic") {
        let m = "`tf_half_pixel_for_nn` is supported with `mode` nearest and `nearest_mode` floor only";
        return Err(OpError::attr(m));
    }
    node.take(ATTR);
    node.take("nearest_mode");
    node.attrs.push((ATTR.to_owned(), Attr::Str("half_pixel".to_owned())));
    node.attrs.push(("nearest_mode".to_owned(), Attr::Str("round_prefer_ceil".to_owned())));
    Ok(())
}
