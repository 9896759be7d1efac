#!/usr/bin/env python3
"""Writes folders of testdata/tensorflow_saved: SavedModels with tables, state and several signatures, and graphs beside their checkpoints.

    saved.py FOLDER [NAME...]

A folder gets `saved_model`, or `graph.meta` with its checkpoint, with `io.npz` (in0.., out0.., in the order of the names) and `meta.json`.

Made with: pip install tensorflow-cpu==2.21.0 numpy==2.4.6
"""
import json
import os
import pathlib
import shutil
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
CASES = {}
F = np.float32


def case(make):
    CASES[make.__name__] = make
    return make


def arrays(folder, inputs, outputs):
    plain = lambda v: np.char.decode(v.astype(bytes)) if v.dtype == object else v
    named = {f"{kind}{i}": plain(np.asarray(v)) for kind, all in (("in", inputs), ("out", outputs)) for i, v in enumerate(all)}
    np.savez(folder / "io.npz", **named)


def meta(folder, **what):
    (folder / "meta.json").write_text(json.dumps(what) + "\n")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(F)


def module(folder, m, signatures, feed, key="serving_default", **what):
    """Saves `m` and what the function of signature `key` gives for `feed`, a dictionary."""
    target = folder / "saved_model"
    shutil.rmtree(target, ignore_errors=True)
    tf.saved_model.save(m, str(target), signatures=signatures)
    (target / "fingerprint.pb").unlink(missing_ok=True)
    loaded = tf.saved_model.load(str(target)).signatures[key]
    given = loaded(**{k: tf.constant(v) for k, v in feed.items()})
    arrays(folder, [feed[k] for k in sorted(feed)], [given[k].numpy() for k in sorted(given)])
    meta(folder, inputs=sorted(feed), outputs=sorted(given), **what)


spec = tf.TensorSpec


@case
def tables(folder):
    """Tables of constants and of an asset, keys of texts and integers."""
    vocabulary = folder / "words.txt"
    vocabulary.write_text("the\nquick\nbrown\nfox\n")

    class Words(tf.Module):
        def __init__(self):
            pairs = tf.lookup.KeyValueTensorInitializer(["a", "b", "é"], tf.constant([7, -3, 5], tf.int64))
            self.letters = tf.lookup.StaticHashTable(pairs, 100)
            whole, line = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
            read = tf.lookup.TextFileInitializer(str(vocabulary), tf.string, whole, tf.int64, line)
            self.words = tf.lookup.StaticHashTable(read, -1)
            back = tf.lookup.TextFileInitializer(str(vocabulary), tf.int64, line, tf.string, whole)
            self.names = tf.lookup.StaticHashTable(back, "?")
            numbers = tf.lookup.KeyValueTensorInitializer(tf.constant([3, 9], tf.int64), tf.constant([0.5, 2.0]))
            self.scale = tf.lookup.StaticHashTable(numbers, -1.0)
            bytes = tf.lookup.KeyValueTensorInitializer(tf.constant([3, 9], tf.int32), tf.constant([1, 2], tf.int32))
            self.small = tf.lookup.StaticHashTable(bytes, 0)

        @tf.function(input_signature=[spec([None], tf.string, "w"), spec([2, 2], tf.int64, "n")])
        def __call__(self, w, n):
            return {"letters": self.letters.lookup(w), "words": self.words.lookup(w), "scale": self.scale.lookup(n), "size": self.words.size(),
                    "back": self.words.lookup(self.names.lookup(n)), "small": self.small.lookup(tf.cast(n, tf.int32))}

    m = Words()
    module(folder, m, m.__call__, {"w": np.array(["b", "fox", "é", "zz", "the"]), "n": np.array([[3, 9], [1, 0]])})
    vocabulary.unlink()


@case
def table_mutable(folder):
    """What a table held when it was saved; values that are vectors."""

    class Held(tf.Module):
        def __init__(self):
            self.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, [0.0, -1.0])
            self.table.insert(tf.constant([5, 1, 5], tf.int64), [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])

        @tf.function(input_signature=[spec([None], tf.int64, "n")])
        def __call__(self, n):
            return {"y": self.table.lookup(n)}

    m = Held()
    module(folder, m, m.__call__, {"n": np.array([1, 5, 2])})


@case
def table_v1(folder):
    """Tables that the initializer of a graph of TensorFlow 1 fills, one with computed values."""
    target = folder / "saved_model"
    shutil.rmtree(target, ignore_errors=True)
    vocabulary = folder / "words.txt"
    vocabulary.write_text("1.5\tred\r\n-2\tblue\n")
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.string, [None], "x")
        keys = tf.constant(["p", "q", "r"])
        ranks = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, tf.cast(tf.range(3), tf.int64) * 2), -1)
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, path := tf.constant(str(vocabulary), name="words"))
        read = tf.lookup.TextFileInitializer(path, tf.string, 1, tf.float32, 0)
        colors = tf.lookup.StaticHashTable(read, 0.25)
        y, z = ranks.lookup(x), colors.lookup(x)
        session.run(v1.tables_initializer())
        feed = np.array(["q", "red", "blue", "r", ""])
        arrays(folder, [feed], session.run([z, y], {x: feed}))
        v1.saved_model.simple_save(session, str(target), {"x": x}, {"ranks": y, "colors": z}, legacy_init_op=v1.tables_initializer())
    vocabulary.unlink()
    meta(folder, inputs=["x"], outputs=["colors", "ranks"])


