//! Permutation of axes, read in pieces. Where neighbours of the operand end up far apart, several rows of the result are filled at once, so that each line of the
//! processor's cache is fetched once and not once per element.
use super::{next_row, unravel};
use crate::tensor::{Sizes, Tensor, TensorError, strides};

/// Rows of the result that are filled together: as many neighbours of the operand as a few lines of the cache hold.
const TILE: usize = 32;
/// Most elements of a row whose places are kept while its tile is filled.
const LONGEST_ROW: usize = 1 << 16;

/// Fills `out` with the bytes of `this`, which is `x` with its axes in the order `perm`, from element `first` on.
pub(super) fn read(
    this: &Tensor,
    x: &Tensor,
    perm: &[usize],
    first: usize,
    out: &mut [u8],
) -> Result<(), TensorError> {
    let width = this.dtype().bits() as usize / 8;
    let source = x.bytes()?;
    let view = View::new(this.shape(), perm, &strides(x.shape()));
    match width {
        1 => view.fill::<1>(&source, first, out),
        2 => view.fill::<2>(&source, first, out),
        4 => view.fill::<4>(&source, first, out),
        8 => view.fill::<8>(&source, first, out),
        _ => view.fill::<16>(&source, first, out),
    }
    Ok(())
}

/// The result as a view of the operand: sizes, and steps in the operand between neighbours, of axes none of which could be one with the axis before.
struct View {
    shape: Sizes,
    steps: Sizes,
}

impl View {
    fn new(shape: &[usize], perm: &[usize], strides: &[usize]) -> Self {
        let mut view = Self { shape: Sizes::new(), steps: Sizes::new() };
        for (size, axis) in shape.iter().zip(perm) {
            let step = strides[*axis];
            match (view.shape.last_mut(), view.steps.last_mut()) {
                _ if *size == 1 => {}
                (Some(n), Some(s)) if *s == step * size => (*n, *s) = (*n * size, step),
                _ => {
                    view.shape.push(*size);
                    view.steps.push(step);
                }
            }
        }
        view
    }

    /// Fills `out` with elements of `W` bytes from position `first`.
    fn fill<const W: usize>(&self, source: &[u8], first: usize, out: &mut [u8]) {
        let rows = self.steps.iter().position(|s| *s == 1);
        let row: usize = rows.map_or(1, |axis| self.shape[axis + 1..].iter().product());
        let Some(rows) = rows.filter(|_| (2..=LONGEST_ROW).contains(&row)) else {
            return self.gather::<W>(source, first, out);
        };
        let (head, out) = out.split_at_mut(((row - first % row) % row * W).min(out.len()));
        self.gather::<W>(source, first, head);
        let whole = out.len() / (row * W);
        let (body, tail) = out.split_at_mut(whole * row * W);
        let first = first + head.len() / W;
        self.tiles::<W>(source, rows, first / row, body);
        self.gather::<W>(source, first + whole * row, tail);
    }

    /// Fills `out` with whole rows from row `first` on. A row is what one position of the axis `rows`, whose neighbours are neighbours in the operand, holds.
    fn tiles<const W: usize>(&self, source: &[u8], rows: usize, first: usize, out: &mut [u8]) {
        let inner = View { shape: self.shape[rows + 1..].into(), steps: self.steps[rows + 1..].into() };
        let places = inner.places();
        let mut index = unravel(first, &self.shape[..=rows]);
        let mut out = out;
        while !out.is_empty() {
            let column = index[rows];
            let n = (self.shape[rows] - column).min(TILE).min(out.len() / (places.len() * W));
            let start: usize = index.iter().zip(&self.steps).map(|(i, s)| i * s).sum();
            let (tile, behind) = out.split_at_mut(n * places.len() * W);
            for (i, place) in places.iter().enumerate() {
                let from = &source[(start + place) * W..(start + place + n) * W];
                for (j, element) in from.chunks_exact(W).enumerate() {
                    let to = (j * places.len() + i) * W;
                    tile[to..to + W].copy_from_slice(element);
                }
            }
            out = behind;
            index[rows] += n;
            if index[rows] == self.shape[rows] {
                next_row(&mut index, &self.shape[..=rows]);
            }
        }
    }

