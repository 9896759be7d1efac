//! Zip archives read in place: stored entries are slices of the file, deflated ones are inflated within limits.
//!
//! Checksums are not compared: PyTorch writes archives whose CRC fields hold no CRC, and never checks them.

use std::io::{Cursor, Read as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::zip::read::{ArchiveOffset, Config, ZipArchive, ZipReadOptions};
use ::zip::{CompressionMethod, result::ZipError as CrateError};
use bytes::Bytes;
use indexmap::IndexMap;
use thiserror::Error;

/// Size up to which an entry may inflate whatever its packed size is.
const FREE_INFLATED: u64 = 64 << 20;

/// Largest accepted ratio of inflated to packed size for entries above [`FREE_INFLATED`].
const MAX_RATIO: u64 = 128;

/// Bytes that all entries together may inflate to, beside [`TOTAL_RATIO`] times the archive's size. Entries that are read again count again.
const FREE_TOTAL: u64 = 256 << 20;
const TOTAL_RATIO: u64 = 16;

/// Fixed part of a local file header, and its signature (APPNOTE.TXT 4.3.7).
const LOCAL_HEADER: usize = 30;
const LOCAL_SIGNATURE: &[u8] = b"PK\x03\x04";

/// Signature of the end record of the directory.
const END_SIGNATURE: &[u8] = b"PK\x05\x06";

/// Why an archive or one of its entries is refused.
#[derive(Debug, Error)]
pub enum ZipError {
    /// The bytes are no zip archive, or its directory is damaged.
    #[error("not a readable zip archive: {0}; the file may be cut off, fetch or export it again")]
    Directory(String),
    /// The archive lists nothing.
    #[error("the zip archive has no entries; export the model again")]
    Empty,
    /// Two entries have one name.
    #[error("the zip archive holds two entries of one name; readers would disagree on which counts")]
    Duplicate,
    /// An entry's header does not agree with the directory.
    #[error("zip entry {name:?}: {what}; the archive is damaged or hostile")]
    Entry {
        /// Name of the entry.
        name: String,
        /// What does not agree.
        what: &'static str,
    },
    /// The archive has no such entry.
    #[error("the archive has no entry {0:?}; it is incomplete or not of this format")]
    Missing(String),
    /// The entry is encrypted.
    #[error("zip entry {0:?} is encrypted; store it without encryption")]
    Encrypted(String),
    /// The compression method is neither stored nor deflated.
    #[error("zip entry {name:?} uses compression {method}; store or deflate it instead")]
    Method {
        /// Name of the entry.
        name: String,
        /// The method as the archive names it.
        method: String,
    },
    /// The entry inflates beyond the limit.
    #[error(
        "zip entry {name:?} inflates {packed} bytes to {size}; more than {limit} is refused as a zip bomb"
    )]
    Bomb {
        /// Name of the entry.
        name: String,
        /// Bytes in the archive.
        packed: u64,
        /// Bytes after inflating, as declared.
        size: u64,
        /// The limit that applies.
        limit: u64,
    },
    /// The entries inflate beyond what one archive may.
    #[error(
        "the archive's entries inflate to more than {0} bytes, which is refused as a zip bomb; store them instead"
    )]
    Total(u64),
    /// The deflate stream is damaged or has another length than declared.
    #[error("zip entry {name:?} cannot be inflated: {what}")]
    Inflate {
        /// Name of the entry.
        name: String,
        /// The decoder's reason.
        what: String,
    },
}

/// Where an entry's bytes are.
#[derive(Debug, Clone)]
pub struct Entry {
    index: usize,
    offset: usize,
    packed: usize,
    size: u64,
    method: CompressionMethod,
    encrypted: bool,
}

impl Entry {
    /// Offset of the entry's (packed) bytes in the archive.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Length of the entry's content, as declared, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether the content is a plain slice of the archive.
    pub fn is_stored(&self) -> bool {
        self.method == CompressionMethod::Stored && !self.encrypted
    }
}

/// An opened archive: its directory, with every entry checked to lie inside the file.
#[derive(Clone)]
pub struct Archive {
    bytes: Bytes,
    reader: ZipArchive<Cursor<Bytes>>,
    entries: IndexMap<String, Entry>,
    /// Bytes inflated so far.
    inflated: Arc<AtomicU64>,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Archive").field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

/// Whether `bytes` begin like a zip archive.
pub fn looks_like_zip(bytes: &[u8]) -> bool {
    bytes.starts_with(LOCAL_SIGNATURE) || bytes.starts_with(END_SIGNATURE)
}

impl Archive {
    /// Reads the directory of the archive in `bytes`.
    ///
    /// # Errors
    /// [`ZipError`] when the directory is damaged, names repeat, an entry's local header disagrees with the
    /// directory, or entries overlap or leave the file.
    pub fn open(bytes: Bytes) -> Result<Self, ZipError> {
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let reader = ZipArchive::with_config(config, Cursor::new(bytes.clone()))
            .map_err(|error| ZipError::Directory(error.to_string()))?;
        check_end_record(&bytes)?;
        if reader.is_empty() {
            return Err(ZipError::Empty);
        }
        if reader.has_duplicate_names() {
            return Err(ZipError::Duplicate);
        }
        let mut entries = IndexMap::with_capacity(reader.len());
        let mut ranges = Vec::with_capacity(reader.len());
        for index in 0..reader.len() {
            let (name, entry, start) = locate(&reader, &bytes, index)?;
            ranges.push((start, entry.offset + entry.packed, index));
            if entries.insert(name, entry).is_some() {
                return Err(ZipError::Duplicate);
            }
        }
        check_overlap(ranges, reader.central_directory_start(), &entries)?;
        Ok(Self { bytes, reader, entries, inflated: Arc::default() })
    }

