//! The tables of a file and where its constants lie.
use crate::source::Source;
use bytes::Bytes;
use hoist_formats::tflite::decode::decode;
use hoist_formats::tflite::schema::{self, Builtin};
use hoist_formats::tflite::table::Record;
use hoist_ir::diag::Diag;
use hoist_ir::tensor::FileSpan;

/// Versions of the schema that are read.
const VERSION: i64 = 3;

/// A decoded file.
pub(super) struct File {
    /// The root table.
    pub root: Record,
    bytes: Bytes,
    path: std::sync::Arc<std::path::Path>,
}

pub(super) fn bad(what: impl Into<String>) -> Diag {
    Diag::error("E0202", what)
}

impl File {
    pub(super) fn open(source: &Source) -> Result<Self, Diag> {
        let bytes = source.bytes().clone();
        let root = decode(&bytes, b"TFL3", &schema::MODEL)?;
        if root.int("version") != VERSION {
            return Err(bad(format!("schema version {} is not read; {VERSION} is", root.int("version"))));
        }
        let buffers = root.records("buffers").len() as i64;
        let tensors = root.records("subgraphs").iter().flat_map(|s| s.records("tensors"));
        if let Some(t) = tensors.into_iter().find(|t| t.int("buffer") >= buffers) {
            return Err(bad(format!(
                "tensor `{}` has buffer {} of {buffers}",
                t.text("name"),
                t.int("buffer")
            )));
        }
        Ok(Self { root, bytes, path: source.path().into() })
    }
    /// The whole file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// Subgraph `i`.
    pub(super) fn subgraph(&self, i: i64) -> Result<&Record, Diag> {
        let all = self.root.records("subgraphs");
        let found = usize::try_from(i).ok().and_then(|i| all.get(i));
        found.ok_or_else(|| bad(format!("subgraph {i} of {}", all.len())))
    }
    /// Operator of a code, with its custom name; the code itself for one that is not in the schema.
    pub(super) fn code(&self, i: i64) -> Result<(Result<Builtin, i64>, &str), Diag> {
        let codes = self.root.records("operator_codes");
        let missing = || bad(format!("operator code {i} of {}", codes.len()));
        let record = usize::try_from(i).ok().and_then(|i| codes.get(i)).ok_or_else(missing)?;
        // Files of old writers have only the narrow field, those of new ones both.
        let (new, old) = (record.int("builtin_code"), record.int("deprecated_builtin_code"));
        let code = if old < 0 { old } else { new.max(old) };
        Ok((Builtin::from_code(code).ok_or(code), record.text("custom_code")))
    }
    /// Bytes of a buffer and where they lie in the file; none for an empty one.
    pub(super) fn buffer(&self, i: i64) -> Result<Option<(Bytes, FileSpan)>, Diag> {
        let all = self.root.records("buffers");
        let missing = || bad(format!("buffer {i} of {}", all.len()));
        let record = usize::try_from(i).ok().and_then(|i| all.get(i)).ok_or_else(missing)?;
        let range = match record.span("data") {
            Some(range) => range,
            // An offset of 0 or 1 is a placeholder of writers that keep constants inside.
            None if record.int("offset") > 1 => {
                let (at, len) = (record.int("offset"), record.int("size"));
                let end = at.checked_add(len).filter(|e| *e <= self.bytes.len() as i64 && len >= 0);
                let end = end.ok_or_else(|| bad(format!("buffer {i} lies beyond the end of the file")))?;
                at as usize..end as usize
            }
            None => return Ok(None),
        };
        if range.is_empty() {
            return Ok(None);
        }
        let span = FileSpan { file: self.path.clone(), offset: range.start as u64 };
        Ok(Some((self.bytes.slice(range), span)))
    }
    /// Bytes of an operator's custom options.
    pub(super) fn options(&self, op: &Record) -> Result<&[u8], Diag> {
        let (at, len) = (op.int("large_custom_options_offset"), op.int("large_custom_options_size"));
        let range = match op.span("custom_options") {
            Some(range) => range,
            None if at > 1 => {
                usize::try_from(at).unwrap_or(usize::MAX)
                    ..usize::try_from(at.saturating_add(len)).unwrap_or(0)
            }
            None => 0..0,
        };
        self.bytes
            .get(range)
            .ok_or_else(|| bad("the options of a custom operator lie beyond the end of the file"))
    }
}
