#!/usr/bin/env python3
"""Writes small ONNX files that use forms of operators as old operator sets have them.

    old_opsets.py OUT_FOLDER

Each file holds its inputs and expected outputs in its metadata, as text. From operator set 7 on, the expected outputs are those of ONNX
Runtime (made with 1.32 and onnx 1.23); for older sets, which it does not run, they are numpy's, written down here from the text of
the operators. Files whose name starts with `refused_` have no fixed meaning and must be refused.
"""
import os
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import helper

onnxruntime.set_default_logger_severity(3)
RNG = np.random.default_rng(5)
TYPES = {"float32": "f32", "float64": "f64", "float16": "f16", "int64": "i64", "int32": "i32", "bool": "bool", "uint8": "u8", "int8": "i8"}


def f32(*shape, low=-2.0, high=2.0):
    return RNG.uniform(low, high, shape).astype(np.float32)


def ints(*values):
    return np.array(values, np.int64)


def literal(name, a):
    def one(v):
        if a.dtype == bool:
            return "true" if v else "false"
        if a.dtype.kind in "iu":
            return str(v)
        text = repr(float(v))
        return text
    shape = ", ".join(str(n) for n in a.shape)
    return f"{name}: {TYPES[str(a.dtype)]}[{shape}] [{', '.join(one(v) for v in a.ravel())}]"


class Files:
    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)

    def add(self, op, opset, inputs, want=None, consts=(), outputs=1, label="", refused=False, tail=(), **attrs):
        """One node; `inputs` are arrays or None, those numbered in `consts` become initializers; `want` is what numpy says."""
        names, given, inits = [], [], []
        for i, a in enumerate(inputs):
            if a is None:
                names.append("")
            elif i in consts:
                names.append(f"c{i}")
                inits.append(onnx.numpy_helper.from_array(a, f"c{i}"))
            else:
                names.append(f"x{i}")
                given.append((f"x{i}", a))
        info = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in given]
        if opset < 9:
            info += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in inits]
        results = [f"y{i}" for i in range(outputs)]
        node = helper.make_node(op, names, results, name=op, **attrs)
        shown = [helper.make_tensor_value_info(r, onnx.TensorProto.UNDEFINED, None) for r in results]
        for s in shown:
            s.ClearField("type")
        graph = helper.make_graph([node, *tail], f"{op}_{opset}", info, shown, inits)
        model = helper.make_model(graph, producer_name="", opset_imports=[helper.make_opsetid("", opset)])
        model.ir_version = 3 if opset < 9 else 6
        if not refused:
            want = self.runtime(model, dict(given)) if want is None else want
            props = {f"input{i}": literal(n, a) for i, (n, a) in enumerate(given)}
            props |= {f"output{i}": literal(f"y{i}", np.asarray(a)) for i, a in enumerate(want)}
            helper.set_model_props(model, props)
        name = f"{'refused_' if refused else ''}{op.lower()}_{opset}{'_' + label if label else ''}.onnx"
        path = os.path.join(self.folder, name)
        assert not os.path.exists(path), path
        with open(path, "wb") as f:
            f.write(model.SerializeToString(deterministic=True))

    def runtime(self, model, inputs):
        # The runtime wants types of outputs.
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        copy = onnx.shape_inference.infer_shapes(copy)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return onnxruntime.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, inputs)


def along(b, a, axis):
    return b.reshape(b.shape + (1,) * (a.ndim - axis - b.ndim))


