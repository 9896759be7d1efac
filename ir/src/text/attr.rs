//! Attributes as text.
use super::lexer::{Cursor, Fault, Tok, is_plain, quote};
use super::literal::{hex, integer, single, tensor, truth, unhex, write_tensor};
use super::print::Constants;
use super::types;
use crate::attr::{Attr, float_text};
use std::fmt::{self, Write};

/// Kind that a custom operator's attribute is written with, so that it reads back as the same [`Attr`]. Words read back as texts.
pub(crate) fn kind(attr: &Attr) -> &'static str {
    match attr {
        Attr::None => "none",
        Attr::Bool(_) => "bool",
        Attr::Int(_) => "int",
        Attr::Float(_) => "float",
        Attr::Str(_) | Attr::Word(_) => "string",
        Attr::DType(_) => "dtype",
        Attr::Ints(_) => "ints",
        Attr::Floats(_) => "floats",
        Attr::Strs(_) => "strings",
        Attr::Tensor(_) => "tensor",
        Attr::Tensors(_) => "tensors",
        Attr::Type(_) => "type",
        Attr::Types(_) => "types",
        Attr::Body(_) => "body",
        Attr::Bodies(_) => "bodies",
        Attr::Opaque(..) => "opaque",
    }
}

fn write_list<T>(
    out: &mut dyn Write,
    items: &[T],
    mut one: impl FnMut(&mut dyn Write, &T) -> fmt::Result,
) -> fmt::Result {
    out.write_char('[')?;
    for (i, item) in items.iter().enumerate() {
        out.write_str(if i > 0 { ", " } else { "" })?;
        one(out, item)?;
    }
    out.write_char(']')
}

/// Writes the value of an attribute; words are bare where `words` and where they can be.
pub(crate) fn write_attr(out: &mut dyn Write, attr: &Attr, words: bool, constants: Constants) -> fmt::Result {
    match attr {
        Attr::None => out.write_str("none"),
        Attr::Bool(v) => write!(out, "{v}"),
        Attr::Int(v) => write!(out, "{v}"),
        Attr::Float(v) => out.write_str(&float_text(*v)),
        Attr::Str(v) => out.write_str(&quote(v)),
        Attr::Word(v) if words && is_plain(v) => out.write_str(v),
        Attr::Word(v) => out.write_str(&quote(v)),
        Attr::DType(v) => write!(out, "{v}"),
        Attr::Ints(v) => write_list(out, v, |out, x| write!(out, "{x}")),
        Attr::Floats(v) => write_list(out, v, |out, x| out.write_str(&float_text(*x))),
        Attr::Strs(v) => write_list(out, v, |out, x| out.write_str(&quote(x))),
        Attr::Tensor(t) => write_tensor(out, t, constants),
        Attr::Tensors(v) => write_list(out, v, |out, t| write_tensor(out, t, constants)),
        Attr::Type(t) => write!(out, "{t}"),
        Attr::Types(v) => write_list(out, v, |out, t| write!(out, "{t}")),
        Attr::Body(i) => write!(out, "{i}"),
        Attr::Bodies(v) => write_list(out, v, |out, i| write!(out, "{i}")),
        Attr::Opaque(tag, bytes) => write!(out, "({}, \"{}\")", quote(tag), hex(bytes)),
    }
}

/// Reads the value of an attribute of that kind. A kind that is none of [`kind`]'s is a closed list of words: the word is read as text.
///
/// # Errors
/// When it is of another kind.
pub(crate) fn attr(c: &mut Cursor<'_>, kind: &str, budget: &mut usize) -> Result<Attr, Fault> {
    let int = |c: &mut Cursor<'_>| integer(c, i64::MIN.into(), i64::MAX.into()).map(|v| v as i64);
    let index = |c: &mut Cursor<'_>| integer(c, 0, u32::MAX.into()).map(|v| v as usize);
    let standard = matches!(c.tok, Tok::Ident("none"));
    if standard && KINDS.contains(&kind) {
        c.bump();
        return Ok(Attr::None);
    }
    Ok(match kind {
        "none" => return Err(c.expected("`none`")),
        "bool" => Attr::Bool(truth(c)?),
        "int" => Attr::Int(int(c)?),
        "float" => Attr::Float(single(c)?),
        "string" => Attr::Str(c.string()?.into_owned()),
        "dtype" => Attr::DType(types::dtype(c)?),
        "tensor" => Attr::Tensor(tensor(c, budget)?),
        "type" => Attr::Type(types::ty(c)?),
        "body" => Attr::Body(index(c)?),
        "opaque" => {
            c.need('(')?;
            let tag = c.string()?.into_owned();
            c.need(',')?;
            let digits = c.string()?;
            let bytes = unhex(&digits).ok_or_else(|| c.expected("pairs of hexadecimal digits"))?;
            c.need(')')?;
            Attr::Opaque(tag, bytes)
        }
        _ if KINDS.contains(&kind) => {
            c.need('[')?;
            match kind {
                "ints" => Attr::Ints(c.list(']', int)?),
                "floats" => Attr::Floats(c.list(']', single)?),
                "strings" => Attr::Strs(c.list(']', |c| c.string().map(String::from))?),
                "tensors" => Attr::Tensors(c.list(']', |c| tensor(c, budget))?),
                "types" => Attr::Types(c.list(']', types::ty)?),
                _ => Attr::Bodies(c.list(']', index)?),
            }
        }
        _ => Attr::Str(c.name("a word")?.into_owned()),
    })
}

/// Every kind that is not a closed list of words.
pub(crate) const KINDS: &[&str] = &[
    "none", "bool", "int", "float", "string", "dtype", "ints", "floats", "strings", "tensor", "tensors",
    "type", "types", "body", "bodies", "opaque",
];
