//! What passes ask and change of `lstm`, `gru` and `rnn` alike.
use hoist_ir::ops::Op;
use hoist_ir::ops::recurrent::Direction;

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
        macro_rules! parts {
            ($o:expr) => {
                Some(Parts {
                    direction: $o.direction,
                    layout: $o.layout,
                    activations: $o.activations.as_deref(),
                    alpha: &$o.activation_alpha,
                    beta: &$o.activation_beta,
                })
            };
        }
        match op {
            Op::Lstm(o) => parts!(o),
            Op::Gru(o) => parts!(o),
            Op::Rnn(o) => parts!(o),
            _ => None,
        }
    }
}

/// `op` in another direction.
pub fn with_direction(op: &Op, direction: Direction) -> Op {
    let mut op = op.clone();
    match &mut op {
        Op::Lstm(o) => o.direction = direction,
        Op::Gru(o) => o.direction = direction,
        Op::Rnn(o) => o.direction = direction,
        _ => {}
    }
    op
}

/// `op` in both directions, with the functions of one for each.
pub fn with_both(op: &Op) -> Op {
    let twice = |names: &Option<Vec<String>>| names.as_ref().map(|n| [n.as_slice(), n].concat());
    let mut op = with_direction(op, Direction::Bidirectional);
    match &mut op {
        Op::Lstm(o) => {
            o.activations = twice(&o.activations);
            (o.activation_alpha, o.activation_beta) =
                (o.activation_alpha.repeat(2), o.activation_beta.repeat(2));
        }
        Op::Gru(o) => {
            o.activations = twice(&o.activations);
            (o.activation_alpha, o.activation_beta) =
                (o.activation_alpha.repeat(2), o.activation_beta.repeat(2));
        }
        Op::Rnn(o) => {
            o.activations = twice(&o.activations);
            (o.activation_alpha, o.activation_beta) =
                (o.activation_alpha.repeat(2), o.activation_beta.repeat(2));
        }
        _ => {}
    }
    op
}
