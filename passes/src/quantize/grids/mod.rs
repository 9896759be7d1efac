//! Numbers in few bits: what is asked for, scales, weights.
pub mod sharing;
pub mod spec;
pub mod weight_forms;
pub mod weight_packs;
pub mod weight_slots;
pub mod weights;
