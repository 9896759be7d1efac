//! IR to text.
use super::attr::{kind, write_attr};
use super::lexer::{is_plain, quote};
use super::literal::{hex, write_tensor};
use crate::entity::SideTable;
use crate::graph::{Def, Graph, Node, NodeId, Notes, Value, ValueId};
use crate::model::Model;
use crate::ops::Op;
use crate::tensor::Tensor;
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::io;

/// How much of the constants is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Constants {
    /// Everything: short ones as lists, others as hexadecimal bytes. Reads back bit for bit.
    #[default]
    Full,
    /// A hash in place of constants with more elements. Does not read back.
    Elide {
        /// Elements that are still printed.
        above: usize,
    },
}

/// What the text form shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PrintOptions {
    /// How much of the constants is printed.
    pub constants: Constants,
    /// Whether nodes show where they come from.
    pub origins: bool,
}

impl Default for PrintOptions {
    fn default() -> Self {
        Self { constants: Constants::Full, origins: true }
    }
}

impl PrintOptions {
    /// For reading by people: no origins, constants of more than 16 elements as hashes.
    pub fn dump() -> Self {
        Self { constants: Constants::Elide { above: 16 }, origins: false }
    }
}

/// A tensor for messages: type and contents, more than 32 elements as a hash.
pub fn tensor_text(t: &Tensor) -> String {
    let mut out = String::new();
    match write_tensor(&mut out, t, Constants::Elide { above: 32 }) {
        Ok(()) => out,
        Err(fmt::Error) => t.ty().to_string(),
    }
}

/// A run-time value for messages, in the syntax that [`super::parse_value`] reads.
pub fn value_text(v: &crate::eval::Value) -> String {
    use crate::eval::Value;
    match v {
        Value::Tensor(t) => tensor_text(t),
        Value::Sequence(all) => {
            let all: Vec<String> = all.iter().map(value_text).collect();
            format!("seq({})", all.join(", "))
        }
        Value::Optional(inner) => {
            format!("optional({})", inner.as_deref().map(value_text).unwrap_or_default())
        }
    }
}

/// A graph as text with everything in it.
pub fn graph_text(g: &Graph) -> String {
    let mut out = String::new();
    // A `String` takes any text; only a constant that cannot be computed stops the printer, and its graph's text ends there.
    let _ = write_graph(&mut out, g, PrintOptions::default());
    out
}

/// A model as text with everything in it.
pub fn model_text(m: &Model) -> String {
    let mut out = String::new();
    let _ = write_model(&mut out, m, PrintOptions::default());
    out
}

/// Writes a graph as text.
///
/// # Errors
/// Those of `out`, and when a lazy constant cannot be computed.
pub fn write_graph(out: &mut dyn Write, g: &Graph, options: PrintOptions) -> fmt::Result {
    Printer { out, options }.graph("graph", g, 0)
}

/// Writes a model as text: a header with what is not in the graph, if anything, then the main graph. Samples and warnings have no
/// text form.
///
/// # Errors
/// Those of `out`, and when a lazy constant cannot be computed.
pub fn write_model(out: &mut dyn Write, m: &Model, options: PrintOptions) -> fmt::Result {
    let mut p = Printer { out, options };
    p.header(m)?;
    p.graph("graph", &m.graph, 0)
}

/// Writes a model as text to a byte stream.
///
/// # Errors
/// Those of `sink`; a lazy constant that cannot be computed is `InvalidData`.
pub fn save_model(sink: &mut dyn io::Write, m: &Model, options: PrintOptions) -> io::Result<()> {
    struct Bytes<'s>(&'s mut dyn io::Write, io::Result<()>);
    impl Write for Bytes<'_> {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            self.1 = self.0.write_all(s.as_bytes());
            if self.1.is_ok() { Ok(()) } else { Err(fmt::Error) }
        }
    }
    let mut bytes = Bytes(sink, Ok(()));
    match write_model(&mut bytes, m, options) {
        Ok(()) => Ok(()),
        Err(fmt::Error) => Err(bytes.1.err().unwrap_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "a constant of the model cannot be computed")
        })),
    }
}

/// Numbers and names of one graph's values.
struct Scope<'g> {
    graph: &'g Graph,
    /// How many values have the name.
    count: HashMap<&'g str, u32>,
    numbers: SideTable<Value, Option<u32>>,
    next: u32,
}

