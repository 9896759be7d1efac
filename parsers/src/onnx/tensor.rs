//! `TensorProto` to tensors, without copying raw and external data.
use super::sparse::MAX_DENSE;
use super::types::MAX_RANK;
use crate::source::{Source, resolve_sidecar};
use bytes::Bytes;
use hoist_formats::onnx::dtype::from_code;
use hoist_formats::onnx::generated::TensorProto;
use hoist_formats::onnx::generated::tensor_proto::DataLocation;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::convert::pack;
use hoist_ir::tensor::{FileSpan, Tensor, element_count};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Loads tensors, keeping each external file mapped once.
pub(super) struct Loader {
    /// The model file itself, so that data inside it can be referred to.
    model: (Arc<Path>, Bytes),
    dirs: Vec<PathBuf>,
    files: BTreeMap<String, (Arc<Path>, Bytes)>,
    /// Bytes that sparse tensors may still take when written out.
    pub(super) dense: usize,
}

fn bad(name: &str, message: impl std::fmt::Display) -> Diag {
    Diag::error("E0203", format!("tensor `{}`: {message}", shorten(name)))
}

/// At most 80 characters of a name, for messages.
pub(super) fn shorten(name: &str) -> String {
    let printable = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    let mut short: String = name.chars().take(80).map(printable).collect();
    if name.chars().nth(80).is_some() {
        short.push_str("...");
    }
    short
}

impl Loader {
    pub(super) fn new(source: &Source, dirs: Vec<PathBuf>) -> Self {
        Self {
            model: (source.path().into(), source.bytes().clone()),
            dirs,
            files: BTreeMap::new(),
            dense: MAX_DENSE,
        }
    }

    /// The tensor of `proto`.
    pub(super) fn read(&mut self, proto: &TensorProto) -> Result<Tensor, Diag> {
        let name = proto.name();
        let code = proto.data_type();
        let dtype = from_code(code).ok_or_else(|| bad(name, format!("element type {code} is unknown")))?;
        let shape = sizes(&proto.dims).map_err(|m| bad(name, m))?;
        let count =
            element_count(&shape).ok_or_else(|| bad(name, format!("shape {shape:?} is too large")))?;
        if proto.segment.is_some() {
            return Err(bad(name, "it is stored in segments, which Hoist does not read"));
        }
        if proto.data_location() == DataLocation::External {
            let (bytes, span) = self.external(proto, dtype, count)?;
            return Tensor::from_bytes(dtype, &shape, bytes, Some(span)).map_err(|e| bad(name, e));
        }
        let fields = fields_used(proto);
        if fields.len() > 1 {
            return Err(bad(name, format!("its data is given twice, in {}", fields.join(" and "))));
        }
        if let Some(raw) = &proto.raw_data
            && (fields == ["raw_data"] || (fields.is_empty() && dtype != DType::String))
        {
            return Tensor::from_bytes(dtype, &shape, raw.clone(), self.span_in_model(raw))
                .map_err(|e| bad(name, e));
        }
        if count == 0 && fields.is_empty() {
            return empty(dtype, &shape).map_err(|e| bad(name, e));
        }
        typed(proto, dtype, &shape, count).map_err(|m| bad(name, m))
    }

    /// Where in the model file `raw` lies, if it is a slice of it.
    fn span_in_model(&self, raw: &Bytes) -> Option<FileSpan> {
        let (file, bytes) = &self.model;
        let offset = (raw.as_ptr() as usize).checked_sub(bytes.as_ptr() as usize)?;
        let inside = offset.checked_add(raw.len()).is_some_and(|end| end <= bytes.len());
        inside.then(|| FileSpan { file: file.clone(), offset: offset as u64 })
    }
    fn external(
        &mut self,
        proto: &TensorProto,
        dtype: DType,
        count: usize,
    ) -> Result<(Bytes, FileSpan), Diag> {
        let name = proto.name();
        let entry =
            |key: &str| proto.external_data.iter().find(|e| e.key() == key).map(|e| e.value().to_owned());
        let refuse = |m: String| {
            Diag::error("E0105", format!("tensor `{}`: {m}", shorten(name)))
                .hint("external data must be a regular file in or below the model's folder")
        };
        let location = entry("location").filter(|l| !l.is_empty());
        let location = location.ok_or_else(|| refuse("its external data has no location".to_owned()))?;
        let (path, file) = self.open(&location).map_err(refuse)?;
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => {
                let bad = |_| refuse(format!("external data {key} `{}` is no size", shorten(&text)));
                text.parse::<u64>().map(Some).map_err(bad)
            }
        };
        let need = dtype.bytes(count).ok_or_else(|| bad(name, "strings cannot be external"))?;
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?.unwrap_or(need as u64);
        if length != need as u64 {
            return Err(bad(name, format!("its external data has {length} bytes, its type needs {need}")));
        }
        let start = usize::try_from(offset).ok();
        let range = start.and_then(|s| Some(s..s.checked_add(need)?)).filter(|r| r.end <= file.len());
        let Some(range) = range else {
            let m = format!(
                "bytes {offset}+{length} lie outside `{}` ({} bytes)",
                shorten(&location),
                file.len()
            );
            return Err(refuse(m));
        };
        Ok((file.slice(range), FileSpan { file: path, offset }))
    }

    fn open(&mut self, location: &str) -> Result<(Arc<Path>, Bytes), String> {
        if let Some(known) = self.files.get(location) {
            return Ok(known.clone());
        }
        let mut reason = String::from("no folder to look in");
        for dir in &self.dirs {
            let found = resolve_sidecar(dir, location).map_err(|e| e.to_string());
            match found.and_then(|p| Source::open(&p).map_err(|e| e.to_string())) {
                Ok(source) => {
                    let entry = (Arc::from(source.path()), source.bytes().clone());
                    self.files.insert(location.to_owned(), entry.clone());
                    return Ok(entry);
                }
                Err(e) => reason = e,
            }
        }
        Err(shorten(&reason))
    }
}

