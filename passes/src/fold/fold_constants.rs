//! `fold-constants`
//!
//! ```text
//! %a = const f32[2] [1.0, 2.0]
//! %b = neg(%a)                    ->  %b = const f32[2] [-1.0, -2.0]
//! %s = shape(%x: f32[2, 3])       ->  %s = const i64[2] [2, 3]
//! ```
//! - An integer result is folded when all its symbolic elements are constants, whatever the operands are.
//! - Else all operands are constants and the operator is deterministic, known to Hoist, and has no bodies.
//! - The constants grow by at most [`FoldLimits::growth`](crate::pass::FoldLimits::growth) bytes, so that what is stored small
//!   (narrow types, repeated elements) stays small. Nodes that use each other's results or the same constants count together: one
//!   that takes a part of a constant frees it when the others that do are folded too.
//! - Results above 64 KiB are lazy expressions where the operator has them; without, what takes much memory or time stays.
//! - `dequantize_linear` stays: quantization is explicit in the graph.
//!
//! The operator's own evaluation computes the values. Types behind a folded value are inferred again on the way.
use crate::constant_groups::groups;
use crate::fault::planted;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo};
use crate::queries::{fixed_bytes, is_deterministic, operand_constants, operand_types};
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::entity::SideTable;
use hoist_ir::eval::{EvalCx, Limits, Value, eval_op};
use hoist_ir::graph::{Graph, NodeId, Use, ValueId};
use hoist_ir::infer::Content;
use hoist_ir::op::OpError;
use hoist_ir::tensor::Tensor;
use hoist_ir::tensor::convert::Wide;
use hoist_ir::types::Type;
use std::borrow::Cow;
use std::collections::HashMap;

/// The pass.
pub struct FoldConstants;

const INFO: PassInfo = PassInfo {
    name: "fold-constants",
    doc: "Computes nodes whose operands are constants, and shapes that are known.",
};

impl Pass for FoldConstants {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn infers_types(&self) -> bool {
        true
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        let mut folder =
            Folder { cx, stale: SideTable::new(false), changed: Changed::default(), too_large: false };
        loop {
            let before = folder.changed;
            folder.too_large = false;
            for n in g.order_list() {
                folder.visit(g, n)?;
            }
            if !folder.too_large {
                return Ok(folder.changed);
            }
            // What was folded may have left an operand of something else to that alone.
            if folder.changed == before {
                folder.fold_groups(g)?;
            }
            if folder.changed == before {
                return Ok(folder.changed);
            }
        }
    }
}

struct Folder<'c> {
    cx: &'c Ctx,
    /// Nodes behind a value that is known better since the pass began.
    stale: SideTable<hoist_ir::graph::Node, bool>,
    changed: Changed,
    /// Whether something was not folded for the bytes it would take.
    too_large: bool,
}

/// What is larger is folded to a lazy expression where the operator has one.
const LAZY_FROM: usize = 64 << 10;

