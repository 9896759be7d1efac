//! `string_concat`
use super::check_size;
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::infer::{InferCx, broadcast};
use crate::op::OpError;
use crate::ops::elementwise::broadcast::broadcast_sizes;
use crate::tensor::{Tensor, element_count};
use crate::types::{TensorType, Type};

crate::op! {
    /// `z = x` followed by `y`, elementwise with broadcasting.
    string_concat StringConcat(x: One<T>, y: One<T>) -> (z: One<T>) {} where T: DTypeSet::of(&[DType::String]);
    infer = infer,
    eval = |_: &StringConcat, cx| eval(&cx);
}

fn infer(_: &StringConcat, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let shape = match (cx.shape(0)?, cx.shape(1)?) {
        (Some(x), Some(y)) => Some(broadcast(x, y)?),
        _ => None,
    };
    Ok(vec![TensorType::new(cx.dtype(0)?, shape).into()])
}

/// Position in a tensor of sizes `from` of the element that element `i` of the result of sizes `to` is made of.
fn source(i: usize, from: &[usize], to: &[usize]) -> usize {
    let (mut rest, mut at, mut step) = (i, 0, 1);
    for (axis, size) in to.iter().enumerate().rev() {
        let position = rest % size;
        rest /= size;
        if let Some(own) = (axis + from.len()).checked_sub(to.len()) {
            at += if from[own] == 1 { 0 } else { position * step };
            step *= from[own];
        }
    }
    at
}

fn eval(cx: &EvalCx<'_>) -> Result<Vec<Value>, OpError> {
    let (x, y) = (cx.tensor(0)?, cx.tensor(1)?);
    let shape = broadcast_sizes(&[x.shape(), y.shape()])?;
    let n = element_count(&shape);
    // Each operand's bytes are repeated as often as its elements.
    let bytes = |t: &Tensor| t.byte_len().checked_mul(n?.checked_div(t.len()).unwrap_or(0));
    check_size(n, bytes(x).zip(bytes(y)).and_then(|(a, b)| a.checked_add(b)))?;
    let (left, right) = (x.strings()?, y.strings()?);
    let join = |i: usize| {
        let (a, b) = (&left[source(i, x.shape(), &shape)], &right[source(i, y.shape(), &shape)]);
        let mut text = String::with_capacity(a.len() + b.len());
        text.push_str(a);
        text.push_str(b);
        text
    };
    one(Tensor::from_strings(&shape, (0..n.unwrap_or(0)).map(join).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::eval;

    fn strings(shape: &[usize], texts: &[&str]) -> Tensor {
        Tensor::from_strings(shape, texts.iter().map(|t| (*t).to_owned()).collect())
    }

    #[test]
    fn operands_broadcast_and_huge_results_are_refused() {
        let (a, b) = (strings(&[2, 1], &["a", "b"]), strings(&[3], &["x", "", "é"]));
        let y = eval(&StringConcat {}, &[Some(&a), Some(&b)]).expect("fits");
        assert_eq!(y[0], strings(&[2, 3], &["ax", "a", "aé", "bx", "b", "bé"]));
        let row = Tensor::from_strings(&[1 << 14], vec![String::new(); 1 << 14]);
        let column = row.reshape(&[1 << 14, 1]).expect("same");
        let e = eval(&StringConcat {}, &[Some(&row), Some(&column)]).expect_err("too large");
        assert_eq!(e.code, "E0307");
    }
}
