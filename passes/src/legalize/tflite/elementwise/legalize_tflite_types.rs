//! `legalize-tflite-types`
//!
//! ```text
//! %y: f16 = sin(%x)   ->   %w: f32 = cast(%x)
//!                          %v: f32 = sin(%w)
//!                          %y: f16 = cast(%v)
//! ```
//! - LiteRT lacks the operator for the element type of an operand.
//! - 16-bit floats go through `f32`, in which operators on them are computed anyway: the result is rounded once.
//! - Integers and truth values go through wider integers, for operators whose result modulo the range is that of wider ones, that
//!   compare, or that move elements.
//! - 64-bit integers without a sign are read as those with one, for operators to which this makes no difference.
use super::formula::dtype;
use crate::fault::planted;
use crate::legalize::where_lacking;
use crate::pass::{Changed, Ctx, Outcome, Pass, PassInfo, Target};
use hoist_formats::tflite::lower::WRONG_TYPE;
use hoist_ir::diag::Diag;
use hoist_ir::dtype::DType;
use hoist_ir::graph::{Def, Graph, NodeId, ValueId};
use hoist_ir::ops::Op;
use hoist_ir::ops::elementwise::cast::Cast;
use hoist_ir::ops::movement::bit_cast::BitCast;

/// The pass.
pub struct LegalizeTfliteTypes;

const INFO: PassInfo = PassInfo {
    name: "legalize-tflite-types",
    doc: "Casts operands to types that LiteRT computes, where the result is the same.",
};

impl Pass for LegalizeTfliteTypes {
    fn info(&self) -> &'static PassInfo {
        &INFO
    }
    fn run(&self, g: &mut Graph, cx: &Ctx) -> Result<Changed, Diag> {
        Ok(where_lacking(g, cx, &[], |g, n, target, reason| widen(g, n, target, &reason)))
    }
}

/// Operators on integers that keep their meaning in wider ones, once results are cut back.
const WIDENED: &[&str] = &[
    "abs",
    "add",
    "arg_max",
    "arg_min",
    "bitwise_and",
    "bitwise_not",
    "bitwise_or",
    "bitwise_xor",
    "clip",
    "cum_prod",
    "cum_sum",
    "div",
    "equal",
    "greater",
    "greater_or_equal",
    "less",
    "less_or_equal",
    "max",
    "min",
    "mod",
    "mul",
    "neg",
    "p_relu",
    "pow",
    "reduce_l1",
    "reduce_max",
    "reduce_mean",
    "reduce_min",
    "reduce_prod",
    "reduce_sum",
    "reduce_sum_square",
    "relu",
    "sign",
    "sub",
    "top_k",
];
/// Operators that move elements.
const MOVING: &[&str] = &[
    "compress",
    "concat",
    "depth_to_space",
    "expand",
    "flatten",
    "gather",
    "gather_elements",
    "gather_nd",
    "max_pool",
    "non_zero",
    "one_hot",
    "pad",
    "reshape",
    "reverse_sequence",
    "scatter_elements",
    "scatter_nd",
    "slice",
    "space_to_depth",
    "split",
    "squeeze",
    "tensor_scatter",
    "tile",
    "transpose",
    "trilu",
    "unsqueeze",
    "where",
];
/// Operators on 64-bit integers for which the sign makes no difference.
const SIGNLESS: &[&str] = &["add", "bitwise_and", "bitwise_or", "bitwise_xor", "equal", "mul", "sub"];
/// Operators on 16-bit floats that are no function of their values alone, or that name types themselves.
const NOT_FLOATS: &[&str] = &[
    "bernoulli",
    "bit_cast",
    "cast",
    "cast_like",
    "custom",
    "dequantize_linear",
    "dropout",
    "eye_like",
    "identity",
    "multinomial",
    "quantize_linear",
    "random_normal_like",
    "random_uniform_like",
    "shape",
    "size",
];

