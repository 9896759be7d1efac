//! `tf_idf_vectorizer`
use crate::attr::Word;
use crate::dim::Dim;
use crate::dtype::{DType, DTypeSet};
use crate::eval::{EvalCx, Value, one};
use crate::infer::InferCx;
use crate::op::{OpError, Semantics};
use crate::ops::linear::compute::{count, zeros};
use crate::tensor::Tensor;
use crate::types::{TensorType, Type};
use std::collections::HashMap;
use std::hash::Hash;

/// Most steps through the pool for one evaluation: about half a minute.
const MOST_STEPS: u64 = 1 << 31;

/// What a coordinate of the result holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// How often the n-gram occurs.
    #[default]
    Tf,
    /// The n-gram's weight, if it occurs.
    Idf,
    /// How often the n-gram occurs, times its weight.
    TfIdf,
}

impl Word for Mode {
    const KIND: &'static str = "tf_idf_mode";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::Tf, "TF"), (Self::Idf, "IDF"), (Self::TfIdf, "TFIDF")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// Counts the n-grams of a pool in each row of a `[C]` or `[N, C]` tensor of tokens. The tokens of an n-gram may stand
    /// `0..=max_skip_count` others apart, all at the same distance; single tokens are counted once. Coordinate `ngram_indexes[i]` of
    /// the result belongs to the pool's n-gram `i`, and so does `weights[i]`.
    tf_idf_vectorizer TfIdfVectorizer(x: One<T>) -> (y: One<T1>) {
        /// Longest n-grams that are counted.
        max_gram_length: i64 = 1,
        /// Most tokens to leave out between two of an n-gram.
        max_skip_count: i64 = 0,
        /// Shortest n-grams that are counted.
        min_gram_length: i64 = 1,
        /// What a coordinate holds.
        mode: Mode = Mode::Tf,
        /// Where the n-grams of 1, 2, .. tokens begin in the pool.
        ngram_counts: Vec<i64> = vec![],
        /// Coordinate of each n-gram in the result.
        ngram_indexes: Vec<i64> = vec![],
        /// Tokens of all n-grams, one after the other, for integers.
        pool_int64s: Option<Vec<i64>> = None,
        /// Tokens of all n-grams, one after the other, for strings.
        pool_strings: Option<Vec<String>> = None,
        /// Weight of each n-gram; 1 when left out.
        weights: Option<Vec<f32>> = None,
    } where T: DTypeSet::of(&[DType::String, DType::I32, DType::I64]);
}

/// The n-grams of a pool as a tree of tokens: node 0 is the root.
struct Tree {
    edges: HashMap<(u32, u32), u32>,
    /// Number of the n-gram that ends at each node.
    ends: Vec<Option<usize>>,
}

/// Lengths of n-grams and distances of their tokens.
struct Search {
    shortest: usize,
    longest: usize,
    skips: usize,
}

