//! Copies of blocks by flat position: picking, joining, scattering.
use super::mover::{self, Move, Unit};
use crate::op::OpError;
use crate::tensor::Tensor;

/// A position for "nothing here: the default of the type".
pub const NONE: usize = usize::MAX;

/// Block `i` of the result is block `from[i]` of `x`, in blocks of `block` elements.
///
/// # Errors
/// When the result is too large.
pub fn pick_blocks(x: &Tensor, from: &[usize], block: usize, shape: &[usize]) -> Result<Tensor, OpError> {
    mover::apply(&Pick { from, block }, &[x], shape)
}

struct Pick<'a> {
    from: &'a [usize],
    block: usize,
}

impl Move for Pick<'_> {
    fn run<T: Unit>(&self, xs: &[&[T]]) -> Vec<T> {
        let mut out = Vec::with_capacity(self.from.len() * self.block);
        for &at in self.from {
            match at {
                NONE => out.resize(out.len() + self.block, T::default()),
                _ if self.block == 1 => out.push(xs[0][at]),
                _ => out.extend_from_slice(&xs[0][at * self.block..(at + 1) * self.block]),
            }
        }
        out
    }
}

/// `x` with block `to[i]` replaced by block `i` of `updates`; of several for one place the last one stays.
///
/// # Errors
/// When an operand cannot be read.
pub fn scatter_blocks(x: &Tensor, to: &[usize], updates: &Tensor, block: usize) -> Result<Tensor, OpError> {
    mover::apply(&Scatter { to, block }, &[x, updates], x.shape())
}

struct Scatter<'a> {
    to: &'a [usize],
    block: usize,
}

impl Move for Scatter<'_> {
    fn run<T: Unit>(&self, xs: &[&[T]]) -> Vec<T> {
        let mut out = xs[0].to_vec();
        if self.block == 0 {
            return out;
        }
        for (&at, update) in self.to.iter().zip(xs[1].chunks_exact(self.block)) {
            out[at * self.block..(at + 1) * self.block].copy_from_slice(update);
        }
        out
    }
}

/// The operands one after another along `axis`. They agree in element type and all other sizes.
///
/// # Errors
/// When they do not, or the result is too large.
pub fn join(xs: &[&Tensor], axis: usize) -> Result<Tensor, OpError> {
    let bad = || OpError::shape(format!("tensors do not join along axis {axis}"));
    let first = xs.first().ok_or_else(bad)?;
    let mut shape = first.shape().to_vec();
    *shape.get_mut(axis).ok_or_else(bad)? = 0;
    for x in xs {
        let same = |i: usize| i == axis || x.shape()[i] == first.shape()[i];
        if x.dtype() != first.dtype() || x.rank() != shape.len() || !(0..shape.len()).all(same) {
            return Err(bad());
        }
        shape[axis] = shape[axis].checked_add(x.shape()[axis]).ok_or_else(bad)?;
    }
    let outer = shape[..axis].iter().try_fold(1usize, |n, d| n.checked_mul(*d)).ok_or_else(bad)?;
    mover::apply(&Join { outer }, xs, &shape)
}

struct Join {
    outer: usize,
}

impl Move for Join {
    fn run<T: Unit>(&self, xs: &[&[T]]) -> Vec<T> {
        let mut out = Vec::with_capacity(xs.iter().map(|x| x.len()).sum());
        for o in 0..self.outer {
            for x in xs {
                let own = x.len() / self.outer;
                out.extend_from_slice(&x[o * own..(o + 1) * own]);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::mover::tests::{bits_at, samples};
    use super::*;

    #[test]
    fn every_type_is_picked_scattered_and_joined() {
        for (x, u) in samples(&[2, 3]).into_iter().zip(samples(&[1, 3])) {
            let y = pick_blocks(&x, &[1, 0, 1], 3, &[3, 3]).expect("fits");
            let z = scatter_blocks(&x, &[4, 0, 4], &u, 1).expect("fits");
            let w = join(&[&x, &u, &u], 0).expect("fits");
            let v = join(&[&x, &x], 1).expect("fits");
            for i in 0..3 {
                assert_eq!(bits_at(&y, i), bits_at(&x, 3 + i), "{}", x.dtype());
                assert_eq!(bits_at(&w, 9 + i), bits_at(&u, i));
                assert_eq!(bits_at(&v, 9 + i), bits_at(&x, 3 + i));
            }
            assert_eq!(bits_at(&z, 4), bits_at(&u, 2));
            assert_eq!(bits_at(&z, 0), bits_at(&u, 1));
            assert_eq!(bits_at(&z, 5), bits_at(&x, 5));
        }
    }

    #[test]
    fn holes_are_zero() {
        let x = Tensor::from_vec(&[2], vec![5i64, 6]);
        let y = pick_blocks(&x, &[NONE, 1], 1, &[2]).expect("fits");
        assert_eq!(*y.view::<i64>().expect("i64"), [0, 6]);
        assert!(join(&[&x, &Tensor::scalar(1i64)], 0).is_err());
    }
}
