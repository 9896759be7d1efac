//! Copies where each axis has its own list of source positions: padding, tiling, gathering along an axis.
use super::mover::{self, Move, PARALLEL, Unit};
use crate::op::OpError;
use crate::tensor::Tensor;
use rayon::prelude::*;

/// A list entry for "nothing here: the fill value".
pub const NONE: usize = usize::MAX;

/// Element `i` of the result is the one of `x` at `sum(tables[k][i[k]])`; where any entry is [`NONE`] it is `fill` (the
/// default of the type when absent). The result has as many positions along each axis as its table has entries.
///
/// # Errors
/// When the result is too large.
pub fn copy_by_tables(x: &Tensor, tables: &[Vec<usize>], fill: Option<&Tensor>) -> Result<Tensor, OpError> {
    let shape: Vec<usize> = tables.iter().map(Vec::len).collect();
    let mut base = Some(0);
    let mut axes = vec![];
    for t in tables {
        match t.as_slice() {
            [NONE] => base = None,
            [at] => base = base.map(|b: usize| b + at),
            _ => axes.push(t.as_slice()),
        }
    }
    let runs = axes.pop().map_or_else(|| vec![Run { from: Some(0), len: 1 }], runs);
    let m = Tables { base, axes, runs };
    match fill {
        Some(f) => mover::apply(&m, &[x, f], &shape),
        None => mover::apply(&m, &[x], &shape),
    }
}

/// Entries of a table that follow one another in the source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    from: Option<usize>,
    len: usize,
}

fn runs(table: &[usize]) -> Vec<Run> {
    let mut out: Vec<Run> = vec![];
    for &at in table {
        let from = (at != NONE).then_some(at);
        match out.last_mut() {
            Some(Run { from: Some(f), len }) if from == Some(*f + *len) => *len += 1,
            Some(Run { from: None, len }) if from.is_none() => *len += 1,
            _ => out.push(Run { from, len: 1 }),
        }
    }
    out
}

struct Tables<'a> {
    base: Option<usize>,
    /// All axes but the last, without those of size 1.
    axes: Vec<&'a [usize]>,
    /// The last axis.
    runs: Vec<Run>,
}

impl Move for Tables<'_> {
    fn run<T: Unit>(&self, xs: &[&[T]]) -> Vec<T> {
        let fill = xs.get(1).and_then(|f| f.first()).copied().unwrap_or_default();
        let row: usize = self.runs.iter().map(|r| r.len).sum();
        let total = self.axes.iter().map(|t| t.len()).product::<usize>() * row;
        let mut out = vec![fill; total];
        let Some(base) = self.base else { return out };
        match self.axes.split_first() {
            Some((first, rest)) if total >= PARALLEL => {
                out.par_chunks_mut(total / first.len()).zip(first.par_iter()).for_each(|(piece, at)| {
                    if *at != NONE {
                        self.fill(piece, xs[0], base + at, rest);
                    }
                });
            }
            _ => self.fill(&mut out, xs[0], base, &self.axes),
        }
        out
    }
}

impl Tables<'_> {
    /// Writes what comes from the source; the rest holds the fill value already.
    fn fill<T: Unit>(&self, out: &mut [T], src: &[T], base: usize, axes: &[&[usize]]) {
        if let Some((first, rest)) = axes.split_first() {
            let inner = out.len() / first.len();
            for (piece, at) in out.chunks_exact_mut(inner).zip(*first) {
                if *at != NONE {
                    self.fill(piece, src, base + at, rest);
                }
            }
            return;
        }
        let mut done = 0;
        for r in &self.runs {
            match r.from {
                Some(f) if r.len == 1 => out[done] = src[base + f],
                Some(f) => out[done..done + r.len].copy_from_slice(&src[base + f..base + f + r.len]),
                None => {}
            }
            done += r.len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mover::tests::{bits_at, samples};
    use super::*;

    #[test]
    fn tables_pick_and_fill() {
        let x = Tensor::from_vec(&[2, 3], vec![0i32, 1, 2, 3, 4, 5]);
        let fill = Tensor::scalar(9i32);
        let y = copy_by_tables(&x, &[vec![3, NONE, 0], vec![0, 1, 2, NONE, 1]], Some(&fill)).expect("fits");
        assert_eq!(y.shape(), [3, 5]);
        assert_eq!(*y.view::<i32>().expect("i32"), [3, 4, 5, 9, 4, 9, 9, 9, 9, 9, 0, 1, 2, 9, 1]);
        let y = copy_by_tables(&x, &[vec![3], vec![2]], None).expect("fits");
        assert_eq!(*y.view::<i32>().expect("i32"), [5]);
        let y = copy_by_tables(&x, &[vec![NONE], vec![2, 0]], Some(&fill)).expect("fits");
        assert_eq!(*y.view::<i32>().expect("i32"), [9, 9]);
    }

    #[test]
    fn every_type_and_many_threads() {
        for x in samples(&[2, 3]) {
            let y = copy_by_tables(&x, &[vec![3, 0], vec![2, 0, 1]], None).expect("fits");
            for (i, from) in [5, 3, 4, 2, 0, 1].into_iter().enumerate() {
                assert_eq!(bits_at(&y, i), bits_at(&x, from), "{}", x.dtype());
            }
        }
        let x = Tensor::from_vec(&[2], vec![7u8, 8]);
        let wide: Vec<usize> = (0..PARALLEL).map(|i| i % 2).collect();
        let y = copy_by_tables(&x, &[vec![0, NONE, 0], wide], None).expect("fits");
        let bytes = y.bytes().expect("bytes");
        assert_eq!((bytes[0], bytes[1], bytes[PARALLEL], bytes[2 * PARALLEL + 1]), (7, 8, 0, 8));
    }
}
