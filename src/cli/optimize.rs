//! `hoist optimize`.
use super::{EXIT_CODES, Report, Session, convert, misuse};
use crate::engine::limit_threads;
use crate::gate::Checking;
use crate::io::Reading;
use crate::job::{Done, Job, Writing};
use crate::render::{self, table};
use anyhow::Result;
use hoist_passes::pipeline::GROUPS;
use hoist_passes::{Options, Pipeline, Stat, Why, registry};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

/// Rewrite a model so that it computes the same in fewer steps
///
/// Everything `convert` does, with control over the passes and a table of what each of them did.
#[derive(clap::Args)]
#[command(after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Opts {
    /// Model to read: .onnx, .pt2 or .hir
    #[arg(value_name = "IN", required_unless_present = "list_passes")]
    input: Option<PathBuf>,
    /// Output file
    #[arg(short, long, value_name = "OUT", required_unless_present = "list_passes")]
    output: Option<PathBuf>,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    reading: Reading,
    /// How much to do: 0 nothing, 1 what is exact with the operators that the source has, 2 also operators that stand for several others,
    /// 3 also what takes more bytes or rounds differently
    #[arg(short = 'O', value_name = "LEVEL", default_value_t = 2, value_parser = clap::value_parser!(u8).range(0..=3))]
    level: u8,
    /// Passes to run instead, such as 'cleanup,fixpoint(fold,fuse)'
    #[arg(long, value_name = "PIPELINE", conflicts_with = "level")]
    passes: Option<String>,
    /// Stop after N runs of single passes, to find the run that breaks something
    #[arg(long, value_name = "N")]
    stop_after: Option<usize>,
    /// Print the graph after each run of PASS
    #[arg(long, value_name = "PASS")]
    dump_after: Option<String>,
    /// Verify the graph after each pass
    #[arg(long)]
    verify_each: bool,
    /// Say where PASS looked and did nothing, and why
    #[arg(long, value_name = "PASS[@NODE]")]
    why: Option<String>,
    /// Where to keep the graph before a pass that fails
    #[arg(long, value_name = "FILE")]
    repro: Option<PathBuf>,
    /// List the passes and the groups of passes
    #[arg(long)]
    list_passes: bool,
    /// List them as a page of Markdown
    #[arg(long, hide = true, requires = "list_passes")]
    markdown: bool,
    #[command(flatten)]
    checking: Checking,
    /// Threads to use; the result is the same for any number
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

const EXAMPLES: &str = "Examples:
  hoist optimize model.onnx -o small.onnx
  hoist optimize model.onnx -o out.onnx --passes 'cleanup,fixpoint(fold,fuse)'
  hoist optimize model.onnx -o out.onnx --why fuse-conv-batch-norm
  hoist optimize --list-passes";

impl Opts {
    /// Runs the command.
    pub fn run(self, session: Session) -> Result<Report> {
        if self.list_passes {
            return Ok(list(self.markdown));
        }
        let (Some(input), Some(output)) = (&self.input, &self.output) else {
            return Err(misuse("a model and an output are needed: hoist optimize IN -o OUT"));
        };
        limit_threads(self.threads);
        let job = Job {
            input,
            output,
            reading: &self.reading,
            writing: &self.writing,
            checking: &self.checking,
            pipeline: Pipeline::parse(self.passes.as_deref().unwrap_or(&format!("O{}", self.level)))?,
            repro: self.repro.as_deref(),
            quiet: session.json,
        };
        let mut dumps: Vec<(usize, String)> = Vec::new();
        let mut keep = |run: usize, text: &str| dumps.push((run, text.to_owned()));
        let mut options = Options {
            verify_each: self.verify_each || cfg!(debug_assertions),
            stop_after: self.stop_after,
            why: self.why.as_deref().map(why),
            ..Options::default()
        };
        if let Some(pass) = &self.dump_after {
            options.dump_after = Some((pass.clone(), &mut keep));
        }
        let done = job.run(&mut options)?;
        let mut extra = stats_table(&done.report.stats);
        extra.push_str(&explained(&done, self.why.is_some()));
        let pass = self.dump_after.as_deref().unwrap_or_default();
        for (run, text) in &dumps {
            let _ = write!(extra, "; after run {run}, {pass}\n{text}");
        }
        let members = members(&done.report, pass, &dumps);
        Ok(convert::report(output, done, &extra, members))
    }
}

