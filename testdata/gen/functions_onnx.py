"""Writes testdata/models/functions.onnx: model-local functions that call each other, with attributes that refer to those of the call, an
operand left out, another operator set, and bodies. Prints what ONNX Runtime computes for the inputs of tests/functions.rs.

    python testdata/gen/functions_onnx.py    (needs onnx and onnxruntime)
"""
import numpy as np
import onnx
import onnxruntime

TEXT = """
<ir_version: 9, opset_import: ["" : 18, "local" : 1]>
functions (float[N, 4] x, float[4] b) => (float[N, 4] y, float[N, 2, 2] z, float[N, 4] w)
{
  t = local.outer <alpha = 0.25> (x, , b)
  y = local.outer (t, b)
  shape = Constant <value_ints: ints = [-1, 2, 2]> ()
  z = local.shaped (y, shape)
  w = local.branch (x)
}
<domain: "local", opset_import: ["" : 18, "local": 1]>
outer <alpha: float = 0.1> (a, unused, c) => (r)
{
  k = local.leak <slope: float = @alpha> (a)
  r = Add(k, a)
}
<domain: "local", opset_import: ["" : 17]>
leak <slope: float> (a) => (r)
{
  s = Softmax <axis = 1> (a)
  l = LeakyRelu <alpha: float = @slope> (s)
  r = Sub(l, a)
}
<domain: "local", opset_import: ["" : 18]>
shaped (a, s) => (r) { r = Reshape(a, s) }
<domain: "local", opset_import: ["" : 18]>
branch (a) => (r)
{
  m = ReduceSum <keepdims = 0> (a)
  zero = Constant <value_float: float = 0.0> ()
  c = Greater(m, zero)
  r = If (c) <then_branch = yes () => (float[N, 4] o) { o = Exp(a) }, else_branch = no () => (float[N, 4] p) { p = Neg(a) }>
}
"""

model = onnx.parser.parse_model(TEXT)
onnx.checker.check_model(model)
onnx.save(model, "testdata/models/functions.onnx")
x = np.array([[0.5, -1.0, 2.0, 0.0], [1.0, 1.0, -3.0, 0.25]], np.float32)
session = onnxruntime.InferenceSession("testdata/models/functions.onnx")
for out, value in zip(session.get_outputs(), session.run(None, {"x": x, "b": np.ones(4, np.float32)})):
    print(out.name, value.ravel().tolist())
