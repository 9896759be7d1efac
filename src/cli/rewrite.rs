//! What the commands that rewrite a model have in common.
use super::{Report, Session, convert};
use crate::engine::limit_threads;
use crate::gate::Checking;
use crate::io::Reading;
use crate::job::{Job, Writing};
use crate::precision::Precision;
use crate::quantization::options::Quantizing;
use crate::shaping::Shaping;
use crate::tuning::{Dumps, Tuning};
use anyhow::Result;
use hoist_passes::Pipeline;
use std::path::Path;

/// Arguments of `convert`, `optimize` and `quantize`.
#[derive(clap::Args)]
pub struct Rewrite {
    /// How to write.
    #[command(flatten)]
    pub writing: Writing,
    /// How to read.
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    shaping: Shaping,
    /// What to run.
    #[command(flatten)]
    pub tuning: Tuning,
    /// How to check.
    #[command(flatten)]
    pub checking: Checking,
    /// Threads to use; the result is the same for any number
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// What one of the commands asks for beyond that.
pub struct Asked<'a> {
    /// Input and output file.
    pub files: (&'a Path, &'a Path),
    /// Which floats to compute in.
    pub precision: &'a Precision,
    /// How to quantize.
    pub quantizing: Option<&'a Quantizing>,
    /// What to run on the model.
    pub pipeline: Pipeline,
    /// Whether the report as JSON has what the passes did without being asked.
    pub stats: bool,
}

impl Rewrite {
    /// Uses as many threads as are asked for.
    pub fn limit_threads(&self) {
        limit_threads(self.threads);
    }
    /// Does what is asked.
    ///
    /// # Errors
    /// Those of the job.
    pub fn run(&self, asked: Asked<'_>, session: Session) -> Result<Report> {
        self.limit_threads();
        let (input, output) = asked.files;
        let job = Job {
            input,
            output,
            reading: &self.reading,
            shaping: &self.shaping,
            writing: &self.writing,
            precision: asked.precision,
            quantizing: asked.quantizing,
            checking: &self.checking,
            pipeline: asked.pipeline,
            repro: self.tuning.repro.as_deref(),
            quiet: session.json,
        };
        let mut dumps = Dumps::new();
        let mut keep = |run: usize, text: &str| dumps.push((run, text.to_owned()));
        let done = job.run(&mut self.tuning.options(&mut keep))?;
        let text = self.tuning.told(&done, &dumps);
        let members = self.tuning.members(&done, &dumps, asked.stats);
        Ok(convert::report(output, done, &text, members))
    }
}