impl<'g> Scope<'g> {
    fn new(graph: &'g Graph) -> Self {
        let mut count: HashMap<&str, u32> = HashMap::new();
        for (_, v) in graph.values() {
            let printed = v.def() != Def::Erased && !(v.def() == Def::Const && v.uses().is_empty());
            if let Some(name) = v.name.as_deref().filter(|_| printed) {
                *count.entry(name).or_insert(0) += 1;
            }
        }
        Self { graph, count, numbers: SideTable::new(None), next: 0 }
    }
    fn unique_name(&self, v: ValueId) -> Option<&'g str> {
        let name = self.graph.value(v).name.as_deref().filter(|n| !n.is_empty())?;
        (self.count.get(name) == Some(&1)).then_some(name)
    }
    /// How `v` is written. Its number, if it needs one, is the next free one at its first mention.
    fn label(&mut self, v: ValueId) -> String {
        match self.unique_name(v) {
            Some(name) if is_plain(name) => format!("%{name}"),
            Some(name) => format!("%{}", quote(name)),
            None => {
                let next = &mut self.next;
                let number = self.numbers.get_mut(v).get_or_insert_with(|| {
                    *next += 1;
                    *next - 1
                });
                format!("%{number}")
            }
        }
    }
    /// How `v` is written where it is defined: a name that others have too follows its number.
    fn definition(&mut self, v: ValueId) -> String {
        let label = self.label(v);
        match self.graph.value(v).name.as_deref().filter(|n| !n.is_empty()) {
            Some(name) if self.unique_name(v).is_none() => format!("{label} as {}", quote(name)),
            _ => label,
        }
    }
}

struct Printer<'o> {
    out: &'o mut dyn Write,
    options: PrintOptions,
}

