//! The named fix-ups of the rows: what older or implicit forms mean in the IR's terms.
use super::dtype::since_opset;
use super::row::{Arg, Foreign};
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::op::OpError;
use hoist_ir::ops::Op;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;

fn rank_of(node: &Foreign, slot: usize, graph: &Graph) -> Option<usize> {
    graph.ty(node.value(slot)?).as_tensor()?.rank()
}

/// `Clip` before 11: bounds default to the ends of the `float` range, which is no bound but for infinities.
pub fn clip_bounds(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    for (name, default) in [("min", f32::MIN), ("max", f32::MAX)] {
        if !node.attrs.iter().any(|(n, _)| n == name) {
            node.attrs.push((name.to_owned(), Attr::Float(default)));
        }
    }
    Ok(())
}

/// `Softmax`, `LogSoftmax`, `Hardmax` before 13: the axes from `axis` (default 1) on are taken together.
pub fn flattened_softmax(b: &mut Builder<'_>, mut node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let at = |e: OpError| Diag::error(e.code, e.message);
    let axis = node.take_int("axis", 1).map_err(at)?;
    let name = match node.op_type.as_str() {
        "Softmax" => "softmax",
        "LogSoftmax" => "log_softmax",
        _ => "hardmax",
    };
    let missing = || Diag::error("E0303", format!("`{}` has no operand", node.op_type));
    let x = node.value(0).ok_or_else(missing)?;
    let rank = b.graph().ty(x).as_tensor().and_then(hoist_ir::types::TensorType::rank);
    let op = |axis: i64| -> Result<Op, Diag> {
        let mut op = Op::by_name(name).ok_or_else(|| Diag::error("E0901", "unknown op"))?;
        op.def_mut().set_attr("axis", &Attr::Int(axis)).map_err(at)?;
        Ok(op)
    };
    if rank.is_some_and(|r| axis == -1 || axis.checked_add(1) == Some(r as i64)) {
        return b.add(op(-1)?, &[Some(x)]);
    }
    let mut flatten = Op::by_name("flatten").ok_or_else(|| Diag::error("E0901", "unknown op"))?;
    flatten.def_mut().set_attr("axis", &Attr::Int(axis)).map_err(at)?;
    let by_name = |n: &str| Op::by_name(n).ok_or_else(|| Diag::error("E0901", "unknown op"));
    let mut reshape = by_name("reshape")?;
    reshape.def_mut().set_attr("allowzero", &Attr::Bool(true)).map_err(at)?;
    let flat = b.add(flatten, &[Some(x)])?;
    let soft = b.add(op(1)?, &[Some(flat[0])])?;
    let shape = b.add(by_name("shape")?, &[Some(x)])?;
    b.add(reshape, &[Some(soft[0]), Some(shape[0])])
}

/// `Gemm` before 11 has no optional bias.
pub fn gemm_needs_bias(graph: &Graph, n: NodeId, opset: i64) -> Result<(), String> {
    let has = graph.node(n).input(2).is_some();
    if opset < 11 && !has { Err("no bias operand (optional since opset 11)".to_owned()) } else { Ok(()) }
}

/// `Resize` 11 and 12 give an empty `roi` or `scales` where later versions leave it out; `sizes` counts then.
pub fn resize_operands(node: &mut Foreign, graph: &Graph) -> Result<(), OpError> {
    for slot in 1..node.inputs.len() {
        let empty = |v: ValueId| {
            graph.ty(v).as_tensor().and_then(hoist_ir::types::TensorType::sizes).is_some_and(|s| s == [0])
        };
        if node.value(slot).is_some_and(empty) {
            node.inputs[slot] = Arg::None;
        }
    }
    Ok(())
}

/// `LSTM`, `GRU` and `RNN`: runtimes want `hidden_size`, which is the last size of the recurrent weights.
pub fn say_hidden_size(node: &mut Foreign, graph: &Graph, n: NodeId) {
    let recurrent =
        graph.node(n).input(2).and_then(|r| graph.ty(r).as_tensor()).and_then(|t| t.shape.as_ref());
    let size = recurrent.and_then(|s| s.last()?.known()).and_then(|h| i64::try_from(h).ok());
    let given = node.attrs.iter().any(|(name, _)| name == "hidden_size");
    if let Some(size) = size.filter(|_| !given) {
        node.attrs.push(("hidden_size".to_owned(), Attr::Int(size)));
    }
}

