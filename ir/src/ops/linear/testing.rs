//! Helpers of the operators' tests.
use crate::dim::{Dim, SymInt};
use crate::dtype::DType;
use crate::eval::{EvalCx, Limits, Value, eval_op};
use crate::infer::{InferCx, Known, infer_op};
use crate::op::OpError;
use crate::ops::Op;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

/// Results of `op` on tensors, all that it declares.
pub(crate) fn eval_n<O: Clone + Into<Op>>(
    op: &O,
    inputs: &[Option<&Tensor>],
    outputs: usize,
) -> Result<Vec<Tensor>, OpError> {
    let inputs = inputs.iter().map(|t| t.map(|t| Value::Tensor(t.clone()))).collect();
    let run = |_: &crate::graph::Graph, _: Vec<Value>| Err(OpError::eval("no bodies here"));
    let cx = EvalCx { inputs, outputs, bodies: &[], captures: 0, run: &run };
    eval_op(&op.clone().into(), cx, Limits::default())?.into_iter().map(Value::into_tensor).collect()
}

/// The one result of `op`.
pub(crate) fn eval<O: Clone + Into<Op>>(op: &O, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>, OpError> {
    eval_n(op, inputs, 1)
}

/// Types from texts such as `f32[N, 3]`; `_` is an absent operand, `f32[*]` of unknown rank.
pub(crate) fn shapes(texts: &[&str]) -> Vec<Option<Type>> {
    texts.iter().map(|t| ty(t)).collect()
}

fn ty(text: &str) -> Option<Type> {
    let (dtype, dims) = text.split_once('[')?;
    let dtype = DType::by_name(dtype)?;
    let dims = dims.trim_end_matches(']');
    if dims == "*" {
        return Some(TensorType::unranked(dtype).into());
    }
    let dim = |d: &str| match d.trim() {
        "?" => Dim::Unknown,
        d => d.parse::<u64>().map_or_else(|_| Dim::from_sym(Some(SymInt::symbol(d))), Dim::Known),
    };
    let dims = dims.split(',').filter(|d| !d.trim().is_empty()).map(dim).collect::<Vec<_>>();
    Some(TensorType::new(dtype, dims).into())
}

/// Type of the one result of `op`.
pub(crate) fn infer<O: Clone + Into<Op>>(op: &O, inputs: &[Option<Type>]) -> Result<Vec<Type>, OpError> {
    infer_with(op, inputs, &[])
}

/// [`infer`] with constants at operand positions.
pub(crate) fn infer_with<O: Clone + Into<Op>>(
    op: &O,
    inputs: &[Option<Type>],
    constants: &[(usize, &Tensor)],
) -> Result<Vec<Type>, OpError> {
    infer_full(op, inputs, constants, 1)
}

/// [`infer_with`] for a node with that many outputs.
pub(crate) fn infer_full<O: Clone + Into<Op>>(
    op: &O,
    inputs: &[Option<Type>],
    constants: &[(usize, &Tensor)],
    outputs: usize,
) -> Result<Vec<Type>, OpError> {
    let op: Op = op.clone().into();
    let tensor = |i: usize| constants.iter().find(|c| c.0 == i).map(|c| c.1);
    let known: Vec<Option<Known<'_>>> = inputs
        .iter()
        .enumerate()
        .map(|(i, ty)| ty.as_ref().map(|ty| Known { ty, tensor: tensor(i), content: None }))
        .collect();
    infer_op(&op, &InferCx::new(op.schema(), &known, &[], 0, outputs))
}

/// An `f32` tensor.
pub(crate) fn f32s(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_vec(shape, values.to_vec())
}

/// `0, 1, 2, ...` as `f32`.
pub(crate) fn iota(shape: &[usize]) -> Tensor {
    Tensor::from_vec(shape, (0..shape.iter().product::<usize>()).map(|v| v as f32).collect())
}

/// Compares elements within `1e-5` of their magnitude.
pub(crate) fn assert_near(found: &Tensor, shape: &[usize], expected: &[f64]) {
    assert_eq!(found.shape(), shape);
    let values = found.to_f64s().expect("numbers");
    assert_eq!(values.len(), expected.len());
    for (i, (a, b)) in values.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-5 * (1.0 + b.abs()), "element {i}: {a} instead of {b} in {values:?}");
    }
}
