//! Diagnostics for a terminal and as JSON. Texts from files are shown with control characters replaced and long names cut.
use hoist_ir::diag::{Diag, Diags, Severity};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::IsTerminal as _;

/// Most characters of a message, of a name, and most bytes of all diagnostics together.
const MESSAGE: usize = 600;
const NAME: usize = 120;
const TOTAL: usize = 64 << 10;

/// Whether a stream shows colours: it is a terminal and nothing in the environment objects.
pub fn colours() -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
        || std::env::var_os("TERM").is_some_and(|v| v == "dumb");
    std::io::stderr().is_terminal() && !plain
}

/// `text` on one line, at most `most` characters, its middle left out when it is longer. Characters that could steer a terminal or reorder the text
/// are replaced.
pub fn clean(text: &str, most: usize) -> String {
    let shown = |c: char| {
        let hidden = matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if c.is_control() || hidden { '\u{fffd}' } else { c }
    };
    let count = text.chars().count();
    if count <= most {
        return text.chars().map(shown).collect();
    }
    let (head, tail) = (most * 2 / 3, most / 3);
    let start = text.chars().take(head).map(shown);
    let end = text.chars().skip(count - tail).map(shown);
    start.chain(" ... ".chars()).chain(end).collect()
}

/// A name for lists.
pub fn name(text: &str) -> String {
    clean(text, NAME)
}

/// Diagnostics as the terminal shows them, at most 64 KiB.
pub fn text(diags: &Diags, colour: bool) -> String {
    let mut out = String::new();
    for (i, diag) in diags.0.iter().enumerate() {
        let one = one(diag, colour);
        if out.len() + one.len() > TOTAL {
            let _ = writeln!(out, "... and {} more", diags.0.len() - i);
            break;
        }
        out.push_str(&one);
    }
    out
}

fn one(diag: &Diag, colour: bool) -> String {
    let (kind, code) = match diag.severity {
        Severity::Error => ("error", "1;31"),
        Severity::Warning => ("warning", "1;33"),
        Severity::Note => ("note", "1;36"),
    };
    let head = format!("{kind}[{}]", diag.code);
    let head = if colour { format!("\x1b[{code}m{head}\x1b[0m") } else { head };
    let mut out = format!("{head}: {}\n", clean(&diag.message, MESSAGE));
    let place = match (&diag.op, &diag.node) {
        (Some(op), Some(node)) => Some(format!("op `{}`, node `{}`", name(op), name(node))),
        (Some(op), None) => Some(format!("op `{}`", name(op))),
        (None, Some(node)) => Some(format!("node `{}`", name(node))),
        (None, None) => None,
    };
    let origin = diag.origin.as_ref().filter(|o| !o.is_empty()).map(|o| clean(&o.to_string(), MESSAGE));
    let notes = diag.notes.iter().map(|note| ("note:", clean(note, MESSAGE)));
    let hint = diag.hint.iter().map(|hint| ("help:", clean(hint, MESSAGE)));
    let place = place.into_iter().map(|place| ("at", place));
    let origin = origin.into_iter().map(|origin| ("from", origin));
    for (label, text) in place.chain(origin).chain(notes).chain(hint) {
        let _ = writeln!(out, "  {label} {text}");
    }
    out
}

/// A diagnostic as JSON. Texts are whole and escaped, as JSON does it.
pub fn json(diag: &Diag) -> Value {
    let severity = match diag.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let origin: Vec<Value> = diag.origin.iter().flat_map(|o| o.parts()).map(|part| {
        json!({"name": &*part.name, "op": &*part.op, "module": part.module.as_deref(), "line": part.line.as_deref()})
    }).collect();
    json!({
        "code": diag.code,
        "severity": severity,
        "message": diag.message,
        "op": diag.op,
        "node": diag.node,
        "origin": origin,
        "notes": diag.notes,
        "hint": diag.hint,
    })
}

/// A number of bytes for people: powers of 1000.
pub fn bytes(n: u64) -> String {
    scaled(n, &["B", "kB", "MB", "GB", "TB"])
}

/// A count for people: powers of 1000.
pub fn count(n: u64) -> String {
    scaled(n, &["", "K", "M", "G", "T"]).trim_end().to_owned()
}

fn scaled(n: u64, units: &[&str]) -> String {
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} {}", units[0]) } else { format!("{value:.1} {}", units[unit]) }
}

/// Rows as left-aligned columns; columns in `right` are right-aligned.
pub fn table(rows: &[Vec<String>], right: &[usize]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |c: usize| rows.iter().filter_map(|r| r.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(c, cell)| {
            let pad = " ".repeat(widths[c].saturating_sub(cell.chars().count()));
            if right.contains(&c) { format!("{pad}{cell}") } else { format!("{cell}{pad}") }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_from_files_cannot_steer_a_terminal() {
        assert_eq!(clean("a\x1b[31m\nb\u{202e}", 80), "a\u{fffd}[31m\u{fffd}b\u{fffd}");
        let long = clean(&"x".repeat(10_000), NAME);
        assert!(long.chars().count() <= NAME + 5 && long.contains(" ... "));
        let diag = Diag::error("E0301", "m").op("o\n").node("n".repeat(5000)).note("why\r").hint("do\x07");
        let shown = text(&diag.into(), false);
        assert_eq!(shown.lines().count(), 4);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'));
    }

    #[test]
    fn the_whole_is_bounded() {
        let diags = Diags(vec![Diag::error("E0301", "m".repeat(600)); 1000]);
        let shown = text(&diags, false);
        assert!(shown.len() <= TOTAL + 40 && shown.ends_with("more\n"), "{}", shown.len());
    }

    #[test]
    fn figures_for_people() {
        assert_eq!(
            (bytes(999), bytes(1000), bytes(13_640_000)),
            ("999 B".into(), "1.0 kB".into(), "13.6 MB".into())
        );
        assert_eq!((count(12), count(999_960)), ("12".into(), "1.0 M".into()));
        assert_eq!(
            table(&[vec!["a".into(), "1".into()], vec!["bcd".into(), "22".into()]], &[1]),
            "a     1\nbcd  22\n"
        );
    }
}
