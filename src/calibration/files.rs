//! Files of calibration data: which there are, and what they hold.
use super::interface::Input;
use super::{arrays, unfit, unreadable};
use hoist_ir::diag::Diag;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Most files below one folder, and how deep they may lie.
const MAX_FILES: usize = 1 << 20;
const MAX_DEPTH: usize = 8;

/// What a file holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    Npz,
    Npy,
    Picture,
    Text,
}

/// Name endings, lower case.
const ENDINGS: &[(Kind, &[&str])] = &[
    (Kind::Npz, &["npz"]),
    (Kind::Npy, &["npy"]),
    (Kind::Picture, &["png", "jpg", "jpeg", "bmp", "webp", "ppm", "pgm", "pbm", "pnm", "tif", "tiff"]),
    (Kind::Text, &["txt", "tsv"]),
];

impl Kind {
    fn by_name(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?.to_ascii_lowercase();
        ENDINGS.iter().find(|(_, all)| all.contains(&ending.as_str())).map(|(kind, _)| *kind)
    }
    fn by_content(start: &[u8]) -> Option<Self> {
        match start {
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Some(Self::Npy),
            [b'P', b'K', 3 | 5, 4 | 6, ..] => Some(Self::Npz),
            [0x89, b'P', b'N', b'G', ..]
            | [0xff, 0xd8, 0xff, ..]
            | [b'I', b'I', 42 | 43, 0, ..]
            | [b'M', b'M', 0, 42 | 43, ..]
            | [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Picture),
            _ => None,
        }
    }
    fn noun(self) -> &'static str {
        match self {
            Self::Npz => ".npz files",
            Self::Npy => ".npy files",
            Self::Picture => "pictures",
            Self::Text => "text",
        }
    }
}

/// Something that is opened at once.
#[derive(Clone, Debug)]
pub enum Item {
    /// One file.
    File(PathBuf, Kind),
    /// A folder of `.npy` files that have the names of the inputs.
    Group(PathBuf, Vec<PathBuf>),
}

/// Opens a regular file.
///
/// # Errors
/// `E0101` when it is none, or cannot be opened.
pub fn open(path: &Path) -> Result<File, Diag> {
    // Opening a pipe would wait for a writer.
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() => File::open(path).map_err(|e| unreadable(path, e)),
        Ok(_) => Err(unreadable(path, "it is no regular file")),
        Err(e) => Err(unreadable(path, e)),
    }
}

/// What lies at `path`: a file, or the files of a folder in the order of their names. `notes` get what was passed over.
///
/// # Errors
/// `E0101` for what cannot be read, `E0603` for what holds no calibration data.
pub fn find(path: &Path, inputs: &[Input], notes: &mut Vec<String>) -> Result<Vec<Item>, Diag> {
    if fs::metadata(path).map_err(|e| unreadable(path, e))?.is_dir() {
        return folder(path, inputs, notes);
    }
    let mut start = [0; 16];
    let mut file = open(path)?;
    let len = file.read(&mut start).map_err(|e| unreadable(path, e))?;
    let kind = Kind::by_content(&start[..len]).or_else(|| Kind::by_name(path));
    let kind = kind.ok_or_else(|| {
        let hint = "calibration data are .npz, .npy, pictures (PNG, JPEG, BMP, WebP, PNM, TIFF) or .txt";
        unfit(path, "it holds nothing that can be calibrated with").hint(hint)
    })?;
    Ok(vec![Item::File(path.to_owned(), kind)])
}

fn folder(path: &Path, inputs: &[Input], notes: &mut Vec<String>) -> Result<Vec<Item>, Diag> {
    let mut all = vec![];
    list(path, MAX_DEPTH, &mut all)?;
    let mut files: Vec<(PathBuf, Kind)> = vec![];
    let mut passed: Vec<PathBuf> = vec![];
    for file in all {
        match Kind::by_name(&file) {
            Some(kind) => files.push((file, kind)),
            None => passed.push(file),
        }
    }
    // A text beside other data is about them: names of classes, a licence.
    if files.iter().any(|f| f.1 != Kind::Text) {
        passed.extend(files.extract_if(.., |f| f.1 == Kind::Text).map(|f| f.0));
    }
    if let Some(first) = passed.first() {
        notes.push(format!(
            "{}: {} files are passed over, such as {}",
            path.display(),
            passed.len(),
            first.display()
        ));
    }
    let Some(&(ref first, kind)) = files.first() else {
        return Err(unfit(path, "the folder holds no .npz or .npy files, pictures or .txt files"));
    };
    if let Some((other, another)) = files.iter().find(|f| f.1 != kind) {
        let (a, b) = (first.display(), other.display());
        let m = format!("the folder holds both {} ({a}) and {} ({b})", kind.noun(), another.noun());
        return Err(unfit(path, m).hint("give --calibration the ones that are meant"));
    }
    let stems: Vec<&str> = files.iter().filter_map(|f| f.0.file_stem()?.to_str()).collect();
    if kind == Kind::Npy
        && stems.len() == files.len()
        && inputs.len() > 1
        && arrays::are_names(inputs, &stems)
    {
        return Ok(vec![Item::Group(path.to_owned(), files.into_iter().map(|f| f.0).collect())]);
    }
    Ok(files.into_iter().map(|(path, kind)| Item::File(path, kind)).collect())
}

/// Appends the files below a folder, sorted by name, without hidden ones. Links to folders are not followed.
fn list(folder: &Path, depth: usize, out: &mut Vec<PathBuf>) -> Result<(), Diag> {
    let wrong = |e| unreadable(folder, e);
    let mut entries = fs::read_dir(folder)
        .map_err(wrong)?
        .take(MAX_FILES + 1)
        .collect::<Result<Vec<_>, _>>()
        .map_err(wrong)?;
    entries.sort_by_key(|e| e.file_name());
    for entry in entries {
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        if !entry.file_type().map_err(wrong)?.is_dir() {
            out.push(path);
        } else if depth > 0 {
            list(&path, depth - 1, out)?;
        } else {
            return Err(unfit(&path, format!("folders are nested deeper than {MAX_DEPTH}")));
        }
        if out.len() > MAX_FILES {
            return Err(unfit(folder, format!("there are more than {MAX_FILES} files")));
        }
    }
    Ok(())
}
