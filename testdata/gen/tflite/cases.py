#!/usr/bin/env python3
"""Writes the folders of testdata/tflite: `model.tflite`, made here operator by operator, and `io.npz` with what LiteRT computes with it.

    cases.py FOLDER

Made with: pip install ai-edge-litert==2.3.0 flatbuffers==25.12.19 numpy==2.4.6
"""
import json
import pathlib
import sys

import flatbuffers
import numpy as np
from ai_edge_litert import interpreter
from ai_edge_litert import schema_py_generated as S

TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}
RESOURCE = 13
rng = np.random.default_rng(7)


class File:
    """A model under construction: subgraphs of tensors and operators."""

    def __init__(self):
        self.model = S.ModelT()
        self.model.version = 3
        self.model.description = b""
        self.model.buffers = [S.BufferT()]
        self.model.subgraphs = []
        self.model.operatorCodes = []
        self.model.signatureDefs = []
        self.graph("main")

    def graph(self, name):
        g = S.SubGraphT()
        g.name, g.tensors, g.operators, g.inputs, g.outputs = name, [], [], [], []
        self.model.subgraphs.append(g)
        self.g = g

    def tensor(self, name, shape, dtype="float32", data=None, quant=None, signature=None):
        t = S.TensorT()
        t.name, t.shape, t.hasRank = name, list(shape), True
        t.type = RESOURCE if dtype == "resource" else TYPES[dtype]
        t.shapeSignature = signature
        t.buffer = 0
        if data is not None:
            b = S.BufferT()
            b.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.model.buffers.append(b)
            t.buffer = len(self.model.buffers) - 1
        if quant:
            scale, zero, axis = quant
            t.quantization = S.QuantizationParametersT()
            t.quantization.scale = np.atleast_1d(np.asarray(scale, np.float32))
            t.quantization.zeroPoint = np.broadcast_to(np.asarray(zero, np.int64), t.quantization.scale.shape)
            t.quantization.quantizedDimension = axis
        self.g.tensors.append(t)
        return len(self.g.tensors) - 1

    def const(self, name, data, quant=None):
        data = np.asarray(data)
        return self.tensor(name, data.shape, str(data.dtype), data, quant)

    def op(self, name, inputs, outputs, options=None, version=1, **values):
        code = getattr(S.BuiltinOperator, name) if isinstance(name, str) else name
        c = S.OperatorCodeT()
        c.deprecatedBuiltinCode, c.builtinCode, c.version = min(code, 127), code, version
        self.model.operatorCodes.append(c)
        o = S.OperatorT()
        o.opcodeIndex, o.inputs, o.outputs = len(self.model.operatorCodes) - 1, inputs, outputs
        if options:
            o.builtinOptionsType = getattr(S.BuiltinOptions, options)
            o.builtinOptions = getattr(S, options + "T")()
            for key, value in values.items():
                setattr(o.builtinOptions, key, value)
        self.g.operators.append(o)

    def interface(self, inputs, outputs):
        self.g.inputs, self.g.outputs = inputs, outputs

    def signature(self, key, inputs, outputs):
        def maps(names):
            made = []
            for name, tensor in names.items():
                m = S.TensorMapT()
                m.name, m.tensorIndex = name, tensor
                made.append(m)
            return made

        s = S.SignatureDefT()
        s.signatureKey, s.subgraphIndex, s.inputs, s.outputs = key, 0, maps(inputs), maps(outputs)
        self.model.signatureDefs.append(s)

    def bytes(self):
        b = flatbuffers.Builder(1024)
        b.Finish(self.model.Pack(b), b"TFL3")
        return bytes(b.Output())


