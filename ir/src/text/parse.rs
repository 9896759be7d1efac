//! Text to IR.
use super::attr::{KINDS, attr};
use super::lexer::{Cursor, Fault, Tok, ValueName};
use super::literal::{SEEDED_BYTES, integer, tensor, unhex};
use super::types;
use crate::attr::Attr;
use crate::diag::{Diag, Diags};
use crate::edit::NewNode;
use crate::graph::{Graph, Notes, Origin, OriginPart, ValueId};
use crate::model::{Function, Model};
use crate::ops::{Custom, Op};
use crate::types::Type;
use std::collections::HashMap;
use std::sync::Arc;

/// Errors kept of one text.
const MAX_DIAGS: usize = 50;

/// Reads a model: an optional header and a graph.
///
/// # Errors
/// Everything wrong, at most 50 entries: `E0404` for syntax, the operator's own codes for operands that do not fit, `E0402` for a
/// type that contradicts what is computed. Messages start with line and column.
pub fn parse_model(text: &str) -> Result<Model, Diags> {
    let mut p = Parser { c: Cursor::new(text), text, diags: Diags::default(), budget: SEEDED_BYTES };
    let model = p.model();
    match model {
        Err(f) => {
            p.report(f);
            Err(p.diags)
        }
        Ok(m) if p.diags.0.is_empty() => Ok(m),
        Ok(_) => Err(p.diags),
    }
}

/// Reads the graph of a model.
///
/// # Errors
/// Those of [`parse_model`].
pub fn parse_graph(text: &str) -> Result<Graph, Diags> {
    parse_model(text).map(|m| m.graph)
}

/// Values that can be named so far; `None` for one whose definition has an error that is already reported.
type Names<'a> = HashMap<ValueName<'a>, Option<ValueId>>;

/// A value being defined.
struct Definition<'a> {
    at: usize,
    label: ValueName<'a>,
    name: Option<Arc<str>>,
    ty: Option<(usize, Type)>,
    notes: Option<Box<Notes>>,
}

/// What follows the operands.
#[derive(Default)]
struct Tail {
    name: Option<Arc<str>>,
    notes: Notes,
    origin: Origin,
    bodies: Vec<Graph>,
}

struct Parser<'a> {
    c: Cursor<'a>,
    text: &'a str,
    diags: Diags,
    budget: usize,
}

impl<'a> Parser<'a> {
    fn report(&mut self, fault: Fault) {
        if self.diags.0.len() < MAX_DIAGS {
            self.diags.push(fault.place(self.text));
        }
    }
    fn report_diag(&mut self, at: usize, diag: Diag) {
        self.report(Fault { at, diag });
    }

    fn model(&mut self) -> Result<Model, Fault> {
        let mut m = Model::default();
        if self.c.eat_word("model") {
            self.c.need('{')?;
            while !self.c.eat('}') {
                self.header_entry(&mut m)?;
                if !self.c.eat(',') && !self.c.is('}') {
                    return Err(self.c.expected("`,` or `}`"));
                }
            }
        }
        if !self.c.eat_word("graph") {
            return Err(self.c.expected("`graph`"));
        }
        m.graph = self.graph()?;
        if self.c.tok == Tok::End { Ok(m) } else { Err(self.c.expected("the end of the text")) }
    }
    fn header_entry(&mut self, m: &mut Model) -> Result<(), Fault> {
        let c = &mut self.c;
        let at = c.at;
        let key = c.word("an entry such as `producer`")?;
        c.need('=')?;
        match key {
            "source" => m.source = c.string()?.into(),
            "producer" => m.producer = c.string()?.into(),
            "producer_version" => m.producer_version = c.string()?.into(),
            "domain" => m.domain = c.string()?.into(),
            "doc" => m.doc = c.string()?.into_owned(),
            "version" => m.version = version(c)?,
            "opset" => {
                c.need('[')?;
                m.opsets = c.list(']', |c| {
                    let domain = c.string()?.into();
                    c.need('=')?;
                    Ok((domain, version(c)?))
                })?;
            }
            "props" => {
                c.need('[')?;
                m.props = c.list(']', |c| {
                    let key = c.string()?.into_owned();
                    c.need('=')?;
                    Ok((key, c.string()?.into_owned()))
                })?;
            }
            "opaque" => {
                c.need('[')?;
                m.opaque = c.list(']', |c| {
                    c.need('(')?;
                    encoded(c)
                })?;
            }
            "functions" => {
                c.need('[')?;
                m.functions = c.list(']', function)?;
            }
            _ => return Err(Fault::new(at, format!("a model has no entry `{key}`"))),
        }
        Ok(())
    }

