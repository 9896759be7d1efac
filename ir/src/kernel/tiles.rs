//! The blocked matrix product that matrix products and convolutions share.
//!
//! An output element is computed in one order only: the inner dimension is cut into blocks of [`DEPTH`]; within a
//! block the products are added one after the other with fused multiply-adds, starting from zero; the sums of the
//! blocks are added to the output one after the other. Tiles, panels, vector width and threads decide only which
//! elements are computed when.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::pack::{PackLhs, PackRhs};
use super::packs::Kept;
use super::parallel::Exec;
use super::real::{Accumulate, Real};

/// Length of a block of the inner dimension. 256 products of two differences of bytes (at most 255 * 255 each) stay
/// below 2^24 and are therefore exact in `f32`, which the integer products rely on.
pub(crate) const DEPTH: usize = 256;
/// Rows of the left operand that are packed at once.
const SUPER_ROWS: usize = 2040;
/// Bytes of a tile's packed row of the right operand.
const TILE_ROW_BYTES: usize = 1024;

/// Independent products `out[u] += alpha * lhs[units[u].lhs] * units[u].rhs`, each `m x k` times `k x n`.
pub(crate) struct Products<'a, T, L, R> {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) alpha: T,
    pub(crate) lhs: &'a [L],
    pub(crate) units: &'a [Unit<R>],
    /// Operand whose packed form outlives the product.
    pub(crate) kept: Kept<'a, T>,
}

/// One product: the number of its left operand, and its right operand.
pub(crate) struct Unit<R> {
    pub(crate) lhs: usize,
    pub(crate) rhs: R,
}

/// A part of one unit's output, as segments of its rows.
struct Tile<'o, C> {
    unit: usize,
    /// First row, counted from the beginning of the block of rows.
    row: usize,
    cols: Range<usize>,
    rows: Vec<&'o mut [C]>,
}

/// Rows per panel of the left operand and columns per panel of the right one.
#[derive(Clone, Copy)]
struct PanelShape {
    height: usize,
    width: usize,
}

struct QueryShape<T>(std::marker::PhantomData<T>);

impl<T: Real> WithSimd for QueryShape<T> {
    type Output = PanelShape;
    fn with_simd<S: Simd>(self, _simd: S) -> PanelShape {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        PanelShape { height: panel_height::<S>(), width: 2 * lanes }
    }
}

/// Rows whose sums, two vectors each, fit the registers together with the operands. Divides [`SUPER_ROWS`].
const fn panel_height<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 12 } else { 6 }
}

/// Computes all products. `out` holds the units' row-major outputs one after the other, `m * n` elements each; the
/// caller has checked that, and that the operands have the sizes in `p`.
pub(crate) fn multiply<T, C, L, R>(p: &Products<'_, T, L, R>, out: &mut [C], exec: Exec)
where
    T: Real,
    C: Accumulate<T>,
    L: PackLhs<T>,
    R: PackRhs<T>,
{
    multiply_on(Arch::new(), p, out, exec);
}

/// [`multiply`] with the instructions of `arch`.
fn multiply_on<T, C, L, R>(arch: Arch, p: &Products<'_, T, L, R>, out: &mut [C], exec: Exec)
where
    T: Real,
    C: Accumulate<T>,
    L: PackLhs<T>,
    R: PackRhs<T>,
{
    if p.m == 0 || p.n == 0 || p.k == 0 || p.units.is_empty() {
        return;
    }
    let shape = arch.dispatch(QueryShape::<T>(std::marker::PhantomData));
    let (left, right) = kept_panels(p, shape, exec);
    let (mut packed, mut at) = (Vec::new(), 0);
    for first in (0..p.m).step_by(SUPER_ROWS) {
        let rows = first..p.m.min(first + SUPER_ROWS);
        let mut tiles = split(p, shape, &rows, out, exec);
        for start in (0..p.k).step_by(DEPTH) {
            let depth = start..p.k.min(start + DEPTH);
            let panel_len = rows.len().next_multiple_of(shape.height) * depth.len();
            let block = panel_len * p.lhs.len();
            let packed = if let Some(all) = left {
                &all[at..at + block]
            } else {
                packed.resize(block, T::ZERO);
                pack_lhs(p, shape, &rows, &depth, &mut packed, exec);
                packed.as_slice()
            };
            at += block;
            exec.for_each(&mut tiles, |buffer: &mut Vec<T>, tile| {
                let width = tile.cols.len().next_multiple_of(shape.width);
                let unit = &p.units[tile.unit];
                let rhs = if let Some(all) = right {
                    let first =
                        depth.start * p.n.next_multiple_of(shape.width) + depth.len() * tile.cols.start;
                    &all[first..first + width * depth.len()]
                } else {
                    buffer.resize(width * depth.len(), T::ZERO);
                    unit.rhs.pack(depth.clone(), tile.cols.clone(), shape.width, buffer);
                    buffer.as_slice()
                };
                let lhs = &packed[unit.lhs * panel_len + tile.row * depth.len()..];
                arch.dispatch(TileProduct { lhs, rhs, depth: depth.len(), alpha: p.alpha, tile });
            });
        }
    }
}

/// Cuts the rows `rows` of every unit's output into tiles.
fn split<'o, T: Real, C, L, R>(
    p: &Products<'_, T, L, R>,
    shape: PanelShape,
    rows: &Range<usize>,
    out: &'o mut [C],
    exec: Exec,
) -> Vec<Tile<'o, C>> {
    let tile_cols = TILE_ROW_BYTES / size_of::<T>();
    let col_tiles = p.n.div_ceil(tile_cols);
    // Rows are split only to give every thread the same share: each part packs the right operand anew.
    let (threads, whole) = (exec.threads(), col_tiles.saturating_mul(p.units.len()));
    let parts = if whole.is_multiple_of(threads) || whole >= 4 * threads { 1 } else { threads };
    let tile_rows = rows.len().div_ceil(parts).max(4 * shape.height).next_multiple_of(shape.height);
    let mut tiles = Vec::new();
    for (unit, chunk) in out.chunks_mut(p.m * p.n).enumerate() {
        let block = &mut chunk[rows.start * p.n..rows.end * p.n];
        for (part, slab) in block.chunks_mut(tile_rows * p.n).enumerate() {
            let first = tiles.len();
            for cols in (0..p.n).step_by(tile_cols) {
                let cols = cols..p.n.min(cols + tile_cols);
                tiles.push(Tile {
                    unit,
                    row: part * tile_rows,
                    cols,
                    rows: Vec::with_capacity(slab.len() / p.n),
                });
            }
            for row in slab.chunks_mut(p.n) {
                for (tile, segment) in tiles[first..].iter_mut().zip(row.chunks_mut(tile_cols)) {
                    tile.rows.push(segment);
                }
            }
        }
    }
    tiles
}

