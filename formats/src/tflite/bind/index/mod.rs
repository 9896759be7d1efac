//! Gathering, scattering, selecting: operators that address elements by computed positions.
mod gather;
mod lift;
mod lift_scatter;
mod scatter;
mod select;

use crate::tflite::lift::Lift;
use crate::tflite::lower::Lower;
use crate::tflite::schema::Builtin;

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[
    ("array_feature_extractor", gather::array_feature_extractor),
    ("compress", gather::compress),
    ("eye_like", select::eye_like),
    ("gather", gather::gather),
    ("gather_elements", gather::gather_elements),
    ("gather_nd", gather::gather_nd),
    ("non_max_suppression", select::non_max_suppression),
    ("non_zero", gather::non_zero),
    ("one_hot", gather::one_hot),
    ("scatter_elements", scatter::scatter_elements),
    ("scatter_nd", scatter::scatter_nd),
    ("tensor_scatter", scatter::tensor_scatter),
    ("trilu", select::trilu),
    ("unique", select::unique),
];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = lift::LIFT;
