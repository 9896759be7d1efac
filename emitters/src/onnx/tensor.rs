//! Tensors to `TensorProto`, with the elements kept apart so that they can be streamed.
use super::ExternalData;
use bytes::Bytes;
use hoist_formats::onnx::dtype::to_code;
use hoist_formats::onnx::generated::tensor_proto::DataLocation;
use hoist_formats::onnx::generated::{StringStringEntryProto, TensorProto};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::{Lazy, Storage, Tensor};
use std::path::{Path, PathBuf};

/// Tensors smaller than this stay in the model: a reference would be as long.
const SMALLEST_EXTERNAL: usize = 1024;
/// Alignment of tensors in the data file. Pages for large ones, so that runtimes can map them.
const ALIGN: u64 = 64;
const PAGE: u64 = 4096;
const LARGE: usize = 1 << 16;

/// The data file being laid out.
pub(super) struct Sidecar {
    policy: ExternalData,
    name: String,
    folder: PathBuf,
    end: u64,
    /// Tensors with the bytes of padding before each.
    pub(super) parts: Vec<(u64, Tensor)>,
}

fn entry(key: &str, value: &dyn ToString) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.to_owned()), value: Some(value.to_string()) }
}

impl Sidecar {
    pub(super) fn new(policy: ExternalData, name: &str, folder: &Path) -> Self {
        Self { policy, name: name.to_owned(), folder: folder.to_path_buf(), end: 0, parts: vec![] }
    }

    /// The message of `t` without elements, and the tensor when its elements belong into the model as raw data.
    pub(super) fn place(&mut self, name: &str, t: &Tensor) -> Result<(TensorProto, Option<Tensor>), Diag> {
        let mut proto = header(name, t);
        if t.dtype() == DType::String {
            let texts = t.strings().map_err(|e| Diag::error("E0203", e.to_string()))?;
            proto.string_data = texts.iter().map(|s| Bytes::copy_from_slice(s.as_bytes())).collect();
            return Ok((proto, None));
        }
        if t.byte_len() >= SMALLEST_EXTERNAL {
            if self.policy == ExternalData::Reference
                && let Some((location, offset)) = self.reference(t)
            {
                locate(&mut proto, &location, offset, t.byte_len());
                return Ok((proto, None));
            }
            if self.policy == ExternalData::Always {
                let align = if t.byte_len() >= LARGE { PAGE } else { ALIGN };
                let start = self.end.next_multiple_of(align);
                self.parts.push((start - self.end, t.clone()));
                self.end = start + t.byte_len() as u64;
                locate(&mut proto, &self.name.clone(), start, t.byte_len());
                return Ok((proto, None));
            }
        }
        Ok((proto, Some(t.clone())))
    }
    /// The tensor that a large one is a permutation of, and which one, when only that lies where it may be referred to: it is turned around where the model runs.
    pub(super) fn stored<'t>(&self, t: &'t Tensor) -> Option<(&'t Tensor, Vec<i64>)> {
        let Storage::Lazy(lazy) = t.storage() else { return None };
        let Lazy::Permute { x, perm } = &**lazy else { return None };
        let refers = self.policy == ExternalData::Reference && t.byte_len() >= SMALLEST_EXTERNAL;
        (refers && self.reference(x).is_some()).then(|| (x, perm.iter().map(|p| *p as i64).collect()))
    }
    /// Where the bytes of `t` already lie in or below the output's folder.
    fn reference(&self, t: &Tensor) -> Option<(String, u64)> {
        let Storage::Bytes(_, Some(span)) = t.storage() else { return None };
        let file = std::path::absolute(&span.file).ok()?;
        let folder = std::path::absolute(&self.folder).ok()?;
        let relative = file.strip_prefix(folder).ok()?.to_str()?.to_owned();
        Some((relative, span.offset))
    }
}

fn locate(proto: &mut TensorProto, location: &str, offset: u64, length: usize) {
    proto.data_location = Some(DataLocation::External as i32);
    proto.external_data =
        vec![entry("location", &location), entry("offset", &offset), entry("length", &length)];
}

/// Name, type and sizes.
fn header(name: &str, t: &Tensor) -> TensorProto {
    TensorProto {
        dims: t.shape().iter().map(|d| *d as i64).collect(),
        data_type: Some(to_code(t.dtype())),
        name: Some(name.to_owned()),
        ..TensorProto::default()
    }
}

/// The whole tensor as one message, elements included.
pub(super) fn whole(name: &str, t: &Tensor) -> Result<TensorProto, Diag> {
    let mut proto = header(name, t);
    let bad = |e: hoist_ir::tensor::TensorError| Diag::error("E0203", e.to_string());
    if t.dtype() == DType::String {
        proto.string_data =
            t.strings().map_err(bad)?.iter().map(|s| Bytes::copy_from_slice(s.as_bytes())).collect();
    } else {
        proto.raw_data = Some(t.to_shared_bytes().map_err(bad)?);
    }
    Ok(proto)
}
