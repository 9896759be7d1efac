//! Files of `torch.save`: a pickle and the storages it refers to, in a zip archive or in the older plain layout.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use thiserror::Error;

use super::pickle::{Object, Pickle, PickleError, StorageRef, TensorRef};
use super::tensor::TensorError;
use crate::zip::{Archive, ZipError, looks_like_zip};

/// First pickle of the plain layout: the integer 0x1950a86a20f9469cfc6c, little endian.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Second pickle of the plain layout.
const LEGACY_PROTOCOL: i64 = 1001;

/// Why a checkpoint is refused.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// The bytes are neither layout.
    #[error(
        "neither a PyTorch zip archive nor the older PyTorch layout; check that this is a file of torch.save"
    )]
    NotACheckpoint,
    /// The archive is damaged.
    #[error(transparent)]
    Zip(#[from] ZipError),
    /// The pickle is damaged or refused.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// The archive has no pickle, or several.
    #[error("the archive has {0} entries called data.pkl where one is expected; it is no file of torch.save")]
    DataPkl(usize),
    /// The storages are big endian.
    #[error(
        "the storages are in byte order {0:?}; only little-endian files are read, save it on such a machine"
    )]
    ByteOrder(String),
    /// The plain layout is damaged.
    #[error("the older PyTorch layout is damaged: {0}")]
    Legacy(&'static str),
    /// A storage is missing or shorter than the pickle says.
    #[error("storage {key:?}: {what}; the file is cut off or damaged")]
    Storage {
        /// Key of the storage.
        key: String,
        /// What is wrong.
        what: String,
    },
    /// A tensor does not fit its storage.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// Where storages are.
#[derive(Debug)]
enum Storages {
    /// Entries `<prefix>data/<key>` of an archive.
    Zip { archive: Archive, prefix: String },
    /// Ranges of the file.
    Plain { bytes: Bytes, ranges: HashMap<Box<str>, Range<usize>> },
}

/// An opened checkpoint. Storages are read when asked for.
#[derive(Debug)]
pub struct Checkpoint {
    pickle: Pickle,
    storages: Storages,
}

impl Checkpoint {
    /// Opens a file of `torch.save`.
    ///
    /// # Errors
    /// [`CheckpointError`] when the container or the pickle is damaged. Unlisted names in the pickle are no error
    /// here, see [`Pickle::require_known`].
    pub fn open(bytes: Bytes) -> Result<Self, CheckpointError> {
        if looks_like_zip(&bytes) { Self::open_zip(bytes) } else { Self::open_plain(bytes) }
    }

    fn open_zip(bytes: Bytes) -> Result<Self, CheckpointError> {
        let archive = Archive::open(bytes)?;
        let pickles: Vec<&str> = archive
            .names()
            .filter(|name| {
                name.strip_suffix("data.pkl").is_some_and(|dir| dir.is_empty() || dir.ends_with('/'))
            })
            .collect();
        let [pickle] = pickles[..] else { return Err(CheckpointError::DataPkl(pickles.len())) };
        let prefix = pickle.trim_end_matches("data.pkl").to_owned();
        check_byte_order(&archive, &format!("{prefix}byteorder"))?;
        let pickle = Pickle::parse(&archive.read(pickle)?)?;
        Ok(Self { pickle, storages: Storages::Zip { archive, prefix } })
    }

    /// The plain layout: pickles of a magic number, a protocol number, facts on the system, the object and the keys
    /// of its storages, then for each key the number of elements (8 bytes) and the elements.
    fn open_plain(bytes: Bytes) -> Result<Self, CheckpointError> {
        let mut at = 0;
        let mut next = || {
            let pickle = Pickle::parse(bytes.get(at..).unwrap_or_default())?;
            at += pickle.consumed();
            Ok::<_, CheckpointError>((pickle, at))
        };
        if !has_legacy_magic(&bytes) {
            return Err(CheckpointError::NotACheckpoint);
        }
        next()?;
        let (protocol, _) = next()?;
        if protocol.get(protocol.root()) != &Object::Int(LEGACY_PROTOCOL) {
            return Err(CheckpointError::Legacy("its protocol number is not 1001"));
        }
        let (system, _) = next()?;
        check_little_endian(&system)?;
        let (pickle, _) = next()?;
        let (keys, at) = next()?;
        let ranges = plain_ranges(&bytes, at, &pickle, &keys)?;
        Ok(Self { pickle, storages: Storages::Plain { bytes, ranges } })
    }

    /// Which layout the file has, for people.
    pub fn layout(&self) -> &'static str {
        match self.storages {
            Storages::Zip { .. } => "pytorch checkpoint",
            Storages::Plain { .. } => "pytorch checkpoint (older layout)",
        }
    }

    /// The objects that were saved.
    pub fn pickle(&self) -> &Pickle {
        &self.pickle
    }

    /// All bytes of a storage, without a copy unless the archive is deflated.
    ///
    /// # Errors
    /// [`CheckpointError::Storage`] when it is missing or shorter than the pickle says.
    pub fn storage(&self, storage: &StorageRef) -> Result<Bytes, CheckpointError> {
        let fail = |what: String| CheckpointError::Storage { key: storage.key.to_string(), what };
        let needed = storage.byte_len().ok_or_else(|| fail("its size overflows".to_owned()))?;
        let bytes = match &self.storages {
            Storages::Zip { archive, prefix } => {
                if !is_plain_key(&storage.key) {
                    return Err(fail("the key is not a plain name".to_owned()));
                }
                let name = format!("{prefix}data/{}", storage.key);
                let entry = archive.entry(&name).ok_or_else(|| ZipError::Missing(name.clone()))?;
                if entry.size() < needed {
                    return Err(fail(format!("it needs {needed} bytes and holds {}", entry.size())));
                }
                archive.read(&name)?
            }
            Storages::Plain { bytes, ranges } => {
                let range = ranges.get(&storage.key).ok_or_else(|| fail("it is missing".to_owned()))?;
                bytes.slice(range.clone())
            }
        };
        if (bytes.len() as u64) < needed {
            return Err(fail(format!("it needs {needed} bytes and holds {}", bytes.len())));
        }
        Ok(bytes.slice(..needed as usize))
    }

    /// The elements of a tensor in row-major order, little endian.
    ///
    /// # Errors
    /// [`CheckpointError`] when the storage is missing or the tensor does not fit it.
    pub fn tensor(&self, tensor: &TensorRef) -> Result<Bytes, CheckpointError> {
        Ok(tensor.view.read(&self.storage(&tensor.storage)?)?)
    }
}