def run(model, inputs):
    it = interpreter.Interpreter(
        model_content=model, experimental_op_resolver_type=interpreter.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    for d, x in zip(it.get_input_details(), inputs):
        it.resize_tensor_input(d["index"], x.shape)
    it.allocate_tensors()
    for d, x in zip(it.get_input_details(), inputs):
        it.set_tensor(d["index"], x)
    it.invoke()
    return [it.get_tensor(d["index"]) for d in it.get_output_details()]


def floats(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def bytes_(*shape):
    return rng.integers(-127, 128, shape).astype(np.int8)


def convolution():
    """Signed bytes, a scale for each output channel, a fused activation."""
    f = File()
    x = f.tensor("x", [1, 5, 5, 3], "int8", quant=(0.05, -3, 0))
    scale = np.array([0.01, 0.02, 0.005, 0.03], np.float32)
    w = f.const("w", bytes_(4, 3, 3, 3), quant=(scale, 0, 0))
    b = f.const("b", rng.integers(-2000, 2000, 4).astype(np.int32), quant=(scale * np.float32(0.05), 0, 0))
    y = f.tensor("y", [1, 3, 3, 4], "int8", quant=(0.1, 5, 0))
    f.op("CONV_2D", [x, w, b], [y], "Conv2DOptions", 3, strideH=2, strideW=2, padding=0, fusedActivationFunction=1)
    f.interface([x], [y])
    return f, [[bytes_(1, 5, 5, 3)]], {"atol": 1}


def movement():
    """Stored bytes are moved as they are; a sum of others changes the scale."""
    f = File()
    x = f.tensor("x", [2, 3], "uint8", quant=(0.5, 10, 0))
    r = f.tensor("r", [3, 2], "uint8", quant=(0.5, 10, 0))
    y = f.tensor("y", [3, 2], "uint8", quant=(0.8, 100, 0))
    f.op("RESHAPE", [x, f.const("shape", np.array([3, 2], np.int32))], [r], "ReshapeOptions")
    f.op("ADD", [r, r], [y], "AddOptions", 1)
    f.interface([x], [r, y])
    return f, [[rng.integers(0, 256, (2, 3)).astype(np.uint8)]], {"atol": 1}


def half_weights():
    """Weights of half precision behind DEQUANTIZE, with a size that is open."""
    f = File()
    x = f.tensor("x", [1, 4], signature=[-1, 4])
    h = f.const("h", floats(3, 4).astype(np.float16))
    w = f.tensor("w", [3, 4])
    y = f.tensor("y", [1, 3], signature=[-1, 3])
    f.op("DEQUANTIZE", [h], [w], "DequantizeOptions", 3)
    f.op("FULLY_CONNECTED", [x, w, -1], [y], "FullyConnectedOptions", 6)
    f.interface([x], [y])
    return f, [[floats(1, 4)], [floats(5, 4)]], {}


def sparse_weights():
    """Compressed rows in blocks of two columns."""
    f = File()
    x = f.tensor("x", [2, 4])
    s = f.const("s", np.array([1, 2, 3, 4, 5, 6], np.float32))
    t = f.g.tensors[s]
    t.shape = [3, 4]
    t.sparsity = S.SparsityParametersT()
    t.sparsity.traversalOrder, t.sparsity.blockMap = [0, 1, 2], [1]

    def axis(size=0, segments=None, indices=None):
        d = S.DimensionMetadataT()
        d.format, d.denseSize = int(segments is not None), size
        if segments is not None:
            d.arraySegmentsType = d.arrayIndicesType = S.SparseIndexVector.Int32Vector
            d.arraySegments, d.arrayIndices = S.Int32VectorT(), S.Int32VectorT()
            d.arraySegments.values, d.arrayIndices.values = segments, indices
        return d

    t.sparsity.dimMetadata = [axis(3), axis(segments=[0, 1, 1, 3], indices=[1, 0, 1]), axis(2)]
    w = f.tensor("w", [3, 4])
    y = f.tensor("y", [2, 3])
    f.op("DENSIFY", [s], [w], "DensifyOptions")
    f.op("FULLY_CONNECTED", [x, w, -1], [y], "FullyConnectedOptions", 6)
    f.interface([x], [y])
    return f, [[floats(2, 4)]], {}


def variable():
    """A sum over calls: the variable begins as the subgraph that is called once sets it."""
    f = File()
    x = f.tensor("x", [3])
    handle, old, y = f.tensor("handle", [], "resource"), f.tensor("old", [3]), f.tensor("y", [3])
    f.op("CALL_ONCE", [], [], "CallOnceOptions", initSubgraphIndex=1)
    f.op("VAR_HANDLE", [], [handle], "VarHandleOptions", sharedName="sum", container="")
    f.op("READ_VARIABLE", [handle], [old])
    f.op("ADD", [x, old], [y], "AddOptions")
    f.op("ASSIGN_VARIABLE", [handle, y], [])
    f.interface([x], [y])
    f.graph("initialize")
    handle, first = f.tensor("handle", [], "resource"), np.array([10, 20, 30], np.float32)
    f.op("VAR_HANDLE", [], [handle], "VarHandleOptions", sharedName="sum", container="")
    f.op("ASSIGN_VARIABLE", [handle, f.const("first", first)], [])
    x = floats(3)
    return f, [[x]], {"inputs": ["x", "sum"], "outputs": ["y", "sum.next"], "state": [first.tolist()]}


def signature():
    """Names of the signature, two tensors of one name."""
    f = File()
    a, b = f.tensor("serving_default_a:0", [2]), f.tensor("serving_default_b:0", [2])
    m, y = f.tensor("same", [2]), f.tensor("same", [2])
    f.op("MUL", [a, b], [m], "MulOptions")
    f.op("SUB", [m, b], [y], "SubOptions", fusedActivationFunction=3)
    f.interface([a, b], [y, m])
    f.signature("serving_default", {"left": a, "right": b}, {"clipped": y})
    return f, [[floats(2), floats(2)]], {"inputs": ["left", "right"], "outputs": ["clipped", "same"]}


def loop():
    """WHILE whose body and condition are subgraphs."""
    f = File()
    n, x = f.tensor("n", [], "int32"), f.tensor("x", [2])
    m, y = f.tensor("m", [], "int32"), f.tensor("y", [2])
    f.op("WHILE", [n, x], [m, y], "WhileOptions", condSubgraphIndex=1, bodySubgraphIndex=2)
    f.interface([n, x], [m, y])
    f.graph("cond")
    n, x, c = f.tensor("n", [], "int32"), f.tensor("x", [2]), f.tensor("c", [], "bool")
    f.op("LESS", [n, f.const("limit", np.array(4, np.int32))], [c])
    f.interface([n, x], [c])
    f.graph("body")
    n, x = f.tensor("n", [], "int32"), f.tensor("x", [2])
    m, y = f.tensor("m", [], "int32"), f.tensor("y", [2])
    f.op("ADD", [n, f.const("one", np.array(1, np.int32))], [m], "AddOptions")
    f.op("ADD", [x, x], [y], "AddOptions")
    f.interface([n, x], [m, y])
    return f, [[np.array(1, np.int32), floats(2)], [np.array(9, np.int32), floats(2)]], {}


def unknown():
    """An operator of a newer schema, twice, and a delegate."""
    f = File()
    x = f.tensor("x", [2])
    a, b, c = (f.tensor(n, [2]) for n in "abc")
    f.op(250, [x], [a])
    f.op(250, [a], [b])
    f.op("DELEGATE", [b], [c])
    f.interface([x], [c])
    return f, [], {"refused": ["builtin operator 250 is unknown", "2 operators in all", "`DELEGATE` is not read"]}


def main():
    root = pathlib.Path(sys.argv[1])
    for make in (convolution, movement, half_weights, sparse_weights, variable, signature, loop, unknown):
        folder = root / make.__name__
        folder.mkdir(parents=True, exist_ok=True)
        file, runs, meta = make()
        model = file.bytes()
        (folder / "model.tflite").write_bytes(model)
        for k, inputs in enumerate(runs):
            outputs = run(model, inputs)
            for state in meta.get("state", []):
                inputs, outputs = [*inputs, np.array(state, np.float32)], [*outputs, outputs[0]]
            arrays = {f"in{i}": x for i, x in enumerate(inputs)} | {f"out{i}": y for i, y in enumerate(outputs)}
            np.savez(folder / f"io{k or ''}.npz", **arrays)
        meta.pop("state", None)
        if meta:
            (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")


main()
