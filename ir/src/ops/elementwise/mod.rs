//! Operators that work element by element.
//!
//! Tables of operators lean on `map` (closures per class of element types), `broadcast` (loops) and `typing` (inference).
pub mod activation;
pub mod arithmetic;
pub mod broadcast;
pub mod cast;
pub mod clip;
pub mod compare;
pub mod dropout;
mod expansions;
pub mod identity;
pub mod logic;
pub mod map;
pub mod math;
pub mod p_relu;
pub mod pow;
pub mod predicate;
pub mod select;
pub mod typing;
pub mod unary;
pub mod variadic;
