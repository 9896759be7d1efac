//! Strided copies: transposition, slices with any step, stretching.
use super::mover::{self, Move, PARALLEL, Unit};
use crate::op::OpError;
use crate::tensor::Tensor;
use rayon::prelude::*;

/// One axis of the result: its size and how far apart its neighbours are in the source (negative for backwards, 0 for repeats).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Axis {
    size: usize,
    step: isize,
}

/// Side of the square block a transposition works in: a few cache lines each way.
const BLOCK: usize = 16;

/// Copies elements of `x` into a dense tensor of `shape`: element `i` of the result is the one at
/// `offset + sum(i[k] * steps[k])`. Every such position must lie in `x`.
///
/// # Errors
/// When the result is too large.
pub fn copy_strided(x: &Tensor, shape: &[usize], steps: &[isize], offset: usize) -> Result<Tensor, OpError> {
    mover::apply(&Strided { axes: simplify(shape, steps), offset }, &[x], shape)
}

/// Drops axes of size 1 and joins neighbours that are one run in the source.
fn simplify(shape: &[usize], steps: &[isize]) -> Vec<Axis> {
    let mut out: Vec<Axis> = vec![];
    for (&size, &step) in shape.iter().zip(steps).filter(|(n, _)| **n != 1) {
        match out.last_mut() {
            Some(last) if Some(last.step) == step.checked_mul(size as isize) => {
                *last = Axis { size: last.size.saturating_mul(size), step };
            }
            _ => out.push(Axis { size, step }),
        }
    }
    out
}

struct Strided {
    axes: Vec<Axis>,
    offset: usize,
}

impl Move for Strided {
    fn run<T: Unit>(&self, xs: &[&[T]]) -> Vec<T> {
        let src = xs[0];
        let Some((first, rest)) = self.axes.split_first() else { return vec![src[self.offset]] };
        let inner: usize = rest.iter().map(|a| a.size).product();
        let total = first.size * inner;
        if rest.is_empty() && first.step == 1 {
            return src[self.offset..self.offset + total].to_vec();
        }
        let mut out = vec![T::default(); total];
        if total < PARALLEL || first.size < 2 {
            fill(&mut out, src, self.offset, &self.axes);
            return out;
        }
        let rows = first.size.div_ceil(4 * rayon::current_num_threads()).max(1);
        // Whole blocks per piece, so that transpositions do not share cache lines of the source.
        let rows = if rows > BLOCK { rows.next_multiple_of(BLOCK) } else { rows };
        out.par_chunks_mut(rows * inner).enumerate().for_each(|(i, piece)| {
            let mut axes = self.axes.clone();
            axes[0].size = piece.len() / inner;
            fill(piece, src, shift(self.offset, i * rows, first.step), &axes);
        });
        out
    }
}

fn shift(at: usize, count: usize, step: isize) -> usize {
    at.wrapping_add_signed((count as isize).wrapping_mul(step))
}

/// Fills the dense `out` of these axes from `src`, whose first element is at `at`.
fn fill<T: Unit>(out: &mut [T], src: &[T], at: usize, axes: &[Axis]) {
    match axes {
        [] => out[0] = src[at],
        [a] => fill_row(out, src, at, *a),
        [a, b] if a.step == 1 && b.step > 1 => {
            transpose_2d(out, b.size, src, at, a.size, b);
        }
        _ => {
            if let Some(k) = unit_axis(axes) {
                return fill_blocked(out, src, at, axes, k);
            }
            let (first, rest) = (axes[0], &axes[1..]);
            let inner = out.len() / first.size;
            for (i, piece) in out.chunks_exact_mut(inner).enumerate() {
                fill(piece, src, shift(at, i, first.step), rest);
            }
        }
    }
}

/// The axis that is dense in the source, when it is not the last one and blocks pay.
fn unit_axis(axes: &[Axis]) -> Option<usize> {
    let last = axes.last()?;
    let k = axes.iter().position(|a| a.step == 1)?;
    (k + 1 < axes.len() && last.step > 1 && last.size > 1).then_some(k)
}

/// Blocked transposition of axis `k` with the last one, for every position of the others.
fn fill_blocked<T: Unit>(out: &mut [T], src: &[T], at: usize, axes: &[Axis], k: usize) {
    if k > 0 {
        let inner = out.len() / axes[0].size;
        for (i, piece) in out.chunks_exact_mut(inner).enumerate() {
            fill(piece, src, shift(at, i, axes[0].step), &axes[1..]);
        }
        return;
    }
    let Some((last, middle)) = axes[1..].split_last() else { return };
    let row = out.len() / axes[0].size;
    // Every middle position is one matrix, whose rows lie `row` apart in the result.
    let count = row / last.size;
    for m in 0..count {
        let (mut rest, mut from) = (m, at);
        for a in middle.iter().rev() {
            from = shift(from, rest % a.size, a.step);
            rest /= a.size;
        }
        transpose_2d(&mut out[m * last.size..], row, src, from, axes[0].size, last);
    }
}

