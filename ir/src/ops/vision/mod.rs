//! Operators of the family `vision`: regions, boxes and images.
pub mod affine_grid;
pub mod center_crop_pad;
pub mod col2_im;
pub mod deform_conv;
pub mod image_decoder;
mod jpeg;
pub mod max_roi_pool;
pub mod max_unpool;
pub mod non_max_suppression;
mod pictures;
pub mod roi_align;
