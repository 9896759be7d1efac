//! Input files as memory maps, and the containment rule for files that a model names beside itself.
//!
//! This is the only module of the workspace that uses `unsafe`: it maps files.

use std::fs::{self, File, FileType};
use std::io;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use thiserror::Error;

/// Operating-system code of "too many levels of symbolic links".
const ELOOP: i32 = if cfg!(any(target_os = "linux", target_os = "android")) { 40 } else { 62 };

/// Longest sidecar location that is looked up, in bytes. Equal to the path limit of Linux.
const MAX_LOCATION: usize = 4096;

/// An input file: its path and its content, mapped read-only.
///
/// Cloning shares the map. Slices of [`Source::bytes`] keep the map alive.
#[derive(Debug, Clone)]
pub struct Source {
    path: PathBuf,
    bytes: Bytes,
}

/// Why an input cannot be opened.
#[derive(Debug, Error)]
pub enum SourceError {
    /// Nothing exists under the path.
    #[error("{}: no such file; check the path", path.display())]
    NotFound {
        /// The path as given.
        path: PathBuf,
    },
    /// The path names something that is not a regular file.
    #[error("{}: this is {kind}, not a regular file; name a model file", path.display())]
    NotRegular {
        /// The path as given.
        path: PathBuf,
        /// What the path names, with its article.
        kind: &'static str,
    },
    /// The path goes through a symbolic link that leads back to itself.
    #[error("{}: the symbolic link leads back to itself; point it at a file", path.display())]
    LinkLoop {
        /// The path as given.
        path: PathBuf,
    },
    /// A component of the path is a file where a folder is needed.
    #[error("{}: a part of this path is a file, not a folder; check the path", path.display())]
    BelowFile {
        /// The path as given.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("{}: cannot be read: {source}", path.display())]
    Io {
        /// The path as given.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl SourceError {
    fn from_io(path: &Path, error: io::Error) -> Self {
        let path = path.to_path_buf();
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound { path },
            io::ErrorKind::NotADirectory => Self::BelowFile { path },
            _ if error.raw_os_error() == Some(ELOOP) => Self::LinkLoop { path },
            _ => Self::Io { path, source: error },
        }
    }
}

impl Source {
    /// Maps the file at `path`. An empty file gives empty bytes.
    ///
    /// The kind of the file is checked before it is opened, so a FIFO without a writer does not block.
    ///
    /// # Errors
    /// [`SourceError`] when the path is missing, is not a regular file, or cannot be read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let path = path.as_ref();
        let fail = |error| SourceError::from_io(path, error);
        regular(path, fs::metadata(path).map_err(fail)?.file_type())?;
        let file = File::open(path).map_err(fail)?;
        let meta = file.metadata().map_err(fail)?;
        regular(path, meta.file_type())?;
        let bytes = if meta.len() == 0 { Bytes::new() } else { map(&file).map_err(fail)? };
        Ok(Self { path: path.to_path_buf(), bytes })
    }

    /// An input that is already in memory; `name` stands in for its path in messages.
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: Bytes) -> Self {
        Self { path: name.into(), bytes }
    }

    /// The path as given to [`Source::open`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content; cloning it is cheap and keeps the map alive.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }
}

fn regular(path: &Path, kind: FileType) -> Result<(), SourceError> {
    if kind.is_file() {
        return Ok(());
    }
    Err(SourceError::NotRegular { path: path.to_path_buf(), kind: describe(kind) })
}

fn describe(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a FIFO";
        }
        if kind.is_socket() {
            return "a socket";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if kind.is_dir() { "a folder" } else { "a special file" }
}

#[expect(unsafe_code, reason = "mapping a file is the one operation that has no safe form")]
fn map(file: &File) -> io::Result<Bytes> {
    // SAFETY: the map is private and read-only. Soundness needs that no other process shortens or rewrites
    // the file while it is mapped, which is the documented condition for every input of the tool.
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}

/// Why a file that a model names beside itself is refused.
#[derive(Debug, Error)]
pub enum SidecarError {
    /// The model names no file.
    #[error("external data has an empty location; re-export the model with its data file")]
    Empty,
    /// The location is longer than any path can be.
    #[error("external data location of {0} bytes is longer than any path; the file is damaged or hostile")]
    TooLong(usize),
    /// The location is not a plain relative path.
    #[error(
        "external data location {location:?} is {what}; only relative paths inside the model's folder are read"
    )]
    NotRelative {
        /// The location as the model writes it.
        location: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The location leaves the model's folder by `..` or by a symbolic link.
    #[error(
        "external data location {location:?} leads outside the model's folder; copy the data file beside the model"
    )]
    Escapes {
        /// The location as the model writes it.
        location: String,
    },
    /// The location cannot be opened.
    #[error("external data {location:?}: {source}")]
    Unreadable {
        /// The location as the model writes it.
        location: String,
        /// What opening it would report.
        source: SourceError,
    },
}

