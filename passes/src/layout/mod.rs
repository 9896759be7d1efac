//! Where the channels of data are: the form that the target wants, with the fewest bytes moved.
//!
//! [`legalize_layout`] is the pass. [`rules`] say what an operator makes of operands in another order, [`solve`] chooses by a minimum
//! cut and rewrites. `docs/layout.md` describes the model.
pub mod cancel_transposes;
pub mod legalize_layout;
mod rules;
pub mod solve;
