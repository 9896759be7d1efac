//! Texts: what values look like, and operators on texts.
use super::Eval;
use crate::pytorch::lift::cx::{R, Size};
use crate::pytorch::torchscript::ast::Pos;
use crate::pytorch::torchscript::value::Value;

/// Longest text that is made.
const MAX_TEXT: usize = 1 << 16;

impl Eval<'_> {
    /// What `str()` gives.
    pub(super) fn shown(&self, v: &Value) -> String {
        let mut out = String::new();
        self.show(v, &mut out, 0);
        out
    }
    fn show(&self, v: &Value, out: &mut String, depth: usize) {
        if depth > 8 || out.len() > MAX_TEXT {
            out.push_str("...");
            return;
        }
        let list = |items: &[Value], (open, close): (&str, &str), out: &mut String| {
            out.push_str(open);
            for (i, v) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                self.show(v, out, depth + 1);
            }
            out.push_str(close);
        };
        match v {
            Value::None => out.push_str("None"),
            Value::Bool(b) => out.push_str(if *b { "True" } else { "False" }),
            Value::Int(Size::Known(v)) => out.push_str(&v.to_string()),
            Value::Float(v) if v.fract() == 0.0 && v.abs() < 1e16 => {
                out.push_str(&v.trunc().to_string());
                out.push_str(".0");
            }
            Value::Float(v) => out.push_str(&v.to_string()),
            Value::Str(s) | Value::Device(s) | Value::Global(s) => out.push_str(s),
            Value::Enum(_, name, _) => out.push_str(name),
            Value::Tuple(_, items) => list(items, ("(", ")"), out),
            Value::List(_) => list(self.heap.elements(v).unwrap_or_default(), ("[", "]"), out),
            Value::Tensor(_) | Value::Weight(_) => out.push_str("<tensor>"),
            _ => out.push('?'),
        }
    }
    /// Operators on texts; nothing for other operands.
    pub(super) fn text_op(&mut self, name: &str, args: &[Value], at: Pos) -> R<Option<Value>> {
        let text = |v: Option<&Value>| match v {
            Some(Value::Str(s)) => Some(s.clone()),
            _ => None,
        };
        if name == "str" {
            return Ok(args.first().map(|v| Value::text(self.shown(v))));
        }
        let Some(first) = text(args.first()) else { return Ok(None) };
        let second = text(args.get(1));
        Ok(Some(match (name, second) {
            ("format", _) => Value::text(self.formatted(&first, &args[1..])),
            ("percentFormat", _) => Value::text(self.percent(&first, &args[1..])),
            ("add", Some(b)) if first.len() + b.len() <= MAX_TEXT => Value::text(format!("{first}{b}")),
            ("len", _) => Value::int(first.chars().count() as i64),
            ("lower", _) => Value::text(first.to_lowercase()),
            ("upper", _) => Value::text(first.to_uppercase()),
            ("strip", None) => Value::text(first.trim()),
            ("startswith", Some(b)) => Value::Bool(first.starts_with(&*b)),
            ("endswith", Some(b)) => Value::Bool(first.ends_with(&*b)),
            ("find", Some(b)) => Value::int(first.find(&*b).map_or(-1, |i| i as i64)),
            ("__contains__", Some(b)) => Value::Bool(first.contains(&*b)),
            ("lt", Some(b)) => Value::Bool(first < b),
            ("gt", Some(b)) => Value::Bool(first > b),
            ("replace", Some(b)) if !b.is_empty() => match text(args.get(2)) {
                Some(c) if first.len().saturating_mul(c.len() + 1) <= MAX_TEXT => {
                    Value::text(first.replace(&*b, &c))
                }
                _ => return Ok(None),
            },
            ("split", Some(b)) if !b.is_empty() => {
                let parts = first.split(&*b).map(Value::text).collect();
                self.heap.list(parts)
            }
            ("split", None) => {
                let parts = first.split_whitespace().map(Value::text).collect();
                self.heap.list(parts)
            }
            ("join", None) => {
                let Some(items) = args.get(1).and_then(|v| self.heap.elements(v)) else { return Ok(None) };
                let mut out = String::new();
                for (i, v) in items.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { &first });
                    out.push_str(&self.shown(v));
                    if out.len() > MAX_TEXT {
                        return self.refuse(at, "a text of more than 65536 bytes");
                    }
                }
                Value::text(out)
            }
            ("isdigit", _) => Value::Bool(!first.is_empty() && first.chars().all(|c| c.is_ascii_digit())),
            ("ord", _) => Value::int(first.chars().next().map_or(0, |c| i64::from(u32::from(c)))),
            ("list", _) => {
                let parts = first.chars().map(|c| Value::text(c.to_string())).collect();
                self.heap.list(parts)
            }
            ("slice", _) => {
                let all: Vec<Value> = first.chars().map(|c| Value::text(c.to_string())).collect();
                let parts = self.sliced(&all, &args[1..], at)?;
                Value::text(parts.iter().map(|v| self.shown(v)).collect::<String>())
            }
            ("mul", None) => match args.get(1) {
                Some(Value::Int(Size::Known(n)))
                    if first.len() as i64 * (*n).clamp(0, 1 << 20) <= MAX_TEXT as i64 =>
                {
                    Value::text(first.repeat((*n).clamp(0, 1 << 20) as usize))
                }
                _ => return Ok(None),
            },
            _ => return Ok(None),
        }))
    }
    /// `{}` replaced by the arguments in order.
    fn formatted(&self, template: &str, args: &[Value]) -> String {
        let mut out = String::new();
        let mut args = args.iter();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{}") {
            out.push_str(before);
            if let Some(v) = args.next() {
                out.push_str(&self.shown(v));
            }
            rest = after;
        }
        out.push_str(rest);
        out.chars().take(MAX_TEXT).collect()
    }
    /// `%s`, `%d`, ... replaced by the arguments in order.
    fn percent(&self, template: &str, args: &[Value]) -> String {
        let mut out = String::new();
        let mut args = args.iter();
        let mut chars = template.chars();
        while let Some(c) = chars.next() {
            match (c, c == '%') {
                (_, true) => match chars.next() {
                    Some('%') | None => out.push('%'),
                    Some(_) => out.push_str(&args.next().map(|v| self.shown(v)).unwrap_or_default()),
                },
                (c, false) => out.push(c),
            }
        }
        out
    }
}
