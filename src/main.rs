//! The `hoist` command.

mod architecture;
mod cli;
mod difference;
mod engine;
mod format;
mod gate;
mod io;
mod job;
mod layout;
mod output;
mod progress;
mod render;
mod stats;
mod steps;
mod weights;

fn main() -> std::process::ExitCode {
    cli::main()
}
