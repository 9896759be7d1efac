//! Which format a file has: by what its bytes say, else by its extension.
use bytes::Bytes;
use clap::ValueEnum;
use hoist_ir::diag::Diag;
use hoist_parsers::safetensors;
use hoist_parsers::safetensors::arch::folder::looks_like_config;
use hoist_parsers::source::Source;
use hoist_parsers::tensorflow::bundle::looks_like_bundle;
use hoist_parsers::tensorflow_js::looks_like_model;
use hoist_parsers::weights::{self, looks_like_index};
use hoist_parsers::zip::{Archive, looks_like_zip};
use protobuf::{is_graph_def, is_meta_graph, is_onnx, is_saved_model};
use std::path::{Path, PathBuf};

mod protobuf;

/// Formats that are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum InputFormat {
    /// ONNX protobuf
    Onnx,
    /// PyTorch program written by torch.export.save
    Pt2,
    /// PyTorch program written by torch.jit.save
    #[value(name = "torchscript")]
    TorchScript,
    /// TFLite flatbuffer
    #[value(name = "tflite")]
    TfLite,
    /// Frozen graph of TensorFlow
    #[value(name = "graphdef")]
    GraphDef,
    /// SavedModel of TensorFlow
    #[value(name = "savedmodel")]
    SavedModel,
    /// Graph of TensorFlow with a checkpoint of its name beside it
    #[value(name = "metagraph")]
    MetaGraph,
    /// Whole Keras model in HDF5
    #[value(name = "keras-h5")]
    KerasH5,
    /// Keras 3 archive
    Keras,
    /// Description of a TensorFlow.js model, model.json
    #[value(name = "tfjs")]
    TfJs,
    /// Folder of a published model: config.json with weights beside it
    #[value(name = "hf")]
    HuggingFace,
    /// Hoist's text form
    Hir,
    /// PyTorch weights written by torch.save
    Checkpoint,
    /// Index of a TensorFlow checkpoint
    #[value(name = "tensorbundle")]
    TensorBundle,
    /// safetensors weights
    Safetensors,
    /// Index of weights in several files
    Index,
}

impl InputFormat {
    /// Whether files of this format hold weights without the program that uses them.
    pub fn is_weights(self) -> bool {
        matches!(self, Self::Checkpoint | Self::TensorBundle | Self::Safetensors | Self::Index)
    }
}

/// Formats that are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum OutputFormat {
    /// ONNX protobuf
    Onnx,
    /// TFLite flatbuffer
    #[value(name = "tflite")]
    TfLite,
    /// Hoist's text form
    Hir,
    /// safetensors, for weights
    Safetensors,
}

impl OutputFormat {
    /// The format to write `path` in: `to` when given, else by the extension.
    ///
    /// # Errors
    /// `E0104` for formats that are known and not written, `E0103` for other extensions.
    pub fn of(path: &Path, to: Option<Self>) -> Result<Self, Diag> {
        if let Some(format) = to {
            return Ok(format);
        }
        match by_extension(path) {
            Some(Kind::Input(InputFormat::Onnx)) => Ok(Self::Onnx),
            Some(Kind::Input(InputFormat::TfLite)) => Ok(Self::TfLite),
            Some(Kind::Input(InputFormat::Hir)) => Ok(Self::Hir),
            Some(Kind::Input(InputFormat::Safetensors)) => Ok(Self::Safetensors),
            Some(Kind::Input(InputFormat::Pt2 | InputFormat::TorchScript)) => {
                Err(unwritten(path, "PyTorch programs"))
            }
            Some(Kind::Input(InputFormat::Checkpoint | InputFormat::Index)) => {
                Err(unwritten(path, "PyTorch checkpoints"))
            }
            Some(Kind::Input(InputFormat::TensorBundle)) => Err(unwritten(path, "TensorFlow checkpoints")),
            Some(Kind::Input(InputFormat::GraphDef | InputFormat::SavedModel | InputFormat::MetaGraph)) => {
                Err(unwritten(path, "TensorFlow graphs"))
            }
            Some(Kind::Input(InputFormat::KerasH5 | InputFormat::Keras)) => {
                Err(unwritten(path, "Keras models"))
            }
            Some(Kind::Input(InputFormat::HuggingFace)) => Err(unwritten(path, "folders of models")),
            Some(Kind::Input(InputFormat::TfJs)) => Err(unwritten(path, "TensorFlow.js models")),
            Some(Kind::Other(other)) => Err(unwritten(path, other.what().1)),
            None => Err(Diag::error("E0103", format!("{}: the extension names no format", path.display()))
                .hint("name the file .onnx, .tflite, .hir or, for weights, .safetensors, or add --to")),
        }
    }
}