@case
def signatures(folder):
    """Three signatures with parts of one module; names in another order than the arguments."""

    class Parts(tf.Module):
        def __init__(self):
            self.w = [tf.Variable(normal(3, 2, seed=i), name="w") for i in range(3)]
            self.half = tf.Variable(np.float16([1.5, -2.0]))
            self.count = tf.Variable(np.int64(3))

        @tf.function(input_signature=[spec([None, 3], tf.float32, "z"), spec([None, 2], tf.float32, "a")])
        def mix(self, z, a):
            return {"sum": z @ self.w[1] + a, "first": z @ self.w[0] * tf.cast(self.count, tf.float32), "half": tf.cast(a, tf.float16) * self.half}

        @tf.function(input_signature=[spec([None, 3], tf.float32, "x")])
        def other(self, x):
            return {"y": x @ self.w[2]}

    m = Parts()
    module(folder, m, {"mix": m.mix, "serving_default": m.other}, {"z": normal(4, 3), "a": normal(4, 2, seed=9)}, "mix", signature="mix")


class Counting(tf.Module):
    def __init__(self):
        self.seen = tf.Variable(0.0, name="seen")
        self.mean = tf.Variable(np.array([1.0, 2.0], F), name="mean")
        self.unused = tf.Variable(0, name="unused")

    @tf.function(input_signature=[spec([2], tf.float32, "x")])
    def __call__(self, x):
        before = self.mean.read_value()
        self.seen.assign_add(1.0)
        self.unused.assign_sub(3)
        self.mean.assign(before + (x - before) / self.seen)
        return {"before": before, "mean": self.mean.read_value()}


def counting(folder, **what):
    m = Counting()
    module(folder, m, m.__call__, {"x": F([4.0, -1.0])}, **what)
    io = dict(np.load(folder / "io.npz"))
    return io


@case
def state_frozen(folder):
    counting(folder, state="frozen")


@case
def state(folder):
    """What is assigned becomes inputs and outputs, where outputs depend on it."""
    io = counting(folder)
    # The inputs of state: in the order of their names.
    arrays(folder, [io["in0"], F([1.0, 2.0]), F(0.0)], [io["out0"], io["out1"], io["out1"], F(1.0)])
    meta(folder, inputs=["x", "mean.state", "seen"], outputs=["before", "mean", "mean.state.next", "seen.next"])


def checkpoint(folder, build, feed, **saver):
    """A graph of TensorFlow 1 with its checkpoint."""
    with tf.Graph().as_default(), v1.Session() as session:
        ins, outs = build()
        session.run(v1.global_variables_initializer())
        arrays(folder, feed, session.run(outs, dict(zip(ins, feed))))
        v1.train.Saver(**saver).save(session, str(folder / "graph"))
        (folder / "checkpoint").unlink()
        meta(folder, inputs=[i.op.name for i in ins], outputs=[o.op.name for o in outs])


def split_variables(use_resource):
    def build():
        x, ids = v1.placeholder(tf.float32, [None, 6], "x"), v1.placeholder(tf.int32, [None], "ids")
        get = lambda name, shape, parts: v1.get_variable(
            name, shape, initializer=v1.random_uniform_initializer(seed=len(name)), partitioner=v1.fixed_size_partitioner(parts) if parts else None, use_resource=use_resource)
        w, table = get("w", [6, 4], 4), get("table", [7, 4], 0)
        y = tf.nn.embedding_lookup(table, ids, name="rows") if use_resource else tf.gather(table, ids, name="rows")
        return (x, ids), (y, tf.tanh(x @ tf.convert_to_tensor(w), name="y"))

    return build


@case
def meta_partitioned(folder):
    checkpoint(folder, split_variables(False), [normal(3, 6), np.int32([6, 0])])


@case
def meta_resources(folder):
    """Data in two files of different devices."""
    checkpoint(folder, split_variables(True), [normal(3, 6), np.int32([6, 0])], sharded=True)


@case
def meta_renamed(folder):
    """Variables under keys that are the names of each other."""

    def build():
        x = v1.placeholder(tf.float32, [2, 3], "x")
        a = v1.get_variable("a", [3], initializer=v1.constant_initializer([1.0, 2.0, 3.0]), use_resource=False)
        b = v1.get_variable("b", [3], initializer=v1.constant_initializer([-1.0, 0.0, 1.0]), use_resource=True)
        keys.update(b=a, a=b)
        return (x,), (tf.add(x * a, b, name="y"),)

    keys = {}
    checkpoint(folder, build, [normal(2, 3)], var_list=keys)


if __name__ == "__main__":
    for name in sys.argv[2:] or CASES:
        path = pathlib.Path(sys.argv[1]) / name
        path.mkdir(parents=True, exist_ok=True)
        CASES[name](path)