    /// What follows `graph` or `body`.
    fn graph(&mut self) -> Result<Graph, Fault> {
        self.c.deepen()?;
        let g = self.graph_here();
        self.c.leave();
        g
    }
    fn graph_here(&mut self) -> Result<Graph, Fault> {
        let mut g = Graph::default();
        if self.c.eat('@') {
            g.name = self.c.name("a name")?.into();
        }
        let mut names = Names::new();
        self.c.need('(')?;
        let inputs = self.c.list(')', definition)?;
        for d in inputs {
            let Some((_, ty)) = d.ty.clone() else {
                return Err(Fault::new(d.at, format!("input `{}` needs a type", d.label)));
            };
            let v = g.add_input(d.name.as_deref().unwrap_or_default(), ty);
            if let Some(notes) = d.notes {
                g.set_notes(v, *notes);
            }
            self.define(&mut names, d.at, d.label, Some(v));
        }
        let mut notes = Notes::default();
        while self.c.eat('@') {
            note(&mut self.c, &mut notes)?;
        }
        g.notes = boxed(notes);
        self.c.need('{')?;
        while self.c.tok != Tok::Ident("return") {
            if self.c.tok == Tok::End {
                return Err(self.c.expected("`return`"));
            }
            let at = self.c.at;
            if let Err(f) = self.statement(&mut g, &mut names) {
                self.report(f);
                self.recover(at)?;
            }
        }
        self.c.bump();
        if !self.c.is('}') {
            self.outputs(&mut g, &names)?;
        }
        self.c.need('}')?;
        Ok(g)
    }
    /// Moves to the next line that can start a statement, past the one at `from`.
    fn recover(&mut self, from: usize) -> Result<(), Fault> {
        if self.diags.0.len() >= MAX_DIAGS {
            return Err(self.c.fault("too many errors"));
        }
        loop {
            let start = matches!(self.c.tok, Tok::Value(_) | Tok::QuotedValue(_) | Tok::Ident(_));
            match self.c.tok {
                Tok::End => return Err(self.c.expected("`return`")),
                _ if self.c.first && start && self.c.at > from => return Ok(()),
                _ => self.c.bump(),
            }
        }
    }
    fn define(&mut self, names: &mut Names<'a>, at: usize, label: ValueName<'a>, v: Option<ValueId>) {
        let message = format!("`{label}` is already defined");
        if names.insert(label, v).is_some() {
            self.report(Fault::new(at, message));
        }
    }
    fn outputs(&mut self, g: &mut Graph, names: &Names<'a>) -> Result<(), Fault> {
        loop {
            let name = match self.c.tok {
                Tok::Ident(_) | Tok::Str(_) => {
                    let name = self.c.name("a name")?;
                    self.c.need(':')?;
                    name
                }
                _ => "".into(),
            };
            let v = self.operand(names)?;
            let mut notes = Notes::default();
            while self.c.eat('@') {
                note(&mut self.c, &mut notes)?;
            }
            if let Some(v) = v {
                g.add_output(&name, v);
                if notes != Notes::default() {
                    g.set_output_notes(g.outputs().len() - 1, notes);
                }
            }
            if !self.c.eat(',') {
                return Ok(());
            }
        }
    }
    /// A value in use; `None` when its definition has an error.
    fn operand(&mut self, names: &Names<'a>) -> Result<Option<ValueId>, Fault> {
        let at = self.c.at;
        let label = self.c.value_name()?;
        names.get(&label).copied().ok_or_else(|| Fault::new(at, format!("`{label}` is not defined")))
    }

