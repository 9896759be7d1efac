//! What binds builtin operators to the IR's: one file per family, each with `LOWER` (IR operator to builtin operators) and `LIFT` (builtin operator to nodes).
//!
//! A lowering function checks that LiteRT's kernel computes exactly this form (element types, ranks, options) and says what is missing otherwise; the passes of
//! `legalize-tflite` then rewrite the node.
pub mod activation;
pub mod complex;
pub mod control;
pub mod custom;
pub mod elementwise;
pub mod index;
pub mod linear;
pub mod movement;
pub mod quant;
pub mod random;
pub mod recurrent;
pub mod reduce;
pub mod refused;
pub mod spatial;

use super::lift::Lift;
use super::lower::Lower;
use super::schema::Builtin;

const LOWER: &[&[(&str, Lower)]] = &[
    activation::LOWER,
    complex::LOWER,
    control::LOWER,
    elementwise::LOWER,
    elementwise::LOWER_PLAIN,
    index::LOWER,
    linear::LOWER,
    movement::LOWER,
    custom::LOWER,
    quant::LOWER,
    random::LOWER,
    recurrent::LOWER,
    reduce::LOWER,
    spatial::LOWER,
];
const LIFT: &[&[(Builtin, Lift)]] = &[
    activation::LIFT,
    complex::LIFT,
    control::LIFT,
    elementwise::LIFT,
    elementwise::LIFT_PLAIN,
    index::LIFT,
    linear::LIFT,
    movement::LIFT,
    custom::LIFT,
    quant::LIFT,
    random::LIFT,
    recurrent::LIFT,
    reduce::LIFT,
    spatial::LIFT,
];

/// The lowering function of an operator of the IR.
pub fn lowering(op: &str) -> Option<Lower> {
    LOWER.iter().flat_map(|f| f.iter()).find(|r| r.0 == op).map(|r| r.1)
}

/// The lifting function of a builtin operator.
pub fn lifting(builtin: Builtin) -> Option<Lift> {
    LIFT.iter().flat_map(|f| f.iter()).find(|r| r.0 == builtin).map(|r| r.1)
}

/// Names of the operators of the IR that have a lowering function.
pub fn lowered() -> impl Iterator<Item = &'static str> {
    LOWER.iter().flat_map(|f| f.iter()).map(|r| r.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn rows_are_unique_and_name_operators_of_the_ir() {
        let mut seen = BTreeSet::new();
        for name in lowered() {
            assert!(name == "custom" || hoist_ir::ops::Op::by_name(name).is_some(), "{name} is no operator");
            assert!(seen.insert(name), "{name} is lowered twice");
        }
        let mut seen = BTreeSet::new();
        for (b, _) in LIFT.iter().flat_map(|f| f.iter()) {
            assert!(seen.insert(b), "{} is lifted twice", b.name());
        }
    }
}