/// `Resize` 11 and 12 want the region, and want scales or sizes given as empty where they are left out.
pub fn fill_resize(node: &mut Foreign, _: &Graph, _: NodeId) {
    for slot in 1..=2 {
        if node.opset < 13 && matches!(node.inputs.get(slot), Some(Arg::None)) {
            node.inputs[slot] = Arg::Const(Tensor::from_vec::<f32>(&[0], vec![]));
        }
    }
}

const GRID_WORDS: [(&str, &str); 2] = [("bilinear", "linear"), ("bicubic", "cubic")];

/// `GridSample` 16 names its modes after two dimensions.
pub fn grid_words(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    for (name, value) in &mut node.attrs {
        if let (true, Attr::Str(w)) = (name == "mode", &value) {
            let new = GRID_WORDS.iter().find(|(old, _)| old == w);
            if let Some((_, new)) = new {
                *value = Attr::Str((*new).to_owned());
            }
        }
    }
    Ok(())
}

/// The reverse of [`grid_words`].
pub fn grid_words_back(node: &mut Foreign, _: &Graph, _: NodeId) {
    for (name, value) in &mut node.attrs {
        if let (true, Attr::Str(w)) = (name == "mode", &value) {
            let old = GRID_WORDS.iter().find(|(_, new)| new == w);
            if let Some((old, _)) = old {
                *value = Attr::Str((*old).to_owned());
            }
        }
    }
}

/// No difference.
pub fn nothing(_: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    Ok(())
}

/// Before 13 the axes from `axis` on are taken together, which is the same only for the last.
pub fn last_axis(graph: &Graph, n: NodeId, _: i64) -> Result<(), String> {
    let node = graph.node(n);
    let rank =
        node.input(0).and_then(|x| graph.ty(x).as_tensor()).and_then(hoist_ir::types::TensorType::rank);
    match (node.op().def().attr("axis"), rank) {
        (Some(Attr::Int(-1)), _) => Ok(()),
        (Some(Attr::Int(axis)), Some(rank)) if axis + 1 == rank as i64 => Ok(()),
        _ => Err("an axis that is not the last (since opset 13)".to_owned()),
    }
}

/// The default axis was another one.
pub fn say_axis(node: &mut Foreign, _: &Graph, _: NodeId) {
    node.take("axis");
    node.attrs.push(("axis".to_owned(), Attr::Int(-1)));
}

/// `RoiAlign` before 16 takes coordinates as they are.
pub fn roi_without_shift(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    let word = Attr::Str("output_half_pixel".to_owned());
    node.attrs.push(("coordinate_transformation_mode".to_owned(), word));
    Ok(())
}

/// Before 16, `RoiAlign` does not shift coordinates.
pub fn roi_is_not_shifted(graph: &Graph, n: NodeId, _: i64) -> Result<(), String> {
    match graph.node(n).op().def().attr("coordinate_transformation_mode") {
        Some(Attr::Word("output_half_pixel")) => Ok(()),
        _ => Err("coordinates shifted by half a pixel (since opset 16)".to_owned()),
    }
}

/// Before 16, `RoiAlign` has no mode of coordinates.
pub fn drop_roi_shift(node: &mut Foreign, _: &Graph, _: NodeId) {
    node.take("coordinate_transformation_mode");
}

/// `BatchNormalization` before 9 has `spatial`, which is 1 here.
pub fn batch_norm_by_channel(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    node.take_int("spatial", 1).map(drop)
}

/// Floats have only C's remainder (`fmod`) before opset 28.
pub fn float_remainder_since_28(graph: &Graph, n: NodeId, opset: i64) -> Result<(), String> {
    let node = graph.node(n);
    let float = node.input(0).and_then(|x| graph.ty(x).as_tensor()).is_some_and(|t| t.dtype.is_float());
    if opset < 28 && float && node.op().def().attr("fmod") == Some(Attr::Bool(false)) {
        return Err("a floored remainder of floats (since opset 28)".to_owned());
    }
    Ok(())
}

