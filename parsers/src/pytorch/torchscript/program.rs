//! The archive of a `TorchScript` program: its source files, its attributes and its constants.
use super::ast::{Class, File, Func};
use super::parse_file;
use super::ranges::Ranges;
use crate::pytorch::pickle::{ObjId, Object, Pickle, StorageRef};
use crate::zip::Archive;
use bytes::Bytes;
use hoist_ir::diag::Diag;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Most bytes of one source file.
const MAX_SOURCE: u64 = 64 << 20;

/// A source file that was read.
pub struct Unit {
    /// Name in the archive.
    pub entry: String,
    /// Its text.
    pub text: String,
    /// Its classes by name.
    pub classes: HashMap<Box<str>, Rc<Class>>,
    /// Its functions by name.
    pub functions: HashMap<Box<str>, Rc<Func>>,
    /// Where its text comes from.
    pub ranges: Ranges,
}

impl Unit {
    /// The line of a byte offset, counted from 1.
    pub fn line(&self, pos: u32) -> usize {
        let before = self.text.as_bytes().get(..pos as usize).unwrap_or_default();
        lines(before) + 1
    }
}

/// Something of a source file, with the file.
pub type Found<T> = Option<(Rc<T>, Rc<Unit>)>;

/// Number of line ends.
pub fn lines(text: &[u8]) -> usize {
    text.split(|b| *b == b'\n').count() - 1
}

/// An opened archive.
pub struct Program {
    archive: Archive,
    prefix: String,
    units: RefCell<HashMap<String, Rc<Unit>>>,
}

fn damaged(message: impl Into<String>) -> Diag {
    Diag::error("E0201", message)
}

