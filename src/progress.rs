//! A line that says what a long job is doing, on a terminal only.
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Jobs shorter than this show nothing.
const PATIENCE: Duration = Duration::from_millis(800);

/// Shows the current stage while it lives, once the job has taken long.
pub struct Progress {
    stages: Option<Sender<&'static str>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts with stage `first`. `quiet` shows nothing, and so does a standard error that is no terminal.
    pub fn start(first: &'static str, quiet: bool) -> Self {
        if quiet || !std::io::stderr().is_terminal() {
            return Self { stages: None, thread: None };
        }
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new().name("progress".to_owned());
        Self { stages: Some(sender), thread: thread.spawn(move || show(first, &receiver)).ok() }
    }
    /// The next stage begins.
    pub fn stage(&self, name: &'static str) {
        if let Some(stages) = &self.stages {
            // The thread is gone only when it could not be started.
            let _ = stages.send(name);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stages = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn show(first: &'static str, stages: &Receiver<&'static str>) {
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut name = first;
    loop {
        match stages.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now())) {
            Ok(next) => name = next,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    bar.set_message(name);
    bar.enable_steady_tick(Duration::from_millis(120));
    while let Ok(next) = stages.recv() {
        bar.set_message(next);
    }
    bar.finish_and_clear();
}
