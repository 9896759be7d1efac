//! Development tasks: `cargo xtask TASK`.

mod ci;
mod conformance;
mod docs;
mod floors;
mod oracles;
mod output;
mod process;
mod shared;
mod test;

use std::process::ExitCode;

use output::say;

const USAGE: &str = "\
cargo xtask TASK

  test [ARGS]               set up the oracles, then run every test (ARGS go to nextest, or to cargo test without it)
  bless [ARGS]              the same, rewriting expectations that are blocks of exact text
  ci [--full]               what must hold before a change is merged; --full runs every conformance case
  oracles                   set up .venv with the runtimes that tests compare with
  docs [--check]            regenerate docs/generated, or compare
  protos [--check]          regenerate the protobuf types, or compare
  conformance [--full] [--raise] [SUITE]...
                            run the conformance suites against their floors; --raise lifts floors to what was reached";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let task = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let done = match task.as_str() {
        "test" => test::run(&rest, false),
        "bless" => test::run(&rest, true),
        "ci" => ci::run(&rest),
        "oracles" => oracles::set_up().map(|python| say(&format!("oracles: {}", python.display()))),
        "docs" => docs::run(&rest),
        "protos" => process::protogen(&rest),
        "conformance" => conformance::run(&rest),
        _ => {
            say(USAGE);
            return ExitCode::from(2);
        }
    };
    output::exit_code(done)
}
