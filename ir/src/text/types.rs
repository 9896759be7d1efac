//! Types from text.
use super::lexer::{Cursor, Fault, Tok};
use crate::dim::{Dim, SymInt};
use crate::dtype::DType;
use crate::types::{TensorType, Type};
use std::sync::Arc;

/// Reads a type.
///
/// # Errors
/// When there is none.
pub(crate) fn ty(c: &mut Cursor<'_>) -> Result<Type, Fault> {
    let at = c.at;
    let word = c.word("a type such as `f32[2, N]`")?;
    match word {
        "unknown" => return Ok(Type::Unknown),
        "seq" => return inner(c).map(Type::Sequence),
        "optional" => return inner(c).map(Type::Optional),
        "map" => {
            c.need('<')?;
            let key = dtype(c)?;
            c.need(',')?;
            let value = c.nested(ty)?;
            c.need('>')?;
            return Ok(Type::Map(key, Box::new(value)));
        }
        _ => {}
    }
    let dtype = DType::by_name(word).ok_or_else(|| Fault::new(at, format!("there is no type `{word}`")))?;
    c.need('[')?;
    if c.eat('*') {
        c.need(']')?;
        return Ok(TensorType::unranked(dtype).into());
    }
    Ok(TensorType::new(dtype, c.list(']', dim)?).into())
}

fn inner(c: &mut Cursor<'_>) -> Result<Box<Type>, Fault> {
    c.need('<')?;
    let t = c.nested(ty)?;
    c.need('>')?;
    Ok(Box::new(t))
}

/// Reads an element type.
///
/// # Errors
/// When there is none.
pub(crate) fn dtype(c: &mut Cursor<'_>) -> Result<DType, Fault> {
    let at = c.at;
    let word = c.word("an element type such as `f32`")?;
    DType::by_name(word).ok_or_else(|| Fault::new(at, format!("there is no element type `{word}`")))
}

fn dim(c: &mut Cursor<'_>) -> Result<Dim, Fault> {
    if c.eat('?') {
        return Ok(Dim::Unknown);
    }
    let at = c.at;
    if let Tok::Num(digits) = c.tok
        && let Ok(n) = digits.parse::<u64>()
    {
        c.bump();
        if c.is(',') || c.is(']') {
            return Ok(Dim::Known(n));
        }
        let first = i64::try_from(n).map_err(|_| too_large(at))?;
        return finish(c, at, Some(SymInt::from(first)));
    }
    finish(c, at, None)
}

fn finish(c: &mut Cursor<'_>, at: usize, first: Option<SymInt>) -> Result<Dim, Fault> {
    let e = sum(c, first)?;
    match e.as_const() {
        Some(n) => u64::try_from(n).map(Dim::Known).map_err(|_| Fault::new(at, "a size cannot be negative")),
        None => Ok(Dim::Expr(Arc::new(e))),
    }
}

fn too_large(at: usize) -> Fault {
    Fault::new(at, "this expression is too large")
}

/// `[-] term {(+|-) term}`, where `first` is the already read first factor of the first term.
fn sum(c: &mut Cursor<'_>, first: Option<SymInt>) -> Result<SymInt, Fault> {
    let at = c.at;
    let negative = first.is_none() && c.eat('-');
    let mut total = term(c, negative, first)?;
    loop {
        let minus = c.is('-');
        if !minus && !c.is('+') {
            return Ok(total);
        }
        c.bump();
        total = term(c, minus, None).map(|t| total.add(&t))?.ok_or_else(|| too_large(at))?;
    }
}

fn term(c: &mut Cursor<'_>, negative: bool, first: Option<SymInt>) -> Result<SymInt, Fault> {
    let at = c.at;
    let mut product = match first {
        Some(e) => e,
        None => factor(c, negative)?,
    };
    while c.eat('*') {
        product = factor(c, false).map(|f| product.mul(&f))?.ok_or_else(|| too_large(at))?;
    }
    Ok(product)
}

/// A number, a symbol, an operation or an expression in parentheses, times -1 if `negative`.
fn factor(c: &mut Cursor<'_>, negative: bool) -> Result<SymInt, Fault> {
    let at = c.at;
    let e = match c.tok {
        Tok::Num(digits) => {
            let n = digits.parse::<i128>().ok().map(|n| if negative { -n } else { n });
            let n = n.and_then(|n| i64::try_from(n).ok()).ok_or_else(|| too_large(at))?;
            c.bump();
            return Ok(SymInt::from(n));
        }
        Tok::Str(_) => SymInt::symbol(&c.string()?),
        Tok::Punct('(') => {
            c.bump();
            let e = c.nested(|c| sum(c, None))?;
            c.need(')')?;
            e
        }
        Tok::Ident(word) => {
            c.bump();
            if c.is('(') { call(c, at, word)? } else { SymInt::symbol(word) }
        }
        _ => return Err(c.expected("a size: a number, a symbol, an expression or `?`")),
    };
    if negative { e.neg().ok_or_else(|| too_large(at)) } else { Ok(e) }
}

fn call(c: &mut Cursor<'_>, at: usize, word: &str) -> Result<SymInt, Fault> {
    c.need('(')?;
    let a = c.nested(|c| sum(c, None))?;
    c.need(',')?;
    let b = c.nested(|c| sum(c, None))?;
    c.need(')')?;
    let result = match word {
        "floordiv" => a.floor_div(&b),
        "mod" => a.modulo(&b),
        "max" => a.larger(&b),
        "min" => a.smaller(&b),
        _ => return Err(Fault::new(at, format!("`{word}` is no operation on sizes"))),
    };
    result.ok_or_else(|| Fault::new(at, "this operation has no result"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Type, String> {
        let mut c = Cursor::new(text);
        let t = ty(&mut c).map_err(|f| f.diag.message)?;
        if c.tok == Tok::End { Ok(t) } else { Err(format!("left over: {:?}", c.tok)) }
    }

    #[test]
    fn types_print_as_they_read() {
        for text in [
            "f32[]",
            "f32[*]",
            "i64[2, N, ?]",
            "f16[2*N+1, -N+4]",
            "bool[\"batch size\", N*N]",
            "u2[18446744073709551615]",
            "f8e4m3fn[floordiv(N+1, 2), max(M, N), mod(N, 3)]",
            "f32[-9223372036854775808*N]",
            "seq<f32[N]>",
            "optional<seq<string[?]>>",
            "map<i64, map<string, f32[]>>",
            "unknown",
        ] {
            assert_eq!(read(text).map(|t| t.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn expressions_are_brought_to_normal_form() {
        assert_eq!(read("f32[1+2*(N+N), 3*4]").map(|t| t.to_string()).as_deref(), Ok("f32[4*N+1, 12]"));
    }

    #[test]
    fn wrong_types_are_refused() {
        let deep = "seq<".repeat(10_000);
        let nested = format!("f32[{}", "(".repeat(10_000));
        for text in [
            "f33[]",
            "f32",
            "f32[1",
            "f32[-1]",
            "f32[N-]",
            "f32[pow(N, 2)]",
            "f32[99999999999999999999]",
            "f32[floordiv(N, 0)]",
            "map<seq<f32[]>, f32[]>",
            "seq<f32[]",
            "f32[N M]",
            "f32[9223372036854775807*2*N]",
            &deep,
            &nested,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
