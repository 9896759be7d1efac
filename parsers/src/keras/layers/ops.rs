//! Operations of Keras 3 that are no layers, and functions of TensorFlow as layers.
use crate::keras::kx::{Kx, Tv};
use crate::tensorflow::lift::cx::R;

/// Lifts operation `name`.
pub(in crate::keras) fn lift(kx: &mut Kx<'_, '_, '_>, name: &str) -> R<Vec<Tv>> {
    Err(kx.unsupported(format!("operation `{name}`")))
}
