//! Any text as a graph: parsed or refused; what is parsed prints to a text that parses to the same print.
#![no_main]
use hoist_ir::text::{graph_text, parse_graph};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(graph) = parse_graph(text) {
        let once = graph_text(&graph);
        let again = parse_graph(&once).expect("printed text parses");
        assert_eq!(once, graph_text(&again));
    }
});