fn unwritten(path: &Path, what: &str) -> Diag {
    Diag::error("E0104", format!("{}: Hoist does not write {what} (yet)", path.display()))
        .hint("it writes .onnx, .tflite, .hir and, for weights, .safetensors")
}

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Something Hoist reads.
    Input(InputFormat),
    /// Something Hoist recognizes and does not read.
    Other(Other),
}

/// Recognized and not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Other {
    /// GGUF weights.
    Gguf,
    /// Arrays of `NumPy`.
    NumPy,
    /// Compressed by gzip.
    Gzip,
    /// Pointer left by git-LFS.
    LfsPointer,
    /// Web page.
    WebPage,
    /// Zip archive of another kind.
    Zip,
}

/// Next step for GGUF files.
const WEIGHTS_ONLY: &str = "it holds weights without the program that uses them: export the model with torch.export.export and torch.export.save, and convert the .pt2";

impl Other {
    /// One of them with its article, several of them, and what to do about it.
    fn what(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Gguf => ("a GGUF file", "GGUF files", WEIGHTS_ONLY),
            Self::NumPy => ("a NumPy array file", "NumPy array files", "give a model; arrays go to --inputs"),
            Self::Gzip => ("a gzip file", "gzip files", "unpack it first"),
            Self::LfsPointer => {
                ("a git-LFS pointer", "git-LFS pointers", "fetch the real file with `git lfs pull`")
            }
            Self::WebPage => ("a web page", "web pages", "the download failed: fetch the file again"),
            Self::Zip => (
                "a zip archive without anything Hoist knows in it",
                "zip archives",
                "name the format with --from, or unpack it",
            ),
        }
    }
    /// Why `path` is not read.
    pub fn refusal(self, path: &Path) -> Diag {
        let (one, _, advice) = self.what();
        let no_model =
            matches!(self, Self::NumPy | Self::Gzip | Self::LfsPointer | Self::WebPage | Self::Zip);
        let but = if no_model { "not a model" } else { "which Hoist does not read (yet)" };
        Diag::error("E0104", format!("{}: this is {one}, {but}", path.display())).hint(advice)
    }
}

/// Extensions, lower case.
const EXTENSIONS: &[(&str, Kind)] = &[
    ("onnx", Kind::Input(InputFormat::Onnx)),
    ("pt2", Kind::Input(InputFormat::Pt2)),
    ("hir", Kind::Input(InputFormat::Hir)),
    ("tflite", Kind::Input(InputFormat::TfLite)),
    ("lite", Kind::Input(InputFormat::TfLite)),
    ("keras", Kind::Input(InputFormat::Keras)),
    ("h5", Kind::Input(InputFormat::KerasH5)),
    ("hdf5", Kind::Input(InputFormat::KerasH5)),
    ("pb", Kind::Input(InputFormat::GraphDef)),
    ("meta", Kind::Input(InputFormat::MetaGraph)),
    ("index", Kind::Input(InputFormat::TensorBundle)),
    ("pt", Kind::Input(InputFormat::Checkpoint)),
    ("pth", Kind::Input(InputFormat::Checkpoint)),
    ("ckpt", Kind::Input(InputFormat::Checkpoint)),
    ("bin", Kind::Input(InputFormat::Checkpoint)),
    ("safetensors", Kind::Input(InputFormat::Safetensors)),
    ("gguf", Kind::Other(Other::Gguf)),
    ("npz", Kind::Other(Other::NumPy)),
    ("npy", Kind::Other(Other::NumPy)),
];

fn by_extension(path: &Path) -> Option<Kind> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    EXTENSIONS.iter().find(|(e, _)| *e == extension).map(|(_, kind)| *kind)
}

/// What the file `path` with content `bytes` is. Content counts more than the name.
///
/// # Errors
/// `E0103` when neither tells, `E0201` for an empty file without a telling name.
pub fn detect(path: &Path, bytes: &Bytes) -> Result<Kind, Diag> {
    let named = by_extension(path);
    // A zip archive that does not show what it is may be a damaged one of the kind its name says.
    let shown = by_content(bytes).filter(|kind| *kind != Kind::Other(Other::Zip) || named.is_none());
    match (shown, named) {
        (Some(kind), _) | (None, Some(kind)) => Ok(kind),
        (None, None) if bytes.is_empty() => {
            Err(Diag::error("E0201", format!("{}: the file is empty", path.display())))
        }
        (None, None) => {
            let m =
                format!("{}: neither the name nor the content tells which format this is", path.display());
            Err(Diag::error("E0103", m).hint("name it with --from onnx, pt2, tflite, graphdef or hir"))
        }
    }
}

