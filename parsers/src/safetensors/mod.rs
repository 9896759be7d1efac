//! safetensors files: named tensors, mapped where they lie.

pub mod arch;

use std::fmt;

use bytes::Bytes;
use hoist_formats::safetensors::{MAX_HEADER, METADATA, dtype_by_name};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::tensor::{FileSpan, Tensor};
use indexmap::IndexMap;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use crate::pytorch::schema::Table;
use crate::source::Source;
use crate::weights::Weights;

/// Most problems that are listed.
const MAX_LISTED: usize = 50;

/// Whether a file begins as a safetensors file does: with the length of a JSON object, then the object.
pub fn looks_like(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    u64::from_le_bytes(*length) <= rest.len() as u64 && rest.starts_with(b"{\"")
}

/// Reads a safetensors file.
///
/// # Errors
/// `E0201` when the header is damaged, `E0203` for each tensor whose type, sizes and range do not fit each other or the file.
pub fn read(source: &Source) -> Result<Weights, Diags> {
    let (header, data) = split(source.bytes()).map_err(|what| Diag::error("E0201", what))?;
    let header: Header = serde_json::from_slice(&header).map_err(|e| {
        Diag::error("E0201", format!("its header: {e}")).hint("the file is damaged: fetch or save it again")
    })?;
    let mut diags = Diags::default();
    let mut weights = Weights { format: "safetensors", facts: header.metadata, ..Weights::default() };
    for (name, info) in header.tensors {
        match tensor(source, &data, &info) {
            Ok(tensor) => drop(weights.tensors.insert(name, tensor)),
            Err(what) if diags.0.len() < MAX_LISTED => {
                diags.push(Diag::error("E0203", format!("tensor `{name}`: {what}")));
            }
            Err(_) => {}
        }
    }
    if let Err(what) = check_ranges(header.ranges, data.len()) {
        diags.push(Diag::error("E0201", what));
    }
    diags.into_result()?;
    Ok(weights)
}

/// The header's text and the data behind it.
fn split(bytes: &Bytes) -> Result<(Bytes, Bytes), String> {
    let Some((length, _)) = bytes.split_first_chunk::<8>() else {
        return Err("it ends inside the length of its header; fetch it again".to_owned());
    };
    let length = u64::from_le_bytes(*length);
    if length > MAX_HEADER {
        return Err(format!("its header is said to take {length} bytes; more than {MAX_HEADER} is refused"));
    }
    let end = 8 + length as usize;
    if end > bytes.len() {
        return Err(format!("its header needs {length} bytes and the file ends before; fetch it again"));
    }
    Ok((bytes.slice(8..end), bytes.slice(end..)))
}

/// Type, sizes and byte range of one tensor.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

#[derive(Debug, Default)]
struct Header {
    metadata: Vec<(String, String)>,
    tensors: IndexMap<String, Info>,
    /// Byte ranges of all tensors.
    ranges: Vec<[u64; 2]>,
}

impl<'de> de::Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let (mut header, mut seen) = (Header::default(), false);
        while let Some(name) = map.next_key::<String>()? {
            let twice = if name == METADATA {
                let texts: Table<String> = map.next_value()?;
                header.metadata = texts.items.into_iter().collect();
                std::mem::replace(&mut seen, true)
            } else {
                let info: Info = map.next_value()?;
                header.ranges.push(info.data_offsets);
                header.tensors.insert(name.clone(), info).is_some()
            };
            if twice {
                return Err(de::Error::custom(format!("{name:?} is there twice")));
            }
        }
        Ok(header)
    }
}

