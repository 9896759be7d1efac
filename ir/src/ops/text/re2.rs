//! Patterns in the syntax of RE2 (<https://github.com/google/re2/wiki/Syntax>), translated to that of the crate `regex`.
//!
//! The two agree but for these: in RE2 `\d \s \w \b` are ASCII, brackets do not nest and have no set operations, a brace that begins no
//! repetition stands for itself, and there are `\C`, `\Q..\E` and octal escapes; the crate knows flags that RE2 refuses.
use crate::op::OpError;
use regex::bytes::{Regex, RegexBuilder};
use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

/// Most memory of a compiled pattern, and of its match tables.
const MOST_BYTES: usize = 8 << 20;
/// Deepest nesting of groups.
const DEEPEST: u32 = 200;
/// Largest count of a repetition, as in RE2.
const MOST_REPETITIONS: u32 = 1000;

/// A pattern that matches whole texts only.
///
/// # Errors
/// When it is no pattern of RE2 or takes too much memory.
pub fn compile(pattern: &str) -> Result<Regex, OpError> {
    let refuse = |m: &str| OpError::attr(format!("the pattern {pattern:?} is not understood: {m}"));
    let body = translate(pattern).map_err(|m| refuse(&m))?;
    RegexBuilder::new(&format!(r"\A(?:{body})\z"))
        .size_limit(MOST_BYTES)
        .dfa_size_limit(MOST_BYTES)
        .nest_limit(DEEPEST)
        .build()
        .map_err(|e| refuse(&e.to_string()))
}

type Source<'a> = Peekable<Chars<'a>>;

/// `c` as a literal anywhere in a pattern.
fn literal(out: &mut String, c: char) {
    // Writing to a string does not fail.
    let _ = write!(out, "\\x{{{:x}}}", c as u32);
}

fn translate(pattern: &str) -> Result<String, String> {
    let (mut out, mut source) = (String::new(), pattern.chars().peekable());
    // Whether a repetition may follow, and whether one has just been read.
    let (mut item, mut repeated) = (false, false);
    while let Some(c) = source.next() {
        if matches!(c, '*' | '+' | '?') || (c == '{' && repetition(&source).is_some()) {
            if !item || repeated {
                return Err(format!("`{c}` repeats nothing"));
            }
            out.push(c);
            if let Some(count) = repetition(&source).filter(|_| c == '{') {
                check_counts(&count)?;
                out.push_str(&count);
                source.nth(count.chars().count() - 1);
            }
            if source.next_if_eq(&'?').is_some() {
                out.push('?');
            }
            repeated = true;
            continue;
        }
        (item, repeated) = (true, false);
        match c {
            '\\' => item = escape(&mut source, &mut out)?,
            '[' => class(&mut source, &mut out)?,
            '(' => {
                group(&mut source, &mut out)?;
                item = false;
            }
            '|' => {
                out.push(c);
                item = false;
            }
            ')' | '.' | '^' | '$' => out.push(c),
            _ => literal(&mut out, c),
        }
    }
    Ok(out)
}

/// What follows an opening brace up to the closing one, if that is a repetition.
fn repetition(source: &Source<'_>) -> Option<String> {
    let text: String = source.clone().take(16).take_while(|c| *c != '}').collect();
    let number = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    let fits = match text.split_once(',') {
        None => number(&text),
        Some((low, high)) => number(low) && (high.is_empty() || number(high)),
    };
    (fits && source.clone().nth(text.chars().count()) == Some('}')).then(|| text + "}")
}

fn check_counts(count: &str) -> Result<(), String> {
    let large = |t: &str| t.parse::<u32>().is_ok_and(|n| n > MOST_REPETITIONS) || t.len() > 9;
    if count.trim_end_matches('}').split(',').any(large) {
        return Err(format!("more than {MOST_REPETITIONS} repetitions"));
    }
    Ok(())
}

/// The start of a group: `(`, `(?:`, `(?flags)`, `(?flags:`, `(?P<name>` or `(?<name>`.
fn group(source: &mut Source<'_>, out: &mut String) -> Result<(), String> {
    out.push('(');
    if source.next_if_eq(&'?').is_none() {
        return Ok(());
    }
    out.push('?');
    let named = source.next_if_eq(&'P').is_some();
    if source.next_if_eq(&'<').is_some() {
        let name: String =
            std::iter::from_fn(|| source.next_if(|c| c.is_ascii_alphanumeric() || *c == '_')).collect();
        if name.is_empty() || source.next() != Some('>') {
            return Err("a group's name is broken".to_owned());
        }
        // Texts are only tested, so names serve nothing; the crate does not allow all that RE2 does.
        out.push(':');
        return Ok(());
    }
    if named {
        return Err("`(?P` begins no group".to_owned());
    }
    loop {
        match source.next() {
            Some(c @ ('i' | 'm' | 's' | 'U' | '-')) => out.push(c),
            Some(c @ (':' | ')')) => {
                out.push(c);
                return Ok(());
            }
            other => return Err(format!("{other:?} in the flags of a group")),
        }
    }
}

