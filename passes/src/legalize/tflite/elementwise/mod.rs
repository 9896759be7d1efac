//! Elementwise operators, reductions, types of elements.
