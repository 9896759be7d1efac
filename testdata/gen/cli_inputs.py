#!/usr/bin/env python3
"""Writes the binary inputs of the command-line tests into testdata/cli/inputs. Needs onnx and numpy (testdata/oracles/requirements.txt)."""
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FOLDER = Path(__file__).resolve().parent.parent / "cli" / "inputs"


def save(name, nodes, inputs, outputs, weights=(), opset=17, domains=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, [numpy_helper.from_array(v, k) for k, v in weights])
    sets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    model = helper.make_model(graph, opset_imports=sets, ir_version=8, producer_name="generator", producer_version="1")
    (FOLDER / name).write_bytes(model.SerializeToString(deterministic=True))


def tensor(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def main():
    rng = np.random.default_rng(0)
    floats = lambda *shape: rng.standard_normal(shape).astype(np.float32)

    # A convolution with batch normalization: work for the fusing passes.
    save(
        "conv.onnx",
        [
            helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
            helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"], "norm"),
            helper.make_node("Relu", ["n"], ["y"], "act"),
        ],
        [tensor("x", ["batch", 3, 8, 8])],
        [tensor("y", ["batch", 4, 8, 8])],
        [
            ("w", floats(4, 3, 3, 3)),
            ("scale", floats(4)),
            ("shift", floats(4)),
            ("mean", floats(4)),
            ("var", np.abs(floats(4)) + 1),
        ],
    )
    # Weights that are worth a file of their own.
    save(
        "wide.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        [tensor("x", ["n", 64])],
        [tensor("y", ["n", 64])],
        [("w", floats(64, 64))],
    )
    # An operator that nobody knows.
    save(
        "custom.onnx",
        [helper.make_node("Frobnicate", ["x"], ["y"], "frob", domain="example.test", level=3)],
        [tensor("x", [2])],
        [tensor("y", [2])],
        domains=["example.test"],
    )
    # Gathers beyond the end whatever the seed: the source cannot be run.
    save(
        "gather.onnx",
        [helper.make_node("Gather", ["x", "at"], ["y"], "pick")],
        [tensor("x", ["n"])],
        [tensor("y", [1])],
        [("at", np.array([1000000], np.int64))],
    )
    # A name that would clear the screen.
    save(
        "steer.onnx",
        [helper.make_node("Gather", ["x", "i"], ["y"], "\x1b[2Jnode", axis=9)],
        [tensor("x", [2, 2]), tensor("i", [1], TensorProto.INT64)],
        [tensor("y", [1])],
    )
    np.savez(FOLDER / "x.npz", x=np.array([[-2, 0.5, 1], [3, -0.25, 0]], np.float32))
    np.savez(FOLDER / "wrong.npz", x=np.array([1, 2], np.int64))
    (FOLDER / "cut.onnx").write_bytes((FOLDER / "conv.onnx").read_bytes()[:150])
    (FOLDER / "weights.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (FOLDER / "page.onnx").write_bytes(b"<!DOCTYPE html><html><body>404</body></html>\n")
    (FOLDER / "onnx_inside.tflite").write_bytes((FOLDER / "conv.onnx").read_bytes())


if __name__ == "__main__":
    main()
