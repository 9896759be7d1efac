#!/usr/bin/env python3
"""Writes folders of testdata/tensorflow: models of TensorFlow.js, graphs from its converter and layers from itself and from Keras, with what it computes.

    javascript.py FOLDER [NAME...]

A folder gets `model.json` with its weights, `io.npz` (in0.., out0..: inputs in the order of the model, outputs of graphs in that of their names) and `meta.json`.

Made with: pip install tensorflow-cpu==2.21.0 numpy==2.4.6 h5py && pip install --no-deps tensorflowjs==4.22.0, and
npm install @tensorflow/tfjs@4.22.0 in a folder whose node_modules NODE_MODULES names. What the converter imports and does not need here is left out.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import types

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf


class Absent(types.ModuleType):
    """A module of which only names are looked up."""

    __path__ = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self.__name__}.{name}")


for absent in ["tensorflow_hub", "tensorflow_decision_forests", "tf_keras", "tf_keras.src", "tf_keras.src.saving", "jax", "jax.experimental", "jax.experimental.jax2tf"]:
    sys.modules.setdefault(absent, Absent(absent))
from tensorflowjs.converters import converter, keras_h5_conversion, tf_saved_model_conversion_v2 as graphs

HERE = pathlib.Path(__file__).resolve().parent / "javascript"
F = np.float32
CASES = {}


def case(make):
    CASES[make.__name__] = make
    return make


def normal(*shape, seed=0, scale=1.0):
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(F)


def node(script, *args):
    done = subprocess.run(["node", HERE / script, *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


def from_json(file):
    types = {"float32": F, "int32": np.int32, "bool": bool, "string": str}
    of = lambda t: np.array(t["values"], types[t["dtype"]]).reshape(t["shape"])
    return {k: of(t) for k, t in json.loads(file.read_text()).items()}


def to_json(file, arrays):
    name = lambda a: {"f": "float32", "i": "int32", "b": "bool"}.get(a.dtype.kind, "string")
    file.write_text(json.dumps({k: {"dtype": name(a), "shape": a.shape, "values": a.reshape(-1).tolist()} for k, a in arrays.items()}))


def record(folder, given, computed, **what):
    named = {f"{kind}{i}": a for kind, all in (("in", given), ("out", computed)) for i, a in enumerate(all)}
    np.savez(folder / "io.npz", **named)
    (folder / "meta.json").write_text(json.dumps(what) + "\n")


def computed(kind, folder, inputs):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        to_json(scratch / "in.json", inputs)
        node("run.mjs", kind, folder, scratch / "in.json", scratch / "out.json")
        return from_json(scratch / "out.json")


def close(a, b, tolerance):
    if a.shape != b.shape or (a.dtype.kind in "US") != (b.dtype.kind in "US"):
        return False
    return bool(np.all(a == b)) if a.dtype.kind in "US" else np.allclose(a.astype(np.float64), b.astype(np.float64), tolerance, tolerance)


def graph(folder, module, signature, feed, tolerance=1e-5, **options):
    """Converts `module` and checks that TensorFlow.js computes what TensorFlow does."""
    with tempfile.TemporaryDirectory() as saved:
        tf.saved_model.save(module, saved, signatures=signature)
        given = tf.saved_model.load(saved).signatures["serving_default"](**{k: tf.constant(v) for k, v in feed.items()})
        graphs.convert_tf_saved_model(saved, str(folder), **options)
    found = computed("graph", folder, feed)
    plain = lambda v: np.char.decode(v.astype(bytes)) if v.dtype == object else v
    expected = {k: plain(v.numpy()) for k, v in given.items()}
    # The converter does not keep all names of outputs, and JavaScript knows fewer types than the graph states.
    same = {k: next((e for e in [expected.get(k), *expected.values()] if e is not None and close(v, e, tolerance)), None) for k, v in found.items()}
    assert len(found) == len(expected) and all(e is not None for e in same.values()), (found, expected)
    names = sorted(found)
    record(folder, [feed[k] for k in sorted(feed)], [found[k].astype(same[k].dtype) for k in names], inputs=sorted(feed), outputs=names)


class Picture(tf.Module):
    def __init__(self):
        self.a = tf.Variable(normal(3, 3, 3, 6, seed=1, scale=0.4))
        self.ab = tf.Variable(normal(6, seed=2))
        self.d = tf.Variable(normal(3, 3, 6, 1, seed=3, scale=0.4))
        self.db = tf.Variable(normal(6, seed=4))
        self.p = tf.Variable(np.abs(normal(1, 1, 6, seed=5)))
        self.c = tf.Variable(normal(1, 1, 6, 4, seed=6))
        self.cb = tf.Variable(normal(4, seed=7))
        self.q = tf.Variable(np.abs(normal(4, seed=8)))
        self.m = tf.Variable(normal(4, 5, seed=9))
        self.mb = tf.Variable(normal(5, seed=10))
        self.n = tf.Variable(normal(5, 3, seed=11))

    @tf.function(input_signature=[tf.TensorSpec([None, 9, 8, 3], tf.float32, name="x")])
    def run(self, x):
        y = tf.nn.relu6(tf.nn.bias_add(tf.nn.conv2d(x, self.a, 2, "SAME"), self.ab))
        y = tf.nn.elu(tf.nn.bias_add(tf.nn.depthwise_conv2d(y, self.d, [1, 1, 1, 1], "SAME"), self.db))
        y = tf.nn.relu(y) + (-self.p) * tf.nn.relu(-y)
        y = tf.nn.bias_add(tf.nn.conv2d(y, self.c, 1, "VALID"), self.cb)
        y = tf.nn.relu(y) + (-self.q) * tf.nn.relu(-y)
        y = tf.reduce_mean(y, [1, 2])
        y = tf.nn.leaky_relu(tf.nn.bias_add(tf.matmul(y, self.m), self.mb), 0.3)
        return {"scores": tf.nn.softmax(tf.matmul(y, self.n)), "features": y}


def picture(folder, **options):
    m = Picture()
    graph(folder, m, m.run, {"x": normal(2, 9, 8, 3, seed=20)}, **options)


@case
def js_graph_fused(folder):
    """Fused convolutions and products, Prelu, weights in many files."""
    picture(folder, weight_shard_size_bytes=300)


@case
def js_graph_uint8(folder):
    picture(folder, quantization_dtype_map={"uint8": True}, tolerance=1)


@case
def js_graph_uint16(folder):
    picture(folder, quantization_dtype_map={"uint16": True}, tolerance=1e-2)


@case
def js_graph_float16(folder):
    picture(folder, quantization_dtype_map={"float16": True}, tolerance=1e-2)


class Flow(tf.Module):
    def __init__(self):
        self.w = tf.Variable(normal(4, 4, seed=1, scale=0.5))

    @tf.function(input_signature=[tf.TensorSpec([2, 4], tf.float32, name="x"), tf.TensorSpec([], tf.int32, name="n")])
    def run(self, x, n):
        y = x
        for i in tf.range(n):
            y = tf.tanh(y @ self.w) + tf.cast(i, tf.float32) * [0.5, 0.25, -0.5, 1.0]
        z = tf.cond(tf.reduce_sum(y) > 0.0, lambda: y * [[2.0, 3.0, 4.0, 5.0]], lambda: y - 1.0)
        order = tf.argmax(z, 1) + tf.constant([3, 4], tf.int64)
        return {"y": y, "z": z, "order": order, "high": tf.greater(z, 0.0)}


@case
def js_graph_functions(folder):
    """Loops and branches as functions, whose constants are weights too."""
    m = Flow()
    graph(folder, m, m.run, {"x": normal(2, 4, seed=3), "n": np.int32(3)}, control_flow_v2=True)


class Words(tf.Module):
    def __init__(self):
        keys = tf.constant(["red", "green", "blue"])
        of = lambda keys, values, default: tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), default)
        self.ids = of(keys, tf.constant([4, 7, 1], tf.int32), -1)
        self.e = tf.Variable(normal(9, 3, seed=1))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="words")])
    def run(self, words):
        ids = self.ids.lookup(words)
        return {"ids": ids, "vectors": tf.gather(self.e, tf.maximum(ids, 0))}


@case
def js_graph_table(folder):
    """A table that a second graph fills."""
    m = Words()
    graph(folder, m, m.run, {"words": np.array(["blue", "red", "black"])})


def keras_model():
    k = tf.keras
    tf.keras.utils.set_random_seed(5)
    x = k.Input((8, 6, 2), name="picture")
    s = k.Input((5, 3), name="steps")
    y = k.layers.Conv2D(4, 3, padding="same", activation="relu", bias_initializer="random_normal")(x)
    y = k.layers.BatchNormalization(gamma_initializer="random_uniform", beta_initializer="random_normal", moving_mean_initializer="random_normal")(y)
    y = k.layers.DepthwiseConv2D(3, bias_initializer="random_normal")(y)
    y = k.layers.GlobalAveragePooling2D()(y)
    z = k.layers.Bidirectional(k.layers.LSTM(3, return_sequences=True))(s)
    z = k.layers.GRU(4, reset_after=False)(z)
    tower = k.Sequential([k.Input((4,)), k.layers.Dense(3, activation="tanh", bias_initializer="random_normal"), k.layers.Dense(2)], name="tower")
    out = k.layers.Concatenate()([tower(y), tower(z), k.layers.Multiply()([y, z])])
    return k.Model([x, s], k.layers.Dense(3, activation="softmax", bias_initializer="random_normal")(out)), [normal(2, 8, 6, 2, seed=30), normal(2, 5, 3, seed=31)]


@case
def js_layers_h5(folder):
    """A whole Keras model in HDF5, converted; TensorFlow computes, since TensorFlow.js does not read what Keras 3 writes."""
    model, inputs = keras_model()
    with tempfile.TemporaryDirectory() as scratch:
        model.save(f"{scratch}/m.h5")
        converter.dispatch_keras_h5_to_tfjs_layers_model_conversion(f"{scratch}/m.h5", str(folder), weight_shard_size_bytes=1000)
    record(folder, inputs, [model.predict(inputs, verbose=0)])


@case
def js_layers_archive(folder):
    """An archive of Keras 3, converted."""
    model, inputs = keras_model()
    with tempfile.TemporaryDirectory() as scratch:
        model.save(f"{scratch}/m.keras")
        converter.dispatch_keras_keras_to_tfjs_layers_model_conversion(f"{scratch}/m.keras", str(folder))
    record(folder, inputs, [model.predict(inputs, verbose=0)])


def from_javascript(folder):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        node("layers.mjs", scratch, folder.name)
        inputs, outputs = (list(from_json(scratch / folder.name / f).values()) for f in ("in.json", "out.json"))
        for file in (scratch / folder.name).glob("[mw]*"):
            shutil.copy(file, folder)
    record(folder, inputs, outputs)


for name in ["js_layers_image", "js_layers_sequence", "js_layers_nested"]:
    CASES[name] = from_javascript


def main():
    root = pathlib.Path(sys.argv[1])
    for name in sys.argv[2:] or CASES:
        folder = root / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        CASES[name](folder)
        print(name, sum(f.stat().st_size for f in folder.iterdir()))


main()
