//! `NumPy`'s `.npy` and `.npz` files: named arrays, read in place and written with fixed bytes.
//!
//! The layout is that of `numpy.lib.format`: a magic number, a version, a Python dict literal with `descr`,
//! `fortran_order` and `shape`, then the elements. Arrays in Fortran order or big-endian order are turned into
//! row-major little-endian ones while reading.

mod header;
mod layout;
mod parts;

use std::io::{Cursor, Read as _, Seek, Write};

use bytes::Bytes;
use thiserror::Error;
use zip::read::{ZipArchive, ZipReadOptions};
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, DateTime};

use header::{Descr, Header};
pub use parts::{ArrayFile, open_npy, open_npz};

/// Size up to which an entry may inflate whatever its packed size is, and the largest ratio above it.
const FREE_INFLATED: u64 = 64 << 20;
const MAX_RATIO: u64 = 128;

/// Most texts without a character that one array may hold.
const MAX_EMPTY_TEXTS: usize = 1 << 20;

/// Element type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant is `NumPy`'s dtype of the same name")]
pub enum NpyType {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float16,
    Float32,
    Float64,
    Complex64,
    Complex128,
}

/// Kind letter and bytes per element, as `descr` writes them.
const TYPES: &[(NpyType, char, usize)] = &[
    (NpyType::Bool, 'b', 1),
    (NpyType::Int8, 'i', 1),
    (NpyType::Int16, 'i', 2),
    (NpyType::Int32, 'i', 4),
    (NpyType::Int64, 'i', 8),
    (NpyType::UInt8, 'u', 1),
    (NpyType::UInt16, 'u', 2),
    (NpyType::UInt32, 'u', 4),
    (NpyType::UInt64, 'u', 8),
    (NpyType::Float16, 'f', 2),
    (NpyType::Float32, 'f', 4),
    (NpyType::Float64, 'f', 8),
    (NpyType::Complex64, 'c', 8),
    (NpyType::Complex128, 'c', 16),
];

impl NpyType {
    fn row(self) -> (char, usize) {
        TYPES.iter().find(|row| row.0 == self).map_or(('b', 1), |row| (row.1, row.2))
    }

    fn from_row(kind: char, size: usize) -> Option<Self> {
        TYPES.iter().find(|row| (row.1, row.2) == (kind, size)).map(|row| row.0)
    }

    /// Bytes per element.
    pub fn size(self) -> usize {
        self.row().1
    }

    /// The type string of little-endian elements, as `<f4`.
    pub fn descr(self) -> String {
        let (kind, size) = self.row();
        format!("{}{kind}{size}", if size == 1 { '|' } else { '<' })
    }

    /// Bytes that are swapped together; complex numbers are two parts.
    fn part(self) -> usize {
        let (kind, size) = self.row();
        if kind == 'c' { size / 2 } else { size }
    }
}

/// Elements of an array in row-major order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArrayData {
    /// Numbers, little endian.
    Numbers(NpyType, Bytes),
    /// Texts.
    Texts(Vec<String>),
}

/// A named array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Its name, without `.npy`.
    pub name: String,
    /// Extents.
    pub shape: Vec<usize>,
    /// Elements, as many as the product of the extents.
    pub data: ArrayData,
}

/// Why arrays cannot be read or written.
#[derive(Debug, Error)]
pub enum NpzError {
    /// The zip archive is damaged.
    #[error("not a readable .npz file: {0}; write it with numpy.savez")]
    Zip(String),
    /// Writing failed.
    #[error("the arrays cannot be written: {0}")]
    Write(String),
    /// An array is damaged or of a type that is not read.
    #[error("array {name:?}: {what}")]
    Array {
        /// Name of the array.
        name: String,
        /// What is wrong and what helps.
        what: String,
    },
}

fn fail(name: &str, what: impl Into<String>) -> NpzError {
    NpzError::Array { name: name.to_owned(), what: what.into() }
}

/// Reads the arrays of a `.npz` file, in the order of the file.
///
/// # Errors
/// [`NpzError`] when the archive or one of its arrays is damaged, holds Python objects, or inflates out of proportion.
pub fn read_npz(bytes: &Bytes) -> Result<Vec<Array>, NpzError> {
    let zip = |error: zip::result::ZipError| NpzError::Zip(error.to_string());
    let mut archive = ZipArchive::new(Cursor::new(bytes.clone())).map_err(zip)?;
    if archive.has_duplicate_names() {
        return Err(NpzError::Zip("two arrays have one name".to_owned()));
    }
    (0..archive.len())
        .map(|index| {
            let options = ZipReadOptions::new();
            let entry = archive.by_index_with_options(index, options).map_err(zip)?;
            let name = entry.name().map_err(zip)?;
            let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
            let data = content(bytes, entry, &name)?;
            read_npy(&name, &data)
        })
        .collect()
}

