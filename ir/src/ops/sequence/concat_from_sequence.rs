//! `concat_from_sequence`
use super::{elements, tensors};
use crate::dim::Dim;
use crate::eval::{EvalCx, Limits, Value, one, too_many_bytes};
use crate::infer::{InferCx, resolve_axis};
use crate::op::{OpError, Semantics};
use crate::ops::movement::pick::join;
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// Joins the elements of a sequence, of which there is at least one, along one axis; all other sizes agree. Unlike ONNX, `axis` has
    /// a default.
    concat_from_sequence ConcatFromSequence(input_sequence: One<S>) -> (concat_result: One<T>) {
        /// Axis they are joined along, counted in the result when it is new; negative counts from the end.
        axis: i64 = 0,
        /// Whether the axis is a new one, along which elements of one shape are stacked.
        new_axis: bool = false,
    };
}

impl ConcatFromSequence {
    /// The axis in a result of elements of this rank.
    fn at(&self, rank: usize) -> Result<usize, OpError> {
        resolve_axis(self.axis, rank + usize::from(self.new_axis))
    }
}

impl Semantics for ConcatFromSequence {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let Some(x) = elements(cx, 0)? else { return Ok(vec![Type::Unknown]) };
        let Some(mut shape) = x.shape.clone() else {
            return Ok(vec![TensorType::unranked(x.dtype).into()]);
        };
        let axis = self.at(shape.len())?;
        if self.new_axis {
            shape.insert(axis, Dim::Unknown);
        } else if shape[axis] != Dim::Known(0) {
            shape[axis] = Dim::Unknown;
        }
        Ok(vec![TensorType::new(x.dtype, shape).into()])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let all = cx.take_sequence(0)?;
        let limit = Limits::default().result_bytes;
        if all.iter().map(Value::byte_len).fold(0, usize::saturating_add) > limit {
            return Err(too_many_bytes("the result", limit));
        }
        let xs = tensors(&all)?;
        let first =
            xs.first().ok_or_else(|| OpError::eval("a sequence without elements joins to nothing"))?;
        let axis = self.at(first.rank())?;
        if !self.new_axis {
            return one(join(&xs, axis)?);
        }
        let stretched = |x: &&Tensor| {
            let mut shape = x.shape().to_vec();
            if x.rank() != first.rank() {
                return Err(OpError::shape("tensors of different rank do not stack"));
            }
            shape.insert(axis, 1);
            Ok(x.reshape(&shape)?)
        };
        let xs = xs.iter().map(stretched).collect::<Result<Vec<_>, _>>()?;
        one(join(&xs.iter().collect::<Vec<_>>(), axis)?)
    }
}

#[cfg(test)]
mod tests {
    use crate::eval::{Limits, Value, eval_graph};
    use crate::tensor::Tensor;
    use crate::text::parse_graph;

    fn graph(elements: &str, attrs: &str) -> Result<crate::graph::Graph, String> {
        let text = format!(
            "graph @main(%s: seq<{elements}>) {{\n %y = concat_from_sequence(%s) {attrs}\n return y: %y\n}}"
        );
        parse_graph(&text).map_err(|d| d.to_string())
    }
    fn ty(elements: &str, attrs: &str) -> Result<String, String> {
        graph(elements, attrs).map(|g| g.ty(g.outputs()[0].value).to_string())
    }

    #[test]
    fn other_axes_keep_their_sizes() {
        assert_eq!(ty("f32[2, N]", "{axis=-1}").as_deref(), Ok("f32[2, ?]"));
        assert_eq!(ty("f32[0, N]", "").as_deref(), Ok("f32[0, N]"));
        assert_eq!(ty("f32[2, N]", "{axis=-3, new_axis=true}").as_deref(), Ok("f32[?, 2, N]"));
        assert_eq!(ty("f32[]", "{new_axis=true}").as_deref(), Ok("f32[?]"));
        assert_eq!(ty("f32[*]", "{axis=7}").as_deref(), Ok("f32[*]"));
        assert_eq!(ty("unknown", "").as_deref(), Ok("unknown"));
        assert!(ty("f32[]", "").is_err() && ty("f32[2]", "{axis=1}").is_err());
        assert!(ty("f32[2]", "{axis=2, new_axis=true}").is_err() && ty("seq<f32[2]>", "").is_err());
    }

    #[test]
    fn what_does_not_join_is_refused() {
        let run = |attrs: &str, all: &[Tensor]| {
            let g = graph("f32[*]", attrs).expect("fits");
            let s = Value::Sequence(all.iter().cloned().map(Value::from).collect());
            eval_graph(&g, vec![s], Limits::default()).map(|v| v[0].ty().to_string()).map_err(|e| e.code)
        };
        let t = |shape: &[usize]| Tensor::from_vec(shape, vec![0f32; shape.iter().product()]);
        assert_eq!(run("", &[t(&[2, 3]), t(&[1, 3])]).as_deref(), Ok("f32[3, 3]"));
        assert_eq!(run("{axis=2, new_axis=true}", &[t(&[2, 3]), t(&[2, 3])]).as_deref(), Ok("f32[2, 3, 2]"));
        assert_eq!(run("", &[]), Err("E0306"));
        assert_eq!(run("", &[t(&[2, 3]), t(&[3, 2])]), Err("E0305"));
        assert_eq!(run("", &[t(&[2, 3]), t(&[2])]), Err("E0305"));
        assert_eq!(run("{new_axis=true}", &[t(&[2, 3]), t(&[6])]), Err("E0305"));
        assert_eq!(run("{axis=9}", &[t(&[2])]), Err("E0304"));
    }
}