def legacy_broadcast(files):
    a, b, row = f32(2, 3, 4), f32(3, low=0.5), f32(4, low=0.5)
    for op, f in [("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply), ("Div", np.divide)]:
        files.add(op, 6, [a, b], [f(a, along(b, a, 1))], label="axis", broadcast=1, axis=1)
        files.add(op, 1, [a, row], [f(a, row)], label="last", broadcast=1, consumed_inputs=[0, 0])
    base = np.abs(a)
    files.add("Pow", 1, [base, b], [np.power(base, along(b, a, 1))], broadcast=1, axis=1)
    for op, f in [("And", np.logical_and), ("Or", np.logical_or), ("Xor", np.logical_xor)]:
        p, q = a > 0, f32(2, 3) > 0
        files.add(op, 1, [p, q], [f(p, along(q, p, 0))], broadcast=1, axis=0)
    for op, f in [("Greater", np.greater), ("Less", np.less)]:
        files.add(op, 1, [a, b], [f(a, along(b, a, 1))], broadcast=1, axis=-2)
    i, j = RNG.integers(0, 3, (2, 3)).astype(np.int32), np.array([1, 2], np.int32)
    files.add("Equal", 1, [i, j], [i == j[:, None]], broadcast=1, axis=0)
    files.add("Add", 6, [a, b], refused=True, label="axis", broadcast=1, axis=2)
    slope = f32(3)
    files.add("PRelu", 6, [a, slope], [np.where(a < 0, a * slope[:, None], a)])
    files.add("PRelu", 1, [a, slope[:1]], [np.where(a < 0, a * slope[0], a)], label="one", consumed_inputs=[0])
    files.add("PRelu", 7, [a, slope[:, None]])
    x, y, c = f32(2, 3), f32(4, 3), f32(4)
    files.add("Gemm", 6, [x, y, c], [2 * x @ y.T + 0.5 * c], transB=1, alpha=2.0, beta=0.5, broadcast=1)
    files.add("Gemm", 7, [x, y, c], transB=1)
    for op, f in [("Max", np.maximum), ("Min", np.minimum), ("Sum", np.add)]:
        files.add(op, 1, [a, -a], [f(a, -a)], consumed_inputs=[0, 0])
        files.add(op, 8, [a, row])
    files.add("Mean", 6, [a, -a * 3], [(a + -a * 3) / 2])


def attributes_that_became_operands(files):
    a = f32(2, 3, 4)
    files.add("Clip", 6, [a], [np.clip(a, -1, 1)], min=-1.0, max=1.0)
    files.add("Clip", 7, [a], label="below", max=0.5)
    files.add("Reshape", 1, [a], [a.reshape(2, 12)], shape=[0, -1], consumed_inputs=[0])
    files.add("Reshape", 5, [a, ints(4, 6)], consts=[1])
    files.add("Squeeze", 1, [a[:, :1]], [a[:, 0]], axes=[1])
    files.add("Unsqueeze", 7, [a], axes=[0, 3])
    files.add("Slice", 1, [a], [a[:, 1:3, :-1]], axes=[1, 2], starts=[1, 0], ends=[3, -1])
    files.add("Slice", 9, [a], label="all", starts=[0, 1, 2], ends=[1, 3, 100])
    files.add("Slice", 10, [a, ints(3), ints(0), ints(2), ints(-2)], consts=[1, 2, 3, 4])
    files.add("Split", 2, [a], list(np.split(a, [1, 3], 2)), outputs=3, axis=2, split=[1, 2, 1])
    files.add("Split", 1, [a, np.array([1, 3], np.float32)], list(np.split(a, [1], 2)), consts=[1], outputs=2, axis=2)
    files.add("Split", 1, [a], list(np.split(a, 2, 2)), label="even", outputs=2, axis=2)
    files.add("Split", 1, [a], refused=True, label="axis", outputs=2)
    files.add("Split", 11, [a], outputs=2, axis=-1)
    files.add("Split", 13, [a, ints(3, 1)], consts=[1], outputs=2, axis=-1)
    files.add("Pad", 1, [a], [np.pad(a, [(0, 0), (1, 2), (0, 1)], constant_values=0.5)], paddings=[0, 1, 0, 0, 2, 1], value=0.5)
    files.add("Pad", 2, [a], [np.pad(a, [(0, 0), (1, 1), (2, 0)], "reflect")], mode="reflect", pads=[0, 1, 2, 0, 1, 0])
    files.add("Pad", 7, [a], mode="edge", pads=[0, 1, 2, 0, 1, 0])
    files.add("Tile", 1, [a, np.array(2, np.float32), np.array(1, np.float32)], [np.tile(a, (1, 2, 1))], consts=[1, 2])
    files.add("Tile", 6, [a, ints(1, 2, 2)], [np.tile(a, (1, 2, 2))], consts=[1])
    files.add("TopK", 1, [a], [np.sort(a)[..., ::-1][..., :2], np.argsort(-a)[..., :2]], outputs=2, k=2)
    files.add("TopK", 10, [a, ints(2)], consts=[1], outputs=2, axis=1)
    files.add("Dropout", 6, [a], [a], is_test=1, ratio=0.3)
    files.add("Dropout", 7, [a], ratio=0.3)
    # What an unused mask holds was left open.
    files.add("Dropout", 10, [a], [a, np.ones(a.shape, bool)], label="mask", outputs=2)
    for op in ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceSumSquare"]:
        files.add(op, 11, [a], axes=[-1, 0], keepdims=0)
    files.add("ReduceLogSum", 7, [np.abs(a)], axes=[1])
    files.add("ReduceSum", 1, [a], [a.sum(keepdims=True)])
    files.add("ArgMax", 7, [a], axis=1, keepdims=0)
    files.add("ArgMin", 1, [a], [a.argmin(0)[None]])


def names_and_defaults(files):
    a = f32(2, 3, 4)
    files.add("Cast", 1, [a], [a.astype(np.int32)], to="INT32")
    files.add("Cast", 1, [a], label="double", want=[a.astype(np.float64)], to="DOUBLE")
    files.add("Cast", 1, [a], refused=True, label="name", to="FLAOT")
    files.add("Cast", 6, [a], [a.astype(np.int64)], to=7)
    files.add("Concat", 1, [a, a], [np.concatenate([a, a], 1)])
    files.add("Concat", 4, [a, a], [np.concatenate([a, a], 2)], axis=2)
    selu = lambda al, g: g * np.where(a > 0, a, al * (np.exp(a) - 1))
    files.add("Selu", 1, [a], [selu(1.6732, 1.0507).astype(np.float32)], consumed_inputs=[0])
    files.add("Selu", 6, [a], [selu(1.6732632, 1.050701).astype(np.float32)])
    for op in ["Elu", "LeakyRelu", "HardSigmoid", "Relu", "Sigmoid", "Tanh", "Exp", "Abs", "Neg", "Floor", "Ceil", "Reciprocal"]:
        f = {"Elu": lambda v: np.where(v > 0, v, np.exp(v) - 1), "LeakyRelu": lambda v: np.where(v < 0, np.float32(0.01) * v, v),
             "HardSigmoid": lambda v: np.clip(0.2 * v + 0.5, 0, 1), "Relu": lambda v: np.maximum(v, 0), "Sigmoid": lambda v: 1 / (1 + np.exp(-v)),
             "Tanh": np.tanh, "Exp": np.exp, "Abs": np.abs, "Neg": np.negative, "Floor": np.floor, "Ceil": np.ceil, "Reciprocal": np.reciprocal}[op]
        files.add(op, 1, [a], [f(a).astype(np.float32)], consumed_inputs=[0])
    for op in ["Softmax", "LogSoftmax", "Hardmax"]:
        files.add(op, 7, [a])
        files.add(op, 11, [a], label="first", axis=0)
        files.add(op, 11, [a], label="last", axis=-1)
        files.add(op, 11, [a], label="middle", axis=-2)
        files.add(op, 13, [a], axis=1)
    files.add("Flatten", 1, [a], [a.reshape(1, 24)], axis=0)
    files.add("Upsample", 1, [f32(1, 2, 2, 2)], refused=True, label="shrinks", height_scale=0.5, width_scale=2.0)


def images(files):
    x = f32(1, 2, 4, 5)
    files.add("Upsample", 1, [x], [x.repeat(2, 2).repeat(3, 3)], height_scale=2.0, width_scale=3.0)
    files.add("Upsample", 7, [x], mode="linear", scales=[1.0, 1.0, 2.0, 1.5])
    files.add("Upsample", 7, [x], label="nearest", scales=[1.0, 1.0, 1.7, 2.5])
    scales = np.array([1, 1, 1.5, 0.6], np.float32)
    files.add("Upsample", 9, [x, np.array([1, 1, 2, 3], np.float32)], consts=[1])
    for mode in ["nearest", "linear"]:
        files.add("Resize", 10, [x, scales], consts=[1], label=mode, mode=mode)
    files.add("Resize", 10, [x, scales], refused=True, label="computed")
    none = np.array([], np.float32)
    for label, attrs in {
        "default": {}, "linear": {"mode": "linear"}, "cubic": {"mode": "cubic", "cubic_coeff_a": -0.5},
        "aligned": {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        "tf": {"coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"},
        "torch": {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
    }.items():
        files.add("Resize", 11, [x, none, scales], consts=[1, 2], label=label, **attrs)
    files.add("Resize", 11, [x, none, none, ints(1, 2, 8, 3)], consts=[1, 2, 3], label="sizes", mode="linear")
    files.add("Resize", 13, [x, None, None, ints(1, 2, 8, 3)], consts=[3], mode="linear")
    files.add("Resize", 18, [x, None, np.array([1.5], np.float32)], consts=[2], label="axes", mode="linear", axes=[2])
    crop = np.array([0.1, 0.2, 0.8, 0.9], np.float32)
    files.add("Resize", 18, [x, crop, None, ints(3, 3)], consts=[1, 3], label="region", mode="linear", axes=[2, 3],
              coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=9.0)
    s, b, m, v = f32(2), f32(2), f32(2), f32(2, low=0.5)
    normal = lambda s, b, m, v, e=1e-5: (x - m) / np.sqrt(v + np.float32(e)) * s + b
    c = lambda t: t[:, None, None]
    files.add("BatchNormalization", 6, [x, s, b, m, v], [normal(c(s), c(b), c(m), c(v))], is_test=1)
    files.add("BatchNormalization", 1, [x, s, b, m, v], [normal(c(s), c(b), c(m), c(v), 1e-3)], is_test=1, epsilon=1e-3, consumed_inputs=[0, 0, 0, 1, 1])
    files.add("BatchNormalization", 7, [x, s, b, m, v])
    each = [f32(2, 4, 5), f32(2, 4, 5), f32(2, 4, 5), f32(2, 4, 5, low=0.5)]
    files.add("BatchNormalization", 7, [x, *each], label="each", spatial=0)
    files.add("BatchNormalization", 9, [x, s, b, m, v])
    files.add("InstanceNormalization", 1, [x, s, b], [(x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5) * c(s) + c(b)],
              consumed_inputs=[0, 0, 0])
    y = f32(2, 6, 3)
    files.add("GroupNormalization", 18, [y, f32(2), f32(2)], num_groups=2)
    files.add("MeanVarianceNormalization", 9, [x])
    p = np.abs(x)
    files.add("GlobalLpPool", 1, [x], [np.sqrt((p ** 2).sum((2, 3), keepdims=True))])
    files.add("LpPool", 1, [x], [sum(p[:, :, i:i + 3, j:j + 4] ** 3 for i in range(2) for j in range(2)) ** np.float32(1 / 3)], kernel_shape=[2, 2], p=3.0)
    files.add("LpPool", 1, [x], refused=True, label="fraction", kernel_shape=[2, 2], p=2.5)
    for op in ["MaxPool", "AveragePool"]:
        for auto in ["SAME_UPPER", "SAME_LOWER", "VALID"]:
            files.add(op, 7, [x], label=auto.lower(), kernel_shape=[3, 2], strides=[2, 2], auto_pad=auto)
        files.add(op, 10, [x], label="ceil", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    files.add("AveragePool", 7, [x], label="counted", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    files.add("MaxPool", 8, [x], label="indices", outputs=2, kernel_shape=[2, 2], storage_order=0)
    w = f32(2, 1, 3, 3)
    for auto in ["NOTSET", "SAME_UPPER", "SAME_LOWER"]:
        files.add("ConvTranspose", 7, [x, w], label=auto.lower(), strides=[2, 2], output_shape=[8, 10], auto_pad=auto)
    d = f32(1, 4, 2, 3)
    files.add("DepthToSpace", 7, [d], blocksize=2)
    files.add("SpaceToDepth", 7, [f32(1, 1, 4, 6)], blocksize=2)
    files.add("LRN", 7, [x], size=3)
    files.add("GridSample", 16, [x, f32(1, 3, 3, 2, low=-1, high=1)], mode="bicubic")
    files.add("GridSample", 16, [x, f32(1, 3, 3, 2, low=-1, high=1)], label="default", padding_mode="border")


def quantized(files):
    x = f32(2, 3, 4, low=-40, high=40)
    s, z = np.array(0.5, np.float32), np.array(7, np.uint8)
    files.add("QuantizeLinear", 10, [x, s, z], consts=[1, 2])
    files.add("DequantizeLinear", 10, [RNG.integers(0, 255, (2, 3)).astype(np.uint8), s, z], consts=[1, 2])
    per, zeros = np.array([0.5, 0.25, 1.5], np.float32), np.array([1, -2, 3], np.int8)
    files.add("QuantizeLinear", 13, [x, per, zeros], consts=[1, 2], label="axis", axis=1)
    files.add("DequantizeLinear", 13, [RNG.integers(-128, 127, (2, 3, 4)).astype(np.int8), per, zeros], consts=[1, 2], label="axis", axis=-2)


def later(files):
    """Forms that older operator sets lack: they are written for those by other operators."""
    a = f32(2, 3, 4)
    files.add("Trilu", 14, [f32(3, 4), np.array(1, np.int64)], consts=[1], upper=0)
    files.add("CastLike", 15, [a, np.array([1], np.int32)], [a.astype(np.int32)], consts=[1])
    files.add("Shape", 15, [a], start=-2)
    files.add("GreaterOrEqual", 12, [np.round(a), np.round(a[::-1])])
    files.add("LessOrEqual", 16, [np.round(a), np.round(a[::-1])])
    files.add("Celu", 12, [a], alpha=1.5)
    files.add("HardSwish", 14, [a * 3])
    files.add("Mish", 18, [a], [a * np.tanh(np.log1p(np.exp(a)))])
    files.add("Gelu", 20, [a])
    files.add("Gelu", 20, [a], label="tanh", approximate="tanh")
    files.add("LayerNormalization", 17, [a, f32(3, 4), f32(3, 4)], axis=1, outputs=3)
    files.add("GroupNormalization", 21, [f32(2, 6, 3), f32(6), f32(6)], num_groups=3)
    files.add("ReduceMax", 18, [a, ints(0, 2)], consts=[1], keepdims=0)
    files.add("ReduceSum", 13, [a, ints()], consts=[1], label="noop", noop_with_empty_axes=1)
    files.add("ReduceSum", 13, [a, ints()], consts=[1], label="all")
    files.add("Split", 18, [f32(7, 2)], outputs=3, num_outputs=3)
    files.add("Pad", 18, [a, ints(1, 2, 0, 1), np.array(0.5, np.float32), ints(-1, 0)], consts=[1, 2, 3])
    files.add("Add", 14, [np.array([100, -100], np.int8), np.array([100, 2], np.int8)], [np.array([-56, -98], np.int8)])
    files.add("Max", 12, [np.array([3, -5], np.int64), np.array([1, 2], np.int64)])
    files.add("Clip", 12, [np.array([3, -5, 9], np.int32), np.array(-1, np.int32), np.array(4, np.int32)], consts=[1, 2])
    files.add("Relu", 14, [np.array([3, -5, 9], np.int32)], [np.array([3, 0, 9], np.int32)])
    files.add("Pow", 12, [np.abs(a), np.array([2, 3, 0, 1], np.int64)], consts=[1])
    files.add("Softmax", 13, [f32(2, 3, 2, 2)], label="second", axis=1)
    files.add("Reshape", 14, [f32(0, 3), ints(3, 0)], consts=[1], allowzero=1)


def experimental(files):
    x = f32(1, 2, 4, 5)
    files.add("Affine", 1, [x], [2 * x + np.float32(0.5)], alpha=2.0, beta=0.5)
    files.add("Scale", 1, [x], [x * 3], scale=3.0)
    files.add("ImageScaler", 1, [x], [2 * x + np.array([0.5, -1], np.float32)[:, None, None]], scale=2.0, bias=[0.5, -1.0])
    files.add("Crop", 1, [x], [x[:, :, 2:, 1:4]], border=[1, 2, 1, 0])
    files.add("Crop", 1, [x], [x[:, :, 1:3, 1:4]], label="sized", border=[1, 1, 0, 0], scale=[2, 3])
    files.add("ParametricSoftplus", 1, [x], [2 * np.log1p(np.exp(x * np.float32(0.5)))], alpha=2.0, beta=0.5)
    files.add("ScaledTanh", 1, [x], [2 * np.tanh(x * np.float32(0.5))], alpha=2.0, beta=0.5)
    files.add("ScaledTanh", 1, [x], refused=True, label="alpha", beta=0.5)
    files.add("DynamicSlice", 1, [x, ints(1), ints(3), ints(2)], [x[:, :, 1:3]])
    for op in ["ATen", "GRUUnit", "GivenTensorFill", "ConstantFill"]:
        files.add(op, 1, [x], refused=True)


def main():
    files = Files(sys.argv[1])
    for group in [legacy_broadcast, attributes_that_became_operands, names_and_defaults, images, quantized, later, experimental]:
        group(files)


if __name__ == "__main__":
    main()
