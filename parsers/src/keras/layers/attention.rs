//! Attention.
use super::Row;
use crate::keras::config::Layer;
use crate::keras::weights::Part;

pub(super) const TABLE: &[Row] = &[];

/// The products of an attention layer.
pub(super) fn projections(_layer: &Layer) -> Vec<Part<'_>> {
    vec![]
}
