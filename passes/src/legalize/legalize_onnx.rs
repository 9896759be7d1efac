//! `legalize-onnx`
//!
//! ```text
//! return y: %x, z: %x       ->  %y = identity(%x)
//!                               %z = identity(%x)
//!                               return y: %y, z: %z
//! ```
//! - In ONNX the name of an output is that of the value it shows: an output needs a node result of its own.
//! - So an output that shows an input, a constant, a captured value, or a value that an earlier output shows, gets a copy.
use crate::pass::{Changed, Ctx, Pass, PassInfo};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Def, Graph, Origin, ValueId};
use hoist_ir::ops::elementwise::identity::Identity;
use std::collections::HashSet;

/// The pass.
pub struct LegalizeOnnx;

const INFO: PassInfo =
    PassInfo { name: "legalize-onnx", doc: "Gives every output a node result of its own, as ONNX needs." };

impl Pass for LegalizeOnnx {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, _: &Ctx) -> Result<Changed, Diag> {
        let mut changed = Changed::default();
        let mut shown: HashSet<ValueId> = HashSet::new();
        for i in 0..g.outputs().len() {
            let v = g.outputs()[i].value;
            if matches!(g.value(v).def(), Def::Node { .. }) && shown.insert(v) {
                continue;
            }
            let origin = g.producer(v).map_or_else(Origin::default, |n| g.node(n).origin.clone());
            let copy = Builder::at_end(g, origin).identity(Identity {}, v)?;
            g.set_output(i, copy)?;
            changed.add();
        }
        Ok(changed)
    }
}