    /// Where each element lies in the operand, in order.
    fn places(&self) -> Vec<usize> {
        self.shape.iter().zip(&self.steps).fold(vec![0], |places, (size, step)| {
            places.iter().flat_map(|place| (0..*size).map(move |i| place + i * step)).collect()
        })
    }

    /// Fills `out` with elements of `W` bytes from position `first`, one after another.
    fn gather<const W: usize>(&self, source: &[u8], first: usize, out: &mut [u8]) {
        let (mut index, rank) = (unravel(first, &self.shape), self.shape.len());
        let (row, step) = if rank == 0 { (1, 1) } else { (self.shape[rank - 1], self.steps[rank - 1]) };
        let (mut done, total) = (0, out.len() / W);
        while done < total {
            let column = index.last().copied().unwrap_or(0);
            let n = (row - column).min(total - done);
            let start: usize = index.iter().zip(&self.steps).map(|(i, s)| i * s).sum();
            let to = &mut out[done * W..(done + n) * W];
            if step == 1 {
                to.copy_from_slice(&source[start * W..(start + n) * W]);
            } else {
                for (i, piece) in to.chunks_exact_mut(W).enumerate() {
                    let at = (start + i * step) * W;
                    piece.copy_from_slice(&source[at..at + W]);
                }
            }
            done += n;
            next_row(&mut index, &self.shape);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Element by element, from the definition.
    fn expected(x: &Tensor, perm: &[usize]) -> Vec<f32> {
        let shape: Sizes = perm.iter().map(|p| x.shape()[*p]).collect();
        let steps: Vec<usize> = perm.iter().map(|p| strides(x.shape())[*p]).collect();
        let values = x.view::<f32>().expect("f32");
        let place = |flat| unravel(flat, &shape).iter().zip(&steps).map(|(i, s)| i * s).sum::<usize>();
        (0..values.len()).map(|flat| values[place(flat)]).collect()
    }

    #[test]
    fn any_order_of_axes_in_any_pieces() {
        let orders: [&[usize]; 7] = [
            &[1, 0, 2, 3],
            &[3, 2, 0, 1],
            &[0, 3, 1, 2],
            &[0, 2, 3, 1],
            &[3, 2, 1, 0],
            &[2, 3, 1, 0],
            &[0, 1, 3, 2],
        ];
        for shape in [[3, 5, 7, 70], [1, 4, 33, 65], [2, 1, 1, 40], [40, 1, 3, 2], [3, 3, 1, 1]] {
            let count = shape.iter().product::<usize>();
            let x = Tensor::from_vec(&shape, (0..count).map(|v| v as f32).collect());
            for perm in orders {
                let y = x.permute(perm).expect("a permutation");
                let expected = expected(&x, perm);
                for piece in [4, 28, 4 * 97, 4 * count] {
                    let mut bytes = vec![0; 4 * count];
                    for (i, part) in bytes.chunks_mut(piece).enumerate() {
                        y.read_bytes(i * piece, part).expect("in range");
                    }
                    let values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
                    assert!(values == expected, "{shape:?} {perm:?} in pieces of {piece}");
                }
            }
        }
    }

    #[test]
    fn elements_of_any_width() {
        use crate::dtype::DType;
        let x = Tensor::from_vec(&[5, 41], (0..205).map(|v| (v % 100) as f32).collect());
        for dtype in [DType::U8, DType::F16, DType::F64, DType::C128] {
            let wide = x.cast(dtype, false).expect("numbers");
            let y = wide.permute(&[1, 0]).expect("a permutation").cast(DType::F32, false).expect("numbers");
            assert_eq!(*y.view::<f32>().expect("f32"), expected(&x, &[1, 0]), "{dtype}");
        }
    }
}
