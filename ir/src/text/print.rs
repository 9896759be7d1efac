//! IR to text.
use crate::tensor::Tensor;

/// A tensor literal.
pub fn tensor_text(t: &Tensor) -> String {
    t.ty().to_string()
}
