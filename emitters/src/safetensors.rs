//! Writing safetensors: the header first, then each tensor as it is computed.
use hoist_formats::safetensors::{MAX_HEADER, METADATA, dtype_name, dtype_rank};
use hoist_ir::diag::{Diag, Diags};
use hoist_ir::tensor::Tensor;
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::io::{self, Write};

/// Alignment of the first element, in bytes.
const ALIGNMENT: usize = 8;

/// A file ready to be written.
#[derive(Debug)]
pub struct Plan<'a> {
    header: Vec<u8>,
    tensors: Vec<&'a Tensor>,
}

/// Lays a file out: tensors by alignment, widest first, then by name; `metadata` in its order.
///
/// # Errors
/// `E0302` for each tensor whose element type the format does not have, and for a name that it reserves; `E0205` for a header beyond what readers accept.
pub fn plan<'a>(
    tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>,
    metadata: &[(&str, &str)],
) -> Result<Plan<'a>, Diags> {
    let mut sorted: Vec<(&str, &Tensor)> = tensors.into_iter().collect();
    sorted.sort_by_key(|(name, t)| (Reverse(dtype_rank(t.dtype())), *name));
    let (mut header, mut diags, mut at) = (Map::new(), Diags::default(), 0);
    if !metadata.is_empty() {
        let texts: Map<String, Value> = metadata.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
        header.insert(METADATA.to_owned(), Value::Object(texts));
    }
    for (name, tensor) in &sorted {
        let Some(dtype) = dtype_name(tensor.dtype()) else {
            let m = format!("tensor `{name}`: safetensors has no element type {}", tensor.dtype().name());
            diags.push(Diag::error("E0302", m).hint("convert it to another type before saving"));
            continue;
        };
        if *name == METADATA {
            diags.push(Diag::error(
                "E0302",
                format!("a tensor is called {METADATA}, which safetensors reserves"),
            ));
        }
        let end = at + tensor.byte_len();
        header.insert(
            (*name).to_owned(),
            json!({"dtype": dtype, "shape": tensor.shape(), "data_offsets": [at, end]}),
        );
        at = end;
    }
    diags.into_result()?;
    let mut header = Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
    if header.len() as u64 > MAX_HEADER {
        let m = format!("the names and sizes of {} tensors take {} bytes", sorted.len(), header.len());
        return Err(Diag::error("E0205", m).hint("readers of safetensors accept 100 MB at most").into());
    }
    Ok(Plan { header, tensors: sorted.into_iter().map(|(_, t)| t).collect() })
}

impl Plan<'_> {
    /// Writes the file.
    ///
    /// # Errors
    /// Those of `sink`; a tensor that cannot be read is `InvalidData`.
    pub fn write(&self, sink: &mut dyn Write) -> io::Result<()> {
        sink.write_all(&(self.header.len() as u64).to_le_bytes())?;
        sink.write_all(&self.header)?;
        self.tensors.iter().try_for_each(|t| t.write_to(sink))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoist_ir::dtype::DType;

    #[test]
    fn wide_elements_come_first_and_the_data_is_aligned() {
        let a = Tensor::from_vec(&[2], vec![1u8, 2]);
        let b = Tensor::from_vec(&[1], vec![3i64]);
        let mut out = Vec::new();
        plan([("a", &a), ("b", &b)], &[("format", "pt")]).unwrap().write(&mut out).unwrap();
        let length = u64::from_le_bytes(out[..8].try_into().unwrap()) as usize;
        assert_eq!(length % ALIGNMENT, 0);
        let header = std::str::from_utf8(&out[8..8 + length]).unwrap().trim_end();
        assert_eq!(
            header,
            r#"{"__metadata__":{"format":"pt"},"b":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[2],"data_offsets":[8,10]}}"#
        );
        assert_eq!(out[8 + length..], [3, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn types_and_names_the_format_lacks_are_listed() {
        let t = Tensor::splat(&Tensor::scalar(0.0f64), &[2]).unwrap().bitcast(DType::F64).unwrap();
        let c = Tensor::from_bytes(DType::C128, &[1], vec![0; 16].into(), None).unwrap();
        let diags = plan([("__metadata__", &t), ("c", &c)], &[]).unwrap_err();
        assert_eq!(diags.0.len(), 2, "{diags}");
    }
}
