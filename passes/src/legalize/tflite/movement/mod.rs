//! Shapes, slices, padding, gathering and scattering.