    fn statement(&mut self, g: &mut Graph, names: &mut Names<'a>) -> Result<(), Fault> {
        let mut results = vec![];
        if !matches!(self.c.tok, Tok::Ident(_)) {
            loop {
                results.push(definition(&mut self.c)?);
                if !self.c.eat(',') {
                    break;
                }
            }
        }
        let made = self.right_side(g, names, &results);
        let values = match made {
            Ok(values) => values,
            Err(f) => {
                for d in results {
                    self.define(names, d.at, d.label, None);
                }
                return Err(f);
            }
        };
        for (i, d) in results.into_iter().enumerate() {
            let v = values.as_ref().and_then(|all| all.get(i).copied());
            if let Some(v) = v {
                g.set_name(v, d.name);
                if let Some(notes) = d.notes {
                    g.set_notes(v, *notes);
                }
                if let Some((at, ty)) = d.ty {
                    self.declare(g, at, v, ty);
                }
            }
            self.define(names, d.at, d.label, v);
        }
        Ok(())
    }
    /// Gives a result exactly the written type, which may say less than is computed and must not contradict it.
    fn declare(&mut self, g: &mut Graph, at: usize, v: ValueId, ty: Type) {
        match g.declare_type(v, &ty) {
            Err(d) => self.report_diag(at, d),
            Ok(()) if g.constant(v).is_none() => g.values[v].ty = ty,
            Ok(()) => {}
        }
    }
    /// What defines the results; `None` when an operand's definition has an error.
    fn right_side(
        &mut self,
        g: &mut Graph,
        names: &Names<'a>,
        results: &[Definition<'a>],
    ) -> Result<Option<Vec<ValueId>>, Fault> {
        if !results.is_empty() {
            self.c.need('=')?;
        }
        let at = self.c.at;
        let word = self.c.word("an operator")?;
        if word == "const" {
            if results.len() != 1 {
                return Err(Fault::new(at, "`const` defines one value"));
            }
            return Ok(Some(vec![g.add_const(tensor(&mut self.c, &mut self.budget)?)]));
        }
        let mut op = match word {
            "custom" | "call" => self.custom(results, word == "call")?,
            _ => Op::by_name(word).ok_or_else(|| {
                let mut f = Fault::new(at, format!("there is no operator `{word}`"));
                f.diag.hint =
                    Some("write `custom(\"domain\", \"Name\")(..)` for one of another set".to_owned());
                f
            })?,
        };
        let (inputs, captures) = self.operands(names)?;
        if self.c.eat('{') {
            while !self.c.eat('}') {
                self.attr(&mut op)?;
                if !self.c.eat(',') && !self.c.is('}') {
                    return Err(self.c.expected("`,` or `}`"));
                }
            }
        }
        let tail = self.tail()?;
        let Some(inputs) = inputs else { return Ok(None) };
        let new = NewNode {
            op,
            inputs,
            outputs: results.len(),
            bodies: tail.bodies,
            captures,
            origin: tail.origin,
            name: tail.name.clone(),
        };
        match g.append(new) {
            Ok(n) => {
                g.describe_node(n, tail.name, boxed(tail.notes));
                Ok(Some(g.node(n).outputs().to_vec()))
            }
            // The text is well formed here: the next statement follows.
            Err(diag) => {
                self.report_diag(at, diag);
                Ok(None)
            }
        }
    }
    /// Domain, name and overload of a custom operator or a call.
    fn custom(&mut self, results: &[Definition<'a>], defined: bool) -> Result<Op, Fault> {
        self.c.need('(')?;
        let domain = self.c.string()?.into_owned();
        self.c.need(',')?;
        let name = self.c.string()?.into_owned();
        let overload = if self.c.eat(',') { self.c.string()?.into_owned() } else { String::new() };
        self.c.need(')')?;
        let types = results.iter().map(|d| d.ty.clone().map_or(Type::Unknown, |(_, t)| t));
        Ok(Custom { domain, name, overload, attrs: vec![], result_types: types.collect(), defined }.into())
    }
    /// Operands, and how many of them are captured. No operands when the definition of one has an error.
    #[expect(clippy::type_complexity, reason = "an operand list as nodes hold it, or none")]
    fn operands(&mut self, names: &Names<'a>) -> Result<(Option<Vec<Option<ValueId>>>, usize), Fault> {
        self.c.need('(')?;
        let (mut inputs, mut captured, mut broken) = (vec![], None, false);
        while !self.c.eat(')') {
            if captured.is_none() && self.c.eat('|') {
                captured = Some(inputs.len());
                continue;
            }
            if self.c.eat_word("_") {
                inputs.push(None);
            } else {
                let v = self.operand(names)?;
                broken |= v.is_none();
                inputs.push(v);
            }
            let stop = self.c.is(')') || (captured.is_none() && self.c.is('|'));
            if !stop {
                self.c.need(',')?;
            }
        }
        let captures = captured.map_or(0, |at| inputs.len() - at);
        Ok(((!broken).then_some(inputs), captures))
    }
    fn attr(&mut self, op: &mut Op) -> Result<(), Fault> {
        let at = self.c.at;
        let name = self.c.name("an attribute")?;
        if let Op::Custom(op) = op {
            self.c.need(':')?;
            let kind_at = self.c.at;
            let kind = self.c.word("a kind such as `int`")?;
            if !KINDS.contains(&kind) {
                return Err(Fault::new(kind_at, format!("there is no kind of attribute `{kind}`")));
            }
            self.c.need('=')?;
            let value = attr(&mut self.c, kind, &mut self.budget)?;
            op.attrs.push((name.into_owned(), value));
            return Ok(());
        }
        self.c.need('=')?;
        let spec = op.schema().attrs.iter().find(|a| a.name == name);
        let value = attr(&mut self.c, spec.map_or("none", |s| s.kind), &mut self.budget);
        let value = if spec.is_some() { value? } else { Attr::None };
        let mut set = op.def_mut().set_attr(&name, &value);
        // `none` is a word of some lists and the absence of a value elsewhere.
        if set.is_err() && value == Attr::Str("none".to_owned()) {
            set = op.def_mut().set_attr(&name, &Attr::None);
        }
        set.map_err(|e| {
            let mut diag = Diag::error(e.code, e.message);
            diag.hint = e.hint;
            Fault { at, diag }
        })
    }
    fn tail(&mut self) -> Result<Tail, Fault> {
        let mut tail = Tail::default();
        loop {
            if self.c.eat_word("body") {
                tail.bodies.push(self.graph()?);
            } else if !self.c.eat('@') {
                return Ok(tail);
            } else if matches!(self.c.tok, Tok::Str(_)) {
                tail.name = Some(self.c.string()?.into()).filter(|n: &Arc<str>| !n.is_empty());
            } else if self.c.eat_word("origin") {
                tail.origin = tail.origin.union(&Origin::new(origin(&mut self.c)?));
            } else {
                note(&mut self.c, &mut tail.notes)?;
            }
        }
    }
}

fn version(c: &mut Cursor<'_>) -> Result<i64, Fault> {
    integer(c, i64::MIN.into(), i64::MAX.into()).map(|v| v as i64)
}

fn function(c: &mut Cursor<'_>) -> Result<Function, Fault> {
    c.need('(')?;
    let domain = c.string()?.into();
    c.need(',')?;
    let (name, encoded) = encoded(c)?;
    let name = name.into();
    Ok(Function { domain, name, encoded })
}

/// `%x ["as" "name"] [: type] {note}`
fn definition<'a>(c: &mut Cursor<'a>) -> Result<Definition<'a>, Fault> {
    let at = c.at;
    let label = c.value_name()?;
    let mut name = match &label {
        ValueName::Name(n) => Some(Arc::from(&**n)),
        ValueName::Number(_) => None,
    };
    if c.eat_word("as") {
        name = Some(c.string()?.into());
    }
    let mut ty = None;
    if c.eat(':') {
        ty = Some((c.at, types::ty(c)?));
    }
    let mut notes = Notes::default();
    while c.eat('@') {
        note(c, &mut notes)?;
    }
    Ok(Definition { at, label, name, ty, notes: boxed(notes) })
}

