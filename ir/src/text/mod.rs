//! The `.hir` text form. `docs/hir.md` has the grammar.
//!
//! Printing and reading back gives the same text again: values are numbered in order of appearance, and what a reader could not
//! tell from the text (positions in tables, constants that nothing uses, samples and warnings of a model) is not in it.
pub(crate) mod attr;
mod directives;
pub(crate) mod lexer;
pub(crate) mod literal;
mod parse;
pub mod print;
mod seeded;
#[cfg(test)]
mod tests;
mod types;

pub use directives::{Directive, directives, parse_named_value, parse_type, parse_value};
pub use parse::{parse_graph, parse_model};
pub use print::{Constants, PrintOptions, graph_text, model_text, save_model, write_graph, write_model};
pub use seeded::seeded;
