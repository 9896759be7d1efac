//! `hoist completions`.
use super::{Cli, EXIT_CODES, Report};
use anyhow::Result;
use clap::CommandFactory as _;
use clap_complete::{Shell, generate};
use serde_json::json;

/// Print completions for a shell
#[derive(clap::Args)]
#[command(after_long_help = format!("Examples:\n  hoist completions bash > /etc/bash_completion.d/hoist\n\n{EXIT_CODES}"))]
pub struct Opts {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

impl Opts {
    /// Runs the command.
    pub fn run(self) -> Result<Report> {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "hoist", &mut script);
        let script = String::from_utf8(script)?;
        Ok(Report::new(script.clone(), json!({"script": script})))
    }
}
