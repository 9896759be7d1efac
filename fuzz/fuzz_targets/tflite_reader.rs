//! Any bytes as a TFLite model: read or refused; what is read is a valid graph.
#![no_main]
use hoist_parsers::pytorch::lift::state::StateMode;
use hoist_parsers::source::Source;
use hoist_parsers::tflite::read;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let source = Source::from_bytes("fuzz.tflite", bytes::Bytes::copy_from_slice(data));
    if let Ok(model) = read(&source, StateMode::Explicit) {
        assert!(!model.graph.verify().has_errors());
    }
});
