//! The `hoist` command.

mod architecture;
mod calibration;
mod cli;
mod companions;
mod difference;
mod engine;
mod error_report;
mod format;
mod freed;
mod gate;
mod io;
mod job;
mod layout;
mod output;
mod precision;
mod progress;
mod quantization;
mod render;
mod shaping;
mod signatures;
mod stats;
mod steps;
mod tuning;
mod weights;

fn main() -> std::process::ExitCode {
    cli::main()
}
