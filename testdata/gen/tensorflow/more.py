#!/usr/bin/env python3
"""Further folders of testdata/tensorflow, as operators.py writes them: operators of older graphs, of TensorFlow's own optimizer, and rare ones.

    more.py FOLDER [NAME...]

Made with: pip install tensorflow-cpu==2.21.0 numpy==2.4.6
"""
import pathlib
import sys

import numpy as np
import tensorflow as tf

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from operators import CASES, R, case, main

CASES.clear()


@case
def bessel(g):
    x, p = g.normal(3, 4), g.uniform(0.2, 6.0, 3, 4)
    for name in ("BesselI0", "BesselI0e", "BesselI1", "BesselI1e", "BesselJ0", "BesselJ1"):
        g.out(getattr(R, name)(x=x))
    for name in ("BesselK0", "BesselK0e", "BesselK1", "BesselK1e", "BesselY0", "BesselY1"):
        g.out(getattr(R, name)(x=p))
    g.out(R.Zeta(x=p + 1.0, q=p))


@case
def matrices(g):
    m = g.normal(2, 3, 3)
    spd = tf.linalg.matmul(m, m, transpose_b=True) + 2.0 * tf.eye(3)
    g.out(R.LogMatrixDeterminant(input=m)[1], R.MatrixDeterminant(input=m), R.Cholesky(input=spd))
    g.out(R.MatrixInverse(input=spd, adjoint=True), R.MatrixSolve(matrix=m, rhs=g.normal(2, 3, 2), adjoint=True))
    g.out(R.MatrixTriangularSolve(matrix=tf.linalg.band_part(spd, -1, 0), rhs=g.normal(2, 3, 2), lower=True, adjoint=True))
    g.out(R.Cross(a=g.normal(4, 3), b=g.normal(4, 3)))
    g.out(R.MatrixDiagV2(diagonal=g.normal(2, 3), k=1, num_rows=-1, num_cols=-1, padding_value=9.0))
    g.out(R.MatrixSetDiagV2(input=m, diagonal=g.normal(2, 2), k=-1), R.MatrixSetDiag(input=m, diagonal=g.normal(2, 3)))
    for align in ("LEFT_RIGHT", "RIGHT_LEFT", "LEFT_LEFT", "RIGHT_RIGHT"):
        g.out(R.MatrixDiagPartV3(input=g.normal(2, 3, 4), k=[-1, 2], padding_value=7.0, align=align))
        g.out(R.MatrixDiagV3(diagonal=g.normal(3, 3), k=[-1, 1], num_rows=3, num_cols=4, padding_value=5.0, align=align))
    g.out(R.MatrixSetDiagV3(input=g.normal(3, 4), diagonal=g.normal(2, 3), k=[0, 1], align="LEFT_RIGHT"))
    g.out(R.MatrixBandPart(input=g.normal(3, 4), num_lower=np.int64(1), num_upper=g.input(np.int64(-1))))
    g.out(R.Diag(diagonal=g.normal(2, 3)), R.DiagPart(input=g.normal(2, 3, 2, 3)))


