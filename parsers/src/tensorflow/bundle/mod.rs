//! Checkpoints of TensorFlow: an index `NAME.index` and data in `NAME.data-00000-of-00001` and further ones. Tensors stay in the mapped files; their checksums
//! are verified when they are taken.
pub mod objects;
mod slices;
mod snappy;
mod table;
mod wire;

use super::tensor::{bad, shape};
use crate::source::{SidecarError, Source, resolve_sidecar};
use crate::weights::Weights;
use bytes::Bytes;
use hoist_formats::tensorflow::dtype::of_code;
use hoist_formats::tensorflow::generated::{BundleEntryProto, BundleHeaderProto};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dim::Dim;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::{Tensor, element_count};
use objects::OBJECTS;
use prost::Message as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use wire::{Cursor, masked};

/// Most problems that are listed.
const MAX_LISTED: usize = 50;
/// Most files of data.
const MOST_SHARDS: i32 = 1 << 16;
/// `DT_STRING`.
const STRING: i32 = 7;

/// Whether a file is the index of a checkpoint.
pub fn looks_like_bundle(bytes: &[u8]) -> bool {
    table::looks_like_table(bytes)
}

/// An open checkpoint.
#[derive(Debug)]
pub struct Bundle {
    folder: PathBuf,
    prefix: String,
    shards: Vec<OnceLock<Source>>,
    entries: BTreeMap<Vec<u8>, BundleEntryProto>,
}

