#!/usr/bin/env python3
"""Time and peak memory of a whole `hoist convert` of MobileNetV2, parity check included, and of torch.onnx.export from the same model.

    convert_time.py HOIST [RUNS]

Each side runs in its own processes, in turn: `hoist convert m.pt2 -o m.onnx`, and a Python that builds the same module (torchvision, random weights) and calls
`torch.onnx.export(module, sample, "m.onnx", dynamo=True)`; for the latter both the whole process and the call alone are timed. Prints medians of RUNS
(default 5 and 3) and the ratios. Needs torch, torchvision, onnxscript.
"""
import os
import statistics
import subprocess
import sys
import tempfile
import time

MODULE = """
import time, torch, torchvision
torch.manual_seed(0)
model = torchvision.models.mobilenet_v2(weights=None).eval()
sample = (torch.randn(1, 3, 224, 224),)
"""
EXPORT = MODULE + 'torch.export.save(torch.export.export(model, sample), "m.pt2")'
TORCH = MODULE + """
start = time.time()
torch.onnx.export(model, sample, "t.onnx", dynamo=True, verbose=False)
print("CALL", time.time() - start)
"""


def measured(command, folder):
    """-> (seconds, peak MB, output). The peak is that of this process alone."""
    start = time.time()
    with tempfile.TemporaryFile("w+") as log:
        p = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.time() - start
        log.seek(0)
        text = log.read()
    if p.returncode:
        sys.exit("%s failed:\n%s" % (command[0], text[-2000:]))
    return seconds, usage.ru_maxrss / 1024, text


def main(hoist, runs):
    with tempfile.TemporaryDirectory() as folder:
        measured([sys.executable, "-c", EXPORT], folder)
        ours = [measured([os.path.abspath(hoist), "convert", "m.pt2", "-o", "m.onnx"], folder) for _ in range(runs + 2)]
        theirs = [measured([sys.executable, "-c", TORCH], folder) for _ in range(runs)]
    calls = [float(line.split()[1]) for _, _, text in theirs for line in text.splitlines() if line.startswith("CALL")]
    middle = lambda rows, i: statistics.median(r[i] for r in rows)
    print("hoist convert, check included: %.3f s, %.0f MB" % (middle(ours, 0), middle(ours, 1)))
    print("torch.onnx.export: %.2f s (whole process %.2f s), %.0f MB" % (statistics.median(calls), middle(theirs, 0), middle(theirs, 1)))
    print("time: %.0f times as fast (process: %.0f); memory: 1/%.1f" % (statistics.median(calls) / middle(ours, 0), middle(theirs, 0) / middle(ours, 0), middle(theirs, 1) / middle(ours, 1)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 3)
