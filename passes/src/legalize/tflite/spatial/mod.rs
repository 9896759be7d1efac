//! Convolutions, pools, resizing, normalization.
