//! Which passes run, how far, and what is told about them: the part of the command line that `convert` and `optimize` share.
use crate::job::Done;
use crate::render::{self, table};
use hoist_passes::{FoldLimits, Options, Pipeline, Stat, Why};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Texts of the graph after runs of one pass: number of the run, text.
pub type Dumps = Vec<(usize, String)>;

/// What passes do, and what is told about it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Tuning {
    /// How much to do: 0 nothing, 1 what is exact with the operators that the source has, 2 also operators that stand for several others,
    /// 3 also what takes more bytes or rounds differently. `convert` does 1 and `optimize` 2 unless told
    #[arg(short = 'O', value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(0..=3))]
    level: Option<u8>,
    /// Passes to run instead, such as 'cleanup,fixpoint(fold,fuse)'
    #[arg(long, value_name = "PIPELINE", conflicts_with = "level")]
    passes: Option<String>,
    /// Most bytes by which constants may grow through one folded node, such as 64k (default 8k, at level 3 1M)
    #[arg(long, value_name = "BYTES", value_parser = size)]
    fold_limit: Option<usize>,
    /// Show what each pass did: runs, edits, time, nodes
    #[arg(long)]
    stats: bool,
    /// Say where PASS looked and did nothing, and why; legalize-layout says why each transpose is left
    #[arg(long, value_name = "PASS[@NODE]")]
    why: Option<String>,
    /// Stop after N runs of single passes, to find the run that breaks something
    #[arg(long, value_name = "N")]
    stop_after: Option<usize>,
    /// Print the graph after each run of PASS
    #[arg(long, value_name = "PASS")]
    dump_after: Option<String>,
    /// Verify the graph after each pass
    #[arg(long)]
    verify_each: bool,
    /// Where to keep the graph before a pass that fails
    #[arg(long, value_name = "FILE")]
    pub repro: Option<PathBuf>,
}

/// Bytes by which constants may grow through one folded node at level 3.
const GROWTH_AT_3: usize = 1 << 20;

/// Reads a number of bytes, such as `64k`.
fn size(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|n| n.checked_mul(unit));
    bytes.ok_or_else(|| format!("`{text}` is no number of bytes; write it like 4096, 64k or 1M"))
}

impl Tuning {
    /// What to run, where `level` is that of the command.
    ///
    /// # Errors
    /// For text that is no pipeline.
    pub fn pipeline(&self, level: u8) -> Result<Pipeline, hoist_ir::diag::Diag> {
        match (&self.passes, self.level.unwrap_or(level)) {
            (Some(text), _) => Pipeline::parse(text),
            (None, 1) => Ok(Pipeline::standard()),
            (None, level) => Pipeline::parse(&format!("O{level}")),
        }
    }
    /// How to run it; `keep` is given what is dumped.
    pub fn options<'a>(&self, keep: &'a mut dyn FnMut(usize, &str)) -> Options<'a> {
        Options {
            verify_each: self.verify_each || cfg!(debug_assertions),
            stop_after: self.stop_after,
            why: self.why.as_deref().map(why),
            dump_after: self.dump_after.clone().map(|pass| (pass, keep as _)),
            fold: FoldLimits {
                growth: self.fold_limit.unwrap_or(if self.level == Some(3) {
                    GROWTH_AT_3
                } else {
                    FoldLimits::default().growth
                }),
                ..FoldLimits::default()
            },
            ..Options::default()
        }
    }
    /// Lines about what the passes did, as far as they are asked for.
    pub fn told(&self, done: &Done, dumps: &Dumps) -> String {
        let mut text = if self.stats { stats_table(&done.report.stats, done.nodes) } else { String::new() };
        if self.why.is_some() && done.report.misses.is_empty() {
            text.push_str("nothing to explain: the pass applied wherever it looked, or looked nowhere\n");
        }
        for miss in &done.report.misses {
            let _ = writeln!(text, "{}", render::clean(&miss.to_string(), 600));
        }
        let pass = self.dump_after.as_deref().unwrap_or_default();
        for (run, dump) in dumps {
            let _ = write!(text, "; after run {run}, {pass}\n{dump}");
        }
        text
    }
    /// The same for `--format json`; `always` has what the passes did without being asked.
    pub fn members(&self, done: &Done, dumps: &Dumps, always: bool) -> Value {
        let mut members = serde_json::Map::new();
        if self.stats || always {
            let passes: Vec<Value> = done.report.stats.iter().map(stat).collect();
            members.insert("passes".to_owned(), passes.into());
        }
        if self.why.is_some() || always {
            let miss = |m: &hoist_passes::Miss| json!({"pass": m.pass, "node": m.at, "reason": m.reason});
            let misses: Vec<Value> = done.report.misses.iter().map(miss).collect();
            members.insert("misses".to_owned(), misses.into());
        }
        if let Some(pass) = self.dump_after.as_deref().or(always.then_some("")) {
            let dump = |(run, text): &(usize, String)| json!({"pass": pass, "run": run, "text": text});
            members.insert("dumps".to_owned(), dumps.iter().map(dump).collect());
        }
        members.into()
    }
}

