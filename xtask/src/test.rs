//! `cargo xtask test` and `cargo xtask bless`.

use anyhow::Result;

use crate::oracles;
use crate::output::say;
use crate::process::{self, cargo};

/// Runs every test of the workspace with the oracles at hand, by nextest when it is installed. `bless` rewrites expectations.
///
/// Without oracles the tests still run; those that compare with another runtime report themselves as skipped.
pub fn run(args: &[String], bless: bool) -> Result<()> {
    let nextest = process::succeeds(&mut cargo(&["nextest", "--version"]));
    let mut tests = cargo(if nextest { &["nextest", "run"] } else { &["test"] });
    // One test plants a deliberate fault in each pass; none is active in the others.
    tests.args(["--workspace", "--features", "hoist/faults"]).args(args);
    if bless {
        tests.env("HOIST_BLESS", "1");
    }
    match oracles::set_up() {
        Ok(python) => {
            tests.env("HOIST_ORACLE_PYTHON", python);
        }
        Err(error) => say(&format!("warning: comparisons with other runtimes are skipped: {error:#}")),
    }
    process::run(&mut tests)
}
