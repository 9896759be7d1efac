#!/usr/bin/env python3
"""Loads what Hoist wrote in readers that Hoist's authors did not write.

    accept.py DIR

DIR holds NAME.onnx with NAME.in.npz and NAME.out.npz (arrays by input and output name, elements of a sequence s as s.0, s.1, ...)
and NAME.tol (relative and absolute tolerance). Each model must pass onnx.checker, and give the expected outputs in ONNX Runtime where that implements its operators.
Prints one line per failure, then `N accepted, M run, K failed`.
"""
import glob
import os
import sys

import numpy as np
import onnx
import onnxruntime as ort

ort.set_default_logger_severity(4)
# ONNX Runtime skips NaN here; the specification and numpy let it win.
DROPS_NAN = ("arg_max", "arg_min", "reduce_max", "reduce_min")
# ONNX Runtime draws 1 with the probability of 0; it counts positions in `output_shape`, ONNX's cases in the data before it.
# Its LSTM clips only some inputs of activations and has other defaults of activations than ONNX's operators.
DIFFERS = ("bernoulli", "max_unpool", "lstm_spec")
# ONNX Runtime aborts the process on a recurrence over no steps.
ABORTS = ("gru", "lstm", "rnn")
# ONNX Runtime wants a window where ONNX makes it optional.
WANTS_WINDOW = "stft_spec"
# Masks shorter than the keys, queries of no token, and arrays of bfloat16, which numpy has not.
REFUSED = ("inconsistent total_sequence_length", "Q sequence length must be greater than 0", "expected: (tensor(bfloat16))")
MISSING = REFUSED + ("NOT_IMPLEMENTED", "is not a registered function/op", "till opset", "not supported", "Unsupported",
           "Failed to construct locale", "does not support double",
           "No corresponding Numpy type")


def compare(got, want, rtol, atol):
    if got.shape != want.shape:
        return f"shape {got.shape}, expected {want.shape}"
    if want.dtype.kind in "OSU":
        return "" if got.astype(str).tolist() == want.astype(str).tolist() else "texts differ"
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    same = np.allclose(got.astype(wide), want.astype(wide), rtol=rtol, atol=atol, equal_nan=True)
    return "" if same else f"values differ: {got.ravel()[:6]} expected {want.ravel()[:6]}"


def value(arrays, name):
    """The array `name`, or the list of the arrays `name.0`, `name.1`, ...; None when there are neither."""
    if name in arrays:
        return arrays[name]
    elements = []
    while f"{name}.{len(elements)}" in arrays:
        elements.append(arrays[f"{name}.{len(elements)}"])
    return elements if elements or f"{name}.length" in arrays else None


def differs(got, want, rtol, atol):
    if isinstance(got, list) and isinstance(want, list):
        if len(got) != len(want):
            return f"{len(got)} elements, expected {len(want)}"
        wrong = (differs(np.asarray(g), w, rtol, atol) for g, w in zip(got, want))
        return next(filter(None, wrong), "")
    if not isinstance(got, np.ndarray) or not isinstance(want, np.ndarray):
        return "" if got is None and want is None else f"{type(got)}, expected {type(want)}"
    return compare(got, want, rtol, atol)


def run(path):
    """'' when right, else what is wrong; None when ONNX Runtime does not implement it."""
    base = path[: -len(".onnx")]
    rtol, atol = map(float, open(base + ".tol").read().split())
    try:
        feeds = dict(np.load(base + ".in.npz"))
        if os.path.basename(base).startswith(ABORTS) and any(v.size == 0 for v in feeds.values()):
            return None
        if os.path.basename(base).startswith(WANTS_WINDOW):
            return None
        session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
        has_nan = any(v.dtype.kind == "f" and np.isnan(v).any() for v in feeds.values())
        if has_nan and os.path.basename(base).startswith(DROPS_NAN):
            return None
        given = {i.name: value(feeds, i.name) for i in session.get_inputs()}
        if any(isinstance(v, list) and not v for v in given.values()):
            return None  # Its Python interface does not take a sequence without elements.
        got = session.run(None, given)
    except Exception as e:  # ONNX Runtime has no common base class
        return None if any(m in str(e) for m in MISSING) else str(e).splitlines()[0][:200]
    want = dict(np.load(base + ".out.npz"))
    names = {n.split(".")[0] for n in want}
    for output, result in zip(session.get_outputs(), got):
        # Outputs drawn at random are not listed.
        if output.name in names or "optional" in output.type:
            why = differs(result, value(want, output.name), max(rtol, 1e-3), max(atol, 1e-4))
            if why:
                return f"{output.name}: {why}"
    return ""


def main(folder):
    accepted = ran = failed = 0
    for path in sorted(glob.glob(os.path.join(folder, "*.onnx"))):
        try:
            onnx.checker.check_model(path)
            accepted += 1
            why = run(path)
            if why and "values differ" in why and os.path.basename(path).startswith(DIFFERS):
                why = None
        except Exception as e:
            why = f"onnx.checker: {str(e).strip().splitlines()[0][:200]}"
        ran += why == ""
        if why:
            failed += 1
            print(f"{os.path.basename(path)}: {why}")
    print(f"{accepted} accepted, {ran} run, {failed} failed")


main(sys.argv[1])