@case
def older(g):
    x = g.normal(2, 5, 5, 3, known=[None, 5, 5, 3])
    v = g.uniform(0.5, 2.0, 3)
    g.out(R.BiasAddV1(value=x, bias=g.normal(3)), R.FusedBatchNormV2(x=x, scale=v, offset=v, mean=v, variance=v, is_training=False)[0])
    trained = R.FusedBatchNormV3(x=x, scale=v, offset=v, mean=[], variance=[], is_training=True, epsilon=1e-3)
    g.out(trained[0], trained[1], trained[2])
    g.out(R.MaxPoolV2(input=x, ksize=[1, 2, 2, 1], strides=[1, 2, 1, 1], padding="SAME"))
    g.out(R.Dilation2D(input=x, filter=g.normal(3, 2, 3), strides=[1, 2, 1, 1], rates=[1, 1, 2, 1], padding="SAME"))
    for mode in ("SAME", "VALID"):
        g.out(R.ExtractImagePatches(images=x, ksizes=[1, 2, 3, 1], strides=[1, 2, 1, 1], rates=[1, 1, 1, 1], padding=mode))
    g.out(R.DepthwiseConv2dNativeBackpropInput(input_sizes=[2, 10, 10, 3], filter=g.normal(3, 3, 3, 2), out_backprop=g.normal(2, 5, 5, 6), strides=[1, 2, 2, 1], padding="SAME"))
    # Of several images TensorFlow 2.21 computes only the first one right.
    g.out(R.FusedPadConv2D(input=g.normal(1, 5, 5, 3), paddings=[[0, 0], [1, 2], [2, 0], [0, 0]], filter=g.normal(3, 3, 3, 4), mode="REFLECT", strides=[1, 1, 2, 1], padding="VALID"))
    g.out(R.NonMaxSuppression(boxes=g.uniform(0, 1, 6, 4), scores=g.uniform(-1, 1, 6), max_output_size=4, iou_threshold=0.3))
    g.out(R.SpaceToBatch(input=g.normal(1, 4, 6, 2), paddings=[[0, 0], [1, 1]], block_size=2), R.BatchToSpace(input=g.normal(4, 2, 3, 2), crops=[[0, 1], [1, 0]], block_size=2))


@case
def picked(g):
    x = g.normal(3, 6, known=[None, 6])
    g.out(R.NthElement(input=x, n=2), R.NthElement(input=x, n=1, reverse=True))
    w = g.whole(0, 3, 6, 2)
    g.out(R.UniqueV2(x=w, axis=[0]).y, R.UniqueWithCountsV2(x=g.whole(0, 4, 9), axis=[0]).count)
    g.out(R.BatchMatMulV3(x=g.whole(-4, 4, 2, 3, 4, dtype=np.int8), y=g.whole(-4, 4, 2, 4, 3, dtype=np.int8), Tout=tf.int32))
    g.out(R.ParallelDynamicStitch(indices=[[0, 2], [1, 3]], data=[g.normal(2, 3), g.normal(2, 3)]), R.DynamicStitch(indices=[g.input(np.int32([0, 2])), g.input(np.int32([1, 1]))], data=[g.normal(2), g.normal(2)]))
    g.out(R.ScatterNdNonAliasingAdd(input=g.normal(5, 2), indices=[[1], [3], [1]], updates=g.normal(3, 2)))
    g.out(*R.ConcatOffset(concat_dim=1, shape=[g.input(np.int32([2, 3])), g.input(np.int32([2, 5]))]))
    g.out(R.ParallelConcat(values=[g.normal(1, 3), g.normal(1, 3)], shape=[2, 3]))
    g.out(R.TensorStridedSliceUpdate(input=g.normal(4, 5), begin=[1, 0], end=[3, 5], strides=[1, 2], value=g.normal(2, 3)))
    ids = np.int32([0, 0, 2, 2, 5])
    g.out(R.SegmentMax(data=g.normal(5, 2), segment_ids=ids), R.SegmentMin(data=g.whole(-9, 9, 5, 2), segment_ids=ids), R.SegmentProd(data=g.normal(5), segment_ids=ids))
    for name in ("Mean", "SqrtN", "Sum"):
        op = getattr(R, f"SparseSegment{name}WithNumSegments")
        g.out(op(data=g.normal(6, 2), indices=[0, 5, 2, 2], segment_ids=[0, 0, 2, 3], num_segments=5))
    for name, low in (("Sum", -3), ("Prod", 1), ("Max", -3), ("Min", -3)):
        op = getattr(R, f"UnsortedSegment{name}")
        g.out(op(data=g.normal(2, 3, 2), segment_ids=[[2, 0, -1], [0, 4, 2]], num_segments=5), op(data=g.whole(low, 4, 4), segment_ids=g.input(np.int32([1, 1, 0, 3])), num_segments=4))
    g.out(R.EnsureShape(input=x, shape=[None, 6]), R.Snapshot(input=x), R.CheckNumerics(tensor=x, message=""), R.IdentityN(input=[x, w])[1])
    g.out(R.LogicalAnd(x=x > 0, y=x < 1), R.InTopKV2(predictions=x, targets=[1, 0, 5], k=2), R.ListDiff(x=g.whole(0, 9, 8), y=g.whole(0, 9, 3))[0])
    g.out(R.LowerBound(sorted_inputs=tf.sort(x), values=g.normal(3, 4)), R.UpperBound(sorted_inputs=tf.sort(x), values=g.normal(3, 4)), R.Bucketize(input=x, boundaries=[-1.0, 0.0, 0.5]))
    g.out(R.Bincount(arr=g.whole(0, 9, 12), size=6, weights=g.normal(12)), R.DenseBincount(input=g.whole(0, 9, 2, 7), size=6, weights=np.float32([]), binary_output=True))
    g.out(R.SparseTensorDenseMatMul(a_indices=[[0, 1], [2, 0]], a_values=g.normal(2), a_shape=[3, 2], b=g.normal(2, 4)))
    g.out(R.RaggedRange(starts=g.input(np.int32([0, 5, 8])), limits=g.input(np.int32([3, 5, 2])), deltas=g.input(np.int32([1, 1, -2])))[1])
    g.out(R.SparseReshape(input_indices=np.int64([[0, 1], [1, 2]]), input_shape=g.input(np.int64([2, 3])), new_shape=np.int64([3, -1]))[0])


