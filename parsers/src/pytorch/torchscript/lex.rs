//! Tokens of the archived source.
use super::ast::Pos;

/// Deepest indentation.
const MAX_INDENT: usize = 128;

/// A token.
#[derive(Clone, Debug, PartialEq)]
pub enum Tok<'a> {
    /// A name or keyword.
    Name(&'a str),
    /// A number as written.
    Number(&'a str),
    /// A text, escapes resolved.
    Str(String),
    /// Punctuation.
    Op(&'static str),
    /// End of a statement.
    Newline,
    /// One level deeper.
    Indent,
    /// One level back.
    Dedent,
    /// End of the file.
    End,
}

/// What is wrong with a source text, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntaxError {
    /// Byte offset.
    pub pos: Pos,
    /// What is wrong.
    pub what: String,
}

/// An error at `pos`.
pub fn wrong<T>(pos: usize, what: impl Into<String>) -> Result<T, SyntaxError> {
    Err(SyntaxError { pos: pos as Pos, what: what.into() })
}

/// Punctuation, longer forms first.
const OPS: &[&str] = &[
    "...", "->", "**", "//", "==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", ",", ":", ".", "=", "+",
    "-", "*", "/", "%", "<", ">", "&", "|", "^", "~", "@", ";",
];

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    /// Open brackets; line ends inside them mean nothing.
    open: usize,
    indents: Vec<usize>,
    out: Vec<(Tok<'a>, Pos)>,
}

/// The tokens of `text` with their places.
///
/// # Errors
/// At characters, texts and indentations that the language does not have.
pub fn tokens(text: &str) -> Result<Vec<(Tok<'_>, Pos)>, SyntaxError> {
    let mut lexer = Lexer { text, at: 0, open: 0, indents: vec![0], out: vec![] };
    lexer.run()?;
    Ok(lexer.out)
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }
    fn push(&mut self, tok: Tok<'a>, at: usize) {
        self.out.push((tok, at as Pos));
    }
    fn take(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !keep(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }
    fn run(&mut self) -> Result<(), SyntaxError> {
        self.line_start()?;
        while let Some(c) = self.rest().chars().next() {
            match c {
                ' ' | '\t' | '\r' => self.at += 1,
                '#' => {
                    self.take(|c| c != '\n');
                }
                '\n' => {
                    let at = self.at;
                    self.at += 1;
                    if self.open == 0 {
                        self.push(Tok::Newline, at);
                        self.line_start()?;
                    }
                }
                '"' | '\'' => self.string(c)?,
                c if c.is_ascii_digit() => self.number(),
                '.' if self.rest()[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(),
                c if c.is_alphabetic() || c == '_' => {
                    let at = self.at;
                    let name = self.take(|c| c.is_alphanumeric() || c == '_');
                    self.push(Tok::Name(name), at);
                }
                _ => self.punctuation(c)?,
            }
        }
        let end = self.text.len();
        self.push(Tok::Newline, end);
        for _ in 1..self.indents.len() {
            self.push(Tok::Dedent, end);
        }
        self.push(Tok::End, end);
        Ok(())
    }
    /// Skips empty lines and compares the indentation of the next one.
    fn line_start(&mut self) -> Result<(), SyntaxError> {
        loop {
            let start = self.at;
            let width = self.take(|c| c == ' ' || c == '\t').len();
            match self.rest().chars().next() {
                Some('\n') => self.at += 1,
                Some('\r' | '#') => {
                    self.take(|c| c != '\n');
                }
                None => return Ok(()),
                Some(_) => return self.indent(width, start),
            }
        }
    }
    fn indent(&mut self, width: usize, start: usize) -> Result<(), SyntaxError> {
        let now = self.indents.last().copied().unwrap_or(0);
        if width > now {
            if self.indents.len() >= MAX_INDENT {
                return wrong(start, format!("statements nest deeper than {MAX_INDENT} levels"));
            }
            self.indents.push(width);
            self.push(Tok::Indent, start);
        }
        while self.indents.last().is_some_and(|i| *i > width) {
            self.indents.pop();
            self.push(Tok::Dedent, start);
        }
        if self.indents.last() == Some(&width) {
            Ok(())
        } else {
            wrong(start, "the indentation fits no block")
        }
    }
    fn number(&mut self) {
        let at = self.at;
        self.take(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_');
        let so_far = self.text.get(at..self.at).unwrap_or_default();
        let exponent = so_far.ends_with(['e', 'E']) && !so_far.starts_with("0x");
        if exponent && self.rest().starts_with(['+', '-']) {
            self.at += 1;
            self.take(|c| c.is_ascii_alphanumeric());
        }
        let number = self.text.get(at..self.at).unwrap_or_default();
        self.push(Tok::Number(number), at);
    }
    fn punctuation(&mut self, c: char) -> Result<(), SyntaxError> {
        let Some(op) = OPS.iter().find(|op| self.rest().starts_with(**op)) else {
            return wrong(self.at, format!("unexpected character {c:?}"));
        };
        match *op {
            "(" | "[" | "{" => self.open += 1,
            ")" | "]" | "}" => self.open = self.open.saturating_sub(1),
            _ => {}
        }
        self.push(Tok::Op(op), self.at);
        self.at += op.len();
        Ok(())
    }
    fn string(&mut self, quote: char) -> Result<(), SyntaxError> {
        let start = self.at;
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let Some(c) = self.rest().chars().next() else { return wrong(start, "a text without an end") };
            self.at += c.len_utf8();
            match c {
                '\n' => return wrong(start, "a text without an end"),
                '\\' => self.escape(&mut bytes)?,
                c if c == quote => break,
                c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        match String::from_utf8(bytes) {
            Ok(text) => self.push(Tok::Str(text), start),
            Err(_) => return wrong(start, "a text that is no UTF-8"),
        }
        Ok(())
    }
    /// One escape; numeric ones stand for bytes of UTF-8, as PyTorch writes them.
    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), SyntaxError> {
        let at = self.at;
        let Some(c) = self.rest().chars().next() else { return wrong(at, "a text without an end") };
        self.at += c.len_utf8();
        let byte = match c {
            'n' => b'\n',
            't' => b'\t',
            'r' => b'\r',
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'v' => 11,
            '\\' | '\'' | '"' => c as u8,
            'x' => return self.numeric(2, 16, bytes),
            '0'..='7' => {
                self.at = at;
                return self.numeric(3, 8, bytes);
            }
            '\n' => return Ok(()),
            _ => return wrong(at, format!("unknown escape \\{c}")),
        };
        bytes.push(byte);
        Ok(())
    }
    fn numeric(&mut self, most: usize, radix: u32, bytes: &mut Vec<u8>) -> Result<(), SyntaxError> {
        let at = self.at;
        let digits: String = self.rest().chars().take(most).take_while(|c| c.is_digit(radix)).collect();
        self.at += digits.len();
        match u8::from_str_radix(&digits, radix) {
            Ok(byte) => bytes.push(byte),
            Err(_) => return wrong(at, "a bad numeric escape"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Tok<'_>> {
        tokens(text).unwrap().into_iter().map(|t| t.0).collect()
    }

    #[test]
    fn blocks_and_joined_lines() {
        let found = kinds("if a:\n  b(1,\n  2)\n\n# note\nc");
        let expected = [
            Tok::Name("if"),
            Tok::Name("a"),
            Tok::Op(":"),
            Tok::Newline,
            Tok::Indent,
            Tok::Name("b"),
            Tok::Op("("),
            Tok::Number("1"),
            Tok::Op(","),
            Tok::Number("2"),
            Tok::Op(")"),
            Tok::Newline,
            Tok::Dedent,
            Tok::Name("c"),
            Tok::Newline,
            Tok::End,
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn numbers_and_texts() {
        assert_eq!(kinds("1e-05")[0], Tok::Number("1e-05"));
        assert_eq!(kinds("0.")[0], Tok::Number("0."));
        assert_eq!(kinds("-1e+30")[1], Tok::Number("1e+30"));
        assert_eq!(kinds(r#""a\t\"\\\303\251\x41""#)[0], Tok::Str("a\t\"\\éA".into()));
    }

    #[test]
    fn errors_have_places() {
        let error = |text: &str| tokens(text).unwrap_err().pos;
        assert_eq!(error("a = $"), 4);
        assert_eq!(error("a = \"x\nb"), 4);
        assert_eq!(error("if a:\n    b\n  c"), 12);
        let deep: Vec<String> = (0..1000).map(|i| " ".repeat(i) + "if a:").collect();
        let deep = deep.join("\n");
        assert!(tokens(&deep).unwrap_err().what.contains("nest"));
    }
}
