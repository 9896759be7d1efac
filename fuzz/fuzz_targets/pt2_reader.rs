//! Any bytes as an exported program: read or refused; what is read is a valid graph.
#![no_main]
use hoist_parsers::pytorch::program::read;
use hoist_parsers::source::Source;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let source = Source::from_bytes("fuzz.pt2", bytes::Bytes::copy_from_slice(data));
    if let Ok(model) = read(&source) {
        assert!(!model.graph.verify().has_errors());
    }
});
