"""Writes the ONNX project's own backend node cases, and what onnx.shape_inference says of them.

    node_cases.py FOLDER

FOLDER gets one `NAME.onnx` per case, one `.pb` (TensorProto) per tensor and `index.json`: for each case its tolerances, inputs and outputs
(`{"tensor": file}`, `{"sequence": [..]}`, `{"optional": value or null}` or `{"other": type}`), and the types that ONNX infers with data
propagation for each named value of the graph once declared shapes are removed.
"""
import json
import os
import sys

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference
from onnx.backend.test.case.node import collect_testcases


def save(folder, name, array):
    tensor = array if isinstance(array, onnx.TensorProto) else numpy_helper.from_array(np.asarray(array))
    with open(os.path.join(folder, name), "wb") as f:
        f.write(tensor.SerializeToString())
    return {"tensor": name}


def describe(folder, name, value):
    if value is None:
        return {"optional": None}
    if isinstance(value, (list, tuple)):
        return {"sequence": [describe(folder, f"{name}_{i}", v) for i, v in enumerate(value)]}
    if isinstance(value, (np.ndarray, np.generic, onnx.TensorProto, int, float, bool, str)):
        return save(folder, name + ".pb", value)
    return {"other": type(value).__name__}


def type_of(proto):
    """A type as `[kind, ...]`: tensors as ["tensor", code, dims or null], a dim being a number, a text or null."""
    kind = proto.WhichOneof("value")
    if kind == "tensor_type":
        t = proto.tensor_type
        dims = None
        if t.HasField("shape"):
            dims = [
                d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in t.shape.dim
            ]
        return ["tensor", t.elem_type, dims]
    if kind == "sequence_type":
        return ["sequence", type_of(proto.sequence_type.elem_type)]
    if kind == "optional_type":
        return ["optional", type_of(proto.optional_type.elem_type)]
    return ["other"]


def bare(model):
    """`model` without any declared shape but those of its inputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    for o in copy.graph.output:
        if o.type.HasField("tensor_type"):
            o.type.tensor_type.ClearField("shape")
    return copy


def inferred(model):
    try:
        result = shape_inference.infer_shapes(bare(model), data_prop=True)
    except Exception as e:
        return {"": ["failed", str(e)[:200]]}
    values = list(result.graph.value_info) + list(result.graph.output)
    return {v.name: type_of(v.type) for v in values}


def main(folder):
    index = []
    for case in collect_testcases(None):
        if case.model is None or not case.data_sets:
            continue
        onnx.save(bare(case.model), os.path.join(folder, case.name + ".onnx"))
        inputs, outputs = case.data_sets[0]
        part = lambda kind, values: [describe(folder, f"{case.name}.{kind}{i}", v) for i, v in enumerate(values)]
        index.append(
            {
                "name": case.name,
                "rtol": case.rtol,
                "atol": case.atol,
                "inputs": part("in", inputs),
                "outputs": part("out", outputs),
                "shapes": inferred(case.model),
            }
        )
    with open(os.path.join(folder, "index.json"), "w") as f:
        json.dump(index, f)
    print(len(index), "cases")


if __name__ == "__main__":
    main(sys.argv[1])