/// Content of an entry: a slice when stored.
fn content<R: std::io::Read>(
    bytes: &Bytes,
    mut entry: zip::read::ZipFile<'_, R>,
    name: &str,
) -> Result<Bytes, NpzError> {
    let (packed, size) = (entry.compressed_size(), entry.size());
    if entry.compression() == CompressionMethod::Stored {
        let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
        let end = start.zip(usize::try_from(packed).ok()).and_then(|(start, len)| start.checked_add(len));
        return match (start, end) {
            (Some(start), Some(end)) if end <= bytes.len() && packed == size => Ok(bytes.slice(start..end)),
            _ => Err(fail(name, "it reaches past the end of the file; the file is cut off")),
        };
    }
    if size > FREE_INFLATED.max(packed.saturating_mul(MAX_RATIO)) {
        return Err(fail(name, format!("{packed} bytes inflate to {size}, which is refused as a zip bomb")));
    }
    let mut out = Vec::with_capacity(size as usize);
    let read = entry.by_ref().take(size.saturating_add(1)).read_to_end(&mut out);
    read.map_err(|error| fail(name, error.to_string()))?;
    if out.len() as u64 != size {
        return Err(fail(name, "its stream has another length than declared; the file is damaged"));
    }
    Ok(out.into())
}

/// Reads one array; `name` becomes its name.
///
/// # Errors
/// [`NpzError::Array`] when the bytes are no `.npy` file, are too few for the shape, or hold anything but numbers and
/// texts.
pub fn read_npy(name: &str, bytes: &Bytes) -> Result<Array, NpzError> {
    let Header { descr, fortran, shape, start } = header::parse(bytes).map_err(|what| fail(name, what))?;
    let width = match descr {
        Descr::Number { dtype, .. } => dtype.size(),
        Descr::Text { chars, .. } => 4 * chars,
    };
    let count = shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size));
    let count = if shape.contains(&0) { Some(0) } else { count };
    let end = count.and_then(|n| n.checked_mul(width)).and_then(|len| start.checked_add(len));
    let (Some(count), Some(end)) = (count, end.filter(|&end| end <= bytes.len())) else {
        return Err(fail(
            name,
            format!("shape {shape:?} needs more bytes than there are; the file is cut off"),
        ));
    };
    if width == 0 && count > MAX_EMPTY_TEXTS {
        return Err(fail(name, format!("{count} texts without a character; the file is damaged or hostile")));
    }
    let body = bytes.slice(start..end);
    let body = if fortran { layout::to_row_major(&body, &shape, width) } else { body };
    let data = match descr {
        Descr::Number { dtype, swap } => {
            let body = if swap { layout::swap(&body, dtype.part()) } else { body };
            ArrayData::Numbers(dtype, body)
        }
        Descr::Text { chars, swap } => {
            let texts = layout::texts(&body, count, chars, swap);
            ArrayData::Texts(texts.ok_or_else(|| fail(name, "a text has a character that Unicode does not"))?)
        }
    };
    Ok(Array { name: name.to_owned(), shape, data })
}

/// The bytes of `array` as a `.npy` file of version 1.0.
///
/// # Errors
/// [`NpzError::Array`] when the elements are not as many as the shape says.
pub fn write_npy(array: &Array) -> Result<Vec<u8>, NpzError> {
    let count: usize = array.shape.iter().product();
    let (descr, body) = match &array.data {
        ArrayData::Numbers(dtype, bytes) if bytes.len() == count * dtype.size() => {
            (dtype.descr(), bytes.clone())
        }
        ArrayData::Texts(texts) if texts.len() == count => {
            let chars = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0).max(1);
            (format!("<U{chars}"), layout::from_texts(texts, chars))
        }
        _ => return Err(fail(&array.name, format!("its elements do not fill the shape {:?}", array.shape))),
    };
    let mut out =
        header::build(&descr, &array.shape).ok_or_else(|| fail(&array.name, "its rank is too large"))?;
    out.extend_from_slice(&body);
    Ok(out)
}

/// Writes `arrays` as a `.npz` file: stored, in the given order, with a fixed time stamp, so that equal arrays give
/// equal bytes.
///
/// # Errors
/// [`NpzError`] when two names are equal, an array is inconsistent, or writing fails.
pub fn write_npz<W: Write + Seek>(writer: W, arrays: &[Array]) -> Result<W, NpzError> {
    let mut zip = ZipWriter::new(writer);
    for array in arrays {
        let data = write_npy(array)?;
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644)
            .large_file(data.len() as u64 >= u64::from(u32::MAX));
        zip.start_file(format!("{}.npy", array.name), options).map_err(|e| NpzError::Write(e.to_string()))?;
        zip.write_all(&data).map_err(|e| NpzError::Write(e.to_string()))?;
    }
    zip.finish().map_err(|e| NpzError::Write(e.to_string()))
}

#[cfg(test)]
mod tests;