impl TfIdfVectorizer {
    /// Coordinates of a row of the result.
    fn width(&self) -> Result<u64, OpError> {
        if let Some(bad) = self.ngram_indexes.iter().find(|i| **i < 0) {
            return Err(OpError::attr(format!("`ngram_indexes` contains {bad}")));
        }
        let last = self.ngram_indexes.iter().max();
        let last = last.ok_or_else(|| OpError::attr("`ngram_indexes` is empty"))?;
        Ok(last.unsigned_abs() + 1)
    }
    fn search(&self) -> Result<Search, OpError> {
        let size = |name: &str, v: i64, least: usize| {
            let v = usize::try_from(v).ok().filter(|v| *v >= least);
            v.ok_or_else(|| OpError::attr(format!("`{name}` must be at least {least}")))
        };
        let found = Search {
            shortest: size("min_gram_length", self.min_gram_length, 1)?,
            longest: size("max_gram_length", self.max_gram_length, 1)?,
            skips: size("max_skip_count", self.max_skip_count, 0)?,
        };
        if found.longest < found.shortest {
            return Err(OpError::attr("`max_gram_length` is below `min_gram_length`"));
        }
        Ok(found)
    }
    /// Refuses attributes that do not fit each other or the operand's type.
    fn check(&self, dtype: DType) -> Result<(), OpError> {
        self.search()?;
        let pool = match (&self.pool_strings, &self.pool_int64s) {
            (Some(p), None) if dtype == DType::String => p.len(),
            (None, Some(p)) if dtype != DType::String => p.len(),
            _ => {
                return Err(OpError::attr(format!(
                    "exactly one pool must be given, for tokens of type {dtype}"
                )));
            }
        };
        if self.weights.as_ref().is_some_and(|w| w.len() != self.ngram_indexes.len()) {
            return Err(OpError::attr("`weights` and `ngram_indexes` have different lengths"));
        }
        let grams: usize = self.sections(pool)?.iter().map(|(size, start, end)| (end - start) / size).sum();
        if grams != self.ngram_indexes.len() {
            let m = format!("the pool has {grams} n-grams, `ngram_indexes` {}", self.ngram_indexes.len());
            return Err(OpError::attr(m));
        }
        Ok(())
    }
    /// Length of the n-grams and range of tokens of each part of the pool.
    fn sections(&self, pool: usize) -> Result<Vec<(usize, usize, usize)>, OpError> {
        let starts: Option<Vec<usize>> = self.ngram_counts.iter().map(|s| usize::try_from(*s).ok()).collect();
        let starts = starts.ok_or_else(|| OpError::attr("`ngram_counts` contains a negative number"))?;
        let ends = starts.iter().skip(1).copied().chain([pool]);
        let one = |(i, (start, end)): (usize, (usize, usize))| {
            if start > end || end > pool || (end - start) % (i + 1) != 0 {
                let m = format!("the pool has no {}-grams from {start} to {end} of {pool} tokens", i + 1);
                return Err(OpError::attr(m));
            }
            Ok((i + 1, start, end))
        };
        starts.iter().copied().zip(ends).enumerate().map(one).collect()
    }
    /// The tree of the n-grams that are searched for, over tokens numbered by `ids`.
    fn tree(&self, search: &Search, ids: &[u32]) -> Result<Tree, OpError> {
        let mut tree = Tree { edges: HashMap::new(), ends: vec![None] };
        let mut number = 0;
        for (size, start, end) in self.sections(ids.len())? {
            for gram in ids[start..end].chunks_exact(size) {
                if (search.shortest..=search.longest).contains(&size) {
                    tree.insert(gram, number);
                }
                number += 1;
            }
        }
        Ok(tree)
    }
    /// Adds the occurrence of n-gram `number` to a row of the result.
    fn add(&self, row: &mut [f32], number: usize) {
        let weight = self.weights.as_ref().and_then(|w| w.get(number)).copied().unwrap_or(1.0);
        let at = self.ngram_indexes.get(number).and_then(|i| usize::try_from(*i).ok());
        let Some(cell) = at.and_then(|i| row.get_mut(i)) else { return };
        match self.mode {
            Mode::Tf => *cell += 1.0,
            Mode::TfIdf => *cell += weight,
            Mode::Idf => *cell = weight,
        }
    }
}

impl Tree {
    fn insert(&mut self, gram: &[u32], number: usize) {
        let mut node = 0;
        for token in gram {
            let next = self.ends.len() as u32;
            node = *self.edges.entry((node, *token)).or_insert(next);
            if node == next {
                self.ends.push(None);
            }
        }
        self.ends[node as usize] = Some(number);
    }
}

/// Numbers of the pool's tokens and of those of `x` that are in it.
fn numbered<K: Hash + Eq>(pool: &[K], x: &[K]) -> (Vec<u32>, Vec<Option<u32>>) {
    let mut known: HashMap<&K, u32> = HashMap::new();
    let mut ids = Vec::with_capacity(pool.len());
    for token in pool {
        let next = known.len() as u32;
        ids.push(*known.entry(token).or_insert(next));
    }
    (ids, x.iter().map(|t| known.get(t).copied()).collect())
}

/// Calls `found` with each n-gram of `tree` that occurs in `row`; `left` bounds the steps.
fn scan(
    row: &[Option<u32>],
    tree: &Tree,
    search: &Search,
    left: &mut u64,
    mut found: impl FnMut(usize),
) -> Result<(), OpError> {
    let mut shortest = search.shortest;
    for distance in 1..=search.skips.saturating_add(1) {
        // From here on no n-gram fits any more.
        if (shortest - 1).saturating_mul(distance) >= row.len() {
            break;
        }
        for start in 0..row.len() - (shortest - 1) * distance {
            let mut node = 0;
            for (length, token) in row[start..].iter().step_by(distance).take(search.longest).enumerate() {
                *left = left.checked_sub(1).ok_or_else(|| {
                    OpError::new("E0307", format!("n-grams of {} tokens take too long to count", row.len()))
                })?;
                let Some(next) = token.and_then(|t| tree.edges.get(&(node, t))) else { break };
                node = *next;
                if length + 1 >= shortest
                    && let Some(number) = tree.ends[node as usize]
                {
                    found(number);
                }
            }
        }
        // The distance does not matter to single tokens.
        if shortest == 1 {
            shortest = 2;
            if shortest > search.longest {
                break;
            }
        }
    }
    Ok(())
}