/// The file that makes a folder a `SavedModel`.
pub const SAVED_MODEL: &str = "saved_model.pb";
/// The file that makes a folder a model of TensorFlow.js.
const MODEL_JSON: &str = "model.json";
/// The file that describes a published model, beside its weights.
const CONFIG: &str = "config.json";

/// The model in a folder: the file to read, and its format.
pub fn in_folder(folder: &Path) -> Option<(PathBuf, InputFormat)> {
    let named = |name: &str, format| Some((folder.join(name), format)).filter(|(path, _)| path.is_file());
    named(SAVED_MODEL, InputFormat::SavedModel).or_else(|| named(MODEL_JSON, InputFormat::TfJs)).or_else(
        || {
            let weights = weights_in(folder)?;
            config_beside(&weights).map(|config| (config, InputFormat::HuggingFace))
        },
    )
}

/// The configuration of the model whose weights are at `path`, where there is one.
pub fn config_beside(path: &Path) -> Option<PathBuf> {
    let config = path.with_file_name(CONFIG);
    let text = Source::open(&config).ok()?;
    looks_like_config(text.bytes()).then_some(config)
}

/// The graph of the checkpoint that `path` is the prefix of, as TensorFlow names checkpoints; without a graph, its index.
pub fn of_prefix(path: &Path) -> Option<(PathBuf, InputFormat)> {
    let with = |ending: &str| {
        let mut name = path.file_name()?.to_owned();
        name.push(ending);
        Some(path.with_file_name(name)).filter(|p| p.is_file())
    };
    let graph = with(".meta").map(|p| (p, InputFormat::MetaGraph));
    graph.or_else(|| with(".index").map(|p| (p, InputFormat::TensorBundle)))
}

/// The file of weights in a folder.
pub fn weights_in(folder: &Path) -> Option<PathBuf> {
    weights::in_folder(folder).map(|name| folder.join(name))
}

fn by_content(bytes: &Bytes) -> Option<Kind> {
    let other = |other| Some(Kind::Other(other));
    let start = bytes.get(..512).unwrap_or(bytes);
    if looks_like_zip(bytes) {
        return Some(of_zip(bytes));
    }
    if start.starts_with(b"\x89HDF\r\n\x1a\n") {
        return Some(Kind::Input(InputFormat::KerasH5));
    }
    if start.get(4..8) == Some(b"TFL3") {
        return Some(Kind::Input(InputFormat::TfLite));
    }
    if start.starts_with(b"GGUF") {
        return other(Other::Gguf);
    }
    if start.starts_with(b"\x93NUMPY") {
        return other(Other::NumPy);
    }
    if start.starts_with(b"\x1f\x8b\x08") {
        return other(Other::Gzip);
    }
    if safetensors::looks_like(bytes) {
        return Some(Kind::Input(InputFormat::Safetensors));
    }
    // A pickle of protocol 2 to 5: the checkpoints of old PyTorch.
    if matches!(start, [0x80, 2..=5, ..]) {
        return Some(Kind::Input(InputFormat::Checkpoint));
    }
    if looks_like_index(bytes) {
        return Some(Kind::Input(InputFormat::Index));
    }
    if looks_like_model(bytes) {
        return Some(Kind::Input(InputFormat::TfJs));
    }
    if looks_like_config(bytes) {
        return Some(Kind::Input(InputFormat::HuggingFace));
    }
    if looks_like_bundle(bytes) {
        return Some(Kind::Input(InputFormat::TensorBundle));
    }
    if is_onnx(bytes) {
        return Some(Kind::Input(InputFormat::Onnx));
    }
    if is_saved_model(bytes) {
        return Some(Kind::Input(InputFormat::SavedModel));
    }
    if is_meta_graph(bytes) {
        return Some(Kind::Input(InputFormat::MetaGraph));
    }
    if is_graph_def(bytes) {
        return Some(Kind::Input(InputFormat::GraphDef));
    }
    of_text(start)
}

fn of_text(start: &[u8]) -> Option<Kind> {
    let text = String::from_utf8_lossy(start);
    let lower = text.trim_start().to_ascii_lowercase();
    if lower.starts_with("version https://git-lfs") {
        return Some(Kind::Other(Other::LfsPointer));
    }
    if lower.starts_with("<!doctype html") || lower.starts_with("<html") {
        return Some(Kind::Other(Other::WebPage));
    }
    let mut lines =
        text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with(';'));
    let first = lines.next()?;
    let starts = |word: &str| {
        first.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '{', '(', '@']) || rest.is_empty())
    };
    (starts("model") || starts("graph")).then_some(Kind::Input(InputFormat::Hir))
}