fn stat(s: &Stat) -> Value {
    json!({"pass": s.pass, "runs": s.runs, "edits": s.changed, "micros": s.micros as u64, "nodes": s.nodes})
}

/// Reads `PASS[@NODE]`.
fn why(text: &str) -> Why {
    match text.split_once('@') {
        Some((pass, node)) => Why { pass: pass.to_owned(), node: Some(node.to_owned()) },
        None => Why { pass: text.to_owned(), node: None },
    }
}

/// One line for each pass that did something, one for all that looked in vain, and the sums.
fn stats_table(stats: &[Stat], nodes: (usize, usize)) -> String {
    let mut rows = vec![["pass", "runs", "edits", "ms", "nodes"].map(str::to_owned).to_vec()];
    let row = |name: &str, runs: usize, edits: u64, micros: u128, nodes: String| {
        vec![
            name.to_owned(),
            runs.to_string(),
            edits.to_string(),
            format!("{:.1}", micros as f64 / 1000.0),
            nodes,
        ]
    };
    let change = |n: i64| if n == 0 { "0".to_owned() } else { format!("{n:+}") };
    for s in merged(stats).iter().filter(|s| s.changed > 0) {
        rows.push(row(s.pass, s.runs, s.changed, s.micros, change(s.nodes)));
    }
    let sum = |of: fn(&Stat) -> u128, all: &dyn Fn(&&Stat) -> bool| stats.iter().filter(all).map(of).sum();
    let idle = |s: &&Stat| s.changed == 0;
    let (runs, micros): (u128, u128) = (sum(|s| s.runs as u128, &idle), sum(|s| s.micros, &idle));
    rows.push(row("(no edits)", runs as usize, 0, micros, "0".to_owned()));
    let (runs, micros): (u128, u128) = (sum(|s| s.runs as u128, &|_| true), sum(|s| s.micros, &|_| true));
    let edits = stats.iter().map(|s| s.changed).sum();
    rows.push(row("total", runs as usize, edits, micros, format!("{} -> {}", nodes.0, nodes.1)));
    table(&rows, &[1, 2, 3, 4])
}

/// One entry for each pass: several pipelines run, and a pass may be in more than one.
fn merged(stats: &[Stat]) -> Vec<Stat> {
    let mut all: Vec<Stat> = vec![];
    for s in stats {
        match all.iter_mut().find(|a| a.pass == s.pass) {
            Some(a) => {
                a.runs += s.runs;
                a.changed += s.changed;
                a.micros += s.micros;
                a.nodes += s.nodes;
            }
            None => all.push(*s),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("4096"), Ok(4096));
        assert_eq!((size("64k"), size("1M")), (Ok(64 << 10), Ok(1 << 20)));
        for bad in ["", "k", "1.5k", "-1", "1kb", "99999999999999999999g"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn passes_of_several_pipelines_are_told_once() {
        let s = Stat { pass: "a", runs: 1, changed: 2, micros: 3, nodes: -1 };
        let idle = Stat { pass: "b", runs: 4, changed: 0, micros: 0, nodes: 0 };
        let text = stats_table(&[s, idle, s], (5, 3));
        assert_eq!(text.lines().count(), 4, "{text}");
        assert!(text.contains("(no edits)") && text.contains("5 -> 3") && text.contains("-2"), "{text}");
    }
}
