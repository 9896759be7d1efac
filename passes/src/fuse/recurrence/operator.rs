//! What passes ask and change of `lstm`, `gru` and `rnn` alike.
use hoist_ir::ops::Op;
use hoist_ir::ops::recurrent::{Direction, gru::Gru, lstm::Lstm, rnn::Rnn};

/// Their names.
pub const NAMES: &[&str] = &["lstm", "gru", "rnn"];

/// Position of the operand that says how many steps of each sequence count.
pub const LENGTHS: usize = 4;

/// Attributes that all have.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// Order of the steps.
    pub direction: Direction,
    /// 0 where steps come first.
    pub layout: i64,
    /// Names of the functions.
    pub activations: Option<&'a [String]>,
    /// First parameters of the functions.
    pub alpha: &'a [f32],
    /// Second parameters of the functions.
    pub beta: &'a [f32],
}

impl<'a> Parts<'a> {
    /// Those of `op`, when it is one of them.
    pub fn of(op: &'a Op) -> Option<Self> {
        match op {
            Op::Lstm(Lstm { direction, layout, activations, activation_alpha, activation_beta, .. })
            | Op::Gru(Gru { direction, layout, activations, activation_alpha, activation_beta, .. })
            | Op::Rnn(Rnn { direction, layout, activations, activation_alpha, activation_beta, .. }) => {
                Some(Self {
                    direction: *direction,
                    layout: *layout,
                    activations: activations.as_deref(),
                    alpha: activation_alpha,
                    beta: activation_beta,
                })
            }
            _ => None,
        }
    }
}

/// `op` in another direction.
pub fn with_direction(op: &Op, to: Direction) -> Op {
    let mut op = op.clone();
    if let Op::Lstm(Lstm { direction, .. })
    | Op::Gru(Gru { direction, .. })
    | Op::Rnn(Rnn { direction, .. }) = &mut op
    {
        *direction = to;
    }
    op
}

/// `op` in both directions, with the functions of one for each.
pub fn with_both(op: &Op) -> Op {
    let mut op = with_direction(op, Direction::Bidirectional);
    if let Op::Lstm(Lstm { activations, activation_alpha, activation_beta, .. })
    | Op::Gru(Gru { activations, activation_alpha, activation_beta, .. })
    | Op::Rnn(Rnn { activations, activation_alpha, activation_beta, .. }) = &mut op
    {
        *activations = activations.as_ref().map(|names| [names.as_slice(), names].concat());
        *activation_alpha = activation_alpha.repeat(2);
        *activation_beta = activation_beta.repeat(2);
    }
    op
}
