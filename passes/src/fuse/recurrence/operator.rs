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

/// `$body` with `$o` as the operator in `$op`, whichever it is; `$other` where it is none of them.
macro_rules! each {
    ($op:expr, $o:ident => $body:expr, $other:expr) => {
        match $op {
            Op::Lstm($o) => $body,
            Op::Gru($o) => $body,
            Op::Rnn($o) => $body,
            _ => $other,
        }
    };
}

impl<'a> Parts<'a> {
    /// Those of `op`, when it is one of them.
    pub fn of(op: &'a Op) -> Option<Self> {
        each!(op, o => Some(Parts {
            direction: o.direction,
            layout: o.layout,
            activations: o.activations.as_deref(),
            alpha: &o.activation_alpha,
            beta: &o.activation_beta,
        }), None)
    }
}

/// `op` in another direction.
pub fn with_direction(op: &Op, direction: Direction) -> Op {
    let mut op = op.clone();
    each!(&mut op, o => o.direction = direction, ());
    op
}

/// `op` in both directions, with the functions of one for each.
pub fn with_both(op: &Op) -> Op {
    let mut op = with_direction(op, Direction::Bidirectional);
    each!(&mut op, o => {
        o.activations = o.activations.as_ref().map(|names| [names.as_slice(), names].concat());
        o.activation_alpha = o.activation_alpha.repeat(2);
        o.activation_beta = o.activation_beta.repeat(2);
    }, ());
    op
}
