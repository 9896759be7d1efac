//! `legalize-onnx`
//!
//! ```text
//! return y: %x, z: %x       ->  %y = identity(%x)
//!                               %z = identity(%x)
//!                               return y: %y, z: %z
//! ```
//! - In ONNX the name of an output is that of the value it shows: an output needs a node result of its own.
//! - So an output that shows an input, a constant, a captured value, or a value that an earlier output shows, gets a copy.
//! - An output of the model that shows the input of its own name stays: ONNX has that as it is. In bodies it gets a copy too, as runtimes
//!   want it.
use crate::fault::planted;
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
    fn enters_bodies(&self) -> bool {
        false
    }
    fn run(&self, g: &mut Graph, _: &Ctx) -> Result<Changed, Diag> {
        copy_shown(g, true)
    }
}

/// Makes the copies in `g` and its bodies.
fn copy_shown(g: &mut Graph, is_main: bool) -> Result<Changed, Diag> {
    let mut changed = Changed::default();
    for n in g.order_list() {
        for i in 0..g.node(n).stored_bodies().len() {
            g.rewrite_body(n, i, |body| {
                let inner = copy_shown(body, false)?;
                changed.0 += inner.0;
                Ok(inner.any())
            })?;
        }
    }
    let mut shown: HashSet<ValueId> = HashSet::new();
    for i in 0..g.outputs().len() {
        let v = g.outputs()[i].value;
        let same_name = matches!(g.value(v).def(), Def::Input(_))
            && g.value(v).name.as_ref() == Some(&g.outputs()[i].name);
        if matches!(g.value(v).def(), Def::Node { .. }) && (shown.insert(v) || planted("legalize-onnx"))
            || is_main && same_name
        {
            continue;
        }
        let origin = g.producer(v).map_or_else(Origin::default, |n| g.node(n).origin.clone());
        let copy = Builder::at_end(g, origin).identity(Identity {}, v)?;
        g.set_output(i, copy)?;
        changed.add();
    }
    Ok(changed)
}
