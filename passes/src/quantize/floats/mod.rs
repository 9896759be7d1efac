//! The steps of `convert-floats`: what may change ([`slots`]), what must not ([`reasons`]), where the borders lie ([`regions`]) and the
//! new graph ([`rewrite`]).
pub mod ranges;
pub mod reasons;
pub mod regions;
pub mod rewrite;
pub mod slots;
