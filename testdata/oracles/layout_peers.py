#!/usr/bin/env python3
"""Layout, speed and faithfulness of the TFLite files that Hoist and onnx2tf write from the same ONNX models.

    layout_peers.py HOIST MODELS [--peer PYTHON] [--keep FOLDER] [--only NAME...] [--seconds S] [--json FILE] [--operators]

MODELS holds folders NAME with `model.onnx` and `io.npz` (in0.., out0..), as testdata/gen/tflite/models.py writes them. PYTHON has onnx2tf; without it only
Hoist is measured. FOLDER keeps the .tflite files, and the peer's are not written again. For each model:

    transposes   TRANSPOSE operators in all subgraphs, and the bytes of the tensors that they copy
    ms           one inference in LiteRT, one thread: the median over runs in which the files take turns in one process
    ratio        of those times to onnx2tf's
    convert      seconds of the whole process: Hoist with its check of the outputs switched off; onnx2tf with its defaults
    peak         largest resident set of that process, MB
    difference   largest |got - want| / max |want| over the outputs, `want` from ONNX Runtime without optimization

A column holds Hoist's figure with the interface as it is in ONNX, Hoist's with `--io-layout nhwc`, and onnx2tf's. As onnx2tf changes the layout of inputs and
outputs that are images, the second is what compares with it. Each is transposed to fit by its shape where the layout may change. Needs (this Python) numpy==2.4.6 onnxruntime==1.32.0
ai-edge-litert==2.3.0. A PYTHON with the newest onnx2tf for Python 3.11: `python3.11 -m venv P && P/bin/pip install onnx2tf==1.29.24`, which brings
onnx==1.19.1 onnx-graphsurgeon==0.5.8 onnxsim==0.4.36 tensorflow==2.19.0 tf-keras==2.19.0.
"""
import argparse
import array
import glob
import itertools
import json
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time

WIDTHS = {0: 4, 1: 2, 2: 4, 3: 1, 4: 8, 6: 1, 7: 2, 8: 8, 9: 1, 10: 8, 12: 8, 15: 4, 16: 2}


