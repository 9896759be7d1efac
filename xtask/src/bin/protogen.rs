//! Turns the `.proto` files of `hoist-formats` into checked-in Rust, without protoc.
//!
//! `protogen [--check]`, run at the root of the workspace by `cargo xtask protos`. With `--check` nothing is written and a file
//! that differs from what would be generated is an error.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// One schema and the Rust file made of it.
struct Schema {
    /// Folder of the `.proto` file, from the workspace root.
    folder: &'static str,
    /// File name of the schema.
    proto: &'static str,
    /// Protobuf package, which names prost-build's output.
    package: &'static str,
    /// Message fields kept on the heap, because they are rare and would widen a struct that exists in large numbers.
    boxed: &'static [&'static str],
}

const SCHEMAS: &[Schema] = &[
    Schema {
        folder: "formats/src/onnx",
        proto: "onnx.proto",
        package: "onnx",
        boxed: &[
            ".onnx.AttributeProto.t",
            ".onnx.AttributeProto.g",
            ".onnx.AttributeProto.tp",
            ".onnx.AttributeProto.sparse_tensor",
        ],
    },
    Schema {
        folder: "formats/src/tensorflow",
        proto: "tensorflow.proto",
        package: "tensorflow",
        boxed: &[
            ".tensorflow.AttrValue.value.list",
            ".tensorflow.AttrValue.value.shape",
            ".tensorflow.AttrValue.value.tensor",
            ".tensorflow.AttrValue.value.func",
        ],
    },
];

fn main() -> Result<()> {
    let check = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--check") => true,
        Some(other) => bail!("unknown argument `{other}`; protogen takes `--check` or nothing"),
    };
    SCHEMAS.iter().try_for_each(|schema| {
        let text = generate(schema).with_context(|| format!("{}/{}", schema.folder, schema.proto))?;
        store(&Path::new(schema.folder).join("generated.rs"), &text, check)
    })
}

/// The Rust text of one schema; every `bytes` field becomes `bytes::Bytes`, so that decoding from `Bytes` copies no weights.
fn generate(schema: &Schema) -> Result<String> {
    let descriptors = protox::Compiler::new([schema.folder])?
        .include_source_info(true)
        .include_imports(true)
        .open_file(schema.proto)?
        .file_descriptor_set();
    let out = Scratch::new(schema.package)?;
    let mut config = prost_build::Config::new();
    config.bytes(["."]).btree_map(["."]).out_dir(&out.0);
    for field in schema.boxed {
        config.boxed(field);
    }
    config.compile_fds(descriptors)?;
    Ok(fs::read_to_string(out.0.join(format!("{}.rs", schema.package)))?)
}

/// Writes `text` to `path` or, when checking, compares.
fn store(path: &Path, text: &str, check: bool) -> Result<()> {
    if !check {
        return fs::write(path, text).with_context(|| format!("cannot write {}", path.display()));
    }
    let have = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    if have != text {
        bail!(
            "{} is not what its schema generates; run `cargo xtask protos` and commit the result",
            path.display()
        );
    }
    Ok(())
}

/// A folder for prost-build's output, removed on drop.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("protogen-{name}-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover folder in the temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
