//! State that a model keeps between runs: an input for each part of it and an output with what that part holds after the run.

/// Key of the model property that says which input belongs to which output: JSON, `[{"input": .., "output": .., "initial": "zeros" | "saved"}]`.
pub const PROPERTY: &str = "hoist.state";
/// What begins the kind of an entry of [`Model::opaque`](hoist_ir::model::Model::opaque) that holds what a part of the state begins with, in the element
/// type and sizes of its input. The name of that input follows.
pub const FIRST: &str = "state.";
