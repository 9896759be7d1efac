//! HDF5 files: attributes and arrays by path. Sizes are compared with the file before anything is read.
use crate::tensorflow::bad;
use bytes::Bytes;
use hdf5_reader::group::Group;
use hdf5_reader::messages::HdfMessage;
use hdf5_reader::messages::layout::DataLayout;
use hdf5_reader::{Attribute, ByteOrder, Dataset, Datatype, Hdf5File, OpenOptions};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::{Tensor, byte_count};

/// Bytes that a compressed array may unfold to whatever the size of the file.
const FREE_BYTES: u64 = 64 << 20;
/// Largest ratio of an unfolded array to the file, above [`FREE_BYTES`].
const MOST_RATIO: u64 = 128;
/// Most texts of one attribute.
const MOST_TEXTS: u64 = 1 << 20;
/// Deepest path of groups.
const MOST_DEPTH: usize = 64;

/// An open file.
pub(super) struct Hdf5 {
    bytes: Bytes,
    file: Hdf5File,
}

impl Hdf5 {
    /// Opens the file in `bytes`.
    ///
    /// # Errors
    /// When it is no readable HDF5.
    pub fn open(bytes: Bytes) -> Result<Self, Diag> {
        check_superblock(&bytes)?;
        let most = FREE_BYTES.max((bytes.len() as u64).saturating_mul(MOST_RATIO));
        let options = OpenOptions::default()
            .with_max_read_bytes(usize::try_from(most).unwrap_or(usize::MAX))
            .with_chunk_cache_bytes(0);
        let file = Hdf5File::from_owner(bytes.clone(), options)
            .map_err(|e| Diag::error("E0201", format!("this is no readable HDF5 file: {e}")))?;
        Ok(Self { bytes, file })
    }
    /// Where addresses count from.
    fn base(&self) -> usize {
        usize::try_from(self.file.superblock().base_address).unwrap_or(usize::MAX)
    }
    /// The group at `path`.
    ///
    /// # Errors
    /// When there is none.
    pub fn group(&self, path: &str) -> Result<Group, Diag> {
        let wrong = |e: hdf5_reader::error::Error| bad(format!("group `{path}`: {e}"));
        let mut group = self.file.root_group().map_err(wrong)?;
        for (depth, part) in path.split('/').filter(|p| !p.is_empty()).enumerate() {
            if depth > MOST_DEPTH {
                return Err(bad(format!("groups are more than {MOST_DEPTH} deep")));
            }
            group = group.group(part).map_err(wrong)?;
        }
        Ok(group)
    }
    /// Names of the groups in `group`.
    ///
    /// # Errors
    /// When its links cannot be read.
    pub fn groups(group: &Group) -> Result<Vec<String>, Diag> {
        let found = group.member_names();
        found.map(|(groups, _)| groups).map_err(|e| bad(format!("group `{}`: {e}", group.name())))
    }
    /// The attribute `name` of `group` as a text, when there is such an attribute.
    ///
    /// # Errors
    /// When it is no text.
    pub fn text(&self, group: &Group, name: &str) -> Result<Option<String>, Diag> {
        let Some(found) = attribute(group, name)? else { return Ok(None) };
        let all = self.strings(&found, name)?;
        match <[String; 1]>::try_from(all) {
            Ok([one]) => Ok(Some(one)),
            Err(all) => Err(bad(format!("attribute `{name}` holds {} texts, not one", all.len()))),
        }
    }
    /// The attribute `name` of `group` as a list of texts, which Keras spreads over `name0`, `name1`, ... when it is long.
    ///
    /// # Errors
    /// When there is none, or it is no list of texts.
    pub fn texts(&self, group: &Group, name: &str) -> Result<Vec<String>, Diag> {
        if let Some(found) = attribute(group, name)? {
            return self.strings(&found, name);
        }
        let mut all = vec![];
        let mut part = 0usize;
        while let Some(found) = attribute(group, &format!("{name}{part}"))? {
            all.extend(self.strings(&found, name)?);
            part += 1;
        }
        if part == 0 { Err(bad(format!("attribute `{name}` is missing"))) } else { Ok(all) }
    }
    fn strings(&self, found: &Attribute, name: &str) -> Result<Vec<String>, Diag> {
        let wrong = |e: hdf5_reader::error::Error| bad(format!("attribute `{name}`: {e}"));
        let count = found.num_elements().map_err(wrong)?;
        if count == 0 {
            return Ok(vec![]);
        }
        if count > MOST_TEXTS {
            return Err(bad(format!("attribute `{name}` claims {count} texts")));
        }
        let variable = matches!(&found.datatype, Datatype::VarLen { .. })
            || matches!(&found.datatype, Datatype::String { size, .. } if *size == hdf5_reader::StringSize::Variable);
        let all = match &found.decoded_strings {
            Some(all) => all.clone(),
            None if found.shape.is_empty() => vec![found.read_string().map_err(wrong)?],
            None if variable => {
                let size = self.file.superblock().offset_size;
                found
                    .read_vlen_strings(self.bytes.get(self.base()..).unwrap_or_default(), size)
                    .map_err(wrong)?
            }
            None => found.read_strings().map_err(wrong)?,
        };
        if all.len() as u64 == count {
            Ok(all)
        } else {
            Err(bad(format!("attribute `{name}` claims {count} texts and holds {}", all.len())))
        }
    }
    /// Whether there is an array at `path`.
    pub fn has_array(&self, path: &str) -> bool {
        self.file.dataset(path).is_ok()
    }
    /// The array at `path`. Elements that lie in one piece stay where they are.
    ///
    /// # Errors
    /// When there is none, or its elements are no numbers or do not fit the file.
    pub fn array(&self, path: &str) -> Result<Tensor, Diag> {
        let wrong = |what: &dyn std::fmt::Display| bad(format!("array `{path}`: {what}"));
        let set = self.file.dataset(path).map_err(|e| wrong(&e))?;
        let dtype = element_type(&set).ok_or_else(|| wrong(&format!("elements {:?}", set.dtype())))?;
        let sizes: Option<Vec<usize>> = set.shape().iter().map(|n| usize::try_from(*n).ok()).collect();
        let sizes = sizes.ok_or_else(|| wrong(&"it is too large"))?;
        let size = byte_count(dtype, &sizes).map_err(|e| wrong(&e))?;
        if set.raw_byte_len().map_err(|e| wrong(&e))? != size {
            return Err(wrong(&"its size is not that of its elements"));
        }
        if let Some(found) = self.in_place(&set, size)? {
            return Tensor::from_bytes(dtype, &sizes, found, None).map_err(|e| wrong(&e));
        }
        let most = if set.chunks().is_some() {
            FREE_BYTES.max((self.bytes.len() as u64).saturating_mul(MOST_RATIO))
        } else {
            self.bytes.len() as u64
        };
        if size as u64 > most {
            return Err(wrong(&format!("{size} bytes in a file of {}", self.bytes.len())));
        }
        let found = set.read_native_bytes().map_err(|e| wrong(&e))?;
        Tensor::from_bytes(dtype, &sizes, found.into(), None).map_err(|e| wrong(&e))
    }
    /// The bytes of an array that lies in one piece as it is needed.
    fn in_place(&self, set: &Dataset, size: usize) -> Result<Option<Bytes>, Diag> {
        let plain = match set.dtype() {
            Datatype::FixedPoint { byte_order, size, .. } => {
                *byte_order == ByteOrder::LittleEndian || *size == 1
            }
            Datatype::FloatingPoint { byte_order, .. } => *byte_order == ByteOrder::LittleEndian,
            _ => false,
        };
        if !plain || size == 0 {
            return Ok(None);
        }
        let header = self.file.get_or_parse_header(set.address()).map_err(|e| bad(e.to_string()))?;
        let mut place = None;
        for message in &header.messages {
            match message {
                HdfMessage::DataLayout(layout) => {
                    if let DataLayout::Contiguous { address, size } = layout.layout {
                        place = Some((address, size));
                    }
                }
                HdfMessage::ExternalFiles(_) => {
                    return Err(bad(format!("array `{}` is in another file, which is not read", set.name())));
                }
                _ => {}
            }
        }
        let Some((address, held)) = place.filter(|(_, held)| *held == size as u64) else { return Ok(None) };
        let start = address.checked_add(self.file.superblock().base_address);
        let range =
            start.and_then(|s| Some((usize::try_from(s).ok()?, usize::try_from(s.checked_add(held)?).ok()?)));
        Ok(range.filter(|(_, end)| *end <= self.bytes.len()).map(|(start, end)| self.bytes.slice(start..end)))
    }
}

