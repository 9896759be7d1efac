//! The `hoist` command.

mod cli;
mod difference;
mod engine;
mod format;
mod gate;
mod io;
mod job;
mod output;
mod progress;
mod render;
mod stats;

fn main() -> std::process::ExitCode {
    cli::main()
}
