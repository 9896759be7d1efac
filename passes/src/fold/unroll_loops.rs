//! `unroll-loops`
//!
//! ```text
//! %n = const i64[] [2]
//! %y = loop(%n, _, %x) {                    %a = exp(%x)
//!     (%i, %c, %v) { return %c, exp(%v) }   %y = exp(%a)
//! }                                   ->
//! ```
//! - The trip count is a constant and small; the condition, if there is one, starts true and stays so.
//! - Copies of the body hold at most some nodes more than it; one iteration, or none, is always taken apart.
//! - Scan values, which the loop stacks, are stacked by `unsqueeze` and `concat`; there is at least one iteration then. A scan that goes over
//!   its operands is left alone.
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, sweep};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::graph::{Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::control::loop_::may_stop;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::splice::Splicer;
use hoist_ir::tensor::Tensor;

/// The pass.
pub struct UnrollLoops;

const INFO: PassInfo =
    PassInfo { name: "unroll-loops", doc: "Replaces a loop of few known iterations by what they compute." };

/// Most iterations that are written one after another.
const MOST_TRIPS: i64 = 16;
/// Most nodes that there may be more than in the loop.
const MOST_NODES: usize = 32;

impl Pass for UnrollLoops {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn roots(&self) -> Option<&'static [&'static str]> {
        Some(&["loop"])
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(sweep(g, cx, unroll))
    }
}

fn unroll(g: &mut Graph, n: NodeId) -> Outcome {
    let node = g.node(n);
    let (Op::Loop(_), [body]) = (node.op(), node.bodies()) else { return Outcome::Skip };
    let Some(trips) = node.input(0).and_then(|v| g.constant(v)?.as_int()) else {
        return Outcome::miss("the trip count is not constant");
    };
    let starts = node
        .input(1)
        .is_none_or(|v| g.constant(v).and_then(|t| t.to_bools().ok()).is_some_and(|b| b == [true]));
    // Without the operand the condition counts for some runtimes and for some not.
    if !starts || may_stop(body) && !planted("unroll-loops") {
        return Outcome::miss("the condition may end it before");
    }
    let trips = trips.max(0);
    let nodes = body.node_count();
    if trips > MOST_TRIPS || (trips - 1).max(0) as usize * nodes > MOST_NODES {
        return Outcome::miss("there are too many iterations, or nodes in them");
    }
    let Some(values) = node.inputs().get(2..).map(<[_]>::to_vec) else { return Outcome::Skip };
    let Some(values) = values.into_iter().collect::<Option<Vec<ValueId>>>() else {
        return Outcome::miss("a carried value is absent");
    };
    let carried = values.len().saturating_sub(node.captures());
    let stacked = node.outputs().len() > carried;
    if trips == 0 && stacked {
        return Outcome::miss("what it stacks has no iteration to be known from");
    }
    let body = body.clone();
    Outcome::of(g.rewrite(n, &[], |b| {
        let (mut now, captured) = (values[..carried].to_vec(), &values[carried..]);
        let mut scans: Vec<Vec<ValueId>> = vec![];
        let mut splicer = Splicer::new(&body);
        for i in 0..trips {
            let mut args = vec![b.scalar(i), b.constant(Tensor::from_bools(&[], vec![true]))];
            args.extend(now.iter().chain(captured));
            let shown = splicer.splice(b, &args)?;
            let Some(next) = shown.get(1..=carried) else {
                return Err(Diag::error("E0401", "a body shows too little"));
            };
            now = next.to_vec();
            scans.push(shown[carried + 1..].to_vec());
        }
        for k in 0..scans.first().map_or(0, Vec::len) {
            let column: Vec<ValueId> = scans.iter().map(|s| s[k]).collect();
            now.push(stack(b, &column)?);
        }
        Ok(now)
    }))
}

/// The values along a new first axis.
fn stack(b: &mut Builder<'_>, values: &[ValueId]) -> Result<ValueId, Diag> {
    let mut slices = vec![];
    for v in values {
        let axes = b.ints(&[0]);
        slices.push(Some(b.unsqueeze(Unsqueeze {}, *v, axes)?));
    }
    if let [Some(one)] = slices.as_slice() {
        return Ok(*one);
    }
    let joined = b.add(Concat { axis: 0 }, &slices)?;
    joined.first().copied().ok_or_else(|| Diag::error("E0901", "a concat has no result"))
}
