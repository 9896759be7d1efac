#!/usr/bin/env python3
"""Size, speed and faithfulness of the ONNX files that Hoist, onnxsim, onnxslim and ONNX Runtime make of the same models.

    optimizer_peers.py HOIST MODEL... [--peer PYTHON] [--keep FOLDER] [--only TEXT...] [--seconds S] [--no-run] [--json FILE]
    optimizer_peers.py HOIST --chains [--peer PYTHON]
    optimizer_peers.py HOIST --large GB [--peer PYTHON]

A MODEL is an .onnx file, a .pt2 file (Hoist writes the ONNX file that all start from), or a folder of folders with `model.onnx` or `model.pt2`. An `io.npz` beside it
(in0, in1, ...) feeds it; else seeded numbers do. PYTHON has the peers: `python3 -m venv P && P/bin/pip install numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0 onnxsim==0.8.1
onnxslim==0.1.98`; it also counts and runs. Without it, this Python does.

    nodes        all nodes, those of bodies too, without Constant: source | hoist -O2, hoist -O2 --target onnxruntime | onnxsim, onnxslim, ONNX Runtime basic, extended
    seconds      of the whole process, the least of three: hoist without and with its check of the results | the peers
    peak         largest resident set of that process, MB
    size         of the file, as a part of the source's
    difference   largest |got - want| / max |want| over the outputs, `want` from the source in ONNX Runtime without optimization
    ms           one inference in ONNX Runtime, one thread, all optimizations on: medians over runs in which the files take turns in one process

--chains optimizes chains of 10,000, 50,000 and 200,000 nodes; --large a model of so many GB.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

RUNTIME = (
    "import onnxruntime as o,sys;s=o.SessionOptions();s.log_severity_level=4;"
    "s.graph_optimization_level=getattr(o.GraphOptimizationLevel,'ORT_ENABLE_'+sys.argv[1]);s.optimized_model_filepath=sys.argv[3];"
    "o.InferenceSession(sys.argv[2],s,providers=['CPUExecutionProvider'])"
)
SIDES = ("hoist", "hoist_ort", "onnxsim", "onnxslim", "basic", "extended")
OURS = SIDES[:2]


def measured(command, limit=900):
    """-> (seconds, peak MB, exit code, output) of a process. This one stays small, because a child's peak starts at its parent's."""
    start = time.time()
    with tempfile.TemporaryFile("w+") as log:
        p = subprocess.Popen(["timeout", str(limit), *command], stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.time() - start
        log.seek(0)
        return seconds, usage.ru_maxrss / 1024, p.returncode, log.read()


def commands(a, source, out):
    tools = os.path.dirname(a.peer or sys.executable)
    python = a.peer or sys.executable
    hoist = [a.hoist, "optimize", source, "-O2", "-o"]
    return {
        "hoist": [*hoist, out("hoist")],
        "hoist_ort": [*hoist, out("hoist_ort"), "--target", "onnxruntime"],
        "onnxsim": [os.path.join(tools, "onnxsim"), source, out("onnxsim")],
        "onnxslim": [os.path.join(tools, "onnxslim"), source, out("onnxslim")],
        "basic": [python, "-c", RUNTIME, "BASIC", source, out("basic")],
        "extended": [python, "-c", RUNTIME, "EXTENDED", source, out("extended")],
    }


def remove(path):
    for p in (path, path + ".data"):
        if os.path.exists(p):
            os.remove(p)


def optimize(a, source, out, repeats=3):
    """Runs every tool on `source`."""
    found = {}
    for side, command in commands(a, source, out).items():
        ways = {"": command} if side not in OURS else {"": [*command, "--no-verify"], "checked_": command}
        found[side] = {}
        for prefix, way in ways.items():
            runs = []
            for _ in range(repeats):
                remove(out(side))
                runs.append(measured(way))
            best = min(runs, key=lambda r: r[0])
            found[side].update({prefix + "seconds": best[0], prefix + "peak": min(r[1] for r in runs)})
            if best[2]:
                found[side][prefix + "error"] = best[3].strip()[-300:]
    return found


def count(path):
    """Nodes of all graphs in the file, without Constant."""
    import onnx

    def nodes(graph):
        total = 0
        for n in graph.node:
            total += n.op_type != "Constant"
            total += sum(nodes(at.g) for at in n.attribute if at.type == onnx.AttributeProto.GRAPH)
        return total

    return nodes(onnx.load(path, load_external_data=False).graph)


def feeds(session, io):
    import numpy as np

    kinds = {"float": "f4", "double": "f8", "float16": "f2", "int64": "i8", "int32": "i4", "int8": "i1", "uint8": "u1", "bool": "?"}
    given = np.load(io, allow_pickle=False) if io and os.path.exists(io) else {}
    draw = np.random.default_rng(0)
    values = {}
    for i, x in enumerate(session.get_inputs()):
        if "in%d" % i in given:
            values[x.name] = given["in%d" % i]
            continue
        shape = [d if isinstance(d, int) and d > 0 else a_size(i, d, x.shape) for i, d in enumerate(x.shape)]
        kind = np.dtype(kinds[x.type[7:-1]])
        if kind.kind == "f":
            values[x.name] = draw.standard_normal(shape).astype(kind) * kind.type(0.5)
        else:
            values[x.name] = np.ones(shape, kind) if "mask" in x.name else draw.integers(0, 2 if kind.kind == "b" or "type" in x.name else 20, shape).astype(kind)
    return values


def a_size(axis, symbol, shape):
    """A size for a dynamic dimension: images of 320 x 320, sequences of 16, a batch of 1."""
    if axis == 0:
        return 1
    return 320 if len(shape) == 4 else 16


def difference(got, want):
    import numpy as np

    if got.shape != want.shape or got.dtype != want.dtype:
        return float("inf")
    if got.dtype.kind not in "fiub":
        return 0.0 if (got == want).all() else float("inf")
    a, b = got.astype(np.float64), want.astype(np.float64)
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return float("inf")
    with np.errstate(invalid="ignore"):
        gap = np.where(a == b, 0, np.abs(a - b))
    return float(np.nanmax(gap, initial=0)) / max(float(np.nanmax(np.abs(b[np.isfinite(b)]), initial=0)), 1e-30)


def measure(source, io, seconds, files):
    """In a process of its own: JSON of what ONNX Runtime makes of `files`, a path by side."""
    import onnxruntime as ort

    def session(path, level):
        options = ort.SessionOptions()
        options.graph_optimization_level = level
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    levels = ort.GraphOptimizationLevel
    plain = session(source, levels.ORT_DISABLE_ALL)
    values = feeds(plain, io)
    want = plain.run(None, values)
    del plain
    result, runners = {"source": {"nodes": count(source)}}, {"source": session(source, levels.ORT_ENABLE_ALL)}
    for side, path in files.items():
        row = result[side] = {}
        try:
            row["nodes"] = count(path)
            row["size"] = size(path) / size(source)
            runner = session(path, levels.ORT_ENABLE_ALL)
            named = dict(zip([o.name for o in runner.get_outputs()], runner.run(None, {k: v for k, v in values.items()})))
            row["difference"] = max((difference(named[o.name], w) for o, w in zip(runners["source"].get_outputs(), want)), default=0.0)
            runners[side] = runner
        except Exception as e:
            row["error"] = str(e).strip()[:300] or type(e).__name__
    times = {side: [] for side in runners}
    end = time.time() + seconds
    while seconds and (time.time() < end or len(times["source"]) < 7):
        for side, runner in runners.items():
            start = time.perf_counter()
            runner.run(None, values)
            times[side].append(time.perf_counter() - start)
    for side, spent in times.items():
        if spent:
            result[side]["ms"] = statistics.median(spent[min(3, len(spent) // 2) :]) * 1000
            result[side]["ms_least"] = min(spent) * 1000
    print(json.dumps(result))


def size(path):
    return sum(os.path.getsize(p) for p in (path, path + ".data") if os.path.exists(p))


def models(paths, only):
    """-> (name, file, io) of each model."""
    for path in paths:
        if os.path.isdir(path):
            inner = sorted(os.path.join(path, n) for n in os.listdir(path))
            files = [os.path.join(f, m) for f in inner for m in ("model.onnx", "model.pt2") if os.path.exists(os.path.join(f, m))]
        else:
            files = [path]
        for f in files:
            folder = os.path.dirname(f)
            name = os.path.basename(folder) if os.path.basename(f).startswith("model.") else os.path.splitext(os.path.basename(f))[0]
            if not only or any(t in name for t in only):
                yield name, f, os.path.join(folder, "io.npz")


def one(a, name, path, io, keep):
    """Everything about one model."""
    def out(side):
        return os.path.join(keep, "%s.%s.onnx" % (name, side))

    source = path
    if path.endswith(".pt2"):
        source = out("source")
        remove(source)
        _, _, code, text = measured([a.hoist, "convert", path, "-o", source, "--no-verify"])
        if code:
            return {"error": text.strip()[-300:]}
    found = optimize(a, source, out)
    files = {side: out(side) for side in SIDES if os.path.exists(out(side))}
    seconds = 0 if a.no_run else a.seconds * (len(files) + 1)
    _, _, code, text = measured([a.peer or sys.executable, os.path.abspath(__file__), "--measure", source, io, str(seconds), json.dumps(files)])
    try:
        for side, values in json.loads(text.strip().splitlines()[-1]).items():
            found.setdefault(side, {}).update(values)
    except (ValueError, IndexError):
        found["error"] = "the measuring process ended with %d: %s" % (code, text.strip()[-300:])
    return found


def cells(found, key, form):
    return [form % found[s][key] if found.get(s, {}).get(key) is not None else "-" for s in SIDES]


def show(name, found):
    """Lines of the table. A star marks a promise that is not kept."""
    peers = [found[s]["nodes"] for s in SIDES[2:] if found.get(s, {}).get("nodes")]
    ours = [found.get(s, {}).get("nodes") for s in OURS]
    nodes = cells(found, "nodes", "%d")
    stars = ["*" if n is None or (p and n > min(p)) else "" for n, p in zip(ours, (peers[:3], peers))]
    ms = [found.get(s, {}).get("ms") for s in ("source", *SIDES)]
    ratios = " ".join("%.2f" % (m / ms[0]) if m and ms[0] else "-" for m in ms[1:])
    checked = " ".join("%.2f" % found[s].get("checked_seconds", 0) for s in OURS if s in found)
    print("%-30s nodes %5s | %s%s %s%s | %s" % (name, found.get("source", {}).get("nodes"), nodes[0], stars[0], nodes[1], stars[1], " ".join(nodes[2:])))
    seconds, peak, part, gap = (cells(found, k, f) for k, f in (("seconds", "%.3f"), ("peak", "%.0f"), ("size", "%.2f"), ("difference", "%.0e")))
    for label, row in (("seconds", seconds), ("peak MB", peak), ("size", part), ("difference", gap)):
        print("%30s %s | %s" % (label, " ".join(row[:2]), " ".join(row[2:])) + (" | checked " + checked if label == "seconds" else ""))
    print("%30s source %s | %s" % ("ms, ratios to source", "%.3f" % ms[0] if ms[0] else "-", ratios), flush=True)
    for side in ("error", *SIDES):
        why = found.get(side) if side == "error" else found.get(side, {}).get("error") or found.get(side, {}).get("checked_error")
        if why:
            print("    %s: %s" % (side, str(why).splitlines()[-1][:200]))


def summary(every):
    """What was promised, counted."""
    def best(found, sides):
        return min((found[s]["nodes"] for s in sides if found.get(s, {}).get("nodes")), default=0)

    rows = [f for f in every.values() if f.get("source")]
    fewer = sum(f.get("hoist", {}).get("nodes", 1 << 60) <= best(f, SIDES[2:5]) for f in rows)
    fewest = sum(f.get("hoist_ort", {}).get("nodes", 1 << 60) <= best(f, SIDES[2:]) for f in rows)
    print("nodes: -O2 has at most those of onnxsim, onnxslim, ONNX Runtime basic on %d of %d; with --target onnxruntime at most those of all four on %d" % (fewer, len(rows), fewest))
    for peer in SIDES[2:4]:
        ratios = sorted(f[peer]["seconds"] / f["hoist"]["seconds"] for f in rows if f.get(peer, {}).get("seconds") and f.get("hoist", {}).get("seconds"))
        if ratios:
            print("seconds: %s takes %.0f to %.0f times as long, median %.0f" % (peer, ratios[0], ratios[-1], statistics.median(ratios)))
    for side in OURS:
        ratios = sorted(f[side]["ms"] / f["source"]["ms"] for f in rows if f.get(side, {}).get("ms") and f["source"].get("ms"))
        if ratios:
            print("ms: %s / source from %.2f to %.2f, median %.2f" % (side, ratios[0], ratios[-1], statistics.median(ratios)))


CHAIN = r"""
import numpy as np, onnx, sys
from onnx import helper as h, numpy_helper as nh
n, path = int(sys.argv[1]), sys.argv[2]
nodes, cur = [], "x"
def add(op, *more, **attrs):
    global cur
    out = "v%d" % len(nodes)
    nodes.append(h.make_node(op, [cur, *more], [out], name="n%d" % len(nodes), **attrs))
    cur = out