/// 16-bit integers are quantized types since opset 21.
pub fn sixteen_bit_since_21(graph: &Graph, n: NodeId, opset: i64) -> Result<(), String> {
    let node = graph.node(n);
    let values = node.inputs().iter().flatten().chain(node.outputs());
    let wide =
        |v: &ValueId| graph.ty(*v).as_tensor().is_some_and(|t| matches!(t.dtype, DType::I16 | DType::U16));
    if opset < 21 && values.into_iter().any(wide) {
        return Err("16-bit quantization (since opset 21)".to_owned());
    }
    Ok(())
}

/// Before 13 there is one scale for all.
pub fn per_axis_since_13(graph: &Graph, n: NodeId, opset: i64) -> Result<(), String> {
    let scale = graph.node(n).input(1).and_then(|v| graph.ty(v).as_tensor());
    let one = scale.is_some_and(|t| {
        t.rank() == Some(0)
            || t.sizes().is_some_and(|s| s.iter().copied().fold(1, usize::saturating_mul) == 1)
    });
    if opset < 13 && !one { Err("scales along an axis (since opset 13)".to_owned()) } else { Ok(()) }
}

fn bf16_result(graph: &Graph, n: NodeId, opset: i64, since: i64) -> Result<(), String> {
    let is = |v: &ValueId| graph.ty(*v).as_tensor().is_some_and(|t| t.dtype == DType::BF16);
    if opset < since && graph.node(n).outputs().iter().any(is) {
        return Err(format!("a result of bf16 (since opset {since})"));
    }
    Ok(())
}

/// `ConstantOfShape` knows `bf16` since 20.
pub fn bf16_result_since_20(graph: &Graph, n: NodeId, opset: i64) -> Result<(), String> {
    bf16_result(graph, n, opset, 20)
}

/// `EyeLike` knows `bf16` since 22.
pub fn bf16_result_since_22(graph: &Graph, n: NodeId, opset: i64) -> Result<(), String> {
    bf16_result(graph, n, opset, 22)
}

/// Without `perm`, the rank of the operand must be known.
pub fn perm_is_known(node: &Foreign, graph: &Graph) -> bool {
    node.attrs.iter().any(|(n, _)| n == "perm") || rank_of(node, 0, graph).is_some()
}

/// ONNX leaves `perm` out to mean "reversed".
pub fn full_perm(node: &mut Foreign, graph: &Graph) -> Result<(), OpError> {
    if node.attrs.iter().any(|(n, _)| n == "perm") {
        return Ok(());
    }
    let unknown = || OpError::shape("`Transpose` without `perm` needs an operand of known rank");
    let rank = rank_of(node, 0, graph).ok_or_else(unknown)? as i64;
    node.attrs.push(("perm".to_owned(), Attr::Ints((0..rank).rev().collect())));
    Ok(())
}

/// `Concat` before 4 joins along axis 1 unless told otherwise.
pub fn concat_axis(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    if !node.attrs.iter().any(|(n, _)| n == "axis") {
        node.attrs.push(("axis".to_owned(), Attr::Int(1)));
    }
    Ok(())
}

/// Without sizes, `Split` before 18 cuts into as many equal parts as it has results.
pub fn split_count(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    let has_sizes =
        node.inputs.get(1).is_some_and(|a| *a != Arg::None) || node.attrs.iter().any(|(n, _)| n == "split");
    let counted = node.attrs.iter().any(|(n, _)| n == "num_outputs");
    if !has_sizes && !counted {
        node.attrs.push(("num_outputs".to_owned(), Attr::Int(node.outputs as i64)));
    }
    Ok(())
}

/// Before 18, a `Split` without sizes must cut evenly.
pub fn splits_evenly(graph: &Graph, n: NodeId, _: i64) -> Result<(), String> {
    let node = graph.node(n);
    if node.input(1).is_some() {
        return Ok(());
    }
    let uneven = || "a split into parts that may be uneven (since opset 18)".to_owned();
    let Some(Attr::Int(axis)) = node.op().def().attr("axis") else { return Err(uneven()) };
    let shape = node
        .input(0)
        .and_then(|x| graph.ty(x).as_tensor())
        .and_then(|t| t.shape.clone())
        .ok_or_else(uneven)?;
    let axis = hoist_ir::infer::resolve_axis(axis, shape.len()).map_err(|e| e.message)?;
    let size = shape[axis].known().ok_or_else(uneven)?;
    if size.is_multiple_of(node.outputs().len().max(1) as u64) { Ok(()) } else { Err(uneven()) }
}

