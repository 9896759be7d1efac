//! TensorFlow: the messages of its graphs, SavedModels and checkpoints.
//!
//! Strings must be UTF-8 and messages may nest 100 deep; a file that breaks either is a decode error. Decoded from [`bytes::Bytes`], every `bytes` field is a
//! slice of the input, not a copy.

#[rustfmt::skip]
#[expect(missing_docs, reason = "the fields of a wire message say no more than their names")]
pub mod generated;
pub mod dtype;
