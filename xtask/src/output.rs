//! What a task prints.

use std::process::ExitCode;

/// Prints one line for the person at the terminal.
#[expect(clippy::print_stdout, reason = "tasks talk to a person or a CI log")]
pub fn say(line: &str) {
    println!("{line}");
}

/// Prints a task's error, if it has one, and returns the exit code.
pub fn exit_code(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
