//! Discrete Fourier transforms along one axis.
//!
//! A transform of a fixed, moderate length is a product with its matrix: exact up to one rounding of each coefficient, and faster
//! than the transform operator of common runtimes. Others use that operator, in double precision unless the length is a power of
//! two: single-precision algorithms for general lengths lose four digits.
use crate::pytorch::lift::cx::{Cx, R, Size, V, malformed};
use crate::pytorch::lift::pairs::{Parts, part_type};
use hoist_ir::attr::Attr;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use std::f64::consts::FRAC_PI_4;

/// Most coefficients of a matrix.
pub(super) const MAX_MATRIX: i64 = 1 << 21;
/// The same where the alternative is the operator in double precision.
pub(super) const MAX_MATRIX_ODD: i64 = 1 << 22;

/// Longest transform.
const MAX_LENGTH: i64 = 1 << 40;

/// How a transform is scaled.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Norm {
    /// Not.
    None,
    /// By the root of the length.
    ByRoot,
    /// By the length.
    ByLength,
}

impl Norm {
    /// The factor of a transform of length `n`.
    pub(super) fn factor(self, n: i64) -> f64 {
        match self {
            Self::None => 1.0,
            Self::ByRoot => 1.0 / libm::sqrt(n as f64),
            Self::ByLength => 1.0 / n as f64,
        }
    }
}

/// `(cos, sin)` of `2 pi k / n`. The angle is reduced to an eighth of the circle, so that multiples of it are exact.
pub(super) fn circle(k: i64, n: i64) -> (f64, f64) {
    let eighths = 8 * i128::from(k.rem_euclid(n));
    let (octant, rest) = (eighths / i128::from(n), eighths % i128::from(n));
    let angle = FRAC_PI_4 * (rest as f64 / n as f64);
    let other = FRAC_PI_4 * ((i128::from(n) - rest) as f64 / n as f64);
    match octant {
        0 => (libm::cos(angle), libm::sin(angle)),
        1 => (libm::sin(other), libm::cos(other)),
        2 => (-libm::sin(angle), libm::cos(angle)),
        3 => (-libm::cos(other), libm::sin(other)),
        4 => (-libm::cos(angle), -libm::sin(angle)),
        5 => (-libm::sin(other), -libm::cos(other)),
        6 => (libm::sin(angle), -libm::cos(angle)),
        _ => (libm::cos(other), -libm::sin(other)),
    }
}
/// How often entry `j` of the half spectrum of a real signal of length `n` stands in the whole one.
pub(super) fn weight(j: i64, n: i64) -> f64 {
    if j == 0 || 2 * j == n { 1.0 } else { 2.0 }
}

/// A transform along one axis.
#[derive(Clone)]
pub(super) struct Transform {
    /// The axis.
    pub axis: usize,
    /// Its length: the axis is cut to it or filled up with zeros.
    pub n: Size,
    /// Whether the exponent is positive.
    pub inverse: bool,
    /// The scale.
    pub norm: Norm,
}

/// What goes in and comes out.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    /// Complex to complex, or real to complex.
    Whole,
    /// Real to the first half of the spectrum.
    Half,
    /// The first half of a spectrum to a real signal.
    Back,
}

