//! Activation functions of one operand.
use super::expansions;
use super::map::{float_map, number_map};
use super::math;
use super::typing::same;
use crate::attr::Word;
use crate::dtype::{DType, DTypeSet, FLOATS, INTS, SIGNED};

fn sigmoid(x: f64) -> f64 {
    let e = libm::exp(-x.abs());
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

fn softplus(x: f64) -> f64 {
    let tail = libm::log1p(libm::exp(-x.abs()));
    if x < 0.0 { tail } else { x + tail }
}

crate::op! {
    /// `y = max(x, 0)`.
    relu Relu(x: One<T>) -> (y: One<T>) {} where T: FLOATS.or(SIGNED);
    infer = same,
    eval = |_: &Relu, cx| number_map(
        cx,
        |v| if v < 0.0 { 0.0 } else { v },
        |v| if v < 0.0 { 0.0 } else { v },
        |v| v.max(0),
        |v| v,
    ),
    expand = expansions::relu;
}
crate::op! {
    /// `y = x` where `x >= 0`, else `alpha * x`.
    leaky_relu LeakyRelu(x: One<T>) -> (y: One<T>) {
        /// Slope of the negative part.
        alpha: f32 = 0.01,
    } where T: FLOATS;
    infer = same,
    eval = |op: &LeakyRelu, cx| {
        let (a, b) = (op.alpha, f64::from(op.alpha));
        float_map(cx, move |v| if v < 0.0 { a * v } else { v }, |v| if v < 0.0 { b * v } else { v })
    };
}
crate::op! {
    /// `y = x` where `x > 0`, else `alpha * (e^x - 1)`.
    elu Elu(x: One<T>) -> (y: One<T>) {
        /// Scale of the negative part.
        alpha: f32 = 1.0,
    } where T: FLOATS;
    infer = same,
    eval = |op: &Elu, cx| {
        let (a, b) = (op.alpha, f64::from(op.alpha));
        let single = move |v| if v > 0.0 { v } else { a * math::exp_m1(v) };
        float_map(cx, single, |v| if v > 0.0 { v } else { b * libm::expm1(v) })
    };
}
crate::op! {
    /// `y = gamma * x` where `x > 0`, else `gamma * alpha * (e^x - 1)`.
    selu Selu(x: One<T>) -> (y: One<T>) {
        /// Scale of the negative part.
        alpha: f32 = 1.673_263_2,
        /// Scale of everything.
        gamma: f32 = 1.050_701,
    } where T: FLOATS;
    infer = same,
    eval = |op: &Selu, cx| {
        let (a, b) = ((op.alpha, op.gamma), (f64::from(op.alpha), f64::from(op.gamma)));
        let single = move |v| a.1 * if v > 0.0 { v } else { a.0 * math::exp_m1(v) };
        float_map(cx, single, |v| b.1 * if v > 0.0 { v } else { b.0 * libm::expm1(v) })
    };
}
crate::op! {
    /// `y = max(0, x) + min(0, alpha * (e^(x / alpha) - 1))`.
    celu Celu(x: One<T>) -> (y: One<T>) {
        /// Scale of the negative part and of its argument.
        alpha: f32 = 1.0,
    } where T: FLOATS;
    infer = same,
    eval = |op: &Celu, cx| {
        let a = f64::from(op.alpha);
        let double = move |v: f64| {
            let tail = a * libm::expm1(v / a);
            if v.is_nan() { v } else { v.max(0.0) + tail.min(0.0) }
        };
        if op.alpha > 0.0 {
            let a = op.alpha;
            return float_map(cx, move |v| if v > 0.0 { v } else { a * math::exp_m1(v / a) }, double);
        }
        float_map(cx, move |v| double(f64::from(v)) as f32, double)
    },
    expand = expansions::celu;
}
crate::op! {
    /// `y = 1 / (1 + e^-x)`.
    sigmoid Sigmoid(x: One<T>) -> (y: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Sigmoid, cx| float_map(cx, math::sigmoid, sigmoid);
}
crate::op! {
    /// `y = max(0, min(1, alpha * x + beta))`.
    hard_sigmoid HardSigmoid(x: One<T>) -> (y: One<T>) {
        /// Slope.
        alpha: f32 = 0.2,
        /// Value at 0.
        beta: f32 = 0.5,
    } where T: FLOATS;
    infer = same,
    eval = |op: &HardSigmoid, cx| {
        let (a, b) = ((op.alpha, op.beta), (f64::from(op.alpha), f64::from(op.beta)));
        float_map(cx, move |v| (a.0 * v + a.1).clamp(0.0, 1.0), |v| (b.0 * v + b.1).clamp(0.0, 1.0))
    };
}
crate::op! {
    /// `y = x * max(0, min(1, x / 6 + 1 / 2))`.
    hard_swish HardSwish(x: One<T>) -> (y: One<T>) {} where T: FLOATS;
    infer = same,
    eval = |_: &HardSwish, cx| float_map(
        cx,
        |v| v * (v * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0),
        |v| v * (v * (1.0 / 6.0) + 0.5).clamp(0.0, 1.0),
    ),
    expand = expansions::hard_swish;
}
crate::op! {
    /// `y = x * sigmoid(alpha * x)`; with `alpha` 1 also called `silu`.
    swish Swish(x: One<T>) -> (y: One<T>) {
        /// Scale of the sigmoid's argument.
        alpha: f32 = 1.0,
    } where T: FLOATS;
    infer = same,
    eval = |op: &Swish, cx| {
        let (a, b) = (op.alpha, f64::from(op.alpha));
        float_map(cx, move |v| v * math::sigmoid(a * v), |v| v * sigmoid(b * v))
    },
    expand = expansions::swish;
}
crate::op! {
    /// `y = log(1 + e^x)`.
    softplus Softplus(x: One<T>) -> (y: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Softplus, cx| float_map(cx, math::softplus, softplus);
}
crate::op! {
    /// `output = input / (1 + |input|)`.
    softsign Softsign(input: One<T>) -> (output: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Softsign, cx| float_map(cx, move |v| v / (1.0 + v.abs()), |v| v / (1.0 + v.abs()));
}
crate::op! {
    /// `y = x * tanh(log(1 + e^x))`.
    mish Mish(x: One<T>) -> (y: One<T>) {} where T: FLOATS;
    infer = same, eval = |_: &Mish, cx| float_map(cx, math::mish, |v| v * libm::tanh(softplus(v))),
    expand = expansions::mish;
}
crate::op! {
    /// `y = x` where `x > alpha`, else 0.
    thresholded_relu ThresholdedRelu(x: One<T>) -> (y: One<T>) {
        /// Threshold.
        alpha: f32 = 1.0,
    } where T: FLOATS;
    infer = same,
    eval = |op: &ThresholdedRelu, cx| {
        let (a, b) = (op.alpha, f64::from(op.alpha));
        float_map(cx, move |v| if v > a { v } else { 0.0 }, |v| if v > b { v } else { 0.0 })
    };
}
crate::op! {
    /// `output = input + bias` where `input < -lambd`, `input - bias` where `input > lambd`, else 0.
    shrink Shrink(input: One<T>) -> (output: One<T>) {
        /// What is moved towards 0.
        bias: f32 = 0.0,
        /// Threshold.
        lambd: f32 = 0.5,
    } where T: INTS.or(DTypeSet::of(&[DType::F16, DType::F32, DType::F64]));
    infer = same,
    eval = |op: &Shrink, cx| {
        let (bias, lambd) = (f64::from(op.bias), f64::from(op.lambd));
        let double = move |v: f64| if v < -lambd { v + bias } else if v > lambd { v - bias } else { 0.0 };
        let (b, l) = (op.bias, op.lambd);
        let single = move |v: f32| if v < -l { v + b } else if v > l { v - b } else { 0.0 };
        number_map(cx, single, double, |v| double(v as f64) as i64, |v| double(v as f64) as i128 as u64)
    };
}

/// How `gelu` is computed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Approximate {
    /// With the error function.
    #[default]
    None,
    /// With the hyperbolic tangent.
    Tanh,
}

impl Word for Approximate {
    const KIND: &'static str = "gelu_approximation";
    const WORDS: &'static [(Self, &'static str)] = &[(Self::None, "none"), (Self::Tanh, "tanh")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// `y = x / 2 * (1 + erf(x / sqrt(2)))`, or with `approximate=tanh`
    /// `y = x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3)))`.
    gelu Gelu(x: One<T>) -> (y: One<T>) {
        /// Which formula.
        approximate: Approximate = Approximate::None,
    } where T: FLOATS;
    infer = same,
    eval = |op: &Gelu, cx| match op.approximate {
        Approximate::None => {
            float_map(cx, math::gelu, |v| 0.5 * v * libm::erfc(-v * std::f64::consts::FRAC_1_SQRT_2))
        }
        Approximate::Tanh => {
            let scale = 2.0 * (2.0 * std::f64::consts::FRAC_1_PI).sqrt();
            float_map(cx, math::gelu_tanh, |v| v * sigmoid(scale * v * (1.0 + 0.044715 * v * v)))
        }
    },
    expand = expansions::gelu;
}
