//! Activation functions of recurrent cells, by name and with their parameters.
use crate::builder::Builder;
use crate::diag::Diag;
use crate::graph::ValueId;
use crate::op::OpError;
use crate::ops::elementwise::activation as elementwise;
use crate::ops::elementwise::arithmetic::{Add, Mul};
use crate::ops::elementwise::compare::Less;
use crate::ops::elementwise::math;
use crate::ops::elementwise::select::Where;
use crate::ops::elementwise::unary::Tanh;
use crate::ops::linear::compute::Compute;

/// Elementary functions of the types that cells are computed in.
pub(super) trait Curve: Compute {
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// `1 / (1 + e^-x)`.
    fn sigmoid(self) -> Self;
    /// `e^x - 1` for `x <= 0`.
    fn exp_m1(self) -> Self;
    /// `log(1 + e^x)`.
    fn softplus(self) -> Self;
    /// `|x|`.
    fn magnitude(self) -> Self;
}

impl Curve for f32 {
    fn tanh(self) -> Self {
        math::tanh(self)
    }
    fn sigmoid(self) -> Self {
        math::sigmoid(self)
    }
    fn exp_m1(self) -> Self {
        math::exp_m1(self)
    }
    fn softplus(self) -> Self {
        math::softplus(self)
    }
    fn magnitude(self) -> Self {
        self.abs()
    }
}

impl Curve for f64 {
    fn tanh(self) -> Self {
        libm::tanh(self)
    }
    fn sigmoid(self) -> Self {
        let e = libm::exp(-self.abs());
        if self < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
    }
    fn exp_m1(self) -> Self {
        libm::expm1(self)
    }
    fn softplus(self) -> Self {
        let tail = libm::log1p(libm::exp(-self.abs()));
        if self < 0.0 { tail } else { self + tail }
    }
    fn magnitude(self) -> Self {
        self.abs()
    }
}

/// The functions that ONNX lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Relu,
    Tanh,
    Sigmoid,
    Affine,
    LeakyRelu,
    ThresholdedRelu,
    ScaledTanh,
    HardSigmoid,
    Elu,
    Softsign,
    Softplus,
}

/// A parameter a function takes.
#[derive(Clone, Copy)]
enum Parameter {
    /// It has none.
    None,
    /// It must be given: no operator of that name has a default for it.
    Required,
    /// The default of the ONNX operator of that name.
    Default(f32),
}
use Parameter::{Default, None as Absent, Required};

/// `(name, function, alpha, beta)`.
const KINDS: &[(&str, Kind, Parameter, Parameter)] = &[
    ("Relu", Kind::Relu, Absent, Absent),
    ("Tanh", Kind::Tanh, Absent, Absent),
    ("Sigmoid", Kind::Sigmoid, Absent, Absent),
    ("Affine", Kind::Affine, Required, Required),
    ("LeakyRelu", Kind::LeakyRelu, Default(0.01), Absent),
    ("ThresholdedRelu", Kind::ThresholdedRelu, Default(1.0), Absent),
    ("ScaledTanh", Kind::ScaledTanh, Required, Required),
    ("HardSigmoid", Kind::HardSigmoid, Default(0.2), Default(0.5)),
    ("Elu", Kind::Elu, Default(1.0), Absent),
    ("Softsign", Kind::Softsign, Absent, Absent),
    ("Softplus", Kind::Softplus, Absent, Absent),
];

/// An activation function with its parameters.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Activation {
    kind: Kind,
    alpha: f32,
    beta: f32,
}

/// The functions `names`. Those that take a parameter consume `alpha` and `beta` in order, and have its default when the list is used up.
///
/// # Errors
/// For a name that ONNX does not list and a parameter without default that is not given.
pub(super) fn activations(names: &[&str], alpha: &[f32], beta: &[f32]) -> Result<Vec<Activation>, OpError> {
    let (mut alphas, mut betas) = (alpha.iter(), beta.iter());
    let one = |name: &&str| {
        let found = KINDS.iter().find(|k| k.0.eq_ignore_ascii_case(name));
        let Some((_, kind, alpha, beta)) = found else {
            let known: Vec<&str> = KINDS.iter().map(|k| k.0).collect();
            return Err(OpError::attr(format!("`{name}` is no activation function of a recurrent operator"))
                .hint(format!("there are: {}", known.join(", "))));
        };
        let alpha = parameter(name, "activation_alpha", *alpha, &mut alphas)?;
        let beta = parameter(name, "activation_beta", *beta, &mut betas)?;
        Ok(Activation { kind: *kind, alpha, beta })
    };
    names.iter().map(one).collect()
}

fn parameter(
    name: &str,
    attr: &str,
    wanted: Parameter,
    given: &mut std::slice::Iter<'_, f32>,
) -> Result<f32, OpError> {
    match wanted {
        Absent => Ok(0.0),
        Default(v) => Ok(given.next().copied().unwrap_or(v)),
        Required => given.next().copied().ok_or_else(|| {
            OpError::attr(format!("`{name}` needs a value in `{attr}`, which has no default"))
        }),
    }
}

