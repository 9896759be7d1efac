//! The `.hir` text form.
pub mod print;
