//! Operators of the family `text`: on tensors of strings.
pub mod re2;
pub mod regex_full_match;
pub mod string_concat;
pub mod string_normalizer;
pub mod string_split;
pub mod tf_idf_vectorizer;

use crate::op::OpError;

/// Most bytes that the strings of a result may take, with their headers.
const MOST_BYTES: usize = 2 << 30;

/// Refuses a result of that many strings that hold that many bytes together, before it is made.
///
/// # Errors
/// When it would exceed the limit.
fn check_size(strings: Option<usize>, bytes: Option<usize>) -> Result<(), OpError> {
    let headers = strings.and_then(|n| n.checked_mul(size_of::<String>()));
    let total = headers.zip(bytes).and_then(|(h, b)| h.checked_add(b));
    if total.is_some_and(|t| t <= MOST_BYTES) {
        return Ok(());
    }
    Err(OpError::new("E0307", format!("the strings of the result would take more than {MOST_BYTES} bytes")))
}
