//! `cargo xtask conformance`: suites that measure the release binary against recorded outputs, held to floors that only rise.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::floors::{self, Count, Suite};
use crate::output::say;
use crate::process::{cargo, command, root, run as run_process, target};
use crate::{oracles, shared};

/// Suites and their floors.
const FLOORS: &str = "tests/conformance-floors.toml";

/// What a run asks for.
#[derive(Default)]
struct Options {
    /// Every case instead of a sample.
    full: bool,
    /// Lift the floors to what is reached.
    raise: bool,
    /// Names of the suites to run; none means all.
    only: Vec<String>,
}

/// Where a run finds its parts.
struct Setting {
    shared: PathBuf,
    python: PathBuf,
    binary: PathBuf,
}

/// Runs the suites, prints a table, and fails when a floor is broken. Without the shared folder it says so and succeeds.
pub fn run(args: &[String]) -> Result<()> {
    let options = options(args)?;
    let Some(shared) = shared::folder() else {
        say("conformance: no folder of runners here (HOIST_SHARED names it); nothing is run");
        return Ok(());
    };
    let file = fs::read_to_string(root().join(FLOORS)).context(FLOORS)?;
    let suites = floors::parse(&file).context(FLOORS)?;
    if let Some(name) = options.only.iter().find(|name| suites.iter().all(|suite| suite.name != **name)) {
        bail!("no suite `{name}` in {FLOORS}");
    }
    let setting = set_up(shared)?;
    let wanted = suites.iter().filter(|suite| options.only.is_empty() || options.only.contains(&suite.name));
    let mut results = Vec::new();
    for suite in wanted {
        let started = Instant::now();
        let count = measure(suite, &setting, options.full).with_context(|| suite.name.clone())?;
        results.push((suite, count, started.elapsed().as_secs()));
    }
    report(&results, options.full)?;
    if options.raise {
        let raised = results
            .iter()
            .fold(file, |file, (suite, count, _)| floors::raise(&file, &suite.name, options.full, *count));
        fs::write(root().join(FLOORS), raised)?;
    }
    Ok(())
}

fn options(args: &[String]) -> Result<Options> {
    let mut options = Options::default();
    for arg in args {
        match arg.as_str() {
            "--full" => options.full = true,
            "--raise" => options.raise = true,
            flag if flag.starts_with('-') => bail!("unknown option `{flag}`"),
            suite => options.only.push(suite.to_owned()),
        }
    }
    Ok(options)
}

fn set_up(shared: PathBuf) -> Result<Setting> {
    let python = oracles::set_up()?;
    run_process(&mut cargo(&["build", "--quiet", "--release", "-p", "hoist"]))?;
    let binary = target().join("release").join(format!("hoist{}", std::env::consts::EXE_SUFFIX));
    Ok(Setting { shared, python, binary })
}

/// Runs one suite, showing its output, and counts.
fn measure(suite: &Suite, setting: &Setting, full: bool) -> Result<Count> {
    say(&format!("== {}", suite.name));
    let corpus = corpus(suite, &setting.shared)?;
    let fill = |arg: &String| {
        arg.replace("{bin}", &setting.binary.to_string_lossy()).replace("{corpus}", &corpus.to_string_lossy())
    };
    let mut runner = command(&setting.python);
    runner.arg(setting.shared.join("conformance").join(&suite.runner)).args(suite.args.iter().map(fill));
    if suite.every > 1 && !full {
        runner.args(["--every", &suite.every.to_string()]);
    }
    // A runner's exit status says whether all cases passed; what counts here is the floor.
    let out =
        runner.stderr(std::process::Stdio::inherit()).output().context("cannot start the oracles' Python")?;
    let text = String::from_utf8_lossy(&out.stdout);
    say(text.trim_end());
    count(&text).with_context(|| format!("{} printed no `N of M` line ({})", suite.runner, out.status))
}

/// The sum of a runner's `N of M` lines, which stand at the left margin.
fn count(text: &str) -> Option<Count> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let ok = words.next()?.parse().ok()?;
        let of = words.next().filter(|word| *word == "of").and(words.next())?.parse().ok()?;
        Some(Count { ok, of })
    });
    lines.reduce(|a, b| Count { ok: a.ok + b.ok, of: a.of + b.of })
}

/// The path a runner is given: the archive, or the folder it was unpacked to.
fn corpus(suite: &Suite, shared: &Path) -> Result<PathBuf> {
    let archive = shared.join("corpus").join(format!("{}.tar.xz", suite.corpus));
    if !suite.unpack {
        return Ok(archive);
    }
    let folder = target().join("conformance").join(&suite.corpus);
    if !folder.exists() {
        let partial = folder.with_extension("partial");
        fs::create_dir_all(&partial)?;
        run_process(command("tar").arg("-xJf").arg(&archive).arg("-C").arg(&partial))?;
        fs::rename(&partial, &folder)?;
    }
    let mut entries = fs::read_dir(&folder)?;
    Ok(entries.next().with_context(|| format!("{} is empty", folder.display()))??.path())
}

/// Prints the table; an error names the suites below their floors.
fn report(results: &[(&Suite, Count, u64)], full: bool) -> Result<()> {
    let mut broken = Vec::new();
    say(&format!("{:<24} {:>6} {:>6} {:>6} {:>6}", "suite", "passed", "of", "floor", "s"));
    for (suite, reached, seconds) in results {
        let floor = if full { suite.full } else { suite.sample };
        let mark = if reached.meets(floor) { "" } else { "  BELOW" };
        say(&format!(
            "{:<24} {:>6} {:>6} {:>6} {seconds:>6}{mark}",
            suite.name, reached.ok, reached.of, floor.ok
        ));
        if !reached.meets(floor) {
            broken.push(format!(
                "{} ({} of {}, floor {} of {})",
                suite.name, reached.ok, reached.of, floor.ok, floor.of
            ));
        }
    }
    if !broken.is_empty() {
        bail!("below the floor: {}", broken.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_lines_at_the_margin() {
        let text = "by class:\n  valid   4 of    4\n3 of 4 unusual-but-valid inputs handled\n10 of 12 malformed inputs handled\n";
        assert_eq!(count(text), Some(Count { ok: 13, of: 16 }));
        assert_eq!(count("left out: 3 of 10 cases\n7 of 7\n"), Some(Count { ok: 7, of: 7 }));
        assert_eq!(count("  12  timeout   e.g. a\n"), None);
    }

    #[test]
    fn the_floors_file_is_readable() {
        let suites = floors::parse(&fs::read_to_string(root().join(FLOORS)).unwrap()).unwrap();
        assert!(suites.iter().any(|suite| suite.name == "onnx-nodes"));
        for suite in &suites {
            assert!(
                suite.runner.starts_with("run_") && suite.args.iter().any(|arg| arg.contains("{bin}")),
                "{}",
                suite.name
            );
            assert!(suite.sample.ok <= suite.sample.of && suite.full.ok <= suite.full.of, "{}", suite.name);
        }
    }

    #[test]
    fn a_suite_below_its_floor_is_an_error() {
        let suite = Suite { name: "s".to_owned(), sample: Count { ok: 2, of: 2 }, ..Suite::default() };
        assert!(report(&[(&suite, Count { ok: 2, of: 2 }, 0)], false).is_ok());
        let error = report(&[(&suite, Count { ok: 1, of: 2 }, 0)], false).unwrap_err();
        assert_eq!(error.to_string(), "below the floor: s (1 of 2, floor 2 of 2)");
    }
}
