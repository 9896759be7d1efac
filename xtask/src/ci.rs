//! `cargo xtask ci`.

use anyhow::Result;

use crate::process::{command, run as run_process};

/// Runs the CI script.
pub fn run(args: &[String]) -> Result<()> {
    run_process(command("bash").arg(".ci/run").args(args))
}