impl Program {
    /// Opens the archive in `bytes`.
    ///
    /// # Errors
    /// When it is damaged, or no archive of `torch.jit.save`.
    pub fn open(bytes: Bytes) -> Result<Self, Diag> {
        let archive = Archive::open(bytes).map_err(|e| damaged(e.to_string()))?;
        let prefixes: Vec<&str> = archive
            .names()
            .filter_map(|n| n.strip_suffix("constants.pkl"))
            .filter(|p| p.is_empty() || p.ends_with('/'))
            .collect();
        let [prefix] = prefixes[..] else {
            return Err(damaged(
                "the archive has no (or several) constants.pkl; it is no file of torch.jit.save",
            ));
        };
        let prefix = prefix.to_owned();
        let order = format!("{prefix}byteorder");
        crate::pytorch::checkpoint::check_byte_order(&archive, &order).map_err(|e| damaged(e.to_string()))?;
        Ok(Self { archive, prefix, units: RefCell::default() })
    }
    /// The operator version of the archive; none when it states none that is a number.
    pub fn version(&self) -> Option<u64> {
        let names = ["version", ".data/version"].map(|n| format!("{}{n}", self.prefix));
        let name = names.iter().find(|n| self.archive.contains(n))?;
        std::str::from_utf8(&self.archive.read(name).ok()?).ok()?.trim().parse().ok()
    }
    /// The model's name: that of the folder in the archive.
    pub fn name(&self) -> &str {
        self.prefix.trim_end_matches('/').rsplit('/').next().filter(|n| !n.is_empty()).unwrap_or("model")
    }
    /// Whether there is a pickle `name`.
    pub fn has(&self, name: &str) -> bool {
        self.archive.contains(&format!("{}{name}", self.prefix))
    }
    /// The pickle `name`. Only classes of the archive itself and those of tensors may occur in it.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn pickle(&self, name: &str) -> Result<Pickle, Diag> {
        let entry = format!("{}{name}", self.prefix);
        let bytes = self.archive.read(&entry).map_err(|e| damaged(e.to_string()))?;
        let pickle = Pickle::parse(&bytes).map_err(|e| damaged(format!("{entry}: {e}")))?;
        let own = |n: &&String| !n.starts_with("__torch__.");
        let foreign: Vec<&str> = pickle.foreign_names().iter().filter(own).map(String::as_str).collect();
        if foreign.is_empty() {
            return Ok(pickle);
        }
        Err(damaged(format!(
            "{entry} refers to {}, which no program of torch.jit.save does",
            foreign.join(", ")
        )))
    }
    /// The bytes of a storage of pickle `folder`.pkl.
    ///
    /// # Errors
    /// When it is missing or shorter than stated.
    pub fn storage(&self, folder: &str, storage: &StorageRef) -> Result<Bytes, Diag> {
        let key = &storage.key;
        let fail =
            |what: String| damaged(format!("storage {key:?} of {folder}: {what}; the file is damaged"));
        if key.is_empty() || &**key == ".." || key.contains(['/', '\\', '\0']) {
            return Err(fail("the key is no plain name".into()));
        }
        let size = storage.numel.checked_mul(storage.dtype.size() as u64);
        let size =
            size.and_then(|n| usize::try_from(n).ok()).ok_or_else(|| fail("its size overflows".into()))?;
        let name = format!("{}{folder}/{key}", self.prefix);
        let entry = self.archive.entry(&name).ok_or_else(|| fail("it is missing".into()))?;
        if entry.size() < size as u64 {
            return Err(fail(format!("it needs {size} bytes and holds {}", entry.size())));
        }
        let bytes = self.archive.read(&name).map_err(|e| fail(e.to_string()))?;
        if bytes.len() < size {
            return Err(fail(format!("it needs {size} bytes and holds {}", bytes.len())));
        }
        Ok(bytes.slice(..size))
    }
    /// The source file of module `module`, such as `__torch__.a.b`.
    fn unit(&self, module: &str) -> Result<Option<Rc<Unit>>, Diag> {
        if let Some(unit) = self.units.borrow().get(module) {
            return Ok(Some(unit.clone()));
        }
        let entry = format!("{}code/{}.py", self.prefix, module.replace('.', "/"));
        if !self.archive.contains(&entry) {
            return Ok(None);
        }
        let unit = Rc::new(self.read_unit(entry)?);
        self.units.borrow_mut().insert(module.to_owned(), unit.clone());
        Ok(Some(unit))
    }
    fn read_unit(&self, entry: String) -> Result<Unit, Diag> {
        if self.archive.entry(&entry).is_some_and(|e| e.size() > MAX_SOURCE) {
            return Err(damaged(format!("{entry} is larger than any program; the file is hostile")));
        }
        let bytes = self.archive.read(&entry).map_err(|e| damaged(e.to_string()))?;
        let text =
            String::from_utf8(bytes.to_vec()).map_err(|_| damaged(format!("{entry} is no UTF-8 text")))?;
        let File { classes, functions } = parse_file::file(&text).map_err(|e| {
            let line = lines(text.as_bytes().get(..e.pos as usize).unwrap_or_default()) + 1;
            Diag::error("E0202", format!("{entry}, line {line}: {}", e.what))
                .hint("the archived program is damaged: save it again with torch.jit.save")
        })?;
        let debug = self.archive.read(&format!("{entry}.debug_pkl")).ok();
        let ranges = debug.map(|b| Ranges::read(&b)).unwrap_or_default();
        let classes = classes.into_iter().map(|c| (c.name.clone(), Rc::new(c))).collect();
        let functions = functions.into_iter().map(|f| (f.name.clone(), Rc::new(f))).collect();
        Ok(Unit { entry, text, classes, functions, ranges })
    }
    /// The class with this dotted name, and the file it stands in.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn class(&self, name: &str) -> Result<Found<Class>, Diag> {
        let Some((module, name)) = name.rsplit_once('.') else { return Ok(None) };
        let Some(unit) = self.unit(module)? else { return Ok(None) };
        Ok(unit.classes.get(name).map(|c| (c.clone(), unit.clone())))
    }
    /// The function with this dotted name, and the file it stands in.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn function(&self, name: &str) -> Result<Found<Func>, Diag> {
        let Some((module, name)) = name.rsplit_once('.') else { return Ok(None) };
        let Some(unit) = self.unit(module)? else { return Ok(None) };
        Ok(unit.functions.get(name).map(|c| (c.clone(), unit.clone())))
    }
}

/// Elements of a list or tuple of a pickle.
pub fn items(pickle: &Pickle, id: ObjId) -> Option<&[ObjId]> {
    match pickle.get(id) {
        Object::List(items) | Object::Tuple(items) => Some(items),
        _ => None,
    }
}
