"""Compares the types that `hoist inspect --shapes` gives with those of onnx.shape_inference, on whole models.

    shapes.py HOIST MODEL...

Declared shapes are removed first, but for the inputs'. A value counts as worse where ONNX knows a rank or size that Hoist does not, or both
differ. Ends with `N worse`.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

import onnx
from onnx import shape_inference

CODES = {
    "f32": 1, "u8": 2, "i8": 3, "u16": 4, "i16": 5, "i32": 6, "i64": 7, "string": 8, "bool": 9, "f16": 10, "f64": 11,
    "u32": 12, "u64": 13, "c64": 14, "c128": 15, "bf16": 16,
}


def bare(path):
    model = onnx.load(path, load_external_data=False)
    del model.graph.value_info[:]
    for o in model.graph.output:
        if o.type.HasField("tensor_type"):
            o.type.tensor_type.ClearField("shape")
    return model


def ours(hoist, path):
    text = subprocess.run([hoist, "inspect", "--shapes", "--format", "json", path], capture_output=True, text=True, check=True).stdout
    return {v["name"]: v["type"] for v in json.loads(text)["values"] if not v["within"]}


def worse(mine, theirs):
    """Why `mine`, a type as text, says less than or contradicts `theirs`, a TypeProto."""
    if theirs.WhichOneof("value") != "tensor_type" or not theirs.tensor_type.HasField("shape"):
        return None
    m = re.match(r"(\w+)\[(.*?)\](?: = .*)?$", mine)
    if not m or CODES.get(m[1], 0) not in (0, theirs.tensor_type.elem_type):
        return "type"
    dims = re.findall(r"(?:[^,(]|\([^()]*(?:\([^()]*(?:\([^()]*\)[^()]*)*\)[^()]*)*\))+", m[2])
    known = theirs.tensor_type.shape.dim
    if m[2] == "*" or len(dims) != len(known):
        return "rank"
    for d, k in zip(dims, known):
        # Some files say -1 where they mean "unknown".
        if k.HasField("dim_value") and k.dim_value >= 0 and d.strip() != str(k.dim_value):
            return "size"
    return None


def main(hoist, models):
    total = 0
    for path in models:
        with tempfile.TemporaryDirectory() as folder:
            model = bare(path)
            plain = os.path.join(folder, "bare.onnx")
            onnx.save(model, plain)
            result = shape_inference.infer_shapes(model, data_prop=True)
            mine = ours(hoist, plain)
        values = {v.name: v.type for v in list(result.graph.value_info) + list(result.graph.output)}
        found = [(n, mine[n], worse(mine[n], t)) for n, t in values.items() if n in mine]
        bad = [f for f in found if f[2]]
        total += len(bad)
        print(f"{path}: {len(found)} values, {len(bad)} worse")
        for name, have, why in bad[:10]:
            print(f"   {why}: {name}: {have}, ONNX has {str(values[name].tensor_type.shape)[:200]!r}")
    print(f"{total} worse")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
