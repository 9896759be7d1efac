#!/usr/bin/env python3
"""How many of the ONNX project's backend node cases Hoist and onnx2tf turn into TFLite that LiteRT computes right.

    node_peers.py HOIST [--peer PYTHON] [--cases N] [--json FILE]

The cases with plain tensors that ONNX Runtime itself passes are counted; N (default 60) of them are taken at even distances. A file is right when LiteRT gives the
expected outputs from the inputs as they stand in ONNX, in the same order and layout. onnx2tf's are judged three ways: with its defaults (`kept`), with its
defaults and any layout of inputs and outputs (`any layout`), and told to keep the shape of every input, its option -kat (`asked`). Prints the cases that
failed and the rates. Needs numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 ai-edge-litert==2.3.0; PYTHON as layout_peers.py says.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import layout_peers

RTOL, ATOL = 1e-3, 1e-5
# Imports onnx2tf once; each file is converted in a child of its own, because it ends the process where it fails.
CONVERT = r"""
import glob, json, os, shutil, signal, sys
import onnx2tf
for line in sys.stdin:
    source, out, kept = json.loads(line)
    child = os.fork()
    if child == 0:
        signal.alarm(120)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1), os.dup2(null, 2)
        try:
            more = {"keep_shape_absolutely_input_names": kept} if kept else {}
            onnx2tf.convert(input_onnx_file_path=source, output_folder_path=out + ".d", non_verbose=True, **more)
            shutil.copy(glob.glob(out + ".d/*_float32.tflite")[0], out)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    shutil.rmtree(out + ".d", ignore_errors=True)
    print("DONE", flush=True)
