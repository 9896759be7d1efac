//! Runs the program as `testdata/cli/*.test` say: one command line, what it prints, and its exit code in one file.
//!
//! ```text
//! $ hoist convert add.hir -o add.onnx     one or more commands; a word may stand in '...'
//! exit: 1                                 the last command's; left out for 0
//! stdout: ...                             expected texts follow, to the next heading; `[..]` stands for any text within a line and
//! stderr: ...                             a line `...` for any lines; a heading that is left out is not compared
//! files: add.hir add.onnx                 what the folder holds besides the inputs (`none`); left out: not compared
//! ```
//!
//! Each case runs in a fresh folder that holds copies of `testdata/cli/inputs`. Besides `hoist` there are `keep FILE` (writes "old" into it) and
//! `is FILE TEXT` (fails unless the file holds exactly TEXT). Commands before the last must succeed. With `HOIST_BLESS=1` texts without
//! wildcards are rewritten.
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a case expects of its last command.
#[derive(Default)]
struct Case {
    comment: Vec<String>,
    commands: Vec<String>,
    exit: i32,
    stdout: Option<String>,
    stderr: Option<String>,
    files: Option<String>,
}

/// What the last command did.
struct Outcome {
    exit: i32,
    stdout: String,
    stderr: String,
    files: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/cli")
}

fn parse(text: &str) -> Case {
    let mut case = Case::default();
    let mut block: Option<&mut Option<String>> = None;
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            case.commands.push(command.to_owned());
        } else if line == "stdout:" {
            case.stdout = Some(String::new());
            block = Some(&mut case.stdout);
        } else if line == "stderr:" {
            case.stderr = Some(String::new());
            block = Some(&mut case.stderr);
        } else if let Some(code) = line.strip_prefix("exit: ") {
            case.exit = code.parse().expect("an exit code");
        } else if let Some(files) = line.strip_prefix("files: ") {
            case.files = Some(files.to_owned());
        } else if let Some(Some(text)) = block.as_deref_mut() {
            text.push_str(line);
            text.push('\n');
        } else {
            case.comment.push(line.to_owned());
        }
    }
    assert!(!case.commands.is_empty(), "no command");
    case
}

/// Words of a command line; a word in single quotes may hold spaces.
fn words(line: &str) -> Vec<String> {
    let pieces = line.split('\'').enumerate();
    pieces
        .flat_map(|(i, piece)| -> Vec<String> {
            if i % 2 == 1 {
                vec![piece.to_owned()]
            } else {
                piece.split_whitespace().map(str::to_owned).collect()
            }
        })
        .collect()
}

fn run(case: &Case, folder: &Path) -> Outcome {
    let mut outcome = Outcome { exit: 0, stdout: String::new(), stderr: String::new(), files: String::new() };
    for (i, line) in case.commands.iter().enumerate() {
        assert_eq!(outcome.exit, 0, "`{}` failed: {}", case.commands[i.max(1) - 1], outcome.stderr);
        let words = words(line);
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["keep", file] => fs::write(folder.join(file), "old").expect("writable"),
            ["is", file, text] => {
                assert_eq!(fs::read_to_string(folder.join(file)).expect("readable"), *text, "{file}");
            }
            ["hoist", args @ ..] => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
                command
                    .args(args)
                    .current_dir(folder)
                    .env_remove("COLUMNS")
                    .env_remove("HOIST_ORACLE_PYTHON");
                let out = command.env_remove("ORT_DYLIB_PATH").output().expect("the program starts");
                outcome.exit = out.status.code().unwrap_or(-1);
                outcome.stdout = String::from_utf8(out.stdout).expect("UTF-8");
                outcome.stderr = String::from_utf8(out.stderr).expect("UTF-8");
            }
            _ => panic!("`{line}` is no command of a test"),
        }
    }
    outcome.files = listing(folder);
    outcome
}

fn listing(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("readable");
    let mut names: Vec<String> =
        entries.map(|e| e.expect("readable").file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !root().join("inputs").join(name).exists());
    names.sort();
    if names.is_empty() { "none".to_owned() } else { names.join(" ") }
}

/// Whether `text` fits `pattern`, line by line.
fn fits(pattern: &str, text: &str) -> bool {
    fn lines(pattern: &[&str], text: &[&str]) -> bool {
        match (pattern, text) {
            ([], _) => text.is_empty(),
            (["...", rest @ ..], _) => (0..=text.len()).any(|skip| lines(rest, &text[skip..])),
            ([first, rest @ ..], [line, others @ ..]) => fits_line(first, line) && lines(rest, others),
            _ => false,
        }
    }
    lines(&pattern.lines().collect::<Vec<_>>(), &text.lines().collect::<Vec<_>>())
}

