//! What linear and tree models do to their scores at the end.
use crate::attr::Word;

/// Function of the scores of one row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PostTransform {
    /// As they are.
    #[default]
    None,
    /// Softmax.
    Softmax,
    /// The logistic function of each.
    Logistic,
    /// Softmax in which zeros stay zero.
    SoftmaxZero,
    /// The inverse of the normal distribution function of each, approximated.
    Probit,
}

impl Word for PostTransform {
    const KIND: &'static str = "post_transform";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::None, "NONE"),
        (Self::Softmax, "SOFTMAX"),
        (Self::Logistic, "LOGISTIC"),
        (Self::SoftmaxZero, "SOFTMAX_ZERO"),
        (Self::Probit, "PROBIT"),
    ];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

/// `1 / (1 + e^-v)`.
pub fn logistic(v: f32) -> f32 {
    let s = 1.0 / (1.0 + (-v.abs()).exp());
    if v < 0.0 { 1.0 - s } else { s }
}

/// `sqrt(2) * erfinv(2 v - 1)`, with Winitzki's approximation of the inverse error function.
pub fn probit(v: f32) -> f32 {
    let x = 2.0 * v - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let half = 2.0 / (std::f32::consts::PI * 0.147) + 0.5 * log;
    let rest = log / 0.147;
    std::f32::consts::SQRT_2 * sign * (-half + (half * half - rest).sqrt()).sqrt()
}

impl PostTransform {
    /// Applies the function to one row, where a single score stays as it is but for [`PostTransform::Probit`].
    pub fn apply_to_some(self, row: &mut [f32]) {
        if row.len() > 1 || self == Self::Probit {
            self.apply(row);
        }
    }
    /// Applies the function to one row of scores.
    pub fn apply(self, row: &mut [f32]) {
        let largest = row.iter().copied().fold(f32::MIN, f32::max);
        match self {
            Self::Probit => row.iter_mut().for_each(|v| *v = probit(*v)),
            Self::Logistic => row.iter_mut().for_each(|v| *v = logistic(*v)),
            Self::Softmax => {
                divide(row, |v| (v - largest).exp());
            }
            Self::SoftmaxZero => {
                let scale = (-largest).exp();
                let one = |v: f32| if v.abs() > 1e-7 { (v - largest).exp() } else { v * scale };
                divide(row, one);
            }
            Self::None => {}
        }
    }
}

/// Replaces each score by its function, divided by the sum of all.
fn divide(row: &mut [f32], f: impl Fn(f32) -> f32) {
    for v in row.iter_mut() {
        *v = f(*v);
    }
    let sum: f32 = row.iter().sum();
    for v in row {
        *v /= sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_at_their_own_position() {
        for (i, (w, text)) in PostTransform::WORDS.iter().enumerate() {
            assert_eq!((*w as usize, w.word()), (i, *text));
        }
    }
}
