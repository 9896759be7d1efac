//! Named tensors without a program: what a checkpoint or a safetensors file holds.
pub mod fit;

use std::path::Path;

use hoist_ir::diag::{Diag, Diags};
use hoist_ir::tensor::Tensor;
use indexmap::IndexMap;

use crate::pytorch::schema::Table;
use crate::pytorch::state;
use crate::safetensors;
use crate::source::{Source, resolve_sidecar};
use crate::tensorflow::bundle::{self, looks_like_bundle};
use crate::zip::looks_like_zip;

/// Named tensors, and plain facts beside them. Tensors stay in the mapped file where their layout allows it.
#[derive(Debug, Clone, Default)]
pub struct Weights {
    /// What the file is, for people.
    pub format: &'static str,
    /// Tensors in the order of the file.
    pub tensors: IndexMap<String, Tensor>,
    /// Numbers and texts beside the tensors, such as `epoch`, with their paths.
    pub facts: Vec<(String, String)>,
    /// Notes on what was chosen and what was left out.
    pub warnings: Vec<Diag>,
}

impl Weights {
    /// Number of elements of all tensors; tensors that share storage count each.
    pub fn elements(&self) -> u64 {
        self.tensors.values().map(|t| t.len() as u64).fold(0, u64::saturating_add)
    }

    /// Bytes of all tensors; tensors that share storage count each.
    pub fn bytes(&self) -> u64 {
        self.tensors.values().map(|t| t.byte_len() as u64).fold(0, u64::saturating_add)
    }
}

/// How weights are read.
#[derive(Debug, Clone, Default)]
pub struct WeightOptions {
    /// Path of the dictionary to take out of a checkpoint; `.` takes everything.
    pub key: Option<String>,
    /// Takes the tensors out of objects of unlisted classes, and leaves the rest of these out.
    pub tensors_only: bool,
}

/// Longest index of a sharded checkpoint, in bytes, and most files it may name.
const MAX_INDEX: usize = 256 << 20;
const MAX_SHARDS: usize = 4096;

/// Most problems that are listed.
const MAX_LISTED: usize = 50;

/// What `*.index.json` holds: the file of each tensor.
#[derive(Debug, serde::Deserialize)]
struct Index {
    weight_map: Table<String>,
}

/// Names of the weights in a folder of a published model, the first one that is there counts.
const FOLDER_WEIGHTS: &[&str] = &[
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// Name of the file of weights in a folder.
pub fn in_folder(folder: &Path) -> Option<&'static str> {
    FOLDER_WEIGHTS.iter().copied().find(|name| folder.join(name).is_file())
}

/// Whether `text` is the index of a sharded checkpoint, judged by its first bytes.
pub fn looks_like_index(text: &[u8]) -> bool {
    let start = text.get(..4096).unwrap_or(text).trim_ascii_start();
    start.starts_with(b"{") && start.windows(12).any(|w| w == b"\"weight_map\"")
        || start.starts_with(b"{\"metadata\"") && start.windows(12).any(|w| w == b"\"total_size\"")
}

/// Reads a file of weights: a checkpoint of `torch.save` or of TensorFlow, a safetensors file, or the index of either in several files.
///
/// # Errors
/// What is wrong with the file or with one that it names.
pub fn read(source: &Source, options: &WeightOptions) -> Result<Weights, Diags> {
    let bytes = source.bytes();
    if looks_like_index(bytes) {
        read_index(source, options)
    } else if looks_like_bundle(bytes) || source.path().extension().is_some_and(|e| e == "index") {
        bundle::weights(source)
    } else if safetensors::looks_like(bytes) {
        // The length that it begins with may look like a pickle.
        safetensors::read(source)
    } else if looks_like_zip(bytes) || bytes.first() == Some(&0x80) {
        state::read(source, options)
    } else {
        safetensors::read(source)
    }
}

/// Reads all files that an index names. They lie in or below its own folder.
fn read_index(source: &Source, options: &WeightOptions) -> Result<Weights, Diags> {
    let text = source.bytes();
    if text.len() > MAX_INDEX {
        return Err(Diag::error(
            "E0205",
            format!("an index of {} bytes; {MAX_INDEX} is the most", text.len()),
        )
        .into());
    }
    let malformed = |what: String| Diags::from(Diag::error("E0201", what));
    let index: Index =
        serde_json::from_slice(text).map_err(|e| malformed(format!("the index of weights: {e}")))?;
    if let Some(name) = index.weight_map.repeated.first() {
        return Err(malformed(format!("the index names the file of `{name}` twice")));
    }
    let mut shards: IndexMap<&str, Weights> = IndexMap::new();
    let mut diags = Diags::default();
    let folder = source.path().parent().unwrap_or(Path::new(""));
    for (_, file) in index.weight_map.iter() {
        if shards.contains_key(file.as_str()) {
            continue;
        }
        if shards.len() == MAX_SHARDS {
            return Err(Diag::error("E0205", format!("the index names more than {MAX_SHARDS} files")).into());
        }
        let read = read_shard(folder, file, options);
        shards.insert(
            file,
            read.unwrap_or_else(|more| {
                diags.0.extend(more.0.into_iter().take(MAX_LISTED));
                Weights::default()
            }),
        );
    }
    diags.into_result()?;
    gather(&index, shards)
}