fn boxed(notes: Notes) -> Option<Box<Notes>> {
    (notes != Notes::default()).then(|| Box::new(notes))
}

/// What follows the `@` of `@doc("..")`, `@prop("key", "value")` or `@opaque("kind", "bytes")`.
fn note(c: &mut Cursor<'_>, notes: &mut Notes) -> Result<(), Fault> {
    let at = c.at;
    let word = c.word("`doc`, `prop` or `opaque`")?;
    c.need('(')?;
    match word {
        "doc" => notes.doc = c.string()?.into_owned(),
        "prop" => {
            let key = c.string()?.into_owned();
            c.need(',')?;
            notes.props.push((key, c.string()?.into_owned()));
        }
        "opaque" => {
            notes.opaque.push(encoded(c)?);
            return Ok(());
        }
        _ => return Err(Fault::new(at, format!("there is no clause `@{word}` here"))),
    }
    c.need(')')
}

/// The kind and the bytes of an encoded message, up to the closing bracket.
fn encoded(c: &mut Cursor<'_>) -> Result<(String, bytes::Bytes), Fault> {
    let kind = c.string()?.into_owned();
    c.need(',')?;
    let at = c.at;
    let bytes = unhex(&c.string()?).ok_or_else(|| Fault::new(at, "bytes are pairs of hexadecimal digits"))?;
    c.need(')')?;
    Ok((kind, bytes.into()))
}

/// What follows `@origin`.
fn origin(c: &mut Cursor<'_>) -> Result<OriginPart, Fault> {
    c.need('(')?;
    let name = c.string()?.into();
    c.need(',')?;
    let mut part = OriginPart { name, op: c.string()?.into(), module: None, line: None };
    while c.eat(',') {
        let at = c.at;
        let key = c.word("`module` or `line`")?;
        c.need('=')?;
        let value = Some(c.string()?.into());
        match key {
            "module" => part.module = value,
            "line" => part.line = value,
            _ => return Err(Fault::new(at, format!("an origin has no `{key}`"))),
        }
    }
    c.need(')')?;
    Ok(part)
}
