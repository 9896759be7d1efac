//! Rows of the float operators that optimized models carry: those of `com.microsoft`, and those that ONNX Runtime puts into ONNX's own
//! domain without ONNX having them.
#![expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "fixes have one signature")]
use super::bind::MICROSOFT;
use super::lift;
use super::row::{Arg, Fix, Foreign, Row, row_of, set_attr};
use Fix::{Build, Finish, If, OnRead, OnWrite, Spelled, Upgrade};
use hoist_ir::attr::Attr;
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::op::OpError;
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::arithmetic::{Add, Mul};
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::elementwise::unary::{Reciprocal, Sqrt};
use hoist_ir::ops::index::gather_nd::GatherNd;
use hoist_ir::ops::index::unique::Unique;
use hoist_ir::ops::movement::expand::Expand;
use hoist_ir::ops::movement::reshape::Reshape;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::reduce::reductions::ReduceMean;
use hoist_ir::ops::shape::range::Range;
use hoist_ir::ops::shape::shape::Shape;
use hoist_ir::tensor::Tensor;

/// Stands for operators of ONNX Runtime in ONNX's own domain: read, never written.
pub const UNLISTED: &str = "ai.onnx of onnxruntime";

const fn ms(op: &'static str, foreign: &'static str) -> Row {
    row_of(MICROSOFT, op, foreign)
}

const PRODUCT: Fix = Spelled(&["transA", "transB", "transBatchA", "transBatchB"]);

/// The rows.
pub const ROWS: &[Row] = &[
    ms("fused_mat_mul", "FusedMatMul").with(&[PRODUCT]),
    ms("fused_mat_mul", "TransposeMatMul").with(&[Upgrade(as_it_is), PRODUCT]),
    ms("fused_mat_mul_activation", "FusedMatMulActivation").with(&[PRODUCT]),
    ms("fused_gemm", "FusedGemm").with(&[PRODUCT]),
    ms("gemm_fast_gelu", "GemmFastGelu"),
    ms("fused_conv", "FusedConv"),
    ms("fused_conv", "NhwcFusedConv").with(&[Build(nhwc_fused_conv)]),
    ms("bias_add", "BiasAdd"),
    ms("bias_gelu", "BiasGelu"),
    ms("bias_softmax", "BiasSoftmax").with(&[If(softmax_says_how), Finish(softmax_required)]),
    ms("bias_split_gelu", "BiasSplitGelu"),
    ms("add", "BiasDropout").with(&[If(never_drops), Build(bias_dropout)]),
    ms("fast_gelu", "FastGelu"),
    ms("gelu", "Gelu").with(&[OnWrite(exact_gelu)]),
    ms("swish", "QuickGelu").with(&[OnRead(quick_gelu), Finish(swish_factor)]),
    ms("scaled_silu", "ScaledSiLU"),
    ms("c_dist", "CDist"),
    ms("crop_and_resize", "CropAndResize").with(&[If(single_data)]),
    ms("murmur_hash3", "MurmurHash3"),
    ms("n_gram_repeat_block", "NGramRepeatBlock").with(&[Finish(length_required)]),
    ms("inverse", "Inverse"),
    ms("skip_layer_normalization", "SkipLayerNormalization"),
    ms("skip_simplified_layer_normalization", "SkipSimplifiedLayerNormalization"),
    ms("embed_layer_normalization", "EmbedLayerNormalization"),
    ms("group_norm", "GroupNorm").with(&[Finish(group_norm_required)]),
    ms("skip_group_norm", "SkipGroupNorm").with(&[Finish(group_norm_required)]),
    ms("trilu", "Trilu"),
    ms("unsqueeze", "ExpandDims").with(&[Build(expand_dims)]),
    ms("range", "Range").with(&[Build(range)]),
    ms("pad", "Pad").with(&[Build(pad)]),
    ms("gather_nd", "GatherND").with(&[Build(gather_nd)]),
    ms("unique", "Unique").with(&[Build(unique)]),
    ms("grid_sample", "GridSample").with(&[Upgrade(lift::grid_words)]),
    ms("max_pool", "NhwcMaxPool").with(&[OnRead(channels_last), OnWrite(nhwc_max_pool), Finish(drop_layout)]),
    ms("conv_transpose", "ConvTransposeWithDynamicPads")
        .with(&[If(pads_are_constant), Upgrade(dynamic_pads)]),
    row_of(UNLISTED, "layer_normalization", "LayerNormalization").until(16).with(&[Upgrade(as_it_is)]),
    row_of(UNLISTED, "rms_normalization", "SimplifiedLayerNormalization").with(&[Build(simplified)]),
];