fn fits_line(pattern: &str, line: &str) -> bool {
    let Some((head, tail)) = pattern.split_once("[..]") else { return pattern == line };
    let Some(rest) = line.strip_prefix(head) else { return false };
    let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    starts.into_iter().any(|at| fits_line(tail, &rest[at..]))
}

fn has_wildcards(text: &str) -> bool {
    text.contains("[..]") || text.lines().any(|line| line == "...")
}

/// The case with the texts of what happened, where its own have no wildcards.
fn blessed(case: &Case, outcome: &Outcome) -> String {
    let mut out = String::new();
    for line in &case.comment {
        let _ = writeln!(out, "{line}");
    }
    for command in &case.commands {
        let _ = writeln!(out, "$ {command}");
    }
    if outcome.exit != 0 {
        let _ = writeln!(out, "exit: {}", outcome.exit);
    }
    if case.files.is_some() {
        let _ = writeln!(out, "files: {}", outcome.files);
    }
    for (name, expected, got) in
        [("stdout", &case.stdout, &outcome.stdout), ("stderr", &case.stderr, &outcome.stderr)]
    {
        if let Some(expected) = expected {
            let keep = has_wildcards(expected) && fits(expected, got);
            let text = if keep { expected } else { got };
            let _ = write!(
                out,
                "{name}:\n{text}{}",
                if text.is_empty() || text.ends_with('\n') { "" } else { "\n" }
            );
        }
    }
    out
}

fn check(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("readable");
    let case = parse(&text);
    let folder = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(root().join("inputs")).expect("inputs") {
        let entry = entry.expect("readable");
        fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("a copy");
    }
    let outcome = run(&case, folder.path());
    if std::env::var_os("HOIST_BLESS").is_some() {
        fs::write(path, blessed(&case, &outcome)).expect("writable");
        return vec![];
    }
    let mut wrong = Vec::new();
    if case.exit != outcome.exit {
        wrong.push(format!("exit {} instead of {}\n{}", outcome.exit, case.exit, outcome.stderr));
    }
    for (name, expected, got) in
        [("stdout", &case.stdout, &outcome.stdout), ("stderr", &case.stderr, &outcome.stderr)]
    {
        if let Some(expected) = expected.as_ref().filter(|e| !fits(e, got)) {
            wrong.push(format!("{name} is\n{got}instead of\n{expected}"));
        }
    }
    if let Some(files) = case.files.as_ref().filter(|files| **files != outcome.files) {
        wrong.push(format!("the folder holds `{}` instead of `{files}`", outcome.files));
    }
    if outcome.stderr.contains(concat!("panicked", " at")) {
        wrong.push("the program panicked".to_owned());
    }
    wrong.into_iter().map(|w| format!("{}: {w}", path.display())).collect()
}

#[test]
fn commands_do_what_their_tests_say() {
    let mut paths: Vec<PathBuf> = fs::read_dir(root())
        .expect("testdata/cli")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 30, "{} cases", paths.len());
    let wrong: Vec<String> = paths.iter().flat_map(|path| check(path)).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn wildcards() {
    assert!(fits("a[..]c\n...\nz\n", "abc\nx\ny\nz\n"));
    assert!(fits("...\n", "") && fits("a [..] b [..]\n", "a 1 b 2\n"));
    assert!(!fits("a[..]c\n", "ab\n") && !fits("a\n", "a\nb\n") && !fits("a\n...\nz\n", "a\ny\n"));
    assert_eq!(words("hoist a 'b c' d"), ["hoist", "a", "b c", "d"]);
}

/// Commands stay silent when nobody reads their output.
#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_error() {
    use std::process::Stdio;
    let mut child = Command::new(env!("CARGO_BIN_EXE_hoist"))
        .args(["ops", "--markdown"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let out = child.wait_with_output().expect("it ends");
    assert_eq!((out.status.code(), out.stderr.as_slice()), (Some(0), &b""[..]));
}

/// A signal in the middle of a job removes what was written so far and leaves an existing output alone.
#[cfg(unix)]
#[test]
fn an_interrupted_job_leaves_nothing() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    // A loop that runs until the gate's time is over: the signal comes while the output waits for its check.
    fs::copy(root().join("inputs/endless.hir"), at("in.hir")).expect("a copy");
    fs::write(at("out.hir"), "old").expect("writable");
    let mut child = Command::new(env!("CARGO_BIN_EXE_hoist"))
        .args(["convert", "in.hir", "-o", "out.hir", "--no-optimize"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let staged = || {
        let entries = fs::read_dir(folder.path()).expect("readable");
        entries.filter_map(Result::ok).any(|e| e.file_name().to_string_lossy().starts_with(".hoist-"))
    };
    let start = Instant::now();
    while !staged() && start.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(staged(), "the job never wrote anything");
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(kill.success());
    assert_eq!(child.wait().expect("it ends").code(), Some(128 + 15));
    assert!(!staged());
    assert_eq!(fs::read_to_string(at("out.hir")).expect("readable"), "old");
}
