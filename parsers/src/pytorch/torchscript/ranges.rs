//! Where the archived source comes from: `.debug_pkl` files.
//!
//! The pickle holds a mark, a table of texts, and records `(offset, range, id)`. A range is `(text, first, last)`, where a text is
//! `(parts, file, line)`: the parts are indices into the table, `file` is one, and `line` is that of the text's first line. Older
//! files hold the records alone, with the texts in place. A traced program has stack traces in place of source text.
use crate::pytorch::pickle::{ObjId, Object, Pickle};
use std::sync::Arc;

/// Mark of files with a table of texts.
const MARK: &str = "FORMAT_WITH_STRING_TABLE";
/// Longest text that is kept.
const MAX_TEXT: usize = 300;

/// Source lines by offsets in the archived text.
#[derive(Debug, Default)]
pub struct Ranges {
    lines: Vec<(u32, Option<Arc<str>>)>,
}

impl Ranges {
    /// Reads a `.debug_pkl`; what cannot be understood gives nothing.
    pub fn read(bytes: &[u8]) -> Self {
        Pickle::parse(bytes).ok().and_then(|p| Self::of(&p)).unwrap_or_default()
    }
    fn of(pickle: &Pickle) -> Option<Self> {
        let root = tuple(pickle, pickle.root())?;
        let (table, records) = match root {
            [mark, table, records] if pickle.text(*mark) == Some(MARK) => {
                (tuple(pickle, *table)?, tuple(pickle, *records)?)
            }
            records => (&[][..], records),
        };
        let reader = Reader { pickle, table };
        let mut lines: Vec<(u32, Option<Arc<str>>)> = vec![];
        for record in records {
            if let Some([offset, range, ..]) = tuple(pickle, *record) {
                let offset = u32::try_from(int(pickle, *offset)?).ok()?;
                lines.push((offset, reader.line(*range)));
            }
        }
        lines.sort_by_key(|(offset, _)| *offset);
        Some(Self { lines })
    }
    /// `file:line` of the user's source for a byte offset of the archived text.
    pub fn line(&self, pos: u32) -> Option<Arc<str>> {
        let after = self.lines.partition_point(|(offset, _)| *offset <= pos);
        self.lines.get(after.checked_sub(1)?)?.1.clone()
    }
}

fn tuple(pickle: &Pickle, id: ObjId) -> Option<&[ObjId]> {
    super::program::items(pickle, id)
}
fn int(pickle: &Pickle, id: ObjId) -> Option<i64> {
    match pickle.get(id) {
        Object::Int(v) => Some(*v),
        _ => None,
    }
}

struct Reader<'a> {
    pickle: &'a Pickle,
    table: &'a [ObjId],
}

impl Reader<'_> {
    /// A text, or the table's text of that index.
    fn text(&self, id: ObjId) -> Option<&str> {
        match self.pickle.get(id) {
            Object::Str(text) => Some(text),
            Object::Int(i) => self.pickle.text(*self.table.get(usize::try_from(*i).ok()?)?),
            _ => None,
        }
    }
    fn line(&self, range: ObjId) -> Option<Arc<str>> {
        let [source, first, ..] = tuple(self.pickle, range)? else { return None };
        let [parts, file, start] = tuple(self.pickle, *source)? else { return None };
        let texts: Vec<&str> = match tuple(self.pickle, *parts) {
            Some(parts) => parts.iter().filter_map(|p| self.text(*p)).collect(),
            None => vec![self.text(*parts)?],
        };
        if let Some(line) = traced(&texts) {
            return Some(line);
        }
        let file = self.text(*file).filter(|f| !f.is_empty())?;
        let start = int(self.pickle, *start)?;
        let first = usize::try_from(int(self.pickle, *first)?).ok()?;
        let mut left = first;
        let mut line = start;
        for text in texts {
            let Some(part) = text.as_bytes().get(..left.min(text.len())) else { break };
            line = line.checked_add(super::program::lines(part) as i64)?;
            left -= part.len();
            if left == 0 {
                break;
            }
        }
        Some(format!("{}:{}", clip(file), line).into())
    }
}

/// `file:line` of the innermost frame outside PyTorch itself, when the text is a stack trace of lines `file(line): function`.
fn traced(texts: &[&str]) -> Option<Arc<str>> {
    let frame = |text: &&str| {
        let (head, _) = text.trim_end().rsplit_once("): ")?;
        let (file, line) = head.rsplit_once('(')?;
        Some((file.to_owned(), line.parse::<u32>().ok()?))
    };
    let frames: Vec<(String, u32)> =
        texts.iter().flat_map(|t| t.lines()).map(|l| frame(&l)).take(200).collect::<Option<_>>()?;
    let own = |f: &&(String, u32)| !f.0.contains("/torch/") && !f.0.contains("\\torch\\");
    let (file, line) = frames.iter().find(own).or(frames.first())?;
    Some(format!("{}:{line}", clip(file)).into())
}

fn clip(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}