fn as_it_is(_: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    Ok(())
}

fn diag(e: OpError) -> Diag {
    Diag::error(e.code, e.message)
}

/// Operand `slot`, which must be there.
fn operand(node: &Foreign, slot: usize) -> Result<ValueId, Diag> {
    node.value(slot).ok_or_else(|| Diag::error("E0303", format!("operand {slot} is missing")))
}

fn rank(graph: &Graph, v: ValueId) -> Option<usize> {
    graph.ty(v).as_tensor()?.rank()
}

fn constant<'g>(node: &Foreign, graph: &'g Graph, slot: usize) -> Option<&'g Tensor> {
    graph.constant(node.value(slot)?)
}

/// The operator `name` with the attributes of `node`.
fn with_attrs(name: &str, node: &Foreign) -> Result<Op, Diag> {
    let mut op = Op::by_name(name).ok_or_else(|| Diag::error("E0901", format!("no operator `{name}`")))?;
    for (attr, value) in &node.attrs {
        set_attr(&mut op, attr, value).map_err(diag)?;
    }
    Ok(op)
}

/// `v` with these sizes.
fn reshaped(b: &mut Builder<'_>, v: ValueId, sizes: &[i64]) -> Result<ValueId, Diag> {
    let sizes = b.ints(sizes);
    b.reshape(Reshape { allowzero: false }, v, sizes)
}

/// Data and addend are `[N, H, W, C]`, weights as in `Conv`.
fn nhwc_fused_conv(b: &mut Builder<'_>, node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let op = with_attrs("fused_conv", &node)?;
    let x = operand(&node, 0)?;
    let Some(rank) = rank(b.graph(), x).filter(|r| *r > 2) else {
        return Err(Diag::error("E0305", "`NhwcFusedConv` needs data of known rank, at least 3"));
    };
    let last = rank as i64 - 1;
    let first = Transpose { perm: [0, last].into_iter().chain(1..last).collect() };
    let back = Transpose { perm: std::iter::once(0).chain(2..=last).chain([1]).collect() };
    let x = b.transpose(first.clone(), x)?;
    let z = node.value(3).map(|z| b.transpose(first, z)).transpose()?;
    let y = b.add(op, &[Some(x), Some(operand(&node, 1)?), node.value(2), z])?;
    Ok(vec![b.transpose(back, y[0])?])
}

/// The attribute that says how `bias` is stretched is required.
fn softmax_says_how(node: &Foreign, _: &Graph) -> bool {
    node.attrs.iter().any(|(n, _)| n == "is_inner_broadcast")
}

fn require(node: &mut Foreign, graph: &Graph, n: NodeId, names: &[&str]) {
    for name in names {
        if node.attrs.iter().any(|(k, _)| k == name) {
            continue;
        }
        let value = match graph.node(n).op().def().attr(name) {
            Some(Attr::Bool(v)) => Attr::Int(i64::from(v)),
            Some(value) => value,
            None => continue,
        };
        node.attrs.push(((*name).to_owned(), value));
    }
}

fn softmax_required(node: &mut Foreign, graph: &Graph, n: NodeId) {
    require(node, graph, n, &["is_inner_broadcast"]);
}

