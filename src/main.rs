//! The `hoist` command.

mod architecture;
mod cli;
mod difference;
mod engine;
mod format;
mod freed;
mod gate;
mod io;
mod job;
mod layout;
mod output;
mod precision;
mod progress;
mod render;
mod shaping;
mod stats;
mod steps;
mod tuning;
mod weights;

fn main() -> std::process::ExitCode {
    cli::main()
}
