//! Tables in text files: one key and value in each line.
use super::R;
use crate::source::{Source, resolve_sidecar};
use crate::tensorflow::tensor::bad;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::tensor::Tensor;
use std::path::Path;

/// The number of the line.
const NUMBER: i64 = -1;
/// The whole line.
const LINE: i64 = -2;

/// Where keys or values are in a line, and their type.
pub(super) struct Side {
    pub(super) index: i64,
    pub(super) dtype: DType,
}

/// How a file is read.
pub(super) struct File {
    pub(super) delimiter: String,
    /// Lines behind these are passed over.
    pub(super) most: Option<usize>,
    pub(super) keys: Side,
    pub(super) values: Side,
}

impl File {
    /// Keys and values of the file at `path`, which lies in `folder` or below.
    pub(super) fn read(&self, folder: &Path, path: &str) -> R<(Tensor, Tensor)> {
        let found = resolve_sidecar(folder, path).map_err(|e| {
            let message = e.to_string().replace("external data", "the file of a table");
            Diag::error("E0105", message).hint("the file belongs beside the graph")
        })?;
        let source = Source::open(found).map_err(|e| Diag::error("E0101", e.to_string()))?;
        let text = std::str::from_utf8(source.bytes())
            .map_err(|_| bad(format!("the file `{path}` of a table is not UTF-8")))?;
        self.split(text)
            .map_err(|d| Diag { message: format!("the file `{path}` of a table: {}", d.message), ..d })
    }
    fn split(&self, text: &str) -> R<(Tensor, Tensor)> {
        let text = text.strip_suffix('\n').unwrap_or(text);
        let lines = text.split('\n').filter(|_| !text.is_empty());
        let lines = lines.take(self.most.unwrap_or(usize::MAX));
        let (mut keys, mut values) = (vec![], vec![]);
        for (number, line) in lines.enumerate() {
            // TensorFlow leaves carriage returns out wherever they are.
            let line = line.replace('\r', "");
            if line.is_empty() {
                return Err(bad(format!("line {} is empty", number + 1)));
            }
            keys.push(self.part(&self.keys, &line, number)?);
            values.push(self.part(&self.values, &line, number)?);
        }
        if let Some(most) = self.most.filter(|most| *most > keys.len()) {
            return Err(bad(format!("it has {} lines instead of {most}", keys.len())));
        }
        Ok((tensor(keys, self.keys.dtype)?, tensor(values, self.values.dtype)?))
    }
    fn part(&self, side: &Side, line: &str, number: usize) -> R<String> {
        match side.index {
            NUMBER => Ok(number.to_string()),
            LINE => Ok(line.to_owned()),
            column => {
                let column = usize::try_from(column).ok();
                let found = column.and_then(|c| line.split(&*self.delimiter).nth(c));
                found
                    .map(str::to_owned)
                    .ok_or_else(|| bad(format!("line {} has too few columns", number + 1)))
            }
        }
    }
}

fn tensor(texts: Vec<String>, dtype: DType) -> R<Tensor> {
    fn parsed<T: std::str::FromStr>(texts: &[String]) -> R<Vec<T>> {
        let one = |t: &String| t.trim().parse().map_err(|_| bad(format!("{t:?} is no number")));
        texts.iter().map(one).collect()
    }
    let n = [texts.len()];
    Ok(match dtype {
        DType::String => Tensor::from_strings(&n, texts),
        DType::I64 => Tensor::from_vec(&n, parsed::<i64>(&texts)?),
        DType::I32 => Tensor::from_vec(&n, parsed::<i32>(&texts)?),
        DType::F32 => Tensor::from_vec(&n, parsed::<f32>(&texts)?),
        DType::F64 => Tensor::from_vec(&n, parsed::<f64>(&texts)?),
        other => return Err(bad(format!("entries of type {other}"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(keys: i64, values: (i64, DType), most: Option<usize>) -> File {
        let side = |index, dtype| Side { index, dtype };
        File {
            delimiter: "\t".into(),
            most,
            keys: side(keys, DType::String),
            values: side(values.0, values.1),
        }
    }

    #[test]
    fn lines_numbers_and_columns() {
        let (k, v) = file(LINE, (NUMBER, DType::I64), None).split("a\r\nb\n").unwrap();
        assert_eq!(
            (k.strings().unwrap(), v.to_i64s().unwrap()),
            (&["a".to_owned(), "b".to_owned()][..], vec![0, 1])
        );
        let (k, v) = file(1, (0, DType::F32), Some(1)).split("1.5\tx\n2\ty").unwrap();
        assert_eq!((k.strings().unwrap(), v.to_f64s().unwrap()), (&["x".to_owned()][..], vec![1.5]));
        assert!(file(LINE, (NUMBER, DType::I64), None).split("a\n\nb").is_err());
        assert!(file(LINE, (NUMBER, DType::I64), Some(3)).split("a\nb").is_err());
        assert!(file(LINE, (1, DType::I64), None).split("a").is_err());
    }
}
