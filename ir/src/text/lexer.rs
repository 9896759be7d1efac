//! Tokens of the text form.
use crate::diag::Diag;
use std::borrow::Cow;

/// One token. Texts are slices of the source; quoted ones are still escaped.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Tok<'a> {
    /// Name or keyword: a letter or `_`, then letters, digits, `_` and `.`.
    Ident(&'a str),
    /// Number without sign.
    Num(&'a str),
    /// What stands between two quotes.
    Str(&'a str),
    /// `%name` or `%7`, without the `%`.
    Value(&'a str),
    /// `%"name"`, what stands between the quotes.
    QuotedValue(&'a str),
    /// Any other single character.
    Punct(char),
    /// Text that is no token, with what is wrong.
    Bad(&'static str),
    /// End of the text.
    End,
}

/// What is wrong, at a byte offset of the text.
#[derive(Debug)]
pub(crate) struct Fault {
    /// Byte offset.
    pub at: usize,
    /// The diagnostic, without the place.
    pub diag: Diag,
}

impl Fault {
    /// A syntax error.
    pub fn new(at: usize, message: impl Into<String>) -> Self {
        Self { at, diag: Diag::error("E0404", message) }
    }
    /// The diagnostic, its message starting with line and column (both from 1, columns in characters).
    pub fn place(self, text: &str) -> Diag {
        let before = text.get(..self.at).unwrap_or(text);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let message = format!("line {line}, column {column}: {}", self.diag.message);
        Diag { message, ..self.diag }
    }
}

/// Nesting of bodies, types and expressions that is followed.
const MAX_DEPTH: usize = 48;

/// The text with a position and the token there.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    next: usize,
    /// The current token.
    pub tok: Tok<'a>,
    /// Where it starts.
    pub at: usize,
    /// Whether it is the first of its line.
    pub first: bool,
    depth: usize,
}

/// Whether `s` can be written without quotes.
pub(crate) fn is_plain(s: &str) -> bool {
    s.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_') && s.bytes().all(is_ident)
}

fn is_ident(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'.'
}

/// `s` in quotes. Control characters, quotes and backslashes are escaped.
pub(crate) fn quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The text that stands escaped between quotes; `None` for an unknown escape.
fn unescape(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.contains('\\') {
        return Some(Cow::Borrowed(raw));
    }
    let (mut out, mut chars) = (String::with_capacity(raw.len()), raw.chars());
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match chars.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '0' => '\0',
            c @ ('"' | '\\' | '\'') => c,
            'u' => {
                let (digits, rest) = chars.as_str().strip_prefix('{')?.split_once('}')?;
                chars = rest.chars();
                let plain = digits.len() <= 6 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                plain.then(|| u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)).flatten()?
            }
            _ => return None,
        });
    }
    Some(Cow::Owned(out))
}

