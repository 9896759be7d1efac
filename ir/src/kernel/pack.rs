//! Strided matrices and their packing into the panels that the matrix product reads.

use std::ops::Range;

use super::KernelError;
use super::packs::Packs;

/// A matrix view with any strides: transposes, slices and broadcasts (stride 0) need no copy.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, E> {
    data: &'a [E],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
    packs: Option<&'a Packs<E>>,
}

impl<'a, E> Matrix<'a, E> {
    /// View of `rows x cols` elements, element (i, j) at `i * row_stride + j * col_stride`.
    ///
    /// # Errors
    /// Fails when the last element lies outside `data`.
    pub fn new(
        data: &'a [E],
        (rows, cols): (usize, usize),
        (row_stride, col_stride): (usize, usize),
    ) -> Result<Self, KernelError> {
        let last = |n: usize, stride: usize| n.saturating_sub(1).checked_mul(stride);
        let needed = last(rows, row_stride)
            .zip(last(cols, col_stride))
            .and_then(|(r, c)| r.checked_add(c)?.checked_add(1))
            .ok_or(KernelError::Overflow("a matrix"))?;
        if rows != 0 && cols != 0 && needed > data.len() {
            return Err(KernelError::Length { what: "a matrix", expected: needed, found: data.len() });
        }
        Ok(Self { data, rows, cols, row_stride, col_stride, packs: None })
    }

    /// The same matrix, whose packed form is kept in `packs`. Every matrix given the same `packs` begins at the same element.
    #[must_use]
    pub fn kept_in(self, packs: Option<&'a Packs<E>>) -> Self {
        Self { packs, ..self }
    }

    /// Where the packed form is kept, and the strides.
    pub(crate) fn packs(&self) -> Option<(&'a Packs<E>, (usize, usize))> {
        self.packs.map(|p| (p, (self.row_stride, self.col_stride)))
    }

    /// Row-major view without gaps.
    pub fn row_major(data: &'a [E], rows: usize, cols: usize) -> Result<Self, KernelError> {
        Self::new(data, (rows, cols), (cols, 1))
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The transposed view.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            packs: self.packs,
        }
    }
}

/// Left operand of a product.
pub(crate) trait PackLhs<T>: Sync {
    /// Writes `rows` x `depth` to `dst` as one panel `[depth][height]`, `rows.len() <= height`. What lies beyond the
    /// rows is left as it is.
    fn pack(&self, rows: Range<usize>, depth: Range<usize>, height: usize, dst: &mut [T]);
}

/// Right operand of a product.
pub(crate) trait PackRhs<T>: Sync {
    /// Writes `depth` x `cols` to `dst` as panels `[panel][depth][width]`. What lies beyond the columns is left as it
    /// is.
    fn pack(&self, depth: Range<usize>, cols: Range<usize>, width: usize, dst: &mut [T]);
}

/// A matrix whose elements become `T` by `map(element, outer)`, where `outer` is the row of a left operand and the
/// column of a right one.
#[derive(Clone, Copy)]
pub(crate) struct Dense<'a, E, F> {
    pub(crate) matrix: Matrix<'a, E>,
    pub(crate) map: F,
}

/// The map of a matrix that is used as it is.
pub(crate) fn identity<T>(x: T, _outer: usize) -> T {
    x
}

/// Writes columns of one outer index range: `dst[k * height + r] = src(outer + r, depth + k)`.
fn pack_panel<E: Copy, T>(
    m: &Matrix<'_, E>,
    outer: Range<usize>,
    depth: Range<usize>,
    height: usize,
    dst: &mut [T],
    map: impl Fn(E, usize) -> T,
) {
    if m.row_stride == 1 {
        for (k, panel_row) in depth.zip(dst.chunks_exact_mut(height)) {
            let start = outer.start + k * m.col_stride;
            let source = &m.data[start..start + outer.len()];
            for ((d, &s), i) in panel_row.iter_mut().zip(source).zip(outer.clone()) {
                *d = map(s, i);
            }
        }
        return;
    }
    let mut r = 0;
    while m.col_stride == 1 && r + 4 <= outer.len() {
        pack_four(m, outer.start + r, &depth, dst.chunks_exact_mut(height), r, &map);
        r += 4;
    }
    for (r, i) in outer.enumerate().skip(r) {
        let start = i * m.row_stride + depth.start * m.col_stride;
        let source = m.data[start..].iter().step_by(m.col_stride.max(1));
        let panel_rows = dst.chunks_exact_mut(height);
        if m.col_stride == 0 {
            panel_rows.for_each(|d| d[r] = map(m.data[start], i));
        } else {
            panel_rows.zip(source).for_each(|(d, &s)| d[r] = map(s, i));
        }
    }
}

/// Writes four contiguous outer lines from `i` on to the slots from `r` on.
#[inline(always)]
fn pack_four<'d, E: Copy, T: 'd>(
    m: &Matrix<'_, E>,
    i: usize,
    depth: &Range<usize>,
    panel_rows: impl Iterator<Item = &'d mut [T]>,
    r: usize,
    map: &impl Fn(E, usize) -> T,
) {
    let line = |n: usize| &m.data[(i + n) * m.row_stride + depth.start..][..depth.len()];
    let sources = line(0).iter().zip(line(1)).zip(line(2)).zip(line(3));
    for (d, (((&s0, &s1), &s2), &s3)) in panel_rows.zip(sources) {
        if let Some(slots) = d[r..].first_chunk_mut::<4>() {
            *slots = [map(s0, i), map(s1, i + 1), map(s2, i + 2), map(s3, i + 3)];
        }
    }
}

impl<E: Copy + Send + Sync, T, F: Fn(E, usize) -> T + Sync> PackLhs<T> for Dense<'_, E, F> {
    fn pack(&self, rows: Range<usize>, depth: Range<usize>, height: usize, dst: &mut [T]) {
        pack_panel(&self.matrix, rows, depth, height, dst, &self.map);
    }
}

impl<E: Copy + Send + Sync, T, F: Fn(E, usize) -> T + Sync> PackRhs<T> for Dense<'_, E, F> {
    fn pack(&self, depth: Range<usize>, cols: Range<usize>, width: usize, dst: &mut [T]) {
        let m = &self.matrix;
        if m.col_stride != 1 {
            let panels = dst.chunks_mut((depth.len() * width).max(1));
            for (start, panel) in cols.clone().step_by(width).zip(panels) {
                let end = cols.end.min(start + width);
                pack_panel(&m.transposed(), start..end, depth.clone(), width, panel, &self.map);
            }
            return;
        }
        let panel_len = depth.len() * width;
        for (row, k) in depth.enumerate() {
            let start = cols.start + k * m.row_stride;
            let source = &m.data[start..start + cols.len()];
            for (p, (chunk, j)) in source.chunks(width).zip(cols.clone().step_by(width)).enumerate() {
                let at = p * panel_len + row * width;
                for ((d, &s), jj) in dst[at..at + chunk.len()].iter_mut().zip(chunk).zip(j..) {
                    *d = (self.map)(s, jj);
                }
            }
        }
    }
}