/// The left and the right operand packed as a whole, where they are kept so: the blocks of [`multiply_on`] in its order.
fn kept_panels<'a, T: Real, L: PackLhs<T>, R: PackRhs<T>>(
    p: &Products<'a, T, L, R>,
    shape: PanelShape,
    exec: Exec,
) -> (Option<&'a [T]>, Option<&'a [T]>) {
    match p.kept {
        Kept::None => (None, None),
        Kept::Left(packs, strides) => {
            let key = [0, shape.height, p.lhs.len(), p.m, p.k, strides.0, strides.1];
            (packs.get(key, || pack_all_left(p, shape, exec)), None)
        }
        Kept::Right(packs, strides) => {
            let key = [1, shape.height, p.units.len(), p.k, p.n, strides.0, strides.1];
            (None, packs.get(key, || pack_all_right(p, shape)).filter(|_| p.units.len() == 1))
        }
    }
}

fn pack_all_left<T: Real, L: PackLhs<T>, R: Sync>(
    p: &Products<'_, T, L, R>,
    shape: PanelShape,
    exec: Exec,
) -> Vec<T> {
    let blocks =
        (0..p.m).step_by(SUPER_ROWS).map(|i| (p.m - i).min(SUPER_ROWS).next_multiple_of(shape.height));
    let mut all = vec![T::ZERO; blocks.sum::<usize>() * p.k * p.lhs.len()];
    let mut rest = all.as_mut_slice();
    for first in (0..p.m).step_by(SUPER_ROWS) {
        let rows = first..p.m.min(first + SUPER_ROWS);
        for start in (0..p.k).step_by(DEPTH) {
            let depth = start..p.k.min(start + DEPTH);
            let len = p.lhs.len() * rows.len().next_multiple_of(shape.height) * depth.len();
            let (block, behind) = rest.split_at_mut(len);
            pack_lhs(p, shape, &rows, &depth, block, exec);
            rest = behind;
        }
    }
    all
}

fn pack_all_right<T: Real, L, R: PackRhs<T>>(p: &Products<'_, T, L, R>, shape: PanelShape) -> Vec<T> {
    let width = p.n.next_multiple_of(shape.width);
    let mut all = vec![T::ZERO; width * p.k];
    let Some(unit) = p.units.first() else { return all };
    for (start, block) in (0..p.k).step_by(DEPTH).zip(all.chunks_mut(width * DEPTH)) {
        unit.rhs.pack(start..p.k.min(start + DEPTH), 0..p.n, shape.width, block);
    }
    all
}

/// Packs the rows `rows` of every left operand: `[lhs][panel][depth][height]`.
fn pack_lhs<T: Real, L: PackLhs<T>, R: Sync>(
    p: &Products<'_, T, L, R>,
    shape: PanelShape,
    rows: &Range<usize>,
    depth: &Range<usize>,
    packed: &mut [T],
    exec: Exec,
) {
    let panels = rows.len().div_ceil(shape.height);
    let panel_len = shape.height * depth.len();
    exec.for_chunks(packed, panel_len, |(): &mut (), index, panel| {
        let start = rows.start + index % panels * shape.height;
        let end = rows.end.min(start + shape.height);
        p.lhs[index / panels].pack(start..end, depth.clone(), shape.height, panel);
    });
}

