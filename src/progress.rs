//! A line that says what a long job is doing, on a terminal only.
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Jobs shorter than this show nothing.
const PATIENCE: Duration = Duration::from_millis(800);

/// What a job is doing.
#[derive(Clone, Copy)]
struct Stage {
    name: &'static str,
    /// Steps done and all.
    part: Option<(u64, u64)>,
}

/// Shows the current stage while it lives, once the job has taken long.
pub struct Progress {
    stages: Option<Sender<Stage>>,
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
        self.send(Stage { name, part: None });
    }
    /// So many of all steps of a stage are done.
    pub fn part(&self, name: &'static str, done: usize, all: usize) {
        self.send(Stage { name, part: Some((done as u64, all as u64)) });
    }
    fn send(&self, stage: Stage) {
        if let Some(stages) = &self.stages {
            // The thread is gone only when it could not be started.
            let _ = stages.send(stage);
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

fn show(first: &'static str, stages: &Receiver<Stage>) {
    let deadline = std::time::Instant::now() + PATIENCE;
    let mut stage = Stage { name: first, part: None };
    loop {
        match stages.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now())) {
            Ok(next) => stage = next,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    let bar = ProgressBar::new_spinner();
    paint(&bar, stage);
    bar.enable_steady_tick(Duration::from_millis(120));
    while let Ok(next) = stages.recv() {
        paint(&bar, next);
    }
    bar.finish_and_clear();
}

/// Shows `stage`: with a bar where its steps are counted.
fn paint(bar: &ProgressBar, stage: Stage) {
    let template = if stage.part.is_some() {
        "{spinner} {msg} {bar:30} {pos}/{len} ({elapsed})"
    } else {
        "{spinner} {msg} ({elapsed})"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    if let Some((done, all)) = stage.part {
        bar.set_length(all);
        bar.set_position(done);
    }
    bar.set_message(stage.name);
}
