//! `hoist man`.
use super::{Cli, EXIT_CODES, Report};
use crate::output::{Staging, Target};
use anyhow::Result;
use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use serde_json::json;
use std::path::PathBuf;

/// Print the manual page, or write one page for each command
#[derive(clap::Args)]
#[command(after_long_help = format!("Examples:\n  hoist man | man -l -\n  hoist man /usr/local/share/man/man1\n\n{EXIT_CODES}"))]
pub struct Opts {
    /// Folder for the pages hoist.1, hoist-convert.1, ...
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

impl Opts {
    /// Runs the command.
    pub fn run(self) -> Result<Report> {
        let mut command = Cli::command();
        command.build();
        let Some(folder) = self.folder else {
            let text = String::from_utf8(page(command)?)?;
            return Ok(Report::new(text.clone(), json!({"page": text})));
        };
        let commands = command.get_subcommands().map(|sub| {
            let name: &'static str = format!("hoist-{}", sub.get_name()).leak();
            sub.clone().name(name)
        });
        let mut files = Vec::new();
        for command in std::iter::once(command.clone()).chain(commands) {
            let path = folder.join(format!("{}.1", command.get_name()));
            let text = page(command)?;
            let staging = Staging::new(&Target::new(&path)?)?;
            staging.write_model(|sink| sink.write_all(&text))?;
            staging.commit()?;
            files.push(path.display().to_string());
        }
        Ok(Report::new(files.join("\n") + "\n", json!({"files": files})))
    }
}

fn page(command: Command) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    Man::new(command).render(&mut text)?;
    Ok(text)
}
