//! Samples from lines of token ids.
//!
//! Each line is a sample; a column (separated by tabs) for each input, ids separated by spaces or commas. Empty lines and those that begin
//! with `#` are passed over.
use super::batches::{Part, Piece};
use super::convert::convert;
use super::fit::{BatchSize, Role, batch_size};
use super::interface::Input;
use super::{BATCH, Wanted, files, unfit, unreadable};
use hoist_ir::diag::Diag;
use hoist_ir::tensor::Tensor;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest line, in bytes.
const MAX_LINE: u64 = 16 << 20;

/// A file of lines.
pub struct Lines {
    path: PathBuf,
    inputs: Arc<[Input]>,
    /// What shorter columns are filled with: one number for each column, or for all.
    pad: Vec<i64>,
    samples: usize,
    batch: BatchSize,
    reader: Reader,
}

/// Where reading is.
struct Reader {
    lines: BufReader<File>,
    /// Number of the next line, and of the next sample.
    line: usize,
    sample: usize,
}

/// Opens a file of token ids and counts its lines.
///
/// # Errors
/// `E0101` when it cannot be read, `E0603` when the inputs are no token ids.
pub fn open(path: &Path, wanted: &Wanted) -> Result<Lines, Diag> {
    let wrong = |m: String| unfit(path, m);
    let mut roles = vec![];
    for input in wanted.inputs.iter().filter(|i| !i.optional) {
        roles.push((input, role(input).map_err(wrong)?, None));
    }
    if !matches!(wanted.pad_id.len(), 0 | 1) && wanted.pad_id.len() != roles.len() {
        let m = format!(
            "--pad-id has {} numbers; one is for all columns, else {}",
            wanted.pad_id.len(),
            roles.len()
        );
        return Err(wrong(m));
    }
    let batch = batch_size(&roles, wanted.batch, BATCH).map_err(wrong)?;
    let mut reader = Reader::new(path)?;
    while reader.next(path)?.is_some() {}
    let samples = reader.sample;
    let reader = Reader::new(path)?;
    let inputs = Arc::clone(&wanted.inputs);
    Ok(Lines { path: path.to_owned(), inputs, pad: wanted.pad_id.clone(), samples, batch, reader })
}

/// How a column makes an input.
fn role(input: &Input) -> Result<Role, String> {
    let Input { name, ty, dims, .. } = input;
    if !ty.dtype.is_int() {
        return Err(format!("input `{name}` is {ty}; text is for integers: token ids"));
    }
    match (dims.len(), input.axis) {
        (0, _) | (1, None) => Ok(Role::Inputs),
        (1 | 2, Some(_)) => Ok(Role::OneSample),
        _ => Err(format!("input `{name}` is {ty}; a line is one list of token ids")),
    }
}

impl Reader {
    fn new(path: &Path) -> Result<Self, Diag> {
        Ok(Self { lines: BufReader::new(files::open(path)?), line: 0, sample: 0 })
    }

    /// The next line that is a sample, with its number from 1.
    fn next(&mut self, path: &Path) -> Result<Option<(usize, String)>, Diag> {
        loop {
            let mut bytes = vec![];
            let mut limited = self.lines.by_ref().take(MAX_LINE);
            let len = limited.read_until(b'\n', &mut bytes).map_err(|e| unreadable(path, e))?;
            if len == 0 {
                return Ok(None);
            }
            self.line += 1;
            if len as u64 == MAX_LINE && bytes.last() != Some(&b'\n') {
                return Err(unfit(path, format!("line {} is longer than {} MiB", self.line, MAX_LINE >> 20)));
            }
            let text = String::from_utf8(bytes);
            let text = text.map_err(|_| unfit(path, format!("line {} is no UTF-8 text", self.line)))?;
            // Empty columns at the ends of a line count.
            let line = text.trim_end_matches(['\n', '\r']);
            if !line.trim().is_empty() && !line.starts_with('#') {
                self.sample += 1;
                return Ok(Some((self.line, line.to_owned())));
            }
        }
    }
}

impl Lines {
    fn pieces(&self, line: &str) -> Result<Vec<Piece>, String> {
        let wanted = self.inputs.iter().filter(|i| !i.optional).count();
        let columns: Vec<&str> = line.split('\t').collect();
        if columns.len() != wanted {
            let names: Vec<&str> =
                self.inputs.iter().filter(|i| !i.optional).map(|i| i.name.as_str()).collect();
            let m = format!("{} columns (separated by tabs) for {wanted} inputs", columns.len());
            return Err(format!("{m}: {}", names.join(", ")));
        }
        let mut columns = columns.into_iter().enumerate().peekable();
        let piece = |input: &Input| match columns.next_if(|_| !input.optional) {
            Some((at, text)) => piece(input, text, self.pad.get(at).or(self.pad.first()).copied()),
            None => Ok(Piece::Absent),
        };
        self.inputs.iter().map(piece).collect()
    }
}

/// The ids in `text` as the input, filled up with `pad`.
fn piece(input: &Input, text: &str, pad: Option<i64>) -> Result<Piece, String> {
    let words = text.split([' ', ',']).map(str::trim).filter(|w| !w.is_empty());
    let id = |w: &str| w.parse::<i64>().map_err(|_| format!("`{}` is no token id", shortened(w)));
    let mut ids = words.map(id).collect::<Result<Vec<_>, _>>()?;
    let name = &input.name;
    let along = (0..input.dims.len()).find(|a| Some(*a) != input.axis);
    let length = match along {
        Some(axis) => input.dims[axis].known().and_then(|n| usize::try_from(n).ok()),
        None => Some(1),
    };
    if let Some(length) = length.filter(|n| *n != ids.len()) {
        let m = format!("{} ids for input `{name}`, which takes {length}", ids.len());
        match pad.filter(|_| ids.len() < length && along.is_some()) {
            // Every such line takes that much, so that the length must be one that could be given.
            Some(pad) if length <= MAX_LINE as usize => ids.resize(length, pad),
            None if ids.len() < length && along.is_some() => {
                return Err(format!("{m} (--pad-id fills the rest)"));
            }
            _ => return Err(m),
        }
    }
    let mut shape = vec![];
    shape.extend(along.map(|_| ids.len()));
    if let Some(axis) = input.axis {
        shape.insert(axis.min(shape.len()), 1);
    }
    let tensor = convert(&Tensor::from_vec(&shape, ids), input.ty.dtype);
    let tensor = tensor.map_err(|m| format!("input `{name}`: {m}"))?;
    Ok(if input.axis.is_some() { Piece::Slice(tensor) } else { Piece::Whole(tensor) })
}

fn shortened(word: &str) -> String {
    word.chars().take(40).collect()
}

impl Part for Lines {
    fn samples(&self) -> usize {
        self.samples
    }
    fn batch(&self) -> BatchSize {
        self.batch
    }
    fn sample(&mut self, index: usize) -> Result<Vec<Piece>, Diag> {
        if index < self.reader.sample {
            self.reader = Reader::new(&self.path)?;
        }
        while let Some((number, line)) = self.reader.next(&self.path)? {
            if self.reader.sample > index {
                return self.pieces(&line).map_err(|m| unfit(&self.path, format!("line {number}: {m}")));
            }
        }
        Err(unfit(&self.path, "the file has changed while it was used"))
    }
}
