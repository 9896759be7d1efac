//! Any bytes as a file of weights: read or refused; what is read can be written and is bounded by the file.
#![no_main]
use hoist_parsers::source::Source;
use hoist_parsers::weights::{WeightOptions, read};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let source = Source::from_bytes("fuzz.pth", bytes::Bytes::copy_from_slice(data));
    for tensors_only in [false, true] {
        let options = WeightOptions { tensors_only, ..WeightOptions::default() };
        if let Ok(weights) = read(&source, &options) {
            for tensor in weights.tensors.values().filter(|t| t.byte_len() < 1 << 20) {
                assert_eq!(tensor.to_shared_bytes().expect("a tensor that was read").len(), tensor.byte_len());
            }
        }
    }
});