/// Refuses an archive whose `byteorder` entry, when there is one, says anything but `little`.
pub(super) fn check_byte_order(archive: &Archive, name: &str) -> Result<(), CheckpointError> {
    if !archive.contains(name) {
        return Ok(());
    }
    match archive.read(name)?.trim_ascii() {
        b"little" => Ok(()),
        other => Err(CheckpointError::ByteOrder(String::from_utf8_lossy(other).chars().take(16).collect())),
    }
}

fn is_plain_key(key: &str) -> bool {
    !key.is_empty() && key != ".." && !key.contains(['/', '\\', '\0'])
}

fn has_legacy_magic(bytes: &[u8]) -> bool {
    // PROTO 2, LONG1 of ten bytes, STOP.
    bytes.starts_with(b"\x80\x02\x8a\x0a") && bytes.get(4..14) == Some(&LEGACY_MAGIC)
}

fn check_little_endian(system: &Pickle) -> Result<(), CheckpointError> {
    let Object::Dict(facts) = system.get(system.root()) else {
        return Err(CheckpointError::Legacy("its facts on the system are no dict"));
    };
    let little = facts.items.iter().find(|(key, _)| system.text(*key) == Some("little_endian"));
    match little.map(|&(_, value)| system.get(value)) {
        Some(Object::Bool(false)) => Err(CheckpointError::ByteOrder("big".to_owned())),
        _ => Ok(()),
    }
}

fn plain_ranges(
    bytes: &[u8],
    mut at: usize,
    pickle: &Pickle,
    keys: &Pickle,
) -> Result<HashMap<Box<str>, Range<usize>>, CheckpointError> {
    let known: HashMap<&str, &Arc<StorageRef>> = pickle.storages().map(|s| (&*s.key, s)).collect();
    let Object::List(list) = keys.get(keys.root()) else {
        return Err(CheckpointError::Legacy("its storage keys are no list"));
    };
    let mut ranges = HashMap::with_capacity(list.len());
    for &id in list {
        let key = keys.text(id).ok_or(CheckpointError::Legacy("a storage key is no text"))?;
        let storage =
            known.get(key).ok_or(CheckpointError::Legacy("it holds a storage that no tensor uses"))?;
        let width = storage.dtype.size() as u64;
        let range = plain_range(bytes, at, width).ok_or_else(|| CheckpointError::Storage {
            key: key.to_owned(),
            what: "the file ends inside it".to_owned(),
        })?;
        at = range.end;
        ranges.insert(key.into(), range);
    }
    Ok(ranges)
}

