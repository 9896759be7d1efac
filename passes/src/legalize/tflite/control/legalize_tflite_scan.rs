//! `legalize-tflite-scan`
//!
//! ```text
//! %last, %all = scan(%h, %x: f32[2, 3]) { body }
//!   ->  %h1, %y0 = body(%h, slice(%x, 0))         few steps
//!       %last, %y1 = body(%h1, slice(%x, 1))
//!       %all = concat(unsqueeze(%y0), unsqueeze(%y1))
//!   ->  %last, %all = loop(2, _, %h) captures %x { body(%h, gather(%x, %i)) }      many steps, or their number is not known
//! ```
//! - Steps are written out while the graph does not grow by more than a thousand nodes: the operators of a body are computed by plain
//!   kernels only, those outside by faster ones.
use super::copied;
use crate::fault::planted;
use crate::legalize::{rank, where_lacking};
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use hoist_ir::builder::Builder;
use hoist_ir::diag::Diag;
use hoist_ir::edit::NewNode;
use hoist_ir::graph::{Graph, NodeId, Origin, ValueId};
use hoist_ir::infer::resolve_axis;
use hoist_ir::ops::Op;
use hoist_ir::ops::control::loop_::Loop;
use hoist_ir::ops::control::scan::Scan;
use hoist_ir::ops::elementwise::arithmetic::Sub;
use hoist_ir::ops::index::gather::Gather;
use hoist_ir::ops::movement::concat::Concat;
use hoist_ir::ops::movement::slice::Slice;
use hoist_ir::ops::movement::squeeze::Squeeze;
use hoist_ir::ops::movement::transpose::Transpose;
use hoist_ir::ops::movement::unsqueeze::Unsqueeze;
use hoist_ir::ops::shape::shape::Shape;
use hoist_ir::splice::Splicer;
use hoist_ir::tensor::Tensor;
use hoist_ir::types::Type;

/// The pass.
pub struct LegalizeTfliteScan;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-scan",
    doc: "Writes out the steps of a scan, or makes it a loop where there are many.",
};

/// Most nodes that the steps written out may have together.
const MAX_NODES: usize = 1024;

impl Pass for LegalizeTfliteScan {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &["scan"], |g, n, target, _| {
            if target.tflite().is_none() { Outcome::Skip } else { bring(g, n) }
        }))
    }
}

/// A scan, taken apart.
struct Parts {
    op: Scan,
    body: Graph,
    states: Vec<ValueId>,
    scanned: Vec<ValueId>,
    captured: Vec<ValueId>,
    /// Axis and direction of each scanned operand.
    taken: Vec<(i64, bool)>,
    results: Vec<Type>,
}

fn at(list: &[i64], k: usize) -> i64 {
    list.get(k).copied().unwrap_or(0)
}

fn parts(g: &Graph, n: NodeId) -> Option<Parts> {
    let node = g.node(n);
    let Op::Scan(op) = node.op().clone() else { return None };
    let all = node.inputs().iter().copied().collect::<Option<Vec<ValueId>>>()?;
    let own = all.len().checked_sub(node.captures())?;
    let scanned = usize::try_from(op.num_scan_inputs).ok().filter(|s| (1..=own).contains(s))?;
    let first = own - scanned;
    let mut taken = vec![];
    for k in 0..scanned {
        let rank = rank(g, Some(all[first + k]))?;
        let axis = resolve_axis(at(&op.scan_input_axes, k), rank).ok()?;
        taken.push((axis as i64, at(&op.scan_input_directions, k) == 1));
    }
    Some(Parts {
        body: node.bodies().first()?.clone(),
        states: all[..first].to_vec(),
        scanned: all[first..own].to_vec(),
        captured: all[own..].to_vec(),
        taken,
        results: node.outputs().iter().map(|v| g.ty(*v).clone()).collect(),
        op,
    })
}

fn bring(g: &mut Graph, n: NodeId) -> Outcome {
    let Some(p) = parts(g, n) else { return Outcome::miss("the rank of a scanned operand is not known") };
    let trips = p.scanned.iter().zip(&p.taken).find_map(|(v, (axis, _))| {
        let shape = g.ty(*v).as_tensor()?.shape.as_ref()?;
        usize::try_from(shape.get(*axis as usize)?.known()?).ok()
    });
    let nodes = p.body.node_count().max(1);
    match trips.filter(|t| t.checked_mul(nodes).is_some_and(|all| all <= MAX_NODES)) {
        Some(0) => Outcome::of(g.rewrite(n, &[], |b| none(b, &p))),
        Some(trips) => Outcome::of(g.rewrite(n, &[], |b| written_out(b, &p, trips))),
        None => Outcome::of(g.rewrite(n, &[], |b| looped(b, &p, trips))),
    }
}

/// The results of no step at all.
fn none(b: &mut Builder<'_>, p: &Parts) -> Result<Vec<ValueId>, Diag> {
    let mut out = p.states.clone();
    for ty in &p.results[p.states.len()..] {
        let empty = ty.as_tensor().and_then(|t| {
            let zero = Tensor::scalar(0i64).cast(t.dtype, false).ok()?;
            Tensor::splat(&zero, &t.sizes()?).ok()
        });
        let empty = empty.ok_or_else(|| Diag::error("E0302", "an empty result of unknown shape"))?;
        out.push(b.constant(empty));
    }
    Ok(out)
}

