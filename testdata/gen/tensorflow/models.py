#!/usr/bin/env python3
"""Writes folders of testdata/tensorflow: control flow, SavedModels and Keras models, and what TensorFlow computes with them.

    models.py FOLDER [NAME...]

A folder gets one of `frozen.pb`, `saved_model`, `model.keras` and `model.h5`, with `io.npz` (in0.., out0..; `io1.npz` at other sizes) and `meta.json`.

Made with: pip install tensorflow-cpu==2.21.0 numpy==2.4.6
"""
import json
import os
import pathlib
import shutil
import sys
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf

CASES = {}
F = np.float32


def case(make):
    CASES[make.__name__] = make
    return make


def arrays(path, inputs, outputs):
    named = {f"in{i}": np.asarray(v) for i, v in enumerate(inputs)} | {f"out{i}": np.asarray(v) for i, v in enumerate(outputs)}
    np.savez(path, **named)


def meta(folder, **what):
    (folder / "meta.json").write_text(json.dumps(what) + "\n")


def graph(folder, build, *feeds):
    """A graph of TensorFlow 1: `build` gives placeholders and outputs; `feeds` are lists of arrays, one list for each set of sizes."""
    with tf.Graph().as_default() as g:
        tf.compat.v1.set_random_seed(3)
        ins, outs = build()
        outs = [tf.identity(o, f"y{i}") for i, o in enumerate(outs)]
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            for i, feed in enumerate(feeds):
                arrays(folder / f"io{i or ''}.npz", feed, session.run(outs, dict(zip(ins, feed))))
            names = [o.op.name for o in outs]
            frozen = tf.compat.v1.graph_util.convert_variables_to_constants(session, g.as_graph_def(), names)
    (folder / "frozen.pb").write_bytes(frozen.SerializeToString(deterministic=True))
    meta(folder, inputs=[p.op.name for p in ins], outputs=names)


def placeholder(shape, dtype=tf.float32, name=None):
    return tf.compat.v1.placeholder(dtype, shape, name)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(F)


def with_v1(on):
    (tf.compat.v1.disable_control_flow_v2 if on else tf.compat.v1.enable_control_flow_v2)()


def control(v1):
    with_v1(v1)

    def build():
        x, n = placeholder([None, 3], name="x"), placeholder([], tf.int32, name="n")
        big = tf.reduce_sum(x) > 0
        a = tf.cond(big, lambda: x * 2.0, lambda: tf.cond(n > 2, lambda: x - 1.0, lambda: tf.abs(x)))
        count, s = tf.while_loop(lambda i, s: i < n, lambda i, s: (i + 1, s + x * tf.cast(i, tf.float32)), (0, tf.zeros_like(x)))
        nested = tf.while_loop(
            lambda i, s: i < 3,
            lambda i, s: (i + 1, tf.while_loop(lambda j, t: j < i + 1, lambda j, t: (j + 1, t + tf.cond(j > 0, lambda: 1.0, lambda: 0.5)), (0, s))[1]),
            (0, 0.0),
        )[1]
        mapped = tf.map_fn(lambda row: row * tf.reduce_max(row), x)
        scanned = tf.scan(lambda acc, row: acc * 0.5 + row, x)
        folded = tf.foldl(lambda acc, row: acc + tf.square(row), x)
        return (x, n), (a, count, s, nested, mapped, scanned, folded)

    return build


@case
def control_frames(folder):
    graph(folder, control(True), [normal(4, 3), np.int32(3)], [-np.abs(normal(2, 3)), np.int32(0)], [-np.abs(normal(2, 3)), np.int32(5)])


@case
def control_functions(folder):
    graph(folder, control(False), [normal(4, 3), np.int32(3)], [-np.abs(normal(2, 3)), np.int32(0)], [-np.abs(normal(2, 3)), np.int32(5)])


