#!/usr/bin/env python3
"""Writes folders of testdata/tensorflow: frozen graphs of many operators each, and what TensorFlow computes with them.

    operators.py FOLDER [NAME...]

A folder gets `frozen.pb`, `io.npz` (in0.., out0..) and `meta.json` with the names of inputs and outputs.

Made with: pip install tensorflow-cpu==2.21.0 numpy==2.4.6
"""
import json
import pathlib
import sys

import numpy as np
import tensorflow as tf

R = tf.raw_ops
F, D, I, L, B = np.float32, np.float64, np.int32, np.int64, np.bool_
CASES = {}


def case(make):
    CASES[make.__name__] = make
    return make


class Graph:
    """Inputs with their values, and named outputs."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.feeds, self.outs = [], []

    def input(self, value, shape=None):
        """A placeholder; `shape` says what is known about sizes, by default everything."""
        value = np.asarray(value)
        p = tf.compat.v1.placeholder(value.dtype, value.shape if shape is None else shape, f"x{len(self.feeds)}")
        self.feeds.append((p, value))
        return p

    def normal(self, *shape, known=None, dtype=F):
        return self.input(self.rng.standard_normal(shape).astype(dtype), known)

    def uniform(self, low, high, *shape, known=None, dtype=F):
        return self.input(self.rng.uniform(low, high, shape).astype(dtype), known)

    def whole(self, low, high, *shape, known=None, dtype=I):
        return self.input(self.rng.integers(low, high, shape).astype(dtype), known)

    def out(self, *values):
        for v in values:
            self.outs += [tf.identity(o, f"y{len(self.outs)}") for o in (v if isinstance(v, (list, tuple)) else [v])]


UNARY = """Abs Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Digamma Elu Erf Erfc Exp Expm1 Floor Inv LeakyRelu Lgamma Log Log1p Neg
Reciprocal Relu Relu6 Rint Round Rsqrt Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Square Tan Tanh OnesLike ZerosLike Ndtri Erfinv"""


@case
def math_unary(g):
    spread, positive = g.normal(3, 4), g.uniform(0.1, 0.9, 3, 4)
    above = g.uniform(1.1, 4.0, 5, known=[None])
    for name in UNARY.split():
        op = getattr(R, name)
        needs = {"Acosh": above, "Asin": positive, "Acos": positive, "Atanh": positive, "Ndtri": positive, "Erfinv": positive, "Log": positive, "Rsqrt": positive}
        x = needs.get(name, positive if name in ("Sqrt", "Lgamma", "Digamma", "Log1p", "Inv", "Reciprocal") else spread)
        key = "features" if name in ("Elu", "LeakyRelu", "Relu", "Relu6", "Selu", "Softplus", "Softsign") else "x"
        g.out(op(**{key: x}))
    g.out(R.IsNan(x=spread), R.IsInf(x=spread), R.IsFinite(x=spread), R.Acos(x=positive))


@case
def math_integers(g):
    x, y = g.whole(-9, 9, 4, 5), g.whole(1, 5, 5)
    n = g.whole(-9, -1, 5, dtype=L)
    w = R.Cast(x=y, DstT=tf.int64)
    for op in (R.AddV2, R.Sub, R.Mul, R.FloorDiv, R.FloorMod, R.TruncateDiv, R.TruncateMod, R.Maximum, R.Minimum, R.SquaredDifference):
        g.out(op(x=x, y=y), op(x=w, y=n))
    for op in (R.BitwiseAnd, R.BitwiseOr, R.BitwiseXor, R.LeftShift, R.RightShift):
        g.out(op(x=x, y=y))
    g.out(R.Invert(x=x), R.Abs(x=x), R.Neg(x=x), R.Sign(x=x), R.Square(x=x), R.Pow(x=x, y=R.Abs(x=y)))
    for op in (R.Less, R.LessEqual, R.Greater, R.GreaterEqual):
        g.out(op(x=x, y=y))
    g.out(R.Equal(x=x, y=y), R.NotEqual(x=x, y=y))


@case
def math_floats(g):
    x, y = g.normal(2, 3, 4, known=[None, 3, 4]), g.normal(3, 1)
    p = g.uniform(0.2, 2.0, 3, 4)
    for op in (R.Add, R.AddV2, R.Sub, R.Mul, R.RealDiv, R.Div, R.DivNoNan, R.MulNoNan, R.FloorDiv, R.FloorMod, R.Maximum, R.Minimum, R.SquaredDifference, R.Atan2):
        g.out(op(x=x, y=y))
    g.out(R.Pow(x=p, y=y), R.Xdivy(x=x, y=p), R.Xlogy(x=x, y=p), R.Xlog1py(x=x, y=p), R.Igamma(a=p, x=p), R.Igammac(a=p, x=p))
    g.out(R.AddN(inputs=[x, x, x]), R.AccumulateNV2(inputs=[p, p], shape=[3, 4]), R.BiasAdd(value=x, bias=g.normal(4)))
    g.out(R.LogicalAnd(x=x > 0, y=y > 0), R.LogicalOr(x=x > 0, y=y > 0), R.LogicalNot(x=x > 0))
    g.out(R.ClipByValue(t=x, clip_value_min=-0.5, clip_value_max=0.7), R.ApproximateEqual(x=x, y=x + 1e-7, tolerance=1e-5))
    g.out(R.Cast(x=x * 3, DstT=tf.int32), R.Cast(x=x > 0, DstT=tf.float32), R.Cast(x=x, DstT=tf.float64))


@case
def reductions(g):
    x, b = g.normal(3, 4, 5, known=[None, 4, 5]), g.whole(0, 2, 3, 4)
    for axis, keep in (([0], False), ([1, -1], True), ([], False), (2, False)):
        for op in (R.Sum, R.Mean, R.Max, R.Min, R.Prod):
            g.out(op(input=x, axis=axis, keep_dims=keep))
    g.out(R.EuclideanNorm(input=x, axis=[1]), R.All(input=b > 0, axis=[1]), R.Any(input=b > 0, axis=[0], keep_dims=True))
    g.out(R.ArgMax(input=x, dimension=1), R.ArgMin(input=x, dimension=-1, output_type=tf.int32))
    for exclusive in (False, True):
        for reverse in (False, True):
            g.out(R.Cumsum(x=x, axis=1, exclusive=exclusive, reverse=reverse), R.Cumprod(x=x, axis=-1, exclusive=exclusive, reverse=reverse))
    g.out(R.CumulativeLogsumexp(x=x, axis=1), R.Softmax(logits=x), R.LogSoftmax(logits=x), R.L2Loss(t=x))


@case
def products(g):
    a, b = g.normal(3, 4), g.normal(4, 5)
    g.out(R.MatMul(a=a, b=b), R.MatMul(a=b, b=a, transpose_a=True, transpose_b=True))
    x, y = g.normal(2, 3, 4, known=[None, 3, 4]), g.normal(2, 4, 5, known=[None, 4, 5])
    g.out(R.BatchMatMul(x=x, y=y), R.BatchMatMulV2(x=y, y=x, adj_x=True, adj_y=True), R.BatchMatMulV3(x=x, y=b, Tout=tf.float32))
    g.out(R.Einsum(inputs=[x, y], equation="bij,bjk->bik"), R.Einsum(inputs=[a], equation="ij->ji"), R.Einsum(inputs=[x, b], equation="...j,jk->...k"))
    q = g.normal(3, 3, dtype=F)
    s = R.MatMul(a=q, b=q, transpose_b=True) + np.eye(3, dtype=F)
    g.out(R.MatrixInverse(input=s), R.MatrixDeterminant(input=s), R.Cholesky(input=s), R.MatrixSolve(matrix=s, rhs=q), R.Cross(a=q, b=s))
    g.out(R.MatrixTriangularSolve(matrix=R.Cholesky(input=s), rhs=q))


@case
def shapes(g):
    x = g.normal(2, 3, 4, known=[None, 3, None])
    one = g.normal(1, 3, 1)
    g.out(R.Shape(input=x), R.Shape(input=x, out_type=tf.int64), R.Size(input=x), R.Rank(input=x), R.ShapeN(input=[x, one]))
    g.out(R.Reshape(tensor=x, shape=[-1, 4]), R.Reshape(tensor=x, shape=R.Pack(values=[12, R.Shape(input=x)[0]])), R.ExpandDims(input=x, axis=-2))
    g.out(R.Squeeze(input=one), R.Squeeze(input=one, axis=[-1]), R.Transpose(x=x, perm=[2, 0, 1]), R.ConcatV2(values=[x, x], axis=-2))
    g.out(R.Pack(values=[x, x], axis=1), R.Unpack(value=x, num=3, axis=1), R.Split(axis=1, value=x, num_split=3), R.SplitV(value=x, size_splits=[1, -1], axis=1, num_split=2))
    g.out(R.Tile(input=x, multiples=[1, 2, 3]), R.Fill(dims=R.Shape(input=x), value=7), R.BroadcastTo(input=one, shape=[2, 3, 5]), R.Range(start=R.Size(input=x), limit=0, delta=-5))
    g.out(R.LinSpace(start=0.0, stop=3.0, num=7), R.ReverseV2(tensor=x, axis=[0, -1]), R.Roll(input=x, shift=[1, -2], axis=[0, 1]), R.InvertPermutation(x=[2, 0, 1]))
    g.out(R.SpaceToBatchND(input=g.normal(2, 4, 6, 3), block_shape=[2, 3], paddings=[[0, 0], [1, 2]]), R.BatchToSpaceND(input=g.normal(6, 2, 2, 1), block_shape=[2, 3], crops=[[1, 0], [0, 2]]))
    g.out(R.Bitcast(input=x, type=tf.int32), R.BroadcastArgs(s0=[2, 1], s1=[3]), R.MirrorPad(input=x, paddings=[[1, 1], [2, 1], [1, 0]], mode="REFLECT"), R.MirrorPad(input=x, paddings=[[1, 1], [2, 1], [1, 0]], mode="SYMMETRIC"))
    g.out(R.Pad(input=x, paddings=[[1, 0], [0, 2], [0, 0]]), R.PadV2(input=x, paddings=[[1, 0], [0, 2], [0, 0]], constant_values=-1.0))


@case
def slices(g):
    x = g.normal(4, 5, 6, known=[None, 5, 6])
    i = g.whole(1, 3, 1)
    for spec in (np.s_[1:3], np.s_[:, -1], np.s_[..., 2], np.s_[::2, ::-1, 1:-1:2], np.s_[:, tf.newaxis, 2:], np.s_[1, ..., tf.newaxis], np.s_[-3:-1, 4:1:-2, ...], np.s_[2, 1, 3]):
        g.out(x[spec])
    g.out(x[i[0]:], x[:, : i[0]], x[i[0]], x[:, i[0] - 5 : 4 : 2])
    g.out(R.Slice(input=x, begin=[1, 0, 2], size=[2, -1, 3]), R.Slice(input=x, begin=R.Pack(values=[i[0], 0, 0]), size=[1, 2, -1]))


@case
def positions(g):
    x, i = g.normal(5, 4, 3, known=[None, 4, 3]), g.whole(0, 4, 2, 3)
    b = g.whole(0, 4, 2, 2)
    y = g.normal(2, 4, 3)
    g.out(R.GatherV2(params=x, indices=i, axis=1), R.Gather(params=x, indices=i), R.GatherV2(params=y, indices=b, axis=1, batch_dims=1), R.GatherNd(params=x, indices=[[0, 1], [3, 2]]))
    g.out(R.ScatterNd(indices=[[0], [2], [0]], updates=y[:1, :3, 0][0][:, None], shape=[4, 1]))
    for op in (R.TensorScatterUpdate, R.TensorScatterAdd, R.TensorScatterSub, R.TensorScatterMax, R.TensorScatterMin):
        g.out(op(tensor=x, indices=[[1], [3]], updates=y))
    g.out(R.OneHot(indices=i, depth=4, on_value=2.0, off_value=-1.0, axis=1), R.TopKV2(input=x, k=2), R.TopKV2(input=x, k=3, sorted=True)[1])
    g.out(R.Select(condition=x > 0, x=x, y=-x), R.SelectV2(condition=x[:, :1] > 0, t=x, e=0.5), R.Where(condition=x > 0.3), R.ReverseSequence(input=y, seq_lengths=[2, 4], seq_dim=1, batch_dim=0))
    g.out(R.Unique(x=[3, 1, 3, 2, 1]), R.UniqueWithCounts(x=[3, 1, 3, 2, 1]), R.LowerBound(sorted_inputs=[[1.0, 2.0, 4.0]], values=[[0.5, 2.0, 9.0]]), R.UpperBound(sorted_inputs=[[1.0, 2.0, 4.0]], values=[[0.5, 2.0, 9.0]]))
    g.out(R.Bucketize(input=x, boundaries=[-0.5, 0.0, 1.0]), R.DynamicStitch(indices=[[0, 2], [1]], data=[y[0, :2], y[1, :1]]), R.DynamicPartition(data=y[0], partitions=[0, 1, 0, 2], num_partitions=3))
    g.out(R.MatrixBandPart(input=x, num_lower=1, num_upper=0), R.MatrixDiagV3(diagonal=y[:, 0], k=0, num_rows=-1, num_cols=-1, padding_value=0.0), R.MatrixDiagPartV3(input=x, k=[-1, 1], padding_value=9.0))
    g.out(R.MatrixSetDiagV3(input=x[:4], diagonal=x[:4, 0, :3], k=0), R.Diag(diagonal=y[0, 0]), R.DiagPart(input=x[:4, :, 0]), R.ListDiff(x=[1, 2, 3, 4], y=[2, 4]))


@case
def images(g):
    x = g.normal(2, 7, 8, 3, known=[None, 7, 8, 3])
    w, d, t = g.normal(3, 2, 3, 4), g.normal(3, 3, 3, 2), g.normal(3, 3, 5, 3)
    for padding in ("SAME", "VALID"):
        for stride in (1, 2):
            s = [1, stride, stride, 1]
            g.out(R.Conv2D(input=x, filter=w, strides=s, padding=padding), R.DepthwiseConv2dNative(input=x, filter=d, strides=s, padding=padding))
            g.out(R.MaxPool(input=x, ksize=[1, 3, 2, 1], strides=s, padding=padding), R.AvgPool(value=x, ksize=[1, 2, 3, 1], strides=s, padding=padding))
    g.out(R.Conv2D(input=x, filter=w, strides=[1, 1, 1, 1], padding="SAME", dilations=[1, 2, 2, 1]), R.Conv2D(input=x, filter=w, strides=[1, 2, 1, 1], padding="EXPLICIT", explicit_paddings=[0, 0, 1, 2, 0, 3, 0, 0]))
    g.out(R.Conv2DBackpropInput(input_sizes=[2, 13, 15, 5], filter=g.normal(3, 3, 5, 3), out_backprop=x, strides=[1, 2, 2, 1], padding="SAME"))
    v = [g.uniform(0.5, 1.5, 3) for _ in range(4)]
    g.out(R.FusedBatchNormV3(x=x, scale=v[0], offset=v[1], mean=v[2], variance=v[3], epsilon=0.01, is_training=False)[0], R.LRN(input=x, depth_radius=2, bias=1.5, alpha=0.3, beta=0.6))
    for align, half in ((False, False), (True, False), (False, True)):
        g.out(R.ResizeBilinear(images=x, size=[11, 5], align_corners=align, half_pixel_centers=half), R.ResizeNearestNeighbor(images=x, size=[4, 13], align_corners=align, half_pixel_centers=half))
        g.out(R.ResizeBicubic(images=x, size=[9, 5], align_corners=align, half_pixel_centers=half))
    g.out(R.DepthToSpace(input=g.normal(1, 2, 3, 8), block_size=2), R.SpaceToDepth(input=g.normal(1, 4, 6, 3), block_size=2), R.ExtractImagePatches(images=x, ksizes=[1, 3, 3, 1], strides=[1, 2, 2, 1], rates=[1, 1, 1, 1], padding="SAME"))
    p = g.uniform(0, 1, 2, 3, 4, 3)
    g.out(R.RGBToHSV(images=p), R.HSVToRGB(images=p), R.AdjustContrastv2(images=p, contrast_factor=1.5), R.AdjustHue(images=p, delta=0.2), R.AdjustSaturation(images=p, scale=1.3))
    g.out(R.CropAndResize(image=x, boxes=[[0.1, 0.0, 0.9, 1.0], [0.5, 0.2, 0.1, 0.7]], box_ind=[0, 1], crop_size=[3, 4]), R.Dilation2D(input=x, filter=g.normal(2, 2, 3), strides=[1, 1, 1, 1], rates=[1, 1, 1, 1], padding="SAME"))


@case
def volumes(g):
    x, w = g.normal(1, 4, 5, 6, 2), g.normal(2, 3, 3, 2, 3)
    for padding in ("SAME", "VALID"):
        g.out(R.Conv3D(input=x, filter=w, strides=[1, 1, 2, 1, 1], padding=padding), R.MaxPool3D(input=x, ksize=[1, 2, 2, 2, 1], strides=[1, 2, 1, 2, 1], padding=padding), R.AvgPool3D(input=x, ksize=[1, 2, 3, 2, 1], strides=[1, 1, 2, 2, 1], padding=padding))
    g.out(R.Conv3DBackpropInputV2(input_sizes=[1, 8, 5, 6, 3], filter=g.normal(2, 3, 3, 3, 2), out_backprop=x, strides=[1, 2, 1, 1, 1], padding="SAME"))


@case
def segments(g):
    x = g.normal(6, 3, known=[None, 3])
    s, u = [0, 0, 1, 1, 1, 3], [2, 0, 1, 0, 2, -1]
    for op in (R.SegmentSum, R.SegmentMean, R.SegmentMax, R.SegmentMin, R.SegmentProd):
        g.out(op(data=x, segment_ids=s))
    for op in (R.UnsortedSegmentSum, R.UnsortedSegmentMax, R.UnsortedSegmentMin, R.UnsortedSegmentProd):
        g.out(op(data=x, segment_ids=u, num_segments=4))
    g.out(R.SparseSegmentSum(data=x, indices=[0, 2, 5], segment_ids=[0, 0, 1]), R.SparseSegmentMean(data=x, indices=[0, 2, 5], segment_ids=[0, 0, 1]), R.SparseSegmentSqrtN(data=x, indices=[0, 2, 5], segment_ids=[0, 0, 1]))
    g.out(R.Bincount(arr=[1, 1, 2, 5], size=4, weights=np.array([], F)), R.DenseBincount(input=[[1, 2], [2, 2]], size=4, weights=np.array([], F)))


@case
def spectra(g):
    x = g.normal(2, 9, known=[None, 9])
    for n in (8, 9, 5):
        c = R.RFFT(input=x, fft_length=[n])
        g.out(R.ComplexAbs(x=c), R.Real(input=c), R.Imag(input=c), R.Angle(input=c), R.IRFFT(input=c, fft_length=[n]))
    y = g.normal(2, 6, 7)
    c = R.RFFT2D(input=y, fft_length=[5, 6])
    g.out(R.ComplexAbs(x=c), R.IRFFT2D(input=c, fft_length=[5, 6]), R.Real(input=R.FFT(input=R.Complex(real=y, imag=y))), R.Imag(input=R.IFFT2D(input=R.Complex(real=y, imag=-y))))
    a = R.Complex(real=x, imag=x * 2)
    g.out(R.Real(input=a * a), R.Imag(input=R.Conj(input=a) / (a + 1)), R.Imag(input=R.Exp(x=a)))


@case
def quantization(g):
    x = g.normal(4, 5)
    g.out(R.FakeQuantWithMinMaxArgs(inputs=x, min=-1.0, max=2.0, num_bits=8), R.FakeQuantWithMinMaxArgs(inputs=x, min=0.5, max=2.0, num_bits=4, narrow_range=True))
    g.out(R.FakeQuantWithMinMaxVars(inputs=x, min=-1.3, max=0.9), R.FakeQuantWithMinMaxVarsPerChannel(inputs=x, min=[-1.0, -2.0, -1.5, 0.0, -3.0], max=[1.0, 2.0, 0.5, 1.0, 0.0]))
    g.out(R.QuantizeAndDequantizeV2(input=x, input_min=-1.0, input_max=1.0, signed_input=True, num_bits=8, range_given=True), R.QuantizeAndDequantizeV2(input=x, input_min=0.0, input_max=0.0, signed_input=True, num_bits=8, range_given=False))
    g.out(R.QuantizeAndDequantizeV3(input=x, input_min=-1.0, input_max=1.5, num_bits=8, signed_input=False, range_given=True))


@case
def losses(g):
    x, y = g.normal(3, 5), g.uniform(0, 1, 3, 5)
    g.out(R.SoftmaxCrossEntropyWithLogits(features=x, labels=y), R.SparseSoftmaxCrossEntropyWithLogits(features=x, labels=[0, 4, 2])[0])
    g.out(R.InTopKV2(predictions=x, targets=[0, 4, 2], k=2))


def write(folder, name):
    tf.compat.v1.reset_default_graph()
    with tf.Graph().as_default() as graph:
        g = Graph(sum(map(ord, name)))
        CASES[name](g)
        with tf.compat.v1.Session() as session:
            outs = session.run(g.outs, dict(g.feeds))
    path = pathlib.Path(folder) / name
    path.mkdir(parents=True, exist_ok=True)
    (path / "frozen.pb").write_bytes(graph.as_graph_def().SerializeToString(deterministic=True))
    arrays = {f"in{i}": v for i, (_, v) in enumerate(g.feeds)} | {f"out{i}": v for i, v in enumerate(outs)}
    np.savez(path / "io.npz", **arrays)
    meta = {"inputs": [p.op.name for p, _ in g.feeds], "outputs": [o.op.name for o in g.outs]}
    (path / "meta.json").write_text(json.dumps(meta) + "\n")


def main():
    tf.compat.v1.disable_eager_execution()
    for each in sys.argv[2:] or CASES:
        write(sys.argv[1], each)


if __name__ == "__main__":
    main()
