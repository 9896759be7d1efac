//! Operators that combine the elements along axes.
pub mod arg;
pub mod axes;
mod cum_prod_expansion;
pub mod cumulative;
pub mod fold;
pub mod log_sum_exp;
pub mod reductions;
pub mod softmax;
pub mod top_k;