impl Transform {
    /// The transform of a real or complex tensor.
    pub(super) fn whole(&self, cx: &mut Cx, x: V) -> R<V> {
        self.run(cx, x, Kind::Whole)
    }
    /// The first half of the spectrum of a real tensor.
    pub(super) fn half(&self, cx: &mut Cx, x: V) -> R<V> {
        if cx.is_complex(x) {
            return Err(malformed("a one-sided transform is for real tensors"));
        }
        self.run(cx, x, Kind::Half)
    }
    /// The real signal of which `x` is the first half of the spectrum.
    pub(super) fn back(&self, cx: &mut Cx, x: V) -> R<V> {
        let x = if cx.is_complex(x) { x } else { cx.complex_of_real(x)? };
        self.run(cx, x, Kind::Back)
    }
    fn run(&self, cx: &mut Cx, x: V, kind: Kind) -> R<V> {
        if let Size::Known(n) = self.n
            && !(1..=MAX_LENGTH).contains(&n)
        {
            return Err(malformed(format!("a Fourier transform of length {n}")));
        }
        // Of a real signal seen as complex, the real part will do.
        let x = if kind == Kind::Whole && cx.some_im(x)?.is_none() { cx.re(x)? } else { x };
        match (&self.n, cx.known(x, self.axis)) {
            (Size::Known(n), Some(size)) => {
                let kept = if kind == Kind::Back { n / 2 + 1 } else { *n };
                let x = cx.slice_known(x, self.axis, 0, size.min(kept))?;
                let rows = size.min(kept) * if cx.is_complex(x) { 2 } else { 1 };
                let columns = if kind == Kind::Half {
                    (n / 2 + 1) * 2
                } else if kind == Kind::Back {
                    *n
                } else {
                    2 * n
                };
                let most = if n.count_ones() == 1 { MAX_MATRIX } else { MAX_MATRIX_ODD };
                if rows > 0 && rows.saturating_mul(columns) <= most {
                    return self.product(cx, x, *n, kind);
                }
                self.operator(cx, x, kind)
            }
            _ => self.operator(cx, x, kind),
        }
    }

    /// The coefficients: rows are (position, part) of what goes in, columns of what comes out.
    fn matrix(&self, size: i64, complex: bool, n: i64, kind: Kind) -> Vec<f64> {
        let sign = if self.inverse { 1.0 } else { -1.0 };
        let scale = self.norm.factor(n);
        let out = if kind == Kind::Half { n / 2 + 1 } else { n };
        let mut m = vec![];
        for j in 0..size {
            let scale = if kind == Kind::Back { scale * weight(j, n) } else { scale };
            let line: Vec<(f64, f64)> = (0..out)
                .map(|k| {
                    let (c, s) = circle((i128::from(j) * i128::from(k) % i128::from(n)) as i64, n);
                    (c * scale, sign * s * scale)
                })
                .collect();
            if kind == Kind::Back {
                m.extend(line.iter().map(|l| l.0));
                m.extend(line.iter().map(|l| -l.1));
                continue;
            }
            m.extend(line.iter().flat_map(|l| [l.0, l.1]));
            if complex {
                m.extend(line.iter().flat_map(|l| [-l.1, l.0]));
            }
        }
        m
    }
    /// The transform as a product with its matrix.
    fn product(&self, cx: &mut Cx, x: V, n: i64, kind: Kind) -> R<V> {
        let rank = cx.rank(x)?;
        let x = to_last(cx, x, self.axis)?;
        let (size, complex) = (cx.known(x, rank - 1).unwrap_or(0), cx.is_complex(x));
        let part = part_type(cx.dtype(x)?);
        let columns = match kind {
            Kind::Whole => 2 * n,
            Kind::Half => 2 * (n / 2 + 1),
            Kind::Back => n,
        };
        let key = format!("dft {size} {complex} {n} {kind:?} {} {:?} {part}", self.inverse, self.norm);
        let m = cx.shared(key, |_| {
            let m = self.matrix(size, complex, n, kind);
            let rows = m.len() / columns as usize;
            Tensor::from_vec(&[rows, columns as usize], m)
                .cast(part, false)
                .map_err(|e| malformed(e.to_string()))
        })?;
        // Sizes of 0 are copied: only the last axes change.
        let mut shape = vec![0; rank - 1];
        let x = if complex {
            shape.push(2 * size);
            let shape = cx.int_list(&shape);
            cx.raw("reshape", &[x, shape], &[])?
        } else {
            x
        };
        let y = cx.b("mat_mul", x, m)?;
        let y = if kind == Kind::Back {
            y
        } else {
            let mut shape = vec![0; rank - 1];
            shape.extend([columns / 2, 2]);
            let shape = cx.int_list(&shape);
            let y = cx.raw("reshape", &[y, shape], &[])?;
            cx.mark(y, Parts::Joined)
        };
        from_last(cx, y, self.axis)
    }

