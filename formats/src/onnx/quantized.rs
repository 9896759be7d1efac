//! Fixes of the rows of ONNX Runtime's quantized operators.
use super::bind::MICROSOFT;
use super::row::{Fix, Foreign, Row, row_of};
use Fix::{Finish, If, OnRead, OnWrite, Spelled};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::{DType, DTypeSet};
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::op::OpError;

/// Rows of the quantized operators.
pub const ROWS: &[Row] = &[
    row_of(MICROSOFT, "dynamic_quantize_mat_mul", "DynamicQuantizeMatMul"),
    row_of(MICROSOFT, "dynamic_quantize_lstm", "DynamicQuantizeLSTM").with(&[If(equal_lengths)]),
    row_of(MICROSOFT, "gather_block_quantized", "GatherBlockQuantized"),
    row_of(MICROSOFT, "q_embed_layer_normalization", "QEmbedLayerNormalization"),
    row_of(MICROSOFT, "q_linear_add", "QLinearAdd"),
    row_of(MICROSOFT, "q_linear_leaky_relu", "QLinearLeakyRelu"),
    row_of(MICROSOFT, "q_linear_mul", "QLinearMul"),
    row_of(MICROSOFT, "q_linear_sigmoid", "QLinearSigmoid"),
    row_of(MICROSOFT, "q_linear_softmax", "QLinearSoftmax"),
    row_of(MICROSOFT, "q_linear_where", "QLinearWhere"),
    row_of(MICROSOFT, "quantize_linear", "QuantizeLinear").with(&[OnWrite(plain_quantization)]),
    row_of(MICROSOFT, "dequantize_linear", "DequantizeLinear").with(&[OnWrite(plain_quantization)]),
    row_of(MICROSOFT, "q_linear_conv", "QLinearConv").with(CHANNELS_LAST),
    row_of(MICROSOFT, "q_linear_average_pool", "QLinearAveragePool").with(CHANNELS_LAST),
    row_of(MICROSOFT, "q_linear_global_average_pool", "QLinearGlobalAveragePool").with(CHANNELS_LAST),
    row_of(MICROSOFT, "q_linear_concat", "QLinearConcat").with(&[Finish(axis_is_required)]),
    row_of(MICROSOFT, "q_gemm", "QGemm").with(&[Spelled(&["transA", "transB"])]),
    row_of(MICROSOFT, "mat_mul_integer16", "MatMulInteger16").with(&[If(signed_operands)]),
    row_of(MICROSOFT, "mat_mul_integer_to_float", "MatMulIntegerToFloat").with(&[If(single_precision_scale)]),
    row_of(MICROSOFT, "mat_mul_n_bits", "MatMulNBits").with(&[If(portable_weights), Spelled(&["N", "K"])]),
    row_of(MICROSOFT, "mat_mul_bnb4", "MatMulBnb4")
        .with(&[If(transposed_weights), Spelled(&["N", "K", "transB"])]),
];

/// ONNX Runtime's word for the layout of data.
const CHANNELS_LAST: &[Fix] = &[OnRead(layout_of_channels_last), Finish(channels_last_of_layout)];

fn dtype(node: &Foreign, graph: &Graph, slot: usize) -> Option<DType> {
    graph.ty(node.value(slot)?).as_tensor().map(|t| t.dtype)
}

fn int(node: &Foreign, name: &str) -> Option<i64> {
    node.attrs
        .iter()
        .find(|(n, _)| n == name)
        .and_then(|(_, v)| if let Attr::Int(v) = v { Some(*v) } else { None })
}

/// `channels_last` is the IR's `layout`.
pub fn layout_of_channels_last(node: &mut Foreign, _: &Graph) -> Result<(), OpError> {
    if node.take_int("channels_last", 0)? != 0 {
        node.attrs.push(("layout".to_owned(), Attr::Str("channels_last".to_owned())));
    }
    Ok(())
}

/// Writes `layout` as `channels_last`.
pub fn channels_last_of_layout(node: &mut Foreign, _: &Graph, _: NodeId) {
    if node.take("layout").is_some() {
        node.attrs.push(("channels_last".to_owned(), Attr::Int(1)));
    }
}

/// `axis` has no default in ONNX Runtime.
pub fn axis_is_required(node: &mut Foreign, graph: &Graph, n: NodeId) {
    if int(node, "axis").is_none()
        && let Some(axis) = graph.node(n).op().def().attr("axis")
    {
        node.attrs.push(("axis".to_owned(), axis));
    }
}

/// The vendor's forms of `QuantizeLinear` and `DequantizeLinear` have one attribute, `axis`, and fewer element types.
pub fn plain_quantization(graph: &Graph, n: NodeId, _: i64) -> Result<(), String> {
    const TYPES: DTypeSet = DTypeSet::of(&[
        DType::I8,
        DType::U8,
        DType::I16,
        DType::U16,
        DType::I4,
        DType::U4,
        DType::I32,
        DType::F32,
        DType::F16,
    ]);
    let node = graph.node(n);
    if let Some((name, value)) = node.op().set_attrs().into_iter().find(|(name, _)| *name != "axis") {
        return Err(format!("`{name}` = {value}"));
    }
    for v in node.inputs().iter().flatten().chain(node.outputs()) {
        if let Some(t) = graph.ty(*v).as_tensor().filter(|t| !TYPES.contains(t.dtype)) {
            return Err(format!("{} data", t.dtype));
        }
    }
    Ok(())
}

/// 16-bit products have a verified meaning for signed operands alone.
pub fn signed_operands(node: &Foreign, graph: &Graph) -> bool {
    (0..2).all(|i| dtype(node, graph, i) == Some(DType::I16))
}

/// The scale of the left operand is one `f32`.
pub fn single_precision_scale(node: &Foreign, graph: &Graph) -> bool {
    let many = |v| {
        graph
            .ty(v)
            .as_tensor()
            .and_then(|t| t.sizes())
            .is_some_and(|s| s.iter().copied().fold(1, usize::saturating_mul) != 1)
    };
    dtype(node, graph, 2) == Some(DType::F32) && !node.value(2).is_some_and(many)
}

/// Weights in the layout of a device, and `g_idx` together with packed zero points, have no agreed meaning.
pub fn portable_weights(node: &Foreign, graph: &Graph) -> bool {
    let packed = dtype(node, graph, 3) == Some(DType::U8);
    int(node, "weight_prepacked").unwrap_or(0) == 0 && !(packed && node.value(4).is_some())
}

/// Weights that are not transposed are for training only.
pub fn transposed_weights(node: &Foreign, _: &Graph) -> bool {
    int(node, "transB").unwrap_or(1) == 1
}

/// Sequences of different lengths have no agreed meaning.
pub fn equal_lengths(node: &Foreign, _: &Graph) -> bool {
    node.value(4).is_none()
}
