//! The Python environment of runtimes that tests compare with: `.venv` at the root, made of pinned wheels.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::output::say;
use crate::process::{command, root, run};

/// What is installed; also the stamp that says which versions `.venv` holds.
const REQUIREMENTS: &str = "testdata/oracles/requirements.txt";

/// Makes `.venv` hold what the requirements name and returns its Python. `HOIST_ORACLE_PYTHON` replaces it.
///
/// # Errors
/// When Python has no venv module or a wheel cannot be fetched.
pub fn set_up() -> Result<PathBuf> {
    if let Some(python) = std::env::var_os("HOIST_ORACLE_PYTHON") {
        return Ok(python.into());
    }
    let wanted = fs::read_to_string(root().join(REQUIREMENTS)).context(REQUIREMENTS)?;
    let venv = root().join(".venv");
    let stamp = venv.join("oracles.stamp");
    let python = python_of(&venv);
    if python.exists() && fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(python);
    }
    say("setting up the oracles in .venv (once; needs the network)");
    install(&venv, &python)?;
    fs::write(&stamp, wanted)?;
    Ok(python)
}

/// Creates the environment and installs the wheels.
fn install(venv: &Path, python: &Path) -> Result<()> {
    run(command("python3").args(["-m", "venv", "--clear"]).arg(venv))
        .context("the oracles need python3 (3.11 or newer) with its venv module")?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", REQUIREMENTS];
    if let Err(error) = run(command(python).args(pip)) {
        bail!(
            "the oracles could not be installed: {error:#}\n\
             They are fetched once from the Python package index; connect and run `cargo xtask oracles`, or set \
             HOIST_ORACLE_PYTHON to a Python that has the packages of {REQUIREMENTS}."
        );
    }
    Ok(())
}

/// The interpreter of an environment.
fn python_of(venv: &Path) -> PathBuf {
    if cfg!(windows) { venv.join("Scripts/python.exe") } else { venv.join("bin/python") }
}
