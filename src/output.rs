//! Outputs that appear whole or not at all.
//!
//! Everything is written into a temporary folder beside the target, on the same file system, and renamed at the end: the data file first,
//! then the model that names it. Whatever happens before, an existing output stays as it was. The folder is removed when the job ends,
//! fails, or is interrupted.
use hoist_ir::diag::Diag;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// Temporary folders that exist. Whoever creates a name in one holds the lock, so that the signal thread, which never gives it back,
/// removes everything.
static LIVE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn lock() -> MutexGuard<'static, Vec<PathBuf>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn refused(path: &Path, why: impl std::fmt::Display) -> Diag {
    Diag::error("E0102", format!("{}: {why}", path.display()))
}

/// A place where an output can go.
#[derive(Clone, Debug)]
pub struct Target {
    /// As the user wrote it.
    shown: PathBuf,
    /// Folder that will hold the output.
    folder: PathBuf,
    name: String,
}

impl Target {
    /// Checks that a file can be written at `path`, without touching anything. A link is followed.
    ///
    /// # Errors
    /// `E0102` when the folder does not exist, or something that is no regular file is there.
    pub fn new(path: &Path) -> Result<Self, Diag> {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        match fs::metadata(&real) {
            Ok(meta) if meta.is_dir() => {
                return Err(refused(path, "this is a folder").hint("name a file in it"));
            }
            Ok(meta) if !meta.is_file() => {
                return Err(refused(path, "this is no regular file").hint("name a file"));
            }
            _ => {}
        }
        let folder = match real.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        let Some(name) = real.file_name() else {
            return Err(refused(path, "this names no file").hint("name a file"));
        };
        let Some(name) = name.to_str() else {
            return Err(refused(path, "the file name is no UTF-8 text").hint("choose another name"));
        };
        if !folder.is_dir() {
            let why = format!("the folder {} does not exist", folder.display());
            return Err(refused(path, why).hint("create it first"));
        }
        Ok(Self { shown: path.to_path_buf(), folder, name: name.to_owned() })
    }
    /// The folder that will hold the output.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
    /// File name of the weights beside the model, if it needs any.
    pub fn data_name(&self) -> String {
        format!("{}.data", self.name)
    }
}

/// An output being written.
pub struct Staging {
    target: Target,
    temp: Option<tempfile::TempDir>,
    path: PathBuf,
}

impl Staging {
    /// Creates the temporary folder.
    ///
    /// # Errors
    /// `E0102` when the folder of the target cannot be written.
    pub fn new(target: &Target) -> Result<Self, Diag> {
        watch_signals();
        let mut live = lock();
        let temp = tempfile::Builder::new().prefix(".hoist-").tempdir_in(&target.folder);
        let temp = temp.map_err(|e| refused(&target.shown, reason(&e)))?;
        let path = temp.path().to_path_buf();
        live.push(path.clone());
        Ok(Self { target: target.clone(), temp: Some(temp), path })
    }
    /// The temporary folder.
    pub fn folder(&self) -> &Path {
        &self.path
    }
    /// Where the output will go.
    pub fn target(&self) -> &Target {
        &self.target
    }
    /// The model while it is temporary.
    pub fn model(&self) -> PathBuf {
        self.path.join(&self.target.name)
    }
    /// Writes the model file.
    ///
    /// # Errors
    /// `E0102` with the system's reason.
    pub fn write_model(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Diag> {
        self.write(&self.target.name, |file| {
            let mut sink = BufWriter::with_capacity(1 << 18, file);
            write(&mut sink)?;
            sink.flush()
        })
    }
    /// Writes the data file.
    ///
    /// # Errors
    /// `E0102` with the system's reason.
    pub fn write_data(&self, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Diag> {
        self.write(&self.target.data_name(), write)
    }
    fn write(&self, name: &str, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Diag> {
        let whole = || {
            let mut file = {
                let _live = lock();
                File::create_new(self.path.join(name))?
            };
            write(&mut file)
        };
        whole().map_err(|e| refused(&self.target.shown, reason(&e)))
    }
    /// Bytes of what was written so far, data included.
    pub fn bytes(&self) -> u64 {
        let size = |name: &str| fs::metadata(self.path.join(name)).map_or(0, |m| m.len());
        size(&self.target.name) + size(&self.target.data_name())
    }
    /// Puts the output in place and returns its size in bytes, data included.
    ///
    /// # Errors
    /// `E0102`; what was there before is there again.
    pub fn commit(mut self) -> Result<u64, Diag> {
        let live = lock();
        let bytes = self.bytes();
        let done = self.rename().map_err(|e| refused(&self.target.shown, reason(&e)));
        self.remove(live);
        done.map(|()| bytes)
    }
    fn rename(&self) -> io::Result<()> {
        let model = || fs::rename(self.model(), self.target.folder.join(&self.target.name));
        let name = self.target.data_name();
        let data = self.path.join(&name);
        if !data.exists() {
            return model();
        }
        let (place, kept) = (self.target.folder.join(&name), self.path.join("previous"));
        let had = place.exists();
        if had && fs::hard_link(&place, &kept).is_err() {
            fs::rename(&place, &kept)?;
        }
        fs::rename(&data, &place).and_then(|()| model()).inspect_err(|_| {
            // The error that led here is the one to report.
            let _ = if had { fs::rename(&kept, &place) } else { fs::remove_file(&place) };
        })
    }
    fn remove(&mut self, mut live: MutexGuard<'_, Vec<PathBuf>>) {
        if let Some(temp) = self.temp.take() {
            let _ = temp.close();
        }
        live.retain(|path| *path != self.path);
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.temp.is_some() {
            self.remove(lock());
        }
    }
}

/// The system's reason in the words of this tool.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        io::ErrorKind::QuotaExceeded => "the disk quota is exceeded".to_owned(),
        io::ErrorKind::FileTooLarge => "the file would be larger than this system allows".to_owned(),
        _ => format!("cannot be written: {error}"),
    }
}

/// Starts, once, the thread that removes temporary folders when the program is told to end.
fn watch_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        #[cfg(unix)]
        unix::watch();
    });
}