/// What follows a backslash outside brackets. Whether it is something that can be repeated.
fn escape(source: &mut Source<'_>, out: &mut String) -> Result<bool, String> {
    let c = source.next().ok_or("a backslash at the end")?;
    match c {
        'Q' => {
            let mut any = false;
            while let Some(c) = source.next() {
                if c == '\\' && source.next_if_eq(&'E').is_some() {
                    break;
                }
                literal(out, c);
                any = true;
            }
            return Ok(any);
        }
        'A' | 'z' => {
            out.push('\\');
            out.push(c);
        }
        'b' => out.push_str(r"(?-u:\b)"),
        'B' => out.push_str(r"(?-u:\B)"),
        'C' => out.push_str("(?s-u:.)"),
        'p' | 'P' => property(c == 'P', source, out)?,
        _ => match perl(c) {
            Some(set) => out.push_str(set),
            None => literal(out, character(c, source)?),
        },
    }
    Ok(true)
}

/// The classes that stand for ASCII sets, usable inside brackets too.
fn perl(c: char) -> Option<&'static str> {
    Some(match c {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => r"[\t\n\f\r ]",
        'S' => r"[^\t\n\f\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        _ => return None,
    })
}

/// A class of Unicode characters: `\pN`, `\p{Greek}`, `\p{^Greek}`.
fn property(negated: bool, source: &mut Source<'_>, out: &mut String) -> Result<(), String> {
    let mut name = String::new();
    match source.next().ok_or("a property without name")? {
        '{' => {
            name.extend(std::iter::from_fn(|| source.next_if(|c| *c != '}')));
            source.next().ok_or("a property's name does not end")?;
        }
        c => name.push(c),
    }
    let (inner, name) = name.strip_prefix('^').map_or((false, name.as_str()), |n| (true, n));
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') {
        return Err(format!("`{name}` is no property"));
    }
    if name == "Any" {
        out.push_str(if negated == inner { r"[\x{0}-\x{10ffff}]" } else { r"[^\x{0}-\x{10ffff}]" });
        return Ok(());
    }
    let _ = write!(out, "\\{}{{{name}}}", if negated == inner { 'p' } else { 'P' });
    Ok(())
}

/// The character that backslash and `c` stand for.
fn character(c: char, source: &mut Source<'_>) -> Result<char, String> {
    let code = match c {
        'a' => 7,
        'f' => 12,
        't' => 9,
        'n' => 10,
        'r' => 13,
        'v' => 11,
        'x' => hexadecimal(source)?,
        // One digit would be a reference to a group, which RE2 does not have; 0 alone is a character.
        '0'..='7' => {
            let mut code = c as u32 - 48;
            let more = source.peek().is_some_and(|d| ('0'..='7').contains(d));
            if c != '0' && !more {
                return Err(format!("`\\{c}` refers to a group"));
            }
            for _ in 0..2 {
                let Some(d) = source.next_if(|d| ('0'..='7').contains(d)) else { break };
                code = code * 8 + (d as u32 - 48);
            }
            code
        }
        c if c.is_ascii_punctuation() => c as u32,
        _ => return Err(format!("`\\{c}` has no meaning")),
    };
    char::from_u32(code).ok_or_else(|| format!("{code:#x} is no character"))
}

fn hexadecimal(source: &mut Source<'_>) -> Result<u32, String> {
    let braced = source.next_if_eq(&'{').is_some();
    let most = if braced { 8 } else { 2 };
    let digits: String = std::iter::from_fn(|| source.next_if(char::is_ascii_hexdigit)).take(most).collect();
    let closed = if braced { source.next() == Some('}') } else { digits.len() == 2 };
    u32::from_str_radix(&digits, 16).ok().filter(|_| closed).ok_or_else(|| "a broken `\\x`".to_owned())
}