fn written_out(b: &mut Builder<'_>, p: &Parts, trips: usize) -> Result<Vec<ValueId>, Diag> {
    let mut splicer = Splicer::new(&p.body);
    let mut states = p.states.clone();
    let mut stacks: Vec<Vec<ValueId>> = vec![vec![]; p.results.len() - p.states.len()];
    for i in 0..trips {
        let mut args = states.clone();
        for (x, (axis, reversed)) in p.scanned.iter().zip(&p.taken) {
            let i = if *reversed && !planted("legalize-tflite-scan") { trips - 1 - i } else { i } as i64;
            let (from, to, axis) = (b.ints(&[i]), b.ints(&[i + 1]), b.ints(&[*axis]));
            let part = b.slice(Slice {}, *x, from, to, Some(axis), None)?;
            args.push(b.squeeze(Squeeze {}, part, Some(axis))?);
        }
        args.extend(&p.captured);
        let shown = splicer.splice(b, &args)?;
        states = shown[..p.states.len()].to_vec();
        for (k, (stack, v)) in stacks.iter_mut().zip(&shown[p.states.len()..]).enumerate() {
            let axis = b.ints(&[at(&p.op.scan_output_axes, k)]);
            stack.push(b.unsqueeze(Unsqueeze {}, *v, axis)?);
        }
    }
    for (k, mut stack) in stacks.into_iter().enumerate() {
        if at(&p.op.scan_output_directions, k) == 1 {
            stack.reverse();
        }
        states.push(b.concat(Concat { axis: at(&p.op.scan_output_axes, k) }, &stack)?);
    }
    Ok(states)
}

fn looped(b: &mut Builder<'_>, p: &Parts, trips: Option<usize>) -> Result<Vec<ValueId>, Diag> {
    let (x, axis) = (p.scanned[0], p.taken[0].0);
    let count = match trips {
        Some(n) => b.scalar(n as i64),
        None => length(b, x, axis)?,
    };
    let body = body(b.graph(), p)?;
    let mut inputs = vec![Some(count), None];
    inputs.extend(p.states.iter().chain(&p.scanned).chain(&p.captured).map(|v| Some(*v)));
    let new = NewNode {
        outputs: p.results.len(),
        bodies: vec![body],
        captures: p.scanned.len() + p.captured.len(),
        ..NewNode::new(Loop {}, &inputs)
    };
    let mut results = b.add_node(new)?;
    for (i, v) in results.iter_mut().skip(p.states.len()).enumerate() {
        let reversed = at(&p.op.scan_output_directions, i) == 1;
        *v = placed(b, *v, at(&p.op.scan_output_axes, i), reversed)?;
    }
    Ok(results)
}

/// The size of `axis` of `x`, 0-d.
fn length(b: &mut Builder<'_>, x: ValueId, axis: i64) -> Result<ValueId, Diag> {
    let shape = b.shape(Shape::default(), x)?;
    let axis = b.scalar(axis);
    b.gather(Gather { axis: 0 }, shape, axis)
}

/// The values of all steps, stacked along the first axis, along `axis` and in their order.
fn placed(b: &mut Builder<'_>, v: ValueId, axis: i64, reversed: bool) -> Result<ValueId, Diag> {
    let mut v = v;
    if reversed {
        let (from, to, axis, step) = (b.ints(&[-1]), b.ints(&[i64::MIN]), b.ints(&[0]), b.ints(&[-1]));
        v = b.slice(Slice {}, v, from, to, Some(axis), Some(step))?;
    }
    if axis == 0 {
        return Ok(v);
    }
    let rank = rank(b.graph(), Some(v)).ok_or_else(|| Diag::error("E0302", "a result of unknown rank"))?;
    let axis = resolve_axis(axis, rank).map_err(|e| Diag::error(e.code, e.message))?;
    let mut perm: Vec<i64> = (1..rank as i64).collect();
    perm.insert(axis, 0);
    b.transpose(Transpose { perm }, v)
}

/// The body of the loop: it takes what is scanned whole, and the step's part of it.
fn body(g: &Graph, p: &Parts) -> Result<Graph, Diag> {
    let mut out = Graph::new(&p.body.name);
    let i = out.add_input("i", Type::from(Tensor::scalar(0i64).ty()));
    let go = out.add_input("go", Type::from(Tensor::from_bools(&[], vec![true]).ty()));
    let mut states = vec![];
    for v in &p.body.inputs()[..p.states.len()] {
        states.push(copied(&mut out, &p.body, *v));
    }
    let scanned: Vec<ValueId> = p
        .scanned
        .iter()
        .enumerate()
        .map(|(k, v)| out.add_input(&format!("scanned{k}"), g.ty(*v).clone()))
        .collect();
    let first = p.states.len() + p.scanned.len();
    let mut captured = vec![];
    for v in &p.body.inputs()[first..] {
        captured.push(copied(&mut out, &p.body, *v));
    }
    let mut b = Builder::at_end(&mut out, Origin::default());
    let mut args = states;
    for (x, (axis, reversed)) in scanned.iter().zip(&p.taken) {
        let mut at = i;
        if *reversed {
            let (count, one) = (length(&mut b, *x, *axis)?, b.scalar(1i64));
            let last = b.sub(Sub {}, count, one)?;
            at = b.sub(Sub {}, last, i)?;
        }
        args.push(b.gather(Gather { axis: *axis }, *x, at)?);
    }
    args.extend(captured);
    let shown = Splicer::new(&p.body).splice(&mut b, &args)?;
    out.add_output("go", go);
    for (k, v) in shown.into_iter().enumerate() {
        out.add_output(&format!("y{k}"), v);
    }
    Ok(out)
}