impl Printer<'_> {
    fn header(&mut self, m: &Model) -> fmt::Result {
        let mut entries: Vec<String> = vec![];
        let texts = [
            ("source", &*m.source),
            ("producer", &*m.producer),
            ("producer_version", &*m.producer_version),
            ("domain", &*m.domain),
            ("doc", m.doc.as_str()),
        ];
        for (key, text) in texts.iter().filter(|(_, t)| !t.is_empty()) {
            entries.push(format!("{key}={}", quote(text)));
        }
        if m.version != 0 {
            entries.push(format!("version={}", m.version));
        }
        let mut list = |key: &str, items: Vec<String>| {
            if !items.is_empty() {
                entries.push(format!("{key}=[{}]", items.join(", ")));
            }
        };
        list("opset", m.opsets.iter().map(|(d, v)| format!("{}={v}", quote(d))).collect());
        list("props", m.props.iter().map(|(k, v)| format!("{}={}", quote(k), quote(v))).collect());
        let function = |f: &crate::model::Function| {
            format!("({}, {}, \"{}\")", quote(&f.domain), quote(&f.name), hex(&f.encoded))
        };
        let opaque =
            |(kind, bytes): &(String, bytes::Bytes)| format!("({}, \"{}\")", quote(kind), hex(bytes));
        list("opaque", m.opaque.iter().map(opaque).collect());
        list("functions", m.functions.iter().map(function).collect());
        if entries.is_empty() {
            return Ok(());
        }
        self.out.write_str("model {\n")?;
        for e in entries {
            writeln!(self.out, "  {e},")?;
        }
        self.out.write_str("}\n")
    }

    fn line(&mut self, depth: usize) -> fmt::Result {
        (0..depth).try_for_each(|_| self.out.write_str("  "))
    }
    fn notes(&mut self, notes: Option<&Notes>) -> fmt::Result {
        let Some(notes) = notes else { return Ok(()) };
        if !notes.doc.is_empty() {
            write!(self.out, " @doc({})", quote(&notes.doc))?;
        }
        notes.props.iter().try_for_each(|(k, v)| write!(self.out, " @prop({}, {})", quote(k), quote(v)))?;
        notes.opaque.iter().try_for_each(|(k, b)| write!(self.out, " @opaque({}, \"{}\")", quote(k), hex(b)))
    }
    fn graph(&mut self, keyword: &str, g: &Graph, depth: usize) -> fmt::Result {
        let mut scope = Scope::new(g);
        self.out.write_str(keyword)?;
        if !g.name.is_empty() {
            self.out.write_str(" @")?;
            self.name(&g.name)?;
        }
        self.out.write_char('(')?;
        let wide = g.inputs().len() > 4;
        for (i, v) in g.inputs().iter().enumerate() {
            self.out.write_str(if i > 0 { "," } else { "" })?;
            if wide {
                self.out.write_char('\n')?;
                self.line(depth + 2)?;
            } else if i > 0 {
                self.out.write_char(' ')?;
            }
            self.typed(&mut scope, *v)?;
        }
        self.out.write_char(')')?;
        self.notes(g.notes.as_deref())?;
        self.out.write_str(" {\n")?;
        let mut defined = SideTable::new(false);
        for n in g.order() {
            for v in g.node(n).inputs().iter().flatten() {
                self.constant(&mut scope, &mut defined, *v, depth + 1)?;
            }
            self.node(&mut scope, n, depth + 1)?;
        }
        for o in g.outputs() {
            self.constant(&mut scope, &mut defined, o.value, depth + 1)?;
        }
        self.returned(&mut scope, depth + 1)?;
        self.line(depth)?;
        self.out.write_str("}\n")
    }
    fn name(&mut self, name: &str) -> fmt::Result {
        if is_plain(name) { self.out.write_str(name) } else { self.out.write_str(&quote(name)) }
    }
    /// Name, type and notes of a value where it is defined.
    fn typed(&mut self, scope: &mut Scope<'_>, v: ValueId) -> fmt::Result {
        let value = scope.graph.value(v);
        write!(self.out, "{}: {}", scope.definition(v), value.ty())?;
        self.notes(value.notes.as_deref())
    }
    /// The statement of `v` if it is a constant not printed yet.
    fn constant(
        &mut self,
        scope: &mut Scope<'_>,
        defined: &mut SideTable<Value, bool>,
        v: ValueId,
        depth: usize,
    ) -> fmt::Result {
        let Some(tensor) = scope.graph.constant(v) else { return Ok(()) };
        if std::mem::replace(defined.get_mut(v), true) {
            return Ok(());
        }
        self.line(depth)?;
        self.out.write_str(&scope.definition(v))?;
        self.notes(scope.graph.value(v).notes.as_deref())?;
        self.out.write_str(" = const ")?;
        write_tensor(self.out, tensor, self.options.constants)?;
        self.out.write_char('\n')
    }
    fn node(&mut self, scope: &mut Scope<'_>, n: NodeId, depth: usize) -> fmt::Result {
        let node = scope.graph.node(n);
        self.line(depth)?;
        for (i, v) in node.outputs().iter().enumerate() {
            self.out.write_str(if i > 0 { ", " } else { "" })?;
            self.typed(scope, *v)?;
        }
        self.out.write_str(if node.outputs().is_empty() { "" } else { " = " })?;
        let call = matches!(node.op(), Op::Custom(c) if c.defined);
        self.out.write_str(if call { "call" } else { node.op().name() })?;
        if let Op::Custom(op) = node.op() {
            write!(self.out, "({}, {}", quote(&op.domain), quote(&op.name))?;
            if !op.overload.is_empty() {
                write!(self.out, ", {}", quote(&op.overload))?;
            }
            self.out.write_char(')')?;
        }
        self.operands(scope, node)?;
        self.attrs(node.op())?;
        if let Some(name) = node.name.as_deref().filter(|n| !n.is_empty()) {
            write!(self.out, " @{}", quote(name))?;
        }
        self.notes(node.notes.as_deref())?;
        self.origin(node)?;
        self.out.write_char('\n')?;
        for body in node.bodies() {
            self.line(depth + 1)?;
            self.graph("body", body, depth + 1)?;
        }
        Ok(())
    }
    fn operands(&mut self, scope: &mut Scope<'_>, node: &Node) -> fmt::Result {
        self.out.write_char('(')?;
        let captured = node.inputs().len().saturating_sub(node.captures());
        for (i, v) in node.inputs().iter().enumerate() {
            self.out.write_str(match i {
                i if i == captured => [" | ", "| "][usize::from(i == 0)],
                0 => "",
                _ => ", ",
            })?;
            match v {
                Some(v) => self.out.write_str(&scope.label(*v))?,
                None => self.out.write_char('_')?,
            }
        }
        self.out.write_char(')')
    }
    fn attrs(&mut self, op: &Op) -> fmt::Result {
        let constants = self.options.constants;
        if let Op::Custom(op) = op {
            for (i, (name, value)) in op.attrs.iter().enumerate() {
                self.out.write_str(if i > 0 { ", " } else { " {" })?;
                self.name(name)?;
                write!(self.out, ": {} = ", kind(value))?;
                write_attr(self.out, value, false, constants)?;
            }
            return self.out.write_str(if op.attrs.is_empty() { "" } else { "}" });
        }
        let set = op.set_attrs();
        for (i, (name, value)) in set.iter().enumerate() {
            write!(self.out, "{}{name}=", if i > 0 { ", " } else { " {" })?;
            write_attr(self.out, value, true, constants)?;
        }
        self.out.write_str(if set.is_empty() { "" } else { "}" })
    }
    fn origin(&mut self, node: &Node) -> fmt::Result {
        let parts = if self.options.origins { node.origin.parts() } else { &[] };
        for p in parts {
            write!(self.out, " @origin({}, {}", quote(&p.name), quote(&p.op))?;
            if let Some(module) = &p.module {
                write!(self.out, ", module={}", quote(module))?;
            }
            if let Some(line) = &p.line {
                write!(self.out, ", line={}", quote(line))?;
            }
            self.out.write_char(')')?;
        }
        Ok(())
    }
    fn returned(&mut self, scope: &mut Scope<'_>, depth: usize) -> fmt::Result {
        self.line(depth)?;
        self.out.write_str("return")?;
        for (i, o) in scope.graph.outputs().iter().enumerate() {
            self.out.write_str(if i > 0 { ", " } else { " " })?;
            if !o.name.is_empty() {
                self.name(&o.name)?;
                self.out.write_str(": ")?;
            }
            self.out.write_str(&scope.label(o.value))?;
            self.notes(o.notes.as_deref())?;
        }
        self.out.write_char('\n')
    }
}