    /// The transform as an operator.
    fn operator(&self, cx: &mut Cx, x: V, kind: Kind) -> R<V> {
        let rank = cx.rank(x)?;
        let part = part_type(cx.dtype(x)?);
        let fast = matches!(self.n, Size::Known(n) if n.count_ones() == 1);
        let wide = if fast { part } else { DType::F64 };
        let to = if cx.is_complex(x) && wide == DType::F64 {
            DType::C128
        } else if cx.is_complex(x) {
            cx.dtype(x)?
        } else {
            wide
        };
        let mut x = cx.cast(x, to)?;
        // The operator goes back with a positive exponent, and forth with a negative one.
        let turned = match kind {
            Kind::Whole => false,
            Kind::Half => self.inverse,
            Kind::Back => !self.inverse,
        };
        if kind == Kind::Back && turned {
            x = cx.conjugate(x)?;
        }
        let pairs = if cx.is_complex(x) { cx.as_pairs(x)? } else { cx.unsqueeze(x, &[rank as i64])? };
        let length = cx.size_scalar(&self.n)?;
        let axis = cx.constant(Tensor::scalar(self.axis as i64));
        let inverse = kind == Kind::Back || (kind == Kind::Whole && self.inverse);
        let attrs = [("inverse", Attr::Bool(inverse)), ("onesided", Attr::Bool(kind != Kind::Whole))];
        let y = cx.with("dft", &[pairs, length, axis], &attrs)?;
        let y = self.scaled(cx, y, inverse)?;
        let y = cx.cast(y, part)?;
        if kind == Kind::Back {
            return cx.squeeze(y, &[rank as i64]);
        }
        let y = cx.mark(y, Parts::Joined);
        if turned { cx.conjugate(y) } else { Ok(y) }
    }
    /// The result of the operator, which divides by the length when it goes back, as the norm asks.
    fn scaled(&self, cx: &mut Cx, y: V, inverse: bool) -> R<V> {
        let by = match (self.norm, inverse) {
            (Norm::None, false) | (Norm::ByLength, true) => return Ok(y),
            (norm, _) => norm,
        };
        if let Size::Known(n) = self.n {
            let factor = by.factor(n) * if inverse { n as f64 } else { 1.0 };
            return cx.bn("mul", y, factor);
        }
        let n = cx.size_scalar(&self.n)?;
        let dtype = cx.dtype(y)?;
        let n = cx.cast(n, dtype)?;
        let y = if inverse { cx.b("mul", y, n)? } else { y };
        match by {
            Norm::None => Ok(y),
            Norm::ByLength => cx.b("div", y, n),
            Norm::ByRoot => {
                let root = cx.u("sqrt", n)?;
                cx.b("div", y, root)
            }
        }
    }
}

/// `axis` moved to the end.
fn to_last(cx: &mut Cx, x: V, axis: usize) -> R<V> {
    let mut perm: Vec<usize> = (0..cx.rank(x)?).filter(|i| *i != axis).collect();
    perm.push(axis);
    cx.permute(x, &perm)
}
/// Undoes [`to_last`].
fn from_last(cx: &mut Cx, x: V, axis: usize) -> R<V> {
    let last = cx.rank(x)? - 1;
    let mut perm: Vec<usize> = (0..last).collect();
    perm.insert(axis, last);
    cx.permute(x, &perm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_the_circle() {
        for n in [1, 2, 3, 5, 8, 12, 100] {
            for k in 0..2 * n {
                let (c, s) = circle(k, n);
                let angle = 2.0 * std::f64::consts::PI * k as f64 / n as f64;
                assert!((c - angle.cos()).abs() < 1e-13 && (s - angle.sin()).abs() < 1e-13, "{k} of {n}");
            }
        }
        assert_eq!([circle(1, 4), circle(2, 4), circle(3, 4)], [(0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)]);
    }

    #[test]
    fn half_a_spectrum_counts_twice_but_at_its_ends() {
        let all = |n: i64| (0..=n / 2).map(|j| weight(j, n)).sum::<f64>();
        for n in 1..9 {
            assert!((all(n) - n as f64).abs() < 1e-15, "{n}");
        }
    }
}
