//! What the JSON types cannot say about an exported program, collected in one list.

use std::collections::HashSet;
use std::fmt;

use super::{Argument, ExportedProgram, Graph, InputSpec, SCHEMA_MAJOR, SymInt, Table, TensorMeta};

/// Deepest nesting of parentheses in a symbolic expression.
const MAX_EXPR_DEPTH: usize = 64;

/// Deepest nesting of graphs in graphs.
const MAX_GRAPH_DEPTH: usize = 16;

/// One thing that is wrong with an exported program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: a node, a value, or a part of the program.
    pub place: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

impl ExportedProgram {
    /// Everything that is wrong with the program's structure: the version, unknown or malformed arguments, names
    /// that repeat or that nothing makes, types with unknown codes or negative sizes, bounds that exclude each
    /// other. Empty when the program is sound.
    pub fn validate(&self) -> Vec<Problem> {
        let mut check = Check { problems: Vec::new() };
        let version = self.schema_version;
        if version.major != SCHEMA_MAJOR {
            let what = format!(
                "version {}.{} is not read, only {SCHEMA_MAJOR}.x; export again with a PyTorch that writes it",
                version.major, version.minor
            );
            check.add("schema_version", what);
        }
        let graph = &self.graph_module.graph;
        let signature = &self.graph_module.signature;
        if signature.input_specs.len() != graph.inputs.len() {
            let (specs, inputs) = (signature.input_specs.len(), graph.inputs.len());
            check.add("signature", format!("{specs} input specs for {inputs} graph inputs"));
        }
        check.inputs(&signature.input_specs, &graph.inputs);
        if signature.output_specs.len() != graph.outputs.len() {
            let (specs, outputs) = (signature.output_specs.len(), graph.outputs.len());
            check.add("signature", format!("{specs} output specs for {outputs} graph outputs"));
        }
        for (symbol, range) in self.range_constraints.iter() {
            if matches!((range.min_val, range.max_val), (Some(low), Some(high)) if low > high) {
                check.add(&format!("symbol {symbol:?}"), "its smallest value is above its largest");
            }
        }
        check.graph(graph, "graph", 0);
        check.problems
    }
}

struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn add(&mut self, place: &str, what: impl Into<String>) {
        self.problems.push(Problem { place: place.to_owned(), what: what.into() });
    }

    /// Each spec of a tensor speaks of the graph input at its own place.
    fn inputs(&mut self, specs: &[InputSpec], inputs: &[Argument]) {
        for (index, (spec, input)) in specs.iter().zip(inputs).enumerate() {
            let same = match spec {
                InputSpec::UserInput { arg } => arg == input,
                InputSpec::Parameter { arg, .. }
                | InputSpec::Buffer { arg, .. }
                | InputSpec::TensorConstant { arg, .. } => {
                    matches!(input, Argument::Tensor(tensor) if tensor == arg)
                }
                InputSpec::CustomObj { .. } | InputSpec::Token { .. } | InputSpec::ConstantInput { .. } => {
                    true
                }
            };
            if !same {
                self.add(
                    "signature",
                    format!("input spec {index} speaks of another value than graph input {index}"),
                );
            }
        }
    }

    fn graph(&mut self, graph: &Graph, place: &str, depth: usize) {
        if depth >= MAX_GRAPH_DEPTH {
            return self.add(place, format!("graphs nest deeper than {MAX_GRAPH_DEPTH} levels"));
        }
        let mut made = HashSet::new();
        for input in &graph.inputs {
            self.argument(input, &format!("{place} inputs"), depth);
            self.define(&mut made, input, &format!("{place} inputs"));
        }
        for (index, node) in graph.nodes.iter().enumerate() {
            let name = node
                .name
                .clone()
                .or_else(|| node.outputs.iter().find_map(|o| Some(o.names().first()?.to_string())));
            let name = name.unwrap_or_else(|| format!("#{index}"));
            let place = format!("node {name:?} ({})", node.target);
            for input in &node.inputs {
                let at = format!("{place}, argument {:?}", input.name);
                self.argument(&input.arg, &at, depth);
                self.uses(&made, &input.arg, &at);
            }
            for output in &node.outputs {
                self.argument(output, &place, depth);
                self.define(&mut made, output, &place);
            }
        }
        for output in &graph.outputs {
            let at = format!("{place} outputs");
            self.argument(output, &at, depth);
            self.uses(&made, output, &at);
        }
        self.tables(graph);
    }

    fn define<'a>(&mut self, made: &mut HashSet<&'a str>, argument: &'a Argument, place: &str) {
        for name in argument.names() {
            if !made.insert(name) {
                self.add(place, format!("the value {name:?} is made twice"));
            }
        }
    }

    fn uses(&mut self, made: &HashSet<&str>, argument: &Argument, place: &str) {
        for name in argument.names() {
            if !made.contains(name) {
                self.add(place, format!("the value {name:?} is used, and nothing before makes it"));
            }
        }
    }

    fn argument(&mut self, argument: &Argument, place: &str, depth: usize) {
        match argument {
            Argument::Unknown(kind) => {
                self.add(
                    place,
                    format!("arguments of kind {kind:?} are not known; a newer PyTorch wrote the file"),
                );
            }
            Argument::Malformed(kinds) if kinds.is_empty() => self.add(place, "an argument without a kind"),
            Argument::Malformed(kinds) => {
                self.add(place, format!("an argument of several kinds: {}", kinds.join(", ")));
            }
            Argument::ScalarType(code) if code.dtype().is_none() => {
                self.add(place, format!("element type {} is not known", code.0));
            }
            Argument::Graph(name, graph) => self.graph(graph, &format!("{place}, graph {name:?}"), depth + 1),
            Argument::StringToArgument(map) => {
                for value in map.items.values() {
                    self.argument(value, place, depth);
                }
            }
            _ => {}
        }
    }

    fn tables(&mut self, graph: &Graph) {
        self.repeated(&graph.tensor_values);
        self.repeated(&graph.sym_int_values);
        self.repeated(&graph.sym_float_values);
        self.repeated(&graph.sym_bool_values);
        self.repeated(&graph.custom_obj_values);
        for (name, meta) in graph.tensor_values.iter() {
            self.meta(&format!("value {name:?}"), meta);
        }
        for (name, value) in graph.sym_int_values.iter() {
            self.sym_int(&format!("value {name:?}"), value);
        }
    }

    fn repeated<T>(&mut self, table: &Table<T>) {
        for key in &table.repeated {
            self.add(&format!("value {key:?}"), "its type is given twice");
        }
    }

    /// Types of tensors.
    fn meta(&mut self, place: &str, meta: &TensorMeta) {
        if meta.dtype.dtype().is_none() {
            self.add(place, format!("element type {} is not known", meta.dtype.0));
        }
        if meta.sizes.len() != meta.strides.len() {
            self.add(place, format!("{} sizes and {} strides", meta.sizes.len(), meta.strides.len()));
        }
        for size in &meta.sizes {
            if matches!(size, SymInt::Int(value) if *value < 0) {
                self.add(place, "a size is negative");
            }
        }
        for number in meta.sizes.iter().chain(&meta.strides) {
            self.sym_int(place, number);
        }
    }

    fn sym_int(&mut self, place: &str, value: &SymInt) {
        if let SymInt::Expr(expr) = value
            && depth_of(&expr.expr_str) > MAX_EXPR_DEPTH
        {
            self.add(place, format!("a symbolic size nests deeper than {MAX_EXPR_DEPTH} levels"));
        }
    }
}

/// Deepest nesting of parentheses in `text`.
fn depth_of(text: &str) -> usize {
    let (mut open, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' => open += 1,
            b')' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}