/// The range of the elements whose number is stored at `at`.
fn plain_range(bytes: &[u8], at: usize, width: u64) -> Option<Range<usize>> {
    let start = at.checked_add(8)?;
    let count = bytes.get(at..start)?.iter().rev().fold(0_u64, |n, &byte| n << 8 | u64::from(byte));
    let len = usize::try_from(count.checked_mul(width)?).ok()?;
    let end = start.checked_add(len)?;
    (end <= bytes.len()).then_some(start..end)
}

/// The tensor that a pickle consists of, if it is one.
pub fn root_tensor(pickle: &Pickle) -> Option<&TensorRef> {
    match pickle.get(pickle.root()) {
        Object::Tensor(tensor) => Some(tensor),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pytorch::sample::Sample;
    use crate::zip::tests::build;
    use ::zip::CompressionMethod;

    /// A dict with the key `w` for a short tensor of three elements, on storage `7` of `count` elements.
    fn pickle(count: u8) -> Vec<u8> {
        let head = b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nShortStorage\n\
X\x01\0\0\x007X\x03\0\0\0cpuK";
        let tail = b"tQK\x01K\x03\x85K\x01\x85\x89ccollections\nOrderedDict\n)RtRs.";
        [&head[..], &[count], &tail[..]].concat()
    }

    const DATA: [u8; 8] = [0, 0, 1, 0, 2, 0, 3, 0];

    fn zipped(order: &[u8], count: u8) -> Bytes {
        let pickle = pickle(count);
        let entries: [(&str, &[u8]); 3] =
            [("m/data.pkl", &pickle), ("m/byteorder", order), ("m/data/7", &DATA)];
        build(&entries, CompressionMethod::Deflated).into()
    }

    fn plain(count: u64, system: &[u8]) -> Bytes {
        let magic = [&b"\x80\x02\x8a\x0a"[..], &LEGACY_MAGIC, b"."].concat();
        let keys = b"\x80\x02]X\x01\0\0\x007a.";
        [&magic[..], b"\x80\x02M\xe9\x03.", system, &pickle(4), keys, &count.to_le_bytes(), &DATA]
            .concat()
            .into()
    }

    const LITTLE: &[u8] = b"\x80\x02}X\x0d\0\0\0little_endian\x88s.";

    fn weight(bytes: Bytes) -> Result<Vec<u8>, CheckpointError> {
        match Sample::read(&Checkpoint::open(bytes)?)? {
            Sample::Dict(items) => match &items[..] {
                [(name, Sample::Tensor(tensor))] if name == "w" => Ok(tensor.data.to_vec()),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn both_layouts_give_the_tensor() {
        assert_eq!(weight(zipped(b"little", 4)).unwrap(), DATA[2..]);
        assert_eq!(weight(plain(4, LITTLE)).unwrap(), DATA[2..]);
    }

    #[test]
    fn short_storages_and_big_endian_files_are_refused() {
        assert!(matches!(weight(zipped(b"little", 5)), Err(CheckpointError::Storage { .. })));
        assert!(matches!(weight(zipped(b"little", 2)), Err(CheckpointError::Tensor(_))));
        assert!(matches!(weight(zipped(b"big", 4)), Err(CheckpointError::ByteOrder(_))));
        for count in [3, 5, u64::MAX] {
            assert!(matches!(weight(plain(count, LITTLE)), Err(CheckpointError::Storage { .. })), "{count}");
        }
        let big = b"\x80\x02}X\x0d\0\0\0little_endian\x89s.";
        assert!(matches!(weight(plain(4, big)), Err(CheckpointError::ByteOrder(_))));
        assert!(matches!(
            Checkpoint::open(Bytes::from_static(b"<html>")),
            Err(CheckpointError::NotACheckpoint)
        ));
    }

    #[test]
    fn shared_lists_do_not_unfold_without_bound() {
        let mut stream = b"\x80\x02]q\0".to_vec();
        for i in 1..100_u8 {
            stream.extend([b']', b'q', i, b'(', b'h', i - 1, b'h', i - 1, b'e']);
        }
        stream.push(b'.');
        let bytes = build(&[("m/data.pkl", &stream)], CompressionMethod::Stored);
        let checkpoint = Checkpoint::open(bytes.into()).unwrap();
        assert!(matches!(Sample::read(&checkpoint), Err(CheckpointError::Pickle(PickleError::Shape(_)))));
    }
}