/// What was asked about, line by line.
pub fn explained(done: &Done, asked: bool) -> String {
    let mut text = String::new();
    if asked && done.report.misses.is_empty() {
        text.push_str("nothing to explain: the pass applied wherever it looked, or looked nowhere\n");
    }
    for miss in &done.report.misses {
        let _ = writeln!(text, "{}", render::clean(&miss.to_string(), 600));
    }
    text
}

/// The same for `--format json`.
pub fn misses(report: &hoist_passes::Report) -> Vec<Value> {
    report.misses.iter().map(|m| json!({"pass": m.pass, "node": m.at, "reason": m.reason})).collect()
}

/// Reads `PASS[@NODE]`.
pub fn why(text: &str) -> Why {
    match text.split_once('@') {
        Some((pass, node)) => Why { pass: pass.to_owned(), node: Some(node.to_owned()) },
        None => Why { pass: text.to_owned(), node: None },
    }
}

/// Runs, edits and time of each pass that did something.
fn stats_table(stats: &[Stat]) -> String {
    let mut rows = vec![["pass", "runs", "edits", "ms"].map(str::to_owned).to_vec()];
    for s in stats.iter().filter(|s| s.changed > 0) {
        rows.push(vec![
            s.pass.to_owned(),
            s.runs.to_string(),
            s.changed.to_string(),
            format!("{:.1}", s.micros as f64 / 1000.0),
        ]);
    }
    if rows.len() == 1 { "no pass changed anything\n".to_owned() } else { table(&rows, &[1, 2, 3]) }
}

fn members(report: &hoist_passes::Report, dumped: &str, dumps: &[(usize, String)]) -> Value {
    let stat =
        |s: &Stat| json!({"pass": s.pass, "runs": s.runs, "edits": s.changed, "micros": s.micros as u64});
    let dumps: Vec<Value> =
        dumps.iter().map(|(run, text)| json!({"pass": dumped, "run": run, "text": text})).collect();
    json!({
        "passes": report.stats.iter().map(stat).collect::<Vec<_>>(),
        "misses": misses(report),
        "dumps": dumps,
    })
}

/// The passes and groups.
fn list(markdown: bool) -> Report {
    let passes: Vec<Value> =
        registry().iter().map(|p| json!({"name": p.info().name, "doc": p.info().doc})).collect();
    let groups: Vec<Value> =
        GROUPS.iter().map(|g| json!({"name": g.name, "doc": g.doc, "passes": g.text})).collect();
    let text = if markdown { list_page() } else { list_text() };
    Report::new(text, json!({"passes": passes, "groups": groups}))
}

fn list_text() -> String {
    let passes = registry().iter().map(|p| vec![p.info().name.to_owned(), p.info().doc.to_owned()]);
    let mut rows: Vec<Vec<String>> = passes.collect();
    let groups = GROUPS.iter().map(|g| vec![g.name.to_owned(), format!("{} [{}]", g.doc, g.text)]);
    rows.extend(groups);
    table(&rows, &[])
}

fn list_page() -> String {
    let mut text = String::from(
        "# Passes\n\nPrinted by `hoist optimize --list-passes --markdown`.\n\n| pass | does |\n|---|---|\n",
    );
    for pass in registry() {
        let _ = writeln!(text, "| `{}` | {} |", pass.info().name, pass.info().doc);
    }
    text.push_str("\n# Groups\n\n| group | does | stands for |\n|---|---|---|\n");
    for group in GROUPS {
        let _ = writeln!(text, "| `{}` | {} | `{}` |", group.name, group.doc, group.text);
    }
    text
}
