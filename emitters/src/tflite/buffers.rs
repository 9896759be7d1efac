//! Constants of a file: which buffer holds which, and where it lies behind the tables.
use crate::onnx::stream::elements;
use hoist_formats::tflite::schema;
use hoist_formats::tflite::table::{Record, Value};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use std::collections::HashMap;
use std::io::{self, Write};

/// Alignment of constants, as kernels want it.
pub(super) const ALIGNMENT: usize = 16;
/// Constants up to this many bytes are kept as bytes, and equal ones share a buffer.
const SHARED: usize = 1 << 10;
/// Larger constants up to this many bytes are compared with those before of the same length, at most so many.
const COMPARED: usize = 1 << 20;
const MOST_COMPARED: usize = 64;

/// Whether two constants of one length have the same bytes.
fn equal(a: &Tensor, b: &Tensor) -> Result<bool, hoist_ir::tensor::TensorError> {
    // Most that differ do so at once; 64 is a multiple of every element's width.
    let head = a.byte_len().min(64);
    let (mut x, mut y) = ([0; 64], [0; 64]);
    a.read_bytes(0, &mut x[..head])?;
    b.read_bytes(0, &mut y[..head])?;
    Ok(x == y && a.bytes()? == b.bytes()?)
}

enum Content {
    Bytes(Vec<u8>),
    Tensor(Tensor),
}

impl Content {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(b) => b.len(),
            Self::Tensor(t) => t.byte_len(),
        }
    }
}

/// The buffers from number 1 on; number 0 is the empty one.
#[derive(Default)]
pub(super) struct Buffers {
    contents: Vec<Content>,
    small: HashMap<Vec<u8>, usize>,
    /// Numbers of larger ones by their length.
    large: HashMap<usize, Vec<usize>>,
    /// Zeros before each, and whether its length is written before its bytes.
    padding: Vec<usize>,
    inside: bool,
}

impl Buffers {
    /// The number of a buffer with the elements of `t`.
    pub(super) fn add(&mut self, t: &Tensor) -> Result<usize, Diag> {
        let failed = |e: hoist_ir::tensor::TensorError| Diag::error("E0202", e.to_string());
        if t.dtype() == DType::String {
            return Ok(self.add_bytes(packed_strings(t.strings().map_err(failed)?)));
        }
        if t.byte_len() <= SHARED {
            return Ok(self.add_bytes(t.bytes().map_err(failed)?.into_owned()));
        }
        let next = self.contents.len() + 1;
        if t.byte_len() <= COMPARED {
            let before = self.large.entry(t.byte_len()).or_default();
            for n in before.iter().rev().take(MOST_COMPARED) {
                if let Content::Tensor(other) = &self.contents[*n - 1]
                    && equal(t, other).map_err(failed)?
                {
                    return Ok(*n);
                }
            }
            before.push(next);
        }
        self.contents.push(Content::Tensor(t.clone()));
        Ok(next)
    }
    /// The number of a buffer with these bytes.
    pub(super) fn add_bytes(&mut self, bytes: Vec<u8>) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        if let Some(n) = self.small.get(&bytes) {
            return *n;
        }
        self.contents.push(Content::Bytes(bytes.clone()));
        self.small.insert(bytes, self.contents.len());
        self.contents.len()
    }
    /// Tables of the buffers, with places for where they lie: `inside` the flatbuffer, or behind it.
    pub(super) fn records(&self, inside: bool) -> Vec<Record> {
        let empty = Record::new(&schema::BUFFER);
        let one = |c: &Content| {
            let record = Record::new(&schema::BUFFER);
            if inside {
                record.with("data", Value::Int(1))
            } else {
                record.with("offset", Value::Int(i64::MAX)).with("size", c.len())
            }
        };
        std::iter::once(empty).chain(self.contents.iter().map(one)).collect()
    }
    /// Decides where the buffers lie behind `head`, and fills in the `places` that say so. Returns the length of the file.
    pub(super) fn lay_out(
        &mut self,
        head: &mut [u8],
        places: &[Option<usize>],
        inside: bool,
    ) -> Result<usize, Diag> {
        let mut at = head.len();
        self.padding.clear();
        self.inside = inside;
        let prefix = if inside { 4 } else { 0 };
        for (content, place) in self.contents.iter().zip(places.iter().skip(1)) {
            let place = place.ok_or_else(|| Diag::error("E0901", "a buffer has no place in the file"))?;
            let padding = (at + prefix).next_multiple_of(ALIGNMENT) - at - prefix;
            self.padding.push(padding);
            at += padding;
            if inside {
                let distance = (at - place) as u32;
                head[place..place + 4].copy_from_slice(&distance.to_le_bytes());
            } else {
                head[place..place + 8].copy_from_slice(&(at as u64).to_le_bytes());
            }
            at += prefix + content.len();
        }
        Ok(at)
    }
    /// Writes what comes behind the tables.
    pub(super) fn write(&self, sink: &mut dyn Write) -> io::Result<()> {
        for (content, padding) in self.contents.iter().zip(&self.padding) {
            sink.write_all(&vec![0; *padding])?;
            if self.inside {
                sink.write_all(&(content.len() as u32).to_le_bytes())?;
            }
            match content {
                Content::Bytes(b) => sink.write_all(b)?,
                Content::Tensor(t) => elements(sink, t)?,
            }
        }
        Ok(())
    }
}

/// Strings as TFLite stores them: their number, the position of each and of the end, then their bytes.
fn packed_strings(strings: &[String]) -> Vec<u8> {
    let mut at = 4 * (strings.len() + 2);
    let mut out = (strings.len() as i32).to_le_bytes().to_vec();
    for s in strings {
        out.extend((at as i32).to_le_bytes());
        at += s.len();
    }
    out.extend((at as i32).to_le_bytes());
    for s in strings {
        out.extend(s.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(length: usize, last: u8) -> Tensor {
        let mut bytes = vec![1; length];
        *bytes.last_mut().expect("not empty") = last;
        Tensor::from_bytes(DType::U8, &[length], bytes.into(), None).expect("fits")
    }

    #[test]
    fn equal_constants_share_a_buffer_up_to_a_size() {
        let mut buffers = Buffers::default();
        let mut add = |t: Tensor| buffers.add(&t).expect("is added");
        for length in [4, SHARED, SHARED + 1, COMPARED] {
            let first = add(filled(length, 2));
            assert_eq!(add(filled(length, 2)), first, "{length} bytes");
            assert_ne!(add(filled(length, 3)), first, "{length} bytes that differ in the last");
        }
        // Larger ones are the same tensor or are written twice: their bytes may be expensive to get.
        assert_ne!(add(filled(COMPARED + 1, 2)), add(filled(COMPARED + 1, 2)));
    }

    #[test]
    fn elements_count_and_not_how_they_are_kept() {
        let mut buffers = Buffers::default();
        let mut add = |t: Tensor| buffers.add(&t).expect("is added");
        let (rows, columns) = (40, 50);
        let plain: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
        let turned: Vec<f32> = (0..rows * columns).map(|i| (i % rows * columns + i / rows) as f32).collect();
        let lazy = Tensor::from_vec(&[rows, columns], plain).permute(&[1, 0]).expect("permutes");
        assert_eq!(add(lazy), add(Tensor::from_vec(&[columns, rows], turned)));
    }
}