impl Folder<'_> {
    fn visit(&mut self, g: &mut Graph, n: NodeId) -> Result<(), Diag> {
        if g.node(n).is_erased() {
            return Ok(());
        }
        if *self.stale.get(n) && g.reinfer_node(n)? {
            self.changed.add();
            self.mark_users(g, n);
        }
        match self.fold(g, n)? {
            Outcome::Skip => {}
            Outcome::Miss(reason) => self.cx.miss(g, n, reason),
            Outcome::Edit => self.changed.add(),
        }
        Ok(())
    }
    fn mark_users(&mut self, g: &Graph, n: NodeId) {
        for v in g.node(n).outputs() {
            for u in g.value(*v).uses() {
                if let Use::Node { node, .. } = u {
                    self.stale.set(*node, true);
                }
            }
        }
    }
    fn fold(&mut self, g: &mut Graph, n: NodeId) -> Result<Outcome, Diag> {
        let known = known_results(g, n);
        let used = |i: usize| !g.value(g.node(n).outputs()[i]).uses().is_empty();
        let all_known = known.iter().enumerate().all(|(i, t)| t.is_some() || !used(i));
        if all_known && known.iter().any(Option::is_some) {
            return self.replace(g, n, known);
        }
        match foldable(g, n, self.cx) {
            Ok(results) => self.replace(g, n, results.into_iter().map(Some).collect()),
            Err(NotFolded::TooLarge { bytes, allowed }) => {
                self.too_large = true;
                let m = format!("the result takes {bytes} bytes, folding may take {allowed}");
                Ok(Outcome::Miss(m.into()))
            }
            Err(NotFolded::Skip) => Ok(Outcome::Skip),
            Err(NotFolded::Miss(reason)) => Ok(Outcome::Miss(reason)),
        }
    }
    /// Folds groups of nodes whose constants together do not grow too much.
    fn fold_groups(&mut self, g: &mut Graph) -> Result<(), Diag> {
        for group in groups(g).into_iter().filter(|group| group.nodes.len() > 1) {
            let bytes =
                |sum: usize, v: &ValueId| sum.saturating_add(fixed_bytes(g.ty(*v)).unwrap_or(usize::MAX));
            let shown = group.shown.iter().fold(0, bytes);
            let freed: usize = group.freed.iter().filter_map(|v| g.constant(*v)).map(stored_bytes).sum();
            if shown > freed.saturating_add(self.cx.fold.growth.saturating_mul(group.nodes.len())) {
                continue;
            }
            if let Some(results) = computed_group(g, &group.nodes, self.cx) {
                for (n, results) in group.nodes.iter().zip(results) {
                    if self.replace(g, *n, results.into_iter().map(Some).collect())? == Outcome::Edit {
                        self.changed.add();
                    }
                }
            }
        }
        Ok(())
    }
    /// Makes the results of `n` constants.
    fn replace(&mut self, g: &mut Graph, n: NodeId, results: Vec<Option<Tensor>>) -> Result<Outcome, Diag> {
        let pairs: Vec<(ValueId, Tensor)> = g
            .node(n)
            .outputs()
            .iter()
            .copied()
            .zip(results)
            .filter(|(v, _)| !g.value(*v).uses().is_empty())
            .filter_map(|(v, t)| Some((v, t?)))
            .collect();
        if pairs.is_empty() {
            return Ok(Outcome::miss("no result is used"));
        }
        if !pairs.iter().all(|(v, t)| g.ty(*v).meet(&t.ty().into()).is_some()) {
            return Ok(Outcome::miss("the result is declared with a type that contradicts what it computes"));
        }
        self.mark_users(g, n);
        for (v, t) in pairs {
            let folded = g.add_const(t);
            g.replace_uses(v, folded)?;
        }
        g.erase_dead(n);
        Ok(Outcome::Edit)
    }
}

/// Results whose symbolic elements are all constants, as tensors.
/// What node `n` computes, where that does not depend on inputs.
pub(crate) fn computed(g: &Graph, n: NodeId) -> Option<Vec<Tensor>> {
    let known: Option<Vec<Tensor>> = known_results(g, n).into_iter().collect();
    known.or_else(|| foldable(g, n, &Ctx::default()).ok())
}

fn known_results(g: &Graph, n: NodeId) -> Vec<Option<Tensor>> {
    let one = |v: &ValueId| {
        let value = g.value(*v);
        known_tensor(value.ty(), value.content()?)
    };
    g.node(n).outputs().iter().map(one).collect()
}

fn known_tensor(ty: &Type, content: &Content) -> Option<Tensor> {
    let ty = ty.as_tensor().filter(|t| t.dtype.is_int() || t.dtype == DType::Bool)?;
    let values: Vec<i64> = content.iter().map(|e| e.as_ref()?.as_const()).collect::<Option<_>>()?;
    let shape: &[usize] = match ty.rank()? {
        0 if values.len() == 1 => &[],
        1 => &[values.len()],
        _ => return None,
    };
    let (low, high) = ty.dtype.int_range()?;
    if !values.iter().all(|v| (low..=high).contains(&i128::from(*v))) {
        return None;
    }
    let tensor = Tensor::from_wide(ty.dtype, shape, &Wide::I64(values), false).ok()?;
    // The recorded type may be finer than what the elements show.
    Type::from(tensor.ty()).meet(&ty.clone().into()).map(|_| tensor)
}

/// The results of nodes whose operands are constants or results of nodes before; `None` when one cannot be computed.
fn computed_group(g: &Graph, nodes: &[NodeId], cx: &Ctx) -> Option<Vec<Vec<Tensor>>> {
    let mut known: HashMap<ValueId, Tensor> = HashMap::new();
    let mut out = vec![];
    for n in nodes {
        let one = |v: &Option<ValueId>| v.and_then(|v| known.get(&v).or_else(|| g.constant(v)));
        let constants: Vec<Option<&Tensor>> = g.node(*n).inputs().iter().map(one).collect();
        let results = compute(g, *n, cx, &constants).ok()?;
        for (v, t) in g.node(*n).outputs().iter().zip(&results) {
            g.ty(*v).meet(&t.ty().into())?;
            known.insert(*v, t.clone());
        }
        out.push(results);
    }
    Some(out)
}