def recurrent(v1):
    with_v1(v1)
    rnn = tf.compat.v1.nn

    def cell(kind, n):
        w = lambda name, shape: tf.compat.v1.get_variable(name, shape, initializer=tf.compat.v1.random_uniform_initializer(-0.5, 0.5, seed=n))
        if kind == "gru":
            kernel, bias, k2, b2 = w(f"k{n}", [2 + 3, 6]), w(f"b{n}", [6]), w(f"c{n}", [2 + 3, 3]), w(f"d{n}", [3])

            def step(x, h):
                r, u = tf.split(tf.sigmoid(tf.matmul(tf.concat([x, h], 1), kernel) + bias), 2, 1)
                c = tf.tanh(tf.matmul(tf.concat([x, r * h], 1), k2) + b2)
                return u * h + (1 - u) * c

            return step
        kernel, bias = w(f"k{n}", [2 + 3, 12]), w(f"b{n}", [12])

        def step(x, state):
            c, h = state
            i, j, f, o = tf.split(tf.matmul(tf.concat([x, h], 1), kernel) + bias, 4, 1)
            c = c * tf.sigmoid(f + 1.0) + tf.sigmoid(i) * tf.tanh(j)
            return c, tf.tanh(c) * tf.sigmoid(o)

        return step

    def build():
        x = placeholder([None, None, 2], name="x")
        shape = tf.shape(x)
        steps, zero = shape[1], tf.zeros([shape[0], 3])
        lstm, gru = cell("lstm", 1), cell("gru", 2)
        seq = tf.transpose(x, [1, 0, 2])
        ta = tf.TensorArray(tf.float32, size=steps, clear_after_read=False).unstack(seq)

        def body(t, c, h, g, out):
            c, h = lstm(ta.read(t), (c, h))
            g = gru(ta.read(t), g)
            return t + 1, c, h, g, out.write(t, h + g)

        _, c, h, g, out = tf.while_loop(lambda t, *_: t < steps, body, (0, zero, zero, zero, tf.TensorArray(tf.float32, size=steps)))
        return (x,), (tf.transpose(out.stack(), [1, 0, 2]), c, h, g)

    return build


@case
def recurrent_frames(folder):
    graph(folder, recurrent(True), [normal(2, 5, 2)], [normal(3, 1, 2)])


@case
def recurrent_functions(folder):
    graph(folder, recurrent(False), [normal(2, 5, 2)], [normal(3, 1, 2)])


@case
def training_switch(folder):
    """Switches on a placeholder with a default."""
    with_v1(True)

    def build():
        x = placeholder([2, 4], name="x")
        training = tf.compat.v1.placeholder_with_default(False, [], "training")
        y = tf.cond(training, lambda: tf.nn.dropout(x, rate=0.5), lambda: tf.identity(x))
        return (x,), (y * 2.0,)

    graph(folder, build, [normal(2, 4)])


def small_keras():
    keras = tf.keras
    keras.utils.set_random_seed(1)
    x = keras.Input((8, 8, 3), name="image")
    y = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    y = keras.layers.BatchNormalization()(y)
    z = keras.layers.SeparableConv2D(4, 3, padding="same")(y)
    y = keras.layers.Add()([y, z])
    y = keras.layers.MaxPooling2D()(y)
    y = keras.layers.GlobalAveragePooling2D()(y)
    model = keras.Model(x, keras.layers.Dense(5, activation="softmax", name="classes")(y))
    for w in model.weights:
        w.assign(np.random.default_rng(len(w.path)).uniform(0.1, 0.9, w.shape).astype(F))
    return model


def sequence_keras():
    keras = tf.keras
    keras.utils.set_random_seed(1)
    x = keras.Input((6,), dtype="int32", name="ids")
    y = keras.layers.Embedding(11, 4)(x)
    y = keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))(y)
    y = keras.layers.GRU(3)(y)
    return keras.Model(x, keras.layers.Dense(2)(y))


def randomized(model):
    rng = np.random.default_rng(7)
    for w in model.weights:
        if "float" in w.dtype:
            w.assign(rng.uniform(0.3, 1.3, w.shape) if "variance" in w.path else rng.normal(0, 0.6, w.shape))
    return model


def images_keras():
    """Layers of images with settings that are easily taken for others: even windows, borders, layouts, shared layers, operations without layers."""
    layers, ops = tf.keras.layers, tf.keras.ops
    x = tf.keras.Input((9, 8, 4), name="image")
    a = layers.Conv2D(6, (2, 3), strides=(2, 1), padding="same", activation="hard_silu")(x)
    b = layers.Conv2D(6, 3, dilation_rate=2, groups=2, padding="same")(x)
    c = layers.Conv2DTranspose(3, (4, 3), strides=(2, 3), padding="same", output_padding=1)(x)
    d = layers.SeparableConv2D(5, 2, depth_multiplier=2, padding="same", strides=2)(x)
    d = layers.PReLU(shared_axes=[1, 2])(layers.DepthwiseConv2D(3, depth_multiplier=2)(d))
    e = layers.BatchNormalization(axis=1, center=False)(x)
    f = layers.GroupNormalization(2)(layers.LayerNormalization(axis=[1, 3])(x))
    g = layers.AveragePooling2D((3, 2), strides=2, padding="same")(layers.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.3)(x))
    h = layers.UpSampling2D((2, 3), interpolation="bilinear")(layers.Cropping2D(((1, 2), (0, 1)))(x))
    i = layers.Resizing(5, 4, interpolation="bicubic")(layers.ZeroPadding2D(((1, 0), (0, 2)))(x))
    twice = layers.Dense(4, activation="gelu")
    j = twice(twice(layers.Permute((2, 1, 3))(x)))
    k = ops.concatenate([x[:, ::2, -1], x[:, 1::2, 0]], axis=1) * 2.0 - ops.mean(x, axis=(1, 2), keepdims=True)[:, 0]
    return randomized(tf.keras.Model(x, [a, b, c, d, e, f, g, h, i, j, k]))


