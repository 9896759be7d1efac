//! `hoist explain`.
use super::{EXIT_CODES, Report, misuse};
use crate::render::table;
use anyhow::Result;
use hoist_ir::diag::{CODES, CodeInfo, explain};
use serde_json::{Value, json};

/// Explain a diagnostic code, or list them all
#[derive(clap::Args)]
#[command(after_long_help = format!("Examples:\n  hoist explain E0301\n  hoist explain\n\n{EXIT_CODES}"))]
pub struct Opts {
    /// Code such as E0301
    #[arg(value_name = "CODE")]
    code: Option<String>,
}

impl Opts {
    /// Runs the command.
    pub fn run(self) -> Result<Report> {
        let Some(code) = self.code else {
            let rows: Vec<Vec<String>> =
                CODES.iter().map(|c| vec![c.code.to_owned(), c.title.to_owned()]).collect();
            return Ok(Report::new(
                table(&rows, &[]),
                json!({"codes": CODES.iter().map(member).collect::<Vec<_>>()}),
            ));
        };
        match explain(&code) {
            Some(info) => {
                Ok(Report::new(format!("{}: {}\n\n{}\n", info.code, info.title, info.text), member(info)))
            }
            None => Err(misuse(format!("there is no code `{code}`; `hoist explain` lists them"))),
        }
    }
}

fn member(info: &CodeInfo) -> Value {
    json!({"code": info.code, "title": info.title, "text": info.text})
}