@case
def lists(g):
    x = g.normal(4, 3)
    r = R.TensorListReserve(element_shape=[3], num_elements=4, element_dtype=tf.float32)
    r = R.TensorListSetItem(input_handle=r, index=g.input(np.int32(2)), item=x[0])
    g.out(R.TensorListStack(input_handle=r, element_shape=[3], element_dtype=tf.float32), R.TensorListLength(input_handle=r))
    t = R.TensorListFromTensor(tensor=x, element_shape=[3])
    g.out(R.TensorListGather(input_handle=t, indices=[3, 0], element_shape=[3], element_dtype=tf.float32), R.TensorListElementShape(input_handle=t, shape_type=tf.int32))
    e = R.EmptyTensorList(element_shape=[3], max_num_elements=-1, element_dtype=tf.float32)
    for i in range(3):
        e = R.TensorListPushBack(input_handle=e, tensor=x[i])
    e, last = R.TensorListPopBack(input_handle=e, element_shape=[3], element_dtype=tf.float32)
    g.out(last, R.TensorListStack(input_handle=e, element_shape=[3], element_dtype=tf.float32))
    g.out(R.TensorListStack(input_handle=R.TensorListResize(input_handle=t, size=6), element_shape=[3], element_dtype=tf.float32))
    s = R.TensorListScatterV2(tensor=x, indices=[5, 0, 2, 3], element_shape=[3], num_elements=-1)
    g.out(R.TensorListStack(input_handle=s, element_shape=[3], element_dtype=tf.float32))
    s = R.TensorListScatterIntoExistingList(input_handle=t, tensor=x[:2], indices=[1, 3])
    g.out(R.TensorListStack(input_handle=s, element_shape=[3], element_dtype=tf.float32))
    c = R.TensorListSplit(tensor=g.normal(6, 2), element_shape=[2, 2], lengths=np.int64([2, 2, 2]))
    g.out(*R.TensorListConcatV2(input_handle=c, element_shape=[2, 2], leading_dims=np.int64([]), element_dtype=tf.float32))
    a = R.TensorArrayV3(size=3, dtype=tf.float32, element_shape=[2])
    f = R.TensorArrayScatterV3(handle=a[0], indices=[0, 1, 2], value=g.normal(3, 2), flow_in=a[1])
    g.out(R.TensorArrayGatherV3(handle=a[0], indices=[2, 0], flow_in=f, dtype=tf.float32, element_shape=[2]), R.TensorArraySizeV3(handle=a[0], flow_in=f))
    g.out(R.TensorArrayReadV3(handle=a[0], index=1, flow_in=f, dtype=tf.float32))


