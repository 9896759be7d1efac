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

/// A place that reads a value.
#[cfg(feature = "faults")]
#[derive(Clone, Copy)]
pub struct Reader(hoist_ir::graph::Use);

/// The first place that reads the first result of `n`.
#[cfg(feature = "faults")]
pub fn reader(g: &hoist_ir::graph::Graph, n: hoist_ir::graph::NodeId) -> Option<Reader> {
    let result = g.node(n).outputs().first()?;
    g.value(*result).uses().first().cloned().map(Reader)
}

/// Makes the place read the negation (of truth values, the opposite) of what it reads now: the fault of a rewrite that gets a sign wrong.
#[cfg(feature = "faults")]
pub fn negate(g: &mut hoist_ir::graph::Graph, Reader(place): Reader) {
    use hoist_ir::builder::Builder;
    use hoist_ir::graph::{Origin, Use};
    use hoist_ir::ops::Op;
    let (value, anchor) = match place {
        Use::Node { node, slot } => (g.node(node).input(slot as usize), Some(node)),
        Use::Output(i) => (g.outputs().get(i as usize).map(|o| o.value), None),
    };
    let Some(value) = value else { return };
    let bool = g.ty(value).as_tensor().is_some_and(|t| t.dtype == hoist_ir::dtype::DType::Bool);
    let Some(op) = Op::by_name(if bool { "not" } else { "neg" }) else { return };
    let built = match anchor {
        Some(node) => Builder::before(g, node, Origin::default()).add(op, &[Some(value)]),
        None => Builder::at_end(g, Origin::default()).add(op, &[Some(value)]),
    };
    let Some(negated) = built.ok().and_then(|r| r.first().copied()) else { return };
    // A place that does not take it stays as it is, and the test says that nothing noticed the fault.
    let _ = match place {
        Use::Node { node, slot } => g.set_operand(node, slot as usize, Some(negated)),
        Use::Output(i) => g.set_output(i as usize, negated),
    };
}
