//! Packed operands that are kept because they do not change: weights.

use std::sync::OnceLock;

/// What a packed form was made for: side of the product, panel height, sizes and strides. Weights used in two ways are kept for the first.
pub(crate) type Key = [usize; 7];

/// Packed form of one tensor's elements, made when first needed and as large as they are (rounded up to whole panels).
#[derive(Debug)]
pub struct Packs<T> {
    kept: OnceLock<(Key, Vec<T>)>,
}

impl<T> Default for Packs<T> {
    fn default() -> Self {
        Self { kept: OnceLock::new() }
    }
}

impl<T> Packs<T> {
    /// The form for `key`, made by `pack` if there is none yet; `None` when another one is kept.
    pub(crate) fn get(&self, key: Key, pack: impl FnOnce() -> Vec<T>) -> Option<&[T]> {
        if self.kept.get().is_none() {
            // Not inside `get_or_init`: a thread that waits for it while helping to pack would wait for itself.
            let values = pack();
            let _ = self.kept.set((key, values));
        }
        self.kept.get().filter(|(k, _)| *k == key).map(|(_, values)| values.as_slice())
    }
}

/// Which operand of a product is kept packed.
pub(crate) enum Kept<'a, T> {
    /// None.
    None,
    /// All left operands together; strides of their matrices.
    Left(&'a Packs<T>, (usize, usize)),
    /// The only right operand; strides of its matrix.
    Right(&'a Packs<T>, (usize, usize)),
}