/// Resolves the `location` of an external data file against the folder `model_dir` of the model that names it.
///
/// Returns a path without symbolic links to an existing regular file inside `model_dir`.
///
/// # Errors
/// [`SidecarError`] when the location is not a relative path, leads outside the folder (by `..` or by links), or
/// is not a regular file.
pub fn resolve_sidecar(model_dir: &Path, location: &str) -> Result<PathBuf, SidecarError> {
    check_location(location)?;
    let folder = if model_dir.as_os_str().is_empty() { Path::new(".") } else { model_dir };
    let target = folder.join(location);
    let unreadable = |source| SidecarError::Unreadable { location: location.to_owned(), source };
    let io = |error| unreadable(SourceError::from_io(&target, error));
    let root = fs::canonicalize(folder).map_err(io)?;
    let real = fs::canonicalize(&target).map_err(io)?;
    if !real.starts_with(&root) {
        return Err(SidecarError::Escapes { location: location.to_owned() });
    }
    let kind = fs::metadata(&real).map_err(io)?.file_type();
    regular(&target, kind).map_err(unreadable)?;
    Ok(real)
}

fn check_location(location: &str) -> Result<(), SidecarError> {
    if location.is_empty() {
        return Err(SidecarError::Empty);
    }
    if location.len() > MAX_LOCATION {
        return Err(SidecarError::TooLong(location.len()));
    }
    if let Some(what) = foreign_form(location) {
        return Err(SidecarError::NotRelative { location: location.to_owned(), what });
    }
    let mut depth = 0_usize;
    for part in Path::new(location).components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return Err(SidecarError::Escapes { location: location.to_owned() }),
        }
    }
    Ok(())
}

/// Names the reason why `location` is no plain relative path on any system.
fn foreign_form(location: &str) -> Option<&'static str> {
    let bytes = location.as_bytes();
    let drive = bytes.first().is_some_and(u8::is_ascii_alphabetic) && bytes.get(1) == Some(&b':');
    let scheme = location.split_once(':').is_some_and(|(head, _)| head.eq_ignore_ascii_case("file"));
    match () {
        () if bytes.contains(&0) => Some("a text with a NUL byte"),
        () if location.starts_with('/') => Some("an absolute path"),
        () if drive => Some("a path with a drive letter"),
        () if scheme || location.contains("://") => Some("a URL"),
        () if location.contains('\\') => Some("a path with backslashes"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, data: &[u8]) {
        fs::write(path, data).unwrap();
    }

    #[test]
    fn maps_files_and_accepts_empty_ones() {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("a"), b"abc");
        write(&dir.path().join("e"), b"");
        assert_eq!(Source::open(dir.path().join("a")).unwrap().bytes().as_ref(), b"abc");
        assert!(Source::open(dir.path().join("e")).unwrap().bytes().is_empty());
    }

    #[test]
    fn refuses_what_is_not_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        write(&at("a"), b"abc");
        assert!(matches!(Source::open(dir.path()), Err(SourceError::NotRegular { kind: "a folder", .. })));
        assert!(matches!(Source::open(at("no")), Err(SourceError::NotFound { .. })));
        assert!(matches!(Source::open(at("a/b")), Err(SourceError::BelowFile { .. })));
        assert!(matches!(Source::open("/dev/null"), Err(SourceError::NotRegular { kind: "a device", .. })));
    }

    #[cfg(unix)]
    #[test]
    fn refuses_link_loops_sockets_and_links_that_leave() {
        use std::os::unix::{fs::symlink, net::UnixListener};
        let outside = tempfile::tempdir().unwrap();
        write(&outside.path().join("secret"), b"s");
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        symlink("loop", at("loop")).unwrap();
        symlink(outside.path().join("secret"), at("out")).unwrap();
        symlink("real", at("in")).unwrap();
        write(&at("real"), b"r");
        let _socket = UnixListener::bind(at("sock")).unwrap();
        assert!(matches!(Source::open(at("loop")), Err(SourceError::LinkLoop { .. })));
        assert!(matches!(Source::open(at("sock")), Err(SourceError::NotRegular { kind: "a socket", .. })));
        assert!(matches!(resolve_sidecar(dir.path(), "out"), Err(SidecarError::Escapes { .. })));
        assert!(matches!(resolve_sidecar(dir.path(), "loop"), Err(SidecarError::Unreadable { .. })));
        let real = fs::canonicalize(at("real")).unwrap();
        assert_eq!(resolve_sidecar(dir.path(), "in").unwrap(), real);
    }

    #[test]
    fn sidecar_locations_stay_relative_and_inside() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        write(&dir.path().join("a..b.bin"), b"x");
        write(&dir.path().join("sub/w.bin"), b"x");
        let resolve = |location: &str| resolve_sidecar(dir.path(), location);
        for good in ["a..b.bin", "./sub/w.bin", "sub/../a..b.bin"] {
            assert!(resolve(good).is_ok(), "{good}");
        }
        for bad in ["/etc/passwd", "C:\\w.ini", "C:w", "http://h/w", "file:/w", "a\0b", "sub\\w.bin"] {
            assert!(matches!(resolve(bad), Err(SidecarError::NotRelative { .. })), "{bad:?}");
        }
        for bad in ["..", "sub/../../x", "../sub/w.bin"] {
            assert!(matches!(resolve(bad), Err(SidecarError::Escapes { .. })), "{bad}");
        }
        for bad in [".", "sub", "missing.bin"] {
            assert!(matches!(resolve(bad), Err(SidecarError::Unreadable { .. })), "{bad}");
        }
        assert!(matches!(resolve(""), Err(SidecarError::Empty)));
        assert!(matches!(resolve(&"x".repeat(10_000)), Err(SidecarError::TooLong(10_000))));
    }
}