fn of_zip(bytes: &Bytes) -> Kind {
    let Ok(archive) = Archive::open(bytes.clone()) else { return Kind::Other(Other::Zip) };
    let ends = |end: &str| archive.names().any(|name| name.ends_with(end));
    if ends("archive_format")
        || ends("serialized_exported_program.json")
        || archive.names().any(|n| n.contains("/models/") && has_json_extension(n))
    {
        Kind::Input(InputFormat::Pt2)
    } else if ends("/constants.pkl") {
        Kind::Input(InputFormat::TorchScript)
    } else if ends("/data.pkl") {
        Kind::Input(InputFormat::Checkpoint)
    } else if archive.contains("config.json") && ends(".weights.h5") {
        Kind::Input(InputFormat::Keras)
    } else if ends(".npy") {
        Kind::Other(Other::NumPy)
    } else {
        Kind::Other(Other::Zip)
    }
}

fn has_json_extension(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str, bytes: &[u8]) -> Result<Kind, &'static str> {
        detect(Path::new(name), &Bytes::copy_from_slice(bytes)).map_err(|d| d.code)
    }

    #[test]
    fn content_counts_more_than_the_name() {
        let onnx = Ok(Kind::Input(InputFormat::Onnx));
        let model: &[u8] = &[8, 8, 0x3a, 2, 0x12, 0];
        assert_eq!(kind("m.tflite", model), onnx);
        assert_eq!(kind("m", model), onnx);
        assert_eq!(kind("m.onnx", b"\x1f\x8b\x08\0"), Ok(Kind::Other(Other::Gzip)));
        assert_eq!(kind("m.onnx", b"junk"), onnx);
        assert_eq!(kind("m.bin", b"....TFL3"), Ok(Kind::Input(InputFormat::TfLite)));
        assert_eq!(kind("m", b"; comment\n\ngraph @g() {"), Ok(Kind::Input(InputFormat::Hir)));
        assert_eq!(kind("m", b"graphics are fun"), Err("E0103"));
        assert_eq!(kind("m", b""), Err("E0201"));
        assert_eq!(kind("m.hir", b""), Ok(Kind::Input(InputFormat::Hir)));
        assert_eq!(kind("m", b"\x02\0\0\0\0\0\0\0{\"..."), Ok(Kind::Input(InputFormat::Safetensors)));
        assert_eq!(kind("m", b" {\"metadata\":{},\"weight_map\":{}}"), Ok(Kind::Input(InputFormat::Index)));
        assert_eq!(kind("m", b"{\"format\":\"graph-model\""), Ok(Kind::Input(InputFormat::TfJs)));
        assert_eq!(kind("m.pt2", b"PK\x03\x04"), Ok(Kind::Input(InputFormat::Pt2)));
    }

    #[test]
    fn tensorflow_by_content() {
        // A node `a` of operator `b`; a graph with a name for what it is; a cut ONNX file whose producer is called so.
        let graph: &[u8] = &[0x0a, 6, 0x0a, 1, b'a', 0x12, 1, b'b'];
        let saved: &[u8] = &[8, 1, 0x12, 4, 0x0a, 2, 0x2a, 0];
        assert_eq!(kind("m", graph), Ok(Kind::Input(InputFormat::GraphDef)));
        assert_eq!(kind("m", saved), Ok(Kind::Input(InputFormat::SavedModel)));
        assert_eq!(kind("m.onnx", &[8, 8, 0x12, 2, b'p', b'y']), Ok(Kind::Input(InputFormat::Onnx)));
    }

    #[test]
    fn outputs_by_extension() {
        let of = |name: &str| OutputFormat::of(Path::new(name), None).map_err(|d| d.code);
        assert_eq!(of("a.onnx"), Ok(OutputFormat::Onnx));
        assert_eq!(of("a.HIR"), Ok(OutputFormat::Hir));
        assert_eq!(of("a.safetensors"), Ok(OutputFormat::Safetensors));
        assert_eq!(of("a.tflite"), Ok(OutputFormat::TfLite));
        assert_eq!(of("a.pth"), Err("E0104"));
        assert_eq!(of("a.pt2"), Err("E0104"));
        assert_eq!(of("a"), Err("E0103"));
        assert_eq!(OutputFormat::of(Path::new("a"), Some(OutputFormat::Hir)), Ok(OutputFormat::Hir));
    }
}
