//! `tests/conformance-floors.toml`: which suites run, and how many cases must pass.
//!
//! The file is the subset of TOML that this module reads: comments, `[suite]` headers, and `key = value` on one line, where a value is a
//! number, a text without escapes, or a list of such texts. Raising a floor rewrites that one number and leaves the rest alone.

use anyhow::{Context, Result, bail};

/// Passed cases and all cases of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Cases that passed.
    pub ok: u32,
    /// Cases that ran.
    pub of: u32,
}

impl Count {
    /// Whether a run that reached `self` keeps the promise of `floor`: no fewer passes, and no cases gone missing.
    pub fn meets(self, floor: Self) -> bool {
        self.ok >= floor.ok && self.of >= floor.of
    }
}

/// One suite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suite {
    /// Name of the suite.
    pub name: String,
    /// Script among the conformance runners.
    pub runner: String,
    /// Its arguments; `{bin}` and `{corpus}` are filled in.
    pub args: Vec<String>,
    /// Archive among the corpora, without `.tar.xz`; empty when the runner makes its own cases.
    pub corpus: String,
    /// Whether the runner wants the archive unpacked.
    pub unpack: bool,
    /// Every how many cases one is taken when a sample is run.
    pub every: u32,
    /// The floor of a sample.
    pub sample: Count,
    /// The floor of a full run.
    pub full: Count,
}

impl Suite {
    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "runner" => self.runner = text(value)?,
            "args" => self.args = list(value)?,
            "corpus" => self.corpus = text(value)?,
            "unpack" => self.unpack = value.parse()?,
            "every" => self.every = value.parse()?,
            "ok" => self.sample.ok = value.parse()?,
            "of" => self.sample.of = value.parse()?,
            "full_ok" => self.full.ok = value.parse()?,
            "full_of" => self.full.of = value.parse()?,
            _ => bail!("unknown key `{key}`"),
        }
        Ok(())
    }
}

/// Reads the suites of a floors file.
pub fn parse(file: &str) -> Result<Vec<Suite>> {
    let mut suites: Vec<Suite> = Vec::new();
    for (number, line) in file.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        parse_line(line, &mut suites).with_context(|| format!("line {}: `{line}`", number + 1))?;
    }
    Ok(suites)
}

fn parse_line(line: &str, suites: &mut Vec<Suite>) -> Result<()> {
    if let Some(name) = header(line) {
        suites.push(Suite { name: name.to_owned(), every: 1, ..Suite::default() });
        return Ok(());
    }
    let (key, value) = line.split_once('=').context("expected `key = value`")?;
    suites.last_mut().context("a key before the first [suite]")?.set(key.trim(), value.trim())
}

/// The file with the floor of `suite` lifted to `reached`; `of` follows, `ok` never falls.
pub fn raise(file: &str, suite: &str, full: bool, reached: Count) -> String {
    let (ok, of) = if full { ("full_ok", "full_of") } else { ("ok", "of") };
    let mut current = "";
    let lines = file.lines().map(|line| {
        current = header(line.trim()).unwrap_or(current);
        let Some((key, value)) = line.split_once('=').filter(|_| current == suite) else {
            return line.to_owned();
        };
        let old: u32 = value.trim().parse().unwrap_or(0);
        match key.trim() {
            key if key == ok => format!("{key} = {}", old.max(reached.ok)),
            key if key == of => format!("{key} = {}", old.max(reached.of)),
            _ => line.to_owned(),
        }
    });
    lines.map(|line| line + "\n").collect()
}

fn header(line: &str) -> Option<&str> {
    line.strip_prefix('[')?.strip_suffix(']')
}

fn text(value: &str) -> Result<String> {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .context("expected a text in quotes")?;
    if inner.contains(['"', '\\']) {
        bail!("a text holds no quotes and no escapes here");
    }
    Ok(inner.to_owned())
}

fn list(value: &str) -> Result<Vec<String>> {
    let inner = value
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .context("expected a list on one line")?;
    // Texts hold commas (format lists), so the split is at the quotes: every second piece is a text.
    let pieces: Vec<&str> = inner.split('"').collect();
    if pieces.len().is_multiple_of(2)
        || pieces.iter().step_by(2).any(|between| !matches!(between.trim(), "" | ","))
    {
        bail!("expected texts with commas between them");
    }
    pieces.iter().skip(1).step_by(2).map(|piece| text(&format!("\"{piece}\""))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# floors
[a]
runner = \"run.py\"
args = [\"{bin}\", \"--formats\", \"x,y\"]
every = 4
ok = 3
of = 9
full_ok = 1
full_of = 36
[b]
runner = \"run.py\"
ok = 5
of = 5
";

    #[test]
    fn reads_suites() {
        let suites = parse(FILE).unwrap();
        assert_eq!(suites.len(), 2);
        assert_eq!(suites[0].args, ["{bin}", "--formats", "x,y"]);
        assert_eq!((suites[0].every, suites[1].every), (4, 1));
        assert_eq!(suites[0].full, Count { ok: 1, of: 36 });
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for (file, why) in [
            ("ok = 3", "before the first"),
            ("[a]\nokay = 3", "unknown key"),
            ("[a]\nok = many", "invalid digit"),
            ("[a]\nrunner = run.py", "in quotes"),
            ("[a]\nargs = [\"x\" \"y]", "commas"),
            ("[a]\nargs = [x]", "commas"),
        ] {
            let error = format!("{:#}", parse(file).unwrap_err());
            assert!(error.contains(why), "{file}: {error}");
        }
    }

    #[test]
    fn floors_only_rise() {
        let raised = raise(FILE, "a", false, Count { ok: 7, of: 10 });
        assert_eq!(parse(&raised).unwrap()[0].sample, Count { ok: 7, of: 10 });
        assert_eq!(raised, FILE.replace("ok = 3\nof = 9", "ok = 7\nof = 10"));
        assert_eq!(raise(FILE, "b", false, Count { ok: 4, of: 4 }), FILE);
    }

    #[test]
    fn a_floor_is_broken_by_fewer_passes_or_fewer_cases() {
        let floor = Count { ok: 3, of: 9 };
        assert!(Count { ok: 3, of: 9 }.meets(floor));
        assert!(!Count { ok: 2, of: 9 }.meets(floor));
        assert!(!Count { ok: 3, of: 8 }.meets(floor));
    }
}
