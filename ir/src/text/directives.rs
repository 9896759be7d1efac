//! Instructions to test runners, which stand in comments.

use super::lexer::{Cursor, Fault, Tok};
use super::literal::{SEEDED_BYTES, tensor};
use crate::diag::Diag;
use crate::eval::Value;
use crate::types::Type;

/// A comment that is an instruction, such as `; RUN: eval`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directive<'a> {
    /// Its line, from 1.
    pub line: usize,
    /// Its first word, without the colon.
    pub key: &'a str,
    /// What follows, without blanks at either end.
    pub rest: &'a str,
}

/// All instructions of a text, in order: comments (at the start of a line or behind code) that begin with a word and a colon, or
/// with a word of capital letters.
pub fn directives(text: &str) -> Vec<Directive<'_>> {
    let one = |(i, line)| {
        let (key, rest) = directive(comment(line)?)?;
        Some(Directive { line: i + 1, key, rest })
    };
    text.lines().enumerate().filter_map(one).collect()
}

/// What follows the `;` of a line that has one outside quotes.
fn comment(line: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    for (i, b) in line.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => return line.get(i + 1..),
            _ => {}
        }
    }
    None
}

fn directive(comment: &str) -> Option<(&str, &str)> {
    let text = comment.trim();
    let end = text.find(|c: char| !c.is_ascii_alphabetic() && c != '-').unwrap_or(text.len());
    let (key, rest) = text.split_at(end);
    let capital = key.len() > 1 && key.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    match rest.strip_prefix(':') {
        _ if key.is_empty() => None,
        Some(rest) => Some((key, rest.trim())),
        None if capital && (rest.is_empty() || rest.starts_with(' ')) => Some((key, rest.trim())),
        None => None,
    }
}

/// Reads a run-time value: `f32[2] [1.0, 2.0]`, `seq(value, ..)`, `optional(value)` or `optional()`. Contents may be `seeded(7)` or
/// `splat(0.5)`.
///
/// # Errors
/// `E0404` when it does not parse.
pub fn parse_value(text: &str) -> Result<Value, Diag> {
    let mut c = Cursor::new(text);
    value(&mut c, &mut { SEEDED_BYTES }).and_then(|v| end(&c, v)).map_err(|f| f.place(text))
}

/// Reads a type such as `f32[N, 3]`.
///
/// # Errors
/// `E0404` when it does not parse.
pub fn parse_type(text: &str) -> Result<Type, Diag> {
    let mut c = Cursor::new(text);
    super::types::ty(&mut c).and_then(|t| end(&c, t)).map_err(|f| f.place(text))
}

/// Reads `name: value`, the name in quotes unless it is a plain word.
///
/// # Errors
/// `E0404` when it does not parse.
pub fn parse_named_value(text: &str) -> Result<(String, Value), Diag> {
    let mut c = Cursor::new(text);
    let mut read = || {
        let name = c.name("a name")?.into_owned();
        c.need(':')?;
        let v = value(&mut c, &mut { SEEDED_BYTES })?;
        end(&c, (name, v))
    };
    read().map_err(|f| f.place(text))
}

fn end<T>(c: &Cursor<'_>, value: T) -> Result<T, Fault> {
    if c.tok == Tok::End { Ok(value) } else { Err(c.expected("the end of the line")) }
}

fn value(c: &mut Cursor<'_>, budget: &mut usize) -> Result<Value, Fault> {
    match c.tok {
        Tok::Ident("seq") => {
            c.bump();
            c.need('(')?;
            Ok(Value::Sequence(c.nested(|c| c.list(')', |c| value(c, budget)))?.into()))
        }
        Tok::Ident("optional") => {
            c.bump();
            c.need('(')?;
            let mut inner = c.nested(|c| c.list(')', |c| value(c, budget)))?;
            let last = inner.pop();
            if inner.is_empty() {
                Ok(Value::Optional(last.map(Box::new)))
            } else {
                Err(c.fault("an optional holds one value at most"))
            }
        }
        _ => tensor(c, budget).map(Value::Tensor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::print::value_text;

    #[test]
    fn directives_are_comments_with_a_key() {
        let text = "; RUN: eval\n; just words\n%x = f(\"a;b: c\") ; error: bad\n;INPUT x: f32[]\n; TOL 1 2\n; CHECK-NOT: y\n; I am";
        let found: Vec<_> = directives(text).into_iter().map(|d| (d.line, d.key, d.rest)).collect();
        let expect = [
            (1, "RUN", "eval"),
            (3, "error", "bad"),
            (4, "INPUT", "x: f32[]"),
            (5, "TOL", "1 2"),
            (6, "CHECK-NOT", "y"),
        ];
        assert_eq!(found, expect);
    }

    #[test]
    fn values_print_as_they_read() {
        for text in ["f32[2] [1.0, 2.0]", "seq(i64[] [1], seq())", "optional()", "optional(seq(bool[0] []))"]
        {
            assert_eq!(parse_value(text).map(|v| value_text(&v)).as_deref(), Ok(text));
        }
        let named = parse_named_value("\"in 0\": i64[1] [3]").expect("ok");
        assert_eq!((named.0.as_str(), value_text(&named.1).as_str()), ("in 0", "i64[1] [3]"));
        for text in
            ["", "f32[1] [1] x", "optional(f32[] [1], f32[] [2])", "seq(f32[] [1]", &"seq(".repeat(9999)]
        {
            assert!(parse_value(text).is_err(), "{text}");
        }
    }
}