/// First bytes of an HDF5 file or of what follows a block of the user's.
const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Refuses a file that ends before its content does, or whose addresses count from elsewhere than its head.
///
/// # Errors
/// When there is no head, or it does not fit the file.
fn check_superblock(bytes: &[u8]) -> Result<(), Diag> {
    let damaged = |what: &str| Diag::error("E0201", format!("this is no readable HDF5 file: {what}"));
    let places = std::iter::once(0).chain((9..40).map(|shift| 1usize << shift));
    let starts = |at: &usize| bytes.get(*at..).is_some_and(|rest| rest.starts_with(SIGNATURE));
    let at = places.into_iter().find(starts).ok_or_else(|| damaged("it has no signature"))?;
    let head = &bytes[at..];
    let byte = |i: usize| head.get(i).copied().map(usize::from).ok_or_else(|| damaged("it is cut off"));
    let (width_at, base_at) = match byte(8)? {
        0 => (13, 24),
        1 => (13, 28),
        2 | 3 => (9, 12),
        version => return Err(damaged(&format!("version {version} of its head"))),
    };
    let width = byte(width_at)?;
    if !matches!(width, 2 | 4 | 8) {
        return Err(damaged(&format!("addresses of {width} bytes")));
    }
    let address = |i: usize| {
        let from = base_at + i * width;
        let field = head.get(from..from + width).ok_or_else(|| damaged("it is cut off"))?;
        Ok::<u64, Diag>(field.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
    };
    let (base, end) = (address(0)?, address(2)?);
    if base != 0 && base != at as u64 {
        return Err(damaged(&format!("addresses count from {base}")));
    }
    if end > bytes.len() as u64 {
        return Err(damaged(&format!("it has {} bytes of {end}; it is cut off", bytes.len())));
    }
    Ok(())
}

/// The attribute `name` of `group`, when there is one.
fn attribute(group: &Group, name: &str) -> Result<Option<Attribute>, Diag> {
    let all = group.attributes().map_err(|e| bad(format!("attributes of `{}`: {e}", group.name())))?;
    Ok(all.into_iter().find(|a| a.name == name))
}

fn element_type(set: &Dataset) -> Option<DType> {
    Some(match set.dtype() {
        Datatype::FloatingPoint { size: 2, .. } => DType::F16,
        Datatype::FloatingPoint { size: 4, .. } => DType::F32,
        Datatype::FloatingPoint { size: 8, .. } => DType::F64,
        Datatype::FixedPoint { size, signed, .. } => match (size, signed) {
            (1, true) => DType::I8,
            (1, false) => DType::U8,
            (2, true) => DType::I16,
            (2, false) => DType::U16,
            (4, true) => DType::I32,
            (4, false) => DType::U32,
            (8, true) => DType::I64,
            (8, false) => DType::U64,
            _ => return None,
        },
        Datatype::Enum { base, .. } if matches!(**base, Datatype::FixedPoint { size: 1, .. }) => DType::Bool,
        _ => return None,
    })
}
