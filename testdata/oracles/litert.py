#!/usr/bin/env python3
"""Runs what Hoist wrote in LiteRT, with the XNNPACK delegate and without any.

    litert.py DIR

DIR holds NAME.tflite with NAME.in.npz and NAME.out.npz (arrays by name in the signature; outputs that are not listed are not compared) and NAME.tol
(relative and absolute tolerance). Inputs whose sizes differ from the file's are resized. Each model runs in a process of its own, twice, since kernels may
abort and may keep something between runs. Prints one line per failure, then `N run, K failed`.
"""
import glob
import os
import signal
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

# The delegate gives 0 for exp(nan) and nan for the logistic function of large numbers, and refuses tensors without elements; such cases
# are left to the kernels.
DELEGATE = " (XNNPACK)"
# Kernels pass over NaN here; the specification and numpy let it win.
DROPS_NAN = ("arg_max", "arg_min", "reduce_max", "reduce_min", "top_k")
# Kernels of sums, products and quotients give the largest number in place of infinity; these compute with it.
CLAMPS = ("acosh", "softsign")
# Seconds for one model.
LIMIT = 60


def compare(got, want, rtol, atol):
    if want.dtype.kind == "U" and got.dtype == object:
        got = np.array([t.decode() for t in got.ravel()], dtype=want.dtype).reshape(got.shape)
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"{got.dtype}{list(got.shape)}, expected {want.dtype}{list(want.shape)}"
    if want.dtype.kind not in "fc":
        return "" if np.array_equal(got, want) else f"values differ: {got.ravel()[:6]} expected {want.ravel()[:6]}"
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    same = np.allclose(got.astype(wide), want.astype(wide), rtol=rtol, atol=atol, equal_nan=True)
    return "" if same else f"values differ: {got.ravel()[:6]} expected {want.ravel()[:6]}"


def run(base, resolver):
    """'' when right, else what is wrong."""
    rtol, atol = map(float, open(base + ".tol").read().split())
    feeds, wanted = dict(np.load(base + ".in.npz")), dict(np.load(base + ".out.npz"))
    model = Interpreter(model_path=base + ".tflite", num_threads=1, experimental_op_resolver_type=resolver)
    signature = model._get_full_signature_list()["serving_default"]
    details = {d["index"]: d for d in model.get_input_details()}
    for name, index in signature["inputs"].items():
        if list(details[index]["shape"]) != list(feeds[name].shape):
            # Tensors without a rank have no sizes to be strict about.
            model.resize_tensor_input(index, feeds[name].shape, strict=len(details[index]["shape_signature"]) > 0)
    model.allocate_tensors()
    for time in ("", "second run: "):
        for name, index in signature["inputs"].items():
            model.set_tensor(index, feeds[name])
        model.invoke()
        found = {d["index"]: d for d in model.get_output_details()}
        for name, index in signature["outputs"].items():
            # Elements of a tensor that has none cannot be read when its sizes come from the run.
            empty = 0 in found[index]["shape"]
            got = np.zeros(found[index]["shape"], found[index]["dtype"]) if empty else model.get_tensor(index)
            why = compare(got, wanted[name], max(rtol, 1e-4), max(atol, 1e-5)) if name in wanted else ""
            if why:
                return f"{time}{name}: {why}"
    return ""


def arrays(base):
    """Inputs, also those that are constants of this form of the model, and expected outputs."""
    return [*np.load(base + ".in.npz").values(), *np.load(base + ".out.npz").values()]


def any_is(what, base):
    return any(what(a).any() for a in arrays(base) if a.dtype.kind == "f")


def left_out(base, way):
    """Whether LiteRT is known to compute another thing than the specification says."""
    name = os.path.basename(base)
    if name.startswith(DROPS_NAN) and any_is(np.isnan, base) or name.startswith(CLAMPS) and any_is(np.isinf, base):
        return True
    return way == DELEGATE and any(a.size == 0 or a.dtype.kind == "f" and not np.isfinite(a).all() for a in arrays(base))


def apart(base, resolver):
    """`run` in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        signal.alarm(LIMIT)
        try:
            why = run(base, resolver)
        except BaseException as e:  # LiteRT raises ValueError and RuntimeError
            why = f"{type(e).__name__} {' '.join(str(e).split())[:240]}"
        with os.fdopen(writer, "w") as pipe:
            pipe.write(why)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        why = pipe.read()
    status = os.waitpid(child, 0)[1]
    return why if os.WIFEXITED(status) else f"ended by signal {os.WTERMSIG(status)}"


def main(folder):
    ways = {"": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES, DELEGATE: OpResolverType.AUTO}
    paths = sorted(glob.glob(os.path.join(folder, "*.tflite")))
    failed = 0
    for path in paths:
        base = path[: -len(".tflite")]
        for way, resolver in ways.items():
            why = "" if left_out(base, way) else apart(base, resolver)
            if why:
                failed += 1
                print(f"{os.path.basename(base)}{way}: {why}")
                break
    print(f"{len(paths)} run, {failed} failed")


main(sys.argv[1])