impl Activation {
    /// Replaces each element of `x` by the function's value.
    pub(super) fn apply<T: Curve>(self, x: &mut [T]) {
        let (a, b) = (T::from_f64(f64::from(self.alpha)), T::from_f64(f64::from(self.beta)));
        let (zero, one) = (T::ZERO, T::ONE);
        match self.kind {
            Kind::Relu => each(x, |v| if v < zero { zero } else { v }),
            Kind::Tanh => each(x, T::tanh),
            Kind::Sigmoid => each(x, T::sigmoid),
            Kind::Affine => each(x, |v| a * v + b),
            Kind::LeakyRelu => each(x, |v| if v < zero { a * v } else { v }),
            Kind::ThresholdedRelu => each(x, |v| if v < a { zero } else { v }),
            Kind::ScaledTanh => each(x, |v| a * (b * v).tanh()),
            Kind::HardSigmoid => each(x, |v| {
                let v = a * v + b;
                if v < zero {
                    zero
                } else if v > one {
                    one
                } else {
                    v
                }
            }),
            Kind::Elu => each(x, |v| if v < zero { a * v.exp_m1() } else { v }),
            Kind::Softsign => each(x, |v| v / (one + v.magnitude())),
            Kind::Softplus => each(x, T::softplus),
        }
    }
}

impl Activation {
    /// Adds the function to a graph.
    ///
    /// # Errors
    /// Never for floats.
    pub(super) fn build(self, b: &mut Builder<'_>, v: ValueId) -> Result<ValueId, Diag> {
        let (alpha, beta) = (self.alpha, self.beta);
        match self.kind {
            Kind::Relu => b.relu(elementwise::Relu {}, v),
            Kind::Tanh => b.tanh(Tanh {}, v),
            Kind::Sigmoid => b.sigmoid(elementwise::Sigmoid {}, v),
            Kind::LeakyRelu => b.leaky_relu(elementwise::LeakyRelu { alpha }, v),
            Kind::HardSigmoid => b.hard_sigmoid(elementwise::HardSigmoid { alpha, beta }, v),
            Kind::Elu => b.elu(elementwise::Elu { alpha }, v),
            Kind::Softsign => b.softsign(elementwise::Softsign {}, v),
            Kind::Softplus => b.softplus(elementwise::Softplus {}, v),
            Kind::Affine => {
                let (a, c) = (b.scalar_like(alpha.into(), v)?, b.scalar_like(beta.into(), v)?);
                let scaled = b.mul(Mul {}, a, v)?;
                b.plus(Add {}, scaled, c)
            }
            Kind::ScaledTanh => {
                let (a, c) = (b.scalar_like(alpha.into(), v)?, b.scalar_like(beta.into(), v)?);
                let scaled = b.mul(Mul {}, c, v)?;
                let t = b.tanh(Tanh {}, scaled)?;
                b.mul(Mul {}, a, t)
            }
            Kind::ThresholdedRelu => {
                let (a, zero) = (b.scalar_like(alpha.into(), v)?, b.scalar_like(0.0, v)?);
                let below = b.less(Less {}, v, a)?;
                b.r#where(Where {}, below, zero, v)
            }
        }
    }
}

fn each<T: Copy>(x: &mut [T], f: impl Fn(T) -> T) {
    for v in x {
        *v = f(*v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_consumed_in_order_and_default() {
        let names = ["tanh", "LeakyRelu", "HardSigmoid", "elu"];
        let found = activations(&names, &[0.5, 0.25], &[0.75]).expect("known");
        let parameters: Vec<(f32, f32)> = found.iter().map(|a| (a.alpha, a.beta)).collect();
        assert_eq!(parameters, [(0.0, 0.0), (0.5, 0.0), (0.25, 0.75), (1.0, 0.0)]);
        assert!(activations(&["Swish"], &[], &[]).is_err());
        assert!(activations(&["Affine"], &[1.0], &[]).is_err());
    }

    #[test]
    fn values_of_all_functions() {
        // Values of numpy in double precision.
        let cases: [(&str, [f64; 3]); 11] = [
            ("Relu", [0.0, 0.25, 3.0]),
            ("Tanh", [-0.6043677771171634, 0.24491866240370913, 0.9950547536867305]),
            ("Sigmoid", [0.3318122278318339, 0.5621765008857981, 0.9525741268224334]),
            ("Affine", [-0.1, 0.375, 1.75]),
            ("LeakyRelu", [-0.35, 0.25, 3.0]),
            ("ThresholdedRelu", [0.0, 0.0, 3.0]),
            ("ScaledTanh", [-0.08661757891733005, 0.031209373373756257, 0.31757447619364365]),
            ("HardSigmoid", [0.0, 0.375, 1.0]),
            ("Elu", [-0.25170734810429524, 0.25, 3.0]),
            ("Softsign", [-0.4117647058823529, 0.2, 0.75]),
            ("Softplus", [0.4031860488854579, 0.8259394198788436, 3.048587351573742]),
        ];
        for (name, expected) in cases {
            let f = activations(&[name], &[0.5], &[0.25]).expect("known")[0];
            let (mut single, mut double) = ([-0.7f32, 0.25, 3.0], [-0.7f64, 0.25, 3.0]);
            f.apply(&mut single);
            f.apply(&mut double);
            for i in 0..3 {
                assert!((double[i] - expected[i]).abs() < 1e-14, "{name}: {double:?}");
                assert!((f64::from(single[i]) - expected[i]).abs() < 1e-6, "{name}: {single:?}");
            }
        }
    }
}