def texts_keras():
    """Recurrent layers over masks, in both directions, with states; attention."""
    layers = tf.keras.layers
    ids, state = tf.keras.Input((7,), dtype="int32", name="ids"), tf.keras.Input((3,), name="state")
    e = layers.Embedding(5, 4, mask_zero=True)(ids)
    a = layers.LSTM(3, return_sequences=True)(e)
    b = layers.GRU(3, go_backwards=True, return_sequences=True, return_state=True)(e)
    c = layers.Bidirectional(layers.SimpleRNN(2, return_sequences=True), merge_mode="sum")(e)
    plain = layers.Embedding(5, 4)(ids)
    d = layers.Bidirectional(layers.GRU(3, reset_after=False), merge_mode="ave")(plain)
    f = layers.LSTM(3, recurrent_activation="hard_sigmoid", activation="relu")(plain, initial_state=[state, state])
    g = layers.MultiHeadAttention(2, 3, value_dim=2)(plain, plain, use_causal_mask=True)
    h = layers.TimeDistributed(layers.Dense(4, activation="relu"))(plain)
    i = layers.Dot(axes=(2, 2), normalize=True)([g, h])
    return randomized(tf.keras.Model([ids, state], [a, *b, c, d, f, g, h, i]))


def keras_case(folder, model, x, how):
    if how == "saved_model":
        target = folder / "saved_model"
        shutil.rmtree(target, ignore_errors=True)
        model.export(str(target), verbose=False)
        (target / "fingerprint.pb").unlink(missing_ok=True)
    else:
        model.save(folder / how)
    y = model(x, training=False)
    arrays(folder / "io.npz", x if isinstance(x, list) else [x], y if isinstance(y, (list, tuple)) else [y])
    meta(folder)


for name, make, x in (("image", small_keras, normal(2, 8, 8, 3)), ("sequence", sequence_keras, np.arange(12, dtype=np.int32).reshape(2, 6) % 11)):
    for how in ("saved_model", "model.keras", "model.h5"):
        kind = {"saved_model": "saved", "model.keras": "keras", "model.h5": "h5"}[how]
        CASES[f"{kind}_{name}"] = lambda folder, make=make, x=x, how=how: keras_case(folder, make(), x, how)


TEXTS = [np.random.default_rng(5).integers(0, 3, (3, 7)).astype(np.int32), normal(3, 3)]
for name, make, x in (("layers", images_keras, normal(2, 9, 8, 4)), ("masks", texts_keras, TEXTS)):
    for how, kind in (("model.keras", "keras"), ("model.h5", "h5")):
        CASES[f"{kind}_{name}"] = lambda folder, make=make, x=x, how=how: keras_case(folder, make(), x, how)


@case
def saved_v1(folder):
    """A SavedModel of TensorFlow 1: variables restored by name, a table of words, an asset."""
    target = folder / "saved_model"
    shutil.rmtree(target, ignore_errors=True)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session, tempfile.TemporaryDirectory() as temp:
        x = placeholder([None, 3], name="x")
        w = tf.compat.v1.get_variable("w", [3, 2], initializer=tf.compat.v1.constant_initializer(np.arange(6).reshape(3, 2)), use_resource=False)
        b = tf.compat.v1.get_variable("b", [2], initializer=tf.compat.v1.constant_initializer([0.5, -1.0]), use_resource=True)
        y = tf.nn.relu(tf.matmul(x, w) + b)
        session.run(tf.compat.v1.global_variables_initializer())
        feed = normal(4, 3)
        arrays(folder / "io.npz", [feed], [session.run(y, {x: feed})])
        tf.compat.v1.saved_model.simple_save(session, str(target), {"features": x}, {"scores": y})
    meta(folder, inputs=["features"], outputs=["scores"])


if __name__ == "__main__":
    for name in sys.argv[2:] or CASES:
        path = pathlib.Path(sys.argv[1]) / name
        path.mkdir(parents=True, exist_ok=True)
        CASES[name](path)