def measured(command, folder=None, limit=600):
    """-> (seconds, peak MB, exit code, output) of a process. This one stays small, because a child's peak starts at its parent's."""
    start = time.time()
    with tempfile.TemporaryFile("w+") as log:
        p = subprocess.Popen(["timeout", str(limit), *command], stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.time() - start
        log.seek(0)
        return seconds, usage.ru_maxrss / 1024, p.returncode, log.read()


def hoist(binary, model, out, options):
    command = [binary, "convert", model, "-o", out, *options]
    if os.path.exists(out):
        os.remove(out)
    checked = measured(command) if not options else None
    best = min((measured([*command, "--no-verify"]) for _ in range(3)), key=lambda r: r[0])
    found = {"ok": best[2] == 0 and os.path.exists(out), "seconds": best[0], "peak": best[1], "why": best[3].strip()[-1500:] if best[2] else ""}
    if checked:
        found.update(checked_seconds=checked[0], checked_peak=checked[1], check=checked[3].strip()[-1500:] if checked[2] else "")
    return found


def images(folder):
    """The array of 20 images by which onnx2tf compares layouts; without it in its folder it asks the network for one."""
    count = 20 * 128 * 128 * 3
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (20, 128, 128, 3), }"
    header += b" " * (117 - len(header)) + b"\n"
    draw = random.Random(0).random
    with open(os.path.join(folder, "calibration_image_sample_data_20x128x128x3_float32.npy"), "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
        for _ in range(20 * 128):  # By rows: this process stays small.
            f.write(array.array("f", [draw() for _ in range(count // (20 * 128))]).tobytes())


def holds(path, text):
    """Whether the file has `text`, read in pieces."""
    with open(path, "rb") as f:
        end = b""
        while piece := f.read(1 << 20):
            if text in end + piece:
                return True
            end = piece[-len(text) :]
    return False


def peer(python, model, out):
    """onnx2tf's float32 file as `out`; its figures are kept beside it. A file with operators of TensorFlow, which LiteRT lacks, is written again with
    onnx2tf's replacements."""
    notes = out + ".json"
    if os.path.exists(notes):
        return json.load(open(notes))
    for options in ([], ["-rtpo", "Erf", "GeLU"]):
        with tempfile.TemporaryDirectory() as folder:
            images(folder)
            command = [python, "-m", "onnx2tf", "-i", os.path.abspath(model), "-o", "out", "-v", "error", *options]
            seconds, peak, code, text = measured(command, folder)
            found = glob.glob(os.path.join(folder, "out", "*_float32.tflite"))
            if found:
                shutil.copyfile(found[0], out)
        if not found or not holds(out, b"Flex"):
            break
    why = "" if found else "exit %d: %s" % (code, text.strip()[-1500:])
    figures = {"ok": bool(found), "seconds": seconds, "peak": peak, "options": options, "why": why}
    with open(notes, "w") as f:
        json.dump(figures, f)
    return figures


def operators(path):
    """-> ({operator name: count}, [(shape, bytes) of each transpose])."""
    from ai_edge_litert import schema_py_generated as schema
    import numpy as np

    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
    model = schema.Model.GetRootAs(open(path, "rb").read(), 0)
    counts, moved = {}, []
    for s in range(model.SubgraphsLength()):
        graph = model.Subgraphs(s)
        for i in range(graph.OperatorsLength()):
            op = graph.Operators(i)
            code = model.OperatorCodes(op.OpcodeIndex())
            name = names[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
            name = code.CustomCode().decode() if name == "CUSTOM" else name
            counts[name] = counts.get(name, 0) + 1
            if name == "TRANSPOSE":
                out = graph.Tensors(op.Outputs(0))
                shape = [out.Shape(d) for d in range(out.ShapeLength())]
                moved.append((shape, int(np.prod(shape)) * WIDTHS.get(out.Type(), 4)))
    return counts, moved


def perms(shape, wanted):
    """Ways to lay `shape` out as `wanted`: unchanged first, then channels moved, then any other that fits."""
    rank = len(shape)
    if len(wanted) != rank:
        return []
    usual = [tuple(range(rank)), (0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))] if rank > 2 else [tuple(range(rank))]
    every = usual + (list(itertools.permutations(range(rank))) if rank <= 5 else [])
    return [p for i, p in enumerate(every) if every.index(p) == i and [shape[j] for j in p] == list(wanted)]


def difference(got, want):
    import numpy as np

    if got.shape != want.shape:
        return float("inf")
    a, b = got.astype(np.float64), want.astype(np.float64)
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("inf")
    return float(np.nanmax(np.abs(a - b), initial=0)) / max(float(np.nanmax(np.abs(b), initial=0)), 1e-30)


class Runner:
    """One file in LiteRT, fed in the layout that it asks for."""

    def __init__(self, path, ins, names, lenient):
        import numpy as np
        from ai_edge_litert.interpreter import Interpreter

        self.it = Interpreter(model_path=path, num_threads=1)
        details = self.it.get_input_details()
        if len(details) != len(ins):
            raise ValueError("%d inputs, the model has %d" % (len(details), len(ins)))
        left, feeds = list(zip(names, ins)), []
        for d in details:
            pick = next((x for x in left if x[0] in d["name"]), left[0]) if lenient else left[0]
            left.remove(pick)
            feeds.append(pick[1])
        for d, x in zip(details, feeds):
            shape = list(d["shape"])
            if lenient and list(x.shape) != shape and perms(x.shape, shape):
                x = x.transpose(perms(x.shape, shape)[0])
            if list(x.shape) != shape:
                self.it.resize_tensor_input(d["index"], x.shape)
        self.it.allocate_tensors()
        for d, x in zip(self.it.get_input_details(), feeds):
            if list(x.shape) != list(d["shape"]):
                x = x.transpose(perms(x.shape, d["shape"])[0])
            self.it.set_tensor(d["index"], np.array(x, d["dtype"], order="C"))
        self.lenient = lenient

    def outputs(self):
        return [self.it.get_tensor(d["index"]) for d in self.it.get_output_details()]

    def worst(self, want):
        got = self.outputs()
        if len(got) != len(want):
            return float("inf")
        if not self.lenient:
            return max(difference(g, w) for g, w in zip(got, want))
        worst = 0.0
        for w in want:
            options = [(difference(g.transpose(p), w), i) for i, g in enumerate(got) for p in perms(g.shape, w.shape)]
            best = min(options, default=(float("inf"), 0))
            worst = max(worst, best[0])
            got = got[: best[1]] + got[best[1] + 1 :] if options else got
        return worst


def expected(folder):
    """-> (inputs, their names, outputs in ONNX Runtime)."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(os.path.join(folder, "model.onnx"), options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    z = np.load(os.path.join(folder, "io.npz"))
    ins = [z["in%d" % i] for i in range(len(names))]
    return ins, names, session.run(None, dict(zip(names, ins)))


def measure(folder, files, seconds):
    """In a process of its own: JSON of what LiteRT makes of `files`, (label, path) pairs."""
    ins, names, want = expected(folder)
    result, runners = {}, {}
    for label, path in files:
        row = result[label] = {}
        try:
            counts, moved = operators(path)
            row.update(operators=counts, transposes=len(moved), bytes=sum(m[1] for m in moved), moved=[m[0] for m in moved], size=os.path.getsize(path))
            runner = Runner(path, ins, names, label != "hoist")
            runner.it.invoke()
            row["difference"] = runner.worst(want)
            runners[label] = runner
        except Exception as e:
            row["error"] = str(e).strip()[:300] or type(e).__name__
    times = {label: [] for label in runners}
    end = time.time() + seconds * len(runners)
    while runners and (time.time() < end or len(next(iter(times.values()))) < 11):
        for label, runner in runners.items():
            start = time.perf_counter()
            runner.it.invoke()
            times[label].append(time.perf_counter() - start)
    for label, values in times.items():
        result[label]["ms"] = statistics.median(values[min(5, len(values) // 2) :]) * 1000
        result[label]["ms_least"] = min(values) * 1000
        result[label]["again"] = runners[label].worst(want)
    print(json.dumps(result))


SIDES = ("hoist", "nhwc", "peer")


def row(label, columns):
    return "%-20s" % label + " ".join(str(c).rjust(w) for c, w in zip(columns, (13, 29, 20, 12, 18, 15, 27)))


def show(name, found):
    """One line of the table."""
    def cell(key, form, source="run"):
        values = [found.get(side, {}).get(source, {}).get(key) for side in SIDES]
        return " / ".join("-" if v is None else form % v for v in values)

    ms = [found.get(side, {}).get("run", {}).get("ms") for side in SIDES]
    ratio = " / ".join("%.2f" % (m / ms[2]) if m and ms[2] else "-" for m in ms[:2])
    cells = (cell("transposes", "%d"), cell("bytes", "%d"), cell("ms", "%.2f"), ratio, cell("seconds", "%.2f", "convert"), cell("peak", "%.0f", "convert"), cell("difference", "%.1e"))
    print(row(name, cells), flush=True)
    for side in SIDES:
        convert, run = found.get(side, {}).get("convert", {}), found.get(side, {}).get("run", {})
        why = convert.get("why") or convert.get("check") or run.get("error")
        if why:
            print("    %s: %s" % (side, why.splitlines()[-1][:200]))
        if convert.get("options"):
            print("    %s: %s" % (side, " ".join(convert["options"])))


def one(a, name, keep):
    folder = os.path.join(a.models, name)
    model = os.path.join(folder, "model.onnx")
    found, files = {}, []
    ways = (lambda out: hoist(a.hoist, model, out, []), lambda out: hoist(a.hoist, model, out, ["--io-layout", "nhwc"]), lambda out: peer(a.peer, model, out))
    for side, convert in zip(SIDES, ways):
        if side == "peer" and not a.peer:
            continue
        out = os.path.join(keep, "%s.%s.tflite" % (name, side))
        found[side] = {"convert": convert(out)}
        if found[side]["convert"]["ok"]:
            files += [side, out]
    _, _, code, text = measured([sys.executable, os.path.abspath(__file__), "--measure", folder, str(a.seconds), *files])
    try:
        for side, values in json.loads(text.strip().splitlines()[-1]).items():
            found[side]["run"] = values
    except (ValueError, IndexError):
        found["hoist"]["run"] = {"error": "LiteRT's process ended with %d: %s" % (code, text.strip()[-200:])}
    show(name, found)
    if a.operators:
        for side in files[::2]:
            counts = found[side].get("run", {}).get("operators", {})
            print("    %s: %s" % (side, " ".join("%s %d" % c for c in sorted(counts.items(), key=lambda c: (-c[1], c[0])))))
    return found


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("hoist")
    p.add_argument("models")
    p.add_argument("--peer")
    p.add_argument("--keep")
    p.add_argument("--only", nargs="*", default=[])
    p.add_argument("--seconds", type=float, default=4)
    p.add_argument("--json")
    p.add_argument("--operators", action="store_true")
    a = p.parse_args()
    names = [n for n in sorted(os.listdir(a.models)) if os.path.exists(os.path.join(a.models, n, "model.onnx")) and (not a.only or n in a.only)]
    print(row("model", ("transposes", "bytes", "ms", "ratio", "convert s", "peak MB", "difference")))
    with tempfile.TemporaryDirectory() as scratch:
        keep = a.keep or scratch
        os.makedirs(keep, exist_ok=True)
        found = {name: one(a, name, keep) for name in names}
    if a.json:
        with open(a.json, "w") as f:
            json.dump(found, f, indent=1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        rest = sys.argv[4:]
        measure(sys.argv[2], list(zip(rest[::2], rest[1::2])), float(sys.argv[3]))
    else:
        main()