    /// Names of all entries, in the order of the directory.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The entry called `name`.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Whether an entry called `name` exists.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// Content of the entry called `name`: a slice of the archive when stored, a new buffer when deflated.
    ///
    /// # Errors
    /// [`ZipError`] when the entry is missing, encrypted, packed by another method, damaged, or a zip bomb.
    pub fn read(&self, name: &str) -> Result<Bytes, ZipError> {
        let entry = self.entries.get(name).ok_or_else(|| ZipError::Missing(name.to_owned()))?;
        if entry.encrypted {
            return Err(ZipError::Encrypted(name.to_owned()));
        }
        match entry.method {
            CompressionMethod::Stored => Ok(self.bytes.slice(entry.offset..entry.offset + entry.packed)),
            CompressionMethod::Deflated => self.inflate(name, entry),
            other => Err(ZipError::Method { name: name.to_owned(), method: other.to_string() }),
        }
    }

    fn inflate(&self, name: &str, entry: &Entry) -> Result<Bytes, ZipError> {
        let limit = FREE_INFLATED.max((entry.packed as u64).saturating_mul(MAX_RATIO));
        if entry.size > limit {
            let packed = entry.packed as u64;
            return Err(ZipError::Bomb { name: name.to_owned(), packed, size: entry.size, limit });
        }
        let total = FREE_TOTAL.max((self.bytes.len() as u64).saturating_mul(TOTAL_RATIO));
        if self.inflated.fetch_add(entry.size, Ordering::Relaxed).saturating_add(entry.size) > total {
            return Err(ZipError::Total(total));
        }
        let fail = |what: String| ZipError::Inflate { name: name.to_owned(), what };
        let mut reader = self.reader.clone();
        let options = ZipReadOptions::new().ignore_crc32(true);
        let stream = reader.by_index_with_options(entry.index, options).map_err(|e| fail(e.to_string()))?;
        let mut out = Vec::with_capacity(entry.size as usize);
        stream.take(entry.size.saturating_add(1)).read_to_end(&mut out).map_err(|e| fail(e.to_string()))?;
        if out.len() as u64 != entry.size {
            return Err(fail(format!("the stream does not hold the {} bytes that are declared", entry.size)));
        }
        Ok(Bytes::from(out))
    }
}

/// Checks that the directory lies before its end record (APPNOTE.TXT 4.3.16), which the reader does not.
///
/// A size of all ones stands for a number in the zip64 record.
fn check_end_record(bytes: &[u8]) -> Result<(), ZipError> {
    let Some(at) = bytes.windows(END_SIGNATURE.len()).rposition(|window| window == END_SIGNATURE) else {
        return Err(ZipError::Directory("no end record".to_owned()));
    };
    let field = |from: usize| {
        let field = bytes.get(at + from..at + from + 4)?;
        Some(field.iter().rev().fold(0_u64, |n, &byte| n << 8 | u64::from(byte)))
    };
    let (Some(size), Some(start)) = (field(12), field(16)) else {
        return Err(ZipError::Directory("the end record is cut off".to_owned()));
    };
    let zip64 = u64::from(u32::MAX);
    if size != zip64 && start != zip64 && start + size > at as u64 {
        return Err(ZipError::Directory("the directory reaches past its end record".to_owned()));
    }
    Ok(())
}

/// Reads one directory record and the local header it points to; returns also where that header starts.
fn locate(
    reader: &ZipArchive<Cursor<Bytes>>,
    bytes: &[u8],
    index: usize,
) -> Result<(String, Entry, usize), ZipError> {
    let directory = |error: CrateError| ZipError::Directory(error.to_string());
    let record = reader.by_index_data(index).map_err(directory)?;
    let name = record.name().map_err(directory)?.into_owned();
    let fail = |what| ZipError::Entry { name: name.clone(), what };
    let start =
        usize::try_from(record.header_start()).map_err(|_| fail("starts past the end of the file"))?;
    let header = start
        .checked_add(LOCAL_HEADER)
        .and_then(|end| bytes.get(start..end))
        .ok_or_else(|| fail("starts past the end of the file"))?;
    if !header.starts_with(LOCAL_SIGNATURE) {
        return Err(fail("has no local header where the directory says"));
    }
    let u16_at = |at: usize| header.get(at..at + 2).map_or(0, |b| usize::from(b[0]) | usize::from(b[1]) << 8);
    let name_end = start + LOCAL_HEADER + u16_at(26);
    if bytes.get(start + LOCAL_HEADER..name_end) != Some(record.name_raw()) {
        return Err(fail("has another name in its local header than in the directory"));
    }
    let offset = name_end + u16_at(28);
    let packed = usize::try_from(record.compressed_size())
        .ok()
        .filter(|&n| offset.checked_add(n).is_some_and(|end| end <= bytes.len()))
        .ok_or_else(|| fail("reaches past the end of the file"))?;
    let method = record.compression();
    if method == CompressionMethod::Stored && !record.encrypted() && record.size() != packed as u64 {
        return Err(fail("is stored, yet its two sizes differ"));
    }
    let entry = Entry { index, offset, packed, size: record.size(), method, encrypted: record.encrypted() };
    Ok((name, entry, start))
}

fn check_overlap(
    mut ranges: Vec<(usize, usize, usize)>,
    directory: u64,
    entries: &IndexMap<String, Entry>,
) -> Result<(), ZipError> {
    ranges.sort_unstable();
    let mut ends = ranges.iter().skip(1).map(|&(start, ..)| start as u64).chain([directory]);
    for &(_, end, index) in &ranges {
        if ends.next().is_some_and(|next| end as u64 > next) {
            let name = entries.get_index(index).map(|(name, _)| name.clone()).unwrap_or_default();
            return Err(ZipError::Entry { name, what: "overlaps what follows it" });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ::zip::write::{SimpleFileOptions, ZipWriter};
    use std::io::Write as _;

    /// An archive of `entries`, all stored or all deflated.
    pub(crate) fn build(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, data) in entries {
            let options = SimpleFileOptions::default().compression_method(method);
            writer.start_file(*name, options).unwrap();
            writer.write_all(data).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn stored_entries_are_slices_of_the_file() {
        let bytes = Bytes::from(build(&[("a", b"hello"), ("b/c", b"")], CompressionMethod::Stored));
        let archive = Archive::open(bytes.clone()).unwrap();
        let a = archive.read("a").unwrap();
        assert_eq!(a.as_ref(), b"hello");
        assert_eq!(a.as_ptr() as usize - bytes.as_ptr() as usize, archive.entry("a").unwrap().offset());
        assert_eq!(archive.read("b/c").unwrap().len(), 0);
        assert_eq!(archive.names().collect::<Vec<_>>(), ["a", "b/c"]);
        assert!(matches!(archive.read("x"), Err(ZipError::Missing(_))));
    }

    #[test]
    fn deflated_entries_are_inflated_and_bombs_refused() {
        let bytes = Bytes::from(build(&[("a", &[7; 5000])], CompressionMethod::Deflated));
        assert_eq!(Archive::open(bytes).unwrap().read("a").unwrap(), vec![7; 5000]);
        let bomb = vec![0; FREE_INFLATED as usize + 1];
        let bytes = Bytes::from(build(&[("z", &bomb)], CompressionMethod::Deflated));
        assert!(matches!(Archive::open(bytes).unwrap().read("z"), Err(ZipError::Bomb { .. })));
    }

    /// Rewrites the first occurrence of `from`, counted from the end of the file.
    fn patch_last(bytes: &mut [u8], from: &[u8], to: &[u8]) {
        let at = bytes.windows(from.len()).rposition(|w| w == from).unwrap();
        bytes[at..at + to.len()].copy_from_slice(to);
    }

    #[test]
    fn disagreeing_headers_are_refused() {
        let good = build(&[("aa", b"hello"), ("bb", b"world")], CompressionMethod::Stored);
        let mut renamed = good.clone();
        patch_last(&mut renamed, b"aa", b"cc");
        assert!(matches!(Archive::open(renamed.into()), Err(ZipError::Entry { .. })));
        let mut twice = good.clone();
        patch_last(&mut twice, b"bb", b"aa");
        assert!(matches!(Archive::open(twice.into()), Err(ZipError::Duplicate)));
        let mut wide = good.clone();
        let record = wide.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
        (wide[record + 20], wide[record + 24]) = (40, 40);
        assert!(
            matches!(Archive::open(wide.into()), Err(ZipError::Entry { what, .. }) if what.contains("overlaps"))
        );
        let mut long = good.clone();
        let size_at = long.len() - 10;
        long[size_at + 3] = 0x7f;
        assert!(matches!(Archive::open(long.into()), Err(ZipError::Directory(_))));
        for cut in 0..good.len() {
            assert!(Archive::open(Bytes::copy_from_slice(&good[..cut])).is_err(), "{cut}");
        }
    }
}
