//! Control flow: IF, WHILE, CALL, `CALL_ONCE` and what they call.
mod lift;
mod repeat;

use crate::tflite::lift::Lift;
use crate::tflite::lower::{Cx, Lower, R};
use crate::tflite::schema::Builtin;

/// Operators of the IR and how they are lowered.
pub const LOWER: &[(&str, Lower)] = &[("if", branch), ("loop", repeat::lower)];
/// Builtin operators and how they are lifted.
pub const LIFT: &[(Builtin, Lift)] = &[
    (Builtin::If, lift::branch),
    (Builtin::While, lift::repeat),
    (Builtin::StablehloWhile, lift::repeat),
    (Builtin::Call, |cx| lift::call(cx, "subgraph")),
    (Builtin::StablehloComposite, |cx| lift::call(cx, "decomposition_subgraph_index")),
];

fn branch(cx: &mut Cx<'_>) -> R<()> {
    let inputs: Vec<_> = cx.args()?.into_iter().map(Some).collect();
    let bodies = vec![("then_subgraph_index", cx.body(0)?), ("else_subgraph_index", cx.body(1)?)];
    let outputs = cx.outs()?;
    cx.call(Builtin::If, inputs, outputs, bodies)
}