#[cfg(unix)]
mod unix {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use std::fs;

    /// Waits for a signal on a thread of its own. Signals that the parent process made this one ignore (as `nohup` does) stay ignored.
    pub fn watch() {
        let ignored = ignored();
        let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|s| ignored >> (s - 1) & 1 == 0);
        let Ok(mut signals) = Signals::new(wanted) else { return };
        let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            if let Some(signal) = signals.forever().next() {
                end(signal);
            }
        });
    }

    #[expect(clippy::exit, reason = "a signal ends the program from whatever it is doing")]
    fn end(signal: i32) {
        let live = super::lock();
        for folder in live.iter() {
            let _ = fs::remove_dir_all(folder);
        }
        std::process::exit(128 + signal);
    }

    /// Bit `s - 1` is set when signal `s` is ignored; 0 where the system does not say.
    fn ignored() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_job_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.onnx");
        fs::write(&path, "old").unwrap();
        let staging = Staging::new(&Target::new(&path).unwrap()).unwrap();
        staging.write_model(|w| w.write_all(b"new")).unwrap();
        let error = staging.write_data(|_| Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        assert!(error.code == "E0102" && error.message.contains("the disk is full"), "{error}");
        drop(staging);
        assert_eq!(entries(dir.path()), ["m.onnx"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn model_and_data_appear_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.onnx");
        fs::write(dir.path().join("m.onnx.data"), "old data").unwrap();
        let staging = Staging::new(&Target::new(&path).unwrap()).unwrap();
        staging.write_data(|w| w.write_all(b"data")).unwrap();
        staging.write_model(|w| w.write_all(b"new")).unwrap();
        assert_eq!(staging.commit().unwrap(), 7);
        assert_eq!(entries(dir.path()), ["m.onnx", "m.onnx.data"]);
        assert_eq!(fs::read_to_string(dir.path().join("m.onnx.data")).unwrap(), "data");
    }

    #[test]
    fn data_comes_back_when_the_model_cannot_be_placed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.onnx");
        fs::write(dir.path().join("m.onnx.data"), "old data").unwrap();
        let staging = Staging::new(&Target::new(&path).unwrap()).unwrap();
        staging.write_data(|w| w.write_all(b"data")).unwrap();
        staging.write_model(|w| w.write_all(b"new")).unwrap();
        fs::create_dir_all(path.join("in the way")).unwrap();
        assert_eq!(staging.commit().unwrap_err().code, "E0102");
        assert_eq!(fs::read_to_string(dir.path().join("m.onnx.data")).unwrap(), "old data");
        assert_eq!(entries(dir.path()), ["m.onnx", "m.onnx.data"]);
    }

    #[test]
    fn targets_that_are_no_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().to_path_buf(), dir.path().join("no/m.onnx"), "/dev/null".into(), "..".into()]
        {
            assert_eq!(Target::new(&path).unwrap_err().code, "E0102", "{}", path.display());
        }
        assert_eq!(Target::new(Path::new("m.onnx")).unwrap().folder(), Path::new("."));
    }
}