fn read_shard(folder: &Path, file: &str, options: &WeightOptions) -> Result<Weights, Diags> {
    let path = resolve_sidecar(folder, file).map_err(|e| Diag::error("E0105", e.to_string()))?;
    let shard = Source::open(&path).map_err(|e| Diag::error("E0101", e.to_string()))?;
    if looks_like_index(shard.bytes()) {
        return Err(Diag::error("E0202", format!("{file}: the index names another index")).into());
    }
    read(&shard, options).map_err(|mut diags| {
        for diag in &mut diags.0 {
            diag.message = format!("{file}: {}", diag.message);
        }
        diags
    })
}

/// The tensors in the order of the index, each out of the file it names.
fn gather(index: &Index, mut shards: IndexMap<&str, Weights>) -> Result<Weights, Diags> {
    let (mut all, mut diags) =
        (Weights { format: "sharded weights", ..Weights::default() }, Diags::default());
    for (name, file) in index.weight_map.iter() {
        match shards.get_mut(file.as_str()).and_then(|shard| shard.tensors.swap_remove(name)) {
            Some(tensor) => drop(all.tensors.insert(name.to_owned(), tensor)),
            None if diags.0.len() < MAX_LISTED => diags.push(
                Diag::error("E0202", format!("the index says that {file} holds `{name}`, and it does not"))
                    .hint("the index and its files are not of one model: fetch them all again"),
            ),
            None => {}
        }
    }
    diags.into_result()?;
    for (file, shard) in shards {
        if let Some(name) = shard.tensors.keys().next() {
            let m = format!(
                "{file} holds {} tensors that the index does not name, such as `{name}`",
                shard.tensors.len()
            );
            all.warnings.push(Diag::warning("E0202", m));
        }
        all.warnings.extend(shard.warnings);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &Path, name: &str, text: &[u8]) {
        std::fs::write(folder.join(name), text).unwrap();
    }

    fn shard(names: &[&str]) -> Vec<u8> {
        let info = |(i, n): (usize, &&str)| {
            format!(r#""{n}":{{"dtype":"U8","shape":[1],"data_offsets":[{i},{}]}}"#, i + 1)
        };
        let header = format!("{{{}}}", names.iter().enumerate().map(info).collect::<Vec<_>>().join(","));
        let data: Vec<u8> = names.iter().map(|n| n.as_bytes()[0]).collect();
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
    }

    fn read_map(folder: &Path, map: &str) -> Result<Weights, String> {
        let text = format!(r#"{{"metadata":{{"total_size":3}},"weight_map":{map}}}"#);
        file(folder, "model.safetensors.index.json", text.as_bytes());
        let source = Source::open(folder.join("model.safetensors.index.json")).unwrap();
        read(&source, &WeightOptions::default()).map_err(|d| d.to_string())
    }

    #[test]
    fn shards_are_joined_in_the_order_of_the_index() {
        let dir = tempfile::tempdir().unwrap();
        file(dir.path(), "1.safetensors", &shard(&["a", "b"]));
        file(dir.path(), "2.safetensors", &shard(&["c"]));
        let all = read_map(dir.path(), r#"{"c":"2.safetensors","b":"1.safetensors"}"#).unwrap();
        assert_eq!(all.tensors.keys().collect::<Vec<_>>(), ["c", "b"]);
        assert_eq!(all.tensors["b"].to_i64s().unwrap(), [i64::from(b'b')]);
        assert!(all.warnings[0].message.contains("such as `a`"));
        let fails = |map: &str, word: &str| {
            let error = read_map(dir.path(), map).unwrap_err();
            assert!(error.contains(word), "{error}");
        };
        fails(r#"{"c":"1.safetensors"}"#, "it does not");
        fails(r#"{"c":"3.safetensors"}"#, "3.safetensors");
        fails(r#"{"c":"../2.safetensors"}"#, "outside");
        fails(r#"{"c":"model.safetensors.index.json"}"#, "another index");
        fails(r#"{"c":"2.safetensors","c":"2.safetensors"}"#, "twice");
        fails(r#"{"c":7}"#, "index of weights");
    }
}
