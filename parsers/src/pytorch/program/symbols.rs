//! Symbolic sizes: expressions in `SymPy`'s `srepr` form, such as `Add(Symbol('s0', integer=True), Integer(1))`.
use crate::pytorch::schema::{ExportedProgram, SymInt as Number};
use hoist_ir::dim::{Dim, SymInt};
use std::collections::BTreeMap;

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 64;

/// Symbols of a program that have one value only.
#[derive(Debug, Default)]
pub struct Symbols {
    fixed: BTreeMap<String, i64>,
}

impl Symbols {
    /// The symbols whose bounds leave one value.
    pub fn of(program: &ExportedProgram) -> Self {
        let one = |(name, range): (&str, &crate::pytorch::schema::RangeConstraint)| {
            (range.min_val == range.max_val).then(|| Some((name.to_owned(), range.min_val?)))?
        };
        Self { fixed: program.range_constraints.iter().filter_map(one).collect() }
    }
    /// The value of a number that may be symbolic; `None` when its expression has no integer form.
    pub fn number(&self, number: &Number) -> Option<SymInt> {
        match number {
            Number::Int(v) => Some(SymInt::from(*v)),
            Number::Expr(e) => {
                let mut parser = Parser { rest: &e.expr_str, symbols: self };
                let value = parser.expr(0)?;
                parser.rest.trim().is_empty().then_some(value)
            }
        }
    }
    /// A size as a dimension.
    pub fn dim(&self, number: &Number) -> Dim {
        Dim::from_sym(self.number(number))
    }
}

struct Parser<'a> {
    rest: &'a str,
    symbols: &'a Symbols,
}

impl<'a> Parser<'a> {
    fn eat(&mut self, c: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(c)?;
        Some(())
    }
    fn word(&mut self) -> &'a str {
        self.rest = self.rest.trim_start();
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-' || c == '.'));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word
    }
    fn quoted(&mut self) -> Option<&'a str> {
        self.eat('\'')?;
        let (text, rest) = self.rest.split_once('\'')?;
        self.rest = rest;
        Some(text)
    }
    fn expr(&mut self, depth: usize) -> Option<SymInt> {
        if depth > MAX_DEPTH {
            return None;
        }
        let head = self.word();
        if let Ok(v) = head.parse::<i64>() {
            return Some(SymInt::from(v));
        }
        if head == "Symbol" {
            return self.symbol();
        }
        let constant = match head {
            "One" => Some(1),
            "Zero" => Some(0),
            "NegativeOne" => Some(-1),
            _ => None,
        };
        if let (Some(v), false) = (constant, self.rest.trim_start().starts_with('(')) {
            return Some(SymInt::from(v));
        }
        self.eat('(')?;
        if head == "Integer" {
            let v = self.word().parse::<i64>().ok()?;
            self.eat(')')?;
            return Some(SymInt::from(v));
        }
        let mut args = Vec::new();
        while self.eat(')').is_none() {
            if !args.is_empty() {
                self.eat(',')?;
            }
            args.push(self.expr(depth + 1)?);
        }
        apply(head, &args)
    }
    /// The rest of `Symbol('s0', positive=True, integer=True)`.
    fn symbol(&mut self) -> Option<SymInt> {
        self.eat('(')?;
        let name = self.quoted()?;
        let (_, rest) = self.rest.split_once(')')?;
        self.rest = rest;
        Some(self.symbols.fixed.get(name).map_or_else(|| SymInt::symbol(name), |v| SymInt::from(*v)))
    }
}

/// An operation by the name `SymPy` or PyTorch's `torch.utils._sympy.functions` gives it.
fn apply(head: &str, args: &[SymInt]) -> Option<SymInt> {
    let two = |f: fn(&SymInt, &SymInt) -> Option<SymInt>| match args {
        [a, b] => f(a, b),
        _ => None,
    };
    let fold = |f: fn(&SymInt, &SymInt) -> Option<SymInt>| {
        let (first, rest) = args.split_first()?;
        rest.iter().try_fold(first.clone(), |a, b| f(&a, b))
    };
    match head {
        "Add" => fold(SymInt::add),
        "Mul" => fold(SymInt::mul),
        "FloorDiv" | "CleanDiv" => two(SymInt::floor_div),
        "CeilDiv" => two(SymInt::ceil_div),
        "Mod" | "PythonMod" => two(SymInt::modulo),
        "Max" => fold(SymInt::larger),
        "Min" => fold(SymInt::smaller),
        "Pow" | "PowByNatural" => match args {
            [base, power] => {
                let power = power.as_const().filter(|p| (0..=8).contains(p))?;
                (0..power).try_fold(SymInt::from(1), |acc, _| acc.mul(base))
            }
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pytorch::schema::SymExpr;

    fn read(text: &str) -> Option<String> {
        let number = Number::Expr(SymExpr { expr_str: text.to_owned(), hint: None });
        let symbols = Symbols { fixed: [("s1".to_owned(), 7)].into() };
        symbols.number(&number).map(|v| v.to_string())
    }

    #[test]
    fn expressions() {
        assert_eq!(read("Symbol('s77', positive=True, integer=True)").as_deref(), Some("s77"));
        assert_eq!(
            read("Add(Mul(Integer(2), Symbol('s0', integer=True)), Integer(-1))").as_deref(),
            Some("2*s0-1")
        );
        assert_eq!(read("FloorDiv(Symbol('s1', integer=True), Integer(2))").as_deref(), Some("3"));
        assert_eq!(read("Pow(Symbol('s0'), Integer(2))").as_deref(), Some("s0*s0"));
        assert_eq!(read("sin(Symbol('s0'))"), None);
        assert_eq!(read("Add(Integer(1)"), None);
        assert_eq!(read(&"Add(".repeat(100_000)), None);
    }
}
