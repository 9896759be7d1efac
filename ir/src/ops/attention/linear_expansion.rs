//! `linear_attention` in terms of a `scan` over its tokens.
use super::linear_attention::LinearAttention;
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dtype::DType;
use crate::edit::NewNode;
use crate::expand::{Expanded, dtype_of, narrowed, operand};
use crate::graph::{Graph, Origin, ValueId};
use crate::ops::control::scan::Scan;
use crate::ops::elementwise::arithmetic::{Add, Mul, Sub};
use crate::ops::elementwise::unary::Exp;
use crate::ops::linear::mat_mul::MatMul;
use crate::ops::movement::concat::Concat;
use crate::ops::movement::reshape::Reshape;
use crate::ops::shape::constant_of_shape::ConstantOfShape;
use crate::ops::shape::shape::Shape;
use crate::types::{TensorType, Type};

/// Last size of `v`, when it is known.
fn last(b: &Builder<'_>, v: ValueId) -> Option<i64> {
    i64::try_from(b.graph().ty(v).as_tensor()?.shape.as_ref()?.last()?.known()?).ok()
}

/// `v` in `f32`, with its features split: batch and tokens stay.
fn split(b: &mut Builder<'_>, v: ValueId, sizes: &[i64]) -> Result<ValueId, Diag> {
    let v = narrowed(b, v, DType::F32)?;
    let to: Vec<i64> = [0, 0].iter().chain(sizes).copied().collect();
    let to = b.ints(&to);
    b.reshape(Reshape::default(), v, to)
}

/// The expansion; none while the number of features is not known.
pub(super) fn expand(op: &LinearAttention, b: &mut Builder<'_>, inputs: &[Option<ValueId>]) -> Expanded {
    let (q, k, v) = (operand(inputs, 0)?, operand(inputs, 1)?, operand(inputs, 2)?);
    let (h, g) = (op.q_num_heads, op.kv_num_heads);
    let (Some(dtype), Some(features), Some(values)) = (dtype_of(b, q), last(b, q), last(b, v)) else {
        return Ok(None);
    };
    if h <= 0 || g <= 0 {
        return Ok(None);
    }
    let (d, dv, each) = (features / h, values / g, h / g);
    let optional = |i: usize| inputs.get(i).copied().flatten();
    let state = if let Some(s) = optional(3) {
        narrowed(b, s, DType::F32)?
    } else {
        let (batch, rest) = (b.shape(Shape { start: 0, end: Some(1) }, q)?, b.ints(&[g, d, dv]));
        let sizes = b.concat(Concat { axis: 0 }, &[batch, rest])?;
        b.constant_of_shape(ConstantOfShape::default(), sizes)?
    };
    let kept = optional(3).and_then(|s| dtype_of(b, s)).unwrap_or(dtype);
    let mut operands =
        vec![state, split(b, q, &[g, each, d])?, split(b, k, &[g, d, 1])?, split(b, v, &[g, 1, dv])?];
    if let Some(decay) = optional(4) {
        let Some(n) = last(b, decay) else { return Ok(None) };
        let decay = split(b, decay, &[g, n / g, 1])?;
        operands.push(b.exp(Exp {}, decay)?);
    }
    if let Some(beta) = optional(5) {
        let Some(n) = last(b, beta) else { return Ok(None) };
        operands.push(split(b, beta, &[n, 1, 1])?);
    }
    let scale = if op.scale == 0.0 { (1.0 / (d as f64).sqrt()) as f32 } else { op.scale };
    let body = body(b, &operands, (optional(4).is_some(), optional(5).is_some()), scale)?;
    let scanned = operands.len() - 1;
    let scan = Scan {
        num_scan_inputs: scanned as i64,
        scan_input_axes: vec![1; scanned],
        scan_output_axes: vec![1],
        ..Scan::default()
    };
    let operands: Vec<Option<ValueId>> = operands.into_iter().map(Some).collect();
    let results = b.add_node(NewNode { outputs: 2, bodies: vec![body], ..NewNode::new(scan, &operands) })?;
    let to = b.ints(&[0, 0, h * dv]);
    let y = b.reshape(Reshape::default(), results[1], to)?;
    Ok(Some(vec![narrowed(b, y, dtype)?, narrowed(b, results[0], kept)?]))
}

/// One token: the next state and the result.
fn body(
    b: &Builder<'_>,
    operands: &[ValueId],
    (decays, corrects): (bool, bool),
    scale: f32,
) -> Result<Graph, Diag> {
    let mut g = Graph::new("token");
    let mut inputs = vec![];
    for (i, v) in operands.iter().enumerate() {
        let ty = match b.graph().ty(*v).clone() {
            Type::Tensor(TensorType { dtype, shape: Some(mut s) }) if i > 0 && s.len() > 1 => {
                s.remove(1);
                TensorType::new(dtype, s).into()
            }
            other => other,
        };
        inputs.push(g.add_input(&format!("x{i}"), ty));
    }
    let mut b = Builder::at_end(&mut g, Origin::default());
    let (mut state, q, k, mut v) = (inputs[0], inputs[1], inputs[2], inputs[3]);
    if decays {
        state = b.mul(Mul {}, state, inputs[4])?;
    }
    if corrects {
        // What the state already gives for the key: the sum of its rows, weighted by the key.
        let row = b.transpose(crate::ops::movement::transpose::Transpose { perm: vec![0, 1, 3, 2] }, k)?;
        let given = b.mat_mul(MatMul {}, row, state)?;
        let missing = b.sub(Sub {}, v, given)?;
        v = b.mul(Mul {}, missing, inputs[4 + usize::from(decays)])?;
    }
    let added = b.mul(Mul {}, k, v)?;
    let state = b.plus(Add {}, state, added)?;
    let y = b.mat_mul(MatMul {}, q, state)?;
    let factor = b.scalar(scale);
    let y = b.mul(Mul {}, y, factor)?;
    g.add_output("state", state);
    g.add_output("y", y);
    Ok(g)
}
