//! Loops over operands that are broadcast against each other.
use crate::op::OpError;
use crate::tensor::{element_count, strides};
use pulp::NullaryFnOnce;
use rayon::prelude::*;

/// Elements from which on work is spread over threads.
pub const PARALLEL: usize = 1 << 16;
/// Elements one thread works on at a time.
pub const CHUNK: usize = 1 << 14;

/// Runs `f` compiled for the widest vector instructions that the processor has. Results do not depend on them: no operation
/// is fused or reordered.
pub fn vectorized<R>(f: impl NullaryFnOnce<Output = R>) -> R {
    pulp::Arch::new().dispatch(f)
}

/// The loop of [`each`]. A closure with a long function in it would be called instead of being compiled for the processor.
struct Each<'a, T, F>(&'a mut [T], F);

impl<T: Copy, F: Fn(T) -> T> NullaryFnOnce for Each<'_, T, F> {
    type Output = ();
    #[expect(clippy::inline_always, reason = "a call would keep the loop from becoming vector code")]
    #[inline(always)]
    fn call(self) {
        for v in self.0 {
            *v = (self.1)(*v);
        }
    }
}

/// Applies `f` to each element in place. `f` is copied into the loop: what it captured would have to be read again for each
/// element if it lay elsewhere in memory.
pub fn each<T: Copy + Send>(values: &mut [T], f: impl Fn(T) -> T + Sync + Send + Copy) {
    let run = move |piece: &mut [T]| vectorized(Each(piece, f));
    if values.len() < PARALLEL { run(values) } else { values.par_chunks_mut(CHUNK).for_each(run) }
}

/// Sizes of the result of broadcasting (numpy rules, as ONNX).
///
/// # Errors
/// When two sizes differ and neither is 1.
pub fn broadcast_sizes(shapes: &[&[usize]]) -> Result<Vec<usize>, OpError> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out = vec![1; rank];
    for shape in shapes {
        for (o, d) in out.iter_mut().rev().zip(shape.iter().rev()) {
            match (*o, *d) {
                (a, b) if a == b => {}
                (1, b) => *o = b,
                (_, 1) => {}
                (a, b) => return Err(OpError::shape(format!("sizes {a} and {b} do not broadcast"))),
            }
        }
    }
    Ok(out)
}

/// How `N` operands are read for a dense result: rows of `inner` elements, over which each operand moves by 0 or 1.
pub struct Plan<const N: usize> {
    /// Size and operand strides of the axes outside a row.
    outer: Vec<(usize, [usize; N])>,
    inner: usize,
    /// 1 for operands that move along a row, 0 for those that have one element for all of it.
    pub unit: [usize; N],
}

impl<const N: usize> Plan<N> {
    /// The plan for operands of these sizes, which broadcast to `shape`.
    pub fn new(shape: &[usize], operands: [&[usize]; N]) -> Self {
        if shape.contains(&0) {
            return Self { outer: vec![], inner: 1, unit: [0; N] };
        }
        let dense = operands.map(strides);
        let mut axes: Vec<(usize, [usize; N])> = vec![];
        for (i, &size) in shape.iter().enumerate().filter(|(_, d)| **d != 1) {
            let step = std::array::from_fn(|k| {
                let at = (i + operands[k].len()).checked_sub(shape.len());
                at.filter(|j| operands[k][*j] != 1).map_or(0, |j| dense[k][j])
            });
            match axes.last_mut() {
                Some(last) if (0..N).all(|k| last.1[k] == step[k].saturating_mul(size)) => {
                    *last = (last.0 * size, step);
                }
                _ => axes.push((size, step)),
            }
        }
        let (inner, unit) = axes.pop().unwrap_or((1, [0; N]));
        Self { outer: axes, inner, unit }
    }
    /// Calls `row` for each piece of a row of the result with the operands' positions of its first element. `out` holds the
    /// result's elements.
    pub fn rows<R: Send>(&self, out: &mut [R], row: impl Fn(&mut [R], [usize; N]) + Sync) {
        if out.is_empty() {
            return;
        }
        if self.outer.is_empty() {
            let piece = |(i, piece): (usize, &mut [R])| row(piece, self.unit.map(|u| u * i * CHUNK));
            if out.len() < PARALLEL {
                row(out, [0; N]);
            } else {
                out.par_chunks_mut(CHUNK).enumerate().for_each(piece);
            }
            return;
        }
        let count = (CHUNK / self.inner).max(1);
        let piece = |(i, piece): (usize, &mut [R])| self.walk(piece, i * count, &row);
        if out.len() < PARALLEL {
            self.walk(out, 0, &row);
        } else {
            out.par_chunks_mut(count * self.inner).enumerate().for_each(piece);
        }
    }
    fn walk<R>(&self, out: &mut [R], first: usize, row: &impl Fn(&mut [R], [usize; N])) {
        let mut index = vec![0; self.outer.len()];
        let mut at = [0; N];
        let mut rest = first;
        for (i, (size, step)) in self.outer.iter().enumerate().rev() {
            index[i] = rest % size;
            rest /= size;
            (0..N).for_each(|k| at[k] += index[i] * step[k]);
        }
        for piece in out.chunks_mut(self.inner) {
            row(piece, at);
            for (i, (size, step)) in self.outer.iter().enumerate().rev() {
                index[i] += 1;
                (0..N).for_each(|k| at[k] += step[k]);
                if index[i] < *size {
                    break;
                }
                index[i] = 0;
                (0..N).for_each(|k| at[k] -= size * step[k]);
            }
        }
    }
}

