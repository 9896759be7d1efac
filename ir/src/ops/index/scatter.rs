//! What scattering operators share: how an update meets what is there.
use crate::attr::Word;
use crate::op::OpError;
use crate::ops::movement::pick::scatter_blocks;
use crate::tensor::Tensor;
use crate::tensor::convert::Wide;

/// How an update is combined with the element it falls on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reduction {
    /// It replaces the element; of several for one place the last one stays.
    #[default]
    Replace,
    /// Sum; for `bool` whether either is true.
    Add,
    /// Product; for `bool` whether both are true.
    Mul,
    /// The larger one; NaN stays.
    Max,
    /// The smaller one; NaN stays.
    Min,
}

impl Word for Reduction {
    const KIND: &'static str = "reduction";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Replace, "none"),
        (Self::Add, "add"),
        (Self::Mul, "mul"),
        (Self::Max, "max"),
        (Self::Min, "min"),
    ];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

/// `data` with block `to[i]` combined with block `i` of `updates`, in order. Half-precision sums are rounded once, at the end.
///
/// # Errors
/// When the reduction is not defined for the element type.
pub fn scatter(
    data: &Tensor,
    to: &[usize],
    updates: &Tensor,
    block: usize,
    reduction: Reduction,
) -> Result<Tensor, OpError> {
    if data.is_empty() || updates.is_empty() {
        return Ok(data.clone());
    }
    if reduction == Reduction::Replace {
        return scatter_blocks(data, to, updates, block);
    }
    let undefined = || {
        OpError::eval(format!("scattering with `{}` is not defined for {}", reduction.word(), data.dtype()))
    };
    let wide = match (data.widen()?, updates.widen()?) {
        (Wide::F32(x), Wide::F32(u)) => Wide::F32(merge(x, to, &u, block, float(reduction))),
        (Wide::F64(x), Wide::F64(u)) => Wide::F64(merge(x, to, &u, block, float(reduction))),
        (Wide::I64(x), Wide::I64(u)) => Wide::I64(merge(x, to, &u, block, signed(reduction))),
        (Wide::U64(x), Wide::U64(u)) => Wide::U64(merge(x, to, &u, block, unsigned(reduction))),
        (Wide::C128(x), Wide::C128(u)) => match reduction {
            Reduction::Add => Wide::C128(merge(x, to, &u, block, |a, b| a + b)),
            Reduction::Mul => Wide::C128(merge(x, to, &u, block, |a, b| a * b)),
            _ => return Err(undefined()),
        },
        _ => return Err(undefined()),
    };
    Ok(Tensor::from_wide(data.dtype(), data.shape(), &wide, false)?)
}

fn merge<T: Copy>(mut x: Vec<T>, to: &[usize], updates: &[T], block: usize, f: impl Fn(T, T) -> T) -> Vec<T> {
    for (&at, update) in to.iter().zip(updates.chunks_exact(block.max(1))) {
        for (a, b) in x[at * block..(at + 1) * block].iter_mut().zip(update) {
            *a = f(*a, *b);
        }
    }
    x
}

/// Arithmetic of a floating-point type, as far as scattering needs it.
trait Float: Copy + PartialOrd + std::ops::Add<Output = Self> + std::ops::Mul<Output = Self> {}
impl Float for f32 {}
impl Float for f64 {}

fn float<T: Float>(reduction: Reduction) -> impl Fn(T, T) -> T {
    let nan = |a: T| a.partial_cmp(&a).is_none();
    move |a, b| match reduction {
        Reduction::Add => a + b,
        Reduction::Mul => a * b,
        Reduction::Max if nan(a) || a >= b => a,
        Reduction::Min if nan(a) || a <= b => a,
        _ => b,
    }
}

fn signed(reduction: Reduction) -> impl Fn(i64, i64) -> i64 {
    move |a, b| match reduction {
        Reduction::Add => a.wrapping_add(b),
        Reduction::Mul => a.wrapping_mul(b),
        Reduction::Max => a.max(b),
        Reduction::Min => a.min(b),
        Reduction::Replace => b,
    }
}

fn unsigned(reduction: Reduction) -> impl Fn(u64, u64) -> u64 {
    move |a, b| match reduction {
        Reduction::Add => a.wrapping_add(b),
        Reduction::Mul => a.wrapping_mul(b),
        Reduction::Max => a.max(b),
        Reduction::Min => a.min(b),
        Reduction::Replace => b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dtype::DType;

    fn run(dtype: DType, x: &[f64], u: &[f64], reduction: Reduction) -> Vec<f64> {
        let t = |v: &[f64]| Tensor::from_vec(&[v.len()], v.to_vec()).cast(dtype, false).expect("number");
        let to: Vec<usize> = (0..u.len()).map(|i| i % x.len()).collect();
        scatter(&t(x), &to, &t(u), 1, reduction).expect("defined").to_f64s().expect("numbers")
    }

    #[test]
    fn reductions_per_type() {
        use Reduction::{Add, Max, Min, Mul, Replace};
        for d in [DType::F32, DType::F64, DType::F16, DType::BF16, DType::I32, DType::U8, DType::I4] {
            assert_eq!(run(d, &[1.0, 2.0], &[3.0, 1.0, 2.0], Add), [6.0, 3.0], "{d}");
            assert_eq!(run(d, &[1.0, 2.0], &[3.0, 1.0, 2.0], Mul), [6.0, 2.0], "{d}");
            assert_eq!(run(d, &[1.0, 2.0], &[3.0, 1.0, 2.0], Max), [3.0, 2.0], "{d}");
            assert_eq!(run(d, &[1.0, 2.0], &[3.0, 1.0, 2.0], Min), [1.0, 1.0], "{d}");
            assert_eq!(run(d, &[1.0, 2.0], &[3.0, 1.0, 2.0], Replace), [2.0, 1.0], "{d}");
        }
        assert_eq!(run(DType::U8, &[200.0], &[100.0], Add), [44.0]);
        assert_eq!(run(DType::I8, &[100.0], &[100.0], Add), [-56.0]);
        assert!(run(DType::F32, &[f64::NAN], &[1.0], Max)[0].is_nan());
        assert!(run(DType::F32, &[1.0], &[f64::NAN], Min)[0].is_nan());
        let flags = |v: Vec<bool>| Tensor::from_bools(&[v.len()], v);
        let x = flags(vec![true, false, true]);
        let y = scatter(&x, &[0, 1, 2], &flags(vec![false, true, true]), 1, Mul).expect("defined");
        assert_eq!(y.to_bools().expect("flags"), [false, false, true]);
        let texts = Tensor::from_strings(&[1], vec!["a".to_owned()]);
        assert!(scatter(&texts, &[0], &texts, 1, Add).is_err());
    }

    #[test]
    fn words_stand_at_their_own_position() {
        for (i, (w, text)) in Reduction::WORDS.iter().enumerate() {
            assert_eq!((*w as usize, w.word()), (i, *text));
        }
    }
}