impl Bundle {
    /// Opens the checkpoint whose index is `source`.
    ///
    /// # Errors
    /// What is wrong with the index.
    pub fn open(source: &Source) -> Result<Self, Diag> {
        let name = file_name(source.path());
        let damaged = |what: String| Diag::error("E0201", format!("{name}: {what}"));
        let mut table = table::read(source.bytes()).map_err(&damaged)?;
        let header = table.remove(&b""[..]).ok_or_else(|| damaged("it has no header".to_owned()))?;
        let header = BundleHeaderProto::decode(header).map_err(|e| damaged(format!("its header: {e}")))?;
        if header.endianness != 0 {
            return Err(damaged("its numbers are stored highest byte first, which is not read".to_owned()));
        }
        let count = usize::try_from(header.num_shards).ok().filter(|_| header.num_shards <= MOST_SHARDS);
        let count =
            count.ok_or_else(|| damaged(format!("it is said to lie in {} files", header.num_shards)))?;
        let mut entries = BTreeMap::new();
        for (key, value) in table {
            let entry = BundleEntryProto::decode(value)
                .map_err(|e| damaged(format!("entry {:?}: {e}", String::from_utf8_lossy(&key))))?;
            entries.insert(key, entry);
        }
        let prefix = name.strip_suffix(".index").unwrap_or(&name).to_owned();
        let folder = source.path().parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { folder, prefix, shards: vec![OnceLock::new(); count], entries })
    }
    /// Keys of all tensors, and of nothing else, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        let whole = self.entries.keys().filter_map(|k| std::str::from_utf8(k).ok());
        // Parts of tensors begin with a zero byte.
        whole.filter(|k| *k != OBJECTS && !k.starts_with('\0'))
    }
    /// Whether there is a tensor of this key.
    pub fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key.as_bytes())
    }
    /// Element type and sizes of a tensor.
    ///
    /// # Errors
    /// When there is none, or they are malformed.
    pub fn kind(&self, key: &str) -> Result<(DType, Vec<usize>), Diag> {
        let entry = self.entry(key.as_bytes()).ok_or_else(|| self.missing(key))?;
        kind(entry).map_err(|d| self.about(key, d))
    }
    /// A tensor.
    ///
    /// # Errors
    /// When there is none, it does not fit its file, or its checksum is wrong.
    pub fn tensor(&self, key: &str) -> Result<Tensor, Diag> {
        let entry = self.entry(key.as_bytes()).ok_or_else(|| self.missing(key))?;
        let whole = if entry.slices.is_empty() {
            self.whole(entry)
        } else {
            slices::joined(self, key.as_bytes(), entry)
        };
        whole.map_err(|d| self.about(key, d))
    }
    fn entry(&self, key: &[u8]) -> Option<&BundleEntryProto> {
        self.entries.get(key)
    }
    fn missing(&self, key: &str) -> Diag {
        Diag::error("E0202", format!("checkpoint `{}` has no tensor `{key}`", self.prefix))
    }
    fn about(&self, key: &str, d: Diag) -> Diag {
        Diag { message: format!("checkpoint `{}`, tensor `{key}`: {}", self.prefix, d.message), ..d }
    }
    /// The tensor of an entry without slices.
    fn whole(&self, entry: &BundleEntryProto) -> Result<Tensor, Diag> {
        let (dtype, sizes) = kind(entry)?;
        if dtype == DType::String {
            let count = element_count(&sizes).ok_or_else(|| bad("too many elements"))?;
            let text = |b: Bytes| {
                String::from_utf8(b.to_vec())
                    .map_err(|_| bad("a text that is not UTF-8, which ONNX cannot hold"))
            };
            let all = self.texts(entry, count)?.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
            return Ok(Tensor::from_strings(&sizes, all));
        }
        let (source, bytes) = self.bytes(entry)?;
        let span = source.span(&bytes);
        let tensor = Tensor::from_bytes(dtype, &sizes, bytes, span);
        let tensor = tensor.map_err(|e| Diag::error("E0203", e.to_string()))?;
        if let Ok(data) = tensor.bytes()
            && masked(crc32c::crc32c(&data)) != entry.crc32c
        {
            return Err(wrong_sum());
        }
        Ok(tensor)
    }
    /// The file of an entry, and its bytes there.
    fn bytes(&self, entry: &BundleEntryProto) -> Result<(&Source, Bytes), Diag> {
        let outside = |what: String| Diag::error("E0203", what);
        let number = usize::try_from(entry.shard_id).ok();
        let Some((number, cell)) = number.and_then(|n| Some((n, self.shards.get(n)?))) else {
            let m = format!("it is said to lie in file {} of {}", entry.shard_id, self.shards.len());
            return Err(outside(m));
        };
        let source = if let Some(open) = cell.get() {
            open
        } else {
            let open = self.shard(number)?;
            cell.get_or_init(|| open)
        };
        let all = source.bytes();
        let start = usize::try_from(entry.offset).ok();
        let end = start.zip(usize::try_from(entry.size).ok()).and_then(|(s, n)| s.checked_add(n));
        match start.zip(end).filter(|(_, end)| *end <= all.len()) {
            Some((start, end)) => Ok((source, all.slice(start..end))),
            None => Err(outside(format!(
                "its {} bytes at {} lie outside {}, which has {}",
                entry.size,
                entry.offset,
                file_name(source.path()),
                all.len()
            ))),
        }
    }
    fn shard(&self, number: usize) -> Result<Source, Diag> {
        let name = format!("{}.data-{number:05}-of-{:05}", self.prefix, self.shards.len());
        let path = resolve_sidecar(&self.folder, &name).map_err(|e| refused(&e))?;
        Source::open(path).map_err(|e| Diag::error("E0101", e.to_string()))
    }
    /// Elements of a tensor of texts: their lengths, a checksum of these, and the texts one behind the other.
    fn texts(&self, entry: &BundleEntryProto, count: usize) -> Result<Vec<Bytes>, Diag> {
        let damaged = || Diag::error("E0203", "its texts do not fit its bytes");
        let (_, bytes) = self.bytes(entry)?;
        if count > bytes.len() {
            return Err(damaged());
        }
        let mut from = Cursor::new(&bytes);
        let mut lengths = Vec::with_capacity(count);
        let mut sum = 0;
        for _ in 0..count {
            let n = from.varint().ok_or_else(damaged)?;
            sum = match u32::try_from(n) {
                Ok(n) => crc32c::crc32c_append(sum, &n.to_le_bytes()),
                Err(_) => crc32c::crc32c_append(sum, &n.to_le_bytes()),
            };
            lengths.push(usize::try_from(n).map_err(|_| damaged())?);
        }
        let stored = from.take(4).ok_or_else(damaged)?;
        if masked(sum).to_le_bytes() != *stored {
            return Err(wrong_sum());
        }
        sum = crc32c::crc32c_append(sum, stored);
        let mut out = Vec::with_capacity(count);
        for n in lengths {
            let text = from.take(n).ok_or_else(damaged)?;
            sum = crc32c::crc32c_append(sum, text);
            out.push(bytes.slice_ref(text));
        }
        if !from.is_empty() {
            return Err(damaged());
        }
        if masked(sum) != entry.crc32c {
            return Err(wrong_sum());
        }
        Ok(out)
    }
    /// The one element of a tensor of texts, which need not be UTF-8.
    fn blob(&self, key: &str) -> Option<Result<Bytes, Diag>> {
        let entry = self.entry(key.as_bytes()).filter(|e| e.dtype == STRING)?;
        let one = self.texts(entry, 1).map(|mut all| all.pop().unwrap_or_default());
        Some(one.map_err(|d| self.about(key, d)))
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

/// That a file of the checkpoint is not opened.
pub(super) fn refused(e: &SidecarError) -> Diag {
    Diag::error("E0105", e.to_string().replacen("external data", "file", 1))
}

fn wrong_sum() -> Diag {
    Diag::error("E0203", "its checksum is wrong: the file is damaged")
        .hint("fetch or save the checkpoint again")
}

fn kind(entry: &BundleEntryProto) -> Result<(DType, Vec<usize>), Diag> {
    let dtype = of_code(entry.dtype)
        .ok_or_else(|| bad(format!("elements of type number {}, which are not read", entry.dtype)))?;
    let sizes = match &entry.shape {
        None => Some(vec![]),
        Some(s) => shape(s)?.and_then(|dims| {
            dims.iter().map(|d: &Dim| usize::try_from(d.known()?).ok()).collect::<Option<Vec<usize>>>()
        }),
    };
    Ok((dtype, sizes.ok_or_else(|| bad("its sizes are not known"))?))
}

/// Reads a checkpoint as weights. What is no tensor of numbers or texts is left out with a warning.
///
/// # Errors
/// What is wrong with the index or with a tensor.
pub fn weights(source: &Source) -> Result<Weights, Diags> {
    let bundle = Bundle::open(source)?;
    let mut out = Weights { format: "TensorFlow checkpoint", ..Weights::default() };
    let mut diags = Diags::default();
    for key in bundle.entries.keys().filter(|k| !k.starts_with(b"\0")) {
        let Ok(key) = std::str::from_utf8(key) else {
            diags.push(bad(format!("a name that is not UTF-8: {:?}", String::from_utf8_lossy(key))));
            continue;
        };
        if key == OBJECTS {
            continue;
        }
        match bundle.tensor(key) {
            Ok(tensor) => drop(out.tensors.insert(key.to_owned(), tensor)),
            Err(d) if diags.0.len() < MAX_LISTED => diags.push(d),
            Err(_) => {}
        }
    }
    diags.into_result()?;
    Ok(out)
}