/// Types that hold all numbers of `dtype`, narrow ones first.
fn wider(op: &str, dtype: DType) -> &'static [DType] {
    use DType::{I8, I32, I64, U8};
    let (computes, moves) = (WIDENED.contains(&op), MOVING.contains(&op));
    match dtype {
        DType::F16 | DType::BF16 if !NOT_FLOATS.contains(&op) => &[DType::F32],
        DType::Bool if moves => &[U8, I8, I32],
        DType::I8 | DType::U8 | DType::I16 | DType::U16 if computes || moves => &[I32, I64],
        DType::U32 if computes || moves => &[I64],
        DType::I32 if computes => &[I64],
        DType::U64 if moves || SIGNLESS.contains(&op) || planted("legalize-tflite-types") => &[I64],
        _ => &[],
    }
}

fn widen(g: &mut Graph, n: NodeId, target: &Target, reason: &str) -> Outcome {
    let node = g.node(n);
    let op = node.op().clone();
    if !node.bodies().is_empty() {
        return Outcome::Skip;
    }
    let types: Vec<Option<DType>> = node.inputs().iter().map(|v| v.and_then(|v| dtype(g, v))).collect();
    let floats = types.iter().flatten().find(|d| matches!(d, DType::F16 | DType::BF16)).copied();
    let by_type = reason.starts_with(WRONG_TYPE);
    let narrow = floats.or_else(|| types.iter().flatten().find(|d| reason_names(reason, **d)).copied());
    let Some(narrow) = narrow.filter(|_| by_type || floats.is_some()) else { return Outcome::Skip };
    let candidates = wider(op.name(), narrow);
    if candidates.is_empty() {
        return Outcome::Miss(format!("no wider type serves {narrow}").into());
    }
    let mut why = Outcome::Skip;
    for (i, wide) in candidates.iter().enumerate() {
        let last = i + 1 == candidates.len();
        why = through(g, n, (target, last), &op, (narrow, *wide));
        if why == Outcome::Edit {
            break;
        }
    }
    why
}

fn reason_names(reason: &str, dtype: DType) -> bool {
    reason.strip_prefix(WRONG_TYPE).is_some_and(|r| r.trim() == dtype.to_string())
}

/// The node on operands of type `wide` instead of `narrow`. What the target lacks for that too is left to other passes when the type is
/// the `last` that serves.
fn through(
    g: &mut Graph,
    n: NodeId,
    (target, last): (&Target, bool),
    op: &Op,
    (narrow, wide): (DType, DType),
) -> Outcome {
    let is_narrow = |d: DType| d == narrow || narrow.is_float() && matches!(d, DType::F16 | DType::BF16);
    let inputs = g.node(n).inputs().to_vec();
    let results: Vec<Option<DType>> = g.node(n).outputs().iter().map(|v| dtype(g, *v)).collect();
    Outcome::of(g.rewrite(n, &[], |b| {
        let mut given: Vec<Option<ValueId>> = vec![];
        for (i, v) in inputs.iter().enumerate() {
            let before = inputs[..i].iter().position(|w| w == v);
            given.push(match (*v, before) {
                (_, Some(before)) => given[before],
                (Some(v), None) if dtype(b.graph(), v).is_some_and(is_narrow) => Some(convert(b, v, wide)?),
                (v, None) => v,
            });
        }
        let mut values = b.add_n(op.clone(), &given, results.len())?;
        let made = values.first().map(|v| b.graph().value(*v).def());
        if let Some(Def::Node { node, .. }) = made
            && let Some(lack) = target.lacks(b.graph(), node).filter(|_| !last)
            && reason_names(&lack, wide)
        {
            return Err(Diag::error("E0302", lack));
        }
        for (v, d) in values.iter_mut().zip(&results) {
            if let Some(d) = d {
                *v = convert(b, *v, *d)?;
            }
        }
        Ok(values)
    }))
}

fn convert(b: &mut hoist_ir::builder::Builder<'_>, v: ValueId, to: DType) -> Result<ValueId, Diag> {
    let from = dtype(b.graph(), v);
    let bits = matches!((from, to), (Some(DType::U64), DType::I64) | (Some(DType::I64), DType::U64));
    let constant = b.graph().constant(v).filter(|_| from != Some(to));
    let converted = constant.and_then(|t| if bits { t.bitcast(to).ok() } else { t.lazy_cast(to, true).ok() });
    if let Some(t) = converted {
        return Ok(b.constant(t));
    }
    match from {
        Some(from) if from == to => Ok(v),
        _ if bits => b.bit_cast(BitCast { to }, v),
        _ => b.cast(Cast { to, ..Cast::default() }, v),
    }
}
