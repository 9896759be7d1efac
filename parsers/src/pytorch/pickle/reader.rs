//! A bounds-checked cursor over a pickle stream.

use super::PickleError;

/// Longest decimal text that is read as a number.
const MAX_DIGITS: usize = 64;

/// The stream and the position of the next byte.
pub(super) struct Reader<'a> {
    stream: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(stream: &'a [u8]) -> Self {
        Self { stream, pos: 0 }
    }

    pub(super) fn pos(&self) -> usize {
        self.pos
    }

    pub(super) fn take(&mut self, len: u64) -> Result<&'a [u8], PickleError> {
        let truncated = PickleError::Truncated { at: self.pos };
        let end = usize::try_from(len).ok().and_then(|len| self.pos.checked_add(len));
        match end.and_then(|end| self.stream.get(self.pos..end)) {
            Some(bytes) => {
                self.pos += bytes.len();
                Ok(bytes)
            }
            None => Err(truncated),
        }
    }

    pub(super) fn byte(&mut self) -> Result<u8, PickleError> {
        self.take(1).map(|bytes| bytes.first().copied().unwrap_or_default())
    }

    /// An unsigned little-endian integer of `width` <= 8 bytes.
    pub(super) fn uint(&mut self, width: u64) -> Result<u64, PickleError> {
        Ok(self.take(width)?.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    /// The bytes behind a length of `width` bytes.
    pub(super) fn counted(&mut self, width: u64) -> Result<&'a [u8], PickleError> {
        let len = self.uint(width)?;
        self.take(len)
    }

    /// UTF-8 text behind a length of `width` bytes.
    pub(super) fn counted_text(&mut self, width: u64) -> Result<&'a str, PickleError> {
        let at = self.pos;
        let bytes = self.counted(width)?;
        text(bytes, at)
    }

    /// Checks that `len` bytes follow, without reading them.
    pub(super) fn expect(&self, len: u64) -> Result<(), PickleError> {
        if len <= (self.stream.len() - self.pos) as u64 {
            Ok(())
        } else {
            Err(PickleError::Truncated { at: self.pos })
        }
    }

    /// The bytes up to the next newline, which is skipped.
    pub(super) fn line(&mut self) -> Result<&'a [u8], PickleError> {
        let rest = self.stream.get(self.pos..).unwrap_or_default();
        let len = rest.iter().position(|&byte| byte == b'\n');
        let len = len.ok_or(PickleError::Truncated { at: self.pos })?;
        let line = self.take(len as u64)?;
        self.pos += 1;
        Ok(line)
    }

    pub(super) fn line_text(&mut self) -> Result<&'a str, PickleError> {
        let at = self.pos;
        text(self.line()?, at)
    }

    /// A line that holds a number in decimal.
    pub(super) fn line_number<T: std::str::FromStr>(&mut self) -> Result<T, PickleError> {
        let at = self.pos;
        let line = self.line_text()?;
        let digits = line.strip_suffix('L').unwrap_or(line).trim();
        let parsed = (digits.len() <= MAX_DIGITS).then(|| digits.parse().ok()).flatten();
        parsed.ok_or_else(|| bad(at, "a decimal number that does not fit 64 bits"))
    }
}

pub(super) fn text(bytes: &[u8], at: usize) -> Result<&str, PickleError> {
    std::str::from_utf8(bytes).map_err(|_| bad(at, "a text is not UTF-8"))
}

pub(super) fn bad(at: usize, what: impl Into<String>) -> PickleError {
    PickleError::Bad { at, what: what.into() }
}
