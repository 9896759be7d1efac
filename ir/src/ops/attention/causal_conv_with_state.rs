//! `causal_conv_with_state`
use super::rotary_embedding::SINGLE;
use super::steps::Steps;
use crate::attr::Word;
use crate::builder::Builder;
use crate::diag::Diag;
use crate::dim::{Dim, SymInt};
use crate::dtype::DType;
use crate::expand;
use crate::graph::ValueId;
use crate::infer::InferCx;
use crate::op::OpError;
use crate::ops::elementwise::activation::Sigmoid;
use crate::ops::elementwise::arithmetic::Mul;
use crate::ops::elementwise::identity::Identity;
use crate::ops::movement::pad::Pad;
use crate::ops::spatial::conv::Conv;
use crate::types::{Shape, TensorType, Type};

/// What is applied to the result of a causal convolution.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CausalActivation {
    /// Nothing.
    #[default]
    None,
    /// `x * sigmoid(x)`.
    Silu,
    /// Another name of `Silu`.
    Swish,
}

impl Word for CausalActivation {
    const KIND: &'static str = "causal_activation";
    const WORDS: &'static [(Self, &'static str)] =
        &[(Self::None, "none"), (Self::Silu, "silu"), (Self::Swish, "swish")];
    fn word(self) -> &'static str {
        Self::WORDS[self as usize].1
    }
}

crate::op! {
    /// Convolution of each channel of `[B, C, L]` by itself with `weight` `[C, 1, k]`, where a position sees itself and the `k - 1`
    /// before it. Those before the first are `past_state` `[B, C, k - 1]`, or 0; the last ones become `present_state`.
    causal_conv_with_state CausalConvWithState(input: One<T>, weight: One<T>, bias: Opt<T>, past_state: Opt<T>) -> (output: One<T>, present_state: One<T>) {
        /// What is applied to the result, in `f32`.
        activation: CausalActivation = CausalActivation::None,
    } where T: SINGLE;
    infer = |_: &CausalConvWithState, cx: &InferCx<'_>| infer(cx), eval = expand::eval, expand = expand;
}

fn of_rank<'a>(cx: &InferCx<'a>, i: usize, rank: usize) -> Result<Option<&'a Shape>, OpError> {
    if !cx.has(i) {
        return Ok(None);
    }
    match cx.shape(i)? {
        Some(s) if s.len() != rank => {
            Err(OpError::shape(format!("operand {i} has rank {}, not {rank}", s.len())))
        }
        s => Ok(s),
    }
}

/// The size that both describe.
///
/// # Errors
/// When they differ.
pub(crate) fn agreed(a: &Dim, b: &Dim, what: &str) -> Result<Dim, OpError> {
    if a.surely_differs(b) {
        return Err(OpError::shape(format!("{what}: sizes {a} and {b} differ")));
    }
    Ok(if a.known().is_some() || *b == Dim::Unknown { a.clone() } else { b.clone() })
}

fn infer(cx: &InferCx<'_>) -> Result<Vec<Type>, OpError> {
    let dtype = cx.dtype(0)?;
    let open = vec![Dim::Unknown; 3];
    let x = of_rank(cx, 0, 3)?.unwrap_or(&open);
    let w = of_rank(cx, 1, 3)?.unwrap_or(&open);
    let past = of_rank(cx, 3, 3)?.unwrap_or(&open);
    if w[1].surely_differs(&Dim::Known(1)) {
        return Err(OpError::shape(format!(
            "a kernel for each channel has size 1 in the middle, not {}",
            w[1]
        )));
    }
    if w[2].known() == Some(0) {
        return Err(OpError::shape("a kernel of no position"));
    }
    let mut channels = agreed(&x[1], &w[0], "channels of data and kernel")?;
    if let Some(bias) = of_rank(cx, 2, 1)? {
        channels = agreed(&channels, &bias[0], "channels of data and bias")?;
    }
    channels = agreed(&channels, &past[1], "channels of data and state")?;
    let batch = agreed(&x[0], &past[0], "batch of data and state")?;
    let before = w[2].combine(&Dim::Known(1), SymInt::sub);
    let state = agreed(&before, &past[2], "positions before the first and those of the state")?;
    let y = vec![batch.clone(), channels.clone(), x[2].clone()];
    let ty = |s: Shape| Type::from(TensorType::new(dtype, s));
    Ok(vec![ty(y), ty(vec![batch, channels, state])])
}

fn expand(
    op: &CausalConvWithState,
    b: &mut Builder<'_>,
    inputs: &[Option<ValueId>],
    _outputs: usize,
) -> Result<Option<Vec<ValueId>>, Diag> {
    let [Some(x), Some(w), ref rest @ ..] = *inputs else { return Ok(None) };
    let (bias, past) = (rest.first().copied().flatten(), rest.get(1).copied().flatten());
    let mut s = Steps { b };
    let (Some(channels), Some(k)) = (s.known(w, 0), s.known(w, 2)) else { return Ok(None) };
    let before = k - 1;
    let whole = match past {
        _ if before == 0 => x,
        Some(past) => s.concat(&[past, x], 2)?,
        None => {
            let pads = s.b.ints(&[0, 0, before, 0, 0, 0]);
            s.op(Pad::default(), &[x, pads])?
        }
    };
    // A convolution needs one window at least.
    let mut y = if s.known(x, 2) == Some(0) {
        s.op(Identity {}, &[x])?
    } else {
        s.opt(Conv { group: channels, ..Conv::default() }, &[Some(whole), Some(w), bias])?
    };
    if op.activation != CausalActivation::None {
        let dtype = s.dtype(y);
        let wide = s.cast(y, DType::F32)?;
        let gate = s.op(Sigmoid {}, &[wide])?;
        let turned = s.op(Mul {}, &[wide, gate])?;
        y = s.cast(turned, dtype)?;
    }
    let from = if before == 0 { i64::MAX } else { -before };
    let state = s.slice(whole, 2, (from, i64::MAX, 1))?;
    Ok(Some(vec![y, state]))
}