/// Sizes from a tensor's `dims`.
pub(super) fn sizes(dims: &[i64]) -> Result<Vec<usize>, String> {
    if dims.len() > MAX_RANK {
        return Err(format!("it has {} axes; at most {MAX_RANK} are supported", dims.len()));
    }
    dims.iter().map(|d| usize::try_from(*d).map_err(|_| format!("size {d} is negative"))).collect()
}

/// A tensor without elements.
pub(super) fn empty(dtype: DType, shape: &[usize]) -> Result<Tensor, hoist_ir::tensor::TensorError> {
    if dtype == DType::String {
        return Ok(Tensor::from_strings(shape, vec![]));
    }
    Tensor::from_bytes(dtype, shape, Bytes::new(), None)
}

fn fields_used(p: &TensorProto) -> Vec<&'static str> {
    let all = [
        ("raw_data", p.raw_data.as_ref().is_some_and(|r| !r.is_empty())),
        ("float_data", !p.float_data.is_empty()),
        ("int32_data", !p.int32_data.is_empty()),
        ("int64_data", !p.int64_data.is_empty()),
        ("double_data", !p.double_data.is_empty()),
        ("uint64_data", !p.uint64_data.is_empty()),
        ("string_data", !p.string_data.is_empty()),
    ];
    all.into_iter().filter(|(_, used)| *used).map(|(n, _)| n).collect()
}

/// Data in a typed field: which field holds which element type is ONNX's table in `TensorProto`.
fn typed(p: &TensorProto, dtype: DType, shape: &[usize], count: usize) -> Result<Tensor, String> {
    let bytes: Vec<u8> = match dtype {
        DType::F32 | DType::C64 => p.float_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::F64 | DType::C128 => p.double_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::I64 => p.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::U64 => p.uint64_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::U32 => p.uint64_data.iter().flat_map(|v| (*v as u32).to_le_bytes()).collect(),
        DType::I32 => p.int32_data.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::I16 | DType::U16 | DType::F16 | DType::BF16 => {
            p.int32_data.iter().flat_map(|v| (*v as u16).to_le_bytes()).collect()
        }
        DType::Bool => p.int32_data.iter().map(|v| u8::from(*v != 0)).collect(),
        DType::String => {
            if p.string_data.len() != count {
                return Err(format!("it has {} texts, its shape needs {count}", p.string_data.len()));
            }
            let text =
                |b: &Bytes| String::from_utf8(b.to_vec()).map_err(|_| "a text is not UTF-8".to_owned());
            return Ok(Tensor::from_strings(
                shape,
                p.string_data.iter().map(text).collect::<Result<_, _>>()?,
            ));
        }
        // One element per entry, where other narrow types have a byte.
        DType::F6E2M3 | DType::F6E3M2 => {
            if p.int32_data.len() != count || p.int32_data.iter().any(|v| !(0..64).contains(v)) {
                return Err(format!("its entries are not {count} codes of 6 bits"));
            }
            pack(p.int32_data.iter().map(|v| *v as u8), 6)
        }
        // 8-bit types have one element per entry; narrower ones are packed into bytes first.
        _ => p.int32_data.iter().map(|v| *v as u8).collect(),
    };
    Tensor::from_bytes(dtype, shape, bytes.into(), None).map_err(|e| e.to_string())
}