@case
def cells(g):
    x, h, c = g.normal(2, 3), g.normal(2, 4), g.normal(2, 4)
    g.out(*R.GRUBlockCell(x=x, h_prev=h, w_ru=g.normal(7, 8), w_c=g.normal(7, 4), b_ru=g.normal(8), b_c=g.normal(4)))
    w, b, p = g.normal(7, 16), g.normal(16), [g.normal(4) for _ in range(3)]
    for clip, peephole in ((-1.0, False), (0.4, True)):
        g.out(*R.LSTMBlockCell(x=x, cs_prev=c, h_prev=h, w=w, wci=p[0], wcf=p[1], wco=p[2], b=b, forget_bias=0.5, cell_clip=clip, use_peephole=peephole))
    steps = g.normal(5, 2, 3)
    g.out(*R.BlockLSTM(seq_len_max=g.input(np.int64(4)), x=steps, cs_prev=c, h_prev=h, w=w, wci=p[0], wcf=p[1], wco=p[2], b=b, use_peephole=True))
    g.out(*R.BlockLSTMV2(seq_len_max=np.int64(5), x=steps, cs_prev=c, h_prev=h, w=w, wci=p[0], wcf=p[1], wco=p[2], b=b))


@case
def fused(g):
    x, w = g.normal(2, 5, 5, 3), g.normal(3, 3, 3, 4)
    b, v = g.normal(4), g.uniform(0.5, 2.0, 4)
    graph = tf.compat.v1.get_default_graph()

    def node(op, name, inputs, attrs, dtype=tf.float32):
        values = {k: tf.compat.v1.AttrValue(**a) for k, a in attrs.items()}
        return graph.create_op(op, inputs, [dtype], name=name, attrs=values).outputs[0]

    def fused_ops(*names):
        return dict(list=tf.compat.v1.AttrValue.ListValue(s=[n.encode() for n in names]))

    T = dict(type=tf.float32.as_datatype_enum)
    conv = dict(T=T, strides=dict(list=tf.compat.v1.AttrValue.ListValue(i=[1, 2, 2, 1])), padding=dict(s=b"SAME"), num_args=dict(i=1))
    types = dict(TArgs=dict(list=tf.compat.v1.AttrValue.ListValue(type=[1])), num_host_args=dict(i=0))
    for names in (("BiasAdd",), ("BiasAdd", "Relu"), ("BiasAdd", "Relu6"), ("BiasAdd", "Elu")):
        g.out(node("_FusedConv2D", "fused_" + "_".join(names), [x, w, b], {**conv, **types, "fused_ops": fused_ops(*names)}))
    four = dict(TArgs=dict(list=tf.compat.v1.AttrValue.ListValue(type=[1] * 4)), num_host_args=dict(i=0))
    g.out(node("_FusedConv2D", "fused_norm", [x, w, v, b, b, v], {**conv, **four, "num_args": dict(i=4), "epsilon": dict(f=0.01), "fused_ops": fused_ops("FusedBatchNorm", "Relu")}))
    product = dict(T=T, num_args=dict(i=1), transpose_b=dict(b=True))
    for names in (("BiasAdd",), ("BiasAdd", "Relu"), ("BiasAdd", "Tanh"), ("BiasAdd", "GeluApproximate"), ("BiasAdd", "LeakyRelu")):
        g.out(node("_FusedMatMul", "product_" + "_".join(names), [g.normal(3, 5), g.normal(4, 5), b], {**product, "fused_ops": fused_ops(*names), "leakyrelu_alpha": dict(f=0.3)}))


if __name__ == "__main__":
    main()
