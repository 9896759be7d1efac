//! `sequence_at`, `sequence_insert`, `sequence_erase`, `sequence_length`
use super::{check_position, elements, position, sequence};
use crate::dtype::{ANY, DType, INDEX};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// The element at `position`, from `-n` to `n - 1` where the sequence has `n` elements.
    sequence_at SequenceAt(input_sequence: One<S>, position: One<I>) -> (tensor: One<T>) {} where I: INDEX;
}

crate::op! {
    /// The sequence with `tensor` put in front of `position`, from `-n` to `n` where it has `n` elements; behind the last without
    /// `position`.
    sequence_insert SequenceInsert(input_sequence: One<S>, tensor: One<T>, position: Opt<I>) -> (output_sequence: One<S>) {} where T: ANY, I: INDEX;
}

crate::op! {
    /// The sequence without the element at `position`, from `-n` to `n - 1` where it has `n` elements; without its last when `position`
    /// is absent.
    sequence_erase SequenceErase(input_sequence: One<S>, position: Opt<I>) -> (output_sequence: One<S>) {} where I: INDEX;
}

crate::op! {
    /// Number of elements.
    sequence_length SequenceLength(input_sequence: One<S>) -> (length: One<I>) {};
}

impl Semantics for SequenceAt {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        check_position(cx, 1)?;
        Ok(vec![elements(cx, 0)?.map_or(Type::Unknown, |t| t.clone().into())])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let all = cx.take_sequence(0)?;
        let at = position(&cx, 1, all.len(), 0, 0)?;
        Ok(vec![all[at].clone()])
    }
}

impl Semantics for SequenceInsert {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        check_position(cx, 2)?;
        let new = cx.tensor(1)?;
        let Some(old) = elements(cx, 0)? else { return Ok(vec![sequence(None)]) };
        if old.dtype != new.dtype {
            return Err(OpError::operand(format!("{new} cannot be put into a sequence of {old}")));
        }
        let joined = Type::from(old.clone()).join(&new.clone().into());
        Ok(vec![Type::Sequence(Box::new(joined))])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let mut all = cx.take_sequence(0)?;
        let len = i64::try_from(all.len()).unwrap_or(i64::MAX);
        let at = position(&cx, 2, all.len(), 1, len)?;
        all.insert(at, cx.take(1)?.into());
        Ok(vec![Value::Sequence(all)])
    }
}

impl Semantics for SequenceErase {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        check_position(cx, 1)?;
        Ok(vec![sequence(elements(cx, 0)?.cloned())])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let mut all = cx.take_sequence(0)?;
        let at = position(&cx, 1, all.len(), 0, -1)?;
        all.remove(at);
        Ok(vec![Value::Sequence(all)])
    }
}

impl Semantics for SequenceLength {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        elements(cx, 0)?;
        Ok(vec![TensorType::fixed(DType::I64, &[]).into()])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        one(Tensor::scalar(cx.take_sequence(0)?.len() as i64))
    }
}

#[cfg(test)]
mod tests {
    use crate::eval::{Limits, Value, eval_graph};
    use crate::tensor::Tensor;
    use crate::text::parse_graph;

    fn graph(line: &str) -> Result<crate::graph::Graph, String> {
        let text = format!(
            "graph @main(%s: seq<f32[2]>, %p: i64[], %x: f32[2], %z: f32[3], %l: i64[2], %n: seq<seq<f32[]>>) {{\n %y = {line}\n return y: %y\n}}"
        );
        parse_graph(&text).map_err(|d| d.to_string())
    }
    fn ty(line: &str) -> Result<String, String> {
        graph(line).map(|g| g.ty(g.outputs()[0].value).to_string())
    }

    #[test]
    fn types_follow_the_elements() {
        assert_eq!(ty("sequence_at(%s, %p)").as_deref(), Ok("f32[2]"));
        assert_eq!(ty("sequence_insert(%s, %x)").as_deref(), Ok("seq<f32[2]>"));
        assert_eq!(ty("sequence_insert(%s, %z, %p)").as_deref(), Ok("seq<f32[?]>"));
        assert_eq!(ty("sequence_erase(%s)").as_deref(), Ok("seq<f32[2]>"));
        assert_eq!(ty("sequence_length(%s)").as_deref(), Ok("i64[]"));
        for wrong in [
            "sequence_at(%x, %p)",
            "sequence_at(%s, %l)",
            "sequence_at(%n, %p)",
            "sequence_insert(%s, %p)",
            "sequence_insert(%s, %s)",
            "sequence_length(%x)",
        ] {
            assert!(ty(wrong).is_err(), "{wrong}");
        }
    }

    fn run(line: &str, len: usize, at: i64) -> Result<Value, &'static str> {
        let g = graph(line).expect("fits");
        let of = |v: f32| Value::from(Tensor::from_vec(&[2], vec![v; 2]));
        let all = Value::Sequence((0..len).map(|i| of(i as f32)).collect());
        let inputs = vec![
            all,
            Tensor::scalar(at).into(),
            of(9.0),
            Tensor::from_vec(&[3], vec![0f32; 3]).into(),
            Tensor::from_ints(&[0, 0]).into(),
            Value::Sequence(vec![].into()),
        ];
        eval_graph(&g, inputs, Limits::default()).map(|mut v| v.remove(0)).map_err(|e| e.code)
    }
    fn firsts(v: &Value) -> Vec<f32> {
        match v {
            Value::Tensor(t) => vec![t.to_f32s().expect("floats")[0]],
            Value::Sequence(all) => all.iter().flat_map(firsts).collect(),
            Value::Optional(_) => vec![],
        }
    }

    #[test]
    fn positions_count_from_either_end() {
        let put = |at| run("sequence_insert(%s, %x, %p)", 2, at).map(|v| firsts(&v));
        assert_eq!(put(-2), Ok(vec![9.0, 0.0, 1.0]));
        assert_eq!(put(-1), Ok(vec![0.0, 9.0, 1.0]));
        assert_eq!(put(2), Ok(vec![0.0, 1.0, 9.0]));
        assert_eq!((put(3), put(-3)), (Err("E0306"), Err("E0306")));
        let at = |at| run("sequence_at(%s, %p)", 2, at).map(|v| firsts(&v));
        assert_eq!((at(-1), at(0)), (Ok(vec![1.0]), Ok(vec![0.0])));
        assert_eq!((at(2), at(i64::MIN)), (Err("E0306"), Err("E0306")));
        assert_eq!(run("sequence_erase(%s)", 2, 0).map(|v| firsts(&v)), Ok(vec![0.0]));
        assert_eq!(run("sequence_erase(%s)", 0, 0), Err("E0306"));
        assert_eq!(run("sequence_length(%s)", 3, 0), Ok(Tensor::scalar(3i64).into()));
    }

    #[test]
    fn sequences_that_take_too_much_are_refused() {
        let g = graph("sequence_insert(%s, %x)").expect("fits");
        let x = Value::from(Tensor::from_vec(&[2], vec![1f32; 2]));
        let run = |bytes: usize| {
            let inputs = vec![
                Value::Sequence(vec![x.clone(); 9].into()),
                Tensor::scalar(0i64).into(),
                x.clone(),
                x.clone(),
                x.clone(),
                x.clone(),
            ];
            eval_graph(&g, inputs, Limits { result_bytes: bytes }).map(|_| ()).map_err(|e| e.code)
        };
        assert_eq!(run(10 * 8 + 10 * crate::eval::TENSOR_OVERHEAD), Ok(()));
        assert_eq!(run(10 * crate::eval::TENSOR_OVERHEAD), Err("E0307"));
    }
}
