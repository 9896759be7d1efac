//! Activations that fused operators apply to their result.
use crate::attr::Word;
use crate::builder::Builder;
use crate::diag::Diag;
use crate::graph::ValueId;
use crate::ops::elementwise::activation as unary;
use crate::ops::elementwise::clip::Clip;
use crate::ops::elementwise::unary::Tanh;

/// A fused activation, named as ONNX names the operator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Activation {
    /// `celu`.
    Celu,
    /// `clip` to `[alpha, beta]`.
    Clip,
    /// `elu`.
    Elu,
    /// `hard_sigmoid`.
    HardSigmoid,
    /// `hard_swish`.
    HardSwish,
    /// `leaky_relu`.
    LeakyRelu,
    /// `relu`.
    Relu,
    /// `selu`.
    Selu,
    /// `sigmoid`.
    Sigmoid,
    /// `softplus`.
    Softplus,
    /// `softsign`.
    Softsign,
    /// `tanh`.
    Tanh,
    /// `thresholded_relu`.
    ThresholdedRelu,
}

impl Word for Activation {
    const KIND: &'static str = "activation";
    const WORDS: &'static [(Self, &'static str)] = &[
        (Self::Celu, "Celu"),
        (Self::Clip, "Clip"),
        (Self::Elu, "Elu"),
        (Self::HardSigmoid, "HardSigmoid"),
        (Self::HardSwish, "HardSwish"),
        (Self::LeakyRelu, "LeakyRelu"),
        (Self::Relu, "Relu"),
        (Self::Selu, "Selu"),
        (Self::Sigmoid, "Sigmoid"),
        (Self::Softplus, "Softplus"),
        (Self::Softsign, "Softsign"),
        (Self::Tanh, "Tanh"),
        (Self::ThresholdedRelu, "ThresholdedRelu"),
    ];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

/// Parameters of an activation, as far as given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params {
    /// `alpha`, the only or the lower one.
    pub alpha: Option<f32>,
    /// `beta`, or the upper one.
    pub beta: Option<f32>,
    /// `gamma`.
    pub gamma: Option<f32>,
}

impl Activation {
    fn needed(self, what: &str, value: Option<f32>) -> Result<f32, Diag> {
        let missing =
            || Diag::error("E0304", format!("the activation {} needs the parameter `{what}`", self.word()));
        value.ok_or_else(missing)
    }

    /// Adds the activation of `x`.
    ///
    /// # Errors
    /// When a parameter is missing.
    pub fn add(self, b: &mut Builder<'_>, x: ValueId, p: Params) -> Result<ValueId, Diag> {
        let alpha = || self.needed("alpha", p.alpha);
        let beta = || self.needed("beta", p.beta);
        match self {
            Self::Celu => b.celu(unary::Celu { alpha: alpha()? }, x),
            Self::Clip => {
                let (low, high) = (alpha()?, beta()?);
                let low = b.scalar_like(f64::from(low), x)?;
                let high = b.scalar_like(f64::from(high), x)?;
                b.clip(Clip {}, x, Some(low), Some(high))
            }
            Self::Elu => b.elu(unary::Elu { alpha: alpha()? }, x),
            Self::HardSigmoid => b.hard_sigmoid(unary::HardSigmoid { alpha: alpha()?, beta: beta()? }, x),
            Self::HardSwish => b.hard_swish(unary::HardSwish {}, x),
            Self::LeakyRelu => b.leaky_relu(unary::LeakyRelu { alpha: alpha()? }, x),
            Self::Relu => b.relu(unary::Relu {}, x),
            Self::Selu => {
                let gamma = self.needed("gamma", p.gamma)?;
                b.selu(unary::Selu { alpha: alpha()?, gamma }, x)
            }
            Self::Sigmoid => b.sigmoid(unary::Sigmoid {}, x),
            Self::Softplus => b.softplus(unary::Softplus {}, x),
            Self::Softsign => b.softsign(unary::Softsign {}, x),
            Self::Tanh => b.tanh(Tanh {}, x),
            Self::ThresholdedRelu => b.thresholded_relu(unary::ThresholdedRelu { alpha: alpha()? }, x),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_at_their_own_position() {
        for (i, (w, text)) in Activation::WORDS.iter().enumerate() {
            assert_eq!((*w as usize, w.word()), (i, *text));
        }
    }
}