fn tensor(source: &Source, data: &Bytes, info: &Info) -> Result<Tensor, String> {
    let dtype =
        dtype_by_name(&info.dtype).ok_or_else(|| format!("element type {:?} is not known", info.dtype))?;
    let sizes: Option<Vec<usize>> = info.shape.iter().map(|&n| usize::try_from(n).ok()).collect();
    let sizes = sizes.ok_or("its sizes do not fit any memory")?;
    let [start, end] = info.data_offsets;
    if start > end || end > data.len() as u64 {
        return Err(format!(
            "its bytes {start}..{end} lie outside the file's {}; the file is cut off or damaged",
            data.len()
        ));
    }
    let bytes = data.slice(start as usize..end as usize);
    let span = source.span(&bytes);
    Tensor::from_bytes(dtype, &sizes, bytes, span).map_err(|e| e.to_string())
}

/// Tensors cover the data without holes and overlaps.
fn check_ranges(mut ranges: Vec<[u64; 2]>, held: usize) -> Result<(), String> {
    ranges.sort_unstable();
    let mut at = 0;
    for [start, end] in ranges {
        if start != at {
            let what = if start < at { "overlap" } else { "leave a hole" };
            return Err(format!(
                "its tensors {what} at byte {start} of the data; the file is damaged or hostile"
            ));
        }
        at = end.max(start);
    }
    if at == held as u64 {
        Ok(())
    } else {
        Err(format!("its tensors take {at} bytes and the file holds {held}; it is damaged"))
    }
}

impl Source {
    /// Where in the file `bytes` lie, if they are a slice of it.
    pub fn span(&self, bytes: &[u8]) -> Option<FileSpan> {
        let offset = (bytes.as_ptr() as usize).checked_sub(self.bytes().as_ptr() as usize)?;
        let inside = offset.checked_add(bytes.len()).is_some_and(|end| end <= self.bytes().len());
        inside.then(|| FileSpan { file: self.path().into(), offset: offset as u64 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str, data: &[u8]) -> Result<Weights, String> {
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat();
        read(&Source::from_bytes("m.safetensors", bytes.into())).map_err(|d| d.to_string())
    }

    #[test]
    fn tensors_are_slices_of_the_file() {
        let header = r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"I16","shape":[2],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[],"data_offsets":[4,5]}}  "#;
        let weights = parse(header, &[1, 0, 2, 0, 3]).unwrap();
        assert_eq!(weights.tensors.keys().collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(weights.tensors["b"].to_i64s().unwrap(), [1, 2]);
        assert_eq!(weights.tensors["a"].to_i64s().unwrap(), [3]);
        assert_eq!(weights.facts, [("format".to_owned(), "pt".to_owned())]);
        assert_eq!((weights.elements(), weights.bytes()), (3, 5));
        assert!(parse("{}", &[]).unwrap().tensors.is_empty());
    }

    #[test]
    fn headers_that_do_not_fit_the_data_are_refused() {
        let one = |dtype: &str, shape: &str, range: &str| {
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{range}}}}}"#)
        };
        let fails = |header: &str, data: &[u8], word: &str| {
            let error = parse(header, data).unwrap_err();
            assert!(error.contains(word), "{header}: {error}");
        };
        fails(&one("U8", "[5]", "[0,5]"), &[0; 4], "outside");
        fails(&one("U8", "[5]", "[5,0]"), &[0; 5], "outside");
        fails(&one("U8", "[4]", "[0,5]"), &[0; 5], "a");
        fails(&one("U8", "[18446744073709551615,3]", "[0,5]"), &[0; 5], "a");
        fails(&one("U9", "[5]", "[0,5]"), &[0; 5], "not known");
        fails(&one("U8", "[5]", "[0,5]"), &[0; 6], "holds 6");
        fails(&one("U8", "[4]", "[1,5]"), &[0; 5], "hole");
        fails(&one("U8", "[-1]", "[0,5]"), &[0; 5], "header");
        let two = r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#;
        fails(two, &[0; 3], "overlap");
        let twice = r#"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#;
        fails(twice, &[], "twice");
        assert!(read(&Source::from_bytes("m", Bytes::from_static(&[9; 8]))).is_err());
        assert!(read(&Source::from_bytes("m", Bytes::from_static(&[9; 3]))).is_err());
    }
}