while len(nodes) < n - 10:
    add("Sigmoid"); add("Reshape", "pair"); add("Transpose", perm=[1, 0]); add("Transpose", perm=[1, 0]); add("Reshape", "flat")
    add("Identity"); add("Add", "c"); add("Mul", "two"); add("Cast", to=1); add("Tanh")
while len(nodes) < n:
    add("Tanh")
nodes[-1].output[0] = "y"
init = [nh.from_array(np.array(v, t), k) for k, v, t in (("c", [1.5, -2, 0.5, 3], "f4"), ("two", 2, "f4"), ("pair", [2, 2], "i8"), ("flat", [4], "i8"))]
g = h.make_graph(nodes, "chain", [h.make_tensor_value_info("x", 1, [4])], [h.make_tensor_value_info("y", 1, [4])], init)
onnx.save(h.make_model(g, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
"""
LARGE = r"""
import numpy as np, onnx, sys
from onnx import helper as h, TensorProto as T
count, path = int(float(sys.argv[1]) * 16), sys.argv[2]
side, nodes, init, cur = 4096, [], [], "x"
draw = np.random.default_rng(0)
with open(path + ".data", "wb") as f:
    for i in range(count):
        f.write((draw.standard_normal((side, side), np.float32) / 64).tobytes())
        t = T(name="w%d" % i, data_type=1, dims=[side, side], data_location=T.EXTERNAL)
        for k, v in (("location", path.split("/")[-1] + ".data"), ("offset", str(i * side * side * 4)), ("length", str(side * side * 4))):
            e = t.external_data.add(); e.key, e.value = k, v
        init.append(t)
        nodes += [h.make_node("MatMul", [cur, "w%d" % i], ["m%d" % i]), h.make_node("Identity", ["m%d" % i], ["i%d" % i]), h.make_node("Relu", ["i%d" % i], ["r%d" % i])]
        cur = "r%d" % i
nodes.append(h.make_node("Identity", [cur], ["y"]))
g = h.make_graph(nodes, "large", [h.make_tensor_value_info("x", 1, [1, side])], [h.make_tensor_value_info("y", 1, [1, side])], init)
onnx.save(h.make_model(g, opset_imports=[h.make_opsetid("", 17)], ir_version=8), path)
"""


def chains(a, keep):
    for n in (10_000, 50_000, 200_000):
        source = os.path.join(keep, "chain%d.onnx" % n)
        subprocess.run([a.peer or sys.executable, "-c", CHAIN, str(n), source], check=True)
        found = {}
        for target in ("onnx", "onnxruntime"):
            out = os.path.join(keep, "chain.out.onnx")
            runs = []
            for _ in range(3):
                remove(out)
                runs.append(measured([a.hoist, "optimize", source, "-o", out, "-O2", "--no-verify", "--target", target]))
            found[target] = min(runs, key=lambda r: r[0])
        text = ", ".join("--target %s %.2f s %.0f MB (%.1f us a node)" % (t, r[0], r[1], r[0] / n * 1e6) for t, r in found.items())
        print("%d nodes: %s" % (n, text), flush=True)


def large(a, keep):
    source = os.path.join(keep, "large.onnx")
    subprocess.run([a.peer or sys.executable, "-c", LARGE, str(a.large), source], check=True)
    total = size(source) / 2**20
    bound = 64 + total / 20
    print("model of %.0f MB; bound of memory %.0f MB" % (total, bound))
    out = lambda side: os.path.join(keep, "large.%s.onnx" % side)
    start = time.time()
    subprocess.run(["cp", source + ".data", os.path.join(keep, "copy")], check=True)
    print("cp: %.2f s" % (time.time() - start))
    os.remove(os.path.join(keep, "copy"))
    for side, command in commands(a, source, out).items():
        ways = {"": command} if side not in OURS else {" --no-verify": [*command, "--no-verify"], "": command}
        for label, way in ways.items():
            remove(out(side))
            seconds, peak, code, text = measured(way)
            print("%-24s %.2f s, %.0f MB, %.2f of the model%s" % (side + label, seconds, peak, peak / total, ": " + text.strip()[-200:] if code else ""), flush=True)
        remove(out(side))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("hoist")
    p.add_argument("models", nargs="*")
    p.add_argument("--peer")
    p.add_argument("--keep")
    p.add_argument("--only", nargs="*", default=[])
    p.add_argument("--seconds", type=float, default=2)
    p.add_argument("--no-run", action="store_true")
    p.add_argument("--json")
    p.add_argument("--chains", action="store_true")
    p.add_argument("--large", type=float)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        keep = a.keep or scratch
        os.makedirs(keep, exist_ok=True)
        if a.chains:
            return chains(a, keep)
        if a.large:
            return large(a, keep)
        every = {}
        for name, path, io in models(a.models, a.only):
            every[name] = one(a, name, path, io, keep)
            show(name, every[name])
            if a.json:
                with open(a.json, "w") as f:
                    json.dump(every, f, indent=1)
        summary(every)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], sys.argv[3], float(sys.argv[4]), json.loads(sys.argv[5]))
    else:
        main()