/// Why a node is not folded.
enum NotFolded {
    /// An operand is not constant.
    Skip,
    /// The constants would grow too much.
    TooLarge { bytes: usize, allowed: usize },
    /// Another reason.
    Miss(Cow<'static, str>),
}

fn miss<T>(reason: &'static str) -> Result<T, NotFolded> {
    Err(NotFolded::Miss(reason.into()))
}

/// All results of `n`, computed; or why not.
fn foldable(g: &Graph, n: NodeId, cx: &Ctx) -> Result<Vec<Tensor>, NotFolded> {
    let node = g.node(n);
    let constants = operand_constants(g, n);
    let present = node.inputs().iter().filter(|v| v.is_some()).count();
    if present == 0 || constants.iter().flatten().count() < present {
        return Err(NotFolded::Skip);
    }
    if !is_deterministic(g, n) {
        return miss("the operator is not known, or may compute something else each time");
    }
    if !node.bodies().is_empty() {
        return miss("it has bodies");
    }
    if node.outputs().iter().any(|v| matches!(g.ty(*v), Type::Sequence(_) | Type::Optional(_))) {
        return miss("only tensors can be constants");
    }
    if node.op().name() == "dequantize_linear" && !planted("fold-constants") {
        return miss("quantization stays explicit");
    }
    // Refused before anything is computed.
    if let Some(bytes) = result_bytes(g, n) {
        check_growth(g, n, bytes, cx)?;
    }
    let tensors = compute(g, n, cx, &constants)?;
    let bytes: usize = tensors.iter().map(Tensor::byte_len).fold(0, usize::saturating_add);
    check_growth(g, n, bytes, cx)?;
    Ok(tensors)
}

fn check_growth(g: &Graph, n: NodeId, bytes: usize, cx: &Ctx) -> Result<(), NotFolded> {
    let allowed = freed(g, n).saturating_add(cx.fold.growth);
    if bytes > allowed { Err(NotFolded::TooLarge { bytes, allowed }) } else { Ok(()) }
}

/// Bytes of the constants that only `n` uses.
fn freed(g: &Graph, n: NodeId) -> usize {
    let mut operands: Vec<ValueId> = g.node(n).inputs().iter().flatten().copied().collect();
    operands.sort_unstable();
    operands.dedup();
    let own =
        |v: &ValueId| g.value(*v).uses().iter().all(|u| matches!(u, Use::Node { node, .. } if *node == n));
    operands.iter().filter(|v| own(v)).filter_map(|v| g.constant(*v)).map(stored_bytes).sum()
}

/// Bytes a constant takes in memory: one element where it is repeated.
fn stored_bytes(t: &Tensor) -> usize {
    match t.storage() {
        hoist_ir::tensor::Storage::Splat(_) => 0,
        _ => t.byte_len(),
    }
}

/// Bytes of the results of `n`, where all sizes are fixed.
fn result_bytes(g: &Graph, n: NodeId) -> Option<usize> {
    let mut results = g.node(n).outputs().iter();
    results.try_fold(0usize, |sum, v| Some(sum.saturating_add(fixed_bytes(g.ty(*v))?)))
}

fn compute(g: &Graph, n: NodeId, cx: &Ctx, constants: &[Option<&Tensor>]) -> Result<Vec<Tensor>, NotFolded> {
    let node = g.node(n);
    let results: Vec<&Type> = node.outputs().iter().map(|v| g.ty(*v)).collect();
    let read = constants.iter().flatten().map(|t| t.byte_len()).fold(0, usize::saturating_add);
    let written = result_bytes(g, n);
    let lazy = || (results.len() == 1).then(|| node.op().def().lazy(constants)).flatten();
    if written.is_some_and(|bytes| bytes > LAZY_FROM)
        && let Some(t) = lazy()
    {
        return Ok(vec![t]);
    }
    let macs = node.op().def().macs(&operand_types(g, n), &results).unwrap_or(0);
    let work = read.saturating_add(written.unwrap_or(0));
    if work > cx.fold.eager || macs > cx.fold.macs {
        return miss("it takes too much memory or time to compute now");
    }
    evaluate(g, n, cx, constants).map_err(|e| NotFolded::Miss(e.message.into()))
}

fn evaluate(g: &Graph, n: NodeId, cx: &Ctx, constants: &[Option<&Tensor>]) -> Result<Vec<Tensor>, OpError> {
    let node = g.node(n);
    let inputs = constants.iter().map(|t| t.map(|t| Value::Tensor(t.clone()))).collect();
    let run = |_: &Graph, _: Vec<Value>| Err(OpError::eval("a body is not run while folding"));
    let eval = EvalCx { inputs, outputs: node.outputs().len(), bodies: &[], captures: 0, run: &run };
    // A result whose size depends on the data is bounded too.
    let limits = Limits { result_bytes: cx.fold.eager };
    eval_op(node.op(), eval, limits)?.into_iter().map(Value::into_tensor).collect()
}
