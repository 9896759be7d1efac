//! The triangular matrix that rounding carries errors with.
use std::ops::Range;

/// A square matrix, row after row.
#[derive(Clone, PartialEq, Debug)]
pub struct Square {
    /// Rows and columns.
    pub size: usize,
    /// Elements.
    pub data: Vec<f64>,
}

impl Square {
    /// Part of row `i`.
    pub fn row(&self, i: usize, columns: Range<usize>) -> &[f64] {
        &self.data[i * self.size + columns.start..i * self.size + columns.end]
    }
    fn at(&self, i: usize, j: usize) -> f64 {
        self.data[i * self.size + j]
    }
    /// Rows and columns `order[0]`, `order[1]`, ...
    pub fn reordered(&self, order: &[usize]) -> Self {
        let data = order.iter().flat_map(|i| order.iter().map(move |j| self.at(*i, *j))).collect();
        Self { size: self.size, data }
    }
    /// The upper triangular `u` with `u' u = inverse(self)`, which is symmetric; `None` where `self` is not positive definite.
    ///
    /// With `self = r r'`, where `r` is upper triangular, it is the inverse of `r`; `r` comes from Cholesky's method begun at the last row.
    pub fn inverse_factor(mut self) -> Option<Self> {
        let size = self.size;
        for j in (0..size).rev() {
            for i in (0..=j).rev() {
                let (a, b) = (self.row(i, j + 1..size), self.row(j, j + 1..size));
                let rest = self.at(i, j) - dot(a, b);
                self.data[i * size + j] = if i < j {
                    rest / self.at(j, j)
                } else if rest > 0.0 && rest.is_finite() {
                    rest.sqrt()
                } else {
                    return None;
                };
            }
        }
        self.invert();
        Some(self)
    }
    /// Inverts the upper triangle, from the last row on: each row needs its own and those below, which are inverted already.
    fn invert(&mut self) {
        let size = self.size;
        for i in (0..size).rev() {
            let (head, below) = self.data.split_at_mut((i + 1) * size);
            let own = &mut head[i * size..];
            let scale = own[i].recip();
            let mut found = vec![0.0; size];
            found[i] = scale;
            for (k, row) in (i + 1..size).zip(below.chunks(size)) {
                let factor = -own[k] * scale;
                for (f, v) in found[k..].iter_mut().zip(&row[k..]) {
                    *f += factor * v;
                }
            }
            own.copy_from_slice(&found);
        }
    }
}

/// Sum of products, in an order that does not depend on the machine.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (whole, rest) = (a.chunks_exact(LANES), a.chunks_exact(LANES).remainder());
    for (a, b) in whole.zip(b.chunks_exact(LANES)) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let tail: f64 = rest.iter().zip(&b[a.len() - rest.len()..]).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_gives_the_inverse() {
        let size = 21;
        let raw = |i: usize, j: usize| ((i * 31 + j * 17 + i * j) % 23) as f64 / 23.0 - 0.4;
        let mut h = Square { size, data: vec![0.0; size * size] };
        for i in 0..size {
            for j in 0..size {
                h.data[i * size + j] =
                    (0..size).map(|k| raw(i, k) * raw(j, k)).sum::<f64>() + f64::from(i == j);
            }
        }
        let u = h.clone().inverse_factor().expect("positive definite");
        for i in 0..size {
            for j in 0..size {
                // h u' u = 1
                let inverse =
                    |a: usize, b: usize| (0..=a.min(b)).map(|k| u.at(k, a) * u.at(k, b)).sum::<f64>();
                let one: f64 = (0..size).map(|k| h.at(i, k) * inverse(k, j)).sum();
                assert!((one - f64::from(i == j)).abs() < 1e-9, "{i} {j}: {one}");
            }
        }
        h.data[0] = -1.0;
        assert!(h.inverse_factor().is_none());
    }
}