impl<'a> Cursor<'a> {
    /// At the first token of `text`.
    pub fn new(text: &'a str) -> Self {
        let mut c = Self { text, next: 0, tok: Tok::End, at: 0, first: true, depth: 0 };
        c.bump();
        c.first = true;
        c
    }
    /// Moves to the next token.
    pub fn bump(&mut self) {
        self.first = false;
        self.skip_blanks();
        self.at = self.next;
        let rest = self.rest();
        let Some(c) = rest.chars().next() else {
            self.tok = Tok::End;
            return;
        };
        self.tok = match c {
            '%' => self.value(),
            '"' => self.quoted(1).map_or_else(Tok::Bad, Tok::Str),
            '0'..='9' => Tok::Num(self.number()),
            'a'..='z' | 'A'..='Z' | '_' => Tok::Ident(self.ident(0)),
            c => {
                self.next += c.len_utf8();
                Tok::Punct(c)
            }
        };
    }
    fn rest(&self) -> &'a str {
        self.text.get(self.next..).unwrap_or_default()
    }
    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.find(|c: char| !c.is_ascii_whitespace()).unwrap_or(rest.len());
            self.first |= rest[..blank].contains('\n');
            self.next += blank;
            if !self.rest().starts_with(';') {
                return;
            }
            self.next += self.rest().find('\n').unwrap_or(self.rest().len());
        }
    }
    /// The identifier that starts `skip` bytes ahead.
    fn ident(&mut self, skip: usize) -> &'a str {
        let rest = &self.rest()[skip..];
        let len = rest.bytes().position(|b| !is_ident(b)).unwrap_or(rest.len());
        self.next += skip + len;
        &rest[..len]
    }
    fn number(&mut self) -> &'a str {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let digits = |from: usize| {
            let tail = bytes.get(from..).unwrap_or_default();
            from + tail.iter().position(|b| !b.is_ascii_digit()).unwrap_or(tail.len())
        };
        let mut end = digits(0);
        if bytes.get(end) == Some(&b'.') && digits(end + 1) > end + 1 {
            end = digits(end + 1);
        }
        if matches!(bytes.get(end), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            let exponent = digits(end + 1 + sign);
            end = if exponent > end + 1 + sign { exponent } else { end };
        }
        self.next += end;
        &rest[..end]
    }
    /// The text between quotes; the opening one is `skip` - 1 bytes ahead.
    fn quoted(&mut self, skip: usize) -> Result<&'a str, &'static str> {
        let inner = &self.rest()[skip..];
        let end = inner.find('"').unwrap_or(0);
        if end > 0 && !inner[..end].contains('\\') && !inner[..end].contains('\n') {
            self.next += skip + end + 1;
            return Ok(&inner[..end]);
        }
        let mut escaped = false;
        for (i, b) in inner.bytes().enumerate() {
            match b {
                b'\n' => break,
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.next += skip + i + 1;
                    return Ok(&inner[..i]);
                }
                _ => {}
            }
        }
        self.next += skip + inner.find('\n').unwrap_or(inner.len());
        Err("the text in quotes does not end on this line")
    }
    fn value(&mut self) -> Tok<'a> {
        match self.rest().as_bytes().get(1) {
            Some(b'"') => self.quoted(2).map_or_else(Tok::Bad, Tok::QuotedValue),
            Some(b) if is_ident(*b) && *b != b'.' => {
                let name = self.ident(1);
                let number = name.bytes().all(|b| b.is_ascii_digit());
                if number || is_plain(name) {
                    Tok::Value(name)
                } else {
                    Tok::Bad("a value's name starts with a letter, is a number, or stands in quotes")
                }
            }
            _ => {
                self.next += 1;
                Tok::Bad("`%` must be followed by a value's name")
            }
        }
    }

    /// A fault at the current token.
    pub fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::new(self.at, message)
    }
    /// The fault that something else stands here than `wanted`.
    pub fn expected(&self, wanted: &str) -> Fault {
        let found = match self.tok {
            Tok::Bad(why) => return self.fault(why),
            Tok::End => "the end of the text".to_owned(),
            Tok::Ident(s) | Tok::Num(s) => format!("`{}`", short(s)),
            Tok::Str(s) => format!("\"{}\"", short(s)),
            Tok::Value(s) => format!("`%{}`", short(s)),
            Tok::QuotedValue(s) => format!("`%\"{}\"`", short(s)),
            Tok::Punct(c) => format!("`{c}`"),
        };
        self.fault(format!("{wanted} is expected here, found {found}"))
    }
    /// Whether the current token is the character `c`.
    pub fn is(&self, c: char) -> bool {
        self.tok == Tok::Punct(c)
    }
    /// Moves past the character `c` if it is here.
    pub fn eat(&mut self, c: char) -> bool {
        let found = self.is(c);
        if found {
            self.bump();
        }
        found
    }
    /// Moves past the word `word` if it is here.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let found = self.tok == Tok::Ident(word);
        if found {
            self.bump();
        }
        found
    }
    /// Moves past the character `c`.
    ///
    /// # Errors
    /// When it is not here.
    pub fn need(&mut self, c: char) -> Result<(), Fault> {
        if self.eat(c) { Ok(()) } else { Err(self.expected(&format!("`{c}`"))) }
    }
    /// Moves past a name.
    ///
    /// # Errors
    /// When there is none.
    pub fn word(&mut self, wanted: &str) -> Result<&'a str, Fault> {
        let Tok::Ident(s) = self.tok else { return Err(self.expected(wanted)) };
        self.bump();
        Ok(s)
    }
    /// Moves past a text in quotes.
    ///
    /// # Errors
    /// When there is none.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Fault> {
        let Tok::Str(raw) = self.tok else { return Err(self.expected("a text in quotes")) };
        let s = unescape(raw).ok_or_else(|| self.fault("unknown escape in a text"))?;
        self.bump();
        Ok(s)
    }
    /// Moves past a name, bare or in quotes.
    ///
    /// # Errors
    /// When there is none.
    pub fn name(&mut self, wanted: &str) -> Result<Cow<'a, str>, Fault> {
        match self.tok {
            Tok::Str(_) => self.string(),
            _ => self.word(wanted).map(Cow::Borrowed),
        }
    }
    /// Moves past a value: its name, or its number (`Err` of the digits).
    ///
    /// # Errors
    /// When there is none.
    pub fn value_name(&mut self) -> Result<ValueName<'a>, Fault> {
        let name = match self.tok {
            Tok::Value(s) if s.bytes().all(|b| b.is_ascii_digit()) => ValueName::Number(s),
            Tok::Value(s) => ValueName::Name(Cow::Borrowed(s)),
            Tok::QuotedValue(raw) => {
                ValueName::Name(unescape(raw).ok_or_else(|| self.fault("unknown escape in a value's name"))?)
            }
            _ => return Err(self.expected("a value such as `%x`")),
        };
        self.bump();
        Ok(name)
    }
    /// `item {',' item}` up to the character `end`, which is consumed. A comma before `end` is allowed.
    ///
    /// # Errors
    /// Those of `item`, or when neither `,` nor `end` follows an item.
    pub fn list<T>(
        &mut self,
        end: char,
        mut item: impl FnMut(&mut Self) -> Result<T, Fault>,
    ) -> Result<Vec<T>, Fault> {
        let mut out = vec![];
        while !self.eat(end) {
            out.push(item(self)?);
            if !self.eat(',') && !self.is(end) {
                return Err(self.expected(&format!("`,` or `{end}`")));
            }
        }
        Ok(out)
    }
    /// Runs `parse` one level deeper.
    ///
    /// # Errors
    /// Those of `parse`, or when the nesting is too deep.
    pub fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.deepen()?;
        let result = parse(self);
        self.depth -= 1;
        result
    }
    /// Enters a level that [`Cursor::leave`] ends.
    ///
    /// # Errors
    /// When the nesting is too deep.
    pub fn deepen(&mut self) -> Result<(), Fault> {
        if self.depth >= MAX_DEPTH {
            return Err(self.fault(format!("nesting is deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        Ok(())
    }
    /// Leaves a level.
    pub fn leave(&mut self) {
        self.depth -= 1;
    }
}

/// How a text refers to a value.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum ValueName<'a> {
    /// By its name.
    Name(Cow<'a, str>),
    /// By its number: it has no name, or one that others have too.
    Number(&'a str),
}

impl std::fmt::Display for ValueName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(n) => write!(f, "%{n}"),
            Self::Name(n) if is_plain(n) => write!(f, "%{n}"),
            Self::Name(n) => write!(f, "%{}", quote(n)),
        }
    }
}

fn short(s: &str) -> String {
    if s.chars().count() <= 40 { s.to_owned() } else { s.chars().take(40).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Tok<'_>> {
        let (mut c, mut out) = (Cursor::new(text), vec![]);
        while c.tok != Tok::End {
            out.push(c.tok);
            c.bump();
        }
        out
    }

    #[test]
    fn tokens_of_all_kinds() {
        use Tok::*;
        let text = "%a.b %7 %\"x y\" foo 1.5e-3 2*N-1 \"s\\\"t\" ; note\n) 1. 3e";
        let expect = [
            Value("a.b"),
            Value("7"),
            QuotedValue("x y"),
            Ident("foo"),
            Num("1.5e-3"),
            Num("2"),
            Punct('*'),
            Ident("N"),
            Punct('-'),
            Num("1"),
            Str("s\\\"t"),
            Punct(')'),
            Num("1"),
            Punct('.'),
            Num("3"),
            Ident("e"),
        ];
        assert_eq!(tokens(text), expect);
        assert!(matches!(tokens("\"open\nx")[..], [Bad(_), Ident("x")]));
        assert!(matches!(tokens("% %7x %\"")[..], [Bad(_), Bad(_), Bad(_)]));
    }

    #[test]
    fn quotes_are_inverse() {
        for s in ["", "plain", "a\"b\\c", "tab\tline\nreturn\r", "\u{0}\u{7f}\u{85}é漢", "\\u{41}"] {
            let quoted = quote(s);
            assert!(!quoted.contains('\n'));
            assert_eq!(Cursor::new(&quoted).string().expect("a string"), s);
        }
        assert!(Cursor::new("\"\\q\"").string().is_err());
        assert!(Cursor::new("\"\\u{110000}\"").string().is_err());
        assert_eq!(Cursor::new("\"\\u{41}\\0\"").string().expect("ok"), "A\0");
    }

    #[test]
    fn faults_name_line_and_column() {
        let text = "a\né ?";
        let d = Fault::new(text.find('?').expect("there"), "x").place(text);
        assert_eq!(d.message, "line 2, column 3: x");
    }
}