/// Before 18 there is no `num_outputs`.
pub fn drop_split_count(node: &mut Foreign, _: &Graph, _: NodeId) {
    node.take("num_outputs");
}

/// `Slice` before 10 has no steps.
pub fn unit_steps(graph: &Graph, n: NodeId, _: i64) -> Result<(), String> {
    match graph.node(n).input(4) {
        None => Ok(()),
        Some(v) if graph.const_ints(Some(v)).is_some_and(|s| s.iter().all(|v| *v == 1)) => Ok(()),
        Some(_) => Err("steps (since opset 10)".to_owned()),
    }
}

/// `LSTM`, `GRU`, `RNN` before 7: `output_sequence` says whether the first result is wanted, which the node's results say too.
pub fn sequence_output(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    node.take_int("output_sequence", 0).map(drop)
}

/// `DFT` 17: the axis defaults to 1, not to the last but one.
pub fn dft_axis(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    if !node.attrs.iter().any(|(n, _)| n == "axis") {
        node.attrs.push(("axis".to_owned(), Attr::Int(1)));
    }
    Ok(())
}

/// Writing for [`dft_axis`].
pub fn dft_axis_back(node: &mut Foreign, _: &Graph, _: NodeId) {
    if !node.attrs.iter().any(|(n, _)| n == "axis") {
        node.attrs.push(("axis".to_owned(), Attr::Int(-2)));
    }
}

/// Types of the operands, captured ones apart, and results of node `n`.
fn own_types(graph: &Graph, n: NodeId) -> impl Iterator<Item = &Type> {
    let node = graph.node(n);
    let formal = node.inputs().len() - node.captures();
    node.inputs()[..formal].iter().flatten().chain(node.outputs()).map(|v| graph.ty(*v))
}

/// `Identity`, `If` and `Loop` took tensors only, then sequences too (since 13; `Identity` since 14), and optional values since 16.
pub fn containers_came_later(graph: &Graph, n: NodeId, opset: i64) -> Result<(), String> {
    let sequences = if graph.node(n).op().name() == "identity" { 14 } else { 13 };
    for ty in own_types(graph, n) {
        let (what, since) = match ty {
            Type::Sequence(_) => ("sequences", sequences),
            Type::Optional(_) => ("optional values", 16),
            _ => continue,
        };
        if opset < since {
            return Err(format!("{what} (since opset {since})"));
        }
    }
    Ok(())
}

/// The operators on sequences know the element types of operator set 9 only.
pub fn plain_elements(graph: &Graph, n: NodeId, _: i64) -> Result<(), String> {
    for ty in own_types(graph, n) {
        let Type::Sequence(inner) = ty else { continue };
        let plain = |d: DType| since_opset(d) < 13 && d != DType::BF16;
        if let Some(t) = inner.as_tensor().filter(|t| !plain(t.dtype)) {
            return Err(format!("sequences of {}", t.dtype));
        }
    }
    Ok(())
}

/// Before 18, `OptionalGetElement` and `OptionalHasElement` need an operand of an optional type.
pub fn only_optionals_before_18(graph: &Graph, n: NodeId, opset: i64) -> Result<(), String> {
    let operand = graph.node(n).input(0).map(|v| graph.ty(v));
    if opset < 18 && !matches!(operand, Some(Type::Optional(_))) {
        return Err("an operand that is no optional value (since opset 18)".to_owned());
    }
    Ok(())
}

/// `Scan` 8 with lengths of sequences leaves what lies behind them undefined, so it passes through.
pub fn scan_has_no_lengths(node: &Foreign, _: &Graph) -> bool {
    node.value(0).is_none()
}

/// `Scan` 8 has the lengths of sequences in front, and other names of attributes. The reader adds its batch axis.
pub fn scan_8(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    if !node.inputs.is_empty() {
        node.inputs.remove(0);
    }
    if let Some(directions) = node.take("directions") {
        node.attrs.push(("scan_input_directions".to_owned(), directions));
    }
    Ok(())
}

/// ONNX Runtime wants `pattern` said.
pub fn say_pattern(node: &mut Foreign, _: &Graph, _: NodeId) {
    if !node.attrs.iter().any(|(name, _)| name == "pattern") {
        node.attrs.push(("pattern".to_owned(), Attr::Str(String::new())));
    }
}
