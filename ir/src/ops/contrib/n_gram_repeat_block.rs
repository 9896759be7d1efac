//! `n_gram_repeat_block`
use crate::dtype::{F32_ONLY, I64_ONLY};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::Type;

crate::op! {
    /// `scores` (`[batch, vocabulary]`) with minus infinity for every word that, appended to its row of `input_ids`, would repeat
    /// `ngram_size` words that stand there already.
    n_gram_repeat_block NGramRepeatBlock(input_ids: One<I>, scores: One<T>) -> (scores_out: One<T>) {
        /// Length of what must not repeat.
        ngram_size: i64 = 1,
    } where T: F32_ONLY, I: I64_ONLY;
}

impl Semantics for NGramRepeatBlock {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        if self.ngram_size < 1 {
            return Err(OpError::attr(format!("ngram_size {} is not positive", self.ngram_size)));
        }
        for i in 0..2 {
            if cx.shape(i)?.is_some_and(|s| s.len() != 2) {
                return Err(OpError::shape(format!("operand {i} needs 2 axes, is {}", cx.ty(i)?)));
            }
        }
        if let (Some(ids), Some(scores)) = (cx.shape(0)?, cx.shape(1)?)
            && ids[0].surely_differs(&scores[0])
        {
            return Err(OpError::shape("words and scores are of batches of different sizes"));
        }
        Ok(vec![cx.ty(1)?.clone()])
    }
    fn eval(&self, mut cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let scores = cx.take(1)?;
        let ids = cx.tensor(0)?;
        let (shape, words) = (scores.shape().to_vec(), ids.to_i64s()?);
        let length = ids.shape().get(1).copied().unwrap_or(0);
        let vocabulary = shape.get(1).copied().unwrap_or(0);
        let mut values = scores.into_vec::<f32>()?;
        let n = usize::try_from(self.ngram_size).unwrap_or(usize::MAX);
        if n > length || vocabulary == 0 {
            return one(Tensor::from_vec(&shape, values));
        }
        for (row, line) in words.chunks_exact(length).zip(values.chunks_exact_mut(vocabulary)) {
            let tail = &row[length + 1 - n..];
            for gram in row.windows(n).filter(|g| g[..n - 1] == *tail) {
                let score = usize::try_from(gram[n - 1]).ok().and_then(|w| line.get_mut(w));
                *score.ok_or_else(|| OpError::eval("a word lies outside of the vocabulary"))? =
                    f32::NEG_INFINITY;
            }
        }
        one(Tensor::from_vec(&shape, values))
    }
}
