//! Parser of the archived source: statements, functions and classes.
use super::ast::{Class, Expr, Field, File, Func, Kind, Param, Pos, Stmt, StmtKind, Target, Ty};
use super::lex::{SyntaxError, Tok, tokens, wrong};
use super::parse::{P, Parser};

/// Statements that Python has and the archived source does not.
const FOREIGN: &[&str] = &[
    "import", "from", "global", "nonlocal", "del", "raise", "try", "async", "assert", "exec", "yield",
    "break", "continue",
];

/// Reads one source file.
///
/// # Errors
/// The first place where the text is not what `torch.jit.save` writes.
pub fn file(text: &str) -> Result<File, SyntaxError> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0 };
    let mut file = File::default();
    loop {
        match parser.peek() {
            Tok::End => return Ok(file),
            Tok::Newline => parser.at += 1,
            Tok::Name("class") => file.classes.push(parser.class()?),
            Tok::Name("def") => file.functions.push(parser.func()?),
            // Old archives start with their operator version and import what they refer to.
            Tok::Name("op_version_set") => parser.skip_line(),
            Tok::Name("import") if parser.imports_archive() => parser.skip_line(),
            _ => {
                return parser.fail("only classes and functions stand at the top of an archived source file");
            }
        }
    }
}

impl Parser<'_, '_> {
    fn imports_archive(&self) -> bool {
        matches!(self.tokens.get(self.at + 1), Some((Tok::Name("__torch__"), _)))
    }
    fn skip_line(&mut self) {
        while !matches!(self.next(), Tok::Newline | Tok::End) {}
    }
    fn end_of_line(&mut self) -> P<()> {
        match self.peek() {
            Tok::Newline => {
                self.at += 1;
                Ok(())
            }
            Tok::End => Ok(()),
            _ => self.fail("the end of the line is expected"),
        }
    }
    /// `: NEWLINE INDENT ... DEDENT`, each line read by `line`.
    fn block<T>(&mut self, mut line: impl FnMut(&mut Self, &mut Vec<T>) -> P<()>) -> P<Vec<T>> {
        self.need_op(":")?;
        self.end_of_line()?;
        if *self.peek() != Tok::Indent {
            return self.fail("an indented block is expected");
        }
        self.at += 1;
        let mut out = vec![];
        loop {
            match self.peek() {
                Tok::Dedent => {
                    self.at += 1;
                    return Ok(out);
                }
                Tok::End => return Ok(out),
                Tok::Newline => self.at += 1,
                _ => line(self, &mut out)?,
            }
        }
    }
    fn class(&mut self) -> P<Class> {
        self.need_word("class")?;
        let name = self.name()?;
        let mut base = None;
        if self.eat_op("(") && !self.eat_op(")") {
            base = Some(self.ty()?.name);
            self.need_op(")")?;
        }
        let mut methods = vec![];
        let fields = self.block(|p, fields| {
            if p.is_word("def") {
                methods.push(p.func()?.into());
            } else if let Some(field) = p.field()? {
                fields.push(field);
            }
            Ok(())
        })?;
        Ok(Class { name: name.into(), base, fields, methods })
    }
    fn field(&mut self) -> P<Option<Field>> {
        if self.eat_word("pass") {
            self.end_of_line()?;
            return Ok(None);
        }
        let mut name = self.name()?.to_owned();
        let mut ty = None;
        if name == "__annotations__" && self.eat_op("[") {
            // `__annotations__["0"] = type`: an attribute whose name is no identifier.
            let Tok::Str(key) = self.next() else { return self.fail("a text is expected") };
            self.need_op("]")?;
            self.need_op("=")?;
            name = key;
            ty = Some(self.ty()?);
        } else if self.eat_op(":") {
            ty = Some(self.ty()?);
        }
        let value = if self.eat_op("=") { Some(self.expr_list()?) } else { None };
        self.end_of_line()?;
        Ok(Some(Field { name: name.into(), ty, value }))
    }
    fn func(&mut self) -> P<Func> {
        let pos = self.pos();
        self.need_word("def")?;
        let name = self.name()?;
        self.need_op("(")?;
        let mut params = vec![];
        while !self.eat_op(")") {
            let name = self.name()?.into();
            let ty = if self.eat_op(":") { Some(self.ty()?) } else { None };
            let default = if self.eat_op("=") { Some(self.expr()?) } else { None };
            params.push(Param { name, ty, default });
            if !self.eat_op(",") {
                self.need_op(")")?;
                break;
            }
        }
        let result = if self.eat_op("->") { Some(self.ty()?) } else { None };
        let body = self.body()?;
        Ok(Func { name: name.into(), params, result, body, pos })
    }
    fn body(&mut self) -> P<Vec<Stmt>> {
        self.nested(|p| {
            p.block(|p, out| {
                out.push(p.stmt()?);
                Ok(())
            })
        })
    }
    fn stmt(&mut self) -> P<Stmt> {
        let pos = self.pos();
        let Tok::Name(word) = *self.peek() else { return self.simple(pos) };
        let kind = match word {
            "if" => {
                self.at += 1;
                self.branch()?
            }
            "while" => {
                self.at += 1;
                let condition = self.expr()?;
                StmtKind::While(condition, self.body()?)
            }
            "for" => {
                self.at += 1;
                let name = self.name()?.into();
                self.need_word("in")?;
                let over = self.expr_list()?;
                StmtKind::For(name, over, self.body()?)
            }
            "with" => self.with()?,
            "pass" => {
                self.at += 1;
                self.end_of_line()?;
                StmtKind::Pass
            }
            "return" => {
                self.at += 1;
                let value = if *self.peek() == Tok::Newline { None } else { Some(self.expr_list()?) };
                self.end_of_line()?;
                StmtKind::Return(value)
            }
            _ if FOREIGN.contains(&word) => {
                return self.fail(format!("`{word}` does not occur in an archived source file"));
            }
            _ => return self.simple(pos),
        };
        Ok(Stmt { kind, pos })
    }
    fn branch(&mut self) -> P<StmtKind> {
        let condition = self.expr()?;
        let then = self.body()?;
        let pos = self.pos();
        let otherwise = if self.eat_word("elif") {
            let inner = self.nested(Self::branch)?;
            vec![Stmt { kind: inner, pos }]
        } else if self.eat_word("else") {
            self.body()?
        } else {
            vec![]
        };
        Ok(StmtKind::If(condition, then, otherwise))
    }
    fn with(&mut self) -> P<StmtKind> {
        self.at += 1;
        let mut items = vec![];
        loop {
            let context = self.expr()?;
            let name = if self.eat_word("as") { Some(self.name()?.into()) } else { None };
            items.push((context, name));
            if !self.eat_op(",") {
                break;
            }
        }
        Ok(StmtKind::With(items, self.body()?))
    }
    /// An assignment or an expression.
    fn simple(&mut self, pos: Pos) -> P<Stmt> {
        let comma_before = self.at;
        let left = self.expr_list()?;
        let ty = if self.eat_op(":") { Some(self.ty()?) } else { None };
        let kind = if self.eat_op("=") {
            let trailing = matches!(self.tokens.get(self.at.wrapping_sub(2)), Some((Tok::Op(","), _)))
                && self.at >= comma_before + 2;
            let value = self.expr_list()?;
            assignment(left, trailing, ty, value)?
        } else {
            StmtKind::Expr(left)
        };
        self.end_of_line()?;
        Ok(Stmt { kind, pos })
    }
}

fn assignment(left: Expr, trailing: bool, ty: Option<Ty>, value: Expr) -> P<StmtKind> {
    let pos = left.pos as usize;
    match left.kind {
        Kind::Name(name) if !trailing => Ok(StmtKind::Assign(Target::Name(name), ty, value)),
        Kind::Attr(object, name) => Ok(StmtKind::Assign(Target::Attr(*object, name), ty, value)),
        Kind::Tuple(items) => {
            let name = |e: Expr| match e.kind {
                Kind::Name(n) => Ok(n),
                _ => wrong(e.pos as usize, "a name is expected"),
            };
            Ok(StmtKind::Unpack(items.into_iter().map(name).collect::<P<_>>()?, value))
        }
        _ => wrong(pos, "only names and attributes are assigned"),
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
