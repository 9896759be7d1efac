//! The header of a `.npy` file.

use super::NpyType;

const MAGIC: &[u8] = b"\x93NUMPY";

/// Longest header that is read; `NumPy` itself stops at 10,000 bytes for untrusted files.
const MAX_HEADER: usize = 64 << 10;

/// Bytes at the start of a file that hold the longest header that is read.
pub(super) const MAX_PREFIX: usize = MAGIC.len() + 6 + MAX_HEADER;

/// Most dimensions; `NumPy`'s own limit.
const MAX_RANK: usize = 64;

/// `NumPy` aligns the elements to this many bytes.
const ALIGN: usize = 64;

/// Element type as the file writes it; `swap` when big endian.
#[derive(Clone, Copy)]
pub(super) enum Descr {
    Number { dtype: NpyType, swap: bool },
    Text { chars: usize, swap: bool },
}

pub(super) struct Header {
    pub(super) descr: Descr,
    pub(super) fortran: bool,
    pub(super) shape: Vec<usize>,
    /// Where the elements start.
    pub(super) start: usize,
}

/// Reads the header; the error says what is wrong.
pub(super) fn parse(bytes: &[u8]) -> Result<Header, String> {
    let damaged = || "it is no .npy file, or is cut off".to_owned();
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(damaged)?;
    let (version, rest) = rest.split_at_checked(2).ok_or_else(damaged)?;
    let width = match version.first() {
        Some(1) => 2,
        Some(2 | 3) => 4,
        _ => return Err(format!("version {version:?} of the .npy format is not known")),
    };
    let (len, rest) = rest.split_at_checked(width).ok_or_else(damaged)?;
    let len = len.iter().rev().fold(0_usize, |n, &byte| n << 8 | usize::from(byte));
    if len > MAX_HEADER {
        return Err(format!("its header of {len} bytes is refused"));
    }
    let text = rest.get(..len).and_then(|text| std::str::from_utf8(text).ok()).ok_or_else(damaged)?;
    let descr = descr(value(text, "descr").ok_or_else(damaged)?)?;
    let fortran = match value(text, "fortran_order").ok_or_else(damaged)? {
        rest if rest.starts_with("True") => true,
        rest if rest.starts_with("False") => false,
        _ => return Err(damaged()),
    };
    let shape = shape(value(text, "shape").ok_or_else(damaged)?).ok_or_else(damaged)?;
    Ok(Header { descr, fortran, shape, start: MAGIC.len() + 2 + width + len })
}

/// The text behind `'key':`. Keys and types hold no quotes, so a search finds the key itself.
fn value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let quoted = ['\'', '"'].iter().find_map(|q| text.split_once(&format!("{q}{key}{q}")));
    Some(quoted?.1.trim_start().strip_prefix(':')?.trim_start())
}

fn descr(text: &str) -> Result<Descr, String> {
    let literal = ['\'', '"'].iter().find_map(|&q| text.strip_prefix(q)?.split_once(q));
    let Some((descr, _)) = literal else {
        return Err("it has fields; only plain arrays are read".to_owned());
    };
    let unread =
        || format!("its type {descr:?} is not read; store bool, int, uint, float, complex or str arrays");
    let mut rest = descr.chars();
    let swap = match rest.next() {
        Some('>') => true,
        Some('<' | '|' | '=') => false,
        _ => return Err(unread()),
    };
    let kind = rest.next().ok_or_else(unread)?;
    let size: usize = rest.as_str().parse().map_err(|_| unread())?;
    if kind == 'U' {
        return if size <= 1 << 28 { Ok(Descr::Text { chars: size, swap }) } else { Err(unread()) };
    }
    NpyType::from_row(kind, size).map(|dtype| Descr::Number { dtype, swap }).ok_or_else(unread)
}

fn shape(text: &str) -> Option<Vec<usize>> {
    let (inner, _) = text.strip_prefix('(')?.split_once(')')?;
    let parts = inner.split(',').map(str::trim).filter(|part| !part.is_empty());
    let shape: Vec<usize> =
        parts.map(|part| part.trim_end_matches('L').parse().ok()).collect::<Option<_>>()?;
    (shape.len() <= MAX_RANK).then_some(shape)
}

/// A header of version 1.0, padded so that the elements are aligned; `None` when the shape does not fit one.
pub(super) fn build(descr: &str, shape: &[usize]) -> Option<Vec<u8>> {
    let mut sizes = shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if shape.len() == 1 {
        sizes.push(',');
    }
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
    let fixed = MAGIC.len() + 4;
    let padded = (fixed + text.len() + 1).next_multiple_of(ALIGN);
    text.push_str(&" ".repeat(padded - fixed - text.len() - 1));
    text.push('\n');
    let len = u16::try_from(text.len()).ok().filter(|_| shape.len() <= MAX_RANK)?;
    Some([MAGIC, &[1, 0], &len.to_le_bytes(), text.as_bytes()].concat())
}
