//! Discrete Fourier transform of any length in `O(n log n)`, in double precision.
use crate::op::OpError;
use num_complex::Complex;

/// A number of the spectrum.
pub(super) type C64 = Complex<f64>;

/// Longest transform: bounds memory and time of lengths that come from a file.
const LONGEST: usize = 1 << 23;

/// A forward transform of a fixed length.
pub(super) struct Plan {
    len: usize,
    kind: Kind,
}

enum Kind {
    /// A power of two.
    Radix2(Radix2),
    /// Any other length, as a circular convolution of a power of two (Bluestein, "A linear filtering approach to the computation of
    /// discrete Fourier transform", 1970).
    Chirp {
        inner: Radix2,
        /// `e^(-i pi k^2 / n)`.
        chirp: Vec<C64>,
        /// Transform of the conjugate chirp, divided by the inner length.
        filter: Vec<C64>,
    },
}

/// `e^(-2 pi i k / n)`.
fn root(k: usize, n: usize) -> C64 {
    // The angle is reduced to an eighth of the circle, where both functions are exact to the last place.
    let (eighth, rest) = (8 * (k as u128) / n as u128, 8 * (k as u128) % n as u128);
    let angle = std::f64::consts::FRAC_PI_4 * (rest as f64 / n as f64);
    let other = std::f64::consts::FRAC_PI_4 * ((n as u128 - rest) as f64 / n as f64);
    let (c, s) = match eighth % 8 {
        0 => (libm::cos(angle), libm::sin(angle)),
        1 => (libm::sin(other), libm::cos(other)),
        2 => (-libm::sin(angle), libm::cos(angle)),
        3 => (-libm::cos(other), libm::sin(other)),
        4 => (-libm::cos(angle), -libm::sin(angle)),
        5 => (-libm::sin(other), -libm::cos(other)),
        6 => (libm::sin(angle), -libm::cos(angle)),
        _ => (libm::cos(other), -libm::sin(other)),
    };
    C64::new(c, -s)
}

/// Decimation in time over a power of two.
struct Radix2 {
    len: usize,
    /// `e^(-2 pi i k / len)` for `k < len / 2`.
    roots: Vec<C64>,
}

impl Radix2 {
    fn new(len: usize) -> Self {
        Self { len, roots: (0..len / 2).map(|k| root(k, len)).collect() }
    }
    fn run(&self, x: &mut [C64]) {
        let bits = self.len.trailing_zeros();
        if bits == 0 {
            return;
        }
        for i in 0..self.len {
            let j = i.reverse_bits() >> (usize::BITS - bits);
            if i < j {
                x.swap(i, j);
            }
        }
        let mut half = 1;
        while half < self.len {
            let stride = self.len / (2 * half);
            for block in x.chunks_exact_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                for ((a, b), w) in low.iter_mut().zip(high).zip(self.roots.iter().step_by(stride)) {
                    let t = *b * *w;
                    *b = *a - t;
                    *a += t;
                }
            }
            half *= 2;
        }
    }
}

impl Plan {
    /// The transform of `len` values, at least one.
    ///
    /// # Errors
    /// When it is too long to compute.
    pub(super) fn new(len: usize) -> Result<Self, OpError> {
        if len == 0 || len > LONGEST {
            return Err(OpError::new("E0307", format!("a Fourier transform of length {len}"))
                .hint(format!("lengths from 1 to {LONGEST} are computed")));
        }
        if len.is_power_of_two() {
            return Ok(Self { len, kind: Kind::Radix2(Radix2::new(len)) });
        }
        let inner = Radix2::new((2 * len - 1).next_power_of_two());
        let square = |k: usize| ((k as u128 * k as u128) % (2 * len as u128)) as usize;
        let chirp: Vec<C64> = (0..len).map(|k| root(square(k), 2 * len)).collect();
        let mut filter = vec![C64::default(); inner.len];
        let scale = 1.0 / inner.len as f64;
        for (k, c) in chirp.iter().enumerate() {
            let v = c.conj() * scale;
            filter[k] = v;
            if k > 0 {
                filter[inner.len - k] = v;
            }
        }
        inner.run(&mut filter);
        Ok(Self { len, kind: Kind::Chirp { inner, chirp, filter } })
    }
    /// Replaces `x`, of the plan's length, by its transform; `spare` is room that is reused.
    pub(super) fn forward(&self, x: &mut [C64], spare: &mut Vec<C64>) {
        match &self.kind {
            Kind::Radix2(radix) => radix.run(x),
            Kind::Chirp { inner, chirp, filter } => {
                spare.clear();
                spare.extend(x.iter().zip(chirp).map(|(v, c)| v * c));
                spare.resize(inner.len, C64::default());
                inner.run(spare);
                // The inverse transform is the conjugate of the transform of the conjugate.
                for (s, f) in spare.iter_mut().zip(filter) {
                    *s = (*s * f).conj();
                }
                inner.run(spare);
                for ((x, s), c) in x.iter_mut().zip(&*spare).zip(chirp) {
                    *x = s.conj() * c;
                }
            }
        }
    }
    /// Replaces `x` by its inverse transform, divided by the length.
    pub(super) fn inverse(&self, x: &mut [C64], spare: &mut Vec<C64>) {
        for v in x.iter_mut() {
            *v = v.conj();
        }
        self.forward(x, spare);
        let scale = 1.0 / self.len as f64;
        for v in x.iter_mut() {
            *v = v.conj() * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, term by term.
    fn slow(x: &[C64]) -> Vec<C64> {
        let n = x.len();
        (0..n).map(|k| x.iter().enumerate().map(|(i, v)| v * root(i * k % n, n)).sum()).collect()
    }

    #[test]
    fn roots_are_on_the_circle_where_they_belong() {
        for (k, n, c, s) in [(1, 4, 0.0, -1.0), (2, 4, -1.0, 0.0), (3, 4, 0.0, 1.0), (0, 7, 1.0, 0.0)] {
            assert_eq!(root(k, n), C64::new(c, s), "{k} of {n}");
        }
        for k in 0..24 {
            let angle = -2.0 * std::f64::consts::PI * k as f64 / 24.0;
            assert!((root(k, 24) - C64::new(angle.cos(), angle.sin())).norm() < 1e-15, "{k}");
        }
    }

    #[test]
    fn every_length_follows_the_definition() {
        for n in (1..=40).chain([63, 64, 97, 100, 128, 257]) {
            let at = |i: usize| C64::new((i * 37 % 11) as f64 - 5.0, (i * 13 % 7) as f64 - 3.0);
            let x: Vec<C64> = (0..n).map(at).collect();
            let plan = Plan::new(n).expect("short");
            let (mut y, mut spare) = (x.clone(), vec![]);
            plan.forward(&mut y, &mut spare);
            let worst = y.iter().zip(slow(&x)).map(|(a, b)| (a - b).norm()).fold(0.0, f64::max);
            assert!(worst < 1e-12 * n as f64, "length {n}: {worst}");
            plan.inverse(&mut y, &mut spare);
            let worst = y.iter().zip(&x).map(|(a, b)| (a - b).norm()).fold(0.0, f64::max);
            assert!(worst < 1e-13 * n as f64, "inverse of length {n}: {worst}");
        }
    }

    #[test]
    fn unreasonable_lengths_are_refused() {
        assert!(Plan::new(0).is_err());
        assert!(Plan::new(usize::MAX).is_err());
    }
}