"""


def plain(values):
    import numpy as np

    arrays = [np.asarray(v) for v in values if isinstance(v, np.ndarray) or np.isscalar(v)]
    usable = len(arrays) == len(values) and all(a.dtype.kind not in "OSUV" and a.dtype.name in np.sctypeDict for a in arrays)
    return arrays if usable else None


def same(got, want, rtol, atol):
    import numpy as np

    return got.shape == want.shape and np.allclose(np.asarray(got, np.float64), np.asarray(want, np.float64), rtol=rtol, atol=atol, equal_nan=True)


def collect(folder, wanted):
    """Writes every counted case of the choice as NAME.onnx and NAME.npz -> names."""
    import numpy as np
    import onnx
    import onnxruntime as ort
    from onnx.backend.test.case.node import collect_testcases

    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    counted = []
    for case in collect_testcases(None):
        if case.model is None or not case.data_sets:
            continue
        ins, outs = map(plain, case.data_sets[0])
        if ins is None or outs is None:
            continue
        limits = max(case.rtol, RTOL), max(case.atol, ATOL)
        try:
            session = ort.InferenceSession(case.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            names = [i.name for i in session.get_inputs()]
            got = session.run(None, dict(zip(names, ins)))
        except Exception:  # ONNX Runtime has no common base class
            continue
        if len(names) == len(ins) and len(got) == len(outs) and all(same(np.asarray(g), w, *limits) for g, w in zip(got, outs)):
            counted.append((case, ins, outs, limits, names))
    chosen = [counted[i * len(counted) // wanted] for i in range(min(wanted, len(counted)))]
    for case, ins, outs, limits, names in chosen:
        case.model.ir_version = min(case.model.ir_version, 10)
        onnx.save(case.model, os.path.join(folder, case.name + ".onnx"))
        arrays = {"in%d" % i: a for i, a in enumerate(ins)} | {"out%d" % i: a for i, a in enumerate(outs)}
        np.savez(os.path.join(folder, case.name + ".npz"), limits=np.array(limits), names=np.array(names, dtype="U"), **arrays)
    print("%d of %d counted cases" % (len(chosen), len(counted)), flush=True)
    return [c[0].name for c in chosen]


def verdict(npz, path, lenient):
    """'' when LiteRT computes `path` right. In a process of its own, since LiteRT may end it."""
    if not os.path.exists(path):
        return "not converted"
    p = subprocess.run([sys.executable, os.path.abspath(__file__), "--run", npz, path, str(int(lenient))], capture_output=True, text=True, timeout=120)
    lines = p.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines else "LiteRT's process ended with %d" % p.returncode


def run(npz, path, lenient):
    import numpy as np

    z = np.load(npz)
    pick = lambda p: [z[k] for k in sorted((k for k in z.files if k.startswith(p) and k[len(p) :].isdigit()), key=lambda k: int(k[len(p) :]))]
    ins, want, limits = pick("in"), pick("out"), tuple(z["limits"])
    runner = layout_peers.Runner(path, ins, [str(n) for n in z["names"]], lenient)
    runner.it.invoke()
    got = runner.outputs()
    if len(got) != len(want):
        return "%d outputs, expected %d" % (len(got), len(want))
    for i, w in enumerate(want):
        options = [g.transpose(p) for g in got for p in layout_peers.perms(g.shape, w.shape)] if lenient else [got[i]]
        if not any(same(o, w, *limits) for o in options):
            return "out%d differs in %s" % (i, "values" if any(o.shape == w.shape for o in options) else "shape")
    return ""


def peers(python, folder, names):
    """Has onnx2tf convert all cases, with its defaults and with all input shapes kept."""
    import numpy as np

    layout_peers.images(folder)
    p = subprocess.Popen([python, "-c", CONVERT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder)
    for name in names:
        inputs = [str(n) for n in np.load(os.path.join(folder, name + ".npz"))["names"]]
        for out, kept in ((name + ".peer.tflite", []), (name + ".asked.tflite", inputs)):
            p.stdin.write(json.dumps([name + ".onnx", os.path.join(folder, out), kept]) + "\n")
            p.stdin.flush()
            while p.stdout.readline() not in ("DONE\n", ""):
                pass
    p.stdin.close()
    p.wait()


def judge(a, folder, name):
    base = os.path.join(folder, name)
    done = subprocess.run([a.hoist, "convert", base + ".onnx", "-o", base + ".hoist.tflite"], capture_output=True, text=True)
    row = {"name": name, "hoist": verdict(base + ".npz", base + ".hoist.tflite", False)}
    if row["hoist"] == "not converted":
        row["refusal"] = done.stderr.strip()[-400:]
    if a.peer:
        row["kept"] = verdict(base + ".npz", base + ".peer.tflite", False)
        row["any layout"] = row["kept"] and verdict(base + ".npz", base + ".peer.tflite", True)
        row["asked"] = verdict(base + ".npz", base + ".asked.tflite", False)
    return row


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("hoist")
    p.add_argument("--peer")
    p.add_argument("--cases", type=int, default=60)
    p.add_argument("--json")
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        names = collect(folder, a.cases)
        if a.peer:
            peers(a.peer, folder, names)
        rows = [judge(a, folder, name) for name in names]
    for row in rows:
        failed = {k: v for k, v in row.items() if v and k not in ("name", "refusal")}
        if failed:
            print("%-50s %s" % (row["name"], "; ".join("%s: %s" % f for f in failed.items())))
    for way, label in (("hoist", "Hoist"), ("kept", "onnx2tf, interface kept"), ("any layout", "onnx2tf, any layout"), ("asked", "onnx2tf, asked to keep input shapes")):
        if way in rows[0]:
            print("%s: %d of %d right, %d wrong" % (label, sum(not r[way] for r in rows), len(rows), sum("differs" in r[way] for r in rows)))
    if a.json:
        with open(a.json, "w") as f:
            json.dump(rows, f, indent=1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--run"]:
        try:
            print(json.dumps(run(sys.argv[2], sys.argv[3], sys.argv[4] == "1")))
        except Exception as e:
            print(json.dumps("LiteRT: " + (str(e).strip().splitlines() or [type(e).__name__])[0][:200]))
    else:
        main()
