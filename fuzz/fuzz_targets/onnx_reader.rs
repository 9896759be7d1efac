//! Any bytes as an ONNX model: read or refused; what is read is a valid graph.
#![no_main]
use hoist_parsers::onnx::{ReadOptions, read};
use hoist_parsers::source::Source;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let source = Source::from_bytes("fuzz.onnx", bytes::Bytes::copy_from_slice(data));
    // An empty folder that does not exist: external data never reaches a real file.
    let options = ReadOptions { data_dirs: vec!["/nonexistent".into()] };
    if let Ok(model) = read(&source, &options) {
        assert!(!model.graph.verify().has_errors());
    }
});
