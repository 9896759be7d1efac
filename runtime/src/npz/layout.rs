//! Orders of elements, of bytes, and texts of fixed width.

use bytes::Bytes;

/// Elements of `width` bytes stored first-index-fastest, in row-major order. `body` holds exactly the shape.
pub(super) fn to_row_major(body: &Bytes, shape: &[usize], width: usize) -> Bytes {
    if shape.iter().filter(|&&size| size > 1).count() < 2 || body.is_empty() {
        return body.clone();
    }
    let mut strides = Vec::with_capacity(shape.len());
    let mut stride = width;
    for &size in shape {
        strides.push(stride);
        stride *= size;
    }
    let mut out = Vec::with_capacity(body.len());
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    while out.len() < body.len() {
        out.extend_from_slice(&body[at..at + width]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    out.into()
}

/// The bytes with each run of `part` bytes reversed.
pub(super) fn swap(body: &Bytes, part: usize) -> Bytes {
    if part < 2 {
        return body.clone();
    }
    body.chunks(part).flat_map(|run| run.iter().rev().copied()).collect()
}

/// `count` texts of `chars` characters of four bytes, padded with zeros. `None` when a character is not Unicode.
pub(super) fn texts(body: &[u8], count: usize, chars: usize, swapped: bool) -> Option<Vec<String>> {
    if chars == 0 {
        return Some(vec![String::new(); count]);
    }
    let character = |code: &[u8]| {
        let code: [u8; 4] = code.try_into().ok()?;
        char::from_u32(if swapped { u32::from_be_bytes(code) } else { u32::from_le_bytes(code) })
    };
    let text = |run: &[u8]| {
        let full: String = run.chunks(4).map(character).collect::<Option<_>>()?;
        Some(full.trim_end_matches('\0').to_owned())
    };
    body.chunks(4 * chars).map(text).collect()
}

/// The reverse of [`texts`], little endian.
pub(super) fn from_texts(texts: &[String], chars: usize) -> Bytes {
    let mut out = Vec::with_capacity(texts.len() * chars * 4);
    for text in texts {
        let end = out.len() + chars * 4;
        out.extend(text.chars().flat_map(|c| u32::from(c).to_le_bytes()));
        out.resize(end, 0);
    }
    out.into()
}
