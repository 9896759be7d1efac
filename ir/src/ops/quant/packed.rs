//! Bit-packed weights with one scale per block, as ONNX Runtime stores them.
use crate::op::OpError;

/// Value `i` of `bits`-wide values packed into bytes, low bits first. `bits` is 2, 4 or 8.
#[expect(clippy::inline_always, reason = "part of inner loops")]
#[inline(always)]
pub(super) fn value(bytes: &[u8], bits: usize, i: usize) -> u8 {
    let per = 8 / bits;
    (bytes[i / per] >> (i % per * bits)) & (0xff >> (8 - bits))
}

/// Checks a bit width.
pub(super) fn check_bits(bits: i64) -> Result<usize, OpError> {
    match bits {
        2 | 4 | 8 => Ok(bits as usize),
        _ => Err(OpError::attr(format!("bits {bits} must be 2, 4 or 8"))),
    }
}

/// Checks a block size: a power of two, 16 or larger.
pub(super) fn check_block(block: i64) -> Result<usize, OpError> {
    let bad = || OpError::attr(format!("block_size {block} must be a power of 2 and at least 16"));
    usize::try_from(block).ok().filter(|b| *b >= 16 && b.is_power_of_two()).ok_or_else(bad)
}

/// Checks a size attribute.
pub(super) fn check_size(name: &str, size: i64) -> Result<usize, OpError> {
    let bad = || OpError::attr(format!("{name} {size} must be at least 1"));
    usize::try_from(size).ok().filter(|s| *s >= 1).ok_or_else(bad)
}