/// Adds the product of packed operands to one tile.
struct TileProduct<'a, 't, 'o, T, C> {
    lhs: &'a [T],
    rhs: &'a [T],
    depth: usize,
    alpha: T,
    tile: &'t mut Tile<'o, C>,
}

impl<T: Real, C: Accumulate<T>> WithSimd for TileProduct<'_, '_, '_, T, C> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let height = panel_height::<S>();
        let panels = self.lhs.chunks(height * self.depth);
        for (rows, lhs) in self.tile.rows.chunks_mut(height).zip(panels) {
            let strip = Strip { lhs, rhs: self.rhs, depth: self.depth, alpha: self.alpha, rows };
            if S::REGISTER_COUNT >= 32 {
                strip.run_by_rows::<S, 12>(simd);
            } else {
                strip.run_by_rows::<S, 6>(simd);
            }
        }
    }
}

/// A panel of the left operand times all panels of the right one.
struct Strip<'a, 'r, 'o, T, C> {
    lhs: &'a [T],
    rhs: &'a [T],
    depth: usize,
    alpha: T,
    rows: &'r mut [&'o mut [C]],
}

impl<T: Real, C: Accumulate<T>> Strip<'_, '_, '_, T, C> {
    /// Runs the smallest kernel that covers the rows; `H` is the height of the packed panel.
    #[inline(always)]
    fn run_by_rows<S: Simd, const H: usize>(self, simd: S) {
        match self.rows.len() {
            1 => self.run::<S, H, 1>(simd),
            2 => self.run::<S, H, 2>(simd),
            3 | 4 => self.run::<S, H, 4>(simd),
            5 | 6 => self.run::<S, H, 6>(simd),
            7 | 8 => self.run::<S, H, 8>(simd),
            _ => self.run::<S, H, 12>(simd),
        }
    }

    /// `R` rows per kernel call.
    #[inline(always)]
    fn run<S: Simd, const H: usize, const R: usize>(self, simd: S) {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let lhs = self.lhs.as_chunks::<H>().0;
        for (p, panel) in T::vectors::<S>(self.rhs).0.chunks_exact(2 * self.depth).enumerate() {
            let sums = microkernel::<T, S, H, R>(simd, lhs, panel.as_chunks::<2>().0);
            let at = p * 2 * lanes;
            for (row, sum) in self.rows.iter_mut().zip(&sums) {
                let end = row.len().min(at + 2 * lanes);
                if let Some(target) = row.get_mut(at..end) {
                    C::accumulate(target, bytemuck::cast_slice(sum), self.alpha);
                }
            }
        }
    }
}

/// Sums of products of the first `R` rows of a left panel with two vectors of columns.
#[inline(always)]
fn microkernel<T: Real, S: Simd, const H: usize, const R: usize>(
    simd: S,
    lhs: &[[T; H]],
    rhs: &[[T::Vector<S>; 2]],
) -> [[T::Vector<S>; 2]; R] {
    let zero = T::splat(simd, T::ZERO);
    let mut sums = [[zero; 2]; R];
    for (a, b) in lhs.iter().zip(rhs) {
        let Some(a) = a.first_chunk::<R>() else { break };
        for r in 0..R {
            let x = T::splat(simd, a[r]);
            sums[r][0] = T::fused(simd, x, b[0], sums[r][0]);
            sums[r][1] = T::fused(simd, x, b[1], sums[r][1]);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::super::pack::{Dense, Matrix, identity};
    use super::super::testing::{Noise, every_arch};
    use super::*;

    #[test]
    fn bits_do_not_depend_on_the_instruction_set() {
        for (m, k, n) in [(1, 300, 20), (5, 7, 3), (14, 520, 35), (9, 3, 70)] {
            let mut noise = Noise::new(11);
            let (a, b): (Vec<f32>, Vec<f32>) = (noise.floats(m * k), noise.floats(k * n));
            let lhs = [Dense { matrix: Matrix::row_major(&a, m, k).unwrap(), map: identity }];
            let rhs = Dense { matrix: Matrix::row_major(&b, k, n).unwrap(), map: identity };
            let p =
                Products { m, k, n, alpha: 0.3, lhs: &lhs, units: &[Unit { lhs: 0, rhs }], kept: Kept::None };
            let results = every_arch().into_iter().map(|arch| {
                let mut out = vec![0.1f32; m * n];
                multiply_on(arch, &p, &mut out, Exec::Serial);
                out.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
            });
            let results: Vec<_> = results.collect();
            assert!(results.iter().all(|r| *r == results[0]));
        }
    }
}
