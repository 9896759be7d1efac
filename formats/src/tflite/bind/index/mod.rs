//! Gathering, scattering, selecting: operators that address elements by computed positions.
mod gather;
mod lift;

use crate::tflite::lift::Lift;
use crate::tflite::lower::Lower;
use crate::tflite::schema::Builtin;

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[
    ("array_feature_extractor", gather::array_feature_extractor),
    ("compress", gather::compress),
    ("gather", gather::gather),
    ("gather_elements", gather::gather_elements),
    ("gather_nd", gather::gather_nd),
    ("non_zero", gather::non_zero),
    ("one_hot", gather::one_hot),
];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = lift::LIFT;
