//! `string_split`
use super::check_size;
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};

crate::op! {
    /// Splits each string. `y` has one more axis, which holds the pieces and then empty strings; `z` counts the pieces. Without
    /// `delimiter` runs of white space separate, and white space at either end belongs to no piece; with it, neighbouring delimiters
    /// enclose an empty piece. After `maxsplit` splits the rest is the last piece; a negative number is no limit.
    string_split StringSplit(x: One<T1>) -> (y: One<T2>, z: One<T3>) {
        /// What separates; empty is white space.
        delimiter: Option<String> = None,
        /// Most splits of one string.
        maxsplit: Option<i64> = None,
    } where T1: DTypeSet::of(&[DType::String]);
}

impl StringSplit {
    /// Pieces of `text`.
    fn pieces<'a>(&self, text: &'a str) -> Box<dyn Iterator<Item = &'a str> + 'a> {
        let splits = self.maxsplit.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        let most = splits.saturating_add(1);
        let mut given = 0;
        if let Some(delimiter) = self.delimiter.clone().filter(|d| !d.is_empty()) {
            let mut rest = Some(text);
            return Box::new(std::iter::from_fn(move || {
                let text = rest?;
                given += 1;
                match text.split_once(&delimiter) {
                    Some((piece, after)) if given < most => {
                        rest = Some(after);
                        Some(piece)
                    }
                    _ => rest.take(),
                }
            }));
        }
        let mut rest = text.trim();
        Box::new(std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            given += 1;
            let end = if given < most { rest.find(char::is_whitespace) } else { None };
            let (piece, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after.trim_start();
            Some(piece)
        }))
    }
}

impl Semantics for StringSplit {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        let shape = cx.shape(0)?.cloned();
        let pieces = shape.clone().map(|mut s| {
            s.push(Dim::Unknown);
            s
        });
        Ok(vec![TensorType::new(DType::String, pieces).into(), TensorType::new(DType::I64, shape).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        let texts = x.strings()?;
        let counts: Vec<usize> = texts.iter().map(|t| self.pieces(t).count()).collect();
        let most = counts.iter().copied().max().unwrap_or(0);
        check_size(texts.len().checked_mul(most), Some(x.byte_len()))?;
        let mut out = Vec::with_capacity(texts.len() * most);
        for (text, count) in texts.iter().zip(&counts) {
            out.extend(self.pieces(text).map(str::to_owned));
            out.extend(std::iter::repeat_n(String::new(), most - count));
        }
        let mut shape = x.shape().to_vec();
        shape.push(most);
        let counts = counts.into_iter().map(|n| n as i64).collect();
        Ok(vec![Tensor::from_strings(&shape, out).into(), Tensor::from_vec(x.shape(), counts).into()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(delimiter: &str, maxsplit: Option<i64>, text: &str) -> Vec<String> {
        let op = StringSplit { delimiter: Some(delimiter.to_owned()), maxsplit };
        op.pieces(text).map(str::to_owned).collect()
    }

    #[test]
    fn pieces_follow_the_specification() {
        assert_eq!(pieces("", Some(1), "  a b  c  "), ["a", "b  c"]);
        assert_eq!(pieces("", Some(0), " a b "), ["a b"]);
        assert_eq!(pieces("", None, "\ta\n\u{2003}b"), ["a", "b"]);
        assert!(pieces("", None, "  ").is_empty());
        assert_eq!(pieces("--", None, "a----b--"), ["a", "", "b", ""]);
        assert_eq!(pieces(",", Some(1), "a,b,c"), ["a", "b,c"]);
        assert_eq!(pieces(",", Some(-1), "a,b,c"), ["a", "b", "c"]);
        assert_eq!(pieces(",", None, ""), [""]);
    }

    #[test]
    fn padding_is_bounded() {
        let mut texts = vec![String::new(); 1 << 14];
        texts[0] = " x".repeat(1 << 14);
        let x = Tensor::from_strings(&[1 << 14], texts);
        let op = StringSplit { delimiter: None, maxsplit: None };
        let e = crate::ops::linear::testing::eval_n(&op, &[Some(&x)], 2).expect_err("too large");
        assert_eq!(e.code, "E0307");
    }
}
