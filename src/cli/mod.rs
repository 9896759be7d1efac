//! The command line: arguments in, exit code out. Nothing is done before the arguments are read.
use crate::job::Defect;
use crate::render;
use clap::{CommandFactory as _, Parser, Subcommand, ValueEnum};
use hoist_ir::diag::{Diag, Diags};
use serde_json::{Map, Value, json};
use std::any::Any;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

mod completions;
mod convert;
mod diff;
mod explain;
mod help;
mod inspect;
mod man;
mod ops;
mod optimize;
mod quantize;
mod rewrite;
mod run;
mod verify;

/// Shown at the end of every long help.
const EXIT_CODES: &str =
    "Exit codes: 0 done; 1 the model is rejected; 2 wrong command line; 3 a defect of Hoist.";

/// Converts, optimizes, checks and runs trained neural networks.
#[derive(Parser)]
#[command(name = "hoist", version, disable_help_subcommand = true, after_long_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// What is printed: text for people, or one JSON object on standard output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    format: Format,
}

/// Output of commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

#[derive(Subcommand)]
enum Command {
    Convert(convert::Opts),
    Optimize(optimize::Opts),
    Quantize(Box<quantize::Opts>),
    Inspect(inspect::Opts),
    Verify(verify::Opts),
    Diff(diff::Opts),
    Run(run::Opts),
    Ops(ops::Opts),
    Explain(explain::Opts),
    Completions(completions::Opts),
    Man(man::Opts),
    Help(help::Opts),
}

/// What a command wants shown.
#[derive(Default)]
pub struct Report {
    /// For people, on standard output.
    text: String,
    /// For programs, beside `ok` and `diagnostics`.
    json: Map<String, Value>,
    /// Warnings, and errors of commands that show a result all the same.
    diags: Diags,
    /// Whether the exit code is 1 although the command did its work.
    rejected: bool,
}

impl Report {
    /// A report with the members of the JSON object `json`.
    fn new(text: impl Into<String>, json: Value) -> Self {
        let json = if let Value::Object(map) = json { map } else { Map::new() };
        Self { text: text.into(), json, ..Self::default() }
    }
    /// With these warnings.
    fn warn(mut self, diags: impl IntoIterator<Item = Diag>) -> Self {
        self.diags.0.extend(diags);
        self
    }
}

/// What a command knows about how it was called.
#[derive(Clone, Copy)]
pub struct Session {
    /// Whether JSON is wanted.
    json: bool,
}

/// Runs the program.
pub fn main() -> ExitCode {
    std::panic::set_hook(Box::new(record));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let session = Session { json: cli.format == Format::Json };
    match catch_unwind(AssertUnwindSafe(|| dispatch(cli.command, session))) {
        Ok(Ok(report)) => finish(&report, session),
        Ok(Err(error)) => fail(&error, session),
        Err(_) => {
            show(&Report { diags: defect().into(), ..Report::default() }, session, 3);
            ExitCode::from(3)
        }
    }
}

/// What the first panic said.
static FIRST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Keeps what the first panic says instead of printing it.
fn record(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(String::new, |at| format!(" ({}:{})", at.file(), at.line()));
    let what = message(info.payload());
    let mut first = FIRST_PANIC.lock().unwrap_or_else(PoisonError::into_inner);
    first.get_or_insert_with(|| format!("{what}{place}"));
}

fn message(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// The diagnostic for a panic.
fn defect() -> Diag {
    let said = FIRST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
    Diag::error("E0901", format!("Hoist broke one of its own rules: {said}"))
        .hint("this is a defect: please report it with the command line and, if possible, the model")
}

fn dispatch(command: Command, session: Session) -> anyhow::Result<Report> {
    match command {
        Command::Convert(opts) => opts.run(session),
        Command::Optimize(opts) => opts.run(session),
        Command::Quantize(opts) => opts.run(session),
        Command::Inspect(opts) => opts.run(),
        Command::Verify(opts) => opts.run(),
        Command::Diff(opts) => opts.run(),
        Command::Run(opts) => opts.run(session),
        Command::Ops(opts) => Ok(opts.run()),
        Command::Explain(opts) => opts.run(),
        Command::Completions(opts) => opts.run(),
        Command::Man(opts) => opts.run(),
        Command::Help(opts) => opts.run(),
    }
}

/// The error for arguments that clap accepts and that make no sense together.
fn misuse(text: impl std::fmt::Display) -> anyhow::Error {
    Cli::command().error(clap::error::ErrorKind::ValueValidation, text).into()
}

/// Prints what clap has to say. A closed pipe is no error.
fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

fn finish(report: &Report, session: Session) -> ExitCode {
    let code = u8::from(report.rejected || report.diags.has_errors());
    match show(report, session, code) {
        Some(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(1),
        _ => ExitCode::from(code),
    }
}

/// Shows what a command failed with.
fn fail(error: &anyhow::Error, session: Session) -> ExitCode {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        return usage(error);
    }
    let (diags, code) = if let Some(Defect(diags)) = error.downcast_ref() {
        (diags.clone(), 3)
    } else if let Some(diags) = error.downcast_ref::<Diags>() {
        (diags.clone(), 1)
    } else if let Some(diag) = error.downcast_ref::<Diag>() {
        (diag.clone().into(), 1)
    } else {
        (Diag::error("E0901", format!("{error:#}")).into(), 3)
    };
    let code = if diags.0.iter().any(|d| matches!(d.code, "E0503" | "E0504")) { 3 } else { code };
    show(&Report { diags, ..Report::default() }, session, code);
    ExitCode::from(code)
}

/// Writes a report: text to standard output and diagnostics to standard error, or everything as JSON to standard output. Returns the
/// error of writing, which is not worth another message when the reader is gone.
fn show(report: &Report, session: Session, code: u8) -> Option<io::Error> {
    let mut out = io::stdout().lock();
    let text = if session.json {
        let mut all = Map::new();
        all.insert("ok".to_owned(), json!(code == 0));
        all.extend(report.json.clone());
        all.insert("diagnostics".to_owned(), report.diags.0.iter().map(render::json).collect());
        format!("{:#}\n", Value::Object(all))
    } else {
        let _ = io::stderr().write_all(render::text(&report.diags, render::colours()).as_bytes());
        report.text.clone()
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_panic_becomes_a_diagnostic() {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(record));
        let rule = "a rule";
        let caught = std::thread::spawn(move || catch_unwind(|| panic!("{rule} is broken")).is_err()).join();
        std::panic::set_hook(before);
        assert!(caught.is_ok_and(|panicked| panicked));
        let shown = render::text(&defect().into(), false);
        assert!(
            shown.starts_with("error[E0901]: ") && shown.contains("a rule is broken (src/cli/mod.rs:"),
            "{shown}"
        );
        assert!(shown.contains("please report it"));
    }

    #[test]
    fn every_kind_of_error_has_its_exit_code() {
        let session = Session { json: true };
        let code = |error: anyhow::Error| format!("{:?}", fail(&error, session));
        let exit = |code: u8| format!("{:?}", ExitCode::from(code));
        assert_eq!(code(Diags::from(Diag::error("E0301", "m")).into()), exit(1));
        assert_eq!(code(Diag::error("E0102", "m").into()), exit(1));
        assert_eq!(code(misuse("m")), exit(2));
        assert_eq!(code(Defect(Diag::error("E0401", "m").into()).into()), exit(3));
        assert_eq!(code(Diag::error("E0504", "m").into()), exit(3));
        assert_eq!(code(anyhow::anyhow!("unexpected")), exit(3));
    }
}
