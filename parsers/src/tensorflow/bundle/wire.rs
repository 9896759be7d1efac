//! Numbers of variable and of fixed width.

/// Reads bytes from the start on.
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }
    pub(super) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (piece, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(piece)
    }
    /// A number of `width` bytes, at most 8, the lowest first.
    pub(super) fn little(&mut self, width: usize) -> Option<u64> {
        let piece = self.take(width)?;
        Some(piece.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    }
    /// A number of 7 bits in each byte, the lowest first.
    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }
    /// A [`varint`](Self::varint) that is the size of something in memory.
    pub(super) fn size(&mut self) -> Option<usize> {
        usize::try_from(self.varint()?).ok()
    }
}

/// The form in which checksums are stored, so that checksums of checksums are none of them.
pub(super) fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}