fn group_norm_required(node: &mut Foreign, graph: &Graph, n: NodeId) {
    require(node, graph, n, &["activation", "groups"]);
}

fn length_required(node: &mut Foreign, graph: &Graph, n: NodeId) {
    require(node, graph, n, &["ngram_size"]);
}

/// The factor of the IR's operator has another default.
fn swish_factor(node: &mut Foreign, graph: &Graph, n: NodeId) {
    require(node, graph, n, &["alpha"]);
}

fn quick_gelu(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    if !node.attrs.iter().any(|(n, _)| n == "alpha") {
        node.attrs.push(("alpha".to_owned(), Attr::Float(1.702)));
    }
    Ok(())
}

fn exact_gelu(graph: &Graph, n: NodeId, _: i64) -> Result<(), String> {
    match graph.node(n).op().def().attr("approximate") {
        Some(Attr::Word("none")) => Ok(()),
        _ => Err("an approximation".to_owned()),
    }
}

/// Whether the mode is surely inference.
fn never_drops(node: &Foreign, graph: &Graph) -> bool {
    let is_false = |t: &Tensor| t.to_bools().is_ok_and(|v| !v.contains(&true));
    node.value(4).is_none() || constant(node, graph, 4).is_some_and(is_false)
}

fn bias_dropout(b: &mut Builder<'_>, node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let data = operand(&node, 0)?;
    let mut y = b.plus(Add {}, data, operand(&node, 1)?)?;
    if let Some(residual) = node.value(2) {
        y = b.plus(Add {}, y, residual)?;
    }
    let mut all = vec![y];
    if node.outputs > 1 {
        let shape = b.shape(Shape::default(), data)?;
        let kept = b.constant(Tensor::from_bools(&[], vec![true]));
        all.push(b.expand(Expand {}, kept, shape)?);
    }
    Ok(all)
}

fn expand_dims(b: &mut Builder<'_>, node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let axes = if let Some(axis) = constant(&node, b.graph(), 1).and_then(Tensor::as_int) {
        b.ints(&[axis])
    } else {
        let axis = b.cast(Cast { to: DType::I64, ..Cast::default() }, operand(&node, 1)?)?;
        reshaped(b, axis, &[1])?
    };
    Ok(vec![b.unsqueeze(Unsqueeze {}, operand(&node, 0)?, axes)?])
}

/// The step is 1 unless given.
fn range(b: &mut Builder<'_>, node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let mut bounds = vec![operand(&node, 0)?, operand(&node, 1)?];
    bounds.push(match node.value(2) {
        Some(delta) => delta,
        None => b.scalar_like(1.0, bounds[0])?,
    });
    for v in &mut bounds {
        if rank(b.graph(), *v) == Some(1) {
            *v = reshaped(b, *v, &[])?;
        }
    }
    Ok(vec![b.range(Range::default(), bounds[0], bounds[1], bounds[2])?])
}

/// What ONNX Runtime computes on a processor.
fn single_data(node: &Foreign, graph: &Graph) -> bool {
    let ty = node.value(0).and_then(|x| graph.ty(x).as_tensor());
    ty.is_some_and(|t| matches!(t.dtype, DType::F16 | DType::F32))
}

/// Sizes may be a row `[1, 2 * rank]`.
fn pad(b: &mut Builder<'_>, node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let op = with_attrs("pad", &node)?;
    let mut pads = operand(&node, 1)?;
    if rank(b.graph(), pads) == Some(2) {
        pads = match constant(&node, b.graph(), 1).and_then(|t| t.to_i64s().ok()) {
            Some(list) => b.ints(&list),
            None => reshaped(b, pads, &[-1])?,
        };
    }
    let mut value = node.value(2);
    if let Some(v) = value
        && rank(b.graph(), v).is_some_and(|r| r > 0)
    {
        value = Some(reshaped(b, v, &[])?);
    }
    b.add(op, &[Some(operand(&node, 0)?), Some(pads), value])
}