/// What follows an opening bracket.
fn class(source: &mut Source<'_>, out: &mut String) -> Result<(), String> {
    out.push('[');
    if source.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    loop {
        let c = source.next().ok_or("a bracket is not closed")?;
        if c == ']' && !first {
            out.push(']');
            return Ok(());
        }
        // A hyphen is a character only at either end or in a range.
        if c == '-' && !first && source.peek() != Some(&']') {
            return Err("a hyphen between other characters".to_owned());
        }
        first = false;
        if c == '[' && source.peek() == Some(&':') {
            posix(source, out)?;
            continue;
        }
        let low = match (c, source.peek().copied()) {
            ('\\', Some(k @ ('p' | 'P'))) => {
                source.next();
                property(k == 'P', source, out)?;
                continue;
            }
            ('\\', Some(k)) if perl(k).is_some() => {
                source.next();
                out.push_str(perl(k).unwrap_or_default());
                continue;
            }
            _ => single(c, source)?,
        };
        literal(out, low);
        let mut ahead = source.clone();
        if ahead.next() == Some('-') && ahead.peek().is_some_and(|c| *c != ']') {
            source.next();
            let c = source.next().ok_or("a bracket is not closed")?;
            let high = single(c, source)?;
            if high < low {
                return Err(format!("the range {low:?} to {high:?}"));
            }
            out.push('-');
            literal(out, high);
        }
    }
}

/// A character of a bracket, which may be escaped.
fn single(c: char, source: &mut Source<'_>) -> Result<char, String> {
    if c != '\\' {
        return Ok(c);
    }
    let c = source.next().ok_or("a backslash at the end")?;
    character(c, source)
}

/// `[:name:]` or `[:^name:]`, of which the opening bracket is read.
fn posix(source: &mut Source<'_>, out: &mut String) -> Result<(), String> {
    source.next();
    let name: String =
        std::iter::from_fn(|| source.next_if(|c| c.is_ascii_lowercase() || *c == '^')).collect();
    if source.next() != Some(':') || source.next() != Some(']') {
        return Err("a broken class of characters".to_owned());
    }
    let _ = write!(out, "[:{name}:]");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(pattern, texts that match, texts that do not)`, as RE2 itself says (through ONNX Runtime).
    const CASES: &[(&str, &[&str], &[&str])] = &[
        (r"\d+", &["12"], &["١", ""]),
        ("[[a]", &["[", "a"], &[]),
        ("a{,2}", &["a{,2}"], &["aa"]),
        ("[+--]", &[",", "+"], &["."]),
        (r"\Qa.b\E+", &["a.bb"], &["aab"]),
        (r"(?i)\w", &["ſ", "K", "a"], &["é"]),
        (r"\101", &["A"], &[]),
        ("[a&&b]", &["&", "a"], &[]),
        (r"\<", &["<"], &[]),
        (".", &["é"], &["\n"]),
        (r"\s", &["\t"], &["\u{b}"]),
        (r"[^\d]", &["١"], &["1"]),
        (r"\pL\p{^Greek}", &["aé"], &["aβ"]),
        ("[[:^alpha:]x]", &["1", "x"], &["a"]),
        ("a|b", &["b"], &["ab"]),
        (r"\bé\b", &[], &["é"]),
        ("[]a]", &["]"], &[]),
        (r"[\pN-]", &["-", "٣"], &[]),
        (r"\C", &["a"], &["é"]),
        (r"\C\C", &["é"], &[]),
        ("x*?", &["xx", ""], &[]),
        ("^a$", &["a"], &[]),
        ("(?m)^a$\\n^b$", &["a\nb"], &[]),
        (r"[a\]b]", &["]"], &[]),
        ("(?P<n>a)(?<m>b)", &["ab"], &[]),
        ("", &[""], &["a"]),
        (r"\x{e9}\xe9", &["éé"], &[]),
        (r"\_", &["_"], &[]),
        ("{", &["{"], &[]),
        ("a{1,", &["a{1,"], &[]),
        ("}]", &["}]"], &[]),
        ("a{2,3}?", &["aa", "aaa"], &["a"]),
    ];

    #[test]
    fn matches_as_re2() {
        for (pattern, yes, no) in CASES {
            let regex = compile(pattern).unwrap_or_else(|e| panic!("{e}"));
            for text in *yes {
                assert!(regex.is_match(text.as_bytes()), "{pattern} and {text:?}");
            }
            for text in *no {
                assert!(!regex.is_match(text.as_bytes()), "{pattern} and {text:?}");
            }
        }
    }

    #[test]
    fn refuses_what_re2_refuses() {
        let bad = [
            "a**",
            "a{1001}",
            r"\Z",
            r"\8",
            r"\é",
            "(?#c)a",
            "(?=a)",
            r"[a-\d]",
            "a{2}{3}",
            "[z-a]",
            "*",
            "(",
            ")",
            "[a",
            r"a\",
            "(?x)a",
            "(?-u)a",
            r"\p{Nonesuch}",
            r"\1",
            "a|*",
            r"a\E",
            "(?i)*",
        ];
        for pattern in bad {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn large_patterns_are_refused() {
        assert!(compile("((((a{1000}){1000}){1000}){1000}){1000}").is_err());
        assert!(compile(&"(".repeat(100_000)).is_err());
    }
}
