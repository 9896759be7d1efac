//! From coefficients to pixels as libjpeg-turbo computes them by default: its accurate integer transform ("islow"), "fancy"
//! upsampling and 16-bit fixed-point colour conversion. The formulas are facts about that library; results are the same bits.
use super::{Component, Failure};

/// `x / 2^n`, rounded half up.
fn descale(x: i64, n: u32) -> i64 {
    (x + (1 << (n - 1))) >> n
}

/// Constants of the transform of Loeffler, Ligtenberg and Moschytz times 2^13.
const C: [i64; 12] = [2446, 3196, 4433, 6270, 7373, 9633, 12299, 15137, 16069, 16819, 20995, 25172];

/// One-dimensional inverse transform, times `2^13 * sqrt(8)`.
fn transform(x: [i64; 8]) -> [i64; 8] {
    let z = (x[2] + x[6]) * C[2];
    let (t2, t3) = (z - x[6] * C[7], z + x[2] * C[3]);
    let (t0, t1) = ((x[0] + x[4]) << 13, (x[0] - x[4]) << 13);
    let even = [t0 + t3, t1 + t2, t1 - t2, t0 - t3];
    let (z1, z2, z3, z4) = (x[7] + x[1], x[5] + x[3], x[7] + x[3], x[5] + x[1]);
    let z5 = (z3 + z4) * C[5];
    let (z1, z2) = (-z1 * C[4], -z2 * C[10]);
    let (z3, z4) = (z5 - z3 * C[8], z5 - z4 * C[1]);
    let odd = [x[1] * C[6] + z1 + z4, x[3] * C[11] + z2 + z3, x[5] * C[9] + z2 + z4, x[7] * C[0] + z1 + z3];
    std::array::from_fn(|i| if i < 4 { even[i] + odd[i] } else { even[7 - i] - odd[7 - i] })
}

/// The 8 x 8 samples of a block of coefficients.
fn inverse(block: &[i16], quant: &[u16; 64]) -> [u8; 64] {
    let mut work = [0i64; 64];
    for c in 0..8 {
        let column = std::array::from_fn(|r| i64::from(block[r * 8 + c]) * i64::from(quant[r * 8 + c]));
        for (r, v) in transform(column).into_iter().enumerate() {
            work[r * 8 + c] = descale(v, 11);
        }
    }
    let mut out = [0; 64];
    for (row, out) in work.chunks_exact(8).zip(out.chunks_exact_mut(8)) {
        let line = transform(std::array::from_fn(|i| row[i]));
        for (v, o) in line.into_iter().zip(out) {
            *o = (descale(v, 18) + 128).clamp(0, 255) as u8;
        }
    }
    out
}

/// Samples of a component, without those that fill up its blocks.
pub(super) struct Plane {
    width: usize,
    height: usize,
    samples: Vec<u8>,
}

/// Computes the samples of a component.
pub(super) fn plane(c: &Component) -> Result<Plane, Failure> {
    let mut samples = vec![0; c.width * c.height];
    let quant = c.quant.as_ref().ok_or(Failure::Corrupt)?;
    for by in 0..c.height.div_ceil(8) {
        for bx in 0..c.width.div_ceil(8) {
            let at = (by * c.stride + bx) * 64;
            let block = inverse(&c.coefficients[at..at + 64], quant);
            let n = (c.width - bx * 8).min(8);
            for (y, row) in (by * 8..c.height).zip(block.chunks_exact(8)) {
                let to = y * c.width + bx * 8;
                samples[to..to + n].copy_from_slice(&row[..n]);
            }
        }
    }
    Ok(Plane { width: c.width, height: c.height, samples })
}

/// How many columns and rows of the picture a sample stands for.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    pub(super) x: usize,
    pub(super) y: usize,
}

impl Plane {
    fn row(&self, y: usize) -> &[u8] {
        let y = y.min(self.height - 1);
        &self.samples[y * self.width..(y + 1) * self.width]
    }
    /// Samples of row `y` of the picture, at least as many as the picture is wide, into `out`.
    ///
    /// Where a sample stands for two columns, a column's value is 3/4 of the nearer sample and 1/4 of the farther one, half rounded
    /// down and up in turn; with rows likewise. Other sizes repeat samples, as do planes of at most two columns.
    pub(super) fn upsample(&self, y: usize, scale: Scale, out: &mut Vec<u8>) {
        out.clear();
        let (own, odd) = (y / scale.y, y % 2);
        let near = self.row(own);
        let far = self.row(if odd == 1 { own + 1 } else { own.saturating_sub(1) });
        match (scale.x, scale.y) {
            (1, 1) => out.extend_from_slice(near),
            (2, 1) if self.width > 2 => {
                interpolate(near.iter().map(|v| i32::from(*v)), self.width, [0, 1, 2, 0], 2, out);
            }
            (1, 2) => out.extend(
                near.iter()
                    .zip(far)
                    .map(|(n, f)| ((3 * i32::from(*n) + i32::from(*f) + 1 + odd as i32) >> 2) as u8),
            ),
            (2, 2) if self.width > 2 => {
                let columns = near.iter().zip(far).map(|(n, f)| 3 * i32::from(*n) + i32::from(*f));
                interpolate(columns, self.width, [8, 8, 7, 7], 4, out);
            }
            (x, _) => out.extend(near.iter().flat_map(|v| std::iter::repeat_n(*v, x))),
        }
    }
}

/// Doubles a row. `bias` is what is added before the shift at the first, at even, at odd and at the last positions.
fn interpolate(row: impl Iterator<Item = i32>, width: usize, bias: [i32; 4], shift: u32, out: &mut Vec<u8>) {
    let row: Vec<i32> = row.collect();
    for (i, v) in row.iter().enumerate() {
        let left = if i == 0 { 4 * v + bias[0] } else { 3 * v + row[i - 1] + bias[1] };
        let right = if i + 1 == width { 4 * v + bias[3] } else { 3 * v + row[i + 1] + bias[2] };
        out.push((left >> shift) as u8);
        out.push((right >> shift) as u8);
    }
}

/// Red, green and blue of a pixel given as luma and two chroma samples.
pub(super) fn rgb(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let half = 1 << 15;
    let r = y + ((91881 * cr + half) >> 16);
    let g = y + ((-22554 * cb - 46802 * cr + half) >> 16);
    let b = y + ((116130 * cb + half) >> 16);
    [r, g, b].map(|v| v.clamp(0, 255) as u8)
}
