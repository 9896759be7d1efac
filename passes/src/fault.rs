//! Deliberate faults, one per pass, for checking that tests notice them.
//!
//! Only with the feature `faults`; without it [`planted`] is constant and costs nothing. `tests/hir` plants the fault of each pass in turn and
//! expects one of the pass's cases to fail.

#[cfg(feature = "faults")]
mod planting {
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<&'static str> = const { Cell::new("") };
    }

    /// Whether the fault of `pass` is planted on this thread.
    pub fn planted(pass: &str) -> bool {
        PLANTED.get() == pass
    }
    /// Plants the fault of `pass` on this thread while `run` runs.
    pub fn with<R>(pass: &'static str, run: impl FnOnce() -> R) -> R {
        let before = PLANTED.replace(pass);
        let result = run();
        PLANTED.set(before);
        result
    }
}

#[cfg(feature = "faults")]
pub use planting::{planted, with};

/// Whether the fault of `pass` is planted: never, without the feature `faults`.
#[cfg(not(feature = "faults"))]
#[inline]
pub const fn planted(_pass: &str) -> bool {
    false
}
