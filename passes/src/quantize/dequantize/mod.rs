//! Parts of `dequantize-model`: operators on integers as those on floats, and floats in the place of integers.
pub(super) mod constants;
pub(super) mod operators;
pub(super) mod products;
pub(super) mod twins;
