//! Parser of the archived source: expressions and types.
use super::ast::{Expr, Kind, Logic, Pos, Ty};
use super::lex::{SyntaxError, Tok, wrong};

/// Deepest nesting of expressions and types.
pub(super) const MAX_DEPTH: usize = 100;

/// Result of a rule.
pub(super) type P<T> = Result<T, SyntaxError>;

/// Place in the tokens of a file.
pub(super) struct Parser<'t, 'a> {
    pub(super) tokens: &'t [(Tok<'a>, Pos)],
    pub(super) at: usize,
    pub(super) depth: usize,
}

/// Binary operators by rising precedence, with the `ATen` operator that each is.
const BINARY: &[&[(&str, &str)]] = &[
    &[("==", "eq"), ("!=", "ne"), ("<", "lt"), ("<=", "le"), (">", "gt"), (">=", "ge")],
    &[("|", "__or__")],
    &[("^", "__xor__")],
    &[("&", "__and__")],
    &[("+", "add"), ("-", "sub")],
    &[("*", "mul"), ("/", "div"), ("//", "floordiv"), ("%", "remainder"), ("@", "matmul")],
];

impl<'a> Parser<'_, 'a> {
    pub(super) fn peek(&self) -> &Tok<'a> {
        self.tokens.get(self.at).map_or(&Tok::End, |t| &t.0)
    }
    pub(super) fn pos(&self) -> Pos {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(0, |t| t.1)
    }
    pub(super) fn fail<T>(&self, what: impl Into<String>) -> P<T> {
        wrong(self.pos() as usize, what)
    }
    pub(super) fn next(&mut self) -> Tok<'a> {
        let tok = self.peek().clone();
        self.at += 1;
        tok
    }
    pub(super) fn is_op(&self, op: &str) -> bool {
        matches!(self.peek(), Tok::Op(o) if *o == op)
    }
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Tok::Name(n) if *n == word)
    }
    pub(super) fn eat_op(&mut self, op: &str) -> bool {
        let found = self.is_op(op);
        self.at += usize::from(found);
        found
    }
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }
    pub(super) fn need_op(&mut self, op: &str) -> P<()> {
        if self.eat_op(op) { Ok(()) } else { self.fail(format!("`{op}` is expected")) }
    }
    pub(super) fn need_word(&mut self, word: &str) -> P<()> {
        if self.eat_word(word) { Ok(()) } else { self.fail(format!("`{word}` is expected")) }
    }
    pub(super) fn name(&mut self) -> P<&'a str> {
        match self.peek() {
            Tok::Name(n) => {
                let n = *n;
                self.at += 1;
                Ok(n)
            }
            _ => self.fail("a name is expected"),
        }
    }
    /// Runs a rule one level deeper.
    pub(super) fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> P<T>) -> P<T> {
        if self.depth >= MAX_DEPTH {
            return self.fail(format!("expressions nest deeper than {MAX_DEPTH} levels"));
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    /// An expression, or several separated by commas: a tuple.
    pub(super) fn expr_list(&mut self) -> P<Expr> {
        let pos = self.pos();
        let first = self.expr()?;
        if !self.is_op(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.eat_op(",") {
            if matches!(self.peek(), Tok::Newline | Tok::End) || self.is_op("=") {
                break;
            }
            items.push(self.expr()?);
        }
        Ok(Expr { kind: Kind::Tuple(items), pos })
    }
    /// `a if condition else b` and everything that binds closer.
    pub(super) fn expr(&mut self) -> P<Expr> {
        self.nested(|p| {
            let pos = p.pos();
            let first = p.logic()?;
            if !p.eat_word("if") {
                return Ok(first);
            }
            let condition = p.logic()?;
            p.need_word("else")?;
            let second = p.expr()?;
            Ok(Expr { kind: Kind::Choice(Box::new([condition, first, second])), pos })
        })
    }
    fn logic(&mut self) -> P<Expr> {
        self.chain("or", Logic::Or, |p| p.chain("and", Logic::And, Self::negation))
    }
    fn chain(&mut self, word: &str, logic: Logic, part: impl Fn(&mut Self) -> P<Expr>) -> P<Expr> {
        let pos = self.pos();
        let first = part(self)?;
        if !self.is_word(word) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.eat_word(word) {
            parts.push(part(self)?);
        }
        Ok(Expr { kind: Kind::Logic(logic, parts), pos })
    }
    fn negation(&mut self) -> P<Expr> {
        let pos = self.pos();
        if !self.eat_word("not") {
            return self.binary(0);
        }
        let inner = self.nested(Self::negation)?;
        Ok(Expr { kind: Kind::Logic(Logic::Not, vec![inner]), pos })
    }
    fn binary(&mut self, level: usize) -> P<Expr> {
        let Some(ops) = BINARY.get(level) else { return self.unary() };
        let pos = self.pos();
        let mut left = self.binary(level + 1)?;
        while let Some(name) = self.binary_op(level, ops) {
            let right = self.binary(level + 1)?;
            left = torch_call(name, vec![left, right], pos);
        }
        Ok(left)
    }
    fn binary_op(&mut self, level: usize, ops: &[(&str, &'static str)]) -> Option<&'static str> {
        if level == 0 && self.eat_word("is") {
            return Some(if self.eat_word("not") { "__isnot__" } else { "__is__" });
        }
        let Tok::Op(op) = self.peek() else { return None };
        let found = ops.iter().find(|(o, _)| o == op)?.1;
        self.at += 1;
        Some(found)
    }
    fn unary(&mut self) -> P<Expr> {
        let pos = self.pos();
        for (op, name) in [("-", "neg"), ("~", "bitwise_not")] {
            if self.eat_op(op) {
                let inner = self.nested(Self::unary)?;
                return Ok(negated(name, inner, pos));
            }
        }
        let base = self.postfix()?;
        if !self.eat_op("**") {
            return Ok(base);
        }
        let power = self.nested(Self::unary)?;
        Ok(torch_call("pow", vec![base, power], pos))
    }
    fn postfix(&mut self) -> P<Expr> {
        let pos = self.pos();
        let mut value = self.atom()?;
        // A long chain of postfixes is a deep tree.
        for _ in 0..MAX_DEPTH {
            let kind = if self.eat_op(".") {
                Kind::Attr(Box::new(value), self.name()?.into())
            } else if self.eat_op("(") {
                let (args, named) = self.arguments()?;
                Kind::Call(Box::new(value), args, named)
            } else if self.eat_op("[") {
                let index = self.expr_list()?;
                self.need_op("]")?;
                Kind::Item(Box::new(value), Box::new(index))
            } else {
                return Ok(value);
            };
            value = Expr { kind, pos };
        }
        self.fail("a chain of calls and attributes is too long")
    }
    #[expect(clippy::type_complexity, reason = "positional and named arguments")]
    fn arguments(&mut self) -> P<(Vec<Expr>, Vec<(Box<str>, Expr)>)> {
        let (mut args, mut named) = (vec![], vec![]);
        while !self.eat_op(")") {
            let keyword = matches!(self.tokens.get(self.at + 1), Some((Tok::Op("="), _)));
            if keyword {
                let name = self.name()?;
                self.need_op("=")?;
                named.push((name.into(), self.expr()?));
            } else {
                args.push(self.expr()?);
            }
            if !self.eat_op(",") {
                self.need_op(")")?;
                break;
            }
        }
        Ok((args, named))
    }
    fn items(&mut self, close: &str) -> P<(Vec<Expr>, bool)> {
        let (mut items, mut comma) = (vec![], false);
        while !self.eat_op(close) {
            items.push(self.expr()?);
            comma = self.eat_op(",");
            if !comma {
                self.need_op(close)?;
                break;
            }
        }
        Ok((items, comma))
    }
    fn atom(&mut self) -> P<Expr> {
        let pos = self.pos();
        let kind = match self.next() {
            Tok::Name(word) => match word {
                "None" => Kind::None,
                "True" => Kind::Bool(true),
                "False" => Kind::Bool(false),
                "inf" | "infj" => Kind::Float(f64::INFINITY),
                "nan" => Kind::Float(f64::NAN),
                "lambda" | "if" | "else" | "for" | "import" | "yield" | "await" => {
                    return wrong(pos as usize, format!("`{word}` is not supported here"));
                }
                _ => Kind::Name(word.into()),
            },
            Tok::Number(text) => return number(text, pos),
            Tok::Str(text) => Kind::Str(text.into()),
            Tok::Op("(") => {
                let (mut items, comma) = self.items(")")?;
                match items.pop() {
                    Some(only) if items.is_empty() && !comma => return Ok(only),
                    Some(last) => items.push(last),
                    None => {}
                }
                Kind::Tuple(items)
            }
            Tok::Op("[") => Kind::List(self.items("]")?.0),
            Tok::Op("{") => Kind::Dict(self.pairs()?),
            _ => return wrong(pos as usize, "an expression is expected"),
        };
        Ok(Expr { kind, pos })
    }
    fn pairs(&mut self) -> P<Vec<(Expr, Expr)>> {
        let mut pairs = vec![];
        while !self.eat_op("}") {
            let key = self.expr()?;
            self.need_op(":")?;
            pairs.push((key, self.expr()?));
            if !self.eat_op(",") {
                self.need_op("}")?;
                break;
            }
        }
        Ok(pairs)
    }

    /// A type.
    pub(super) fn ty(&mut self) -> P<Ty> {
        self.nested(|p| {
            if p.eat_op("(") {
                // `Tuple[()]` is the empty tuple.
                p.need_op(")")?;
                return Ok(Ty { name: "()".into(), args: vec![] });
            }
            let mut name = match p.next() {
                Tok::Name(n) => n.to_owned(),
                Tok::Str(text) => text,
                Tok::Op("...") => "...".to_owned(),
                _ => return p.fail("a type is expected"),
            };
            while p.eat_op(".") {
                name.push('.');
                name.push_str(p.name()?);
            }
            let mut args = vec![];
            if p.eat_op("[") {
                while !p.eat_op("]") {
                    args.push(p.ty()?);
                    if !p.eat_op(",") {
                        p.need_op("]")?;
                        break;
                    }
                }
            }
            args.retain(|a| &*a.name != "()");
            Ok(Ty { name: name.into(), args })
        })
    }
}

/// `torch.name(args)`.
fn torch_call(name: &str, args: Vec<Expr>, pos: Pos) -> Expr {
    let torch = Expr { kind: Kind::Name("torch".into()), pos };
    let callee = Expr { kind: Kind::Attr(Box::new(torch), name.into()), pos };
    Expr { kind: Kind::Call(Box::new(callee), args, vec![]), pos }
}

/// `-x`, computed when `x` is a number.
fn negated(name: &str, inner: Expr, pos: Pos) -> Expr {
    match inner.kind {
        Kind::Int(v) if name == "neg" => Expr { kind: Kind::Int(v.wrapping_neg()), pos },
        Kind::Float(v) if name == "neg" => Expr { kind: Kind::Float(-v), pos },
        Kind::Imaginary(v) if name == "neg" => Expr { kind: Kind::Imaginary(-v), pos },
        _ => torch_call(name, vec![inner], pos),
    }
}

/// A number. `9223372036854775808` is read as the smallest integer, so that its negation is right.
fn number(text: &str, pos: Pos) -> P<Expr> {
    let bad = || SyntaxError { pos, what: format!("`{text}` is no number") };
    let kind = if let Some(imaginary) = text.strip_suffix('j') {
        Kind::Imaginary(imaginary.parse().map_err(|_| bad())?)
    } else if text.bytes().all(|b| b.is_ascii_digit()) {
        match text.parse::<u64>() {
            Ok(v) if v <= 1 << 63 => Kind::Int(v as i64),
            _ => return Err(bad()),
        }
    } else {
        Kind::Float(text.parse().map_err(|_| bad())?)
    };
    Ok(Expr { kind, pos })
}
