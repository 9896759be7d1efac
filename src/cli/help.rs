//! `hoist help`.
use super::{Cli, Report, misuse};
use anyhow::Result;
use clap::{Command, CommandFactory as _};
use serde_json::json;
use std::fmt::Write as _;

/// Show help for a command
#[derive(clap::Args)]
pub struct Opts {
    /// The command
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
    /// Print the help of every command as a page of Markdown
    #[arg(long, hide = true, conflicts_with = "command")]
    markdown: bool,
}

/// Columns of the page, whatever the terminal.
const WIDTH: usize = 100;

impl Opts {
    /// Runs the command.
    pub fn run(self) -> Result<Report> {
        let mut root = Cli::command();
        if self.markdown {
            root = root.term_width(WIDTH);
        }
        root.build();
        let text = if self.markdown {
            page(&mut root)
        } else if let Some(name) = &self.command {
            let sub = root.find_subcommand_mut(name);
            let sub = sub.ok_or_else(|| misuse(format!("there is no command `{name}`")))?;
            sub.render_long_help().to_string()
        } else {
            root.render_long_help().to_string()
        };
        Ok(Report::new(text.clone(), json!({"help": text})))
    }
}

fn page(root: &mut Command) -> String {
    let mut out = String::from("# Command line\n\nPrinted by `hoist help --markdown`.\n");
    let top = root.render_long_help().to_string();
    section(&mut out, "hoist", &top);
    for sub in root.get_subcommands_mut() {
        let name = format!("hoist {}", sub.get_name());
        let help = sub.render_long_help().to_string();
        section(&mut out, &name, &help);
    }
    out
}

fn section(out: &mut String, name: &str, help: &str) {
    let lines: Vec<&str> = help.trim_end().lines().map(str::trim_end).collect();
    let _ = write!(out, "\n## {name}\n\n```text\n{}\n```\n", lines.join("\n"));
}
