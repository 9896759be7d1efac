//! ONNX: the messages of its files, its element types and versions, and the rows that bind its operators.
//!
//! Strings must be UTF-8 and messages may nest 100 deep; a file that breaks either is a decode error. Fields that the schema does not
//! list are dropped. Decoded from [`bytes::Bytes`], every `bytes` field is a slice of the input, not a copy.

pub mod attention;
pub mod bind;
pub mod dtype;
pub mod experimental;
pub mod kept;
pub mod lift;
pub mod lift_training;
pub mod lower;
pub mod ml;
pub mod old;
pub mod quantized;
pub mod restrict;
pub mod row;
mod signatures;
pub mod vendor;
pub mod versions;

#[rustfmt::skip]
#[expect(missing_docs, reason = "the fields of a wire message say no more than their names")]
#[expect(clippy::pedantic, reason = "written by prost-build")]
pub mod generated;

#[cfg(test)]
mod tests;