fn gather_nd(b: &mut Builder<'_>, node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let mut indices = operand(&node, 1)?;
    if b.graph().ty(indices).as_tensor().is_some_and(|t| t.dtype != DType::I64) {
        indices = b.cast(Cast { to: DType::I64, ..Cast::default() }, indices)?;
    }
    Ok(vec![b.gather_nd(GatherNd::default(), operand(&node, 0)?, indices)?])
}

/// Distinct elements in order of first occurrence, which of them each position holds, and how often each occurs.
fn unique(b: &mut Builder<'_>, node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let op = Unique { axis: None, sorted: false };
    let all = b.add_n(op, &[Some(operand(&node, 0)?)], 4)?;
    let [y, _, inverse, counts] = all[..] else { return Ok(all) };
    Ok(vec![y, inverse, counts])
}

fn channels_last(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    node.attrs.push(("layout".to_owned(), Attr::Str("channels_last".to_owned())));
    Ok(())
}

fn nhwc_max_pool(graph: &Graph, n: NodeId, _: i64) -> Result<(), String> {
    let node = graph.node(n);
    let narrow =
        |v: ValueId| graph.ty(v).as_tensor().is_some_and(|t| matches!(t.dtype, DType::I8 | DType::U8));
    let last = node.op().def().attr("layout") == Some(Attr::Word("channels_last"));
    if last && node.outputs().len() == 1 && node.input(0).is_some_and(narrow) {
        return Ok(());
    }
    Err("anything but 8-bit integers with channels last".to_owned())
}

fn drop_layout(node: &mut Foreign, _: &Graph, _: NodeId) {
    node.take("layout");
    node.take("storage_order");
}

fn pads_are_constant(node: &Foreign, graph: &Graph) -> bool {
    node.value(2).is_none() || constant(node, graph, 2).is_some()
}

/// Operands are `X`, `W`, `Pads`, `B`.
fn dynamic_pads(node: &mut Foreign, graph: &Graph) -> Result<(), OpError> {
    if let Some(pads) = constant(node, graph, 2) {
        node.attrs.push(("pads".to_owned(), Attr::Ints(pads.to_i64s()?)));
    }
    let bias = node.inputs.get(3).cloned().unwrap_or(Arg::None);
    node.inputs.truncate(2);
    node.inputs.push(bias);
    Ok(())
}

/// Root-mean-square normalization; the second result is `1 / sqrt(mean(x^2) + epsilon)`.
fn simplified(b: &mut Builder<'_>, node: Foreign) -> Result<Vec<ValueId>, Diag> {
    let op = with_attrs("rms_normalization", &node)?;
    let x = operand(&node, 0)?;
    let (Some(Attr::Int(axis)), Some(Attr::Float(epsilon))) =
        (op.def().attr("axis"), op.def().attr("epsilon"))
    else {
        return Err(Diag::error("E0901", "an attribute of `rms_normalization` is missing"));
    };
    let mut all = b.add(op, &[Some(x), Some(operand(&node, 1)?)])?;
    if node.outputs > 1 {
        let last = match (axis, rank(b.graph(), x)) {
            (..0, _) => 0,
            (_, Some(rank)) => rank as i64,
            _ => return Err(Diag::error("E0305", "an axis counted from the front needs a known rank")),
        };
        let wide = b.cast(Cast { to: DType::F32, ..Cast::default() }, x)?;
        let square = b.mul(Mul {}, wide, wide)?;
        let axes = b.ints(&(axis..last).take(64).collect::<Vec<_>>());
        let mean = b.reduce_mean(ReduceMean::default(), square, Some(axes))?;
        let epsilon = b.scalar(epsilon);
        let sum = b.plus(Add {}, mean, epsilon)?;
        let root = b.sqrt(Sqrt {}, sum)?;
        all.push(b.reciprocal(Reciprocal {}, root)?);
    }
    Ok(all)
}