/// `out[k * row + j] = src[at + k + j * b.step]` for `k < rows`, `j < b.size`, block by block.
fn transpose_2d<T: Unit>(out: &mut [T], row: usize, src: &[T], at: usize, rows: usize, b: &Axis) {
    let step = b.step.unsigned_abs();
    for j0 in (0..b.size).step_by(BLOCK) {
        let width = BLOCK.min(b.size - j0);
        for k0 in (0..rows).step_by(BLOCK) {
            let height = BLOCK.min(rows - k0);
            let (to, from) = (&mut out[k0 * row + j0..], &src[at + k0 + j0 * step..]);
            if width == BLOCK && height == BLOCK {
                full_block(to, row, from, step);
            } else {
                part_block(to, row, from, step, width, height);
            }
        }
    }
}

/// One full block: read by source rows into a local square, written by result rows.
fn full_block<T: Unit>(out: &mut [T], row: usize, src: &[T], step: usize) {
    let mut square = [[T::default(); BLOCK]; BLOCK];
    for (j, line) in square.iter_mut().enumerate() {
        line.copy_from_slice(&src[j * step..][..BLOCK]);
    }
    for k in 0..BLOCK {
        let to = &mut out[k * row..][..BLOCK];
        for (t, line) in to.iter_mut().zip(&square) {
            *t = line[k];
        }
    }
}

/// A block at the border, of `height` result rows and `width` columns.
fn part_block<T: Unit>(out: &mut [T], row: usize, src: &[T], step: usize, width: usize, height: usize) {
    for j in 0..width {
        for (k, v) in src[j * step..][..height].iter().enumerate() {
            out[k * row + j] = *v;
        }
    }
}

fn fill_row<T: Unit>(out: &mut [T], src: &[T], at: usize, axis: Axis) {
    match axis.step {
        0 => out.fill(src[at]),
        1 => out.copy_from_slice(&src[at..at + out.len()]),
        s if s > 0 => {
            for (o, v) in out.iter_mut().zip(src[at..].iter().step_by(s.unsigned_abs())) {
                *o = *v;
            }
        }
        s => {
            for (o, v) in out.iter_mut().zip(src[..=at].iter().rev().step_by(s.unsigned_abs())) {
                *o = *v;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mover::tests::{bits_at, samples};
    use super::*;
    use crate::tensor::strides;

    /// The definition, element by element.
    fn plain(shape: &[usize], steps: &[isize], offset: usize) -> Vec<usize> {
        let own = strides(shape);
        let one = |i: usize| {
            let coords = own.iter().zip(shape).map(|(s, n)| (i / s % n) as isize);
            (offset as isize + coords.zip(steps).map(|(c, s)| c * s).sum::<isize>()) as usize
        };
        (0..shape.iter().product()).map(one).collect()
    }

    #[test]
    fn copies_follow_the_definition() {
        type Case = (usize, &'static [usize], &'static [isize], usize);
        let cases: &[Case] = &[
            (24, &[4, 3, 2], &[1, 4, 12], 0),
            (24, &[2, 4, 3], &[12, 1, 4], 0),
            (24, &[3, 2, 4], &[4, 12, 1], 0),
            (24, &[4, 6], &[-6, -1], 23),
            (24, &[2, 3, 1, 2], &[12, -4, 100, 3], 8),
            (6, &[2, 3, 4], &[0, 1, 0], 2),
            (1, &[2, 2], &[0, 0], 0),
            (2, &[], &[], 1),
            (33 * 40, &[40, 33], &[1, 40], 0),
            (2 * 3 * 18 * 20, &[20, 3, 2, 18], &[1, 360, 1080, 20], 0),
            (2 * 3 * 18 * 20, &[2, 20, 3, 18], &[1080, 1, 360, 20], 0),
            (300 * 400, &[400, 300], &[1, 400], 0),
            (300 * 400, &[300, 400], &[-400, 1], 299 * 400),
        ];
        for (n, shape, steps, offset) in cases {
            let x = Tensor::from_vec(&[*n], (0..*n as u32).collect());
            let y = copy_strided(&x, shape, steps, *offset).expect("fits");
            let want: Vec<u32> = plain(shape, steps, *offset).into_iter().map(|i| i as u32).collect();
            assert!(*y.view::<u32>().expect("u32") == want, "{shape:?} {steps:?}");
        }
        for x in samples(&[3, 5]) {
            let y = copy_strided(&x, &[5, 3], &[1, 5], 0).expect("fits");
            for (i, from) in plain(&[5, 3], &[1, 5], 0).into_iter().enumerate() {
                assert_eq!(bits_at(&y, i), bits_at(&x, from), "{}", x.dtype());
            }
        }
    }

    #[test]
    fn neighbours_in_one_run_are_joined() {
        assert_eq!(simplify(&[2, 3, 4], &[12, 4, 1]), [Axis { size: 24, step: 1 }]);
        assert_eq!(simplify(&[2, 1, 4], &[1, 7, 2]), [Axis { size: 2, step: 1 }, Axis { size: 4, step: 2 }]);
    }
}
