//! `cargo xtask docs`: reference pages that the program itself prints.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::output::say;
use crate::process::{cargo, output, root};

/// A page below `docs/generated` and the arguments of `hoist` that print it.
const PAGES: &[(&str, &[&str])] = &[
    ("ops.md", &["ops", "--markdown"]),
    ("pytorch.md", &["ops", "--pytorch", "--markdown"]),
    ("tensorflow.md", &["ops", "--tensorflow", "--markdown"]),
    ("passes.md", &["optimize", "--list-passes", "--markdown"]),
    ("cli.md", &["help", "--markdown"]),
];

/// Writes every page; with `--check` compares instead.
pub fn run(args: &[String]) -> Result<()> {
    let check = match args {
        [] => false,
        [flag] if flag == "--check" => true,
        _ => bail!("docs takes `--check` or nothing"),
    };
    let folder = root().join("docs/generated");
    fs::create_dir_all(&folder)?;
    let mut stale = Vec::new();
    for (page, args) in PAGES {
        let text = output(cargo(&["run", "--quiet", "-p", "hoist", "--"]).args(*args))?;
        let path = folder.join(page);
        if fs::read_to_string(&path).is_ok_and(|have| have == text) {
            continue;
        }
        stale.push(*page);
        if !check {
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
            say(&format!("docs/generated/{page}: rewritten"));
        }
    }
    if check && !stale.is_empty() {
        bail!(
            "docs/generated: {} out of date; run `cargo xtask docs` and commit the result",
            stale.join(", ")
        );
    }
    Ok(())
}
