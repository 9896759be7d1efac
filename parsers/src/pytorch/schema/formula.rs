//! Symbolic sizes written as formulas, `2*s0 + 1`, as nested calls: `Add(Mul(Integer(2), Symbol('s0')), Integer(1))`.

/// Deepest nesting that is followed.
const MAX_DEPTH: usize = 64;

/// Longest formula; each operator adds a few characters to the calls.
const MAX_LEN: usize = 1 << 16;

/// The formula as nested calls; `None` when it is none, or is longer or deeper than any real one.
pub(super) fn to_calls(text: &str) -> Option<String> {
    if text.len() > MAX_LEN {
        return None;
    }
    let mut parser = Parser { rest: text, depth: 0 };
    let calls = parser.sum()?;
    parser.rest.trim().is_empty().then_some(calls)
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
}

impl Parser<'_> {
    fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn starts(&self, token: &str) -> bool {
        self.rest.trim_start().starts_with(token)
    }

    fn sum(&mut self) -> Option<String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let mut terms = vec![self.product()?];
        loop {
            if self.eat("+") {
                terms.push(self.product()?);
            } else if self.eat("-") {
                terms.push(negative(&self.product()?));
            } else {
                break;
            }
        }
        self.depth -= 1;
        Some(call("Add", terms))
    }

    /// Products and floor divisions, from the left.
    fn product(&mut self) -> Option<String> {
        if self.eat("-") {
            self.depth += 1;
            let term = (self.depth <= MAX_DEPTH).then(|| self.product())??;
            self.depth -= 1;
            return Some(negative(&term));
        }
        let mut left = self.power()?;
        loop {
            if self.eat("//") {
                left = call("FloorDiv", vec![left, self.power()?]);
            } else if !self.starts("**") && self.eat("*") {
                left = call("Mul", vec![left, self.power()?]);
            } else {
                return Some(left);
            }
        }
    }

    fn power(&mut self) -> Option<String> {
        let base = self.atom()?;
        if self.eat("**") { Some(call("Pow", vec![base, self.atom()?])) } else { Some(base) }
    }

    /// A number, a symbol, a call or a sum in parentheses.
    fn atom(&mut self) -> Option<String> {
        if self.eat("(") {
            let inner = self.sum()?;
            return self.eat(")").then_some(inner);
        }
        let rest = self.rest.trim_start();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.rest = rest;
        match word.chars().next()? {
            '0'..='9' => word.parse::<i64>().ok().map(|n| format!("Integer({n})")),
            _ if self.eat("(") => {
                let mut args = vec![self.sum()?];
                while self.eat(",") {
                    args.push(self.sum()?);
                }
                self.eat(")").then(|| format!("{word}({})", args.join(", ")))
            }
            _ => Some(format!("Symbol('{word}', integer=True)")),
        }
    }
}

fn negative(term: &str) -> String {
    format!("Mul(Integer(-1), {term})")
}

fn call(head: &str, mut args: Vec<String>) -> String {
    match args.len() {
        1 => args.remove(0),
        _ => format!("{head}({})", args.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::to_calls;

    #[test]
    fn formulas_become_calls() {
        let is = |text: &str, calls: &str| assert_eq!(to_calls(text).as_deref(), Some(calls), "{text}");
        is("s0", "Symbol('s0', integer=True)");
        is("12", "Integer(12)");
        is("2*s0 - 1", "Add(Mul(Integer(2), Symbol('s0', integer=True)), Mul(Integer(-1), Integer(1)))");
        is("(s0 + 3)//2", "FloorDiv(Add(Symbol('s0', integer=True), Integer(3)), Integer(2))");
        is("s0**2", "Pow(Symbol('s0', integer=True), Integer(2))");
        is("-s0", "Mul(Integer(-1), Symbol('s0', integer=True))");
        is("Mod(s0, 2)", "Mod(Symbol('s0', integer=True), Integer(2))");
        is("2*(s0//4)", "Mul(Integer(2), FloorDiv(Symbol('s0', integer=True), Integer(4)))");
    }

    #[test]
    fn other_texts_are_left_alone() {
        for text in [
            "",
            "s0 +",
            "(s0",
            "s0 < 4",
            "1.5",
            "Symbol('s0', integer=True)",
            &"(".repeat(100_000),
            &"-".repeat(70_000),
        ] {
            assert_eq!(to_calls(text), None, "{text:.20}");
        }
    }
}
