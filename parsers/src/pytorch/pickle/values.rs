//! Instructions that read a number, a text or bytes from the stream.

use super::machine::{FALSE, Machine, TRUE};
use super::reader::text;
use super::{Object, PickleError};

impl Machine<'_> {
    pub(super) fn integer(&mut self, op: u8) -> Result<(), PickleError> {
        let value = match op {
            b'J' => i64::from(self.reader.uint(4)? as u32 as i32),
            b'K' => self.reader.uint(1)? as i64,
            b'M' => self.reader.uint(2)? as i64,
            b'L' => self.reader.line_number()?,
            b'I' => match self.reader.line()? {
                b"00" => return self.shared(FALSE),
                b"01" => return self.shared(TRUE),
                line => {
                    let digits = text(line, self.at)?.trim();
                    digits.parse().map_err(|_| self.bad("an integer that does not fit 64 bits"))?
                }
            },
            _ => {
                let bytes = self.reader.counted(if op == 0x8a { 1 } else { 4 })?;
                return self.push(long(bytes));
            }
        };
        self.push(Object::Int(value))
    }

    pub(super) fn float(&mut self, op: u8) -> Result<(), PickleError> {
        let value = match op {
            b'G' => f64::from_bits(self.reader.uint(8)?.swap_bytes()),
            _ => self.reader.line_number()?,
        };
        self.push(Object::Float(value))
    }

    pub(super) fn text(&mut self, op: u8) -> Result<(), PickleError> {
        let value = match op {
            b'X' | b'T' => self.reader.counted_text(4)?,
            0x8c | b'U' => self.reader.counted_text(1)?,
            0x8d => self.reader.counted_text(8)?,
            _ => return self.quoted(op),
        };
        self.push(Object::Str(value.into()))
    }

    /// Protocol 0 texts: `V` raw-unicode-escape, `S` a Python literal. Those with escapes are refused.
    fn quoted(&mut self, op: u8) -> Result<(), PickleError> {
        let line = self.reader.line_text()?;
        let inner = match op {
            b'V' => Some(line),
            _ => ['\'', '"'].iter().find_map(|&q| line.strip_prefix(q)?.strip_suffix(q)),
        };
        match inner {
            Some(inner) if !inner.contains('\\') => self.push(Object::Str(inner.into())),
            _ => Err(self.bad("a protocol 0 text with escapes; save with protocol 2 or newer")),
        }
    }

    pub(super) fn bytes(&mut self, op: u8) -> Result<(), PickleError> {
        let width = match op {
            b'C' => 1,
            b'B' => 4,
            _ => 8,
        };
        let bytes = self.reader.counted(width)?;
        self.push(Object::Bytes(bytes.into()))
    }
}

/// An integer in two's complement, little endian, of any length.
fn long(bytes: &[u8]) -> Object {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let fill = if negative { 0xff } else { 0 };
    let (low, high) = bytes.split_at(bytes.len().min(8));
    let mut word = [fill; 8];
    word[..low.len()].copy_from_slice(low);
    let value = i64::from_le_bytes(word);
    if high.iter().all(|&byte| byte == fill) && (high.is_empty() || (value < 0) == negative) {
        Object::Int(value)
    } else {
        Object::BigInt(bytes.into())
    }
}
