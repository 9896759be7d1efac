#!/usr/bin/env python3
"""tf.keras.applications with random weights, as SavedModel, .keras and .h5: are they right in ONNX Runtime and LiteRT, and how do time and memory compare with tf2onnx?

    tensorflow_peers.py make FOLDER [NAME...]        needs tensorflow; FOLDER/NAME gets saved_model, model.keras, model.h5 and io.npz (in0, out0)
    tensorflow_peers.py check HOIST FOLDER [NAME...]  needs onnxruntime and ai-edge-litert
    tensorflow_peers.py race HOIST FOLDER PYTHON      PYTHON has tf2onnx: whole processes in turn, SavedModel to ONNX

Weights are drawn so that activations keep their scale; statistics of batch normalization are disturbed, so that one that is left out or swapped shows.
Made with: pip install tensorflow-cpu==2.21.0 tf2onnx==1.17.0 onnxruntime==1.32.0 ai-edge-litert==2.3.0 numpy==2.4.6
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

# Scripts beside this one have names that packages look for.
sys.path.pop(0)
import numpy as np

NAMES = ["MobileNet", "MobileNetV2", "MobileNetV3Small", "ResNet50", "ResNet50V2", "DenseNet121", "EfficientNetB0", "EfficientNetV2B0", "NASNetMobile", "Xception", "InceptionV3", "VGG16", "ConvNeXtTiny"]
KINDS = ["saved_model", "model.keras", "model.h5"]
# Largest difference, as a part of the largest output.
TOLERANCE = 1e-4


def make(folder, names):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    for name in names or NAMES:
        path = pathlib.Path(folder) / name
        path.mkdir(parents=True, exist_ok=True)
        tf.keras.utils.set_random_seed(0)
        size = {"InceptionV3": 139, "Xception": 139, "NASNetMobile": 224, "VGG16": 64, "ResNet50": 96, "ResNet50V2": 96, "DenseNet121": 96}.get(name, 128)
        model = getattr(tf.keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=100, classifier_activation=None)
        rng = np.random.default_rng(1)
        for w in model.weights:
            if "moving_variance" in w.path or "gamma" in w.path and "layer_scale" not in w.path:
                w.assign(rng.uniform(0.7, 1.4, w.shape).astype(np.float32))
            elif "moving_mean" in w.path or "beta" in w.path or "bias" in w.path:
                w.assign(rng.normal(0, 0.1, w.shape).astype(np.float32))
        x = rng.uniform(0, 255 if "Efficient" in name or "V3Small" in name or "ConvNeXt" in name else 1, (2, size, size, 3)).astype(np.float32)
        np.savez(path / "io.npz", in0=x, out0=model(x, training=False).numpy())
        model.save(path / "model.keras")
        model.save(path / "model.h5")
        model.export(str(path / "saved_model"), verbose=False)
        print(name, flush=True)


def run_onnx(path, x):
    import onnxruntime as ort

    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def run_tflite(path, x):
    from ai_edge_litert.interpreter import Interpreter

    model = Interpreter(model_path=path)
    at = model.get_input_details()[0]["index"]
    model.resize_tensor_input(at, x.shape)
    model.allocate_tensors()
    model.set_tensor(at, x)
    model.invoke()
    return model.get_tensor(model.get_output_details()[0]["index"])


def check(hoist, folder, names):
    right = total = 0
    for name in names or sorted(os.listdir(folder)):
        arrays = np.load(os.path.join(folder, name, "io.npz"))
        for kind in KINDS:
            for ending, run in (("onnx", run_onnx), ("tflite", run_tflite)):
                total += 1
                with tempfile.TemporaryDirectory() as out:
                    target = os.path.join(out, "m." + ending)
                    begin = time.time()
                    done = subprocess.run([hoist, "convert", os.path.join(folder, name, kind), "-o", target], capture_output=True, text=True)
                    seconds = time.time() - begin
                    if done.returncode:
                        print(f"{name} {kind} {ending}: {done.stderr[:300]}", flush=True)
                        continue
                    got = run(target, arrays["in0"])
                    part = np.abs(got - arrays["out0"]).max() / np.abs(arrays["out0"]).max()
                    right += bool(part < TOLERANCE)
                    print(f"{name} {kind} {ending}: {part:.1e} of the largest output, {seconds:.2f} s, {os.path.getsize(target)} bytes", flush=True)
    print(f"{right} of {total} match")


def measured(command):
    """-> (seconds, peak MB)"""
    begin = time.time()
    p = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    text = p.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode:
        return None
    return time.time() - begin, usage.ru_maxrss / 1024


def race(hoist, folder, python):
    for name in sorted(os.listdir(folder)):
        source = os.path.join(folder, name, "saved_model")
        with tempfile.TemporaryDirectory() as out:
            ours = [measured([hoist, "convert", source, "-o", os.path.join(out, "h.onnx")]) for _ in range(3)]
            theirs = measured([python, "-m", "tf2onnx.convert", "--saved-model", source, "--output", os.path.join(out, "t.onnx"), "--opset", "18"])
            ours = min((o for o in ours if o), default=None)
            if not ours or not theirs:
                print(f"{name}: hoist {ours}, tf2onnx {theirs}")
                continue
            sizes = [os.path.getsize(os.path.join(out, f)) for f in ("h.onnx", "t.onnx")]
            print(f"{name}: hoist {ours[0]:.2f} s {ours[1]:.0f} MB {sizes[0]} bytes, tf2onnx {theirs[0]:.1f} s {theirs[1]:.0f} MB {sizes[1]} bytes: {theirs[0] / ours[0]:.0f} times as fast, {ours[1] / theirs[1]:.3f} of the memory", flush=True)


if __name__ == "__main__":
    what, rest = sys.argv[1], sys.argv[2:]
    if what == "make":
        make(rest[0], rest[1:])
    elif what == "check":
        check(rest[0], rest[1], rest[2:])
    else:
        race(*rest)
