//! A bound on the iterations of nested loops together.
use crate::op::OpError;
use std::cell::Cell;

/// Iterations that one outermost loop may take in evaluation, those of loops inside included.
pub const MAX_ITERATIONS: u64 = 10_000_000;

thread_local! {
    /// Iterations left to the outermost loop being evaluated on this thread; `None` outside.
    static LEFT: Cell<Option<u64>> = const { Cell::new(None) };
}

/// The share of a loop in the iterations of the outermost one, which opens and closes the account.
pub struct Budget {
    outermost: bool,
}

impl Budget {
    /// Opens the account, unless a loop around has done so.
    pub fn enter() -> Self {
        let outermost = LEFT.get().is_none();
        if outermost {
            LEFT.set(Some(MAX_ITERATIONS));
        }
        Self { outermost }
    }
    /// Takes one iteration from the account.
    ///
    /// # Errors
    /// When none is left.
    pub fn spend() -> Result<(), OpError> {
        let left = LEFT.get().unwrap_or(MAX_ITERATIONS).checked_sub(1);
        let left = left.ok_or_else(|| {
            OpError::new("E0307", format!("a loop takes more than {MAX_ITERATIONS} iterations"))
        })?;
        LEFT.set(Some(left));
        Ok(())
    }
    #[cfg(test)]
    pub(super) fn set(left: Option<u64>) {
        LEFT.set(left);
    }
    #[cfg(test)]
    pub(super) fn left() -> Option<u64> {
        LEFT.get()
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        if self.outermost {
            LEFT.set(None);
        }
    }
}
