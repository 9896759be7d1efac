#!/usr/bin/env python3
"""Runs models with symbolic dimensions, as Hoist writes them in TFLite, at several sizes each.

    dynamic_sizes.py HOIST MODELS [--from onnx|pt2] [--keep FOLDER] [--only NAME...]

MODELS holds folders NAME with `model.onnx`, `model.pt2`, and `io.npz`, `io1.npz`, ... (in0.., out0..) at one size each, as testdata/gen/tflite/models.py
writes them. One interpreter of LiteRT takes all sizes in turn, and the first again at the end, by resize_tensor_input; the outputs must be those of ONNX Runtime
on the ONNX model (PyTorch's, as recorded, where it does not run). Prints per model the sizes, and the largest difference relative to the largest output;
ends with `N of M`. Needs numpy==2.4.6 onnxruntime==1.32.0 ai-edge-litert==2.3.0.
"""
import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

TOLERANCE = 1e-3


def expected(folder, z):
    """-> (inputs, outputs) for one recorded size."""
    import numpy as np
    import onnxruntime as ort

    pick = lambda p: [z[k] for k in sorted((k for k in z.files if k.startswith(p)), key=lambda k: int(k[len(p) :]))]
    ins, outs = pick("in"), pick("out")
    session = ort.InferenceSession(os.path.join(folder, "model.onnx"), providers=["CPUExecutionProvider"])
    try:
        return ins, session.run(None, {i.name: x for i, x in zip(session.get_inputs(), ins)})
    except Exception:
        return ins, [np.asarray(o) for o in outs]


def run(folder, path):
    """In a process of its own: one line of JSON, {"sizes", "signature", "difference"} or {"error"}."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    files = sorted(glob.glob(os.path.join(folder, "io*.npz")), key=lambda f: (len(f), f))
    cases = [expected(folder, np.load(f)) for f in files]
    it = Interpreter(model_path=path, num_threads=1)
    signature = [list(map(int, d["shape_signature"])) for d in it.get_input_details()]
    worst = 0.0
    for ins, want in cases + cases[:1]:
        if len(it.get_input_details()) != len(ins):
            raise ValueError("%d inputs, the model has %d" % (len(it.get_input_details()), len(ins)))
        for d, x in zip(it.get_input_details(), ins):
            fits = len(d["shape_signature"]) == x.ndim and all(s in (-1, n) for s, n in zip(d["shape_signature"], x.shape))
            if not fits:
                raise ValueError("an input of signature %s does not take %s" % (d["shape_signature"], x.shape))
            it.resize_tensor_input(d["index"], x.shape, strict=True)
        it.allocate_tensors()
        for d, x in zip(it.get_input_details(), ins):
            it.set_tensor(d["index"], x.astype(d["dtype"]))
        it.invoke()
        for d, w in zip(it.get_output_details(), want):
            got = it.get_tensor(d["index"])
            if got.shape != w.shape:
                raise ValueError("%s: shape %s, expected %s" % (ins[0].shape, got.shape, w.shape))
            scale = max(float(np.abs(w).max(initial=0)), 1e-30)
            worst = max(worst, float(np.abs(got.astype(np.float64) - w).max(initial=0)) / scale)
    print(json.dumps({"sizes": [list(ins[0].shape) for ins, _ in cases], "signature": signature, "difference": worst}))


def one(a, name, keep):
    """-> '' when right at all sizes, else what is wrong."""
    folder = os.path.join(a.models, name)
    out = os.path.join(keep, name + ".dynamic.tflite")
    if os.path.exists(out):
        os.remove(out)
    p = subprocess.run([a.hoist, "convert", os.path.join(folder, "model." + a.source), "-o", out], capture_output=True, text=True)
    if p.returncode or not os.path.exists(out):
        return "not converted: " + p.stderr.strip()[-600:]
    p = subprocess.run([sys.executable, os.path.abspath(__file__), "--run", folder, out], capture_output=True, text=True)
    try:
        found = json.loads(p.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return "LiteRT: " + p.stderr.strip()[-300:]
    if found.get("error"):
        return found["error"]
    print("%-20s %s as %s: %.1e" % (name, found["signature"], " ".join(map(str, found["sizes"])), found["difference"]), flush=True)
    dynamic = any(-1 in s for s in found["signature"])
    return "" if found["difference"] <= TOLERANCE and dynamic else "wrong" if dynamic else "no dynamic dimension is left"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("hoist")
    p.add_argument("models")
    p.add_argument("--from", dest="source", default="onnx", choices=("onnx", "pt2"))
    p.add_argument("--keep")
    p.add_argument("--only", nargs="*", default=[])
    a = p.parse_args()
    names = [n for n in sorted(os.listdir(a.models)) if os.path.exists(os.path.join(a.models, n, "model." + a.source)) and (not a.only or n in a.only)]
    good = 0
    with tempfile.TemporaryDirectory() as scratch:
        keep = a.keep or scratch
        os.makedirs(keep, exist_ok=True)
        for name in names:
            why = one(a, name, keep)
            good += not why
            if why:
                print("%-20s %s" % (name, why), flush=True)
    print("%d of %d" % (good, len(names)))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        try:
            run(*sys.argv[2:4])
        except Exception as e:
            print(json.dumps({"error": (str(e).strip().splitlines() or [type(e).__name__])[0][:300]}))
    else:
        main()