/// Result of `f` on elements of `a` and `b`.
pub fn zip<A: Copy + Sync, B: Copy + Sync, R: Copy + Send>(
    shape: &[usize],
    zero: R,
    (a, a_shape): (&[A], &[usize]),
    (b, b_shape): (&[B], &[usize]),
    f: impl Fn(A, B) -> R + Sync,
) -> Vec<R> {
    let plan = Plan::new(shape, [a_shape, b_shape]);
    let mut out = vec![zero; element_count(shape).unwrap_or(0)];
    plan.rows(&mut out, |out, [i, j]| {
        let n = out.len();
        vectorized(|| match plan.unit {
            [0, 0] => out.fill(f(a[i], b[j])),
            [0, _] => {
                let x = a[i];
                out.iter_mut().zip(&b[j..j + n]).for_each(|(o, y)| *o = f(x, *y));
            }
            [_, 0] => {
                let y = b[j];
                out.iter_mut().zip(&a[i..i + n]).for_each(|(o, x)| *o = f(*x, y));
            }
            _ => {
                let pairs = a[i..i + n].iter().zip(&b[j..j + n]);
                out.iter_mut().zip(pairs).for_each(|(o, (x, y))| *o = f(*x, *y));
            }
        });
    });
    out
}

/// Replaces each `x` of `out`, which has the result's shape, by `f(x, y)`.
pub fn zip_into<T: Copy + Send, B: Copy + Sync>(
    out: &mut [T],
    shape: &[usize],
    (b, b_shape): (&[B], &[usize]),
    f: impl Fn(T, B) -> T + Sync,
) {
    let plan = Plan::new(shape, [b_shape]);
    plan.rows(out, |out, [j]| {
        let n = out.len();
        vectorized(|| {
            if plan.unit == [0] {
                let y = b[j];
                for x in out {
                    *x = f(*x, y);
                }
            } else {
                out.iter_mut().zip(&b[j..j + n]).for_each(|(x, y)| *x = f(*x, *y));
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(a: &[usize], b: &[usize]) -> (Vec<usize>, Vec<i64>) {
        let shape = broadcast_sizes(&[a, b]).expect("they broadcast");
        let x: Vec<i64> = (0..element_count(a).unwrap_or(0) as i64).collect();
        let y: Vec<i64> = (0..element_count(b).unwrap_or(0) as i64).map(|v| 100 * v).collect();
        let z = zip(&shape, 0, (&x, a), (&y, b), |x, y| x + y);
        if shape == a {
            let mut same = x.clone();
            zip_into(&mut same, a, (&y, b), |x, y| x + y);
            assert_eq!(same, z);
        }
        (shape, z)
    }

    #[test]
    fn each_way_to_broadcast() {
        assert_eq!(sums(&[2, 2], &[2, 2]).1, [0, 101, 202, 303]);
        assert_eq!(sums(&[2, 2], &[]).1, [0, 1, 2, 3]);
        assert_eq!(sums(&[2, 2], &[2]).1, [0, 101, 2, 103]);
        assert_eq!(sums(&[2, 2], &[2, 1]).1, [0, 1, 102, 103]);
        assert_eq!(sums(&[2, 1], &[1, 3]).1, [0, 100, 200, 1, 101, 201]);
        assert_eq!(sums(&[1], &[2, 1]), (vec![2, 1], vec![0, 100]));
        assert_eq!(sums(&[2, 1, 2], &[2, 1]).1, [0, 1, 100, 101, 2, 3, 102, 103]);
        assert_eq!(sums(&[0, 3], &[1, 1]), (vec![0, 3], vec![]));
        assert_eq!(sums(&[1 << 40, 1 << 40, 0], &[1]).1, [0i64; 0]);
        assert!(broadcast_sizes(&[&[2, 3], &[2]]).is_err());
        assert!(broadcast_sizes(&[&[0], &[2]]).is_err());
    }

    #[test]
    fn threads_do_not_change_results() {
        let (n, m) = (300, 301);
        let (_, z) = sums(&[n, 1], &[m]);
        assert!(z.iter().enumerate().all(|(i, v)| *v == (i / m + 100 * (i % m)) as i64));
        let (_, z) = sums(&[n, m], &[n, m]);
        assert!(z.iter().enumerate().all(|(i, v)| *v == 101 * i as i64));
    }
}
