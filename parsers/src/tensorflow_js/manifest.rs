//! Weights of TensorFlow.js: a manifest names them, and files hold their elements one behind the other, those of a group running on from file to file.
use super::json::{list, member, number, size, text};
use crate::source::{Source, resolve_sidecar};
use crate::tensorflow::bad;
use bytes::Bytes;
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::dtype::DType;
use hoist_ir::tensor::{FileSpan, Tensor, byte_count, element_count};
use indexmap::IndexMap;
use serde_json::Value as Json;
use std::collections::HashSet;
use std::path::Path;

/// Element types by their names.
const TYPES: &[(&str, DType)] = &[
    ("float32", DType::F32),
    ("int32", DType::I32),
    ("bool", DType::Bool),
    ("string", DType::String),
    ("complex64", DType::C64),
    ("float16", DType::F16),
    ("uint8", DType::U8),
    ("uint16", DType::U16),
];

/// Weights by name, in the manifest's order.
pub type Weights = IndexMap<String, Tensor>;

/// How a weight is stored in fewer bits.
enum Quantization {
    /// As float16.
    Half,
    /// As `(value - min) / scale`, in integers of this type.
    Affine { stored: DType, scale: f64, min: f64 },
}

/// What a manifest says about a weight.
struct Entry<'j> {
    name: &'j str,
    dtype: DType,
    sizes: Vec<usize>,
    quantization: Option<Quantization>,
}

/// Reads the weights that `manifest` lists, from files in `folder`.
///
/// # Errors
/// `E0105` for files that are not opened, `E0203` for weights that do not fit their files. All that is wrong is listed.
pub fn read(manifest: &Json, folder: &Path) -> Result<Weights, Diags> {
    let groups = manifest.as_array().ok_or_else(|| bad("`weightsManifest` is no list"))?;
    let (mut out, mut diags, mut paths) = (Weights::new(), Diags::default(), HashSet::new());
    for (i, group) in groups.iter().enumerate() {
        match Files::open(group, folder, &mut paths) {
            Ok(files) => read_group(group, &files, &mut out, &mut diags),
            Err(all) => diags.0.extend(all.0),
        }
        if diags.0.len() > MOST_DIAGS {
            diags.push(bad(format!("and more behind group {i} of the manifest")));
            break;
        }
    }
    diags.into_result()?;
    Ok(out)
}

/// After how many problems the rest is not looked at.
const MOST_DIAGS: usize = 50;

fn read_group(group: &Json, files: &Files, out: &mut Weights, diags: &mut Diags) {
    let mut at = 0usize;
    let entries = match list(group, "weights") {
        Ok(entries) => entries,
        Err(d) => return diags.push(d),
    };
    for json in entries {
        let name = json.get("name").and_then(Json::as_str).unwrap_or("?");
        let read = entry(json).and_then(|e| tensor(&e, files, &mut at).map(|t| (e.name, t)));
        match read {
            Ok((name, tensor)) => {
                if out.insert(name.to_owned(), tensor).is_some() {
                    diags.push(bad(format!("weight `{name}` is listed twice")));
                }
            }
            // Where the next one begins is not known.
            Err(d) => return diags.push(Diag { message: format!("weight `{name}`: {}", d.message), ..d }),
        }
    }
    if at != files.len() {
        let m = format!("the weights take {at} bytes, and {} has {}", files.names(), files.len());
        diags.push(Diag::error("E0203", m).hint("the manifest and the files are of different models"));
    }
}

fn entry(json: &Json) -> Result<Entry<'_>, Diag> {
    let name = text(json, "name")?;
    let by_name = |key: &str, json: &Json| {
        let name = text(json, key)?;
        let found = TYPES.iter().find(|(n, _)| *n == name).map(|(_, d)| *d);
        found.ok_or_else(|| Diag::error("E0301", format!("elements of type `{name}`")))
    };
    let dtype = by_name("dtype", json)?;
    let sizes = list(json, "shape")?.iter().map(size).collect::<Result<Vec<_>, _>>()?;
    let quantization = match json.get("quantization") {
        None => None,
        Some(how) => Some(match (by_name("dtype", how)?, dtype) {
            (DType::F16, DType::F32) => Quantization::Half,
            (stored @ (DType::U8 | DType::U16), DType::F32 | DType::I32) => {
                Quantization::Affine { stored, scale: number(how, "scale")?, min: number(how, "min")? }
            }
            (stored, dtype) => return Err(bad(format!("{dtype} stored as {stored}"))),
        }),
    };
    Ok(Entry { name, dtype, sizes, quantization })
}

/// The weight whose bytes begin at `at`, which goes on to the next one.
fn tensor(entry: &Entry<'_>, files: &Files, at: &mut usize) -> Result<Tensor, Diag> {
    let wrong = |e: hoist_ir::tensor::TensorError| Diag::error("E0203", e.to_string());
    let Entry { dtype, sizes, .. } = entry;
    let count = element_count(sizes).ok_or_else(|| bad("more elements than can be counted"))?;
    if *dtype == DType::String {
        return texts(count, files, at).map(|all| Tensor::from_strings(sizes, all));
    }
    let stored = match entry.quantization {
        None => *dtype,
        Some(Quantization::Half) => DType::F16,
        Some(Quantization::Affine { stored, .. }) => stored,
    };
    let (bytes, span) = files.take(at, byte_count(stored, sizes).map_err(wrong)?)?;
    let t = Tensor::from_bytes(stored, sizes, bytes, span).map_err(wrong)?;
    match entry.quantization {
        None => Ok(t),
        Some(Quantization::Half) => t.lazy_cast(DType::F32, false).map_err(wrong),
        Some(Quantization::Affine { scale, min, .. }) => affine(&t, *dtype, scale, min),
    }
}