impl Semantics for TfIdfVectorizer {
    fn infer(&self, cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
        self.check(cx.dtype(0)?)?;
        let width = Dim::Known(self.width()?);
        let Some(shape) = cx.shape(0)? else { return Ok(vec![TensorType::unranked(DType::F32).into()]) };
        let out = match shape.as_slice() {
            [_] => vec![width],
            [n, _] => vec![n.clone(), width],
            _ => return Err(OpError::shape(format!("tokens must be [C] or [N, C], not {}", cx.ty(0)?))),
        };
        Ok(vec![TensorType::new(DType::F32, out).into()])
    }
    fn eval(&self, cx: EvalCx<'_>) -> Result<Vec<Value>, OpError> {
        let x = cx.tensor(0)?;
        self.check(x.dtype())?;
        let search = self.search()?;
        let width = usize::try_from(self.width()?).unwrap_or(usize::MAX);
        let (ids, tokens) = match (&self.pool_strings, &self.pool_int64s) {
            (Some(pool), _) => numbered(pool, x.strings()?),
            (None, pool) => numbered(pool.as_deref().unwrap_or_default(), &x.to_i64s()?),
        };
        let tree = self.tree(&search, &ids)?;
        let shape = if let [n, _] = x.shape() { vec![*n, width] } else { vec![width] };
        let mut out = zeros::<f32>(count(&shape)?)?;
        let length = x.shape().last().copied().unwrap_or(1);
        let mut left = MOST_STEPS;
        if length > 0 {
            for (row, out) in tokens.chunks_exact(length).zip(out.chunks_exact_mut(width)) {
                scan(row, &tree, &search, &mut left, |number| self.add(out, number))?;
            }
        }
        one(Tensor::from_vec(&shape, out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::linear::testing::{eval, f32s};

    fn op() -> TfIdfVectorizer {
        TfIdfVectorizer {
            max_gram_length: 2,
            max_skip_count: 1,
            ngram_counts: vec![0, 3],
            ngram_indexes: vec![4, 0, 1, 2, 3],
            pool_int64s: Some(vec![1, 2, 3, 1, 2, 2, 1]),
            weights: Some(vec![10., 20., 30., 40., 50.]),
            ..Default::default()
        }
    }

    /// Expected values: onnxruntime.
    #[test]
    fn modes_and_permuted_coordinates() {
        let x = Tensor::from_vec(&[1, 6], vec![1i64, 2, 1, 3, 2, 5]);
        for (mode, expected) in [
            (Mode::Tf, [2., 1., 2., 1., 2.]),
            (Mode::Idf, [20., 30., 40., 50., 10.]),
            (Mode::TfIdf, [40., 30., 80., 50., 20.]),
        ] {
            let y = eval(&TfIdfVectorizer { mode, ..op() }, &[Some(&x)]).expect("fits");
            assert_eq!(y[0], f32s(&[1, 5], &expected));
        }
    }

    #[test]
    fn hostile_attributes_are_refused_or_bounded() {
        let x = Tensor::from_vec(&[6], vec![1i32, 2, 1, 3, 2, 5]);
        let good = TfIdfVectorizer { max_skip_count: i64::MAX, max_gram_length: i64::MAX, ..op() };
        assert!(eval(&good, &[Some(&x)]).is_ok());
        for bad in [
            TfIdfVectorizer { ngram_indexes: vec![0, 0, 0, 0, -1], ..op() },
            TfIdfVectorizer { ngram_indexes: vec![0, 0, 0, 0, i64::MAX], ..op() },
            TfIdfVectorizer { ngram_counts: vec![0, 9], ..op() },
            TfIdfVectorizer { ngram_counts: vec![3, 0], ..op() },
            TfIdfVectorizer { ngram_counts: vec![0, 4], ..op() },
            TfIdfVectorizer { weights: Some(vec![1.0]), ..op() },
            TfIdfVectorizer { pool_int64s: None, ..op() },
            TfIdfVectorizer { min_gram_length: 0, ..op() },
        ] {
            assert!(eval(&bad, &[Some(&x)]).is_err(), "{bad:?}");
        }
        let mut left = 10;
        let tree = op().tree(&op().search().expect("good"), &[0, 1, 2, 0, 1, 1, 0]).expect("good");
        let row = vec![Some(0); 100];
        assert!(scan(&row, &tree, &op().search().expect("good"), &mut left, |_| ()).is_err());
    }
}
