//! `legalize-tflite-dropout`
//!
//! ```text
//! %y, %m = dropout(%x)   ->   %y = identity(%x)
//!                             %s = shape(%x)
//!                             %m = expand(true, %s)
//! ```
//! - It does not train.
use crate::fault::planted;
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use crate::queries::is_inference_dropout;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId};
use hoist_ir::ops::elementwise::identity::Identity;
use hoist_ir::ops::movement::expand::Expand;
use hoist_ir::ops::shape::shape::Shape;
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct LegalizeTfliteDropout;

const INFO: PassInfo =
    PassInfo { name: "legalize-tflite-dropout", doc: "Replaces dropout that drops nothing, and its mask." };

impl Pass for LegalizeTfliteDropout {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["dropout"], |g, n, _, _| replace(g, n)))
    }
}

fn replace(g: &mut Graph, n: NodeId) -> Outcome {
    if !is_inference_dropout(g, n) && !planted("legalize-tflite-dropout") {
        return Outcome::miss("it drops elements");
    }
    let (x, outputs) = (g.node(n).input(0), g.node(n).outputs().len());
    let Some(x) = x else { return Outcome::Skip };
    Outcome::of(g.rewrite(n, &[], |b| {
        let mut results = vec![b.identity(Identity {}, x)?];
        if outputs > 1 {
            let sizes = b.shape(Shape::default(), x)?;
            let kept = b.constant(Tensor::from_bools(&[], vec![true]));
            results.push(b.expand(Expand {}, kept, sizes)?);
        }
        Ok(results)
    }))
}