/// `scale * t + min` in double precision; rounded to the nearest integer, halves up, where the weight is one of integers. (`decodeWeight` of tfjs-core.)
fn affine(t: &Tensor, dtype: DType, scale: f64, min: f64) -> Result<Tensor, Diag> {
    let bytes = t.bytes().map_err(|e| bad(e.to_string()))?;
    let width = if t.dtype() == DType::U8 { 1 } else { 2 };
    // Integers of 16 bits are exact in double precision.
    let stored = |b: &[u8]| b.iter().rev().fold(0u32, |n, b| n << 8 | u32::from(*b));
    let values = bytes.chunks_exact(width).map(|b| f64::from(stored(b)) * scale + min);
    if dtype == DType::F32 {
        return Ok(Tensor::from_vec(t.shape(), values.map(|v| v as f32).collect::<Vec<_>>()));
    }
    let rounded = |v: f64| {
        let low = v.floor();
        let near = if v - low >= 0.5 { low + 1.0 } else { low };
        let fits = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&near);
        if fits { Ok(near as i32) } else { Err(Diag::error("E0203", format!("{near} is no 32-bit integer"))) }
    };
    Ok(Tensor::from_vec(t.shape(), values.map(rounded).collect::<Result<Vec<_>, _>>()?))
}

/// `count` texts, each behind its length in 4 bytes.
fn texts(count: usize, files: &Files, at: &mut usize) -> Result<Vec<String>, Diag> {
    let mut out = Vec::with_capacity(count.min(files.len() / 4));
    for _ in 0..count {
        let (length, _) = files.take(at, 4)?;
        let length = length.iter().rev().fold(0usize, |n, b| n << 8 | usize::from(*b));
        let (bytes, _) = files.take(at, length)?;
        let text = String::from_utf8(bytes.to_vec());
        out.push(text.map_err(|_| bad("a text that is not UTF-8, which ONNX cannot hold"))?);
    }
    Ok(out)
}

/// The files of a group, as if they were one.
struct Files {
    /// Where each begins, and its content.
    parts: Vec<(usize, Source)>,
    total: usize,
}

impl Files {
    fn open(group: &Json, folder: &Path, seen: &mut HashSet<String>) -> Result<Self, Diags> {
        let (mut out, mut diags) = (Self { parts: vec![], total: 0 }, Diags::default());
        for path in list(group, "paths")? {
            let path = path.as_str().ok_or_else(|| bad("a path of `weightsManifest` is no text"))?;
            if !seen.insert(path.to_owned()) {
                return Err(bad(format!("file `{path}` is listed twice")).into());
            }
            match open(folder, path) {
                Ok(source) => {
                    let start = out.total;
                    out.total = start.saturating_add(source.bytes().len());
                    out.parts.push((start, source));
                }
                Err(d) if diags.0.len() < MOST_DIAGS => diags.push(d),
                Err(_) => {}
            }
        }
        diags.into_result()?;
        Ok(out)
    }
    fn len(&self) -> usize {
        self.total
    }
    /// The files' names, for messages.
    fn names(&self) -> String {
        let name = |s: &Source| s.path().file_name().map(|n| n.to_string_lossy().into_owned());
        let first = self.parts.first().and_then(|(_, s)| name(s)).unwrap_or_else(|| "no file".to_owned());
        if self.parts.len() > 1 { format!("{first} with {} more", self.parts.len() - 1) } else { first }
    }
    /// The next `length` bytes: where they lie, when they lie in one file.
    fn take(&self, at: &mut usize, length: usize) -> Result<(Bytes, Option<FileSpan>), Diag> {
        let (start, end) = (*at, at.checked_add(length).filter(|end| *end <= self.total));
        let Some(end) = end else {
            let m = format!(
                "its {length} bytes at {start} end behind {}, which has {}",
                self.names(),
                self.total
            );
            return Err(Diag::error("E0203", m).hint("the files are cut: fetch or save them again"));
        };
        *at = end;
        let first = self.parts.partition_point(|(begin, _)| *begin <= start).saturating_sub(1);
        let Some((begin, source)) = self.parts.get(first) else { return Ok((Bytes::new(), None)) };
        if end <= begin + source.bytes().len() {
            let bytes = source.bytes().slice(start - begin..end - begin);
            let span = source.span(&bytes);
            return Ok((bytes, span));
        }
        let mut out = Vec::with_capacity(length);
        for (begin, source) in &self.parts[first..] {
            if *begin >= end {
                break;
            }
            let bytes = source.bytes();
            let (from, to) = (start.saturating_sub(*begin), (end - begin).min(bytes.len()));
            out.extend_from_slice(bytes.get(from..to).unwrap_or_default());
        }
        Ok((out.into(), None))
    }
}

fn open(folder: &Path, path: &str) -> Result<Source, Diag> {
    let found = resolve_sidecar(folder, path)
        .map_err(|e| Diag::error("E0105", e.to_string().replacen("external data", "file", 1)))?;
    Source::open(found).map_err(|e| Diag::error("E0101", e.to_string()))
}

/// The weights of a manifest that is a value of `object`.
///
/// # Errors
/// As [`read`], and `E0202` when there is none.
pub fn of(object: &Json, folder: &Path) -> Result<Weights, Diags> {
    match member(object, &["weightsManifest"]) {
        Some(manifest) => read(manifest, folder),
        None => Err(bad("there is no `weightsManifest`: the file describes a model without its weights")
            .hint("save the model with its weights: model.save(\"file://folder\")")
            .into()),
    }
}
