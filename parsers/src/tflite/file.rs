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
        Ok(Self { root, bytes, path: source.path().into() })
    }
    /// Subgraph `i`.
    pub(super) fn subgraph(&self, i: usize) -> Result<&Record, Diag> {
        let all = self.root.records("subgraphs");
        all.get(i).ok_or_else(|| bad(format!("subgraph {i} of {}", all.len())))
    }
    /// Operator of a code, with its custom name.
    pub(super) fn code(&self, i: i64) -> Result<(Builtin, &str), Diag> {
        let codes = self.root.records("operator_codes");
        let missing = || bad(format!("operator code {i} of {}", codes.len()));
        let record = usize::try_from(i).ok().and_then(|i| codes.get(i)).ok_or_else(missing)?;
        // Files of old writers have only the narrow field, those of new ones both.
        let code = record.int("builtin_code").max(record.int("deprecated_builtin_code"));
        let builtin =
            Builtin::from_code(code).ok_or_else(|| bad(format!("builtin operator {code} is unknown")))?;
        Ok((builtin, record.text("custom_code")))
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
}
