//! Operators of the family `spatial`.
pub mod average_pool;
pub mod conv;
pub mod conv_integer;
pub mod conv_transpose;
pub mod depth_space;
pub mod global_pool;
pub mod grid_sample;
pub mod lp_pool;
pub mod max_pool;
mod pooling;
pub mod resize;
mod resize_axis;
mod resize_data;
pub mod resize_words;
pub(crate) mod window;
