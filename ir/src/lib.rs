//! Hoist's graph IR. This page is its specification; `docs/hir.md` shows the text form.
//!
//! - A [`model::Model`] has a main [`graph::Graph`] and what formats carry beside it.
//! - A graph has typed [`graph::Value`]s and [`graph::Node`]s in topological order. `def` and `uses` are kept by [`edit`] alone.
//!   Inputs are values; outputs are named views of values, so a pass may replace what an output shows without renaming it.
//! - A value is defined by the interface, as a constant, or by a node, and typed when its node is added ([`infer`]).
//! - What a node computes is an [`ops::Op`], declared once with [`op!`]. Semantics are those of the newest ONNX operator set
//!   unless the operator's page says otherwise; spatial operators carry a layout.
//! - Bodies (if, loop) are graphs owned by the node. What they use from outside is explicit: a node's last `captures` operands are
//!   the last inputs of each of its bodies.
//! - Operators Hoist does not know are `custom` and pass through untouched.
//! - Tensors are mapped, owned, splat or lazy ([`tensor`]).
#[macro_use]
pub mod op;
pub mod attr;
pub mod builder;
pub mod diag;
pub mod dim;
pub mod dtype;
pub mod edit;
pub mod entity;
pub mod eval;
pub mod expand;
pub mod graph;
pub mod infer;
pub mod kernel;
pub mod model;
pub mod new_node;
pub mod opaque;
pub mod ops;
pub mod pattern;
pub mod splice;
pub mod tensor;
pub mod text;
pub mod types;
pub mod verify;
